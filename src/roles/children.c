/* The parent's children: start, wire, watch, restart. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "roles/parent_internal.h"
#include "roles/settings.h"
#include "sys/sock.h"

enum {
	CTL_FD = 3,
	/* For roles whose configured user does not exist: numbers nobody else uses (systemd leaves 60578-61183 free). */
	ROLE_UID_BASE = 60700,
	CHAIN_BYTES_MAX = 1 << 20,
};

/* Who talks to whom. Everything not here has no line at all. */
static const enum role_kind wires[][2] = {
    {ROLE_SMTPIN, ROLE_STORE},
    {ROLE_SMTPIN, ROLE_KEYS},
    {ROLE_SMTPIN, ROLE_RESOLVER},
    {ROLE_ACCESS, ROLE_STORE},
    {ROLE_ACCESS, ROLE_KEYS},
    {ROLE_ACCESS, ROLE_AUTH},
    {ROLE_AUTH, ROLE_STORE},
    {ROLE_STORE, ROLE_WORKER},
    {ROLE_QUEUE, ROLE_STORE},
    {ROLE_ACCESS, ROLE_RESOLVER},
    {ROLE_STORE, ROLE_KEYS},
    {ROLE_QUEUE, ROLE_RELAY},
    {ROLE_RELAY, ROLE_STORE},
    {ROLE_RELAY, ROLE_KEYS},
    {ROLE_RELAY, ROLE_RESOLVER},
};

static bool
is_wired(enum role_kind a, enum role_kind b)
{
	for (size_t i = 0; i < COUNT_OF(wires); i++)
		if ((wires[i][0] == a && wires[i][1] == b) || (wires[i][0] == b && wires[i][1] == a))
			return true;
	return false;
}

static void
child_add(struct parent *p, enum role_kind kind, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		CHECK(p->children_n < CHILDREN_MAX);
		p->children[p->children_n++] =
		    (struct child){.parent = p, .kind = kind, .index = (uint16_t)i, .backoff_ms = RESTART_FIRST_MS};
		buf_init(&p->children[p->children_n - 1].detail, STATUS_DETAIL_BYTES_MAX);
	}
}

void
children_plan(struct parent *p)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned cpus = n > 0 ? (unsigned)n : 1;
	const struct config_roles *r = &p->config->roles;

	/* The order of starting: those others need come first. */
	child_add(p, ROLE_STORE, 1);
	child_add(p, ROLE_KEYS, 1);
	child_add(p, ROLE_RESOLVER, 1);
	child_add(p, ROLE_AUTH, 1);
	child_add(p, ROLE_WORKER, config_processes(r->worker, cpus));
	child_add(p, ROLE_QUEUE, 1);
	child_add(p, ROLE_RELAY, config_processes(r->relay, cpus));
	child_add(p, ROLE_ACCESS, config_processes(r->access, cpus));
	child_add(p, ROLE_SMTPIN, config_processes(r->smtpin, cpus));
}

struct child *
child_find(struct parent *p, enum role_kind kind, uint16_t index)
{
	for (size_t i = 0; i < p->children_n; i++)
		if (p->children[i].kind == kind && p->children[i].index == index)
			return &p->children[i];
	return NULL;
}

/* ---- what a role is told ---- */

uint32_t
role_uid(const struct config_roles *r, enum role_kind k)
{
	const struct str users[ROLE_KINDS] = {[ROLE_SMTPIN] = r->user_smtpin,
	    [ROLE_ACCESS] = r->user_access,
	    [ROLE_WORKER] = r->user_worker,
	    [ROLE_QUEUE] = r->user_queue,
	    [ROLE_STORE] = r->user_store,
	    [ROLE_KEYS] = r->user_keys,
	    [ROLE_AUTH] = r->user_auth,
	    [ROLE_RESOLVER] = r->user_resolver,
	    [ROLE_RELAY] = r->user_relay};
	char name[64];
	const struct passwd *pw;

	if (users[k].n > 0 && users[k].n < sizeof(name)) {
		memcpy(name, users[k].p, users[k].n);
		name[users[k].n] = '\0';
		pw = getpwnam(name);
		if (pw != NULL && pw->pw_uid != 0)
			return (uint32_t)pw->pw_uid;
	}
	return ROLE_UID_BASE + (uint32_t)k;
}

