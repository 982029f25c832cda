/*
 * Replies of an SMTP or LMTP server (RFC 5321 4.2), read line by line from a stranger.
 *
 * A line ends with CRLF or, since it means the same and hides nothing here, with LF alone; a CR
 * elsewhere is an error. All lines of a reply have the same code. Codes are 200 to 599; the second
 * and third digit may be any (571 and 577 are in use). Limits: SMTP_CLIENT_REPLY_LINE_MAX,
 * _LINES_MAX, _BYTES_MAX.
 */
#ifndef POSTHORN_PROTOCOLS_SMTP_REPLY_H
#define POSTHORN_PROTOCOLS_SMTP_REPLY_H

#include "base/cur.h"
#include "protocols/smtp/limits.h"

struct smtp_reply {
	uint16_t code;
	/*
	 * class, subject, detail (RFC 2034, 3463) from the front of the first line; 0.0.0 when
	 * there is none or its class is not the code's. The text keeps it.
	 */
	uint16_t enhanced[3];
	/*
	 * All lines, joined by a space, printable ASCII (other bytes are '?'), cut at
	 * SMTP_CLIENT_TEXT_MAX; an enhanced code that later lines repeat stands only once. Borrowed
	 * from the reader: lives until the next reply's first line.
	 */
	struct str text;
	bool is_local; /* made on our side: the peer never said it */
};

/* Its members are the reader's own. */
struct smtp_reply_reader {
	uint32_t bytes;
	uint16_t lines, code, text_n;
	uint16_t enhanced[3];
	bool is_over; /* the next line begins another reply */
	char text[SMTP_CLIENT_TEXT_MAX];
};

struct smtp_reply_line {
	uint16_t code;
	bool is_first, is_last;
	struct str
	    text; /* behind the code and its separator, as it came; borrowed from the input */
};

void smtp_reply_reader_init(struct smtp_reply_reader *r);
/*
 * Takes one line. ST_MORE: no whole line is there (fewer than SMTP_CLIENT_REPLY_LINE_MAX bytes are
 * left). ST_SYNTAX: no reply, or another code than the lines before. ST_LIMIT. Failures are for
 * ever: the connection is to be closed, and nothing was taken.
 */
enum status smtp_reply_take(
    struct smtp_reply_reader *r, struct cur *in, struct smtp_reply_line *line_out) MUST_USE;
/* The reply whose last line was taken. */
struct smtp_reply smtp_reply_get(const struct smtp_reply_reader *r);

#endif
