/* The resolver against a server on loopback: through real sockets, on the loop's real clock. */
#include "net/dns.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "base/unit.h"
#include "net/dns_testserver.h"
#include "sys/sandbox.h"

enum { ASK_MS_MAX = 20000, SHORT_DEADLINE_MS = 400 };

struct bench {
	struct dns_testserver server;
	struct clock clock;
	struct loop *loop;
	struct dns *dns;
};

static struct dns *
resolver(struct bench *b, struct dns_options o)
{
	struct dns *d;
	struct buf why;

	buf_init(&why, 1024);
	if (dns_new(b->loop, &o, &d, &why) != ST_OK)
		fprintf(stderr, "dns_new: %.*s\n", STR_ARG(buf_str(&why)));
	CHECK(d != NULL);
	buf_fini(&why);
	return d;
}

static void
bench_init(struct bench *b, struct dns_options o, bool is_signed)
{
	dns_testserver_start(&b->server, is_signed);
	clock_init_system(&b->clock);
	b->loop = loop_new(&b->clock);
	o.forward = str_of_c(b->server.forward);
	o.trust_anchor = str_of_c(b->server.trust_anchor);
	b->dns = resolver(b, o);
}

static void
bench_fini(struct bench *b)
{
	dns_free(&b->dns);
	loop_free(&b->loop);
	dns_testserver_stop(&b->server);
}

struct got {
	bool is_done, is_timeout;
	uint16_t rcode;
	enum dns_security security;
	size_t n;
	struct buf text; /* the answers, sorted by nothing, with '|' between */
	struct loop *loop;
};

static void
on_done(void *arg, struct dns_id id, const struct dns_result *r)
{
	struct got *g = arg;
	struct cur c = cur_of(r->answers);
	struct str s;

	EXPECT(id.v != 0 && !g->is_done);
	g->is_done = true;
	g->is_timeout = r->is_timeout;
	g->rcode = r->rcode;
	g->security = r->security;
	g->n = r->answers_n;
	while (dns_answer_next(&c, &s)) {
		if (g->text.n > 0)
			(void)buf_put_c(&g->text, '|');
		(void)buf_put(&g->text, s);
	}
	EXPECT(cur_at_end(&c));
}

static void
turn_until(struct bench *b, const bool *flag, uint64_t ms_max)
{
	uint64_t end = clock_mono_ms(&b->clock) + ms_max;

	while (!*flag && clock_mono_ms(&b->clock) < end)
		(void)loop_turn(b->loop, 20);
}

/* The caller frees g->text. */
static void
ask(struct bench *b, uint16_t rrtype, struct str name, struct got *g)
{
	struct dns_id id;

	*g = (struct got){0};
	buf_init(&g->text, DNS_ANSWERS_BYTES_MAX);
	EXPECT(dns_ask(b->dns, rrtype, name, on_done, g, &id) == ST_OK);
	EXPECT(!g->is_done);
	turn_until(b, &g->is_done, ASK_MS_MAX);
	EXPECT(g->is_done);
}

