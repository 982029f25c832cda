/*
 * SMTP and LMTP server machine (RFC 5321, 2033, 1870, 2920, 3207, 2034, 6152, 6531, 4954 AUTH, 3030 CHUNKING and BINARYMIME, 3461 DSN,
 * 9422 LIMITS, 4865 FUTURERELEASE, 2852 DELIVERBY, 6710 MT-PRIORITY, and Postfix's XCLIENT; rfc5321bis where it differs).
 *
 * Bytes in, events and bytes out; no socket, clock, TLS, password or store. The owner calls smtp_server_next with what it read;
 * the machine takes whole command lines (or message bytes) from the cursor, writes its own replies to `out` and returns the
 * next thing the owner must know. Events marked [answer] stop the machine: it takes no more input (pipelined
 * commands wait in the owner's buffer) until smtp_server_reply was called as often as stated.
 *
 * Order of commands, counts, line lengths, strict CRLF are enforced here. A bare CR or LF in message data or in a
 * command refuses with 550 5.5.2 (data) or 500 5.5.2 (command) and ends the session.
 * After SMTP_EV_STARTTLS the object has ended: flush out, free it, shake hands, start a new one with is_tls set
 * and with nothing of what was read before (RFC 3207 4.2).
 * Memory: sizeof(struct smtp_server), nothing else; a partial line stays in the owner's input buffer (fewer than
 * SMTP_LINE_MAX bytes are left unconsumed at SMTP_EV_MORE, fewer than SMTP_AUTH_LINE_MAX where AUTH is offered, so an input
 * buffer of that size always makes progress).
 * out: give it room for SMTP_OUT_HIGH + SMTP_OUT_CALL_MAX bytes, in LMTP for SMTP_OUT_RCPT_MAX bytes per recipient on top, and
 * send it at SMTP_EV_MORE, _FLUSH, _CLOSE, and before the answer to any event takes time.
 *
 * AUTH (RFC 4954): base64 text goes to the owner as it came, who knows the mechanisms. SMTP_EV_AUTH and _AUTH_LINE are answered with
 * smtp_server_challenge, which waits for a line of the client, or with smtp_server_reply: 235, 4xx or 5xx end the exchange. An
 * exchange that ends otherwise ("*", a line too long, the session) is given out as SMTP_EV_AUTH_CANCEL.
 *
 * BDAT (RFC 3030): the first chunk of a message asks with SMTP_EV_DATA; its bytes come as SMTP_EV_CHUNK, and the chunk that is LAST ends with
 * SMTP_EV_END. Chunks between are answered here. A refused chunk is read and dropped before the refusal is written; the
 * transaction is then over (SMTP_EV_ABORT comes before the refusal is written), and chunks that follow in the pipeline are dropped with 503. Mixing DATA
 * and BDAT in a transaction ends it in the same way. Content without BODY=BINARYMIME has to be CRLF lines, over the borders of chunks too;
 * with it any byte passes, as it came.
 *
 * What the machine refuses for security: bytes that follow EHLO, HELO, LHLO, DATA or STARTTLS in the same input (these end
 * a group, RFC 2920 3.1, and what came before our reply was not meant for it) end the session with 554 5.5.0, and so do
 * bytes behind AUTH without initial response, behind a response line, and before a challenge; a bare CR or
 * LF, and a NUL in a message (RFC 2045 2.8 forbids it, no mailbox protocol can carry it, and it pads smuggled ends of data
 * past other servers), end it with 550 before anything that follows is looked at; a BDAT whose size cannot be read ends it
 * with 501, since nobody knows where its bytes end.
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
	bool is_auth_required;		/* submission: 530 5.7.0 before authentication; only EHLO, AUTH, NOOP, RSET, QUIT, STARTTLS, XCLIENT pass */
	bool is_auth_offered;		/* AUTH exists; the mechanisms are set per session */
	bool is_auth_over_tls_only;	/* before TLS no AUTH in the reply to EHLO, and 538 5.7.11 (RFC 4954 4) */
	bool is_chunking_offered;	/* CHUNKING and BINARYMIME */
	bool is_dsn_offered;
	bool is_xclient_offered;	/* and allowed by smtp_server_set_xclient */
	bool is_deliverby_offered;
	bool is_mt_priority_offered;
	uint32_t deliverby_min_s;	/* smallest BY= with mode R; 0: none is announced */
	uint64_t futurerelease_s_max;	/* 0: not offered. Only in SMTP_SUBMISSION (RFC 4865 4.2) and with the time set; at most 999,999,999 are announced */
	uint64_t message_bytes_max;
	uint32_t rcpts_max;		/* LIMITS RCPTMAX; per transaction, then 452 4.5.3 */
	uint32_t messages_max;		/* LIMITS MAILMAX unless UINT32_MAX; per session, then 421 4.7.0 */
	uint32_t errors_max;		/* bad commands and failed or cancelled AUTH per session, then 421 4.7.0 */
};

