/*
 * store: the data folder. Directory, mailboxes and delivery run here as transactions; mail is opened only with a
 * capability that auth gave to the very process that shows it.
 */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "roles/admin.h"
#include "roles/store_role.h"
#include "sys/sandbox.h"

/* What a capability opens, and for whom. */
struct granted {
	struct mailbox_cap cap;
	uint16_t access_index;
	uint64_t generation;
};

/* An EXPUNGE under way, transaction after transaction. */
struct expunge {
	struct store_role *s;
	struct reply_to to;
	struct mailbox_cap cap;
	uint32_t *uids;
	size_t n, done, taken;
	uint32_t removed;
};

/* A command under way. */
struct asked {
	struct store_role *s;
	struct reply_to to;
};

/* ---- helpers ---- */

struct reply_to
store_role_reply_to(const struct store_role *s, const struct link *l, uint64_t session)
{
	return (struct reply_to){.kind = link_peer(l),
	    .index = link_peer_index(l),
	    .generation = role_link_generation(s->role, link_peer(l), link_peer_index(l)),
	    .session = session};
}

struct link *
store_role_reply(struct store_role *s, const struct reply_to *to)
{
	if (role_link_generation(s->role, to->kind, to->index) != to->generation)
		return NULL;
	return role_link(s->role, to->kind, to->index);
}

uint64_t
store_role_wall_ms(const struct store_role *s)
{
	return clock_wall_ms(loop_clock(role_loop(s->role)));
}

/* ---- life ---- */

static void *
store_new(struct role *r)
{
	struct store_role *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->role = r;
	map_init(&s->caps, CAPS_MAX);
	map_init(&s->stages, STAGES_MAX);
	map_init(&s->digesting, 1 << 20);
	map_init(&s->allowances, ALLOWANCES_MAX);
	arena_init(&s->queue_arena, QUEUE_ARENA_BYTES + DIRECTORY_DKIM_ARENA_BYTES);
	store_results_init(s);
	buf_init(&s->scratch, 65536);
	s->route = calloc(1, sizeof(*s->route));
	s->entries = calloc(LIST_PAGE_ENTRIES, sizeof(*s->entries));
	CHECK(s->route != NULL && s->entries != NULL);
	return s;
}

static void
map_free_values(struct map *m)
{
	size_t it = 0;
	void *v;

	while (map_next(m, &it, NULL, &v))
		free(v);
	map_fini(m);
}

static void store_before_wait(void *arg);

static void
store_free(void *self)
{
	struct store_role *s = self;

	admin_free(&s->admin);
	store_digest_fini(s);
	store_results_fini(s);
	for (unsigned i = 0; i <= UINT16_MAX && s->stages.n > 0; i++) {
		store_stages_end(s, ROLE_SMTPIN, (uint16_t)i);
		store_stages_end(s, ROLE_ACCESS, (uint16_t)i);
	}
	map_fini(&s->stages);
	loop_fd_del(role_loop(s->role), &s->watch);
	loop_timer_del(role_loop(s->role), &s->tick);
	loop_before_wait_del(role_loop(s->role), store_before_wait, s);
	if (s->store != NULL)
		store_close(&s->store);
	if (s->disk != NULL)
		disk_free(&s->disk);
	map_free_values(&s->caps);
	map_free_values(&s->digesting);
	map_free_values(&s->allowances);
	map_free_values(&s->notice_targets);
	arena_fini(&s->queue_arena);
	buf_fini(&s->scratch);
	free(s->route);
	free(s->entries);
	free(s->simulated);
	free(s);
}

static enum status
init_txn(struct txn *t, void *arg)
{
	struct store_role *s = arg;
	enum status st = directory_init(t);

	return st == ST_OK ? directory_secret(t, s->secret) : st;
}

static enum status
store_prepare(void *self, struct buf *why)
{
	(void)self;
	(void)why;
	/* jansson seeds its hash tables from /dev/urandom when first used, which must be now. */
	json_object_seed(0);
	return ST_OK;
}

