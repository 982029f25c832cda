/* Relay against played roles and servers: where mail goes, what becomes of each recipient, and what
 * hostile servers cannot do. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/unit.h"
#include "flow/relay/test_relay_world.h"
#include "net/test_tls_peer.h"

static bool
has(const struct buf *b, const char *text)
{
	return str_find(buf_str(b), str_of_c(text)) < b->n;
}

static bool
is_code(const uint16_t e[3], uint16_t a, uint16_t b, uint16_t c)
{
	return e[0] == a && e[1] == b && e[2] == c;
}

/* One server behind one MX. */
static struct world_peer *
usual_world(struct world *w)
{
	world_init(w);
	w->dns[0] = (struct world_dns){"a.example", DNS_MX, 0, "10,mx.a.example", 0, false, false};
	w->dns[1] = (struct world_dns){"mx.a.example", DNS_A, 0, "192.0.2.1", 0, false, false};
	return world_peer(w, "192.0.2.1");
}

static void
sends_one(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);
	const struct world_done *d = world_relay(&w, "a.example");

	EXPECT(d->outcome == SCHEDULE_SENT && d->results_n == 1 && d->result[0].index == 10);
	EXPECT(d->result[0].verdict == QUEUE_DELIVERED && d->result[0].code == 250);
	EXPECT_STR(str_of_c(d->result[0].text), STR("2.0.0 queued as 7"));
	EXPECT_STR(str_of_c(d->host), STR("mx.a.example"));
	EXPECT_STR(str_of_c(d->ip), STR("192.0.2.1"));
	EXPECT_STR(str_of_c(d->tls), STR(""));
	EXPECT(has(&p->commands, "EHLO us.example\nMAIL FROM:<me@us.example>"));
	EXPECT(has(&p->commands, "RCPT TO:<you@a.example>"));
	EXPECT_STR(
	    buf_str(&p->content), STR("Received: by us.example\r\nFrom: me@us.example\r\nSubject: "
				      "hi\r\n\r\ntext\r\n..dot\r\n"));
	EXPECT(relay_counters(w.relay)->sent == 1 && relay_jobs(w.relay) == 0);
	world_fini(&w);
}

/* ---- where a destination is ---- */

struct route_row {
	const char *what;
	struct world_dns dns[6];
	const char *destination; /* NULL: a.example */
	const char *up[3];	 /* servers that answer */
	uint8_t outcome;
	uint16_t code, e[3]; /* of the result, or of the record when all wait */
	const char *host;    /* where it went */
	bool is_result;
};

static const struct route_row routes[] = {
    {"no MX: the domain itself (RFC 5321 5.1)", {{"a.example", DNS_A, 0, "192.0.2.1", 0, 0, 0}},
	NULL, {"192.0.2.1"}, SCHEDULE_SENT, 250, {2, 0, 0}, "a.example", true},
    {"null MX (RFC 7505)", {{"a.example", DNS_MX, 0, "0,.", 0, 0, 0}}, NULL, {0},
	SCHEDULE_DEFERRED_MESSAGE, 556, {5, 1, 10}, "", true},
    {"no such domain", {{0}}, NULL, {0}, SCHEDULE_DEFERRED_MESSAGE, 550, {5, 1, 2}, "", true},
    {"name servers fail", {{"a.example", DNS_MX, DNS_SERVFAIL, "", 0, 0, 0}}, NULL, {0},
	SCHEDULE_FAILED_DESTINATION, 451, {4, 4, 3}, "", false},
    {"bogus", {{"a.example", DNS_MX, DNS_SERVFAIL, "", 2, 0, 0}}, NULL, {0},
	SCHEDULE_FAILED_DESTINATION, 451, {4, 4, 3}, "", false},
    {"time out", {{"a.example", DNS_MX, DNS_SERVFAIL, "", 0, true, 0}}, NULL, {0},
	SCHEDULE_FAILED_DESTINATION, 451, {4, 4, 3}, "", false},
    {"silent resolver", {{"a.example", DNS_MX, 0, "", 0, 0, true}}, NULL, {0},
	SCHEDULE_FAILED_DESTINATION, 451, {4, 4, 3}, "", false},
    {"not a name", {{"a.example", DNS_MX, DNS_FORMERR, "", 0, 0, 0}}, NULL, {0},
	SCHEDULE_DEFERRED_MESSAGE, 550, {5, 1, 2}, "", true},
    {"we are the best MX",
	{{"a.example", DNS_MX, 0, "10,us.example 20,mx", 0, 0, 0},
	    {"mx", DNS_A, 0, "192.0.2.1", 0, 0, 0}},
	NULL, {"192.0.2.1"}, SCHEDULE_DEFERRED_MESSAGE, 550, {5, 4, 6}, "", true},
    {"we are one of equal MXs",
	{{"a.example", DNS_MX, 0, "10,us.example 10,mx", 0, 0, 0},
	    {"mx", DNS_A, 0, "192.0.2.1", 0, 0, 0}},
	NULL, {"192.0.2.1"}, SCHEDULE_DEFERRED_MESSAGE, 550, {5, 4, 6}, "", true},
    {"we are second",
	{{"a.example", DNS_MX, 0, "20,US.example. 10,mx", 0, 0, 0},
	    {"mx", DNS_A, 0, "192.0.2.1", 0, 0, 0}},
	NULL, {"192.0.2.1"}, SCHEDULE_SENT, 250, {2, 0, 0}, "mx", true},
    {"we are the domain without MX", {{"us.example", DNS_A, 0, "192.0.2.1", 0, 0, 0}}, "us.example",
	{"192.0.2.1"}, SCHEDULE_DEFERRED_MESSAGE, 550, {5, 4, 6}, "", true},
    {"MX without an address", {{"a.example", DNS_MX, 0, "10,mx", 0, 0, 0}}, NULL, {0},
	SCHEDULE_DEFERRED_MESSAGE, 550, {5, 4, 4}, "", true},
    {"MX is an address", {{"a.example", DNS_MX, 0, "10,192.0.2.1", 0, 0, 0}}, NULL, {"192.0.2.1"},
	SCHEDULE_DEFERRED_MESSAGE, 550, {5, 4, 4}, "", true},
    {"one address look-up fails, the other finds none",
	{{"a.example", DNS_MX, 0, "10,mx", 0, 0, 0}, {"mx", DNS_A, DNS_SERVFAIL, "", 0, 0, 0}},
	NULL, {0}, SCHEDULE_FAILED_DESTINATION, 451, {4, 4, 3}, "", false},
    {"by preference",
	{{"a.example", DNS_MX, 0, "20,b 10,a", 0, 0, 0}, {"a", DNS_A, 0, "192.0.2.1", 0, 0, 0},
	    {"b", DNS_A, 0, "192.0.2.2", 0, 0, 0}},
	NULL, {"192.0.2.1", "192.0.2.2"}, SCHEDULE_SENT, 250, {2, 0, 0}, "a", true},
    {"the first does not answer",
	{{"a.example", DNS_MX, 0, "20,b 10,a", 0, 0, 0}, {"a", DNS_A, 0, "192.0.2.9", 0, 0, 0},
	    {"b", DNS_A, 0, "192.0.2.2", 0, 0, 0}},
	NULL, {"192.0.2.2"}, SCHEDULE_SENT, 250, {2, 0, 0}, "b", true},
    {"its first address does not answer",
	{{"a.example", DNS_MX, 0, "10,a", 0, 0, 0}, {"a", DNS_AAAA, 0, "2001:db8::9", 0, 0, 0},
	    {"a", DNS_A, 0, "192.0.2.1", 0, 0, 0}},
	NULL, {"192.0.2.1"}, SCHEDULE_SENT, 250, {2, 0, 0}, "a", true},
    {"nobody answers",
	{{"a.example", DNS_MX, 0, "20,b 10,a", 0, 0, 0}, {"a", DNS_A, 0, "192.0.2.8", 0, 0, 0},
	    {"b", DNS_A, 0, "192.0.2.9", 0, 0, 0}},
	NULL, {0}, SCHEDULE_FAILED_DESTINATION, 451, {4, 4, 1}, "b", false},
    {"literal", {{0}}, "[192.0.2.1]", {"192.0.2.1"}, SCHEDULE_SENT, 250, {2, 0, 0}, "[192.0.2.1]",
	true},
    {"literal, IPv6", {{0}}, "[IPv6:2001:db8::1]", {"2001:db8::1"}, SCHEDULE_SENT, 250, {2, 0, 0},
	"[IPv6:2001:db8::1]", true},
    {"literal that is none", {{0}}, "[300.0.2.1]", {0}, SCHEDULE_DEFERRED_MESSAGE, 550, {5, 1, 2},
	"", true},
};

