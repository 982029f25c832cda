/* sys/sock: addresses of both families, listening and accepting on loopback. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "base/unit.h"
#include "sys/sock.h"

static void
addresses_parse_and_print(void)
{
	static const struct {
		struct str in, out; /* out empty: refused */
		bool is_v4;
	} table[] = {
	    {STR_INIT("127.0.0.1"), STR_INIT("127.0.0.1"), true},
	    {STR_INIT("255.255.255.255"), STR_INIT("255.255.255.255"), true},
	    {STR_INIT("::1"), STR_INIT("::1"), false},
	    {STR_INIT("2001:DB8:0:0:1:0:0:1"), STR_INIT("2001:db8::1:0:0:1"), false},
	    {STR_INIT("2001:db8:0:1:1:1:1:1"), STR_INIT("2001:db8:0:1:1:1:1:1"), false},
	    {STR_INIT("::"), STR_INIT("::"), false},
	    {STR_INIT("::ffff:192.0.2.1"), STR_INIT("192.0.2.1"), true},
	    {STR_INIT("1111:2222:3333:4444:5555:6666:123.123.123.123"),
		STR_INIT("1111:2222:3333:4444:5555:6666:7b7b:7b7b"), false},
	    {STR_INIT(""), STR_INIT(""), false},
	    {STR_INIT("1.2.3"), STR_INIT(""), false},
	    {STR_INIT("1.2.3.256"), STR_INIT(""), false},
	    {STR_INIT("1.2.3.04"), STR_INIT(""), false},
	    {STR_INIT(" 1.2.3.4"), STR_INIT(""), false},
	    {STR_INIT("1.2.3.4\0"), STR_INIT(""), false},
	    {STR_INIT("[::1]"), STR_INIT(""), false},
	    {STR_INIT("fe80::1%eth0"), STR_INIT(""), false},
	    {STR_INIT("1:2:3:4:5:6:7:8:9"), STR_INIT(""), false},
	    {STR_INIT("11111:2222:3333:4444:5555:6666:123.123.123.123"), STR_INIT(""), false},
	    {STR_INIT(":"), STR_INIT(""), false},
	};
	struct buf out;

	buf_init(&out, 64);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct sock_addr a;
		enum status st = sock_ip_parse(table[i].in, &a);
		EXPECT((st == ST_OK) == (table[i].out.n > 0));
		if (st != ST_OK)
			continue;
		buf_reset(&out);
		EXPECT(sock_ip_put(&out, &a) == ST_OK);
		EXPECT_STR(buf_str(&out), table[i].out);
		EXPECT(a.is_v4 == table[i].is_v4);
		EXPECT(a.port == 0);
	}
	buf_fini(&out);
}

static void
nets_hold_addresses(void)
{
	static const struct {
		struct str net, ip;
		bool has;
	} table[] = {
	    {STR_INIT("10.0.0.0/8"), STR_INIT("10.255.0.1"), true},
	    {STR_INIT("10.0.0.0/8"), STR_INIT("11.0.0.0"), false},
	    {STR_INIT("10.1.2.3/8"), STR_INIT("10.9.9.9"), true},
	    {STR_INIT("192.0.2.128/25"), STR_INIT("192.0.2.127"), false},
	    {STR_INIT("192.0.2.128/25"), STR_INIT("192.0.2.255"), true},
	    {STR_INIT("192.0.2.1"), STR_INIT("192.0.2.1"), true},
	    {STR_INIT("192.0.2.1"), STR_INIT("192.0.2.2"), false},
	    {STR_INIT("0.0.0.0/0"), STR_INIT("8.8.8.8"), true},
	    {STR_INIT("0.0.0.0/0"), STR_INIT("::1"), false},
	    {STR_INIT("::/0"), STR_INIT("2001:db8::1"), true},
	    {STR_INIT("::/0"), STR_INIT("8.8.8.8"), false},
	    {STR_INIT("2001:db8::/33"), STR_INIT("2001:db8:7fff::"), true},
	    {STR_INIT("2001:db8::/33"), STR_INIT("2001:db8:8000::"), false},
	    {STR_INIT("2001:db8::1/128"), STR_INIT("2001:db8::1"), true},
	    {STR_INIT("2001:db8::1"), STR_INIT("2001:db8::2"), false},
	};
	static const struct str bad[] = {STR_INIT(""), STR_INIT("/8"), STR_INIT("10.0.0.0/"),
	    STR_INIT("10.0.0.0/33"), STR_INIT("::/129"), STR_INIT("10.0.0.0/-1"),
	    STR_INIT("10.0.0.0/8/8"), STR_INIT("10.0.0.0/0008"), STR_INIT("10.0.0/8")};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct sock_net net;
		struct sock_addr ip;
		EXPECT(sock_net_parse(table[i].net, &net) == ST_OK);
		EXPECT(sock_ip_parse(table[i].ip, &ip) == ST_OK);
		EXPECT(sock_net_has(&net, &ip) == table[i].has);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct sock_net net;
		EXPECT(sock_net_parse(bad[i], &net) == ST_SYNTAX);
	}
}

