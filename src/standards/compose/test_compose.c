#include "base/cur.h"
#include "base/num.h"
#include "base/unit.h"
#include "standards/compose/compose.h"
#include "standards/compose/compose_internal.h"

#define FROM "From: Alice <alice@example.org>\r\n"
#define DATE "Date: Mon, 23 Nov 2026 14:58:32 +0100\r\n"
#define ID "Message-ID: <1@example.org>\r\n"
#define FULL FROM DATE ID
#define OUR_DATE "Date: Wed, 25 Nov 2026 10:00:00 +0000\r\n"
#define OUR_ID(domain) "Message-ID: <u.1@" domain ">\r\n"

/* 2026-11-25 10:00:00 UTC */
static const struct compose_given given = {.now = 1795600800,
    .hostname = STR_INIT("mail.example"),
    .unique = STR_INIT("u.1"),
    .login = STR_INIT("alice@example.org")};

struct outcome {
	struct buf out, addresses;
	struct compose_facts facts;
	enum compose_verdict verdict;
};

static void
compose(struct outcome *o, struct str header)
{
	*o = (struct outcome){0};
	buf_init(&o->out, header.n + COMPOSE_ADDED_MAX);
	buf_init(&o->addresses, COMPOSE_AUTHORS_BYTES_MAX);
	o->verdict = compose_header(header, &given, &o->out, &o->addresses, &o->facts);
}

static void
outcome_fini(struct outcome *o)
{
	buf_fini(&o->out);
	buf_fini(&o->addresses);
}

/* With a space between. */
static void
expect_addresses(const struct outcome *o, struct str want)
{
	struct cur c = cur_of(buf_str(&o->addresses));
	struct buf got;
	struct str one;

	buf_init(&got, COMPOSE_AUTHORS_BYTES_MAX * 2);
	while (cur_str16(&c, &one)) {
		if (got.n > 0)
			(void)buf_put_c(&got, ' ');
		(void)buf_put(&got, one);
	}
	EXPECT(cur_at_end(&c));
	EXPECT_STR(buf_str(&got), want);
	buf_fini(&got);
}

static void
headers_are_mended(void)
{
	static const struct {
		struct str in, out;
	} rows[] = {
	    {STR_INIT(FULL "\r\n"), STR_INIT(FULL "\r\n")},
	    /* Without its empty line, and without its last line end. */
	    {STR_INIT(FULL), STR_INIT(FULL "\r\n")},
	    {STR_INIT(FULL "Subject: x"), STR_INIT(FULL "Subject: x\r\n\r\n")},
	    /* RFC 6409 8.2, 8.3 */
	    {STR_INIT(FROM "Subject: x\r\n\r\n"), STR_INIT(FROM "Subject: x\r\n" OUR_DATE OUR_ID("example.org") "\r\n")},
	    {STR_INIT(FROM ID "\r\n"), STR_INIT(FROM ID OUR_DATE "\r\n")},
	    {STR_INIT(FROM DATE "\r\n"), STR_INIT(FROM DATE OUR_ID("example.org") "\r\n")},
	    {STR_INIT("From: a@[192.0.2.1]\r\n" DATE "\r\n"), STR_INIT("From: a@[192.0.2.1]\r\n" DATE OUR_ID("mail.example") "\r\n")},
	    {STR_INIT("From: a@b\xc3\xbc" "cher.example\r\n" DATE "\r\n"),
	        STR_INIT("From: a@b\xc3\xbc" "cher.example\r\n" DATE OUR_ID("xn--bcher-kva.example") "\r\n")},
	    /* There, but of no use. */
	    {STR_INIT(FROM "Date: soon\r\n" ID "\r\n"), STR_INIT(FROM ID OUR_DATE "\r\n")},
	    {STR_INIT(FROM DATE "Message-ID: none\r\n\r\n"), STR_INIT(FROM DATE OUR_ID("example.org") "\r\n")},
	    {STR_INIT(FROM DATE "Message-ID: <@x>\r\n\r\n"), STR_INIT(FROM DATE OUR_ID("example.org") "\r\n")},
	    {STR_INIT(FROM DATE "Message-ID:\r\n <folded@x>\r\n\r\n"), STR_INIT(FROM DATE "Message-ID:\r\n <folded@x>\r\n\r\n")},
	    /* RFC 5322 3.6.3, RFC 5321 4.4 */
	    {STR_INIT(FULL "Bcc: secret@x\r\n\tand more\r\nTo: b@x\r\n\r\n"), STR_INIT(FULL "To: b@x\r\n\r\n")},
	    {STR_INIT("Return-Path: <x@y>\r\nBCC : s@x\r\nResent-Bcc: s@x\r\nbcc:\r\n" FULL "\r\n"), STR_INIT(FULL "\r\n")},
	    {STR_INIT(FULL "X-Bcc: stays\r\nReceived: stays\r\n\r\n"), STR_INIT(FULL "X-Bcc: stays\r\nReceived: stays\r\n\r\n")},
	    /* RFC 5322 3.6.2 */
	    {STR_INIT("From: a@x, b@x\r\n" DATE ID "\r\n"), STR_INIT("From: a@x, b@x\r\n" DATE ID "Sender: alice@example.org\r\n\r\n")},
	    {STR_INIT("From: a@x, b@x\r\nSender: b@x\r\n" DATE ID "\r\n"), STR_INIT("From: a@x, b@x\r\nSender: b@x\r\n" DATE ID "\r\n")},
	    {STR_INIT("From: a@x, b@x\r\nSender: \r\n" DATE ID "\r\n"), STR_INIT("From: a@x, b@x\r\n" DATE ID "Sender: alice@example.org\r\n\r\n")},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct outcome o;
		compose(&o, rows[i].in);
		EXPECT(o.verdict == COMPOSE_OK);
		EXPECT_STR(buf_str(&o.out), rows[i].out);
		outcome_fini(&o);
	}
}

