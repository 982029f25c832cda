/* mime: tables from the RFCs' examples, what broken mail does, and every limit at n and n + 1. */
#include <dirent.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/unit.h"
#include "base/utf8.h"
#include "standards/mime/charset.h"
#include "standards/mime/mime.h"

static struct arena arena;

static struct mime_message
parsed(struct str message)
{
	struct mime_message m;

	arena_reset(&arena);
	EXPECT(mime_parse(message, &arena, NULL, &m) == ST_OK);
	return m;
}

static void
header_fields(void)
{
	struct str header = STR("A: 1\r\nnot a field\r\nB : two\r\n lines\r\n\t \r\nC:\nbad name: "
				"x\r\nD: last\r\n\r\nE: body\r\n");
	struct cur c = cur_of(header);
	struct mime_header h;
	struct buf b;

	buf_init(&b, 100);
	EXPECT(mime_header_next(&c, &h));
	EXPECT_STR(h.name, STR("A"));
	EXPECT_STR(h.value, STR(" 1"));
	EXPECT_STR(h.field, STR("A: 1\r\n"));
	EXPECT(mime_header_next(&c, &h));
	EXPECT_STR(h.name, STR("B"));
	EXPECT_STR(h.value, STR(" two\r\n lines\r\n\t "));
	EXPECT(mime_unfold(h.value, &b) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("two lines"));
	EXPECT(mime_header_next(&c, &h));
	EXPECT_STR(h.name, STR("C"));
	EXPECT_STR(h.value, STR(""));
	EXPECT(mime_header_next(&c, &h));
	EXPECT_STR(h.name, STR("D"));
	EXPECT(!mime_header_next(&c, &h));
	EXPECT_STR(cur_rest(&c), STR("E: body\r\n"));
	EXPECT(mime_header_find(header, STR("b"), &h));
	EXPECT(!mime_header_find(header, STR("e"), &h));
	buf_fini(&b);
}

static void
encoded_words(void)
{
	static const struct {
		struct str in, out;
	} table[] = {
	    /* RFC 2047 8 */
	    {STR_INIT("=?US-ASCII?Q?Keith_Moore?="), STR_INIT("Keith Moore")},
	    {STR_INIT("=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?="),
		STR_INIT("Patrik F\xc3\xa4ltstr\xc3\xb6m")},
	    {STR_INIT("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n "
		      "=?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?="),
		STR_INIT("If you can read this you understand the example.")},
	    {STR_INIT("=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?="),
		STR_INIT("\xd7\x9d\xd7\x95\xd7\x9c\xd7\xa9 \xd7\x9f\xd7\x91 "
			 "\xd7\x99\xd7\x9c\xd7\x98\xd7\xa4\xd7\xa0")},
	    {STR_INIT("(=?ISO-8859-1?Q?a?=)"), STR_INIT("(a)")},
	    {STR_INIT("(=?ISO-8859-1?Q?a?= b)"), STR_INIT("(a b)")},
	    {STR_INIT("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)"), STR_INIT("(ab)")},
	    {STR_INIT("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)"), STR_INIT("(ab)")},
	    {STR_INIT("(=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=)"), STR_INIT("(ab)")},
	    {STR_INIT("(=?ISO-8859-1?Q?a_b?=)"), STR_INIT("(a b)")},
	    {STR_INIT("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)"), STR_INIT("(a b)")},
	    /* RFC 2231 5 */
	    {STR_INIT("=?US-ASCII*EN?Q?Keith_Moore?="), STR_INIT("Keith Moore")},
	    /* A character cut in two by the mailer. */
	    {STR_INIT("=?utf-8?Q?=C3?= =?UTF-8?Q?=A4?="), STR_INIT("\xc3\xa4")},
	    {STR_INIT("=?utf-8?B?w6Q?="), STR_INIT("\xc3\xa4")},
	    {STR_INIT("=?utf-8?Q?=41=?= x"), STR_INIT("A= x")},
	    {STR_INIT("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?="), STR_INIT("\xe6\x97\xa5\xe6\x9c\xac")},
	    {STR_INIT("=?gb2312?B?1tDOxA==?="), STR_INIT("\xe4\xb8\xad\xe6\x96\x87")},
	    {STR_INIT("=?x-none?Q?a=E4?="), STR_INIT("a\xef\xbf\xbd")},
	    /* None of them is a word. */
	    {STR_INIT("=?utf-8?X?abc?="), STR_INIT("=?utf-8?X?abc?=")},
	    {STR_INIT("=?utf-8?Q?abc"), STR_INIT("=?utf-8?Q?abc")},
	    {STR_INIT("=??Q?abc?="), STR_INIT("=??Q?abc?=")},
	    {STR_INIT("=? =?utf-8?q?a?="), STR_INIT("=? a")},
	    /* Raw 8-bit: UTF-8, else windows-1252. Controls do not survive. */
	    {STR_INIT("\xc3\xa4"), STR_INIT("\xc3\xa4")},
	    {STR_INIT("f\xe4r \x80"), STR_INIT("f\xc3\xa4r \xe2\x82\xac")},
	    {STR_INIT("=?utf-8?Q?a=0D=0ABcc:_b=00?="), STR_INIT("a  Bcc: b ")},
	};
	struct buf b;

	mime_charset_preload();
	buf_init(&b, 1000);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct str out;

		buf_reset(&b);
		EXPECT(mime_text_decode(table[i].in, &b) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].out);
		arena_reset(&arena);
		EXPECT(mime_text_decode_arena(table[i].in, &arena, 100, &out) == ST_OK);
		EXPECT_STR(out, table[i].out);
	}
	buf_fini(&b);
}

