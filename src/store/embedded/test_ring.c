#include "store/embedded/ring.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "base/unit.h"
#include "store/embedded/ring_internal.h"
#include "sys/disk_sim.h"

enum { SEG = 64 << 10, GROUP = 16 << 10, RECORDS_MAX = 20000 };

/* What was appended, and how much of it the ring said is durable. */
struct model {
	struct {
		uint64_t pos;
		uint32_t id, bytes;
	} v[RECORDS_MAX];
	size_t n, durable_n;
	size_t first;	/* records before were released */
	uint32_t id_next;
};

struct env {
	struct disk *disk;
	struct ring_options o;
	struct ring *ring;
	struct buf say;
	struct model m;
	size_t replayed;
	bool is_bad;
};

static struct env *
env_new(uint64_t segment_bytes, size_t group_bytes, uint32_t first, uint32_t max)
{
	struct env *e = calloc(1, sizeof(*e));

	CHECK(e != NULL);
	e->disk = disk_sim_new();
	e->o = (struct ring_options){.disk = e->disk,
	    .folder = "ring",
	    .segment_bytes = segment_bytes,
	    .segments_first = first,
	    .segments_max = max,
	    .group_bytes_max = group_bytes,
	    .ring_id = 7};
	buf_init(&e->say, 1 << 16);
	e->m.id_next = 1;
	return e;
}

static enum status
env_open(struct env *e)
{
	buf_reset(&e->say);
	return ring_open(&e->o, &e->ring, &e->say);
}

static void
env_free(struct env **e)
{
	ring_close(&(*e)->ring);
	disk_free(&(*e)->disk);
	buf_fini(&(*e)->say);
	free(*e);
	*e = NULL;
}

/* Bytes that only record id has. */
static void
record_fill(uint32_t id, uint32_t bytes, char *out)
{
	uint32_t x = id * 2654435761u + 1;

	for (uint32_t i = 0; i < bytes; i++) {
		x = x * 1664525u + 1013904223u;
		out[i] = (char)(x >> 24);
	}
}

static bool
record_is(uint32_t id, uint32_t bytes, struct str got)
{
	static char want[SEG];

	record_fill(id, bytes, want);
	return str_eq(got, str_of(want, bytes));
}

static enum status
put(struct env *e, uint32_t bytes)
{
	static char p[SEG];
	struct model *m = &e->m;
	size_t half = bytes / 2;
	uint64_t pos;
	enum status st;

	CHECK(m->n < RECORDS_MAX && bytes <= sizeof(p));
	record_fill(m->id_next, bytes, p);
	st = ring_append(
	    e->ring, (struct str[]){str_of(p, half), STR_NULL, str_of(p + half, bytes - half)}, 3, &pos);
	if (st != ST_OK)
		return st;
	if (m->n > 0)
		EXPECT(pos > m->v[m->n - 1].pos);
	EXPECT(pos > 0);
	m->v[m->n].pos = pos;
	m->v[m->n].id = m->id_next++;
	m->v[m->n].bytes = bytes;
	m->n++;
	return ST_OK;
}

static enum status
take_notice(struct env *e)
{
	uint64_t durable;
	enum status st = ring_poll(e->ring, &durable);

	while (e->m.durable_n < e->m.n && e->m.v[e->m.durable_n].pos < durable)
		e->m.durable_n++;
	return st;
}

static enum status
commit(struct env *e)
{
	ring_flush(e->ring);
	while (ring_commit_step(e->ring))
		;
	return take_notice(e);
}

/* Appends, making room as needed by releasing all but the last keep records. */
static void
put_durable(struct env *e, uint32_t bytes, size_t keep)
{
	enum status st = put(e, bytes);

	for (int i = 0; i < 4 && st == ST_LIMIT; i++) {
		EXPECT(commit(e) == ST_OK);
		if (e->m.durable_n > keep && e->m.durable_n - keep > e->m.first) {
			e->m.first = e->m.durable_n - keep;
			ring_release(e->ring, e->m.v[e->m.first].pos);
			EXPECT(commit(e) == ST_OK);
		}
		st = put(e, bytes);
	}
	EXPECT(st == ST_OK);
	EXPECT(commit(e) == ST_OK);
	EXPECT(e->m.durable_n == e->m.n);
}