static void
forwards_everything(void)
{
	static const struct {
		uint16_t type;
		struct str name;
		uint16_t rcode;
		struct str answers[2]; /* either order */
	} t[] = {
	    {DNS_MX, STR_INIT("example.test"), 0,
		{STR_INIT("10 mx1.example.test|20 mx2.example.test"),
		    STR_INIT("20 mx2.example.test|10 mx1.example.test")}},
	    {DNS_MX, STR_INIT("EXAMPLE.test."), 0,
		{STR_INIT("10 mx1.example.test|20 mx2.example.test"),
		    STR_INIT("20 mx2.example.test|10 mx1.example.test")}},
	    {DNS_MX, STR_INIT("nullmx.test"), 0, {STR_INIT("0 ."), STR_INIT("0 .")}},
	    {DNS_TXT, STR_INIT("example.test"), 0,
		{STR_INIT("v=spf1 mx -all"), STR_INIT("v=spf1 mx -all")}},
	    {DNS_NS, STR_INIT("example.test"), 0,
		{STR_INIT("ns.example.test"), STR_INIT("ns.example.test")}},
	    {DNS_A, STR_INIT("mx1.example.test"), 0,
		{STR_INIT("192.0.2.25"), STR_INIT("192.0.2.25")}},
	    {DNS_AAAA, STR_INIT("mx1.example.test"), 0,
		{STR_INIT("2001:db8::25"), STR_INIT("2001:db8::25")}},
	    {DNS_TLSA, STR_INIT("_25._tcp.mx1.example.test"), 0,
		{STR_INIT("\3\1\1abc"), STR_INIT("\3\1\1abc")}},
	    {DNS_A, STR_INIT("www.test"), 0, {STR_INIT("192.0.2.25"), STR_INIT("192.0.2.25")}},
	    {DNS_CNAME, STR_INIT("www.test"), 0, {STR_INIT("alias.test"), STR_INIT("alias.test")}},
	    /* No data; no name; failure of theirs. */
	    {DNS_AAAA, STR_INIT("example.test"), 0, {STR_INIT(""), STR_INIT("")}},
	    {DNS_A, STR_INIT("nowhere.test"), DNS_NXDOMAIN, {STR_INIT(""), STR_INIT("")}},
	    {DNS_A, STR_INIT("servfail.test"), DNS_SERVFAIL, {STR_INIT(""), STR_INIT("")}},
	    /* What a resolver by itself would keep local. */
	    {DNS_A, STR_INIT("localhost"), 0, {STR_INIT("192.0.2.1"), STR_INIT("192.0.2.1")}},
	    {DNS_PTR, STR_INIT("1.0.0.127.in-addr.arpa"), 0,
		{STR_INIT("four.forwarder.test"), STR_INIT("four.forwarder.test")}},
	    {DNS_PTR, STR_INIT("1.2.0.10.in-addr.arpa"), 0,
		{STR_INIT("ten.forwarder.test"), STR_INIT("ten.forwarder.test")}},
	    {DNS_PTR, STR_INIT("5.1.168.192.in-addr.arpa"), 0,
		{STR_INIT("lan.forwarder.test"), STR_INIT("lan.forwarder.test")}},
	    {DNS_PTR,
		STR_INIT(
		    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa"),
		0, {STR_INIT("six.forwarder.test"), STR_INIT("six.forwarder.test")}},
	};
	struct bench b;
	struct got g;

	bench_init(&b, (struct dns_options){0}, false);
	for (size_t i = 0; i < COUNT_OF(t); i++) {
		ask(&b, t[i].type, t[i].name, &g);
		if (g.rcode != t[i].rcode)
			fprintf(stderr, "row %zu: code %u\n", i, g.rcode);
		EXPECT(g.rcode == t[i].rcode && g.security == DNS_INSECURE && !g.is_timeout);
		if (!str_eq(buf_str(&g.text), t[i].answers[1]))
			EXPECT_STR(buf_str(&g.text), t[i].answers[0]);
		buf_fini(&g.text);
	}
	EXPECT(dns_counts(b.dns).answered == COUNT_OF(t) && dns_counts(b.dns).outstanding == 0);
	bench_fini(&b);
}

static void
falls_back_to_tcp(void)
{
	struct bench b;
	struct got g;

	bench_init(&b, (struct dns_options){0}, false);
	ask(&b, DNS_TXT, STR("big.test"), &g);
	EXPECT(g.rcode == 0 && g.n == 1 && g.text.n == DNS_TESTSERVER_BIG_BYTES);
	buf_fini(&g.text);
	bench_fini(&b);
}

static void
garbage_is_a_failure(void)
{
	static const struct str names[] = {STR_INIT("garbage.test"), STR_INIT("lying.test")};
	struct bench b;
	struct got g;

	bench_init(&b, (struct dns_options){.deadline_ms = 3000}, false);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		ask(&b, DNS_A, names[i], &g);
		EXPECT(g.rcode == DNS_SERVFAIL && g.n == 0 && g.text.n == 0);
		buf_fini(&g.text);
	}
	bench_fini(&b);
}

