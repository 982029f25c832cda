#include "access/submission.h"

#include <stdlib.h>

#include "access/login.h"
#include "base/check.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/utf8.h"
#include "net/dns_packet.h"
#include "standards/address/address.h"
#include "standards/compose/compose.h"
#include "standards/date/date.h"

enum {
	/* A response to AUTH, or pipelined commands, besides one read. */
	INPUT_MAX = CONN_READ_BYTES + SMTP_AUTH_LINE_MAX,
	HEAD_MAX = 2048,
	CLIENT_NAMES_BYTES_MAX = TLS_CLIENT_NAMES_MAX * (TLS_CLIENT_NAME_MAX + 1),
};

static const struct str store_away = STR_INIT("4.3.0 The mail store is not available at the moment, try again later");

/* The mail transaction of a session; exists from MAIL to its end. */
struct mail {
	struct buf reverse_path, envid;
	struct buf rcpts;	/* as DELIVER wants them */
	struct buf rcpt, orcpt;	/* the one that is being asked about */
	struct buf known;	/* the last domain that is known to exist */
	struct buf header;	/* until it is whole */
	struct buf authors;	/* as DELIVER's from */
	struct intake intake;
	size_t header_seen;
	uint64_t size_bytes, hold_until_ms, by_ms;
	uint32_t rcpts_n;
	enum compose_verdict verdict;
	uint8_t notify, flags, ret, by_mode, priority;
	bool is_header_done, is_delivering;
};

enum waits { WAITS_NOTHING, WAITS_LOGIN, WAITS_SENDER, WAITS_ROUTE, WAITS_DNS, WAITS_DELIVER };

struct session {
	struct submission *e;
	struct conn *conn;
	struct listener *from;
	struct tls_context *tls;
	struct smtp_server smtp;
	struct mail *mail;
	struct login login;
	struct loop_id timer;	/* of DNS */
	struct sock_addr accepted;
	uint64_t id, ask, started_ms;
	uint32_t messages_n;
	struct receive_peer who;
	enum waits waits;
	uint16_t rrtype;	/* the question under way */
	bool is_implicit_tls, is_paused, is_refused, is_ending, is_same_host, is_greeted;
	bool has_cap;
	uint8_t cap[CAP_BYTES];
	char address[SMTP_PATH_MAX + 1];	/* whose login it is */
	uint16_t address_n;
};

struct submission {
	struct loop *loop;
	const struct submission_ops *ops;
	void *arg;
	struct receive_settings settings;
	bool is_scram_sha1;
	struct smtp_server_conf conf[2][2][2];	/* without and with STARTTLS; limited and exempt; other hosts and the same */
	struct tls_context *tls;
	struct slots sessions, asks;
	struct submission_counters counters;
	bool is_stopping;
	loop_fn *stopped;
	void *stopped_arg;
	struct loop_id drain;
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
	buf_init(&m->known, SMTP_DOMAIN_MAX + 1);
	buf_init(&m->header, COMPOSE_HEADER_MAX + CONN_READ_BYTES + INPUT_MAX);
	buf_init(&m->authors, COMPOSE_AUTHORS_BYTES_MAX);
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
	buf_fini(&m->known);
	buf_fini(&m->header);
	buf_fini(&m->authors);
	intake_fini(&m->intake);
	free(m);
}

/* ---- sessions ---- */

static struct link *
session_store(const struct session *s)
{
	return s->e->ops->store(s->e->arg);
}

static struct link *
session_auth(const struct session *s)
{
	return s->e->ops->auth(s->e->arg);
}

static struct str
session_cap(const struct session *s)
{
	return s->has_cap ? str_of(s->cap, CAP_BYTES) : STR_NULL;
}

static uint64_t
wall_ms(const struct session *s)
{
	return clock_wall_ms(loop_clock(s->e->loop));
}

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
	const struct receive_settings *o = &s->e->settings;
	bool in_data = s->mail != NULL && (s->mail->intake.bytes > 0 || s->mail->header.n > 0);

	conn_deadline(s->conn, in_data ? o->data_timeout_ms : o->command_timeout_ms);
}

static void
session_go_on(struct session *s)
{
	if (s->is_paused) {
		s->is_paused = false;
		conn_resume(s->conn);
	}
	if (s->is_ending && s->mail == NULL && !smtp_server_is_waiting(&s->smtp)) {
		smtp_server_abort(&s->smtp, conn_out(s->conn), STR("421 4.3.2 The server is stopping, try again in a moment"));
		conn_close(s->conn);
	}
}

