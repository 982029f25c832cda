/* What happened, in plain words: the life of messages (trace), and everything as it comes (log read, which `log follow` asks again and again). */
#include <stdlib.h>

#include "base/check.h"
#include "base/enc.h"
#include "base/num.h"
#include "roles/admin_internal.h"

#define DAY_MS (24u * 3600 * 1000)
enum { TRACES_DEFAULT = 10, SENTENCE_BYTES_MAX = EVENT_BYTES_MAX + 1024 };

/* ---- sentences ---- */

static void
rcpts_put(struct buf *out, const char *before, const struct event *e)
{
	struct str rest = e->rcpts, one;
	bool is_first = true;

	if (rest.n > 0)
		(void)buf_put(out, str_of_c(before));
	while (rest.n > 0) {
		(void)str_split(rest, ' ', &one, &rest);
		/* " and 7 more" stands at the end of a list that was cut. */
		if (str_eq(one, STR("and")) && str_has_suffix_ci(rest, STR(" more"))) {
			(void)buf_putf(out, " and %.*s", STR_ARG(rest));
			return;
		}
		(void)buf_put(out, is_first ? STR_NULL : STR(", "));
		(void)buf_put(out, one);
		is_first = false;
	}
}

static void
peer_put(struct buf *out, const struct event *e)
{
	(void)buf_put(out, e->host.n > 0 ? e->host : STR("the other host"));
	if (e->ip.n > 0)
		(void)buf_putf(out, " [%.*s]", STR_ARG(e->ip));
	if (e->tls.n > 0)
		(void)buf_putf(out, " over %.*s", STR_ARG(e->tls));
}

static bool
has_reply(const struct event *e)
{
	return e->code > 0 || e->text.n > 0;
}

static void
reply_put(struct buf *out, const struct event *e)
{
	if (!has_reply(e))
		return;
	(void)buf_put(out, STR(": "));
	admin_reply_put(out, STR_NULL, e->code, e->enhanced, e->text);
}

/* How a message began: everything that is known of it. */
static void
accepted_put(struct buf *out, const struct event *e)
{
	(void)buf_putf(out, "accepted from %.*s", STR_ARG(admin_path_shown(e->sender)));
	rcpts_put(out, " for ", e);
	if (e->bytes > 0) {
		(void)buf_put(out, STR(", "));
		admin_size_put(out, e->bytes);
	}
	(void)buf_put(out, STR(", "));
}

static void
due_put(struct buf *out, const struct event *e)
{
	if (e->due_ms == 0)
		return;
	(void)buf_put(out, STR("; next try at "));
	if (e->due_ms / DAY_MS != e->at_ms / DAY_MS) {
		admin_date_put(out, e->due_ms);
		(void)buf_put_c(out, ' ');
	}
	admin_time_put(out, e->due_ms);
}

static void
queued_put(struct buf *out, const struct event *e, bool is_first)
{
	if (is_first)
		accepted_put(out, e);
	(void)buf_put(out, STR("queued"));
	if (e->message != 0) {
		(void)buf_put(out, STR(" as "));
		admin_queue_id_put(out, (struct queue_id){e->message});
	}
	if (!is_first)
		rcpts_put(out, " for ", e);
}

static void
deferred_put(struct buf *out, const struct event *e)
{
	(void)buf_put(out, STR("put off"));
	if (e->host.n > 0) {
		(void)buf_put(out, STR(": "));
		peer_put(out, e);
	}
	reply_put(out, e);
	due_put(out, e);
}

static void
failed_put(struct buf *out, const struct event *e)
{
	(void)buf_put(out, STR("failed"));
	rcpts_put(out, " for ", e);
	if (e->host.n > 0) {
		(void)buf_put(out, STR(": "));
		peer_put(out, e);
	}
	reply_put(out, e);
}

