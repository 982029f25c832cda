#include <stdlib.h>
#include <time.h>

#include "base/num.h"
#include "protocols/smtp/test_smtp_talk.h"

static const struct smtp_server_conf mta = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_MTA,
    .is_starttls_offered = true,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = 2,
    .errors_max = 4};
static const struct smtp_server_conf lmtp = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_LMTP,
    .message_bytes_max = 100,
    .rcpts_max = 3,
    .messages_max = 9,
    .errors_max = 4};
static const struct smtp_server_conf submission = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_SUBMISSION,
    .is_starttls_offered = true,
    .is_auth_required = true,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = 2,
    .errors_max = 40};

#define EHLO_REPLY                                                                       \
	"S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 1000", "S: 250-8BITMIME", \
	    "S: 250-SMTPUTF8", "S: 250-STARTTLS", "S: 250-LIMITS RCPTMAX=3 MAILMAX=2",   \
	    "S: 250 ENHANCEDSTATUSCODES"
#define HELLO "C: EHLO a.example", EHLO_REPLY
#define MAIL_OK "C: MAIL FROM:<a@b>", "E: MAIL a@b", "S: 250 2.1.0 ok"
#define RCPT_OK \
	"C: RCPT TO:<u@mx.example>", "E: RCPT u@mx.example [u] [mx.example]", "S: 250 2.1.5 ok"
#define DATA_OK "C: DATA", "E: DATA", "S: 354 go on"

