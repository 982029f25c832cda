#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/log.h"
#include "flow/relay/relay_internal.h"

/* One connection: connect, TLS, hello, login; then a message, another, or rest. It ends in
 * on_closed, and nowhere else. */

static void session_drive(struct relay_session *s, struct cur *in);

void
relay_session_name_put(struct buf *out, const struct relay_host *host, const struct sock_addr *a)
{
	struct sock_addr own;

	(void)buf_put(out, relay_host_str(host));
	/* An address says it already. */
	if ((host->n > 0 && host->name[0] == '[') ||
	    sock_ip_parse(relay_host_str(host), &own) == ST_OK)
		return;
	(void)buf_put(out, STR(" ["));
	(void)sock_ip_put(out, a);
	(void)buf_put_c(out, ']');
}

/* ---- ends ---- */

/* The job goes on without this session. Nothing is asked of the machine any more: it borrows from
 * the job. */
static void
session_lost(struct relay_session *s, enum relay_lost how, const struct relay_reason *reason)
{
	struct relay_job *j = s->job;

	s->is_ended = true;
	if (s->is_idle)
		relay_pool_remove(s);
	if (j == NULL)
		return;
	s->job = NULL;
	j->session = NULL;
	relay_job_lost(j, s, how, reason);
}

/* "BEFOREmx.example.net [192.0.2.1]: TEXTWHY" */
static void
reason_named(struct relay_reason *out, const struct relay_session *s, uint16_t code,
    uint16_t subject, uint16_t detail, const char *text, struct str why)
{
	struct buf who;

	buf_init(&who, 512);
	relay_session_name_put(&who, &s->host, &s->target.addr);
	relay_reason_set(
	    out, code, subject, detail, "%.*s: %s%.*s", STR_ARG(buf_str(&who)), text, STR_ARG(why));
	buf_fini(&who);
}

/* A temporary failure of the network (RFC 3463 3.5), or of TLS (3.8). */
static void
session_lost_by(struct relay_session *s, enum relay_lost how, uint16_t detail, const char *text,
    const char *why)
{
	struct relay_reason reason;

	reason_named(&reason, s, 451, how == RELAY_LOST_TLS ? 7 : 4, detail, text, str_of_c(why));
	session_lost(s, how, &reason);
}

void
relay_session_abort(struct relay_session *s)
{
	CHECK(s->job == NULL);
	if (s->is_idle)
		relay_pool_remove(s);
	s->is_ended = true;
	conn_abort(s->conn);
}

void
relay_session_quit(struct relay_session *s)
{
	CHECK(s->job == NULL && !s->is_idle);
	if (s->is_ended || s->is_quitting)
		return;
	s->is_quitting = true;
	smtp_client_quit(&s->smtp, conn_out(s->conn));
	conn_deadline(s->conn, RELAY_QUIT_MS);
}

/* The message is over; the connection may take another one. */
static void
session_rest(struct relay_session *s)
{
	s->is_begun = s->is_answered = s->is_in_body = false;
	s->is_reused = true;
	if (!relay_pool_put(s))
		relay_session_quit(s);
}

void
relay_session_release(struct relay_session *s)
{
	s->job->session = NULL;
	s->job = NULL;
	if (s->is_ready && !s->is_begun)
		session_rest(s);
	else
		relay_session_abort(s);
}

/* ---- login ---- */

static void
auth_free(struct relay_session *s)
{
	if (s->auth == NULL)
		return;
	/* The arena has the password in several forms. */
	arena_fini(&s->auth->arena);
	OPENSSL_cleanse(s->auth, sizeof(*s->auth));
	free(s->auth);
	s->auth = NULL;
}

/* A password in clear only where nobody can read it on the way. */
static bool
is_private(const struct relay_session *s)
{
	return conn_tls(s->conn) != NULL || sock_is_loopback(&s->target.addr);
}

