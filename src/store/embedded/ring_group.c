#include "base/crc32c.h"
#include "base/num.h"
#include "store/embedded/ring_internal.h"

static const char group_magic[8] = "PHgroup1";

/* Where the fields stand; docs/internals/ring.md shows the same table. */
enum {
	AT_RING_ID = 8,
	AT_EPOCH = 16,
	AT_SEQUENCE = 24,
	AT_POSITION = 32,
	AT_DURABLE = 40,
	AT_START = 48,
	AT_SEGMENT = 56,
	AT_BYTES = 64,
	AT_RECORDS = 68,
	AT_CRC_BEFORE = 72,
	AT_ZERO = 76,
	AT_CRC = 88,
	AT_HEADER_CRC = 92,
};

/* Header without its two checksums, then everything behind the header. */
static uint32_t
group_crc(const struct ring_group *g, const char *p)
{
	size_t padded = ring_align(g->bytes, DISK_ALIGN);

	return crc32c(crc32c(0, p, AT_CRC), p + RING_GROUP_HEADER, padded - RING_GROUP_HEADER);
}

uint32_t
ring_record_crc(uint64_t pos, struct str record)
{
	char head[12];

	le64_put(head, pos);
	le32_put(head + 8, (uint32_t)record.n);
	return crc32c(crc32c(0, head, sizeof(head)), record.p, record.n);
}

static void
records_seal(const struct ring_group *g, char *p)
{
	size_t off = RING_GROUP_HEADER;

	while (off < g->bytes) {
		size_t n = le32_get(p + off);
		struct str record = str_of(p + off + RING_RECORD_HEADER, n);
		le32_put(p + off + 4, ring_record_crc(g->position + off, record));
		off += ring_align(RING_RECORD_HEADER + n, RING_RECORD_ALIGN);
	}
}

void
ring_group_seal(struct ring_group *g, char *p)
{
	records_seal(g, p);
	ring_group_seal_header(g, p);
}

void
ring_group_seal_header(struct ring_group *g, char *p)
{
	memset(p, 0, RING_GROUP_HEADER);
	memcpy(p, group_magic, sizeof(group_magic));
	le64_put(p + AT_RING_ID, g->ring_id);
	le64_put(p + AT_EPOCH, g->epoch);
	le64_put(p + AT_SEQUENCE, g->sequence);
	le64_put(p + AT_POSITION, g->position);
	le64_put(p + AT_DURABLE, g->durable);
	le64_put(p + AT_START, g->start);
	le64_put(p + AT_SEGMENT, g->segment);
	le32_put(p + AT_BYTES, g->bytes);
	le32_put(p + AT_RECORDS, g->records);
	le32_put(p + AT_CRC_BEFORE, g->crc_before);
	g->crc = group_crc(g, p);
	le32_put(p + AT_CRC, g->crc);
	le32_put(p + AT_HEADER_CRC, crc32c(0, p, AT_HEADER_CRC));
}

bool
ring_group_parse(const char *p, struct ring_group *g)
{
	if (memcmp(p, group_magic, sizeof(group_magic)) != 0 ||
	    le32_get(p + AT_HEADER_CRC) != crc32c(0, p, AT_HEADER_CRC))
		return false;
	*g = (struct ring_group){
	    .ring_id = le64_get(p + AT_RING_ID),
	    .epoch = le64_get(p + AT_EPOCH),
	    .sequence = le64_get(p + AT_SEQUENCE),
	    .position = le64_get(p + AT_POSITION),
	    .durable = le64_get(p + AT_DURABLE),
	    .start = le64_get(p + AT_START),
	    .segment = le64_get(p + AT_SEGMENT),
	    .bytes = le32_get(p + AT_BYTES),
	    .records = le32_get(p + AT_RECORDS),
	    .crc_before = le32_get(p + AT_CRC_BEFORE),
	    .crc = le32_get(p + AT_CRC),
	};
	return g->bytes >= RING_GROUP_HEADER && g->start <= g->durable && g->durable <= g->position;
}

bool
ring_group_verify(const struct ring_group *g, const char *p)
{
	return group_crc(g, p) == g->crc;
}

enum status
ring_record_next(const struct ring_group *g, const char *p, size_t *off, struct str *record)
{
	size_t left = g->bytes - *off, n;

	if (left == 0)
		return ST_EOF;
	if (left < RING_RECORD_HEADER)
		return ST_IO;
	n = le32_get(p + *off);
	if (n > left - RING_RECORD_HEADER)
		return ST_IO;
	*record = str_of(p + *off + RING_RECORD_HEADER, n);
	if (le32_get(p + *off + 4) != ring_record_crc(g->position + *off, *record))
		return ST_IO;
	*off += size_min(ring_align(RING_RECORD_HEADER + n, RING_RECORD_ALIGN), left);
	return ST_OK;
}