static const struct talk talks[] = {
    /* RFC 5321 appendix D.1, in the words of the test */
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<Smith@bar.com>", "E: MAIL Smith@bar.com", "S: 250 2.1.0 ok",
	    "C: RCPT TO:<Jones@foo.com>", "E: RCPT Jones@foo.com [Jones] [foo.com]",
	    "S: 250 2.1.5 ok", "C: RCPT TO:<nobody@foo.com>",
	    "E: RCPT nobody@foo.com [nobody] [foo.com]", "S: 550 5.1.1 unknown",
	    "C: RCPT TO:<Brown@foo.com>", "E: RCPT Brown@foo.com [Brown] [foo.com]",
	    "S: 250 2.1.5 ok", DATA_OK, "C: Blah blah", "C: ..etc.", "C: ..", "C: ", "C: .",
	    "E: END Blah blah|.etc.|.||", "S: 250 2.0.0 queued", "C: QUIT", "S: 221 2.0.0 bye",
	    "E: CLOSE")},
    /* RFC 2920 4: a group, the end of the message and QUIT together */
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<a@b>", "C: RCPT TO:<u@x>", "C: RCPT TO:<nobody@x>", "C: DATA",
	    "E: MAIL a@b", "S: 250 2.1.0 ok", "E: RCPT u@x [u] [x]", "S: 250 2.1.5 ok",
	    "E: RCPT nobody@x [nobody] [x]", "S: 550 5.1.1 unknown", "E: DATA", "S: 354 go on",
	    "C: hi", "C: .", "C: QUIT", "E: END hi|", "S: 250 2.0.0 queued", "S: 221 2.0.0 bye",
	    "E: CLOSE")},
    /* the next transaction in the group of the last one's text; messages_max */
    {&mta, false,
	LINES(HELLO, MAIL_OK, RCPT_OK, DATA_OK, "C: one", "C: .", "C: RSET", "C: MAIL FROM:<c@d>",
	    "C: RCPT TO:<v@x>", "C: DATA", "E: END one|", "S: 250 2.0.0 queued",
	    "S: 250 2.0.0 reset", "E: MAIL c@d", "S: 250 2.1.0 ok", "E: RCPT v@x [v] [x]",
	    "S: 250 2.1.5 ok", "E: DATA", "S: 354 go on", "C: .", "E: END ", "S: 250 2.0.0 queued",
	    "C: MAIL FROM:<e@f>", "S: 421 4.7.0 too many messages in this session", "E: CLOSE")},
    /* RFC 2920 4, second example: all recipients refused */
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<a@b>", "C: RCPT TO:<nobody@x>", "C: DATA", "E: MAIL a@b",
	    "S: 250 2.1.0 ok", "E: RCPT nobody@x [nobody] [x]", "S: 550 5.1.1 unknown",
	    "S: 554 5.5.1 no valid recipients", "C: RSET", "S: 250 2.0.0 reset", "E: ABORT",
	    "C: QUIT", "S: 221 2.0.0 bye", "E: CLOSE")},
    /* parameters */
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<> SIZE=1000 BODY=8BITMIME SMTPUTF8",
	    "E: MAIL  size=1000 8bit utf8", "S: 250 2.1.0 ok", "C: RSET", "S: 250 2.0.0 reset",
	    "E: ABORT", "C: mail from: <a@b> body=7bit", "E: MAIL a@b", "S: 250 2.1.0 ok",
	    "C: rcpt to: <u@x>", "E: RCPT u@x [u] [x]", "S: 250 2.1.5 ok",
	    "C: RCPT TO:<PostMaster>", "E: RCPT PostMaster [PostMaster] []", "S: 250 2.1.5 ok",
	    "C: RCPT TO:<@r.example,@s:\"a b\"@[1.2.3.4]>",
	    "E: RCPT \"a b\"@[1.2.3.4] [\"a b\"] [[1.2.3.4]]", "S: 250 2.1.5 ok",
	    "C: RCPT TO:<one@more>", "S: 452 4.5.3 too many recipients", DATA_OK, "C: x", "C: .",
	    "E: END x|", "S: 250 2.0.0 queued")},
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<a@b> SIZE=1001", "S: 552 5.3.4 message size exceeds the limit",
	    "C: MAIL FROM:<a@b> SIZE=99999999999999999999",
	    "S: 552 5.3.4 message size exceeds the limit", "C: MAIL FROM:<a@b> RET=FULL",
	    "S: 555 5.5.4 parameter not recognised", "C: MAIL FROM:<a@b> SIZE=1 SIZE=1",
	    "S: 501 5.5.4 syntax error in parameters", "C: MAIL FROM:<a@b> BODY=BINARYMIME",
	    "S: 501 5.5.4 syntax error in parameters", "C: MAIL FROM:<a@b> SMTPUTF8=1",
	    "S: 501 5.5.4 syntax error in parameters",
	    "C: MAIL FROM:<a@b> SIZE=", "S: 421 4.7.0 too many errors", "E: CLOSE")},
    {&submission, false,
	LINES("C: EHLO", "S: 501 5.5.4 a domain or address literal is required", "C: EHLO a b",
	    "S: 501 5.5.4 a domain or address literal is required", "C: MAIL FROM:<a@b>",
	    "S: 530 5.7.0 authentication required", "C: VRFY u",
	    "S: 530 5.7.0 authentication required", "C: EHLO [1.2.3.4]", EHLO_REPLY,
	    "C: MAIL FROM:<a@b>", "S: 530 5.7.0 authentication required", "C: NOOP",
	    "S: 250 2.0.0 ok", "C: RSET", "S: 250 2.0.0 reset", "C: AUTH PLAIN",
	    "S: 502 5.5.1 command not offered", "C: STARTTLS", "S: 220 2.0.0 go ahead",
	    "E: STARTTLS")},
    {&submission, true,
	LINES("C: EHLO x", "S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 1000",
	    "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250-LIMITS RCPTMAX=3 MAILMAX=2",
	    "S: 250 ENHANCEDSTATUSCODES", "C: STARTTLS", "S: 503 5.5.1 not now", "C: RCPT TO:<u@x>",
	    "S: 530 5.7.0 authentication required")},
    /* RFC 6531 3.5 */
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<\xc3\xbc@b>", "S: 550 5.6.7 this address needs SMTPUTF8",
	    MAIL_OK, "C: RCPT TO:<u@\xc3\xbc.de>", "S: 553 5.6.7 this address needs SMTPUTF8",
	    "C: RSET", "S: 250 2.0.0 reset", "E: ABORT", "C: MAIL FROM:<\xc3\xbc@b> SMTPUTF8",
	    "E: MAIL \xc3\xbc@b utf8", "S: 250 2.1.0 ok", "C: RCPT TO:<u@\xc3\xbc.de>",
	    "E: RCPT u@\xc3\xbc.de [u] [\xc3\xbc.de]", "S: 250 2.1.5 ok", "C: QUIT",
	    "S: 221 2.0.0 bye", "E: ABORT", "E: CLOSE")},
    /* order of commands */
    {&submission, false, LINES("C: QUIT", "S: 221 2.0.0 bye", "E: CLOSE")},
    {&mta, false,
	LINES("C: MAIL FROM:<a@b>", "S: 503 5.5.1 say hello first", "C: VRFY u",
	    "S: 252 2.5.1 cannot verify, but will take messages for local users", "C: HELP",
	    "S: 214 2.0.0 see RFC 5321", HELLO, "C: RCPT TO:<u@x>", "S: 503 5.5.1 MAIL first",
	    MAIL_OK, "C: MAIL FROM:<a@b>", "S: 503 5.5.1 a transaction is already open",
	    "C: DATA x", "S: 501 5.5.4 no argument allowed", RCPT_OK, "C: NOOP whatever",
	    "S: 250 2.0.0 ok", HELLO, "E: ABORT", "C: DATA", "S: 421 4.7.0 too many errors",
	    "E: CLOSE")},
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<refused@b>", "E: MAIL refused@b", "S: 550 5.7.1 no",
	    "C: RCPT TO:<u@x>", "S: 503 5.5.1 MAIL first", MAIL_OK, "C: STARTTLS",
	    "S: 503 5.5.1 not now", "C: EXPN x", "S: 502 5.5.1 command not offered",
	    "C: BDAT 3 LAST", "S: 502 5.5.1 command not offered", "C: LHLO x",
	    "S: 421 4.7.0 too many errors", "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES("C: STARTTLS", "S: 503 5.5.1 not now")},
    {&mta, false, LINES(HELLO, "C: STARTTLS now", "S: 501 5.5.4 no argument allowed")},
    /* HELO: no parameters, no list */
    {&mta, false,
	LINES("C: HELO a.example", "S: 250 mx.example", "C: MAIL FROM:<a@b> SIZE=1",
	    "S: 555 5.5.4 parameter not recognised", MAIL_OK)},
    /* DATA refused leaves the transaction as it was (RFC 5321 3.3) */
    {&mta, false,
	LINES(HELLO, MAIL_OK, "C: RCPT TO:<w@x>", "E: RCPT w@x [w] [x]", "S: 250 2.1.5 ok",
	    "C: DATA", "E: DATA", "S: 452 4.3.1 wait", RCPT_OK, "C: RSET", "S: 250 2.0.0 reset",
	    "E: ABORT")},
    /* the owner ends it */
    {&mta, false,
	LINES(HELLO, MAIL_OK, "C: RCPT TO:<shutdown@x>", "C: RCPT TO:<u@x>",
	    "E: RCPT shutdown@x [shutdown] [x]", "S: 421 4.3.2 going down", "E: ABORT",
	    "E: CLOSE")},
    /* addresses */
    {&submission, false, LINES("C:  MAIL FROM:<a@b>", "S: 500 5.5.1 command not recognised")},
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:a@b", "S: 501 5.1.7 syntax error, expected FROM:<address>",
	    "C: MAIL FROM:<a@b>SIZE=1", "S: 501 5.5.4 syntax error in parameters",
	    "C: MAIL FROM:<a>", "S: 501 5.1.7 syntax error, expected FROM:<address>", MAIL_OK,
	    "C: RCPT TO:<>", "S: 501 5.1.3 syntax error, expected TO:<address>",
	    "C: RCPT TO:<u@x> NOTIFY=NEVER", "S: 421 4.7.0 too many errors", "E: ABORT",
	    "E: CLOSE")},
    {&mta, false,
	LINES(HELLO, MAIL_OK, "C: RCPT TO:<u@x> NOTIFY=NEVER",
	    "S: 555 5.5.4 parameter not recognised", "C: RCPT TO:<u@x> -",
	    "S: 501 5.5.4 syntax error in parameters", "C: RCPT TO:<u@x>   ", "E: RCPT u@x [u] [x]",
	    "S: 250 2.1.5 ok", "C: RCPT\tTO:<u@x>", "S: 500 5.5.2 control character in command",
	    "C: ", "S: 500 5.5.1 command not recognised")},
    /* bare CR and LF in commands */
    {&mta, false, LINES("R: NOOP\nRSET\r\n", "S: 500 5.5.2 bare CR or LF in command", "E: CLOSE")},
    {&mta, false, LINES("R: NOOP\rX\r\n", "S: 500 5.5.2 bare CR or LF in command", "E: CLOSE")},
    {&mta, false,
	LINES(HELLO, MAIL_OK, "R: NOOP\r\r\nNOOP\r\n", "S: 500 5.5.2 bare CR or LF in command",
	    "E: ABORT", "E: CLOSE")},
    /* LMTP */
    {&lmtp, false,
	LINES("C: EHLO x", "S: 500 5.5.1 command not recognised", "C: HELO x",
	    "S: 500 5.5.1 command not recognised", "C: LHLO x", "S: 250-mx.example",
	    "S: 250-PIPELINING", "S: 250-SIZE 100", "S: 250-8BITMIME", "S: 250-SMTPUTF8",
	    "S: 250-LIMITS RCPTMAX=3 MAILMAX=9", "S: 250 ENHANCEDSTATUSCODES", "C: STARTTLS",
	    "S: 502 5.5.1 not offered", MAIL_OK, "C: RCPT TO:<nobody@x>",
	    "E: RCPT nobody@x [nobody] [x]", "S: 550 5.1.1 unknown", "C: DATA",
	    "S: 503 5.5.1 no valid recipients", RCPT_OK, "C: RCPT TO:<full@x>",
	    "E: RCPT full@x [full] [x]", "S: 250 2.1.5 ok", DATA_OK, "C: hi", "C: .", "C: NOOP",
	    "E: END hi|", "S: 250 2.0.0 kept", "S: 452 4.2.2 full", "S: 250 2.0.0 ok", MAIL_OK,
	    RCPT_OK, DATA_OK, "C: hi", "C: .", "E: END hi|", "S: 250 2.0.0 kept")},
    {&lmtp, false,
	LINES("C: LHLO x", "S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 100",
	    "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250-LIMITS RCPTMAX=3 MAILMAX=9",
	    "S: 250 ENHANCEDSTATUSCODES", MAIL_OK, RCPT_OK, RCPT_OK, DATA_OK,
	    "C: "
	    "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
	    "67"
	    "890123456789",
	    "C: more", "C: .", "E: ABORT", "S: 552 5.3.4 message size exceeds the limit",
	    "S: 552 5.3.4 message size exceeds the limit", MAIL_OK, RCPT_OK, RCPT_OK, DATA_OK,
	    "R: a\nb\r\n.\r\n", "S: 550 5.5.2 bare CR or LF in message",
	    "S: 550 5.5.2 bare CR or LF in message", "E: ABORT", "E: CLOSE")},
};

