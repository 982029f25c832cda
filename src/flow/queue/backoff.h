/*
 * When to try again: 5 minutes after the first attempt, then twice as long each time, 2 hours at
 * the most (RFC 5321 4.5.4.1 asks for 30 minutes as a rule and for several attempts early on), each
 * time an eighth earlier or later so that what failed together does not come back together.
 */
#ifndef POSTHORN_FLOW_QUEUE_BACKOFF_H
#define POSTHORN_FLOW_QUEUE_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS (UINT64_C(5) * 60 * 1000)
#define BACKOFF_MAX_MS (UINT64_C(2) * 3600 * 1000)
/* The last attempt is made this long before a message expires. */
#define BACKOFF_LAST_MS (UINT64_C(60) * 1000)

/*
 * How long to wait after `attempts` failed attempts (0 counts as 1): first_ms doubled attempts - 1
 * times, at most max_ms, then 12.5 % less to 12.5 % more as rnd (any number) says.
 */
uint64_t backoff_next_ms(uint32_t attempts, uint64_t first_ms, uint64_t max_ms, uint64_t rnd);
/*
 * The moment of the next attempt by the defaults above. One that would come later than
 * BACKOFF_LAST_MS before expires_ms is made at that moment instead; 0 when that one is past too:
 * the message has had its last attempt.
 */
uint64_t backoff_due_ms(uint64_t now_ms, uint32_t attempts, uint64_t expires_ms, uint64_t rnd);

#endif