static enum status
store_open_files(void *self, const char *root, struct buf *why)
{
	struct store_role *s = self;
	enum status st;

	if (s->simulated != NULL)
		st = embedded_open(s->simulated, &s->store, why);
	else
		st = admin_store_open(role_settings(s->role), root, loop_clock(role_loop(s->role)), &s->disk, &s->store, why);
	if (st == ST_OK)
		st = store_transact_wait(s->store, init_txn, s);
	if (st == ST_UNSUPPORTED && why->n == 0)
		(void)buf_put(why, STR("the data was written by a newer version of posthorn; run that one"));
	return st;
}

/* A full store has an answer for everybody, 452 or what they want to read; nobody waits for it. */
static bool
is_behind(struct store_role *s)
{
	return store_is_busy(s->store) && !store_is_full(s->store);
}

static void
store_pace_kind(struct store_role *s, enum role_kind kind, bool busy)
{
	for (uint16_t i = 0; i < ROLE_PEERS_MAX; i++) {
		struct link *l = role_link(s->role, kind, i);
		if (l == NULL)
			break;
		if (busy)
			link_pause(l);
		else
			link_resume(l);
	}
}

/* Peers wait in their sockets while the disk does not keep up. */
static void
store_pace(struct store_role *s)
{
	bool busy = is_behind(s);

	if (busy == s->is_paused)
		return;
	s->is_paused = busy;
	store_pace_kind(s, ROLE_SMTPIN, busy);
	/* Readers are never held up; only a process whose message did not fit was, and goes on now. */
	if (!busy)
		store_pace_kind(s, ROLE_ACCESS, false);
}

void
store_role_hold(struct store_role *s, struct link *l)
{
	link_hold(l);
	s->is_paused = true;
}

static void
store_work(struct store_role *s)
{
	if (store_poll(s->store) == ST_IO) {
		role_fail(s->role, STR("the disk failed; what was not acknowledged is given up, the rest is recovered from the log"));
		return;
	}
	store_pace(s);
	store_digest_pump(s);
}

static void
store_ready(void *arg, unsigned events)
{
	(void)events;
	store_work(arg);
}

static void
store_before_wait(void *arg)
{
	struct store_role *s = arg;

	store_flush(s->store);
	if (is_behind(s) != s->is_paused)
		store_pace(s);
}

static void
store_tick(void *arg)
{
	struct store_role *s = arg;

	store_work(s);
	store_events_forget(s);
	s->tick = loop_timer_add(role_loop(s->role), 1000, store_tick, s);
}

/* ---- what commands need of others ---- */

static void
key_make(void *arg, uint64_t ask, uint8_t algorithm, struct str context)
{
	struct store_role *s = arg;
	struct link *l = role_link_any(s->role, ROLE_KEYS, 0);

	if (l == NULL)
		admin_key_made(s->admin, ask, false, STR_NULL, STR_NULL);
	else
		(void)rec_key_make_put(link_out(l), &(struct rec_key_make){.ask = ask, .algorithm = algorithm, .context = context});
}

static const struct admin_keys_ops keys_ops = {.make = key_make};

static bool
store_key_made(struct store_role *s, struct cur *c)
{
	struct rec_key_made r;

	if (!rec_key_made_take(c, &r))
		return false;
	admin_key_made(s->admin, r.ask, r.ok != 0, r.sealed, r.public);
	return true;
}

static void
queue_changed(void *arg, struct queue_id id, struct str gone)
{
	if (gone.n > 0)
		store_queue_tell_gone(arg, id, gone);
	else
		store_queue_tell(arg, id);
}

static void
store_start(void *self)
{
	struct store_role *s = self;

	if (store_fd(s->store) >= 0)
		s->watch = loop_fd_add(role_loop(s->role), store_fd(s->store), LOOP_READ, store_ready, s);
	loop_before_wait_add(role_loop(s->role), store_before_wait, s);
	s->tick = loop_timer_add(role_loop(s->role), 1000, store_tick, s);
	s->admin = admin_new(s->store, s->disk, role_loop(s->role));
	admin_set_keys(s->admin, &keys_ops, s);
	admin_set_queue_changed(s->admin, queue_changed, s);
	/* Wishes that an earlier run left. */
	s->is_digest_missed = true;
}

void
role_store_simulate(struct role *r, const struct embedded_options *o)
{
	struct store_role *s = role_self(r);

	CHECK(s->store == NULL && s->simulated == NULL);
	s->simulated = malloc(sizeof(*o));
	CHECK(s->simulated != NULL);
	*s->simulated = *o;
}

