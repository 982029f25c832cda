#include "flow/relay/test_relay_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/enc.h"
#include "net/sim.h"
#include "sys/sock.h"

enum { LINE_MAX_BYTES = 4096 };

/* ---- servers ---- */

struct server {
	struct world *w;
	struct world_peer *p;
	struct conn *c;
	bool is_in_content, is_over;
	/* A login by SCRAM. */
	bool is_sasl, is_arena;
	struct sasl_server sasl;
	struct arena arena;
	struct server *prev, *next;
};

static const char *
rule_of(struct world_peer *p, struct str line)
{
	for (size_t i = 0; i < WORLD_RULES_MAX; i++) {
		struct world_rule *r = &p->rules[i];
		if (r->line == NULL || r->times < 0)
			continue;
		if (line.n == 0 ? r->line[0] != 0
				: (r->line[0] == 0 || !str_has_prefix_ci(line, str_of_c(r->line))))
			continue;
		if (r->times > 0 && --r->times == 0)
			r->times = -1;
		return r->reply;
	}
	return NULL;
}

static const char *
usual(struct server *s, struct str line)
{
	if (line.n == 0)
		return "220 mx.peer ESMTP\r\n";
	if (str_has_prefix_ci(line, STR("EHLO")))
		return "250-mx.peer\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-DSN\r\n250 SIZE "
		       "100000000\r\n";
	if (str_has_prefix_ci(line, STR("DATA")))
		return "354 go\r\n";
	if (str_has_prefix_ci(line, STR("QUIT"))) {
		s->p->quits_n++;
		return "221 bye\r\n";
	}
	return "250 2.0.0 ok\r\n";
}

static void
server_say(struct server *s, const char *reply)
{
	s->is_over = str_eq(str_of_c(reply), STR("CLOSE")) || str_eq(str_of_c(reply), STR("RESET"));
	if (str_eq(str_of_c(reply), STR("CLOSE")))
		conn_close(s->c);
	else if (str_eq(str_of_c(reply), STR("RESET")))
		conn_abort(s->c);
	else if (!str_eq(str_of_c(reply), STR("HANG")))
		(void)buf_put(conn_out(s->c), str_of_c(reply));
}

static void
sasl_line(struct server *s, struct str line)
{
	struct scram_verifier v;
	struct sasl_out out = {0};
	struct buf bytes;
	enum sasl_step step;

	buf_init(&bytes, 4096);
	CHECK(base64_decode(line, &bytes) == ST_OK);
	step = sasl_server_step(&s->sasl, buf_str(&bytes), &s->arena, &out);
	if (step == SASL_NEED_CREDENTIALS) {
		CHECK(scram_verifier_make_weak(sasl_mech_hash(s->sasl.mech),
			  str_of_c(s->p->scram_password), STR("saltsalt"), 4096, &v) == ST_OK);
		step = sasl_server_verifier(&s->sasl, &v, &s->arena, &out);
	}
	if (step == SASL_CHALLENGE) {
		(void)buf_put(conn_out(s->c), STR("334 "));
		(void)base64_encode(out.challenge, conn_out(s->c));
		(void)buf_put(conn_out(s->c), STR("\r\n"));
	} else {
		s->is_sasl = false;
		(void)buf_put(conn_out(s->c),
		    step == SASL_OK ? STR("235 2.7.0 welcome\r\n") : STR("535 5.7.8 no\r\n"));
	}
	buf_fini(&bytes);
}

static bool
sasl_begin(struct server *s, struct str line)
{
	struct str word, mech, initial;

	if (s->p->scram_password == NULL || !str_has_prefix_ci(line, STR("AUTH SCRAM-")))
		return false;
	(void)str_split(line, ' ', &word, &line);
	(void)str_split(line, ' ', &mech, &initial);
	arena_init(&s->arena, SASL_ARENA_BYTES);
	s->is_sasl = s->is_arena = true;
	enum sasl_mech m;
	CHECK(sasl_mech_parse(mech, &m) == ST_OK);
	sasl_server_init(&s->sasl, m);
	sasl_server_scram(&s->sasl, &(struct sasl_scram){.nonce = STR("012345678901234567890123"),
					.secret = STR("0123456789abcdef"),
					.iterations = 4096});
	sasl_line(s, initial);
	return true;
}

