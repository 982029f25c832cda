/*
 * The server at the other end of a relay: takes every message, keeps none, counts and stamps.
 *
 *	relay_sink [-o FILE] PORT
 *
 * Listens on 127.0.0.1. One process, epoll; all commands of one read are answered in one write
 * (RFC 2920). Written for two servers that behave: a line of another kind ends the run loudly.
 *
 * A message that has a field "X-Sent: N" (nanoseconds of CLOCK_MONOTONIC, see smtp_blast -x) is
 * also measured: from N until its last line is here. -o FILE gets a line "N ARRIVED" for it.
 * Signatures are counted by their fields and by "a=rsa-sha256" in a line of the head; nobody
 * checks them here.
 *
 * Standard input asks: "count" is answered with one line of JSON, "reset" starts anew and is
 * answered in the same way; its end ends the program. arrived_ns is the arrival of the last
 * message, CLOCK_MONOTONIC.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A line of content is at most 1,000 (RFC 5321 4.5.3.1.6); what does not end is not kept either. */
enum {
	EVENTS = 256,
	READ_BYTES = 65536,
	LINE_BYTES = 4096,
	REPLY_BYTES = 16384,
	ASK_BYTES = 64,
	LATENCIES_MAX = 1 << 22
};

struct peer {
	int fd;
	bool is_content, is_head, is_quitting;
	uint64_t sent_ns; /* of the message that is coming, 0: it does not say */
	char line[LINE_BYTES];
	size_t line_n;
	char out[REPLY_BYTES];
	size_t out_n;
};

static struct {
	uint64_t messages, recipients, connections, open, bytes, signatures, rsa, first_ns,
	    arrived_ns;
	size_t latencies_n;
} counted;
static double *latency_ms;
static FILE *stamps;
static int events_fd;

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Noreturn void
die(const char *what)
{
	perror(what);
	exit(2);
}

/* ---- one connection ---- */

static void
peer_free(struct peer *p)
{
	close(p->fd);
	free(p);
	counted.open--;
}

static void
say(struct peer *p, const char *text)
{
	size_t n = strlen(text);

	if (p->out_n + n > sizeof(p->out)) {
		fprintf(stderr, "relay_sink: too many commands in one read\n");
		exit(1);
	}
	memcpy(p->out + p->out_n, text, n);
	p->out_n += n;
}

static bool
is_word(const struct peer *p, const char *word)
{
	size_t n = strlen(word);

	return p->line_n >= n && strncasecmp(p->line, word, n) == 0;
}

static void
command_take(struct peer *p)
{
	if (is_word(p, "EHLO")) {
		say(p, "250-sink.bench.test\r\n250-PIPELINING\r\n250-SIZE 0\r\n250-8BITMIME\r\n250 "
		       "ENHANCEDSTATUSCODES\r\n");
	} else if (is_word(p, "DATA")) {
		say(p, "354 go on\r\n");
		p->is_content = p->is_head = true;
		p->sent_ns = 0;
	} else if (is_word(p, "QUIT")) {
		say(p, "221 2.0.0 bye\r\n");
		p->is_quitting = true;
	} else if (is_word(p, "MAIL") || is_word(p, "RCPT") || is_word(p, "RSET") ||
		   is_word(p, "HELO") || is_word(p, "NOOP")) {
		counted.recipients += is_word(p, "RCPT");
		say(p, "250 2.0.0 ok\r\n");
	} else {
		fprintf(stderr, "relay_sink: not a command: %.*s\n", (int)p->line_n, p->line);
		exit(1);
	}
}

static void
message_done(struct peer *p)
{
	uint64_t now = now_ns();

	p->is_content = false;
	if (counted.messages++ == 0)
		counted.first_ns = now;
	counted.arrived_ns = now;
	if (p->sent_ns != 0 && counted.latencies_n < LATENCIES_MAX) {
		latency_ms[counted.latencies_n++] = (double)(now - p->sent_ns) / 1e6;
		if (stamps != NULL)
			fprintf(stamps, "%llu %llu\n", (unsigned long long)p->sent_ns,
			    (unsigned long long)now);
	}
	say(p, "250 2.0.0 taken\r\n");
}

static void
field_take(struct peer *p)
{
	if (is_word(p, "X-Sent: ")) {
		p->line[p->line_n < LINE_BYTES ? p->line_n : LINE_BYTES - 1] = 0;
		p->sent_ns = strtoull(p->line + strlen("X-Sent: "), NULL, 10);
	}
	counted.signatures += is_word(p, "DKIM-Signature:");
	counted.rsa += memmem(p->line, p->line_n, "a=rsa-sha256", strlen("a=rsa-sha256")) != NULL;
}

static void
line_take(struct peer *p)
{
	if (!p->is_content) {
		command_take(p);
	} else if (p->line_n == 1 && p->line[0] == '.') {
		message_done(p);
	} else if (p->line_n == 0) {
		p->is_head = false;
	} else if (p->is_head) {
		field_take(p);
	}
	p->line_n = 0;
}

