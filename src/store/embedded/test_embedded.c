#include "store/embedded/embedded.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "store/conformance.h"
#include "store/embedded/embedded_internal.h"
#include "sys/disk_sim.h"

/* ---- a store in a folder of its own ---- */

struct rig {
	char folder[64];
	struct disk *disk;
	struct clock clock;
	struct embedded_options o;
	bool threaded;
	bool is_simulated;
	struct index_sim_state sim;
	struct buf error;
};

static void
rig_options(struct rig *r)
{
	embedded_options_init(&r->o, r->disk, &r->clock);
	r->o.ring_segment_bytes = 16u << 20;
	r->o.ring_segments_first = 2;
	r->o.ring_segments_max = 8;
	r->o.group_bytes_max = 8u << 20;
	r->o.index_map_bytes = (uint64_t)1 << 30;
	r->o.free_floor_bytes = 0;
	r->o.free_floor_percent = 0;
	r->o.checkpoint_interval_ms = 20;
	r->o.archive_idle_ms = 60000;
	r->o.archive_age_ms = 3600000;
	r->o.threaded = r->threaded;
	r->o.simulated_index = r->is_simulated ? &r->sim : NULL;
}

static void
rig_init(struct rig *r, bool threaded)
{
	*r = (struct rig){.threaded = threaded};
	(void)snprintf(r->folder, sizeof(r->folder), "/tmp/posthorn-store-XXXXXX");
	if (!mkdtemp(r->folder) || disk_posix_new(r->folder, &r->disk) != ST_OK)
		abort();
	buf_init(&r->error, 4096);
	clock_init_system(&r->clock);
	rig_options(r);
}

static void
rig_init_simulated(struct rig *r)
{
	*r = (struct rig){.threaded = false, .is_simulated = true};
	r->disk = disk_sim_new();
	buf_init(&r->error, 4096);
	clock_init_fake(&r->clock, 1);
	rig_options(r);
	r->o.ring_segment_bytes = 1u << 20;
	r->o.group_bytes_max = 256u << 10;
	r->o.archive_segment_bytes = 64u << 10;
	r->o.manual_steps = true;
}

static void
remove_name(void *arg, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
	if (unlink(path) == 0)
		return;
	(void)rmdir(path);
}

static void
remove_folder(const char *folder)
{
	static const char *const subs[] = {"ring", "archive", "big", "index"};
	struct disk *d;
	char path[256];

	for (size_t i = 0; i < COUNT_OF(subs); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, subs[i]);
		if (access(path, F_OK) != 0 || disk_posix_new(path, &d) != ST_OK)
			continue;
		(void)d->ops->list(d, "", remove_name, path);
		disk_free(&d);
	}
	(void)snprintf(path, sizeof(path), "%s", folder);
	if (disk_posix_new(path, &d) != ST_OK)
		return;
	(void)d->ops->list(d, "", remove_name, path);
	disk_free(&d);
	(void)rmdir(folder);
}

static void
rig_fini(struct rig *r)
{
	disk_free(&r->disk);
	buf_fini(&r->error);
	if (r->is_simulated)
		index_sim_state_fini(&r->sim);
	else
		remove_folder(r->folder);
}

static struct store *
rig_open(struct rig *r)
{
	struct store *s;
	enum status st;

	buf_reset(&r->error);
	st = embedded_open(&r->o, &s, &r->error);
	if (st != ST_OK)
		fprintf(stderr, "open: %s: %.*s\n", status_word(st), STR_ARG(buf_str(&r->error)));
	return s;
}

/* ---- the suite that every backend runs ---- */

static enum status
suite_open(void *arg, struct store **out)
{
	struct rig *r = arg;

	rig_init(r, r->threaded);
	*out = rig_open(r);
	return *out ? ST_OK : ST_IO;
}

static enum status
suite_reopen(void *arg, struct store **s)
{
	struct rig *r = arg;

	store_close(s);
	*s = rig_open(r);
	return *s ? ST_OK : ST_IO;
}

static void
suite_close(void *arg, struct store **s)
{
	store_close(s);
	rig_fini(arg);
}

static void
conforms_stepped(void)
{
	struct rig r = {.threaded = false};
	struct conformance_backend b = {
	    "embedded, stepped", &r, suite_open, suite_reopen, suite_close, 300};

	EXPECT(conformance_run(&b) == 0);
}

