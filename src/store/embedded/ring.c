#include "store/embedded/ring.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rnd.h"
#include "store/embedded/ring_internal.h"

/* One being written, one closed because the next record did not fit, one forming. */
enum { BUFFERS = 3 };

struct ring_buffer {
	char *p;
	uint64_t base; /* position of its first byte */
	size_t used;   /* 0: empty; else with the group header */
	size_t limit;  /* what fits here */
	uint32_t records;
};

struct ring {
	struct ring_options o;
	struct ring_files files; /* slots and slots_n under lock; the rest is the commit thread's */
	bool has_last;		 /* what ring_open found, for ring_replay */
	struct ring_group last;

	/* The commit thread's. */
	uint64_t sequence; /* of the next group */
	uint32_t crc_before;

	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	int event_fd;
	/* All below under lock. */
	bool is_stopping, is_waiting, is_failed;
	bool may_replay;      /* until the first append; until then the files stay as they are */
	bool is_flush_wanted; /* the forming group goes as soon as the commit thread is free */
	bool is_head_wanted;  /* to state the start, so that what was released becomes free */
	bool is_segment_wanted;
	bool
	    is_growing_refused; /* no space on disk: not tried again before something is released */
	struct ring_buffer buffers[BUFFERS];
	/* Group number n uses buffer n % BUFFERS; done <= n < forming are closed, done is the one
	 * being written. */
	uint64_t done, forming;
	uint64_t next;	  /* position behind the last closed group */
	uint64_t segment; /* that next lies in, once it has a file */
	uint64_t
	    last_segment; /* of the last durable group: never recycled, recovery starts from it */
	uint64_t
	    start_stated; /* the start that is on disk: only what is before may be overwritten */
	struct ring_stats stats;
};

/* ---- segments (all under lock) ---- */

static bool
slot_is_free(const struct ring *r, const struct ring_slot *s, uint64_t start)
{
	if (s->segment == RING_NO_SEGMENT)
		return true;
	return r->last_segment != RING_NO_SEGMENT && s->segment < r->last_segment &&
	       (s->segment + 1) * r->files.segment_bytes <= start;
}

static struct ring_slot *
slot_free_find(const struct ring *r, uint64_t start)
{
	for (size_t i = 0; i < r->files.slots_n; i++)
		if (slot_is_free(r, &r->files.slots[i], start))
			return &r->files.slots[i];
	return NULL;
}

static bool
can_grow(const struct ring *r)
{
	return r->files.slots_n < r->o.segments_max && !r->is_growing_refused && !r->is_failed;
}

/* No free file: asks for what can help. */
static void
segment_want(struct ring *r)
{
	r->stats.is_full = true;
	if (slot_free_find(r, r->stats.start) != NULL)
		r->is_head_wanted = true;
	else if (can_grow(r))
		r->is_segment_wanted = true;
}

/* ---- the commit thread's work ---- */

static size_t
buffer_padded(const struct ring_buffer *b)
{
	return ring_align(b->used, DISK_ALIGN);
}

/* Closes the forming group and begins the next. False when all buffers are taken. */
static bool
forming_close(struct ring *r)
{
	struct ring_buffer *b = &r->buffers[r->forming % BUFFERS];
	size_t padded = buffer_padded(b);

	if (r->forming + 1 - r->done >= BUFFERS)
		return false;
	memset(b->p + b->used, 0, padded - b->used);
	r->next = b->base + padded;
	r->forming++;
	r->buffers[r->forming % BUFFERS].used = 0;
	r->is_flush_wanted = false;
	return true;
}

static struct ring_buffer *
commit_take(struct ring *r)
{
	if (r->done == r->forming &&
	    (!r->is_flush_wanted || r->buffers[r->forming % BUFFERS].used == 0 ||
		!forming_close(r)))
		return NULL;
	return &r->buffers[r->done % BUFFERS];
}

static void
notify(struct ring *r)
{
	uint64_t one = 1;

	if (r->event_fd < 0)
		return;
	/* Cannot fail but when the counter is full, and then it is readable already. */
	ssize_t n = write(r->event_fd, &one, sizeof(one));
	(void)n;
}

