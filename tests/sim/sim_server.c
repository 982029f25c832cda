/*
 * The servers of other domains, and the name servers: what they do with a recipient is fixed
 * (sim_fate), how much trouble they make on the way is not.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "net/conn.h"
#include "net/dns_packet.h"
#include "net/sim.h"
#include "protocols/smtp/smtp_server.h"
#include "sim.h"

enum { SLOW_MS = 20000, OFF_TURNS_MAX = 100 };

enum stage { STAGE_NONE, STAGE_GREET, STAGE_MAIL, STAGE_RCPT, STAGE_DATA, STAGE_END, STAGES };

enum trouble {
	TROUBLE_CLOSE,
	TROUBLE_ABORT,
	TROUBLE_DEFER,
	TROUBLE_SLOW,
	TROUBLES, /* those of every stage */
	/* The message is there, and ... */
	TROUBLE_TAKE_CLOSE = TROUBLES, /* nobody says so */
	TROUBLE_TAKE_ABORT,
	TROUBLE_TELL_CLOSE, /* that was all */
	TROUBLE_TELL_ABORT,
	TROUBLES_END,
};

/* One connection. */
struct sim_server {
	struct sim_world *w;
	struct conn *c;
	struct smtp_server smtp;
	unsigned domain;
	uint32_t relay_life;
	enum stage stage; /* where there is trouble, once */
	enum trouble trouble;
	bool is_cut; /* it will break somewhere */
	bool is_over;
	/* A slow answer. */
	struct loop_id timer;
	unsigned code;
	const char *text;
	/* The transaction. */
	bool is_ours;
	uint32_t message;
	uint32_t remotes;
	struct buf content;
	struct sim_server *prev, *next;
};

static const struct smtp_server_conf conf = {.hostname = STR_INIT("mx.elsewhere.example"),
    .message_bytes_max = 100u << 20,
    .rcpts_max = 100,
    .messages_max = 100,
    .errors_max = 100};

/* Others have their troubles whatever happens here: a calm run has the syncs of the one that is
 * cut. */
static bool
is_calm(const struct sim_world *w)
{
	return w->is_closing_down;
}

/* ---- answers ---- */

static void
server_reply(struct sim_server *s, unsigned code, const char *text)
{
	smtp_server_reply(&s->smtp, conn_out(s->c), code, str_of_c(text));
}

static void
on_slow(void *arg)
{
	struct sim_server *s = arg;

	s->timer = (struct loop_id){0};
	server_reply(s, s->code, s->text);
	conn_resume(s->c);
}

static void
server_break(struct sim_server *s, bool is_abort)
{
	s->is_over = true;
	if (is_abort)
		conn_abort(s->c);
	else
		conn_close(s->c);
}

/* Is there trouble at this stage now? It comes once. */
static bool
server_meets(struct sim_server *s, enum stage stage)
{
	if (s->stage != stage || prng_below(&s->w->rs, 3) == 0)
		return false;
	s->stage = STAGE_NONE;
	return true;
}

/* False: that was not the answer. */
static bool
server_answer(struct sim_server *s, enum stage stage, unsigned code, const char *text)
{
	if (!server_meets(s, stage)) {
		server_reply(s, code, text);
		return true;
	}
	sim_say(s->w, "d%u.example makes trouble %d at stage %d", s->domain, (int)s->trouble,
	    (int)stage);
	switch (s->trouble) {
	case TROUBLE_CLOSE:
	case TROUBLE_ABORT:
	case TROUBLE_TAKE_CLOSE:
	case TROUBLE_TAKE_ABORT:
		server_break(s, s->trouble == TROUBLE_ABORT || s->trouble == TROUBLE_TAKE_ABORT);
		return false;
	case TROUBLE_DEFER:
		server_reply(s, 451, "4.3.0 not now");
		return false;
	case TROUBLE_SLOW:
		s->code = code;
		s->text = text;
		conn_pause(s->c);
		s->timer =
		    loop_timer_add(s->w->loop, 1 + prng_below(&s->w->rs, SLOW_MS), on_slow, s);
		return true;
	case TROUBLE_TELL_CLOSE:
	case TROUBLE_TELL_ABORT:
	case TROUBLES_END:
		server_reply(s, code, text);
		server_break(s, s->trouble == TROUBLE_TELL_ABORT);
		return true;
	}
	return false;
}

