/* TLS over simulated streams: the remote keys, choosing certificates, resumption, a slow or silent signer. */
#include <malloc.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "base/unit.h"
#include "net/conn.h"
#include "net/test_tls_peer.h"

enum { CERTS_MAX = 8, SIGNS_MAX = 400 };

/* The keys process: answers after delay_ms, or when told. */
struct sign_job {
	struct world *w;
	struct loop_id timer;
	uint64_t ticket;
	struct buf result;
};

struct world {
	struct clock clock;
	struct loop *l;
	struct tls_context *ctx;
	struct test_cert *keys[CERTS_MAX];	/* by key id */
	uint64_t delay_ms;			/* of the signer; 0: at once, from inside the call */
	bool is_silent, is_failing;
	struct sign_job jobs[SIGNS_MAX];
	int signs;
	int ops[3];
};

/* An echoing server; "STARTTLS" starts TLS, "bye" closes. */
struct server {
	struct world *w;
	struct conn *c;
	int tls_done_n, closed_n;
	enum conn_end why;
	char error[100];
	bool is_evil_heard;
};

static struct test_cert ecdsa_a, rsa_a, ecdsa_b, rsa_b, ecdsa_a2;

static void
sign_answer(void *arg)
{
	struct sign_job *j = arg;

	j->timer = (struct loop_id){0};
	tls_sign_done(j->ticket, buf_str(&j->result));
	buf_fini(&j->result);
}

static void
signer(void *arg, const struct tls_sign_request *rq)
{
	struct world *w = arg;
	struct sign_job *j = &w->jobs[w->signs++];

	CHECK(w->signs < SIGNS_MAX && rq->key_id < CERTS_MAX);
	w->ops[rq->op]++;
	*j = (struct sign_job){.w = w, .ticket = rq->ticket};
	buf_init(&j->result, 1024);
	if (!w->is_failing)
		EXPECT(tls_key_sign(w->keys[rq->key_id]->key, rq->kind, rq->op, rq->input, &j->result) ==
		    ST_OK);
	if (w->is_silent)
		return;
	if (w->delay_ms == 0)
		sign_answer(j);
	else
		j->timer = loop_timer_add(w->l, w->delay_ms, sign_answer, j);
}

static void
world_init(struct world *w)
{
	*w = (struct world){0};
	clock_init_fake(&w->clock, 1000000000);
	w->l = loop_new(&w->clock);
	w->ctx = tls_context_new(w->l, signer, w);
}

static void
world_add(struct world *w, struct test_cert *c, uint32_t key_id)
{
	struct buf error;

	buf_init(&error, 200);
	w->keys[key_id] = c;
	EXPECT(tls_context_add(w->ctx, buf_str(&c->pem), key_id, &error) == ST_OK);
	EXPECT(error.n == 0);
	buf_fini(&error);
}

static void
world_fini(struct world *w)
{
	for (int i = 0; i < w->signs; i++) {
		loop_timer_del(w->l, &w->jobs[i].timer);
		buf_fini(&w->jobs[i].result);
	}
	tls_context_free(&w->ctx);
	loop_free(&w->l);
	EXPECT(ERR_peek_error() == 0);
}

static void
server_input(void *arg, struct conn *c, struct cur *in)
{
	struct server *s = arg;
	struct str line;

	while (cur_take_line(in, &line)) {
		if (str_eq(line, STR("STARTTLS"))) {
			(void)buf_put(conn_out(c), STR("220\r\n"));
			conn_start_tls(c, s->w->ctx);
			return;
		}
		s->is_evil_heard |= str_eq(line, STR("EVIL"));
		(void)buf_putf(conn_out(c), "<%.*s>", STR_ARG(line));
		if (str_eq(line, STR("bye")))
			conn_close(c);
	}
}

static void
server_tls_done(void *arg, struct conn *c)
{
	struct server *s = arg;

	s->tls_done_n++;
	(void)buf_put(conn_out(c), STR("hello "));
}

static void
server_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct server *s = arg;

	s->closed_n++;
	s->why = why;
	s->c = NULL;
	snprintf(s->error, sizeof(s->error), "%s", conn_tls_error(c));
}

static const struct conn_handler handler = {
    .input = server_input, .tls_done = server_tls_done, .closed = server_closed};