static void
deadline_is_met(void)
{
	struct bench b;
	struct got g;
	uint64_t start, took;

	bench_init(&b, (struct dns_options){.deadline_ms = SHORT_DEADLINE_MS}, false);
	start = clock_mono_ms(&b.clock);
	ask(&b, DNS_A, STR("silent.test"), &g);
	took = clock_mono_ms(&b.clock) - start;
	EXPECT(g.is_timeout && g.rcode == DNS_SERVFAIL && g.n == 0);
	EXPECT(took >= SHORT_DEADLINE_MS && took < SHORT_DEADLINE_MS + 1000);
	EXPECT(dns_counts(b.dns).timeouts == 1 && dns_counts(b.dns).abandoned == 1);
	EXPECT(dns_counts(b.dns).outstanding == 0);
	buf_fini(&g.text);
	/* Freed while libunbound still works on it. */
	bench_fini(&b);
}

/* A server that was quick so far is not given up before the deadline. */
static void
patience_lasts(void)
{
	struct bench b;
	struct buf name;
	struct got g;

	bench_init(&b, (struct dns_options){.deadline_ms = 4000}, false);
	buf_init(&name, 64);
	/* Each goes to the server, so that libunbound learns how quick it is. */
	for (unsigned i = 0; i < 20; i++) {
		buf_reset(&name);
		(void)buf_putf(&name, "n%u.test", i);
		ask(&b, DNS_A, buf_str(&name), &g);
		buf_fini(&g.text);
	}
	buf_fini(&name);
	ask(&b, DNS_A, STR("silent.test"), &g);
	EXPECT(g.is_timeout);
	buf_fini(&g.text);
	bench_fini(&b);
}

static void
stale_answers_serve(void)
{
	struct bench b;
	struct got g;

	bench_init(&b, (struct dns_options){.deadline_ms = 6000}, false);
	ask(&b, DNS_A, STR("stale.test"), &g);
	EXPECT_STR(buf_str(&g.text), STR("192.0.2.77"));
	buf_fini(&g.text);
	(void)nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 200000000}, NULL);
	ask(&b, DNS_A, STR("stale.test"), &g);
	EXPECT(!g.is_timeout && g.rcode == 0);
	EXPECT_STR(buf_str(&g.text), STR("192.0.2.77"));
	buf_fini(&g.text);
	bench_fini(&b);
}

static void
questions_are_checked(void)
{
	static const struct {
		uint16_t type;
		struct str name;
		enum status st;
	} t[] = {
	    {DNS_A, STR_INIT(""), ST_SYNTAX},
	    {DNS_A, STR_INIT("a b.test"), ST_SYNTAX},
	    {DNS_A, STR_INIT("a\0b.test"), ST_SYNTAX},
	    {DNS_A,
		STR_INIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test"),
		ST_LIMIT},
	    {0, STR_INIT("a.test"), ST_UNSUPPORTED},
	    {255, STR_INIT("a.test"), ST_UNSUPPORTED},
	    {46, STR_INIT("a.test"), ST_UNSUPPORTED},
	};
	struct bench b;
	struct dns_id id;

	bench_init(&b, (struct dns_options){0}, false);
	for (size_t i = 0; i < COUNT_OF(t); i++)
		EXPECT(dns_ask(b.dns, t[i].type, t[i].name, on_done, NULL, &id) == t[i].st &&
		       id.v == 0);
	EXPECT(dns_counts(b.dns).refused == COUNT_OF(t) && dns_counts(b.dns).asked == 0);
	bench_fini(&b);
}

