/*
 * The embedded store: one data folder, one process. The log (commit ring) is the truth, LMDB is its
 * index.
 *
 * A transaction is applied to an ordered map in memory (the delta) and appended to the ring as one
 * record; it is acknowledged when the ring's thread has synced the record's group. A second thread,
 * the checkpoint thread, moves the delta into LMDB and blobs out of the ring into compressed
 * archive segments, collects those, copies backups. Reads are LMDB's snapshot overlaid by the
 * delta. See docs/internals/store.md.
 *
 * Values got outside of a transaction are borrowed until the next transaction or store_flush,
 * whichever comes first. store_flush (or store_poll) should be called at least once a second while
 * idle; with threads the descriptor wakes the loop for it.
 *
 * When it is full (store_is_full: free space below the floor) or its ring out of segments (store_is_busy): reads
 * go on, and so do transactions that put no blob and whose operations take at most
 * LEAN_TXN_BYTES_MAX: the deletions, flag changes and moves that a way out of fullness is made of.
 * They write into ring segments that are there already, and what the index grows by comes out of
 * the floor. So does what the archive and its collection need to give space back.
 */
#ifndef POSTHORN_STORE_EMBEDDED_EMBEDDED_H
#define POSTHORN_STORE_EMBEDDED_EMBEDDED_H

#include "store/embedded/index.h"
#include "store/store.h"
#include "sys/disk.h"

struct embedded_options {
	struct disk *disk;	   /* borrowed */
	const struct clock *clock; /* borrowed */
	/* The ring; the segment size counts when the store is made, later the recorded one does. */
	uint64_t ring_segment_bytes;
	uint32_t ring_segments_first;
	uint32_t ring_segments_max;
	size_t group_bytes_max;
	/* Of the delta's two halves together. At half of it a checkpoint starts at the latest. */
	size_t delta_bytes_max;
	uint64_t checkpoint_log_bytes;
	uint64_t checkpoint_interval_ms;
	/* Full when the disk has less than the smaller of the two; no percent: the bytes alone. */
	uint64_t free_floor_bytes;
	unsigned free_floor_percent;
	int archive_level;		/* zstd; 0: stored as they are */
	uint64_t archive_segment_bytes; /* at most 1 GB */
	uint64_t archive_idle_ms;	/* without transactions for so long: archive everything */
	uint64_t archive_age_ms;	/* in the ring for about so long: archive */
	uint64_t index_map_bytes;	/* LMDB's virtual size at first */
	bool threaded;			/* false: embedded_step_* do the threads' work */
	bool manual_steps; /* not threaded: only they do; otherwise store_poll calls them */
	struct index_sim_state *simulated_index; /* borrowed; NULL: LMDB */
	/* An operator's decision: go on over damage in the log; what is lost is a line in error_out
	 * and in the log of events. */
	bool allow_corrupt;
	bool read_only;
};

void embedded_options_init(
    struct embedded_options *o, struct disk *disk, const struct clock *clock);

/*
 * Opens or makes the store. Otherwise a sentence for a person in error_out and ST_EXISTS (another
 * process has it), ST_UNSUPPORTED (written by another version), ST_IO (damage or a failing disk),
 * ST_NOTFOUND (read_only and nothing there), ST_LIMIT (no space).
 */
enum status embedded_open(
    const struct embedded_options *o, struct store **out, struct buf *error_out) MUST_USE;

/* Not threaded: one bounded piece of the checkpoint thread's work, or of the commit thread's.
 * False: nothing to do. */
bool embedded_step_checkpoint(struct store *s);
bool embedded_step_commit(struct store *s);

/* Makes a checkpoint soon, or an archive run of all that is checkpointed. For the command and
 * tests. */
void embedded_want_checkpoint(struct store *s);
void embedded_want_archive(struct store *s);
/* Waits (with threads) or works until nothing of the above is left to do, collection included. */
enum status embedded_settle(struct store *s) MUST_USE;

/*
 * Reads everything there is and verifies it: ring, index, every blob, the archive's accounts.
 * Findings as lines. ST_OK: no damage. Opens read only, so nobody else may have the store open for
 * writing.
 */
enum status embedded_check(const struct embedded_options *o, struct buf *report_out) MUST_USE;

/* Called from store_flush or store_poll; is_done with the outcome exactly once, last. */
typedef void embedded_progress_fn(
    void *arg, uint64_t bytes, uint64_t bytes_all, bool is_done, enum status st);
/*
 * Starts a backup into dest_folder (made; must be empty) and returns. The checkpoint thread makes a
 * checkpoint, archives what is in the ring, copies the index and then, between its other work, the
 * archive and staged files. What it holds is exactly the state after some transaction at or after
 * this call. ST_EXISTS: one is under way or the folder is not empty.
 */
enum status embedded_backup(
    struct store *s, const char *dest_folder, embedded_progress_fn *fn, void *arg) MUST_USE;
/* Makes a store on o->disk, which must be empty (ST_EXISTS), from a whole backup. */
enum status embedded_restore(
    const char *src_folder, const struct embedded_options *o, struct buf *error_out) MUST_USE;

#endif
