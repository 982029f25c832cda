/*
 * Fuzz: whole conversations with an owner whose answers come from the data. The first byte chooses
 * the way the input is cut, the next seven the answers, then two what is offered; the rest is what
 * the client sends.
 */
#include "base/check.h"
#include "protocols/smtp/smtp_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ANSWERS = 7, HEAD = 1 + ANSWERS + 2 };

/* 2026-11-23T14:58:32Z */
#define NOW 1795445912

struct talk {
	struct smtp_server s;
	struct smtp_server_conf conf;
	struct buf in, out, raw, chunks;
	struct str taken; /* what the last call took */
	const uint8_t *answers;
	unsigned answered;
	uint32_t rcpts;
	bool is_in_mail, is_in_data, is_bdat, is_binary, is_in_auth, is_authenticated,
	    is_xclient_allowed, is_over;
};

static uint8_t
answer_take(struct talk *t)
{
	return t->answers[t->answered++ % ANSWERS];
}

static bool
answer_is_yes(struct talk *t)
{
	return answer_take(t) % 2 == 0;
}

/* Every line of output is at most 512 bytes of printable ASCII and ends with CRLF. */
static void
out_check(struct talk *t)
{
	struct cur c = cur_of(buf_str(&t->out));
	struct str line;

	CHECK(!t->out.full);
	while (cur_take_line(&c, &line)) {
		CHECK(line.n >= 4 && line.n + 2 <= SMTP_REPLY_LINE_MAX);
		for (size_t i = 0; i < line.n; i++)
			CHECK(line.p[i] >= 32 && line.p[i] <= 126);
	}
	CHECK(cur_at_end(&c));
	buf_reset(&t->out);
}

/*
 * A second, slow reading of RFC 5321 4.5.2: raw is a list of CRLF lines without any other CR or LF,
 * of which the last and no other is a lone dot; what they hold less stuffed dots is what came as
 * chunks.
 */
static void
message_check(const struct talk *t)
{
	size_t at = 0, got = 0;

	while (at < t->raw.n) {
		size_t end = at;
		while (t->raw.p[end] != '\r' && t->raw.p[end] != '\n') {
			CHECK(t->raw.p[end] != 0);
			CHECK(++end < t->raw.n);
		}
		CHECK(end + 1 < t->raw.n && t->raw.p[end] == '\r' && t->raw.p[end + 1] == '\n');
		if (end == at + 1 && t->raw.p[at] == '.') {
			CHECK(end + 2 == t->raw.n && got == t->chunks.n);
			return;
		}
		at += t->raw.p[at] == '.';
		for (; at < end + 2; at++, got++)
			CHECK(got < t->chunks.n && t->chunks.p[got] == t->raw.p[at]);
	}
	check_failed(__FILE__, __LINE__, "a message ends with a dot");
}

