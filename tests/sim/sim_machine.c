/* The machine: a disk, a parent as src/roles/children.c is one, and its children. */
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "directory/directory.h"
#include "roles/relay_role.h"
#include "roles/store_role.h"
#include "sim.h"
#include "sys/sock.h"

enum { RESTART_MS = 1000, RESTART_SOON_MS = 20, LIFE_MS = 40 * 60 * 1000 };

static const enum role_kind kinds[SIM_CHILDREN] = {
    ROLE_STORE, ROLE_WORKER, ROLE_SMTPIN, ROLE_QUEUE, ROLE_RELAY};

/* ---- the gate ---- */

static struct sim_gate *
gate_of(struct disk *d)
{
	return (struct sim_gate *)(void *)d;
}

static enum status
gate_open(struct disk *d, const char *path, unsigned flags, struct disk_file **out)
{
	struct sim_gate *g = gate_of(d);

	return g->is_off ? ST_IO : g->inner->ops->open(g->inner, path, flags, out);
}

static enum status
gate_unlink(struct disk *d, const char *path)
{
	struct sim_gate *g = gate_of(d);

	return g->is_off ? ST_IO : g->inner->ops->unlink(g->inner, path);
}

static enum status
gate_rename(struct disk *d, const char *from, const char *to)
{
	struct sim_gate *g = gate_of(d);

	return g->is_off ? ST_IO : g->inner->ops->rename(g->inner, from, to);
}

static enum status
gate_mkdir(struct disk *d, const char *path)
{
	struct sim_gate *g = gate_of(d);

	return g->is_off ? ST_IO : g->inner->ops->mkdir(g->inner, path);
}

static enum status
gate_sync_dir(struct disk *d, const char *path)
{
	struct sim_gate *g = gate_of(d);

	return g->is_off ? ST_IO : g->inner->ops->sync_dir(g->inner, path);
}

static enum status
gate_list(struct disk *d, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	struct sim_gate *g = gate_of(d);

	return g->is_off ? ST_IO : g->inner->ops->list(g->inner, path, fn, arg);
}

static enum status
gate_free_bytes(struct disk *d, uint64_t *free_out, uint64_t *total_out)
{
	struct sim_gate *g = gate_of(d);

	return g->is_off ? ST_IO : g->inner->ops->free_bytes(g->inner, free_out, total_out);
}

static struct sim_gate *
gate_new(struct disk *inner)
{
	struct sim_gate *g = calloc(1, sizeof(*g));

	CHECK(g != NULL);
	/* Open files are the inner disk's own, which a crash kills. */
	g->ops = *inner->ops;
	g->ops.open = gate_open;
	g->ops.unlink = gate_unlink;
	g->ops.rename = gate_rename;
	g->ops.mkdir = gate_mkdir;
	g->ops.sync_dir = gate_sync_dir;
	g->ops.list = gate_list;
	g->ops.free_bytes = gate_free_bytes;
	g->base.ops = &g->ops;
	g->inner = inner;
	return g;
}

/* ---- the power ---- */

void
sim_machine_cut(struct sim_world *w, enum disk_sim_crash_mode mode)
{
	struct sim_gate *g = w->children[SIM_STORE].gate;

	if (w->is_cut)
		return;
	w->is_cut = true;
	w->is_cut_due = false;
	if (g != NULL)
		g->is_off = true;
	disk_sim_crash(w->disk, mode, &w->r);
}

static void
on_sync(void *arg, uint64_t nth)
{
	struct sim_world *w = arg;

	(void)nth;
	if (w->is_cut)
		return;
	/* A cut behind the last sync: what was written since is lost. */
	if (w->is_cut_due) {
		sim_machine_cut(w, DISK_SIM_DROP);
		return;
	}
	w->syncs++;
	sim_trace(w, &w->syncs, sizeof(w->syncs));
	if (w->cut_at == 0 || w->syncs != w->cut_at)
		return;
	if (w->cut == SIM_CUT_AFTER)
		w->is_cut_due = true;
	else
		sim_machine_cut(w, w->cut == SIM_CUT_DROP ? DISK_SIM_DROP : DISK_SIM_TEAR);
}

/* A commit of the index is a sync like the others. */
static bool
on_commit(void *arg)
{
	struct sim_world *w = arg;
	const struct sim_gate *g = w->children[SIM_STORE].gate;

	if (g != NULL && g->is_off)
		return false;
	on_sync(w, 0);
	return !w->is_cut;
}

/* ---- what is there before the first message ---- */

