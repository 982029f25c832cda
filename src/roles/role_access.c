/* access: POP3 (and what comes: submission, IMAP, ManageSieve). The work stands in src/access; here its sockets and lines. */
#include <stdlib.h>
#include <unistd.h>

#include "access/pop3.h"
#include "base/check.h"
#include "flow/receive/receive.h"
#include "roles/front.h"
#include "sys/sandbox.h"

struct access {
	struct role *role;
	struct front front;
	struct pop3_env *pop3;
	/* Until AUTH comes with the sending side, submission greets, offers TLS and asks for a login it cannot take yet. */
	struct receive *submission;
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

static const struct pop3_env_ops pop3_ops = {.store = access_store, .auth = access_auth};

static void *
access_new(struct role *r)
{
	struct access *a = calloc(1, sizeof(*a));

	CHECK(a != NULL);
	a->role = r;
	a->pop3 = pop3_env_new(role_loop(r), &pop3_ops, a);
	a->submission = receive_new(role_loop(r), access_store, a);
	front_init(&a->front, r, &front_ops, a);
	return a;
}

static void
access_free(void *self)
{
	struct access *a = self;

	front_close(&a->front);
	pop3_env_free(&a->pop3);
	receive_free(&a->submission);
	front_fini(&a->front);
	free(a);
}

static void
access_reload(void *self)
{
	struct access *a = self;
	const struct rec_settings *o = role_settings(a->role);
	struct receive_settings mail = front_receive_settings(&a->front);

	pop3_env_set(a->pop3, &(struct pop3_env_settings){.hostname = o->hostname, .timeout_ms = o->pop3_timeout_ms, .is_scram_sha1 = o->scram_sha1 != 0});
	receive_set(a->submission, &mail);
	front_settings(&a->front);
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
	receive_set_tls(a->submission, a->front.tls);
}

static void
access_accept(void *arg, struct front_listener *from, int fd, const struct sock_addr *peer)
{
	struct access *a = arg;

	if (from->protocol == LISTEN_SUBMISSION) {
		(void)receive_accept(a->submission, from->listener, fd, peer, SMTP_SUBMISSION, from->tls);
		return;
	}
	pop3_accept(a->pop3, from->listener, fd, peer, from->tls, front_is_exempt(&a->front, peer));
}

static void
access_refuse(void *arg, struct front_listener *from, int fd)
{
	struct access *a = arg;

	if (from->protocol == LISTEN_SUBMISSION)
		receive_refuse(a->submission, fd);
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
	if (t == REC_SIGN_ANSWER)
		return front_signed(c);
	return pop3_record(a->pop3, t, c);
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
	if (peer == ROLE_STORE)
		pop3_store_down(a->pop3);
	if (peer == ROLE_AUTH)
		pop3_auth_down(a->pop3);
}

static void
access_stopped(void *arg)
{
	struct access *a = arg;

	if (pop3_sessions(a->pop3) == 0 && receive_sessions(a->submission) == 0)
		role_stopped(a->role);
}

static void
access_stop(void *self)
{
	struct access *a = self;

	front_close(&a->front);
	pop3_env_stop(a->pop3, access_stopped, a);
	receive_stop(a->submission, access_stopped, a);
}

static void
access_status(void *self, struct buf *json)
{
	const struct access *a = self;
	const struct pop3_counters *n = pop3_counters(a->pop3);

	(void)buf_putf(json, "\"connections\":%zu,\"sessions\":%llu,\"logins\":%llu,\"retrieved\":%llu", pop3_sessions(a->pop3),
	    (unsigned long long)n->sessions, (unsigned long long)n->logins, (unsigned long long)n->retrieved);
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
