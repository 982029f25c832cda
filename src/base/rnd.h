/* Random numbers: from the system (getrandom; aborts when there are none), and a seeded generator for simulations only. */
#ifndef POSTHORN_BASE_RND_H
#define POSTHORN_BASE_RND_H

#include <stddef.h>
#include <stdint.h>

void rnd_bytes(void *p, size_t n);
uint64_t rnd_u64(void);

/* Not for secrets. */
struct prng {
	uint64_t s[4];
};

void prng_init(struct prng *r, uint64_t seed);
uint64_t prng_u64(struct prng *r);
/* In 0..n-1 (the bias of the modulus is far below what a simulation could notice); n > 0. */
uint64_t prng_below(struct prng *r, uint64_t n);

#endif
