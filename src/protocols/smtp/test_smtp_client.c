#include "base/num.h"
#include "base/unit.h"
#include "protocols/smtp/smtp_client.h"
#include "protocols/smtp/smtp_server.h"

/*
 * A conversation is a list of lines: "S: " a line of the server (CRLF is added), "R: " raw bytes of
 * the server, "C: " a line of the client, "E: " an event. The server's lines up to the next C or E
 * are one group. It is fed whole and byte by byte, and each time what the client says and tells
 * must be what stands up to the next group. The owner sends the talk's mails one after the other,
 * then QUIT.
 */
struct talk {
	const struct smtp_client_conf *conf;
	const struct smtp_client_mail *mails;
	size_t mails_n;
	const char *content;
	const char *const *lines; /* ends with NULL */
	size_t piece;		  /* of the content; 0: whole */
	bool is_tls;
	bool is_whole_only; /* what comes together is the point */
};

struct session {
	const struct talk *talk;
	struct smtp_client c;
	struct buf in, out, got;
	size_t mails_sent, content_at;
	bool is_over, is_plain_tried;
};

static void
session_init(struct session *s, const struct talk *talk)
{
	*s = (struct session){.talk = talk};
	buf_init(&s->in, 1 << 20);
	buf_init(&s->out, 1 << 20);
	buf_init(&s->got, 1 << 20);
	smtp_client_init(&s->c, talk->conf, talk->is_tls);
}

static void
session_fini(struct session *s)
{
	buf_fini(&s->in);
	buf_fini(&s->out);
	buf_fini(&s->got);
}

static void
out_drain(struct session *s)
{
	struct cur c = cur_of(buf_str(&s->out));
	struct str line;

	while (cur_take_line(&c, &line))
		buf_putf(&s->got, "C: %.*s\n", STR_ARG(line));
	if (!cur_at_end(&c))
		buf_putf(&s->got, "C~ %.*s\n", STR_ARG(cur_rest(&c)));
	buf_reset(&s->out);
}

static void
reply_log(struct session *s, const struct smtp_reply *r)
{
	buf_putf(&s->got, " %u", r->code);
	if (r->enhanced[0] != 0)
		buf_putf(&s->got, " %u.%u.%u", r->enhanced[0], r->enhanced[1], r->enhanced[2]);
	buf_putf(&s->got, " [%.*s]%s", STR_ARG(r->text), r->is_local ? " local" : "");
}

static void
event_log(struct session *s, const struct smtp_client_event *ev)
{
	static const char *const names[] = {"MORE", "READY", "STARTTLS", "AUTH_READY",
	    "AUTH_CHALLENGE", "AUTH_DONE", "UNSENDABLE", "MAIL_DONE", "RCPT", "DATA", "SENT",
	    "DONE", "CLOSING"};

	buf_putf(&s->got, "E: %s", names[ev->kind]);
	if (ev->kind == SMTP_CL_RCPT || ev->kind == SMTP_CL_SENT)
		buf_putf(&s->got, " %u", ev->index);
	if (ev->kind == SMTP_CL_AUTH_CHALLENGE)
		buf_putf(&s->got, " <%.*s>", STR_ARG(ev->bytes));
	if (ev->reply.code != 0)
		reply_log(s, &ev->reply);
	if (ev->is_protocol_error)
		buf_put(&s->got, STR(" protocol"));
	buf_put_c(&s->got, '\n');
}

static void
next_mail(struct session *s)
{
	EXPECT(smtp_client_phase(&s->c) == SMTP_PHASE_IDLE);
	if (s->mails_sent == s->talk->mails_n) {
		smtp_client_quit(&s->c, &s->out);
		return;
	}
	s->content_at = 0;
	smtp_client_mail(&s->c, &s->talk->mails[s->mails_sent++]);
}

static void
content_send(struct session *s)
{
	struct str rest = str_from(str_of_c(s->talk->content), s->content_at);
	size_t piece = s->talk->piece > 0 ? s->talk->piece : rest.n;
	enum status st;

	for (; rest.n > 0; rest = str_from(rest, piece)) {
		st = smtp_client_body(&s->c, str_take(rest, piece), &s->out);
		if (st != ST_OK) {
			buf_putf(&s->got, "E: body %s\n", status_word(st));
			return;
		}
		s->content_at += str_take(rest, piece).n;
	}
	st = smtp_client_body_end(&s->c, &s->out);
	if (st != ST_OK)
		buf_putf(&s->got, "E: end %s\n", status_word(st));
}

/* PLAIN first, then LOGIN. */
static void
auth_begin(struct session *s)
{
	if (s->is_plain_tried) {
		EXPECT(smtp_client_auth(&s->c, &s->out, STR("LOGIN"), false, STR_NULL) == ST_OK);
		return;
	}
	s->is_plain_tried = true;
	EXPECT(smtp_client_auth(&s->c, &s->out, STR("PLAIN"), true, str_of("\0u\0pw", 5)) == ST_OK);
}

static void
auth_answer(struct session *s, struct str challenge)
{
	if (str_eq(challenge, STR("cancel")))
		smtp_client_auth_cancel(&s->c, &s->out);
	else
		EXPECT(smtp_client_auth_answer(&s->c, &s->out, STR("secret")) == ST_OK);
}

static void
on_event(struct session *s, const struct smtp_client_event *ev)
{
	switch (ev->kind) {
	case SMTP_CL_READY:
	case SMTP_CL_DONE:
		next_mail(s);
		break;
	case SMTP_CL_AUTH_READY:
		auth_begin(s);
		break;
	case SMTP_CL_AUTH_CHALLENGE:
		auth_answer(s, ev->bytes);
		break;
	case SMTP_CL_DATA:
		EXPECT(smtp_client_phase(&s->c) == SMTP_PHASE_BODY);
		content_send(s);
		break;
	case SMTP_CL_STARTTLS:
	case SMTP_CL_CLOSING:
		EXPECT(smtp_client_phase(&s->c) == SMTP_PHASE_CLOSED);
		s->is_over = true;
		break;
	case SMTP_CL_MORE:
	case SMTP_CL_AUTH_DONE:
	case SMTP_CL_UNSENDABLE:
	case SMTP_CL_MAIL_DONE:
	case SMTP_CL_RCPT:
	case SMTP_CL_SENT:
		break;
	}
}

static void
session_run(struct session *s)
{
	struct smtp_client_event ev;

	if (s->is_over)
		return;
	do {
		struct cur c = cur_of(buf_str(&s->in));
		ev = smtp_client_next(&s->c, &c, &s->out);
		buf_consume(&s->in, s->in.n - cur_left(&c));
		out_drain(s);
		if (ev.kind != SMTP_CL_MORE)
			event_log(s, &ev);
		on_event(s, &ev);
	} while (ev.kind != SMTP_CL_MORE && !s->is_over);
	out_drain(s);
}

/* Adds the server's lines from *at on. */
static void
group_take(const char *const *lines, size_t *at, struct buf *group)
{
	for (; lines[*at] != NULL; (*at)++) {
		struct str line = str_of_c(lines[*at]);
		if (str_has_prefix(line, STR("S: ")))
			buf_putf(group, "%s\r\n", lines[*at] + 3);
		else if (str_has_prefix(line, STR("R: ")))
			buf_put(group, str_from(line, 3));
		else
			return;
	}
}

static void
wanted_take(const char *const *lines, size_t *at, struct buf *want)
{
	for (; lines[*at] != NULL; (*at)++) {
		struct str line = str_of_c(lines[*at]);
		if (str_has_prefix(line, STR("S: ")) || str_has_prefix(line, STR("R: ")))
			return;
		buf_putf(want, "%.*s\n", STR_ARG(line));
	}
}

static void
talk_once(const struct talk *talk, size_t piece)
{
	struct session s;
	struct buf group, want;
	size_t at = 0;

	session_init(&s, talk);
	buf_init(&group, 1 << 20);
	buf_init(&want, 1 << 20);
	while (talk->lines[at] != NULL) {
		buf_reset(&group);
		group_take(talk->lines, &at, &group);
		for (struct str rest = buf_str(&group); rest.n > 0; rest = str_from(rest, piece)) {
			buf_put(&s.in, str_take(rest, piece));
			session_run(&s);
		}
		wanted_take(talk->lines, &at, &want);
		EXPECT_STR(buf_str(&s.got), buf_str(&want));
		if (!str_eq(buf_str(&s.got), buf_str(&want)))
			break;
	}
	buf_fini(&want);
	buf_fini(&group);
	session_fini(&s);
}

static void
talk_run(const struct talk *talk)
{
	talk_once(talk, 1 << 20);
	if (talk->is_whole_only)
		return;
	talk_once(talk, 1);
	talk_once(talk, 7);
}

