#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "directory/directory.h"
#include "mailbox/mailbox_internal.h"
#include "store/memory/memory.h"

#define NOW 1700000000000u
static const struct account_id account = {1};
static const struct mailbox_cap all = {{1}, MAILBOX_RIGHTS_ALL, UINT64_MAX};

static struct store *store;
static struct txn *txn;

static enum status
test_fn(struct txn *t, void *arg)
{
	txn = t;
	(*(void (**)(void))arg)();
	return ST_OK;
}

static void
in_txn(void (*fn)(void))
{
	EXPECT(store_transact_wait(store, test_fn, &fn) == ST_OK);
}

static void
account_make(void)
{
	static const struct credential_options cheap = {
	    64, 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}};
	struct account_settings plain = {0};
	struct account_id id;
	struct credential c;

	EXPECT(credential_make(STR("x"), &cheap, &c, NULL) == ST_OK);
	EXPECT(directory_init(txn) == ST_OK);
	EXPECT(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example"), NULL) == ST_OK);
	EXPECT(directory_account_add(txn, STR("bob@a.example"), &c, &plain, &id, NULL) == ST_OK);
	EXPECT(id.v == account.v);
}

static void
store_new(bool is_strict)
{
	EXPECT(memory_open(&(struct memory_options){.is_strict = is_strict}, &store) == ST_OK);
	in_txn(account_make);
}

#define RUN(fn)                      \
	static void fn##_run(void)   \
	{                            \
		store_new(true);     \
		in_txn(fn);          \
		store_close(&store); \
	}

static struct mailbox
open_inbox(uint32_t rights)
{
	struct mailbox m;

	EXPECT(mailbox_open(txn, &all, MAILBOX_INBOX, rights, NOW, &m) == ST_OK);
	return m;
}

static struct mailbox_entry
append(struct mailbox *m, struct str head, struct str body, uint32_t flags)
{
	struct mailbox_append a = {
	    .body_bytes = body.n, .head = head, .flags = flags, .date_ms = NOW + 1};
	struct mailbox_entry e = {0};

	EXPECT(store_blob_put(m->txn, &body, 1, &a.blob) == ST_OK);
	EXPECT(mailbox_append(m, &a, &e) == ST_OK);
	return e;
}

/* ---- the way in ---- */

static void
rights(void)
{
	struct mailbox_cap c = {account, MAILBOX_READ, NOW};
	struct mailbox m;
	struct mailbox_entry e;
	struct mailbox_message msg;
	struct buf out;
	size_t n;
	uint32_t uid = 1;

	EXPECT(mailbox_open(txn, &c, MAILBOX_INBOX, MAILBOX_READ, NOW - 1, &m) == ST_OK);
	EXPECT(mailbox_open(txn, &c, MAILBOX_INBOX, MAILBOX_READ, NOW, &m) == ST_DENIED);
	EXPECT(
	    mailbox_open(txn, &c, MAILBOX_INBOX, MAILBOX_READ | MAILBOX_FLAGS, 0, &m) == ST_DENIED);
	EXPECT(mailbox_open(txn, &c, MAILBOX_INBOX, 0, 0, &m) == ST_DENIED);
	EXPECT(mailbox_open(txn, &c, (struct mailbox_id){2}, MAILBOX_READ, 0, &m) == ST_NOTFOUND);
	c.account.v = 0;
	EXPECT(mailbox_open(txn, &c, MAILBOX_INBOX, MAILBOX_READ, 0, &m) == ST_DENIED);
	m = open_inbox(MAILBOX_INSERT);
	e = append(&m, STR("h"), STR("b"), 0);
	buf_init(&out, 100);
	EXPECT(mailbox_list(&m, 0, &e, 1, &n) == ST_DENIED && n == 0);
	EXPECT(mailbox_list_uid(&m, 0, &e, 1, &n) == ST_DENIED);
	EXPECT(mailbox_message_get(&m, e.message, &msg) == ST_DENIED);
	EXPECT(mailbox_message_read(&m, &msg, 0, 1, &out) == ST_DENIED);
	EXPECT(mailbox_flags_set(&m, &uid, 1, MAILBOX_FLAGS_ADD, 1, &n, NULL) == ST_DENIED);
	EXPECT(mailbox_expunge(&m, &uid, 1, &n, NULL) == ST_DENIED);
	m = open_inbox(MAILBOX_READ | MAILBOX_FLAGS | MAILBOX_EXPUNGE);
	EXPECT(mailbox_append(&m, &(struct mailbox_append){0}, &e) == ST_DENIED);
	buf_fini(&out);
}
RUN(rights)

