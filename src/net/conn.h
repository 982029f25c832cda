/*
 * A connection: a chain of layers (TLS over a socket, or over a simulated stream) on a loop, with its buffers and its deadline.
 *
 * Reading: bytes are read into one buffer shared by the whole loop and handed to handler.input at once; what the handler leaves in the cursor
 * is kept (at most input_bytes_max, then the connection ends with CONN_END_LIMIT) and shown again with the next bytes. So an idle connection owns no buffers:
 * its cost is sizeof(struct conn) + a registration + the handler's own state, the budget being 1 KB plain (below 400 bytes of it here).
 * Writing: append to conn_out(); it is written at the end of the turn (one write per turn). Above CONN_OUT_HIGH reading pauses by itself until it is
 * drained (handler.drained is called then): a peer that does not read cannot make us keep more than that plus one answer.
 * Work per wake-up is bounded: one read of at most CONN_READ_BYTES a turn.
 * The peer's end of input: what is kept is shown until the handler is neither paused nor high, then what is in out is written and the
 * connection ends with CONN_END_EOF.
 * Nothing of a connection runs inside another's callback: all calls of the handler come from the loop.
 *
 * Outgoing: conn_new_connect, then handler.connected or handler.closed. TLS of the client side verifies nothing so far (tls.h).
 * Behind a proxy: conn_expect_proxy. The order of the parts is always connect or PROXY header, then TLS, then input.
 */
#ifndef POSTHORN_NET_CONN_H
#define POSTHORN_NET_CONN_H

#include "base/buf.h"
#include "base/cur.h"
#include "net/tls.h"
#include "sys/loop.h"
#include "sys/sock.h"

#define CONN_READ_BYTES (64 * 1024)
#define CONN_OUT_HIGH (64 * 1024)
#define CONN_OUT_MAX (512 * 1024)	/* going past it ends the connection (CONN_END_LIMIT): the answer would have a hole */
#define CONN_HANDSHAKE_MS (30 * 1000)
#define CONN_PROXY_MS (5 * 1000)	/* for a PROXY header to be whole */
#define CONN_CLOSE_MS (10 * 1000)	/* for the last bytes to leave */
#define CONN_LINGER_MS 1000		/* for the peer to read them, when it is still sending: a close would reset them away */
#define CONN_DEADLINE_LATE_MS 512	/* deadlines fire at most so much late, never early */

struct conn;

enum conn_end {
	CONN_END_EOF,
	CONN_END_ERROR,
	CONN_END_TIMEOUT,
	CONN_END_LIMIT,
	CONN_END_TLS,
	CONN_END_LOCAL,
	CONN_END_CONNECT,	/* never connected; conn_connect_error says why */
	CONN_END_PROXY,		/* what came first is no PROXY header that we take */
};

struct conn_handler {
	/*
	 * It can be talked to: the connect succeeded, or the PROXY header was read and conn_peer is the client now. May be NULL where
	 * neither is used. May call all that input may. Where TLS was asked for already, what is put into conn_out here leaves in clear.
	 */
	void (*connected)(void *arg, struct conn *c);
	/*
	 * in may be left with a partial line; when paused or high, with anything (shown again by itself after resume or drained).
	 * May call conn_close, conn_pause, conn_start_tls.
	 */
	void (*input)(void *arg, struct conn *c, struct cur *in);
	void (*drained)(void *arg, struct conn *c);		/* may be NULL */
	/* conn_deadline passed, and it was connected. Typically writes a last line and calls conn_close. NULL: just close. */
	void (*timeout)(void *arg, struct conn *c);
	void (*tls_done)(void *arg, struct conn *c);		/* handshake finished; may be NULL */
	/* The last call for this connection, always made exactly once, from the loop; c is freed after it returns. */
	void (*closed)(void *arg, struct conn *c, enum conn_end why);
};

/* Takes fd (non-blocking, TCP_NODELAY set by the caller's accept). handler is static, arg borrowed. */
struct conn *conn_new_fd(struct loop *l, int fd, const struct conn_handler *h, void *arg, size_t input_bytes_max);
/*
 * Connects to an address, from one of ours when `from` is not NULL (its port is usually 0). Both are copied. conn_deadline is the owner's, also for
 * the time of connecting: when it passes before there is a connection, the end is CONN_END_CONNECT and handler.timeout is not asked. What is put into
 * conn_out before leaves when it is connected. Never fails by itself: what goes wrong at once is heard by handler.closed as well.
 */
struct conn *conn_new_connect(struct loop *l, const struct sock_addr *to, const struct sock_addr *from, const struct conn_handler *h,
    void *arg, size_t input_bytes_max);