enum smtp_event_kind {
	SMTP_EV_MORE,		/* needs more input; write out what is in `out` */
	SMTP_EV_MAIL,		/* [answer] path and the parameters of MAIL */
	SMTP_EV_RCPT,		/* [answer] path (never empty; "postmaster" alone allowed, RFC 5321 4.5.1), notify, orcpt */
	SMTP_EV_DATA,		/* [answer] the message is about to come: reply 354 to go on or an error to refuse. With is_bdat: any 2xx (or 354) goes on and writes nothing */
	SMTP_EV_CHUNK,		/* bytes: a piece of the message, dots unstuffed, borrowed from the input */
	SMTP_EV_END,		/* [answer; in LMTP one reply per accepted recipient, in order] the message is whole; is_unterminated */
	SMTP_EV_ABORT,		/* the transaction that was begun ended without a message (RSET, EHLO, QUIT, too large, bare LF, BDAT refused): forget it */
	SMTP_EV_STARTTLS,	/* 220 is in out; see above */
	SMTP_EV_FLUSH,		/* out is well filled: write it, then call again with the same input */
	SMTP_EV_CLOSE,		/* write out what is in `out`, then close */
	SMTP_EV_AUTH,		/* [answer, see above] mechanism, has_initial, bytes */
	SMTP_EV_AUTH_LINE,	/* [answer, see above] bytes: the client's response */
	SMTP_EV_AUTH_CANCEL,	/* the exchange is over without an answer: forget it */
	SMTP_EV_XCLIENT,	/* the client speaks for another: smtp_xclient_take(ev.bytes). The machine is as after connecting, the greeting is in out */
};

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
/* RFC 3461 4.1. Bits; NEVER stands alone; 0: not given. */
enum smtp_notify { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };

/* All strings are borrowed from the input. */
struct smtp_event {
	enum smtp_event_kind kind;
	struct str path;	/* MAIL, RCPT: without the brackets: local part as sent (quotes kept), domain as sent */
	struct str local, domain; /* the same in pieces: local part unquoted is up to the address library; domain empty for <> and <postmaster> */
	struct str bytes;	/* CHUNK; AUTH, AUTH_LINE: base64 as sent, not checked; XCLIENT: the attributes, checked */
	struct str mechanism;	/* AUTH: as sent, one of smtp_server_set_auth_mechs but for case */
	uint64_t size_bytes;	/* MAIL: SIZE=, 0 when not given */
	struct str envid;	/* MAIL: xtext as sent, checked, at most SMTP_ENVID_MAX */
	struct str orcpt;	/* RCPT: "addr-type;xtext" as sent, checked, at most SMTP_ORCPT_MAX; behind "utf-8;" UTF-8 is possible (RFC 6533 3) */
	int64_t hold_until;	/* MAIL: HOLDFOR=, HOLDUNTIL= as unix seconds; 0 none */
	int32_t by_s;		/* MAIL with has_by: seconds from now, negative with mode N only (RFC 2852 4) */
	char by_mode;		/* 'R' or 'N' */
	int8_t priority;	/* MAIL with has_priority: -9..9 */
	uint8_t body;		/* MAIL: enum smtp_body */
	uint8_t ret;		/* MAIL: enum smtp_ret */
	uint8_t notify;		/* RCPT: enum smtp_notify */
	bool is_8bit;		/* body is 8BITMIME */
	bool is_smtputf8, has_by, by_trace, has_priority;
	bool has_initial;	/* AUTH: an initial response was given; "=" is one with empty bytes */
	bool is_bdat;		/* DATA */
	bool is_unterminated;	/* END: the message came by BDAT and does not end with CRLF */
};

/* UNAVAILABLE: the client will never be known by this; TEMPUNAVAIL: the lookup failed for now. */
enum smtp_xclient_what { SMTP_XCLIENT_NOT_GIVEN, SMTP_XCLIENT_UNAVAILABLE, SMTP_XCLIENT_TEMPUNAVAIL, SMTP_XCLIENT_GIVEN };

struct smtp_xclient_value {
	enum smtp_xclient_what what;
	struct str text;	/* printable ASCII without spaces, at least one byte when GIVEN, else empty */
};

/*
 * What XCLIENT says of the client. The texts lie in room: do not copy the struct. Of an address the brackets and the prefix
 * "IPV6:" are gone and only hex digits, dots and colons are left; whether it is one is for the owner to see.
 */
