/*
 * What became of a try: the queue says it, the store keeps it. When somebody must be told, a worker writes the notice first, and the recipients
 * leave the queue in the very transaction that delivers or queues it: no failure goes without its word, and no word is said twice.
 * (Only the notice of a delivery here, which somebody asked for, is made after the fact: a crash in between loses that word, not the mail.)
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rnd.h"
#include "flow/deliver/deliver.h"
#include "flow/report/event.h"
#include "flow/report/notice.h"
#include "roles/store_role.h"

enum {
	RESULTS_MAX = 8192,
	/* A worker that was lost with a notice: the queue says the result again after this. */
	NOTICE_WAIT_MS = 20 * 1000,
	/* To one address: who gets more has a loop somewhere, or is a victim of somebody's forged senders. */
	NOTICES_PER_HOUR = 100,
	NOTICE_TARGETS_MAX = 100000,
	HOUR_MS = 3600 * 1000,
	RECORD_COPY_MAX = 1 << 20,
};

/* A result on its way into the log. */
struct result {
	struct store_role *s;
	uint64_t id;		/* in s->results */
	struct reply_to to;
	struct loop_id timer;
	struct buf record;	/* QUEUE_RESULT's payload, which r borrows from */
	struct rec_queue_result r;
	uint64_t now_ms;
	bool has_notice;	/* text is to be sent to the sender */
	uint8_t notice_flags;
	char *text;
	size_t text_n;
	bool is_local;		/* no result of the queue's: only the notice that `local` was delivered here */
	struct queue_message local;	/* in arena */
	/* Of the transaction. */
	struct arena arena;
	uint32_t left_n;
	uint64_t due_ms;
	bool is_held;
	struct queue_id notice_queued;
	struct blob_id notice_blob;	/* in a mailbox here */
};

static void
result_free(struct result *k)
{
	loop_timer_del(role_loop(k->s->role), &k->timer);
	slots_del(&k->s->results, k->id);
	buf_fini(&k->record);
	arena_fini(&k->arena);
	free(k->text);
	free(k);
}

static void
result_answer(struct result *k, bool ok)
{
	struct link *l = k->is_local ? NULL : store_role_reply(k->s, &k->to);

	if (l != NULL)
		(void)rec_queue_result_answer_put(link_out(l),
		    &(struct rec_queue_result_answer){.job = k->r.job,
		        .ok = ok,
		        .rcpts_n = k->left_n,
		        .due_ms = k->due_ms,
		        .is_held = k->is_held});
	result_free(k);
}

static struct queue_try
try_of(const struct result *k)
{
	return (struct queue_try){.destination = k->r.destination,
	    .now_ms = k->now_ms,
	    .due_ms = k->r.due_ms,
	    .notice_ms = role_settings(k->s->role)->queue_notice_ms,
	    .host = k->r.host,
	    .is_own = k->r.is_own != 0,
	    .code = k->r.code,
	    .enhanced = {k->r.class, k->r.subject, k->r.detail},
	    .text = k->r.text,
	    .results = k->r.results};
}

/* ---- events ---- */

static enum event_kind
event_kind_of(const struct queue_news *w)
{
	switch ((enum queue_verdict)w->verdict) {
	case QUEUE_DELIVERED:
	case QUEUE_RELAYED:
		return EVENT_SENT;
	case QUEUE_DEFERRED:
		return EVENT_DEFERRED;
	case QUEUE_FAILED:
		return EVENT_FAILED;
	}
	return EVENT_FAILED;
}

static bool
is_same_news(const struct queue_news *a, const struct queue_news *b)
{
	return a->verdict == b->verdict && a->rcpt.code == b->rcpt.code && str_eq(a->rcpt.text, b->rcpt.text);
}

