#include "access/login.h"

#include "base/check.h"

/* RFC 9266 4.2 */
#define EXPORTER_BYTES 32

/* RFC 5929 4: the hash of our certificate. 0: none. */
static size_t
end_point(const struct conn *c, uint8_t out[TLS_END_POINT_MAX])
{
	size_t n;

	return conn_tls_server_end_point(c, out, &n) ? n : 0;
}

bool
login_is_same_host(struct conn *c)
{
	return sock_is_loopback(conn_peer(c)) || sock_ip_eq(conn_peer(c), conn_local(c));
}

#define SHA256 "SCRAM-SHA-256"
#define SHA256_PLUS "SCRAM-SHA-256-PLUS SCRAM-SHA-256"
#define SHA1 " SCRAM-SHA-1"
#define SHA1_PLUS " SCRAM-SHA-1-PLUS SCRAM-SHA-1"
/* Without and with EXTERNAL, each without and with what sends the password. */
#define ENDINGS(s) \
	{ \
		{STR_INIT(s), STR_INIT(s " PLAIN LOGIN")}, {STR_INIT(s " EXTERNAL"), STR_INIT(s " EXTERNAL PLAIN LOGIN")} \
	}

struct str
login_mechanisms(bool is_tls, bool has_binding, bool scram_sha1, bool has_external)
{
	static const struct str lists[2][2][2][2] = {
	    {ENDINGS(SHA256), ENDINGS(SHA256 SHA1)},
	    {ENDINGS(SHA256_PLUS), ENDINGS(SHA256_PLUS SHA1_PLUS)},
	};

	return lists[has_binding][scram_sha1][has_external][is_tls];
}

bool
login_can_bind(const struct conn *c)
{
	uint8_t bytes[TLS_END_POINT_MAX];

	return conn_tls_exporter(c, bytes) || end_point(c, bytes) > 0;
}

void
login_init(struct login *g, enum login_protocol protocol, uint64_t session, bool is_exempt)
{
	*g = (struct login){.session = session, .protocol = protocol, .is_exempt = is_exempt};
}

bool
login_begin(struct login *g, struct link *auth, struct conn *c, const struct login_first *first)
{
	uint8_t exporter[EXPORTER_BYTES], certificate[TLS_END_POINT_MAX];
	struct buf peer;

	CHECK(!g->is_asked);
	if (auth == NULL)
		return false;
	g->step = 0;
	g->is_sasl = g->is_asked = true;
	buf_init(&peer, 64);
	(void)sock_ip_put(&peer, conn_peer(c));
	(void)rec_sasl_put(link_out(auth),
	    &(struct rec_sasl){.session = g->session,
	        .protocol = (uint8_t)g->protocol,
	        .mechanism = first->mechanism,
	        .has_bytes = first->has_initial,
	        .bytes = first->initial,
	        .peer = buf_str(&peer),
	        .is_exempt = g->is_exempt,
	        .binding_exporter = str_of(exporter, conn_tls_exporter(c, exporter) ? sizeof(exporter) : 0),
	        .binding_end_point = str_of(certificate, end_point(c, certificate)),
	        .external = first->external});
	buf_fini(&peer);
	return true;
}

bool
login_password(struct login *g, struct link *auth, struct conn *c, struct str user, struct str password)
{
	struct buf peer;

	CHECK(!g->is_asked && g->protocol == LOGIN_POP3);
	if (auth == NULL)
		return false;
	g->is_sasl = false;
	g->is_asked = true;
	buf_init(&peer, 64);
	(void)sock_ip_put(&peer, conn_peer(c));
	(void)rec_login_put(link_out(auth),
	    &(struct rec_login){.session = g->session,
	        .user = user,
	        .password = password,
	        .peer = buf_str(&peer),
	        .is_exempt = g->is_exempt});
	buf_fini(&peer);
	return true;
}

bool
login_step(struct login *g, struct link *auth, struct str bytes)
{
	CHECK(!g->is_asked);
	/* auth may have been away meanwhile; then it says that it knows nothing of this. */
	if (auth == NULL || !g->is_sasl)
		return false;
	g->is_asked = true;
	(void)rec_sasl_put(link_out(auth),
	    &(struct rec_sasl){.session = g->session,
	        .protocol = (uint8_t)g->protocol,
	        .step = ++g->step,
	        .has_bytes = true,
	        .bytes = bytes});
	return true;
}

void
login_end(struct login *g, struct link *auth)
{
	if (g->is_sasl && auth != NULL)
		(void)rec_login_end_put(link_out(auth),
		    &(struct rec_login_end){.session = g->session, .protocol = (uint8_t)g->protocol});
	g->is_sasl = g->is_asked = false;
}

enum login_protocol
login_answer_protocol(struct cur c)
{
	struct rec_login_answer a;

	return rec_login_answer_take(&c, &a) && a.protocol == LOGIN_SUBMISSION ? LOGIN_SUBMISSION : LOGIN_POP3;
}

bool
login_answer(struct login *g, const struct rec_login_answer *a)
{
	CHECK(a->session == g->session);
	if (!g->is_asked || a->protocol != g->protocol)
		return false;
	g->is_asked = false;
	switch ((enum login_verdict)a->verdict) {
	case LOGIN_CHALLENGE:
		return g->is_sasl && a->bytes.n <= LOGIN_CHALLENGE_MAX;
	case LOGIN_OK:
		g->is_sasl = false;
		return a->cap.n == CAP_BYTES;
	case LOGIN_DENIED:
	case LOGIN_TEMPORARY:
		g->is_sasl = false;
		return true;
	}
	return false;
}

void
login_answer_drop(const struct rec_login_answer *a, struct link *store)
{
	if (a->verdict == LOGIN_OK && a->cap.n == CAP_BYTES && store != NULL)
		(void)rec_cap_drop_put(link_out(store), &(struct rec_cap_drop){.cap = a->cap});
}
