#include <stdio.h>
#include <stdlib.h>

#include "base/rnd.h"
#include "base/unit.h"
#include "flow/queue/schedule_model.h"

#define RUNS 200
#define CALLS 600

static uint64_t seed_first;

static uint64_t
prng_source(void *arg, uint64_t n)
{
	return prng_below(arg, n);
}

static void
agrees_with_the_model(void)
{
	for (uint64_t seed = seed_first; seed < seed_first + RUNS; seed++) {
		struct prng r;
		struct model_source source = {prng_source, &r};
		bool agrees;

		prng_init(&r, seed);
		agrees = schedule_model_run(&source, CALLS);
		EXPECT(agrees);
		if (!agrees) {
			fprintf(
			    stderr, "again: test_schedule_model %llu\n", (unsigned long long)seed);
			return;
		}
	}
}

/* test_schedule_model [seed]: without one, 200 fixed seeds and 200 new ones. */
int
main(int argc, char **argv)
{
	if (argc > 1 && str_to_u64(str_of_c(argv[1]), &seed_first) != ST_OK)
		return 2;
	UNIT(agrees_with_the_model);
	if (argc == 1) {
		seed_first = rnd_u64() >> 1;
		printf("new seeds from %llu\n", (unsigned long long)seed_first);
		UNIT(agrees_with_the_model);
	}
	return unit_end();
}
