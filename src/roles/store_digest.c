/*
 * Digests: every body goes once to a worker, which sends back ENVELOPE, BODYSTRUCTURE, preview and thread keys.
 *
 * A wish for it is stored with the body, so none is forgotten by a crash. Normally the body is handed over at once,
 * while it is in memory; when the workers do not keep up, the wish waits and is worked off when they are idle.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "roles/store_role.h"

static void
digest_remember(struct store_role *s, struct blob_id blob, size_t bytes)
{
	char key[8];
	size_t *n = malloc(sizeof(*n));

	CHECK(n != NULL);
	*n = bytes;
	le64_put(key, blob.v);
	if (map_put(&s->digesting, str_of(key, 8), n, NULL) != ST_OK) {
		free(n);
		return;
	}
	s->digest_bytes_ahead += bytes;
	s->digests_ahead++;
}

static void
digest_forget(struct store_role *s, uint64_t blob)
{
	char key[8];
	size_t *n;

	le64_put(key, blob);
	n = map_del(&s->digesting, str_of(key, 8));
	if (n == NULL)
		return;
	s->digest_bytes_ahead -= *n;
	s->digests_ahead--;
	free(n);
}

void
store_digest_later(struct store_role *s)
{
	s->is_digest_missed = true;
	store_digest_pump(s);
}

static bool
worker_has_room(const struct store_role *s, const struct link *l)
{
	return l != NULL && !link_is_high(l) && s->digest_bytes_ahead < DIGEST_BYTES_AHEAD;
}

void
store_digest_send(struct store_role *s, struct blob_id blob, struct str body)
{
	struct link *l = role_link_any(s->role, ROLE_WORKER, s->digest_spread++);

	if (!worker_has_room(s, l)) {
		s->is_digest_missed = true;
		return;
	}
	(void)rec_digest_put(link_out(l), &(struct rec_digest){.blob = blob.v, .total = body.n, .bytes = body});
	digest_remember(s, blob, body.n);
}

/* A body from the disk, in pieces. */
static bool
digest_send_stored(struct store_role *s, struct link *l, struct blob_id blob)
{
	struct txn *t = store_snapshot(s->store);
	uint64_t total, off = 0;
	struct buf piece;
	enum status st = store_blob_size(t, blob, &total);

	if (st != ST_OK)
		return false;
	buf_init(&piece, DIGEST_PIECE_BYTES);
	do {
		buf_reset(&piece);
		st = store_blob_read(t, blob, off, DIGEST_PIECE_BYTES, &piece);
		if (st != ST_OK || (piece.n == 0 && total > 0))
			break;
		(void)rec_digest_put(link_out(l),
		    &(struct rec_digest){.blob = blob.v, .total = total, .off = off, .bytes = buf_str(&piece)});
		off += piece.n;
	} while (off < total);
	buf_fini(&piece);
	if (off < total)
		return false;
	digest_remember(s, blob, (size_t)total);
	return true;
}

/* ---- what came back ---- */

static enum status
answered_txn(struct txn *t, void *arg)
{
	const struct store_role *s = arg;
	enum status st = ST_OK;

	for (size_t i = 0; i < s->answered_n && st == ST_OK; i++) {
		const struct rec_digest_answer *a = &s->answered[i];
		st = mailbox_digest_put(t, (struct blob_id){a->blob}, a->record);
		/* The message was deleted meanwhile: nothing to keep, and the wish is gone. */
		if (st == ST_NOTFOUND)
			st = ST_OK;
	}
	return st;
}

static void
answered_done(void *arg, enum status st)
{
	(void)arg;
	(void)st;
}

static void
answered_forget(struct store_role *s)
{
	for (size_t i = 0; i < s->answered_n; i++)
		free((void *)(uintptr_t)s->answered[i].record.p);
	s->answered_n = 0;
	loop_timer_del(role_loop(s->role), &s->answered_timer);
}

/* All that has gathered, in one transaction. When it cannot be had now the wishes are still there. */
static void
answered_store(struct store_role *s)
{
	if (s->answered_n == 0)
		return;
	if (store_transact(s->store, answered_txn, s, answered_done, s) == ST_OK)
		s->digests_n += s->answered_n;
	else
		s->is_digest_missed = true;
	answered_forget(s);
}

static void
answered_timeout(void *arg)
{
	struct store_role *s = arg;

	s->answered_timer = (struct loop_id){0};
	answered_store(s);
	store_digest_pump(s);
}

