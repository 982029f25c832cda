/*
 * The program file anew, in the same process: after an upgrade, or for settings that a reload cannot change.
 *
 * The new program is first asked whether it takes the configuration. Then clients get a moment to finish, the roles end as for a stop, and the
 * file is executed with the listening sockets open: who connects meanwhile waits in them and is turned away by nobody.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "roles/parent_internal.h"

#define INHERIT_ENV "POSTHORN_LISTENERS"
enum { CALL_BYTES_MAX = 64 * 1024, CALL_WORDS_MAX = 64, CHECK_TEXT_MAX = 8192 };

void
parent_remember_call(struct parent *p)
{
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	struct buf text;
	char *room;
	ssize_t n;

	buf_init(&text, CALL_BYTES_MAX);
	while (fd >= 0 && (room = buf_reserve(&text, 4096)) != NULL && (n = read(fd, room, 4096)) > 0)
		buf_commit(&text, (size_t)n);
	if (fd >= 0)
		close(fd);
	p->argv_text = text.p;
	p->argv_n = text.n;
}

/* ---- the sockets of the image before ---- */

void
parent_inherit(struct parent *p)
{
	struct str rest = str_of_c(getenv(INHERIT_ENV)), word;
	uint64_t fd;

	while (rest.n > 0 && p->inherited_n < INHERITED_MAX) {
		(void)str_split(rest, ',', &word, &rest);
		if (str_to_u64(word, &fd) == ST_OK && fd > STDERR_FILENO && fd < INT32_MAX && fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0)
			p->inherited[p->inherited_n++] = (int)fd;
	}
	(void)unsetenv(INHERIT_ENV);
}

int
parent_inherited(struct parent *p, const struct sock_addr *a)
{
	struct sock_addr local;

	for (size_t i = 0; i < p->inherited_n; i++) {
		int fd = p->inherited[i];
		if (fd < 0)
			continue;
		sock_local(fd, &local);
		if (local.port != a->port || !sock_ip_eq(&local, a))
			continue;
		p->inherited[i] = -1;
		return fd;
	}
	return -1;
}

void
parent_inherited_close(struct parent *p)
{
	for (size_t i = 0; i < p->inherited_n; i++)
		if (p->inherited[i] >= 0)
			close(p->inherited[i]);
	p->inherited_n = 0;
}

/* ---- the check ---- */

_Noreturn static void
check_exec(const struct parent *p, int out_fd)
{
	char posthorn[] = "posthorn", config[] = "config", check[] = "check", option[] = "--dir";
	char *path = strndup(p->config->folder.p, p->config->folder.n);
	char *argv[] = {posthorn, config, check, option, path, NULL};
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (path != NULL && dup2(out_fd, STDOUT_FILENO) >= 0 && dup2(out_fd, STDERR_FILENO) >= 0)
		execv(p->exe, argv);
	dprintf(out_fd, "%s cannot be executed: %s\n", p->exe, strerror(errno));
	_exit(127);
}

/* Waits: nothing else of the parent's is urgent, and the roles go on. */
static bool
new_program_agrees(const struct parent *p, struct buf *why)
{
	int fds[2], wait_status = 0;
	char *room;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return false;
	pid = fork();
	if (pid == 0)
		check_exec(p, fds[1]);
	close(fds[1]);
	while (pid > 0 && (room = buf_reserve(why, 512)) != NULL && (n = read(fds[0], room, 512)) > 0)
		buf_commit(why, (size_t)n);
	close(fds[0]);
	return pid > 0 && waitpid(pid, &wait_status, 0) == pid && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}

bool
parent_restart_begin(struct parent *p, struct buf *why)
{
	struct buf said;

	if (p->options.is_single || p->argv_n == 0 || p->is_stopping) {
		(void)buf_put(why, STR("This server cannot start itself anew; stop it and start it."));
		return false;
	}
	buf_init(&said, CHECK_TEXT_MAX);
	p->is_restarting = new_program_agrees(p, &said);
	if (!p->is_restarting)
		(void)buf_putf(why, "The program file %s does not take the configuration, so the running one goes on. It says: %.*s", p->exe,
		    STR_ARG(buf_str(&said)));
	buf_fini(&said);
	return p->is_restarting;
}

/* ---- the leap ---- */

static void
listeners_keep(const struct parent *p)
{
	struct buf list;

	buf_init(&list, 16 * BOUND_MAX);
	for (size_t i = 0; i < p->bound_n; i++) {
		int fd = p->bound[i].fd;
		if (p->bound[i].rec.protocol == LISTEN_CONTROL || fcntl(fd, F_SETFD, 0) != 0)
			continue;
		if (list.n > 0)
			(void)buf_put_c(&list, ',');
		(void)buf_put_u64(&list, (uint64_t)fd);
	}
	(void)buf_put_c(&list, '\0');
	(void)setenv(INHERIT_ENV, list.p, 1);
	buf_fini(&list);
}

void
parent_restart_exec(struct parent *p)
{
	char *argv[CALL_WORDS_MAX + 1];
	size_t n = 0;
	sigset_t none;

	for (size_t at = 0; at < p->argv_n && n < CALL_WORDS_MAX; at += strlen(p->argv_text + at) + 1)
		argv[n++] = p->argv_text + at;
	argv[n] = NULL;
	listeners_keep(p);
	log_event(LOG_INFO, "server.restarting", LOG_CSTR("program", p->exe));
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	execv(p->exe, argv);
	log_event(LOG_ERROR, "server.not_restarted", LOG_CSTR("why", strerror(errno)));
	(void)unsetenv(INHERIT_ENV);
}
