#include <openssl/evp.h>

#include "base/enc.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "standards/dkim/dkim_internal.h"
#include "standards/dkim/dkim_key.h"
#include "standards/dkim/test_dkim_naive.h"

static bool
is_hash_of(const uint8_t *hash, struct str text)
{
	uint8_t want[DKIM_HASH_BYTES];

	naive_hash(text, want);
	return memcmp(hash, want, sizeof(want)) == 0;
}

/* The hash of a body that comes in pieces of so many bytes. */
static void
body_hash(struct str body, enum dkim_canon canon, size_t piece, uint8_t out[DKIM_HASH_BYTES])
{
	struct dkim_body b;

	dkim_body_init(&b, canon);
	for (; body.n > 0; body = str_from(body, piece))
		dkim_body_put(&b, str_take(body, piece));
	dkim_body_end(&b, out);
	dkim_body_fini(&b);
}

/* ---- RFC 6376 3.4.3, 3.4.4 ---- */

static const struct {
	struct str in, simple, relaxed;
} bodies[] = {
    /* RFC 6376 3.4.5 */
    {STR_INIT(" C \r\nD \t E\r\n\r\n\r\n"), STR_INIT(" C \r\nD \t E\r\n"),
	STR_INIT(" C\r\nD E\r\n")},
    {STR_INIT(""), STR_INIT("\r\n"), STR_INIT("")},
    {STR_INIT("\r\n"), STR_INIT("\r\n"), STR_INIT("")},
    {STR_INIT("\r\n\r\n\r\n"), STR_INIT("\r\n"), STR_INIT("")},
    {STR_INIT(" \t\r\n \r\n"), STR_INIT(" \t\r\n \r\n"), STR_INIT("")},
    {STR_INIT("a"), STR_INIT("a\r\n"), STR_INIT("a\r\n")},
    {STR_INIT("a \t"), STR_INIT("a \t\r\n"), STR_INIT("a\r\n")},
    {STR_INIT("\r\n\r\na\r\n"), STR_INIT("\r\n\r\na\r\n"), STR_INIT("\r\n\r\na\r\n")},
    {STR_INIT("a\r\n \r\n\t\r\nb\r\n \r\n"), STR_INIT("a\r\n \r\n\t\r\nb\r\n \r\n"),
	STR_INIT("a\r\n\r\n\r\nb\r\n")},
    {STR_INIT("\ta\tb\t\tc \td\r\n"), STR_INIT("\ta\tb\t\tc \td\r\n"), STR_INIT(" a b c d\r\n")},
    {STR_INIT("  .\r\n.\r\n"), STR_INIT("  .\r\n.\r\n"), STR_INIT(" .\r\n.\r\n")},
    /* A bare CR or LF ends no line. */
    {STR_INIT("a\nb \n\n"), STR_INIT("a\nb \n\n\r\n"), STR_INIT("a\nb \n\n\r\n")},
    {STR_INIT("a\rb\r"), STR_INIT("a\rb\r\r\n"), STR_INIT("a\rb\r\r\n")},
    {STR_INIT("a \r \r\r\n"), STR_INIT("a \r \r\r\n"), STR_INIT("a \r \r\r\n")},
    {STR_INIT("\n\r\n"), STR_INIT("\n\r\n"), STR_INIT("\n\r\n")},
    {STR_INIT("a\r\n\r"), STR_INIT("a\r\n\r\r\n"), STR_INIT("a\r\n\r\r\n")},
    {STR_INIT("gr\xc3\xbc\xc3\x9f\xa0 \xff\r\n"), STR_INIT("gr\xc3\xbc\xc3\x9f\xa0 \xff\r\n"),
	STR_INIT("gr\xc3\xbc\xc3\x9f\xa0 \xff\r\n")},
    {STR_INIT("nul \0 \0\0\r\n"), STR_INIT("nul \0 \0\0\r\n"), STR_INIT("nul \0 \0\0\r\n")},
    {STR_INIT("seventeen bytes and more in one run, then  two\r\nand one more run, then one \r\n"),
	STR_INIT(
	    "seventeen bytes and more in one run, then  two\r\nand one more run, then one \r\n"),
	STR_INIT(
	    "seventeen bytes and more in one run, then two\r\nand one more run, then one\r\n")},
};

static void
bodies_are_canonical(void)
{
	uint8_t hash[DKIM_HASH_BYTES];

	for (size_t i = 0; i < COUNT_OF(bodies); i++)
		for (size_t piece = 1; piece <= bodies[i].in.n + 1; piece++) {
			body_hash(bodies[i].in, DKIM_SIMPLE, piece, hash);
			EXPECT(is_hash_of(hash, bodies[i].simple));
			body_hash(bodies[i].in, DKIM_RELAXED, piece, hash);
			EXPECT(is_hash_of(hash, bodies[i].relaxed));
		}
}

static void
expect_base64(const uint8_t *p, size_t n, struct str want)
{
	struct buf text;

	buf_init(&text, 1000);
	EXPECT(base64_encode(str_of(p, n), &text) == ST_OK);
	EXPECT_STR(buf_str(&text), want);
	buf_fini(&text);
}

static void
empty_bodies_are_those_of_the_rfc(void)
{
	uint8_t hash[DKIM_HASH_BYTES];

	body_hash(STR(""), DKIM_SIMPLE, 1, hash);
	expect_base64(hash, sizeof(hash), STR("frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY="));
	body_hash(STR(""), DKIM_RELAXED, 1, hash);
	expect_base64(hash, sizeof(hash), STR("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="));
}

static char
random_byte(struct prng *r)
{
	static const char often[] = "  \t\r\n\r\n";
	uint64_t v = prng_below(r, 24);

	return v < 7 ? often[v] : (char)('a' + v);
}