static void
finds_hosts(void)
{
	for (size_t i = 0; i < COUNT_OF(routes); i++) {
		const struct route_row *r = &routes[i];
		const struct world_done *d;
		struct world w;
		int bad = unit_bad;

		world_init(&w);
		for (size_t k = 0; k < COUNT_OF(r->dns) && r->dns[k].name != NULL; k++)
			w.dns[k] = r->dns[k];
		for (size_t k = 0; k < COUNT_OF(r->up) && r->up[k] != NULL; k++)
			(void)world_peer(&w, r->up[k]);
		d = world_relay(&w, r->destination != NULL ? r->destination : "a.example");
		EXPECT(d->outcome == r->outcome);
		EXPECT_STR(str_of_c(d->host), str_of_c(r->host));
		EXPECT(d->results_n == r->is_result);
		EXPECT((r->is_result ? d->result[0].code : d->code) == r->code);
		EXPECT(is_code(
		    r->is_result ? d->result[0].enhanced : d->enhanced, r->e[0], r->e[1], r->e[2]));
		if (unit_bad > bad)
			fprintf(stderr, "  in \"%s\": %u %s\n", r->what, d->code, d->text);
		world_fini(&w);
	}
}

/* RFC 5321 5.1: load is spread over equal ones. */
static void
equal_ones_take_turns(void)
{
	struct world w;
	int first = 0;

	world_init(&w);
	world_set(&w, "us.example", 0);
	w.dns[0] = (struct world_dns){"a.example", DNS_MX, 0, "10,a 10,b", 0, 0, 0};
	w.dns[1] = (struct world_dns){"a", DNS_A, 0, "192.0.2.1", 0, 0, 0};
	w.dns[2] = (struct world_dns){"b", DNS_A, 0, "192.0.2.2", 0, 0, 0};
	(void)world_peer(&w, "192.0.2.1");
	(void)world_peer(&w, "192.0.2.2");
	for (int i = 0; i < 40; i++)
		first += world_relay(&w, "a.example")->host[0] == 'a';
	EXPECT(first > 2 && first < 38);
	world_fini(&w);
}

static void
dead_addresses_come_last(void)
{
	struct world w;
	struct world_peer *dead, *good;

	world_init(&w);
	world_set(&w, "us.example", 0);
	w.dns[0] = (struct world_dns){"a.example", DNS_MX, 0, "10,a 20,b", 0, 0, 0};
	w.dns[1] = (struct world_dns){"a", DNS_A, 0, "192.0.2.1", 0, 0, 0};
	w.dns[2] = (struct world_dns){"b", DNS_A, 0, "192.0.2.2", 0, 0, 0};
	dead = world_peer(&w, "192.0.2.1");
	dead->is_refusing = true;
	good = world_peer(&w, "192.0.2.2");
	EXPECT(world_relay(&w, "a.example")->host[0] == 'b');
	/* It is back, but that is not known for five minutes. */
	dead->is_refusing = false;
	EXPECT(world_relay(&w, "a.example")->host[0] == 'b');
	/* When nobody else is there, it is tried all the same. */
	good->is_refusing = true;
	EXPECT(world_relay(&w, "a.example")->host[0] == 'a');
	/* It answered, so it is good again, and first. */
	good->is_refusing = false;
	EXPECT(world_relay(&w, "a.example")->host[0] == 'a');
	dead->is_refusing = true;
	world_run(&w, RELAY_BAD_MS);
	EXPECT(world_relay(&w, "a.example")->host[0] == 'b');
	dead->is_refusing = false;
	world_run(&w, RELAY_BAD_MS - 2000);
	EXPECT(world_relay(&w, "a.example")->host[0] == 'b');
	world_run(&w, 4000);
	EXPECT(world_relay(&w, "a.example")->host[0] == 'a');
	world_fini(&w);
}

static void
many_addresses_are_cut(void)
{
	struct world w;
	struct buf list;

	world_init(&w);
	buf_init(&list, 4096);
	for (int i = 1; i <= RELAY_ADDRESSES_MAX + 1; i++)
		(void)buf_putf(&list, "%s192.0.2.%d", i > 1 ? " " : "", i);
	(void)buf_put_c(&list, 0);
	w.dns[0] = (struct world_dns){"a.example", DNS_MX, 0, "10,a", 0, 0, 0};
	w.dns[1] = (struct world_dns){"a", DNS_A, 0, list.p, 0, 0, 0};
	/* The last that is looked at, and the first that is not. */
	(void)world_peer(&w, "192.0.2.20");
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	world_fini(&w);
	world_init(&w);
	w.dns[0] = (struct world_dns){"a.example", DNS_MX, 0, "10,a", 0, 0, 0};
	w.dns[1] = (struct world_dns){"a", DNS_A, 0, list.p, 0, 0, 0};
	(void)world_peer(&w, "192.0.2.21");
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_FAILED_DESTINATION);
	world_fini(&w);
	buf_fini(&list);
}

static void
many_hosts_are_cut(void)
{
	for (int last = RELAY_MX_MAX; last <= RELAY_MX_MAX + 1; last++) {
		struct world w;
		struct buf list;
		char name[20] = "";

		world_init(&w);
		buf_init(&list, 4096);
		for (int i = 1; i <= last; i++)
			(void)buf_putf(&list, "%s%d,mx%d", i > 1 ? " " : "", i, i);
		(void)buf_put_c(&list, 0);
		(void)snprintf(name, sizeof(name), "mx%d", last);
		w.dns[0] = (struct world_dns){"a.example", DNS_MX, 0, list.p, 0, 0, 0};
		w.dns[1] = (struct world_dns){name, DNS_A, 0, "192.0.2.1", 0, 0, 0};
		(void)world_peer(&w, "192.0.2.1");
		EXPECT((world_relay(&w, "a.example")->outcome == SCHEDULE_SENT) ==
		       (last == RELAY_MX_MAX));
		world_fini(&w);
		buf_fini(&list);
	}
}

/* ---- smart hosts ---- */

static void
routes_are_followed(void)
{
	struct world w;
	struct world_peer *p;

	world_init(&w);
	world_route(&w, "a.example", "smart.example", 2525, RELAY_TLS_MAY, "", "");
	world_route(&w, "*", "192.0.2.2", 25, RELAY_TLS_NEVER, "", "");
	w.dns[0] = (struct world_dns){"smart.example", DNS_A, 0, "192.0.2.1", 0, 0, 0};
	p = world_peer(&w, "192.0.2.1");
	(void)world_peer(&w, "192.0.2.2");
	EXPECT_STR(str_of_c(world_relay(&w, "a.example")->ip), STR("192.0.2.1"));
	EXPECT_STR(str_of_c(world_relay(&w, "b.example")->ip), STR("192.0.2.2"));
	/* The same route serves any destination with the connection it has. */
	EXPECT_STR(str_of_c(world_relay(&w, "c.example")->ip), STR("192.0.2.2"));
	EXPECT(relay_counters(w.relay)->reused == 1 && p->connections_n == 1);
	/* A greeting with our own name is no loop there. */
	world_fini(&w);
}