static bool
mech_choose(const struct relay_session *s, enum sasl_mech *out)
{
	static const enum sasl_mech best[] = {
	    SASL_SCRAM_SHA_256, SASL_SCRAM_SHA_1, SASL_PLAIN, SASL_LOGIN};

	for (size_t i = 0; i < COUNT_OF(best); i++) {
		if (!smtp_client_has_mech(&s->smtp, sasl_mech_name(best[i])))
			continue;
		if (!sasl_mech_is_scram(best[i]) && !is_private(s))
			continue;
		*out = best[i];
		return true;
	}
	return false;
}

/* RFC 4954: whatever is wrong with the login, the administrator can mend it, and the message waits
 * for that. */
static void
auth_lost(struct relay_session *s, const char *why, struct str detail)
{
	struct relay_reason reason;

	reason_named(&reason, s, 454, 7, 0, why, detail);
	log_event(LOG_WARN, "relay.login_failed", LOG_STR("host", relay_host_str(&s->host)),
	    LOG_STR("user", s->route->user), LOG_STR("why", relay_reason_text(&reason)));
	conn_close(s->conn);
	session_lost(s, RELAY_LOST_NAMED, &reason);
}

static void
auth_begin(struct relay_session *s)
{
	uint8_t random[SCRAM_NONCE_RANDOM_BYTES];
	struct buf *out = conn_out(s->conn);
	struct sasl_out step = {0};
	enum sasl_mech mech;
	bool has_initial;

	if (s->auth != NULL) {
		auth_lost(s, "it refused the login", STR_NULL);
		return;
	}
	if (!mech_choose(s, &mech)) {
		auth_lost(s, "it offers no login that may be used: ", smtp_client_mechs(&s->smtp));
		return;
	}
	s->auth = calloc(1, sizeof(*s->auth));
	CHECK(s->auth != NULL);
	arena_init(&s->auth->arena, SASL_ARENA_BYTES);
	rnd_bytes(random, sizeof(random));
	sasl_nonce(random, s->auth->nonce);
	s->auth->scram.nonce = str_of(s->auth->nonce, sizeof(s->auth->nonce));
	s->auth->is_proved = !sasl_mech_is_scram(mech);
	sasl_client_init(
	    &s->auth->sasl, mech, s->route->user, STR_NULL, s->route->password, &s->auth->scram);
	if (sasl_client_step(&s->auth->sasl, STR_NULL, &s->auth->arena, &step) == SASL_FAIL) {
		auth_lost(s, "user or password of its route cannot be used", STR_NULL);
		return;
	}
	has_initial = mech != SASL_LOGIN;
	if (smtp_client_auth(&s->smtp, out, sasl_mech_name(mech), has_initial, step.challenge) ==
	    ST_OK)
		return;
	s->auth->initial = step.challenge;
	s->auth->has_initial = true;
	if (smtp_client_auth(&s->smtp, out, sasl_mech_name(mech), false, STR_NULL) != ST_OK)
		auth_lost(s, "user or password of its route are too long", STR_NULL);
}

static void
auth_challenge(struct relay_session *s, struct str bytes)
{
	struct relay_auth *a = s->auth;
	struct buf *out = conn_out(s->conn);
	struct sasl_out answer = {0};
	enum sasl_step step = SASL_CHALLENGE;

	if (a->has_initial && bytes.n == 0) {
		answer.challenge = a->initial;
		a->has_initial = false;
	} else {
		step = sasl_client_step(&a->sasl, bytes, &a->arena, &answer);
	}
	if (step == SASL_OK)
		a->is_proved = true;
	if (step == SASL_FAIL || smtp_client_auth_answer(&s->smtp, out, answer.challenge) != ST_OK)
		smtp_client_auth_cancel(&s->smtp, out);
}

static bool
auth_done(struct relay_session *s, const struct smtp_reply *reply)
{
	bool is_proved = s->auth->is_proved;

	if (reply->code < 300 && is_proved) {
		auth_free(s);
		return true;
	}
	if (reply->code < 300)
		/* RFC 5802 3: who does not know the password is somebody else. */
		auth_lost(s, "it did not prove that it knows the password", STR_NULL);
	else
		auth_lost(s, "it refused the login: ", reply->text);
	return false;
}