static void
sentence_put(struct buf *out, const struct event *e, bool is_first)
{
	switch ((enum event_kind)e->kind) {
	case EVENT_DELIVERED:
		if (is_first)
			accepted_put(out, e);
		(void)buf_put(out, STR("delivered here"));
		if (!is_first)
			rcpts_put(out, " to ", e);
		return;
	case EVENT_QUEUED:
		queued_put(out, e, is_first);
		return;
	case EVENT_SENT:
		(void)buf_put(out, STR("sent to "));
		peer_put(out, e);
		rcpts_put(out, " for ", e);
		reply_put(out, e);
		return;
	case EVENT_DEFERRED:
		deferred_put(out, e);
		return;
	case EVENT_FAILED:
		failed_put(out, e);
		return;
	case EVENT_NOTICE:
		(void)buf_put(out, STR("a notice was made"));
		rcpts_put(out, " about ", e);
		reply_put(out, e);
		return;
	case EVENT_HELD:
		(void)buf_put(out, STR("held by hand"));
		break;
	case EVENT_RELEASED:
		(void)buf_put(out, STR("released by hand"));
		break;
	case EVENT_RETRIED:
		(void)buf_put(out, STR("to be tried now, by hand"));
		break;
	case EVENT_REMOVED:
		(void)buf_put(out, STR("removed by hand"));
		break;
	}
	rcpts_put(out, ": ", e);
	if (e->text.n > 0)
		(void)buf_putf(out, " (%.*s)", STR_ARG(e->text));
}

/* ---- the object of an event ---- */

static void
rcpts_member_put(struct buf *out, const struct event *e)
{
	struct str rest = e->rcpts, one;
	bool is_first = true;

	(void)buf_put(out, STR(",\"recipients\":["));
	while (rest.n > 0) {
		(void)str_split(rest, ' ', &one, &rest);
		if (str_eq(one, STR("and")))
			break;
		(void)buf_put(out, is_first ? STR_NULL : STR(","));
		(void)json_put_str(out, one);
		is_first = false;
	}
	(void)buf_put_c(out, ']');
}

static void
message_member_put(struct buf *out, const struct event *e)
{
	struct buf id;

	buf_init(&id, 32);
	if (e->message != 0)
		admin_queue_id_put(&id, (struct queue_id){e->message});
	admin_member_put(out, "queue_id", buf_str(&id));
	buf_fini(&id);
}

static void
code_members_put(struct buf *out, const struct event *e)
{
	if (e->code > 0)
		(void)buf_putf(out, ",\"code\":%u", e->code);
	else
		(void)buf_put(out, STR(",\"code\":null"));
	if (e->enhanced[0] > 0)
		(void)buf_putf(out, ",\"enhanced\":\"%u.%u.%u\"", e->enhanced[0], e->enhanced[1], e->enhanced[2]);
	else
		(void)buf_put(out, STR(",\"enhanced\":null"));
}

static void
event_put_json(struct buf *out, const struct event *e, struct str text)
{
	(void)buf_putf(out, "{\"id\":%llu,\"trace\":%llu", (unsigned long long)e->id, (unsigned long long)(e->trace != 0 ? e->trace : e->id));
	admin_member_stamp_put(out, "time", e->at_ms);
	admin_member_put(out, "kind", str_of_c(event_kind_word((enum event_kind)e->kind)));
	message_member_put(out, e);
	admin_member_put(out, "sender", admin_path_shown(e->sender));
	rcpts_member_put(out, e);
	admin_member_put(out, "message_id", e->message_id);
	(void)buf_putf(out, ",\"size_bytes\":%llu", (unsigned long long)e->bytes);
	admin_member_put(out, "host", e->host);
	admin_member_put(out, "ip", e->ip);
	admin_member_put(out, "tls", e->tls);
	code_members_put(out, e);
	admin_member_put(out, "reply", e->text);
	admin_member_stamp_put(out, "next_try", e->due_ms);
	admin_member_put(out, "text", text);
	(void)buf_put_c(out, '}');
}

