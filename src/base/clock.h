/*
 * Time behind an interface: nobody below roles/ asks the system what time it is.
 *
 * Two times: mono_ms never jumps (timeouts, rates), wall_ms is UTC since 1970 (dates people see).
 * A fake clock is advanced by tests and the simulator.
 */
#ifndef POSTHORN_BASE_CLOCK_H
#define POSTHORN_BASE_CLOCK_H

#include <stdint.h>

struct clock {
	/* NULL: the system's clocks. Otherwise a fake clock that stands at these values. */
	uint64_t (*mono_ms)(const struct clock *c);
	uint64_t (*wall_ms)(const struct clock *c);
	uint64_t fake_mono_ms;
	uint64_t fake_wall_ms;
};

void clock_init_system(struct clock *c);
void clock_init_fake(struct clock *c, uint64_t wall_ms);
void clock_advance(struct clock *c, uint64_t ms);

static inline uint64_t
clock_mono_ms(const struct clock *c)
{
	return c->mono_ms(c);
}

static inline uint64_t
clock_wall_ms(const struct clock *c)
{
	return c->wall_ms(c);
}

#endif
