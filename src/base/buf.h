/*
 * struct buf: owned, growing bytes with a mandatory maximum.
 *
 * A buf starts without memory; memory at most doubles and never exceeds max (so peak is < 3 * max
 * while growing). Appending past max appends nothing, sets `full` and returns ST_LIMIT: a writer of
 * many pieces may ignore the single results and look at buf.full once at the end. Real out of
 * memory aborts the role (the parent restarts it).
 */
#ifndef POSTHORN_BASE_BUF_H
#define POSTHORN_BASE_BUF_H

#include <stdarg.h>

#include "base/str.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max;
	bool full;	/* an append was refused since the last reset */
};

void buf_init(struct buf *b, size_t bytes_max);
/* Frees the memory; the buf may be used again with the same maximum. */
void buf_fini(struct buf *b);
/* Empties, keeps the memory. */
void buf_reset(struct buf *b);

enum status buf_put(struct buf *b, struct str s);
enum status buf_put_c(struct buf *b, char c);
enum status buf_put_u64(struct buf *b, uint64_t v);
/* Little-endian numbers, and a string of up to 65,535 bytes behind its u16 length (ST_LIMIT beyond): what cur_le16 and its like read back. */
enum status buf_put_le16(struct buf *b, uint16_t v);
enum status buf_put_le32(struct buf *b, uint32_t v);
enum status buf_put_le64(struct buf *b, uint64_t v);
enum status buf_put_str16(struct buf *b, struct str s);
enum status buf_putf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum status buf_putv(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/*
 * Room for n more bytes: returns where they go (write, then buf_commit what was written),
 * NULL when that would exceed the maximum.
 */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
/* Drop n bytes at the front (moves the rest). */
void buf_consume(struct buf *b, size_t n);
/* Gives memory beyond what is used back to the system; an empty buf then owns nothing. */
void buf_shrink(struct buf *b);

/* Borrowed view; ends with the next change of b. */
static inline struct str
buf_str(const struct buf *b)
{
	return (struct str){b->p, b->n};
}

#endif
