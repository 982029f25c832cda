/* The store role's half of receiving: recipients, senders, staged bodies, the one transaction that is the 250. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "flow/deliver/deliver.h"
#include "flow/report/event.h"
#include "roles/store_role.h"
#include "standards/address/address.h"

enum {
	HEAD_BYTES_MAX = 4096,
	ANSWERS_BYTES_MAX = 1000 * 256,
	RCPTS_MAX = 1000,
};

static void
answer_put(struct buf *out, uint16_t code, struct str enhanced, struct str text)
{
	char two[2];

	le16_put(two, code);
	(void)buf_put(out, str_of(two, 2));
	le16_put(two, (uint16_t)(enhanced.n + 1 + text.n));
	(void)buf_put(out, str_of(two, 2));
	(void)buf_put(out, enhanced);
	(void)buf_put_c(out, ' ');
	(void)buf_put(out, text);
}

bool
store_role_route(struct store_role *s, struct txn *t, struct str path)
{
	struct address a;
	struct str local = path, domain = STR_NULL;

	if (!str_eq_ci(path, STR("postmaster"))) {
		if (address_parse(path, true, &a) != ST_OK) {
			*s->route = (struct route){.verdict = ROUTE_UNKNOWN_USER,
			    .code = 553,
			    .enhanced = STR("5.1.3"),
			    .text = STR("This is no valid address")};
			return true;
		}
		local = a.local;
		domain = a.domain;
	}
	return route_resolve(t, local, domain, (char)role_settings(s->role)->delimiter, s->route) == ST_OK;
}

/* Who sends: an account that has logged in, a client in a trusted network (both may send to other hosts), or a stranger. */
struct submitter {
	struct account_id account;	/* 0: none */
	bool may_relay;
};

/* False: a capability was shown that is none (any more). */
static bool
submitter_of(struct store_role *s, const struct link *l, struct str cap, bool is_trusted, struct submitter *out)
{
	const struct mailbox_cap *c = cap.n > 0 ? store_role_cap(s, l, cap) : NULL;

	*out = (struct submitter){0};
	if (link_peer(l) == ROLE_ACCESS && c == NULL)
		return false;
	if (c != NULL)
		*out = (struct submitter){.account = c->account, .may_relay = true};
	else if (is_trusted && role_settings(s->role)->trusted_nets.n > 0)
		out->may_relay = true;
	return true;
}

static const struct str cap_gone_text = STR_INIT("4.7.0 Your login has ended, log in again");
static const struct str lookup_text = STR_INIT("4.3.0 The mail store cannot look this address up at the moment, try again later");

bool
store_route(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_route r;
	struct rec_route_answer a;
	struct submitter who;

	if (!rec_route_take(c, &r))
		return false;
	a = (struct rec_route_answer){.session = r.session, .code = 250, .text = STR("2.1.5 Ok")};
	buf_reset(&s->scratch);
	if (store_is_full(s->store)) {
		a.code = 452;
		a.text = STR("4.3.1 The mail store has too little free space, try again later");
	} else if (!submitter_of(s, l, r.cap, r.is_trusted, &who)) {
		a.code = 451;
		a.text = cap_gone_text;
	} else if (!store_role_route(s, store_snapshot(s->store), r.path)) {
		a.code = 451;
		a.text = lookup_text;
	} else if (s->route->verdict == ROUTE_NOT_LOCAL && who.may_relay) {
		a.is_remote = 1;
	} else if (s->route->verdict != ROUTE_OK) {
		a.code = s->route->code;
		(void)buf_put(&s->scratch, s->route->enhanced);
		(void)buf_put_c(&s->scratch, ' ');
		(void)buf_put(&s->scratch, s->route->text);
		a.text = buf_str(&s->scratch);
	}
	a.accounts = a.code == 250 ? (uint16_t)(a.is_remote ? 1 : s->route->n) : 0;
	s->refused_n += a.code != 250;
	(void)rec_route_answer_put(link_out(l), &a);
	return true;
}

/*
 * An address is an account's own when mail for it goes to that account alone: its address with any detail, an alias of its own, a
 * domain alias, a catch-all. False in *ok_out: not its own.
 */