/* ---- the message ---- */

void
relay_session_begin(struct relay_session *s)
{
	struct cur nothing = cur_of(STR_NULL);

	CHECK(s->is_ready && !s->is_begun && s->job != NULL);
	s->is_begun = true;
	/* The times of the last message are over, also where this one waits for the same thing. */
	s->deadline_phase = SMTP_PHASE_IDLE;
	relay_job_mail_make(s->job);
	smtp_client_mail(&s->smtp, &s->job->mail);
	if (!s->is_driving)
		session_drive(s, &nothing);
}

/* As much content as there is and the connection takes. */
static void
session_pump(struct relay_session *s)
{
	struct str bytes;
	enum status st = ST_OK;

	while (s->is_in_body && st == ST_OK && !conn_out_is_high(s->conn)) {
		enum status had = relay_content_next(s->job, &bytes);
		if (had == ST_MORE)
			return;
		if (had == ST_EOF) {
			st = smtp_client_body_end(&s->smtp, conn_out(s->conn));
			if (st == ST_OK)
				s->is_in_body = false;
			continue;
		}
		st = smtp_client_body(&s->smtp, bytes, conn_out(s->conn));
		if (st == ST_OK)
			relay_content_took(s->job, bytes.n);
	}
	/* ST_LIMIT: drained comes. ST_MORE: SMTP_CL_DATA comes again. Else the machine says what
	 * is. */
}

void
relay_session_go_on(struct relay_session *s)
{
	struct cur nothing = cur_of(STR_NULL);

	if (!s->is_in_body || s->is_driving || s->is_ended)
		return;
	session_pump(s);
	session_drive(s, &nothing);
}

static void
session_round_done(struct relay_session *s)
{
	struct relay_job *j = s->job;

	s->is_in_body = false;
	s->messages_n++;
	if (relay_job_round_done(j)) {
		s->is_begun = s->is_answered = false;
		relay_session_begin(s);
		return;
	}
	s->job = NULL;
	j->session = NULL;
	relay_job_free(&j);
	session_rest(s);
}

/* ---- the machine's events ---- */

static void
session_closing(struct relay_session *s, const struct smtp_client_event *ev)
{
	struct relay_reason reason;

	relay_reason_reply(&reason, &ev->reply);
	/* Half a message in out would look like a whole one to somebody who ends it. */
	if (s->is_in_body)
		conn_abort(s->conn);
	else
		conn_close(s->conn);
	/* RFC 5321 3.1, 3.2: refused before there was a message, that is about us or the host. */
	session_lost(s, s->smtp.is_starttls_broken ? RELAY_LOST_TLS : RELAY_LOST, &reason);
}

static void
session_starttls(struct relay_session *s)
{
	s->is_handshaking = true;
	conn_start_tls_client(s->conn, s->r->tls,
	    &(struct tls_client_options){.server_name = relay_host_str(&s->host)});
}

/* False: this input is over for now. */
static bool
session_event(struct relay_session *s, const struct smtp_client_event *ev)
{
	switch (ev->kind) {
	case SMTP_CL_MORE:
		return false;
	case SMTP_CL_READY:
		s->is_ready = true;
		relay_job_ready(s->job);
		return !s->is_ended;
	case SMTP_CL_STARTTLS:
		session_starttls(s);
		return false;
	case SMTP_CL_AUTH_READY:
		auth_begin(s);
		return !s->is_ended;
	case SMTP_CL_AUTH_CHALLENGE:
		auth_challenge(s, ev->bytes);
		return true;
	case SMTP_CL_AUTH_DONE:
		return auth_done(s, &ev->reply);
	case SMTP_CL_UNSENDABLE:
	case SMTP_CL_MAIL_DONE:
		s->is_answered = true;
		relay_job_refused(s->job, &ev->reply);
		return true;
	case SMTP_CL_RCPT:
		s->is_answered = true;
		relay_job_rcpt(s->job, ev->index, &ev->reply);
		return true;
	case SMTP_CL_DATA:
		s->is_in_body = true;
		session_pump(s);
		return true;
	case SMTP_CL_SENT:
		s->is_in_body = false;
		relay_job_sent(s->job, &ev->reply, smtp_client_has(&s->smtp, SMTP_EXT_DSN));
		return true;
	case SMTP_CL_DONE:
		session_round_done(s);
		return !s->is_ended;
	case SMTP_CL_CLOSING:
		session_closing(s, ev);
		return false;
	}
	return false;
}

