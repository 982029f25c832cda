/*
 * A connection: a chain of layers (TLS over a socket, or over a simulated stream) on a loop, with its buffers and its deadline.
 *
 * Reading: bytes are read into one buffer shared by the whole loop and handed to handler.input at once; what the handler leaves in the cursor
 * is kept (at most input_bytes_max, then the connection ends with CONN_END_LIMIT) and shown again with the next bytes. So an idle connection owns no buffers:
 * its cost is sizeof(struct conn) + a registration + the handler's own state, the budget being 1 KB plain.
 * Writing: append to conn_out(); it is written at the end of the turn (one write per turn). Above CONN_OUT_HIGH reading pauses by itself until it is
 * drained (handler.drained is called then): a peer that does not read cannot make us keep more than that plus one answer.
 * Work per wake-up is bounded: one read of at most CONN_READ_BYTES a turn.
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
#define CONN_OUT_MAX (512 * 1024)

struct conn;

enum conn_end { CONN_END_EOF, CONN_END_ERROR, CONN_END_TIMEOUT, CONN_END_LIMIT, CONN_END_TLS, CONN_END_LOCAL };

struct conn_handler {
	/* in may be left with a partial line. May call conn_close, conn_pause, conn_start_tls; never conn_free. */
	void (*input)(void *arg, struct conn *c, struct cur *in);
	void (*drained)(void *arg, struct conn *c);		/* may be NULL */
	/* conn_deadline passed. Typically writes a last line and calls conn_close. NULL: just close. */
	void (*timeout)(void *arg, struct conn *c);
	void (*tls_done)(void *arg, struct conn *c);		/* handshake finished; may be NULL */
	/* The last call for this connection, always made exactly once; c is freed after it returns. */
	void (*closed)(void *arg, struct conn *c, enum conn_end why);
};

/* Takes fd (non-blocking, TCP_NODELAY set by the caller's accept). handler is static, arg borrowed. */
struct conn *conn_new_fd(struct loop *l, int fd, const struct conn_handler *h, void *arg, size_t input_bytes_max);
/* One end of a simulated stream (net/sim.h). */
struct sim_end;
struct conn *conn_new_sim(struct loop *l, struct sim_end *end, const struct conn_handler *h, void *arg, size_t input_bytes_max);

struct buf *conn_out(struct conn *c);		/* maximum CONN_OUT_MAX; marks the connection for writing this turn */
bool conn_out_is_high(const struct conn *c);
/* Stops calling input (bytes stay with the kernel or kept); resume shows kept input again, from the loop, not from inside the call. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/*
 * From input (STARTTLS, after appending the 220) or right after conn_new (implicit TLS): what is in out goes in clear first, everything
 * read but not consumed is thrown away (RFC 3207 4.2), then the handshake runs (own deadline CONN_HANDSHAKE_MS).
 */
void conn_start_tls(struct conn *c, struct tls_context *ctx);
const struct tls_info *conn_tls(const struct conn *c);	/* NULL: not under TLS. version, cipher, SNI, binding data */
/* One deadline per connection, moved cheaply (lazy timer). 0: none. */
void conn_deadline(struct conn *c, uint64_t ms);
/* Writes out what is left (own deadline), shuts TLS down, closes. handler.closed comes later, from the loop. */
void conn_close(struct conn *c);
/* Now, without writing. handler.closed is called from the loop. */
void conn_abort(struct conn *c);
const struct sock_addr *conn_peer(const struct conn *c);
const struct sock_addr *conn_local(const struct conn *c);

#endif