/* Where a body is cut never matters, also in the middle of a CRLF or of white space. */
static void
cuts_do_not_matter(void)
{
	char text[400];
	uint8_t hash[DKIM_HASH_BYTES];
	struct buf want;
	struct prng r;

	prng_init(&r, 6376);
	buf_init(&want, 500);
	for (int round = 0; round < 3000; round++) {
		enum dkim_canon canon = round % 2 == 0 ? DKIM_RELAXED : DKIM_SIMPLE;
		struct str body = str_of(text, prng_below(&r, sizeof(text)));
		struct dkim_body b;

		for (size_t i = 0; i < body.n;) {
			bool is_crlf = prng_below(&r, 12) == 0 && i + 1 < body.n;

			text[i++] = is_crlf ? '\r' : random_byte(&r);
			if (is_crlf)
				text[i++] = '\n';
		}
		buf_reset(&want);
		naive_body(body, canon, &want);
		dkim_body_init(&b, canon);
		while (body.n > 0) {
			size_t n = prng_below(&r, prng_below(&r, 2) == 0 ? 4 : 200);

			dkim_body_put(&b, str_take(body, n));
			body = str_from(body, n);
		}
		dkim_body_end(&b, hash);
		EXPECT(is_hash_of(hash, buf_str(&want)));
	}
	buf_fini(&want);
}

/* What relaxed changes is seen at every place of the 16 bytes that are looked at in one step. */
static void
white_space_is_seen_everywhere(void)
{
	static const struct str changes[] = {
	    STR_INIT("\t"), STR_INIT("  "), STR_INIT(" \t"), STR_INIT(" \r\n"), STR_INIT(" \rx")};
	uint8_t hash[DKIM_HASH_BYTES];
	struct buf body, want;

	buf_init(&body, 200);
	buf_init(&want, 200);
	for (size_t i = 0; i < COUNT_OF(changes); i++)
		for (size_t at = 0; at < 80; at++) {
			buf_reset(&body);
			buf_reset(&want);
			for (size_t k = 0; k < 80; k++)
				EXPECT(buf_put(&body, k == at ? changes[i] : STR("x")) == ST_OK);
			naive_body(buf_str(&body), DKIM_RELAXED, &want);
			body_hash(buf_str(&body), DKIM_RELAXED, body.n, hash);
			EXPECT(is_hash_of(hash, buf_str(&want)));
		}
	buf_fini(&body);
	buf_fini(&want);
}

static void
bodies_can_be_given_up(void)
{
	struct dkim_body b;

	dkim_body_init(&b, DKIM_RELAXED);
	dkim_body_put(&b, STR("some"));
	dkim_body_fini(&b);
	dkim_body_fini(&b);
	EXPECT(b.hash.ctx == NULL);
}

/* ---- RFC 6376 3.4.1, 3.4.2, 5.4.2 ---- */

static void
expect_headers(struct str header, struct str h, enum dkim_canon canon, struct str want)
{
	uint8_t hash[DKIM_HASH_BYTES];
	struct dkim_fields f;
	struct dkim_hash sum;
	struct arena a;

	arena_init(&a, DKIM_ARENA_BYTES);
	EXPECT(dkim_fields_split(header, &a, &f) == ST_OK);
	dkim_hash_init(&sum);
	dkim_headers_hash(&sum, &f, h, canon);
	dkim_hash_end(&sum, hash);
	if (!is_hash_of(hash, want))
		fprintf(stderr, "of \"%.*s\"\n", STR_ARG(header));
	EXPECT(is_hash_of(hash, want));
	arena_fini(&a);
}

static void
headers_are_canonical(void)
{
	static const struct {
		struct str in, h, simple, relaxed;
	} cases[] = {
	    /* RFC 6376 3.4.5 */
	    {STR_INIT("A: X\r\nB : Y\t\r\n\tZ  \r\n"), STR_INIT("a:b"),
		STR_INIT("A: X\r\nB : Y\t\r\n\tZ  \r\n"), STR_INIT("a:X\r\nb:Y Z\r\n")},
	    {STR_INIT("SUBJect: AbC\r\n"), STR_INIT("Subject"), STR_INIT("SUBJect: AbC\r\n"),
		STR_INIT("subject:AbC\r\n")},
	    /* From the bottom to the top (5.4.2), absent ones as nothing (5.4). */
	    {STR_INIT("R: <A>\r\nR: <B>\r\nr: <C>\r\n"), STR_INIT("R : R"),
		STR_INIT("r: <C>\r\nR: <B>\r\n"), STR_INIT("r:<C>\r\nr:<B>\r\n")},
	    {STR_INIT("A: 1\r\n"), STR_INIT("b:a:a:a:c"), STR_INIT("A: 1\r\n"),
		STR_INIT("a:1\r\n")},
	    {STR_INIT("A: 1\r\nAA: 2\r\n"), STR_INIT("aa:a"), STR_INIT("AA: 2\r\nA: 1\r\n"),
		STR_INIT("aa:2\r\na:1\r\n")},
	    /* Empty values, folds with nothing in them, no CRLF at the end. */
	    {STR_INIT("A:\r\nB:  \r\nC: \r\n \r\n\tx\r\n  \r\n"), STR_INIT("a:b:c"),
		STR_INIT("A:\r\nB:  \r\nC: \r\n \r\n\tx\r\n  \r\n"),
		STR_INIT("a:\r\nb:\r\nc:x\r\n")},
	    {STR_INIT("A: 1\r\nB: 2"), STR_INIT("b:a"), STR_INIT("B: 2\r\nA: 1\r\n"),
		STR_INIT("b:2\r\na:1\r\n")},
	    /* Colons, bare CR and LF, bytes beyond ASCII in the value. */
	    {STR_INIT("A: b: c \r d\n \xc3\xbc\xff\r\n"), STR_INIT("a"),
		STR_INIT("A: b: c \r d\n \xc3\xbc\xff\r\n"),
		STR_INIT("a:b: c \r d\n \xc3\xbc\xff\r\n")},
	    /* Lines that are no fields belong to none. */
	    {STR_INIT(" A: 0\r\nno field\r\n: x\r\nA: 1\r\n\xff: 2\r\n\r\nB: 3\r\n"),
		STR_INIT("a:b"), STR_INIT("A: 1\r\nB: 3\r\n"), STR_INIT("a:1\r\nb:3\r\n")},
	    {STR_INIT(""), STR_INIT("a"), STR_INIT(""), STR_INIT("")},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		expect_headers(cases[i].in, cases[i].h, DKIM_SIMPLE, cases[i].simple);
		expect_headers(cases[i].in, cases[i].h, DKIM_RELAXED, cases[i].relaxed);
	}
}