static enum status
replay_check(void *arg, uint64_t pos, struct str record)
{
	struct env *e = arg;
	size_t i = e->replayed;

	if (i >= e->m.n || pos != e->m.v[i].pos || !record_is(e->m.v[i].id, e->m.v[i].bytes, record)) {
		e->is_bad = true;
		return ST_EOF;
	}
	e->replayed++;
	return ST_OK;
}

/* After a reopening: every durable record is there, in order, unchanged, once; of the others the first few. */
static void
replay(struct env *e)
{
	struct ring_stats s;

	e->replayed = e->m.first;
	ring_stats(e->ring, &s);
	/* An index remembers durable positions only. */
	enum status st = ring_replay(
	    e->ring, e->m.first < e->m.durable_n ? e->m.v[e->m.first].pos : s.start, replay_check, e);
	EXPECT(st == ST_OK);
	EXPECT(!e->is_bad);
	EXPECT(e->replayed >= e->m.durable_n);
	/* What is not there is lost for good. */
	e->m.n = e->m.durable_n = e->replayed;
}

static void
read_check(struct env *e, size_t i)
{
	struct buf b;
	uint32_t bytes = e->m.v[i].bytes;
	uint64_t size;

	buf_init(&b, SEG);
	EXPECT(ring_read(e->ring, e->m.v[i].pos, 0, bytes, &b) == ST_OK);
	EXPECT(record_is(e->m.v[i].id, bytes, buf_str(&b)));
	buf_reset(&b);
	EXPECT(ring_record_bytes(e->ring, e->m.v[i].pos, &size) == ST_OK && size == bytes);
	EXPECT(ring_read(e->ring, e->m.v[i].pos, 0, (size_t)bytes + 1, &b) == ST_EOF);
	EXPECT(ring_read(e->ring, e->m.v[i].pos, bytes, 0, &b) == ST_OK);
	EXPECT(ring_read(e->ring, e->m.v[i].pos, (uint64_t)bytes + 1, 0, &b) == ST_EOF);
	buf_fini(&b);
}

static void
check_is(struct env *e, enum status want)
{
	buf_reset(&e->say);
	EXPECT(ring_check(&e->o, &e->say) == want);
}

/* ---- the ordinary life ---- */

static void
appends_reads_and_replays(void)
{
	struct env *e = env_new(SEG, GROUP, 2, 4);
	struct buf b;
	uint64_t syncs;

	buf_init(&b, 100);
	EXPECT(env_open(e) == ST_OK);
	replay(e);
	EXPECT(put(e, 0) == ST_OK && put(e, 1) == ST_OK && put(e, 5000) == ST_OK);
	read_check(e, 2);
	EXPECT(!ring_commit_step(e->ring));
	EXPECT(take_notice(e) == ST_OK && e->m.durable_n == 0);
	syncs = disk_sim_count(e->disk, DISK_SIM_SYNC);
	EXPECT(commit(e) == ST_OK && e->m.durable_n == 3);
	EXPECT(disk_sim_count(e->disk, DISK_SIM_SYNC) == syncs + 1);
	for (size_t i = 0; i < 3; i++)
		read_check(e, i);
	EXPECT(ring_read(e->ring, 1 << 20, 0, 1, &b) == ST_NOTFOUND);
	check_is(e, ST_OK);
	ring_close(&e->ring);
	check_is(e, ST_OK);
	EXPECT(str_find(buf_str(&e->say), STR(" 3 records")) < e->say.n);
	EXPECT(env_open(e) == ST_OK);
	replay(e);
	EXPECT(e->m.n == 3);
	for (size_t i = 0; i < 3; i++)
		read_check(e, i);
	buf_fini(&b);
	env_free(&e);
}

static void
one_write_and_one_sync_per_group(void)
{
	struct env *e = env_new(SEG, GROUP, 4, 4);
	uint64_t syncs, writes;

	EXPECT(env_open(e) == ST_OK);
	syncs = disk_sim_count(e->disk, DISK_SIM_SYNC);
	writes = disk_sim_count(e->disk, DISK_SIM_WRITE);
	for (int i = 0; i < 20; i++)
		put_durable(e, 5000, 100);
	EXPECT(disk_sim_count(e->disk, DISK_SIM_SYNC) == syncs + 20);
	EXPECT(disk_sim_count(e->disk, DISK_SIM_WRITE) == writes + 20);
	for (int i = 0; i < 3; i++)
		EXPECT(put(e, 4000) == ST_OK);
	EXPECT(commit(e) == ST_OK);
	EXPECT(disk_sim_count(e->disk, DISK_SIM_SYNC) == syncs + 21);
	env_free(&e);
}

