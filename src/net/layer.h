/*
 * Layers of a connection, inside src/net only: each owns the next one below it and knows only its operations.
 *
 * read/write/handshake answer ST_OK, ST_MORE (would block: `wants` says what must become possible first; 0 when it will
 * wake its owner itself), ST_EOF (read: the peer sends no more) or anything else for broken.
 */
#ifndef POSTHORN_NET_LAYER_H
#define POSTHORN_NET_LAYER_H

#include "net/sim.h"
#include "net/tls.h"
#include "sys/loop.h"

struct layer;

struct layer_ops {
	enum status (*handshake)(struct layer *y);	/* NULL: has none */
	enum status (*read)(struct layer *y, void *p, size_t n, size_t *got_out);
	/* May take less than n. After ST_MORE the same bytes must be offered again (maybe at another address, maybe with more behind). */
	enum status (*write)(struct layer *y, const void *p, size_t n, size_t *done_out);
	/* Bytes are held inside that a read would return without the bottom becoming readable. */
	bool (*has_pending)(const struct layer *y);
	/* Tells the peer, as far as that is possible without waiting, that no more comes. */
	void (*shutdown)(struct layer *y);
	/* This one only, without a word to the peer. */
	void (*free)(struct layer *y);
};

struct layer {
	const struct layer_ops *ops;
	struct layer *next;	/* owned; NULL at the bottom */
	unsigned wants;
	/*
	 * Bottom of a descriptor: the last read came back short, so another one would only hear EAGAIN. Cleared by readiness.
	 * Saves one system call a wake-up.
	 */
	bool is_dry;
};

/* Takes fd; -1: of a connection that never came to be, and is never read or written. */
struct layer *layer_fd_new(int fd);
int layer_fd(const struct layer *bottom);
/* Takes end. */
struct layer *layer_sim_new(struct sim_end *end);
/* These bytes are read before anything else. Copied; a bottom holds at most one such piece at a time, and none of 0 bytes. */
void layer_push(struct layer *bottom, struct str bytes);
void layer_free_all(struct layer **top);

/*
 * A TLS server over `next` (taken). wake is called from tls_sign_done and from other connections' work: it must only note that
 * the handshake can go on. ctx is borrowed until the layer is freed.
 */
struct layer *tls_layer_new(struct tls_context *ctx, struct layer *next, loop_fn *wake, void *wake_arg);
const struct tls_info *tls_layer_info(const struct layer *y);
/*
 * The client's side. o is copied; address names the server for resumption ("192.0.2.1:25").
 */
struct layer *tls_client_layer_new(struct tls_context *ctx, struct layer *next, loop_fn *wake, void *wake_arg,
    const struct tls_client_options *o, struct str address);
bool tls_layer_exporter(const struct layer *y, uint8_t out[32]);
bool tls_layer_server_end_point(const struct layer *y, uint8_t out[TLS_END_POINT_MAX], size_t *n_out);
enum status tls_layer_client_name(const struct layer *y, struct buf *out);
/* Why it broke, for a log line; static, "" when it did not. */
const char *tls_layer_error(const struct layer *y);

#endif
