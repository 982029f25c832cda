/*
 * Backup, restore, check.
 *
 * A backup is the index, whose blobs are all out of the ring at that moment, and the files it
 * names: the archive's segments up to their counted bytes and the staged files. None of those bytes
 * ever changes, and what would be unlinked waits until the copy is whole. So it needs no ring: a
 * restored store starts an empty one.
 */
#include "store/embedded/embedded_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/num.h"

/* ---- jobs ---- */

static void
files_add(struct backup *b, const struct backup_file *f)
{
	if (b->files_n == b->files_cap) {
		b->files_cap = size_max(64, b->files_cap * 2);
		b->files = realloc(b->files, b->files_cap * sizeof(b->files[0]));
		CHECK(b->files != NULL);
	}
	b->files[b->files_n++] = *f;
	b->bytes_all += f->bytes;
}

static enum status
list_segments(struct embedded *e)
{
	struct segment_row row;
	struct str bytes;
	enum status st;

	for (uint64_t number = 0;; number++) {
		st = e->index->ops->w_row_from(e->index, INDEX_SEGMENTS, &number, &bytes);
		if (st != ST_OK)
			return st == ST_NOTFOUND ? ST_OK : st;
		if ((st = segment_row_get(bytes, &row)) != ST_OK)
			return st;
		files_add(&e->backup, &(struct backup_file){false, number, row.bytes});
	}
}

static enum status
list_staged(struct embedded *e)
{
	struct blob_row row;
	struct str bytes;
	enum status st;

	for (uint64_t number = 0;; number++) {
		uint64_t frames;

		st = e->index->ops->w_row_from(e->index, INDEX_STAGED, &number, &bytes);
		if (st != ST_OK)
			return st == ST_NOTFOUND ? ST_OK : st;
		if (bytes.n != 8)
			return ST_IO;
		st = e->index->ops->w_row(e->index, INDEX_BLOBS, le64_get(bytes.p), &bytes);
		if (st != ST_OK || (st = blob_row_get(bytes, &row)) != ST_OK)
			return st == ST_NOTFOUND ? ST_IO : st;
		frames = ((uint64_t)row.size + STAGE_FRAME_BYTES - 1) / STAGE_FRAME_BYTES;
		files_add(&e->backup, &(struct backup_file){true, number, row.size + 4 * frames});
	}
}

/* Nothing in the ring that the index names? */
static enum status
ring_is_empty(struct embedded *e, const struct index_meta *m, bool *yes_out)
{
	uint64_t id = m->archive_next;
	struct blob_row row;
	struct str bytes;
	enum status st;

	for (;; id++) {
		st = e->index->ops->w_row_from(e->index, INDEX_BLOBS, &id, &bytes);
		*yes_out = st == ST_NOTFOUND;
		if (st != ST_OK)
			return st == ST_NOTFOUND ? ST_OK : st;
		if ((st = blob_row_get(bytes, &row)) != ST_OK || row.kind == BLOB_RING)
			return st;
	}
}

/* Copies the index and lists the files. did_work: it did; otherwise the ring holds blobs that must
 * be archived first. */
enum status
backup_index(struct embedded *e, struct job *j)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/" INDEX_FOLDER, e->backup.folder);
	enum status st = e->index->ops->begin(e->index);
	bool yes = false;

	if (st != ST_OK)
		return st;
	st = ring_is_empty(e, &j->meta, &yes);
	e->backup.files_n = 0;
	e->backup.bytes_all = 0;
	if (st == ST_OK && yes && (st = list_segments(e)) == ST_OK)
		st = list_staged(e);
	e->index->ops->abort(e->index);
	if (st != ST_OK || !yes)
		return st;
	if (n < 0 || (size_t)n >= sizeof(path))
		return ST_LIMIT;
	/* Nobody else writes to the index: the copy is of what was just listed. */
	if ((st = e->backup.disk->ops->mkdir(e->backup.disk, INDEX_FOLDER)) != ST_OK)
		return st;
	st = e->index->ops->copy(e->index, path);
	j->did_work = st == ST_OK;
	return st;
}

static void
file_path(char out[PATH_BYTES], const struct backup_file *f)
{
	if (f->is_staged)
		staged_path(out, f->number);
	else
		archive_path(out, f->number);
}

/* Up to n bytes at off of one file; short is damage. Syncs at its end. */
static enum status
copy_piece(struct disk *from, struct disk *to, const struct backup_file *f, uint64_t off, size_t n,
    char *room)
{
	struct disk_file *in = NULL, *out = NULL;
	char path[PATH_BYTES];
	size_t got;
	enum status st;

	file_path(path, f);
	if ((st = from->ops->open(from, path, DISK_READ, &in)) != ST_OK)
		return st == ST_NOTFOUND ? ST_IO : st;
	if ((st = to->ops->open(to, path, DISK_WRITE | DISK_CREATE, &out)) != ST_OK)
		goto out;
	if ((st = from->ops->pread(in, room, n, off, &got)) != ST_OK)
		goto out;
	st = got == n ? to->ops->pwrite(out, room, n, off) : ST_IO;
	if (st == ST_OK && off + n == f->bytes)
		st = to->ops->sync(out);
out:
	from->ops->close(in);
	if (out)
		to->ops->close(out);
	return st;
}

