/*
 * Finding the log again from whatever the segment files hold.
 *
 * Nothing here trusts a byte before its checksum was right, and nothing moves backwards: every loop
 * ends because an offset or a segment number only grows (or only falls).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "store/embedded/ring_internal.h"

enum { WINDOW_BYTES = 1 << 20 };

void
ring_scan_init(struct ring_scan *s, struct ring_files *f, struct buf *out)
{
	*s = (struct ring_scan){.files = f, .out = out};
}

void
ring_scan_fini(struct ring_scan *s)
{
	free(s->window);
	s->window = NULL;
}

void
ring_scan_say(struct ring_scan *s, const char *fmt, ...)
{
	va_list ap;

	if (s->out == NULL)
		return;
	va_start(ap, fmt);
	(void)buf_putv(s->out, fmt, ap);
	va_end(ap);
	(void)buf_put_c(s->out, '\n');
}

/* ---- bytes ---- */

static bool
window_fill(struct ring_scan *s, const struct ring_slot *slot, uint64_t off, size_t n)
{
	size_t got;

	s->window_slot = NULL;
	if (n > s->window_cap) {
		free(s->window);
		s->window = malloc(n);
		CHECK(s->window != NULL);
		s->window_cap = n;
	}
	if (disk_pread(slot->rd, s->window, n, off, &got) != ST_OK)
		return false;
	s->window_slot = slot;
	s->window_off = off;
	s->window_n = got;
	return true;
}

/*
 * n bytes of a segment file, borrowed until the next call; NULL when the file is too short or cannot be
 * read. Reads ahead unless is_single.
 */
static const char *
bytes_at(struct ring_scan *s, const struct ring_slot *slot, uint64_t off, size_t n, bool is_single)
{
	size_t ahead = is_single ? n : size_max(n, WINDOW_BYTES);

	if (s->window_slot == slot && off >= s->window_off && off + n <= s->window_off + s->window_n)
		return s->window + (off - s->window_off);
	/* One bad sector must not hide what stands around it. */
	if (!window_fill(s, slot, off, ahead) && (ahead == n || !window_fill(s, slot, off, n))) {
		s->has_read_error = true;
		return NULL;
	}
	return n <= s->window_n ? s->window : NULL;
}

/*
 * What the head says about a group is what keeps cut and foreign groups out, also such as a stranger put
 * into a mail: ring_id is a random number that never leaves the disk.
 */
static bool
is_of_this_log(const struct ring_files *f, const struct ring_group *g)
{
	const struct ring_head *h = &f->head;

	if (!f->has_head)
		return true;
	return g->ring_id == h->ring_id && (g->position >= h->cut ? g->epoch == h->epoch : g->epoch < h->epoch);
}

/* A group's header at this place of a segment file, body not looked at. */
static bool
header_at(struct ring_scan *s, const struct ring_slot *slot, uint64_t off, bool is_single,
    struct ring_group *g)
{
	uint64_t size = s->files->segment_bytes;
	const char *p = bytes_at(s, slot, off, RING_GROUP_HEADER, is_single);

	return p != NULL && ring_group_parse(p, g) && g->segment == g->position / size &&
	    g->position % size == off && ring_align(g->bytes, DISK_ALIGN) <= size - off &&
	    is_of_this_log(s->files, g);
}

/* A whole group; its bytes are borrowed. NULL: none. */
static const char *
group_at(struct ring_scan *s, const struct ring_slot *slot, uint64_t off, struct ring_group *g)
{
	const char *p;

	if (off >= s->files->segment_bytes || !header_at(s, slot, off, false, g) ||
	    g->segment != slot->segment)
		return NULL;
	p = bytes_at(s, slot, off, ring_align(g->bytes, DISK_ALIGN), false);
	return p != NULL && ring_group_verify(g, p) ? p : NULL;
}

/* ---- which segment, which group is the last ---- */

/*
 * The segment a file holds is said by its first group. When that is torn or damaged, the newest header
 * behind it says it.
 */
static void
slot_identify(struct ring_scan *s, struct ring_slot *slot)
{
	struct ring_group g, best = {0};
	bool found = header_at(s, slot, 0, true, &best);

	for (uint64_t off = DISK_ALIGN; !found && off < s->files->segment_bytes; off += DISK_ALIGN)
		if (header_at(s, slot, off, false, &g) && g.sequence >= best.sequence)
			best = g;
	slot->segment = found || best.bytes > 0 ? best.segment : RING_NO_SEGMENT;
}

/* The last whole group of one file. */
static bool
slot_last(struct ring_scan *s, const struct ring_slot *slot, struct ring_group *last)
{
	struct ring_group g;
	uint64_t off = 0;
	bool found = false;

	while (off < s->files->segment_bytes) {
		if (group_at(s, slot, off, &g) == NULL) {
			off += DISK_ALIGN;
			continue;
		}
		if (!found || g.sequence > last->sequence)
			*last = g;
		found = true;
		off += ring_align(g.bytes, DISK_ALIGN);
	}
	return found;
}