static void
bad_settings_change_nothing(void)
{
	struct world w;
	struct relay_settings o = {
	    .hostname = STR("us.example"), .port = 25, .routes = STR("\x05\x00")};

	(void)usual_world(&w);
	EXPECT(relay_set(w.relay, &o) == ST_SYNTAX);
	o = (struct relay_settings){.hostname = STR("us example"), .port = 25};
	EXPECT(relay_set(w.relay, &o) == ST_SYNTAX);
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	world_fini(&w);
}

/* ---- what becomes of the recipients ---- */

struct result_row {
	const char *what;
	struct world_rule rules[4];
	uint8_t outcome;
	uint16_t code; /* of the record */
	size_t results_n;
	int verdicts[3]; /* of the recipients in order; -1: none */
};

#define D QUEUE_DELIVERED
#define W QUEUE_DEFERRED
#define F QUEUE_FAILED
static const struct result_row results[] = {
    {"each its own",
	{{"RCPT TO:<b", "450 4.2.1 later\r\n", 0}, {"RCPT TO:<c", "550 5.1.1 no\r\n", 0}},
	SCHEDULE_SENT, 250, 3, {D, W, F}},
    {"without DSN", {{"EHLO", "250 mx\r\n", 0}}, SCHEDULE_SENT, 250, 3,
	{QUEUE_RELAYED, QUEUE_RELAYED, QUEUE_RELAYED}},
    {"without EHLO", {{"EHLO", "502 what\r\n", 0}}, SCHEDULE_SENT, 250, 3,
	{QUEUE_RELAYED, QUEUE_RELAYED, QUEUE_RELAYED}},
    {"MAIL later", {{"MAIL", "451 4.7.1 greylisted\r\n", 0}}, SCHEDULE_DEFERRED_MESSAGE, 451, 3,
	{W, W, W}},
    {"MAIL never", {{"MAIL", "550 5.7.1 no\r\n", 0}}, SCHEDULE_SENT, 550, 3, {F, F, F}},
    {"content later", {{".", "451 4.3.0 later\r\n", 0}}, SCHEDULE_DEFERRED_MESSAGE, 451, 3,
	{W, W, W}},
    {"content never", {{".", "554 5.7.1 spam\r\n", 0}}, SCHEDULE_SENT, 554, 3, {F, F, F}},
    {"DATA refused", {{"DATA", "554 5.7.1 no\r\n", 0}}, SCHEDULE_SENT, 554, 3, {F, F, F}},
    {"all recipients refused",
	{{"RCPT", "550 5.1.1 no\r\n", 0}, {"DATA", "503 no recipients\r\n", 0}}, SCHEDULE_SENT, 550,
	3, {F, F, F}},
    {"one at a time",
	{{"RCPT TO:<b", "452 4.5.3 too many\r\n", 1}, {"RCPT TO:<c", "552 too many\r\n", 2}},
	SCHEDULE_SENT, 250, 3, {D, D, D}},
    {"552 to all is 452", {{"RCPT", "552 too many\r\n", 0}, {"DATA", "503 no\r\n", 0}},
	SCHEDULE_DEFERRED_MESSAGE, 452, 0, {-1, -1, -1}},
};
#undef D
#undef W
#undef F

static void
recipients_are_told(void)
{
	for (size_t i = 0; i < COUNT_OF(results); i++) {
		const struct result_row *r = &results[i];
		const struct world_done *d;
		struct world w;
		struct world_peer *p = usual_world(&w);
		int bad = unit_bad;

		w.m.rcpts[0] = "a@a.example";
		w.m.rcpts[1] = "b@a.example";
		w.m.rcpts[2] = "c@a.example";
		memcpy(p->rules, r->rules, sizeof(r->rules));
		d = world_relay(&w, "a.example");
		EXPECT(
		    d->outcome == r->outcome && d->code == r->code && d->results_n == r->results_n);
		for (size_t k = 0; k < d->results_n; k++)
			EXPECT(d->result[k].verdict == r->verdicts[d->result[k].index - 10] && !d->result[k].is_own);
		if (unit_bad > bad)
			fprintf(stderr, "  in \"%s\": outcome %u, %zu results, %u %s\n", r->what,
			    d->outcome, d->results_n, d->code, d->text);
		world_fini(&w);
	}
}

static void
many_recipients_in_rounds(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);
	const struct world_done *d;

	w.m.many = 250;
	p->rules[0] = (struct world_rule){
	    "EHLO", "250-mx\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=100\r\n", 0};
	d = world_relay(&w, "a.example");
	EXPECT(d->outcome == SCHEDULE_SENT && d->results_n == 250 && p->messages_n == 3);
	EXPECT(relay_counters(w.relay)->sent == 250);
	world_fini(&w);
}

/* ---- parameters ---- */

static void
parameters_go_where_they_are_known(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	w.m.notify = ENVELOPE_SUCCESS | ENVELOPE_DELAY;
	w.m.orcpt = "rfc822;you@a.example";
	w.m.ret = ENVELOPE_RET_HDRS;
	w.m.envid = STR("QQ314159");
	w.m.by_ms = 1700000000000 + 120000;
	w.m.by_mode = 'N';
	w.m.priority = ENVELOPE_PRIORITY_ZERO + 4;
	p->rules[0] = (struct world_rule){
	    "EHLO", "250-mx\r\n250-DSN\r\n250-DELIVERBY\r\n250-MT-PRIORITY\r\n250 SIZE\r\n", 0};
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	EXPECT(has(&p->commands, "NOTIFY=SUCCESS,DELAY"));
	EXPECT(has(&p->commands, "ORCPT=rfc822;you@a.example"));
	EXPECT(has(&p->commands, "RET=HDRS") && has(&p->commands, "ENVID=QQ314159"));
	EXPECT(has(&p->commands, "BY=120;N") || has(&p->commands, "BY=119;N"));
	EXPECT(has(&p->commands, "MT-PRIORITY=4") && has(&p->commands, "SIZE=73"));
	world_fini(&w);
	p = usual_world(&w);
	w.m.notify = ENVELOPE_NEVER;
	w.m.priority = 13;
	p->rules[0] = (struct world_rule){"EHLO", "250 mx\r\n", 0};
	EXPECT(world_relay(&w, "a.example")->result[0].verdict == QUEUE_RELAYED);
	EXPECT(!has(&p->commands, "NOTIFY") && !has(&p->commands, "PRIORITY"));
	world_fini(&w);
}

struct need_row {
	const char *what, *ehlo, *rcpt;
	struct str body;
	uint8_t flags, by_mode;
	int64_t by_ms;
	uint16_t code, e[3];
};

