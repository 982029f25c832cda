/* Submission: one mail transaction, from MAIL to what the store says about the message. */
#include <stdlib.h>

#include "access/submission_internal.h"
#include "base/check.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/utf8.h"
#include "standards/address/address.h"
#include "standards/compose/compose.h"
#include "standards/date/date.h"

enum { HEAD_BYTES_MAX = 2048, UNIQUE_BYTES = 16, ID_BYTES_MAX = 64 };

_Static_assert(UNIQUE_BYTES * 2 <= COMPOSE_UNIQUE_MAX, "as hex");

static struct metric m_messages = METRIC_COUNTER("posthorn_submission_messages_total", "Messages taken from mail clients");

static const struct str store_gone_text = STR_INIT("4.3.0 The mail store is not available at the moment, try again later");

/* ---- the transaction ---- */

static struct submission_mail *
mail_new(uint64_t session)
{
	struct submission_mail *m = calloc(1, sizeof(*m));

	CHECK(m != NULL);
	buf_init(&m->reverse_path, SMTP_PATH_MAX + 2);
	buf_init(&m->envid, SMTP_ENVID_MAX);
	buf_init(&m->rcpts, RECEIVE_RCPTS_BYTES_MAX);
	buf_init(&m->rcpt, SMTP_PATH_MAX + 2);
	buf_init(&m->orcpt, SMTP_ORCPT_MAX);
	buf_init(&m->domain, ADDRESS_DOMAIN_MAX);
	buf_init(&m->domains, SUBMISSION_DOMAINS_BYTES_MAX);
	buf_init(&m->header, SUBMISSION_HEADER_MAX);
	buf_init(&m->authors, COMPOSE_AUTHORS_BYTES_MAX);
	intake_init(&m->intake, session);
	return m;
}

static void
dns_forget(struct submission_session *s)
{
	struct submission_mail *m = s->mail;

	slots_del(&s->e->asks, m->dns_ask);
	m->dns_ask = 0;
	loop_timer_del(s->e->loop, &m->dns_timer);
}

static void
mail_free(struct submission_session *s)
{
	struct submission_mail *m = s->mail;

	if (m == NULL)
		return;
	dns_forget(s);
	s->mail = NULL;
	buf_fini(&m->reverse_path);
	buf_fini(&m->envid);
	buf_fini(&m->rcpts);
	buf_fini(&m->rcpt);
	buf_fini(&m->orcpt);
	buf_fini(&m->domain);
	buf_fini(&m->domains);
	buf_fini(&m->header);
	buf_fini(&m->authors);
	intake_fini(&m->intake);
	free(m);
}

void
submission_mail_forget(struct submission_session *s)
{
	if (s->mail != NULL)
		intake_forget(&s->mail->intake, submission_store(s));
	mail_free(s);
}

bool
submission_mail_in_data(const struct submission_session *s)
{
	return s->mail != NULL && (s->mail->header.n > 0 || s->mail->has_header || s->mail->refusal.n > 0);
}

static struct str
cap_of(const struct submission_session *s)
{
	return str_of(s->cap, CAP_BYTES);
}

/* ---- MAIL ---- */

static void
mail_params(struct submission_session *s, const struct smtp_event *ev)
{
	struct submission_mail *m = s->mail;

	m->size_bytes = ev->size_bytes;
	m->flags = (uint8_t)((ev->body == SMTP_BODY_8BITMIME ? ENVELOPE_8BIT : 0) | (ev->body == SMTP_BODY_BINARYMIME ? ENVELOPE_BINARY : 0) |
	    (ev->is_smtputf8 ? ENVELOPE_UTF8 : 0));
	m->ret = ev->ret;
	m->hold_until_ms = ev->hold_until > 0 ? (uint64_t)ev->hold_until * 1000 : 0;
	if (ev->has_by) {
		m->by_ms = ev->by_s > 0 ? submission_wall_ms(s) + (uint64_t)ev->by_s * 1000 : 1;
		m->by_mode = (uint8_t)ev->by_mode;
	}
	m->priority = ENVELOPE_PRIORITY_ZERO;
	if (ev->has_priority) /* RFC 6710 4.1 */
		m->priority = (uint8_t)(ENVELOPE_PRIORITY_ZERO + (ev->priority > SUBMISSION_PRIORITY_MAX ? SUBMISSION_PRIORITY_MAX : ev->priority));
	(void)buf_put(&m->reverse_path, ev->path);
	(void)buf_put(&m->envid, ev->envid);
}

