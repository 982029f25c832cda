/*
 * A listener: accepts on one descriptor within limits per address, per network and in all.
 *
 * Accepted connections are counted until listener_release. Memory is bounded by total_max: every counter belongs to
 * a connection that is open. Out of descriptors it stops accepting for LISTEN_PAUSE_MS (the kernel's queue holds the rest) and says so once a second.
 */
#ifndef POSTHORN_NET_LISTEN_H
#define POSTHORN_NET_LISTEN_H

#include "sys/loop.h"
#include "sys/sock.h"

#define LISTEN_ACCEPTS_MAX 16	/* per wake-up: others have work too, and so have other processes on the same port */
#define LISTEN_PAUSE_MS 100
#define LISTEN_LOG_MS 1000

struct listener;

enum listen_refusal { LISTEN_REFUSED_TOTAL, LISTEN_REFUSED_IP, LISTEN_REFUSED_NET };

struct listener_options {
	uint32_t total_max;	/* 0: 10,000 */
	uint32_t per_ip_max;	/* 0: no limit */
	uint32_t per_net_max;	/* 0: no limit */
	uint8_t v4_net_bits;	/* 0: 24 */
	uint8_t v6_net_bits;	/* 0: 48; a v6 "address" below is a /64, which one customer has anyway */
	/* Limited only by total_max. Copied. */
	const struct sock_net *exempt;
	size_t exempt_n;
};

struct listener_handler {
	/* fd is taken. */
	void (*on_accept)(void *arg, int fd, const struct sock_addr *peer);
	/*
	 * fd is taken, not counted and needs no release: say why in one send and close. NULL: closed without a word.
	 */
	void (*on_refuse)(void *arg, int fd, const struct sock_addr *peer, enum listen_refusal why);
};

/* Takes fd (from sock_listen). h is static, arg borrowed, o copied. */
struct listener *listener_new(struct loop *l, int fd, const struct listener_options *o, const struct listener_handler *h, void *arg);
void listener_free(struct listener **n);
/* New limits and exempt networks, for connections from now on; the widths of a network stay. */
void listener_set_options(struct listener *n, const struct listener_options *o);
/* Accepts no more; releases still count. */
void listener_close(struct listener *n);
/* Once for each on_accept, when that connection has ended, with the same address. */
void listener_release(struct listener *n, const struct sock_addr *peer);
uint32_t listener_open(const struct listener *n);

#endif