#define PLAIN "From: a@b\r\n\r\nhi\r\n"
static const struct need_row needs[] = {
    {"8 bits, not taken", "250 mx\r\n", NULL, STR_INIT("From: a@b\r\n\r\nh\xc3\xbc\r\n"),
	ENVELOPE_8BIT, 0, 0, 554, {5, 6, 3}},
    {"8 bits, taken", NULL, NULL, STR_INIT("From: a@b\r\n\r\nh\xc3\xbc\r\n"), ENVELOPE_8BIT, 0, 0,
	250, {2, 0, 0}},
    {"8 bits only said", "250 mx\r\n", NULL, STR_INIT(PLAIN), ENVELOPE_8BIT, 0, 0, 250, {2, 0, 0}},
    {"UTF-8 header, not taken", NULL, NULL, STR_INIT("From: \xc3\xbc@b\r\n\r\nhi\r\n"),
	ENVELOPE_UTF8, 0, 0, 550, {5, 6, 7}},
    {"UTF-8 only said", NULL, NULL, STR_INIT(PLAIN), ENVELOPE_UTF8, 0, 0, 250, {2, 0, 0}},
    {"UTF-8 address, not taken", NULL, "\xc3\xbc@a.example", STR_INIT(PLAIN), ENVELOPE_UTF8, 0, 0,
	550, {5, 6, 7}},
    {"UTF-8 address, taken", "250-mx\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n", "\xc3\xbc@a.example",
	STR_INIT(PLAIN), ENVELOPE_UTF8, 0, 0, 250, {2, 0, 0}},
    {"binary, not taken", NULL, NULL, STR_INIT("From: a@b\r\n\r\n\0\n"), ENVELOPE_BINARY, 0, 0, 554,
	{5, 6, 1}},
    {"a NUL in text", NULL, NULL, STR_INIT("From: a@b\r\n\r\n\0\r\n"), 0, 0, 0, 554, {5, 6, 0}},
    {"a bare LF in text", NULL, NULL, STR_INIT("From: a@b\r\n\r\nx\n.\nMAIL\r\n"), 0, 0, 0, 554,
	{5, 6, 0}},
    {"too late", NULL, NULL, STR_INIT(PLAIN), 0, 'R', -1, 550, {5, 4, 7}},
    {"by a time that nobody keeps", NULL, NULL, STR_INIT(PLAIN), 0, 'R', 600000, 550, {5, 4, 7}},
    {"larger than it takes", "250-mx\r\n250 SIZE 20\r\n", NULL, STR_INIT(PLAIN), 0, 0, 0, 552,
	{5, 3, 4}},
};

static void
needs_are_met_or_told(void)
{
	for (size_t i = 0; i < COUNT_OF(needs); i++) {
		const struct need_row *r = &needs[i];
		const struct world_done *d;
		struct world w;
		struct world_peer *p = usual_world(&w);
		int bad = unit_bad;

		if (r->ehlo != NULL)
			p->rules[0] = (struct world_rule){"EHLO", r->ehlo, 0};
		if (r->rcpt != NULL)
			w.m.rcpts[0] = r->rcpt;
		w.m.body = r->body;
		w.m.flags = r->flags;
		w.m.by_mode = r->by_mode;
		w.m.by_ms = r->by_ms != 0 ? (uint64_t)(1700000000000 + r->by_ms) : 0;
		d = world_relay(&w, "a.example");
		EXPECT(d->results_n == 1 && d->result[0].code == r->code);
		EXPECT(is_code(d->result[0].enhanced, r->e[0], r->e[1], r->e[2]));
		EXPECT(
		    d->result[0].verdict == (r->code == 250 ? d->result[0].verdict : QUEUE_FAILED));
		EXPECT((p->messages_n == 1) == (r->code == 250));
		if (unit_bad > bad)
			fprintf(stderr, "  in \"%s\": %zu results, %u %s\n", r->what, d->results_n,
			    d->code, d->text);
		world_fini(&w);
	}
}

/* ---- servers that misbehave ---- */

struct bad_row {
	const char *what;
	struct world_rule rule;
	uint16_t code, e[3];
	uint8_t outcome;
};

#define LOST SCHEDULE_FAILED_DESTINATION
static const struct bad_row bads[] = {
    {"421 greeting", {"", "421 4.3.2 busy\r\n", 0}, 421, {4, 3, 2}, LOST},
    {"554 greeting", {"", "554 5.7.1 go away\r\n", 0}, 451, {4, 7, 1}, LOST},
    {"421 to EHLO", {"EHLO", "421 no\r\n", 0}, 421, {4, 0, 0}, LOST},
    {"421 to MAIL", {"MAIL", "421 4.7.0 no\r\n", 0}, 421, {4, 7, 0}, LOST},
    {"421 to RCPT", {"RCPT", "421 4.7.0 no\r\n", 0}, 421, {4, 7, 0}, LOST},
    {"421 to DATA", {"DATA", "421 4.7.0 no\r\n", 0}, 421, {4, 7, 0}, LOST},
    {"421 to the content", {".", "421 4.7.0 no\r\n", 0}, 421, {4, 7, 0}, LOST},
    {"silent at once", {"", "HANG", 0}, 451, {4, 4, 2}, LOST},
    {"silent at EHLO", {"EHLO", "HANG", 0}, 451, {4, 4, 2}, LOST},
    {"silent at MAIL", {"MAIL", "HANG", 0}, 451, {4, 5, 0}, LOST},
    {"silent at DATA", {"DATA", "HANG", 0}, 451, {4, 4, 2}, LOST},
    {"silent at the end", {".", "HANG", 0}, 451, {4, 4, 2}, LOST},
    {"closes at once", {"", "CLOSE", 0}, 451, {4, 4, 2}, LOST},
    {"closes at EHLO", {"EHLO", "CLOSE", 0}, 451, {4, 4, 2}, LOST},
    {"closes at MAIL", {"MAIL", "CLOSE", 0}, 451, {4, 4, 2}, LOST},
    {"closes at DATA", {"DATA", "CLOSE", 0}, 451, {4, 4, 2}, LOST},
    {"breaks at the end", {".", "RESET", 0}, 451, {4, 4, 2}, LOST},
    {"garbage", {"", "\x01\x02\x03 what is this\r\n", 0}, 451, {4, 5, 0}, LOST},
    {"two answers", {"EHLO", "250 mx\r\n250 mx\r\n", 0}, 451, {4, 5, 0}, LOST},
    {"354 to RCPT", {"RCPT", "354 go\r\n", 0}, 451, {4, 5, 0}, LOST},
    {"250 to DATA", {"DATA", "250 go\r\n", 0}, 451, {4, 5, 0}, LOST},
};

static void
bad_servers_end_in_one_answer(void)
{
	for (size_t i = 0; i < COUNT_OF(bads); i++) {
		const struct bad_row *r = &bads[i];
		const struct world_done *d;
		struct world w;
		struct world_peer *p = usual_world(&w);
		int bad = unit_bad;

		p->rules[0] = r->rule;
		d = world_relay(&w, "a.example");
		EXPECT(d->outcome == r->outcome && d->code == r->code && d->results_n == 0);
		EXPECT(is_code(d->enhanced, r->e[0], r->e[1], r->e[2]));
		EXPECT_STR(str_of_c(d->ip), STR("192.0.2.1"));
		world_run(&w, 700000);
		EXPECT(
		    w.done_n == 1 && relay_jobs(w.relay) == 0 && relay_connections(w.relay) == 0);
		if (unit_bad > bad)
			fprintf(stderr,
			    "  in \"%s\": %u %u.%u.%u %s, %zu results, %zu connections\n", r->what,
			    d->code, d->enhanced[0], d->enhanced[1], d->enhanced[2], d->text,
			    d->results_n, relay_connections(w.relay));
		world_fini(&w);
	}
}

static void
ten_thousand_lines(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);
	struct buf flood;

	buf_init(&flood, 1 << 20);
	for (int i = 0; i < 10000; i++)
		(void)buf_put(&flood, STR("250-x\r\n"));
	(void)buf_put_c(&flood, 0);
	p->rules[0] = (struct world_rule){"EHLO", flood.p, 0};
	EXPECT(is_code(world_relay(&w, "a.example")->enhanced, 4, 5, 0));
	world_fini(&w);
	p = usual_world(&w);
	flood.n = 0;
	for (int i = 0; i < 100000; i++)
		(void)buf_put_c(&flood, 'x');
	(void)buf_put_c(&flood, 0);
	p->rules[0] = (struct world_rule){"", flood.p, 0};
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_FAILED_DESTINATION);
	world_fini(&w);
	buf_fini(&flood);
}

