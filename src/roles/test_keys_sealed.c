/* Keys made, sealed, opened and used, as the store and the relay ask for it. */
#include <openssl/evp.h>

#include "base/check.h"
#include "base/log.h"
#include "base/unit.h"
#include "roles/keys_sealed.h"
#include "standards/dkim/dkim_key.h"
#include "sys/sock.h"

static const uint8_t master[SEALED_KEY_BYTES] = {1, 2, 3}, other[SEALED_KEY_BYTES] = {4};
static uint8_t digest[DKIM_HASH_BYTES] = {7};

struct asked {
	struct clock clock;
	struct loop *loop;
	struct link *keys, *peer; /* the two ends */
	struct keys_sealed *k;
	const uint8_t *master;
	int answers;
	bool ok;
	struct buf sealed, public, signature;
};

static bool
keys_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct asked *a = arg;

	return t == REC_DKIM_SIGN ? keys_sealed_sign(a->k, a->master, l, c)
				  : keys_sealed_make(a->k, a->master, l, c);
}

static bool
peer_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct asked *a = arg;
	struct rec_key_made made;
	struct rec_dkim_signed s;

	(void)l;
	a->answers++;
	if (t == REC_KEY_MADE && rec_key_made_take(c, &made)) {
		a->ok = made.ok != 0;
		buf_reset(&a->sealed);
		buf_reset(&a->public);
		(void)buf_put(&a->sealed, made.sealed);
		(void)buf_put(&a->public, made.public);
	} else if (t == REC_DKIM_SIGNED && rec_dkim_signed_take(c, &s)) {
		EXPECT(s.ticket == 9);
		buf_reset(&a->signature);
		(void)buf_put(&a->signature, s.signature);
	}
	return true;
}

static void
closed(void *arg, struct link *l)
{
	(void)arg;
	(void)l;
	check_failed(__FILE__, __LINE__, "the line stays");
}

static const struct link_handler keys_handler = {.record = keys_record, .closed = closed};
static const struct link_handler peer_handler = {.record = peer_record, .closed = closed};

static void
asked_init(struct asked *a, enum role_kind peer)
{
	int fds[2];

	*a = (struct asked){.master = master};
	clock_init_fake(&a->clock, 1000);
	a->loop = loop_new(&a->clock);
	CHECK(sock_pair(fds) == ST_OK);
	a->keys = link_new(a->loop, fds[0], ROLE_KEYS, peer, 0, false, &keys_handler, a);
	a->peer = link_new(a->loop, fds[1], peer, ROLE_KEYS, 0, false, &peer_handler, a);
	a->k = keys_sealed_new();
	buf_init(&a->sealed, 10000);
	buf_init(&a->public, 1000);
	buf_init(&a->signature, 1000);
}

static void
asked_fini(struct asked *a)
{
	keys_sealed_free(&a->k);
	link_free(&a->keys);
	link_free(&a->peer);
	buf_fini(&a->sealed);
	buf_fini(&a->public);
	buf_fini(&a->signature);
	loop_free(&a->loop);
}

static void
turns(struct asked *a)
{
	a->answers = 0;
	for (int i = 0; i < 10; i++)
		(void)loop_turn(a->loop, 0);
	EXPECT(a->answers == 1);
}

static void
make(struct asked *a, uint8_t algorithm, struct str context)
{
	(void)rec_key_make_put(link_out(a->peer),
	    &(struct rec_key_make){.ask = 5, .algorithm = algorithm, .context = context});
	turns(a);
}

static void
sign(struct asked *a, uint8_t algorithm, struct str context, size_t digest_n)
{
	(void)rec_dkim_sign_put(link_out(a->peer), &(struct rec_dkim_sign){.ticket = 9,
						       .algorithm = algorithm,
						       .context = context,
						       .sealed = buf_str(&a->sealed),
						       .digest = str_of(digest, digest_n)});
	turns(a);
}

static bool
is_good(struct asked *a)
{
	EVP_PKEY *p = EVP_PKEY_new_raw_public_key(
	    EVP_PKEY_ED25519, NULL, (const unsigned char *)a->public.p, a->public.n);
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok = p != NULL && EVP_DigestVerifyInit(c, NULL, NULL, NULL, p) == 1 &&
		  EVP_DigestVerify(c, (const unsigned char *)a->signature.p, a->signature.n, digest,
		      sizeof(digest)) == 1;

	EVP_MD_CTX_free(c);
	EVP_PKEY_free(p);
	return ok;
}

/* The same key ring, asked by both: the store makes, the relay signs. */
static void
relay_asks(struct asked *relay, const struct asked *store)
{
	asked_init(relay, ROLE_RELAY);
	(void)buf_put(&relay->sealed, buf_str(&store->sealed));
	(void)buf_put(&relay->public, buf_str(&store->public));
}

