/* Whatever an answer holds: text without control characters, or a refusal. */
#include "base/check.h"
#include "cli/render.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_is_text(const struct buf *b)
{
	for (size_t i = 0; i < b->n; i++)
		CHECK(b->p[i] == '\n' || ((unsigned char)b->p[i] >= 0x20 && b->p[i] != 0x7f));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out, err;
	enum status st;

	buf_init(&out, 64 << 10);
	buf_init(&err, 16 << 10);
	st = render_text(str_of(data, size), &out, &err);
	CHECK(st == ST_OK || st == ST_DENIED || st == ST_SYNTAX || st == ST_LIMIT);
	check_is_text(&out);
	check_is_text(&err);
	buf_reset(&out);
	buf_reset(&err);
	st = render_json(str_of(data, size), &out, &err);
	if (st == ST_OK || st == ST_DENIED)
		CHECK(memchr(out.p, '\n', out.n) == out.p + out.n - 1);
	buf_fini(&out);
	buf_fini(&err);
	return 0;
}
