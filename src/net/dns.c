#include "net/dns.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "base/slots.h"
#include "net/dns_event.h"
#include "sys/sock.h"

/* The root's keys of 2017 and 2024 (https://data.iana.org/root-anchors/): changes of them arrive by
 * new versions of this program. */
static const char *const root_keys[] = {
    ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
    ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16",
};

/* What libunbound answers by itself beside the private reverse zones (which one option opens). */
static const char *const local_zones[] = {"localhost.", "127.in-addr.arpa.",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.", "home.arpa.",
    "onion.", "test.", "invalid."};

/* A name that is always answered at once and never asked for: makes libunbound open all it will
 * ever open. */
#define WARM_UP_NAME "posthorn.invalid."

/* A question in libunbound's hands. Outlives the query when that is cancelled or late. */
struct ticket {
	struct dns *dns;
	uint64_t query; /* slot id */
	struct ticket *prev, *next;
};

struct query {
	struct dns *dns;
	uint64_t id;
	dns_done_fn *done;
	void *arg;
	uint16_t rrtype;
	struct dns_name name;
	struct loop_id deadline, post;
	struct dns_result result;
	struct buf answers;
};

struct dns {
	struct loop *loop;
	struct dns_event_base base;
	struct ub_ctx *ctx;
	FILE *log;
	struct slots queries;
	struct ticket *tickets;
	uint32_t tickets_n, outstanding_max, deadline_ms;
	struct dns_counts counts;
	bool is_warm;
};

/* ---- set up ---- */

/* libunbound writes lines to a FILE: they become events like all others. */
static ssize_t
log_line(void *arg, const char *p, size_t n)
{
	(void)arg;
	log_event(LOG_WARN, "dns.library", LOG_STR("text", str_trim(str_of(p, n))));
	return (ssize_t)n;
}

static bool
option_set(struct ub_ctx *ctx, const char *name, const char *value)
{
	return ub_ctx_set_option(ctx, name, value) == 0;
}

static bool
option_set_u64(struct ub_ctx *ctx, const char *name, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return option_set(ctx, name, text);
}

static bool
common_configure(struct ub_ctx *ctx)
{
	return option_set_u64(ctx, "msg-cache-size:", DNS_MESSAGE_CACHE_BYTES_MAX) &&
	       option_set_u64(ctx, "rrset-cache-size:", DNS_RECORD_CACHE_BYTES_MAX) &&
	       option_set_u64(ctx, "key-cache-size:", DNS_KEY_CACHE_BYTES_MAX) &&
	       option_set_u64(ctx, "neg-cache-size:", DNS_NEGATIVE_CACHE_BYTES_MAX) &&
	       option_set_u64(ctx, "outgoing-range:", DNS_UDP_SOCKETS_MAX) &&
	       option_set_u64(ctx, "outgoing-num-tcp:", DNS_TCP_SOCKETS_MAX) &&
	       option_set(ctx, "serve-expired:", "yes") &&
	       option_set_u64(ctx, "serve-expired-ttl:", DNS_STALE_TTL_S) &&
	       option_set_u64(ctx, "serve-expired-client-timeout:", DNS_STALE_AFTER_MS) &&
	       /* A server that was away is tried again at once, not after a quarter of an hour. */
	       option_set(ctx, "infra-keep-probing:", "yes") &&
	       option_set(ctx, "local-zone:", WARM_UP_NAME " static");
}

static bool
forward_configure(struct ub_ctx *ctx, const char *forward)
{
	char zone[128];

	if (ub_ctx_set_fwd(ctx, forward) != 0 ||
	    !option_set_u64(ctx, "infra-cache-min-rtt:", DNS_FORWARD_RETRY_MS) ||
	    !option_set(ctx, "do-not-query-localhost:", "no") ||
	    !option_set(ctx, "unblock-lan-zones:", "yes"))
		return false;
	for (size_t i = 0; i < COUNT_OF(local_zones); i++) {
		/* Not "nodefault": set this way, 1.17 keeps that word as part of the name. A zone
		 * of our own without data does it. */
		snprintf(zone, sizeof(zone), "%s transparent", local_zones[i]);
		if (!option_set(ctx, "local-zone:", zone))
			return false;
	}
	return true;
}

static bool
recursion_configure(struct ub_ctx *ctx, bool has_own_keys)
{
	if (!option_set(ctx, "do-not-query-localhost:", "yes"))
		return false;
	for (size_t i = 0; i < COUNT_OF(root_keys) && !has_own_keys; i++)
		if (ub_ctx_add_ta(ctx, root_keys[i]) != 0)
			return false;
	return true;
}