static enum status
sender_check(struct store_role *s, struct txn *t, struct account_id account, struct str address, bool *ok_out)
{
	*ok_out = false;
	if (!store_role_route(s, t, address))
		return ST_IO;
	*ok_out = s->route->n == 1 && s->route->targets[0].account.v == account.v;
	return ST_OK;
}

static const struct str not_yours_text = STR_INIT("5.7.1 This address is not yours to send from; ask your administrator for an alias");

bool
store_sender(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_sender r;
	struct rec_sender_answer a;
	struct submitter who;
	bool ok = true;

	if (!rec_sender_take(c, &r))
		return false;
	a = (struct rec_sender_answer){.session = r.session, .code = 250, .text = STR("2.1.0 Ok")};
	if (!submitter_of(s, l, r.cap, false, &who)) {
		a.code = 451;
		a.text = cap_gone_text;
	} else if (r.path.n > 0 && sender_check(s, store_snapshot(s->store), who.account, r.path, &ok) != ST_OK) {
		a.code = 451;
		a.text = lookup_text;
	} else if (!ok) {
		a.code = 550;
		a.text = not_yours_text;
	}
	(void)rec_sender_answer_put(link_out(l), &a);
	return true;
}

/* ---- staged bodies ---- */

struct stage {
	struct store_stage *stage;
	uint64_t bytes;
	uint16_t index;
	uint8_t kind;
	bool is_failed;
};

enum { STAGE_KEY_BYTES = 11 };

static struct str
stage_key(char key[STAGE_KEY_BYTES], const struct link *l, uint64_t session)
{
	key[0] = (char)link_peer(l);
	le16_put(key + 1, link_peer_index(l));
	le64_put(key + 3, session);
	return str_of(key, STAGE_KEY_BYTES);
}

static void
stage_free(struct stage *g)
{
	if (g == NULL)
		return;
	if (g->stage != NULL)
		store_stage_free(&g->stage);
	free(g);
}

static struct stage *
stage_open(struct store_role *s, const struct link *l, uint64_t session)
{
	char key[STAGE_KEY_BYTES];
	struct str k = stage_key(key, l, session);
	struct stage *g = map_get(&s->stages, k);

	if (g != NULL)
		return g;
	g = calloc(1, sizeof(*g));
	CHECK(g != NULL);
	g->index = link_peer_index(l);
	g->kind = (uint8_t)link_peer(l);
	g->is_failed = store_is_full(s->store) || store_stage_new(s->store, &g->stage) != ST_OK;
	if (map_put(&s->stages, k, g, NULL) != ST_OK) {
		stage_free(g);
		return NULL;
	}
	return g;
}

bool
store_stage(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_stage r;
	struct stage *g;

	if (!rec_stage_take(c, &r))
		return false;
	g = stage_open(s, l, r.session);
	if (g != NULL && !g->is_failed) {
		g->bytes += r.bytes.n;
		g->is_failed = g->bytes > role_settings(s->role)->message_bytes_max + RECORD_BYTES_MAX ||
		    store_stage_put(g->stage, r.bytes) != ST_OK;
	}
	(void)rec_stage_answer_put(link_out(l), &(struct rec_stage_answer){.session = r.session,
	    .bytes_n = (uint32_t)r.bytes.n,
	    .ok = g != NULL && !g->is_failed});
	return true;
}

bool
store_stage_drop(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_stage_drop r;
	char key[STAGE_KEY_BYTES];

	if (!rec_stage_drop_take(c, &r))
		return false;
	stage_free(map_del(&s->stages, stage_key(key, l, r.session)));
	return true;
}

void
store_stages_end(struct store_role *s, enum role_kind kind, uint16_t index)
{
	char gone[256][STAGE_KEY_BYTES];
	size_t n = 0, it = 0;
	struct str key;
	void *v;

	/* A map must not change while it is walked: in rounds. */
	do {
		n = it = 0;
		while (n < COUNT_OF(gone) && map_next(&s->stages, &it, &key, &v))
			if (((struct stage *)v)->kind == kind && ((struct stage *)v)->index == index)
				memcpy(gone[n++], key.p, sizeof(gone[0]));
		for (size_t i = 0; i < n; i++)
			stage_free(map_del(&s->stages, str_of(gone[i], sizeof(gone[0]))));
	} while (n == COUNT_OF(gone));
}