static void
record_at_its_maximum(void)
{
	struct env *e = env_new(SEG, GROUP, 2, 2);

	EXPECT(env_open(e) == ST_OK);
	EXPECT(put(e, GROUP - RING_OVERHEAD + 1) == ST_UNSUPPORTED);
	EXPECT(put(e, GROUP - RING_OVERHEAD) == ST_OK);
	EXPECT(put(e, 100) == ST_OK);
	EXPECT(commit(e) == ST_OK);
	read_check(e, 0);
	ring_close(&e->ring);
	EXPECT(env_open(e) == ST_OK);
	replay(e);
	EXPECT(e->m.n == 2);
	read_check(e, 0);
	env_free(&e);
}

static void
full_buffers_say_limit(void)
{
	struct env *e = env_new(SEG, GROUP, 4, 4);

	EXPECT(env_open(e) == ST_OK);
	for (int i = 0; i < 3; i++)
		EXPECT(put(e, GROUP - RING_OVERHEAD) == ST_OK);
	EXPECT(put(e, 0) == ST_LIMIT);
	/* What was full is on its way without a flush. */
	EXPECT(ring_commit_step(e->ring));
	EXPECT(put(e, GROUP - RING_OVERHEAD) == ST_OK);
	EXPECT(put(e, 0) == ST_LIMIT);
	EXPECT(commit(e) == ST_OK);
	EXPECT(e->m.durable_n == 4);
	env_free(&e);
}

static void
wraps_around_and_recycles(void)
{
	struct env *e = env_new(SEG, GROUP, 3, 3);
	struct ring_stats s;

	EXPECT(env_open(e) == ST_OK);
	for (int round = 0; round < 4; round++) {
		for (uint32_t i = 0; i < 300; i++)
			put_durable(e, i * 13 % 9000, 5);
		check_is(e, ST_OK);
		ring_close(&e->ring);
		EXPECT(env_open(e) == ST_OK);
		replay(e);
	}
	EXPECT(e->m.n == 1200);
	ring_stats(e->ring, &s);
	EXPECT(s.segments == 3 && s.tail / SEG > 20);
	env_free(&e);
}

static void
grows_and_is_full(void)
{
	struct env *e = env_new(SEG, GROUP, 2, 4);
	struct ring_stats s;
	enum status st;

	EXPECT(env_open(e) == ST_OK);
	while ((st = put(e, 8000)) == ST_OK || !(ring_stats(e->ring, &s), s.is_full && s.segments == 4))
		EXPECT(commit(e) == ST_OK);
	EXPECT(st == ST_LIMIT);
	EXPECT(commit(e) == ST_OK && put(e, 8000) == ST_LIMIT);
	/* Every segment holds as many groups as fit it. */
	EXPECT(e->m.n == 4 * (SEG / 8192) && e->m.durable_n == e->m.n);
	/* A released segment is free only once that is on disk: no record has told it, so the head does. */
	e->m.first = 9;
	ring_release(e->ring, e->m.v[9].pos);
	EXPECT(put(e, 8000) == ST_LIMIT);
	EXPECT(ring_commit_step(e->ring) && !ring_commit_step(e->ring));
	EXPECT(put(e, 8000) == ST_OK);
	EXPECT(commit(e) == ST_OK);
	ring_stats(e->ring, &s);
	EXPECT(!s.is_full && s.segments == 4);
	disk_sim_crash(e->disk, DISK_SIM_DROP, NULL);
	ring_close(&e->ring);
	EXPECT(env_open(e) == ST_OK);
	replay(e);
	EXPECT(e->m.n == 33);
	env_free(&e);
}

/* Reopened again and again while full: no opening may use up what the next needs. */
static void
full_ring_survives_reopening(void)
{
	struct env *e = env_new(SEG, GROUP, 2, 2);

	EXPECT(env_open(e) == ST_OK);
	while (put(e, 8000) == ST_OK)
		EXPECT(commit(e) == ST_OK);
	for (int i = 0; i < 20; i++) {
		if (i % 2)
			disk_sim_crash(e->disk, DISK_SIM_DROP, NULL);
		ring_close(&e->ring);
		EXPECT(env_open(e) == ST_OK);
		replay(e);
		EXPECT(put(e, 8000) == ST_LIMIT);
	}
	/* All is released; the segment of the last group still stays. */
	e->m.first = e->m.n;
	ring_release(e->ring, e->m.v[e->m.n - 1].pos + 8);
	EXPECT(commit(e) == ST_OK);
	EXPECT(put(e, 8000) == ST_OK);
	EXPECT(commit(e) == ST_OK);
	env_free(&e);
}

