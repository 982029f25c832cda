/*
 * Fuzz: relay between servers, a resolver, a store and keys that answer what they like, in any
 * order. Every message that the queue asks for is answered exactly once, and at the end nothing is
 * left.
 *
 * The first byte chooses route, signing and flags; then each line is one thing that happens:
 *   q        the queue asks for a message             Q        for one to an address literal
 *   m text   the store gives the message, text in it  M        it cannot
 *   L        the store gives the beginning of a large one
 *   b        a piece of it comes                      B        it cannot
 *   n answers  the resolver answers the oldest question ('|' between two)      N c  with code c
 *   s        keys sign                                S        keys fail
 *   p text   the server says text and CRLF            c text   the same without CRLF
 *   E, R     the server goes away, breaks             x t...   any record: its type by t, after the
 * last id these bytes k c      a role goes down                         K        all are up t time
 * passes: a minute                    z        relay stops
 */
#include <unistd.h>

#include "base/log.h"
#include "flow/relay/relay_internal.h"
#include "net/sim.h"
#include "sys/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 300, JOBS_MAX = 32, SERVERS_MAX = 64, IDS_MAX = 64, LARGE_BYTES = 600000 };

/* Ids that wait for an answer, the oldest first. */
struct ids {
	uint64_t id[IDS_MAX];
	size_t n;
};

struct talk {
	struct clock clock;
	struct loop *loop;
	struct relay *relay;
	struct link *mine[ROLE_KINDS], *theirs[ROLE_KINDS];
	bool is_down[ROLE_KINDS], is_stopped;
	struct ids fetches, reads, asks, tickets;
	uint64_t read_off;
	struct sim_end *servers[SERVERS_MAX];
	size_t servers_n;
	uint8_t told[JOBS_MAX + 1]; /* by the queue's number of the job */
	uint64_t jobs_n;
	uint64_t lost_up_to; /* those up to here were asked by a queue that is gone */
	struct buf record, large;
	uint8_t how;
	bool is_ended;
};

static void
id_push(struct ids *ids, uint64_t id)
{
	if (ids->n < IDS_MAX)
		ids->id[ids->n++] = id;
}

static uint64_t
id_pop(struct ids *ids)
{
	uint64_t id;

	if (ids->n == 0)
		return 0;
	id = ids->id[0];
	memmove(ids->id, ids->id + 1, --ids->n * sizeof(ids->id[0]));
	return id;
}

static void
on_done(struct talk *t, const struct rec_relay_done *d)
{
	struct cur c = cur_of(d->results);
	uint32_t index;
	uint8_t verdict;
	uint16_t n[4];
	struct str text;

	CHECK(d->job > 0 && d->job <= t->jobs_n && t->told[d->job]++ == 0);
	CHECK(d->code >= 200 && d->code < 600 && d->class == d->code / 100 &&
	      d->outcome <= SCHEDULE_DEFERRED_MESSAGE);
	while (!cur_at_end(&c)) {
		CHECK(cur_le32(&c, &index) && cur_u8(&c, &verdict) && verdict <= QUEUE_FAILED);
		for (int i = 0; i < 4; i++)
			CHECK(cur_le16(&c, &n[i]));
		CHECK(cur_str16(&c, &text) && text.n <= RELAY_TEXT_MAX);
		/* What a server took is not told as refused, and the other way round. */
		CHECK((verdict <= QUEUE_RELAYED) == (n[0] < 300) &&
		      (verdict == QUEUE_FAILED) == (n[0] >= 500));
		for (size_t i = 0; i < text.n; i++)
			CHECK(text.p[i] >= 32 && text.p[i] < 127);
	}
}

static bool
role_record(void *arg, struct link *l, enum record_type type, struct cur *c)
{
	struct talk *t = arg;
	struct rec_queue_fetch fetch;
	struct rec_queue_read rd;
	struct rec_relay_done done;
	struct rec_dns dns;
	struct rec_dkim_sign sign;

	(void)l;
	if (type == REC_QUEUE_FETCH && rec_queue_fetch_take(c, &fetch)) {
		id_push(&t->fetches, fetch.job);
	} else if (type == REC_QUEUE_READ && rec_queue_read_take(c, &rd)) {
		id_push(&t->reads, rd.job);
		t->read_off = rd.off;
	} else if (type == REC_RELAY_DONE && rec_relay_done_take(c, &done)) {
		on_done(t, &done);
	} else if (type == REC_DNS && rec_dns_take(c, &dns)) {
		id_push(&t->asks, dns.ask);
	} else if (type == REC_DKIM_SIGN && rec_dkim_sign_take(c, &sign)) {
		id_push(&t->tickets, sign.ticket);
	} else {
		check_failed(__FILE__, __LINE__, "a record that relay may send");
	}
	return true;
}

