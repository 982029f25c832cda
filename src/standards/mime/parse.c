/*
 * The tree, in one pass over the message. Lines go by once; a line that starts with "--" is
 * compared with the boundaries that are open. Whoever hits a boundary stores it in the parser and
 * returns; each level then looks whether it is its own.
 */
#include "base/num.h"
#include "standards/mime/mime_internal.h"

const struct mime_limits mime_limits_default = {
    .parts_max = MIME_PARTS_MAX,
    .depth_max = MIME_DEPTH_MAX,
    .headers_max = MIME_HEADERS_MAX,
    .params_max = MIME_PARAMS_MAX,
    .header_bytes_max = MIME_HEADER_BYTES_MAX,
};

/* An open multipart. Lives in the C stack frame of the part. */
struct boundary {
	const struct boundary *outer;
	struct str value;
};

struct parser {
	const char *p, *end;
	size_t lines; /* line ends before p */
	struct arena *a;
	struct mime_limits limits;
	struct mime_message *message;
	const struct boundary *boundary; /* the innermost open one */
	/* Why the last scan stopped: NULL for the end of the message. */
	const struct boundary *hit;
	bool hit_is_close;
	const char *hit_start; /* of the boundary's line */
	size_t hit_lines;      /* line ends before hit_start */
	size_t end_lines;      /* line ends before the end of the part parsed last */
};

static struct mime_part *
part_new(struct parser *ps, struct mime_part *parent)
{
	struct mime_part *part = ARENA_NEW(ps->a, struct mime_part);

	if (part == NULL)
		return NULL;
	ps->message->parts_n++;
	part->parent = parent;
	part->number = 1;
	part->depth = parent != NULL ? (uint16_t)(parent->depth + 1) : 0;
	return part;
}

/* ---- lines and boundaries ---- */

/* The open boundary that this line (without its line end) is, innermost first. */
static const struct boundary *
boundary_of_line(const struct parser *ps, struct str line, bool *is_close_out)
{
	struct str s;

	/* RFC 2046 5.1.1: transport padding. A CR of the line end goes with it. */
	while (line.n > 2 && mime_is_space(line.p[line.n - 1]))
		line.n--;
	s = str_from(line, 2);
	/*
	 * Innermost first, so that a generator that uses one boundary on two levels gets the tree
	 * it meant. The whole line must match: a boundary may be the beginning of another.
	 */
	for (const struct boundary *b = ps->boundary; b != NULL; b = b->outer) {
		bool is_close = s.n == b->value.n + 2;

		if (s.n != b->value.n && !is_close)
			continue;
		if (memcmp(s.p, b->value.p, b->value.n) != 0)
			continue;
		if (is_close && (s.p[s.n - 2] != '-' || s.p[s.n - 1] != '-'))
			continue;
		*is_close_out = is_close;
		return b;
	}
	return NULL;
}

static void
hit_end(struct parser *ps)
{
	ps->hit = NULL;
	ps->hit_is_close = false;
	ps->hit_start = ps->p = ps->end;
	ps->hit_lines = ps->lines;
}

/* At a line's start: is it an open boundary? Then takes it. */
static bool
boundary_take(struct parser *ps)
{
	const struct boundary *b;
	const char *nl;
	bool is_close;

	if (ps->boundary == NULL || ps->end - ps->p < 3 || ps->p[0] != '-' || ps->p[1] != '-')
		return false;
	nl = memchr(ps->p, '\n', (size_t)(ps->end - ps->p));
	b = boundary_of_line(
	    ps, str_of(ps->p, (size_t)((nl != NULL ? nl : ps->end) - ps->p)), &is_close);
	if (b == NULL)
		return false;
	ps->hit = b;
	ps->hit_is_close = is_close;
	ps->hit_start = ps->p;
	ps->hit_lines = ps->lines;
	ps->p = nl != NULL ? nl + 1 : ps->end;
	ps->lines += nl != NULL;
	return true;
}