/* Answers what the machine waits for. */
static void
session_reply(struct session *s, unsigned code, struct str text)
{
	s->waits = WAITS_NOTHING;
	smtp_server_reply(&s->smtp, conn_out(s->conn), code, text);
}

static void
cap_drop(struct session *s)
{
	struct link *store = session_store(s);

	if (s->has_cap && store != NULL)
		(void)rec_cap_drop_put(link_out(store), &(struct rec_cap_drop){.cap = session_cap(s)});
	s->has_cap = false;
}

/* ---- logging in ---- */

static void
login_away(struct session *s)
{
	login_end(&s->login, session_auth(s));
	session_reply(s, 454, STR("4.7.0 Logging in is not possible at the moment, try again later"));
}

static void
session_auth_begin(struct session *s, const struct smtp_event *ev)
{
	struct buf initial, names;
	struct login_first first = {.mechanism = ev->mechanism, .has_initial = ev->has_initial};

	buf_init(&initial, SMTP_AUTH_LINE_MAX);
	buf_init(&names, CLIENT_NAMES_BYTES_MAX);
	/* RFC 4954 4: what is no base64 is 501. */
	if (ev->has_initial && base64_decode(ev->bytes, &initial) != ST_OK) {
		session_reply(s, 501, STR("5.5.2 That is no base64"));
	} else {
		first.initial = buf_str(&initial);
		if (conn_tls_client_name(s->conn, &names) == ST_OK)
			first.external = buf_str(&names);
		s->waits = WAITS_LOGIN;
		if (!login_begin(&s->login, session_auth(s), s->conn, &first))
			login_away(s);
	}
	if (initial.p != NULL)
		explicit_bzero(initial.p, initial.cap);
	buf_fini(&initial);
	buf_fini(&names);
}

static void
session_auth_line(struct session *s, struct str line)
{
	struct buf bytes;

	buf_init(&bytes, SMTP_AUTH_LINE_MAX);
	s->waits = WAITS_LOGIN;
	if (base64_decode(line, &bytes) != ST_OK) {
		login_end(&s->login, session_auth(s));
		session_reply(s, 501, STR("5.5.2 That is no base64"));
	} else if (!login_step(&s->login, session_auth(s), buf_str(&bytes))) {
		login_away(s);
	}
	if (bytes.p != NULL)
		explicit_bzero(bytes.p, bytes.cap);
	buf_fini(&bytes);
}

static void
login_ok(struct session *s, const struct rec_login_answer *a)
{
	memcpy(s->cap, a->cap.p, CAP_BYTES);
	s->has_cap = true;
	s->address_n = (uint16_t)a->login.n;
	memcpy(s->address, a->login.p, a->login.n);
	s->e->counters.logins++;
	session_reply(s, 235, STR("2.7.0 Welcome"));
}

static bool
on_login_answer(struct submission *e, struct cur *c)
{
	struct rec_login_answer a;
	struct session *s;

	if (!rec_login_answer_take(c, &a) || a.verdict > LOGIN_TEMPORARY)
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != WAITS_LOGIN) {
		login_answer_drop(&a, e->ops->store(e->arg));
		return true;
	}
	if (!login_answer(&s->login, &a))
		return false;
	switch ((enum login_verdict)a.verdict) {
	case LOGIN_CHALLENGE:
		s->waits = WAITS_NOTHING;
		if (a.bytes.n > SMTP_CHALLENGE_MAX)
			return false;
		smtp_server_challenge(&s->smtp, conn_out(s->conn), a.bytes);
		break;
	case LOGIN_OK:
		if (a.cap.n != CAP_BYTES || a.login.n >= sizeof(s->address))
			return false;
		login_ok(s, &a);
		break;
	case LOGIN_DENIED:
		session_reply(s, 535, STR("5.7.8 The name or the password is wrong"));
		break;
	case LOGIN_TEMPORARY:
		session_reply(s, 454, STR("4.7.0 Logging in is not possible at the moment, try again later"));
		break;
	}
	session_go_on(s);
	return true;
}

/* ---- MAIL ---- */

static uint8_t
priority_of(const struct smtp_event *ev)
{
	int8_t p = ev->has_priority ? ev->priority : 0;

	return (uint8_t)(ENVELOPE_PRIORITY_ZERO + (p > SUBMISSION_PRIORITY_MAX ? SUBMISSION_PRIORITY_MAX : p));
}

