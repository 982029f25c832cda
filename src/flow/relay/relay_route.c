#include <stdlib.h>

#include "flow/relay/relay_internal.h"

#include <openssl/crypto.h>

/* The smart hosts of the settings. The table has passwords in it: it is wiped. */

static bool
route_take(struct cur *c, struct relay_route *out)
{
	return cur_str16(c, &out->domain) && cur_str16(c, &out->host) && cur_le16(c, &out->port) &&
	       cur_u8(c, &out->tls) && cur_str16(c, &out->user) && cur_str16(c, &out->password) &&
	       out->domain.n > 0 && out->domain.n <= RELAY_DESTINATION_BYTES_MAX &&
	       out->host.n > 0 && out->host.n <= RELAY_HOST_BYTES_MAX &&
	       out->tls <= RELAY_TLS_NEVER && out->port != 0 &&
	       out->user.n <= SASL_NAME_BYTES_MAX && out->password.n <= SASL_PASSWORD_BYTES_MAX;
}

static enum status
routes_count(struct str bytes, size_t *n_out)
{
	struct cur c = cur_of(bytes);
	struct relay_route route;
	size_t n = 0;

	for (; !cur_at_end(&c); n++) {
		if (n == RELAY_ROUTES_MAX)
			return ST_LIMIT;
		if (!route_take(&c, &route))
			return ST_SYNTAX;
	}
	*n_out = n;
	return ST_OK;
}

enum status
relay_routes_new(struct str bytes, struct relay_routes **out)
{
	struct relay_routes *t;
	struct cur c;
	size_t n = 0;
	enum status st = bytes.n > RELAY_ROUTES_BYTES_MAX ? ST_LIMIT : routes_count(bytes, &n);

	if (st != ST_OK)
		return st;
	t = calloc(1, sizeof(*t));
	CHECK(t != NULL);
	t->refs = 1;
	t->n = n;
	*out = t;
	if (n == 0)
		return ST_OK;
	t->route = calloc(n, sizeof(*t->route));
	t->bytes = malloc(bytes.n);
	CHECK(t->route != NULL && t->bytes != NULL);
	memcpy(t->bytes, bytes.p, bytes.n);
	t->bytes_n = bytes.n;
	c = cur_of(str_of(t->bytes, t->bytes_n));
	for (size_t i = 0; i < n; i++)
		CHECK(route_take(&c, &t->route[i]));
	return ST_OK;
}

struct relay_routes *
relay_routes_ref(struct relay_routes *t)
{
	t->refs++;
	return t;
}

void
relay_routes_unref(struct relay_routes **tp)
{
	struct relay_routes *t = *tp;

	*tp = NULL;
	if (t == NULL || --t->refs > 0)
		return;
	if (t->bytes != NULL)
		OPENSSL_cleanse(t->bytes, t->bytes_n);
	free(t->bytes);
	free(t->route);
	free(t);
}

const struct relay_route *
relay_routes_find(const struct relay_routes *t, struct str destination)
{
	const struct relay_route *other = NULL;

	for (size_t i = 0; i < t->n; i++) {
		if (str_eq_ci(t->route[i].domain, destination))
			return &t->route[i];
		if (str_eq(t->route[i].domain, STR("*")))
			other = &t->route[i];
	}
	return other;
}
