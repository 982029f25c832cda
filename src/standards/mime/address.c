#include "base/check.h"
#include "base/num.h"
#include "standards/mime/mime_internal.h"

enum { DOMAIN_LITERAL_MAX = 255 }; /* RFC 5321 4.5.3.1.2 */

struct scan {
	struct cur c;
	struct arena *a;
	char *w,
	    *w_end; /* one piece for all text: nothing that is taken grows longer than it was */
	struct mime_address **tail;
	size_t n;
	bool decode;
	bool in_group;
	enum status st;
};

static void
put(struct scan *s, const char *p, size_t n)
{
	CHECK((size_t)(s->w_end - s->w) >= n);
	if (n > 0)
		memcpy(s->w, p, n);
	s->w += n;
}

static struct mime_address *
address_add(struct scan *s, enum mime_address_kind kind)
{
	struct mime_address *ad = NULL;

	/* The end of a group is always told. */
	if (s->n < MIME_ADDRESSES_MAX || kind == MIME_GROUP_END)
		ad = ARENA_NEW(s->a, struct mime_address);
	if (ad == NULL) {
		s->st = ST_LIMIT;
		return NULL;
	}
	ad->kind = kind;
	*s->tail = ad;
	s->tail = &ad->next;
	s->n++;
	return ad;
}

/* At the "[" of a domain literal: past it, or past the "[" alone when it does not close. */
static void
literal_skip(struct cur *c)
{
	struct str inside;

	cur_skip(c, 1);
	if (cur_take_until(c, ']', DOMAIN_LITERAL_MAX, &inside))
		cur_skip(c, 1);
}

/* Skips what cannot end an address: white space, comments, quoted strings, domain literals. False
 * at something else. */
static bool
opaque_skip(struct cur *c, bool has_at)
{
	struct str unused;

	switch (cur_peek(c)) {
	case '"':
		mime_quoted_take(c, &unused);
		return true;
	case '[':
		if (!has_at)
			return false;
		literal_skip(c);
		return true;
	case '(':
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		mime_cfws_skip(c, NULL);
		return true;
	default:
		return false;
	}
}

/* The delimiter that decides what stands at c: one of < , ; : or -1 for the end. *text_out is what
 * comes before it. */
static int
delimiter_find(const struct scan *s, struct str *text_out)
{
	struct cur c = s->c;
	bool has_at = false;

	while (!cur_at_end(&c)) {
		char ch = *c.p;

		if (opaque_skip(&c, has_at))
			continue;
		if (ch == '<' || ch == ',' || ch == ';' || (ch == ':' && !has_at && !s->in_group)) {
			*text_out = str_of(s->c.p, (size_t)(c.p - s->c.p));
			return ch;
		}
		has_at = has_at || ch == '@';
		c.p++;
	}
	*text_out = cur_rest(&s->c);
	return -1;
}

static bool
is_atom_end(char c)
{
	return mime_is_space(c) || c == '(' || c == '"';
}

/* A phrase (RFC 5322 3.2.5, with the dots and other characters people put there) as one line. */
static struct str
phrase_take(struct scan *s, struct str text, struct str *comment_out)
{
	struct cur c = cur_of(text);
	char *start = s->w;

	mime_cfws_skip(&c, comment_out);
	while (!cur_at_end(&c)) {
		const char *p = c.p;

		if (s->w > start)
			put(s, " ", 1);
		if (*p == '"') {
			struct str inside;
			mime_quoted_take(&c, &inside);
			/* The closing quote, when missing, leaves one byte less to copy than was
			 * taken. */
			s->w += mime_unquote_copy(inside, s->w);
		} else {
			while (!cur_at_end(&c) && !is_atom_end(*c.p))
				c.p++;
			put(s, p, (size_t)(c.p - p));
		}
		mime_cfws_skip(&c, comment_out);
	}
	return str_of(start, (size_t)(s->w - start));
}

/* local@domain, split at the last "@" outside quotes. */
static void
addr_spec_take(struct scan *s, struct str text, struct mime_address *ad, struct str *comment_out)
{
	struct cur c = cur_of(text);
	char *start = s->w, *at = NULL;
	bool has_gap = false;

	mime_cfws_skip(&c, comment_out);
	while (!cur_at_end(&c)) {
		const char *p = c.p;
		bool is_joint = *p == '@' || *p == '.';

		/* Two words are none of the standard's: keep them apart. */
		if (has_gap && !is_joint && s->w > start && s->w[-1] != '@' && s->w[-1] != '.')
			put(s, " ", 1);
		if (*p == '"') {
			struct str inside;
			mime_quoted_take(&c, &inside);
			s->w += mime_unquote_copy(inside, s->w);
		} else if (*p == '[' && at != NULL) {
			literal_skip(&c);
			put(s, p, (size_t)(c.p - p));
		} else {
			at = *p == '@' ? s->w : at;
			put(s, p, 1);
			c.p++;
		}
		p = c.p;
		mime_cfws_skip(&c, comment_out);
		has_gap = c.p > p;
	}
	ad->local = str_of(start, (size_t)((at != NULL ? at : s->w) - start));
	if (at != NULL)
		ad->domain = str_of(at + 1, (size_t)(s->w - at - 1));
}

