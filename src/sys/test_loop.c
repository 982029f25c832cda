/* sys/loop: order, stale ids, removal from inside callbacks, the fake clock. */
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "sys/loop.h"
#include "sys/sock.h"

/* Everything that happens in a test is written down as letters. */
struct world {
	struct clock clock;
	struct loop *l;
	struct buf said;
	struct loop_id a, b;
	int fds[2];
	unsigned events;
	int count;
};

static void
world_init(struct world *w, bool is_fake)
{
	*w = (struct world){0};
	if (is_fake)
		clock_init_fake(&w->clock, 1000000);
	else
		clock_init_system(&w->clock);
	w->l = loop_new(&w->clock);
	buf_init(&w->said, 65536);
	CHECK(sock_pair(w->fds) == ST_OK);
}

static void
world_fini(struct world *w)
{
	loop_free(&w->l);
	buf_fini(&w->said);
	close(w->fds[0]);
	if (w->fds[1] >= 0)
		close(w->fds[1]);
}

static void
say_a(void *arg)
{
	(void)buf_put_c(&((struct world *)arg)->said, 'a');
}

static void
say_b(void *arg)
{
	(void)buf_put_c(&((struct world *)arg)->said, 'b');
}

static void
say_c(void *arg)
{
	(void)buf_put_c(&((struct world *)arg)->said, 'c');
}

static void
say_fd(void *arg, unsigned events)
{
	struct world *w = arg;

	w->events = events;
	(void)buf_put_c(&w->said, 'f');
}

static void
say_virtual(void *arg, unsigned events)
{
	struct world *w = arg;

	w->events = events;
	(void)buf_put_c(&w->said, 'v');
}

static void
timers_fire_in_order_of_time_then_of_setting(void)
{
	struct world w;

	world_init(&w, true);
	loop_timer_add(w.l, 20, say_b, &w);
	loop_timer_add(w.l, 10, say_a, &w);
	loop_timer_add(w.l, 20, say_c, &w);
	loop_timer_add(w.l, 20, say_a, &w);
	EXPECT(!loop_turn(w.l, 9));
	EXPECT(loop_turn(w.l, -1));
	EXPECT_STR(buf_str(&w.said), STR("a"));
	EXPECT(w.clock.fake_mono_ms == 11);
	EXPECT(loop_turn(w.l, -1));
	EXPECT_STR(buf_str(&w.said), STR("abca"));
	EXPECT(!loop_turn(w.l, -1));
	world_fini(&w);
}

static void
timer_moves_and_goes(void)
{
	struct world w;
	struct loop_id id, stale;

	world_init(&w, true);
	id = loop_timer_add(w.l, 10, say_a, &w);
	loop_timer_add(w.l, 20, say_b, &w);
	EXPECT(loop_timer_move(w.l, id, 30));
	loop_run(w.l);
	EXPECT_STR(buf_str(&w.said), STR("ba"));
	EXPECT(!loop_timer_move(w.l, id, 1));
	/* The slot is used again, the old id does not find the new owner. */
	stale = id;
	id = loop_timer_add(w.l, 5, say_c, &w);
	loop_timer_del(w.l, &stale);
	EXPECT(stale.v == 0);
	loop_run(w.l);
	EXPECT_STR(buf_str(&w.said), STR("bac"));
	id = loop_timer_add(w.l, 5, say_c, &w);
	loop_timer_del(w.l, &id);
	loop_timer_del(w.l, &id);
	loop_run(w.l);
	EXPECT_STR(buf_str(&w.said), STR("bac"));
	world_fini(&w);
}

enum { MANY = 10000 };

static uint64_t many_last_ms;
static struct clock *many_clock;

static void
many_fired(void *arg)
{
	int *count = arg;

	EXPECT(clock_mono_ms(many_clock) >= many_last_ms);
	many_last_ms = clock_mono_ms(many_clock);
	++*count;
}

static void
ten_thousand_timers(void)
{
	struct world w;
	struct prng r;
	struct loop_id *ids = calloc(MANY, sizeof(*ids));
	int removed = 0;

	CHECK(ids != NULL);
	world_init(&w, true);
	many_clock = &w.clock;
	many_last_ms = 0;
	prng_init(&r, 7);
	for (int i = 0; i < MANY; i++)
		ids[i] = loop_timer_add(w.l, prng_below(&r, 100000), many_fired, &w.count);
	for (int i = 0; i < MANY; i++) {
		if (prng_below(&r, 4) == 0) {
			loop_timer_del(w.l, &ids[i]);
			removed++;
		} else if (prng_below(&r, 2) == 0) {
			EXPECT(loop_timer_move(w.l, ids[i], prng_below(&r, 200000)));
		}
	}
	loop_run(w.l);
	EXPECT(w.count == MANY - removed);
	free(ids);
	world_fini(&w);
}

