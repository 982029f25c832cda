/*
 * worker: the one message it is handed, nothing else. Here: the digest (ENVELOPE, BODYSTRUCTURE, preview, thread keys), and the notice that tells
 * its sender what became of it.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "flow/report/notice.h"
#include "roles/role.h"
#include "standards/mime/mime_digest.h"

struct worker {
	struct role *role;
	struct buf body;	/* a large message in pieces */
	uint64_t blob;
	struct arena arena;
	struct buf record;
	uint64_t digests_n, notices_n, refused_n;
};

static void *
worker_new(struct role *r)
{
	struct worker *w = calloc(1, sizeof(*w));

	CHECK(w != NULL);
	w->role = r;
	arena_init(&w->arena, MIME_DIGEST_ARENA_BYTES);
	buf_init(&w->record, MIME_DIGEST_BYTES_MAX);
	buf_init(&w->body, 1);
	return w;
}

static void
worker_free(void *self)
{
	struct worker *w = self;

	arena_fini(&w->arena);
	buf_fini(&w->record);
	buf_fini(&w->body);
	free(w);
}

static enum status
worker_prepare(void *self, struct buf *why)
{
	(void)self;
	(void)why;
	/* Converters and hashes open files when they are first used: that must be now. */
	mime_digest_preload();
	return ST_OK;
}

static void
worker_answer(struct worker *w, struct link *l, uint64_t blob, struct str message)
{
	struct rec_digest_answer a = {.blob = blob};

	arena_reset(&w->arena);
	buf_reset(&w->record);
	a.ok = mime_digest_make(message, &w->arena, &w->record) == ST_OK;
	a.record = a.ok ? buf_str(&w->record) : STR_NULL;
	if (a.ok)
		w->digests_n++;
	else
		w->refused_n++;
	(void)rec_digest_answer_put(link_out(l), &a);
}

static bool
worker_notice(struct worker *w, struct link *l, struct cur *c)
{
	struct rec_notice r;
	struct rec_notice_answer a;
	struct arena arena;
	struct buf text;

	if (!rec_notice_take(c, &r))
		return false;
	arena_init(&arena, QUEUE_ARENA_BYTES);
	buf_init(&text, NOTICE_BYTES_MAX);
	a = (struct rec_notice_answer){.ask = r.ask};
	a.ok = notice_write(&r, role_settings(w->role)->hostname, &arena, &text, &a.flags) == ST_OK;
	if (a.ok)
		a.text = buf_str(&text);
	w->notices_n += a.ok;
	(void)rec_notice_answer_put(link_out(l), &a);
	arena_fini(&arena);
	buf_fini(&text);
	return true;
}

static bool
worker_digest(struct worker *w, struct link *l, struct cur *c)
{
	struct rec_digest r;

	if (!rec_digest_take(c, &r) || r.total > role_settings(w->role)->message_bytes_max * 2 ||
	    r.bytes.n > r.total - r.off || r.off > r.total)
		return false;
	if (r.off == 0 && r.bytes.n == r.total) {
		worker_answer(w, l, r.blob, r.bytes);
		return true;
	}
	if (r.off == 0) {
		buf_fini(&w->body);
		buf_init(&w->body, (size_t)r.total);
		w->blob = r.blob;
	}
	if (w->blob != r.blob || r.off != w->body.n || buf_put(&w->body, r.bytes) != ST_OK)
		return false;
	if (w->body.n == r.total) {
		worker_answer(w, l, r.blob, buf_str(&w->body));
		buf_fini(&w->body);
		w->blob = 0;
	}
	return true;
}

static bool
worker_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	if (t == REC_NOTICE)
		return worker_notice(self, l, c);
	return t == REC_DIGEST && worker_digest(self, l, c);
}

static void
worker_link_up(void *self, struct link *l)
{
	(void)self;
	/* Nobody waits for a digest; the store is busy with those who wait for their 250. */
	link_set_lazy(l, 16 * 1024, 5);
}

static void
worker_status(void *self, struct buf *json)
{
	const struct worker *w = self;

	(void)buf_putf(json, "\"digests\":%llu,\"notices\":%llu,\"refused\":%llu", (unsigned long long)w->digests_n,
	    (unsigned long long)w->notices_n, (unsigned long long)w->refused_n);
}

const struct role_ops role_worker_ops = {
    .kind = ROLE_WORKER,
    /* A digest is for whoever reads the mail later; the sender waits for his 250 now. */
    .nice = 10,
    .new = worker_new,
    .free = worker_free,
    .prepare = worker_prepare,
    .record = worker_record,
    .link_up = worker_link_up,
    .status = worker_status,
};
