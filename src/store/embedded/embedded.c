/* Opening, recovering, turning and closing the embedded store. */
#include "store/embedded/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "store/embedded/embedded_internal.h"

void
embedded_options_init(struct embedded_options *o, struct disk *disk, const struct clock *clock)
{
	*o = (struct embedded_options){
	    .disk = disk,
	    .clock = clock,
	    .ring_segment_bytes = RING_SEGMENT_BYTES_DEFAULT,
	    .ring_segments_first = 2,
	    .ring_segments_max = 16,
	    .group_bytes_max = RING_GROUP_BYTES_DEFAULT,
	    .delta_bytes_max = DELTA_BYTES_MAX_DEFAULT,
	    .checkpoint_log_bytes = (uint64_t)64 << 20,
	    .checkpoint_interval_ms = 5000,
	    .free_floor_bytes = (uint64_t)512 << 20,
	    .free_floor_percent = 2,
	    .archive_level = 3,
	    .archive_segment_bytes = ARCHIVE_SEGMENT_BYTES_DEFAULT,
	    .archive_idle_ms = 30000,
	    .archive_age_ms = 3600000,
	    .index_map_bytes = INDEX_MAP_BYTES_DEFAULT,
	    .threaded = true,
	};
}

void
embedded_fail(struct embedded *e, const char *where)
{
	if (e->is_failed)
		return;
	e->is_failed = true;
	e->failed_where = where;
	log_event(LOG_ERROR, "store.failed", LOG_CSTR("at", where));
}

enum status
embedded_commit_meta(struct embedded *e, const struct index_meta *m)
{
	uint8_t b[INDEX_META_BYTES];
	enum status st;

	index_meta_put(b, m);
	st = e->index->ops->w_row_put(e->index, INDEX_META, 0, str_of(b, sizeof(b)));
	if (st == ST_OK)
		return e->index->ops->commit(e->index);
	e->index->ops->abort(e->index);
	return st;
}

/* ---- the turns of the loop ---- */

static void
poll_steps(struct embedded *e)
{
	if (e->o.threaded || e->o.manual_steps || e->is_read_only)
		return;
	while (ring_commit_step(e->ring))
		;
	(void)embedded_step_checkpoint(&e->base);
}

static void
drain_event(struct embedded *e)
{
	uint64_t v;

	if (e->event_fd >= 0)
		while (read(e->event_fd, &v, sizeof(v)) < 0 && errno == EINTR)
			;
}

static void
call_waiters(struct embedded *e)
{
	while (e->waiters_n > 0) {
		struct waiter w = e->waiters[e->waiters_at];

		/* A transaction without effect has the position of the one before it: it may show
		 * what that did. */
		if (w.pos_next > 0 && w.pos_next - 1 >= e->durable)
			break;
		e->waiters_at = (e->waiters_at + 1) & (e->waiters_cap - 1);
		e->waiters_n--;
		e->bytes_durable = w.bytes;
		if (w.done)
			w.done(w.arg, ST_OK);
	}
}

static bool
is_under_way(const struct embedded *e)
{
	return e->bytes_appended > e->bytes_durable;
}

static enum status
store_poll_embedded(struct store *s)
{
	struct embedded *e = embedded_of(s);
	uint64_t durable;

	if (e->is_failed)
		return ST_IO;
	drain_event(e);
	if (!e->is_read_only) {
		poll_steps(e);
		if (ring_poll(e->ring, &durable) != ST_OK) {
			embedded_fail(e, "log");
			return ST_IO;
		}
		/* What was refused for want of a segment may go on when there is one: with nothing
		 * under way the durable point would not move before it does. */
		if (durable > e->durable || (e->is_refused && !is_under_way(e) && !ring_is_full(e->ring)))
			e->is_refused = false;
		e->durable = durable > e->durable ? durable : e->durable;
	}
	call_waiters(e);
	return e->is_failed ? ST_IO : ST_OK;
}

static void
store_flush_embedded(struct store *s)
{
	struct embedded *e = embedded_of(s);
	uint64_t one = 1;

	if (e->is_failed || e->is_read_only)
		return;
	ring_flush(e->ring);
	if (!e->o.threaded)
		return;
	if (checkpoint_take(e) == ST_OK)
		checkpoint_schedule(e);
	/* Transactions without effect have nobody else who would wake the loop for them. */
	if (e->waiters_n > 0 && e->waiters[e->waiters_at].pos_next <= e->durable)
		(void)!write(e->event_fd, &one, sizeof(one));
}

