/* Dates: what mail writes, what it should not, and the edges of the calendar. */
#include "base/num.h"
#include "base/unit.h"
#include "standards/date/date.h"
#include "standards/date/limits.h"

struct parse_case {
	struct str in;
	int64_t unix_seconds;
	int offset_minutes;
};

static void
expect_all(const struct parse_case *t, size_t n, enum status (*parse)(struct str, int64_t *, int *))
{
	for (size_t i = 0; i < n; i++) {
		int64_t seconds = -1;
		int offset = -1;
		int bad = unit_bad;
		enum status st = parse(t[i].in, &seconds, &offset);

		EXPECT(
		    st == ST_OK && seconds == t[i].unix_seconds && offset == t[i].offset_minutes);
		if (unit_bad > bad)
			fprintf(stderr, "\"%.*s\": %s %lld %d\n", STR_ARG(t[i].in), status_word(st),
			    (long long)seconds, offset);
	}
}

static void
reads_rfc5322_dates(void)
{
	static const struct parse_case table[] = {
	    /* RFC 5322 A.1.1, A.5, A.6.2 */
	    {STR_INIT("Fri, 21 Nov 1997 09:55:06 -0600"), 880127706, -360},
	    {STR_INIT("Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n"
		      "               -0330 (Newfoundland Time)"),
		-27723480, -210},
	    {STR_INIT("21 Nov 97 09:55:06 GMT"), 880106106, 0},
	    {STR_INIT("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600"), 880127706, -360},
	    {STR_INIT("Mon, 23 Nov 2026 14:58:32 +0100"), 1795442312, 60},
	    {STR_INIT("mon, 3 nov 2026 14:58 +0000"), 1793717880, 0},
	    {STR_INIT("Mon, 03 Nov 2026 4:05:06 -0000"), 1793678706, 0},
	    {STR_INIT("1 Jan 1970 00:00:00 +0000"), 0, 0},
	    {STR_INIT("1 Jan 1970 00:00:00 +9959"), -359940, 5999},
	    /* Years of two and three digits. */
	    {STR_INIT("1 Jan 00 00:00:00 Z"), 946684800, 0},
	    {STR_INIT("1 Jan 49 00:00:00 UT"), 2493072000, 0},
	    {STR_INIT("1 Jan 50 00:00:00 +0000"), -631152000, 0},
	    {STR_INIT("1 Jan 100 00:00:00 +0000"), 946684800, 0},
	    /* Zones by name. */
	    {STR_INIT("1 Jan 1970 00:00:00 EST"), 18000, -300},
	    {STR_INIT("1 Jan 1970 00:00:00 pdt"), 25200, -420},
	    {STR_INIT("1 Jan 1970 00:00:00 A"), 0, 0},
	    {STR_INIT("1 Jan 1970 00:00:00 CEST"), 0, 0},
	    {STR_INIT("1 Jan 1970 00:00:00 GMT+0100"), -3600, 60},
	    {STR_INIT("1 Jan 1970 00:00:00 +01:00"), -3600, 60},
	    {STR_INIT("1 Jan 1970 00:00:00"), 0, 0},
	    {STR_INIT("1 Jan 1970 00:00"), 0, 0},
	    {STR_INIT("1 Jan 1970 00:00:00 +0000 GMT and more"), 0, 0},
	    /* A weekday that is wrong, long, or without its comma; comments everywhere. */
	    {STR_INIT("Tuesday, 1 January 1970 00:00:00 +0000"), 0, 0},
	    {STR_INIT("Thu 1 Jan 1970 00:00:00 +0000"), 0, 0},
	    {STR_INIT("(a)Thu(b),(c)1(d)Jan(e)1970(f)00:00:00(g)+0000(h)"), 0, 0},
	    {STR_INIT("1 (a (b \\) \\\\) ) Jan 1970 00:00:00 +0000"), 0, 0},
	    {STR_INIT("1-Jan-1970 00:00:00 +0000"), 0, 0},
	    {STR_INIT("Thu Jan  1 00:00:00 1970"), 0, 0},
	    {STR_INIT("Thu Jan  1 00:00:00 EST 1970"), 18000, -300},
	    /* The calendar's edges. */
	    {STR_INIT("29 Feb 2000 00:00:00 +0000"), 951782400, 0},
	    {STR_INIT("29 Feb 2024 00:00:00 +0000"), 1709164800, 0},
	    {STR_INIT("31 Dec 2016 23:59:60 +0000"), 1483228800, 0},
	    {STR_INIT("1 Jan 1900 00:00:00 +0000"), -2208988800, 0},
	    {STR_INIT("31 Dec 9999 23:59:59 +0000"), 253402300799, 0},
	};

	expect_all(table, COUNT_OF(table), date_parse);
}

