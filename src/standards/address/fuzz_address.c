/* Fuzz: what parses normalises to something that parses and normalises to itself, and borrows only
 * from its input. */
#include "base/check.h"
#include "standards/address/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_inside(struct str part, struct str whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void
normal_form_is_fixed(const struct address *a)
{
	struct buf once, twice;
	struct address again;

	buf_init(&once, 512);
	buf_init(&twice, 512);
	if (address_normalise(a, &once) == ST_OK && once.n > 0) {
		CHECK(once.n <= ADDRESS_MAX);
		CHECK(address_parse(buf_str(&once), true, &again) == ST_OK);
		CHECK(address_normalise(&again, &twice) == ST_OK);
		CHECK(str_eq(buf_str(&once), buf_str(&twice)));
	}
	buf_fini(&once);
	buf_fini(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct cur c = cur_of(in);
	struct address a;

	if (address_parse(in, true, &a) == ST_OK) {
		CHECK(is_inside(a.local, in) && is_inside(a.domain, in));
		CHECK(a.local.n + 1 + a.domain.n == in.n && in.n <= ADDRESS_MAX);
		CHECK(a.is_utf8 == (address_parse(in, false, &a) == ST_UNSUPPORTED));
		CHECK(address_parse(in, true, &a) == ST_OK);
		normal_form_is_fixed(&a);
	}
	if (address_path_take(&c, true, true, &a) == ST_OK) {
		CHECK(c.p > in.p && c.p[-1] == '>');
		normal_form_is_fixed(&a);
	} else {
		CHECK(c.p == in.p);
	}
	return 0;
}