static void
encoded_words_limits(void)
{
	struct buf in, out;

	buf_init(&in, 100000);
	buf_init(&out, 100000);
	for (int i = 0; i < MIME_WORDS_MAX; i++)
		(void)buf_put(&in, STR("=?utf-8?q?a?= "));
	EXPECT(mime_text_decode(buf_str(&in), &out) == ST_OK && out.n == MIME_WORDS_MAX);
	(void)buf_put(&in, STR("=?utf-8?q?b?="));
	buf_reset(&out);
	EXPECT(mime_text_decode(buf_str(&in), &out) == ST_OK);
	EXPECT_STR(str_from(buf_str(&out), MIME_WORDS_MAX), STR(" =?utf-8?q?b?="));
	/* The longest word is one of MIME_WORD_BYTES_MAX. */
	for (size_t extra = 0; extra < 2; extra++) {
		buf_reset(&in);
		buf_reset(&out);
		(void)buf_put(&in, STR("=?utf-8?q?"));
		while (in.n < MIME_WORD_BYTES_MAX - 2 + extra)
			(void)buf_put_c(&in, 'a');
		(void)buf_put(&in, STR("?="));
		EXPECT(mime_text_decode(buf_str(&in), &out) == ST_OK);
		EXPECT(out.p[0] == (extra == 0 ? 'a' : '='));
	}
	buf_fini(&in);
	buf_fini(&out);
}

static void
charsets(void)
{
	static const struct {
		struct str name, in, out;
	} table[] = {
	    {STR_INIT("UTF-8"), STR_INIT("a\xc3\xa4\xff"), STR_INIT("a\xc3\xa4\xef\xbf\xbd")},
	    {STR_INIT(""), STR_INIT("\xe4"), STR_INIT("\xc3\xa4")},
	    {STR_INIT("us-ascii"), STR_INIT("x\xc3\xa4\xc3"), STR_INIT("x\xc3\xa4\xef\xbf\xbd")},
	    {STR_INIT("latin1"), STR_INIT("\xe4\x93\x81"),
		STR_INIT("\xc3\xa4\xe2\x80\x9c\xef\xbf\xbd")},
	    {STR_INIT("KOI8-R"), STR_INIT("\xf0\xd2"), STR_INIT("\xd0\x9f\xd1\x80")},
	    {STR_INIT("Shift_JIS"), STR_INIT("\x93\xfa"), STR_INIT("\xe6\x97\xa5")},
	    {STR_INIT("gb18030"), STR_INIT("\x94\x39\xfc\x36"), STR_INIT("\xf0\x9f\x98\x80")},
	    {STR_INIT("utf-7"), STR_INIT("Hi +AOQ-"), STR_INIT("Hi \xc3\xa4")},
	    {STR_INIT("no-such"), STR_INIT("a\xe4"), STR_INIT("a\xef\xbf\xbd")},
	};
	struct buf b, big;

	mime_charset_preload();
	buf_init(&b, 100);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_reset(&b);
		EXPECT(mime_charset_to_utf8(table[i].name, table[i].in, &b) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].out);
	}
	EXPECT(mime_charset_is_known(STR("ISO_8859-15")) && !mime_charset_is_known(STR("no-such")));
	/* Pairs of UTF-16 units over the border of a conversion step. */
	buf_init(&big, 100000);
	buf_fini(&b);
	buf_init(&b, 100000);
	(void)buf_put_c(&big, 'x');
	for (int i = 0; i < 1000; i++)
		(void)buf_put(&big, STR("\x94\x39\xfc\x36"));
	EXPECT(mime_charset_to_utf8(STR("gb18030"), buf_str(&big), &b) == ST_OK);
	EXPECT(b.n == 4001 && utf8_is_valid(buf_str(&b)) &&
	       str_find(buf_str(&b), STR("\xef\xbf\xbd")) == b.n);
	buf_fini(&b);
	buf_fini(&big);
}

