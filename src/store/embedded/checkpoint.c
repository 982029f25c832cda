/*
 * The checkpoint thread and its work: everything that writes to the index.
 *
 * The loop thread posts one job at a time and takes its result where no reader holds on to the old
 * snapshot.
 */
#include "store/embedded/embedded_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "base/log.h"
#include "base/num.h"

void
numbers_add(struct numbers *l, uint64_t v)
{
	if (l->n == l->cap) {
		l->cap = size_max(16, l->cap * 2);
		l->v = realloc(l->v, l->cap * sizeof(l->v[0]));
		CHECK(l->v != NULL);
	}
	l->v[l->n++] = v;
}

bool
numbers_has(const struct numbers *l, uint64_t v)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == v)
			return true;
	return false;
}

void
trash_fini(struct trash *t)
{
	delta_free(&t->delta);
	free(t->segments.v);
	free(t->staged.v);
	*t = (struct trash){0};
}

static void
numbers_move(struct numbers *to, struct numbers *from)
{
	for (size_t i = 0; i < from->n; i++)
		numbers_add(to, from->v[i]);
	from->n = 0;
}

/* ---- a checkpoint: the frozen delta goes into the index ---- */

/* Puts or deletes keys until a batch is full. The same keys may come again after a crash: that
 * changes nothing. */
static enum status
put_keys(struct embedded *e, struct job *j)
{
	const struct index_ops *ops = e->index->ops;
	size_t bytes = 0, n = 0;
	enum status st = ST_OK;

	for (; j->node && st == ST_OK; j->node = j->node->next[0]) {
		if (n++ == CHECKPOINT_BATCH_ENTRIES || bytes >= CHECKPOINT_BATCH_BYTES)
			return ST_OK;
		if (j->node->state == DELTA_ABSENT)
			continue;
		if (j->node->state == DELTA_DELETED) {
			st = ops->del(e->index, delta_key(j->node));
			bytes += j->node->key_n;
		} else {
			st = ops->put(e->index, delta_key(j->node),
			    str_of(j->node->value->p, j->node->value->n));
			bytes += j->node->key_n + j->node->value->n;
		}
	}
	return st;
}

static enum status
put_blob(struct embedded *e, uint64_t id, const struct blob_row *row)
{
	uint8_t b[BLOB_ROW_BYTES], v[8];
	enum status st;

	blob_row_put(b, row);
	st = e->index->ops->w_row_put(e->index, INDEX_BLOBS, id, str_of(b, sizeof(b)));
	if (st != ST_OK || row->kind != BLOB_STAGED)
		return st;
	le64_put(v, id);
	return e->index->ops->w_row_put(e->index, INDEX_STAGED, row->a, str_of(v, sizeof(v)));
}

static enum status
put_new_blobs(struct embedded *e, struct job *j)
{
	const struct delta *d = j->delta;
	enum status st = ST_OK;

	for (size_t i = 0; i < d->rows_n && st == ST_OK; i++) {
		const struct blob_row *row = &d->rows[i];

		if (row->kind == BLOB_NONE)
			continue;
		if (row->refs > 0)
			st = put_blob(e, d->blob_base + i, row);
		else if (row->kind == BLOB_STAGED)
			numbers_add(&j->trash.staged, row->a);
	}
	return st;
}

static enum status
account_dead(struct embedded *e, const struct blob_row *row)
{
	struct segment_row seg;
	struct str bytes;
	uint8_t b[SEGMENT_ROW_BYTES];
	uint64_t size = ARCHIVE_ENTRY_BYTES + (uint64_t)row->stored;
	enum status st = e->index->ops->w_row(e->index, INDEX_SEGMENTS, row->a, &bytes);

	if (st != ST_OK || (st = segment_row_get(bytes, &seg)) != ST_OK)
		return st == ST_NOTFOUND ? ST_IO : st;
	if (seg.live < size || seg.raw < row->size)
		return ST_IO;
	seg.live -= size;
	seg.raw -= row->size;
	segment_row_put(b, &seg);
	return e->index->ops->w_row_put(e->index, INDEX_SEGMENTS, row->a, str_of(b, sizeof(b)));
}