void
submission_mail_begin(struct submission_session *s, const struct smtp_event *ev)
{
	struct link *store = submission_store(s);

	CHECK(s->mail == NULL && s->has_cap);
	if (store == NULL) {
		submission_reply(s, 451, store_gone_text);
		return;
	}
	s->mail = mail_new(s->id);
	mail_params(s, ev);
	/* RFC 6409 6.1: before anything else, may it be sent from there? */
	(void)rec_sender_put(link_out(store), &(struct rec_sender){.session = s->id, .cap = cap_of(s), .path = ev->path});
	s->waits = SUBMISSION_WAITS_SENDER;
}

static bool
is_answer_code(uint16_t code)
{
	return code == 250 || (code >= 400 && code <= 599);
}

static bool
on_sender_answer(struct submission_env *e, struct cur *c)
{
	struct rec_sender_answer a;
	struct submission_session *s;

	if (!rec_sender_answer_take(c, &a) || !is_answer_code(a.code))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != SUBMISSION_WAITS_SENDER)
		return true;
	if (a.code != 250)
		mail_free(s);
	submission_reply(s, a.code, a.text);
	submission_go_on(s);
	return true;
}

/* ---- RCPT ---- */

void
submission_mail_rcpt(struct submission_session *s, const struct smtp_event *ev)
{
	struct link *store = submission_store(s);
	struct submission_mail *m = s->mail;

	if (store == NULL) {
		submission_reply(s, 451, store_gone_text);
		return;
	}
	buf_reset(&m->rcpt);
	buf_reset(&m->orcpt);
	(void)buf_put(&m->rcpt, ev->path);
	(void)buf_put(&m->orcpt, ev->orcpt);
	m->notify = ev->notify;
	(void)rec_route_put(link_out(store),
	    &(struct rec_route){.session = s->id, .cap = cap_of(s), .path = ev->path, .size_bytes = m->size_bytes});
	s->waits = SUBMISSION_WAITS_ROUTE;
}

static void
rcpt_answer(struct submission_session *s, uint16_t code, struct str text)
{
	struct submission_mail *m = s->mail;

	if (code == 250 && m->rcpts_n > 0 && m->accounts_n + m->accounts > RECEIVE_ACCOUNTS_MAX) {
		/* RFC 5321 4.5.3.1.10: the client sends the rest in another transaction. */
		code = 452;
		text = STR("4.5.3 Too many recipients for one message, send it to the rest separately");
	}
	if (code == 250) {
		(void)buf_put_str16(&m->rcpts, buf_str(&m->rcpt));
		(void)buf_put_c(&m->rcpts, (char)m->notify);
		(void)buf_put_str16(&m->rcpts, buf_str(&m->orcpt));
		m->rcpts_n++;
		m->accounts_n += m->accounts;
	}
	submission_reply(s, code, text);
	submission_go_on(s);
}

/* ---- the recipient's domain ---- */

static void
rcpt_judge(struct submission_session *s, enum domain_verdict v)
{
	if (v == DOMAIN_OK)
		rcpt_answer(s, 250, STR("2.1.5 Ok"));
	else
		rcpt_answer(s, 550, domain_verdict_text(v));
}

static bool
domain_known(const struct submission_mail *m, enum domain_verdict *out)
{
	struct cur c = cur_of(buf_str(&m->domains));
	struct str name;
	uint8_t verdict;

	while (cur_u8(&c, &verdict) && cur_str16(&c, &name))
		if (str_eq(name, buf_str(&m->domain))) {
			*out = (enum domain_verdict)verdict;
			return true;
		}
	return false;
}

static void
domain_done(struct submission_session *s, enum domain_verdict v)
{
	struct submission_mail *m = s->mail;

	dns_forget(s);
	if (m->domains.n + 3 + m->domain.n <= m->domains.max) {
		(void)buf_put_c(&m->domains, (char)v);
		(void)buf_put_str16(&m->domains, buf_str(&m->domain));
	}
	rcpt_judge(s, v);
}

void
submission_mail_no_dns(struct submission_session *s)
{
	if (s->waits == SUBMISSION_WAITS_DOMAIN)
		domain_done(s, DOMAIN_OK);
}

