#include "base/log.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

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

static void
put_field(struct buf *out, enum log_format format, const struct log_field *f)
{
	/* What a line of LOG_LINE_MAX holds at most of one value, after worst-case escaping. */
	enum { VALUE_MAX = 256 };

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
		if (format == LOG_JSON)
			(void)json_put_str(out, utf8_prefix(f->s, VALUE_MAX));
		else
			put_text_value(out, utf8_prefix(f->s, VALUE_MAX));
		if (f->s.n > VALUE_MAX)
			(void)buf_putf(out, format == LOG_JSON ? ",\"%s_cut\":true" : " %s_cut=true", f->key);
		break;
	case LOG_KIND_END:
		break;
	}
}

static void
put_time(struct buf *out, uint64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&t, &tm);
	(void)buf_putf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_ms % 1000));
}

enum status
log_format_line(struct buf *out, enum log_format format, uint64_t wall_ms, const char *role,
    enum log_level level, const char *name, const struct log_field *fields)
{
	size_t n = 0;

	(void)buf_put(out, format == LOG_JSON ? STR("{\"time\":\"") : STR_NULL);
	put_time(out, wall_ms);
	if (format == LOG_JSON)
		(void)buf_putf(out, "\",\"role\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", role,
		    level_words[level], name);
	else
		(void)buf_putf(out, " %s %s %s", role, level_words[level], name);
	for (; fields[n].kind != LOG_KIND_END && n < LOG_FIELDS_MAX; n++)
		put_field(out, format, &fields[n]);
	return buf_put(out, format == LOG_JSON ? STR("}\n") : STR("\n"));
}

void
log_write(enum log_level level, const char *name, const struct log_field *fields)
{
	struct buf line;
	uint64_t now = log_state.clock ? clock_wall_ms(log_state.clock) : 0;

	if (!log_is_on(level))
		return;
	buf_init(&line, (size_t)LOG_LINE_MAX * 4);
	if (log_format_line(&line, log_state.format, now, log_state.role, level, name, fields) == ST_OK) {
		/* One write, so that lines of several processes do not mix; a full pipe loses the line. */
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
