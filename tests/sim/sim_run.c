/* One run: lives of the machine between mishaps, and a calm end in which everything must be there.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "flow/receive/receive.h"
#include "roles/store_role.h"
#include "sim.h"

enum {
	HOUR_MS = 3600000,
	TURNS_MAX = 20000,
	/* The queue gives up after hours only. */
	RELAY_TURNS_MAX = 100000,
	RELAY_WAIT_MS = 60000,
	DOWN_MS = 60000,
};

void
sim_trace(struct sim_world *w, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		w->result.hash = (w->result.hash ^ b[i]) * 0x100000001b3u;
}

void
sim_say(const struct sim_world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->plan.is_verbose)
		return;
	va_start(ap, fmt);
	fprintf(stderr, "[turn %llu, sync %llu] ", (unsigned long long)w->turns,
	    (unsigned long long)w->syncs);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

void
sim_fail(struct sim_world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->is_failed)
		return;
	w->is_failed = true;
	va_start(ap, fmt);
	fprintf(stderr, "seed %llu, turn %llu, sync %llu: ", (unsigned long long)w->plan.seed,
	    (unsigned long long)w->turns, (unsigned long long)w->syncs);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

/* ---- how this run is ---- */

static void
world_options(struct sim_world *w)
{
	struct embedded_options *o = &w->options;
	bool is_small = prng_below(&w->r, 2);

	embedded_options_init(o, NULL, NULL);
	/* Small: the ring goes round. Otherwise every body that is not staged must fit a group. */
	o->ring_segment_bytes = is_small ? 128u << 10 : 1u << 20;
	o->group_bytes_max = is_small ? 64u << 10 : 512u << 10;
	o->ring_segments_first = 2;
	o->ring_segments_max = 6;
	o->delta_bytes_max = 2u << 20;
	o->checkpoint_interval_ms = 200 + prng_below(&w->r, 3000);
	o->checkpoint_log_bytes = 100u << 10;
	o->archive_segment_bytes = 128u << 10;
	o->archive_idle_ms = 600;
	o->archive_age_ms = 5000;
	o->free_floor_bytes = 64u << 10;
	o->free_floor_percent = 0;
	w->inline_bytes_max = is_small ? 30000 : 250000;
	w->staged_bytes_max = is_small ? 330000 : SIM_BODY_BYTES_MAX - 50000;
}

void
sim_world_init(struct sim_world *w, const struct sim_plan *plan)
{
	*w = (struct sim_world){.plan = *plan, .result = {.hash = 0xcbf29ce484222325u}};
	prng_init(&w->r, plan->seed);
	prng_init(&w->rc, plan->seed ^ 0x636c69656e7473u);
	prng_init(&w->rs, plan->seed ^ 0x73657276657273u);
	sim_rnd_seed(plan->seed ^ 0x726f6c6573u);
	w->notice_ms = prng_below(&w->rs, 2) ? 10 * 60 * 1000 : 0;
	clock_init_fake(&w->clock, 1700000000000u);
	buf_init(&w->scratch, SIM_BODY_BYTES_MAX + 65536);
	buf_init(&w->want, SIM_BODY_BYTES_MAX + 65536);
	w->messages = calloc(SIM_MESSAGES_MAX, sizeof(*w->messages));
	CHECK(w->messages != NULL);
	world_options(w);
	sim_machine_init(w);
	w->clients_n = 1 + (size_t)prng_below(&w->rc, SIM_CLIENTS_MAX);
	for (size_t i = 0; i < w->clients_n; i++)
		sim_client_init(&w->clients[i], w);
}

void
sim_world_fini(struct sim_world *w)
{
	for (size_t i = 0; i < w->clients_n; i++)
		sim_client_fini(&w->clients[i]);
	sim_machine_fini(w);
	free(w->messages);
	buf_fini(&w->scratch);
	buf_fini(&w->want);
}

/* ---- mishaps ---- */

