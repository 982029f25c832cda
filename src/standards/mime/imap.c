/* ENVELOPE and BODYSTRUCTURE as IMAP sends them (RFC 9051 7.5.2 and 9). */
#include "base/num.h"
#include "standards/mime/mime_internal.h"

/* ---- strings ---- */

#define STRING_WHOLE SIZE_MAX

static bool
is_dropped(char c)
{
	return c == '\r' || c == '\n' || c == '\0';
}

static void
literal_put(struct buf *out, struct str s)
{
	size_t n = 0;
	char *w;

	for (size_t i = 0; i < s.n; i++)
		n += !is_dropped(s.p[i]);
	(void)buf_put_c(out, '{');
	(void)buf_put_u64(out, n);
	(void)buf_put(out, STR("}\r\n"));
	w = buf_reserve(out, n);
	if (w == NULL)
		return;
	for (size_t i = 0; i < s.n; i++)
		if (!is_dropped(s.p[i]))
			*w++ = s.p[i];
	buf_commit(out, n);
}

/* RFC 9051 9: string = quoted / literal; 8-bit goes into a literal, because IMAP4rev1 has no other
 * place for it. */
static void
string_put(struct buf *out, struct str s)
{
	char *start, *w;

	/* Every byte may need a backslash, and two quotes. So the last bytes before the maximum may
	 * stay unused. */
	w = start = buf_reserve(out, s.n * 2 + 2);
	if (w == NULL)
		return;
	*w++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if ((unsigned char)c >= 0x80) {
			literal_put(out, s);
			return;
		}
		if (c == '"' || c == '\\')
			*w++ = '\\';
		if (!is_dropped(c))
			*w++ = c;
	}
	*w++ = '"';
	buf_commit(out, (size_t)(w - start));
}

static void
string_put_cut(struct buf *out, struct str s, size_t bytes_max)
{
	string_put(out, str_take(s, bytes_max));
}

static void
nstring_put(struct buf *out, struct str s)
{
	if (s.n == 0)
		(void)buf_put(out, STR("NIL"));
	else
		string_put(out, s);
}

/* An unstructured field: unfolded. */
static void
field_put(struct buf *out, struct arena *a, struct str value, size_t bytes_max)
{
	struct str s;

	if (mime_unfold_arena(value, a, &s) != ST_OK)
		(void)buf_put(out, STR("NIL"));
	else
		string_put_cut(out, s, bytes_max);
}

/* ---- envelope ---- */

enum envelope_field {
	ENV_DATE,
	ENV_SUBJECT,
	ENV_FROM,
	ENV_SENDER,
	ENV_REPLY_TO,
	ENV_TO,
	ENV_CC,
	ENV_BCC,
	ENV_IN_REPLY_TO,
	ENV_MESSAGE_ID,
	ENV_FIELDS,
};

static const struct str envelope_names[ENV_FIELDS] = {
    STR_INIT("date"),
    STR_INIT("subject"),
    STR_INIT("from"),
    STR_INIT("sender"),
    STR_INIT("reply-to"),
    STR_INIT("to"),
    STR_INIT("cc"),
    STR_INIT("bcc"),
    STR_INIT("in-reply-to"),
    STR_INIT("message-id"),
};

/* The first field of each name; p is NULL where there is none. */
static void
envelope_fields_find(struct str header, struct str found[ENV_FIELDS])
{
	struct cur c = cur_of(header);
	struct mime_header h;

	while (mime_header_next(&c, &h)) {
		if (h.name.n < 2 || h.name.n > sizeof("in-reply-to") - 1)
			continue;
		for (size_t i = 0; i < ENV_FIELDS; i++) {
			if (h.name.n != envelope_names[i].n ||
			    char_lower(h.name.p[0]) != envelope_names[i].p[0])
				continue;
			if (found[i].p == NULL && str_eq_ci(h.name, envelope_names[i])) {
				found[i] = str_trim(h.value);
				break;
			}
		}
	}
}

