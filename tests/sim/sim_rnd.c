/*
 * Random numbers of the roles: base/rnd.h asks the system, and must not be able to do anything
 * else. So the linker puts these in its place (--wrap), in this program alone.
 */
#include "base/rnd.h"
#include "sim.h"

static struct prng numbers;

void __wrap_rnd_bytes(void *p, size_t n);
uint64_t __wrap_rnd_u64(void);

void
sim_rnd_seed(uint64_t seed)
{
	prng_init(&numbers, seed);
}

void
__wrap_rnd_bytes(void *p, size_t n)
{
	uint8_t *q = p;

	for (size_t i = 0; i < n; i++)
		q[i] = (uint8_t)prng_u64(&numbers);
}

uint64_t
__wrap_rnd_u64(void)
{
	return prng_u64(&numbers);
}