static void
on_dns_timeout(void *arg)
{
	struct submission_session *s = arg;

	s->mail->dns_timer = (struct loop_id){0};
	submission_mail_no_dns(s);
}

/* The next question about it. */
static void
domain_ask(struct submission_session *s)
{
	struct submission_mail *m = s->mail;
	struct link *resolver = s->e->ops->resolver(s->e->arg);

	m->dns_ask = slots_add(&s->e->asks, s);
	if (resolver == NULL || m->dns_ask == 0) {
		domain_done(s, DOMAIN_OK);
		return;
	}
	(void)rec_dns_put(link_out(resolver), &(struct rec_dns){.ask = m->dns_ask, .rrtype = m->check.rrtype, .name = buf_str(&m->domain)});
}

static bool
on_dns_answer(struct submission_env *e, struct cur *c)
{
	struct rec_dns_answer a;
	struct submission_session *s;
	enum domain_verdict v;

	if (!rec_dns_answer_take(c, &a))
		return false;
	s = slots_get(&e->asks, a.ask);
	if (s == NULL)
		return true;
	CHECK(s->waits == SUBMISSION_WAITS_DOMAIN && s->mail->dns_ask == a.ask);
	slots_del(&e->asks, a.ask);
	s->mail->dns_ask = 0;
	v = domain_check_answer(&s->mail->check, &a);
	if (v == DOMAIN_ASK)
		domain_ask(s);
	else
		domain_done(s, v);
	return true;
}

/* A recipient at another host. */
static void
rcpt_look_up(struct submission_session *s)
{
	struct submission_mail *m = s->mail;
	struct address a;
	enum domain_verdict v;

	buf_reset(&m->domain);
	if (address_parse(buf_str(&m->rcpt), true, &a) != ST_OK || (!a.is_literal && address_domain_normalise(a.domain, &m->domain) != ST_OK)) {
		rcpt_answer(s, 553, STR("5.1.3 The domain of this address is none"));
		return;
	}
	/* RFC 5321 4.1.3: a literal is not looked up. */
	if (a.is_literal || domain_known(m, &v)) {
		rcpt_judge(s, a.is_literal ? DOMAIN_OK : v);
		return;
	}
	s->waits = SUBMISSION_WAITS_DOMAIN;
	domain_check_init(&m->check);
	m->dns_timer = loop_timer_add(s->e->loop, SUBMISSION_DNS_MS, on_dns_timeout, s);
	domain_ask(s);
}

static bool
on_route_answer(struct submission_env *e, struct cur *c)
{
	struct rec_route_answer a;
	struct submission_session *s;

	if (!rec_route_answer_take(c, &a) || !is_answer_code(a.code))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != SUBMISSION_WAITS_ROUTE)
		return true;
	s->mail->accounts = a.accounts;
	if (a.code == 250 && a.is_remote)
		rcpt_look_up(s);
	else
		rcpt_answer(s, a.code, a.text);
	return true;
}

/* ---- the message ---- */

static void
message_refuse(struct submission_mail *m, uint16_t code, struct str text)
{
	m->refusal_code = code;
	m->refusal = text;
	buf_fini(&m->header);
	buf_fini(&m->intake.body);
}

static void
body_put(struct submission_session *s, struct str bytes)
{
	struct submission_mail *m = s->mail;

	if ((m->flags & ENVELOPE_8BIT) == 0 && !utf8_is_ascii(bytes))
		m->flags |= ENVELOPE_8BIT;
	intake_put(&m->intake, submission_store(s), bytes);
	if (intake_is_behind(&m->intake) && !s->is_paused) {
		s->is_paused = true;
		conn_pause(s->conn);
	}
}

/* The header is whole: what comes of it goes before the body. */
static void
header_mend(struct submission_session *s, struct str header)
{
	struct submission_mail *m = s->mail;
	struct compose_facts facts;
	uint8_t bytes[UNIQUE_BYTES];
	struct buf out, unique;
	enum compose_verdict v;

	rnd_bytes(bytes, sizeof(bytes));
	buf_init(&unique, COMPOSE_UNIQUE_MAX);
	buf_init(&out, header.n + COMPOSE_ADDED_MAX);
	(void)hex_encode(str_of(bytes, sizeof(bytes)), &unique);
	v = compose_header(header,
	    &(struct compose_given){.now = (int64_t)(submission_wall_ms(s) / 1000),
	        .hostname = s->e->settings.mail.hostname,
	        .unique = buf_str(&unique),
	        .login = buf_str(&s->address)},
	    &out, &m->authors, &facts);
	if (v == COMPOSE_OK) {
		m->has_header = true;
		/* Also when the client did not say so (RFC 6532); whether it is needed is for the relay to see. */
		m->flags |= facts.is_utf8 ? ENVELOPE_UTF8 : 0;
		buf_fini(&m->header);
		body_put(s, buf_str(&out));
	} else {
		message_refuse(m, compose_reply(v)->code, compose_reply(v)->text);
	}
	buf_fini(&out);
	buf_fini(&unique);
}

