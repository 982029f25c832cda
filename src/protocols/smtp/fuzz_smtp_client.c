/*
 * Fuzz: a hostile server, and an owner that drives one to three messages. The first 8 bytes choose
 * the setting, the messages and the way the input is cut; the rest is what the server sends.
 */
#include "base/check.h"
#include "base/num.h"
#include "protocols/smtp/smtp_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 8, RCPTS = 4 };

struct talk {
	struct smtp_client c;
	struct smtp_client_conf conf;
	struct smtp_client_mail mail;
	struct smtp_client_rcpt rcpts[RCPTS];
	struct str content;
	struct buf in, out;
	size_t piece, at, mails_left;
	uint32_t rcpts_told, accepted, sent_told; /* accepted: bits */
	uint8_t ways;
	bool is_tls, is_in_mail, is_mail_refused, is_authenticated, is_over;
};

/* A second reading of what may leave us outside of content: whole lines of known verbs. */
static void
commands_check(struct talk *t)
{
	static const char *const verbs[] = {"EHLO me", "LHLO me", "HELO me", "STARTTLS", "AUTH X",
	    "MAIL FROM:<", "RCPT TO:<", "DATA", "RSET", "QUIT", ".", "*", "YW5zd2Vy"};
	struct cur c = cur_of(buf_str(&t->out));
	struct str line;

	CHECK(!t->out.full);
	while (cur_take_line(&c, &line)) {
		bool is_known = false;
		CHECK(line.n + 2 <= SMTP_CLIENT_COMMAND_MAX);
		for (size_t i = 0; i < line.n; i++)
			CHECK((unsigned char)line.p[i] >= 32 && line.p[i] != 127);
		for (size_t i = 0; i < COUNT_OF(verbs); i++)
			is_known |= str_has_prefix(line, str_of_c(verbs[i]));
		CHECK(is_known);
	}
	CHECK(cur_at_end(&c));
	buf_reset(&t->out);
}

static void
reply_check(const struct smtp_reply *r)
{
	CHECK(r->code >= 200 && r->code <= 599);
	CHECK(r->text.n <= SMTP_CLIENT_TEXT_MAX);
	CHECK(r->enhanced[0] == 0 || r->enhanced[0] == r->code / 100);
	CHECK(r->enhanced[1] <= 999 && r->enhanced[2] <= 999);
	for (size_t i = 0; i < r->text.n; i++)
		CHECK(r->text.p[i] >= 32 && r->text.p[i] <= 126);
}

/* What a receiver makes of it: RFC 5321 4.5.2 read slowly. */
static void
dots_check(struct str out, struct str sent, bool is_whole)
{
	size_t got = 0, i = 0;

	while (i < out.n) {
		bool is_start = i == 0 || out.p[i - 1] == '\n';
		if (is_start && out.p[i] == '.') {
			i++;
			CHECK(i < out.n);
			if (out.p[i] == '\r') {
				struct str rest = str_from(out, i);
				/* The end stands at the end only. */
				CHECK(is_whole || rest.n > 2 || got < sent.n);
				if (is_whole && got >= sent.n) {
					CHECK(rest.n == 2 && rest.p[1] == '\n');
					return;
				}
			}
		}
		CHECK(got < sent.n ? out.p[i] == sent.p[got] : out.p[i] == "\r\n"[got - sent.n]);
		i++;
		got++;
	}
	CHECK(!is_whole && got == sent.n);
}

/* "BDAT n" and n bytes, again and again. */
static void
chunks_check(struct str out, struct str sent)
{
	struct cur c = cur_of(out);
	size_t got = 0;

	while (!cur_at_end(&c)) {
		struct str bytes;
		uint64_t n;
		CHECK(cur_lit(&c, "BDAT ") && cur_u64(&c, &n));
		bool is_last = cur_lit(&c, " LAST");
		CHECK(cur_lit(&c, "\r\n") && cur_take(&c, n, &bytes));
		CHECK(!is_last || cur_at_end(&c));
		if (is_last)
			CHECK(n == 0 || str_eq(bytes, STR("\r\n")));
		else
			CHECK(str_eq(bytes, str_take(str_from(sent, got), n)));
		got += is_last ? 0 : n;
	}
	CHECK(got <= sent.n);
}

static bool
is_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == 0 || (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')) ||
		    (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')))
			return false;
	}
	return true;
}

static bool
is_chunked(const struct talk *t)
{
	return smtp_client_has(&t->c, SMTP_EXT_CHUNKING) &&
	       (t->conf.is_chunking_allowed || t->mail.is_binary);
}