static void
session_mail(struct session *s, const struct smtp_event *ev)
{
	struct link *store = session_store(s);
	struct mail *m = mail_new(s->id);

	CHECK(s->mail == NULL);
	s->mail = m;
	m->size_bytes = ev->size_bytes;
	m->flags = (uint8_t)((ev->body == SMTP_BODY_8BITMIME ? ENVELOPE_8BIT : 0) |
	    (ev->body == SMTP_BODY_BINARYMIME ? ENVELOPE_BINARY : 0) | (ev->is_smtputf8 ? ENVELOPE_UTF8 : 0));
	m->ret = ev->ret;
	m->priority = priority_of(ev);
	m->hold_until_ms = ev->hold_until > 0 ? (uint64_t)ev->hold_until * 1000 : 0;
	if (ev->has_by) {
		m->by_ms = ev->by_s > 0 ? wall_ms(s) + (uint64_t)ev->by_s * 1000 : 1;
		m->by_mode = (uint8_t)ev->by_mode;
	}
	(void)buf_put(&m->reverse_path, ev->path);
	(void)buf_put(&m->envid, ev->envid);
	if (store == NULL) {
		mail_free(&s->mail);
		session_reply(s, 451, store_away);
		return;
	}
	s->waits = WAITS_SENDER;
	(void)rec_sender_put(link_out(store), &(struct rec_sender){.session = s->id, .cap = session_cap(s), .path = ev->path});
}

static bool
is_answer_code(uint16_t code)
{
	return code == 250 || (code >= 400 && code <= 599);
}

static bool
on_sender_answer(struct submission *e, struct cur *c)
{
	struct rec_sender_answer a;
	struct session *s;

	if (!rec_sender_answer_take(c, &a) || !is_answer_code(a.code))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->mail == NULL || s->waits != WAITS_SENDER)
		return true;
	if (a.code != 250)
		mail_free(&s->mail);
	session_reply(s, a.code, a.text);
	session_go_on(s);
	return true;
}

/* ---- RCPT ---- */

static void
rcpt_refuse(struct session *s, unsigned code, struct str text)
{
	buf_reset(&s->mail->rcpt);
	session_reply(s, code, text);
}

static void
rcpt_accept(struct session *s)
{
	struct mail *m = s->mail;

	(void)buf_put_str16(&m->rcpts, buf_str(&m->rcpt));
	(void)buf_put_c(&m->rcpts, (char)m->notify);
	(void)buf_put_str16(&m->rcpts, buf_str(&m->orcpt));
	m->rcpts_n++;
	buf_reset(&m->rcpt);
	session_reply(s, 250, STR("2.1.5 Ok"));
}

static void
session_rcpt(struct session *s, const struct smtp_event *ev)
{
	struct link *store = session_store(s);
	struct mail *m = s->mail;

	if (store == NULL) {
		session_reply(s, 451, store_away);
		return;
	}
	buf_reset(&m->rcpt);
	buf_reset(&m->orcpt);
	(void)buf_put(&m->rcpt, ev->path);
	(void)buf_put(&m->orcpt, ev->orcpt);
	m->notify = ev->notify;
	s->waits = WAITS_ROUTE;
	(void)rec_route_put(link_out(store),
	    &(struct rec_route){.session = s->id, .cap = session_cap(s), .path = ev->path, .size_bytes = m->size_bytes});
}

/* The recipient's domain as DNS has it; false: a literal, or no name that DNS could know. */
static bool
rcpt_domain(const struct session *s, struct buf *out)
{
	struct address a;

	return address_parse(buf_str(&s->mail->rcpt), true, &a) == ST_OK && !a.is_literal && address_domain_normalise(a.domain, out) == ST_OK;
}

static void
dns_over(struct session *s)
{
	loop_timer_del(s->e->loop, &s->timer);
	slots_del(&s->e->asks, s->ask);
	s->ask = 0;
}

static void
on_dns_timeout(void *arg)
{
	struct session *s = arg;

	s->timer = (struct loop_id){0};
	dns_over(s);
	rcpt_accept(s);
	session_go_on(s);
}

