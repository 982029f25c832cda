#include "base/clock.h"

#include <time.h>

#include "base/check.h"

static uint64_t
system_ms(clockid_t id)
{
	struct timespec t;

	CHECK(clock_gettime(id, &t) == 0);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t
system_mono_ms(const struct clock *c)
{
	(void)c;
	return system_ms(CLOCK_MONOTONIC);
}

static uint64_t
system_wall_ms(const struct clock *c)
{
	(void)c;
	return system_ms(CLOCK_REALTIME);
}

static uint64_t
fake_mono_ms(const struct clock *c)
{
	return c->fake_mono_ms;
}

static uint64_t
fake_wall_ms(const struct clock *c)
{
	return c->fake_wall_ms;
}

void
clock_init_system(struct clock *c)
{
	*c = (struct clock){.mono_ms = system_mono_ms, .wall_ms = system_wall_ms};
}

void
clock_init_fake(struct clock *c, uint64_t wall_ms)
{
	*c = (struct clock){
	    .mono_ms = fake_mono_ms, .wall_ms = fake_wall_ms, .fake_mono_ms = 1, .fake_wall_ms = wall_ms};
}

void
clock_advance(struct clock *c, uint64_t ms)
{
	CHECK(c->mono_ms == fake_mono_ms);
	c->fake_mono_ms += ms;
	c->fake_wall_ms += ms;
}
