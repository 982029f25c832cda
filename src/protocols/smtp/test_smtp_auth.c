#include "base/num.h"
#include "protocols/smtp/test_smtp_talk.h"

static const struct smtp_server_conf submission = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_SUBMISSION,
    .is_auth_required = true,
    .is_auth_offered = true,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = UINT32_MAX,
    .errors_max = 9};
static const struct smtp_server_conf tls_only = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_SUBMISSION,
    .is_starttls_offered = true,
    .is_auth_required = true,
    .is_auth_offered = true,
    .is_auth_over_tls_only = true,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = UINT32_MAX,
    .errors_max = 9};
static const struct smtp_server_conf impatient = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_MTA,
    .is_auth_offered = true,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = UINT32_MAX,
    .errors_max = 1};
static const struct smtp_server_conf proxied = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_SUBMISSION,
    .is_auth_required = true,
    .is_auth_offered = true,
    .is_xclient_offered = true,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = 1,
    .errors_max = 30};
static const struct smtp_server_conf plain_mta = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_MTA,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = 1,
    .errors_max = 30};

#define HELLO                                                                              \
	"C: EHLO a.example", "S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 1000", \
	    "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250-AUTH PLAIN LOGIN EXTERNAL",      \
	    "S: 250-LIMITS RCPTMAX=3", "S: 250 ENHANCEDSTATUSCODES"
#define XCLIENT_HELLO                                                                      \
	"C: EHLO a.example", "S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 1000", \
	    "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250-AUTH PLAIN LOGIN EXTERNAL",      \
	    "S: 250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",            \
	    "S: 250-LIMITS RCPTMAX=3 MAILMAX=1", "S: 250 ENHANCEDSTATUSCODES"
#define WELCOME "S: 235 2.7.0 welcome"
#define MAIL_OK "C: MAIL FROM:<a@b>", "E: MAIL a@b", "S: 250 2.1.0 ok"
#define GREETING "S: 220 mx.example ESMTP Posthorn"

