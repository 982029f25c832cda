/*
 * Fuzz: a message, cut at its first empty line, signed with every canonicalisation. The hashes are
 * those of a slow second implementation, however the body is cut; the field that comes out is a tag
 * list that says what went in, in lines of 76 columns. The first byte chooses where bodies are cut.
 */
#include "base/check.h"
#include "base/enc.h"
#include "standards/dkim/dkim_internal.h"
#include "standards/dkim/test_dkim_naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
hash_in_pieces(struct str body, enum dkim_canon canon, size_t piece, uint8_t *out)
{
	struct dkim_body b;

	dkim_body_init(&b, canon);
	for (; body.n > 0; body = str_from(body, piece))
		dkim_body_put(&b, str_take(body, piece));
	dkim_body_end(&b, out);
}

static void
body_check(struct str body, enum dkim_canon canon, size_t piece, uint8_t out[DKIM_HASH_BYTES])
{
	uint8_t want[DKIM_HASH_BYTES];
	struct buf text;

	buf_init(&text, body.n + 2);
	naive_body(body, canon, &text);
	naive_hash(buf_str(&text), want);
	hash_in_pieces(body, canon, body.n + 1, out);
	CHECK(memcmp(out, want, sizeof(want)) == 0);
	hash_in_pieces(body, canon, piece, out);
	CHECK(memcmp(out, want, sizeof(want)) == 0);
	buf_fini(&text);
}

static void
digest_check(const struct dkim_sign *s, const struct dkim_sign_conf *conf, struct str header,
    const uint8_t *digest)
{
	uint8_t want[DKIM_HASH_BYTES];
	struct dkim_tags tags;
	struct str h;
	struct buf text;

	buf_init(&text, header.n + s->field.n + 2000);
	CHECK(dkim_tags_parse(str_from(s->field, STR("DKIM-Signature:").n), &tags) == ST_OK);
	CHECK(dkim_tags_find(&tags, STR("h"), &h));
	naive_headers(header, h, conf->header_canon, &text);
	naive_field(s->field, conf->header_canon, &text);
	naive_hash(buf_str(&text), want);
	CHECK(memcmp(digest, want, sizeof(want)) == 0);
	buf_fini(&text);
}

static void
field_check(struct str field)
{
	struct cur c = cur_of(field);
	struct str line;

	CHECK(str_has_prefix(field, STR("DKIM-Signature: v=1; ")));
	while (cur_take_line(&c, &line))
		CHECK(line.n <= 76 && line.n > 1);
	CHECK(cur_at_end(&c));
}

static void
sign(const struct dkim_sign_conf *conf, struct str header, const uint8_t *body_hash)
{
	static const uint8_t signature[256] = {1, 2, 3};
	uint8_t digest[DKIM_HASH_BYTES];
	struct dkim_sign s;
	struct arena a;
	struct buf out;
	enum status st;

	arena_init(&a, DKIM_ARENA_BYTES);
	buf_init(&out, DKIM_FIELD_BYTES_MAX);
	st = dkim_sign_begin(&s, conf, header, body_hash, &a, digest);
	CHECK(st == ST_OK || st == ST_NOTFOUND || st == ST_LIMIT);
	CHECK(!a.full);
	if (st == ST_OK) {
		digest_check(&s, conf, header, digest);
		CHECK(dkim_sign_end(&s,
			  str_of(signature, conf->algorithm == DKIM_RSA_SHA256 ? 256 : 64),
			  &out) == ST_OK);
		field_check(buf_str(&out));
	}
	arena_fini(&a);
	buf_fini(&out);
}

static void
list_check(struct str s)
{
	struct dkim_tags tags;
	struct str value;

	if (dkim_tags_parse(s, &tags) != ST_OK)
		return;
	CHECK(tags.n > 0 && tags.n <= DKIM_TAGS_MAX);
	for (size_t i = 0; i < tags.n; i++)
		CHECK(dkim_tags_find(&tags, tags.v[i].name, &value) &&
		      value.p == tags.v[i].value.p && value.n == tags.v[i].value.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dkim_sign_conf conf = {
	    .domain = STR("example.org"), .selector = STR("s1"), .time_s = 1000};
	struct str message = str_from(str_of(data, size), 1);
	size_t cut = str_find(message, STR("\r\n\r\n"));
	struct str header = str_take(message, cut + 2), body = str_from(message, cut + 4);
	size_t piece = size > 0 ? data[0] % 40 + 1u : 1;
	uint8_t body_hash[DKIM_HASH_BYTES];

	for (int i = 0; i < 8; i++) {
		conf.header_canon = (i & 1) != 0 ? DKIM_SIMPLE : DKIM_RELAXED;
		conf.body_canon = (i & 2) != 0 ? DKIM_SIMPLE : DKIM_RELAXED;
		conf.algorithm = (i & 4) != 0 ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256;
		if (i < 4)
			body_check(body, conf.body_canon, piece, body_hash);
		sign(&conf, header, body_hash);
	}
	list_check(message);
	return 0;
}
