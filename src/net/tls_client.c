/* Contexts of the client's side, and the sessions they keep. */
#include <openssl/err.h>
#include <stdlib.h>

#include "base/check.h"
#include "net/tls_internal.h"
#include "sys/sock.h"

/* As bytes: a fraction of what OpenSSL holds with the server's whole chain. */
struct session {
	struct session *prev, *next;
	uint64_t until_ms;
	struct str key, der; /* owned */
};

/* A ring in the order of their coming. */
struct tls_sessions {
	struct session head;
	struct map by_key;
};

static void
session_drop(struct tls_sessions *s, struct session *e)
{
	CHECK(map_del(&s->by_key, e->key) == e);
	e->prev->next = e->next;
	e->next->prev = e->prev;
	OPENSSL_cleanse((char *)(uintptr_t)e->der.p, e->der.n);
	free((char *)(uintptr_t)e->der.p);
	free((char *)(uintptr_t)e->key.p);
	free(e);
}

static struct tls_sessions *
sessions_new(void)
{
	struct tls_sessions *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->head.prev = s->head.next = &s->head;
	map_init(&s->by_key, TLS_CLIENT_SESSIONS_MAX);
	return s;
}

void
tls_sessions_free(struct tls_sessions **sp)
{
	struct tls_sessions *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	while (s->head.next != &s->head)
		session_drop(s, s->head.next);
	map_fini(&s->by_key);
	free(s);
}

static struct str
str_dup(struct str s)
{
	char *p = malloc(s.n);

	CHECK(p != NULL);
	memcpy(p, s.p, s.n);
	return str_of(p, s.n);
}

static void
session_put(struct tls_sessions *s, struct str key, struct str der, uint64_t until_ms)
{
	struct session *e = map_get(&s->by_key, key);

	if (e != NULL)
		session_drop(s, e);
	if (s->by_key.n == TLS_CLIENT_SESSIONS_MAX)
		session_drop(s, s->head.next);
	e = calloc(1, sizeof(*e));
	CHECK(e != NULL);
	*e = (struct session){.until_ms = until_ms,
	    .key = str_dup(key),
	    .der = str_dup(der),
	    .prev = s->head.prev,
	    .next = &s->head};
	e->prev->next = e->next->prev = e;
	CHECK(map_put(&s->by_key, e->key, e, NULL) == ST_OK);
}

static void
session_keep(const struct tls_layer *t, SSL_SESSION *session)
{
	unsigned char der[TLS_CLIENT_SESSION_BYTES_MAX], *p = der;
	int n = i2d_SSL_SESSION(session, NULL);

	if (n <= 0 || n > (int)sizeof(der) || i2d_SSL_SESSION(session, &p) != n)
		return;
	session_put(t->ctx->sessions, t->session_key, str_of(der, (size_t)n), t->session_until_ms);
	OPENSSL_cleanse(der, sizeof(der));
}

/*
 * Whatever becomes of it, it is gone: a ticket of TLS 1.3 is for one connection, which brings new
 * ones (RFC 8446 C.4), and a session that a server stumbles over must not be offered again. One of
 * TLS 1.2 comes back when it was of use.
 */
static void
session_take(struct tls_layer *t, uint64_t now_ms)
{
	struct tls_sessions *s = t->ctx->sessions;
	struct session *e;
	SSL_SESSION *session;
	const unsigned char *p;

	while (s->head.next != &s->head && s->head.next->until_ms <= now_ms)
		session_drop(s, s->head.next);
	e = map_get(&s->by_key, t->session_key);
	if (e != NULL && e->until_ms > now_ms) {
		p = (const unsigned char *)e->der.p;
		session = d2i_SSL_SESSION(NULL, &p, (long)e->der.n);
		CHECK(session != NULL && SSL_set_session(t->ssl, session) == 1);
		SSL_SESSION_free(session);
		t->session_until_ms = e->until_ms;
	}
	if (e != NULL)
		session_drop(s, e);
}

void
tls_client_resumed(struct tls_layer *t)
{
	if (SSL_version(t->ssl) < TLS1_3_VERSION)
		session_keep(t, SSL_get_session(t->ssl));
}