/* "IP@PORT" */
static bool
forward_is_valid(struct str forward)
{
	struct sock_addr a;
	struct str ip, port;
	uint64_t n;

	return str_split(forward, '@', &ip, &port) && sock_ip_parse(ip, &a) == ST_OK &&
	       str_to_u64(port, &n) == ST_OK && n >= 1 && n <= UINT16_MAX;
}

static bool
byte_is_word(char c)
{
	return (unsigned char)c > ' ' && c != ';';
}

/* Does it name a key outside of comments? libunbound takes a file without one for "validate
 * nothing". */
static bool
text_has_key(struct str text)
{
	struct cur c = cur_of(text);

	while (!cur_at_end(&c)) {
		struct str word = cur_take_while(&c, byte_is_word);
		if (str_eq_ci(word, STR("DS")) || str_eq_ci(word, STR("DNSKEY")))
			return true;
		if (cur_peek(&c) == ';')
			cur_skip(&c, str_find_char(cur_rest(&c), '\n'));
		cur_skip(&c, 1);
	}
	return false;
}

static enum status
trust_anchor_check(const char *path, struct buf *why)
{
	static const char *const problem[] = {
	    "cannot be read", "holds no DS or DNSKEY record", "is too long"};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = malloc(DNS_TRUST_ANCHOR_BYTES_MAX + 1);
	size_t n = 0;
	ssize_t got = fd < 0 ? -1 : 1;
	enum status st = ST_OK;

	CHECK(text != NULL);
	while (got > 0 && n <= DNS_TRUST_ANCHOR_BYTES_MAX) {
		got = read(fd, text + n, DNS_TRUST_ANCHOR_BYTES_MAX + 1 - n);
		n += got > 0 ? (size_t)got : 0;
	}
	if (got < 0)
		st = ST_NOTFOUND;
	else if (n > DNS_TRUST_ANCHOR_BYTES_MAX)
		st = ST_LIMIT;
	else if (!text_has_key(str_of(text, n)))
		st = ST_DENIED;
	if (st != ST_OK)
		(void)buf_putf(why, "the trust anchor %s %s", path,
		    problem[st == ST_NOTFOUND ? 0
			    : st == ST_DENIED ? 1
					      : 2]);
	free(text);
	if (fd >= 0)
		close(fd);
	return st;
}

static enum status
context_configure(struct dns *d, const struct dns_options *o, struct arena *a, struct buf *why)
{
	const char *forward = arena_cstr(a, o->forward), *anchor = arena_cstr(a, o->trust_anchor);
	enum status st;

	if (o->forward.n > 0 && (forward == NULL || !forward_is_valid(o->forward))) {
		(void)buf_put(why, STR("forward is not an address with a port, e.g. 127.0.0.1@53"));
		return ST_SYNTAX;
	}
	if (anchor == NULL) {
		(void)buf_put(why, STR("the path of the trust anchor is too long"));
		return ST_LIMIT;
	}
	if (!common_configure(d->ctx) ||
	    (o->forward.n > 0 ? !forward_configure(d->ctx, forward)
			      : !recursion_configure(d->ctx, o->trust_anchor.n > 0)))
		return ST_IO;
	if (o->trust_anchor.n > 0) {
		if ((st = trust_anchor_check(anchor, why)) != ST_OK)
			return st;
		if (ub_ctx_add_ta_file(d->ctx, anchor) != 0)
			return ST_IO;
	}
	return ST_OK;
}

static void
on_warm(void *arg, int rcode, void *packet, int packet_n, int sec, char *why_bogus, int was_limited)
{
	struct dns *d = arg;

	(void)rcode;
	(void)packet;
	(void)packet_n;
	(void)sec;
	(void)why_bogus;
	(void)was_limited;
	d->is_warm = true;
}