/* RFC 5321 6.3 */
static void
ourselves_are_found_out(void)
{
	static const struct world_rule says[] = {{"", "220 US.example ESMTP\r\n", 0},
	    {"EHLO", "250-us.example hello\r\n250 SIZE\r\n", 0}};

	for (size_t i = 0; i < COUNT_OF(says); i++) {
		struct world w;
		struct world_peer *p = usual_world(&w);
		const struct world_done *d;

		p->rules[0] = says[i];
		d = world_relay(&w, "a.example");
		EXPECT(d->results_n == 1 && d->result[0].verdict == QUEUE_FAILED &&
		       is_code(d->result[0].enhanced, 5, 4, 6));
		world_fini(&w);
	}
}

static void
next_host_when_one_refuses(void)
{
	struct world w;
	struct world_peer *a, *b;
	const struct world_done *d;

	world_init(&w);
	w.dns[0] = (struct world_dns){"a.example", DNS_MX, 0, "10,a 20,b", 0, 0, 0};
	w.dns[1] = (struct world_dns){"a", DNS_A, 0, "192.0.2.1", 0, 0, 0};
	w.dns[2] = (struct world_dns){"b", DNS_A, 0, "192.0.2.2", 0, 0, 0};
	a = world_peer(&w, "192.0.2.1");
	b = world_peer(&w, "192.0.2.2");
	a->rules[0] = (struct world_rule){"", "554 5.3.2 closed\r\n", 0};
	d = world_relay(&w, "a.example");
	EXPECT(d->outcome == SCHEDULE_SENT && d->host[0] == 'b' && a->connections_n == 1 &&
	       b->messages_n == 1);
	world_fini(&w);
}

/* ---- idle connections ---- */

static void
connections_are_used_again(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	for (int i = 0; i < 3; i++)
		EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	EXPECT(p->connections_n == 1 && p->messages_n == 3 && p->quits_n == 0);
	EXPECT(relay_connections(w.relay) == 1);
	world_run(&w, 20000);
	EXPECT(p->quits_n == 1 && relay_connections(w.relay) == 0);
	world_fini(&w);
}

static void
messages_of_a_connection_are_counted(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	for (int i = 0; i < RELAY_MESSAGES_MAX; i++) {
		w.done_n = 0;
		EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	}
	EXPECT(p->connections_n == 1);
	w.done_n = 0;
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	EXPECT(p->connections_n == 2 && p->quits_n == 1);
	world_fini(&w);
	p = usual_world(&w);
	p->rules[0] = (struct world_rule){"EHLO", "250-mx\r\n250 LIMITS MAILMAX=2\r\n", 0};
	for (int i = 0; i < 3; i++)
		EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	EXPECT(p->connections_n == 2);
	world_fini(&w);
}

/* The peer closed it, or closes it when it is used: nobody is to know. */
static void
stale_connections_are_replaced(void)
{
	static const char *const how[] = {"CLOSE", "RESET", "421 4.4.2 idle\r\n"};

	for (size_t i = 0; i < COUNT_OF(how); i++) {
		struct world w;
		struct world_peer *p = usual_world(&w);
		const struct world_done *d;

		EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
		p->rules[0] = (struct world_rule){"MAIL", how[i], 1};
		d = world_relay(&w, "a.example");
		EXPECT(d->outcome == SCHEDULE_SENT && d->results_n == 1 && p->connections_n == 2 &&
		       p->messages_n == 2);
		/* Once. */
		p->rules[0] = (struct world_rule){"MAIL", how[i], 0};
		d = world_relay(&w, "a.example");
		EXPECT(d->outcome == SCHEDULE_FAILED_DESTINATION && p->connections_n == 3);
		world_fini(&w);
	}
}

/* The time of a command runs anew for each message, also when the last one ended at the same
 * command. */
static void
times_run_for_each_message(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	p->rules[0] = (struct world_rule){"MAIL", "450 4.7.1 later\r\n", 1};
	p->rules[1] = (struct world_rule){"MAIL", "HANG", 0};
	p->rules[2] = (struct world_rule){"EHLO", "250 mx\r\n", 0};
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_DEFERRED_MESSAGE);
	/* On the idle connection, and then once more on a new one. */
	EXPECT(is_code(world_relay(&w, "a.example")->enhanced, 4, 4, 2));
	EXPECT(p->connections_n == 2);
	world_fini(&w);
}

/* ---- the content ---- */

static void
large_messages_come_in_pieces(void)
{
	for (size_t n = QUEUE_BODY_BYTES; n <= QUEUE_BODY_BYTES + 1; n++) {
		struct world w;
		struct world_peer *p = usual_world(&w);
		char *body = malloc(n);

		CHECK(body != NULL);
		for (size_t i = 0; i < n; i++)
			body[i] = i % 62 == 60 ? '\r' : i % 62 == 61 ? '\n' : 'x';
		memcpy(body, "From: a@b\r\n\r\n1234567", 20);
		w.m.body = str_of(body, n);
		EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
		EXPECT(w.reads_n == (n > QUEUE_BODY_BYTES));
		/* RFC 5321 4.1.1.4: the last line gets its end. */
		EXPECT(p->content.n >= n + w.m.head.n && p->content.n <= n + w.m.head.n + 2);
		world_fini(&w);
		free(body);
	}
}

static void
a_slow_reader_stops_the_store(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);
	size_t n = 8u << 20;
	char *body = malloc(n);
	const struct world_done *d;

	CHECK(body != NULL);
	for (size_t i = 0; i < n; i++)
		body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : '.';
	w.m.body = str_of(body, n);
	p->is_not_reading = true;
	world_send(&w, 1, "a.example");
	world_run(&w, 10000);
	EXPECT(w.done_n == 0 && w.reads_n <= 2);
	/* RFC 5321 4.5.3.2.5 */
	world_run(&w, RELAY_BLOCK_MS + 5000);
	d = &w.done[0];
	EXPECT(w.done_n == 1 && d->outcome == SCHEDULE_FAILED_DESTINATION &&
	       is_code(d->enhanced, 4, 4, 2));
	world_fini(&w);
	/* And one that reads gets all of it. */
	p = usual_world(&w);
	w.m.body = str_of(body, n);
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	EXPECT(w.reads_n == 31);
	EXPECT(p->content.n == n + n / 64 + w.m.head.n);
	world_fini(&w);
	free(body);
}

/* ---- signatures ---- */

static void
messages_are_signed(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	w.m.keys_n = 2;
	w.m.sign_domain = STR("us.example");
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	EXPECT(w.signs_n == 2);
	EXPECT(str_has_prefix(buf_str(&p->content), STR("DKIM-Signature: ")));
	EXPECT(has(&p->content, "s=s1;") && has(&p->content, "s=s2;") &&
	       has(&p->content, "d=us.example;"));
	/* h= has no Received of ours; the field stands in front of it. */
	EXPECT(!has(&p->content, "received"));
	EXPECT(str_find(buf_str(&p->content), STR("Received: by us")) >
	       str_find(buf_str(&p->content), STR("s=s2;")));
	world_fini(&w);
}

static void
large_messages_are_hashed_first(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);
	size_t n = 3 * QUEUE_BODY_BYTES;
	char *body = malloc(n);

	CHECK(body != NULL);
	for (size_t i = 0; i < n; i++)
		body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	memcpy(body, "From: a@b\r\n\r\n", 13);
	w.m.body = str_of(body, n);
	w.m.keys_n = 1;
	w.m.sign_domain = STR("us.example");
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	EXPECT(w.signs_n == 1 && w.reads_n == 4);
	EXPECT(has(&p->content, "DKIM-Signature: "));
	world_fini(&w);
	free(body);
}