static void
server_start(struct server *s, struct world *w, const struct sim_opts *o, struct sim_end **peer_out)
{
	struct sim_end *end;

	*s = (struct server){.w = w};
	sim_pair(w->l, o, &end, peer_out);
	s->c = conn_new_sim(w->l, end, &handler, s, 20000);
	conn_start_tls(s->c, w->ctx);
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
server_stop(struct server *s)
{
	if (s->c != NULL)
		conn_abort(s->c);
	run_ms(s->w, 0);
	EXPECT(s->closed_n == 1);
}

struct client_opts {
	int version; /* 0: any */
	const char *sigalgs, *sni;
	SSL_SESSION *session;
};

static SSL_CTX *client_ctx;

static SSL *
client_ssl(const struct client_opts *o)
{
	SSL *ssl;

	if (client_ctx == NULL) {
		client_ctx = SSL_CTX_new(TLS_client_method());
		CHECK(client_ctx != NULL);
		SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
	}
	ssl = SSL_new(client_ctx);
	CHECK(ssl != NULL);
	if (o->version != 0) {
		CHECK(SSL_set_min_proto_version(ssl, o->version) == 1);
		CHECK(SSL_set_max_proto_version(ssl, o->version) == 1);
	}
	/* OpenSSL's macros cast the const away: copies. */
	char text[100];
	if (o->sigalgs != NULL) {
		snprintf(text, sizeof(text), "%s", o->sigalgs);
		CHECK(SSL_set1_sigalgs_list(ssl, text) == 1);
	}
	if (o->sni != NULL) {
		snprintf(text, sizeof(text), "%s", o->sni);
		CHECK(SSL_set_tlsext_host_name(ssl, text) == 1);
	}
	if (o->session != NULL) {
		/* A copy here too: OpenSSL takes the session of a connection that was cut for a bad one. */
		SSL_SESSION *copy = SSL_SESSION_dup(o->session);
		CHECK(copy != NULL && SSL_set_session(ssl, copy) == 1);
		SSL_SESSION_free(copy);
	}
	return ssl;
}

static bool
has_cert(struct tls_client *c, const struct test_cert *want)
{
	X509 *x = SSL_get1_peer_certificate(c->ssl);
	bool is = x != NULL && EVP_PKEY_eq(X509_get0_pubkey(x), want->key) == 1;

	X509_free(x);
	ERR_clear_error();
	return is;
}

static void
echo_once(const struct client_opts *o, const struct sim_opts *sim, enum tls_sign_op op, uint64_t delay_ms)
{
	struct world w;
	struct server s;
	struct tls_client c;
	struct sim_end *peer;
	uint8_t mine[32], theirs[32];

	world_init(&w);
	w.delay_ms = delay_ms;
	world_add(&w, &ecdsa_a, 1);
	world_add(&w, &rsa_a, 2);
	server_start(&s, &w, sim, &peer);
	tls_client_start(&c, client_ssl(o), peer);
	run_ms(&w, 20000);
	EXPECT(c.is_up && s.tls_done_n == 1 && s.c != NULL);
	EXPECT(w.ops[op] == 1 && w.signs == 1);
	EXPECT(has_cert(&c, op == TLS_SIGN_ECDSA ? &ecdsa_a : &rsa_a));
	if (c.is_up && s.c != NULL) {
		const struct tls_info *info = conn_tls(s.c);
		EXPECT(strcmp(info->version, o->version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3") == 0);
		EXPECT_STR(info->sni, str_of_c(o->sni));
		EXPECT(!info->is_resumed);
		EXPECT(conn_tls_exporter(s.c, mine));
		EXPECT(SSL_export_keying_material(
			   c.ssl, theirs, 32, "EXPORTER-Channel-Binding", 24, NULL, 0, 1) == 1);
		EXPECT(memcmp(mine, theirs, 32) == 0);
		tls_client_say(&c, STR("one\r\ntwo\r\n"));
		tls_client_say(&c, STR("bye\r\n"));
		run_ms(&w, 20000);
	}
	EXPECT_STR(buf_str(&c.heard), STR("hello <one><two><bye>"));
	EXPECT(c.is_eof && s.why == CONN_END_LOCAL);
	server_stop(&s);
	tls_client_stop(&c);
	world_fini(&w);
}

static void
both_versions_and_all_signatures(void)
{
	static const struct {
		struct client_opts o;
		enum tls_sign_op op;
	} table[] = {
	    {{TLS1_3_VERSION, NULL, "a.example", NULL}, TLS_SIGN_ECDSA},
	    {{TLS1_2_VERSION, NULL, "a.example", NULL}, TLS_SIGN_ECDSA},
	    {{TLS1_3_VERSION, "RSA-PSS+SHA256", "a.example", NULL}, TLS_SIGN_RSA_RAW},
	    {{TLS1_3_VERSION, "RSA-PSS+SHA512", NULL, NULL}, TLS_SIGN_RSA_RAW},
	    {{TLS1_2_VERSION, "RSA-PSS+SHA256", "a.example", NULL}, TLS_SIGN_RSA_RAW},
	    {{TLS1_2_VERSION, "RSA+SHA256", "a.example", NULL}, TLS_SIGN_RSA_PKCS1},
	    {{TLS1_2_VERSION, "RSA+SHA512", NULL, NULL}, TLS_SIGN_RSA_PKCS1},
	    {{0, NULL, NULL, NULL}, TLS_SIGN_ECDSA},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		echo_once(&table[i].o, NULL, table[i].op, 0);
		for (uint64_t seed = 1; seed < 6; seed++)
			echo_once(&table[i].o,
			    &(struct sim_opts){.seed = seed,
				.piece_bytes_max = 1 + (size_t)seed * 40,
				.capacity_bytes = 50 + (size_t)seed * 400,
				.delay_ms_max = seed},
			    table[i].op, seed * 100);
	}
}

static void
names_choose_the_certificate(void)
{
	static const struct {
		struct client_opts o;
		struct test_cert *want;
		uint32_t key_id;
	} table[] = {
	    {{0, NULL, "a.example", NULL}, &ecdsa_a, 1},
	    {{0, NULL, "A.Example", NULL}, &ecdsa_a, 1},
	    {{0, NULL, NULL, NULL}, &ecdsa_a, 1},
	    {{0, NULL, "unknown.example", NULL}, &ecdsa_a, 1},
	    {{0, "RSA-PSS+SHA256:RSA+SHA256", "unknown.example", NULL}, &rsa_a, 2},
	    {{0, NULL, "x.b.example", NULL}, &ecdsa_b, 3},
	    {{TLS1_2_VERSION, NULL, "x.b.example", NULL}, &ecdsa_b, 3},
	    {{TLS1_2_VERSION, "RSA-PSS+SHA256:RSA+SHA256", "x.b.example", NULL}, &rsa_b, 4},
	    {{0, NULL, "b.example", NULL}, &ecdsa_b, 3},
	    /* A wildcard is for one label. */
	    {{0, NULL, "y.x.b.example", NULL}, &ecdsa_a, 1},
	    {{0, NULL, "example", NULL}, &ecdsa_a, 1},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct world w;
		struct server s;
		struct tls_client c;
		struct sim_end *peer;
		world_init(&w);
		world_add(&w, &rsa_a, 2);
		world_add(&w, &ecdsa_a, 1);
		world_add(&w, &ecdsa_b, 3);
		world_add(&w, &rsa_b, 4);
		server_start(&s, &w, NULL, &peer);
		tls_client_start(&c, client_ssl(&table[i].o), peer);
		run_ms(&w, 100);
		EXPECT(c.is_up && has_cert(&c, table[i].want));
		server_stop(&s);
		tls_client_stop(&c);
		world_fini(&w);
	}
}

static void
same_names_replace(void)
{
	struct world w;
	struct server s[2];
	struct tls_client c[2];
	struct sim_end *peer;
	struct client_opts o = {0, NULL, "a.example", NULL};

	world_init(&w);
	world_add(&w, &ecdsa_a, 1);
	server_start(&s[0], &w, NULL, &peer);
	tls_client_start(&c[0], client_ssl(&o), peer);
	run_ms(&w, 100);
	world_add(&w, &ecdsa_a2, 2);
	server_start(&s[1], &w, NULL, &peer);
	tls_client_start(&c[1], client_ssl(&o), peer);
	run_ms(&w, 100);
	EXPECT(has_cert(&c[0], &ecdsa_a) && has_cert(&c[1], &ecdsa_a2));
	tls_client_say(&c[0], STR("still\r\n"));
	run_ms(&w, 100);
	EXPECT_STR(buf_str(&c[0].heard), STR("hello <still>"));
	for (int i = 0; i < 2; i++) {
		server_stop(&s[i]);
		tls_client_stop(&c[i]);
	}
	world_fini(&w);
}

static void
certificates_that_are_none(void)
{
	struct world w;
	struct buf error;
	struct test_cert c;

	world_init(&w);
	test_cert_make(&c, TEST_KEY_P384, "DNS:a.example");
	buf_init(&error, 200);
	EXPECT(tls_context_add(w.ctx, STR(""), 1, &error) == ST_SYNTAX);
	EXPECT(tls_context_add(w.ctx, STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 1,
		   &error) == ST_SYNTAX);
	EXPECT(error.n > 0);
	EXPECT(tls_context_add(w.ctx, buf_str(&c.pem), 1, &error) == ST_UNSUPPORTED);
	test_cert_drop(&c);
	buf_fini(&error);
	world_fini(&w);
}

static SSL_SESSION *
connect_once(struct world *w, const struct client_opts *o, bool *resumed_out)
{
	struct server s;
	struct tls_client c;
	struct sim_end *peer;
	SSL_SESSION *session;

	server_start(&s, w, NULL, &peer);
	tls_client_start(&c, client_ssl(o), peer);
	run_ms(w, 100);
	EXPECT(c.is_up);
	tls_client_say(&c, STR("x\r\n"));
	run_ms(w, 100);
	EXPECT_STR(buf_str(&c.heard), STR("hello <x>"));
	*resumed_out = SSL_session_reused(c.ssl) == 1;
	EXPECT(s.c != NULL && conn_tls(s.c)->is_resumed == *resumed_out);
	EXPECT_STR(conn_tls(s.c)->sni, str_of_c(o->sni));
	/* A copy: the original does not outlive a connection that was cut. */
	session = SSL_SESSION_dup(SSL_get0_session(c.ssl));
	server_stop(&s);
	tls_client_stop(&c);
	return session;
}

static void
sessions_resume_until_their_key_is_gone(void)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		struct world w;
		struct client_opts o = {versions[i], NULL, "a.example", NULL};
		SSL_SESSION *first, *second;
		bool is_resumed;
		world_init(&w);
		world_add(&w, &ecdsa_a, 1);
		first = connect_once(&w, &o, &is_resumed);
		EXPECT(!is_resumed && w.signs == 1);
		o.session = first;
		second = connect_once(&w, &o, &is_resumed);
		EXPECT(is_resumed && w.signs == 1);
		SSL_SESSION_free(second);
		run_ms(&w, TLS_TICKET_KEY_MS);
		second = connect_once(&w, &o, &is_resumed);
		EXPECT(is_resumed && w.signs == 1);
		SSL_SESSION_free(second);
		run_ms(&w, TLS_TICKET_KEY_MS);
		second = connect_once(&w, &o, &is_resumed);
		EXPECT(!is_resumed && w.signs == 2);
		SSL_SESSION_free(second);
		SSL_SESSION_free(first);
		world_fini(&w);
	}
}

static void
processes_share_tickets_by_seed(void)
{
	struct world w;
	struct tls_context *one, *two, *other;
	struct client_opts o = {0, NULL, "a.example", NULL};
	SSL_SESSION *first, *again;
	uint8_t seed[32] = {7}, different[32] = {8};
	bool is_resumed;

	world_init(&w);
	one = w.ctx;
	tls_context_ticket_seed(one, seed, clock_mono_ms(&w.clock));
	world_add(&w, &ecdsa_a, 1);
	run_ms(&w, TLS_TICKET_KEY_MS * 3 / 2);
	first = connect_once(&w, &o, &is_resumed);
	/* A process started later runs the chain to the same hour. */
	w.ctx = two = tls_context_new(w.l, signer, &w);
	tls_context_ticket_seed(two, seed, 1);
	world_add(&w, &ecdsa_a, 1);
	o.session = first;
	again = connect_once(&w, &o, &is_resumed);
	EXPECT(is_resumed);
	SSL_SESSION_free(again);
	w.ctx = other = tls_context_new(w.l, signer, &w);
	tls_context_ticket_seed(other, different, 1);
	world_add(&w, &ecdsa_a, 1);
	again = connect_once(&w, &o, &is_resumed);
	EXPECT(!is_resumed);
	SSL_SESSION_free(again);
	SSL_SESSION_free(first);
	tls_context_free(&one);
	tls_context_free(&two);
	world_fini(&w);
}

static void
one_slow_signature_holds_nobody_else(void)
{
	static struct server s[21];
	static struct tls_client c[21];
	static const struct client_opts o[4] = {{TLS1_3_VERSION, NULL, NULL, NULL},
	    {TLS1_2_VERSION, NULL, NULL, NULL}, {TLS1_3_VERSION, "RSA-PSS+SHA256", NULL, NULL},
	    {TLS1_2_VERSION, "RSA+SHA256", NULL, NULL}};

	for (size_t v = 0; v < COUNT_OF(o); v++) {
		struct world w;
		struct sim_end *peer;
		world_init(&w);
		world_add(&w, &ecdsa_a, 1);
		world_add(&w, &rsa_a, 2);
		w.delay_ms = 2000;
		server_start(&s[0], &w, NULL, &peer);
		tls_client_start(&c[0], client_ssl(&o[v]), peer);
		run_ms(&w, 10);
		EXPECT(!c[0].is_up && w.signs == 1);
		w.delay_ms = 3;
		for (size_t i = 1; i < 21; i++) {
			server_start(&s[i], &w, &(struct sim_opts){.seed = i, .piece_bytes_max = 500}, &peer);
			tls_client_start(&c[i], client_ssl(&o[i % 4]), peer);
		}
		run_ms(&w, 100);
		for (int i = 1; i < 21; i++) {
			EXPECT(c[i].is_up);
			tls_client_say(&c[i], STR("ping\r\n"));
		}
		run_ms(&w, 100);
		for (int i = 1; i < 21; i++)
			EXPECT_STR(buf_str(&c[i].heard), STR("hello <ping>"));
		EXPECT(!c[0].is_up);
		run_ms(&w, 1700);
		EXPECT(!c[0].is_up);
		run_ms(&w, 200);
		EXPECT(c[0].is_up);
		for (int i = 0; i < 21; i++) {
			server_stop(&s[i]);
			tls_client_stop(&c[i]);
		}
		world_fini(&w);
	}
}

static void
more_handshakes_than_jobs(void)
{
	enum { N = TLS_WAITING_MAX + 44 };
	static struct server s[N];
	static struct tls_client c[N];
	static struct world w;
	struct sim_end *peer;
	int up = 0;

	world_init(&w);
	world_add(&w, &ecdsa_a, 1);
	w.delay_ms = 2000;
	for (int i = 0; i < N; i++) {
		server_start(&s[i], &w, NULL, &peer);
		tls_client_start(&c[i], client_ssl(&(struct client_opts){0}), peer);
	}
	run_ms(&w, 100);
	EXPECT(w.signs == TLS_WAITING_MAX);
	/* One of each kind goes away: suspended, and waiting for a job. */
	conn_abort(s[0].c);
	conn_abort(s[N - 1].c);
	run_ms(&w, 100);
	EXPECT(w.signs == TLS_WAITING_MAX + 1);
	run_ms(&w, 5000);
	for (int i = 0; i < N; i++)
		up += c[i].is_up;
	EXPECT(up == N - 2 && w.signs == N - 1);
	for (int i = 0; i < N; i++) {
		server_stop(&s[i]);
		tls_client_stop(&c[i]);
	}
	world_fini(&w);
}

static void
ends_while_a_signature_is_awaited(void)
{
	static const struct client_opts o[4] = {{TLS1_3_VERSION, NULL, NULL, NULL},
	    {TLS1_2_VERSION, NULL, NULL, NULL}, {TLS1_3_VERSION, "RSA-PSS+SHA256", NULL, NULL},
	    {TLS1_2_VERSION, "RSA+SHA256", NULL, NULL}};
	static const enum conn_end why[4] = {
	    CONN_END_LOCAL, CONN_END_ERROR, CONN_END_TIMEOUT, CONN_END_TLS};

	for (size_t v = 0; v < COUNT_OF(o); v++) {
		for (int how = 0; how < 4; how++) {
			struct world w;
			struct server s;
			struct tls_client c;
			struct sim_end *peer;
			world_init(&w);
			world_add(&w, &ecdsa_a, 1);
			world_add(&w, &rsa_a, 2);
			w.delay_ms = 1000;
			w.is_silent = how == 2;
			w.is_failing = how == 3;
			server_start(&s, &w, NULL, &peer);
			tls_client_start(&c, client_ssl(&o[v]), peer);
			run_ms(&w, 100);
			EXPECT(w.signs == 1 && s.closed_n == 0);
			if (how == 0)
				conn_abort(s.c);
			if (how == 1)
				sim_reset(peer);
			run_ms(&w, CONN_HANDSHAKE_MS + 1000);
			EXPECT(s.closed_n == 1 && !c.is_up);
			EXPECT(s.why == why[how]);
			/* The answer to one that is gone, or a second time. */
			tls_sign_done(w.jobs[0].ticket, STR("late"));
			server_stop(&s);
			tls_client_stop(&c);
			world_fini(&w);
		}
	}
}

static void
what_is_not_tls_ends_cleanly(void)
{
	static const struct str bad[] = {STR_INIT("EHLO client.example\r\n"), STR_INIT("GET / HTTP/1.0\r\n\r\n"),
	    STR_INIT("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), STR_INIT("\x80\x2e\x01\x00\x02"),
	    STR_INIT("\x15\x03\x01\x00\x02\x02\x28"), STR_INIT("\0\0\0\0\0\0\0\0\0\0\0"),
	    STR_INIT("\x16\x03\x01\xff\xff\x01\x00\x00\x01\x00")};

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct world w;
		struct server s;
		struct sim_end *peer;
		size_t done;
		world_init(&w);
		world_add(&w, &ecdsa_a, 1);
		server_start(&s, &w, NULL, &peer);
		CHECK(sim_write(peer, bad[i].p, bad[i].n, &done) == ST_OK && done == bad[i].n);
		run_ms(&w, 100);
		if (s.closed_n == 1) {
			EXPECT(s.why == CONN_END_TLS);
			EXPECT(s.error[0] != 0);
		}
		/* What could still become a hello waits for its deadline, or for the end. */
		run_ms(&w, CONN_HANDSHAKE_MS + 1000);
		EXPECT(s.closed_n == 1);
		EXPECT(ERR_peek_error() == 0);
		server_stop(&s);
		sim_close(&peer);
		world_fini(&w);
	}
}

static void
starttls_keeps_nothing_from_before(void)
{
	struct world w;
	struct server s = {0};
	struct tls_client c;
	struct sim_end *end, *peer;
	char b[100];
	size_t n;

	world_init(&w);
	world_add(&w, &ecdsa_a, 1);
	s.w = &w;
	sim_pair(w.l, NULL, &end, &peer);
	s.c = conn_new_sim(w.l, end, &handler, &s, 20000);
	CHECK(sim_write(peer, "STARTTLS\r\nEVIL\r\nEV", 18, &n) == ST_OK);
	run_ms(&w, 10);
	CHECK(sim_read(peer, b, sizeof(b), &n) == ST_OK);
	EXPECT_STR(str_of(b, n), STR("220\r\n"));
	tls_client_start(&c, client_ssl(&(struct client_opts){0}), peer);
	run_ms(&w, 10);
	EXPECT(c.is_up);
	tls_client_say(&c, STR("IL\r\n"));
	run_ms(&w, 10);
	EXPECT_STR(buf_str(&c.heard), STR("hello <IL>"));
	EXPECT(!s.is_evil_heard);
	server_stop(&s);
	tls_client_stop(&c);
	world_fini(&w);
}

static void
cut_at_many_bytes(void)
{
	for (uint64_t at = 1; at < 1500; at += 37) {
		struct world w;
		struct server s;
		struct tls_client c;
		struct sim_end *peer;
		world_init(&w);
		w.delay_ms = at % 3;
		world_add(&w, &ecdsa_a, 1);
		server_start(&s, &w,
		    &(struct sim_opts){.seed = at,
			.piece_bytes_max = 100,
			.cut_ab_bytes = at % 2 ? at : 0,
			.cut_ba_bytes = at % 2 ? 0 : at},
		    &peer);
		tls_client_start(&c, client_ssl(&(struct client_opts){0}), peer);
		run_ms(&w, 1000);
		EXPECT(s.closed_n == 1 || c.is_up);
		server_stop(&s);
		tls_client_stop(&c);
		world_fini(&w);
	}
}

static void
big_answers_through_a_small_pipe(void)
{
	static char line[15000];
	struct world w;
	struct server s;
	struct tls_client c;
	struct sim_end *peer;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 2] = '\r';
	line[sizeof(line) - 1] = '\n';
	world_init(&w);
	world_add(&w, &ecdsa_a, 1);
	server_start(&s, &w, &(struct sim_opts){.capacity_bytes = 3000, .piece_bytes_max = 2000}, &peer);
	tls_client_start(&c, client_ssl(&(struct client_opts){0}), peer);
	run_ms(&w, 100);
	for (int i = 0; i < 20; i++)
		tls_client_say(&c, str_of(line, sizeof(line)));
	run_ms(&w, 1000);
	EXPECT(c.heard.n == 6 + 20 * sizeof(line));
	EXPECT(s.closed_n == 0);
	server_stop(&s);
	tls_client_stop(&c);
	world_fini(&w);
}

