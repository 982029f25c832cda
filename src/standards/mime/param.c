/* Parameters of Content-Type and Content-Disposition (RFC 2045 5.1, RFC 2231). */
#include "base/num.h"
#include "standards/mime/charset.h"
#include "standards/mime/mime_internal.h"

enum { SECTION_NONE = -1, SECTION_MAX = MIME_PARAMS_MAX - 1 };

/* One name=value as it stands: name*section*="value". */
struct segment {
	struct str name;
	struct str value;
	int section;
	bool is_extended; /* percent-encoded */
	bool is_used;
};

/* "filename*0*" to its three parts (RFC 2231 7). */
static void
segment_name_split(struct segment *s)
{
	struct str rest;
	uint64_t section;

	s->section = SECTION_NONE;
	if (!str_split(s->name, '*', &s->name, &rest))
		return;
	if (rest.n == 0) {
		s->is_extended = true;
		return;
	}
	if (rest.p[rest.n - 1] == '*') {
		s->is_extended = true;
		rest.n--;
	}
	if (str_to_u64(rest, &section) == ST_OK && section <= SECTION_MAX)
		s->section = (int)section;
	else
		s->name = STR_NULL;
}

/* A quoted value without escapes and line ends. */
static enum status
quoted_value(struct str inside, struct arena *a, struct str *out)
{
	char *w;

	*out = inside;
	if (memchr(inside.p, '\\', inside.n) == NULL && memchr(inside.p, '\n', inside.n) == NULL &&
	    memchr(inside.p, '\r', inside.n) == NULL)
		return ST_OK;
	*out = STR_NULL;
	w = arena_alloc(a, inside.n);
	if (w == NULL)
		return ST_LIMIT;
	*out = str_of(w, mime_unquote_copy(inside, w));
	return ST_OK;
}

static bool
is_value_end(const struct cur *c)
{
	return cur_at_end(c) || *c->p == ';';
}

/*
 * An unquoted value. RFC 2045 wants a token; "name=my file (1).pdf" is common. So a token with only
 * comments after it is the token, and anything else is all up to the semicolon.
 */
static struct str
bare_value_take(struct cur *c)
{
	const char *start = c->p;
	struct str token;

	while (!is_value_end(c) && !mime_is_space(*c->p) && *c->p != '(')
		c->p++;
	token = str_of(start, (size_t)(c->p - start));
	mime_cfws_skip(c, NULL);
	if (is_value_end(c))
		return token;
	while (!is_value_end(c))
		c->p++;
	return str_trim(str_of(start, (size_t)(c->p - start)));
}

/* Takes one parameter up to the next semicolon. False when there is none in it; *st_out says
 * whether the arena was full. */
static bool
segment_take(struct cur *c, struct arena *a, struct segment *s, enum status *st_out)
{
	const char *start;
	bool is_ok;

	*s = (struct segment){.section = SECTION_NONE};
	mime_cfws_skip(c, NULL);
	start = c->p;
	while (!is_value_end(c) && *c->p != '=')
		c->p++;
	s->name = str_trim(str_of(start, (size_t)(c->p - start)));
	is_ok = cur_char(c, '=') && s->name.n > 0;
	if (is_ok) {
		mime_cfws_skip(c, NULL);
		if (cur_peek(c) == '"') {
			struct str inside;
			mime_quoted_take(c, &inside);
			*st_out = inside.n > 0 ? quoted_value(inside, a, &s->value) : ST_OK;
		} else {
			s->value = bare_value_take(c);
		}
		segment_name_split(s);
		is_ok = s->name.n > 0;
	}
	while (!is_value_end(c))
		c->p++;
	cur_skip(c, 1);
	return is_ok;
}

static void
percent_decode(struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		int hi = i + 2 < in.n ? mime_hex_value(in.p[i + 1]) : -1;
		int lo = i + 2 < in.n ? mime_hex_value(in.p[i + 2]) : -1;
		char c = in.p[i];

		if (c == '%' && hi >= 0 && lo >= 0) {
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		(void)buf_put_c(out, c);
	}
}

/* charset'language'text (RFC 2231 4); without the quotes it is all text. */
static struct str
charset_take(struct str value, struct str *charset_out, struct str *language_out)
{
	struct str rest, text;

	*charset_out = *language_out = STR_NULL;
	if (!str_split(value, '\'', charset_out, &rest) ||
	    !str_split(rest, '\'', language_out, &text)) {
		*charset_out = *language_out = STR_NULL;
		return value;
	}
	return text;
}

