#include "roles/keys_sealed.h"

#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "standards/dkim/dkim_key.h"

/* One that is open: in the map, and in a ring that a hand goes around when there are too many. */
struct open_key {
	uint8_t name[SHA256_DIGEST_LENGTH];
	EVP_PKEY *pkey;
};

struct keys_sealed {
	struct map by_name;
	struct open_key *open[KEYS_OPEN_MAX];
	size_t n, hand;
	uint64_t signed_n, failed_n, made_n;
};

struct keys_sealed *
keys_sealed_new(void)
{
	struct keys_sealed *k = calloc(1, sizeof(*k));

	CHECK(k != NULL);
	map_init(&k->by_name, KEYS_OPEN_MAX);
	return k;
}

static void
open_key_free(struct open_key *o)
{
	/* libcrypto wipes what it frees of a private key. */
	EVP_PKEY_free(o->pkey);
	free(o);
}

void
keys_sealed_free(struct keys_sealed **kp)
{
	struct keys_sealed *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->n; i++)
		open_key_free(k->open[i]);
	map_fini(&k->by_name);
	free(k);
}

void
keys_sealed_preload(void)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	sealed_preload();
	dkim_preload();
	dkim_key_preload();
	CHECK(EVP_Digest("", 0, digest, NULL, EVP_sha256(), NULL) == 1);
}

/* The context belongs to the name: a sealed key of one record does not open for another. */
static void
name_of(const struct rec_dkim_sign *r, uint8_t out[SHA256_DIGEST_LENGTH])
{
	struct buf all;

	buf_init(
	    &all, SEALED_PLAIN_BYTES_MAX + SEALED_OVERHEAD_BYTES + SEALED_CONTEXT_BYTES_MAX + 16);
	(void)buf_put_c(&all, (char)r->algorithm);
	(void)buf_put_le32(&all, (uint32_t)r->context.n);
	(void)buf_put(&all, r->context);
	(void)buf_put(&all, r->sealed);
	CHECK(!all.full && EVP_Digest(all.p, all.n, out, NULL, EVP_sha256(), NULL) == 1);
	buf_fini(&all);
}

static void
keep(struct keys_sealed *k, struct open_key *o)
{
	size_t at = k->n;

	if (k->n < KEYS_OPEN_MAX) {
		k->n++;
	} else {
		at = k->hand++ % KEYS_OPEN_MAX;
		CHECK(map_del(&k->by_name, str_of(k->open[at]->name, sizeof(o->name))) ==
		      k->open[at]);
		open_key_free(k->open[at]);
	}
	k->open[at] = o;
	CHECK(map_put(&k->by_name, str_of(o->name, sizeof(o->name)), o, NULL) == ST_OK);
}

static enum status
key_open(const uint8_t *master, const struct rec_dkim_sign *r, EVP_PKEY **out)
{
	struct buf plain;
	enum status st;

	buf_init(&plain, DKIM_PRIVATE_BYTES_MAX);
	/* All of it at once: a buf that grows leaves its old bytes behind. */
	CHECK(buf_reserve(&plain, DKIM_PRIVATE_BYTES_MAX) != NULL);
	st = sealed_open(master, r->context, r->sealed, &plain);
	if (st == ST_OK)
		st = dkim_key_load((enum dkim_algorithm)r->algorithm, buf_str(&plain), out);
	sealed_wipe(&plain);
	return st;
}

static EVP_PKEY *
key_get(struct keys_sealed *k, const uint8_t *master, const struct rec_dkim_sign *r)
{
	uint8_t name[SHA256_DIGEST_LENGTH];
	struct open_key *o;
	EVP_PKEY *pkey = NULL;
	enum status st;

	name_of(r, name);
	o = map_get(&k->by_name, str_of(name, sizeof(name)));
	if (o != NULL)
		return o->pkey;
	st = key_open(master, r, &pkey);
	if (st != ST_OK) {
		log_event(LOG_ERROR, "key.unusable", LOG_STR("key", r->context),
		    LOG_CSTR("why", status_word(st)));
		return NULL;
	}
	o = calloc(1, sizeof(*o));
	CHECK(o != NULL);
	memcpy(o->name, name, sizeof(name));
	o->pkey = pkey;
	keep(k, o);
	return pkey;
}

