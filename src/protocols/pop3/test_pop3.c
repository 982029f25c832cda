#include <stdlib.h>

#include "base/enc.h"
#include "base/num.h"
#include "base/unit.h"
#include "protocols/pop3/pop3_internal.h"

/*
 * A conversation is a list of lines: "C: " a line of the client (CRLF is added), "R: " raw bytes of
 * the client, "S: " a line of the server, "E: " an event. The client's lines up to the next S or E
 * are one group; it is fed whole, byte by byte and cut at random, and each time the server's lines
 * and events must be the same.
 */
struct talk {
	bool is_tls, is_cleartext_ok, expire_0;
	const char *const *lines; /* ends with NULL */
};

struct session {
	struct pop3_server *s;
	struct buf in, out, transcript;
	bool expire_0, is_over;
};

static const struct pop3_server_conf conf = {
    .hostname = STR_INIT("pop.example"), .is_stls_offered = true};

static const struct str texts[] = {
    STR_INIT("Subject: one\r\n\r\n.dot\r\n..\r\nend\r\n"),
    STR_INIT("Subject: two\r\nX: y\r\n\r\nno end"),
    STR_INIT(""),
};
static const struct pop3_message messages[] = {{11, 7, 31}, {12, 9, 28}, {13, 4294967295u, 0}};

static void
session_init(struct session *t, bool is_tls, bool is_cleartext_ok, bool expire_0)
{
	*t = (struct session){.expire_0 = expire_0};
	buf_init(&t->in, 1 << 20);
	buf_init(&t->out, POP3_OUT_MAX);
	buf_init(&t->transcript, 8 << 20);
	t->s = pop3_server_new(&conf, is_tls, is_cleartext_ok);
	pop3_server_mechanisms(t->s, STR("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN"));
}

static void
session_fini(struct session *t)
{
	pop3_server_free(&t->s);
	EXPECT(t->s == NULL);
	buf_fini(&t->in);
	buf_fini(&t->out);
	buf_fini(&t->transcript);
}

static void
out_drain(struct session *t)
{
	struct cur c = cur_of(buf_str(&t->out));
	struct str line;

	EXPECT(!t->out.full);
	while (cur_take_line(&c, &line))
		buf_putf(&t->transcript, "S: %.*s\n", STR_ARG(line));
	EXPECT(cur_at_end(&c));
	buf_reset(&t->out);
}

static void
login_answer(struct session *t, const struct pop3_event *ev)
{
	buf_putf(&t->transcript, "E: LOGIN %.*s/%.*s\n", STR_ARG(ev->user), STR_ARG(ev->password));
	if (str_eq(ev->user, STR("busy")))
		pop3_server_login_fail(t->s, &t->out, POP3_FAIL_IN_USE, STR("in use"));
	else if (str_eq(ev->user, STR("temp")))
		pop3_server_login_fail(t->s, &t->out, POP3_FAIL_TEMP, STR("[X] later\r\n"));
	else if (str_eq(ev->password, STR("pass word ")) || str_eq(ev->password, STR("secret")))
		pop3_server_login_ok(t->s, &t->out, messages, COUNT_OF(messages), 99, t->expire_0);
	else
		pop3_server_login_fail(t->s, &t->out, POP3_FAIL_AUTH, STR("wrong"));
}

static void
sasl_answer(struct session *t, const struct pop3_event *ev)
{
	struct str in = ev->sasl_bytes;

	buf_putf(&t->transcript, "E: SASL %u %.*s ", ev->sasl_step, STR_ARG(ev->user));
	buf_put(&t->transcript, ev->has_sasl_bytes ? STR("[") : STR("nothing"));
	for (size_t i = 0; i < in.n; i++)
		buf_put_c(&t->transcript, in.p[i] ? in.p[i] : '|');
	buf_put(&t->transcript, ev->has_sasl_bytes ? STR("]\n") : STR("\n"));
	if (!ev->has_sasl_bytes) {
		EXPECT(ev->sasl_step == 0 && in.n == 0);
		pop3_server_challenge(
		    t->s, &t->out, str_eq(ev->user, STR("LOGIN")) ? STR("Username:") : STR_NULL);
	} else if (str_eq(in, STR("client"))) {
		pop3_server_challenge(t->s, &t->out, STR("first"));
	} else if (str_eq(in, STR("proof"))) {
		pop3_server_challenge(t->s, &t->out, STR("final"));
	} else if (str_eq(in, STR("\0u\0secret")) || (ev->sasl_step >= 2 && in.n == 0)) {
		pop3_server_login_ok(t->s, &t->out, messages, COUNT_OF(messages), 99, t->expire_0);
	} else {
		pop3_server_login_fail(t->s, &t->out, POP3_FAIL_AUTH, STR("wrong"));
	}
}

