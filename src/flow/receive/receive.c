#include "flow/receive/receive.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/num.h"
#include "standards/date/date.h"

enum {
	/* Pipelined commands that wait while the store answers, besides one read. */
	RECEIVE_INPUT_MAX = CONN_READ_BYTES + SMTP_LINE_MAX,
	/* People mistype, lists have dead members: so many refusals cost a client no time. */
	TARPIT_FREE = 5,
	RECEIVE_HEAD_MAX = 2048,
	RECEIVE_NAME_MAX = 255,
};

static struct metric m_sessions = METRIC_COUNTER("posthorn_smtp_sessions_total", "SMTP and LMTP sessions accepted");
static struct metric m_messages = METRIC_COUNTER("posthorn_smtp_messages_total", "Messages acknowledged");
static struct metric m_refused = METRIC_COUNTER("posthorn_smtp_refused_total", "Messages and recipients refused");

/* The mail transaction of a session; exists from MAIL to its end. */
struct mail {
	struct buf reverse_path, envid;
	struct buf rcpts;	/* as DELIVER wants them */
	struct buf rcpt, orcpt;	/* the one the store is asked about */
	struct intake intake;
	uint64_t size_bytes;	/* SIZE= of MAIL */
	uint64_t by_ms;		/* BY= of MAIL as a time, 0: none */
	uint32_t rcpts_n, accounts_n;
	uint8_t notify, flags, ret, by_mode;
	bool is_delivering;	/* with the store, which answers for every recipient */
};

struct session {
	struct receive *r;
	struct conn *conn;
	struct listener *from;
	struct tls_context *tls;
	struct smtp_server smtp;
	struct mail *mail;
	char *name;		/* by DNS, NUL-terminated; NULL: not known */
	struct loop_id timer;	/* until the greeting, or until a refused client may go on */
	struct sock_addr accepted;	/* as the listener counts it */
	uint64_t id, started_ms;
	uint32_t messages_n, refused_n;
	uint32_t tarpitted_n;	/* refusals that have cost their time */
	struct receive_peer who;
	enum smtp_mode mode;
	bool is_implicit_tls, is_paused, is_refused, is_ending, is_greeted, is_tarpitted;
};

struct receive {
	struct loop *loop;
	receive_store_fn *store;
	void *store_arg;
	struct receive_settings settings;
	struct smtp_server_conf conf[3][2][2];	/* by enum smtp_mode; without and with STARTTLS; limited and exempt */
	struct tls_context *tls;
	struct slots sessions;
	struct receive_counters counters;
	bool is_stopping;
	loop_fn *stopped;
	void *stopped_arg;
#ifdef POSTHORN_FOOTHOLD
	bool (*foothold)(struct str helo);
#endif
};

/* ---- mail ---- */

static struct mail *
mail_new(uint64_t session)
{
	struct mail *m = calloc(1, sizeof(*m));

	CHECK(m != NULL);
	buf_init(&m->reverse_path, SMTP_PATH_MAX + 2);
	buf_init(&m->envid, SMTP_ENVID_MAX);
	buf_init(&m->rcpts, RECEIVE_RCPTS_BYTES_MAX);
	buf_init(&m->rcpt, SMTP_PATH_MAX + 2);
	buf_init(&m->orcpt, SMTP_ORCPT_MAX);
	intake_init(&m->intake, session);
	return m;
}

static void
mail_free(struct mail **mp)
{
	struct mail *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	buf_fini(&m->reverse_path);
	buf_fini(&m->envid);
	buf_fini(&m->rcpts);
	buf_fini(&m->rcpt);
	buf_fini(&m->orcpt);
	intake_fini(&m->intake);
	free(m);
}

/* ---- sessions ---- */

static void session_drive(struct session *s, struct cur *in);

static struct link *
session_store(const struct session *s)
{
	return s->r->store(s->r->store_arg);
}

/* The transaction ends without a message: what the store holds of it goes. */
static void
session_forget(struct session *s)
{
	if (s->mail != NULL)
		intake_forget(&s->mail->intake, session_store(s));
	mail_free(&s->mail);
}

static void
session_deadline(struct session *s)
{
	const struct receive_settings *o = &s->r->settings;
	bool in_data = s->mail != NULL && s->mail->intake.bytes > 0;

	conn_deadline(s->conn, in_data ? o->data_timeout_ms : o->command_timeout_ms);
}

