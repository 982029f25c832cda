#include "store/schema.h"

#include "base/check.h"
#include "base/num.h"

/* No tag is 0xff, so that every prefix has a key behind it. */
enum tag {
	TAG_VERSION = 'v',
	TAG_COUNTER = 'c',
	TAG_SECRET = 's',
	TAG_TENANT = 't',
	TAG_TENANT_NAME = 'u',
	TAG_DOMAIN = 'd',
	TAG_TENANT_DOMAIN = 'e',
	TAG_ADDRESS = 'a',
	TAG_ACCOUNT = 'A',
	TAG_CREDENTIAL = 'C',
	TAG_REMOVING = 'R',
	TAG_ACCOUNT_STATE = 'S',
	TAG_MAILBOX = 'M',
	TAG_CHUNK = 'K',
	TAG_MESSAGE = 'B',
	TAG_DIGEST = 'G',
	TAG_DIGEST_PENDING = 'P',
	TAG_QUEUE = 'q',
	TAG_QUEUE_RCPT = 'r',
	TAG_EVENT = 'E',
	TAG_EVENT_TRACE = 'F',
	TAG_EVENT_NAME = 'N',
	TAG_DKIM = 'k',
};

static void
put_bytes(struct key *k, struct str s)
{
	CHECK(s.n <= sizeof(k->p) - k->n);
	if (s.n)
		memcpy(k->p + k->n, s.p, s.n);
	k->n += s.n;
}

static void
put_c(struct key *k, char c)
{
	CHECK(k->n < sizeof(k->p));
	k->p[k->n++] = c;
}

static void
put_u32(struct key *k, uint32_t v)
{
	char bytes[4];

	be32_put(bytes, v);
	put_bytes(k, str_of(bytes, sizeof(bytes)));
}

static void
put_u64(struct key *k, uint64_t v)
{
	char bytes[8];

	be64_put(bytes, v);
	put_bytes(k, str_of(bytes, sizeof(bytes)));
}

static void
start(struct key *k, enum tag tag)
{
	k->n = 0;
	put_c(k, (char)tag);
}

static struct str
end(const struct key *k)
{
	return str_of(k->p, k->n);
}

static struct str
tag_u64(struct key *k, enum tag tag, uint64_t v)
{
	start(k, tag);
	put_u64(k, v);
	return end(k);
}

static struct str
tag_name(struct key *k, enum tag tag, struct str name)
{
	start(k, tag);
	put_bytes(k, name);
	return end(k);
}

struct str
key_version(struct key *k)
{
	start(k, TAG_VERSION);
	return end(k);
}

struct str
key_counter(struct key *k, enum schema_counter which)
{
	start(k, TAG_COUNTER);
	put_c(k, (char)which);
	return end(k);
}

struct str
key_secret(struct key *k)
{
	start(k, TAG_SECRET);
	return end(k);
}

struct str
key_tenant(struct key *k, struct tenant_id tenant)
{
	start(k, TAG_TENANT);
	put_u32(k, tenant.v);
	return end(k);
}

struct str
key_tenant_name(struct key *k, struct str name)
{
	return tag_name(k, TAG_TENANT_NAME, name);
}

struct str
key_domain(struct key *k, struct str domain)
{
	return tag_name(k, TAG_DOMAIN, domain);
}

struct str
key_tenant_domain(struct key *k, struct tenant_id tenant, struct str domain)
{
	start(k, TAG_TENANT_DOMAIN);
	put_u32(k, tenant.v);
	put_bytes(k, domain);
	return end(k);
}

struct str
key_address(struct key *k, struct str domain, struct str local)
{
	start(k, TAG_ADDRESS);
	put_bytes(k, domain);
	put_c(k, '\0');
	put_bytes(k, local);
	return end(k);
}

struct str
key_account(struct key *k, struct account_id account)
{
	return tag_u64(k, TAG_ACCOUNT, account.v);
}

struct str
key_credential(struct key *k, struct account_id account)
{
	return tag_u64(k, TAG_CREDENTIAL, account.v);
}

struct str
key_removing(struct key *k, struct account_id account)
{
	return tag_u64(k, TAG_REMOVING, account.v);
}

struct str
key_account_state(struct key *k, struct account_id account)
{
	return tag_u64(k, TAG_ACCOUNT_STATE, account.v);
}

struct str
key_mailbox(struct key *k, struct account_id account, struct mailbox_id mailbox)
{
	start(k, TAG_MAILBOX);
	put_u64(k, account.v);
	put_u64(k, mailbox.v);
	return end(k);
}

struct str
key_chunk(struct key *k, struct account_id account, struct mailbox_id mailbox, uint32_t uid)
{
	start(k, TAG_CHUNK);
	put_u64(k, account.v);
	put_u64(k, mailbox.v);
	put_u32(k, uid);
	return end(k);
}

struct str
key_message(struct key *k, struct account_id account, struct message_id message)
{
	start(k, TAG_MESSAGE);
	put_u64(k, account.v);
	put_u64(k, message.v);
	return end(k);
}

struct str
key_digest(struct key *k, struct blob_id blob)
{
	return tag_u64(k, TAG_DIGEST, blob.v);
}

struct str
key_digest_pending(struct key *k, struct blob_id blob)
{
	return tag_u64(k, TAG_DIGEST_PENDING, blob.v);
}

struct str
key_queue(struct key *k, struct queue_id id)
{
	return tag_u64(k, TAG_QUEUE, id.v);
}

struct str
key_queue_rcpt(struct key *k, struct queue_id id, uint32_t index)
{
	start(k, TAG_QUEUE_RCPT);
	put_u64(k, id.v);
	put_u32(k, index);
	return end(k);
}

struct str
key_event(struct key *k, uint64_t id)
{
	return tag_u64(k, TAG_EVENT, id);
}

static struct str
tag_u64_u64(struct key *k, enum tag tag, uint64_t a, uint64_t b)
{
	start(k, tag);
	put_u64(k, a);
	put_u64(k, b);
	return end(k);
}

struct str
key_event_trace(struct key *k, uint64_t first, uint64_t id)
{
	return tag_u64_u64(k, TAG_EVENT_TRACE, first, id);
}

struct str
key_event_name(struct key *k, uint64_t hash, uint64_t id)
{
	return tag_u64_u64(k, TAG_EVENT_NAME, hash, id);
}

struct str
key_dkim(struct key *k, struct str domain, struct str selector)
{
	start(k, TAG_DKIM);
	put_bytes(k, domain);
	put_c(k, '\0');
	put_bytes(k, selector);
	return end(k);
}

uint64_t
key_last_u64(struct str key)
{
	return key.n > 8 ? be64_get(key.p + key.n - 8) : 0;
}

uint32_t
key_last_u32(struct str key)
{
	return key.n > 4 ? be32_get(key.p + key.n - 4) : 0;
}

struct str
key_last_name(struct str key, size_t skip)
{
	struct str rest = str_from(key, skip), name;

	return str_split(rest, '\0', &rest, &name) ? name : rest;
}

struct str
key_after_prefix(struct key *k, struct str prefix)
{
	CHECK(prefix.n <= sizeof(k->p));
	memmove(k->p, prefix.p, prefix.n);
	k->n = prefix.n;
	while (k->n && (unsigned char)k->p[k->n - 1] == 0xff)
		k->n--;
	CHECK(k->n);
	k->p[k->n - 1]++;
	return end(k);
}
