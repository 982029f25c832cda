#include "store/embedded/delta.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/rnd.h"
#include "base/unit.h"

#define KEYS 600

static struct str
key_of(unsigned i, char room[40])
{
	/* Lengths around the sixteen bytes of the hint, shared prefixes, zero bytes. */
	int n = snprintf(room, 40, "%0*u", (int)(3 + i % 17), i % 7 == 0 ? i / 7 : i);

	if (i % 5 == 0)
		room[n++] = '\0';
	return str_of(room, (size_t)n);
}

/* Against an array that is searched from end to end. */
static void
finds_and_orders_like_a_list(void)
{
	struct delta *d = delta_new(1);
	struct prng r;
	bool has[KEYS] = {false};
	char room[40], other[40];

	prng_init(&r, 1);
	for (int round = 0; round < 3000; round++) {
		unsigned i = (unsigned)prng_below(&r, KEYS), j = (unsigned)prng_below(&r, KEYS);
		struct str k = key_of(j, room), best = STR_NULL, under = STR_NULL;
		char best_room[40], under_room[40];
		const struct delta_node *n;

		EXPECT(delta_need(d, key_of(i, other)) != NULL);
		has[i] = true;
		n = delta_find(d, k);
		EXPECT(n == NULL || str_eq(delta_key(n), k));
		for (unsigned m = 0; m < KEYS; m++) {
			struct str c = key_of(m, other);

			if (!has[m])
				continue;
			EXPECT(!str_eq(c, k) || n);
			if (str_cmp(c, k) >= 0 && (!best.p || str_cmp(c, best) < 0)) {
				memcpy(best_room, c.p, c.n);
				best = str_of(best_room, c.n);
			}
			if (str_cmp(c, k) < 0 && (!under.p || str_cmp(c, under) > 0)) {
				memcpy(under_room, c.p, c.n);
				under = str_of(under_room, c.n);
			}
		}
		n = delta_at_least(d, k);
		EXPECT((n != NULL) == (best.p != NULL));
		if (n && best.p)
			EXPECT_STR(delta_key(n), best);
		n = delta_before(d, k);
		EXPECT((n != NULL) == (under.p != NULL));
		if (n && under.p)
			EXPECT_STR(delta_key(n), under);
	}
	for (const struct delta_node *n = delta_first(d); n && n->next[0]; n = n->next[0]) {
		EXPECT(str_cmp(delta_key(n), delta_key(n->next[0])) < 0);
		EXPECT(n->next[0]->prev == n);
	}
	delta_free(&d);
	EXPECT(d == NULL);
}

static void
gives_values_again(void)
{
	struct delta *d = delta_new(1);
	struct delta_value *v[64];
	size_t before = 0;

	for (int round = 0; round < 100; round++) {
		for (size_t i = 0; i < 64; i++) {
			v[i] = delta_value_new(d, 1 + i * 37);
			EXPECT(v[i]->cap >= 1 + i * 37 && v[i]->n == 0);
			memset(v[i]->p, (int)i, v[i]->cap);
		}
		for (size_t i = 0; i < 64; i++) {
			EXPECT(v[i]->p[0] == (char)i && v[i]->p[v[i]->cap - 1] == (char)i);
			delta_value_free(d, v[i]);
		}
		if (round == 10)
			before = d->bytes;
	}
	EXPECT(d->bytes == before);
	delta_free(&d);
}

static void
counts_references(void)
{
	struct delta *d = delta_new(100);

	EXPECT(delta_is_empty(d));
	EXPECT(delta_ref_get(d, 5) == 0);
	for (uint64_t id = 1; id < 1000; id++)
		delta_ref_add(d, id, (int64_t)id);
	for (uint64_t id = 1; id < 1000; id += 2)
		delta_ref_add(d, id, -(int64_t)id);
	for (uint64_t id = 1; id < 1000; id++)
		EXPECT(delta_ref_get(d, id) == (id % 2 ? 0 : (int64_t)id));
	EXPECT(delta_blob(d, 100) == NULL);
	delta_blob_add(d, 100)->refs = 1;
	delta_blob_add(d, 5000)->refs = 2;
	EXPECT(delta_blob(d, 99) == NULL && delta_blob(d, 5001) == NULL);
	EXPECT(delta_blob(d, 4999)->kind == BLOB_NONE);
	EXPECT(delta_blob(d, 100)->refs == 1 && delta_blob(d, 5000)->refs == 2);
	EXPECT(!delta_is_empty(d));
	delta_free(&d);
}

int
main(void)
{
	UNIT(finds_and_orders_like_a_list);
	UNIT(gives_values_again);
	UNIT(counts_references);
	return unit_end();
}
