/* The client's side of TLS against the server's in one process, client certificates, and the
 * binding to the server's certificate. */
#include <openssl/err.h>

#include "base/check.h"
#include "base/num.h"
#include "base/unit.h"
#include "net/conn.h"
#include "net/test_tls_peer.h"

struct world {
	struct clock clock;
	struct loop *l;
	struct tls_context *ctx, *client;
	const struct test_cert *key; /* the server's */
	struct tls_client_options options;
	int signs;
};

/* Either side: answers lines, and starts TLS by them. */
struct side {
	struct world *w;
	struct conn *c;
	bool is_client;
	int tls_done_n, connected_n, closed_n;
	enum conn_end why;
	char error[100];
	struct buf heard;
	/* What conn_tls said when it was done. */
	struct tls_info info;
	char sni[256];
	uint8_t point[TLS_END_POINT_MAX];
	size_t point_n;
	enum status name_st;
	struct buf name;
};

static struct test_cert server_ecdsa, server_rsa, server_old;

static void
signer(void *arg, const struct tls_sign_request *rq)
{
	struct world *w = arg;
	struct buf out;

	w->signs++;
	buf_init(&out, TLS_SIGN_RESULT_MAX);
	EXPECT(tls_key_sign(w->key->key, rq->kind, rq->op, rq->input, &out) == ST_OK);
	tls_sign_done(rq->ticket, buf_str(&out));
	buf_fini(&out);
}

static void
side_line(struct side *s, struct conn *c, struct str line)
{
	(void)buf_putf(&s->heard, "<%.*s>", STR_ARG(line));
	if (s->is_client && str_eq(line, STR("220")))
		conn_start_tls_client(c, s->w->client, &s->w->options);
	if (!s->is_client && str_eq(line, STR("STARTTLS"))) {
		(void)buf_put(conn_out(c), STR("220\r\n"));
		conn_start_tls(c, s->w->ctx);
	}
	if (str_eq(line, STR("bye")))
		conn_close(c);
}

static void
side_input(void *arg, struct conn *c, struct cur *in)
{
	struct side *s = arg;
	struct str line;

	while (cur_take_line(in, &line)) {
		side_line(s, c, line);
		if (str_eq(line, STR("220")) || str_eq(line, STR("STARTTLS")))
			return;
	}
}

static void
side_connected(void *arg, struct conn *c)
{
	(void)c;
	((struct side *)arg)->connected_n++;
}

static void
side_tls_done(void *arg, struct conn *c)
{
	struct side *s = arg;
	uint8_t exporter[32];

	s->tls_done_n++;
	s->info = *conn_tls(c);
	snprintf(s->sni, sizeof(s->sni), "%.*s", STR_ARG(s->info.sni));
	EXPECT(conn_tls_exporter(c, exporter));
	if (!conn_tls_server_end_point(c, s->point, &s->point_n))
		s->point_n = 0;
	buf_reset(&s->name);
	s->name_st = conn_tls_client_name(c, &s->name);
	(void)buf_put(conn_out(c), STR("hello\r\n"));
}

static void
side_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct side *s = arg;

	s->closed_n++;
	s->why = why;
	s->c = NULL;
	EXPECT((conn_tls(c) != NULL) == (s->tls_done_n > 0));
	snprintf(s->error, sizeof(s->error), "%s", conn_tls_error(c));
}

static const struct conn_handler handler = {.connected = side_connected,
    .input = side_input,
    .tls_done = side_tls_done,
    .closed = side_closed};

static void
world_init(struct world *w, const struct test_cert *key)
{
	struct buf error;

	*w = (struct world){.key = key, .options = {.server_name = STR("a.example")}};
	clock_init_fake(&w->clock, 1000000000);
	w->l = loop_new(&w->clock);
	w->ctx = tls_context_new(w->l, signer, w);
	w->client = tls_client_context_new(w->l);
	buf_init(&error, 200);
	EXPECT(tls_context_add(w->ctx, buf_str(&key->pem), 1, &error) == ST_OK);
	buf_fini(&error);
}

static void
world_fini(struct world *w)
{
	tls_context_free(&w->ctx);
	tls_context_free(&w->client);
	loop_free(&w->l);
	EXPECT(ERR_peek_error() == 0);
}

static void
run_ms(struct world *w, uint64_t ms)
{
	uint64_t end = clock_mono_ms(&w->clock) + ms;

	while (clock_mono_ms(&w->clock) < end)
		loop_turn(w->l, (int)(end - clock_mono_ms(&w->clock)));
	while (loop_turn(w->l, 0))
		continue;
}

static void
side_init(struct side *s, struct world *w, struct sim_end *end, bool is_client)
{
	*s = (struct side){.w = w, .is_client = is_client};
	buf_init(&s->heard, 10000);
	buf_init(&s->name, 10000);
	s->c = conn_new_sim(w->l, end, &handler, s, 20000);
}

static void
side_fini(struct side *s)
{
	if (s->c != NULL)
		conn_abort(s->c);
	run_ms(s->w, 0);
	EXPECT(s->closed_n == 1);
	buf_fini(&s->heard);
	buf_fini(&s->name);
}

