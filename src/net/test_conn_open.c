/* net/conn: how connections begin: connecting over real sockets, and behind a PROXY header over
 * simulated streams. */
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "base/unit.h"
#include "net/conn.h"
#include "net/sim.h"
#include "protocols/proxy/limits.h"

/* Our end. Greets when connected, keeps the lines it hears. */
struct end {
	struct clock clock;
	struct loop *l;
	struct conn *c;
	int connected_n, timeouts_n, closed_n;
	enum conn_end why;
	char error[64];
	struct buf heard;
	struct sim_end *peer; /* when simulated */
};

static void
end_connected(void *arg, struct conn *c)
{
	struct end *e = arg;

	EXPECT(e->heard.n == 0 && e->closed_n == 0 && c == e->c);
	e->connected_n++;
	(void)buf_put(conn_out(c), STR("hello"));
}

static void
end_input(void *arg, struct conn *c, struct cur *in)
{
	struct end *e = arg;
	struct str line;

	EXPECT(e->connected_n == 1);
	while (cur_take_line(in, &line)) {
		(void)buf_putf(&e->heard, "<%.*s>", STR_ARG(line));
		if (str_eq(line, STR("close")))
			conn_close(c);
	}
}

static void
end_timeout(void *arg, struct conn *c)
{
	((struct end *)arg)->timeouts_n++;
	conn_close(c);
}

static void
end_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct end *e = arg;

	e->closed_n++;
	e->why = why;
	e->c = NULL;
	EXPECT(conn_tls(c) == NULL);
	snprintf(e->error, sizeof(e->error), "%s", conn_connect_error(c));
}

static const struct conn_handler handler = {
    .connected = end_connected, .input = end_input, .timeout = end_timeout, .closed = end_closed};

static void
end_init(struct end *e, bool is_real)
{
	*e = (struct end){0};
	if (is_real)
		clock_init_system(&e->clock);
	else
		clock_init_fake(&e->clock, 1000);
	e->l = loop_new(&e->clock);
	buf_init(&e->heard, 10000);
}

static void
end_fini(struct end *e)
{
	if (e->c != NULL)
		conn_abort(e->c);
	loop_turn(e->l, 0);
	EXPECT(e->closed_n == 1);
	if (e->peer != NULL)
		sim_close(&e->peer);
	loop_free(&e->l);
	buf_fini(&e->heard);
}

/* Until *n is not 0, at most five seconds. */
static void
run_until(struct end *e, const int *n)
{
	uint64_t until = clock_mono_ms(&e->clock) + 5000;

	while (*n == 0 && clock_mono_ms(&e->clock) < until)
		loop_turn(e->l, 100);
}

static struct sock_addr
addr(struct str ip, uint16_t port)
{
	struct sock_addr a;

	CHECK(sock_ip_parse(ip, &a) == ST_OK);
	a.port = port;
	return a;
}

/* A listener on a free port of the address. */
static int
listener(struct str ip, struct sock_addr *at_out)
{
	struct sock_addr a = addr(ip, 0);
	struct buf error;
	int fd;

	buf_init(&error, 200);
	CHECK(sock_listen(&a, false, &fd, &error) == ST_OK);
	buf_fini(&error);
	sock_local(fd, at_out);
	return fd;
}

static void
connect_and_talk(struct str ip, struct str from_ip)
{
	struct sock_addr at, from = {0}, seen;
	struct end e;
	char b[20];
	int lfd = listener(ip, &at), fd;

	if (from_ip.n > 0)
		from = addr(from_ip, 0);
	end_init(&e, true);
	e.c = conn_new_connect(e.l, &at, from_ip.n > 0 ? &from : NULL, &handler, &e, 100);
	/* Nothing is called from inside; the address is known; what is said early waits. */
	EXPECT(e.connected_n == 0 && e.closed_n == 0);
	EXPECT(sock_ip_eq(conn_peer(e.c), &at) && conn_peer(e.c)->port == at.port);
	(void)buf_put(conn_out(e.c), STR("early "));
	conn_deadline(e.c, 4000);
	run_until(&e, &e.connected_n);
	EXPECT(e.connected_n == 1);
	CHECK(poll(&(struct pollfd){.fd = lfd, .events = POLLIN}, 1, 1000) == 1);
	CHECK(sock_accept(lfd, &fd, &seen) == ST_OK);
	EXPECT(sock_ip_eq(&seen, conn_local(e.c)) && seen.port == conn_local(e.c)->port);
	if (from_ip.n > 0)
		EXPECT(sock_ip_eq(&seen, &from));
	EXPECT(write(fd, "one\r\nclose\r\n", 12) == 12);
	run_until(&e, &e.closed_n);
	EXPECT(e.why == CONN_END_LOCAL && e.timeouts_n == 0 && e.error[0] == 0);
	EXPECT_STR(buf_str(&e.heard), STR("<one><close>"));
	EXPECT(recv(fd, b, 11, MSG_WAITALL) == 11 && memcmp(b, "early hello", 11) == 0);
	EXPECT(read(fd, b, 1) == 0);
	close(fd);
	close(lfd);
	end_fini(&e);
}