static void
server_line(struct server *s, struct str line)
{
	const char *reply;

	if (s->is_sasl) {
		sasl_line(s, line);
		return;
	}
	if (sasl_begin(s, line))
		return;
	reply = rule_of(s->p, line);

	(void)buf_put(&s->p->commands, line);
	(void)buf_put_c(&s->p->commands, '\n');
	if (reply == NULL)
		reply = usual(s, line);
	if (str_has_prefix_ci(line, STR("MAIL")))
		s->p->is_tls = conn_tls(s->c) != NULL;
	server_say(s, reply);
	if (reply[0] == '3' && str_has_prefix_ci(line, STR("DATA"))) {
		s->is_in_content = true;
		buf_reset(&s->p->content);
	}
	if (str_has_prefix_ci(line, STR("STARTTLS")) && reply[0] == '2' && s->w->server_tls != NULL)
		conn_start_tls(s->c, s->w->server_tls);
	if (str_has_prefix_ci(line, STR("QUIT")))
		conn_close(s->c);
}

static void
content_line(struct server *s, struct str line)
{
	const char *reply;

	if (!str_eq(line, STR("."))) {
		(void)buf_put(&s->p->content, line);
		(void)buf_put(&s->p->content, STR("\r\n"));
		return;
	}
	s->is_in_content = false;
	s->p->messages_n++;
	reply = rule_of(s->p, STR("."));
	server_say(s, reply != NULL ? reply : "250 2.0.0 queued as 7\r\n");
}

static void
server_input(void *arg, struct conn *c, struct cur *in)
{
	struct server *s = arg;
	struct str line;

	(void)c;
	if (s->p->is_not_reading && s->is_in_content) {
		conn_pause(s->c);
		return;
	}
	while (!s->is_over && cur_take_line(in, &line)) {
		if (s->is_in_content)
			content_line(s, line);
		else
			server_line(s, line);
		if (conn_tls(s->c) == NULL && str_has_prefix_ci(line, STR("STARTTLS")))
			return;
	}
}

static void
server_greet(struct server *s)
{
	const char *reply = rule_of(s->p, STR_NULL);

	server_say(s, reply != NULL ? reply : usual(s, STR_NULL));
}

static void
server_tls_done(void *arg, struct conn *c)
{
	struct server *s = arg;

	(void)c;
	if (s->p->is_implicit_tls)
		server_greet(s);
}

static void
server_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct server *s = arg;

	(void)c;
	(void)why;
	if (s->is_arena) {
		sasl_server_fini(&s->sasl);
		arena_fini(&s->arena);
	}
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		s->w->servers = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	free(s);
}

static const struct conn_handler server_handler = {
    .input = server_input, .tls_done = server_tls_done, .closed = server_closed};

static struct world_peer *
peer_at(struct world *w, const struct sock_addr *a)
{
	struct sock_addr b;

	for (size_t i = 0; i < WORLD_PEERS_MAX; i++)
		if (w->peers[i].ip != NULL &&
		    sock_ip_parse(str_of_c(w->peers[i].ip), &b) == ST_OK && sock_ip_eq(a, &b))
			return &w->peers[i];
	return NULL;
}