struct pair {
	struct side server, client;
};

/* Implicit TLS on both sides. */
static void
pair_init(struct pair *p, struct world *w, const struct sim_opts *o, struct str address)
{
	struct sim_end *a, *b;
	struct sock_addr at;

	sim_pair(w->l, o, &a, &b);
	side_init(&p->server, w, a, false);
	side_init(&p->client, w, b, true);
	CHECK(sock_ip_parse(address, &at) == ST_OK);
	conn_set_peer(p->client.c, &at);
	conn_start_tls(p->server.c, w->ctx);
	conn_start_tls_client(p->client.c, w->client, &w->options);
}

static void
pair_fini(struct pair *p)
{
	if (p->client.c != NULL) {
		conn_close(p->client.c);
		run_ms(p->client.w, 10);
	}
	side_fini(&p->client);
	side_fini(&p->server);
}

static void
point_is(const struct side *s, const struct test_cert *c, const EVP_MD *md)
{
	X509 *x = test_cert_x509(c);
	uint8_t want[EVP_MAX_MD_SIZE];
	unsigned int n;

	CHECK(X509_digest(x, md, want, &n) == 1);
	EXPECT(s->point_n == n && memcmp(s->point, want, n) == 0);
	X509_free(x);
}

static void
talks(void)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct world w;
		struct pair p;
		world_init(&w, seed % 2 ? &server_rsa : &server_ecdsa);
		pair_init(&p, &w,
		    &(struct sim_opts){.seed = seed,
			.piece_bytes_max = (size_t)seed * 50,
			.delay_ms_max = seed % 3},
		    STR("192.0.2.1"));
		run_ms(&w, 2000);
		EXPECT(p.client.tls_done_n == 1 && p.server.tls_done_n == 1 &&
		       p.client.connected_n == 1);
		EXPECT_STR(buf_str(&p.client.heard), STR("<hello>"));
		EXPECT_STR(buf_str(&p.server.heard), STR("<hello>"));
		EXPECT_STR(str_of_c(p.client.info.version), STR("TLSv1.3"));
		EXPECT_STR(str_of_c(p.client.info.cipher), str_of_c(p.server.info.cipher));
		EXPECT_STR(str_of_c(p.client.sni), STR("a.example"));
		EXPECT_STR(str_of_c(p.server.sni), STR("a.example"));
		EXPECT(!p.client.info.is_peer_verified && !p.client.info.is_resumed);
		EXPECT_STR(str_of_c(p.client.info.peer_problem), STR("self-signed certificate"));
		EXPECT_STR(str_of_c(p.server.info.peer_problem), STR(""));
		EXPECT(p.client.name_st == ST_NOTFOUND && p.server.name_st == ST_NOTFOUND);
		point_is(&p.client, w.key, EVP_sha256());
		point_is(&p.server, w.key, EVP_sha256());
		pair_fini(&p);
		EXPECT(p.client.why == CONN_END_LOCAL && p.server.why == CONN_END_EOF);
		world_fini(&w);
	}
}

static void
expired_is_good_enough(void)
{
	struct world w;
	struct pair p;

	world_init(&w, &server_old);
	w.options.server_name = STR("other.example");
	pair_init(&p, &w, NULL, STR("192.0.2.1"));
	run_ms(&w, 10);
	EXPECT(p.client.tls_done_n == 1);
	EXPECT(p.client.info.peer_problem[0] != 0 && !p.client.info.is_peer_verified);
	pair_fini(&p);
	world_fini(&w);
}

static void
names_that_no_sni_can_hold(void)
{
	static char name_255[] = "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x."
				 "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x."
				 "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x."
				 "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x."
				 "x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.x.xx";
	static const struct {
		struct str name, sni;
	} table[] = {
	    {STR_INIT("mx.example."), STR_INIT("mx.example")},
	    {STR_INIT("MX_1.example"), STR_INIT("MX_1.example")},
	    {STR_INIT(""), STR_INIT("")},
	    {STR_INIT("."), STR_INIT("")},
	    {STR_INIT("192.0.2.1"), STR_INIT("")},
	    {STR_INIT("2001:db8::1"), STR_INIT("")},
	    {STR_INIT("[192.0.2.1]"), STR_INIT("")},
	    {STR_INIT("a b"), STR_INIT("")},
	    {STR_INIT("a\0b"), STR_INIT("")},
	    {STR_INIT("b\xc3\xbc.example"), STR_INIT("")},
	    {{name_255, 255}, {name_255, 255}},
	    {{name_255, 256}, STR_INIT("")},
	};

	CHECK(sizeof(name_255) >= 257);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct world w;
		struct pair p;
		world_init(&w, &server_ecdsa);
		w.options.server_name = table[i].name;
		pair_init(&p, &w, NULL, STR("192.0.2.1"));
		run_ms(&w, 10);
		EXPECT(p.client.tls_done_n == 1);
		EXPECT_STR(str_of_c(p.server.sni), table[i].sni);
		pair_fini(&p);
		world_fini(&w);
	}
}