static void
signer_refuses_what_tls_does_not_sign(void)
{
	struct buf out;
	char block[256] = {0};

	buf_init(&out, 1024);
	EXPECT(tls_key_sign(rsa_a.key, TLS_KEY_RSA, TLS_SIGN_RSA_RAW, str_of(block, 256), &out) == ST_DENIED);
	block[255] = (char)0xbc;
	EXPECT(tls_key_sign(rsa_a.key, TLS_KEY_RSA, TLS_SIGN_RSA_RAW, str_of(block, 256), &out) == ST_OK);
	EXPECT(out.n == 256);
	EXPECT(tls_key_sign(rsa_a.key, TLS_KEY_RSA, TLS_SIGN_RSA_RAW, str_of(block + 1, 255), &out) == ST_DENIED);
	EXPECT(tls_key_sign(rsa_a.key, TLS_KEY_RSA, TLS_SIGN_ECDSA, str_of(block, 32), &out) == ST_DENIED);
	EXPECT(tls_key_sign(rsa_a.key, TLS_KEY_ECDSA_P256, TLS_SIGN_ECDSA, str_of(block, 32), &out) == ST_DENIED);
	EXPECT(tls_key_sign(ecdsa_a.key, TLS_KEY_RSA, TLS_SIGN_RSA_PKCS1, str_of(block, 32), &out) == ST_DENIED);
	EXPECT(tls_key_sign(ecdsa_a.key, TLS_KEY_ECDSA_P256, TLS_SIGN_ECDSA, str_of(block, 65), &out) ==
	    ST_DENIED);
	EXPECT(tls_key_sign(ecdsa_a.key, TLS_KEY_ECDSA_P256, TLS_SIGN_ECDSA, STR_NULL, &out) == ST_DENIED);
	EXPECT(tls_key_sign(ecdsa_a.key, TLS_KEY_ECDSA_P256, TLS_SIGN_ECDSA, str_of(block, 32), &out) == ST_OK);
	EXPECT(tls_key_sign(rsa_a.key, TLS_KEY_RSA, TLS_SIGN_RSA_PKCS1, str_of(block, 250), &out) == ST_DENIED);
	EXPECT(ERR_peek_error() == 0);
	buf_fini(&out);
}