static struct conn *
world_connect(void *arg, const struct sock_addr *to, const struct conn_handler *h, void *conn_arg,
    size_t input_bytes_max)
{
	struct world *w = arg;
	struct world_peer *p = peer_at(w, to);
	struct sock_addr nobody;
	struct sim_end *mine, *theirs;
	struct server *s;
	struct conn *c;

	if (p == NULL || p->is_refusing) {
		CHECK(sock_ip_parse(STR("127.0.0.1"), &nobody) == ST_OK);
		nobody.port = 1;
		return conn_new_connect(w->loop, &nobody, NULL, h, conn_arg, input_bytes_max);
	}
	p->connections_n++;
	sim_pair(w->loop, &(struct sim_opts){.seed = 7}, &mine, &theirs);
	c = conn_new_sim(w->loop, mine, h, conn_arg, input_bytes_max);
	conn_set_peer(c, to);
	s = calloc(1, sizeof(*s));
	CHECK(s != NULL);
	s->w = w;
	s->p = p;
	s->next = w->servers;
	if (s->next != NULL)
		s->next->prev = s;
	w->servers = s;
	s->c = conn_new_sim(w->loop, theirs, &server_handler, s, LINE_MAX_BYTES);
	if (p->is_implicit_tls)
		conn_start_tls(s->c, w->server_tls);
	else
		server_greet(s);
	return c;
}

/* ---- roles ---- */

static void
str16_put(struct buf *b, struct str s)
{
	CHECK(buf_put_str16(b, s) == ST_OK);
}

static void
rcpt_put(struct world *w, struct buf *out, uint32_t index, struct str path)
{
	(void)buf_put_le32(out, index);
	(void)buf_put_c(out, (char)w->m.notify);
	str16_put(out, path);
	str16_put(out, w->m.orcpt != NULL ? str_of_c(w->m.orcpt) : STR_NULL);
}

static void
store_fetched(struct world *w, const struct rec_queue_fetch *f)
{
	const struct world_message *m = &w->m;
	struct buf rcpts, keys, name;

	buf_init(&rcpts, 1 << 20);
	buf_init(&keys, 4096);
	buf_init(&name, 100);
	for (uint32_t i = 0; i < m->many; i++) {
		buf_reset(&name);
		(void)buf_putf(&name, "r%u@a.example", i);
		rcpt_put(w, &rcpts, i, buf_str(&name));
	}
	for (uint32_t i = 0; m->many == 0 && i < 8 && m->rcpts[i] != NULL; i++)
		rcpt_put(w, &rcpts, 10 + i, str_of_c(m->rcpts[i]));
	for (uint8_t i = 0; i < m->keys_n; i++) {
		(void)buf_put_c(&keys, i == 0 ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256);
		str16_put(&keys, i == 0 ? STR("s1") : STR("s2"));
		str16_put(&keys, STR("sealed"));
	}
	if (!m->is_silent)
		(void)rec_queue_message_put(
		    link_out(w->store.role), &(struct rec_queue_message){.job = f->job,
						 .ok = !m->is_not_ok,
						 .reverse_path = m->reverse_path,
						 .rcpts = buf_str(&rcpts),
						 .head = m->head,
						 .flags = m->flags,
						 .ret = m->ret,
						 .envid = m->envid,
						 .by_ms = m->by_ms,
						 .by_mode = m->by_mode,
						 .priority = m->priority,
						 .sign_domain = m->sign_domain,
						 .keys = buf_str(&keys),
						 .body_bytes = m->body.n,
						 .body = str_take(m->body, QUEUE_BODY_BYTES)});
	buf_fini(&rcpts);
	buf_fini(&keys);
	buf_fini(&name);
}

static void
store_read(struct world *w, const struct rec_queue_read *q)
{
	w->reads_n++;
	if (w->m.is_read_silent)
		return;
	CHECK(q->off < w->m.body.n);
	(void)rec_queue_piece_put(link_out(w->store.role),
	    &(struct rec_queue_piece){.job = q->job,
		.ok = !w->m.is_read_failing,
		.off = q->off,
		.bytes = w->m.is_read_failing
			     ? STR_NULL
			     : str_take(str_from(w->m.body, (size_t)q->off), q->bytes_max)});
}

