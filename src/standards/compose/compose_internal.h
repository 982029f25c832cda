/* What the files of compose share. */
#ifndef POSTHORN_STANDARDS_COMPOSE_INTERNAL_H
#define POSTHORN_STANDARDS_COMPOSE_INTERNAL_H

#include "standards/compose/compose.h"

/* Appends the addresses of an address list (a field's value) and counts them. COMPOSE_FROM: none, or not readable in one way only; COMPOSE_AUTHORS. */
enum compose_verdict compose_authors(struct str value, struct buf *addresses, uint32_t *n_out) MUST_USE;

#endif