static void
conforms_threaded(void)
{
	struct rig r = {.threaded = true};
	struct conformance_backend b = {
	    "embedded, threaded", &r, suite_open, suite_reopen, suite_close, 300};

	EXPECT(conformance_run(&b) == 0);
}

/* ---- three layers against a model ---- */

#define MODEL_KEYS 300

struct layered {
	struct rig *rig;
	struct store *s;
	struct prng r;
	struct {
		bool is_there;
		size_t n;
		char p[96];
	} v[MODEL_KEYS], before[MODEL_KEYS];
	bool will_abort;
};

static struct str
layered_key(uint64_t i, char room[24])
{
	int n = snprintf(room, 24, "prefix/%04u", (unsigned)i);

	return str_of(room, (size_t)n);
}

static enum status
layered_op(struct layered *l, struct txn *t)
{
	size_t i = (size_t)prng_below(&l->r, MODEL_KEYS), n = (size_t)prng_below(&l->r, 40), off;
	char room[24], bytes[40];
	struct str key = layered_key(i, room), got;
	enum status st;

	memset(bytes, (int)prng_below(&l->r, 256), sizeof(bytes));
	switch (prng_below(&l->r, 4)) {
	case 0:
		l->v[i].is_there = true;
		l->v[i].n = n;
		memcpy(l->v[i].p, bytes, n);
		st = store_put(t, key, str_of(bytes, n));
		break;
	case 1:
		l->v[i].is_there = false;
		st = store_del(t, key);
		break;
	default:
		off = (size_t)prng_below(&l->r, 50);
		if (!l->v[i].is_there)
			l->v[i].n = 0;
		if (off > l->v[i].n)
			memset(l->v[i].p + l->v[i].n, 0, off - l->v[i].n);
		memcpy(l->v[i].p + off, bytes, n);
		l->v[i].n = size_max(l->v[i].n, off + n);
		l->v[i].is_there = true;
		st = store_splice(t, key, off, str_of(bytes, n));
		break;
	}
	EXPECT(store_get(t, key, &got) == (l->v[i].is_there ? ST_OK : ST_NOTFOUND));
	if (l->v[i].is_there)
		EXPECT(str_eq(got, str_of(l->v[i].p, l->v[i].n)));
	return st;
}

static enum status
layered_fn(struct txn *t, void *arg)
{
	struct layered *l = arg;
	uint64_t n = prng_below(&l->r, 8);
	enum status st = ST_OK;

	while (n-- > 0 && st == ST_OK)
		st = layered_op(l, t);
	return st == ST_OK && l->will_abort ? ST_DENIED : st;
}

static void
layered_range(struct layered *l)
{
	uint64_t a = prng_below(&l->r, MODEL_KEYS), b = prng_below(&l->r, MODEL_KEYS + 1),
		 left = prng_below(&l->r, 200);
	bool reverse = prng_below(&l->r, 2);
	char from[24], to[24], room[24];
	struct store_iter it;

	EXPECT(store_range(store_snapshot(l->s), layered_key(a, from), layered_key(b, to), reverse,
		   &it) == ST_OK);
	for (uint64_t k = 0; a + k < b; k++) {
		uint64_t i = reverse ? b - 1 - k : a + k;

		if (!l->v[i].is_there)
			continue;
		if (left-- == 0)
			break;
		EXPECT(store_next(&it) == ST_OK);
		EXPECT_STR(it.key, layered_key(i, room));
		EXPECT(str_eq(it.value, str_of(l->v[i].p, l->v[i].n)));
	}
	if (left < UINT64_MAX)
		EXPECT(store_next(&it) == ST_EOF);
	store_iter_end(&it);
}

