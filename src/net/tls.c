#include "net/tls.h"

#include <openssl/async.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "base/rnd.h"
#include "net/tls_internal.h"

/* Who waits for an answer: by ticket, whose low byte is the place. */
static struct {
	uint64_t ticket;
	struct tls_layer *t;
} waiting[TLS_WAITING_MAX];
static uint64_t tickets_given;

/* Handshakes that found all jobs suspended, oldest first. */
static struct tls_layer *jobless_first, *jobless_last;

static BIO_METHOD *lower_bio;

/* Tickets (RFC 5077, RFC 8446 4.6.1). */

static void
sha256_of(const uint8_t in[32], const char *label, uint8_t out[32])
{
	uint8_t all[64] = {0};

	memcpy(all, in, 32);
	memcpy(all + 32, label, strlen(label));
	CHECK(EVP_Digest(all, sizeof(all), out, NULL, EVP_sha256(), NULL) == 1);
	OPENSSL_cleanse(all, sizeof(all));
}

static void
ticket_chain_step(struct tls_context *ctx)
{
	uint8_t name[32];

	ctx->ticket_before = ctx->ticket_now;
	sha256_of(ctx->ticket_chain, "ticket name", name);
	memcpy(ctx->ticket_now.name, name, sizeof(ctx->ticket_now.name));
	sha256_of(ctx->ticket_chain, "ticket cipher", ctx->ticket_now.cipher);
	sha256_of(ctx->ticket_chain, "ticket mac", ctx->ticket_now.mac);
	sha256_of(ctx->ticket_chain, "next", ctx->ticket_chain);
}

void
tls_context_ticket_seed(struct tls_context *ctx, const uint8_t seed[32], uint64_t made_mono_ms)
{
	memcpy(ctx->ticket_chain, seed, sizeof(ctx->ticket_chain));
	ctx->ticket_from_ms = made_mono_ms;
	ticket_chain_step(ctx);
	ctx->has_before = false;
}

/* Looked at when a ticket is: an idle server need not wake up for it. */
static void
ticket_rotate(struct tls_context *ctx)
{
	uint64_t now = clock_mono_ms(loop_clock(ctx->loop));

	while (now >= ctx->ticket_from_ms + TLS_TICKET_KEY_MS) {
		ticket_chain_step(ctx);
		ctx->ticket_from_ms += TLS_TICKET_KEY_MS;
		ctx->has_before = true;
	}
}

static int
ticket_use(const struct ticket_key *k, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
    bool is_encrypt)
{
	char digest[] = "SHA256";
	uint8_t mac_key[32];
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof(mac_key)),
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end(),
	};
	bool is_ok;

	memcpy(mac_key, k->mac, sizeof(mac_key));
	is_ok = EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, is_encrypt) == 1 &&
	    EVP_MAC_CTX_set_params(mac, params) == 1;
	OPENSSL_cleanse(mac_key, sizeof(mac_key));
	return is_ok ? 1 : -1;
}

/* 1: use it, 2: use it and give a new one, 0: unknown, so a full handshake. RFC 8446 C.4: in TLS 1.3 a client uses each once, so always a new one. */
static int
ticket_key_cb(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int is_encrypt)
{
	struct tls_context *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	int in_use = SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;

	ticket_rotate(ctx);
	if (is_encrypt) {
		memcpy(name, ctx->ticket_now.name, TICKET_NAME_BYTES);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
			return -1;
		return ticket_use(&ctx->ticket_now, iv, cipher, mac, true);
	}
	if (memcmp(name, ctx->ticket_now.name, TICKET_NAME_BYTES) == 0)
		return ticket_use(&ctx->ticket_now, iv, cipher, mac, false) == 1 ? in_use : -1;
	if (!ctx->has_before || memcmp(name, ctx->ticket_before.name, TICKET_NAME_BYTES) != 0)
		return 0;
	return ticket_use(&ctx->ticket_before, iv, cipher, mac, false) == 1 ? 2 : -1;
}

/* Certificates and names. */

