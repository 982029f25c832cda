/* The preview: the first readable text of a message on one line (RFC 8621 4.1.4). */
#include "base/num.h"
#include "base/utf8.h"
#include "standards/mime/mime_internal.h"

enum { ENTITY_BYTES_MAX = 10 }; /* "&" to ";": the longest name in the table, or a number */

/* Takes code points, folds white space, stops at the size of a preview. */
struct sink {
	char text[MIME_PREVIEW_BYTES_MAX];
	size_t n;
	bool has_gap; /* white space since the last character */
	bool is_full;
};

static bool
is_blank(uint32_t cp)
{
	return cp <= 0x20 || (cp >= 0x7f && cp <= 0xa0) || (cp >= 0x2000 && cp <= 0x200a) ||
	       cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000 ||
	       cp == 0x1680;
}

/* Never shown: soft hyphens, marks that newsletters pad with, and the bidi controls that could turn
 * a line around. */
static bool
is_invisible(uint32_t cp)
{
	return cp == 0xad || cp == 0x34f || cp == 0x180e || cp == 0x200b || cp == 0xfeff ||
	       cp == 0x200e || cp == 0x200f || (cp >= 0x202a && cp <= 0x202e) ||
	       (cp >= 0x2060 && cp <= 0x206f);
}

static bool
is_joiner(uint32_t cp)
{
	return cp == 0x200c || cp == 0x200d;
}

static void
sink_put(struct sink *s, uint32_t cp)
{
	char bytes[5];
	/* A space and one character, put together without the heap. */
	struct buf one = {.p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};

	if (is_blank(cp)) {
		s->has_gap = s->n > 0;
		return;
	}
	if (is_invisible(cp) || (is_joiner(cp) && (s->has_gap || s->n == 0)))
		return;
	if (cp < 0x80 && !s->has_gap && s->n < MIME_PREVIEW_BYTES_MAX) {
		s->text[s->n++] = (char)cp;
		return;
	}
	if (s->has_gap)
		(void)buf_put_c(&one, ' ');
	(void)utf8_put(&one, cp);
	if (s->n + one.n > MIME_PREVIEW_BYTES_MAX) {
		s->is_full = true;
		return;
	}
	memcpy(s->text + s->n, bytes, one.n);
	s->n += one.n;
	s->has_gap = false;
}

static void
plain_sink(struct str text, struct sink *s)
{
	struct cur c = cur_of(text);
	uint32_t cp;

	while (!s->is_full && utf8_take(&c, &cp))
		sink_put(s, cp);
}

/* ---- HTML ---- */

static const struct {
	struct str name;
	uint16_t cp;
} entities[] = {
    {STR_INIT("amp"), '&'},
    {STR_INIT("lt"), '<'},
    {STR_INIT("gt"), '>'},
    {STR_INIT("quot"), '"'},
    {STR_INIT("apos"), '\''},
    {STR_INIT("nbsp"), 0xa0},
    {STR_INIT("shy"), 0xad},
    {STR_INIT("zwnj"), 0x200c},
    {STR_INIT("zwj"), 0x200d},
    {STR_INIT("copy"), 0xa9},
    {STR_INIT("reg"), 0xae},
    {STR_INIT("trade"), 0x2122},
    {STR_INIT("euro"), 0x20ac},
    {STR_INIT("pound"), 0xa3},
    {STR_INIT("hellip"), 0x2026},
    {STR_INIT("ndash"), 0x2013},
    {STR_INIT("mdash"), 0x2014},
    {STR_INIT("lsquo"), 0x2018},
    {STR_INIT("rsquo"), 0x2019},
    {STR_INIT("ldquo"), 0x201c},
    {STR_INIT("rdquo"), 0x201d},
    {STR_INIT("bdquo"), 0x201e},
    {STR_INIT("laquo"), 0xab},
    {STR_INIT("raquo"), 0xbb},
    {STR_INIT("bull"), 0x2022},
    {STR_INIT("middot"), 0xb7},
    {STR_INIT("deg"), 0xb0},
    {STR_INIT("auml"), 0xe4},
    {STR_INIT("ouml"), 0xf6},
    {STR_INIT("uuml"), 0xfc},
    {STR_INIT("Auml"), 0xc4},
    {STR_INIT("Ouml"), 0xd6},
    {STR_INIT("Uuml"), 0xdc},
    {STR_INIT("szlig"), 0xdf},
    {STR_INIT("eacute"), 0xe9},
    {STR_INIT("egrave"), 0xe8},
    {STR_INIT("ecirc"), 0xea},
    {STR_INIT("agrave"), 0xe0},
    {STR_INIT("aacute"), 0xe1},
    {STR_INIT("acirc"), 0xe2},
    {STR_INIT("ccedil"), 0xe7},
    {STR_INIT("ntilde"), 0xf1},
    {STR_INIT("oacute"), 0xf3},
    {STR_INIT("iacute"), 0xed},
    {STR_INIT("uacute"), 0xfa},
    {STR_INIT("ocirc"), 0xf4},
    {STR_INIT("oslash"), 0xf8},
    {STR_INIT("aring"), 0xe5},
    {STR_INIT("aelig"), 0xe6},
};