static const struct talk talks[] = {
    /* RFC 4954 4.1, the forms of its examples */
    {&submission, false,
	LINES(HELLO, "C: MAIL FROM:<a@b>", "S: 530 5.7.0 authentication required",
	    "C: AUTH PLAIN ok", "E: AUTH PLAIN initial [ok]", WELCOME, MAIL_OK)},
    {&submission, false,
	LINES(HELLO, "C: auth plain", "E: AUTH plain []", "S: 334 d2hvPw==", "C: ok",
	    "E: AUTH_LINE [ok]", WELCOME, MAIL_OK)},
    {&submission, false,
	LINES(HELLO, "C: AUTH EXTERNAL =", "E: AUTH EXTERNAL initial []", "S: 334 d2hvPw==")},
    {&submission, false,
	LINES(HELLO, "C: AUTH LOGIN", "E: AUTH LOGIN []", "S: 334 d2hvPw==", "C: none",
	    "E: AUTH_LINE [none]", "S: 334 ", "C: ", "E: AUTH_LINE []", "S: 334 d2hvPw==", "C: ok",
	    "E: AUTH_LINE [ok]", WELCOME)},
    /* one success in a session, none during a transaction */
    {&submission, false,
	LINES("C: AUTH PLAIN ok", "S: 503 5.5.1 EHLO first", "C: HELO x", "S: 250 mx.example",
	    "C: AUTH PLAIN ok", "S: 503 5.5.1 EHLO first", HELLO, "C: AUTH PLAIN ok",
	    "E: AUTH PLAIN initial [ok]", WELCOME, "C: AUTH PLAIN ok",
	    "S: 503 5.5.1 already authenticated", MAIL_OK, "C: RSET", "S: 250 2.0.0 reset",
	    "E: ABORT", HELLO, MAIL_OK)},
    {&impatient, false,
	LINES(HELLO, MAIL_OK, "C: AUTH PLAIN ok", "S: 503 5.5.1 not during a transaction",
	    "C: RSET", "S: 250 2.0.0 reset", "E: ABORT", "C: AUTH PLAIN ok",
	    "E: AUTH PLAIN initial [ok]", WELCOME)},
    /* what may be wrong with it */
    {&submission, false,
	LINES(HELLO, "C: AUTH", "S: 501 5.5.4 expected a mechanism and at most one response",
	    "C: AUTH PLAIN ok ok", "S: 501 5.5.4 expected a mechanism and at most one response",
	    "C: AUTH CRAM-MD5", "S: 504 5.5.4 mechanism not offered", "C: AUTH PLAI ok",
	    "S: 504 5.5.4 mechanism not offered", "C: AUTH PLAIN bad",
	    "E: AUTH PLAIN initial [bad]", "S: 535 5.7.8 wrong", "C: MAIL FROM:<a@b>",
	    "S: 530 5.7.0 authentication required", "C: AUTH PLAIN later",
	    "E: AUTH PLAIN initial [later]", "S: 454 4.7.0 try later", "C: AUTH PLAIN ok",
	    "E: AUTH PLAIN initial [ok]", WELCOME)},
    /* cancelled; nothing else is a command in an exchange */
    {&submission, false,
	LINES(HELLO, "C: AUTH LOGIN", "E: AUTH LOGIN []", "S: 334 d2hvPw==", "C: *",
	    "S: 501 5.7.0 authentication cancelled", "E: AUTH_CANCEL", "C: AUTH LOGIN",
	    "E: AUTH LOGIN []", "S: 334 d2hvPw==", "C: QUIT", "E: AUTH_LINE [QUIT]",
	    "S: 334 d2hvPw==", "C: MAIL FROM:<a@b>", "E: AUTH_LINE [MAIL FROM:<a@b>]",
	    "S: 334 d2hvPw==", "C: ok", "E: AUTH_LINE [ok]", WELCOME)},
    /* an initial response that is enough may have commands behind it */
    {&submission, false,
	LINES(HELLO, "C: AUTH PLAIN ok", "C: MAIL FROM:<a@b>", "C: NOOP",
	    "E: AUTH PLAIN initial [ok]", WELCOME, "E: MAIL a@b", "S: 250 2.1.0 ok",
	    "S: 250 2.0.0 ok")},
    {&submission, false,
	LINES(HELLO, "C: AUTH PLAIN bad", "C: MAIL FROM:<a@b>", "E: AUTH PLAIN initial [bad]",
	    "S: 535 5.7.8 wrong", "S: 530 5.7.0 authentication required")},
    /* failures count */
    {&impatient, false,
	LINES(HELLO, "C: AUTH PLAIN bad", "E: AUTH PLAIN initial [bad]", "S: 535 5.7.8 wrong",
	    "C: AUTH PLAIN later", "E: AUTH PLAIN initial [later]", "S: 454 4.7.0 try later",
	    "C: AUTH PLAIN bad", "E: AUTH PLAIN initial [bad]", "S: 421 4.7.0 too many errors",
	    "E: CLOSE")},
    {&impatient, false,
	LINES(HELLO, "C: FOO", "S: 500 5.5.1 command not recognised", "C: AUTH LOGIN",
	    "E: AUTH LOGIN []", "S: 334 d2hvPw==", "C: *", "S: 421 4.7.0 too many errors",
	    "E: AUTH_CANCEL", "E: CLOSE")},
    {&impatient, false,
	LINES(HELLO, "C: AUTH LOGIN", "E: AUTH LOGIN []", "S: 334 d2hvPw==", "C: leave",
	    "E: AUTH_LINE [leave]", "S: 421 4.7.0 go away", "E: CLOSE")},
    /* a bare LF ends what it stands in */
    {&impatient, false,
	LINES(HELLO, "C: AUTH LOGIN", "E: AUTH LOGIN []",
	    "S: 334 d2hvPw==", "R: ok\nMAIL FROM:<a@b>\r\n",
	    "S: 500 5.5.2 bare CR or LF in response", "E: AUTH_CANCEL", "E: CLOSE")},
    /* only over TLS */
    {&tls_only, false,
	LINES("C: EHLO x", "S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 1000",
	    "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250-STARTTLS", "S: 250-LIMITS RCPTMAX=3",
	    "S: 250 ENHANCEDSTATUSCODES", "C: AUTH PLAIN ok",
	    "S: 538 5.7.11 encryption is required, use STARTTLS first")},
    {&tls_only, true,
	LINES(HELLO, "C: AUTH PLAIN ok", "E: AUTH PLAIN initial [ok]", WELCOME, MAIL_OK)},
    /* XCLIENT */
    {&proxied, false,
	LINES(XCLIENT_HELLO,
	    "C: XCLIENT NAME=spike.example ADDR=192.0.2.7 PORT=4711 HELO=a.b PROTO=ESMTP "
	    "LOGIN=u+2Bx@y",
	    GREETING,
	    "E: XCLIENT name=spike.example addr=192.0.2.7 helo=a.b login=u+x@y ports=4711,0 esmtp",
	    "C: MAIL FROM:<a@b>", "S: 503 5.5.1 say hello first", XCLIENT_HELLO, "C: AUTH PLAIN ok",
	    "S: 503 5.5.1 already authenticated", MAIL_OK, "C: XCLIENT NAME=x",
	    "S: 503 5.5.1 not during a transaction", "C: RSET", "S: 250 2.0.0 reset", "E: ABORT",
	    "C: xclient addr=IPv6:2001:db8::1 destaddr=[unavailable] destport=25 "
	    "name=[TempUnavail] port=[UNAVAILABLE]",
	    GREETING, "E: XCLIENT name=temp addr=2001:db8::1 destaddr=never ports=0,25",
	    XCLIENT_HELLO, "C: MAIL FROM:<a@b>", "S: 530 5.7.0 authentication required")},
    /* the messages of another client do not count */
    {&proxied, false,
	LINES("C: XCLIENT LOGIN=u", GREETING, "E: XCLIENT login=u", XCLIENT_HELLO, MAIL_OK,
	    "C: RCPT TO:<u@x>", "E: RCPT u@x [u] [x]", "S: 250 2.1.5 ok", "C: DATA", "E: DATA",
	    "S: 354 go on", "C: .", "E: END ", "S: 250 2.0.0 queued", "C: XCLIENT LOGIN=v",
	    GREETING, "E: XCLIENT login=v", XCLIENT_HELLO, MAIL_OK)},
    {&proxied, false,
	LINES("C: XCLIENT", "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT NAME",
	    "S: 501 5.5.4 syntax error in attributes",
	    "C: XCLIENT NAME=", "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT FOO=1",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT NAME=a  ADDR=1.2.3.4",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT NAME=a NAME=b",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT NAME=a+2",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT NAME=a+0Db",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT NAME=a+20b",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT ADDR=mx.example",
	    "S: 501 5.5.4 syntax error in attributes",
	    "C: XCLIENT ADDR=IPV6:", "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT PORT=0",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT PORT=65536",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT PROTO=LMTP",
	    "S: 501 5.5.4 syntax error in attributes", "C: XCLIENT NAME=a PORT=65535", GREETING,
	    "E: XCLIENT name=a ports=65535,0")},
    {&plain_mta, false,
	LINES("C: XCLIENT NAME=a", "S: 550 5.7.0 XCLIENT is not allowed here", "C: AUTH PLAIN ok",
	    "S: 502 5.5.1 command not offered", "C: AUTH PLAIN", "C: NOOP",
	    "S: 502 5.5.1 command not offered", "S: 250 2.0.0 ok")},
};

