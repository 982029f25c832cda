/*
 * The queue's schedule: which message goes to which destination next, and when.
 *
 * An entry is one message for one destination (a domain, or a smart host's route): the recipients
 * there that are due together. Entries wait until they are due, start one at a time as the
 * destination and the whole allow it, and are done: gone, or waiting again. Pure and in memory;
 * what it holds is built anew from the store at start. All times are of one clock, given by the
 * caller (any that does not run backwards; one that does delays, it loses nothing).
 *
 * Who goes next: destinations with something due take turns. Within one the higher MT-PRIORITY
 * (RFC 6710) goes first, but a level is worth no more than priority_step_ms of waiting, so that a
 * low one never starves; then what has been due longer; then the smaller message id.
 *
 * How much at once: a destination starts with limit_first transactions, may have one more after as
 * many successes as it may have now, up to limit_max, and half as many after a failure, at least
 * one. After dead_after failures without a success between them it is dead: nothing is picked for
 * it until a time (dead_first_ms, doubling up to dead_max_ms), then one entry is, to probe. One
 * success, and it lives.
 *
 * Cost: adding, picking, changing and ending an entry O(log n) at worst, whatever the number of
 * dead destinations; 64 bytes an entry and about 250 a destination. Memory goes back when the last
 * entry does. An entry's id is never given twice (to be exact: not within 2^32 entries), so that a
 * late answer finds nothing.
 */
#ifndef POSTHORN_FLOW_QUEUE_SCHEDULE_H
#define POSTHORN_FLOW_QUEUE_SCHEDULE_H

#include "base/str.h"
#include "flow/queue/limits.h"

struct schedule;

struct schedule_options {
	uint32_t running_max;		 /* of all destinations together */
	uint32_t limit_first, limit_max; /* of one destination */
	uint32_t dead_after;		 /* failures in a row */
	uint64_t dead_first_ms, dead_max_ms;
	uint64_t priority_step_ms;
	uint32_t entries_max;	   /* at most SCHEDULE_ENTRIES_MAX */
	uint64_t memory_bytes_max; /* of the whole schedule */
};

/* 500; 5, 20; 10; 1 min, 30 min; 10 min; SCHEDULE_ENTRIES_MAX; 4 GiB. */
extern const struct schedule_options SCHEDULE_DEFAULTS;

struct schedule_entry_in {
	uint64_t message;	/* queue id */
	struct str destination; /* normalised domain, "[1.2.3.4]" or a route's name; borrowed */
	uint32_t rcpts_n;
	uint32_t bytes;
	uint64_t due_ms;
	int8_t priority; /* outside -9..9 counts as the nearer end */
	bool is_held;
	uint32_t attempts; /* made before */
};

struct schedule_pick {
	uint64_t entry, message;
	struct str destination; /* borrows from the schedule, until the entry is done */
	uint32_t rcpts_n;
	uint32_t attempts; /* before this one */
};

enum schedule_outcome {
	SCHEDULE_SENT,		     /* the peer took or refused it: the destination works */
	SCHEDULE_FAILED_DESTINATION, /* no connection, a 4xx greeting, a connection lost */
	SCHEDULE_DEFERRED_MESSAGE,   /* the destination works, this message waits */
};

struct schedule *schedule_new(const struct schedule_options *o);
void schedule_free(struct schedule **s);

/* Copies the destination. 0, and nothing changed: entries_max or memory_bytes_max reached, or a
 * destination that is empty or longer than SCHEDULE_DESTINATION_BYTES_MAX. */
uint64_t schedule_add(struct schedule *s, const struct schedule_entry_in *e);
/* The next entry that may start now; it runs until schedule_done. False: none may. */
bool schedule_next(struct schedule *s, uint64_t now_ms, struct schedule_pick *out);
/* next_due_ms 0: the entry is gone. False, and nothing changed: no such entry, or it does not run.
 */
bool schedule_done(struct schedule *s, uint64_t entry, uint64_t now_ms,
    enum schedule_outcome outcome, uint64_t next_due_ms);
