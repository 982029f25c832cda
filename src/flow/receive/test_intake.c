#include "base/num.h"
#include "base/unit.h"
#include "flow/receive/intake.h"

static void
scan(struct header_scan *h, struct str s, size_t piece)
{
	*h = (struct header_scan){0};
	for (size_t at = 0; at < s.n; at += piece)
		header_scan_put(h, str_take(str_from(s, at), piece));
}

static void
a_header_is_read_however_it_is_cut(void)
{
	static const struct {
		struct str header;
		uint32_t hops;
		bool is_auto;
		struct str message_id;
	} rows[] = {
	    {STR_INIT("Received: a\r\nreceived : b\r\n\tfor c\r\nMessage-Id: <1@x>\r\nSubject: Received: no\r\n\r\nReceived: body\r\n"), 2, false, STR_INIT("<1@x>")},
	    {STR_INIT("Message-ID:\r\n <folded@x>\r\nAuto-Submitted: auto-replied\r\n\r\n"), 0, true, STR_INIT("<folded@x>")},
	    {STR_INIT("Auto-Submitted: no\r\nPrecedence: first-class\r\n\r\n"), 0, false, STR_INIT("")},
	    {STR_INIT("Precedence: bulk\r\n\r\n"), 0, true, STR_INIT("")},
	    {STR_INIT("List-Id: <l.x>\r\nMessage-ID: <first@x>\r\nMessage-ID: <second@x>\r\n\r\n"), 0, true, STR_INIT("<first@x>")},
	    {STR_INIT("Message-ID: none\r\nMessage-ID: >x<\r\n\r\n"), 0, false, STR_INIT("")},
	    {STR_INIT("\r\nReceived: body\r\nMessage-ID: <b@x>\r\n"), 0, false, STR_INIT("")},
	    {STR_INIT("no field\nReceived: x\nMessage-ID: <lf@x>\n\nReceived: y\n"), 1, false, STR_INIT("<lf@x>")},
	};
	struct header_scan h;

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t piece = 1; piece < 40; piece++) {
			scan(&h, rows[i].header, piece);
			EXPECT(h.is_over && h.hops == rows[i].hops && h.is_auto == rows[i].is_auto);
			EXPECT_STR(header_scan_message_id(&h), rows[i].message_id);
		}
}

static void
long_lines_are_cut(void)
{
	static char text[3000];
	struct header_scan h;
	struct buf b;

	memset(text, 'x', sizeof(text));
	buf_init(&b, 10000);
	(void)buf_put(&b, STR("Subject: "));
	(void)buf_put(&b, str_of(text, sizeof(text)));
	(void)buf_put(&b, STR("\r\nReceived: 1\r\n\r\n"));
	for (size_t piece = 1; piece < 700; piece += 13) {
		scan(&h, buf_str(&b), piece);
		EXPECT(h.is_over && h.hops == 1);
	}
	/* The longest Message-ID that is kept, and one more. */
	for (size_t n = HEADER_MESSAGE_ID_MAX - 1; n <= HEADER_MESSAGE_ID_MAX + 1; n++) {
		buf_reset(&b);
		(void)buf_put(&b, STR("Message-ID: <"));
		(void)buf_put(&b, str_of(text, n - 2));
		(void)buf_put(&b, STR(">\r\n\r\n"));
		scan(&h, buf_str(&b), 10);
		EXPECT(header_scan_message_id(&h).n == (n <= HEADER_MESSAGE_ID_MAX ? n : 0));
	}
	buf_fini(&b);
}

int
main(void)
{
	UNIT(a_header_is_read_however_it_is_cut);
	UNIT(long_lines_are_cut);
	return unit_end();
}