static void
layered_run(struct rig *rig)
{
	static struct layered l;

	memset(&l, 0, sizeof(l));
	l.rig = rig;
	l.s = rig_open(rig);
	prng_init(&l.r, 7);
	for (int round = 0; round < 4000 && unit_bad == 0 && l.s; round++) {
		enum status st;

		l.will_abort = prng_below(&l.r, 5) == 0;
		memcpy(l.before, l.v, sizeof(l.v));
		st = store_transact(l.s, layered_fn, &l, NULL, NULL);
		/* Limit: the ring wants a new segment, which a commit step makes. */
		EXPECT(st == (l.will_abort ? ST_DENIED : ST_OK) || st == ST_LIMIT);
		if (st != ST_OK)
			memcpy(l.v, l.before, sizeof(l.v));
		layered_range(&l);
		store_flush(l.s);
		if (prng_below(&l.r, 3) == 0)
			(void)embedded_step_commit(l.s);
		EXPECT(store_poll(l.s) == ST_OK);
		if (prng_below(&l.r, 40) == 0)
			embedded_want_checkpoint(l.s);
		/* Seldom, so that a frozen delta stays for a while. */
		if (prng_below(&l.r, 10) == 0)
			(void)embedded_step_checkpoint(l.s);
		if (prng_below(&l.r, 500) == 0) {
			while (embedded_step_commit(l.s))
				;
			store_close(&l.s);
			l.s = rig_open(rig);
		}
	}
	store_close(&l.s);
}

static void
shows_three_layers_as_one(void)
{
	struct rig r;

	rig_init_simulated(&r);
	layered_run(&r);
	rig_fini(&r);
	rig_init(&r, false);
	r.o.manual_steps = true;
	layered_run(&r);
	rig_fini(&r);
}

/* ---- blobs ---- */

struct blobs {
	struct store *s;
	struct blob_id id[64];
	size_t n, size;
	int32_t by;
	struct store_stage *stage;
	size_t step;
};

static void
fill(char *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)('a' + (i / 7 + seed * 31 + i % 3) % 26);
}

static enum status
blobs_put(struct txn *t, void *arg)
{
	struct blobs *b = arg;
	char *p = malloc(b->size);
	enum status st = ST_OK;

	for (size_t i = 0; i < b->n && st == ST_OK; i++) {
		struct str s = str_of(p, b->size);

		fill(p, b->size, i);
		st = store_blob_put(t, &s, 1, &b->id[i]);
	}
	free(p);
	return st;
}

static enum status
blobs_ref(struct txn *t, void *arg)
{
	struct blobs *b = arg;
	enum status st = ST_OK;

	for (size_t i = 0; i < b->n && st == ST_OK; i += b->step)
		st = store_blob_ref(t, b->id[i], b->by);
	return st;
}

static enum status
blobs_staged(struct txn *t, void *arg)
{
	struct blobs *b = arg;

	return store_blob_put_staged(t, &b->stage, &b->id[0]);
}

static bool
blob_is(struct store *s, struct blob_id id, uint64_t seed, size_t size, size_t off, size_t n)
{
	char *want = malloc(size);
	struct buf got;
	bool is;

	buf_init(&got, 4u << 20);
	fill(want, size, seed);
	is = store_blob_read(store_snapshot(s), id, off, n, &got) == ST_OK &&
	     str_eq(buf_str(&got), str_take(str_from(str_of(want, size), off), n));
	buf_fini(&got);
	free(want);
	return is;
}

static uint64_t
stat_of(struct store *s, const char *name)
{
	struct buf b;
	char want[64];
	size_t at;
	uint64_t v = UINT64_MAX;

	buf_init(&b, 16384);
	(void)snprintf(want, sizeof(want), "\"%s\":", name);
	EXPECT(store_stats(s, &b) == ST_OK);
	at = str_find(buf_str(&b), str_of_c(want));
	if (at < b.n) {
		struct cur c = cur_of(str_from(buf_str(&b), at + strlen(want)));

		EXPECT(cur_u64(&c, &v));
	}
	buf_fini(&b);
	return v;
}

static void
settle_all(struct store *s)
{
	embedded_want_checkpoint(s);
	EXPECT(embedded_settle(s) == ST_OK);
	embedded_want_archive(s);
	EXPECT(embedded_settle(s) == ST_OK);
}

