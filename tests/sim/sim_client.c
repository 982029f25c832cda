/* SMTP and LMTP clients: every one sends its own messages, once each, and remembers what was
 * acknowledged. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "sim.h"

static const size_t pieces[] = {5, 60, 1400, 20000, 70000};

void
sim_client_init(struct sim_client *c, struct sim_world *w)
{
	*c = (struct sim_client){.w = w, .fd = -1};
	buf_init(&c->out, 2 * SIM_BODY_BYTES_MAX + 65536);
	buf_init(&c->in, 65536);
}

static void
client_close(struct sim_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_reset(&c->out);
	buf_reset(&c->in);
	c->sent = c->expects_n = c->script_n = c->script_at = c->accepted_n = c->message_end = 0;
	c->message = 0;
	c->is_quitting = false;
	c->idle_until_ms = clock_mono_ms(&c->w->clock) + prng_below(&c->w->rc, 200);
}

void
sim_client_fini(struct sim_client *c)
{
	client_close(c);
	buf_fini(&c->out);
	buf_fini(&c->in);
}

static void
client_connect(struct sim_client *c)
{
	struct sim_world *w = c->w;

	c->is_lmtp = prng_below(&w->rc, 3) == 0;
	if (!w->children[SIM_SMTPIN].is_ready || w->address_n[c->is_lmtp] == 0)
		return;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CHECK(c->fd >= 0);
	if (connect(c->fd, (struct sockaddr *)&w->address[c->is_lmtp], w->address_n[c->is_lmtp]) !=
	    0) {
		client_close(c);
		return;
	}
	c->is_pipelining = prng_below(&w->rc, 2);
	c->piece_max = pieces[prng_below(&w->rc, COUNT_OF(pieces))];
	c->expects[c->expects_n++] = (struct sim_expect){.want = SIM_GREET};
}

/* ---- saying ---- */

static void
rcpt_put(struct buf *out, uint8_t rcpt)
{
	if (rcpt >= SIM_RCPT_REMOTE)
		(void)buf_putf(out, "RCPT TO:<r%u@d%u.example>\r\n", rcpt - SIM_RCPT_REMOTE,
		    (rcpt - SIM_RCPT_REMOTE) % SIM_DOMAINS);
	else if (rcpt < SIM_ACCOUNTS)
		(void)buf_putf(out, "RCPT TO:<a%u@sim.example>\r\n", rcpt);
	else if (rcpt == SIM_RCPT_ALIAS)
		(void)buf_put(out, STR("RCPT TO:<team@sim.example>\r\n"));
	else
		(void)buf_put(out, STR("RCPT TO:<nobody@sim.example>\r\n"));
}

static void
client_say(struct sim_client *c, const struct sim_expect *e)
{
	static const char *const words[] = {[SIM_RSET] = "RSET\r\n",
	    [SIM_NOOP] = "NOOP\r\n",
	    [SIM_QUIT] = "QUIT\r\n",
	    [SIM_DATA] = "DATA\r\n"};

	CHECK(c->expects_n < COUNT_OF(c->expects));
	c->expects[c->expects_n++] = *e;
	if (e->want == SIM_HELO)
		(void)buf_putf(&c->out, "%s client.example\r\n", c->is_lmtp ? "LHLO" : "EHLO");
	else if (e->want == SIM_MAIL && c->w->plan.is_relay) {
		(void)buf_put(&c->out, STR("MAIL FROM:<"));
		sim_sender_put(&c->out, e->message);
		(void)buf_put(&c->out, STR(">\r\n"));
	} else if (e->want == SIM_MAIL)
		(void)buf_putf(&c->out, "MAIL FROM:<m%u@client.example>\r\n", e->message);
	else if (e->want == SIM_RCPT)
		rcpt_put(&c->out, e->rcpt);
	else
		(void)buf_put(&c->out, str_of_c(words[e->want]));
}

static void
body_put(struct sim_client *c, uint32_t number)
{
	struct sim_world *w = c->w;
	struct str rest, line;

	sim_message_make(&w->messages[number], number, &w->scratch);
	for (rest = buf_str(&w->scratch); rest.n > 0;) {
		size_t n = str_find_char(rest, '\n') + 1;
		line = str_take(rest, n);
		rest = str_from(rest, n);
		/* RFC 5321 4.5.2 */
		if (line.p[0] == '.')
			(void)buf_put_c(&c->out, '.');
		(void)buf_put(&c->out, line);
	}
	CHECK(buf_put(&c->out, STR(".\r\n")) == ST_OK);
	/* Nobody has the time to trickle a large message. */
	c->piece_max = size_max(c->piece_max, c->out.n / 50);
	c->message_end = c->out.n;
	c->ending = number;
}

static size_t
message_bytes(struct sim_world *w)
{
	uint64_t what = prng_below(&w->rc, 16);

	if (what == 0)
		return 262144 + (size_t)prng_below(&w->rc, w->staged_bytes_max - 262144);
	if (what < 6)
		return 1000 + (size_t)prng_below(&w->rc, w->inline_bytes_max - 1000);
	return 120 + (size_t)prng_below(&w->rc, 3000);
}

