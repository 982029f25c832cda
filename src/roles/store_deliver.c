/* The store role's half of receiving: recipients, staged bodies, the one transaction that is the 250. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "flow/deliver/deliver.h"
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

/* The route of an envelope path into s->route; false: the store failed. */
static bool
path_route(struct store_role *s, struct str path)
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
	return route_resolve(store_snapshot(s->store), local, domain, (char)role_settings(s->role)->delimiter, s->route) == ST_OK;
}

bool
store_route(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_route r;
	struct rec_route_answer a;

	if (!rec_route_take(c, &r))
		return false;
	a = (struct rec_route_answer){.session = r.session, .code = 250, .text = STR("2.1.5 Ok")};
	buf_reset(&s->scratch);
	if (store_is_full(s->store)) {
		a.code = 452;
		a.text = STR("4.3.1 The mail store has too little free space, try again later");
	} else if (!path_route(s, r.path)) {
		a.code = 451;
		a.text = STR("4.3.0 The mail store cannot look this address up at the moment, try again later");
	} else if (s->route->verdict != ROUTE_OK) {
		a.code = s->route->code;
		(void)buf_put(&s->scratch, s->route->enhanced);
		(void)buf_put_c(&s->scratch, ' ');
		(void)buf_put(&s->scratch, s->route->text);
		a.text = buf_str(&s->scratch);
	}
	a.accounts = a.code == 250 ? (uint16_t)s->route->n : 0;
	s->refused_n += a.code != 250;
	(void)rec_route_answer_put(link_out(l), &a);
	return true;
}

/* ---- staged bodies ---- */

struct stage {
	struct store_stage *stage;
	uint64_t bytes;
	uint16_t index;
	bool is_failed;
};

static struct str
stage_key(char key[10], const struct link *l, uint64_t session)
{
	le16_put(key, link_peer_index(l));
	le64_put(key + 2, session);
	return str_of(key, 10);
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
	char key[10];
	struct str k = stage_key(key, l, session);
	struct stage *g = map_get(&s->stages, k);

	if (g != NULL)
		return g;
	g = calloc(1, sizeof(*g));
	CHECK(g != NULL);
	g->index = link_peer_index(l);
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
	char key[10];

	if (!rec_stage_drop_take(c, &r))
		return false;
	stage_free(map_del(&s->stages, stage_key(key, l, r.session)));
	return true;
}

void
store_stages_end(struct store_role *s, uint16_t smtpin_index)
{
	char gone[256][10];
	size_t n = 0, it = 0;
	struct str key;
	void *v;

	/* A map must not change while it is walked: in rounds. */
	do {
		n = it = 0;
		while (n < COUNT_OF(gone) && map_next(&s->stages, &it, &key, &v))
			if (((struct stage *)v)->index == smtpin_index)
				memcpy(gone[n++], key.p, sizeof(gone[0]));
		for (size_t i = 0; i < n; i++)
			stage_free(map_del(&s->stages, str_of(gone[i], sizeof(gone[0]))));
	} while (n == COUNT_OF(gone));
}

/* ---- delivery ---- */

/* One envelope recipient: what routing said and which targets are its own. */
struct envelope_rcpt {
	uint16_t code;
	struct str enhanced, text;
	size_t first, n;	/* in struct attempt's targets */
};

struct attempt {
	struct store_role *s;
	const struct rec_deliver *r;
	struct stage *stage;
	struct envelope_rcpt *rcpts;
	size_t rcpts_n;
	struct delivery_rcpt *targets;
	size_t targets_n;
	struct arena arena;	/* heads and arrays */
	struct blob_id blob;
	bool is_all, is_held;
};

/* What outlives the transaction function until the disk has it. */
struct acknowledgement {
	struct store_role *s;
	struct reply_to to;
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
rcpt_route(struct attempt *a, struct str path, struct envelope_rcpt *e)
{
	const struct route *route = a->s->route;

	if (!path_route(a->s, path))
		return ST_IO;
	*e = (struct envelope_rcpt){.code = route->verdict == ROUTE_OK ? 250 : route->code,
	    .enhanced = route->verdict == ROUTE_OK ? STR("2.1.5") : route->enhanced,
	    .text = route->verdict == ROUTE_OK ? STR("Delivered") : route->text,
	    .first = a->targets_n};
	if (route->verdict != ROUTE_OK)
		return ST_OK;
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
attempt_route(struct attempt *a)
{
	struct cur c = cur_of(a->r->rcpts);
	struct str path;
	uint16_t n;
	enum status st = ST_OK;

	/* Also after a failure they are counted: each gets its answer. */
	while (!cur_at_end(&c)) {
		if (!cur_le16(&c, &n) || !cur_take(&c, n, &path) || a->rcpts_n == RCPTS_MAX)
			return ST_SYNTAX;
		if (st == ST_OK)
			st = rcpt_route(a, path, &a->rcpts[a->rcpts_n]);
		a->rcpts_n++;
	}
	return st;
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
		bool any = false;
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
deliver_txn(struct txn *t, void *arg)
{
	struct attempt *a = arg;
	struct delivery d = {.parts = &a->r->body,
	    .parts_n = 1,
	    .stage = a->stage != NULL ? &a->stage->stage : NULL,
	    .body_bytes = a->stage != NULL ? a->stage->bytes : a->r->body.n,
	    .now_ms = store_role_wall_ms(a->s)};
	enum status st = deliver_message(t, &d, a->targets, a->targets_n, &a->blob);

	if (st != ST_OK)
		return st;
	attempt_judge(a);
	return a->is_all || a->r->is_each ? ST_OK : ST_DENIED;
}

static void
answers_of(const struct attempt *a, enum status st, struct buf *out)
{
	for (size_t i = 0; i < a->rcpts_n; i++) {
		const struct envelope_rcpt *e = &a->rcpts[i];
		if (st == ST_OK || st == ST_DENIED)
			answer_put(out, e->code, e->enhanced, e->text);
		else if (st == ST_LIMIT && store_is_full(a->s->store))
			answer_put(out, 452, STR("4.3.1"), STR("The mail store has too little free space, try again later"));
		else
			answer_put(out, 451, STR("4.3.0"), STR("The mail store cannot take this message at the moment, try again later"));
	}
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
	st = attempt_route(a);
	if (st == ST_SYNTAX || a->rcpts_n == 0) {
		free(k);
		return false;
	}
	if (st == ST_OK && a->r->is_staged && (a->stage == NULL || a->stage->is_failed))
		st = store_is_full(s->store) ? ST_LIMIT : ST_IO;
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
		s->delivered_n++;
		store_digest_with_delivery(s);
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

bool
store_deliver(struct store_role *s, struct link *l, struct cur *c)
{
	static struct envelope_rcpt rcpts[RCPTS_MAX];
	static struct delivery_rcpt targets[DELIVER_RCPTS_MAX];
	struct rec_deliver r;
	struct attempt a = {.s = s, .r = &r, .rcpts = rcpts, .targets = targets};
	char key[10];
	bool ok;

	if (!rec_deliver_take(c, &r))
		return false;
	arena_init(&a.arena, (size_t)DELIVER_RCPTS_MAX * HEAD_BYTES_MAX);
	if (r.is_staged)
		a.stage = map_del(&s->stages, stage_key(key, l, r.session));
	ok = attempt_run(&a, l);
	if (a.is_held) {
		store_role_hold(s, l);
		if (a.stage != NULL && map_put(&s->stages, stage_key(key, l, r.session), a.stage, NULL) == ST_OK)
			a.stage = NULL;
	}
	stage_free(a.stage);
	arena_fini(&a.arena);
	return ok;
}
