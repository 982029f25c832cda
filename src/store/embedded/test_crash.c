/*
 * Power cuts: random transactions on a simulated disk that is cut at some sync (or index commit)
 * and torn. After reopening, the store must hold exactly the state after some number of
 * transactions, at least those acknowledged.
 */
#include <stdlib.h>

#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "store/embedded/embedded_internal.h"
#include "sys/disk_sim.h"

#define SEEDS 320
#define KEYS 40
#define CHUNK 64
#define TXNS_MAX 4000
#define BLOBS_MAX 8192
#define OPS_MAX 8

enum op_kind { OP_PUT, OP_DEL, OP_SPLICE, OP_ADD, OP_BLOB, OP_STAGED, OP_REF, OP_KINDS };

struct op {
	enum op_kind kind;
	unsigned key;
	uint64_t seed; /* of the bytes */
	size_t n, off;
	size_t blob; /* ref: which */
	int32_t by;
};

/* Everything a transaction will do follows from its seed and the state before it. */
struct made {
	uint64_t seed;
	uint64_t ids[OPS_MAX]; /* what the store gave */
};

struct blob {
	uint64_t id, seed;
	size_t n;
	int32_t refs;
};

struct value {
	bool is_there;
	size_t n;
	char p[512];
};

struct model {
	struct value v[KEYS + 1]; /* the last: the number of transactions */
	struct blob *blobs;
	size_t blobs_n;
};

struct world {
	struct prng r;
	struct disk *disk;
	struct clock clock;
	struct index_sim_state sim;
	struct embedded_options o;
	struct store *s;
	struct model m; /* after every transaction taken */
	struct made *made;
	size_t made_n;
	size_t acked;
	uint64_t syncs_left; /* until the power cut; 0: not armed */
	bool is_cut;
	/* the transaction being run */
	struct op ops[OPS_MAX];
	size_t ops_n;
	bool will_abort;
	struct store_stage *stage;
	unsigned crashes, checks;
};

static void
bytes_of(uint64_t seed, char *p, size_t n)
{
	struct prng r;

	prng_init(&r, seed);
	/* Half compressible. */
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i % 64 < 32 ? 'a' + (int)(seed % 26) : (int)prng_below(&r, 256));
}

static struct str
key_of(unsigned i, char room[16])
{
	int n = snprintf(room, 16, "key-%03u", i);

	return i == KEYS ? STR("n") : str_of(room, (size_t)n);
}

/* ---- what a transaction does ---- */

static void
make_ops(const struct model *m, uint64_t seed, struct op *ops, size_t *n_out)
{
	struct prng r;

	prng_init(&r, seed);
	*n_out = 1 + (size_t)prng_below(&r, OPS_MAX - 1);
	for (size_t i = 0; i < *n_out; i++) {
		struct op *o = &ops[i];

		*o = (struct op){.kind = (enum op_kind)prng_below(&r, OP_KINDS),
		    .key = (unsigned)prng_below(&r, KEYS),
		    .seed = prng_u64(&r)};
		if (o->kind == OP_ADD)
			o->key = o->key % 3;
		else
			o->key = 3 + o->key % (KEYS - 3);
		o->n = (size_t)prng_below(&r, 200);
		o->off = (size_t)prng_below(&r, 300);
		if (o->kind == OP_BLOB)
			o->n = (size_t)prng_below(&r, prng_below(&r, 4) ? 3000 : 12000);
		if (o->kind == OP_STAGED && (i > 0 || prng_below(&r, 4)))
			o->kind = OP_PUT;
		if (o->kind == OP_STAGED)
			o->n = (size_t)prng_below(&r, 150000);
		if (o->kind == OP_REF) {
			if (m->blobs_n == 0) {
				o->kind = OP_DEL;
				continue;
			}
			/* Mostly recent ones; more references go than come. */
			o->blob = m->blobs_n - 1 - (size_t)prng_below(&r, size_min(m->blobs_n, 60));
			o->by = prng_below(&r, 3) ? -1 : 1;
		}
	}
}

static void
model_splice(struct value *v, size_t off, const char *p, size_t n)
{
	if (!v->is_there)
		v->n = 0;
	v->is_there = true;
	if (off > v->n)
		memset(v->p + v->n, 0, off - v->n);
	memcpy(v->p + off, p, n);
	v->n = size_max(v->n, off + n);
}

