#include "net/dns_event.h"

#include <stdlib.h>

#include "base/check.h"

struct dns_event {
	struct ub_event super; /* first */
	struct loop *loop;
	void (*fn)(int fd, short bits, void *arg);
	void *arg;
	int fd;
	short bits;
	struct loop_id watch, timer;
	uint64_t timeout_ms;
	bool has_timeout;
};

static struct dns_event *
event_of(struct ub_event *e)
{
	CHECK(e->magic == UB_EVENT_MAGIC);
	return (struct dns_event *)(void *)e;
}

static uint64_t
ms_of(const struct timeval *tv)
{
	if (tv->tv_sec < 0)
		return 0;
	return (uint64_t)tv->tv_sec * 1000 + ((uint64_t)tv->tv_usec + 999) / 1000;
}

static int
event_del(struct ub_event *ue)
{
	struct dns_event *e = event_of(ue);

	loop_fd_del(e->loop, &e->watch);
	loop_timer_del(e->loop, &e->timer);
	e->has_timeout = false;
	return 0;
}

static void on_timeout(void *arg);

static void
timeout_start(struct dns_event *e)
{
	loop_timer_del(e->loop, &e->timer);
	e->timer = loop_timer_add(e->loop, e->timeout_ms, on_timeout, e);
}

/* The callback may free e: it comes last. */
static void
event_fire(struct dns_event *e, short bits)
{
	if ((e->bits & UB_EV_PERSIST) == 0)
		(void)event_del(&e->super);
	else if (e->has_timeout)
		timeout_start(e);
	e->fn(e->fd, bits, e->arg);
}

static void
on_timeout(void *arg)
{
	struct dns_event *e = arg;

	e->timer = (struct loop_id){0};
	event_fire(e, UB_EV_TIMEOUT);
}

static void
on_ready(void *arg, unsigned events)
{
	struct dns_event *e = arg;
	int bits = 0;

	if (events & LOOP_READ)
		bits |= UB_EV_READ;
	if (events & LOOP_WRITE)
		bits |= UB_EV_WRITE;
	/* An error is found by whoever next reads or writes. */
	if (events & LOOP_HUP)
		bits |= e->bits & (UB_EV_READ | UB_EV_WRITE);
	event_fire(e, (short)bits);
}

static int
event_add(struct ub_event *ue, struct timeval *tv)
{
	struct dns_event *e = event_of(ue);
	unsigned events =
	    (e->bits & UB_EV_READ ? LOOP_READ : 0u) | (e->bits & UB_EV_WRITE ? LOOP_WRITE : 0u);

	if (e->fd >= 0 && events != 0 && e->watch.v == 0)
		e->watch = loop_fd_add(e->loop, e->fd, events, on_ready, e);
	if (tv != NULL) {
		e->timeout_ms = ms_of(tv);
		e->has_timeout = true;
		timeout_start(e);
	}
	return 0;
}

static void
event_bits_add(struct ub_event *ue, short bits)
{
	struct dns_event *e = event_of(ue);

	(void)event_del(ue);
	e->bits = (short)(e->bits | bits);
}

static void
event_bits_del(struct ub_event *ue, short bits)
{
	struct dns_event *e = event_of(ue);

	(void)event_del(ue);
	e->bits = (short)(e->bits & ~bits);
}

static void
event_fd_set(struct ub_event *ue, int fd)
{
	(void)event_del(ue);
	event_of(ue)->fd = fd;
}

static void
event_free(struct ub_event *ue)
{
	(void)event_del(ue);
	free(event_of(ue));
}

static int
timer_add(struct ub_event *ue, struct ub_event_base *base, void (*fn)(int, short, void *),
    void *arg, struct timeval *tv)
{
	struct dns_event *e = event_of(ue);

	(void)base;
	(void)event_del(ue);
	e->fd = -1;
	e->bits = UB_EV_TIMEOUT;
	e->fn = fn;
	e->arg = arg;
	return event_add(ue, tv);
}

/* Signals and Windows: never asked for by libunbound's event interface. */

static int
signal_add(struct ub_event *ue, struct timeval *tv)
{
	(void)ue;
	(void)tv;
	return -1;
}

static int
signal_del(struct ub_event *ue)
{
	(void)ue;
	return -1;
}

static void
wsa_del(struct ub_event *ue)
{
	(void)ue;
}

static void
wsa_block(struct ub_event *ue, int bits)
{
	(void)ue;
	(void)bits;
}

/* Not const: the interface wants it so. Never changed. */
static struct ub_event_vmt event_vmt = {
    .add_bits = event_bits_add,
    .del_bits = event_bits_del,
    .set_fd = event_fd_set,
    .free = event_free,
    .add = event_add,
    .del = event_del,
    .add_timer = timer_add,
    .del_timer = event_del,
    .add_signal = signal_add,
    .del_signal = signal_del,
    .winsock_unregister_wsaevent = wsa_del,
    .winsock_tcp_wouldblock = wsa_block,
};

static struct ub_event *
event_new(struct ub_event_base *base, int fd, short bits, void (*fn)(int, short, void *), void *arg)
{
	struct dns_event *e = calloc(1, sizeof(*e));

	CHECK(e != NULL && base->magic == UB_EVENT_MAGIC);
	e->super = (struct ub_event){.magic = UB_EVENT_MAGIC, .vmt = &event_vmt};
	e->loop = ((struct dns_event_base *)(void *)base)->loop;
	e->fd = fd;
	e->bits = bits;
	e->fn = fn;
	e->arg = arg;
	return &e->super;
}

static struct ub_event *
signal_new(struct ub_event_base *base, int fd, void (*fn)(int, short, void *), void *arg)
{
	(void)base;
	(void)fd;
	(void)fn;
	(void)arg;
	return NULL;
}

static struct ub_event *
wsa_new(struct ub_event_base *base, void *wsaevent, void (*fn)(int, short, void *), void *arg)
{
	(void)base;
	(void)wsaevent;
	(void)fn;
	(void)arg;
	return NULL;
}

static void
base_free(struct ub_event_base *base)
{
	(void)base;
}

static int
base_dispatch(struct ub_event_base *base)
{
	(void)base;
	return -1;
}

static int
base_loopexit(struct ub_event_base *base, struct timeval *tv)
{
	(void)base;
	(void)tv;
	return -1;
}

static struct ub_event_base_vmt base_vmt = {
    .free = base_free,
    .dispatch = base_dispatch,
    .loopexit = base_loopexit,
    .new_event = event_new,
    .new_signal = signal_new,
    .winsock_register_wsaevent = wsa_new,
};

void
dns_event_base_init(struct dns_event_base *b, struct loop *loop)
{
	*b = (struct dns_event_base){
	    .super = {.magic = UB_EVENT_MAGIC, .vmt = &base_vmt}, .loop = loop};
}