/* False: nobody can be asked. */
static bool
dns_ask_for(struct session *s, uint16_t rrtype)
{
	struct link *l = s->e->ops->resolver(s->e->arg);
	struct buf domain;
	bool ok;

	buf_init(&domain, SMTP_DOMAIN_MAX + 1);
	ok = l != NULL && rcpt_domain(s, &domain) && (s->ask = slots_add(&s->e->asks, s)) != 0;
	if (ok) {
		s->rrtype = rrtype;
		s->waits = WAITS_DNS;
		(void)rec_dns_put(link_out(l), &(struct rec_dns){.ask = s->ask, .rrtype = rrtype, .name = buf_str(&domain)});
	}
	buf_fini(&domain);
	return ok;
}

/* RFC 5321 5.1 backwards: is there anybody who could take it? A domain is looked up once for recipients beside each other. */
static void
rcpt_look_up(struct session *s)
{
	struct buf domain;
	bool is_known;

	buf_init(&domain, SMTP_DOMAIN_MAX + 1);
	is_known = !rcpt_domain(s, &domain) || (s->mail->known.n > 0 && str_eq(buf_str(&domain), buf_str(&s->mail->known)));
	buf_fini(&domain);
	if (is_known || !dns_ask_for(s, DNS_MX))
		rcpt_accept(s);
	else
		s->timer = loop_timer_add(s->e->loop, SUBMISSION_DNS_MS, on_dns_timeout, s);
}

static bool
on_route_answer(struct submission *e, struct cur *c)
{
	struct rec_route_answer a;
	struct session *s;

	if (!rec_route_answer_take(c, &a) || !is_answer_code(a.code))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->mail == NULL || s->waits != WAITS_ROUTE)
		return true;
	if (a.code != 250)
		rcpt_refuse(s, a.code, a.text);
	else if (a.is_remote)
		rcpt_look_up(s);
	else
		rcpt_accept(s);
	if (s->waits == WAITS_NOTHING)
		session_go_on(s);
	return true;
}

/* RFC 7505: "0 ." alone. */
static bool
is_null_mx(struct str answers)
{
	struct cur c = cur_of(answers);
	struct str rdata, more;

	return dns_answer_next(&c, &rdata) && str_eq(rdata, STR("0 .")) && !dns_answer_next(&c, &more);
}

static void
dns_answered(struct session *s, const struct rec_dns_answer *a)
{
	bool is_failed = a->is_timeout || (a->rcode != DNS_NOERROR && a->rcode != DNS_NXDOMAIN) || a->security == 2;

	/* What cannot be found out now is found out by the queue. */
	if (is_failed) {
		rcpt_accept(s);
	} else if (a->rcode == DNS_NXDOMAIN) {
		rcpt_refuse(s, 550, STR("5.1.2 There is no such domain; is it spelled right?"));
	} else if (s->rrtype == DNS_MX && is_null_mx(a->answers)) {
		rcpt_refuse(s, 550, STR("5.1.10 This domain says that it takes no mail"));
	} else if (a->answers.n > 0) {
		buf_reset(&s->mail->known);
		(void)rcpt_domain(s, &s->mail->known);
		rcpt_accept(s);
	} else if (s->rrtype == DNS_MX || s->rrtype == DNS_A) {
		/* RFC 5321 5.1: without an MX the domain itself is the host. */
		if (dns_ask_for(s, s->rrtype == DNS_MX ? DNS_A : DNS_AAAA))
			return;
		rcpt_accept(s);
	} else {
		rcpt_refuse(s, 550, STR("5.1.2 This domain has no mail server"));
	}
	loop_timer_del(s->e->loop, &s->timer);
}

static bool
on_dns_answer(struct submission *e, struct cur *c)
{
	struct rec_dns_answer a;
	struct session *s;

	if (!rec_dns_answer_take(c, &a))
		return false;
	s = slots_get(&e->asks, a.ask);
	if (s == NULL)
		return true;
	slots_del(&e->asks, s->ask);
	s->ask = 0;
	dns_answered(s, &a);
	if (s->waits == WAITS_NOTHING)
		session_go_on(s);
	return true;
}

/* ---- the message ---- */

static void
body_put(struct session *s, struct str bytes)
{
	struct mail *m = s->mail;

	if (m->verdict != COMPOSE_OK)
		return;
	if ((m->flags & ENVELOPE_8BIT) == 0 && !utf8_is_ascii(bytes))
		m->flags |= ENVELOPE_8BIT;
	intake_put(&m->intake, session_store(s), bytes);
	if (intake_is_behind(&m->intake) && !s->is_paused) {
		s->is_paused = true;
		conn_pause(s->conn);
	}
}