static void
talks_go_the_same_however_they_are_cut(void)
{
	for (size_t i = 0; i < COUNT_OF(talks); i++)
		talk_run_all(&talks[i]);
}

static const char smuggled[] = "MAIL FROM:<evil@b>\r\nRCPT TO:<v@x>\r\nDATA\r\nX\r\n.\r\n";

/* What stands between "text" and the smuggled commands; refused, or data as any other. */
static const struct {
	struct str end;
	bool is_data;
} smuggles[] = {
    {STR_INIT("\n.\n"), false},
    {STR_INIT("\n.\r\n"), false},
    {STR_INIT("\r\n.\n"), false},
    {STR_INIT("\r.\r"), false},
    {STR_INIT("\r\n.\r"), false},
    {STR_INIT("\r.\r\n"), false},
    {STR_INIT("\r\r\n.\r\n"), false},
    {STR_INIT("\r\n.\r\r\n"), false},
    {STR_INIT("\n\n.\n\n"), false},
    {STR_INIT("\n\r.\n\r"), false},
    {STR_INIT("\r\n\n.\r\n"), false},
    {STR_INIT("\r\0\n.\r\n"), false},
    {STR_INIT("\r\n\0.\r\n"), false},
    {STR_INIT("\r\n.\0\r\n"), false},
    {STR_INIT("\r\n.\r\0\n"), false},
    {STR_INIT("\0\r\n\0.\0\r\n\0"), false},
    {STR_INIT("\n.\0\n"), false},
    {STR_INIT("\r\n. \r\n"), true},
    {STR_INIT("\r\n .\r\n"), true},
    {STR_INIT("\r\n.\t\r\n"), true},
    {STR_INIT("\r\n..\r\n"), true},
    {STR_INIT("\r\n.\x0b\r\n"), true},
    {STR_INIT("\r\n.\xc2\x85\r\n"), true},
    {STR_INIT("\xe2\x80\xa8.\xe2\x80\xa8"), true},
    {STR_INIT("\x85.\x85"), true},
    {STR_INIT(".\r\n"), true},
};

