/* net/listen: limits at n and n+1, exempt networks, running out of descriptors. */
#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/unit.h"
#include "net/listen.h"

struct world {
	struct clock clock;
	struct loop *l;
	struct listener *n;
	struct sock_addr at;
	int accepted, refused;
	enum listen_refusal why;
	int fds[64];
	struct sock_addr peers[64];
	int client_fds[64], clients;
};

static void
on_accept(void *arg, int fd, const struct sock_addr *peer)
{
	struct world *w = arg;

	w->fds[w->accepted] = fd;
	w->peers[w->accepted++] = *peer;
}

static void
on_refuse(void *arg, int fd, const struct sock_addr *peer, enum listen_refusal why)
{
	struct world *w = arg;

	(void)peer;
	w->refused++;
	w->why = why;
	EXPECT(send(fd, "421\r\n", 5, MSG_NOSIGNAL) == 5);
	close(fd);
}

static const struct listener_handler handler = {on_accept, on_refuse};

static void
world_init(struct world *w, struct str ip, const struct listener_options *o)
{
	struct buf error;
	int fd;

	*w = (struct world){0};
	clock_init_fake(&w->clock, 1000);
	w->l = loop_new(&w->clock);
	buf_init(&error, 500);
	CHECK(sock_ip_parse(ip, &w->at) == ST_OK);
	CHECK(sock_listen(&w->at, false, &fd, &error) == ST_OK);
	sock_local(fd, &w->at);
	w->n = listener_new(w->l, fd, o, &handler, w);
	buf_fini(&error);
}

static void
world_fini(struct world *w)
{
	for (int i = 0; i < w->accepted; i++)
		close(w->fds[i]);
	for (int i = 0; i < w->clients; i++)
		close(w->client_fds[i]);
	listener_free(&w->n);
	loop_free(&w->l);
}

/* From 127.x.y.z, all of which are ours on loopback. */
static void
come_from(struct world *w, const char *from)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(w->at.port)};
	struct sockaddr_in me = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(&a.sin_addr, w->at.ip + 12, 4);
	CHECK(fd >= 0 && inet_pton(AF_INET, from, &me.sin_addr) == 1);
	CHECK(bind(fd, (const struct sockaddr *)&me, sizeof(me)) == 0);
	CHECK(connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
	w->client_fds[w->clients++] = fd;
	loop_turn(w->l, 0);
}

static void
address_limit_at_n_and_one_more(void)
{
	struct world w;

	world_init(&w, STR("127.0.0.1"), &(struct listener_options){.per_ip_max = 3});
	for (int i = 0; i < 3; i++)
		come_from(&w, "127.0.0.5");
	EXPECT(w.accepted == 3 && w.refused == 0);
	come_from(&w, "127.0.0.5");
	EXPECT(w.accepted == 3 && w.refused == 1 && w.why == LISTEN_REFUSED_IP);
	come_from(&w, "127.0.0.6");
	EXPECT(w.accepted == 4);
	listener_release(w.n, &w.peers[0]);
	come_from(&w, "127.0.0.5");
	EXPECT(w.accepted == 5 && w.refused == 1 && listener_open(w.n) == 4);
	world_fini(&w);
}

static void
network_limit_at_n_and_one_more(void)
{
	struct world w;

	world_init(&w, STR("127.0.0.1"), &(struct listener_options){.per_net_max = 2});
	come_from(&w, "127.0.7.1");
	come_from(&w, "127.0.7.2");
	EXPECT(w.accepted == 2);
	come_from(&w, "127.0.7.3");
	EXPECT(w.refused == 1 && w.why == LISTEN_REFUSED_NET);
	come_from(&w, "127.0.8.3");
	EXPECT(w.accepted == 3);
	world_fini(&w);
	world_init(&w, STR("127.0.0.1"), &(struct listener_options){.per_net_max = 2, .v4_net_bits = 8});
	come_from(&w, "127.0.7.1");
	come_from(&w, "127.9.7.2");
	come_from(&w, "127.8.8.3");
	EXPECT(w.accepted == 2 && w.refused == 1);
	world_fini(&w);
}