/* The header is whole (n bytes of what is gathered): mended it goes on, and what has come behind it. */
static void
header_done(struct session *s, size_t n)
{
	struct mail *m = s->mail;
	struct str all = buf_str(&m->header);
	char unique[64];
	struct buf out, id;
	struct compose_facts facts;

	buf_init(&id, sizeof(unique));
	buf_init(&out, COMPOSE_HEADER_MAX + COMPOSE_ADDED_MAX);
	(void)buf_putf(&id, "%llx.%llx", (unsigned long long)wall_ms(s), (unsigned long long)rnd_u64());
	m->is_header_done = true;
	m->verdict = compose_header(str_take(all, n),
	    &(struct compose_given){.now = (int64_t)(wall_ms(s) / 1000),
	        .hostname = s->e->settings.hostname,
	        .unique = buf_str(&id),
	        .login = str_of(s->address, s->address_n)},
	    &out, &m->authors, &facts);
	if (m->verdict == COMPOSE_OK) {
		if (facts.is_utf8)
			m->flags |= ENVELOPE_UTF8;
		body_put(s, buf_str(&out));
		if (n < all.n)
			body_put(s, str_from(all, n));
	}
	buf_fini(&id);
	buf_fini(&out);
	buf_fini(&m->header);
}

static void
session_chunk(struct session *s, struct str bytes)
{
	struct mail *m = s->mail;
	size_t n;

	if (m->is_header_done) {
		body_put(s, bytes);
		return;
	}
	if (m->header.n > COMPOSE_HEADER_MAX || buf_put(&m->header, bytes) != ST_OK) {
		m->verdict = COMPOSE_TOO_LONG;
		m->is_header_done = true;
		buf_fini(&m->header);
		return;
	}
	n = compose_header_end(buf_str(&m->header), m->header_seen);
	m->header_seen = m->header.n;
	if (n > 0)
		header_done(s, n);
}

/* RFC 5321 4.4, without the client's address: see the header. */
static void
head_put(struct session *s, struct buf *out)
{
	const struct tls_info *tls = conn_tls(s->conn);
	struct cur c = cur_of(buf_str(&s->mail->rcpts));
	struct str path;

	(void)buf_put(out, STR("Received: from mail.client\r\n\tby "));
	(void)buf_put(out, s->e->settings.hostname);
	(void)buf_put(out, STR(" with "));
	(void)buf_put(out, smtp_server_with(&s->smtp));
	(void)buf_putf(out, " id %llx.%llx.%x", (unsigned long long)s->started_ms, (unsigned long long)s->id, s->messages_n);
	if (tls != NULL)
		(void)buf_putf(out, "\r\n\t(version=%s cipher=%s)", tls->version, tls->cipher);
	/* With several recipients their addresses stay secret from each other (RFC 5321 7.2). */
	if (s->mail->rcpts_n == 1 && cur_str16(&c, &path)) {
		(void)buf_put(out, STR("\r\n\tfor <"));
		(void)buf_put(out, path);
		(void)buf_put_c(out, '>');
	}
	(void)buf_put(out, STR("; "));
	(void)date_format_5322(out, (int64_t)(wall_ms(s) / 1000), 0);
	(void)buf_put(out, STR("\r\n"));
}

static void
message_refuse(struct session *s, unsigned code, struct str text)
{
	session_forget(s);
	session_reply(s, code, text);
}

static void
session_deliver(struct session *s, struct link *store)
{
	struct mail *m = s->mail;
	struct buf head;

	if (m->intake.header.is_auto)
		m->flags |= ENVELOPE_AUTO;
	buf_init(&head, HEAD_MAX);
	head_put(s, &head);
	s->waits = WAITS_DELIVER;
	m->is_delivering = true;
	(void)rec_deliver_put(link_out(store),
	    &(struct rec_deliver){.session = s->id,
	        .cap = session_cap(s),
	        .reverse_path = buf_str(&m->reverse_path),
	        .rcpts = buf_str(&m->rcpts),
	        .head = buf_str(&head),
	        .from = buf_str(&m->authors),
	        .message_id = header_scan_message_id(&m->intake.header),
	        .flags = m->flags,
	        .ret = m->ret,
	        .envid = buf_str(&m->envid),
	        .hold_until_ms = m->hold_until_ms,
	        .by_ms = m->by_ms,
	        .by_mode = m->by_mode,
	        .priority = m->priority,
	        .is_staged = m->intake.is_staged,
	        .body = m->intake.is_staged ? STR_NULL : buf_str(&m->intake.body)});
	buf_fini(&head);
	buf_fini(&m->intake.body);
}

