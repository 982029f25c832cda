/* Any text either becomes a configuration or a message; what was accepted keeps its promises. */
#include "base/check.h"
#include "base/num.h"
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every include reads the same text again: deep and wide until a limit stops it. */
static enum status
read_again(void *arg, struct str path, struct buf *out)
{
	const struct str *text = arg;

	(void)path;
	return buf_put(out, str_take(*text, 512));
}

static void
relay_check(const struct config_relay *relay)
{
	CHECK(relay->port > 0 && relay->route_count <= CONFIG_ROUTES_MAX);
	for (size_t i = 0; i < relay->route_count; i++) {
		const struct config_route *r = &relay->routes[i];

		CHECK(config_hostname_is_valid(r->domain) || str_eq(r->domain, STR("*")));
		CHECK(r->host.n > 0 && r->port > 0);
		CHECK((r->user.n > 0) == (r->password.n > 0));
		CHECK(r->user.n == 0 || r->tls != CONFIG_ROUTE_TLS_NEVER);
		for (size_t j = 0; j < i; j++)
			CHECK(!str_eq(r->domain, relay->routes[j].domain));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_of(data, size);
	struct config *c;
	struct buf error;
	enum status st;

	buf_init(&error, CONFIG_ERROR_BYTES_MAX);
	st = config_parse(text, STR("fuzz/posthorn.conf"), read_again, &text, &c, &error);
	CHECK((st == ST_OK) == (c != NULL));
	CHECK((st == ST_OK) == (error.n == 0));
	if (c != NULL) {
		CHECK(config_hostname_is_valid(c->hostname));
		CHECK(c->listener_count > 0 && c->listener_count <= CONFIG_LISTENERS_MAX);
		for (size_t i = 0; i < c->listener_count; i++)
			CHECK(c->listeners[i].port > 0 && c->listeners[i].address.n > 0);
		relay_check(&c->relay);
		CHECK(c->queue.first_retry_ms <= c->queue.max_retry_ms && c->master_key_path.n > 0);
		CHECK(config_is_equal(c, c));
		CHECK(!config_needs_restart(c, c, &error));
		config_free(&c);
	} else {
		CHECK(error.p[error.n - 1] == '\n' || error.full);
	}
	buf_fini(&error);
	return 0;
}