static struct txn *
store_snapshot_embedded(struct store *s)
{
	return &embedded_of(s)->snapshot;
}

static int
store_fd_embedded(struct store *s)
{
	return embedded_of(s)->epoll_fd;
}

static bool
store_is_full_embedded(struct store *s)
{
	/* A ring without a free segment is a matter of seconds: that is busy, not full. */
	return embedded_of(s)->is_full;
}

static bool
store_is_busy_embedded(struct store *s)
{
	const struct embedded *e = embedded_of(s);
	size_t delta = e->active->bytes + (e->frozen ? e->frozen->bytes : 0);

	/* One group on its way and half of the next: what is read now has room when it gets here.
	 */
	return e->is_refused || e->is_full || e->is_ring_full ||
	       e->bytes_appended - e->bytes_durable >
		   e->o.group_bytes_max + e->o.group_bytes_max / 2 ||
	       delta > e->o.delta_bytes_max / 8 * 7;
}

static enum status
txn_get(struct txn *t, struct str key, struct str *value_out)
{
	return view_get(embedded_of(t->store), key, value_out);
}

/* ---- statistics ---- */

static void
stat_put(struct buf *out, const char *name, uint64_t v)
{
	(void)buf_putf(
	    out, "%s\"%s\":%" PRIu64, out->n > 0 && out->p[out->n - 1] != '{' ? "," : "", name, v);
}

static enum status
store_stats_embedded(struct store *s, struct buf *out)
{
	const struct embedded *e = embedded_of(s);
	struct ring_stats rs;
	uint64_t used, size;

	ring_stats(e->ring, &rs);
	e->index->ops->usage(e->index, &used, &size);
	(void)buf_put_c(out, '{');
	stat_put(out, "transactions", e->count.transactions);
	stat_put(out, "transactions_undone", e->count.aborts);
	stat_put(out, "transactions_refused", e->count.refusals);
	stat_put(out, "transactions_replayed", e->count.replayed);
	stat_put(out, "transactions_waiting", e->waiters_n);
	stat_put(out, "delta_keys", e->active->keys + (e->frozen ? e->frozen->keys : 0));
	stat_put(out, "delta_bytes", e->active->bytes + (e->frozen ? e->frozen->bytes : 0));
	stat_put(out, "checkpoints", e->meta.checkpoints);
	stat_put(out, "checkpoint_position", e->meta.covered_next);
	stat_put(out, "ring_start", rs.start);
	stat_put(out, "ring_durable", rs.durable);
	stat_put(out, "ring_tail", rs.tail);
	stat_put(out, "ring_segments", rs.segments);
	stat_put(out, "ring_segments_free", rs.segments_free);
	stat_put(out, "ring_groups", rs.groups);
	stat_put(out, "ring_bytes_written", rs.bytes_written);
	stat_put(out, "ring_gap_bytes", rs.gap_bytes);
	stat_put(out, "index_bytes", used);
	stat_put(out, "index_map_bytes", size);
	stat_put(out, "archive_segments", e->archive_seen.segments);
	stat_put(out, "archive_bytes", e->archive_seen.bytes);
	stat_put(out, "archive_bytes_live", e->archive_seen.live);
	stat_put(out, "archive_bytes_dead", e->archive_seen.bytes - e->archive_seen.live);
	stat_put(out, "archive_bytes_raw", e->archive_seen.raw);
	stat_put(out, "archive_damaged", e->archive_seen.corrupt);
	stat_put(out, "blobs_given", e->blob_next - 1);
	stat_put(out, "disk_free_bytes", e->free_bytes);
	stat_put(out, "disk_bytes", e->total_bytes);
	stat_put(out, "is_full", store_is_full_embedded(s));
	stat_put(out, "is_busy", store_is_busy_embedded(s));
	(void)buf_put_c(out, '}');
	return out->full ? ST_LIMIT : ST_OK;
}

/* ---- close ---- */

static void
store_close_embedded(struct store *s)
{
	struct embedded *e = embedded_of(s);

	CHECK(!e->in_txn);
	checkpoint_stop(e);
	if (e->backup.phase != BACKUP_NONE)
		backup_end(e, ST_IO);
	if (e->ring)
		ring_close(&e->ring);
	blob_fini(e);
	if (e->index)
		e->index->ops->close(e->index);
	delta_free(&e->active);
	delta_free(&e->frozen);
	buf_fini(&e->txn.blobs);
	buf_fini(&e->txn.ops);
	buf_fini(&e->txn.saved);
	free(e->txn.undo);
	free(e->waiters);
	if (e->epoll_fd >= 0)
		(void)close(e->epoll_fd);
	if (e->event_fd >= 0)
		(void)close(e->event_fd);
	if (e->lock_fd >= 0)
		(void)close(e->lock_fd);
	free(e);
}

