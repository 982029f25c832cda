/*
 * Fuzz: whatever a client (or, by the first byte, a server or a proxy) sends into a TLS connection, over a stream that trickles by the
 * second byte: no crash, the connection ends, nothing is left in OpenSSL's error queue.
 */
#include <openssl/err.h>

#include "base/check.h"
#include "net/conn.h"
#include "net/test_tls_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Of the first byte. */
enum { NO_SHUTDOWN = 1, WITH_CLIENT_CA = 0x20, IS_CLIENT = 0x40, BEHIND_PROXY = 0x80 };

static struct test_cert cert;

static void
signer(void *arg, const struct tls_sign_request *rq)
{
	struct buf out;

	(void)arg;
	buf_init(&out, TLS_SIGN_RESULT_MAX);
	/* Every other time the answer never comes. */
	if (rq->ticket / TLS_WAITING_MAX % 2 == 0) {
		CHECK(tls_key_sign(cert.key, rq->kind, rq->op, rq->input, &out) == ST_OK);
		tls_sign_done(rq->ticket, buf_str(&out));
	}
	buf_fini(&out);
}

static void
on_input(void *arg, struct conn *c, struct cur *in)
{
	(void)arg;
	(void)buf_put(conn_out(c), cur_rest(in));
	cur_skip(in, cur_left(in));
}

static void
on_closed(void *arg, struct conn *c, enum conn_end why)
{
	(void)c;
	(void)why;
	*(bool *)arg = true;
}

static const struct conn_handler handler = {.input = on_input, .closed = on_closed};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct clock clock;
	struct loop *l;
	struct tls_context *ctx, *client;
	struct sim_end *end, *peer;
	struct conn *c;
	struct buf error;
	bool is_closed = false;

	if (size < 2)
		return 0;
	tls_process_init();
	if (cert.key == NULL)
		test_cert_make(&cert, TLS_KEY_ECDSA_P256, "DNS:a.example");
	clock_init_fake(&clock, 0);
	l = loop_new(&clock);
	ctx = tls_context_new(l, signer, NULL);
	buf_init(&error, 100);
	CHECK(tls_context_add(ctx, buf_str(&cert.pem), 0, &error) == ST_OK);
	if (data[0] & WITH_CLIENT_CA)
		CHECK(tls_context_set_client_ca(ctx, buf_str(&cert.pem)) == ST_OK);
	client = tls_client_context_new(l);
	sim_pair(l, &(struct sim_opts){.seed = data[0], .piece_bytes_max = data[1]}, &end, &peer);
	c = conn_new_sim(l, end, &handler, &is_closed, 1000);
	if (data[0] & BEHIND_PROXY)
		conn_expect_proxy(c);
	if (data[0] & IS_CLIENT)
		conn_start_tls_client(c, client, &(struct tls_client_options){.server_name = STR("a.example")});
	else
		conn_start_tls(c, ctx);
	conn_deadline(c, 60000);
	for (size_t at = 2; at < size && !is_closed;) {
		size_t n = 0;
		if (sim_write(peer, data + at, size - at, &n) == ST_IO)
			break;
		at += n;
		(void)loop_turn(l, -1);
	}
	if (!(data[0] & NO_SHUTDOWN))
		sim_shutdown(peer);
	loop_run(l);
	CHECK(is_closed);
	CHECK(ERR_peek_error() == 0);
	sim_close(&peer);
	buf_fini(&error);
	tls_context_free(&ctx);
	tls_context_free(&client);
	loop_free(&l);
	return 0;
}
