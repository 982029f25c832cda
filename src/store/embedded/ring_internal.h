/* What the ring's files share: what is on disk (docs/internals/ring.md), and how it is read again. */
#ifndef POSTHORN_STORE_EMBEDDED_RING_INTERNAL_H
#define POSTHORN_STORE_EMBEDDED_RING_INTERNAL_H

#include "store/embedded/ring.h"

#define RING_NO_SEGMENT UINT64_MAX
#define RING_PATH_MAX 256
#define RING_GROUP_HEADER 96
#define RING_RECORD_HEADER 8
#define RING_RECORD_ALIGN 8
#define RING_HEAD_BYTES DISK_ALIGN
/* The gaps that one head has room for, (4096 - 96) / 16 = 250, rounded down. */
#define RING_GAPS_MAX 240

static inline uint64_t
ring_align(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- ring_group.c: a group's bytes ---- */

struct ring_group {
	uint64_t ring_id;
	uint64_t epoch;		/* one more with every opening */
	uint64_t sequence;	/* one more with every group */
	uint64_t position;
	uint64_t durable;	/* everything before was durable when this was written */
	uint64_t start;		/* everything before was released */
	uint64_t segment;	/* the generation of the segment file: position / segment_bytes */
	uint32_t bytes;		/* header and records, without the padding to DISK_ALIGN */
	uint32_t records;
	uint32_t crc_before;	/* crc of the group before this one */
	uint32_t crc;		/* of header and padded body */
};

/* p holds the group's records behind RING_GROUP_HEADER bytes and zeros up to DISK_ALIGN. Fills in every checksum. */
void ring_group_seal(struct ring_group *g, char *p);
/* The same without the records' own checksums. */
void ring_group_seal_header(struct ring_group *g, char *p);
/* Only the header, which has a checksum of its own. p: RING_GROUP_HEADER bytes. */
bool ring_group_parse(const char *p, struct ring_group *g_out);
/* The whole group's checksum; p: padded bytes. */
bool ring_group_verify(const struct ring_group *g, const char *p);
/*
 * The record at *off (start with RING_GROUP_HEADER) of a group; moves *off to the next. ST_EOF at the end, ST_IO when
 * the bytes make no sense.
 */
enum status ring_record_next(const struct ring_group *g, const char *p, size_t *off, struct str *record_out);
uint32_t ring_record_crc(uint64_t pos, struct str record);

static inline uint64_t
ring_group_end(const struct ring_group *g)
{
	return g->position + ring_align(g->bytes, DISK_ALIGN);
}

/* ---- ring_files.c: the folder: head and segment files ---- */

struct ring_gap {
	uint64_t from, to;
};

struct ring_head {
	uint64_t sequence;	/* of writing the head */
	uint64_t ring_id;
	uint64_t segment_bytes;
	uint64_t epoch;		/* of the groups from position cut on; those before have smaller ones */
	uint64_t cut;
	uint64_t group_sequence;	/* of the first group from cut on */
	uint64_t durable;	/* everything before was durable when the head was written */
	uint64_t start;		/* everything before was released */
	size_t gaps_n;
	struct ring_gap gaps[RING_GAPS_MAX];
};

void ring_head_encode(const struct ring_head *h, char out[RING_HEAD_BYTES]);
bool ring_head_parse(const char p[RING_HEAD_BYTES], struct ring_head *h_out);

struct ring_slot {
	uint32_t number;	/* of the file */
	uint64_t segment;	/* that it holds, or RING_NO_SEGMENT */
	struct disk_file *rd;	/* through the page cache */
	struct disk_file *wr;	/* around it; NULL when opened read-only */
};

struct ring_files {
	struct disk *disk;
	const char *folder;
	uint64_t segment_bytes;
	struct ring_slot *slots;
	size_t slots_n, slots_max;
	uint32_t number_next;
	bool is_readonly;
	bool has_head;
	struct ring_head head;
	uint64_t head_at;	/* which of the two copies it was read from, 0 or 1 */
	struct disk_file *head_file;
	/* A segment file in the making. */
	struct disk_file *growing;
	uint64_t growing_bytes;
	char *zeros;
	enum status list_status;
};

/* Opens what is there (nothing: slots_n 0). slots_max at least what is there. */
enum status ring_files_open(struct ring_files *f, const struct ring_options *o, bool is_readonly) MUST_USE;
void ring_files_close(struct ring_files *f);
/* The segment's file, or NULL. */
struct ring_slot *ring_files_slot(const struct ring_files *f, uint64_t segment);
void ring_slot_path(const struct ring_files *f, const struct ring_slot *s, char out[RING_PATH_MAX]);
/* Writes f->head, twice, each synced: one of both is always whole. */
enum status ring_files_head_write(struct ring_files *f) MUST_USE;
/*
 * The next step of making one more segment file of zeros: ST_MORE until it is ready; then *slot_out is what
 * to put at slots[slots_n]. Any error leaves no file behind.
 */
enum status ring_files_grow(struct ring_files *f, struct ring_slot *slot_out) MUST_USE;

/* ---- ring_scan.c: finding the log again ---- */

struct ring_scan {
	struct ring_files *files;
	struct buf *out;	/* lines for people; may be NULL */
	uint64_t start;		/* damage before does not matter */
	bool has_last;
	struct ring_group last;	/* the newest whole group */
	size_t gaps_n;		/* damage that nobody has allowed yet */
	struct ring_gap gaps[RING_GAPS_MAX];
	bool has_read_error;
	uint64_t groups, records;	/* walked */
	/* A window of one file. */
	char *window;
	size_t window_cap, window_n;
	uint64_t window_off;
	const struct ring_slot *window_slot;
};

typedef enum status ring_visit_fn(void *arg, const struct ring_group *g, const char *bytes);

void ring_scan_init(struct ring_scan *s, struct ring_files *f, struct buf *out);
void ring_scan_fini(struct ring_scan *s);
void ring_scan_say(struct ring_scan *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Learns which segment each file holds, the last whole group, and the start. */
void ring_scan_find(struct ring_scan *s);
/* Every group from the segment of position `from` to the last, verified; gaps are noted in s. fn may be NULL. */
enum status ring_scan_walk(struct ring_scan *s, uint64_t from, ring_visit_fn *fn, void *arg) MUST_USE;
/* Damage that a replay must not pass over. */
static inline bool
ring_scan_is_damaged(const struct ring_scan *s)
{
	return s->gaps_n > 0 || s->has_read_error;
}

#endif
