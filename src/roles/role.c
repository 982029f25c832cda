#include "roles/role.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <jansson.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/num.h"
#include "base/rnd.h"
#include "sys/sandbox.h"

/* Settings: what a record may hold, and as much again for the ends of blocks. */
enum { ROLE_TRIM_MS = 30 * 1000, ROLE_CTL_FD = 3, SETTINGS_BYTES_MAX = 2 * RECORD_BYTES_MAX, STATUS_BYTES_MAX = 16 * 1024 };

struct role_peer {
	struct link *link;	/* NULL: down */
	enum role_kind kind;
	uint16_t index;
	uint64_t generation;
};

struct role {
	const struct role_ops *ops;
	struct loop *loop;
	struct link *ctl;
	void *self;
	struct arena arenas[2];	/* the current settings' strings and the next ones' */
	unsigned arena_i;
	struct rec_settings settings;
	bool has_settings, is_started, is_single;
	char name[32];
	char data_root[4096];
	struct role_peer peers[ROLE_PEERS_MAX];
	size_t peers_n;
	uint64_t generations;
	struct buf sandbox;
	int exit_code;
};

const struct role_ops *
role_ops_of(enum role_kind k)
{
	switch (k) {
	case ROLE_SMTPIN:
		return &role_smtpin_ops;
	case ROLE_ACCESS:
		return &role_access_ops;
	case ROLE_WORKER:
		return &role_worker_ops;
	case ROLE_QUEUE:
		return &role_queue_ops;
	case ROLE_STORE:
		return &role_store_ops;
	case ROLE_KEYS:
		return &role_keys_ops;
	case ROLE_AUTH:
		return &role_auth_ops;
	case ROLE_RESOLVER:
		return &role_resolver_ops;
	case ROLE_RELAY:
		return &role_relay_ops;
	case ROLE_PARENT:
	case ROLE_COMMAND:
		break;
	}
	return NULL;
}

void *
role_self(struct role *r)
{
	return r->self;
}

struct loop *
role_loop(struct role *r)
{
	return r->loop;
}

const struct rec_settings *
role_settings(const struct role *r)
{
	return &r->settings;
}

static struct role_peer *
peer_find(const struct role *r, enum role_kind kind, uint16_t index)
{
	for (size_t i = 0; i < r->peers_n; i++)
		if (r->peers[i].kind == kind && r->peers[i].index == index)
			return (struct role_peer *)(uintptr_t)&r->peers[i];
	return NULL;
}

struct link *
role_link(struct role *r, enum role_kind kind, uint16_t index)
{
	const struct role_peer *p = peer_find(r, kind, index);

	return p ? p->link : NULL;
}

struct link *
role_link_any(struct role *r, enum role_kind kind, uint64_t spread)
{
	struct link *up[ROLE_PEERS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < r->peers_n; i++)
		if (r->peers[i].kind == kind && r->peers[i].link != NULL)
			up[n++] = r->peers[i].link;
	return n ? up[spread % n] : NULL;
}

uint64_t
role_link_generation(const struct role *r, enum role_kind kind, uint16_t index)
{
	const struct role_peer *p = peer_find(r, kind, index);

	return p && p->link ? p->generation : 0;
}

struct link *
role_parent(struct role *r)
{
	return r->ctl;
}

void
role_stopped(struct role *r)
{
	if (r->ctl == NULL)
		return;
	link_flush(r->ctl);
	if (r->is_single)
		link_free(&r->ctl);	/* the parent takes the closed line for our end */
	else
		loop_stop(r->loop);
}

void
role_fail(struct role *r, struct str why)
{
	/* In --single the loop goes on after a failure until the parent has noticed. */
	if (r->ctl == NULL)
		return;
	log_event(LOG_ERROR, "role.failed", LOG_STR("why", why));
	(void)rec_failed_put(link_out(r->ctl), &(struct rec_failed){.why = why});
	r->exit_code = 1;
	role_stopped(r);
}

/* ---- lines to peers ---- */

static bool
peer_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct role *r = arg;

	return r->ops->record != NULL && r->ops->record(r->self, l, t, c);
}

static void
peer_drained(void *arg, struct link *l)
{
	struct role *r = arg;

	if (r->ops->drained != NULL)
		r->ops->drained(r->self, l);
}

static void
peer_closed(void *arg, struct link *l)
{
	struct role *r = arg;
	struct role_peer *p = peer_find(r, link_peer(l), link_peer_index(l));

	if (p != NULL && p->link == l) {
		p->link = NULL;
		/* Without its line it is of no use, and not to be trusted either: the parent starts another. */
		if (link_is_broken(l) && record_is_allowed(REC_BROKEN, r->ops->kind, ROLE_PARENT))
			(void)rec_broken_put(link_out(r->ctl), &(struct rec_broken){.role = (uint8_t)p->kind, .index = p->index});
		if (r->ops->link_down != NULL && r->is_started)
			r->ops->link_down(r->self, p->kind, p->index);
	}
	link_free(&l);
}