/* With the sending side mostly others than ours, and each of them once. */
static uint8_t
rcpt_choose(struct sim_world *w, uint32_t *remotes)
{
	unsigned r = (unsigned)prng_below(&w->rc, SIM_RCPT_KINDS);

	if (!w->plan.is_relay || prng_below(&w->rc, 4) == 0)
		return (uint8_t)r;
	r = (unsigned)prng_below(&w->rc, SIM_REMOTES);
	while ((*remotes & 1u << r) != 0)
		r = (r + 1) % SIM_REMOTES;
	*remotes |= 1u << r;
	return (uint8_t)(SIM_RCPT_REMOTE + r);
}

static void
message_begin(struct sim_client *c)
{
	struct sim_world *w = c->w;
	uint32_t number = w->messages_n++;
	size_t rcpts =
	    prng_below(&w->rc, 3) ? 1 : 2 + (size_t)prng_below(&w->rc, SIM_RCPTS_MAX - 2);
	uint32_t remotes = 0;

	w->messages[number] = (struct sim_message){
	    .bytes = message_bytes(w), .seed = w->plan.seed * 1000003 + number};
	c->message = number + 1;
	c->accepted_n = c->script_n = c->script_at = 0;
	c->script[c->script_n++] = (struct sim_expect){.want = SIM_MAIL, .message = number};
	while (rcpts-- > 0)
		c->script[c->script_n++] = (struct sim_expect){
		    .want = SIM_RCPT, .rcpt = rcpt_choose(w, &remotes), .message = number};
	c->script[c->script_n++] = (struct sim_expect){.want = SIM_DATA, .message = number};
}

static void
script_go(struct sim_client *c)
{
	while (c->script_at < c->script_n && (c->is_pipelining || c->expects_n == 0))
		client_say(c, &c->script[c->script_at++]);
}

/* What a client does that waits for nothing. */
static void
client_next(struct sim_client *c)
{
	struct sim_world *w = c->w;
	uint64_t what = prng_below(&w->rc, 40);

	if (w->messages_n >= w->messages_max) {
		client_say(c, &(struct sim_expect){.want = SIM_QUIT});
		c->is_quitting = true;
	} else if (what < 26) {
		message_begin(c);
		script_go(c);
	} else if (what < 29) {
		client_say(c, &(struct sim_expect){.want = SIM_RSET});
	} else if (what < 30) {
		client_say(c, &(struct sim_expect){.want = SIM_NOOP});
	} else if (what < 31) {
		client_say(c, &(struct sim_expect){.want = SIM_QUIT});
		c->is_quitting = true;
	} else if (what < 38) {
		c->idle_until_ms =
		    clock_mono_ms(&w->clock) + prng_below(&w->rc, what == 37 ? 40000 : 300);
	} else {
		client_close(c);
	}
}

/* ---- hearing ---- */

static uint32_t
rcpt_mask(uint8_t rcpt)
{
	if (rcpt >= SIM_RCPT_REMOTE)
		return 1u << (SIM_REMOTE_BIT + rcpt - SIM_RCPT_REMOTE);
	if (rcpt < SIM_ACCOUNTS)
		return 1u << rcpt;
	return rcpt == SIM_RCPT_ALIAS ? SIM_ALIAS_MASK : 0;
}

/* 354: the whole message, and what is to be heard for it. */
static void
client_send_message(struct sim_client *c, uint32_t number)
{
	struct sim_world *w = c->w;
	struct sim_message *m = &w->messages[number];
	uint32_t all = 0;

	for (size_t i = 0; i < c->accepted_n; i++) {
		uint32_t mask = rcpt_mask(c->accepted[i]);
		all |= mask;
		if (c->is_lmtp)
			c->expects[c->expects_n++] =
			    (struct sim_expect){.want = SIM_END, .mask = mask, .message = number};
	}
	m->sent = all;
	if (!c->is_lmtp)
		c->expects[c->expects_n++] =
		    (struct sim_expect){.want = SIM_END, .mask = all, .message = number};
	body_put(c, number);
	c->message = 0;
	c->script_n = c->script_at = 0;
	/* RFC 2920 3.1: the next group may follow the end of the data at once. */
	if (c->is_pipelining && w->messages_n < w->messages_max && prng_below(&w->rc, 2)) {
		message_begin(c);
		script_go(c);
	}
}

static void
on_rcpt_reply(struct sim_client *c, const struct sim_expect *e, unsigned code)
{
	if (code != 250)
		return;
	if (e->rcpt == SIM_RCPT_UNKNOWN)
		sim_fail(c->w, "an address that does not exist was accepted");
	CHECK(c->accepted_n < COUNT_OF(c->accepted));
	c->accepted[c->accepted_n++] = e->rcpt;
}