/* Eight bytes at a time: a zero byte in x marks an LF. Exact for each byte, so no carry between
 * bytes may count. */
static size_t
line_ends_count(const char *p, const char *end)
{
	const uint64_t low = 0x7f7f7f7f7f7f7f7fu, lf = 0x0a0a0a0a0a0a0a0au;
	size_t n = 0;

	for (; end - p >= 8; p += 8) {
		uint64_t x;

		memcpy(&x, p, sizeof(x));
		x ^= lf;
		x = ~(((x & low) + low) | x | low);
		/* 0x80 in each byte that was LF: summed by the multiplication. */
		n += ((x >> 7) * 0x0101010101010101u) >> 56;
	}
	for (; p < end; p++)
		n += *p == '\n';
	return n;
}

/* To the next open boundary or the end. */
static void
boundary_scan(struct parser *ps)
{
	if (ps->boundary == NULL) {
		ps->lines += line_ends_count(ps->p, ps->end);
		hit_end(ps);
		return;
	}
	while (!boundary_take(ps)) {
		const char *nl =
		    ps->p < ps->end ? memchr(ps->p, '\n', (size_t)(ps->end - ps->p)) : NULL;

		if (nl == NULL) {
			hit_end(ps);
			return;
		}
		ps->p = nl + 1;
		ps->lines++;
	}
}

/* ---- fields ---- */

static void
content_type_take(struct parser *ps, struct mime_part *part, struct str value)
{
	struct cur c = cur_of(value);
	const char *start;
	struct str type, subtype;

	mime_cfws_skip(&c, NULL);
	start = c.p;
	while (!cur_at_end(&c) && *c.p != '/' && *c.p != ';' && *c.p != '(' && !mime_is_space(*c.p))
		c.p++;
	type = str_of(start, (size_t)(c.p - start));
	mime_cfws_skip(&c, NULL);
	if (!cur_char(&c, '/') || type.n == 0) {
		part->defects |= MIME_DEFECT_CONTENT_TYPE;
		return;
	}
	mime_cfws_skip(&c, NULL);
	start = c.p;
	while (!cur_at_end(&c) && *c.p != ';' && *c.p != '(' && !mime_is_space(*c.p))
		c.p++;
	subtype = str_of(start, (size_t)(c.p - start));
	if (subtype.n == 0) {
		part->defects |= MIME_DEFECT_CONTENT_TYPE;
		return;
	}
	part->has_type = true;
	part->type = type;
	part->subtype = subtype;
	c.p += str_find_char(cur_rest(&c), ';');
	cur_skip(&c, 1);
	mime_params_take(&c, ps->a, ps->limits.params_max, &part->params, &part->defects);
}

static void
disposition_take(struct parser *ps, struct mime_part *part, struct str value)
{
	struct cur c = cur_of(value);
	struct str word;
	const char *start;

	mime_cfws_skip(&c, NULL);
	start = c.p;
	while (!cur_at_end(&c) && *c.p != ';' && *c.p != '(' && !mime_is_space(*c.p))
		c.p++;
	word = str_of(start, (size_t)(c.p - start));
	/* RFC 2183 2; "filename=x" alone is what some write. */
	if (str_find_char(word, '=') < word.n) {
		c.p = start;
		word = STR("attachment");
	} else {
		c.p += str_find_char(cur_rest(&c), ';');
		cur_skip(&c, 1);
	}
	if (word.n == 0) {
		part->defects |= MIME_DEFECT_PARAM;
		return;
	}
	part->disposition = word;
	mime_params_take(
	    &c, ps->a, ps->limits.params_max, &part->disposition_params, &part->defects);
}

