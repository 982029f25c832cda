#include "base/enc.h"
#include "base/num.h"
#include "standards/address/address.h"
#include "standards/dkim/dkim_internal.h"

#define COLUMNS 76
/* Below this many columns b= begins on a new line. */
#define SIGNATURE_COLUMNS_MIN 20

/*
 * The fields that a reader sees or a program acts on (RFC 6376 5.4.1), in the order of h=. Not
 * Return-Path, Received, Comments, Keywords (the same section), Bcc, Delivered-To and
 * Authentication-Results, which servers on the way add or take, nor DKIM-Signature.
 */
static const struct {
	struct str name;
	bool is_oversigned; /* RFC 6376 8.15: once more than there are, so that none can be added */
} signed_fields[] = {
    {STR_INIT("from"), true},
    {STR_INIT("to"), true},
    {STR_INIT("cc"), false},
    {STR_INIT("subject"), true},
    {STR_INIT("date"), true},
    {STR_INIT("message-id"), true},
    {STR_INIT("in-reply-to"), false},
    {STR_INIT("references"), false},
    {STR_INIT("reply-to"), false},
    {STR_INIT("sender"), false},
    {STR_INIT("mime-version"), false},
    {STR_INIT("content-type"), false},
    {STR_INIT("content-transfer-encoding"), false},
    {STR_INIT("content-id"), false},
    {STR_INIT("content-description"), false},
    {STR_INIT("list-id"), false},
    {STR_INIT("list-unsubscribe"), false},
    {STR_INIT("list-unsubscribe-post"), false}, /* RFC 8058 4 */
    {STR_INIT("list-subscribe"), false},
    {STR_INIT("list-post"), false},
    {STR_INIT("list-owner"), false},
    {STR_INIT("list-archive"), false},
    {STR_INIT("list-help"), false},
    {STR_INIT("resent-date"), false},
    {STR_INIT("resent-from"), false},
    {STR_INIT("resent-sender"), false},
    {STR_INIT("resent-to"), false},
    {STR_INIT("resent-cc"), false},
    {STR_INIT("resent-message-id"), false},
};

/* ---- what h= says ---- */

static enum status
headers_choose(const struct dkim_fields *f, struct buf *out)
{
	size_t total = 0;

	for (size_t i = 0; i < COUNT_OF(signed_fields); i++) {
		size_t n = dkim_fields_count(f, signed_fields[i].name);

		n += signed_fields[i].is_oversigned;
		total += n;
		if (total > DKIM_HEADERS_MAX)
			return ST_LIMIT;
		for (; n > 0; n--) {
			if (out->n > 0)
				(void)buf_put_c(out, ':');
			(void)buf_put(out, signed_fields[i].name);
		}
	}
	return out->full ? ST_LIMIT : ST_OK;
}

static enum status
headers_check(struct str headers)
{
	struct str rest = headers, name;
	bool has_from = false;
	size_t n = 0;

	if (headers.n > DKIM_HEADERS_BYTES_MAX)
		return ST_LIMIT;
	if (str_find_char(headers, '\r') < headers.n || str_find_char(headers, '\n') < headers.n ||
	    str_find_char(headers, '\t') < headers.n)
		return ST_SYNTAX;
	while (dkim_headers_next(&rest, &name)) {
		if (!dkim_name_is_ok(name))
			return ST_SYNTAX;
		has_from |= str_eq_ci(name, STR("from"));
		n++;
	}
	if (!has_from)
		return ST_SYNTAX; /* RFC 6376 5.4: From MUST be signed */
	return n > DKIM_HEADERS_MAX ? ST_LIMIT : ST_OK;
}

/* ---- what can be said at all ---- */

static bool
is_within(struct str name, struct str domain)
{
	return str_has_suffix_ci(name, domain) &&
	       (name.n == domain.n || name.p[name.n - domain.n - 1] == '.');
}

static enum status
identity_check(struct str identity, struct str domain)
{
	size_t at = str_find_char_last(identity, '@');
	struct address a;
	enum status st;

	if (identity.n == 0)
		return ST_OK;
	if (identity.n > DKIM_IDENTITY_BYTES_MAX)
		return ST_LIMIT;
	st = at < identity.n ? dkim_domain_check(str_from(identity, at + 1)) : ST_SYNTAX;
	/* RFC 6376 3.5, i=: the same domain as d=, or one below it; the local part may be missing
	 */
	if (st == ST_OK && !is_within(str_from(identity, at + 1), domain))
		st = ST_SYNTAX;
	if (st == ST_OK && at > 0 && address_parse(identity, true, &a) != ST_OK)
		st = ST_SYNTAX;
	return st;
}