static void
connects(void)
{
	connect_and_talk(STR("127.0.0.1"), STR(""));
	connect_and_talk(STR("::1"), STR(""));
	connect_and_talk(STR("127.0.0.1"), STR("127.0.0.2"));
}

static void
refused(void)
{
	struct sock_addr at;
	struct end e;

	close(listener(STR("127.0.0.1"), &at));
	end_init(&e, true);
	e.c = conn_new_connect(e.l, &at, NULL, &handler, &e, 100);
	EXPECT(e.closed_n == 0);
	run_until(&e, &e.closed_n);
	EXPECT(e.closed_n == 1 && e.connected_n == 0 && e.why == CONN_END_CONNECT);
	EXPECT_STR(str_of_c(e.error), STR("connection refused"));
	end_fini(&e);
}

static void
what_cannot_begin_is_heard_from_the_loop(void)
{
	struct sock_addr at = addr(STR("127.0.0.1"), 9), from = addr(STR("192.0.2.1"), 0);
	struct end e;

	end_init(&e, true);
	e.c = conn_new_connect(e.l, &at, &from, &handler, &e, 100);
	EXPECT(e.closed_n == 0 && e.c != NULL);
	/* All of these must be harmless. */
	(void)buf_put(conn_out(e.c), STR("early"));
	conn_deadline(e.c, 1000);
	EXPECT(conn_local(e.c)->port == 0 && conn_peer(e.c)->port == 9);
	run_until(&e, &e.closed_n);
	EXPECT(e.closed_n == 1 && e.connected_n == 0 && e.why == CONN_END_CONNECT);
	EXPECT_STR(str_of_c(e.error), STR("source address not available"));
	end_fini(&e);
}

/* A listener whose queue is full answers nothing. */
static int
black_hole(struct sock_addr *at_out, int fillers[4])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *why;

	CHECK(
	    fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 0) == 0);
	sock_local(fd, at_out);
	for (int i = 0; i < 4; i++)
		CHECK(sock_connect(at_out, NULL, &fillers[i], &why) == ST_OK);
	return fd;
}

static void
deadline_while_connecting(void)
{
	struct sock_addr at;
	struct end e;
	int fillers[4], lfd = black_hole(&at, fillers);
	uint64_t begun;

	for (int how = 0; how < 3; how++) {
		end_init(&e, true);
		begun = clock_mono_ms(&e.clock);
		e.c = conn_new_connect(e.l, &at, NULL, &handler, &e, 100);
		conn_deadline(e.c, 300);
		if (how > 0) {
			loop_turn(e.l, 20);
			EXPECT(e.closed_n == 0);
		}
		if (how == 1)
			conn_close(e.c);
		if (how == 2)
			conn_abort(e.c);
		run_until(&e, &e.closed_n);
		EXPECT(e.closed_n == 1 && e.connected_n == 0 && e.timeouts_n == 0);
		if (how == 0) {
			EXPECT(e.why == CONN_END_CONNECT);
			EXPECT_STR(str_of_c(e.error), STR("timed out"));
			EXPECT(clock_mono_ms(&e.clock) - begun >= 300);
		} else {
			EXPECT(e.why == CONN_END_LOCAL && e.error[0] == 0);
			EXPECT(clock_mono_ms(&e.clock) - begun < 300);
		}
		end_fini(&e);
	}
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(lfd);
}

