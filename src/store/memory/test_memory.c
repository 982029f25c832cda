#include "base/num.h"
#include "base/unit.h"
#include "store/conformance.h"
#include "store/memory/memory.h"

/* ---- the suite that every backend runs ---- */

struct rig {
	struct memory_disk *disk;
	bool is_strict;
};

static enum status
rig_open(void *arg, struct store **out)
{
	struct rig *r = arg;

	r->disk = memory_disk_new();
	return memory_open(&(struct memory_options){r->disk, r->is_strict}, out);
}

static enum status
rig_reopen(void *arg, struct store **s)
{
	struct rig *r = arg;

	store_close(s);
	return memory_open(&(struct memory_options){r->disk, r->is_strict}, s);
}

static void
rig_close(void *arg, struct store **s)
{
	struct rig *r = arg;

	store_close(s);
	memory_disk_free(&r->disk);
}

static void
conforms(void)
{
	struct rig r = {0};
	struct conformance_backend b = {"memory", &r, rig_open, rig_reopen, rig_close, 2000};

	EXPECT(conformance_run(&b) == 0);
	r.is_strict = true;
	b.name = "memory (strict)";
	EXPECT(conformance_run(&b) == 0);
}

/* ---- faults ---- */

struct put {
	struct str key;
	int calls;
	enum status done_st;
	int dones;
};

static enum status
put_fn(struct txn *t, void *arg)
{
	struct put *p = arg;
	uint64_t n;
	enum status st;

	p->calls++;
	st = store_add(t, STR("runs"), 1, &n);
	EXPECT(n == 1 || p->key.p[0] != 'a');
	return st == ST_OK ? store_put(t, p->key, STR("v")) : st;
}

static void
put_done(void *arg, enum status st)
{
	struct put *p = arg;

	p->dones++;
	p->done_st = st;
}

static bool
has(struct store *s, struct str key)
{
	struct str got;

	return store_get(store_snapshot(s), key, &got) == ST_OK;
}

static void
conflict_runs_again(void)
{
	struct store *s;
	struct put a = {STR("a")}, b = {STR("b")};
	struct memory_faults f = {.conflict_in = 1};

	EXPECT(memory_open(&(struct memory_options){0}, &s) == ST_OK);
	memory_inject(s, &f);
	EXPECT(store_transact_wait(s, put_fn, &a) == ST_OK);
	EXPECT(a.calls == 2);
	EXPECT(store_transact_wait(s, put_fn, &b) == ST_OK);
	EXPECT(b.calls == 1);
	EXPECT(has(s, STR("a")) && has(s, STR("b")));
	store_close(&s);
}

static enum status
always_conflict_fn(struct txn *t, void *arg)
{
	int *calls = arg;

	++*calls;
	return store_put(t, STR("c"), STR("v")) == ST_OK ? ST_CONFLICT : ST_IO;
}

static void
conflicts_have_an_end(void)
{
	struct store *s;
	int calls = 0;

	EXPECT(memory_open(&(struct memory_options){0}, &s) == ST_OK);
	EXPECT(store_transact_wait(s, always_conflict_fn, &calls) == ST_CONFLICT);
	EXPECT(calls == MEMORY_RETRIES_MAX);
	EXPECT(!has(s, STR("c")));
	store_close(&s);
}

/* Whatever fails at the n-th commit: the earlier ones are kept, it and the later ones are not. */
static void
fails_at(struct memory_faults f, uint32_t n, bool has_done)
{
	static const struct str keys[] = {
	    STR_INIT("a"), STR_INIT("b"), STR_INIT("c"), STR_INIT("d")};
	struct memory_disk *d = memory_disk_new();
	struct memory_options o = {d, false};
	struct put puts[COUNT_OF(keys)] = {0};
	struct store *s;

	EXPECT(memory_open(&o, &s) == ST_OK);
	memory_inject(s, &f);
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		puts[i].key = keys[i];
		EXPECT(store_transact(s, put_fn, &puts[i], put_done, &puts[i]) == ST_OK);
	}
	EXPECT(store_poll(s) == ST_OK); /* nothing was flushed */
	EXPECT(puts[0].dones == 0);
	store_flush(s);
	EXPECT(store_poll(s) == ST_IO);
	EXPECT(store_poll(s) == ST_IO);
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		bool is_kept = i + 1 < n;

		EXPECT(puts[i].dones == (is_kept || has_done));
		EXPECT(puts[i].done_st == (is_kept || !has_done ? ST_OK : ST_IO));
	}
	EXPECT(store_transact(s, put_fn, &puts[0], NULL, NULL) == ST_IO);
	EXPECT(store_transact_wait(s, put_fn, &puts[0]) == ST_IO);
	store_close(&s);
	EXPECT(memory_open(&o, &s) == ST_OK);
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		EXPECT(has(s, keys[i]) == (i + 1 < n));
	store_close(&s);
	memory_disk_free(&d);
}

static void
io_errors_and_crashes(void)
{
	for (uint32_t n = 1; n <= 4; n++) {
		fails_at((struct memory_faults){.io_error_in = n}, n, true);
		fails_at((struct memory_faults){.crash_in = n}, n, false);
	}
}

static void
waiting_sees_the_failure(void)
{
	struct store *s;
	struct put p = {STR("p")};

	EXPECT(memory_open(&(struct memory_options){0}, &s) == ST_OK);
	memory_inject(s, &(struct memory_faults){.crash_in = 1});
	EXPECT(store_transact_wait(s, put_fn, &p) == ST_IO);
	store_close(&s);
}

static void
full_and_busy(void)
{
	struct store *s;
	struct put p = {STR("p")};

	EXPECT(memory_open(&(struct memory_options){0}, &s) == ST_OK);
	memory_inject(s, &(struct memory_faults){.is_full = true, .is_busy = true});
	EXPECT(store_is_full(s) && store_is_busy(s));
	EXPECT(store_transact_wait(s, put_fn, &p) == ST_LIMIT);
	EXPECT(p.calls == 0);
	memory_inject(s, &(struct memory_faults){0});
	EXPECT(!store_is_full(s) && !store_is_busy(s));
	EXPECT(store_transact_wait(s, put_fn, &p) == ST_OK);
	store_close(&s);
}

static enum status
blob_fn(struct txn *t, void *arg)
{
	struct str part = STR("0123456789");

	return store_blob_put(t, &part, 1, arg);
}

static void
short_reads(void)
{
	struct store *s;
	struct blob_id id;
	struct buf out;

	buf_init(&out, 100);
	EXPECT(memory_open(&(struct memory_options){0}, &s) == ST_OK);
	EXPECT(store_transact_wait(s, blob_fn, &id) == ST_OK);
	memory_inject(s, &(struct memory_faults){.short_read_in = 2});
	EXPECT(store_blob_read(store_snapshot(s), id, 0, 10, &out) == ST_OK && out.n == 10);
	buf_reset(&out);
	EXPECT(store_blob_read(store_snapshot(s), id, 0, 10, &out) == ST_IO && out.n == 5);
	buf_reset(&out);
	EXPECT(store_blob_read(store_snapshot(s), id, 0, 10, &out) == ST_OK && out.n == 10);
	buf_fini(&out);
	store_close(&s);
}

int
main(void)
{
	UNIT(conforms);
	UNIT(conflict_runs_again);
	UNIT(conflicts_have_an_end);
	UNIT(io_errors_and_crashes);
	UNIT(waiting_sees_the_failure);
	UNIT(full_and_busy);
	UNIT(short_reads);
	return unit_end();
}