static void
loopback_and_equality(void)
{
	struct sock_addr a, b;

	EXPECT(sock_ip_parse(STR("127.9.9.9"), &a) == ST_OK && sock_is_loopback(&a));
	EXPECT(sock_ip_parse(STR("::1"), &b) == ST_OK && sock_is_loopback(&b));
	EXPECT(!sock_ip_eq(&a, &b));
	b = a;
	b.port = 25;
	EXPECT(sock_ip_eq(&a, &b));
	EXPECT(sock_ip_parse(STR("::2"), &b) == ST_OK && !sock_is_loopback(&b));
	EXPECT(sock_ip_parse(STR("128.0.0.1"), &b) == ST_OK && !sock_is_loopback(&b));
}

static int
connect_to(const struct sock_addr *a)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(a->port)};
	int fd = socket(a->is_v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	memcpy(&v4.sin_addr, a->ip + 12, 4);
	memcpy(&v6.sin6_addr, a->ip, 16);
	if (a->is_v4)
		CHECK(connect(fd, (const struct sockaddr *)&v4, sizeof(v4)) == 0);
	else
		CHECK(connect(fd, (const struct sockaddr *)&v6, sizeof(v6)) == 0);
	return fd;
}

static void
accept_one(struct str ip)
{
	struct sock_addr at, local, peer;
	struct buf error;
	int lfd, cfd, fd, on = 0;
	socklen_t n = sizeof(on);

	buf_init(&error, 512);
	EXPECT(sock_ip_parse(ip, &at) == ST_OK);
	CHECK(sock_listen(&at, false, &lfd, &error) == ST_OK);
	EXPECT(sock_accept(lfd, &fd, &peer) == ST_MORE);
	sock_local(lfd, &at);
	EXPECT(at.port != 0);
	cfd = connect_to(&at);
	CHECK(poll(&(struct pollfd){.fd = lfd, .events = POLLIN}, 1, 1000) == 1);
	CHECK(sock_accept(lfd, &fd, &peer) == ST_OK);
	sock_local(cfd, &local);
	EXPECT(sock_ip_eq(&local, &peer) && local.port == peer.port);
	EXPECT(peer.is_v4 == at.is_v4 && sock_is_loopback(&peer));
	sock_peer(fd, &local);
	EXPECT(sock_ip_eq(&local, &peer) && local.port == peer.port);
	EXPECT(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &n) == 0 && on == 1);
	EXPECT(recv(fd, &on, 1, 0) < 0); /* would block for ever otherwise */
	/* The address is taken now, and the sentence says so. */
	EXPECT(sock_listen(&at, false, &on, &error) == ST_EXISTS);
	EXPECT(str_has_prefix(buf_str(&error), STR("cannot listen on ")));
	EXPECT(str_has_suffix_ci(buf_str(&error), STR("address already in use")));
	EXPECT(str_find(buf_str(&error), ip) < error.n);
	close(fd);
	close(cfd);
	close(lfd);
	buf_fini(&error);
}

static void
accepts_v4(void)
{
	accept_one(STR("127.0.0.1"));
}

static void
accepts_v6(void)
{
	accept_one(STR("::1"));
}

static void
reuseport_shares_an_address(void)
{
	struct sock_addr at;
	struct buf error;
	int a, b;

	buf_init(&error, 512);
	EXPECT(sock_ip_parse(STR("127.0.0.1"), &at) == ST_OK);
	CHECK(sock_listen(&at, true, &a, &error) == ST_OK);
	sock_local(a, &at);
	CHECK(sock_listen(&at, true, &b, &error) == ST_OK);
	close(a);
	close(b);
	buf_fini(&error);
}