static bool
no_record(void *arg, struct link *l, enum record_type type, struct cur *c)
{
	(void)arg;
	(void)l;
	(void)type;
	(void)c;
	return false;
}

static void
no_end(void *arg, struct link *l)
{
	(void)l;
	CHECK(((struct talk *)arg)->is_ended);
}

static const struct link_handler role_handler = {.record = role_record, .closed = no_end};
static const struct link_handler mine_handler = {.record = no_record, .closed = no_end};
static const enum role_kind roles[] = {ROLE_STORE, ROLE_QUEUE, ROLE_RESOLVER, ROLE_KEYS};

static struct link *
link_of(void *arg, enum role_kind k)
{
	struct talk *t = arg;

	return t->is_down[k] ? NULL : t->mine[k];
}

static struct link *
op_store(void *arg)
{
	return link_of(arg, ROLE_STORE);
}

static struct link *
op_queue(void *arg)
{
	return link_of(arg, ROLE_QUEUE);
}

static struct link *
op_resolver(void *arg)
{
	return link_of(arg, ROLE_RESOLVER);
}

static struct link *
op_keys(void *arg)
{
	return link_of(arg, ROLE_KEYS);
}

static struct conn *
op_connect(void *arg, const struct sock_addr *to, const struct conn_handler *h, void *conn_arg,
    size_t input_bytes_max)
{
	struct talk *t = arg;
	struct sock_addr nobody = {.is_v4 = true, .port = 1};
	struct sim_end *end;
	struct conn *c;

	if ((to->ip[15] & 1) == 0 || t->servers_n == SERVERS_MAX) {
		/* No such family: fails at once, whatever this machine's network is. */
		nobody.is_v4 = false;
		return conn_new_connect(t->loop, to, &nobody, h, conn_arg, input_bytes_max);
	}
	sim_pair(t->loop, NULL, &end, &t->servers[t->servers_n++]);
	c = conn_new_sim(t->loop, end, h, conn_arg, input_bytes_max);
	conn_set_peer(c, to);
	return c;
}

static const struct relay_ops ops = {.store = op_store,
    .queue = op_queue,
    .resolver = op_resolver,
    .keys = op_keys,
    .connect = op_connect};

static void
turn(struct talk *t)
{
	static char sink[1 << 16];
	size_t got;

	for (int i = 0; i < 6; i++) {
		(void)loop_turn(t->loop, 0);
		for (size_t k = 0; k < t->servers_n; k++)
			while (t->servers[k] != NULL &&
			       sim_read(t->servers[k], sink, sizeof(sink), &got) == ST_OK)
				continue;
	}
}

static void
down(struct talk *t, enum role_kind k)
{
	t->is_down[k] = true;
	if (k == ROLE_QUEUE)
		t->lost_up_to = t->jobs_n;
	relay_link_down(t->relay, k);
}

/* What relay sees of a record: its payload. A malformed one ends the line. */
static void
give(struct talk *t, enum role_kind from, enum record_type type, struct str payload)
{
	struct cur c = cur_of(payload);

	if (!t->is_down[from] && !relay_record(t->relay, type, &c))
		down(t, from);
}

static struct str
payload_of(const struct talk *t)
{
	return str_from(buf_str(&t->record), RECORD_HEADER_BYTES);
}

static void
queue_asks(struct talk *t, struct str destination)
{
	if (t->jobs_n == JOBS_MAX || t->is_down[ROLE_QUEUE])
		return;
	t->jobs_n++;
	CHECK(rec_relay_put(&t->record, &(struct rec_relay){.job = t->jobs_n,
					    .message = t->jobs_n % 3,
					    .destination = destination}) == ST_OK);
	give(t, ROLE_QUEUE, REC_RELAY, payload_of(t));
}

