/* What the mailboxes must hold, and what they hold. */
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "directory/directory.h"
#include "mailbox/mailbox.h"
#include "sim.h"

enum { EXPUNGE_MAX = 4 };

void
sim_message_make(const struct sim_message *m, uint32_t number, struct buf *out)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz ..0123456789=";
	struct prng r;

	prng_init(&r, m->seed);
	buf_reset(out);
	(void)buf_putf(out, "X-Sim: %010u\r\nFrom: <m%u@client.example>\r\nSubject: %llx\r\n\r\n",
	    number, number, (unsigned long long)prng_u64(&r));
	while (out->n < m->bytes) {
		size_t n = size_min((size_t)prng_below(&r, 79), m->bytes - out->n);
		uint64_t bits = prng_u64(&r);
		if (n > 0 && prng_below(&r, 8) == 0)
			(void)buf_put_c(out, '.');
		for (size_t i = 0; i < n; i++) {
			(void)buf_put_c(out, letters[(bits >> (i % 48)) % (sizeof(letters) - 1)]);
			bits ^= bits << 7 ^ i;
		}
		(void)buf_put(out, STR("\r\n"));
	}
	CHECK(!out->full);
}

static struct mailbox_cap
cap_of(unsigned account)
{
	/* Accounts are made in this order in an empty store. */
	return (struct mailbox_cap){
	    .account = {account + 1}, .rights = MAILBOX_RIGHTS_ALL, .expires_ms = UINT64_MAX};
}

struct found {
	uint8_t *n; /* by message and account */
	uint64_t bytes;
	uint32_t count, uid_last;
};

static bool
number_of(struct sim_world *w, struct str body, uint32_t *out)
{
	uint64_t n;

	if (body.n < 17 || !str_has_prefix(body, STR("X-Sim: ")) ||
	    str_to_u64(str_of(body.p + 7, 10), &n) != ST_OK || n >= w->messages_n)
		return false;
	*out = (uint32_t)n;
	return true;
}

static void
verify_entry(struct sim_world *w, const struct mailbox *box, unsigned account,
    const struct mailbox_entry *e, struct found *f)
{
	struct mailbox_message mm;
	struct sim_message *m;
	struct str body;
	uint32_t number;

	f->bytes += e->size_bytes;
	f->count++;
	if (e->uid <= f->uid_last || e->uid >= box->state.uidnext)
		sim_fail(w, "a%u: uid %u after %u, next is %u", account, e->uid, f->uid_last,
		    box->state.uidnext);
	f->uid_last = e->uid;
	buf_reset(&w->scratch);
	if (mailbox_message_get(box, e->message, &mm) != ST_OK ||
	    mailbox_message_read(box, &mm, 0, SIZE_MAX, &w->scratch) != ST_OK) {
		sim_fail(w, "a%u: uid %u cannot be read", account, e->uid);
		return;
	}
	if (w->scratch.n != e->size_bytes || mm.body_bytes + mm.head.n != e->size_bytes ||
	    mm.uid != e->uid)
		sim_fail(w, "a%u: uid %u: sizes differ", account, e->uid);
	if (w->plan.is_relay && str_has_prefix(mm.head, STR("Return-Path: <>"))) {
		sim_outcome_notice(w, buf_str(&w->scratch));
		return;
	}
	body = str_from(buf_str(&w->scratch), mm.head.n);
	if (!str_has_prefix(buf_str(&w->scratch),
		w->plan.is_relay ? STR("Return-Path: <a") : STR("Return-Path: <m")) ||
	    !number_of(w, body, &number)) {
		sim_fail(w, "a%u: uid %u is none of ours", account, e->uid);
		return;
	}
	m = &w->messages[number];
	sim_message_make(m, number, &w->want);
	if (!str_eq(body, buf_str(&w->want)))
		sim_fail(w, "a%u: message %u is changed (%zu bytes of %zu)", account, number,
		    body.n, w->want.n);
	if (!m->is_complete || (m->sent & 1u << account) == 0)
		sim_fail(w, "a%u: message %u was never sent there", account, number);
	if (++f->n[number * SIM_ACCOUNTS + account] > 1)
		sim_fail(w, "a%u: message %u is there twice", account, number);
	if (m->uid[account] != 0 && m->uid[account] != e->uid)
		sim_fail(w, "a%u: message %u had uid %u, now %u", account, number, m->uid[account],
		    e->uid);
	if ((m->acked & 1u << account) != 0)
		m->uid[account] = e->uid;
}

