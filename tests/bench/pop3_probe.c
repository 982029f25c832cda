/*
 * What a reader by POP3 waits for: one connection, blocking, every round trip timed.
 *
 *	pop3_probe -w SECONDS [-r RATE] IPV4 PORT USER PASSWORD
 *		STAT, LIST n and RETR n in turn for messages anywhere in the mailbox, RATE times a
 *		second; a new session each second, so that new mail is seen and the listing is read
 *anew pop3_probe -d COUNT [-p DEPTH] IPV4 PORT USER PASSWORD log in, LIST everything, RETR 1..COUNT
 *one by one, then again DEPTH at a time
 *
 * Prints JSON, a line per kind of round trip.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 1 << 18, COMMAND_BYTES = 600, DEPTH_MAX = 500, SAMPLES_MAX = 1 << 20 };

enum kind { KIND_LOGIN, KIND_STAT, KIND_LIST, KIND_RETR, KINDS };

static const char *const kind_names[KINDS] = {"login", "STAT", "LIST n", "RETR n"};

struct samples {
	double *ms;
	size_t n;
};

static struct samples samples[KINDS];
static struct sockaddr_in to;
static const char *user, *password;
static int fd = -1;
static char in[IN_BYTES];
static size_t in_n, in_at;
static unsigned long messages_n;
static uint64_t bytes_n;

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void
die(const char *what)
{
	perror(what);
	exit(1);
}

static void
refill(void)
{
	ssize_t n = read(fd, in, IN_BYTES);

	if (n <= 0)
		die("pop3_probe: the server closed the connection");
	in_at = 0;
	in_n = (size_t)n;
	bytes_n += in_n;
}

/* The next line; only its first bytes are kept. Returns its length without CRLF. */
static size_t
line_read(char *out, size_t out_max)
{
	size_t n = 0;

	for (;;) {
		char *end;
		size_t k, keep;

		if (in_at == in_n)
			refill();
		end = memchr(in + in_at, '\n', in_n - in_at);
		k = end == NULL ? in_n - in_at : (size_t)(end - (in + in_at)) + 1;
		keep = n >= out_max ? 0 : k < out_max - n ? k : out_max - n;
		memcpy(out + n, in + in_at, keep);
		n += k;
		in_at += k;
		if (end != NULL)
			return n - 2;
	}
}

static void
command(const char *text, size_t n)
{
	if (write(fd, text, n) != (ssize_t)n)
		die("pop3_probe: write");
}

/* One answer; `first` receives the start of its first line. */
static void
answer(bool is_multi_line, char *first, size_t first_max)
{
	char line[4] = {0};

	memset(first, 0, first_max);
	(void)line_read(first, first_max - 1);
	if (first[0] != '+') {
		fprintf(stderr, "pop3_probe: %s\n", first);
		exit(1);
	}
	while (is_multi_line && !(line_read(line, sizeof(line)) == 1 && line[0] == '.'))
		;
}

static void
ask(bool is_multi_line, const char *text, int n, char *first, size_t first_max)
{
	command(text, (size_t)n);
	answer(is_multi_line, first, first_max);
}

static void
sample(enum kind k, double began)
{
	struct samples *s = &samples[k];

	if (s->n < SAMPLES_MAX)
		s->ms[s->n++] = (now_s() - began) * 1e3;
}