static void
bodies(void)
{
	static const struct {
		enum mime_encoding encoding;
		struct str in, out;
	} table[] = {
	    /* RFC 2045 6.7 */
	    {MIME_QUOTED_PRINTABLE,
		STR_INIT(
		    "Now's the time =\r\nfor all folk to come=\r\n to the aid of their country."),
		STR_INIT("Now's the time for all folk to come to the aid of their country.")},
	    {MIME_QUOTED_PRINTABLE, STR_INIT("a \t\r\nb  \nc=20\r\n"), STR_INIT("a\r\nb\nc \r\n")},
	    {MIME_QUOTED_PRINTABLE, STR_INIT("=e4=E4=\n= \t\r\nx"), STR_INIT("\xe4\xe4x")},
	    {MIME_QUOTED_PRINTABLE, STR_INIT("a=b=zz=4"), STR_INIT("a=b=zz=4")},
	    {MIME_QUOTED_PRINTABLE, STR_INIT("end=  "), STR_INIT("end")},
	    {MIME_QUOTED_PRINTABLE, STR_INIT("end  "), STR_INIT("end")},
	    {MIME_BASE64, STR_INIT("SGVs\r\nbG8="), STR_INIT("Hello")},
	    {MIME_BASE64, STR_INIT("SG!Vs bG8"), STR_INIT("Hello")},
	    {MIME_BASE64, STR_INIT("SGU=SGU="), STR_INIT("HeHe")},
	    {MIME_BASE64, STR_INIT("S==="), STR_INIT("")},
	    {MIME_8BIT, STR_INIT("a=b"), STR_INIT("a=b")},
	};
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct mime_decoder d;

		buf_reset(&b);
		EXPECT(mime_body_decode(table[i].encoding, table[i].in, &b) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].out);
		/* Byte by byte gives the same. */
		buf_reset(&b);
		mime_decoder_init(&d, table[i].encoding);
		for (size_t k = 0; k < table[i].in.n; k++)
			EXPECT(mime_decoder_feed(&d, str_take(str_from(table[i].in, k), 1), &b) ==
			       ST_OK);
		EXPECT(mime_decoder_finish(&d, &b) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].out);
	}
	buf_fini(&b);
	buf_init(&b, 5);
	EXPECT(mime_body_decode(MIME_BASE64, STR("SGVsbG8="), &b) == ST_OK);
	buf_reset(&b);
	EXPECT(mime_body_decode(MIME_BASE64, STR("SGVsbG8h"), &b) == ST_LIMIT);
	EXPECT_STR(buf_str(&b), STR("Hello"));
	buf_fini(&b);
}

static void
space_held_back_limit(void)
{
	struct buf in, out;

	buf_init(&in, 1000);
	buf_init(&out, 1000);
	for (size_t n = MIME_QP_SPACE_MAX; n <= MIME_QP_SPACE_MAX + 1; n++) {
		struct mime_decoder d;

		buf_reset(&in);
		buf_reset(&out);
		while (in.n < n)
			(void)buf_put_c(&in, ' ');
		mime_decoder_init(&d, MIME_QUOTED_PRINTABLE);
		EXPECT(mime_decoder_feed(&d, STR("a"), &out) == ST_OK);
		EXPECT(mime_decoder_feed(&d, buf_str(&in), &out) == ST_OK);
		EXPECT(mime_decoder_feed(&d, STR("\r\n"), &out) == ST_OK);
		/* At a line's end white space goes (RFC 2045 6.7), if it could be held back for so
		 * long. */
		EXPECT(out.n == (n > MIME_QP_SPACE_MAX ? n + 3 : 3));
		EXPECT(out.p[out.n - 1] == '\n');
	}
	buf_fini(&in);
	buf_fini(&out);
}

/* RFC 2046 5.1.1 */
static void
multipart_example(void)
{
	struct mime_message m =
	    parsed(STR("From: Nathaniel Borenstein <nsb@bellcore.com>\r\n"
		       "MIME-Version: 1.0\r\n"
		       "Content-type: multipart/mixed; boundary=\"simple boundary\"\r\n"
		       "\r\n"
		       "This is the preamble.\r\n"
		       "\r\n"
		       "--simple boundary\r\n"
		       "\r\n"
		       "This is implicitly typed plain US-ASCII text.\r\n"
		       "It does NOT end with a linebreak.\r\n"
		       "--simple boundary  \r\n"
		       "Content-type: text/plain; charset=us-ascii (Plain text)\r\n"
		       "\r\n"
		       "It DOES end with a linebreak.\r\n"
		       "\r\n"
		       "--simple boundary--\r\n"
		       "\r\n"
		       "This is the epilogue.\r\n"));
	const struct mime_part *one = m.root->first_child, *two = one->next;

	EXPECT(m.defects == 0 && m.parts_n == 3 && m.root->kind == MIME_MULTIPART &&
	       two->next == NULL);
	EXPECT_STR(one->body, STR("This is implicitly typed plain US-ASCII text.\r\nIt does NOT "
				  "end with a linebreak."));
	EXPECT(
	    one->body_lines == 1 && !one->has_type && mime_part_is(one, STR("TEXT"), STR("plain")));
	EXPECT_STR(one->header, STR("\r\n"));
	EXPECT_STR(two->body, STR("It DOES end with a linebreak.\r\n"));
	EXPECT(two->body_lines == 1 && two->number == 2 && two->depth == 1);
	EXPECT_STR(mime_param_find(two->params, STR("CHARSET"))->value, STR("us-ascii"));
	EXPECT(mime_part_at(&m, STR("2")) == two && mime_part_at(&m, STR("3")) == NULL);
	EXPECT(mime_part_at(&m, STR("1.1")) == NULL && mime_part_at(&m, STR("")) == NULL);
}