static void
smuggle_feed(size_t i, size_t cut_at, size_t step)
{
	struct session t;
	struct buf bytes;
	size_t ends = 0;

	buf_init(&bytes, 4096);
	buf_put(&bytes, STR("text"));
	buf_put(&bytes, smuggles[i].end);
	buf_put(&bytes, str_of_c(smuggled));
	session_at_data(&t, &mta);
	if (step > 0) {
		session_feed_cut(&t, buf_str(&bytes), step);
	} else {
		session_feed(&t, str_take(buf_str(&bytes), cut_at));
		session_feed(&t, str_from(buf_str(&bytes), cut_at));
	}
	struct str log = buf_str(&t.transcript);
	EXPECT(str_find(log, STR("E: MAIL")) == log.n);
	for (struct str rest = log; rest.n > 0; rest = str_from(rest, 6)) {
		size_t at = str_find(rest, STR("E: END"));
		ends += at < rest.n;
		rest = str_from(rest, at);
	}
	/* As data it ends where the smuggled message ends, once. */
	EXPECT(ends == (smuggles[i].is_data ? 1u : 0u));
	EXPECT(t.is_over == !smuggles[i].is_data);
	if (!smuggles[i].is_data)
		EXPECT(str_has_prefix_ci(log, STR("S: 550 5.")) &&
		       str_has_suffix_ci(log, STR("\nE: ABORT\nE: CLOSE\n")));
	session_fini(&t);
	buf_fini(&bytes);
}

