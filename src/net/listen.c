#include "net/listen.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"

enum { TOTAL_MAX = 10000, V4_NET_BITS = 24, V6_NET_BITS = 48, V6_HOST_BITS = 64 };

struct listener {
	struct loop *loop;
	int fd;
	struct loop_id reg, pause;
	struct listener_options o;
	struct sock_net *exempt;
	const struct listener_handler *h;
	void *arg;
	/* From (prefix length, masked address) to the number of open connections, as a pointer. */
	struct map counts;
	uint32_t open;
	uint64_t logged_ms;
	uint64_t unlogged;
};

struct count_key {
	char p[17];
};

static void listener_on_ready(void *arg, unsigned events);

static void
exempt_copy(struct listener *n, const struct listener_options *o)
{
	free(n->exempt);
	n->exempt = calloc(o->exempt_n + 1, sizeof(*n->exempt));
	CHECK(n->exempt != NULL);
	if (o->exempt_n > 0)
		memcpy(n->exempt, o->exempt, o->exempt_n * sizeof(*n->exempt));
	n->o.exempt = n->exempt;
	n->o.exempt_n = o->exempt_n;
}

struct listener *
listener_new(struct loop *l, int fd, const struct listener_options *o, const struct listener_handler *h,
    void *arg)
{
	struct listener *n = calloc(1, sizeof(*n));

	CHECK(n != NULL);
	n->loop = l;
	n->fd = fd;
	n->o = *o;
	n->h = h;
	n->arg = arg;
	if (n->o.total_max == 0)
		n->o.total_max = TOTAL_MAX;
	if (n->o.v4_net_bits == 0)
		n->o.v4_net_bits = V4_NET_BITS;
	if (n->o.v6_net_bits == 0)
		n->o.v6_net_bits = V6_NET_BITS;
	CHECK(n->o.v4_net_bits <= 32 && n->o.v6_net_bits <= 128);
	exempt_copy(n, o);
	/* Two counters for each connection at most; the limits may be raised later. */
	map_init(&n->counts, SIZE_MAX);
	n->reg = loop_fd_add(l, fd, LOOP_READ, listener_on_ready, n);
	return n;
}

void
listener_set_options(struct listener *n, const struct listener_options *o)
{
	if (o->total_max != 0)
		n->o.total_max = o->total_max;
	n->o.per_ip_max = o->per_ip_max;
	n->o.per_net_max = o->per_net_max;
	exempt_copy(n, o);
}

void
listener_close(struct listener *n)
{
	if (n->fd < 0)
		return;
	loop_fd_del(n->loop, &n->reg);
	loop_timer_del(n->loop, &n->pause);
	close(n->fd);
	n->fd = -1;
}

void
listener_free(struct listener **np)
{
	struct listener *n = *np;

	if (n == NULL)
		return;
	*np = NULL;
	listener_close(n);
	map_fini(&n->counts);
	free(n->exempt);
	free(n);
}

static bool
is_exempt(const struct listener *n, const struct sock_addr *peer)
{
	for (size_t i = 0; i < n->o.exempt_n; i++) {
		if (sock_net_has(&n->exempt[i], peer))
			return true;
	}
	return false;
}

static struct str
count_key(struct count_key *k, const struct sock_addr *peer, uint8_t bits)
{
	struct sock_addr a = *peer;

	sock_ip_mask(&a, bits);
	k->p[0] = (char)bits;
	memcpy(k->p + 1, a.ip, sizeof(a.ip));
	return str_of(k->p, sizeof(k->p));
}

static struct str
ip_key(struct count_key *k, const struct sock_addr *peer)
{
	struct str s = count_key(k, peer, peer->is_v4 ? 32 : V6_HOST_BITS);

	/* Also where a network is as long as an address, these are two counters. */
	k->p[0] = (char)0xff;
	return s;
}