static bool
entity_number(struct str digits, uint32_t *cp_out)
{
	bool is_hex = digits.n > 0 && char_lower(digits.p[0]) == 'x';
	uint32_t base = is_hex ? 16 : 10, v = 0;

	digits = str_from(digits, is_hex);
	for (size_t i = 0; i < digits.n; i++) {
		int d = mime_hex_value(digits.p[i]);

		if (d < 0 || (uint32_t)d >= base)
			return false;
		v = v * base + (uint32_t)d; /* at most 7 digits: no overflow */
	}
	if (digits.n == 0 || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
		return false;
	*cp_out = v;
	return true;
}

/* At "&": takes a character reference that is known. */
static bool
entity_take(struct cur *c, uint32_t *cp_out)
{
	struct cur try = *c;
	struct str name;

	cur_skip(&try, 1);
	if (!cur_take_until(&try, ';', ENTITY_BYTES_MAX - 2, &name))
		return false;
	cur_skip(&try, 1);
	if (name.n > 0 && name.p[0] == '#') {
		if (!entity_number(str_from(name, 1), cp_out))
			return false;
		*c = try;
		return true;
	}
	for (size_t i = 0; i < COUNT_OF(entities); i++)
		if (str_eq(name, entities[i].name)) {
			*cp_out = entities[i].cp;
			*c = try;
			return true;
		}
	return false;
}

static bool
is_in(struct str name, const struct str *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_ci(name, list[i]))
			return true;
	return false;
}

/* Elements whose text is not shown. */
static const struct str hidden_elements[] = {
    STR_INIT("style"),
    STR_INIT("script"),
    STR_INIT("title"),
    STR_INIT("noscript"),
    STR_INIT("template"),
};
/* Elements inside a line; all others part words. */
static const struct str inline_elements[] = {
    STR_INIT("a"),
    STR_INIT("b"),
    STR_INIT("i"),
    STR_INIT("u"),
    STR_INIT("em"),
    STR_INIT("strong"),
    STR_INIT("span"),
    STR_INIT("font"),
    STR_INIT("small"),
    STR_INIT("big"),
    STR_INIT("sub"),
    STR_INIT("sup"),
    STR_INIT("code"),
    STR_INIT("s"),
    STR_INIT("tt"),
    STR_INIT("abbr"),
    STR_INIT("mark"),
    STR_INIT("wbr"),
    STR_INIT("o:p"),
};

