#include "cli/render.h"

#include <jansson.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cur.h"
#include "base/num.h"
#include "base/utf8.h"

/* A cell or a line; longer ones are cut and marked. */
#define CELL_BYTES_MAX 4096
/* No answer has more; a table of them would not be read. */
#define COLUMNS_MAX 32

/* Columns on screen, taking each code point as one. */
static size_t
text_width(struct str s)
{
	struct cur c = cur_of(s);
	size_t n = 0;
	uint32_t cp;

	for (; !cur_at_end(&c); n++)
		if (!utf8_take(&c, &cp))
			cur_skip(&c, 1);
	return n;
}

/* Controls, and the marks that reorder text (CVE-2021-42574 shows what they are good for). */
static bool
is_harmless(uint32_t cp)
{
	return cp >= 0x20 && (cp < 0x7f || cp > 0x9f) && cp != 0x2028 && cp != 0x2029 &&
	       !(cp >= 0x202a && cp <= 0x202e) && !(cp >= 0x2066 && cp <= 0x2069);
}

static void
text_put(struct buf *out, struct str s)
{
	struct cur c = cur_of(s);

	while (!cur_at_end(&c)) {
		uint32_t cp;

		if (!utf8_take(&c, &cp)) {
			cur_skip(&c, 1);
			cp = 0;
		}
		if (is_harmless(cp))
			utf8_put(out, cp);
		else
			buf_put_c(out, '?');
	}
}

/* 1023, 1.5k, 20M: two digits at least, as in the configuration. */
static void
bytes_put(struct buf *out, uint64_t v)
{
	static const char units[] = "kMGTPE";
	uint64_t whole = v, rest = 0;
	size_t unit = 0;

	if (v < 1024) {
		buf_put_u64(out, v);
		return;
	}
	for (; whole >= 1024; unit++) {
		rest = whole % 1024;
		whole /= 1024;
	}
	CHECK(unit >= 1 && unit < sizeof(units));
	buf_put_u64(out, whole);
	if (whole < 10 && rest * 10 / 1024 > 0)
		buf_putf(out, ".%u", (unsigned)(rest * 10 / 1024));
	buf_put_c(out, units[unit - 1]);
}

/* 45 s, 12 min, 3 h, 2 d: what one says to a person, in the unit that has two of it. */
static void
duration_put(struct buf *out, uint64_t s)
{
	if (s < 120)
		buf_putf(out, "%llu s", (unsigned long long)s);
	else if (s < 2 * 3600)
		buf_putf(out, "%llu min", (unsigned long long)(s / 60));
	else if (s < 48 * 3600)
		buf_putf(out, "%llu h", (unsigned long long)(s / 3600));
	else
		buf_putf(out, "%llu d", (unsigned long long)(s / (24 * 3600)));
}

static void
integer_put(struct buf *out, struct str name, json_int_t v)
{
	if (v >= 0 && str_has_suffix_ci(name, STR("_bytes")))
		bytes_put(out, (uint64_t)v);
	else if (v >= 0 && str_has_suffix_ci(name, STR("_seconds")))
		duration_put(out, (uint64_t)v);
	else
		buf_putf(out, "%" JSON_INTEGER_FORMAT, v);
}

static void
value_put(struct buf *out, struct str name, const json_t *v)
{
	size_t i;
	json_t *item;

	switch (json_typeof(v)) {
	case JSON_STRING:
		text_put(out, str_of(json_string_value(v), json_string_length(v)));
		return;
	case JSON_INTEGER:
		integer_put(out, name, json_integer_value(v));
		return;
	case JSON_REAL:
		buf_putf(out, "%.2f", json_real_value(v));
		return;
	case JSON_TRUE:
		buf_put(out, STR("yes"));
		return;
	case JSON_FALSE:
		buf_put(out, STR("no"));
		return;
	case JSON_NULL:
		buf_put_c(out, '-');
		return;
	case JSON_ARRAY:
		json_array_foreach(v, i, item)
		{
			buf_put(out, i == 0 ? STR_NULL : STR(", "));
			if (!json_is_array(item) && !json_is_object(item))
				value_put(out, name, item);
		}
		return;
	case JSON_OBJECT:
		buf_put(out, STR("{...}"));
		return;
	}
}

/* The text of a value in b, which is emptied first; cut when it is too long. */
static struct str
cell_make(struct buf *b, struct str name, const json_t *v)
{
	buf_reset(b);
	if (v == NULL)
		return STR("-");
	value_put(b, name, v);
	if (b->full)
		return utf8_prefix(buf_str(b), CELL_BYTES_MAX - 1);
	return b->n == 0 ? STR("-") : buf_str(b);
}