/* ---- delivery ---- */

/* One envelope recipient: what routing said, and which targets are its own. */
struct envelope_rcpt {
	struct str path, orcpt;
	uint8_t notify;
	bool is_remote;
	uint16_t code;
	struct str enhanced, text;
	size_t first, n;	/* in struct attempt's targets */
};

struct attempt {
	struct store_role *s;
	const struct rec_deliver *r;
	struct submitter who;
	struct stage *stage;
	struct envelope_rcpt *rcpts;
	size_t rcpts_n;
	struct delivery_rcpt *targets;
	size_t targets_n;
	struct queue_new_rcpt *remotes;
	size_t remotes_n;
	struct arena arena;	/* heads and arrays */
	struct blob_id blob;
	struct queue_id queued;	/* 0: nothing is */
	struct str sign_domain;
	bool is_all, is_held;
};

/* What outlives the transaction function until the disk has it. */
struct acknowledgement {
	struct store_role *s;
	struct reply_to to;
	struct queue_id queued;
	struct buf answers;
};

static void
acknowledge(void *arg, enum status st)
{
	struct acknowledgement *k = arg;
	struct link *l = store_role_reply(k->s, &k->to);

	/* When the disk failed the whole role ends and recovers; the session is told by the closed line. */
	if (st == ST_OK && l != NULL)
		(void)rec_deliver_answer_put(link_out(l),
		    &(struct rec_deliver_answer){.session = k->to.session, .answers = buf_str(&k->answers)});
	if (st == ST_OK && k->queued.v != 0)
		store_queue_tell(k->s, k->queued);
	buf_fini(&k->answers);
	free(k);
}

static enum status
head_make(struct attempt *a, const struct route_target *t, struct str *out)
{
	struct str to = directory_address_text(&t->address);
	size_t n = 64 + a->r->reverse_path.n + to.n + a->r->head.n;
	struct buf b;
	enum status st;

	if (n > HEAD_BYTES_MAX)
		return ST_LIMIT;
	buf_init(&b, n);
	/* RFC 5321 4.4: the reverse-path as it was given, on top. */
	(void)buf_put(&b, STR("Return-Path: <"));
	(void)buf_put(&b, a->r->reverse_path);
	(void)buf_put(&b, STR(">\r\nDelivered-To: "));
	(void)buf_put(&b, to);
	(void)buf_put(&b, STR("\r\n"));
	(void)buf_put(&b, a->r->head);
	st = b.full ? ST_LIMIT : arena_str(&a->arena, buf_str(&b), out);
	buf_fini(&b);
	return st;
}

static enum status
rcpt_local(struct attempt *a, struct envelope_rcpt *e)
{
	const struct route *route = a->s->route;

	for (size_t i = 0; i < route->n; i++) {
		struct delivery_rcpt *t = &a->targets[a->targets_n];
		if (a->targets_n == DELIVER_RCPTS_MAX)
			return ST_LIMIT;
		*t = (struct delivery_rcpt){.account = route->targets[i].account};
		if (head_make(a, &route->targets[i], &t->head) != ST_OK)
			return ST_LIMIT;
		a->targets_n++;
		e->n++;
	}
	return ST_OK;
}

static enum status
rcpt_route(struct attempt *a, struct txn *t, struct envelope_rcpt *e)
{
	const struct route *route = a->s->route;

	if (!store_role_route(a->s, t, e->path))
		return ST_IO;
	e->first = a->targets_n;
	if (route->verdict == ROUTE_NOT_LOCAL && a->who.may_relay) {
		e->is_remote = true;
		e->code = 250;
		a->remotes[a->remotes_n++] = (struct queue_new_rcpt){.path = e->path, .notify = e->notify, .orcpt = e->orcpt};
		return ST_OK;
	}
	e->code = route->verdict == ROUTE_OK ? 250 : route->code;
	e->enhanced = route->verdict == ROUTE_OK ? STR("2.1.5") : route->enhanced;
	e->text = route->verdict == ROUTE_OK ? STR("Delivered") : route->text;
	return route->verdict == ROUTE_OK ? rcpt_local(a, e) : ST_OK;
}