static void
talks_go_the_same_however_they_are_cut(void)
{
	for (size_t i = 0; i < COUNT_OF(talks); i++)
		talk_run_all(&talks[i]);
}

/* What was sent before a challenge is no answer to it. */
static void
early_bytes_end_the_session(void)
{
	static const struct {
		const char *in;
		struct str want;
	} t[] = {
	    {"AUTH LOGIN\r\nok\r\n",
		STR_INIT("S: 554 5.5.0 protocol synchronisation error\nE: CLOSE\n")},
	    {"AUTH CRAM-MD5\r\nMAIL FROM:<a@b>\r\n",
		STR_INIT("S: 554 5.5.0 protocol synchronisation error\nE: CLOSE\n")},
	    {"AUTH LOGIN more\r\nok\r\n",
		STR_INIT("E: AUTH LOGIN initial [more]\nS: 554 5.5.0 protocol synchronisation "
			 "error\nE: AUTH_CANCEL\nE: CLOSE\n")},
	    {"AUTH LOGIN =\r\nok\r\n",
		STR_INIT("E: AUTH LOGIN initial []\nS: 554 5.5.0 protocol synchronisation "
			 "error\nE: AUTH_CANCEL\nE: CLOSE\n")},
	};
	struct session s;

	for (size_t i = 0; i < COUNT_OF(t); i++) {
		session_init(&s, &submission, false);
		session_feed(&s, STR("EHLO a\r\n"));
		buf_reset(&s.transcript);
		session_feed(&s, str_of_c(t[i].in));
		EXPECT_STR(buf_str(&s.transcript), t[i].want);
		session_fini(&s);
	}
	static const char *const behind[] = {
	    "ok\r\nMAIL FROM:<a@b>\r\n", "*\r\nNOOP\r\n", "more\r\nok\r\n"};
	for (size_t i = 0; i < COUNT_OF(behind); i++) {
		session_init(&s, &submission, false);
		session_feed(&s, STR("EHLO a\r\n"));
		session_feed(&s, STR("AUTH LOGIN\r\n"));
		buf_reset(&s.transcript);
		session_feed(&s, str_of_c(behind[i]));
		EXPECT_STR(buf_str(&s.transcript),
		    STR("S: 554 5.5.0 protocol synchronisation error\nE: AUTH_CANCEL\nE: CLOSE\n"));
		session_fini(&s);
	}
}