/* ---- one message ---- */

static void
message_comes_back(void)
{
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);
	struct mailbox_entry e = append(&m, STR("Return-Path: <>\r\n"),
				 STR("Subject: x\r\n\r\nbody\r\n"), 0),
			     found;
	struct mailbox_message msg;
	struct mailbox_usage u;
	struct buf out;

	buf_init(&out, 100);
	EXPECT(e.uid == 1 && e.size_bytes == 37 && e.date_ms == NOW + 1 && e.flags == 0);
	m = open_inbox(MAILBOX_READ);
	EXPECT(m.state.uidvalidity == NOW / 1000 && m.state.uidnext == 2 && m.state.count == 1);
	EXPECT(m.state.unseen == 1 && m.state.bytes == 37 && m.state.highest_modseq == e.modseq);
	EXPECT(mailbox_find(&m, 1, &found) == ST_OK && found.message.v == e.message.v);
	EXPECT(found.modseq == e.modseq && found.date_ms == e.date_ms && found.uid == e.uid);
	EXPECT(found.flags == e.flags && found.size_bytes == e.size_bytes);
	EXPECT(mailbox_find(&m, 2, &found) == ST_NOTFOUND);
	EXPECT(mailbox_find(&m, 0, &found) == ST_NOTFOUND);
	EXPECT(mailbox_find(&m, UINT32_MAX, &found) == ST_NOTFOUND);
	EXPECT(mailbox_message_get(&m, e.message, &msg) == ST_OK);
	EXPECT_STR(msg.head, STR("Return-Path: <>\r\n"));
	EXPECT(msg.body_bytes == 20 && msg.uid == 1);
	EXPECT(mailbox_message_get(&m, (struct message_id){99}, &msg) == ST_NOTFOUND);
	EXPECT(mailbox_message_get(&m, e.message, &msg) == ST_OK);
	EXPECT(mailbox_message_read(&m, &msg, 0, 100, &out) == ST_OK);
	EXPECT_STR(buf_str(&out), STR("Return-Path: <>\r\nSubject: x\r\n\r\nbody\r\n"));
	for (size_t off = 0; off <= 38; off++) {
		buf_reset(&out);
		EXPECT(mailbox_message_read(&m, &msg, off, 5, &out) == ST_OK);
		EXPECT_STR(buf_str(&out),
		    str_take(
			str_from(STR("Return-Path: <>\r\nSubject: x\r\n\r\nbody\r\n"), off), 5));
	}
	EXPECT(mailbox_usage(txn, account, &u) == ST_OK && u.bytes == 37 && u.messages == 1);
	buf_fini(&out);
}
RUN(message_comes_back)

static void
append_limits(void)
{
	static char head[MAILBOX_HEAD_BYTES_MAX + 1];
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);
	struct mailbox_entry e = append(&m, str_of(head, sizeof(head) - 1), STR("b"), 0);
	struct mailbox_append a = {{1}, 1, str_of(head, sizeof(head)), 0, 0};
	struct mailbox_message msg;

	EXPECT(mailbox_message_get(&m, e.message, &msg) == ST_OK &&
	       msg.head.n == MAILBOX_HEAD_BYTES_MAX);
	EXPECT(mailbox_append(&m, &a, &e) == ST_LIMIT);
	a.head = STR("h");
	a.body_bytes = UINT32_MAX;
	EXPECT(mailbox_append(&m, &a, &e) == ST_LIMIT);
	a.body_bytes = UINT32_MAX - 1;
	EXPECT(mailbox_append(&m, &a, &e) == ST_OK && e.size_bytes == UINT32_MAX);
	m.state.uidnext = MAILBOX_UID_MAX;
	a.body_bytes = 1;
	EXPECT(mailbox_append(&m, &a, &e) == ST_OK && e.uid == MAILBOX_UID_MAX);
	EXPECT(mailbox_append(&m, &a, &e) == ST_LIMIT);
	EXPECT(mailbox_find(&m, MAILBOX_UID_MAX, &e) == ST_OK);
}
RUN(append_limits)

