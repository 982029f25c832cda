/* Internal to the POP3 machine: a message on its way out, dot-stuffed and cut for TOP (RFC 1939 3,
 * 7). */
#ifndef POSTHORN_PROTOCOLS_POP3_BODY_H
#define POSTHORN_PROTOCOLS_POP3_BODY_H

#include "base/buf.h"

struct pop3_body {
	uint64_t lines_left; /* TOP: of the body */
	uint64_t line_bytes; /* TOP: of the current line, without its LF */
	bool is_top, is_in_header;
	bool is_done; /* TOP has all it wants */
	char last[2]; /* the last two bytes written */
};

/* top_lines -1: the whole message. */
void pop3_body_init(struct pop3_body *b, int64_t top_lines);
/* False when nothing more is wanted. Any cutting into pieces gives the same output. */
bool pop3_body_put(struct pop3_body *b, struct buf *out, struct str piece);
/* Completes the last line and writes the final dot. */
void pop3_body_end(struct pop3_body *b, struct buf *out);

#endif
