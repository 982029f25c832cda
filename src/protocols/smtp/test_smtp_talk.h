/*
 * Conversations with the SMTP server machine, for its tests. In a header, since EXPECT counts by
 * file.
 */
#ifndef POSTHORN_PROTOCOLS_SMTP_TEST_SMTP_TALK_H
#define POSTHORN_PROTOCOLS_SMTP_TEST_SMTP_TALK_H

#include <stdlib.h>

#include "base/unit.h"
#include "protocols/smtp/smtp_server.h"

/* 2026-11-23T14:58:32Z */
#define TALK_NOW 1795445912

/*
 * A conversation is a list of lines: "C: " a line of the client (CRLF is added), "R: " raw bytes of
 * the client, "S: " a line of the server, "E: " an event. The client's lines up to the next S or E
 * are one group; it is fed whole, byte by byte and cut at random, and each time the server's lines
 * and events must be the same.
 */
struct talk {
	const struct smtp_server_conf *conf;
	bool is_tls;
	const char *const *lines; /* ends with NULL */
};

struct session {
	struct smtp_server s;
	struct buf in, out, transcript, data, rcpts;
	bool is_over; /* STARTTLS or CLOSE was seen */
};

static inline void
session_init(struct session *t, const struct smtp_server_conf *conf, bool is_tls)
{
	*t = (struct session){0};
	buf_init(&t->in, 8 << 20);
	buf_init(&t->out, 65536);
	buf_init(&t->transcript, 8 << 20);
	buf_init(&t->data, 8 << 20);
	buf_init(&t->rcpts, 65536);
	smtp_server_init(&t->s, conf, is_tls);
	smtp_server_set_now(&t->s, TALK_NOW);
	smtp_server_set_xclient(&t->s, true);
	if (conf->is_auth_offered)
		smtp_server_set_auth_mechs(&t->s, STR("PLAIN LOGIN EXTERNAL"));
}

static inline void
session_fini(struct session *t)
{
	buf_fini(&t->in);
	buf_fini(&t->out);
	buf_fini(&t->transcript);
	buf_fini(&t->data);
	buf_fini(&t->rcpts);
}

/* What is in out goes to the transcript, line by line. */
static inline void
out_drain(struct session *t)
{
	struct cur c = cur_of(buf_str(&t->out));
	struct str line;

	while (cur_take_line(&c, &line)) {
		EXPECT(line.n + 2 <= SMTP_REPLY_LINE_MAX);
		buf_putf(&t->transcript, "S: %.*s\n", STR_ARG(line));
	}
	EXPECT(cur_at_end(&c));
	buf_reset(&t->out);
}

static inline void
answer(struct session *t, unsigned code, const char *text)
{
	smtp_server_reply(&t->s, &t->out, code, str_of_c(text));
}

/* The message with '|' for CRLF. */
static inline void
data_log(struct session *t, const struct smtp_event *ev)
{
	struct cur c = cur_of(buf_str(&t->data));
	struct str line;

	buf_put(&t->transcript, STR("E: END "));
	while (cur_take_line(&c, &line)) {
		buf_put(&t->transcript, line);
		buf_put_c(&t->transcript, '|');
	}
	buf_put(&t->transcript, cur_rest(&c));
	if (ev->is_unterminated)
		buf_put(&t->transcript, STR(" (open)"));
	buf_put_c(&t->transcript, '\n');
}

static inline void
end_answer(struct session *t)
{
	if (t->s.conf->mode != SMTP_LMTP) {
		answer(t, 250, "2.0.0 queued");
		return;
	}
	for (size_t i = 0; i < t->rcpts.n; i++)
		if (t->rcpts.p[i] == 'f')
			answer(t, 452, "4.2.2 full");
		else
			answer(t, 250, "2.0.0 kept");
}

static inline void
mail_log(struct session *t, const struct smtp_event *ev)
{
	buf_putf(&t->transcript, "E: MAIL %.*s", STR_ARG(ev->path));
	if (ev->size_bytes > 0)
		buf_putf(&t->transcript, " size=%llu", (unsigned long long)ev->size_bytes);
	if (ev->is_8bit)
		buf_put(&t->transcript, STR(" 8bit"));
	if (ev->is_smtputf8)
		buf_put(&t->transcript, STR(" utf8"));
	if (ev->body == SMTP_BODY_BINARYMIME)
		buf_put(&t->transcript, STR(" binary"));
	if (ev->ret != SMTP_RET_NONE)
		buf_putf(&t->transcript, " ret=%s", ev->ret == SMTP_RET_FULL ? "full" : "hdrs");
	if (ev->envid.n > 0)
		buf_putf(&t->transcript, " envid=%.*s", STR_ARG(ev->envid));
	if (ev->hold_until != 0)
		buf_putf(&t->transcript, " hold=+%lld", (long long)(ev->hold_until - TALK_NOW));
	if (ev->has_by)
		buf_putf(&t->transcript, " by=%ld%c%s", (long)ev->by_s, ev->by_mode,
		    ev->by_trace ? "T" : "");
	if (ev->has_priority)
		buf_putf(&t->transcript, " priority=%d", ev->priority);
	buf_put_c(&t->transcript, '\n');
}