static void
outstanding_is_bounded(void)
{
	struct bench b;
	struct dns_id ids[3], id;
	struct got g = {0};

	bench_init(&b, (struct dns_options){.outstanding_max = 3}, false);
	for (size_t i = 0; i < COUNT_OF(ids); i++)
		EXPECT(dns_ask(b.dns, DNS_A, STR("silent.test"), on_done, &g, &ids[i]) == ST_OK);
	EXPECT(dns_ask(b.dns, DNS_A, STR("silent.test"), on_done, &g, &id) == ST_LIMIT);
	/* A place is free again, but libunbound goes on: that is bounded too. */
	for (size_t i = COUNT_OF(ids); i < COUNT_OF(ids) * DNS_ABANDONED_FACTOR; i++) {
		dns_cancel(b.dns, &ids[0]);
		EXPECT(ids[0].v == 0);
		EXPECT(dns_ask(b.dns, DNS_A, STR("silent.test"), on_done, &g, &ids[0]) == ST_OK);
	}
	dns_cancel(b.dns, &ids[0]);
	EXPECT(dns_ask(b.dns, DNS_A, STR("silent.test"), on_done, &g, &id) == ST_LIMIT);
	EXPECT(!g.is_done);
	bench_fini(&b);
	EXPECT(!g.is_done);
}

static void
on_counted(void *arg, struct dns_id id, const struct dns_result *r)
{
	size_t *n = arg;

	(void)id;
	*n += r->rcode == DNS_NXDOMAIN;
}

/* More than there are sockets: the rest waits inside libunbound. */
static void
many_at_once(void)
{
	struct bench b;
	struct dns_id id;
	struct buf name;
	size_t n = 0;
	uint64_t end;

	bench_init(&b, (struct dns_options){0}, false);
	buf_init(&name, 64);
	for (unsigned i = 0; i < DNS_OUTSTANDING_MAX; i++) {
		buf_reset(&name);
		(void)buf_putf(&name, "n%u.test", i);
		EXPECT(dns_ask(b.dns, DNS_A, buf_str(&name), on_counted, &n, &id) == ST_OK);
	}
	EXPECT(dns_ask(b.dns, DNS_A, STR("n.test"), on_counted, &n, &id) == ST_LIMIT);
	end = clock_mono_ms(&b.clock) + DNS_DEADLINE_MS + 1000;
	while (dns_counts(b.dns).outstanding > 0 && clock_mono_ms(&b.clock) < end)
		(void)loop_turn(b.loop, 20);
	EXPECT(n == DNS_OUTSTANDING_MAX);
	EXPECT(dns_counts(b.dns).abandoned == 0);
	buf_fini(&name);
	bench_fini(&b);
}

static void
cancelled_is_silent(void)
{
	struct bench b;
	struct dns_id id;
	struct got g = {0}, other;

	bench_init(&b, (struct dns_options){0}, false);
	buf_init(&g.text, 64);
	EXPECT(dns_ask(b.dns, DNS_A, STR("mx1.example.test"), on_done, &g, &id) == ST_OK);
	dns_cancel(b.dns, &id);
	dns_cancel(b.dns, &id);
	ask(&b, DNS_A, STR("mx1.example.test"), &other);
	EXPECT_STR(buf_str(&other.text), STR("192.0.2.25"));
	buf_fini(&other.text);
	/* From the cache: answered already, but not before the turn ends. */
	EXPECT(dns_ask(b.dns, DNS_A, STR("mx1.example.test"), on_done, &g, &id) == ST_OK);
	dns_cancel(b.dns, &id);
	(void)loop_turn(b.loop, 10);
	EXPECT(!g.is_done);
	buf_fini(&g.text);
	bench_fini(&b);
}

static void
signed_answers_are_secure(void)
{
	struct bench b;
	struct got g;

	bench_init(&b, (struct dns_options){0}, true);
	ask(&b, DNS_A, STR("mx1.example.test"), &g);
	EXPECT(g.rcode == 0 && g.security == DNS_SECURE);
	EXPECT_STR(buf_str(&g.text), STR("192.0.2.25"));
	buf_fini(&g.text);
	ask(&b, DNS_TLSA, STR("_25._tcp.mx1.example.test"), &g);
	EXPECT(g.rcode == 0 && g.security == DNS_SECURE && g.n == 1);
	buf_fini(&g.text);
	ask(&b, DNS_A, STR("www.test"), &g);
	EXPECT(g.security == DNS_SECURE && g.n == 1);
	buf_fini(&g.text);
	ask(&b, DNS_A, STR("tampered.test"), &g);
	EXPECT(g.rcode == DNS_SERVFAIL && g.security == DNS_BOGUS && g.n == 0 && g.text.n == 0);
	buf_fini(&g.text);
	EXPECT(dns_counts(b.dns).secure == 3 && dns_counts(b.dns).bogus == 1);
	bench_fini(&b);
}

