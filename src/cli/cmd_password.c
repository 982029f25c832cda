/* Passwords: from standard input, from the terminal, or new ones. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/enc.h"
#include "base/num.h"
#include "base/rnd.h"
#include "cli/cmd.h"
#include "directory/credential.h"

/* 32 letters that nobody mixes up: 5 bits each, so 20 of them are 100 bits. */
static const char letters[32] = "abcdefghijkmnpqrstuvwxyz23456789";
#define GENERATED_LETTERS 20

static volatile sig_atomic_t was_interrupted;

static void
interrupt(int signo)
{
	was_interrupted = signo;
}

void
password_generate(struct password *out)
{
	unsigned char random[GENERATED_LETTERS];

	buf_init(&out->text, CREDENTIAL_PASSWORD_BYTES_MAX + 1);
	rnd_bytes(random, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		(void)buf_put_c(&out->text, letters[random[i] % sizeof(letters)]);
	out->is_generated = true;
	explicit_bzero(random, sizeof(random));
}

void
password_fini(struct password *p)
{
	if (p->text.p != NULL)
		explicit_bzero(p->text.p, p->text.cap);
	buf_fini(&p->text);
}

/* Byte by byte: what stands behind the line is somebody else's. False: no line, too long, or a signal. */
static bool
line_read(int fd, struct buf *out)
{
	char c;
	ssize_t n;

	buf_reset(out);
	while ((n = read(fd, &c, 1)) == 1 && c != '\n')
		(void)buf_put_c(out, c);
	if (out->n > 0 && out->p[out->n - 1] == '\r')
		out->n--;
	return n >= 0 && !out->full && (n == 1 || out->n > 0);
}

static bool
terminal_ask(const char *prompt, struct buf *out)
{
	struct sigaction catch = {.sa_handler = interrupt}, old_int, old_term;
	struct termios was, quiet;
	bool ok;

	if (tcgetattr(STDIN_FILENO, &was) != 0)
		return false;
	/* The echo comes back whatever happens. */
	was_interrupted = 0;
	sigemptyset(&catch.sa_mask);
	(void)sigaction(SIGINT, &catch, &old_int);
	(void)sigaction(SIGTERM, &catch, &old_term);
	quiet = was;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	fputs(prompt, stderr);
	fflush(stderr);
	ok = line_read(STDIN_FILENO, out);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
	fputc('\n', stderr);
	(void)sigaction(SIGINT, &old_int, NULL);
	(void)sigaction(SIGTERM, &old_term, NULL);
	if (was_interrupted)
		(void)raise(was_interrupted);
	return ok;
}

static bool
terminal_ask_twice(const struct cmd *c, const char *whose, struct password *out)
{
	struct password again = {0};
	char prompt[ARGS_BYTES_MAX + 64];
	bool ok;

	(void)snprintf(prompt, sizeof(prompt), "Password for %s (empty: make one up): ", whose);
	ok = terminal_ask(prompt, &out->text);
	if (ok && out->text.n == 0) {
		buf_fini(&out->text);
		password_generate(out);
		return true;
	}
	buf_init(&again.text, CREDENTIAL_PASSWORD_BYTES_MAX + 1);
	ok = ok && terminal_ask("The same again: ", &again.text);
	if (!ok)
		(void)cmd_fail(c, EXIT_CODE_FAILED, "no password was given", NULL);
	else if (!str_eq(buf_str(&out->text), buf_str(&again.text)))
		ok = cmd_fail(c, EXIT_CODE_FAILED, "the two are not the same", "Run the command again; nothing was changed.") == EXIT_CODE_OK;
	password_fini(&again);
	return ok;
}

bool
cmd_password(const struct cmd *c, const char *whose, struct password *out)
{
	bool ok;

	*out = (struct password){.is_generated = false};
	buf_init(&out->text, CREDENTIAL_PASSWORD_BYTES_MAX + 1);
	if (c->args->has[OPT_PASSWORD_STDIN]) {
		ok = line_read(STDIN_FILENO, &out->text);
		if (!ok)
			(void)cmd_fail(c, EXIT_CODE_FAILED, "standard input holds no password",
			    "The password is its first line, of at most 1024 bytes.");
	} else if (isatty(STDIN_FILENO)) {
		ok = terminal_ask_twice(c, whose, out);
	} else {
		password_generate(out);
		ok = true;
	}
	if (!ok)
		password_fini(out);
	return ok;
}

bool
cmd_credential(struct cmd *c, const struct password *p, struct buf *base64_out)
{
	struct credential_options o = CREDENTIAL_DEFAULTS;
	struct credential credential;
	struct buf why, record;
	enum status st;

	if (!cmd_config(c))
		return false;
	o.argon2_kib = (uint32_t)(c->config->auth.argon2_memory_bytes / 1024);
	o.argon2_passes = (uint32_t)c->config->auth.argon2_passes;
	o.scram_iterations = (uint32_t)c->config->auth.scram_iterations;
	o.scram_sha1 = c->config->auth.scram_sha1 == CONFIG_YES;
	buf_init(&why, DIRECTORY_WHY_BYTES_MAX);
	buf_init(&record, 4096);
	st = credential_make(buf_str(&p->text), &o, &credential, &why);
	if (st == ST_OK)
		st = credential_encode(&credential, &record);
	if (st == ST_OK)
		st = base64_encode(buf_str(&record), base64_out);
	if (st != ST_OK) {
		if (why.n == 0)
			(void)buf_put(&why, STR("the password cannot be hashed as the configuration says"));
		(void)buf_put_c(&why, '\0');
		(void)cmd_fail(c, EXIT_CODE_FAILED, why.p, "A password is 1 to 1024 bytes of UTF-8 without control characters.");
	}
	credential_wipe(&credential);
	buf_fini(&why);
	buf_fini(&record);
	return st == ST_OK;
}
