/*
 * Fuzz: whole conversations with an owner whose answers come from the data. The first 8 bytes
 * choose the setting, the way the input is cut and the answers; the rest is what the client sends.
 */
#include "base/check.h"
#include "protocols/smtp/smtp_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 8 };

struct talk {
	struct smtp_server s;
	struct smtp_server_conf conf;
	struct buf in, out, raw, chunks;
	const uint8_t *answers;
	unsigned answered;
	uint32_t rcpts;
	bool is_in_mail, is_in_data, is_over;
};

static bool
answer_is_yes(struct talk *t)
{
	return t->answers[1 + t->answered++ % (HEAD - 1)] % 2 == 0;
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

/* The input is used up and the machine still waits for message data: then nothing was in it that
 * ends a message. */
static void
no_end_was_missed(struct talk *t)
{
	struct str raw;

	if (!t->is_in_data || t->is_over)
		return;
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
	smtp_server_reply(&t->s, &t->out, code, str_of(t->answers, HEAD));
}

static void
transaction_over(struct talk *t)
{
	t->is_in_mail = t->is_in_data = false;
	t->rcpts = 0;
}

static void
on_mail(struct talk *t)
{
	CHECK(!t->is_in_mail);
	t->is_in_mail = answer_is_yes(t);
	reply(t, t->is_in_mail ? 250 : 550);
}

static void
on_rcpt(struct talk *t, const struct smtp_event *ev)
{
	bool is_ok = answer_is_yes(t);

	CHECK(t->is_in_mail && ev->path.n > 0 && ev->path.n <= SMTP_PATH_MAX);
	CHECK(t->rcpts < t->conf.rcpts_max);
	t->rcpts += is_ok;
	reply(t, is_ok ? 251 : 450);
}

static void
on_data(struct talk *t)
{
	CHECK(t->is_in_mail && t->rcpts > 0);
	t->is_in_data = answer_is_yes(t);
	buf_reset(&t->raw);
	buf_reset(&t->chunks);
	reply(t, t->is_in_data ? 354 : 451);
}

static void
on_end(struct talk *t)
{
	uint32_t n = t->conf.mode == SMTP_LMTP ? t->rcpts : 1;

	CHECK(t->is_in_data && t->rcpts > 0);
	CHECK(t->chunks.n <= t->conf.message_bytes_max);
	message_check(t);
	for (uint32_t i = 0; i < n; i++) {
		CHECK(smtp_server_is_waiting(&t->s));
		reply(t, answer_is_yes(t) ? 250 : 452);
	}
	CHECK(!smtp_server_is_waiting(&t->s));
	transaction_over(t);
}

static void
on_event(struct talk *t, const struct smtp_event *ev)
{
	switch (ev->kind) {
	case SMTP_EV_MORE:
	case SMTP_EV_FLUSH:
		break;
	case SMTP_EV_MAIL:
		on_mail(t);
		break;
	case SMTP_EV_RCPT:
		on_rcpt(t, ev);
		break;
	case SMTP_EV_DATA:
		on_data(t);
		break;
	case SMTP_EV_CHUNK:
		CHECK(t->is_in_data && ev->bytes.n > 0);
		buf_put(&t->chunks, ev->bytes);
		break;
	case SMTP_EV_END:
		on_end(t);
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
		CHECK(!t->is_in_mail);
		t->is_over = true;
		break;
	}
}

static void
feed(struct talk *t, struct str bytes)
{
	struct smtp_event ev;

	buf_put(&t->in, bytes);
	do {
		struct cur c = cur_of(buf_str(&t->in));
		ev = smtp_server_next(&t->s, &c, &t->out);
		size_t taken = t->in.n - cur_left(&c);
		if (t->is_in_data)
			buf_put(&t->raw, str_take(buf_str(&t->in), taken));
		on_event(t, &ev);
		out_check(t);
		buf_consume(&t->in, taken);
	} while (ev.kind != SMTP_EV_MORE && !t->is_over);
	CHECK(t->is_over || t->in.n <= SMTP_LINE_MAX);
}

static void
talk_init(struct talk *t, const uint8_t *data)
{
	*t = (struct talk){.answers = data};
	t->conf = (struct smtp_server_conf){.hostname = STR("mx.example"),
	    .mode = data[0] & 1 ? SMTP_LMTP : SMTP_MTA,
	    .is_starttls_offered = true,
	    .message_bytes_max = data[0] & 2 ? 40 : 100000,
	    .rcpts_max = 3,
	    .messages_max = 5,
	    .errors_max = 20};
	buf_init(&t->in, 1 << 20);
	buf_init(&t->out, SMTP_OUT_HIGH + SMTP_OUT_CALL_MAX);
	buf_init(&t->raw, 1 << 20);
	buf_init(&t->chunks, 1 << 20);
	smtp_server_init(&t->s, &t->conf, false);
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
