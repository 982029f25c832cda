#include "roles/front.h"

#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

static void
front_sign(void *arg, const struct tls_sign_request *rq)
{
	struct front *f = arg;
	struct link *l = role_link(f->role, ROLE_KEYS, 0);

	/* Without keys the handshake waits for its deadline: they are back in a moment. */
	if (l != NULL)
		(void)rec_sign_put(link_out(l),
		    &(struct rec_sign){.ticket = rq->ticket, .key_id = rq->key_id, .kind = rq->kind, .op = rq->op, .input = rq->input});
}

void
front_init(struct front *f, struct role *r, const struct front_ops *ops, void *arg)
{
	*f = (struct front){.role = r, .ops = ops, .arg = arg};
}

/* The context is made with the first certificate, which the parent sends before GO. */
static struct tls_context *
front_tls(struct front *f)
{
	const struct rec_settings *o = role_settings(f->role);

	if (f->tls == NULL) {
		tls_process_init();
		f->tls = tls_context_new(role_loop(f->role), front_sign, f);
		/* All processes of a port take each other's tickets. */
		if (o->ticket_seed.n == 32)
			tls_context_ticket_seed(f->tls, (const uint8_t *)o->ticket_seed.p, o->ticket_seed_ms);
	}
	return f->tls;
}

void
front_fini(struct front *f)
{
	for (size_t i = 0; i < f->listeners_n; i++)
		listener_free(&f->listeners[i].listener);
	tls_context_free(&f->tls);
}

enum status
front_prepare(struct front *f, struct buf *why)
{
	(void)f;
	(void)why;
	tls_process_init();
	return ST_OK;
}

bool
front_certificate(struct front *f, struct cur *c)
{
	struct rec_certificate r;
	struct buf why;

	if (!rec_certificate_take(c, &r))
		return false;
	buf_init(&why, 1024);
	if (tls_context_add(front_tls(f), r.chain_pem, r.key_id, &why) != ST_OK)
		log_event(LOG_ERROR, "certificate.unusable", LOG_U64("key", r.key_id), LOG_STR("why", buf_str(&why)));
	buf_fini(&why);
	return true;
}

bool
front_signed(struct cur *c)
{
	struct rec_sign_answer r;

	if (!rec_sign_answer_take(c, &r))
		return false;
	tls_sign_done(r.ticket, r.result);
	return true;
}

static void
on_accept(void *arg, int fd, const struct sock_addr *peer)
{
	struct front_listener *l = arg;

	l->front->ops->accept(l->front->arg, l, fd, peer);
}

static void
on_refuse(void *arg, int fd, const struct sock_addr *peer, enum listen_refusal why)
{
	struct front_listener *l = arg;

	(void)peer;
	(void)why;
	l->front->ops->refuse(l->front->arg, l, fd);
}

static const struct listener_handler listener_handler = {.on_accept = on_accept, .on_refuse = on_refuse};

static struct listener_options
front_limits(const struct front *f)
{
	const struct rec_settings *s = role_settings(f->role);

	return (struct listener_options){.total_max = s->connections_max,
	    .per_ip_max = s->per_address_max,
	    .per_net_max = s->per_network_max,
	    .v4_net_bits = s->v4_prefix,
	    .v6_net_bits = s->v6_prefix,
	    .exempt = f->exempt.net,
	    .exempt_n = f->exempt.n};
}

static bool
nets_have(const struct front_nets *nets, const struct sock_addr *peer)
{
	for (size_t i = 0; i < nets->n; i++)
		if (sock_net_has(&nets->net[i], peer))
			return true;
	return false;
}

static struct receive_peer
front_peer(void *arg, const struct sock_addr *peer)
{
	const struct front *f = arg;

	return (struct receive_peer){.is_exempt = nets_have(&f->exempt, peer),
	    .is_trusted = nets_have(&f->trusted, peer),
	    .is_proxy = nets_have(&f->proxy, peer),
	    .may_xclient = nets_have(&f->xclient, peer)};
}

struct receive_settings
front_receive_settings(struct front *f)
{
	const struct rec_settings *o = role_settings(f->role);

	return (struct receive_settings){.hostname = o->hostname,
	    .message_bytes_max = o->message_bytes_max,
	    .rcpts_max = o->rcpts_max,
	    .messages_max = o->messages_max,
	    .errors_max = o->errors_max,
	    .command_timeout_ms = o->command_timeout_ms,
	    .data_timeout_ms = o->data_timeout_ms,
	    .greet_delay_ms = o->greet_delay_ms,
	    .tarpit_ms = o->tarpit_ms,
	    .peer_of = front_peer,
	    .peer_arg = f};
}

static void
nets_set(struct front_nets *nets, struct str lines)
{
	struct str line;

	nets->n = 0;
	while (lines.n > 0 && nets->n < FRONT_EXEMPT_MAX) {
		(void)str_split(lines, '\n', &line, &lines);
		if (line.n > 0 && sock_net_parse(line, &nets->net[nets->n]) == ST_OK)
			nets->n++;
	}
}

void
front_settings(struct front *f)
{
	const struct rec_settings *o = role_settings(f->role);
	struct listener_options limits;

	if (f->tls != NULL)
		tls_context_set_min(f->tls, o->is_tls_13_only != 0);
	nets_set(&f->exempt, o->exempt_nets);
	nets_set(&f->trusted, o->trusted_nets);
	nets_set(&f->proxy, o->proxy_nets);
	nets_set(&f->xclient, o->xclient_nets);
	limits = front_limits(f);
	for (size_t i = 0; i < f->listeners_n; i++)
		listener_set_options(f->listeners[i].listener, &limits);
}

void
front_listen(struct front *f, const struct rec_listener *rec, int fd)
{
	struct front_listener *l;
	struct listener_options limits = front_limits(f);

	if (f->listeners_n == FRONT_LISTENERS_MAX) {
		close(fd);
		return;
	}
	l = &f->listeners[f->listeners_n++];
	*l = (struct front_listener){.front = f, .protocol = rec->protocol, .tls = rec->tls};
	l->listener = listener_new(role_loop(f->role), fd, &limits, &listener_handler, l);
}

void
front_close(struct front *f)
{
	for (size_t i = 0; i < f->listeners_n; i++)
		listener_close(f->listeners[i].listener);
}

bool
front_is_exempt(const struct front *f, const struct sock_addr *peer)
{
	return nets_have(&f->exempt, peer);
}