static void
disk_fills_up(struct sim_world *w)
{
	uint64_t free_bytes, total;

	CHECK(w->disk->ops->free_bytes(w->disk, &free_bytes, &total) == ST_OK);
	disk_sim_set_bytes_max(w->disk, total - free_bytes + prng_below(&w->r, 400000));
	sim_say(w, "the disk is nearly full");
}

static void
disk_has_room(struct sim_world *w)
{
	disk_sim_set_bytes_max(w->disk, UINT64_MAX / 4);
	for (unsigned op = 0; op < DISK_SIM_OPS; op++)
		disk_sim_fail(w->disk, (enum disk_sim_op)op, 0, ST_OK, 0);
}

static void
disk_fails(struct sim_world *w)
{
	static const enum disk_sim_op ops[] = {DISK_SIM_WRITE, DISK_SIM_WRITE, DISK_SIM_SYNC,
	    DISK_SIM_SYNC, DISK_SIM_READ, DISK_SIM_OPEN, DISK_SIM_NAMES, DISK_SIM_TRUNCATE};
	enum disk_sim_op op = ops[prng_below(&w->r, COUNT_OF(ops))];

	disk_sim_fail(w->disk, op, 1 + prng_below(&w->r, 20),
	    prng_below(&w->r, 4) ? ST_IO : ST_LIMIT, (size_t)prng_below(&w->r, 9000));
	w->result.faults++;
	sim_say(w, "the disk will fail (%d)", (int)op);
}

static void
clock_jumps(struct sim_world *w)
{
	uint64_t by = prng_below(&w->r, 72 * (uint64_t)HOUR_MS);

	/* Only what people see: the other clock never jumps. */
	if (prng_below(&w->r, 2))
		w->clock.fake_wall_ms += by;
	else
		w->clock.fake_wall_ms -= by;
}

/* Some client is in the middle of a body that is partly in the store: the moment in which most can
 * go wrong. */
static bool
is_staging(const struct sim_world *w)
{
	for (size_t i = 0; i < w->clients_n; i++)
		if (w->clients[i].message_end != 0 && w->clients[i].sent > RECEIVE_INLINE_MAX)
			return true;
	return false;
}

static void
relay_mishap(struct sim_world *w)
{
	uint64_t what = prng_below(&w->rs, 1500);

	if (what < 6) {
		size_t child = what < 3 ? SIM_QUEUE : SIM_RELAY;
		sim_say(w, "kill -9 of %s", role_kind_name(w->children[child].kind));
		w->result.kills++;
		sim_machine_kill(w, child);
	}
	if (what >= 6 && what < 10)
		w->down_until_ms[prng_below(&w->rs, SIM_DOMAINS)] =
		    clock_mono_ms(&w->clock) + prng_below(&w->rs, DOWN_MS);
}

static void
world_mishap(struct sim_world *w)
{
	uint64_t what = prng_below(&w->r, is_staging(w) ? 300 : 1500);

	if (w->plan.is_relay)
		relay_mishap(w);
	/* Days would end what waits in the queue. */
	else if (what < 6)
		clock_jumps(w);
	if (what >= 6 && what < 8 && sim_machine_store(w) != NULL) {
		sim_say(w, "kill -9 of store");
		w->result.kills++;
		sim_machine_kill(w, SIM_STORE);
	}
	if (what == 8) {
		sim_say(w, "kill -9 of smtpin");
		w->result.kills++;
		sim_machine_kill(w, SIM_SMTPIN);
	}
	if (what == 9) {
		w->result.kills++;
		sim_machine_kill(w, SIM_WORKER);
	}
	if (!w->is_rough)
		return;
	if (what >= 10 && what < 13)
		disk_fails(w);
	if (what == 13)
		disk_fills_up(w);
	if (what >= 14 && what < 22)
		disk_has_room(w);
}

/* ---- a life ---- */

