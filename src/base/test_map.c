/* map: against a plain table as a model, with few buckets so that everything collides. */
#include <stdio.h>

#include "base/map.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"

enum { KEYS = 48, STEPS = 20000 };

static int value_of[KEYS * 2];

static struct str
key_of(size_t i, char room[16])
{
	int n = snprintf(room, 16, "key-%zu", i);

	/* The empty key is a key like any other. */
	return i == 0 ? STR_NULL : str_of(room, (size_t)n);
}

static void
agrees(const struct map *m, int *const model[KEYS])
{
	size_t n = 0, it = 0, seen = 0;
	char room[16];
	void *v;
	struct str key;

	for (size_t i = 0; i < KEYS; i++) {
		EXPECT(map_get(m, key_of(i, room)) == model[i]);
		n += model[i] != NULL;
	}
	EXPECT(m->n == n);
	while (map_next(m, &it, &key, &v)) {
		EXPECT(map_get(m, key) == v);
		seen++;
	}
	EXPECT(seen == n);
}

/* Near its fill level the table of 64 has long runs, also across its end. */
static void
behaves_like_its_model(void)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct map m;
		struct prng r;
		int *model[KEYS] = {0};
		char room[16];

		prng_init(&r, seed);
		map_seed(prng_u64(&r), prng_u64(&r));
		map_init(&m, KEYS);
		for (size_t step = 0; step < STEPS; step++) {
			size_t i = prng_below(&r, KEYS);
			struct str key = key_of(i, room);

			if (prng_below(&r, 100) < 55) {
				int *value = &value_of[i + (prng_below(&r, 2) ? KEYS : 0)];
				void *old = &old;

				EXPECT(map_put(&m, key, value, &old) == ST_OK && old == model[i]);
				model[i] = value;
			} else {
				EXPECT(map_del(&m, key) == model[i]);
				model[i] = NULL;
			}
			if (step % 97 == 0)
				agrees(&m, model);
		}
		agrees(&m, model);
		map_fini(&m);
	}
}

static void
holds_at_most_its_maximum(void)
{
	struct map m;
	char room[16];
	void *old;

	map_init(&m, 3);
	EXPECT(map_get(&m, STR("a")) == NULL && map_del(&m, STR("a")) == NULL);
	for (size_t i = 0; i < 3; i++)
		EXPECT(map_put(&m, key_of(i, room), &value_of[i], NULL) == ST_OK);
	EXPECT(map_put(&m, key_of(3, room), &value_of[3], &old) == ST_LIMIT && old == NULL);
	EXPECT(map_get(&m, key_of(3, room)) == NULL && m.n == 3);
	/* Replacing needs no room. */
	EXPECT(map_put(&m, key_of(2, room), &value_of[9], &old) == ST_OK && old == &value_of[2]);
	EXPECT(map_del(&m, key_of(0, room)) == &value_of[0]);
	EXPECT(map_put(&m, key_of(3, room), &value_of[3], NULL) == ST_OK);
	map_fini(&m);
	EXPECT(m.n == 0 && m.slots == NULL && m.entries_max == 3);
}

static void
keys_are_copied_and_may_hold_any_byte(void)
{
	struct map m;
	char key[] = "a\0b";

	map_init(&m, 10);
	EXPECT(map_put(&m, str_of(key, 3), &value_of[0], NULL) == ST_OK);
	key[2] = 'c';
	EXPECT(map_get(&m, STR("a\0b")) == &value_of[0]);
	EXPECT(map_get(&m, STR("a\0c")) == NULL && map_get(&m, STR("a")) == NULL);
	map_fini(&m);
}

static void
hash_depends_on_every_byte_and_the_seed(void)
{
	char text[20] = {0};
	uint64_t plain, other;

	map_seed(1, 2);
	plain = map_hash(str_of(text, sizeof(text)));
	for (size_t i = 0; i < sizeof(text); i++) {
		text[i] = 1;
		EXPECT(map_hash(str_of(text, sizeof(text))) != plain);
		text[i] = 0;
		EXPECT(map_hash(str_of(text, i)) != plain);
	}
	map_seed(1, 3);
	other = map_hash(str_of(text, sizeof(text)));
	EXPECT(other != plain);
}

int
main(void)
{
	UNIT(behaves_like_its_model);
	UNIT(holds_at_most_its_maximum);
	UNIT(keys_are_copied_and_may_hold_any_byte);
	UNIT(hash_depends_on_every_byte_and_the_seed);
	return unit_end();
}