static void
refuses_what_is_no_date(void)
{
	static const struct str bad[] = {STR_INIT(""), STR_INIT(" "), STR_INIT("Mon,"),
	    STR_INIT("now"), STR_INIT("0 Jan 1970 00:00:00 +0000"),
	    STR_INIT("32 Jan 1970 00:00:00 +0000"), STR_INIT("29 Feb 1900 00:00:00 +0000"),
	    STR_INIT("29 Feb 2025 00:00:00 +0000"), STR_INIT("31 Apr 1970 00:00:00 +0000"),
	    STR_INIT("1 Foo 1970 00:00:00 +0000"), STR_INIT("1 Jan 1899 00:00:00 +0000"),
	    STR_INIT("1 Jan 10000 00:00:00 +0000"), STR_INIT("1 Jan 0 00:00:00 +0000"),
	    STR_INIT("1 Jan 1970 24:00:00 +0000"), STR_INIT("1 Jan 1970 00:60:00 +0000"),
	    STR_INIT("1 Jan 1970 00:00:61 +0000"), STR_INIT("1 Jan 1970 00:00:00 +0060"),
	    STR_INIT("1 Jan 1970 00:00:00 +010"), STR_INIT("1 Jan 1970 00:00:00 +01000"),
	    STR_INIT("1 Jan 1970 00:00:00 +0000x"), STR_INIT("1 Jan 1970 00"),
	    STR_INIT("1 Jan 1970 00:00:"), STR_INIT("1 Jan 1970"),
	    STR_INIT("1 Jan 1970 (open 00:00:00 +0000"), STR_INIT("1 Jan 1970 00(a:00:00 +0000"),
	    STR_INIT("1 Jan 1970 000:00:00 +0000"), STR_INIT("1 Jan 1970 00:00:00\0 +0000"),
	    STR_INIT("-1 Jan 1970 00:00:00 +0000"), STR_INIT("\xff\xff\xff")};

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		int64_t seconds = -7;
		int offset = -7;

		EXPECT(date_parse(bad[i], &seconds, &offset) == ST_SYNTAX);
		EXPECT(seconds == -7 && offset == -7);
	}
}

static void
keeps_its_limits(void)
{
	struct buf b;
	int64_t seconds;
	int offset;

	for (size_t depth = DATE_COMMENT_DEPTH_MAX; depth <= DATE_COMMENT_DEPTH_MAX + 1; depth++) {
		buf_init(&b, 4096);
		(void)buf_put(&b, STR("1 Jan 1970 00:00:00 "));
		for (size_t i = 0; i < depth; i++)
			(void)buf_put_c(&b, '(');
		for (size_t i = 0; i < depth; i++)
			(void)buf_put_c(&b, ')');
		(void)buf_put(&b, STR(" Jan"));
		EXPECT(date_parse(buf_str(&b), &seconds, &offset) ==
		       (depth == DATE_COMMENT_DEPTH_MAX ? ST_OK : ST_LIMIT));
		EXPECT(date_parse(str_from(buf_str(&b), 20), &seconds, &offset) ==
		       (depth == DATE_COMMENT_DEPTH_MAX ? ST_SYNTAX : ST_LIMIT));
		buf_fini(&b);
	}
	for (size_t n = DATE_BYTES_MAX; n <= DATE_BYTES_MAX + 1; n++) {
		buf_init(&b, 4096);
		(void)buf_put(&b, STR("1 Jan 1970 00:00:00 +0000"));
		while (b.n < n)
			(void)buf_put_c(&b, ' ');
		EXPECT(date_parse(buf_str(&b), &seconds, &offset) ==
		       (n == DATE_BYTES_MAX ? ST_OK : ST_LIMIT));
		buf_fini(&b);
	}
	EXPECT(date_parse_3339(
		   STR("1970-01-01T00:00:00.12345678901234567890Z"), &seconds, &offset) == ST_OK);
	EXPECT(date_parse_3339(STR("1970-01-01T00:00:00.123456789012345678901Z"), &seconds,
		   &offset) == ST_LIMIT);
}