static void
session_end(struct session *s, const struct smtp_event *ev)
{
	struct link *store = session_store(s);
	struct mail *m = s->mail;

	/* A message of nothing but a header. */
	if (!m->is_header_done)
		header_done(s, m->header.n);
	if (m->verdict != COMPOSE_OK) {
		const struct compose_reply *r = compose_reply(m->verdict);
		message_refuse(s, r->code, r->text);
		return;
	}
	if (ev->is_unterminated)
		body_put(s, STR("\r\n"));
	intake_end(&m->intake, store);
	if (store == NULL)
		message_refuse(s, 451, store_away);
	else if (m->intake.is_failed)
		message_refuse(s, 452, STR("4.3.1 The mail store has no room for this message at the moment, try again later"));
	else if (m->intake.header.hops > HEADER_HOPS_MAX)
		message_refuse(s, 554, STR("5.4.6 This message has been through too many servers, it goes in circles"));
	else
		session_deliver(s, store);
}

static bool
answer_take(struct cur *c, uint16_t *code, struct str *text)
{
	return cur_le16(c, code) && is_answer_code(*code) && cur_str16(c, text);
}

/* One reply for all: the first that is not 250 decides. False: malformed. */
static bool
session_delivered(struct session *s, struct str answers)
{
	struct cur c = cur_of(answers);
	struct str text, worst_text = STR_NULL;
	uint16_t code, worst = 0;
	uint32_t n = 0;

	while (answer_take(&c, &code, &text)) {
		n++;
		/* "Queued as" says more than "Delivered". */
		if (worst == 0 || (worst == 250 && (code != 250 || str_has_prefix(text, STR("2.0.0"))))) {
			worst = code;
			worst_text = text;
		}
	}
	if (!cur_at_end(&c) || n != s->mail->rcpts_n)
		return false;
	s->mail->intake.is_staged = false;
	mail_free(&s->mail);
	session_reply(s, worst, worst_text);
	s->e->counters.messages += worst == 250;
	return true;
}

static bool
on_deliver_answer(struct submission *e, struct cur *c)
{
	struct rec_deliver_answer a;
	struct session *s;

	if (!rec_deliver_answer_take(c, &a))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->mail == NULL || s->waits != WAITS_DELIVER)
		return true;
	if (!session_delivered(s, a.answers))
		return false;
	s->messages_n++;
	session_go_on(s);
	return true;
}

static bool
on_stage_answer(struct submission *e, struct cur *c)
{
	struct rec_stage_answer a;
	struct session *s;

	if (!rec_stage_answer_take(c, &a))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->mail == NULL || !s->mail->intake.is_staged)
		return true;
	intake_staged(&s->mail->intake, a.bytes_n, a.ok != 0);
	if (!intake_is_behind(&s->mail->intake) && !smtp_server_is_waiting(&s->smtp))
		session_go_on(s);
	return true;
}

bool
submission_record(struct submission *e, enum record_type t, struct cur *c)
{
	switch (t) {
	case REC_LOGIN_ANSWER:
		return on_login_answer(e, c);
	case REC_SENDER_ANSWER:
		return on_sender_answer(e, c);
	case REC_ROUTE_ANSWER:
		return on_route_answer(e, c);
	case REC_DNS_ANSWER:
		return on_dns_answer(e, c);
	case REC_STAGE_ANSWER:
		return on_stage_answer(e, c);
	case REC_DELIVER_ANSWER:
		return on_deliver_answer(e, c);
	default:
		/* The table lets no other type reach us. */
		return false;
	}
}

/* ---- the connection ---- */

static const struct smtp_server_conf *
session_conf(const struct session *s)
{
	bool starttls = s->tls != NULL && !s->is_implicit_tls;

	return &s->e->conf[starttls][s->who.is_exempt][s->is_same_host];
}

static void
machine_new(struct session *s, bool is_tls)
{
	struct buf names;
	bool has_name;

	buf_init(&names, CLIENT_NAMES_BYTES_MAX);
	has_name = is_tls && conn_tls_client_name(s->conn, &names) == ST_OK;
	buf_fini(&names);
	smtp_server_init(&s->smtp, session_conf(s), is_tls);
	smtp_server_set_now(&s->smtp, (int64_t)(wall_ms(s) / 1000));
	smtp_server_set_auth_mechs(&s->smtp,
	    login_mechanisms(is_tls || s->is_same_host, is_tls && login_can_bind(s->conn), s->e->is_scram_sha1, has_name));
}

