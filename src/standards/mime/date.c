#include "base/num.h"
#include "standards/mime/mime_internal.h"

/* An unsigned number of at most digits_max digits behind white space and comments. */
static bool
number_take(struct cur *c, size_t digits_max, size_t *digits_out, int *out)
{
	struct str digits;
	int v = 0;

	mime_cfws_skip(c, NULL);
	digits = cur_take_while(c, char_is_digit);
	if (digits.n == 0 || digits.n > digits_max)
		return false;
	for (size_t i = 0; i < digits.n; i++)
		v = v * 10 + (digits.p[i] - '0');
	if (digits_out != NULL)
		*digits_out = digits.n;
	*out = v;
	return true;
}

static bool
month_take(struct cur *c, int *out)
{
	static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";
	struct str word;

	mime_cfws_skip(c, NULL);
	word = cur_take_while(c, char_is_alpha);
	for (int i = 0; i < 12; i++)
		if (word.n >= 3 && str_eq_ci(str_take(word, 3), str_of(names + 3 * i, 3))) {
			*out = i + 1;
			return true;
		}
	return false;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar; years from March, so that the leap day
 * is the last. */
static int64_t
days_of(int year, int month, int day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t m = month > 2 ? month - 3 : month + 9;

	return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

static bool
zone_take(struct cur *c, int *minutes_out)
{
	/* RFC 5322 4.3; single letters and unknown words are -0000, as is a missing zone. */
	static const struct {
		struct str name;
		int minutes;
	} zones[] = {
	    {STR_INIT("EST"), -300},
	    {STR_INIT("EDT"), -240},
	    {STR_INIT("CST"), -360},
	    {STR_INIT("CDT"), -300},
	    {STR_INIT("MST"), -420},
	    {STR_INIT("MDT"), -360},
	    {STR_INIT("PST"), -480},
	    {STR_INIT("PDT"), -420},
	};
	struct str word;
	int sign, hhmm;
	size_t digits;

	*minutes_out = 0;
	mime_cfws_skip(c, NULL);
	sign = cur_char(c, '-') ? -1 : cur_char(c, '+') ? 1 : 0;
	if (sign != 0) {
		if (!number_take(c, 4, &digits, &hhmm) || digits != 4 || hhmm % 100 > 59)
			return false;
		*minutes_out = sign * (hhmm / 100 * 60 + hhmm % 100);
		return true;
	}
	word = cur_take_while(c, char_is_alpha);
	for (size_t i = 0; i < COUNT_OF(zones); i++)
		if (str_eq_ci(word, zones[i].name))
			*minutes_out = zones[i].minutes;
	return true;
}

enum status
mime_date_parse(struct str s, int64_t *unix_seconds_out, int *offset_minutes_out)
{
	struct cur c = cur_of(s);
	int day, month, year, hour, minute, second = 0, offset;
	size_t digits;

	mime_cfws_skip(&c, NULL);
	if (cur_take_while(&c, char_is_alpha).n > 0) {
		mime_cfws_skip(&c, NULL);
		(void)cur_char(&c, ',');
	}
	if (!number_take(&c, 2, NULL, &day))
		return ST_SYNTAX;
	(void)cur_char(&c, '-');
	if (!month_take(&c, &month))
		return ST_SYNTAX;
	(void)cur_char(&c, '-');
	if (!number_take(&c, 4, &digits, &year))
		return ST_SYNTAX;
	/* RFC 5322 4.3 */
	if (digits == 2)
		year += year < 50 ? 2000 : 1900;
	else if (digits == 3)
		year += 1900;
	if (!number_take(&c, 2, NULL, &hour))
		return ST_SYNTAX;
	mime_cfws_skip(&c, NULL);
	if (!cur_char(&c, ':') || !number_take(&c, 2, NULL, &minute))
		return ST_SYNTAX;
	mime_cfws_skip(&c, NULL);
	if (cur_char(&c, ':') && !number_take(&c, 2, NULL, &second))
		return ST_SYNTAX;
	if (!zone_take(&c, &offset))
		return ST_SYNTAX;
	if (day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
		return ST_SYNTAX;
	*unix_seconds_out =
	    days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset * 60;
	*offset_minutes_out = offset;
	return ST_OK;
}