static enum status
attempt_route(struct attempt *a)
{
	struct cur c = cur_of(a->r->rcpts);
	struct txn *t = store_snapshot(a->s->store);
	enum status st = ST_OK;

	/* Also after a failure they are counted: each gets its answer. */
	while (!cur_at_end(&c)) {
		struct envelope_rcpt *e = &a->rcpts[a->rcpts_n];
		if (a->rcpts_n == RCPTS_MAX)
			return ST_SYNTAX;
		*e = (struct envelope_rcpt){0};
		if (!cur_str16(&c, &e->path) || !cur_u8(&c, &e->notify) || !cur_str16(&c, &e->orcpt))
			return ST_SYNTAX;
		if (st == ST_OK)
			st = rcpt_route(a, t, e);
		a->rcpts_n++;
	}
	return st;
}

static void
attempt_refuse(struct attempt *a, uint16_t code, struct str enhanced, struct str text)
{
	for (size_t i = 0; i < a->rcpts_n; i++) {
		a->rcpts[i].code = code;
		a->rcpts[i].enhanced = enhanced;
		a->rcpts[i].text = text;
	}
}

/*
 * RFC 6409 6.1: who logged in sends as itself. Every author must be its own, and the reverse-path, or empty. ST_DENIED: refused, the answers
 * say so.
 */
static enum status
attempt_authors(struct attempt *a)
{
	struct txn *t = store_snapshot(a->s->store);
	struct cur c = cur_of(a->r->from);
	struct str address = a->r->reverse_path;
	bool ok = true;
	enum status st = ST_OK;

	if (a->who.account.v == 0)
		return ST_OK;
	if (address.n > 0)
		st = sender_check(a->s, t, a->who.account, address, &ok);
	while (st == ST_OK && ok && cur_str16(&c, &address))
		st = sender_check(a->s, t, a->who.account, address, &ok);
	if (st != ST_OK || ok)
		return st;
	attempt_refuse(a, 550, STR("5.7.1"), STR("An address in From is not yours to send from; ask your administrator for an alias"));
	return ST_DENIED;
}

/* The domain that answers for the mail (DKIM's d=): that of the first author if it is ours, else of the reverse-path. */
static struct str
sign_domain_of(struct attempt *a)
{
	struct cur c = cur_of(a->r->from);
	struct txn *t = store_snapshot(a->s->store);
	struct str candidates[2] = {STR_NULL, a->r->reverse_path};
	struct domain d;

	(void)cur_str16(&c, &candidates[0]);
	for (size_t i = 0; i < COUNT_OF(candidates); i++) {
		struct directory_address address;
		struct str domain;
		if (candidates[i].n == 0 || directory_address_parse(candidates[i], &address, NULL) != ST_OK)
			continue;
		domain = directory_address_domain(&address);
		if (directory_domain_get(t, domain, &d) == ST_OK && arena_str(&a->arena, domain, &domain) == ST_OK)
			return domain;
	}
	return STR_NULL;
}

static bool
is_delivered(const struct delivery_rcpt *t)
{
	return t->result == DELIVER_OK || t->result == DELIVER_DUPLICATE;
}

/* A recipient has it when one of its accounts has (an alias with one full mailbox among many). */
static void
attempt_judge(struct attempt *a)
{
	a->is_all = true;
	for (size_t i = 0; i < a->rcpts_n; i++) {
		struct envelope_rcpt *e = &a->rcpts[i];
		bool any = e->is_remote;
		for (size_t k = 0; k < e->n; k++)
			any |= is_delivered(&a->targets[e->first + k]);
		if (e->code == 250 && !any) {
			const struct deliver_reply *reply = deliver_reply(a->targets[e->first].result);
			e->code = reply->code;
			e->enhanced = reply->enhanced;
			e->text = reply->text;
		}
		a->is_all &= e->code == 250;
	}
}

