#include "base/enc.h"
#include "standards/address/address.h"
#include "standards/dkim/dkim_internal.h"

struct str
dkim_algorithm_name(enum dkim_algorithm algorithm)
{
	switch (algorithm) {
	case DKIM_RSA_SHA256:
		return STR("rsa-sha256");
	case DKIM_ED25519_SHA256:
		return STR("ed25519-sha256"); /* RFC 8463 4.1 */
	}
	CHECK(false);
	return STR_NULL;
}

enum status
dkim_selector_check(struct str selector)
{
	if (selector.n > DKIM_NAME_BYTES_MAX)
		return ST_LIMIT;
	/* RFC 6376 3.1, 3.5: A-labels only */
	return address_domain_check(selector, false) == ST_OK ? ST_OK : ST_SYNTAX;
}

enum status
dkim_domain_check(struct str domain)
{
	enum status st = dkim_selector_check(domain);

	/* RFC 6376 3.5, d=: domain-name has two labels or more */
	return st == ST_OK && str_find_char(domain, '.') == domain.n ? ST_SYNTAX : st;
}

/* DER, only as far as to tell it from other things: a SEQUENCE of just this length. */
static bool
is_der_sequence(struct str s)
{
	struct cur c = cur_of(s);
	uint8_t byte, more;
	size_t n = 0;

	if (!cur_char(&c, 0x30) || !cur_u8(&c, &byte))
		return false;
	if (byte < 0x80)
		return cur_left(&c) == byte;
	for (byte &= 0x7f; byte > 0 && n <= DKIM_PUBLIC_BYTES_MAX && cur_u8(&c, &more); byte--)
		n = n << 8 | more;
	return byte == 0 && cur_left(&c) == n;
}

enum status
dkim_record_put(struct buf *out, enum dkim_algorithm algorithm, struct str public_key)
{
	bool is_rsa = algorithm == DKIM_RSA_SHA256;
	size_t start = out->n;

	if (is_rsa ? !is_der_sequence(public_key) : public_key.n != DKIM_ED25519_PUBLIC_BYTES)
		return ST_SYNTAX;
	if (public_key.n > DKIM_PUBLIC_BYTES_MAX)
		return ST_LIMIT;
	/* RFC 6376 3.6.1: v= comes first */
	if (buf_put(out, STR("v=DKIM1; k=")) == ST_OK &&
	    buf_put(out, is_rsa ? STR("rsa") : STR("ed25519")) == ST_OK &&
	    buf_put(out, STR("; p=")) == ST_OK && base64_encode(public_key, out) == ST_OK)
		return ST_OK;
	out->n = start;
	return ST_LIMIT;
}

enum status
dkim_record_name(struct str selector, struct str domain, struct buf *out)
{
	size_t start = out->n;
	enum status st = dkim_selector_check(selector);

	if (st == ST_OK)
		st = dkim_domain_check(domain);
	if (st != ST_OK)
		return st;
	/* RFC 6376 3.6.2.1 */
	if (buf_put(out, selector) == ST_OK && buf_put(out, STR("._domainkey.")) == ST_OK &&
	    buf_put(out, domain) == ST_OK && out->n - start <= DKIM_NAME_BYTES_MAX)
		return ST_OK;
	out->n = start;
	return ST_LIMIT;
}