static void
commit_end(struct ring *r, const struct ring_group *g, enum status st)
{
	struct ring_buffer *b = &r->buffers[r->done % BUFFERS];

	if (st != ST_OK) {
		r->is_failed = true;
		return;
	}
	r->stats.durable = b->base + buffer_padded(b);
	r->stats.groups++;
	r->stats.syncs++;
	r->stats.records += g->records;
	r->stats.bytes_written += buffer_padded(b);
	r->last_segment = g->segment;
	r->start_stated = g->start;
	r->done++;
}

/* Writes one group, unlocked meanwhile. */
static void
commit_group(struct ring *r, struct ring_buffer *b)
{
	struct ring_slot *slot = ring_files_slot(&r->files, b->base / r->files.segment_bytes);
	struct disk_file *file = slot->wr;
	struct ring_group g = {
	    .ring_id = r->files.head.ring_id,
	    .epoch = r->files.head.epoch,
	    .sequence = r->sequence,
	    .position = b->base,
	    .durable = r->stats.durable,
	    .start = r->stats.start,
	    .segment = slot->segment,
	    .bytes = (uint32_t)b->used,
	    .records = b->records,
	    .crc_before = r->crc_before,
	};
	enum status st;

	pthread_mutex_unlock(&r->lock);
	ring_group_seal(&g, b->p);
	st = disk_pwrite(file, b->p, buffer_padded(b), g.position % r->files.segment_bytes);
	if (st == ST_OK)
		st = disk_sync(file);
	r->sequence++;
	r->crc_before = g.crc;
	pthread_mutex_lock(&r->lock);
	commit_end(r, &g, st);
}

static void
commit_head(struct ring *r)
{
	struct ring_head *h = &r->files.head;
	enum status st;

	r->is_head_wanted = false;
	h->start = r->stats.start;
	h->durable = r->stats.durable;
	pthread_mutex_unlock(&r->lock);
	st = ring_files_head_write(&r->files);
	pthread_mutex_lock(&r->lock);
	r->stats.syncs += 2;
	if (st != ST_OK)
		r->is_failed = true;
	else
		r->start_stated = h->start;
}

/* One step of growing; true when it has come to its end, good or bad. */
static bool
commit_grow(struct ring *r)
{
	struct ring_slot slot;
	enum status st;

	pthread_mutex_unlock(&r->lock);
	st = ring_files_grow(&r->files, &slot);
	pthread_mutex_lock(&r->lock);
	if (st == ST_MORE)
		return false;
	r->is_segment_wanted = false;
	if (st == ST_OK) {
		CHECK(r->files.slots_n < r->files.slots_max);
		r->files.slots[r->files.slots_n++] = slot;
	} else {
		/* What there is still works: a ring that cannot grow is full sooner, not broken. */
		r->is_growing_refused = true;
		log_event(LOG_WARN, "ring.not_grown", LOG_CSTR("status", status_word(st)),
		    LOG_U64("segments", r->files.slots_n));
	}
	return true;
}

static bool
is_growing_due(const struct ring *r)
{
	if (r->is_segment_wanted)
		return can_grow(r);
	/* Ahead of need, but not in a simulator's way. */
	return r->o.threaded && !r->may_replay && !r->is_stopping && can_grow(r) &&
	       slot_free_find(r, r->stats.start) == NULL;
}

/* Does what is most urgent. Called and returns locked. False when there is nothing to do. */
static bool
commit_step(struct ring *r)
{
	struct ring_buffer *b;
	bool is_news = true;

	if (r->is_failed)
		return false;
	b = commit_take(r);
	if (b != NULL)
		commit_group(r, b);
	else if (r->is_head_wanted)
		commit_head(r);
	else if (is_growing_due(r))
		is_news = commit_grow(r);
	else
		return false;
	if (is_news)
		notify(r);
	return true;
}