/* ---- the transaction ---- */

static bool
is_current(const struct sim_server *s)
{
	return s->relay_life == s->w->relay_lives && s->w->children[SIM_RELAY].role != NULL;
}

static void
on_mail(struct sim_server *s, const struct smtp_event *ev)
{
	s->is_ours = sim_sender_parse(s->w, ev->path, &s->message);
	s->remotes = 0;
	buf_reset(&s->content);
	if (!s->is_ours)
		sim_fail(s->w, "mail from %.*s leaves", STR_ARG(ev->path));
	(void)server_answer(s, STAGE_MAIL, 250, "2.1.0 ok");
}

static void
on_rcpt(struct sim_server *s, const struct smtp_event *ev)
{
	struct sim_world *w = s->w;
	uint64_t mood = prng_below(&w->rs, 60);
	unsigned r;

	if (!sim_remote_parse(ev->path, &r) || r % SIM_DOMAINS != s->domain) {
		sim_fail(w, "mail to %.*s goes to the servers of d%u.example", STR_ARG(ev->path),
		    s->domain);
		return;
	}
	/* What a relay wrote before it was killed still arrives. */
	if (s->is_ours && w->sendings[s->message][r].is_recorded && is_current(s))
		sim_fail(w, "message %u is sent to r%u, which is recorded as done", s->message, r);
	if (s->is_ours && sim_fate(w, s->message, r) == SIM_FATE_LATE)
		(void)server_answer(s, STAGE_RCPT, 451, "4.2.1 tomorrow, perhaps");
	else if (s->is_ours && sim_fate(w, s->message, r) == SIM_FATE_REFUSED &&
		 !sim_fate_is_content(w, s->message, s->domain))
		(void)server_answer(s, STAGE_RCPT, 550, "5.1.1 nobody");
	else if (mood < 5 && !is_calm(w))
		(void)server_answer(s, STAGE_RCPT, mood == 0 ? 452 : 450,
		    mood == 0 ? "4.5.3 too many" : "4.2.0 busy");
	else if (server_answer(s, STAGE_RCPT, 250, "2.1.5 ok"))
		s->remotes |= 1u << r;
}

/* Behind the lines that servers add: as it was sent to us. */
static void
content_verify(struct sim_server *s)
{
	struct sim_world *w = s->w;
	struct str all = buf_str(&s->content);
	size_t at = str_find(all, STR("\r\nX-Sim: "));

	sim_message_make(&w->messages[s->message], s->message, &w->want);
	if (at == all.n || !str_eq(str_from(all, at + 2), buf_str(&w->want)))
		sim_fail(w, "message %u is changed on its way out (%zu bytes)", s->message, all.n);
}

static void
message_take(struct sim_server *s, bool is_told)
{
	struct sim_world *w = s->w;

	content_verify(s);
	for (unsigned r = 0; r < SIM_REMOTES; r++)
		if ((s->remotes & 1u << r) != 0)
			sim_outcome_taken(w, s->message, r, is_current(s), is_told && !s->is_cut);
}

static void
on_end(struct sim_server *s)
{
	bool is_trouble = s->stage == STAGE_END;
	bool is_lost = is_trouble && s->trouble != TROUBLE_SLOW && s->trouble != TROUBLE_TELL_CLOSE;

	if (s->content.full || !s->is_ours) {
		server_reply(s, 554, "5.6.0 no");
		return;
	}
	if (sim_fate_is_content(s->w, s->message, s->domain)) {
		(void)server_answer(s, STAGE_END, 554, "5.7.1 not this one");
		return;
	}
	if (is_trouble && s->trouble <= TROUBLE_DEFER) {
		enum trouble t = s->trouble;
		s->stage = STAGE_NONE;
		if (t == TROUBLE_DEFER)
			server_reply(s, 451, "4.3.0 not now");
		else
			server_break(s, t == TROUBLE_ABORT);
		return;
	}
	message_take(s, !is_lost);
	(void)server_answer(s, STAGE_END, 250, "2.0.0 taken");
}

