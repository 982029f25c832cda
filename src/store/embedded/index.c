#include "store/embedded/index.h"

#include "base/cur.h"
#include "base/num.h"

void
blob_row_put(uint8_t out[BLOB_ROW_BYTES], const struct blob_row *r)
{
	le32_put(out, (uint32_t)(r->kind | r->flags << 8));
	le32_put(out + 4, r->refs);
	le32_put(out + 8, r->crc);
	le32_put(out + 12, r->size);
	le64_put(out + 16, r->a);
	le32_put(out + 24, r->b);
	le32_put(out + 28, r->stored);
}

enum status
blob_row_get(struct str s, struct blob_row *out)
{
	uint32_t head;

	if (s.n != BLOB_ROW_BYTES)
		return ST_IO;
	head = le32_get(s.p);
	*out = (struct blob_row){.kind = (uint8_t)head,
	    .flags = (uint8_t)(head >> 8),
	    .refs = le32_get(s.p + 4),
	    .crc = le32_get(s.p + 8),
	    .size = le32_get(s.p + 12),
	    .a = le64_get(s.p + 16),
	    .b = le32_get(s.p + 24),
	    .stored = le32_get(s.p + 28)};
	if (out->kind < BLOB_RING || out->kind > BLOB_STAGED || head >> 16 != 0 || out->refs == 0)
		return ST_IO;
	return ST_OK;
}

void
segment_row_put(uint8_t out[SEGMENT_ROW_BYTES], const struct segment_row *r)
{
	le64_put(out, r->bytes);
	le64_put(out + 8, r->live);
	le64_put(out + 16, r->raw);
}

enum status
segment_row_get(struct str s, struct segment_row *out)
{
	if (s.n != SEGMENT_ROW_BYTES)
		return ST_IO;
	*out = (struct segment_row){le64_get(s.p), le64_get(s.p + 8), le64_get(s.p + 16)};
	return out->live <= out->bytes ? ST_OK : ST_IO;
}

void
index_meta_put(uint8_t out[INDEX_META_BYTES], const struct index_meta *m)
{
	const uint64_t v[] = {m->format, m->covered_next, m->blob_next, m->archive_next,
	    m->ring_floor, m->segment_next, m->ring_segment_bytes, m->checkpoints};

	_Static_assert(sizeof(v) == INDEX_META_BYTES, "the row holds every member");
	for (size_t i = 0; i < COUNT_OF(v); i++)
		le64_put(out + 8 * i, v[i]);
}

enum status
index_meta_get(struct str s, struct index_meta *out)
{
	if (s.n < 8)
		return ST_IO;
	*out = (struct index_meta){.format = le64_get(s.p)};
	if (out->format != INDEX_FORMAT)
		return ST_UNSUPPORTED;
	if (s.n != INDEX_META_BYTES)
		return ST_IO;
	out->covered_next = le64_get(s.p + 8);
	out->blob_next = le64_get(s.p + 16);
	out->archive_next = le64_get(s.p + 24);
	out->ring_floor = le64_get(s.p + 32);
	out->segment_next = le64_get(s.p + 40);
	out->ring_segment_bytes = le64_get(s.p + 48);
	out->checkpoints = le64_get(s.p + 56);
	return ST_OK;
}