static void
model_op(struct model *m, const struct op *o, uint64_t id)
{
	struct value *v = &m->v[o->key];
	char bytes[512];
	uint64_t sum;

	switch (o->kind) {
	case OP_PUT:
		v->is_there = true;
		v->n = o->n;
		bytes_of(o->seed, v->p, o->n);
		break;
	case OP_DEL:
		v->is_there = false;
		break;
	case OP_SPLICE:
		bytes_of(o->seed, bytes, o->n);
		model_splice(v, o->off, bytes, o->n);
		break;
	case OP_ADD:
		sum = (v->is_there ? le64_get(v->p) : 0) + o->n;
		le64_put(bytes, sum);
		model_splice(v, 0, bytes, 8);
		break;
	case OP_BLOB:
	case OP_STAGED:
		m->blobs[m->blobs_n++] = (struct blob){id, o->seed, o->n, 1};
		break;
	case OP_REF:
		if (m->blobs[o->blob].refs > 0)
			m->blobs[o->blob].refs += o->by;
		break;
	case OP_KINDS:
		break;
	}
}

static void
model_txn(struct model *m, const struct made *t, uint64_t number)
{
	struct op ops[OPS_MAX];
	size_t n;
	char b[8];

	make_ops(m, t->seed, ops, &n);
	for (size_t i = 0; i < n; i++)
		model_op(m, &ops[i], t->ids[i]);
	le64_put(b, number);
	m->v[KEYS].is_there = false;
	model_splice(&m->v[KEYS], 0, b, 8);
}

static enum status
store_op(struct world *w, struct txn *t, const struct op *o, uint64_t *id_out)
{
	static char bytes[160000];
	char room[16];
	struct str key = key_of(o->key, room), parts[2];
	struct blob_id id = {0};
	uint64_t sum;
	enum status st;

	bytes_of(o->seed, bytes, o->n);
	switch (o->kind) {
	case OP_PUT:
		return store_put(t, key, str_of(bytes, o->n));
	case OP_DEL:
		return store_del(t, key);
	case OP_SPLICE:
		return store_splice(t, key, o->off, str_of(bytes, o->n));
	case OP_ADD:
		return store_add(t, key, (int64_t)o->n, &sum);
	case OP_BLOB:
		parts[0] = str_of(bytes, o->n / 3);
		parts[1] = str_of(bytes + o->n / 3, o->n - o->n / 3);
		st = store_blob_put(t, parts, 2, &id);
		*id_out = id.v;
		return st;
	case OP_STAGED:
		if (!w->stage)
			return ST_IO;
		st = store_blob_put_staged(t, &w->stage, &id);
		*id_out = id.v;
		return st;
	case OP_REF:
		st = store_blob_ref(t, (struct blob_id){w->m.blobs[o->blob].id}, o->by);
		return st == ST_NOTFOUND ? ST_OK : st;
	case OP_KINDS:
		break;
	}
	return ST_IO;
}

static enum status
run_fn(struct txn *t, void *arg)
{
	struct world *w = arg;
	struct made *m = &w->made[w->made_n];
	char b[8];
	enum status st = ST_OK;

	for (size_t i = 0; i < w->ops_n && st == ST_OK; i++)
		st = store_op(w, t, &w->ops[i], &m->ids[i]);
	le64_put(b, w->made_n + 1);
	if (st == ST_OK)
		st = store_put(t, STR("n"), str_of(b, 8));
	return st == ST_OK && w->will_abort ? ST_DENIED : st;
}

static void
run_done(void *arg, enum status st)
{
	struct world *w = arg;

	EXPECT(st == ST_OK);
	w->acked++;
}

static void
prepare_stage(struct world *w, const struct op *o)
{
	static char bytes[160000];

	if (store_stage_new(w->s, &w->stage) != ST_OK) {
		w->stage = NULL;
		return;
	}
	bytes_of(o->seed, bytes, o->n);
	for (size_t off = 0; off < o->n; off += 50000)
		if (store_stage_put(w->stage, str_of(bytes + off, size_min(50000, o->n - off))) !=
		    ST_OK)
			return;
}

static void
transact(struct world *w)
{
	struct made *t = &w->made[w->made_n];
	enum status st;

	if (w->made_n + 1 == TXNS_MAX || w->m.blobs_n + OPS_MAX > BLOBS_MAX)
		return;
	*t = (struct made){.seed = prng_u64(&w->r)};
	make_ops(&w->m, t->seed, w->ops, &w->ops_n);
	w->will_abort = prng_below(&w->r, 8) == 0;
	if (w->ops[0].kind == OP_STAGED)
		prepare_stage(w, &w->ops[0]);
	st = store_transact(w->s, run_fn, w, run_done, w);
	store_stage_free(&w->stage);
	EXPECT(st != ST_OK || !w->will_abort);
	if (st == ST_OK) {
		model_txn(&w->m, t, w->made_n + 1);
		w->made_n++;
	} else {
		EXPECT(st == ST_LIMIT || (st == ST_DENIED && w->will_abort) || w->is_cut);
	}
}

