/*
 * Dates as mail writes them: RFC 5322 date-time (Date:, Received:), RFC 3339 timestamps (JMAP,
 * logs, Sieve) and IMAP's internal date. Pure: no clock, no zone files, no locale.
 *
 * A point in time is seconds since 1970-01-01 UTC (leap seconds do not count: 23:59:60 is the same
 * second as 00:00:00 after it) and the offset of the writer's wall clock in minutes east of UTC.
 *
 * Parsers: ST_SYNTAX when the text is no date or names a day that does not exist, ST_LIMIT past a
 * limit of limits.h; the outputs are then unchanged. Formatters append; ST_LIMIT when out is full,
 * when the local year is not 0000 to 9999 or the offset more than DATE_OFFSET_MINUTES_MAX.
 */
#ifndef POSTHORN_STANDARDS_DATE_DATE_H
#define POSTHORN_STANDARDS_DATE_DATE_H

#include "base/buf.h"

/*
 * RFC 5322 3.3 with all of 4.3 and what is seen besides: comments and folding anywhere, two- and
 * three-digit years, alphabetic zones; no day-of-week, no seconds, no zone (read as -0000), a
 * day-of-week that is wrong, long names ("Monday", "November"), a zone written +01:00, the form of
 * asctime ("Mon Nov 23 14:58:32 2026"), text after the zone. "-0000", unknown and military zones
 * give offset 0.
 */
enum status date_parse(struct str s, int64_t *unix_seconds_out, int *offset_minutes_out) MUST_USE;
/* RFC 3339 5.6 date-time; fractions of a second are read and dropped. */
enum status date_parse_3339(
    struct str s, int64_t *unix_seconds_out, int *offset_minutes_out) MUST_USE;
/* RFC 9051 date-time without its quotes: " 3-Nov-2026 14:58:32 +0100". */
enum status date_parse_imap(
    struct str s, int64_t *unix_seconds_out, int *offset_minutes_out) MUST_USE;

/* "Mon, 23 Nov 2026 14:58:32 +0100" */
enum status date_format_5322(struct buf *out, int64_t unix_seconds, int offset_minutes);
/* "2026-11-23T14:58:32+01:00", with "Z" for offset 0 */
enum status date_format_3339(struct buf *out, int64_t unix_seconds, int offset_minutes);
/* "23-Nov-2026 14:58:32 +0100", the day with a leading space below 10 */
enum status date_format_imap(struct buf *out, int64_t unix_seconds, int offset_minutes);

#endif
