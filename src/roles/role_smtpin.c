/* smtpin: port 25 and LMTP. The work stands in flow/receive; here its sockets, its limits and its lines. */
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "flow/receive/receive.h"
#include "roles/foothold.h"
#include "roles/front.h"
#include "sys/sandbox.h"

enum { RRTYPE_PTR = 12 };

struct smtpin {
	struct role *role;
	struct front front;
	struct receive *receive;
};

static void smtpin_accept(void *arg, struct front_listener *from, int fd, const struct sock_addr *peer);
static void smtpin_refuse(void *arg, struct front_listener *from, int fd);
static const struct front_ops front_ops = {.accept = smtpin_accept, .refuse = smtpin_refuse};

static struct link *
smtpin_store(void *arg)
{
	struct smtpin *s = arg;

	return role_link(s->role, ROLE_STORE, 0);
}

static void *
smtpin_new(struct role *r)
{
	struct smtpin *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->role = r;
	s->receive = receive_new(role_loop(r), smtpin_store, s);
	front_init(&s->front, r, &front_ops, s);
	return s;
}

static void
smtpin_free(void *self)
{
	struct smtpin *s = self;

	front_close(&s->front);
	receive_free(&s->receive);
	front_fini(&s->front);
	free(s);
}

static void
smtpin_settings(struct smtpin *s)
{
	struct receive_settings mail = front_receive_settings(&s->front);

	receive_set(s->receive, &mail);
	front_settings(&s->front);
}

static enum status
smtpin_prepare(void *self, struct buf *why)
{
	struct smtpin *s = self;

	return front_prepare(&s->front, why);
}

static void
smtpin_start(void *self)
{
	struct smtpin *s = self;

	smtpin_settings(s);
	receive_set_tls(s->receive, s->front.tls);
	foothold_enable(s->role, s->receive);
}

static void
smtpin_reload(void *self)
{
	smtpin_settings(self);
}

/* RFC 5321 4.4: Received names the client as DNS does, when the answer comes in time. */
static void
smtpin_ask_name(struct smtpin *s, uint64_t session, const struct sock_addr *peer)
{
	struct link *l = role_link_any(s->role, ROLE_RESOLVER, 0);
	struct buf name;

	if (l == NULL || session == 0)
		return;
	buf_init(&name, 128);
	for (int i = 15; i >= (peer->is_v4 ? 12 : 0); i--) {
		if (peer->is_v4)
			(void)buf_putf(&name, "%u.", peer->ip[i]);
		else
			(void)buf_putf(&name, "%x.%x.", peer->ip[i] & 15, peer->ip[i] >> 4);
	}
	(void)buf_put(&name, peer->is_v4 ? STR("in-addr.arpa") : STR("ip6.arpa"));
	(void)rec_dns_put(link_out(l), &(struct rec_dns){.ask = session, .rrtype = RRTYPE_PTR, .name = buf_str(&name)});
	buf_fini(&name);
}

static void
smtpin_accept(void *arg, struct front_listener *from, int fd, const struct sock_addr *peer)
{
	struct smtpin *s = arg;
	uint64_t id = receive_accept(s->receive, from->listener, fd, peer,
	    from->protocol == LISTEN_LMTP ? SMTP_LMTP : SMTP_MTA, from->tls);

	if (!sock_is_loopback(peer))
		smtpin_ask_name(s, id, peer);
}

static void
smtpin_refuse(void *arg, struct front_listener *from, int fd)
{
	struct smtpin *s = arg;

	(void)from;
	receive_refuse(s->receive, fd);
}

static void
smtpin_listener(void *self, const struct rec_listener *rec, int fd)
{
	struct smtpin *s = self;

	front_listen(&s->front, rec, fd);
}

static bool
smtpin_dns_answer(struct smtpin *s, struct cur *c)
{
	struct rec_dns_answer a;
	struct cur answers;
	struct str name;
	uint16_t n;

	if (!rec_dns_answer_take(c, &a))
		return false;
	answers = cur_of(a.answers);
	if (a.rcode == 0 && cur_le16(&answers, &n) && cur_take(&answers, n, &name))
		receive_set_name(s->receive, a.ask, name.n > 1 && name.p[name.n - 1] == '.' ? str_take(name, name.n - 1) : name);
	return true;
}

static bool
smtpin_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	struct smtpin *s = self;

	(void)l;
	if (t == REC_SIGN_ANSWER)
		return front_signed(c);
	if (t == REC_DNS_ANSWER)
		return smtpin_dns_answer(s, c);
	return receive_record(s->receive, t, c);
}

static bool
smtpin_parent_record(void *self, enum record_type t, struct cur *c, struct link *ctl)
{
	struct smtpin *s = self;

	(void)ctl;
	return t == REC_CERTIFICATE && front_certificate(&s->front, c);
}

static void
smtpin_link_down(void *self, enum role_kind peer, uint16_t index)
{
	struct smtpin *s = self;

	(void)index;
	if (peer == ROLE_STORE)
		receive_store_down(s->receive);
}

static void
smtpin_stopped(void *arg)
{
	struct smtpin *s = arg;

	role_stopped(s->role);
}

static void
smtpin_stop(void *self)
{
	struct smtpin *s = self;

	front_close(&s->front);
	receive_stop(s->receive, smtpin_stopped, s);
}

static void
smtpin_status(void *self, struct buf *json)
{
	const struct smtpin *s = self;
	const struct receive_counters *n = receive_counters(s->receive);

	(void)buf_putf(json, "\"connections\":%zu,\"sessions\":%llu,\"messages\":%llu", receive_sessions(s->receive),
	    (unsigned long long)n->sessions, (unsigned long long)n->messages);
}

const struct role_ops role_smtpin_ops = {
    .kind = ROLE_SMTPIN,
    .sandbox_allow = SANDBOX_ACCEPT,
    .new = smtpin_new,
    .free = smtpin_free,
    .prepare = smtpin_prepare,
    .start = smtpin_start,
    .record = smtpin_record,
    .parent_record = smtpin_parent_record,
    .listener = smtpin_listener,
    .link_down = smtpin_link_down,
    .reload = smtpin_reload,
    .stop = smtpin_stop,
    .status = smtpin_status,
};
