/* Blobs: where their bytes are, reading and verifying them, and the files large ones are staged in.
 */
#include "store/embedded/embedded_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/num.h"

enum status
blob_size(struct txn *t, struct blob_id id, uint64_t *size_out)
{
	struct blob_row row;
	enum status st = view_blob(embedded_of(t->store), id.v, &row);

	if (st == ST_OK)
		*size_out = row.size;
	return st;
}

/* ---- the archive ---- */

static struct archive_handle *
handle_free_one(struct embedded *e)
{
	struct archive_handle *oldest = &e->handles[0];

	for (size_t i = 0; i < ARCHIVE_HANDLES_MAX; i++) {
		if (!e->handles[i].file)
			return &e->handles[i];
		if (e->handles[i].used < oldest->used)
			oldest = &e->handles[i];
	}
	e->disk->ops->close(oldest->file);
	oldest->file = NULL;
	return oldest;
}

static enum status
handle_get(struct embedded *e, uint64_t number, struct disk_file **out)
{
	struct archive_handle *h;
	char path[PATH_BYTES];
	enum status st;

	for (size_t i = 0; i < ARCHIVE_HANDLES_MAX; i++) {
		h = &e->handles[i];
		if (h->file && h->number == number) {
			h->used = ++e->handle_tick;
			*out = h->file;
			return ST_OK;
		}
	}
	h = handle_free_one(e);
	archive_path(path, number);
	if ((st = e->disk->ops->open(e->disk, path, DISK_READ, &h->file)) != ST_OK) {
		h->file = NULL;
		return st == ST_NOTFOUND ? ST_IO : st;
	}
	h->number = number;
	h->used = ++e->handle_tick;
	*out = h->file;
	return ST_OK;
}

void
blob_forget_segment(struct embedded *e, uint64_t number)
{
	for (size_t i = 0; i < ARCHIVE_HANDLES_MAX; i++)
		if (e->handles[i].file && e->handles[i].number == number) {
			e->disk->ops->close(e->handles[i].file);
			e->handles[i].file = NULL;
		}
}

void
blob_fini(struct embedded *e)
{
	for (size_t i = 0; i < ARCHIVE_HANDLES_MAX; i++)
		if (e->handles[i].file)
			e->disk->ops->close(e->handles[i].file);
	(void)ZSTD_freeDCtx(e->unzstd);
	buf_fini(&e->stored);
	buf_fini(&e->whole);
}

/* Appends n bytes of a file; fewer is damage. */
static enum status
read_exactly(struct embedded *e, struct disk_file *f, uint64_t off, size_t n, struct buf *out)
{
	char *p = buf_reserve(out, n);
	size_t got;
	enum status st;

	if (!p)
		return ST_LIMIT;
	if ((st = e->disk->ops->pread(f, p, n, off, &got)) != ST_OK)
		return st;
	if (got != n)
		return ST_IO;
	buf_commit(out, n);
	return ST_OK;
}

static enum status
unpack(struct embedded *e, const struct blob_row *row, struct str stored, struct buf *out)
{
	char *p;
	size_t n;

	if (!(row->flags & BLOB_COMPRESSED))
		return stored.n == row->size ? buf_put(out, stored) : ST_IO;
	if (!(p = buf_reserve(out, row->size)))
		return ST_LIMIT;
	if (!e->unzstd)
		e->unzstd = ZSTD_createDCtx();
	CHECK(e->unzstd != NULL);
	n = ZSTD_decompressDCtx(e->unzstd, p, row->size, stored.p, stored.n);
	if (ZSTD_isError(n) || n != row->size)
		return ST_IO;
	buf_commit(out, n);
	return ST_OK;
}

static enum status
read_archived(struct embedded *e, uint64_t id, const struct blob_row *row, struct buf *out)
{
	struct archive_entry entry;
	struct disk_file *f;
	struct str stored;
	enum status st = handle_get(e, row->a, &f);

	if (st != ST_OK)
		return st;
	buf_reset(&e->stored);
	st = read_exactly(e, f, row->b, ARCHIVE_ENTRY_BYTES + (size_t)row->stored, &e->stored);
	if (st != ST_OK)
		return st;
	st = archive_entry_get((const uint8_t *)e->stored.p, &entry);
	if (st != ST_OK || entry.id != id || entry.stored != row->stored)
		return ST_IO;
	stored = str_from(buf_str(&e->stored), ARCHIVE_ENTRY_BYTES);
	return unpack(e, row, stored, out);
}

