#include "sys/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/cur.h"

enum { LISTEN_BACKLOG = 1024 };

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

union any_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage room;
};

static void
addr_set_ip(struct sock_addr *a, const void *ip, bool is_v4)
{
	if (is_v4) {
		memcpy(a->ip, v4_mapped, sizeof(v4_mapped));
		memcpy(a->ip + 12, ip, 4);
	} else {
		memcpy(a->ip, ip, 16);
	}
	/* The two ways to write a mapped address are one address. */
	a->is_v4 = memcmp(a->ip, v4_mapped, sizeof(v4_mapped)) == 0;
}

/* Anything but IP (a Unix socket) becomes "::" port 0. */
static void
addr_from_kernel(const union any_addr *k, struct sock_addr *out)
{
	*out = (struct sock_addr){0};
	if (k->sa.sa_family == AF_INET) {
		addr_set_ip(out, &k->v4.sin_addr, true);
		out->port = ntohs(k->v4.sin_port);
	} else if (k->sa.sa_family == AF_INET6) {
		addr_set_ip(out, &k->v6.sin6_addr, false);
		out->port = ntohs(k->v6.sin6_port);
	}
}

static socklen_t
addr_to_kernel(const struct sock_addr *a, union any_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (a->is_v4) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(a->port);
		memcpy(&out->v4.sin_addr, a->ip + 12, 4);
		return sizeof(out->v4);
	}
	out->v6.sin6_family = AF_INET6;
	out->v6.sin6_port = htons(a->port);
	memcpy(&out->v6.sin6_addr, a->ip, 16);
	return sizeof(out->v6);
}

enum status
sock_ip_parse(struct str s, struct sock_addr *out)
{
	char z[INET6_ADDRSTRLEN];
	uint8_t ip[16];
	bool is_v4 = str_find_char(s, ':') == s.n;

	if (s.n == 0 || s.n >= sizeof(z) || memchr(s.p, 0, s.n) != NULL)
		return ST_SYNTAX;
	memcpy(z, s.p, s.n);
	z[s.n] = 0;
	if (inet_pton(is_v4 ? AF_INET : AF_INET6, z, ip) != 1)
		return ST_SYNTAX;
	*out = (struct sock_addr){0};
	addr_set_ip(out, ip, is_v4);
	return ST_OK;
}

enum status
sock_ip_put(struct buf *out, const struct sock_addr *a)
{
	char z[INET6_ADDRSTRLEN];
	const void *ip = a->is_v4 ? a->ip + 12 : a->ip;

	CHECK(inet_ntop(a->is_v4 ? AF_INET : AF_INET6, ip, z, sizeof(z)) != NULL);
	return buf_put(out, str_of_c(z));
}

bool
sock_is_loopback(const struct sock_addr *a)
{
	static const uint8_t v6_loopback[16] = {[15] = 1};

	if (a->is_v4)
		return a->ip[12] == 127;
	return memcmp(a->ip, v6_loopback, 16) == 0;
}

bool
sock_ip_eq(const struct sock_addr *a, const struct sock_addr *b)
{
	return a->is_v4 == b->is_v4 && memcmp(a->ip, b->ip, 16) == 0;
}

static unsigned
net_bits_in_ip(const struct sock_addr *a, unsigned prefix_bits)
{
	return a->is_v4 ? 96 + prefix_bits : prefix_bits;
}

void
sock_ip_mask(struct sock_addr *a, unsigned prefix_bits)
{
	unsigned bits = net_bits_in_ip(a, prefix_bits);

	CHECK(bits <= 128);
	for (unsigned i = 0; i < 16; i++) {
		unsigned left = bits > i * 8 ? bits - i * 8 : 0;
		if (left < 8)
			a->ip[i] &= (uint8_t)(0xff00U >> left);
	}
}

enum status
sock_net_parse(struct str s, struct sock_net *out)
{
	struct str ip, bits;
	bool has_bits = str_split(s, '/', &ip, &bits);
	struct sock_net net = {0};
	uint64_t prefix_bits;

	if (sock_ip_parse(ip, &net.base) != ST_OK)
		return ST_SYNTAX;
	prefix_bits = net.base.is_v4 ? 32 : 128;
	if (has_bits) {
		uint64_t given;
		if (bits.n > 3 || str_to_u64(bits, &given) != ST_OK || given > prefix_bits)
			return ST_SYNTAX;
		prefix_bits = given;
	}
	net.prefix_bits = (uint8_t)prefix_bits;
	sock_ip_mask(&net.base, net.prefix_bits);
	*out = net;
	return ST_OK;
}

bool
sock_net_has(const struct sock_net *n, const struct sock_addr *a)
{
	struct sock_addr masked = *a;

	if (n->base.is_v4 != a->is_v4)
		return false;
	sock_ip_mask(&masked, n->prefix_bits);
	return memcmp(masked.ip, n->base.ip, 16) == 0;
}

static bool
option_on(int fd, int level, int name)
{
	int on = 1;

	return setsockopt(fd, level, name, &on, sizeof(on)) == 0;
}

static bool
listen_at(int fd, const struct sock_addr *a, bool is_reuseport)
{
	union any_addr k;
	socklen_t n = addr_to_kernel(a, &k);

	if (!option_on(fd, SOL_SOCKET, SO_REUSEADDR))
		return false;
	if (is_reuseport && !option_on(fd, SOL_SOCKET, SO_REUSEPORT))
		return false;
	if (!a->is_v4 && !option_on(fd, IPPROTO_IPV6, IPV6_V6ONLY))
		return false;
	/* Linux hands it on to accepted sockets: one system call less for each. */
	if (!option_on(fd, IPPROTO_TCP, TCP_NODELAY))
		return false;
	return bind(fd, &k.sa, n) == 0 && listen(fd, LISTEN_BACKLOG) == 0;
}

