/* What must hold between settings, what follows from them, and how two configurations differ. */
#include "base/num.h"
#include "config/config_internal.h"

static const struct {
	enum config_protocol protocol;
	uint16_t port;
	enum config_tls tls;
} standard_listeners[] = {
    {CONFIG_SMTP, 25, CONFIG_TLS_STARTTLS},
    {CONFIG_LMTP, 24, CONFIG_TLS_OFF},
    {CONFIG_POP3, 110, CONFIG_TLS_STARTTLS},
    {CONFIG_POP3S, 995, CONFIG_TLS_IMPLICIT},
    {CONFIG_SUBMISSION, 587, CONFIG_TLS_STARTTLS},
    {CONFIG_SUBMISSIONS, 465, CONFIG_TLS_IMPLICIT},
};

/* LMTP accepts mail for delivery without asking who sends it: only from this host, whatever
 * `listen` says. */
static enum status
loopback_of(struct arena *a, const struct config_ips *listen, struct config_ips *out)
{
	static const struct config_ip v4 = {.v6 = false, .bytes = {127, 0, 0, 1}};
	static const struct config_ip v6 = {.v6 = true, .bytes = {[15] = 1}};

	out->n = 0;
	out->v = arena_array(a, listen->n, sizeof(*out->v));
	if (out->v == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < listen->n; i++) {
		const struct config_ip *ip = &listen->v[i];
		size_t j = 0;

		if (!config_ip_is_loopback(ip))
			ip = ip->v6 ? &v6 : &v4;
		while (j < out->n && !config_ip_eq(&out->v[j], ip))
			j++;
		if (j == out->n)
			out->v[out->n++] = *ip;
	}
	return ST_OK;
}

enum status
config_listeners_generate(struct config *c)
{
	c->listeners = arena_array(&c->arena, COUNT_OF(standard_listeners), sizeof(*c->listeners));
	if (c->listeners == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < COUNT_OF(standard_listeners); i++) {
		struct config_listener *l = &c->listeners[i];

		l->protocol = standard_listeners[i].protocol;
		l->name = config_protocol_word(l->protocol);
		l->port = (uint16_t)(standard_listeners[i].port + c->port_offset);
		l->tls = standard_listeners[i].tls;
		l->address = c->listen;
		if (l->protocol == CONFIG_LMTP &&
		    loopback_of(&c->arena, &c->listen, &l->address) != ST_OK)
			return ST_LIMIT;
	}
	c->listener_count = COUNT_OF(standard_listeners);
	return ST_OK;
}

static bool
addresses_conflict(const struct config_ip *a, const struct config_ip *b)
{
	/* v6 sockets are opened v6-only: :: and 0.0.0.0 live side by side. */
	if (a->v6 != b->v6)
		return false;
	return config_ip_eq(a, b) || config_ip_is_any(a) || config_ip_is_any(b);
}

/* Index of the first address of a that conflicts with one of b behind `skip`, or a->address.n. */
static size_t
listeners_conflict(const struct config_listener *a, const struct config_listener *b)
{
	for (size_t i = 0; a->port == b->port && i < a->address.n; i++)
		for (size_t j = a == b ? i + 1 : 0; j < b->address.n; j++)
			if (addresses_conflict(&a->address.v[i], &b->address.v[j]))
				return i;
	return a->address.n;
}

static void
check_conflicts(struct parse *p, const struct config *c, size_t i, unsigned line)
{
	const struct config_listener *l = &c->listeners[i];

	for (size_t j = 0; j <= i; j++) {
		struct buf text;
		size_t at = listeners_conflict(l, &c->listeners[j]);

		if (at == l->address.n)
			continue;
		buf_init(&text, 64);
		(void)config_ip_put(&text, &l->address.v[at]);
		if (j == i)
			parse_error(p, line, "listener `%.*s` names %.*s port %u twice",
			    STR_ARG(l->name), STR_ARG(buf_str(&text)), l->port);
		else
			parse_error(p, line, "listeners `%.*s` and `%.*s` both want %.*s port %u",
			    STR_ARG(c->listeners[j].name), STR_ARG(l->name),
			    STR_ARG(buf_str(&text)), l->port);
		buf_fini(&text);
		return;
	}
}

static void
check_listener(struct parse *p, const struct config *c, size_t i, unsigned line)
{
	const struct config_listener *l = &c->listeners[i];
	bool implicit = l->protocol == CONFIG_POP3S || l->protocol == CONFIG_SUBMISSIONS;

	if (implicit && l->tls != CONFIG_TLS_IMPLICIT)
		parse_error(p, line,
		    "listener `%.*s`: %.*s is TLS from its first byte; write tls = implicit",
		    STR_ARG(l->name), STR_ARG(config_protocol_word(l->protocol)));
	if (!implicit && l->tls == CONFIG_TLS_IMPLICIT)
		parse_error(p, line,
		    "listener `%.*s`: %.*s begins in plain text; write tls = starttls or off",
		    STR_ARG(l->name), STR_ARG(config_protocol_word(l->protocol)));
	if (l->tls != CONFIG_TLS_OFF && c->certificate_count == 0)
		parse_error(p, line,
		    "listener `%.*s` needs a certificate; add one to the section `tls`: "
		    "certificate \"%.*s\" { chain = \"FILE\" key = \"FILE\" }",
		    STR_ARG(l->name), STR_ARG(c->hostname));
	check_conflicts(p, c, i, line);
}