static void
archive_and_collect(bool threaded)
{
	struct blobs b = {.n = 60, .size = 20000, .step = 1};
	struct rig r;
	struct buf report;

	rig_init(&r, threaded);
	r.o.archive_segment_bytes = 100000;
	r.o.archive_level = 0;
	b.s = rig_open(&r);
	EXPECT(store_transact_wait(b.s, blobs_put, &b) == ST_OK);
	settle_all(b.s);
	EXPECT(stat_of(b.s, "archive_bytes_live") == 60 * (20000 + ARCHIVE_ENTRY_BYTES));
	for (size_t i = 0; i < b.n; i++)
		EXPECT(blob_is(b.s, b.id[i], i, b.size, i * 13, 5000));
	/* Two of three go: what is left moves together. */
	b.by = -1;
	for (b.step = 3; b.id[0].v <= 3; b.step = 3) {
		EXPECT(store_transact_wait(b.s, blobs_ref, &b) == ST_OK);
		memmove(b.id, b.id + 1, sizeof(b.id) - sizeof(b.id[0]));
		if (b.id[0].v == 3)
			break;
	}
	settle_all(b.s);
	EXPECT(stat_of(b.s, "archive_bytes_live") == 20 * (20000 + ARCHIVE_ENTRY_BYTES));
	EXPECT(stat_of(b.s, "archive_bytes") < 40 * 20000);
	for (size_t i = 0; i < 58; i += 3)
		EXPECT(blob_is(b.s, b.id[i], i + 2, b.size, 0, b.size));
	store_close(&b.s);
	buf_init(&report, 65536);
	if (embedded_check(&r.o, &report) != ST_OK)
		EXPECT_STR(buf_str(&report), STR(""));
	b.s = rig_open(&r);
	for (size_t i = 0; i < 58; i += 3)
		EXPECT(blob_is(b.s, b.id[i], i + 2, b.size, 0, b.size));
	store_close(&b.s);
	buf_fini(&report);
	rig_fini(&r);
}

static void
archives_and_collects(void)
{
	archive_and_collect(false);
	archive_and_collect(true);
}

static void
compresses_what_it_archives(void)
{
	struct blobs b = {.n = 30, .size = 20000, .step = 1};
	struct rig r;

	rig_init(&r, true);
	b.s = rig_open(&r);
	EXPECT(store_transact_wait(b.s, blobs_put, &b) == ST_OK);
	settle_all(b.s);
	EXPECT(stat_of(b.s, "archive_bytes_live") < 30 * 20000 / 4);
	EXPECT(stat_of(b.s, "archive_bytes_raw") == 30 * 20000);
	/* Nothing of it is needed in the ring any more. */
	EXPECT(stat_of(b.s, "ring_start") + 1000000 > stat_of(b.s, "ring_tail") ||
	       stat_of(b.s, "ring_start") > 0);
	store_close(&b.s);
	b.s = rig_open(&r);
	for (size_t i = 0; i < b.n; i++)
		EXPECT(blob_is(b.s, b.id[i], i, b.size, i * 13, 5000) &&
		       blob_is(b.s, b.id[i], i, b.size, 0, b.size));
	store_close(&b.s);
	rig_fini(&r);
}

static struct store_stage *
stage_of(struct store *s, size_t size)
{
	struct store_stage *g;
	char *p = malloc(size);

	fill(p, size, 5);
	EXPECT(store_stage_new(s, &g) == ST_OK);
	for (size_t off = 0; off < size; off += 99999)
		EXPECT(store_stage_put(g, str_of(p + off, size_min(99999, size - off))) == ST_OK);
	free(p);
	return g;
}

static void
count_one(void *arg, const char *name)
{
	(void)name;
	++*(unsigned *)arg;
}

static unsigned
files_in(struct rig *r, const char *folder)
{
	unsigned n = 0;

	EXPECT(r->disk->ops->list(r->disk, folder, count_one, &n) == ST_OK);
	return n;
}

static void
stages_large_blobs(void)
{
	static const size_t sizes[] = {
	    0, 1, STAGE_FRAME_BYTES - 1, STAGE_FRAME_BYTES, STAGE_FRAME_BYTES + 1, 3000000};
	struct blobs b = {.n = 1, .by = -1, .step = 1};
	struct rig r;

	rig_init(&r, false);
	b.s = rig_open(&r);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct store_stage *forgotten = stage_of(b.s, 1000);

		b.stage = stage_of(b.s, sizes[i]);
		EXPECT(store_transact_wait(b.s, blobs_staged, &b) == ST_OK);
		store_stage_free(&b.stage);
		store_stage_free(&forgotten);
		EXPECT(files_in(&r, "big") == 1);
		for (int round = 0; round < 2; round++) {
			EXPECT(blob_is(b.s, b.id[0], 5, sizes[i], 0, SIZE_MAX));
			EXPECT(blob_is(b.s, b.id[0], 5, sizes[i], 1, 70000));
			EXPECT(blob_is(b.s, b.id[0], 5, sizes[i], STAGE_FRAME_BYTES - 1, 2));
			EXPECT(blob_is(b.s, b.id[0], 5, sizes[i], sizes[i], 1));
			settle_all(b.s);
			store_close(&b.s);
			b.s = rig_open(&r);
		}
		EXPECT(store_transact_wait(b.s, blobs_ref, &b) == ST_OK);
		settle_all(b.s);
		EXPECT(files_in(&r, "big") == 0);
	}
	store_close(&b.s);
	rig_fini(&r);
}

