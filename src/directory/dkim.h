/*
 * The keys that sign mail of a domain (RFC 6376), in the store: the private half sealed with the master key (sealed.h), which no process that
 * reads the store has.
 *
 * Inside a transaction; domains in any spelling. Statuses are those of directory.h: ST_NOTFOUND for a domain or a key that is not there,
 * ST_SYNTAX for a selector that cannot be one, ST_IO also for a record that cannot be read.
 */
#ifndef POSTHORN_DIRECTORY_DKIM_H
#define POSTHORN_DIRECTORY_DKIM_H

#include "base/arena.h"
#include "base/buf.h"
#include "directory/limits.h"
#include "store/store.h"

/* Stored: append only. */
enum dkim_key_state {
	DKIM_KEY_ACTIVE = 1,	/* signs */
	DKIM_KEY_RETIRED = 2,	/* signs no more; its record in the DNS stays until what it signed has arrived */
};

struct dkim_key_record {
	uint8_t algorithm;	/* enum dkim_algorithm (standards/dkim/dkim.h) */
	uint8_t state;
	uint64_t created_ms;	/* wall clock */
	struct str selector;
	struct str sealed;	/* PKCS #8, under directory_dkim_context */
	struct str public;	/* as dkim_record_put takes it */
};

/* Copies into the store; replaces the one of that selector. ST_LIMIT: a string too long, or more than DIRECTORY_DKIM_KEYS_MAX keys. */
enum status directory_dkim_put(struct txn *t, struct str domain, const struct dkim_key_record *k) MUST_USE;
/* Strings copied into a. */
enum status directory_dkim_get(
    struct txn *t, struct str domain, struct str selector, struct arena *a, struct dkim_key_record *out) MUST_USE;
/* All of them in the order of their selectors, array and strings in a (DIRECTORY_DKIM_ARENA_BYTES is enough). A domain without any, or that is not
 * there, has 0. */
enum status directory_dkim_list(
    struct txn *t, struct str domain, struct arena *a, struct dkim_key_record **out, size_t *n_out) MUST_USE;
enum status directory_dkim_remove(struct txn *t, struct str domain, struct str selector) MUST_USE;
/* directory_domain_remove calls it. */
enum status directory_dkim_remove_all(struct txn *t, struct str domain) MUST_USE;

/*
 * Appends the name of a new key: "ph", year, month, and a letter for the algorithm: "ph202611r" (RSA), "ph202611e" (Ed25519). nth 0: just so;
 * from 1 on a number behind it, for a month's further keys.
 */
enum status directory_dkim_selector(uint64_t now_ms, uint8_t algorithm, unsigned nth, struct buf *out) MUST_USE;
/* Appends what the private half is sealed for: "dkim example.org ph202611r". */
enum status directory_dkim_context(struct str domain, struct str selector, struct buf *out) MUST_USE;

#endif