struct store *
role_store_opened(struct role *r)
{
	return ((struct store_role *)role_self(r))->store;
}

void
role_store_ready(struct role *r)
{
	store_work(role_self(r));
}

static void
store_link_up(void *self, struct link *l)
{
	struct store_role *s = self;

	if (link_peer(l) == ROLE_SMTPIN && s->is_paused)
		link_pause(l);
	if (link_peer(l) == ROLE_WORKER) {
		link_set_lazy(l, DIGEST_GATHER_BYTES, DIGEST_GATHER_MS);
		store_digest_pump(s);
	}
}

static void
caps_end(struct store_role *s, uint16_t access_index)
{
	char gone[256][CAP_BYTES];
	size_t n = 0, it = 0;
	struct str key;
	void *v;

	do {
		n = it = 0;
		while (n < COUNT_OF(gone) && map_next(&s->caps, &it, &key, &v))
			if (((struct granted *)v)->access_index == access_index)
				memcpy(gone[n++], key.p, CAP_BYTES);
		for (size_t i = 0; i < n; i++)
			free(map_del(&s->caps, str_of(gone[i], CAP_BYTES)));
	} while (n == COUNT_OF(gone));
}

static void
store_link_down(void *self, enum role_kind peer, uint16_t index)
{
	struct store_role *s = self;

	if (peer == ROLE_SMTPIN || peer == ROLE_ACCESS)
		store_stages_end(s, peer, index);
	if (peer == ROLE_ACCESS)
		caps_end(s, index);
	if (peer == ROLE_WORKER)
		store_digest_worker_down(s);
	if (peer == ROLE_KEYS && s->admin != NULL)
		admin_keys_lost(s->admin);
}

/* ---- credentials and capabilities ---- */

static bool
store_credential(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_credential r;
	struct rec_credential_answer a;
	struct txn *t = store_snapshot(s->store);
	struct account account;
	struct credential credential;

	if (!rec_credential_take(c, &r))
		return false;
	a = (struct rec_credential_answer){.ask = r.ask, .secret = str_of(s->secret, sizeof(s->secret))};
	buf_reset(&s->scratch);
	if (directory_account_find(t, r.login, &account) == ST_OK && !account.settings.is_disabled && !account.is_removing &&
	    directory_account_credential(t, account.id, &credential) == ST_OK) {
		if (credential_encode(&credential, &s->scratch) == ST_OK) {
			a.found = 1;
			a.account = account.id.v;
			a.login = directory_address_text(&account.address);
			a.record = buf_str(&s->scratch);
			a.is_pop3_delete = account.settings.is_pop3_delete_retrieved;
		}
		credential_wipe(&credential);
	}
	(void)rec_credential_answer_put(link_out(l), &a);
	if (s->scratch.p != NULL)
		explicit_bzero(s->scratch.p, s->scratch.cap);
	return true;
}

static bool
store_grant(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_grant r;
	struct granted *g;
	bool ok;

	if (!rec_grant_take(c, &r) || r.cap.n != CAP_BYTES || map_get(&s->caps, r.cap) != NULL)
		return false;
	g = calloc(1, sizeof(*g));
	CHECK(g != NULL);
	*g = (struct granted){.cap = {.account = {r.account}, .rights = r.rights, .expires_ms = store_role_wall_ms(s) + r.lifetime_ms},
	    .access_index = r.access_index,
	    .generation = role_link_generation(s->role, ROLE_ACCESS, r.access_index)};
	ok = g->generation != 0 && map_put(&s->caps, r.cap, g, NULL) == ST_OK;
	if (!ok)
		free(g);
	(void)rec_grant_answer_put(link_out(l), &(struct rec_grant_answer){.ask = r.ask, .ok = ok});
	return true;
}

/* NULL: this process has no such capability. */
const struct mailbox_cap *
store_role_cap(const struct store_role *s, const struct link *l, struct str cap)
{
	const struct granted *g = cap.n == CAP_BYTES ? map_get(&s->caps, cap) : NULL;

	if (g == NULL || g->access_index != link_peer_index(l) ||
	    g->generation != role_link_generation(s->role, ROLE_ACCESS, g->access_index))
		return NULL;
	return &g->cap;
}

