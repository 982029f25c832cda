/*
 * The demo of `make run`: makes a server for demo.test, starts it, sends a message through it as a client would, fetches it, says
 * in plain words what happened, and waits for Ctrl-C.
 */
#include "cli/demo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cur.h"
#include "cli/control.h"
#include "cli/demo_client.h"
#include "cli/quickstart.h"

#define DEMO_DOMAIN "demo.test"
#define DEMO_HOST "mail.demo.test"
#define DEMO_SENDER "visitor@elsewhere.example"
#define DEMO_PASSWORDS "demo-passwords"
#define DEMO_LOG "server.log"
#define READY_PATIENCE_MS (30 * 1000)

enum { ALICE, BOB, DEMO_ACCOUNTS };
static const char *const addresses[DEMO_ACCOUNTS] = {"alice@" DEMO_DOMAIN, "bob@" DEMO_DOMAIN};

struct demo {
	struct cmd *c;
	struct quickstart_account accounts[DEMO_ACCOUNTS];
	struct password passwords[DEMO_ACCOUNTS];
	uint16_t ports[CONFIG_SUBMISSIONS + 1];
	char full_dir[PATH_MAX];
	pid_t server;
};

/* ---- passwords: made once, kept beside the configuration ---- */

static void
passwords_path(const struct demo *d, char *path, size_t n)
{
	(void)snprintf(path, n, "%s/" DEMO_PASSWORDS, d->c->dir);
}