static void
name_set(struct scan *s, struct mime_address *ad, struct str name, struct str comment)
{
	if (name.n == 0 && comment.n > 0) {
		char *start = s->w;
		struct str c = str_trim(comment);

		s->w += c.n > 0 ? mime_unquote_copy(c, s->w) : 0;
		name = str_of(start, (size_t)(s->w - start));
	}
	ad->name_raw = ad->name = name;
	if (s->decode && mime_text_decode_arena(name, s->a, name.n * 3, &ad->name) != ST_OK)
		s->st = ST_LIMIT;
}

/* Behind "<": takes up to and with ">", or up to what looks like the next address when there is
 * none. */
static struct str
angle_take(struct cur *c)
{
	const char *start = c->p, *comma = NULL;
	bool has_at = false;

	while (!cur_at_end(c) && *c->p != '>' && *c->p != '<') {
		if (opaque_skip(c, has_at))
			continue;
		if (*c->p == ',' && comma == NULL)
			comma = c->p;
		has_at = has_at || *c->p == '@';
		c->p++;
	}
	if (cur_peek(c) != '>' && comma != NULL)
		c->p = comma;
	struct str inside = str_of(start, (size_t)(c->p - start));
	(void)cur_char(c, '>');
	return inside;
}

/* Without the route of RFC 5322 4.4: "@a,@b:user@host". */
static struct str
without_route(struct str inside)
{
	struct str s = str_trim(inside), route, rest;

	if (s.n > 0 && s.p[0] == '@' && str_split(s, ':', &route, &rest))
		return rest;
	return inside;
}

static void
named_take(struct scan *s, struct str phrase)
{
	struct mime_address *ad = address_add(s, MIME_MAILBOX);
	struct str comment = STR_NULL, name, junk;
	int delimiter;

	if (ad == NULL)
		return;
	cur_skip(&s->c, phrase.n + 1);
	name = phrase_take(s, phrase, &comment);
	addr_spec_take(s, without_route(angle_take(&s->c)), ad, &comment);
	mime_cfws_skip(&s->c, &comment);
	name_set(s, ad, name, comment);
	/* What stands between ">" and the next delimiter belongs to nobody, unless it names another
	 * address. */
	delimiter = delimiter_find(s, &junk);
	if (delimiter != '<' && delimiter != ':')
		cur_skip(&s->c, junk.n);
}

static void
bare_take(struct scan *s, struct str text)
{
	struct str comment = STR_NULL;
	struct mime_address *ad;
	struct cur inside = cur_of(text);

	cur_skip(&s->c, text.n);
	mime_cfws_skip(&inside, NULL);
	if (cur_at_end(&inside))
		return;
	ad = address_add(s, MIME_MAILBOX);
	if (ad == NULL)
		return;
	addr_spec_take(s, text, ad, &comment);
	name_set(s, ad, STR_NULL, comment);
}

static void
group_start(struct scan *s, struct str phrase)
{
	struct mime_address *ad = address_add(s, MIME_GROUP_START);
	struct str comment = STR_NULL;

	if (ad == NULL)
		return;
	cur_skip(&s->c, phrase.n + 1);
	name_set(s, ad, phrase_take(s, phrase, &comment), STR_NULL);
	s->in_group = true;
}

static void
group_end(struct scan *s)
{
	if (s->in_group)
		(void)address_add(s, MIME_GROUP_END);
	s->in_group = false;
}

enum status
mime_addresses_scan(struct str value, struct arena *a, bool decode, struct mime_address **out)
{
	struct scan s = {.c = cur_of(value), .a = a, .tail = out, .decode = decode};

	*out = NULL;
	if (str_trim(value).n == 0)
		return ST_OK;
	s.w = arena_alloc(a, value.n);
	if (s.w == NULL)
		return ST_LIMIT;
	s.w_end = s.w + value.n;
	while (!cur_at_end(&s.c) && s.st == ST_OK) {
		struct str text;
		int delimiter = delimiter_find(&s, &text);

		if (delimiter == '<') {
			named_take(&s, text);
		} else if (delimiter == ':') {
			group_start(&s, text);
		} else {
			bare_take(&s, text);
			if (delimiter == ';')
				group_end(&s);
			if (s.st == ST_OK)
				cur_skip(&s.c, 1);
		}
	}
	group_end(&s);
	return s.st;
}

enum status
mime_addresses_parse(struct str value, struct arena *a, struct mime_address **out)
{
	return mime_addresses_scan(value, a, true, out);
}
