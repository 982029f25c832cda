/*
 * compose: the header of a message as a mail client hands it in, made fit to be sent (RFC 6409 8, RFC 5322 3.6).
 *
 * Added when missing or unusable: Date, Message-ID; Sender when there are several authors and no Sender (RFC 5322 3.6.2). Taken away: Bcc and
 * Resent-Bcc (RFC 5322 3.6.3; their readers are in the envelope), Return-Path (RFC 5321 4.4: whoever delivers last writes it). Everything else stays
 * as it is, byte for byte and in its order; what is added comes last.
 *
 * Unlike the mime library, which takes what it gets, this one refuses: the client is one of ours, and a person who can mend it
 * reads the answer. Above all a From that two readers could understand in two ways is refused, because who the author is
 * decides whether the message may be sent at all.
 */
#ifndef POSTHORN_STANDARDS_COMPOSE_COMPOSE_H
#define POSTHORN_STANDARDS_COMPOSE_COMPOSE_H

#include "base/buf.h"
#include "standards/compose/limits.h"

enum compose_verdict {
	COMPOSE_OK,
	COMPOSE_TOO_LONG,	/* over COMPOSE_HEADER_MAX or COMPOSE_FIELDS_MAX */
	COMPOSE_BYTES,		/* NUL, a bare CR or a bare LF in it */
	COMPOSE_LINE,		/* a line that is no field and belongs to none */
	COMPOSE_TWICE,		/* From, Sender, Date, Message-ID or Subject comes twice */
	COMPOSE_NO_FROM,
	COMPOSE_FROM,		/* From is not a list of addresses, or ambiguous */
	COMPOSE_AUTHORS,	/* more than COMPOSE_AUTHORS_MAX */
	COMPOSE_SENDER,		/* Sender is not one address */
};

/* What the caller knows. All borrowed. */
struct compose_given {
	int64_t now;		/* unix seconds */
	struct str hostname;	/* for Message-ID when the author's domain will not do; an A-label name */
	struct str unique;	/* nobody else's, of letters, digits and dots, at most COMPOSE_UNIQUE_MAX */
	struct str login;	/* address of who sends */
};

struct compose_facts {
	uint32_t authors_n;	/* mailboxes of From */
	bool is_8bit;		/* a byte over 127 in the header */
	bool is_utf8;		/* and all of it is UTF-8 (RFC 6532) */
	bool has_date, has_message_id, has_sender;	/* usable ones, as handed in */
};

/*
 * Bytes up to and with the empty line that ends the header; 0: it has not come yet. seen: of these bytes the last call has looked at so many (0 at
 * first), so that a header coming in pieces is read once.
 */
size_t compose_header_end(struct str bytes, size_t seen);

/*
 * header: with its empty line, or without when the message has only a header; then one is added. Appends the mended header to out (give it
 * room for header.n + COMPOSE_ADDED_MAX), and the addresses of From, then of Sender, to addresses (each u16 length + address as the envelope
 * writes it; COMPOSE_AUTHORS_BYTES_MAX). Not COMPOSE_OK: all three are as they were.
 */
enum compose_verdict compose_header(struct str header, const struct compose_given *given, struct buf *out, struct buf *addresses,
    struct compose_facts *facts_out) MUST_USE;

/* What a refusal says: 550 or 552, and the text with its enhanced code. Static. Not for COMPOSE_OK. */
struct compose_reply {
	uint16_t code;
	struct str text;
};
const struct compose_reply *compose_reply(enum compose_verdict v);

#endif