static void
keys_that_fail_keep_the_message(void)
{
	for (int how = 0; how < 3; how++) {
		struct world w;
		struct world_peer *p = usual_world(&w);
		const struct world_done *d;

		w.m.keys_n = 1;
		w.m.sign_domain = STR("us.example");
		w.is_keys_silent = how == 0;
		w.is_keys_failing = how == 1;
		if (how == 2)
			world_down(&w, &w.keys);
		d = world_relay(&w, "a.example");
		EXPECT(d->outcome == SCHEDULE_DEFERRED_MESSAGE && is_code(d->enhanced, 4, 3, 0) &&
		       d->results_n == 0);
		EXPECT(p->messages_n == 0);
		/* The connection was made meanwhile: it is there for others. */
		EXPECT(relay_connections(w.relay) == 1 || how != 0);
		world_fini(&w);
	}
}

/* ---- TLS ---- */

static struct test_cert cert;

static void
signer(void *arg, const struct tls_sign_request *rq)
{
	struct buf result;

	(void)arg;
	buf_init(&result, 1024);
	EXPECT(tls_key_sign(cert.key, rq->kind, rq->op, rq->input, &result) == ST_OK);
	tls_sign_done(rq->ticket, buf_str(&result));
	buf_fini(&result);
}

/* One server that offers STARTTLS. */
static struct world_peer *
tls_world(struct world *w)
{
	struct world_peer *p = usual_world(w);
	struct buf error;

	if (cert.key == NULL)
		test_cert_make(&cert, TLS_KEY_ECDSA_P256, "DNS:mx.a.example");
	buf_init(&error, 200);
	w->server_tls = tls_context_new(w->loop, signer, w);
	w->client_tls = tls_client_context_new(w->loop);
	EXPECT(tls_context_add(w->server_tls, buf_str(&cert.pem), 1, &error) == ST_OK);
	buf_fini(&error);
	relay_set_tls(w->relay, w->client_tls);
	p->rules[0] = (struct world_rule){
	    "EHLO", "250-mx\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 DSN\r\n", 0};
	p->rules[1] = (struct world_rule){"STARTTLS", "220 go\r\n", 0};
	return p;
}

static void
tls_is_taken_when_offered(void)
{
	struct world w;
	struct world_peer *p = tls_world(&w);
	const struct world_done *d = world_relay(&w, "a.example");

	EXPECT(d->outcome == SCHEDULE_SENT && p->is_tls);
	EXPECT(str_has_prefix(str_of_c(d->tls), STR("TLSv1.3 TLS_")));
	EXPECT(has(&p->commands, "EHLO us.example\nSTARTTLS\nEHLO us.example\nMAIL"));
	/* A connection that is used again says the same. */
	EXPECT(str_has_prefix(str_of_c(world_relay(&w, "a.example")->tls), STR("TLSv1.3 TLS_")));
	world_fini(&w);
}

static void
tls_that_fails_is_left_out(void)
{
	for (int how = 0; how < 2; how++) {
		struct world w;
		struct world_peer *p = tls_world(&w);
		const struct world_done *d;

		/* One that says go and does not know what to do then; one that goes away. */
		tls_context_free(&w.server_tls);
		if (how == 1)
			p->rules[2] = (struct world_rule){"\x16\x03", "CLOSE", 0};
		d = world_relay(&w, "a.example");
		EXPECT(d->outcome == SCHEDULE_SENT && !p->is_tls && p->connections_n == 2);
		EXPECT(str_has_prefix(str_of_c(d->tls),
		    STR("none (mx.a.example [192.0.2.1]: the TLS handshake failed")));
		EXPECT(relay_counters(w.relay)->tls_failed == 1);
		world_fini(&w);
	}
}

static void
tls_that_must_be_is_waited_for(void)
{
	struct world w;
	struct world_peer *p = tls_world(&w);
	const struct world_done *d;

	world_route(&w, "*", "mx.a.example", 587, RELAY_TLS_MUST, "", "");
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT && p->is_tls);
	world_set(&w, "us.example", 10000);
	tls_context_free(&w.server_tls);
	d = world_relay(&w, "a.example");
	EXPECT(d->outcome == SCHEDULE_FAILED_DESTINATION && is_code(d->enhanced, 4, 7, 5) &&
	       p->messages_n == 1);
	p->rules[0] = (struct world_rule){"EHLO", "250 mx\r\n", 0};
	d = world_relay(&w, "a.example");
	EXPECT(d->outcome == SCHEDULE_FAILED_DESTINATION && is_code(d->enhanced, 4, 7, 4) &&
	       p->messages_n == 1);
	relay_set_tls(w.relay, NULL);
	d = world_relay(&w, "a.example");
	EXPECT(is_code(d->enhanced, 4, 7, 4) && p->messages_n == 1);
	world_fini(&w);
}

static void
tls_from_the_first_byte(void)
{
	struct world w;
	struct world_peer *p = tls_world(&w);

	world_route(&w, "*", "192.0.2.1", 465, RELAY_TLS_IMPLICIT, "", "");
	p->is_implicit_tls = true;
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT && p->is_tls);
	EXPECT(!has(&p->commands, "STARTTLS"));
	world_fini(&w);
}

static void
answers_behind_starttls_are_no_answers(void)
{
	struct world w;
	struct world_peer *p = tls_world(&w);

	p->rules[1].reply = "220 go\r\n250 injected\r\n";
	tls_context_free(&w.server_tls);
	/* Like any other failure of TLS: the next connection goes without. */
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT && !p->is_tls);
	EXPECT(p->messages_n == 1);
	world_fini(&w);
}

/* ---- login ---- */

struct login_row {
	const char *what, *address, *auth;
	uint8_t tls;
	struct world_rule rules[4];
	const char *scram_password;
	const char *sends; /* among the commands; NULL: no AUTH at all */
	bool is_ok;
};

static const struct login_row logins[] = {
    {"PLAIN under TLS", "192.0.2.1", "PLAIN LOGIN", RELAY_TLS_MUST,
	{{"AUTH PLAIN", "235 2.7.0 ok\r\n", 0}}, NULL, "AUTH PLAIN AHVzZXIAcHc=\n", true},
    {"LOGIN under TLS", "192.0.2.1", "LOGIN", RELAY_TLS_MUST,
	{{"AUTH LOGIN", "334 VXNlcm5hbWU6\r\n", 0}, {"dXNlcg==", "334 UGFzc3dvcmQ6\r\n", 0},
	    {"cHc=", "235 ok\r\n", 0}},
	NULL, "AUTH LOGIN\ndXNlcg==\ncHc=\n", true},
    {"PLAIN in clear", "192.0.2.1", "PLAIN LOGIN", RELAY_TLS_NEVER, {{0}}, NULL, NULL, false},
    {"PLAIN in clear on loopback", "127.0.0.1", "PLAIN LOGIN", RELAY_TLS_NEVER,
	{{"AUTH PLAIN", "235 2.7.0 ok\r\n", 0}}, NULL, "AUTH PLAIN AHVzZXIAcHc=\n", true},
    {"refused for good", "192.0.2.1", "PLAIN", RELAY_TLS_MUST, {{"AUTH", "535 5.7.8 no\r\n", 0}},
	NULL, "AUTH PLAIN", false},
    {"no mechanism that we know", "192.0.2.1", "GSSAPI", RELAY_TLS_MUST, {{0}}, NULL, NULL, false},
    {"a challenge that never ends", "192.0.2.1", "LOGIN", RELAY_TLS_MUST,
	{{"AUTH", "334 \r\n", 0}, {"dXNl", "334 \r\n", 0}, {"cHc=", "334 \r\n", 0},
	    {"*", "501 ok\r\n", 0}},
	NULL, "AUTH LOGIN", false},
    {"SCRAM in clear", "192.0.2.1", "PLAIN SCRAM-SHA-256 SCRAM-SHA-1", RELAY_TLS_NEVER, {{0}}, "pw",
	NULL, true},
    {"SCRAM-SHA-1", "192.0.2.1", "SCRAM-SHA-1 PLAIN", RELAY_TLS_MUST, {{0}}, "pw", NULL, true},
    {"SCRAM, wrong password", "192.0.2.1", "SCRAM-SHA-256", RELAY_TLS_MUST, {{0}}, "other", NULL,
	false},
    {"SCRAM, and the server does not prove itself", "192.0.2.1", "SCRAM-SHA-256", RELAY_TLS_MUST,
	{{"AUTH", "235 welcome\r\n", 0}}, NULL, "AUTH SCRAM-SHA-256", false},
};

