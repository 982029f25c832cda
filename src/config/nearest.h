/*
 * Which of the words that exist was probably meant? Optimal string alignment (Damerau-Levenshtein
 *with adjacent transpositions), ASCII case ignored. Offer every candidate, then ask for the result:
 *
 *	nearest_init(&near, typed); nearest_offer(&near, STR("hostname")); ... nearest_result(&near)
 */
#ifndef POSTHORN_CONFIG_NEAREST_H
#define POSTHORN_CONFIG_NEAREST_H

#include "base/str.h"

struct nearest {
	struct str word; /* borrows */
	struct str best; /* borrows from the candidates */
	size_t best_distance;
};

/* Edits from a to b; SIZE_MAX when one is longer than NEAREST_WORD_BYTES_MAX. */
size_t nearest_distance(struct str a, struct str b);
void nearest_init(struct nearest *near, struct str word);
void nearest_offer(struct nearest *near, struct str candidate);
/* The closest candidate (the first of equals), empty when none is close: a third of the word may be
 * wrong. */
struct str nearest_result(const struct nearest *near);

#endif
