/* access: POP3 and submission (and what comes: IMAP, ManageSieve). The work stands in src/access; here its sockets and lines. */
#include <stdlib.h>
#include <unistd.h>

#include "access/pop3.h"
#include "access/submission.h"
#include "base/check.h"
#include "base/log.h"
#include "roles/front.h"
#include "sys/sandbox.h"

struct access {
	struct role *role;
	struct front front;
	struct pop3_env *pop3;
	struct submission_env *submission;
};

static void access_accept(void *arg, struct front_listener *from, int fd, const struct sock_addr *peer);
static void access_refuse(void *arg, struct front_listener *from, int fd);
static const struct front_ops front_ops = {.accept = access_accept, .refuse = access_refuse};

static struct link *
access_store(void *arg)
{
	struct access *a = arg;

	return role_link(a->role, ROLE_STORE, 0);
}

static struct link *
access_auth(void *arg)
{
	struct access *a = arg;

	return role_link(a->role, ROLE_AUTH, 0);
}

static struct link *
access_resolver(void *arg)
{
	struct access *a = arg;

	return role_link_any(a->role, ROLE_RESOLVER, 0);
}

static const struct pop3_env_ops pop3_ops = {.store = access_store, .auth = access_auth};
static const struct submission_env_ops submission_ops = {.store = access_store, .auth = access_auth, .resolver = access_resolver};

static void *
access_new(struct role *r)
{
	struct access *a = calloc(1, sizeof(*a));

	CHECK(a != NULL);
	a->role = r;
	a->pop3 = pop3_env_new(role_loop(r), &pop3_ops, a);
	a->submission = submission_env_new(role_loop(r), &submission_ops, a);
	front_init(&a->front, r, &front_ops, a);
	return a;
}

static void
access_free(void *self)
{
	struct access *a = self;

	front_close(&a->front);
	pop3_env_free(&a->pop3);
	submission_env_free(&a->submission);
	front_fini(&a->front);
	free(a);
}

static void
access_reload(void *self)
{
	struct access *a = self;
	const struct rec_settings *o = role_settings(a->role);
	struct submission_settings s = {.mail = front_receive_settings(&a->front), .is_scram_sha1 = o->scram_sha1 != 0};

	pop3_env_set(a->pop3, &(struct pop3_env_settings){.hostname = o->hostname, .timeout_ms = o->pop3_timeout_ms, .is_scram_sha1 = o->scram_sha1 != 0});
	submission_env_set(a->submission, &s);
	front_settings(&a->front);
	/* Empty: clients are not asked for a certificate (any more). */
	if (a->front.tls != NULL && tls_context_set_client_ca(a->front.tls, o->client_ca_pem) != ST_OK)
		log_event(LOG_ERROR, "client_ca.unusable", LOG_CSTR("why", "the file for client certificates holds none, or too many"));
}

static enum status
access_prepare(void *self, struct buf *why)
{
	struct access *a = self;

	return front_prepare(&a->front, why);
}

static void
access_start(void *self)
{
	struct access *a = self;

	access_reload(a);
	pop3_env_set_tls(a->pop3, a->front.tls);
	submission_env_set_tls(a->submission, a->front.tls);
}

static void
access_accept(void *arg, struct front_listener *from, int fd, const struct sock_addr *peer)
{
	struct access *a = arg;

	if (from->protocol == LISTEN_SUBMISSION) {
		submission_accept(a->submission, from->listener, fd, peer, from->tls);
		return;
	}
	pop3_accept(a->pop3, from->listener, fd, peer, from->tls, front_is_exempt(&a->front, peer));
}

static void
access_refuse(void *arg, struct front_listener *from, int fd)
{
	struct access *a = arg;

	if (from->protocol == LISTEN_SUBMISSION)
		submission_refuse(a->submission, fd);
	else
		pop3_refuse(a->pop3, fd);
}

static void
access_listener(void *self, const struct rec_listener *rec, int fd)
{
	struct access *a = self;

	front_listen(&a->front, rec, fd);
}

static bool
access_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	struct access *a = self;

	(void)l;
	switch (t) {
	case REC_SIGN_ANSWER:
		return front_signed(c);
	case REC_LOGIN_ANSWER:
		return login_answer_protocol(*c) == LOGIN_SUBMISSION ? submission_record(a->submission, t, c) : pop3_record(a->pop3, t, c);
	case REC_SENDER_ANSWER:
	case REC_ROUTE_ANSWER:
	case REC_STAGE_ANSWER:
	case REC_DELIVER_ANSWER:
	case REC_DNS_ANSWER:
		return submission_record(a->submission, t, c);
	default:
		return pop3_record(a->pop3, t, c);
	}
}

static bool
access_parent_record(void *self, enum record_type t, struct cur *c, struct link *ctl)
{
	struct access *a = self;

	(void)ctl;
	return t == REC_CERTIFICATE && front_certificate(&a->front, c);
}

static void
access_link_down(void *self, enum role_kind peer, uint16_t index)
{
	struct access *a = self;

	(void)index;
	if (peer == ROLE_STORE) {
		pop3_store_down(a->pop3);
		submission_store_down(a->submission);
	}
	if (peer == ROLE_AUTH) {
		pop3_auth_down(a->pop3);
		submission_auth_down(a->submission);
	}
	if (peer == ROLE_RESOLVER)
		submission_resolver_down(a->submission);
}

static void
access_stopped(void *arg)
{
	struct access *a = arg;

	if (pop3_sessions(a->pop3) == 0 && submission_sessions(a->submission) == 0)
		role_stopped(a->role);
}

static void
access_stop(void *self)
{
	struct access *a = self;

	front_close(&a->front);
	pop3_env_stop(a->pop3, access_stopped, a);
	submission_env_stop(a->submission, role_drain_ms(a->role), access_stopped, a);
}

static void
access_status(void *self, struct buf *json)
{
	const struct access *a = self;
	const struct pop3_counters *n = pop3_counters(a->pop3);
	const struct submission_counters *m = submission_counters(a->submission);

	(void)buf_putf(json, "\"connections\":%zu,\"sessions\":%llu,\"logins\":%llu,\"retrieved\":%llu,\"submitting\":%zu,\"submitted\":%llu,"
			     "\"submission_refused\":%llu",
	    pop3_sessions(a->pop3) + submission_sessions(a->submission), (unsigned long long)(n->sessions + m->sessions),
	    (unsigned long long)(n->logins + m->logins), (unsigned long long)n->retrieved, submission_sessions(a->submission),
	    (unsigned long long)m->messages, (unsigned long long)m->refused);
}

const struct role_ops role_access_ops = {
    .kind = ROLE_ACCESS,
    .sandbox_allow = SANDBOX_ACCEPT,
    .new = access_new,
    .free = access_free,
    .prepare = access_prepare,
    .start = access_start,
    .record = access_record,
    .parent_record = access_parent_record,
    .listener = access_listener,
    .link_down = access_link_down,
    .reload = access_reload,
    .stop = access_stop,
    .status = access_status,
};
