#include "net/dns_packet.h"

#include "base/num.h"
#include "base/unit.h"

static void
names_parse_and_print(void)
{
	static const struct {
		struct str in;
		enum status st;
		struct str out;
	} t[] = {
	    {STR_INIT("mx.example.test"), ST_OK, STR_INIT("mx.example.test")},
	    {STR_INIT("mx.example.test."), ST_OK, STR_INIT("mx.example.test")},
	    {STR_INIT("."), ST_OK, STR_INIT(".")},
	    {STR_INIT("_25._tcp.Mx.test"), ST_OK, STR_INIT("_25._tcp.Mx.test")},
	    {STR_INIT("a\\.b.test"), ST_OK, STR_INIT("a\\046b.test")},
	    {STR_INIT("a\\000\\255\\\\.test"), ST_OK, STR_INIT("a\\000\\255\\092.test")},
	    {STR_INIT("\\097.test"), ST_OK, STR_INIT("a.test")},
	    {STR_INIT(""), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT(".."), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT(".test"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a..test"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a.test.."), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a b.test"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a\0b.test"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("\303\244.test"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a\\256.test"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a\\25"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a\\25x"), ST_SYNTAX, STR_INIT("")},
	    {STR_INIT("a\\"), ST_SYNTAX, STR_INIT("")},
	};

	for (size_t i = 0; i < COUNT_OF(t); i++) {
		struct dns_name name;
		struct buf out;
		enum status st = dns_name_parse(t[i].in, &name);
		buf_init(&out, DNS_NAME_TEXT_MAX);
		EXPECT(st == t[i].st);
		if (st == ST_OK)
			dns_name_put(&out, &name);
		EXPECT_STR(buf_str(&out), t[i].out);
		buf_fini(&out);
	}
}

/* Labels of the given lengths, of letters or of escaped bytes. */
static enum status
name_of_labels(const size_t *lengths, size_t n, bool is_escaped, struct dns_name *out)
{
	struct buf text;
	enum status st;

	buf_init(&text, 4096);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			(void)buf_put_c(&text, '.');
		for (size_t k = 0; k < lengths[i]; k++)
			(void)buf_put(&text, is_escaped ? STR("\\200") : STR("x"));
	}
	st = dns_name_parse(buf_str(&text), out);
	buf_fini(&text);
	return st;
}

static void
names_have_limits(void)
{
	struct dns_name name;
	struct buf out;

	EXPECT(name_of_labels((size_t[]){63, 4}, 2, false, &name) == ST_OK);
	EXPECT(name_of_labels((size_t[]){64, 4}, 2, false, &name) == ST_LIMIT);
	EXPECT(name_of_labels((size_t[]){63, 63, 63, 62}, 4, false, &name) == ST_LIMIT);
	EXPECT(name_of_labels((size_t[]){63, 63, 63, 61}, 4, true, &name) == ST_OK);
	EXPECT(name.n == DNS_NAME_BYTES_MAX);
	EXPECT(name_of_labels((size_t[]){63, 63, 63, 59, 1}, 5, false, &name) == ST_OK);
	EXPECT(name_of_labels((size_t[]){63, 63, 63, 59, 2}, 5, false, &name) == ST_LIMIT);
	EXPECT(name_of_labels((size_t[]){63, 63, 63, 60, 1}, 5, false, &name) == ST_LIMIT);
	EXPECT(name_of_labels((size_t[]){63, 63, 63, 61}, 4, true, &name) == ST_OK);
	buf_init(&out, DNS_NAME_TEXT_MAX);
	dns_name_put(&out, &name);
	EXPECT(out.n == DNS_NAME_TEXT_MAX && !out.full);
	buf_fini(&out);
}

/* ---- messages ---- */

#define HEADER "\0\0\x81\x80\0\1"
#define QUESTION "\1q\4test\0\0\1\0\1" /* q.test at 12, test at 14 */
#define IN_TTL "\0\1\0\0\0\x3c"
#define Q "\xc0\x0c"

static void
messages_become_text(void)
{
	static const struct {
		uint16_t type;
		struct str packet;
		enum status st;
		uint16_t rcode;
		struct str answers;
	} t[] = {
	    {DNS_A, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\1" IN_TTL "\0\4\300\0\2\1"),
		ST_OK, 0,
		STR_INIT("\x09\0"
			 "192.0.2.1")},
	    {DNS_A, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\1" IN_TTL "\0\3\300\0\2"),
		ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_AAAA,
		STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x1c" IN_TTL
				"\0\x10\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"),
		ST_OK, 0,
		STR_INIT("\x0b\0"
			 "2001:db8::1")},
	    {DNS_MX,
		STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x0f" IN_TTL "\0\7\0\x0a\2mx\xc0\x0e"),
		ST_OK, 0,
		STR_INIT("\x0a\0"
			 "10 mx.test")},
	    /* RFC 7505: the null MX */
	    {DNS_MX, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x0f" IN_TTL "\0\3\0\0\0"), ST_OK,
		0,
		STR_INIT("\3\0"
			 "0 .")},
	    {DNS_MX, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x0f" IN_TTL "\0\4\0\0\0\0"),
		ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_TXT,
		STR_INIT(HEADER "\0\2\0\0\0\0" QUESTION Q "\0\x10" IN_TTL "\0\6\2v=\2s\0" Q
				"\0\x10" IN_TTL "\0\1\0"),
		ST_OK, 0, STR_INIT("\4\0v=s\0\0\0")},
	    {DNS_TXT,
		STR_INIT(HEADER "\0\2\0\0\0\0" QUESTION Q "\0\x10" IN_TTL "\0\1\0" Q "\0\x10" IN_TTL
				"\0\6\2v=\3s\0"),
		ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_TXT, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x10" IN_TTL "\0\6\2v=\2s\377"),
		ST_OK, 0, STR_INIT("\4\0v=s\377")},
	    {DNS_TXT, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x10" IN_TTL "\0\1\0"), ST_OK, 0,
		STR_INIT("\0\0")},
	    {DNS_TXT, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x10" IN_TTL "\0\0"), ST_SYNTAX,
		0, STR_INIT("")},
	    {DNS_TLSA, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x34" IN_TTL "\0\4\3\1\1\xab"),
		ST_OK, 0, STR_INIT("\4\0\3\1\1\xab")},
	    {DNS_PTR,
		STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x0c" IN_TTL "\0\5\1.\xc0\x0e\0"),
		ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_PTR, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\x0c" IN_TTL "\0\4\1.\xc0\x0e"),
		ST_OK, 0, STR_INIT("\x09\0\\046.test")},
	    /* A chain: q -> c (at 35+... its owner spelled out) -> address; others' records do not
	       count. */
	    {DNS_A,
		STR_INIT(HEADER "\0\3\0\0\0\0" QUESTION "\1C\xc0\x0e\0\1" IN_TTL "\0\4\300\0\2\7" Q
				"\0\5" IN_TTL "\0\4\1c\xc0\x0e"
				"\1x\xc0\x0e\0\1" IN_TTL "\0\4\300\0\2\x8"),
		ST_OK, 0,
		STR_INIT("\x09\0"
			 "192.0.2.7")},
	    {DNS_CNAME, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\5" IN_TTL "\0\4\1c\xc0\x0e"),
		ST_OK, 0, STR_INIT("\6\0c.test")},
	    /* A chain into itself */
	    {DNS_A, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\5" IN_TTL "\0\2\xc0\x0c"),
		ST_LIMIT, 0, STR_INIT("")},
	    /* Class CH is not ours. */
	    {DNS_A, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION Q "\0\1\0\3\0\0\0\0\0\4\300\0\2\1"),
		ST_OK, 0, STR_INIT("")},
	    {DNS_A, STR_INIT("\0\0\x81\x83\0\1\0\0\0\0\0\0" QUESTION), ST_OK, DNS_NXDOMAIN,
		STR_INIT("")},
	    /* No answer but a question; truncated; pointer forwards; pointer to itself; cut off. */
	    {DNS_A, STR_INIT("\0\0\1\0\0\1\0\0\0\0\0\0" QUESTION), ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_A, STR_INIT("\0\0\x83\x80\0\1\0\0\0\0\0\0" QUESTION), ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_A, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION "\xc0\xff\0\1" IN_TTL "\0\4\300\0\2\1"),
		ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_A, STR_INIT(HEADER "\0\1\0\0\0\0" QUESTION "\xc0\x18\0\1" IN_TTL "\0\4\300\0\2\1"),
		ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_A, STR_INIT(HEADER "\0\2\0\0\0\0" QUESTION Q "\0\1" IN_TTL "\0\4\300\0\2\1"),
		ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_A, STR_INIT("\0\0\x81\x80\0\2\0\0\0\0\0\0" QUESTION QUESTION), ST_SYNTAX, 0,
		STR_INIT("")},
	    {DNS_A, STR_INIT("\0\0\x81"), ST_SYNTAX, 0, STR_INIT("")},
	    {DNS_A, STR_INIT(""), ST_SYNTAX, 0, STR_INIT("")},
	};
	struct dns_name q;

	EXPECT(dns_name_parse(STR("Q.TEST"), &q) == ST_OK);
	for (size_t i = 0; i < COUNT_OF(t); i++) {
		struct buf answers;
		uint16_t rcode = 0;
		size_t n = 99;
		enum status st;
		buf_init(&answers, DNS_ANSWERS_BYTES_MAX);
		st = dns_packet_read(t[i].packet, t[i].type, &q, &rcode, &answers, &n);
		if (st != t[i].st)
			fprintf(stderr, "row %zu: %s\n", i, status_word(st));
		EXPECT(st == t[i].st);
		EXPECT(st != ST_OK || rcode == t[i].rcode);
		EXPECT_STR(buf_str(&answers), t[i].answers);
		EXPECT((n > 0) == (t[i].answers.n > 0));
		buf_fini(&answers);
	}
}