/* ---- the power cut ---- */

static void
cut(struct world *w)
{
	static const enum disk_sim_crash_mode modes[] = {
	    DISK_SIM_DROP, DISK_SIM_TEAR, DISK_SIM_TEAR, DISK_SIM_KEEP};

	w->is_cut = true;
	w->crashes++;
	disk_sim_crash(w->disk, modes[prng_below(&w->r, COUNT_OF(modes))], &w->r);
}

static void
on_sync(void *arg, uint64_t nth)
{
	struct world *w = arg;

	(void)nth;
	if (!w->is_cut && w->syncs_left > 0 && --w->syncs_left == 0)
		cut(w);
}

static bool
on_commit(void *arg)
{
	on_sync(arg, 0);
	return !((struct world *)arg)->is_cut;
}

static void
arm(struct world *w)
{
	w->is_cut = false;
	w->syncs_left = 1 + prng_below(&w->r, prng_below(&w->r, 2) ? 12 : 120);
}

/* ---- verifying ---- */

static void
verify_keys(struct world *w, bool reverse)
{
	struct store_iter it;
	enum status st = store_range(store_snapshot(w->s), STR("a"), STR("z"), reverse, &it);
	char room[16];

	EXPECT(st == ST_OK);
	if (st != ST_OK)
		return;
	for (unsigned n = 0; n <= KEYS; n++) {
		unsigned i = reverse ? KEYS - n : n;
		const struct value *v = &w->m.v[i];

		if (!v->is_there)
			continue;
		EXPECT(store_next(&it) == ST_OK);
		EXPECT_STR(it.key, key_of(i, room));
		EXPECT(str_eq(it.value, str_of(v->p, v->n)));
	}
	EXPECT(store_next(&it) == ST_EOF);
	store_iter_end(&it);
}

static void
verify_blobs(struct world *w)
{
	static char want[160000];
	struct buf got;

	buf_init(&got, 200000);
	for (size_t i = 0; i < w->m.blobs_n; i++) {
		const struct blob *b = &w->m.blobs[i];
		struct txn *t = store_snapshot(w->s);
		uint64_t size;
		enum status st = store_blob_size(t, (struct blob_id){b->id}, &size);

		EXPECT(st == (b->refs > 0 ? ST_OK : ST_NOTFOUND));
		if (st != ST_OK)
			continue;
		EXPECT(size == b->n);
		buf_reset(&got);
		bytes_of(b->seed, want, b->n);
		EXPECT(store_blob_read(t, (struct blob_id){b->id}, 0, SIZE_MAX, &got) == ST_OK);
		EXPECT(str_eq(buf_str(&got), str_of(want, b->n)));
	}
	buf_fini(&got);
}

/* The model as it was after n transactions. */
static void
model_rewind(struct world *w, size_t n)
{
	memset(w->m.v, 0, sizeof(w->m.v));
	w->m.blobs_n = 0;
	for (size_t i = 0; i < n; i++)
		model_txn(&w->m, &w->made[i], i + 1);
	w->made_n = n;
}

static bool
reopen(struct world *w)
{
	struct buf error;
	enum status st;

	buf_init(&error, 4096);
	do {
		/* Recovery is cut, too, now and then. */
		if (w->is_cut)
			w->syncs_left = prng_below(&w->r, 3) ? 0 : 1 + prng_below(&w->r, 6);
		w->is_cut = false;
		buf_reset(&error);
		st = embedded_open(&w->o, &w->s, &error);
	} while (st != ST_OK && w->is_cut);
	EXPECT(st == ST_OK);
	if (st != ST_OK)
		fprintf(stderr, "open: %s: %.*s\n", status_word(st), STR_ARG(buf_str(&error)));
	buf_fini(&error);
	return st == ST_OK;
}

static bool
recover(struct world *w)
{
	struct str n = STR_NULL;
	uint64_t held = 0;

	store_close(&w->s);
	disk_sim_set_bytes_max(w->disk, UINT64_MAX);
	if (!reopen(w))
		return false;
	if (store_get(store_snapshot(w->s), STR("n"), &n) == ST_OK && n.n == 8)
		held = le64_get(n.p);
	/* Whole transactions, in order, and every acknowledged one. */
	EXPECT(held >= w->acked && held <= w->made_n);
	if (held < w->acked || held > w->made_n)
		return false;
	model_rewind(w, held);
	w->acked = held;
	verify_keys(w, false);
	verify_keys(w, true);
	verify_blobs(w);
	w->checks++;
	return unit_bad == 0;
}

