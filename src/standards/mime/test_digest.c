/* The digest: IMAP's examples, previews, threads, dates, the record and its caps. */
#include <stdlib.h>

#include "base/num.h"
#include "base/unit.h"
#include "base/utf8.h"
#include "standards/mime/mime_digest.h"
#include "standards/mime/mime_internal.h"

static struct arena arena;
static struct buf record;

static struct mime_digest
digest_of(struct str message)
{
	struct mime_digest d = {0};

	arena_reset(&arena);
	buf_reset(&record);
	EXPECT(mime_digest_make(message, &arena, &record) == ST_OK);
	EXPECT(mime_digest_read(buf_str(&record), &d) == ST_OK);
	return d;
}

static void
envelopes(void)
{
	static const struct {
		struct str in, out;
	} table[] = {
	    /* RFC 9051 8 */
	    {STR_INIT(
		 "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray "
		 "<gray@cac.washington.edu>\r\n"
		 "Subject: IMAP4rev2 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n"
		 "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\nMessage-Id: "
		 "<B27397-0100000@cac.washington.edu>\r\n\r\n"),
		STR_INIT("(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev2 WG mtg summary "
			 "and minutes\" "
			 "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" "
			 "NIL \"gray\" \"cac.washington.edu\")) "
			 "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL "
			 "\"imap\" \"cac.washington.edu\")) "
			 "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL "
			 "\"KLENSIN\" \"MIT.EDU\")) NIL NIL "
			 "\"<B27397-0100000@cac.washington.edu>\")")},
	    /* Absent is NIL, empty is "". */
	    {STR_INIT("\r\n"), STR_INIT("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)")},
	    {STR_INIT("Subject:\r\nFrom: \r\nDate: \r\n\r\n"),
		STR_INIT("(\"\" \"\" NIL NIL NIL NIL NIL NIL NIL NIL)")},
	    /* Groups (RFC 9051 7.5.2), a folded subject, what needs a backslash, Reply-To of its
	       own. */
	    {STR_INIT("To: G: a@b, c;\r\nFrom: \"q\\\"\\\\\" <f@g>\r\nReply-To: "
		      "r@s\r\nSender:\r\nSubject: a \"b\"\r\n c\\\r\n\r\n"),
		STR_INIT("(NIL \"a \\\"b\\\" c\\\\\" ((\"q\\\"\\\\\" NIL \"f\" \"g\")) "
			 "((\"q\\\"\\\\\" NIL \"f\" \"g\")) ((NIL NIL \"r\" \"s\")) "
			 "((NIL NIL \"G\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"\")(NIL NIL "
			 "NIL NIL)) NIL NIL NIL NIL)")},
	    /* Encoded words stay; 8-bit goes into a literal; the first field of a name counts. */
	    {STR_INIT("Subject: \xc3\xa4\"\r\nSubject: x\r\nIn-Reply-To: <=?a>\r\nTo: "
		      "=?utf-8?q?=C3=A4?= <\xc3\xa4@b>\r\n\r\n"),
		STR_INIT("(NIL {3}\r\n\xc3\xa4\" NIL NIL NIL ((\"=?utf-8?q?=C3=A4?=\" NIL "
			 "{2}\r\n\xc3\xa4 \"b\")) NIL NIL \"<=?a>\" NIL)")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		EXPECT_STR(digest_of(table[i].in).envelope, table[i].out);
	/* A NUL can be sent in no string at all. */
	EXPECT_STR(
	    str_take(digest_of(STR("Subject: a\0b\r\n\r\n")).envelope, 11), STR("(NIL \"ab\" N"));
}

static void
structures(void)
{
	static const struct {
		struct str in, out;
	} table[] = {
	    {STR_INIT("\r\nx\r\n"), STR_INIT("(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL "
					     "NIL \"7BIT\" 3 1 NIL NIL NIL NIL)")},
	    {STR_INIT("Content-Type: IMAGE/PNG; NAME=a\r\nContent-ID: <i>\r\nContent-Description: "
		      "d\r\nContent-Transfer-Encoding: BASE64\r\n"
		      "Content-MD5: m\r\nContent-Disposition: inline; filename=\"a "
		      "b\"\r\nContent-Language: en, de\r\nContent-Location: l\r\n\r\nAA"),
		STR_INIT("(\"IMAGE\" \"PNG\" (\"NAME\" \"a\") \"<i>\" \"d\" \"BASE64\" 2 \"m\" "
			 "(\"inline\" (\"filename\" \"a b\")) "
			 "(\"en\" \"de\") \"l\")")},
	    /* The shape of RFC 9051 7.5.2's second example. */
	    {STR_INIT("Content-Type: MULTIPART/MIXED; BOUNDARY=b\r\n\r\n--b\r\nContent-Type: "
		      "TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\na\r\n\r\n--b\r\n"
		      "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII; NAME=\"cc.diff\"\r\nContent-ID: "
		      "<960723163407.20117h@cac.washington.edu>\r\n"
		      "Content-Description: Compiler diff\r\nContent-Transfer-Encoding: "
		      "BASE64\r\n\r\nAAAA\r\nAA==\r\n--b--\r\n"),
		STR_INIT("((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3 1 NIL "
			 "NIL NIL NIL)"
			 "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") "
			 "\"<960723163407.20117h@cac.washington.edu>\" "
			 "\"Compiler diff\" \"BASE64\" 10 1 NIL NIL NIL NIL) \"MIXED\" "
			 "(\"BOUNDARY\" \"b\") NIL NIL NIL)")},
	    {STR_INIT("Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nx\r\n"),
		STR_INIT("(\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 17 (NIL \"s\" NIL NIL NIL "
			 "NIL NIL NIL NIL NIL) "
			 "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3 1 NIL "
			 "NIL NIL NIL) 3 NIL NIL NIL NIL)")},
	    /* RFC 2231 continuations are joined, charsets told as UTF-8. */
	    {STR_INIT("Content-Type: a/b; n*0=x; n*1=y; "
		      "m*=iso-8859-1'en'%E4%20\r\nContent-Language: en\r\n\r\n"),
		STR_INIT("(\"a\" \"b\" (\"n\" \"xy\" \"m*\" \"utf-8'en'%C3%A4%20\") NIL NIL "
			 "\"7BIT\" 0 NIL NIL (\"en\") NIL)")},
	    /* What could not be walked has the form of a plain part. */
	    {STR_INIT(
		 "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA"),
		STR_INIT(
		    "(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"base64\" 4 NIL NIL NIL NIL)")},
	    {STR_INIT("Content-Type: multipart/mixed; boundary=b\r\n\r\nx"),
		STR_INIT("(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1 0 NIL "
			 "NIL NIL NIL)")},
	};
	struct mime_message m;
	struct buf b;

	for (size_t i = 0; i < COUNT_OF(table); i++)
		EXPECT_STR(digest_of(table[i].in).bodystructure, table[i].out);
	buf_init(&b, 1000);
	arena_reset(&arena);
	EXPECT(mime_parse(table[2].in, &arena, NULL, &m) == ST_OK);
	EXPECT(mime_body_put(&m, &arena, &b) == ST_OK);
	EXPECT_STR(
	    buf_str(&b), STR("((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3 1)"
			     "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") "
			     "\"<960723163407.20117h@cac.washington.edu>\" \"Compiler diff\" "
			     "\"BASE64\" 10 1) \"MIXED\")"));
	buf_fini(&b);
}