/* ---- the connection ---- */

static void
server_input(void *arg, struct conn *c, struct cur *in)
{
	struct sim_server *s = arg;

	while (!s->is_over && s->timer.v == 0 && !s->w->is_failed) {
		struct smtp_event ev = smtp_server_next(&s->smtp, in, conn_out(c));

		if (ev.kind == SMTP_EV_MORE)
			return;
		if (ev.kind == SMTP_EV_FLUSH) {
			conn_hold(c);
			return;
		}
		if (ev.kind == SMTP_EV_CLOSE)
			server_break(s, false);
		else if (ev.kind == SMTP_EV_MAIL)
			on_mail(s, &ev);
		else if (ev.kind == SMTP_EV_RCPT)
			on_rcpt(s, &ev);
		else if (ev.kind == SMTP_EV_DATA)
			(void)server_answer(s, STAGE_DATA, 354, "go on");
		else if (ev.kind == SMTP_EV_CHUNK)
			(void)buf_put(&s->content, ev.bytes);
		else if (ev.kind == SMTP_EV_END)
			on_end(s);
	}
}

static void
server_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct sim_server *s = arg;

	(void)c;
	(void)why;
	loop_timer_del(s->w->loop, &s->timer);
	buf_fini(&s->content);
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		s->w->servers = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	free(s);
}

static const struct conn_handler server_handler = {.input = server_input, .closed = server_closed};

static void
server_greet(struct sim_server *s)
{
	if (!server_meets(s, STAGE_GREET)) {
		smtp_server_greet(&s->smtp, conn_out(s->c));
		return;
	}
	if (s->trouble == TROUBLE_DEFER || s->trouble == TROUBLE_SLOW)
		smtp_server_refuse(&s->smtp, conn_out(s->c),
		    s->trouble == TROUBLE_DEFER ? STR("421 4.3.2 busy") : STR("554 5.3.2 no"));
	else
		server_break(s, s->trouble == TROUBLE_ABORT);
}

static void
server_new(struct sim_world *w, struct sim_end *end, unsigned domain, bool is_cut)
{
	struct sim_server *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->w = w;
	s->domain = domain;
	s->is_cut = is_cut;
	s->relay_life = w->relay_lives;
	if (!is_calm(w) && prng_below(&w->rs, 2)) {
		s->stage = (enum stage)(1 + prng_below(&w->rs, STAGES - 1));
		/* The end is where most can go wrong. */
		if (prng_below(&w->rs, 3) == 0)
			s->stage = STAGE_END;
		s->trouble = (enum trouble)prng_below(
		    &w->rs, s->stage == STAGE_END ? TROUBLES_END : TROUBLES);
	}
	buf_init(&s->content, SIM_BODY_BYTES_MAX + 65536);
	s->next = w->servers;
	if (s->next != NULL)
		s->next->prev = s;
	w->servers = s;
	smtp_server_init(&s->smtp, &conf, false);
	s->c = conn_new_sim(w->loop, end, &server_handler, s, SMTP_LINE_MAX);
	server_greet(s);
}