/* The same when they come while the owner thinks. */
static void
bytes_before_a_late_challenge_end_the_session(void)
{
	struct session s;

	session_init(&s, &submission, false);
	struct cur c = cur_of(STR("EHLO a\r\n"));
	(void)smtp_server_next(&s.s, &c, &s.out);
	c = cur_of(STR("AUTH LOGIN\r\n"));
	EXPECT(smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_AUTH);
	buf_reset(&s.out);
	c = cur_of(STR("ok\r\n"));
	EXPECT(smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_MORE && cur_left(&c) == 4);
	smtp_server_challenge(&s.s, &s.out, STR("who?"));
	EXPECT_STR(buf_str(&s.out), STR("554 5.5.0 protocol synchronisation error\r\n"));
	EXPECT(smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_AUTH_CANCEL);
	EXPECT(smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_CLOSE);
	EXPECT(cur_at_end(&c) && !smtp_server_is_authenticated(&s.s));
	session_fini(&s);
}

/* n bytes with the CRLF */
static void
line_of(struct buf *b, size_t n, const char *start)
{
	buf_reset(b);
	buf_put(b, str_of_c(start));
	while (b->n < n - 2)
		buf_put_c(b, 'x');
	buf_put(b, STR("\r\n"));
}

static void
line_feed(struct session *s, struct str line, size_t step)
{
	buf_reset(&s->transcript);
	session_feed_cut(s, line, step);
}