static void
reads_rfc3339_dates(void)
{
	static const struct parse_case table[] = {
	    /* RFC 3339 5.8 */
	    {STR_INIT("1985-04-12T23:20:50.52Z"), 482196050, 0},
	    {STR_INIT("1996-12-19T16:39:57-08:00"), 851042397, -480},
	    {STR_INIT("1990-12-31T23:59:60Z"), 662688000, 0},
	    {STR_INIT("1990-12-31T15:59:60-08:00"), 662688000, -480},
	    {STR_INIT("1937-01-01T12:00:27.87+00:20"), -1041337173, 20},
	    {STR_INIT("1970-01-01t00:00:00z"), 0, 0},
	    {STR_INIT("1970-01-01 00:00:00-00:00"), 0, 0},
	    {STR_INIT("0000-01-01T00:00:00Z"), -62167219200, 0},
	    {STR_INIT("1970-01-01T00:00:00+23:59"), -86340, 1439},
	};
	static const struct str bad[] = {STR_INIT("1970-01-01T00:00:00"),
	    STR_INIT("1970-01-01T00:00:00+0000"), STR_INIT("1970-13-01T00:00:00Z"),
	    STR_INIT("1970-00-01T00:00:00Z"), STR_INIT("1970-01-32T00:00:00Z"),
	    STR_INIT("1970-01-01T00:00:00.Z"), STR_INIT("1970-01-01T00:00:00+24:00"),
	    STR_INIT("1970-01-01T00:00:00Zx"), STR_INIT(""), STR_INIT("70-01-01T00:00:00Z"),
	    STR_INIT("1970-1-01T00:00:00Z"), STR_INIT("1970-01-01T00:00Z")};
	int64_t seconds;
	int offset;

	expect_all(table, COUNT_OF(table), date_parse_3339);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		EXPECT(date_parse_3339(bad[i], &seconds, &offset) == ST_SYNTAX);
}

static void
reads_imap_dates_of_rfc9051(void)
{
	static const struct parse_case table[] = {
	    {STR_INIT("17-Jul-1996 02:44:25 -0700"), 837596665, -420},
	    {STR_INIT(" 1-Jan-1970 00:00:00 +0000"), 0, 0},
	    {STR_INIT("01-jan-1970 00:00:00 +0100"), -3600, 60},
	};
	static const struct str bad[] = {STR_INIT("1-Jan-1970 00:00:00 +0000"),
	    STR_INIT(" 11-Jan-1970 00:00:00 +0000"), STR_INIT("01-January-1970 00:00:00 +0000"),
	    STR_INIT("01-Jan-1970 00:00:00"), STR_INIT("01-Jan-1970 00:00:00 GMT"),
	    STR_INIT("01-Jan-1970 00:00:00 +00:00"), STR_INIT("01-Jan-70 00:00:00 +0000"),
	    STR_INIT("31-Feb-1970 00:00:00 +0000"), STR_INIT("01-Jan-1970 00:00:00 +0000 ")};
	int64_t seconds;
	int offset;

	expect_all(table, COUNT_OF(table), date_parse_imap);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		EXPECT(date_parse_imap(bad[i], &seconds, &offset) == ST_SYNTAX);
}