/* After an answer from outside: pipelined commands that were left go on. */
static void
session_go_on(struct session *s)
{
	if (s->is_paused && !s->is_tarpitted) {
		s->is_paused = false;
		conn_resume(s->conn);
	}
	if (s->is_ending && s->mail == NULL && !smtp_server_is_waiting(&s->smtp)) {
		smtp_server_abort(&s->smtp, conn_out(s->conn), STR("421 4.3.2 The server is stopping, try again in a moment"));
		conn_close(s->conn);
	}
}

static void
session_reply(struct session *s, unsigned code, struct str text)
{
	smtp_server_reply(&s->smtp, conn_out(s->conn), code, text);
	if (code >= 400) {
		s->refused_n++;
		metric_add(&m_refused, 1);
	}
}

static uint64_t
wall_ms(const struct session *s)
{
	return clock_wall_ms(loop_clock(s->r->loop));
}

static void
mail_params(struct session *s, const struct smtp_event *ev)
{
	struct mail *m = s->mail;

	m->size_bytes = ev->size_bytes;
	m->flags = (uint8_t)((ev->body == SMTP_BODY_8BITMIME ? ENVELOPE_8BIT : 0) |
	    (ev->body == SMTP_BODY_BINARYMIME ? ENVELOPE_BINARY : 0) | (ev->is_smtputf8 ? ENVELOPE_UTF8 : 0));
	m->ret = ev->ret;
	if (ev->has_by) {
		m->by_ms = ev->by_s > 0 ? wall_ms(s) + (uint64_t)ev->by_s * 1000 : 1;
		m->by_mode = (uint8_t)ev->by_mode;
	}
	(void)buf_put(&m->reverse_path, ev->path);
	(void)buf_put(&m->envid, ev->envid);
}

static void
session_mail(struct session *s, const struct smtp_event *ev)
{
	CHECK(s->mail == NULL);
#ifdef POSTHORN_FOOTHOLD
	if (s->r->foothold != NULL)
		(void)s->r->foothold(smtp_server_helo(&s->smtp));
#endif
	s->mail = mail_new(s->id);
	mail_params(s, ev);
	if (session_store(s) == NULL) {
		mail_free(&s->mail);
		session_reply(s, 451, STR("4.3.0 The mail store is not available at the moment, try again later"));
		return;
	}
	session_reply(s, 250, STR("2.1.0 Ok"));
}

static void
session_rcpt(struct session *s, const struct smtp_event *ev)
{
	struct link *store = session_store(s);

	if (store == NULL) {
		session_reply(s, 451, STR("4.3.0 The mail store is not available at the moment, try again later"));
		return;
	}
	buf_reset(&s->mail->rcpt);
	buf_reset(&s->mail->orcpt);
	(void)buf_put(&s->mail->rcpt, ev->path);
	(void)buf_put(&s->mail->orcpt, ev->orcpt);
	s->mail->notify = ev->notify;
	(void)rec_route_put(link_out(store),
	    &(struct rec_route){
	        .session = s->id, .is_trusted = s->who.is_trusted, .path = ev->path, .size_bytes = s->mail->size_bytes});
}

/* Too much under way to the store pauses the client. */
static void
session_chunk(struct session *s, struct str bytes)
{
	struct intake *i = &s->mail->intake;

	intake_put(i, session_store(s), bytes);
	if (intake_is_behind(i) && !s->is_paused) {
		s->is_paused = true;
		conn_pause(s->conn);
	}
}

/* RFC 5321 4.4: the trace line that says where this message came from. */
static void
head_put(struct session *s, struct buf *out)
{
	const struct tls_info *tls = conn_tls(s->conn);
	const struct clock *clock = loop_clock(s->r->loop);
	struct str helo = smtp_server_helo(&s->smtp);

	(void)buf_put(out, STR("Received: from "));
	(void)buf_put(out, helo.n > 0 ? helo : STR("unknown"));
	(void)buf_putf(out, " (%s [", s->name != NULL ? s->name : "unknown");
	if (!conn_peer(s->conn)->is_v4)
		(void)buf_put(out, STR("IPv6:"));
	(void)sock_ip_put(out, conn_peer(s->conn));
	(void)buf_put(out, STR("])\r\n\tby "));
	(void)buf_put(out, s->r->settings.hostname);
	(void)buf_put(out, STR(" with "));
	(void)buf_put(out, smtp_server_with(&s->smtp));
	(void)buf_putf(out, " id %llx.%llx.%x", (unsigned long long)s->started_ms, (unsigned long long)s->id, s->messages_n);
	if (tls != NULL)
		(void)buf_putf(out, "\r\n\t(version=%s cipher=%s)", tls->version, tls->cipher);
	/* With several recipients their addresses stay secret from each other (RFC 5321 7.2). */
	if (s->mail->rcpts_n == 1) {
		(void)buf_put(out, STR("\r\n\tfor <"));
		struct cur c = cur_of(buf_str(&s->mail->rcpts));
		struct str path;
		if (cur_str16(&c, &path))
			(void)buf_put(out, path);
		(void)buf_put_c(out, '>');
	}
	(void)buf_put(out, STR("; "));
	(void)date_format_5322(out, (int64_t)(clock_wall_ms(clock) / 1000), 0);
	(void)buf_put(out, STR("\r\n"));
}

