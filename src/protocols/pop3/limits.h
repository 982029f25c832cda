/* Limits of the POP3 machine. */
#ifndef POSTHORN_PROTOCOLS_POP3_LIMITS_H
#define POSTHORN_PROTOCOLS_POP3_LIMITS_H

#define POP3_LINE_MAX 255	/* RFC 2449 4: 255 octets including CRLF */
#define POP3_AUTH_LINE_MAX 12288 /* RFC 5034 4: base64 of a SASL response, as RFC 4954 has it */
#define POP3_USER_MAX 320
#define POP3_PIECE_MAX 65536
#define POP3_OUT_HIGH 32768	/* a listing pauses when this much waits in out */
#define POP3_ERRORS_MAX 20	/* bad commands, then close */
#define POP3_LOGIN_TRIES_MAX 3
#define POP3_REPLY_LINE_MAX 512	/* RFC 2449 4, with CRLF */
/* An over-long command line is read to its end, so that its tail is no command, but not for ever. */
#define POP3_LINE_SKIP_MAX 65536
#define POP3_CHALLENGE_MAX 12288	/* bytes of one SASL challenge before base64 */
/* The most out has to hold: well filled, then a piece of nothing but ".\n" (3 bytes for 2) with its first line; or a challenge. */
#define POP3_OUT_MAX (POP3_OUT_HIGH + POP3_PIECE_MAX / 2 * 3 + 2 * POP3_REPLY_LINE_MAX)

#endif