/* In TLS 1.3 also after the handshake. 0: the session stays OpenSSL's. */
static int
session_new_cb(SSL *ssl, SSL_SESSION *session)
{
	struct tls_layer *t = SSL_get_app_data(ssl);

	t->session_until_ms = clock_mono_ms(loop_clock(t->ctx->loop)) + TLS_CLIENT_SESSION_MS;
	session_keep(t, session);
	return 0;
}

/*
 * Opportunistic (RFC 7435 3): the best there is first, but whatever is better than none is offered
 * too: finite-field groups, at last without forward secrecy; keys and certificates down to 80 bits
 * of strength. The server chooses.
 */
#define CLIENT_CIPHERS_TLS12                                                                      \
	"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:kRSA+AESGCM:kRSA+" \
	"AES:!aNULL:!PSK:!SRP:!aDSS"                                                              \
	":@SECLEVEL=1"
#define CLIENT_SIGALGS                                                                            \
	"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-" \
	"PSS+SHA512:"                                                                             \
	"RSA+SHA256:RSA+SHA384:RSA+SHA512"
#define CLIENT_GROUPS "X25519:P-256:P-384:P-521"

struct tls_context *
tls_client_context_new(struct loop *l)
{
	struct tls_context *ctx = tls_context_base_new(l, TLS_client_method());
	/* OpenSSL's macros cast the const away. */
	char sigalgs[] = CLIENT_SIGALGS, groups[] = CLIENT_GROUPS;

	ctx->sessions = sessions_new();
	CHECK(SSL_CTX_set_cipher_list(ctx->ssl, CLIENT_CIPHERS_TLS12) == 1);
	CHECK(SSL_CTX_set1_sigalgs_list(ctx->ssl, sigalgs) == 1);
	CHECK(SSL_CTX_set1_groups_list(ctx->ssl, groups) == 1);
	/* RFC 5746 4.1: servers that do not know its extension are many; harmless to one that never
	 * renegotiates. */
	SSL_CTX_set_options(ctx->ssl, SSL_OP_LEGACY_SERVER_CONNECT);
	/* The chain is looked at nevertheless, and what was found kept. */
	SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(
	    ctx->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx->ssl, session_new_cb);
	return ctx;
}

static bool
is_host_char(char c)
{
	return char_is_alnum(c) || c == '-' || c == '.' || c == '_';
}

/* RFC 6066 3: a host name in ASCII, without the dot of the root, and no address. Empty when it is
 * none. */
static struct str
sni_of(struct str name)
{
	struct sock_addr a;

	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > SNI_MAX || sock_ip_parse(name, &a) == ST_OK)
		return STR_NULL;
	for (size_t i = 0; i < name.n; i++) {
		if (!is_host_char(name.p[i]))
			return STR_NULL;
	}
	return name;
}

static void
sni_set(SSL *ssl, struct str name)
{
	char z[SNI_MAX + 1];

	if (name.n == 0)
		return;
	memcpy(z, name.p, name.n);
	z[name.n] = 0;
	CHECK(SSL_set_tlsext_host_name(ssl, z) == 1);
}

struct layer *
tls_client_layer_new(struct tls_context *ctx, struct layer *next, loop_fn *wake, void *wake_arg,
    const struct tls_client_options *o, struct str address)
{
	struct tls_layer *t = tls_layer_base_new(ctx, next, wake, wake_arg);
	struct str name = sni_of(o->server_name);
	struct buf key;

	CHECK(ctx->sessions != NULL);
	SSL_set_connect_state(t->ssl);
	CHECK(SSL_set_app_data(t->ssl, t) == 1);
	sni_set(t->ssl, name);
	buf_init(&key, SNI_MAX + 1 + address.n);
	CHECK(buf_put(&key, name) == ST_OK && buf_put_c(&key, '\n') == ST_OK &&
	      buf_put(&key, address) == ST_OK);
	t->session_key = str_dup(buf_str(&key));
	buf_fini(&key);
	session_take(t, clock_mono_ms(loop_clock(ctx->loop)));
	ERR_clear_error();
	return &t->y;
}
