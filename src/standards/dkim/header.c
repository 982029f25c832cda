#include "base/num.h"
#include "standards/dkim/dkim_internal.h"

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

/* One line and the lines folded onto it (RFC 5322 2.2.3), without the last CRLF. */
static struct str
take_folded(struct cur *c)
{
	const char *start = c->p;
	struct str line;

	while (cur_take_line(c, &line))
		if (cur_at_end(c) || !is_wsp(*c->p))
			return str_of(start, (size_t)(line.p + line.n - start));
	/* The last line of all has no CRLF: it counts as if it had. */
	line = str_of(start, (size_t)(c->end - start));
	c->p = c->end;
	return line;
}

/* RFC 6376 2.10 hdr-name, without the ";" that would end the tag (3.2) */
bool
dkim_name_is_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':' || name.p[i] == ';')
			return false;
	return name.n > 0;
}

/* False for a line that is no field: no colon, or no name before it. */
static bool
field_read(struct str whole, struct dkim_field *out)
{
	struct dkim_field f = {.whole = whole};

	if (!str_split(whole, ':', &f.name, &f.value))
		return false;
	while (f.name.n > 0 && is_wsp(f.name.p[f.name.n - 1]))
		f.name.n--;
	*out = f;
	return dkim_name_is_ok(f.name);
}

static size_t
fields_read(struct str header, struct dkim_field *v)
{
	struct cur c = cur_of(header);
	struct dkim_field f;
	size_t n = 0;

	while (!cur_at_end(&c)) {
		struct str whole = take_folded(&c);

		if (!field_read(whole, &f))
			continue;
		if (v != NULL)
			v[n] = f;
		n++;
	}
	return n;
}

enum status
dkim_fields_split(struct str header, struct arena *a, struct dkim_fields *out)
{
	struct dkim_fields f = {.n = fields_read(header, NULL)};

	if (f.n > DKIM_FIELDS_MAX)
		return ST_LIMIT;
	f.v = arena_array(a, f.n + 1, sizeof(*f.v));
	f.is_taken = arena_array(a, f.n + 1, sizeof(*f.is_taken));
	if (f.v == NULL || f.is_taken == NULL)
		return ST_LIMIT;
	CHECK(fields_read(header, f.v) == f.n);
	*out = f;
	return ST_OK;
}

size_t
dkim_fields_count(const struct dkim_fields *f, struct str name)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += str_eq_ci(f->v[i].name, name);
	return n;
}

const struct dkim_field *
dkim_fields_take(struct dkim_fields *f, struct str name)
{
	/* RFC 6376 5.4.2: from the bottom of the block to the top */
	for (size_t i = f->n; i-- > 0;)
		if (!f->is_taken[i] && str_eq_ci(f->v[i].name, name)) {
			f->is_taken[i] = true;
			return &f->v[i];
		}
	return NULL;
}

/* RFC 6376 3.4.2: folds opened, runs of white space one space, none at the two ends. */
static void
relaxed_value_hash(struct dkim_hash *h, struct str value)
{
	struct cur c = cur_of(value);
	bool has_text = false, has_wsp = false;

	while (!cur_at_end(&c)) {
		const char *start = c.p;

		/* In a field only white space follows a CRLF; a bare CR or LF is a byte like
		 * others. */
		if (cur_lit(&c, "\r\n") || cur_skip_wsp(&c) > 0) {
			has_wsp = true;
			continue;
		}
		do
			c.p++;
		while (!cur_at_end(&c) && !is_wsp(*c.p) && *c.p != '\r');
		if (has_text && has_wsp)
			dkim_hash_put_c(h, ' ');
		dkim_hash_put(h, str_of(start, (size_t)(c.p - start)));
		has_text = true;
		has_wsp = false;
	}
}

void
dkim_field_hash(struct dkim_hash *h, const struct dkim_field *field, enum dkim_canon canon)
{
	if (canon == DKIM_SIMPLE) {
		dkim_hash_put(h, field->whole); /* RFC 6376 3.4.1 */
		return;
	}
	for (size_t i = 0; i < field->name.n; i++)
		dkim_hash_put_c(h, char_lower(field->name.p[i]));
	dkim_hash_put_c(h, ':');
	relaxed_value_hash(h, field->value);
}

bool
dkim_headers_next(struct str *rest, struct str *name_out)
{
	if (rest->p == NULL)
		return false;
	if (!str_split(*rest, ':', name_out, rest))
		*rest = STR_NULL;
	*name_out = str_trim(*name_out);
	return true;
}

void
dkim_headers_hash(
    struct dkim_hash *h, struct dkim_fields *f, struct str headers, enum dkim_canon canon)
{
	const struct dkim_field *field;
	struct str name;

	while (dkim_headers_next(&headers, &name)) {
		field = dkim_fields_take(f, name);
		if (field == NULL)
			continue; /* RFC 6376 5.4: an absent field is nothing at all */
		dkim_field_hash(h, field, canon);
		dkim_hash_put(h, STR("\r\n"));
	}
}
