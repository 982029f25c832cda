#include "base/num.h"
#include "protocols/smtp/test_smtp_talk.h"

static const struct smtp_server_conf all = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_SUBMISSION,
    .is_auth_offered = true,
    .is_chunking_offered = true,
    .is_dsn_offered = true,
    .is_xclient_offered = true,
    .is_deliverby_offered = true,
    .is_mt_priority_offered = true,
    .deliverby_min_s = 60,
    .futurerelease_s_max = 86400,
    .message_bytes_max = 1000,
    .rcpts_max = 1000,
    .messages_max = 20,
    .errors_max = 1000};
static const struct smtp_server_conf none = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_MTA,
    .futurerelease_s_max = 86400,
    .message_bytes_max = 1000,
    .rcpts_max = 1000,
    .messages_max = 20,
    .errors_max = 1000};

static void
ehlo_is(const struct smtp_server_conf *conf, int64_t now, struct str want)
{
	struct session s;

	session_init(&s, conf, false);
	smtp_server_set_now(&s.s, now);
	session_feed(&s, STR("EHLO a\r\n"));
	EXPECT_STR(buf_str(&s.transcript), want);
	session_fini(&s);
}

static void
ehlo_says_what_is_offered(void)
{
	struct smtp_server_conf conf = all;

	ehlo_is(&all, TALK_NOW,
	    STR("S: 250-mx.example\nS: 250-PIPELINING\nS: 250-SIZE 1000\nS: 250-8BITMIME\nS: "
		"250-SMTPUTF8\n"
		"S: 250-AUTH PLAIN LOGIN EXTERNAL\nS: 250-CHUNKING\nS: 250-BINARYMIME\nS: 250-DSN\n"
		"S: 250-DELIVERBY 60\nS: 250-MT-PRIORITY\nS: 250-FUTURERELEASE 86400 "
		"2026-11-24T14:58:32Z\n"
		"S: 250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\n"
		"S: 250-LIMITS RCPTMAX=1000 MAILMAX=20\nS: 250 ENHANCEDSTATUSCODES\n"));
	/* Bare, and with numbers past what the grammar can say. FUTURERELEASE needs the time. */
	conf.is_auth_offered = conf.is_chunking_offered = conf.is_dsn_offered =
	    conf.is_xclient_offered = false;
	conf.is_mt_priority_offered = false;
	conf.deliverby_min_s = 0;
	conf.futurerelease_s_max = UINT64_MAX;
	conf.rcpts_max = UINT32_MAX;
	conf.messages_max = UINT32_MAX - 1;
	ehlo_is(&conf, 0,
	    STR("S: 250-mx.example\nS: 250-PIPELINING\nS: 250-SIZE 1000\nS: 250-8BITMIME\n"
		"S: 250-SMTPUTF8\nS: 250-DELIVERBY\nS: 250-LIMITS RCPTMAX=999999 MAILMAX=999999\n"
		"S: 250 ENHANCEDSTATUSCODES\n"));
	conf.is_deliverby_offered = false;
	conf.rcpts_max = SMTP_LIMITS_MAX;
	conf.messages_max = UINT32_MAX;
	ehlo_is(&conf, TALK_NOW,
	    STR("S: 250-mx.example\nS: 250-PIPELINING\nS: 250-SIZE 1000\nS: 250-8BITMIME\n"
		"S: 250-SMTPUTF8\nS: 250-FUTURERELEASE 999999999 2058-08-01T16:45:11Z\n"
		"S: 250-LIMITS RCPTMAX=999999\nS: 250 ENHANCEDSTATUSCODES\n"));
	/* RFC 4865 4.2 (2): for submission alone. */
	ehlo_is(&none, TALK_NOW,
	    STR("S: 250-mx.example\nS: 250-PIPELINING\nS: 250-SIZE 1000\nS: 250-8BITMIME\n"
		"S: 250-SMTPUTF8\nS: 250-LIMITS RCPTMAX=1000 MAILMAX=20\n"
		"S: 250 ENHANCEDSTATUSCODES\n"));
}

