/* What the files of the store role share. */
#ifndef POSTHORN_ROLES_STORE_ROLE_H
#define POSTHORN_ROLES_STORE_ROLE_H

#include "base/map.h"
#include "base/slots.h"
#include "flow/queue/queue.h"
#include "flow/route/route.h"
#include "mailbox/mailbox.h"
#include "roles/role.h"
#include "store/embedded/embedded.h"
#include "sys/disk.h"

enum {
	CAPS_MAX = 200000,
	STAGES_MAX = 100000,
	LIST_PAGE_ENTRIES = 8192,
	MESSAGE_READ_BYTES_MAX = 256 * 1024,
	/* Digests under way: bodies that are with the workers. */
	DIGEST_BYTES_AHEAD = 4 << 20,
	DIGEST_PAGE = 64,
	/* Stored bodies are read on the loop's thread: so much at once, then whoever waits has his turn. */
	DIGEST_READ_BYTES = 512 * 1024,
	DIGEST_READS = 16,
	DIGEST_READ_AGAIN_MS = 1,
	DIGEST_PIECE_BYTES = 256 * 1024,
	/* Digests nobody waits for: workers are woken for so much at once, ... */
	DIGEST_GATHER_BYTES = 64 * 1024,
	DIGEST_GATHER_MS = 20,
	/* ... and what they answer is stored together, with a delivery's sync when there is one. */
	ALLOWANCES_MAX = 1000000,	/* accounts */
	DIGEST_ANSWERS_MAX = 64,
	DIGEST_ANSWERS_MS = 250,
};

/* Whom to answer later: found again by generation, so that no answer goes to a successor. */
struct reply_to {
	enum role_kind kind;
	uint16_t index;
	uint64_t generation;
	uint64_t session;
};

struct store_role {
	struct role *role;
	struct disk *disk;
	struct store *store;
	struct embedded_options *simulated;	/* NULL: a real store, as the settings say */
	struct loop_id watch, tick;
	struct map caps;	/* CAP_BYTES -> struct granted */
	struct map stages;	/* link index + session -> struct store_stage */
	struct route *route;	/* scratch: too large for a stack */
	struct mailbox_entry *entries;	/* scratch, LIST_PAGE_ENTRIES */
	struct buf scratch;
	/* digests */
	uint64_t digest_spread;
	size_t digest_bytes_ahead;
	unsigned digests_ahead;
	bool is_digest_missed;
	struct blob_id digest_after;	/* missed ones up to here are on their way */
	struct loop_id digest_timer;
	/* Copies of what workers have, to know how much: blob -> bytes. */
	struct map digesting;
	/* Answers not stored yet. */
	struct rec_digest_answer answered[DIGEST_ANSWERS_MAX];	/* records owned, by malloc */
	size_t answered_n;
	struct loop_id answered_timer;
	/* commands under way */
	struct admin *admin;
	bool is_paused;		/* smtpin's lines are */
	uint8_t secret[32];	/* of auth, kept in the store */
	/* queue */
	struct arena queue_arena;	/* for one record's work */
	struct map allowances;		/* account -> what it sent in the last hour */
	struct map notice_targets;	/* reverse-path -> how many notices in the last hour */
	struct slots results;
	bool is_forgetting;		/* old events */
	uint64_t delivered_n, queued_n, refused_n, digests_n;
};

struct link *store_role_reply(struct store_role *s, const struct reply_to *to);
struct reply_to store_role_reply_to(const struct store_role *s, const struct link *l, uint64_t session);
/* What a capability opens for the process behind l; NULL: it is none, or another's. */
const struct mailbox_cap *store_role_cap(const struct store_role *s, const struct link *l, struct str cap);
/* This record and what follows on l waits until the store has room again. */
void store_role_hold(struct store_role *s, struct link *l);
uint64_t store_role_wall_ms(const struct store_role *s);

/* store_deliver.c */
bool store_route(struct store_role *s, struct link *l, struct cur *c);
bool store_deliver(struct store_role *s, struct link *l, struct cur *c);
bool store_stage(struct store_role *s, struct link *l, struct cur *c);
bool store_stage_drop(struct store_role *s, struct link *l, struct cur *c);
bool store_sender(struct store_role *s, struct link *l, struct cur *c);
void store_stages_end(struct store_role *s, enum role_kind kind, uint16_t index);
/* The route of an envelope path into s->route; false: the store failed. */
bool store_role_route(struct store_role *s, struct txn *t, struct str path);

/* store_queue.c */
bool store_queue_load(struct store_role *s, struct link *l, struct cur *c);
bool store_queue_fetch(struct store_role *s, struct link *l, struct cur *c);
bool store_queue_read(struct store_role *s, struct link *l, struct cur *c);
/* The queue learns how a message stands; and that nothing of it is left for a destination. */
void store_queue_tell(struct store_role *s, struct queue_id id);
void store_queue_tell_gone(struct store_role *s, struct queue_id id, struct str destination);
/* One message more of this account, to so many; false: not within this hour. */
bool store_allowance_take(struct store_role *s, struct account_id account, size_t rcpts_n);

/* store_result.c */
void store_results_init(struct store_role *s);
void store_results_fini(struct store_role *s);
bool store_queue_result(struct store_role *s, struct link *l, struct cur *c);
bool store_notice_answer(struct store_role *s, struct cur *c);
/* Somebody asked to hear of deliveries (NOTIFY=SUCCESS): m's sender is told of these recipients (flow/report/notice.h). Copies all. */
void store_notice_delivered(struct store_role *s, const struct queue_message *m, struct str rcpts);

/* store_digest.c */
void store_digest_send(struct store_role *s, struct blob_id blob, struct str body);
void store_digest_later(struct store_role *s);
bool store_digest_answer(struct store_role *s, struct cur *c);
void store_digest_worker_down(struct store_role *s);
/* A delivery is about to be synced: what has gathered goes with it. */
void store_digest_with_delivery(struct store_role *s);
void store_digest_fini(struct store_role *s);
/* When there is nothing else under way: what was left undone. */
void store_digest_pump(struct store_role *s);

/* store_events.c */
void store_events_forget(struct store_role *s);

/* ---- the simulator's ---- */

/* Between role_new and GO: the store is opened with these options (copied; what they point to is borrowed), not by the settings. */
void role_store_simulate(struct role *r, const struct embedded_options *o);
/* NULL: not open (yet). */
struct store *role_store_opened(struct role *r);
/* A store without threads has no descriptor that becomes ready: this is its readiness. */
void role_store_ready(struct role *r);

#endif
