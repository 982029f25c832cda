#include "protocols/smtp/smtp_data.h"

/*
 * Where the clean run ends: the end of the input, a CR that is not (yet) followed by LF, an LF
 * without CR, or the dot at the start of a line. memchr looks at 16 to 64 bytes at once; each byte
 * of a line is looked at twice.
 */
static const char *
run_end(const char *p, const char *end, uint8_t *state)
{
	const char *cr, *stop;

	for (;;) {
		cr = memchr(p, '\r', (size_t)(end - p));
		stop = cr != NULL ? cr : end;
		const char *lf = memchr(p, '\n', (size_t)(stop - p));
		if (lf != NULL)
			stop = lf;
		if (stop > p)
			*state = SMTP_DATA_TEXT;
		if (lf != NULL || cr == NULL || end - cr < 2 || cr[1] != '\n')
			return stop;
		p = cr + 2;
		*state = SMTP_DATA_LINE_START;
		if (p == end || *p == '.')
			return p;
	}
}

/* The next byte is the dot at the start of a line. SMTP_DATA_CHUNK when it was a stuffed one, now
 * taken. */
static enum smtp_data_verdict
dot_take(struct cur *in, uint8_t *state)
{
	size_t left = cur_left(in);

	if (left < 2)
		return SMTP_DATA_MORE;
	if (in->p[1] == '\r') {
		if (left < 3)
			return SMTP_DATA_MORE;
		if (in->p[2] != '\n')
			return SMTP_DATA_BARE;
		cur_skip(in, 3);
		return SMTP_DATA_END;
	}
	/* RFC 5321 4.5.2: other characters follow, so the dot is deleted. (A bare LF is found in
	 * what follows.) */
	cur_skip(in, 1);
	*state = SMTP_DATA_TEXT;
	return SMTP_DATA_CHUNK;
}

/* The run is empty: what stands there? */
static enum smtp_data_verdict
stop_verdict(const struct cur *in)
{
	if (cur_at_end(in))
		return SMTP_DATA_MORE;
	if (*in->p == 0)
		return SMTP_DATA_NUL;
	return *in->p == '\r' && cur_left(in) == 1 ? SMTP_DATA_MORE : SMTP_DATA_BARE;
}

enum smtp_data_verdict
smtp_data_take(struct cur *in, uint8_t *state, struct str *chunk_out)
{
	const char *end, *nul;

	if (cur_at_end(in))
		return SMTP_DATA_MORE;
	if (*state == SMTP_DATA_LINE_START && *in->p == '.') {
		enum smtp_data_verdict v = dot_take(in, state);
		if (v != SMTP_DATA_CHUNK)
			return v;
	}
	end = run_end(in->p, in->end, state);
	nul = end > in->p ? memchr(in->p, 0, (size_t)(end - in->p)) : NULL;
	if (nul != NULL)
		end = nul;
	if (end == in->p)
		return stop_verdict(in);
	*chunk_out = str_of(in->p, (size_t)(end - in->p));
	in->p = end;
	return SMTP_DATA_CHUNK;
}

/* Where lines end with something else than CRLF, or the end. */
static const char *
bare_find(const char *p, const char *end, uint8_t state)
{
	if (state == SMTP_DATA_CR) {
		if (*p != '\n')
			return p;
		p++;
	}
	while (p < end) {
		const char *cr = memchr(p, '\r', (size_t)(end - p));
		const char *stop = cr != NULL ? cr : end;
		const char *lf = memchr(p, '\n', (size_t)(stop - p));
		if (lf != NULL)
			return lf;
		if (cr == NULL || end - cr < 2)
			return end;
		if (cr[1] != '\n')
			return cr;
		p = cr + 2;
	}
	return end;
}

static enum smtp_data_state
state_after(struct str taken, uint8_t before)
{
	char last = taken.p[taken.n - 1];

	if (last == '\r')
		return SMTP_DATA_CR;
	if (last != '\n')
		return SMTP_DATA_TEXT;
	if (taken.n > 1 ? taken.p[taken.n - 2] == '\r' : before == SMTP_DATA_CR)
		return SMTP_DATA_LINE_START;
	return SMTP_DATA_TEXT;
}

enum smtp_data_verdict
smtp_data_take_counted(
    struct cur *in, uint64_t left, bool is_binary, uint8_t *state, struct str *chunk_out)
{
	size_t n = cur_left(in) < left ? cur_left(in) : (size_t)left;
	const char *end = in->p + n;

	if (n == 0)
		return SMTP_DATA_MORE;
	if (!is_binary) {
		end = bare_find(in->p, end, *state);
		const char *nul = memchr(in->p, 0, (size_t)(end - in->p));
		if (nul == in->p)
			return SMTP_DATA_NUL;
		if (end == in->p)
			return SMTP_DATA_BARE;
		if (nul != NULL)
			end = nul;
	}
	*chunk_out = str_of(in->p, (size_t)(end - in->p));
	*state = (uint8_t)state_after(*chunk_out, *state);
	in->p = end;
	return SMTP_DATA_CHUNK;
}
