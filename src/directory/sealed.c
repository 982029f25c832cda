#include "directory/sealed.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/check.h"
#include "base/rnd.h"

enum {
	SEALED_VERSION = 1,
	KEY_ID_BYTES = 4,
	NONCE_BYTES = 12,
	TAG_BYTES = 16,
	/* What stands before the nonce is authenticated with the context. */
	HEAD_BYTES = 1 + KEY_ID_BYTES,
	CIPHER_AT = HEAD_BYTES + NONCE_BYTES,
};

_Static_assert(CIPHER_AT + TAG_BYTES == SEALED_OVERHEAD_BYTES, "the overhead is what it is");

static EVP_CIPHER *aes;
static EVP_MD *sha256_md;

void
sealed_preload(void)
{
	if (aes == NULL)
		aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (sha256_md == NULL)
		sha256_md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	CHECK(aes != NULL && sha256_md != NULL);
}

static void
head_make(const uint8_t key[SEALED_KEY_BYTES], uint8_t out[HEAD_BYTES])
{
	uint8_t hash[32];

	sealed_preload();
	CHECK(EVP_Digest(key, SEALED_KEY_BYTES, hash, NULL, sha256_md, NULL) == 1);
	out[0] = SEALED_VERSION;
	memcpy(out + 1, hash, KEY_ID_BYTES);
	OPENSSL_cleanse(hash, sizeof(hash));
}

/*
 * A context of libcrypto that has read head and context, and goes on with the text. The head has a
 * fixed length, so no two pairs of head and context give the same bytes. p: the seal.
 */
static EVP_CIPHER_CTX *
cipher_begin(const uint8_t key[SEALED_KEY_BYTES], struct str context, const uint8_t *p, int enc)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;

	CHECK(ctx != NULL && EVP_CipherInit_ex2(ctx, aes, key, p + HEAD_BYTES, enc, NULL) == 1);
	CHECK(EVP_CipherUpdate(ctx, NULL, &n, p, HEAD_BYTES) == 1);
	CHECK(context.n == 0 || EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)context.p,
				    (int)context.n) == 1);
	return ctx;
}

static void
cipher_text(EVP_CIPHER_CTX *ctx, const void *in, size_t in_n, uint8_t *out)
{
	int n = 0;

	CHECK(in_n == 0 || EVP_CipherUpdate(ctx, out, &n, in, (int)in_n) == 1);
	CHECK((size_t)n == in_n);
}

enum status
sealed_seal(
    const uint8_t key[SEALED_KEY_BYTES], struct str context, struct str plain, struct buf *out)
{
	EVP_CIPHER_CTX *ctx;
	uint8_t *p;
	int n;

	if (plain.n > SEALED_PLAIN_BYTES_MAX || context.n > SEALED_CONTEXT_BYTES_MAX)
		return ST_LIMIT;
	p = (uint8_t *)buf_reserve(out, plain.n + SEALED_OVERHEAD_BYTES);
	if (p == NULL)
		return ST_LIMIT;
	head_make(key, p);
	rnd_bytes(p + HEAD_BYTES, NONCE_BYTES);
	ctx = cipher_begin(key, context, p, 1);
	cipher_text(ctx, plain.p, plain.n, p + CIPHER_AT);
	CHECK(EVP_CipherFinal_ex(ctx, p + CIPHER_AT + plain.n, &n) == 1 && n == 0);
	CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, p + CIPHER_AT + plain.n) ==
	      1);
	EVP_CIPHER_CTX_free(ctx);
	buf_commit(out, plain.n + SEALED_OVERHEAD_BYTES);
	return ST_OK;
}

static enum status
head_check(const uint8_t key[SEALED_KEY_BYTES], struct str sealed)
{
	uint8_t head[HEAD_BYTES];

	if (sealed.n < SEALED_OVERHEAD_BYTES)
		return ST_SYNTAX;
	if (sealed.n - SEALED_OVERHEAD_BYTES > SEALED_PLAIN_BYTES_MAX)
		return ST_LIMIT;
	head_make(key, head);
	if ((uint8_t)sealed.p[0] != SEALED_VERSION)
		return ST_UNSUPPORTED;
	return CRYPTO_memcmp(head, sealed.p, HEAD_BYTES) == 0 ? ST_OK : ST_DENIED;
}

enum status
sealed_open(
    const uint8_t key[SEALED_KEY_BYTES], struct str context, struct str sealed, struct buf *out)
{
	const uint8_t *p = (const uint8_t *)sealed.p;
	enum status st = head_check(key, sealed);
	uint8_t tag[TAG_BYTES], *room;
	size_t plain_n;
	EVP_CIPHER_CTX *ctx;
	int n;

	if (st != ST_OK)
		return st;
	plain_n = sealed.n - SEALED_OVERHEAD_BYTES;
	if (context.n > SEALED_CONTEXT_BYTES_MAX)
		return ST_LIMIT;
	room = (uint8_t *)buf_reserve(out, plain_n);
	if (room == NULL)
		return ST_LIMIT;
	memcpy(tag, p + CIPHER_AT + plain_n, TAG_BYTES);
	ctx = cipher_begin(key, context, p, 0);
	cipher_text(ctx, p + CIPHER_AT, plain_n, room);
	CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1);
	if (EVP_CipherFinal_ex(ctx, room + plain_n, &n) == 1)
		buf_commit(out, plain_n);
	else {
		OPENSSL_cleanse(room, plain_n);
		st = ST_SYNTAX;
	}
	EVP_CIPHER_CTX_free(ctx);
	return st;
}

void
sealed_wipe(struct buf *b)
{
	if (b->p != NULL)
		OPENSSL_cleanse(b->p, b->cap);
	buf_fini(b);
}