static void
put_be16(struct buf *b, size_t v)
{
	(void)buf_put_c(b, (char)(v >> 8));
	(void)buf_put_c(b, (char)v);
}

static void
record_put(struct buf *b, struct str owner, size_t type, struct str rdata)
{
	(void)buf_put(b, owner);
	put_be16(b, type);
	(void)buf_put(b, STR(IN_TTL));
	put_be16(b, rdata.n);
	(void)buf_put(b, rdata);
}

static enum status
read_n(size_t addresses, size_t links, size_t *n_out)
{
	struct buf packet, answers;
	struct dns_name q;
	uint16_t rcode;
	enum status st;

	buf_init(&packet, 65536);
	buf_init(&answers, DNS_ANSWERS_BYTES_MAX);
	(void)buf_put(&packet, STR(HEADER));
	put_be16(&packet, addresses + links);
	(void)buf_put(&packet, STR("\0\0\0\0\1a\0\0\1\0\1"));
	EXPECT(dns_name_parse(STR("a"), &q) == ST_OK);
	for (size_t i = 0; i < links; i++)
		record_put(&packet, str_of((char[]){1, (char)('a' + i), 0}, 3), DNS_CNAME,
		    str_of((char[]){1, (char)('b' + i), 0}, 3));
	for (size_t i = 0; i < addresses; i++)
		record_put(&packet, str_of((char[]){1, (char)('a' + links), 0}, 3), DNS_A,
		    STR("\177\0\0\1"));
	st = dns_packet_read(buf_str(&packet), DNS_A, &q, &rcode, &answers, n_out);
	EXPECT(st == ST_OK || answers.n == 0);
	buf_fini(&packet);
	buf_fini(&answers);
	return st;
}

