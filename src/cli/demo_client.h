/*
 * A mail client for the demo: one connection to loopback, plain or TLS, whose lines are shown as they go. Blocking, with a time-out; not for
 * anything but the demo.
 */
#ifndef POSTHORN_CLI_DEMO_CLIENT_H
#define POSTHORN_CLI_DEMO_CLIENT_H

#include "base/buf.h"

#define DEMO_TIMEOUT_S 20
/* A message of the demo, and then some. */
#define DEMO_BYTES_MAX (1 << 20)

struct demo_client {
	int fd;
	struct ssl_ctx_st *ctx;	/* NULL: plain */
	struct ssl_st *ssl;
	char in[4096];
	size_t in_at, in_n;
	struct buf line;	/* the last one heard */
};

/* False: failed, and said so on stderr; demo_client_close in any case. */
bool demo_client_open(struct demo_client *k, uint16_t port);
/* Verifies that the server is hostname by a certificate that one of the two files holds. */
bool demo_client_tls(struct demo_client *k, const char *hostname, const char *pem_a, const char *pem_b);
void demo_client_close(struct demo_client *k);

/* Sends a line (CRLF is added); shown in its place when not NULL. */
bool demo_client_say(struct demo_client *k, const char *line, const char *shown);
/* Sends as it is, shows nothing. */
bool demo_client_send(struct demo_client *k, struct str bytes);
/* A line into k->line, shown. */
bool demo_client_hear(struct demo_client *k);
/* An SMTP reply, all of its lines, that begins with code. */
bool demo_client_expect_smtp(struct demo_client *k, const char *code);
/* "+OK ..." */
bool demo_client_expect_pop3(struct demo_client *k);
/* The lines up to ".", shown; appended to out with LF. */
bool demo_client_hear_all(struct demo_client *k, struct buf *out);

#endif
