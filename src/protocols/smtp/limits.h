/* Limits of the SMTP machines. */
#ifndef POSTHORN_PROTOCOLS_SMTP_LIMITS_H
#define POSTHORN_PROTOCOLS_SMTP_LIMITS_H

/* RFC 5321 4.5.3.1.4 says 512 including CRLF; SMTPUTF8, SIZE, DSN and AUTH parameters add to it (RFC 4954 wants 12,288 for AUTH). */
#define SMTP_LINE_MAX 2048
/* RFC 5321 4.5.3.1.6: text lines of 1,000; we accept longer ones, as the world sends them. */
#define SMTP_HELO_KEPT_MAX 128
#define SMTP_LOCAL_MAX 64	/* RFC 5321 4.5.3.1.1 */
#define SMTP_DOMAIN_MAX 255	/* RFC 5321 4.5.3.1.2 */
#define SMTP_PATH_MAX 254	/* RFC 5321 4.5.3.1.3: 256 with the brackets */
/* An over-long command line is read to its end, so that its tail is no command, but not for ever. */
#define SMTP_LINE_SKIP_MAX 65536
/* A message over the limit is read to its end, so that the client hears 552, but not for ever. */
#define SMTP_DATA_SKIP_MAX (64u << 20)
#define SMTP_REPLY_LINE_MAX 512	/* RFC 5321 4.5.3.1.5, with CRLF */
/* SMTP_EV_FLUSH when this much waits in out: a group of pipelined commands cannot grow it without end. */
#define SMTP_OUT_HIGH 8192
/* The most that one call adds beyond SMTP_OUT_HIGH: the reply to EHLO, or the longest line. LMTP's 552 per recipient adds to it. */
#define SMTP_OUT_CALL_MAX 2048

#endif
