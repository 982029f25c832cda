/* base/: smallest truths of every piece. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/enc.h"
#include "base/unit.h"

static void
crc32c_of_rfc3720(void)
{
	char zeros[32] = {0};

	/* RFC 3720 B.4 */
	EXPECT(crc32c(0, zeros, 32) == 0x8a9136aa);
	EXPECT(crc32c(crc32c(0, zeros, 7), zeros, 25) == 0x8a9136aa);
}

static void
buf_stops_at_its_maximum(void)
{
	struct buf b;

	buf_init(&b, 4);
	EXPECT(buf_put(&b, STR("abcd")) == ST_OK);
	EXPECT(buf_put(&b, STR("e")) == ST_LIMIT);
	EXPECT_STR(buf_str(&b), STR("abcd"));
	EXPECT(b.full);
	buf_fini(&b);
}

static void
arena_stops_at_its_cap(void)
{
	struct arena a;

	arena_init(&a, 64);
	EXPECT(arena_alloc(&a, 64) != NULL);
	EXPECT(arena_alloc(&a, 1) == NULL);
	EXPECT(a.full);
	arena_reset(&a);
	EXPECT(arena_alloc(&a, 65) == NULL);
	arena_fini(&a);
}

int
main(void)
{
	UNIT(crc32c_of_rfc3720);
	UNIT(buf_stops_at_its_maximum);
	UNIT(arena_stops_at_its_cap);
	return unit_end();
}
