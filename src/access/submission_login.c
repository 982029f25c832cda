/* Submission: who is it? AUTH's base64 and replies (RFC 4954); the exchange is login.h's and auth's. */
#include "access/submission_internal.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/num.h"

/* A name and a certificate's addresses, each with its '\n'. */
enum { EXTERNAL_BYTES_MAX = TLS_CLIENT_NAMES_MAX * (TLS_CLIENT_NAME_MAX + 1), TEXT_BYTES_MAX = 256 };

static struct metric m_logins = METRIC_COUNTER("posthorn_submission_logins_total", "Logins of mail clients that send");

static const struct str gone_text = STR_INIT("4.7.0 Logging in is not possible at the moment, try again later");

static void
external_of(const struct submission_session *s, struct buf *out)
{
	if (conn_tls_client_name(s->conn, out) != ST_OK)
		buf_reset(out);
}

void
submission_login_offer(struct submission_session *s, bool is_tls)
{
	bool is_local = login_is_same_host(s->conn);
	struct buf external;

	buf_init(&external, EXTERNAL_BYTES_MAX);
	external_of(s, &external);
	smtp_server_set_auth_mechs(
	    &s->smtp, login_mechanisms(is_tls || is_local, login_can_bind(s->conn), s->e->settings.is_scram_sha1, external.n > 0));
	buf_fini(&external);
}

/* The exchange ends with an error of the client's. */
static void
login_refuse(struct submission_session *s, unsigned code, struct str text)
{
	login_end(&s->login, submission_auth(s));
	submission_reply(s, code, text);
}

static bool
login_ask(struct submission_session *s, const struct smtp_event *ev, struct str bytes)
{
	struct buf external;
	bool ok;

	if (ev->kind == SMTP_EV_AUTH_LINE)
		return login_step(&s->login, submission_auth(s), bytes);
	buf_init(&external, EXTERNAL_BYTES_MAX);
	external_of(s, &external);
	ok = login_begin(&s->login, submission_auth(s), s->conn,
	    &(struct login_first){
	        .mechanism = ev->mechanism, .has_initial = ev->has_initial, .initial = bytes, .external = buf_str(&external)});
	buf_fini(&external);
	return ok;
}

void
submission_login_event(struct submission_session *s, const struct smtp_event *ev)
{
	struct buf bytes;

	buf_init(&bytes, SMTP_AUTH_LINE_MAX);
	if (base64_decode(ev->bytes, &bytes) != ST_OK)
		login_refuse(s, 501, STR("5.5.2 This is no base64")); /* RFC 4954 4 */
	else if (login_ask(s, ev, buf_str(&bytes)))
		s->waits = SUBMISSION_WAITS_AUTH;
	else
		login_refuse(s, 454, gone_text);
	/* It may be a password. */
	if (bytes.n > 0)
		explicit_bzero(bytes.p, bytes.n);
	buf_fini(&bytes);
}

/* RFC 4954 6 */
static void
reply_with(struct submission_session *s, unsigned code, struct str enhanced, struct str text)
{
	struct buf b;

	buf_init(&b, TEXT_BYTES_MAX);
	(void)buf_put(&b, enhanced);
	(void)buf_put(&b, str_take(text, TEXT_BYTES_MAX - enhanced.n));
	submission_reply(s, code, buf_str(&b));
	buf_fini(&b);
}

static void
login_done(struct submission_session *s, const struct rec_login_answer *a)
{
	memcpy(s->cap, a->cap.p, CAP_BYTES);
	s->has_cap = true;
	buf_reset(&s->address);
	(void)buf_put(&s->address, a->login);
	s->e->counters.logins++;
	metric_add(&m_logins, 1);
	submission_reply(s, 235, STR("2.7.0 Authentication succeeded"));
}

static void
login_go_on(struct submission_session *s, const struct rec_login_answer *a)
{
	switch ((enum login_verdict)a->verdict) {
	case LOGIN_CHALLENGE:
		if (a->bytes.n > SMTP_CHALLENGE_MAX) {
			login_refuse(s, 454, gone_text);
			return;
		}
		s->waits = SUBMISSION_WAITS_NOTHING;
		smtp_server_challenge(&s->smtp, conn_out(s->conn), a->bytes);
		return;
	case LOGIN_OK:
		login_done(s, a);
		return;
	case LOGIN_DENIED:
		reply_with(s, 535, STR("5.7.8 "), a->text);
		return;
	case LOGIN_TEMPORARY:
		reply_with(s, 454, STR("4.7.0 "), a->text);
		return;
	}
}

bool
submission_login_answer(struct submission_env *e, struct cur *c)
{
	struct rec_login_answer a;
	struct submission_session *s;

	if (!rec_login_answer_take(c, &a))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != SUBMISSION_WAITS_AUTH) {
		login_answer_drop(&a, e->ops->store(e->arg));
		return true;
	}
	if (!login_answer(&s->login, &a) || a.login.n > s->address.max)
		return false;
	login_go_on(s, &a);
	submission_go_on(s);
	return true;
}

void
submission_login_down(struct submission_session *s)
{
	login_end(&s->login, NULL);
	if (s->waits == SUBMISSION_WAITS_AUTH) {
		submission_reply(s, 454, STR("4.7.0 Logging in was interrupted, try again"));
		submission_go_on(s);
	}
}

void
submission_login_fini(struct submission_session *s)
{
	struct link *store = submission_store(s);

	login_end(&s->login, submission_auth(s));
	if (s->has_cap && store != NULL)
		(void)rec_cap_drop_put(link_out(store), &(struct rec_cap_drop){.cap = str_of(s->cap, CAP_BYTES)});
	s->has_cap = false;
}