static void
session_fail_message(struct session *s, unsigned code, struct str text)
{
	uint32_t n = s->mode == SMTP_LMTP ? s->mail->rcpts_n : 1;

	while (n-- > 0)
		session_reply(s, code, text);
	session_forget(s);
}

static void
session_deliver(struct session *s, struct link *store)
{
	struct mail *m = s->mail;
	struct buf head;

	if (m->intake.header.is_auto)
		m->flags |= ENVELOPE_AUTO;
	buf_init(&head, RECEIVE_HEAD_MAX);
	head_put(s, &head);
	(void)rec_deliver_put(link_out(store),
	    &(struct rec_deliver){.session = s->id,
	        .is_trusted = s->who.is_trusted,
	        .reverse_path = buf_str(&m->reverse_path),
	        .rcpts = buf_str(&m->rcpts),
	        .head = buf_str(&head),
	        .message_id = header_scan_message_id(&m->intake.header),
	        .flags = m->flags,
	        .ret = m->ret,
	        .envid = buf_str(&m->envid),
	        .by_ms = m->by_ms,
	        .by_mode = m->by_mode,
	        .priority = ENVELOPE_PRIORITY_ZERO,
	        .is_each = s->mode == SMTP_LMTP,
	        .is_staged = m->intake.is_staged,
	        .body = m->intake.is_staged ? STR_NULL : buf_str(&m->intake.body)});
	buf_fini(&head);
	m->is_delivering = true;
	s->r->counters.bytes += m->intake.bytes;
	/* The store has its copy; a session that waits holds no body. */
	buf_fini(&m->intake.body);
}

static void
session_end(struct session *s, const struct smtp_event *ev)
{
	struct link *store = session_store(s);
	struct intake *i = &s->mail->intake;

	if (ev->is_unterminated)
		intake_put(i, store, STR("\r\n"));
	intake_end(i, store);
	if (store == NULL)
		session_fail_message(s, 451, STR("4.3.0 The mail store is not available at the moment, try again later"));
	else if (i->is_failed)
		session_fail_message(s, 452, STR("4.3.1 The mail store has no room for this message at the moment, try again later"));
	else if (i->header.hops > HEADER_HOPS_MAX)
		/* RFC 5321 6.3 */
		session_fail_message(s, 554, STR("5.4.6 This message has been through too many servers, it goes in circles"));
	else
		session_deliver(s, store);
}

static void
session_starttls(struct session *s)
{
	/* The machine has ended; the next one begins when the handshake is done and knows nothing of this one. */
	session_forget(s);
	conn_start_tls(s->conn, s->tls);
}

/* Who the client is to us, by its address; also when a proxy has said which it is. */
static void
session_classify(struct session *s)
{
	const struct receive_settings *o = &s->r->settings;

	if (o->peer_of != NULL)
		s->who = o->peer_of(o->peer_arg, conn_peer(s->conn));
	smtp_server_set_xclient(&s->smtp, s->who.may_xclient);
}

/* XCLIENT: a proxy of ours speaks for somebody. Only what is an address counts; the rest is what the proxy says of itself. */
static void
session_xclient(struct session *s, struct str attributes)
{
	struct smtp_xclient x;
	struct sock_addr peer;

	session_forget(s);
	if (smtp_xclient_take(attributes, &x) != ST_OK)
		return;
	if (x.addr.what == SMTP_XCLIENT_GIVEN && sock_ip_parse(x.addr.text, &peer) == ST_OK) {
		peer.port = x.port;
		conn_set_peer(s->conn, &peer);
		free(s->name);
		s->name = NULL;
		session_classify(s);
	}
	if (x.name.what == SMTP_XCLIENT_GIVEN)
		receive_set_name(s->r, s->id, x.name.text);
}