/* The longest reply to EHLO has room. */
static void
the_reply_to_ehlo_fits(void)
{
	char name[SMTP_DOMAIN_MAX], mechs[SMTP_AUTH_MECHS_MAX];
	struct smtp_server_conf conf = all;
	struct session s;

	memset(name, 'n', sizeof(name));
	memset(mechs, 'M', sizeof(mechs));
	conf.hostname = str_of(name, sizeof(name));
	conf.is_starttls_offered = true;
	conf.message_bytes_max = UINT64_MAX;
	conf.deliverby_min_s = UINT32_MAX;
	conf.futurerelease_s_max = UINT64_MAX;
	session_init(&s, &conf, false);
	smtp_server_set_auth_mechs(&s.s, str_of(mechs, sizeof(mechs)));
	struct cur c = cur_of(STR("EHLO a\r\n"));
	EXPECT(smtp_server_next(&s.s, &c, &s.out).kind == SMTP_EV_MORE);
	EXPECT(s.out.n > 700 && s.out.n <= SMTP_OUT_CALL_MAX);
	out_drain(&s);
	session_fini(&s);
}

#define SYNTAX "S: 501 5.5.4 syntax error in parameters"
#define UNKNOWN "S: 555 5.5.4 parameter not recognised"
#define OK(log) "E: MAIL a@b" log "\nS: 250 2.1.0 ok"

/* What stands behind MAIL FROM:<a@b>, and what comes of it. */
static const struct {
	const char *params, *want;
} mails[] = {
    {" BODY=7BIT", OK("")},
    {" BODY=8BITMIME", OK(" 8bit")},
    {" body=binarymime", OK(" binary")},
    {" BODY=BINARY", SYNTAX},
    {" BODY=7BIT BODY=7BIT", SYNTAX},
    {" SIZE=1 size=1", SYNTAX},
    {" SMTPUTF8 SMTPUTF8", SYNTAX},
    /* RFC 3461 4.3, 4.4, 4.5 */
    {" RET=FULL ENVID=QQ314159", OK(" ret=full envid=QQ314159")},
    {" ret=hdrs envid=a+2Bb+20c+09d", OK(" ret=hdrs envid=a+2Bb+20c+09d")},
    {" RET=HDRS RET=HDRS", SYNTAX},
    {" RET", SYNTAX},
    {" RET=ALL", SYNTAX},
    {" ENVID=a ENVID=b", SYNTAX},
    {" ENVID", SYNTAX},
    {" ENVID=", SYNTAX},
    {" ENVID=a=b", SYNTAX},
    {" ENVID=a+2", SYNTAX},
    {" ENVID=a+2b", SYNTAX},
    {" ENVID=a+GG", SYNTAX},
    {" ENVID=a+0Ab", SYNTAX},
    {" ENVID=a+00", SYNTAX},
    {" ENVID=a+7F", SYNTAX},
    {" ENVID=a+C3+BC", SYNTAX},
    {" ENVID=\xc3\xbc", SYNTAX},
    /* RFC 4865 3, 4.2 */
    {" HOLDFOR=1", OK(" hold=+1")},
    {" HOLDFOR=86400", OK(" hold=+86400")},
    {" HOLDFOR=86401", SYNTAX},
    {" HOLDFOR=0", SYNTAX},
    {" HOLDFOR=01", SYNTAX},
    {" HOLDFOR=-1", SYNTAX},
    {" HOLDFOR=1000000000", SYNTAX},
    {" HOLDFOR=18446744073709551616", SYNTAX},
    {" HOLDUNTIL=2026-11-23T14:58:33Z", OK(" hold=+1")},
    {" HOLDUNTIL=2026-11-24T14:58:32Z", OK(" hold=+86400")},
    {" HOLDUNTIL=2026-11-24T14:58:33Z", SYNTAX},
    {" HOLDUNTIL=2026-11-23T14:58:32Z", SYNTAX},
    {" HOLDUNTIL=1926-11-23T14:58:32Z", SYNTAX},
    {" HOLDUNTIL=2026-11-23T15:58:33+01:00", SYNTAX},
    {" HOLDUNTIL=2026-11-23", SYNTAX},
    {" HOLDFOR=1 HOLDFOR=1", SYNTAX},
    {" HOLDFOR=1 HOLDUNTIL=2026-11-23T14:58:33Z", SYNTAX},
    {" HOLDUNTIL=2026-11-23T14:58:33Z HOLDFOR=1", SYNTAX},
    /* RFC 2852 3, 4 */
    {" BY=120;R", OK(" by=120R")},
    {" by=+999999999;nt", OK(" by=999999999NT")},
    {" BY=-999999999;N", OK(" by=-999999999N")},
    {" BY=0;N", OK(" by=0N")},
    {" BY=-0;NT", OK(" by=0NT")},
    {" BY=60;RT", OK(" by=60RT")},
    {" BY=59;R", "S: 555 5.5.4 the deliver-by time is too short"},
    {" BY=59;N", OK(" by=59N")},
    {" BY=0;R", SYNTAX},
    {" BY=-60;R", SYNTAX},
    {" BY=1000000000;R", SYNTAX},
    {" BY=0000000060;R", SYNTAX},
    {" BY=60", SYNTAX},
    {" BY=60;", SYNTAX},
    {" BY=60;X", SYNTAX},
    {" BY=60;RX", SYNTAX},
    {" BY=60;RTT", SYNTAX},
    {" BY=;R", SYNTAX},
    {" BY=+-1;N", SYNTAX},
    {" BY", SYNTAX},
    {" BY=60;R BY=60;R", SYNTAX},
    /* RFC 4865 5.2.2 */
    {" BY=120;R HOLDFOR=120", OK(" hold=+120 by=120R")},
    {" BY=120;R HOLDFOR=121", SYNTAX},
    {" HOLDFOR=121 BY=120;N", SYNTAX},
    {" HOLDFOR=1 BY=-1;N", SYNTAX},
    /* RFC 6710 7 */
    {" MT-PRIORITY=9", OK(" priority=9")},
    {" mt-priority=-9", OK(" priority=-9")},
    {" MT-PRIORITY=0", OK(" priority=0")},
    {" MT-PRIORITY=-0", SYNTAX},
    {" MT-PRIORITY=10", SYNTAX},
    {" MT-PRIORITY=-10", SYNTAX},
    {" MT-PRIORITY=+1", SYNTAX},
    {" MT-PRIORITY=-", SYNTAX},
    {" MT-PRIORITY=:", SYNTAX},
    {" MT-PRIORITY", SYNTAX},
    {" MT-PRIORITY=1 MT-PRIORITY=1", SYNTAX},
    /* RFC 4954 5, its examples; the AUTH of others is believed by nobody */
    {" AUTH=e+3Dmc2@example.com", OK("")},
    {" AUTH=<>", OK("")},
    {" AUTH=e=mc2@example.com", SYNTAX},
    {" AUTH=a+", SYNTAX},
    {" AUTH=<> AUTH=<>", SYNTAX},
    {" AUTH", SYNTAX},
    /* RFC 8689 is not offered; recipients have others */
    {" REQUIRETLS", UNKNOWN},
    {" NOTIFY=NEVER", UNKNOWN},
    {" X=\xc3\xbc", UNKNOWN},
    {" SIZE=10 BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=e HOLDFOR=60 BY=99;RT MT-PRIORITY=3 AUTH=<>",
	OK(" size=10 utf8 binary ret=hdrs envid=e hold=+60 by=99RT priority=3")},
};

