#include "standards/address/idna.h"

#include <idn2.h>

#include "standards/address/limits.h"

enum status
idna_to_ascii(struct str domain, struct buf *out)
{
	uint8_t z[ADDRESS_DOMAIN_MAX + 1];
	uint8_t *ascii = NULL;
	enum status st = ST_OK;
	int rc;

	if (domain.n > ADDRESS_DOMAIN_MAX)
		return ST_LIMIT;
	if (domain.n == 0 || memchr(domain.p, 0, domain.n) != NULL)
		return ST_SYNTAX;
	memcpy(z, domain.p, domain.n);
	z[domain.n] = 0;
	/* RFC 5891 5: map to lower case and NFC first (UTS 46), as clients send what people type.
	 */
	rc = idn2_lookup_u8(z, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc == IDN2_TOO_BIG_DOMAIN || rc == IDN2_TOO_BIG_LABEL || rc == IDN2_PUNYCODE_BIG_OUTPUT)
		return ST_LIMIT;
	if (rc == IDN2_MALLOC)
		return ST_NOMEM;
	if (rc != IDN2_OK)
		return ST_SYNTAX;
	for (const uint8_t *p = ascii; *p != 0 && st == ST_OK; p++)
		st = buf_put_c(out, char_lower((char)*p));
	idn2_free(ascii);
	return st;
}