static const struct credential *
any_credential(void)
{
	static struct credential c;
	static const char hash[] = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0$"
				   "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

	c.argon2id_n = sizeof(hash) - 1;
	memcpy(c.argon2id, hash, sizeof(hash) - 1);
	c.scram_sha256.salt_n = 16;
	c.scram_sha256.iterations = 4096;
	return &c;
}

static enum status
setup_txn(struct txn *t, void *arg)
{
	struct str team[] = {STR("a0@sim.example"), STR("a1@sim.example"), STR("a2@sim.example")};
	uint8_t secret[DIRECTORY_SECRET_BYTES];
	enum status st = directory_init(t);

	(void)arg;
	/* All that the role's own first transaction would write: it waits for it, and nobody steps
	 * for it then. */
	if (st == ST_OK)
		st = directory_secret(t, secret);
	if (st == ST_OK)
		st = directory_domain_add(t, TENANT_DEFAULT, STR("sim.example"), NULL);
	for (unsigned i = 0; i < SIM_ACCOUNTS && st == ST_OK; i++) {
		struct account_settings o = {
		    .quota_bytes = i == SIM_ACCOUNTS - 1 ? SIM_QUOTA_BYTES : 0};
		char name[] = "a0@sim.example";
		struct account_id id;
		name[1] = (char)('0' + i);
		st = directory_account_add(t, str_of_c(name), any_credential(), &o, &id, NULL);
		CHECK(st != ST_OK || id.v == i + 1);
	}
	if (st == ST_OK)
		st = directory_alias_add(t, STR("team@sim.example"), team, COUNT_OF(team), NULL);
	return st;
}

/* By hand on a calm machine, as `posthorn account add` does on a stopped server. */
static void
machine_setup(struct sim_world *w)
{
	struct store *s;
	struct buf why;

	buf_init(&why, 4096);
	CHECK(embedded_open(&w->options, &s, &why) == ST_OK);
	CHECK(store_transact_wait(s, setup_txn, NULL) == ST_OK);
	store_close(&s);
	buf_fini(&why);
}

void
sim_machine_init(struct sim_world *w)
{
	w->disk = disk_sim_new();
	w->options.disk = w->disk;
	w->options.clock = &w->clock;
	w->options.simulated_index = &w->index;
	w->options.threaded = false;
	machine_setup(w);
	/* From here on only store_steps commits: what is acknowledged earlier than that is a bug to
	 * be found. */
	w->options.manual_steps = true;
	w->index.on_commit = on_commit;
	w->index.arg = w;
	disk_sim_on_sync(w->disk, on_sync, w);
	sim_taps_init(w);
	w->children_n = w->plan.is_relay ? SIM_CHILDREN : SIM_QUEUE;
	for (size_t i = 0; i < w->children_n; i++)
		w->children[i] = (struct sim_child){.w = w, .kind = kinds[i]};
}

void
sim_machine_fini(struct sim_world *w)
{
	sim_taps_fini(w);
	disk_free(&w->disk);
	index_sim_state_fini(&w->index);
}

/* ---- the parent ---- */

static void
child_settings(struct sim_child *c)
{
	struct rec_settings s = {.role = (uint8_t)c->kind,
	    .hostname = STR("mx.sim.example"),
	    .data_dir = STR("/nonexistent"),
	    .empty_dir = STR("/nonexistent"),
	    .message_bytes_max = 50 << 20,
	    .rcpts_max = 100,
	    .messages_max = 1000,
	    .errors_max = 1000,
	    .connections_max = 1000,
	    .v4_prefix = 24,
	    .v6_prefix = 48,
	    .command_timeout_ms = 20000,
	    .data_timeout_ms = 20000,
	    .pop3_timeout_ms = 600000,
	    .delimiter = '+',
	    /* Clients come from a Unix socket, which is no address. */
	    .trusted_nets = c->w->plan.is_relay ? STR("::/0") : STR_NULL,
	    .queue_life_ms = LIFE_MS,
	    .queue_notice_ms = c->w->notice_ms,
	    .queue_first_ms = 1000,
	    .queue_max_ms = 120000,
	    .trace_days = 30,
	    .relay_total_max = 50,
	    .relay_destination_max = 5,
	    .relay_port = 25,
	    .relay_idle_ms = 5000,
	    .log_level = (uint8_t)(c->w->plan.is_verbose ? LOG_DEBUG : LOG_ERROR)};

	(void)rec_settings_put(link_out(c->ctl), &s);
}

static void
child_send_fd(struct sim_child *c, struct buf *frame, int fd)
{
	/* It may have ended a moment ago: its closed line says so soon. */
	(void)!link_send_fd(c->ctl, buf_str(frame), fd);
	buf_fini(frame);
}

