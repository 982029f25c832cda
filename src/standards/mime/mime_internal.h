/* What the files of the mime library share. */
#ifndef POSTHORN_STANDARDS_MIME_MIME_INTERNAL_H
#define POSTHORN_STANDARDS_MIME_MIME_INTERNAL_H

#include "standards/mime/mime.h"

static inline bool
mime_is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool
mime_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* -1 when it is none. */
int mime_hex_value(char c);

/* One line or field with its folded lines, from p; returns where the next one starts. *lines grows
 * by its line ends. */
const char *mime_field_end(const char *p, const char *end, size_t *lines);
/* Splits a field; false when it is none. */
bool mime_field_split(struct str field, struct mime_header *out);

/* Skips white space and comments (RFC 5322 3.2.2). *comment_out (may be NULL) gets the inside of
 * the last comment. */
void mime_cfws_skip(struct cur *c, struct str *comment_out);
/* At a quote: takes the quoted string; the inside goes to *out as it stands. An unclosed one ends
 * with the text. */
void mime_quoted_take(struct cur *c, struct str *out);
/* Copies s without backslash escapes, CR and LF to w; returns how many bytes. */
size_t mime_unquote_copy(struct str s, char *w);

/* The parameters behind "type/subtype" or a disposition, from c to its end. Sets flags in *defects.
 */
void mime_params_take(
    struct cur *c, struct arena *a, size_t params_max, struct mime_params *out, uint32_t *defects);

/* Addresses without decoded names (name is left as name_raw): what IMAP wants, and cheaper. */
enum status mime_addresses_scan(
    struct str value, struct arena *a, bool decode, struct mime_address **out) MUST_USE;

/* True when decoding would change nothing: printable ASCII and tabs without "=?". */
bool mime_text_is_plain(struct str s);

/* mime_part_text for a piece of the part's body, e.g. its start. */
enum status mime_text_body_decode(
    const struct mime_part *part, struct str body, struct buf *out) MUST_USE;

/* Appends as much of s as fits; ST_LIMIT (and out->full) when that is not all. */
enum status mime_put_fit(struct buf *out, struct str s);

/* How the envelope and structure are cut when they do not fit their share of the digest. */
enum mime_imap_cut {
	MIME_IMAP_WHOLE,
	MIME_IMAP_SHORT,
};
void mime_imap_envelope(
    struct str header, struct arena *a, enum mime_imap_cut cut, struct buf *out);
void mime_imap_structure(const struct mime_part *part, struct arena *a, bool is_extended,
    enum mime_imap_cut cut, struct buf *out);

/* mime_part_next, but not into messages inside. */
const struct mime_part *mime_part_next_outside(
    const struct mime_part *part, const struct mime_part *top);

/* The first MIME_PREVIEW_BYTES_MAX bytes of readable text. */
void mime_preview(const struct mime_part *root, struct buf *out);

/* Keys of a message for threading, see mime_digest.h. */
struct mime_thread {
	uint64_t keys[MIME_THREAD_KEYS_MAX];
	size_t keys_n;
	uint64_t subject_key;
	bool has_message_id, has_subject, is_reply;
};
void mime_thread_keys(struct str header, struct mime_thread *out);

/* RFC 5322 3.3 with the obsolete zones and years of 4.3. */
enum status mime_date_parse(
    struct str s, int64_t *unix_seconds_out, int *offset_minutes_out) MUST_USE;

#endif