/* One connection that ends well; was it resumed? */
static bool
is_resumed(struct world *w, struct str name, struct str address)
{
	struct pair p;
	bool is;

	w->options.server_name = name;
	pair_init(&p, w, NULL, address);
	run_ms(w, 10);
	EXPECT(p.client.tls_done_n == 1 && p.server.tls_done_n == 1);
	is = p.client.info.is_resumed;
	EXPECT(p.server.info.is_resumed == is);
	EXPECT_STR(str_of_c(p.client.info.peer_problem), STR("self-signed certificate"));
	/* The same binding, though no certificate was sent. */
	point_is(&p.client, w->key, EVP_sha256());
	point_is(&p.server, w->key, EVP_sha256());
	pair_fini(&p);
	return is;
}

static void
resumes(void)
{
	struct world w;
	struct str a = STR("a.example"), at = STR("192.0.2.1");

	world_init(&w, &server_ecdsa);
	EXPECT(!is_resumed(&w, a, at));
	EXPECT(is_resumed(&w, a, at) && is_resumed(&w, a, at));
	EXPECT(w.signs == 1);
	/* Another name or another address is another server. */
	EXPECT(!is_resumed(&w, STR("b.example"), at));
	EXPECT(!is_resumed(&w, a, STR("192.0.2.2")));
	EXPECT(!is_resumed(&w, STR(""), at));
	EXPECT(is_resumed(&w, a, at) && is_resumed(&w, STR("b.example"), at));
	run_ms(&w, TLS_CLIENT_SESSION_MS - 1000);
	EXPECT(is_resumed(&w, a, at));
	run_ms(&w, TLS_CLIENT_SESSION_MS);
	EXPECT(!is_resumed(&w, a, at));
	world_fini(&w);
}

static void
sessions_have_a_limit(void)
{
	struct world w;
	char name[40];

	world_init(&w, &server_ecdsa);
	for (int i = 0; i < TLS_CLIENT_SESSIONS_MAX; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		EXPECT(!is_resumed(&w, str_of_c(name), STR("192.0.2.1")));
	}
	/* All are there: the first is used, and kept anew as the last. */
	EXPECT(is_resumed(&w, STR("n0.example"), STR("192.0.2.1")));
	EXPECT(!is_resumed(&w, STR("more.example"), STR("192.0.2.1")));
	EXPECT(!is_resumed(&w, STR("n1.example"), STR("192.0.2.1")));
	EXPECT(is_resumed(&w, STR("n3.example"), STR("192.0.2.1")));
	EXPECT(is_resumed(&w, STR("n0.example"), STR("192.0.2.1")));
	world_fini(&w);
}

/* An OpenSSL server over memory on the other end of a simulated stream: of TLS 1.2, or with what
 * ours does not have. */
struct foreign {
	struct sim_end *end;
	SSL *ssl;
	BIO *in, *out;
	struct buf heard;
	bool is_up;
};

static void
foreign_send(struct foreign *f)
{
	char b[16384];
	size_t done;
	int n;

	while ((n = BIO_read(f->out, b, sizeof(b))) > 0)
		if (sim_write(f->end, b, (size_t)n, &done) != ST_OK)
			return;
}

static void
foreign_ready(void *arg, unsigned events)
{
	struct foreign *f = arg;
	char b[5000];
	size_t got;
	int n;

	(void)events;
	while (sim_read(f->end, b, sizeof(b), &got) == ST_OK)
		CHECK(BIO_write(f->in, b, (int)got) == (int)got);
	if (!f->is_up && SSL_do_handshake(f->ssl) == 1) {
		f->is_up = true;
		CHECK(SSL_write(f->ssl, "hello\r\n", 7) == 7);
	}
	while (f->is_up && (n = SSL_read(f->ssl, b, sizeof(b))) > 0)
		(void)buf_put(&f->heard, str_of(b, (size_t)n));
	/* Without a word from its side OpenSSL would forget the session. */
	if (f->is_up && SSL_get_shutdown(f->ssl) == SSL_RECEIVED_SHUTDOWN)
		(void)SSL_shutdown(f->ssl);
	ERR_clear_error();
	foreign_send(f);
}

static SSL_CTX *
foreign_ctx_new(const struct test_cert *c, int version)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	X509 *x = test_cert_x509(c);

	CHECK(ctx != NULL);
	SSL_CTX_set_security_level(ctx, 0);
	CHECK(SSL_CTX_set_min_proto_version(ctx, version == 0 ? 0 : version) == 1);
	CHECK(SSL_CTX_set_max_proto_version(ctx, version) == 1);
	CHECK(SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, c->key) == 1);
	X509_free(x);
	return ctx;
}

