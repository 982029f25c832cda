#include "ipc/records.h"

#include "base/num.h"

const char *
role_kind_name(enum role_kind k)
{
	static const char *const names[ROLE_KINDS] = {"parent", "smtpin", "access", "worker", "queue",
	    "store", "keys", "auth", "resolver", "relay", "command"};

	return (unsigned)k < ROLE_KINDS ? names[k] : "unknown";
}

static void
put_u8(struct buf *out, uint8_t v)
{
	(void)buf_put_c(out, (char)v);
}

static void
put_u16(struct buf *out, uint16_t v)
{
	char b[2];

	le16_put(b, v);
	(void)buf_put(out, str_of(b, sizeof(b)));
}

static void
put_u32(struct buf *out, uint32_t v)
{
	char b[4];

	le32_put(b, v);
	(void)buf_put(out, str_of(b, sizeof(b)));
}

static void
put_u64(struct buf *out, uint64_t v)
{
	char b[8];

	le64_put(b, v);
	(void)buf_put(out, str_of(b, sizeof(b)));
}

static void
put_str(struct buf *out, struct str s)
{
	put_u32(out, (uint32_t)s.n);
	(void)buf_put(out, s);
}

static bool
take_u8(struct cur *c, uint8_t *out)
{
	return cur_u8(c, out);
}

static bool
take_u16(struct cur *c, uint16_t *out)
{
	return cur_le16(c, out);
}

static bool
take_u32(struct cur *c, uint32_t *out)
{
	return cur_le32(c, out);
}

static bool
take_u64(struct cur *c, uint64_t *out)
{
	return cur_le64(c, out);
}

static bool
take_str(struct cur *c, struct str *out)
{
	uint32_t n;

	return cur_le32(c, &n) && cur_take(c, n, out);
}

/*
 * A frame: the header is written with its length once the fields are there. A record that does not fit
 * leaves out as it was.
 */
static size_t
frame_begin(struct buf *out, enum record_type t)
{
	size_t start = out->n;

	put_u32(out, 0);
	put_u16(out, (uint16_t)t);
	put_u16(out, RECORD_VERSION);
	return start;
}

static enum status
frame_end(struct buf *out, size_t start)
{
	if (out->full || out->n - start > RECORD_BYTES_MAX + RECORD_HEADER_BYTES) {
		out->n = start;
		return ST_LIMIT;
	}
	le32_put(out->p + start, (uint32_t)(out->n - start - RECORD_HEADER_BYTES));
	return ST_OK;
}

#define PUT_F(type, name) put_##type(out, r->name);
#define TAKE_F(type, name) \
	if (!take_##type(c, &r->name)) \
		return false;
#define R(NAME, name, from, to) \
	enum status rec_##name##_put(struct buf *out, const struct rec_##name *r) \
	{ \
		size_t start = frame_begin(out, REC_##NAME); \
		NAME##_FIELDS(PUT_F) \
		return frame_end(out, start); \
	} \
	bool rec_##name##_take(struct cur *c, struct rec_##name *r) \
	{ \
		NAME##_FIELDS(TAKE_F) \
		return cur_at_end(c); \
	}
RECORD_TABLE(R)
#undef R

static const struct {
	const char *name;
	unsigned from, to;
} rules[REC_TYPES] = {
#define R(NAME, lower, senders, receivers) [REC_##NAME] = {#NAME, senders, receivers},
    RECORD_TABLE(R)
#undef R
};

bool
record_is_allowed(enum record_type t, enum role_kind from, enum role_kind to)
{
	if (t <= REC_NONE || t >= REC_TYPES)
		return false;
	return (rules[t].from & 1u << from) != 0 && (rules[t].to & 1u << to) != 0;
}

const char *
record_type_name(enum record_type t)
{
	return t > REC_NONE && t < REC_TYPES ? rules[t].name : "NONE";
}
