#include "base/rnd.h"

#include <errno.h>
#include <sys/random.h>

#include "base/check.h"

void
rnd_bytes(void *p, size_t n)
{
	char *q = p;

	while (n > 0) {
		ssize_t got = getrandom(q, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		CHECK(got > 0);
		q += got;
		n -= (size_t)got;
	}
}

uint64_t
rnd_u64(void)
{
	uint64_t v;

	rnd_bytes(&v, sizeof(v));
	return v;
}

static uint64_t
rotl(uint64_t x, int k)
{
	return x << k | x >> (64 - k);
}

/* splitmix64 fills the state, xoshiro256** (Blackman, Vigna 2018) gives the numbers. */
void
prng_init(struct prng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += 0x9e3779b97f4a7c15u;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		r->s[i] = z ^ z >> 31;
	}
}

uint64_t
prng_u64(struct prng *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t
prng_below(struct prng *r, uint64_t n)
{
	CHECK(n > 0);
	return prng_u64(r) % n;
}