static void
previews(void)
{
	static const struct {
		struct str in, out;
	} table[] = {
	    {STR_INIT("\r\n  Hello,\r\n\r\n\tworld \r\n"), STR_INIT("Hello, world")},
	    {STR_INIT("Content-Type: "
		      "text/html\r\n\r\n<html><head><title>No</title><style>b{c}</style></"
		      "head><!-- no > -->"
		      "<p>A<b>B</b>C</p><div>x &amp; y&nbsp;&#228;&#x20ac;&bogus; 1 < 2</div><a "
		      "href='>'>z</a><script>if(a<b)</script>"),
		STR_INIT("ABC x & y \xc3\xa4\xe2\x82\xac&bogus; 1 < 2 z")},
	    {STR_INIT("Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n  "
		      "\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>h\r\n--b--"),
		STR_INIT("h")},
	    {STR_INIT(
		 "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: "
		 "attachment\r\n\r\nno\r\n--b\r\n"
		 "Content-Type: message/rfc822\r\n\r\n\r\nno\r\n--b\r\n\r\nyes\r\n--b--"),
		STR_INIT("yes")},
	    {STR_INIT("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
		      "base64\r\n\r\n4oKsIHg="),
		STR_INIT("\xe2\x82\xac x")},
	    /* Padding that nobody sees, a line that would run backwards. */
	    {STR_INIT("Content-Type: text/html; charset=utf-8\r\n\r\na&zwnj; "
		      "&zwnj;&nbsp;\xcd\x8f\xe2\x80\xae"
		      "b"),
		STR_INIT("a\xe2\x80\x8c b")},
	    {STR_INIT("Content-Type: image/png\r\n\r\nAAAA"), STR_INIT("")},
	};
	struct buf b;

	for (size_t i = 0; i < COUNT_OF(table); i++)
		EXPECT_STR(digest_of(table[i].in).preview, table[i].out);
	/* 256 bytes, and a character that would cross the border is left out. */
	buf_init(&b, 10000);
	for (size_t n = MIME_PREVIEW_BYTES_MAX; n <= MIME_PREVIEW_BYTES_MAX + 1; n++) {
		buf_reset(&b);
		(void)buf_put(&b, STR("\r\n"));
		for (size_t i = 0; i < n; i++)
			(void)buf_put_c(&b, 'x');
		EXPECT(digest_of(buf_str(&b)).preview.n == MIME_PREVIEW_BYTES_MAX);
		b.n = MIME_PREVIEW_BYTES_MAX + 1;
		(void)buf_put(&b, STR("\xc3\xa4"));
		EXPECT(digest_of(buf_str(&b)).preview.n == MIME_PREVIEW_BYTES_MAX - 1);
	}
	/* Text far behind is found on a second reading. */
	buf_reset(&b);
	(void)buf_put(&b, STR("\r\n"));
	while (b.n < MIME_PREVIEW_READ_BYTES * 2)
		(void)buf_put(&b, STR(" \r\n"));
	(void)buf_put(&b, STR("far"));
	EXPECT_STR(digest_of(buf_str(&b)).preview, STR("far"));
	buf_fini(&b);
}