static void
session_open(void)
{
	char text[COMMAND_BYTES], first[COMMAND_BYTES];
	int one = 1;
	double began = now_s();

	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("pop3_probe: connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	in_n = in_at = 0;
	answer(false, first, sizeof(first));
	ask(false, text, snprintf(text, sizeof(text), "USER %s\r\n", user), first, sizeof(first));
	ask(false, text, snprintf(text, sizeof(text), "PASS %s\r\n", password), first,
	    sizeof(first));
	sample(KIND_LOGIN, began);
	began = now_s();
	ask(false, "STAT\r\n", 6, first, sizeof(first));
	sample(KIND_STAT, began);
	messages_n = strtoul(first + 4, NULL, 10);
}

static void
session_close(void)
{
	char first[COMMAND_BYTES];

	ask(false, "QUIT\r\n", 6, first, sizeof(first));
	close(fd);
}

static void
timed(enum kind k, bool is_multi_line, const char *verb, unsigned long n)
{
	char text[COMMAND_BYTES], first[COMMAND_BYTES];
	double began = now_s();
	int text_n = n == 0 ? snprintf(text, sizeof(text), "%s\r\n", verb)
			    : snprintf(text, sizeof(text), "%s %lu\r\n", verb, n);

	ask(is_multi_line, text, text_n, first, sizeof(first));
	sample(k, began);
}

static int
double_order(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
report(enum kind k)
{
	struct samples *s = &samples[k];

	if (s->n == 0)
		return;
	qsort(s->ms, s->n, sizeof(*s->ms), double_order);
	printf("{\"what\":\"%s\",\"n\":%zu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_"
	       "ms\":%.3f}\n",
	    kind_names[k], s->n, s->ms[s->n / 2], s->ms[s->n * 99 / 100], s->ms[s->n * 999 / 1000],
	    s->ms[s->n - 1]);
}

static void
watch(double seconds, double rate)
{
	double began = now_s(), session_began = began;
	unsigned long i = 0;

	session_open();
	while (now_s() - began < seconds) {
		/* Steps that share no factor with the size of the mailbox reach all parts of it. */
		unsigned long at = messages_n == 0 ? 0 : 1 + i * 7919 % messages_n;
		double due = began + (double)++i / rate;

		if (now_s() - session_began >= 1) {
			session_close();
			session_began = now_s();
			session_open();
		}
		timed(KIND_STAT, false, "STAT", 0);
		if (at > 0 && at <= messages_n) {
			timed(KIND_LIST, false, "LIST", at);
			timed(KIND_RETR, true, "RETR", at);
		}
		if (now_s() < due)
			usleep((unsigned)((due - now_s()) * 1e6));
	}
	session_close();
	for (int k = 0; k < KINDS; k++)
		report((enum kind)k);
}

static void
span_print(const char *what, unsigned long n, double seconds)
{
	printf("{\"what\":\"%s\",\"n\":%lu,\"seconds\":%.3f,\"per_second\":%.1f,\"bytes\":%llu}\n",
	    what, n, seconds, (double)n / seconds, (unsigned long long)bytes_n);
	bytes_n = 0;
}

static void
retr_pipelined(unsigned long count, unsigned long depth)
{
	char text[DEPTH_MAX * 32], first[COMMAND_BYTES];

	for (unsigned long i = 1; i <= count; i += depth) {
		unsigned long end = i + depth - 1 < count ? i + depth - 1 : count;
		size_t n = 0;

		for (unsigned long k = i; k <= end; k++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "RETR %lu\r\n", k);
		command(text, n);
		for (unsigned long k = i; k <= end; k++)
			answer(true, first, sizeof(first));
	}
}

static void
download(unsigned long count, unsigned long depth)
{
	double began = now_s();

	session_open();
	span_print("login + STAT", 1, now_s() - began);
	began = now_s();
	timed(KIND_LIST, true, "LIST", 0);
	span_print("LIST, all lines", messages_n, now_s() - began);
	if (count > messages_n)
		count = messages_n;
	began = now_s();
	for (unsigned long i = 1; i <= count; i++)
		timed(KIND_RETR, true, "RETR", i);
	span_print("RETR one by one", count, now_s() - began);
	began = now_s();
	retr_pipelined(count, depth);
	span_print("RETR pipelined", count, now_s() - began);
	report(KIND_RETR);
	session_close();
}

int
main(int argc, char **argv)
{
	double seconds = 0, rate = 200;
	unsigned long count = 0, depth = 50;
	int o;

	while ((o = getopt(argc, argv, "w:r:d:p:")) != -1) {
		if (o == 'w')
			seconds = strtod(optarg, NULL);
		else if (o == 'r')
			rate = strtod(optarg, NULL);
		else if (o == 'd')
			count = strtoul(optarg, NULL, 10);
		else if (o == 'p')
			depth = strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	to.sin_family = AF_INET;
	if (argc - optind != 4 || inet_pton(AF_INET, argv[optind], &to.sin_addr) != 1 ||
	    depth == 0 || depth > DEPTH_MAX || (seconds <= 0) == (count == 0)) {
		fprintf(stderr, "usage: pop3_probe -w SECONDS [-r RATE] | -d COUNT [-p DEPTH] IPV4 "
				"PORT USER PASSWORD\n");
		return 2;
	}
	to.sin_port = htons((uint16_t)strtoul(argv[optind + 1], NULL, 10));
	user = argv[optind + 2];
	password = argv[optind + 3];
	for (int k = 0; k < KINDS; k++)
		if ((samples[k].ms = calloc(SAMPLES_MAX, sizeof(double))) == NULL)
			die("memory");
	if (count > 0)
		download(count, depth);
	else
		watch(seconds, rate);
	return 0;
}