static void
formats(void)
{
	static const struct {
		int64_t unix_seconds;
		int offset_minutes;
		struct str mail, stamp, imap;
	} table[] = {
	    {0, 0, STR_INIT("Thu, 1 Jan 1970 00:00:00 +0000"), STR_INIT("1970-01-01T00:00:00Z"),
		STR_INIT(" 1-Jan-1970 00:00:00 +0000")},
	    {1795442312, 60, STR_INIT("Mon, 23 Nov 2026 14:58:32 +0100"),
		STR_INIT("2026-11-23T14:58:32+01:00"), STR_INIT("23-Nov-2026 14:58:32 +0100")},
	    {-27723480, -210, STR_INIT("Thu, 13 Feb 1969 23:32:00 -0330"),
		STR_INIT("1969-02-13T23:32:00-03:30"), STR_INIT("13-Feb-1969 23:32:00 -0330")},
	    {253402300799, 0, STR_INIT("Fri, 31 Dec 9999 23:59:59 +0000"),
		STR_INIT("9999-12-31T23:59:59Z"), STR_INIT("31-Dec-9999 23:59:59 +0000")},
	    {-62167219200, 0, STR_INIT("Sat, 1 Jan 0000 00:00:00 +0000"),
		STR_INIT("0000-01-01T00:00:00Z"), STR_INIT(" 1-Jan-0000 00:00:00 +0000")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct buf b;

		buf_init(&b, 100);
		EXPECT(
		    date_format_5322(&b, table[i].unix_seconds, table[i].offset_minutes) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].mail);
		buf_reset(&b);
		EXPECT(
		    date_format_3339(&b, table[i].unix_seconds, table[i].offset_minutes) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].stamp);
		buf_reset(&b);
		EXPECT(
		    date_format_imap(&b, table[i].unix_seconds, table[i].offset_minutes) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].imap);
		buf_fini(&b);
	}
}

static void
formats_nothing_that_has_no_form(void)
{
	static const struct {
		int64_t unix_seconds;
		int offset_minutes;
		enum status st;
	} table[] = {
	    {253402300799, 1, ST_LIMIT},
	    {253402300800, 0, ST_LIMIT},
	    {253402300800, -1, ST_OK},
	    {-62167219201, 0, ST_LIMIT},
	    {0, DATE_OFFSET_MINUTES_MAX, ST_OK},
	    {0, DATE_OFFSET_MINUTES_MAX + 1, ST_LIMIT},
	    {0, -DATE_OFFSET_MINUTES_MAX - 1, ST_LIMIT},
	    {INT64_MAX, 1, ST_LIMIT},
	    {INT64_MIN, 0, ST_LIMIT},
	};
	enum status (*const format[])(struct buf *, int64_t, int) = {
	    date_format_5322, date_format_3339, date_format_imap};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		for (size_t k = 0; k < COUNT_OF(format); k++) {
			struct buf b;

			buf_init(&b, 100);
			EXPECT(format[k](&b, table[i].unix_seconds, table[i].offset_minutes) ==
			       table[i].st);
			EXPECT((b.n > 0) == (table[i].st == ST_OK));
			buf_fini(&b);
		}
	for (size_t k = 0; k < COUNT_OF(format); k++)
		for (size_t max = 1; max < 25; max++) {
			struct buf b;

			buf_init(&b, max);
			EXPECT(format[k](&b, 0, 60) == ST_LIMIT && b.n == 0);
			buf_fini(&b);
		}
}

int
main(void)
{
	UNIT(reads_rfc5322_dates);
	UNIT(refuses_what_is_no_date);
	UNIT(keeps_its_limits);
	UNIT(reads_rfc3339_dates);
	UNIT(reads_imap_dates_of_rfc9051);
	UNIT(formats);
	UNIT(formats_nothing_that_has_no_form);
	return unit_end();
}
