/*
 * The memory backend: what tests and the simulator stand on, and the model of what a backend must
 * do.
 *
 * Everything is in memory; a struct memory_disk, when given, keeps the committed transactions as a
 * log, so that a store can be closed, or die, and be opened again. Faults are injected by number of
 * transactions from now, so that a test can walk through every point. A value that store_get or a
 * range lent is poisoned by the next write of the transaction when is_strict is set: a borrower
 * that kept it too long is then found by ASan.
 */
#ifndef POSTHORN_STORE_MEMORY_MEMORY_H
#define POSTHORN_STORE_MEMORY_MEMORY_H

#include "store/store.h"

#define MEMORY_DISK_BYTES_MAX ((size_t)2 << 30)
#define MEMORY_RETRIES_MAX 100 /* of a function that says ST_CONFLICT itself */

struct memory_disk;

struct memory_disk *memory_disk_new(void);
void memory_disk_free(struct memory_disk **d);

struct memory_options {
	struct memory_disk *disk; /* borrowed; NULL: nothing survives store_close */
	bool is_strict;
};

enum status memory_open(const struct memory_options *o, struct store **out) MUST_USE;

/* Numbers count from now; 1 is the next one, 0 is none. */
struct memory_faults {
	uint32_t conflict_in; /* that transaction's function is run, undone and run again */
	uint32_t io_error_in; /* that transaction and all later ones are done with ST_IO, then the
				 store is dead */
	uint32_t crash_in; /* that transaction and all later ones never reach the disk; store_poll
			      says ST_IO */
	uint32_t short_read_in; /* that blob read gives half of the bytes and ST_IO */
	bool is_full;
	bool is_busy;
};

/* Replaces all faults set before. */
void memory_inject(struct store *s, const struct memory_faults *f);

/* What transactions cost so far, to hold budgets against. Bytes as a log would hold them: keys,
 * offsets, values, bodies. */
struct memory_costs {
	uint64_t txns, ops, log_bytes;
};
void memory_costs(struct store *s, struct memory_costs *out);

#endif
