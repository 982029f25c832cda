#include "standards/mime/mime_internal.h"

const char *
mime_field_end(const char *p, const char *end, size_t *lines)
{
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		if (nl == NULL)
			return end;
		p = nl + 1;
		(*lines)++;
		if (p == end || !mime_is_wsp(*p))
			break;
	}
	return p;
}

static struct str
without_line_end(struct str s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

bool
mime_field_split(struct str field, struct mime_header *out)
{
	size_t colon = str_find_char(field, ':'), n = colon;

	/* RFC 5322 4.5: white space before the colon is obsolete, but there. */
	while (n > 0 && n < field.n && mime_is_wsp(field.p[n - 1]))
		n--;
	if (n == 0 || colon == field.n)
		return false;
	/* RFC 5322 3.6.8; RFC 6532 leaves names ASCII. */
	for (size_t i = 0; i < n; i++)
		if (field.p[i] <= ' ' || field.p[i] > '~')
			return false;
	out->name = str_take(field, n);
	out->value = without_line_end(str_from(field, colon + 1));
	out->field = field;
	return true;
}

/* At a blank line: steps over it. */
static bool
blank_line_take(struct cur *c)
{
	if (cur_left(c) >= 2 && c->p[0] == '\r' && c->p[1] == '\n') {
		c->p += 2;
		return true;
	}
	return cur_char(c, '\n');
}

bool
mime_header_next(struct cur *c, struct mime_header *out)
{
	size_t lines = 0;

	while (!cur_at_end(c) && !blank_line_take(c)) {
		const char *start = c->p;

		c->p = mime_field_end(c->p, c->end, &lines);
		if (mime_field_split(str_of(start, (size_t)(c->p - start)), out))
			return true;
	}
	return false;
}

bool
mime_header_find(struct str header, struct str name, struct mime_header *out)
{
	struct cur c = cur_of(header);

	while (mime_header_next(&c, out))
		if (str_eq_ci(out->name, name))
			return true;
	return false;
}

static bool
has_line_end(struct str s)
{
	return s.n > 0 && (memchr(s.p, '\n', s.n) != NULL || memchr(s.p, '\r', s.n) != NULL);
}

static size_t
unfold_copy(struct str s, char *w)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '\r' && s.p[i] != '\n')
			w[n++] = s.p[i];
	return n;
}

enum status
mime_unfold(struct str value, struct buf *out)
{
	struct str s = str_trim(value);
	char *w;

	if (!has_line_end(s))
		return buf_put(out, s);
	w = buf_reserve(out, s.n);
	if (w == NULL)
		return ST_LIMIT;
	buf_commit(out, unfold_copy(s, w));
	return ST_OK;
}

enum status
mime_unfold_arena(struct str value, struct arena *a, struct str *out)
{
	struct str s = str_trim(value);
	char *w;

	*out = s;
	if (!has_line_end(s))
		return ST_OK;
	*out = STR_NULL;
	w = arena_alloc(a, s.n);
	if (w == NULL)
		return ST_LIMIT;
	*out = str_of(w, unfold_copy(s, w));
	return ST_OK;
}

/* Past a comment whose "(" was taken. */
static struct str
comment_take(struct cur *c)
{
	const char *start = c->p;
	int depth = 1;

	while (c->p < c->end) {
		char ch = *c->p++;

		if (ch == '\\')
			cur_skip(c, 1);
		else if (ch == '(' && depth < MIME_COMMENT_DEPTH_MAX)
			depth++;
		else if (ch == ')' && --depth == 0)
			return str_of(start, (size_t)(c->p - 1 - start));
	}
	return str_of(start, (size_t)(c->p - start));
}

void
mime_cfws_skip(struct cur *c, struct str *comment_out)
{
	while (c->p < c->end) {
		if (mime_is_space(*c->p)) {
			c->p++;
		} else if (*c->p == '(') {
			struct str comment;

			c->p++;
			comment = comment_take(c);
			if (comment_out != NULL)
				*comment_out = comment;
		} else {
			break;
		}
	}
}

void
mime_quoted_take(struct cur *c, struct str *out)
{
	const char *start;

	cur_skip(c, 1);
	start = c->p;
	while (c->p < c->end && *c->p != '"') {
		if (*c->p == '\\')
			cur_skip(c, 1);
		cur_skip(c, 1);
	}
	*out = str_of(start, (size_t)(c->p - start));
	cur_skip(c, 1);
}

size_t
mime_unquote_copy(struct str s, char *w)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		if (s.p[i] != '\r' && s.p[i] != '\n')
			w[n++] = s.p[i];
	}
	return n;
}
