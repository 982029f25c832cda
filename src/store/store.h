/*
 * The store: an ordered map from keys to values with transactions, and blobs beside it.
 *
 * Written to FoundationDB-like limits so that several backends can stand behind it (memory,
 * embedded; a database later). A transaction function runs on the loop thread from start to end,
 * sees its own writes and those of every earlier transaction, and is all or nothing. When it
 * returns ST_OK the transaction is ordered; when `done` is called with ST_OK it is durable. On
 * ST_CONFLICT the function runs again (it must be repeatable). Any other status undoes it, and is
 * returned.
 *
 * Keys and values are (pointer, length). Values got are borrowed until the next write of the
 * transaction (or, outside of one, the next transaction). All durable counters are little-endian
 * u64.
 */
#ifndef POSTHORN_STORE_STORE_H
#define POSTHORN_STORE_STORE_H

#include "base/buf.h"
#include "base/clock.h"

#define STORE_KEY_BYTES_MAX 500 /* ours are under 400; LMDB, the embedded backend's index, is built with 511 */
#define STORE_VALUE_BYTES_MAX (100 * 1024)
#define STORE_TXN_OPS_MAX 10000
#define STORE_TXN_BYTES_MAX (4u << 20)	 /* keys, values and inline blobs of one transaction */
#define STORE_BLOB_INLINE_MAX (1u << 20) /* larger ones are staged */
#define STORE_BLOB_BYTES_MAX (1u << 30)

struct store;
struct txn;

struct blob_id {
	uint64_t v; /* grows with every blob, never used again; 0: none */
};

struct store_iter {
	struct str key; /* borrowed until the next call */
	struct str value;
	void *impl;	     /* the backend's; NULL: not open */
	struct store *store; /* borrowed */
};

/* Reads, inside a transaction or (txn from store_snapshot) outside. */
enum status store_get(struct txn *t, struct str key, struct str *value_out) MUST_USE;
/*
 * Keys from <= key < to, in byte order (reverse: from the last to the first). Start with
 * store_range, then call store_next until it returns ST_EOF; store_iter_end releases it at any
 * time. No writes in the range while it is open.
 */
enum status store_range(
    struct txn *t, struct str from, struct str to, bool reverse, struct store_iter *it) MUST_USE;
enum status store_next(struct store_iter *it) MUST_USE;
void store_iter_end(struct store_iter *it);

enum status store_put(struct txn *t, struct str key, struct str value) MUST_USE;
enum status store_del(struct txn *t, struct str key) MUST_USE; /* missing is ST_OK */
/* Adds to a u64 counter that starts at 0; *value_out (may be NULL) is the sum. */
enum status store_add(struct txn *t, struct str key, int64_t by, uint64_t *value_out) MUST_USE;
/*
 * Overwrites bytes at off of a value (which may be missing, and is extended with zeros as needed):
 * the log then holds only these bytes. What makes chunks of fixed records cheap.
 */
enum status store_splice(struct txn *t, struct str key, size_t off, struct str bytes) MUST_USE;

/*
 * Blobs: written once, counted references (1 at the start), bytes go when the count is 0 and
 * collection comes by. From the moment the count reaches 0, also later in that transaction, every
 * call on it says ST_NOTFOUND: so the caller knows it was the last reference. A count below 0 or
 * above INT32_MAX is ST_LIMIT.
 */
enum status store_blob_put(
    struct txn *t, const struct str *parts, size_t parts_n, struct blob_id *id_out) MUST_USE;
enum status store_blob_ref(struct txn *t, struct blob_id id, int32_t by) MUST_USE;
enum status store_blob_size(struct txn *t, struct blob_id id, uint64_t *size_out) MUST_USE;
/* Appends up to n bytes from off (fewer at the end). Checks integrity where the backend can. */
enum status store_blob_read(
    struct txn *t, struct blob_id id, uint64_t off, size_t n, struct buf *out) MUST_USE;

/*
 * A large blob arrives in pieces before its transaction; durable only with it. The stage stays the
 * caller's, who frees it when store_transact has returned, whatever it returned: a function that is
 * run again puts it again.
 */
