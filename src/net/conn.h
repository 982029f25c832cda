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
#define CONN_CLOSE_MS (10 * 1000)	/* for the last bytes to leave */
#define CONN_LINGER_MS 1000		/* for the peer to read them, when it is still sending: a close would reset them away */
#define CONN_DEADLINE_LATE_MS 512	/* deadlines fire at most so much late, never early */

struct conn;

enum conn_end { CONN_END_EOF, CONN_END_ERROR, CONN_END_TIMEOUT, CONN_END_LIMIT, CONN_END_TLS, CONN_END_LOCAL };

struct conn_handler {
	/*
	 * in may be left with a partial line; when paused or high, with anything (shown again by itself after resume or drained).
	 * May call conn_close, conn_pause, conn_start_tls.
	 */
	void (*input)(void *arg, struct conn *c, struct cur *in);
	void (*drained)(void *arg, struct conn *c);		/* may be NULL */
	/* conn_deadline passed. Typically writes a last line and calls conn_close. NULL: just close. */
	void (*timeout)(void *arg, struct conn *c);
	void (*tls_done)(void *arg, struct conn *c);		/* handshake finished; may be NULL */
	/* The last call for this connection, always made exactly once, from the loop; c is freed after it returns. */
	void (*closed)(void *arg, struct conn *c, enum conn_end why);
};

/* Takes fd (non-blocking, TCP_NODELAY set by the caller's accept). handler is static, arg borrowed. */
struct conn *conn_new_fd(struct loop *l, int fd, const struct conn_handler *h, void *arg, size_t input_bytes_max);
/* One end of a simulated stream (net/sim.h). */
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
 * From input (STARTTLS, after appending the 220) or right after conn_new (implicit TLS): what is in out goes in clear first, everything
 * read but not consumed is thrown away (RFC 3207 4.2), then the handshake runs (own deadline CONN_HANDSHAKE_MS).
 */
void conn_start_tls(struct conn *c, struct tls_context *ctx);
const struct tls_info *conn_tls(const struct conn *c);	/* NULL: not under TLS. version, cipher, SNI */
/* Why TLS failed, for a log line in closed(): static, "" when it did not. */
const char *conn_tls_error(const struct conn *c);
/* Channel binding "tls-exporter" (RFC 9266). False without TLS, and in TLS 1.2 without the extended master secret. */
bool conn_tls_exporter(const struct conn *c, uint8_t out[32]);
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

#endif
