/* The store role's half of the queue: what waits, for `queue`; what goes out, for `relay`. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "directory/dkim.h"
#include "roles/store_role.h"

enum {
	LOAD_PAGE = 256,
	KEYS_BYTES_MAX = DIRECTORY_DKIM_KEYS_MAX * (1 + 2 + DIRECTORY_DKIM_SELECTOR_BYTES_MAX + 2 + DIRECTORY_DKIM_SEALED_BYTES_MAX),
};

/* ---- what waits ---- */

static void
entry_send(struct link *l, const struct queue_message *m, const struct queue_entry *e)
{
	(void)rec_queue_entry_put(link_out(l),
	    &(struct rec_queue_entry){.message = m->id.v,
	        .destination = e->destination,
	        .rcpts_n = e->rcpts_n,
	        .bytes = (uint32_t)size_min(m->body_bytes, UINT32_MAX),
	        .due_ms = e->due_ms,
	        .attempts = e->attempts,
	        .priority = m->priority,
	        .is_held = e->is_held});
}

/* Every destination of a message. ST_NOTFOUND: it is gone. */
static enum status
message_send(struct store_role *s, struct link *l, struct queue_id id)
{
	struct txn *t = store_snapshot(s->store);
	struct queue_message m = {0};
	struct queue_rcpt *rcpts;
	struct queue_entry *entries;
	size_t n = 0;
	enum status st;

	arena_reset(&s->queue_arena);
	st = queue_get(t, id, &s->queue_arena, &m);
	if (st == ST_OK)
		st = queue_rcpts(t, id, &s->queue_arena, &rcpts, &n);
	if (st == ST_OK)
		st = queue_entries(rcpts, n, &s->queue_arena, &entries, &n);
	for (size_t i = 0; st == ST_OK && i < n; i++)
		entry_send(l, &m, &entries[i]);
	arena_reset(&s->queue_arena);
	return st;
}

void
store_queue_tell(struct store_role *s, struct queue_id id)
{
	struct link *l = role_link(s->role, ROLE_QUEUE, 0);
	enum status st = l != NULL ? message_send(s, l, id) : ST_OK;

	/* A queue that is not there asks for everything when it comes back. */
	if (st != ST_OK && st != ST_NOTFOUND)
		log_event(LOG_ERROR, "queue.unreadable", LOG_U64("message", id.v), LOG_CSTR("why", status_word(st)));
}

void
store_queue_tell_gone(struct store_role *s, struct queue_id id, struct str destination)
{
	struct link *l = role_link(s->role, ROLE_QUEUE, 0);

	if (l != NULL)
		(void)rec_queue_entry_put(link_out(l), &(struct rec_queue_entry){.message = id.v, .destination = destination});
}

bool
store_queue_load(struct store_role *s, struct link *l, struct cur *c)
{
	struct queue_id ids[LOAD_PAGE];
	struct rec_queue_load r;
	size_t n;

	if (!rec_queue_load_take(c, &r))
		return false;
	if (queue_ids(store_snapshot(s->store), (struct queue_id){r.from}, ids, LOAD_PAGE, &n) != ST_OK)
		n = 0;
	for (size_t i = 0; i < n; i++) {
		enum status st = message_send(s, l, ids[i]);
		if (st != ST_OK)
			log_event(LOG_ERROR, "queue.unreadable", LOG_U64("message", ids[i].v), LOG_CSTR("why", status_word(st)));
	}
	(void)rec_queue_loaded_put(link_out(l), &(struct rec_queue_loaded){.next = n == LOAD_PAGE ? ids[n - 1].v : 0});
	return true;
}

/* ---- what goes out ---- */

static void
rcpts_put(struct buf *out, const struct queue_rcpt *rcpts, size_t n, struct str destination)
{
	for (size_t i = 0; i < n; i++) {
		if (rcpts[i].state == QUEUE_HELD || !str_eq(rcpts[i].destination, destination))
			continue;
		(void)buf_put_le32(out, rcpts[i].index);
		(void)buf_put_c(out, (char)rcpts[i].notify);
		(void)buf_put_str16(out, rcpts[i].path);
		(void)buf_put_str16(out, rcpts[i].orcpt);
	}
}

/* Those that sign for the domain now. */
static enum status
keys_put(struct store_role *s, struct str domain, struct buf *out)
{
	struct dkim_key_record *keys;
	size_t n = 0;
	enum status st = ST_OK;

	if (domain.n > 0)
		st = directory_dkim_list(store_snapshot(s->store), domain, &s->queue_arena, &keys, &n);
	/* The domain may be gone since. */
	if (st == ST_NOTFOUND)
		return ST_OK;
	for (size_t i = 0; i < n; i++) {
		if (keys[i].state != DKIM_KEY_ACTIVE)
			continue;
		(void)buf_put_c(out, (char)keys[i].algorithm);
		(void)buf_put_str16(out, keys[i].selector);
		(void)buf_put_str16(out, keys[i].sealed);
	}
	return st;
}

