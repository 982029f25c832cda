#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/num.h"
#include "store/embedded/ring_internal.h"

/* Zeros are written so many at a time, each synced: a group that comes meanwhile waits for one of them. */
enum { GROW_STEP_BYTES = 1 << 20 };
/* More files than any configuration asks for; above it a name is not ours. */
enum { SLOTS_MAX = 65536 };

static const char head_magic[8] = "PHhead_1";

enum {
	AT_SEQUENCE = 8,
	AT_RING_ID = 16,
	AT_SEGMENT_BYTES = 24,
	AT_EPOCH = 32,
	AT_CUT = 40,
	AT_GROUP_SEQUENCE = 48,
	AT_DURABLE = 56,
	AT_START = 64,
	AT_GAPS_N = 72,
	AT_GAPS = 96,
	AT_CRC = RING_HEAD_BYTES - 4,
};

void
ring_head_encode(const struct ring_head *h, char out[RING_HEAD_BYTES])
{
	CHECK(h->gaps_n <= RING_GAPS_MAX);
	memset(out, 0, RING_HEAD_BYTES);
	memcpy(out, head_magic, sizeof(head_magic));
	le64_put(out + AT_SEQUENCE, h->sequence);
	le64_put(out + AT_RING_ID, h->ring_id);
	le64_put(out + AT_SEGMENT_BYTES, h->segment_bytes);
	le64_put(out + AT_EPOCH, h->epoch);
	le64_put(out + AT_CUT, h->cut);
	le64_put(out + AT_GROUP_SEQUENCE, h->group_sequence);
	le64_put(out + AT_DURABLE, h->durable);
	le64_put(out + AT_START, h->start);
	le64_put(out + AT_GAPS_N, h->gaps_n);
	for (size_t i = 0; i < h->gaps_n; i++) {
		le64_put(out + AT_GAPS + 16 * i, h->gaps[i].from);
		le64_put(out + AT_GAPS + 16 * i + 8, h->gaps[i].to);
	}
	le32_put(out + AT_CRC, crc32c(0, out, AT_CRC));
}

bool
ring_head_parse(const char p[RING_HEAD_BYTES], struct ring_head *h)
{
	if (memcmp(p, head_magic, sizeof(head_magic)) != 0 ||
	    le32_get(p + AT_CRC) != crc32c(0, p, AT_CRC) || le64_get(p + AT_GAPS_N) > RING_GAPS_MAX)
		return false;
	*h = (struct ring_head){
	    .sequence = le64_get(p + AT_SEQUENCE),
	    .ring_id = le64_get(p + AT_RING_ID),
	    .segment_bytes = le64_get(p + AT_SEGMENT_BYTES),
	    .epoch = le64_get(p + AT_EPOCH),
	    .cut = le64_get(p + AT_CUT),
	    .group_sequence = le64_get(p + AT_GROUP_SEQUENCE),
	    .durable = le64_get(p + AT_DURABLE),
	    .start = le64_get(p + AT_START),
	    .gaps_n = (size_t)le64_get(p + AT_GAPS_N),
	};
	for (size_t i = 0; i < h->gaps_n; i++)
		h->gaps[i] = (struct ring_gap){
		    le64_get(p + AT_GAPS + 16 * i), le64_get(p + AT_GAPS + 16 * i + 8)};
	return true;
}

static void
path_of(const struct ring_files *f, const char *name, char out[RING_PATH_MAX])
{
	int n = snprintf(out, RING_PATH_MAX, "%s/%s", f->folder, name);

	CHECK(n > 0 && n < RING_PATH_MAX);
}

void
ring_slot_path(const struct ring_files *f, const struct ring_slot *s, char out[RING_PATH_MAX])
{
	char name[32];

	snprintf(name, sizeof(name), "%06u.seg", s->number);
	path_of(f, name, out);
}

static enum status
slot_open(const struct ring_files *f, struct ring_slot *s)
{
	char path[RING_PATH_MAX];
	enum status st;

	ring_slot_path(f, s, path);
	st = disk_open(f->disk, path, DISK_READ, &s->rd);
	if (st == ST_OK && !f->is_readonly) {
		st = disk_open(f->disk, path, DISK_WRITE | DISK_DIRECT, &s->wr);
		if (st != ST_OK)
			disk_close(&s->rd);
	}
	return st;
}

static void
slot_add(struct ring_files *f, struct ring_slot s)
{
	if (f->slots_n == f->slots_max) {
		f->slots_max = f->slots_max ? f->slots_max * 2 : 16;
		f->slots = reallocarray(f->slots, f->slots_max, sizeof(*f->slots));
		CHECK(f->slots != NULL);
	}
	f->slots[f->slots_n++] = s;
}

/* Six or more digits and ".seg"; anything else in the folder is left alone. */
static void
slot_found(void *arg, const char *name)
{
	struct ring_files *f = arg;
	struct str s = str_of_c(name);
	struct ring_slot slot = {.segment = RING_NO_SEGMENT};
	uint64_t number;
	enum status st;

	if (f->list_status != ST_OK || s.n < 10 || !str_has_suffix_ci(s, STR(".seg")) ||
	    str_to_u64(str_take(s, s.n - 4), &number) != ST_OK || number >= SLOTS_MAX)
		return;
	slot.number = (uint32_t)number;
	st = slot_open(f, &slot);
	if (st != ST_OK) {
		f->list_status = st;
		return;
	}
	if (slot.number >= f->number_next)
		f->number_next = slot.number + 1;
	slot_add(f, slot);
}

