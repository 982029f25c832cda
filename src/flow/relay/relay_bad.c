#include "flow/relay/relay_internal.h"

/* A hint, nothing more: when there is no room for another, all is forgotten. */

enum { KEY_BYTES = 18 };

static struct str
key_of(const struct sock_addr *a, char out[KEY_BYTES])
{
	memcpy(out, a->ip, sizeof(a->ip));
	le16_put(out + sizeof(a->ip), a->port);
	return str_of(out, KEY_BYTES);
}

void
relay_bad_add(struct relay *r, const struct sock_addr *a)
{
	char key[KEY_BYTES];
	/* Never NULL. */
	uintptr_t until = (uintptr_t)(relay_now_ms(r) + RELAY_BAD_MS);

	if (map_put(&r->bad, key_of(a, key), (void *)until, NULL) == ST_OK)
		return;
	map_fini(&r->bad);
	map_init(&r->bad, RELAY_BAD_MAX);
	CHECK(map_put(&r->bad, key_of(a, key), (void *)until, NULL) == ST_OK);
}

void
relay_bad_del(struct relay *r, const struct sock_addr *a)
{
	char key[KEY_BYTES];

	if (r->bad.n > 0)
		(void)map_del(&r->bad, key_of(a, key));
}

bool
relay_bad_has(const struct relay *r, const struct sock_addr *a)
{
	char key[KEY_BYTES];

	return r->bad.n > 0 && (uintptr_t)map_get(&r->bad, key_of(a, key)) > relay_now_ms(r);
}