/* Its last reference went: the row goes, and what the bytes are counted in learns of it. */
static enum status
blob_dies(struct embedded *e, struct job *j, uint64_t id, const struct blob_row *row)
{
	enum status st = e->index->ops->w_row_del(e->index, INDEX_BLOBS, id);

	if (st == ST_OK && row->kind == BLOB_ARCHIVE)
		st = account_dead(e, row);
	if (st == ST_OK && row->kind == BLOB_STAGED) {
		st = e->index->ops->w_row_del(e->index, INDEX_STAGED, row->a);
		numbers_add(&j->trash.staged, row->a);
	}
	return st;
}

static enum status
change_ref(struct embedded *e, struct job *j, const struct delta_ref *ref)
{
	struct blob_row row;
	struct str bytes;
	int64_t sum;
	enum status st = e->index->ops->w_row(e->index, INDEX_BLOBS, ref->id, &bytes);

	if (st != ST_OK || (st = blob_row_get(bytes, &row)) != ST_OK)
		return st == ST_NOTFOUND ? ST_IO : st;
	sum = (int64_t)row.refs + ref->by;
	if (sum < 0 || sum > INT32_MAX)
		return ST_IO;
	row.refs = (uint32_t)sum;
	return sum == 0 ? blob_dies(e, j, ref->id, &row) : put_blob(e, ref->id, &row);
}

