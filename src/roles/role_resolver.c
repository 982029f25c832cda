/*
 * resolver: DNS for the others. Recursion, validation and cache by libunbound, or everything to a
 * forwarder; opens sockets to strangers, and nothing else.
 *
 * A peer that asks too much is told so at once (DNS_REFUSED), one that does not take its answers is
 * not read any more.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/num.h"
#include "net/dns.h"
#include "roles/role.h"
#include "sys/sandbox.h"

/* A quarter of all, so that no peer can take the places of the others. */
#define PEER_OUTSTANDING_MAX (DNS_OUTSTANDING_MAX / 4)
enum { FORWARD_BYTES_MAX = 64, TRUST_ANCHOR_BYTES_MAX = 4096 };

struct resolver_peer {
	enum role_kind kind;
	uint16_t index;
	uint32_t outstanding;
};

/* One question of a peer. */
struct ask {
	struct resolver *resolver;
	struct resolver_peer *peer;
	uint64_t generation; /* of the link it came by */
	uint64_t ask;	     /* the peer's number */
	struct dns_id id;
	struct ask *prev, *next;
};

struct resolver {
	struct role *role;
	struct dns *dns;
	struct ask *asks;
	struct resolver_peer peers[ROLE_PEERS_MAX];
	size_t peers_n;
	uint64_t refused_n;
	struct buf forward, trust_anchor; /* those in force */
};

static void *
resolver_new(struct role *role)
{
	struct resolver *r = calloc(1, sizeof(*r));

	CHECK(r != NULL);
	r->role = role;
	buf_init(&r->forward, FORWARD_BYTES_MAX);
	buf_init(&r->trust_anchor, TRUST_ANCHOR_BYTES_MAX);
	return r;
}

static void
ask_free(struct ask *a)
{
	struct resolver *r = a->resolver;

	CHECK(a->peer->outstanding > 0);
	a->peer->outstanding--;
	if (a->prev != NULL)
		a->prev->next = a->next;
	else
		r->asks = a->next;
	if (a->next != NULL)
		a->next->prev = a->prev;
	dns_cancel(r->dns, &a->id);
	free(a);
}

static void
resolver_free(void *self)
{
	struct resolver *r = self;

	while (r->asks != NULL)
		ask_free(r->asks);
	dns_free(&r->dns);
	buf_fini(&r->forward);
	buf_fini(&r->trust_anchor);
	free(r);
}

static enum status
resolver_prepare(void *self, struct buf *why)
{
	struct resolver *r = self;
	const struct rec_settings *s = role_settings(r->role);
	struct dns_options o = {.forward = s->forward, .trust_anchor = s->trust_anchor};
	enum status st;

	if ((st = buf_put(&r->forward, s->forward)) != ST_OK ||
	    (st = buf_put(&r->trust_anchor, s->trust_anchor)) != ST_OK)
		return st;
	return dns_new(role_loop(r->role), &o, &r->dns, why);
}

/* The trust anchor cannot be read any more, and a new cache would be cold: what is in force stays.
 */
static void
resolver_reload(void *self)
{
	const struct resolver *r = self;
	const struct rec_settings *s = role_settings(r->role);

	if (!str_eq(s->forward, buf_str(&r->forward)) ||
	    !str_eq(s->trust_anchor, buf_str(&r->trust_anchor)))
		log_event(LOG_WARN, "resolver.restart_needed",
		    LOG_CSTR("why", "resolver settings change only with a restart"),
		    LOG_STR("forward", buf_str(&r->forward)), LOG_STR("forward_new", s->forward),
		    LOG_STR("trust_anchor", buf_str(&r->trust_anchor)),
		    LOG_STR("trust_anchor_new", s->trust_anchor));
}

static struct resolver_peer *
peer_of(struct resolver *r, enum role_kind kind, uint16_t index)
{
	for (size_t i = 0; i < r->peers_n; i++)
		if (r->peers[i].kind == kind && r->peers[i].index == index)
			return &r->peers[i];
	/* The role itself has no more lines than that. */
	CHECK(r->peers_n < ROLE_PEERS_MAX);
	r->peers[r->peers_n] = (struct resolver_peer){.kind = kind, .index = index};
	return &r->peers[r->peers_n++];
}

