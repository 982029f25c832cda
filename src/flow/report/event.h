/*
 * Events: what happened to each message, kept for `posthorn trace` and `posthorn log follow`.
 *
 * An event is one record, in the order in which things happened (ids only grow). The first of a message stands under its names too - sender,
 * recipients, Message-ID, in a keyed hash that only helps to find it - and those that follow under the first one's id. Written in the very
 * transaction that they tell of, so they are true after any crash. Forgotten after a while (event_prune).
 */
#ifndef POSTHORN_FLOW_REPORT_EVENT_H
#define POSTHORN_FLOW_REPORT_EVENT_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/schema.h"

#define EVENT_BYTES_MAX 4096
#define EVENT_RCPTS_BYTES_MAX 2048	/* more recipients are counted, not named */
#define EVENT_NAMES_MAX 64		/* a message of more recipients is not found by the others */
#define EVENT_PRUNE_MAX 256		/* of one transaction */

enum event_kind {
	EVENT_DELIVERED,	/* into mailboxes here */
	EVENT_QUEUED,		/* for other hosts */
	EVENT_SENT,		/* the other host has it */
	EVENT_DEFERRED,
	EVENT_FAILED,
	EVENT_NOTICE,		/* a notice was made: text says which */
	EVENT_HELD,
	EVENT_RELEASED,
	EVENT_RETRIED,
	EVENT_REMOVED,
};
#define EVENT_KINDS (EVENT_REMOVED + 1)
/* "delivered", "queued", ... Static. */
const char *event_kind_word(enum event_kind k);

struct event {
	uint64_t id;		/* set by event_put */
	uint64_t trace;		/* id of the message's first event; 0: this is it */
	uint64_t at_ms, due_ms, bytes;
	uint64_t message;	/* in the queue; 0: never was */
	uint8_t kind;
	uint16_t code, enhanced[3];
	struct str sender;	/* reverse-path */
	struct str rcpts;	/* addresses with a space between */
	struct str message_id, host, ip, tls, text;
};

/* names: under which the message is found, only with a first event. Sets e->id (and e->trace of a first one). */
enum status event_put(struct txn *t, struct event *e, const struct str *names, size_t names_n) MUST_USE;
/* Up to max events after an id, in their order; strings in a. */
enum status event_list(struct txn *t, uint64_t after, struct arena *a, struct event *out, size_t max, size_t *n_out) MUST_USE;
/*
 * The latest traces under this name (an address or a Message-ID, in any case, brackets or not), oldest first: ids of their first events. Two
 * names may share a hash: look at the event.
 */
enum status event_find(struct txn *t, struct str name, uint64_t *out, size_t max, size_t *n_out) MUST_USE;
/* The events of one trace, in their order. */
enum status event_trace(struct txn *t, uint64_t first, struct arena *a, struct event *out, size_t max, size_t *n_out) MUST_USE;
/* The last id there is; 0: none yet. */
enum status event_last(struct txn *t, uint64_t *out) MUST_USE;
/* When the oldest event there is happened. ST_NOTFOUND: there is none. */
enum status event_oldest(struct txn *t, uint64_t *at_ms_out) MUST_USE;
/* Forgets up to EVENT_PRUNE_MAX of those before that time. *is_done_out: none is left. */
enum status event_prune(struct txn *t, uint64_t before_ms, bool *is_done_out) MUST_USE;

#endif