/* day_ms: the day that the reader knows already. */
static void
event_line_put(struct buf *out, const struct event *e, uint64_t day_ms, bool is_id_shown)
{
	struct buf text;

	buf_init(&text, SENTENCE_BYTES_MAX);
	if (e->at_ms / DAY_MS != day_ms / DAY_MS) {
		admin_date_put(&text, e->at_ms);
		(void)buf_put_c(&text, ' ');
	}
	admin_time_put(&text, e->at_ms);
	(void)buf_put(&text, STR("  "));
	if (is_id_shown && e->message != 0) {
		admin_queue_id_put(&text, (struct queue_id){e->message});
		(void)buf_put(&text, STR("  "));
	}
	sentence_put(&text, e, e->trace == 0);
	event_put_json(out, e, buf_str(&text));
	buf_fini(&text);
}

/* ---- trace ---- */

/* "2026-11-03  me@a.example to you@b.example  <1@a.example>" */
static void
title_put(struct buf *out, const struct event *e)
{
	admin_date_put(out, e->at_ms);
	(void)buf_putf(out, "  %.*s", STR_ARG(admin_path_shown(e->sender)));
	rcpts_put(out, " to ", e);
	if (e->message_id.n > 0)
		(void)buf_putf(out, "  %.*s", STR_ARG(e->message_id));
}

static bool
has_name(const struct event *e, struct str name)
{
	struct str rest = e->rcpts, one;
	struct str id = e->message_id;

	if (id.n >= 2 && id.p[0] == '<' && name.n > 0 && name.p[0] != '<')
		id = str_take(str_from(id, 1), id.n - 2);
	if (str_eq_ci(e->sender, name) || str_eq_ci(id, name))
		return true;
	while (rest.n > 0) {
		(void)str_split(rest, ' ', &one, &rest);
		if (str_eq_ci(one, name) || (str_eq(one, STR("and")) && str_has_suffix_ci(rest, STR(" more"))))
			return true;
	}
	/* A list that was cut does not name all. */
	return e->rcpts.n + 320 > EVENT_RCPTS_BYTES_MAX;
}

/* Two names may share a hash; an event that is forgotten, with those behind it still there, is not its trace's first. */
static bool
is_other(const struct admin_job *j, const struct event *first)
{
	struct str name = j->operands[0];

	if (name.n >= 2 && name.p[0] == '<' && str_find_char(name, '@') < name.n && name.p[name.n - 1] == '>')
		name = str_take(str_from(name, 1), name.n - 2);
	return first->trace == 0 && j->queue.id.v == 0 && !has_name(first, name);
}

static void
trace_section_put(struct admin_job *j, const struct event *e, size_t n)
{
	struct buf *out = &j->out, title;

	buf_init(&title, SENTENCE_BYTES_MAX);
	title_put(&title, &e[0]);
	(void)buf_putf(out, "{\"trace\":%llu", (unsigned long long)(e[0].trace != 0 ? e[0].trace : e[0].id));
	admin_member_put(out, "title", buf_str(&title));
	(void)buf_put(out, STR(",\"lines\":["));
	for (size_t i = 0; i < n && out->n < ADMIN_LIST_BYTES_MAX; i++) {
		(void)buf_put(out, i > 0 ? STR(",") : STR_NULL);
		event_line_put(out, &e[i], e[0].at_ms, false);
	}
	(void)buf_putf(out, "],\"cut\":%s}", n == ADMIN_TRACE_EVENTS_MAX ? "true" : "false");
	buf_fini(&title);
}