static inline void
rcpt_log(struct session *t, const struct smtp_event *ev)
{
	buf_putf(&t->transcript, "E: RCPT %.*s [%.*s] [%.*s]", STR_ARG(ev->path),
	    STR_ARG(ev->local), STR_ARG(ev->domain));
	if (ev->notify != 0)
		buf_putf(&t->transcript, " notify=%s%s%s%s",
		    ev->notify & SMTP_NOTIFY_NEVER ? "N" : "",
		    ev->notify & SMTP_NOTIFY_SUCCESS ? "S" : "",
		    ev->notify & SMTP_NOTIFY_FAILURE ? "F" : "",
		    ev->notify & SMTP_NOTIFY_DELAY ? "D" : "");
	if (ev->orcpt.n > 0)
		buf_putf(&t->transcript, " orcpt=%.*s", STR_ARG(ev->orcpt));
	buf_put_c(&t->transcript, '\n');
}

/* The owner knows no base64; what it thinks of a response stands there in words. */
static inline void
auth_answer(struct session *t, struct str bytes)
{
	if (str_eq(bytes, STR("ok")))
		answer(t, 235, "2.7.0 welcome");
	else if (str_eq(bytes, STR("bad")))
		answer(t, 535, "5.7.8 wrong");
	else if (str_eq(bytes, STR("later")))
		answer(t, 454, "4.7.0 try later");
	else if (str_eq(bytes, STR("leave")))
		answer(t, 421, "4.7.0 go away");
	else if (str_eq(bytes, STR("none")))
		smtp_server_challenge(&t->s, &t->out, STR_NULL);
	else
		smtp_server_challenge(&t->s, &t->out, STR("who?"));
}

static inline void
xclient_value_log(struct session *t, const char *name, const struct smtp_xclient_value *v)
{
	static const char *const what[] = {"", "never", "temp", ""};

	if (v->what != SMTP_XCLIENT_NOT_GIVEN)
		buf_putf(&t->transcript, " %s=%s%.*s", name, what[v->what], STR_ARG(v->text));
}

static inline void
xclient_log(struct session *t, struct str attributes)
{
	struct smtp_xclient x;

	EXPECT(smtp_xclient_take(attributes, &x) == ST_OK);
	buf_put(&t->transcript, STR("E: XCLIENT"));
	xclient_value_log(t, "name", &x.name);
	xclient_value_log(t, "addr", &x.addr);
	xclient_value_log(t, "helo", &x.helo);
	xclient_value_log(t, "login", &x.login);
	xclient_value_log(t, "destaddr", &x.destaddr);
	if (x.port != 0 || x.destport != 0)
		buf_putf(&t->transcript, " ports=%u,%u", x.port, x.destport);
	if (x.has_proto)
		buf_putf(&t->transcript, " %s", x.is_esmtp ? "esmtp" : "smtp");
	buf_put_c(&t->transcript, '\n');
	if (x.login.what == SMTP_XCLIENT_GIVEN)
		smtp_server_set_authenticated(&t->s);
}