static void
one_is(const struct smtp_server_conf *conf, const char *before, const char *command,
    const char *params, struct str want)
{
	static const size_t steps[] = {SIZE_MAX, 1};
	struct session s;
	struct buf line;

	buf_init(&line, 65536);
	buf_putf(&line, "%s%s\r\n", command, params);
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		session_init(&s, conf, false);
		session_feed(&s, STR("EHLO a\r\n"));
		session_feed(&s, str_of_c(before));
		buf_reset(&s.transcript);
		session_feed_cut(&s, buf_str(&line), steps[i]);
		EXPECT_STR(str_trim(buf_str(&s.transcript)), want);
		session_fini(&s);
	}
	buf_fini(&line);
}

static void
mail_parameters(void)
{
	for (size_t i = 0; i < COUNT_OF(mails); i++)
		one_is(&all, "", "MAIL FROM:<a@b>", mails[i].params, str_of_c(mails[i].want));
}

/* A parameter that failed leaves nothing for the next command. */
static void
a_refused_mail_leaves_nothing(void)
{
	one_is(&all,
	    "MAIL FROM:<a@b> SIZE=7 BODY=BINARYMIME SMTPUTF8 RET=FULL BY=99;R MT-PRIORITY=3 "
	    "HOLDFOR=0\r\n",
	    "MAIL FROM:<a@b>", "", STR("E: MAIL a@b\nS: 250 2.1.0 ok"));
	one_is(&all, "MAIL FROM:<a@b>\r\nRCPT TO:<u@x> NOTIFY=DELAY ORCPT=x\r\n", "RCPT TO:<u@x>",
	    "", STR("E: RCPT u@x [u] [x]\nS: 250 2.1.5 ok"));
}