/* Ends the connection well unless is_cut. The client's info. */
static struct side
foreign_talk(struct world *w, SSL_CTX *ctx, bool is_cut)
{
	struct foreign f = {
	    .ssl = SSL_new(ctx), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem())};
	struct side c;
	struct sim_end *end;

	CHECK(f.ssl != NULL && f.in != NULL && f.out != NULL);
	buf_init(&f.heard, 10000);
	sim_pair(w->l, NULL, &end, &f.end);
	SSL_set_bio(f.ssl, f.in, f.out);
	SSL_set_accept_state(f.ssl);
	sim_watch(f.end, foreign_ready, &f);
	side_init(&c, w, end, true);
	conn_start_tls_client(c.c, w->client, &w->options);
	run_ms(w, 100);
	EXPECT(f.is_up == (c.tls_done_n == 1));
	if (f.is_up) {
		EXPECT_STR(buf_str(&f.heard), STR("hello\r\n"));
		EXPECT_STR(buf_str(&c.heard), STR("<hello>"));
	}
	if (c.c != NULL && is_cut)
		conn_abort(c.c);
	else if (c.c != NULL)
		conn_close(c.c);
	run_ms(w, 10);
	side_fini(&c);
	sim_close(&f.end);
	SSL_free(f.ssl);
	buf_fini(&f.heard);
	ERR_clear_error();
	return c;
}