static void
nesting(void)
{
	struct mime_message m =
	    parsed(STR("Content-Type: multipart/mixed; boundary=o\n\n"
		       "--o\nContent-Type: multipart/alternative; boundary=oo\n\n"
		       "--oo\n\nplain\n--oo\nContent-Type: text/html\n\n<b>\n"
		       "--o\nContent-Type: message/rfc822\n\n"
		       "Subject: in\nContent-Type: multipart/digest; boundary=d\n\n"
		       "--d\n\nSubject: deep\n\ntext\nmore\n--d--\n"
		       "--o--\n"));
	const struct mime_part *alternative = m.root->first_child, *message = alternative->next;
	const struct mime_part *deep;

	EXPECT(m.parts_n == 8);
	/* The inner multipart was ended by the outer boundary. */
	EXPECT(alternative->defects == MIME_DEFECT_NO_CLOSE &&
	       alternative->first_child->next->next == NULL);
	EXPECT_STR(alternative->first_child->next->body, STR("<b>"));
	EXPECT(message->kind == MIME_MESSAGE && message->body_lines == 9);
	EXPECT(mime_part_at(&m, STR("2.1")) == message->first_child->first_child);
	deep = mime_part_at(&m, STR("2.1.1"));
	EXPECT(deep != NULL);
	if (deep == NULL)
		return;
	/* RFC 2046 5.1.5: in a digest a part is a message. */
	EXPECT_STR(deep->parent->type, STR("message"));
	EXPECT_STR(deep->header, STR("Subject: deep\n\n"));
	EXPECT_STR(deep->body, STR("text\nmore"));
	EXPECT(deep->body_lines == 1);
}

static void
broken_trees(void)
{
	static const struct {
		struct str in;
		uint32_t defects;
		size_t parts;
	} table[] = {
	    {STR_INIT(""), MIME_DEFECT_NO_BLANK_LINE, 1},
	    {STR_INIT("\r\n"), 0, 1},
	    {STR_INIT("\n\n\n"), 0, 1},
	    {STR_INIT("junk\r\n\r\nx"), MIME_DEFECT_HEADER_LINE, 1},
	    {STR_INIT("A: b"), MIME_DEFECT_NO_BLANK_LINE, 1},
	    {STR_INIT("Content-Type: text\n\n"), MIME_DEFECT_CONTENT_TYPE, 1},
	    {STR_INIT("Content-Type: a/b\nContent-Type: c/d\n\n"), MIME_DEFECT_DUPLICATE_FIELD, 1},
	    {STR_INIT("Content-Type: multipart/mixed\n\n--\n"), MIME_DEFECT_NO_BOUNDARY, 1},
	    {STR_INIT("Content-Type: multipart/mixed; boundary=x\n\ntext\n--y\n"),
		MIME_DEFECT_BOUNDARY_UNSEEN | MIME_DEFECT_NO_CLOSE, 1},
	    {STR_INIT("Content-Type: multipart/mixed; boundary=x\n\n--x--\n"),
		MIME_DEFECT_BOUNDARY_UNSEEN, 1},
	    {STR_INIT("Content-Type: multipart/mixed; boundary=x\n\n--x"),
		MIME_DEFECT_NO_CLOSE | MIME_DEFECT_NO_BLANK_LINE, 2},
	    {STR_INIT("Content-Type: multipart/mixed; boundary=x\n\n--x\nA: b\n--x--\n"),
		MIME_DEFECT_NO_BLANK_LINE, 2},
	    {STR_INIT("Content-Type: multipart/mixed; boundary=x\n\n--xx\n--x\n\n--x --\n--x--"), 0,
		2},
	    /* One boundary on two levels. */
	    {STR_INIT("Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: "
		      "multipart/mixed; boundary=x\n\n"
		      "--x\n\na\n--x--\n--x\n\nb\n--x--\n"),
		0, 4},
	    {STR_INIT("Content-Transfer-Encoding: rot13\n\n"), MIME_DEFECT_ENCODING, 1},
	    {STR_INIT("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA"),
		MIME_DEFECT_ENCODING, 1},
	    {STR_INIT("Content-Type: a/b; =c; d\n\n"), MIME_DEFECT_PARAM, 1},
	    {STR_INIT("Content-Type: message/global\n\nSubject: x\n\n"), 0, 2},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct mime_message m = parsed(table[i].in);

		EXPECT(m.defects == table[i].defects);
		EXPECT(m.parts_n == table[i].parts);
		if (m.defects != table[i].defects || m.parts_n != table[i].parts)
			fprintf(stderr, "row %zu: defects %x parts %zu\n", i, m.defects, m.parts_n);
	}
}

/* Parts whose header meets a boundary: no part reaches out of the one around it. */
static void
parts_without_bodies(void)
{
	struct mime_message m = parsed(STR("Content-Type: multipart/mixed; boundary=x\r\n\r\n"
					   "--x\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n"
					   "--x\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\n"
					   "--x\r\n"
					   "--x--"));
	const struct mime_part *one = m.root->first_child, *two = one->next, *three = two->next;

	EXPECT_STR(one->body, STR("A: b\r\n"));
	EXPECT(one->body_lines == 1);
	EXPECT_STR(one->first_child->header, STR("A: b\r\n"));
	EXPECT_STR(two->body, STR("A: b\r\n\r\n"));
	EXPECT(two->body_lines == 2 && two->first_child->body.n == 0);
	EXPECT(three->header.n == 0 && three->body.n == 0 &&
	       three->defects == MIME_DEFECT_NO_BLANK_LINE);
}