static void
fields_have_a_limit(void)
{
	struct dkim_fields f;
	struct arena a;
	struct buf header;

	arena_init(&a, DKIM_ARENA_BYTES);
	buf_init(&header, 10 * DKIM_FIELDS_MAX);
	for (size_t i = 0; i < DKIM_FIELDS_MAX; i++)
		EXPECT(buf_put(&header, STR("X: y\r\n")) == ST_OK);
	EXPECT(dkim_fields_split(buf_str(&header), &a, &f) == ST_OK && f.n == DKIM_FIELDS_MAX);
	EXPECT(dkim_fields_count(&f, STR("x")) == DKIM_FIELDS_MAX);
	EXPECT(buf_put(&header, STR("X: y\r\n")) == ST_OK);
	EXPECT(dkim_fields_split(buf_str(&header), &a, &f) == ST_LIMIT);
	arena_fini(&a);
	arena_init(&a, 64);
	EXPECT(dkim_fields_split(STR("A: 1\r\nB: 2\r\n"), &a, &f) == ST_LIMIT);
	arena_fini(&a);
	buf_fini(&header);
}

/* ---- tag lists, RFC 6376 3.2 ---- */

static void
tag_lists_are_read(void)
{
	static const struct {
		struct str list;
		enum status want;
		size_t n;
	} cases[] = {
	    {STR_INIT("v=1"), ST_OK, 1},
	    {STR_INIT(" v = 1 ; a=b ; "), ST_OK, 2},
	    {STR_INIT("b=;v=1;"), ST_OK, 2},
	    {STR_INIT("b=x\r\n y;\r\n\tc=d"), ST_OK, 2},
	    {STR_INIT("b=x==;B=y"), ST_OK, 2},
	    {STR_INIT("b_1=x"), ST_OK, 1},
	    {STR_INIT(""), ST_SYNTAX, 0},
	    {STR_INIT(";"), ST_SYNTAX, 0},
	    {STR_INIT("a=1;;"), ST_SYNTAX, 0},
	    {STR_INIT("a=1;b"), ST_SYNTAX, 0},
	    {STR_INIT("=1"), ST_SYNTAX, 0},
	    {STR_INIT("1a=1"), ST_SYNTAX, 0},
	    {STR_INIT("a-b=1"), ST_SYNTAX, 0},
	    {STR_INIT("a=1;b=2;a=3"), ST_SYNTAX, 0},
	    {STR_INIT("a=\x7f"), ST_SYNTAX, 0},
	    {STR_INIT("a=\xc3\xbc"), ST_SYNTAX, 0},
	    {STR_INIT("a=x\r\ny"), ST_SYNTAX, 0},
	    {STR_INIT("a=x\ny"), ST_SYNTAX, 0},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dkim_tags t = {.n = 0};
		enum status st = dkim_tags_parse(cases[i].list, &t);

		if (st != cases[i].want || t.n != cases[i].n)
			fprintf(stderr, "\"%.*s\"\n", STR_ARG(cases[i].list));
		EXPECT(st == cases[i].want && t.n == cases[i].n);
	}
}

static void
tags_are_found(void)
{
	struct dkim_tags t;
	struct str value;

	EXPECT(dkim_tags_parse(STR(" v=1; b = x\r\n y ; e=;"), &t) == ST_OK);
	EXPECT(dkim_tags_find(&t, STR("b"), &value));
	EXPECT_STR(value, STR("x\r\n y"));
	EXPECT(dkim_tags_find(&t, STR("e"), &value) && value.n == 0);
	EXPECT(!dkim_tags_find(&t, STR("B"), &value) && value.n == 0);
}

static void
tags_have_a_limit(void)
{
	struct dkim_tags t;
	struct buf list;

	buf_init(&list, 1000);
	for (int i = 0; i < DKIM_TAGS_MAX; i++)
		EXPECT(buf_putf(&list, "a%d=x;", i) == ST_OK);
	EXPECT(dkim_tags_parse(buf_str(&list), &t) == ST_OK && t.n == DKIM_TAGS_MAX);
	EXPECT(buf_put(&list, STR("b=x")) == ST_OK);
	EXPECT(dkim_tags_parse(buf_str(&list), &t) == ST_LIMIT);
	buf_fini(&list);
}

/* ---- signing ---- */

static const struct dkim_sign_conf usual = {.domain = STR_INIT("example.org"),
    .selector = STR_INIT("s1"),
    .algorithm = DKIM_ED25519_SHA256,
    .time_s = 1800000000};
static const uint8_t some_hash[DKIM_HASH_BYTES] = {1, 2, 3};

struct signing {
	struct arena a;
	struct dkim_sign s;
	uint8_t digest[DKIM_HASH_BYTES];
};

static enum status
begin(struct signing *t, const struct dkim_sign_conf *conf, struct str header)
{
	arena_init(&t->a, DKIM_ARENA_BYTES);
	memset(&t->s, 0, sizeof(t->s));
	return dkim_sign_begin(&t->s, conf, header, some_hash, &t->a, t->digest);
}