static void
base_subjects(void)
{
	static const struct {
		struct str in, out;
		bool is_reply;
	} table[] = {
	    {STR_INIT("Test"), STR_INIT("Test"), false},
	    {STR_INIT("Re: Test"), STR_INIT("Test"), true},
	    {STR_INIT("Re: re:  RE[2]: fwd :FW: Test"), STR_INIT("Test"), true},
	    {STR_INIT("[list] Re: [x] Test (fwd) (FWD) "), STR_INIT("Test"), true},
	    {STR_INIT("[blob]"), STR_INIT("[blob]"), false},
	    {STR_INIT("[a] [b]"), STR_INIT("[b]"), false},
	    {STR_INIT("[fwd: Re: Test]"), STR_INIT("Test"), true},
	    {STR_INIT("[Fwd: [fwd: a\tb]]"), STR_INIT("a b"), true},
	    {STR_INIT("Reply"), STR_INIT("Reply"), false},
	    {STR_INIT("Re:"), STR_INIT(""), true},
	    {STR_INIT("=?utf-8?q?Re=3A_x?=\r\n  y"), STR_INIT("x y"), true},
	};
	struct buf b;

	buf_init(&b, MIME_SUBJECT_BYTES_MAX);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		bool is_reply;

		buf_reset(&b);
		EXPECT(mime_base_subject(table[i].in, &b, &is_reply) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].out);
		EXPECT(is_reply == table[i].is_reply);
	}
	buf_fini(&b);
}

static void
thread_keys(void)
{
	struct mime_digest a = digest_of(STR("Message-ID: <a@x>\r\nSubject: Hello\r\n\r\n"));
	struct mime_digest b =
	    digest_of(STR("Message-ID: <b@x>\r\nIn-Reply-To: <\"a\"@x> (comment)\r\nReferences: "
			  "<r1@x>\r\n <r2@x> <a@x>\r\nSubject: RE: hello\r\n\r\n"));
	struct buf m;

	EXPECT(a.thread_keys_n == 1 && (a.flags & MIME_DIGEST_HAS_MESSAGE_ID) != 0);
	EXPECT(b.thread_keys_n == 4 && b.thread_keys[1] == a.thread_keys[0]);
	EXPECT(b.thread_keys[2] == digest_of(STR("Message-ID: <r2@x>\r\n\r\n")).thread_keys[0]);
	EXPECT(a.subject_key == b.subject_key && (b.flags & MIME_DIGEST_IS_REPLY) != 0 &&
	       (a.flags & MIME_DIGEST_IS_REPLY) == 0);
	EXPECT(digest_of(STR("Message-ID: none\r\n\r\n")).thread_keys_n == 0);
	/* The newest are kept. */
	buf_init(&m, 10000);
	for (int n = MIME_THREAD_KEYS_MAX; n <= MIME_THREAD_KEYS_MAX + 1; n++) {
		buf_reset(&m);
		(void)buf_put(&m, STR("References:"));
		for (int i = 0; i < n; i++)
			(void)buf_putf(&m, " <%d@x>", i);
		(void)buf_put(&m, STR("\r\n\r\n"));
		b = digest_of(buf_str(&m));
		EXPECT(b.thread_keys_n == MIME_THREAD_KEYS_MAX &&
		       (b.flags & MIME_DIGEST_HAS_MESSAGE_ID) == 0);
		buf_reset(&m);
		(void)buf_putf(&m, "Message-ID: <%d@x>\r\n\r\n", n - 1);
		EXPECT(digest_of(buf_str(&m)).thread_keys[0] == b.thread_keys[0]);
	}
	buf_fini(&m);
}