/* What stands in an option of its own. */
static enum status
try_options(struct bench *b, struct dns_options o, struct buf *why)
{
	struct dns *d;
	enum status st = dns_new(b->loop, &o, &d, why);

	EXPECT((st == ST_OK) == (d != NULL));
	dns_free(&d);
	return st;
}

static void
options_are_checked(void)
{
	static const struct {
		struct str forward, anchor_text;
		enum status st;
	} t[] = {
	    {STR_INIT(""), STR_INIT(""), ST_OK},
	    {STR_INIT("127.0.0.1@53"), STR_INIT(""), ST_OK},
	    {STR_INIT("::1@5300"), STR_INIT(""), ST_OK},
	    {STR_INIT("127.0.0.1"), STR_INIT(""), ST_SYNTAX},
	    {STR_INIT("127.0.0.1@0"), STR_INIT(""), ST_SYNTAX},
	    {STR_INIT("127.0.0.1@65536"), STR_INIT(""), ST_SYNTAX},
	    {STR_INIT("dns.example@53"), STR_INIT(""), ST_SYNTAX},
	    {STR_INIT("::1@53"), STR_INIT("; DS nothing here\n"), ST_DENIED},
	    {STR_INIT(""), STR_INIT("\n\n"), ST_DENIED},
	    {STR_INIT(""), STR_INIT(". IN DS 20326 8 2 nonsense\n"), ST_IO},
	    {STR_INIT(""),
		STR_INIT(".\tIN\tDS\t20326 8 2 "
			 "E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"),
		ST_OK},
	};
	char path[] = "/tmp/posthorn-dns-XXXXXX";
	int fd = mkstemp(path);
	struct bench b;
	struct buf why;

	CHECK(fd >= 0);
	clock_init_system(&b.clock);
	b.loop = loop_new(&b.clock);
	buf_init(&why, 1024);
	for (size_t i = 0; i < COUNT_OF(t); i++) {
		enum status st;
		CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, t[i].anchor_text.p, t[i].anchor_text.n,
						   0) == (ssize_t)t[i].anchor_text.n);
		buf_reset(&why);
		st = try_options(&b,
		    (struct dns_options){.forward = t[i].forward,
			.trust_anchor = t[i].anchor_text.n ? str_of_c(path) : STR_NULL},
		    &why);
		if (st != t[i].st)
			fprintf(stderr, "row %zu: %s\n", i, status_word(st));
		EXPECT(st == t[i].st && (why.n > 0) == (st != ST_OK));
	}
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, " DS ", 4, 0) == 4 &&
	      ftruncate(fd, DNS_TRUST_ANCHOR_BYTES_MAX) == 0);
	EXPECT(
	    try_options(&b, (struct dns_options){.trust_anchor = str_of_c(path)}, &why) == ST_IO);
	CHECK(ftruncate(fd, DNS_TRUST_ANCHOR_BYTES_MAX + 1) == 0);
	EXPECT(try_options(&b, (struct dns_options){.trust_anchor = str_of_c(path)}, &why) ==
	       ST_LIMIT);
	CHECK(unlink(path) == 0);
	EXPECT(try_options(&b, (struct dns_options){.trust_anchor = str_of_c(path)}, &why) ==
	       ST_NOTFOUND);
	close(fd);
	buf_fini(&why);
	loop_free(&b.loop);
}

/* Without a forwarder the special names are answered here: no packet leaves. */
static void
recursion_keeps_special_names(void)
{
	struct bench b;
	struct got g;

	clock_init_system(&b.clock);
	b.loop = loop_new(&b.clock);
	b.dns = resolver(&b, (struct dns_options){0});
	ask(&b, DNS_PTR, STR("1.0.0.127.in-addr.arpa"), &g);
	EXPECT_STR(buf_str(&g.text), STR("localhost"));
	buf_fini(&g.text);
	ask(&b, DNS_PTR, STR("1.2.0.10.in-addr.arpa"), &g);
	EXPECT(g.rcode == DNS_NXDOMAIN && g.n == 0);
	buf_fini(&g.text);
	dns_free(&b.dns);
	loop_free(&b.loop);
}