static void
verify_account(struct sim_world *w, struct store *s, unsigned account, struct found *f)
{
	struct mailbox_cap cap = cap_of(account);
	struct mailbox_entry *entries = calloc(SIM_MESSAGES_MAX, sizeof(*entries));
	struct mailbox_usage usage;
	struct mailbox box;
	size_t n = 0;

	CHECK(entries != NULL);
	f->bytes = f->count = f->uid_last = 0;
	if (mailbox_open(store_snapshot(s), &cap, MAILBOX_INBOX, MAILBOX_READ,
		clock_wall_ms(&w->clock), &box) != ST_OK ||
	    mailbox_list(&box, 0, entries, SIM_MESSAGES_MAX, &n) != ST_OK ||
	    mailbox_usage(store_snapshot(s), cap.account, &usage) != ST_OK) {
		sim_fail(w, "a%u: the mailbox cannot be read", account);
		n = 0;
	}
	for (size_t i = 0; i < n && !w->is_failed; i++)
		verify_entry(w, &box, account, &entries[i], f);
	free(entries);
	if (!w->is_failed && (box.state.count != f->count || box.state.bytes != f->bytes ||
				 box.state.unseen != f->count || usage.bytes != f->bytes ||
				 usage.messages != f->count))
		sim_fail(w,
		    "a%u: %u messages of %llu bytes, but the mailbox says %u of %llu, the account "
		    "%llu of %llu",
		    account, f->count, (unsigned long long)f->bytes, box.state.count,
		    (unsigned long long)box.state.bytes, (unsigned long long)usage.messages,
		    (unsigned long long)usage.bytes);
}

/* What the acknowledgements (and what was seen after an earlier recovery) promise. */
static void
verify_promises(
    struct sim_world *w, uint32_t number, unsigned account, bool is_there, bool is_recovered)
{
	struct sim_message *m = &w->messages[number];
	uint8_t bit = (uint8_t)(1u << account);

	if (is_recovered && (m->going & bit) != 0) {
		m->going &= (uint8_t)~bit;
		if (!is_there)
			m->gone |= bit;
	}
	if (is_there && (m->gone & bit) != 0)
		sim_fail(w, "a%u: message %u was deleted and is there", account, number);
	if (is_there && (m->refused & bit & (uint8_t)~m->acked) != 0)
		sim_fail(w, "a%u: message %u was refused and is there", account, number);
	if (!is_there && ((m->acked | m->seen) & bit & (uint8_t) ~(m->gone | m->going)) != 0)
		sim_fail(w, "a%u: message %u was %s and is lost", account, number,
		    (m->acked & bit) != 0 ? "acknowledged" : "seen");
	if (is_there && is_recovered && (m->seen & bit) == 0)
		sim_say(w, "a%u: message %u is seen", account, number);
	if (is_there && is_recovered)
		m->seen |= bit;
}

void
sim_verify(struct sim_world *w, struct store *s, bool is_recovered)
{
	struct found f = {.n = calloc(w->messages_n + 1, SIM_ACCOUNTS)};

	CHECK(f.n != NULL);
	/* A reading error that waits is for the store's own work. */
	disk_sim_fail(w->disk, DISK_SIM_READ, 0, ST_OK, 0);
	disk_sim_fail(w->disk, DISK_SIM_OPEN, 0, ST_OK, 0);
	sim_outcome_notices_forget(w);
	for (unsigned a = 0; a < SIM_ACCOUNTS && !w->is_failed; a++) {
		verify_account(w, s, a, &f);
		sim_trace(w, &f.count, sizeof(f.count));
	}
	for (uint32_t number = 0; number < w->messages_n; number++)
		for (unsigned a = 0; a < SIM_ACCOUNTS && !w->is_failed; a++)
			verify_promises(
			    w, number, a, f.n[number * SIM_ACCOUNTS + a] > 0, is_recovered);
	free(f.n);
	sim_outcome_verify(w);
	if (is_recovered)
		sim_outcome_recovered(w, s);
	w->result.verified++;
}

void
sim_verify_digests(struct sim_world *w, struct store *s)
{
	struct blob_id pending[1];
	size_t n = 0;

	if (mailbox_digest_pending(store_snapshot(s), (struct blob_id){0}, pending, 1, &n) !=
		ST_OK ||
	    n > 0)
		sim_fail(w, "bodies without a digest");
}

