#include "protocols/pop3/pop3_body.h"

void
pop3_body_init(struct pop3_body *b, int64_t top_lines)
{
	*b = (struct pop3_body){
	    .is_top = top_lines >= 0, .is_in_header = true, .last = {'\r', '\n'}};
	if (top_lines > 0)
		b->lines_left = (uint64_t)top_lines;
}

static void
run_put(struct pop3_body *b, struct buf *out, const char *p, const char *end)
{
	if (p == end)
		return;
	buf_put(out, str_of(p, (size_t)(end - p)));
	b->last[0] = end - p > 1 ? end[-2] : b->last[1];
	b->last[1] = end[-1];
}

/* TOP: a line with n more bytes and then its LF has ended; last_byte is what stands before the LF.
 */
static void
top_line_end(struct pop3_body *b, size_t n, char last_byte)
{
	uint64_t line_bytes = b->line_bytes + n;

	b->line_bytes = 0;
	if (!b->is_in_header)
		b->lines_left--;
	else if (line_bytes == 0 || (line_bytes == 1 && last_byte == '\r'))
		b->is_in_header = false;
	b->is_done = !b->is_in_header && b->lines_left == 0;
}

bool
pop3_body_put(struct pop3_body *b, struct buf *out, struct str piece)
{
	const char *p = piece.p, *run = p, *end = p + piece.n;
	char last = b->last[1];

	while (p < end && !b->is_done) {
		if (last == '\n' && *p == '.') {
			run_put(b, out, run, p);
			buf_put_c(out, '.');
			run = p;
		}
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		const char *stop = lf != NULL ? lf : end;
		size_t n = (size_t)(stop - p);
		if (n > 0)
			last = stop[-1];
		if (b->is_top && lf != NULL)
			top_line_end(b, n, last);
		else
			b->line_bytes += n;
		if (lf != NULL)
			last = '\n';
		p = lf != NULL ? lf + 1 : end;
	}
	run_put(b, out, run, p);
	return !b->is_done;
}

void
pop3_body_end(struct pop3_body *b, struct buf *out)
{
	if (b->last[1] == '\r')
		buf_put_c(out, '\n');
	else if (b->last[0] != '\r' || b->last[1] != '\n')
		buf_put(out, STR("\r\n"));
	buf_put(out, STR(".\r\n"));
}