static void
damage(struct rig *r, const char *path, uint64_t off)
{
	struct disk_file *f;
	char c;
	size_t got;

	EXPECT(r->disk->ops->open(r->disk, path, DISK_WRITE, &f) == ST_OK);
	EXPECT(r->disk->ops->pread(f, &c, 1, off, &got) == ST_OK && got == 1);
	c ^= 0x40;
	EXPECT(r->disk->ops->pwrite(f, &c, 1, off) == ST_OK);
	r->disk->ops->close(f);
}

static void
tells_damage(void)
{
	struct blobs b = {.n = 2, .size = 5000, .step = 1};
	struct buf out;
	struct rig r;

	rig_init(&r, false);
	b.s = rig_open(&r);
	EXPECT(store_transact_wait(b.s, blobs_put, &b) == ST_OK);
	settle_all(b.s);
	damage(&r, "archive/0000000000000000", ARCHIVE_ENTRY_BYTES + 20);
	buf_init(&out, 65536);
	EXPECT(store_blob_read(store_snapshot(b.s), b.id[0], 0, 5000, &out) == ST_IO);
	EXPECT(store_blob_read(store_snapshot(b.s), b.id[0], 100, 50, &out) == ST_IO);
	EXPECT(out.n == 0);
	EXPECT(blob_is(b.s, b.id[1], 1, b.size, 0, b.size));
	store_close(&b.s);
	EXPECT(embedded_check(&r.o, &out) == ST_IO);
	EXPECT(str_find(buf_str(&out), STR("blob 1 cannot be read")) < out.n);
	buf_fini(&out);
	rig_fini(&r);
}

/* ---- opening ---- */

static enum status
put_one(struct txn *t, void *arg)
{
	return store_put(t, STR("k"), str_of_c(arg));
}

static void
is_locked_against_others(void)
{
	struct store *s, *other;
	struct rig r;

	rig_init(&r, true);
	s = rig_open(&r);
	EXPECT(embedded_open(&r.o, &other, &r.error) == ST_EXISTS && other == NULL);
	EXPECT(str_find(buf_str(&r.error), STR("another process")) < r.error.n);
	store_close(&s);
	s = rig_open(&r);
	EXPECT(s != NULL);
	store_close(&s);
	rig_fini(&r);
}

static void
refuses_another_format(void)
{
	struct index_meta m = {.format = INDEX_FORMAT + 1};
	uint8_t b[INDEX_META_BYTES];
	struct index *ix;
	struct store *s;
	struct rig r;

	rig_init_simulated(&r);
	index_meta_put(b, &m);
	EXPECT(index_sim_open(&r.sim, &ix) == ST_OK);
	EXPECT(ix->ops->begin(ix) == ST_OK);
	EXPECT(ix->ops->w_row_put(ix, INDEX_META, 0, str_of(b, sizeof(b))) == ST_OK);
	EXPECT(ix->ops->commit(ix) == ST_OK);
	ix->ops->close(ix);
	EXPECT(embedded_open(&r.o, &s, &r.error) == ST_UNSUPPORTED);
	EXPECT_STR(buf_str(&r.error),
	    STR("the store was written in format 2, this program knows format 1 only"));
	rig_fini(&r);
}

static void
reads_without_writing(void)
{
	struct store *s;
	struct str v;
	struct rig r;
	char value[] = "v";

	rig_init(&r, true);
	r.o.read_only = true;
	EXPECT(embedded_open(&r.o, &s, &r.error) == ST_NOTFOUND);
	r.o.read_only = false;
	s = rig_open(&r);
	EXPECT(store_transact_wait(s, put_one, value) == ST_OK);
	store_close(&s);
	r.o.read_only = true;
	s = rig_open(&r);
	EXPECT(store_get(store_snapshot(s), STR("k"), &v) == ST_OK);
	EXPECT_STR(v, STR("v"));
	EXPECT(store_transact(s, put_one, value, NULL, NULL) == ST_DENIED);
	store_close(&s);
	rig_fini(&r);
}

