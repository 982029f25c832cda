/* The bytes of the mailbox's records, and what its files share. Numbers are little-endian. */
#ifndef POSTHORN_MAILBOX_MAILBOX_INTERNAL_H
#define POSTHORN_MAILBOX_MAILBOX_INTERNAL_H

#include "mailbox/mailbox.h"

/* The state: u8 version, 7 unused bytes, then what changes and is spliced. */
#define STATE_BYTES 48
#define STATE_CHANGING_OFF 8
void mailbox_state_encode(const struct mailbox_state *s, char out[STATE_BYTES]);
enum status mailbox_state_decode(struct str record, struct mailbox_state *out) MUST_USE;

#define USAGE_BYTES 24
void mailbox_usage_encode(const struct mailbox_usage *u, char out[USAGE_BYTES]);
enum status mailbox_usage_decode(struct str record, struct mailbox_usage *out) MUST_USE;

void mailbox_entry_encode(const struct mailbox_entry *e, char out[MAILBOX_RECORD_BYTES]);
/* The i-th of a chunk that mailbox_chunk_count found good. */
void mailbox_entry_decode(struct str chunk, size_t i, struct mailbox_entry *out);
uint32_t mailbox_entry_uid(struct str chunk, size_t i);
/* How many records; ST_IO when they are not 1 to MAILBOX_CHUNK_RECORDS whole ones. */
enum status mailbox_chunk_count(struct str chunk, size_t *n_out) MUST_USE;
/* The first with uid >= the given one. */
size_t mailbox_chunk_search(struct str chunk, size_t n, uint32_t uid);

#define MESSAGE_FIXED_BYTES 40
struct message_record {
	struct mailbox_id mailbox;
	struct mailbox_message message;
};
/* Appends. */
enum status mailbox_message_encode(const struct message_record *r, struct buf *out) MUST_USE;
/* head borrows from record. */
enum status mailbox_message_decode(struct str record, struct message_record *out) MUST_USE;

enum status mailbox_usage_put(
    struct txn *t, struct account_id account, const struct mailbox_usage *u) MUST_USE;
enum status mailbox_state_put(const struct mailbox *m) MUST_USE;
/* Removes one message's record, its reference to the body, and with the last one the digest. *ops
 * counts operations. */
enum status mailbox_message_remove(
    struct txn *t, struct account_id account, struct message_id message, size_t *ops) MUST_USE;

#endif
