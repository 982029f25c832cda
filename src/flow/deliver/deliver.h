/*
 * Local delivery: one transaction puts the body once and one message into the INBOX of every
 * recipient.
 *
 * Operations of a delivery to n accounts: the body, the wish for its digest, its references when n
 * > 1, and four small ones per account (record in the chunk, state, head, usage); about 300 bytes
 * of log for one account beyond body and head.
 */
#ifndef POSTHORN_FLOW_DELIVER_DELIVER_H
#define POSTHORN_FLOW_DELIVER_DELIVER_H

#include "mailbox/mailbox.h"

#define DELIVER_RCPTS_MAX \
	1000 /* of one transaction: 4 operations each, and heads of 4 KB fill it */

enum deliver_result {
	DELIVER_OK,
	DELIVER_DUPLICATE, /* the account is there already, with an earlier recipient; message and
			      uid are that one's */
	DELIVER_OVER_QUOTA,
	DELIVER_GONE, /* no such account any more, or disabled since RCPT */
};

struct delivery_rcpt {
	struct account_id account;
	struct str head; /* borrowed: lines with CRLF, this recipient's own */
	/* Results. */
	enum deliver_result result;
	struct message_id message;
	uint32_t uid;
};

/* The body, all borrowed: parts (up to STORE_BLOB_INLINE_MAX bytes together), or a stage. */
struct delivery {
	const struct str *parts;
	size_t parts_n;
	struct store_stage **stage; /* not NULL: instead of parts; stays the caller's */
	uint64_t body_bytes;
	uint64_t now_ms; /* wall clock: internal date */
	int32_t others;	 /* references of the body beyond the accounts': the queue's */
};

/*
 * Inside a transaction. ST_OK: every result is set, also when nobody got it (then nothing was
 * written). Other statuses undo all (ST_LIMIT: more than fits; deliver in parts). May run again.
 * *blob_out: the body, 0 when nobody got it and there are no others.
 */
enum status deliver_message(struct txn *t, const struct delivery *d, struct delivery_rcpt *rcpts,
    size_t n, struct blob_id *blob_out) MUST_USE;

/* The reply for a result other than OK or DUPLICATE: code, enhanced code, text. Static storage. */
struct deliver_reply {
	uint16_t code;
	struct str enhanced;
	struct str text;
};
const struct deliver_reply *deliver_reply(enum deliver_result r);

#endif
