#ifndef POSTHORN_STANDARDS_DATE_LIMITS_H
#define POSTHORN_STANDARDS_DATE_LIMITS_H

/* A header line may have 998 bytes (RFC 5322 2.1.1); a date on more than one full line is no date.
 */
#define DATE_BYTES_MAX 998
/* Nested comments; real mail has one level ("(CET)"). Kept as a counter, so it costs nothing. */
#define DATE_COMMENT_DEPTH_MAX 16
/* Digits after the second in RFC 3339; nanoseconds have nine. */
#define DATE_FRACTION_DIGITS_MAX 20
/* What +hhmm can say: +9959. */
#define DATE_OFFSET_MINUTES_MAX (99 * 60 + 59)

#endif