/* Recipients with the same fate share one event. */
static enum status
events_put(struct result *k, struct txn *t, const struct queue_message *m, const struct queue_news *news, size_t n)
{
	struct buf rcpts;
	enum status st = ST_OK;

	buf_init(&rcpts, EVENT_RCPTS_BYTES_MAX);
	for (size_t i = 0; i < n && st == ST_OK;) {
		const struct queue_news *w = &news[i];
		struct event e = {.trace = m->trace, .at_ms = k->now_ms, .message = m->id.v, .kind = (uint8_t)event_kind_of(w),
		    .due_ms = w->verdict == QUEUE_DEFERRED ? w->rcpt.due_ms : 0, .code = w->rcpt.code,
		    .enhanced = {w->rcpt.enhanced[0], w->rcpt.enhanced[1], w->rcpt.enhanced[2]}, .host = k->r.host, .ip = k->r.ip,
		    .tls = k->r.tls, .text = w->is_expired ? STR("its time in the queue is over") : w->rcpt.text};
		buf_reset(&rcpts);
		for (; i < n && is_same_news(w, &news[i]); i++) {
			if (rcpts.n + news[i].rcpt.path.n + 1 > rcpts.max)
				continue;
			if (rcpts.n > 0)
				(void)buf_put_c(&rcpts, ' ');
			(void)buf_put(&rcpts, news[i].rcpt.path);
		}
		e.rcpts = buf_str(&rcpts);
		st = event_put(t, &e, NULL, 0);
	}
	buf_fini(&rcpts);
	return st;
}

/* ---- the notice ---- */

/* Where notices of this message come from: the postmaster of the domain that sent it. */
static struct str
notice_domain(const struct result *k, const struct queue_message *m)
{
	return m->sign_domain.n > 0 ? m->sign_domain : role_settings(k->s->role)->hostname;
}

/* RFC 5321 4.5.5: from the null path; to a mailbox here, or once more into the queue. */
static enum status
notice_deliver(struct result *k, struct txn *t, const struct queue_message *m)
{
	struct str body = str_of(k->text, k->text_n);
	struct delivery_rcpt rcpts[ROUTE_ACCOUNTS_MAX];
	struct route *route = k->s->route;
	struct delivery d = {.parts = &body, .parts_n = 1, .body_bytes = body.n, .now_ms = k->now_ms};
	struct event e = {.trace = m->trace, .at_ms = k->now_ms, .message = m->id.v, .kind = EVENT_NOTICE, .rcpts = m->reverse_path,
	    .bytes = body.n};
	struct queue_new_rcpt remote = {.path = m->reverse_path, .notify = ENVELOPE_NEVER};
	struct queue_message q = {.arrived_ms = k->now_ms, .body_bytes = body.n, .trace = m->trace, .flags = k->notice_flags,
	    .priority = ENVELOPE_PRIORITY_ZERO, .sign_domain = m->sign_domain};
	struct queue_options o = {.life_ms = role_settings(k->s->role)->queue_life_ms};
	struct blob_id blob;
	enum status st = store_role_route(k->s, t, m->reverse_path) ? ST_OK : ST_IO;

	if (st != ST_OK)
		return st;
	d.others = route->verdict == ROUTE_NOT_LOCAL;
	for (size_t i = 0; route->verdict == ROUTE_OK && i < route->n; i++)
		rcpts[i] = (struct delivery_rcpt){.account = route->targets[i].account,
		    .head = STR("Return-Path: <>\r\n")};
	st = deliver_message(t, &d, rcpts, route->verdict == ROUTE_OK ? route->n : 0, &blob);
	if (st == ST_OK && d.others > 0) {
		q.blob = blob;
		st = queue_put(t, &q, &remote, 1, &o, 0);
		/* A reverse-path that cannot be sent to has nobody behind it. */
		if (st == ST_SYNTAX)
			return store_blob_ref(t, blob, -1);
		k->notice_queued = q.id;
	} else if (st == ST_OK) {
		k->notice_blob = blob;
	}
	return st == ST_OK && blob.v != 0 ? event_put(t, &e, NULL, 0) : st;
}

/* ---- the transaction ---- */

