/*
 * Fuzz: any header. What is taken is still one header of the same authors when it is read again, has what it must have, and
 * tells nobody of a Bcc.
 */
#include "base/check.h"
#include "standards/compose/compose.h"
#include "standards/mime/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct compose_given given = {
    .now = 1700000000, .hostname = STR_INIT("mx.example.org"), .unique = STR_INIT("u.1"), .login = STR_INIT("me@example.org")};

static bool
has(struct str header, struct str name)
{
	struct mime_header h;

	return mime_header_find(header, name, &h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str header = str_of(data, size);
	struct buf out, addresses, again, addresses_again;
	struct compose_facts facts;
	size_t end = compose_header_end(header, 0);

	if (end > 0)
		header = str_take(header, end);
	buf_init(&out, COMPOSE_HEADER_MAX + COMPOSE_ADDED_MAX);
	buf_init(&addresses, COMPOSE_AUTHORS_BYTES_MAX);
	buf_init(&again, COMPOSE_HEADER_MAX + 2 * COMPOSE_ADDED_MAX);
	buf_init(&addresses_again, COMPOSE_AUTHORS_BYTES_MAX);
	if (compose_header(header, &given, &out, &addresses, &facts) == COMPOSE_OK) {
		CHECK(compose_header_end(buf_str(&out), 0) == out.n);
		CHECK(has(buf_str(&out), STR("From")) && has(buf_str(&out), STR("Date")) && has(buf_str(&out), STR("Message-ID")));
		CHECK(!has(buf_str(&out), STR("Bcc")) && !has(buf_str(&out), STR("Resent-Bcc")) && !has(buf_str(&out), STR("Return-Path")));
		/* Nothing is left to mend. A Sender that was added counts as one the second time. */
		if (out.n <= COMPOSE_HEADER_MAX && compose_header(buf_str(&out), &given, &again, &addresses_again, &facts) == COMPOSE_OK) {
			CHECK(str_eq(buf_str(&out), buf_str(&again)));
			CHECK(str_has_prefix(buf_str(&addresses_again), buf_str(&addresses)));
		}
	} else {
		CHECK(out.n == 0 && addresses.n == 0);
	}
	buf_fini(&out);
	buf_fini(&addresses);
	buf_fini(&again);
	buf_fini(&addresses_again);
	return 0;
}
