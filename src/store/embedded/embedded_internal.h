/* What the files of the embedded store share. The loop thread owns everything but what struct job
 * says. */
#ifndef POSTHORN_STORE_EMBEDDED_INTERNAL_H
#define POSTHORN_STORE_EMBEDDED_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "store/embedded/delta.h"
#include "store/embedded/embedded.h"
#include "store/embedded/limits.h"
#include "store/embedded/record.h"
#include "store/embedded/ring.h"

#define RING_FOLDER "ring"
#define ARCHIVE_FOLDER "archive"
#define STAGED_FOLDER "big"
#define INDEX_FOLDER "index"
#define BACKUP_MARK "backup"
#define PATH_BYTES 64

struct embedded;

enum undo_kind { UNDO_VALUE, UNDO_BYTES, UNDO_REF };

struct undo {
	enum undo_kind kind;
	uint8_t state; /* value: before */
	struct delta_node *node;
	struct delta_value *value; /* value: before */
	size_t off;		   /* bytes: where in the value; the old ones are saved */
	size_t saved_off, saved_n;
	uint32_t old_n;
	uint64_t id;
	int32_t by;
};

struct embedded_txn {
	struct txn base;
	struct buf blobs; /* bytes of inline blobs, as they will stand in the record */
	struct buf ops;
	uint32_t ops_n;
	size_t bytes;	     /* of keys, values and blobs given */
	uint64_t blob_first; /* first id this transaction may have given */
	bool has_blobs;
	enum status broken; /* an operation failed half-way: commit will refuse */
	struct undo *undo;
	size_t undo_n, undo_cap;
	struct buf saved;
};

struct stage {
	struct store_stage base;
	struct disk_file *file;
	uint64_t number;
	uint64_t size; /* of the blob */
	uint32_t crc;
	char *frame; /* STAGE_FRAME_BYTES + 4 */
	size_t frame_n;
	uint64_t file_bytes;
	bool is_synced;
	bool is_used; /* put by the running transaction, or by one that succeeded */
	enum status failed;
	struct stage *next; /* of the running transaction */
};

struct waiter {
	uint64_t pos_next; /* durable when everything before is */
	uint64_t bytes;	   /* appended up to and with it */
	store_done_fn *done;
	void *arg;
};

struct numbers {
	uint64_t *v;
	size_t n, cap;
};

/* What may go when no reader can see it any more and no backup copies it. */
struct trash {
	struct delta *delta;
	struct numbers segments;
	struct numbers staged;
};

enum job_kind {
	JOB_CHECKPOINT,
	JOB_CLEANUP,
	JOB_ARCHIVE,
	JOB_COLLECT,
	JOB_BACKUP_INDEX,
	JOB_BACKUP_COPY
};
enum job_state { JOB_IDLE, JOB_POSTED, JOB_FINISHED };

/* One piece of the checkpoint thread's work. The thread owns it from POSTED to FINISHED, otherwise
 * the loop thread does. */
struct job {
	enum job_state state; /* under the mutex */
	enum job_kind kind;
	enum status st;
	struct index_meta meta; /* in: as committed last; out: the same */
	/* checkpoint */
	const struct delta *delta;
	const struct delta_node *node;
	uint64_t covered_next, blob_next;
	/* archive */
	uint64_t target;
	bool did_work;
	/* what became free by it */
	struct trash trash;
	/* cleanup: what to free */
	struct trash drop;
};

struct backup_file {
	bool is_staged;
	uint64_t number;
	uint64_t bytes;
};

enum backup_phase { BACKUP_NONE, BACKUP_CHECKPOINT, BACKUP_ARCHIVE, BACKUP_FILES };

struct backup {
	enum backup_phase phase;
	struct disk *disk;
	embedded_progress_fn *fn;
	void *arg;
	struct backup_file *files;
	size_t files_n, files_cap, at;
	uint64_t off, bytes, bytes_all;
	uint64_t from; /* the position the checkpoint must cover */
	char *folder;
};

struct archive_stats {
	uint64_t segments, bytes, live, raw, staged_files, corrupt;
};

struct archive_handle {
	struct disk_file *file;
	uint64_t number;
	uint64_t used; /* tick of the last use */
};

struct embedded {
	struct store base;
	struct embedded_options o;
	struct disk *disk;
	struct ring *ring;
	struct index *index;
	int lock_fd, epoll_fd, event_fd;
	bool is_failed, is_read_only;
	bool is_full;	   /* below the free-space floor */
	bool is_ring_full; /* no segment left but the reserve */
	bool is_refused;   /* the ring took nothing more; until it says progress */
	const char *failed_where;

	struct delta *active, *frozen;
	uint64_t frozen_next; /* the frozen delta holds every record before this */
	uint64_t blob_next;
	uint64_t stage_next;
	uint64_t last_next; /* position of the last record + 1 */
	uint64_t durable;
	uint64_t bytes_appended, bytes_durable;
	uint64_t bytes_staged;	   /* of large bodies, which go past the ring */
	uint64_t free_check_bytes; /* both together when the free space was last looked at */
	struct index_meta meta; /* as of the reader's snapshot */

	struct embedded_txn txn;
	struct txn snapshot;
	struct stage *staged; /* put by the running transaction */
	bool in_txn;
	unsigned iters_open;

	struct waiter *waiters; /* a ring of cap (a power of two) */
	size_t waiters_at, waiters_n, waiters_cap;

