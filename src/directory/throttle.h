/*
 * Guessing passwords must not pay: who failed waits, twice as long each time.
 *
 * Failures are counted per pair of (network the client comes from, login name) and, with more
 * patience, per network for all names together, so that neither many passwords for one name nor one
 * password for many names goes fast. Nothing is counted per name alone: a stranger must not be able
 * to lock the owner out. The caller makes the network from the address (say, /24 and /64) and
 * leaves exempt networks out. Pure: times are a monotonic clock's, given.
 *
 * A table of fixed size (24 bytes an entry): 8 places per hash; when they are taken, the one with
 * the fewest failures, then the oldest, makes room.
 */
#ifndef POSTHORN_DIRECTORY_THROTTLE_H
#define POSTHORN_DIRECTORY_THROTTLE_H

#include "base/str.h"

struct throttle_options {
	uint32_t entries_n;	 /* rounded up to a power of two, at least 8, at most 2^24 */
	uint32_t free_failures;	 /* of a pair that cost no delay: people mistype */
	uint32_t network_factor; /* a network has that many times as many free ones */
	uint64_t delay_first_ms; /* after the first failure that counts; doubles with every further
				    one */
	uint64_t delay_max_ms;
	uint64_t window_ms; /* after so long without a failure all is forgotten */
};

/* 65,536 entries (1.5 MB), 3 free failures, a factor of 10, 1 s up to 15 min, an hour. */
extern const struct throttle_options THROTTLE_DEFAULTS;

struct throttle;

struct throttle *throttle_new(const struct throttle_options *o);
void throttle_free(struct throttle **t);
/* How long from now until an attempt may be made; 0: at once. Do not check the password before. */
uint64_t throttle_wait_ms(
    const struct throttle *t, uint64_t now_ms, struct str network, struct str login);
void throttle_failure(struct throttle *t, uint64_t now_ms, struct str network, struct str login);
/* The pair is forgotten; the network's count stays, or one own account would pay for guessing the
 * others. */
void throttle_success(struct throttle *t, struct str network, struct str login);

#endif