static void
header_put(struct submission_session *s, struct str bytes)
{
	struct submission_mail *m = s->mail;
	size_t before = m->header.n, end;

	(void)buf_put(&m->header, str_take(bytes, m->header.max - before));
	end = compose_header_end(buf_str(&m->header), before);
	if (end == 0) {
		if (m->header.n == m->header.max)
			message_refuse(m, compose_reply(COMPOSE_TOO_LONG)->code, compose_reply(COMPOSE_TOO_LONG)->text);
		return;
	}
	header_mend(s, str_take(buf_str(&m->header), end));
	if (m->has_header)
		body_put(s, str_from(bytes, end - before));
}

void
submission_mail_chunk(struct submission_session *s, struct str bytes)
{
	if (s->mail->refusal.n > 0)
		return;
	if (s->mail->has_header)
		body_put(s, bytes);
	else
		header_put(s, bytes);
}

static void
id_put(const struct submission_session *s, struct buf *out)
{
	(void)buf_putf(out, "%llx.%llx.%x", (unsigned long long)s->started_ms, (unsigned long long)s->id, s->messages_n);
}

/*
 * RFC 5321 4.4. The from clause is always the same: where a person was when writing, and what the computer is called, is nobody's business
 * who gets the mail. The log has both, under the same id.
 */
static void
head_put(struct submission_session *s, struct buf *out)
{
	const struct tls_info *tls = conn_tls(s->conn);
	struct cur c = cur_of(buf_str(&s->mail->rcpts));
	struct str path;

	(void)buf_put(out, STR("Received: from authenticated-client\r\n\tby "));
	(void)buf_put(out, s->e->settings.mail.hostname);
	(void)buf_put(out, STR(" with "));
	(void)buf_put(out, smtp_server_with(&s->smtp)); /* RFC 3848: ESMTPSA */
	(void)buf_put(out, STR(" id "));
	id_put(s, out);
	if (tls != NULL)
		(void)buf_putf(out, "\r\n\t(version=%s cipher=%s)", tls->version, tls->cipher);
	/* With several recipients their addresses stay secret from each other (RFC 5321 7.2). */
	if (s->mail->rcpts_n == 1 && cur_str16(&c, &path)) {
		(void)buf_put(out, STR("\r\n\tfor <"));
		(void)buf_put(out, path);
		(void)buf_put_c(out, '>');
	}
	(void)buf_put(out, STR("; "));
	(void)date_format_5322(out, (int64_t)(submission_wall_ms(s) / 1000), 0);
	(void)buf_put(out, STR("\r\n"));
}

static void
message_log(struct submission_session *s)
{
	const struct submission_mail *m = s->mail;
	struct buf id, peer;

	buf_init(&id, ID_BYTES_MAX);
	buf_init(&peer, ID_BYTES_MAX);
	id_put(s, &id);
	(void)sock_ip_put(&peer, conn_peer(s->conn));
	log_event(LOG_INFO, "submission.taken", LOG_STR("id", buf_str(&id)), LOG_U64("session", s->id), LOG_STR("login", buf_str(&s->address)),
	    LOG_STR("peer", buf_str(&peer)), LOG_STR("helo", smtp_server_helo(&s->smtp)), LOG_STR("from", buf_str(&m->reverse_path)),
	    LOG_U64("rcpts", m->rcpts_n), LOG_U64("bytes", m->intake.bytes),
	    LOG_STR("message_id", header_scan_message_id(&m->intake.header)));
	buf_fini(&id);
	buf_fini(&peer);
}