static void
lines_are_limited(void)
{
	static const size_t steps[] = {SIZE_MAX, 1, 1000};
	struct session s;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		session_init(&s, &submission, false);
		session_feed(&s, STR("EHLO a\r\n"));
		line_of(&b, SMTP_AUTH_LINE_MAX, "AUTH PLAIN ");
		line_feed(&s, buf_str(&b), steps[i]);
		EXPECT(
		    str_has_prefix_ci(buf_str(&s.transcript), STR("E: AUTH PLAIN initial [xxx")));
		line_of(&b, SMTP_AUTH_LINE_MAX, "");
		line_feed(&s, buf_str(&b), steps[i]);
		EXPECT(str_has_prefix_ci(buf_str(&s.transcript), STR("E: AUTH_LINE [xxx")));
		line_of(&b, SMTP_AUTH_LINE_MAX + 1, "");
		line_feed(&s, buf_str(&b), steps[i]);
		EXPECT_STR(buf_str(&s.transcript),
		    STR("S: 500 5.5.6 authentication exchange line is too long\nE: AUTH_CANCEL\n"));
		line_of(&b, SMTP_AUTH_LINE_MAX + 1, "AUTH PLAIN ");
		line_feed(&s, buf_str(&b), steps[i]);
		EXPECT_STR(buf_str(&s.transcript), STR("S: 500 5.5.2 line too long\n"));
		/* Other commands stay short. */
		line_of(&b, SMTP_LINE_MAX + 1, "NOOP ");
		line_feed(&s, buf_str(&b), steps[i]);
		EXPECT_STR(buf_str(&s.transcript), STR("S: 500 5.5.2 line too long\n"));
		line_feed(&s, STR("AUTH PLAIN ok\r\n"), steps[i]);
		EXPECT_STR(buf_str(&s.transcript),
		    STR("E: AUTH PLAIN initial [ok]\nS: 235 2.7.0 welcome\n"));
		session_fini(&s);
	}
	/* A response without end. */
	session_init(&s, &submission, false);
	session_feed(&s, STR("EHLO a\r\n"));
	session_feed(&s, STR("AUTH LOGIN\r\n"));
	line_of(&b, SMTP_LINE_SKIP_MAX + SMTP_AUTH_LINE_MAX, "");
	line_feed(&s, buf_str(&b), SIZE_MAX);
	EXPECT_STR(
	    buf_str(&s.transcript), STR("S: 421 4.7.0 line too long\nE: AUTH_CANCEL\nE: CLOSE\n"));
	session_fini(&s);
	buf_fini(&b);
}

static void
challenges_fit(void)
{
	char bytes[SMTP_CHALLENGE_MAX] = {0};
	struct session s;
	struct buf out;

	session_init(&s, &submission, false);
	buf_init(&out, SMTP_OUT_CALL_MAX);
	session_feed(&s, STR("EHLO a\r\n"));
	struct cur c = cur_of(STR("AUTH LOGIN\r\n"));
	EXPECT(smtp_server_next(&s.s, &c, &out).kind == SMTP_EV_AUTH);
	smtp_server_challenge(&s.s, &out, str_of(bytes, sizeof(bytes)));
	EXPECT(!out.full && out.n == 4 + (SMTP_CHALLENGE_MAX + 2) / 3 * 4 + 2);
	buf_fini(&out);
	session_fini(&s);
}

static void
mechanisms_may_be_missing(void)
{
	static const char *const given[] = {"", "SCRAM-SHA-256-PLUS SCRAM-SHA-256"};
	static const char *const want[] = {
	    "S: 502 5.5.1 command not offered\n", "S: 504 5.5.4 mechanism not offered\n"};
	struct session s;

	for (size_t i = 0; i < COUNT_OF(given); i++) {
		session_init(&s, &submission, false);
		smtp_server_set_auth_mechs(&s.s, str_of_c(given[i]));
		session_feed(&s, STR("EHLO a\r\n"));
		struct str log = buf_str(&s.transcript);
		EXPECT((str_find(log, STR("AUTH")) < log.n) == (i == 1));
		buf_reset(&s.transcript);
		session_feed(&s, STR("AUTH PLAIN ok\r\n"));
		EXPECT_STR(buf_str(&s.transcript), str_of_c(want[i]));
		session_fini(&s);
	}
}

/* RFC 3848; RFC 6531 4.3 */
static void
protocols_are_named(void)
{
	static const char *const want[2][2][2][2] = {
	    {{{"ESMTP", "ESMTPA"}, {"ESMTPS", "ESMTPSA"}},
		{{"UTF8SMTP", "UTF8SMTPA"}, {"UTF8SMTPS", "UTF8SMTPSA"}}},
	    {{{"LMTP", "LMTPA"}, {"LMTPS", "LMTPSA"}},
		{{"UTF8LMTP", "UTF8LMTPA"}, {"UTF8LMTPS", "UTF8LMTPSA"}}}};
	struct smtp_server_conf conf = impatient;
	struct session s;

	for (unsigned i = 0; i < 16; i++) {
		unsigned is_lmtp = i & 1, is_utf8 = i >> 1 & 1, is_tls = i >> 2 & 1,
			 is_auth = i >> 3;
		conf.mode = is_lmtp ? SMTP_LMTP : SMTP_MTA;
		session_init(&s, &conf, is_tls);
		session_feed(&s, is_lmtp ? STR("LHLO a\r\n") : STR("EHLO a\r\n"));
		if (is_auth)
			session_feed(&s, STR("AUTH PLAIN ok\r\n"));
		session_feed(
		    &s, is_utf8 ? STR("MAIL FROM:<a@b> SMTPUTF8\r\n") : STR("MAIL FROM:<a@b>\r\n"));
		EXPECT_STR(
		    smtp_server_with(&s.s), str_of_c(want[is_lmtp][is_utf8][is_tls][is_auth]));
		EXPECT(smtp_server_is_authenticated(&s.s) == is_auth);
		session_fini(&s);
	}
}

