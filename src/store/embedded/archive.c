/*
 * The archive: where bodies that stay go. Jobs of the checkpoint thread.
 *
 * A segment is entries one after the other: "PHA1" | u32 crc32c of the 24 bytes after it | u64 blob
 * id | u32 stored | u32 raw | u32 flags | u32 crc32c of the stored bytes | the stored bytes. How
 * much of it counts stands in its row. No dictionary: the store does not know tenants, and one
 * trained over several would carry text of one's mail into what is needed to read another's.
 */
#include "store/embedded/embedded_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/num.h"

void
archive_entry_put(uint8_t out[ARCHIVE_ENTRY_BYTES], const struct archive_entry *n)
{
	memcpy(out, "PHA1", 4);
	le64_put(out + 8, n->id);
	le32_put(out + 16, n->stored);
	le32_put(out + 20, n->raw);
	le32_put(out + 24, n->flags);
	le32_put(out + 28, n->crc);
	le32_put(out + 4, crc32c(0, out + 8, 24));
}

enum status
archive_entry_get(const uint8_t in[ARCHIVE_ENTRY_BYTES], struct archive_entry *out)
{
	if (memcmp(in, "PHA1", 4) != 0 || le32_get(in + 4) != crc32c(0, in + 8, 24))
		return ST_IO;
	*out = (struct archive_entry){.id = le64_get(in + 8),
	    .stored = le32_get(in + 16),
	    .raw = le32_get(in + 20),
	    .flags = le32_get(in + 24),
	    .crc = le32_get(in + 28)};
	return out->stored <= STORE_BLOB_INLINE_MAX && out->raw <= STORE_BLOB_INLINE_MAX ? ST_OK
											 : ST_IO;
}

void
archive_path(char out[PATH_BYTES], uint64_t number)
{
	(void)snprintf(out, PATH_BYTES, ARCHIVE_FOLDER "/%016" PRIx64, number);
}

static enum status
segment_get(struct embedded *e, uint64_t number, struct segment_row *out)
{
	struct str row;
	enum status st = e->index->ops->w_row(e->index, INDEX_SEGMENTS, number, &row);

	return st == ST_OK ? segment_row_get(row, out) : st;
}

static enum status
segment_put(struct embedded *e, uint64_t number, const struct segment_row *row)
{
	uint8_t b[SEGMENT_ROW_BYTES];

	segment_row_put(b, row);
	return e->index->ops->w_row_put(e->index, INDEX_SEGMENTS, number, str_of(b, sizeof(b)));
}

/* ---- writing: entries are gathered in job_out, written and synced at once, then their rows change
 * ---- */

struct out {
	struct embedded *e;
	struct job *j;
	uint64_t number;
	struct segment_row row;
	bool is_new;
	struct moved *moved;
	size_t moved_n, moved_cap;
};

struct moved {
	uint64_t id;
	struct blob_row row;
};

/* The newest segment while it has room and is not the one being emptied (number + 1; 0: none), else
 * a new one. */
static enum status
out_start(struct out *o, uint64_t emptied)
{
	struct index_meta *m = &o->j->meta;

	buf_reset(&o->e->job_out);
	if (m->segment_next > 0 && m->segment_next != emptied) {
		enum status st = segment_get(o->e, m->segment_next - 1, &o->row);

		if (st != ST_OK && st != ST_NOTFOUND)
			return st;
		if (st == ST_OK && o->row.bytes < o->e->o.archive_segment_bytes) {
			o->number = m->segment_next - 1;
			return ST_OK;
		}
	}
	o->number = m->segment_next++;
	o->row = (struct segment_row){0};
	o->is_new = true;
	return ST_OK;
}

static void
out_moved(struct out *o, uint64_t id, const struct blob_row *row)
{
	if (o->moved_n == o->moved_cap) {
		o->moved_cap = size_max(256, o->moved_cap * 2);
		o->moved = realloc(o->moved, o->moved_cap * sizeof(o->moved[0]));
		CHECK(o->moved != NULL);
	}
	o->moved[o->moved_n++] = (struct moved){id, *row};
}

