/*
 * mime: messages and their parts (RFC 5322, 2045-2047, 2231, 6532; message/rfc822 and
 * message/global inside each other).
 *
 * Mail is what people sent, not what the RFCs say: nothing here refuses input. Any bytes give a
 * tree; what was wrong is a flag. Bare LF ends a line as CRLF does, because old stored mail has it;
 * a bare CR is text. Everything borrows from the message unless it says otherwise; the message must
 * outlive the tree.
 */
#ifndef POSTHORN_STANDARDS_MIME_MIME_H
#define POSTHORN_STANDARDS_MIME_MIME_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/cur.h"
#include "standards/mime/limits.h"

/* ---- header fields ---- */

struct mime_header {
	struct str name;  /* without white space before the colon; 1 byte or more */
	struct str value; /* after the colon, as it stands (folded), without the line end */
	struct str field; /* all of it with its line end */
};

/*
 * The next field. c starts at a header range (mime_part.header or a whole message). Skips lines
 * that are no field (no colon, or a name RFC 5322 3.6.8 does not allow). False at the blank line or
 * the end; c then stands behind it.
 */
bool mime_header_next(struct cur *c, struct mime_header *out);
/* The first field of that name (any case). */
bool mime_header_find(struct str header, struct str name, struct mime_header *out);
/* Appends the value unfolded and trimmed (RFC 5322 2.2.3); stray CR and LF are dropped. ST_LIMIT
 * when out is full. */
enum status mime_unfold(struct str value, struct buf *out);
/* The same; borrows when there is nothing to change, else copies into a. ST_LIMIT leaves *out
 * empty. */
enum status mime_unfold_arena(struct str value, struct arena *a, struct str *out) MUST_USE;

/* ---- text of fields ---- */

/*
 * Appends the field's text as UTF-8: unfolded, encoded words decoded (RFC 2047; wherever they
 * stand, also inside quotes). Raw 8-bit text is taken as UTF-8, or as windows-1252 when it is not.
 * The result is valid UTF-8. At most MIME_WORDS_MAX words are decoded. ST_LIMIT when out is full
 * (what fitted is there).
 */
enum status mime_text_decode(struct str value, struct buf *out);
/* The same; borrows plain text, else copies into a. The text is cut at bytes_max (on a UTF-8
 * border). */
enum status mime_text_decode_arena(
    struct str value, struct arena *a, size_t bytes_max, struct str *out) MUST_USE;

/* ---- the tree ---- */

enum mime_defect {
	MIME_DEFECT_HEADER_LINE = 1 << 0,     /* a line of the header is no field */
	MIME_DEFECT_NO_BLANK_LINE = 1 << 1,   /* the header ended at a boundary or at the end */
	MIME_DEFECT_DUPLICATE_FIELD = 1 << 2, /* a Content-* field came twice; the first counts */
	MIME_DEFECT_CONTENT_TYPE =
	    1 << 3,		    /* not type/subtype; the default was taken (RFC 2045 5.2) */
	MIME_DEFECT_PARAM = 1 << 4, /* a parameter was malformed and left out */
	MIME_DEFECT_ENCODING =
	    1 << 5, /* unknown transfer encoding, or one not allowed on a multipart */
	MIME_DEFECT_NO_BOUNDARY = 1
				  << 6, /* multipart without usable boundary: taken as text/plain */
	MIME_DEFECT_BOUNDARY_UNSEEN = 1 << 7, /* the boundary never came: taken as text/plain */
	MIME_DEFECT_NO_CLOSE = 1 << 8,	      /* the multipart was not closed */
	MIME_LIMIT_PARTS = 1 << 9,
	MIME_LIMIT_DEPTH =
	    1 << 10, /* not descended: a leaf though its type is multipart or message */
	MIME_LIMIT_HEADERS = 1 << 11, /* fields past the limit were not looked at */
	MIME_LIMIT_HEADER_BYTES = 1 << 12,
	MIME_LIMIT_PARAMS = 1 << 13,
	MIME_LIMIT_ARENA =
	    1 << 14, /* the arena was full: what stands in the tree is right, but there is more */
};
#define MIME_LIMIT_ANY                                                                        \
	(MIME_LIMIT_PARTS | MIME_LIMIT_DEPTH | MIME_LIMIT_HEADERS | MIME_LIMIT_HEADER_BYTES | \
	    MIME_LIMIT_PARAMS | MIME_LIMIT_ARENA)

enum mime_kind {
	MIME_LEAF,
	MIME_MULTIPART, /* children are the body parts, 1 or more */
	MIME_MESSAGE,	/* message/rfc822 or message/global: one child, the message inside */
};

enum mime_encoding {
	MIME_7BIT,
	MIME_8BIT,
	MIME_BINARY,
	MIME_QUOTED_PRINTABLE,
	MIME_BASE64,
	MIME_ENCODING_OTHER, /* decodes as binary */
};

struct mime_param {
	struct str name; /* without the RFC 2231 marks, as written */
	struct str
	    value;	/* decoded: continuations joined, charset turned into UTF-8; valid UTF-8 */
	struct str raw; /* unquoted but not decoded; empty when is_extended */
	struct str language; /* of an extended value */
	bool is_extended;    /* written with an RFC 2231 charset */
};