static void
blobs_mark(struct sim_world *w, struct store *s, unsigned account, uint8_t *marks, uint64_t given)
{
	struct mailbox_cap cap = cap_of(account);
	struct mailbox_entry *entries = calloc(SIM_MESSAGES_MAX, sizeof(*entries));
	struct mailbox_message mm;
	struct mailbox box;
	size_t n = 0;

	CHECK(entries != NULL);
	if (mailbox_open(store_snapshot(s), &cap, MAILBOX_INBOX, MAILBOX_READ,
		clock_wall_ms(&w->clock), &box) != ST_OK ||
	    mailbox_list(&box, 0, entries, SIM_MESSAGES_MAX, &n) != ST_OK)
		n = 0;
	for (size_t i = 0; i < n; i++)
		if (mailbox_message_get(&box, entries[i].message, &mm) == ST_OK &&
		    mm.blob.v <= given)
			marks[mm.blob.v] = 1;
	free(entries);
}

static uint64_t
blobs_given(struct store *s)
{
	struct str name = STR("\"blobs_given\":"), rest, number;
	struct buf stats;
	uint64_t n = 0;

	buf_init(&stats, 65536);
	CHECK(store_stats(s, &stats) == ST_OK);
	rest = str_from(buf_str(&stats), str_find(buf_str(&stats), name) + name.n);
	(void)str_split(rest, ',', &number, &rest);
	CHECK(str_to_u64(number, &n) == ST_OK);
	buf_fini(&stats);
	return n;
}

void
sim_verify_blobs(struct sim_world *w, struct store *s)
{
	uint64_t given = blobs_given(s), bytes;
	uint8_t *marks = calloc(given + 1, 1);

	CHECK(marks != NULL);
	for (unsigned a = 0; a < SIM_ACCOUNTS; a++)
		blobs_mark(w, s, a, marks, given);
	for (uint64_t id = 1; id <= given; id++)
		if (marks[id] == 0 &&
		    store_blob_size(store_snapshot(s), (struct blob_id){id}, &bytes) == ST_OK)
			sim_fail(w, "body %llu of %llu bytes is kept for nobody",
			    (unsigned long long)id, (unsigned long long)bytes);
	free(marks);
}

/* ---- deleting ---- */

struct expunge {
	struct sim_world *w;
	unsigned account;
	uint32_t uids[EXPUNGE_MAX], numbers[EXPUNGE_MAX];
	size_t n;
};

static enum status
expunge_txn(struct txn *t, void *arg)
{
	struct expunge *x = arg;
	struct mailbox_cap cap = cap_of(x->account);
	struct mailbox box;
	size_t taken = 0;
	enum status st = mailbox_open(
	    t, &cap, MAILBOX_INBOX, MAILBOX_EXPUNGE, clock_wall_ms(&x->w->clock), &box);

	if (st == ST_OK)
		st = mailbox_expunge(&box, x->uids, x->n, &taken, NULL);
	return st == ST_OK && taken != x->n ? ST_LIMIT : st;
}

static void
expunge_done(void *arg, enum status st)
{
	struct expunge *x = arg;

	CHECK(st == ST_OK);
	for (size_t i = 0; i < x->n; i++) {
		struct sim_message *m = &x->w->messages[x->numbers[i]];
		m->going &= (uint8_t) ~(1u << x->account);
		m->gone |= (uint8_t)(1u << x->account);
	}
	free(x);
}

/* Of acknowledged ones whose uid is known, some. */
static void
expunge_choose(struct expunge *x)
{
	struct sim_world *w = x->w;
	uint8_t bit = (uint8_t)(1u << x->account);

	for (uint32_t i = 0; i < w->messages_n && x->n < EXPUNGE_MAX; i++) {
		struct sim_message *m = &w->messages[i];
		if (m->uid[x->account] == 0 || ((m->gone | m->going) & bit) != 0 ||
		    prng_below(&w->r, 3))
			continue;
		/* Messages were numbered before they got their uids: only ascending ones. */
		if (x->n > 0 && m->uid[x->account] <= x->uids[x->n - 1])
			continue;
		x->uids[x->n] = m->uid[x->account];
		x->numbers[x->n++] = i;
	}
}

void
sim_expunge(struct sim_world *w, struct store *s)
{
	struct expunge *x = calloc(1, sizeof(*x));

	CHECK(x != NULL);
	x->w = w;
	x->account = (unsigned)prng_below(&w->r, SIM_ACCOUNTS);
	expunge_choose(x);
	if (x->n == 0 || store_transact(s, expunge_txn, x, expunge_done, x) != ST_OK) {
		free(x);
		return;
	}
	for (size_t i = 0; i < x->n; i++)
		w->messages[x->numbers[i]].going |= (uint8_t)(1u << x->account);
}