static enum status
attempt_event(struct attempt *a, struct txn *t, struct queue_message *m)
{
	struct str names[EVENT_NAMES_MAX] = {a->r->reverse_path, a->r->message_id};
	size_t names_n = 2;
	struct buf rcpts;
	struct event e = {.kind = a->remotes_n > 0 ? EVENT_QUEUED : EVENT_DELIVERED,
	    .at_ms = m->arrived_ms,
	    .bytes = m->body_bytes,
	    .message = a->remotes_n > 0 ? m->id.v : 0,
	    .code = 250,
	    .sender = a->r->reverse_path,
	    .message_id = a->r->message_id};
	enum status st;

	buf_init(&rcpts, EVENT_RCPTS_BYTES_MAX);
	for (size_t i = 0; i < a->rcpts_n; i++) {
		if (a->rcpts[i].code != 250)
			continue;
		if (names_n < EVENT_NAMES_MAX)
			names[names_n++] = a->rcpts[i].path;
		if (rcpts.n + a->rcpts[i].path.n + 1 > rcpts.max)
			continue;
		if (rcpts.n > 0)
			(void)buf_put_c(&rcpts, ' ');
		(void)buf_put(&rcpts, a->rcpts[i].path);
	}
	e.rcpts = buf_str(&rcpts);
	st = event_put(t, &e, names, names_n);
	m->trace = e.id;
	buf_fini(&rcpts);
	return st;
}

static enum status
attempt_queue(struct attempt *a, struct txn *t, struct queue_message *m)
{
	const struct rec_deliver *r = a->r;
	struct queue_options o = {.life_ms = role_settings(a->s->role)->queue_life_ms};
	enum status st;

	m->blob = a->blob;
	m->account = a->who.account;
	m->flags = r->flags;
	m->ret = r->ret;
	m->by_ms = r->by_ms;
	m->by_mode = r->by_mode;
	m->priority = r->priority;
	m->reverse_path = r->reverse_path;
	m->head = r->head;
	m->envid = r->envid;
	m->message_id = str_take(r->message_id, QUEUE_MESSAGE_ID_BYTES_MAX);
	m->sign_domain = a->sign_domain;
	st = queue_put(t, m, a->remotes, a->remotes_n, &o, r->hold_until_ms);
	a->queued = m->id;
	return st;
}

static enum status
deliver_txn(struct txn *t, void *arg)
{
	struct attempt *a = arg;
	struct delivery d = {.parts = &a->r->body,
	    .parts_n = 1,
	    .stage = a->stage != NULL ? &a->stage->stage : NULL,
	    .body_bytes = a->stage != NULL ? a->stage->bytes : a->r->body.n,
	    .now_ms = store_role_wall_ms(a->s),
	    .others = a->remotes_n > 0};
	struct queue_message m = {.arrived_ms = d.now_ms, .body_bytes = d.body_bytes};
	enum status st = deliver_message(t, &d, a->targets, a->targets_n, &a->blob);

	if (st != ST_OK)
		return st;
	attempt_judge(a);
	if (!a->is_all && !a->r->is_each)
		return ST_DENIED;
	if (a->remotes_n > 0)
		m.id = queue_next_id(t);
	if (a->blob.v != 0)
		st = attempt_event(a, t, &m);
	return st == ST_OK && a->remotes_n > 0 ? attempt_queue(a, t, &m) : st;
}

static void
answer_queued(const struct attempt *a, struct buf *out)
{
	char text[64];
	struct buf b;

	buf_init(&b, sizeof(text));
	(void)buf_putf(&b, "Queued as %llX", (unsigned long long)a->queued.v);
	answer_put(out, 250, STR("2.0.0"), buf_str(&b));
	buf_fini(&b);
}

static void
answers_of(const struct attempt *a, enum status st, struct buf *out)
{
	for (size_t i = 0; i < a->rcpts_n; i++) {
		const struct envelope_rcpt *e = &a->rcpts[i];
		if (st == ST_OK && e->is_remote)
			answer_queued(a, out);
		else if (st == ST_OK || st == ST_DENIED)
			answer_put(out, e->code, e->enhanced, e->text);
		else if (st == ST_LIMIT && store_is_full(a->s->store))
			answer_put(out, 452, STR("4.3.1"), STR("The mail store has too little free space, try again later"));
		else
			answer_put(out, 451, STR("4.3.0"), STR("The mail store cannot take this message at the moment, try again later"));
	}
}