/* Appends an entry; row (with size and crc) becomes its place. */
static enum status
out_entry(struct out *o, uint64_t id, struct blob_row *row, struct str stored, uint8_t flags)
{
	struct archive_entry entry = {.id = id,
	    .stored = (uint32_t)stored.n,
	    .raw = row->size,
	    .flags = flags,
	    .crc = crc32c(0, stored.n ? stored.p : "", stored.n)};
	uint8_t head[ARCHIVE_ENTRY_BYTES];

	row->kind = BLOB_ARCHIVE;
	row->flags = flags;
	row->a = o->number;
	row->b = (uint32_t)(o->row.bytes + o->e->job_out.n);
	row->stored = (uint32_t)stored.n;
	archive_entry_put(head, &entry);
	if (buf_put(&o->e->job_out, str_of(head, sizeof(head))) != ST_OK ||
	    buf_put(&o->e->job_out, stored) != ST_OK)
		return ST_LIMIT;
	out_moved(o, id, row);
	return ST_OK;
}

static enum status
out_file(struct out *o)
{
	const struct disk_ops *ops = o->e->disk->ops;
	char path[PATH_BYTES];
	struct disk_file *f;
	enum status st;

	archive_path(path, o->number);
	if ((st = ops->open(o->e->disk, path, DISK_WRITE | DISK_CREATE, &f)) != ST_OK)
		return st;
	/* What a crash left behind the counted bytes is overwritten. */
	st = ops->pwrite(f, o->e->job_out.p, o->e->job_out.n, o->row.bytes);
	if (st == ST_OK)
		st = ops->sync(f);
	ops->close(f);
	if (st == ST_OK && o->is_new)
		st = ops->sync_dir(o->e->disk, ARCHIVE_FOLDER);
	return st;
}

/* Files first, synced; then the rows, which the caller commits. */
static enum status
out_finish(struct out *o)
{
	uint8_t b[BLOB_ROW_BYTES];
	enum status st;

	if (o->moved_n == 0) {
		/* A number that was taken for nothing. */
		if (o->is_new)
			o->j->meta.segment_next--;
		return ST_OK;
	}
	if ((st = out_file(o)) != ST_OK)
		return st;
	for (size_t i = 0; i < o->moved_n && st == ST_OK; i++) {
		blob_row_put(b, &o->moved[i].row);
		st = o->e->index->ops->w_row_put(
		    o->e->index, INDEX_BLOBS, o->moved[i].id, str_of(b, sizeof(b)));
		o->row.raw += o->moved[i].row.size;
	}
	o->row.bytes += o->e->job_out.n;
	o->row.live += o->e->job_out.n;
	return st == ST_OK ? segment_put(o->e, o->number, &o->row) : st;
}

/* ---- from the ring ---- */

static enum status
archive_blob(struct out *o, uint64_t id, struct blob_row *row)
{
	struct embedded *e = o->e;
	char *raw, *packed;
	size_t bound = ZSTD_compressBound(row->size), n;
	enum status st;

	buf_reset(&e->job_in);
	raw = buf_reserve(&e->job_in, row->size + bound);
	if (!raw)
		return ST_LIMIT;
	packed = raw + row->size;
	if ((st = ring_pread(e->ring, row->a, row->b, row->size, raw)) != ST_OK)
		return st;
	if (crc32c(0, raw, row->size) != row->crc) {
		/* Kept as it is, with the checksum that says so: a reader is told, and the ring can
		 * move on. */
		e->archive.corrupt++;
		return out_entry(o, id, row, str_of(raw, row->size), 0);
	}
	if (e->o.archive_level == 0)
		return out_entry(o, id, row, str_of(raw, row->size), 0);
	if (!e->zstd)
		e->zstd = ZSTD_createCCtx();
	CHECK(e->zstd != NULL);
	n = ZSTD_compressCCtx(e->zstd, packed, bound, raw, row->size, e->o.archive_level);
	if (ZSTD_isError(n) || n >= row->size)
		return out_entry(o, id, row, str_of(raw, row->size), 0);
	return out_entry(o, id, row, str_of(packed, n), BLOB_COMPRESSED);
}

/*
 * Moves a batch of blobs that lie in the ring before the target. Ids and ring positions grow
 * together, so the blobs still in the ring are those from archive_next on.
 */