static void
a_key_is_made_and_used(void)
{
	static const struct {
		uint8_t algorithm;
		size_t signature_n;
	} kinds[] = {{DKIM_ED25519_SHA256, 64}, {DKIM_RSA_SHA256, 256}};

	for (size_t i = 0; i < 2; i++) {
		struct asked s, r;

		asked_init(&s, ROLE_STORE);
		make(&s, kinds[i].algorithm, STR("dkim example.org s1"));
		EXPECT(s.ok && s.sealed.n > SEALED_OVERHEAD_BYTES && s.public.n > 0);
		relay_asks(&r, &s);
		for (int k = 0; k < 3; k++) {
			sign(&r, kinds[i].algorithm, STR("dkim example.org s1"), sizeof(digest));
			EXPECT(r.signature.n == kinds[i].signature_n);
			EXPECT(i == 1 || is_good(&r));
		}
		asked_fini(&r);
		asked_fini(&s);
	}
}

static void
what_is_not_right_is_refused(void)
{
	struct asked s, r;

	asked_init(&s, ROLE_STORE);
	make(&s, DKIM_ED25519_SHA256, STR("dkim example.org s1"));
	relay_asks(&r, &s);
	sign(&r, DKIM_ED25519_SHA256, STR("dkim example.org s1"), sizeof(digest));
	EXPECT(r.signature.n == 64);
	/* Open now, but not for another name, algorithm, purpose or digest. */
	sign(&r, DKIM_ED25519_SHA256, STR("dkim example.com s1"), sizeof(digest));
	EXPECT(r.signature.n == 0);
	sign(&r, DKIM_RSA_SHA256, STR("dkim example.org s1"), sizeof(digest));
	EXPECT(r.signature.n == 0);
	sign(&r, 3, STR("dkim example.org s1"), sizeof(digest));
	EXPECT(r.signature.n == 0);
	sign(&r, DKIM_ED25519_SHA256, STR("tls example.org"), sizeof(digest));
	EXPECT(r.signature.n == 0);
	sign(&r, DKIM_ED25519_SHA256, STR("dkim example.org s1"), sizeof(digest) - 1);
	EXPECT(r.signature.n == 0);
	r.sealed.p[40] ^= 1;
	sign(&r, DKIM_ED25519_SHA256, STR("dkim example.org s1"), sizeof(digest));
	EXPECT(r.signature.n == 0);
	r.sealed.p[40] ^= 1;
	asked_fini(&r);
	/* Another master key, or none. */
	relay_asks(&r, &s);
	r.master = other;
	sign(&r, DKIM_ED25519_SHA256, STR("dkim example.org s1"), sizeof(digest));
	EXPECT(r.signature.n == 0);
	r.master = NULL;
	sign(&r, DKIM_ED25519_SHA256, STR("dkim example.org s1"), sizeof(digest));
	EXPECT(r.signature.n == 0);
	asked_fini(&r);
	s.master = NULL;
	make(&s, DKIM_ED25519_SHA256, STR("dkim example.org s1"));
	EXPECT(!s.ok && s.sealed.n == 0 && s.public.n == 0);
	s.master = master;
	make(&s, 77, STR("dkim example.org s1"));
	EXPECT(!s.ok && s.sealed.n == 0);
	asked_fini(&s);
}

/* The oldest goes when there are too many, and comes back when it is asked for. */
static void
open_keys_are_limited(void)
{
	struct asked s, r;
	struct buf name, first;

	asked_init(&s, ROLE_STORE);
	asked_init(&r, ROLE_RELAY);
	buf_init(&name, 100);
	buf_init(&first, 1000);
	for (int i = 0; i <= KEYS_OPEN_MAX; i++) {
		buf_reset(&name);
		(void)buf_putf(&name, "dkim d%d.example s1", i);
		make(&s, DKIM_ED25519_SHA256, buf_str(&name));
		buf_reset(&r.sealed);
		(void)buf_put(&r.sealed, buf_str(&s.sealed));
		if (i == 0)
			(void)buf_put(&first, buf_str(&s.sealed));
		sign(&r, DKIM_ED25519_SHA256, buf_str(&name), sizeof(digest));
		EXPECT(r.signature.n == 64);
	}
	buf_reset(&name);
	keys_sealed_status(r.k, &name);
	EXPECT(str_has_prefix(buf_str(&name), STR("\"dkim_open\":1000,")));
	buf_reset(&r.sealed);
	(void)buf_put(&r.sealed, buf_str(&first));
	sign(&r, DKIM_ED25519_SHA256, STR("dkim d0.example s1"), sizeof(digest));
	EXPECT(r.signature.n == 64);
	buf_fini(&name);
	buf_fini(&first);
	asked_fini(&r);
	asked_fini(&s);
}

int
main(void)
{
	log_setup("test", 2, LOG_ERROR, LOG_TEXT, NULL);
	log_set_level((enum log_level)(LOG_ERROR + 1));
	keys_sealed_preload();
	UNIT(a_key_is_made_and_used);
	UNIT(what_is_not_right_is_refused);
	UNIT(open_keys_are_limited);
	return unit_end();
}
