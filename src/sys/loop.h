/*
 * The event loop: one thread, one loop per role. Level-triggered epoll, a heap of timers, and work
 * posted to run soon.
 *
 * - A registration is named by a generation-tagged id: an id kept too long finds nothing, it never
 *   finds somebody else's registration. Callbacks get the pointer they were registered with; removing
 *   a registration guarantees that its callback is not called again, also within the current turn.
 * - Order of a turn: due timers, ready descriptors (at most LOOP_READY_MAX per turn), virtual readiness,
 *   then everything posted with loop_post and lastly the `before_wait` hooks (batched writes go out there).
 * - What a callback adds to its own kind of work (a timer of no delay, a post from a post) waits for the next turn: no
 *   callback can keep a turn from ending.
 * - Changes of a wanted set are told to the kernel before the wait, and only when they are still changes then.
 * - A loop on a fake clock never sleeps: when nothing is ready it jumps to the next timer (at most wait_ms_max on); loop_run
 *   returns when nothing can come any more.
 * Memory: 40 bytes a registration, 56 a timer, from a table that grows; 16 million of all kinds at most.
 */
#ifndef POSTHORN_SYS_LOOP_H
#define POSTHORN_SYS_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"

#define LOOP_READY_MAX 256

struct loop;

enum loop_events { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_HUP = 4 };

struct loop_id {
	uint64_t v;	/* 0: none */
};

typedef void loop_fd_fn(void *arg, unsigned events);
typedef void loop_fn(void *arg);

/* clock is borrowed and must outlive the loop; a fake clock makes a simulated loop. */
struct loop *loop_new(struct clock *clock);
void loop_free(struct loop **l);
struct clock *loop_clock(struct loop *l);

/*
 * fd is borrowed; remove it before closing it. events: LOOP_READ | LOOP_WRITE (0 is allowed: only errors). LOOP_HUP is reported unasked
 * (error, or both directions ended) and comes again every turn until the registration is removed.
 */
struct loop_id loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn, void *arg);
void loop_fd_want(struct loop *l, struct loop_id id, unsigned events);
/* Also for virtual registrations. Sets *id to none; none and stale ids are fine. */
void loop_fd_del(struct loop *l, struct loop_id *id);

/* A registration without a descriptor, made ready by hand: simulated sockets. */
struct loop_id loop_virtual_add(struct loop *l, loop_fd_fn *fn, void *arg);
void loop_virtual_ready(struct loop *l, struct loop_id id, unsigned events);

/* One-shot. Rounds up: never fires early. */
struct loop_id loop_timer_add(struct loop *l, uint64_t delay_ms, loop_fn *fn, void *arg);
/* Moves a pending timer without a new id; false when it has fired or was removed. */
bool loop_timer_move(struct loop *l, struct loop_id id, uint64_t delay_ms);
void loop_timer_del(struct loop *l, struct loop_id *id);

/* Runs fn at the end of this turn (once). */
struct loop_id loop_post(struct loop *l, loop_fn *fn, void *arg);
void loop_post_del(struct loop *l, struct loop_id *id);
/* Runs before every wait; for links that gather what they send in a turn. */
void loop_before_wait_add(struct loop *l, loop_fn *fn, void *arg);
void loop_before_wait_del(struct loop *l, loop_fn *fn, void *arg);

/* For what lives once per loop (shared buffers): runs when the loop is freed. The loop still answers, but calls nothing else any more. */
void loop_at_free_add(struct loop *l, loop_fn *fn, void *arg);

/* One turn; waits at most wait_ms_max (-1: until something happens). False when nothing at all was done. */
bool loop_turn(struct loop *l, int wait_ms_max);
void loop_run(struct loop *l);	/* until loop_stop */
void loop_stop(struct loop *l);

#endif
