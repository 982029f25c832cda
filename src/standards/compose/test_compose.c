#include "base/cur.h"
#include "base/num.h"
#include "base/unit.h"
#include "standards/compose/compose.h"

static const struct compose_given given = {
    .now = 1700000000, .hostname = STR_INIT("mx.example.org"), .unique = STR_INIT("u.1"), .login = STR_INIT("me@example.org")};

#define DATE "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
#define ID "Message-ID: <u.1@example.org>\r\n"

struct row {
	const char *what;
	struct str header, out, addresses; /* addresses: with a space between */
};

static const struct row rows[] = {
    {"complete", STR_INIT("From: me@example.org\r\nDate: Mon, 13 Nov 2023 01:02:03 +0100\r\nMessage-ID: <x@y>\r\n\r\n"),
	STR_INIT("From: me@example.org\r\nDate: Mon, 13 Nov 2023 01:02:03 +0100\r\nMessage-ID: <x@y>\r\n\r\n"), STR_INIT("me@example.org ")},
    {"nothing but From", STR_INIT("From: Me <me@example.org>\r\n\r\n"), STR_INIT("From: Me <me@example.org>\r\n" DATE ID "\r\n"),
	STR_INIT("me@example.org ")},
    {"Bcc goes", STR_INIT("Bcc: a@b,\r\n c@d\r\nFrom: me@example.org\r\nbcc: e@f\r\nReturn-Path: <x@y>\r\nTo: t@u\r\n\r\n"),
	STR_INIT("From: me@example.org\r\nTo: t@u\r\n" DATE ID "\r\n"), STR_INIT("me@example.org ")},
    {"unusable ones give way", STR_INIT("Date: yesterday\r\nMessage-ID: none\r\nFrom: me@example.org\r\n\r\n"),
	STR_INIT("From: me@example.org\r\n" DATE ID "\r\n"), STR_INIT("me@example.org ")},
    {"two authors have a sender", STR_INIT("From: me@example.org, you@example.net\r\n" DATE "Message-ID: <x@y>\r\n\r\n"),
	STR_INIT("From: me@example.org, you@example.net\r\n" DATE "Message-ID: <x@y>\r\nSender: me@example.org\r\n\r\n"),
	STR_INIT("me@example.org you@example.net ")},
    {"the sender is told, too", STR_INIT("From: me@example.org\r\nSender: s@example.org\r\n" DATE "Message-ID: <x@y>\r\n\r\n"),
	STR_INIT("From: me@example.org\r\nSender: s@example.org\r\n" DATE "Message-ID: <x@y>\r\n\r\n"),
	STR_INIT("me@example.org s@example.org ")},
    {"a header alone", STR_INIT("From: me@example.org\r\nSubject: x"), STR_INIT("From: me@example.org\r\nSubject: x\r\n" DATE ID "\r\n"),
	STR_INIT("me@example.org ")},
    {"quoted", STR_INIT("From: \"a <b@c>, d\" <\"me too\"@example.org>\r\n" DATE "Message-ID: <x@y>\r\n\r\n"),
	STR_INIT("From: \"a <b@c>, d\" <\"me too\"@example.org>\r\n" DATE "Message-ID: <x@y>\r\n\r\n"), STR_INIT("\"me too\"@example.org ")},
};

static void
headers_are_mended(void)
{
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf out, addresses, shown;
		struct compose_facts facts;
		struct cur c;
		struct str one;

		buf_init(&out, 100000);
		buf_init(&addresses, COMPOSE_AUTHORS_BYTES_MAX);
		buf_init(&shown, 10000);
		EXPECT(compose_header(rows[i].header, &given, &out, &addresses, &facts) == COMPOSE_OK);
		EXPECT_STR(buf_str(&out), rows[i].out);
		c = cur_of(buf_str(&addresses));
		while (cur_str16(&c, &one)) {
			(void)buf_put(&shown, one);
			(void)buf_put_c(&shown, ' ');
		}
		EXPECT_STR(buf_str(&shown), rows[i].addresses);
		buf_fini(&out);
		buf_fini(&addresses);
		buf_fini(&shown);
	}
}

static const struct {
	struct str header;
	enum compose_verdict verdict;
} refused[] = {
    {STR_INIT("\r\n"), COMPOSE_NO_FROM},
    {STR_INIT("hello, this is no header\r\n\r\n"), COMPOSE_NO_FROM},
    {STR_INIT("Subject: x\r\n\r\n"), COMPOSE_NO_FROM},
    {STR_INIT("From: me@example.org\r\nthis is no field\r\n\r\n"), COMPOSE_LINE},
    {STR_INIT("From: me@example.org\r\nFrom: you@example.org\r\n\r\n"), COMPOSE_TWICE},
    {STR_INIT("From: me@example.org\r\nSubject: a\r\nSubject: b\r\n\r\n"), COMPOSE_TWICE},
    {STR_INIT("From: me\r\n\r\n"), COMPOSE_FROM},
    {STR_INIT("From:\r\n\r\n"), COMPOSE_FROM},
    {STR_INIT("From: <a@x> <b@x>\r\n\r\n"), COMPOSE_FROM},
    {STR_INIT("From: a@x <b@x\r\n\r\n"), COMPOSE_FROM},
    {STR_INIT("From: \"open <a@x>\r\n\r\n"), COMPOSE_FROM},
    {STR_INIT("From: <@r:a@x>\r\n\r\n"), COMPOSE_FROM},
    {STR_INIT("From: me@example.org\r\nSender: a@x, b@x\r\n\r\n"), COMPOSE_SENDER},
    {STR_INIT("From: me@example.org\r\nSubject: a\nb\r\n\r\n"), COMPOSE_BYTES},
    {STR_INIT("From: me@example.org\r\nSubject: a\rb\r\n\r\n"), COMPOSE_BYTES},
    {STR_INIT("From: me@example.org\r\nSubject: a\0b\r\n\r\n"), COMPOSE_BYTES},
};