/* The file with the highest segment number below limit. */
static const struct ring_slot *
slot_below(const struct ring_files *f, uint64_t limit)
{
	const struct ring_slot *best = NULL;

	for (size_t i = 0; i < f->slots_n; i++) {
		const struct ring_slot *slot = &f->slots[i];
		if (slot->segment < limit && (best == NULL || slot->segment > best->segment))
			best = slot;
	}
	return best;
}

void
ring_scan_find(struct ring_scan *s)
{
	struct ring_files *f = s->files;
	const struct ring_slot *slot;
	uint64_t limit = RING_NO_SEGMENT;

	for (size_t i = 0; i < f->slots_n; i++)
		slot_identify(s, &f->slots[i]);
	while (!s->has_last && (slot = slot_below(f, limit)) != NULL) {
		s->has_last = slot_last(s, slot, &s->last);
		limit = slot->segment;
	}
	s->start = f->has_head ? f->head.start : 0;
	if (s->has_last && s->last.start > s->start)
		s->start = s->last.start;
}

/* ---- the chain ---- */

struct chain {
	uint64_t pos;		/* where the next group is expected */
	bool is_linked;		/* sequence, crc and epoch of the group before are known */
	uint64_t sequence, epoch;
	uint32_t crc;
};

static bool
is_next(const struct chain *c, const struct ring_group *g)
{
	return !c->is_linked ||
	    (g->sequence == c->sequence + 1 && g->crc_before == c->crc && g->epoch >= c->epoch);
}

static const char *
group_at_position(struct ring_scan *s, uint64_t pos, struct ring_group *g)
{
	uint64_t size = s->files->segment_bytes;
	const struct ring_slot *slot = ring_files_slot(s->files, pos / size);

	return slot == NULL ? NULL : group_at(s, slot, pos % size, g);
}

/* The group that follows: here, or, as this segment had no room for it, at the start of the next. */
static const char *
chain_next(struct ring_scan *s, const struct chain *c, struct ring_group *g)
{
	uint64_t size = s->files->segment_bytes;
	const char *p = group_at_position(s, c->pos, g);

	if (p != NULL && is_next(c, g))
		return p;
	if (c->pos % size == 0)
		return NULL;
	p = group_at_position(s, ring_align(c->pos, size), g);
	return p != NULL && is_next(c, g) ? p : NULL;
}

/* The first whole group at or behind pos that may belong to this log: where it goes on after damage. */
static const char *
chain_resume(struct ring_scan *s, const struct chain *c, struct ring_group *g)
{
	uint64_t size = s->files->segment_bytes;

	for (uint64_t seg = c->pos / size; seg <= s->last.segment; seg++) {
		const struct ring_slot *slot = ring_files_slot(s->files, seg);
		uint64_t off = seg == c->pos / size ? c->pos % size : 0;
		for (; slot != NULL && off < size; off += DISK_ALIGN) {
			const char *p = group_at(s, slot, off, g);
			if (p != NULL && (!c->is_linked || g->sequence > c->sequence))
				return p;
		}
	}
	return NULL;
}

static bool
is_allowed(const struct ring_head *h, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < h->gaps_n; i++)
		if (h->gaps[i].from <= from && to <= h->gaps[i].to)
			return true;
	return false;
}

static void
gap_add(struct ring_scan *s, uint64_t from, uint64_t to)
{
	uint64_t size = s->files->segment_bytes;
	const struct ring_slot *slot = ring_files_slot(s->files, from / size);
	char path[RING_PATH_MAX] = "a missing segment file";

	if (to <= s->start || (s->files->has_head && is_allowed(&s->files->head, from, to)))
		return;
	if (slot != NULL)
		ring_slot_path(s->files, slot, path);
	ring_scan_say(s,
	    "%s, offset %llu: damage from position %llu to %llu, before the durable position %llu", path,
	    (unsigned long long)(from % size), (unsigned long long)from, (unsigned long long)to,
	    (unsigned long long)s->last.durable);
	if (s->gaps_n < RING_GAPS_MAX)
		s->gaps[s->gaps_n] = (struct ring_gap){from, to};
	s->gaps_n++;
}

enum status
ring_scan_walk(struct ring_scan *s, uint64_t from, ring_visit_fn *fn, void *arg)
{
	uint64_t size = s->files->segment_bytes;
	struct chain c = {.pos = from / size * size};
	struct ring_group g;
	enum status st;

	/* Each turn accepts a group that ends further on, so this ends with the last one. */
	while (s->has_last && c.pos <= s->last.position) {
		const char *p = chain_next(s, &c, &g);
		if (p == NULL) {
			p = chain_resume(s, &c, &g);
			/* Only when reading fails now what could be read before. */
			if (p == NULL) {
				gap_add(s, c.pos, ring_group_end(&s->last));
				s->has_read_error = true;
				return ST_OK;
			}
			gap_add(s, c.pos, g.position);
		}
		s->groups++;
		s->records += g.records;
		st = fn == NULL ? ST_OK : fn(arg, &g, p);
		if (st != ST_OK)
			return st;
		c = (struct chain){ring_group_end(&g), true, g.sequence, g.epoch, g.crc};
	}
	return ST_OK;
}
