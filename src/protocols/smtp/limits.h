/* Limits of the SMTP machines. */
#ifndef POSTHORN_PROTOCOLS_SMTP_LIMITS_H
#define POSTHORN_PROTOCOLS_SMTP_LIMITS_H

/* RFC 5321 4.5.3.1.4 says 512 including CRLF; SMTPUTF8, SIZE, DSN and AUTH parameters add to it (RFC 4954 wants 12,288 for AUTH). */
#define SMTP_LINE_MAX 2048
/* RFC 4954 4: the AUTH command and the client's responses, with CRLF */
#define SMTP_AUTH_LINE_MAX 12288
/* Raw bytes of one challenge; SCRAM's are under 200. Its base64 fits SMTP_OUT_CALL_MAX. */
#define SMTP_CHALLENGE_MAX 1024
#define SMTP_AUTH_MECHS_MAX 256
/* RFC 5321 4.5.3.1.6: text lines of 1,000; we accept longer ones, as the world sends them. */
#define SMTP_HELO_KEPT_MAX 128
#define SMTP_LOCAL_MAX 64	/* RFC 5321 4.5.3.1.1 */
#define SMTP_DOMAIN_MAX 255	/* RFC 5321 4.5.3.1.2 */
#define SMTP_PATH_MAX 254	/* RFC 5321 4.5.3.1.3: 256 with the brackets */
/* An over-long command line is read to its end, so that its tail is no command, but not for ever. */
#define SMTP_LINE_SKIP_MAX 65536
/* A message over the limit is read to its end, so that the client hears 552, but not for ever. */
#define SMTP_DATA_SKIP_MAX (64u << 20)
/* The same for the bytes of refused BDAT chunks, in all of a transaction. */
#define SMTP_HELD_MAX 104	/* of the text that refuses a chunk, kept until the chunk was read */
#define SMTP_ENVID_MAX 100	/* RFC 3461 4.4 */
#define SMTP_ORCPT_MAX 500	/* RFC 3461 4.2 */
#define SMTP_LIMITS_MAX 999999	/* RFC 9422: six digits; a larger limit is announced as this */
#define SMTP_HOLD_S_MAX 999999999	/* RFC 4865 3 */
#define SMTP_BY_DIGITS_MAX 9	/* RFC 2852 4 */
/* XCLIENT, decoded: host names (Postfix's limit), a user name of local part, @ and domain, an IPv6 address with its prefix. */
#define SMTP_XCLIENT_NAME_MAX 255
#define SMTP_XCLIENT_LOGIN_MAX 320
#define SMTP_XCLIENT_ADDR_MAX 50
/* NAME, HELO, LOGIN, ADDR, DESTADDR */
#define SMTP_XCLIENT_ROOM (2 * SMTP_XCLIENT_NAME_MAX + SMTP_XCLIENT_LOGIN_MAX + 2 * SMTP_XCLIENT_ADDR_MAX)
#define SMTP_REPLY_LINE_MAX 512	/* RFC 5321 4.5.3.1.5, with CRLF */
/* SMTP_EV_FLUSH when this much waits in out: a group of pipelined commands cannot grow it without end. */
#define SMTP_OUT_HIGH 8192
/* The most that one call adds beyond SMTP_OUT_HIGH: the reply to EHLO, a challenge, or the longest line. LMTP's refusals per recipient add to it. */
#define SMTP_OUT_CALL_MAX 2048
#define SMTP_OUT_RCPT_MAX (SMTP_HELD_MAX + 8)

/* The client machine. */
/* One reply of the peer: the longest ones known (EHLO of large providers, policy texts) have 30 lines of 200. */
#define SMTP_CLIENT_REPLY_LINES_MAX 100
#define SMTP_CLIENT_REPLY_LINE_MAX 2048	/* with its line end; RFC 5321 4.5.3.1.5 says 512, AUTH challenges are longer */
#define SMTP_CLIENT_REPLY_BYTES_MAX 65536
#define SMTP_CLIENT_TEXT_MAX 512	/* of a reply's text, what is kept for people */
#define SMTP_CLIENT_RCPTS_MAX 1000	/* per message; RFC 5321 4.5.3.1.8 makes servers take 100, RFC 9422 says how many more */
#define SMTP_CLIENT_MECHS_MAX 256	/* of the AUTH line, whole names */
#define SMTP_CLIENT_MECH_MAX 20		/* RFC 4422 3.1 */
#define SMTP_CLIENT_CHALLENGES_MAX 16	/* per AUTH; SCRAM has 2 */
#define SMTP_CLIENT_AUTH_LINE_MAX 512	/* AUTH with its initial response, with CRLF (RFC 4954 4) */
#define SMTP_CLIENT_ANSWER_MAX 12288	/* the answer to a challenge, with CRLF (RFC 4954 4) */
#define SMTP_CLIENT_ENVID_MAX 100	/* RFC 3461 4.4 */
#define SMTP_CLIENT_ORCPT_MAX 500	/* RFC 3461 4.2 */
#define SMTP_CLIENT_CHUNKS_DUE_MAX 100	/* BDAT pieces sent and not yet answered; each answer is short */
/* The longest command: RCPT with a path of 254, ORCPT of 500 and NOTIFY; MAIL is shorter (RFC 3461 5.1 adds these to 512). */
#define SMTP_CLIENT_COMMAND_MAX 1024

#endif
