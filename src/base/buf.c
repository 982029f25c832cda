#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"

enum { BUF_FIRST_BYTES = 64 };

void
buf_init(struct buf *b, size_t bytes_max)
{
	CHECK(bytes_max > 0);
	*b = (struct buf){.max = bytes_max};
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){.max = b->max};
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->full = false;
}

static void
buf_resize(struct buf *b, size_t cap)
{
	char *p = realloc(b->p, cap);

	CHECK(p != NULL);
	b->p = p;
	b->cap = cap;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	size_t want, cap;

	CHECK(b->n <= b->cap && b->max > 0);
	if (!add_ok(b->n, n, &want) || want > b->max) {
		b->full = true;
		return NULL;
	}
	if (want > b->cap || b->p == NULL) {
		cap = size_max(size_max(b->cap * 2, want), BUF_FIRST_BYTES);
		buf_resize(b, size_max(size_min(cap, b->max), 1));
	}
	return b->p + b->n;
}

void
buf_commit(struct buf *b, size_t n)
{
	CHECK(n <= b->cap - b->n);
	b->n += n;
}

enum status
buf_put(struct buf *b, struct str s)
{
	char *p;

	if (s.n == 0)
		return ST_OK;
	p = buf_reserve(b, s.n);
	if (p == NULL)
		return ST_LIMIT;
	memcpy(p, s.p, s.n);
	b->n += s.n;
	return ST_OK;
}

enum status
buf_put_c(struct buf *b, char c)
{
	return buf_put(b, str_of(&c, 1));
}

enum status
buf_put_le16(struct buf *b, uint16_t v)
{
	char p[2];

	le16_put(p, v);
	return buf_put(b, str_of(p, sizeof(p)));
}

enum status
buf_put_le32(struct buf *b, uint32_t v)
{
	char p[4];

	le32_put(p, v);
	return buf_put(b, str_of(p, sizeof(p)));
}

enum status
buf_put_le64(struct buf *b, uint64_t v)
{
	char p[8];

	le64_put(p, v);
	return buf_put(b, str_of(p, sizeof(p)));
}

enum status
buf_put_str16(struct buf *b, struct str s)
{
	enum status st;

	if (s.n > UINT16_MAX) {
		b->full = true;
		return ST_LIMIT;
	}
	st = buf_put_le16(b, (uint16_t)s.n);
	return st == ST_OK ? buf_put(b, s) : st;
}

enum status
buf_put_u64(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	return buf_put(b, str_of(digits + i, sizeof(digits) - i));
}

enum status
buf_putv(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *p;
	int n;

	va_copy(again, ap);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): va_copy has begun it. */
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	CHECK(n >= 0);
	/* vsnprintf wants room for the NUL it ends with, which is not ours to keep. */
	p = malloc((size_t)n + 1);
	CHECK(p != NULL);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	enum status st = buf_put(b, str_of(p, (size_t)n));
	free(p);
	return st;
}

enum status
buf_putf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	enum status st;

	va_start(ap, fmt);
	st = buf_putv(b, fmt, ap);
	va_end(ap);
	return st;
}

void
buf_consume(struct buf *b, size_t n)
{
	CHECK(n <= b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

void
buf_shrink(struct buf *b)
{
	if (b->n == 0) {
		free(b->p);
		b->p = NULL;
		b->cap = 0;
	} else if (b->cap - b->n > BUF_FIRST_BYTES) {
		buf_resize(b, b->n);
	}
}
