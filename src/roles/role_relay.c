/* relay: connects to other servers. The work stands in flow/relay; here its lines to queue, store, resolver and keys. */
#include <stdlib.h>

#include "base/check.h"
#include "roles/role.h"
#include "sys/sandbox.h"

struct relay_role {
	struct role *role;
};

static void *
relay_new(struct role *r)
{
	struct relay_role *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->role = r;
	return s;
}

static void
relay_free(void *self)
{
	free(self);
}

static bool
relay_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	(void)self;
	(void)l;
	(void)t;
	(void)c;
	return false;
}

const struct role_ops role_relay_ops = {
    .kind = ROLE_RELAY,
    .sandbox_allow = SANDBOX_CONNECT,
    .new = relay_new,
    .free = relay_free,
    .record = relay_record,
};
