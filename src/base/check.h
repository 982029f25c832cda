/*
 * CHECK(): what we believe about our own code, kept in release builds.
 *
 * Never for input, a peer's record or a disk's content: those return a status. A failed CHECK
 * writes one line to stderr and aborts; the parent restarts the role.
 */
#ifndef POSTHORN_BASE_CHECK_H
#define POSTHORN_BASE_CHECK_H

_Noreturn void check_failed(const char *file, int line, const char *expr);

#define CHECK(expr) \
	do { \
		if (__builtin_expect(!(expr), 0)) \
			check_failed(__FILE__, __LINE__, #expr); \
	} while (0)

#endif
