/*
 * SMTP load that costs little itself: one process, epoll, many sessions.
 *
 *	smtp_blast [-px] [-s SESSIONS] [-m MESSAGES] [-l BYTES] [-r RATE] [-u USERS]
 *		[-d DOMAIN] [-D DOMAINS] [-o FILE] IPV4 PORT
 *
 *	-p	MAIL, RCPT and DATA in one write (RFC 2920), as most relays do; else one
 *		command at a time
 *	-r	messages per second in all; 0: as fast as the server takes them
 *	-u	recipients u0@DOMAIN ... in turn; 1 (the default): u@DOMAIN only
 *	-D	domains d0.DOMAIN ... in turn; 1 (the default): DOMAIN only
 *	-x	each message has a field "X-Sent: N", the time when its content began to go
 *		out (nanoseconds of CLOCK_MONOTONIC)
 *	-o	a line "N ACCEPTED" in FILE for each message: that time, and when its 250 came
 *
 * The mail is not all the same: BODIES different bodies of words, half of them multipart, every
 * eighth with base64, and each message has its own Message-ID. Prints one line of JSON; the latency
 * is the time from the first command to the 250 of the message. Exit code 1 when one was refused.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	BODIES = 64,
	EVENTS = 256,
	HEAD_BYTES = 512,
	REPLY_BYTES = 2048,
	SILENCE_MS = 60000,
	SMALL_BYTES = 400
};

enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_BODY, STEP_IDLE };

struct session {
	int fd;
	enum step step;
	unsigned replies_due;
	bool is_refused;
	uint64_t number, began_ns, sent_ns;
	char in[REPLY_BYTES];
	size_t in_n;
	char head[HEAD_BYTES];
	struct iovec out[2];
};

struct body {
	char *p;
	size_t n;
};

static struct {
	bool is_pipelined, is_stamped;
	unsigned sessions, users, domains;
	uint64_t messages, rate;
	size_t bytes;
	const char *domain;
	FILE *stamps;
	struct sockaddr_in to;
} options = {.sessions = 1,
    .users = 1,
    .domains = 1,
    .messages = 1000,
    .bytes = 5120,
    .domain = "bench.test"};

static int events_fd;
static struct body bodies[BODIES];
static struct session *sessions;
static struct session **idle;
static size_t idle_n;
static uint64_t started_n, done_n, refused_n, began_ns;
static double *latency_ms;

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

static void *
must(void *p)
{
	if (p == NULL)
		die("memory");
	return p;
}

/* ---- the mail ---- */

static uint64_t random_state = 88172645463325252u;

static unsigned
random_below(unsigned n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)((random_state >> 16) % n);
}

static void
put(struct body *b, const char *text)
{
	size_t n = strlen(text);

	memcpy(b->p + b->n, text, n);
	b->n += n;
}

/* Lines of made-up words, short words more often. */
static void
put_words(struct body *b, size_t until)
{
	static const char *const parts[] = {"ba", "con", "de", "er", "fi", "gan", "in", "ko", "lu",
	    "men", "no", "or", "per", "re", "sta", "ti", "un", "ver", "wa", "ze"};

	while (b->n < until) {
		size_t line = b->n + 60;
		while (b->n < line) {
			for (unsigned i = 1 + random_below(1 + random_below(4)); i > 0; i--)
				put(b, parts[random_below(20)]);
			put(b, " ");
		}
		put(b, "\r\n");
	}
}

static void
put_base64(struct body *b, size_t until)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	while (b->n < until) {
		for (int i = 0; i < 76; i++)
			b->p[b->n++] = digits[random_below(64)];
		put(b, "\r\n");
	}
}

/* Everything of a message after its Message-ID, with the dot at the end. Below SMALL_BYTES it is a
 * line or two of text. */