static void
refuses_corrupt_records(void)
{
	static const struct {
		const char *what;
		size_t at;
		char byte;
	} t[] = {{"magic", 0, 'X'}, {"version", 3, '2'}, {"blobs longer", 4, 9},
	    {"ops longer", 8, 99}, {"more ops", 12, 9}, {"fewer ops", 12, 1},
	    {"unknown op", 16, 77}, {"key of 0", 17, 0}, {"id given before", 24, 0}};
	struct rig r;
	struct store *s;
	struct buf ops;
	uint8_t head[RECORD_HEADER_BYTES];
	const char *what;

	rig_init_simulated(&r);
	s = rig_open(&r);
	for (size_t i = 0; i <= COUNT_OF(t); i++) {
		char record[256];

		buf_init(&ops, 1000);
		EXPECT(record_put(&ops, STR("k"), STR_NULL) == ST_OK &&
		       record_staged(&ops, i < 8 ? 7 : 7 + i, 5, 5, 5) == ST_OK);
		record_header(head, 0, ops.n, 2);
		memcpy(record, head, sizeof(head));
		memcpy(record + sizeof(head), ops.p, ops.n);
		if (i < COUNT_OF(t)) {
			record[t[i].at] = t[i].byte;
			if (t[i].at == 24)
				memset(record + 25, 0, 8);
		}
		EXPECT((txn_replay(embedded_of(s), 1000 + i, str_of(record, sizeof(head) + ops.n),
			    &what) == ST_OK) == (i == COUNT_OF(t)));
		EXPECT(txn_replay(embedded_of(s), 1000 + i,
			   str_of(record, sizeof(head) + ops.n - 1), &what) != ST_OK);
		buf_fini(&ops);
	}
	store_close(&s);
	rig_fini(&r);
}

/* ---- room ---- */

struct scarce {
	struct disk_ops ops;
	const struct disk_ops *real;
	bool is_on;
} scarce;

static enum status
scarce_free(struct disk *d, uint64_t *free_out, uint64_t *total_out)
{
	enum status st = scarce.real->free_bytes(d, free_out, total_out);

	if (scarce.is_on)
		*free_out = 1000;
	return st;
}

static enum status
del_one(struct txn *t, void *arg)
{
	(void)arg;
	return store_del(t, STR("k"));
}

static enum status
put_much(struct txn *t, void *arg)
{
	static char big[LEAN_TXN_BYTES_MAX];

	(void)arg;
	return store_put(t, STR("k"), str_of(big, sizeof(big)));
}

static void
lets_deletions_through_when_full(void)
{
	struct blobs b = {.n = 1, .size = 100, .step = 1, .by = -1};
	struct rig r;
	char value[] = "v";
	struct str v;

	rig_init(&r, false);
	clock_init_fake(&r.clock, 1);
	scarce = (struct scarce){*r.disk->ops, r.disk->ops, false};
	scarce.ops.free_bytes = scarce_free;
	r.disk->ops = &scarce.ops;
	r.o.free_floor_bytes = 2000;
	b.s = rig_open(&r);
	EXPECT(store_transact_wait(b.s, blobs_put, &b) == ST_OK &&
	       store_transact_wait(b.s, put_one, value) == ST_OK);
	EXPECT(!store_is_full(b.s));
	scarce.is_on = true;
	clock_advance(&r.clock, FREE_CHECK_INTERVAL_MS - 1);
	EXPECT(store_poll(b.s) == ST_OK && !store_is_full(b.s));
	clock_advance(&r.clock, 1);
	EXPECT(store_poll(b.s) == ST_OK && store_is_full(b.s) && store_is_busy(b.s));
	EXPECT(store_transact_wait(b.s, blobs_put, &b) == ST_LIMIT);
	EXPECT(store_transact_wait(b.s, put_much, &b) == ST_LIMIT);
	EXPECT(store_get(store_snapshot(b.s), STR("k"), &v) == ST_OK && v.n == 1);
	EXPECT(store_transact_wait(b.s, blobs_ref, &b) == ST_NOTFOUND);
	b.id[0].v = 1;
	EXPECT(store_transact_wait(b.s, blobs_ref, &b) == ST_OK);
	EXPECT(store_transact_wait(b.s, del_one, NULL) == ST_OK);
	scarce.is_on = false;
	clock_advance(&r.clock, FREE_CHECK_INTERVAL_MS);
	EXPECT(store_poll(b.s) == ST_OK && !store_is_full(b.s));
	EXPECT(store_transact_wait(b.s, blobs_put, &b) == ST_OK);
	store_close(&b.s);
	r.disk->ops = scarce.real;
	rig_fini(&r);
}

