/* log: a stranger's bytes stay inside their value, and a line inside its maximum. */
#include <fcntl.h>
#include <unistd.h>

#include "base/cur.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "base/utf8.h"

static void
line(struct buf *out, enum log_format format, const struct log_field *fields)
{
	buf_reset(out);
	/* 2026-11-23 14:58:32.007 UTC */
	EXPECT(log_format_line(
		   out, format, 1795445912007, "smtpin.1", LOG_INFO, "smtp.end", fields) == ST_OK);
}

static void
writes_text_and_json(void)
{
	const struct log_field fields[] = {LOG_U64("session", 7), LOG_I64("delta", -3),
	    LOG_STR("from", STR("a@b.example")), LOG_STR("helo", STR("two words")),
	    LOG_STR("none", STR_NULL), {LOG_KIND_END, NULL, STR_NULL, 0}};
	struct buf b;

	buf_init(&b, 8192);
	line(&b, LOG_TEXT, fields);
	EXPECT_STR(
	    buf_str(&b), STR("2026-11-23T14:58:32.007Z smtpin.1 info smtp.end session=7 delta=-3 "
			     "from=a@b.example helo=\"two words\" none=\"\"\n"));
	line(&b, LOG_JSON, fields);
	EXPECT_STR(buf_str(&b),
	    STR("{\"time\":\"2026-11-23T14:58:32.007Z\",\"role\":\"smtpin.1\",\"level\":\"info\","
		"\"event\":\"smtp.end\",\"session\":7,\"delta\":-3,\"from\":\"a@b.example\","
		"\"helo\":\"two words\",\"none\":\"\"}\n"));
	buf_fini(&b);
}

static void
a_value_cannot_forge_a_line(void)
{
	static const struct str evil[] = {
	    STR_INIT("x\r\n2026-11-23T00:00:00.000Z parent info all.well"), STR_INIT("x\n"),
	    STR_INIT("x\0y"), STR_INIT("\x1b[2J"),
	    STR_INIT("\xc2\x9b"
		     "2J"),
	    STR_INIT("\xe2\x80\xa8"), STR_INIT("\xff\xfe"), STR_INIT("\" mailbox=\"admin"),
	    STR_INIT("a b=c"), STR_INIT("\\\" b=c")};
	struct buf b;

	buf_init(&b, 8192);
	for (size_t i = 0; i < COUNT_OF(evil); i++) {
		const struct log_field fields[] = {
		    LOG_STR("v", evil[i]), {LOG_KIND_END, NULL, STR_NULL, 0}};

		for (int format = LOG_TEXT; format <= LOG_JSON; format++) {
			line(&b, (enum log_format)format, fields);
			EXPECT(str_find_char(buf_str(&b), '\n') == b.n - 1);
			EXPECT(utf8_is_valid(buf_str(&b)));
			for (size_t k = 0; k + 1 < b.n; k++)
				EXPECT((unsigned char)b.p[k] >= 0x20 && b.p[k] != 0x7f);
			EXPECT(str_find(buf_str(&b), STR("\xe2\x80\xa8")) == b.n);
			EXPECT(str_find(buf_str(&b), STR("\xc2\x9b")) == b.n);
			/* In text it is quoted, so that a space or a quote does not end it. */
			if (format == LOG_TEXT)
				EXPECT(str_find(buf_str(&b), STR(" v=\"")) < b.n);
		}
	}
	buf_fini(&b);
}

/* One JSON value of the flat kind that a line is: {"key":"text"|number|true,...}. */
static bool
is_json_string(struct cur *c)
{
	if (!cur_char(c, '"'))
		return false;
	while (!cur_at_end(c) && cur_peek(c) != '"') {
		uint32_t cp;
		struct str four;

		if (cur_char(c, '\\')) {
			if (cur_char(c, 'u')) {
				if (!cur_take(c, 4, &four))
					return false;
			} else if (!cur_char(c, '"') && !cur_char(c, '\\') && !cur_char(c, 'n') &&
				   !cur_char(c, 'r') && !cur_char(c, 't')) {
				return false;
			}
		} else if (!utf8_take(c, &cp) || cp < 0x20) {
			return false;
		}
	}
	return cur_char(c, '"');
}