/* A trace per turn. */
static enum status
trace_step(struct admin_job *j)
{
	struct admin *a = j->admin;
	size_t n = 0;
	enum status st = ST_OK;

	if (j->trace.at == j->trace.n) {
		if (j->queue.found_n > 0)
			return ST_EOF;
		(void)buf_put(&j->why, STR("nothing is known of it (any more)"));
		return ST_NOTFOUND;
	}
	arena_reset(&a->arena);
	st = event_trace(store_snapshot(a->store), j->trace.first[j->trace.at++], &a->arena, a->events, ADMIN_TRACE_EVENTS_MAX, &n);
	if (st != ST_OK || n == 0 || is_other(j, &a->events[0]))
		return st;
	st = admin_row_begin(j);
	if (st != ST_OK)
		return st;
	j->queue.found_n++;
	trace_section_put(j, a->events, n);
	return ST_OK;
}

/* A number that an option gives; fallback without one or when it is none. */
static uint64_t
number_of(const struct admin_job *j, const char *name, uint64_t fallback)
{
	uint64_t v;

	return str_to_u64(str_of_c(admin_option(j, name)), &v) == ST_OK ? v : fallback;
}

/* By the id of a message that is in the queue still. */
static enum status
trace_of_queued(struct admin_job *j)
{
	struct queue_message m;
	enum status st;

	if (str_find_char(j->operands[0], '@') < j->operands[0].n || !admin_queue_id_parse(j->operands[0], &j->queue.id))
		return ST_NOTFOUND;
	arena_reset(&j->admin->arena);
	st = queue_get(store_snapshot(j->admin->store), j->queue.id, &j->admin->arena, &m);
	if (st == ST_OK) {
		j->trace.first[0] = m.trace;
		j->trace.n = 1;
	} else {
		j->queue.id.v = 0;
	}
	return st;
}

void
admin_trace(struct admin_job *j)
{
	size_t max = (size_t)number_of(j, "last", TRACES_DEFAULT);
	enum status st;

	if (max == 0 || max > ADMIN_TRACES_MAX) {
		admin_job_refuse(j, "--last is a number from 1 to 1000", "Leave it out to see the last 10.");
		return;
	}
	j->trace.first = calloc(max, sizeof(*j->trace.first));
	CHECK(j->trace.first != NULL);
	st = trace_of_queued(j);
	if (st == ST_NOTFOUND)
		st = event_find(store_snapshot(j->admin->store), j->operands[0], j->trace.first, max, &j->trace.n);
	if (st != ST_OK) {
		admin_job_end(j, st);
		return;
	}
	admin_list_open(j, "{\"sections\":[", trace_step);
	admin_list_turn(j);
}

/* ---- log read ---- */

/* after: what the reader has; without it the last so many. Ids have gaps where nothing was stored, so these may be fewer. */
static enum status
log_after(struct admin_job *j, uint64_t *out)
{
	uint64_t last, want = number_of(j, "last", TRACES_DEFAULT);
	enum status st;

	*out = number_of(j, "after", 0);
	if (admin_option(j, "after") != NULL)
		return ST_OK;
	st = event_last(store_snapshot(j->admin->store), &last);
	*out = last > want ? last - want : 0;
	return st;
}

void
admin_log_read(struct admin_job *j)
{
	struct admin *a = j->admin;
	uint64_t after;
	size_t n = 0;
	enum status st = log_after(j, &after);

	arena_reset(&a->arena);
	if (st == ST_OK)
		st = event_list(store_snapshot(a->store), after, &a->arena, a->events, ADMIN_LOG_EVENTS_MAX, &n);
	if (st != ST_OK) {
		admin_job_end(j, st);
		return;
	}
	(void)buf_put(&j->out, STR("{\"lines\":["));
	for (size_t i = 0; i < n; i++) {
		(void)buf_put(&j->out, i > 0 ? STR(",") : STR_NULL);
		event_line_put(&j->out, &a->events[i], 0, true);
	}
	(void)buf_putf(&j->out, "],\"last\":%llu,\"more\":%s}", (unsigned long long)(n > 0 ? a->events[n - 1].id : after),
	    n == ADMIN_LOG_EVENTS_MAX ? "true" : "false");
	admin_job_answer(j, 0);
}