static void
params(void)
{
	static const struct {
		struct str in, name, value;
	} table[] = {
	    /* RFC 2231 3, 4, 4.1 */
	    {STR_INIT("message/external-body; access-type=URL;\r\n URL*0=\"ftp://\";\r\n "
		      "URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\""),
		STR_INIT("url"),
		STR_INIT("ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar")},
	    {STR_INIT(
		 "application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"),
		STR_INIT("title"), STR_INIT("This is ***fun***")},
	    {STR_INIT(
		 "application/x-stuff\r\n ; title*0*=us-ascii'en'This%20is%20even%20more%20\r\n ; "
		 "title*1*=%2A%2A%2Afun%2A%2A%2A%20\r\n ; title*2=\"isn't it!\""),
		STR_INIT("title"), STR_INIT("This is even more ***fun*** isn't it!")},
	    {STR_INIT("a/b; name=\"q\\\"x;y\"; z=1"), STR_INIT("name"), STR_INIT("q\"x;y")},
	    {STR_INIT("a/b; name=my file (1).pdf ; z=1"), STR_INIT("name"),
		STR_INIT("my file (1).pdf")},
	    {STR_INIT("a/b; name=x (comment; with = signs); z=1"), STR_INIT("z"), STR_INIT("1")},
	    {STR_INIT("a/b; name==?iso-8859-1?q?=E4?="), STR_INIT("name"), STR_INIT("\xc3\xa4")},
	    {STR_INIT("a/b; name*=iso-8859-1''%E4; name=a"), STR_INIT("name"),
		STR_INIT("\xc3\xa4")},
	    {STR_INIT("a/b; name*1=b; name*0=a"), STR_INIT("name"), STR_INIT("ab")},
	    {STR_INIT("a/b; name*0=a; name*2=c"), STR_INIT("name"), STR_INIT("a")},
	    {STR_INIT("a/b; name*=plain"), STR_INIT("name"), STR_INIT("plain")},
	    {STR_INIT("a/b;;; name=\"open"), STR_INIT("name"), STR_INIT("open")},
	    {STR_INIT("a / b ; name = x"), STR_INIT("name"), STR_INIT("x")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct buf b;
		struct mime_message m;
		const struct mime_param *p;

		buf_init(&b, 1000);
		(void)buf_put(&b, STR("Content-Type: "));
		(void)buf_put(&b, table[i].in);
		(void)buf_put(&b, STR("\r\n\r\n"));
		m = parsed(buf_str(&b));
		p = mime_param_find(m.root->params, table[i].name);
		EXPECT(p != NULL);
		if (p != NULL)
			EXPECT_STR(p->value, table[i].value);
		buf_fini(&b);
	}
}

static void
part_fields(void)
{
	struct mime_message m =
	    parsed(STR("Content-Type: IMAGE/png; name=b\r\nContent-Disposition: Attachment; "
		       "filename*=utf-8''%E2%82%AC\r\n"
		       "Content-Transfer-Encoding: BASE64 \r\nContent-ID: "
		       "<1@x>\r\nContent-Language: en,\r\n de\r\n"
		       "Content-MD5: Q2hlY2s=\r\nContent-Location: a/b\r\nContent-Description: d "
		       "e\r\n\r\nAAAA"));

	EXPECT(m.root->encoding == MIME_BASE64 && m.defects == 0);
	EXPECT_STR(m.root->disposition, STR("Attachment"));
	EXPECT_STR(mime_part_filename(m.root), STR("\xe2\x82\xac"));
	EXPECT_STR(m.root->id, STR("<1@x>"));
	EXPECT_STR(m.root->language, STR("en,\r\n de"));
	EXPECT_STR(m.root->md5, STR("Q2hlY2s="));
	EXPECT_STR(m.root->location, STR("a/b"));
	EXPECT_STR(m.root->description, STR("d e"));
	EXPECT(m.root->kind == MIME_LEAF && m.root->body_lines == 0);
}

/* "(name|local|domain)" for each, "[group" and "]". */
static void
addresses_write(struct str in, struct buf *out)
{
	struct mime_address *list;

	arena_reset(&arena);
	EXPECT(mime_addresses_parse(in, &arena, &list) == ST_OK);
	for (; list != NULL; list = list->next) {
		switch (list->kind) {
		case MIME_MAILBOX:
			(void)buf_putf(out, "(%.*s|%.*s|%.*s)", STR_ARG(list->name),
			    STR_ARG(list->local), STR_ARG(list->domain));
			break;
		case MIME_GROUP_START:
			(void)buf_putf(out, "[%.*s", STR_ARG(list->name));
			break;
		case MIME_GROUP_END:
			(void)buf_put_c(out, ']');
			break;
		}
	}
}

static void
addresses(void)
{
	static const struct {
		struct str in, out;
	} table[] = {
	    /* RFC 5322 A.1.1 to A.1.3, A.5, A.6.1 */
	    {STR_INIT("John Doe <jdoe@machine.example>"),
		STR_INIT("(John Doe|jdoe|machine.example)")},
	    {STR_INIT("\"Joe Q. Public\" <john.q.public@example.com>"),
		STR_INIT("(Joe Q. Public|john.q.public|example.com)")},
	    {STR_INIT("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>"),
		STR_INIT("(Mary Smith|mary|x.test)(|jdoe|example.org)(Who?|one|y.test)")},
	    {STR_INIT("<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>"),
		STR_INIT("(|boss|nil.test)(Giant; \"Big\" Box|sysservices|example.net)")},
	    {STR_INIT("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;"),
		STR_INIT("[A Group(Ed Jones|c|a.test)(|joe|where.test)(John|jdoe|one.test)]")},
	    {STR_INIT("Undisclosed recipients:;"), STR_INIT("[Undisclosed recipients]")},
	    {STR_INIT("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>"),
		STR_INIT("(Pete|pete|silly.test)")},
	    {STR_INIT("A Group(Some people)\r\n     :Chris Jones <c@(Chris's "
		      "host.)public.example>,\r\n         joe@example.org,\r\n"
		      "  John <jdoe@one.test> (my dear friend); (the end of the group)"),
		STR_INIT("[A Group(Chris "
			 "Jones|c|public.example)(|joe|example.org)(John|jdoe|one.test)]")},
	    {STR_INIT("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;"),
		STR_INIT("[Hidden recipients]")},
	    {STR_INIT("Joe Q. Public <john.q.public@example.com>"),
		STR_INIT("(Joe Q. Public|john.q.public|example.com)")},
	    {STR_INIT("Mary Smith <@node.test,@b:mary@example.net>, , jdoe@test  . example"),
		STR_INIT("(Mary Smith|mary|example.net)(|jdoe|test.example)")},
	    /* RFC 2047 8 */
	    {STR_INIT("=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>"),
		STR_INIT("(Andr\xc3\xa9 Pirard|PIRARD|vm1.ulg.ac.be)")},
	    {STR_INIT("nathan (Nathaniel Borenstein)"), STR_INIT("(Nathaniel Borenstein|nathan|)")},
	    {STR_INIT("a@[IPv6:2001:db8::1]"), STR_INIT("(|a|[IPv6:2001:db8::1])")},
	    {STR_INIT("\"a@b\"@c.test"), STR_INIT("(|a@b|c.test)")},
	    /* What people send. */
	    {STR_INIT(""), STR_INIT("")},
	    {STR_INIT(" , ;, "), STR_INIT("")},
	    {STR_INIT("<>"), STR_INIT("(||)")},
	    {STR_INIT("a@b <a@b>"), STR_INIT("(a@b|a|b)")},
	    {STR_INIT("x <a@b> y <c@d>"), STR_INIT("(x|a|b)(y|c|d)")},
	    {STR_INIT("x <a@b, c@d"), STR_INIT("(x|a|b)(|c|d)")},
	    {STR_INIT("\"open <a@b>"), STR_INIT("(|open <a@b>|)")},
	    {STR_INIT("g: a@b, c: d@e; f@g"), STR_INIT("[g(|a|b)(|c: d|e)](|f|g)")},
	    {STR_INIT("\"=?utf-8?q?=C3=A4?=\" <a@b>"), STR_INIT("(\xc3\xa4|a|b)")},
	    {STR_INIT("\xc3\xa4 <\xc3\xa4@\xc3\xa4.test>"),
		STR_INIT("(\xc3\xa4|\xc3\xa4|\xc3\xa4.test)")},
	};
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_reset(&b);
		addresses_write(table[i].in, &b);
		EXPECT_STR(buf_str(&b), table[i].out);
	}
	buf_fini(&b);
}