#define COPY_PIECE_BYTES ((size_t)1 << 20)

/* The folders' names and the mark that says that this backup is whole. */
static enum status
backup_seal(struct disk *d, uint64_t bytes)
{
	static const char *const folders[] = {ARCHIVE_FOLDER, STAGED_FOLDER, INDEX_FOLDER};
	struct disk_file *f;
	char text[128];
	int n = snprintf(
	    text, sizeof(text), "posthorn backup %d\nbytes %" PRIu64 "\n", INDEX_FORMAT, bytes);
	enum status st = ST_OK;

	for (size_t i = 0; i < COUNT_OF(folders) && st == ST_OK; i++)
		st = d->ops->sync_dir(d, folders[i]);
	if (st != ST_OK ||
	    (st = d->ops->open(d, BACKUP_MARK, DISK_WRITE | DISK_CREATE, &f)) != ST_OK)
		return st;
	st = d->ops->pwrite(f, text, (size_t)n, 0);
	if (st == ST_OK)
		st = d->ops->sync(f);
	d->ops->close(f);
	return st == ST_OK ? d->ops->sync_dir(d, "") : st;
}

enum status
backup_copy(struct embedded *e, struct job *j)
{
	struct backup *b = &e->backup;
	char *room = malloc(COPY_PIECE_BYTES);
	size_t done = 0;
	enum status st = ST_OK;

	(void)j;
	CHECK(room != NULL);
	while (st == ST_OK && b->at < b->files_n && done < BACKUP_STEP_BYTES) {
		const struct backup_file *f = &b->files[b->at];
		size_t n = (size_t)(f->bytes - b->off < COPY_PIECE_BYTES ? f->bytes - b->off
									 : COPY_PIECE_BYTES);

		if ((st = copy_piece(e->disk, b->disk, f, b->off, n, room)) != ST_OK)
			break;
		b->off += n;
		b->bytes += n;
		done += n;
		if (b->off == f->bytes) {
			b->at++;
			b->off = 0;
		}
	}
	free(room);
	return st == ST_OK && b->at == b->files_n ? backup_seal(b->disk, b->bytes) : st;
}

void
backup_end(struct embedded *e, enum status st)
{
	struct backup b = e->backup;

	disk_free(&b.disk);
	free(b.files);
	free(b.folder);
	e->backup = (struct backup){.phase = BACKUP_NONE};
	if (b.fn)
		b.fn(b.arg, b.bytes, b.bytes_all, true, st);
}

static void
count_name(void *arg, const char *name)
{
	(void)name;
	++*(size_t *)arg;
}

enum status
embedded_backup(struct store *s, const char *dest_folder, embedded_progress_fn *fn, void *arg)
{
	struct embedded *e = embedded_of(s);
	struct disk *d = NULL;
	size_t names = 0;
	enum status st;

	if (e->backup.phase != BACKUP_NONE)
		return ST_EXISTS;
	if (e->o.simulated_index || e->is_read_only)
		return ST_UNSUPPORTED;
	if ((st = disk_posix_new(dest_folder, &d)) != ST_OK)
		return st;
	st = d->ops->list(d, "", count_name, &names);
	if (st == ST_OK && names > 0)
		st = ST_EXISTS;
	if (st == ST_OK && (st = d->ops->mkdir(d, ARCHIVE_FOLDER)) == ST_OK)
		st = d->ops->mkdir(d, STAGED_FOLDER);
	if (st != ST_OK) {
		disk_free(&d);
		return st;
	}
	e->backup = (struct backup){.phase = BACKUP_CHECKPOINT,
	    .disk = d,
	    .fn = fn,
	    .arg = arg,
	    .from = e->last_next,
	    .folder = strdup(dest_folder)};
	CHECK(e->backup.folder != NULL);
	return ST_OK;
}

/* ---- restore ---- */

struct restore {
	struct disk *from, *to;
	const char *folder;
	char *room;
	enum status st;
};