static void
copy_z(char *out, size_t max, struct str s)
{
	size_t n = size_min(s.n, max - 1);

	if (n > 0)
		memcpy(out, s.p, n);
	out[n] = 0;
}

static void
results_take(struct world_done *d, struct str results)
{
	struct cur c = cur_of(results);

	while (!cur_at_end(&c)) {
		struct str text;
		size_t i = size_min(d->results_n++, COUNT_OF(d->result) - 1);
		CHECK(cur_le32(&c, &d->result[i].index) && cur_u8(&c, &d->result[i].verdict) &&
		      cur_le16(&c, &d->result[i].code));
		for (int k = 0; k < 3; k++)
			CHECK(cur_le16(&c, &d->result[i].enhanced[k]));
		CHECK(cur_str16(&c, &text) && text.n <= RELAY_TEXT_MAX);
		copy_z(d->result[i].text, sizeof(d->result[i].text), text);
		CHECK(d->result[i].verdict <= QUEUE_FAILED && d->result[i].code >= 200 &&
		      d->result[i].code < 600);
	}
}

static void
queue_done(struct world *w, const struct rec_relay_done *r)
{
	struct world_done *d;

	CHECK(w->done_n < WORLD_DONE_MAX);
	/* Each job once. */
	for (size_t i = 0; i < w->done_n; i++)
		CHECK(w->done[i].job != r->job);
	d = &w->done[w->done_n++];
	*d = (struct world_done){.job = r->job,
	    .outcome = r->outcome,
	    .code = r->code,
	    .enhanced = {r->class, r->subject, r->detail}};
	CHECK(r->outcome <= SCHEDULE_DEFERRED_MESSAGE && r->text.n <= RELAY_TEXT_MAX);
	copy_z(d->host, sizeof(d->host), r->host);
	copy_z(d->ip, sizeof(d->ip), r->ip);
	copy_z(d->tls, sizeof(d->tls), r->tls);
	copy_z(d->text, sizeof(d->text), r->text);
	results_take(d, r->results);
}

static void
answers_put(struct buf *out, const char *answers)
{
	struct str rest = str_of_c(answers), one;

	while (rest.n > 0) {
		char text[300];
		bool more = str_split(rest, ' ', &one, &rest);
		copy_z(text, sizeof(text), one);
		for (char *p = text; *p != 0; p++)
			if (*p == ',')
				*p = ' ';
		str16_put(out, str_of_c(text));
		if (!more)
			break;
	}
}

static void
resolver_asked(struct world *w, const struct rec_dns *q)
{
	/* Nothing is known of it: there is no such name. */
	struct world_dns none = {.rcode = DNS_NXDOMAIN, .answers = ""}, *d = &none;
	struct buf answers;

	w->asked_n++;
	for (size_t i = 0; i < WORLD_DNS_MAX && w->dns[i].name != NULL; i++) {
		if (!str_eq_ci(q->name, str_of_c(w->dns[i].name)))
			continue;
		if (w->dns[i].rrtype == q->rrtype) {
			d = &w->dns[i];
			break;
		}
		none.rcode = DNS_NOERROR;
	}
	if (d->is_silent)
		return;
	buf_init(&answers, 65536);
	answers_put(&answers, d->answers != NULL ? d->answers : "");
	(void)rec_dns_answer_put(link_out(w->resolver.role), &(struct rec_dns_answer){.ask = q->ask,
								 .rcode = d->rcode,
								 .security = d->security,
								 .is_timeout = d->is_timeout,
								 .answers = buf_str(&answers)});
	buf_fini(&answers);
}

static void
keys_asked(struct world *w, const struct rec_dkim_sign *q)
{
	static const char signature[256] = {1, 2, 3};
	size_t n = q->algorithm == DKIM_RSA_SHA256 ? 256 : 64;

	w->signs_n++;
	CHECK(q->digest.n == 32 && str_has_prefix(q->context, STR("dkim ")));
	if (!w->is_keys_silent)
		(void)rec_dkim_signed_put(link_out(w->keys.role),
		    &(struct rec_dkim_signed){.ticket = q->ticket,
			.signature = w->is_keys_failing ? STR_NULL : str_of(signature, n)});
}