static void
address_put(struct buf *out, const struct mime_address *ad, size_t string_max)
{
	(void)buf_put_c(out, '(');
	switch (ad->kind) {
	case MIME_MAILBOX:
		nstring_put(out, str_take(ad->name_raw, string_max));
		(void)buf_put(out, STR(" NIL "));
		string_put_cut(out, ad->local, string_max);
		(void)buf_put_c(out, ' ');
		/* Not NIL when it is missing: that would mean a group. */
		string_put_cut(out, ad->domain, string_max);
		break;
	case MIME_GROUP_START:
		(void)buf_put(out, STR("NIL NIL "));
		string_put_cut(out, ad->name_raw, string_max);
		(void)buf_put(out, STR(" NIL"));
		break;
	case MIME_GROUP_END:
		(void)buf_put(out, STR("NIL NIL NIL NIL"));
		break;
	}
	(void)buf_put_c(out, ')');
}

/* False (and nothing put) when the field holds no address. */
static bool
addresses_put(
    struct buf *out, struct arena *a, struct str value, size_t string_max, size_t bytes_max)
{
	struct mime_address *list;
	size_t start = out->n;

	if (mime_addresses_scan(value, a, false, &list) != ST_OK && list == NULL)
		return false;
	if (list == NULL)
		return false;
	(void)buf_put_c(out, '(');
	for (const struct mime_address *ad = list; ad != NULL; ad = ad->next) {
		size_t before = out->n;

		address_put(out, ad, string_max);
		if (out->n - start > bytes_max) {
			out->n = before;
			break;
		}
	}
	/* An empty list is none. */
	if (out->n == start + 1) {
		out->n = start;
		return false;
	}
	(void)buf_put_c(out, ')');
	return true;
}

/* Date, subject, in-reply-to and message-id: NIL means absent, "" present but empty. */
static bool
envelope_is_string(enum envelope_field i)
{
	return i == ENV_DATE || i == ENV_SUBJECT || i == ENV_IN_REPLY_TO || i == ENV_MESSAGE_ID;
}

void
mime_imap_envelope(struct str header, struct arena *a, enum mime_imap_cut cut, struct buf *out)
{
	bool is_short = cut == MIME_IMAP_SHORT;
	size_t string_max = is_short ? MIME_ENVELOPE_SHORT_STRING_BYTES : STRING_WHOLE;
	size_t list_max = is_short ? MIME_ENVELOPE_SHORT_LIST_BYTES : STRING_WHOLE;
	struct str found[ENV_FIELDS] = {{0}};
	size_t from_at = 0, from_n = 0;

	envelope_fields_find(header, found);
	for (enum envelope_field i = 0; i < ENV_FIELDS; i++) {
		size_t start;

		(void)buf_put_c(out, i == 0 ? '(' : ' ');
		start = out->n;
		if (envelope_is_string(i) && found[i].p != NULL) {
			field_put(out, a, found[i], string_max);
		} else if (!envelope_is_string(i) &&
			   addresses_put(out, a, found[i], string_max, list_max)) {
			if (i == ENV_FROM) {
				from_at = start;
				from_n = out->n - start;
			}
		} else if ((i == ENV_SENDER || i == ENV_REPLY_TO) && from_n > 0) {
			/* RFC 9051 7.5.2: they default to From. Reserve before reading: out may
			 * move. */
			char *w = buf_reserve(out, from_n);

			if (w == NULL)
				return;
			memcpy(w, out->p + from_at, from_n);
			buf_commit(out, from_n);
		} else {
			(void)buf_put(out, STR("NIL"));
		}
	}
	(void)buf_put_c(out, ')');
}

/* ---- body structure ---- */