/* "size_bytes" is shown as "size", "age_seconds" as "age", "last_login" as "last login". */
static struct str
heading_make(struct buf *b, struct str name)
{
	if (str_has_suffix_ci(name, STR("_bytes")))
		name.n -= strlen("_bytes");
	else if (str_has_suffix_ci(name, STR("_seconds")))
		name.n -= strlen("_seconds");
	buf_reset(b);
	text_put(b, name);
	for (size_t i = 0; i < b->n; i++)
		if (b->p[i] == '_')
			b->p[i] = ' ';
	return buf_str(b);
}

static void
spaces_put(struct buf *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_put_c(out, ' ');
}

struct column {
	const char *key;
	size_t width;
	bool is_number;
};

struct table {
	struct column columns[COLUMNS_MAX];
	size_t count;
	const json_t *rows;
};

static void
table_columns(struct table *t, const json_t *columns)
{
	size_t i;
	json_t *item;
	json_t *first = json_array_get(t->rows, 0);

	if (columns != NULL) {
		json_array_foreach(columns, i,
		    item) if (json_is_string(item) && t->count < COLUMNS_MAX) t->columns[t->count++]
		    .key = json_string_value(item);
		return;
	}
	for (void *it = json_object_iter(first); it != NULL; it = json_object_iter_next(first, it))
		if (t->count < COLUMNS_MAX)
			t->columns[t->count++].key = json_object_iter_key(it);
}

static void
table_measure(struct table *t, struct buf *cell)
{
	for (size_t c = 0; c < t->count; c++) {
		struct column *col = &t->columns[c];
		struct str name = str_of_c(col->key);

		col->width = text_width(heading_make(cell, name));
		col->is_number = json_array_size(t->rows) > 0;
		for (size_t r = 0; r < json_array_size(t->rows); r++) {
			const json_t *v = json_object_get(json_array_get(t->rows, r), col->key);

			col->width = size_max(col->width, text_width(cell_make(cell, name, v)));
			col->is_number =
			    col->is_number && (v == NULL || json_is_number(v) || json_is_null(v));
		}
	}
}

static void
cell_put(struct buf *out, const struct table *t, size_t c, struct str text)
{
	const struct column *col = &t->columns[c];
	size_t fill = col->width - text_width(text);

	if (c > 0)
		buf_put(out, STR("  "));
	if (col->is_number)
		spaces_put(out, fill);
	buf_put(out, text);
	/* No blanks at the end of a line. */
	if (!col->is_number && c + 1 < t->count)
		spaces_put(out, fill);
}

static void
table_put(struct buf *out, struct table *t, struct buf *cell)
{
	for (size_t c = 0; c < t->count; c++)
		cell_put(out, t, c, heading_make(cell, str_of_c(t->columns[c].key)));
	buf_put_c(out, '\n');
	for (size_t r = 0; r < json_array_size(t->rows); r++) {
		const json_t *row = json_array_get(t->rows, r);

		for (size_t c = 0; c < t->count; c++)
			cell_put(out, t, c,
			    cell_make(cell, str_of_c(t->columns[c].key),
				json_object_get(row, t->columns[c].key)));
		buf_put_c(out, '\n');
	}
}

static void
rows_put(struct buf *out, const json_t *rows, const json_t *columns, struct buf *cell)
{
	struct table t = {.rows = rows};

	if (json_array_size(rows) == 0) {
		buf_put(out, STR("none\n"));
		return;
	}
	table_columns(&t, columns);
	table_measure(&t, cell);
	if (t.count > 0)
		table_put(out, &t, cell);
}

static void
fields_put(struct buf *out, json_t *fields, struct buf *cell)
{
	size_t width = 0;

	for (void *it = json_object_iter(fields); it != NULL;
	     it = json_object_iter_next(fields, it))
		width = size_max(
		    width, text_width(heading_make(cell, str_of_c(json_object_iter_key(it)))));
	for (void *it = json_object_iter(fields); it != NULL;
	     it = json_object_iter_next(fields, it)) {
		struct str name = str_of_c(json_object_iter_key(it));
		struct str heading = heading_make(cell, name);
		size_t fill = width - text_width(heading);

		buf_put(out, heading);
		buf_put(out, STR(": "));
		spaces_put(out, fill);
		buf_put(out, cell_make(cell, name, json_object_iter_value(it)));
		buf_put_c(out, '\n');
	}
}

static void
sentence_put(struct buf *out, const char *before, const json_t *v, struct buf *cell)
{
	buf_put(out, str_of_c(before));
	buf_put(out, cell_make(cell, STR_NULL, v));
	buf_put_c(out, '\n');
}