static void
addresses_limits(void)
{
	struct mime_address *list;
	struct buf in;
	size_t n = 0;

	buf_init(&in, 100000);
	for (int i = 0; i < MIME_ADDRESSES_MAX; i++)
		(void)buf_put(&in, STR("a@b,"));
	arena_reset(&arena);
	EXPECT(mime_addresses_parse(buf_str(&in), &arena, &list) == ST_OK);
	(void)buf_put(&in, STR("c@d"));
	EXPECT(mime_addresses_parse(buf_str(&in), &arena, &list) == ST_LIMIT);
	for (; list != NULL; list = list->next)
		n++;
	EXPECT(n == MIME_ADDRESSES_MAX);
	/* Comments: one level more than the limit is text of the innermost. */
	for (int depth = MIME_COMMENT_DEPTH_MAX; depth <= MIME_COMMENT_DEPTH_MAX + 1; depth++) {
		buf_reset(&in);
		for (int i = 0; i < depth; i++)
			(void)buf_put_c(&in, '(');
		for (int i = 0; i < depth; i++)
			(void)buf_put_c(&in, ')');
		(void)buf_put(&in, STR("a@b"));
		arena_reset(&arena);
		EXPECT(mime_addresses_parse(buf_str(&in), &arena, &list) == ST_OK && list != NULL);
		EXPECT_STR(list->local, depth > MIME_COMMENT_DEPTH_MAX ? STR(")a") : STR("a"));
	}
	buf_fini(&in);
}

/* Parses what is in b with one limit and tells whether the flag came. */
static bool
flagged(struct buf *b, const struct mime_limits *l, enum mime_defect flag)
{
	struct mime_message m;

	arena_reset(&arena);
	EXPECT(mime_parse(buf_str(b), &arena, l, &m) == ST_OK);
	return (m.defects & flag) != 0;
}