#define LINES(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct smtp_client_conf plain = {.helo = STR_INIT("me.example")};
static const struct smtp_client_conf fast = {
    .helo = STR_INIT("me.example"), .is_pipelining_allowed = true, .is_chunking_allowed = true};
static const struct smtp_client_conf lmtp = {
    .helo = STR_INIT("me.example"), .is_lmtp = true, .is_pipelining_allowed = true};
static const struct smtp_client_conf lmtp_fast = {.helo = STR_INIT("me.example"),
    .is_lmtp = true,
    .is_pipelining_allowed = true,
    .is_chunking_allowed = true};
static const struct smtp_client_conf tls_may = {
    .helo = STR_INIT("me.example"), .starttls = SMTP_STARTTLS_MAY};
static const struct smtp_client_conf tls_must = {
    .helo = STR_INIT("me.example"), .starttls = SMTP_STARTTLS_MUST};
static const struct smtp_client_conf auth = {.helo = STR_INIT("me.example"), .has_auth = true};

static const struct smtp_client_rcpt rcpts[] = {
    {.path = STR_INIT("a@x.example")},
    {.path = STR_INIT("b@x.example")},
    {.path = STR_INIT("c@x.example")},
};
static const struct smtp_client_mail one = {
    .reverse_path = STR_INIT("s@y.example"), .rcpts = rcpts, .rcpts_n = 1};
static const struct smtp_client_mail two[] = {
    {.reverse_path = STR_INIT("s@y.example"), .rcpts = rcpts, .rcpts_n = 2},
    {.rcpts = rcpts, .rcpts_n = 1},
};

#define HELLO_PLAIN "S: 220 hi", "C: EHLO me.example", "S: 250 mx", "E: READY"
#define HELLO_FAST "S: 220 hi", "C: EHLO me.example", "S: 250-mx", "S: 250 PIPELINING", "E: READY"
#define HELLO_LMTP "S: 220 hi", "C: LHLO me.example", "S: 250-mx", "S: 250 PIPELINING", "E: READY"
#define BYE "C: QUIT", "S: 221 2.0.0 bye", "E: CLOSING 221 2.0.0 [2.0.0 bye]"

/* RFC 5321 appendix D.1 in short; dots are stuffed, the last line gets its end. */
static void
sends_one_by_one(void)
{
	struct talk t = {
	    .conf = &plain, .mails = two, .mails_n = 2, .content = ".a\r\n\r\n..b\r\n."};

	t.lines = LINES(HELLO_PLAIN, "C: MAIL FROM:<s@y.example>", "S: 250 2.1.0 ok",
	    "C: RCPT TO:<a@x.example>", "S: 550-5.1.1 no", "S: 550 5.1.1 such user",
	    "E: RCPT 0 550 5.1.1 [5.1.1 no such user]", "C: RCPT TO:<b@x.example>", "S: 251 ok",
	    "E: RCPT 1 251 [ok]", "C: DATA", "S: 354 go", "E: DATA", "C: ..a", "C: ", "C: ...b",
	    "C: ..", "C: .", "S: 250 queued", "E: SENT 0 250 [queued]", "E: DONE",
	    "C: MAIL FROM:<>", "S: 250 ok", "C: RCPT TO:<a@x.example>", "S: 250 ok",
	    "E: RCPT 0 250 [ok]", "C: DATA", "S: 354 go", "E: DATA", "C: ..a", "C: ", "C: ...b",
	    "C: ..", "C: .", "S: 554 5.6.0 no", "E: SENT 0 554 5.6.0 [5.6.0 no]", "E: DONE", BYE);
	for (t.piece = 0; t.piece < 5; t.piece++)
		talk_run(&t);
}

static void
pipelines(void)
{
	struct talk t = {.conf = &fast, .mails = two, .mails_n = 2, .content = "a\r\n"};

	t.lines = LINES(HELLO_FAST, "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "C: RCPT TO:<b@x.example>", "C: DATA", "S: 250 ok", "S: 250 ok", "S: 450 4.2.1 later",
	    "S: 354 go", "E: RCPT 0 250 [ok]", "E: RCPT 1 450 4.2.1 [4.2.1 later]", "E: DATA",
	    "C: a", "C: .", "S: 250 queued", "E: SENT 0 250 [queued]", "E: DONE", "C: MAIL FROM:<>",
	    "C: RCPT TO:<a@x.example>", "C: DATA", "S: 250 ok", "S: 250 ok", "S: 451 not now",
	    "E: RCPT 0 250 [ok]", "E: SENT 0 451 [not now]", "E: DONE", BYE);
	talk_run(&t);
}

/* RFC 2920 3.1: the dot of a message for nobody; what comes back is not told. */
static void
ends_an_empty_message(void)
{
	struct talk t = {.conf = &fast, .mails = two, .mails_n = 2, .content = "a\r\n"};

	t.lines = LINES(HELLO_FAST, "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "C: RCPT TO:<b@x.example>", "C: DATA", "S: 250 ok", "S: 550 no", "S: 550 no",
	    "S: 354 go", "E: RCPT 0 550 [no]", "E: RCPT 1 550 [no]", "C: .",
	    "S: 554 5.5.1 no recipients", "E: DONE", "C: MAIL FROM:<>", "C: RCPT TO:<a@x.example>",
	    "C: DATA", "S: 553 5.1.8 bad sender", "S: 503 no", "S: 503 no",
	    "E: MAIL_DONE 553 5.1.8 [5.1.8 bad sender]", "E: DONE", BYE);
	talk_run(&t);
}

/* RSET only when the last message left its transaction open. */
static void
resets(void)
{
	const struct smtp_client_mail three[] = {one, one, one};
	struct talk t = {.conf = &plain, .mails = three, .mails_n = 3, .content = "a\r\n"};

	t.lines = LINES(HELLO_PLAIN, "C: MAIL FROM:<s@y.example>", "S: 250 ok",
	    "C: RCPT TO:<a@x.example>", "S: 550 no", "E: RCPT 0 550 [no]", "E: DONE", "C: RSET",
	    "S: 250 ok", "C: MAIL FROM:<s@y.example>", "S: 451 no", "E: MAIL_DONE 451 [no]",
	    "E: DONE", "C: MAIL FROM:<s@y.example>", "S: 250 ok", "C: RCPT TO:<a@x.example>",
	    "S: 250 ok", "E: RCPT 0 250 [ok]", "C: DATA", "S: 452 full", "E: SENT 0 452 [full]",
	    "E: DONE", BYE);
	talk_run(&t);
}

/* RFC 2033 4.2 */
static void
lmtp_tells_each_recipient(void)
{
	struct smtp_client_mail mails[] = {one, one};
	struct talk t = {.conf = &lmtp, .mails = mails, .mails_n = 2, .content = "a\r\n"};

	mails[0].rcpts_n = 3;
	mails[1].rcpts_n = 2;
	t.lines = LINES(HELLO_LMTP, "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "C: RCPT TO:<b@x.example>", "C: RCPT TO:<c@x.example>", "C: DATA", "S: 250 ok",
	    "S: 250 ok", "S: 550 no", "S: 250 ok", "S: 354 go", "E: RCPT 0 250 [ok]",
	    "E: RCPT 1 550 [no]", "E: RCPT 2 250 [ok]", "E: DATA", "C: a", "C: .", "S: 250-a",
	    "S: 250 kept", "S: 452 4.2.2 full", "E: SENT 0 250 [a kept]",
	    "E: SENT 2 452 4.2.2 [4.2.2 full]", "E: DONE", "C: MAIL FROM:<s@y.example>",
	    "C: RCPT TO:<a@x.example>", "C: RCPT TO:<b@x.example>", "C: DATA", "S: 250 ok",
	    "S: 250 ok", "S: 250 ok", "S: 451 disk", "E: RCPT 0 250 [ok]", "E: RCPT 1 250 [ok]",
	    "E: SENT 0 451 [disk]", "E: SENT 1 451 [disk]", "E: DONE", BYE);
	talk_run(&t);
	t.lines = LINES(HELLO_LMTP, "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "C: RCPT TO:<b@x.example>", "C: RCPT TO:<c@x.example>", "C: DATA", "S: 250 ok",
	    "S: 550 no", "S: 550 no", "S: 550 no", "E: RCPT 0 550 [no]", "E: RCPT 1 550 [no]",
	    "E: RCPT 2 550 [no]", "S: 354 go",
	    "E: CLOSING 451 4.5.0 [354 without a recipient] local protocol");
	talk_run(&t);
	/* More answers than recipients. */
	t.mails_n = 1;
	mails[0].rcpts_n = 1;
	t.is_whole_only = true;
	t.lines = LINES(HELLO_LMTP, "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "C: DATA", "S: 250 ok", "S: 250 ok", "S: 354 go", "E: RCPT 0 250 [ok]", "E: DATA",
	    "C: a", "C: .", "S: 250 kept", "S: 250 kept", "E: SENT 0 250 [kept]", "E: DONE",
	    "C: QUIT", "E: CLOSING 250 [kept]");
	talk_run(&t);
}