static void
dates(void)
{
	static const struct {
		struct str in;
		enum status st;
		int64_t seconds;
		int minutes;
	} table[] = {
	    {STR_INIT("Fri, 21 Nov 1997 09:55:06 -0600"), ST_OK, 880127706, -360},
	    {STR_INIT("Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n        "
		      "       -0330 (Newfoundland Time)"),
		ST_OK, -27723480, -210},
	    {STR_INIT("21 Nov 97 09:55:06 GMT"), ST_OK, 880106106, 0},
	    {STR_INIT("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600"), ST_OK, 880127706, -360},
	    {STR_INIT("1 Jan 1970 00:00 +0100"), ST_OK, -3600, 60},
	    {STR_INIT("29-Feb-2000 12:00:00 EST"), ST_OK, 951843600, -300},
	    {STR_INIT("Fri, 32 Nov 1997 09:55:06 -0600"), ST_SYNTAX, 0, 0},
	    {STR_INIT("yesterday"), ST_SYNTAX, 0, 0},
	    {STR_INIT(""), ST_SYNTAX, 0, 0},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		int64_t seconds = 0;
		int minutes = 0;

		EXPECT(mime_date_parse(table[i].in, &seconds, &minutes) == table[i].st);
		EXPECT(seconds == table[i].seconds && minutes == table[i].minutes);
		if (seconds != table[i].seconds)
			fprintf(stderr, "row %zu: %lld\n", i, (long long)seconds);
	}
}