static void
what_two_could_read_in_two_ways_is_refused(void)
{
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		struct buf out, addresses;
		struct compose_facts facts;
		enum compose_verdict v;

		buf_init(&out, 100000);
		buf_init(&addresses, COMPOSE_AUTHORS_BYTES_MAX);
		v = compose_header(refused[i].header, &given, &out, &addresses, &facts);
		EXPECT(v == refused[i].verdict && out.n == 0 && addresses.n == 0);
		if (v != refused[i].verdict)
			fprintf(stderr, "  row %zu: %d\n", i, (int)v);
		if (v != COMPOSE_OK)
			EXPECT(compose_reply(v)->code >= 550 && compose_reply(v)->text.n > 10);
		buf_fini(&out);
		buf_fini(&addresses);
	}
}

static enum compose_verdict
verdict_of(struct str header)
{
	struct buf out, addresses;
	struct compose_facts facts;
	enum compose_verdict v;

	buf_init(&out, COMPOSE_HEADER_MAX + COMPOSE_ADDED_MAX);
	buf_init(&addresses, COMPOSE_AUTHORS_BYTES_MAX);
	v = compose_header(header, &given, &out, &addresses, &facts);
	buf_fini(&out);
	buf_fini(&addresses);
	return v;
}

static void
limits_hold(void)
{
	struct buf h;

	buf_init(&h, 2 * COMPOSE_HEADER_MAX);
	for (size_t n = COMPOSE_FIELDS_MAX; n <= COMPOSE_FIELDS_MAX + 1; n++) {
		buf_reset(&h);
		(void)buf_put(&h, STR("From: me@example.org\r\n"));
		for (size_t i = 1; i < n; i++)
			(void)buf_put(&h, STR("X: y\r\n"));
		(void)buf_put(&h, STR("\r\n"));
		EXPECT(verdict_of(buf_str(&h)) == (n > COMPOSE_FIELDS_MAX ? COMPOSE_TOO_LONG : COMPOSE_OK));
	}
	for (size_t n = COMPOSE_AUTHORS_MAX; n <= COMPOSE_AUTHORS_MAX + 1; n++) {
		buf_reset(&h);
		(void)buf_put(&h, STR("From: a0@example.org"));
		for (size_t i = 1; i < n; i++)
			(void)buf_putf(&h, ",\r\n a%zu@example.org", i);
		(void)buf_put(&h, STR("\r\n\r\n"));
		EXPECT(verdict_of(buf_str(&h)) == (n > COMPOSE_AUTHORS_MAX ? COMPOSE_AUTHORS : COMPOSE_OK));
	}
	for (size_t n = COMPOSE_HEADER_MAX; n <= COMPOSE_HEADER_MAX + 1; n++) {
		buf_reset(&h);
		(void)buf_put(&h, STR("From: me@example.org\r\nX: "));
		while (h.n < n - 4)
			(void)buf_put(&h, h.n % 70 == 0 && h.n + 4 < n - 4 ? STR("\r\n x") : STR("x"));
		h.n = n - 4;
		(void)buf_put(&h, STR("\r\n\r\n"));
		EXPECT(verdict_of(buf_str(&h)) == (n > COMPOSE_HEADER_MAX ? COMPOSE_TOO_LONG : COMPOSE_OK));
	}
	buf_fini(&h);
}

static void
the_end_is_found_in_pieces(void)
{
	struct str h = STR("From: a@b\r\nX: y\r\n\r\nbody\r\n\r\n");
	size_t seen = 0;

	EXPECT(compose_header_end(STR("\r\nbody"), 0) == 2);
	EXPECT(compose_header_end(STR(""), 0) == 0);
	for (size_t n = 1; n <= h.n; n++) {
		size_t end = compose_header_end(str_take(h, n), seen);
		EXPECT(end == (n >= 19 ? 19 : 0));
		if (end != 0)
			break;
		seen = n;
	}
}

static void
eight_bit_is_noticed(void)
{
	struct buf out, addresses;
	struct compose_facts facts;

	buf_init(&out, 10000);
	buf_init(&addresses, COMPOSE_AUTHORS_BYTES_MAX);
	EXPECT(compose_header(STR("From: m\xc3\xa9@example.org\r\n\r\n"), &given, &out, &addresses, &facts) == COMPOSE_OK);
	EXPECT(facts.is_8bit && facts.is_utf8);
	EXPECT(compose_header(STR("From: me@example.org\r\nSubject: \xe9\r\n\r\n"), &given, &out, &addresses, &facts) == COMPOSE_OK);
	EXPECT(facts.is_8bit && !facts.is_utf8);
	EXPECT(compose_header(STR("From: me@example.org\r\n\r\n"), &given, &out, &addresses, &facts) == COMPOSE_OK && !facts.is_8bit);
	buf_fini(&out);
	buf_fini(&addresses);
}

int
main(void)
{
	UNIT(headers_are_mended);
	UNIT(what_two_could_read_in_two_ways_is_refused);
	UNIT(limits_hold);
	UNIT(the_end_is_found_in_pieces);
	UNIT(eight_bit_is_noticed);
	return unit_end();
}