static void
answered_add(struct store_role *s, uint64_t blob, struct str record)
{
	char *copy = malloc(record.n + 1);

	CHECK(copy != NULL && s->answered_n < DIGEST_ANSWERS_MAX);
	if (record.n > 0)
		memcpy(copy, record.p, record.n);
	s->answered[s->answered_n++] = (struct rec_digest_answer){.blob = blob, .record = str_of(copy, record.n)};
	if (s->answered_n == DIGEST_ANSWERS_MAX)
		answered_store(s);
	else if (s->answered_timer.v == 0)
		s->answered_timer = loop_timer_add(role_loop(s->role), DIGEST_ANSWERS_MS, answered_timeout, s);
}

void
store_digest_with_delivery(struct store_role *s)
{
	if (s->answered_n >= DIGEST_ANSWERS_MAX / 2)
		answered_store(s);
}

void
store_digest_fini(struct store_role *s)
{
	answered_forget(s);
	loop_timer_del(role_loop(s->role), &s->digest_timer);
}

static void
pump_again(void *arg)
{
	struct store_role *s = arg;

	s->digest_timer = (struct loop_id){0};
	store_digest_pump(s);
}

static bool
is_under_way(struct store_role *s, struct blob_id blob)
{
	char key[8];

	le64_put(key, blob.v);
	if (map_get(&s->digesting, str_of(key, 8)) != NULL)
		return true;
	for (size_t i = 0; i < s->answered_n; i++)
		if (s->answered[i].blob == blob.v)
			return true;
	return false;
}

/* The next of those that were missed, to the workers; false when there is room or time for no more. */
static bool
pump_one(struct store_role *s, struct blob_id blob, size_t *reads, size_t *read_bytes)
{
	struct link *l = role_link_any(s->role, ROLE_WORKER, s->digest_spread++);
	size_t before = s->digest_bytes_ahead;

	if (is_under_way(s, blob))
		return true;
	if (!worker_has_room(s, l) || *reads >= DIGEST_READS || *read_bytes >= DIGEST_READ_BYTES)
		return false;
	if (!digest_send_stored(s, l, blob)) {
		log_event(LOG_ERROR, "digest.unreadable", LOG_U64("blob", blob.v));
		answered_add(s, blob.v, STR_NULL);
	}
	*reads += 1;
	*read_bytes += s->digest_bytes_ahead - before;
	return true;
}

/* The wishes behind the last one are all on their way: from the start again, once what is on its way has come back. */
static void
pump_round_end(struct store_role *s)
{
	if (s->digests_ahead > 0)
		return;
	answered_store(s);
	s->is_digest_missed = s->digest_after.v != 0;
	s->digest_after = (struct blob_id){0};
	if (s->is_digest_missed)
		s->digest_timer = loop_timer_add(role_loop(s->role), DIGEST_READ_AGAIN_MS, pump_again, s);
}

void
store_digest_pump(struct store_role *s)
{
	struct blob_id page[DIGEST_PAGE];
	size_t n = 0, reads = 0, read_bytes = 0;

	if (!s->is_digest_missed || s->digest_timer.v != 0 || s->digest_bytes_ahead >= DIGEST_BYTES_AHEAD / 2 ||
	    role_link_any(s->role, ROLE_WORKER, 0) == NULL || store_is_full(s->store) || store_is_busy(s->store))
		return;
	if (mailbox_digest_pending(store_snapshot(s->store), s->digest_after, page, DIGEST_PAGE, &n) != ST_OK)
		return;
	if (n == 0) {
		pump_round_end(s);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!pump_one(s, page[i], &reads, &read_bytes))
			break;
		s->digest_after = page[i];
	}
	if (reads > 0)
		s->digest_timer = loop_timer_add(role_loop(s->role), DIGEST_READ_AGAIN_MS, pump_again, s);
}

bool
store_digest_answer(struct store_role *s, struct cur *c)
{
	struct rec_digest_answer a;

	if (!rec_digest_answer_take(c, &a) || a.record.n > MAILBOX_DIGEST_BYTES_MAX)
		return false;
	digest_forget(s, a.blob);
	/* An empty digest says: there is none to be had. */
	answered_add(s, a.blob, a.ok ? a.record : STR_NULL);
	store_digest_pump(s);
	return true;
}

void
store_digest_worker_down(struct store_role *s)
{
	size_t it = 0;
	void *n;

	while (map_next(&s->digesting, &it, NULL, &n))
		free(n);
	map_fini(&s->digesting);
	s->digest_bytes_ahead = 0;
	s->digests_ahead = 0;
	s->is_digest_missed = true;
	s->digest_after = (struct blob_id){0};
}
