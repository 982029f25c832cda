/*
 * Relaying: messages of the queue to other servers (RFC 5321 5, 7505, 3461 5, 2852, 6376).
 *
 * Each RELAY record is a job: this message, for the recipients that are due at this destination.
 * The job fetches the message from the store, finds the destination's hosts (a route of the
 * settings, or MX), takes an idle connection or makes one, has the message signed by `keys`, sends
 * it, and tells the queue. Every RELAY is answered by exactly one RELAY_DONE, whatever peer,
 * resolver, store and keys do (while the queue's line is up; a queue that comes back and asks again
 * for what is still being sent gets the answer of that).
 *
 * No file, no listener; the answers of the other roles come in as records, connections are asked
 * for by ops. A message is in memory with its first QUEUE_BODY_BYTES and one more piece at a time;
 * what the peer does not take is not asked for.
 */
#ifndef POSTHORN_FLOW_RELAY_RELAY_H
#define POSTHORN_FLOW_RELAY_RELAY_H

#include "flow/relay/limits.h"
#include "ipc/link.h"
#include "net/conn.h"

/* Each link function says where records go now; NULL: that role is down. */
struct relay_ops {
	struct link *(*store)(void *arg);
	struct link *(*queue)(void *arg);
	struct link *(*resolver)(void *arg);
	struct link *(*keys)(void *arg);
	/* NULL: conn_new_connect. A test gives simulated ends. */
	struct conn *(*connect)(void *arg, const struct sock_addr *to, const struct conn_handler *h,
	    void *conn_arg, size_t input_bytes_max);
};

struct relay_settings {
	struct str hostname; /* in EHLO, and what an MX may not be; copied */
	uint16_t port;	     /* of MX hosts: 25 */
	uint64_t idle_ms;    /* how long a connection without work is kept; 0: not at all */
	struct str routes;   /* as in SETTINGS (ipc/records.h); copied */
};

struct relay_counters {
	uint64_t jobs, connections, reused, tls_failed;
	uint64_t sent, deferred, failed; /* recipients */
};

struct relay;

/* loop and ops borrowed (ops static), arg given to them. */
struct relay *relay_new(struct loop *l, const struct relay_ops *ops, void *arg);
/* Ends everything at once; nothing is told to anybody. */
void relay_free(struct relay **r);
/*
 * ST_SYNTAX: the routes are malformed, or hostname is no name: nothing was changed. Jobs that run
 * keep the route they began with; idle connections end.
 */
enum status relay_set(struct relay *r, const struct relay_settings *s) MUST_USE;
/* The client's context; borrowed; NULL: no TLS is ever spoken, and routes that demand it wait. */
void relay_set_tls(struct relay *r, struct tls_context *tls);

/* RELAY, QUEUE_MESSAGE, QUEUE_PIECE, DNS_ANSWER, DKIM_SIGNED; false: malformed, or none of these.
 */
bool relay_record(struct relay *r, enum record_type t, struct cur *c);
/*
 * A line is gone. Store: jobs that wait for it fail for now. Resolver, keys: the same with theirs.
 * Queue: jobs run on, and what became of them is not told, unless the queue asks again in the
 * meantime.
 */
void relay_link_down(struct relay *r, enum role_kind peer);

/* No new jobs; those under way have RELAY_STOP_MS. done(arg) when all jobs and connections have
 * ended. */
void relay_stop(struct relay *r, loop_fn *done, void *arg);
size_t relay_jobs(const struct relay *r);
size_t relay_connections(const struct relay *r); /* with those that connect, idle ones too */
const struct relay_counters *relay_counters(const struct relay *r);

#endif
