/*
 * libunbound's pluggable event base over our loop: descriptors with an optional timeout, and
 * timers, with the meaning that libevent gives them (an event that does not persist ends when it
 * fires; the timeout of one that does starts again each time).
 */
#ifndef POSTHORN_NET_DNS_EVENT_H
#define POSTHORN_NET_DNS_EVENT_H

#include <sys/time.h>

#include <unbound.h>
#include <unbound-event.h>

#include "sys/loop.h"

struct dns_event_base {
	struct ub_event_base super; /* first: libunbound knows only this */
	struct loop *loop;
};

/* loop is borrowed; b must outlive the context made with it. */
void dns_event_base_init(struct dns_event_base *b, struct loop *loop);

#endif