static void
restore_file(void *arg, const char *name)
{
	struct restore *r = arg;
	struct disk_file *in = NULL, *out = NULL;
	char path[PATH_BYTES];
	size_t got = COPY_PIECE_BYTES;
	int n = snprintf(path, sizeof(path), "%s/%s", r->folder, name);

	if (r->st != ST_OK)
		return;
	if (n < 0 || (size_t)n >= sizeof(path)) {
		r->st = ST_LIMIT;
		return;
	}
	if ((r->st = r->from->ops->open(r->from, path, DISK_READ, &in)) != ST_OK)
		return;
	r->st = r->to->ops->open(r->to, path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &out);
	for (uint64_t off = 0; r->st == ST_OK && got == COPY_PIECE_BYTES; off += got) {
		r->st = r->from->ops->pread(in, r->room, COPY_PIECE_BYTES, off, &got);
		if (r->st == ST_OK && got > 0)
			r->st = r->to->ops->pwrite(out, r->room, got, off);
	}
	if (r->st == ST_OK)
		r->st = r->to->ops->sync(out);
	r->from->ops->close(in);
	if (out)
		r->to->ops->close(out);
}

static enum status
restore_folder(struct restore *r, const char *folder)
{
	enum status st;

	r->folder = folder;
	if ((st = r->to->ops->mkdir(r->to, folder)) != ST_OK)
		return st;
	st = r->from->ops->list(r->from, folder, restore_file, r);
	if (st == ST_OK && (st = r->st) == ST_OK)
		st = r->to->ops->sync_dir(r->to, folder);
	return st;
}

/* The log starts anew: nothing of it is covered, and no blob lies in it. */
static enum status
restore_meta(const struct embedded_options *o, struct buf *error_out)
{
	struct index *ix = NULL;
	struct index_meta m;
	struct str row;
	uint8_t b[INDEX_META_BYTES];
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/" INDEX_FOLDER, disk_root(o->disk));
	enum status st;

	if (n < 0 || (size_t)n >= sizeof(path))
		return ST_LIMIT;
	if ((st = index_lmdb_open(path, o->index_map_bytes, false, &ix, error_out)) != ST_OK)
		return st;
	if ((st = ix->ops->row(ix, INDEX_META, 0, &row)) == ST_OK)
		st = index_meta_get(row, &m);
	if (st == ST_OK && (st = ix->ops->begin(ix)) == ST_OK) {
		m.covered_next = m.ring_floor = 0;
		m.ring_segment_bytes = o->ring_segment_bytes;
		index_meta_put(b, &m);
		st = ix->ops->w_row_put(ix, INDEX_META, 0, str_of(b, sizeof(b)));
		if (st == ST_OK)
			st = ix->ops->commit(ix);
		else
			ix->ops->abort(ix);
	}
	ix->ops->close(ix);
	return st;
}

enum status
embedded_restore(const char *src_folder, const struct embedded_options *o, struct buf *error_out)
{
	struct restore r = {.to = o->disk};
	struct disk_file *mark;
	struct stat sb;
	size_t names = 0;
	enum status st;

	/* Opening a disk would make the folder. */
	if (stat(src_folder, &sb) < 0) {
		(void)buf_putf(error_out, "no backup at %s: %s", src_folder, strerror(errno));
		return ST_NOTFOUND;
	}
	st = o->disk->ops->list(o->disk, "", count_name, &names);
	if (st == ST_OK && names > 0) {
		(void)buf_putf(error_out, "the folder to restore into is not empty");
		return ST_EXISTS;
	}
	if (st != ST_OK || !disk_root(o->disk) ||
	    (st = disk_posix_new(src_folder, &r.from)) != ST_OK)
		return st == ST_OK ? ST_UNSUPPORTED : st;
	st = r.from->ops->open(r.from, BACKUP_MARK, DISK_READ, &mark);
	if (st == ST_OK) {
		r.from->ops->close(mark);
		r.room = malloc(COPY_PIECE_BYTES);
		CHECK(r.room != NULL);
		/* The index last: without it, what stands there is no store. */
		if ((st = restore_folder(&r, STAGED_FOLDER)) == ST_OK &&
		    (st = restore_folder(&r, ARCHIVE_FOLDER)) == ST_OK &&
		    (st = restore_folder(&r, INDEX_FOLDER)) == ST_OK &&
		    (st = restore_meta(o, error_out)) == ST_OK)
			st = r.to->ops->sync_dir(r.to, "");
		free(r.room);
	} else {
		(void)buf_putf(error_out, "%s is not a whole backup", src_folder);
	}
	disk_free(&r.from);
	return st;
}

/* ---- check ---- */

struct check {
	struct embedded *e;
	struct buf *report;
	uint64_t keys, blobs, bytes, bad;
};