static enum status
conf_check(const struct dkim_sign_conf *conf)
{
	enum status st = dkim_domain_check(conf->domain);

	if (st == ST_OK)
		st = dkim_selector_check(conf->selector);
	if (st == ST_OK &&
	    conf->selector.n + STR("._domainkey.").n + conf->domain.n > DKIM_NAME_BYTES_MAX)
		st = ST_LIMIT;
	if (st == ST_OK)
		st = identity_check(conf->identity, conf->domain);
	if (st == ST_OK &&
	    (conf->time_s > DKIM_TIME_MAX || conf->expires_s > DKIM_TIME_MAX - conf->time_s))
		st = ST_LIMIT;
	return st;
}

/* ---- the field, written with its folds ---- */

struct writer {
	struct buf *out;
	size_t column;
};

/* A fold where the space would be (RFC 5322 2.2.3), when the line has no room for n bytes more. */
static void
put_space(struct writer *w, bool has_space, size_t n)
{
	if (w->column + has_space + n > COLUMNS) {
		(void)buf_put(w->out, STR("\r\n "));
		w->column = 1;
	} else if (has_space) {
		(void)buf_put_c(w->out, ' ');
		w->column++;
	}
}

static void
put_word(struct writer *w, struct str word)
{
	(void)buf_put(w->out, word);
	w->column += word.n;
}

/* " name=value;" */
static void
put_tag(struct writer *w, struct str name, struct str value)
{
	put_space(w, true, name.n + 1 + value.n + 1);
	put_word(w, name);
	put_word(w, STR("="));
	put_word(w, value);
	put_word(w, STR(";"));
}

static void
put_number(struct writer *w, struct str name, uint64_t value)
{
	char digits[21];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)value);

	put_tag(w, name, str_of(digits, (size_t)n));
}

/* RFC 6376 2.11: dkim-quoted-printable. */
static void
put_identity(struct writer *w, struct str identity)
{
	static const char hex[] = "0123456789ABCDEF";
	char text[3 * DKIM_IDENTITY_BYTES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < identity.n; i++) {
		unsigned char c = (unsigned char)identity.p[i];

		if (c > ' ' && c <= '~' && c != ';' && c != '=') {
			text[n++] = (char)c;
			continue;
		}
		text[n++] = '=';
		text[n++] = hex[c >> 4];
		text[n++] = hex[c & 15];
	}
	put_tag(w, STR("i"), str_of(text, n));
}

static size_t
piece_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != ' ' && (n == 0 || s.p[n - 1] != ':'))
		n++;
	return n;
}

/* " h=a:b:c;", folded behind colons and where the value has spaces. */
static void
put_headers(struct writer *w, struct str headers)
{
	struct str rest = headers;
	bool has_space = true;

	while (rest.n > 0) {
		bool is_first = rest.p == headers.p;
		size_t n = piece_length(rest);

		put_space(w, has_space, n + 1 + (is_first ? 2 : 0));
		if (is_first)
			put_word(w, STR("h="));
		put_word(w, str_take(rest, n));
		rest = str_from(rest, n);
		has_space = rest.n > 0 && rest.p[0] == ' ';
		while (rest.n > 0 && rest.p[0] == ' ')
			rest = str_from(rest, 1);
	}
	put_word(w, STR(";"));
}

static void
put_body_hash(struct writer *w, const uint8_t body_hash[DKIM_HASH_BYTES])
{
	struct buf text;

	buf_init(&text, BASE64_SIZE(DKIM_HASH_BYTES));
	(void)base64_encode(str_of(body_hash, DKIM_HASH_BYTES), &text);
	put_tag(w, STR("bh"), buf_str(&text));
	buf_fini(&text);
}

static struct str
canon_name(const struct dkim_sign_conf *conf)
{
	if (conf->header_canon == DKIM_RELAXED)
		return conf->body_canon == DKIM_RELAXED ? STR("relaxed/relaxed")
							: STR("relaxed/simple");
	return conf->body_canon == DKIM_RELAXED ? STR("simple/relaxed") : STR("simple/simple");
}

/* RFC 6376 3.5. The order is that of RFC 8463's example; b= comes last, empty. */
static void
put_field(struct writer *w, const struct dkim_sign_conf *conf, struct str headers,
    const uint8_t body_hash[DKIM_HASH_BYTES])
{
	put_word(w, STR("DKIM-Signature: v=1;"));
	put_tag(w, STR("a"), dkim_algorithm_name(conf->algorithm));
	put_tag(w, STR("c"), canon_name(conf));
	put_tag(w, STR("d"), conf->domain);
	if (conf->identity.n > 0)
		put_identity(w, conf->identity);
	put_tag(w, STR("q"), STR("dns/txt"));
	put_tag(w, STR("s"), conf->selector);
	put_number(w, STR("t"), conf->time_s);
	if (conf->expires_s > 0)
		put_number(w, STR("x"), conf->time_s + conf->expires_s);
	put_headers(w, headers);
	put_body_hash(w, body_hash);
	put_space(w, true, SIGNATURE_COLUMNS_MIN);
	put_word(w, STR("b="));
}

