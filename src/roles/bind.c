/* The parent's sockets: one per listener, address and process, bound before anybody meets a stranger. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "roles/parent_internal.h"
#include "sys/sock.h"

static bool
control_bind(struct parent *p, struct buf *why)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t n = strlen(p->control_path);
	mode_t old;
	int r;

	if (n >= sizeof(sa.sun_path)) {
		(void)buf_putf(why, "the path of the control socket is too long (%zu of at most %zu bytes): %s; choose a shorter --dir",
		    n, sizeof(sa.sun_path) - 1, p->control_path);
		return false;
	}
	memcpy(sa.sun_path, p->control_path, n);
	p->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (connect(p->control_fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0) {
		(void)buf_putf(why, "a server is already running here (%s answers); `posthorn stop` ends it", p->control_path);
		return false;
	}
	unlink(p->control_path);
	old = umask(0177);
	r = bind(p->control_fd, (const struct sockaddr *)&sa, sizeof(sa));
	umask(old);
	if (r != 0 || listen(p->control_fd, 16) != 0) {
		(void)buf_putf(why, "cannot make the control socket %s: %s", p->control_path, strerror(errno));
		return false;
	}
	p->bound[p->bound_n++] = (struct bound){.fd = p->control_fd,
	    .kind = ROLE_QUEUE,
	    .rec = {.protocol = LISTEN_CONTROL, .name = STR("control")}};
	return true;
}

static enum listener_protocol
protocol_of(enum config_protocol c)
{
	switch (c) {
	case CONFIG_SMTP:
		return LISTEN_SMTP;
	case CONFIG_LMTP:
		return LISTEN_LMTP;
	case CONFIG_SUBMISSION:
	case CONFIG_SUBMISSIONS:
		return LISTEN_SUBMISSION;
	case CONFIG_POP3:
	case CONFIG_POP3S:
		return LISTEN_POP3;
	}
	return LISTEN_SMTP;
}

static void
sock_addr_of(const struct config_ip *ip, uint16_t port, struct sock_addr *out)
{
	*out = (struct sock_addr){.port = port, .is_v4 = !ip->v6};
	if (ip->v6) {
		memcpy(out->ip, ip->bytes, 16);
	} else {
		out->ip[10] = out->ip[11] = 0xff;
		memcpy(out->ip + 12, ip->bytes, 4);
	}
}

/* SO_REUSEPORT would let a second server of the same user take half of our connections: ask without it first. */
static bool
address_is_free(const struct sock_addr *a, struct buf *why)
{
	int fd;

	if (sock_listen(a, false, &fd, why) != ST_OK)
		return false;
	close(fd);
	return true;
}

static bool
address_bind(struct parent *p, const struct config_listener *l, const struct config_ip *ip, struct buf *why)
{
	enum listener_protocol protocol = protocol_of(l->protocol);
	enum role_kind kind = protocol == LISTEN_SMTP || protocol == LISTEN_LMTP ? ROLE_SMTPIN : ROLE_ACCESS;
	struct sock_addr a;

	sock_addr_of(ip, l->port, &a);
	if (p->options.is_single && !sock_is_loopback(&a)) {
		(void)buf_putf(why, "--single has no sandbox and therefore listens on loopback only; listener `%.*s` does not",
		    STR_ARG(l->name));
		return false;
	}
	int old = parent_inherited(p, &a);
	if (old < 0 && !address_is_free(&a, why))
		return false;
	for (size_t i = 0; i < p->children_n; i++) {
		struct bound b = {.kind = kind, .index = p->children[i].index};
		if (p->children[i].kind != kind)
			continue;
		if (p->bound_n == BOUND_MAX) {
			(void)buf_put(why, STR("more listeners than the limit allows"));
			return false;
		}
		/* What waits in a socket of the image before is not turned away. */
		b.fd = old >= 0 ? old : parent_inherited(p, &a);
		old = -1;
		if (b.fd < 0 && sock_listen(&a, true, &b.fd, why) != ST_OK)
			return false;
		b.rec = (struct rec_listener){.protocol = (uint8_t)protocol, .tls = (uint8_t)l->tls, .name = l->name};
		p->bound[p->bound_n++] = b;
	}
	return true;
}

bool
parent_bind(struct parent *p, struct buf *why)
{
	const struct config *f = p->config;

	if (!control_bind(p, why))
		return false;
	for (size_t i = 0; i < f->listener_count; i++)
		for (size_t k = 0; k < f->listeners[i].address.n; k++)
			if (!address_bind(p, &f->listeners[i], &f->listeners[i].address.v[k], why))
				return false;
	parent_inherited_close(p);
	return true;
}

void
parent_unbind(struct parent *p)
{
	for (size_t i = 0; i < p->bound_n; i++)
		close(p->bound[i].fd);
	if (p->bound_n > 0)
		unlink(p->control_path);
	p->bound_n = 0;
}
