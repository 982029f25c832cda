/*
 * Keys that are made at run time: they live sealed in the store (directory/sealed.h), come with
 * each request, and are open only here. Those opened last stay open, found by the SHA-256 of their
 * sealed form, so that a signature costs no decryption and no parsing.
 */
#ifndef POSTHORN_ROLES_KEYS_SEALED_H
#define POSTHORN_ROLES_KEYS_SEALED_H

#include "directory/sealed.h"
#include "ipc/link.h"

/* Keys kept open; an RSA key of 2,048 bits takes about 6 KB. */
#define KEYS_OPEN_MAX 1000

struct keys_sealed;

struct keys_sealed *keys_sealed_new(void);
void keys_sealed_free(struct keys_sealed **k);
/* What opens files: before a sandbox. */
void keys_sealed_preload(void);
/*
 * DKIM_SIGN and KEY_MAKE, answered on l. master: SEALED_KEY_BYTES, borrowed for the call; NULL:
 * there is none, and the answer is that it failed. False: malformed.
 */
bool keys_sealed_sign(struct keys_sealed *k, const uint8_t *master, struct link *l, struct cur *c);
bool keys_sealed_make(struct keys_sealed *k, const uint8_t *master, struct link *l, struct cur *c);
/* Members of an object. */
void keys_sealed_status(const struct keys_sealed *k, struct buf *json);

#endif