static bool
is_algorithm(uint8_t a)
{
	return a == DKIM_RSA_SHA256 || a == DKIM_ED25519_SHA256;
}

static bool
is_for_dkim(const struct rec_dkim_sign *r)
{
	return is_algorithm(r->algorithm) && r->digest.n == DKIM_HASH_BYTES &&
	       r->context.n <= SEALED_CONTEXT_BYTES_MAX &&
	       r->sealed.n <= SEALED_PLAIN_BYTES_MAX + SEALED_OVERHEAD_BYTES &&
	       str_has_prefix(r->context, STR("dkim "));
}

bool
keys_sealed_sign(struct keys_sealed *k, const uint8_t *master, struct link *l, struct cur *c)
{
	struct rec_dkim_sign r;
	struct buf signature;
	uint8_t digest[DKIM_HASH_BYTES];
	EVP_PKEY *pkey;

	if (!rec_dkim_sign_take(c, &r))
		return false;
	buf_init(&signature, DKIM_RSA_SIGNATURE_BYTES_MAX);
	pkey = master != NULL && is_for_dkim(&r) ? key_get(k, master, &r) : NULL;
	if (pkey != NULL)
		memcpy(digest, r.digest.p, sizeof(digest));
	/* A failure leaves the signature empty, which says it. */
	if (pkey != NULL &&
	    dkim_key_sign(pkey, (enum dkim_algorithm)r.algorithm, digest, &signature) == ST_OK)
		k->signed_n++;
	else
		k->failed_n++;
	(void)rec_dkim_signed_put(link_out(l),
	    &(struct rec_dkim_signed){.ticket = r.ticket, .signature = buf_str(&signature)});
	buf_fini(&signature);
	return true;
}

static enum status
key_make(
    const uint8_t *master, const struct rec_key_make *r, struct buf *sealed, struct buf *public)
{
	struct buf plain;
	enum status st;

	buf_init(&plain, DKIM_PRIVATE_BYTES_MAX);
	CHECK(buf_reserve(&plain, DKIM_PRIVATE_BYTES_MAX) != NULL);
	st = dkim_key_make((enum dkim_algorithm)r->algorithm, &plain, public);
	if (st == ST_OK)
		st = sealed_seal(master, r->context, buf_str(&plain), sealed);
	sealed_wipe(&plain);
	return st;
}

bool
keys_sealed_make(struct keys_sealed *k, const uint8_t *master, struct link *l, struct cur *c)
{
	struct rec_key_make r;
	struct buf sealed, public;
	enum status st = ST_DENIED;

	if (!rec_key_make_take(c, &r))
		return false;
	buf_init(&sealed, DKIM_PRIVATE_BYTES_MAX + SEALED_OVERHEAD_BYTES);
	buf_init(&public, DKIM_PUBLIC_BYTES_MAX);
	if (master != NULL && is_algorithm(r.algorithm))
		st = key_make(master, &r, &sealed, &public);
	if (st == ST_OK) {
		k->made_n++;
	} else {
		buf_reset(&sealed);
		buf_reset(&public);
		k->failed_n++;
		log_event(LOG_ERROR, "key.not_made", LOG_STR("key", r.context),
		    LOG_CSTR("why", status_word(st)));
	}
	(void)rec_key_made_put(link_out(l), &(struct rec_key_made){.ask = r.ask,
						.ok = st == ST_OK,
						.sealed = buf_str(&sealed),
						.public = buf_str(&public)});
	buf_fini(&sealed);
	buf_fini(&public);
	return true;
}

void
keys_sealed_status(const struct keys_sealed *k, struct buf *json)
{
	(void)buf_putf(json,
	    "\"dkim_open\":%zu,\"dkim_signed\":%llu,\"dkim_failed\":%llu,\"keys_made\":%llu", k->n,
	    (unsigned long long)k->signed_n, (unsigned long long)k->failed_n,
	    (unsigned long long)k->made_n);
}
