/*
 * The PROXY protocol's header, versions 1 and 2 (HAProxy's proxy-protocol.txt, revision
 * 2020/03/05): what a proxy puts before a connection to say between whom it really is. Receiving
 * side only, TCP only.
 *
 * Believe it only from a proxy that is known: the bytes are whatever the peer likes.
 */
#ifndef POSTHORN_PROTOCOLS_PROXY_PROXY_H
#define POSTHORN_PROTOCOLS_PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cur.h"
#include "protocols/proxy/limits.h"

struct proxy_addr {
	uint8_t ip[16]; /* v4 as ::ffff:a.b.c.d */
	uint16_t port;
	bool is_v4; /* also when a header of IPv6 has a mapped address */
};

struct proxy_info {
	uint8_t version; /* 1 or 2 */
	/* The proxy speaks for itself (LOCAL: a health check) or cannot say for whom (UNKNOWN): the
	 * socket's own addresses count, from and to are 0. */
	bool is_local;
	struct proxy_addr from, to; /* the client, and where it connected to */
};

/*
 * Takes a header from the front of in; what comes behind it is left there. Borrows nothing.
 * ST_MORE: so far it could become one (also for no bytes at all). ST_SYNTAX: it is none, or none
 * over TCP (UDP, Unix sockets and unspecified families under the command PROXY are refused).
 * ST_LIMIT: a line or extensions beyond their maximum. Only ST_OK moves in and sets out. Extensions
 * (TLVs, with the checksum among them) are skipped unread.
 */
enum status proxy_take(struct cur *in, struct proxy_info *out) MUST_USE;

#endif