static const struct store_ops embedded_ops = {
    .get = txn_get,
    .range = view_range,
    .next = view_next,
    .iter_end = view_end,
    .put = txn_put,
    .del = txn_del,
    .add = txn_add,
    .splice = txn_splice,
    .blob_put = txn_blob_put,
    .blob_ref = txn_blob_ref,
    .blob_size = blob_size,
    .blob_read = blob_read,
    .stage_new = blob_stage_new,
    .stage_put = blob_stage_put,
    .stage_free = blob_stage_free,
    .blob_put_staged = txn_blob_put_staged,
    .transact = txn_run,
    .snapshot = store_snapshot_embedded,
    .fd = store_fd_embedded,
    .poll = store_poll_embedded,
    .flush = store_flush_embedded,
    .is_full = store_is_full_embedded,
    .is_busy = store_is_busy_embedded,
    .stats = store_stats_embedded,
    .close = store_close_embedded,
};

/* ---- open ---- */

/* Two processes never have the same folder; several may look at it together. */
static enum status
open_lock(struct embedded *e, struct buf *error_out)
{
	const char *root = disk_root(e->disk);
	char path[4096];
	int n;

	if (!root)
		return ST_OK;
	n = snprintf(path, sizeof(path), "%s/lock", root);
	if (n < 0 || (size_t)n >= sizeof(path))
		return ST_LIMIT;
	e->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (e->lock_fd < 0) {
		(void)buf_putf(error_out, "cannot open %s: %s", path, strerror(errno));
		return ST_IO;
	}
	if (flock(e->lock_fd, (e->is_read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
		return ST_OK;
	if (errno != EWOULDBLOCK) {
		(void)buf_putf(error_out, "cannot lock %s: %s", path, strerror(errno));
		return ST_IO;
	}
	(void)buf_putf(error_out, "another process has the store in %s open", root);
	return ST_EXISTS;
}

static enum status
open_folders(struct embedded *e, struct buf *error_out)
{
	static const char *const names[] = {ARCHIVE_FOLDER, STAGED_FOLDER};
	enum status st = ST_OK;

	for (size_t i = 0; i < COUNT_OF(names) && st == ST_OK && !e->is_read_only; i++)
		st = e->disk->ops->mkdir(e->disk, names[i]);
	if (st == ST_OK && !e->is_read_only)
		st = e->disk->ops->sync_dir(e->disk, "");
	if (st != ST_OK)
		(void)buf_putf(error_out, "cannot make the store's folders");
	return st;
}

static enum status
open_index(struct embedded *e, struct buf *error_out)
{
	char path[4096];
	int n;

	if (e->o.simulated_index)
		return index_sim_open(e->o.simulated_index, &e->index);
	if (!disk_root(e->disk)) {
		(void)buf_putf(error_out, "LMDB needs a real disk");
		return ST_UNSUPPORTED;
	}
	n = snprintf(path, sizeof(path), "%s/" INDEX_FOLDER, disk_root(e->disk));
	if (n < 0 || (size_t)n >= sizeof(path))
		return ST_LIMIT;
	return index_lmdb_open(path, e->o.index_map_bytes, e->is_read_only, &e->index, error_out);
}

static enum status
make_meta(struct embedded *e)
{
	enum status st;

	e->meta = (struct index_meta){.format = INDEX_FORMAT,
	    .blob_next = 1,
	    .archive_next = 1,
	    .ring_segment_bytes = e->o.ring_segment_bytes};
	if ((st = e->index->ops->begin(e->index)) != ST_OK ||
	    (st = embedded_commit_meta(e, &e->meta)) != ST_OK)
		return st;
	return e->index->ops->renew(e->index);
}

static enum status
open_meta(struct embedded *e, struct buf *error_out)
{
	struct str row;
	enum status st = e->index->ops->row(e->index, INDEX_META, 0, &row);

	if (st == ST_NOTFOUND && !e->is_read_only)
		st = make_meta(e);
	else if (st == ST_OK)
		st = index_meta_get(row, &e->meta);
	if (st == ST_UNSUPPORTED)
		(void)buf_putf(error_out,
		    "the store was written in format %" PRIu64
		    ", this program knows format %d only",
		    e->meta.format, INDEX_FORMAT);
	else if (st != ST_OK)
		(void)buf_putf(error_out, "the index has no readable head");
	if (st == ST_OK)
		e->o.ring_segment_bytes = e->meta.ring_segment_bytes;
	return st;
}

struct replay {
	struct embedded *e;
	struct buf *error_out;
};

static enum status
replay_record(void *arg, uint64_t pos, struct str record)
{
	struct replay *r = arg;
	const char *what;
	enum status st;

	if (pos < r->e->meta.covered_next) {
		r->e->last_next = pos + 1;
		return ST_OK;
	}
	st = txn_replay(r->e, pos, record, &what);
	if (st == ST_OK)
		return ST_OK;
	(void)buf_putf(
	    r->error_out, "the log's record at %" PRIu64 " cannot be applied: %s\n", pos, what);
	/* What it did up to the bad operation stays: rescue, not service. */
	if (r->e->o.allow_corrupt && st == ST_SYNTAX)
		return ST_OK;
	return st == ST_SYNTAX ? ST_IO : st;
}

static enum status
open_ring(struct embedded *e, struct buf *error_out)
{
	const struct ring_options ro = {.disk = e->disk,
	    .folder = RING_FOLDER,
	    .segment_bytes = e->o.ring_segment_bytes,
	    .segments_first = e->o.ring_segments_first,
	    .segments_max = e->o.ring_segments_max,
	    .group_bytes_max = e->o.group_bytes_max,
	    .threaded = e->o.threaded && !e->is_read_only,
	    .allow_corrupt = e->o.allow_corrupt,
	    .ring_id = e->o.simulated_index ? 1 : 0};
	struct replay r = {e, error_out};
	struct ring_stats rs;
	uint64_t from = e->meta.covered_next > 0 ? e->meta.covered_next - 1 : 0;
	enum status st = ring_open(&ro, &e->ring, error_out);

	if (st != ST_OK)
		return st;
	e->blob_next = e->meta.blob_next;
	e->last_next = e->frozen_tail = e->meta.covered_next;
	e->active = delta_new(e->blob_next);
	if ((st = ring_replay(e->ring, from, replay_record, &r)) != ST_OK) {
		(void)buf_putf(error_out, "replay of the log from position %" PRIu64 " failed: %s",
		    from, status_word(st));
		return st == ST_LIMIT || st == ST_UNSUPPORTED ? st : ST_IO;
	}
	ring_stats(e->ring, &rs);
	e->durable = rs.durable;
	return ST_OK;
}

/* ---- files that nobody names: left by a crash ---- */

struct sweep {
	struct embedded *e;
	const char *folder;
	enum index_table table;
	struct numbers *named; /* by the log alone */
	uint64_t next;	       /* after the largest number there is */
	enum status st;
};

static void
sweep_name(void *arg, const char *name)
{
	struct sweep *w = arg;
	char path[PATH_BYTES], *end;
	uint64_t number;
	struct str row;
	enum status st;

	errno = 0;
	number = strtoull(name, &end, 16);
	if (errno != 0 || *end != '\0' || end - name != 16 || w->st != ST_OK)
		return;
	if (number >= w->next)
		w->next = number + 1;
	st = w->e->index->ops->row(w->e->index, w->table, number, &row);
	if (st == ST_OK || (w->named && numbers_has(w->named, number)))
		return;
	if (st != ST_NOTFOUND) {
		w->st = st;
		return;
	}
	(void)snprintf(path, sizeof(path), "%s/%s", w->folder, name);
	w->st = w->e->disk->ops->unlink(w->e->disk, path);
}

static enum status
sweep(struct embedded *e)
{
	struct numbers replayed = {0};
	struct sweep big = {e, STAGED_FOLDER, INDEX_STAGED, &replayed, 0, ST_OK};
	struct sweep archive = {e, ARCHIVE_FOLDER, INDEX_SEGMENTS, NULL, 0, ST_OK};
	enum status st;

	for (size_t i = 0; i < e->active->rows_n; i++)
		if (e->active->rows[i].kind == BLOB_STAGED)
			numbers_add(&replayed, e->active->rows[i].a);
	st = e->disk->ops->list(e->disk, STAGED_FOLDER, sweep_name, &big);
	if (st == ST_OK && (st = big.st) == ST_OK)
		st = e->disk->ops->list(e->disk, ARCHIVE_FOLDER, sweep_name, &archive);
	/* Numbers of files that the log names and that are gone count too: a new file must not take
	 * their place. */
	for (size_t i = 0; i < replayed.n; i++)
		if (replayed.v[i] >= big.next)
			big.next = replayed.v[i] + 1;
	free(replayed.v);
	e->stage_next = big.next;
	return st == ST_OK ? archive.st : st;
}

static enum status
count_archive(struct embedded *e)
{
	struct segment_row row;
	struct str bytes;
	enum status st;

	for (uint64_t number = 0;; number++) {
		st = e->index->ops->row_from(e->index, INDEX_SEGMENTS, &number, &bytes);
		if (st == ST_NOTFOUND)
			break;
		if (st != ST_OK || (st = segment_row_get(bytes, &row)) != ST_OK)
			return st;
		e->archive.segments++;
		e->archive.bytes += row.bytes;
		e->archive.live += row.live;
		e->archive.raw += row.raw;
	}
	e->archive_seen = e->archive;
	return ST_OK;
}

static enum status
open_events(struct embedded *e)
{
	struct epoll_event ev = {.events = EPOLLIN};

	if (!e->o.threaded || e->is_read_only)
		return ST_OK;
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->epoll_fd < 0 || e->event_fd < 0 ||
	    epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->event_fd, &ev) < 0 ||
	    epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, ring_fd(e->ring), &ev) < 0)
		return ST_NOMEM;
	return ST_OK;
}