static void
logins_are_made(void)
{
	for (size_t i = 0; i < COUNT_OF(logins); i++) {
		const struct login_row *r = &logins[i];
		const struct world_done *d;
		struct world_peer *p;
		struct world w;
		char ehlo[200];
		int bad = unit_bad;

		(void)tls_world(&w);
		p = world_peer(&w, r->address);
		(void)snprintf(
		    ehlo, sizeof(ehlo), "250-mx\r\n250-STARTTLS\r\n250 AUTH %s\r\n", r->auth);
		p->rules[0] = (struct world_rule){"EHLO", ehlo, 0};
		p->rules[1] = (struct world_rule){"STARTTLS", "220 go\r\n", 0};
		for (size_t k = 0; k < COUNT_OF(r->rules); k++)
			if (r->rules[k].reply != NULL)
				p->rules[2 + k] = r->rules[k];
		p->scram_password = r->scram_password;
		world_route(&w, "*", r->address, 587, r->tls, "user", "pw");
		d = world_relay(&w, "a.example");
		EXPECT((d->outcome == SCHEDULE_SENT) == r->is_ok);
		EXPECT(r->is_ok || is_code(d->enhanced, 4, 7, 0) || is_code(d->enhanced, 4, 5, 0));
		EXPECT(r->is_ok == (p->messages_n == 1));
		EXPECT(r->sends != NULL ? has(&p->commands, r->sends) : !has(&p->commands, "AUTH"));
		if (unit_bad > bad)
			fprintf(stderr, "  in \"%s\": %u %s\n", r->what, d->code, d->text);
		world_fini(&w);
	}
}

/* ---- our own roles ---- */

static void
a_store_that_fails_defers(void)
{
	for (int how = 0; how < 5; how++) {
		struct world w;
		const struct world_done *d;

		(void)usual_world(&w);
		w.m.is_not_ok = how == 0;
		w.m.is_silent = how == 1 || how == 2;
		w.m.is_read_failing = how == 3;
		w.m.is_read_silent = how == 4;
		char *body = calloc(1, QUEUE_BODY_BYTES + 100);
		CHECK(body != NULL);
		for (size_t i = 0; i < QUEUE_BODY_BYTES + 100; i++)
			body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
		if (how > 2)
			w.m.body = str_of(body, QUEUE_BODY_BYTES + 100);
		if (how == 2) {
			world_send(&w, 1, "a.example");
			world_run(&w, 100);
			EXPECT(w.done_n == 0);
			world_down(&w, &w.store);
			world_run(&w, 100);
			EXPECT(w.done_n == 1);
			d = &w.done[0];
		} else {
			d = world_relay(&w, "a.example");
		}
		EXPECT(d->outcome == SCHEDULE_DEFERRED_MESSAGE && is_code(d->enhanced, 4, 3, 0) &&
		       d->results_n == 0);
		world_run(&w, 60000);
		EXPECT(relay_connections(w.relay) == 0);
		world_fini(&w);
		free(body);
	}
}

static void
nothing_due_is_told(void)
{
	struct world w;
	const struct world_done *d;

	(void)usual_world(&w);
	w.m.rcpts[0] = NULL;
	d = world_relay(&w, "a.example");
	EXPECT(d->results_n == 0 && d->code == 250);
	world_fini(&w);
}

static void
a_queue_that_comes_back_adopts(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	p->rules[0] = (struct world_rule){"MAIL", "HANG", 0};
	p->rules[1] = (struct world_rule){"EHLO", "250 mx\r\n", 0};
	world_send(&w, 1, "a.example");
	world_run(&w, 100);
	EXPECT(p->connections_n == 1 && w.done_n == 0);
	world_down(&w, &w.queue);
	w.queue.is_down = false;
	world_send(&w, 2, "a.example");
	world_run(&w, RELAY_MAIL_MS + 2000);
	EXPECT(p->connections_n == 1 && w.done_n == 1 && w.done[0].job == 2);
	world_fini(&w);
}

static void
a_queue_that_is_gone_hears_nothing(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	p->rules[0] = (struct world_rule){".", "HANG", 0};
	world_send(&w, 1, "a.example");
	world_run(&w, 100);
	world_down(&w, &w.queue);
	w.queue.is_down = false;
	world_run(&w, RELAY_END_MS + 2000);
	EXPECT(w.done_n == 0 && relay_jobs(w.relay) == 0);
	world_fini(&w);
}

static void
a_resolver_that_goes_defers(void)
{
	struct world w;

	(void)usual_world(&w);
	w.dns[0].is_silent = true;
	world_send(&w, 1, "a.example");
	world_run(&w, 100);
	world_down(&w, &w.resolver);
	world_run(&w, 100);
	EXPECT(w.done_n == 1 && is_code(w.done[0].enhanced, 4, 4, 3));
	EXPECT(is_code(world_relay(&w, "a.example")->enhanced, 4, 4, 3));
	world_fini(&w);
}

/* ---- the end ---- */

static void
on_stopped(void *arg)
{
	struct world *w = arg;

	w->stopped_n++;
}

static void
stopping_lets_messages_end(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	p->rules[0] = (struct world_rule){".", "HANG", 0};
	EXPECT(world_relay(&w, "[192.0.2.1]")->outcome != SCHEDULE_SENT);
	p->rules[0] = (struct world_rule){0};
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	p->rules[0] = (struct world_rule){".", "HANG", 0};
	world_send(&w, 1, "a.example");
	world_run(&w, 100);
	relay_stop(w.relay, on_stopped, &w);
	world_send(&w, 2, "a.example");
	world_run(&w, 100);
	EXPECT(w.done_n == 3 && w.done[2].job == 2 && is_code(w.done[2].enhanced, 4, 3, 2) &&
	       w.stopped_n == 0);
	world_run(&w, RELAY_STOP_MS + 1000);
	EXPECT(w.done_n == 4 && w.done[3].job == 1 && w.stopped_n == 1 &&
	       relay_connections(w.relay) == 0);
	world_fini(&w);
	(void)usual_world(&w);
	EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
	relay_stop(w.relay, on_stopped, &w);
	world_run(&w, 1000);
	EXPECT(w.stopped_n == 1);
	world_fini(&w);
}

static void
jobs_are_limited(void)
{
	struct world w;

	(void)usual_world(&w);
	w.m.is_silent = true;
	w.dns[0].is_silent = true;
	for (uint64_t i = 0; i < RELAY_JOBS_MAX; i++)
		world_send(&w, 10 + i, "a.example");
	world_run(&w, 100);
	EXPECT(w.done_n == 0 && relay_jobs(w.relay) == RELAY_JOBS_MAX);
	world_send(&w, 1, "a.example");
	world_run(&w, 100);
	EXPECT(
	    w.done_n == 1 && w.done[0].job == 1 && w.done[0].outcome == SCHEDULE_DEFERRED_MESSAGE);
	world_fini(&w);
}