/* False: this input is over for now. */
static bool
session_event(struct session *s, const struct smtp_event *ev)
{
	switch (ev->kind) {
	case SMTP_EV_MORE:
		return false;
	case SMTP_EV_FLUSH:
		/* Many answers to many pipelined commands: they leave first, the rest is shown again. */
		conn_hold(s->conn);
		return false;
	case SMTP_EV_MAIL:
		session_mail(s, ev);
		return true;
	case SMTP_EV_RCPT:
		session_rcpt(s, ev);
		return true;
	case SMTP_EV_DATA:
		session_reply(s, 354, STR("End data with <CR><LF>.<CR><LF>"));
		return true;
	case SMTP_EV_CHUNK:
		session_chunk(s, ev->bytes);
		return true;
	case SMTP_EV_END:
		session_end(s, ev);
		return true;
	case SMTP_EV_ABORT:
		session_forget(s);
		return true;
	case SMTP_EV_STARTTLS:
		session_starttls(s);
		return false;
	case SMTP_EV_CLOSE:
		conn_close(s->conn);
		return false;
	case SMTP_EV_XCLIENT:
		session_xclient(s, ev->bytes);
		return true;
	case SMTP_EV_AUTH:
	case SMTP_EV_AUTH_LINE:
	case SMTP_EV_AUTH_CANCEL:
		/* Not offered here. */
		return true;
	}
	return false;
}

static void
session_drive(struct session *s, struct cur *in)
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

/* ---- clients that do not behave ---- */

static void
on_tarpit_over(void *arg)
{
	struct session *s = arg;

	s->timer = (struct loop_id){0};
	s->is_tarpitted = false;
	session_go_on(s);
}

/* Each refusal beyond the first few costs a moment: who tries names from a dictionary gets through few of them. */
static void
session_tarpit(struct session *s)
{
	uint32_t refused = s->refused_n + s->smtp.errors;

	if (s->who.is_exempt || s->r->settings.tarpit_ms == 0 || refused <= TARPIT_FREE || refused == s->tarpitted_n || s->is_tarpitted)
		return;
	s->tarpitted_n = refused;
	s->is_tarpitted = true;
	s->timer = loop_timer_add(s->r->loop, s->r->settings.tarpit_ms, on_tarpit_over, s);
	if (!s->is_paused) {
		s->is_paused = true;
		conn_pause(s->conn);
	}
}

static void
session_greet(struct session *s)
{
	s->is_greeted = true;
	smtp_server_greet(&s->smtp, conn_out(s->conn));
	session_deadline(s);
}

static void
on_greet(void *arg)
{
	struct session *s = arg;

	s->timer = (struct loop_id){0};
	session_greet(s);
}

/* RFC 5321 3.1, 4.3.1: a client waits for the greeting; programs that only push spam do not. */
static void
session_too_early(struct session *s, struct cur *in)
{
	loop_timer_del(s->r->loop, &s->timer);
	in->p = in->end;
	s->is_refused = true;
	smtp_server_refuse(&s->smtp, conn_out(s->conn), STR("554 5.5.1 You spoke before the greeting, no service"));
	log_event(LOG_INFO, "smtp.early_talker", LOG_U64("session", s->id));
	conn_close(s->conn);
}

/* The greeting, at once or after the time that it takes to see who talks first. */
static void
session_begin(struct session *s)
{
	if (s->who.is_exempt || s->r->settings.greet_delay_ms == 0 || s->mode == SMTP_LMTP)
		session_greet(s);
	else
		s->timer = loop_timer_add(s->r->loop, s->r->settings.greet_delay_ms, on_greet, s);
}

/* ---- the connection ---- */

static void
on_input(void *arg, struct conn *c, struct cur *in)
{
	struct session *s = arg;
	const char *before = in->p;

	(void)c;
	if (s->is_refused)
		return;
	if (!s->is_greeted) {
		session_too_early(s, in);
		return;
	}
	session_drive(s, in);
	/* A line that comes byte by byte has the time of one line. */
	if (in->p != before)
		session_deadline(s);
	session_tarpit(s);
}

