#include "roles/settings.h"

#include <string.h>

#include "base/check.h"
#include "base/num.h"

_Static_assert(4 * SETTINGS_NETWORKS_BYTES_MAX + SETTINGS_CLIENT_CA_BYTES_MAX + SETTINGS_READ_BYTES + SETTINGS_ROUTES_BYTES_MAX + 16 * 1024 <= RECORD_BYTES_MAX,
    "whatever a configuration holds fits its record, with paths and names");

void
settings_texts_init(struct settings_texts *t)
{
	buf_init(&t->exempt, SETTINGS_NETWORKS_BYTES_MAX);
	buf_init(&t->proxy, SETTINGS_NETWORKS_BYTES_MAX);
	buf_init(&t->xclient, SETTINGS_NETWORKS_BYTES_MAX);
	buf_init(&t->trusted, SETTINGS_NETWORKS_BYTES_MAX);
	/* It is read in pieces of which the last must have its whole room. */
	buf_init(&t->client_ca, SETTINGS_CLIENT_CA_BYTES_MAX + SETTINGS_READ_BYTES);
	buf_init(&t->routes, SETTINGS_ROUTES_BYTES_MAX);
}

void
settings_texts_fini(struct settings_texts *t)
{
	buf_fini(&t->exempt);
	buf_fini(&t->proxy);
	buf_fini(&t->xclient);
	buf_fini(&t->trusted);
	buf_fini(&t->client_ca);
	if (t->routes.p != NULL)
		explicit_bzero(t->routes.p, t->routes.cap);
	buf_fini(&t->routes);
}

static struct str
networks_put(struct buf *out, const struct config_networks *nets)
{
	for (size_t i = 0; i < nets->n; i++) {
		(void)config_ip_put(out, &nets->v[i].ip);
		(void)buf_putf(out, "/%u\n", nets->v[i].prefix_bits);
	}
	CHECK(!out->full);
	return buf_str(out);
}

static uint8_t
route_tls(enum config_route_tls tls)
{
	switch (tls) {
	case CONFIG_ROUTE_TLS_MAY:
		return RELAY_TLS_MAY;
	case CONFIG_ROUTE_TLS_MUST:
		return RELAY_TLS_MUST;
	case CONFIG_ROUTE_TLS_IMPLICIT:
		return RELAY_TLS_IMPLICIT;
	case CONFIG_ROUTE_TLS_NEVER:
		return RELAY_TLS_NEVER;
	}
	return RELAY_TLS_MUST;
}

static void
u16_put(struct buf *out, uint16_t v)
{
	char bytes[2];

	le16_put(bytes, v);
	(void)buf_put(out, str_of(bytes, sizeof(bytes)));
}

static void
short_put(struct buf *out, struct str s)
{
	CHECK(s.n <= UINT16_MAX);
	u16_put(out, (uint16_t)s.n);
	(void)buf_put(out, s);
}

/* A buf that grows leaves its old bytes with malloc: all of it at once, so that fini wipes every copy made here. */
static struct str
routes_put(struct buf *out, const struct config_relay *relay)
{
	if (relay->route_count > 0)
		(void)buf_reserve(out, SETTINGS_ROUTES_BYTES_MAX);
	for (size_t i = 0; i < relay->route_count; i++) {
		const struct config_route *r = &relay->routes[i];

		short_put(out, r->domain);
		short_put(out, r->host);
		u16_put(out, r->port);
		(void)buf_put_c(out, (char)route_tls(r->tls));
		short_put(out, r->user);
		short_put(out, r->password);
	}
	CHECK(!out->full);
	return buf_str(out);
}

static void
numbers_put(struct rec_settings *s, const struct config *f)
{
	s->greet_delay_ms = f->limits.greet_delay_ms;
	s->tarpit_ms = f->limits.tarpit_ms;
	s->submit_messages_per_hour = (uint32_t)f->submission.messages_per_hour;
	s->submit_rcpts_per_hour = (uint32_t)f->submission.recipients_per_hour;
	s->queue_life_ms = f->queue.life_ms;
	s->queue_notice_ms = f->queue.delay_notice_ms;
	s->queue_first_ms = f->queue.first_retry_ms;
	s->queue_max_ms = f->queue.max_retry_ms;
	s->trace_days = (uint32_t)f->queue.trace_days;
	s->relay_total_max = (uint32_t)f->relay.connections;
	s->relay_destination_max = (uint32_t)f->relay.connections_per_destination;
	s->relay_port = f->relay.port;
	s->relay_idle_ms = f->relay.idle_ms;
}

void
settings_put(struct rec_settings *s, struct settings_texts *t, const struct config *f, enum role_kind kind)
{
	numbers_put(s, f);
	s->exempt_nets = networks_put(&t->exempt, &f->limits.exempt);
	if (kind == ROLE_SMTPIN || kind == ROLE_ACCESS) {
		s->proxy_nets = networks_put(&t->proxy, &f->limits.proxy);
		s->xclient_nets = networks_put(&t->xclient, &f->limits.xclient);
	}
	/* The store believes smtpin's word for it only when there are any. */
	if (kind == ROLE_SMTPIN || kind == ROLE_ACCESS || kind == ROLE_STORE)
		s->trusted_nets = networks_put(&t->trusted, &f->submission.trusted);
	if (kind == ROLE_RELAY)
		s->relay_routes = routes_put(&t->routes, &f->relay);
}