struct smtp_xclient {
	struct smtp_xclient_value name, addr, helo, login, destaddr;
	uint16_t port, destport;	/* 0: not given or unavailable */
	bool has_proto, is_esmtp;
	uint16_t room_n;
	char room[SMTP_XCLIENT_ROOM];
};

/* Its members are the machine's own; they stand here so that a connection can embed it. */
struct smtp_server {
	const struct smtp_server_conf *conf;
	struct str auth_mechs;
	int64_t now;			/* unix seconds, 0: not known */
	uint64_t data_bytes;		/* of the current message; of an over-long line while it is skipped; of refused chunks */
	uint64_t chunk_bytes, chunk_left; /* of the current BDAT */
	uint32_t rcpts, messages, errors, replies_due;
	uint8_t state, data_state, skip_state, body, content;
	bool is_tls, is_esmtp, is_smtputf8, is_too_large;
	bool is_in_transaction;		/* MAIL was accepted, and neither END was answered nor ABORT given out */
	bool is_in_auth;		/* AUTH was given out, and neither ended by a reply nor CANCEL given out */
	bool is_authenticated, is_xclient_allowed;
	bool is_early;			/* there was input behind what the owner is asked about */
	bool is_chunk_last;
	bool is_last_cr;		/* the last skipped byte of an over-long line */
	bool is_closing;		/* the owner answered 421: close when all due replies are given */
	uint8_t helo_n, held_n;
	uint16_t held_code;
	char helo[SMTP_HELO_KEPT_MAX];	/* first bytes of the EHLO name, only LDH, brackets, dots, colons kept */
	char held[SMTP_HELD_MAX];	/* the refusal of a chunk that is still being dropped */
};

void smtp_server_init(struct smtp_server *s, const struct smtp_server_conf *conf, bool is_tls);
/* Names with a space between, e.g. "SCRAM-SHA-256 PLAIN"; at most SMTP_AUTH_MECHS_MAX bytes, borrowed for the session. Empty: 502 to AUTH. */
void smtp_server_set_auth_mechs(struct smtp_server *s, struct str mechs);
/* The client may use XCLIENT (a proxy of ours, by its address). Not allowed: 550 5.7.0. */
void smtp_server_set_xclient(struct smtp_server *s, bool allowed);
/* For FUTURERELEASE; set it before input is shown, or that is not offered. */
void smtp_server_set_now(struct smtp_server *s, int64_t unix_seconds);
/* Somebody trusted says who the client is (PROXY, XCLIENT LOGIN); a 235 does the same. XCLIENT unsets it. */
void smtp_server_set_authenticated(struct smtp_server *s);
bool smtp_server_is_authenticated(const struct smtp_server *s);
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
 * what does not fit SMTP_REPLY_LINE_MAX is cut (SMTP_HELD_MAX where BDAT is refused). 421 ends the session. DATA refused leaves the
 * transaction open (RFC 5321 3.3: the client may go on with RCPT or DATA), BDAT refused does not; after SMTP_EV_END it is
 * over whatever the code. AUTH: 235 authenticates, 5xx counts as an error (the last one allowed is followed by 421 in its place).
 */
void smtp_server_reply(struct smtp_server *s, struct buf *out, unsigned code, struct str text);
/* Answers SMTP_EV_AUTH and _AUTH_LINE with "334 <base64>"; bytes at most SMTP_CHALLENGE_MAX. */
void smtp_server_challenge(struct smtp_server *s, struct buf *out, struct str bytes);
/* The server ends the session (timeout, shutdown): 421 line; next event is SMTP_EV_CLOSE. */
void smtp_server_abort(struct smtp_server *s, struct buf *out, struct str line_without_crlf);
struct str smtp_server_helo(const struct smtp_server *s);
/* "SMTP", "ESMTP", "ESMTPS", "ESMTPSA", "LMTPS", "UTF8SMTPSA"...: the with-protocol-type of Received (RFC 3848, 6531). */
struct str smtp_server_with(const struct smtp_server *s);
bool smtp_server_is_waiting(const struct smtp_server *s);

/* The attributes of an XCLIENT command, e.g. "NAME=spike.example ADDR=IPV6:2001:db8::1". ST_SYNTAX, ST_LIMIT; never fails on what SMTP_EV_XCLIENT gives. */
enum status smtp_xclient_take(struct str attributes, struct smtp_xclient *out) MUST_USE;
/* Appends what xtext (RFC 3461 4), e.g. an envid, stands for. ST_SYNTAX (nothing appended), ST_LIMIT when out is full. */
enum status smtp_xtext_decode(struct str xtext, struct buf *out) MUST_USE;

#endif
