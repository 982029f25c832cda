/*
 * SMTP and LMTP client machine (RFC 5321, 2033, 1870, 2034, 2852, 2920, 3030, 3207, 3461, 4954, 6152, 6531, 6710, 8689, 9422).
 *
 * Bytes in, events and bytes out; no socket, clock, TLS. The owner calls smtp_client_next with what it read, sends what
 * is in `out` (at SMTP_CL_MORE at the latest) and acts on the event. Times are the owner's: smtp_client_phase says which
 * one of RFC 5321 4.5.3.2 runs.
 *
 * One session: next.. until READY; then for each message smtp_client_mail, and next.. until DONE; smtp_client_quit and next..
 * until CLOSING. Every message that was begun ends with exactly one SMTP_CL_DONE or, when the session ends with it, one
 * SMTP_CL_CLOSING whose reply is the reason for all that had no reply of its own.
 *
 * The peer is a stranger. Replies are bounded (smtp_reply.h). A command is never written while unread bytes lie in the
 * input that no command asked for: they are read as an unasked reply, of which 4xx ends the session with that reply and
 * anything else with a protocol error (5xx too, but while content is sent: else a double answer would bounce the next
 * message). Bytes behind the 220 of STARTTLS in the same input are a protocol error (RFC 3207 6).
 *
 * Nothing is sent that the peer has not announced, and no path, ENVID or ORCPT that is not of its grammar. Content that is no
 * text of CRLF lines is refused unless is_binary, so that no end of data can be smuggled (RFC 5321 2.3.8, 4.1.1.4).
 *
 * Memory: sizeof(struct smtp_client), under 4 KB, nothing else; a partial line stays in the owner's input buffer (fewer than
 * SMTP_CLIENT_REPLY_LINE_MAX bytes are left at SMTP_CL_MORE). out: room for SMTP_OUT_HIGH + SMTP_CLIENT_COMMAND_MAX, for
 * SMTP_CLIENT_ANSWER_MAX with AUTH, and for 4/3 of a piece of content + 32. Commands that find no room because the peer
 * answers without reading end the session as a protocol error.
 */
#ifndef POSTHORN_PROTOCOLS_SMTP_CLIENT_H
#define POSTHORN_PROTOCOLS_SMTP_CLIENT_H

#include "base/buf.h"
#include "base/cur.h"
#include "protocols/smtp/limits.h"
#include "protocols/smtp/smtp_reply.h"

enum smtp_client_starttls { SMTP_STARTTLS_NEVER, SMTP_STARTTLS_MAY, SMTP_STARTTLS_MUST };

/* Borrowed; must outlive the machine. May be shared. */
struct smtp_client_conf {
	struct str helo;	/* our own name or address literal; trusted */
	bool is_lmtp;
	enum smtp_client_starttls starttls;
	bool is_pipelining_allowed;
	bool is_chunking_allowed;
	bool has_auth;		/* the session is of use only after AUTH */
};

/* The numbers are those of the server machine's events. */
enum smtp_client_notify {
	SMTP_CLIENT_NOTIFY_NEVER = 1,
	SMTP_CLIENT_NOTIFY_SUCCESS = 2,
	SMTP_CLIENT_NOTIFY_FAILURE = 4,
	SMTP_CLIENT_NOTIFY_DELAY = 8,
};
enum smtp_client_ret { SMTP_CLIENT_RET_NONE, SMTP_CLIENT_RET_FULL, SMTP_CLIENT_RET_HDRS };

struct smtp_client_rcpt {
	struct str path;	/* without the brackets */
	uint8_t notify;		/* bits of SMTP_CLIENT_NOTIFY_; 0: not said */
	struct str orcpt;	/* "rfc822;xtext" as it goes out, or empty */
};

/* Borrowed with all it points to until SMTP_CL_DONE or _CLOSING. */
struct smtp_client_mail {
	struct str reverse_path; /* without the brackets; empty: <> */
	uint64_t size_bytes;	/* of the content, with CRLF; 0: not known */
	bool is_8bit, is_binary, is_smtputf8, is_requiretls;
	uint8_t ret;		/* SMTP_CLIENT_RET_ */
	struct str envid;	/* xtext as it goes out, or empty */
	bool has_by;		/* RFC 2852 */
	int64_t by_s;		/* seconds left now; negative: since */
	char by_mode;		/* 'N' or 'R' */
	bool by_trace;
	bool has_priority;	/* RFC 6710 */
	int8_t priority;	/* -9 .. 9 */
	const struct smtp_client_rcpt *rcpts;
	size_t rcpts_n;		/* 1 .. SMTP_CLIENT_RCPTS_MAX */
};