static void
older_servers(void)
{
	static const struct {
		int version;
		const char *ciphers, *says; /* says NULL: no handshake */
	} table[] = {
	    {TLS1_3_VERSION, NULL, "TLSv1.3"},
	    {TLS1_2_VERSION, NULL, "TLSv1.2"},
	    {TLS1_2_VERSION, "ECDHE-RSA-AES128-SHA", "TLSv1.2"},
	    {TLS1_2_VERSION, "AES128-SHA", "TLSv1.2"},
	    {TLS1_2_VERSION, "ADH:AECDH:@SECLEVEL=0", NULL},
	    {TLS1_2_VERSION, "NULL-SHA256:@SECLEVEL=0", NULL},
	    {TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct world w;
		struct side c;
		SSL_CTX *ctx = foreign_ctx_new(&server_rsa, table[i].version);
		world_init(&w, &server_rsa);
		if (table[i].ciphers != NULL)
			CHECK(SSL_CTX_set_cipher_list(ctx, table[i].ciphers) == 1);
		c = foreign_talk(&w, ctx, false);
		if (table[i].says != NULL) {
			EXPECT(c.tls_done_n == 1 && c.why == CONN_END_LOCAL);
			EXPECT_STR(str_of_c(c.info.version), str_of_c(table[i].says));
			point_is(&c, &server_rsa, EVP_sha256());
		} else {
			EXPECT(c.tls_done_n == 0 && c.why == CONN_END_TLS && c.error[0] != 0);
		}
		SSL_CTX_free(ctx);
		world_fini(&w);
	}
}

static void
resumes_tls_12(void)
{
	for (int has_tickets = 0; has_tickets < 2; has_tickets++) {
		struct world w;
		struct side c;
		SSL_CTX *ctx = foreign_ctx_new(&server_ecdsa, TLS1_2_VERSION);
		if (!has_tickets)
			(void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		CHECK(SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"x", 1) == 1);
		world_init(&w, &server_ecdsa);
		c = foreign_talk(&w, ctx, false);
		EXPECT(c.tls_done_n == 1 && !c.info.is_resumed);
		for (int i = 0; i < 3; i++) {
			c = foreign_talk(&w, ctx, false);
			EXPECT(c.tls_done_n == 1 && c.info.is_resumed);
			point_is(&c, &server_ecdsa, EVP_sha256());
			EXPECT_STR(str_of_c(c.info.peer_problem), STR("self-signed certificate"));
		}
		/* One that is cut costs nothing on our side; the server may think otherwise. */
		c = foreign_talk(&w, ctx, true);
		EXPECT(c.tls_done_n == 1 && c.info.is_resumed);
		c = foreign_talk(&w, ctx, false);
		EXPECT(c.tls_done_n == 1);
		c = foreign_talk(&w, ctx, false);
		EXPECT(c.tls_done_n == 1 && c.info.is_resumed);
		/* Being of use does not make it live longer. */
		run_ms(&w, TLS_CLIENT_SESSION_MS - 1000);
		c = foreign_talk(&w, ctx, false);
		EXPECT(c.tls_done_n == 1 && c.info.is_resumed);
		run_ms(&w, 1000);
		c = foreign_talk(&w, ctx, false);
		EXPECT(c.tls_done_n == 1 && !c.info.is_resumed);
		SSL_CTX_free(ctx);
		world_fini(&w);
	}
}

/* The server's certificate is in the session. */
static void
big_sessions_are_not_kept(void)
{
	static char sans[20000];

	for (size_t i = 0; i < 2; i++) {
		size_t n = (size_t)snprintf(sans, sizeof(sans), "DNS:a.example"),
		       max = i == 0 ? 6500 : 12000;
		struct test_cert big;
		struct side c;
		struct world w;
		SSL_CTX *ctx;
		while (n < max)
			n += (size_t)snprintf(
			    sans + n, sizeof(sans) - n, ",DNS:name-%zu.example", n);
		test_cert_make(&big, TLS_KEY_ECDSA_P256, sans);
		ctx = foreign_ctx_new(&big, TLS1_3_VERSION);
		world_init(&w, &big);
		for (int round = 0; round < 3; round++) {
			c = foreign_talk(&w, ctx, false);
			EXPECT(c.tls_done_n == 1 && c.info.is_resumed == (i == 0 && round > 0));
		}
		SSL_CTX_free(ctx);
		test_cert_drop(&big);
		world_fini(&w);
	}
}

/* RFC 5929 4.1: SHA-256 for the broken ones, else its own. */
static void
binding_follows_the_signature(void)
{
	struct test_cert ca, sha1, md5, sha512, ed;
	struct test_cert *certs[] = {&sha1, &md5, &sha512, &ed};
	const EVP_MD *mds[] = {EVP_sha1(), EVP_md5(), EVP_sha512()};
	struct world w;
	struct side c;
	SSL_CTX *ctx;

	test_cert_make(&ca, TLS_KEY_RSA, "DNS:ca.example");
	for (int i = 0; i < 3; i++)
		test_cert_make_with(certs[i], &(struct test_cert_opts){.kind = TLS_KEY_ECDSA_P256,
						  .sans = "DNS:a.example",
						  .issuer = &ca,
						  .md = mds[i]});
	/* One that is signed by Ed25519 has no hash of its own. */
	EVP_PKEY_free(ca.key);
	ca.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	test_cert_make_with(&ed, &(struct test_cert_opts){.kind = TLS_KEY_ECDSA_P256,
				     .sans = "DNS:a.example",
				     .issuer = &ca,
				     .md = EVP_md_null()});
	for (int i = 0; i < 4; i++) {
		world_init(&w, certs[i]);
		ctx = foreign_ctx_new(certs[i], TLS1_3_VERSION);
		c = foreign_talk(&w, ctx, false);
		EXPECT(c.tls_done_n == 1);
		if (i == 3)
			EXPECT(c.point_n == 0);
		else
			point_is(&c, certs[i], i == 2 ? EVP_sha512() : EVP_sha256());
		SSL_CTX_free(ctx);
		/* Our own server says the same; it does not serve certificates under broken hashes.
		 */
		struct pair p;
		if (i < 2)
			goto next;
		pair_init(&p, &w, NULL, STR("192.0.2.7"));
		run_ms(&w, 10);
		EXPECT(p.server.tls_done_n == 1 && p.server.point_n == c.point_n);
		EXPECT(memcmp(p.server.point, c.point, c.point_n) == 0);
		pair_fini(&p);
	next:
		world_fini(&w);
		test_cert_drop(certs[i]);
	}
	test_cert_drop(&ca);
}

static void
starttls(void)
{
	static const struct {
		struct str before, after;
		bool is_injected;
	} table[] = {
	    {STR_INIT("220\r\n"), STR_INIT(""), false},
	    {STR_INIT("220 x\r\n220\r\n"), STR_INIT(""), false},
	    {STR_INIT("220\r\n250 EVIL\r\n"), STR_INIT(""), true},
	    {STR_INIT("220\r\n2"), STR_INIT(""), true},
	    {STR_INIT("220\r\n\n"), STR_INIT(""), true},
	    {STR_INIT("220\r\n"), STR_INIT("250 EVIL\r\n"), true},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct world w;
		struct side c;
		struct sim_end *end, *peer;
		char b[2000];
		size_t n;
		world_init(&w, &server_ecdsa);
		sim_pair(w.l, NULL, &end, &peer);
		side_init(&c, &w, end, true);
		CHECK(sim_write(peer, table[i].before.p, table[i].before.n, &n) == ST_OK);
		run_ms(&w, 10);
		if (table[i].after.n > 0)
			CHECK(sim_write(peer, table[i].after.p, table[i].after.n, &n) == ST_OK);
		run_ms(&w, 10);
		EXPECT(c.closed_n == table[i].is_injected && c.tls_done_n == 0);
		EXPECT(str_find(buf_str(&c.heard), STR("EVIL")) == c.heard.n);
		if (c.closed_n > 0)
			EXPECT(c.why == CONN_END_TLS && c.error[0] != 0);
		if (i == 2)
			EXPECT_STR(str_of_c(c.error), STR("bytes behind the answer to STARTTLS"));
		/* A hello, and nothing in the case that we saw it before. */
		EXPECT((sim_read(peer, b, sizeof(b), &n) == ST_OK) ==
		       (!table[i].is_injected || table[i].after.n > 0));
		side_fini(&c);
		sim_close(&peer);
		world_fini(&w);
	}
}

static void
starttls_between_ours(void)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct world w;
		struct pair p;
		struct sim_end *a, *b;
		world_init(&w, &server_ecdsa);
		sim_pair(w.l,
		    &(struct sim_opts){
			.seed = seed, .piece_bytes_max = (size_t)seed * 3, .delay_ms_max = 2},
		    &a, &b);
		side_init(&p.server, &w, a, false);
		side_init(&p.client, &w, b, true);
		(void)buf_put(conn_out(p.client.c), STR("STARTTLS\r\n"));
		run_ms(&w, 3000);
		EXPECT(p.client.tls_done_n == 1 && p.server.tls_done_n == 1);
		EXPECT_STR(buf_str(&p.client.heard), STR("<220><hello>"));
		EXPECT_STR(buf_str(&p.server.heard), STR("<STARTTLS><hello>"));
		pair_fini(&p);
		world_fini(&w);
	}
}