static int
ref_order(const void *a, const void *b)
{
	const struct delta_ref *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* In the order of ids: ordered writes cost the index a tenth of scattered ones. */
static enum status
change_refs(struct embedded *e, struct job *j)
{
	const struct delta *d = j->delta;
	struct delta_ref *refs;
	size_t n = 0;
	enum status st = ST_OK;

	if (d->refs_n == 0)
		return ST_OK;
	refs = calloc(d->refs_n, sizeof(refs[0]));
	CHECK(refs != NULL);
	for (size_t i = 0; i < d->refs_cap; i++)
		if (d->refs[i].id != 0 && d->refs[i].by != 0)
			refs[n++] = d->refs[i];
	qsort(refs, n, sizeof(refs[0]), ref_order);
	for (size_t i = 0; i < n && st == ST_OK; i++)
		st = change_ref(e, j, &refs[i]);
	free(refs);
	return st;
}

/* May a blob of the index still lie in the ring? If not, nothing before the position covered is
 * needed there. */
static enum status
ring_has_blobs(struct embedded *e, const struct index_meta *m, bool *has_out)
{
	uint64_t id = m->archive_next;
	struct str bytes;
	enum status st = e->index->ops->w_row_from(e->index, INDEX_BLOBS, &id, &bytes);

	*has_out = st == ST_OK;
	return st == ST_NOTFOUND ? ST_OK : st;
}

/* The commit that counts: blobs, which must change exactly once, and the position covered. */
static enum status
checkpoint_last(struct embedded *e, struct job *j)
{
	struct index_meta m = j->meta;
	bool has_blobs = true;
	enum status st = put_new_blobs(e, j);

	if (st == ST_OK)
		st = change_refs(e, j);
	if (st == ST_OK)
		st = ring_has_blobs(e, &m, &has_blobs);
	if (st == ST_OK)
		st = archive_count(e, &e->archive);
	if (st != ST_OK) {
		e->index->ops->abort(e->index);
		return st;
	}
	m.covered_next = j->covered_next;
	m.blob_next = j->blob_next;
	m.checkpoints++;
	if (!has_blobs) {
		m.archive_next = m.blob_next;
		m.ring_floor = m.covered_next;
	}
	if ((st = embedded_commit_meta(e, &m)) == ST_OK)
		j->meta = m;
	return st;
}

/* One commit. ST_MORE: not the last. */
static enum status
checkpoint_batch(struct embedded *e, struct job *j)
{
	enum status st = e->index->ops->begin(e->index);

	if (st != ST_OK)
		return st;
	j->trash.staged.n = 0;
	if ((st = put_keys(e, j)) != ST_OK) {
		e->index->ops->abort(e->index);
		return st;
	}
	if (!j->node)
		return checkpoint_last(e, j);
	st = e->index->ops->commit(e->index);
	return st == ST_OK ? ST_MORE : st;
}

/* ---- cleanup ---- */

/* A file that does not go now is found by the next start, which knows that nobody names it. */
static enum status
cleanup(struct embedded *e, struct job *j)
{
	char path[PATH_BYTES];

	for (size_t i = 0; i < j->drop.segments.n; i++) {
		archive_path(path, j->drop.segments.v[i]);
		(void)e->disk->ops->unlink(e->disk, path);
	}
	for (size_t i = 0; i < j->drop.staged.n; i++) {
		staged_path(path, j->drop.staged.v[i]);
		(void)e->disk->ops->unlink(e->disk, path);
	}
	trash_fini(&j->drop);
	return ST_OK;
}

/* ---- the thread ---- */

/* ST_MORE: there is more of this job. */
static enum status
job_step(struct embedded *e)
{
	struct job *j = &e->job;

	switch (j->kind) {
	case JOB_CHECKPOINT:
		return checkpoint_batch(e, j);
	case JOB_CLEANUP:
		return cleanup(e, j);
	case JOB_ARCHIVE:
		return archive_run(e, j);
	case JOB_COLLECT:
		return archive_collect(e, j);
	case JOB_BACKUP_INDEX:
		return backup_index(e, j);
	case JOB_BACKUP_COPY:
		return backup_copy(e, j);
	}
	return ST_UNSUPPORTED;
}

static void
wake_loop(struct embedded *e)
{
	uint64_t one = 1;

	/* Full means that it is readable already. */
	if (write(e->event_fd, &one, sizeof(one)) < 0)
		CHECK(errno == EAGAIN || errno == EINTR);
}

#define TICK_MS 500

/* Waits for a job; while the loop has something that becomes due by time, wakes it now and then. */
static bool
job_wait(struct embedded *e)
{
	struct timespec until;
	bool must_end;

	(void)pthread_mutex_lock(&e->mutex);
	while (!e->thread_must_end && e->job.state != JOB_POSTED) {
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += TICK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		if (pthread_cond_timedwait(&e->cond, &e->mutex, &until) == ETIMEDOUT &&
		    atomic_load(&e->wants_tick))
			wake_loop(e);
	}
	must_end = e->thread_must_end;
	(void)pthread_mutex_unlock(&e->mutex);
	return !must_end;
}

static bool
must_end(struct embedded *e)
{
	bool end;

	(void)pthread_mutex_lock(&e->mutex);
	end = e->thread_must_end;
	(void)pthread_mutex_unlock(&e->mutex);
	return end;
}

static void
job_finish(struct embedded *e, enum status st)
{
	if (e->has_thread)
		(void)pthread_mutex_lock(&e->mutex);
	e->job.st = st;
	e->job.state = JOB_FINISHED;
	if (!e->has_thread)
		return;
	(void)pthread_cond_broadcast(&e->cond);
	(void)pthread_mutex_unlock(&e->mutex);
	wake_loop(e);
}

static void *
thread_main(void *arg)
{
	struct embedded *e = arg;

	/*
	 * Nobody waits for this thread until the ring or the delta is full (then nobody else has much to do): those who
	 * receive and deliver come first.
	 */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), THREAD_NICE);
	(void)pthread_mutex_lock(&e->mutex);
	e->thread_is_set = true;
	(void)pthread_cond_broadcast(&e->cond);
	(void)pthread_mutex_unlock(&e->mutex);
	while (job_wait(e)) {
		enum status st;

		while ((st = job_step(e)) == ST_MORE)
			if (must_end(e))
				return NULL;
		job_finish(e, st);
	}
	return NULL;
}