#define HELLO_CHUNKING                                                                            \
	"S: 220 hi", "C: EHLO me.example", "S: 250-mx", "S: 250-PIPELINING", "S: 250-BINARYMIME", \
	    "S: 250 CHUNKING", "E: READY"

/* RFC 3030 */
static void
sends_chunks(void)
{
	struct smtp_client_mail binary = one;
	struct talk t = {
	    .conf = &fast, .mails = &one, .mails_n = 1, .content = ".a\r\nb", .piece = 4};

	t.lines = LINES(HELLO_CHUNKING, "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "S: 250 ok", "S: 250 ok", "E: RCPT 0 250 [ok]", "E: DATA", "C: BDAT 4", "C: .a",
	    "C: BDAT 1", "C: bBDAT 2 LAST", "C: ", "S: 250 4", "S: 250 1", "S: 250 queued",
	    "E: SENT 0 250 [queued]", "E: DONE", BYE);
	talk_run(&t);
	binary.is_binary = true;
	t.mails = &binary;
	t.content = "a\nb\r";
	t.lines = LINES(HELLO_CHUNKING, "C: MAIL FROM:<s@y.example> BODY=BINARYMIME",
	    "C: RCPT TO:<a@x.example>", "S: 250 ok", "S: 250 ok", "E: RCPT 0 250 [ok]", "E: DATA",
	    "C: BDAT 4", "C: a\nb\rBDAT 0 LAST", "S: 250 4", "S: 250 queued",
	    "E: SENT 0 250 [queued]", "E: DONE", BYE);
	talk_run(&t);
	/* Without PIPELINING one at a time. */
	t.conf = &plain;
	t.content = "abcdef";
	t.lines = LINES(HELLO_CHUNKING, "C: MAIL FROM:<s@y.example> BODY=BINARYMIME", "S: 250 ok",
	    "C: RCPT TO:<a@x.example>", "S: 250 ok", "E: RCPT 0 250 [ok]", "E: DATA",
	    "E: body more", "C: BDAT 4", "C~ abcd", "S: 250 4", "E: DATA", "E: end more",
	    "C: BDAT 2", "C~ ef", "S: 250 2", "E: DATA", "C: BDAT 0 LAST", "S: 250 queued",
	    "E: SENT 0 250 [queued]", "E: DONE", BYE);
	talk_run(&t);
}

static void
a_refused_chunk_ends_the_message(void)
{
	struct smtp_client_mail mails[] = {one, one};
	struct talk t = {
	    .conf = &fast, .mails = mails, .mails_n = 2, .content = "a\r\nb\r\n", .piece = 3};

	t.lines = LINES(HELLO_CHUNKING, "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "S: 250 ok", "S: 250 ok", "E: RCPT 0 250 [ok]", "E: DATA", "C: BDAT 3", "C: a",
	    "C: BDAT 3", "C: b", "C: BDAT 0 LAST", "S: 552 5.3.4 large",
	    "E: SENT 0 552 5.3.4 [5.3.4 large]", "S: 503 no", "S: 503 no", "E: DONE", "C: RSET",
	    "S: 250 ok", "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>", "S: 421 bye",
	    "E: CLOSING 421 [bye]");
	talk_run(&t);
	t.conf = &lmtp_fast;
	t.lines = LINES("S: 220 hi", "C: LHLO me.example", "S: 250-mx", "S: 250-PIPELINING",
	    "S: 250 CHUNKING", "E: READY", "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "S: 250 ok", "S: 250 ok", "E: RCPT 0 250 [ok]", "E: DATA", "C: BDAT 3", "C: a",
	    "C: BDAT 3", "C: b", "C: BDAT 0 LAST", "S: 552 large", "E: SENT 0 552 [large]",
	    "E: CLOSING 552 [large]");
	talk_run(&t);
}

/* The owner is in the middle of its content when the peer has enough of it. */
static void
content_is_interrupted(void)
{
	const struct talk t = {.conf = &fast, .mails = &one, .mails_n = 1};
	struct session s;
	struct cur c;

	for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
		session_init(&s, &t);
		const char *lines[] = {"220 hi\r\n",
		    is_chunked ? "250-mx\r\n250 CHUNKING\r\n" : "250 mx\r\n", "250 ok\r\n",
		    "250 ok\r\n", is_chunked ? "" : "354 go\r\n"};
		struct smtp_client_event ev = {0};
		for (size_t i = 0; i < COUNT_OF(lines); i++) {
			c = cur_of(str_of_c(lines[i]));
			do {
				ev = smtp_client_next(&s.c, &c, &s.out);
				if (ev.kind == SMTP_CL_READY)
					smtp_client_mail(&s.c, &one);
			} while (ev.kind != SMTP_CL_MORE && ev.kind != SMTP_CL_DATA);
		}
		EXPECT(smtp_client_body(&s.c, STR("a\r\n"), &s.out) == ST_OK);
		c = cur_of(STR("552 5.3.4 enough\r\n"));
		ev = smtp_client_next(&s.c, &c, &s.out);
		EXPECT(ev.kind == (is_chunked ? SMTP_CL_SENT : SMTP_CL_CLOSING));
		EXPECT(ev.reply.code == 552 && ev.reply.enhanced[1] == 3 && !ev.is_protocol_error);
		EXPECT(smtp_client_body(&s.c, STR("a\r\n"), &s.out) == ST_CONFLICT);
		EXPECT(smtp_client_body_end(&s.c, &s.out) == ST_CONFLICT);
		session_fini(&s);
	}
}

/* Nothing that is no text leaves, wherever it was cut. */
static void
refuses_smuggled_content(void)
{
	static const char *const bad[] = {
	    "a\n.\r\n", "a\r.\r\n", "a\r\n.\n", "a\n\r\n", "a\r\r\n", "\n", "\r", "a\r\n\r"};
	struct talk t = {.conf = &plain, .mails = &one, .mails_n = 1};

	for (size_t i = 0; i < COUNT_OF(bad) * 3; i++) {
		struct session s;
		t.content = bad[i / 3];
		t.piece = i % 3;
		session_init(&s, &t);
		buf_put(&s.in, STR("220 hi\r\n"));
		session_run(&s);
		for (int k = 0; k < 4; k++) {
			buf_put(&s.in, k < 3 ? STR("250 ok\r\n") : STR("354 go\r\n"));
			session_run(&s);
		}
		struct str got = buf_str(&s.got);
		EXPECT(str_find(got, STR(" syntax\n")) < got.n);
		EXPECT(str_find(got, STR("C: .\n")) == got.n);
		EXPECT(s.is_over);
		EXPECT(str_find(got, STR("E: CLOSING 554 5.6.0 [the message is no text of CRLF "
					 "lines] local\n")) < got.n);
		session_fini(&s);
	}
}

static void
body_limits(void)
{
	const struct talk t = {.conf = &plain, .mails = &one, .mails_n = 1, .content = ""};
	struct session s;
	struct buf out;
	char nul[4] = "a\0\r\n";

	for (int way = 0; way < 2; way++) {
		session_init(&s, &t);
		buf_put(&s.in, STR("220 hi\r\n"));
		session_run(&s);
		for (int k = 0; k < 3; k++) {
			buf_put(&s.in, STR("250 ok\r\n"));
			session_run(&s);
		}
		struct cur c = cur_of(STR("354 go\r\n"));
		EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_DATA);
		buf_reset(&s.out);
		buf_init(&out, 40);
		if (way == 0) {
			/* 32 are kept back; ".." and its lines take 8 with their dots. */
			EXPECT(smtp_client_body(&s.c, STR(".\r\n..\r\n"), &out) == ST_LIMIT);
			EXPECT(out.n == 0);
			EXPECT(smtp_client_body(&s.c, STR(".\r\n.\r\n"), &out) == ST_OK);
			EXPECT_STR(buf_str(&out), STR("..\r\n..\r\n"));
			EXPECT(smtp_client_body_end(&s.c, &out) == ST_OK);
			EXPECT_STR(buf_str(&out), STR("..\r\n..\r\n.\r\n"));
			EXPECT(smtp_client_phase(&s.c) == SMTP_PHASE_END);
		} else {
			EXPECT(smtp_client_body(&s.c, str_of(nul, 4), &out) == ST_SYNTAX);
			EXPECT(out.n == 0);
		}
		buf_fini(&out);
		session_fini(&s);
	}
}