static void
messages_have_limits(void)
{
	size_t n;

	EXPECT(read_n(DNS_ANSWERS_MAX, 0, &n) == ST_OK && n == DNS_ANSWERS_MAX);
	EXPECT(read_n(DNS_ANSWERS_MAX + 1, 0, &n) == ST_LIMIT && n == 0);
	EXPECT(read_n(1, DNS_CHAIN_MAX, &n) == ST_OK && n == 1);
	EXPECT(read_n(1, DNS_CHAIN_MAX + 1, &n) == ST_LIMIT && n == 0);
}

/* The bytes: names of which each byte is escaped, in a small message. */
static enum status
read_names(size_t names)
{
	struct buf packet, answers;
	struct dns_name q, target;
	uint16_t rcode;
	size_t n;
	enum status st;

	buf_init(&packet, 65536);
	buf_init(&answers, DNS_ANSWERS_BYTES_MAX);
	EXPECT(name_of_labels((size_t[]){63, 63, 63, 61}, 4, true, &target) == ST_OK);
	EXPECT(dns_name_parse(STR("a"), &q) == ST_OK);
	(void)buf_put(&packet, STR(HEADER));
	put_be16(&packet, names);
	(void)buf_put(&packet, STR("\0\0\0\0\1a\0\0\1\0\1"));
	for (size_t i = 0; i < names; i++)
		record_put(&packet, STR("\1a\0"), DNS_PTR, str_of(target.wire, target.n));
	st = dns_packet_read(buf_str(&packet), DNS_PTR, &q, &rcode, &answers, &n);
	EXPECT(st != ST_OK || answers.n == names * (2 + DNS_NAME_TEXT_MAX));
	EXPECT(st == ST_OK || answers.n == 0);
	buf_fini(&packet);
	buf_fini(&answers);
	return st;
}

static void
answers_have_a_limit_in_bytes(void)
{
	EXPECT(read_names(DNS_ANSWERS_BYTES_MAX / (2 + DNS_NAME_TEXT_MAX)) == ST_OK);
	EXPECT(read_names(DNS_ANSWERS_BYTES_MAX / (2 + DNS_NAME_TEXT_MAX) + 1) == ST_LIMIT);
}

static void
answers_are_walked(void)
{
	struct cur c = cur_of(STR("\1\0a\0\0\2\0bc\5\0d"));
	struct str s;

	EXPECT(dns_answer_next(&c, &s));
	EXPECT_STR(s, STR("a"));
	EXPECT(dns_answer_next(&c, &s));
	EXPECT_STR(s, STR(""));
	EXPECT(dns_answer_next(&c, &s));
	EXPECT_STR(s, STR("bc"));
	EXPECT(!dns_answer_next(&c, &s) && !cur_at_end(&c));
}

int
main(void)
{
	UNIT(names_parse_and_print);
	UNIT(names_have_limits);
	UNIT(messages_become_text);
	UNIT(messages_have_limits);
	UNIT(answers_have_a_limit_in_bytes);
	UNIT(answers_are_walked);
	return unit_end();
}
