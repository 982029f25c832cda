/* Overflow-checked arithmetic on lengths that came from outside, and small helpers on numbers. */
#ifndef POSTHORN_BASE_NUM_H
#define POSTHORN_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* *out = a + b; false (and *out unspecified) when it does not fit a size_t. */
static inline bool
add_ok(size_t a, size_t b, size_t *out)
{
	return !__builtin_add_overflow(a, b, out);
}

static inline bool
mul_ok(size_t a, size_t b, size_t *out)
{
	return !__builtin_mul_overflow(a, b, out);
}

static inline size_t
size_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t
size_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* Little-endian loads and stores: the byte order of everything we keep on disk or send by IPC. */
static inline void
le16_put(void *p, uint16_t v)
{
	uint8_t *b = p;
	b[0] = (uint8_t)v;
	b[1] = (uint8_t)(v >> 8);
}

static inline void
le32_put(void *p, uint32_t v)
{
	uint8_t *b = p;
	for (int i = 0; i < 4; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}

static inline void
le64_put(void *p, uint64_t v)
{
	uint8_t *b = p;
	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}

static inline uint16_t
le16_get(const void *p)
{
	const uint8_t *b = p;
	return (uint16_t)(b[0] | b[1] << 8);
}

static inline uint32_t
le32_get(const void *p)
{
	const uint8_t *b = p;
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static inline uint64_t
le64_get(const void *p)
{
	return (uint64_t)le32_get(p) | (uint64_t)le32_get((const uint8_t *)p + 4) << 32;
}

/* Big-endian, for numbers inside keys: byte order then equals numeric order. */
static inline void
be32_put(void *p, uint32_t v)
{
	le32_put(p, __builtin_bswap32(v));
}

static inline void
be64_put(void *p, uint64_t v)
{
	le64_put(p, __builtin_bswap64(v));
}

static inline uint32_t
be32_get(const void *p)
{
	return __builtin_bswap32(le32_get(p));
}

static inline uint64_t
be64_get(const void *p)
{
	return __builtin_bswap64(le64_get(p));
}

#endif
