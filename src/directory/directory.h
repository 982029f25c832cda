/*
 * Who is here: tenants, their domains, and the accounts and aliases of a domain.
 *
 * Everything works inside a transaction of the store and either does the whole thing or returns a
 * status with nothing left to repair when the transaction is given up. Where an argument `why`
 * stands, a refusal appends one sentence for the person who asked (no newline, no full stop); why
 * may be NULL.
 *
 * Statuses: ST_SYNTAX (no such name or address can be), ST_NOTFOUND, ST_EXISTS, ST_DENIED (it could
 * be, but not now: why says what stands against it), ST_LIMIT, ST_IO (also for a record that cannot
 * be read). Pages: give the last name of the page before (empty for the first), get up to max in
 * the order of names; fewer: the end.
 */
#ifndef POSTHORN_DIRECTORY_DIRECTORY_H
#define POSTHORN_DIRECTORY_DIRECTORY_H

#include "base/cur.h"
#include "directory/credential.h"
#include "directory/limits.h"
#include "store/schema.h"

#define TENANT_DEFAULT ((struct tenant_id){1})

/* ---- names ---- */

/* An address in its normal form, held by value. */
struct directory_address {
	uint16_t n;
	uint16_t at; /* index of the @ */
	char text[DIRECTORY_ADDRESS_BYTES_MAX];
};

struct directory_domain_name {
	uint16_t n;
	char text[SCHEMA_DOMAIN_BYTES_MAX];
};

enum status directory_address_parse(
    struct str text, struct directory_address *out, struct buf *why) MUST_USE;
/* From parts already in normal form; ST_LIMIT. */
enum status directory_address_make(
    struct str local, struct str domain, struct directory_address *out) MUST_USE;
enum status directory_domain_parse(
    struct str text, struct directory_domain_name *out, struct buf *why) MUST_USE;

static inline struct str
directory_address_text(const struct directory_address *a)
{
	return str_of(a->text, a->n);
}

static inline struct str
directory_address_local(const struct directory_address *a)
{
	return str_of(a->text, a->at);
}

static inline struct str
directory_address_domain(const struct directory_address *a)
{
	return str_from(directory_address_text(a), (size_t)a->at + 1);
}

static inline struct str
directory_domain_text(const struct directory_domain_name *d)
{
	return str_of(d->text, d->n);
}

/* ---- tenants ---- */

struct tenant {
	struct tenant_id id;
	uint8_t name_n;
	char name[SCHEMA_NAME_BYTES_MAX];
};

/* Makes what must be there (the default tenant); the first transaction of every start.
 * ST_UNSUPPORTED: a newer layout. */
enum status directory_init(struct txn *t) MUST_USE;
/*
 * A secret of this store, made by its first caller and kept: `auth` makes the salts of unknown users from it, which
 * must be the same after a restart or they would tell who exists.
 */
#define DIRECTORY_SECRET_BYTES 32
enum status directory_secret(struct txn *t, uint8_t out[DIRECTORY_SECRET_BYTES]) MUST_USE;
/* Names are letters, digits and hyphens. */
enum status directory_tenant_add(
    struct txn *t, struct str name, struct tenant_id *id_out, struct buf *why) MUST_USE;
enum status directory_tenant_find(
    struct txn *t, struct str name, struct tenant_id *id_out) MUST_USE;
/* Refused for the default one and while it has domains. */
enum status directory_tenant_remove(struct txn *t, struct str name, struct buf *why) MUST_USE;
enum status directory_tenant_list(
    struct txn *t, struct str after, struct tenant *page, size_t max, size_t *n_out) MUST_USE;

/* ---- domains ---- */

struct domain {
	struct directory_domain_name name;
	struct tenant_id tenant;
	uint32_t aliases_n; /* domains that are an alias of this one */
	struct directory_domain_name
	    alias_of; /* n 0: none. Every address here is the same one there */
	struct directory_address catch_all; /* n 0: none */
};

enum status directory_domain_add(
    struct txn *t, struct tenant_id tenant, struct str name, struct buf *why) MUST_USE;