static enum status
context_new(struct dns *d, const struct dns_options *o, struct buf *why)
{
	struct arena a;
	enum status st;

	d->ctx = ub_ctx_create_ub_event(&d->base.super);
	CHECK(d->ctx != NULL);
	d->log = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_line});
	CHECK(d->log != NULL && setvbuf(d->log, NULL, _IOLBF, BUFSIZ) == 0);
	(void)ub_ctx_debugout(d->ctx, d->log);
	arena_init(&a, 16 * 1024);
	st = context_configure(d, o, &a, why);
	arena_fini(&a);
	if (st == ST_OK &&
	    (ub_resolve_event(d->ctx, WARM_UP_NAME, DNS_A, 1, d, on_warm, NULL) != 0 ||
		!d->is_warm))
		st = ST_IO;
	if (st == ST_IO)
		(void)buf_put(why,
		    STR("libunbound refuses its settings; see the lines dns.library in the log"));
	return st;
}

enum status
dns_new(struct loop *loop, const struct dns_options *o, struct dns **out, struct buf *why)
{
	struct dns *d = calloc(1, sizeof(*d));
	enum status st;

	CHECK(d != NULL);
	d->loop = loop;
	d->deadline_ms = o->deadline_ms ? o->deadline_ms : DNS_DEADLINE_MS;
	d->outstanding_max = o->outstanding_max ? o->outstanding_max : DNS_OUTSTANDING_MAX;
	slots_init(&d->queries, d->outstanding_max);
	dns_event_base_init(&d->base, loop);
	st = context_new(d, o, why);
	if (st != ST_OK)
		dns_free(&d);
	*out = d;
	return st;
}

/* ---- questions ---- */

static struct ticket *
ticket_new(struct dns *d, uint64_t query)
{
	struct ticket *t = calloc(1, sizeof(*t));

	CHECK(t != NULL);
	*t = (struct ticket){.dns = d, .query = query, .next = d->tickets};
	if (d->tickets != NULL)
		d->tickets->prev = t;
	d->tickets = t;
	d->tickets_n++;
	return t;
}

static void
ticket_free(struct ticket *t)
{
	struct dns *d = t->dns;

	CHECK(d->tickets_n > 0);
	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		d->tickets = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	d->tickets_n--;
	free(t);
}

static void
query_free(struct query *q)
{
	struct dns *d = q->dns;

	slots_del(&d->queries, q->id);
	loop_timer_del(d->loop, &q->deadline);
	loop_post_del(d->loop, &q->post);
	buf_fini(&q->answers);
	free(q);
}

static void
result_count(struct dns *d, const struct dns_result *r)
{
	d->counts.answered++;
	d->counts.timeouts += r->is_timeout;
	d->counts.secure += r->security == DNS_SECURE;
	d->counts.bogus += r->security == DNS_BOGUS;
}

/* From the loop, never from inside libunbound, which must not be called back while it calls. */
static void
deliver(void *arg)
{
	struct query *q = arg;
	struct dns_result r = q->result;
	struct buf answers = q->answers;
	struct dns_id id = {q->id};
	dns_done_fn *done = q->done;
	void *done_arg = q->arg;

	q->post = (struct loop_id){0};
	r.answers = buf_str(&answers);
	q->answers = (struct buf){0};
	result_count(q->dns, &r);
	query_free(q);
	done(done_arg, id, &r);
	buf_fini(&answers);
}

static void
query_finish(struct query *q)
{
	loop_timer_del(q->dns->loop, &q->deadline);
	CHECK(q->post.v == 0);
	q->post = loop_post(q->dns->loop, deliver, q);
}

static void
on_deadline(void *arg)
{
	struct query *q = arg;

	q->deadline = (struct loop_id){0};
	q->result = (struct dns_result){.rcode = DNS_SERVFAIL, .is_timeout = true};
	query_finish(q);
}

static void
query_log(const struct query *q, enum log_level level, const char *event, const char *why)
{
	struct buf name;

	buf_init(&name, DNS_NAME_TEXT_MAX);
	dns_name_put(&name, &q->name);
	log_event(level, event, LOG_STR("name", buf_str(&name)), LOG_U64("type", q->rrtype),
	    LOG_CSTR("why", why));
	buf_fini(&name);
}

static void
query_read(struct query *q, struct str packet)
{
	struct dns_result *r = &q->result;
	enum status st =
	    dns_packet_read(packet, q->rrtype, &q->name, &r->rcode, &q->answers, &r->answers_n);

	/* The data of an error is nobody's business. */
	if (st == ST_OK && (r->rcode == DNS_NOERROR || r->answers_n == 0))
		return;
	buf_reset(&q->answers);
	r->answers_n = 0;
	if (st == ST_OK)
		return;
	q->dns->counts.unreadable++;
	*r = (struct dns_result){.rcode = DNS_SERVFAIL};
	query_log(q, LOG_WARN, "dns.unreadable", status_word(st));
}