static void
garbage_servers(void)
{
	static const struct str bad[] = {STR_INIT("220 mx.example ESMTP\r\n"),
	    STR_INIT("\x15\x03\x03\0\x02\x02\x28"), STR_INIT("\x16\x03\x03\0\x04\x0e\0\0\0"),
	    STR_INIT("\0\0\0\0\0\0\0\0"), STR_INIT("\x16\x03\x03\xff\xff")};

	for (size_t i = 0; i < COUNT_OF(bad) + 2; i++) {
		struct world w;
		struct side c;
		struct sim_end *end, *peer;
		size_t n;
		world_init(&w, &server_ecdsa);
		sim_pair(w.l, NULL, &end, &peer);
		side_init(&c, &w, end, true);
		conn_start_tls_client(c.c, w.client, &w.options);
		run_ms(&w, 10);
		EXPECT(c.closed_n == 0);
		if (i < COUNT_OF(bad))
			CHECK(sim_write(peer, bad[i].p, bad[i].n, &n) == ST_OK);
		else if (i == COUNT_OF(bad))
			sim_shutdown(peer);
		run_ms(&w, i > COUNT_OF(bad) ? CONN_HANDSHAKE_MS + CONN_DEADLINE_LATE_MS : 10);
		EXPECT(c.closed_n == 1 && c.tls_done_n == 0);
		EXPECT(c.why == (i > COUNT_OF(bad) ? CONN_END_TIMEOUT : CONN_END_TLS));
		EXPECT(i > COUNT_OF(bad) || c.error[0] != 0);
		EXPECT(ERR_peek_error() == 0);
		side_fini(&c);
		sim_close(&peer);
		world_fini(&w);
	}
}

static void
cut_at_many_bytes(void)
{
	for (uint64_t at = 1; at < 1500; at += 37) {
		struct world w;
		struct pair p;
		world_init(&w, &server_ecdsa);
		pair_init(&p, &w,
		    &(struct sim_opts){.seed = at,
			.piece_bytes_max = 100,
			.cut_ab_bytes = at % 2 ? at : 0,
			.cut_ba_bytes = at % 2 ? 0 : at},
		    STR("192.0.2.1"));
		run_ms(&w, 1000);
		EXPECT(p.client.closed_n == 1 || p.client.tls_done_n == 1);
		pair_fini(&p);
		/* A session of it is no trap for the next. */
		(void)is_resumed(&w, STR("a.example"), STR("192.0.2.1"));
		world_fini(&w);
	}
}

/* A PROXY header and the client's hello in one piece. */
static void
tls_behind_a_proxy(void)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		static const char header[] = "PROXY TCP4 192.0.2.1 198.51.100.2 51000 25\r\n";
		struct world w;
		struct pair p;
		struct sim_end *a, *b;
		struct sock_addr from;
		world_init(&w, &server_ecdsa);
		sim_pair(w.l,
		    &(struct sim_opts){.seed = seed, .piece_bytes_max = (size_t)seed * 20}, &a, &b);
		side_init(&p.server, &w, a, false);
		side_init(&p.client, &w, b, true);
		conn_expect_proxy(p.server.c);
		conn_start_tls(p.server.c, w.ctx);
		/* Early output goes in clear, before the handshake. */
		(void)buf_put(conn_out(p.client.c), str_of(header, sizeof(header) - 1));
		conn_start_tls_client(p.client.c, w.client, &w.options);
		run_ms(&w, 100);
		EXPECT(p.client.tls_done_n == 1 && p.server.tls_done_n == 1 &&
		       p.server.connected_n == 1);
		EXPECT_STR(buf_str(&p.server.heard), STR("<hello>"));
		CHECK(sock_ip_parse(STR("192.0.2.1"), &from) == ST_OK);
		EXPECT(sock_ip_eq(conn_peer(p.server.c), &from) &&
		       conn_peer(p.server.c)->port == 51000);
		pair_fini(&p);
		world_fini(&w);
	}
}

/* Client certificates. */

static SSL_CTX *client_ctx;

struct visit {
	const struct test_cert *cert; /* NULL: none */
	int version;
	SSL_SESSION *session; /* to resume; afterwards the new one, the caller's */
	bool is_resumed, is_up;
	enum status st;
	char names[5000];
	bool was_asked;
};

static bool was_asked;

static int
asked_cb(SSL *ssl, void *arg)
{
	(void)ssl;
	(void)arg;
	was_asked = true;
	return 1;
}