static enum status
begin_only(const struct dkim_sign_conf *conf, struct str header)
{
	struct signing t;
	enum status st = begin(&t, conf, header);

	EXPECT((t.s.field.n > 0) == (st == ST_OK));
	arena_fini(&t.a);
	return st;
}

/* The value of a tag of a finished or unfinished field, without white space, in text. */
static struct str
tag_of(struct str field, struct str name, struct buf *text)
{
	struct dkim_tags tags = {.n = 0};
	struct str value;

	buf_reset(text);
	EXPECT(str_has_prefix(field, STR("DKIM-Signature:")));
	EXPECT(dkim_tags_parse(str_trim(str_from(field, 15)), &tags) == ST_OK);
	EXPECT(dkim_tags_find(&tags, name, &value));
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] > ' ')
			EXPECT(buf_put_c(text, value.p[i]) == ST_OK);
	return buf_str(text);
}

static void
expect_list(struct str header, struct str want)
{
	struct signing t;
	struct buf text;

	buf_init(&text, 10000);
	EXPECT(begin(&t, &usual, header) == ST_OK);
	EXPECT_STR(tag_of(t.s.field, STR("h"), &text), want);
	arena_fini(&t.a);
	buf_fini(&text);
}

static void
fields_are_chosen(void)
{
	/* Five are listed once more than they are there, also when they are not. */
	expect_list(STR("From: a\r\n"), STR("from:from:to:subject:date:message-id"));
	expect_list(STR("From: a\r\nTo: b\r\nSubject: c\r\nDate: d\r\nMessage-ID: e\r\n"),
	    STR("from:from:to:to:subject:subject:date:date:message-id:message-id"));
	expect_list(STR("From: a\r\nFROM: a\r\nCc: b\r\nCC: c\r\n"),
	    STR("from:from:from:to:cc:cc:subject:date:message-id"));
	/* What servers on the way change is left out. */
	expect_list(STR("Return-Path: <a>\r\nReceived: b\r\nDKIM-Signature: c\r\n"
			"Authentication-Results: d\r\nBcc: e\r\nDelivered-To: f\r\nComments: g\r\n"
			"Keywords: h\r\nResent-Bcc: i\r\nX-Mailer: j\r\nFrom: k\r\n"),
	    STR("from:from:to:subject:date:message-id"));
	/* Everything else that is signed, in any case. */
	expect_list(
	    STR("RESENT-Message-ID: x\r\nresent-cc: x\r\nresent-to: x\r\nresent-sender: x\r\n"
		"resent-from: x\r\nresent-date: x\r\nlist-help: x\r\nlist-archive: x\r\n"
		"list-owner: x\r\nlist-post: x\r\nlist-subscribe: x\r\nlist-unsubscribe-post: x\r\n"
		"list-unsubscribe: x\r\nlist-id: x\r\ncontent-description: x\r\ncontent-id: x\r\n"
		"content-transfer-encoding: x\r\ncontent-type: x\r\nMIME-VERSION: x\r\nsender: "
		"x\r\n"
		"reply-to: x\r\nreferences: x\r\nin-reply-to: x\r\nmessage-id: x\r\ndate: x\r\n"
		"subject: x\r\ncc: x\r\nto: x\r\nfrom: x\r\n"),
	    STR("from:from:to:to:cc:subject:subject:date:date:message-id:message-id:in-reply-to:"
		"references:reply-to:sender:mime-version:content-type:content-transfer-encoding:"
		"content-id:content-description:list-id:list-unsubscribe:list-unsubscribe-post:"
		"list-subscribe:list-post:list-owner:list-archive:list-help:resent-date:resent-"
		"from:"
		"resent-sender:resent-to:resent-cc:resent-message-id"));
}

static void
names_have_a_limit(void)
{
	struct dkim_sign_conf conf = usual;
	struct buf header, list;

	buf_init(&header, 20000);
	buf_init(&list, 10000);
	EXPECT(buf_put(&header, STR("From: a\r\n")) == ST_OK);
	EXPECT(buf_put(&list, STR("from")) == ST_OK);
	/* From twice, four that are absent. */
	for (int i = 6; i < DKIM_HEADERS_MAX; i++)
		EXPECT(buf_put(&header, STR("Content-Transfer-Encoding: b\r\n")) == ST_OK);
	for (int i = 1; i < DKIM_HEADERS_MAX; i++)
		EXPECT(buf_put(&list, STR(":content-transfer-encoding")) == ST_OK);
	EXPECT(begin_only(&usual, buf_str(&header)) == ST_OK);
	/* With as many fields as there may be, the arena has room for all of it. */
	for (int i = DKIM_HEADERS_MAX - 5; i < DKIM_FIELDS_MAX; i++)
		EXPECT(buf_put(&header, STR("X: y\r\n")) == ST_OK);
	EXPECT(begin_only(&usual, buf_str(&header)) == ST_OK);
	conf.headers = buf_str(&list);
	EXPECT(begin_only(&conf, buf_str(&header)) == ST_OK);
	header.n -= STR("X: y\r\n").n;
	EXPECT(buf_put(&list, STR(":a")) == ST_OK);
	conf.headers = buf_str(&list);
	EXPECT(begin_only(&conf, buf_str(&header)) == ST_LIMIT);
	EXPECT(buf_put(&header, STR("Cc: b\r\n")) == ST_OK);
	EXPECT(begin_only(&usual, buf_str(&header)) == ST_LIMIT);

	buf_reset(&list);
	EXPECT(buf_put(&list, STR("from:")) == ST_OK);
	while (list.n < DKIM_HEADERS_BYTES_MAX)
		EXPECT(buf_put_c(&list, 'x') == ST_OK);
	conf.headers = buf_str(&list);
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_OK);
	EXPECT(buf_put_c(&list, 'x') == ST_OK);
	conf.headers = buf_str(&list);
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_LIMIT);
	buf_fini(&header);
	buf_fini(&list);
}