static void
no_smuggled_end_of_data_passes(void)
{
	for (size_t i = 0; i < COUNT_OF(smuggles); i++) {
		size_t n = 4 + smuggles[i].end.n + sizeof(smuggled) - 1;
		for (size_t cut = 0; cut <= n; cut++)
			smuggle_feed(i, cut, 0);
		for (size_t step = 1; step < 5; step++)
			smuggle_feed(i, 0, step);
	}
}

/* The end of data with nothing before it, and bytes after it, at every split. */
static void
true_end_of_data_is_seen_at_every_split(void)
{
	static const struct str text = STR_INIT("a\r\n.b\r\n..\r\n\r\n.\r\nQUIT\r\n");
	static const struct str want =
	    STR_INIT("E: END a|b|.||\nS: 250 2.0.0 queued\nS: 221 2.0.0 bye\nE: CLOSE\n");
	struct session t;

	for (size_t i = 0; i <= text.n; i++)
		for (size_t j = i; j <= text.n; j++) {
			session_at_data(&t, &mta);
			session_feed(&t, str_take(text, i));
			session_feed(&t, str_take(str_from(text, i), j - i));
			session_feed(&t, str_from(text, j));
			EXPECT_STR(buf_str(&t.transcript), want);
			session_fini(&t);
		}
}

/* What follows a command that ends a group is never acted on. */
static void
unauthorised_pipelining_ends_the_session(void)
{
	static const char *const after[] = {"EHLO a\r\nMAIL FROM:<a@b>\r\n",
	    "STARTTLS\r\nMAIL FROM:<a@b>\r\n", "STARTTLS\r\n\x16\x03\x01",
	    "MAIL FROM:<c@d>\r\nRCPT TO:<u@x>\r\nDATA\r\ntext\r\n.\r\n", "HELO a\r\nNOOP\r\n"};
	struct session t;

	for (size_t i = 0; i < COUNT_OF(after); i++) {
		session_init(&t, &mta, false);
		session_feed(&t, STR("EHLO a\r\n"));
		session_feed(&t, str_of_c(after[i]));
		struct str log = buf_str(&t.transcript);
		EXPECT(str_find(log, STR("E: MAIL a@b")) == log.n);
		EXPECT(str_find(log, STR("E: STARTTLS")) == log.n);
		EXPECT(str_find(log, STR("E: END")) == log.n);
		EXPECT(str_find(log, STR("S: 554 5.5.0 protocol synchronisation error\n")) < log.n);
		EXPECT(t.is_over);
		session_fini(&t);
	}
	/* The machine takes nothing after it. */
	session_init(&t, &mta, false);
	session_feed(&t, STR("EHLO a\r\n"));
	session_feed(&t, STR("STARTTLS\r\n"));
	struct cur late = cur_of(STR("MAIL FROM:<a@b>\r\n"));
	EXPECT(smtp_server_next(&t.s, &late, &t.out).kind == SMTP_EV_CLOSE);
	EXPECT(cur_at_end(&late) && t.out.n == 0);
	session_fini(&t);
}

static void
line_of(struct buf *b, size_t n, const char *verb)
{
	buf_reset(b);
	buf_put(b, str_of_c(verb));
	while (b->n < n - 2)
		buf_put_c(b, 'x');
	buf_put(b, STR("\r\n"));
}

