#include "roles/parent.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rnd.h"
#include "roles/certificates.h"
#include "roles/master_key.h"
#include "roles/parent_internal.h"

static int
say_failed(const char *what, const char *detail)
{
	fprintf(stderr, "posthorn: %s%s%s\n", what, detail[0] ? ": " : "", detail);
	return 1;
}

/* ---- folders ---- */

void
data_chown(const char *dir, uid_t uid)
{
	char path[4096];
	char *paths[] = {path, NULL};
	FTS *walk;

	snprintf(path, sizeof(path), "%s", dir);
	walk = fts_open(paths, FTS_PHYSICAL | FTS_NOSTAT, NULL);
	for (FTSENT *e; walk != NULL && (e = fts_read(walk)) != NULL;)
		if (e->fts_info != FTS_DP && lchown(e->fts_accpath, uid, uid) != 0)
			log_event(LOG_WARN, "data.chown", LOG_CSTR("path", e->fts_path), LOG_CSTR("why", strerror(errno)));
	if (walk != NULL)
		fts_close(walk);
}

static bool
folder_make(char *out, size_t out_n, const char *base, const char *name, mode_t mode, struct buf *why)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s%s%s", base, name[0] ? "/" : "", name);
	if (mkdir(path, mode) != 0 && errno != EEXIST) {
		(void)buf_putf(why, "cannot make the folder %s: %s", path, strerror(errno));
		return false;
	}
	if (realpath(path, out) == NULL || strlen(out) >= out_n) {
		(void)buf_putf(why, "cannot use the folder %s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

static bool
parent_folders(struct parent *p, struct buf *why)
{
	char folder[4096], data[4096];
	snprintf(folder, sizeof(folder), "%.*s", STR_ARG(p->config->folder));
	snprintf(data, sizeof(data), "%.*s", STR_ARG(p->config->data));
	if (!folder_make(p->data_dir, sizeof(p->data_dir), data, "", 0700, why) ||
	    !folder_make(p->empty_dir, sizeof(p->empty_dir), folder, "empty", 0555, why))
		return false;
	if (geteuid() == 0 && !p->options.is_single)
		data_chown(p->data_dir, role_uid(&p->config->roles, ROLE_STORE));
	snprintf(p->control_path, sizeof(p->control_path), "%s", p->empty_dir);
	/* "<folder>/empty" -> "<folder>/control" */
	char *slash = strrchr(p->control_path, '/');
	CHECK(slash != NULL);
	snprintf(slash, sizeof(p->control_path) - (size_t)(slash - p->control_path), "/control");
	return true;
}

/* ---- start ---- */

static bool
parent_load(struct parent *p)
{
	struct buf errors;
	bool ok;

	buf_init(&errors, 65536);
	ok = config_load(p->options.config_path, &p->config, &errors) == ST_OK &&
	    certificates_check_apart(p->config, &errors);
	if (!ok)
		fprintf(stderr, "%.*s", STR_ARG(buf_str(&errors)));
	buf_fini(&errors);
	return ok;
}

static void
log_open(const struct parent *p)
{
	int fd = STDERR_FILENO;
	char path[4096];

	if (p->config->log_file.n > 0) {
		snprintf(path, sizeof(path), "%.*s", STR_ARG(p->config->log_file));
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		if (fd < 0) {
			fprintf(stderr, "posthorn: cannot open the log %s: %s; writing to stderr\n", path, strerror(errno));
			fd = STDERR_FILENO;
		} else if (dup2(fd, STDERR_FILENO) == STDERR_FILENO) {
			/* Roles inherit stderr: one place for all. */
			close(fd);
			fd = STDERR_FILENO;
		}
	}
	log_setup("parent", fd, p->config->log_level, p->config->log_format, &p->clock);
}

static void
signal_ready(void *arg, unsigned events)
{
	struct parent *p = arg;
	struct signalfd_siginfo info;
	struct buf why;
	pid_t pid;
	int wait_status;

	(void)events;
	while (read(p->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			buf_init(&why, 16384);
			if (!parent_reload(p, &why))
				log_event(LOG_ERROR, "reload.refused", LOG_STR("why", buf_str(&why)));
			buf_fini(&why);
		} else if (info.ssi_signo != SIGCHLD) {
			parent_stop(p);
		}
	}
	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
		child_reap(p, pid, wait_status);
}

static void
signals_open(struct parent *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	signal(SIGPIPE, SIG_IGN);
	p->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	CHECK(p->signal_fd >= 0);
	p->signal_watch = loop_fd_add(p->loop, p->signal_fd, LOOP_READ, signal_ready, p);
}

static void
limits_raise(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

static bool
exe_find(struct parent *p)
{
	ssize_t n = readlink("/proc/self/exe", p->exe, sizeof(p->exe) - 1);

	if (n <= 0)
		return false;
	p->exe[n] = '\0';
	/* A new binary was put in place of the running one: restarted roles use what runs. */
	if (access(p->exe, X_OK) != 0)
		snprintf(p->exe, sizeof(p->exe), "/proc/self/exe");
	return true;
}

/* ---- what happens to children ---- */

void
parent_child_ready(struct parent *p, struct child *c)
{
	(void)c;
	if (p->is_serving || p->is_stopping || !children_are_up(p))
		return;
	children_serve(p);
	log_event(LOG_INFO, "server.ready", LOG_STR("hostname", p->config->hostname),
	    LOG_U64("roles", p->children_n));
	if (!p->options.is_quiet) {
		printf("posthorn %.*s is ready: %zu roles are up.\n", STR_ARG(p->config->hostname), p->children_n);
		fflush(stdout);
	}
}

void
parent_child_failed(struct parent *p, struct child *c, struct str why)
{
	snprintf(c->last_end, sizeof(c->last_end), "%.*s", STR_ARG(why));
	if (p->is_serving || p->is_stopping)
		return;
	/* At the first start a role that cannot start is a mistake somebody has to mend, not one to retry. */
	fprintf(stderr, "posthorn: %s cannot start: %.*s\n", role_kind_name(c->kind), STR_ARG(why));
	p->exit_code = 1;
	parent_stop(p);
}

/* Sessions end first, then those they lean on, the store last. */
static unsigned
stop_stage_of(enum role_kind k)
{
	switch (k) {
	case ROLE_SMTPIN:
	case ROLE_ACCESS:
	case ROLE_RELAY:
		return 1;
	case ROLE_STORE:
		return 3;
	case ROLE_PARENT:
	case ROLE_WORKER:
	case ROLE_QUEUE:
	case ROLE_KEYS:
	case ROLE_AUTH:
	case ROLE_RESOLVER:
	case ROLE_COMMAND:
		return 2;
	}
	return 2;
}

static bool
stage_is_over(const struct parent *p, unsigned stage)
{
	for (size_t i = 0; i < p->children_n; i++)
		if (stop_stage_of(p->children[i].kind) == stage && p->children[i].state != CHILD_DOWN)
			return false;
	return true;
}

static void
stop_advance(struct parent *p)
{
	while (p->stop_stage < 4 && (p->stop_stage == 0 || stage_is_over(p, p->stop_stage))) {
		p->stop_stage++;
		for (size_t i = 0; i < p->children_n; i++)
			if (stop_stage_of(p->children[i].kind) == p->stop_stage)
				child_stop(&p->children[i], true);
	}
	if (p->stop_stage >= 4)
		loop_stop(p->loop);
}

static void
stop_force(void *arg)
{
	struct parent *p = arg;

	p->stop_timer = (struct loop_id){0};
	for (size_t i = 0; i < p->children_n; i++)
		if (p->children[i].pid > 0) {
			log_event(LOG_WARN, "role.killed", LOG_CSTR("name", role_kind_name(p->children[i].kind)));
			kill(p->children[i].pid, SIGKILL);
		}
	if (p->options.is_single)
		loop_stop(p->loop);
}

void
parent_stop(struct parent *p)
{
	if (p->is_stopping)
		return;
	p->is_stopping = true;
	log_event(LOG_INFO, "server.stopping");
	for (size_t i = 0; i < p->children_n; i++)
		loop_timer_del(p->loop, &p->children[i].restart_timer);
	p->stop_timer = loop_timer_add(p->loop, STOP_PATIENCE_MS, stop_force, p);
	stop_advance(p);
}

void
parent_child_ended(struct parent *p, struct child *c)
{
	(void)c;
	if (p->is_stopping)
		stop_advance(p);
}

static bool
listeners_are_equal(const struct config *a, const struct config *b)
{
	if (a->listener_count != b->listener_count)
		return false;
	for (size_t i = 0; i < a->listener_count; i++) {
		const struct config_listener *x = &a->listeners[i], *y = &b->listeners[i];
		if (x->port != y->port || x->protocol != y->protocol || x->tls != y->tls || x->address.n != y->address.n)
			return false;
		for (size_t k = 0; k < x->address.n; k++)
			if (!config_ip_eq(&x->address.v[k], &y->address.v[k]))
				return false;
	}
	return true;
}

bool
parent_reload(struct parent *p, struct buf *why)
{
	struct config *now = NULL;
	struct buf names;
	bool ok;

	if (config_load(p->options.config_path, &now, why) != ST_OK || !certificates_check_apart(now, why)) {
		config_free(&now);
		(void)buf_put(why, STR("The old configuration stays in use."));
		return false;
	}
	buf_init(&names, 4096);
	ok = !config_needs_restart(p->config, now, &names);
	if (ok && !listeners_are_equal(p->config, now)) {
		(void)buf_put(&names, STR("listeners"));
		ok = false;
	}
	if (!ok) {
		(void)buf_putf(why, "These settings take a restart (posthorn stop, posthorn serve): %.*s. The old configuration stays in use.",
		    STR_ARG(buf_str(&names)));
		config_free(&now);
	} else {
		config_free(&p->config);
		p->config = now;
		log_setup("parent", STDERR_FILENO, now->log_level, now->log_format, &p->clock);
		/* The names of listeners were borrowed from the old one; nobody is sent them again under their old name. */
		for (size_t i = 0; i < p->bound_n; i++)
			if (p->bound[i].rec.protocol != LISTEN_CONTROL)
				p->bound[i].rec.name = STR_NULL;
		children_settings(p);
		log_event(LOG_INFO, "server.reloaded");
	}
	buf_fini(&names);
	return ok;
}

static void
parent_run(struct parent *p)
{
	for (size_t i = 0; i < p->children_n; i++)
		child_spawn(&p->children[i]);
	loop_run(p->loop);
	parent_unbind(p);
	for (size_t i = 0; i < p->children_n; i++) {
		struct child *c = &p->children[i];
		role_free(&c->single);
		link_free(&c->ctl);
	}
	log_event(LOG_INFO, "server.stopped");
}

int
parent_main(const struct parent_options *o)
{
	struct parent *p = calloc(1, sizeof(*p));
	struct buf why;
	int code;

	CHECK(p != NULL);
	p->options = *o;
	p->control_fd = -1;
	p->master_fd = -1;
	map_seed(rnd_u64(), rnd_u64());
	clock_init_system(&p->clock);
	rnd_bytes(p->ticket_seed, sizeof(p->ticket_seed));
	if (!parent_load(p)) {
		config_free(&p->config);
		free(p);
		return 1;
	}
	log_open(p);
	limits_raise();
	p->loop = loop_new(&p->clock);
	p->started_ms = clock_mono_ms(&p->clock);
	buf_init(&why, 16384);
	children_plan(p);
	if (!exe_find(p)) {
		p->exit_code = say_failed("cannot find its own program file", "is /proc mounted?");
	} else if (!parent_folders(p, &why) || !parent_bind(p, &why) ||
	    master_key_open(p->config->master_key_path, &p->master_fd, &why) != ST_OK) {
		(void)buf_put_c(&why, '\0');
		p->exit_code = say_failed("cannot start", why.p);
		if (p->bound_n > 0)
			parent_unbind(p);
	} else {
		signals_open(p);
		parent_run(p);
	}
	buf_fini(&why);
	if (p->master_fd >= 0)
		close(p->master_fd);
	code = p->exit_code;
	config_free(&p->config);
	loop_fd_del(p->loop, &p->signal_watch);
	loop_free(&p->loop);
	free(p);
	return code;
}