/* Behind a proxy: now we know who it is. */
static void
on_connected(void *arg, struct conn *c)
{
	struct session *s = arg;

	(void)c;
	if (s->is_greeted || s->timer.v != 0 || s->is_refused)
		return;
	session_classify(s);
	if (!s->is_implicit_tls)
		session_begin(s);
}

static void
on_timeout(void *arg, struct conn *c)
{
	struct session *s = arg;

	smtp_server_abort(&s->smtp, conn_out(c), STR("421 4.4.2 Nothing heard from you for too long, closing"));
	conn_close(c);
}

static const struct smtp_server_conf *
session_conf(const struct session *s)
{
	bool starttls = s->tls != NULL && !s->is_implicit_tls;

	return &s->r->conf[s->mode][starttls][s->who.is_exempt];
}

static void
on_tls_done(void *arg, struct conn *c)
{
	struct session *s = arg;

	/* RFC 3207 4.2: the client starts again; nothing said in clear counts. */
	(void)c;
	smtp_server_init(&s->smtp, session_conf(s), true);
	smtp_server_set_xclient(&s->smtp, s->who.may_xclient);
	session_deadline(s);
	if (s->is_implicit_tls)
		session_begin(s);
}

static void
on_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct session *s = arg;
	struct receive *r = s->r;

	if (why != CONN_END_LOCAL && why != CONN_END_EOF)
		log_event(LOG_DEBUG, "smtp.closed", LOG_U64("session", s->id), LOG_U64("why", why));
	(void)c;
	session_forget(s);
	loop_timer_del(r->loop, &s->timer);
	/* By the address it was accepted with: a proxy may have named another since. */
	if (s->from != NULL)
		listener_release(s->from, &s->accepted);
	slots_del(&r->sessions, s->id);
	free(s->name);
	free(s);
	if (r->is_stopping && r->sessions.n == 0 && r->stopped != NULL)
		(void)loop_post(r->loop, r->stopped, r->stopped_arg);
}

static const struct conn_handler session_handler = {
    .connected = on_connected, .input = on_input, .timeout = on_timeout, .tls_done = on_tls_done, .closed = on_closed};

uint64_t
receive_accept(struct receive *r, struct listener *from, int fd, const struct sock_addr *peer, enum smtp_mode mode, unsigned tls)
{
	struct session *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->r = r;
	s->from = from;
	s->mode = mode;
	s->accepted = *peer;
	s->started_ms = clock_wall_ms(loop_clock(r->loop));
	s->tls = tls != 0 ? r->tls : NULL;
	s->is_implicit_tls = tls == 2 && s->tls != NULL;
	s->id = slots_add(&r->sessions, s);
	CHECK(s->id != 0);
	s->conn = conn_new_fd(r->loop, fd, &session_handler, s, RECEIVE_INPUT_MAX);
	/* A socket that was reset no longer knows, and the listener counts by it. */
	conn_set_peer(s->conn, peer);
	if (r->settings.peer_of != NULL)
		s->who = r->settings.peer_of(r->settings.peer_arg, peer);
	smtp_server_init(&s->smtp, session_conf(s), false);
	smtp_server_set_xclient(&s->smtp, s->who.may_xclient);
	r->counters.sessions++;
	metric_add(&m_sessions, 1);
	if (log_is_on(LOG_DEBUG)) {
		struct buf ip;
		buf_init(&ip, 64);
		(void)sock_ip_put(&ip, peer);
		log_event(LOG_DEBUG, "smtp.session", LOG_U64("session", s->id), LOG_STR("peer", buf_str(&ip)));
		buf_fini(&ip);
	}
	session_deadline(s);
	if (s->who.is_proxy)
		conn_expect_proxy(s->conn);
	if (s->is_implicit_tls)
		conn_start_tls(s->conn, s->tls);
	else if (!s->who.is_proxy)
		session_begin(s);
	return s->id;
}

void
receive_refuse(struct receive *r, int fd)
{
	struct session *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->r = r;
	s->is_refused = true;
	s->is_greeted = true;
	s->id = slots_add(&r->sessions, s);
	smtp_server_init(&s->smtp, &r->conf[SMTP_MTA][0][0], false);
	s->conn = conn_new_fd(r->loop, fd, &session_handler, s, RECEIVE_INPUT_MAX);
	smtp_server_refuse(&s->smtp, conn_out(s->conn), STR("421 4.7.0 Too many connections from you, try again later"));
	conn_close(s->conn);
}