static void
message_deliver(struct submission_session *s, struct link *store)
{
	struct submission_mail *m = s->mail;
	struct buf head;

	if (m->intake.header.is_auto)
		m->flags |= ENVELOPE_AUTO; /* RFC 3834 2 */
	buf_init(&head, HEAD_BYTES_MAX);
	head_put(s, &head);
	(void)rec_deliver_put(link_out(store),
	    &(struct rec_deliver){.session = s->id,
	        .cap = cap_of(s),
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
	s->waits = SUBMISSION_WAITS_DELIVER;
	/* The store has its copy; a session that waits holds no body. */
	buf_fini(&m->intake.body);
}

static void
message_fail(struct submission_session *s, unsigned code, struct str text)
{
	submission_mail_forget(s);
	submission_reply(s, code, text);
}

void
submission_mail_end(struct submission_session *s, const struct smtp_event *ev)
{
	struct submission_mail *m = s->mail;
	struct link *store = submission_store(s);

	if (m->refusal.n == 0 && !m->has_header)
		header_mend(s, buf_str(&m->header)); /* a message that is all header */
	else if (m->refusal.n == 0 && ev->is_unterminated)
		body_put(s, STR("\r\n"));
	intake_end(&m->intake, store);
	if (m->refusal.n > 0)
		message_fail(s, m->refusal_code, m->refusal);
	else if (store == NULL)
		message_fail(s, 451, store_gone_text);
	else if (m->intake.is_failed)
		message_fail(s, 452, STR("4.3.1 The mail store has no room for this message at the moment, try again later"));
	else if (m->intake.header.hops > HEADER_HOPS_MAX)
		/* RFC 5321 6.3 */
		message_fail(s, 554, STR("5.4.6 This message has been through too many servers, it goes in circles"));
	else
		message_deliver(s, store);
}

/* ---- what became of it ---- */

static bool
answer_take(struct cur *c, uint16_t *code, struct str *text)
{
	return cur_le16(c, code) && is_answer_code(*code) && cur_str16(c, text);
}

/*
 * All or none: the first refusal is the answer; else "Queued as" from a recipient elsewhere, which says more than "Delivered"; else the first.
 * False: not one for each recipient.
 */
static bool
answer_of_all(struct str answers, uint32_t n, uint16_t *code_out, struct str *text_out)
{
	struct cur c = cur_of(answers);
	uint16_t code;
	struct str text;

	*code_out = 0;
	for (; !cur_at_end(&c); n--) {
		if (n == 0 || !answer_take(&c, &code, &text))
			return false;
		if (*code_out == 0 || (*code_out == 250 && (code != 250 || str_has_prefix(text, STR("2.0.0"))))) {
			*code_out = code;
			*text_out = text;
		}
	}
	return n == 0;
}

static bool
on_deliver_answer(struct submission_env *e, struct cur *c)
{
	struct rec_deliver_answer a;
	struct submission_session *s;
	struct str text;
	uint16_t code;

	if (!rec_deliver_answer_take(c, &a))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != SUBMISSION_WAITS_DELIVER)
		return true;
	if (!answer_of_all(a.answers, s->mail->rcpts_n, &code, &text))
		return false;
	if (code == 250) {
		message_log(s);
		e->counters.messages++;
		e->counters.bytes += s->mail->intake.bytes;
		metric_add(&m_messages, 1);
	}
	s->messages_n++;
	/* The store has taken or dropped what was staged. */
	s->mail->intake.is_staged = false;
	mail_free(s);
	submission_reply(s, code, text);
	submission_go_on(s);
	return true;
}

static bool
on_stage_answer(struct submission_env *e, struct cur *c)
{
	struct rec_stage_answer a;
	struct submission_session *s;

	if (!rec_stage_answer_take(c, &a))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->mail == NULL || !s->mail->intake.is_staged)
		return true;
	intake_staged(&s->mail->intake, a.bytes_n, a.ok != 0);
	if (!intake_is_behind(&s->mail->intake) && s->waits == SUBMISSION_WAITS_NOTHING)
		submission_go_on(s);
	return true;
}

bool
submission_mail_record(struct submission_env *e, enum record_type t, struct cur *c)
{
	if (t == REC_SENDER_ANSWER)
		return on_sender_answer(e, c);
	if (t == REC_ROUTE_ANSWER)
		return on_route_answer(e, c);
	if (t == REC_DNS_ANSWER)
		return on_dns_answer(e, c);
	if (t == REC_STAGE_ANSWER)
		return on_stage_answer(e, c);
	if (t == REC_DELIVER_ANSWER)
		return on_deliver_answer(e, c);
	return false;
}