struct conn *
sim_server_connect(void *arg, const struct sock_addr *to, const struct conn_handler *h,
    void *conn_arg, size_t input_bytes_max)
{
	static const size_t pieces[] = {0, 200, 1400, 20000};
	struct sim_world *w = arg;
	unsigned domain = to->ip[15] % SIM_DOMAINS;
	struct sim_opts o = {.seed = prng_u64(&w->rs),
	    .piece_bytes_max = pieces[prng_below(&w->rs, COUNT_OF(pieces))],
	    .delay_ms_max = prng_below(&w->rs, 2) ? prng_below(&w->rs, 40) : 0};
	struct sock_addr nowhere;
	struct sim_end *mine, *theirs;
	struct conn *c;

	if (!is_calm(w) &&
	    (clock_mono_ms(&w->clock) < w->down_until_ms[domain] || prng_below(&w->rs, 20) == 0)) {
		/* Nobody can be there: it fails at once, and the same way every time. */
		CHECK(sock_ip_parse(STR("255.255.255.255"), &nowhere) == ST_OK);
		nowhere.port = 25;
		return conn_new_connect(w->loop, &nowhere, NULL, h, conn_arg, input_bytes_max);
	}
	if (!is_calm(w) && prng_below(&w->rs, 8) == 0)
		o.cut_ab_bytes = 1 + prng_below(&w->rs, prng_below(&w->rs, 2) ? 1000 : 20000);
	if (!is_calm(w) && prng_below(&w->rs, 8) == 0)
		o.cut_ba_bytes = 1 + prng_below(&w->rs, 500);
	sim_pair(w->loop, &o, &mine, &theirs);
	c = conn_new_sim(w->loop, mine, h, conn_arg, input_bytes_max);
	conn_set_peer(c, to);
	server_new(w, theirs, domain, o.cut_ab_bytes != 0 || o.cut_ba_bytes != 0);
	return c;
}

void
sim_servers_off(struct sim_world *w)
{
	for (struct sim_server *s = w->servers; s != NULL; s = s->next) {
		s->is_over = true;
		conn_abort(s->c);
	}
	/* Their last calls come from the loop. */
	for (int i = 0; w->servers != NULL && i < OFF_TURNS_MAX; i++)
		(void)loop_turn(w->loop, 0);
	CHECK(w->servers == NULL);
}

/* ---- names ---- */

/* One host for each domain, and one address for each host. */
static bool
name_answers(const struct rec_dns *q, struct buf *out)
{
	struct buf text;
	struct str name = q->name;
	bool is_host = str_has_prefix_ci(name, STR("mx."));

	if (is_host)
		name = str_from(name, 3);
	if (name.n < 10 || (name.p[0] != 'd' && name.p[0] != 'D') ||
	    !str_has_prefix_ci(str_from(name, 2), STR(".example")))
		return false;
	buf_init(&text, 256);
	if (!is_host && q->rrtype == DNS_MX)
		(void)buf_putf(&text, "10 mx.d%c.example", name.p[1]);
	else if (is_host && q->rrtype == DNS_A)
		(void)buf_putf(&text, "192.0.2.%u", 30u + (unsigned)(name.p[1] - '0'));
	if (text.n > 0)
		(void)buf_put_str16(out, buf_str(&text));
	buf_fini(&text);
	return true;
}

static bool
resolver_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct sim_world *w = arg;
	struct rec_dns q;
	struct rec_dns_answer a;
	struct buf answers;

	if (t != REC_DNS || !rec_dns_take(c, &q))
		return false;
	if (!is_calm(w) && prng_below(&w->rs, 40) == 0)
		return true;
	buf_init(&answers, 1024);
	a = (struct rec_dns_answer){.ask = q.ask};
	if (!is_calm(w) && prng_below(&w->rs, 20) == 0)
		a.rcode = DNS_SERVFAIL;
	else
		a.rcode = name_answers(&q, &answers) ? DNS_NOERROR : DNS_NXDOMAIN;
	a.answers = buf_str(&answers);
	(void)rec_dns_answer_put(link_out(l), &a);
	buf_fini(&answers);
	return true;
}

static void
resolver_closed(void *arg, struct link *l)
{
	struct sim_world *w = arg;

	CHECK(w->resolver == l);
	link_free(&w->resolver);
}

static const struct link_handler resolver_handler = {
    .record = resolver_record, .closed = resolver_closed};

void
sim_resolver_set(struct sim_world *w, int fd)
{
	link_free(&w->resolver);
	w->resolver =
	    link_new(w->loop, fd, ROLE_RESOLVER, ROLE_RELAY, 0, false, &resolver_handler, w);
}
