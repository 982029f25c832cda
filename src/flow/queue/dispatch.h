/*
 * The dispatch: from what waits (schedule.h) to jobs of relay processes and back to results that the store has.
 *
 *	store: QUEUE_ENTRY ─▶ entries ─▶ job ─RELAY─▶ relay ─RELAY_DONE─▶ job ─QUEUE_RESULT─▶ store ─QUEUE_RESULT_ANSWER─▶ entry again, or gone
 *
 * A job ends only when the store has its result, so nothing is tried twice because an answer is still on its way; and what a relay has said is kept
 * here while the store is away, and told first of all when it comes back: only when this process dies too is it lost. Then the message goes
 * out a second time; that window, from the other server's 250 to the store's sync, is the only one.
 *
 * Knows records and the loop's clock; lines and settings are its owner's.
 */
#ifndef POSTHORN_FLOW_QUEUE_DISPATCH_H
#define POSTHORN_FLOW_QUEUE_DISPATCH_H

#include "flow/queue/schedule.h"
#include "ipc/link.h"

#define DISPATCH_JOBS_MAX 20000
/* A result that the store could not take is told again after this. */
#define DISPATCH_AGAIN_MS 1000
/* A relay that dies loses its jobs; they are tried again after this, and nobody counts it as a try. */
#define DISPATCH_RELAY_LOST_MS 2000
/* To a relay process at once: others wait here, where their order can still change. */
#define DISPATCH_RELAY_JOBS_MAX 1000

struct dispatch;

struct dispatch_ops {
	struct link *(*store)(void *arg);
	/* A relay process that takes the n-th job; NULL: none is up. */
	struct link *(*relay)(void *arg, uint64_t n);
};

struct dispatch_settings {
	uint64_t first_ms, max_ms;	/* back-off */
	uint32_t running_max, destination_max;
};

/* loop, ops and arg are borrowed. */
struct dispatch *dispatch_new(struct loop *loop, const struct dispatch_ops *ops, void *arg);
void dispatch_free(struct dispatch **d);
/* running_max and destination_max count when called before the first entry. */
void dispatch_set(struct dispatch *d, const struct dispatch_settings *o);

/* Records from the store and from relays. False: malformed. */
bool dispatch_record(struct dispatch *d, struct link *from, enum record_type t, struct cur *c);
void dispatch_store_up(struct dispatch *d);
void dispatch_relay_up(struct dispatch *d);
void dispatch_relay_down(struct dispatch *d, uint16_t index);
/* No new jobs. */
void dispatch_stop(struct dispatch *d);

/* Why this message waits for each of its destinations: appends the members of a JSON object, destination -> sentence. */
void dispatch_why(struct dispatch *d, uint64_t message, struct buf *json);
/* Members of the status object. */
void dispatch_status(const struct dispatch *d, struct buf *json);

#endif
