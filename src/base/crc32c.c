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

__attribute__((target("sse4.2"))) static uint32_t
crc32c_hard(uint32_t crc, const unsigned char *p, size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; p += 8, n -= 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		c = _mm_crc32_u64(c, v);
	}
	for (; n > 0; p++, n--)
		c = _mm_crc32_u8((uint32_t)c, *p);
	return (uint32_t)c;
}

static bool
has_hard(void)
{
	return __builtin_cpu_supports("sse4.2");
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