static void
encoding_take(struct mime_part *part, struct str value)
{
	/* RFC 2045 6.1; "x-" and the misspellings seen most. */
	static const struct {
		struct str name;
		enum mime_encoding encoding;
	} table[] = {
	    {STR_INIT("7bit"), MIME_7BIT},
	    {STR_INIT("8bit"), MIME_8BIT},
	    {STR_INIT("binary"), MIME_BINARY},
	    {STR_INIT("quoted-printable"), MIME_QUOTED_PRINTABLE},
	    {STR_INIT("base64"), MIME_BASE64},
	    {STR_INIT("7-bit"), MIME_7BIT},
	    {STR_INIT("8-bit"), MIME_8BIT},
	};
	struct cur c = cur_of(value);
	const char *start;

	mime_cfws_skip(&c, NULL);
	start = c.p;
	while (!cur_at_end(&c) && *c.p != ';' && *c.p != '(' && !mime_is_space(*c.p))
		c.p++;
	part->encoding_name = str_of(start, (size_t)(c.p - start));
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (str_eq_ci(part->encoding_name, table[i].name)) {
			part->encoding = table[i].encoding;
			return;
		}
	part->encoding = MIME_ENCODING_OTHER;
	part->defects |= MIME_DEFECT_ENCODING;
}

enum content_field {
	CONTENT_TYPE = 1 << 0,
	CONTENT_ENCODING = 1 << 1,
	CONTENT_DISPOSITION = 1 << 2,
	CONTENT_ID = 1 << 3,
	CONTENT_DESCRIPTION = 1 << 4,
	CONTENT_LANGUAGE = 1 << 5,
	CONTENT_LOCATION = 1 << 6,
	CONTENT_MD5 = 1 << 7,
};

static enum content_field
content_field_of(struct str name)
{
	static const struct {
		struct str name;
		enum content_field field;
	} table[] = {
	    {STR_INIT("type"), CONTENT_TYPE},
	    {STR_INIT("transfer-encoding"), CONTENT_ENCODING},
	    {STR_INIT("disposition"), CONTENT_DISPOSITION},
	    {STR_INIT("id"), CONTENT_ID},
	    {STR_INIT("description"), CONTENT_DESCRIPTION},
	    {STR_INIT("language"), CONTENT_LANGUAGE},
	    {STR_INIT("location"), CONTENT_LOCATION},
	    {STR_INIT("md5"), CONTENT_MD5},
	};
	struct str rest = str_from(name, sizeof("content-") - 1);

	if (char_lower(name.p[0]) != 'c' || !str_has_prefix_ci(name, STR("content-")))
		return 0;
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (str_eq_ci(rest, table[i].name))
			return table[i].field;
	return 0;
}

static void
field_take(struct parser *ps, struct mime_part *part, const struct mime_header *h, unsigned *seen)
{
	enum content_field field = content_field_of(h->name);

	if (field == 0)
		return;
	if ((*seen & field) != 0) {
		part->defects |= MIME_DEFECT_DUPLICATE_FIELD;
		return;
	}
	*seen |= field;
	switch (field) {
	case CONTENT_TYPE:
		content_type_take(ps, part, h->value);
		break;
	case CONTENT_ENCODING:
		encoding_take(part, h->value);
		break;
	case CONTENT_DISPOSITION:
		disposition_take(ps, part, h->value);
		break;
	case CONTENT_ID:
		part->id = str_trim(h->value);
		break;
	case CONTENT_DESCRIPTION:
		part->description = str_trim(h->value);
		break;
	case CONTENT_LANGUAGE:
		part->language = str_trim(h->value);
		break;
	case CONTENT_LOCATION:
		part->location = str_trim(h->value);
		break;
	case CONTENT_MD5:
		part->md5 = str_trim(h->value);
		break;
	}
}

static bool
blank_line_take(struct parser *ps)
{
	size_t n = ps->p[0] == '\n'						  ? 1
		   : ps->end - ps->p >= 2 && ps->p[0] == '\r' && ps->p[1] == '\n' ? 2
										  : 0;

	ps->p += n;
	ps->lines += n > 0;
	return n > 0;
}