/* The store's threads: each does a piece of its work now and then. */
static void
store_steps(struct sim_world *w)
{
	struct store *s = sim_machine_store(w);

	if (s == NULL || !w->children[SIM_STORE].is_ready)
		return;
	if (prng_below(&w->r, 3) == 0)
		(void)embedded_step_commit(s);
	if (w->is_cut || w->is_cut_due)
		return;
	if (prng_below(&w->r, 4) == 0)
		(void)embedded_step_checkpoint(s);
	if (w->is_cut || w->is_cut_due)
		return;
	if (prng_below(&w->r, 3) == 0)
		role_store_ready(w->children[SIM_STORE].role);
}

static int
world_wait_ms(struct sim_world *w)
{
	uint64_t what = prng_below(&w->r, 100);

	if (what == 0)
		return (int)prng_below(&w->r, 2000);
	if (what == 1 && w->plan.is_relay)
		return (int)prng_below(&w->r, 20000);
	return what < 40 ? (int)prng_below(&w->r, 20) : 0;
}

void
sim_world_step(struct sim_world *w)
{
	store_steps(w);
	sim_machine_turn(w, world_wait_ms(w));
}

/* Then nothing is left but to wait for the queue. */
static bool
clients_are_done(const struct sim_world *w)
{
	bool is_done = w->plan.is_relay && w->is_closing_down;

	for (size_t i = 0; i < w->clients_n; i++)
		is_done &= sim_client_is_done(&w->clients[i]) && w->messages_n >= w->messages_max;
	return is_done;
}

static void
world_turn(struct sim_world *w)
{
	w->turns++;
	for (size_t i = 0; i < w->clients_n && !w->is_failed; i++)
		if (prng_below(&w->rc, 3))
			sim_client_step(&w->clients[i]);
	store_steps(w);
	if (!w->is_cut && !w->is_cut_due && prng_below(&w->r, 60) == 0 &&
	    sim_machine_store(w) != NULL && w->children[SIM_STORE].is_verified)
		sim_expunge(w, sim_machine_store(w));
	sim_machine_turn(w, clients_are_done(w) ? RELAY_WAIT_MS : world_wait_ms(w));
}

static void
power_off(struct sim_world *w)
{
	bool is_heard = prng_below(&w->r, 2);

	if (!w->is_cut)
		sim_machine_cut(w, (enum disk_sim_crash_mode)prng_below(&w->r, 2));
	w->result.power_cuts++;
	sim_say(w, "the power is cut");
	/* What had left the machine still arrives. */
	for (size_t i = 0; i < w->clients_n; i++) {
		if (is_heard)
			sim_client_cut(&w->clients[i]);
		else
			sim_client_fini(&w->clients[i]);
	}
	sim_machine_off(w);
}

/* Recovery is cut, too, now and then: the next cut may come at the first syncs already. */
static void
cut_plan(struct sim_world *w)
{
	w->cut_at = 0;
	w->cut = (enum sim_cut)prng_below(&w->r, 3);
	if (w->plan.cut_sync != 0) {
		w->cut_at = w->result.power_cuts == 0 ? w->plan.cut_sync : 0;
		w->cut = w->plan.cut;
	} else if (!w->plan.is_calm && !w->plan.is_kills_only && prng_below(&w->r, 4)) {
		w->cut_at = w->syncs + 1 + prng_below(&w->r, prng_below(&w->r, 3) ? 150 : 10);
	}
}

static void
live(struct sim_world *w)
{
	uint64_t turns = w->turns + 300 + prng_below(&w->r, 1500);
	bool is_plain = w->plan.is_calm || w->plan.cut_sync != 0;

	cut_plan(w);
	w->is_rough = !is_plain && !w->plan.is_kills_only && prng_below(&w->r, 3) == 0;
	w->messages_max = SIM_MESSAGES_MAX - 64;
	if (w->loop == NULL)
		sim_machine_on(w);
	while (w->turns < turns && !w->is_cut && !w->is_failed) {
		if (!is_plain)
			world_mishap(w);
		world_turn(w);
	}
	if (w->result.syncs == 0)
		w->result.syncs = w->syncs;
	/* A calm life goes on into the end. */
	if ((!is_plain && !w->plan.is_kills_only) || w->is_cut) {
		power_off(w);
		disk_has_room(w);
	}
	w->is_rough = false;
}