/* Appends all of it and verifies. */
static enum status
read_whole(struct embedded *e, uint64_t id, const struct blob_row *row, struct buf *out)
{
	size_t before = out->n;
	enum status st = ST_OK;

	switch ((enum blob_kind)row->kind) {
	case BLOB_PENDING:
		st = buf_put(out, str_of(e->txn.blobs.p + row->a, row->size));
		break;
	case BLOB_RING:
		st = ring_read(e->ring, row->a, row->b, row->size, out);
		break;
	case BLOB_ARCHIVE:
		st = read_archived(e, id, row, out);
		break;
	case BLOB_STAGED:
	case BLOB_NONE:
		st = ST_IO;
		break;
	}
	if (st == ST_OK && (out->n - before != row->size ||
			       crc32c(0, row->size ? out->p + before : "", row->size) != row->crc))
		st = ST_IO;
	if (st != ST_OK)
		out->n = before;
	return st;
}

/* ---- staged files: frames of STAGE_FRAME_BYTES, each with its checksum ---- */

/* Appends the part of frame k that lies in [off, off + n) of the blob. */
static enum status
read_frame(struct embedded *e, struct disk_file *f, const struct blob_row *row, uint64_t k,
    uint64_t off, size_t n, struct buf *out)
{
	uint64_t start = k * STAGE_FRAME_BYTES;
	size_t frame_n =
	    (size_t)(row->size - start < STAGE_FRAME_BYTES ? row->size - start : STAGE_FRAME_BYTES);
	size_t skip = (size_t)(off > start ? off - start : 0);
	size_t end = (size_t)(off + n - start < frame_n ? off + n - start : frame_n);
	enum status st;

	buf_reset(&e->stored);
	st = read_exactly(e, f, k * (STAGE_FRAME_BYTES + 4), frame_n + 4, &e->stored);
	if (st != ST_OK)
		return st;
	if (crc32c(0, e->stored.p, frame_n) != le32_get(e->stored.p + frame_n))
		return ST_IO;
	return buf_put(out, str_of(e->stored.p + skip, end - skip));
}

static enum status
read_staged(struct embedded *e, const struct blob_row *row, uint64_t off, size_t n, struct buf *out)
{
	char path[PATH_BYTES];
	struct disk_file *f;
	size_t before = out->n;
	enum status st;

	staged_path(path, row->a);
	if ((st = e->disk->ops->open(e->disk, path, DISK_READ, &f)) != ST_OK)
		return st == ST_NOTFOUND ? ST_IO : st;
	for (uint64_t k = off / STAGE_FRAME_BYTES; st == ST_OK && k * STAGE_FRAME_BYTES < off + n;
	     k++)
		st = read_frame(e, f, row, k, off, n, out);
	e->disk->ops->close(f);
	if (st != ST_OK)
		out->n = before;
	return st;
}

static enum status
read_part(struct embedded *e, uint64_t id, const struct blob_row *row, uint64_t off, size_t n,
    struct buf *out)
{
	enum status st = ST_OK;

	/* Only the whole has a checksum: keep it, for the other parts are asked for next. */
	if (e->whole_id != id) {
		e->whole_id = 0;
		buf_reset(&e->whole);
		if ((st = read_whole(e, id, row, &e->whole)) != ST_OK)
			return st;
		/* Blobs of a running transaction may be undone. */
		e->whole_id = row->kind == BLOB_PENDING ? 0 : id;
	}
	return buf_put(out, str_of(e->whole.p + off, n));
}

