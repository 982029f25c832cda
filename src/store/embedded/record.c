#include "store/embedded/record.h"

#include "base/num.h"
#include "store/embedded/limits.h"
#include "store/store.h"

/* Room for head + the two strings, or NULL. */
static char *
op_room(struct buf *ops, size_t head_n, size_t a, size_t b)
{
	return buf_reserve(ops, head_n + a + b);
}

static char *
put_bytes(char *p, struct str s)
{
	if (s.n)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

enum status
record_put(struct buf *ops, struct str key, struct str value)
{
	char *p = op_room(ops, 7, key.n, value.n);

	if (!p)
		return ST_LIMIT;
	p[0] = RECORD_PUT;
	le16_put(p + 1, (uint16_t)key.n);
	le32_put(p + 3, (uint32_t)value.n);
	(void)put_bytes(put_bytes(p + 7, key), value);
	buf_commit(ops, 7 + key.n + value.n);
	return ST_OK;
}

enum status
record_del(struct buf *ops, struct str key)
{
	char *p = op_room(ops, 3, key.n, 0);

	if (!p)
		return ST_LIMIT;
	p[0] = RECORD_DEL;
	le16_put(p + 1, (uint16_t)key.n);
	(void)put_bytes(p + 3, key);
	buf_commit(ops, 3 + key.n);
	return ST_OK;
}

enum status
record_splice(struct buf *ops, struct str key, uint32_t off, struct str bytes)
{
	char *p = op_room(ops, 11, key.n, bytes.n);

	if (!p)
		return ST_LIMIT;
	p[0] = RECORD_SPLICE;
	le16_put(p + 1, (uint16_t)key.n);
	le32_put(p + 3, (uint32_t)bytes.n);
	le32_put(p + 7, off);
	(void)put_bytes(put_bytes(p + 11, key), bytes);
	buf_commit(ops, 11 + key.n + bytes.n);
	return ST_OK;
}

enum status
record_blob(struct buf *ops, uint64_t id, uint32_t size, uint32_t crc)
{
	char *p = op_room(ops, 17, 0, 0);

	if (!p)
		return ST_LIMIT;
	p[0] = RECORD_BLOB;
	le64_put(p + 1, id);
	le32_put(p + 9, size);
	le32_put(p + 13, crc);
	buf_commit(ops, 17);
	return ST_OK;
}

enum status
record_staged(struct buf *ops, uint64_t id, uint32_t size, uint32_t crc, uint64_t file)
{
	char *p = op_room(ops, 25, 0, 0);

	if (!p)
		return ST_LIMIT;
	p[0] = RECORD_STAGED;
	le64_put(p + 1, id);
	le32_put(p + 9, size);
	le32_put(p + 13, crc);
	le64_put(p + 17, file);
	buf_commit(ops, 25);
	return ST_OK;
}

enum status
record_ref(struct buf *ops, uint64_t id, int32_t by)
{
	char *p = op_room(ops, 13, 0, 0);

	if (!p)
		return ST_LIMIT;
	p[0] = RECORD_REF;
	le64_put(p + 1, id);
	le32_put(p + 9, (uint32_t)by);
	buf_commit(ops, 13);
	return ST_OK;
}

void
record_header(uint8_t out[RECORD_HEADER_BYTES], size_t blobs_n, size_t ops_n, uint32_t ops)
{
	memcpy(out, "PHR1", 4);
	le32_put(out + 4, (uint32_t)blobs_n);
	le32_put(out + 8, (uint32_t)ops_n);
	le32_put(out + 12, ops);
}

static bool
take_key(struct cur *c, uint16_t n, struct str *out)
{
	return n > 0 && n <= STORE_KEY_BYTES_MAX && cur_take(c, n, out);
}

static bool
take_put(struct cur *c, struct record_op *op)
{
	uint16_t key_n;
	uint32_t n;

	return cur_le16(c, &key_n) && cur_le32(c, &n) && n <= STORE_VALUE_BYTES_MAX &&
	       take_key(c, key_n, &op->key) && cur_take(c, n, &op->value);
}

static bool
take_splice(struct cur *c, struct record_op *op)
{
	uint16_t key_n;
	uint32_t n;

	return cur_le16(c, &key_n) && cur_le32(c, &n) && cur_le32(c, &op->off) &&
	       op->off <= STORE_VALUE_BYTES_MAX && n <= STORE_VALUE_BYTES_MAX - op->off &&
	       take_key(c, key_n, &op->key) && cur_take(c, n, &op->value);
}

/* The part that inline and staged blobs have in common. */
static bool
take_blob(struct record *r, struct cur *c, uint32_t size_max, struct record_op *op)
{
	if (!cur_le64(c, &op->id) || !cur_le32(c, &op->size) || !cur_le32(c, &op->crc))
		return false;
	if (op->id < r->id_min || op->id == UINT64_MAX || op->size > size_max)
		return false;
	r->id_min = op->id + 1;
	return true;
}

static bool
take_inline(struct record *r, struct cur *c, struct record_op *op)
{
	if (!take_blob(r, c, STORE_BLOB_INLINE_MAX, op) || op->size > r->blob_end - r->blob_off)
		return false;
	op->off = r->blob_off;
	r->blob_off += op->size;
	return true;
}

static bool
take_ref(struct cur *c, struct record_op *op)
{
	uint32_t by;

	if (!cur_le64(c, &op->id) || !cur_le32(c, &by) || op->id == 0)
		return false;
	op->by = (int32_t)by;
	return true;
}

static bool
take_op(struct record *r, struct cur *c, uint8_t kind, struct record_op *op)
{
	uint16_t key_n;

	switch (kind) {
	case RECORD_PUT:
		return take_put(c, op);
	case RECORD_DEL:
		return cur_le16(c, &key_n) && take_key(c, key_n, &op->key);
	case RECORD_SPLICE:
		return take_splice(c, op);
	case RECORD_BLOB:
		return take_inline(r, c, op);
	case RECORD_STAGED:
		return take_blob(r, c, STORE_BLOB_BYTES_MAX, op) && cur_le64(c, &op->file);
	case RECORD_REF:
		return take_ref(c, op);
	default:
		return false;
	}
}

enum status
record_next(struct record *r, struct record_op *out)
{
	uint8_t kind;

	memset(out, 0, sizeof(*out));
	if (r->ops_left == 0)
		return cur_at_end(&r->ops) && r->blob_off == r->blob_end ? ST_EOF : ST_SYNTAX;
	if (!cur_u8(&r->ops, &kind) || !take_op(r, &r->ops, kind, out))
		return ST_SYNTAX;
	out->kind = (enum record_kind)kind;
	r->ops_left--;
	return ST_OK;
}

static enum status
header_open(struct str bytes, struct record *out, const char **what_out)
{
	struct cur c = cur_of(bytes);
	uint32_t blobs_n, ops_n, ops;

	*what_out = "not a transaction record";
	if (bytes.n > RECORD_BYTES_MAX || !cur_lit(&c, "PHR"))
		return ST_SYNTAX;
	*what_out = "written by another version of the store";
	if (!cur_char(&c, '1'))
		return ST_UNSUPPORTED;
	*what_out = "header does not fit the record's length";
	if (!cur_le32(&c, &blobs_n) || !cur_le32(&c, &ops_n) || !cur_le32(&c, &ops))
		return ST_SYNTAX;
	if (blobs_n > cur_left(&c) || ops_n != cur_left(&c) - blobs_n || ops > STORE_TXN_OPS_MAX)
		return ST_SYNTAX;
	cur_skip(&c, blobs_n);
	*out = (struct record){.ops = c,
	    .ops_left = ops,
	    .blob_off = RECORD_HEADER_BYTES,
	    .blob_end = RECORD_HEADER_BYTES + blobs_n,
	    .id_min = 1};
	return ST_OK;
}

enum status
record_open(struct str bytes, struct record *out, const char **what_out)
{
	struct record walk;
	struct record_op op;
	enum status st = header_open(bytes, out, what_out);

	if (st != ST_OK)
		return st;
	walk = *out;
	while ((st = record_next(&walk, &op)) == ST_OK)
		;
	*what_out = st == ST_EOF ? "" : "an operation is malformed";
	return st == ST_EOF ? ST_OK : st;
}
