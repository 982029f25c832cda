/* What the files of the SMTP server machine share. */
#ifndef POSTHORN_PROTOCOLS_SMTP_INTERNAL_H
#define POSTHORN_PROTOCOLS_SMTP_INTERNAL_H

#include "protocols/smtp/smtp_server.h"

enum smtp_state {
	SMTP_S_START,	  /* no EHLO yet */
	SMTP_S_READY,	  /* commands; is_in_transaction says whether MAIL was accepted */
	SMTP_S_REFUSED,	  /* greeted with 5xx: only QUIT has a meaning */
	SMTP_S_LINE_SKIP, /* to the end of an over-long line, then back to skip_state */
	SMTP_S_MAIL_WAIT,
	SMTP_S_RCPT_WAIT,
	SMTP_S_DATA_WAIT,
	SMTP_S_DATA,
	SMTP_S_BDAT_WAIT, /* the first chunk: the owner is asked, its bytes wait */
	SMTP_S_BDAT,
	SMTP_S_BDAT_SKIP, /* a refused chunk is dropped, then the refusal in held is written */
	SMTP_S_END_WAIT,
	SMTP_S_AUTH_WAIT,
	SMTP_S_AUTH_LINE, /* the next line is the client's response */
	SMTP_S_CLOSING,	  /* ABORT or AUTH_CANCEL when something is open, then CLOSE for ever */
};

/* How the content of the transaction comes: what begins one way may not go on another (RFC 3030 2).
 */
enum smtp_content {
	SMTP_C_NONE,
	SMTP_C_DATA,   /* DATA was given out */
	SMTP_C_BDAT,   /* the first BDAT was accepted */
	SMTP_C_FAILED, /* the transaction is over; chunks that still come are dropped, until MAIL or
			  RSET */
};

/* One reply line, cleaned and cut to SMTP_REPLY_LINE_MAX. sep is ' ' or, when more lines follow,
 * '-'. */
void smtp_reply_put(struct buf *out, unsigned code, char sep, struct str text);
/* A bad command: its reply, or 421 and the end when there were errors_max of them. */
void smtp_error_put(struct smtp_server *s, struct buf *out, unsigned code, struct str text);
/* The reply after which the session ends. */
void smtp_last_put(struct smtp_server *s, struct buf *out, unsigned code, struct str text);

/* The session ends: the client did not wait for a reply that it needed. */
void smtp_sync_error_put(struct smtp_server *s, struct buf *out);
void smtp_wait(struct smtp_server *s, enum smtp_state state);

/* The line without its CRLF, of at most max bytes with it. ST_LIMIT: too long, nothing taken.
 * ST_SYNTAX: a bare CR or LF. */
enum status smtp_line_take(struct cur *in, size_t max, struct str *line_out) MUST_USE;
void smtp_line_skip_begin(struct smtp_server *s);

/*
 * What a refused content gets, not waiting for the owner. In LMTP where is_last every accepted
 * recipient gets one (RFC 2033 4.2, 4.3: none when there is none), and they are forgotten.
 */
void smtp_refusals_put(
    struct smtp_server *s, bool is_last, struct buf *out, unsigned code, struct str text);
/* The content is whole: the owner is asked. */
void smtp_end_ask(struct smtp_server *s, struct smtp_event *ev);
/* Of a content that may not be: the session ends, whatever follows. */
void smtp_bare_refuse(struct smtp_server *s, bool is_last, bool is_nul, struct buf *out);

/*
 * Carries out one command line (without CRLF). True when ev is to be given out. is_last says that
 * nothing follows it in the input.
 */
bool smtp_command_run(
    struct smtp_server *s, struct str line, bool is_last, struct buf *out, struct smtp_event *ev);

/* The reply to EHLO or LHLO, and what it depends on. */
void smtp_ehlo_put(const struct smtp_server *s, struct buf *out);
bool smtp_is_auth_possible(const struct smtp_server *s);
bool smtp_is_xclient_possible(const struct smtp_server *s);
/* 0: FUTURERELEASE is not offered. */
uint32_t smtp_hold_s_max(const struct smtp_server *s);

/* These return as smtp_command_run does. */
bool smtp_auth_begin(
    struct smtp_server *s, struct str arg, bool is_last, struct buf *out, struct smtp_event *ev);
bool smtp_auth_line_next(
    struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev);
/* The owner's 235, 4xx or 5xx. */
void smtp_auth_answered(struct smtp_server *s, struct buf *out, unsigned code, struct str text);
bool smtp_bdat_begin(struct smtp_server *s, struct str arg, struct buf *out, struct smtp_event *ev);
bool smtp_bdat_next(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev);
bool smtp_bdat_skip_next(
    struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev);
/* The owner's answer to the first chunk, but for 421. */
void smtp_bdat_answered(struct smtp_server *s, unsigned code, struct str text);

/*
 * What stands after the path of MAIL and RCPT (RFC 5321 4.1.1.11), into the fields of ev. Errors
 * leave ev half filled: give it a copy. ST_UNSUPPORTED: a parameter that is not offered. ST_LIMIT:
 * SIZE past 64 bits. ST_DENIED: BY= below the minimum. ST_SYNTAX: the rest.
 */
enum status smtp_mail_params_take(
    const struct smtp_server *s, struct cur *c, struct smtp_event *ev) MUST_USE;
enum status smtp_rcpt_params_take(
    const struct smtp_server *s, struct cur *c, struct smtp_event *ev) MUST_USE;

/* One byte that xtext stands for (RFC 3461 4). */
bool smtp_xtext_byte_take(struct cur *c, char *out);
/* Whether s is xtext of printable ASCII with spaces and tabs. */
bool smtp_xtext_is_text(struct str s);

#endif