/* The message in pieces of 3 bytes. */
static void
retr_answer(struct session *t, const struct pop3_event *ev)
{
	struct str text = texts[ev->index];

	buf_putf(&t->transcript, "E: RETR %u %lld\n", ev->index, (long long)ev->top_lines);
	if (ev->top_lines == 77) {
		pop3_server_fail(t->s, &t->out, STR("disk"));
		return;
	}
	while (text.n > 0 && pop3_server_body(t->s, &t->out, str_take(text, 3)))
		text = str_from(text, 3);
	pop3_server_body_end(t->s, &t->out);
}

static void
update_answer(struct session *t)
{
	buf_put(&t->transcript, STR("E: UPDATE"));
	for (uint32_t i = 0; i < COUNT_OF(messages); i++)
		if (pop3_server_is_deleted(t->s, i))
			buf_putf(&t->transcript, " %llu", (unsigned long long)messages[i].id);
	buf_put_c(&t->transcript, '\n');
	if (pop3_server_is_deleted(t->s, 2))
		pop3_server_fail(t->s, &t->out, STR("disk"));
	else
		pop3_server_update_ok(t->s, &t->out);
}

static void
on_event(struct session *t, const struct pop3_event *ev)
{
	switch (ev->kind) {
	case POP3_EV_MORE:
	case POP3_EV_FLUSH:
		break;
	case POP3_EV_LOGIN:
		login_answer(t, ev);
		break;
	case POP3_EV_SASL:
		sasl_answer(t, ev);
		break;
	case POP3_EV_SASL_END:
		buf_put(&t->transcript, STR("E: SASL END\n"));
		break;
	case POP3_EV_RETR:
		retr_answer(t, ev);
		break;
	case POP3_EV_UPDATE:
		update_answer(t);
		break;
	case POP3_EV_STLS:
		buf_put(&t->transcript, STR("E: STLS\n"));
		t->is_over = true;
		break;
	case POP3_EV_CLOSE:
		buf_put(&t->transcript, STR("E: CLOSE\n"));
		t->is_over = true;
		break;
	}
}

static void
session_feed(struct session *t, struct str bytes)
{
	struct pop3_event ev;

	if (t->is_over)
		return;
	buf_put(&t->in, bytes);
	do {
		struct cur c = cur_of(buf_str(&t->in));
		ev = pop3_server_next(t->s, &c, &t->out);
		out_drain(t);
		on_event(t, &ev);
		out_drain(t);
		buf_consume(&t->in, t->in.n - cur_left(&c));
	} while (ev.kind != POP3_EV_MORE && !t->is_over);
	EXPECT(t->in.n <= POP3_AUTH_LINE_MAX);
}

/* step 0: at random */
static void
session_feed_cut(struct session *t, struct str bytes, size_t step)
{
	while (bytes.n > 0) {
		size_t n = step > 0 ? step : 1 + (size_t)rand() % 7;
		session_feed(t, str_take(bytes, n));
		bytes = str_from(bytes, n);
	}
}

static const char *const *
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

static const char *const *
expected_take(const char *const *l, struct buf *out)
{
	buf_reset(out);
	for (; *l != NULL && ((*l)[0] == 'S' || (*l)[0] == 'E'); l++)
		buf_putf(out, "%s\n", *l);
	return l;
}

