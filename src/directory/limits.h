/* Limits of the directory. */
#ifndef POSTHORN_DIRECTORY_LIMITS_H
#define POSTHORN_DIRECTORY_LIMITS_H

#include "store/schema.h"

/* local@domain in normal form: A-labels can make it longer than the 254 octets that may be sent. */
#define DIRECTORY_ADDRESS_BYTES_MAX (SCHEMA_LOCAL_BYTES_MAX + 1 + SCHEMA_DOMAIN_BYTES_MAX)
/* A record of 100 targets is at most 32 KB, a third of what a value may hold. Longer lists are
 * lists of lists. */
#define DIRECTORY_ALIAS_TARGETS_MAX 100
/* Of one call; a page is filled by one range. */
#define DIRECTORY_PAGE_MAX 1000
/* A refusal with two addresses in it. */
#define DIRECTORY_WHY_BYTES_MAX 1024

/* Two sign; the others have signed what is still on its way. */
#define DIRECTORY_DKIM_KEYS_MAX 16
#define DIRECTORY_DKIM_SELECTOR_BYTES_MAX 63 /* RFC 1035 2.3.4: one label */
/* PKCS #8 of RSA with 4,096 bits is 2,380 bytes, and sealed_seal adds 33; its public half is 550. */
#define DIRECTORY_DKIM_SEALED_BYTES_MAX 2600
#define DIRECTORY_DKIM_PUBLIC_BYTES_MAX 600
#define DIRECTORY_DKIM_ARENA_BYTES (64u << 10)

#define CREDENTIAL_PASSWORD_BYTES_MAX 1024 /* a pass phrase of many words is about 100 */
#define CREDENTIAL_ARGON2_BYTES_MAX                                  \
	192 /* ours are 97; parameters, 64-byte salts and hashes fit \
	     */
#define CREDENTIAL_SALT_BYTES_MAX 64	   /* SCRAM_SALT_BYTES_MAX */
#define CREDENTIAL_ITERATIONS_MIN 4096	   /* RFC 7677 4 */
#define CREDENTIAL_ITERATIONS_MAX 10000000 /* 4 s of CPU */
#define CREDENTIAL_ARGON2_KIB_MAX \
	(1u << 20) /* what we are ready to spend on a record of the store: 1 GiB */
#define CREDENTIAL_ARGON2_PASSES_MAX 100
#define CREDENTIAL_ARGON2_LANES_MAX 16

#endif
