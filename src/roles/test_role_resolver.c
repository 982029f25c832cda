/* The role alone: its line to a peer is real, the rest of struct role is played here. */
#include "base/check.h"
#include "base/unit.h"
#include "net/dns.h"
#include "net/dns_testserver.h"
#include "roles/role.h"
#include "sys/sock.h"

struct role {
	struct loop *loop;
	struct rec_settings settings;
	struct link *link; /* ours, to the peer */
	uint64_t generation;
	void *self;
};

struct loop *
role_loop(struct role *r)
{
	return r->loop;
}

const struct rec_settings *
role_settings(const struct role *r)
{
	return &r->settings;
}

struct link *
role_link(struct role *r, enum role_kind kind, uint16_t index)
{
	return kind == ROLE_SMTPIN && index == 3 ? r->link : NULL;
}

uint64_t
role_link_generation(const struct role *r, enum role_kind kind, uint16_t index)
{
	return kind == ROLE_SMTPIN && index == 3 && r->link != NULL ? r->generation : 0;
}

struct bench {
	struct dns_testserver server;
	struct clock clock;
	struct role role;
	struct link *peer; /* smtpin's end */
	size_t answers_n;
	uint32_t rcodes[16]; /* how many of each */
	struct buf text;     /* the last answers */
};

static bool
resolver_gets(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct bench *b = arg;

	return role_resolver_ops.record(b->role.self, l, t, c);
}

static void
resolver_drained(void *arg, struct link *l)
{
	struct bench *b = arg;

	role_resolver_ops.drained(b->role.self, l);
}

static bool
peer_gets(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct bench *b = arg;
	struct rec_dns_answer a;

	(void)l;
	if (t != REC_DNS_ANSWER || !rec_dns_answer_take(c, &a) || a.rcode >= 16)
		return false;
	b->answers_n++;
	b->rcodes[a.rcode]++;
	buf_reset(&b->text);
	(void)buf_put(&b->text, a.answers);
	return true;
}

static void
closed(void *arg, struct link *l)
{
	(void)arg;
	/* Nothing here breaks the rules of a line. */
	EXPECT(l == NULL);
}

static const struct link_handler resolver_handler = {
    .record = resolver_gets, .drained = resolver_drained, .closed = closed};
static const struct link_handler peer_handler = {.record = peer_gets, .closed = closed};

static void
bench_init(struct bench *b)
{
	struct buf why;
	int fds[2];

	*b = (struct bench){0};
	dns_testserver_start(&b->server, false);
	clock_init_system(&b->clock);
	b->role.loop = loop_new(&b->clock);
	b->role.settings.forward = str_of_c(b->server.forward);
	b->role.generation = 1;
	buf_init(&b->text, DNS_ANSWERS_BYTES_MAX);
	CHECK(sock_pair(fds) == ST_OK);
	b->role.link = link_new(
	    b->role.loop, fds[0], ROLE_RESOLVER, ROLE_SMTPIN, 3, false, &resolver_handler, b);
	b->peer =
	    link_new(b->role.loop, fds[1], ROLE_SMTPIN, ROLE_RESOLVER, 0, false, &peer_handler, b);
	b->role.self = role_resolver_ops.new(&b->role);
	buf_init(&why, 256);
	EXPECT(role_resolver_ops.prepare(b->role.self, &why) == ST_OK);
	EXPECT(why.n == 0);
	buf_fini(&why);
}

static void
bench_fini(struct bench *b)
{
	role_resolver_ops.free(b->role.self);
	link_free(&b->role.link);
	link_free(&b->peer);
	loop_free(&b->role.loop);
	buf_fini(&b->text);
	dns_testserver_stop(&b->server);
}

static void
ask(struct bench *b, uint16_t rrtype, struct str name)
{
	EXPECT(rec_dns_put(link_out(b->peer),
		   &(struct rec_dns){.ask = 7, .rrtype = rrtype, .name = name}) == ST_OK);
}

