/*
 * The digest: everything a mailbox index, an IMAP FETCH of envelopes and a thread view want to know
 * about a message, computed once per message and kept as one small record.
 *
 * IMAP strings are wire bytes for a server to client line (RFC 9051 7.5.2, 9): quoted where that is
 * possible, and the non-synchronizing literal {n} CRLF bytes where a string has 8-bit bytes (stored
 * raw, RFC 6532). CR, LF and NUL inside a string are dropped, so CRLF stands nowhere but in a
 * literal's head; the server sends the record's bytes as they are, to IMAP4rev1 clients too.
 * Encoded words stay as they are. Parameters written by RFC 2231 come joined, those with a charset
 * as name* with utf-8'language'percent-encoded text.
 */
#ifndef POSTHORN_STANDARDS_MIME_MIME_DIGEST_H
#define POSTHORN_STANDARDS_MIME_MIME_DIGEST_H

#include "standards/mime/mime.h"

enum {
	MIME_DIGEST_SHA256_BYTES = 32,
	/* Enough for the tree and all text of any mail that is not built to be large; less gives a
	   cut digest. */
	MIME_DIGEST_ARENA_BYTES = 2 * 1024 * 1024,
};

enum mime_digest_flag {
	MIME_DIGEST_HAS_ATTACHMENT = 1 << 0,
	MIME_DIGEST_HAS_DATE = 1 << 1,
	MIME_DIGEST_HAS_MESSAGE_ID = 1 << 2, /* thread_keys[0] is the message's own */
	MIME_DIGEST_HAS_SUBJECT = 1 << 3,    /* the base subject is not empty */
	MIME_DIGEST_IS_REPLY = 1 << 4, /* the subject had Re:, Fwd: or the like (RFC 5256 5) */
	/* Shortened to fit: call mime_envelope_put or mime_bodystructure_put on the message for all
	   of it. */
	MIME_DIGEST_ENVELOPE_CUT = 1 << 5,
	MIME_DIGEST_BODYSTRUCTURE_CUT = 1 << 6,
	MIME_DIGEST_TREE_CUT = 1 << 7,	 /* a limit of the parser was met */
	MIME_DIGEST_HAS_DEFECT = 1 << 8, /* the message is not well-formed */
};

struct mime_digest {
	uint32_t flags; /* enum mime_digest_flag */
	uint64_t size_bytes;
	uint8_t sha256[MIME_DIGEST_SHA256_BYTES]; /* of the whole message */
	int64_t date_unix_seconds;		  /* 0 without a date */
	int date_offset_minutes;
	/*
	 * Hashes of message ids (quotes and white space taken out): the message's own,
	 * In-Reply-To's, then References from the newest; none twice. Messages that share one
	 * belong together.
	 */
	size_t thread_keys_n;
	uint64_t thread_keys[MIME_THREAD_KEYS_MAX];
	uint64_t subject_key; /* of the base subject (RFC 5256 2.1), ASCII letters in lower case; 0
				 when empty */
	struct str envelope;  /* "(...)" */
	struct str bodystructure; /* "(...)", the extensible form */
	struct str preview;	  /* UTF-8, one line, at most MIME_PREVIEW_BYTES_MAX */
};

/* Once, before a sandbox: fetches SHA-256 from libcrypto and opens charsets. Later calls do
 * nothing. */
void mime_digest_preload(void);

/*
 * Appends the record of message to out. a is scratch space (MIME_DIGEST_ARENA_BYTES); when it is
 * full the digest is of what fitted, and says so. ST_LIMIT when out has no room, and then out is
 * unchanged.
 */
enum status mime_digest_make(struct str message, struct arena *a, struct buf *out) MUST_USE;
/* The same for a message that is parsed already. */
enum status mime_digest_make_parsed(
    const struct mime_message *m, struct arena *a, struct buf *out) MUST_USE;
/*
 * Reads a record; out borrows from it. ST_SYNTAX for bytes that are no record of ours,
 * ST_UNSUPPORTED for one of another version (make it again).
 */
enum status mime_digest_read(struct str record, struct mime_digest *out) MUST_USE;

/* The parts of FETCH without the digest's caps. ST_LIMIT when out is full (drop it) or a was too
 * small. */
enum status mime_envelope_put(
    const struct mime_message *m, struct arena *a, struct buf *out) MUST_USE;
enum status mime_bodystructure_put(
    const struct mime_message *m, struct arena *a, struct buf *out) MUST_USE;
/* The form without extension data (FETCH BODY). */
enum status mime_body_put(const struct mime_message *m, struct arena *a, struct buf *out) MUST_USE;

/* Appends the base subject of a raw Subject value (RFC 5256 2.1); *is_reply_out tells whether
 * anything was taken off. */
enum status mime_base_subject(struct str value, struct buf *out, bool *is_reply_out) MUST_USE;

#endif
