/*
 * POP3 sessions: between a connection, `auth` and the store.
 *
 * The machine (protocols/pop3) says what the client wants. A login is put to auth, which answers with a capability;
 * with it the maildrop's list is read from the store in pages, and messages in pieces, never further ahead than the client reads.
 * RFC 1939 8 asks for an exclusive lock; UIDs never change here and deleting twice is harmless, so several sessions may read one maildrop.
 */
#ifndef POSTHORN_ACCESS_POP3_H
#define POSTHORN_ACCESS_POP3_H

#include "access/login.h"
#include "base/slots.h"
#include "ipc/link.h"
#include "net/conn.h"
#include "net/listen.h"
#include "protocols/pop3/pop3_server.h"

#define POP3_SESSIONS_MAX 100000
#define POP3_MESSAGES_MAX 5000000u	/* 80 MB of list; more is cut with a warning in the log */
/* Dot-stuffing at most doubles it: twice this and CONN_OUT_HIGH stay under CONN_OUT_MAX. */
#define POP3_READ_BYTES (128 * 1024)

struct pop3_env_settings {
	struct str hostname;	/* borrowed until the next pop3_env_set */
	uint64_t timeout_ms;
	bool is_scram_sha1;	/* offered */
};

struct pop3_counters {
	uint64_t sessions, logins, retrieved;
};

struct pop3_env;

struct pop3_env_ops {
	struct link *(*store)(void *arg);	/* NULL: down */
	struct link *(*auth)(void *arg);
};

struct pop3_env *pop3_env_new(struct loop *l, const struct pop3_env_ops *ops, void *arg);
void pop3_env_free(struct pop3_env **e);
void pop3_env_set(struct pop3_env *e, const struct pop3_env_settings *s);
void pop3_env_set_tls(struct pop3_env *e, struct tls_context *tls);

/* Takes fd. tls: 0 off, 1 STLS offered, 2 implicit. is_exempt: guesses are not counted. */
void pop3_accept(struct pop3_env *e, struct listener *from, int fd, const struct sock_addr *peer, unsigned tls, bool is_exempt);
void pop3_refuse(struct pop3_env *e, int fd);

bool pop3_record(struct pop3_env *e, enum record_type t, struct cur *c);
void pop3_store_down(struct pop3_env *e);
void pop3_auth_down(struct pop3_env *e);
void pop3_env_stop(struct pop3_env *e, loop_fn *done, void *arg);
size_t pop3_sessions(const struct pop3_env *e);
const struct pop3_counters *pop3_counters(const struct pop3_env *e);

#endif
