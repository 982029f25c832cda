/* What the parent's files share. */
#ifndef POSTHORN_ROLES_PARENT_INTERNAL_H
#define POSTHORN_ROLES_PARENT_INTERNAL_H

#include <sys/types.h>

#include "config/config.h"
#include "roles/parent.h"
#include "roles/role.h"

enum {
	CHILDREN_MAX = 4 * CONFIG_PROCESSES_MAX + 8,
	BOUND_MAX = 1024,
	RESTART_FIRST_MS = 100,
	RESTART_MAX_MS = 30 * 1000,
	RESTART_FORGOTTEN_MS = 60 * 1000,	/* up for so long: the next restart is quick again */
	STOP_PATIENCE_MS = 10 * 1000,
	STATUS_PATIENCE_MS = 1000,
	STATUS_DETAIL_BYTES_MAX = 16 * 1024,
};

enum child_state { CHILD_DOWN, CHILD_STARTING, CHILD_UP, CHILD_STOPPING };

struct parent;

struct child {
	struct parent *parent;
	enum role_kind kind;
	uint16_t index;
	enum child_state state;
	pid_t pid;
	struct role *single;
	struct link *ctl;
	struct loop_id restart_timer;
	uint64_t backoff_ms, up_since_ms;
	uint32_t restarts;
	char sandbox[512];
	char last_end[128];	/* why it ended last, for status */
	struct buf detail;	/* its answer of the status round, members of an object */
};

/* A bound socket and the process that serves it. */
struct bound {
	int fd;
	enum role_kind kind;
	uint16_t index;
	struct rec_listener rec;
};

struct status_round {
	uint32_t seq, command_seq;
	unsigned waiting;
	struct loop_id timer;
	bool is_active;
};

struct parent {
	struct parent_options options;
	struct clock clock;
	struct loop *loop;
	struct config *config;
	char exe[4096], data_dir[4096], empty_dir[4096], control_path[4096];
	struct child children[CHILDREN_MAX];
	size_t children_n;
	struct bound bound[BOUND_MAX];
	size_t bound_n;
	int control_fd, signal_fd;
	int master_fd; /* open from the first start on: a file that is put in its place later is not taken */
	struct loop_id signal_watch, stop_timer;
	bool is_serving, is_stopping;
	unsigned stop_stage;
	int exit_code;
	uint64_t started_ms;
	uint8_t ticket_seed[32];
	struct status_round status;
};

/* children.c */
void children_plan(struct parent *p);
void child_spawn(struct child *c);
void child_reap(struct parent *p, pid_t pid, int wait_status);
void children_settings(struct parent *p);	/* after a reload */
bool children_are_up(const struct parent *p);
void children_serve(struct parent *p);		/* hands out the listeners */
void child_stop(struct child *c, bool is_graceful);
struct child *child_find(struct parent *p, enum role_kind kind, uint16_t index);

/* bind.c: false with the sentence in why. */
bool parent_bind(struct parent *p, struct buf *why);
void parent_unbind(struct parent *p);

/* status.c */
bool parent_command(struct parent *p, const struct rec_command *c);
void parent_status_add(struct parent *p, struct child *c, const struct rec_status *s);

/* parent.c */
void parent_child_ready(struct parent *p, struct child *c);
void parent_child_failed(struct parent *p, struct child *c, struct str why);
void parent_child_ended(struct parent *p, struct child *c);
void parent_stop(struct parent *p);
/* The new configuration is in use, or the old one stays and why says what is wrong. */
bool parent_reload(struct parent *p, struct buf *why);

#endif