static const struct link_handler peer_handler = {
    .record = peer_record, .drained = peer_drained, .closed = peer_closed};

static bool
peer_add(struct role *r, const struct rec_link *rec, int fd)
{
	struct role_peer *p = peer_find(r, rec->role, rec->index);

	if (fd < 0 || (p == NULL && r->peers_n == ROLE_PEERS_MAX))
		return false;
	if (p == NULL) {
		p = &r->peers[r->peers_n++];
		*p = (struct role_peer){.kind = rec->role, .index = rec->index};
	}
	if (p->link != NULL) {
		link_free(&p->link);
		if (r->ops->link_down != NULL && r->is_started)
			r->ops->link_down(r->self, p->kind, p->index);
	}
	p->link = link_new(r->loop, fd, r->ops->kind, rec->role, rec->index, false, &peer_handler, r);
	p->generation = ++r->generations;
	/* Peers may be quicker than our own start: what they send waits with the kernel. */
	if (!r->is_started)
		link_pause(p->link);
	if (r->ops->link_up != NULL && r->is_started)
		r->ops->link_up(r->self, p->link);
	return true;
}

/* ---- the parent's line ---- */

#define KEEP(field) \
	if (arena_str(a, r->settings.field, &r->settings.field) != ST_OK) \
		return false;

static bool
settings_take(struct role *r, struct cur *c)
{
	struct arena *a = &r->arenas[r->arena_i ^= 1];

	arena_reset(a);
	if (!rec_settings_take(c, &r->settings))
		return false;
	KEEP(hostname)
	KEEP(data_dir)
	KEEP(empty_dir)
	KEEP(exempt_nets)
	KEEP(ticket_seed)
	KEEP(forward)
	KEEP(trust_anchor)
	KEEP(proxy_nets)
	KEEP(xclient_nets)
	KEEP(trusted_nets)
	KEEP(client_ca_pem)
	KEEP(relay_routes)
	r->has_settings = true;
	log_set_level((enum log_level)r->settings.log_level);
	return true;
}

static enum status
role_confine(struct role *r, struct sandbox_options *o, const char **root)
{
	static char dir[4096];
	struct str want = (r->ops->sandbox_allow & SANDBOX_FILES) ? r->settings.data_dir : r->settings.empty_dir;

	if (want.n >= sizeof(dir))
		return ST_LIMIT;
	memcpy(dir, want.p, want.n);
	dir[want.n] = '\0';
	*o = (struct sandbox_options){
	    .allow = r->ops->sandbox_allow, .root_dir = dir, .uid = r->settings.uid};
	*root = dir;
	return ST_OK;
}

static enum status
role_enter(struct role *r, bool is_sandboxed, struct buf *why)
{
	struct sandbox_options o;
	const char *root = NULL;
	enum status st;

	st = r->ops->prepare ? r->ops->prepare(r->self, why) : ST_OK;
	if (st == ST_OK)
		st = role_confine(r, &o, &root);
	if (st == ST_OK && is_sandboxed)
		st = sandbox_confine(&o, &root, &r->sandbox);
	if (st != ST_OK) {
		if (why->n == 0)
			(void)buf_putf(why, "cannot enter the sandbox (%s)", status_word(st));
		return st;
	}
	if (r->ops->open != NULL)
		st = r->ops->open(r->self, root, why);
	if (st == ST_OK && is_sandboxed)
		st = sandbox_lock(&o, &r->sandbox);
	if (st != ST_OK && why->n == 0)
		(void)buf_putf(why, "cannot start (%s)", status_word(st));
	return st;
}

static bool
role_go(struct role *r, const struct rec_go *go)
{
	struct buf why;

	if (r->is_started) {
		if (r->ops->reload != NULL)
			r->ops->reload(r->self);
		return true;
	}
	if (!r->has_settings)
		return false;
	r->is_single = !go->is_sandboxed;
	buf_init(&why, 4096);
	if (role_enter(r, go->is_sandboxed != 0, &why) != ST_OK) {
		role_fail(r, buf_str(&why));
		buf_fini(&why);
		return true;
	}
	buf_fini(&why);
	if (r->sandbox.n == 0)
		(void)buf_put(&r->sandbox, STR("none (--single)"));
	r->is_started = true;
	if (r->ops->start != NULL)
		r->ops->start(r->self);
	for (size_t i = 0; i < r->peers_n; i++) {
		if (r->peers[i].link == NULL)
			continue;
		link_resume(r->peers[i].link);
		if (r->peers[i].link != NULL && r->ops->link_up != NULL)
			r->ops->link_up(r->self, r->peers[i].link);
	}
	return rec_ready_put(link_out(r->ctl), &(struct rec_ready){.sandbox = buf_str(&r->sandbox)}) == ST_OK;
}