static void
cert_free(struct tls_cert *c)
{
	X509_free(c->leaf);
	sk_X509_pop_free(c->chain, X509_free);
	EVP_PKEY_free(c->key);
	buf_fini(&c->names);
	free(c);
}

static int
name_cmp(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* A dNSName as a name we match, lower case into out; empty when it holds what no host name does. */
static struct str
name_take(const ASN1_IA5STRING *s, char out[SNI_MAX])
{
	struct str in = str_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));

	if (in.n == 0 || in.n > SNI_MAX)
		return STR_NULL;
	for (size_t i = 0; i < in.n; i++) {
		out[i] = char_lower(in.p[i]);
		if (in.p[i] <= ' ' || in.p[i] > '~')
			return STR_NULL;
	}
	return str_of(out, in.n);
}

static void
cert_names(struct tls_cert *c)
{
	GENERAL_NAMES *sans = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
	int sans_n = sans != NULL ? sk_GENERAL_NAME_num(sans) : 0;
	char (*room)[SNI_MAX] = calloc(TLS_NAMES_MAX, SNI_MAX);
	struct str *names = calloc(TLS_NAMES_MAX, sizeof(*names));
	size_t n = 0;

	CHECK(room != NULL && names != NULL);
	for (int i = 0; i < sans_n && n < TLS_NAMES_MAX; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
		if (g->type != GEN_DNS)
			continue;
		names[n] = name_take(g->d.dNSName, room[n]);
		n += names[n].n > 0;
	}
	qsort(names, n, sizeof(*names), name_cmp);
	for (size_t i = 0; i < n; i++) {
		(void)buf_put(&c->names, names[i]);
		(void)buf_put_c(&c->names, '\n');
	}
	CHECK(!c->names.full);
	free(room);
	free(names);
	GENERAL_NAMES_free(sans);
}

int
tls_no_passphrase(char *p, int n, int is_write, void *arg)
{
	(void)p;
	(void)n;
	(void)is_write;
	(void)arg;
	return -1;
}

static enum status
cert_read(struct tls_cert *c, struct str chain_pem)
{
	BIO *in = chain_pem.n > INT32_MAX ? NULL : BIO_new_mem_buf(chain_pem.p, (int)chain_pem.n);
	X509 *x;

	c->chain = sk_X509_new_null();
	CHECK(c->chain != NULL);
	if (in == NULL)
		return ST_LIMIT;
	while ((x = PEM_read_bio_X509(in, NULL, tls_no_passphrase, NULL)) != NULL) {
		if (c->leaf == NULL) {
			c->leaf = x;
		} else if (sk_X509_num(c->chain) == TLS_CHAIN_MAX || sk_X509_push(c->chain, x) == 0) {
			X509_free(x);
			break;
		}
	}
	BIO_free(in);
	ERR_clear_error();
	return c->leaf != NULL ? ST_OK : ST_SYNTAX;
}

static enum status
cert_new(struct str chain_pem, uint32_t key_id, struct tls_cert **out)
{
	struct tls_cert *c = calloc(1, sizeof(*c));
	enum status st;

	CHECK(c != NULL);
	buf_init(&c->names, TLS_NAMES_MAX * (SNI_MAX + 1));
	st = cert_read(c, chain_pem);
	if (st == ST_OK)
		st = tls_remote_key_new(c->leaf, key_id, &c->kind, &c->key);
	if (st != ST_OK) {
		cert_free(c);
		return st;
	}
	cert_names(c);
	*out = c;
	return ST_OK;
}

static struct tls_cert *
cert_find(struct tls_context *ctx, const struct tls_cert *like)
{
	for (struct tls_cert *c = ctx->certs; c != NULL; c = c->next) {
		if (c->kind == like->kind && str_eq(buf_str(&c->names), buf_str(&like->names)))
			return c;
	}
	return NULL;
}

/* The new one's content goes where the old one's was. */
static void
cert_replace(struct tls_cert *old, struct tls_cert *new)
{
	struct tls_cert was = *old;

	old->leaf = new->leaf;
	old->chain = new->chain;
	old->key = new->key;
	new->leaf = was.leaf;
	new->chain = was.chain;
	new->key = was.key;
	cert_free(new);
}

