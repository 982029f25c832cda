/* What the files of the SMTP server machine share. */
#ifndef POSTHORN_PROTOCOLS_SMTP_INTERNAL_H
#define POSTHORN_PROTOCOLS_SMTP_INTERNAL_H

#include "protocols/smtp/smtp_server.h"

enum smtp_state {
	SMTP_S_START,	  /* no EHLO yet */
	SMTP_S_READY,	  /* commands; is_in_transaction says whether MAIL was accepted */
	SMTP_S_REFUSED,	  /* greeted with 5xx: only QUIT has a meaning */
	SMTP_S_LINE_SKIP, /* to the end of an over-long line, then back to where it was */
	SMTP_S_MAIL_WAIT,
	SMTP_S_RCPT_WAIT,
	SMTP_S_DATA_WAIT,
	SMTP_S_DATA,
	SMTP_S_END_WAIT,
	SMTP_S_CLOSING, /* ABORT when a transaction is open, then CLOSE for ever */
};

/* One reply line, cleaned and cut to SMTP_REPLY_LINE_MAX. sep is ' ' or, when more lines follow,
 * '-'. */
void smtp_reply_put(struct buf *out, unsigned code, char sep, struct str text);
/* A bad command: its reply, or 421 and the end when there were errors_max of them. */
void smtp_error_put(struct smtp_server *s, struct buf *out, unsigned code, struct str text);
/* The reply after which the session ends. */
void smtp_last_put(struct smtp_server *s, struct buf *out, unsigned code, struct str text);

/*
 * Carries out one command line (without CRLF). True when ev is to be given out. is_last says that
 * nothing follows it in the input.
 */
bool smtp_command_run(
    struct smtp_server *s, struct str line, bool is_last, struct buf *out, struct smtp_event *ev);

/* What stands after the path of MAIL (RFC 5321 4.1.1.11, 1870, 6152, 6531). */
struct smtp_mail_params {
	uint64_t size_bytes;
	bool is_8bit, is_smtputf8;
	bool has_size, has_body;
};

/* ST_UNSUPPORTED: an unknown parameter. ST_LIMIT: SIZE with a number past 64 bits. ST_SYNTAX: the
 * rest. */
enum status smtp_mail_params_take(struct cur *c, struct smtp_mail_params *out) MUST_USE;
/* No parameter of RCPT is offered: ST_OK when there is none, else as above. */
enum status smtp_rcpt_params_take(struct cur *c) MUST_USE;

#endif