static void
attachments(void)
{
	static const struct {
		struct str in;
		bool has;
	} table[] = {
	    {STR_INIT("\r\nx"), false},
	    {STR_INIT("Content-Type: application/pdf\r\n\r\nx"), true},
	    {STR_INIT("Content-Type: multipart/mixed; "
		      "boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Disposition: "
		      "attachment\r\n\r\n--b--"),
		true},
	    {STR_INIT("Content-Type: multipart/related; boundary=b\r\n\r\n--b\r\nContent-Type: "
		      "text/html\r\n\r\nx\r\n--b\r\n"
		      "Content-Type: image/png\r\nContent-ID: <i>\r\n\r\n--b--"),
		false},
	    {STR_INIT("Content-Type: multipart/signed; "
		      "boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: "
		      "application/pgp-signature\r\n\r\n--b--"),
		false},
	    {STR_INIT("Content-Type: multipart/report; "
		      "boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: "
		      "message/delivery-status\r\n\r\n"
		      "--b\r\nContent-Type: message/rfc822\r\n\r\n\r\nx\r\n--b--"),
		false},
	    {STR_INIT("Content-Type: multipart/mixed; "
		      "boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: "
		      "message/rfc822\r\n\r\n\r\n--b--"),
		true},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		EXPECT(((digest_of(table[i].in).flags & MIME_DIGEST_HAS_ATTACHMENT) != 0) ==
		       table[i].has);
}

static void
record_of_a_message(void)
{
	/* FIPS 180-2 B.1 */
	static const uint8_t sha_abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41,
	    0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a,
	    0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
	struct mime_digest d = digest_of(STR("abc"));

	EXPECT(memcmp(d.sha256, sha_abc, sizeof(sha_abc)) == 0);
	EXPECT(d.size_bytes == 3 && (d.flags & MIME_DIGEST_HAS_DEFECT) != 0 &&
	       (d.flags & MIME_DIGEST_HAS_DATE) == 0);
	d = digest_of(STR("Date: 1 Jan 1970 00:00:09 -0130\r\n\r\n"));
	EXPECT((d.flags & MIME_DIGEST_HAS_DATE) != 0 && d.date_unix_seconds == 5409 &&
	       d.date_offset_minutes == -90);
}

static void
malformed_records(void)
{
	struct mime_digest d;
	struct buf copy;

	(void)digest_of(STR("Message-ID: <a@b>\r\n\r\nabc"));
	buf_init(&copy, MIME_DIGEST_BYTES_MAX);
	for (size_t n = 0; n < record.n; n++)
		EXPECT(mime_digest_read(str_take(buf_str(&record), n), &d) == ST_SYNTAX);
	(void)buf_put(&copy, buf_str(&record));
	(void)buf_put_c(&copy, 'x');
	EXPECT(mime_digest_read(buf_str(&copy), &d) == ST_SYNTAX);
	copy.n--;
	copy.p[1] = MIME_THREAD_KEYS_MAX + 1;
	EXPECT(mime_digest_read(buf_str(&copy), &d) == ST_SYNTAX);
	copy.p[1] = 1;
	copy.p[3] = 0x7f;
	EXPECT(mime_digest_read(buf_str(&copy), &d) == ST_SYNTAX);
	copy.p[0] = 2;
	EXPECT(mime_digest_read(buf_str(&copy), &d) == ST_UNSUPPORTED);
	buf_fini(&copy);
}

/* Messages too large for their shares: cut, flagged, and whole by the other way. */
static void
caps(void)
{
	struct mime_message parsed;
	struct mime_digest d;
	struct buf m, whole;

	buf_init(&m, 1000000);
	buf_init(&whole, 1000000);
	(void)buf_put(&m, STR("Subject: "));
	for (int i = 0; i < 500; i++)
		(void)buf_put_c(&m, '"');
	(void)buf_put(&m, STR("\r\nTo: a@b"));
	for (int i = 0; i < 900; i++)
		(void)buf_putf(&m, ",\r\n a%d@example.org", i);
	(void)buf_put(&m, STR("\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"));
	for (int i = 0; i < 80; i++)
		(void)buf_put(
		    &m, STR("--b\r\nContent-Type: a/b; name=0123456789; "
			    "other=01234567890123456789012345678901234567890123456789\r\nContent-"
			    "Description: d\r\n\r\n"));
	d = digest_of(buf_str(&m));
	EXPECT((d.flags & (MIME_DIGEST_ENVELOPE_CUT | MIME_DIGEST_BODYSTRUCTURE_CUT)) ==
	       (MIME_DIGEST_ENVELOPE_CUT | MIME_DIGEST_BODYSTRUCTURE_CUT));
	EXPECT(d.envelope.n <= MIME_DIGEST_ENVELOPE_BYTES_MAX && d.envelope.n > 1000);
	EXPECT(d.bodystructure.n <= MIME_DIGEST_BODYSTRUCTURE_BYTES_MAX &&
	       str_find(d.bodystructure, STR("other")) == d.bodystructure.n);
	EXPECT(str_find(d.bodystructure, STR("0123456789")) < d.bodystructure.n);
	arena_reset(&arena);
	EXPECT(mime_parse(buf_str(&m), &arena, NULL, &parsed) == ST_OK);
	EXPECT(mime_envelope_put(&parsed, &arena, &whole) == ST_OK &&
	       str_find(buf_str(&whole), STR("\"a899\"")) < whole.n);
	buf_reset(&whole);
	EXPECT(mime_bodystructure_put(&parsed, &arena, &whole) == ST_OK &&
	       whole.n > MIME_DIGEST_BODYSTRUCTURE_BYTES_MAX);
	for (int i = 0; i < 600; i++)
		(void)buf_put(&m, STR("--b\r\n\r\n"));
	d = digest_of(buf_str(&m));
	EXPECT(str_has_prefix(d.bodystructure, STR("(\"APPLICATION\" \"OCTET-STREAM\" ")));
	/* The worst: every field is one long string of characters that need an escape. */
	buf_reset(&m);
	static const char *const names[] = {"Date", "Subject", "From", "Sender", "Reply-To", "To",
	    "Cc", "Bcc", "In-Reply-To", "Message-ID"};
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		(void)buf_putf(&m, "%s:", names[i]);
		for (int k = 0; k < 20; k++) {
			(void)buf_put_c(&m, ' ');
			for (int j = 0; j < 400; j++)
				(void)buf_put(&m, STR("\\\\"));
			(void)buf_put(&m, STR("<a@b>,"));
		}
		(void)buf_put(&m, STR("\r\n"));
	}
	d = digest_of(buf_str(&m));
	EXPECT((d.flags & MIME_DIGEST_ENVELOPE_CUT) != 0 && d.envelope.n > 3000);
	/* No room in out: nothing is appended. */
	buf_fini(&whole);
	buf_init(&whole, 100);
	arena_reset(&arena);
	EXPECT(mime_digest_make(STR("\r\n"), &arena, &whole) == ST_LIMIT && whole.n == 0);
	buf_fini(&m);
	buf_fini(&whole);
}