/* charset'language'text with everything but attribute characters percent-encoded (RFC 2231 7). */
static void
extended_value_put(struct buf *out, const struct mime_param *p)
{
	static const char digits[] = "0123456789ABCDEF";

	(void)buf_put(out, STR("\"utf-8'"));
	for (size_t i = 0; i < p->language.n; i++)
		if (char_is_alnum(p->language.p[i]) || p->language.p[i] == '-')
			(void)buf_put_c(out, p->language.p[i]);
	(void)buf_put_c(out, '\'');
	for (size_t i = 0; i < p->value.n; i++) {
		unsigned char c = (unsigned char)p->value.p[i];
		char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};

		if (char_is_alnum((char)c) || c == '.' || c == '-' || c == '_')
			(void)buf_put_c(out, (char)c);
		else
			(void)buf_put(out, str_of(escaped, sizeof(escaped)));
	}
	(void)buf_put_c(out, '"');
}

static bool
is_param_kept(const struct mime_param *p, enum mime_imap_cut cut)
{
	if (cut == MIME_IMAP_WHOLE)
		return true;
	return !p->is_extended &&
	       (str_eq_ci(p->name, STR("charset")) || str_eq_ci(p->name, STR("name")) ||
		   str_eq_ci(p->name, STR("filename")));
}

static void
params_put(struct buf *out, struct mime_params params, enum mime_imap_cut cut)
{
	size_t value_max =
	    cut == MIME_IMAP_SHORT ? MIME_STRUCTURE_SHORT_STRING_BYTES : STRING_WHOLE;
	bool has_any = false;

	for (size_t i = 0; i < params.n; i++) {
		const struct mime_param *p = &params.v[i];

		if (!is_param_kept(p, cut))
			continue;
		(void)buf_put_c(out, has_any ? ' ' : '(');
		has_any = true;
		if (p->is_extended) {
			(void)buf_put_c(out, '"');
			for (size_t k = 0; k < p->name.n; k++)
				if (char_is_alnum(p->name.p[k]) || p->name.p[k] == '-' ||
				    p->name.p[k] == '_')
					(void)buf_put_c(out, p->name.p[k]);
			(void)buf_put(out, STR("*\" "));
			extended_value_put(out, p);
		} else {
			string_put(out, p->name);
			(void)buf_put_c(out, ' ');
			string_put_cut(out, p->raw, value_max);
		}
	}
	(void)buf_put(out, has_any ? STR(")") : STR("NIL"));
}

static void
disposition_put(struct buf *out, const struct mime_part *part, enum mime_imap_cut cut)
{
	if (part->disposition.n == 0) {
		(void)buf_put(out, STR("NIL"));
		return;
	}
	(void)buf_put_c(out, '(');
	string_put_cut(out, part->disposition,
	    cut == MIME_IMAP_SHORT ? MIME_STRUCTURE_SHORT_STRING_BYTES : STRING_WHOLE);
	(void)buf_put_c(out, ' ');
	params_put(out, part->disposition_params, cut);
	(void)buf_put_c(out, ')');
}

/* Content-Language as a list of its tags, also when there is one. */
static void
language_put(struct buf *out, struct str value)
{
	struct str tag, rest = value;
	size_t start = out->n, n = 0;
	bool has_more = value.n > 0;

	(void)buf_put_c(out, '(');
	while (has_more) {
		has_more = str_split(rest, ',', &tag, &rest);
		tag = str_trim(tag);
		if (tag.n == 0)
			continue;
		if (n++ > 0)
			(void)buf_put_c(out, ' ');
		string_put(out, tag);
	}
	(void)buf_put_c(out, ')');
	if (n == 0) {
		out->n = start;
		(void)buf_put(out, STR("NIL"));
	}
}

static void
unfolded_nstring_put(struct buf *out, struct arena *a, struct str value, enum mime_imap_cut cut)
{
	if (value.n == 0 || cut == MIME_IMAP_SHORT)
		(void)buf_put(out, STR("NIL"));
	else
		field_put(out, a, value, STRING_WHOLE);
}