static enum status
cert_map_names(struct tls_context *ctx, struct tls_cert *c)
{
	struct str rest = buf_str(&c->names), name;

	while (str_split(rest, '\n', &name, &rest)) {
		if (map_put(&ctx->by_name[c->kind], name, c, NULL) != ST_OK)
			return ST_LIMIT;
	}
	return ST_OK;
}

static void
cert_insert(struct tls_context *ctx, struct tls_cert *c)
{
	const struct tls_cert *first = NULL;
	struct tls_cert **end = &ctx->certs;

	for (int k = 0; k < KINDS; k++) {
		if (ctx->fallback[k] != NULL)
			first = ctx->fallback[k];
	}
	if (first == NULL || str_eq(buf_str(&first->names), buf_str(&c->names)))
		ctx->fallback[c->kind] = c;
	while (*end != NULL)
		end = &(*end)->next;
	*end = c;
}

enum status
tls_context_add(struct tls_context *ctx, struct str chain_pem, uint32_t key_id, struct buf *error_out)
{
	struct tls_cert *c = NULL, *old;
	enum status st = cert_new(chain_pem, key_id, &c);

	if (st == ST_UNSUPPORTED)
		(void)buf_put(error_out, STR("the certificate's key is neither RSA (2048 to 4096 bits) nor ECDSA P-256"));
	else if (st != ST_OK)
		(void)buf_put(error_out, STR("no certificate in PEM format found"));
	if (st != ST_OK)
		return st;
	old = cert_find(ctx, c);
	if (old != NULL) {
		cert_replace(old, c);
		c = old;
	} else {
		cert_insert(ctx, c);
	}
	st = cert_map_names(ctx, c);
	if (st != ST_OK)
		(void)buf_put(error_out, STR("too many certificate names"));
	return st;
}

static struct tls_cert *
cert_for(const struct tls_context *ctx, enum tls_key_kind kind, struct str name)
{
	struct tls_cert *c = map_get(&ctx->by_name[kind], name);
	size_t dot = str_find_char(name, '.');
	char wild[SNI_MAX + 1];

	if (c != NULL || dot == name.n)
		return c;
	/* RFC 6125 6.4.3: the wildcard is the whole left-most label. */
	wild[0] = '*';
	memcpy(wild + 1, name.p + dot, name.n - dot);
	return map_get(&ctx->by_name[kind], str_of(wild, 1 + name.n - dot));
}

/* Called when the client's hello is known and a certificate will be needed (not on resumption). */
static int
choose_cert_cb(SSL *ssl, void *arg)
{
	const struct tls_context *ctx = arg;
	struct str sni = str_of_c(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
	struct tls_cert *found[KINDS] = {NULL};
	bool is_any = false;
	char lower[SNI_MAX];

	if (sni.n > 0 && sni.n <= SNI_MAX) {
		for (size_t i = 0; i < sni.n; i++)
			lower[i] = char_lower(sni.p[i]);
		for (int k = 0; k < KINDS; k++) {
			found[k] = cert_for(ctx, (enum tls_key_kind)k, str_of(lower, sni.n));
			is_any |= found[k] != NULL;
		}
	}
	for (int k = 0; k < KINDS; k++) {
		const struct tls_cert *c = is_any ? found[k] : ctx->fallback[k];
		if (c != NULL && SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) != 1)
			return 0;
	}
	return 1;
}

/* Makes OpenSSL remember the name with the session. */
static int
sni_seen_cb(SSL *ssl, int *alert, void *arg)
{
	(void)alert;
	(void)arg;
	return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) != NULL ? SSL_TLSEXT_ERR_OK
									   : SSL_TLSEXT_ERR_NOACK;
}

/* The layer below as a BIO: no copy in between. */

static int
lower_read(BIO *bio, char *p, size_t n, size_t *got)
{
	struct tls_layer *t = BIO_get_data(bio);
	enum status st;

	BIO_clear_retry_flags(bio);
	if (t->is_being_freed)
		return 0;
	st = t->y.next->ops->read(t->y.next, p, n, got);
	if (st == ST_MORE)
		BIO_set_retry_read(bio);
	if (st == ST_EOF)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return st == ST_OK;
}

