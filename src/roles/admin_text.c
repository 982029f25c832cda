/* Small texts that answers are made of. Times are UTC: the same on every machine that looks at the same store. */
#include <stdio.h>

#include "base/civil.h"
#include "base/enc.h"
#include "roles/admin_internal.h"

uint64_t
admin_now_ms(const struct admin *a)
{
	return clock_wall_ms(a->clock);
}

void
admin_queue_id_put(struct buf *out, struct queue_id id)
{
	(void)buf_putf(out, "%llX", (unsigned long long)id.v);
}

static int
hex_value(char c)
{
	if (char_is_digit(c))
		return c - '0';
	c = char_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
admin_queue_id_parse(struct str text, struct queue_id *out)
{
	uint64_t v = 0;

	if (text.n == 0 || text.n > 16)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		int digit = hex_value(text.p[i]);

		if (digit < 0)
			return false;
		v = v << 4 | (uint64_t)digit;
	}
	*out = (struct queue_id){v};
	return v != 0;
}

void
admin_date_put(struct buf *out, uint64_t ms)
{
	struct civil c = civil_from_days((int64_t)(ms / (24 * 3600 * 1000)));

	(void)buf_putf(out, "%04lld-%02d-%02d", (long long)c.year, c.month, c.day);
}

void
admin_time_put(struct buf *out, uint64_t ms)
{
	unsigned s = (unsigned)(ms / 1000 % (24 * 3600));

	(void)buf_putf(out, "%02u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
}

void
admin_stamp_put(struct buf *out, uint64_t ms)
{
	admin_date_put(out, ms);
	(void)buf_put_c(out, 'T');
	admin_time_put(out, ms);
	(void)buf_put_c(out, 'Z');
}

void
admin_size_put(struct buf *out, uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	uint64_t tenths = bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		(void)buf_putf(out, "%llu bytes", (unsigned long long)bytes);
		return;
	}
	/* Rounded down, so that nothing is said to be over a limit that it keeps. */
	for (tenths = bytes / 1024 * 10 + bytes % 1024 * 10 / 1024; tenths >= 10240; unit++)
		tenths /= 1024;
	if (tenths < 100)
		(void)buf_putf(out, "%llu.%llu %cB", (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10), units[unit]);
	else
		(void)buf_putf(out, "%llu %cB", (unsigned long long)(tenths / 10), units[unit]);
}

void
admin_age_put(struct buf *out, uint64_t ms)
{
	unsigned long long s = ms / 1000;

	if (s < 120)
		(void)buf_putf(out, "%llu s", s);
	else if (s < 2 * 3600)
		(void)buf_putf(out, "%llu min", s / 60);
	else if (s < 48 * 3600)
		(void)buf_putf(out, "%llu h", s / 3600);
	else
		(void)buf_putf(out, "%llu days", s / (24 * 3600));
}

void
admin_reply_put(struct buf *out, struct str host, uint16_t code, const uint16_t enhanced[3], struct str text)
{
	if (host.n > 0) {
		(void)buf_put(out, host);
		(void)buf_put(out, code > 0 || text.n > 0 ? STR(": ") : STR_NULL);
	}
	if (code > 0)
		(void)buf_putf(out, "%u ", code);
	/* Most servers begin their text with it. */
	if (code > 0 && enhanced[0] > 0 && !(text.n > 2 && char_is_digit(text.p[0]) && text.p[1] == '.' && char_is_digit(text.p[2])))
		(void)buf_putf(out, "%u.%u.%u ", enhanced[0], enhanced[1], enhanced[2]);
	if (text.n > 0)
		(void)buf_put(out, text);
	else if (host.n == 0 && code == 0)
		(void)buf_put(out, STR("no reason is known"));
	/* No blank behind a bare code. */
	while (out->n > 0 && out->p[out->n - 1] == ' ')
		out->n--;
}

static void
name_put(struct buf *out, const char *name)
{
	if (out->n > 0 && out->p[out->n - 1] != '{')
		(void)buf_put_c(out, ',');
	(void)buf_putf(out, "\"%s\":", name);
}

void
admin_member_put(struct buf *out, const char *name, struct str value)
{
	name_put(out, name);
	if (value.n > 0)
		(void)json_put_str(out, value);
	else
		(void)buf_put(out, STR("null"));
}

void
admin_member_stamp_put(struct buf *out, const char *name, uint64_t ms)
{
	name_put(out, name);
	if (ms == 0) {
		(void)buf_put(out, STR("null"));
		return;
	}
	(void)buf_put_c(out, '"');
	admin_stamp_put(out, ms);
	(void)buf_put_c(out, '"');
}

struct str
admin_path_shown(struct str path)
{
	return path.n > 0 ? path : STR("<>");
}