static void
child_tell_peer(struct sim_child *c, const struct sim_child *peer, int fd)
{
	struct buf frame;

	buf_init(&frame, 256);
	(void)rec_link_put(&frame, &(struct rec_link){.role = (uint8_t)peer->kind, .index = 0});
	child_send_fd(c, &frame, fd);
	close(fd);
}

static void
children_wire(struct sim_child *a, struct sim_child *b)
{
	int fds[2];

	CHECK(sock_pair(fds) == ST_OK);
	child_tell_peer(a, b, fds[0]);
	child_tell_peer(b, a, fds[1]);
}

/* The same with a tap between. */
static void
children_wire_tapped(struct sim_child *store, struct sim_child *other, size_t tap)
{
	int fds[2], other_fds[2];

	CHECK(sock_pair(fds) == ST_OK && sock_pair(other_fds) == ST_OK);
	sim_tap_set(store->w, tap, fds[1], other_fds[1]);
	child_tell_peer(store, other, fds[0]);
	child_tell_peer(other, store, other_fds[0]);
}

/* As roles/children.c has it, as far as it is here. */
static void
children_meet(struct sim_child *a, struct sim_child *b)
{
	struct sim_child *store = a->kind == ROLE_STORE ? a : b;
	struct sim_child *other = a->kind == ROLE_STORE ? b : a;

	if (store->kind == ROLE_STORE && other->kind == ROLE_QUEUE)
		children_wire_tapped(store, other, SIM_TAP_QUEUE);
	else if (store->kind == ROLE_STORE && other->kind == ROLE_RELAY)
		children_wire_tapped(store, other, SIM_TAP_RELAY);
	else if (store->kind == ROLE_STORE || (a->kind == ROLE_QUEUE && b->kind == ROLE_RELAY) ||
		 (a->kind == ROLE_RELAY && b->kind == ROLE_QUEUE))
		children_wire(a, b);
}

static void
child_tell_resolver(struct sim_child *c)
{
	struct buf frame;
	int fds[2];

	CHECK(sock_pair(fds) == ST_OK);
	buf_init(&frame, 256);
	(void)rec_link_put(&frame, &(struct rec_link){.role = ROLE_RESOLVER});
	child_send_fd(c, &frame, fds[0]);
	close(fds[0]);
	sim_resolver_set(c->w, fds[1]);
}

/* A Unix socket with a name of the kernel's choice instead of a port: nothing outside can meet it.
 */
static int
listen_somewhere(struct sockaddr_un *address, socklen_t *n)
{
	sa_family_t family = AF_UNIX;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_un){.sun_family = family};
	CHECK(fd >= 0 && bind(fd, (struct sockaddr *)address, sizeof(family)) == 0 &&
	      listen(fd, 128) == 0);
	*n = sizeof(*address);
	CHECK(getsockname(fd, (struct sockaddr *)address, n) == 0);
	return fd;
}

static void
child_send_listeners(struct sim_child *c)
{
	static const enum listener_protocol protocols[] = {LISTEN_SMTP, LISTEN_LMTP};

	for (size_t i = 0; i < COUNT_OF(protocols); i++) {
		int fd = listen_somewhere(&c->w->address[i], &c->w->address_n[i]);
		struct buf frame;
		buf_init(&frame, 256);
		(void)rec_listener_put(&frame,
		    &(struct rec_listener){.protocol = (uint8_t)protocols[i], .name = STR("sim")});
		child_send_fd(c, &frame, fd);
		close(fd);
	}
}

static bool
child_record(void *arg, struct link *l, enum record_type t, struct cur *cur)
{
	struct sim_child *c = arg;
	struct rec_ready ready;
	struct rec_failed failed;

	(void)l;
	if (t == REC_READY) {
		c->is_ready = true;
		if (c->kind == ROLE_SMTPIN)
			child_send_listeners(c);
		return rec_ready_take(cur, &ready);
	}
	if (t != REC_FAILED || !rec_failed_take(cur, &failed))
		return false;
	sim_say(c->w, "%s failed: %.*s", role_kind_name(c->kind), STR_ARG(failed.why));
	/* With the power on and no error from the disk, nothing has a reason to fail. */
	if (!c->w->is_cut && !c->w->is_rough)
		sim_fail(c->w, "%s failed: %.*s", role_kind_name(c->kind), STR_ARG(failed.why));
	return true;
}

static void
child_closed(void *arg, struct link *l)
{
	struct sim_child *c = arg;

	link_free(&l);
	c->ctl = NULL;
	c->is_dead = true;
	c->is_ready = false;
}

static const struct link_handler child_handler = {.record = child_record, .closed = child_closed};