static void
talk_run(const struct talk *talk, size_t step)
{
	const char *const *l = talk->lines;
	struct buf group, expected;
	struct session t;

	buf_init(&group, 65536);
	buf_init(&expected, 65536);
	session_init(&t, talk->is_tls, talk->is_cleartext_ok, talk->expire_0);
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

#define DROP "S: +OK maildrop has 3 messages (59 octets)"
#define LOGIN "C: USER u", "C: PASS secret", "S: +OK now PASS", "E: LOGIN u/secret", DROP
#define REFUSED "S: -ERR [AUTH] use STLS or port 995 first"
#define LINES(...)                \
	(const char *const[])     \
	{                         \
		__VA_ARGS__, NULL \
	}

static const struct talk talks[] = {
    /* the whole of RFC 1939, pipelined */
    {true, false, false,
	LINES("C: user  u ", "C: PASS pass word ", "C: stat", "C: LIST", "C: UIDL",
	    "S: +OK now PASS", "E: LOGIN u/pass word ", DROP, "S: +OK 3 59",
	    "S: +OK 3 messages (59 octets)", "S: 1 31", "S: 2 28", "S: 3 0", "S: .",
	    "S: +OK 3 messages (59 octets)", "S: 1 99.7", "S: 2 99.9", "S: 3 99.4294967295", "S: .",
	    "C: RETR 1", "E: RETR 0 -1", "S: +OK 31 octets", "S: Subject: one", "S: ", "S: ..dot",
	    "S: ...", "S: end", "S: .", "C: RETR 2", "E: RETR 1 -1", "S: +OK 28 octets",
	    "S: Subject: two", "S: X: y", "S: ", "S: no end", "S: .", "C: RETR 3", "E: RETR 2 -1",
	    "S: +OK 0 octets", "S: .", "C: TOP 1 0", "E: RETR 0 0", "S: +OK top of message follows",
	    "S: Subject: one", "S: ", "S: .", "C: TOP 1 1", "E: RETR 0 1",
	    "S: +OK top of message follows", "S: Subject: one", "S: ", "S: ..dot", "S: .",
	    "C: TOP 2 99999999999999999999", "E: RETR 1 9223372036854775807",
	    "S: +OK top of message follows", "S: Subject: two", "S: X: y", "S: ", "S: no end",
	    "S: .", "C: TOP 1 77", "E: RETR 0 77", "S: -ERR [SYS/TEMP] disk", "C: NOOP",
	    "S: +OK nothing done", "C: DELE 2", "C: DELE 2", "C: RETR 2", "C: TOP 2 1", "C: LIST 2",
	    "C: UIDL 2", "C: STAT", "C: LIST", "S: +OK marked to be deleted",
	    "S: -ERR no such message, it was deleted", "S: -ERR no such message, it was deleted",
	    "S: -ERR no such message, it was deleted", "S: -ERR no such message, it was deleted",
	    "S: -ERR no such message, it was deleted", "S: +OK 2 31",
	    "S: +OK 2 messages (31 octets)", "S: 1 31", "S: 3 0", "S: .", "C: RSET",
	    "S: +OK maildrop has 3 messages (59 octets)", "C: LIST 2", "S: +OK 2 28", "C: UIDL 1",
	    "S: +OK 1 99.7", "C: LIST 4", "S: -ERR no such message", "C: LIST 0",
	    "S: -ERR no such message", "C: LIST x", "S: -ERR a message number is required",
	    "C: RETR", "S: -ERR a message number is required", "C: TOP 1",
	    "S: -ERR a message number and a number of lines are required", "C: TOP 1 x",
	    "S: -ERR a number of lines is required", "C: DELE 1", "C: QUIT",
	    "S: +OK marked to be deleted", "E: UPDATE 11", "S: +OK bye", "E: CLOSE")},
    /* UPDATE that fails closes too */
    {true, false, false,
	LINES(LOGIN, "C: DELE 3", "C: QUIT", "S: +OK marked to be deleted", "E: UPDATE 13",
	    "S: -ERR [SYS/TEMP] disk", "E: CLOSE")},
    /* EXPIRE 0: what was retrieved whole goes, and stays listed until then */
    {true, false, true,
	LINES(LOGIN, "C: CAPA", "S: +OK capabilities follow", "S: TOP", "S: UIDL", "S: USER",
	    "S: SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN", "S: RESP-CODES",
	    "S: AUTH-RESP-CODE", "S: PIPELINING", "S: EXPIRE 0", "S: IMPLEMENTATION Posthorn",
	    "S: .", "C: TOP 2 0", "E: RETR 1 0", "S: +OK top of message follows", "S: Subject: two",
	    "S: X: y", "S: ", "S: .", "C: RETR 1", "E: RETR 0 -1", "S: +OK 31 octets",
	    "S: Subject: one", "S: ", "S: ..dot", "S: ...", "S: end", "S: .", "C: STAT",
	    "S: +OK 3 59", "C: QUIT", "E: UPDATE 11", "S: +OK bye", "E: CLOSE")},
    /* without TLS */
    {false, false, false,
	LINES("C: CAPA", "S: +OK capabilities follow", "S: TOP", "S: UIDL", "S: STLS",
	    "S: RESP-CODES", "S: AUTH-RESP-CODE", "S: PIPELINING", "S: EXPIRE 0 USER",
	    "S: IMPLEMENTATION Posthorn", "S: .", "C: USER u", REFUSED, "C: PASS p", REFUSED,
	    "C: AUTH PLAIN", REFUSED, "C: AUTH SCRAM-SHA-256", REFUSED, "C: APOP u x",
	    "S: -ERR unknown command", "C: STAT", "S: -ERR not in this state", "C: STLS x",
	    "S: -ERR no argument allowed", "C: STLS", "S: +OK begin TLS negotiation", "E: STLS")},
    {false, false, false, LINES("C: QUIT", "S: +OK bye", "E: CLOSE")},
    {false, true, false,
	LINES(LOGIN, "C: USER u", "S: -ERR not in this state", "C: STLS",
	    "S: -ERR not in this state")},
    {true, false, false,
	LINES("C: STLS", "S: -ERR STLS is not offered now", "C: PASS x", "S: -ERR USER first",
	    "C: USER", "S: -ERR a name is required", "C: USER u", "S: +OK now PASS", "C: PASS",
	    "S: -ERR a password is required", "C: PASS no", "E: LOGIN u/no", "S: -ERR [AUTH] wrong",
	    "C: PASS secret", "S: -ERR USER first", "C: USER busy", "S: +OK now PASS",
	    "C: PASS secret", "E: LOGIN busy/secret", "S: -ERR [IN-USE] in use", "C: USER temp",
	    "S: +OK now PASS", "C: PASS secret", "E: LOGIN temp/secret",
	    "S: -ERR [SYS/TEMP] X] later??", "E: CLOSE")},
    /* RFC 5034: with and without initial response */
    {true, false, false,
	LINES("C: AUTH PLAIN AHUAc2VjcmV0", "E: SASL 0 PLAIN [|u|secret]", DROP, "C: AUTH PLAIN",
	    "S: -ERR not in this state")},
    {true, false, false,
	LINES("C: AUTH PLAIN", "E: SASL 0 PLAIN nothing", "S: + ", "C: AHUAc2VjcmV0",
	    "E: SASL 1  [|u|secret]", DROP)},
    {true, false, false,
	LINES("C: auth plain", "E: SASL 0 PLAIN nothing", "S: + ", "C: *",
	    "S: -ERR authentication cancelled", "E: SASL END",
	    "C: AUTH PLAIN =", "E: SASL 0 PLAIN []", "S: -ERR [AUTH] wrong", "C: AUTH PLAIN",
	    "E: SASL 0 PLAIN nothing", "S: + ", "C: =", "S: -ERR not base64", "E: SASL END",
	    "C: AUTH PLAIN AHUAc2VjcmV0=", "S: -ERR not base64", "C: AUTH LOGIN",
	    "E: SASL 0 LOGIN nothing", "S: + VXNlcm5hbWU6", "C: ", "E: SASL 1  []",
	    "S: -ERR [AUTH] wrong", "C: AUTH PLAIN AHUAc2VjcmV0", "E: SASL 0 PLAIN [|u|secret]",
	    DROP)},
    {true, false, false,
	LINES("C: AUTH", "S: -ERR mechanism not offered", "C: AUTH CRAM-MD5",
	    "S: -ERR mechanism not offered", "C: AUTH SCRAM-SHA", "S: -ERR mechanism not offered",
	    "C: AUTH scram-sha-256-plus", "E: SASL 0 SCRAM-SHA-256-PLUS nothing", "S: + ",
	    "C: Y2xpZW50", "E: SASL 1  [client]", "S: + Zmlyc3Q=", "C: cHJvb2Y=",
	    "E: SASL 2  [proof]", "S: + ZmluYWw=", "C: ", "E: SASL 3  []", DROP)},
    {true, false, false,
	LINES("C: AUTH SCRAM-SHA-256 Y2xpZW50", "E: SASL 0 SCRAM-SHA-256 [client]",
	    "S: + Zmlyc3Q=", "C: *", "S: -ERR authentication cancelled", "E: SASL END",
	    "C: AUTH SCRAM-SHA-256 =", "E: SASL 0 SCRAM-SHA-256 []", "S: -ERR [AUTH] wrong",
	    LOGIN)},
    /* lines */
    {true, false, false,
	LINES("R: NOOP\nQUIT\r\n", "S: -ERR bare CR or LF in command", "E: CLOSE")},
    {true, false, false,
	LINES("C: ", "S: -ERR unknown command", "C: USER a\tb",
	    "S: -ERR control character in command", "R: USER a\rb\r\n",
	    "S: -ERR bare CR or LF in command", "E: CLOSE")},
};

static void
talks_go_the_same_however_they_are_cut(void)
{
	for (size_t i = 0; i < COUNT_OF(talks); i++) {
		talk_run(&talks[i], SIZE_MAX);
		talk_run(&talks[i], 1);
		for (int n = 0; n < 20; n++)
			talk_run(&talks[i], 0);
	}
}

static void
feed_many(struct session *s, const char *line, int n)
{
	for (int i = 0; i < n; i++)
		session_feed(s, str_of_c(line));
}

static void
errors_and_tries_are_counted(void)
{
	struct session s;

	session_init(&s, true, false, false);
	feed_many(&s, "FOO\r\n", POP3_ERRORS_MAX);
	EXPECT(!s.is_over);
	session_feed(&s, STR("FOO\r\n"));
	EXPECT(s.is_over);
	EXPECT(str_has_suffix_ci(
	    buf_str(&s.transcript), STR("\nS: -ERR too many errors\nE: CLOSE\n")));
	session_fini(&s);
	session_init(&s, true, false, false);
	feed_many(&s, "USER u\r\nPASS no\r\n", POP3_LOGIN_TRIES_MAX - 1);
	EXPECT(!s.is_over);
	session_feed(&s, STR("USER u\r\nPASS no\r\n"));
	EXPECT(s.is_over);
	session_fini(&s);
}

static void
fill(struct buf *b, size_t n)
{
	while (b->n < n)
		buf_put_c(b, 'x');
}

static void
lines_are_limited(void)
{
	static const struct {
		size_t n;
		const char *want;
	} t[] = {
	    {POP3_LINE_MAX, "S: +OK now PASS\nS: +OK bye\nE: CLOSE\n"},
	    {POP3_LINE_MAX + 1, "S: -ERR line too long\nS: +OK bye\nE: CLOSE\n"},
	    {POP3_LINE_SKIP_MAX + 1, "S: -ERR line too long\nS: +OK bye\nE: CLOSE\n"},
	    {POP3_LINE_SKIP_MAX + 2, "S: -ERR line too long\nE: CLOSE\n"},
	};
	size_t steps[] = {SIZE_MAX, 1, 0};
	struct session s;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < COUNT_OF(t); i++)
		for (size_t j = 0; j < COUNT_OF(steps); j++) {
			buf_reset(&b);
			buf_put(&b, STR("USER "));
			fill(&b, t[i].n - 2);
			buf_put(&b, STR("\r\nQUIT\r\n"));
			session_init(&s, true, false, false);
			session_feed_cut(&s, buf_str(&b), steps[j]);
			EXPECT_STR(buf_str(&s.transcript), str_of_c(t[i].want));
			session_fini(&s);
		}
	buf_fini(&b);
}

