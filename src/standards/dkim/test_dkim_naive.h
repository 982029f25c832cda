/*
 * For tests and the fuzzer: RFC 6376 3.4 once more, step by step over whole texts, slow and simple.
 * Everything is appended to out, which must have room.
 */
#ifndef POSTHORN_STANDARDS_DKIM_TEST_DKIM_NAIVE_H
#define POSTHORN_STANDARDS_DKIM_TEST_DKIM_NAIVE_H

#include "standards/dkim/dkim.h"

void naive_body(struct str body, enum dkim_canon canon, struct buf *out);
/* One field without its last CRLF, and the same for what comes out. */
void naive_field(struct str field, enum dkim_canon canon, struct buf *out);
/* The fields that h= names, one after the other. */
void naive_headers(struct str header, struct str h, enum dkim_canon canon, struct buf *out);
void naive_hash(struct str bytes, uint8_t out[DKIM_HASH_BYTES]);

#endif
