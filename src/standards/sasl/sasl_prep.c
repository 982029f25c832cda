#include <unicode/usprep.h>
#include <unicode/ustring.h>

#include "base/utf8.h"
#include "standards/sasl/sasl.h"

/* RFC 4013 2.3: control characters are prohibited; all other ASCII maps to itself. */
static bool
has_ascii_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

enum status
sasl_load(void)
{
	UErrorCode code = U_ZERO_ERROR;
	struct scram_verifier v;
	UStringPrepProfile *profile = usprep_openByType(USPREP_RFC4013_SASLPREP, &code);

	if (U_FAILURE(code))
		return ST_UNSUPPORTED;
	/* ICU keeps the tables after this. */
	usprep_close(profile);
	if (scram_verifier_make_weak(SCRAM_SHA_256, STR("any"), STR("any salt"), 1, &v) != ST_OK ||
	    scram_verifier_make_weak(SCRAM_SHA_1, STR("any"), STR("any salt"), 1, &v) != ST_OK)
		return ST_UNSUPPORTED;
	return ST_OK;
}

/* ICU counts in int32_t; in.n is far below. */
static enum status
to_utf16(struct str in, struct arena *a, UChar **out, int32_t *n_out)
{
	UErrorCode code = U_ZERO_ERROR;

	/* UTF-16 never has more units than UTF-8 has bytes. */
	*out = arena_array(a, in.n, sizeof(UChar));
	if (*out == NULL)
		return ST_LIMIT;
	u_strFromUTF8(*out, (int32_t)in.n, n_out, in.p, (int32_t)in.n, &code);
	return U_FAILURE(code) ? ST_SYNTAX : ST_OK;
}

static enum status
to_utf8(const UChar *in, int32_t n, struct arena *a, struct str *out)
{
	UErrorCode code = U_ZERO_ERROR;
	size_t max = (size_t)n * 3;
	char *p = arena_alloc(a, max);
	int32_t written = 0;

	if (p == NULL)
		return ST_LIMIT;
	u_strToUTF8(p, (int32_t)max, &written, in, n, &code);
	*out = str_of(p, (size_t)written);
	return U_FAILURE(code) ? ST_SYNTAX : ST_OK;
}

static enum status
prepare(const UStringPrepProfile *profile, struct str in, int32_t options, struct arena *a,
    struct str *out)
{
	UErrorCode code = U_ZERO_ERROR;
	UChar *wide, *prepared;
	int32_t wide_n = 0, n;
	enum status st = to_utf16(in, a, &wide, &wide_n);

	if (st != ST_OK)
		return st;
	/* The first call only says how long the result is. */
	n = usprep_prepare(profile, wide, wide_n, NULL, 0, options, NULL, &code);
	if (U_FAILURE(code) && code != U_BUFFER_OVERFLOW_ERROR)
		return ST_SYNTAX;
	if (n == 0)
		return ST_SYNTAX;
	prepared = arena_array(a, (size_t)n, sizeof(UChar));
	if (prepared == NULL)
		return ST_LIMIT;
	code = U_ZERO_ERROR;
	n = usprep_prepare(profile, wide, wide_n, prepared, n, options, NULL, &code);
	if (U_FAILURE(code))
		return ST_SYNTAX;
	return to_utf8(prepared, n, a, out);
}

enum status
sasl_prep(struct str in, enum sasl_prep_use use, struct arena *a, struct str *out)
{
	UErrorCode code = U_ZERO_ERROR;
	UStringPrepProfile *profile;
	enum status st;

	*out = STR_NULL;
	if (in.n > SASL_MESSAGE_BYTES_MAX)
		return ST_LIMIT;
	if (in.n == 0 || has_ascii_control(in) || !utf8_is_valid(in))
		return ST_SYNTAX;
	if (utf8_is_ascii(in))
		return arena_str(a, in, out);
	profile = usprep_openByType(USPREP_RFC4013_SASLPREP, &code);
	if (U_FAILURE(code))
		return ST_SYNTAX;
	st = prepare(
	    profile, in, use == SASL_PREP_QUERY ? USPREP_ALLOW_UNASSIGNED : USPREP_DEFAULT, a, out);
	usprep_close(profile);
	return st;
}
