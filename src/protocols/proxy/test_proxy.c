/* protocols/proxy: a table of both versions, and every limit. */
#include <arpa/inet.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/num.h"
#include "base/unit.h"
#include "protocols/proxy/proxy.h"

/* "192.0.2.1:25>198.51.100.2:587" for an answer; "local". */
static void
info_put(struct buf *out, const struct proxy_info *i)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

	if (i->is_local) {
		EXPECT(i->from.port == 0 && i->to.port == 0 && !i->from.is_v4);
		(void)buf_put(out, STR("local"));
		return;
	}
	CHECK(inet_ntop(i->from.is_v4 ? AF_INET : AF_INET6, i->from.ip + (i->from.is_v4 ? 12 : 0),
		  from, sizeof(from)) != NULL);
	CHECK(inet_ntop(i->to.is_v4 ? AF_INET : AF_INET6, i->to.ip + (i->to.is_v4 ? 12 : 0), to,
		  sizeof(to)) != NULL);
	(void)buf_putf(out, "%s:%u>%s:%u", from, i->from.port, to, i->to.port);
}

struct row {
	struct str in;
	enum status st;
	struct str info, rest;
};

static void
row_holds(const struct row *r, int version)
{
	struct cur in = cur_of(r->in);
	struct proxy_info info = {.version = 9};
	struct buf b;

	buf_init(&b, 200);
	EXPECT(proxy_take(&in, &info) == r->st);
	if (r->st == ST_OK) {
		info_put(&b, &info);
		EXPECT_STR(buf_str(&b), r->info);
		EXPECT_STR(cur_rest(&in), r->rest);
		EXPECT(info.version == version);
	} else {
		EXPECT(cur_left(&in) == r->in.n && info.version == 9);
	}
	/* Every beginning of a good one waits for more. */
	for (size_t n = 0; r->st == ST_OK && n < r->in.n - r->rest.n; n++) {
		in = cur_of(str_take(r->in, n));
		EXPECT(proxy_take(&in, &info) == ST_MORE && cur_left(&in) == n);
	}
	if (unit_bad)
		fprintf(stderr, "in \"%.*s\"\n", STR_ARG(r->in));
	buf_fini(&b);
}

#define V1_BAD(text)                                                                  \
	{                                                                             \
		STR_INIT("PROXY " text "\r\n"), ST_SYNTAX, STR_INIT(""), STR_INIT("") \
	}