static void
settings_limits(struct rec_settings *s, const struct config_limits *l)
{
	s->message_bytes_max = l->message_size_max;
	s->rcpts_max = (uint32_t)l->recipients_max;
	s->messages_max = (uint32_t)l->messages_per_connection;
	s->errors_max = (uint32_t)l->errors_max;
	s->connections_max = (uint32_t)l->connections_max;
	s->per_address_max = (uint32_t)l->connections_per_address;
	s->per_network_max = (uint32_t)l->connections_per_network;
	s->v4_prefix = (uint8_t)l->network_prefix_v4;
	s->v6_prefix = (uint8_t)l->network_prefix_v6;
	s->command_timeout_ms = l->command_timeout_ms;
	s->data_timeout_ms = l->data_timeout_ms;
	s->pop3_timeout_ms = l->pop3_idle_timeout_ms;
}

void
settings_store(struct rec_settings *s, const struct config_store *o)
{
	s->ring_segment_bytes = o->ring_segment_bytes;
	s->ring_segments_max = (uint32_t)o->ring_segments_max;
	s->free_floor_bytes = o->free_space_floor_bytes;
	s->free_floor_percent = (uint8_t)o->free_space_floor_percent;
	s->checkpoint_ms = o->checkpoint_interval_ms;
	s->checkpoint_bytes = o->checkpoint_bytes;
	s->archive_level = (uint8_t)o->archive_level;
}

static int
config_open(struct str path)
{
	char name[4096];

	if (path.n >= sizeof(name))
		return -1;
	memcpy(name, path.p, path.n);
	name[path.n] = '\0';
	return open(name, O_RDONLY | O_CLOEXEC);
}

static bool
file_read(struct str path, struct buf *out)
{
	int fd = config_open(path);
	char *room;
	ssize_t n;

	if (fd < 0)
		return false;
	while ((room = buf_reserve(out, SETTINGS_READ_BYTES)) != NULL && (n = read(fd, room, SETTINGS_READ_BYTES)) > 0)
		buf_commit(out, (size_t)n);
	close(fd);
	return true;
}

/* Without it no client certificate is taken: access goes on with passwords. */
static struct str
client_ca_read(struct str path, struct buf *out)
{
	if (path.n > 0 && !file_read(path, out))
		log_event(LOG_ERROR, "client_ca.unreadable", LOG_STR("path", path), LOG_CSTR("why", strerror(errno)));
	return buf_str(out);
}

static void
child_send_settings(struct child *c)
{
	const struct parent *p = c->parent;
	const struct config *f = p->config;
	struct settings_texts texts;
	struct buf forward;
	struct rec_settings s = {.role = (uint8_t)c->kind, .index = c->index, .hostname = f->hostname,
	    .data_dir = str_of_c(p->data_dir), .empty_dir = str_of_c(p->empty_dir), .uid = role_uid(&f->roles, c->kind),
	    .guesses_max = (uint32_t)f->auth.guesses_max, .scram_iterations = (uint32_t)f->auth.scram_iterations, .scram_sha1 = f->auth.scram_sha1 == CONFIG_YES, .guess_window_ms = f->auth.guess_window_ms,
	    .delimiter = (uint8_t)f->recipient_delimiter, .trust_anchor = f->resolver_trust_anchor,
	    .is_tls_13_only = f->tls_version_min == CONFIG_TLS_1_3,
	    .log_level = (uint8_t)f->log_level, .log_json = f->log_format == LOG_JSON};

	settings_texts_init(&texts);
	buf_init(&forward, 128);
	if (f->resolver_forward.port != 0) {
		(void)config_ip_put(&forward, &f->resolver_forward.ip);
		(void)buf_putf(&forward, "@%u", f->resolver_forward.port);
	}
	if (c->kind == ROLE_SMTPIN || c->kind == ROLE_ACCESS)
		s.ticket_seed = str_of(p->ticket_seed, sizeof(p->ticket_seed));
	s.ticket_seed_ms = p->started_ms;
	settings_limits(&s, &f->limits);
	settings_store(&s, &f->store);
	settings_put(&s, &texts, f, c->kind);
	if (c->kind == ROLE_ACCESS)
		s.client_ca_pem = client_ca_read(f->submission.client_ca_path, &texts.client_ca);
	s.forward = buf_str(&forward);
	if (rec_settings_put(link_out(c->ctl), &s) != ST_OK)
		log_event(LOG_ERROR, "parent.send", LOG_CSTR("role", role_kind_name(c->kind)));
	settings_texts_fini(&texts);
	buf_fini(&forward);
}

