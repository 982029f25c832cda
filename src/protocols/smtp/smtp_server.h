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
 * Memory: sizeof(struct smtp_server), nothing else; a partial line stays in the owner's input buffer (fewer than
 * SMTP_LINE_MAX bytes are left unconsumed at SMTP_EV_MORE, so an input buffer of that size always makes progress).
 * out: give it room for SMTP_OUT_HIGH + SMTP_OUT_CALL_MAX bytes, in LMTP for 64 bytes per recipient on top, and send it
 * at SMTP_EV_MORE, _FLUSH, _CLOSE, and before the answer to any event takes time.
 *
 * What the machine refuses for security: bytes that follow EHLO, HELO, LHLO, DATA or STARTTLS in the same input (these end
 * a group, RFC 2920 3.1, and what came before our reply was not meant for it) end the session with 554 5.5.0; a bare CR or
 * LF, and a NUL in a message (RFC 2045 2.8 forbids it, no mailbox protocol can carry it, and it pads smuggled ends of data
 * past other servers), end it with 550 before anything that follows is looked at.
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
	SMTP_EV_FLUSH,		/* out is well filled: write it, then call again with the same input */
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

/* Its members are the machine's own; they stand here so that a connection can embed it. */
struct smtp_server {
	const struct smtp_server_conf *conf;
	uint64_t data_bytes;		/* of the current message; of an over-long line while it is skipped */
	uint32_t rcpts, messages, errors, replies_due;
	uint8_t state, data_state;
	bool is_tls, is_esmtp, is_smtputf8, is_too_large;
	bool is_in_transaction;		/* MAIL was accepted, and neither END was answered nor ABORT given out */
	bool is_last_cr;		/* the last skipped byte of an over-long line */
	bool is_closing;		/* the owner answered 421: close when all due replies are given */
	char helo[SMTP_HELO_KEPT_MAX];	/* first bytes of the EHLO name, only LDH, brackets, dots, colons kept */
	uint8_t helo_n;
};

void smtp_server_init(struct smtp_server *s, const struct smtp_server_conf *conf, bool is_tls);
/*
 * The greeting (220 hostname ESMTP ...), or call smtp_server_refuse instead: after a line with 4xx the next event is
 * SMTP_EV_CLOSE, after 5xx the client's QUIT is waited for and all else gets 503 (RFC 5321 3.1).
 */
void smtp_server_greet(struct smtp_server *s, struct buf *out);
void smtp_server_refuse(struct smtp_server *s, struct buf *out, struct str line_without_crlf);
/*
 * Borrows in; what the event points to ends with the next change of the input. While an answer is due it
 * returns SMTP_EV_MORE and takes nothing. After SMTP_EV_CLOSE it returns that again and eats the input.
 */
struct smtp_event smtp_server_next(struct smtp_server *s, struct cur *in, struct buf *out);
/*
 * Answers the event the machine waits on. code decides acceptance (2xx and 354). text is one line without CR LF, "2.1.5 ok"
 * style: the enhanced status code (RFC 2034) is in front where one belongs. Anything outside printable ASCII is replaced,
 * what does not fit SMTP_REPLY_LINE_MAX is cut. 421 ends the session. DATA refused leaves the transaction open (RFC 5321 3.3:
 * the client may go on with RCPT or DATA); after SMTP_EV_END it is over whatever the code.
 */
void smtp_server_reply(struct smtp_server *s, struct buf *out, unsigned code, struct str text);
/* The server ends the session (timeout, shutdown): 421 line; next event is SMTP_EV_CLOSE. */
void smtp_server_abort(struct smtp_server *s, struct buf *out, struct str line_without_crlf);
struct str smtp_server_helo(const struct smtp_server *s);
/* "SMTP", "ESMTP", "ESMTPS", "LMTPS", "UTF8SMTPS"...: the with-protocol-type of Received (RFC 3848, 6531). */
struct str smtp_server_with(const struct smtp_server *s);
bool smtp_server_is_waiting(const struct smtp_server *s);

#endif
