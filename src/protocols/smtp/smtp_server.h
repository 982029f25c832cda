/*
 * SMTP and LMTP server machine (RFC 5321, 2033, 1870, 2920, 3207, 2034, 6152, 6531; rfc5321bis where it differs).
 *
 * Bytes in, events and bytes out; no socket, clock, TLS or store. The owner calls smtp_server_next with what it read;
 * the machine takes whole command lines (or message bytes) from the cursor, writes its own replies to `out` and returns the
 * next thing the owner must know. Events marked [answer] stop the machine: it takes no more input (pipelined
 * commands wait in the owner's buffer) until smtp_server_reply was called as often as stated.
 *
 * Order of commands, counts, line lengths, strict CRLF are enforced here. A bare CR or LF in message data or in a
 * command refuses with 550 5.5.2 (data) or 500 5.5.2 (command) and ends the session.
 * After SMTP_EV_STARTTLS the object has ended: flush out, free it, shake hands, start a new one with is_tls set
 * and with nothing of what was read before (RFC 3207 4.2).
 * Memory: sizeof(struct smtp_server), nothing else; a partial line stays in the owner's input buffer (never more
 * than SMTP_LINE_MAX bytes are left unconsumed without SMTP_EV_MORE making progress).
 */
#ifndef POSTHORN_PROTOCOLS_SMTP_SERVER_H
#define POSTHORN_PROTOCOLS_SMTP_SERVER_H

#include "base/buf.h"
#include "base/cur.h"
#include "protocols/smtp/limits.h"

enum smtp_mode { SMTP_MTA, SMTP_SUBMISSION, SMTP_LMTP };

/* Shared by all sessions of a listener; borrowed, must outlive them. */
struct smtp_server_conf {
	struct str hostname;
	enum smtp_mode mode;
	bool is_starttls_offered;
	bool is_auth_required;		/* submission: 530 5.7.0 before AUTH (part 2 brings AUTH; until then everything but EHLO, NOOP, RSET, QUIT, STARTTLS is refused) */
	uint64_t message_bytes_max;
	uint32_t rcpts_max;
	uint32_t messages_max;		/* per session, then 421 4.7.0 */
	uint32_t errors_max;		/* bad commands per session, then 421 4.7.0 */
};

enum smtp_event_kind {
	SMTP_EV_MORE,		/* needs more input; write out what is in `out` */
	SMTP_EV_MAIL,		/* [answer] path, size_bytes, is_8bit, is_smtputf8 */
	SMTP_EV_RCPT,		/* [answer] path (never empty; "postmaster" alone allowed, RFC 5321 4.5.1) */
	SMTP_EV_DATA,		/* [answer] the message is about to come: reply 354 to go on or an error to refuse */
	SMTP_EV_CHUNK,		/* bytes: a piece of the message, dots unstuffed, borrowed from the input */
	SMTP_EV_END,		/* [answer; in LMTP one reply per accepted recipient, in order] the message is whole */
	SMTP_EV_ABORT,		/* the transaction that was begun ended without a message (RSET, EHLO, QUIT, too large, bare LF): forget it */
	SMTP_EV_STARTTLS,	/* 220 is in out; see above */
	SMTP_EV_CLOSE,		/* write out what is in `out`, then close */
};

struct smtp_event {
	enum smtp_event_kind kind;
	struct str path;	/* MAIL, RCPT: without the brackets, borrowed from the input: local part as sent (quotes kept), domain as sent */
	struct str local, domain; /* the same in pieces: local part unquoted is up to the address library; domain empty for <> and <postmaster> */
	struct str bytes;	/* CHUNK */
	uint64_t size_bytes;	/* MAIL: SIZE=, 0 when not given */
	bool is_8bit, is_smtputf8;
};

struct smtp_server {
	const struct smtp_server_conf *conf;
	uint64_t data_bytes;		/* of the current message */
	uint32_t rcpts, messages, errors, replies_due;
	uint8_t state, data_state;
	bool is_tls, is_esmtp, is_smtputf8, is_too_large;
	char helo[SMTP_HELO_KEPT_MAX];	/* first bytes of the EHLO name, only LDH, brackets, dots, colons kept */
	uint8_t helo_n;
};

void smtp_server_init(struct smtp_server *s, const struct smtp_server_conf *conf, bool is_tls);
/* The greeting (220 hostname ESMTP ...), or call smtp_server_refuse for 421/554 instead. */
void smtp_server_greet(struct smtp_server *s, struct buf *out);
void smtp_server_refuse(struct smtp_server *s, struct buf *out, struct str line_without_crlf);
struct smtp_event smtp_server_next(struct smtp_server *s, struct cur *in, struct buf *out);
/*
 * Answers the event the machine waits on. code decides acceptance (2xx and 354). text is one line without CR LF, "2.1.5 ok"
 * style: the enhanced status code (RFC 2034) is in front where one belongs. Anything outside printable ASCII is replaced.
 */
void smtp_server_reply(struct smtp_server *s, struct buf *out, unsigned code, struct str text);
/* The server ends the session (timeout, shutdown): 421 line; next event is SMTP_EV_CLOSE. */
void smtp_server_abort(struct smtp_server *s, struct buf *out, struct str line_without_crlf);
struct str smtp_server_helo(const struct smtp_server *s);
/* "SMTP", "ESMTP", "ESMTPS", "LMTPS", "UTF8SMTPS"...: the with-protocol-type of Received (RFC 3848, 6531). */
struct str smtp_server_with(const struct smtp_server *s);
bool smtp_server_is_waiting(const struct smtp_server *s);

#endif