#define RCPT(log) "E: RCPT u@x [u] [x]" log "\nS: 250 2.1.5 ok"

static const struct {
	bool is_smtputf8;
	const char *params, *want;
} rcpts[] = {
    /* RFC 3461 4.1 */
    {false, " NOTIFY=NEVER", RCPT(" notify=N")},
    {false, " NOTIFY=SUCCESS", RCPT(" notify=S")},
    {false, " notify=failure,delay", RCPT(" notify=FD")},
    {false, " NOTIFY=Delay,Success,Failure", RCPT(" notify=SFD")},
    {false, " NOTIFY=DELAY,DELAY", RCPT(" notify=D")},
    {false, " NOTIFY=NEVER,DELAY", SYNTAX},
    {false, " NOTIFY=DELAY,NEVER", SYNTAX},
    {false, " NOTIFY=NEVER,NEVER", SYNTAX},
    {false, " NOTIFY=SUCCESS,", SYNTAX},
    {false, " NOTIFY=,SUCCESS", SYNTAX},
    {false, " NOTIFY=ALWAYS", SYNTAX},
    {false, " NOTIFY", SYNTAX},
    {false, " NOTIFY=", SYNTAX},
    {false, " NOTIFY=DELAY NOTIFY=DELAY", SYNTAX},
    /* RFC 3461 4.2 */
    {false, " ORCPT=rfc822;Bob@example.com", RCPT(" orcpt=rfc822;Bob@example.com")},
    {false, " NOTIFY=SUCCESS ORCPT=x400;a+20b+3Dc", RCPT(" notify=S orcpt=x400;a+20b+3Dc")},
    {false, " ORCPT=rfc822;", RCPT(" orcpt=rfc822;")},
    {false, " ORCPT=rfc822", SYNTAX},
    {false, " ORCPT=;a@b", SYNTAX},
    {false, " ORCPT=rfc@822;a@b", SYNTAX},
    {false, " ORCPT=rfc822;a=b", SYNTAX},
    {false, " ORCPT=rfc822;a+3d", SYNTAX},
    {false, " ORCPT=rfc822;a+0D+0A", SYNTAX},
    {false, " ORCPT=rfc822;a ORCPT=rfc822;a", SYNTAX},
    /* RFC 6533 3 */
    {false, " ORCPT=utf-8;\\x{FC}@b", RCPT(" orcpt=utf-8;\\x{FC}@b")},
    {false, " ORCPT=utf-8;\xc3\xbc@b", SYNTAX},
    {true, " ORCPT=utf-8;\xc3\xbc@b", RCPT(" orcpt=utf-8;\xc3\xbc@b")},
    {true, " ORCPT=UTF-8;\xc3\xbc+2B", SYNTAX},
    {true, " ORCPT=utf-8;\xc3", SYNTAX},
    {true, " ORCPT=rfc822;\xc3\xbc@b", SYNTAX},
    {false, " RET=FULL", UNKNOWN},
};

static void
rcpt_parameters(void)
{
	for (size_t i = 0; i < COUNT_OF(rcpts); i++)
		one_is(&all,
		    rcpts[i].is_smtputf8 ? "MAIL FROM:<a@b> SMTPUTF8\r\n" : "MAIL FROM:<a@b>\r\n",
		    "RCPT TO:<u@x>", rcpts[i].params, str_of_c(rcpts[i].want));
}

