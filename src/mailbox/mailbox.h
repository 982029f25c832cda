/*
 * The mailbox as IMAP, POP3, JMAP and webmail all see it.
 *
 * Everything happens inside a transaction (or, reading, a snapshot) of the store, on a struct
 * mailbox that mailbox_open made from a capability: there is no other way in, so no handler can
 * forget a right. A struct mailbox lives on the caller's stack and ends with its transaction.
 *
 * Statuses: ST_NOTFOUND, ST_DENIED (the capability does not give the right, has expired, or the
 * transaction may not write), ST_LIMIT, ST_IO (also a record that cannot be read); others are the
 * store's.
 */
#ifndef POSTHORN_MAILBOX_MAILBOX_H
#define POSTHORN_MAILBOX_MAILBOX_H

#include "base/cur.h"
#include "mailbox/limits.h"
#include "store/schema.h"

#define MAILBOX_INBOX ((struct mailbox_id){1})

enum mailbox_right {
	MAILBOX_READ = 1,
	MAILBOX_FLAGS = 2,
	MAILBOX_INSERT = 4,
	MAILBOX_EXPUNGE = 8,
	MAILBOX_RIGHTS_ALL = 15,
};

/* What `auth` gives after a login. expires_ms: wall clock. */
struct mailbox_cap {
	struct account_id account;
	uint32_t rights;
	uint64_t expires_ms;
};

/* Delivery's own: it may insert and nothing else. */
struct mailbox_cap mailbox_cap_for_delivery(struct account_id account);

/* RFC 9051 2.3.2; bits from 16 up are for keywords. */
enum mailbox_flag {
	MAILBOX_SEEN = 1,
	MAILBOX_ANSWERED = 2,
	MAILBOX_FLAGGED = 4,
	MAILBOX_DELETED = 8,
	MAILBOX_DRAFT = 16,
};

struct mailbox_state {
	uint32_t uidvalidity; /* 0: nothing was ever in this INBOX */
	uint32_t uidnext;
	uint32_t count;
	uint32_t unseen;
	uint64_t highest_modseq; /* of the account's clock, see mailbox_usage */
	uint64_t bytes;
	/* Where the next record goes. */
	uint32_t chunk_uid;
	uint32_t chunk_n;
};

struct mailbox {
	struct txn *txn; /* borrowed */
	struct account_id account;
	struct mailbox_id id;
	uint32_t rights;
	uint64_t now_ms;
	struct mailbox_state state;
};

struct mailbox_entry {
	struct message_id message;
	uint64_t modseq;
	uint64_t date_ms;
	uint32_t uid;
	uint32_t flags;
	uint32_t size_bytes; /* head and body, as transmitted */
};

/*
 * An account's INBOX always opens; any other id must exist. now_ms: wall clock. ST_DENIED also when
 * the account is gone or going. What did not open has no rights, so that forgetting the status
 * reads nothing.
 */
enum status mailbox_open(struct txn *t, const struct mailbox_cap *cap, struct mailbox_id id,
    uint32_t rights, uint64_t now_ms, struct mailbox *out) MUST_USE;

struct mailbox_append {
	struct blob_id blob; /* takes one reference */
	uint64_t body_bytes; /* of the blob */
	struct str head;     /* borrowed */
	uint32_t flags;
	uint64_t date_ms;
};

/* Four small operations. ST_LIMIT: head too long, message over 4 GB, no uids left. */
enum status mailbox_append(
    struct mailbox *m, const struct mailbox_append *a, struct mailbox_entry *entry_out) MUST_USE;

/* Fills up to max entries in the order of uids, from the position-th (0 is the first) or from the
 * first with uid >= from. */
enum status mailbox_list(const struct mailbox *m, uint32_t position, struct mailbox_entry *entries,
    size_t max, size_t *n_out) MUST_USE;
enum status mailbox_list_uid(const struct mailbox *m, uint32_t from, struct mailbox_entry *entries,
    size_t max, size_t *n_out) MUST_USE;
enum status mailbox_find(const struct mailbox *m, uint32_t uid, struct mailbox_entry *out) MUST_USE;

struct mailbox_message {
	struct blob_id blob;
	struct str head; /* borrowed until the next write of the transaction (a snapshot's: until
			    the next transaction) */
	uint64_t body_bytes;
	uint64_t date_ms;
	uint32_t uid;
};

/* ST_NOTFOUND also when the message is in another mailbox. */
enum status mailbox_message_get(
    const struct mailbox *m, struct message_id message, struct mailbox_message *out) MUST_USE;
/* Appends up to n bytes from off of head and body as one; fewer at the end. */
enum status mailbox_message_read(const struct mailbox *m, const struct mailbox_message *message,
    uint64_t off, size_t n, struct buf *out) MUST_USE;
/* What `worker` made of the body. Borrowed as head is. ST_NOTFOUND: not yet. */
enum status mailbox_message_digest(const struct mailbox *m, const struct mailbox_message *message,
    struct str *digest_out) MUST_USE;

enum mailbox_flags_how { MAILBOX_FLAGS_SET, MAILBOX_FLAGS_ADD, MAILBOX_FLAGS_REMOVE };

/*
 * Both take uids in strictly ascending order (else ST_SYNTAX), skip those that are not there, and
 * may stop before the end, when the transaction is well filled: *taken_out uids were dealt with, at
 * least one; go on with the rest in another one. *changed_out (may be NULL): messages.
 */
enum status mailbox_flags_set(struct mailbox *m, const uint32_t *uids, size_t n,
    enum mailbox_flags_how how, uint32_t flags, size_t *taken_out, size_t *changed_out) MUST_USE;
enum status mailbox_expunge(struct mailbox *m, const uint32_t *uids, size_t n, size_t *taken_out,
    size_t *changed_out) MUST_USE;

/* ---- beside the mailboxes ---- */

struct mailbox_usage {
	uint64_t
	    clock; /* counts every change in the account; modseqs and message ids are its values */
	uint64_t bytes; /* of all messages */
	uint64_t messages;
};

/* For quotas; reveals no mail. An account without mail has zeros. */
enum status mailbox_usage(
    struct txn *t, struct account_id account, struct mailbox_usage *out) MUST_USE;

/*
 * Digests of bodies: wanted when a body arrives, made by `worker`, shared by all who have that
 * body, gone with the last of them. Pages of wanted ones in the order of their arrival, after a
 * blob (0: from the start).
 */
enum status mailbox_digest_want(struct txn *t, struct blob_id blob) MUST_USE;
enum status mailbox_digest_pending(
    struct txn *t, struct blob_id after, struct blob_id *blobs, size_t max, size_t *n_out) MUST_USE;
/* ST_NOTFOUND: the body is gone meanwhile; the wish is forgotten too, so let the transaction stand.
 */
enum status mailbox_digest_put(struct txn *t, struct blob_id blob, struct str digest) MUST_USE;

/* One transaction's worth of the removal that directory_account_remove_begin began; again until
 * *is_done_out. */
enum status mailbox_account_remove_step(
    struct txn *t, struct account_id account, bool *is_done_out) MUST_USE;

#endif
