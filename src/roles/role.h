/*
 * A role: one process of the posthorn binary with a sandbox, a line to the parent and lines to its peers.
 *
 * What all roles share stands here; what one does is its struct role_ops. Life of a role:
 *   SETTINGS, CERTIFICATE, KEY, LISTENER, LINK (from the parent, any number) -> GO:
 *   ops.prepare (still unconfined: library initialisation, no stranger's byte yet)
 *   sandbox_confine; ops.open (as the confined user: its files); sandbox_lock; ops.start; READY.
 * Afterwards SETTINGS + GO again mean reload, LINK a restarted peer, STOP the end.
 * With --single the same objects live in one process without a sandbox. No role keeps globals.
 */
#ifndef POSTHORN_ROLES_ROLE_H
#define POSTHORN_ROLES_ROLE_H

#include "base/arena.h"
#include "base/clock.h"
#include "ipc/link.h"
#include "ipc/records.h"
#include "sys/loop.h"

#define ROLE_PEERS_MAX 224	/* 64 smtpin + 64 access + 64 relay + ... */

struct role;

struct role_ops {
	enum role_kind kind;
	unsigned sandbox_allow;
	int nice;	/* of its processes (setpriority): who works while nobody waits lets the others go first */
	void *(*new)(struct role *r);
	void (*free)(void *self);
	enum status (*prepare)(void *self, struct buf *why);			/* may be NULL */
	enum status (*open)(void *self, const char *data_root, struct buf *why);	/* may be NULL */
	void (*start)(void *self);						/* may be NULL */
	/* Records from peers; false closes the link. */
	bool (*record)(void *self, struct link *l, enum record_type t, struct cur *c);
	/* CERTIFICATE, KEY and answers from the parent; NULL: none. */
	bool (*parent_record)(void *self, enum record_type t, struct cur *c, struct link *ctl);
	void (*listener)(void *self, const struct rec_listener *rec, int fd);	/* takes fd; NULL: none */
	void (*link_up)(void *self, struct link *l);				/* may be NULL */
	void (*link_down)(void *self, enum role_kind peer, uint16_t index);	/* may be NULL */
	void (*drained)(void *self, struct link *l);				/* may be NULL */
	void (*reload)(void *self);						/* settings have changed; may be NULL */
	/* Graceful: finish sessions, then role_stopped. NULL: stops at once. */
	void (*stop)(void *self);
	void (*status)(void *self, struct buf *json);	/* members of an object, no braces; may be NULL */
};

extern const struct role_ops role_smtpin_ops, role_access_ops, role_worker_ops, role_queue_ops, role_store_ops,
    role_keys_ops, role_auth_ops, role_resolver_ops, role_relay_ops;

const struct role_ops *role_ops_of(enum role_kind k);

/* Takes fd, the line to the parent. loop and clock borrowed. */
struct role *role_new(const struct role_ops *ops, struct loop *loop, int ctl_fd);
void role_free(struct role **r);

/* What ops->new made: for a role's own functions beside its ops. */
void *role_self(struct role *r);

/* ---- for the ops ---- */
struct loop *role_loop(struct role *r);
const struct rec_settings *role_settings(const struct role *r);	/* strings live until the next reload */
struct link *role_link(struct role *r, enum role_kind peer, uint16_t index);	/* NULL: down */
/* Any link to that kind, chosen by `spread`; NULL: none is up. */
struct link *role_link_any(struct role *r, enum role_kind peer, uint64_t spread);
/* Changes whenever a link to that peer is new: an answer to a former process is dropped. */
uint64_t role_link_generation(const struct role *r, enum role_kind peer, uint16_t index);
struct link *role_parent(struct role *r);
uint64_t role_drain_ms(const struct role *r);	/* for ops.stop: how long sessions may go on */
void role_stopped(struct role *r);	/* the loop ends (or, in --single, the parent is told) */
/* The role cannot go on: tells the parent why; the process exits with failure. */
void role_fail(struct role *r, struct str why);

/* The process: posthorn role NAME, with the parent's line at descriptor 3. Returns the exit code. */
int role_main(enum role_kind k);

#endif
