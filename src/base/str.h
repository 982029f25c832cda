/*
 * struct str: borrowed bytes with their length. Never NUL-terminated by contract, may hold any byte,
 * p may be NULL when n is 0. Passed by value. Case-insensitive means ASCII only: locale never matters.
 */
#ifndef POSTHORN_BASE_STR_H
#define POSTHORN_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

struct str {
	const char *p;
	size_t n;
};

#define STR_NULL ((struct str){NULL, 0})
/* From a string literal (or an array whose last byte is NUL). */
#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
/* For initialisers of static tables. */
#define STR_INIT(lit) {"" lit, sizeof(lit) - 1}
/* For printf: "%.*s" with STR_ARG(s). Only for bytes already known to be printable. */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str
str_of(const void *p, size_t n)
{
	return (struct str){p, n};
}

/* From one of our own NUL-terminated strings (argv, literals by pointer). NULL gives the empty str. */
struct str str_of_c(const char *z);

bool str_eq(struct str a, struct str b);
bool str_eq_ci(struct str a, struct str b);
/* Byte order; a prefix sorts first. */
int str_cmp(struct str a, struct str b);
int str_cmp_ci(struct str a, struct str b);
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_prefix_ci(struct str s, struct str prefix);
bool str_has_suffix_ci(struct str s, struct str suffix);
/* Index of the first/last c, or s.n when there is none. */
size_t str_find_char(struct str s, char c);
size_t str_find_char_last(struct str s, char c);
/* Index of the first needle, or s.n. An empty needle is found at 0. */
size_t str_find(struct str s, struct str needle);
size_t str_find_ci(struct str s, struct str needle);
/* Clamped: never past the end. */
struct str str_from(struct str s, size_t start);
struct str str_take(struct str s, size_t n);
/* Without leading and trailing SP, HTAB, CR, LF. */
struct str str_trim(struct str s);
/* Cut at the first c: head gets what stands before, tail what stands after; false when none (head = s, tail empty). */
bool str_split(struct str s, char c, struct str *head_out, struct str *tail_out);
/* Whole string is 1-20 digits and fits; ST_LIMIT for more digits or overflow, anything else ST_SYNTAX. */
enum status str_to_u64(struct str s, uint64_t *out) MUST_USE;

static inline char
char_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline char
char_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

static inline bool
char_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
char_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline bool
char_is_alnum(char c)
{
	return char_is_digit(c) || char_is_alpha(c);
}

#endif
