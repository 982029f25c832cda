/* UTF-8 (RFC 3629): shortest form only, no surrogates, at most U+10FFFF. */
#ifndef POSTHORN_BASE_UTF8_H
#define POSTHORN_BASE_UTF8_H

#include "base/buf.h"
#include "base/cur.h"

/* Take one code point. False (and nothing taken) when the bytes are no valid sequence. */
bool utf8_take(struct cur *c, uint32_t *cp_out);
bool utf8_is_valid(struct str s);
bool utf8_is_ascii(struct str s);
/* What is no code point (a surrogate, or past U+10FFFF) is put as U+FFFD. */
enum status utf8_put(struct buf *out, uint32_t cp);
/* Longest prefix of s of at most n bytes that does not cut a sequence (what is no UTF-8 is cut at n). */
struct str utf8_prefix(struct str s, size_t n);

#endif
