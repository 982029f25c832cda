/*
 * Numbers with units as a person writes them. Sizes: "10M", "64k", "1G", "2T", plain bytes (binary
 * multiples, either case). Durations: "500ms", "30s", "5min", "2h", "7d", plain seconds. No white
 * space, no fractions.
 */
#ifndef POSTHORN_CONFIG_UNITS_H
#define POSTHORN_CONFIG_UNITS_H

#include "base/str.h"

/* ST_SYNTAX: no such number or unit. ST_LIMIT: does not fit 64 bits. */
enum status size_parse(struct str s, uint64_t *bytes_out) MUST_USE;
enum status duration_parse(struct str s, uint64_t *ms_out) MUST_USE;

#endif
