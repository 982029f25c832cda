#include <stdlib.h>

#include "flow/relay/relay_internal.h"

/*
 * Where a destination is (RFC 5321 5.1, RFC 7505). A list of hosts, by MX or from the route; for
 * each in turn its addresses, when those before did not do; addresses that did not answer lately
 * come after all others.
 */

/* One MX while they are put in order. */
struct mx {
	struct str name;
	uint16_t preference;
	uint32_t tie; /* random: equal ones take turns */
};

/* ---- asking ---- */

static void
ask(struct relay_job *j, struct relay_ask *a, uint8_t kind, struct str name)
{
	static const uint16_t types[] = {
	    [RELAY_ASK_MX] = DNS_MX, [RELAY_ASK_A] = DNS_A, [RELAY_ASK_AAAA] = DNS_AAAA};
	struct link *l = j->r->ops->resolver(j->r->ops_arg);

	relay_ask_add(j, a, kind, 0);
	j->search->dns_due_ms = relay_now_ms(j->r) + RELAY_DNS_MS;
	if (l == NULL) {
		/* The sweep finds it overdue: an answer never comes from inside the question. */
		j->search->dns_due_ms = 1;
		return;
	}
	(void)rec_dns_put(
	    link_out(l), &(struct rec_dns){.ask = a->id, .rrtype = types[kind], .name = name});
}

static bool
is_waiting(const struct relay_search *s)
{
	return s->mx.id != 0 || s->a.id != 0 || s->aaaa.id != 0;
}

static void
asks_drop(struct relay_job *j)
{
	relay_ask_del(j->r, &j->search->mx);
	relay_ask_del(j->r, &j->search->a);
	relay_ask_del(j->r, &j->search->aaaa);
	j->search->dns_due_ms = 0;
}

void
relay_search_free(struct relay_job *j)
{
	if (j->search == NULL)
		return;
	asks_drop(j);
	free(j->search);
	j->search = NULL;
}

/* ---- targets ---- */

static size_t
targets_n(const struct relay_search *s)
{
	return (size_t)s->now_n + s->later_n;
}

static void
target_add(struct relay_job *j, const struct sock_addr *addr, uint8_t host)
{
	struct relay_search *s = j->search;
	struct relay_target t = {.addr = *addr, .host = host};

	if (targets_n(s) >= RELAY_ADDRESSES_MAX)
		return;
	t.addr.port = s->port;
	if (relay_bad_has(j->r, &t.addr))
		s->later[s->later_n++] = t;
	else
		s->now[s->now_n++] = t;
}

/* v6 and v4 by turns, v6 first: a family that does not work here costs one try, not all. */
static void
targets_add(struct relay_job *j, uint8_t host)
{
	struct relay_search *s = j->search;

	for (size_t i = 0; i < s->v6_n || i < s->v4_n; i++) {
		if (i < s->v6_n)
			target_add(j, &s->v6[i], host);
		if (i < s->v4_n)
			target_add(j, &s->v4[i], host);
	}
	s->v6_n = s->v4_n = 0;
}

static void
host_add(struct relay_search *s, struct str name)
{
	if (s->hosts_n < RELAY_MX_MAX && name.n > 0 && name.n <= RELAY_HOST_BYTES_MAX)
		relay_host_set(&s->hosts[s->hosts_n++], name);
}

static void
host_ask(struct relay_job *j)
{
	struct relay_search *s = j->search;
	struct str name = relay_host_str(&s->hosts[s->host_next++]);

	/* RFC 5321 5.1: both families; neither waits for the other. */
	ask(j, &s->aaaa, RELAY_ASK_AAAA, name);
	ask(j, &s->a, RELAY_ASK_A, name);
}

/* Nothing is left to try. */
static void
search_over(struct relay_job *j)
{
	struct relay_search *s = j->search;
	bool is_here = s->is_tried || s->is_temporary;

	if (!is_here)
		/* RFC 5321 5.1: the domain has hosts that do not exist */
		relay_reason_set(&j->reason, 550, 4, 4, "no host of %.*s has an address",
		    (int)j->destination_n, j->destination);
	relay_search_free(j);
	if (is_here)
		relay_job_defer(j, SCHEDULE_FAILED_DESTINATION);
	else
		relay_job_fail(j);
}

