/*
 * Fuzz: a cursor driven by the input's own bytes never leaves its window, goes only forward, and
 * what it gives out lies inside; log lines and UTF-8 prefixes of any bytes keep their form.
 */
#include "base/check.h"
#include "base/cur.h"
#include "base/log.h"
#include "base/num.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
step(struct cur *c, uint8_t op, size_t arg)
{
	const char *before = c->p, *end = c->end;
	struct str s = STR_NULL;
	uint64_t v;
	uint32_t cp;
	bool took = false;

	switch (op % 8) {
	case 0:
		took = cur_take(c, arg, &s);
		break;
	case 1:
		took = cur_take_until(c, (char)arg, arg, &s);
		CHECK(!took || s.n <= arg);
		break;
	case 2:
		took = cur_take_line(c, &s);
		break;
	case 3:
		took = cur_u64(c, &v);
		break;
	case 4:
		took = utf8_take(c, &cp);
		break;
	case 5:
		took = cur_lit_ci(c, "a");
		break;
	case 6:
		took = cur_le64(c, &v);
		break;
	case 7:
		cur_skip(c, arg);
		took = true;
		break;
	}
	CHECK(c->end == end && c->p >= before && c->p <= end);
	CHECK(took || c->p == before);
	CHECK(s.n == 0 || (s.p >= before && s.p + s.n <= c->p));
}

static void
log_keeps_its_form(struct str in)
{
	const struct log_field fields[] = {
	    LOG_STR("a", in), LOG_STR("b", str_from(in, 3)), {LOG_KIND_END, NULL, STR_NULL, 0}};
	struct buf b;

	buf_init(&b, (size_t)LOG_LINE_MAX * 2);
	for (int f = LOG_TEXT; f <= LOG_JSON; f++) {
		buf_reset(&b);
		CHECK(log_format_line(&b, (enum log_format)f, 0, "r", LOG_INFO, "e", fields) ==
		      ST_OK);
		CHECK(b.n <= LOG_LINE_MAX && str_find_char(buf_str(&b), '\n') == b.n - 1);
		CHECK(utf8_is_valid(buf_str(&b)));
	}
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size), program = str_take(in, size / 3);
	struct cur c = cur_of(str_from(in, program.n));

	for (size_t i = 0; i + 1 < program.n; i += 2)
		step(&c, (uint8_t)program.p[i], (uint8_t)program.p[i + 1]);
	log_keeps_its_form(in);
	if (utf8_is_valid(in))
		for (size_t n = 0; n <= size_min(size, 64); n++)
			CHECK(utf8_is_valid(utf8_prefix(in, n)) && utf8_prefix(in, n).n + 3 >= n);
	return 0;
}