/* ---- the end ---- */

static bool
world_is_done(struct sim_world *w)
{
	struct buf status;
	bool is_done = w->children[SIM_STORE].is_verified;

	for (size_t i = 0; i < w->clients_n; i++)
		is_done &= sim_client_is_done(&w->clients[i]);
	if (!is_done || w->turns % 16 != 0)
		return false;
	buf_init(&status, 65536);
	role_store_ops.status(role_self(w->children[SIM_STORE].role), &status);
	is_done = str_find(buf_str(&status), STR("\"digests_waiting\":0,")) < status.n;
	buf_fini(&status);
	return is_done && sim_outcome_is_done(w);
}

static void
fail_restless(struct sim_world *w)
{
	struct buf status;

	buf_init(&status, 65536);
	for (size_t i = 0; i < w->clients_n; i++)
		if (!sim_client_is_done(&w->clients[i]))
			(void)buf_putf(&status,
			    " client %zu waits for %zu answers and has %zu bytes to send;", i,
			    w->clients[i].expects_n, w->clients[i].out.n - w->clients[i].sent);
	if (sim_machine_store(w) != NULL)
		role_store_ops.status(role_self(w->children[SIM_STORE].role), &status);
	if (w->plan.is_relay && w->children[SIM_QUEUE].role != NULL)
		role_queue_ops.status(role_self(w->children[SIM_QUEUE].role), &status);
	if (w->plan.is_relay && w->children[SIM_RELAY].role != NULL)
		role_relay_ops.status(role_self(w->children[SIM_RELAY].role), &status);
	sim_fail(w, "it does not come to rest: %.*s", STR_ARG(buf_str(&status)));
	buf_fini(&status);
}

static void
check_files(struct sim_world *w)
{
	struct buf report;

	buf_init(&report, 65536);
	w->options.read_only = true;
	if (embedded_check(&w->options, &report) != ST_OK)
		sim_fail(w, "the store's check says: %.*s", STR_ARG(buf_str(&report)));
	w->options.read_only = false;
	buf_fini(&report);
}

static void
end(struct sim_world *w)
{
	uint64_t turns = w->turns + (w->plan.is_relay ? RELAY_TURNS_MAX : TURNS_MAX);
	struct store *s;

	w->cut_at = 0;
	w->is_closing_down = true;
	if (w->loop == NULL)
		sim_machine_on(w);
	/* A few more, then no more. */
	w->messages_max = w->messages_n + 5;
	while (!w->is_failed && !world_is_done(w)) {
		if (w->turns == turns) {
			fail_restless(w);
			return;
		}
		world_turn(w);
	}
	s = sim_machine_store(w);
	if (w->is_failed || s == NULL)
		return;
	sim_verify(w, s, false);
	if (embedded_settle(s) != ST_OK)
		sim_fail(w, "the store does not settle");
	sim_verify(w, s, false);
	sim_verify_digests(w, s);
	sim_verify_blobs(w, s);
	sim_outcome_verify_end(w, s);
	/* And after an end without goodbye, from what is on the disk alone. */
	sim_machine_cut(w, DISK_SIM_DROP);
	sim_machine_off(w);
	check_files(w);
	sim_machine_on(w);
	while (!w->is_failed && !w->children[SIM_STORE].is_verified)
		world_turn(w);
}

struct sim_result
sim_run(const struct sim_plan *plan)
{
	struct sim_world *w = malloc(sizeof(*w));
	struct sim_result result;
	unsigned lives;

	CHECK(w != NULL);
	sim_world_init(w, plan);
	lives = plan->is_calm || plan->cut_sync != 0 ? 1 : 1 + (unsigned)prng_below(&w->r, 3);
	while (lives-- > 0 && !w->is_failed)
		live(w);
	if (!w->is_failed)
		end(w);
	if (w->loop != NULL)
		sim_machine_off(w);
	w->result.messages = w->messages_n;
	w->result.is_good = !w->is_failed;
	result = w->result;
	sim_world_fini(w);
	free(w);
	return result;
}