static void
check_store(struct parse *p, const struct config *c)
{
	const struct config_store *s = &c->store;

	/* A message is one transaction, and a transaction does not cross segments; 1M for heads and
	 * records. */
	if (s->ring_segment_bytes < c->limits.message_size_max + ((uint64_t)1 << 20))
		parse_error(
		    p, 0, "ring_segment_bytes must be at least 1M more than message_size_max");
	/* Neither factor exceeds its limit: the product fits. Half of the ring stays for what comes
	 * meanwhile. */
	if (s->checkpoint_bytes > s->ring_segment_bytes * s->ring_segments_max / 2)
		parse_error(p, 0,
		    "checkpoint_bytes must be at most half of ring_segment_bytes times "
		    "ring_segments_max");
}

static void
check_queue(struct parse *p, const struct config_queue *q)
{
	if (q->first_retry_ms > q->max_retry_ms)
		parse_error(p, 0, "first_retry must not be longer than max_retry");
	if (q->life_ms < q->first_retry_ms)
		parse_error(p, 0, "life must be at least first_retry, or nothing is tried twice");
}

void
config_check(struct parse *p, struct config *c, const unsigned *listener_lines)
{
	if (c->hostname.n == 0)
		parse_error(p, 0, "`hostname` is missing; add: hostname = \"mail.example.org\"");
	if (c->data.n == 0)
		parse_error(p, 0, "`data` is empty; name a folder");
	if (c->master_key_path.n == 0)
		parse_error(p, 0, "`master` of the section `keys` is empty; name a file");
	if (listener_lines == NULL && config_listeners_generate(c) != ST_OK) {
		parse_error(p, 0, "the configuration is too large");
		return;
	}
	for (size_t i = 0; i < c->listener_count; i++)
		check_listener(p, c, i, listener_lines == NULL ? 0 : listener_lines[i]);
	check_store(p, c);
	check_queue(p, &c->queue);
}

unsigned
config_processes(uint64_t setting, unsigned cpus)
{
	uint64_t n = setting == 0 ? cpus : setting;

	return n < 1 ? 1 : n > CONFIG_PROCESSES_MAX ? CONFIG_PROCESSES_MAX : (unsigned)n;
}

uint64_t
config_free_space_floor(const struct config_store *store, uint64_t file_system_bytes)
{
	uint64_t part = file_system_bytes / 100 * store->free_space_floor_percent;

	return part < store->free_space_floor_bytes ? part : store->free_space_floor_bytes;
}

static bool
section_is_equal(const struct section *s, const void *a, const void *b)
{
	for (size_t i = 0; i < s->count; i++)
		if (!setting_is_equal(&s->settings[i], a, b))
			return false;
	return true;
}

bool
config_is_equal(const struct config *a, const struct config *b)
{
	if (a->listener_count != b->listener_count ||
	    a->certificate_count != b->certificate_count ||
	    a->relay.route_count != b->relay.route_count)
		return false;
	for (size_t i = 0; i < config_section_count; i++)
		if (!section_is_equal(&config_sections[i], a, b))
			return false;
	for (size_t i = 0; i < a->listener_count; i++)
		if (!str_eq(a->listeners[i].name, b->listeners[i].name) ||
		    !section_is_equal(&config_listener_section, &a->listeners[i], &b->listeners[i]))
			return false;
	for (size_t i = 0; i < a->certificate_count; i++)
		if (!str_eq(a->certificates[i].name, b->certificates[i].name) ||
		    !str_eq(a->certificates[i].chain_path, b->certificates[i].chain_path) ||
		    !str_eq(a->certificates[i].key_path, b->certificates[i].key_path))
			return false;
	for (size_t i = 0; i < a->relay.route_count; i++)
		if (!str_eq(a->relay.routes[i].domain, b->relay.routes[i].domain) ||
		    !section_is_equal(
			&config_route_section, &a->relay.routes[i], &b->relay.routes[i]))
			return false;
	return true;
}

bool
config_needs_restart(const struct config *was, const struct config *now, struct buf *why)
{
	bool any = false;

	for (size_t i = 0; i < config_section_count; i++) {
		const struct section *s = &config_sections[i];

		for (size_t j = 0; j < s->count; j++) {
			const struct setting *t = &s->settings[j];

			if (!t->needs_restart || setting_is_equal(t, was, now))
				continue;
			buf_putf(why, "%s%s%s%s", any ? ", " : "", s->name,
			    s->name[0] == 0 ? "" : ".", t->name);
			any = true;
		}
	}
	return any;
}