static void
headers_are_refused(void)
{
	static const struct {
		struct str in;
		enum compose_verdict verdict;
	} rows[] = {
	    {STR_INIT(""), COMPOSE_NO_FROM},
	    {STR_INIT("\r\n"), COMPOSE_NO_FROM},
	    {STR_INIT("Just a text\r\n"), COMPOSE_NO_FROM},
	    {STR_INIT("Subject: x\r\n\r\n"), COMPOSE_NO_FROM},
	    {STR_INIT("X-From: a@x\r\n\r\n"), COMPOSE_NO_FROM},
	    {STR_INIT(FULL FROM "\r\n"), COMPOSE_TWICE},
	    {STR_INIT(FULL "from : b@x\r\n\r\n"), COMPOSE_TWICE},
	    {STR_INIT(FULL DATE "\r\n"), COMPOSE_TWICE},
	    {STR_INIT(FULL ID "\r\n"), COMPOSE_TWICE},
	    {STR_INIT(FULL "Subject: 1\r\nSUBJECT: 2\r\n\r\n"), COMPOSE_TWICE},
	    {STR_INIT(FULL "Sender: a@x\r\nSender: a@x\r\n\r\n"), COMPOSE_TWICE},
	    {STR_INIT(FULL "Sender: a@x, b@x\r\n\r\n"), COMPOSE_SENDER},
	    {STR_INIT(FULL "Sender: me\r\n\r\n"), COMPOSE_SENDER},
	    {STR_INIT("From alice Mon Nov 23\r\n" FULL "\r\n"), COMPOSE_LINE},
	    {STR_INIT(" folded without a start\r\n" FULL "\r\n"), COMPOSE_LINE},
	    {STR_INIT(FULL "no field\r\nTo: x@y\r\n\r\n"), COMPOSE_LINE},
	    {STR_INIT(FULL "no field\r\n\r\n"), COMPOSE_LINE},
	    {STR_INIT(FULL "no field"), COMPOSE_LINE},
	    {STR_INIT(FULL "N\xc3\xa4me: x\r\n\r\n"), COMPOSE_LINE},
	    {STR_INIT(FULL "Subject: a\nBcc: x\r\n\r\n"), COMPOSE_BYTES},
	    {STR_INIT(FULL "Subject: a\rBcc: x\r\n\r\n"), COMPOSE_BYTES},
	    {STR_INIT(FULL "Subject: a\0b\r\n\r\n"), COMPOSE_BYTES},
	    {STR_INIT("\n" FULL "\r\n"), COMPOSE_BYTES},
	    {STR_INIT(FULL "Subject: x\r"), COMPOSE_BYTES},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct outcome o;
		compose(&o, rows[i].in);
		if (o.verdict != rows[i].verdict)
			fprintf(stderr, "row %zu: %d\n", i, (int)o.verdict);
		EXPECT(o.verdict == rows[i].verdict && o.out.n == 0 && o.addresses.n == 0);
		outcome_fini(&o);
	}
}

