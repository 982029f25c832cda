/* Fuzz: the encodings never crash, what decodes encodes back to itself, a failure appends nothing.
 */
#include "base/check.h"
#include "base/enc.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
hex_comes_back(struct str in, struct buf *decoded, struct buf *again)
{
	buf_reset(decoded);
	buf_reset(again);
	if (hex_decode(in, decoded) != ST_OK) {
		CHECK(decoded->n == 0);
		return;
	}
	CHECK(hex_encode(buf_str(decoded), again) == ST_OK);
	CHECK(str_eq_ci(buf_str(again), in));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct buf decoded, again;

	buf_init(&decoded, 65536);
	buf_init(&again, 65536);
	if (base64_decode(in, &decoded) == ST_OK) {
		CHECK(base64_encode(buf_str(&decoded), &again) == ST_OK);
		CHECK(str_eq(buf_str(&again), in));
	} else {
		CHECK(decoded.n == 0);
	}
	hex_comes_back(in, &decoded, &again);
	buf_reset(&again);
	(void)json_put_str(&again, in);
	CHECK(again.full || utf8_is_valid(buf_str(&again)));
	buf_fini(&decoded);
	buf_fini(&again);
	return 0;
}