static bool
is_json_line(struct str s)
{
	struct cur c = cur_of(s);
	uint64_t v;

	if (!cur_char(&c, '{'))
		return false;
	do {
		if (!is_json_string(&c) || !cur_char(&c, ':'))
			return false;
		if (cur_peek(&c) == '"' ? !is_json_string(&c)
					: !cur_lit(&c, "true") && !cur_u64(&c, &v))
			return false;
	} while (cur_char(&c, ','));
	return cur_lit(&c, "}\n") && cur_at_end(&c);
}

static void
a_line_keeps_its_maximum_and_its_form(void)
{
	struct prng r;
	struct buf b;
	char bytes[600];
	struct log_field fields[LOG_FIELDS_MAX + 2];

	prng_init(&r, 3);
	buf_init(&b, LOG_LINE_MAX * 2);
	for (int round = 0; round < 300; round++) {
		size_t n = prng_below(&r, LOG_FIELDS_MAX + 2);
		/* From all controls to all letters. */
		unsigned span = (unsigned)prng_below(&r, 256) + 1;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)prng_below(&r, span);
		for (size_t i = 0; i < n; i++)
			fields[i] =
			    prng_below(&r, 4) == 0
				? LOG_U64("number", prng_u64(&r))
				: LOG_STR("text", str_of(bytes, prng_below(&r, sizeof(bytes))));
		fields[n] = (struct log_field){LOG_KIND_END, NULL, STR_NULL, 0};
		line(&b, LOG_TEXT, fields);
		EXPECT(b.n <= LOG_LINE_MAX && str_find_char(buf_str(&b), '\n') == b.n - 1);
		line(&b, LOG_JSON, fields);
		EXPECT(b.n <= LOG_LINE_MAX && is_json_line(buf_str(&b)));
	}
	buf_fini(&b);
}

static void
long_values_are_cut_and_marked(void)
{
	char long_text[300];
	struct log_field fields[] = {LOG_STR("v", str_of(long_text, 256)), LOG_U64("n", 1),
	    {LOG_KIND_END, NULL, STR_NULL, 0}};
	struct buf b;

	memset(long_text, 'x', sizeof(long_text));
	buf_init(&b, LOG_LINE_MAX * 2);
	line(&b, LOG_TEXT, fields);
	EXPECT(str_find(buf_str(&b), STR("cut")) == b.n);
	fields[0].s.n = 257;
	line(&b, LOG_TEXT, fields);
	EXPECT(str_find(buf_str(&b), STR("x v_cut=true n=1\n")) < b.n);
	line(&b, LOG_JSON, fields);
	EXPECT(str_find(buf_str(&b), STR("x\",\"v_cut\":true,\"n\":1}\n")) < b.n);
	buf_fini(&b);
}

static void
writes_what_its_level_allows(void)
{
	struct clock clock;
	enum log_level level;
	char got[400];
	ssize_t n;
	int fds[2];

	EXPECT(!log_is_on(LOG_ERROR));
	log_event(LOG_ERROR, "to.nobody");
	EXPECT(pipe2(fds, O_NONBLOCK) == 0);
	clock_init_fake(&clock, 0);
	log_setup("test", fds[1], LOG_WARN, LOG_TEXT, &clock);
	log_event(LOG_INFO, "quiet");
	log_event(LOG_WARN, "loud", LOG_CSTR("why", "because"));
	n = read(fds[0], got, sizeof(got));
	EXPECT(n > 0);
	EXPECT_STR(
	    str_of(got, (size_t)n), STR("1970-01-01T00:00:00.000Z test warn loud why=because\n"));
	EXPECT(log_level_parse(STR("DEBUG"), &level) == ST_OK && level == LOG_DEBUG);
	EXPECT(log_level_parse(STR("loud"), &level) == ST_SYNTAX);
	log_setup("test", -1, LOG_INFO, LOG_TEXT, NULL);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	UNIT(writes_text_and_json);
	UNIT(a_value_cannot_forge_a_line);
	UNIT(a_line_keeps_its_maximum_and_its_form);
	UNIT(long_values_are_cut_and_marked);
	UNIT(writes_what_its_level_allows);
	return unit_end();
}