/* A SASL response may be longer than a command. */
static void
sasl_lines_are_limited(void)
{
	struct session s;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t n = POP3_AUTH_LINE_MAX; n <= POP3_AUTH_LINE_MAX + 1; n++) {
		session_init(&s, true, false, false);
		session_feed(&s, STR("AUTH PLAIN\r\n"));
		buf_reset(&b);
		fill(&b, n - 2);
		buf_put(&b, STR("\r\nQUIT\r\n"));
		session_feed_cut(&s, buf_str(&b), 100);
		EXPECT_STR(buf_str(&s.transcript),
		    n > POP3_AUTH_LINE_MAX
			? STR("E: SASL 0 PLAIN nothing\nS: + \nS: -ERR line too long\n"
			      "S: +OK bye\nE: CLOSE\n")
			: STR("E: SASL 0 PLAIN nothing\nS: + \nS: -ERR not base64\n"
			      "E: SASL END\nS: +OK bye\nE: CLOSE\n"));
		session_fini(&s);
	}
	buf_fini(&b);
}

static void
without_mechanisms_there_is_no_sasl(void)
{
	struct session s;

	session_init(&s, true, false, false);
	pop3_server_mechanisms(s.s, STR_NULL);
	session_feed(&s, STR("CAPA\r\nAUTH PLAIN\r\nAUTH\r\n"));
	EXPECT(str_find(buf_str(&s.transcript), STR("SASL")) == s.transcript.n);
	EXPECT(str_has_suffix_ci(buf_str(&s.transcript),
	    STR("S: -ERR mechanism not offered\nS: -ERR mechanism not offered\n")));
	session_fini(&s);
}

