#include "flow/queue/backoff.h"

uint64_t
backoff_next_ms(uint32_t attempts, uint64_t first_ms, uint64_t max_ms, uint64_t rnd)
{
	uint64_t wait_ms = first_ms < max_ms ? first_ms : max_ms;

	for (uint32_t i = 1; i < attempts && wait_ms > 0 && wait_ms < max_ms; i++)
		wait_ms = wait_ms > max_ms / 2 ? max_ms : wait_ms * 2;
	return wait_ms - wait_ms / 8 + rnd % (wait_ms / 8 * 2 + 1);
}

uint64_t
backoff_due_ms(uint64_t now_ms, uint32_t attempts, uint64_t expires_ms, uint64_t rnd)
{
	uint64_t last_ms = expires_ms > BACKOFF_LAST_MS ? expires_ms - BACKOFF_LAST_MS : 0;
	uint64_t wait_ms = backoff_next_ms(attempts, BACKOFF_FIRST_MS, BACKOFF_MAX_MS, rnd);

	if (last_ms <= now_ms)
		return 0;
	return wait_ms < last_ms - now_ms ? now_ms + wait_ms : last_ms;
}