enum smtp_client_event_kind {
	SMTP_CL_MORE,		/* send what is in out, wait for input */
	SMTP_CL_READY,		/* once: hello, TLS and AUTH are done; call smtp_client_mail or smtp_client_quit */
	SMTP_CL_STARTTLS,	/* the 220 came; the object has ended: shake hands, then smtp_client_init with is_tls */
	SMTP_CL_AUTH_READY,	/* smtp_client_auth is due (or smtp_client_quit); given again after an AUTH that failed */
	SMTP_CL_AUTH_CHALLENGE,	/* bytes: decoded, borrowed from the machine until the next call; smtp_client_auth_answer or _cancel is due */
	SMTP_CL_AUTH_DONE,	/* reply: 2xx, then READY follows; else AUTH_READY */
	/* All of the rest are given only between smtp_client_mail and SMTP_CL_DONE. */
	SMTP_CL_UNSENDABLE,	/* nothing was sent, reply (local): the message needs what the peer lacks; DONE follows */
	SMTP_CL_MAIL_DONE,	/* MAIL was refused, reply; DONE follows and no recipient is heard of */
	SMTP_CL_RCPT,		/* index, reply; once for each recipient, in order. Local (is_local): a path that may not be sent
				   (553), more recipients than the peer takes (452: send them in another message) */
	SMTP_CL_DATA,		/* the peer waits for content: smtp_client_body.., smtp_client_body_end. Comes again after a body call said
				   ST_MORE */
	SMTP_CL_SENT,		/* reply to the content, or to the DATA or BDAT that refused it. SMTP: once, index 0. LMTP: for each accepted
				   recipient with its index. May come before smtp_client_body_end: then send no more */
	SMTP_CL_DONE,		/* the message is over; smtp_client_mail or smtp_client_quit */
	/* At any time. */
	SMTP_CL_CLOSING,	/* send what is in out (a QUIT, without its answer), close. reply: the reason; code 221 or another 2xx after smtp_client_quit */
};

struct smtp_client_event {
	enum smtp_client_event_kind kind;
	uint32_t index;		/* RCPT, SENT: into mail.rcpts */
	struct smtp_reply reply; /* its text lives until the next call */
	struct str bytes;	/* AUTH_CHALLENGE */
	bool is_protocol_error;	/* CLOSING: the peer broke the protocol; reply is local, 451 4.5.0, its text a static sentence that says how */
};

/* What the peer announced (EHLO keywords); SMTP_EXT_SIZE without a number has size_max 0. */
enum smtp_client_ext_bit {
	SMTP_EXT_SIZE = 1 << 0,
	SMTP_EXT_8BITMIME = 1 << 1,
	SMTP_EXT_PIPELINING = 1 << 2,
	SMTP_EXT_CHUNKING = 1 << 3,
	SMTP_EXT_BINARYMIME = 1 << 4,
	SMTP_EXT_SMTPUTF8 = 1 << 5,
	SMTP_EXT_DSN = 1 << 6,
	SMTP_EXT_STARTTLS = 1 << 7,
	SMTP_EXT_AUTH = 1 << 8,
	SMTP_EXT_LIMITS = 1 << 9,
	SMTP_EXT_ENHANCEDSTATUSCODES = 1 << 10,
	SMTP_EXT_DELIVERBY = 1 << 11,
	SMTP_EXT_MT_PRIORITY = 1 << 12,
	SMTP_EXT_REQUIRETLS = 1 << 13,
};

struct smtp_client_ext {
	uint32_t bits;		/* SMTP_EXT_ */
	uint64_t size_max;	/* 0: no fixed limit */
	uint64_t by_min_s;	/* DELIVERBY: the least by-time it takes with mode R; 0: none */
	uint32_t rcpt_max, mail_max, rcpt_domain_max;	/* LIMITS (RFC 9422); 0: not said */
	uint16_t mechs_n;
	char mechs[SMTP_CLIENT_MECHS_MAX];	/* "PLAIN SCRAM-SHA-256", upper case; see smtp_client_mechs */
};

/* Which of the times of RFC 5321 4.5.3.2 runs; start it again when the phase changes, a reply comes or (BODY) bytes went out. */
enum smtp_client_phase {
	SMTP_PHASE_GREETING,	/* 5 minutes */
	SMTP_PHASE_HELLO,	/* EHLO, HELO, LHLO, STARTTLS: 5 minutes */
	SMTP_PHASE_AUTH,	/* 3 minutes suffice (RFC 4954 has none) */
	SMTP_PHASE_IDLE,	/* nothing is waited for: the owner is due */
	SMTP_PHASE_MAIL,	/* also RSET: 5 minutes */
	SMTP_PHASE_RCPT,	/* 5 minutes */
	SMTP_PHASE_DATA,	/* the 354: 2 minutes */
	SMTP_PHASE_BODY,	/* the owner sends content: 3 minutes for each piece to leave; also the answers to BDAT between */
	SMTP_PHASE_END,		/* the reply to the content: 10 minutes */
	SMTP_PHASE_QUIT,	/* seconds; closing without its answer harms nobody */
	SMTP_PHASE_CLOSED,
};