/* Everything that can be said against it before the transaction. */
static enum status
attempt_prepare(struct attempt *a)
{
	struct store_role *s = a->s;
	enum status st = attempt_route(a);

	if (st != ST_OK)
		return st;
	if (a->r->is_staged && (a->stage == NULL || a->stage->is_failed))
		return store_is_full(s->store) ? ST_LIMIT : ST_IO;
	st = attempt_authors(a);
	if (st == ST_OK && a->who.account.v != 0 && !store_allowance_take(s, a->who.account, a->rcpts_n)) {
		attempt_refuse(a, 450, STR("4.7.1"), STR("You have sent as much as you may in an hour, try again later"));
		st = ST_DENIED;
	}
	if (st == ST_OK && a->remotes_n > 0)
		a->sign_domain = sign_domain_of(a);
	return st;
}

static bool
attempt_run(struct attempt *a, struct link *l)
{
	struct store_role *s = a->s;
	struct acknowledgement *k = calloc(1, sizeof(*k));
	enum status st;

	CHECK(k != NULL);
	k->s = s;
	k->to = store_role_reply_to(s, l, a->r->session);
	buf_init(&k->answers, ANSWERS_BYTES_MAX);
	st = attempt_prepare(a);
	if (st == ST_SYNTAX || a->rcpts_n == 0) {
		free(k);
		return false;
	}
	if (st == ST_OK)
		st = store_transact(s->store, deliver_txn, a, acknowledge, k);
	if (st == ST_LIMIT && store_is_busy(s->store) && !store_is_full(s->store)) {
		/* The disk does not keep up: this record and all behind it wait in their line. */
		free(k);
		a->is_held = true;
		return true;
	}
	answers_of(a, st, &k->answers);
	if (st == ST_OK) {
		k->queued = a->queued;
		s->delivered_n += a->targets_n > 0;
		s->queued_n += a->remotes_n > 0;
		store_digest_with_delivery(s);
		if (a->targets_n == 0)
			return true;
		if (a->blob.v != 0 && a->stage == NULL)
			store_digest_send(s, a->blob, a->r->body);
		else if (a->blob.v != 0)
			store_digest_later(s);
		return true;
	}
	/* Nothing was written: the refusal needs no disk. */
	log_event(LOG_INFO, "store.refused", LOG_CSTR("why", status_word(st)));
	acknowledge(k, ST_OK);
	return true;
}

static void
answer_all(struct store_role *s, struct link *l, const struct rec_deliver *r, uint16_t code, struct str enhanced, struct str text)
{
	struct cur c = cur_of(r->rcpts);
	struct buf answers;
	struct str path, orcpt;
	uint8_t notify;

	(void)s;
	buf_init(&answers, ANSWERS_BYTES_MAX);
	while (cur_str16(&c, &path) && cur_u8(&c, &notify) && cur_str16(&c, &orcpt))
		answer_put(&answers, code, enhanced, text);
	(void)rec_deliver_answer_put(link_out(l), &(struct rec_deliver_answer){.session = r->session, .answers = buf_str(&answers)});
	buf_fini(&answers);
}

bool
store_deliver(struct store_role *s, struct link *l, struct cur *c)
{
	static struct envelope_rcpt rcpts[RCPTS_MAX];
	static struct delivery_rcpt targets[DELIVER_RCPTS_MAX];
	static struct queue_new_rcpt remotes[RCPTS_MAX];
	struct rec_deliver r;
	struct attempt a = {.s = s, .r = &r, .rcpts = rcpts, .targets = targets, .remotes = remotes};
	char key[STAGE_KEY_BYTES];
	bool ok = true;

	if (!rec_deliver_take(c, &r))
		return false;
	arena_init(&a.arena, (size_t)DELIVER_RCPTS_MAX * HEAD_BYTES_MAX);
	if (r.is_staged)
		a.stage = map_del(&s->stages, stage_key(key, l, r.session));
	if (submitter_of(s, l, r.cap, r.is_trusted, &a.who))
		ok = attempt_run(&a, l);
	else
		answer_all(s, l, &r, 451, STR("4.7.0"), STR("Your login has ended, log in again"));
	if (a.is_held) {
		store_role_hold(s, l);
		if (a.stage != NULL && map_put(&s->stages, stage_key(key, l, r.session), a.stage, NULL) == ST_OK)
			a.stage = NULL;
	}
	stage_free(a.stage);
	arena_fini(&a.arena);
	return ok;
}
