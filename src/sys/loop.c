#include "sys/loop.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"

enum { SLOTS_FIRST = 64, TIMERS_FIRST = 64, HOOKS_MAX = 512, POLLS_MAX = 100 };

/*
 * An id is 24 bits of slot index (plus one, so that 0 is none) and 40 bits of generation. A slot whose
 * generations are used up is never used again: at 100,000 uses a second of one slot that is after 127 days.
 */
#define ID_INDEX_BITS 24
#define SLOTS_MAX ((1U << ID_INDEX_BITS) - 1)
#define GENERATION_MAX ((UINT64_C(1) << (64 - ID_INDEX_BITS)) - 1)
#define NO_SLOT UINT32_MAX

enum slot_kind { SLOT_FREE, SLOT_FD, SLOT_VIRTUAL, SLOT_TIMER, SLOT_POST, SLOT_GONE };

/* What the kernel knows of a descriptor's wanted set, when it knows nothing (yet). */
enum { HAVE_NONE = 0x80, HAVE_FAILED = 0x40 };

struct slot {
	union {
		loop_fd_fn *fd_fn;
		loop_fn *fn;
	};
	void *arg;
	uint64_t gen;
	uint32_t next;	/* in the one list this kind of slot can be on, or the free list */
	union {
		int fd;
		uint32_t heap_at;
	};
	uint8_t kind;
	uint8_t want;	/* FD: what the owner wants */
	uint8_t have;	/* FD: what epoll was told */
	uint8_t ready;	/* VIRTUAL (or a failed FD): events not delivered yet */
	bool is_listed;
};

/* First in, first out, through slot.next. */
struct slot_list {
	uint32_t first, last;
	uint32_t n;
};

struct timer {
	uint64_t due_ms;
	uint32_t slot;
	uint32_t seq;	/* equal times fire in the order they were set; compared by difference, so it may wrap */
};

struct hook {
	loop_fn *fn;
	void *arg;
};

struct loop {
	struct clock *clock;
	bool is_fake, is_stopped, is_in_hooks;
	int epoll_fd;
	uint32_t fds_n;
	struct slot *slots;
	uint32_t slots_n, slots_cap;
	uint32_t free_first;
	struct slot_list dirty;	/* FD: want differs from have */
	struct slot_list ready;	/* VIRTUAL */
	struct slot_list posts;
	struct timer *heap;
	uint32_t heap_n, heap_cap;
	uint32_t seq;
	struct hook hooks[HOOKS_MAX];
	struct hook at_free[HOOKS_MAX];
	int hooks_n, at_free_n;
	bool was_busy;	/* the last turn did something */
	struct epoll_event events[LOOP_READY_MAX];
};

struct loop *
loop_new(struct clock *clock)
{
	struct loop *l = calloc(1, sizeof(*l));
	struct clock fake;

	CHECK(l != NULL);
	clock_init_fake(&fake, 0);
	l->clock = clock;
	l->is_fake = clock->mono_ms == fake.mono_ms;
	l->free_first = NO_SLOT;
	l->dirty = l->ready = l->posts = (struct slot_list){NO_SLOT, NO_SLOT, 0};
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	CHECK(l->epoll_fd >= 0);
	return l;
}

void
loop_free(struct loop **l)
{
	if (*l == NULL)
		return;
	while ((*l)->at_free_n > 0) {
		struct hook h = (*l)->at_free[--(*l)->at_free_n];
		h.fn(h.arg);
	}
	close((*l)->epoll_fd);
	free((*l)->slots);
	free((*l)->heap);
	free(*l);
	*l = NULL;
}

struct clock *
loop_clock(struct loop *l)
{
	return l->clock;
}

/* Slots and ids. The table moves when it grows: no pointer into it is kept over a callback. */

static struct loop_id
slot_id(const struct loop *l, uint32_t at)
{
	return (struct loop_id){l->slots[at].gen << ID_INDEX_BITS | (at + 1)};
}

static struct slot *
slot_find(const struct loop *l, struct loop_id id, uint32_t *at_out)
{
	uint32_t at = (uint32_t)(id.v & SLOTS_MAX) - 1;
	struct slot *s;

	if (at >= l->slots_n)
		return NULL;
	s = &l->slots[at];
	if (s->gen != id.v >> ID_INDEX_BITS || s->kind == SLOT_FREE || s->kind == SLOT_GONE)
		return NULL;
	*at_out = at;
	return s;
}