static void
body_send(struct talk *t)
{
	size_t first = t->at;
	enum status st = ST_OK;

	commands_check(t);
	while (st == ST_OK && t->at < t->content.n) {
		struct str piece = str_take(str_from(t->content, t->at), t->piece);
		st = smtp_client_body(&t->c, piece, &t->out);
		t->at += st == ST_OK ? piece.n : 0;
	}
	bool is_end = st == ST_OK;
	if (is_end)
		st = smtp_client_body_end(&t->c, &t->out);
	CHECK(st == ST_OK || st == ST_SYNTAX || (st == ST_MORE && is_chunked(t)));
	/* What is no text never ends. */
	CHECK(st != ST_OK || t->mail.is_binary || is_text(t->content));
	CHECK(st != ST_SYNTAX || (!t->mail.is_binary && !is_text(t->content)));
	if (is_chunked(t))
		chunks_check(buf_str(&t->out), str_from(t->content, first));
	else
		dots_check(buf_str(&t->out), str_take(t->content, t->at), st == ST_OK);
	buf_reset(&t->out);
}

static void
next_mail(struct talk *t)
{
	CHECK(smtp_client_phase(&t->c) == SMTP_PHASE_IDLE);
	if (t->mails_left-- == 0) {
		smtp_client_quit(&t->c, &t->out);
		t->mails_left = 0;
		return;
	}
	t->is_in_mail = true;
	t->is_mail_refused = false;
	t->rcpts_told = t->accepted = t->sent_told = 0;
	t->at = 0;
	smtp_client_mail(&t->c, &t->mail);
}

static void
on_rcpt(struct talk *t, const struct smtp_client_event *ev)
{
	CHECK(t->is_in_mail && !t->is_mail_refused);
	CHECK(ev->index == t->rcpts_told && ev->index < t->mail.rcpts_n);
	t->rcpts_told++;
	t->accepted |= ev->reply.code < 300 ? 1u << ev->index : 0;
}

static void
on_sent(struct talk *t, const struct smtp_client_event *ev)
{
	CHECK(t->is_in_mail && t->accepted != 0 && t->rcpts_told == t->mail.rcpts_n);
	if (!t->conf.is_lmtp) {
		CHECK(ev->index == 0 && t->sent_told++ == 0);
		return;
	}
	CHECK(t->accepted >> ev->index & 1 && !(t->sent_told >> ev->index));
	t->sent_told |= 1u << ev->index;
}

static void
on_done(struct talk *t)
{
	CHECK(t->is_in_mail);
	if (t->accepted != 0)
		CHECK(t->sent_told == (t->conf.is_lmtp ? t->accepted : 1));
	t->is_in_mail = false;
	next_mail(t);
}

static void
auth_begin(struct talk *t)
{
	if (t->ways & 4)
		smtp_client_quit(&t->c, &t->out);
	else
		CHECK(smtp_client_auth(&t->c, &t->out, STR("X"), t->ways & 2, t->content) == ST_OK);
}

static void
on_event(struct talk *t, const struct smtp_client_event *ev)
{
	if (ev->reply.code != 0)
		reply_check(&ev->reply);
	switch (ev->kind) {
	case SMTP_CL_MORE:
		break;
	case SMTP_CL_READY:
		CHECK(!t->is_in_mail && (!t->conf.has_auth || t->is_authenticated));
		CHECK(t->is_tls || t->conf.starttls != SMTP_STARTTLS_MUST);
		next_mail(t);
		break;
	case SMTP_CL_STARTTLS:
		CHECK(!t->is_tls && t->conf.starttls != SMTP_STARTTLS_NEVER);
		t->is_over = true;
		break;
	case SMTP_CL_AUTH_READY:
		auth_begin(t);
		break;
	case SMTP_CL_AUTH_CHALLENGE:
		CHECK(ev->bytes.n <= SMTP_CLIENT_REPLY_LINE_MAX);
		if (ev->bytes.n % 4 == 3)
			smtp_client_auth_cancel(&t->c, &t->out);
		else
			CHECK(smtp_client_auth_answer(&t->c, &t->out, STR("answer")) == ST_OK);
		break;
	case SMTP_CL_AUTH_DONE:
		t->is_authenticated = ev->reply.code < 300;
		break;
	case SMTP_CL_UNSENDABLE:
		CHECK(t->is_in_mail && t->rcpts_told == 0 && ev->reply.is_local);
		break;
	case SMTP_CL_MAIL_DONE:
		CHECK(t->is_in_mail && !t->is_mail_refused && t->rcpts_told == 0);
		t->is_mail_refused = true;
		break;
	case SMTP_CL_RCPT:
		on_rcpt(t, ev);
		break;
	case SMTP_CL_DATA:
		CHECK(t->accepted != 0 && t->sent_told == 0);
		body_send(t);
		break;
	case SMTP_CL_SENT:
		on_sent(t, ev);
		break;
	case SMTP_CL_DONE:
		on_done(t);
		break;
	case SMTP_CL_CLOSING:
		CHECK(ev->reply.code >= 200);
		t->is_over = true;
		break;
	}
}