/* RFC 3030 2 by hand: "BDAT" SP digits [SP "LAST"], spaces behind. */
static bool
bdat_read(struct str line, uint64_t *n_out, bool *is_last_out)
{
	struct cur c = cur_of(line);

	while (line.n > 0 && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
		line.n--;
	c = cur_of(line);
	if (!cur_lit_ci(&c, "BDAT ") || !cur_u64(&c, n_out))
		return false;
	*is_last_out = cur_lit_ci(&c, " LAST");
	return cur_at_end(&c);
}

/*
 * A second, slow reading of a message by BDAT: raw begins with the first BDAT. What the chunks hold
 * goes to content; false when the last one is not there or not whole.
 */
static bool
chunks_read(const struct talk *t, struct buf *content)
{
	struct cur c = cur_of(buf_str(&t->raw));
	struct str line, chunk;
	bool is_last = false;
	uint64_t n;

	while (!is_last) {
		size_t lf = str_find_char(cur_rest(&c), '\n');
		if (!cur_take(&c, lf, &line) || !cur_char(&c, '\n'))
			return false;
		CHECK(line.n > 0 && line.p[line.n - 1] == '\r');
		if (!bdat_read(str_take(line, line.n - 1), &n, &is_last))
			continue;
		if (n > cur_left(&c) || !cur_take(&c, (size_t)n, &chunk))
			return false;
		buf_put(content, chunk);
	}
	CHECK(cur_at_end(&c));
	return true;
}

static void
bdat_message_check(const struct talk *t, const struct smtp_event *ev)
{
	struct buf content;
	struct str s;

	buf_init(&content, 1 << 20);
	CHECK(chunks_read(t, &content));
	s = buf_str(&content);
	CHECK(str_eq(s, buf_str(&t->chunks)));
	CHECK(ev->is_unterminated == (s.n > 0 && !str_has_suffix_ci(s, STR("\r\n"))));
	for (size_t i = 0; i < s.n && !t->is_binary; i++) {
		CHECK(s.p[i] != 0);
		CHECK(s.p[i] != '\n' || (i > 0 && s.p[i - 1] == '\r'));
		CHECK(s.p[i] != '\r' || (i + 1 < s.n && s.p[i + 1] == '\n'));
	}
	buf_fini(&content);
}

static void
no_last_chunk_was_missed(struct talk *t)
{
	struct buf content;

	buf_init(&content, 1 << 20);
	CHECK(!chunks_read(t, &content));
	buf_fini(&content);
}

/* The input is used up and the machine still waits for message data: then nothing was in it that
 * ends a message. */
static void
no_end_was_missed(struct talk *t)
{
	struct str raw;

	if (!t->is_in_data || t->is_over)
		return;
	if (t->is_bdat) {
		no_last_chunk_was_missed(t);
		return;
	}
	buf_put(&t->raw, buf_str(&t->in));
	raw = buf_str(&t->raw);
	CHECK(!str_has_prefix_ci(raw, STR(".\r\n")));
	CHECK(raw.n < 5 || str_find(raw, STR("\r\n.\r\n")) == raw.n);
	for (size_t i = 0; i < raw.n; i++) {
		CHECK(raw.p[i] != 0);
		CHECK(raw.p[i] != '\n' || (i > 0 && raw.p[i - 1] == '\r'));
		CHECK(raw.p[i] != '\r' || i + 1 == raw.n || raw.p[i + 1] == '\n');
	}
}

static void
reply(struct talk *t, unsigned code)
{
	/* Also what an owner should not send. */
	smtp_server_reply(&t->s, &t->out, code, str_of(t->answers, ANSWERS));
}

/* An answer that says no, or goodbye. */
static unsigned
no(struct talk *t, unsigned code)
{
	return answer_take(t) % 8 == 7 ? 421 : code;
}

static void
transaction_over(struct talk *t)
{
	t->is_in_mail = t->is_in_data = false;
	t->rcpts = 0;
}

static void
mail_params_check(const struct talk *t, const struct smtp_event *ev)
{
	const struct smtp_server_conf *conf = &t->conf;

	CHECK(ev->size_bytes <= conf->message_bytes_max);
	CHECK(conf->is_dsn_offered || (ev->ret == SMTP_RET_NONE && ev->envid.n == 0));
	CHECK(ev->envid.n <= SMTP_ENVID_MAX);
	CHECK(conf->is_chunking_offered || ev->body != SMTP_BODY_BINARYMIME);
	CHECK(ev->hold_until == 0 ||
	      (conf->mode == SMTP_SUBMISSION && conf->futurerelease_s_max > 0));
	CHECK(ev->hold_until == 0 ||
	      (ev->hold_until > NOW && ev->hold_until <= NOW + (int64_t)conf->futurerelease_s_max));
	CHECK(!ev->has_by ||
	      (conf->is_deliverby_offered && (ev->by_mode == 'R' || ev->by_mode == 'N')));
	CHECK(ev->by_s >= -999999999 && ev->by_s <= 999999999);
	CHECK(ev->by_mode != 'R' || ev->by_s >= (int32_t)conf->deliverby_min_s);
	struct buf envid;
	buf_init(&envid, SMTP_ENVID_MAX);
	CHECK(smtp_xtext_decode(ev->envid, &envid) == ST_OK);
	buf_fini(&envid);
	CHECK(str_find(smtp_server_with(&t->s), STR("MTP")) <= 5);
	CHECK(ev->priority >= -9 && ev->priority <= 9 &&
	      (conf->is_mt_priority_offered || !ev->has_priority));
}

static void
on_mail(struct talk *t, const struct smtp_event *ev)
{
	CHECK(!t->is_in_mail && !t->is_in_auth);
	CHECK(t->is_authenticated || !t->conf.is_auth_required);
	mail_params_check(t, ev);
	t->is_binary = ev->body == SMTP_BODY_BINARYMIME;
	t->is_in_mail = answer_is_yes(t);
	reply(t, t->is_in_mail ? 250 : no(t, 550));
}

static void
on_rcpt(struct talk *t, const struct smtp_event *ev)
{
	bool is_ok = answer_is_yes(t);

	CHECK(t->is_in_mail && !t->is_in_data && ev->path.n > 0 && ev->path.n <= SMTP_PATH_MAX);
	CHECK(t->rcpts < t->conf.rcpts_max);
	CHECK(t->conf.is_dsn_offered || (ev->notify == 0 && ev->orcpt.n == 0));
	CHECK(ev->orcpt.n <= SMTP_ORCPT_MAX && ev->notify < 16);
	CHECK((ev->notify & SMTP_NOTIFY_NEVER) == 0 || ev->notify == SMTP_NOTIFY_NEVER);
	t->rcpts += is_ok;
	reply(t, is_ok ? 251 : no(t, 450));
}

static void
on_data(struct talk *t, const struct smtp_event *ev)
{
	CHECK(t->is_in_mail && !t->is_in_data && t->rcpts > 0);
	CHECK(ev->is_bdat ? t->conf.is_chunking_offered : !t->is_binary);
	t->is_in_data = answer_is_yes(t);
	t->is_bdat = ev->is_bdat;
	buf_reset(&t->raw);
	buf_reset(&t->chunks);
	if (ev->is_bdat) {
		struct str before = str_take(t->taken, t->taken.n - 2);
		size_t lf = str_find_char_last(before, '\n');
		buf_put(&t->raw, str_from(t->taken, lf < before.n ? lf + 1 : 0));
	}
	size_t n = t->out.n;
	reply(t, !t->is_in_data ? no(t, 451) : ev->is_bdat ? 250 : 354);
	CHECK(!ev->is_bdat || !t->is_in_data || t->out.n == n);
}

static void
on_end(struct talk *t, const struct smtp_event *ev)
{
	uint32_t n = t->conf.mode == SMTP_LMTP ? t->rcpts : 1;

	CHECK(t->is_in_data && t->rcpts > 0);
	CHECK(t->chunks.n <= t->conf.message_bytes_max);
	if (t->is_bdat)
		bdat_message_check(t, ev);
	else
		message_check(t);
	for (uint32_t i = 0; i < n; i++) {
		CHECK(smtp_server_is_waiting(&t->s));
		reply(t, answer_is_yes(t) ? 250 : no(t, 452));
	}
	CHECK(!smtp_server_is_waiting(&t->s));
	transaction_over(t);
}

static void
auth_answer(struct talk *t)
{
	uint8_t way = answer_take(t) % 8;
	unsigned code = way < 2 ? 235 : way < 4 ? 535 : way == 4 ? 454 : 421;

	if (way >= 6) {
		/* It may turn out that the client was too early: then the exchange is cancelled. */
		smtp_server_challenge(&t->s, &t->out, str_of(t->answers, way == 6 ? 0 : ANSWERS));
		return;
	}
	t->is_in_auth = false;
	t->is_authenticated = code == 235;
	reply(t, code);
}

static void
on_auth(struct talk *t, const struct smtp_event *ev)
{
	CHECK(!t->is_in_auth && !t->is_in_mail && !t->is_authenticated);
	CHECK(t->conf.is_auth_offered && (t->s.is_tls || !t->conf.is_auth_over_tls_only));
	CHECK(str_eq_ci(ev->mechanism, STR("PLAIN")) || str_eq_ci(ev->mechanism, STR("LOGIN")));
	CHECK(ev->has_initial || ev->bytes.n == 0);
	t->is_in_auth = true;
	auth_answer(t);
}

static void
on_auth_line(struct talk *t, const struct smtp_event *ev)
{
	CHECK(t->is_in_auth && ev->bytes.n < SMTP_AUTH_LINE_MAX);
	CHECK(!str_eq(ev->bytes, STR("*")));
	auth_answer(t);
}

static void
on_xclient(struct talk *t, const struct smtp_event *ev)
{
	struct smtp_xclient x;

	CHECK(t->conf.is_xclient_offered && t->is_xclient_allowed && !t->is_in_mail &&
	      !t->is_in_auth);
	CHECK(smtp_xclient_take(ev->bytes, &x) == ST_OK);
	CHECK(!smtp_server_is_authenticated(&t->s));
	t->is_authenticated = x.login.what == SMTP_XCLIENT_GIVEN;
	if (t->is_authenticated)
		smtp_server_set_authenticated(&t->s);
}

static void
on_event(struct talk *t, const struct smtp_event *ev)
{
	switch (ev->kind) {
	case SMTP_EV_MORE:
	case SMTP_EV_FLUSH:
		break;
	case SMTP_EV_MAIL:
		on_mail(t, ev);
		break;
	case SMTP_EV_RCPT:
		on_rcpt(t, ev);
		break;
	case SMTP_EV_DATA:
		on_data(t, ev);
		break;
	case SMTP_EV_CHUNK:
		CHECK(t->is_in_data && ev->bytes.n > 0);
		buf_put(&t->chunks, ev->bytes);
		break;
	case SMTP_EV_END:
		on_end(t, ev);
		break;
	case SMTP_EV_ABORT:
		CHECK(t->is_in_mail);
		transaction_over(t);
		break;
	case SMTP_EV_STARTTLS:
		CHECK(!t->s.is_tls && !t->is_in_mail);
		t->is_over = true;
		break;
	case SMTP_EV_CLOSE:
		CHECK(!t->is_in_mail && !t->is_in_auth);
		t->is_over = true;
		break;
	case SMTP_EV_AUTH:
		on_auth(t, ev);
		break;
	case SMTP_EV_AUTH_LINE:
		on_auth_line(t, ev);
		break;
	case SMTP_EV_AUTH_CANCEL:
		CHECK(t->is_in_auth);
		t->is_in_auth = false;
		break;
	case SMTP_EV_XCLIENT:
		on_xclient(t, ev);
		break;
	}
	CHECK(smtp_server_is_authenticated(&t->s) == t->is_authenticated);
}

static void
feed(struct talk *t, struct str bytes)
{
	struct smtp_event ev;

	buf_put(&t->in, bytes);
	do {
		struct cur c = cur_of(buf_str(&t->in));
		ev = smtp_server_next(&t->s, &c, &t->out);
		t->taken = str_take(buf_str(&t->in), t->in.n - cur_left(&c));
		if (t->is_in_data)
			buf_put(&t->raw, t->taken);
		on_event(t, &ev);
		out_check(t);
		buf_consume(&t->in, t->taken.n);
	} while (ev.kind != SMTP_EV_MORE && !t->is_over);
	CHECK(
	    t->is_over || t->in.n < (t->conf.is_auth_offered ? SMTP_AUTH_LINE_MAX : SMTP_LINE_MAX));
}

static void
conf_init(struct smtp_server_conf *conf, uint8_t first, uint8_t offers, uint8_t more)
{
	*conf = (struct smtp_server_conf){.hostname = STR("mx.example"),
	    .mode = first & 1  ? SMTP_LMTP
		    : more & 1 ? SMTP_SUBMISSION
			       : SMTP_MTA,
	    .is_starttls_offered = true,
	    .is_auth_offered = offers & 1,
	    .is_auth_over_tls_only = offers & 2,
	    .is_auth_required = more & 2,
	    .is_chunking_offered = offers & 4,
	    .is_dsn_offered = offers & 8,
	    .is_xclient_offered = offers & 16,
	    .is_deliverby_offered = offers & 32,
	    .deliverby_min_s = more & 4 ? 60 : 0,
	    .is_mt_priority_offered = offers & 64,
	    .futurerelease_s_max = offers & 128 ? 86400 : 0,
	    .message_bytes_max = first & 2 ? 40 : 100000,
	    .rcpts_max = 3,
	    .messages_max = 5,
	    .errors_max = 20};
}

static void
talk_init(struct talk *t, const uint8_t *data)
{
	uint8_t more = data[HEAD - 1];

	*t = (struct talk){.answers = data + 1, .is_xclient_allowed = (more & 8) == 0};
	conf_init(&t->conf, data[0], data[HEAD - 2], more);
	buf_init(&t->in, 1 << 20);
	buf_init(&t->out, SMTP_OUT_HIGH + SMTP_OUT_CALL_MAX);
	buf_init(&t->raw, 1 << 20);
	buf_init(&t->chunks, 1 << 20);
	smtp_server_init(&t->s, &t->conf, (more & 16) != 0);
	smtp_server_set_auth_mechs(&t->s, more & 32 ? STR_NULL : STR("PLAIN LOGIN"));
	smtp_server_set_xclient(&t->s, t->is_xclient_allowed);
	smtp_server_set_now(&t->s, NOW);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk t;

	if (size < HEAD || size > 65536)
		return 0;
	talk_init(&t, data);
	struct str rest = str_of(data + HEAD, size - HEAD);
	/* Whole, line by line, or in pieces of 1 to 15 bytes. */
	unsigned way = (unsigned)(data[0] - '0') >> 2 & 15;
	while (rest.n > 0 && !t.is_over) {
		size_t n = way == 15 ? rest.n : way == 0 ? str_find_char(rest, '\n') + 1 : way;
		feed(&t, str_take(rest, n));
		rest = str_from(rest, n);
	}
	no_end_was_missed(&t);
	buf_fini(&t.in);
	buf_fini(&t.out);
	buf_fini(&t.raw);
	buf_fini(&t.chunks);
	return 0;
}
