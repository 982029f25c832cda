#include "base/num.h"
#include "base/unit.h"
#include "standards/address/address.h"

struct parse_case {
	struct str in;
	enum status st;
	const char *normal; /* NULL: not normalised */
};

static const struct parse_case mailboxes[] = {
    {STR_INIT("user@example.com"), ST_OK, "user@example.com"},
    {STR_INIT("User.Name@EXAMPLE.Com"), ST_OK, "user.name@example.com"},
    {STR_INIT("!#$%&'*+-/=?^_`{|}~@x"), ST_OK, "!#$%&'*+-/=?^_`{|}~@x"},
    {STR_INIT("a@b-c.1d"), ST_OK, "a@b-c.1d"},
    /* RFC 5321 4.1.2: the example of the quote character, and equivalent forms */
    {STR_INIT("\"Joe\\,Smith\"@example.com"), ST_OK, "\"joe,smith\"@example.com"},
    {STR_INIT("\"user\"@example.com"), ST_OK, "user@example.com"},
    {STR_INIT("\"u\\s\\er\"@example.com"), ST_OK, "user@example.com"},
    {STR_INIT("\"a.b\"@example.com"), ST_OK, "a.b@example.com"},
    {STR_INIT("\"a..b\"@example.com"), ST_OK, "\"a..b\"@example.com"},
    {STR_INIT("\"a@b\"@example.com"), ST_OK, "\"a@b\"@example.com"},
    {STR_INIT("\"\\\"\\\\\"@example.com"), ST_OK, "\"\\\"\\\\\"@example.com"},
    {STR_INIT("\" \"@example.com"), ST_OK, "\" \"@example.com"},
    {STR_INIT("\"\\ \"@example.com"), ST_OK, "\" \"@example.com"},
    {STR_INIT("\"\"@example.com"), ST_OK, "\"\"@example.com"},
    /* RFC 5321 4.1.3 */
    {STR_INIT("u@[123.255.37.2]"), ST_OK, "u@[123.255.37.2]"},
    {STR_INIT("u@[IPv6:2001:DB8:0:0::1]"), ST_OK, "u@[IPv6:2001:db8::1]"},
    {STR_INIT("u@[ipv6:::]"), ST_OK, "u@[IPv6:::]"},
    {STR_INIT("u@[IPv6:::ffff:192.0.2.1]"), ST_OK, "u@[IPv6:::ffff:192.0.2.1]"},
    {STR_INIT("u@[IPv6:1:2:3:4:5:6:7:8]"), ST_OK, "u@[IPv6:1:2:3:4:5:6:7:8]"},
    {STR_INIT("u@[x-new:anything!]"), ST_UNSUPPORTED, NULL},
    {STR_INIT("u@[123.255.37.256]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[123.255.37.02]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[123.255.37]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[1.2.3.4\0]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[IPv6:1:2:3:4:5:6:7:8:9]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[IPv6:1::2::3]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[IPv6:fe80::1%eth0]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[IPv6:]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[]"), ST_SYNTAX, NULL},
    {STR_INIT("u@[1.2.3.4"), ST_SYNTAX, NULL},
    {STR_INIT("u@[1.2.3.4]x"), ST_SYNTAX, NULL},
    /* RFC 6531, RFC 5890 */
    {STR_INIT("\xc3\xbcser@example.com"), ST_OK, "\xc3\xbcser@example.com"},
    {STR_INIT("u@b\xc3\xbc"
	      "cher.example"),
	ST_OK, "u@xn--bcher-kva.example"},
    {STR_INIT("u@B\xc3\x9c"
	      "CHER.example"),
	ST_OK, "u@xn--bcher-kva.example"},
    {STR_INIT("u@bu\xcc\x88"
	      "cher.example"),
	ST_OK, "u@xn--bcher-kva.example"},
    {STR_INIT("u@XN--bcher-KVA.example"), ST_OK, "u@xn--bcher-kva.example"},
    {STR_INIT("u@fa\xc3\x9f.de"), ST_OK, "u@xn--fa-hia.de"},
    {STR_INIT("\"\xe4\xb8\xad \xe6\x96\x87\"@x.cn"), ST_OK, "\"\xe4\xb8\xad \xe6\x96\x87\"@x.cn"},
    {STR_INIT("\xc3@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("\xc0\x80@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("\xc2\x85@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("\xed\xa0\x80@example.com"), ST_SYNTAX, NULL},
    /* what strangers send */
    {STR_INIT(""), ST_SYNTAX, NULL},
    {STR_INIT("@"), ST_SYNTAX, NULL},
    {STR_INIT("user"), ST_SYNTAX, NULL},
    {STR_INIT("@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("user@"), ST_SYNTAX, NULL},
    {STR_INIT(".user@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("user.@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("us..er@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("us er@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("user@a@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("user@example.com."), ST_SYNTAX, NULL},
    {STR_INIT("user@.example.com"), ST_SYNTAX, NULL},
    {STR_INIT("user@-a.com"), ST_SYNTAX, NULL},
    {STR_INIT("user@a-.com"), ST_SYNTAX, NULL},
    {STR_INIT("user@a_b.com"), ST_SYNTAX, NULL},
    {STR_INIT("user@exa mple.com"), ST_SYNTAX, NULL},
    {STR_INIT("user\0@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("user@example.com\r\n"), ST_SYNTAX, NULL},
    {STR_INIT("\"a@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("\"a\"b@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("a\"b\"@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("\"a\"\"b\"@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("\"\t\"@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("\"\\\r\"@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("(c)u@example.com"), ST_SYNTAX, NULL},
    {STR_INIT("<u@example.com>"), ST_SYNTAX, NULL},
};

static void
mailboxes_parse_and_normalise(void)
{
	for (size_t i = 0; i < COUNT_OF(mailboxes); i++) {
		const struct parse_case *t = &mailboxes[i];
		struct address a;
		struct buf out;

		buf_init(&out, 1024);
		enum status st = address_parse(t->in, true, &a);
		if (st != t->st)
			fprintf(stderr, "%.*s: %s\n", STR_ARG(t->in), status_word(st));
		EXPECT(st == t->st);
		if (st == ST_OK && t->normal != NULL) {
			EXPECT(address_normalise(&a, &out) == ST_OK);
			EXPECT_STR(buf_str(&out), str_of_c(t->normal));
		}
		buf_fini(&out);
	}
}

static const struct {
	struct str in;
	bool allow_empty;
	enum status st;
	struct str local, domain, rest;
} paths[] = {
    {STR_INIT("<a@b> SIZE=1"), false, ST_OK, STR_INIT("a"), STR_INIT("b"), STR_INIT(" SIZE=1")},
    {STR_INIT("<>"), true, ST_OK, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("<>"), false, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    /* RFC 5321 appendix C */
    {STR_INIT("<@one,@two:joe@three>"), false, ST_OK, STR_INIT("joe"), STR_INIT("three"),
	STR_INIT("")},
    {STR_INIT("<@one.example:\"a>b\"@c>x"), true, ST_OK, STR_INIT("\"a>b\""), STR_INIT("c"),
	STR_INIT("x")},
    {STR_INIT("<@one>"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("<@one:>"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("<@one,two:a@b>"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("<@[1.2.3.4]:a@b>"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("a@b"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("<a@b"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("< a@b>"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("<a@b >"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("<<a@b>>"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT("<"), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
    {STR_INIT(""), true, ST_SYNTAX, STR_INIT(""), STR_INIT(""), STR_INIT("")},
};

static void
paths_are_taken(void)
{
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		struct cur c = cur_of(paths[i].in);
		struct address a = {0};

		EXPECT(address_path_take(&c, paths[i].allow_empty, true, &a) == paths[i].st);
		EXPECT_STR(a.local, paths[i].local);
		EXPECT_STR(a.domain, paths[i].domain);
		EXPECT_STR(cur_rest(&c), paths[i].st == ST_OK ? paths[i].rest : paths[i].in);
	}
}

/* local_n letters, '@', then labels of at most 63 that make domain_n bytes. */
static struct str
sized(char *text, size_t local_n, size_t domain_n)
{
	memset(text, 'a', local_n + 1 + domain_n);
	text[local_n] = '@';
	for (size_t i = ADDRESS_LABEL_MAX; i + 1 < domain_n; i += ADDRESS_LABEL_MAX + 1)
		text[local_n + 1 + i] = '.';
	return str_of(text, local_n + 1 + domain_n);
}

static void
limits_hold_at_n_and_one_more(void)
{
	char text[1024];
	struct address a;
	struct cur c;

	EXPECT(address_parse(sized(text, ADDRESS_LOCAL_MAX, 20), false, &a) == ST_OK);
	EXPECT(address_parse(sized(text, ADDRESS_LOCAL_MAX + 1, 20), false, &a) == ST_LIMIT);
	EXPECT(address_parse(sized(text, 10, ADDRESS_MAX - 11), false, &a) == ST_OK);
	EXPECT(address_parse(sized(text, 10, ADDRESS_MAX - 10), false, &a) == ST_LIMIT);
	EXPECT(
	    address_domain_check(str_from(sized(text, 0, ADDRESS_DOMAIN_MAX), 1), false) == ST_OK);
	EXPECT(address_domain_check(str_from(sized(text, 0, ADDRESS_DOMAIN_MAX + 1), 1), false) ==
	       ST_LIMIT);
	memset(text, 'a', sizeof(text));
	EXPECT(address_domain_check(str_of(text, ADDRESS_LABEL_MAX), false) == ST_OK);
	EXPECT(address_domain_check(str_of(text, ADDRESS_LABEL_MAX + 1), false) == ST_LIMIT);
	/* A route counts for the path: "<@r:" + mailbox + ">". */
	memcpy(text, "<@r:", 4);
	sized(text + 4, 10, ADDRESS_MAX + 2 - 5 - 11);
	text[ADDRESS_MAX + 1] = '>';
	c = cur_of(str_of(text, ADDRESS_MAX + 2));
	EXPECT(address_path_take(&c, false, false, &a) == ST_OK);
	sized(text + 4, 10, ADDRESS_MAX + 2 - 5 - 10);
	text[ADDRESS_MAX + 2] = '>';
	c = cur_of(str_of(text, ADDRESS_MAX + 3));
	EXPECT(address_path_take(&c, false, false, &a) == ST_LIMIT);
}

static void
utf8_needs_permission(void)
{
	struct address a;

	EXPECT(address_parse(STR("\xc3\xbc@x.de"), false, &a) == ST_UNSUPPORTED);
	EXPECT(address_parse(STR("u@\xc3\xbc.de"), false, &a) == ST_UNSUPPORTED);
	EXPECT(address_parse(STR("u@\xc3\xbc.de"), true, &a) == ST_OK && a.is_utf8);
	EXPECT(address_parse(STR("u@xn--tda.de"), false, &a) == ST_OK && !a.is_utf8);
	EXPECT(address_domain_check(STR("\xc3\xbc.de"), false) == ST_UNSUPPORTED);
}

static void
bad_idna_has_no_normal_form(void)
{
	/* a/c, a bidi mix, an unassigned code point, a U-label whose A-label is too long */
	static const char *const bad[] = {"u@\xe2\x84\x80.de",
	    "u@a\xd7\x90.de",
	    "u@\xcd\xb8.de", "u@\xe2\x80\x8d.de"};
	char text[300] = "u@";
	struct address a;
	struct buf out;

	buf_init(&out, 1024);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		EXPECT(address_parse(str_of_c(bad[i]), true, &a) == ST_OK);
		EXPECT(address_normalise(&a, &out) == ST_SYNTAX);
		EXPECT(out.n == 0);
	}
	for (size_t i = 0; i < 100; i++)
		memcpy(text + 2 + 2 * i, "\xc3\xbc", 2);
	EXPECT(address_parse(str_of(text, 202), true, &a) == ST_OK);
	EXPECT(address_normalise(&a, &out) == ST_LIMIT);
	buf_fini(&out);
}

static void
a_small_buffer_is_told(void)
{
	struct address a;
	struct buf out;

	EXPECT(address_parse(STR("user@example.com"), false, &a) == ST_OK);
	buf_init(&out, 16);
	EXPECT(address_normalise(&a, &out) == ST_OK);
	buf_fini(&out);
	buf_init(&out, 15);
	EXPECT(address_normalise(&a, &out) == ST_LIMIT);
	EXPECT(out.n == 0);
	buf_fini(&out);
}

static void
subaddresses_split(void)
{
	static const struct {
		struct str in, base, detail;
		bool is_split;
	} t[] = {
	    {STR_INIT("user+list"), STR_INIT("user"), STR_INIT("list"), true},
	    {STR_INIT("user+a+b"), STR_INIT("user"), STR_INIT("a+b"), true},
	    {STR_INIT("user+"), STR_INIT("user"), STR_INIT(""), true},
	    {STR_INIT("+user"), STR_INIT("+user"), STR_INIT(""), false},
	    {STR_INIT("++user"), STR_INIT("+"), STR_INIT("user"), true},
	    {STR_INIT("user"), STR_INIT("user"), STR_INIT(""), false},
	    {STR_INIT(""), STR_INIT(""), STR_INIT(""), false},
	    {STR_INIT("\"a b+c\""), STR_INIT("\"a b+c\""), STR_INIT(""), false},
	};
	struct str base, detail;

	for (size_t i = 0; i < COUNT_OF(t); i++) {
		EXPECT(address_subaddress_split(t[i].in, '+', &base, &detail) == t[i].is_split);
		EXPECT_STR(base, t[i].base);
		EXPECT_STR(detail, t[i].detail);
	}
}

int
main(void)
{
	UNIT(mailboxes_parse_and_normalise);
	UNIT(paths_are_taken);
	UNIT(limits_hold_at_n_and_one_more);
	UNIT(utf8_needs_permission);
	UNIT(bad_idna_has_no_normal_form);
	UNIT(a_small_buffer_is_told);
	UNIT(subaddresses_split);
	return unit_end();
}