static void
body_make(struct body *b, unsigned i)
{
	bool is_small = options.bytes <= SMALL_BYTES;
	size_t end = is_small ? 0 : options.bytes - 200;

	b->p = must(malloc(options.bytes + 4096));
	put(b, "MIME-Version: 1.0\r\nSubject: ");
	put_words(b, b->n + 30);
	if (is_small || i % 2 == 0) {
		put(b, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
		put_words(b, is_small ? b->n + options.bytes : end);
		put(b, ".\r\n");
		return;
	}
	put(b, "Content-Type: multipart/mixed; boundary=\"=_part\"\r\n\r\n"
	       "--=_part\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n");
	put_words(b, i % 8 == 1 ? end / 4 : end / 2);
	if (i % 8 == 1) {
		put(b, "--=_part\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\n"
		       "Content-Transfer-Encoding: base64\r\n\r\n");
		put_base64(b, end);
	} else {
		put(b, "--=_part\r\nContent-Type: text/html; "
		       "charset=utf-8\r\n\r\n<html><body><p>\r\n");
		put_words(b, end);
	}
	put(b, "--=_part--\r\n.\r\n");
}

/* ---- one session ---- */

static void
session_watch(struct session *s, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	if (epoll_ctl(events_fd, EPOLL_CTL_MOD, s->fd, &e) != 0)
		die("epoll_ctl");
}

/* Returns when all is sent or the socket is full; then EPOLLOUT continues. */
static void
session_flush(struct session *s, bool was_waiting)
{
	while (s->out[0].iov_len + s->out[1].iov_len > 0) {
		ssize_t n = writev(s->fd, s->out, 2);
		if (n < 0 && errno == EAGAIN) {
			if (!was_waiting)
				session_watch(s, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0)
			die("write");
		for (int i = 0; i < 2; i++) {
			size_t k = (size_t)n < s->out[i].iov_len ? (size_t)n : s->out[i].iov_len;
			s->out[i].iov_base = (char *)s->out[i].iov_base + k;
			s->out[i].iov_len -= k;
			n -= (ssize_t)k;
		}
	}
	if (was_waiting)
		session_watch(s, EPOLLIN);
}

static void
session_send(struct session *s, enum step step, unsigned replies, int head_n, struct iovec rest)
{
	s->step = step;
	s->replies_due = replies;
	s->out[0] = (struct iovec){s->head, (size_t)head_n};
	s->out[1] = rest;
	session_flush(s, false);
}

static const struct iovec nothing = {NULL, 0};

static int
mail_put(struct session *s)
{
	return snprintf(s->head, HEAD_BYTES, "MAIL FROM:<sender@src.test>\r\n");
}

static int
rcpt_put(struct session *s, int at)
{
	char user[24] = "u", part[24] = "";

	if (options.users > 1)
		snprintf(user, sizeof(user), "u%u", (unsigned)(s->number % options.users));
	if (options.domains > 1)
		snprintf(part, sizeof(part), "d%u.", (unsigned)(s->number % options.domains));
	return at + snprintf(s->head + at, HEAD_BYTES - (size_t)at, "RCPT TO:<%s@%s%s>\r\n", user,
			part, options.domain);
}

static int
data_put(struct session *s, int at)
{
	return at + snprintf(s->head + at, HEAD_BYTES - (size_t)at, "DATA\r\n");
}

/* Is it time for another message? Without a rate it always is. */
static bool
is_due(void)
{
	return options.rate == 0 || started_n <= (now_ns() - began_ns) * options.rate / 1000000000u;
}

static void
session_next(struct session *s)
{
	if (started_n >= options.messages || !is_due()) {
		s->step = STEP_IDLE;
		idle[idle_n++] = s;
		return;
	}
	s->number = started_n++;
	s->is_refused = false;
	s->began_ns = now_ns();
	if (options.is_pipelined)
		session_send(s, STEP_DATA, 3, data_put(s, rcpt_put(s, mail_put(s))), nothing);
	else
		session_send(s, STEP_MAIL, 1, mail_put(s), nothing);
}

static void
session_body(struct session *s)
{
	const struct body *b = &bodies[s->number % BODIES];
	int n = snprintf(s->head, HEAD_BYTES,
	    "From: <sender@src.test>\r\nTo: <u@%s>\r\nDate: Mon, 01 Jun 2026 12:00:00 +0000\r\n"
	    "Message-ID: <%llu.%d@src.test>\r\n",
	    options.domain, (unsigned long long)s->number, (int)getpid());

	s->sent_ns = now_ns();
	if (options.is_stamped)
		n += snprintf(s->head + n, HEAD_BYTES - (size_t)n, "X-Sent: %llu\r\n",
		    (unsigned long long)s->sent_ns);
	session_send(s, STEP_BODY, 1, n, (struct iovec){b->p, b->n});
}

static void
session_done(struct session *s)
{
	uint64_t now = now_ns();

	latency_ms[done_n++] = (double)(now - s->began_ns) / 1e6;
	if (options.stamps != NULL && !s->is_refused)
		fprintf(options.stamps, "%llu %llu\n", (unsigned long long)s->sent_ns,
		    (unsigned long long)now);
	refused_n += s->is_refused;
	session_next(s);
}

/* The last reply of what was sent has come. */
static void
session_step(struct session *s, int code)
{
	switch (s->step) {
	case STEP_GREETING:
		session_send(s, STEP_EHLO, 1,
		    snprintf(s->head, HEAD_BYTES, "EHLO blast.src.test\r\n"), nothing);
		break;
	case STEP_EHLO:
		session_next(s);
		break;
	case STEP_MAIL:
		session_send(s, STEP_RCPT, 1, rcpt_put(s, 0), nothing);
		break;
	case STEP_RCPT:
		session_send(s, STEP_DATA, 1, data_put(s, 0), nothing);
		break;
	case STEP_DATA:
		if (code != 354) {
			fprintf(stderr, "smtp_blast: DATA was answered with %d\n", code);
			exit(1);
		}
		session_body(s);
		break;
	case STEP_BODY:
		session_done(s);
		break;
	case STEP_IDLE:
		fprintf(stderr, "smtp_blast: an idle session was told %d\n", code);
		exit(1);
	}
}

static void
session_reply(struct session *s, const char *line, size_t n)
{
	int code;

	if (n < 4 || line[3] == '-')
		return;
	code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
	if (code >= 400 && !s->is_refused) {
		if (refused_n == 0)
			fprintf(stderr, "smtp_blast: refused: %.*s\n", (int)n, line);
		s->is_refused = true;
	}
	if (s->replies_due > 0)
		s->replies_due--;
	if (s->replies_due == 0)
		session_step(s, code);
}

static void
session_readable(struct session *s)
{
	ssize_t n = read(s->fd, s->in + s->in_n, REPLY_BYTES - s->in_n);
	char *line = s->in, *end;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fprintf(stderr, "smtp_blast: the server closed a connection after %llu messages\n",
		    (unsigned long long)done_n);
		exit(1);
	}
	s->in_n += (size_t)n;
	while ((end = memchr(line, '\n', (size_t)(s->in + s->in_n - line))) != NULL) {
		session_reply(s, line, (size_t)(end - line));
		line = end + 1;
	}
	s->in_n -= (size_t)(line - s->in);
	memmove(s->in, line, s->in_n);
}

static void
session_open(struct session *s)
{
	int one = 1;
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};

	s->step = STEP_GREETING;
	s->replies_due = 1;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		die("socket");
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(s->fd, (struct sockaddr *)&options.to, sizeof(options.to)) != 0 &&
	    errno != EINPROGRESS)
		die("connect");
	if (epoll_ctl(events_fd, EPOLL_CTL_ADD, s->fd, &e) != 0)
		die("epoll_ctl");
}

