/*
 * Structured events. One event is one line: ids first, then key=value (or one JSON object).
 *
 *	log_event(LOG_INFO, "smtp.accepted", LOG_U64("session", id), LOG_STR("mailbox", addr));
 *
 * Values are escaped here, at the sink: a stranger's bytes cannot forge a line. A value is cut at
 * 256 bytes and marked KEY_cut=true; a line is at most LOG_LINE_MAX bytes, fields that do not fit
 * are left out and the line marked cut=true. Writing never blocks the caller for long and
 * never fails it.
 */
#ifndef POSTHORN_BASE_LOG_H
#define POSTHORN_BASE_LOG_H

#include "base/buf.h"
#include "base/clock.h"

#define LOG_LINE_MAX 2048
#define LOG_FIELDS_MAX 24

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

enum log_kind { LOG_KIND_END, LOG_KIND_STR, LOG_KIND_U64, LOG_KIND_I64 };

struct log_field {
	enum log_kind kind;
	const char *key;
	struct str s;
	uint64_t u;
};

#define LOG_STR(k, v) ((struct log_field){LOG_KIND_STR, (k), (v), 0})
#define LOG_CSTR(k, v) ((struct log_field){LOG_KIND_STR, (k), str_of_c(v), 0})
#define LOG_U64(k, v) ((struct log_field){LOG_KIND_U64, (k), STR_NULL, (uint64_t)(v)})
#define LOG_I64(k, v) ((struct log_field){LOG_KIND_I64, (k), STR_NULL, (uint64_t)(int64_t)(v)})
#define LOG_END ((struct log_field){LOG_KIND_END, NULL, STR_NULL, 0})
/* log_event(level, name, fields...): name is a literal such as "link.closed". */
#define log_event(level, ...) LOG_EVENT(level, __VA_ARGS__, LOG_END)
#define LOG_EVENT(level, name, ...) \
	log_write((level), (name), (const struct log_field[]){__VA_ARGS__})

/* Process-wide settings; role is a static string such as "smtpin.1". fd is borrowed. */
void log_setup(const char *role, int fd, enum log_level min_level, enum log_format format,
    const struct clock *clock);
void log_set_level(enum log_level min_level);
bool log_is_on(enum log_level level);
void log_write(enum log_level level, const char *name, const struct log_field *fields);
/* The line that log_write would write, without its time, for tests and for trace. */
enum status log_format_line(struct buf *out, enum log_format format, uint64_t wall_ms, const char *role,
    enum log_level level, const char *name, const struct log_field *fields);
enum status log_level_parse(struct str s, enum log_level *out) MUST_USE;

#endif