static void
answer_put(struct link *l, const struct rec_dns_answer *a)
{
	(void)rec_dns_answer_put(link_out(l), a);
	if (link_is_high(l))
		link_pause(l);
}

static void
on_done(void *arg, struct dns_id id, const struct dns_result *res)
{
	struct ask *a = arg;
	struct resolver *r = a->resolver;
	struct resolver_peer *p = a->peer;
	struct rec_dns_answer answer = {.ask = a->ask,
	    .rcode = res->rcode,
	    .security = (uint8_t)res->security,
	    .is_timeout = res->is_timeout,
	    .answers = res->answers};
	bool is_same = role_link_generation(r->role, p->kind, p->index) == a->generation;
	struct link *l = role_link(r->role, p->kind, p->index);

	CHECK(id.v == a->id.v);
	a->id = (struct dns_id){0};
	ask_free(a);
	if (l != NULL && is_same)
		answer_put(l, &answer);
}

static uint16_t
rcode_of(enum status st)
{
	if (st == ST_SYNTAX)
		return DNS_FORMERR;
	if (st == ST_UNSUPPORTED)
		return DNS_NOTIMP;
	return st == ST_LIMIT ? DNS_REFUSED : DNS_SERVFAIL;
}

static enum status
ask_start(struct resolver *r, struct link *l, const struct rec_dns *q)
{
	struct resolver_peer *p = peer_of(r, link_peer(l), link_peer_index(l));
	struct ask *a;
	enum status st;

	if (p->outstanding >= PEER_OUTSTANDING_MAX)
		return ST_LIMIT;
	a = calloc(1, sizeof(*a));
	CHECK(a != NULL);
	*a = (struct ask){.resolver = r,
	    .peer = p,
	    .ask = q->ask,
	    .next = r->asks,
	    .generation = role_link_generation(r->role, p->kind, p->index)};
	if (r->asks != NULL)
		r->asks->prev = a;
	r->asks = a;
	p->outstanding++;
	st = dns_ask(r->dns, q->rrtype, q->name, on_done, a, &a->id);
	if (st != ST_OK)
		ask_free(a);
	return st;
}

static bool
resolver_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	struct resolver *r = self;
	struct rec_dns q;
	enum status st;

	if (t != REC_DNS || !rec_dns_take(c, &q))
		return false;
	st = ask_start(r, l, &q);
	if (st != ST_OK) {
		r->refused_n++;
		answer_put(l, &(struct rec_dns_answer){.ask = q.ask, .rcode = rcode_of(st)});
	}
	return true;
}

static void
resolver_drained(void *self, struct link *l)
{
	(void)self;
	link_resume(l);
}

static void
resolver_link_down(void *self, enum role_kind kind, uint16_t index)
{
	struct resolver *r = self;

	for (struct ask *a = r->asks, *next; a != NULL; a = next) {
		next = a->next;
		if (a->peer->kind == kind && a->peer->index == index)
			ask_free(a);
	}
}

static void
resolver_status(void *self, struct buf *json)
{
	const struct resolver *r = self;
	struct dns_counts n = dns_counts(r->dns);

	(void)buf_put(json, STR("\"forward\":"));
	(void)json_put_str(json, buf_str(&r->forward));
	(void)buf_putf(json,
	    ",\"asked\":%llu,\"answered\":%llu,\"timeouts\":%llu,\"secure\":%llu,\"bogus\":%llu,"
	    "\"refused\":%llu,"
	    "\"unreadable\":%llu,\"outstanding\":%u,\"abandoned\":%u",
	    (unsigned long long)n.asked, (unsigned long long)n.answered,
	    (unsigned long long)n.timeouts, (unsigned long long)n.secure,
	    (unsigned long long)n.bogus, (unsigned long long)r->refused_n,
	    (unsigned long long)n.unreadable, n.outstanding, n.abandoned);
}

const struct role_ops role_resolver_ops = {
    .kind = ROLE_RESOLVER,
    .sandbox_allow = SANDBOX_CONNECT,
    .new = resolver_new,
    .free = resolver_free,
    .prepare = resolver_prepare,
    .record = resolver_record,
    .drained = resolver_drained,
    .link_down = resolver_link_down,
    .reload = resolver_reload,
    .status = resolver_status,
};