/* What has a "text", one a line. */
static void
lines_put(struct buf *out, const char *before, const json_t *lines, struct buf *cell)
{
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const json_t *line = json_array_get(lines, i);
		sentence_put(out, before, json_is_object(line) ? json_object_get(line, "text") : line, cell);
	}
}

/* Lines under their titles. */
static void
sections_put(struct buf *out, const json_t *sections, struct buf *cell)
{
	if (json_array_size(sections) == 0)
		buf_put(out, STR("none\n"));
	for (size_t i = 0; i < json_array_size(sections); i++) {
		const json_t *section = json_array_get(sections, i);
		if (i > 0)
			buf_put_c(out, '\n');
		sentence_put(out, "", json_object_get(section, "title"), cell);
		lines_put(out, "  ", json_object_get(section, "lines"), cell);
	}
}

/* RFC 1035 5.1: a character-string has at most 255 bytes, so a long text is several beside each other. */
static void
txt_put(struct buf *out, struct str s)
{
	do {
		struct str piece = str_take(s, 255);
		buf_put(out, STR(" \""));
		for (size_t i = 0; i < piece.n; i++) {
			if (piece.p[i] == '"' || piece.p[i] == '\\')
				buf_put_c(out, '\\');
			buf_put_c(out, piece.p[i]);
		}
		buf_put_c(out, '"');
		s = str_from(s, piece.n);
	} while (s.n > 0);
}

/* DNS records as a zone file has them, each behind the reason for it. */
static void
records_put(struct buf *out, const json_t *records, struct buf *cell)
{
	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		const char *type = json_string_value(json_object_get(r, "type"));
		bool is_txt = type != NULL && strcmp(type, "TXT") == 0;

		sentence_put(out, "; ", json_object_get(r, "why"), cell);
		buf_put(out, cell_make(cell, STR_NULL, json_object_get(r, "name")));
		buf_put(out, STR(".  IN  "));
		buf_put(out, cell_make(cell, STR_NULL, json_object_get(r, "type")));
		if (is_txt) {
			buf_put_c(out, ' ');
			txt_put(out, cell_make(cell, STR_NULL, json_object_get(r, "value")));
		} else {
			buf_put(out, STR("  "));
			buf_put(out, cell_make(cell, STR_NULL, json_object_get(r, "value")));
		}
		buf_put_c(out, '\n');
	}
}

static json_t *
document_load(struct str json, struct buf *err)
{
	json_t *doc = json_loadb(json.n > 0 ? json.p : "", json.n, JSON_REJECT_DUPLICATES, NULL);

	if (json_is_object(doc))
		return doc;
	json_decref(doc);
	buf_put(err, STR("posthorn: the server's answer was not understood\n"));
	return NULL;
}

static enum status
result_of(const json_t *doc, const struct buf *out, const struct buf *err)
{
	if (out->full || err->full)
		return ST_LIMIT;
	return json_object_get(doc, "error") != NULL ? ST_DENIED : ST_OK;
}

enum status
render_text(struct str json, struct buf *out, struct buf *err)
{
	json_t *doc = document_load(json, err), *v;
	struct buf cell;
	enum status st;

	if (doc == NULL)
		return ST_SYNTAX;
	buf_init(&cell, CELL_BYTES_MAX);
	if ((v = json_object_get(doc, "message")) != NULL)
		sentence_put(out, "", v, &cell);
	if (json_is_object(v = json_object_get(doc, "fields")))
		fields_put(out, v, &cell);
	if (json_is_array(v = json_object_get(doc, "rows")))
		rows_put(out, v, json_object_get(doc, "columns"), &cell);
	if (json_is_array(v = json_object_get(doc, "sections")))
		sections_put(out, v, &cell);
	if (json_is_array(v = json_object_get(doc, "lines")))
		lines_put(out, "", v, &cell);
	if (json_is_array(v = json_object_get(doc, "records")))
		records_put(out, v, &cell);
	if (json_is_array(v = json_object_get(doc, "remarks")))
		lines_put(out, "; ", v, &cell);
	if ((v = json_object_get(doc, "error")) != NULL)
		sentence_put(err, "posthorn: ", v, &cell);
	if ((v = json_object_get(doc, "mend")) != NULL)
		sentence_put(err, "  ", v, &cell);
	st = result_of(doc, out, err);
	buf_fini(&cell);
	json_decref(doc);
	return st;
}

enum status
render_json(struct str json, struct buf *out, struct buf *err)
{
	json_t *doc = document_load(json, err);
	enum status st;
	char *line;

	if (doc == NULL)
		return ST_SYNTAX;
	line = json_dumps(doc, JSON_COMPACT);
	CHECK(line != NULL);
	buf_put(out, str_of_c(line));
	buf_put_c(out, '\n');
	free(line);
	st = result_of(doc, out, err);
	json_decref(doc);
	return st;
}
