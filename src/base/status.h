/*
 * The one small set of outcomes that every operation of the project returns.
 *
 * Verdicts of a standard (SPF_FAIL, ...) are results, not statuses. The sentence for a person is
 * made once, where the failure is known, and travels beside the status.
 */
#ifndef POSTHORN_BASE_STATUS_H
#define POSTHORN_BASE_STATUS_H

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum status {
	ST_OK,
	ST_MORE,	/* needs more input, or waits for an answer */
	ST_EOF,		/* regular end */
	ST_SYNTAX,	/* the bytes break the grammar */
	ST_LIMIT,	/* a named limit was reached */
	ST_NOTFOUND,
	ST_EXISTS,
	ST_DENIED,
	ST_CONFLICT,	/* transaction lost a race: run it again */
	ST_TIMEOUT,
	ST_IO,		/* disk or network failed; errno-level detail is logged where it happened */
	ST_NOMEM,
	ST_UNSUPPORTED,
};

/* The status as a lower-case word for logs, e.g. "not-found". Static storage. */
const char *status_word(enum status st);

#endif