#define HELLO_TLS "S: 220 hi", "C: EHLO me.example", "S: 250-mx", "S: 250 STARTTLS", "C: STARTTLS"

static void
starttls(void)
{
	struct talk t = {.conf = &tls_must};

	t.lines = LINES(HELLO_TLS, "S: 220 go", "E: STARTTLS");
	talk_run(&t);
	t.lines = LINES(HELLO_TLS, "S: 454 4.7.0 no", "C: QUIT", "E: CLOSING 454 4.7.0 [4.7.0 no]");
	talk_run(&t);
	t.lines = LINES("S: 220 hi", "C: EHLO me.example", "S: 250 mx", "C: QUIT",
	    "E: CLOSING 454 4.7.4 [the server does not offer STARTTLS] local");
	talk_run(&t);
	t.lines = LINES("S: 220 hi", "C: EHLO me.example", "S: 500 what", "C: QUIT",
	    "E: CLOSING 454 4.7.4 [the server does not offer STARTTLS] local");
	talk_run(&t);
	t.lines = LINES(HELLO_TLS, "S: 250 go",
	    "E: CLOSING 451 4.5.0 [the reply to STARTTLS is neither yes nor no] local protocol");
	talk_run(&t);
	t.conf = &tls_may;
	t.lines = LINES(HELLO_TLS, "S: 454 no", "E: READY", BYE);
	talk_run(&t);
	t.is_tls = true;
	t.lines = LINES(
	    "S: 220 hi", "C: EHLO me.example", "S: 250-mx", "S: 250 STARTTLS", "E: READY", BYE);
	talk_run(&t);
	/* RFC 3207 6: what lies behind the 220 */
	t.is_tls = false;
	t.is_whole_only = true;
	t.lines = LINES(HELLO_TLS, "S: 220 go", "S: 250 injected",
	    "E: CLOSING 451 4.5.0 [plaintext behind the reply to STARTTLS] local protocol");
	talk_run(&t);
	t.lines = LINES(HELLO_TLS, "R: 220 go\r\n2",
	    "E: CLOSING 451 4.5.0 [plaintext behind the reply to STARTTLS] local protocol");
	talk_run(&t);
}

static void
hellos(void)
{
	struct talk t = {.conf = &plain};

	t.lines =
	    LINES("S: 554-no", "S: 554 SMTP here", "C: QUIT", "E: CLOSING 554 [no SMTP here]");
	talk_run(&t);
	t.lines = LINES("S: 421 busy", "E: CLOSING 421 [busy]");
	talk_run(&t);
	t.lines = LINES("S: 220 hi", "C: EHLO me.example", "S: 502 what", "C: HELO me.example",
	    "S: 250 mx", "E: READY", BYE);
	talk_run(&t);
	t.lines = LINES("S: 220 hi", "C: EHLO me.example", "S: 502 what", "C: HELO me.example",
	    "S: 550 no", "C: QUIT", "E: CLOSING 550 [no]");
	talk_run(&t);
	t.lines = LINES(
	    "S: 220 hi", "C: EHLO me.example", "S: 450 later", "C: QUIT", "E: CLOSING 450 [later]");
	talk_run(&t);
	t.lines =
	    LINES("S: 354 go", "E: CLOSING 451 4.5.0 [the greeting is no greeting] local protocol");
	talk_run(&t);
	t.conf = &lmtp;
	t.lines = LINES(
	    "S: 220 hi", "C: LHLO me.example", "S: 500 what", "C: QUIT", "E: CLOSING 500 [what]");
	talk_run(&t);
}

#define HELLO_AUTH(mechs)                                                                      \
	"S: 220 hi", "C: EHLO me.example", "S: 250-mx", "S: 250 AUTH " mechs, "E: AUTH_READY", \
	    "C: AUTH PLAIN AHUAcHc="

/* RFC 4954 */
static void
authenticates(void)
{
	struct talk t = {.conf = &auth};

	t.lines = LINES(HELLO_AUTH("PLAIN"), "S: 235 2.7.0 ok", "E: AUTH_DONE 235 2.7.0 [2.7.0 ok]",
	    "E: READY", BYE);
	talk_run(&t);
	t.lines = LINES(HELLO_AUTH("PLAIN LOGIN"), "S: 535 5.7.8 no",
	    "E: AUTH_DONE 535 5.7.8 [5.7.8 no]", "E: AUTH_READY", "C: AUTH LOGIN",
	    "S: 334 VXNlcm5hbWU6", "E: AUTH_CHALLENGE <Username:>", "C: c2VjcmV0", "S: 334 ",
	    "E: AUTH_CHALLENGE <>", "C: c2VjcmV0", "S: 334 Y2FuY2Vs", "E: AUTH_CHALLENGE <cancel>",
	    "C: *", "S: 501 ok", "E: AUTH_DONE 501 [ok]", "E: AUTH_READY", "C: AUTH LOGIN",
	    "S: 334", "E: AUTH_CHALLENGE <>", "C: c2VjcmV0", "S: 235 ok", "E: AUTH_DONE 235 [ok]",
	    "E: READY", BYE);
	talk_run(&t);
	t.lines = LINES(HELLO_AUTH("PLAIN"), "S: 334 Y2FuY2Vs", "E: AUTH_CHALLENGE <cancel>",
	    "C: *", "S: 235 ok",
	    "E: CLOSING 451 4.5.0 [a reply to AUTH that fits no question] local protocol");
	talk_run(&t);
	t.lines = LINES(HELLO_AUTH("PLAIN"), "S: 334 !",
	    "E: CLOSING 451 4.5.0 [a challenge that is no base64] local protocol");
	talk_run(&t);
	t.lines = LINES(HELLO_AUTH("PLAIN"), "S: 334-QQ==", "S: 334 QQ==",
	    "E: CLOSING 451 4.5.0 [a challenge of many lines] local protocol");
	talk_run(&t);
	t.lines = LINES("S: 220 hi", "C: EHLO me.example", "S: 250 mx", "C: QUIT",
	    "E: CLOSING 454 4.7.0 [the server does not offer AUTH] local");
	talk_run(&t);
}

static void
auth_limits(void)
{
	static const char zeros[SMTP_CLIENT_ANSWER_MAX];
	const struct talk t = {.conf = &auth};
	struct session s;
	struct cur c = cur_of(STR("220 hi\r\n"));

	session_init(&s, &t);
	EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_MORE);
	c = cur_of(STR("250-mx\r\n250 AUTH LOGIN\r\n"));
	EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_AUTH_READY);
	/* "AUTH LOGIN " and CRLF are 13, 499 remain: 124 times 4, of 3 bytes each */
	EXPECT(smtp_client_auth(&s.c, &s.out, STR("LOGIN"), true, str_of(zeros, 373)) == ST_LIMIT);
	buf_reset(&s.out);
	EXPECT(smtp_client_auth(&s.c, &s.out, STR("LOGIN"), true, str_of(zeros, 372)) == ST_OK);
	EXPECT(s.out.n <= SMTP_CLIENT_AUTH_LINE_MAX && s.out.n + 4 > SMTP_CLIENT_AUTH_LINE_MAX);
	for (int i = 0; i < SMTP_CLIENT_CHALLENGES_MAX; i++) {
		c = cur_of(STR("334 \r\n"));
		EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_AUTH_CHALLENGE);
		/* 12,286 are 3,071 times 4 and a rest */
		EXPECT(
		    smtp_client_auth_answer(&s.c, &s.out, str_of(zeros, 3071 * 3 + 1)) == ST_LIMIT);
		buf_reset(&s.out);
		EXPECT(smtp_client_auth_answer(&s.c, &s.out, str_of(zeros, 3071 * 3)) == ST_OK);
		EXPECT(s.out.n <= SMTP_CLIENT_ANSWER_MAX);
	}
	c = cur_of(STR("334 \r\n"));
	struct smtp_client_event ev = smtp_client_next(&s.c, &c, &s.out);
	EXPECT(ev.kind == SMTP_CL_CLOSING && ev.is_protocol_error);
	session_fini(&s);
}

