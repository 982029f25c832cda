/* The messages of RFC 5802 7, taken apart. The order of attributes is fixed. */
#include "base/enc.h"
#include "base/utf8.h"
#include "standards/sasl/sasl_internal.h"

/* "x=value" up to a comma, which is not taken. An empty value is no attribute. */
static bool
attr_take(struct cur *c, char name, struct str *value_out)
{
	struct cur try = *c;
	struct str rest;

	if (!cur_char(&try, name) || !cur_char(&try, '='))
		return false;
	rest = cur_rest(&try);
	*value_out = str_take(rest, str_find_char(rest, ','));
	if (value_out->n == 0)
		return false;
	cur_skip(&try, value_out->n);
	*c = try;
	return true;
}

/* RFC 5802 7: value is UTF-8 without NUL. */
static bool
is_clean(struct str s)
{
	return s.n <= SASL_MESSAGE_BYTES_MAX && str_find_char(s, '\0') == s.n && utf8_is_valid(s);
}

/* RFC 5802 7, printable: ASCII without space, controls and ','. */
static bool
is_printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f || s.p[i] == ',')
			return false;
	return true;
}

/* RFC 5802 7, extensions up to (without) stop: each is skipped, but must look like one. */
static const char *
extensions_skip(struct cur *c, char stop)
{
	struct str value;

	while (!cur_at_end(c)) {
		struct cur try = *c;
		int name;

		if (!cur_char(&try, ','))
			return "invalid-encoding";
		name = cur_peek(&try);
		if (name == stop)
			return NULL;
		/* RFC 5802 5.1: "m" is for extensions that must be understood, and there are none.
		 */
		if (name == 'm')
			return "extensions-not-supported";
		if (name < 0 || !char_is_alpha((char)name) || !attr_take(&try, (char)name, &value))
			return "invalid-encoding";
		*c = try;
	}
	return NULL;
}

static bool
is_binding_type_char(char c)
{
	return char_is_alnum(c) || c == '.' || c == '-';
}

/* RFC 5802 7, gs2-header */
static bool
gs2_take(struct cur *c, struct scram_client_first *out)
{
	const char *start = c->p;
	struct str flag;

	if (!cur_take(c, 1, &flag) || str_find_char(STR("nyp"), flag.p[0]) == 3)
		return false;
	out->flag = flag.p[0];
	if (out->flag == 'p') {
		if (!cur_char(c, '='))
			return false;
		out->binding_type = cur_take_while(c, is_binding_type_char);
		if (out->binding_type.n == 0)
			return false;
	}
	if (!cur_char(c, ','))
		return false;
	(void)attr_take(c, 'a', &out->authzid);
	if (!cur_char(c, ','))
		return false;
	out->gs2_header = str_of(start, (size_t)(c->p - start));
	return true;
}

const char *
scram_client_first_parse(struct str s, struct scram_client_first *out)
{
	struct cur c = cur_of(s);

	*out = (struct scram_client_first){0};
	if (!is_clean(s) || !gs2_take(&c, out))
		return "invalid-encoding";
	out->bare = cur_rest(&c);
	if (cur_peek(&c) == 'm')
		return "extensions-not-supported";
	if (!attr_take(&c, 'n', &out->username) || !cur_char(&c, ',') ||
	    !attr_take(&c, 'r', &out->nonce))
		return "invalid-encoding";
	if (!is_printable(out->nonce) || out->nonce.n > SCRAM_NONCE_CLIENT_MAX)
		return "invalid-encoding";
	return extensions_skip(&c, 0);
}

const char *
scram_client_final_parse(enum scram_hash hash, struct str s, struct scram_client_final *out)
{
	struct cur c = cur_of(s);
	struct str proof;
	struct buf bytes;
	const char *why;

	*out = (struct scram_client_final){0};
	if (!is_clean(s) || !attr_take(&c, 'c', &out->binding) || !cur_char(&c, ',') ||
	    !attr_take(&c, 'r', &out->nonce))
		return "invalid-encoding";
	if ((why = extensions_skip(&c, 'p')) != NULL)
		return why;
	out->without_proof = str_take(s, s.n - cur_left(&c));
	if (!cur_char(&c, ',') || !attr_take(&c, 'p', &proof) || !cur_at_end(&c))
		return "invalid-encoding";
	buf_init(&bytes, SCRAM_KEY_BYTES);
	why = base64_decode(proof, &bytes) == ST_OK && bytes.n == scram_key_bytes(hash)
		  ? NULL
		  : "invalid-encoding";
	if (why == NULL)
		memcpy(out->proof, bytes.p, bytes.n);
	buf_fini(&bytes);
	return why;
}

