/*
 * Fuzz: what is mended is well-formed, keeps every field it should, needs no second mending, and no other reader finds an author in it
 * that was not told.
 */
#include "base/arena.h"
#include "base/check.h"
#include "standards/address/address.h"
#include "standards/compose/compose.h"
#include "standards/mime/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct compose_given given = {
    .now = 1795600000, .hostname = STR_INIT("mail.example"), .unique = STR_INIT("u1"), .login = STR_INIT("me@example.org")};

static void
addresses_are_valid(struct str addresses, uint32_t authors_n)
{
	struct cur c = cur_of(addresses);
	struct address a;
	struct str one;
	uint32_t n = 0;

	while (!cur_at_end(&c)) {
		CHECK(cur_str16(&c, &one) && address_parse(one, true, &a) == ST_OK);
		n++;
	}
	CHECK(authors_n > 0 && authors_n <= COMPOSE_AUTHORS_MAX && (n == authors_n || n == authors_n + 1));
}

static void
fields_are_right(struct str mended)
{
	struct mime_header h;

	CHECK(mime_header_find(mended, STR("From"), &h) && mime_header_find(mended, STR("Date"), &h));
	CHECK(mime_header_find(mended, STR("Message-ID"), &h));
	CHECK(!mime_header_find(mended, STR("Bcc"), &h) && !mime_header_find(mended, STR("Return-Path"), &h));
	CHECK(compose_header_end(mended, 0) == mended.n);
}

static void
one(struct str header)
{
	struct buf out, again, addresses, addresses_again;
	struct compose_facts facts, facts_again;

	buf_init(&out, header.n + COMPOSE_ADDED_MAX);
	buf_init(&again, header.n + 2 * COMPOSE_ADDED_MAX);
	buf_init(&addresses, COMPOSE_AUTHORS_BYTES_MAX);
	buf_init(&addresses_again, COMPOSE_AUTHORS_BYTES_MAX);
	enum compose_verdict v = compose_header(header, &given, &out, &addresses, &facts);
	if (v == COMPOSE_OK) {
		addresses_are_valid(buf_str(&addresses), facts.authors_n);
		fields_are_right(buf_str(&out));
		/* Its limits may be full now, but it says nothing else. */
		v = compose_header(buf_str(&out), &given, &again, &addresses_again, &facts_again);
		CHECK(v == COMPOSE_TOO_LONG || (v == COMPOSE_OK && str_eq(buf_str(&again), buf_str(&out))));
		CHECK(v == COMPOSE_TOO_LONG || str_has_prefix(buf_str(&addresses_again), buf_str(&addresses)));
	} else {
		CHECK(out.n == 0 && addresses.n == 0 && compose_reply(v)->code >= 550);
	}
	buf_fini(&out);
	buf_fini(&again);
	buf_fini(&addresses);
	buf_fini(&addresses_again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str s = str_of(data, size);
	size_t end = compose_header_end(s, 0);

	/* However it is cut, the end is found in the same place. */
	for (size_t n = 1, seen = 0, found = 0; found == 0 && n <= size; seen = n, n += 7) {
		found = compose_header_end(str_take(s, n), seen);
		CHECK(found == 0 || found == end);
	}
	one(s);
	if (end > 0)
		one(str_take(s, end));
	return 0;
}