static void
store_gives(struct talk *t, struct str text, bool ok, bool is_large)
{
	struct rec_queue_message m = {.job = id_pop(&t->fetches),
	    .ok = ok,
	    .reverse_path = STR("me@us.example"),
	    .head = STR("Received: x\r\n")};
	struct buf rcpts, keys, body;

	buf_init(&rcpts, 4096);
	buf_init(&keys, 100);
	buf_init(&body, 1 << 16);
	for (uint32_t i = 0; i < (t->how >> 6) + 1u; i++) {
		(void)buf_put_le32(&rcpts, i);
		(void)buf_put_c(&rcpts, 0);
		(void)buf_put_str16(&rcpts, i == 0   ? STR("a@b.example")
					    : i == 1 ? STR("b@b.example")
						     : STR("c"));
		(void)buf_put_str16(&rcpts, STR_NULL);
	}
	for (int i = 0; i < ((t->how & 4) ? 2 : 0); i++) {
		(void)buf_put_c(&keys, (char)(1 + i));
		(void)buf_put_str16(&keys, STR("s1"));
		(void)buf_put_str16(&keys, STR("sealed"));
	}
	(void)buf_put(&body, STR("From: a@b\r\n\r\n"));
	(void)buf_put(&body, text);
	(void)buf_put(&body, STR("\r\n"));
	m.rcpts = buf_str(&rcpts);
	m.keys = buf_str(&keys);
	m.sign_domain = STR("us.example");
	m.flags = (t->how >> 3) & 7;
	m.body = is_large ? str_take(buf_str(&t->large), QUEUE_BODY_BYTES) : buf_str(&body);
	m.body_bytes = is_large ? t->large.n : body.n;
	CHECK(rec_queue_message_put(&t->record, &m) == ST_OK);
	give(t, ROLE_STORE, REC_QUEUE_MESSAGE, payload_of(t));
	buf_fini(&rcpts);
	buf_fini(&keys);
	buf_fini(&body);
}

static void
store_gives_piece(struct talk *t, bool ok)
{
	struct str bytes =
	    ok ? str_take(str_from(buf_str(&t->large), (size_t)t->read_off), RELAY_PIECE_BYTES)
	       : STR_NULL;

	CHECK(rec_queue_piece_put(&t->record,
		  &(struct rec_queue_piece){
		      .job = id_pop(&t->reads), .ok = ok, .off = t->read_off, .bytes = bytes}) ==
	      ST_OK);
	give(t, ROLE_STORE, REC_QUEUE_PIECE, payload_of(t));
}

static void
resolver_answers(struct talk *t, struct str arg, uint16_t rcode)
{
	struct rec_dns_answer a = {.ask = id_pop(&t->asks),
	    .rcode = rcode,
	    .security = rcode == 9 ? 2 : 0,
	    .is_timeout = rcode == 8};
	struct buf answers;
	struct str one;

	buf_init(&answers, 1 << 16);
	while (arg.n > 0 && rcode == 0) {
		(void)str_split(arg, '|', &one, &arg);
		(void)buf_put_str16(&answers, one);
	}
	a.answers = buf_str(&answers);
	CHECK(rec_dns_answer_put(&t->record, &a) == ST_OK);
	give(t, ROLE_RESOLVER, REC_DNS_ANSWER, payload_of(t));
	buf_fini(&answers);
}

static void
keys_answer(struct talk *t, bool ok)
{
	static const char signature[64];

	CHECK(rec_dkim_signed_put(&t->record,
		  &(struct rec_dkim_signed){.ticket = id_pop(&t->tickets),
		      .signature = ok ? str_of(signature, sizeof(signature)) : STR_NULL}) == ST_OK);
	give(t, ROLE_KEYS, REC_DKIM_SIGNED, payload_of(t));
}

static void
any_record(struct talk *t, struct str arg)
{
	static const struct {
		enum role_kind from;
		enum record_type type;
	} types[] = {{ROLE_STORE, REC_QUEUE_MESSAGE}, {ROLE_STORE, REC_QUEUE_PIECE},
	    {ROLE_RESOLVER, REC_DNS_ANSWER}, {ROLE_KEYS, REC_DKIM_SIGNED}};
	struct ids *const ids[] = {&t->fetches, &t->reads, &t->asks, &t->tickets};
	size_t i = arg.n > 0 ? (uint8_t)arg.p[0] % COUNT_OF(types) : 0;

	(void)buf_put_le64(&t->record, id_pop(ids[i]));
	(void)buf_put(&t->record, str_from(arg, 1));
	give(t, types[i].from, types[i].type, buf_str(&t->record));
}

static struct sim_end **
server_of(struct talk *t)
{
	for (size_t k = t->servers_n; k > 0; k--)
		if (t->servers[k - 1] != NULL)
			return &t->servers[k - 1];
	return NULL;
}

static void
server_says(struct talk *t, struct str text, bool is_line)
{
	struct sim_end **e = server_of(t);
	struct buf all;
	size_t done;

	if (e == NULL)
		return;
	buf_init(&all, 1 << 16);
	(void)buf_put(&all, text);
	if (is_line)
		(void)buf_put(&all, STR("\r\n"));
	if (all.n > 0)
		(void)sim_write(*e, all.p, all.n, &done);
	buf_fini(&all);
}

static void
server_ends(struct talk *t, bool is_reset)
{
	struct sim_end **e = server_of(t);

	if (e == NULL)
		return;
	if (is_reset)
		sim_reset(*e);
	sim_close(e);
}

