/*
 * Submission (RFC 6409, 8314): a mail client that logs in hands its mail to us.
 *
 * Like flow/receive it stands between the machine (protocols/smtp), a connection and the store, but a person with a password is on the other
 * side: auth gives the capability that the store asks for; the reverse-path and every author of From must be the account's own; a recipient whose
 * domain does not exist is refused at once, while the sender still looks at the letter; and what a mail client leaves to us
 * (Date, Message-ID, dropping Bcc) is done before the first byte goes on (standards/compose).
 * The Received line that is added says by which server and how, not from which address: where its users sit is not the readers' business.
 */
#ifndef POSTHORN_ACCESS_SUBMISSION_H
#define POSTHORN_ACCESS_SUBMISSION_H

#include "flow/receive/receive.h"

#define SUBMISSION_SESSIONS_MAX 100000
/* What DNS may take at RCPT; when it is over the recipient is accepted, and the queue looks again. */
#define SUBMISSION_DNS_MS (5 * 1000)
/* RFC 4865 4: how far ahead a message may be held. */
#define SUBMISSION_HOLD_S_MAX (30u * 24 * 3600)
/* RFC 2852 4: less than a minute says nothing that could be kept. */
#define SUBMISSION_BY_S_MIN 60u
/* RFC 6710 4.1: more than this is for whoever runs the server. */
#define SUBMISSION_PRIORITY_MAX 4

struct submission_ops {
	struct link *(*store)(void *arg);	/* NULL: down */
	struct link *(*auth)(void *arg);
	struct link *(*resolver)(void *arg);
};

struct submission_counters {
	uint64_t sessions, logins, messages;
};

struct submission;

/* All borrowed. */
struct submission *submission_new(struct loop *l, const struct submission_ops *ops, void *arg);
void submission_free(struct submission **e);
/* s: strings borrowed until the next call. */
void submission_set(struct submission *e, const struct receive_settings *s, bool is_scram_sha1);
void submission_set_tls(struct submission *e, struct tls_context *tls);

/* Takes fd. tls: 0 off, 1 STARTTLS offered, 2 implicit. */
void submission_accept(struct submission *e, struct listener *from, int fd, const struct sock_addr *peer, unsigned tls);
void submission_refuse(struct submission *e, int fd);

/* ROUTE_ANSWER, SENDER_ANSWER, STAGE_ANSWER, DELIVER_ANSWER, LOGIN_ANSWER (of its protocol), DNS_ANSWER. False: malformed. */
bool submission_record(struct submission *e, enum record_type t, struct cur *c);
void submission_store_down(struct submission *e);
void submission_auth_down(struct submission *e);
void submission_resolver_down(struct submission *e);
void submission_stop(struct submission *e, uint64_t drain_ms, loop_fn *done, void *arg);
size_t submission_sessions(const struct submission *e);
const struct submission_counters *submission_counters(const struct submission *e);

#endif