static void
limits_of_trees(void)
{
	struct mime_limits l = mime_limits_default;
	struct buf b;

	buf_init(&b, 1000000);
	(void)buf_put(
	    &b, STR("Content-Type: multipart/mixed; boundary=x\n\n--x\n\n--x\n\n--x--\n"));
	l.parts_max = 3;
	EXPECT(!flagged(&b, &l, MIME_LIMIT_PARTS));
	l.parts_max = 2;
	EXPECT(flagged(&b, &l, MIME_LIMIT_PARTS));
	l.parts_max = 1;
	EXPECT(flagged(&b, &l, MIME_LIMIT_PARTS));
	l = mime_limits_default;
	l.depth_max = 1;
	EXPECT(!flagged(&b, &l, MIME_LIMIT_DEPTH));
	l.depth_max = 0;
	EXPECT(flagged(&b, &l, MIME_LIMIT_DEPTH));
	/* The library's own. */
	for (int extra = 0; extra < 2; extra++) {
		buf_reset(&b);
		for (int i = 0; i < MIME_DEPTH_MAX + extra; i++)
			(void)buf_put(&b, STR("Content-Type: message/rfc822\n\n"));
		(void)buf_put(&b, STR("\n"));
		EXPECT(flagged(&b, NULL, MIME_LIMIT_DEPTH) == (extra == 1));
		buf_reset(&b);
		(void)buf_put(&b, STR("Content-Type: multipart/mixed; boundary=x\n\n"));
		for (int i = 0; i < MIME_PARTS_MAX - 1 + extra; i++)
			(void)buf_put(&b, STR("--x\n\n"));
		(void)buf_put(&b, STR("--x--\n"));
		EXPECT(flagged(&b, NULL, MIME_LIMIT_PARTS) == (extra == 1));
		buf_reset(&b);
		for (int i = 0; i < MIME_HEADERS_MAX + extra; i++)
			(void)buf_put(&b, STR("A: b\n"));
		(void)buf_put(&b, STR("\n"));
		EXPECT(flagged(&b, NULL, MIME_LIMIT_HEADERS) == (extra == 1));
		buf_reset(&b);
		(void)buf_put(&b, STR("A:"));
		while (b.n < MIME_HEADER_BYTES_MAX - 1 + (size_t)extra)
			(void)buf_put_c(&b, 'x');
		(void)buf_put(&b, STR("\n\n"));
		EXPECT(flagged(&b, NULL, MIME_LIMIT_HEADER_BYTES) == (extra == 1));
		buf_reset(&b);
		(void)buf_put(&b, STR("Content-Type: a/b"));
		for (int i = 0; i < MIME_PARAMS_MAX + extra; i++)
			(void)buf_putf(&b, ";p%d=v", i);
		(void)buf_put(&b, STR("\n\n"));
		EXPECT(flagged(&b, NULL, MIME_LIMIT_PARAMS) == (extra == 1));
		buf_reset(&b);
		(void)buf_put(&b, STR("Content-Type: multipart/mixed; boundary="));
		for (int i = 0; i < MIME_BOUNDARY_BYTES_MAX + extra; i++)
			(void)buf_put_c(&b, 'b');
		(void)buf_put(&b, STR("\n\n"));
		EXPECT(flagged(&b, NULL, MIME_DEFECT_NO_BOUNDARY) == (extra == 1));
	}
	buf_fini(&b);
}

static void
param_bytes_limit(void)
{
	struct buf b;

	buf_init(&b, 10000);
	for (size_t extra = 0; extra < 2; extra++) {
		struct mime_message m;

		buf_reset(&b);
		(void)buf_put(&b, STR("Content-Type: a/b; n*=utf-8''"));
		for (size_t i = 0; i < MIME_PARAM_BYTES_MAX + extra; i++)
			(void)buf_put_c(&b, 'v');
		(void)buf_put(&b, STR("\n\n"));
		m = parsed(buf_str(&b));
		EXPECT(
		    m.root->params.n == 1 && m.root->params.v[0].value.n == MIME_PARAM_BYTES_MAX);
	}
	buf_fini(&b);
}

/* Every arena from nothing up gives a sound tree, and enough of it no flag. */
static void
small_arenas(void)
{
	struct str in =
	    STR("Content-Type: multipart/mixed; boundary=x; name*=utf-8''abc\n\n--x\nContent-Type: "
		"message/rfc822\n\n"
		"Content-Type: text/plain; charset=\"a\\\"b\"\n\nx\n--x\nContent-Disposition: "
		"attachment; filename=y\n\n--x--\n");
	bool was_ok = false;

	for (size_t max = 16; max < 4096; max += 16) {
		struct arena a;
		struct mime_message m;
		enum status st;
		size_t n = 0;

		arena_init(&a, max);
		st = mime_parse(in, &a, NULL, &m);
		EXPECT(st == ST_OK || (st == ST_LIMIT && (m.defects & MIME_LIMIT_ARENA) != 0));
		EXPECT(!was_ok || st == ST_OK);
		was_ok = st == ST_OK;
		for (const struct mime_part *p = m.root; p != NULL; p = mime_part_next(p, m.root))
			n++;
		EXPECT(n == m.parts_n);
		arena_fini(&a);
	}
	EXPECT(was_ok);
}