/* Its members are the machine's own; they stand here so that a connection can embed it. */
struct smtp_client {
	const struct smtp_client_conf *conf;
	const struct smtp_client_mail *mail;	/* NULL outside of a message */
	struct smtp_client_ext ext;
	struct smtp_reply reply;		/* of a stored event: MAIL_DONE, SENT of a refusal, CLOSING */
	uint32_t mails;				/* MAIL commands sent */
	/*
	 * The transaction as a row of commands: 0 is MAIL, 1..n the recipients, n+1 is DATA. sent and answered count those dealt
	 * with, so sent - answered are outstanding.
	 */
	uint16_t sent, answered, accepted_n;
	uint16_t next_index;			/* SENT: where to look for the next accepted recipient */
	uint16_t chunks_due;			/* BDATs without LAST that have no reply yet */
	uint16_t drains_due;			/* answers to be read and not told before DONE */
	uint16_t challenge_n;
	uint8_t state, send_state;		/* send_state: the command to write when the input is empty */
	uint8_t body_state, challenges;
	bool is_tls;
	bool is_mail_refused;			/* answers of the group are read and not told */
	bool is_ending_with_message;		/* LMTP: how many answers still come is not known, so the session ends */
	bool is_rset_needed;			/* the last message left a transaction open */
	bool is_chunked;			/* this message goes by BDAT */
	bool is_body_stalled;			/* a body call said ST_MORE */
	bool is_protocol_error;
	bool is_starttls_broken;		/* at CLOSING: the answer to STARTTLS was none; a connection without TLS may do */
	uint8_t accepted[(SMTP_CLIENT_RCPTS_MAX + 7) / 8];
	struct smtp_reply_reader reader;
	char challenge[SMTP_CLIENT_REPLY_LINE_MAX];
};

void smtp_client_init(struct smtp_client *c, const struct smtp_client_conf *conf, bool is_tls);
/* Borrows in. What the event points to ends with the next call. After SMTP_CL_CLOSING it is returned again and the input eaten. */
struct smtp_client_event smtp_client_next(struct smtp_client *c, struct cur *in, struct buf *out);

/* After READY or DONE, once for each message; the next call of smtp_client_next begins it. Borrows mail. */
void smtp_client_mail(struct smtp_client *c, const struct smtp_client_mail *mail);
/* False when LIMITS MAILMAX is reached: quit, a message would only be told UNSENDABLE 452. */
bool smtp_client_can_mail(const struct smtp_client *c);
/* Where smtp_client_mail or smtp_client_auth may be called. To end in the middle, just close. */
void smtp_client_quit(struct smtp_client *c, struct buf *out);

/*
 * A piece of the content; dots are stuffed (or the piece is sent as one BDAT: make them large). ST_SYNTAX: no text of CRLF lines, or NUL,
 * and not is_binary: nothing of the piece was put to out, drop the connection and what is in out. ST_LIMIT: out has no room,
 * nothing was put; send and call again. ST_MORE: nothing was put; an answer to a former BDAT must come first, SMTP_CL_DATA
 * is given again. ST_CONFLICT: the content is not wanted (any more): take the next events.
 */
enum status smtp_client_body(struct smtp_client *c, struct str bytes, struct buf *out) MUST_USE;
/* The end; adds the CRLF of the last line when it is missing and not is_binary (RFC 5321 4.1.1.4). Results as above. */
enum status smtp_client_body_end(struct smtp_client *c, struct buf *out) MUST_USE;

/*
 * AUTH mechanism, with an initial response when has_initial. ST_LIMIT: the line would be longer than
 * SMTP_CLIENT_AUTH_LINE_MAX, nothing was put: call without it and give it as the answer to the (empty) challenge (RFC 4954 4).
 */
enum status smtp_client_auth(
    struct smtp_client *c, struct buf *out, struct str mechanism, bool has_initial, struct str raw) MUST_USE;
/* ST_LIMIT: longer than SMTP_CLIENT_ANSWER_MAX, nothing was put; cancel. */
enum status smtp_client_auth_answer(struct smtp_client *c, struct buf *out, struct str raw) MUST_USE;
void smtp_client_auth_cancel(struct smtp_client *c, struct buf *out);

/* Empty before READY or AUTH_READY, and after HELO. */
const struct smtp_client_ext *smtp_client_ext(const struct smtp_client *c);
bool smtp_client_has(const struct smtp_client *c, enum smtp_client_ext_bit bit);
/* The names of the AUTH line, separated by spaces, upper case. Borrowed from the machine. */
struct str smtp_client_mechs(const struct smtp_client *c);
/* An owner that looks for one: any case. */
bool smtp_client_has_mech(const struct smtp_client *c, struct str name);
enum smtp_client_phase smtp_client_phase(const struct smtp_client *c);

#endif