static void
rounds_are_limited(void)
{
	for (size_t n = RELAY_ROUNDS_MAX; n <= RELAY_ROUNDS_MAX + 1; n++) {
		struct world w;
		struct world_peer *p = usual_world(&w);
		const struct world_done *d;

		w.m.many = n;
		p->rules[0] = (struct world_rule){"EHLO", "250-mx\r\n250 LIMITS RCPTMAX=1\r\n", 0};
		d = world_relay(&w, "a.example");
		EXPECT(d->outcome == SCHEDULE_SENT && d->results_n == RELAY_ROUNDS_MAX);
		EXPECT(d->code == (n > RELAY_ROUNDS_MAX ? 452 : 250));
		world_fini(&w);
	}
}

static void
keys_are_limited(void)
{
	for (uint8_t n = RELAY_KEYS_MAX; n <= RELAY_KEYS_MAX + 1; n++) {
		struct world w;

		(void)usual_world(&w);
		w.m.keys_n = n;
		w.m.sign_domain = STR("us.example");
		EXPECT(world_relay(&w, "a.example")->outcome == SCHEDULE_SENT);
		EXPECT(w.signs_n == RELAY_KEYS_MAX);
		world_fini(&w);
	}
}

static void
idle_connections_are_limited(void)
{
	for (uint64_t n = RELAY_POOL_MAX; n <= RELAY_POOL_MAX + 1; n++) {
		struct world w;

		(void)usual_world(&w);
		for (uint64_t i = 0; i < n; i++)
			world_send(&w, 1 + i, "a.example");
		for (int i = 0; i < 10; i++)
			world_run(&w, 10);
		EXPECT(w.done_n == n && relay_counters(w.relay)->connections == n);
		EXPECT(relay_connections(w.relay) == RELAY_POOL_MAX);
		/* New settings: none of them stays. */
		world_set(&w, "us.example", 10000);
		world_run(&w, 100);
		EXPECT(relay_connections(w.relay) == 0);
		world_fini(&w);
	}
}

static void
dead_addresses_are_limited(void)
{
	struct world w;
	struct sock_addr a = {.is_v4 = true, .port = 25};

	world_init(&w);
	for (uint16_t i = 0; i < RELAY_BAD_MAX; i++) {
		a.port = (uint16_t)(i + 1);
		relay_bad_add(w.relay, &a);
	}
	a.port = 1;
	EXPECT(relay_bad_has(w.relay, &a));
	a.port = RELAY_BAD_MAX + 1;
	relay_bad_add(w.relay, &a);
	EXPECT(relay_bad_has(w.relay, &a));
	a.port = 1;
	EXPECT(!relay_bad_has(w.relay, &a));
	world_fini(&w);
}

/* A host that says nothing keeps a few connections waiting, not all there are. */
static void
silent_hosts_hold_few_connections(void)
{
	struct world w;
	struct world_peer *p = usual_world(&w);

	p->rules[0] = (struct world_rule){"", "HANG", 0};
	for (uint64_t job = 1; job <= RELAY_QUIET_MAX + 3; job++)
		world_send(&w, job, "a.example");
	world_run(&w, RELAY_QUIET_MS - 1000);
	EXPECT(w.done_n == 0 && relay_jobs(w.relay) == RELAY_QUIET_MAX + 3);
	world_run(&w, 2000);
	EXPECT(w.done_n == 3 && relay_jobs(w.relay) == RELAY_QUIET_MAX);
	EXPECT(w.done[0].outcome == SCHEDULE_FAILED_DESTINATION && w.done[0].code == 451);
	/* The others have the whole time; then the host may keep as many again. */
	world_run(&w, RELAY_GREETING_MS);
	EXPECT(w.done_n == RELAY_QUIET_MAX + 3 && relay_jobs(w.relay) == 0);
	world_send(&w, 99, "a.example");
	world_run(&w, RELAY_QUIET_MS + 2000);
	EXPECT(relay_jobs(w.relay) == 1);
	world_fini(&w);
}

static void
routes_are_limited(void)
{
	for (size_t n = RELAY_ROUTES_MAX; n <= RELAY_ROUTES_MAX + 1; n++) {
		struct relay_routes *t = NULL;
		struct buf b;
		enum status st;

		buf_init(&b, 1 << 20);
		for (size_t i = 0; i < n; i++)
			(void)buf_put(&b, STR("\x01\x00*\x01\x00h\x19\x00\x00\x00\x00\x00\x00"));
		st = relay_routes_new(buf_str(&b), &t);
		EXPECT(st == (n > RELAY_ROUTES_MAX ? ST_LIMIT : ST_OK));
		relay_routes_unref(&t);
		/* Cut anywhere it is malformed. */
		for (size_t cut = 1; cut < 13; cut++)
			EXPECT(relay_routes_new(str_take(buf_str(&b), 26 - cut), &t) == ST_SYNTAX);
		buf_fini(&b);
	}
}

static void
texts_are_cut_and_printable(void)
{
	struct relay_reason r;
	char text[RELAY_TEXT_MAX + 2];

	memset(text, 'x', sizeof(text));
	text[3] = '\n';
	text[RELAY_TEXT_MAX] = 0;
	relay_reason_set(&r, 451, 4, 2, "%s", text);
	EXPECT(relay_reason_text(&r).n == RELAY_TEXT_MAX && r.text[3] == '?');
	text[RELAY_TEXT_MAX] = 'x';
	text[RELAY_TEXT_MAX + 1] = 0;
	relay_reason_set(&r, 451, 4, 2, "%s", text);
	EXPECT(relay_reason_text(&r).n == RELAY_TEXT_MAX);
	EXPECT(is_code(r.enhanced, 4, 4, 2));
}

int
main(void)
{
	log_set_level(LOG_ERROR);
	tls_process_init();
	CHECK(sasl_load() == ST_OK);
	UNIT(sends_one);
	UNIT(finds_hosts);
	UNIT(equal_ones_take_turns);
	UNIT(dead_addresses_come_last);
	UNIT(many_addresses_are_cut);
	UNIT(many_hosts_are_cut);
	UNIT(routes_are_followed);
	UNIT(bad_settings_change_nothing);
	UNIT(recipients_are_told);
	UNIT(many_recipients_in_rounds);
	UNIT(parameters_go_where_they_are_known);
	UNIT(needs_are_met_or_told);
	UNIT(bad_servers_end_in_one_answer);
	UNIT(ten_thousand_lines);
	UNIT(ourselves_are_found_out);
	UNIT(next_host_when_one_refuses);
	UNIT(connections_are_used_again);
	UNIT(messages_of_a_connection_are_counted);
	UNIT(stale_connections_are_replaced);
	UNIT(times_run_for_each_message);
	UNIT(large_messages_come_in_pieces);
	UNIT(a_slow_reader_stops_the_store);
	UNIT(messages_are_signed);
	UNIT(large_messages_are_hashed_first);
	UNIT(keys_that_fail_keep_the_message);
	UNIT(tls_is_taken_when_offered);
	UNIT(tls_that_fails_is_left_out);
	UNIT(tls_that_must_be_is_waited_for);
	UNIT(tls_from_the_first_byte);
	UNIT(answers_behind_starttls_are_no_answers);
	UNIT(logins_are_made);
	UNIT(a_store_that_fails_defers);
	UNIT(nothing_due_is_told);
	UNIT(a_queue_that_comes_back_adopts);
	UNIT(a_queue_that_is_gone_hears_nothing);
	UNIT(a_resolver_that_goes_defers);
	UNIT(stopping_lets_messages_end);
	UNIT(jobs_are_limited);
	UNIT(rounds_are_limited);
	UNIT(keys_are_limited);
	UNIT(idle_connections_are_limited);
	UNIT(dead_addresses_are_limited);
	UNIT(silent_hosts_hold_few_connections);
	UNIT(routes_are_limited);
	UNIT(texts_are_cut_and_printable);
	if (cert.key != NULL)
		test_cert_drop(&cert);
	return unit_end();
}