static bool
role_status(struct role *r, const struct rec_status_ask *ask)
{
	struct buf json;
	enum status st;

	buf_init(&json, STATUS_BYTES_MAX);
	if (r->ops->status != NULL)
		r->ops->status(r->self, &json);
	st = rec_status_put(link_out(r->ctl), &(struct rec_status){.seq = ask->seq, .json = buf_str(&json)});
	buf_fini(&json);
	return st == ST_OK;
}

static bool
ctl_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct role *r = arg;
	struct rec_link link;
	struct rec_listener listener;
	struct rec_go go;
	struct rec_stop stop;
	struct rec_status_ask ask;
	int fd;

	if (t == REC_SETTINGS)
		return settings_take(r, c);
	if (t == REC_LINK)
		return rec_link_take(c, &link) && peer_add(r, &link, link_take_fd(l));
	if (t == REC_GO)
		return rec_go_take(c, &go) && role_go(r, &go);
	if (t == REC_STATUS_ASK)
		return rec_status_ask_take(c, &ask) && role_status(r, &ask);
	if (t == REC_LISTENER) {
		if (!rec_listener_take(c, &listener) || (fd = link_take_fd(l)) < 0 || r->ops->listener == NULL)
			return false;
		r->ops->listener(r->self, &listener, fd);
		return true;
	}
	if (t == REC_STOP) {
		if (!rec_stop_take(c, &stop))
			return false;
		if (stop.is_graceful && r->ops->stop != NULL)
			r->ops->stop(r->self);
		else
			role_stopped(r);
		return true;
	}
	return r->ops->parent_record != NULL && r->ops->parent_record(r->self, t, c, l);
}

static void
ctl_closed(void *arg, struct link *l)
{
	struct role *r = arg;

	(void)l;
	/* Without its parent a role has nothing to live for. */
	if (!r->is_single)
		loop_stop(r->loop);
}

static const struct link_handler ctl_handler = {.record = ctl_record, .closed = ctl_closed};

struct role *
role_new(const struct role_ops *ops, struct loop *loop, int ctl_fd)
{
	struct role *r = calloc(1, sizeof(*r));

	CHECK(r != NULL);
	r->ops = ops;
	r->loop = loop;
	arena_init(&r->arenas[0], SETTINGS_BYTES_MAX);
	arena_init(&r->arenas[1], SETTINGS_BYTES_MAX);
	buf_init(&r->sandbox, SANDBOX_REPORT_MAX);
	r->ctl = link_new(loop, ctl_fd, ops->kind, ROLE_PARENT, 0, true, &ctl_handler, r);
	r->self = ops->new(r);
	return r;
}

void
role_free(struct role **rp)
{
	struct role *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	/* ops->free may turn the loop until its sessions have ended: no line may bring it anything new in that. */
	link_free(&r->ctl);
	for (size_t i = 0; i < r->peers_n; i++)
		link_free(&r->peers[i].link);
	r->ops->free(r->self);
	arena_fini(&r->arenas[0]);
	arena_fini(&r->arenas[1]);
	buf_fini(&r->sandbox);
	free(r);
}

/* What a burst needed goes back to the system when it is over. */
static void
role_trim(void *arg)
{
	struct loop *loop = arg;

	(void)malloc_trim(1 << 20);
	(void)loop_timer_add(loop, ROLE_TRIM_MS, role_trim, loop);
}

int
role_main(enum role_kind k)
{
	struct clock clock;
	struct loop *loop;
	struct role *r;
	int code;

	/*
	 * One malloc arena: a role has one thread that allocates much. And freed pieces go back to the system only when 16 MB
	 * of them lie at the end, so that under load a message's buffers do not cost page faults each time (they were a tenth of
	 * the CPU of 100 KB messages).
	 */
	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 16 << 20);
	(void)mallopt(M_TOP_PAD, 256 << 10);
	/* Refused only where somebody has set a limit; then it works at the same priority. */
	(void)setpriority(PRIO_PROCESS, 0, role_ops_of(k)->nice);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);	/* Ctrl-C goes to the whole group: the parent decides */
	signal(SIGHUP, SIG_IGN);
	map_seed(rnd_u64(), rnd_u64());
	/* jansson would open /dev/urandom for its own at the first object, which is too late here. */
	json_object_seed((size_t)rnd_u64() | 1);
	clock_init_system(&clock);
	log_setup(role_kind_name(k), STDERR_FILENO, LOG_INFO, LOG_TEXT, &clock);
	if (fcntl(ROLE_CTL_FD, F_SETFL, O_NONBLOCK) != 0 || fcntl(ROLE_CTL_FD, F_SETFD, FD_CLOEXEC) != 0) {
		fprintf(stderr, "posthorn: a role is started by posthorn serve, not by hand\n");
		return 2;
	}
	loop = loop_new(&clock);
	r = role_new(role_ops_of(k), loop, ROLE_CTL_FD);
	(void)loop_timer_add(loop, ROLE_TRIM_MS, role_trim, loop);
	loop_run(loop);
	code = r->exit_code;
	role_free(&r);
	loop_free(&loop);
	return code;
}