static void
feed(struct talk *t, struct str bytes)
{
	struct smtp_client_event ev;

	buf_put(&t->in, bytes);
	do {
		struct cur c = cur_of(buf_str(&t->in));
		ev = smtp_client_next(&t->c, &c, &t->out);
		on_event(t, &ev);
		(void)smtp_client_phase(&t->c);
		commands_check(t);
		buf_consume(&t->in, t->in.n - cur_left(&c));
	} while (ev.kind != SMTP_CL_MORE && !t->is_over);
	CHECK(t->is_over || t->in.n < SMTP_CLIENT_REPLY_LINE_MAX);
}

static void
mail_init(struct talk *t, const uint8_t *data)
{
	static const struct str contents[] = {STR_INIT("a\r\n.\r\n..b\r\n"), STR_INIT(""),
	    STR_INIT("."), STR_INIT(".\r\n.x"), STR_INIT("a\n.\r\nb"), STR_INIT("a\r\n.\r"),
	    STR_INIT("\0\r\n"), STR_INIT("\r\r\n")};
	static const struct str paths[] = {STR_INIT("a@x.example"), STR_INIT("\"b >\"@x.example"),
	    STR_INIT("c@x\r\nDATA"), STR_INIT("\xc3\xa4@x.example"), STR_INIT("postmaster")};

	t->content = contents[data[3] % COUNT_OF(contents)];
	t->piece = data[4] % 4 == 0 ? 100 : data[4] % 4;
	t->mail = (struct smtp_client_mail){.reverse_path = paths[data[5] % 4],
	    .size_bytes = data[4],
	    .is_8bit = data[2] & 1,
	    .is_binary = data[2] & 2,
	    .is_smtputf8 = data[2] & 4,
	    .is_requiretls = data[2] & 8,
	    .has_by = data[2] & 16,
	    .by_s = data[7],
	    .by_mode = data[2] & 32 ? 'R' : 'N',
	    .has_priority = true,
	    .ret = data[7] % 3,
	    .envid = STR("id"),
	    .rcpts = t->rcpts,
	    .rcpts_n = 1 + data[6] % RCPTS};
	for (size_t i = 0; i < RCPTS; i++)
		t->rcpts[i] = (struct smtp_client_rcpt){
		    .path = paths[(data[5] + i * data[6]) % COUNT_OF(paths)],
		    .notify = data[7] & 15,
		    .orcpt = i & 1 ? STR("rfc822;a") : STR_NULL};
}

static void
talk_init(struct talk *t, const uint8_t *data)
{
	*t = (struct talk){
	    .is_tls = data[0] & 1, .mails_left = 1 + data[1] % 3, .ways = data[1] >> 3};
	t->conf = (struct smtp_client_conf){.helo = STR("me"),
	    .is_lmtp = data[0] & 2,
	    .starttls = (data[0] >> 2) % 3,
	    .is_pipelining_allowed = data[0] & 16,
	    .is_chunking_allowed = data[0] & 32,
	    .has_auth = data[0] >> 6 == 3};
	mail_init(t, data);
	buf_init(&t->in, 1 << 20);
	buf_init(&t->out, SMTP_OUT_HIGH + SMTP_CLIENT_ANSWER_MAX);
	smtp_client_init(&t->c, &t->conf, t->is_tls);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk t;

	if (size < HEAD || size > 131072)
		return 0;
	talk_init(&t, data);
	struct str rest = str_of(data + HEAD, size - HEAD);
	/* Whole, line by line, or in pieces of 1 to 6 bytes. */
	unsigned way = data[7] >> 4 & 7;
	feed(&t, STR_NULL);
	while (rest.n > 0 && !t.is_over) {
		size_t n = way == 7 ? rest.n : way == 0 ? str_find_char(rest, '\n') + 1 : way;
		feed(&t, str_take(rest, n));
		rest = str_from(rest, n);
	}
	buf_fini(&t.in);
	buf_fini(&t.out);
	return 0;
}
