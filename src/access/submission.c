/* Submission: sessions, their connection, and all of them together. */
#include "access/submission.h"

#include <stdlib.h>

#include "access/submission_internal.h"
#include "base/check.h"
#include "base/log.h"
#include "base/num.h"

enum {
	/* Pipelined commands that wait while somebody answers, besides one read. */
	INPUT_BYTES_MAX = CONN_READ_BYTES + SMTP_AUTH_LINE_MAX,
	LOGIN_ADDRESS_MAX = SMTP_PATH_MAX,
};

static struct metric m_sessions = METRIC_COUNTER("posthorn_submission_sessions_total", "Sessions of mail clients that send");
static struct metric m_refused = METRIC_COUNTER("posthorn_submission_refused_total", "Commands and messages of mail clients refused");

struct link *
submission_store(const struct submission_session *s)
{
	return s->e->ops->store(s->e->arg);
}

struct link *
submission_auth(const struct submission_session *s)
{
	return s->e->ops->auth(s->e->arg);
}

uint64_t
submission_wall_ms(const struct submission_session *s)
{
	return clock_wall_ms(loop_clock(s->e->loop));
}

static void
session_deadline(struct submission_session *s)
{
	const struct receive_settings *o = &s->e->settings.mail;

	conn_deadline(s->conn, submission_mail_in_data(s) ? o->data_timeout_ms : o->command_timeout_ms);
}

/* A last line, and no more of it. */
static void
session_abort(struct submission_session *s, struct str line)
{
	submission_mail_forget(s);
	s->waits = SUBMISSION_WAITS_NOTHING;
	smtp_server_abort(&s->smtp, conn_out(s->conn), line);
	conn_close(s->conn);
}

void
submission_go_on(struct submission_session *s)
{
	if (s->is_paused) {
		s->is_paused = false;
		conn_resume(s->conn);
	}
	if (s->is_ending && s->mail == NULL && s->waits == SUBMISSION_WAITS_NOTHING)
		session_abort(s, STR("421 4.3.2 The server is stopping, try again in a moment"));
}

void
submission_reply(struct submission_session *s, unsigned code, struct str text)
{
	s->waits = SUBMISSION_WAITS_NOTHING;
	smtp_server_reply(&s->smtp, conn_out(s->conn), code, text);
	if (code >= 400) {
		s->e->counters.refused++;
		metric_add(&m_refused, 1);
	}
}

/* False: this input is over for now. */
static bool
session_event(struct submission_session *s, const struct smtp_event *ev)
{
	switch (ev->kind) {
	case SMTP_EV_MORE:
		return false;
	case SMTP_EV_FLUSH:
		/* Many answers to many pipelined commands: they leave first, the rest is shown again. */
		conn_hold(s->conn);
		return false;
	case SMTP_EV_AUTH:
	case SMTP_EV_AUTH_LINE:
		submission_login_event(s, ev);
		return true;
	case SMTP_EV_AUTH_CANCEL:
		login_end(&s->login, submission_auth(s));
		return true;
	case SMTP_EV_MAIL:
		submission_mail_begin(s, ev);
		return true;
	case SMTP_EV_RCPT:
		submission_mail_rcpt(s, ev);
		return true;
	case SMTP_EV_DATA:
		submission_reply(s, 354, STR("End data with <CR><LF>.<CR><LF>"));
		return true;
	case SMTP_EV_CHUNK:
		submission_mail_chunk(s, ev->bytes);
		return true;
	case SMTP_EV_END:
		submission_mail_end(s, ev);
		return true;
	case SMTP_EV_ABORT:
		submission_mail_forget(s);
		return true;
	case SMTP_EV_STARTTLS:
		/* The machine has ended; the next one begins when the handshake is done and knows nothing of this one. */
		submission_mail_forget(s);
		submission_login_fini(s);
		conn_start_tls(s->conn, s->tls);
		return false;
	case SMTP_EV_CLOSE:
		conn_close(s->conn);
		return false;
	case SMTP_EV_XCLIENT:
		/* Not offered here. */
		break;
	}
	return false;
}

static void
session_drive(struct submission_session *s, struct cur *in)
{
	while (!smtp_server_is_waiting(&s->smtp) && !s->is_paused) {
		struct smtp_event ev = smtp_server_next(&s->smtp, in, conn_out(s->conn));
		if (!session_event(s, &ev))
			return;
	}
	/* Pipelined commands wait with us; the kernel holds what comes after. */
	if (!cur_at_end(in) && !s->is_paused) {
		s->is_paused = true;
		conn_pause(s->conn);
	}
}

/* What FUTURERELEASE counts from (RFC 4865 5). Rounded up: what is held is not sent before its time. */
static void
session_tell_time(struct submission_session *s)
{
	smtp_server_set_now(&s->smtp, (int64_t)((submission_wall_ms(s) + 999) / 1000));
}