static SSL *
visitor_ssl(const struct visit *v)
{
	SSL *ssl = SSL_new(client_ctx);

	CHECK(ssl != NULL);
	CHECK(SSL_set_min_proto_version(ssl, v->version) == 1 &&
	      SSL_set_max_proto_version(ssl, v->version) == 1);
	SSL_set_cert_cb(ssl, asked_cb, NULL);
	if (v->cert != NULL) {
		X509 *x = test_cert_x509(v->cert);
		CHECK(
		    SSL_use_certificate(ssl, x) == 1 && SSL_use_PrivateKey(ssl, v->cert->key) == 1);
		X509_free(x);
	}
	if (v->session != NULL)
		CHECK(SSL_set_session(ssl, v->session) == 1);
	return ssl;
}

static void
visit_do(struct world *w, struct visit *v)
{
	struct side s;
	struct tls_client c;
	struct sim_end *a, *b;

	was_asked = false;
	sim_pair(w->l, NULL, &a, &b);
	side_init(&s, w, a, false);
	conn_start_tls(s.c, w->ctx);
	tls_client_start(&c, visitor_ssl(v), b);
	run_ms(w, 10);
	v->is_up = c.is_up && s.tls_done_n == 1 && s.c != NULL;
	EXPECT(v->is_up);
	if (v->is_up) {
		tls_client_say(&c, STR("one\r\n"));
		run_ms(w, 10);
		EXPECT_STR(buf_str(&s.heard), STR("<one>"));
	}
	v->is_resumed = s.info.is_resumed;
	v->st = s.name_st;
	v->was_asked = was_asked;
	snprintf(v->names, sizeof(v->names), "%.*s", STR_ARG(buf_str(&s.name)));
	SSL_SESSION_free(v->session);
	v->session = c.is_up ? SSL_SESSION_dup(SSL_get0_session(c.ssl)) : NULL;
	side_fini(&s);
	tls_client_stop(&c);
}

static struct test_cert ca, other_ca;

#define MAIL "email:joe@a.example,DNS:joe.example,email:Joe.Doe@b.example"
#define NAMES "joe@a.example\nJoe.Doe@b.example\n"

static void
client_certificates(void)
{
	static char sans[20000];
	struct {
		struct test_cert_opts o;
		enum status st;
		const char *names;
	} table[] = {
	    {{.sans = MAIL, .issuer = &ca}, ST_OK, NAMES},
	    {{.kind = TLS_KEY_ECDSA_P256, .sans = MAIL, .issuer = &ca, .usage = "clientAuth"},
		ST_OK, NAMES},
	    {{.sans = "DNS:a.example", .issuer = &ca}, ST_NOTFOUND, ""},
	    {{.sans = NULL, .issuer = &ca}, ST_NOTFOUND, ""},
	    {{.sans = MAIL}, ST_NOTFOUND, ""},
	    {{.sans = MAIL, .issuer = &other_ca}, ST_NOTFOUND, ""},
	    {{.sans = MAIL, .issuer = &ca, .is_expired = true}, ST_NOTFOUND, ""},
	    {{.sans = MAIL, .issuer = &ca, .usage = "serverAuth"}, ST_NOTFOUND, ""},
	    {{.sans = "email:a b@a.example,email:ok@a.example", .issuer = &ca}, ST_OK,
		"ok@a.example\n"},
	    {{.sans = sans, .issuer = &ca}, ST_OK, NULL},
	};
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct visit v;
	size_t n = 0;

	/* 254 bytes and 255; then more than 16 good ones. */
	n += (size_t)snprintf(sans + n, sizeof(sans) - n, "email:%0243d@l2.example,", 0);
	n += (size_t)snprintf(sans + n, sizeof(sans) - n, "email:%0244d@l2.example", 0);
	for (int i = 1; i <= TLS_CLIENT_NAMES_MAX; i++)
		n += (size_t)snprintf(sans + n, sizeof(sans) - n, ",email:u%d@a.example", i);
	for (size_t i = 0; i < COUNT_OF(table) * 2; i++) {
		struct world w;
		struct test_cert cert;
		world_init(&w, i % 3 ? &server_rsa : &server_ecdsa);
		EXPECT(tls_context_set_client_ca(w.ctx, buf_str(&ca.pem)) == ST_OK);
		test_cert_make_with(&cert, &table[i / 2].o);
		v = (struct visit){.cert = &cert, .version = versions[i % 2]};
		/* The second time it is resumed, and is the same client. */
		for (int round = 0; round < 2; round++) {
			visit_do(&w, &v);
			EXPECT(v.st == table[i / 2].st && v.is_resumed == (round == 1));
			EXPECT(v.was_asked == (round == 0));
			if (table[i / 2].names != NULL)
				EXPECT_STR(str_of_c(v.names), str_of_c(table[i / 2].names));
			else
				EXPECT(
				    str_has_suffix_ci(
					str_of_c(v.names), STR("\nu15@a.example\n")) &&
				    str_find_char(str_of_c(v.names), '\n') == TLS_CLIENT_NAME_MAX);
		}
		SSL_SESSION_free(v.session);
		test_cert_drop(&cert);
		world_fini(&w);
	}
}