static void
nothing_behind_stls_is_acted_on(void)
{
	struct session s;

	session_init(&s, false, false, false);
	session_feed(&s, STR("STLS\r\nUSER u\r\nPASS p\r\n"));
	EXPECT_STR(
	    buf_str(&s.transcript), STR("S: -ERR protocol synchronisation error\nE: CLOSE\n"));
	session_fini(&s);
	session_init(&s, false, false, false);
	session_feed(&s, STR("STLS\r\n"));
	struct cur late = cur_of(STR("CAPA\r\n"));
	EXPECT(pop3_server_next(s.s, &late, &s.out).kind == POP3_EV_CLOSE);
	EXPECT(cur_at_end(&late) && s.out.n == 0);
	session_fini(&s);
}

/* A large maildrop is listed in pieces that never overfill out. */
static void
listings_come_in_pieces(void)
{
	enum { MANY = 100000 };
	struct pop3_message *many = calloc(MANY, sizeof(*many));
	struct session s;
	struct pop3_event ev;
	struct cur c;
	size_t lines = 0, flushes = 0;

	CHECK(many != NULL);
	for (uint32_t i = 0; i < MANY; i++)
		many[i] = (struct pop3_message){i, 4000000000u + i, 4000000000u};
	session_init(&s, true, false, false);
	c = cur_of(STR("USER u\r\nPASS p\r\nLIST\r\nUIDL\r\nQUIT\r\n"));
	while (pop3_server_next(s.s, &c, &s.out).kind != POP3_EV_LOGIN)
		;
	EXPECT(pop3_server_is_waiting(s.s));
	pop3_server_login_ok(s.s, &s.out, many, MANY, 4294967295u, false);
	EXPECT(!pop3_server_is_waiting(s.s));
	do {
		ev = pop3_server_next(s.s, &c, &s.out);
		EXPECT(s.out.n <= POP3_OUT_HIGH + POP3_REPLY_LINE_MAX);
		for (size_t i = 0; i < s.out.n; i++)
			lines += s.out.p[i] == '\n';
		buf_reset(&s.out);
		flushes += ev.kind == POP3_EV_FLUSH;
	} while (ev.kind == POP3_EV_FLUSH);
	EXPECT(ev.kind == POP3_EV_UPDATE);
	EXPECT(lines == 2 + 2 * (MANY + 2) && flushes > 50);
	pop3_server_update_ok(s.s, &s.out);
	session_fini(&s);
	free(many);
}