static void
ignore_done(void *arg, enum status st)
{
	(void)arg;
	EXPECT(st == ST_OK);
}

/* With nothing under way no other event comes that could end the refusal: only the new segment. */
static void
goes_on_when_the_ring_has_grown(void)
{
	struct blobs b = {.n = 1, .size = 100000, .step = 1};
	enum status st = ST_OK;
	struct rig r;

	rig_init_simulated(&r);
	b.s = rig_open(&r);
	for (int i = 0; i < 100 && st == ST_OK; i++) {
		st = store_transact(b.s, blobs_put, &b, ignore_done, NULL);
		store_flush(b.s);
		/* The record, not what the ring may do after it. */
		EXPECT(st == ST_LIMIT || embedded_step_commit(b.s));
		EXPECT(store_poll(b.s) == ST_OK);
	}
	EXPECT(st == ST_LIMIT && store_is_busy(b.s) && !store_is_full(b.s));
	while (embedded_step_commit(b.s))
		;
	EXPECT(store_poll(b.s) == ST_OK && !store_is_busy(b.s));
	EXPECT(store_transact(b.s, blobs_put, &b, ignore_done, NULL) == ST_OK);
	EXPECT(embedded_settle(b.s) == ST_OK);
	store_close(&b.s);
	rig_fini(&r);
}

static enum status
put_many(struct txn *t, void *arg)
{
	static char bytes[2000];
	uint64_t *n = arg;
	enum status st = ST_OK;

	for (int i = 0; i < 1000 && st == ST_OK; i++) {
		char key[8];

		be64_put(key, (*n)++ * 0x9e3779b97f4a7c15u);
		st = store_put(t, str_of(key, 8), str_of(bytes, sizeof(bytes)));
	}
	return st;
}

/* 60 MB through a map of 16 MB, and a ring of 128 MB and deltas of 8 MB. */
static void
grows_its_map(void)
{
	struct rig r;
	struct store *s;
	uint64_t n = 0;

	rig_init(&r, true);
	r.o.index_map_bytes = INDEX_MAP_BYTES_MIN;
	r.o.delta_bytes_max = 8u << 20;
	s = rig_open(&r);
	while (n < 30000 && s) {
		uint64_t before = n;
		enum status st = store_transact_wait(s, put_many, &n);

		EXPECT(st == ST_OK || st == ST_LIMIT);
		if (st == ST_LIMIT) {
			n = before;
			store_flush(s);
			EXPECT(store_poll(s) == ST_OK);
			(void)usleep(1000);
		} else if (st != ST_OK) {
			break;
		}
	}
	settle_all(s);
	EXPECT(stat_of(s, "index_map_bytes") >= 64u << 20);
	store_close(&s);
	s = rig_open(&r);
	for (uint64_t i = 0; i < 30000; i += 97) {
		struct str v;
		char key[8];

		be64_put(key, i * 0x9e3779b97f4a7c15u);
		EXPECT(store_get(store_snapshot(s), str_of(key, 8), &v) == ST_OK && v.n == 2000);
	}
	store_close(&s);
	rig_fini(&r);
}

/* ---- backup ---- */

struct progress {
	unsigned calls;
	bool is_done;
	enum status st;
};

static void
on_progress(void *arg, uint64_t bytes, uint64_t bytes_all, bool is_done, enum status st)
{
	struct progress *p = arg;

	EXPECT(!p->is_done && bytes <= bytes_all);
	p->calls++;
	p->is_done = is_done;
	p->st = st;
}