/* The only way to mail in this role. */
static bool
inbox_open(struct store_role *s, struct txn *t, const struct link *l, struct str cap, uint32_t rights, struct mailbox *out)
{
	const struct mailbox_cap *k = store_role_cap(s, l, cap);

	return k != NULL && mailbox_open(t, k, MAILBOX_INBOX, rights, store_role_wall_ms(s), out) == ST_OK;
}

/* ---- reading ---- */

static bool
store_box_list(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_box_list r;
	struct rec_box_list_answer a;
	struct mailbox box;
	size_t n = 0;
	char *p;

	if (!rec_box_list_take(c, &r))
		return false;
	a = (struct rec_box_list_answer){.session = r.session, .from = r.from};
	if (inbox_open(s, store_snapshot(s->store), l, r.cap, MAILBOX_READ, &box) &&
	    mailbox_list(&box, r.from, s->entries, LIST_PAGE_ENTRIES, &n) == ST_OK) {
		a.ok = 1;
		a.uidvalidity = box.state.uidvalidity;
		a.total = box.state.count;
	}
	struct buf page;
	buf_init(&page, (size_t)LIST_PAGE_ENTRIES * 16);
	p = buf_reserve(&page, n * 16);
	for (size_t i = 0; i < n; i++, p += 16) {
		le64_put(p, s->entries[i].message.v);
		le32_put(p + 8, s->entries[i].uid);
		le32_put(p + 12, s->entries[i].size_bytes);
	}
	buf_commit(&page, n * 16);
	a.page = buf_str(&page);
	(void)rec_box_list_answer_put(link_out(l), &a);
	buf_fini(&page);
	return true;
}

static bool
store_message_read(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_message_read r;
	struct rec_message_read_answer a;
	struct mailbox box;
	struct mailbox_message m;
	struct buf bytes;

	if (!rec_message_read_take(c, &r))
		return false;
	a = (struct rec_message_read_answer){.session = r.session, .off = r.off};
	buf_init(&bytes, MESSAGE_READ_BYTES_MAX);
	if (inbox_open(s, store_snapshot(s->store), l, r.cap, MAILBOX_READ, &box) &&
	    mailbox_message_get(&box, (struct message_id){r.message}, &m) == ST_OK &&
	    mailbox_message_read(&box, &m, r.off, size_min(r.bytes_max, MESSAGE_READ_BYTES_MAX), &bytes) == ST_OK) {
		a.ok = 1;
		a.total = m.head.n + m.body_bytes;
		a.bytes = buf_str(&bytes);
	}
	(void)rec_message_read_answer_put(link_out(l), &a);
	buf_fini(&bytes);
	return true;
}

static enum status
expunge_txn(struct txn *t, void *arg)
{
	struct expunge *e = arg;
	struct mailbox box;
	size_t changed = 0;
	enum status st;

	st = mailbox_open(t, &e->cap, MAILBOX_INBOX, MAILBOX_EXPUNGE, store_role_wall_ms(e->s), &box);
	if (st == ST_OK)
		st = mailbox_expunge(&box, e->uids + e->done, e->n - e->done, &e->taken, &changed);
	if (st == ST_OK)
		e->removed += (uint32_t)changed;
	return st;
}

static void
expunge_end(struct expunge *e, bool ok)
{
	struct link *l = store_role_reply(e->s, &e->to);

	if (l != NULL)
		(void)rec_box_expunge_answer_put(link_out(l),
		    &(struct rec_box_expunge_answer){.session = e->to.session, .ok = ok, .removed = e->removed});
	free(e->uids);
	free(e);
}

static void
expunge_done(void *arg, enum status st)
{
	struct expunge *e = arg;

	if (st == ST_OK)
		e->done += e->taken;
	if (st != ST_OK || e->done == e->n) {
		expunge_end(e, st == ST_OK);
		return;
	}
	if (store_transact(e->s->store, expunge_txn, e, expunge_done, e) != ST_OK)
		expunge_end(e, false);
}