static void
timer_again(void *arg)
{
	struct world *w = arg;

	w->count++;
	loop_timer_add(w->l, 0, timer_again, w);
}

static void
post_again(void *arg)
{
	struct world *w = arg;

	w->count++;
	loop_post(w->l, post_again, w);
}

static void
work_that_breeds_does_not_hold_a_turn(void)
{
	struct world w;

	world_init(&w, true);
	loop_timer_add(w.l, 0, timer_again, &w);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.count == 2);
	loop_post(w.l, post_again, &w);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.count == 4);
	world_fini(&w);
}

static void
turn_has_its_order(void)
{
	struct world w;
	struct loop_id v;

	world_init(&w, true);
	loop_fd_add(w.l, w.fds[0], LOOP_READ, say_fd, &w);
	v = loop_virtual_add(w.l, say_virtual, &w);
	loop_post(w.l, say_b, &w);
	loop_virtual_ready(w.l, v, LOOP_READ);
	loop_virtual_ready(w.l, v, LOOP_WRITE);
	loop_timer_add(w.l, 0, say_a, &w);
	EXPECT(write(w.fds[1], "x", 1) == 1);
	loop_before_wait_add(w.l, say_c, &w);
	loop_turn(w.l, 0);
	EXPECT_STR(buf_str(&w.said), STR("cafvbc"));
	EXPECT(w.events == (LOOP_READ | LOOP_WRITE));
	loop_before_wait_del(w.l, say_c, &w);
	loop_fd_del(w.l, &v);
	buf_reset(&w.said);
	loop_turn(w.l, 0);
	EXPECT_STR(buf_str(&w.said), STR("f"));
	world_fini(&w);
}

static void
wanted_set_is_obeyed(void)
{
	struct world w;
	struct loop_id id;

	world_init(&w, true);
	EXPECT(write(w.fds[1], "x", 1) == 1);
	id = loop_fd_add(w.l, w.fds[0], 0, say_fd, &w);
	EXPECT(!loop_turn(w.l, 0));
	loop_fd_want(w.l, id, LOOP_WRITE);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.events == LOOP_WRITE);
	loop_fd_want(w.l, id, LOOP_READ | LOOP_WRITE);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.events == (LOOP_READ | LOOP_WRITE));
	/* There and back again within a turn is no change. */
	loop_fd_want(w.l, id, 0);
	loop_fd_want(w.l, id, LOOP_READ);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.events == LOOP_READ);
	loop_fd_want(w.l, id, 0);
	EXPECT(!loop_turn(w.l, 0));
	close(w.fds[1]);
	w.fds[1] = -1;
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.events == LOOP_HUP);
	loop_fd_del(w.l, &id);
	loop_fd_want(w.l, id, LOOP_READ);
	EXPECT(!loop_turn(w.l, 0));
	world_fini(&w);
}

static void
remove_both(void *arg, unsigned events)
{
	struct world *w = arg;

	(void)events;
	w->count++;
	loop_fd_del(w->l, &w->a);
	loop_fd_del(w->l, &w->b);
	/* Takes the slot just freed; the event still in hand must not reach it. */
	w->a = loop_virtual_add(w->l, say_virtual, w);
	w->b = loop_virtual_add(w->l, say_virtual, w);
}

static void
removed_in_a_callback_is_not_called(void)
{
	struct world w;

	world_init(&w, true);
	w.a = loop_fd_add(w.l, w.fds[0], LOOP_WRITE, remove_both, &w);
	w.b = loop_fd_add(w.l, w.fds[1], LOOP_WRITE, remove_both, &w);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.count == 1);
	loop_fd_del(w.l, &w.a);
	loop_fd_del(w.l, &w.b);
	w.a = loop_virtual_add(w.l, remove_both, &w);
	w.b = loop_virtual_add(w.l, remove_both, &w);
	loop_virtual_ready(w.l, w.a, LOOP_READ);
	loop_virtual_ready(w.l, w.b, LOOP_READ);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.count == 2);
	EXPECT(w.said.n == 0);
	world_fini(&w);
}

static void
del_other_timer(void *arg)
{
	struct world *w = arg;

	w->count++;
	loop_timer_del(w->l, &w->a);
	loop_timer_del(w->l, &w->b);
}

static void
del_other_post(void *arg)
{
	struct world *w = arg;

	w->count++;
	loop_post_del(w->l, &w->a);
	loop_post_del(w->l, &w->b);
}

static void
removed_timers_and_posts_are_not_called(void)
{
	struct world w;

	world_init(&w, true);
	w.a = loop_timer_add(w.l, 5, del_other_timer, &w);
	w.b = loop_timer_add(w.l, 5, del_other_timer, &w);
	loop_run(w.l);
	EXPECT(w.count == 1);
	w.a = loop_post(w.l, del_other_post, &w);
	w.b = loop_post(w.l, del_other_post, &w);
	loop_run(w.l);
	EXPECT(w.count == 2);
	world_fini(&w);
}

