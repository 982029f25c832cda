/* Internal to the address library: the one place that knows libidn2. */
#ifndef POSTHORN_STANDARDS_ADDRESS_IDNA_H
#define POSTHORN_STANDARDS_ADDRESS_IDNA_H

#include "base/buf.h"

/* Appends domain (UTF-8, at most ADDRESS_DOMAIN_MAX bytes) with A-labels, lower-cased. ST_SYNTAX,
 * ST_LIMIT. */
enum status idna_to_ascii(struct str domain, struct buf *out) MUST_USE;

#endif