static struct slot *
slot_of_kind(const struct loop *l, struct loop_id id, enum slot_kind kind, uint32_t *at_out)
{
	struct slot *s = slot_find(l, id, at_out);

	CHECK(s == NULL || s->kind == kind);
	return s;
}

static void
slots_grow(struct loop *l)
{
	uint32_t cap = l->slots_cap == 0 ? SLOTS_FIRST : l->slots_cap * 2;

	CHECK(l->slots_n < SLOTS_MAX);
	l->slots = realloc(l->slots, cap * sizeof(struct slot));
	CHECK(l->slots != NULL);
	l->slots_cap = cap;
}

static uint32_t
slot_new(struct loop *l, enum slot_kind kind, void *arg)
{
	uint32_t at = l->free_first;

	if (at != NO_SLOT) {
		l->free_first = l->slots[at].next;
	} else {
		if (l->slots_n == l->slots_cap)
			slots_grow(l);
		at = l->slots_n++;
		l->slots[at].gen = 0;
	}
	l->slots[at] = (struct slot){
	    .arg = arg, .gen = l->slots[at].gen + 1, .next = NO_SLOT, .kind = (uint8_t)kind};
	return at;
}

static void
slot_free(struct loop *l, uint32_t at)
{
	struct slot *s = &l->slots[at];

	CHECK(s->kind != SLOT_FREE);
	if (s->is_listed) {
		s->kind = SLOT_GONE; /* the list frees it when it comes to it */
		return;
	}
	s->kind = SLOT_FREE;
	if (s->gen == GENERATION_MAX)
		return;
	s->next = l->free_first;
	l->free_first = at;
}

static void
list_push(struct loop *l, struct slot_list *list, uint32_t at)
{
	struct slot *s = &l->slots[at];

	CHECK(!s->is_listed);
	s->is_listed = true;
	s->next = NO_SLOT;
	if (list->last == NO_SLOT)
		list->first = at;
	else
		l->slots[list->last].next = at;
	list->last = at;
	list->n++;
}

/* The next one still wanted by its owner; NO_SLOT when it was removed meanwhile. The list is not empty. */
static uint32_t
list_pop(struct loop *l, struct slot_list *list)
{
	uint32_t at = list->first;
	struct slot *s = &l->slots[at];

	list->first = s->next;
	if (list->first == NO_SLOT)
		list->last = NO_SLOT;
	list->n--;
	s->is_listed = false;
	if (s->kind != SLOT_GONE)
		return at;
	slot_free(l, at);
	return NO_SLOT;
}

/* Descriptors. epoll is told before the wait, and only when what it knows is really out of date. */

struct loop_id
loop_fd_add(struct loop *l, int fd, unsigned events, loop_fd_fn *fn, void *arg)
{
	uint32_t at = slot_new(l, SLOT_FD, arg);
	struct slot *s = &l->slots[at];

	CHECK(fd >= 0 && (events & ~(unsigned)(LOOP_READ | LOOP_WRITE)) == 0);
	s->fd_fn = fn;
	s->fd = fd;
	s->want = (uint8_t)events;
	s->have = HAVE_NONE;
	l->fds_n++;
	list_push(l, &l->dirty, at);
	return slot_id(l, at);
}

void
loop_fd_want(struct loop *l, struct loop_id id, unsigned events)
{
	uint32_t at;
	struct slot *s = slot_of_kind(l, id, SLOT_FD, &at);

	CHECK((events & ~(unsigned)(LOOP_READ | LOOP_WRITE)) == 0);
	if (s == NULL)
		return;
	s->want = (uint8_t)events;
	if (s->want != s->have && s->have != HAVE_FAILED && !s->is_listed)
		list_push(l, &l->dirty, at);
}