	/* Scheduling of the checkpoint thread's work. */
	bool want_checkpoint, want_archive, want_collect;
	uint64_t checkpoint_ms, free_check_ms, retry_ms;
	uint64_t transact_ms; /* of the last transaction; 0: it came in this turn */
	uint64_t frozen_tail; /* the log's end when the delta was last frozen */
	uint64_t age_mark_pos, age_mark_ms;
	struct trash trash; /* gathered, not yet handed to a cleanup */
	struct job job;
	struct backup backup;
	struct archive_stats archive;	   /* the job's */
	struct archive_stats archive_seen; /* as of the last job taken */
	uint64_t collect_segment,
	    collect_off;	     /* the job's: where it goes on; segment + 1, 0: none */
	struct numbers collect_skip; /* the job's: damaged, left as they are */
	struct buf job_in, job_out;  /* the job's scratch */
	void *zstd;		     /* the job's ZSTD_CCtx */

	pthread_t thread;
	bool has_thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool thread_must_end; /* under the mutex */
	bool thread_is_set;   /* under the mutex: its priority is set */
	atomic_bool wants_tick;

	/* Reading blobs. */
	struct archive_handle handles[ARCHIVE_HANDLES_MAX];
	uint64_t handle_tick;
	void *unzstd;
	struct buf stored; /* an archive entry as it is stored */
	struct buf whole;  /* the last blob that was read whole in order to verify a part */
	uint64_t whole_id;
	uint64_t free_bytes, total_bytes;
	uint64_t ring_used, ring_tail;
	struct {
		uint64_t transactions, aborts, refusals, replayed;
	} count;
};

static inline struct embedded *
embedded_of(struct store *s)
{
	return (struct embedded *)s;
}

/* txn.c */
enum status txn_put(struct txn *t, struct str key, struct str value) MUST_USE;
enum status txn_del(struct txn *t, struct str key) MUST_USE;
enum status txn_add(struct txn *t, struct str key, int64_t by, uint64_t *value_out) MUST_USE;
enum status txn_splice(struct txn *t, struct str key, size_t off, struct str bytes) MUST_USE;
enum status txn_blob_put(
    struct txn *t, const struct str *parts, size_t parts_n, struct blob_id *id_out) MUST_USE;
enum status txn_blob_ref(struct txn *t, struct blob_id id, int32_t by) MUST_USE;
enum status txn_blob_put_staged(
    struct txn *t, struct store_stage *g, struct blob_id *id_out) MUST_USE;
enum status txn_run(
    struct store *s, store_fn *fn, void *arg, store_done_fn *done, void *done_arg) MUST_USE;
/* Applies a record of the log again. ST_IO and a sentence when it makes no sense. */
enum status txn_replay(
    struct embedded *e, uint64_t pos, struct str record, const char **what_out) MUST_USE;

/* view.c */
enum status view_get(struct embedded *e, struct str key, struct str *value_out) MUST_USE;
enum status view_range(
    struct txn *t, struct str from, struct str to, bool reverse, struct store_iter *it) MUST_USE;
enum status view_next(struct store_iter *it) MUST_USE;
void view_end(struct store_iter *it);
/* With the count as the running transaction sees it; ST_NOTFOUND when that is 0. */
enum status view_blob(struct embedded *e, uint64_t id, struct blob_row *out) MUST_USE;

/* blob.c */
enum status blob_size(struct txn *t, struct blob_id id, uint64_t *size_out) MUST_USE;
enum status blob_read(
    struct txn *t, struct blob_id id, uint64_t off, size_t n, struct buf *out) MUST_USE;
enum status blob_stage_new(struct store *s, struct store_stage **out) MUST_USE;
enum status blob_stage_put(struct store_stage *g, struct str bytes) MUST_USE;
void blob_stage_free(struct store_stage *g);
/* Writes what is left and syncs. */
enum status blob_stage_sync(struct stage *g) MUST_USE;
void blob_forget_segment(struct embedded *e, uint64_t number);
void blob_fini(struct embedded *e);

/* archive.c: jobs, and the format of an entry */
#define ARCHIVE_ENTRY_BYTES 32
struct archive_entry {
	uint64_t id;
	uint32_t stored, raw, flags;
	uint32_t crc; /* of the stored bytes */
};
void archive_entry_put(uint8_t out[ARCHIVE_ENTRY_BYTES], const struct archive_entry *n);
enum status archive_entry_get(
    const uint8_t in[ARCHIVE_ENTRY_BYTES], struct archive_entry *out) MUST_USE;
void archive_path(char out[PATH_BYTES], uint64_t number);
void staged_path(char out[PATH_BYTES], uint64_t number);
enum status archive_run(struct embedded *e, struct job *j) MUST_USE;
enum status archive_collect(struct embedded *e, struct job *j) MUST_USE;
/* Sums over the segments; inside a write transaction of the index. */
enum status archive_count(struct embedded *e, struct archive_stats *out) MUST_USE;

/* checkpoint.c: the thread and its work */
enum status checkpoint_start(struct embedded *e) MUST_USE;
void checkpoint_stop(struct embedded *e);
/* Takes the result of a finished job, where no reader holds on to the snapshot. */
enum status checkpoint_take(struct embedded *e) MUST_USE;
/* Posts the next job when there is one. */
void checkpoint_schedule(struct embedded *e);
void trash_fini(struct trash *t);
void numbers_add(struct numbers *l, uint64_t v);
bool numbers_has(const struct numbers *l, uint64_t v);

/* backup.c: jobs */
enum status backup_index(struct embedded *e, struct job *j) MUST_USE;
enum status backup_copy(struct embedded *e, struct job *j) MUST_USE;
void backup_end(struct embedded *e, enum status st);

/* embedded.c */
void embedded_fail(struct embedded *e, const char *where);
/* Index meta and commit: ends the write transaction in any case. */
enum status embedded_commit_meta(struct embedded *e, const struct index_meta *m) MUST_USE;

#endif
