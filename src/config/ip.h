/* Addresses and networks as they stand in a configuration file: numbers only, names are never
 * looked up. */
#ifndef POSTHORN_CONFIG_IP_H
#define POSTHORN_CONFIG_IP_H

#include "base/buf.h"

struct config_ip {
	bool v6;
	uint8_t bytes[16]; /* network order; v4 uses the first four */
};

struct config_network {
	struct config_ip ip; /* host bits are zero */
	uint8_t prefix_bits;
};

struct config_endpoint {
	struct config_ip ip;
	uint16_t port; /* 0: not set */
};

enum status config_ip_parse(struct str s, struct config_ip *out) MUST_USE;
/* "192.0.2.0/24", "2001:db8::/32", or an address alone (all bits). ST_SYNTAX also when host bits
 * are set. */
enum status config_network_parse(struct str s, struct config_network *out) MUST_USE;
/* "127.0.0.1:53", "[::1]:53". */
enum status config_endpoint_parse(struct str s, struct config_endpoint *out) MUST_USE;

bool config_ip_eq(const struct config_ip *a, const struct config_ip *b);
/* 0.0.0.0 or :: */
bool config_ip_is_any(const struct config_ip *ip);
bool config_ip_is_loopback(const struct config_ip *ip);
/* A v4-mapped v6 address ("::ffff:192.0.2.1") is judged as the v4 address that it is. */
bool config_network_has(const struct config_network *net, const struct config_ip *ip);
enum status config_ip_put(struct buf *out, const struct config_ip *ip);

#endif