const char *
scram_server_first_parse(struct str s, struct scram_server_first *out)
{
	struct cur c = cur_of(s);
	struct str salt, count;
	struct buf bytes;
	uint64_t iterations;
	bool ok;

	*out = (struct scram_server_first){0};
	if (is_clean(s) && cur_peek(&c) == 'm')
		return "extensions-not-supported";
	if (!is_clean(s) || !attr_take(&c, 'r', &out->nonce) || !is_printable(out->nonce) ||
	    !cur_char(&c, ',') || !attr_take(&c, 's', &salt) || !cur_char(&c, ',') ||
	    !attr_take(&c, 'i', &count) || str_to_u64(count, &iterations) != ST_OK)
		return "invalid-encoding";
	if (iterations < SCRAM_ITERATIONS_CLIENT_MIN || iterations > SCRAM_ITERATIONS_MAX)
		return "no-resources";
	out->iterations = (uint32_t)iterations;
	buf_init(&bytes, SCRAM_SALT_BYTES_MAX);
	ok = base64_decode(salt, &bytes) == ST_OK && bytes.n > 0;
	if (ok) {
		memcpy(out->salt, bytes.p, bytes.n);
		out->salt_n = bytes.n;
	}
	buf_fini(&bytes);
	return ok ? extensions_skip(&c, 0) : "invalid-encoding";
}

enum status
scram_name_decode(struct str quoted, struct arena *a, struct str *out)
{
	struct cur c = cur_of(quoted);
	char *p = arena_alloc(a, quoted.n);
	size_t n = 0;

	if (p == NULL)
		return ST_LIMIT;
	while (!cur_at_end(&c)) {
		if (cur_lit(&c, "=2C"))
			p[n++] = ',';
		else if (cur_lit(&c, "=3D"))
			p[n++] = '=';
		/* RFC 5802 5.1: another "=" fails the authentication. */
		else if (cur_peek(&c) == '=')
			return ST_SYNTAX;
		else {
			p[n++] = *c.p;
			cur_skip(&c, 1);
		}
	}
	*out = str_of(p, n);
	return ST_OK;
}

enum status
scram_name_encode(struct str name, struct arena *a, struct str *out)
{
	char *p = arena_array(a, name.n, 3);
	size_t n = 0;

	if (p == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == ',' || name.p[i] == '=') {
			memcpy(p + n, name.p[i] == ',' ? "=2C" : "=3D", 3);
			n += 3;
		} else {
			p[n++] = name.p[i];
		}
	}
	*out = str_of(p, n);
	return ST_OK;
}

enum status
sasl_join(struct arena *a, const struct str *pieces, size_t n, struct str *out)
{
	size_t total = 0, at = 0;
	char *p;

	for (size_t i = 0; i < n; i++)
		total += pieces[i].n;
	p = arena_alloc(a, total);
	if (p == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < n; i++) {
		if (pieces[i].n > 0)
			memcpy(p + at, pieces[i].p, pieces[i].n);
		at += pieces[i].n;
	}
	*out = str_of(p, total);
	return ST_OK;
}

enum status
sasl_base64(struct arena *a, struct str bytes, struct str *out)
{
	struct buf b;
	enum status st;

	buf_init(&b, BASE64_SIZE(bytes.n) + 1);
	st = base64_encode(bytes, &b);
	if (st == ST_OK)
		st = arena_str(a, buf_str(&b), out);
	buf_fini(&b);
	return st;
}
void
sasl_nonce(const uint8_t random[SCRAM_NONCE_RANDOM_BYTES], char out[SCRAM_NONCE_SERVER_MIN])
{
	struct buf b;

	_Static_assert(
	    BASE64_SIZE(SCRAM_NONCE_RANDOM_BYTES) == SCRAM_NONCE_SERVER_MIN, "no padding");
	buf_init(&b, SCRAM_NONCE_SERVER_MIN);
	CHECK(base64_encode(str_of(random, SCRAM_NONCE_RANDOM_BYTES), &b) == ST_OK);
	memcpy(out, b.p, SCRAM_NONCE_SERVER_MIN);
	buf_fini(&b);
}