/*
 * One end of a simulated stream (net/sim.h), connected already. A handler that has connected() hears it, from the loop, so that the side
 * that connects can be simulated too.
 */
struct sim_end;
struct conn *conn_new_sim(struct loop *l, struct sim_end *end, const struct conn_handler *h, void *arg, size_t input_bytes_max);

struct buf *conn_out(struct conn *c);		/* maximum CONN_OUT_MAX; marks the connection for writing this turn */
bool conn_out_is_high(const struct conn *c);
/* Borrowed by the handler to find its own; arg of conn_new. */
void *conn_arg(const struct conn *c);
/* Stops calling input (bytes stay with the kernel or kept); resume shows kept input again, from the loop, not from inside the call. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/*
 * What is in out leaves first: no input is shown before all of it is written, then handler.drained is called and kept input shown. For an
 * answer that is made in parts, also when its client does not read.
 */
void conn_hold(struct conn *c);
/*
 * From input (STARTTLS, after appending the 220) or right after conn_new_fd (implicit TLS): what is in out goes in clear first, everything
 * read but not consumed is thrown away (RFC 3207 4.2), then the handshake runs (own deadline CONN_HANDSHAKE_MS).
 */
void conn_start_tls(struct conn *c, struct tls_context *ctx);
/*
 * The client's side: from input (of the answer to STARTTLS, when that is consumed), or (implicit TLS) from connected or at once. o is copied. What the server
 * has sent beyond what is consumed ends the connection (CONN_END_TLS): somebody has put answers into the clear part to be taken for
 * ones under TLS, and dropping them would hide it.
 */
void conn_start_tls_client(struct conn *c, struct tls_context *ctx, const struct tls_client_options *o);
const struct tls_info *conn_tls(const struct conn *c);	/* NULL: not under TLS */
/* Why TLS failed, for a log line in closed(): static, "" when it did not. */
const char *conn_tls_error(const struct conn *c);
/* Why there was no connection: static, "" when CONN_END_CONNECT was not the end. */
const char *conn_connect_error(const struct conn *c);
/* Channel binding "tls-exporter" (RFC 9266). False without TLS, and in TLS 1.2 without the extended master secret. */
bool conn_tls_exporter(const struct conn *c, uint8_t out[32]);
/*
 * Channel binding "tls-server-end-point" (RFC 5929 4): the hash of the server's certificate, of either side, also when resumed. False without TLS and
 * when the certificate's signature has no single hash (Ed25519): then this binding is not defined.
 */
bool conn_tls_server_end_point(const struct conn *c, uint8_t out[TLS_END_POINT_MAX], size_t *n_out);
/*
 * Server: appends who the client is by its certificate: the mail addresses (rfc822Name) of one that the context's client CA vouches for, each
 * followed by '\n', at most TLS_CLIENT_NAMES_MAX of at most TLS_CLIENT_NAME_MAX bytes. They are printable ASCII without spaces; others are
 * left out. ST_NOTFOUND: no certificate, an invalid one, or no address in it. ST_LIMIT: out is full; nothing is appended then.
 */
enum status conn_tls_client_name(const struct conn *c, struct buf *out) MUST_USE;
/*
 * One deadline per connection, ms from now, moved cheaply (no heap operation; looked at lazily). 0: none. It is over once it has fired. A
 * handshake has its own and leaves this one untouched; conn_close ends it.
 */
void conn_deadline(struct conn *c, uint64_t ms);
/* Writes out what is left (own deadline), shuts TLS down, closes. handler.closed comes later, from the loop (CONN_END_LOCAL, or the reason at hand). */
void conn_close(struct conn *c);
/* Now, without writing. handler.closed is called from the loop. */
void conn_abort(struct conn *c);
/* Asked from the kernel at the first call and remembered. "::" port 0 for a simulated stream, unless set. */
const struct sock_addr *conn_peer(struct conn *c);
const struct sock_addr *conn_local(struct conn *c);
/* What an accept, a PROXY header or a simulator knows better. Copied. */
void conn_set_peer(struct conn *c, const struct sock_addr *peer);
void conn_set_local(struct conn *c, const struct sock_addr *local);
/*
 * Right after conn_new_fd (and before a conn_start_tls, which may follow at once): a PROXY header (protocols/proxy) comes before everything else. Its
 * addresses become conn_peer and conn_local; one without addresses (LOCAL, UNKNOWN) leaves those of the socket, which is a proxy's: give it no
 * rights. Nothing is shown, and nothing of conn_out leaves, before it is whole; then handler.connected is called. The owner says from which peers a
 * header is expected: anybody else could write any address into it.
 */
void conn_expect_proxy(struct conn *c);

#endif