/* ---- digests ---- */

static void
digests(void)
{
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);
	struct mailbox_append a = {.body_bytes = 4, .head = STR("h")};
	struct str body = STR("body"), got;
	struct blob_id wanted[4], other;
	struct mailbox_entry e;
	struct mailbox_message msg;
	static char big[MAILBOX_DIGEST_BYTES_MAX + 1];
	size_t n;
	uint32_t uid;

	EXPECT(store_blob_put(txn, &body, 1, &a.blob) == ST_OK);
	EXPECT(store_blob_ref(txn, a.blob, 1) == ST_OK);
	EXPECT(mailbox_digest_want(txn, a.blob) == ST_OK);
	EXPECT(mailbox_append(&m, &a, &e) == ST_OK);
	EXPECT(mailbox_append(&m, &a, &e) == ST_OK);
	EXPECT(store_blob_put(txn, &body, 1, &other) == ST_OK);
	EXPECT(mailbox_digest_want(txn, other) == ST_OK);
	EXPECT(mailbox_digest_pending(txn, (struct blob_id){0}, wanted, 4, &n) == ST_OK && n == 2);
	EXPECT(wanted[0].v == a.blob.v && wanted[1].v == other.v);
	EXPECT(mailbox_digest_pending(txn, a.blob, wanted, 4, &n) == ST_OK && n == 1);
	EXPECT(mailbox_digest_pending(txn, (struct blob_id){0}, wanted, 1, &n) == ST_OK && n == 1);
	EXPECT(mailbox_message_get(&m, e.message, &msg) == ST_OK);
	EXPECT(mailbox_message_digest(&m, &msg, &got) == ST_NOTFOUND);
	EXPECT(mailbox_digest_put(txn, a.blob, str_of(big, sizeof(big))) == ST_LIMIT);
	EXPECT(mailbox_digest_put(txn, a.blob, str_of(big, sizeof(big) - 1)) == ST_OK);
	EXPECT(mailbox_digest_put(txn, a.blob, STR("digest")) == ST_OK);
	EXPECT(mailbox_digest_pending(txn, (struct blob_id){0}, wanted, 4, &n) == ST_OK && n == 1);
	EXPECT(mailbox_message_get(&m, e.message, &msg) == ST_OK);
	EXPECT(mailbox_message_digest(&m, &msg, &got) == ST_OK);
	EXPECT_STR(got, STR("digest"));
	/* It goes with the last reference, and so does the wish. */
	uid = 1;
	EXPECT(mailbox_expunge(&m, &uid, 1, &n, NULL) == ST_OK && n == 1);
	EXPECT(mailbox_message_digest(&m, &msg, &got) == ST_OK);
	uid = 2;
	EXPECT(mailbox_expunge(&m, &uid, 1, &n, NULL) == ST_OK && n == 1);
	EXPECT(mailbox_message_digest(&m, &msg, &got) == ST_NOTFOUND);
	EXPECT(mailbox_digest_put(txn, a.blob, STR("late")) == ST_NOTFOUND);
	EXPECT(store_blob_ref(txn, other, -1) == ST_OK);
	EXPECT(mailbox_digest_put(txn, other, STR("late")) == ST_NOTFOUND);
	EXPECT(mailbox_digest_pending(txn, (struct blob_id){0}, wanted, 4, &n) == ST_OK && n == 0);
}
RUN(digests)

/* ---- random changes against a model ---- */

#define MODEL_MAX 4000
#define MODEL_ROUNDS 1500

struct model {
	struct mailbox_entry e[MODEL_MAX];
	size_t n;
	uint32_t uidnext;
	struct prng rnd;
};

static struct model model;

static void
model_append(struct mailbox *m)
{
	size_t n = 1 + prng_below(&model.rnd, 40);

	for (size_t i = 0; i < n && model.n < MODEL_MAX; i++) {
		struct mailbox_entry e = append(
		    m, STR("head"), STR("body"), prng_below(&model.rnd, 2) ? MAILBOX_SEEN : 0);

		EXPECT(e.uid == model.uidnext);
		model.uidnext++;
		model.e[model.n++] = e;
	}
}