void
relay_search_next(struct relay_job *j)
{
	struct relay_search *s = j->search;
	struct relay_target t;

	if (relay_now_ms(j->r) - s->began_ms > RELAY_SEARCH_MS && s->is_tried) {
		search_over(j);
		return;
	}
	if (s->now_next < s->now_n) {
		t = s->now[s->now_next++];
	} else if (s->host_next < s->hosts_n && targets_n(s) < RELAY_ADDRESSES_MAX) {
		host_ask(j);
		return;
	} else if (s->later_next < s->later_n) {
		t = s->later[s->later_next++];
	} else {
		search_over(j);
		return;
	}
	s->is_tried = true;
	relay_job_connect(j, &t);
}

/* ---- answers ---- */

static void
look_up_failed(struct relay_job *j, struct str name, const struct rec_dns_answer *a)
{
	const char *why = a->security == 2	     ? "its DNSSEC signatures are bogus"
			  : a->is_timeout	     ? "no answer in time"
			  : a->rcode == DNS_SERVFAIL ? "the name servers fail"
						     : "the resolver refuses";

	j->search->is_temporary = true;
	relay_reason_set(&j->reason, 451, 4, 3, "DNS of %.*s: %s", STR_ARG(name), why);
}

static bool
is_answered(const struct rec_dns_answer *a)
{
	return !a->is_timeout && a->security != 2 &&
	       (a->rcode == DNS_NOERROR || a->rcode == DNS_NXDOMAIN);
}

static void
addresses_take(struct relay_job *j, bool is_v6, const struct rec_dns_answer *a)
{
	struct relay_search *s = j->search;
	struct cur c = cur_of(a->answers);
	struct str text;
	struct sock_addr addr;

	while (cur_str16(&c, &text)) {
		if (sock_ip_parse(text, &addr) != ST_OK || addr.is_v4 == is_v6)
			continue;
		if (is_v6 && s->v6_n < RELAY_ADDRESSES_MAX)
			s->v6[s->v6_n++] = addr;
		else if (!is_v6 && s->v4_n < RELAY_ADDRESSES_MAX)
			s->v4[s->v4_n++] = addr;
	}
}

static void
on_addresses(struct relay_job *j, bool is_v6, const struct rec_dns_answer *a)
{
	struct relay_search *s = j->search;
	uint8_t host = (uint8_t)(s->host_next - 1);

	if (!is_answered(a))
		look_up_failed(j, relay_host_str(&s->hosts[host]), a);
	else if (a->rcode == DNS_NOERROR)
		addresses_take(j, is_v6, a);
	if (is_waiting(s))
		return;
	s->dns_due_ms = 0;
	targets_add(j, host);
	relay_search_next(j);
}

static int
mx_cmp(const void *x, const void *y)
{
	const struct mx *a = x, *b = y;

	if (a->preference != b->preference)
		return a->preference < b->preference ? -1 : 1;
	return a->tie < b->tie ? -1 : a->tie > b->tie;
}

static bool
mx_take(struct str rdata, struct mx *out)
{
	struct cur c = cur_of(rdata);
	uint64_t preference;

	if (!cur_u64(&c, &preference) || preference > UINT16_MAX || !cur_char(&c, ' '))
		return false;
	out->preference = (uint16_t)preference;
	out->name = cur_rest(&c);
	/* The root alone is the null MX. */
	if (out->name.n > 1 && out->name.p[out->name.n - 1] == '.')
		out->name.n--;
	return out->name.n > 0;
}

static size_t
mx_list(struct relay_job *j, struct str answers, struct mx *list, size_t max)
{
	struct cur c = cur_of(answers);
	struct str rdata;
	size_t n = 0;

	while (n < max && cur_str16(&c, &rdata)) {
		if (!mx_take(rdata, &list[n]))
			continue;
		list[n].tie = (uint32_t)prng_u64(&j->r->random);
		n++;
	}
	qsort(list, n, sizeof(*list), mx_cmp);
	return n;
}

static void
fail(struct relay_job *j, uint16_t code, uint16_t subject, uint16_t detail, const char *text)
{
	relay_reason_set(&j->reason, code, subject, detail, "%.*s%s", (int)j->destination_n,
	    j->destination, text);
	relay_search_free(j);
	relay_job_fail(j);
}

static void
loops_back(struct relay_job *j)
{
	fail(j, 550, 4, 6, ": mail for it loops back to this server");
}

/* RFC 5321 5.1: ourselves, and all that are no better, are left out. */
static size_t
mx_cut(const struct relay_job *j, const struct mx *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!relay_is_own_name(j->r, list[i].name))
			continue;
		for (; i > 0 && list[i - 1].preference == list[i].preference; i--)
			;
		return i;
	}
	return n;
}