/* False: this input is over for now. */
static bool
session_event(struct session *s, const struct smtp_event *ev)
{
	switch (ev->kind) {
	case SMTP_EV_MORE:
		return false;
	case SMTP_EV_FLUSH:
		conn_hold(s->conn);
		return false;
	case SMTP_EV_AUTH:
		session_auth_begin(s, ev);
		return true;
	case SMTP_EV_AUTH_LINE:
		session_auth_line(s, ev->bytes);
		return true;
	case SMTP_EV_AUTH_CANCEL:
		login_end(&s->login, session_auth(s));
		return true;
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
		session_forget(s);
		conn_start_tls(s->conn, s->tls);
		return false;
	case SMTP_EV_CLOSE:
		conn_close(s->conn);
		return false;
	case SMTP_EV_XCLIENT:
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
	if (!cur_at_end(in) && !s->is_paused) {
		s->is_paused = true;
		conn_pause(s->conn);
	}
}

static void
on_input(void *arg, struct conn *c, struct cur *in)
{
	struct session *s = arg;
	const char *before = in->p;

	(void)c;
	if (s->is_refused)
		return;
	/* Rounded up: what is held is not sent before its time. */
	smtp_server_set_now(&s->smtp, (int64_t)((wall_ms(s) + 999) / 1000));
	session_drive(s, in);
	/* A line that comes byte by byte has the time of one line. */
	if (in->p != before)
		session_deadline(s);
}

static void
on_timeout(void *arg, struct conn *c)
{
	struct session *s = arg;

	smtp_server_abort(&s->smtp, conn_out(c), STR("421 4.4.2 Nothing heard from you for too long, closing"));
	conn_close(c);
}

static void
session_greet(struct session *s)
{
	s->is_greeted = true;
	smtp_server_greet(&s->smtp, conn_out(s->conn));
}

static void
on_tls_done(void *arg, struct conn *c)
{
	struct session *s = arg;

	(void)c;
	/* RFC 3207 4.2: the client starts again; nothing said in clear counts. */
	machine_new(s, true);
	if (s->is_implicit_tls)
		session_greet(s);
	session_deadline(s);
}

/* Behind a proxy: now we know who it is. */
static void
on_connected(void *arg, struct conn *c)
{
	struct session *s = arg;

	(void)c;
	if (s->is_greeted || s->is_refused || s->is_implicit_tls)
		return;
	machine_new(s, false);
	session_greet(s);
}

static void
on_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct session *s = arg;
	struct submission *e = s->e;

	(void)c;
	(void)why;
	session_forget(s);
	cap_drop(s);
	login_end(&s->login, session_auth(s));
	dns_over(s);
	if (s->from != NULL)
		listener_release(s->from, &s->accepted);
	slots_del(&e->sessions, s->id);
	free(s);
	if (e->is_stopping && e->sessions.n == 0 && e->stopped != NULL)
		(void)loop_post(e->loop, e->stopped, e->stopped_arg);
}

static const struct conn_handler session_handler = {
    .connected = on_connected, .input = on_input, .timeout = on_timeout, .tls_done = on_tls_done, .closed = on_closed};

static struct session *
session_new(struct submission *e, int fd)
{
	struct session *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->e = e;
	s->id = slots_add(&e->sessions, s);
	CHECK(s->id != 0);
	s->conn = conn_new_fd(e->loop, fd, &session_handler, s, INPUT_MAX);
	return s;
}

void
submission_accept(struct submission *e, struct listener *from, int fd, const struct sock_addr *peer, unsigned tls)
{
	struct session *s = session_new(e, fd);

	s->from = from;
	s->accepted = *peer;
	conn_set_peer(s->conn, peer);
	s->started_ms = wall_ms(s);
	if (e->settings.peer_of != NULL)
		s->who = e->settings.peer_of(e->settings.peer_arg, peer);
	s->tls = tls != 0 ? e->tls : NULL;
	s->is_implicit_tls = tls == 2 && s->tls != NULL;
	/* Behind a proxy the password comes over a network in any case. */
	s->is_same_host = !s->who.is_proxy && login_is_same_host(s->conn);
	login_init(&s->login, LOGIN_SUBMISSION, s->id, s->who.is_exempt);
	e->counters.sessions++;
	machine_new(s, false);
	if (s->who.is_proxy)
		conn_expect_proxy(s->conn);
	if (s->is_implicit_tls)
		conn_start_tls(s->conn, s->tls);
	else if (!s->who.is_proxy)
		session_greet(s);
	session_deadline(s);
}