/* Connected, a deadline is the handler's again. */
static void
deadline_after_connecting(void)
{
	struct sock_addr at;
	struct end e;
	int lfd = listener(STR("127.0.0.1"), &at);

	end_init(&e, true);
	e.c = conn_new_connect(e.l, &at, NULL, &handler, &e, 100);
	conn_deadline(e.c, 300);
	run_until(&e, &e.timeouts_n);
	EXPECT(e.connected_n == 1 && e.timeouts_n == 1);
	run_until(&e, &e.closed_n);
	EXPECT(e.why == CONN_END_TIMEOUT);
	close(lfd);
	end_fini(&e);
}

static void
sim_init(struct end *e, const struct sim_opts *o)
{
	struct sim_end *end;

	end_init(e, false);
	sim_pair(e->l, o, &end, &e->peer);
	e->c = conn_new_sim(e->l, end, &handler, e, 100);
}

static void
run_ms(struct end *e, uint64_t ms)
{
	uint64_t until = clock_mono_ms(&e->clock) + ms;

	while (clock_mono_ms(&e->clock) < until)
		loop_turn(e->l, (int)(until - clock_mono_ms(&e->clock)));
	while (loop_turn(e->l, 0))
		continue;
}

static void
say(struct sim_end *peer, struct str text)
{
	size_t n;

	CHECK(sim_write(peer, text.p, text.n, &n) == ST_OK && n == text.n);
}

static struct str
peer_hears(struct sim_end *peer, char b[100])
{
	size_t n = 0;

	return sim_read(peer, b, 100, &n) == ST_OK ? str_of(b, n) : STR_NULL;
}

static void
simulated_hears_it_too(void)
{
	struct end e;
	char b[100];

	sim_init(&e, NULL);
	say(e.peer, STR("one\r\n"));
	EXPECT(e.connected_n == 0);
	run_ms(&e, 10);
	EXPECT(e.connected_n == 1);
	EXPECT_STR(buf_str(&e.heard), STR("<one>"));
	EXPECT_STR(peer_hears(e.peer, b), STR("hello"));
	end_fini(&e);
}

#define V1 "PROXY TCP4 192.0.2.1 198.51.100.2 51000 25\r\n"
#define V2                                                                                         \
	"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x01\xc6\x33\x64\x02\xc7\x38\0\x19\x03\0\x04" \
	"\x01\x02\x03\x04"
#define V2_LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"

static void
header_in_pieces(void)
{
	static const struct str headers[] = {
	    STR_INIT(V1), STR_INIT(V2), STR_INIT("PROXY UNKNOWN\r\n"), STR_INIT(V2_LOCAL)};
	struct sock_addr from = addr(STR("192.0.2.1"), 51000), to = addr(STR("198.51.100.2"), 25);
	struct sock_addr proxy = addr(STR("10.0.0.1"), 7);

	for (uint64_t seed = 0; seed < 40; seed++) {
		struct str header = headers[seed % 4];
		struct end e;
		char b[100];
		sim_init(&e, &(struct sim_opts){.seed = seed,
				 .piece_bytes_max = (size_t)seed % 9,
				 .delay_ms_max = seed % 3});
		conn_set_peer(e.c, &proxy);
		conn_expect_proxy(e.c);
		(void)buf_put(conn_out(e.c), STR("early "));
		run_ms(&e, 10);
		EXPECT(e.connected_n == 0 && peer_hears(e.peer, b).n == 0);
		say(e.peer, str_take(header, header.n - 1));
		run_ms(&e, 400);
		EXPECT(e.connected_n == 0 && sock_ip_eq(conn_peer(e.c), &proxy));
		say(e.peer, str_from(header, header.n - 1));
		/* Alone, or with what follows at once. */
		if (seed % 8 < 4)
			run_ms(&e, 10);
		say(e.peer, STR("one\r\nPROXY UNKNOWN\r\ntw"));
		run_ms(&e, 400);
		say(e.peer, STR("o\r\n"));
		run_ms(&e, 400);
		EXPECT(e.connected_n == 1 && e.closed_n == 0);
		EXPECT_STR(buf_str(&e.heard), STR("<one><PROXY UNKNOWN><two>"));
		EXPECT(sock_ip_eq(conn_peer(e.c), seed % 4 < 2 ? &from : &proxy));
		EXPECT(conn_peer(e.c)->port == (seed % 4 < 2 ? 51000 : 7));
		if (seed % 4 < 2)
			EXPECT(sock_ip_eq(conn_local(e.c), &to) && conn_local(e.c)->port == 25);
		/* It must not be too late for its own deadline, and not early for one that is over.
		 */
		run_ms(&e, CONN_PROXY_MS * 2);
		EXPECT(e.closed_n == 0);
		end_fini(&e);
	}
}