static void
on_input(void *arg, struct conn *c, struct cur *in)
{
	struct submission_session *s = arg;
	const char *before = in->p;

	(void)c;
	if (s->is_refused)
		return;
	session_tell_time(s);
	session_drive(s, in);
	/* A line that comes byte by byte has the time of one line. */
	if (in->p != before)
		session_deadline(s);
}

static void
on_timeout(void *arg, struct conn *c)
{
	(void)c;
	session_abort(arg, STR("421 4.4.2 Nothing heard from you for too long, closing"));
}

static void
machine_init(struct submission_session *s, bool is_tls)
{
	bool starttls = s->tls != NULL && !s->is_implicit_tls;

	smtp_server_init(&s->smtp, &s->e->conf[starttls][login_is_same_host(s->conn)][s->who.is_exempt], is_tls);
	submission_login_offer(s, is_tls);
	session_tell_time(s);
}

static void
session_greet(struct submission_session *s)
{
	s->is_greeted = true;
	smtp_server_greet(&s->smtp, conn_out(s->conn));
	session_deadline(s);
}

/* Behind a proxy: now we know who it is. */
static void
on_connected(void *arg, struct conn *c)
{
	struct submission_session *s = arg;

	if (s->is_greeted || s->is_refused || !s->who.is_proxy)
		return;
	s->who = s->e->settings.mail.peer_of(s->e->settings.mail.peer_arg, conn_peer(c));
	/* The address is told only once. */
	s->who.is_proxy = false;
	login_init(&s->login, LOGIN_SUBMISSION, s->id, s->who.is_exempt);
	machine_init(s, false);
	if (!s->is_implicit_tls)
		session_greet(s);
}

static void
on_tls_done(void *arg, struct conn *c)
{
	struct submission_session *s = arg;

	(void)c;
	/* RFC 3207 4.2: the client starts again; nothing said in clear counts. */
	machine_init(s, true);
	if (s->is_implicit_tls)
		session_greet(s); /* RFC 8314 3.3 */
	session_deadline(s);
}

static void
on_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct submission_session *s = arg;
	struct submission_env *e = s->e;

	(void)c;
	if (why != CONN_END_LOCAL && why != CONN_END_EOF)
		log_event(LOG_DEBUG, "submission.closed", LOG_U64("session", s->id), LOG_U64("why", why));
	submission_mail_forget(s);
	submission_login_fini(s);
	buf_fini(&s->address);
	/* By the address it was accepted with: a proxy may have named another since. */
	if (s->from != NULL)
		listener_release(s->from, &s->accepted);
	slots_del(&e->sessions, s->id);
	free(s);
	if (e->is_stopping && e->sessions.n == 0 && e->stopped != NULL) {
		loop_timer_del(e->loop, &e->drain);
		(void)loop_post(e->loop, e->stopped, e->stopped_arg);
	}
}

static const struct conn_handler session_handler = {
    .connected = on_connected, .input = on_input, .timeout = on_timeout, .tls_done = on_tls_done, .closed = on_closed};

static struct submission_session *
session_new(struct submission_env *e, int fd)
{
	struct submission_session *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->e = e;
	s->started_ms = clock_wall_ms(loop_clock(e->loop));
	buf_init(&s->address, LOGIN_ADDRESS_MAX);
	s->id = slots_add(&e->sessions, s);
	CHECK(s->id != 0);
	s->conn = conn_new_fd(e->loop, fd, &session_handler, s, INPUT_BYTES_MAX);
	return s;
}

void
submission_accept(struct submission_env *e, struct listener *from, int fd, const struct sock_addr *peer, unsigned tls)
{
	const struct receive_settings *o = &e->settings.mail;
	struct submission_session *s = session_new(e, fd);

	/* A socket that was reset no longer knows, and the listener counts by it. */
	conn_set_peer(s->conn, peer);
	s->accepted = *peer;
	s->from = from;
	if (o->peer_of != NULL)
		s->who = o->peer_of(o->peer_arg, peer);
	s->tls = tls != 0 ? e->tls : NULL;
	s->is_implicit_tls = tls == 2 && s->tls != NULL;
	login_init(&s->login, LOGIN_SUBMISSION, s->id, s->who.is_exempt);
	machine_init(s, false);
	e->counters.sessions++;
	metric_add(&m_sessions, 1);
	session_deadline(s);
	if (s->who.is_proxy)
		conn_expect_proxy(s->conn);
	if (s->is_implicit_tls)
		conn_start_tls(s->conn, s->tls);
	else if (!s->who.is_proxy)
		session_greet(s);
}

void
submission_refuse(struct submission_env *e, int fd)
{
	struct submission_session *s = session_new(e, fd);

	s->is_refused = true;
	smtp_server_init(&s->smtp, &e->conf[0][0][0], false);
	smtp_server_refuse(&s->smtp, conn_out(s->conn), STR("421 4.7.0 Too many connections from you, try again later"));
	conn_close(s->conn);
}

