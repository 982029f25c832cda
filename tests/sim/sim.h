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
	/* Elsewhere: recipient r is r<r>@d<r % SIM_DOMAINS>.example. */
	SIM_DOMAINS = 3,
	SIM_REMOTES = 9,
	SIM_QUEUE_IDS_MAX = 8192,
};

/* Where envelope recipients lead: one of the accounts, several by an alias, nowhere, elsewhere. */
enum {
	SIM_RCPT_ALIAS = SIM_ACCOUNTS,
	SIM_RCPT_UNKNOWN,
	SIM_RCPT_KINDS,
	SIM_RCPT_REMOTE = SIM_RCPT_KINDS
};
/* Masks: bits by account, then by remote recipient. */
enum { SIM_REMOTE_BIT = 8 };
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
	/* The sending side, too: queue, relay, and the world's servers. */
	bool is_relay;
	/* Roles are killed, the power stays, and the disk works. */
	bool is_kills_only;
	bool is_verbose;
};

struct sim_result {
	uint64_t hash;
	uint64_t syncs; /* of the first life */
	uint32_t messages, acknowledged, power_cuts, kills, faults, verified;
	uint32_t relayed, repeated, bounced; /* recipients */
	bool is_good;
};

/* One message, tried by one client exactly once; its bytes follow from its number. */
struct sim_message {
	size_t bytes;
	uint64_t seed;
	bool is_complete; /* its end was written to the socket */
	uint32_t sent, acked, refused;
	uint8_t seen, going, gone;
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
	uint32_t mask; /* END acknowledges these */
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

enum { SIM_STORE, SIM_WORKER, SIM_SMTPIN, SIM_QUEUE, SIM_RELAY, SIM_CHILDREN };

/* What a server elsewhere will say of a recipient, however often it is asked. */
enum sim_fate { SIM_FATE_TAKEN, SIM_FATE_REFUSED, SIM_FATE_LATE };

/* One remote recipient of one message. */
struct sim_sending {
	uint16_t taken;	 /* times */
	uint16_t failed; /* notices that it failed, in the mailbox at the last look */
	/* The last 250 was written whole to a connection that nobody broke, and nothing had
	 * happened that can lose it since the relay was asked to send. */
	bool is_told;
	uint32_t asked_mishaps, told_mishaps;
	/* The store has told the queue that it keeps the result. */
	bool is_recorded;
};

/* A message of the queue as it went to the relay. */
struct sim_queued {
	uint32_t message;	       /* + 1; 0: not known */
	uint8_t remote[SIM_RCPTS_MAX]; /* + 1, by index; 0: not known */
};

/* Between the store and queue or relay: passes everything on, and looks at it. */
struct sim_tap {
	struct sim_world *w;
	struct link *ends[2];
};
enum { SIM_TAP_QUEUE, SIM_TAP_RELAY, SIM_TAPS };

struct sim_jobs;
struct sim_server;

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
	size_t children_n;
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
	/* The sending side. */
	struct prng rs; /* of the servers elsewhere and what lies between */
	struct sim_tap taps[SIM_TAPS];
	struct sim_jobs *jobs; /* under way, as the taps have seen them */
	struct link *resolver;
	struct sim_server *servers;
	struct sim_sending (*sendings)[SIM_REMOTES]; /* by message */
	struct sim_queued *queued;		     /* by the queue's id */
	uint64_t down_until_ms[SIM_DOMAINS];
	uint32_t relay_lives;
	/* Those that may lose what a server has said. What a queue asked for that was killed may
	 * reach the relay a moment later. */
	uint32_t sending_mishaps;
	uint64_t sending_mishap_turn;
	uint64_t notice_ms;
};

/* sim_run.c */
struct sim_result sim_run(const struct sim_plan *plan);
/* For those who play the clients themselves. A step: the store's threads and the machine, not the
 * clients. */
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

/* sim_rnd.c: what the roles get for random numbers follows from the seed, too. */
void sim_rnd_seed(uint64_t seed);

/* sim_tap.c */
void sim_taps_init(struct sim_world *w);
void sim_taps_fini(struct sim_world *w);
/* Takes both descriptors: the store's line, and that of queue or relay. */
void sim_tap_set(struct sim_world *w, size_t tap, int store_fd, int other_fd);
void sim_taps_off(struct sim_world *w);

/* sim_server.c: the servers and the name servers of others */
struct conn_handler;
struct sock_addr;
struct conn *sim_server_connect(void *arg, const struct sock_addr *to, const struct conn_handler *h,
    void *conn_arg, size_t input_bytes_max);
/* Takes fd, the relay's line to its resolver. */
void sim_resolver_set(struct sim_world *w, int fd);
/* All connections break. */
void sim_servers_off(struct sim_world *w);

/* sim_outcome.c */
enum sim_fate sim_fate(const struct sim_world *w, uint32_t message, unsigned remote);
/* Refused with the whole message, at its end. */
bool sim_fate_is_content(const struct sim_world *w, uint32_t message, unsigned domain);
/* "r1@d1.example". False: none of ours. */
bool sim_remote_parse(struct str path, unsigned *remote_out);
/* "a3+m17@sim.example", the reverse-path of message 17. */
void sim_sender_put(struct buf *out, uint32_t message);
bool sim_sender_parse(const struct sim_world *w, struct str path, uint32_t *message_out);
/* A server has the message. Not is_current: from a relay that has ended meanwhile. is_told: and
 * says so. */
void sim_outcome_taken(
    struct sim_world *w, uint32_t message, unsigned remote, bool is_current, bool is_told);
/* The relay was told to send. */
void sim_outcome_asked(struct sim_world *w, uint32_t message, unsigned remote);
void sim_outcome_recorded(struct sim_world *w, uint32_t message, unsigned remote);
/* What is gone from the queue behind a recovery will not come back. */
void sim_outcome_recovered(struct sim_world *w, struct store *s);
/* A notice in a mailbox: head and body. */
void sim_outcome_notice(struct sim_world *w, struct str text);
void sim_outcome_notices_forget(struct sim_world *w);
void sim_outcome_verify(struct sim_world *w);
/* When everything has come to rest. */
void sim_outcome_verify_end(struct sim_world *w, struct store *s);
/* Nothing waits any more, in the store or in the queue's schedule. */
bool sim_outcome_is_done(struct sim_world *w);

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
/* Those there are, are in mailboxes. */
void sim_verify_blobs(struct sim_world *w, struct store *s);
/* Some client deletes mail. */
void sim_expunge(struct sim_world *w, struct store *s);

#endif