/* The header with its blank line. True when it ended at a boundary or at the end (then the part has
 * no body). */
static bool
header_take(struct parser *ps, struct mime_part *part)
{
	const char *start = ps->p;
	size_t fields_n = 0;
	unsigned seen = 0;
	bool is_hit = false;

	while (!is_hit) {
		const char *field = ps->p;
		struct mime_header h;

		if (ps->p == ps->end) {
			hit_end(ps);
			is_hit = true;
			break;
		}
		if (blank_line_take(ps))
			break;
		is_hit = boundary_take(ps);
		if (is_hit)
			break;
		ps->p = mime_field_end(ps->p, ps->end, &ps->lines);
		if (fields_n == ps->limits.headers_max) {
			part->defects |= MIME_LIMIT_HEADERS;
		} else if ((size_t)(ps->p - start) > ps->limits.header_bytes_max) {
			part->defects |= MIME_LIMIT_HEADER_BYTES;
		} else if (mime_field_split(str_of(field, (size_t)(ps->p - field)), &h)) {
			fields_n++;
			field_take(ps, part, &h, &seen);
		} else {
			part->defects |= MIME_DEFECT_HEADER_LINE;
		}
	}
	part->header = str_of(start, (size_t)((is_hit ? ps->hit_start : ps->p) - start));
	part->defects |= is_hit ? MIME_DEFECT_NO_BLANK_LINE : 0;
	return is_hit;
}

/* ---- parts ---- */

static void
default_type_set(struct mime_part *part)
{
	bool in_digest =
	    part->parent != NULL && mime_part_is(part->parent, STR("multipart"), STR("digest"));

	if (part->has_type)
		return;
	/* RFC 2046 5.1.5; an unreadable field gives text/plain there too (RFC 2045 5.2). */
	if (in_digest && (part->defects & MIME_DEFECT_CONTENT_TYPE) == 0) {
		part->type = STR("message");
		part->subtype = STR("rfc822");
	} else {
		part->type = STR("text");
		part->subtype = STR("plain");
	}
}

static void
leaf_make(struct mime_part *part, uint32_t defect)
{
	part->kind = MIME_LEAF;
	part->has_type = false;
	part->type = STR("text");
	part->subtype = STR("plain");
	part->params = (struct mime_params){0};
	part->defects |= defect;
}

/*
 * Where the part's body ends after a scan: the line end before a boundary is the boundary's (RFC
 * 2046 5.1.1). But a last child without a body keeps its header whole, and then the line end is
 * its: no part reaches out of the one around it.
 */
static void
body_end(struct parser *ps, struct mime_part *part, const char *start, size_t lines_before,
    const struct mime_part *last)
{
	const char *end = ps->hit_start,
		   *child_end = last != NULL ? last->body.p + last->body.n : start;
	size_t lines = ps->hit_lines;

	if (ps->hit != NULL && end > start && end[-1] == '\n') {
		end--;
		lines--;
		if (end > start && end[-1] == '\r')
			end--;
	}
	if (end < child_end) {
		end = child_end;
		lines = ps->end_lines;
	}
	part->body = str_of(start, (size_t)(end - start));
	part->body_lines = lines - lines_before;
	ps->end_lines = lines;
}

/* Room for one more part? Flags the parent when not. */
static struct mime_part *
child_new(struct parser *ps, struct mime_part *parent, struct mime_part *before)
{
	struct mime_part *child = NULL;

	if (ps->message->parts_n >= ps->limits.parts_max)
		parent->defects |= MIME_LIMIT_PARTS;
	else if ((child = part_new(ps, parent)) == NULL)
		parent->defects |= MIME_LIMIT_ARENA;
	if (child == NULL)
		return NULL;
	if (before != NULL) {
		before->next = child;
		child->number = (uint16_t)(before->number + 1);
	} else {
		parent->first_child = child;
	}
	return child;
}