/* When schedule_next may find something if nothing else is called before; a time that has passed:
 * at once. UINT64_MAX: only after a call that changes something (what is blocked by a concurrency
 * limit waits for schedule_done). */
uint64_t schedule_wake_ms(const struct schedule *s);

/*
 * By an administrator's word. ST_NOTFOUND: no such entry. An entry that runs is not interrupted:
 * hold and release count when it is done, remove lets it go then whatever next_due_ms says, retry
 * and reschedule are ST_CONFLICT. A held entry stays held by retry and reschedule.
 */
enum status schedule_hold(struct schedule *s, uint64_t entry) MUST_USE;
enum status schedule_release(struct schedule *s, uint64_t entry) MUST_USE;
/* Due now; a dead destination may be probed now. */
enum status schedule_retry(struct schedule *s, uint64_t entry, uint64_t now_ms) MUST_USE;
enum status schedule_reschedule(struct schedule *s, uint64_t entry, uint64_t due_ms) MUST_USE;
enum status schedule_remove(struct schedule *s, uint64_t entry) MUST_USE;

struct schedule_entry {
	uint64_t entry, message;
	struct str destination; /* borrows from the schedule, until the entry is gone */
	uint32_t rcpts_n, bytes, attempts;
	uint64_t due_ms;
	int8_t priority;
	bool is_held, is_running;
};

bool schedule_get(const struct schedule *s, uint64_t entry, struct schedule_entry *out);

/* Each entry of a destination, in no order, until fn says false. fn may change or remove the entry
 * it is given, and no other. */
void schedule_each_of_destination(struct schedule *s, struct str destination,
    bool (*fn)(void *arg, const struct schedule_entry *e), void *arg);

enum schedule_reason {
	SCHEDULE_RUNNING,
	SCHEDULE_HELD,
	SCHEDULE_DUE_LATER,	   /* at due_ms */
	SCHEDULE_DESTINATION_DEAD, /* until until_ms, after `failures`; is_probing: being tried now
				    */
	SCHEDULE_DESTINATION_BUSY, /* `running` of `limit` */
	SCHEDULE_GLOBAL_LIMIT,	   /* `running` of `limit`, of all destinations */
	SCHEDULE_DUE_NOW,	   /* its turn comes */
};

/* The first reason in the order above that keeps an entry from starting. due_ms and failures are
 * always told, until_ms and is_probing of every dead destination (else 0), running and limit are
 * the destination's but for SCHEDULE_GLOBAL_LIMIT. */
struct schedule_why {
	enum schedule_reason reason;
	uint64_t due_ms, until_ms;
	uint32_t running, limit, failures;
	bool is_probing;
};

bool schedule_why(
    const struct schedule *s, uint64_t entry, uint64_t now_ms, struct schedule_why *out);

/* A limit_max of its own for a destination (a smart host); stays while it has no entries. 0: the
 * common one again. False: too many have one, no memory, or a name as schedule_add refuses it. */
bool schedule_destination_limit(struct schedule *s, struct str destination, uint32_t limit_max);

struct schedule_destination {
	struct str name; /* borrowed */
	uint32_t entries_n, running_n, limit, failures;
	bool is_dead;
	uint64_t dead_until_ms; /* of a dead one; when it has passed, a probe may start or runs */
};

/* What is known about a destination; false: nothing. */
bool schedule_destination_get(
    const struct schedule *s, struct str destination, struct schedule_destination *out);
/* Each destination that has entries, in no order, until fn says false. fn changes nothing. */
void schedule_each_destination(const struct schedule *s,
    bool (*fn)(void *arg, const struct schedule_destination *d), void *arg);

struct schedule_stats {
	uint32_t entries_n;
	uint32_t due_n; /* due at now_ms, neither held nor running */
	uint32_t running_n;
	uint32_t held_n;	 /* not counting those that still run */
	uint32_t destinations_n; /* with entries */
	uint32_t dead_n;	 /* of these */
	uint64_t memory_bytes;
};

/* Reads every entry to count the due ones: some 10 ms per million. */
void schedule_stats(const struct schedule *s, uint64_t now_ms, struct schedule_stats *out);

#endif