static void
header_and_more_over_a_descriptor(void)
{
	struct sock_addr at, seen;
	struct end e;
	const char *why;
	int lfd = listener(STR("127.0.0.1"), &at), fd, peer;

	for (int how = 0; how < 2; how++) {
		end_init(&e, true);
		CHECK(sock_connect(&at, NULL, &peer, &why) == ST_OK);
		CHECK(poll(&(struct pollfd){.fd = lfd, .events = POLLIN}, 1, 1000) == 1);
		CHECK(sock_accept(lfd, &fd, &seen) == ST_OK);
		e.c = conn_new_fd(e.l, fd, &handler, &e, 100);
		conn_expect_proxy(e.c);
		EXPECT(write(peer, V1, sizeof(V1) - 1) == sizeof(V1) - 1);
		if (how == 1)
			run_until(&e, &e.connected_n);
		EXPECT(write(peer, "one\r\nclose\r\n", 12) == 12);
		run_until(&e, &e.closed_n);
		EXPECT(e.connected_n == 1 && e.closed_n == 1 && e.why == CONN_END_LOCAL);
		EXPECT_STR(buf_str(&e.heard), STR("<one><close>"));
		close(peer);
		end_fini(&e);
	}
	close(lfd);
}

static void
bad_headers_end_it(void)
{
	static char much[PROXY_HEADER_MAX + 100] = V2_LOCAL;
	static const struct {
		struct str in;
		enum conn_end why;
	} table[] = {
	    {STR_INIT("EHLO x\r\n"), CONN_END_PROXY},
	    {STR_INIT("one\r\n"), CONN_END_PROXY},
	    {STR_INIT("\x16\x03\x01"), CONN_END_PROXY},
	    {STR_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\none\r\n"), CONN_END_PROXY},
	    {{much, sizeof(much)}, CONN_END_PROXY},
	    {STR_INIT(""), CONN_END_TIMEOUT},
	    {STR_INIT("PROXY TCP4 1.2"), CONN_END_TIMEOUT},
	};

	much[14] = much[15] = (char)0xff;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct end e;
		char b[100];
		sim_init(&e, NULL);
		conn_expect_proxy(e.c);
		if (table[i].in.n > 0)
			say(e.peer, table[i].in);
		run_ms(&e, CONN_PROXY_MS - 1);
		EXPECT(e.closed_n == (table[i].why == CONN_END_PROXY));
		run_ms(&e, CONN_DEADLINE_LATE_MS + 1);
		EXPECT(e.closed_n == 1 && e.why == table[i].why && e.connected_n == 0);
		EXPECT(e.heard.n == 0 && e.timeouts_n == 0 && peer_hears(e.peer, b).n == 0);
		end_fini(&e);
	}
}

static void
ends_before_the_header(void)
{
	for (int how = 0; how < 3; how++) {
		struct end e;
		sim_init(&e, NULL);
		conn_expect_proxy(e.c);
		say(e.peer, STR("PROXY "));
		run_ms(&e, 10);
		if (how == 0)
			sim_shutdown(e.peer);
		if (how == 1)
			sim_reset(e.peer);
		if (how == 2)
			conn_close(e.c);
		run_ms(&e, 10);
		EXPECT(e.closed_n == 1 && e.connected_n == 0);
		EXPECT(e.why == (how == 0      ? CONN_END_EOF
				    : how == 1 ? CONN_END_ERROR
					       : CONN_END_LOCAL));
		end_fini(&e);
	}
}

int
main(void)
{
	UNIT(connects);
	UNIT(refused);
	UNIT(what_cannot_begin_is_heard_from_the_loop);
	UNIT(deadline_while_connecting);
	UNIT(deadline_after_connecting);
	UNIT(simulated_hears_it_too);
	UNIT(header_in_pieces);
	UNIT(header_and_more_over_a_descriptor);
	UNIT(bad_headers_end_it);
	UNIT(ends_before_the_header);
	return unit_end();
}