/* Unasked, early, or of the wrong kind. */
static void
replies_out_of_order(void)
{
	static const struct {
		const char *first, *then;
		const char *event;
	} rows[] = {
	    {"220 hi\r\n250 early\r\n", "", "[a reply that nothing asked for] local protocol\n"},
	    {"220 hi\r\n421 4.3.2 bye\r\n", "", "E: CLOSING 421 4.3.2 [4.3.2 bye]\n"},
	    {"220 hi\r\n450 tired\r\n", "", "E: CLOSING 450 [tired]\n"},
	    {"220 hi\r\n550 tired\r\n", "", "[a reply that nothing asked for] local protocol\n"},
	    {"220 hi\r\n", "250 mx\r\n250 early\r\n",
		"[a reply that nothing asked for] local protocol\n"},
	    {"220 hi\r\n", "354 mx\r\n",
		"[the reply to the hello is neither yes nor no] local protocol\n"},
	    {"220 hi\r\n", "250-mx\r\n251 SIZE\r\n", "[bytes that are no reply] local protocol\n"},
	    {"220 hi\r\n", "250_mx\r\n", "[bytes that are no reply] local protocol\n"},
	    {"220 a\rb\r\n", "", "[bytes that are no reply] local protocol\n"},
	    {"220 a\r\r\n", "", "[bytes that are no reply] local protocol\n"},
	    {"\r\n", "", "[bytes that are no reply] local protocol\n"},
	    {"22\r\n", "", "[bytes that are no reply] local protocol\n"},
	    {"150 hi\r\n", "", "[bytes that are no reply] local protocol\n"},
	    {"620 hi\r\n", "", "[bytes that are no reply] local protocol\n"},
	    {"SSH-2.0-x\r\n", "", "[bytes that are no reply] local protocol\n"},
	};
	const struct talk t = {.conf = &plain, .mails = &one, .mails_n = 1, .content = ""};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct session s;
		session_init(&s, &t);
		buf_put(&s.in, str_of_c(rows[i].first));
		session_run(&s);
		buf_put(&s.in, str_of_c(rows[i].then));
		session_run(&s);
		EXPECT(s.is_over);
		EXPECT(str_has_suffix_ci(buf_str(&s.got), str_of_c(rows[i].event)));
		session_fini(&s);
	}
}

static void
wrong_classes_in_a_message(void)
{
	struct talk t = {.conf = &plain, .mails = &one, .mails_n = 1, .content = "a\r\n"};

#define TO_MAIL HELLO_PLAIN, "C: MAIL FROM:<s@y.example>"
#define TO_RCPT TO_MAIL, "S: 250 ok", "C: RCPT TO:<a@x.example>"
#define TO_DATA TO_RCPT, "S: 250 ok", "E: RCPT 0 250 [ok]", "C: DATA"
#define TO_END TO_DATA, "S: 354 go", "E: DATA", "C: a", "C: ."
	t.lines = LINES(TO_MAIL, "S: 354 go",
	    "E: CLOSING 451 4.5.0 [3xx as the reply to MAIL or RCPT] local protocol");
	talk_run(&t);
	t.lines = LINES(TO_RCPT, "S: 354 go",
	    "E: CLOSING 451 4.5.0 [3xx as the reply to MAIL or RCPT] local protocol");
	talk_run(&t);
	t.lines = LINES(
	    TO_DATA, "S: 250 go", "E: CLOSING 451 4.5.0 [2xx as the reply to DATA] local protocol");
	talk_run(&t);
	t.lines = LINES(TO_END, "S: 354 go",
	    "E: CLOSING 451 4.5.0 [3xx as the reply to the message] local protocol");
	talk_run(&t);
	t.lines = LINES(TO_END, "S: 421 4.3.0 bye", "E: CLOSING 421 4.3.0 [4.3.0 bye]");
	talk_run(&t);
	t.lines = LINES(TO_RCPT, "S: 421 bye", "E: CLOSING 421 [bye]");
	talk_run(&t);
}

/* Parameters go to those who announced them, and to nobody else. */
static void
parameters(void)
{
	static const struct smtp_client_rcpt dsn[] = {
	    {STR_INIT("a@x.example"), SMTP_CLIENT_NOTIFY_SUCCESS | SMTP_CLIENT_NOTIFY_DELAY,
		STR_INIT("rfc822;o+2Bp@x.example")},
	    {STR_INIT("postMaster"), SMTP_CLIENT_NOTIFY_NEVER, STR_INIT("")},
	    {STR_INIT("\"a >b\"@x.example"), 0, STR_INIT("")},
	};
	const struct smtp_client_mail m = {.reverse_path = STR("s@y.example"),
	    .size_bytes = 1000,
	    .is_8bit = true,
	    .is_smtputf8 = true,
	    .is_requiretls = true,
	    .ret = SMTP_CLIENT_RET_HDRS,
	    .envid = STR("q1"),
	    .has_by = true,
	    .by_s = -5,
	    .by_mode = 'N',
	    .by_trace = true,
	    .has_priority = true,
	    .priority = -3,
	    .rcpts = dsn,
	    .rcpts_n = 3};
	struct smtp_client_mail less = m;
	struct talk t = {.conf = &fast, .mails = &m, .mails_n = 1, .is_tls = true};

	t.lines = LINES("S: 220 hi", "C: EHLO me.example", "S: 250-mx", "S: 250-pipelining",
	    "S: 250-SIZE 1000", "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250-DSN",
	    "S: 250-DELIVERBY 60", "S: 250-MT-PRIORITY MIXER", "S: 250 REQUIRETLS", "E: READY",
	    "C: MAIL FROM:<s@y.example> SIZE=1000 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=q1 "
	    "BY=-5;NT MT-PRIORITY=-3 REQUIRETLS",
	    "C: RCPT TO:<a@x.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2Bp@x.example",
	    "C: RCPT TO:<postMaster> NOTIFY=NEVER", "C: RCPT TO:<\"a >b\"@x.example>", "C: DATA",
	    "S: 421 bye", "E: CLOSING 421 [bye]");
	talk_run(&t);
	less.is_8bit = less.is_smtputf8 = less.is_requiretls = false;
	t.mails = &less;
	t.lines = LINES(HELLO_FAST, "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>",
	    "C: RCPT TO:<postMaster>", "C: RCPT TO:<\"a >b\"@x.example>", "C: DATA", "S: 421 bye",
	    "E: CLOSING 421 [bye]");
	talk_run(&t);
}

static void
unsendable(void)
{
	static const struct {
		struct smtp_client_mail mail;
		const char *reply;
	} rows[] = {
	    {{.is_smtputf8 = true}, "550 5.6.7 [the server does not take SMTPUTF8]"},
	    {{.reverse_path = STR_INIT("\xc3\xa4@y.example")},
		"550 5.6.7 [the server does not take SMTPUTF8]"},
	    {{.is_binary = true}, "554 5.6.1 [the server does not take BINARYMIME]"},
	    {{.is_8bit = true}, "554 5.6.3 [the server does not take 8BITMIME]"},
	    {{.size_bytes = 1001}, "552 5.3.4 [the message is larger than the server takes]"},
	    {{.is_requiretls = true}, "550 5.7.30 [the server does not take REQUIRETLS]"},
	    {{.has_by = true, .by_mode = 'R', .by_s = 59},
		"550 5.4.7 [the server does not keep the time of delivery asked for]"},
	    {{.has_by = true, .by_mode = 'R', .by_s = -1},
		"550 5.4.7 [the server does not keep the time of delivery asked for]"},
	    {{.envid = STR_INIT("a b")}, "501 5.5.4 [ENVID is no xtext]"},
	    {{.reverse_path = STR_INIT("a@b\r\nDATA")}, "553 5.1.7 [the sender is no address]"},
	    {{.reverse_path = STR_INIT("a@b> X=")}, "553 5.1.7 [the sender is no address]"},
	    {{.reverse_path = STR_INIT("a b@c")}, "553 5.1.7 [the sender is no address]"},
	};
	char event[200];

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_client_mail m = rows[i].mail;
		struct talk t = {.conf = &plain, .mails = &m, .mails_n = 1};
		m.rcpts = rcpts;
		m.rcpts_n = 1;
		snprintf(event, sizeof(event), "E: UNSENDABLE %s local", rows[i].reply);
		t.lines = LINES("S: 220 hi", "C: EHLO me.example", "S: 250-mx",
		    "S: 250-DELIVERBY 60", "S: 250 SIZE 1000", "E: READY", event, "E: DONE", BYE);
		talk_run(&t);
	}
}