static bool
role_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct world_link *wl = arg;
	struct world *w = wl->w;
	union {
		struct rec_queue_fetch fetch;
		struct rec_queue_read read;
		struct rec_relay_done done;
		struct rec_dns dns;
		struct rec_dkim_sign sign;
	} r;

	(void)l;
	if (t == REC_QUEUE_FETCH && rec_queue_fetch_take(c, &r.fetch))
		store_fetched(w, &r.fetch);
	else if (t == REC_QUEUE_READ && rec_queue_read_take(c, &r.read))
		store_read(w, &r.read);
	else if (t == REC_RELAY_DONE && rec_relay_done_take(c, &r.done))
		queue_done(w, &r.done);
	else if (t == REC_DNS && rec_dns_take(c, &r.dns))
		resolver_asked(w, &r.dns);
	else if (t == REC_DKIM_SIGN && rec_dkim_sign_take(c, &r.sign))
		keys_asked(w, &r.sign);
	else
		check_failed(__FILE__, __LINE__, "a record that relay may send");
	return true;
}

static bool
relay_end_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct world_link *wl = arg;

	(void)l;
	CHECK(relay_record(wl->w->relay, t, c));
	return true;
}

static void
no_end(void *arg, struct link *l)
{
	(void)arg;
	(void)l;
	check_failed(__FILE__, __LINE__, "the lines stay");
}

static const struct link_handler role_handler = {.record = role_record, .closed = no_end};
static const struct link_handler relay_end_handler = {.record = relay_end_record, .closed = no_end};

static void
world_link_init(struct world *w, struct world_link *wl, enum role_kind kind)
{
	int fds[2];

	CHECK(sock_pair(fds) == ST_OK);
	wl->w = w;
	wl->relay = link_new(w->loop, fds[0], ROLE_RELAY, kind, 0, false, &relay_end_handler, wl);
	wl->role = link_new(w->loop, fds[1], kind, ROLE_RELAY, 0, false, &role_handler, wl);
}

static struct link *
link_of(const struct world_link *wl)
{
	return wl->is_down ? NULL : wl->relay;
}

static struct link *
op_store(void *arg)
{
	return link_of(&((struct world *)arg)->store);
}

static struct link *
op_queue(void *arg)
{
	return link_of(&((struct world *)arg)->queue);
}

static struct link *
op_resolver(void *arg)
{
	return link_of(&((struct world *)arg)->resolver);
}

static struct link *
op_keys(void *arg)
{
	return link_of(&((struct world *)arg)->keys);
}

static const struct relay_ops world_ops = {.store = op_store,
    .queue = op_queue,
    .resolver = op_resolver,
    .keys = op_keys,
    .connect = world_connect};

/* ---- the whole ---- */

void
world_set(struct world *w, const char *hostname, uint64_t idle_ms)
{
	CHECK(relay_set(w->relay, &(struct relay_settings){.hostname = str_of_c(hostname),
				      .port = 25,
				      .idle_ms = idle_ms,
				      .routes = buf_str(&w->routes)}) == ST_OK);
}

void
world_route(struct world *w, const char *domain, const char *host, uint16_t port, uint8_t tls,
    const char *user, const char *password)
{
	str16_put(&w->routes, str_of_c(domain));
	str16_put(&w->routes, str_of_c(host));
	(void)buf_put_le16(&w->routes, port);
	(void)buf_put_c(&w->routes, (char)tls);
	str16_put(&w->routes, str_of_c(user));
	str16_put(&w->routes, str_of_c(password));
	world_set(w, "us.example", 10000);
}