static void
text_of_parts(void)
{
	struct mime_message m =
	    parsed(STR("Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: "
		       "quoted-printable\n\n=E4=\n=F6\n"));
	struct buf b;

	buf_init(&b, 100);
	EXPECT(mime_part_text(m.root, &b) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("\xc3\xa4\xc3\xb6\n"));
	buf_fini(&b);
}

/* ---- published messages, with another parser's view of them ---- */

static bool
file_read(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	char *w;
	size_t n;

	buf_reset(out);
	if (f == NULL)
		return false;
	while ((w = buf_reserve(out, 65536)) != NULL && (n = fread(w, 1, 65536, f)) > 0)
		buf_commit(out, n);
	fclose(f);
	return true;
}

/* The next number behind "key": in the JSON. */
static bool
json_number_next(struct cur *c, struct str key, uint64_t *out)
{
	struct str rest = cur_rest(c);
	size_t at = str_find(rest, key);

	if (at == rest.n)
		return false;
	cur_skip(c, at + key.n);
	while (cur_peek(c) == ' ' || cur_peek(c) == ':' || cur_peek(c) == '"')
		cur_skip(c, 1);
	return cur_u64(c, out);
}

static int
offset_compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Where each part's body starts, messages inside messages too: the same set on both sides. The
 * other parser decodes a base64 message/rfc822 (which RFC 2046 5.2.1 forbids) and walks it; we do
 * not.
 */
static bool
suite_agrees(const struct mime_message *m, struct str json)
{
	uint64_t theirs[MIME_PARTS_MAX], ours[MIME_PARTS_MAX];
	struct cur c = cur_of(json);
	size_t n = 0, ours_n = 0;

	while (n < MIME_PARTS_MAX && json_number_next(&c, STR("\"offset_body\""), &theirs[n]))
		n++;
	for (const struct mime_part *p = m->root; p != NULL; p = mime_part_next(p, m->root))
		ours[ours_n++] = (uint64_t)(p->body.p - m->bytes.p);
	qsort(theirs, n, sizeof(theirs[0]), offset_compare);
	qsort(ours, ours_n, sizeof(ours[0]), offset_compare);
	return n == ours_n && memcmp(theirs, ours, n * sizeof(ours[0])) == 0;
}

/* There is one view of the message with LF and one with CRLF; the file is one of them. */
static bool
suite_file_agrees(
    const char *suites, const char *folder, int i, const struct mime_message *m, struct buf *json)
{
	static const char *const endings[] = {"json", "crlf.json"};

	for (size_t k = 0; k < COUNT_OF(endings); k++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/mime/%s/%03d.%s", suites, folder, i, endings[k]);
		if (file_read(path, json) && suite_agrees(m, buf_str(json)))
			return true;
	}
	return false;
}

static void
suite_folder(const char *suites, const char *folder)
{
	struct buf eml, json;
	size_t agree = 0, files = 0;

	buf_init(&eml, 16 * 1024 * 1024);
	buf_init(&json, 16 * 1024 * 1024);
	for (int i = 0; i < 200; i++) {
		char path[512];
		struct mime_message m;

		snprintf(path, sizeof(path), "%s/mime/%s/%03d.eml", suites, folder, i);
		if (!file_read(path, &eml))
			continue;
		files++;
		m = parsed(buf_str(&eml));
		EXPECT((m.defects & MIME_LIMIT_ANY) == 0);
		if (suite_file_agrees(suites, folder, i, &m, &json))
			agree++;
		else
			printf("mime/%s/%03d.eml: other parts than the other parser\n", folder, i);
	}
	printf("mime/%s: %zu messages, %zu with the same parts as the other parser\n", folder,
	    files, agree);
	buf_fini(&eml);
	buf_fini(&json);
}

static void
published_messages(void)
{
	const char *suites = getenv("POSTHORN_SUITES");
	char path[512];
	DIR *dir = NULL;

	if (suites != NULL) {
		snprintf(path, sizeof(path), "%s/mime", suites);
		dir = opendir(path);
	}
	if (dir == NULL) {
		printf(
		    "skipped: published messages (POSTHORN_SUITES names no folder with mime/)\n");
		return;
	}
	closedir(dir);
	suite_folder(suites, "rfc");
	suite_folder(suites, "legacy");
}

int
main(void)
{
	arena_init(&arena, 16 * 1024 * 1024);
	UNIT(header_fields);
	UNIT(encoded_words);
	UNIT(encoded_words_limits);
	UNIT(charsets);
	UNIT(bodies);
	UNIT(space_held_back_limit);
	UNIT(multipart_example);
	UNIT(nesting);
	UNIT(broken_trees);
	UNIT(parts_without_bodies);
	UNIT(params);
	UNIT(part_fields);
	UNIT(addresses);
	UNIT(addresses_limits);
	UNIT(limits_of_trees);
	UNIT(param_bytes_limit);
	UNIT(small_arenas);
	UNIT(text_of_parts);
	UNIT(published_messages);
	arena_fini(&arena);
	return unit_end();
}