static const struct {
	struct str in;
	int64_t top_lines;
	struct str out;
} bodies[] = {
    {STR_INIT("a\r\n"), -1, STR_INIT("a\r\n.\r\n")},
    {STR_INIT("a"), -1, STR_INIT("a\r\n.\r\n")},
    {STR_INIT("a\r"), -1, STR_INIT("a\r\n.\r\n")},
    {STR_INIT("a\n"), -1, STR_INIT("a\n\r\n.\r\n")},
    {STR_INIT(""), -1, STR_INIT(".\r\n")},
    {STR_INIT("."), -1, STR_INIT("..\r\n.\r\n")},
    {STR_INIT(".\r\n.\r\n..\r\n"), -1, STR_INIT("..\r\n..\r\n...\r\n.\r\n")},
    {STR_INIT("a.\r\nb\n.\r\n"), -1, STR_INIT("a.\r\nb\n..\r\n.\r\n")},
    {STR_INIT("h\r\n\r\n1\r\n2\r\n3\r\n"), 0, STR_INIT("h\r\n\r\n.\r\n")},
    {STR_INIT("h\r\n\r\n1\r\n2\r\n3\r\n"), 2, STR_INIT("h\r\n\r\n1\r\n2\r\n.\r\n")},
    {STR_INIT("h\r\n\r\n1\r\n2\r\n3\r\n"), 3, STR_INIT("h\r\n\r\n1\r\n2\r\n3\r\n.\r\n")},
    {STR_INIT("h\r\n\r\n1\r\n2\r\n3\r\n"), 4, STR_INIT("h\r\n\r\n1\r\n2\r\n3\r\n.\r\n")},
    {STR_INIT("\r\n.1\r\n.2\r\n"), 1, STR_INIT("\r\n..1\r\n.\r\n")},
    {STR_INIT("h\r\n\r\n\r\n\r\nx"), 1, STR_INIT("h\r\n\r\n\r\n.\r\n")},
    {STR_INIT("h\n\n1\n2\n"), 1, STR_INIT("h\n\n1\n\r\n.\r\n")},
    {STR_INIT("h: 1\r\nno body"), 0, STR_INIT("h: 1\r\nno body\r\n.\r\n")},
};