void
submission_refuse(struct submission *e, int fd)
{
	struct session *s = session_new(e, fd);

	s->is_refused = true;
	smtp_server_init(&s->smtp, &e->conf[0][0][0], false);
	smtp_server_refuse(&s->smtp, conn_out(s->conn), STR("421 4.7.0 Too many connections from you, try again later"));
	conn_close(s->conn);
}

/* ---- lines that end ---- */

void
submission_store_down(struct submission *e)
{
	struct session *s;
	uint32_t it = 0;

	while ((s = slots_next(&e->sessions, &it)) != NULL) {
		bool had_cap = s->has_cap;
		/* Capabilities ended with the store: the client logs in again, on a new connection. */
		s->has_cap = false;
		if (s->mail != NULL)
			intake_store_down(&s->mail->intake);
		if (!had_cap || s->is_refused)
			continue;
		smtp_server_abort(&s->smtp, conn_out(s->conn), STR("421 4.3.0 The mail store was interrupted, try again"));
		conn_close(s->conn);
	}
}

void
submission_auth_down(struct submission *e)
{
	struct session *s;
	uint32_t it = 0;

	while ((s = slots_next(&e->sessions, &it)) != NULL) {
		login_end(&s->login, NULL);
		if (s->waits != WAITS_LOGIN)
			continue;
		session_reply(s, 454, STR("4.7.0 Logging in was interrupted, try again"));
		session_go_on(s);
	}
}

void
submission_resolver_down(struct submission *e)
{
	struct session *s;
	uint32_t it = 0;

	while ((s = slots_next(&e->sessions, &it)) != NULL) {
		if (s->waits != WAITS_DNS)
			continue;
		dns_over(s);
		rcpt_accept(s);
		session_go_on(s);
	}
}

/* ---- the whole ---- */

struct submission *
submission_new(struct loop *l, const struct submission_ops *ops, void *arg)
{
	struct submission *e = calloc(1, sizeof(*e));

	CHECK(e != NULL);
	e->loop = l;
	e->ops = ops;
	e->arg = arg;
	slots_init(&e->sessions, SUBMISSION_SESSIONS_MAX);
	slots_init(&e->asks, SUBMISSION_SESSIONS_MAX);
	return e;
}

void
submission_free(struct submission **ep)
{
	struct submission *e = *ep;
	struct session *s;
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
submission_set(struct submission *e, const struct receive_settings *o, bool is_scram_sha1)
{
	struct smtp_server_conf base = {.hostname = o->hostname,
	    .mode = SMTP_SUBMISSION,
	    .is_auth_required = true,
	    .is_auth_offered = true,
	    .is_chunking_offered = true,
	    .is_dsn_offered = true,
	    .is_deliverby_offered = true,
	    .deliverby_min_s = SUBMISSION_BY_S_MIN,
	    .is_mt_priority_offered = true,
	    .futurerelease_s_max = SUBMISSION_HOLD_S_MAX,
	    .message_bytes_max = o->message_bytes_max,
	    .rcpts_max = o->rcpts_max,
	    .messages_max = o->messages_max,
	    .errors_max = o->errors_max};

	e->settings = *o;
	e->is_scram_sha1 = is_scram_sha1;
	for (int k = 0; k < 8; k++) {
		struct smtp_server_conf *c = &e->conf[k & 1][k >> 1 & 1][k >> 2];
		*c = base;
		c->is_starttls_offered = (k & 1) != 0;
		if (k >> 1 & 1)
			c->messages_max = UINT32_MAX;
		c->is_auth_over_tls_only = k >> 2 == 0;
	}
}

void
submission_set_tls(struct submission *e, struct tls_context *tls)
{
	e->tls = tls;
}

static void
on_drained(void *arg)
{
	struct submission *e = arg;
	struct session *s;
	uint32_t it = 0;

	e->drain = (struct loop_id){0};
	while ((s = slots_next(&e->sessions, &it)) != NULL) {
		s->is_ending = true;
		session_go_on(s);
	}
}

void
submission_stop(struct submission *e, uint64_t drain_ms, loop_fn *done, void *arg)
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
submission_sessions(const struct submission *e)
{
	return e->sessions.n;
}

const struct submission_counters *
submission_counters(const struct submission *e)
{
	return &e->counters;
}