static void
on_implicit(struct relay_job *j)
{
	struct str name = str_of(j->destination, j->destination_n);

	if (relay_is_own_name(j->r, name)) {
		loops_back(j);
		return;
	}
	host_add(j->search, name);
	relay_search_next(j);
}

static void
on_mx_list(struct relay_job *j, const struct mx *list, size_t n)
{
	size_t kept = mx_cut(j, list, n);
	struct sock_addr addr;

	if (kept == 0) {
		loops_back(j);
		return;
	}
	for (size_t i = 0; i < kept; i++) {
		/* A name is wanted there (RFC 5321 5.1): an address is a mistake, and has no
		 * address itself. */
		if (sock_ip_parse(list[i].name, &addr) != ST_OK && !str_eq(list[i].name, STR(".")))
			host_add(j->search, list[i].name);
	}
	relay_search_next(j);
}

static void
on_mx(struct relay_job *j, const struct rec_dns_answer *a)
{
	struct mx list[DNS_ANSWERS_MAX];
	struct str name = str_of(j->destination, j->destination_n);
	size_t n;

	j->search->dns_due_ms = 0;
	if (a->rcode == DNS_FORMERR && !a->is_timeout) {
		fail(j, 550, 1, 2, " is not a domain name");
		return;
	}
	if (!is_answered(a)) {
		look_up_failed(j, name, a);
		search_over(j);
		return;
	}
	if (a->rcode == DNS_NXDOMAIN) {
		fail(j, 550, 1, 2, ": there is no such domain");
		return;
	}
	n = mx_list(j, a->answers, list, COUNT_OF(list));
	if (n == 1 && str_eq(list[0].name, STR("."))) /* RFC 7505 3, 4.1 */
		fail(j, 556, 1, 10, " takes no mail (null MX)");
	else if (n == 0) /* RFC 5321 5.1: the domain itself */
		on_implicit(j);
	else
		on_mx_list(j, list, n);
}

void
relay_search_answer(struct relay_job *j, uint8_t kind, const struct rec_dns_answer *a)
{
	if (kind == RELAY_ASK_MX)
		on_mx(j, a);
	else
		on_addresses(j, kind == RELAY_ASK_AAAA, a);
}

void
relay_search_down(struct relay_job *j)
{
	if (j->search == NULL || !is_waiting(j->search))
		return;
	asks_drop(j);
	j->search->is_temporary = true;
	relay_reason_set(&j->reason, 451, 4, 3, "DNS of %.*s: the resolver does not answer",
	    (int)j->destination_n, j->destination);
	/* Those found before it went away. */
	targets_add(j, j->search->host_next > 0 ? (uint8_t)(j->search->host_next - 1) : 0);
	relay_search_next(j);
}

/* ---- the beginning ---- */

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" (RFC 5321 4.1.3) */
static bool
literal_parse(struct str s, struct sock_addr *out)
{
	struct str inner;

	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	inner = str_of(s.p + 1, s.n - 2);
	if (str_has_prefix_ci(inner, STR("IPv6:")))
		return sock_ip_parse(str_from(inner, 5), out) == ST_OK && !out->is_v4;
	return sock_ip_parse(inner, out) == ST_OK && out->is_v4;
}

static void
search_at(struct relay_job *j, struct str name, const struct sock_addr *addr)
{
	host_add(j->search, name);
	j->search->host_next = j->search->hosts_n;
	target_add(j, addr, 0);
	relay_search_next(j);
}

void
relay_search_begin(struct relay_job *j)
{
	struct str name = str_of(j->destination, j->destination_n);
	struct relay_search *s = calloc(1, sizeof(*s));
	struct sock_addr addr;

	CHECK(s != NULL && j->search == NULL);
	j->search = s;
	s->began_ms = relay_now_ms(j->r);
	s->port = j->route != NULL ? j->route->port : j->r->port;
	if (j->route != NULL && sock_ip_parse(j->route->host, &addr) == ST_OK) {
		search_at(j, j->route->host, &addr);
	} else if (j->route != NULL) {
		host_add(s, j->route->host);
		relay_search_next(j);
	} else if (literal_parse(name, &addr)) {
		search_at(j, name, &addr);
	} else if (name.n == 0 || name.p[0] == '[') {
		fail(j, 550, 1, 2, " is no address");
	} else {
		s->is_mx = true;
		ask(j, &s->mx, RELAY_ASK_MX, name);
	}
}
