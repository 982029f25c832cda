#include "config/text.h"

#include <stdio.h>

#include "base/cur.h"
#include "base/utf8.h"

/* One file on its way into the joined text. */
struct scan {
	struct config_text *t;
	uint32_t file;
	uint32_t line;
	unsigned depth;	 /* of includes */
	bool in_comment; /* slash-star */
	uint32_t comment_line;
	unsigned braces;
	uint32_t brace_line[CONFIG_NESTING_MAX];
	config_read_fn *read;
	void *read_arg;
	struct buf *error;
};

void
config_text_init(struct config_text *t, struct arena *arena)
{
	*t = (struct config_text){.arena = arena};
	buf_init(&t->joined, CONFIG_TEXT_BYTES_MAX);
	buf_init(&t->places, CONFIG_LINES_MAX * sizeof(struct config_place));
}

void
config_text_fini(struct config_text *t)
{
	buf_fini(&t->joined);
	buf_fini(&t->places);
}

void
config_text_cut(
    const struct config_text *t, unsigned line, struct str *before_out, struct str *from_out)
{
	struct str all = buf_str(&t->joined), skipped;

	*from_out = all;
	for (unsigned i = 1; i < line; i++)
		(void)str_split(*from_out, '\n', &skipped, from_out);
	*before_out = str_take(all, all.n - from_out->n);
}

void
config_text_put_place(const struct config_text *t, unsigned line, struct buf *out)
{
	struct config_place place;

	/* libconfuse stands behind the last line when it misses something at the end. */
	if (line > t->line_count)
		line = (unsigned)t->line_count;
	if (line == 0) {
		buf_putf(out, "%.*s: ", STR_ARG(t->files[0]));
		return;
	}
	memcpy(&place, t->places.p + (line - 1) * sizeof(place), sizeof(place));
	buf_putf(out, "%.*s:%u: ", STR_ARG(t->files[place.file]), place.line);
}

static enum status scan_file(struct scan *parent, struct config_text *t, struct str path,
    struct str content, config_read_fn *read, void *read_arg, struct buf *error);

static enum status
scan_fail(struct scan *s, uint32_t line, enum status st, const char *what)
{
	buf_putf(s->error, "%.*s:%u: %s\n", STR_ARG(s->t->files[s->file]), line, what);
	return st;
}

/* The bytes that libconfuse's grammar knows outside of strings; it would drop the others silently.
 */
static bool
is_plain(char c)
{
	return char_is_alnum(c) || (c != 0 && strchr("_-.:/[]%@,=<>!?;~^&", c) != NULL);
}

static enum status
brace(struct scan *s, char c)
{
	if (c == '{') {
		if (s->braces == CONFIG_NESTING_MAX)
			return scan_fail(s, s->line, ST_LIMIT, "sections are nested too deeply");
		s->brace_line[s->braces++] = s->line;
		return ST_OK;
	}
	if (s->braces == 0)
		return scan_fail(s, s->line, ST_SYNTAX, "this `}` closes nothing");
	s->braces--;
	return ST_OK;
}

/* A string with its quotes. The cursor stands on the opening quote. */
static enum status
string_take(struct scan *s, struct cur *c)
{
	struct cur start = *c;
	int quote = cur_peek(c);

	cur_skip(c, 1);
	while (cur_peek(c) != quote) {
		uint32_t cp;

		if (cur_at_end(c))
			return scan_fail(
			    s, s->line, ST_SYNTAX, "the string does not end on its line");
		if (cur_lit(c, "${"))
			return scan_fail(s, s->line, ST_SYNTAX,
			    "`${` is not replaced by anything here; write the value itself");
		if (cur_char(c, '\\') && cur_peek(c) != '\\' && cur_peek(c) != quote)
			return scan_fail(s, s->line, ST_SYNTAX,
			    "in a string, `\\` may stand only before a quote or another `\\`");
		if (!utf8_take(c, &cp) || cp < 0x20 || cp == 0x7f)
			return scan_fail(
			    s, s->line, ST_SYNTAX, "the string is not plain UTF-8 text");
	}
	cur_skip(c, 1);
	buf_put(&s->t->joined, str_of(start.p, (size_t)(c->p - start.p)));
	return ST_OK;
}

static void
comment_skip(struct scan *s, struct cur *c)
{
	while (!cur_at_end(c)) {
		if (cur_lit(c, "*/")) {
			s->in_comment = false;
			buf_put_c(&s->t->joined, ' ');
			return;
		}
		cur_skip(c, 1);
	}
}

static enum status
unexpected(struct scan *s, char byte)
{
	char text[96];

	if (byte <= 0x20 || byte == 0x7f)
		return scan_fail(s, s->line, ST_SYNTAX,
		    "a byte that is no text outside of a string; put the value in double quotes");
	(void)snprintf(text, sizeof(text), "unexpected `%c`; put the value in double quotes", byte);
	return scan_fail(s, s->line, ST_SYNTAX, text);
}

/* One line, without its end, into the joined text. */
static enum status
line_clean(struct scan *s, struct str line)
{
	struct cur c = cur_of(line);
	enum status st = ST_OK;

	while (st == ST_OK && !cur_at_end(&c)) {
		int byte = cur_peek(&c);

		if (s->in_comment) {
			comment_skip(s, &c);
		} else if (byte == '"' || byte == '\'') {
			st = string_take(s, &c);
		} else if (byte == '#' || str_has_prefix(cur_rest(&c), STR("//"))) {
			break;
		} else if (cur_lit(&c, "/*")) {
			s->in_comment = true;
			s->comment_line = s->line;
		} else if (cur_lit(&c, "+=")) {
			buf_put(&s->t->joined, STR("+="));
		} else if (byte == '{' || byte == '}') {
			st = brace(s, (char)byte);
			buf_put_c(&s->t->joined, (char)byte);
			cur_skip(&c, 1);
		} else if (is_plain((char)byte) || byte == ' ' || byte == '\t') {
			buf_put_c(&s->t->joined, (char)byte);
			cur_skip(&c, 1);
		} else {
			st = unexpected(s, (char)byte);
		}
	}
	return st;
}