static int
lower_write(BIO *bio, const char *p, size_t n, size_t *done)
{
	struct tls_layer *t = BIO_get_data(bio);
	enum status st;

	BIO_clear_retry_flags(bio);
	*done = n;
	/* The alert of a handshake that is made to fail only to end its job: nobody is to hear it. */
	if (t->is_being_freed)
		return 1;
	st = t->y.next->ops->write(t->y.next, p, n, done);
	if (st == ST_MORE)
		BIO_set_retry_write(bio);
	return st == ST_OK;
}

static long
lower_ctrl(BIO *bio, int command, long n, void *p)
{
	(void)n;
	(void)p;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

static int
lower_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* Process and context. */

void
tls_process_init(void)
{
	uint8_t b;

	if (lower_bio != NULL)
		return;
	CHECK(OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL) == 1);
	/* Jobs end back in this pool; they are made when first needed. */
	CHECK(ASYNC_init_thread(TLS_WAITING_MAX, 0) == 1);
	CHECK(RAND_bytes(&b, 1) == 1);
	lower_bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "posthorn layer");
	CHECK(lower_bio != NULL);
	CHECK(BIO_meth_set_read_ex(lower_bio, lower_read) == 1);
	CHECK(BIO_meth_set_write_ex(lower_bio, lower_write) == 1);
	CHECK(BIO_meth_set_ctrl(lower_bio, lower_ctrl) == 1);
	CHECK(BIO_meth_set_create(lower_bio, lower_create) == 1);
	tls_key_init();
}

/* ECDSA before RSA, and of RSA in TLS 1.2 PSS before PKCS 1; forward secrecy always. */
#define CIPHERS_TLS12 \
	"ECDHE+ECDSA+AESGCM:ECDHE+ECDSA+CHACHA20:ECDHE+aRSA+AESGCM:ECDHE+aRSA+CHACHA20:ECDHE+ECDSA+AES:ECDHE+aRSA+AES"
#define CIPHERS_TLS13 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define SIGALGS \
	"ECDSA+SHA256:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
#define GROUPS "X25519:P-256:P-384"

struct tls_context *
tls_context_base_new(struct loop *l, const SSL_METHOD *method)
{
	struct tls_context *ctx = calloc(1, sizeof(*ctx));

	CHECK(ctx != NULL && lower_bio != NULL);
	ctx->loop = l;
	ctx->ssl = SSL_CTX_new(method);
	CHECK(ctx->ssl != NULL);
	/* RFC 8996: nothing below TLS 1.2. */
	CHECK(SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_2_VERSION) == 1);
	CHECK(SSL_CTX_set_ciphersuites(ctx->ssl, CIPHERS_TLS13) == 1);
	SSL_CTX_set_options(
	    ctx->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx->ssl,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	/* A record's header and body in one read. */
	SSL_CTX_set_read_ahead(ctx->ssl, 1);
	SSL_CTX_set_verify_depth(ctx->ssl, TLS_CHAIN_MAX);
	CHECK(SSL_CTX_set_app_data(ctx->ssl, ctx) == 1);
	for (int k = 0; k < KINDS; k++)
		map_init(&ctx->by_name[k], TLS_NAMES_ALL_MAX);
	return ctx;
}

static void
ssl_ctx_set_up(struct tls_context *ctx, SSL_CTX *ssl)
{
	/* OpenSSL's macros cast the const away. */
	char sigalgs[] = SIGALGS, groups[] = GROUPS;

	CHECK(SSL_CTX_set_cipher_list(ssl, CIPHERS_TLS12) == 1);
	CHECK(SSL_CTX_set1_sigalgs_list(ssl, sigalgs) == 1);
	CHECK(SSL_CTX_set1_groups_list(ssl, groups) == 1);
	SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* Sessions live in tickets only. */
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	CHECK(SSL_CTX_set_num_tickets(ssl, 1) == 1);
	CHECK(tls_context_set_client_ca(ctx, STR_NULL) == ST_OK);
	CHECK(SSL_CTX_set_session_ticket_cb(ssl, tls_end_point_into_ticket, NULL, NULL) == 1);
	(void)SSL_CTX_set_timeout(ssl, TLS_TICKET_KEY_MS / 1000);
	CHECK(SSL_CTX_set_tlsext_ticket_key_evp_cb(ssl, ticket_key_cb) == 1);
	CHECK(SSL_CTX_set_tlsext_servername_callback(ssl, sni_seen_cb) == 1);
	SSL_CTX_set_cert_cb(ssl, choose_cert_cb, ctx);
}