static enum status
left_count(struct result *k, struct txn *t, const struct queue_message *m)
{
	struct queue_rcpt *rcpts;
	struct queue_entry *entries;
	size_t n;
	enum status st = queue_rcpts(t, m->id, &k->arena, &rcpts, &n);

	k->left_n = 0;
	if (st == ST_OK)
		st = queue_entries(rcpts, n, &k->arena, &entries, &n);
	for (size_t i = 0; st == ST_OK && i < n; i++) {
		if (!str_eq(entries[i].destination, k->r.destination))
			continue;
		k->left_n = entries[i].rcpts_n;
		k->due_ms = entries[i].due_ms;
		k->is_held = entries[i].is_held;
	}
	return st;
}

static enum status
result_txn(struct txn *t, void *arg)
{
	struct result *k = arg;
	struct queue_try try = try_of(k);
	struct queue_message m = {0};
	struct queue_news *news;
	size_t n;
	bool is_gone = false;
	enum status st;

	arena_reset(&k->arena);
	k->notice_queued = (struct queue_id){0};
	k->notice_blob = (struct blob_id){0};
	k->left_n = 0;
	st = queue_get(t, (struct queue_id){k->r.message}, &k->arena, &m);
	/* Removed meanwhile: nothing is left of it, and that is the answer. */
	if (st == ST_NOTFOUND)
		return ST_OK;
	if (st == ST_OK)
		st = queue_tried(t, &m, &try, &k->arena, &news, &n, &is_gone);
	if (st == ST_OK)
		st = events_put(k, t, &m, news, n);
	if (st == ST_OK && k->has_notice)
		st = notice_deliver(k, t, &m);
	return st == ST_OK && !is_gone ? left_count(k, t, &m) : st;
}

static enum status
local_txn(struct txn *t, void *arg)
{
	struct result *k = arg;

	k->notice_queued = (struct queue_id){0};
	k->notice_blob = (struct blob_id){0};
	return notice_deliver(k, t, &k->local);
}

static void
result_done(void *arg, enum status st)
{
	struct result *k = arg;

	if (st == ST_OK && k->notice_queued.v != 0)
		store_queue_tell(k->s, k->notice_queued);
	result_answer(k, st == ST_OK);
}

static void
result_commit(struct result *k)
{
	enum status st = store_transact(k->s->store, k->is_local ? local_txn : result_txn, k, result_done, k);

	if (st == ST_OK) {
		/* It is mail like any other to who reads it. */
		if (k->notice_blob.v != 0)
			store_digest_send(k->s, k->notice_blob, str_of(k->text, k->text_n));
		return;
	}
	log_event(LOG_WARN, "queue.result", LOG_U64("message", k->r.message), LOG_CSTR("why", status_word(st)));
	result_answer(k, false);
}

/* ---- asking for the notice ---- */

struct notice_target {
	uint64_t since_ms;
	uint32_t n;
};

static bool
notice_is_allowed(struct store_role *s, struct str to, uint64_t now_ms)
{
	struct notice_target *w = map_get(&s->notice_targets, to);

	if (w == NULL) {
		w = calloc(1, sizeof(*w));
		CHECK(w != NULL);
		w->since_ms = now_ms;
		if (map_put(&s->notice_targets, to, w, NULL) != ST_OK) {
			free(w);
			return false;
		}
	}
	if (now_ms - w->since_ms >= HOUR_MS)
		*w = (struct notice_target){.since_ms = now_ms};
	return w->n++ < NOTICES_PER_HOUR;
}

static enum dsn_action
action_of(const struct queue_news *w)
{
	switch ((enum queue_verdict)w->verdict) {
	case QUEUE_DELIVERED:
		return DSN_DELIVERED;
	case QUEUE_RELAYED:
		return DSN_RELAYED;
	case QUEUE_DEFERRED:
		return DSN_DELAYED;
	case QUEUE_FAILED:
		return DSN_FAILED;
	}
	return DSN_FAILED;
}

static enum status
notice_rcpts(const struct result *k, const struct queue_message *m, struct queue_news *news, size_t n, struct buf *out)
{
	enum status st = ST_OK;

	for (size_t i = 0; i < n && st == ST_OK; i++) {
		struct queue_news *w = &news[i];
		if (!w->is_notice_due)
			continue;
		if (w->is_expired) {
			/* RFC 3463 3.5: delivery time expired; the last word of the other side stays. */
			memcpy(w->rcpt.enhanced, (const uint16_t[3]){5, 4, 7}, sizeof(w->rcpt.enhanced));
		}
		st = notice_rcpt_put(out, action_of(w), &w->rcpt, k->r.ip, w->verdict == QUEUE_DEFERRED ? m->expires_ms : 0);
	}
	return st;
}

