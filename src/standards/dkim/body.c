/*
 * Canonical bodies. A body is read as long runs that canonicalisation leaves alone, which go into
 * the hash as they are, and the places between them, which are walked byte by byte: white space
 * that changes, and line ends and white space at the end of a piece, where what they mean depends
 * on what follows.
 */
#include "standards/dkim/dkim_internal.h"

void
dkim_body_init(struct dkim_body *b, enum dkim_canon canon)
{
	b->canon = canon;
	b->crlf_n = 0;
	b->has_wsp = false;
	b->has_cr = false;
	b->has_text = false;
	dkim_hash_init(&b->hash);
}

void
dkim_body_fini(struct dkim_body *b)
{
	dkim_hash_fini(&b->hash);
}

/* Something follows: what was held back counts after all. */
static void
put_held(struct dkim_body *b)
{
	for (; b->crlf_n > 0; b->crlf_n--)
		dkim_hash_put(&b->hash, STR("\r\n"));
	if (b->has_wsp)
		dkim_hash_put_c(&b->hash, ' '); /* RFC 6376 3.4.4 a, second rule */
	b->has_wsp = false;
	b->has_text = true;
}

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static void
put_text(struct dkim_body *b, char c)
{
	put_held(b);
	dkim_hash_put_c(&b->hash, c);
}

static void
put_byte(struct dkim_body *b, char c)
{
	if (b->has_cr) {
		b->has_cr = false;
		if (c == '\n') {
			b->crlf_n++;
			b->has_wsp = false; /* RFC 6376 3.4.4 a, first rule */
			return;
		}
		put_text(b, '\r');
	}
	if (c == '\r')
		b->has_cr = true;
	else if (is_wsp(c) && b->canon == DKIM_RELAXED)
		b->has_wsp = true;
	else
		put_text(b, c);
}

static bool
holds_something(const struct dkim_body *b)
{
	return b->has_cr || b->has_wsp || b->crlf_n > 0;
}

/* Bytes that mean something else when something follows. */
static bool
is_open(const struct dkim_body *b, char c)
{
	return c == '\r' || c == '\n' || (is_wsp(c) && b->canon == DKIM_RELAXED);
}

typedef unsigned char bytes16 __attribute__((vector_size(16)));

#define ALL16(c) ((bytes16){c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c})

/* Is there a tab, or a space before a space, tab or CR, in p[0..15]? Reads p[0..16]. */
static bool
has_change16(const char *p)
{
	bytes16 here, next;
	uint64_t found[2];

	memcpy(&here, p, sizeof(here));
	memcpy(&next, p + 1, sizeof(next));
	here = (bytes16)((here == ALL16('\t')) |
			 ((here == ALL16(' ')) & ((next == ALL16(' ')) | (next == ALL16('\t')) |
						     (next == ALL16('\r')))));
	memcpy(found, &here, sizeof(found));
	return (found[0] | found[1]) != 0;
}

/*
 * The length of what relaxed canonicalisation leaves as it is at the start of s, whose last byte is
 * not open: up to a tab, or a space that is not alone or at the end of a line.
 */
static size_t
unchanged_length(struct str s)
{
	size_t i = 0;

	while (s.n - i > 16 && !has_change16(s.p + i))
		i += 16;
	for (; i < s.n; i++)
		if (s.p[i] == '\t' || (s.p[i] == ' ' && (is_wsp(s.p[i + 1]) || s.p[i + 1] == '\r')))
			break;
	return i;
}

/* What is done with one step: white space that is held back, one byte, or a run as it is. */
static size_t
put_step(struct dkim_body *b, struct str s)
{
	size_t n = 0;

	if (b->has_cr || s.p[0] == '\r') {
		put_byte(b, s.p[0]);
		return 1;
	}
	if (b->canon == DKIM_SIMPLE)
		n = s.n;
	else if (!is_wsp(s.p[0]) || !holds_something(b))
		n = unchanged_length(s);
	if (n > 0) {
		put_held(b);
		dkim_hash_put(&b->hash, str_take(s, n));
		return n;
	}
	while (is_wsp(s.p[n]))
		n++;
	b->has_wsp = true;
	return n;
}

/* s ends with a byte that is not open, so whatever line ends are in it have text behind them. */
static void
put_closed(struct dkim_body *b, struct str s)
{
	while (s.n > 0)
		s = str_from(s, put_step(b, s));
}

void
dkim_body_put(struct dkim_body *b, struct str bytes)
{
	size_t closed_n = bytes.n;

	while (closed_n > 0 && is_open(b, bytes.p[closed_n - 1]))
		closed_n--;
	put_closed(b, str_take(bytes, closed_n));
	for (size_t i = closed_n; i < bytes.n; i++)
		put_byte(b, bytes.p[i]);
}

void
dkim_body_end(struct dkim_body *b, uint8_t out[DKIM_HASH_BYTES])
{
	if (b->has_cr) {
		b->has_cr = false;
		put_text(b, '\r');
	}
	/* RFC 6376 3.4.3: no body is one CRLF. 3.4.4 b: no text is nothing. */
	if (b->has_text || b->canon == DKIM_SIMPLE)
		dkim_hash_put(&b->hash, STR("\r\n"));
	dkim_hash_end(&b->hash, out);
}
