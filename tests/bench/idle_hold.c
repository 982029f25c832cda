/*
 * Open connections, hold them, say whether they lived.
 *
 *	idle_hold smtp|smtp-tls|pop3s COUNT IPV4 PORT
 *
 * Each waits for the greeting; smtp says EHLO; smtp-tls does STARTTLS and EHLO again; pop3s has TLS
 * from the first byte. Prints "held N" when all stand, waits for the end of standard input, then
 * prints "alive N": those that the server did not close meanwhile.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

enum { REPLY_BYTES = 2048 };

struct held {
	int fd;
	SSL *tls;
};

static struct sockaddr_in to;
static SSL_CTX *tls_context;
static bool is_smtp, is_starttls;

static _Noreturn void
die(const char *what)
{
	fprintf(stderr, "idle_hold: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
some_read(struct held *h, char *p, int n)
{
	return h->tls != NULL ? SSL_read(h->tls, p, n) : (int)read(h->fd, p, (size_t)n);
}

/* Up to the end of a reply's last line: "ddd " or "+OK". */
static void
reply_read(struct held *h)
{
	char in[REPLY_BYTES];
	int n = 0, line = 0;

	for (;;) {
		int k = some_read(h, in + n, REPLY_BYTES - n);
		if (k <= 0)
			die("no reply");
		n += k;
		for (int i = line; i < n; i++) {
			if (in[i] != '\n')
				continue;
			if (in[line] == '+' || (i - line > 4 && in[line + 3] != '-'))
				return;
			line = i + 1;
		}
	}
}

static void
say(struct held *h, const char *text)
{
	int n = (int)strlen(text);
	int sent = h->tls != NULL ? SSL_write(h->tls, text, n) : (int)write(h->fd, text, (size_t)n);

	if (sent != n)
		die("write");
	reply_read(h);
}

static void
tls_begin(struct held *h)
{
	SSL *tls = SSL_new(tls_context);

	if (tls == NULL || SSL_set_fd(tls, h->fd) != 1 || SSL_connect(tls) != 1)
		die("TLS handshake");
	h->tls = tls;
}

static void
held_open(struct held *h)
{
	h->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (h->fd < 0 || connect(h->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	if (tls_context != NULL && !is_starttls)
		tls_begin(h);
	reply_read(h);
	if (!is_smtp)
		return;
	say(h, "EHLO idle.src.test\r\n");
	if (is_starttls) {
		say(h, "STARTTLS\r\n");
		tls_begin(h);
		say(h, "EHLO idle.src.test\r\n");
	}
}

static bool
is_alive(const struct held *h)
{
	char c;
	ssize_t n = recv(h->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);

	/* TLS 1.3 tickets may lie there unread: that is no end. */
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void
descriptors_raise(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

int
main(int argc, char **argv)
{
	size_t count, alive = 0;
	struct held *held;
	char c;

	if (argc != 5 || inet_pton(AF_INET, argv[3], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: idle_hold smtp|smtp-tls|pop3s COUNT IPV4 PORT\n");
		return 2;
	}
	to.sin_family = AF_INET;
	to.sin_port = htons((uint16_t)strtoul(argv[4], NULL, 10));
	count = strtoul(argv[2], NULL, 10);
	is_smtp = argv[1][0] == 's';
	is_starttls = strcmp(argv[1], "smtp-tls") == 0;
	if (is_starttls || !is_smtp) {
		tls_context = SSL_CTX_new(TLS_client_method());
		if (tls_context == NULL)
			die("TLS");
		SSL_CTX_set_mode(tls_context, SSL_MODE_RELEASE_BUFFERS);
	}
	descriptors_raise();
	held = calloc(count, sizeof(*held));
	if (held == NULL)
		die("memory");
	for (size_t i = 0; i < count; i++)
		held_open(&held[i]);
	printf("held %zu\n", count);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	for (size_t i = 0; i < count; i++)
		alive += is_alive(&held[i]);
	printf("alive %zu\n", alive);
	return alive != count;
}
