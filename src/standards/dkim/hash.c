#include <openssl/evp.h>

#include "standards/dkim/dkim_internal.h"

/* Looking an algorithm up takes locks and, the first time, files: once per process. */
static EVP_MD *sha256_md;

void
dkim_preload(void)
{
	if (sha256_md == NULL)
		sha256_md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	CHECK(sha256_md != NULL);
}

void
dkim_hash_init(struct dkim_hash *h)
{
	dkim_preload();
	h->staged_n = 0;
	h->ctx = EVP_MD_CTX_new();
	CHECK(h->ctx != NULL && EVP_DigestInit_ex2(h->ctx, sha256_md, NULL) == 1);
}

static void
flush(struct dkim_hash *h)
{
	CHECK(EVP_DigestUpdate(h->ctx, h->stage, h->staged_n) == 1);
	h->staged_n = 0;
}

/* A call of libcrypto costs as much as 50 bytes of SHA-256: short pieces are joined first. */
void
dkim_hash_put(struct dkim_hash *h, struct str s)
{
	if (s.n > sizeof(h->stage) - h->staged_n) {
		flush(h);
		if (s.n > sizeof(h->stage)) {
			CHECK(EVP_DigestUpdate(h->ctx, s.p, s.n) == 1);
			return;
		}
	}
	if (s.n > 0)
		memcpy(h->stage + h->staged_n, s.p, s.n);
	h->staged_n += s.n;
}

void
dkim_hash_put_c(struct dkim_hash *h, char c)
{
	if (h->staged_n == sizeof(h->stage))
		flush(h);
	h->stage[h->staged_n++] = c;
}

void
dkim_hash_end(struct dkim_hash *h, uint8_t out[DKIM_HASH_BYTES])
{
	unsigned n = 0;

	flush(h);
	CHECK(EVP_DigestFinal_ex(h->ctx, out, &n) == 1 && n == DKIM_HASH_BYTES);
	dkim_hash_fini(h);
}

void
dkim_hash_fini(struct dkim_hash *h)
{
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
}
