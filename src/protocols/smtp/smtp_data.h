/*
 * Internal to the SMTP machines: the bytes of a message between 354 and CRLF.CRLF (RFC
 * 5321 4.1.1.4, 4.5.2). End of data is CRLF.CRLF and nothing else; the CRLF that ends the DATA
 * command counts as the first one.
 */
#ifndef POSTHORN_PROTOCOLS_SMTP_DATA_H
#define POSTHORN_PROTOCOLS_SMTP_DATA_H

#include "base/cur.h"

enum smtp_data_state {
	SMTP_DATA_LINE_START,
	SMTP_DATA_TEXT,
	SMTP_DATA_CR, /* counted data only: the last byte was a CR */
};

enum smtp_data_verdict {
	SMTP_DATA_MORE,	 /* the input is used up but for at most two bytes that need their next */
	SMTP_DATA_CHUNK, /* *chunk_out, at least one byte, was taken */
	SMTP_DATA_END,	 /* the final dot line was taken */
	SMTP_DATA_BARE,	 /* the next byte is, or shows, a CR or LF that is no CRLF */
	SMTP_DATA_NUL,
};

/*
 * The longest run of bytes that lie in the message as they lie in the input (ends before a stuffed
 * dot, at a bad byte or at the end). *state starts as SMTP_DATA_LINE_START. The chunks of a message
 * do not depend on how it was cut.
 */
enum smtp_data_verdict smtp_data_take(struct cur *in, uint8_t *state, struct str *chunk_out);
/*
 * The same for the bytes of a BDAT chunk (RFC 3030 2), of which left are still to come: dots mean
 * nothing, and the end is never given. A CR at the end of the input is taken, and shows to be bare
 * with the next byte, in the next chunk maybe: the state goes on over the chunks of a message. The
 * owner of the last one looks for SMTP_DATA_CR. is_binary: any byte passes.
 */
enum smtp_data_verdict smtp_data_take_counted(
    struct cur *in, uint64_t left, bool is_binary, uint8_t *state, struct str *chunk_out);

#endif