/* ---- a life ---- */

static void
turn(struct world *w)
{
	switch (prng_below(&w->r, 12)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
		transact(w);
		break;
	case 5:
		store_flush(w->s);
		break;
	case 6:
		(void)embedded_step_commit(w->s);
		break;
	case 7:
	case 8:
		if (store_poll(w->s) != ST_OK)
			EXPECT(w->is_cut);
		break;
	case 9:
		clock_advance(&w->clock, prng_below(&w->r, 300));
		(void)embedded_step_checkpoint(w->s);
		break;
	case 10:
		(void)embedded_step_checkpoint(w->s);
		break;
	case 11:
		if (prng_below(&w->r, 4) == 0)
			embedded_want_checkpoint(w->s);
		if (prng_below(&w->r, 6) == 0)
			embedded_want_archive(w->s);
		if (prng_below(&w->r, 20) == 0)
			verify_keys(w, prng_below(&w->r, 2));
		break;
	}
}

static bool
live(uint64_t seed, unsigned *crashes, unsigned *checks)
{
	struct world w = {.syncs_left = 0};

	prng_init(&w.r, seed);
	w.disk = disk_sim_new();
	clock_init_fake(&w.clock, 1000);
	w.sim = (struct index_sim_state){.on_commit = on_commit, .arg = &w};
	embedded_options_init(&w.o, w.disk, &w.clock);
	w.o.ring_segment_bytes = 128u << 10;
	w.o.group_bytes_max = 64u << 10;
	w.o.ring_segments_first = 2;
	w.o.ring_segments_max = 6;
	w.o.delta_bytes_max = 2u << 20;
	w.o.checkpoint_interval_ms = 1000;
	w.o.checkpoint_log_bytes = 100u << 10;
	w.o.archive_segment_bytes = 64u << 10;
	w.o.archive_idle_ms = 600;
	w.o.archive_age_ms = 5000;
	w.o.free_floor_bytes = 0;
	w.o.free_floor_percent = 0;
	w.o.threaded = false;
	w.o.manual_steps = true;
	w.o.simulated_index = &w.sim;
	w.made = calloc(TXNS_MAX, sizeof(w.made[0]));
	w.m.blobs = calloc(BLOBS_MAX, sizeof(w.m.blobs[0]));
	disk_sim_on_sync(w.disk, on_sync, &w);
	if (w.made && w.m.blobs && reopen(&w)) {
		bool is_well = true;

		for (int life = 0; life < 4 && is_well; life++) {
			arm(&w);
			/* Some lives are short of room: growing, archiving and staging then fail half-way. */
			disk_sim_set_bytes_max(w.disk,
			    prng_below(&w.r, 3) ? UINT64_MAX : (256u << 10) + prng_below(&w.r, 800u << 10));
			for (int i = 0; i < 700 && !w.is_cut && unit_bad == 0; i++)
				turn(&w);
			if (!w.is_cut)
				cut(&w);
			is_well = recover(&w);
		}
		/* And once more after everything was moved to where it stays. */
		w.syncs_left = 0;
		if (is_well && w.s && unit_bad == 0) {
			EXPECT(embedded_settle(w.s) == ST_OK);
			embedded_want_checkpoint(w.s);
			embedded_want_archive(w.s);
			EXPECT(embedded_settle(w.s) == ST_OK);
			verify_blobs(&w);
			w.acked = w.made_n;
			(void)recover(&w);
		}
	}
	store_close(&w.s);
	disk_free(&w.disk);
	index_sim_state_fini(&w.sim);
	free(w.made);
	free(w.m.blobs);
	*crashes += w.crashes;
	*checks += w.checks;
	return unit_bad == 0;
}

static uint64_t seed_first = 1, seeds = SEEDS;

static void
holds_what_it_acknowledged(void)
{
	unsigned crashes = 0, checks = 0;

	for (uint64_t seed = seed_first; seed < seed_first + seeds; seed++)
		if (!live(seed, &crashes, &checks)) {
			fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
			break;
		}
	printf("%u power cuts, %u recoveries verified\n", crashes, checks);
}

/* test_store_crash [first seed [number of seeds]] */
int
main(int argc, char **argv)
{
	if (argc > 1)
		seed_first = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		seeds = strtoull(argv[2], NULL, 10);
	UNIT(holds_what_it_acknowledged);
	return unit_end();
}
