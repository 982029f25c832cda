/* SipHash-1-3 (Aumasson, Bernstein 2012): a short keyed hash of bytes. For hash tables, not for proofs. */
#ifndef POSTHORN_BASE_SIPHASH_H
#define POSTHORN_BASE_SIPHASH_H

#include "base/str.h"

uint64_t siphash(uint64_t k0, uint64_t k1, struct str s);

#endif