static struct str
net_key(const struct listener *n, struct count_key *k, const struct sock_addr *peer)
{
	return count_key(k, peer, peer->is_v4 ? n->o.v4_net_bits : n->o.v6_net_bits);
}

static uint32_t
count_get(const struct listener *n, struct str key)
{
	return (uint32_t)(uintptr_t)map_get(&n->counts, key);
}

static void
count_change(struct listener *n, struct str key, int by)
{
	uintptr_t v = (uintptr_t)map_get(&n->counts, key);

	CHECK(by > 0 || v > 0);
	v = by > 0 ? v + 1 : v - 1;
	if (v == 0)
		(void)map_del(&n->counts, key);
	else
		CHECK(map_put(&n->counts, key, (void *)v, NULL) == ST_OK);
}

static void
peer_change(struct listener *n, const struct sock_addr *peer, int by)
{
	struct count_key ip, net;

	if (by > 0)
		n->open++;
	else
		n->open--;
	/* Exempt ones too: who is exempt may change while they are open. */
	count_change(n, ip_key(&ip, peer), by);
	count_change(n, net_key(n, &net, peer), by);
}

/* True when one more is within the limits. */
static bool
is_within(const struct listener *n, const struct sock_addr *peer, enum listen_refusal *why_out)
{
	struct count_key k;

	*why_out = LISTEN_REFUSED_TOTAL;
	if (n->open >= n->o.total_max)
		return false;
	if (is_exempt(n, peer))
		return true;
	*why_out = LISTEN_REFUSED_IP;
	if (n->o.per_ip_max != 0 && count_get(n, ip_key(&k, peer)) >= n->o.per_ip_max)
		return false;
	*why_out = LISTEN_REFUSED_NET;
	return n->o.per_net_max == 0 || count_get(n, net_key(n, &k, peer)) < n->o.per_net_max;
}

static void
pause_over(void *arg)
{
	struct listener *n = arg;

	loop_fd_want(n->loop, n->reg, LOOP_READ);
}

static void
listener_pause(struct listener *n, enum status why)
{
	uint64_t now = clock_mono_ms(loop_clock(n->loop));

	loop_fd_want(n->loop, n->reg, 0);
	loop_timer_del(n->loop, &n->pause);
	n->pause = loop_timer_add(n->loop, LISTEN_PAUSE_MS, pause_over, n);
	n->unlogged++;
	if (n->logged_ms != 0 && now < n->logged_ms + LISTEN_LOG_MS)
		return;
	log_event(LOG_ERROR, "listener.paused", LOG_CSTR("reason", status_word(why)),
	    LOG_U64("times", n->unlogged), LOG_U64("open", n->open));
	n->logged_ms = now;
	n->unlogged = 0;
}

static void
peer_take(struct listener *n, int fd, const struct sock_addr *peer)
{
	enum listen_refusal why;

	if (is_within(n, peer, &why)) {
		peer_change(n, peer, 1);
		n->h->on_accept(n->arg, fd, peer);
	} else if (n->h->on_refuse != NULL) {
		n->h->on_refuse(n->arg, fd, peer, why);
	} else {
		close(fd);
	}
}

static void
listener_on_ready(void *arg, unsigned events)
{
	struct listener *n = arg;

	(void)events;
	for (int i = 0; i < LISTEN_ACCEPTS_MAX; i++) {
		struct sock_addr peer;
		int fd;
		/* A handler may close the listener. */
		if (n->fd < 0)
			return;
		enum status st = sock_accept(n->fd, &fd, &peer);
		if (st == ST_MORE)
			return;
		if (st != ST_OK) {
			listener_pause(n, st);
			return;
		}
		peer_take(n, fd, &peer);
	}
}

void
listener_release(struct listener *n, const struct sock_addr *peer)
{
	CHECK(n->open > 0);
	peer_change(n, peer, -1);
}

uint32_t
listener_open(const struct listener *n)
{
	return n->open;
}