static void
notice_timeout(void *arg)
{
	struct result *k = arg;

	k->timer = (struct loop_id){0};
	result_answer(k, false);
}

static enum status
notice_ask(struct result *k, const struct queue_message *m, struct str rcpts)
{
	struct store_role *s = k->s;
	struct link *l = role_link_any(s->role, ROLE_WORKER, s->digest_spread++);
	struct buf original, from, id;
	enum status st;

	if (l == NULL)
		return ST_IO;
	buf_init(&original, NOTICE_ORIGINAL_BYTES_MAX + QUEUE_HEAD_BYTES_MAX);
	buf_init(&from, 512);
	buf_init(&id, 512);
	(void)buf_put(&original, m->head);
	st = store_blob_read(store_snapshot(s->store), m->blob, 0, NOTICE_ORIGINAL_BYTES_MAX, &original);
	(void)buf_putf(&from, "postmaster@%.*s", STR_ARG(notice_domain(k, m)));
	(void)buf_putf(&id, "%llx%llx.%llx@%.*s", (unsigned long long)k->now_ms, (unsigned long long)m->id.v,
	    (unsigned long long)rnd_u64(), STR_ARG(role_settings(s->role)->hostname));
	if (st == ST_OK)
		(void)rec_notice_put(link_out(l),
		    &(struct rec_notice){.ask = k->id, .from = buf_str(&from), .to = m->reverse_path, .envid = m->envid,
		        .id = buf_str(&id), .arrived_ms = m->arrived_ms, .now_ms = k->now_ms, .flags = m->flags, .ret = m->ret,
		        .rcpts = rcpts, .is_whole = m->body_bytes <= NOTICE_ORIGINAL_BYTES_MAX, .original = buf_str(&original)});
	buf_fini(&original);
	buf_fini(&from);
	buf_fini(&id);
	return st;
}

/*
 * Is the notice of this very try being written? A queue that was restarted tries again what it does not know the end of: its result waits
 * until it can be seen what the first one has left.
 */
static bool
is_noticed_already(struct result *k)
{
	struct result *w;
	uint32_t it = 0;

	while ((w = slots_next(&k->s->results, &it)) != NULL)
		if (w != k && !w->is_local && w->timer.v != 0 && w->r.message == k->r.message &&
		    str_eq(w->r.destination, k->r.destination))
			return true;
	return false;
}

/* True: a worker writes it, and we wait. */
static bool
result_needs_notice(struct result *k, bool *is_broken_out)
{
	struct store_role *s = k->s;
	struct txn *t = store_snapshot(s->store);
	struct queue_try try = try_of(k);
	struct queue_message m = {0};
	struct queue_rcpt *rcpts;
	struct queue_news *news;
	struct buf out;
	size_t n, due = 0;
	enum status st = queue_get(t, (struct queue_id){k->r.message}, &k->arena, &m);

	*is_broken_out = false;
	if (st == ST_OK)
		st = queue_rcpts(t, m.id, &k->arena, &rcpts, &n);
	if (st == ST_OK)
		st = queue_judge(&m, rcpts, n, &try, &k->arena, &news, &n);
	*is_broken_out = st == ST_SYNTAX;
	if (st != ST_OK)
		return false;
	for (size_t i = 0; i < n; i++)
		due += news[i].is_notice_due;
	if (due == 0)
		return false;
	if (is_noticed_already(k)) {
		k->timer = loop_timer_add(role_loop(s->role), 1, notice_timeout, k);
		return true;
	}
	if (!notice_is_allowed(s, m.reverse_path, k->now_ms)) {
		log_event(LOG_WARN, "notice.too_many", LOG_STR("to", m.reverse_path));
		return false;
	}
	buf_init(&out, RECORD_COPY_MAX);
	st = notice_rcpts(k, &m, news, n, &out);
	if (st == ST_OK)
		st = notice_ask(k, &m, buf_str(&out));
	buf_fini(&out);
	/* Without the notice there is no end of it: the queue says the result again later. */
	k->timer = loop_timer_add(role_loop(s->role), st == ST_OK ? NOTICE_WAIT_MS : 1000, notice_timeout, k);
	return true;
}

