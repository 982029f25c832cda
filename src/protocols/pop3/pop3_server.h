/*
 * POP3 server machine (RFC 1939, 2449 CAPA, 2595 STLS, 5034 AUTH, 3206 AUTH/SYS response codes, 6856 not yet).
 *
 * Bytes in, events and bytes out, as in smtp_server.h. Events marked [answer] stop the machine until the stated answer was
 * given. After POP3_EV_STLS the object has ended (flush out, handshake, new object with is_tls).
 * Long listings are written in pieces: POP3_EV_FLUSH says "out is well filled, write it and call again".
 * out needs room for POP3_OUT_MAX bytes; the input buffer for POP3_AUTH_LINE_MAX, POP3_LINE_MAX do but for SASL.
 *
 * A login needs TLS or is_cleartext_ok, SCRAM too: what it protects, the mail itself would show (RFC 8314 3). Without,
 * neither USER nor SASL is offered, and USER is refused before a password was sent. APOP is not offered: it
 * needs the password in the clear on the server and MD5. A bare CR or LF in a command, and bytes behind STLS in
 * the same input, end the session.
 */
#ifndef POSTHORN_PROTOCOLS_POP3_SERVER_H
#define POSTHORN_PROTOCOLS_POP3_SERVER_H

#include "base/buf.h"
#include "base/cur.h"
#include "protocols/pop3/limits.h"

struct pop3_server_conf {
	struct str hostname;
	bool is_stls_offered;
};

/* One message of the maildrop. The array is borrowed from the owner for the life of the session. */
struct pop3_message {
	uint64_t id;		/* the owner's name for it */
	uint32_t uid;		/* UIDL is "<uidvalidity>.<uid>" in decimal */
	uint32_t size_bytes;	/* as transmitted, before dot-stuffing */
};

enum pop3_event_kind {
	POP3_EV_MORE,
	POP3_EV_LOGIN,		/* [answer: pop3_server_login_ok / _login_fail] user, password (USER and PASS; borrowed until the answer... copy what you keep) */
	POP3_EV_SASL,		/* [answer: pop3_server_challenge / login_ok / login_fail] sasl_bytes: decoded client bytes; the first time (sasl_step 0) the mechanism in user, and has_sasl_bytes false when there was no initial response: the first challenge is wanted */
	POP3_EV_SASL_END,	/* the client gave the exchange up ("*", or a line that is none); already replied to */
	POP3_EV_RETR,		/* [answer: pop3_server_body... then _body_end, or pop3_server_fail] index, top_lines (-1: whole) */
	POP3_EV_UPDATE,		/* [answer: pop3_server_update_ok / pop3_server_fail] QUIT in transaction state: delete what is marked */
	POP3_EV_FLUSH,
	POP3_EV_STLS,
	POP3_EV_CLOSE,
};

struct pop3_event {
	enum pop3_event_kind kind;
	struct str user, password;
	struct str sasl_bytes;
	unsigned sasl_step;
	bool has_sasl_bytes;
	uint32_t index;
	int64_t top_lines;
};

struct pop3_server;

/* is_cleartext_ok: login allowed without TLS (both ends are the same host). conf borrowed. Takes about 200 bytes until login. */
struct pop3_server *pop3_server_new(const struct pop3_server_conf *conf, bool is_tls, bool is_cleartext_ok);
void pop3_server_free(struct pop3_server **s);
/* What AUTH takes, e.g. "SCRAM-SHA-256 PLAIN", as CAPA shows it; without this call there is no SASL. Borrowed for the life of s. */
void pop3_server_mechanisms(struct pop3_server *s, struct str names);
void pop3_server_greet(struct pop3_server *s, struct buf *out);
struct pop3_event pop3_server_next(struct pop3_server *s, struct cur *in, struct buf *out);
bool pop3_server_is_waiting(const struct pop3_server *s);

/* The maildrop is open. messages borrowed until the object is freed. expire_0: "delete what was retrieved" (CAPA EXPIRE 0): RETR marks for deletion at QUIT. */
void pop3_server_login_ok(struct pop3_server *s, struct buf *out, const struct pop3_message *messages, uint32_t n, uint32_t uidvalidity, bool expire_0);
/* is_temporary: [SYS/TEMP], else [AUTH]; in_use: [IN-USE]. text a sentence. */
enum pop3_login_failure { POP3_FAIL_AUTH, POP3_FAIL_TEMP, POP3_FAIL_IN_USE };
/* The session ends with the POP3_LOGIN_TRIES_MAX-th failure. */
void pop3_server_login_fail(struct pop3_server *s, struct buf *out, enum pop3_login_failure why, struct str text);
/* At most POP3_CHALLENGE_MAX bytes. POP3 carries no data with success: SCRAM's last message is a challenge too. */
void pop3_server_challenge(struct pop3_server *s, struct buf *out, struct str server_bytes);
/*
 * The message in pieces of any size; dot-stuffed here, CRLF added at the end when it lacks one, TOP cut here (returns false when nothing
 * more is wanted). Write out between pieces; out may refuse nothing (give pieces of at most POP3_PIECE_MAX and flush).
 * A read that fails after the first piece has no reply: close the connection. Dots are stuffed after every LF, also
 * one without CR, since some clients take that for a line.
 */
bool pop3_server_body(struct pop3_server *s, struct buf *out, struct str piece);
void pop3_server_body_end(struct pop3_server *s, struct buf *out);
void pop3_server_fail(struct pop3_server *s, struct buf *out, struct str text);	/* before the first body piece */
void pop3_server_update_ok(struct pop3_server *s, struct buf *out);
/* Marked for deletion? For the owner at POP3_EV_UPDATE. */
bool pop3_server_is_deleted(const struct pop3_server *s, uint32_t index);
/* Times out or shuts down: no reply is defined (RFC 1939 3), nothing is deleted. */

#endif
