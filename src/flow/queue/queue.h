/*
 * The queue: what must still go to other hosts, durable in the store.
 *
 * One record per message and one per recipient that is not done yet; the message goes with its last recipient. Everything happens inside a
 * transaction of the store (or, reading, on a snapshot). When what is tried, and by whom, is schedule.h's business; README.md has the table of
 * states and what a crash in each leaves.
 *
 * Times are wall-clock milliseconds. Statuses are the store's; ST_IO also for a record that cannot be read.
 */
#ifndef POSTHORN_FLOW_QUEUE_QUEUE_H
#define POSTHORN_FLOW_QUEUE_QUEUE_H

#include "base/arena.h"
#include "ipc/records.h"
#include "store/schema.h"

#define QUEUE_RCPTS_MAX 1000		/* of one message, as of one transaction of receiving */
#define QUEUE_PATH_BYTES_MAX 320
#define QUEUE_ORCPT_BYTES_MAX 500	/* RFC 3461 4.2 */
#define QUEUE_ENVID_BYTES_MAX 100	/* RFC 3461 4.4 */
#define QUEUE_TEXT_BYTES_MAX 512	/* of another server's reply */
#define QUEUE_HOST_BYTES_MAX 255
#define QUEUE_HEAD_BYTES_MAX 4096
#define QUEUE_MESSAGE_ID_BYTES_MAX 255
/* A message's own record: the longest of everything. */
#define QUEUE_MESSAGE_BYTES_MAX 8192
/* What reading all of a message's recipients takes of an arena. */
#define QUEUE_ARENA_BYTES (4u << 20)

struct queue_message {
	struct queue_id id;
	struct blob_id blob;
	uint64_t body_bytes;
	uint64_t arrived_ms, expires_ms;
	uint64_t by_ms;			/* RFC 2852; 0: none */
	struct account_id account;	/* who submitted it; 0: nobody with a login */
	uint64_t trace;			/* its first event (flow/report/event.h) */
	uint8_t flags, ret, by_mode, priority;	/* as in DELIVER */
	uint32_t rcpts_n;		/* at first; indexes are below */
	struct str reverse_path, head, envid, message_id, sign_domain;
};

enum queue_state { QUEUE_WAITING, QUEUE_HELD };

struct queue_rcpt {
	uint32_t index;
	uint8_t state, notify;		/* enum queue_state; enum envelope_notify */
	bool is_delay_told;
	uint32_t attempts;
	uint64_t due_ms, tried_ms;	/* tried_ms 0: never */
	uint16_t code, enhanced[3];	/* of the last try; code 0: none */
	struct str path, destination, orcpt;
	struct str host, text;		/* who said what at the last try */
};

/* ---- in ---- */

struct queue_new_rcpt {
	struct str path;	/* as given: local part and case are the other host's */
	uint8_t notify;
	struct str orcpt;
};

struct queue_options {
	uint64_t life_ms;
};

/*
 * m: everything but id, rcpts_n, expires_ms (arrived_ms + life, or from hold_until_ms on). Takes one reference of m->blob. hold_until_ms: the
 * first try is not before. ST_SYNTAX: a path has no domain that can be looked up; ST_LIMIT: more than the maxima.
 */
enum status queue_put(struct txn *t, struct queue_message *m, const struct queue_new_rcpt *rcpts, size_t n,
    const struct queue_options *o, uint64_t hold_until_ms) MUST_USE;
/* The id that the next queue_put gives. */
struct queue_id queue_next_id(struct txn *t);
/* The destination of a path: its domain in normal form, or the literal as it is. Appends. */
enum status queue_destination(struct str path, struct buf *out) MUST_USE;

/* ---- reading ---- */

/* Copies into a. ST_NOTFOUND. */
enum status queue_get(struct txn *t, struct queue_id id, struct arena *a, struct queue_message *out) MUST_USE;
/* Those that are left, in the order of their indexes; the array is in a, too. */
enum status queue_rcpts(struct txn *t, struct queue_id id, struct arena *a, struct queue_rcpt **out, size_t *n_out) MUST_USE;
/* Ids after `after`, in their order. */
enum status queue_ids(struct txn *t, struct queue_id after, struct queue_id *out, size_t max, size_t *n_out) MUST_USE;

/* A message and one destination, as the schedule sees it. */
struct queue_entry {
	struct str destination;
	uint32_t rcpts_n, attempts;
	uint64_t due_ms;	/* of the first that is not held */
	bool is_held;		/* all of them are */
};
/* From what queue_rcpts gave; in a. */
enum status queue_entries(const struct queue_rcpt *rcpts, size_t n, struct arena *a, struct queue_entry **out, size_t *n_out) MUST_USE;

/* ---- what became of a try ---- */

struct queue_try {
	struct str destination;
	uint64_t now_ms, due_ms;	/* the next try of those who wait */
	uint64_t notice_ms;		/* after so long the sender is told of a delay; 0: never */
	struct str host;
	uint16_t code, enhanced[3];	/* why those without a result of their own wait */
	struct str text;
	struct str results;		/* as in QUEUE_RESULT */
};

/* One recipient's news, for notices and events. */
struct queue_news {
	struct queue_rcpt rcpt;		/* as it is now, or was when it is gone */
	uint8_t verdict;		/* enum queue_verdict; QUEUE_FAILED also when its time is over */
	bool is_expired;
	bool is_notice_due;		/* by its NOTIFY (RFC 3461 4.1): a bounce, a delivered or relayed notice, or that it is late */
};

/*
 * What it means for every recipient of the destination that waits; changes nothing. ST_SYNTAX: results is malformed. For whoever must
 * prepare a notice before the transaction.
 */
enum status queue_judge(const struct queue_message *m, const struct queue_rcpt *rcpts, size_t n, const struct queue_try *r, struct arena *a,
    struct queue_news **news_out, size_t *n_out) MUST_USE;
/*
 * Applies that to the queue as it is now. *news_out in a. The message's record is gone when nothing is left of it, with its
 * reference to the body (*is_gone_out): whoever needs the body for a notice takes a reference before.
 */
enum status queue_tried(struct txn *t, const struct queue_message *m, const struct queue_try *r, struct arena *a,
    struct queue_news **news_out, size_t *n_out, bool *is_gone_out) MUST_USE;

/* ---- by hand ---- */

enum queue_order { QUEUE_HOLD, QUEUE_RELEASE, QUEUE_RETRY, QUEUE_REMOVE, QUEUE_EXPIRE };
/*
 * destination empty: all of them. *changed_out recipients. QUEUE_EXPIRE makes the next try the last one; QUEUE_REMOVE forgets without a word.
 */
enum status queue_order(struct txn *t, struct queue_id id, struct str destination, enum queue_order order, uint64_t now_ms,
    struct arena *a, size_t *changed_out) MUST_USE;

#endif