static void
child_send_certificate(struct child *c, const struct config_certificate *cert, uint32_t key_id)
{
	struct buf chain;

	buf_init(&chain, CHAIN_BYTES_MAX);
	if (file_read(cert->chain_path, &chain))
		(void)rec_certificate_put(link_out(c->ctl),
		    &(struct rec_certificate){.key_id = key_id, .chain_pem = buf_str(&chain)});
	else
		log_event(LOG_ERROR, "certificate.unreadable", LOG_STR("path", cert->chain_path),
		    LOG_CSTR("why", strerror(errno)));
	buf_fini(&chain);
}

static void
child_send_fd(struct child *c, struct buf *frame, int fd)
{
	if (link_send_fd(c->ctl, buf_str(frame), fd) != ST_OK)
		log_event(LOG_ERROR, "parent.send", LOG_CSTR("role", role_kind_name(c->kind)));
	buf_fini(frame);
}

static void
child_send_key_fd(struct child *c, int fd, uint32_t key_id)
{
	struct buf frame;

	buf_init(&frame, 256);
	(void)rec_key_put(&frame, &(struct rec_key){.key_id = key_id});
	child_send_fd(c, &frame, fd);
}

static void
child_send_key(struct child *c, const struct config_certificate *cert, uint32_t key_id)
{
	int fd = config_open(cert->key_path);

	if (fd < 0) {
		log_event(LOG_ERROR, "key.unreadable", LOG_STR("path", cert->key_path), LOG_CSTR("why", strerror(errno)));
		return;
	}
	child_send_key_fd(c, fd, key_id);
	close(fd);
}

static void
child_send_tls(struct child *c)
{
	const struct config *f = c->parent->config;

	if (c->kind == ROLE_KEYS)
		child_send_key_fd(c, c->parent->master_fd, KEY_ID_MASTER);
	for (size_t i = 0; i < f->certificate_count; i++) {
		uint32_t key_id = (uint32_t)i + 1;
		if (c->kind == ROLE_KEYS)
			child_send_key(c, &f->certificates[i], key_id);
		if (c->kind == ROLE_SMTPIN || c->kind == ROLE_ACCESS)
			child_send_certificate(c, &f->certificates[i], key_id);
	}
}

static void
child_send_listeners(struct child *c)
{
	struct parent *p = c->parent;

	for (size_t i = 0; i < p->bound_n; i++) {
		const struct bound *b = &p->bound[i];
		struct buf frame;
		if (b->kind != c->kind || b->index != c->index)
			continue;
		buf_init(&frame, 1024);
		(void)rec_listener_put(&frame, &b->rec);
		child_send_fd(c, &frame, b->fd);
	}
}

