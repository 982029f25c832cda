/*
 * Unit-test harness. A test file has one main:
 *
 *	int main(void) { UNIT(parses_literals); UNIT(refuses_garbage); return unit_end(); }
 *
 * where each name is a static void function using EXPECT. Failures go to stderr with file and line;
 * the last line of output is "N passed, N failed" (a test function counts once).
 */
#ifndef POSTHORN_BASE_UNIT_H
#define POSTHORN_BASE_UNIT_H

#include <stdio.h>

#include "base/str.h"

static int unit_passed, unit_failed, unit_bad;

#define EXPECT(expr) \
	do { \
		if (!(expr)) { \
			unit_bad++; \
			fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #expr); \
		} \
	} while (0)

#define EXPECT_STR(got, want) unit_expect_str((got), (want), #got, __FILE__, __LINE__)

static inline void
unit_expect_str(struct str got, struct str want, const char *expr, const char *file, int line)
{
	if (str_eq(got, want))
		return;
	unit_bad++;
	fprintf(stderr, "%s:%d: %s is \"%.*s\" (%zu bytes), expected \"%.*s\" (%zu bytes)\n", file, line,
	    expr, STR_ARG(got), got.n, STR_ARG(want), want.n);
}

#define UNIT(fn) \
	do { \
		unit_bad = 0; \
		fn(); \
		if (unit_bad) { \
			unit_failed++; \
			fprintf(stderr, "FAILED %s\n", #fn); \
		} else { \
			unit_passed++; \
		} \
	} while (0)

static inline int
unit_end(void)
{
	printf("%d passed, %d failed\n", unit_passed, unit_failed);
	return unit_failed ? 1 : 0;
}

#endif