static void
authors_are_told(void)
{
	static const struct {
		struct str from, addresses;
		uint32_t n;
	} rows[] = {
	    {STR_INIT("alice@example.org"), STR_INIT("alice@example.org"), 1},
	    {STR_INIT("<alice@example.org>"), STR_INIT("alice@example.org"), 1},
	    {STR_INIT("\"Doe, \\\"J\\\" <x@y>\" <j@x> (not <z@z>)"), STR_INIT("j@x"), 1},
	    {STR_INIT("bob@other <alice@x>"), STR_INIT("alice@x"), 1},
	    {STR_INIT("=?utf-8?q?A_=3Cb=40c=3E?= <a@x>"), STR_INIT("a@x"), 1},
	    {STR_INIT("A. B. <a@x>,\r\n \"C\" <c@y>, d@z"), STR_INIT("a@x c@y d@z"), 3},
	    {STR_INIT("We: a@x, b@x;"), STR_INIT("a@x b@x"), 2},
	    {STR_INIT("\"a b\"@x"), STR_INIT("\"a b\"@x"), 1},
	    {STR_INIT("\"plain\"@x"), STR_INIT("plain@x"), 1},
	    {STR_INIT("\"q\\\"q\"@x"), STR_INIT("\"q\\\"q\"@x"), 1},
	    {STR_INIT("a@[IPv6:2001:db8::1]"), STR_INIT("a@[IPv6:2001:db8::1]"), 1},
	    {STR_INIT("<a@[IPv6:2001:db8::1]>"), STR_INIT("a@[IPv6:2001:db8::1]"), 1},
	    {STR_INIT("J\xc3\xbcrgen <j\xc3\xbc@b\xc3\xbc" "cher.example>"), STR_INIT("j\xc3\xbc@b\xc3\xbc" "cher.example"), 1},
	    /* RFC 5322 4.4: spaces and comments around the dots and the @ */
	    {STR_INIT("<a (c) @ x . y>"), STR_INIT("a@x.y"), 1},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct outcome o = {0};
		uint32_t n = 0;
		buf_init(&o.addresses, COMPOSE_AUTHORS_BYTES_MAX);
		EXPECT(compose_authors(rows[i].from, &o.addresses, &n) == COMPOSE_OK && n == rows[i].n);
		expect_addresses(&o, rows[i].addresses);
		buf_fini(&o.addresses);
	}
}

static void
authors_are_refused(void)
{
	static const struct str rows[] = {STR_INIT(""), STR_INIT("  "), STR_INIT("Alice"), STR_INIT("alice@"), STR_INIT("@x"),
	    STR_INIT("nobody:;"), STR_INIT("<>"), STR_INIT("a@x, Bob"), STR_INIT("a@x_y"), STR_INIT("<a@x> <b@x>"), STR_INIT("<a@x> b@x"),
	    STR_INIT("<a@x>, <b@x"), STR_INIT("<<a@x>>"), STR_INIT("a@x>"), STR_INIT("\"open <a@x>"), STR_INIT("(open <a@x>"),
	    STR_INIT("a@x)"), STR_INIT("<@r:a@x>"), STR_INIT("<a@x,b@x>"), STR_INIT("<a@x>\"b\"@x"), STR_INIT("<a@[1.2.3.4>"),
	    STR_INIT("a@x\\")};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf addresses;
		uint32_t n = 0;
		buf_init(&addresses, COMPOSE_AUTHORS_BYTES_MAX);
		if (compose_authors(rows[i], &addresses, &n) != COMPOSE_FROM)
			fprintf(stderr, "row %zu: %.*s\n", i, STR_ARG(rows[i]));
		EXPECT(compose_authors(rows[i], &addresses, &n) == COMPOSE_FROM && addresses.n == 0);
		buf_fini(&addresses);
	}
}

static void
facts_are_told(void)
{
	struct outcome o;

	compose(&o, STR("From: a@x\r\nSender: s@x\r\nSubject: Gr\xc3\xbc\xc3\x9f" "e\r\n\r\n"));
	EXPECT(o.verdict == COMPOSE_OK && o.facts.authors_n == 1 && o.facts.is_8bit && o.facts.is_utf8);
	EXPECT(o.facts.has_sender && !o.facts.has_date && !o.facts.has_message_id);
	expect_addresses(&o, STR("a@x s@x"));
	outcome_fini(&o);
	compose(&o, STR("From: a@x\r\nSubject: Gr\xfc\xdf" "e\r\n\r\n"));
	EXPECT(o.verdict == COMPOSE_OK && o.facts.is_8bit && !o.facts.is_utf8);
	outcome_fini(&o);
	compose(&o, STR(FULL));
	EXPECT(o.verdict == COMPOSE_OK && !o.facts.is_8bit && !o.facts.is_utf8 && o.facts.has_date && o.facts.has_message_id);
	outcome_fini(&o);
}