enum status
sock_listen(const struct sock_addr *a, bool is_reuseport, int *fd_out, struct buf *error_out)
{
	int fd = socket(
	    a->is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && listen_at(fd, a, is_reuseport)) {
		*fd_out = fd;
		return ST_OK;
	}
	int error = errno;
	(void)buf_putf(error_out, "cannot listen on %s", a->is_v4 ? "" : "[");
	(void)sock_ip_put(error_out, a);
	(void)buf_putf(
	    error_out, "%s port %u: %s", a->is_v4 ? "" : "]", (unsigned)a->port, strerror(error));
	if (fd >= 0)
		close(fd);
	return error == EACCES || error == EPERM ? ST_DENIED : error == EADDRINUSE ? ST_EXISTS : ST_IO;
}

enum status
sock_accept(int listen_fd, int *fd_out, struct sock_addr *peer_out)
{
	union any_addr k = {0};
	socklen_t n;
	int fd;

	do {
		n = sizeof(k);
		fd = accept4(listen_fd, &k.sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd >= 0) {
		addr_from_kernel(&k, peer_out);
		*fd_out = fd;
		return ST_OK;
	}
	switch (errno) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return ST_LIMIT;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
		return ST_IO;
	default:
		/* EAGAIN, or the network error of one pending connection (accept(2)). */
		return ST_MORE;
	}
}

static enum status
connect_status(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
	case EADDRINUSE:
		return ST_DENIED;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		return ST_LIMIT;
	case ECONNREFUSED:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EAFNOSUPPORT:
		return ST_NOTFOUND;
	default:
		return ST_IO;
	}
}

static bool
connect_from(int fd, const struct sock_addr *from)
{
	union any_addr k;
	socklen_t n = addr_to_kernel(from, &k);

	/* The port is chosen at connect, when the other end is known; otherwise each would take one for itself alone. */
	if (from->port == 0)
		(void)option_on(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
	return bind(fd, &k.sa, n) == 0;
}

/* 0 or the errno. */
static int
connect_at(int fd, const struct sock_addr *to)
{
	union any_addr k;
	socklen_t n = addr_to_kernel(to, &k);

	if (!option_on(fd, IPPROTO_TCP, TCP_NODELAY) ||
	    (!to->is_v4 && !option_on(fd, IPPROTO_IPV6, IPV6_V6ONLY)))
		return errno;
	if (connect(fd, &k.sa, n) == 0 || errno == EINPROGRESS || errno == EINTR)
		return 0;
	/* Every port of ours to there is in use. */
	return errno == EADDRNOTAVAIL ? EMFILE : errno;
}

static const char *
error_word(int error)
{
	switch (error) {
	case 0:
		return "";
	case ECONNREFUSED:
		return "connection refused";
	case ETIMEDOUT:
		return "timed out";
	case EHOSTUNREACH:
		return "no route to host";
	case ENETUNREACH:
		return "network is unreachable";
	case ENETDOWN:
		return "network is down";
	case ECONNRESET:
		return "connection reset";
	case ECONNABORTED:
		return "connection aborted";
	case EACCES:
	case EPERM:
		return "not permitted";
	case EADDRINUSE:
		return "address in use";
	case EADDRNOTAVAIL:
		return "address not available";
	case EAFNOSUPPORT:
		return "no such address family";
	case EMFILE:
	case ENFILE:
		return "out of descriptors or ports";
	case ENOBUFS:
	case ENOMEM:
		return "out of memory";
	default:
		return "connection failed";
	}
}

enum status
sock_connect(
    const struct sock_addr *to, const struct sock_addr *from, int *fd_out, const char **why_out)
{
	int error = 0, fd;
	bool is_bound;

	if (from != NULL && from->is_v4 != to->is_v4) {
		*why_out = "source address of the other family";
		return ST_DENIED;
	}
	fd = socket(to->is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		*why_out = error_word(errno);
		return connect_status(errno);
	}
	is_bound = from == NULL || connect_from(fd, from);
	error = is_bound ? connect_at(fd, to) : errno;
	if (error == 0) {
		*fd_out = fd;
		return ST_OK;
	}
	close(fd);
	*why_out = is_bound ? error_word(error) : "source address not available";
	return is_bound ? connect_status(error) : ST_DENIED;
}

const char *
sock_connect_error(int fd)
{
	int error = 0;
	socklen_t n = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	return error_word(error);
}

void
sock_local(int fd, struct sock_addr *out)
{
	union any_addr k = {0};
	socklen_t n = sizeof(k);

	if (getsockname(fd, &k.sa, &n) < 0)
		k.sa.sa_family = AF_UNSPEC;
	addr_from_kernel(&k, out);
}

void
sock_peer(int fd, struct sock_addr *out)
{
	union any_addr k = {0};
	socklen_t n = sizeof(k);

	if (getpeername(fd, &k.sa, &n) < 0)
		k.sa.sa_family = AF_UNSPEC;
	addr_from_kernel(&k, out);
}

enum status
sock_pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0)
		return ST_OK;
	return errno == EMFILE || errno == ENFILE ? ST_LIMIT : ST_IO;
}