static void
deaf(void *arg, unsigned events)
{
	(void)arg;
	(void)events;
}

/* Heap of the servers only: the clients are freed before the second look. */
static void
idle_tls_connections_are_small(void)
{
	enum { N = 300, ROUNDS = 7 };
	static struct server s[N * ROUNDS];
	static struct tls_client c[N];
	static struct sim_end *ends[N * ROUNDS];
	static struct world w;
	struct sim_end *peer;
	struct mallinfo2 before = {0}, after;

	world_init(&w);
	world_add(&w, &ecdsa_a, 1);
	world_add(&w, &rsa_a, 2);
	for (int r = 0; r < ROUNDS; r++) {
		if (r == 1)
			before = mallinfo2();
		for (int i = 0; i < N; i++) {
			w.signs = 0;
			server_start(&s[r * N + i], &w, NULL, &peer);
			tls_client_start(&c[i], client_ssl(&(struct client_opts){.sni = "a.example"}), peer);
			run_ms(&w, 1);
			EXPECT(c[i].is_up);
			tls_client_say(&c[i], STR("hello\r\n"));
			run_ms(&w, 1);
			EXPECT_STR(buf_str(&c[i].heard), STR("hello <hello>"));
			ends[r * N + i] = c[i].end;
			/* The pipe stays, so that the server does not see an end; its client half is small. */
			sim_watch(c[i].end, deaf, NULL);
			SSL_free(c[i].ssl);
			c[i].ssl = NULL;
			buf_fini(&c[i].heard);
			buf_fini(&c[i].unsent);
		}
	}
	after = mallinfo2();
	size_t each = (after.uordblks - before.uordblks) / (N * (ROUNDS - 1));
	if (before.uordblks != 0)
		printf("idle TLS 1.3 connection, with its simulated pipe: %zu bytes\n", each);
	EXPECT(before.uordblks == 0 || each < 20000);
	for (int i = 0; i < N * ROUNDS; i++)
		conn_abort(s[i].c);
	run_ms(&w, 0);
	for (int i = 0; i < N * ROUNDS; i++)
		sim_close(&ends[i]);
	world_fini(&w);
}

