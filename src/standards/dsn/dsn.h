/*
 * dsn: delivery status notifications, the notices a mail system sends to a sender about what became
 * of a message (RFC 3464 in the frame of RFC 6522, for UTF-8 addresses RFC 6533; RFC 3461 says
 * when). A writer of whole messages, a lenient reader of the part for programs, and the rules.
 *
 * A notice carries strings of strangers: addresses, replies, whole headers. None of them can end a
 * line, a field or a part: controls become spaces or '?', bytes over 127 are encoded unless the
 * notice may be SMTPUTF8, long lines are folded, what is no address is not written as one. What is
 * longer than limits.h allows is cut. All strings are borrowed for the call.
 *
 * Times are seconds since 1970 UTC; 0 means unknown and the field is left out.
 */
#ifndef POSTHORN_STANDARDS_DSN_DSN_H
#define POSTHORN_STANDARDS_DSN_DSN_H

#include "base/arena.h"
#include "base/buf.h"
#include "standards/dsn/limits.h"

enum dsn_action {
	DSN_FAILED,    /* given up, nothing more will come */
	DSN_DELAYED,   /* not yet; still tried */
	DSN_DELIVERED, /* in the mailbox */
	DSN_RELAYED,   /* taken by a server that sends no confirmations */
	DSN_EXPANDED,  /* taken for an alias of several addresses */
	DSN_UNKNOWN,   /* only out of dsn_parse: no Action field, or not one of these */
};

/* RFC 3463: class, subject, detail. All zero: none given. */
#define DSN_ENHANCED_PARTS 3

struct dsn_rcpt {
	enum dsn_action action;
	struct str path;  /* the envelope's recipient, without brackets */
	struct str orcpt; /* as in the ORCPT parameter, "rfc822;" and xtext; empty: none came */
	uint16_t code;	  /* SMTP reply, 0: none */
	uint16_t enhanced[DSN_ENHANCED_PARTS];
	struct str reply_text; /* without the code; its lines may be separated by LF or CRLF */
	struct str remote_mta; /* host name of the server that said it; empty: none was asked */
	struct str remote_ip;  /* its address as text, or empty */
	uint64_t last_attempt_s;
	uint64_t will_retry_until_s; /* DSN_DELAYED only */
	struct str advice_override;  /* instead of the table's "what to do"; may be empty */
};

struct dsn {
	struct str hostname;   /* ours: Reporting-MTA */
	struct str postmaster; /* From: and where to ask; empty or bad: postmaster@hostname */
	struct str to;	       /* the reverse-path that gets the notice */
	struct str envid;      /* ENVID as it came, in xtext; empty: none came */
	struct str message_id; /* of the notice, without <> */
	struct str boundary;   /* random letters and digits; extended should the text hold it */
	uint64_t arrival_s, now_s;
	const struct dsn_rcpt *rcpts; /* 1 or more */
	size_t rcpts_n;
	struct str original_header; /* with its line ends, with or without the blank line */
	struct str original_body;   /* empty: only the header can go back */
	bool is_full_wanted;	    /* RET=FULL, or no RET and the house returns bodies */
	bool is_smtputf8;	    /* the notice may hold UTF-8 in headers (RFC 6533) */
	struct str subject;	    /* of the original, encoded words or UTF-8; may be empty */
};

/*
 * Appends the whole message, CRLF everywhere, no line over 998 bytes: always multipart/report with
 * three parts. The original goes back whole when is_full_wanted, a recipient failed, it is short
 * enough and clean (no bare CR or LF, no NUL, no line over 998); else its header does. The notice
 * has bytes over 127 only with is_smtputf8 or in an original that goes back whole (then labelled
 * 8bit: send it with BODY=8BITMIME). To be sent from <> with NOTIFY=NEVER (RFC 3461 6.1).
 *
 * ST_LIMIT for more than DSN_RCPTS_MAX recipients or when out is full; out then is as it was.
 */
enum status dsn_write(const struct dsn *d, struct buf *out) MUST_USE;

/* ---- what a notice says ---- */

/* "failed", "delayed", ... as the Action field has it. Static storage. */
struct str dsn_action_word(enum dsn_action action);
/*
 * The three numbers of the Status field: those given when they are a status code of RFC 3463, else
 * x.0.0 by the reply code, else by the action (RFC 3461 6.3 (g)).
 */
void dsn_status_of(enum dsn_action action, uint16_t code, const uint16_t given[DSN_ENHANCED_PARTS],
    uint16_t status_out[DSN_ENHANCED_PARTS]);

struct dsn_advice {
	struct str what; /* what is wrong, a sentence for a person */
	struct str todo; /* what the sender can do about it */
};
/* For a status of dsn_status_of and the reply code (0: none). Never NULL, static storage. */
const struct dsn_advice *dsn_advice_find(const uint16_t status[DSN_ENHANCED_PARTS], uint16_t code);

/* ---- whether there is a notice ---- */

/* The words of RCPT's NOTIFY parameter; 0: it was not given. */
enum {
	DSN_NOTIFY_NEVER = 1,
	DSN_NOTIFY_SUCCESS = 2,
	DSN_NOTIFY_FAILURE = 4,
	DSN_NOTIFY_DELAY = 8,
};

struct dsn_policy {
	struct str reverse_path; /* without brackets; empty is <> */
	uint8_t notify;		 /* of this recipient */
	/* What the original's header has: */
	bool has_auto_submitted; /* Auto-Submitted other than "no" */
	bool is_bulk;		 /* Precedence: bulk, list or junk */
	bool has_list_id;
};

bool dsn_may_notify(enum dsn_action action, const struct dsn_policy *p);

/* ---- reading ---- */

struct dsn_report {
	struct str reporting_mta; /* without its type */
	struct str envid;
	uint64_t arrival_s;
	struct dsn_rcpt *rcpts; /* in the arena */
	size_t rcpts_n;
	bool is_cut; /* a limit was reached: there was more */
};

/*
 * Reads the body of a message/delivery-status or message/global-delivery-status part, transfer
 * encoding taken off. Takes any bytes: what it does not understand is left out. Strings borrow from
 * body or are in a. Of a recipient: path without its type and with \x{...} decoded; orcpt as
 * "type;address", not in xtext; code, reply_text from Diagnostic-Code (the text with the enhanced
 * code, if it has one); enhanced from Status; no advice_override. ST_LIMIT (and is_cut) when a is
 * full or there are more than DSN_RCPTS_MAX; *out then has those before.
 */
enum status dsn_parse(struct str body, struct arena *a, struct dsn_report *out) MUST_USE;

#endif
