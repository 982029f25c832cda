#include "protocols/proxy/proxy.h"

#include <arpa/inet.h>

#include "base/num.h"

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21, V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

static const struct str v1_start = STR_INIT("PROXY ");
/* Chosen so that it is no beginning of any other protocol. */
static const struct str v2_start = STR_INIT("\r\n\r\n\0\r\nQUIT\n");

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void
addr_set_ip(struct proxy_addr *a, const void *ip, bool is_v4)
{
	if (is_v4) {
		memcpy(a->ip, v4_mapped, sizeof(v4_mapped));
		memcpy(a->ip + 12, ip, 4);
	} else {
		memcpy(a->ip, ip, 16);
	}
	a->is_v4 = memcmp(a->ip, v4_mapped, sizeof(v4_mapped)) == 0;
}

/* Version 1: a line of words, one space between them. */

static bool
v1_word(struct cur *c, struct str *out)
{
	*out = str_take(cur_rest(c), str_find_char(cur_rest(c), ' '));
	cur_skip(c, out->n);
	return out->n > 0;
}

static bool
v1_ip(struct cur *c, bool is_v4, struct proxy_addr *out)
{
	char z[INET6_ADDRSTRLEN];
	uint8_t ip[16];
	struct str s;

	/* inet_pton reads to a NUL; a NUL inside would hide what follows it. */
	if (!v1_word(c, &s) || s.n >= sizeof(z) || memchr(s.p, 0, s.n) != NULL)
		return false;
	memcpy(z, s.p, s.n);
	z[s.n] = 0;
	if (inet_pton(is_v4 ? AF_INET : AF_INET6, z, ip) != 1)
		return false;
	addr_set_ip(out, ip, is_v4);
	return true;
}

static bool
v1_port(struct cur *c, struct proxy_addr *out)
{
	uint64_t port;
	struct str s;

	if (!v1_word(c, &s) || s.n > 5 || (s.p[0] == '0' && s.n > 1) ||
	    str_to_u64(s, &port) != ST_OK || port > UINT16_MAX)
		return false;
	out->port = (uint16_t)port;
	return true;
}

static bool
v1_line(struct str line, struct proxy_info *out)
{
	struct cur c = cur_of(line);
	struct str family;
	bool is_v4;

	if (!v1_word(&c, &family))
		return false;
	if (str_eq(family, STR("UNKNOWN"))) {
		/* Whatever stands behind it is not to be looked at. */
		out->is_local = true;
		return cur_at_end(&c) || cur_char(&c, ' ');
	}
	is_v4 = str_eq(family, STR("TCP4"));
	if (!is_v4 && !str_eq(family, STR("TCP6")))
		return false;
	return cur_char(&c, ' ') && v1_ip(&c, is_v4, &out->from) && cur_char(&c, ' ') &&
	       v1_ip(&c, is_v4, &out->to) && cur_char(&c, ' ') && v1_port(&c, &out->from) &&
	       cur_char(&c, ' ') && v1_port(&c, &out->to) && cur_at_end(&c);
}

static enum status
v1_take(struct cur *in, struct proxy_info *out)
{
	struct cur c = *in;
	struct str line;

	cur_skip(&c, v1_start.n);
	if (!cur_take_until(&c, '\n', PROXY_V1_LINE_MAX - v1_start.n - 1, &line))
		return cur_left(in) < PROXY_V1_LINE_MAX ? ST_MORE : ST_LIMIT;
	cur_skip(&c, 1);
	if (line.n == 0 || line.p[line.n - 1] != '\r' || !v1_line(str_take(line, line.n - 1), out))
		return ST_SYNTAX;
	*in = c;
	return ST_OK;
}

/* Version 2: binary, numbers in network order. */

static uint16_t
be16_get(const char *p)
{
	return (uint16_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

/* Both addresses, then both ports. */
static void
v2_addresses(const char *p, bool is_v4, struct proxy_info *out)
{
	size_t ip_n = is_v4 ? 4 : 16;

	addr_set_ip(&out->from, p, is_v4);
	addr_set_ip(&out->to, p + ip_n, is_v4);
	out->from.port = be16_get(p + 2 * ip_n);
	out->to.port = be16_get(p + 2 * ip_n + 2);
}

static enum status
v2_take(struct cur *in, struct proxy_info *out)
{
	struct cur c = *in;
	struct str fixed, rest;
	size_t n, addresses_n;
	uint8_t command, family;

	if (!cur_take(&c, PROXY_V2_FIXED, &fixed))
		return ST_MORE;
	command = (uint8_t)fixed.p[12];
	family = (uint8_t)fixed.p[13];
	n = be16_get(fixed.p + 14);
	if (command == V2_LOCAL)
		addresses_n = PROXY_V2_UNIX;
	else if (command == V2_PROXY && (family == V2_TCP4 || family == V2_TCP6))
		addresses_n = family == V2_TCP4 ? PROXY_V2_IP4 : PROXY_V2_IP6;
	else
		return ST_SYNTAX;
	if (command == V2_PROXY && n < addresses_n)
		return ST_SYNTAX;
	if (n > addresses_n + PROXY_V2_TLVS_MAX)
		return ST_LIMIT;
	if (!cur_take(&c, n, &rest))
		return ST_MORE;
	out->is_local = command == V2_LOCAL;
	if (command == V2_PROXY)
		v2_addresses(rest.p, family == V2_TCP4, out);
	*in = c;
	return ST_OK;
}

static bool
starts_like(struct str in, struct str start)
{
	return str_has_prefix(in, str_take(start, in.n));
}

enum status
proxy_take(struct cur *in, struct proxy_info *out)
{
	struct proxy_info info = {0};
	bool is_v2 = starts_like(cur_rest(in), v2_start);
	struct str start = is_v2 ? v2_start : v1_start;
	enum status st;

	if (!starts_like(cur_rest(in), start))
		return ST_SYNTAX;
	if (cur_left(in) < start.n)
		return ST_MORE;
	info.version = is_v2 ? 2 : 1;
	st = is_v2 ? v2_take(in, &info) : v1_take(in, &info);
	if (st == ST_OK)
		*out = info;
	return st;
}