/* libunbound's numbers for what validation found. */
enum { UB_INSECURE, UB_BOGUS, UB_SECURE };

static void
on_answer(
    void *arg, int rcode, void *packet, int packet_n, int sec, char *why_bogus, int was_limited)
{
	struct ticket *t = arg;
	struct query *q = slots_get(&t->dns->queries, t->query);

	(void)was_limited;
	ticket_free(t);
	/* Cancelled, or given up: the cache has it for whoever asks next. */
	if (q == NULL || q->post.v != 0)
		return;
	if (sec == UB_BOGUS) {
		q->result = (struct dns_result){.rcode = DNS_SERVFAIL, .security = DNS_BOGUS};
		query_log(q, LOG_INFO, "dns.bogus", why_bogus);
	} else if (rcode != 0 || packet == NULL || packet_n <= 0) {
		q->result = (struct dns_result){
		    .rcode = rcode > 0 && rcode < 16 ? (uint16_t)rcode : DNS_SERVFAIL};
	} else {
		q->result.security = sec == UB_SECURE ? DNS_SECURE : DNS_INSECURE;
		query_read(q, str_of(packet, (size_t)packet_n));
	}
	query_finish(q);
}

static enum status
query_start(struct query *q)
{
	struct dns *d = q->dns;
	struct ticket *t = ticket_new(d, q->id);
	char text[DNS_NAME_TEXT_MAX + 1];
	struct buf name;

	buf_init(&name, DNS_NAME_TEXT_MAX);
	dns_name_put(&name, &q->name);
	CHECK(!name.full && name.n > 0);
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	buf_fini(&name);
	/* May answer, and so free the ticket, before it returns. */
	if (ub_resolve_event(d->ctx, text, q->rrtype, 1, t, on_answer, NULL) == 0)
		return ST_OK;
	ticket_free(t);
	return ST_IO;
}

static enum status
ask_check(struct dns *d, uint16_t rrtype, struct str text, struct dns_name *name_out)
{
	if (!dns_rrtype_is_known(rrtype))
		return ST_UNSUPPORTED;
	if (d->tickets_n >= d->outstanding_max * DNS_ABANDONED_FACTOR)
		return ST_LIMIT;
	return dns_name_parse(text, name_out);
}

enum status
dns_ask(struct dns *d, uint16_t rrtype, struct str text, dns_done_fn *done, void *arg,
    struct dns_id *id_out)
{
	struct query *q = calloc(1, sizeof(*q));
	enum status st;

	CHECK(q != NULL);
	*id_out = (struct dns_id){0};
	*q = (struct query){.dns = d, .done = done, .arg = arg, .rrtype = rrtype};
	buf_init(&q->answers, DNS_ANSWERS_BYTES_MAX);
	st = ask_check(d, rrtype, text, &q->name);
	if (st == ST_OK && (q->id = slots_add(&d->queries, q)) == 0)
		st = ST_LIMIT;
	if (st == ST_OK) {
		d->counts.asked++;
		q->deadline = loop_timer_add(d->loop, d->deadline_ms, on_deadline, q);
		st = query_start(q);
	}
	if (st != ST_OK) {
		d->counts.refused++;
		query_free(q);
		return st;
	}
	id_out->v = q->id;
	return ST_OK;
}

void
dns_cancel(struct dns *d, struct dns_id *id)
{
	struct query *q = slots_get(&d->queries, id->v);

	*id = (struct dns_id){0};
	if (q != NULL)
		query_free(q);
}

void
dns_free(struct dns **dp)
{
	struct dns *d = *dp;
	uint32_t it = 0;
	struct query *q;

	*dp = NULL;
	if (d == NULL)
		return;
	/* First the owners: libunbound answers what it has left when it is deleted, and must find
	 * nobody. */
	while ((q = slots_next(&d->queries, &it)) != NULL)
		query_free(q);
	ub_ctx_delete(d->ctx);
	while (d->tickets != NULL)
		ticket_free(d->tickets);
	slots_fini(&d->queries);
	if (d->log != NULL)
		(void)fclose(d->log);
	free(d);
}

struct dns_counts
dns_counts(const struct dns *d)
{
	struct dns_counts c = d->counts;

	c.outstanding = d->queries.n;
	c.abandoned = d->tickets_n > c.outstanding ? d->tickets_n - c.outstanding : 0;
	return c;
}
