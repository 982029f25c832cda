/* arena: a hard cap that is a state and not a crash; zeroed, aligned, all gone at once. */
#include "base/arena.h"
#include "base/unit.h"

static void
stops_at_its_cap(void)
{
	struct arena a;

	arena_init(&a, 64);
	EXPECT(arena_alloc(&a, 64) != NULL);
	EXPECT(!a.full);
	EXPECT(arena_alloc(&a, 1) == NULL);
	EXPECT(a.full);
	arena_reset(&a);
	EXPECT(!a.full && a.used == 0);
	EXPECT(arena_alloc(&a, 65) == NULL);
	EXPECT(arena_alloc(&a, SIZE_MAX) == NULL);
	EXPECT(arena_alloc(&a, SIZE_MAX - 14) == NULL);
	EXPECT(arena_array(&a, SIZE_MAX / 2, 3) == NULL);
	EXPECT(a.full && a.blocks == NULL);
	arena_fini(&a);
}

static void
is_zeroed_aligned_and_apart(void)
{
	struct arena a;
	char *last = NULL;
	size_t last_n = 0;

	arena_init(&a, 1u << 20);
	for (size_t n = 0; n < 600; n++) {
		char *p = arena_alloc(&a, n);

		EXPECT(p != NULL && (uintptr_t)p % 16 == 0);
		for (size_t i = 0; p != NULL && i < n; i++)
			EXPECT(p[i] == 0);
		memset(p, 0xff, n);
		EXPECT(last_n == 0 || last[last_n - 1] == (char)0xff);
		last = p;
		last_n = n;
	}
	/* Larger than any block. */
	EXPECT(arena_alloc(&a, 200000) != NULL);
	arena_fini(&a);
	EXPECT(a.blocks == NULL);
	arena_fini(&a);
}

static void
copies_strings(void)
{
	struct arena a;
	struct str s;
	char *z;

	arena_init(&a, 32);
	EXPECT(arena_str(&a, STR_NULL, &s) == ST_OK && s.n == 0 && a.used == 0);
	EXPECT(arena_str(&a, STR("a\0b"), &s) == ST_OK);
	EXPECT_STR(s, STR("a\0b"));
	EXPECT(arena_cstr(&a, STR("a\0b")) == NULL && !a.full);
	z = arena_cstr(&a, STR("fifteen bytes.."));
	EXPECT(z != NULL && strcmp(z, "fifteen bytes..") == 0);
	EXPECT(arena_str(&a, STR("x"), &s) == ST_LIMIT && s.n == 0 && a.full);
	EXPECT(arena_cstr(&a, STR_NULL) == NULL);
	arena_fini(&a);
}

int
main(void)
{
	UNIT(stops_at_its_cap);
	UNIT(is_zeroed_aligned_and_apart);
	UNIT(copies_strings);
	return unit_end();
}
