/* Limits of the embedded store, with what they follow from. */
#ifndef POSTHORN_STORE_EMBEDDED_LIMITS_H
#define POSTHORN_STORE_EMBEDDED_LIMITS_H

/*
 * One record holds a whole transaction: its blobs and its operations. An operation costs at most 16
 * bytes beside key and bytes, so STORE_TXN_OPS_MAX of them add 160 KB to STORE_TXN_BYTES_MAX, which
 * counts only what the caller gave.
 */
#define RECORD_BYTES_MAX ((4u << 20) + (1u << 18))

#define DELTA_BYTES_MAX_DEFAULT ((size_t)64 << 20)
#define DELTA_LEVELS_MAX 12 /* a skip list with one in four going up: 4^12 entries */
#define DELTA_BLOCK_BYTES ((size_t)256 << 10)

/* One LMDB commit of a checkpoint: keeps its dirty pages (each entry may touch a page of its own)
 * under some 40 MB. */
#define CHECKPOINT_BATCH_BYTES ((size_t)8 << 20)
#define CHECKPOINT_BATCH_ENTRIES 8192

/* One job of the archive: what is read, compressed, synced and switched at once. About 0.1-0.3 s of
 * zstd. */
#define ARCHIVE_BATCH_BYTES ((size_t)8 << 20)
#define ARCHIVE_BATCH_BLOBS 4096
#define ARCHIVE_SEGMENT_BYTES_DEFAULT ((uint64_t)128 << 20)
#define ARCHIVE_HANDLES_MAX 16 /* open for reading on the loop thread */

/* A staged file is frames of this size, each followed by its CRC32C: a part can be read and
 * verified without the rest. */
#define STAGE_FRAME_BYTES ((size_t)64 << 10)

/* Below the free-space floor: transactions without new blobs and with at most so many bytes of
 * operations go on. */
#define LEAN_TXN_BYTES_MAX ((size_t)64 << 10)

/* Ids that undone transactions used up between two records; a window of rows for them all is 32 MB.
 */
#define REPLAY_BLOB_GAP_MAX (1u << 20)

#define FREE_CHECK_INTERVAL_MS 1000
/* Of the checkpoint thread: below everybody who is waited for, but not starved (19 would be). */
#define THREAD_NICE 10
/* ... or when this much has come in since: a fast writer fills 100 MB in that second. A look costs a microsecond. */
#define FREE_CHECK_BYTES (4u << 20)
#define INDEX_MAP_BYTES_DEFAULT ((uint64_t)64 << 30)
#define INDEX_MAP_BYTES_MIN ((uint64_t)1 << 20)

/* Bytes one step of a backup copies. */
#define BACKUP_STEP_BYTES ((size_t)16 << 20)

#endif