enum status
blob_read(struct txn *t, struct blob_id id, uint64_t off, size_t n, struct buf *out)
{
	struct embedded *e = embedded_of(t->store);
	struct blob_row row;
	enum status st = view_blob(e, id.v, &row);

	if (st != ST_OK)
		return st;
	if (off >= row.size || n == 0)
		return ST_OK;
	n = (size_t)(row.size - off < n ? row.size - off : n);
	/* Before the work is done. */
	if (n > out->max - size_min(out->n, out->max))
		return ST_LIMIT;
	if (row.kind == BLOB_STAGED)
		st = read_staged(e, &row, off, n, out);
	else if (n == row.size)
		st = read_whole(e, id.v, &row, out);
	else
		st = read_part(e, id.v, &row, off, n, out);
	if (st == ST_IO)
		log_event(LOG_ERROR, "store.blob-damaged", LOG_U64("blob", id.v),
		    LOG_U64("kind", row.kind), LOG_U64("at", row.a), LOG_U64("offset", row.b));
	return st;
}

/* ---- staging ---- */

void
staged_path(char out[PATH_BYTES], uint64_t number)
{
	(void)snprintf(out, PATH_BYTES, STAGED_FOLDER "/%016" PRIx64, number);
}

enum status
blob_stage_new(struct store *s, struct store_stage **out)
{
	struct embedded *e = embedded_of(s);
	struct stage *g;
	char path[PATH_BYTES];
	enum status st;

	if (e->is_failed)
		return ST_IO;
	if (e->is_read_only)
		return ST_DENIED;
	if (e->is_full)
		return ST_LIMIT;
	g = calloc(1, sizeof(*g));
	CHECK(g != NULL);
	g->frame = malloc(STAGE_FRAME_BYTES + 4);
	CHECK(g->frame != NULL);
	g->base.store = s;
	g->number = e->stage_next++;
	staged_path(path, g->number);
	st = e->disk->ops->open(e->disk, path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &g->file);
	if (st != ST_OK) {
		free(g->frame);
		free(g);
		return st;
	}
	*out = &g->base;
	return ST_OK;
}

static enum status
frame_write(struct stage *g)
{
	struct embedded *e = embedded_of(g->base.store);
	enum status st;

	le32_put(g->frame + g->frame_n, crc32c(0, g->frame, g->frame_n));
	st = e->disk->ops->pwrite(g->file, g->frame, g->frame_n + 4, g->file_bytes);
	g->file_bytes += g->frame_n + 4;
	e->bytes_staged += g->frame_n + 4;
	g->frame_n = 0;
	if (st != ST_OK)
		g->failed = st;
	/* No room: do not wait for the second to be over with looking. */
	if (st == ST_LIMIT)
		e->free_check_ms = 0;
	return st;
}

enum status
blob_stage_put(struct store_stage *bg, struct str bytes)
{
	struct stage *g = (struct stage *)bg;
	enum status st;

	if (g->failed != ST_OK)
		return g->failed;
	CHECK(!g->is_synced && !g->is_used);
	if (bytes.n > STORE_BLOB_BYTES_MAX - g->size)
		return ST_LIMIT;
	while (bytes.n > 0) {
		size_t n = size_min(bytes.n, STAGE_FRAME_BYTES - g->frame_n);

		memcpy(g->frame + g->frame_n, bytes.p, n);
		g->crc = crc32c(g->crc, g->frame + g->frame_n, n);
		g->frame_n += n;
		g->size += n;
		bytes = str_from(bytes, n);
		if (g->frame_n == STAGE_FRAME_BYTES && (st = frame_write(g)) != ST_OK)
			return st;
	}
	return ST_OK;
}

enum status
blob_stage_sync(struct stage *g)
{
	struct embedded *e = embedded_of(g->base.store);
	enum status st;

	if (g->failed != ST_OK || g->is_synced)
		return g->failed;
	if (g->frame_n > 0 && (st = frame_write(g)) != ST_OK)
		return st;
	if ((st = e->disk->ops->sync(g->file)) != ST_OK ||
	    (st = e->disk->ops->sync_dir(e->disk, STAGED_FOLDER)) != ST_OK) {
		g->failed = st;
		return st;
	}
	g->is_synced = true;
	return ST_OK;
}

void
blob_stage_free(struct store_stage *bg)
{
	struct stage *g = (struct stage *)bg;
	struct embedded *e = embedded_of(g->base.store);
	char path[PATH_BYTES];

	e->disk->ops->close(g->file);
	if (!g->is_used) {
		staged_path(path, g->number);
		/* If that fails, the next start finds that nobody names it. */
		(void)e->disk->ops->unlink(e->disk, path);
	}
	free(g->frame);
	free(g);
}