/* A recipient that may not be sent leaves the others alone. */
static void
bad_recipients_stay_here(void)
{
	static const struct smtp_client_rcpt bad[] = {
	    {.path = STR_INIT("a@x\r\nDATA")},
	    {.path = STR_INIT("b@x.example")},
	    {.path = STR_INIT("\xc3\xa4@x.example")},
	    {.path = STR_INIT("a@x.example"), .orcpt = STR_INIT("rfc822;a b")},
	    {.path = STR_INIT("")},
	};
	const struct smtp_client_mail mails[] = {
	    {.rcpts = bad, .rcpts_n = 5}, {.rcpts = bad, .rcpts_n = 1}};
	struct talk t = {.conf = &plain, .mails = mails, .mails_n = 2, .content = ""};

#define BAD_0 "E: RCPT 0 553 5.1.3 [the recipient is no address] local"
#define BAD_2 "E: RCPT 2 553 5.6.7 [the recipient needs a message with SMTPUTF8] local"
#define BAD_3 "E: RCPT 3 501 5.5.4 [ORCPT is no xtext] local"
#define BAD_4 "E: RCPT 4 553 5.1.3 [the recipient is no address] local"
	t.lines = LINES(HELLO_PLAIN, "C: MAIL FROM:<>", "S: 250 ok", BAD_0,
	    "C: RCPT TO:<b@x.example>", "S: 250 ok", "E: RCPT 1 250 [ok]", BAD_2, BAD_3, BAD_4,
	    "C: DATA", "S: 354 go", "E: DATA", "C: .", "S: 250 ok", "E: SENT 0 250 [ok]", "E: DONE",
	    "C: MAIL FROM:<>", "S: 250 ok", BAD_0, "E: DONE", BYE);
	talk_run(&t);
	t.conf = &fast;
	t.lines = LINES(HELLO_FAST, "C: MAIL FROM:<>", "C: RCPT TO:<b@x.example>", "C: DATA",
	    "S: 250 ok", "S: 250 ok", "S: 354 go", BAD_0, "E: RCPT 1 250 [ok]", BAD_2, BAD_3, BAD_4,
	    "E: DATA", "C: .", "S: 250 ok", "E: SENT 0 250 [ok]", "E: DONE", "C: MAIL FROM:<>",
	    "C: DATA", "S: 250 ok", "S: 503 no", BAD_0, "E: DONE", BYE);
	talk_run(&t);
}

/* RFC 9422 */
static void
limits_are_kept(void)
{
	struct smtp_client_mail mails[] = {one, one};
	struct talk t = {.conf = &fast, .mails = mails, .mails_n = 2, .content = ""};

	mails[0].rcpts_n = 3;
	t.lines = LINES("S: 220 hi", "C: EHLO me.example", "S: 250-mx", "S: 250-PIPELINING",
	    "S: 250 LIMITS MAILMAX=1 RCPTMAX=2 RCPTDOMAINMAX=0 X", "E: READY",
	    "C: MAIL FROM:<s@y.example>", "C: RCPT TO:<a@x.example>", "C: RCPT TO:<b@x.example>",
	    "C: DATA", "S: 250 ok", "S: 250 ok", "S: 250 ok", "S: 354 go", "E: RCPT 0 250 [ok]",
	    "E: RCPT 1 250 [ok]",
	    "E: RCPT 2 452 4.5.3 [the server takes no more recipients in one message] local",
	    "E: DATA", "C: .", "S: 250 ok", "E: SENT 0 250 [ok]", "E: DONE",
	    "E: UNSENDABLE 452 4.5.3 [the server takes no more messages in this session] local",
	    "E: DONE", BYE);
	talk_run(&t);
}

static void
extensions(void)
{
	const struct talk t = {.conf = &plain};
	struct session s;

	session_init(&s, &t);
	buf_put(&s.in, STR("220 hi\r\n"));
	session_run(&s);
	buf_put(&s.in, STR("250-SIZE 5\r\n250-size 18446744073709551616\r\n250-AUTH=PLAIN login\r\n"
			   "250-AUTH PLAIN SCRAM-SHA-256 b@d 123456789012345678901\r\n250-\r\n"
			   "250-DELIVERBY x\r\n250-XSIZE 7\r\n250-ENHANCEDSTATUSCODES\r\n"
			   "250 LIMITS rcptmax=999999 MAILMAX=1000000 RCPTDOMAINMAX=2\r\n"));
	session_run(&s);
	const struct smtp_client_ext *ext = smtp_client_ext(&s.c);
	EXPECT(ext->bits == (SMTP_EXT_SIZE | SMTP_EXT_AUTH | SMTP_EXT_DELIVERBY |
				SMTP_EXT_ENHANCEDSTATUSCODES | SMTP_EXT_LIMITS));
	EXPECT(ext->size_max == 0 && ext->by_min_s == 0);
	EXPECT(ext->rcpt_max == 999999 && ext->mail_max == 0 && ext->rcpt_domain_max == 2);
	EXPECT_STR(smtp_client_mechs(&s.c), STR("PLAIN LOGIN SCRAM-SHA-256"));
	EXPECT(smtp_client_has_mech(&s.c, STR("Login")) && !smtp_client_has_mech(&s.c, STR("LOG")));
	session_fini(&s);
}

/* The names that fit are kept whole. */
static void
mechs_limit(void)
{
	const struct talk t = {.conf = &plain};

	for (int last = 4; last < 6; last++) {
		struct session s;
		session_init(&s, &t);
		buf_put(&s.in, STR("220 hi\r\n"));
		session_run(&s);
		buf_put(&s.in, STR("250-mx\r\n250 AUTH"));
		/* 12 times 20 and a space, then 4 or 5 */
		for (int i = 0; i < 12; i++)
			buf_putf(&s.in, " %020d", i);
		buf_putf(&s.in, " %0*d\r\n", last, 7);
		session_run(&s);
		EXPECT(smtp_client_mechs(&s.c).n == 12 * 21 - 1 + (last == 4 ? 5 : 0));
		EXPECT(smtp_client_mechs(&s.c).n <= SMTP_CLIENT_MECHS_MAX);
		session_fini(&s);
	}
}

/* Adds a reply of many lines and reads it. */
static enum status
reply_read(struct buf *b, struct smtp_reply *out)
{
	struct smtp_reply_reader r;
	struct smtp_reply_line line;
	struct cur c = cur_of(buf_str(b));
	enum status st;

	smtp_reply_reader_init(&r);
	do
		st = smtp_reply_take(&r, &c, &line);
	while (st == ST_OK && !line.is_last);
	if (st == ST_OK)
		*out = (struct smtp_reply){
		    .code = smtp_reply_get(&r).code, .text = {NULL, smtp_reply_get(&r).text.n}};
	return st;
}

static void
reply_limits(void)
{
	struct smtp_reply reply = {0};
	struct buf b;

	buf_init(&b, 1 << 20);
	for (int over = 0; over < 2; over++) {
		enum status want = over ? ST_LIMIT : ST_OK;
		buf_reset(&b);
		for (int i = 1; i < SMTP_CLIENT_REPLY_LINES_MAX + over; i++)
			buf_put(&b, STR("250-x\n"));
		buf_put(&b, STR("250 x\n"));
		EXPECT(reply_read(&b, &reply) == want);
		buf_reset(&b);
		buf_putf(&b, "250 %0*d\r\n", SMTP_CLIENT_REPLY_LINE_MAX - 6 + over, 0);
		EXPECT(reply_read(&b, &reply) == want);
		EXPECT(reply.text.n == SMTP_CLIENT_TEXT_MAX || over);
		/* 32 lines of 2,048 are 65,536 */
		buf_reset(&b);
		for (int i = 0; i < 32; i++)
			buf_putf(&b, "250%c%0*d\r\n", i < 31 ? '-' : over ? '-' : ' ', 2048 - 6, 0);
		if (over)
			buf_put(&b, STR("250\n"));
		EXPECT(reply_read(&b, &reply) == want);
	}
	buf_reset(&b);
	buf_putf(&b, "250 %0*d", SMTP_CLIENT_REPLY_LINE_MAX - 5, 0);
	EXPECT(reply_read(&b, &reply) == ST_MORE);
	buf_fini(&b);
}

