/*
 * struct cur: the only way to parse bytes from outside. p <= end always; no function reads past end.
 * Functions that take something return false and leave the cursor where it was when it is not there.
 * Copy a cursor to look ahead, assign the copy back to accept.
 */
#ifndef POSTHORN_BASE_CUR_H
#define POSTHORN_BASE_CUR_H

#include "base/check.h"
#include "base/str.h"

struct cur {
	const char *p;
	const char *end;
};

/* Never holds NULL, so that even moving by nothing is defined. */
static inline struct cur
cur_of(struct str s)
{
	const char *p = s.p ? s.p : "";

	return (struct cur){p, p + s.n};
}

static inline size_t
cur_left(const struct cur *c)
{
	CHECK(c->p <= c->end);
	return (size_t)(c->end - c->p);
}

static inline bool
cur_at_end(const struct cur *c)
{
	return c->p == c->end;
}

/* The next byte as 0..255, or -1 at the end. */
static inline int
cur_peek(const struct cur *c)
{
	return c->p < c->end ? (unsigned char)*c->p : -1;
}

/* All that is left, borrowed. */
static inline struct str
cur_rest(const struct cur *c)
{
	return (struct str){c->p, cur_left(c)};
}

/* Clamped to the end. */
static inline void
cur_skip(struct cur *c, size_t n)
{
	size_t left = cur_left(c);
	c->p += n < left ? n : left;
}

static inline bool
cur_char(struct cur *c, char want)
{
	if (c->p < c->end && *c->p == want) {
		c->p++;
		return true;
	}
	return false;
}

bool cur_lit(struct cur *c, const char *literal);
bool cur_lit_ci(struct cur *c, const char *literal);
/* Exactly n bytes. */
bool cur_take(struct cur *c, size_t n, struct str *out);
/* Up to (without) the first stop; false when there is none within max bytes. Does not take the stop. */
bool cur_take_until(struct cur *c, char stop, size_t max, struct str *out);
/* The longest run (maybe empty) of bytes for which ok() holds. */
struct str cur_take_while(struct cur *c, bool (*ok)(char));
/* A line without its CRLF; only CRLF ends a line. False when no CRLF is in sight. */
bool cur_take_line(struct cur *c, struct str *out);
/* 1..20 digits that fit; takes all digits there are. */
bool cur_u64(struct cur *c, uint64_t *out);
/* Skips SP and HTAB, returns how many. */
size_t cur_skip_wsp(struct cur *c);

/* Binary, little-endian. */
bool cur_u8(struct cur *c, uint8_t *out);
bool cur_le16(struct cur *c, uint16_t *out);
bool cur_le32(struct cur *c, uint32_t *out);
bool cur_le64(struct cur *c, uint64_t *out);
/* A string behind its u16 length. */
bool cur_str16(struct cur *c, struct str *out);

#endif