static void *
commit_main(void *arg)
{
	struct ring *r = arg;

	pthread_mutex_lock(&r->lock);
	for (;;) {
		if (commit_step(r))
			continue;
		if (r->is_stopping)
			break;
		r->is_waiting = true;
		pthread_cond_wait(&r->wake, &r->lock);
		r->is_waiting = false;
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

bool
ring_commit_step(struct ring *r)
{
	bool did;

	CHECK(!r->o.threaded);
	pthread_mutex_lock(&r->lock);
	did = commit_step(r);
	pthread_mutex_unlock(&r->lock);
	return did;
}

/* Unlocks, and wakes the commit thread when it sleeps though there is work. */
static void
unlock_and_wake(struct ring *r)
{
	bool is_due =
	    r->is_waiting && (r->done < r->forming || r->is_flush_wanted || r->is_head_wanted ||
				 r->is_segment_wanted || r->is_stopping);

	if (is_due)
		r->is_waiting = false;
	pthread_mutex_unlock(&r->lock);
	if (is_due)
		pthread_cond_signal(&r->wake);
}

/* ---- the loop thread's calls ---- */

/* Gives the empty forming group its position: here, or at the start of a new segment. */
static enum status
forming_place(struct ring *r, struct ring_buffer *b, size_t record_bytes)
{
	uint64_t size = r->files.segment_bytes, off = r->next % size;
	struct ring_slot *slot;

	b->base = r->next;
	if (r->segment != r->next / size || off + RING_GROUP_HEADER + record_bytes > size) {
		uint64_t segment = (r->next + size - 1) / size;
		slot = slot_free_find(r, r->start_stated);
		if (slot == NULL) {
			segment_want(r);
			return ST_LIMIT;
		}
		slot->segment = segment;
		r->segment = segment;
		b->base = segment * size;
		off = 0;
	}
	r->stats.is_full = false;
	b->limit = (size_t)size_min(r->o.group_bytes_max, size - off);
	b->used = RING_GROUP_HEADER;
	b->records = 0;
	return ST_OK;
}

/* A forming group with room for a record of so many bytes, header included. */
static enum status
forming_room(struct ring *r, size_t record_bytes, struct ring_buffer **out)
{
	struct ring_buffer *b = &r->buffers[r->forming % BUFFERS];

	if (b->used > 0 && record_bytes > b->limit - b->used) {
		if (!forming_close(r))
			return ST_LIMIT;
		b = &r->buffers[r->forming % BUFFERS];
	}
	*out = b;
	return b->used > 0 ? ST_OK : forming_place(r, b, record_bytes);
}

static void
record_put(struct ring_buffer *b, const struct str *parts, size_t parts_n, size_t bytes)
{
	size_t at = b->used + RING_RECORD_HEADER, end;

	le32_put(b->p + b->used, (uint32_t)bytes);
	le32_put(b->p + b->used + 4, 0);
	for (size_t i = 0; i < parts_n; i++) {
		if (parts[i].n > 0)
			memcpy(b->p + at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	end = ring_align(at, RING_RECORD_ALIGN);
	memset(b->p + at, 0, end - at);
	b->used = end;
	b->records++;
}

enum status
ring_append(struct ring *r, const struct str *parts, size_t parts_n, uint64_t *pos_out)
{
	struct ring_buffer *b;
	size_t bytes = 0, whole;
	enum status st;

	for (size_t i = 0; i < parts_n; i++)
		if (!add_ok(bytes, parts[i].n, &bytes))
			return ST_UNSUPPORTED;
	if (bytes > r->o.group_bytes_max - RING_OVERHEAD)
		return ST_UNSUPPORTED;
	whole = ring_align(RING_RECORD_HEADER + bytes, RING_RECORD_ALIGN);
	pthread_mutex_lock(&r->lock);
	r->may_replay = false;
	st = r->is_failed ? ST_IO : forming_room(r, whole, &b);
	if (st == ST_OK) {
		*pos_out = b->base + b->used;
		record_put(b, parts, parts_n, bytes);
	}
	unlock_and_wake(r);
	return st;
}

void
ring_flush(struct ring *r)
{
	pthread_mutex_lock(&r->lock);
	if (r->buffers[r->forming % BUFFERS].used > 0)
		r->is_flush_wanted = true;
	unlock_and_wake(r);
}

int
ring_fd(const struct ring *r)
{
	return r->event_fd;
}

enum status
ring_poll(struct ring *r, uint64_t *durable_out)
{
	uint64_t count;
	enum status st;

	if (r->event_fd >= 0) {
		ssize_t n = read(r->event_fd, &count, sizeof(count));
		(void)n;
	}
	pthread_mutex_lock(&r->lock);
	*durable_out = r->stats.durable;
	st = r->is_failed ? ST_IO : ST_OK;
	pthread_mutex_unlock(&r->lock);
	return st;
}

void
ring_release(struct ring *r, uint64_t pos)
{
	pthread_mutex_lock(&r->lock);
	CHECK(pos <= r->stats.durable);
	if (pos > r->stats.start)
		r->stats.start = pos;
	r->is_growing_refused = false;
	/* Somebody waits for it: there may come no group to state it. */
	if (r->stats.is_full && slot_free_find(r, r->stats.start) != NULL)
		r->is_head_wanted = true;
	unlock_and_wake(r);
}

void
ring_stats(const struct ring *ring, struct ring_stats *out)
{
	/* The lock is the only thing that changes. */
	struct ring *r = (struct ring *)(uintptr_t)ring;
	const struct ring_buffer *b;

	pthread_mutex_lock(&r->lock);
	b = &r->buffers[r->forming % BUFFERS];
	*out = r->stats;
	out->tail = b->used > 0 ? b->base + b->used : r->next;
	out->segments = (uint32_t)r->files.slots_n;
	for (size_t i = 0; i < r->files.slots_n; i++)
		out->segments_free += slot_is_free(r, &r->files.slots[i], r->stats.start);
	pthread_mutex_unlock(&r->lock);
}

bool
ring_is_full(struct ring *r)
{
	bool is_full;

	pthread_mutex_lock(&r->lock);
	is_full = r->stats.is_full && slot_free_find(r, r->start_stated) == NULL;
	pthread_mutex_unlock(&r->lock);
	return is_full;
}

/* ---- reading ---- */

/* Where the record's header is in memory, or NULL. Under lock. */
static const char *
memory_find(const struct ring *r, uint64_t pos)
{
	for (size_t i = 0; i < BUFFERS; i++) {
		const struct ring_buffer *b = &r->buffers[i];
		if (b->used > 0 && pos >= b->base + RING_GROUP_HEADER && pos < b->base + b->used)
			return b->p + (pos - b->base);
	}
	return NULL;
}

static enum status
file_read(struct disk_file *f, void *p, size_t n, uint64_t off)
{
	size_t got;
	enum status st = disk_pread(f, p, n, off, &got);

	return st == ST_OK && got < n ? ST_IO : st;
}

/* The file with the record at pos, and the record's length. */
static enum status
record_find(struct ring *r, uint64_t pos, struct disk_file **f_out, char header[RING_RECORD_HEADER])
{
	uint64_t size = r->files.segment_bytes, off = pos % size;
	struct ring_slot *slot;
	bool is_there;

	pthread_mutex_lock(&r->lock);
	slot = ring_files_slot(&r->files, pos / size);
	is_there = slot != NULL && pos >= r->stats.start && pos < r->stats.durable;
	*f_out = is_there ? slot->rd : NULL;
	pthread_mutex_unlock(&r->lock);
	if (!is_there || off < RING_GROUP_HEADER || off > size - RING_RECORD_HEADER)
		return ST_NOTFOUND;
	return file_read(*f_out, header, RING_RECORD_HEADER, off);
}

static enum status
record_check_range(uint64_t bytes, uint64_t off, size_t n)
{
	return off > bytes || n > bytes - off ? ST_EOF : ST_OK;
}

/* ST_MORE: not in memory. */
static enum status
memory_read(struct ring *r, uint64_t pos, uint64_t off, size_t n, void *p)
{
	const char *record;
	enum status st = ST_MORE;

	pthread_mutex_lock(&r->lock);
	record = memory_find(r, pos);
	if (record != NULL) {
		st = record_check_range(le32_get(record), off, n);
		if (st == ST_OK && n > 0)
			memcpy(p, record + RING_RECORD_HEADER + off, n);
	}
	pthread_mutex_unlock(&r->lock);
	return st;
}

enum status
ring_pread(struct ring *r, uint64_t pos, uint64_t off, size_t n, void *p)
{
	char header[RING_RECORD_HEADER];
	struct disk_file *f;
	uint64_t bytes, at = pos % r->files.segment_bytes;
	enum status st = memory_read(r, pos, off, n, p);

	if (st != ST_MORE)
		return st;
	st = record_find(r, pos, &f, header);
	if (st != ST_OK)
		return st;
	bytes = le32_get(header);
	if (bytes > r->files.segment_bytes - at - RING_RECORD_HEADER)
		return ST_IO;
	st = record_check_range(bytes, off, n);
	if (st == ST_OK && n > 0)
		st = file_read(f, p, n, at + RING_RECORD_HEADER + off);
	if (st == ST_OK && n == bytes && le32_get(header + 4) != ring_record_crc(pos, str_of(p, n)))
		st = ST_IO;
	return st;
}

enum status
ring_read(struct ring *r, uint64_t pos, uint64_t off, size_t n, struct buf *out)
{
	char *p = buf_reserve(out, n);
	enum status st;

	if (p == NULL)
		return ST_LIMIT;
	st = ring_pread(r, pos, off, n, p);
	if (st == ST_OK)
		buf_commit(out, n);
	return st;
}

enum status
ring_record_bytes(struct ring *r, uint64_t pos, uint64_t *bytes_out)
{
	char header[RING_RECORD_HEADER];
	struct disk_file *f;
	const char *record;
	enum status st = ST_OK;

	pthread_mutex_lock(&r->lock);
	record = memory_find(r, pos);
	if (record != NULL)
		memcpy(header, record, 4);
	pthread_mutex_unlock(&r->lock);
	if (record == NULL)
		st = record_find(r, pos, &f, header);
	if (st == ST_OK)
		*bytes_out = le32_get(header);
	return st;
}

/* ---- opening ---- */

static enum status
folder_make(const struct ring_options *o)
{
	const char *slash = strrchr(o->folder, '/');
	char parent[RING_PATH_MAX] = "";
	enum status st = disk_mkdir(o->disk, o->folder);

	CHECK(strlen(o->folder) < RING_PATH_MAX - 32);
	if (slash != NULL)
		memcpy(parent, o->folder, (size_t)(slash - o->folder));
	return st == ST_OK ? disk_sync_dir(o->disk, parent) : st;
}

/* A file of another size is none of ours (or half of one); when nothing needs it, it goes. */
static enum status
odd_slots_remove(struct ring_files *f)
{
	char path[RING_PATH_MAX];
	uint64_t bytes;
	enum status st = ST_OK;

	for (size_t i = f->slots_n; i-- > 0 && st == ST_OK;) {
		struct ring_slot *s = &f->slots[i];
		st = disk_size(s->rd, &bytes);
		if (st != ST_OK || s->segment != RING_NO_SEGMENT || bytes == f->segment_bytes)
			continue;
		ring_slot_path(f, s, path);
		disk_close(&s->rd);
		disk_close(&s->wr);
		*s = f->slots[--f->slots_n];
		st = disk_unlink(f->disk, path);
	}
	return st;
}

static enum status
slots_prepare(struct ring *r)
{
	struct ring_files *f = &r->files;
	struct ring_slot slot;
	enum status st = odd_slots_remove(f);

	if (f->slots_n > r->o.segments_max)
		r->o.segments_max = (uint32_t)f->slots_n;
	f->slots_max = size_max(f->slots_max, r->o.segments_max);
	f->slots = reallocarray(f->slots, f->slots_max, sizeof(*f->slots));
	CHECK(f->slots != NULL);
	while (st == ST_OK && f->slots_n < r->o.segments_first) {
		do
			st = ring_files_grow(f, &slot);
		while (st == ST_MORE);
		if (st == ST_OK)
			f->slots[f->slots_n++] = slot;
	}
	return st;
}

/* Is there a log at all? */
static bool
is_new(const struct ring_scan *s)
{
	return !s->files->has_head && !s->has_last && !s->has_read_error;
}

/* Damage that only the head knows about. */
static void
head_judge(struct ring_scan *s)
{
	struct ring_files *f = s->files;
	uint64_t end = s->has_last ? ring_group_end(&s->last) : 0;

	if (!f->has_head) {
		ring_scan_say(s, "%s/head: no whole copy, though there are groups", f->folder);
		s->gaps_n++;
	} else if (end < f->head.durable && !ring_gap_is_allowed(&f->head, end, f->head.durable)) {
		ring_scan_say(s, "%s: the log ends at position %llu, but was durable up to %llu",
		    f->folder, (unsigned long long)end, (unsigned long long)f->head.durable);
		if (s->gaps_n < RING_GAPS_MAX)
			s->gaps[s->gaps_n] =
			    (struct ring_gap){end, ring_align(f->head.durable, f->segment_bytes)};
		s->gaps_n++;
	}
	if (s->has_read_error)
		ring_scan_say(s, "%s: some of it cannot be read", f->folder);
}

/* Gaps that still matter go into the head; false when there are too many to remember. */
static bool
gaps_allow(struct ring_head *h, const struct ring_scan *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->gaps_n; i++)
		if (h->gaps[i].to > s->start)
			h->gaps[kept++] = h->gaps[i];
	h->gaps_n = kept;
	if (s->gaps_n > RING_GAPS_MAX - kept)
		return false;
	for (size_t i = 0; i < s->gaps_n; i++)
		if (s->gaps[i].to > s->gaps[i].from)
			h->gaps[h->gaps_n++] = s->gaps[i];
	return true;
}

/* The tail is what was found; a new epoch begins there, so that nothing behind it can ever come
 * back. */
static void
head_renew(struct ring *r, const struct ring_scan *s)
{
	struct ring_head *h = &r->files.head;
	uint64_t size = r->files.segment_bytes, end = s->has_last ? ring_group_end(&s->last) : 0;

	if (!r->files.has_head) {
		h->ring_id = s->has_last ? s->last.ring_id : r->o.ring_id;
		if (h->ring_id == 0)
			h->ring_id = rnd_u64();
		h->epoch = s->has_last ? s->last.epoch : 0;
	}
	r->sequence = s->has_last ? s->last.sequence + 1 : 0;
	r->crc_before = s->has_last ? s->last.crc : 0;
	/* No position may ever name two acknowledged records: behind a lost tail it goes on in a
	 * new segment. */
	if (end < h->durable)
		end = ring_align(h->durable, size);
	h->segment_bytes = size;
	h->epoch++;
	h->cut = end;
	h->durable = end;
	h->start = s->start;
}

static void
state_begin(struct ring *r, const struct ring_scan *s)
{
	const struct ring_head *h = &r->files.head;

	r->has_last = s->has_last;
	r->last = s->last;
	r->next = h->cut;
	r->stats.durable = h->cut;
	r->stats.start = h->start;
	r->start_stated = h->start;
	r->last_segment = s->has_last ? s->last.segment : RING_NO_SEGMENT;
	r->segment = r->last_segment;
	for (size_t i = 0; i < h->gaps_n; i++)
		r->stats.gap_bytes += h->gaps[i].to - h->gaps[i].from;
	for (size_t i = 0; i < r->files.slots_n; i++) {
		struct ring_slot *slot = &r->files.slots[i];
		bool is_needed = s->has_last && slot->segment <= s->last.segment &&
				 slot->segment >= s->start / r->files.segment_bytes;
		if (!is_needed && !(s->has_last && slot->segment == s->last.segment))
			slot->segment = RING_NO_SEGMENT;
	}
}

/* Reads everything that is needed; a status but ST_OK refuses to open. */
static enum status
recover(struct ring *r, struct ring_scan *s)
{
	enum status st;

	ring_scan_find(s);
	if (r->files.has_head && r->files.head.segment_bytes != r->files.segment_bytes) {
		ring_scan_say(s, "%s: made with segments of %llu bytes, not %llu", r->files.folder,
		    (unsigned long long)r->files.head.segment_bytes,
		    (unsigned long long)r->files.segment_bytes);
		return ST_UNSUPPORTED;
	}
	if (!is_new(s)) {
		st = ring_scan_walk(s, s->start, NULL, NULL);
		if (st != ST_OK)
			return st;
		head_judge(s);
	}
	if (ring_scan_is_damaged(s) && !r->o.allow_corrupt)
		return ST_IO;
	if (!gaps_allow(&r->files.head, s)) {
		ring_scan_say(s, "%s: more than %d gaps", r->files.folder, RING_GAPS_MAX);
		return ST_IO;
	}
	return ST_OK;
}

static enum status
open_files(struct ring *r, struct buf *error_out)
{
	struct ring_scan s;
	struct ring_slot *slot;
	enum status st = folder_make(&r->o);

	ring_scan_init(&s, &r->files, error_out);
	if (st == ST_OK)
		st = ring_files_open(&r->files, &r->o, false);
	if (st == ST_OK)
		st = recover(r, &s);
	if (st != ST_OK)
		goto out;
	head_renew(r, &s);
	state_begin(r, &s);
	/*
	 * When only the process died, the last group may still wait in memory for its sync. It
	 * counts as durable from here on, so it must be.
	 */
	slot = s.has_last ? ring_files_slot(&r->files, s.last.segment) : NULL;
	if (slot != NULL)
		st = disk_sync(slot->wr);
	if (st == ST_OK)
		st = slots_prepare(r);
	if (st == ST_OK)
		st = ring_files_head_write(&r->files);
	/* Also for names that an opening before this one made and did not come to sync. */
	if (st == ST_OK)
		st = disk_sync_dir(r->o.disk, r->o.folder);
out:
	if (st != ST_OK && error_out != NULL)
		ring_scan_say(&s, "%s: not opened: %s", r->o.folder, status_word(st));
	ring_scan_fini(&s);
	return st;
}

static void
ring_free(struct ring *r)
{
	for (size_t i = 0; i < BUFFERS; i++)
		free(r->buffers[i].p);
	ring_files_close(&r->files);
	pthread_cond_destroy(&r->wake);
	pthread_mutex_destroy(&r->lock);
	if (r->event_fd >= 0)
		close(r->event_fd);
	free(r);
}

static void
thread_start(struct ring *r)
{
	sigset_t all, before;

	r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(r->event_fd >= 0);
	/* Signals are the loop thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	CHECK(pthread_create(&r->thread, NULL, commit_main, r) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

enum status
ring_open(const struct ring_options *o, struct ring **out, struct buf *error_out)
{
	struct ring *r = calloc(1, sizeof(*r));
	enum status st;

	CHECK(r != NULL);
	CHECK(o->segment_bytes % DISK_ALIGN == 0 && o->group_bytes_max % DISK_ALIGN == 0);
	CHECK(o->group_bytes_max >= DISK_ALIGN && o->group_bytes_max <= o->segment_bytes / 2);
	CHECK(o->group_bytes_max < UINT32_MAX);
	CHECK(o->segments_first >= 2 && o->segments_max >= o->segments_first);
	r->o = *o;
	r->event_fd = -1;
	r->may_replay = true;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->wake, NULL);
	st = open_files(r, error_out);
	if (st != ST_OK) {
		ring_free(r);
		return st;
	}
	/* Pages that no group ever reached cost nothing. */
	for (size_t i = 0; i < BUFFERS; i++) {
		r->buffers[i].p = aligned_alloc(DISK_ALIGN, o->group_bytes_max);
		CHECK(r->buffers[i].p != NULL);
	}
	if (o->threaded)
		thread_start(r);
	*out = r;
	return ST_OK;
}

void
ring_close(struct ring **rp)
{
	struct ring *r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	pthread_mutex_lock(&r->lock);
	r->is_flush_wanted = true;
	r->is_stopping = true;
	/* States that all is durable: then even damage to the last group cannot be taken for a torn
	 * tail. */
	r->is_head_wanted = true;
	unlock_and_wake(r);
	if (r->o.threaded)
		pthread_join(r->thread, NULL);
	else
		while (ring_commit_step(r))
			;
	ring_free(r);
}

/* ---- replay and check ---- */

struct replay {
	uint64_t from;
	ring_replay_fn *fn;
	void *arg;
};

static enum status
replay_group(void *arg, const struct ring_group *g, const char *p)
{
	const struct replay *rp = arg;
	size_t off = RING_GROUP_HEADER, at;
	struct str record;
	enum status st = ST_OK;

	while (st == ST_OK) {
		at = off;
		st = ring_record_next(g, p, &off, &record);
		if (st == ST_OK && g->position + at >= rp->from)
			st = rp->fn(rp->arg, g->position + at, record);
	}
	return st == ST_EOF ? ST_OK : st;
}

/* The index knows more than the log: what it knows must not get a second meaning. */
static enum status
tail_move(struct ring *r, uint64_t from)
{
	struct ring_head *h = &r->files.head;

	if (!r->o.allow_corrupt || h->gaps_n == RING_GAPS_MAX)
		return ST_IO;
	h->cut = ring_align(from, r->files.segment_bytes);
	h->gaps[h->gaps_n++] = (struct ring_gap){r->next, h->cut};
	h->durable = h->cut;
	r->stats.gap_bytes += h->cut - r->next;
	r->stats.durable = h->cut;
	r->next = h->cut;
	return ring_files_head_write(&r->files);
}

enum status
ring_replay(struct ring *r, uint64_t from, ring_replay_fn *fn, void *arg)
{
	struct replay rp = {from, fn, arg};
	struct ring_scan s;
	enum status st;

	CHECK(r->may_replay);
	if (from < r->stats.start)
		return ST_NOTFOUND;
	if (from > r->stats.durable) {
		log_event(LOG_ERROR, "ring.tail_lost", LOG_U64("from", from),
		    LOG_U64("tail", r->stats.durable));
		st = tail_move(r, from);
		if (st != ST_OK)
			return st;
	}
	ring_scan_init(&s, &r->files, NULL);
	s.has_last = r->has_last;
	s.last = r->last;
	s.start = from;
	st = ring_scan_walk(&s, from, replay_group, &rp);
	if (st == ST_OK && ring_scan_is_damaged(&s) && !r->o.allow_corrupt)
		st = ST_IO;
	ring_scan_fini(&s);
	return st;
}

enum status
ring_check(const struct ring_options *o, struct buf *out)
{
	struct ring_files f;
	struct ring_scan s;
	enum status st = ring_files_open(&f, o, true);

	ring_scan_init(&s, &f, out);
	if (st != ST_OK)
		goto out;
	if (f.has_head)
		f.segment_bytes = f.head.segment_bytes;
	ring_scan_find(&s);
	if (!is_new(&s)) {
		st = ring_scan_walk(&s, s.start, NULL, NULL);
		head_judge(&s);
	}
	if (ring_scan_is_damaged(&s))
		st = ST_IO;
	ring_scan_say(&s,
	    "%s: positions %llu to %llu, %llu groups, %llu records, %zu segment files, %zu gaps",
	    o->folder, (unsigned long long)s.start,
	    (unsigned long long)(s.has_last ? ring_group_end(&s.last) : s.start),
	    (unsigned long long)s.groups, (unsigned long long)s.records, f.slots_n, s.gaps_n);
out:
	ring_scan_fini(&s);
	ring_files_close(&f);
	return st;
}