bool
store_queue_result(struct store_role *s, struct link *l, struct cur *c)
{
	struct result *k;
	struct cur copy;
	bool is_broken = false;

	k = calloc(1, sizeof(*k));
	CHECK(k != NULL);
	k->s = s;
	buf_init(&k->record, RECORD_BYTES_MAX);
	arena_init(&k->arena, QUEUE_ARENA_BYTES);
	(void)buf_put(&k->record, cur_rest(c));
	copy = cur_of(buf_str(&k->record));
	if (!rec_queue_result_take(&copy, &k->r)) {
		result_free(k);
		return false;
	}
	c->p = c->end;
	k->now_ms = store_role_wall_ms(s);
	k->to = store_role_reply_to(s, l, 0);
	k->id = slots_add(&s->results, k);
	if (k->id == 0) {
		result_answer(k, false);
		return true;
	}
	if (result_needs_notice(k, &is_broken))
		return true;
	if (is_broken) {
		result_free(k);
		return false;
	}
	result_commit(k);
	return true;
}

bool
store_notice_answer(struct store_role *s, struct cur *c)
{
	struct rec_notice_answer a;
	struct result *k;

	if (!rec_notice_answer_take(c, &a) || a.text.n > NOTICE_BYTES_MAX)
		return false;
	k = slots_get(&s->results, a.ask);
	if (k == NULL || k->has_notice || k->timer.v == 0)
		return true;
	loop_timer_del(role_loop(s->role), &k->timer);
	if (!a.ok && k->is_local) {
		result_free(k);
		return true;
	}
	if (!a.ok) {
		/* It cannot be written at all: the failure is kept in the events, the sender hears nothing. */
		log_event(LOG_ERROR, "notice.unwritable", LOG_U64("message", k->r.message));
		result_commit(k);
		return true;
	}
	k->text = malloc(a.text.n + 1);
	CHECK(k->text != NULL);
	memcpy(k->text, a.text.p, a.text.n);
	k->text_n = a.text.n;
	k->notice_flags = a.flags;
	k->has_notice = true;
	result_commit(k);
	return true;
}

void
store_notice_delivered(struct store_role *s, const struct queue_message *m, struct str rcpts)
{
	struct result *k;
	struct queue_message *c;

	if (m->reverse_path.n == 0 || !notice_is_allowed(s, m->reverse_path, store_role_wall_ms(s)))
		return;
	k = calloc(1, sizeof(*k));
	CHECK(k != NULL);
	k->s = s;
	k->is_local = true;
	k->now_ms = store_role_wall_ms(s);
	buf_init(&k->record, 1);
	arena_init(&k->arena, QUEUE_ARENA_BYTES);
	k->local = *m;
	c = &k->local;
	k->id = slots_add(&s->results, k);
	if (k->id == 0 || arena_str(&k->arena, m->reverse_path, &c->reverse_path) != ST_OK ||
	    arena_str(&k->arena, m->head, &c->head) != ST_OK || arena_str(&k->arena, m->envid, &c->envid) != ST_OK ||
	    arena_str(&k->arena, m->sign_domain, &c->sign_domain) != ST_OK || notice_ask(k, c, rcpts) != ST_OK) {
		result_free(k);
		return;
	}
	k->timer = loop_timer_add(role_loop(s->role), NOTICE_WAIT_MS, notice_timeout, k);
}

void
store_results_fini(struct store_role *s)
{
	struct result *k;
	uint32_t it = 0;

	while ((k = slots_next(&s->results, &it)) != NULL)
		result_free(k);
	slots_fini(&s->results);
}

void
store_results_init(struct store_role *s)
{
	slots_init(&s->results, RESULTS_MAX);
	map_init(&s->notice_targets, NOTICE_TARGETS_MAX);
}