struct store_stage;
enum status store_stage_new(struct store *s, struct store_stage **out) MUST_USE;
enum status store_stage_put(struct store_stage *g, struct str bytes) MUST_USE;
void store_stage_free(
    struct store_stage **g); /* put by no transaction that returned ST_OK: its bytes go */
enum status store_blob_put_staged(
    struct txn *t, struct store_stage **g, struct blob_id *id_out) MUST_USE;

typedef enum status store_fn(struct txn *t, void *arg);
typedef void store_done_fn(void *arg, enum status st);
/*
 * Runs fn; when it returned ST_OK, done(done_arg, st) is called later from store_poll, exactly
 * once, in the order of the transactions (never from inside store_transact). Otherwise the status
 * is returned and done is not called. ST_LIMIT with store_is_full: too little free space. ST_LIMIT with
 * only store_is_busy: wait for store_poll to make progress and try again.
 */
enum status store_transact(
    struct store *s, store_fn *fn, void *arg, store_done_fn *done, void *done_arg) MUST_USE;
/* The same, and waits until durable: for the command and for tests. */
enum status store_transact_wait(struct store *s, store_fn *fn, void *arg) MUST_USE;
/* A read-only view for the time until the next transaction; never NULL, nothing to free. */
struct txn *store_snapshot(struct store *s);

/* Readable when store_poll has something to do; -1: call it whenever convenient. */
int store_fd(struct store *s);
/*
 * Calls the done functions that are due; only what store_flush handed over becomes durable. ST_IO:
 * the disk failed; no done function is called after that, the role must end and recover.
 */
enum status store_poll(struct store *s) MUST_USE;
/* Call once at the end of a turn: hands what was gathered to the disk. */
void store_flush(struct store *s);
/* True while writes are refused for want of space or because the disk does not keep up: stop
 * reading from the roles. */
bool store_is_full(struct store *s);
bool store_is_busy(struct store *s);

/* Lines "name value" (bytes, counts) for people and metrics. */
enum status store_stats(struct store *s, struct buf *json_out);
/* Calls no done function; what was not yet reported durable may or may not be there when it is
 * opened again. */
void store_close(struct store **s);

/* ---- for backends ---- */
struct store_ops {
	enum status (*get)(struct txn *, struct str, struct str *);
	enum status (*range)(struct txn *, struct str, struct str, bool, struct store_iter *);
	enum status (*next)(struct store_iter *);
	void (*iter_end)(struct store_iter *);
	enum status (*put)(struct txn *, struct str, struct str);
	enum status (*del)(struct txn *, struct str);
	enum status (*add)(struct txn *, struct str, int64_t, uint64_t *);
	enum status (*splice)(struct txn *, struct str, size_t, struct str);
	enum status (*blob_put)(struct txn *, const struct str *, size_t, struct blob_id *);
	enum status (*blob_ref)(struct txn *, struct blob_id, int32_t);
	enum status (*blob_size)(struct txn *, struct blob_id, uint64_t *);
	enum status (*blob_read)(struct txn *, struct blob_id, uint64_t, size_t, struct buf *);
	enum status (*stage_new)(struct store *, struct store_stage **);
	enum status (*stage_put)(struct store_stage *, struct str);
	void (*stage_free)(struct store_stage *);
	enum status (*blob_put_staged)(struct txn *, struct store_stage *, struct blob_id *);
	enum status (*transact)(struct store *, store_fn *, void *, store_done_fn *, void *);
	struct txn *(*snapshot)(struct store *);
	int (*fd)(struct store *);
	enum status (*poll)(struct store *);
	void (*flush)(struct store *);
	bool (*is_full)(struct store *);
	bool (*is_busy)(struct store *);
	enum status (*stats)(struct store *, struct buf *);
	void (*close)(struct store *);
};

/* First members of a backend's own structs. */
struct store {
	const struct store_ops *ops;
};
struct txn {
	struct store *store;
};
struct store_stage {
	struct store *store;
};

#endif