/* Disposition, language, location: what the extension data of both forms ends with. */
static void
extension_put(
    struct buf *out, struct arena *a, const struct mime_part *part, enum mime_imap_cut cut)
{
	(void)buf_put_c(out, ' ');
	disposition_put(out, part, cut);
	(void)buf_put_c(out, ' ');
	language_put(out, cut == MIME_IMAP_SHORT ? STR_NULL : part->language);
	(void)buf_put_c(out, ' ');
	unfolded_nstring_put(out, a, part->location, cut);
}

static void
multipart_put(const struct mime_part *part, struct arena *a, bool is_extended,
    enum mime_imap_cut cut, struct buf *out)
{
	(void)buf_put_c(out, '(');
	for (const struct mime_part *c = part->first_child; c != NULL; c = c->next)
		mime_imap_structure(c, a, is_extended, cut, out);
	(void)buf_put_c(out, ' ');
	string_put(out, part->subtype);
	if (is_extended) {
		(void)buf_put_c(out, ' ');
		params_put(out, part->params, cut);
		extension_put(out, a, part, cut);
	}
	(void)buf_put_c(out, ')');
}

/* A multipart or message that was not walked must not look like one: its form would want what we do
 * not have. */
static bool
is_opaque(const struct mime_part *part)
{
	return part->kind == MIME_LEAF && (mime_part_is(part, STR("multipart"), STR_NULL) ||
					      mime_part_is(part, STR("message"), STR("rfc822")) ||
					      mime_part_is(part, STR("message"), STR("global")));
}

static void
basic_put(const struct mime_part *part, struct arena *a, enum mime_imap_cut cut, struct buf *out)
{
	if (is_opaque(part)) {
		(void)buf_put(out, STR("\"APPLICATION\" \"OCTET-STREAM\" "));
		params_put(out, (struct mime_params){0}, cut);
	} else if (!part->has_type && part->kind == MIME_LEAF) {
		/* RFC 2045 5.2 */
		(void)buf_put(out, STR("\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\")"));
	} else {
		string_put(out, part->type);
		(void)buf_put_c(out, ' ');
		string_put(out, part->subtype);
		(void)buf_put_c(out, ' ');
		params_put(out, part->params, cut);
	}
	(void)buf_put_c(out, ' ');
	unfolded_nstring_put(out, a, part->id, cut);
	(void)buf_put_c(out, ' ');
	unfolded_nstring_put(out, a, part->description, cut);
	(void)buf_put_c(out, ' ');
	string_put(out, part->encoding_name.n > 0 ? part->encoding_name : STR("7BIT"));
	(void)buf_put_c(out, ' ');
	(void)buf_put_u64(out, part->body.n);
}

void
mime_imap_structure(const struct mime_part *part, struct arena *a, bool is_extended,
    enum mime_imap_cut cut, struct buf *out)
{
	if (out->full)
		return;
	if (part->kind == MIME_MULTIPART) {
		multipart_put(part, a, is_extended, cut, out);
		return;
	}
	(void)buf_put_c(out, '(');
	basic_put(part, a, cut, out);
	if (part->kind == MIME_MESSAGE) {
		(void)buf_put_c(out, ' ');
		if (cut == MIME_IMAP_WHOLE)
			mime_imap_envelope(part->first_child->header, a, MIME_IMAP_WHOLE, out);
		else
			(void)buf_put(out, STR("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"));
		(void)buf_put_c(out, ' ');
		mime_imap_structure(part->first_child, a, is_extended, cut, out);
	}
	if (part->kind == MIME_MESSAGE || mime_part_is(part, STR("text"), STR_NULL)) {
		(void)buf_put_c(out, ' ');
		(void)buf_put_u64(out, part->body_lines);
	}
	if (is_extended) {
		(void)buf_put_c(out, ' ');
		unfolded_nstring_put(out, a, part->md5, cut);
		extension_put(out, a, part, cut);
	}
	(void)buf_put_c(out, ')');
}