enum status directory_domain_get(struct txn *t, struct str name, struct domain *out) MUST_USE;
/* target empty: no alias any more. The target is local and no alias itself; an alias has no
 * addresses of its own. */
enum status directory_domain_alias(
    struct txn *t, struct str name, struct str target, struct buf *why) MUST_USE;
/* Where mail for addresses that do not exist goes; empty: nowhere. In a local domain of the same
 * tenant. */
enum status directory_domain_catch_all(
    struct txn *t, struct str name, struct str address, struct buf *why) MUST_USE;
/* Refused while it has accounts or aliases, or domains are aliases of it. */
enum status directory_domain_remove(struct txn *t, struct str name, struct buf *why) MUST_USE;
enum status directory_domain_list(struct txn *t, struct tenant_id tenant, struct str after,
    struct domain *page, size_t max, size_t *n_out) MUST_USE;

/* ---- accounts ---- */

struct account_settings {
	bool is_disabled;
	bool is_pop3_delete_retrieved;
	uint64_t quota_bytes; /* 0: none */
};

struct account {
	struct account_id id;
	struct tenant_id tenant;
	struct directory_address address;
	struct account_settings settings;
	bool is_removing;
};

enum status directory_account_add(struct txn *t, struct str address,
    const struct credential *credential, const struct account_settings *settings,
    struct account_id *id_out, struct buf *why) MUST_USE;
enum status directory_account_get(
    struct txn *t, struct account_id id, struct account *out) MUST_USE;
/* By its primary address, in any spelling. Also how a login name becomes an account. */
enum status directory_account_find(struct txn *t, struct str address, struct account *out) MUST_USE;
enum status directory_account_set(
    struct txn *t, struct account_id id, const struct account_settings *settings) MUST_USE;
enum status directory_account_credential(
    struct txn *t, struct account_id id, struct credential *out) MUST_USE;
enum status directory_account_set_credential(
    struct txn *t, struct account_id id, const struct credential *credential) MUST_USE;
/*
 * Removal in two halves, because mail of any size goes in transactions of bounded size: after begin
 * the address and the credential are gone and nothing is delivered or opened any more;
 * mailbox_account_remove_step takes the mail and calls end. What was begun and not ended is found
 * again with directory_removing_next.
 */
enum status directory_account_remove_begin(
    struct txn *t, struct str address, struct account_id *id_out, struct buf *why) MUST_USE;
enum status directory_account_remove_end(struct txn *t, struct account_id id) MUST_USE;
/* The first after `after` (0: the first of all). ST_NOTFOUND: none. */
enum status directory_removing_next(
    struct txn *t, struct account_id after, struct account_id *id_out) MUST_USE;

/* ---- addresses: accounts and aliases of a domain ---- */

enum directory_kind { DIRECTORY_ACCOUNT = 1, DIRECTORY_ALIAS = 2 };

struct directory_entry {
	enum directory_kind kind;
	struct directory_address address;
	struct account_id account; /* of an account */
	uint32_t targets_n;	   /* of an alias */
};

/*
 * Targets are addresses in local domains of the same tenant: accounts, aliases, or what a catch-all
 * would take; they need not exist yet, routing skips those that do not. Other hosts' addresses are
 * refused.
 */
enum status directory_alias_add(struct txn *t, struct str address, const struct str *targets,
    size_t targets_n, struct buf *why) MUST_USE;
enum status directory_alias_remove(struct txn *t, struct str address, struct buf *why) MUST_USE;

/*
 * What stands at an address (in normal form). targets_out (may be NULL) then walks an alias's
 * targets; it is borrowed until the next write of the transaction.
 */
enum status directory_entry_get(struct txn *t, struct str local, struct str domain,
    struct directory_entry *out, struct cur *targets_out) MUST_USE;
/* Takes the next target, in normal form. ST_EOF. */
enum status directory_target_next(struct cur *targets, struct str *address_out) MUST_USE;
/* after: a local part. kinds: DIRECTORY_ACCOUNT, DIRECTORY_ALIAS or both or-ed. */
enum status directory_entry_list(struct txn *t, struct str domain, unsigned kinds, struct str after,
    struct directory_entry *page, size_t max, size_t *n_out) MUST_USE;

#endif
