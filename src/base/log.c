#include "base/log.h"

#include <unistd.h>

#include "base/civil.h"
#include "base/enc.h"
#include "base/utf8.h"

static struct {
	const char *role;
	int fd;
	enum log_level min_level;
	enum log_format format;
	const struct clock *clock;
} log_state = {.role = "posthorn", .fd = -1, .min_level = LOG_INFO, .format = LOG_TEXT};

static const char *const level_words[] = {"debug", "info", "warn", "error"};

void
log_setup(const char *role, int fd, enum log_level min_level, enum log_format format,
    const struct clock *clock)
{
	log_state.role = role;
	log_state.fd = fd;
	log_state.min_level = min_level;
	log_state.format = format;
	log_state.clock = clock;
}

void
log_set_level(enum log_level min_level)
{
	log_state.min_level = min_level;
}

bool
log_is_on(enum log_level level)
{
	return log_state.fd >= 0 && level >= log_state.min_level;
}

static bool
is_bare(char c)
{
	return char_is_alnum(c) || strchr("-_./:@+<>[],%=", c) != NULL;
}

/* key=value with the value bare when it is plain, as a JSON string otherwise. */
static void
put_text_value(struct buf *out, struct str s)
{
	bool plain = s.n > 0;

	for (size_t i = 0; i < s.n && plain; i++)
		plain = s.p[i] != '\0' && is_bare(s.p[i]);
	if (plain)
		(void)buf_put(out, s);
	else
		(void)json_put_str(out, s);
}

/* How many bytes json_put_str makes of the next code point, which is taken. */
static size_t
escaped_size(struct cur *c)
{
	const char *start = c->p;
	uint32_t cp;

	if (!utf8_take(c, &cp)) {
		cur_skip(c, 1);
		return 3;
	}
	if (cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0x2028 || cp == 0x2029)
		return 6;
	return cp == '"' || cp == '\\' ? 2 : (size_t)(c->p - start);
}

/* As much of s as one value may take after escaping: no stranger's value crowds out the others. */
static struct str
value_prefix(struct str s)
{
	enum { VALUE_MAX = 256 };
	struct cur c = cur_of(s), before = c;
	size_t size = 0;

	while (!cur_at_end(&c)) {
		before = c;
		size += escaped_size(&c);
		if (size > VALUE_MAX)
			return str_take(s, s.n - cur_left(&before));
	}
	return s;
}

static void
put_str_field(struct buf *out, enum log_format format, const struct log_field *f)
{
	struct str value = value_prefix(f->s);

	if (format == LOG_JSON)
		(void)json_put_str(out, value);
	else
		put_text_value(out, value);
	if (value.n < f->s.n)
		(void)buf_putf(
		    out, format == LOG_JSON ? ",\"%s_cut\":true" : " %s_cut=true", f->key);
}

static void
put_field(struct buf *out, enum log_format format, const struct log_field *f)
{
	if (format == LOG_JSON)
		(void)buf_putf(out, ",\"%s\":", f->key);
	else
		(void)buf_putf(out, " %s=", f->key);
	switch (f->kind) {
	case LOG_KIND_U64:
		(void)buf_put_u64(out, f->u);
		break;
	case LOG_KIND_I64:
		(void)buf_putf(out, "%lld", (long long)(int64_t)f->u);
		break;
	case LOG_KIND_STR:
		put_str_field(out, format, f);
		break;
	case LOG_KIND_END:
		break;
	}
}

static void
put_time(struct buf *out, uint64_t wall_ms)
{
	/* Not by gmtime_r: its first call opens /etc/localtime, which a sandbox answers with death.
	 */
	unsigned s = (unsigned)(wall_ms / 1000 % 86400);
	struct civil day = civil_from_days((int64_t)(wall_ms / 1000 / 86400));

	(void)buf_putf(out, "%04lld-%02d-%02dT%02u:%02u:%02u.%03uZ", (long long)day.year, day.month,
	    day.day, s / 3600, s / 60 % 60, s % 60, (unsigned)(wall_ms % 1000));
}

enum status
log_format_line(struct buf *out, enum log_format format, uint64_t wall_ms, const char *role,
    enum log_level level, const char *name, const struct log_field *fields)
{
	/* Room for the mark that a field is missing, and for the end. */
	enum { TAIL_MAX = 16 };
	size_t start = out->n;
	bool is_cut = false;

	(void)buf_put(out, format == LOG_JSON ? STR("{\"time\":\"") : STR_NULL);
	put_time(out, wall_ms);
	if (format == LOG_JSON)
		(void)buf_putf(out, "\",\"role\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", role,
		    level_words[level], name);
	else
		(void)buf_putf(out, " %s %s %s", role, level_words[level], name);
	for (size_t n = 0; n < LOG_FIELDS_MAX && fields[n].kind != LOG_KIND_END; n++) {
		size_t before = out->n;

		put_field(out, format, &fields[n]);
		if (out->n - start > LOG_LINE_MAX - TAIL_MAX) {
			out->n = before;
			is_cut = true;
		}
	}
	if (is_cut)
		(void)buf_put(out, format == LOG_JSON ? STR(",\"cut\":true") : STR(" cut=true"));
	(void)buf_put(out, format == LOG_JSON ? STR("}\n") : STR("\n"));
	return out->full ? ST_LIMIT : ST_OK;
}

void
log_write(enum log_level level, const char *name, const struct log_field *fields)
{
	struct buf line;
	uint64_t now;

	if (!log_is_on(level))
		return;
	now = log_state.clock ? clock_wall_ms(log_state.clock) : 0;
	/* More than a line: a field is put first and taken back when it is too much. */
	buf_init(&line, (size_t)LOG_LINE_MAX * 2);
	if (log_format_line(&line, log_state.format, now, log_state.role, level, name, fields) ==
	    ST_OK) {
		/* One write, so that lines of several processes do not mix; a full pipe loses the
		 * line. */
		ssize_t n = write(log_state.fd, line.p, line.n);
		(void)n;
	}
	buf_fini(&line);
}

enum status
log_level_parse(struct str s, enum log_level *out)
{
	for (int i = 0; i < 4; i++)
		if (str_eq_ci(s, str_of_c(level_words[i]))) {
			*out = (enum log_level)i;
			return ST_OK;
		}
	return ST_SYNTAX;
}