static void
full_disk_is_a_full_ring(void)
{
	struct env *e = env_new(SEG, GROUP, 2, 8);
	struct ring_stats s;

	EXPECT(env_open(e) == ST_OK);
	disk_sim_set_bytes_max(e->disk, 3 * SEG + SEG / 2);
	for (int i = 0; i < 100; i++) {
		enum status st = put(e, 8000);
		EXPECT(st == ST_OK || st == ST_LIMIT);
		EXPECT(commit(e) == ST_OK);
	}
	ring_stats(e->ring, &s);
	EXPECT(s.segments == 3 && s.is_full);
	EXPECT(e->m.n == 3 * (SEG / 8192));
	/* Room again: it grows after the next release. */
	disk_sim_set_bytes_max(e->disk, 100 * SEG);
	ring_release(e->ring, e->m.v[1].pos);
	EXPECT(put(e, 8000) == ST_LIMIT);
	EXPECT(commit(e) == ST_OK);
	EXPECT(put(e, 8000) == ST_OK);
	env_free(&e);
	/* No room for the first segments. */
	e = env_new(SEG, GROUP, 2, 8);
	disk_sim_set_bytes_max(e->disk, SEG);
	EXPECT(env_open(e) == ST_LIMIT);
	disk_sim_set_bytes_max(e->disk, 100 * SEG);
	EXPECT(env_open(e) == ST_OK);
	env_free(&e);
}

static void
replay_keeps_to_its_positions(void)
{
	struct env *e = env_new(SEG, GROUP, 3, 3);

	EXPECT(env_open(e) == ST_OK);
	for (int i = 0; i < 60; i++)
		put_durable(e, 5000, 3);
	ring_close(&e->ring);
	EXPECT(env_open(e) == ST_OK);
	EXPECT(ring_replay(e->ring, e->m.v[0].pos, replay_check, e) == ST_NOTFOUND);
	EXPECT(ring_replay(e->ring, e->m.v[59].pos + SEG, replay_check, e) == ST_IO);
	e->m.first = 58;
	replay(e);
	EXPECT(e->replayed == 60);
	/* An operator may let it go on behind what the index knows; from then on it opens by itself. */
	ring_close(&e->ring);
	e->o.allow_corrupt = true;
	EXPECT(env_open(e) == ST_OK);
	e->replayed = 60;
	EXPECT(ring_replay(e->ring, e->m.v[59].pos + SEG, replay_check, e) == ST_OK);
	put_durable(e, 5000, 3);
	EXPECT(e->m.v[60].pos > e->m.v[59].pos + SEG);
	ring_close(&e->ring);
	e->o.allow_corrupt = false;
	EXPECT(env_open(e) == ST_OK);
	replay(e);
	EXPECT(e->replayed == 61);
	env_free(&e);
}

static void
refuses_another_segment_size(void)
{
	struct env *e = env_new(SEG, GROUP, 2, 2);

	EXPECT(env_open(e) == ST_OK);
	ring_close(&e->ring);
	e->o.segment_bytes = 2 * SEG;
	EXPECT(env_open(e) == ST_UNSUPPORTED);
	EXPECT(str_find(buf_str(&e->say), STR("65536")) < e->say.n);
	e->o.segment_bytes = SEG;
	EXPECT(env_open(e) == ST_OK);
	env_free(&e);
}

/* ---- failing disks ---- */

static void
io_error_is_for_ever(void)
{
	static const enum disk_sim_op ops[] = {DISK_SIM_WRITE, DISK_SIM_SYNC};

	for (size_t i = 0; i < COUNT_OF(ops); i++) {
		struct env *e = env_new(SEG, GROUP, 2, 2);
		EXPECT(env_open(e) == ST_OK);
		put_durable(e, 5000, 3);
		EXPECT(put(e, 5000) == ST_OK);
		disk_sim_fail(e->disk, ops[i], 1, ST_IO, 4096);
		EXPECT(commit(e) == ST_IO);
		EXPECT(e->m.durable_n == 1);
		EXPECT(commit(e) == ST_IO && put(e, 1) == ST_IO);
		EXPECT(take_notice(e) == ST_IO);
		ring_close(&e->ring);
		EXPECT(env_open(e) == ST_OK);
		replay(e);
		EXPECT(e->m.n >= 1);
		env_free(&e);
	}
}