static void part_parse(struct parser *ps, struct mime_part *part);

static bool
boundary_value(const struct mime_part *part, struct str *out)
{
	const struct mime_param *param = mime_param_find(part->params, STR("boundary"));

	if (param == NULL)
		return false;
	*out = param->is_extended ? param->value : param->raw;
	/* RFC 2046 5.1.1: it does not end with a space. */
	while (out->n > 0 && mime_is_space(out->p[out->n - 1]))
		out->n--;
	return out->n > 0 && out->n <= MIME_BOUNDARY_BYTES_MAX;
}

/* Returns the last child, NULL when there is none. */
static const struct mime_part *
multipart_parse(struct parser *ps, struct mime_part *part, struct boundary *mine)
{
	struct mime_part *last = NULL, *child;

	mine->outer = ps->boundary;
	ps->boundary = mine;
	boundary_scan(ps);
	if (ps->hit != mine)
		leaf_make(part, MIME_DEFECT_BOUNDARY_UNSEEN);
	while (ps->hit == mine && !ps->hit_is_close) {
		child = child_new(ps, part, last);
		if (child == NULL) {
			/* Full: the rest of the children goes by without parts. */
			boundary_scan(ps);
			continue;
		}
		last = child;
		part_parse(ps, child);
	}
	ps->boundary = mine->outer;
	if (ps->hit == mine)
		boundary_scan(ps); /* the epilogue */
	else
		part->defects |= MIME_DEFECT_NO_CLOSE;
	if (last == NULL && part->kind == MIME_MULTIPART) {
		part->kind = MIME_LEAF;
		/* Closed before it was opened. */
		if ((part->defects & MIME_LIMIT_ANY) == 0)
			leaf_make(part, MIME_DEFECT_BOUNDARY_UNSEEN);
	}
	return last;
}

/* An encoded message cannot be walked in place; RFC 2046 5.2.1 forbids encoding message/rfc822. */
static bool
is_identity(enum mime_encoding encoding)
{
	return encoding != MIME_BASE64 && encoding != MIME_QUOTED_PRINTABLE;
}

static void
kind_set(struct parser *ps, struct mime_part *part, struct str *boundary_out)
{
	bool is_multipart = str_eq_ci(part->type, STR("multipart"));
	/* RFC 2046 5.2.1, RFC 6532 3.7 */
	bool is_message = mime_part_is(part, STR("message"), STR("rfc822")) ||
			  mime_part_is(part, STR("message"), STR("global"));

	part->kind = MIME_LEAF;
	if (!is_multipart && !is_message)
		return;
	if (is_multipart && !boundary_value(part, boundary_out)) {
		leaf_make(part, MIME_DEFECT_NO_BOUNDARY);
		return;
	}
	if (!is_identity(part->encoding)) {
		part->defects |= MIME_DEFECT_ENCODING;
		/* On a multipart it means nothing (RFC 2045 6.4); bodies of its parts are what they
		 * say. */
		if (is_message)
			return;
	}
	if (part->depth >= ps->limits.depth_max) {
		part->defects |= MIME_LIMIT_DEPTH;
		return;
	}
	part->kind = is_multipart ? MIME_MULTIPART : MIME_MESSAGE;
}

/* A part from its header on, up to what ends it (left in ps->hit). Recursion is limits.depth_max
 * deep. */
static void
part_parse(struct parser *ps, struct mime_part *part)
{
	struct boundary mine = {0};
	const struct mime_part *last = NULL;
	struct mime_part *child;
	bool is_over = header_take(ps, part);
	const char *start = is_over ? ps->hit_start : ps->p;
	size_t lines = is_over ? ps->hit_lines : ps->lines;

	default_type_set(part);
	kind_set(ps, part, &mine.value);
	if (is_over) {
		part->kind = MIME_LEAF;
	} else if (part->kind == MIME_MULTIPART) {
		last = multipart_parse(ps, part, &mine);
	} else if (part->kind == MIME_MESSAGE && (child = child_new(ps, part, NULL)) != NULL) {
		part_parse(ps, child);
		last = child;
	} else {
		part->kind = MIME_LEAF;
		boundary_scan(ps);
	}
	body_end(ps, part, start, lines, last);
	ps->message->defects |= part->defects;
}