static void
on_stopped(void *arg)
{
	(void)arg;
}

static void
step(struct talk *t, struct str line)
{
	struct str arg = str_from(line, 2);
	char c = line.n > 0 ? line.p[0] : 0;

	buf_reset(&t->record);
	if (c == 'q' || c == 'Q')
		queue_asks(t, c == 'q' ? STR("b.example") : STR("[192.0.2.1]"));
	else if (c == 'm' || c == 'M' || c == 'L')
		store_gives(t, arg, c != 'M', c == 'L');
	else if (c == 'b' || c == 'B')
		store_gives_piece(t, c == 'b');
	else if (c == 'n')
		resolver_answers(t, arg, 0);
	else if (c == 'N')
		resolver_answers(t, STR_NULL, arg.n > 0 ? (uint16_t)(arg.p[0] - '0') & 15 : 2);
	else if (c == 's' || c == 'S')
		keys_answer(t, c == 's');
	else if (c == 'p' || c == 'c')
		server_says(t, arg, c == 'p');
	else if (c == 'E' || c == 'R')
		server_ends(t, c == 'R');
	else if (c == 'x')
		any_record(t, arg);
	else if (c == 'k')
		down(t, roles[arg.n > 0 ? (uint8_t)arg.p[0] % COUNT_OF(roles) : 0]);
	else if (c == 'K')
		memset(t->is_down, 0, sizeof(t->is_down));
	else if (c == 't')
		clock_advance(&t->clock, 60000);
	else if (c == 'z')
		relay_stop(t->relay, on_stopped, NULL);
	turn(t);
}

static void
talk_init(struct talk *t, uint8_t how)
{
	static const char route[] = "\x01\x00*\x09\x00"
				    "192.0.2.1\x19\x00\x03\x04\x00user\x02\x00pw";
	struct relay_settings o = {
	    .hostname = STR("us.example"), .port = 25, .idle_ms = how & 2 ? 10000 : 0};
	int fds[2];

	*t = (struct talk){.how = how};
	clock_init_fake(&t->clock, 1700000000000);
	t->loop = loop_new(&t->clock);
	buf_init(&t->record, RECORD_BYTES_MAX);
	buf_init(&t->large, LARGE_BYTES);
	while (t->large.n + 64 <= LARGE_BYTES)
		(void)buf_put(&t->large,
		    STR("From: a@b with a line of sixty-four bytes for the large message\r\n"));
	for (size_t i = 0; i < COUNT_OF(roles); i++) {
		CHECK(sock_pair(fds) == ST_OK);
		t->mine[roles[i]] =
		    link_new(t->loop, fds[0], ROLE_RELAY, roles[i], 0, false, &mine_handler, t);
		t->theirs[roles[i]] =
		    link_new(t->loop, fds[1], roles[i], ROLE_RELAY, 0, false, &role_handler, t);
	}
	t->relay = relay_new(t->loop, &ops, t);
	if (how & 1)
		o.routes = str_of(route, sizeof(route) - 1);
	CHECK(relay_set(t->relay, &o) == ST_OK);
}

static void
talk_fini(struct talk *t)
{
	/* Everybody is silent from now on: the longest times pass. */
	for (int i = 0; i < 200 && (relay_jobs(t->relay) > 0 || relay_connections(t->relay) > 0);
	     i++) {
		clock_advance(&t->clock, 60000);
		turn(t);
	}
	turn(t);
	CHECK(relay_jobs(t->relay) == 0 && relay_connections(t->relay) == 0);
	for (uint64_t j = t->lost_up_to + 1; j <= t->jobs_n; j++)
		CHECK(t->told[j] == 1 || t->is_down[ROLE_QUEUE]);
	t->is_ended = true;
	relay_free(&t->relay);
	for (size_t k = 0; k < t->servers_n; k++)
		if (t->servers[k] != NULL)
			sim_close(&t->servers[k]);
	for (size_t i = 0; i < COUNT_OF(roles); i++) {
		link_free(&t->mine[roles[i]]);
		link_free(&t->theirs[roles[i]]);
	}
	buf_fini(&t->record);
	buf_fini(&t->large);
	loop_free(&t->loop);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk t;

	if (size < 2 || size > 20000)
		return 0;
	log_set_level(LOG_ERROR);
	talk_init(&t, data[0]);
	struct str rest = str_of(data + 1, size - 1);
	for (int i = 0; rest.n > 0 && i < STEPS_MAX; i++) {
		size_t n = str_find_char(rest, '\n');
		step(&t, str_take(rest, n));
		rest = str_from(rest, n + 1);
	}
	talk_fini(&t);
	return 0;
}