static void
file_flip(struct disk *d, const char *path, uint64_t off, char mask)
{
	struct disk_file *f;
	size_t got;
	char c;

	CHECK(disk_open(d, path, DISK_WRITE, &f) == ST_OK);
	CHECK(disk_pread(f, &c, 1, off, &got) == ST_OK && got == 1);
	c = (char)(c ^ mask);
	CHECK(disk_pwrite(f, &c, 1, off) == ST_OK && disk_sync(f) == ST_OK);
	disk_close(&f);
}

/* Which records are whole is told by the ids in order; a gap may leave out some in the middle. */
static enum status
replay_skipping(void *arg, uint64_t pos, struct str record)
{
	struct env *e = arg;

	while (e->replayed < e->m.n && e->m.v[e->replayed].pos < pos)
		e->replayed++;
	return replay_check(e, pos, record);
}

/*
 * A flipped bit anywhere in what is durable and needed is found at opening; with allow_corrupt the rest is
 * served, and the next opening needs no permission. After a clean end also the last group is covered.
 */
static void
finds_every_flipped_bit(void)
{
	struct env *e = env_new(16 << 10, 8 << 10, 4, 4);
	uint64_t end;
	struct ring_stats s;

	EXPECT(env_open(e) == ST_OK);
	for (uint32_t i = 0; i < 9; i++)
		put_durable(e, 1000 + 600 * i, 100);
	ring_stats(e->ring, &s);
	end = s.durable;
	ring_close(&e->ring);
	for (uint64_t at = 0; at < end; at += 61) {
		char path[32];
		snprintf(path, sizeof(path), "ring/%06u.seg", (unsigned)(at / (16 << 10)));
		/* What no group reached is not covered, and not needed. */
		uint64_t first = 0;
		for (size_t i = 0; i < e->m.n; i++) {
			uint64_t from = e->m.v[i].pos - RING_GROUP_HEADER;
			first += at >= from && at < from + ring_align(RING_OVERHEAD + e->m.v[i].bytes, DISK_ALIGN);
		}
		if (first == 0)
			continue;
		file_flip(e->disk, path, at % (16 << 10), (char)(1 << at % 8));
		EXPECT(env_open(e) == ST_IO);
		EXPECT(str_find(buf_str(&e->say), STR("position")) < e->say.n);
		check_is(e, ST_IO);
		file_flip(e->disk, path, at % (16 << 10), (char)(1 << at % 8));
	}
	EXPECT(env_open(e) == ST_OK);
	replay(e);
	EXPECT(e->m.n == 9);
	env_free(&e);
}

static void
allowed_damage_is_skipped_and_remembered(void)
{
	for (size_t hit = 0; hit < 9; hit++) {
		struct env *e = env_new(16 << 10, 8 << 10, 4, 4);
		struct ring_stats s;
		uint64_t at;
		char path[32];

		EXPECT(env_open(e) == ST_OK);
		for (uint32_t i = 0; i < 9; i++)
			put_durable(e, 1000 + 600 * i, 100);
		ring_close(&e->ring);
		at = e->m.v[hit].pos + 500;
		snprintf(path, sizeof(path), "ring/%06u.seg", (unsigned)(at / (16 << 10)));
		file_flip(e->disk, path, at % (16 << 10), 1);
		EXPECT(env_open(e) == ST_IO);
		e->o.allow_corrupt = true;
		EXPECT(env_open(e) == ST_OK);
		e->o.allow_corrupt = false;
		e->replayed = 0;
		EXPECT(ring_replay(e->ring, 0, replay_skipping, e) == ST_OK && !e->is_bad);
		EXPECT(e->replayed == (hit == 8 ? 8 : 9));
		ring_stats(e->ring, &s);
		EXPECT(s.gap_bytes > 0);
		put_durable(e, 3000, 100);
		EXPECT(hit != 8 || e->m.v[9].pos > e->m.v[8].pos);
		ring_close(&e->ring);
		EXPECT(env_open(e) == ST_OK);
		e->replayed = 0;
		EXPECT(ring_replay(e->ring, 0, replay_skipping, e) == ST_OK && !e->is_bad);
		EXPECT(e->replayed == 10);
		env_free(&e);
	}
}