/* A real descriptor and somebody else's program. */
static void
openssl_s_client(const char *version)
{
	struct world w;
	struct server s;
	struct sock_addr at, peer;
	struct buf error;
	char where[40], word[6] = {0};
	int lfd, fd, in[2], out[2];
	pid_t pid;

	world_init(&w);
	loop_free(&w.l);
	tls_context_free(&w.ctx);
	clock_init_system(&w.clock);
	w.l = loop_new(&w.clock);
	w.ctx = tls_context_new(w.l, signer, &w);
	w.delay_ms = 20;
	world_add(&w, &rsa_a, 2);
	world_add(&w, &ecdsa_a, 1);
	buf_init(&error, 200);
	CHECK(sock_ip_parse(STR("127.0.0.1"), &at) == ST_OK);
	CHECK(sock_listen(&at, false, &lfd, &error) == ST_OK);
	sock_local(lfd, &at);
	snprintf(where, sizeof(where), "127.0.0.1:%u", (unsigned)at.port);
	CHECK(pipe(in) == 0 && pipe(out) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		execlp("openssl", "openssl", "s_client", "-quiet", "-connect", where, version, "-crlf",
		    (char *)NULL);
		_exit(1);
	}
	close(in[0]);
	close(out[1]);
	CHECK(write(in[1], "bye\n", 4) == 4);
	while (sock_accept(lfd, &fd, &peer) != ST_OK)
		usleep(1000);
	s = (struct server){.w = &w};
	s.c = conn_new_fd(w.l, fd, &handler, &s, 1000);
	conn_start_tls(s.c, w.ctx);
	conn_deadline(s.c, 20000);
	while (s.closed_n == 0)
		loop_turn(w.l, 1000);
	EXPECT(s.why == CONN_END_LOCAL && s.tls_done_n == 1);
	EXPECT(read(out[0], word, 5) == 5 && strcmp(word, "hello") == 0);
	close(in[1]);
	close(out[0]);
	close(lfd);
	CHECK(waitpid(pid, NULL, 0) == pid);
	buf_fini(&error);
	world_fini(&w);
}