/* What is not offered is not known. */
static void
nothing_offered_nothing_taken(void)
{
	static const char *const mail[] = {" RET=FULL", " ENVID=a", " HOLDFOR=1",
	    " HOLDUNTIL=2026-11-23T14:58:33Z", " BY=99;R", " MT-PRIORITY=1", " AUTH=<>"};
	static const char *const rcpt[] = {" NOTIFY=NEVER", " ORCPT=rfc822;a@b"};

	for (size_t i = 0; i < COUNT_OF(mail); i++)
		one_is(&none, "", "MAIL FROM:<a@b>", mail[i], STR(UNKNOWN));
	for (size_t i = 0; i < COUNT_OF(rcpt); i++)
		one_is(&none, "MAIL FROM:<a@b>\r\n", "RCPT TO:<u@x>", rcpt[i], STR(UNKNOWN));
	/* Not after HELO (RFC 5321 2.2.1). */
	one_is(&all, "HELO a\r\n", "MAIL FROM:<a@b>", " RET=FULL", STR(UNKNOWN));
}

static void
longest_is(struct str start, size_t n, bool is_ok)
{
	struct session s;
	struct buf line;

	buf_init(&line, 65536);
	buf_put(&line, start);
	size_t before = str_find_char(start, '=') + 1;
	while (line.n < before + n)
		buf_put_c(&line, 'x');
	buf_put(&line, STR("\r\n"));
	session_init(&s, &all, false);
	session_feed(&s, STR("EHLO a\r\n"));
	if (str_has_prefix(start, STR("RCPT")))
		session_feed(&s, STR("MAIL FROM:<a@b>\r\n"));
	buf_reset(&s.transcript);
	session_feed(&s, buf_str(&line));
	EXPECT(
	    str_has_prefix_ci(buf_str(&s.transcript), is_ok ? STR("E: ") : STR("S: 501 5.5.4 ")));
	session_fini(&s);
	buf_fini(&line);
}

static void
values_are_limited(void)
{
	longest_is(STR("MAIL FROM:<a@b> ENVID="), SMTP_ENVID_MAX, true);
	longest_is(STR("MAIL FROM:<a@b> ENVID="), SMTP_ENVID_MAX + 1, false);
	longest_is(STR("RCPT TO:<u@x> ORCPT=rfc822;"), SMTP_ORCPT_MAX, true);
	longest_is(STR("RCPT TO:<u@x> ORCPT=rfc822;"), SMTP_ORCPT_MAX + 1, false);
}

static void
xtext_is_decoded(void)
{
	static const struct {
		struct str in;
		enum status st;
		struct str out;
	} t[] = {
	    {STR_INIT(""), ST_OK, STR_INIT("")},
	    {STR_INIT("abc~!"), ST_OK, STR_INIT("abc~!")},
	    {STR_INIT("+2B+3D+20+00+FF"), ST_OK, STR_INIT("+= \0\xff")},
	    {STR_INIT("a=b"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a b"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("ab+"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("ab+4"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("ab+4g"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("ab+4a"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("ab\x7f"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("ab\xc3\xbc"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("123456789"), ST_LIMIT, STR_INIT("")},
	};
	struct buf b;

	for (size_t i = 0; i < COUNT_OF(t); i++) {
		buf_init(&b, 8);
		EXPECT(smtp_xtext_decode(t[i].in, &b) == t[i].st);
		EXPECT_STR(buf_str(&b), t[i].out);
		buf_fini(&b);
	}
}

/* RFC 5321 4.5.3.1.10 */
static void
recipients_are_limited(void)
{
	struct smtp_server_conf conf = all;
	struct session s;

	conf.rcpts_max = 2;
	session_init(&s, &conf, false);
	session_feed(&s, STR("EHLO a\r\n"));
	session_feed(&s, STR("MAIL FROM:<a@b>\r\nRCPT TO:<u@x>\r\nRCPT TO:<u@x>\r\n"));
	EXPECT(str_has_suffix_ci(buf_str(&s.transcript), STR("\nS: 250 2.1.5 ok\n")));
	session_feed(&s, STR("RCPT TO:<u@x> NOTIFY=NEVER\r\n"));
	EXPECT(
	    str_has_suffix_ci(buf_str(&s.transcript), STR("\nS: 452 4.5.3 too many recipients\n")));
	session_fini(&s);
}

int
main(void)
{
	srand(1);
	UNIT(ehlo_says_what_is_offered);
	UNIT(the_reply_to_ehlo_fits);
	UNIT(mail_parameters);
	UNIT(a_refused_mail_leaves_nothing);
	UNIT(rcpt_parameters);
	UNIT(nothing_offered_nothing_taken);
	UNIT(values_are_limited);
	UNIT(xtext_is_decoded);
	UNIT(recipients_are_limited);
	return unit_end();
}