static void
lines_are_limited(void)
{
	static const struct {
		size_t n;
		struct str want;
	} t[] = {
	    {SMTP_LINE_MAX, STR_INIT("S: 250 2.0.0 ok\nS: 250 2.0.0 ok\n")},
	    {SMTP_LINE_MAX + 1, STR_INIT("S: 500 5.5.2 line too long\nS: 250 2.0.0 ok\n")},
	    {SMTP_LINE_SKIP_MAX + 1, STR_INIT("S: 500 5.5.2 line too long\nS: 250 2.0.0 ok\n")},
	    {SMTP_LINE_SKIP_MAX + 2, STR_INIT("S: 421 4.7.0 line too long\nE: CLOSE\n")},
	};
	size_t steps[] = {SIZE_MAX, 1, 0, SMTP_LINE_MAX, 4096};
	struct session s;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(t); i++)
		for (size_t j = 0; j < COUNT_OF(steps); j++) {
			line_of(&b, t[i].n, "NOOP ");
			buf_put(&b, STR("NOOP\r\n"));
			session_init(&s, &mta, false);
			session_feed_cut(&s, buf_str(&b), steps[j]);
			EXPECT_STR(buf_str(&s.transcript), t[i].want);
			session_fini(&s);
		}
	/* The tail of a long line that ends in a bare LF is not followed by anything. */
	line_of(&b, 3000, "NOOP ");
	b.n -= 2;
	buf_put(&b, STR("\nNOOP\r\n"));
	session_init(&s, &mta, false);
	session_feed(&s, buf_str(&b));
	EXPECT_STR(
	    buf_str(&s.transcript), STR("S: 500 5.5.2 bare CR or LF in command\nE: CLOSE\n"));
	session_fini(&s);
	buf_fini(&b);
}

/* n bytes of message with its last CRLF, and the dot. */
static void
message_of(struct buf *b, size_t n)
{
	buf_reset(b);
	CHECK(buf_reserve(b, n + 3) != NULL);
	memset(b->p, 'x', n - 2);
	buf_commit(b, n - 2);
	buf_put(b, STR("\r\n.\r\n"));
}

static void
messages_are_limited(void)
{
	struct session s;
	struct buf b;

	buf_init(&b, 4096);
	message_of(&b, 1000);
	session_at_data(&s, &mta);
	session_feed_cut(&s, buf_str(&b), 0);
	EXPECT(s.data.n == 1000);
	EXPECT(str_has_suffix_ci(buf_str(&s.transcript), STR("\nS: 250 2.0.0 queued\n")));
	session_fini(&s);
	message_of(&b, 1001);
	session_at_data(&s, &mta);
	session_feed_cut(&s, buf_str(&b), 0);
	session_feed(&s, STR("NOOP\r\n"));
	EXPECT_STR(buf_str(&s.transcript),
	    STR("E: ABORT\nS: 552 5.3.4 message size exceeds the limit\nS: 250 2.0.0 ok\n"));
	session_fini(&s);
	buf_fini(&b);
}

static void
skipping_is_limited(void)
{
	static char block[1 << 20];
	struct session s;

	memset(block, 'x', sizeof(block));
	session_at_data(&s, &mta);
	for (size_t left = 1000 + SMTP_DATA_SKIP_MAX; left > 0;) {
		size_t n = size_min(left, sizeof(block));
		session_feed(&s, str_of(block, n));
		left -= n;
	}
	EXPECT_STR(buf_str(&s.transcript), STR("E: ABORT\n"));
	session_feed(&s, STR("x"));
	EXPECT_STR(buf_str(&s.transcript),
	    STR("E: ABORT\nS: 552 5.3.4 message size exceeds the limit\nE: CLOSE\n"));
	session_fini(&s);
}

static void
errors_rcpts_and_messages_are_counted(void)
{
	struct session s;

	session_init(&s, &mta, false);
	for (uint32_t i = 0; i < mta.errors_max; i++)
		session_feed(&s, STR("FOO\r\n"));
	EXPECT(!s.is_over);
	session_feed(&s, STR("FOO\r\n"));
	EXPECT(s.is_over && s.s.errors == mta.errors_max);
	session_fini(&s);
}