static enum status
check_keys(struct check *c)
{
	char to[STORE_KEY_BYTES_MAX];
	struct store_iter it = {.impl = NULL};
	enum status st;

	memset(to, 0xff, sizeof(to));
	st = view_range(&c->e->snapshot, str_of("\0", 1), str_of(to, sizeof(to)), false, &it);
	if (st != ST_OK)
		return st;
	while ((st = view_next(&it)) == ST_OK) {
		c->keys++;
		if (it.key.n > STORE_KEY_BYTES_MAX || it.value.n > STORE_VALUE_BYTES_MAX) {
			c->bad++;
			(void)buf_putf(c->report, "a key of %zu bytes with a value of %zu\n",
			    it.key.n, it.value.n);
		}
	}
	view_end(&it);
	return st == ST_EOF ? ST_OK : st;
}

static void
check_blob(struct check *c, uint64_t id, struct buf *bytes)
{
	struct blob_row row;
	enum status st = view_blob(c->e, id, &row);

	if (st == ST_NOTFOUND)
		return;
	c->blobs++;
	for (uint64_t off = 0; st == ST_OK && off < row.size; off += bytes->n) {
		buf_reset(bytes);
		st = blob_read(
		    &c->e->snapshot, (struct blob_id){id}, off, STORE_BLOB_INLINE_MAX, bytes);
		c->bytes += bytes->n;
	}
	if (st == ST_OK)
		return;
	c->bad++;
	(void)buf_putf(c->report,
	    "blob %" PRIu64 " cannot be read: %s (kind %d at %" PRIu64 " + %u)\n", id,
	    status_word(st), row.kind, row.a, row.b);
}

/* What the archive's rows say against what blobs name. The index alone: the delta's deaths are not
 * yet counted there. */
static enum status
check_accounts(struct check *c)
{
	struct index *ix = c->e->index;
	uint64_t live = 0, counted = 0;
	struct segment_row seg;
	struct blob_row row;
	struct str bytes;
	enum status st;

	for (uint64_t id = 1; (st = ix->ops->row_from(ix, INDEX_BLOBS, &id, &bytes)) == ST_OK; id++)
		if (blob_row_get(bytes, &row) == ST_OK && row.kind == BLOB_ARCHIVE)
			live += ARCHIVE_ENTRY_BYTES + (uint64_t)row.stored;
	if (st != ST_NOTFOUND)
		return st;
	for (uint64_t n = 0; (st = ix->ops->row_from(ix, INDEX_SEGMENTS, &n, &bytes)) == ST_OK; n++)
		if (segment_row_get(bytes, &seg) == ST_OK)
			counted += seg.live;
	if (st != ST_NOTFOUND)
		return st;
	if (live != counted) {
		c->bad++;
		(void)buf_putf(c->report,
		    "archive: %" PRIu64 " living bytes counted, %" PRIu64 " named\n", counted,
		    live);
	}
	return ST_OK;
}

static enum status
check_all(struct check *c)
{
	struct buf bytes;
	enum status st = check_keys(c);
	struct str row;

	buf_init(&bytes, STORE_BLOB_INLINE_MAX);
	for (uint64_t id = 1; st == ST_OK && id < c->e->blob_next; id++) {
		/* Over the gaps that deletion left, but not past what only the log knows. */
		if (id < c->e->meta.blob_next) {
			st = c->e->index->ops->row_from(c->e->index, INDEX_BLOBS, &id, &row);
			if (st == ST_NOTFOUND)
				id = c->e->meta.blob_next;
			else if (st != ST_OK)
				break;
			st = ST_OK;
		}
		check_blob(c, id, &bytes);
	}
	buf_fini(&bytes);
	return st == ST_OK ? check_accounts(c) : st;
}

/* Every group of the ring, also those that are no longer needed. */
static enum status
check_ring(struct check *c)
{
	const struct ring_options ro = {.disk = c->e->disk,
	    .folder = RING_FOLDER,
	    .segment_bytes = c->e->o.ring_segment_bytes,
	    .segments_first = c->e->o.ring_segments_first,
	    .segments_max = c->e->o.ring_segments_max,
	    .group_bytes_max = c->e->o.group_bytes_max};
	enum status st = ring_check(&ro, c->report);

	if (st == ST_IO)
		c->bad++;
	return st == ST_IO ? ST_OK : st;
}

enum status
embedded_check(const struct embedded_options *o, struct buf *report)
{
	struct embedded_options ro = *o;
	struct check c = {.report = report};
	struct store *s;
	enum status st;

	ro.read_only = true;
	if ((st = embedded_open(&ro, &s, report)) != ST_OK)
		return st;
	c.e = embedded_of(s);
	st = check_ring(&c);
	if (st == ST_OK)
		st = check_all(&c);
	(void)buf_putf(report,
	    "%" PRIu64 " keys, %" PRIu64 " blobs, %" PRIu64 " bytes of blobs, %" PRIu64
	    " findings\n",
	    c.keys, c.blobs, c.bytes, c.bad);
	store_close(&s);
	return st == ST_OK && c.bad > 0 ? ST_IO : st;
}
