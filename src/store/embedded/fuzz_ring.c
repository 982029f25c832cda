/*
 * Fuzz: whatever the files hold, opening, replay and check end with a status, and a ring that
 * opened works.
 *
 * First byte: bit 0 makes the rest raw bytes of the files; otherwise it is edits {segment file or
 * head, offset, value, kind} of a real ring, of which some get their checksums made right again.
 * Bit 1: allow_corrupt.
 */
#include "base/check.h"
#include "base/num.h"
#include "store/embedded/ring_internal.h"
#include "sys/disk_sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEG = 16 << 10, FILES = 3, EDIT_BYTES = 5 };

static const char *const paths[FILES + 1] = {
    "ring/000000.seg", "ring/000001.seg", "ring/000002.seg", "ring/head"};

static void
file_put(struct disk *d, const char *path, const void *p, size_t n, uint64_t off)
{
	struct disk_file *f;

	CHECK(disk_open(d, path, DISK_WRITE | DISK_CREATE, &f) == ST_OK);
	CHECK(disk_pwrite(f, p, n, off) == ST_OK && disk_sync(f) == ST_OK);
	disk_close(&f);
}

static void
raw_files(struct disk *d, const uint8_t *data, size_t size)
{
	CHECK(disk_mkdir(d, "ring") == ST_OK);
	for (size_t i = 0; i <= FILES && size > 0; i++) {
		size_t n = size_min(size, i == FILES ? 2 * DISK_ALIGN : SEG);
		file_put(d, paths[i], data, n, 0);
		data += n;
		size -= n;
	}
}

static void
real_ring(const struct ring_options *o)
{
	static const size_t sizes[] = {10, 5000, 300, 8000 - RING_OVERHEAD, 0, 4000, 3000, 7000};
	static const char bytes[8192];
	struct ring *r;
	uint64_t pos, durable;

	CHECK(ring_open(o, &r, NULL) == ST_OK);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		CHECK(ring_append(r, &(struct str){bytes, sizes[i]}, 1, &pos) == ST_OK);
		ring_flush(r);
		while (ring_commit_step(r))
			;
		CHECK(ring_poll(r, &durable) == ST_OK);
		if (i == 4)
			ring_release(r, pos);
	}
	ring_close(&r);
}

/* Checksums that fit what was edited: a group's (whatever its fields are), or the head's. */
static void
make_right(struct disk *d, size_t file, uint64_t off)
{
	static char p[SEG];
	struct disk_file *f;
	struct ring_group g;
	struct ring_head h;
	size_t got;

	off = off / DISK_ALIGN * DISK_ALIGN;
	CHECK(disk_open(d, paths[file], DISK_READ, &f) == ST_OK);
	CHECK(disk_pread(f, p, sizeof(p), off, &got) == ST_OK);
	disk_close(&f);
	if (got < DISK_ALIGN)
		return;
	if (file == FILES) {
		memset(&h, 0, sizeof(h));
		h.sequence = le64_get(p + 8);
		h.ring_id = le64_get(p + 16);
		h.segment_bytes = SEG;
		h.epoch = le64_get(p + 32);
		h.cut = le64_get(p + 40) / DISK_ALIGN * DISK_ALIGN;
		h.durable = le64_get(p + 48);
		h.start = le64_get(p + 56);
		h.gaps_n = (unsigned char)p[64] % 4;
		for (size_t i = 0; i < h.gaps_n; i++)
			h.gaps[i] = (struct ring_gap){
			    le64_get(p + 96 + 16 * i), le64_get(p + 104 + 16 * i)};
		ring_head_encode(&h, p);
		file_put(d, paths[file], p, RING_HEAD_BYTES, off);
		return;
	}
	g = (struct ring_group){
	    .ring_id = le64_get(p + 8),
	    .epoch = le64_get(p + 16),
	    .sequence = le64_get(p + 24),
	    .position = le64_get(p + 32),
	    .durable = le64_get(p + 40),
	    .start = le64_get(p + 48),
	    .segment = le64_get(p + 56),
	    .bytes = le32_get(p + 64) % (uint32_t)got,
	    .records = le32_get(p + 68),
	    .crc_before = le32_get(p + 72),
	};
	if (g.bytes < RING_GROUP_HEADER + RING_RECORD_HEADER)
		return;
	/* Record checksums stay as they are: a wrong one inside a right group must be found, too.
	 */
	ring_group_seal_header(&g, p);
	file_put(d, paths[file], p, ring_align(g.bytes, DISK_ALIGN), off);
}

/* False when it made a checksum right: a forgery, no damage that a disk could do. */
static bool
edit(struct disk *d, const uint8_t *e)
{
	size_t file = e[0] % (FILES + 1);
	uint64_t off = le16_get(e + 1) % (file == FILES ? 2 * DISK_ALIGN : SEG);

	/* Headers are where it is worth it. */
	if (e[0] & 128)
		off =
		    off / DISK_ALIGN * DISK_ALIGN + off % (RING_GROUP_HEADER + RING_RECORD_HEADER);
	file_put(d, paths[file], e + 3, 1, off);
	if (e[4] & 1)
		make_right(d, file, off);
	return !(e[4] & 1);
}

static enum status
count(void *arg, uint64_t pos, struct str record)
{
	uint64_t *last = arg;

	CHECK(pos > *last || *last == 0);
	CHECK(record.n <= SEG);
	*last = pos;
	return ST_OK;
}

static void
use(struct ring *r)
{
	struct ring_stats s;
	uint64_t last = 0, pos, durable;
	enum status st;

	ring_stats(r, &s);
	(void)!ring_replay(r, s.start, count, &last);
	st = ring_append(r, &(struct str){"abc", 3}, 1, &pos);
	CHECK(st == ST_OK || st == ST_LIMIT);
	ring_flush(r);
	while (ring_commit_step(r))
		;
	CHECK(ring_poll(r, &durable) == ST_OK);
	CHECK(st == ST_LIMIT || (pos > last && pos < durable));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct disk *d = disk_sim_new();
	struct ring_options o = {.disk = d,
	    .folder = "ring",
	    .segment_bytes = SEG,
	    .segments_first = FILES,
	    .segments_max = FILES,
	    .group_bytes_max = SEG / 2,
	    .ring_id = 7};
	struct ring *r = NULL;
	struct buf say;
	bool is_damage = true;

	buf_init(&say, 1 << 16);
	if (size > 0 && (*data & 1)) {
		raw_files(d, data + 1, size - 1);
	} else if (size > 0) {
		real_ring(&o);
		for (size_t at = 1; at + EDIT_BYTES <= size && at < 200; at += EDIT_BYTES)
			is_damage &= edit(d, data + at);
	}
	enum status checked = ring_check(&o, &say);
	o.allow_corrupt = size > 0 && (*data & 2);
	o.segments_max += 2;
	if (ring_open(&o, &r, &say) == ST_OK) {
		CHECK(checked == ST_OK || o.allow_corrupt);
		use(r);
		ring_close(&r);
		/* What was once opened opens again, without permission. */
		o.allow_corrupt = false;
		enum status again = ring_open(&o, &r, &say);
		CHECK(again == ST_OK || !is_damage);
		ring_close(&r);
	}
	disk_free(&d);
	buf_fini(&say);
	return 0;
}