static void
session_is_heard(struct relay_session *s)
{
	if (s->is_quiet)
		relay_quiet_del(s->r, &s->target.addr);
	s->is_quiet = false;
}

/*
 * RFC 5321 4.5.3.2: each time begins again with a reply, and with each piece of content that has
 * left; not with each byte of a line.
 */
static void
session_deadline(struct relay_session *s, bool is_progress)
{
	static const uint32_t ms[] = {
	    [SMTP_PHASE_GREETING] = RELAY_GREETING_MS,
	    [SMTP_PHASE_HELLO] = RELAY_HELLO_MS,
	    [SMTP_PHASE_AUTH] = RELAY_AUTH_MS,
	    [SMTP_PHASE_IDLE] = 0,
	    [SMTP_PHASE_MAIL] = RELAY_MAIL_MS,
	    [SMTP_PHASE_RCPT] = RELAY_RCPT_MS,
	    [SMTP_PHASE_DATA] = RELAY_DATA_MS,
	    [SMTP_PHASE_BODY] = RELAY_BLOCK_MS,
	    [SMTP_PHASE_END] = RELAY_END_MS,
	    [SMTP_PHASE_QUIT] = RELAY_QUIT_MS,
	    [SMTP_PHASE_CLOSED] = RELAY_QUIT_MS,
	};

	enum smtp_client_phase phase = smtp_client_phase(&s->smtp);

	/* An idle one has the pool's; one that waits for our own roles is watched over by its job.
	 */
	if (s->is_ended || s->is_idle || s->is_handshaking ||
	    (!is_progress && phase == s->deadline_phase))
		return;
	s->deadline_phase = (uint8_t)phase;
	if (phase != SMTP_PHASE_GREETING)
		session_is_heard(s);
	conn_deadline(s->conn, phase == SMTP_PHASE_GREETING ? RELAY_QUIET_MS : ms[phase]);
}

/* It has not greeted for a while: may it go on waiting? */
static bool
session_waits_on(struct relay_session *s)
{
	if (s->is_quiet || smtp_client_phase(&s->smtp) != SMTP_PHASE_GREETING || !relay_quiet_add(s->r, &s->target.addr))
		return false;
	s->is_quiet = true;
	conn_deadline(s->conn, RELAY_GREETING_MS - RELAY_QUIET_MS);
	return true;
}

static void
session_drive(struct relay_session *s, struct cur *in)
{
	const char *before = in->p;
	struct smtp_client_event ev;

	s->is_driving = true;
	do {
		ev = smtp_client_next(&s->smtp, in, conn_out(s->conn));
	} while (session_event(s, &ev));
	s->is_driving = false;
	session_deadline(s, in->p != before);
}

/* ---- the connection's calls ---- */

/* RFC 5321 6.3: does the greeting or the answer to EHLO have our own name? */
static bool
is_ourselves(const struct relay_session *s, struct str input)
{
	struct cur c = cur_of(input);
	struct str line;
	size_t n;

	if (!s->is_mx || s->is_ready || smtp_client_phase(&s->smtp) > SMTP_PHASE_HELLO ||
	    !cur_take_line(&c, &line) || line.n < 5 || line.p[0] != '2')
		return false;
	line = str_from(line, 4);
	n = str_find_char(line, ' ');
	return relay_is_own_name(s->r, str_take(line, n));
}

static void
session_loops(struct relay_session *s)
{
	struct relay_reason reason;

	reason_named(&reason, s, 550, 4, 6, "this is our own name: mail loops back", STR_NULL);
	conn_close(s->conn);
	session_lost(s, RELAY_LOST_LOOP, &reason);
}