/* A fresh pair of sockets between two living children; each learns of its new peer. */
static void
children_wire(struct child *a, struct child *b)
{
	int fds[2];
	struct buf frame;

	if (sock_pair(fds) != ST_OK) {
		log_event(LOG_ERROR, "parent.sockets", LOG_CSTR("why", strerror(errno)));
		return;
	}
	buf_init(&frame, 256);
	(void)rec_link_put(&frame, &(struct rec_link){.role = (uint8_t)b->kind, .index = b->index});
	child_send_fd(a, &frame, fds[0]);
	buf_init(&frame, 256);
	(void)rec_link_put(&frame, &(struct rec_link){.role = (uint8_t)a->kind, .index = a->index});
	child_send_fd(b, &frame, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

static void
child_send_all(struct child *c)
{
	struct parent *p = c->parent;

	child_send_settings(c);
	child_send_tls(c);
	for (size_t i = 0; i < p->children_n; i++) {
		struct child *peer = &p->children[i];
		if (peer != c && peer->ctl != NULL && is_wired(c->kind, peer->kind))
			children_wire(c, peer);
	}
	(void)rec_go_put(link_out(c->ctl), &(struct rec_go){.is_sandboxed = !p->options.is_single});
}

void
children_settings(struct parent *p)
{
	for (size_t i = 0; i < p->children_n; i++) {
		struct child *c = &p->children[i];
		if (c->ctl == NULL)
			continue;
		child_send_settings(c);
		child_send_tls(c);
		(void)rec_go_put(link_out(c->ctl), &(struct rec_go){.is_sandboxed = !p->options.is_single});
	}
}

/* ---- what a role says ---- */

static bool
child_ready(struct child *c, const struct rec_ready *r)
{
	size_t n = size_min(r->sandbox.n, sizeof(c->sandbox) - 1);

	/* It had said so before it heard of the stop. */
	if (c->state == CHILD_STOPPING)
		return true;
	if (c->state != CHILD_STARTING)
		return false;
	memcpy(c->sandbox, r->sandbox.p, n);
	c->sandbox[n] = '\0';
	c->state = CHILD_UP;
	c->up_since_ms = clock_mono_ms(&c->parent->clock);
	log_event(LOG_INFO, "role.ready", LOG_CSTR("name", role_kind_name(c->kind)), LOG_U64("index", c->index),
	    LOG_U64("pid", c->pid), LOG_CSTR("sandbox", c->sandbox));
	if (c->parent->is_serving)
		child_send_listeners(c);
	parent_child_ready(c->parent, c);
	return true;
}

/* Who may be ended by what another role says of it: those that strangers reach, whose place anybody else can take. */
static bool
is_expendable(enum role_kind k)
{
	return k == ROLE_SMTPIN || k == ROLE_ACCESS || k == ROLE_WORKER || k == ROLE_RELAY;
}

static void
child_broken(struct child *by, const struct rec_broken *b)
{
	struct child *c = child_find(by->parent, b->role, b->index);

	if (c == NULL || !is_expendable(c->kind) || c->pid <= 0 || c->state != CHILD_UP)
		return;
	log_event(LOG_ERROR, "role.broke_rules", LOG_CSTR("name", role_kind_name(c->kind)), LOG_U64("index", c->index),
	    LOG_U64("pid", c->pid), LOG_CSTR("told_by", role_kind_name(by->kind)));
	kill(c->pid, SIGKILL);
}

static bool
child_record(void *arg, struct link *l, enum record_type t, struct cur *cur)
{
	struct child *c = arg;
	struct rec_ready ready;
	struct rec_failed failed;
	struct rec_status status;
	struct rec_broken broken;
	struct rec_command command;

	(void)l;
	if (t == REC_READY)
		return rec_ready_take(cur, &ready) && child_ready(c, &ready);
	if (t == REC_FAILED) {
		if (!rec_failed_take(cur, &failed))
			return false;
		parent_child_failed(c->parent, c, failed.why);
		return true;
	}
	if (t == REC_STATUS) {
		if (!rec_status_take(cur, &status))
			return false;
		parent_status_add(c->parent, c, &status);
		return true;
	}
	if (t == REC_BROKEN) {
		if (!rec_broken_take(cur, &broken))
			return false;
		child_broken(c, &broken);
		return true;
	}
	if (t == REC_COMMAND)
		return c->kind == ROLE_QUEUE && rec_command_take(cur, &command) && parent_command(c->parent, &command);
	return false;
}

/* A child broke the rules of its line: it is not to be trusted any more. (In --single it has stopped.) */
static void
child_closed(void *arg, struct link *l)
{
	struct child *c = arg;

	link_free(&l);
	c->ctl = NULL;
	if (c->single != NULL) {
		c->state = CHILD_DOWN;
		parent_child_ended(c->parent, c);
	} else if (c->pid > 0 && c->state != CHILD_STOPPING) {
		kill(c->pid, SIGKILL);
	}
}

static const struct link_handler child_handler = {.record = child_record, .closed = child_closed};

/* ---- processes ---- */

_Noreturn static void
child_exec(const struct parent *p, enum role_kind kind, int ctl_fd)
{
	char role[] = "role", posthorn[] = "posthorn", name[32];
	char *argv[] = {posthorn, role, name, NULL};
	char path[] = "PATH=/usr/bin:/bin", asan[] = "ASAN_OPTIONS=detect_leaks=0";
	char *envp[] = {path, asan, NULL};
	sigset_t none;

	snprintf(name, sizeof(name), "%s", role_kind_name(kind));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* A role does not outlive its parent, whatever happens to that. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(ctl_fd, CTL_FD) != CTL_FD)
		_exit(126);
	execve(p->exe, argv, envp);
	_exit(127);
}

static void
child_fork(struct child *c, int ctl_fd)
{
	c->pid = fork();
	CHECK(c->pid >= 0);
	if (c->pid == 0) {
		/* dup2 onto itself would keep close-on-exec. */
		if (ctl_fd == CTL_FD)
			ctl_fd = dup(ctl_fd);
		child_exec(c->parent, c->kind, ctl_fd);
	}
	close(ctl_fd);
}

void
child_spawn(struct child *c)
{
	struct parent *p = c->parent;
	int fds[2];

	CHECK(c->state == CHILD_DOWN && c->ctl == NULL);
	if (sock_pair(fds) != ST_OK) {
		log_event(LOG_ERROR, "parent.sockets", LOG_CSTR("why", strerror(errno)));
		return;
	}
	c->state = CHILD_STARTING;
	if (p->options.is_single)
		c->single = role_new(role_ops_of(c->kind), p->loop, fds[1]);
	else
		child_fork(c, fds[1]);
	c->ctl = link_new(p->loop, fds[0], ROLE_PARENT, c->kind, c->index, false, &child_handler, c);
	child_send_all(c);
}

static void
child_restart(void *arg)
{
	struct child *c = arg;

	c->restart_timer = (struct loop_id){0};
	c->restarts++;
	child_spawn(c);
}

static void
child_describe_end(struct child *c, int wait_status)
{
	if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGSYS)
		snprintf(c->last_end, sizeof(c->last_end), "killed: its sandbox refused a system call");
	else if (WIFSIGNALED(wait_status))
		snprintf(c->last_end, sizeof(c->last_end), "killed by SIG%s", sigabbrev_np(WTERMSIG(wait_status)));
	else
		snprintf(c->last_end, sizeof(c->last_end), "ended with code %d", WEXITSTATUS(wait_status));
}

