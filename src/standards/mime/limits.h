/* Every count, depth and length of the mime library. Reaching one is a flag on the tree, never a
 * refusal. */
#ifndef POSTHORN_STANDARDS_MIME_LIMITS_H
#define POSTHORN_STANDARDS_MIME_LIMITS_H

enum {
	/*
	 * Parts in one message. Digests of mailing lists reach a few hundred; a part costs about
	 * 400 bytes of arena, so a message costs at most 400 KB of tree.
	 */
	MIME_PARTS_MAX = 1000,
	/* Nesting (multipart or message inside the other). People forward forwards a dozen deep;
	   each level is a C stack frame. */
	MIME_DEPTH_MAX = 64,
	/* Fields of one header that are looked at. Long relay chains with traces and ARC sets stay
	   under 300. */
	MIME_HEADERS_MAX = 1000,
	/* Bytes of one header whose fields are looked at: four times what most receivers accept. */
	MIME_HEADER_BYTES_MAX = 256 * 1024,
	/* name=value pieces of one field, RFC 2231 continuations counted singly: a 3 KB file name
	   in 50-byte pieces. */
	MIME_PARAMS_MAX = 64,
	/* A joined and decoded parameter value. File systems end at 255 characters of up to 4
	   bytes. */
	MIME_PARAM_BYTES_MAX = 4096,
	/* RFC 2046 5.1.1 says 70; old mailers went past it. */
	MIME_BOUNDARY_BYTES_MAX = 256,
	/* RFC 2047 2 says 75 for the whole word; mailers that do not split put a whole subject in
	   one. */
	MIME_WORD_BYTES_MAX = 2048,
	/* Encoded words decoded per call; what follows stays as it is written. */
	MIME_WORDS_MAX = 500,
	/* Mailboxes and group marks of one field. */
	MIME_ADDRESSES_MAX = 1000,
	/* Comments inside comments; deeper ones are taken as text. */
	MIME_COMMENT_DEPTH_MAX = 16,
	/* White space held back at a line's end by the quoted-printable decoder; longer runs are
	   kept as text. */
	MIME_QP_SPACE_MAX = 128,

	/* One digest record: what a mailbox index may spend per message. */
	MIME_DIGEST_BYTES_MAX = 16 * 1024,
	/* Shares of the record; with preview, keys and the fixed head they stay under its cap
	   (asserted in digest.c). */
	MIME_DIGEST_ENVELOPE_BYTES_MAX = 8 * 1024,
	MIME_DIGEST_BODYSTRUCTURE_BYTES_MAX = 7 * 1024,
	/* RFC 8621 4.1.4: at most 256 characters; we count bytes. */
	MIME_PREVIEW_BYTES_MAX = 256,
	/* Message-ID, In-Reply-To and the newest References. */
	MIME_THREAD_KEYS_MAX = 32,
	/*
	 * In an envelope over its share: bytes kept of one string, and of one address list. 4
	 * strings of 200 with every byte escaped are 1.6 KB, 6 lists 4.8 KB, and the address that
	 * proves too much for its list, written and taken back, 1.2 KB: under 8 KB.
	 */
	MIME_ENVELOPE_SHORT_STRING_BYTES = 200,
	MIME_ENVELOPE_SHORT_LIST_BYTES = 800,
	/* In a structure over its share: bytes kept of a parameter value. */
	MIME_STRUCTURE_SHORT_STRING_BYTES = 64,
	/* Raw body bytes read for a preview: first try, and when that was all tags or white space.
	 */
	MIME_PREVIEW_READ_BYTES = 2048,
	MIME_PREVIEW_READ_MORE_BYTES = 64 * 1024,
	/* Subject bytes that take part in the base subject. */
	MIME_SUBJECT_BYTES_MAX = 2048,
};

#endif