static struct mime_limits
limits_clamp(const struct mime_limits *l)
{
	struct mime_limits r = l != NULL ? *l : mime_limits_default;

	r.parts_max = r.parts_max < MIME_PARTS_MAX ? r.parts_max : MIME_PARTS_MAX;
	r.depth_max = r.depth_max < MIME_DEPTH_MAX ? r.depth_max : MIME_DEPTH_MAX;
	r.headers_max = r.headers_max < MIME_HEADERS_MAX ? r.headers_max : MIME_HEADERS_MAX;
	r.params_max = r.params_max < MIME_PARAMS_MAX ? r.params_max : MIME_PARAMS_MAX;
	r.header_bytes_max = size_min(r.header_bytes_max, MIME_HEADER_BYTES_MAX);
	return r;
}

enum status
mime_parse(
    struct str message, struct arena *a, const struct mime_limits *l, struct mime_message *out)
{
	struct parser ps = {.a = a, .limits = limits_clamp(l), .message = out};

	*out = (struct mime_message){.bytes = message};
	ps.p = message.p != NULL ? message.p : "";
	ps.end = ps.p + message.n;
	out->root = part_new(&ps, NULL);
	if (out->root == NULL) {
		out->defects |= MIME_LIMIT_ARENA;
		return ST_LIMIT;
	}
	part_parse(&ps, out->root);
	return (out->defects & MIME_LIMIT_ARENA) != 0 ? ST_LIMIT : ST_OK;
}

/* ---- walking ---- */

const struct mime_part *
mime_part_next(const struct mime_part *part, const struct mime_part *top)
{
	if (part->first_child != NULL)
		return part->first_child;
	while (part != top && part->next == NULL)
		part = part->parent;
	return part == top ? NULL : part->next;
}

const struct mime_part *
mime_part_next_outside(const struct mime_part *part, const struct mime_part *top)
{
	if (part->kind != MIME_MESSAGE)
		return mime_part_next(part, top);
	while (part != top && part->next == NULL)
		part = part->parent;
	return part == top ? NULL : part->next;
}

const struct mime_part *
mime_part_at(const struct mime_message *m, struct str section)
{
	const struct mime_part *at = m->root;
	bool has_more = true, is_first = true;

	while (has_more && at != NULL) {
		struct str digits;
		uint64_t number;

		has_more = str_split(section, '.', &digits, &section);
		if (str_to_u64(digits, &number) != ST_OK)
			return NULL;
		/* RFC 9051 6.4.5.1: numbers count inside the message that a message part holds. */
		if (!is_first && at->kind == MIME_MESSAGE)
			at = at->first_child;
		else if (!is_first && at->kind == MIME_LEAF)
			return NULL;
		is_first = false;
		if (at->kind == MIME_MULTIPART) {
			at = at->first_child;
			while (at != NULL && at->number != number)
				at = at->next;
		} else if (number != 1) {
			/* A message that is no multipart has part 1, itself. */
			return NULL;
		}
	}
	return at;
}

bool
mime_part_is(const struct mime_part *part, struct str type, struct str subtype)
{
	return str_eq_ci(part->type, type) && (subtype.n == 0 || str_eq_ci(part->subtype, subtype));
}

struct str
mime_part_filename(const struct mime_part *part)
{
	const struct mime_param *p = mime_param_find(part->disposition_params, STR("filename"));

	if (p == NULL || p->value.n == 0)
		p = mime_param_find(part->params, STR("name"));
	return p != NULL ? p->value : STR_NULL;
}
