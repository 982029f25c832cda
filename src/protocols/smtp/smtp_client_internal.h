/* What the files of the SMTP client machine share. */
#ifndef POSTHORN_PROTOCOLS_SMTP_CLIENT_INTERNAL_H
#define POSTHORN_PROTOCOLS_SMTP_CLIENT_INTERNAL_H

#include "protocols/smtp/smtp_client.h"

/* W: an answer is waited for. O: the owner is due. D: something is told or written at the next
 * step. */
enum smtp_client_state {
	SMTP_C_GREETING,    /* W */
	SMTP_C_SEND,	    /* D: write the command of send_state, then be there */
	SMTP_C_EHLO,	    /* W, also LHLO */
	SMTP_C_HELO,	    /* W */
	SMTP_C_STARTTLS,    /* W */
	SMTP_C_ENDED,	    /* STARTTLS was told: nothing more */
	SMTP_C_AUTH_DUE,    /* D: AUTH_READY */
	SMTP_C_AUTH_IDLE,   /* O: smtp_client_auth */
	SMTP_C_AUTH_WAIT,   /* W */
	SMTP_C_AUTH_OWNER,  /* O: answer or cancel */
	SMTP_C_AUTH_CANCEL, /* W: the answer to "*" */
	SMTP_C_READY_DUE,   /* D */
	SMTP_C_IDLE,	    /* O: smtp_client_mail */
	SMTP_C_BEGIN,	    /* D: look whether the message can be sent */
	SMTP_C_RSET,	    /* W */
	SMTP_C_TX,	    /* D and W: MAIL, RCPT, DATA */
	SMTP_C_BODY,	    /* O: content; W for the answers to BDAT */
	SMTP_C_END,	    /* W: the answers to the content */
	SMTP_C_REFUSED,	    /* D: SENT with c->reply for all that were accepted */
	SMTP_C_DRAIN,	    /* W: drains_due answers that say nothing new */
	SMTP_C_DONE_DUE,    /* D */
	SMTP_C_QUIT,	    /* W */
	SMTP_C_CLOSED,	    /* D: CLOSING, for ever */
};

/* The peer broke the protocol; why is a static sentence. */
void smtp_client_violation(struct smtp_client *c, struct str why);
/* The session ends with this reply. The second says QUIT first. */
void smtp_client_close(struct smtp_client *c, struct smtp_reply reply);
void smtp_client_close_politely(struct smtp_client *c, struct buf *out, struct smtp_reply reply);
/* ST_OK: a whole reply was taken. ST_MORE. ST_EOF: the session ended with what came. */
enum status smtp_client_reply_take(
    struct smtp_client *c, struct cur *in, struct smtp_reply *reply_out) MUST_USE;
/* An answer nobody asked for is (or begins) in the input. ST_MORE, or ST_EOF: the session ended. */
enum status smtp_client_unasked_take(struct smtp_client *c, struct cur *in) MUST_USE;
/* Room for one command, or the session ends (false). */
bool smtp_client_has_room(struct smtp_client *c, struct buf *out);
struct smtp_reply smtp_client_local_reply(
    uint16_t code, uint16_t subject, uint16_t detail, struct str text);
void smtp_client_send(struct smtp_client *c, enum smtp_client_state command);

static inline bool
smtp_reply_is_ok(const struct smtp_reply *r)
{
	return r->code / 100 == 2;
}

static inline bool
smtp_reply_is_refusal(const struct smtp_reply *r)
{
	return r->code >= 400;
}

/* One keyword line of the reply to EHLO. */
void smtp_client_ext_line(struct smtp_client_ext *ext, struct str line);

/* Steps of the states they are named after: true when ev is to be given out. */
bool smtp_client_auth_step(struct smtp_client *c, struct cur *in, struct smtp_client_event *ev);
/* Keeps a line of a 334. */
void smtp_client_challenge_line(struct smtp_client *c, const struct smtp_reply_line *line);

/* What the peer or the standard lets us not send; code 0: it can be sent. */
struct smtp_reply smtp_client_mail_check(const struct smtp_client *c);
void smtp_client_tx_begin(struct smtp_client *c);
bool smtp_client_tx_step(
    struct smtp_client *c, struct cur *in, struct buf *out, struct smtp_client_event *ev);
void smtp_client_mail_put(const struct smtp_client *c, struct buf *out);
void smtp_client_rcpt_put(const struct smtp_client *c, size_t index, struct buf *out);
/* As smtp_client_mail_check, for one recipient. */
struct smtp_reply smtp_client_rcpt_check(const struct smtp_client *c, size_t index);

void smtp_client_body_begin(struct smtp_client *c, struct smtp_client_event *ev);
bool smtp_client_body_step(struct smtp_client *c, struct cur *in, struct smtp_client_event *ev);
bool smtp_client_end_step(struct smtp_client *c, struct cur *in, struct smtp_client_event *ev);
bool smtp_client_refused_step(struct smtp_client *c, struct smtp_client_event *ev);
bool smtp_client_drain_step(struct smtp_client *c, struct cur *in);
/* All accepted recipients get this reply; after them drains answers are skipped. */
void smtp_client_refuse(struct smtp_client *c, struct smtp_reply reply, uint16_t drains);

#endif