static enum status
archive_some(struct out *o, bool *all_out)
{
	struct embedded *e = o->e;
	struct index_meta *m = &o->j->meta;
	enum status st = ST_OK;
	size_t n = 0, raw = 0;

	*all_out = false;
	while (st == ST_OK && n < ARCHIVE_BATCH_BLOBS && raw < ARCHIVE_BATCH_BYTES) {
		uint64_t id = m->archive_next;
		struct blob_row row;
		struct str bytes;

		st = e->index->ops->w_row_from(e->index, INDEX_BLOBS, &id, &bytes);
		if (st == ST_NOTFOUND) {
			m->archive_next = m->blob_next;
			*all_out = true;
			return ST_OK;
		}
		if (st != ST_OK || (st = blob_row_get(bytes, &row)) != ST_OK)
			return st;
		if (row.kind == BLOB_RING && row.a >= o->j->target) {
			m->archive_next = id;
			*all_out = true;
			return ST_OK;
		}
		if (row.kind == BLOB_RING) {
			/* Each batch frees what it emptied: a full ring must not wait for the whole
			 * run. */
			if (row.a > m->ring_floor)
				m->ring_floor = row.a;
			st = archive_blob(o, id, &row);
			raw += row.size;
		}
		n++;
		m->archive_next = id + 1;
	}
	return st;
}

enum status
archive_run(struct embedded *e, struct job *j)
{
	struct out o = {.e = e, .j = j};
	bool all = false;
	enum status st = e->index->ops->begin(e->index);

	if (st != ST_OK)
		return st;
	if ((st = out_start(&o, 0)) == ST_OK && (st = archive_some(&o, &all)) == ST_OK)
		st = out_finish(&o);
	if (all && j->meta.ring_floor < j->target)
		j->meta.ring_floor = j->target;
	j->did_work = !all;
	free(o.moved);
	if (st == ST_OK && (st = archive_count(e, &e->archive)) == ST_OK)
		return embedded_commit_meta(e, &j->meta);
	e->index->ops->abort(e->index);
	return st;
}

/* ---- collection ---- */

enum status
archive_count(struct embedded *e, struct archive_stats *out)
{
	struct archive_stats sum = {.corrupt = e->archive.corrupt};
	struct segment_row row;
	struct str bytes;
	enum status st;

	for (uint64_t number = 0;; number++) {
		st = e->index->ops->w_row_from(e->index, INDEX_SEGMENTS, &number, &bytes);
		if (st == ST_NOTFOUND)
			break;
		if (st != ST_OK || (st = segment_row_get(bytes, &row)) != ST_OK)
			return st;
		sum.segments++;
		sum.bytes += row.bytes;
		sum.live += row.live;
		sum.raw += row.raw;
	}
	*out = sum;
	return ST_OK;
}

/* The one with the smallest living share, below one half. ST_NOTFOUND: none. The newest is still
 * written to, and left alone while small. */
static enum status
collect_choose(struct embedded *e, struct job *j, uint64_t *number_out)
{
	struct segment_row row;
	uint64_t best = 500;
	struct str bytes;
	enum status st;

	for (uint64_t number = 0;; number++) {
		uint64_t share;

		st = e->index->ops->w_row_from(e->index, INDEX_SEGMENTS, &number, &bytes);
		if (st == ST_NOTFOUND)
			return best < 500 ? ST_OK : ST_NOTFOUND;
		if (st != ST_OK || (st = segment_row_get(bytes, &row)) != ST_OK)
			return st;
		if (number + 1 == j->meta.segment_next &&
		    row.bytes < e->o.archive_segment_bytes / 8)
			continue;
		share = row.bytes ? row.live * 1000 / row.bytes : 0;
		if (share < best && !numbers_has(&e->collect_skip, number)) {
			best = share;
			*number_out = number;
		}
	}
}

/* Copies the entry at off when a blob still names it. */
static enum status
collect_entry(struct out *o, struct disk_file *f, uint64_t from, struct segment_row *source,
    uint64_t off, const struct archive_entry *entry)
{
	struct embedded *e = o->e;
	struct blob_row row;
	struct str bytes;
	size_t got;
	char *p;
	enum status st = e->index->ops->w_row(e->index, INDEX_BLOBS, entry->id, &bytes);

	if (st == ST_NOTFOUND)
		return ST_OK;
	if (st != ST_OK || (st = blob_row_get(bytes, &row)) != ST_OK)
		return st;
	if (row.kind != BLOB_ARCHIVE || row.a != from || row.b != off)
		return ST_OK;
	buf_reset(&e->job_in);
	if (!(p = buf_reserve(&e->job_in, (size_t)entry->stored + 1)))
		return ST_LIMIT;
	st = e->disk->ops->pread(f, p, entry->stored, off + ARCHIVE_ENTRY_BYTES, &got);
	if (st != ST_OK)
		return st;
	/* Nothing damaged is moved: the segment stays as it is, for whoever repairs it. */
	if (got != entry->stored || crc32c(0, p, got) != entry->crc)
		return ST_SYNTAX;
	if (source->live < ARCHIVE_ENTRY_BYTES + got || source->raw < row.size)
		return ST_SYNTAX;
	source->live -= ARCHIVE_ENTRY_BYTES + got;
	source->raw -= row.size;
	return out_entry(o, entry->id, &row, str_of(p, got), row.flags);
}

