#include "standards/dkim/dkim_internal.h"

/* RFC 6376 3.2 tag-name: ALPHA *ALNUMPUNC */
static bool
name_is_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!char_is_alnum(name.p[i]) && name.p[i] != '_')
			return false;
	return name.n > 0 && char_is_alpha(name.p[0]);
}

/* RFC 6376 3.2 tval: printable ASCII without ";", with white space and folds between */
static bool
value_is_ok(struct str value)
{
	struct cur c = cur_of(value);

	while (!cur_at_end(&c)) {
		if (cur_skip_wsp(&c) > 0)
			continue;
		if (cur_lit(&c, "\r\n")) {
			if (cur_skip_wsp(&c) == 0)
				return false;
			continue;
		}
		if (*c.p < '!' || *c.p > '~')
			return false;
		c.p++;
	}
	return true;
}

static enum status
tag_add(struct dkim_tags *t, struct str spec)
{
	struct dkim_tag tag;
	struct str ignored;

	if (!str_split(spec, '=', &tag.name, &tag.value))
		return ST_SYNTAX;
	tag.name = str_trim(tag.name);
	if (!name_is_ok(tag.name) || !value_is_ok(tag.value) ||
	    dkim_tags_find(t, tag.name, &ignored))
		return ST_SYNTAX; /* RFC 6376 3.2: a name twice spoils the list */
	tag.value = str_trim(tag.value);
	if (t->n == DKIM_TAGS_MAX)
		return ST_LIMIT;
	t->v[t->n++] = tag;
	return ST_OK;
}

enum status
dkim_tags_parse(struct str list, struct dkim_tags *out)
{
	struct dkim_tags t = {.n = 0};
	enum status st = ST_OK;
	struct str spec;
	bool is_more;

	do {
		is_more = str_split(list, ';', &spec, &list);
		/* One ";" may stand at the end. */
		if (!is_more && t.n > 0 && str_trim(spec).n == 0)
			break;
		st = tag_add(&t, spec);
	} while (is_more && st == ST_OK);
	if (st == ST_OK)
		*out = t;
	return st;
}

bool
dkim_tags_find(const struct dkim_tags *t, struct str name, struct str *value_out)
{
	*value_out = STR_NULL;
	for (size_t i = 0; i < t->n; i++)
		if (str_eq(t->v[i].name, name)) {
			*value_out = t->v[i].value;
			return true;
		}
	return false;
}