static enum status
count_up(struct txn *t, void *arg)
{
	uint64_t n;
	struct str body = STR("body of a message");
	struct blob_id id;
	enum status st = store_add(t, STR("a"), 1, &n);
	char key[9] = "b";

	(void)arg;
	be64_put(key + 1, n);
	if (st == ST_OK && (st = store_blob_put(t, &body, 1, &id)) == ST_OK)
		st = store_put(t, str_of(key, 9), str_of(&id.v, 8));
	return st == ST_OK ? store_add(t, STR("z"), 1, &n) : st;
}

static void
backs_up_while_it_works(void)
{
	struct blobs b = {.n = 40, .size = 50000, .step = 1};
	struct progress p = {0};
	struct rig r, to;
	struct str a = STR_NULL, z = STR_NULL;
	char folder[96];
	uint64_t before = 0;
	struct buf out;

	rig_init(&r, true);
	rig_init(&to, true);
	(void)snprintf(folder, sizeof(folder), "%s-backup", r.folder);
	buf_init(&out, 65536);
	b.s = rig_open(&r);
	EXPECT(store_transact_wait(b.s, blobs_put, &b) == ST_OK);
	b.stage = stage_of(b.s, 200000);
	{
		struct blobs big = b;

		EXPECT(store_transact_wait(b.s, blobs_staged, &big) == ST_OK);
		b.id[63] = big.id[0];
	}
	store_stage_free(&b.stage);
	for (; before < 200; before++)
		EXPECT(store_transact_wait(b.s, count_up, NULL) == ST_OK);
	EXPECT(embedded_backup(b.s, folder, on_progress, &p) == ST_OK);
	EXPECT(embedded_backup(b.s, folder, on_progress, &p) == ST_EXISTS);
	for (int i = 0; i < 20000 && !p.is_done; i++)
		EXPECT(store_transact_wait(b.s, count_up, NULL) == ST_OK);
	EXPECT(p.is_done && p.st == ST_OK);
	EXPECT(embedded_backup(b.s, folder, on_progress, &p) == ST_EXISTS);
	/* What happens afterwards is not in it. */
	b.by = -1;
	EXPECT(store_transact_wait(b.s, blobs_ref, &b) == ST_OK);
	settle_all(b.s);
	EXPECT(embedded_restore(folder, &r.o, &out) == ST_EXISTS);
	EXPECT(embedded_restore("/tmp/posthorn-no-such-folder", &to.o, &out) == ST_NOTFOUND);
	EXPECT(embedded_restore(to.folder, &to.o, &out) == ST_NOTFOUND);
	EXPECT(embedded_restore(folder, &to.o, &out) == ST_OK);
	store_close(&b.s);
	buf_reset(&out);
	if (embedded_check(&to.o, &out) != ST_OK)
		EXPECT_STR(buf_str(&out), STR(""));
	b.s = rig_open(&to);
	for (size_t i = 0; i < b.n; i++)
		EXPECT(blob_is(b.s, b.id[i], i, b.size, 0, b.size));
	EXPECT(blob_is(b.s, b.id[63], 5, 200000, 100000, 50000));
	EXPECT(store_get(store_snapshot(b.s), STR("a"), &a) == ST_OK &&
	       store_get(store_snapshot(b.s), STR("z"), &z) == ST_OK);
	EXPECT(str_eq(a, z) && le64_get(a.p) >= before);
	EXPECT(store_transact_wait(b.s, count_up, NULL) == ST_OK);
	store_close(&b.s);
	b.s = rig_open(&to);
	EXPECT(b.s != NULL);
	store_close(&b.s);
	buf_fini(&out);
	rig_fini(&to);
	rig_fini(&r);
	remove_folder(folder);
}

int
main(void)
{
	UNIT(conforms_stepped);
	UNIT(conforms_threaded);
	UNIT(shows_three_layers_as_one);
	UNIT(archives_and_collects);
	UNIT(compresses_what_it_archives);
	UNIT(stages_large_blobs);
	UNIT(tells_damage);
	UNIT(is_locked_against_others);
	UNIT(refuses_another_format);
	UNIT(reads_without_writing);
	UNIT(refuses_corrupt_records);
	UNIT(lets_deletions_through_when_full);
	UNIT(goes_on_when_the_ring_has_grown);
	UNIT(grows_its_map);
	UNIT(backs_up_while_it_works);
	return unit_end();
}