static enum status
line_add(struct scan *s, struct str line)
{
	struct config_place place = {s->file, s->line};
	enum status st = line_clean(s, line);

	if (st != ST_OK)
		return st;
	buf_put_c(&s->t->joined, '\n');
	buf_put(&s->t->places, str_of(&place, sizeof(place)));
	if (s->t->joined.full || s->t->places.full)
		return scan_fail(s, s->line, ST_LIMIT, "the configuration is too long");
	s->t->line_count++;
	return ST_OK;
}

/* "dir/of/includer/" + name, or name itself when it is absolute. */
static enum status
include_path(struct scan *s, struct str name, struct str *out)
{
	struct str from = s->t->files[s->file];
	size_t slash = str_find_char_last(from, '/');
	struct str folder = slash == from.n ? STR_NULL : str_take(from, slash + 1);
	struct buf joined;
	enum status st;

	buf_init(&joined, CONFIG_PATH_BYTES_MAX);
	if (name.n == 0 || name.p[0] != '/')
		buf_put(&joined, folder);
	buf_put(&joined, name);
	st = joined.full ? ST_LIMIT : arena_str(s->t->arena, buf_str(&joined), out);
	buf_fini(&joined);
	return st;
}

static enum status
include_read(struct scan *s, struct str path, struct buf *content)
{
	switch (s->read(s->read_arg, path, content)) {
	case ST_OK:
		return ST_OK;
	case ST_NOTFOUND:
		buf_putf(s->error, "%.*s:%u: there is no file %.*s\n",
		    STR_ARG(s->t->files[s->file]), s->line, STR_ARG(path));
		return ST_NOTFOUND;
	case ST_DENIED:
		buf_putf(s->error, "%.*s:%u: no permission to read %.*s\n",
		    STR_ARG(s->t->files[s->file]), s->line, STR_ARG(path));
		return ST_DENIED;
	default:
		buf_putf(s->error, "%.*s:%u: %.*s cannot be read\n", STR_ARG(s->t->files[s->file]),
		    s->line, STR_ARG(path));
		return ST_IO;
	}
}

static enum status
include_add(struct scan *s, struct str name)
{
	struct str path;
	struct buf content;
	enum status st;

	if (s->read == NULL)
		return scan_fail(s, s->line, ST_UNSUPPORTED, "`include` is not possible here");
	if (s->depth == CONFIG_INCLUDE_DEPTH_MAX)
		return scan_fail(s, s->line, ST_LIMIT,
		    "files include one another too deeply; does one include itself?");
	if (s->t->file_count == CONFIG_INCLUDES_MAX + 1)
		return scan_fail(s, s->line, ST_LIMIT, "too many included files");
	if (include_path(s, name, &path) != ST_OK)
		return scan_fail(s, s->line, ST_LIMIT, "the path of the included file is too long");
	buf_init(&content, CONFIG_TEXT_BYTES_MAX);
	st = include_read(s, path, &content);
	if (st == ST_OK)
		st = scan_file(s, s->t, path, buf_str(&content), s->read, s->read_arg, s->error);
	buf_fini(&content);
	return st;
}

/* Is this line `include "name"`? Then *name_out is what stands between the quotes. */
static bool
is_include(struct str line, struct str *name_out)
{
	struct cur c = cur_of(str_trim(line));

	if (!cur_lit(&c, "include") || cur_skip_wsp(&c) == 0 || !cur_char(&c, '"') ||
	    !cur_take_until(&c, '"', CONFIG_PATH_BYTES_MAX, name_out))
		return false;
	cur_skip(&c, 1);
	cur_skip_wsp(&c);
	return cur_at_end(&c) || cur_peek(&c) == '#';
}

static enum status
scan_lines(struct scan *s, struct str content)
{
	while (content.n > 0) {
		struct str line, name;
		enum status st;

		str_split(content, '\n', &line, &content);
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		s->line++;
		if (!s->in_comment && is_include(line, &name))
			st = include_add(s, name);
		else
			st = line_add(s, line);
		if (st != ST_OK)
			return st;
	}
	if (s->in_comment)
		return scan_fail(s, s->comment_line, ST_SYNTAX, "this comment does not end");
	if (s->braces > 0)
		return scan_fail(
		    s, s->brace_line[s->braces - 1], ST_SYNTAX, "this `{` is not closed");
	return ST_OK;
}

static enum status
scan_file(struct scan *parent, struct config_text *t, struct str path, struct str content,
    config_read_fn *read, void *read_arg, struct buf *error)
{
	struct scan s = {.t = t,
	    .file = (uint32_t)t->file_count,
	    .read = read,
	    .read_arg = read_arg,
	    .error = error,
	    .depth = parent ? parent->depth + 1 : 0};

	CHECK(t->file_count <= CONFIG_INCLUDES_MAX);
	t->files[t->file_count++] = path;
	return scan_lines(&s, content);
}

enum status
config_text_add(struct config_text *t, struct str path, struct str content, config_read_fn *read,
    void *read_arg, struct buf *error_out)
{
	struct str kept;

	if (arena_str(t->arena, path, &kept) != ST_OK)
		return ST_LIMIT;
	return scan_file(NULL, t, kept, content, read, read_arg, error_out);
}
