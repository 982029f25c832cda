/*
 * What every backend of the store must do, as one suite of tests over store.h.
 *
 * A backend's test gives three functions and gets every case run on a store of its own. Sizes of a
 * transaction are counted as: keys + values + spliced bytes + inline blobs, 8 for an addition or a
 * reference; every write is one operation.
 */
#ifndef POSTHORN_STORE_CONFORMANCE_H
#define POSTHORN_STORE_CONFORMANCE_H

#include "store/store.h"

struct conformance_backend {
	const char *name;
	void *arg;
	/* A new, empty store. */
	enum status (*open)(void *arg, struct store **out);
	/* Closes it and opens the same data again. */
	enum status (*reopen)(void *arg, struct store **s);
	/* Closes it and forgets its data. */
	void (*close)(void *arg, struct store **s);
	/* Rounds of the random cases; 0: 300. */
	uint32_t rounds;
};

/* Failures go to stderr with their place; returns how many cases failed. */
int conformance_run(const struct conformance_backend *b);

#endif
