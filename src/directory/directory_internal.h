/* Shared by the files of the directory: refusals, and the bytes of its records. */
#ifndef POSTHORN_DIRECTORY_DIRECTORY_INTERNAL_H
#define POSTHORN_DIRECTORY_DIRECTORY_INTERNAL_H

#include "directory/directory.h"

/* Appends the sentence to why (when there is one) and returns st. */
enum status directory_refuse(struct buf *why, enum status st, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* A record that cannot be read is the disk's failure, not the caller's. */
enum status directory_damaged(enum status st);

/* Records: each begins with a version byte; texts are u8 length, bytes. Decoders take nothing but
 * what encoders make. */
#define DIRECTORY_RECORD_BYTES_MAX \
	(DIRECTORY_ALIAS_TARGETS_MAX * (DIRECTORY_ADDRESS_BYTES_MAX + 2) + 64)

enum status directory_domain_encode(const struct domain *d, struct buf *out) MUST_USE;
/* name is not in the record. */
enum status directory_domain_decode(struct str record, struct domain *out) MUST_USE;

enum status directory_account_encode(const struct account *a, struct buf *out) MUST_USE;
enum status directory_account_decode(struct str record, struct account *out) MUST_USE;

/* What stands at an address: an account's id, or an alias's targets (le16 length, bytes, each). */
enum status directory_entry_encode_account(struct account_id id, struct buf *out) MUST_USE;
enum status directory_entry_encode_alias(
    const struct directory_address *targets, size_t n, struct buf *out) MUST_USE;
/* Address is not in the record. targets_out may be NULL. */
enum status directory_entry_decode(
    struct str record, struct directory_entry *out, struct cur *targets_out) MUST_USE;

struct dkim_key_record;
enum status directory_dkim_encode(const struct dkim_key_record *k, struct buf *out) MUST_USE;
/* The selector is not in the record; strings borrowed from it. */
enum status directory_dkim_decode(struct str record, struct dkim_key_record *out) MUST_USE;

/* The domain an address would stand in, which must be local and no alias. */
enum status directory_home_find(
    struct txn *t, const struct directory_address *a, struct domain *out, struct buf *why) MUST_USE;
/* Parses a target and checks that it is in a local domain of the tenant. */
enum status directory_target_parse(struct txn *t, struct tenant_id tenant, struct str text,
    struct directory_address *out, struct buf *why) MUST_USE;

#endif
