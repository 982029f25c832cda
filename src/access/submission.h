/*
 * Submission (RFC 6409, ports 587 and 465): SMTP sessions of mail clients, between a connection, `auth`, the store and the resolver.
 *
 * The machine (protocols/smtp) says what the client wants. A login is put to auth, which answers with a capability; with it the store says
 * whether the account may send as the reverse-path, and to whom. A recipient at another host is accepted only when its domain takes mail, as
 * far as DNS can say within SUBMISSION_DNS_MS, so that a slip of the hand is told to whoever is still looking at it; without an answer it is
 * accepted and the queue finds out. A header is gathered and mended (standards/compose); bodies pass through
 * flow/receive/intake.h, so a session holds one header, one inline body at most, and what one read brings.
 */
#ifndef POSTHORN_ACCESS_SUBMISSION_H
#define POSTHORN_ACCESS_SUBMISSION_H

#include "access/login.h"
#include "base/slots.h"
#include "flow/receive/receive.h"
#include "ipc/link.h"
#include "net/conn.h"
#include "net/listen.h"
#include "standards/compose/limits.h"

#define SUBMISSION_SESSIONS_MAX 100000
#define SUBMISSION_HEADER_MAX COMPOSE_HEADER_MAX
/* For all questions about one recipient's domain; a person is waiting. */
#define SUBMISSION_DNS_MS 5000
/* Bytes of domains whose answer a transaction remembers: 16 of the longest, some 150 usual ones. Others are asked again. */
#define SUBMISSION_DOMAINS_BYTES_MAX (16 * 258)
/* RFC 4865: how far ahead a message may be handed in. */
#define SUBMISSION_HOLD_S_MAX (30u * 24 * 3600)
/* RFC 6710 4.1: what a user may ask for; above it is for whoever runs the server. */
#define SUBMISSION_PRIORITY_MAX 4
/* RFC 2852 4: less than a minute says nothing that could be kept. */
#define SUBMISSION_BY_S_MIN 60

struct submission_settings {
	struct receive_settings mail;	/* hostname borrowed until the next submission_env_set; greet_delay_ms and tarpit_ms are not for clients */
	bool is_scram_sha1;		/* offered */
};

struct submission_counters {
	uint64_t sessions, logins, messages, refused, bytes;
};

struct submission_env;

struct submission_env_ops {
	struct link *(*store)(void *arg);	/* NULL: down */
	struct link *(*auth)(void *arg);
	struct link *(*resolver)(void *arg);
};

/* loop and arg borrowed, ops static. */
struct submission_env *submission_env_new(struct loop *l, const struct submission_env_ops *ops, void *arg);
void submission_env_free(struct submission_env **e);
void submission_env_set(struct submission_env *e, const struct submission_settings *s);
/* Borrowed; NULL: no certificate. */
void submission_env_set_tls(struct submission_env *e, struct tls_context *tls);

/* Takes fd. tls: 0 off, 1 STARTTLS offered, 2 implicit. */
void submission_accept(struct submission_env *e, struct listener *from, int fd, const struct sock_addr *peer, unsigned tls);
void submission_refuse(struct submission_env *e, int fd);

/* Records from auth, the store and the resolver; false: malformed. */
bool submission_record(struct submission_env *e, enum record_type t, struct cur *c);
/* Logins ended with the store: their sessions end with 421. */
void submission_store_down(struct submission_env *e);
void submission_auth_down(struct submission_env *e);
/* Who waits for it is accepted. */
void submission_resolver_down(struct submission_env *e);
/* Sessions go on for drain_ms, then end with 421 once their message is answered. done(arg) when all have ended. */
void submission_env_stop(struct submission_env *e, uint64_t drain_ms, loop_fn *done, void *arg);
size_t submission_sessions(const struct submission_env *e);
const struct submission_counters *submission_counters(const struct submission_env *e);

#endif