static void
the_end_of_a_header_is_found(void)
{
	static const struct {
		struct str bytes;
		size_t end;
	} rows[] = {
	    {STR_INIT("\r\nbody"), 2}, {STR_INIT("A: b\r\n\r\nbody"), 8}, {STR_INIT("A: b\r\n\r\n\r\n\r\n"), 8}, {STR_INIT("A: b\r\n"), 0},
	    {STR_INIT("A: b\r\n \r\nC: d\r\n\r\n"), 17}, {STR_INIT("A: b\n\nbody\r\n"), 0}, {STR_INIT(""), 0}, {STR_INIT("\r"), 0}};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		for (size_t piece = 1; piece < 20; piece++) {
			size_t end = 0, seen = 0;
			for (size_t n = piece; end == 0 && seen < rows[i].bytes.n; n += piece) {
				end = compose_header_end(str_take(rows[i].bytes, n), seen);
				seen = size_min(n, rows[i].bytes.n);
			}
			EXPECT(end == rows[i].end);
		}
}

/* FULL, then n fields of bytes each in all, then the empty line. */
static enum compose_verdict
verdict_of_many(size_t n, size_t bytes)
{
	struct outcome o;
	struct buf b;
	enum compose_verdict v;

	buf_init(&b, COMPOSE_HEADER_MAX * 2);
	(void)buf_put(&b, STR(FULL));
	for (size_t i = 0; i < n; i++) {
		(void)buf_put(&b, STR("X:"));
		for (size_t k = 4; k < bytes; k++)
			(void)buf_put_c(&b, 'x');
		(void)buf_put(&b, STR("\r\n"));
	}
	(void)buf_put(&b, STR("\r\n"));
	compose(&o, buf_str(&b));
	v = o.verdict;
	outcome_fini(&o);
	buf_fini(&b);
	return v;
}

static void
limits_hold(void)
{
	static const size_t rest = COMPOSE_HEADER_MAX - (sizeof(FULL "\r\n") - 1);

	EXPECT(verdict_of_many(1, rest) == COMPOSE_OK);
	EXPECT(verdict_of_many(1, rest + 1) == COMPOSE_TOO_LONG);
	EXPECT(verdict_of_many(COMPOSE_FIELDS_MAX - 3, 5) == COMPOSE_OK);
	EXPECT(verdict_of_many(COMPOSE_FIELDS_MAX - 2, 5) == COMPOSE_TOO_LONG);
}

static enum compose_verdict
verdict_of_authors(size_t n, uint32_t *n_out)
{
	struct buf list, addresses;
	enum compose_verdict v;

	buf_init(&list, COMPOSE_HEADER_MAX);
	buf_init(&addresses, COMPOSE_AUTHORS_BYTES_MAX);
	for (size_t i = 0; i < n; i++)
		(void)buf_putf(&list, "%s%064zu@%059zu.%063d.%063d", i > 0 ? ", " : "", i, i, 1, 2);
	v = compose_authors(buf_str(&list), &addresses, n_out);
	buf_fini(&list);
	buf_fini(&addresses);
	return v;
}

static void
authors_have_a_limit(void)
{
	uint32_t n;

	EXPECT(verdict_of_authors(COMPOSE_AUTHORS_MAX, &n) == COMPOSE_OK && n == COMPOSE_AUTHORS_MAX);
	EXPECT(verdict_of_authors(COMPOSE_AUTHORS_MAX + 1, &n) == COMPOSE_AUTHORS);
	/* Past what the mime library counts. */
	EXPECT(verdict_of_authors(1001, &n) == COMPOSE_AUTHORS);
}

static void
refusals_have_their_text(void)
{
	for (int v = COMPOSE_OK + 1; v <= COMPOSE_SENDER; v++) {
		const struct compose_reply *r = compose_reply((enum compose_verdict)v);
		EXPECT((r->code == 550 || r->code == 552) && str_has_prefix(r->text, STR("5.")) && r->text.n < 100);
	}
}

int
main(void)
{
	UNIT(headers_are_mended);
	UNIT(headers_are_refused);
	UNIT(authors_are_told);
	UNIT(authors_are_refused);
	UNIT(facts_are_told);
	UNIT(the_end_of_a_header_is_found);
	UNIT(limits_hold);
	UNIT(authors_have_a_limit);
	UNIT(refusals_have_their_text);
	return unit_end();
}