/* ---- answers from the store ---- */

static bool
is_answer_code(uint16_t code)
{
	return code == 250 || (code >= 400 && code <= 599);
}

static bool
on_route_answer(struct receive *r, struct cur *c)
{
	struct rec_route_answer a;
	struct session *s;

	if (!rec_route_answer_take(c, &a) || !is_answer_code(a.code))
		return false;
	s = slots_get(&r->sessions, a.session);
	if (s == NULL || s->mail == NULL || s->mail->rcpt.n == 0 || !smtp_server_is_waiting(&s->smtp))
		return true;
	if (a.code == 250 && s->mail->rcpts_n > 0 && s->mail->accounts_n + a.accounts > RECEIVE_ACCOUNTS_MAX) {
		/* RFC 5321 4.5.3.1.10: the client sends the rest in another transaction. */
		a.code = 452;
		a.text = STR("4.5.3 Too many recipients for one message, send it to the rest separately");
	}
	if (a.code == 250) {
		(void)buf_put_str16(&s->mail->rcpts, buf_str(&s->mail->rcpt));
		(void)buf_put_c(&s->mail->rcpts, (char)s->mail->notify);
		(void)buf_put_str16(&s->mail->rcpts, buf_str(&s->mail->orcpt));
		s->mail->rcpts_n++;
		s->mail->accounts_n += a.accounts;
	}
	buf_reset(&s->mail->rcpt);
	session_reply(s, a.code, a.text);
	session_tarpit(s);
	session_go_on(s);
	return true;
}

static bool
answer_take(struct cur *c, uint16_t *code, struct str *text)
{
	uint16_t n;

	return cur_le16(c, code) && is_answer_code(*code) && cur_le16(c, &n) && cur_take(c, n, text);
}

static bool
answers_are(struct str answers, uint32_t n)
{
	struct cur c = cur_of(answers);
	struct str text;
	uint16_t code;

	while (!cur_at_end(&c)) {
		if (n-- == 0 || !answer_take(&c, &code, &text))
			return false;
	}
	return n == 0;
}

/* One reply for all in SMTP: the first that is not 250 decides; each its own in LMTP (RFC 2033 4.2). */
static bool
session_delivered(struct session *s, struct str answers)
{
	struct cur c = cur_of(answers);
	uint16_t code = 0, worst = 0;
	struct str text, worst_text = STR_NULL;

	/* All or nothing: what was said to the client cannot be taken back. */
	if (!answers_are(answers, s->mail->rcpts_n))
		return false;
	while (answer_take(&c, &code, &text)) {
		if (s->mode == SMTP_LMTP)
			session_reply(s, code, text);
		if (worst == 0 || (worst == 250 && code != 250)) {
			worst = code;
			worst_text = text;
		}
	}
	if (s->mode != SMTP_LMTP)
		session_reply(s, worst, worst_text);
	if (worst == 250) {
		s->r->counters.messages++;
		metric_add(&m_messages, 1);
	}
	return true;
}

static bool
on_deliver_answer(struct receive *r, struct cur *c)
{
	struct rec_deliver_answer a;
	struct session *s;

	if (!rec_deliver_answer_take(c, &a))
		return false;
	s = slots_get(&r->sessions, a.session);
	if (s == NULL || s->mail == NULL || !s->mail->is_delivering)
		return true;
	if (!session_delivered(s, a.answers))
		return false;
	s->messages_n++;
	/* The store has taken or dropped what was staged. */
	s->mail->intake.is_staged = false;
	mail_free(&s->mail);
	session_go_on(s);
	return true;
}

static bool
on_stage_answer(struct receive *r, struct cur *c)
{
	struct rec_stage_answer a;
	struct session *s;

	if (!rec_stage_answer_take(c, &a))
		return false;
	s = slots_get(&r->sessions, a.session);
	if (s == NULL || s->mail == NULL || !s->mail->intake.is_staged)
		return true;
	intake_staged(&s->mail->intake, a.bytes_n, a.ok != 0);
	if (!intake_is_behind(&s->mail->intake) && !smtp_server_is_waiting(&s->smtp))
		session_go_on(s);
	return true;
}

bool
receive_record(struct receive *r, enum record_type t, struct cur *c)
{
	if (t == REC_ROUTE_ANSWER)
		return on_route_answer(r, c);
	if (t == REC_DELIVER_ANSWER)
		return on_deliver_answer(r, c);
	if (t == REC_STAGE_ANSWER)
		return on_stage_answer(r, c);
	return false;
}