/* The owner: what the local parts say. */
static inline void
on_event(struct session *t, const struct smtp_event *ev)
{
	switch (ev->kind) {
	case SMTP_EV_MORE:
	case SMTP_EV_FLUSH:
		break;
	case SMTP_EV_MAIL:
		mail_log(t, ev);
		buf_reset(&t->rcpts);
		if (str_eq(ev->local, STR("refused")))
			answer(t, 550, "5.7.1 no");
		else
			answer(t, 250, "2.1.0 ok");
		break;
	case SMTP_EV_RCPT:
		rcpt_log(t, ev);
		if (str_eq(ev->local, STR("nobody"))) {
			answer(t, 550, "5.1.1 unknown");
		} else if (str_eq(ev->local, STR("shutdown"))) {
			answer(t, 421, "4.3.2 going down");
		} else {
			buf_put(&t->rcpts, str_take(ev->local, 1));
			answer(t, 250, "2.1.5 ok");
		}
		break;
	case SMTP_EV_DATA:
		buf_reset(&t->data);
		buf_put(&t->transcript, ev->is_bdat ? STR("E: DATA bdat\n") : STR("E: DATA\n"));
		if (str_find_char(buf_str(&t->rcpts), 'w') < t->rcpts.n)
			answer(t, 452, "4.3.1 wait");
		else if (ev->is_bdat)
			answer(t, 250, "not written");
		else
			answer(t, 354, "go on");
		break;
	case SMTP_EV_CHUNK:
		EXPECT(ev->bytes.n > 0);
		buf_put(&t->data, ev->bytes);
		break;
	case SMTP_EV_END:
		data_log(t, ev);
		end_answer(t);
		break;
	case SMTP_EV_ABORT:
		buf_put(&t->transcript, STR("E: ABORT\n"));
		break;
	case SMTP_EV_STARTTLS:
		buf_put(&t->transcript, STR("E: STARTTLS\n"));
		t->is_over = true;
		break;
	case SMTP_EV_CLOSE:
		buf_put(&t->transcript, STR("E: CLOSE\n"));
		t->is_over = true;
		break;
	case SMTP_EV_AUTH:
		buf_putf(&t->transcript, "E: AUTH %.*s %s[%.*s]\n", STR_ARG(ev->mechanism),
		    ev->has_initial ? "initial " : "", STR_ARG(ev->bytes));
		auth_answer(t, ev->bytes);
		break;
	case SMTP_EV_AUTH_LINE:
		buf_putf(&t->transcript, "E: AUTH_LINE [%.*s]\n", STR_ARG(ev->bytes));
		auth_answer(t, ev->bytes);
		break;
	case SMTP_EV_AUTH_CANCEL:
		buf_put(&t->transcript, STR("E: AUTH_CANCEL\n"));
		break;
	case SMTP_EV_XCLIENT:
		xclient_log(t, ev->bytes);
		break;
	}
}

static inline void
session_feed(struct session *t, struct str bytes)
{
	struct smtp_event ev;

	if (t->is_over)
		return;
	buf_put(&t->in, bytes);
	do {
		struct cur c = cur_of(buf_str(&t->in));
		ev = smtp_server_next(&t->s, &c, &t->out);
		out_drain(t);
		on_event(t, &ev);
		out_drain(t);
		buf_consume(&t->in, t->in.n - cur_left(&c));
	} while (ev.kind != SMTP_EV_MORE && !t->is_over);
	/* What an owner's input buffer has to hold. */
	EXPECT(t->in.n < (t->s.conf->is_auth_offered ? SMTP_AUTH_LINE_MAX : SMTP_LINE_MAX));
}

/* step 0: at random */
static inline void
session_feed_cut(struct session *t, struct str bytes, size_t step)
{
	while (bytes.n > 0) {
		size_t n = step > 0 ? step : 1 + (size_t)rand() % 7;
		session_feed(t, str_take(bytes, n));
		bytes = str_from(bytes, n);
	}
}

static inline const char *const *
group_take(const char *const *l, struct buf *out)
{
	buf_reset(out);
	for (; *l != NULL && ((*l)[0] == 'C' || (*l)[0] == 'R'); l++) {
		buf_put(out, str_of_c(*l + 3));
		if ((*l)[0] == 'C')
			buf_put(out, STR("\r\n"));
	}
	return l;
}

static inline const char *const *
expected_take(const char *const *l, struct buf *out)
{
	buf_reset(out);
	for (; *l != NULL && ((*l)[0] == 'S' || (*l)[0] == 'E'); l++)
		buf_putf(out, "%s\n", *l);
	return l;
}

static inline void
talk_run(const struct talk *talk, size_t step)
{
	const char *const *l = talk->lines;
	struct buf group, expected;
	struct session t;

	buf_init(&group, 65536);
	buf_init(&expected, 65536);
	session_init(&t, talk->conf, talk->is_tls);
	while (*l != NULL) {
		l = group_take(l, &group);
		session_feed_cut(&t, buf_str(&group), step);
		l = expected_take(l, &expected);
		EXPECT_STR(buf_str(&t.transcript), buf_str(&expected));
		buf_reset(&t.transcript);
	}
	session_fini(&t);
	buf_fini(&group);
	buf_fini(&expected);
}

/* Whole, byte by byte, at random. */
static inline void
talk_run_all(const struct talk *talk)
{
	talk_run(talk, SIZE_MAX);
	talk_run(talk, 1);
	for (int n = 0; n < 20; n++)
		talk_run(talk, 0);
}

/* A session that waits for message data. */
static inline void
session_at_data(struct session *t, const struct smtp_server_conf *conf)
{
	session_init(t, conf, false);
	session_feed(t, STR("EHLO a\r\n"));
	session_feed(t, STR("MAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nDATA\r\n"));
	EXPECT(str_has_suffix_ci(buf_str(&t->transcript), STR("S: 354 go on\n")));
	buf_reset(&t->transcript);
}

#define LINES(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

#endif
