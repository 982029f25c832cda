/* Fuzz: a header is the same one whole or in pieces, says ST_MORE only while it is short, and what
 * is refused changes nothing. */
#include "base/check.h"
#include "protocols/proxy/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cur in = cur_of(str_of(data, size)), all = in;
	struct proxy_info info = {.version = 77}, again;
	enum status st = proxy_take(&in, &info);
	size_t n = size - cur_left(&in);

	CHECK(st == ST_OK || st == ST_MORE || st == ST_SYNTAX || st == ST_LIMIT);
	CHECK(st != ST_MORE || size < PROXY_HEADER_MAX);
	if (st != ST_OK) {
		CHECK(n == 0 && info.version == 77);
		return 0;
	}
	CHECK(n >= 15 && n <= PROXY_HEADER_MAX);
	CHECK(info.version == 1 ? n <= PROXY_V1_LINE_MAX : info.version == 2);
	for (size_t i = 0; i < n; i++) {
		struct cur part = cur_of(str_of(data, i));
		CHECK(proxy_take(&part, &again) == ST_MORE);
	}
	all.end = all.p + n;
	CHECK(proxy_take(&all, &again) == ST_OK && cur_at_end(&all));
	CHECK(again.is_local == info.is_local && again.from.port == info.from.port &&
	      again.to.port == info.to.port && memcmp(again.from.ip, info.from.ip, 16) == 0 &&
	      memcmp(again.to.ip, info.to.ip, 16) == 0);
	return 0;
}