static void
on_data_reply(struct sim_client *c, const struct sim_expect *e, unsigned code)
{
	if (code == 354) {
		if (c->accepted_n == 0)
			sim_fail(c->w, "354 without a recipient");
		else
			client_send_message(c, e->message);
		return;
	}
	/* Nothing of it went out. */
	c->message = 0;
	c->script_n = c->script_at = 0;
	client_say(c, &(struct sim_expect){.want = SIM_RSET});
}

static void
on_end_reply(struct sim_client *c, const struct sim_expect *e, unsigned code, struct str text)
{
	struct sim_world *w = c->w;
	struct sim_message *m = &w->messages[e->message];

	sim_say(w, "message %u to %02x: %u", e->message, e->mask, code);
	if (code != 250) {
		/* Unless the store went away before it answered, this says that it is not there. */
		if (str_find(text, STR("interrupted")) == text.n)
			m->refused |= e->mask;
		return;
	}
	if (!m->is_complete)
		sim_fail(w, "message %u was acknowledged before its end was sent", e->message);
	if ((m->acked & e->mask) == 0)
		w->result.acknowledged++;
	m->acked |= e->mask;
}

static void
on_reply(struct sim_client *c, unsigned code, struct str text)
{
	struct sim_expect e;

	if (code == 421 || c->expects_n == 0) {
		if (code != 421)
			sim_fail(c->w, "a reply (%u) to nothing", code);
		client_close(c);
		return;
	}
	e = c->expects[0];
	c->expects_n--;
	memmove(c->expects, c->expects + 1, c->expects_n * sizeof(c->expects[0]));
	switch (e.want) {
	case SIM_GREET:
		client_say(c, &(struct sim_expect){.want = SIM_HELO});
		return;
	case SIM_MAIL:
		if (code != 250 && !c->is_pipelining)
			c->script_n = c->script_at = 0;
		break;
	case SIM_RCPT:
		on_rcpt_reply(c, &e, code);
		break;
	case SIM_DATA:
		on_data_reply(c, &e, code);
		return;
	case SIM_END:
		on_end_reply(c, &e, code, text);
		break;
	case SIM_QUIT:
		client_close(c);
		return;
	case SIM_HELO:
	case SIM_RSET:
	case SIM_NOOP:
		if (code != 250)
			sim_fail(c->w, "%u to a command that cannot fail", code);
		break;
	}
	script_go(c);
}

static void
client_hear(struct sim_client *c)
{
	while (c->fd >= 0 && !c->w->is_failed) {
		struct str all = buf_str(&c->in), line;
		size_t n = str_find(all, STR("\r\n"));
		unsigned code = 0;
		char text[512];

		if (n == all.n)
			return;
		n = size_min(n, sizeof(text));
		memcpy(text, all.p, n);
		line = str_of(text, n);
		if (line.n < 4)
			sim_fail(c->w, "a reply of %zu bytes", line.n);
		for (size_t i = 0; i < 3 && i < line.n; i++)
			code = code * 10 + (unsigned)(line.p[i] - '0');
		bool is_last = line.n < 4 || line.p[3] == ' ';
		buf_consume(&c->in, n + 2);
		if (is_last)
			on_reply(c, code, line);
	}
}

static void
client_read(struct sim_client *c)
{
	char bytes[4096];
	ssize_t n =
	    recv(c->fd, bytes, 1 + (size_t)prng_below(&c->w->rc, sizeof(bytes)), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_close(c);
		return;
	}
	sim_trace(c->w, bytes, (size_t)n);
	(void)buf_put(&c->in, str_of(bytes, (size_t)n));
	client_hear(c);
}

static void
client_write(struct sim_client *c)
{
	size_t n = size_min(1 + (size_t)prng_below(&c->w->rc, c->piece_max), c->out.n - c->sent);
	ssize_t got = send(c->fd, c->out.p + c->sent, n, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (got < 0) {
		/* A broken line may still hold answers: reading finds its end. */
		return;
	}
	c->sent += (size_t)got;
	if (c->message_end != 0 && c->sent >= c->message_end) {
		c->w->messages[c->ending].is_complete = true;
		c->message_end = 0;
	}
	if (c->sent == c->out.n) {
		buf_reset(&c->out);
		c->sent = 0;
	}
}

void
sim_client_step(struct sim_client *c)
{
	struct sim_world *w = c->w;
	bool is_resting = clock_mono_ms(&w->clock) < c->idle_until_ms;

	if (c->fd < 0) {
		if (!is_resting && w->messages_n < w->messages_max)
			client_connect(c);
		return;
	}
	if (prng_below(&w->rc, 900) == 0 && !w->is_closing_down) {
		client_close(c);
		return;
	}
	if (c->sent < c->out.n)
		client_write(c);
	/* A slow reader now and then. */
	if (prng_below(&w->rc, 4))
		client_read(c);
	if (c->fd >= 0 && c->expects_n == 0 && c->sent == c->out.n && !is_resting)
		client_next(c);
}

void
sim_client_cut(struct sim_client *c)
{
	for (int i = 0; i < 200 && c->fd >= 0; i++)
		client_read(c);
	client_close(c);
}

bool
sim_client_is_done(const struct sim_client *c)
{
	return c->fd < 0;
}