static void
child_spawn(struct sim_child *c)
{
	struct sim_world *w = c->w;
	int fds[2];

	CHECK(c->role == NULL && sock_pair(fds) == ST_OK);
	c->is_dead = c->is_ready = c->is_verified = false;
	c->role = role_new(role_ops_of(c->kind), w->loop, fds[1]);
	if (c->kind == ROLE_STORE) {
		struct embedded_options o = w->options;
		c->gate = gate_new(w->disk);
		o.disk = &c->gate->base;
		role_store_simulate(c->role, &o);
	}
	if (c->kind == ROLE_RELAY) {
		w->relay_lives++;
		role_relay_simulate(c->role, sim_server_connect, w);
	}
	c->ctl = link_new(w->loop, fds[0], ROLE_PARENT, c->kind, 0, false, &child_handler, c);
	child_settings(c);
	for (size_t i = 0; i < w->children_n; i++) {
		struct sim_child *peer = &w->children[i];
		if (peer != c && peer->ctl != NULL)
			children_meet(c, peer);
	}
	if (c->kind == ROLE_RELAY)
		child_tell_resolver(c);
	(void)rec_go_put(link_out(c->ctl), &(struct rec_go){.is_sandboxed = 0});
}

/* The process is gone: its objects, without anything they would still like to do. */
static void
child_drop(struct sim_child *c)
{
	if (c->gate != NULL)
		c->gate->is_off = true;
	link_free(&c->ctl);
	role_free(&c->role);
	free(c->gate);
	c->gate = NULL;
	c->is_ready = c->is_dead = c->is_verified = false;
	/* What a server has said is known to relay, then to queue, then to the store. */
	if (c->kind == ROLE_QUEUE || c->kind == ROLE_RELAY) {
		c->w->sending_mishaps++;
		c->w->sending_mishap_turn = c->w->turns;
	}
	if (c->kind == ROLE_SMTPIN)
		c->w->address_n[0] = c->w->address_n[1] = 0;
	c->restart_ms =
	    clock_mono_ms(&c->w->clock) +
	    prng_below(&c->w->r, prng_below(&c->w->r, 2) ? RESTART_MS : RESTART_SOON_MS);
}

void
sim_machine_kill(struct sim_world *w, size_t i)
{
	if (w->children[i].role == NULL)
		return;
	if (i == SIM_STORE)
		disk_sim_crash(w->disk, DISK_SIM_KEEP, &w->r);
	child_drop(&w->children[i]);
}

/* A role that ended by itself. Behind an error of the disk nobody knows what its cache still holds.
 */
static void
child_reap(struct sim_child *c)
{
	struct sim_world *w = c->w;

	if (c->kind == ROLE_STORE)
		disk_sim_crash(w->disk, (enum disk_sim_crash_mode)prng_below(&w->r, 3), &w->r);
	child_drop(c);
}

void
sim_machine_on(struct sim_world *w)
{
	w->loop = loop_new(&w->clock);
	w->is_cut = w->is_cut_due = false;
	for (size_t i = 0; i < w->children_n; i++)
		child_spawn(&w->children[i]);
}

void
sim_machine_off(struct sim_world *w)
{
	for (size_t i = 0; i < w->children_n; i++)
		if (w->children[i].role != NULL)
			child_drop(&w->children[i]);
	sim_servers_off(w);
	sim_taps_off(w);
	loop_free(&w->loop);
}

struct store *
sim_machine_store(struct sim_world *w)
{
	struct sim_child *c = &w->children[SIM_STORE];

	return c->role != NULL && !c->is_dead && !w->is_cut ? role_store_opened(c->role) : NULL;
}

void
sim_machine_turn(struct sim_world *w, int wait_ms_max)
{
	struct sim_child *c = &w->children[SIM_STORE];
	uint64_t now;

	(void)loop_turn(w->loop, wait_ms_max);
	now = clock_mono_ms(&w->clock);
	sim_trace(w, &now, sizeof(now));
	if (w->is_cut_due)
		sim_machine_cut(w, DISK_SIM_DROP);
	if (w->is_cut)
		return;
	for (size_t i = 0; i < w->children_n; i++) {
		c = &w->children[i];
		if (c->is_dead)
			child_reap(c);
		if (c->role == NULL && now >= c->restart_ms)
			child_spawn(c);
	}
	c = &w->children[SIM_STORE];
	/* In the turn that opened it, when nothing can have come in yet. */
	if (!c->is_verified && sim_machine_store(w) != NULL) {
		c->is_verified = true;
		sim_verify(w, sim_machine_store(w), true);
	}
}
