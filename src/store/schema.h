/*
 * The one place that knows how keys look.
 *
 * A key is a tag and what names the thing; numbers in keys are big-endian, so that byte order is
 * numeric order; names are in their normal form (lower case, A-labels) and never hold a NUL, which
 * separates two of them. Tenant -> domain -> account: a domain belongs to one tenant, an address to
 * one domain, and what an account owns stands under its id, which is never used again. Values
 * belong to the layer that writes them (directory/, mailbox/).
 */
#ifndef POSTHORN_STORE_SCHEMA_H
#define POSTHORN_STORE_SCHEMA_H

#include "base/str.h"
#include "store/store.h"

#define SCHEMA_VERSION 1
#define SCHEMA_DOMAIN_BYTES_MAX 253 /* RFC 1035 2.3.4: 255 octets on the wire are 253 of text */
#define SCHEMA_LOCAL_BYTES_MAX 64   /* RFC 5321 4.5.3.1.1 */
#define SCHEMA_NAME_BYTES_MAX 63    /* of a tenant */
/* An address is the longest: tag, domain, NUL, local part. */
#define SCHEMA_KEY_BYTES_MAX (2 + SCHEMA_DOMAIN_BYTES_MAX + SCHEMA_LOCAL_BYTES_MAX)

struct tenant_id {
	uint32_t v;
};
struct account_id {
	uint64_t v;
};
struct mailbox_id {
	uint64_t v;
};
struct message_id {
	uint64_t v; /* of one account */
};

struct queue_id {
	uint64_t v;
};

enum schema_counter {
	SCHEMA_COUNTER_TENANT = 1,
	SCHEMA_COUNTER_ACCOUNT = 2,
	SCHEMA_COUNTER_QUEUE = 3,
	SCHEMA_COUNTER_EVENT = 4,
};

struct key {
	size_t n;
	char p[SCHEMA_KEY_BYTES_MAX];
};

/* Each writes into k and returns what it wrote, borrowed from k. Names must be within their maxima.
 */
struct str key_version(struct key *k);
struct str key_counter(struct key *k, enum schema_counter which);

struct str key_secret(struct key *k);

struct str key_tenant(struct key *k, struct tenant_id tenant);
struct str key_tenant_name(struct key *k, struct str name);
struct str key_domain(struct key *k, struct str domain);
/* The domains of a tenant in the order of their names; an empty name is before all of them. */
struct str key_tenant_domain(struct key *k, struct tenant_id tenant, struct str domain);
/* Accounts and aliases share the addresses of a domain; an empty local part is before all of them.
 */
struct str key_address(struct key *k, struct str domain, struct str local);
struct str key_account(struct key *k, struct account_id account);
struct str key_credential(struct key *k, struct account_id account);
/* Accounts whose mail is being removed. */
struct str key_removing(struct key *k, struct account_id account);

struct str key_account_state(struct key *k, struct account_id account);
struct str key_mailbox(struct key *k, struct account_id account, struct mailbox_id mailbox);
/* A chunk of message records; uid: the lowest that may be in it. */
struct str key_chunk(
    struct key *k, struct account_id account, struct mailbox_id mailbox, uint32_t uid);
struct str key_message(struct key *k, struct account_id account, struct message_id message);
struct str key_digest(struct key *k, struct blob_id blob);
struct str key_digest_pending(struct key *k, struct blob_id blob);

struct str key_queue(struct key *k, struct queue_id id);
/* Of a message in the queue; index 0 is before all of them. */
struct str key_queue_rcpt(struct key *k, struct queue_id id, uint32_t index);
struct str key_event(struct key *k, uint64_t id);
/* The events that follow a message's first one. */
struct str key_event_trace(struct key *k, uint64_t first, uint64_t id);
/* First events by a hash of a name; id 0 is before all of them. */
struct str key_event_name(struct key *k, uint64_t hash, uint64_t id);
/* A key that signs mail; an empty selector is before all of them. */
struct str key_dkim(struct key *k, struct str domain, struct str selector);

/* The number at the end of such a key; 0 when it is too short for one. */
uint64_t key_last_u64(struct str key);
uint32_t key_last_u32(struct str key);
/* The text behind the NUL, or (no NUL behind the first skip bytes) behind these. */
struct str key_last_name(struct str key, size_t skip);
#define SCHEMA_TENANT_DOMAIN_SKIP 5 /* tag and tenant */

/* The first key behind every key that starts with prefix (which k may hold). */
struct str key_after_prefix(struct key *k, struct str prefix);

#endif