static void
missing_files_are_damage(void)
{
	static const char *const names[] = {"ring/000000.seg", "ring/000001.seg", "ring/head"};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		struct env *e = env_new(16 << 10, 8 << 10, 6, 6);
		EXPECT(env_open(e) == ST_OK);
		for (int k = 0; k < 9; k++)
			put_durable(e, 5000, 100);
		ring_close(&e->ring);
		EXPECT(disk_unlink(e->disk, names[i]) == ST_OK);
		EXPECT(env_open(e) == ST_IO);
		check_is(e, ST_IO);
		e->o.allow_corrupt = true;
		EXPECT(env_open(e) == ST_OK);
		e->replayed = 0;
		EXPECT(ring_replay(e->ring, 0, replay_skipping, e) == ST_OK && !e->is_bad && e->replayed == 9);
		put_durable(e, 5000, 100);
		ring_close(&e->ring);
		e->o.allow_corrupt = false;
		EXPECT(env_open(e) == ST_OK);
		env_free(&e);
	}
}

static void
file_cut(struct disk *d, const char *path, uint64_t from, uint64_t to)
{
	static char zeros[SEG];
	struct disk_file *f;

	CHECK(disk_open(d, path, DISK_WRITE, &f) == ST_OK);
	CHECK(disk_pwrite(f, zeros, (size_t)(to - from), from) == ST_OK && disk_sync(f) == ST_OK);
	disk_close(&f);
}

/* The last group torn at every byte: it goes, nothing else does, and what comes next is not confused by its rest. */
static void
torn_tail_is_cut(void)
{
	for (uint64_t cut = 0; cut < 5000 + RING_OVERHEAD; cut += cut < 300 ? 1 : 7) {
		struct env *e = env_new(16 << 10, 8 << 10, 2, 2);
		uint64_t base;

		EXPECT(env_open(e) == ST_OK);
		put_durable(e, 1000, 100);
		put_durable(e, 5000, 100);
		base = e->m.v[1].pos - RING_GROUP_HEADER;
		disk_sim_crash(e->disk, DISK_SIM_KEEP, NULL);
		ring_close(&e->ring);
		file_cut(e->disk, "ring/000000.seg", base + cut, base + 5000 + RING_OVERHEAD);
		e->m.durable_n = 1;
		EXPECT(env_open(e) == ST_OK);
		replay(e);
		/* It did not end in zeros just there. */
		EXPECT(e->m.n == 1 || cut > 5000);
		put_durable(e, 100, 100);
		disk_sim_crash(e->disk, DISK_SIM_DROP, NULL);
		ring_close(&e->ring);
		EXPECT(env_open(e) == ST_OK);
		replay(e);
		EXPECT(e->m.n == 2 || cut > 5000);
		env_free(&e);
	}
}

/*
 * Somebody sends a mail whose body is a group for just the place where it will stand. Cut, and with a short group
 * before it, the forged one is where the next group is looked for.
 */
static void
forged_group_is_not_taken(void)
{
	struct env *e = env_new(16 << 10, 8 << 10, 2, 2);
	char *body = aligned_alloc(DISK_ALIGN, DISK_ALIGN), pad[8192] = {0};
	struct ring_group g = {.ring_id = 8, .epoch = 2, .sequence = 2, .position = 8192, .durable = 8192};
	uint64_t pos;

	CHECK(body != NULL);
	EXPECT(env_open(e) == ST_OK);
	put_durable(e, 10, 100);
	g.bytes = RING_GROUP_HEADER + 16;
	g.records = 1;
	memset(body, 0, DISK_ALIGN);
	le32_put(body + RING_GROUP_HEADER, 5);
	ring_group_seal(&g, body);
	/* Its group begins at 4096, the forged one inside it at 8192. */
	EXPECT(ring_append(e->ring,
		   (struct str[]){str_of(pad, DISK_ALIGN - RING_OVERHEAD), str_of(body, 2000)}, 2, &pos) == ST_OK);
	EXPECT(pos == DISK_ALIGN + RING_GROUP_HEADER);
	EXPECT(commit(e) == ST_OK);
	disk_sim_crash(e->disk, DISK_SIM_KEEP, NULL);
	ring_close(&e->ring);
	file_flip(e->disk, "ring/000000.seg", 5000, 1);
	EXPECT(env_open(e) == ST_OK);
	replay(e);
	EXPECT(e->m.n == 1);
	put_durable(e, 10, 100);
	disk_sim_crash(e->disk, DISK_SIM_KEEP, NULL);
	ring_close(&e->ring);
	EXPECT(env_open(e) == ST_OK);
	replay(e);
	EXPECT(e->m.n == 2);
	free(body);
	env_free(&e);
}