static void
turns(struct bench *b, size_t answers_n, uint64_t ms_max)
{
	uint64_t end = clock_mono_ms(&b->clock) + ms_max;

	while (b->answers_n < answers_n && clock_mono_ms(&b->clock) < end)
		(void)loop_turn(b->role.loop, 10);
}

static void
answers_peers(void)
{
	struct bench b;
	struct buf json;

	bench_init(&b);
	ask(&b, DNS_TXT, STR("example.test"));
	turns(&b, 1, 5000);
	EXPECT(b.answers_n == 1 && b.rcodes[DNS_NOERROR] == 1);
	EXPECT_STR(buf_str(&b.text), STR("\x0e\0v=spf1 mx -all"));
	ask(&b, DNS_A, STR("nowhere.test"));
	ask(&b, DNS_A, STR("not a name"));
	ask(&b, 255, STR("example.test"));
	turns(&b, 4, 5000);
	EXPECT(
	    b.rcodes[DNS_NXDOMAIN] == 1 && b.rcodes[DNS_FORMERR] == 1 && b.rcodes[DNS_NOTIMP] == 1);
	buf_init(&json, 4096);
	role_resolver_ops.status(b.role.self, &json);
	EXPECT(str_find(buf_str(&json), STR("\"asked\":2,\"answered\":2,")) < json.n);
	EXPECT(str_find(buf_str(&json), STR("\"refused\":2,")) < json.n);
	buf_fini(&json);
	bench_fini(&b);
}

static void
peers_have_a_limit(void)
{
	struct bench b;

	bench_init(&b);
	for (size_t i = 0; i < DNS_OUTSTANDING_MAX / 4; i++)
		ask(&b, DNS_A, STR("silent.test"));
	turns(&b, 1, 200);
	EXPECT(b.answers_n == 0);
	ask(&b, DNS_A, STR("silent.test"));
	turns(&b, 1, 2000);
	EXPECT(b.answers_n == 1 && b.rcodes[DNS_REFUSED] == 1);
	/* The peer goes: its questions go, and its successor has the whole allowance. */
	role_resolver_ops.link_down(b.role.self, ROLE_SMTPIN, 3);
	b.role.generation++;
	ask(&b, DNS_MX, STR("nullmx.test"));
	turns(&b, 2, 5000);
	EXPECT_STR(buf_str(&b.text), STR("\3\0"
					 "0 ."));
	bench_fini(&b);
}

static bool
is_asked(struct bench *b)
{
	struct buf json;
	bool is;

	buf_init(&json, 4096);
	role_resolver_ops.status(b->role.self, &json);
	is = str_find(buf_str(&json), STR("\"asked\":1,")) < json.n;
	buf_fini(&json);
	return is;
}

static void
former_peers_get_nothing(void)
{
	struct bench b;

	bench_init(&b);
	ask(&b, DNS_A, STR("mx1.example.test"));
	/* The server's answer comes a turn after the question at the earliest. */
	while (!is_asked(&b))
		(void)loop_turn(b.role.loop, 10);
	b.role.generation = 2;
	turns(&b, 1, 300);
	EXPECT(b.answers_n == 0);
	bench_fini(&b);
}

static void
reload_keeps_what_is_in_force(void)
{
	struct bench b;

	bench_init(&b);
	b.role.settings.forward = STR("127.0.0.1@1");
	role_resolver_ops.reload(b.role.self);
	ask(&b, DNS_A, STR("mx1.example.test"));
	turns(&b, 1, 5000);
	EXPECT_STR(buf_str(&b.text), STR("\x0a\0"
					 "192.0.2.25"));
	bench_fini(&b);
}

int
main(void)
{
	UNIT(answers_peers);
	UNIT(peers_have_a_limit);
	UNIT(former_peers_get_nothing);
	UNIT(reload_keeps_what_is_in_force);
	return unit_end();
}
