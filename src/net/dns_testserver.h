/*
 * For tests: a DNS server on loopback, UDP and TCP on one port, in a process of its own so that
 * what it serves goes through real sockets also to a confined client. Its names are in
 * dns_testserver.c. Some behave: silent.test     never answers             servfail.test   SERVFAIL
 *   garbage.test    bytes that are no message lying.test      an address of 3 bytes
 *   big.test        truncated over UDP        stale.test      answers once (TTL 1), then never
 *   tampered.test   (signed) with a signature that does not fit
 * Signed: the root zone holds everything, under one Ed25519 key (RFC 8080); positive answers only.
 */
#ifndef POSTHORN_NET_DNS_TESTSERVER_H
#define POSTHORN_NET_DNS_TESTSERVER_H

#include <sys/types.h>

#include "base/buf.h"

struct dns_testserver {
	pid_t pid;
	char forward[32];      /* "127.0.0.1@PORT" */
	char trust_anchor[64]; /* path of a file with its key; empty when not signed */
};

#define DNS_TESTSERVER_BIG_BYTES 4000

void dns_testserver_start(struct dns_testserver *s, bool is_signed);
void dns_testserver_stop(struct dns_testserver *s);

#endif