/* ---- crashes ---- */

struct crasher {
	struct disk *disk;
	struct prng *r;
	uint64_t in;	/* syncs from now, 0: never */
	bool has_crashed;
};

static const enum disk_sim_crash_mode crash_modes[] = {
    DISK_SIM_TEAR, DISK_SIM_TEAR, DISK_SIM_DROP, DISK_SIM_KEEP};

static void
crash_at_sync(void *arg, uint64_t nth)
{
	struct crasher *c = arg;

	(void)nth;
	if (c->in == 0 || --c->in > 0)
		return;
	disk_sim_crash(c->disk, crash_modes[prng_below(c->r, COUNT_OF(crash_modes))], c->r);
	c->has_crashed = true;
}

static void
crash_now(struct env *e, struct crasher *c)
{
	if (!c->has_crashed)
		disk_sim_crash(e->disk, crash_modes[prng_below(c->r, COUNT_OF(crash_modes))], c->r);
	c->in = 0;
	ring_close(&e->ring);
	c->has_crashed = false;
	/* Half of the time also opening is cut short, once or more. */
	while (prng_below(c->r, 2)) {
		c->in = 1 + prng_below(c->r, 6);
		enum status st = env_open(e);
		c->in = 0;
		EXPECT((st == ST_OK) == !c->has_crashed);
		if (st == ST_OK) {
			replay(e);
			return;
		}
		c->has_crashed = false;
	}
	EXPECT(env_open(e) == ST_OK);
	replay(e);
}

static void
crash_put(struct env *e, struct prng *r)
{
	uint32_t max = (uint32_t)(e->o.group_bytes_max - RING_OVERHEAD);
	uint32_t bytes = (uint32_t)(prng_below(r, 4) ? prng_below(r, 1500) : prng_below(r, max + 1));
	enum status st = put(e, bytes);

	EXPECT(st == ST_OK || st == ST_LIMIT || st == ST_IO);
}

static void
crash_release(struct env *e, struct prng *r)
{
	if (e->m.durable_n <= e->m.first)
		return;
	e->m.first += prng_below(r, e->m.durable_n - e->m.first);
	ring_release(e->ring, e->m.v[e->m.first].pos);
}

static void
crash_turn(struct env *e, struct crasher *c)
{
	struct prng *r = c->r;

	switch (prng_below(r, 12)) {
	case 0:
	case 1:
	case 2:
	case 3:
		crash_put(e, r);
		break;
	case 4:
	case 5:
		ring_flush(e->ring);
		break;
	case 6:
	case 7:
	case 8:
		ring_commit_step(e->ring);
		break;
	case 9:
		(void)!take_notice(e);
		break;
	case 10:
		if (e->m.n > e->m.first && !c->has_crashed)
			read_check(e, e->m.first + prng_below(r, e->m.n - e->m.first));
		break;
	default:
		crash_release(e, r);
		break;
	}
}

static void
crash_run(uint64_t seed)
{
	static const uint64_t sizes[] = {16 << 10, 32 << 10, 64 << 10};
	struct prng r;
	struct env *e;
	struct crasher c = {.r = &r};

	prng_init(&r, seed);
	uint64_t size = sizes[prng_below(&r, COUNT_OF(sizes))];
	uint32_t first = 2 + (uint32_t)prng_below(&r, 2);
	e = env_new(size, prng_below(&r, 2) ? 8 << 10 : size / 2, first, first + (uint32_t)prng_below(&r, 3));
	c.disk = e->disk;
	disk_sim_on_sync(e->disk, crash_at_sync, &c);
	/* The very first opening may be cut short too. */
	c.in = prng_below(&r, 12);
	while (env_open(e) != ST_OK) {
		EXPECT(c.has_crashed);
		c.has_crashed = false;
		c.in = prng_below(&r, 12);
	}
	c.in = 0;
	for (int i = 0; i < 300; i++) {
		if (prng_below(&r, 40) == 0)
			crash_now(e, &c);
		else if (prng_below(&r, 60) == 0 && c.in == 0)
			c.in = 1 + prng_below(&r, 5);
		crash_turn(e, &c);
		if (c.has_crashed)
			crash_now(e, &c);
	}
	c.in = 0;
	ring_close(&e->ring);
	EXPECT(env_open(e) == ST_OK);
	e->m.durable_n = e->m.n;
	replay(e);
	env_free(&e);
}

