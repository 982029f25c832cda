/* Encodings of bytes as text: base64 (RFC 4648 4), hex. Strict: no white space, no missing padding. */
#ifndef POSTHORN_BASE_ENC_H
#define POSTHORN_BASE_ENC_H

#include "base/buf.h"

/* Appends the base64 of s. ST_LIMIT when out is full. */
enum status base64_encode(struct str s, struct buf *out);
/*
 * Appends the bytes. ST_SYNTAX on anything RFC 4648 does not allow (also non-zero trailing bits).
 * A failure appends nothing; hex_decode likewise (both cases of its letters are allowed).
 */
enum status base64_decode(struct str s, struct buf *out) MUST_USE;
#define BASE64_SIZE(n) (((n) + 2) / 3 * 4)
enum status hex_encode(struct str s, struct buf *out);
enum status hex_decode(struct str s, struct buf *out) MUST_USE;
/*
 * Appends s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. Controls (C0,
 * DEL, C1) and the line separators U+2028 and U+2029 are escaped, so that the result stays one line
 * and harmless on a terminal. ST_LIMIT when out is full (what was appended so far then remains).
 */
enum status json_put_str(struct buf *out, struct str s);

#endif
