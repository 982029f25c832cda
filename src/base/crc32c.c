#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

static uint32_t
crc32c_soft(uint32_t crc, const unsigned char *p, size_t n)
{
	/* Four bits at a time, from a table that is there from the start: the store has threads. */
	static const uint32_t table[16] = {0x00000000u, 0x105ec76fu, 0x20bd8edeu, 0x30e349b1u,
	    0x417b1dbcu, 0x5125dad3u, 0x61c69362u, 0x7198540du, 0x82f63b78u, 0x92a8fc17u,
	    0xa24bb5a6u, 0xb21572c9u, 0xc38d26c4u, 0xd3d3e1abu, 0xe330a81au, 0xf36e6f75u};

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>

/*
 * The instruction takes 8 bytes a cycle but answers after three, so three blocks beside each other run three times as fast as
 * one. Their sums become one by moving the first two over the blocks that follow: c * x^(8 * bytes) modulo the polynomial. A
 * carry-less product of reflected numbers stands one bit too low and crc32(0, v) is v * x^32, hence the constants are
 * x^(8 * bytes - 33), reflected.
 */
enum { BLOCK_BYTES = 512 };
#define OVER_ONE_BLOCK 0xdd7e3b0cu
#define OVER_TWO_BLOCKS 0x170076fau

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t
crc_move(uint64_t crc, uint32_t over)
{
	__m128i product = _mm_clmulepi64_si128(
	    _mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128((long long)over), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

static inline uint64_t
load_u64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t
crc32c_hard(uint32_t crc, const unsigned char *p, size_t n)
{
	uint64_t c = crc;

	for (; n >= 3 * BLOCK_BYTES; p += 3 * BLOCK_BYTES, n -= 3 * BLOCK_BYTES) {
		uint64_t second = 0, third = 0;
		for (size_t i = 0; i < BLOCK_BYTES; i += 8) {
			c = _mm_crc32_u64(c, load_u64(p + i));
			second = _mm_crc32_u64(second, load_u64(p + BLOCK_BYTES + i));
			third = _mm_crc32_u64(third, load_u64(p + 2 * BLOCK_BYTES + i));
		}
		c = crc_move(c, OVER_TWO_BLOCKS) ^ crc_move(second, OVER_ONE_BLOCK) ^ third;
	}
	for (; n >= 8; p += 8, n -= 8)
		c = _mm_crc32_u64(c, load_u64(p));
	for (; n > 0; p++, n--)
		c = _mm_crc32_u8((uint32_t)c, *p);
	return (uint32_t)c;
}

static bool
has_hard(void)
{
	return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}
#else
#define crc32c_hard crc32c_soft

static bool
has_hard(void)
{
	return false;
}
#endif

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
	crc = ~crc;
	crc = has_hard() ? crc32c_hard(crc, p, n) : crc32c_soft(crc, p, n);
	return ~crc;
}

uint32_t
crc32c_portable(uint32_t crc, const void *p, size_t n)
{
	return ~crc32c_soft(~crc, p, n);
}