struct mime_params {
	struct mime_param *v; /* in the arena */
	size_t n;
};

/*
 * type, subtype, disposition and the fields below are what the part says (or the default of RFC
 * 2045 5.2 and RFC 2046 5.1.5), trimmed; id to md5 may still be folded (mime_unfold) and are empty
 * when absent.
 */
struct mime_part {
	struct mime_part *parent, *first_child, *next;
	struct str header; /* up to and with the blank line */
	struct str body;   /* as encoded; without the line end that belongs to the boundary */
	size_t body_lines; /* line ends in body, what IMAP calls its lines */
	enum mime_kind kind;
	enum mime_encoding encoding;
	uint32_t defects; /* enum mime_defect, of this part only */
	uint16_t number;  /* among its siblings, from 1 */
	uint16_t depth;	  /* 0 is the message */
	bool has_type;	  /* a usable Content-Type field was there */
	struct str type, subtype, encoding_name, disposition;
	struct mime_params params, disposition_params;
	struct str id, description, language, location, md5;
};

struct mime_message {
	struct mime_part *root; /* NULL only when the arena had no room for one part */
	struct str bytes;	/* the message, borrowed */
	size_t parts_n;
	uint32_t defects; /* of all parts */
};

struct mime_limits {
	uint32_t parts_max, depth_max, headers_max, params_max;
	size_t header_bytes_max;
};
extern const struct mime_limits mime_limits_default;

/*
 * Parses a whole message; the tree is in a and borrows from message. l may be NULL (the defaults);
 * values above those of limits.h are cut to them. ST_OK for any bytes; ST_LIMIT when the arena is
 * full, and then the tree is cut but sound (root may be NULL). Time is linear in the message,
 * memory as in MIME_PARTS_MAX.
 */
enum status mime_parse(struct str message, struct arena *a, const struct mime_limits *l,
    struct mime_message *out) MUST_USE;

/* Depth first, parents before children; NULL after the last one below top. */
const struct mime_part *mime_part_next(const struct mime_part *part, const struct mime_part *top);
/* By IMAP section number, e.g. "2.1" (RFC 9051 6.4.5.1); NULL when there is none. */
const struct mime_part *mime_part_at(const struct mime_message *m, struct str section);
/* Any case; subtype may be empty: any. */
bool mime_part_is(const struct mime_part *part, struct str type, struct str subtype);
/* The parameter of that name (any case), the extended one first; NULL when there is none. */
const struct mime_param *mime_param_find(struct mime_params params, struct str name);
/* The decoded file name from Content-Disposition, else from Content-Type; empty when there is none.
 */
struct str mime_part_filename(const struct mime_part *part);

/* ---- bodies ---- */

/*
 * Takes transfer encodings off piece by piece: init, feed any number of pieces, finish. Lenient:
 * base64 skips what is not of its alphabet and goes on after padding; in quoted-printable an '='
 * that starts nothing stays (RFC 2045 6.7).
 */
struct mime_decoder {
	enum mime_encoding encoding;
	uint8_t state;
	uint8_t bits_n; /* base64: characters held */
	uint32_t bits;
	size_t space_n;			   /* quoted-printable: white space held back */
	char space[MIME_QP_SPACE_MAX + 1]; /* and a CR */
};
void mime_decoder_init(struct mime_decoder *d, enum mime_encoding encoding);
/* ST_LIMIT when out is full: what fitted is there, the rest is lost and the decoder is to be thrown
 * away. */
enum status mime_decoder_feed(struct mime_decoder *d, struct str in, struct buf *out) MUST_USE;
enum status mime_decoder_finish(struct mime_decoder *d, struct buf *out) MUST_USE;
/* All at once. */
enum status mime_body_decode(enum mime_encoding encoding, struct str in, struct buf *out) MUST_USE;
/* A text part's body as UTF-8 (transfer encoding and charset off). ST_LIMIT when out is full; what
 * fitted is there. */
enum status mime_part_text(const struct mime_part *part, struct buf *out) MUST_USE;

/* ---- addresses ---- */

enum mime_address_kind {
	MIME_MAILBOX,
	MIME_GROUP_START, /* name is the group's; its mailboxes follow */
	MIME_GROUP_END,
};

struct mime_address {
	struct mime_address *next;
	enum mime_address_kind kind;
	struct str name; /* display name as UTF-8, from the phrase or else the last comment; empty
			    when none */
	struct str name_raw; /* the same, unquoted and unfolded, encoded words as they are */
	struct str local;    /* unquoted */
	struct str domain;   /* empty when the text has no "@" */
};

/*
 * Parses an address-list, mailbox or group field (RFC 5322 3.4, with the obsolete forms; routes are
 * dropped). Lenient: every piece between commas that holds anything becomes a mailbox. The list is
 * in a and borrows from value. ST_LIMIT when a is full or there are more than MIME_ADDRESSES_MAX;
 * *out then has those before.
 */
enum status mime_addresses_parse(
    struct str value, struct arena *a, struct mime_address **out) MUST_USE;

#endif