/* Lines end with CR LF; the CR is not kept. */
static void
peer_take(struct peer *p, const char *in, size_t n)
{
	const char *end = in + n, *lf;

	counted.bytes += n;
	while (in < end) {
		lf = memchr(in, '\n', (size_t)(end - in));
		size_t k = (size_t)((lf != NULL ? lf : end) - in);
		size_t room = LINE_BYTES - p->line_n;
		memcpy(p->line + p->line_n, in, k < room ? k : room);
		p->line_n += k < room ? k : room;
		if (lf == NULL)
			return;
		if (p->line_n > 0 && p->line[p->line_n - 1] == '\r')
			p->line_n--;
		line_take(p);
		in = lf + 1;
	}
}

/* Replies are short and a server reads them; one that does not is not worth measuring. */
static bool
peer_flush(struct peer *p)
{
	ssize_t n = p->out_n == 0 ? 0 : send(p->fd, p->out, p->out_n, MSG_NOSIGNAL);
	bool is_whole = n == (ssize_t)p->out_n;

	p->out_n = 0;
	return is_whole;
}

static void
peer_readable(struct peer *p)
{
	static char in[READ_BYTES];
	ssize_t n = read(p->fd, in, sizeof(in));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0)
		peer_take(p, in, (size_t)n);
	if (n <= 0 || !peer_flush(p) || p->is_quitting)
		peer_free(p);
}

static void
peer_accept(int listener)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
	int one = 1;

	if (p == NULL)
		die("memory");
	p->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (p->fd < 0) {
		free(p);
		return;
	}
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(events_fd, EPOLL_CTL_ADD, p->fd, &e) != 0)
		die("epoll_ctl");
	counted.connections++;
	counted.open++;
	say(p, "220 sink.bench.test ESMTP\r\n");
	if (!peer_flush(p))
		peer_free(p);
}

/* ---- questions ---- */

static int
double_order(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
answer(void)
{
	size_t n = counted.latencies_n;

	qsort(latency_ms, n, sizeof(*latency_ms), double_order);
	printf("{\"messages\":%llu,\"recipients\":%llu,\"connections\":%llu,\"open\":%llu,"
	       "\"bytes\":%llu,"
	       "\"signatures\":%llu,\"rsa\":%llu,\"first_ns\":%llu,\"arrived_ns\":%llu,"
	       "\"measured\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
	    (unsigned long long)counted.messages, (unsigned long long)counted.recipients,
	    (unsigned long long)counted.connections, (unsigned long long)counted.open,
	    (unsigned long long)counted.bytes, (unsigned long long)counted.signatures,
	    (unsigned long long)counted.rsa, (unsigned long long)counted.first_ns,
	    (unsigned long long)counted.arrived_ns, n, n > 0 ? latency_ms[n / 2] : 0,
	    n > 0 ? latency_ms[n * 99 / 100] : 0, n > 0 ? latency_ms[n - 1] : 0);
	fflush(stdout);
	if (stamps != NULL)
		fflush(stamps);
}

/* The connections stay open and stay counted. */
static void
reset(void)
{
	uint64_t open = counted.open;

	memset(&counted, 0, sizeof(counted));
	counted.open = open;
}

/* False at the end of the input. Who asks waits for the answer, so a read is one question. */
static bool
question_take(void)
{
	char ask[ASK_BYTES + 1];
	ssize_t n = read(STDIN_FILENO, ask, ASK_BYTES);

	if (n <= 0)
		return false;
	ask[n] = 0;
	if (strcmp(ask, "reset\n") == 0)
		reset();
	answer();
	return true;
}

/* ---- the run ---- */

static int
listen_on(uint16_t port)
{
	struct sockaddr_in at = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 4096) != 0)
		die("listen");
	return fd;
}

static void
watch(int fd, void *mark)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = mark};

	if (epoll_ctl(events_fd, EPOLL_CTL_ADD, fd, &e) != 0)
		die("epoll_ctl");
}

static void
run(int listener)
{
	struct epoll_event ready[EVENTS];
	static char asked, connected;

	watch(STDIN_FILENO, &asked);
	watch(listener, &connected);
	for (;;) {
		int n = epoll_wait(events_fd, ready, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			void *who = ready[i].data.ptr;
			if (who == &connected)
				peer_accept(listener);
			else if (who != &asked)
				peer_readable(who);
			else if (!question_take())
				return;
		}
	}
}

int
main(int argc, char **argv)
{
	unsigned long port = 0;
	int listener, o;

	while ((o = getopt(argc, argv, "o:")) != -1) {
		if (o != 'o')
			exit(2);
		stamps = fopen(optarg, "w");
		if (stamps == NULL)
			die(optarg);
	}
	if (argc - optind == 1)
		port = strtoul(argv[optind], NULL, 10);
	if (port == 0 || port > UINT16_MAX) {
		fprintf(stderr, "usage: relay_sink [-o FILE] PORT\n");
		exit(2);
	}
	latency_ms = malloc(LATENCIES_MAX * sizeof(*latency_ms));
	events_fd = epoll_create1(EPOLL_CLOEXEC);
	if (latency_ms == NULL || events_fd < 0)
		die("start");
	listener = listen_on((uint16_t)port);
	printf("listening\n");
	fflush(stdout);
	run(listener);
	answer();
	return 0;
}