static void
bad_messages_are_refused(void)
{
	struct dkim_sign_conf conf = usual;
	struct signing t;

	EXPECT(begin_only(&usual, STR("")) == ST_NOTFOUND);
	EXPECT(begin_only(&usual, STR("To: a\r\nX-From: b\r\n")) == ST_NOTFOUND);
	EXPECT(begin_only(&usual, STR(" From: b\r\n")) == ST_NOTFOUND);
	conf.headers = STR("from");
	EXPECT(begin_only(&conf, STR("To: a\r\n")) == ST_NOTFOUND);
	EXPECT(begin_only(&usual, STR("From:\r\n")) == ST_OK);
	/* Enough for the fields, not for the text. */
	arena_init(&t.a, 256);
	EXPECT(dkim_sign_begin(&t.s, &usual, STR("From: a\r\n"), some_hash, &t.a, t.digest) ==
	       ST_LIMIT);
	arena_fini(&t.a);
}

static void
domains_are_checked(void)
{
	static const struct {
		struct str domain, selector;
		enum status want;
	} cases[] = {
	    {STR_INIT("example.org"), STR_INIT("s1"), ST_OK},
	    {STR_INIT("xn--bcher-kva.example"), STR_INIT("a.b-c.2026"), ST_OK},
	    {STR_INIT("org"), STR_INIT("s1"), ST_SYNTAX},
	    {STR_INIT(""), STR_INIT("s1"), ST_SYNTAX},
	    {STR_INIT("example.org."), STR_INIT("s1"), ST_SYNTAX},
	    {STR_INIT("example..org"), STR_INIT("s1"), ST_SYNTAX},
	    {STR_INIT("b\xc3\xbc"
		      "cher.example"),
		STR_INIT("s1"), ST_SYNTAX},
	    {STR_INIT("[192.0.2.1]"), STR_INIT("s1"), ST_SYNTAX},
	    {STR_INIT("example.org; x=y"), STR_INIT("s1"), ST_SYNTAX},
	    {STR_INIT("example.org\r\nX: y"), STR_INIT("s1"), ST_SYNTAX},
	    {STR_INIT("example.org"), STR_INIT(""), ST_SYNTAX},
	    {STR_INIT("example.org"), STR_INIT("s_1"), ST_SYNTAX},
	    {STR_INIT("example.org"), STR_INIT("s1;"), ST_SYNTAX},
	    {STR_INIT("example.org"), STR_INIT("\xc3\xbc"), ST_SYNTAX},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dkim_sign_conf conf = usual;
		struct buf name;

		conf.domain = cases[i].domain;
		conf.selector = cases[i].selector;
		EXPECT(begin_only(&conf, STR("From: a\r\n")) == cases[i].want);
		buf_init(&name, 1000);
		EXPECT(
		    dkim_record_name(cases[i].selector, cases[i].domain, &name) == cases[i].want);
		EXPECT((name.n > 0) == (cases[i].want == ST_OK));
		buf_fini(&name);
	}
}

/* "_domainkey" and the dots between need 12 of the 253. */
static void
domains_have_a_limit(void)
{
	static const char label[] = "a123456789b123456789c123456789d123456789e123456789f12345678";
	struct dkim_sign_conf conf = usual;
	struct buf domain, name;

	buf_init(&domain, 300);
	buf_init(&name, 300);
	for (int i = 0; i < 4; i++)
		EXPECT(buf_putf(&domain, "%s.", label) == ST_OK);
	EXPECT(domain.n == 240);
	domain.n -= 1;
	conf.domain = buf_str(&domain);
	conf.selector = STR("ab");
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_OK);
	EXPECT(dkim_record_name(conf.selector, conf.domain, &name) == ST_OK);
	EXPECT(name.n == DKIM_NAME_BYTES_MAX);
	conf.selector = STR("abc");
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_LIMIT);
	buf_reset(&name);
	EXPECT(dkim_record_name(conf.selector, conf.domain, &name) == ST_LIMIT && name.n == 0);
	/* Labels of 64 octets are none. */
	conf = usual;
	conf.selector = STR("a123456789b123456789c123456789d123456789e123456789f123456789abc");
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_OK);
	conf.selector = STR("a123456789b123456789c123456789d123456789e123456789f123456789abcd");
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_SYNTAX);
	buf_fini(&domain);
	buf_fini(&name);
}

