/* Shared by the files of the dsn library only. */
#ifndef POSTHORN_STANDARDS_DSN_DSN_INTERNAL_H
#define POSTHORN_STANDARDS_DSN_DSN_INTERNAL_H

#include "standards/dsn/dsn.h"

/* ---- dsn_text.c: strangers' bytes as harmless text ---- */

/*
 * Appends s as one line: runs of white space (with CR and LF) are one space and none at the ends,
 * other controls and marks that reorder or hide text are '?'. What is no UTF-8 becomes U+FFFD;
 * without is_utf8 everything over 127 is '?'. More than max bytes of s are cut, and "..." says so.
 */
void dsn_clean_put(struct buf *out, struct str s, size_t max, bool is_utf8);
/* Appends letters, digits and "-._:[]" of a host name or IP address, '?' for others. */
void dsn_name_put(struct buf *out, struct str s);
/* Appends "name: value" CRLF, folded. The value is of dsn_clean_put. */
void dsn_field_put(struct buf *out, struct str name, struct str value);
/* Appends "name: prefix value" CRLF, the value in encoded words (RFC 2047) where it needs them. */
void dsn_text_field_put(
    struct buf *out, struct str name, struct str prefix, struct str value, bool is_utf8);
/* "name: date" CRLF, UTC; nothing for 0. */
void dsn_date_field_put(struct buf *out, struct str name, uint64_t unix_s);
/* A date without line end. */
void dsn_date_put(struct buf *out, uint64_t unix_s);
/* Appends words wrapped at DSN_LINE_BYTES_WANTED, each line behind indent spaces and ended by CRLF.
 */
void dsn_wrap_put(struct buf *out, size_t indent, struct str words);
/* Appends text in quoted-printable (RFC 2045 6.7): CRLF stays a line end, bare CR and LF do not. */
void dsn_qp_put(struct buf *out, struct str text);
/* No NUL, no bare CR or LF, no line over DSN_LINE_BYTES_MAX. */
bool dsn_lines_are_clean(struct str s);

/* ---- dsn_xtext.c ---- */

/* Appends the bytes of xtext (RFC 3461 4). ST_SYNTAX appends nothing. */
enum status dsn_xtext_decode(struct str s, struct buf *out) MUST_USE;
/* Appends s with its \x{HEXPOINT} as UTF-8 (RFC 6533 3). ST_SYNTAX appends nothing. */
enum status dsn_unitext_decode(struct str s, struct buf *out) MUST_USE;
/* Appends UTF-8 as utf-8-addr-xtext, which is ASCII. */
void dsn_unitext_encode(struct str s, struct buf *out);
/* Appends the type and address of an ORCPT parameter as the Original-Recipient field has them. */
void dsn_orcpt_put(struct buf *out, struct str orcpt, bool is_utf8);

/* ---- the parts ---- */

void dsn_human_put(const struct dsn *d, bool is_whole, struct buf *out);
void dsn_status_put(const struct dsn *d, struct buf *out);
/* d->postmaster or what stands in for it: always an addr-spec. */
void dsn_postmaster_put(const struct dsn *d, struct buf *out);
/* The original's subject as clean UTF-8. */
void dsn_subject_put(const struct dsn *d, struct buf *out);
/* An SMTP reply as one line: "550 5.1.1 text", without saying a code twice. Not cleaned. */
void dsn_reply_head_put(const struct dsn_rcpt *r, struct buf *out);
size_t dsn_count(const struct dsn *d, enum dsn_action action);

#endif
