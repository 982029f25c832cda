/*
 * The simulator: the real roles of one machine in one process, on a fake clock and a disk that
 * forgets what was not synced.
 *
 * A run follows from its struct sim_plan alone: the same plan gives the same trace hash. See
 * docs/internals/simulator.md.
 */
#ifndef POSTHORN_TESTS_SIM_SIM_H
#define POSTHORN_TESTS_SIM_SIM_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/rnd.h"
#include "roles/role.h"
#include "store/embedded/embedded.h"
#include "sys/disk_sim.h"

enum {
	SIM_ACCOUNTS = 6, /* the last one has a small quota */
	SIM_QUOTA_BYTES = 150000,
	SIM_CLIENTS_MAX = 8,
	SIM_MESSAGES_MAX = 4096,
	SIM_RCPTS_MAX = 6,
	SIM_BODY_BYTES_MAX = 600000,
};

/* Where envelope recipients lead: one of the accounts, several by an alias, nowhere. */
enum { SIM_RCPT_ALIAS = SIM_ACCOUNTS, SIM_RCPT_UNKNOWN, SIM_RCPT_KINDS };
enum { SIM_ALIAS_MASK = 7 };

enum sim_cut {
	SIM_CUT_DROP,  /* before the sync: nothing unsynced is left */
	SIM_CUT_TEAR,  /* before the sync: any sectors of what it would have made durable */
	SIM_CUT_AFTER, /* behind the sync, before anybody was told */
};

struct sim_plan {
	uint64_t seed;
	/* Not 0: one life, no other mishaps, and the power goes at this sync. */
	uint64_t cut_sync;
	enum sim_cut cut;
	/* One life without any mishap: says how many syncs there are. */
	bool is_calm;
	bool is_verbose;
};

struct sim_result {
	uint64_t hash;
	uint64_t syncs; /* of the first life */
	uint32_t messages, acknowledged, power_cuts, kills, faults, verified;
	bool is_good;
};

/* One message, tried by one client exactly once; its bytes follow from its number. */
struct sim_message {
	size_t bytes;
	uint64_t seed;
	bool is_complete; /* its end was written to the socket */
	/* Bits by account. */
	uint8_t sent, acked, refused, seen, going, gone;
	uint32_t uid[SIM_ACCOUNTS]; /* 0: not known to be durable */
};

/* A disk as one life of the store role sees it: a process that was killed changes no names any
 * more. */
struct sim_gate {
	struct disk base;
	struct disk_ops ops;
	struct disk *inner;
	bool is_off;
};

struct sim_child {
	struct sim_world *w;
	enum role_kind kind;
	struct role *role;
	struct link *ctl;
	struct sim_gate *gate; /* of the store */
	bool is_ready, is_dead, is_verified;
	uint64_t restart_ms;
};

enum sim_want {
	SIM_GREET,
	SIM_HELO,
	SIM_MAIL,
	SIM_RCPT,
	SIM_DATA,
	SIM_END,
	SIM_RSET,
	SIM_NOOP,
	SIM_QUIT
};

struct sim_expect {
	enum sim_want want;
	uint8_t rcpt;
	uint8_t mask; /* of accounts: END acknowledges these */
	uint32_t message;
};

struct sim_client {
	struct sim_world *w;
	int fd;
	bool is_lmtp, is_pipelining, is_quitting;
	size_t piece_max;
	struct buf out, in;
	size_t sent;
	uint64_t idle_until_ms;
	struct sim_expect expects[32];
	size_t expects_n;
	struct sim_expect script[SIM_RCPTS_MAX + 4];
	size_t script_n, script_at;
	uint32_t message;   /* + 1; 0: none */
	size_t message_end; /* of out: when sent, the message is complete; 0: not in out */
	uint32_t ending;    /* the message message_end is of */
	uint8_t accepted[SIM_RCPTS_MAX];
	size_t accepted_n;
};

enum { SIM_STORE, SIM_WORKER, SIM_SMTPIN, SIM_CHILDREN };

struct sim_world {
	struct sim_plan plan;
	struct sim_result result;
	struct prng r;	/* of the machine */
	struct prng rc; /* of the clients */
	struct clock clock;
	struct loop *loop;
	struct disk *disk;
	struct index_sim_state index;
	struct embedded_options options;
	struct sim_child children[SIM_CHILDREN];
	struct sockaddr_un address[2]; /* SMTP, LMTP */
	socklen_t address_n[2];
	struct sim_client clients[SIM_CLIENTS_MAX];
	size_t clients_n;
	struct sim_message *messages;
	uint32_t messages_n, messages_max;
	size_t inline_bytes_max, staged_bytes_max;
	uint64_t turns;
	uint64_t syncs;	 /* since the start of the run */
	uint64_t cut_at; /* the sync that is cut; 0: none */
	enum sim_cut cut;
	bool is_cut, is_cut_due, is_closing_down, is_rough, is_failed;
	struct buf scratch, want;
};

/* sim_run.c */
struct sim_result sim_run(const struct sim_plan *plan);
/* For those who play the clients themselves. A step: the store's threads and the machine, not the clients. */
void sim_world_init(struct sim_world *w, const struct sim_plan *plan);
void sim_world_fini(struct sim_world *w);
void sim_world_step(struct sim_world *w);
/* Says it once, and ends the run. */
void sim_fail(struct sim_world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sim_trace(struct sim_world *w, const void *p, size_t n);
void sim_say(const struct sim_world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* sim_machine.c: the disk, the parent and its children */
void sim_machine_init(struct sim_world *w);
void sim_machine_fini(struct sim_world *w);
void sim_machine_on(struct sim_world *w);
/* Everything that runs ends, as at a power cut. */
void sim_machine_off(struct sim_world *w);
/* One turn of the loop, and what a parent does in it. */
void sim_machine_turn(struct sim_world *w, int wait_ms_max);
/* kill -9; the machine, and what its kernel has not yet written, go on. */
void sim_machine_kill(struct sim_world *w, size_t child);
void sim_machine_cut(struct sim_world *w, enum disk_sim_crash_mode mode);
struct store *sim_machine_store(struct sim_world *w);

/* sim_client.c */
void sim_client_init(struct sim_client *c, struct sim_world *w);
void sim_client_fini(struct sim_client *c);
void sim_client_step(struct sim_client *c);
/* Reads what is under way, and the line is gone. */
void sim_client_cut(struct sim_client *c);
bool sim_client_is_done(const struct sim_client *c);

/* sim_verify.c */
void sim_message_make(const struct sim_message *m, uint32_t number, struct buf *out);
/* is_recovered: nothing happened since the store was opened, so what is there must stay. */
void sim_verify(struct sim_world *w, struct store *s, bool is_recovered);
void sim_verify_digests(struct sim_world *w, struct store *s);
/* Some client deletes mail. */
void sim_expunge(struct sim_world *w, struct store *s);

#endif