/* ---- what comes from the others ---- */

bool
submission_record(struct submission_env *e, enum record_type t, struct cur *c)
{
	return t == REC_LOGIN_ANSWER ? submission_login_answer(e, c) : submission_mail_record(e, t, c);
}

void
submission_store_down(struct submission_env *e)
{
	struct submission_session *s;
	uint32_t it = 0;

	while ((s = slots_next(&e->sessions, &it)) != NULL) {
		if (!s->has_cap)
			continue;
		/* The capability ended with it, and only a new connection can have another (RFC 4954 4). */
		s->has_cap = false;
		if (s->mail != NULL)
			intake_store_down(&s->mail->intake);
		session_abort(s, STR("421 4.3.0 The mail store was interrupted, try again"));
	}
}

void
submission_auth_down(struct submission_env *e)
{
	struct submission_session *s;
	uint32_t it = 0;

	while ((s = slots_next(&e->sessions, &it)) != NULL)
		submission_login_down(s);
}

void
submission_resolver_down(struct submission_env *e)
{
	struct submission_session *s;
	uint32_t it = 0;

	while ((s = slots_next(&e->sessions, &it)) != NULL)
		submission_mail_no_dns(s);
}

/* ---- the whole ---- */

struct submission_env *
submission_env_new(struct loop *l, const struct submission_env_ops *ops, void *arg)
{
	struct submission_env *e = calloc(1, sizeof(*e));

	CHECK(e != NULL);
	e->loop = l;
	e->ops = ops;
	e->arg = arg;
	slots_init(&e->sessions, SUBMISSION_SESSIONS_MAX);
	slots_init(&e->asks, SUBMISSION_SESSIONS_MAX);
	return e;
}

void
submission_env_free(struct submission_env **ep)
{
	struct submission_env *e = *ep;
	struct submission_session *s;
	uint32_t it = 0;

	*ep = NULL;
	if (e == NULL)
		return;
	e->stopped = NULL;
	loop_timer_del(e->loop, &e->drain);
	while ((s = slots_next(&e->sessions, &it)) != NULL)
		conn_abort(s->conn);
	/* Their last callbacks come from the loop. */
	for (int i = 0; e->sessions.n > 0 && i < 1000; i++)
		(void)loop_turn(e->loop, 0);
	slots_fini(&e->sessions);
	slots_fini(&e->asks);
	free(e);
}

void
submission_env_set(struct submission_env *e, const struct submission_settings *o)
{
	struct smtp_server_conf base = {.hostname = o->mail.hostname,
	    .mode = SMTP_SUBMISSION,
	    .is_auth_required = true,
	    .is_auth_offered = true,
	    .is_chunking_offered = true,
	    .is_dsn_offered = true,
	    .is_deliverby_offered = true,
	    .is_mt_priority_offered = true,
	    .deliverby_min_s = SUBMISSION_BY_S_MIN,
	    .futurerelease_s_max = SUBMISSION_HOLD_S_MAX,
	    .message_bytes_max = o->mail.message_bytes_max,
	    .rcpts_max = o->mail.rcpts_max,
	    .messages_max = o->mail.messages_max,
	    .errors_max = o->mail.errors_max};

	e->settings = *o;
	for (int k = 0; k < 8; k++) {
		struct smtp_server_conf *c = &e->conf[k & 1][k >> 1 & 1][k >> 2];
		*c = base;
		c->is_starttls_offered = (k & 1) != 0;
		/* RFC 4954 4: within one host nobody listens. */
		c->is_auth_over_tls_only = (k >> 1 & 1) == 0;
		/* Our own hosts may keep a connection as long as they like. */
		if (k >> 2)
			c->messages_max = UINT32_MAX;
	}
}

void
submission_env_set_tls(struct submission_env *e, struct tls_context *tls)
{
	e->tls = tls;
}

static void
on_drained(void *arg)
{
	struct submission_env *e = arg;
	struct submission_session *s;
	uint32_t it = 0;

	e->drain = (struct loop_id){0};
	while ((s = slots_next(&e->sessions, &it)) != NULL) {
		s->is_ending = true;
		submission_go_on(s);
	}
}

void
submission_env_stop(struct submission_env *e, uint64_t drain_ms, loop_fn *done, void *arg)
{
	e->is_stopping = true;
	e->stopped = done;
	e->stopped_arg = arg;
	if (e->sessions.n == 0)
		(void)loop_post(e->loop, done, arg);
	else if (drain_ms > 0)
		e->drain = loop_timer_add(e->loop, drain_ms, on_drained, e);
	else
		on_drained(e);
}

size_t
submission_sessions(const struct submission_env *e)
{
	return e->sessions.n;
}

const struct submission_counters *
submission_counters(const struct submission_env *e)
{
	return &e->counters;
}