/* A subject that fits its share is whole, and one byte more is cut at the latest when it does not.
 */
static void
envelope_share(void)
{
	bool was_cut = false;
	struct buf m;

	buf_init(&m, MIME_DIGEST_ENVELOPE_BYTES_MAX * 2);
	for (size_t n = MIME_DIGEST_ENVELOPE_BYTES_MAX / 2 - 200;
	     n < MIME_DIGEST_ENVELOPE_BYTES_MAX + 10; n++) {
		struct mime_digest d;
		bool is_cut;

		buf_reset(&m);
		(void)buf_put(&m, STR("Subject: "));
		while (m.n < n)
			(void)buf_put_c(&m, 'x');
		(void)buf_put(&m, STR("\r\n\r\n"));
		d = digest_of(buf_str(&m));
		is_cut = (d.flags & MIME_DIGEST_ENVELOPE_CUT) != 0;
		EXPECT(d.envelope.n <= MIME_DIGEST_ENVELOPE_BYTES_MAX && (is_cut || !was_cut));
		EXPECT(is_cut == (d.envelope.n < n - 9));
		was_cut = is_cut;
	}
	EXPECT(was_cut);
	buf_fini(&m);
}

static void
subject_limit(void)
{
	struct buf in, out;
	bool is_reply;

	buf_init(&in, MIME_SUBJECT_BYTES_MAX + 1);
	buf_init(&out, MIME_SUBJECT_BYTES_MAX + 1);
	while (in.n < MIME_SUBJECT_BYTES_MAX)
		(void)buf_put_c(&in, 'x');
	EXPECT(mime_base_subject(buf_str(&in), &out, &is_reply) == ST_OK &&
	       out.n == MIME_SUBJECT_BYTES_MAX);
	(void)buf_put_c(&in, 'x');
	buf_reset(&out);
	EXPECT(mime_base_subject(buf_str(&in), &out, &is_reply) == ST_OK &&
	       out.n == MIME_SUBJECT_BYTES_MAX);
	buf_fini(&in);
	buf_fini(&out);
}

static void
small_arenas(void)
{
	struct str in = STR("From: a <b@c>\r\nSubject: folded\r\n subject\r\nContent-Type: "
			    "multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--");

	for (size_t max = 0; max < 4096; max += 16) {
		struct mime_digest d;
		struct arena a;
		struct buf b;

		arena_init(&a, max);
		buf_init(&b, MIME_DIGEST_BYTES_MAX);
		EXPECT(mime_digest_make(in, &a, &b) == ST_OK);
		EXPECT(mime_digest_read(buf_str(&b), &d) == ST_OK);
		EXPECT(
		    !a.full || (d.flags & (MIME_DIGEST_TREE_CUT | MIME_DIGEST_ENVELOPE_CUT)) != 0);
		arena_fini(&a);
		buf_fini(&b);
	}
}

int
main(void)
{
	mime_digest_preload();
	arena_init(&arena, MIME_DIGEST_ARENA_BYTES);
	buf_init(&record, MIME_DIGEST_BYTES_MAX);
	UNIT(envelopes);
	UNIT(structures);
	UNIT(previews);
	UNIT(base_subjects);
	UNIT(thread_keys);
	UNIT(dates);
	UNIT(attachments);
	UNIT(record_of_a_message);
	UNIT(malformed_records);
	UNIT(caps);
	UNIT(envelope_share);
	UNIT(subject_limit);
	UNIT(small_arenas);
	arena_fini(&arena);
	buf_fini(&record);
	return unit_end();
}
