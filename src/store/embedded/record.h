/*
 * The record of one transaction in the log: header, the bytes of its blobs one after the other, its
 *operations.
 *
 *	header	"PHR1" | u32 bytes of blobs | u32 bytes of operations | u32 number of operations
 *	put	1 | u16 key n | u32 value n | key | value		(a counter's sum is written as
 *a put of eight bytes) del	2 | u16 key n | key splice	3 | u16 key n | u32 n | u32 offset |
 *key | bytes
 *	blob	4 | u64 id | u32 size | u32 crc32c			(its bytes: the next `size` of
 *the blobs) staged	5 | u64 id | u32 size | u32 crc32c | u64 file number
 *	ref	6 | u64 id | i32 by
 *
 * Little-endian. The digit of the magic is the version. Replaying a record's keys twice gives the
 *same as once (whatever part of its effects was there before), which lets a checkpoint write keys
 *in several commits. Parsing trusts nothing, though the ring has verified a checksum: damage there
 *must never become damage here.
 */
#ifndef POSTHORN_STORE_EMBEDDED_RECORD_H
#define POSTHORN_STORE_EMBEDDED_RECORD_H

#include "base/buf.h"
#include "base/cur.h"

#define RECORD_HEADER_BYTES 16

enum record_kind {
	RECORD_PUT = 1,
	RECORD_DEL,
	RECORD_SPLICE,
	RECORD_BLOB,
	RECORD_STAGED,
	RECORD_REF
};

struct record_op {
	enum record_kind kind;
	struct str key;
	struct str value; /* put, splice: borrowed from the record */
	uint32_t off;	  /* splice: in the value; blob: in the record */
	uint32_t size;
	uint32_t crc;
	uint64_t id;
	uint64_t file;
	int32_t by;
};

struct record {
	struct cur ops;
	uint32_t ops_left;
	uint32_t blob_off; /* of the next blob */
	uint32_t blob_end;
	uint64_t id_min; /* ids only grow */
};

/* Appends to ops. ST_LIMIT: ops is full, nothing was appended. */
enum status record_put(struct buf *ops, struct str key, struct str value) MUST_USE;
enum status record_del(struct buf *ops, struct str key) MUST_USE;
enum status record_splice(struct buf *ops, struct str key, uint32_t off, struct str bytes) MUST_USE;
enum status record_blob(struct buf *ops, uint64_t id, uint32_t size, uint32_t crc) MUST_USE;
enum status record_staged(
    struct buf *ops, uint64_t id, uint32_t size, uint32_t crc, uint64_t file) MUST_USE;
enum status record_ref(struct buf *ops, uint64_t id, int32_t by) MUST_USE;
void record_header(uint8_t out[RECORD_HEADER_BYTES], size_t blobs_n, size_t ops_n, uint32_t ops);

/* Verifies the whole record, then hands it out from the start. ST_SYNTAX with what is wrong,
 * ST_UNSUPPORTED: a version we do not know. */
enum status record_open(struct str bytes, struct record *out, const char **what_out) MUST_USE;
/* ST_EOF after the last. */
enum status record_next(struct record *r, struct record_op *out) MUST_USE;

#endif