static void
crashes_lose_nothing_durable(void)
{
	for (uint64_t seed = 1; seed <= 1000; seed++) {
		int bad = unit_bad;
		crash_run(seed);
		if (unit_bad != bad) {
			fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
			return;
		}
	}
}

/* ---- with the commit thread, on the real disk ---- */

static void
wait_for(struct env *e)
{
	struct pollfd p = {.fd = ring_fd(e->ring), .events = POLLIN};

	EXPECT(poll(&p, 1, 10000) == 1);
	EXPECT(take_notice(e) == ST_OK);
}

static void
threaded_put(struct env *e, uint32_t bytes)
{
	while (put(e, bytes) == ST_LIMIT) {
		wait_for(e);
		if (e->m.durable_n > e->m.first + 20) {
			e->m.first = e->m.durable_n - 20;
			ring_release(e->ring, e->m.v[e->m.first].pos);
		}
	}
}

static void
threads_on_the_real_disk(void)
{
	char root[] = "/tmp/posthorn-test-ring-XXXXXX";
	static const char *const files[] = {
	    "ring/head", "ring/000000.seg", "ring/000001.seg", "ring/000002.seg", "ring/000003.seg"};
	struct env *e = env_new(SEG, GROUP, 2, 4);
	struct disk *sim = e->disk;
	char path[64];

	EXPECT(mkdtemp(root) != NULL);
	EXPECT(disk_posix_new(root, &e->disk) == ST_OK);
	e->o.disk = e->disk;
	e->o.threaded = true;
	for (int round = 0; round < 3; round++) {
		EXPECT(env_open(e) == ST_OK);
		replay(e);
		for (uint32_t i = 0; i < 500; i++) {
			threaded_put(e, i * 37 % 3000);
			if (i % 7 == 0)
				ring_flush(e->ring);
			if (i % 50 == 0)
				read_check(e, e->m.first + i % (e->m.n - e->m.first));
		}
		ring_flush(e->ring);
		while (e->m.durable_n < e->m.n)
			wait_for(e);
		for (size_t i = e->m.first; i < e->m.n; i++)
			read_check(e, i);
		ring_close(&e->ring);
		check_is(e, ST_OK);
	}
	EXPECT(e->m.n == 1500);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		(void)!disk_unlink(e->disk, files[i]);
	snprintf(path, sizeof(path), "%s/ring", root);
	EXPECT(rmdir(path) == 0 && rmdir(root) == 0);
	disk_free(&sim);
	env_free(&e);
}

/* An error that the commit thread meets reaches the loop. */
static void
threaded_error_wakes_the_loop(void)
{
	struct env *e = env_new(SEG, GROUP, 2, 2);
	struct pollfd p = {.events = POLLIN};

	e->o.threaded = true;
	EXPECT(env_open(e) == ST_OK);
	disk_sim_fail(e->disk, DISK_SIM_WRITE, 1, ST_IO, 0);
	EXPECT(put(e, 100) == ST_OK);
	ring_flush(e->ring);
	p.fd = ring_fd(e->ring);
	EXPECT(poll(&p, 1, 10000) == 1);
	EXPECT(take_notice(e) == ST_IO && take_notice(e) == ST_IO);
	env_free(&e);
}

int
main(void)
{
	UNIT(appends_reads_and_replays);
	UNIT(one_write_and_one_sync_per_group);
	UNIT(record_at_its_maximum);
	UNIT(full_buffers_say_limit);
	UNIT(wraps_around_and_recycles);
	UNIT(grows_and_is_full);
	UNIT(full_ring_survives_reopening);
	UNIT(full_disk_is_a_full_ring);
	UNIT(replay_keeps_to_its_positions);
	UNIT(refuses_another_segment_size);
	UNIT(io_error_is_for_ever);
	UNIT(finds_every_flipped_bit);
	UNIT(allowed_damage_is_skipped_and_remembered);
	UNIT(missing_files_are_damage);
	UNIT(torn_tail_is_cut);
	UNIT(forged_group_is_not_taken);
	UNIT(crashes_lose_nothing_durable);
	UNIT(threads_on_the_real_disk);
	UNIT(threaded_error_wakes_the_loop);
	return unit_end();
}
