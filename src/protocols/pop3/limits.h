/* Limits of the POP3 machine. */
#ifndef POSTHORN_PROTOCOLS_POP3_LIMITS_H
#define POSTHORN_PROTOCOLS_POP3_LIMITS_H

#define POP3_LINE_MAX 255	/* RFC 2449 4: 255 octets including CRLF */
#define POP3_AUTH_LINE_MAX 12288 /* RFC 5034 4: base64 of a SASL response, as RFC 4954 has it */
#define POP3_USER_MAX 320
#define POP3_PASSWORD_MAX 512
#define POP3_PIECE_MAX 65536
#define POP3_OUT_HIGH 32768	/* a listing pauses when this much waits in out */
#define POP3_ERRORS_MAX 20	/* bad commands, then close */
#define POP3_LOGIN_TRIES_MAX 3

#endif