void
tls_context_set_min(struct tls_context *ctx, bool is_tls_13_only)
{
	CHECK(SSL_CTX_set_min_proto_version(ctx->ssl, is_tls_13_only ? TLS1_3_VERSION : TLS1_2_VERSION) == 1);
}

struct tls_context *
tls_context_new(struct loop *l, tls_signer_fn *signer, void *signer_arg)
{
	struct tls_context *ctx = tls_context_base_new(l, TLS_server_method());
	uint8_t seed[32];

	ctx->signer = signer;
	ctx->signer_arg = signer_arg;
	ssl_ctx_set_up(ctx, ctx->ssl);
	rnd_bytes(seed, sizeof(seed));
	tls_context_ticket_seed(ctx, seed, clock_mono_ms(loop_clock(l)));
	OPENSSL_cleanse(seed, sizeof(seed));
	return ctx;
}

void
tls_context_free(struct tls_context **ctxp)
{
	struct tls_context *ctx = *ctxp;
	struct tls_cert *next;

	if (ctx == NULL)
		return;
	*ctxp = NULL;
	tls_sessions_free(&ctx->sessions);
	SSL_CTX_free(ctx->ssl);
	for (struct tls_cert *c = ctx->certs; c != NULL; c = next) {
		next = c->next;
		cert_free(c);
	}
	for (int k = 0; k < KINDS; k++)
		map_fini(&ctx->by_name[k]);
	OPENSSL_cleanse(ctx, sizeof(*ctx));
	free(ctx);
}

/* Waiting for the signer, and for a job to wait in. */

static void
jobless_add(struct tls_layer *t)
{
	if (t->is_jobless)
		return;
	t->is_jobless = true;
	t->jobless_prev = jobless_last;
	t->jobless_next = NULL;
	if (jobless_last != NULL)
		jobless_last->jobless_next = t;
	else
		jobless_first = t;
	jobless_last = t;
}

static void
jobless_remove(struct tls_layer *t)
{
	if (!t->is_jobless)
		return;
	t->is_jobless = false;
	if (t->jobless_prev != NULL)
		t->jobless_prev->jobless_next = t->jobless_next;
	else
		jobless_first = t->jobless_next;
	if (t->jobless_next != NULL)
		t->jobless_next->jobless_prev = t->jobless_prev;
	else
		jobless_last = t->jobless_prev;
}

/* A job has ended: whoever waited longest may have it. */
static void
jobless_wake(void)
{
	struct tls_layer *t = jobless_first;

	if (t == NULL)
		return;
	jobless_remove(t);
	t->wake(t->wake_arg);
}

static void
waiting_forget(const struct tls_layer *t)
{
	for (int i = 0; i < TLS_WAITING_MAX; i++) {
		if (waiting[i].t == t)
			waiting[i].t = NULL;
	}
}

/* Called outside the job, on the loop's own stack: the signer may do what it likes, also answer at once. */
static void
signer_ask(struct tls_layer *t)
{
	uint64_t at = 0;

	t->op->is_asked = true;
	while (at < TLS_WAITING_MAX && waiting[at].t != NULL)
		at++;
	/* A job for each, and no more jobs than places. */
	CHECK(at < TLS_WAITING_MAX);
	waiting[at].t = t;
	waiting[at].ticket = ++tickets_given * TLS_WAITING_MAX + at;
	t->ctx->signer(t->ctx->signer_arg,
	    &(struct tls_sign_request){
		.ticket = waiting[at].ticket,
		.key_id = t->op->key_id,
		.kind = t->op->kind,
		.op = t->op->op,
		.input = t->op->input,
	    });
}