/* A run, or scattered ones, some of which are not there. */
static size_t
model_pick(uint32_t *uids)
{
	uint32_t at = (uint32_t)prng_below(&model.rnd, model.uidnext);
	size_t want = prng_below(&model.rnd, 120), n = 0;
	uint64_t step = prng_below(&model.rnd, 3) ? 1 : 1 + prng_below(&model.rnd, 60);

	for (size_t i = 0; i < want; i++, at += (uint32_t)step)
		uids[n++] = at;
	return n;
}

static bool
picked(const uint32_t *uids, size_t n, uint32_t uid)
{
	for (size_t i = 0; i < n; i++)
		if (uids[i] == uid)
			return true;
	return false;
}

static void
model_flags(struct mailbox *m)
{
	uint32_t uids[200], flags = (uint32_t)prng_below(&model.rnd, 32);
	size_t n = model_pick(uids), taken, changed, want = 0;
	enum mailbox_flags_how how = (enum mailbox_flags_how)prng_below(&model.rnd, 3);
	uint64_t former = m->state.highest_modseq;

	EXPECT(mailbox_flags_set(m, uids, n, how, flags, &taken, &changed) == ST_OK && taken == n);
	for (size_t i = 0; i < model.n; i++) {
		struct mailbox_entry *e = &model.e[i];
		uint32_t now = how == MAILBOX_FLAGS_SET	  ? flags
			       : how == MAILBOX_FLAGS_ADD ? e->flags | flags
							  : e->flags & ~flags;

		if (!picked(uids, n, e->uid) || now == e->flags)
			continue;
		e->flags = now;
		e->modseq = m->state.highest_modseq;
		want++;
	}
	EXPECT(changed == want);
	EXPECT(want ? m->state.highest_modseq > former : m->state.highest_modseq == former);
}

static void
model_expunge(struct mailbox *m)
{
	uint32_t uids[200];
	size_t n = model_pick(uids), taken, changed, kept = 0;

	EXPECT(mailbox_expunge(m, uids, n, &taken, &changed) == ST_OK && taken == n);
	for (size_t i = 0; i < model.n; i++)
		if (!picked(uids, n, model.e[i].uid))
			model.e[kept++] = model.e[i];
	EXPECT(changed == model.n - kept);
	model.n = kept;
}

static void
model_compare(const struct mailbox *m)
{
	static struct mailbox_entry got[MODEL_MAX + 1];
	size_t n, from = model.n ? prng_below(&model.rnd, model.n) : 0, unseen = 0, bytes = 0;
	struct mailbox_usage u;

	EXPECT(mailbox_list(m, 0, got, COUNT_OF(got), &n) == ST_OK);
	EXPECT(n == model.n && memcmp(got, model.e, n * sizeof(got[0])) == 0);
	EXPECT(mailbox_list(m, (uint32_t)from, got, 10, &n) == ST_OK);
	EXPECT(n == size_min(10, model.n - from) &&
	       memcmp(got, model.e + from, n * sizeof(got[0])) == 0);
	if (model.n) {
		EXPECT(mailbox_list_uid(m, model.e[from].uid, got, 10, &n) == ST_OK);
		EXPECT(n == size_min(10, model.n - from) &&
		       memcmp(got, model.e + from, n * sizeof(got[0])) == 0);
	}
	for (size_t i = 0; i < model.n; i++) {
		unseen += !(model.e[i].flags & MAILBOX_SEEN);
		bytes += model.e[i].size_bytes;
	}
	EXPECT(m->state.count == model.n && m->state.unseen == unseen && m->state.bytes == bytes);
	EXPECT(m->state.uidnext == model.uidnext);
	EXPECT(mailbox_usage(m->txn, account, &u) == ST_OK && u.bytes == bytes &&
	       u.messages == model.n);
	EXPECT(u.clock == m->state.highest_modseq);
}

static void
model_step(void)
{
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);

	switch (prng_below(&model.rnd, 4)) {
	case 0:
		model_flags(&m);
		break;
	case 1:
		model_expunge(&m);
		break;
	default:
		model_append(&m);
		break;
	}
	m = open_inbox(MAILBOX_READ);
	if (prng_below(&model.rnd, 8) == 0)
		model_compare(&m);
}

