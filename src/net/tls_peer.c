/* What certificates say: who a client is, and the binding to the server's. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "net/tls_internal.h"

_Static_assert(TLS_END_POINT_MAX >= EVP_MAX_MD_SIZE, "any hash fits");

/* The binding. */

/* RFC 5929 4.1: the hash of the certificate's own signature, SHA-256 in place of the broken ones.
 */
static bool
end_point_of(X509 *cert, uint8_t out[TLS_END_POINT_MAX], size_t *n_out)
{
	const EVP_MD *md;
	unsigned int n;
	int nid;

	if (cert == NULL || X509_get_signature_info(cert, &nid, NULL, NULL, NULL) != 1)
		return false;
	if (nid == NID_md5 || nid == NID_sha1)
		nid = NID_sha256;
	/* None of its own (Ed25519): not defined. */
	md = nid != NID_undef ? EVP_get_digestbynid(nid) : NULL;
	if (md == NULL || X509_digest(cert, md, out, &n) != 1)
		return false;
	*n_out = n;
	return true;
}

int
tls_end_point_into_ticket(SSL *ssl, void *arg)
{
	uint8_t out[TLS_END_POINT_MAX];
	size_t n;

	(void)arg;
	/* A resumed session has it already. */
	if (SSL_session_reused(ssl) == 1 || !end_point_of(SSL_get_certificate(ssl), out, &n))
		return 1;
	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), out, n);
}

static bool
end_point_of_ticket(SSL *ssl, uint8_t out[TLS_END_POINT_MAX], size_t *n_out)
{
	void *p = NULL;
	size_t n = 0;

	if (SSL_SESSION_get0_ticket_appdata(SSL_get_session(ssl), &p, &n) != 1 || n == 0 ||
	    n > TLS_END_POINT_MAX)
		return false;
	memcpy(out, p, n);
	*n_out = n;
	return true;
}

bool
tls_layer_server_end_point(const struct layer *y, uint8_t out[TLS_END_POINT_MAX], size_t *n_out)
{
	const struct tls_layer *t = (const struct tls_layer *)y;
	bool is;

	if (t->ctx->sessions != NULL)
		is = end_point_of(SSL_get0_peer_certificate(t->ssl), out, n_out);
	else if (t->info.is_resumed)
		is = end_point_of_ticket(t->ssl, out, n_out);
	else
		is = end_point_of(SSL_get_certificate(t->ssl), out, n_out);
	ERR_clear_error();
	return is;
}

/* Client certificates. */

/* Always goes on: what was found is the session's verify result, kept with it also in tickets. */
static int
client_cert_seen_cb(X509_STORE_CTX *store, void *arg)
{
	(void)arg;
	if (X509_verify_cert(store) != 1 && X509_STORE_CTX_get_error(store) == X509_V_OK)
		X509_STORE_CTX_set_error(store, X509_V_ERR_UNSPECIFIED);
	ERR_clear_error();
	return 1;
}

/* Into a store, and the names into a list for clients to choose by. */
static enum status
cas_read(struct str pem, X509_STORE *store, STACK_OF(X509_NAME) * names)
{
	BIO *in = pem.n > INT32_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
	enum status st = ST_OK;
	size_t n = 0;
	X509 *x;

	if (in == NULL)
		return ST_LIMIT;
	while (st == ST_OK && (x = PEM_read_bio_X509(in, NULL, tls_no_passphrase, NULL)) != NULL) {
		X509_NAME *name = X509_NAME_dup(X509_get_subject_name(x));
		if (++n > TLS_CLIENT_CAS_MAX)
			st = ST_LIMIT;
		CHECK(name != NULL && X509_STORE_add_cert(store, x) == 1);
		CHECK(sk_X509_NAME_push(names, name) > 0);
		X509_free(x);
	}
	BIO_free(in);
	ERR_clear_error();
	return n == 0 ? ST_SYNTAX : st;
}

/* A ticket made under other authorities must not vouch under these: the session's context names
 * them. */
static void
session_context_set(SSL_CTX *ssl, struct str ca_pem)
{
	unsigned char context[32];
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	CHECK(md != NULL && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1);
	CHECK(EVP_DigestUpdate(md, "posthorn ", 9) == 1);
	CHECK(EVP_DigestUpdate(md, ca_pem.p != NULL ? ca_pem.p : "", ca_pem.n) == 1);
	CHECK(EVP_DigestFinal_ex(md, context, NULL) == 1);
	EVP_MD_CTX_free(md);
	CHECK(SSL_CTX_set_session_id_context(ssl, context, sizeof(context)) == 1);
}

enum status
tls_context_set_client_ca(struct tls_context *ctx, struct str ca_pem)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	enum status st = ST_OK;

	CHECK(store != NULL && names != NULL && ctx->sessions == NULL);
	/* What is listed is trusted, be it an intermediate one. */
	CHECK(X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1);
	if (ca_pem.n > 0)
		st = cas_read(ca_pem, store, names);
	if (st != ST_OK) {
		X509_STORE_free(store);
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return st;
	}
	/* Both are taken. */
	CHECK(SSL_CTX_set0_verify_cert_store(ctx->ssl, store) == 1);
	SSL_CTX_set_client_CA_list(ctx->ssl, names);
	SSL_CTX_set_cert_verify_callback(ctx->ssl, client_cert_seen_cb, NULL);
	SSL_CTX_set_verify(ctx->ssl, ca_pem.n > 0 ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	session_context_set(ctx->ssl, ca_pem);
	return ST_OK;
}

/* RFC 5280 4.2.1.6: a Mailbox of RFC 2821, so ASCII. */
static bool
is_address(struct str s)
{
	if (s.n == 0 || s.n > TLS_CLIENT_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	}
	return true;
}

static enum status
names_put(const GENERAL_NAMES *sans, struct buf *out)
{
	int sans_n = sans != NULL ? sk_GENERAL_NAME_num(sans) : 0;
	size_t n = 0;

	for (int i = 0; i < sans_n && n < TLS_CLIENT_NAMES_MAX; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(sans, i);
		struct str s;
		if (g->type != GEN_EMAIL)
			continue;
		s = str_of(ASN1_STRING_get0_data(g->d.rfc822Name),
		    (size_t)ASN1_STRING_length(g->d.rfc822Name));
		if (!is_address(s))
			continue;
		n++;
		if (buf_put(out, s) != ST_OK || buf_put_c(out, '\n') != ST_OK)
			return ST_LIMIT;
	}
	return n > 0 ? ST_OK : ST_NOTFOUND;
}

enum status
tls_layer_client_name(const struct layer *y, struct buf *out)
{
	const struct tls_layer *t = (const struct tls_layer *)y;
	const X509 *cert = SSL_get0_peer_certificate(t->ssl);
	size_t n_before = out->n;
	GENERAL_NAMES *sans;
	enum status st;

	if (t->ctx->sessions != NULL || cert == NULL || SSL_get_verify_result(t->ssl) != X509_V_OK)
		return ST_NOTFOUND;
	/* A ticket lives for hours: the certificate may have ended since it was looked at. */
	if (X509_cmp_current_time(X509_get0_notAfter(cert)) != 1)
		return ST_NOTFOUND;
	sans = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	st = names_put(sans, out);
	if (st != ST_OK)
		out->n = n_before;
	GENERAL_NAMES_free(sans);
	ERR_clear_error();
	return st;
}