static bool
passwords_write(const struct demo *d)
{
	char path[PATH_MAX + 32];
	int fd;
	bool ok = true;

	passwords_path(d, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	for (size_t i = 0; fd >= 0 && i < DEMO_ACCOUNTS; i++)
		ok = dprintf(fd, "%s %.*s\n", addresses[i], STR_ARG(buf_str(&d->passwords[i].text))) > 0 && ok;
	if (fd < 0 || close(fd) != 0 || !ok) {
		(void)cmd_fail(d->c, EXIT_CODE_FAILED, "cannot write the demo's passwords", strerror(errno));
		return false;
	}
	return true;
}

static bool
passwords_read(struct demo *d)
{
	char path[PATH_MAX + 32], text[1024];
	struct str line, rest, who, word;
	ssize_t n;
	int fd;

	passwords_path(d, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
	if (fd >= 0)
		close(fd);
	rest = str_of(text, n > 0 ? (size_t)n : 0);
	for (size_t i = 0; i < DEMO_ACCOUNTS; i++) {
		buf_reset(&d->passwords[i].text);
		if (!str_split(rest, '\n', &line, &rest) || !str_split(line, ' ', &who, &word) || !str_eq(who, str_of_c(addresses[i])) ||
		    word.n == 0 || word.n > 100) {
			char mend[PATH_MAX + 128];

			(void)snprintf(mend, sizeof(mend), "Remove the folder %s and run this again.", d->c->dir);
			(void)cmd_fail(d->c, EXIT_CODE_FAILED, "the demo's folder is there, but not its passwords", mend);
			return false;
		}
		(void)buf_put(&d->passwords[i].text, word);
	}
	return true;
}

/* ---- the server ---- */

static bool
demo_make(struct demo *d)
{
	struct cmd *c = d->c;
	struct quickstart q = {.accounts = d->accounts,
	    .accounts_n = DEMO_ACCOUNTS,
	    .files = {.dir = str_of_c(c->dir),
		.hostname = STR(DEMO_HOST),
		.mail_domain = STR(DEMO_DOMAIN),
		.listen = STR("127.0.0.1"),
		.port_offset = args_number(c->args, OPT_PORT_OFFSET, DEMO_PORT_OFFSET)}};
	enum quickstart_result result;

	for (size_t i = 0; i < DEMO_ACCOUNTS; i++) {
		password_generate(&d->passwords[i]);
		d->accounts[i].password = &d->passwords[i];
		if (directory_address_parse(str_of_c(addresses[i]), &d->accounts[i].address, NULL) != ST_OK)
			return false;
	}
	result = quickstart_make(c, &q);
	if (result == QUICKSTART_FAILED || !(result == QUICKSTART_MADE ? passwords_write(d) : passwords_read(d)))
		return false;
	for (size_t i = 0; i < c->config->listener_count; i++)
		d->ports[c->config->listeners[i].protocol] = c->config->listeners[i].port;
	if (realpath(c->dir, d->full_dir) == NULL)
		(void)snprintf(d->full_dir, sizeof(d->full_dir), "%s", c->dir);
	printf("1. %s a server for %s in %s: configuration, keys, certificates, store, two accounts.\n",
	    result == QUICKSTART_MADE ? "Made" : "Found", DEMO_DOMAIN, d->full_dir);
	return true;
}

_Noreturn static void
server_exec(const struct demo *d, int out_fd)
{
	char posthorn[] = "posthorn", serve[] = "serve", dir_option[] = "--dir";
	char dir[PATH_MAX], log_path[PATH_MAX + 32];
	char *argv[] = {posthorn, serve, dir_option, dir, NULL};
	sigset_t none;
	int log_fd;

	(void)snprintf(dir, sizeof(dir), "%s", d->full_dir);
	(void)snprintf(log_path, sizeof(log_path), "%s/" DEMO_LOG, d->full_dir);
	log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Not even a killed demo leaves a server behind. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0 || dup2(out_fd, STDOUT_FILENO) < 0)
		_exit(126);
	(void)execv("/proc/self/exe", argv);
	_exit(127);
}

/* True when it says that it is ready. */
static bool
server_wait_ready(int fd)
{
	char text[1024];
	size_t n = 0;
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (n < sizeof(text) && poll(&p, 1, READY_PATIENCE_MS) > 0) {
		ssize_t k = read(fd, text + n, sizeof(text) - n);

		if (k <= 0)
			return false;
		n += (size_t)k;
		if (str_find(str_of(text, n), STR("is ready")) < n)
			return true;
	}
	return false;
}

static bool
server_start(struct demo *d)
{
	int fds[2];
	bool ok;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return false;
	fflush(stdout);
	d->server = fork();
	if (d->server == 0)
		server_exec(d, fds[1]);
	close(fds[1]);
	ok = d->server > 0 && server_wait_ready(fds[0]);
	/* The pipe's other end stays open in the server: nothing more is said there. */
	close(fds[0]);
	if (ok)
		printf("2. Started it (process %d); every role is in its sandbox: see `posthorn status` below. Its log is %s/" DEMO_LOG ".\n",
		    (int)d->server, d->full_dir);
	else
		fprintf(stderr, "posthorn: the server did not start; the end of %s/" DEMO_LOG " says why\n", d->full_dir);
	return ok;
}

static void
server_stop(struct demo *d)
{
	int status;

	if (d->server <= 0)
		return;
	(void)kill(d->server, SIGTERM);
	while (waitpid(d->server, &status, 0) < 0 && errno == EINTR)
		;
	d->server = 0;
}

/* ---- the message ---- */

static uint64_t
now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void
message_write(struct buf *out, const char *token)
{
	char date[64];
	time_t now = time(NULL);
	struct tm tm;

	(void)gmtime_r(&now, &tm);
	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	(void)buf_putf(out,
	    "From: A visitor <" DEMO_SENDER ">\r\nTo: Alice <%s>\r\nSubject: Hello from the demo (%s)\r\nDate: %s\r\n"
	    "Message-ID: <%s@elsewhere.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
	    "If you can read this, it came in by SMTP and went out by POP3.\r\n",
	    addresses[ALICE], token, date, token);
}

static bool
message_send(struct demo *d, const char *token)
{
	struct demo_client k;
	struct buf message;
	uint64_t began_us;
	bool ok;

	printf("\n3. Sending a message to %s by SMTP to 127.0.0.1:%u, as another server would.\n", addresses[ALICE], d->ports[CONFIG_SMTP]);
	buf_init(&message, DEMO_BYTES_MAX);
	message_write(&message, token);
	ok = demo_client_open(&k, d->ports[CONFIG_SMTP]) && demo_client_expect_smtp(&k, "220") &&
	     demo_client_say(&k, "EHLO elsewhere.example", NULL) && demo_client_expect_smtp(&k, "250") &&
	     demo_client_say(&k, "MAIL FROM:<" DEMO_SENDER ">", NULL) && demo_client_expect_smtp(&k, "250") &&
	     demo_client_say(&k, "RCPT TO:<alice@" DEMO_DOMAIN ">", NULL) && demo_client_expect_smtp(&k, "250") &&
	     demo_client_say(&k, "DATA", NULL) && demo_client_expect_smtp(&k, "354");
	if (ok)
		printf("    C: (%zu bytes of message)\n", message.n);
	began_us = now_us();
	ok = ok && demo_client_send(&k, buf_str(&message)) && demo_client_say(&k, ".", NULL) && demo_client_expect_smtp(&k, "250");
	if (ok)
		printf("   Accepted and durable: the reply came %.1f ms after the message, when the disk had confirmed it. From here on\n"
		       "   neither a crash nor a power cut loses it.\n",
		    (double)(now_us() - began_us) / 1000);
	ok = ok && demo_client_say(&k, "QUIT", NULL) && demo_client_expect_smtp(&k, "221");
	demo_client_close(&k);
	buf_fini(&message);
	return ok;
}

static bool
login(struct demo *d, struct demo_client *k)
{
	char user[256], password[256];
	bool ok;

	(void)snprintf(user, sizeof(user), "USER %s", addresses[ALICE]);
	(void)snprintf(password, sizeof(password), "PASS %.*s", STR_ARG(buf_str(&d->passwords[ALICE].text)));
	ok = demo_client_say(k, user, NULL) && demo_client_expect_pop3(k) && demo_client_say(k, password, "PASS (her password)") &&
	     demo_client_expect_pop3(k);
	explicit_bzero(password, sizeof(password));
	return ok;
}

/* "+OK 3 1234" */
static bool
count_take(struct str line, uint64_t *n_out)
{
	struct cur c = cur_of(line);

	return cur_lit(&c, "+OK ") && cur_u64(&c, n_out) && *n_out > 0;
}

static bool
newest_show(struct demo_client *k, const char *token)
{
	struct buf text;
	char command[64];
	uint64_t n = 0, uid = 0;
	struct str id;
	bool ok = demo_client_say(k, "STAT", NULL) && demo_client_expect_pop3(k) && count_take(buf_str(&k->line), &n);

	(void)snprintf(command, sizeof(command), "UIDL %llu", (unsigned long long)n);
	ok = ok && demo_client_say(k, command, NULL) && demo_client_expect_pop3(k);
	if (!ok)
		return false;
	/* "+OK 1 UIDVALIDITY.UID" */
	id = str_from(buf_str(&k->line), str_find_char_last(buf_str(&k->line), '.'));
	if (str_to_u64(str_from(id, 1), &uid) == ST_OK)
		printf("   Delivered: it is message %llu of her INBOX, uid %llu.\n", (unsigned long long)n, (unsigned long long)uid);
	buf_init(&text, DEMO_BYTES_MAX);
	(void)snprintf(command, sizeof(command), "RETR %llu", (unsigned long long)n);
	ok = demo_client_say(k, command, NULL) && demo_client_expect_pop3(k) && demo_client_hear_all(k, &text);
	ok = ok && str_find(buf_str(&text), str_of_c(token)) < text.n;
	if (ok)
		printf("   Fetched: the same message, with what the server put in front of it on the way (Return-Path, Delivered-To, Received).\n");
	buf_fini(&text);
	return ok;
}

static bool
message_fetch(struct demo *d, const char *token)
{
	struct demo_client k;
	char ecdsa[PATH_MAX + 32], rsa[PATH_MAX + 32];
	bool ok;

	(void)snprintf(ecdsa, sizeof(ecdsa), "%s/keys/ecdsa.pem", d->full_dir);
	(void)snprintf(rsa, sizeof(rsa), "%s/keys/rsa.pem", d->full_dir);
	printf("\n4. Fetching it as alice by POP3 over TLS from 127.0.0.1:%u.\n", d->ports[CONFIG_POP3S]);
	ok = demo_client_open(&k, d->ports[CONFIG_POP3S]) && demo_client_tls(&k, DEMO_HOST, ecdsa, rsa);
	if (ok)
		printf("   TLS is up, and the server has proved that it is " DEMO_HOST ".\n");
	ok = ok && demo_client_expect_pop3(&k) && login(d, &k) && newest_show(&k, token) && demo_client_say(&k, "QUIT", NULL) &&
	     demo_client_expect_pop3(&k);
	demo_client_close(&k);
	return ok;
}

/* ---- what to try next ---- */

static void
hints_print(const struct demo *d)
{
	const struct str alice = buf_str(&d->passwords[ALICE].text), bob = buf_str(&d->passwords[BOB].text);
	const char *me = program_invocation_name;

	printf("\nThe server runs. Accounts:\n\n");
	printf("    %s   password %.*s\n    %s     password %.*s\n\n", addresses[ALICE], STR_ARG(alice), addresses[BOB], STR_ARG(bob));
	printf("    SMTP 127.0.0.1:%u   LMTP 127.0.0.1:%u   POP3 127.0.0.1:%u   POP3 over TLS 127.0.0.1:%u\n\n", d->ports[CONFIG_SMTP],
	    d->ports[CONFIG_LMTP], d->ports[CONFIG_POP3], d->ports[CONFIG_POP3S]);
	printf("Try in another terminal:\n\n");
	printf("    swaks --server 127.0.0.1:%u --from you@elsewhere.example --to %s\n", d->ports[CONFIG_SMTP], addresses[BOB]);
	printf("    printf 'Subject: by curl\\r\\n\\r\\nHello\\r\\n' | curl -sS --url smtp://127.0.0.1:%u/elsewhere.example \\\n"
	       "        --mail-from you@elsewhere.example --mail-rcpt %s --upload-file -\n",
	    d->ports[CONFIG_SMTP], addresses[BOB]);
	printf("    curl -sS --cacert %s/keys/ecdsa.pem --resolve " DEMO_HOST ":%u:127.0.0.1 \\\n"
	       "        --user %s:%.*s pop3s://" DEMO_HOST ":%u/1\n",
	    d->full_dir, d->ports[CONFIG_POP3S], addresses[ALICE], STR_ARG(alice), d->ports[CONFIG_POP3S]);
	printf("    %s status --dir %s\n    %s account list --dir %s\n", me, d->c->dir, me, d->c->dir);
	printf("\nCtrl-C stops the server. The next run goes on with what is in %s; remove the folder to start anew.\n", d->full_dir);
	fflush(stdout);
}

/* ---- the whole ---- */

/* Until Ctrl-C, or until the server is gone. */
static int
demo_wait(struct demo *d, const sigset_t *set)
{
	int signo, status;

	for (;;) {
		if (sigwait(set, &signo) != 0)
			continue;
		if (signo != SIGCHLD)
			break;
		if (waitpid(d->server, &status, WNOHANG) != d->server)
			continue;
		d->server = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			printf("\nThe server was stopped.\n");
			return EXIT_CODE_OK;
		}
		return cmd_fail(d->c, EXIT_CODE_FAILED, "the server ended by itself", "Its log says why.");
	}
	printf("\nStopping the server.\n");
	server_stop(d);
	printf("Stopped.\n");
	return EXIT_CODE_OK;
}

static int
demo_run(struct demo *d, const sigset_t *set)
{
	char token[32];
	int code = EXIT_CODE_FAILED;

	(void)snprintf(token, sizeof(token), "%llx", (unsigned long long)now_us());
	if (server_start(d) && message_send(d, token) && message_fetch(d, token)) {
		hints_print(d);
		code = demo_wait(d, set);
	}
	server_stop(d);
	return code;
}

int
cmd_demo(struct cmd *c)
{
	struct demo d = {.c = c};
	sigset_t set, old;
	int code = EXIT_CODE_FAILED;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	if (demo_make(&d))
		code = demo_run(&d, &set);
	for (size_t i = 0; i < DEMO_ACCOUNTS; i++)
		password_fini(&d.passwords[i]);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return code;
}
