#include "base/arena.h"
#include "base/num.h"
#include "standards/address/address.h"
#include "standards/compose/compose_internal.h"
#include "standards/mime/mime.h"

/* The copied text, and 1,000 nodes of the mime library. */
enum { AUTHORS_ARENA_BYTES = COMPOSE_HEADER_MAX * 2 + 256 * 1024 };

/* ---- can it be read in one way only? ---- */

/* At the opening quote: behind the closing one. False: it does not close. */
static bool
quoted_skip(struct cur *c)
{
	cur_skip(c, 1);
	while (!cur_at_end(c)) {
		if (cur_char(c, '"'))
			return true;
		cur_skip(c, cur_peek(c) == '\\' ? 2 : 1);
	}
	return false;
}

/* At "(": behind its ")", those inside counted. */
static bool
comment_skip(struct cur *c)
{
	size_t depth = 0;

	while (!cur_at_end(c)) {
		if (cur_char(c, '(')) {
			if (++depth > MIME_COMMENT_DEPTH_MAX)
				return false;
		} else if (cur_char(c, ')')) {
			if (--depth == 0)
				return true;
		} else {
			cur_skip(c, cur_peek(c) == '\\' ? 2 : 1);
		}
	}
	return false;
}

/* What angle brackets have come since the last comma. */
enum angle { ANGLE_NONE, ANGLE_OPEN, ANGLE_CLOSED };

/* One character that is neither quoted nor a comment. */
static bool
angle_step(enum angle *a, char ch)
{
	switch (ch) {
	case '<':
		if (*a != ANGLE_NONE)
			return false;
		*a = ANGLE_OPEN;
		return true;
	case '>':
		if (*a != ANGLE_OPEN)
			return false;
		*a = ANGLE_CLOSED;
		return true;
	case ',':
	case ';':
	case ':':
		/* Inside the brackets it would be a route (RFC 5322 4.4), which some read and some do not. */
		if (*a == ANGLE_OPEN)
			return false;
		if (ch != ':')
			*a = ANGLE_NONE;
		return true;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		return true;
	default:
		return *a != ANGLE_CLOSED;
	}
}

/* "[IPv6:2001:db8::1]" has colons that are none of the list's. */
static bool
literal_skip(struct cur *c)
{
	struct str inside;

	if (!cur_char(c, '[') || !cur_take_until(c, ']', ADDRESS_LITERAL_MAX, &inside))
		return false;
	cur_skip(c, 1);
	return true;
}

/*
 * "<a@x> <b@x>", "a@x <b@x" or an open quote: somebody finds an address in it, and somebody else another one. The mime library takes the
 * likeliest; here that is not enough.
 */
static bool
is_unambiguous(struct str value)
{
	struct cur c = cur_of(value);
	enum angle a = ANGLE_NONE;
	bool ok = true;

	while (ok && !cur_at_end(&c)) {
		int ch = cur_peek(&c);
		if (ch == '"')
			ok = a != ANGLE_CLOSED && quoted_skip(&c);
		else if (ch == '(')
			ok = comment_skip(&c);
		else if (ch == '[' && a == ANGLE_OPEN)
			ok = literal_skip(&c);
		else if (ch == ')')
			ok = false;
		else {
			ok = angle_step(&a, *c.p);
			cur_skip(&c, 1);
		}
	}
	return ok && a != ANGLE_OPEN;
}

/* ---- addresses ---- */

/* RFC 5322 3.2.3, and UTF-8 (RFC 6532 3.2) */
static bool
is_atext_or_dot(char ch)
{
	return char_is_alnum(ch) || (unsigned char)ch > 127 || str_find_char(STR("!#$%&'*+-/=?^_`{|}~."), ch) < 20;
}

static bool
is_plain(struct str local)
{
	size_t i = 0;

	while (i < local.n && is_atext_or_dot(local.p[i]))
		i++;
	return i > 0 && i == local.n;
}

/* The mime library has taken the quotes off: where the envelope needs them they come back. */
static void
local_put(struct buf *out, struct str local)
{
	if (is_plain(local)) {
		(void)buf_put(out, local);
		return;
	}
	(void)buf_put_c(out, '"');
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			(void)buf_put_c(out, '\\');
		(void)buf_put_c(out, local.p[i]);
	}
	(void)buf_put_c(out, '"');
}

/* False: no address that mail could be sent from. */
static bool
author_put(struct buf *addresses, const struct mime_address *m)
{
	struct address parsed;
	struct buf one;
	bool ok;

	buf_init(&one, 2 * ADDRESS_MAX);
	local_put(&one, m->local);
	(void)buf_put_c(&one, '@');
	(void)buf_put(&one, m->domain);
	ok = !one.full && address_parse(buf_str(&one), true, &parsed) == ST_OK && buf_put_str16(addresses, buf_str(&one)) == ST_OK;
	buf_fini(&one);
	return ok;
}

static enum compose_verdict
list_put(const struct mime_address *list, struct buf *addresses, uint32_t *n_out)
{
	*n_out = 0;
	for (const struct mime_address *m = list; m != NULL; m = m->next) {
		/* RFC 6854: a group may stand in From; its members are the authors. */
		if (m->kind != MIME_MAILBOX)
			continue;
		if (*n_out == COMPOSE_AUTHORS_MAX)
			return COMPOSE_AUTHORS;
		if (!author_put(addresses, m))
			return COMPOSE_FROM;
		(*n_out)++;
	}
	return *n_out > 0 ? COMPOSE_OK : COMPOSE_FROM;
}

enum compose_verdict
compose_authors(struct str value, struct buf *addresses, uint32_t *n_out)
{
	struct arena a;
	struct mime_address *list;
	enum compose_verdict v;
	size_t before = addresses->n;

	if (!is_unambiguous(value))
		return COMPOSE_FROM;
	arena_init(&a, AUTHORS_ARENA_BYTES);
	v = mime_addresses_parse(value, &a, &list) == ST_OK ? list_put(list, addresses, n_out) : COMPOSE_AUTHORS;
	arena_fini(&a);
	if (v != COMPOSE_OK)
		addresses->n = before;
	return v;
}