static enum status
open_all(struct embedded *e, struct buf *error_out)
{
	enum status st;

	if ((st = open_lock(e, error_out)) != ST_OK || (st = open_folders(e, error_out)) != ST_OK ||
	    (st = open_index(e, error_out)) != ST_OK || (st = open_meta(e, error_out)) != ST_OK ||
	    (st = open_ring(e, error_out)) != ST_OK)
		return st;
	if ((!e->is_read_only && (st = sweep(e)) != ST_OK) || (st = count_archive(e)) != ST_OK) {
		(void)buf_putf(error_out, "the archive's folders cannot be read");
		return st;
	}
	if ((st = open_events(e)) != ST_OK || (st = checkpoint_start(e)) != ST_OK)
		(void)buf_putf(error_out, "cannot start the checkpoint thread");
	return st;
}

static struct embedded *
embedded_new(const struct embedded_options *o)
{
	struct embedded *e = calloc(1, sizeof(*e));
	uint64_t now = clock_mono_ms(o->clock);

	CHECK(e != NULL);
	e->base.ops = &embedded_ops;
	e->o = *o;
	e->disk = o->disk;
	e->is_read_only = o->read_only;
	e->lock_fd = e->epoll_fd = e->event_fd = -1;
	e->txn.base.store = e->snapshot.store = &e->base;
	e->checkpoint_ms = e->transact_ms = now;
	atomic_init(&e->wants_tick, false);
	buf_init(&e->txn.blobs, STORE_TXN_BYTES_MAX);
	buf_init(&e->txn.ops, RECORD_BYTES_MAX);
	buf_init(&e->txn.saved, RECORD_BYTES_MAX);
	buf_init(&e->stored, ARCHIVE_ENTRY_BYTES + STORE_BLOB_INLINE_MAX + STAGE_FRAME_BYTES);
	buf_init(&e->whole, STORE_BLOB_INLINE_MAX);
	/* A raw blob and the largest it can become by compressing. */
	buf_init(&e->job_in, 3 * (size_t)STORE_BLOB_INLINE_MAX);
	buf_init(&e->job_out, ARCHIVE_BATCH_BYTES + 2 * (size_t)STORE_BLOB_INLINE_MAX +
				  (size_t)ARCHIVE_BATCH_BLOBS * 4 * ARCHIVE_ENTRY_BYTES);
	return e;
}

enum status
embedded_open(const struct embedded_options *o, struct store **out, struct buf *error_out)
{
	struct embedded *e;
	struct store *s;
	enum status st;

	*out = NULL;
	CHECK(o->disk && o->clock && o->archive_segment_bytes <= (uint64_t)1 << 30);
	e = embedded_new(o);
	s = &e->base;
	if ((st = open_all(e, error_out)) != ST_OK) {
		s->ops->close(s);
		return st;
	}
	checkpoint_schedule(e);
	*out = s;
	return ST_OK;
}