static struct segment *
section_find(struct segment *v, size_t n, struct str name, int section)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].section == section && str_eq_ci(v[i].name, name))
			return &v[i];
	return NULL;
}

/* Joins the sections from first (section 0 or none) on (RFC 2231 3), then undoes the charset. */
static enum status
extended_join(
    struct segment *v, size_t n, struct segment *first, struct arena *a, struct mime_param *out)
{
	struct str charset = STR_NULL, text = first->value;
	struct segment *s = first;
	struct buf bytes, utf8;
	enum status st;

	buf_init(&bytes, MIME_PARAM_BYTES_MAX);
	buf_init(&utf8, MIME_PARAM_BYTES_MAX);
	if (first->is_extended) {
		text = charset_take(first->value, &charset, &out->language);
		out->is_extended = true;
	}
	for (int i = first->section; s != NULL;
	     s = i < 0 ? NULL : section_find(v, n, first->name, ++i)) {
		s->is_used = true;
		if (s != first)
			text = s->value;
		if (s->is_extended)
			percent_decode(text, &bytes);
		else
			(void)mime_put_fit(&bytes, text);
	}
	if (out->is_extended) {
		(void)mime_charset_to_utf8(charset, buf_str(&bytes), &utf8);
		st = arena_str(a, buf_str(&utf8), &out->value);
	} else {
		st = arena_str(a, buf_str(&bytes), &out->raw);
	}
	buf_fini(&bytes);
	buf_fini(&utf8);
	return st;
}

static enum status
param_make(
    struct segment *v, size_t n, struct segment *first, struct arena *a, struct mime_param *out)
{
	*out = (struct mime_param){.name = first->name};
	first->is_used = true;
	if (first->is_extended || first->section == 0) {
		if (extended_join(v, n, first, a, out) != ST_OK)
			return ST_LIMIT;
		if (out->is_extended)
			return ST_OK;
	} else {
		out->raw = first->value;
	}
	/* RFC 2047 5 (3) forbids encoded words here; half of the world's file names come in them.
	 */
	return mime_text_decode_arena(out->raw, a, MIME_PARAM_BYTES_MAX, &out->value);
}

/* Takes up to max segments; returns how many. */
static size_t
segments_take(struct cur *c, struct arena *a, struct segment *v, size_t max, uint32_t *defects)
{
	size_t n = 0;

	while (!cur_at_end(c)) {
		enum status st = ST_OK;

		if (n == max) {
			mime_cfws_skip(c, NULL);
			*defects |= cur_at_end(c) ? 0 : MIME_LIMIT_PARAMS;
			break;
		}
		if (segment_take(c, a, &v[n], &st))
			n++;
		else if (v[n].name.n > 0 || v[n].value.n > 0)
			*defects |= MIME_DEFECT_PARAM;
		if (st != ST_OK)
			*defects |= MIME_LIMIT_ARENA;
	}
	return n;
}

void
mime_params_take(
    struct cur *c, struct arena *a, size_t params_max, struct mime_params *out, uint32_t *defects)
{
	struct segment v[MIME_PARAMS_MAX];
	size_t n = segments_take(c, a, v, size_min(params_max, MIME_PARAMS_MAX), defects);

	if (n == 0)
		return;
	out->v = arena_array(a, n, sizeof(*out->v));
	for (size_t i = 0; i < n && out->v != NULL; i++) {
		if (v[i].section > 0)
			continue;
		if (param_make(v, n, &v[i], a, &out->v[out->n]) != ST_OK) {
			*defects |= MIME_LIMIT_ARENA;
			return;
		}
		out->n++;
	}
	if (out->v == NULL)
		*defects |= MIME_LIMIT_ARENA;
	for (size_t i = 0; i < n; i++)
		if (!v[i].is_used)
			*defects |= MIME_DEFECT_PARAM;
}

const struct mime_param *
mime_param_find(struct mime_params params, struct str name)
{
	const struct mime_param *found = NULL;

	for (size_t i = 0; i < params.n; i++) {
		if (!str_eq_ci(params.v[i].name, name))
			continue;
		if (params.v[i].is_extended)
			return &params.v[i];
		if (found == NULL)
			found = &params.v[i];
	}
	return found;
}