/* The newer whole one of the two copies. */
static enum status
head_read(struct ring_files *f)
{
	char p[RING_HEAD_BYTES];
	struct ring_head h;
	size_t got;

	for (uint64_t i = 0; i < 2; i++) {
		enum status st = disk_pread(f->head_file, p, sizeof(p), i * sizeof(p), &got);
		if (st != ST_OK)
			return st;
		if (got == sizeof(p) && ring_head_parse(p, &h) &&
		    (!f->has_head || h.sequence > f->head.sequence)) {
			f->has_head = true;
			f->head = h;
			f->head_at = i;
		}
	}
	return ST_OK;
}

static enum status
head_open(struct ring_files *f)
{
	char path[RING_PATH_MAX];
	enum status st;

	path_of(f, "head", path);
	st = disk_open(f->disk, path, f->is_readonly ? DISK_READ : DISK_WRITE, &f->head_file);
	if (st == ST_NOTFOUND)
		return ST_OK;
	if (st != ST_OK)
		return st;
	/* A copy that a killed process left unsynced must not be the only whole one while the other is written. */
	if (!f->is_readonly && (st = disk_sync(f->head_file)) != ST_OK)
		return st;
	return head_read(f);
}

enum status
ring_files_open(struct ring_files *f, const struct ring_options *o, bool is_readonly)
{
	char path[RING_PATH_MAX];
	enum status st;

	*f = (struct ring_files){.disk = o->disk,
	    .folder = o->folder,
	    .segment_bytes = o->segment_bytes,
	    .is_readonly = is_readonly};
	st = head_open(f);
	if (st != ST_OK)
		return st;
	/* What a crash left of growing. */
	path_of(f, "new.tmp", path);
	if (!is_readonly) {
		st = disk_unlink(f->disk, path);
		if (st != ST_OK && st != ST_NOTFOUND)
			return st;
	}
	st = disk_list(f->disk, f->folder, slot_found, f);
	if (st == ST_NOTFOUND)
		return ST_OK;
	return st == ST_OK ? f->list_status : st;
}

void
ring_files_close(struct ring_files *f)
{
	for (size_t i = 0; i < f->slots_n; i++) {
		disk_close(&f->slots[i].rd);
		disk_close(&f->slots[i].wr);
	}
	disk_close(&f->head_file);
	disk_close(&f->growing);
	free(f->slots);
	free(f->zeros);
	*f = (struct ring_files){0};
}

struct ring_slot *
ring_files_slot(const struct ring_files *f, uint64_t segment)
{
	for (size_t i = 0; i < f->slots_n; i++)
		if (f->slots[i].segment == segment)
			return &f->slots[i];
	return NULL;
}

enum status
ring_files_head_write(struct ring_files *f)
{
	char p[RING_HEAD_BYTES], path[RING_PATH_MAX];
	enum status st = ST_OK;
	/* The other one first: it may be the victim of a crash already, and this write may be the next. */
	uint64_t at = f->head_at;

	path_of(f, "head", path);
	if (f->head_file == NULL)
		st = disk_open(f->disk, path, DISK_WRITE | DISK_CREATE, &f->head_file);
	for (int i = 0; i < 2 && st == ST_OK; i++) {
		at = 1 - at;
		f->head.sequence++;
		ring_head_encode(&f->head, p);
		st = disk_pwrite(f->head_file, p, sizeof(p), at * sizeof(p));
		if (st == ST_OK)
			st = disk_sync(f->head_file);
	}
	return st;
}

static enum status
grow_begin(struct ring_files *f, const char *path)
{
	if (f->zeros == NULL) {
		f->zeros = aligned_alloc(DISK_ALIGN, GROW_STEP_BYTES);
		CHECK(f->zeros != NULL);
		memset(f->zeros, 0, GROW_STEP_BYTES);
	}
	f->growing_bytes = 0;
	return disk_open(f->disk, path, DISK_WRITE | DISK_CREATE | DISK_DIRECT, &f->growing);
}

static enum status
grow_write(struct ring_files *f)
{
	size_t n = (size_t)size_min(f->segment_bytes - f->growing_bytes, GROW_STEP_BYTES);
	enum status st = disk_pwrite(f->growing, f->zeros, n, f->growing_bytes);

	if (st == ST_OK)
		st = disk_sync(f->growing);
	f->growing_bytes += n;
	return st;
}

static enum status
grow_end(struct ring_files *f, const char *from, struct ring_slot *slot)
{
	char path[RING_PATH_MAX];
	enum status st;

	disk_close(&f->growing);
	*slot = (struct ring_slot){.number = f->number_next, .segment = RING_NO_SEGMENT};
	ring_slot_path(f, slot, path);
	st = disk_rename(f->disk, from, path);
	if (st == ST_OK)
		st = disk_sync_dir(f->disk, f->folder);
	if (st == ST_OK)
		st = slot_open(f, slot);
	if (st == ST_OK)
		f->number_next++;
	return st;
}

enum status
ring_files_grow(struct ring_files *f, struct ring_slot *slot)
{
	char path[RING_PATH_MAX];
	enum status st = ST_OK;

	path_of(f, "new.tmp", path);
	if (f->growing == NULL)
		st = grow_begin(f, path);
	if (st == ST_OK)
		st = grow_write(f);
	if (st == ST_OK && f->growing_bytes < f->segment_bytes)
		return ST_MORE;
	if (st == ST_OK)
		st = grow_end(f, path, slot);
	if (st != ST_OK) {
		disk_close(&f->growing);
		/* When it cannot go now, the next opening removes it. */
		enum status gone = disk_unlink(f->disk, path);
		(void)gone;
	}
	return st;
}
