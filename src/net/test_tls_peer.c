#include "net/test_tls_peer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/check.h"

static void
ext_add(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	CHECK(ext != NULL && X509_add_ext(x, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

X509 *
test_cert_x509(const struct test_cert *c)
{
	BIO *in = BIO_new_mem_buf(c->pem.p, (int)c->pem.n);
	X509 *x = PEM_read_bio_X509(in, NULL, NULL, NULL);

	CHECK(x != NULL);
	BIO_free(in);
	return x;
}

static EVP_PKEY *
key_make(enum tls_key_kind kind)
{
	if (kind == TLS_KEY_RSA)
		return EVP_RSA_gen(2048);
	return EVP_EC_gen(kind == TEST_KEY_P384 ? "P-384" : "P-256");
}

void
test_cert_make_with(struct test_cert *c, const struct test_cert_opts *o)
{
	static long serial;
	X509 *x = X509_new(), *issuer = o->issuer != NULL ? test_cert_x509(o->issuer) : NULL;
	BIO *out = BIO_new(BIO_s_mem());
	char *p, cn[20];
	long n;

	c->key = key_make(o->kind);
	CHECK(x != NULL && out != NULL && c->key != NULL);
	CHECK(X509_set_version(x, X509_VERSION_3) == 1);
	CHECK(ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial) == 1);
	CHECK(X509_gmtime_adj(X509_getm_notBefore(x), -86400) != NULL);
	CHECK(X509_gmtime_adj(X509_getm_notAfter(x), o->is_expired ? -3600 : 86400) != NULL);
	CHECK(X509_set_pubkey(x, c->key) == 1);
	snprintf(cn, sizeof(cn), "test %ld", serial);
	CHECK(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (unsigned char *)cn, -1, -1,
		  0) == 1);
	CHECK(X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer : x)) == 1);
	if (o->sans != NULL)
		ext_add(x, NID_subject_alt_name, o->sans);
	if (o->usage != NULL)
		ext_add(x, NID_ext_key_usage, o->usage);
	if (o->is_ca)
		ext_add(x, NID_basic_constraints, "critical,CA:TRUE");
	CHECK(X509_sign(x, o->issuer != NULL ? o->issuer->key : c->key, o->md != NULL ? o->md : EVP_sha256()) > 0);
	CHECK(PEM_write_bio_X509(out, x) == 1);
	n = BIO_get_mem_data(out, &p);
	buf_init(&c->pem, 100000);
	CHECK(buf_put(&c->pem, str_of(p, (size_t)n)) == ST_OK);
	BIO_free(out);
	X509_free(issuer);
	X509_free(x);
}

void
test_cert_make(struct test_cert *c, enum tls_key_kind kind, const char *sans)
{
	test_cert_make_with(c, &(struct test_cert_opts){.kind = kind, .sans = sans});
}

void
test_cert_drop(struct test_cert *c)
{
	EVP_PKEY_free(c->key);
	buf_fini(&c->pem);
}

static void
client_send(struct tls_client *c)
{
	char *p;
	long n;
	size_t done = 0;

	while ((n = BIO_get_mem_data(c->out, &p)) > 0) {
		char b[16384];
		int got = BIO_read(c->out, b, sizeof(b));
		CHECK(buf_put(&c->unsent, str_of(b, (size_t)got)) == ST_OK);
	}
	while (c->unsent.n > 0 && sim_write(c->end, c->unsent.p, c->unsent.n, &done) == ST_OK)
		buf_consume(&c->unsent, done);
}

static void
client_go(struct tls_client *c)
{
	char b[16384];
	int r;

	if (!c->is_up && !c->is_failed) {
		r = SSL_do_handshake(c->ssl);
		c->is_up = r == 1;
		c->is_failed = r != 1 && SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ;
	}
	while (c->is_up && (r = SSL_read(c->ssl, b, sizeof(b))) != 0) {
		if (r < 0) {
			c->is_failed |= SSL_get_error(c->ssl, r) != SSL_ERROR_WANT_READ;
			break;
		}
		(void)buf_put(&c->heard, str_of(b, (size_t)r));
	}
	if (c->is_up && r == 0)
		c->is_eof = true;
	ERR_clear_error();
	client_send(c);
}

static void
client_ready(void *arg, unsigned events)
{
	struct tls_client *c = arg;
	char b[5000];
	size_t got;
	enum status st;

	(void)events;
	while ((st = sim_read(c->end, b, sizeof(b), &got)) == ST_OK)
		CHECK(BIO_write(c->in, b, (int)got) == (int)got);
	if (st == ST_EOF)
		BIO_set_mem_eof_return(c->in, 0);
	c->is_broken |= st == ST_IO || st == ST_EOF;
	client_go(c);
}

void
tls_client_start(struct tls_client *c, SSL *ssl, struct sim_end *end)
{
	*c = (struct tls_client){.end = end, .ssl = ssl};
	buf_init(&c->heard, 1 << 22);
	buf_init(&c->unsent, 1 << 22);
	c->in = BIO_new(BIO_s_mem());
	c->out = BIO_new(BIO_s_mem());
	CHECK(c->in != NULL && c->out != NULL);
	BIO_set_mem_eof_return(c->in, -1);
	SSL_set_bio(ssl, c->in, c->out);
	SSL_set_connect_state(ssl);
	sim_watch(end, client_ready, c);
	client_go(c);
}

void
tls_client_say(struct tls_client *c, struct str text)
{
	CHECK(c->is_up);
	CHECK(SSL_write(c->ssl, text.p, (int)text.n) == (int)text.n);
	client_send(c);
}

void
tls_client_stop(struct tls_client *c)
{
	sim_close(&c->end);
	SSL_free(c->ssl);
	c->ssl = NULL;
	buf_fini(&c->heard);
	buf_fini(&c->unsent);
}