/* ---- in the sandbox ---- */

_Noreturn static void
confined_run(struct bench *b, const char *dir)
{
	struct sandbox_options o = {.allow = SANDBOX_CONNECT, .root_dir = dir, .uid = 60999};
	const char *root;
	struct buf report;
	struct bench other;
	struct got g;

	buf_init(&report, SANDBOX_REPORT_MAX);
	b->loop = loop_new(&b->clock);
	b->dns = resolver(b, (struct dns_options){.forward = str_of_c(b->server.forward),
				 .trust_anchor = str_of_c(b->server.trust_anchor),
				 .deadline_ms = SHORT_DEADLINE_MS * 5});
	/* Another that goes to IPv6, where nobody listens: sockets of the other family, refusals,
	 * lines in the log. */
	other = *b;
	other.dns = resolver(&other,
	    (struct dns_options){.forward = STR("::1@1"), .deadline_ms = SHORT_DEADLINE_MS * 5});
	if (sandbox_confine(&o, &root, &report) != ST_OK || sandbox_lock(&o, &report) != ST_OK)
		_exit(2);
	ask(&other, DNS_A, STR("mx1.example.test"), &g);
	EXPECT(g.rcode == DNS_SERVFAIL && g.n == 0);
	dns_free(&other.dns);
	ask(b, DNS_A, STR("mx1.example.test"), &g);
	EXPECT(str_eq(buf_str(&g.text), STR("192.0.2.25")) && g.security == DNS_SECURE);
	ask(b, DNS_TXT, STR("big.test"), &g);
	EXPECT(g.text.n == DNS_TESTSERVER_BIG_BYTES && g.security == DNS_SECURE);
	ask(b, DNS_PTR, STR("1.0.0.127.in-addr.arpa"), &g);
	EXPECT_STR(buf_str(&g.text), STR("four.forwarder.test"));
	/* With its log line. */
	ask(b, DNS_A, STR("tampered.test"), &g);
	EXPECT(g.security == DNS_BOGUS);
	ask(b, DNS_A, STR("silent.test"), &g);
	EXPECT(g.is_timeout);
	dns_free(&b->dns);
	_exit(unit_bad == 0 ? 0 : 1);
}

static void
works_confined(void)
{
	char dir[] = "/tmp/posthorn-empty-XXXXXX";
	struct bench b;
	pid_t pid;
	int how = -1;

	CHECK(mkdtemp(dir) != NULL);
	dns_testserver_start(&b.server, true);
	clock_init_system(&b.clock);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0)
		confined_run(&b, dir);
	EXPECT(waitpid(pid, &how, 0) == pid);
	if (how != 0)
		fprintf(stderr, "the confined process: %s %d\n",
		    WIFSIGNALED(how) ? "signal" : "exit",
		    WIFSIGNALED(how) ? WTERMSIG(how) : WEXITSTATUS(how));
	EXPECT(WIFEXITED(how) && WEXITSTATUS(how) == 0);
	dns_testserver_stop(&b.server);
	CHECK(rmdir(dir) == 0);
}

int
main(void)
{
	struct clock clock;

	clock_init_system(&clock);
	log_setup("test", STDERR_FILENO, LOG_WARN, LOG_TEXT, &clock);
	UNIT(forwards_everything);
	UNIT(falls_back_to_tcp);
	UNIT(garbage_is_a_failure);
	UNIT(deadline_is_met);
	UNIT(patience_lasts);
	UNIT(stale_answers_serve);
	UNIT(questions_are_checked);
	UNIT(outstanding_is_bounded);
	UNIT(many_at_once);
	UNIT(cancelled_is_silent);
	UNIT(signed_answers_are_secure);
	UNIT(options_are_checked);
	UNIT(recursion_keeps_special_names);
	UNIT(works_confined);
	return unit_end();
}
