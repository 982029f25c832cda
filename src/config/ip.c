#include "config/ip.h"

#include <arpa/inet.h>

enum status
config_ip_parse(struct str s, struct config_ip *out)
{
	char text[INET6_ADDRSTRLEN];

	/* inet_pton reads to a NUL; a NUL inside would hide what follows it. */
	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n) != NULL)
		return ST_SYNTAX;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	*out = (struct config_ip){.v6 = str_find_char(s, ':') < s.n};
	return inet_pton(out->v6 ? AF_INET6 : AF_INET, text, out->bytes) == 1 ? ST_OK : ST_SYNTAX;
}

static bool
bit_at(const struct config_ip *ip, unsigned bit)
{
	return ip->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

enum status
config_network_parse(struct str s, struct config_network *out)
{
	struct str head, tail;
	bool has_prefix = str_split(s, '/', &head, &tail);
	uint64_t bits = 0;
	unsigned all;

	if (config_ip_parse(head, &out->ip) != ST_OK)
		return ST_SYNTAX;
	all = out->ip.v6 ? 128 : 32;
	if (!has_prefix)
		bits = all;
	else if (str_to_u64(tail, &bits) != ST_OK || bits > all)
		return ST_SYNTAX;
	for (unsigned i = (unsigned)bits; i < all; i++)
		if (bit_at(&out->ip, i))
			return ST_SYNTAX;
	out->prefix_bits = (uint8_t)bits;
	return ST_OK;
}

enum status
config_endpoint_parse(struct str s, struct config_endpoint *out)
{
	size_t colon = str_find_char_last(s, ':');
	struct str host = str_take(s, colon);
	uint64_t port;
	bool bracketed = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

	if (colon == s.n || str_to_u64(str_from(s, colon + 1), &port) != ST_OK || port < 1 ||
	    port > UINT16_MAX)
		return ST_SYNTAX;
	if (bracketed)
		host = str_of(host.p + 1, host.n - 2);
	/* "::1:53" could be an address or an address and a port: v6 needs its brackets. */
	if (config_ip_parse(host, &out->ip) != ST_OK || out->ip.v6 != bracketed)
		return ST_SYNTAX;
	out->port = (uint16_t)port;
	return ST_OK;
}

bool
config_ip_eq(const struct config_ip *a, const struct config_ip *b)
{
	return a->v6 == b->v6 && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool
config_ip_is_any(const struct config_ip *ip)
{
	static const uint8_t zero[16];

	return memcmp(ip->bytes, zero, sizeof(zero)) == 0;
}

static bool
is_v4_mapped(const struct config_ip *ip)
{
	static const uint8_t head[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	return ip->v6 && memcmp(ip->bytes, head, sizeof(head)) == 0;
}

static struct config_ip
unmapped(const struct config_ip *ip)
{
	struct config_ip v4 = {.v6 = false};

	if (!is_v4_mapped(ip))
		return *ip;
	memcpy(v4.bytes, ip->bytes + 12, 4);
	return v4;
}

bool
config_ip_is_loopback(const struct config_ip *ip)
{
	static const uint8_t one[16] = {[15] = 1};
	struct config_ip plain = unmapped(ip);

	return plain.v6 ? memcmp(plain.bytes, one, sizeof(one)) == 0 : plain.bytes[0] == 127;
}

bool
config_network_has(const struct config_network *net, const struct config_ip *ip)
{
	struct config_ip plain = unmapped(ip);

	if (plain.v6 != net->ip.v6)
		return false;
	for (unsigned i = 0; i < net->prefix_bits; i++)
		if (bit_at(&net->ip, i) != bit_at(&plain, i))
			return false;
	return true;
}

enum status
config_ip_put(struct buf *out, const struct config_ip *ip)
{
	char text[INET6_ADDRSTRLEN];

	if (inet_ntop(ip->v6 ? AF_INET6 : AF_INET, ip->bytes, text, sizeof(text)) == NULL)
		return ST_SYNTAX;
	return buf_put(out, str_of_c(text));
}
