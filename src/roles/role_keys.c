/*
 * keys: holds the private keys and does what needs them. Reads the key files from descriptors that the parent
 * opened; opens none itself, meets no stranger, hashes no password.
 */
#include <stdlib.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "directory/sealed.h"
#include "net/tls.h"
#include "roles/keys_sealed.h"
#include "roles/master_key.h"
#include "roles/role.h"

_Static_assert((int)MASTER_KEY_BYTES == (int)SEALED_KEY_BYTES, "the master key is what seals");

enum { KEYS_MAX = 1024, KEY_FILE_BYTES_MAX = 64 * 1024, SIGN_RESULT_BYTES_MAX = 1024 };

struct key {
	uint32_t id;
	EVP_PKEY *pkey;
};

struct keys {
	struct role *role;
	struct key key[KEYS_MAX];
	size_t n;
	uint8_t master[MASTER_KEY_BYTES]; /* seals the keys that are made at run time */
	bool has_master;
	struct keys_sealed *sealed;
	uint64_t signed_n, refused_n;
};

static void *
keys_new(struct role *r)
{
	struct keys *k = calloc(1, sizeof(*k));

	CHECK(k != NULL);
	k->role = r;
	k->sealed = keys_sealed_new();
	return k;
}

static void
keys_free(void *self)
{
	struct keys *k = self;

	for (size_t i = 0; i < k->n; i++)
		EVP_PKEY_free(k->key[i].pkey);
	keys_sealed_free(&k->sealed);
	OPENSSL_cleanse(k->master, sizeof(k->master));
	free(k);
}

static enum status
keys_prepare(void *self, struct buf *why)
{
	(void)self;
	(void)why;
	tls_process_init();
	keys_sealed_preload();
	return ST_OK;
}

static struct key *
key_find(struct keys *k, uint32_t id)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->key[i].id == id)
			return &k->key[i];
	return NULL;
}

static EVP_PKEY *
key_read(int fd)
{
	char *text = malloc(KEY_FILE_BYTES_MAX);
	size_t n = 0;
	ssize_t got;
	BIO *bio;
	EVP_PKEY *pkey;

	CHECK(text != NULL);
	while (n < KEY_FILE_BYTES_MAX && (got = read(fd, text + n, KEY_FILE_BYTES_MAX - n)) > 0)
		n += (size_t)got;
	bio = BIO_new_mem_buf(text, (int)n);
	CHECK(bio != NULL);
	pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	OPENSSL_cleanse(text, KEY_FILE_BYTES_MAX);
	free(text);
	ERR_clear_error();
	return pkey;
}

/* The parent's descriptor shares its position with the one that the role before us read. One byte more tells a longer file. */
static void
master_read(struct keys *k, int fd)
{
	uint8_t bytes[MASTER_KEY_BYTES + 1];
	bool ok = lseek(fd, 0, SEEK_SET) == 0 && read(fd, bytes, sizeof(bytes)) == MASTER_KEY_BYTES;

	if (ok) {
		memcpy(k->master, bytes, sizeof(k->master));
		k->has_master = true;
	} else {
		log_event(LOG_ERROR, "master_key.unusable", LOG_CSTR("why", "not a file of exactly 32 bytes"));
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
}

static bool
keys_parent_record(void *self, enum record_type t, struct cur *c, struct link *ctl)
{
	struct keys *k = self;
	struct rec_key r;
	struct key *e;
	EVP_PKEY *pkey;
	int fd;

	if (t != REC_KEY || !rec_key_take(c, &r) || (fd = link_take_fd(ctl)) < 0)
		return false;
	if (r.key_id == KEY_ID_MASTER) {
		master_read(k, fd);
		close(fd);
		return true;
	}
	pkey = key_read(fd);
	close(fd);
	if (pkey == NULL) {
		log_event(LOG_ERROR, "key.unusable", LOG_U64("key", r.key_id), LOG_CSTR("why", "no private key in PEM form"));
		return true;
	}
	e = key_find(k, r.key_id);
	if (e == NULL && k->n == KEYS_MAX) {
		EVP_PKEY_free(pkey);
		return true;
	}
	if (e == NULL) {
		e = &k->key[k->n++];
		*e = (struct key){.id = r.key_id};
	}
	EVP_PKEY_free(e->pkey);
	e->pkey = pkey;
	return true;
}

static bool
keys_sign(struct keys *k, struct link *l, struct cur *c)
{
	struct rec_sign r;
	const struct key *e;
	struct buf result;

	if (!rec_sign_take(c, &r))
		return false;
	buf_init(&result, SIGN_RESULT_BYTES_MAX);
	e = key_find(k, r.key_id);
	if (e != NULL && tls_key_sign(e->pkey, r.kind, r.op, r.input, &result) == ST_OK) {
		k->signed_n++;
	} else {
		buf_reset(&result);
		k->refused_n++;
	}
	(void)rec_sign_answer_put(link_out(l), &(struct rec_sign_answer){.ticket = r.ticket, .result = buf_str(&result)});
	buf_fini(&result);
	return true;
}

/* Without the master key every answer is no. */
static bool
keys_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	struct keys *k = self;
	const uint8_t *master = k->has_master ? k->master : NULL;

	if (t == REC_SIGN)
		return keys_sign(k, l, c);
	if (t == REC_DKIM_SIGN)
		return keys_sealed_sign(k->sealed, master, l, c);
	if (t == REC_KEY_MAKE)
		return keys_sealed_make(k->sealed, master, l, c);
	return false;
}

static void
keys_status(void *self, struct buf *json)
{
	const struct keys *k = self;

	(void)buf_putf(json, "\"keys\":%zu,\"has_master\":%s,\"signed\":%llu,\"refused\":%llu,", k->n, k->has_master ? "true" : "false",
	    (unsigned long long)k->signed_n, (unsigned long long)k->refused_n);
	keys_sealed_status(k->sealed, json);
}

const struct role_ops role_keys_ops = {
    .kind = ROLE_KEYS,
    .new = keys_new,
    .free = keys_free,
    .prepare = keys_prepare,
    .record = keys_record,
    .parent_record = keys_parent_record,
    .status = keys_status,
};