void
tls_sign_done(uint64_t ticket, struct str result)
{
	uint64_t at = ticket % TLS_WAITING_MAX;
	struct tls_layer *t = waiting[at].t;

	if (t == NULL || waiting[at].ticket != ticket)
		return;
	waiting[at].t = NULL;
	CHECK(t->op != NULL && !t->op->is_done);
	if (result.n > 0 && result.n <= sizeof(t->op->result)) {
		memcpy(t->op->result, result.p, result.n);
		t->op->result_n = result.n;
	}
	t->op->is_done = true;
	t->wake(t->wake_arg);
}

/* The layer. */

static struct tls_layer *
tls_of(struct layer *y)
{
	return (struct tls_layer *)y;
}

static enum status
tls_fail(struct tls_layer *t, const char *otherwise)
{
	unsigned long e = ERR_peek_error();
	const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;

	t->error = reason != NULL ? reason : otherwise;
	ERR_clear_error();
	return ST_SYNTAX;
}

/* What an SSL call that did not succeed means. */
static enum status
tls_outcome(struct tls_layer *t, int r)
{
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		t->y.wants = LOOP_READ;
		return ST_MORE;
	case SSL_ERROR_WANT_WRITE:
		t->y.wants = LOOP_WRITE;
		return ST_MORE;
	case SSL_ERROR_WANT_ASYNC:
		t->y.wants = 0;
		return ST_MORE;
	case SSL_ERROR_WANT_ASYNC_JOB:
		t->y.wants = 0;
		jobless_add(t);
		return ST_MORE;
	case SSL_ERROR_ZERO_RETURN:
		return ST_EOF;
	case SSL_ERROR_SYSCALL:
		/* The layer below broke: not TLS's fault. */
		ERR_clear_error();
		return ST_IO;
	default:
		return tls_fail(t, "TLS error");
	}
}

static int
handshake_run(struct tls_layer *t)
{
	int r;

	ERR_clear_error();
	tls_running_op = &t->op;
	r = SSL_do_handshake(t->ssl);
	tls_running_op = NULL;
	return r;
}

static void
handshake_done(struct tls_layer *t)
{
	const char *sni = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
	size_t n = sni != NULL ? size_min(strlen(sni), SNI_MAX) : 0;
	char *copy = n > 0 ? malloc(n) : NULL;

	if (n > 0) {
		CHECK(copy != NULL);
		memcpy(copy, sni, n);
	}
	t->is_done = true;
	/* From here on nothing needs a private key, and reading and writing need no job. */
	(void)SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
	/* The words for every problem are literals. */
	bool is_fine = t->ctx->sessions == NULL || SSL_get_verify_result(t->ssl) == X509_V_OK;
	t->info = (struct tls_info){
	    .version = SSL_get_version(t->ssl),
	    .cipher = SSL_CIPHER_get_name(SSL_get_current_cipher(t->ssl)),
	    .sni = str_of(copy, n),
	    .peer_problem =
		is_fine ? "" : X509_verify_cert_error_string(SSL_get_verify_result(t->ssl)),
	    .is_resumed = SSL_session_reused(t->ssl) == 1,
	};
	if (t->ctx->sessions != NULL && t->info.is_resumed)
		tls_client_resumed(t);
	t->y.wants = LOOP_READ;
}

static enum status
tls_handshake(struct layer *y)
{
	struct tls_layer *t = tls_of(y);
	bool had_job;
	enum status st;
	int r;

	if (t->op != NULL && !t->op->is_done)
		return ST_MORE;
	jobless_remove(t);
	had_job = t->op != NULL;
	r = handshake_run(t);
	if (had_job && t->op == NULL) {
		/* A handshake has one private-key operation: what follows (a client's chain) runs on the loop's own stack. */
		(void)SSL_clear_mode(t->ssl, SSL_MODE_ASYNC);
		jobless_wake();
	}
	if (r == 1) {
		handshake_done(t);
		return ST_OK;
	}
	st = tls_outcome(t, r);
	if (t->op != NULL && !t->op->is_asked)
		signer_ask(t);
	if (st == ST_EOF || st == ST_IO)
		t->error = "connection ended during the handshake";
	return st == ST_EOF ? ST_IO : st;
}