static void
identities_are_checked(void)
{
	static const struct {
		struct str identity;
		enum status want;
		struct str tag;
	} cases[] = {
	    {STR_INIT("@example.org"), ST_OK, STR_INIT("@example.org")},
	    {STR_INIT("joe@example.org"), ST_OK, STR_INIT("joe@example.org")},
	    {STR_INIT("joe@SUB.Example.org"), ST_OK, STR_INIT("joe@SUB.Example.org")},
	    {STR_INIT("a=b@example.org"), ST_OK, STR_INIT("a=3Db@example.org")},
	    {STR_INIT("\"a; b\"@example.org"), ST_OK, STR_INIT("\"a=3B=20b\"@example.org")},
	    {STR_INIT("j\xc3\xb6@example.org"), ST_OK, STR_INIT("j=C3=B6@example.org")},
	    {STR_INIT("joe@badexample.org"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("joe@org"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("joe@example.net"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("joe@b\xc3\xbc"
		      "cher.example.org"),
		ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("joe"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("joe@"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a b@example.org"), ST_SYNTAX, STR_INIT("")},
	};
	struct buf text;

	buf_init(&text, 1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dkim_sign_conf conf = usual;
		struct signing t;

		conf.identity = cases[i].identity;
		EXPECT(begin(&t, &conf, STR("From: a\r\n")) == cases[i].want);
		if (cases[i].want == ST_OK)
			EXPECT_STR(tag_of(t.s.field, STR("i"), &text), cases[i].tag);
		arena_fini(&t.a);
	}
	buf_fini(&text);
}

static void
identities_have_a_limit(void)
{
	struct dkim_sign_conf conf = usual;
	char text[DKIM_IDENTITY_BYTES_MAX + 1];

	/* Too long a local part is no address; beyond the limit nobody looks. */
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 12, "@example.org", 12);
	conf.identity = str_of(text + 1, DKIM_IDENTITY_BYTES_MAX);
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_SYNTAX);
	conf.identity = str_of(text, DKIM_IDENTITY_BYTES_MAX + 1);
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_LIMIT);
	conf.identity = str_of(text + sizeof(text) - 12 - 64, 12 + 64);
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_OK);
	conf.identity = str_of(text + sizeof(text) - 12 - 65, 12 + 65);
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_SYNTAX);
}

static void
lists_are_checked(void)
{
	static const struct {
		struct str headers;
		enum status want;
	} cases[] = {
	    {STR_INIT("from"), ST_OK},
	    {STR_INIT("To : From"), ST_OK},
	    {STR_INIT("to"), ST_SYNTAX},
	    {STR_INIT("from:"), ST_SYNTAX},
	    {STR_INIT("from::to"), ST_SYNTAX},
	    {STR_INIT("from:a b"), ST_SYNTAX},
	    {STR_INIT("from:a;b"), ST_SYNTAX},
	    {STR_INIT("from:\r\n to"), ST_SYNTAX},
	    {STR_INIT("from:\tto"), ST_SYNTAX},
	    {STR_INIT("from:\xc3\xbc"), ST_SYNTAX},
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dkim_sign_conf conf = usual;

		conf.headers = cases[i].headers;
		EXPECT(begin_only(&conf, STR("From: a\r\n")) == cases[i].want);
	}
}

static void
times_are_written(void)
{
	struct dkim_sign_conf conf = usual;
	struct signing t;
	struct buf text;

	buf_init(&text, 1000);
	conf.expires_s = 86400;
	EXPECT(begin(&t, &conf, STR("From: a\r\n")) == ST_OK);
	EXPECT_STR(tag_of(t.s.field, STR("t"), &text), STR("1800000000"));
	EXPECT_STR(tag_of(t.s.field, STR("x"), &text), STR("1800086400"));
	arena_fini(&t.a);
	EXPECT(begin(&t, &usual, STR("From: a\r\n")) == ST_OK);
	EXPECT(str_find(t.s.field, STR("x=")) == t.s.field.n);
	arena_fini(&t.a);
	conf.time_s = DKIM_TIME_MAX - conf.expires_s;
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_OK);
	conf.time_s++;
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_LIMIT);
	conf.expires_s = 0;
	conf.time_s = DKIM_TIME_MAX;
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_OK);
	conf.time_s++;
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_LIMIT);
	conf.time_s = 1;
	conf.expires_s = UINT64_MAX;
	EXPECT(begin_only(&conf, STR("From: a\r\n")) == ST_LIMIT);
	buf_fini(&text);
}

/* What is hashed: the fields of h=, then our own with b= empty and without CRLF (RFC 6376 3.7). */
static void
digests_cover_the_field(void)
{
	static const struct str header =
	    STR_INIT("Received: x\r\nFrom:  a \r\n\t b\r\nSUBJECT: c\r\n");

	for (int canon = DKIM_RELAXED; canon <= DKIM_SIMPLE; canon++) {
		struct dkim_sign_conf conf = usual;
		struct signing t;
		struct buf text;

		buf_init(&text, 10000);
		conf.header_canon = (enum dkim_canon)canon;
		EXPECT(begin(&t, &conf, header) == ST_OK);
		EXPECT(buf_put(&text, canon == DKIM_SIMPLE
					  ? STR("From:  a \r\n\t b\r\nSUBJECT: c\r\n")
					  : STR("from:a b\r\nsubject:c\r\n")) == ST_OK);
		EXPECT(buf_put(&text,
			   canon == DKIM_SIMPLE
			       ? STR("DKIM-Signature: v=1; a=ed25519-sha256; c=simple/relaxed; "
				     "d=example.org;\r\n"
				     " q=dns/txt; s=s1; t=1800000000; "
				     "h=from:from:to:subject:subject:date:\r\n"
				     " message-id; "
				     "bh=AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=;\r\n b=")
			       : STR("dkim-signature:v=1; a=ed25519-sha256; c=relaxed/relaxed; "
				     "d=example.org;"
				     " q=dns/txt; s=s1; t=1800000000;"
				     " h=from:from:to:subject:subject:date: message-id;"
				     " bh=AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=")) ==
		       ST_OK);
		EXPECT(is_hash_of(t.digest, buf_str(&text)));
		arena_fini(&t.a);
		buf_fini(&text);
	}
}

static void
expect_lines(struct str field, size_t columns_max)
{
	struct cur c = cur_of(field);
	struct str line;
	bool is_first = true;

	while (cur_take_line(&c, &line)) {
		EXPECT(line.n <= columns_max);
		EXPECT(is_first || (line.n > 1 && line.p[0] == ' ' && line.p[1] != ' '));
		is_first = false;
	}
	EXPECT(cur_at_end(&c));
}