static void
reply_texts(void)
{
	static const struct {
		struct str in;
		unsigned code, enhanced[3];
		const char *text;
	} rows[] = {
	    {STR_INIT("250\r\n"), 250, {0}, ""},
	    {STR_INIT("250 \n"), 250, {0}, ""},
	    {STR_INIT("550 5.1.1 no\r\n"), 550, {5, 1, 1}, "5.1.1 no"},
	    {STR_INIT("550-5.1.1 no\r\n550-5.1.1 one\r\n550 5.1.2 x\r\n"), 550, {5, 1, 1},
		"5.1.1 no one 5.1.2 x"},
	    {STR_INIT("550 4.1.1 no\r\n"), 550, {0}, "4.1.1 no"},
	    {STR_INIT("550 5.1 no\r\n"), 550, {0}, "5.1 no"},
	    {STR_INIT("550 5.1.1000 no\r\n"), 550, {0}, "5.1.1000 no"},
	    {STR_INIT("550 5.1.1no\r\n"), 550, {0}, "5.1.1no"},
	    {STR_INIT("571 5.999.999\r\n"), 571, {5, 999, 999}, "5.999.999"},
	    {STR_INIT("220 a\0\tb\x7f\xc3\xa4\r\n"), 220, {0}, "a??b???"},
	    {STR_INIT("220-\r\n220 x\r\n"), 220, {0}, "x"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct smtp_reply_reader r;
		struct smtp_reply_line line;
		struct cur c = cur_of(rows[i].in);
		smtp_reply_reader_init(&r);
		do
			EXPECT(smtp_reply_take(&r, &c, &line) == ST_OK);
		while (!line.is_last);
		struct smtp_reply reply = smtp_reply_get(&r);
		EXPECT(cur_at_end(&c));
		EXPECT(reply.code == rows[i].code && !reply.is_local);
		for (int k = 0; k < 3; k++)
			EXPECT(reply.enhanced[k] == rows[i].enhanced[k]);
		EXPECT_STR(reply.text, str_of_c(rows[i].text));
	}
}

/* A session at IDLE, or (with a message) at DATA by BDAT; its events so far are not looked at. */
static void
session_advance(struct session *s, const struct smtp_client_mail *mail, const char *ext)
{
	const char *const lines[] = {"220 hi\r\n", "250-mx\r\n250-PIPELINING\r\n250 ", ext, "\r\n",
	    "250 ok\r\n", "250 ok\r\n"};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		struct smtp_client_event ev;
		buf_put(&s->in, str_of_c(lines[i]));
		do {
			struct cur c = cur_of(buf_str(&s->in));
			ev = smtp_client_next(&s->c, &c, &s->out);
			buf_consume(&s->in, s->in.n - cur_left(&c));
			if (ev.kind == SMTP_CL_READY)
				smtp_client_mail(&s->c, mail);
		} while (ev.kind != SMTP_CL_MORE && ev.kind != SMTP_CL_DATA);
	}
	buf_reset(&s->out);
}

static void
chunks_due_limit(void)
{
	const struct talk t = {.conf = &fast};
	struct session s;
	struct cur c = cur_of(STR("250 ok\r\n"));

	session_init(&s, &t);
	session_advance(&s, &one, "CHUNKING");
	for (int i = 0; i < SMTP_CLIENT_CHUNKS_DUE_MAX; i++)
		EXPECT(smtp_client_body(&s.c, STR("a"), &s.out) == ST_OK);
	size_t n = s.out.n;
	EXPECT(smtp_client_body(&s.c, STR("a"), &s.out) == ST_MORE);
	EXPECT(smtp_client_body_end(&s.c, &s.out) == ST_MORE);
	EXPECT(s.out.n == n);
	EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_DATA);
	EXPECT(smtp_client_body(&s.c, STR("a"), &s.out) == ST_OK);
	c = cur_of(STR("250 ok\r\n"));
	EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_MORE);
	session_fini(&s);
}

/* ENVID and ORCPT at their limits and one past them. */
static void
dsn_limits(void)
{
	static char many[SMTP_CLIENT_ORCPT_MAX + 1];
	const struct talk t = {.conf = &fast};

	memset(many, 'x', sizeof(many));
	for (size_t over = 0; over < 2; over++) {
		struct smtp_client_rcpt r = {.path = STR("a@x.example"),
		    .orcpt = str_of(many, SMTP_CLIENT_ORCPT_MAX + over)};
		struct smtp_client_mail m = {.rcpts = &r, .rcpts_n = 1};
		struct smtp_client_event ev;
		struct session s;
		struct cur c = cur_of(STR("220 hi\r\n"));
		session_init(&s, &t);
		(void)smtp_client_next(&s.c, &c, &s.out);
		c = cur_of(STR("250-mx\r\n250-DSN\r\n250 PIPELINING\r\n"));
		EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_READY);
		m.envid = str_of(many, SMTP_CLIENT_ENVID_MAX + 1);
		smtp_client_mail(&s.c, &m);
		EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_UNSENDABLE);
		EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_DONE);
		m.envid = str_of(many, SMTP_CLIENT_ENVID_MAX);
		smtp_client_mail(&s.c, &m);
		EXPECT(smtp_client_next(&s.c, &c, &s.out).kind == SMTP_CL_MORE);
		c = cur_of(STR("250 ok\r\n250 ok\r\n"));
		ev = smtp_client_next(&s.c, &c, &s.out);
		EXPECT(ev.kind == SMTP_CL_RCPT && ev.reply.code == (over ? 501 : 250));
		session_fini(&s);
	}
}

/* The most recipients: the row goes out in pieces, and every one is answered. */
static void
many_recipients(void)
{
	static struct smtp_client_rcpt many[SMTP_CLIENT_RCPTS_MAX];
	const struct smtp_client_mail m = {.rcpts = many, .rcpts_n = COUNT_OF(many)};
	struct talk t = {.conf = &fast, .mails = &m, .mails_n = 1, .content = ""};
	size_t told = 0, most = 0, asked = 0;
	struct session s;
	struct smtp_client_event ev = {0};

	for (size_t i = 0; i < COUNT_OF(many); i++)
		many[i].path = STR("someone-with-a-long-name@somewhere.example");
	session_init(&s, &t);
	buf_fini(&s.out);
	buf_init(&s.out, SMTP_OUT_HIGH + SMTP_CLIENT_COMMAND_MAX);
	buf_put(&s.in, STR("220 hi\r\n"));
	while (ev.kind != SMTP_CL_DATA && asked < 5000) {
		struct cur c = cur_of(buf_str(&s.in));
		ev = smtp_client_next(&s.c, &c, &s.out);
		buf_consume(&s.in, s.in.n - cur_left(&c));
		if (ev.kind == SMTP_CL_READY)
			smtp_client_mail(&s.c, &m);
		if (ev.kind == SMTP_CL_RCPT)
			EXPECT(ev.index == told++);
		most = size_max(most, s.out.n);
		/* Read slowly: one command for each call. */
		size_t n = str_find_char(buf_str(&s.out), '\n');
		if (ev.kind != SMTP_CL_MORE || n == s.out.n)
			continue;
		struct str line = str_take(buf_str(&s.out), n);
		asked++;
		buf_put(&s.in, str_has_prefix(line, STR("EHLO"))
				   ? STR("250-mx\r\n250 PIPELINING\r\n")
			       : str_has_prefix(line, STR("DATA")) ? STR("354 go\r\n")
								   : STR("250 ok\r\n"));
		buf_consume(&s.out, n + 1);
	}
	EXPECT(ev.kind == SMTP_CL_DATA && told == COUNT_OF(many));
	EXPECT(asked == COUNT_OF(many) + 3);
	EXPECT(most >= SMTP_OUT_HIGH && most < SMTP_OUT_HIGH + SMTP_CLIENT_COMMAND_MAX);
	session_fini(&s);
}

/* ------------------------------------------------------------------ against our own server */

enum stage {
	REFUSE_NOTHING,
	REFUSE_MAIL,
	REFUSE_FIRST,
	REFUSE_ALL,
	REFUSE_DATA,
	REFUSE_END,
	STAGES
};

/* Two machines and a pipe of `piece` bytes at a time each way. */
struct pair {
	struct smtp_client c;
	struct smtp_client_conf conf;
	struct smtp_server s;
	struct smtp_server_conf server_conf;
	struct buf c_in, c_out, s_in, s_out, log, data;
	enum stage stage; /* of the first message; the others are taken */
	size_t piece, messages, rcpts, at;
	bool is_over;
};

static const struct smtp_client_mail pair_mail = {.reverse_path = STR_INIT("s@y.example"),
    .size_bytes = 9,
    .is_8bit = true,
    .rcpts = rcpts,
    .rcpts_n = 2};
static const char pair_content[] = ".a\r\n..\r\n\r\n.";

static unsigned
pair_code(struct pair *p, enum smtp_event_kind kind)
{
	bool is_first = p->messages == 0;
	bool is_bad = (kind == SMTP_EV_MAIL && p->stage == REFUSE_MAIL) ||
		      (kind == SMTP_EV_RCPT && p->stage == REFUSE_FIRST && p->rcpts == 0) ||
		      (kind == SMTP_EV_RCPT && p->stage == REFUSE_ALL) ||
		      (kind == SMTP_EV_DATA && p->stage == REFUSE_DATA) ||
		      (kind == SMTP_EV_END && p->stage == REFUSE_END);

	if (is_first && is_bad)
		return 550;
	return kind == SMTP_EV_DATA ? 354 : 250;
}

