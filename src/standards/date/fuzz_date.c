/* Fuzz: what a parser accepts can be written in every form and is read back as the same instant. */
#include "base/check.h"
#include "standards/date/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef enum status parse_fn(struct str, int64_t *, int *);
typedef enum status format_fn(struct buf *, int64_t, int);

static void
comes_back(format_fn *format, parse_fn *parse, int64_t seconds, int offset)
{
	struct buf b;
	int64_t seconds_again;
	int offset_again;

	buf_init(&b, 100);
	if (format(&b, seconds, offset) == ST_OK &&
	    parse(buf_str(&b), &seconds_again, &offset_again) == ST_OK)
		CHECK(seconds_again == seconds && offset_again == offset);
	else
		/* Outside of the years that all forms share, or an offset beyond a day. */
		CHECK(seconds < -2208988800 || seconds > 253402300799 - 6000 * 60 ||
		      offset >= 24 * 60 || offset <= -24 * 60 ||
		      seconds + (int64_t)offset * 60 < -2208988800);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse_fn *const parse[] = {date_parse, date_parse_3339, date_parse_imap};
	format_fn *const format[] = {date_format_5322, date_format_3339, date_format_imap};

	for (int i = 0; i < 3; i++) {
		int64_t seconds;
		int offset;

		if (parse[i](str_of(data, size), &seconds, &offset) != ST_OK)
			continue;
		for (int k = 0; k < 3; k++)
			comes_back(format[k], parse[k], seconds, offset);
	}
	return 0;
}