void
world_init(struct world *w)
{
	*w = (struct world){0};
	w->done = calloc(WORLD_DONE_MAX, sizeof(*w->done));
	CHECK(w->done != NULL);
	clock_init_fake(&w->clock, 1700000000000);
	w->loop = loop_new(&w->clock);
	w->relay = relay_new(w->loop, &world_ops, w);
	world_link_init(w, &w->store, ROLE_STORE);
	world_link_init(w, &w->queue, ROLE_QUEUE);
	world_link_init(w, &w->resolver, ROLE_RESOLVER);
	world_link_init(w, &w->keys, ROLE_KEYS);
	buf_init(&w->routes, 1 << 16);
	for (size_t i = 0; i < WORLD_PEERS_MAX; i++) {
		buf_init(&w->peers[i].commands, 1 << 20);
		buf_init(&w->peers[i].content, 64 << 20);
	}
	w->m = (struct world_message){.reverse_path = STR("me@us.example"),
	    .rcpts = {"you@a.example"},
	    .head = STR("Received: by us.example\r\n"),
	    .body = STR("From: me@us.example\r\nSubject: hi\r\n\r\ntext\r\n.dot\r\n"),
	    .priority = ENVELOPE_PRIORITY_ZERO};
	world_set(w, "us.example", 10000);
}

void
world_fini(struct world *w)
{
	relay_free(&w->relay);
	for (struct server *s = w->servers; s != NULL; s = s->next)
		conn_abort(s->c);
	for (int i = 0; i < 50; i++)
		(void)loop_turn(w->loop, 0);
	link_free(&w->store.relay);
	link_free(&w->store.role);
	link_free(&w->queue.relay);
	link_free(&w->queue.role);
	link_free(&w->resolver.relay);
	link_free(&w->resolver.role);
	link_free(&w->keys.relay);
	link_free(&w->keys.role);
	tls_context_free(&w->server_tls);
	tls_context_free(&w->client_tls);
	free(w->done);
	buf_fini(&w->routes);
	for (size_t i = 0; i < WORLD_PEERS_MAX; i++) {
		buf_fini(&w->peers[i].commands);
		buf_fini(&w->peers[i].content);
	}
	loop_free(&w->loop);
}

void
world_send(struct world *w, uint64_t job, const char *destination)
{
	(void)rec_relay_put(link_out(w->queue.role),
	    &(struct rec_relay){.job = job, .message = 1, .destination = str_of_c(destination)});
}

static void
settle(struct world *w)
{
	for (int i = 0; i < 200; i++)
		(void)loop_turn(w->loop, 0);
}

void
world_run(struct world *w, uint64_t ms)
{
	settle(w);
	while (ms > 0) {
		uint64_t step = ms < 1000 ? ms : 1000;
		clock_advance(&w->clock, step);
		ms -= step;
		for (int i = 0; i < 12; i++)
			(void)loop_turn(w->loop, 0);
	}
	settle(w);
}

const struct world_done *
world_relay(struct world *w, const char *destination)
{
	size_t before = w->done_n;

	world_send(w, 1000 + before, destination);
	settle(w);
	for (int s = 0; w->done_n == before && s < 1800; s++) {
		clock_advance(&w->clock, 1000);
		for (int i = 0; i < 12; i++)
			(void)loop_turn(w->loop, 0);
	}
	CHECK(w->done_n == before + 1 && w->done[before].job == 1000 + before);
	return &w->done[before];
}

struct world_peer *
world_peer(struct world *w, const char *ip)
{
	for (size_t i = 0; i < WORLD_PEERS_MAX; i++) {
		if (w->peers[i].ip == NULL)
			w->peers[i].ip = ip;
		if (str_eq(str_of_c(w->peers[i].ip), str_of_c(ip)))
			return &w->peers[i];
	}
	check_failed(__FILE__, __LINE__, "enough peers");
}

void
world_down(struct world *w, struct world_link *l)
{
	l->is_down = true;
	relay_link_down(w->relay, link_peer(l->relay));
}