/* Any length of domain and of signature: lines of 76 columns, and what was put in comes out. */
static void
fields_are_folded(void)
{
	static const size_t lengths[] = {128, 256, 257, 512};
	static uint8_t signature[DKIM_RSA_SIGNATURE_BYTES_MAX];
	struct buf out, text, want;

	buf_init(&out, DKIM_FIELD_BYTES_MAX);
	buf_init(&text, 10000);
	buf_init(&want, 1000);
	for (size_t i = 0; i < sizeof(signature); i++)
		signature[i] = (uint8_t)(7 * i);
	for (size_t n = 1; n < 63; n++) {
		static const char label[] =
		    "a123456789b123456789c123456789d123456789e123456789f123456789xyz";
		struct dkim_sign_conf conf = usual;
		struct signing t;
		struct str bytes = str_of(signature, lengths[n % COUNT_OF(lengths)]);

		conf.algorithm = DKIM_RSA_SHA256;
		conf.selector = str_of(label, n);
		EXPECT(begin(&t, &conf, STR("From: a\r\nReferences: b\r\nMIME-Version: 1\r\n")) ==
		       ST_OK);
		buf_reset(&out);
		EXPECT(dkim_sign_end(&t.s, bytes, &out) == ST_OK);
		expect_lines(buf_str(&out), 76);
		EXPECT_STR(tag_of(buf_str(&out), STR("s"), &text), conf.selector);
		EXPECT_STR(tag_of(buf_str(&out), STR("h"), &text),
		    STR("from:from:to:subject:date:message-id:references:mime-version"));
		buf_reset(&want);
		EXPECT(base64_encode(bytes, &want) == ST_OK);
		EXPECT_STR(tag_of(buf_str(&out), STR("b"), &text), buf_str(&want));
		arena_fini(&t.a);
	}
	buf_fini(&out);
	buf_fini(&text);
	buf_fini(&want);
}

static void
signatures_have_lengths(void)
{
	static const struct {
		enum dkim_algorithm algorithm;
		size_t n;
		enum status want;
	} cases[] = {
	    {DKIM_ED25519_SHA256, 63, ST_LIMIT},
	    {DKIM_ED25519_SHA256, 64, ST_OK},
	    {DKIM_ED25519_SHA256, 65, ST_LIMIT},
	    {DKIM_RSA_SHA256, 127, ST_LIMIT}, /* RFC 8301 3.2 */
	    {DKIM_RSA_SHA256, 128, ST_OK},
	    {DKIM_RSA_SHA256, 512, ST_OK},
	    {DKIM_RSA_SHA256, 513, ST_LIMIT},
	};
	static const uint8_t bytes[600];
	struct buf out;

	buf_init(&out, DKIM_FIELD_BYTES_MAX);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct dkim_sign_conf conf = usual;
		struct signing t;

		conf.algorithm = cases[i].algorithm;
		EXPECT(begin(&t, &conf, STR("From: a\r\n")) == ST_OK);
		buf_reset(&out);
		EXPECT(buf_put_c(&out, 'x') == ST_OK);
		EXPECT(dkim_sign_end(&t.s, str_of(bytes, cases[i].n), &out) == cases[i].want);
		EXPECT((out.n > 1) == (cases[i].want == ST_OK));
		arena_fini(&t.a);
	}
	buf_fini(&out);
}

static void
full_output_stays_as_it_is(void)
{
	static const uint8_t bytes[64];
	struct signing t;
	struct buf out, small;

	buf_init(&out, DKIM_FIELD_BYTES_MAX);
	EXPECT(begin(&t, &usual, STR("From: a\r\n")) == ST_OK);
	EXPECT(dkim_sign_end(&t.s, str_of(bytes, 64), &out) == ST_OK);
	buf_init(&small, out.n);
	EXPECT(dkim_sign_end(&t.s, str_of(bytes, 64), &small) == ST_OK);
	EXPECT(dkim_sign_end(&t.s, str_of(bytes, 64), &small) == ST_LIMIT && small.n == out.n);
	buf_reset(&small);
	EXPECT(buf_put_c(&small, 'x') == ST_OK);
	EXPECT(dkim_sign_end(&t.s, str_of(bytes, 64), &small) == ST_LIMIT && small.n == 1);
	arena_fini(&t.a);
	buf_fini(&out);
	buf_fini(&small);
}

/* ---- RFC 8463 appendix A ---- */

static const struct str rfc8463_header =
    STR_INIT("From: Joe SixPack <joe@football.example.com>\r\n"
	     "To: Suzie Q <suzie@shopping.example.net>\r\n"
	     "Subject: Is dinner ready?\r\n"
	     "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
	     "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n");
static const struct str rfc8463_body =
    STR_INIT("Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n\r\n");
#define RFC8463_ED25519 "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
#define RFC8463_RSA                                                        \
	"MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi" \
	"Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM" \
	"KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB" \
	"AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm" \
	"6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe" \
	"zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy" \
	"6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc" \
	"uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy" \
	"WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd" \
	"WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a" \
	"licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst" \
	"o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe" \
	"uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL"

static EVP_PKEY *
rfc8463_key(enum dkim_algorithm algorithm)
{
	struct buf der;
	const unsigned char *p;
	EVP_PKEY *key;

	buf_init(&der, 1000);
	EXPECT(base64_decode(algorithm == DKIM_RSA_SHA256 ? STR(RFC8463_RSA) : STR(RFC8463_ED25519),
		   &der) == ST_OK);
	p = (const unsigned char *)der.p;
	if (algorithm == DKIM_RSA_SHA256)
		key = d2i_AutoPrivateKey(NULL, &p, (long)der.n);
	else
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, p, der.n);
	buf_fini(&der);
	EXPECT(key != NULL);
	return key;
}

static void
expect_rfc8463(
    enum dkim_algorithm algorithm, struct str selector, struct str want_record, struct str want_b)
{
	struct dkim_sign_conf conf = {.domain = STR("football.example.com"),
	    .selector = selector,
	    .algorithm = algorithm,
	    .time_s = 1528637909,
	    .identity = STR("@football.example.com"),
	    .headers = STR("from : to : subject : date : message-id : from : subject : date")};
	EVP_PKEY *key = rfc8463_key(algorithm);
	uint8_t hash[DKIM_HASH_BYTES], digest[DKIM_HASH_BYTES];
	struct buf signature, out, text;
	struct dkim_sign s;
	struct arena a;

