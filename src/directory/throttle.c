#include "directory/throttle.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"
#include "base/num.h"

#define WAYS 8
#define ENTRIES_MAX (1u << 24)
#define KEY_BYTES_MAX 512 /* what is longer counts as its beginning */

const struct throttle_options THROTTLE_DEFAULTS = {
    .entries_n = 65536,
    .free_failures = 3,
    .network_factor = 10,
    .delay_first_ms = 1000,
    .delay_max_ms = 15 * 60 * 1000,
    .window_ms = 60 * 60 * 1000,
};

struct entry {
	uint64_t hash; /* SipHash under a secret seed: nobody finds two that collide */
	uint64_t last_ms;
	uint32_t failures; /* 0: free */
};

struct throttle {
	struct throttle_options o;
	size_t sets_n; /* power of two */
	struct entry *entries;
};

struct throttle *
throttle_new(const struct throttle_options *o)
{
	struct throttle *t = calloc(1, sizeof(*t));

	CHECK(t);
	t->o = *o;
	t->sets_n = 1;
	while (t->sets_n * WAYS < size_min(o->entries_n, ENTRIES_MAX))
		t->sets_n *= 2;
	t->entries = calloc(t->sets_n * WAYS, sizeof(*t->entries));
	CHECK(t->entries);
	return t;
}

void
throttle_free(struct throttle **t)
{
	if (*t)
		free((*t)->entries);
	free(*t);
	*t = NULL;
}

/* has_login keeps a pair with an empty name apart from the network alone. */
static uint64_t
key_hash(struct str network, struct str login, bool has_login)
{
	char key[KEY_BYTES_MAX];
	size_t n = 0;

	network = str_take(network, 128);
	login = str_take(login, sizeof(key) - 128 - 2);
	key[n++] = (char)has_login;
	key[n++] = (char)network.n;
	if (network.n)
		memcpy(key + n, network.p, network.n);
	n += network.n;
	for (size_t i = 0; has_login && i < login.n; i++)
		key[n++] = char_lower(login.p[i]);
	return map_hash(str_of(key, n));
}

static struct entry *
set_of(const struct throttle *t, uint64_t hash)
{
	return &t->entries[(hash & (t->sets_n - 1)) * WAYS];
}

static struct entry *
entry_find(const struct throttle *t, uint64_t hash)
{
	struct entry *set = set_of(t, hash);

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].failures && set[i].hash == hash)
			return &set[i];
	return NULL;
}

static bool
is_stale(const struct throttle *t, const struct entry *e, uint64_t now_ms)
{
	return now_ms > e->last_ms && now_ms - e->last_ms >= t->o.window_ms;
}

static uint64_t
entry_wait_ms(const struct throttle *t, uint64_t now_ms, uint64_t hash, uint64_t free_failures)
{
	const struct entry *e = entry_find(t, hash);
	uint64_t delay_ms = t->o.delay_first_ms, until_ms;

	if (!e || is_stale(t, e, now_ms) || e->failures <= free_failures)
		return 0;
	for (uint64_t i = e->failures - free_failures;
	     i > 1 && delay_ms && delay_ms < t->o.delay_max_ms; i--)
		delay_ms *= 2;
	if (delay_ms > t->o.delay_max_ms)
		delay_ms = t->o.delay_max_ms;
	until_ms = e->last_ms + delay_ms;
	return until_ms > now_ms ? until_ms - now_ms : 0;
}

static uint64_t
network_free(const struct throttle *t)
{
	return (uint64_t)t->o.free_failures * t->o.network_factor;
}

uint64_t
throttle_wait_ms(const struct throttle *t, uint64_t now_ms, struct str network, struct str login)
{
	uint64_t pair =
	    entry_wait_ms(t, now_ms, key_hash(network, login, true), t->o.free_failures);
	uint64_t all =
	    entry_wait_ms(t, now_ms, key_hash(network, STR_NULL, false), network_free(t));

	return pair > all ? pair : all;
}

static struct entry *
entry_make(struct throttle *t, uint64_t now_ms, uint64_t hash)
{
	struct entry *set = set_of(t, hash), *worst = set;

	for (size_t i = 0; i < WAYS; i++) {
		struct entry *e = &set[i];

		if (!e->failures || is_stale(t, e, now_ms)) {
			worst = e;
			break;
		}
		if (e->failures < worst->failures ||
		    (e->failures == worst->failures && e->last_ms < worst->last_ms))
			worst = e;
	}
	*worst = (struct entry){.hash = hash};
	return worst;
}

static void
entry_count(struct throttle *t, uint64_t now_ms, uint64_t hash)
{
	struct entry *e = entry_find(t, hash);

	if (!e)
		e = entry_make(t, now_ms, hash);
	else if (is_stale(t, e, now_ms))
		e->failures = 0;
	if (e->failures < UINT32_MAX)
		e->failures++;
	e->last_ms = now_ms;
}

void
throttle_failure(struct throttle *t, uint64_t now_ms, struct str network, struct str login)
{
	entry_count(t, now_ms, key_hash(network, login, true));
	entry_count(t, now_ms, key_hash(network, STR_NULL, false));
}

void
throttle_success(struct throttle *t, struct str network, struct str login)
{
	struct entry *e = entry_find(t, key_hash(network, login, true));

	if (e)
		*e = (struct entry){0};
}
