/* relay: connects to other servers. The work stands in flow/relay; here its lines to queue, store,
 * resolver and keys. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "flow/relay/relay.h"
#include "roles/relay_role.h"
#include "standards/dkim/dkim.h"
#include "standards/sasl/sasl.h"
#include "sys/sandbox.h"

struct relay_role {
	struct role *role;
	struct relay *relay;
	struct tls_context *tls;
	uint64_t spread;	   /* over several processes of a kind */
	relay_connect_fn *connect; /* of a simulator; NULL: the system's */
	void *connect_arg;
};

static struct link *
relay_store(void *arg)
{
	struct relay_role *s = arg;

	return role_link(s->role, ROLE_STORE, 0);
}

static struct link *
relay_queue(void *arg)
{
	struct relay_role *s = arg;

	return role_link(s->role, ROLE_QUEUE, 0);
}

static struct link *
relay_resolver(void *arg)
{
	struct relay_role *s = arg;

	return role_link_any(s->role, ROLE_RESOLVER, s->spread++);
}

static struct link *
relay_keys(void *arg)
{
	struct relay_role *s = arg;

	return role_link_any(s->role, ROLE_KEYS, s->spread++);
}

static struct conn *
relay_connect(void *arg, const struct sock_addr *to, const struct conn_handler *h, void *conn_arg,
    size_t input_bytes_max)
{
	struct relay_role *s = arg;

	if (s->connect != NULL)
		return s->connect(s->connect_arg, to, h, conn_arg, input_bytes_max);
	return conn_new_connect(role_loop(s->role), to, NULL, h, conn_arg, input_bytes_max);
}

static const struct relay_ops relay_ops = {.store = relay_store,
    .queue = relay_queue,
    .resolver = relay_resolver,
    .keys = relay_keys,
    .connect = relay_connect};

static void *
relay_role_new(struct role *r)
{
	struct relay_role *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->role = r;
	s->relay = relay_new(role_loop(r), &relay_ops, s);
	return s;
}

static void
relay_role_free(void *self)
{
	struct relay_role *s = self;

	relay_free(&s->relay);
	tls_context_free(&s->tls);
	free(s);
}

/* Whatever opens a file does it here. */
static enum status
relay_prepare(void *self, struct buf *why)
{
	struct relay_role *s = self;
	enum status st = sasl_load();

	if (st != ST_OK) {
		(void)buf_put(why, STR("ICU or libcrypto lack what SASL needs"));
		return st;
	}
	dkim_preload();
	tls_process_init();
	s->tls = tls_client_context_new(role_loop(s->role));
	return ST_OK;
}

static void
relay_settings(struct relay_role *s)
{
	const struct rec_settings *o = role_settings(s->role);
	struct relay_settings r = {.hostname = o->hostname,
	    .port = o->relay_port,
	    .idle_ms = o->relay_idle_ms,
	    .routes = o->relay_routes};

	/* The parent has checked them; without them mail might go where it should not. */
	if (relay_set(s->relay, &r) != ST_OK)
		role_fail(s->role, STR("hostname or relay routes of the settings cannot be read"));
}

static void
relay_start(void *self)
{
	struct relay_role *s = self;

	relay_settings(s);
	relay_set_tls(s->relay, s->tls);
}

static void
relay_reload(void *self)
{
	relay_settings(self);
}

static bool
relay_role_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	struct relay_role *s = self;

	(void)l;
	return relay_record(s->relay, t, c);
}

static void
relay_role_link_down(void *self, enum role_kind peer, uint16_t index)
{
	struct relay_role *s = self;

	(void)index;
	relay_link_down(s->relay, peer);
}

static void
relay_stopped(void *arg)
{
	struct relay_role *s = arg;

	role_stopped(s->role);
}

static void
relay_role_stop(void *self)
{
	struct relay_role *s = self;

	relay_stop(s->relay, relay_stopped, s);
}

static void
relay_status(void *self, struct buf *json)
{
	const struct relay_role *s = self;
	const struct relay_counters *n = relay_counters(s->relay);

	(void)buf_putf(json,
	    "\"connections\":%zu,\"jobs\":%zu,\"sent\":%llu,\"deferred\":%llu,\"failed\":%llu,"
	    "\"connected\":%llu,\"reused\":%llu,"
	    "\"tls_failed\":%llu",
	    relay_connections(s->relay), relay_jobs(s->relay), (unsigned long long)n->sent,
	    (unsigned long long)n->deferred, (unsigned long long)n->failed,
	    (unsigned long long)n->connections, (unsigned long long)n->reused,
	    (unsigned long long)n->tls_failed);
}

const struct role_ops role_relay_ops = {
    .kind = ROLE_RELAY,
    .sandbox_allow = SANDBOX_CONNECT,
    .new = relay_role_new,
    .free = relay_role_free,
    .prepare = relay_prepare,
    .start = relay_start,
    .record = relay_role_record,
    .link_down = relay_role_link_down,
    .reload = relay_reload,
    .stop = relay_role_stop,
    .status = relay_status,
};

void
role_relay_simulate(struct role *r, relay_connect_fn *fn, void *arg)
{
	struct relay_role *s = role_self(r);

	CHECK(s->connect == NULL);
	s->connect = fn;
	s->connect_arg = arg;
}