static void
on_input(void *arg, struct conn *c, struct cur *in)
{
	struct relay_session *s = arg;

	(void)c;
	if (s->is_ended) {
		in->p = in->end;
		return;
	}
	if (is_ourselves(s, cur_rest(in))) {
		session_loops(s);
		return;
	}
	session_drive(s, in);
}

static void
on_connected(void *arg, struct conn *c)
{
	struct relay_session *s = arg;

	s->is_connected = true;
	relay_bad_del(s->r, &s->target.addr);
	if (s->is_ended)
		return;
	if (s->tls_mode == RELAY_TLS_IMPLICIT) {
		s->is_handshaking = true;
		conn_start_tls_client(c, s->r->tls,
		    &(struct tls_client_options){.server_name = relay_host_str(&s->host)});
		return;
	}
	session_deadline(s, true);
}

static void
on_tls_done(void *arg, struct conn *c)
{
	struct relay_session *s = arg;
	const struct tls_info *info = conn_tls(c);
	/* The machine begins with a greeting, and after STARTTLS there is none (RFC 3207 4.2). */
	struct cur greeting = cur_of(STR("220 TLS\r\n"));
	struct buf text;

	if (s->is_ended)
		return;
	s->is_handshaking = false;
	buf_init(&text, sizeof(s->tls));
	(void)buf_putf(&text, "%s %s", info->version, info->cipher);
	s->tls_n = (uint8_t)text.n;
	memcpy(s->tls, text.p, text.n);
	buf_fini(&text);
	smtp_client_init(&s->smtp, s->smtp.conf, true);
	if (s->tls_mode == RELAY_TLS_IMPLICIT)
		session_deadline(s, true);
	else
		session_drive(s, &greeting);
}

static void
on_drained(void *arg, struct conn *c)
{
	struct relay_session *s = arg;
	struct cur nothing = cur_of(STR_NULL);

	(void)c;
	if (s->is_ended)
		return;
	if (s->is_in_body)
		session_pump(s);
	session_drive(s, &nothing);
	session_deadline(s, true);
}

static const char *
phase_word(enum smtp_client_phase phase)
{
	switch (phase) {
	case SMTP_PHASE_GREETING:
		return "its greeting";
	case SMTP_PHASE_HELLO:
		return "the answer to EHLO";
	case SMTP_PHASE_AUTH:
		return "the answer to AUTH";
	case SMTP_PHASE_MAIL:
		return "the answer to MAIL";
	case SMTP_PHASE_RCPT:
		return "the answer to RCPT";
	case SMTP_PHASE_DATA:
		return "the answer to DATA";
	case SMTP_PHASE_BODY:
		return "it to take the message";
	case SMTP_PHASE_END:
		return "the answer to the message";
	case SMTP_PHASE_IDLE:
	case SMTP_PHASE_QUIT:
	case SMTP_PHASE_CLOSED:
		return "the end";
	}
	return "";
}

static void
on_timeout(void *arg, struct conn *c)
{
	struct relay_session *s = arg;

	if (s->is_idle) {
		relay_pool_remove(s);
		relay_session_quit(s);
		return;
	}
	if (!s->is_quitting && !s->is_ended && session_waits_on(s))
		return;
	if (s->is_quitting || s->is_ended)
		conn_close(c);
	else
		conn_abort(c);
	if (!s->is_ended && !s->is_quiet && smtp_client_phase(&s->smtp) == SMTP_PHASE_GREETING)
		session_lost_by(s, RELAY_LOST_NAMED, 2, "it does not greet, and other connections wait for that already", "");
	else if (!s->is_ended)
		session_lost_by(s, RELAY_LOST_NAMED, 2, "timed out waiting for ",
		    phase_word(smtp_client_phase(&s->smtp)));
}