static enum status
collect_some(struct out *o, uint64_t from, struct segment_row *source)
{
	struct embedded *e = o->e;
	char path[PATH_BYTES];
	struct disk_file *f;
	size_t n = 0;
	enum status st;

	archive_path(path, from);
	if ((st = e->disk->ops->open(e->disk, path, DISK_READ, &f)) != ST_OK)
		return st == ST_NOTFOUND ? ST_SYNTAX : st;
	while (st == ST_OK && source->live > 0 && e->job_out.n < ARCHIVE_BATCH_BYTES &&
	       n++ < ARCHIVE_BATCH_BLOBS * 4) {
		uint8_t head[ARCHIVE_ENTRY_BYTES];
		struct archive_entry entry;
		size_t got;

		if (e->collect_off >= source->bytes) {
			st = ST_SYNTAX;
			break;
		}
		st = e->disk->ops->pread(f, head, sizeof(head), e->collect_off, &got);
		if (st == ST_OK &&
		    (got != sizeof(head) || archive_entry_get(head, &entry) != ST_OK))
			st = ST_SYNTAX;
		if (st == ST_OK)
			st = collect_entry(o, f, from, source, e->collect_off, &entry);
		if (st == ST_OK)
			e->collect_off += ARCHIVE_ENTRY_BYTES + (uint64_t)entry.stored;
	}
	e->disk->ops->close(f);
	return st;
}

static enum status
collect_batch(struct embedded *e, struct job *j, uint64_t from)
{
	struct out o = {.e = e, .j = j};
	struct segment_row source;
	enum status st = segment_get(e, from, &source);

	if (st != ST_OK)
		return st;
	if (source.live > 0 && (st = out_start(&o, from + 1)) == ST_OK &&
	    (st = collect_some(&o, from, &source)) == ST_OK)
		st = out_finish(&o);
	free(o.moved);
	if (st != ST_OK)
		return st;
	if (source.live > 0)
		return segment_put(e, from, &source);
	if ((st = e->index->ops->w_row_del(e->index, INDEX_SEGMENTS, from)) != ST_OK)
		return st;
	numbers_add(&j->trash.segments, from);
	e->collect_segment = 0;
	/* Its number is not used again: a reader may hold it under the old one. */
	return ST_OK;
}

/* One batch of the segment being collected, choosing one when there is none. ST_NOTFOUND: none to
 * collect. */
static enum status
collect_step(struct embedded *e, struct job *j)
{
	enum status st = ST_OK;
	uint64_t from;

	if (e->collect_segment == 0) {
		if ((st = collect_choose(e, j, &from)) != ST_OK)
			return st;
		e->collect_segment = from + 1;
		e->collect_off = 0;
	}
	from = e->collect_segment - 1;
	st = collect_batch(e, j, from);
	if (st == ST_SYNTAX) {
		numbers_add(&e->collect_skip, from);
		e->archive.corrupt++;
	}
	return st;
}

enum status
archive_collect(struct embedded *e, struct job *j)
{
	enum status st = e->index->ops->begin(e->index);

	if (st != ST_OK)
		return st;
	st = collect_step(e, j);
	if (st == ST_OK && (st = archive_count(e, &e->archive)) == ST_OK) {
		j->did_work = true;
		st = embedded_commit_meta(e, &j->meta);
	} else {
		e->index->ops->abort(e->index);
	}
	if (st == ST_OK)
		return ST_OK;
	/* From the start next time: what was moved by earlier batches is passed over. */
	e->collect_segment = 0;
	j->did_work = st == ST_SYNTAX;
	return st == ST_NOTFOUND || st == ST_SYNTAX ? ST_OK : st;
}