static void
replies_are_cleaned_and_cut(void)
{
	char text[1000];
	struct session s;

	memset(text, 'a', sizeof(text));
	session_init(&s, &mta, false);
	struct cur c = cur_of(STR("EHLO a\r\n"));
	(void)smtp_server_next(&s.s, &c, &s.out);
	buf_reset(&s.out);
	c = cur_of(STR("MAIL FROM:<a@b>\r\n"));
	EXPECT(smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_MAIL);
	EXPECT(smtp_server_is_waiting(&s.s));
	/* Nothing is taken while the answer is due. */
	c = cur_of(STR("NOOP\r\n"));
	EXPECT(smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_MORE && cur_left(&c) == 6);
	smtp_server_reply(&s.s, &s.out, 550, STR("5.7.1 a\r\nb\xc3\xbc\x7f"));
	EXPECT_STR(buf_str(&s.out), STR("550 5.7.1 a??b???\r\n"));
	buf_reset(&s.out);
	c = cur_of(STR("MAIL FROM:<a@b>\r\n"));
	(void)smtp_server_next(&s.s, &c, &s.out);
	smtp_server_reply(&s.s, &s.out, 550, str_of(text, SMTP_REPLY_LINE_MAX - 6));
	EXPECT(s.out.n == SMTP_REPLY_LINE_MAX);
	buf_reset(&s.out);
	c = cur_of(STR("MAIL FROM:<a@b>\r\n"));
	(void)smtp_server_next(&s.s, &c, &s.out);
	smtp_server_reply(&s.s, &s.out, 550, str_of(text, SMTP_REPLY_LINE_MAX - 5));
	EXPECT(s.out.n == SMTP_REPLY_LINE_MAX);
	session_fini(&s);
}

static void
greetings_refusals_and_aborts(void)
{
	struct session s;

	session_init(&s, &mta, false);
	smtp_server_greet(&s.s, &s.out);
	EXPECT_STR(buf_str(&s.out), STR("220 mx.example ESMTP Posthorn\r\n"));
	session_fini(&s);
	session_init(&s, &mta, false);
	smtp_server_refuse(&s.s, &s.out, STR("421 4.3.2 busy"));
	session_feed(&s, STR("EHLO a\r\n"));
	EXPECT_STR(buf_str(&s.transcript), STR("S: 421 4.3.2 busy\nE: CLOSE\n"));
	session_fini(&s);
	session_init(&s, &mta, false);
	smtp_server_refuse(&s.s, &s.out, STR("554 5.7.1 not you"));
	session_feed(&s, STR("EHLO a\r\n"));
	session_feed(&s, STR("QUIT\r\n"));
	EXPECT_STR(buf_str(&s.transcript), STR("S: 554 5.7.1 not you\nS: 503 5.5.1 no service "
					       "here\nS: 221 2.0.0 bye\nE: CLOSE\n"));
	session_fini(&s);
	session_at_data(&s, &mta);
	smtp_server_abort(&s.s, &s.out, STR("421 4.4.2 timeout"));
	session_feed(&s, STR("x\r\n.\r\n"));
	EXPECT_STR(buf_str(&s.transcript), STR("S: 421 4.4.2 timeout\nE: CLOSE\n"));
	session_fini(&s);
}

static void
names_and_protocols(void)
{
	static const struct {
		const struct smtp_server_conf *conf;
		bool is_tls;
		const char *hello, *mail, *helo, *with;
	} t[] = {
	    {&mta, false, "HELO a_b(c)", "MAIL FROM:<a@b>", "abc", "SMTP"},
	    {&mta, false, "EHLO [IPv6:::1]", "MAIL FROM:<a@b>", "[IPv6:::1]", "ESMTP"},
	    {&mta, true, "EHLO a", "MAIL FROM:<a@b>", "a", "ESMTPS"},
	    {&mta, false, "EHLO a", "MAIL FROM:<a@b> SMTPUTF8", "a", "UTF8SMTP"},
	    {&mta, true, "EHLO a", "MAIL FROM:<a@b> SMTPUTF8", "a", "UTF8SMTPS"},
	    {&lmtp, false, "LHLO a", "MAIL FROM:<a@b>", "a", "LMTP"},
	    {&lmtp, true, "LHLO a", "MAIL FROM:<a@b>", "a", "LMTPS"},
	    {&lmtp, true, "LHLO a", "MAIL FROM:<a@b> SMTPUTF8", "a", "UTF8LMTPS"},
	};
	struct session s;

	for (size_t i = 0; i < COUNT_OF(t); i++) {
		session_init(&s, t[i].conf, t[i].is_tls);
		session_feed(&s, str_of_c(t[i].hello));
		session_feed(&s, STR("\r\n"));
		session_feed(&s, str_of_c(t[i].mail));
		session_feed(&s, STR("\r\n"));
		EXPECT_STR(smtp_server_helo(&s.s), str_of_c(t[i].helo));
		EXPECT_STR(smtp_server_with(&s.s), str_of_c(t[i].with));
		session_fini(&s);
	}
	char name[SMTP_HELO_KEPT_MAX + 1];
	memset(name, 'n', sizeof(name));
	for (size_t n = sizeof(name) - 1; n <= sizeof(name); n++) {
		session_init(&s, &mta, false);
		session_feed(&s, STR("HELO "));
		session_feed(&s, str_of(name, n));
		session_feed(&s, STR("\r\n"));
		EXPECT(smtp_server_helo(&s.s).n == SMTP_HELO_KEPT_MAX);
		session_fini(&s);
	}
}