/* Nobody else's keys, nothing left over: as many messages and blobs as there should be, chunks not
 * mostly empty. */
static void
model_inspect(void)
{
	struct key from, to;
	struct store_iter it;
	size_t n = 0, chunks = 0;

	EXPECT(
	    store_range(txn, key_message(&from, account, (struct message_id){0}),
		key_message(&to, account, (struct message_id){UINT64_MAX}), false, &it) == ST_OK);
	for (; store_next(&it) == ST_OK; n++) {
	}
	store_iter_end(&it);
	EXPECT(n == model.n);
	EXPECT(store_range(txn, key_chunk(&from, account, MAILBOX_INBOX, 0),
		   key_chunk(&to, account, MAILBOX_INBOX, UINT32_MAX), false, &it) == ST_OK);
	for (; store_next(&it) == ST_OK; chunks++) {
	}
	store_iter_end(&it);
	EXPECT(chunks <= 8 * model.n / MAILBOX_CHUNK_RECORDS + 2);
}

static void
random_changes_agree_with_a_model(void)
{
	memset(&model, 0, sizeof(model));
	model.uidnext = 1;
	prng_init(&model.rnd, 7);
	store_new(true);
	for (int i = 0; i < MODEL_ROUNDS && !unit_bad; i++)
		in_txn(model_step);
	in_txn(model_inspect);
	store_close(&store);
}

static void
uids_must_ascend(void)
{
	static const uint32_t bad[] = {3, 2}, same[] = {2, 2};
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);
	size_t n;

	EXPECT(mailbox_expunge(&m, bad, 2, &n, NULL) == ST_SYNTAX);
	EXPECT(mailbox_flags_set(&m, same, 2, MAILBOX_FLAGS_SET, 1, &n, NULL) == ST_SYNTAX);
	EXPECT(mailbox_expunge(&m, NULL, 0, &n, NULL) == ST_OK && n == 0);
}
RUN(uids_must_ascend)

/* ---- big mailboxes ---- */

#define BIG 100000

static struct mailbox_entry *big;
static uint32_t *big_uids;
static size_t big_at, big_txns;

static void
big_append(void)
{
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);

	for (int i = 0; i < 1000; i++)
		(void)append(&m, STR("h"), STR("b"), 0);
}

static void
big_flags(void)
{
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);
	size_t taken;

	EXPECT(mailbox_flags_set(&m, big_uids + big_at, BIG - big_at, MAILBOX_FLAGS_ADD,
		   MAILBOX_SEEN, &taken, NULL) == ST_OK &&
	       taken > 0);
	big_at += taken;
	big_txns++;
}

static void
big_expunge(void)
{
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);
	size_t taken;

	EXPECT(mailbox_expunge(&m, big_uids + big_at, BIG - big_at, &taken, NULL) == ST_OK &&
	       taken > 0);
	big_at += taken;
	big_txns++;
}

static double
ms_since(struct timespec from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - from.tv_sec) * 1e3 +
	       (double)(now.tv_nsec - from.tv_nsec) / 1e6;
}