void
receive_store_down(struct receive *r)
{
	struct session *s;
	uint32_t it = 0;

	while ((s = slots_next(&r->sessions, &it)) != NULL) {
		if (s->mail == NULL)
			continue;
		intake_store_down(&s->mail->intake);
		if (!smtp_server_is_waiting(&s->smtp)) {
			session_go_on(s);
		} else if (s->mail->rcpt.n > 0) {
			buf_reset(&s->mail->rcpt);
			session_reply(s, 451, STR("4.3.0 The mail store was interrupted, try again"));
			session_go_on(s);
		} else {
			session_fail_message(s, 451, STR("4.3.0 The mail store was interrupted, try again"));
			session_go_on(s);
		}
	}
}

void
receive_store_drained(struct receive *r)
{
	(void)r;
}

void
receive_set_name(struct receive *r, uint64_t session, struct str name)
{
	struct session *s = slots_get(&r->sessions, session);

	if (s == NULL || s->name != NULL || name.n == 0 || name.n > RECEIVE_NAME_MAX)
		return;
	for (size_t i = 0; i < name.n; i++)
		if (!char_is_alnum(name.p[i]) && name.p[i] != '-' && name.p[i] != '.' && name.p[i] != '_')
			return;
	s->name = malloc(name.n + 1);
	CHECK(s->name != NULL);
	memcpy(s->name, name.p, name.n);
	s->name[name.n] = '\0';
}

/* ---- the whole ---- */

struct receive *
receive_new(struct loop *l, receive_store_fn *store, void *store_arg)
{
	struct receive *r = calloc(1, sizeof(*r));

	CHECK(r != NULL);
	r->loop = l;
	r->store = store;
	r->store_arg = store_arg;
	slots_init(&r->sessions, RECEIVE_SESSIONS_MAX);
	return r;
}

void
receive_free(struct receive **rp)
{
	struct receive *r = *rp;
	struct session *s;
	uint32_t it = 0;

	*rp = NULL;
	if (r == NULL)
		return;
	r->stopped = NULL;
	while ((s = slots_next(&r->sessions, &it)) != NULL)
		conn_abort(s->conn);
	/* Their last callbacks come from the loop. */
	for (int i = 0; r->sessions.n > 0 && i < 1000; i++)
		(void)loop_turn(r->loop, 0);
	slots_fini(&r->sessions);
	free(r);
}

void
receive_set(struct receive *r, const struct receive_settings *o)
{
	struct smtp_server_conf base = {.hostname = o->hostname,
	    .message_bytes_max = o->message_bytes_max,
	    .rcpts_max = o->rcpts_max,
	    .messages_max = o->messages_max,
	    .errors_max = o->errors_max};

	r->settings = *o;
	for (int mode = SMTP_MTA; mode <= SMTP_LMTP; mode++)
		for (int k = 0; k < 4; k++) {
			struct smtp_server_conf *c = &r->conf[mode][k & 1][k >> 1];
			*c = base;
			c->mode = (enum smtp_mode)mode;
			c->is_starttls_offered = (k & 1) != 0;
			c->is_auth_required = mode == SMTP_SUBMISSION;
			c->is_chunking_offered = true;
			c->is_dsn_offered = true;
			c->is_xclient_offered = true;
			/* Our own hosts may keep a connection as long as they like. */
			if (k >> 1)
				c->messages_max = UINT32_MAX;
		}
}

void
receive_set_tls(struct receive *r, struct tls_context *tls)
{
	r->tls = tls;
}

#ifdef POSTHORN_FOOTHOLD
void
receive_set_foothold(struct receive *r, bool (*try)(struct str helo))
{
	r->foothold = try;
}
#endif

void
receive_stop(struct receive *r, loop_fn *done, void *arg)
{
	struct session *s;
	uint32_t it = 0;

	r->is_stopping = true;
	r->stopped = done;
	r->stopped_arg = arg;
	while ((s = slots_next(&r->sessions, &it)) != NULL) {
		s->is_ending = true;
		session_go_on(s);
	}
	if (r->sessions.n == 0)
		(void)loop_post(r->loop, done, arg);
}

size_t
receive_sessions(const struct receive *r)
{
	return r->sessions.n;
}

const struct receive_counters *
receive_counters(const struct receive *r)
{
	return &r->counters;
}