/* Any two cuts give the same. */
static void
bodies_are_stuffed_and_cut(void)
{
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		struct str in = bodies[i].in;
		for (size_t a = 0; a <= in.n; a++)
			for (size_t z = a; z <= in.n; z++) {
				struct pop3_event ev = {.index = 0};
				struct session s;
				struct cur c = cur_of(bodies[i].top_lines < 0 ? STR("RETR 1\r\n")
									      : STR("TOP 1 9\r\n"));
				char top[32];
				int n = snprintf(
				    top, sizeof(top), "TOP 1 %d\r\n", (int)bodies[i].top_lines);

				session_init(&s, true, false, false);
				session_feed(&s, STR("USER u\r\nPASS secret\r\n"));
				if (bodies[i].top_lines >= 0)
					c = cur_of(str_of(top, (size_t)n));
				ev = pop3_server_next(s.s, &c, &s.out);
				EXPECT(
				    ev.kind == POP3_EV_RETR && ev.top_lines == bodies[i].top_lines);
				(void)(pop3_server_body(s.s, &s.out, str_take(in, a)) &&
				       pop3_server_body(
					   s.s, &s.out, str_take(str_from(in, a), z - a)) &&
				       pop3_server_body(s.s, &s.out, str_from(in, z)));
				pop3_server_body_end(s.s, &s.out);
				struct str out = buf_str(&s.out);
				EXPECT_STR(
				    str_from(out, str_find(out, STR("\r\n")) + 2), bodies[i].out);
				session_fini(&s);
			}
	}
}

static void
pieces_fit_what_out_must_hold(void)
{
	static char piece[POP3_PIECE_MAX];
	struct session s;
	struct cur c = cur_of(STR("RETR 1\r\n"));

	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = i % 2 == 0 ? '.' : '\n';
	session_init(&s, true, false, false);
	session_feed(&s, STR("USER u\r\nPASS secret\r\n"));
	EXPECT(pop3_server_next(s.s, &c, &s.out).kind == POP3_EV_RETR);
	while (s.out.n < POP3_OUT_HIGH)
		buf_put_c(&s.out, 'x');
	EXPECT(pop3_server_body(s.s, &s.out, str_of(piece, sizeof(piece))));
	EXPECT(!s.out.full);
	session_fini(&s);
}

static void
replies_are_cut_and_greetings_offer_no_apop(void)
{
	char text[1000];
	struct session s;
	struct cur c = cur_of(STR("USER u\r\nPASS p\r\n"));

	/* An idle connection must cost under 1 KB in all. */
	EXPECT(sizeof(struct pop3_server) <= 256);
	memset(text, 'a', sizeof(text));
	session_init(&s, true, false, false);
	pop3_server_greet(s.s, &s.out);
	EXPECT_STR(buf_str(&s.out), STR("+OK pop.example Posthorn ready\r\n"));
	EXPECT(pop3_server_next(s.s, &c, &s.out).kind == POP3_EV_LOGIN);
	buf_reset(&s.out);
	pop3_server_login_fail(s.s, &s.out, POP3_FAIL_TEMP, str_of(text, sizeof(text)));
	EXPECT(s.out.n == POP3_REPLY_LINE_MAX);
	session_fini(&s);
}

int
main(void)
{
	srand(1);
	UNIT(talks_go_the_same_however_they_are_cut);
	UNIT(errors_and_tries_are_counted);
	UNIT(lines_are_limited);
	UNIT(sasl_lines_are_limited);
	UNIT(without_mechanisms_there_is_no_sasl);
	UNIT(nothing_behind_stls_is_acted_on);
	UNIT(listings_come_in_pieces);
	UNIT(bodies_are_stuffed_and_cut);
	UNIT(pieces_fit_what_out_must_hold);
	UNIT(replies_are_cut_and_greetings_offer_no_apop);
	return unit_end();
}
