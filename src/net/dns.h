/*
 * The resolver: recursion, cache and DNSSEC validation by libunbound, on our loop, through its
 * event interface only (its other asynchronous one would fork or start a thread).
 *
 * - Every question ends exactly once, by its done callback or by dns_cancel, and within the
 * deadline: a server that does not answer is a result (is_timeout), not an error. done is never
 * called from within dns_ask.
 * - A bogus answer carries no data: code DNS_SERVFAIL, DNS_BOGUS. What cannot be read or is over
 * the limits of dns_packet.h is DNS_SERVFAIL without data as well; never a part of an answer.
 * - No file is opened after dns_new: neither resolv.conf nor hosts, root hints and root keys are
 * built in, the file of the trust anchor is read by dns_new and never written (no RFC 5011).
 * - With `forward` everything goes there, also what RFC 6303 and 6761 keep local (test., the
 * private reverse zones, localhost), and nothing is validated unless a trust anchor is given: with
 * the built-in root key every answer of a forwarder that strips DNSSEC would be bogus. Without it:
 * recursion from the root, validated, special names answered here. Memory: the caches below, 1 KB
 * per question, and what libunbound needs for the questions it works on.
 */
#ifndef POSTHORN_NET_DNS_H
#define POSTHORN_NET_DNS_H

#include "net/dns_packet.h"
#include "sys/loop.h"

/* libunbound alone took 44 s to give up on a dead server; SMTP clients wait minutes, SPF asks 20
 * questions. */
#define DNS_DEADLINE_MS 12000
#define DNS_OUTSTANDING_MAX 1000
/*
 * A forwarder is near but may itself have to ask far away. libunbound judges by how quickly cached
 * answers came and gave up after 1.5 s (5 tries from 50 ms, doubled each time); from 400 ms they
 * last the whole deadline.
 */
#define DNS_FORWARD_RETRY_MS 400
/* Of questions that libunbound still works on after we gave up on them, for each one outstanding.
 */
#define DNS_ABANDONED_FACTOR 4
/* Half of what unbound.conf recommends for a small server. The record sets are twice the messages
 * that point to them. */
#define DNS_MESSAGE_CACHE_BYTES_MAX (16u << 20)
#define DNS_RECORD_CACHE_BYTES_MAX (32u << 20)
#define DNS_KEY_CACHE_BYTES_MAX (4u << 20)
#define DNS_NEGATIVE_CACHE_BYTES_MAX (1u << 20)
/* RFC 8767 5: answers that are over their time are used when the servers are silent for 1.8 s, for
 * up to a day. */
#define DNS_STALE_AFTER_MS 1800
#define DNS_STALE_TTL_S 86400
/* Sockets at once, each on a port of its own choice; further queries wait inside libunbound. */
#define DNS_UDP_SOCKETS_MAX 512
#define DNS_TCP_SOCKETS_MAX 32
/* A file with root keys is about 1 KB. */
#define DNS_TRUST_ANCHOR_BYTES_MAX (64 * 1024)

struct dns;

struct dns_id {
	uint64_t v; /* 0: none */
};

struct dns_options {
	struct str forward;	  /* "192.0.2.1@53", "::1@5300"; empty: recursion */
	struct str trust_anchor;  /* path; empty: see above */
	uint32_t deadline_ms;	  /* 0: DNS_DEADLINE_MS */
	uint32_t outstanding_max; /* 0: DNS_OUTSTANDING_MAX */
};

/* The numbers of the DNS_ANSWER record. */
enum dns_security { DNS_INSECURE, DNS_SECURE, DNS_BOGUS };

struct dns_result {
	uint16_t rcode; /* enum dns_rcode or another of DNS's */
	enum dns_security security;
	bool is_timeout;    /* then rcode is DNS_SERVFAIL */
	struct str answers; /* the shape of dns_packet.h; read it with dns_answer_next */
	size_t answers_n;
};

/* r is borrowed for the call. The callback may ask, cancel others and free the resolver. */
typedef void dns_done_fn(void *arg, struct dns_id id, const struct dns_result *r);

/*
 * loop and (for the call) o are borrowed. Opens files. Not ST_OK: the sentence for a person is
 * appended to why (ST_SYNTAX forward is no address, ST_NOTFOUND the trust anchor cannot be read,
 * ST_DENIED it holds no key, ST_LIMIT it is too long, ST_IO libunbound refuses).
 */
enum status dns_new(
    struct loop *loop, const struct dns_options *o, struct dns **out, struct buf *why) MUST_USE;
/* Nobody is called any more. */
void dns_free(struct dns **d);

/*
 * name in presentation form, copied; arg borrowed. ST_UNSUPPORTED: not a type of dns_packet.h;
 * ST_SYNTAX: not a name; ST_LIMIT: name too long, or too many questions are outstanding; ST_IO:
 * libunbound refuses.
 */
enum status dns_ask(struct dns *d, uint16_t rrtype, struct str name, dns_done_fn *done, void *arg,
    struct dns_id *id_out) MUST_USE;
/* Sets *id to none; none and stale ids are fine. */
void dns_cancel(struct dns *d, struct dns_id *id);

struct dns_counts {
	uint64_t asked, answered, timeouts, secure, bogus;
	uint64_t refused;    /* over the limits, not a name, not a type */
	uint64_t unreadable; /* answers with malformed data or too many */
	uint32_t outstanding;
	uint32_t abandoned; /* libunbound still works on them */
};
struct dns_counts dns_counts(const struct dns *d);

#endif