static void
out_of_descriptors_is_a_limit(void)
{
	struct sock_addr at, peer;
	struct buf error;
	struct rlimit was, now;
	int lfd, cfd, fd;

	buf_init(&error, 512);
	EXPECT(sock_ip_parse(STR("127.0.0.1"), &at) == ST_OK);
	CHECK(sock_listen(&at, false, &lfd, &error) == ST_OK);
	sock_local(lfd, &at);
	cfd = connect_to(&at);
	CHECK(getrlimit(RLIMIT_NOFILE, &was) == 0);
	now = was;
	now.rlim_cur = (rlim_t)cfd + 1;
	CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
	EXPECT(sock_accept(lfd, &fd, &peer) == ST_LIMIT);
	CHECK(setrlimit(RLIMIT_NOFILE, &was) == 0);
	EXPECT(sock_accept(lfd, &fd, &peer) == ST_OK);
	close(fd);
	close(cfd);
	close(lfd);
	EXPECT(sock_accept(lfd, &fd, &peer) == ST_IO);
	buf_fini(&error);
}

/* What became of a connect that was begun. */
static const char *
connect_result(int fd)
{
	CHECK(poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 5000) == 1);
	return sock_connect_error(fd);
}

static void
connect_one(struct str ip, struct str from_ip)
{
	struct sock_addr at, from, peer, local;
	struct buf error;
	const char *why = NULL;
	int lfd, cfd, fd, on = 0;
	socklen_t n = sizeof(on);

	buf_init(&error, 512);
	EXPECT(sock_ip_parse(ip, &at) == ST_OK && sock_ip_parse(from_ip, &from) == ST_OK);
	CHECK(sock_listen(&at, false, &lfd, &error) == ST_OK);
	sock_local(lfd, &at);
	CHECK(sock_connect(&at, &from, &cfd, &why) == ST_OK);
	EXPECT(why == NULL);
	EXPECT(connect_result(cfd)[0] == 0);
	CHECK(sock_accept(lfd, &fd, &peer) == ST_OK);
	sock_local(cfd, &local);
	EXPECT(sock_ip_eq(&peer, &from) && sock_ip_eq(&local, &from) && local.port == peer.port);
	EXPECT(getsockopt(cfd, IPPROTO_TCP, TCP_NODELAY, &on, &n) == 0 && on == 1);
	EXPECT(recv(cfd, &on, 1, 0) < 0); /* would block for ever otherwise */
	close(cfd);
	close(fd);
	close(lfd);
	/* The port is nobody's now. */
	fd = -1;
	if (sock_connect(&at, NULL, &fd, &why) == ST_OK) {
		EXPECT_STR(str_of_c(connect_result(fd)), STR("connection refused"));
		close(fd);
	} else {
		EXPECT_STR(str_of_c(why), STR("connection refused"));
	}
	buf_fini(&error);
}

static void
connects_and_is_refused(void)
{
	connect_one(STR("127.0.0.1"), STR("127.0.0.2"));
	connect_one(STR("::1"), STR("::1"));
}

static void
connects_that_cannot_begin(void)
{
	struct sock_addr to, from;
	const char *why = NULL;
	int fd = -1;

	EXPECT(sock_ip_parse(STR("127.0.0.1"), &to) == ST_OK);
	to.port = 9;
	EXPECT(sock_ip_parse(STR("::1"), &from) == ST_OK);
	EXPECT(sock_connect(&to, &from, &fd, &why) == ST_DENIED);
	EXPECT_STR(str_of_c(why), STR("source address of the other family"));
	EXPECT(sock_ip_parse(STR("192.0.2.1"), &from) == ST_OK);
	EXPECT(sock_connect(&to, &from, &fd, &why) == ST_DENIED);
	EXPECT_STR(str_of_c(why), STR("source address not available"));
	/* Broadcast is nobody to connect to. */
	EXPECT(sock_ip_parse(STR("255.255.255.255"), &to) == ST_OK);
	to.port = 25;
	EXPECT(sock_connect(&to, NULL, &fd, &why) != ST_OK);
	EXPECT(why[0] != 0 && fd == -1);
}

static void
pair_is_connected(void)
{
	int fds[2];
	char c;

	CHECK(sock_pair(fds) == ST_OK);
	EXPECT(read(fds[0], &c, 1) < 0);
	EXPECT(write(fds[1], "x", 1) == 1);
	EXPECT(read(fds[0], &c, 1) == 1 && c == 'x');
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	UNIT(addresses_parse_and_print);
	UNIT(nets_hold_addresses);
	UNIT(loopback_and_equality);
	UNIT(accepts_v4);
	UNIT(accepts_v6);
	UNIT(reuseport_shares_an_address);
	UNIT(out_of_descriptors_is_a_limit);
	UNIT(connects_and_is_refused);
	UNIT(connects_that_cannot_begin);
	UNIT(pair_is_connected);
	return unit_end();
}