/* ---- the run ---- */

static void
wake_idle(void)
{
	while (idle_n > 0 && started_n < options.messages && is_due())
		session_next(idle[--idle_n]);
}

static void
run(void)
{
	struct epoll_event ready[EVENTS];

	while (done_n < options.messages) {
		int n = epoll_wait(
		    events_fd, ready, EVENTS, options.rate > 0 && idle_n > 0 ? 1 : SILENCE_MS);
		if (n == 0 && (options.rate == 0 || idle_n == 0)) {
			fprintf(stderr, "smtp_blast: nothing happened for a minute\n");
			exit(1);
		}
		for (int i = 0; i < n; i++) {
			struct session *s = ready[i].data.ptr;
			if (ready[i].events & EPOLLOUT)
				session_flush(s, true);
			if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				session_readable(s);
		}
		wake_idle();
	}
}

static int
double_order(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
report(double seconds)
{
	struct rusage u;
	double cpu;

	getrusage(RUSAGE_SELF, &u);
	cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	      (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
	qsort(latency_ms, done_n, sizeof(*latency_ms), double_order);
	printf("{\"messages\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,\"p50_ms\":%.2f,\"p99_ms\":"
	       "%.2f,"
	       "\"max_ms\":%.2f,\"refused\":%llu,\"driver_cpu_seconds\":%.3f}\n",
	    (unsigned long long)done_n, seconds, (double)done_n / seconds, latency_ms[done_n / 2],
	    latency_ms[done_n * 99 / 100], latency_ms[done_n - 1], (unsigned long long)refused_n,
	    cpu);
}

static unsigned long
number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (*text == 0 || *end != 0) {
		fprintf(stderr, "smtp_blast: %s is not a number\n", text);
		exit(2);
	}
	return n;
}

static void
options_read(int argc, char **argv)
{
	int o;

	while ((o = getopt(argc, argv, "pxs:m:l:r:u:d:D:o:")) != -1) {
		if (o == 'p')
			options.is_pipelined = true;
		else if (o == 's')
			options.sessions = (unsigned)number(optarg);
		else if (o == 'm')
			options.messages = number(optarg);
		else if (o == 'l')
			options.bytes = number(optarg);
		else if (o == 'r')
			options.rate = number(optarg);
		else if (o == 'u')
			options.users = (unsigned)number(optarg);
		else if (o == 'd')
			options.domain = optarg;
		else if (o == 'D')
			options.domains = (unsigned)number(optarg);
		else if (o == 'x')
			options.is_stamped = true;
		else if (o == 'o')
			options.stamps = must(fopen(optarg, "w"));
		else
			exit(2);
	}
	options.to.sin_family = AF_INET;
	if (argc - optind != 2 || inet_pton(AF_INET, argv[optind], &options.to.sin_addr) != 1 ||
	    options.messages == 0 || options.sessions == 0) {
		fprintf(stderr,
		    "usage: smtp_blast [-px] [-s SESSIONS] [-m MESSAGES] [-l BYTES] [-r RATE] "
		    "[-u USERS] [-d DOMAIN] [-D DOMAINS] [-o FILE] IPV4 PORT\n");
		exit(2);
	}
	options.to.sin_port = htons((uint16_t)number(argv[optind + 1]));
}

int
main(int argc, char **argv)
{
	options_read(argc, argv);
	events_fd = epoll_create1(EPOLL_CLOEXEC);
	if (events_fd < 0)
		die("epoll_create1");
	for (unsigned i = 0; i < BODIES; i++)
		body_make(&bodies[i], i);
	sessions = must(calloc(options.sessions, sizeof(*sessions)));
	idle = must(calloc(options.sessions, sizeof(struct session *)));
	latency_ms = must(calloc(options.messages, sizeof(*latency_ms)));
	began_ns = now_ns();
	for (unsigned i = 0; i < options.sessions; i++)
		session_open(&sessions[i]);
	run();
	report((double)(now_ns() - began_ns) / 1e9);
	return refused_n > 0;
}
