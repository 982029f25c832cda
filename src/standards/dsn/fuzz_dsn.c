/*
 * Fuzz: any bytes as the part for programs are read without harm; and a notice made of any strings
 * (cut at 0x1e) is three parts of clean lines whose second reads back to the same recipients.
 */
#include "base/check.h"
#include "base/utf8.h"
#include "standards/dsn/dsn_internal.h"
#include "standards/mime/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str
next(struct str *in)
{
	struct str head;

	(void)str_split(*in, 0x1e, &head, in);
	return head;
}

static unsigned
next_byte(struct str *in)
{
	unsigned b = in->n > 0 ? (unsigned char)in->p[0] : 0;

	*in = str_from(*in, 1);
	return b;
}

static void
read_any(struct str body)
{
	struct arena a;
	struct dsn_report report;
	enum status st;

	arena_init(&a, 1 << 20);
	st = dsn_parse(body, &a, &report);
	CHECK(st == (report.is_cut ? ST_LIMIT : ST_OK) && report.rcpts_n <= DSN_RCPTS_MAX);
	for (size_t i = 0; i < report.rcpts_n; i++)
		CHECK(report.rcpts[i].action <= DSN_UNKNOWN && report.rcpts[i].code < 600);
	arena_fini(&a);
}

static void
read_back(const struct dsn *d, const struct mime_part *part, struct arena *a)
{
	struct dsn_report report;

	CHECK(part->encoding == MIME_7BIT || part->encoding == MIME_8BIT);
	CHECK(dsn_parse(part->body, a, &report) == ST_OK);
	CHECK(report.rcpts_n == d->rcpts_n);
	for (size_t i = 0; i < d->rcpts_n; i++) {
		CHECK(report.rcpts[i].action == d->rcpts[i].action);
		CHECK((report.rcpts[i].orcpt.n > 0) == (d->rcpts[i].orcpt.n > 0));
	}
}

static void
check_notice(const struct dsn *d, struct str message)
{
	struct arena a;
	struct mime_message m;
	const struct mime_part *p;
	size_t n = 0;

	CHECK(dsn_lines_are_clean(message) && str_has_suffix_ci(message, STR("--\r\n")));
	CHECK(d->is_smtputf8 || (d->is_full_wanted && d->original_body.n > 0) ||
	      utf8_is_ascii(message));
	arena_init(&a, 8 << 20);
	CHECK(mime_parse(message, &a, NULL, &m) == ST_OK && m.root->kind == MIME_MULTIPART);
	CHECK(m.root->defects == 0);
	for (p = m.root->first_child; p != NULL; p = p->next)
		n++;
	CHECK(n == 3);
	read_back(d, m.root->first_child->next, &a);
	arena_fini(&a);
}

static void
write_any(struct str in)
{
	unsigned flags = next_byte(&in);
	struct dsn_rcpt rcpts[3];
	struct dsn d = {.rcpts = rcpts, .now_s = 1795442312};
	struct buf out;

	d.is_full_wanted = flags & 1;
	d.is_smtputf8 = flags & 2;
	d.rcpts_n = 1 + flags / 4 % 3;
	d.arrival_s = flags & 16 ? UINT64_MAX : 1795442312;
	d.hostname = next(&in);
	d.postmaster = next(&in);
	d.to = next(&in);
	d.envid = next(&in);
	d.message_id = next(&in);
	d.boundary = next(&in);
	d.subject = next(&in);
	for (size_t i = 0; i < d.rcpts_n; i++) {
		rcpts[i] =
		    (struct dsn_rcpt){.action = (enum dsn_action)(next_byte(&in) % DSN_UNKNOWN),
			.code = (uint16_t)(next_byte(&in) * 3),
			.enhanced = {(uint16_t)(next_byte(&in) % 8), (uint16_t)(next_byte(&in) % 9),
			    (uint16_t)(next_byte(&in) * 4)}};
		rcpts[i].path = next(&in);
		rcpts[i].orcpt = next(&in);
		rcpts[i].reply_text = next(&in);
		rcpts[i].remote_mta = next(&in);
		rcpts[i].remote_ip = next(&in);
		rcpts[i].advice_override = next(&in);
	}
	d.original_header = next(&in);
	d.original_body = in;
	buf_init(&out, 64 << 20);
	CHECK(dsn_write(&d, &out) == ST_OK);
	check_notice(&d, buf_str(&out));
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_any(str_of(data, size));
	write_any(str_of(data, size));
	return 0;
}