static void
child_plan_restart(struct child *c)
{
	struct parent *p = c->parent;

	if (c->up_since_ms != 0 && clock_mono_ms(&p->clock) - c->up_since_ms > RESTART_FORGOTTEN_MS)
		c->backoff_ms = RESTART_FIRST_MS;
	log_event(LOG_ERROR, "role.ended", LOG_CSTR("name", role_kind_name(c->kind)), LOG_U64("index", c->index),
	    LOG_CSTR("why", c->last_end), LOG_U64("restart_in_ms", c->backoff_ms));
	c->restart_timer = loop_timer_add(p->loop, c->backoff_ms, child_restart, c);
	c->backoff_ms = c->backoff_ms * 2 > RESTART_MAX_MS ? RESTART_MAX_MS : c->backoff_ms * 2;
	c->up_since_ms = 0;
}

void
child_reap(struct parent *p, pid_t pid, int wait_status)
{
	for (size_t i = 0; i < p->children_n; i++) {
		struct child *c = &p->children[i];
		if (c->pid != pid)
			continue;
		child_describe_end(c, wait_status);
		c->pid = 0;
		c->state = CHILD_DOWN;
		link_free(&c->ctl);
		if (!p->is_stopping)
			child_plan_restart(c);
		parent_child_ended(p, c);
		return;
	}
}

bool
children_are_up(const struct parent *p)
{
	for (size_t i = 0; i < p->children_n; i++)
		if (p->children[i].state != CHILD_UP)
			return false;
	return true;
}

void
children_serve(struct parent *p)
{
	p->is_serving = true;
	for (size_t i = 0; i < p->children_n; i++)
		child_send_listeners(&p->children[i]);
}

void
child_stop(struct child *c, bool is_graceful)
{
	const struct parent *p = c->parent;

	loop_timer_del(c->parent->loop, &c->restart_timer);
	if (c->ctl == NULL)
		return;
	c->state = CHILD_STOPPING;
	(void)rec_stop_put(link_out(c->ctl), &(struct rec_stop){.is_graceful = is_graceful, .drain_ms = p->is_restarting ? RESTART_DRAIN_MS : 0});
}