static void
openssl_program_talks_to_us(void)
{
	openssl_s_client("-tls1_3");
	openssl_s_client("-tls1_2");
}

int
main(void)
{
	tls_process_init();
	test_cert_make(&ecdsa_a, TLS_KEY_ECDSA_P256, "DNS:a.example");
	test_cert_make(&rsa_a, TLS_KEY_RSA, "DNS:a.example");
	test_cert_make(&ecdsa_a2, TLS_KEY_ECDSA_P256, "DNS:A.example");
	test_cert_make(&ecdsa_b, TLS_KEY_ECDSA_P256, "DNS:b.example,DNS:*.b.example");
	test_cert_make(&rsa_b, TLS_KEY_RSA, "DNS:*.b.example,DNS:b.example");
	UNIT(both_versions_and_all_signatures);
	UNIT(names_choose_the_certificate);
	UNIT(same_names_replace);
	UNIT(certificates_that_are_none);
	UNIT(sessions_resume_until_their_key_is_gone);
	UNIT(processes_share_tickets_by_seed);
	UNIT(one_slow_signature_holds_nobody_else);
	UNIT(more_handshakes_than_jobs);
	UNIT(ends_while_a_signature_is_awaited);
	UNIT(what_is_not_tls_ends_cleanly);
	UNIT(starttls_keeps_nothing_from_before);
	UNIT(cut_at_many_bytes);
	UNIT(big_answers_through_a_small_pipe);
	UNIT(signer_refuses_what_tls_does_not_sign);
	UNIT(idle_tls_connections_are_small);
	UNIT(openssl_program_talks_to_us);
	SSL_CTX_free(client_ctx);
	test_cert_drop(&ecdsa_a);
	test_cert_drop(&rsa_a);
	test_cert_drop(&ecdsa_a2);
	test_cert_drop(&ecdsa_b);
	test_cert_drop(&rsa_b);
	return unit_end();
}