static void
session_closed(struct relay_session *s, struct conn *c, enum conn_end why)
{
	if (why == CONN_END_CONNECT)
		session_lost_by(s, RELAY_LOST_CONNECT, 1, "no answer: ", conn_connect_error(c));
	else if (s->is_handshaking)
		session_lost_by(s, RELAY_LOST_TLS, 5, "the TLS handshake failed: ",
		    conn_tls_error(c)[0] != 0 ? conn_tls_error(c) : "the connection was closed");
	else if (why == CONN_END_LIMIT)
		session_lost_by(s, RELAY_LOST_NAMED, 2, "a line is too long", "");
	else
		session_lost_by(s, RELAY_LOST_NAMED, 2, "the connection was closed before ",
		    phase_word(smtp_client_phase(&s->smtp)));
}

static void
on_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct relay_session *s = arg;
	struct relay *r = s->r;

	if (s->is_idle)
		relay_pool_remove(s);
	if (!s->is_ended)
		session_closed(s, c, why);
	CHECK(s->job == NULL);
	session_is_heard(s);
	auth_free(s);
	slots_del(&r->sessions, s->id);
	relay_routes_unref(&s->routes);
	free(s);
	relay_ended(r);
}

static const struct conn_handler session_handler = {.connected = on_connected,
    .input = on_input,
    .drained = on_drained,
    .timeout = on_timeout,
    .tls_done = on_tls_done,
    .closed = on_closed};

static const struct smtp_client_conf *
conf_of(const struct relay_session *s)
{
	static const enum smtp_client_starttls by[] = {[RELAY_TLS_MAY] = SMTP_STARTTLS_MAY,
	    [RELAY_TLS_MUST] = SMTP_STARTTLS_MUST,
	    [RELAY_TLS_IMPLICIT] = SMTP_STARTTLS_NEVER,
	    [RELAY_TLS_NEVER] = SMTP_STARTTLS_NEVER};

	return &s->r->conf[by[s->tls_mode]][s->route != NULL && s->route->user.n > 0];
}

/* After a handshake that failed: in clear, and the queue is told. */
static void
clear_note(struct relay_session *s, const struct relay_reason *why)
{
	struct buf text;

	s->tls_mode = RELAY_TLS_NEVER;
	buf_init(&text, sizeof(s->tls) + RELAY_TEXT_MAX);
	(void)buf_putf(&text, "none (%.*s)", STR_ARG(relay_reason_text(why)));
	s->tls_n = (uint8_t)size_min(text.n, sizeof(s->tls));
	memcpy(s->tls, text.p, s->tls_n);
	buf_fini(&text);
}

static struct conn *
session_connect(struct relay_session *s)
{
	const struct relay *r = s->r;

	if (r->ops->connect != NULL)
		return r->ops->connect(
		    r->ops_arg, &s->target.addr, &session_handler, s, SMTP_CLIENT_REPLY_LINE_MAX);
	return conn_new_connect(
	    r->loop, &s->target.addr, NULL, &session_handler, s, SMTP_CLIENT_REPLY_LINE_MAX);
}

struct relay_session *
relay_session_new(struct relay_job *j, const struct relay_target *t, const struct relay_host *host,
    bool is_mx, bool is_clear)
{
	struct relay_session *s = calloc(1, sizeof(*s));
	struct relay *r = j->r;

	CHECK(s != NULL);
	s->r = r;
	s->job = j;
	s->routes = relay_routes_ref(j->routes);
	s->route = j->route;
	s->host = *host;
	s->target = *t;
	s->is_mx = is_mx;
	relay_host_set(&s->key,
	    j->route != NULL ? j->route->domain : str_of(j->destination, j->destination_n));
	s->tls_mode = j->route != NULL ? j->route->tls : RELAY_TLS_MAY;
	if (is_clear)
		clear_note(s, &j->reason);
	if (r->tls == NULL && s->tls_mode == RELAY_TLS_MAY)
		s->tls_mode = RELAY_TLS_NEVER;
	s->id = slots_add(&r->sessions, s);
	CHECK(s->id != 0);
	smtp_client_init(&s->smtp, conf_of(s), false);
	r->counters.connections++;
	s->conn = session_connect(s);
	conn_deadline(s->conn, RELAY_CONNECT_MS);
	return s;
}