static bool
store_box_expunge(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_box_expunge r;
	const struct mailbox_cap *cap;
	struct expunge *e;

	if (!rec_box_expunge_take(c, &r) || r.uids.n % 4 != 0)
		return false;
	e = calloc(1, sizeof(*e));
	CHECK(e != NULL);
	e->s = s;
	e->to = store_role_reply_to(s, l, r.session);
	e->n = r.uids.n / 4;
	e->uids = calloc(e->n + 1, sizeof(*e->uids));
	CHECK(e->uids != NULL);
	for (size_t i = 0; i < e->n; i++)
		e->uids[i] = le32_get(r.uids.p + 4 * i);
	cap = store_role_cap(s, l, r.cap);
	if (cap == NULL) {
		expunge_end(e, false);
		return true;
	}
	e->cap = *cap;
	if (e->n == 0)
		expunge_end(e, true);
	else if (store_transact(s->store, expunge_txn, e, expunge_done, e) != ST_OK)
		expunge_end(e, false);
	return true;
}

static bool
store_cap_drop(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_cap_drop r;

	if (!rec_cap_drop_take(c, &r))
		return false;
	if (store_role_cap(s, l, r.cap) != NULL)
		free(map_del(&s->caps, r.cap));
	return true;
}

/* ---- commands ---- */

static void
command_done(void *arg, int exit_code, struct str json)
{
	struct asked *a = arg;
	struct link *l = store_role_reply(a->s, &a->to);

	if (l != NULL)
		(void)rec_command_answer_put(link_out(l),
		    &(struct rec_command_answer){.seq = (uint32_t)a->to.session, .exit_code = (uint8_t)exit_code, .json = json});
	free(a);
}

static bool
store_command(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_command r;
	struct asked *a;

	if (!rec_command_take(c, &r))
		return false;
	a = calloc(1, sizeof(*a));
	CHECK(a != NULL);
	*a = (struct asked){.s = s, .to = store_role_reply_to(s, l, r.seq)};
	admin_run(s->admin, r.request_json, command_done, a);
	return true;
}

static bool
store_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	struct store_role *s = self;

	switch (t) {
	case REC_ROUTE:
		return store_route(s, l, c);
	case REC_DELIVER:
		return store_deliver(s, l, c);
	case REC_SENDER:
		return store_sender(s, l, c);
	case REC_QUEUE_LOAD:
		return store_queue_load(s, l, c);
	case REC_QUEUE_RESULT:
		return store_queue_result(s, l, c);
	case REC_QUEUE_FETCH:
		return store_queue_fetch(s, l, c);
	case REC_QUEUE_READ:
		return store_queue_read(s, l, c);
	case REC_NOTICE_ANSWER:
		return store_notice_answer(s, c);
	case REC_STAGE:
		return store_stage(s, l, c);
	case REC_STAGE_DROP:
		return store_stage_drop(s, l, c);
	case REC_DIGEST_ANSWER:
		return store_digest_answer(s, c);
	case REC_CREDENTIAL:
		return store_credential(s, l, c);
	case REC_GRANT:
		return store_grant(s, l, c);
	case REC_BOX_LIST:
		return store_box_list(s, l, c);
	case REC_MESSAGE_READ:
		return store_message_read(s, l, c);
	case REC_BOX_EXPUNGE:
		return store_box_expunge(s, l, c);
	case REC_CAP_DROP:
		return store_cap_drop(s, l, c);
	case REC_KEY_MADE:
		return store_key_made(s, c);
	case REC_COMMAND:
		return store_command(s, l, c);
	default:
		/* Every other type is somebody else's; the table lets none of them reach us. */
		return false;
	}
}

static void
store_status(void *self, struct buf *json)
{
	struct store_role *s = self;

	(void)buf_putf(json, "\"delivered\":%llu,\"queued\":%llu,\"refused\":%llu,\"digests\":%llu,\"digests_waiting\":%u,\"full\":%s,\"store\":",
	    (unsigned long long)s->delivered_n, (unsigned long long)s->queued_n, (unsigned long long)s->refused_n, (unsigned long long)s->digests_n,
	    s->digests_ahead + (unsigned)s->answered_n + (s->is_digest_missed ? 1 : 0), store_is_full(s->store) ? "true" : "false");
	(void)store_stats(s->store, json);
}

const struct role_ops role_store_ops = {
    .kind = ROLE_STORE,
    .sandbox_allow = SANDBOX_FILES,
    .new = store_new,
    .free = store_free,
    .prepare = store_prepare,
    .open = store_open_files,
    .start = store_start,
    .record = store_record,
    .link_up = store_link_up,
    .link_down = store_link_down,
    .status = store_status,
};