enum status
checkpoint_start(struct embedded *e)
{
	pthread_condattr_t attr;

	if (!e->o.threaded || e->is_read_only)
		return ST_OK;
	(void)pthread_mutex_init(&e->mutex, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&e->cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	e->has_thread = true;
	if (pthread_create(&e->thread, NULL, thread_main, e) != 0) {
		e->has_thread = false;
		return ST_NOMEM;
	}
	/* A caller who filters system calls next must not catch the thread in the middle of setting itself up. */
	(void)pthread_mutex_lock(&e->mutex);
	while (!e->thread_is_set)
		(void)pthread_cond_wait(&e->cond, &e->mutex);
	(void)pthread_mutex_unlock(&e->mutex);
	return ST_OK;
}

void
checkpoint_stop(struct embedded *e)
{
	if (e->has_thread) {
		(void)pthread_mutex_lock(&e->mutex);
		e->thread_must_end = true;
		(void)pthread_cond_broadcast(&e->cond);
		(void)pthread_mutex_unlock(&e->mutex);
		(void)pthread_join(e->thread, NULL);
		(void)pthread_mutex_destroy(&e->mutex);
		(void)pthread_cond_destroy(&e->cond);
		e->has_thread = false;
	}
	trash_fini(&e->job.trash);
	trash_fini(&e->job.drop);
	trash_fini(&e->trash);
	free(e->collect_skip.v);
	buf_fini(&e->job_in);
	buf_fini(&e->job_out);
	(void)ZSTD_freeCCtx(e->zstd);
}

/* ---- on the loop thread: taking results ---- */

static void
job_set_state(struct embedded *e, enum job_state state)
{
	if (e->has_thread)
		(void)pthread_mutex_lock(&e->mutex);
	e->job.state = state;
	if (e->has_thread)
		(void)pthread_mutex_unlock(&e->mutex);
}

static enum job_state
job_state(struct embedded *e)
{
	enum job_state state;

	if (!e->has_thread)
		return e->job.state;
	(void)pthread_mutex_lock(&e->mutex);
	state = e->job.state;
	(void)pthread_mutex_unlock(&e->mutex);
	return state;
}

/* The ring may forget what the index covers and what the archive has taken. The last covered record
 * stays: replay starts at it. */
static void
release_ring(struct embedded *e)
{
	uint64_t pos = e->meta.covered_next > 0 ? e->meta.covered_next - 1 : 0;

	if (e->meta.ring_floor < pos)
		pos = e->meta.ring_floor;
	if (pos > 0)
		ring_release(e->ring, pos);
}

static void
take_trash(struct embedded *e)
{
	struct job *j = &e->job;

	for (size_t i = 0; i < j->trash.segments.n; i++)
		blob_forget_segment(e, j->trash.segments.v[i]);
	numbers_move(&e->trash.segments, &j->trash.segments);
	numbers_move(&e->trash.staged, &j->trash.staged);
}

/* The job's own consequences for the schedule. */
static void
take_kind(struct embedded *e)
{
	struct job *j = &e->job;

	switch (j->kind) {
	case JOB_CHECKPOINT:
		CHECK(e->trash.delta == NULL);
		e->trash.delta = e->frozen;
		e->frozen = NULL;
		/* Deletions may have left a segment mostly dead. */
		e->want_collect = true;
		break;
	case JOB_ARCHIVE:
		if (!j->did_work) {
			e->want_archive = false;
			e->age_mark_ms = 0;
		}
		e->want_collect = true;
		break;
	case JOB_COLLECT:
		e->want_collect = j->did_work;
		break;
	case JOB_BACKUP_INDEX:
		/* Something came into the ring in between: archive that first. */
		e->backup.phase = j->did_work ? BACKUP_FILES : BACKUP_ARCHIVE;
		break;
	case JOB_BACKUP_COPY:
		if (e->backup.at == e->backup.files_n)
			backup_end(e, ST_OK);
		else if (e->backup.fn)
			e->backup.fn(
			    e->backup.arg, e->backup.bytes, e->backup.bytes_all, false, ST_OK);
		break;
	case JOB_CLEANUP:
		break;
	}
}

/* No room is a condition that may end; anything else is not. */
static enum status
take_failure(struct embedded *e, enum status st)
{
	struct job *j = &e->job;

	j->trash.segments.n = j->trash.staged.n = 0;
	if (j->kind == JOB_BACKUP_INDEX || j->kind == JOB_BACKUP_COPY) {
		log_event(LOG_ERROR, "store.backup-failed", LOG_CSTR("status", status_word(st)));
		backup_end(e, st);
		return ST_OK;
	}
	if (st == ST_LIMIT) {
		log_event(LOG_ERROR, "store.no-room", LOG_U64("job", j->kind));
		e->retry_ms = clock_mono_ms(e->o.clock) + FREE_CHECK_INTERVAL_MS;
		e->free_check_ms = 0;
		j->node = NULL;
		return e->index->ops->maybe_grow(e->index);
	}
	embedded_fail(e, j->kind == JOB_CHECKPOINT ? "checkpoint" : "archive");
	return ST_IO;
}

enum status
checkpoint_take(struct embedded *e)
{
	enum status st;

	if (e->iters_open > 0 || job_state(e) != JOB_FINISHED)
		return ST_OK;
	st = e->job.st;
	if (st == ST_OK) {
		e->meta = e->job.meta;
		e->archive_seen = e->archive;
		/* Nobody writes now and nobody reads: the only moment the map can grow. */
		st = e->index->ops->renew(e->index);
		if (st == ST_OK)
			st = e->index->ops->maybe_grow(e->index);
		if (st != ST_OK)
			embedded_fail(e, "index");
		take_trash(e);
		take_kind(e);
		release_ring(e);
	} else {
		st = take_failure(e, st);
	}
	job_set_state(e, JOB_IDLE);
	return st;
}

/* ---- on the loop thread: what next ---- */

static void
job_post(struct embedded *e, enum job_kind kind)
{
	struct job *j = &e->job;

	if (e->has_thread)
		(void)pthread_mutex_lock(&e->mutex);
	j->kind = kind;
	j->meta = e->meta;
	j->did_work = false;
	j->state = JOB_POSTED;
	if (e->has_thread) {
		(void)pthread_cond_signal(&e->cond);
		(void)pthread_mutex_unlock(&e->mutex);
	}
}

static void
freeze(struct embedded *e, uint64_t now)
{
	CHECK(!e->frozen);
	e->frozen = e->active;
	e->frozen_next = e->last_next;
	e->active = delta_new(e->blob_next);
	e->frozen_tail = e->ring_tail;
	e->checkpoint_ms = now;
	e->want_checkpoint = false;
}

static uint64_t
ring_capacity(const struct embedded *e)
{
	return e->o.ring_segment_bytes * e->o.ring_segments_max;
}

static bool
checkpoint_is_due(const struct embedded *e, uint64_t now)
{
	if (delta_is_empty(e->active))
		return false;
	return e->want_checkpoint || e->backup.phase == BACKUP_CHECKPOINT ||
	       e->active->bytes >= e->o.delta_bytes_max / 2 || e->is_ring_full ||
	       e->ring_tail - e->frozen_tail >= e->o.checkpoint_log_bytes ||
	       e->ring_tail - e->frozen_tail >= ring_capacity(e) / 4 ||
	       now - e->checkpoint_ms >= e->o.checkpoint_interval_ms;
}

/* Up to which position the archive should take what lies in the ring; 0: nothing to do. */
static uint64_t
archive_target(struct embedded *e, uint64_t now)
{
	uint64_t all = e->meta.covered_next, capacity = ring_capacity(e);

	if (e->meta.ring_floor >= all)
		return 0;
	if (e->want_archive || e->backup.phase == BACKUP_ARCHIVE || e->is_ring_full)
		return all;
	if (delta_is_empty(e->active) && now - e->transact_ms >= e->o.archive_idle_ms)
		return all;
	/*
	 * Three quarters full: down to half, so that this comes in long runs and not with every segment. A burst of that much
	 * is received without competing with its own compression, which is slower than the log.
	 */
	if (e->ring_used > capacity / 4 * 3) {
		uint64_t target = e->ring_tail - capacity / 2;

		return target < all ? target : all;
	}
	if (e->age_mark_ms == 0) {
		e->age_mark_ms = now;
		e->age_mark_pos = all;
	}
	return now - e->age_mark_ms >= e->o.archive_age_ms && e->age_mark_pos > e->meta.ring_floor
		   ? e->age_mark_pos
		   : 0;
}

static bool
post_checkpoint(struct embedded *e, uint64_t now)
{
	if (!e->frozen && checkpoint_is_due(e, now))
		freeze(e, now);
	/* The index must never know what the log may still lose. */
	if (!e->frozen || (e->frozen_next > 0 && e->frozen_next - 1 >= e->durable))
		return false;
	e->job.delta = e->frozen;
	e->job.node = delta_first(e->frozen);
	e->job.covered_next = e->frozen_next;
	e->job.blob_next = e->active->blob_base;
	job_post(e, JOB_CHECKPOINT);
	return true;
}

static bool
post_cleanup(struct embedded *e)
{
	bool may_unlink = e->backup.phase != BACKUP_FILES;

	if (!e->trash.delta &&
	    (!may_unlink || (e->trash.segments.n == 0 && e->trash.staged.n == 0)))
		return false;
	e->job.drop.delta = e->trash.delta;
	e->trash.delta = NULL;
	if (may_unlink) {
		numbers_move(&e->job.drop.segments, &e->trash.segments);
		numbers_move(&e->job.drop.staged, &e->trash.staged);
	}
	job_post(e, JOB_CLEANUP);
	return true;
}

static bool
post_archive(struct embedded *e, uint64_t now)
{
	e->job.target = archive_target(e, now);
	if (e->job.target == 0) {
		e->want_archive = false;
		return false;
	}
	job_post(e, JOB_ARCHIVE);
	return true;
}

static bool
post_backup(struct embedded *e)
{
	if (e->backup.phase == BACKUP_CHECKPOINT && e->meta.covered_next >= e->backup.from)
		e->backup.phase = BACKUP_ARCHIVE;
	if (e->backup.phase != BACKUP_ARCHIVE && e->backup.phase != BACKUP_FILES)
		return false;
	job_post(e, e->backup.phase == BACKUP_ARCHIVE ? JOB_BACKUP_INDEX : JOB_BACKUP_COPY);
	return true;
}

static void
look_at_space(struct embedded *e, uint64_t now)
{
	uint64_t floor, share;

	/* Every so often, and sooner when much is coming in: the floor must not be far below us when we look. */
	if (now < e->free_check_ms && e->bytes_appended + e->bytes_staged - e->free_check_bytes < FREE_CHECK_BYTES)
		return;
	e->free_check_bytes = e->bytes_appended + e->bytes_staged;
	e->free_check_ms = now + FREE_CHECK_INTERVAL_MS;
	if (e->disk->ops->free_bytes(e->disk, &e->free_bytes, &e->total_bytes) == ST_OK) {
		share = e->total_bytes / 100 * e->o.free_floor_percent;
		/* The smaller of the two: on a large disk a share of it is more than anybody needs. */
		floor = share > 0 && share < e->o.free_floor_bytes ? share : e->o.free_floor_bytes;
		if (e->is_full != (e->free_bytes < floor))
			log_event(LOG_WARN, e->is_full ? "store.room-again" : "store.full",
			    LOG_U64("free_bytes", e->free_bytes), LOG_U64("floor_bytes", floor));
		e->is_full = e->free_bytes < floor;
	}
}

static void
look_at_ring(struct embedded *e)
{
	struct ring_stats rs;

	ring_stats(e->ring, &rs);
	/* One segment is kept for what gives space back. A ring that may grow is only asked to
	 * wait. */
	e->is_ring_full =
	    rs.segments >= e->o.ring_segments_max && (rs.is_full || rs.segments_free < 2);
	e->ring_used = rs.tail - rs.start;
	e->ring_tail = rs.tail;
}

void
checkpoint_schedule(struct embedded *e)
{
	uint64_t now = clock_mono_ms(e->o.clock);

	if (e->is_failed || e->is_read_only)
		return;
	look_at_space(e, now);
	look_at_ring(e);
	/* A transaction does not ask for the time: the turn it came in does. */
	if (e->transact_ms == 0)
		e->transact_ms = now;
	atomic_store(&e->wants_tick,
	    e->frozen || !delta_is_empty(e->active) || e->meta.ring_floor < e->meta.covered_next);
	if (job_state(e) != JOB_IDLE || now < e->retry_ms)
		return;
	if (post_cleanup(e) || post_checkpoint(e, now) || post_archive(e, now) || post_backup(e))
		return;
	if (e->want_collect)
		job_post(e, JOB_COLLECT);
}

/* ---- without a thread ---- */

bool
embedded_step_checkpoint(struct store *s)
{
	struct embedded *e = embedded_of(s);
	enum status st;

	CHECK(!e->has_thread);
	if (checkpoint_take(e) != ST_OK)
		return false;
	checkpoint_schedule(e);
	if (e->is_failed || e->job.state != JOB_POSTED)
		return false;
	if ((st = job_step(e)) != ST_MORE)
		job_finish(e, st);
	return checkpoint_take(e) == ST_OK;
}

bool
embedded_step_commit(struct store *s)
{
	struct embedded *e = embedded_of(s);

	CHECK(!e->o.threaded);
	return ring_commit_step(e->ring);
}

/* True while a job waits, runs or would be posted next. */
static bool
is_working(struct embedded *e)
{
	return e->job.state != JOB_IDLE || e->frozen || e->trash.delta || e->trash.segments.n > 0 ||
	       e->trash.staged.n > 0 || e->want_checkpoint || e->want_archive || e->want_collect ||
	       e->backup.phase != BACKUP_NONE;
}

enum status
embedded_settle(struct store *s)
{
	struct embedded *e = embedded_of(s);

	for (;;) {
		enum status st;
		bool is_busy;

		store_flush(s);
		if (!e->o.threaded)
			while (embedded_step_commit(s))
				;
		if ((st = store_poll(s)) != ST_OK)
			return st;
		if (delta_is_empty(e->active))
			e->want_checkpoint = false;
		if (e->has_thread) {
			const struct timespec pause = {.tv_nsec = 1000000};

			(void)nanosleep(&pause, NULL);
			(void)pthread_mutex_lock(&e->mutex);
			is_busy = is_working(e);
			(void)pthread_mutex_unlock(&e->mutex);
		} else {
			is_busy = embedded_step_checkpoint(s) || is_working(e);
			if (e->is_failed)
				return ST_IO;
		}
		if (!is_busy)
			return ST_OK;
	}
}

void
embedded_want_checkpoint(struct store *s)
{
	embedded_of(s)->want_checkpoint = true;
}

void
embedded_want_archive(struct store *s)
{
	embedded_of(s)->want_archive = true;
}