/* ---- the two steps ---- */

/* RFC 6376 3.7, hash step 2 */
static void
digest_make(struct dkim_fields *f, const struct dkim_sign_conf *conf, struct str headers,
    struct str field, uint8_t digest_out[DKIM_HASH_BYTES])
{
	struct dkim_field own = {.whole = field};
	struct dkim_hash h;

	CHECK(str_split(field, ':', &own.name, &own.value));
	dkim_hash_init(&h);
	dkim_headers_hash(&h, f, headers, conf->header_canon);
	dkim_field_hash(&h, &own, conf->header_canon); /* without a CRLF */
	dkim_hash_end(&h, digest_out);
}

/* The list as it is in conf, or ours in scratch. */
static enum status
headers_get(const struct dkim_sign_conf *conf, const struct dkim_fields *f, struct buf *scratch,
    struct str *out)
{
	enum status st;

	if (dkim_fields_count(f, STR("from")) == 0)
		return ST_NOTFOUND;
	st = conf->headers.n > 0 ? headers_check(conf->headers) : headers_choose(f, scratch);
	*out = conf->headers.n > 0 ? conf->headers : buf_str(scratch);
	return st;
}

enum status
dkim_sign_begin(struct dkim_sign *s, const struct dkim_sign_conf *conf, struct str header,
    const uint8_t body_hash[DKIM_HASH_BYTES], struct arena *a, uint8_t digest_out[DKIM_HASH_BYTES])
{
	struct dkim_sign made = {.algorithm = conf->algorithm};
	struct dkim_fields fields;
	struct buf list, text;
	struct writer w = {.out = &text};
	struct str headers;
	enum status st = conf_check(conf);

	buf_init(&list, DKIM_HEADERS_BYTES_MAX);
	buf_init(&text, DKIM_FIELD_BYTES_MAX);
	if (st == ST_OK)
		st = dkim_fields_split(header, a, &fields);
	if (st == ST_OK)
		st = headers_get(conf, &fields, &list, &headers);
	if (st != ST_OK)
		goto out;
	put_field(&w, conf, headers, body_hash);
	st = text.full ? ST_LIMIT : arena_str(a, buf_str(&text), &made.field);
	if (st != ST_OK)
		goto out;
	made.column = w.column;
	digest_make(&fields, conf, headers, made.field, digest_out);
	*s = made;
out:
	buf_fini(&list);
	buf_fini(&text);
	return st;
}

static bool
signature_length_is_ok(const struct dkim_sign *s, size_t n)
{
	if (s->algorithm == DKIM_ED25519_SHA256)
		return n == DKIM_ED25519_SIGNATURE_BYTES;
	/* RFC 8301 3.2 */
	return n >= DKIM_RSA_SIGNATURE_BYTES_MIN && n <= DKIM_RSA_SIGNATURE_BYTES_MAX;
}

/* RFC 6376 3.5, b=: white space in it is ignored, so lines may end anywhere. */
static void
put_signature(struct writer *w, struct str base64)
{
	while (base64.n > 0) {
		struct str line;

		put_space(w, false, 1);
		line = str_take(base64, COLUMNS - w->column);
		put_word(w, line);
		base64 = str_from(base64, line.n);
	}
}

enum status
dkim_sign_end(const struct dkim_sign *s, struct str signature, struct buf *out)
{
	struct buf base64, text;
	struct writer w = {.out = &text};
	enum status st;

	if (!signature_length_is_ok(s, signature.n))
		return ST_LIMIT;
	buf_init(&base64, BASE64_SIZE(DKIM_RSA_SIGNATURE_BYTES_MAX));
	buf_init(&text, DKIM_FIELD_BYTES_MAX + 2 * BASE64_SIZE(DKIM_RSA_SIGNATURE_BYTES_MAX));
	(void)base64_encode(signature, &base64);
	put_word(&w, s->field);
	w.column = s->column;
	put_signature(&w, buf_str(&base64));
	put_word(&w, STR("\r\n"));
	CHECK(!text.full);
	st = buf_put(out, buf_str(&text));
	buf_fini(&base64);
	buf_fini(&text);
	return st;
}
