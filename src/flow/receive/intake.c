#include "flow/receive/intake.h"

#include "base/check.h"
#include "base/num.h"

/* ---- the header ---- */

static struct str
value_of(struct str line, struct str name)
{
	struct str head, tail;

	if (!str_split(line, ':', &head, &tail) || !str_eq_ci(str_trim(head), name))
		return STR_NULL;
	return str_trim(tail);
}

static bool
is_field(struct str line, struct str name)
{
	struct str head, tail;

	return str_split(line, ':', &head, &tail) && str_eq_ci(str_trim(head), name);
}

static bool
is_precedence_of_machines(struct str value)
{
	return str_eq_ci(value, STR("bulk")) || str_eq_ci(value, STR("list")) || str_eq_ci(value, STR("junk"));
}

static void
message_id_keep(struct header_scan *h, struct str value)
{
	size_t open = str_find_char(value, '<'), close = str_find_char(value, '>');
	struct str id;

	if (h->has_message_id || open >= close || close == value.n)
		return;
	id = str_take(str_from(value, open), close + 1 - open);
	if (id.n > HEADER_MESSAGE_ID_MAX)
		return;
	memcpy(h->message_id, id.p, id.n);
	h->message_id_n = (uint8_t)id.n;
	h->has_message_id = true;
}

/* One field, unfolded, cut to what is kept of it. */
static void
field_read(struct header_scan *h)
{
	struct str line = str_of(h->line, h->line_n), value;

	if (is_field(line, STR("Received"))) {
		h->hops++;
		return;
	}
	value = value_of(line, STR("Message-ID"));
	if (value.n > 0)
		message_id_keep(h, value);
	value = value_of(line, STR("Auto-Submitted"));
	h->is_auto |= value.n > 0 && !str_eq_ci(value, STR("no"));
	h->is_auto |= is_precedence_of_machines(value_of(line, STR("Precedence")));
	h->is_auto |= is_field(line, STR("List-Id"));
}

static void
field_end(struct header_scan *h)
{
	if (h->line_n > 0)
		field_read(h);
	h->line_n = 0;
}

static void
line_keep(struct header_scan *h, struct str s)
{
	size_t n = size_min(s.n, sizeof(h->line) - h->line_n);

	if (n > 0)
		memcpy(h->line + h->line_n, s.p, n);
	h->line_n = (uint16_t)(h->line_n + n);
}

/*
 * A field ends where a line begins with anything but white space, so the end of a line is only noted (as '\n' at the end of what is kept)
 * until the next byte is seen.
 */
static bool
is_at_line_start(const struct header_scan *h)
{
	return h->line_n == 0 || h->line[h->line_n - 1] == '\n';
}

static void
line_begin(struct header_scan *h, char first)
{
	if (h->line_n > 0 && (first == ' ' || first == '\t')) {
		h->line[h->line_n - 1] = ' ';
		return;
	}
	if (h->line_n > 0)
		h->line_n--;
	field_end(h);
	h->is_over = first == '\r' || first == '\n';
}

void
header_scan_put(struct header_scan *h, struct str bytes)
{
	while (bytes.n > 0 && !h->is_over) {
		size_t n = str_find_char(bytes, '\n');
		struct str line = str_take(bytes, n);

		if (is_at_line_start(h))
			line_begin(h, bytes.p[0]);
		line_keep(h, line);
		if (n < bytes.n) {
			/* The last byte that is kept marks the line's end, also when the line was longer. */
			if (h->line_n == sizeof(h->line))
				h->line_n--;
			h->line[h->line_n++] = '\n';
			n++;
		}
		bytes = str_from(bytes, n);
	}
}

struct str
header_scan_message_id(const struct header_scan *h)
{
	return str_of(h->message_id, h->message_id_n);
}

/* ---- the body ---- */

void
intake_init(struct intake *i, uint64_t session)
{
	*i = (struct intake){.session = session};
	buf_init(&i->body, RECEIVE_INLINE_MAX + INTAKE_PIECE_MAX);
}

void
intake_fini(struct intake *i)
{
	buf_fini(&i->body);
}

static void
intake_stage(struct intake *i, struct link *store)
{
	if (store == NULL)
		i->is_failed = true;
	if (!i->is_failed) {
		(void)rec_stage_put(link_out(store), &(struct rec_stage){.session = i->session, .bytes = buf_str(&i->body)});
		i->is_staged = true;
		i->unanswered += (uint32_t)i->body.n;
	}
	buf_reset(&i->body);
}

void
intake_put(struct intake *i, struct link *store, struct str bytes)
{
	CHECK(bytes.n <= INTAKE_PIECE_MAX);
	i->bytes += bytes.n;
	if (!i->header.is_over)
		header_scan_put(&i->header, bytes);
	if (i->is_failed)
		return;
	CHECK(buf_put(&i->body, bytes) == ST_OK);
	if (i->body.n >= RECEIVE_INLINE_MAX)
		intake_stage(i, store);
}

bool
intake_is_behind(const struct intake *i)
{
	return i->unanswered > RECEIVE_STAGE_WINDOW;
}

void
intake_staged(struct intake *i, uint32_t bytes_n, bool ok)
{
	i->unanswered -= (uint32_t)size_min(bytes_n, i->unanswered);
	i->is_failed |= !ok;
}

void
intake_end(struct intake *i, struct link *store)
{
	if (i->is_staged && i->body.n > 0)
		intake_stage(i, store);
}

void
intake_forget(struct intake *i, struct link *store)
{
	if (i->is_staged && store != NULL)
		(void)rec_stage_drop_put(link_out(store), &(struct rec_stage_drop){.session = i->session});
	i->is_staged = false;
}

void
intake_store_down(struct intake *i)
{
	if (!i->is_staged)
		return;
	/* Its first half went down with the store. */
	i->is_staged = false;
	i->is_failed = true;
	i->unanswered = 0;
}