static void
out_is_flushed_between_commands(void)
{
	struct session s;
	struct buf b;
	struct cur c;
	size_t flushes = 0, max = 0;
	enum smtp_event_kind kind;

	buf_init(&b, 1 << 20);
	for (int i = 0; i < 5000; i++)
		buf_put(&b, STR("NOOP\r\n"));
	session_init(&s, &mta, false);
	c = cur_of(buf_str(&b));
	while ((kind = smtp_server_next(&s.s, &c, &s.out).kind) == SMTP_EV_FLUSH) {
		flushes++;
		max = size_max(max, s.out.n);
		buf_reset(&s.out);
	}
	EXPECT(kind == SMTP_EV_MORE && cur_at_end(&c));
	EXPECT(flushes > 0 && max <= SMTP_OUT_HIGH + SMTP_OUT_CALL_MAX);
	session_fini(&s);
	buf_fini(&b);
}

/* An idle connection must cost little; and typical mail passes as one event. */
static void
machines_are_small_and_chunks_are_large(void)
{
	struct session s;
	struct buf b;
	struct smtp_server_conf conf = mta;

	EXPECT(sizeof(struct smtp_server) <= 400);
	conf.message_bytes_max = 1 << 20;
	buf_init(&b, 65536);
	while (b.n < 5000)
		buf_put(&b, STR("012345678901234567890123456789012345678901234567890123456789012345"
				"6789\r\n"));
	size_t n = b.n;
	buf_put(&b, STR(".\r\n"));
	session_at_data(&s, &conf);
	struct cur c = cur_of(buf_str(&b));
	struct smtp_event ev = smtp_server_next(&s.s, &c, &s.out);
	EXPECT(ev.kind == SMTP_EV_CHUNK && ev.bytes.n == n);
	EXPECT(smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_END);
	session_fini(&s);
	buf_fini(&b);
}

/* Not a test of its own: prints the cost of scanning when the time is asked for. */
static void
scan_is_timed(void)
{
	enum { ROUNDS = 20000 };
	struct smtp_server_conf conf = mta;
	struct timespec a, z;
	struct session s;
	struct buf b;

	if (getenv("SMTP_TIME") == NULL)
		return;
	conf.message_bytes_max = 1u << 30;
	buf_init(&b, 65536);
	while (b.n < 5000)
		buf_put(&b, STR("012345678901234567890123456789012345678901234567890123456789012345"
				"6789\r\n"));
	session_at_data(&s, &conf);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < ROUNDS; i++) {
		struct cur c = cur_of(buf_str(&b));
		while (smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_CHUNK)
			;
	}
	clock_gettime(CLOCK_MONOTONIC, &z);
	double ns = (double)(z.tv_sec - a.tv_sec) * 1e9 + (double)(z.tv_nsec - a.tv_nsec);
	printf("scan: %.0f ns/KB\n", ns / ((double)b.n * ROUNDS / 1024));
	session_fini(&s);
	buf_fini(&b);
}

int
main(void)
{
	srand(1);
	UNIT(talks_go_the_same_however_they_are_cut);
	UNIT(no_smuggled_end_of_data_passes);
	UNIT(true_end_of_data_is_seen_at_every_split);
	UNIT(unauthorised_pipelining_ends_the_session);
	UNIT(lines_are_limited);
	UNIT(messages_are_limited);
	UNIT(skipping_is_limited);
	UNIT(errors_rcpts_and_messages_are_counted);
	UNIT(replies_are_cleaned_and_cut);
	UNIT(greetings_refusals_and_aborts);
	UNIT(names_and_protocols);
	UNIT(out_is_flushed_between_commands);
	UNIT(machines_are_small_and_chunks_are_large);
	UNIT(scan_is_timed);
	return unit_end();
}
