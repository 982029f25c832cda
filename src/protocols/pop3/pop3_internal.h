/* What the files of the POP3 server machine share. */
#ifndef POSTHORN_PROTOCOLS_POP3_INTERNAL_H
#define POSTHORN_PROTOCOLS_POP3_INTERNAL_H

#include "protocols/pop3/pop3_body.h"
#include "protocols/pop3/pop3_server.h"

enum pop3_state {
	POP3_S_AUTHORIZATION,
	POP3_S_LOGIN_WAIT,
	POP3_S_SASL_LINE, /* the next line is the client's response */
	POP3_S_SASL_WAIT,
	POP3_S_TRANSACTION,
	POP3_S_LISTING, /* LIST or UIDL from list_at on */
	POP3_S_RETR_WAIT,
	POP3_S_BODY,
	POP3_S_UPDATE_WAIT,
	POP3_S_LINE_SKIP, /* to the end of an over-long line, then back to skip_state */
	POP3_S_CLOSING,
};

struct pop3_server {
	const struct pop3_server_conf *conf;
	struct str mechanisms;
	uint8_t state, skip_state;
	bool is_tls, is_cleartext_ok, expire_0;
	bool is_uidl;	 /* of the listing */
	bool is_last_cr; /* the last skipped byte of an over-long line */
	uint32_t errors, tries, sasl_step, skipped_bytes;
	/* The user's name from USER on, then what the login event points to; wiped with the answer.
	 */
	struct buf secret;
	size_t user_n;
	/* From login on. */
	const struct pop3_message *messages;
	uint32_t n, uidvalidity;
	uint32_t left_n; /* not deleted */
	uint64_t left_bytes;
	uint8_t *deleted;   /* bit sets of n */
	uint8_t *retrieved; /* only with expire_0 */
	uint32_t list_at;
	uint32_t retr_index;
	struct pop3_body body;
};

static inline bool
pop3_bit(const uint8_t *set, uint32_t i)
{
	return set != NULL && (set[i / 8] >> (i % 8) & 1) != 0;
}

/* "+OK text" and "-ERR text", cleaned and cut to POP3_REPLY_LINE_MAX. */
void pop3_ok_put(struct buf *out, struct str text);
void pop3_err_put(struct buf *out, struct str text);
/* A bad command: its reply, or the last one when there were POP3_ERRORS_MAX of them. */
void pop3_error_put(struct pop3_server *s, struct buf *out, struct str text);
/* The reply after which the session ends. */
void pop3_last_put(struct pop3_server *s, struct buf *out, struct str text);

bool pop3_can_login(const struct pop3_server *s);
void pop3_secret_wipe(struct pop3_server *s);
/* "2 messages (320 octets)": what is left. */
void pop3_drop_put(const struct pop3_server *s, struct buf *out, const char *what);
/* The lines of one message: "1 120" or "1 <uid>". */
void pop3_list_line_put(const struct pop3_server *s, struct buf *out, uint32_t index, bool is_uidl);

/* Carries out one command line (without CRLF). True when ev is to be given out. */
bool pop3_command_run(
    struct pop3_server *s, struct str line, bool is_last, struct buf *out, struct pop3_event *ev);
/* The client's line in a SASL exchange. */
bool pop3_sasl_line_run(
    struct pop3_server *s, struct str line, struct buf *out, struct pop3_event *ev);

#endif