	arena_init(&a, DKIM_ARENA_BYTES);
	buf_init(&signature, 1000);
	buf_init(&out, DKIM_FIELD_BYTES_MAX);
	buf_init(&text, 1000);
	body_hash(rfc8463_body, DKIM_RELAXED, 7, hash);
	expect_base64(hash, sizeof(hash), STR("2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="));
	EXPECT(dkim_sign_begin(&s, &conf, rfc8463_header, hash, &a, digest) == ST_OK);
	EXPECT(dkim_key_sign(key, algorithm, digest, &signature) == ST_OK);
	EXPECT(dkim_sign_end(&s, buf_str(&signature), &out) == ST_OK);
	EXPECT_STR(tag_of(buf_str(&out), STR("b"), &text), want_b);

	buf_reset(&out);
	buf_reset(&text);
	EXPECT(dkim_key_public(key, algorithm, &text) == ST_OK);
	EXPECT(dkim_record_put(&out, algorithm, buf_str(&text)) == ST_OK);
	EXPECT_STR(buf_str(&out), want_record);
	EVP_PKEY_free(key);
	arena_fini(&a);
	buf_fini(&signature);
	buf_fini(&out);
	buf_fini(&text);
}

static void
signatures_are_those_of_the_rfc(void)
{
	expect_rfc8463(DKIM_ED25519_SHA256, STR("brisbane"),
	    STR("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="),
	    STR("/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
		"Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="));
	expect_rfc8463(DKIM_RSA_SHA256, STR("test"),
	    STR("v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWR"
		"iGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC"
		"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
		"Ip3G+2kryOTIKT+l/K4w3QIDAQAB"),
	    STR("F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3"
		"DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz"
		"dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8="));
}

/* ---- key records ---- */

static void
records_are_checked(void)
{
	static const char der[] = "\x30\x03\x02\x01\x05", raw[33];
	struct buf out, name;

	buf_init(&out, 1000);
	buf_init(&name, 30);
	EXPECT(dkim_record_put(&out, DKIM_RSA_SHA256, str_of(der, 5)) == ST_OK);
	EXPECT_STR(buf_str(&out), STR("v=DKIM1; k=rsa; p=MAMCAQU="));
	buf_reset(&out);
	EXPECT(dkim_record_put(&out, DKIM_RSA_SHA256, str_of(der, 4)) == ST_SYNTAX);
	EXPECT(dkim_record_put(&out, DKIM_RSA_SHA256, str_of(der, 6)) == ST_SYNTAX);
	EXPECT(dkim_record_put(&out, DKIM_RSA_SHA256, str_of(raw, 32)) == ST_SYNTAX);
	EXPECT(dkim_record_put(&out, DKIM_RSA_SHA256, STR("")) == ST_SYNTAX);
	EXPECT(dkim_record_put(&out, DKIM_ED25519_SHA256, str_of(raw, 31)) == ST_SYNTAX);
	EXPECT(dkim_record_put(&out, DKIM_ED25519_SHA256, str_of(raw, 33)) == ST_SYNTAX);
	EXPECT(out.n == 0);
	EXPECT(dkim_record_put(&out, DKIM_ED25519_SHA256, str_of(raw, 32)) == ST_OK);
	EXPECT(dkim_record_name(STR("s1"), STR("example.org"), &name) == ST_OK);
	EXPECT_STR(buf_str(&name), STR("s1._domainkey.example.org"));
	EXPECT(dkim_record_name(STR("s1"), STR("example.org"), &name) == ST_LIMIT && name.n == 25);
	EXPECT(dkim_record_put(&name, DKIM_ED25519_SHA256, str_of(raw, 32)) == ST_LIMIT);
	EXPECT(name.n == 25);
	buf_fini(&out);
	buf_fini(&name);
}

static void
public_keys_have_a_limit(void)
{
	static char der[DKIM_PUBLIC_BYTES_MAX + 1] = "\x30\x82";
	struct buf out;

	buf_init(&out, 2000);
	der[2] = (char)((DKIM_PUBLIC_BYTES_MAX - 4) >> 8);
	der[3] = (char)((DKIM_PUBLIC_BYTES_MAX - 4) & 0xff);
	EXPECT(dkim_record_put(&out, DKIM_RSA_SHA256, str_of(der, DKIM_PUBLIC_BYTES_MAX)) == ST_OK);
	EXPECT(out.n <= DKIM_RECORD_BYTES_MAX);
	der[3]++;
	EXPECT(dkim_record_put(&out, DKIM_RSA_SHA256, str_of(der, sizeof(der))) == ST_LIMIT);
	buf_fini(&out);
}

int
main(void)
{
	dkim_preload();
	UNIT(bodies_are_canonical);
	UNIT(empty_bodies_are_those_of_the_rfc);
	UNIT(cuts_do_not_matter);
	UNIT(white_space_is_seen_everywhere);
	UNIT(bodies_can_be_given_up);
	UNIT(headers_are_canonical);
	UNIT(fields_have_a_limit);
	UNIT(tag_lists_are_read);
	UNIT(tags_are_found);
	UNIT(tags_have_a_limit);
	UNIT(fields_are_chosen);
	UNIT(names_have_a_limit);
	UNIT(bad_messages_are_refused);
	UNIT(domains_are_checked);
	UNIT(domains_have_a_limit);
	UNIT(identities_are_checked);
	UNIT(identities_have_a_limit);
	UNIT(lists_are_checked);
	UNIT(times_are_written);
	UNIT(digests_cover_the_field);
	UNIT(fields_are_folded);
	UNIT(signatures_have_lengths);
	UNIT(full_output_stays_as_it_is);
	UNIT(signatures_are_those_of_the_rfc);
	UNIT(records_are_checked);
	UNIT(public_keys_have_a_limit);
	return unit_end();
}