static void
hook_that_goes(void *arg)
{
	struct world *w = arg;

	say_a(w);
	loop_before_wait_del(w->l, hook_that_goes, w);
	loop_before_wait_del(w->l, say_b, w);
}

static void
hooks_can_remove_each_other(void)
{
	struct world w;

	world_init(&w, true);
	loop_before_wait_add(w.l, hook_that_goes, &w);
	loop_before_wait_add(w.l, say_b, &w);
	loop_before_wait_add(w.l, say_c, &w);
	loop_turn(w.l, 0);
	EXPECT_STR(buf_str(&w.said), STR("acc"));
	world_fini(&w);
}

/* A little random world; the same seed must tell the same story. */
struct story {
	struct world w;
	struct prng r;
};

static void
story_step(void *arg)
{
	struct story *s = arg;

	(void)buf_putf(&s->w.said, "%u,", (unsigned)clock_mono_ms(&s->w.clock));
	if (s->w.said.n > 30000)
		return;
	for (uint64_t i = prng_below(&s->r, 3); i > 0; i--)
		loop_timer_add(s->w.l, prng_below(&s->r, 50), story_step, s);
	loop_virtual_ready(s->w.l, s->w.a, LOOP_READ);
	loop_post(s->w.l, say_a, &s->w);
}

static void
story_tell(struct story *s, uint64_t seed)
{
	*s = (struct story){0};
	world_init(&s->w, true);
	prng_init(&s->r, seed);
	s->w.a = loop_virtual_add(s->w.l, say_virtual, &s->w);
	for (int i = 0; i < 20; i++)
		loop_timer_add(s->w.l, prng_below(&s->r, 50), story_step, s);
	loop_run(s->w.l);
}

static void
fake_clock_is_deterministic(void)
{
	struct story one, two;

	story_tell(&one, 42);
	story_tell(&two, 42);
	EXPECT(one.w.said.n > 100);
	EXPECT_STR(buf_str(&one.w.said), buf_str(&two.w.said));
	world_fini(&one.w);
	world_fini(&two.w);
}

static void
real_timer_is_never_early(void)
{
	struct world w;
	struct timespec t0, t1;

	world_init(&w, false);
	for (int i = 0; i < 5; i++) {
		clock_gettime(CLOCK_MONOTONIC, &t0);
		loop_timer_add(w.l, 3, say_a, &w);
		while (!loop_turn(w.l, -1))
			continue;
		clock_gettime(CLOCK_MONOTONIC, &t1);
		EXPECT((t1.tv_sec - t0.tv_sec) * 1000000000L + t1.tv_nsec - t0.tv_nsec >= 3000000);
	}
	world_fini(&w);
}

static void
stop_from_post(void *arg)
{
	loop_stop(((struct world *)arg)->l);
}

static void
real_loop_waits_for_descriptors_and_stops(void)
{
	struct world w;

	world_init(&w, false);
	loop_fd_add(w.l, w.fds[0], LOOP_READ, say_fd, &w);
	EXPECT(!loop_turn(w.l, 5));
	EXPECT(write(w.fds[1], "x", 1) == 1);
	EXPECT(loop_turn(w.l, 1000));
	EXPECT(w.events == LOOP_READ);
	loop_post(w.l, stop_from_post, &w);
	loop_run(w.l);
	world_fini(&w);
}

static void
descriptor_epoll_refuses_is_reported(void)
{
	struct world w;
	struct loop_id id;
	FILE *f = tmpfile();

	CHECK(f != NULL);
	world_init(&w, true);
	id = loop_fd_add(w.l, fileno(f), LOOP_READ, say_fd, &w);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.events == LOOP_HUP);
	loop_fd_want(w.l, id, LOOP_WRITE);
	EXPECT(!loop_turn(w.l, 0));
	loop_fd_del(w.l, &id);
	fclose(f);
	world_fini(&w);
}

int
main(void)
{
	UNIT(timers_fire_in_order_of_time_then_of_setting);
	UNIT(timer_moves_and_goes);
	UNIT(ten_thousand_timers);
	UNIT(work_that_breeds_does_not_hold_a_turn);
	UNIT(turn_has_its_order);
	UNIT(wanted_set_is_obeyed);
	UNIT(removed_in_a_callback_is_not_called);
	UNIT(removed_timers_and_posts_are_not_called);
	UNIT(hooks_can_remove_each_other);
	UNIT(fake_clock_is_deterministic);
	UNIT(real_timer_is_never_early);
	UNIT(real_loop_waits_for_descriptors_and_stops);
	UNIT(descriptor_epoll_refuses_is_reported);
	return unit_end();
}
