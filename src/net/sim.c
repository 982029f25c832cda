#include "net/sim.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/num.h"
#include "base/rnd.h"

enum { SIM_CAPACITY_BYTES = 64 * 1024 };

struct sim_link;

/* One end, and the direction that leads to it. */
struct sim_end {
	struct sim_link *link;
	struct sim_end *other;
	struct buf bytes;	/* the first `arrived` of them can be read */
	size_t arrived;
	uint64_t arrived_ever, cut_bytes;
	struct loop_id watch, delivery;
	bool is_ended;		/* the other end writes no more */
	bool is_closed;		/* by its owner */
	bool is_full;		/* the writer was told ST_MORE and waits for room */
};

struct sim_link {
	struct loop *loop;
	struct sim_opts opts;
	struct prng r;
	bool is_reset;
	struct sim_end ends[2];
};

void
sim_pair(struct loop *l, const struct sim_opts *opts, struct sim_end **a_out, struct sim_end **b_out)
{
	struct sim_link *k = calloc(1, sizeof(*k));

	CHECK(k != NULL);
	k->loop = l;
	if (opts != NULL)
		k->opts = *opts;
	if (k->opts.capacity_bytes == 0)
		k->opts.capacity_bytes = SIM_CAPACITY_BYTES;
	prng_init(&k->r, k->opts.seed);
	for (int i = 0; i < 2; i++) {
		k->ends[i].link = k;
		k->ends[i].other = &k->ends[1 - i];
		buf_init(&k->ends[i].bytes, k->opts.capacity_bytes);
	}
	k->ends[0].cut_bytes = k->opts.cut_ba_bytes;
	k->ends[1].cut_bytes = k->opts.cut_ab_bytes;
	*a_out = &k->ends[0];
	*b_out = &k->ends[1];
}

static void
end_ready(struct sim_end *e, unsigned events)
{
	if (!e->is_closed)
		loop_virtual_ready(e->link->loop, e->watch, events);
}

void
sim_watch(struct sim_end *e, loop_fd_fn *fn, void *arg)
{
	loop_fd_del(e->link->loop, &e->watch);
	e->watch = loop_virtual_add(e->link->loop, fn, arg);
	/* What happened before somebody looked. */
	if (e->arrived > 0 || e->is_ended)
		end_ready(e, LOOP_READ);
	if (e->link->is_reset)
		end_ready(e, LOOP_HUP);
}

void
sim_reset(struct sim_end *e)
{
	struct sim_link *k = e->link;

	if (k->is_reset)
		return;
	k->is_reset = true;
	for (int i = 0; i < 2; i++) {
		loop_timer_del(k->loop, &k->ends[i].delivery);
		end_ready(&k->ends[i], LOOP_READ | LOOP_WRITE | LOOP_HUP);
	}
}

static void deliver(void *arg);

static void
delivery_plan(struct sim_end *e)
{
	struct sim_link *k = e->link;

	if (e->delivery.v != 0 || e->arrived == e->bytes.n || k->is_reset)
		return;
	if (k->opts.delay_ms_max == 0 && k->opts.piece_bytes_max == 0)
		deliver(e);
	else
		e->delivery = loop_timer_add(
		    k->loop, prng_below(&k->r, k->opts.delay_ms_max + 1), deliver, e);
}

static void
deliver(void *arg)
{
	struct sim_end *e = arg;
	struct sim_link *k = e->link;
	size_t n = e->bytes.n - e->arrived;

	e->delivery = (struct loop_id){0};
	if (k->opts.piece_bytes_max > 0)
		n = size_min(n, 1 + (size_t)prng_below(&k->r, k->opts.piece_bytes_max));
	if (e->cut_bytes > 0)
		n = size_min(n, (size_t)(e->cut_bytes - e->arrived_ever));
	e->arrived += n;
	e->arrived_ever += n;
	end_ready(e, LOOP_READ);
	if (e->cut_bytes > 0 && e->arrived_ever == e->cut_bytes)
		sim_reset(e);
	else
		delivery_plan(e);
}

enum status
sim_read(struct sim_end *e, void *p, size_t n, size_t *got_out)
{
	CHECK(!e->is_closed && n > 0);
	if (e->arrived == 0) {
		if (e->link->is_reset)
			return ST_IO;
		return e->is_ended && e->bytes.n == 0 ? ST_EOF : ST_MORE;
	}
	n = size_min(n, e->arrived);
	memcpy(p, e->bytes.p, n);
	buf_consume(&e->bytes, n);
	e->arrived -= n;
	*got_out = n;
	if (e->is_full) {
		e->is_full = false;
		end_ready(e->other, LOOP_WRITE);
	}
	/* The end behind the last byte is an event of its own, as with epoll. */
	if (e->arrived == 0 && e->bytes.n == 0 && e->is_ended)
		end_ready(e, LOOP_READ);
	return ST_OK;
}

enum status
sim_write(struct sim_end *e, const void *p, size_t n, size_t *done_out)
{
	struct sim_end *to = e->other;
	size_t room = to->bytes.max - to->bytes.n;

	CHECK(!e->is_closed && !to->is_ended && n > 0);
	if (e->link->is_reset || to->is_closed)
		return ST_IO;
	if (room == 0) {
		to->is_full = true;
		return ST_MORE;
	}
	n = size_min(n, room);
	(void)buf_put(&to->bytes, str_of(p, n));
	delivery_plan(to);
	*done_out = n;
	return ST_OK;
}

void
sim_shutdown(struct sim_end *e)
{
	e->other->is_ended = true;
	if (e->other->bytes.n == 0)
		end_ready(e->other, LOOP_READ);
}

void
sim_close(struct sim_end **ep)
{
	struct sim_end *e = *ep;
	struct sim_link *k;

	if (e == NULL)
		return;
	CHECK(!e->is_closed);
	k = e->link;
	*ep = NULL;
	loop_fd_del(k->loop, &e->watch);
	loop_timer_del(k->loop, &e->delivery);
	buf_fini(&e->bytes);
	e->is_closed = true;
	if (!e->other->is_closed) {
		sim_shutdown(e);
		end_ready(e->other, LOOP_WRITE);
		return;
	}
	free(k);
}