static void
lines(void)
{
	static const struct row table[] = {
	    {STR_INIT("PROXY TCP4 192.0.2.1 198.51.100.2 51000 25\r\nEHLO x\r\n"), ST_OK,
		STR_INIT("192.0.2.1:51000>198.51.100.2:25"), STR_INIT("EHLO x\r\n")},
	    {STR_INIT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), ST_OK,
		STR_INIT("255.255.255.255:65535>255.255.255.255:65535"), STR_INIT("")},
	    {STR_INIT("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), ST_OK, STR_INIT("0.0.0.0:0>0.0.0.0:0"),
		STR_INIT("")},
	    {STR_INIT("PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2\r\n"), ST_OK,
		STR_INIT("2001:db8::1:1>2001:db8::2:2"), STR_INIT("")},
	    {STR_INIT("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		ST_OK,
		STR_INIT("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:65535>ffff:ffff:ffff:ffff:ffff:"
			 "ffff:ffff:ffff:65535"),
		STR_INIT("")},
	    {STR_INIT("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), ST_OK,
		STR_INIT("192.0.2.1:1>::1:2"), STR_INIT("")},
	    {STR_INIT("PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n"), ST_OK, STR_INIT("local"),
		STR_INIT("PROXY UNKNOWN\r\n")},
	    {STR_INIT("PROXY UNKNOWN what \0ever\r\n"), ST_OK, STR_INIT("local"), STR_INIT("")},
	    {STR_INIT("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
		      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		ST_OK, STR_INIT("local"), STR_INIT("")},
	    {STR_INIT(""), ST_MORE, STR_INIT(""), STR_INIT("")},
	    {STR_INIT("EHLO x\r\n"), ST_SYNTAX, STR_INIT(""), STR_INIT("")},
	    {STR_INIT("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), ST_SYNTAX, STR_INIT(""), STR_INIT("")},
	    {STR_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n"), ST_SYNTAX, STR_INIT(""), STR_INIT("")},
	    {STR_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n"), ST_SYNTAX, STR_INIT(""),
		STR_INIT("")},
	    {STR_INIT("PROXY TCP4 1.2.3.4\r\n 1.2.3.4 1 2\r\n"), ST_SYNTAX, STR_INIT(""),
		STR_INIT("")},
	    V1_BAD(""),
	    V1_BAD(" TCP4 1.2.3.4 1.2.3.4 1 2"),
	    V1_BAD("TCP4"),
	    V1_BAD("UNKNOWNX"),
	    V1_BAD("UDP4 1.2.3.4 1.2.3.4 1 2"),
	    V1_BAD("TCP5 1.2.3.4 1.2.3.4 1 2"),
	    V1_BAD("TCP4 1.2.3.4 1.2.3.4 1"),
	    V1_BAD("TCP4 1.2.3.4 1.2.3.4 1 2 "),
	    V1_BAD("TCP4 1.2.3.4 1.2.3.4 1 2 3"),
	    V1_BAD("TCP4 1.2.3.4  1.2.3.4 1 2"),
	    V1_BAD("TCP4 1.2.3.4\t1.2.3.4 1 2"),
	    V1_BAD("TCP4 1.2.3 1.2.3.4 1 2"),
	    V1_BAD("TCP4 1.2.3.256 1.2.3.4 1 2"),
	    V1_BAD("TCP4 01.2.3.4 1.2.3.4 1 2"),
	    V1_BAD("TCP4 1.2.3.4\0 1.2.3.4 1 2"),
	    V1_BAD("TCP4 ::1 1.2.3.4 1 2"),
	    V1_BAD("TCP6 1.2.3.4 ::1 1 2"),
	    V1_BAD("TCP6 ::1 ::1%lo 1 2"),
	    V1_BAD("TCP6 :::1 ::1 1 2"),
	    V1_BAD("TCP6 [::1] ::1 1 2"),
	    V1_BAD("TCP4 1.2.3.4 1.2.3.4 65536 2"),
	    V1_BAD("TCP4 1.2.3.4 1.2.3.4 01 2"),
	    V1_BAD("TCP4 1.2.3.4 1.2.3.4 +1 2"),
	    V1_BAD("TCP4 1.2.3.4 1.2.3.4 1 -2"),
	    V1_BAD("TCP4 1.2.3.4 1.2.3.4 1 00000000000000000002"),
	};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		row_holds(&table[i], 1);
}

static void
line_limit_is_exact(void)
{
	char b[200];

	for (size_t n = PROXY_V1_LINE_MAX; n <= PROXY_V1_LINE_MAX + 1; n++) {
		struct cur in;
		struct proxy_info info;
		memset(b, 'x', sizeof(b));
		memcpy(b, "PROXY UNKNOWN ", 14);
		b[n - 2] = '\r';
		b[n - 1] = '\n';
		in = cur_of(str_of(b, n));
		EXPECT(proxy_take(&in, &info) == (n == PROXY_V1_LINE_MAX ? ST_OK : ST_LIMIT));
		/* Without its end: known to be too long when the maximum is there. */
		in = cur_of(str_of(b, PROXY_V1_LINE_MAX - 1));
		EXPECT(proxy_take(&in, &info) == ST_MORE);
		memset(b + 14, 'x', sizeof(b) - 14);
		in = cur_of(str_of(b, PROXY_V1_LINE_MAX));
		EXPECT(proxy_take(&in, &info) == ST_LIMIT);
	}
}

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define IP4S "\xc0\0\x02\x01\xc6\x33\x64\x02\xc7\x38\0\x19"
#define IP6S                                                                                       \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\xff" \
	"\xff\0\x19"
#define V2_BAD(text)                                                      \
	{                                                                 \
		STR_INIT(SIG text), ST_SYNTAX, STR_INIT(""), STR_INIT("") \
	}

static void
binary(void)
{
	static const struct row table[] = {
	    {STR_INIT(SIG "\x21\x11\0\x0c" IP4S "EHLO"), ST_OK,
		STR_INIT("192.0.2.1:51000>198.51.100.2:25"), STR_INIT("EHLO")},
	    {STR_INIT(SIG "\x21\x21\0\x24" IP6S), ST_OK,
		STR_INIT("2001:db8::1:65535>2001:db8::2:25"), STR_INIT("")},
	    {STR_INIT(SIG "\x21\x21\0\x24"
			  "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01"
			  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0\x02"),
		ST_OK, STR_INIT("192.0.2.1:1>::1:2"), STR_INIT("")},
	    /* Extensions, well formed or not, are nobody's business. */
	    {STR_INIT(SIG "\x21\x11\0\x13" IP4S "\x03\0\x04\x01\x02\x03\x04"
			  "EHLO"),
		ST_OK, STR_INIT("192.0.2.1:51000>198.51.100.2:25"), STR_INIT("EHLO")},
	    {STR_INIT(SIG "\x21\x11\0\x0d" IP4S "\x03"
			  "EHLO"),
		ST_OK, STR_INIT("192.0.2.1:51000>198.51.100.2:25"), STR_INIT("EHLO")},
	    {STR_INIT(SIG "\x20\0\0\0"
			  "EHLO"),
		ST_OK, STR_INIT("local"), STR_INIT("EHLO")},
	    {STR_INIT(SIG "\x20\x11\0\x0c" IP4S "EHLO"), ST_OK, STR_INIT("local"),
		STR_INIT("EHLO")},
	    {STR_INIT(SIG "\x20\x99\0\x03"
			  "abcEHLO"),
		ST_OK, STR_INIT("local"), STR_INIT("EHLO")},
	    V2_BAD("\x11\x11\0\x0c" IP4S),
	    V2_BAD("\x31\x11\0\x0c" IP4S),
	    V2_BAD("\x22\x11\0\x0c" IP4S),
	    V2_BAD("\x21\0\0\0"),
	    V2_BAD("\x21\x10\0\x0c" IP4S),
	    V2_BAD("\x21\x12\0\x0c" IP4S),
	    V2_BAD("\x21\x22\0\x24" IP6S),
	    V2_BAD("\x21\x31\0\xd8"),
	    V2_BAD("\x21\x32\0\xd8"),
	    V2_BAD("\x21\x01\0\x0c" IP4S),
	    V2_BAD("\x21\x11\0\x0b" IP4S),
	    V2_BAD("\x21\x21\0\x23" IP6S),
	    V2_BAD("\x21\x11\0\0" IP4S),
	    {STR_INIT("\r\n\r\n\0\r\nQUIT\r\n\x21\x11"), ST_SYNTAX, STR_INIT(""), STR_INIT("")},
	    {STR_INIT("\r\n\r\nQUIT"), ST_SYNTAX, STR_INIT(""), STR_INIT("")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		row_holds(&table[i], 2);
}

static enum status
binary_of(uint8_t command, uint8_t family, size_t n, size_t *left_out)
{
	static char b[PROXY_HEADER_MAX + 100];
	struct cur in = cur_of(str_of(b, PROXY_V2_FIXED + n + 1));
	struct proxy_info info;
	enum status st;

	CHECK(PROXY_V2_FIXED + n < sizeof(b));
	memset(b, 'x', sizeof(b));
	memcpy(b, SIG, 12);
	b[12] = (char)command;
	b[13] = (char)family;
	b[14] = (char)(n >> 8);
	b[15] = (char)n;
	st = proxy_take(&in, &info);
	*left_out = cur_left(&in);
	return st;
}

static void
extension_limit_is_exact(void)
{
	static const struct {
		uint8_t command, family;
		size_t addresses_n;
	} table[] = {
	    {0x21, 0x11, PROXY_V2_IP4}, {0x21, 0x21, PROXY_V2_IP6}, {0x20, 0x31, PROXY_V2_UNIX}};
	size_t left;

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		size_t n = table[i].addresses_n + PROXY_V2_TLVS_MAX;
		EXPECT(
		    binary_of(table[i].command, table[i].family, n, &left) == ST_OK && left == 1);
		EXPECT(binary_of(table[i].command, table[i].family, n + 1, &left) == ST_LIMIT);
		EXPECT(left == PROXY_V2_FIXED + n + 2);
	}
}

int
main(void)
{
	UNIT(lines);
	UNIT(line_limit_is_exact);
	UNIT(binary);
	UNIT(extension_limit_is_exact);
	return unit_end();
}