static void
client_without_a_certificate(void)
{
	struct world w;
	struct visit v = {.version = TLS1_3_VERSION};

	world_init(&w, &server_ecdsa);
	EXPECT(tls_context_set_client_ca(w.ctx, buf_str(&ca.pem)) == ST_OK);
	visit_do(&w, &v);
	EXPECT(v.is_up && v.was_asked && v.st == ST_NOTFOUND);
	SSL_SESSION_free(v.session);
	world_fini(&w);
}

/* A ticket says who its client is only to those who trust the same authorities. */
static void
tickets_do_not_cross_authorities(void)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct test_cert cert;

	test_cert_make_with(&cert, &(struct test_cert_opts){.sans = MAIL, .issuer = &ca});
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		struct world w;
		struct visit v = {.cert = &cert, .version = versions[i]};
		world_init(&w, &server_ecdsa);
		/* None is asked for: a certificate at hand is not shown. */
		visit_do(&w, &v);
		EXPECT(v.st == ST_NOTFOUND && !v.was_asked);
		EXPECT(tls_context_set_client_ca(w.ctx, buf_str(&ca.pem)) == ST_OK);
		visit_do(&w, &v);
		EXPECT(!v.is_resumed && v.st == ST_OK);
		visit_do(&w, &v);
		EXPECT(v.is_resumed && v.st == ST_OK);
		EXPECT(tls_context_set_client_ca(w.ctx, buf_str(&other_ca.pem)) == ST_OK);
		visit_do(&w, &v);
		EXPECT(!v.is_resumed && v.st == ST_NOTFOUND);
		EXPECT(tls_context_set_client_ca(w.ctx, STR_NULL) == ST_OK);
		visit_do(&w, &v);
		EXPECT(!v.is_resumed && v.st == ST_NOTFOUND && !v.was_asked);
		SSL_SESSION_free(v.session);
		world_fini(&w);
	}
	test_cert_drop(&cert);
}

static void
authorities_that_are_none(void)
{
	struct world w;
	struct visit v = {.version = TLS1_3_VERSION};
	struct test_cert cert;
	struct buf many;

	test_cert_make_with(&cert, &(struct test_cert_opts){.sans = MAIL, .issuer = &ca});
	v.cert = &cert;
	world_init(&w, &server_ecdsa);
	buf_init(&many, 1 << 20);
	for (int i = 0; i < TLS_CLIENT_CAS_MAX; i++)
		EXPECT(buf_put(&many, buf_str(&other_ca.pem)) == ST_OK);
	EXPECT(tls_context_set_client_ca(w.ctx, buf_str(&many)) == ST_OK);
	EXPECT(tls_context_set_client_ca(w.ctx, buf_str(&ca.pem)) == ST_OK);
	/* What is refused leaves what was there. */
	EXPECT(buf_put(&many, buf_str(&other_ca.pem)) == ST_OK);
	EXPECT(tls_context_set_client_ca(w.ctx, buf_str(&many)) == ST_LIMIT);
	EXPECT(tls_context_set_client_ca(w.ctx, STR("no PEM")) == ST_SYNTAX);
	visit_do(&w, &v);
	EXPECT(v.st == ST_OK);
	EXPECT_STR(str_of_c(v.names), STR(NAMES));
	SSL_SESSION_free(v.session);
	buf_fini(&many);
	test_cert_drop(&cert);
	world_fini(&w);
}

int
main(void)
{
	tls_process_init();
	client_ctx = SSL_CTX_new(TLS_client_method());
	CHECK(client_ctx != NULL);
	SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
	test_cert_make(&server_ecdsa, TLS_KEY_ECDSA_P256, "DNS:a.example");
	test_cert_make(&server_rsa, TLS_KEY_RSA, "DNS:a.example");
	test_cert_make_with(&server_old,
	    &(struct test_cert_opts){
		.kind = TLS_KEY_ECDSA_P256, .sans = "DNS:a.example", .is_expired = true});
	test_cert_make_with(
	    &ca, &(struct test_cert_opts){.kind = TLS_KEY_ECDSA_P256, .is_ca = true});
	test_cert_make_with(
	    &other_ca, &(struct test_cert_opts){.kind = TLS_KEY_ECDSA_P256, .is_ca = true});
	UNIT(talks);
	UNIT(expired_is_good_enough);
	UNIT(names_that_no_sni_can_hold);
	UNIT(resumes);
	UNIT(sessions_have_a_limit);
	UNIT(older_servers);
	UNIT(resumes_tls_12);
	UNIT(big_sessions_are_not_kept);
	UNIT(binding_follows_the_signature);
	UNIT(starttls);
	UNIT(starttls_between_ours);
	UNIT(garbage_servers);
	UNIT(cut_at_many_bytes);
	UNIT(tls_behind_a_proxy);
	UNIT(client_certificates);
	UNIT(client_without_a_certificate);
	UNIT(tickets_do_not_cross_authorities);
	UNIT(authorities_that_are_none);
	SSL_CTX_free(client_ctx);
	test_cert_drop(&server_ecdsa);
	test_cert_drop(&server_rsa);
	test_cert_drop(&server_old);
	test_cert_drop(&ca);
	test_cert_drop(&other_ca);
	return unit_end();
}
