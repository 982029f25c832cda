/*
 * The index: an ordered map on disk that remembers up to which log position it holds everything.
 *
 * One reader (the loop thread) sees a snapshot, which moves on only with index_renew. One writer
 * (the checkpoint thread) makes whole, synced commits. Besides the keys there are tables from
 * numbers to small rows. Two implementations: LMDB, and a simulated one whose committed state
 * outlives the object (for crash simulations).
 */
#ifndef POSTHORN_STORE_EMBEDDED_INDEX_H
#define POSTHORN_STORE_EMBEDDED_INDEX_H

#include "base/buf.h"

#define INDEX_FORMAT 1

enum index_table {
	INDEX_KEYS,
	INDEX_BLOBS,	/* blob id -> struct blob_row */
	INDEX_SEGMENTS, /* archive segment number -> struct segment_row */
	INDEX_STAGED,	/* number of a file under big/ -> blob id */
	INDEX_META,	/* 0 -> struct index_meta */
	INDEX_TABLES,
};

enum blob_kind {
	BLOB_NONE,
	BLOB_PENDING, /* of the running transaction: in its buffer, at a */
	BLOB_RING,    /* in the record at ring position a, from byte b */
	BLOB_ARCHIVE, /* in archive segment a, entry at byte b, stored bytes of it */
	BLOB_STAGED,  /* file number a under big/ */
};

#define BLOB_COMPRESSED 1u

struct blob_row {
	uint8_t kind;
	uint8_t flags;
	uint32_t refs;
	uint32_t crc; /* CRC32C of the bytes */
	uint32_t size;
	uint64_t a;
	uint32_t b;
	uint32_t stored;
};
#define BLOB_ROW_BYTES 32

struct segment_row {
	uint64_t bytes; /* appended so far; what lies after is left over from a crash */
	uint64_t live;	/* bytes of entries that a blob still names */
	uint64_t raw;	/* what those live entries are uncompressed */
};
#define SEGMENT_ROW_BYTES 24

struct index_meta {
	uint64_t format;
	uint64_t covered_next; /* every record at a smaller log position is in here */
	uint64_t blob_next;    /* ids from here on were not yet given */
	uint64_t archive_next; /* blobs below this id are no longer in the ring */
	uint64_t ring_floor;   /* no blob below archive_next needs the ring, which is before this
				  position */
	uint64_t segment_next; /* number of the next archive segment */
	uint64_t ring_segment_bytes;
	uint64_t checkpoints;
};
#define INDEX_META_BYTES 64

void blob_row_put(uint8_t out[BLOB_ROW_BYTES], const struct blob_row *r);
/* ST_IO: not a row of ours. */
enum status blob_row_get(struct str s, struct blob_row *out) MUST_USE;
void segment_row_put(uint8_t out[SEGMENT_ROW_BYTES], const struct segment_row *r);
enum status segment_row_get(struct str s, struct segment_row *out) MUST_USE;
void index_meta_put(uint8_t out[INDEX_META_BYTES], const struct index_meta *m);
enum status index_meta_get(struct str s, struct index_meta *out) MUST_USE;

struct index {
	const struct index_ops *ops;
};

struct index_cursor {
	struct index *index;
};

/* Everything returned is borrowed until the next call with the same cursor, index_renew (reader) or
 * the next write (writer). */
struct index_ops {
	void (*close)(struct index *);
	/* ---- the reader ---- */
	enum status (*renew)(struct index *);
	enum status (*get)(struct index *, struct str key, struct str *value_out);
	enum status (*row)(struct index *, enum index_table, uint64_t id, struct str *row_out);
	/* The first row with a number >= *id_inout. */
	enum status (*row_from)(
	    struct index *, enum index_table, uint64_t *id_inout, struct str *row_out);
	/* from <= key < to, or from the last to the first. An empty `to` means no upper end. */
	enum status (*cursor)(struct index *, struct str from, struct str to, bool reverse,
	    struct index_cursor **out);
	enum status (*cursor_next)(
	    struct index_cursor *, struct str *key_out, struct str *value_out);
	void (*cursor_free)(struct index_cursor *);
	/* ---- the writer ---- */
	enum status (*begin)(struct index *);
	enum status (*put)(struct index *, struct str key, struct str value);
	enum status (*del)(struct index *, struct str key); /* missing is ST_OK */
	enum status (*w_row)(struct index *, enum index_table, uint64_t id, struct str *row_out);
	enum status (*w_row_from)(
	    struct index *, enum index_table, uint64_t *id_inout, struct str *row_out);
	enum status (*w_row_put)(struct index *, enum index_table, uint64_t id, struct str row);
	enum status (*w_row_del)(
	    struct index *, enum index_table, uint64_t id); /* missing is ST_OK */
	/* Ends the write transaction in any case. ST_LIMIT: no room; nothing was changed. */
	enum status (*commit)(struct index *);
	void (*abort)(struct index *);
	/* ---- loop thread, while nobody writes and no cursor is open ---- */
	/* Grows the map when it is 80 % full. */
	enum status (*maybe_grow)(struct index *);
	/* ---- either thread ---- */
	void (*usage)(struct index *, uint64_t *used_out, uint64_t *size_out);
	/* A consistent copy into a folder, which exists and is empty. Writer's thread. */
	enum status (*copy)(struct index *, const char *folder);
};

/* LMDB in folder (made when missing unless read_only). map_bytes: virtual size at first. */
enum status index_lmdb_open(const char *folder, uint64_t map_bytes, bool read_only,
    struct index **out, struct buf *error_out) MUST_USE;

/* What outlives a simulated crash. on_commit (may be NULL) is asked before a commit takes effect;
 * false: it fails with ST_IO. */
struct index_sim_state {
	struct index_sim_version *committed; /* NULL: empty */
	bool (*on_commit)(void *arg);
	void *arg;
};
void index_sim_state_fini(struct index_sim_state *s);
/* Borrows s. */
enum status index_sim_open(struct index_sim_state *s, struct index **out) MUST_USE;

#endif
