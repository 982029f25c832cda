/* Sockets: addresses of both families, listeners, non-blocking accept and connect. No name look-ups anywhere. */
#ifndef POSTHORN_SYS_SOCK_H
#define POSTHORN_SYS_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct sock_addr {
	uint8_t ip[16];		/* v4 as ::ffff:a.b.c.d */
	uint16_t port;
	bool is_v4;
};

/* "127.0.0.1", "::1", no brackets, no scope. ST_SYNTAX otherwise. */
enum status sock_ip_parse(struct str s, struct sock_addr *out) MUST_USE;
/* "192.0.2.1" or "2001:db8::1" (RFC 5952). */
enum status sock_ip_put(struct buf *out, const struct sock_addr *a);
bool sock_is_loopback(const struct sock_addr *a);
bool sock_ip_eq(const struct sock_addr *a, const struct sock_addr *b);

/* Clears all but the first prefix_bits (0..32 or 0..128) of the address. */
void sock_ip_mask(struct sock_addr *a, unsigned prefix_bits);

struct sock_net {
	struct sock_addr base;
	uint8_t prefix_bits;	/* within the family: 0..32 or 0..128 */
};
enum status sock_net_parse(struct str s, struct sock_net *out) MUST_USE;	/* "10.0.0.0/8", or an address alone; clears bits behind the prefix */
bool sock_net_has(const struct sock_net *n, const struct sock_addr *a);

/*
 * Listens, non-blocking (SO_REUSEADDR; v6 sockets are V6ONLY; SO_REUSEPORT when asked). The sentence for a person is appended to error_out
 * (ST_EXISTS: address in use, ST_DENIED: not permitted, ST_IO: other).
 */
enum status sock_listen(const struct sock_addr *a, bool is_reuseport, int *fd_out, struct buf *error_out) MUST_USE;
/* Accepts one, non-blocking, close-on-exec, TCP_NODELAY (from sock_listen's socket). ST_MORE: none waits; ST_LIMIT: out of descriptors; ST_IO: not a listener. */
enum status sock_accept(int listen_fd, int *fd_out, struct sock_addr *peer_out) MUST_USE;
/*
 * Begins to connect: non-blocking, close-on-exec, TCP_NODELAY. Writable means connected or failed (sock_connect_error). from (may be NULL) is this
 * end's address; its port 0 leaves the choice to the kernel. Otherwise why_out gets static words as of sock_connect_error. ST_NOTFOUND: no way to
 * there, or refused at once; ST_DENIED: not permitted, or from is of the other family or cannot be had; ST_LIMIT: out of
 * descriptors or ports; ST_IO: other.
 */
enum status sock_connect(const struct sock_addr *to, const struct sock_addr *from, int *fd_out, const char **why_out) MUST_USE;
/*
 * How a connect that was begun ended: "" it is connected, else why not ("connection refused", "no route to host", "timed out", ...). Static. Asking
 * takes the kernel's error away: ask once, and only when it is writable.
 */
const char *sock_connect_error(int fd);
/* This end's and the other end's address; "::" port 0 when it is not IP or no longer connected. */
void sock_local(int fd, struct sock_addr *out);
void sock_peer(int fd, struct sock_addr *out);
/* A connected pair for IPC: stream, non-blocking, close-on-exec. */
enum status sock_pair(int fds[2]) MUST_USE;

#endif