void
loop_fd_del(struct loop *l, struct loop_id *id)
{
	uint32_t at;
	struct slot *s = slot_find(l, *id, &at);

	*id = (struct loop_id){0};
	if (s == NULL)
		return;
	CHECK(s->kind == SLOT_FD || s->kind == SLOT_VIRTUAL);
	if (s->kind == SLOT_FD) {
		l->fds_n--;
		if (s->have != HAVE_NONE && s->have != HAVE_FAILED)
			(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	}
	slot_free(l, at);
}

static void
fd_tell_epoll(struct loop *l, uint32_t at)
{
	struct slot *s = &l->slots[at];
	struct epoll_event ev = {.data.u64 = slot_id(l, at).v};
	int op = s->have == HAVE_NONE ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	if (s->want & LOOP_READ)
		ev.events |= EPOLLIN;
	if (s->want & LOOP_WRITE)
		ev.events |= EPOLLOUT;
	if (epoll_ctl(l->epoll_fd, op, s->fd, &ev) == 0) {
		s->have = s->want;
		return;
	}
	/* Out of memory or watches: the owner hears of it as of a broken descriptor. */
	log_event(LOG_ERROR, "loop.epoll_failed", LOG_I64("fd", s->fd), LOG_I64("errno", errno));
	if (op == EPOLL_CTL_MOD)
		(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	s->have = HAVE_FAILED;
	s->ready = LOOP_HUP;
	list_push(l, &l->ready, at);
}

static void
fds_tell_epoll(struct loop *l)
{
	while (l->dirty.n > 0) {
		uint32_t at = list_pop(l, &l->dirty);
		if (at != NO_SLOT && l->slots[at].want != l->slots[at].have)
			fd_tell_epoll(l, at);
	}
}

static bool
fds_run(struct loop *l, int n)
{
	bool is_any = false;

	for (int i = 0; i < n; i++) {
		uint32_t at, got = l->events[i].events;
		struct slot *s = slot_find(l, (struct loop_id){l->events[i].data.u64}, &at);
		unsigned events = 0;
		if (s == NULL)
			continue;
		if (got & EPOLLIN)
			events |= LOOP_READ;
		if (got & EPOLLOUT)
			events |= LOOP_WRITE;
		/* The wanted set may have changed earlier in this turn. */
		events &= s->want;
		if (got & (EPOLLHUP | EPOLLERR))
			events |= LOOP_HUP;
		if (events == 0)
			continue;
		is_any = true;
		s->fd_fn(s->arg, events);
	}
	return is_any;
}

/* Virtual readiness. */

struct loop_id
loop_virtual_add(struct loop *l, loop_fd_fn *fn, void *arg)
{
	uint32_t at = slot_new(l, SLOT_VIRTUAL, arg);

	l->slots[at].fd_fn = fn;
	return slot_id(l, at);
}

void
loop_virtual_ready(struct loop *l, struct loop_id id, unsigned events)
{
	uint32_t at;
	struct slot *s = slot_of_kind(l, id, SLOT_VIRTUAL, &at);

	if (s == NULL || events == 0)
		return;
	s->ready |= (uint8_t)events;
	if (!s->is_listed)
		list_push(l, &l->ready, at);
}

static bool
ready_run(struct loop *l)
{
	bool is_any = false;
	uint32_t n = l->ready.n;

	if (n > LOOP_READY_MAX)
		n = LOOP_READY_MAX;
	while (n-- > 0) {
		uint32_t at = list_pop(l, &l->ready);
		if (at == NO_SLOT)
			continue;
		unsigned events = l->slots[at].ready;
		l->slots[at].ready = 0;
		is_any = true;
		l->slots[at].fd_fn(l->slots[at].arg, events);
	}
	return is_any;
}

/* Timers: a binary heap by (due, order of setting). */

static bool
timer_is_before(const struct timer *a, const struct timer *b)
{
	if (a->due_ms != b->due_ms)
		return a->due_ms < b->due_ms;
	return (int32_t)(a->seq - b->seq) < 0;
}

static void
heap_place(struct loop *l, uint32_t at, struct timer t)
{
	l->heap[at] = t;
	l->slots[t.slot].heap_at = at;
}

/* Puts t in where the hole at `at` is, moving others up or down. */
static void
heap_settle(struct loop *l, uint32_t at, struct timer t)
{
	uint32_t child;

	for (; at > 0 && timer_is_before(&t, &l->heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap_place(l, at, l->heap[(at - 1) / 2]);
	for (; (child = 2 * at + 1) < l->heap_n; at = child) {
		if (child + 1 < l->heap_n && timer_is_before(&l->heap[child + 1], &l->heap[child]))
			child++;
		if (!timer_is_before(&l->heap[child], &t))
			break;
		heap_place(l, at, l->heap[child]);
	}
	heap_place(l, at, t);
}

static void
heap_remove(struct loop *l, uint32_t at)
{
	CHECK(at < l->heap_n);
	l->heap_n--;
	if (at < l->heap_n)
		heap_settle(l, at, l->heap[l->heap_n]);
}

static uint64_t
timer_due_ms(const struct loop *l, uint64_t delay_ms)
{
	uint64_t now = clock_mono_ms(l->clock), due;

	/* The system's clock is rounded down: without the one more a timer could fire early. */
	if (!l->is_fake && delay_ms > 0)
		now++;
	return __builtin_add_overflow(now, delay_ms, &due) ? UINT64_MAX : due;
}

struct loop_id
loop_timer_add(struct loop *l, uint64_t delay_ms, loop_fn *fn, void *arg)
{
	uint32_t at = slot_new(l, SLOT_TIMER, arg);

	l->slots[at].fn = fn;
	if (l->heap_n == l->heap_cap) {
		l->heap_cap = l->heap_cap == 0 ? TIMERS_FIRST : l->heap_cap * 2;
		l->heap = realloc(l->heap, l->heap_cap * sizeof(struct timer));
		CHECK(l->heap != NULL);
	}
	l->heap_n++;
	heap_settle(l, l->heap_n - 1,
	    (struct timer){.due_ms = timer_due_ms(l, delay_ms), .slot = at, .seq = l->seq++});
	return slot_id(l, at);
}

bool
loop_timer_move(struct loop *l, struct loop_id id, uint64_t delay_ms)
{
	uint32_t at;
	struct slot *s = slot_of_kind(l, id, SLOT_TIMER, &at);

	if (s == NULL)
		return false;
	heap_settle(l, s->heap_at,
	    (struct timer){.due_ms = timer_due_ms(l, delay_ms), .slot = at, .seq = l->seq++});
	return true;
}

void
loop_timer_del(struct loop *l, struct loop_id *id)
{
	uint32_t at;
	struct slot *s = slot_of_kind(l, *id, SLOT_TIMER, &at);

	*id = (struct loop_id){0};
	if (s == NULL)
		return;
	heap_remove(l, s->heap_at);
	slot_free(l, at);
}

/* Timers set by the callbacks themselves wait for the next turn, even with no delay. */
static bool
timers_run(struct loop *l)
{
	uint64_t now = clock_mono_ms(l->clock);
	uint32_t seq_end = l->seq;
	bool is_any = false;

	while (l->heap_n > 0 && l->heap[0].due_ms <= now && (int32_t)(l->heap[0].seq - seq_end) < 0) {
		uint32_t at = l->heap[0].slot;
		loop_fn *fn = l->slots[at].fn;
		void *arg = l->slots[at].arg;
		heap_remove(l, 0);
		slot_free(l, at);
		is_any = true;
		fn(arg);
	}
	return is_any;
}

/* Posts and hooks. */

struct loop_id
loop_post(struct loop *l, loop_fn *fn, void *arg)
{
	uint32_t at = slot_new(l, SLOT_POST, arg);

	l->slots[at].fn = fn;
	list_push(l, &l->posts, at);
	return slot_id(l, at);
}

void
loop_post_del(struct loop *l, struct loop_id *id)
{
	uint32_t at;

	if (slot_of_kind(l, *id, SLOT_POST, &at) != NULL)
		slot_free(l, at);
	*id = (struct loop_id){0};
}

/* What the posts themselves post waits for the next turn. */
static bool
posts_run(struct loop *l)
{
	bool is_any = false;

	for (uint32_t n = l->posts.n; n > 0; n--) {
		uint32_t at = list_pop(l, &l->posts);
		if (at == NO_SLOT)
			continue;
		loop_fn *fn = l->slots[at].fn;
		void *arg = l->slots[at].arg;
		slot_free(l, at);
		is_any = true;
		fn(arg);
	}
	return is_any;
}

void
loop_before_wait_add(struct loop *l, loop_fn *fn, void *arg)
{
	CHECK(l->hooks_n < HOOKS_MAX);
	l->hooks[l->hooks_n++] = (struct hook){fn, arg};
}

void
loop_at_free_add(struct loop *l, loop_fn *fn, void *arg)
{
	CHECK(l->at_free_n < HOOKS_MAX);
	l->at_free[l->at_free_n++] = (struct hook){fn, arg};
}

static void
hooks_compact(struct loop *l)
{
	int kept = 0;

	for (int i = 0; i < l->hooks_n; i++) {
		if (l->hooks[i].fn != NULL)
			l->hooks[kept++] = l->hooks[i];
	}
	l->hooks_n = kept;
}

void
loop_before_wait_del(struct loop *l, loop_fn *fn, void *arg)
{
	for (int i = 0; i < l->hooks_n; i++) {
		if (l->hooks[i].fn == fn && l->hooks[i].arg == arg) {
			l->hooks[i].fn = NULL;
			break;
		}
	}
	if (!l->is_in_hooks)
		hooks_compact(l);
}

static void
hooks_run(struct loop *l)
{
	l->is_in_hooks = true;
	for (int i = 0; i < l->hooks_n; i++) {
		if (l->hooks[i].fn != NULL)
			l->hooks[i].fn(l->hooks[i].arg);
	}
	l->is_in_hooks = false;
	hooks_compact(l);
}

/* The turn. */

static uint64_t
next_timer_in_ms(const struct loop *l)
{
	uint64_t now = clock_mono_ms(l->clock);

	if (l->heap_n == 0)
		return UINT64_MAX;
	return l->heap[0].due_ms > now ? l->heap[0].due_ms - now : 0;
}

/* How long to wait: not at all when something is known to be ready. */
static int
wait_ms(const struct loop *l, int wait_ms_max)
{
	uint64_t ms = next_timer_in_ms(l);

	if (l->ready.n > 0 || l->posts.n > 0 || l->is_fake)
		return 0;
	if (wait_ms_max >= 0 && ms > (uint64_t)wait_ms_max)
		return wait_ms_max;
	if (ms == UINT64_MAX)
		return -1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

static void
fake_clock_jump(struct loop *l, int wait_ms_max)
{
	uint64_t ms = next_timer_in_ms(l);

	if (wait_ms_max >= 0 && ms > (uint64_t)wait_ms_max)
		ms = (uint64_t)wait_ms_max;
	if (ms != UINT64_MAX && ms > 0)
		clock_advance(l->clock, ms);
}

/*
 * Waits. After a turn with work the next piece is often microseconds away (the other side of a line answers), and going to sleep
 * and being woken costs more than looking a few times (100 looks are about 50 us: one session 1,700 -> 2,200 messages/s, 100 sessions
 * 9,900 -> 13,000 at a fifth less CPU); sched_yield gives the core to whoever else could use it.
 */
static int
fds_wait(struct loop *l, int ms)
{
	for (int i = 0; ms != 0 && l->was_busy && i < POLLS_MAX; i++) {
		int n = epoll_wait(l->epoll_fd, l->events, LOOP_READY_MAX, 0);
		if (n != 0)
			return n;
		(void)sched_yield();
	}
	return epoll_wait(l->epoll_fd, l->events, LOOP_READY_MAX, ms);
}

bool
loop_turn(struct loop *l, int wait_ms_max)
{
	int n = 0;
	bool is_any;

	/* Also what was written between two turns goes out before the wait. */
	hooks_run(l);
	fds_tell_epoll(l);
	if (l->fds_n > 0 || !l->is_fake)
		n = fds_wait(l, wait_ms(l, wait_ms_max));
	if (n < 0) {
		CHECK(errno == EINTR);
		n = 0;
	}
	if (l->is_fake && n == 0 && l->ready.n == 0 && l->posts.n == 0)
		fake_clock_jump(l, wait_ms_max);
	is_any = timers_run(l);
	is_any |= fds_run(l, n);
	is_any |= ready_run(l);
	is_any |= posts_run(l);
	hooks_run(l);
	l->was_busy = is_any;
	return is_any;
}

void
loop_run(struct loop *l)
{
	l->is_stopped = false;
	while (!l->is_stopped) {
		/* On a fake clock nothing can come any more: waiting would be for ever. */
		if (!loop_turn(l, -1) && l->is_fake && l->heap_n == 0 && l->ready.n == 0 && l->posts.n == 0)
			break;
	}
}

void
loop_stop(struct loop *l)
{
	l->is_stopped = true;
}