static void
total_limit_counts_everybody(void)
{
	struct world w;
	struct sock_net exempt;

	CHECK(sock_net_parse(STR("127.1.0.0/16"), &exempt) == ST_OK);
	world_init(&w, STR("127.0.0.1"),
	    &(struct listener_options){
		.total_max = 5, .per_ip_max = 1, .exempt = &exempt, .exempt_n = 1});
	for (int i = 0; i < 4; i++)
		come_from(&w, "127.1.0.1");
	EXPECT(w.accepted == 4);
	come_from(&w, "127.2.0.1");
	come_from(&w, "127.2.0.1");
	EXPECT(w.accepted == 5 && w.refused == 1 && w.why == LISTEN_REFUSED_TOTAL);
	for (int i = 0; i < 5; i++)
		listener_release(w.n, &w.peers[i]);
	EXPECT(listener_open(w.n) == 0);
	come_from(&w, "127.2.0.1");
	come_from(&w, "127.2.0.1");
	EXPECT(w.accepted == 6 && w.refused == 2 && w.why == LISTEN_REFUSED_IP);
	world_fini(&w);
}

static void
v6_is_counted(void)
{
	struct world w;
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	world_init(&w, STR("::1"), &(struct listener_options){.per_net_max = 1});
	a.sin6_port = htons(w.at.port);
	for (int i = 0; i < 2; i++) {
		int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK(connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
		w.client_fds[w.clients++] = fd;
		loop_turn(w.l, 0);
	}
	EXPECT(w.accepted == 1 && w.refused == 1 && !w.peers[0].is_v4);
	world_fini(&w);
}

static void
accepts_are_bounded_per_wake_up(void)
{
	struct world w;
	struct sockaddr_in a = {.sin_family = AF_INET};

	world_init(&w, STR("127.0.0.1"), &(struct listener_options){0});
	memcpy(&a.sin_addr, w.at.ip + 12, 4);
	a.sin_port = htons(w.at.port);
	for (int i = 0; i < LISTEN_ACCEPTS_MAX + 1; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK(connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
		w.client_fds[w.clients++] = fd;
	}
	loop_turn(w.l, 0);
	EXPECT(w.accepted == LISTEN_ACCEPTS_MAX);
	loop_turn(w.l, 0);
	EXPECT(w.accepted == LISTEN_ACCEPTS_MAX + 1);
	world_fini(&w);
}

static void
out_of_descriptors_it_pauses(void)
{
	struct world w;
	struct rlimit was, now;
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd;

	world_init(&w, STR("127.0.0.1"), &(struct listener_options){0});
	memcpy(&a.sin_addr, w.at.ip + 12, 4);
	a.sin_port = htons(w.at.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0);
	w.client_fds[w.clients++] = fd;
	CHECK(getrlimit(RLIMIT_NOFILE, &was) == 0);
	now = was;
	now.rlim_cur = (rlim_t)fd + 1;
	CHECK(setrlimit(RLIMIT_NOFILE, &now) == 0);
	EXPECT(loop_turn(w.l, 0));
	EXPECT(w.accepted == 0);
	/* Readable still, but not looked at. */
	EXPECT(!loop_turn(w.l, LISTEN_PAUSE_MS - 1));
	CHECK(setrlimit(RLIMIT_NOFILE, &was) == 0);
	EXPECT(loop_turn(w.l, 1));
	loop_turn(w.l, 0);
	EXPECT(w.accepted == 1);
	world_fini(&w);
}

int
main(void)
{
	UNIT(address_limit_at_n_and_one_more);
	UNIT(network_limit_at_n_and_one_more);
	UNIT(total_limit_counts_everybody);
	UNIT(v6_is_counted);
	UNIT(accepts_are_bounded_per_wake_up);
	UNIT(out_of_descriptors_it_pauses);
	return unit_end();
}
