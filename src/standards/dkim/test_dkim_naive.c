#include "standards/dkim/test_dkim_naive.h"

#include <openssl/evp.h>

#include "base/check.h"

void
naive_hash(struct str bytes, uint8_t out[DKIM_HASH_BYTES])
{
	CHECK(EVP_Digest(bytes.p != NULL ? bytes.p : "", bytes.n, out, NULL, EVP_sha256(), NULL) ==
	      1);
}

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static void
put(struct buf *out, struct str s)
{
	CHECK(buf_put(out, s) == ST_OK);
}

static bool
ends_with_crlf(struct str s)
{
	return str_has_suffix_ci(s, STR("\r\n"));
}

/* Runs of white space to one space, none at the end. */
static void
reduce(struct str line, struct buf *out)
{
	size_t start = out->n;

	for (size_t i = 0; i < line.n; i++)
		if (!is_wsp(line.p[i]))
			put(out, str_of(&line.p[i], 1));
		else if (i == 0 || !is_wsp(line.p[i - 1]))
			put(out, STR(" "));
	while (out->n > start && out->p[out->n - 1] == ' ')
		out->n--;
}

void
naive_body(struct str body, enum dkim_canon canon, struct buf *out)
{
	size_t start = out->n;
	struct str line;

	while (body.n > 0) {
		size_t n = str_find(body, STR("\r\n"));

		line = str_take(body, n);
		if (canon == DKIM_RELAXED)
			reduce(line, out);
		else
			put(out, line);
		if (n < body.n)
			put(out, STR("\r\n"));
		body = str_from(body, n + 2);
	}
	while (ends_with_crlf(str_from(buf_str(out), start)))
		out->n -= 2;
	if (out->n > start || canon == DKIM_SIMPLE)
		put(out, STR("\r\n"));
}

/* Folds away (RFC 5322 2.2.3). */
static void
unfold(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++)
		if (str_has_prefix(str_from(s, i), STR("\r\n")))
			i++;
		else
			put(out, str_of(&s.p[i], 1));
}

void
naive_field(struct str field, enum dkim_canon canon, struct buf *out)
{
	struct str name, value;
	struct buf unfolded;
	size_t start = out->n;

	if (canon == DKIM_SIMPLE) {
		put(out, field);
		return;
	}
	CHECK(str_split(field, ':', &name, &value));
	reduce(name, out);
	for (size_t i = start; i < out->n; i++)
		out->p[i] = char_lower(out->p[i]);
	put(out, STR(":"));
	buf_init(&unfolded, value.n + 1);
	unfold(value, &unfolded);
	value = buf_str(&unfolded);
	while (value.n > 0 && is_wsp(value.p[0]))
		value = str_from(value, 1);
	reduce(value, out);
	buf_fini(&unfolded);
}

/* The length of the field at the start of s, with its CRLF if it has one. */
static size_t
field_length(struct str s)
{
	size_t n = 0;

	do
		n += str_find(str_from(s, n), STR("\r\n")) + 2;
	while (n < s.n && is_wsp(s.p[n]));
	return n < s.n ? n : s.n;
}

static bool
is_named(struct str field, struct str name)
{
	struct str got, value;

	if (!str_split(field, ':', &got, &value))
		return false;
	while (got.n > 0 && is_wsp(got.p[got.n - 1]))
		got.n--;
	return str_eq_ci(got, name);
}

/* The field of that name of which `below` others of that name stand further down. */
static bool
find(struct str header, struct str name, size_t below, struct str *out)
{
	size_t total = 0, wanted;

	for (struct str s = header; s.n > 0; s = str_from(s, field_length(s)))
		total += is_named(str_take(s, field_length(s)), name);
	if (below >= total)
		return false;
	wanted = total - below;
	for (struct str s = header; wanted > 0; s = str_from(s, field_length(s))) {
		*out = str_take(s, field_length(s));
		wanted -= is_named(*out, name);
	}
	if (ends_with_crlf(*out))
		out->n -= 2;
	return true;
}

void
naive_headers(struct str header, struct str h, enum dkim_canon canon, struct buf *out)
{
	struct str names[DKIM_HEADERS_MAX], field;
	bool is_more = true;

	for (size_t n = 0; is_more; n++) {
		size_t below = 0;

		CHECK(n < DKIM_HEADERS_MAX);
		is_more = str_split(h, ':', &names[n], &h);
		names[n] = str_trim(names[n]);
		for (size_t i = 0; i < n; i++)
			below += str_eq_ci(names[i], names[n]);
		if (!find(header, names[n], below, &field))
			continue;
		naive_field(field, canon, out);
		put(out, STR("\r\n"));
	}
}
