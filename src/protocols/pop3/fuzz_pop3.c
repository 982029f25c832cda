/*
 * Fuzz: whole conversations with an owner whose answers come from the data. Of the first 8 bytes,
 * the first chooses the setting and how the input is cut ('0': TLS, line by line), the others are
 * the answers ('0' yes, '1' no); the rest is what the client sends, and the text of every message
 * as well.
 */
#include "base/check.h"
#include "base/num.h"
#include "protocols/pop3/pop3_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 8, MESSAGES = 5 };

struct talk {
	struct pop3_server *s;
	struct pop3_message messages[MESSAGES];
	struct buf in, out;
	const uint8_t *answers;
	struct str text;
	size_t piece_bytes;
	unsigned answered;
	bool is_tls, is_in, is_over;
};

static bool
answer_is_yes(struct talk *t)
{
	return t->answers[1 + t->answered++ % (HEAD - 1)] % 2 == 0;
}

/* Every line is at most 512 bytes of printable ASCII and ends with CRLF (messages are looked at
 * elsewhere). */
static void
out_check(struct talk *t)
{
	struct cur c = cur_of(buf_str(&t->out));
	struct str line;

	CHECK(!t->out.full);
	while (cur_take_line(&c, &line)) {
		CHECK(line.n + 2 <= POP3_REPLY_LINE_MAX);
		for (size_t i = 0; i < line.n; i++)
			CHECK(line.p[i] >= 32 && line.p[i] <= 126);
	}
	CHECK(cur_at_end(&c));
	buf_reset(&t->out);
}

/* How much of the message TOP wants, the slow way: to the end of the lines-th line after the first
 * empty one. */
static size_t
top_bytes(struct str text, int64_t lines)
{
	size_t line_start = 0;
	bool is_header = true;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] != '\n')
			continue;
		struct str line = str_of(text.p + line_start, i - line_start);
		line_start = i + 1;
		if (!is_header)
			lines--;
		else
			is_header = line.n > 0 && !str_eq(line, STR("\r"));
		if (!is_header && lines <= 0)
			return i + 1;
	}
	return text.n;
}

/* What a client takes out of the answer is the message, completed to a line, and the dot comes
 * where it ends. */
static void
body_check(struct talk *t, struct str want)
{
	struct str out = buf_str(&t->out);
	char before = '\n';
	size_t got = 0, i = str_find(out, STR("\r\n")) + 2;

	CHECK(!t->out.full && out.n >= i + 3 && str_has_suffix_ci(out, STR(".\r\n")));
	CHECK(i + 3 == out.n || str_has_suffix_ci(out, STR("\r\n.\r\n")));
	for (size_t end = out.n - 3; i < end; i++) {
		if (before == '\n' && out.p[i] == '.')
			CHECK(++i < end);
		before = out.p[i];
		CHECK(got >= want.n || want.p[got] == before);
		got++;
	}
	CHECK(got >= want.n && got <= want.n + 2);
	buf_reset(&t->out);
}

static void
on_retr(struct talk *t, const struct pop3_event *ev)
{
	struct str rest = t->text, want = t->text;

	CHECK(t->is_in && ev->index < MESSAGES && !pop3_server_is_deleted(t->s, ev->index));
	if (!answer_is_yes(t)) {
		pop3_server_fail(t->s, &t->out, STR("no"));
		return;
	}
	if (ev->top_lines >= 0)
		want = str_take(want, top_bytes(want, ev->top_lines));
	out_check(t);
	while (rest.n > 0 && pop3_server_body(t->s, &t->out, str_take(rest, t->piece_bytes)))
		rest = str_from(rest, t->piece_bytes);
	pop3_server_body_end(t->s, &t->out);
	body_check(t, want);
}

static void
login_answer(struct talk *t)
{
	static const enum pop3_login_failure whys[] = {
	    POP3_FAIL_AUTH, POP3_FAIL_TEMP, POP3_FAIL_IN_USE};

	CHECK(t->is_tls && !t->is_in);
	t->is_in = answer_is_yes(t);
	if (t->is_in)
		pop3_server_login_ok(t->s, &t->out, t->messages, MESSAGES, 1, false);
	else
		pop3_server_login_fail(t->s, &t->out, whys[t->answered % 3], t->text);
}

static void
on_event(struct talk *t, const struct pop3_event *ev)
{
	switch (ev->kind) {
	case POP3_EV_MORE:
	case POP3_EV_FLUSH:
		break;
	case POP3_EV_LOGIN:
		CHECK(ev->user.n > 0 && ev->user.n <= POP3_USER_MAX);
		CHECK(ev->password.n > 0 && ev->password.n < POP3_LINE_MAX);
		login_answer(t);
		break;
	case POP3_EV_SASL_END:
		CHECK(t->is_tls && !t->is_in);
		break;
	case POP3_EV_SASL:
		CHECK((ev->sasl_step == 0) == (ev->user.n > 0));
		CHECK(ev->has_sasl_bytes || (ev->sasl_step == 0 && ev->sasl_bytes.n == 0));
		if (ev->sasl_step < 3 && answer_is_yes(t))
			pop3_server_challenge(t->s, &t->out, str_take(ev->sasl_bytes, 100));
		else
			login_answer(t);
		break;
	case POP3_EV_RETR:
		on_retr(t, ev);
		break;
	case POP3_EV_UPDATE:
		if (answer_is_yes(t))
			pop3_server_update_ok(t->s, &t->out);
		else
			pop3_server_fail(t->s, &t->out, t->text);
		break;
	case POP3_EV_STLS:
		CHECK(!t->is_tls && !t->is_in);
		t->is_over = true;
		break;
	case POP3_EV_CLOSE:
		t->is_over = true;
		break;
	}
}

static void
feed(struct talk *t, struct str bytes)
{
	struct pop3_event ev;

	buf_put(&t->in, bytes);
	do {
		struct cur c = cur_of(buf_str(&t->in));
		ev = pop3_server_next(t->s, &c, &t->out);
		on_event(t, &ev);
		CHECK(!pop3_server_is_waiting(t->s));
		out_check(t);
		buf_consume(&t->in, t->in.n - cur_left(&c));
	} while (ev.kind != POP3_EV_MORE && !t->is_over);
	CHECK(t->is_over || t->in.n < POP3_AUTH_LINE_MAX);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pop3_server_conf conf = {
	    .hostname = STR_INIT("pop.example"), .is_stls_offered = true};
	struct talk t = {.answers = data};

	if (size < HEAD || size > 65536)
		return 0;
	struct str rest = str_of(data + HEAD, size - HEAD);
	/* Whole, line by line, or in pieces of 1 to 14 bytes. */
	unsigned way = (unsigned)(data[0] - '0') >> 1 & 15;
	t.is_tls = data[0] % 2 == 0;
	t.text = rest;
	t.piece_bytes = way + 1;
	for (uint32_t i = 0; i < MESSAGES; i++)
		t.messages[i] = (struct pop3_message){i, i + 1, (uint32_t)rest.n};
	buf_init(&t.in, 1 << 20);
	buf_init(&t.out, POP3_OUT_MAX);
	t.s = pop3_server_new(&conf, t.is_tls, false);
	pop3_server_mechanisms(t.s, STR("SCRAM-SHA-256 PLAIN LOGIN"));
	while (rest.n > 0 && !t.is_over) {
		size_t n = way == 15 ? rest.n : way == 0 ? str_find_char(rest, '\n') + 1 : way;
		feed(&t, str_take(rest, n));
		rest = str_from(rest, n);
	}
	pop3_server_free(&t.s);
	buf_fini(&t.in);
	buf_fini(&t.out);
	return 0;
}
