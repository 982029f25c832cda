/*
 * Receiving a message: one SMTP or LMTP session between a connection and the store.
 *
 * The machine (protocols/smtp) says what the client wants; every recipient and every whole message is put to
 * the store by a record and the session waits for its answer. Nothing is acknowledged before the store says it is durable.
 * Bodies up to RECEIVE_INLINE_MAX travel in one record; larger ones are staged in the store piece by piece, so a session never holds more.
 */
#ifndef POSTHORN_FLOW_RECEIVE_RECEIVE_H
#define POSTHORN_FLOW_RECEIVE_RECEIVE_H

#include "base/slots.h"
#include "flow/receive/intake.h"
#include "ipc/link.h"
#include "net/conn.h"
#include "net/listen.h"
#include "protocols/smtp/smtp_server.h"

/* Accounts that one transaction delivers to (flow/deliver), aliases counted as what they lead to. */
#define RECEIVE_ACCOUNTS_MAX 1000
#define RECEIVE_SESSIONS_MAX 100000
/* 1,000 recipients of 254 bytes with an ORCPT of 500 each. */
#define RECEIVE_RCPTS_BYTES_MAX (1000u * 760)

/* What a client is to us by its address. */
struct receive_peer {
	bool is_exempt;		/* no limits of messages, no delays */
	bool is_trusted;	/* may send to other hosts without a login */
	bool is_proxy;		/* its connections begin with a PROXY header */
	bool may_xclient;
};
typedef struct receive_peer receive_peer_fn(void *arg, const struct sock_addr *peer);

struct receive_settings {
	struct str hostname;		/* borrowed until the next receive_set */
	uint64_t message_bytes_max;
	uint32_t rcpts_max, messages_max, errors_max;
	uint64_t command_timeout_ms, data_timeout_ms;
	/* Before the greeting, and after each refusal beyond the first few; 0: none. */
	uint64_t greet_delay_ms, tarpit_ms;
	receive_peer_fn *peer_of;	/* NULL: everybody is a stranger. arg borrowed */
	void *peer_arg;
};

struct receive_counters {
	uint64_t sessions, messages, refused, bytes;
};

struct receive;

/* loop borrowed. store_arg is given to store(), which says where records go now (NULL: the store is down). */
typedef struct link *receive_store_fn(void *arg);
struct receive *receive_new(struct loop *l, receive_store_fn *store, void *store_arg);
void receive_free(struct receive **r);	/* ends all sessions at once */
void receive_set(struct receive *r, const struct receive_settings *s);
/* Certificates for STARTTLS and implicit TLS; borrowed; NULL: none. */
void receive_set_tls(struct receive *r, struct tls_context *tls);

/* Returns its id. Starts a session on fd (taken). from is told by listener_release when it ends. tls: 0 off, 1 STARTTLS offered, 2 implicit. */
uint64_t receive_accept(struct receive *r, struct listener *from, int fd, const struct sock_addr *peer,
    enum smtp_mode mode, unsigned tls);
/* Over a limit: 421 and close. */
void receive_refuse(struct receive *r, int fd);

/* Records from the store; false: malformed. */
bool receive_record(struct receive *r, enum record_type t, struct cur *c);
/* The store went away: what waited gets a temporary error. */
void receive_store_down(struct receive *r);
void receive_store_drained(struct receive *r);
/* The client's name by DNS, when it comes in time (RFC 5321 4.4 wants it in Received). */
void receive_set_name(struct receive *r, uint64_t session, struct str name);

#ifdef POSTHORN_FOOTHOLD
/* Test builds (roles/foothold.h): told the HELO name at every MAIL. */
void receive_set_foothold(struct receive *r, bool (*try)(struct str helo));
#endif

/* No new commands: sessions end with 421 once their message is answered. done(arg) when all have ended. */
void receive_stop(struct receive *r, loop_fn *done, void *arg);
size_t receive_sessions(const struct receive *r);
const struct receive_counters *receive_counters(const struct receive *r);

#endif