static enum status
tls_read(struct layer *y, void *p, size_t n, size_t *got_out)
{
	struct tls_layer *t = tls_of(y);

	ERR_clear_error();
	t->y.wants = LOOP_READ;
	if (SSL_read_ex(t->ssl, p, n, got_out) == 1)
		return ST_OK;
	return tls_outcome(t, 0);
}

static enum status
tls_write(struct layer *y, const void *p, size_t n, size_t *done_out)
{
	struct tls_layer *t = tls_of(y);
	enum status st;

	ERR_clear_error();
	t->y.wants = LOOP_READ;
	if (SSL_write_ex(t->ssl, p, n, done_out) == 1)
		return ST_OK;
	st = tls_outcome(t, 0);
	return st == ST_EOF ? ST_IO : st;
}

static bool
tls_has_pending(const struct layer *y)
{
	return SSL_has_pending(((const struct tls_layer *)y)->ssl) == 1;
}

static void
tls_shutdown(struct layer *y)
{
	struct tls_layer *t = tls_of(y);

	if (t->is_done && !t->is_shut && t->error == NULL) {
		(void)SSL_shutdown(t->ssl);
		ERR_clear_error();
	}
	t->is_shut = true;
}

/* A suspended job cannot be dropped: it would keep its stack and everything on it. It is resumed to fail. */
static void
tls_free(struct layer *y)
{
	struct tls_layer *t = tls_of(y);

	t->is_being_freed = true;
	jobless_remove(t);
	if (t->op != NULL) {
		waiting_forget(t);
		t->op->is_done = true;
		t->op->result_n = 0;
		(void)handshake_run(t);
		CHECK(t->op == NULL);
		jobless_wake();
	}
	SSL_free(t->ssl);
	ERR_clear_error();
	free((char *)(uintptr_t)t->info.sni.p);
	free((char *)(uintptr_t)t->session_key.p);
	free(t);
}

static const struct layer_ops tls_ops = {
    tls_handshake, tls_read, tls_write, tls_has_pending, tls_shutdown, tls_free};

struct tls_layer *
tls_layer_base_new(struct tls_context *ctx, struct layer *next, loop_fn *wake, void *wake_arg)
{
	struct tls_layer *t = calloc(1, sizeof(*t));
	BIO *bio = BIO_new(lower_bio);

	CHECK(t != NULL && bio != NULL);
	t->y = (struct layer){.ops = &tls_ops, .next = next, .wants = LOOP_READ};
	t->ctx = ctx;
	t->wake = wake;
	t->wake_arg = wake_arg;
	t->ssl = SSL_new(ctx->ssl);
	CHECK(t->ssl != NULL);
	BIO_set_data(bio, t);
	SSL_set_bio(t->ssl, bio, bio);
	return t;
}

struct layer *
tls_layer_new(struct tls_context *ctx, struct layer *next, loop_fn *wake, void *wake_arg)
{
	struct tls_layer *t = tls_layer_base_new(ctx, next, wake, wake_arg);

	CHECK(ctx->sessions == NULL);
	SSL_set_accept_state(t->ssl);
	(void)SSL_set_mode(t->ssl, SSL_MODE_ASYNC);
	return &t->y;
}

const struct tls_info *
tls_layer_info(const struct layer *y)
{
	return &((const struct tls_layer *)y)->info;
}

bool
tls_layer_exporter(const struct layer *y, uint8_t out[32])
{
	static const char label[] = "EXPORTER-Channel-Binding"; /* RFC 9266 4.2 */
	SSL *ssl = ((const struct tls_layer *)y)->ssl;

	if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
		return false;
	return SSL_export_keying_material(ssl, out, 32, label, sizeof(label) - 1, NULL, 0, 1) == 1;
}

const char *
tls_layer_error(const struct layer *y)
{
	const struct tls_layer *t = (const struct tls_layer *)y;

	return t->error != NULL ? t->error : "";
}