/* XCLIENT HELO is kept; who may not use it cannot. */
static void
xclient_is_for_the_allowed(void)
{
	struct session s;

	session_init(&s, &proxied, false);
	session_feed(&s, STR("EHLO old\r\n"));
	session_feed(&s, STR("XCLIENT HELO=new.example\r\n"));
	EXPECT_STR(smtp_server_helo(&s.s), STR("new.example"));
	session_feed(&s, STR("XCLIENT NAME=x\r\n"));
	EXPECT_STR(smtp_server_helo(&s.s), STR(""));
	smtp_server_set_xclient(&s.s, false);
	buf_reset(&s.transcript);
	session_feed(&s, STR("XCLIENT NAME=x\r\nEHLO a\r\n"));
	struct str log = buf_str(&s.transcript);
	EXPECT(str_has_prefix_ci(log, STR("S: 550 5.7.0 ")) &&
	       str_find(log, STR("XCLIENT NAME")) == log.n);
	session_fini(&s);
}

static void
attribute_of(struct buf *b, const char *name, size_t n)
{
	buf_reset(b);
	buf_put(b, str_of_c(name));
	for (size_t i = 0; i < n; i++)
		buf_put(b, i % 2 ? STR("+31") : STR("1"));
}

static void
xclient_attributes_are_limited(void)
{
	static const struct {
		const char *name;
		size_t max;
	} t[] = {{"NAME=", SMTP_XCLIENT_NAME_MAX}, {"HELO=", SMTP_XCLIENT_NAME_MAX},
	    {"LOGIN=", SMTP_XCLIENT_LOGIN_MAX}, {"ADDR=", SMTP_XCLIENT_ADDR_MAX},
	    {"DESTADDR=", SMTP_XCLIENT_ADDR_MAX}};
	struct smtp_xclient x;
	struct buf b, all;

	buf_init(&b, 65536);
	buf_init(&all, 65536);
	for (size_t i = 0; i < COUNT_OF(t); i++) {
		attribute_of(&b, t[i].name, t[i].max + 1);
		EXPECT(smtp_xclient_take(buf_str(&b), &x) == ST_LIMIT);
		attribute_of(&b, t[i].name, t[i].max);
		EXPECT(smtp_xclient_take(buf_str(&b), &x) == ST_OK && x.room_n == t[i].max);
		if (i > 0)
			buf_put_c(&all, ' ');
		buf_put(&all, buf_str(&b));
	}
	/* All of them as long as they may be. */
	EXPECT(smtp_xclient_take(buf_str(&all), &x) == ST_OK && x.room_n == SMTP_XCLIENT_ROOM);
	EXPECT(
	    x.login.text.n == SMTP_XCLIENT_LOGIN_MAX && x.destaddr.text.n == SMTP_XCLIENT_ADDR_MAX);
	buf_fini(&b);
	buf_fini(&all);
}

int
main(void)
{
	srand(1);
	UNIT(talks_go_the_same_however_they_are_cut);
	UNIT(early_bytes_end_the_session);
	UNIT(bytes_before_a_late_challenge_end_the_session);
	UNIT(lines_are_limited);
	UNIT(challenges_fit);
	UNIT(mechanisms_may_be_missing);
	UNIT(protocols_are_named);
	UNIT(xclient_is_for_the_allowed);
	UNIT(xclient_attributes_are_limited);
	return unit_end();
}
