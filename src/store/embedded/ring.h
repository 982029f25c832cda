/*
 * The commit ring: the log that is the truth.
 *
 * A ring of pre-zeroed, recycled segment files. Records (whole transactions) are gathered into
 * groups; one group is one write and one fdatasync, made by the commit thread; what arrives
 * meanwhile is the next group. Positions are logical and only grow: position p lies in segment
 * number p / segment_bytes.
 *
 * Every group has a header {magic, segment generation, group sequence, its own position, up to
 * where the log was durable when it was written, length, CRC32C over header and body including
 * generation, sequence and position}, so that a recycled segment never yields an old group. On
 * recovery: damage before the point that a later group states as durable is corruption (ST_IO,
 * reported with positions, never skipped silently); damage after it is a torn tail and is cut.
 *
 * Threads: everything here is called by the loop thread; the commit thread is private. Without
 * threads (threaded = false) ring_commit_step does the commit thread's work when the caller, a
 * simulator, says so.
 */
#ifndef POSTHORN_STORE_EMBEDDED_RING_H
#define POSTHORN_STORE_EMBEDDED_RING_H

#include "base/buf.h"
#include "sys/disk.h"

/* What a group adds to its first record: group header and record header. */
#define RING_OVERHEAD 104
#define RING_SEGMENT_BYTES_DEFAULT (64ull << 20)
#define RING_GROUP_BYTES_DEFAULT ((size_t)8 << 20)

struct ring;

struct ring_options {
	struct disk *disk;	 /* borrowed */
	const char *folder;	 /* borrowed, on disk, e.g. "ring" */
	uint64_t segment_bytes;	 /* multiple of DISK_ALIGN; default 64 MB, tests use 64 KB */
	uint32_t segments_first; /* made at once, at least 2 */
	uint32_t segments_max;	 /* grown one by one up to this; then ring_append says ST_LIMIT */
	size_t group_bytes_max; /* multiple of DISK_ALIGN, at most segment_bytes / 2; memory is 3 of
				   it */
	bool threaded;
	/*
	 * Go on over damage before the durable point (an operator's decision): each gap is a line
	 * in error_out, is skipped by ring_replay, and is remembered, so that the next opening
	 * needs no flag.
	 */
	bool allow_corrupt;
	uint64_t ring_id; /* of a new ring; 0: random (a simulator gives its own) */
};

struct ring_stats {
	uint64_t start;	  /* the oldest position still needed (ring_release) */
	uint64_t durable; /* everything before is on disk */
	uint64_t tail;	  /* where the next record goes, at least */
	uint64_t groups, syncs, bytes_written, records; /* since ring_open */
	uint64_t gap_bytes; /* positions lost to damage that somebody allowed */
	uint32_t segments, segments_free;
	bool is_full; /* the last ring_append found no free segment: release something */
};

/*
 * Finds the log and its end, and verifies all that is still needed. ST_IO: damage before the
 * durable point or a failing disk; ST_UNSUPPORTED: made with another segment_bytes; ST_LIMIT: no
 * space for the first segments. error_out (may be NULL) gets the sentences. o is copied; what it
 * points to is borrowed.
 */
enum status ring_open(
    const struct ring_options *o, struct ring **out, struct buf *error_out) MUST_USE;
/* Syncs what was appended, ends the thread. */
void ring_close(struct ring **r);

/*
 * After ring_open, before the first append: every whole record from position `from` on, in order.
 * fn's record is borrowed; what fn returns ends the replay unless it is ST_OK. ST_NOTFOUND: from
 * was released already. ST_IO: damage, or from lies beyond the end of the log, which then lost
 * acknowledged records (with allow_corrupt the log goes on behind from, as no position may ever
 * name two records).
 */
typedef enum status ring_replay_fn(void *arg, uint64_t pos, struct str record);
enum status ring_replay(struct ring *r, uint64_t from, ring_replay_fn *fn, void *arg) MUST_USE;

/*
 * Adds one record made of parts (copied, so that nobody changes them afterwards) to the forming
 * group; *pos_out is its position and its name (never 0). A record is durable when its position is
 * before the durable point. ST_LIMIT: all group buffers are full or no segment is free; wait until
 * ring_poll says progress (what is full is on its way, without ring_flush), or release.
 * ST_UNSUPPORTED: longer than group_bytes_max - RING_OVERHEAD; it never will fit. ST_IO: see
 * ring_poll.
 */
enum status ring_append(
    struct ring *r, const struct str *parts, size_t parts_n, uint64_t *pos_out) MUST_USE;
/* Hands the forming group to the commit thread when that is idle; else it goes when the current one
 * is done. */
void ring_flush(struct ring *r);
/* Readable when ring_poll has something to say. -1 when not threaded. */
int ring_fd(const struct ring *r);
/* Takes notice of finished groups. *durable_out: everything before is durable. ST_IO: a write or
 * sync failed; the ring takes nothing more (the role restarts and recovers). */
enum status ring_poll(struct ring *r, uint64_t *durable_out) MUST_USE;
/* Not threaded only: write and sync one waiting group, or make a wanted segment. False when nothing
 * waits. */
bool ring_commit_step(struct ring *r);

/*
 * n bytes of the record at pos, starting at off; from memory while the group is there, else from
 * disk. The checksum is verified when it is the whole record (off 0, n its length) from disk,
 * otherwise not. ST_EOF: the record is shorter; ST_NOTFOUND: no such position; ST_IO: damage. Any
 * one other thread may call ring_pread for durable positions.
 */
enum status ring_read(
    struct ring *r, uint64_t pos, uint64_t off, size_t n, struct buf *out) MUST_USE;
enum status ring_pread(struct ring *r, uint64_t pos, uint64_t off, size_t n, void *p) MUST_USE;

/* Of the record at pos, for whoever did not keep it. */
enum status ring_record_bytes(struct ring *r, uint64_t pos, uint64_t *bytes_out) MUST_USE;

/* Nothing before pos (at most the durable point) is needed any more: its segments are recycled
 * (never written before this is called). */
void ring_release(struct ring *r, uint64_t pos);
void ring_stats(const struct ring *r, struct ring_stats *out);
/* The last append found no segment to go on in, and there is none yet. */
bool ring_is_full(struct ring *r);

/* Walks all segments read-only and verifies every group; findings as lines in out; ST_IO when
 * anything before the durable point is damaged. */
enum status ring_check(const struct ring_options *o, struct buf *out) MUST_USE;

#endif