/* To behind the end tag of a hidden element, or to the end. */
static void
hidden_skip(struct cur *c, struct str name)
{
	while (!cur_at_end(c)) {
		cur_skip(c, str_find_char(cur_rest(c), '<'));
		cur_skip(c, 1);
		if (cur_peek(c) == '/' && str_has_prefix_ci(str_from(cur_rest(c), 1), name))
			break;
	}
	cur_skip(c, str_find_char(cur_rest(c), '>'));
	cur_skip(c, 1);
}

/* Past the ">" of a tag; one inside quotes does not count. */
static void
tag_rest_skip(struct cur *c)
{
	while (!cur_at_end(c) && *c->p != '>') {
		char ch = *c->p++;

		if (ch == '=' && (cur_peek(c) == '"' || cur_peek(c) == '\'')) {
			char quote = *c->p++;
			cur_skip(c, str_find_char(cur_rest(c), quote));
			cur_skip(c, 1);
		}
	}
	cur_skip(c, 1);
}

/* At "<". False when it starts no tag. */
static bool
tag_take(struct cur *c, struct sink *s)
{
	struct cur try = *c;
	const char *start;
	struct str name;
	bool is_end;

	if (cur_lit(&try, "<!--")) {
		cur_skip(&try, str_find(cur_rest(&try), STR("-->")));
		cur_skip(&try, 3);
		*c = try;
		return true;
	}
	cur_skip(&try, 1);
	is_end = cur_char(&try, '/');
	start = try.p;
	if (cur_at_end(&try) || (!char_is_alpha(*start) && *start != '!' && *start != '?'))
		return false;
	while (!cur_at_end(&try) && (char_is_alnum(*try.p) || *try.p == ':' || *try.p == '-'))
		try.p++;
	name = str_of(start, (size_t)(try.p - start));
	tag_rest_skip(&try);
	if (!is_end && is_in(name, hidden_elements, COUNT_OF(hidden_elements)))
		hidden_skip(&try, name);
	if (!is_in(name, inline_elements, COUNT_OF(inline_elements)))
		sink_put(s, ' ');
	*c = try;
	return true;
}

static void
html_sink(struct str text, struct sink *s)
{
	struct cur c = cur_of(text);
	uint32_t cp;

	while (!s->is_full && !cur_at_end(&c)) {
		if (*c.p == '<' && tag_take(&c, s))
			continue;
		if ((*c.p == '&' && entity_take(&c, &cp)) || utf8_take(&c, &cp))
			sink_put(s, cp);
		else
			break;
	}
}

/* ---- choice of the part ---- */

static bool
is_readable(const struct mime_part *p)
{
	return p->kind == MIME_LEAF && !str_eq_ci(p->disposition, STR("attachment")) &&
	       p->body.n > 0 &&
	       (mime_part_is(p, STR("text"), STR("plain")) ||
		   mime_part_is(p, STR("text"), STR("html")));
}

static void
part_sink(const struct mime_part *part, size_t read_bytes, struct sink *s)
{
	struct buf text;

	/* Room for every byte turning into three of UTF-8; if not even so, the beginning will do.
	 */
	buf_init(&text, MIME_PREVIEW_READ_MORE_BYTES * 3);
	(void)!mime_text_body_decode(part, str_take(part->body, read_bytes), &text);
	*s = (struct sink){0};
	if (mime_part_is(part, STR("text"), STR("html")))
		html_sink(buf_str(&text), s);
	else
		plain_sink(buf_str(&text), s);
	buf_fini(&text);
}

void
mime_preview(const struct mime_part *root, struct buf *out)
{
	for (const struct mime_part *p = root; p != NULL; p = mime_part_next_outside(p, root)) {
		struct sink s;

		if (!is_readable(p))
			continue;
		part_sink(p, MIME_PREVIEW_READ_BYTES, &s);
		if (!s.is_full && p->body.n > MIME_PREVIEW_READ_BYTES)
			part_sink(p, MIME_PREVIEW_READ_MORE_BYTES, &s);
		if (s.n == 0)
			continue;
		(void)buf_put(out, str_of(s.text, s.n));
		return;
	}
}