static void
pair_server_event(struct pair *p, const struct smtp_event *ev)
{
	unsigned code = pair_code(p, ev->kind);

	if (ev->kind == SMTP_EV_CHUNK)
		buf_put(&p->data, ev->bytes);
	if (ev->kind == SMTP_EV_MAIL)
		p->rcpts = 0;
	if (ev->kind == SMTP_EV_END) {
		EXPECT_STR(buf_str(&p->data), STR(".a\r\n..\r\n\r\n.\r\n"));
		buf_reset(&p->data);
	}
	while (smtp_server_is_waiting(&p->s))
		smtp_server_reply(&p->s, &p->s_out, code, STR("text"));
	p->rcpts += ev->kind == SMTP_EV_RCPT;
}

static void
pair_server_run(struct pair *p)
{
	struct smtp_event ev;

	do {
		struct cur c = cur_of(buf_str(&p->s_in));
		ev = smtp_server_next(&p->s, &c, &p->s_out);
		pair_server_event(p, &ev);
		buf_consume(&p->s_in, p->s_in.n - cur_left(&c));
	} while (ev.kind != SMTP_EV_MORE && ev.kind != SMTP_EV_CLOSE);
}

static void
pair_content_send(struct pair *p)
{
	const size_t n = sizeof(pair_content) - 1;
	enum status st = ST_OK;

	for (; st == ST_OK && p->at < n; p->at += st == ST_OK)
		st = smtp_client_body(&p->c, str_of(pair_content + p->at, 1), &p->c_out);
	if (st == ST_OK)
		st = smtp_client_body_end(&p->c, &p->c_out);
	/* ST_MORE: BDAT without PIPELINING. */
	EXPECT(st == ST_OK || (st == ST_MORE && p->conf.is_chunking_allowed));
}

static void
pair_next_mail(struct pair *p)
{
	p->at = 0;
	if (p->messages == 3)
		smtp_client_quit(&p->c, &p->c_out);
	else
		smtp_client_mail(&p->c, &pair_mail);
}

/* One letter for each event: what the model below says. */
static void
pair_client_event(struct pair *p, const struct smtp_client_event *ev)
{
	static const char letters[] = "-HTACAUMRBSD.";
	bool is_no = ev->reply.code >= 400;

	if (ev->kind == SMTP_CL_MORE)
		return;
	if (ev->kind != SMTP_CL_DATA || p->at == 0)
		buf_put_c(&p->log, letters[ev->kind]);
	if (ev->kind == SMTP_CL_RCPT || ev->kind == SMTP_CL_SENT)
		buf_putf(&p->log, "%u%c", ev->index, is_no ? '-' : '+');
	if (ev->kind == SMTP_CL_DATA)
		pair_content_send(p);
	p->messages += ev->kind == SMTP_CL_DONE;
	if (ev->kind == SMTP_CL_READY || ev->kind == SMTP_CL_DONE)
		pair_next_mail(p);
	p->is_over = ev->kind == SMTP_CL_CLOSING;
}

static void
pair_client_run(struct pair *p)
{
	struct smtp_client_event ev;

	do {
		struct cur c = cur_of(buf_str(&p->c_in));
		ev = smtp_client_next(&p->c, &c, &p->c_out);
		buf_consume(&p->c_in, p->c_in.n - cur_left(&c));
		pair_client_event(p, &ev);
	} while (ev.kind != SMTP_CL_MORE && !p->is_over);
}

static void
pipe_move(struct buf *from, struct buf *to, size_t n)
{
	n = size_min(n, from->n);
	buf_put(to, str_take(buf_str(from), n));
	buf_consume(from, n);
}

/*
 * What must be told, from the RFCs alone. By BDAT there is no DATA to refuse, the first chunk is;
 * in LMTP that ends the session when BDAT LAST is on its way already.
 */
static void
pair_want(const struct pair *p, struct buf *out)
{
	bool is_lmtp = p->conf.is_lmtp;
	bool is_chunked = p->conf.is_chunking_allowed && smtp_client_has(&p->c, SMTP_EXT_CHUNKING);
	const char *good = is_lmtp ? "R0+R1+BS0+S1+D" : "R0+R1+BS0+D";
	const char *first[STAGES] = {good, "MD", is_lmtp ? "R0-R1+BS1+D" : "R0-R1+BS0+D", "R0-R1-D",
	    is_lmtp ? "R0+R1+S0-S1-D" : "R0+R1+S0-D", is_lmtp ? "R0+R1+BS0-S1-D" : "R0+R1+BS0-D"};

	if (is_chunked)
		first[REFUSE_DATA] = first[REFUSE_END];
	if (is_chunked && is_lmtp && p->conf.is_pipelining_allowed && p->stage == REFUSE_DATA)
		buf_put(out, STR("HR0+R1+BS0-S1-."));
	else
		buf_putf(out, "H%s%s%s.", first[p->stage], good, good);
}

static void
pair_run(struct pair *p)
{
	struct buf want, *all[] = {&p->c_in, &p->c_out, &p->s_in, &p->s_out, &p->log, &p->data};

	for (size_t i = 0; i < COUNT_OF(all); i++)
		buf_init(all[i], 1 << 16);
	buf_init(&want, 1000);
	smtp_client_init(&p->c, &p->conf, false);
	smtp_server_init(&p->s, &p->server_conf, false);
	smtp_server_greet(&p->s, &p->s_out);
	for (int i = 0; i < 10000 && !p->is_over; i++) {
		pair_server_run(p);
		pipe_move(&p->s_out, &p->c_in, p->piece);
		pair_client_run(p);
		pipe_move(&p->c_out, &p->s_in, p->piece);
	}
	pair_want(p, &want);
	EXPECT_STR(buf_str(&p->log), buf_str(&want));
	buf_fini(&want);
	for (size_t i = 0; i < COUNT_OF(all); i++)
		buf_fini(all[i]);
}

static void
pairs(void)
{
	static const size_t pieces[] = {1, 2, 3, 16, 100, 65536};

	for (size_t i = 0; i < STAGES * 8 * COUNT_OF(pieces); i++) {
		bool is_lmtp = i / STAGES & 1;
		struct pair p = {.stage = i % STAGES, .piece = pieces[i / STAGES / 8]};
		p.conf = (struct smtp_client_conf){.helo = STR("me.example"),
		    .is_lmtp = is_lmtp,
		    .is_pipelining_allowed = i / STAGES & 2,
		    .is_chunking_allowed = i / STAGES & 4};
		p.server_conf = (struct smtp_server_conf){.hostname = STR("mx.example"),
		    .mode = is_lmtp ? SMTP_LMTP : SMTP_MTA,
		    .message_bytes_max = 1000,
		    .rcpts_max = 10,
		    .messages_max = 10,
		    .errors_max = 10};
		pair_run(&p);
	}
}

static void
phases(void)
{
	const struct talk t = {.conf = &plain, .mails = &one, .mails_n = 1, .content = ""};
	static const enum smtp_client_phase want[] = {SMTP_PHASE_GREETING, SMTP_PHASE_HELLO,
	    SMTP_PHASE_MAIL, SMTP_PHASE_RCPT, SMTP_PHASE_DATA, SMTP_PHASE_END, SMTP_PHASE_QUIT,
	    SMTP_PHASE_CLOSED};
	static const char *const lines[] = {"220 hi\r\n", "250 mx\r\n", "250 ok\r\n", "250 ok\r\n",
	    "354 go\r\n", "250 ok\r\n", "221 bye\r\n", ""};
	struct session s;

	session_init(&s, &t);
	for (size_t i = 0; i < COUNT_OF(want); i++) {
		EXPECT(smtp_client_phase(&s.c) == want[i]);
		buf_put(&s.in, str_of_c(lines[i]));
		session_run(&s);
	}
	EXPECT(sizeof(s.c) < 4096);
	session_fini(&s);
}

int
main(void)
{
	UNIT(reply_texts);
	UNIT(reply_limits);
	UNIT(hellos);
	UNIT(extensions);
	UNIT(mechs_limit);
	UNIT(starttls);
	UNIT(authenticates);
	UNIT(auth_limits);
	UNIT(sends_one_by_one);
	UNIT(pipelines);
	UNIT(ends_an_empty_message);
	UNIT(resets);
	UNIT(lmtp_tells_each_recipient);
	UNIT(sends_chunks);
	UNIT(a_refused_chunk_ends_the_message);
	UNIT(content_is_interrupted);
	UNIT(refuses_smuggled_content);
	UNIT(body_limits);
	UNIT(replies_out_of_order);
	UNIT(wrong_classes_in_a_message);
	UNIT(parameters);
	UNIT(unsendable);
	UNIT(bad_recipients_stay_here);
	UNIT(limits_are_kept);
	UNIT(chunks_due_limit);
	UNIT(dsn_limits);
	UNIT(many_recipients);
	UNIT(pairs);
	UNIT(phases);
	return unit_end();
}