static void
big_mailbox_in_bounded_transactions(void)
{
	struct mailbox m;
	struct timespec start;
	size_t n;

	big = calloc(BIG, sizeof(*big));
	big_uids = calloc(BIG, sizeof(*big_uids));
	CHECK(big && big_uids);
	store_new(false);
	for (int i = 0; i < BIG / 1000; i++)
		in_txn(big_append);
	txn = store_snapshot(store);
	m = open_inbox(MAILBOX_READ);
	for (int round = 0; round < 2; round++) {
		clock_gettime(CLOCK_MONOTONIC, &start);
		EXPECT(mailbox_list(&m, 0, big, BIG, &n) == ST_OK && n == BIG);
		printf(
		    "list of %d, %s: %.2f ms\n", BIG, round ? "again" : "first", ms_since(start));
	}
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (uint32_t i = 0; i < BIG; i += 500)
		EXPECT(mailbox_list(&m, i, big, 500, &n) == ST_OK && n == 500);
	printf("the same in pages of 500: %.2f ms\n", ms_since(start));
	for (uint32_t i = 0; i < BIG; i++)
		big_uids[i] = i + 1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (big_at = big_txns = 0; big_at < BIG && !unit_bad;)
		in_txn(big_flags);
	printf("flag on %d: %.2f ms, %zu transactions\n", BIG, ms_since(start), big_txns);
	txn = store_snapshot(store);
	m = open_inbox(MAILBOX_READ);
	EXPECT(m.state.unseen == 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (big_at = big_txns = 0; big_at < BIG && !unit_bad;)
		in_txn(big_expunge);
	printf("expunge of %d: %.2f ms, %zu transactions\n", BIG, ms_since(start), big_txns);
	txn = store_snapshot(store);
	m = open_inbox(MAILBOX_READ);
	EXPECT(m.state.count == 0 && m.state.bytes == 0 && m.state.uidnext == BIG + 1);
	in_txn(big_append);
	free(big);
	free(big_uids);
	store_close(&store);
}

/* ---- the end of an account ---- */

static bool is_removed;
static size_t steps;

static void
remove_begin(void)
{
	struct account_id id;
	struct mailbox m;

	EXPECT(directory_account_remove_begin(txn, STR("bob@a.example"), &id, NULL) == ST_OK);
	EXPECT(id.v == account.v);
	EXPECT(mailbox_open(txn, &all, MAILBOX_INBOX, MAILBOX_READ, NOW, &m) == ST_DENIED);
}

static void
remove_step(void)
{
	EXPECT(mailbox_account_remove_step(txn, account, &is_removed) == ST_OK);
	steps++;
}

static void
account_is_removed_in_steps(void)
{
	struct memory_costs before, after;
	struct buf stats;
	struct account a;
	struct mailbox m;
	int i;

	buf_init(&stats, 1000);
	store_new(true);
	for (i = 0; i < 3; i++)
		in_txn(big_append);
	in_txn(remove_begin);
	is_removed = false;
	for (steps = 0; !is_removed && steps < 20;) {
		memory_costs(store, &before);
		in_txn(remove_step);
		memory_costs(store, &after);
		EXPECT(after.ops - before.ops < STORE_TXN_OPS_MAX / 2);
	}
	EXPECT(is_removed && steps == 4);
	EXPECT(directory_account_get(store_snapshot(store), account, &a) == ST_NOTFOUND);
	EXPECT(mailbox_open(store_snapshot(store), &all, MAILBOX_INBOX, MAILBOX_INSERT, NOW, &m) ==
	       ST_DENIED);
	EXPECT(store_stats(store, &stats) == ST_OK);
	EXPECT(str_find(buf_str(&stats), STR("\"blobs\":0")) < stats.n);
	buf_fini(&stats);
	store_close(&store);
}

static void
damage_is_io(void)
{
	struct mailbox m = open_inbox(MAILBOX_RIGHTS_ALL);
	struct mailbox_entry e = append(&m, STR("h"), STR("b"), 0);
	struct mailbox_message msg;
	struct key k;
	size_t n;
	uint32_t uid = 1;

	EXPECT(store_put(txn, key_message(&k, account, e.message), STR("bad")) == ST_OK);
	EXPECT(mailbox_message_get(&m, e.message, &msg) == ST_IO);
	EXPECT(mailbox_expunge(&m, &uid, 1, &n, NULL) == ST_IO);
	EXPECT(store_put(txn, key_chunk(&k, account, MAILBOX_INBOX, 1), STR("bad")) == ST_OK);
	EXPECT(mailbox_list(&m, 0, &e, 1, &n) == ST_IO);
	EXPECT(mailbox_flags_set(&m, &uid, 1, MAILBOX_FLAGS_ADD, 1, &n, NULL) == ST_IO);
	EXPECT(store_put(txn, key_mailbox(&k, account, MAILBOX_INBOX), STR("bad")) == ST_OK);
	EXPECT(mailbox_open(txn, &all, MAILBOX_INBOX, MAILBOX_READ, NOW, &m) == ST_IO);
}
RUN(damage_is_io)

int
main(void)
{
	UNIT(rights_run);
	UNIT(message_comes_back_run);
	UNIT(append_limits_run);
	UNIT(digests_run);
	UNIT(random_changes_agree_with_a_model);
	UNIT(uids_must_ascend_run);
	UNIT(big_mailbox_in_bounded_transactions);
	UNIT(account_is_removed_in_steps);
	UNIT(damage_is_io_run);
	return unit_end();
}