static enum status
message_fetch(struct store_role *s, const struct rec_queue_fetch *r, struct rec_queue_message *a, struct buf *rcpts_out,
    struct buf *keys, struct buf *body)
{
	struct txn *t = store_snapshot(s->store);
	struct queue_message m = {0};
	struct queue_rcpt *rcpts;
	size_t n;
	enum status st = queue_get(t, (struct queue_id){r->message}, &s->queue_arena, &m);

	if (st == ST_OK)
		st = queue_rcpts(t, m.id, &s->queue_arena, &rcpts, &n);
	if (st == ST_OK)
		st = store_blob_read(t, m.blob, 0, QUEUE_BODY_BYTES, body);
	if (st == ST_OK)
		st = keys_put(s, m.sign_domain, keys);
	if (st != ST_OK)
		return st;
	rcpts_put(rcpts_out, rcpts, n, r->destination);
	*a = (struct rec_queue_message){.job = r->job,
	    .ok = 1,
	    .reverse_path = m.reverse_path,
	    .rcpts = buf_str(rcpts_out),
	    .head = m.head,
	    .flags = m.flags,
	    .ret = m.ret,
	    .envid = m.envid,
	    .by_ms = m.by_ms,
	    .by_mode = m.by_mode,
	    .priority = m.priority,
	    .sign_domain = m.sign_domain,
	    .keys = buf_str(keys),
	    .body_bytes = m.body_bytes,
	    .body = buf_str(body)};
	return ST_OK;
}

bool
store_queue_fetch(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_queue_fetch r;
	struct rec_queue_message a;
	struct buf rcpts, keys, body;
	enum status st;

	if (!rec_queue_fetch_take(c, &r))
		return false;
	buf_init(&rcpts, QUEUE_RCPTS_MAX * (QUEUE_PATH_BYTES_MAX + QUEUE_ORCPT_BYTES_MAX + 16u));
	buf_init(&keys, KEYS_BYTES_MAX);
	buf_init(&body, QUEUE_BODY_BYTES);
	arena_reset(&s->queue_arena);
	st = message_fetch(s, &r, &a, &rcpts, &keys, &body);
	if (st != ST_OK) {
		/* Gone is nothing to tell of; damage is, and the message stays for whoever mends it. */
		if (st != ST_NOTFOUND)
			log_event(LOG_ERROR, "queue.unreadable", LOG_U64("message", r.message), LOG_CSTR("why", status_word(st)));
		a = (struct rec_queue_message){.job = r.job};
	}
	(void)rec_queue_message_put(link_out(l), &a);
	arena_reset(&s->queue_arena);
	buf_fini(&rcpts);
	buf_fini(&keys);
	buf_fini(&body);
	return true;
}

bool
store_queue_read(struct store_role *s, struct link *l, struct cur *c)
{
	struct rec_queue_read r;
	struct rec_queue_piece a;
	struct queue_message m = {0};
	struct buf bytes;
	struct txn *t = store_snapshot(s->store);

	if (!rec_queue_read_take(c, &r))
		return false;
	a = (struct rec_queue_piece){.job = r.job, .off = r.off};
	buf_init(&bytes, QUEUE_BODY_BYTES);
	arena_reset(&s->queue_arena);
	if (queue_get(t, (struct queue_id){r.message}, &s->queue_arena, &m) == ST_OK &&
	    store_blob_read(t, m.blob, r.off, size_min(r.bytes_max, QUEUE_BODY_BYTES), &bytes) == ST_OK) {
		a.ok = 1;
		a.bytes = buf_str(&bytes);
	}
	(void)rec_queue_piece_put(link_out(l), &a);
	arena_reset(&s->queue_arena);
	buf_fini(&bytes);
	return true;
}

/* ---- how much an account may send ---- */

/* Counted in memory: a restart forgives, a stolen account does not restart us. */
struct allowance {
	uint64_t since_ms;
	uint32_t messages, rcpts;
};

enum { ALLOWANCE_MS = 3600 * 1000 };

bool
store_allowance_take(struct store_role *s, struct account_id account, size_t rcpts_n)
{
	const struct rec_settings *o = role_settings(s->role);
	uint64_t now = clock_mono_ms(loop_clock(role_loop(s->role)));
	struct allowance *w;
	char key[8];

	le64_put(key, account.v);
	w = map_get(&s->allowances, str_of(key, sizeof(key)));
	if (w == NULL) {
		w = calloc(1, sizeof(*w));
		CHECK(w != NULL);
		w->since_ms = now;
		if (map_put(&s->allowances, str_of(key, sizeof(key)), w, NULL) != ST_OK) {
			free(w);
			return true;
		}
	}
	if (now - w->since_ms >= ALLOWANCE_MS)
		*w = (struct allowance){.since_ms = now};
	if (w->messages >= o->submit_messages_per_hour || w->rcpts + rcpts_n > o->submit_rcpts_per_hour)
		return false;
	w->messages++;
	w->rcpts += (uint32_t)rcpts_n;
	return true;
}
