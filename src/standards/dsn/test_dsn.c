/* Notices: the examples of RFC 3464, what strangers try, the rules, and what is read back. */
#include "base/num.h"
#include "base/unit.h"
#include "base/utf8.h"
#include "standards/dsn/dsn_internal.h"
#include "standards/mime/mime.h"

#define T0 1795442312 /* Mon, 23 Nov 2026 13:58:32 +0000 */

static const struct dsn_rcpt unknown_user = {.action = DSN_FAILED,
    .path = STR_INIT("bob@example.net"),
    .orcpt = STR_INIT("rfc822;bob@example.net"),
    .code = 550,
    .enhanced = {5, 1, 1},
    .reply_text = STR_INIT("5.1.1 <bob@example.net>: no such user here"),
    .remote_mta = STR_INIT("mx.example.net"),
    .remote_ip = STR_INIT("192.0.2.1"),
    .last_attempt_s = T0};

static struct dsn
notice_of(const struct dsn_rcpt *rcpts, size_t n)
{
	return (struct dsn){.hostname = STR("mail.example.org"),
	    .postmaster = STR("postmaster@example.org"),
	    .to = STR("alice@example.org"),
	    .envid = STR("QQ+2B314159"),
	    .message_id = STR("n1@mail.example.org"),
	    .boundary = STR("b0undary"),
	    .arrival_s = T0 - 60,
	    .now_s = T0,
	    .rcpts = rcpts,
	    .rcpts_n = n,
	    .original_header = STR("From: alice@example.org\r\nSubject: Lunch\r\n"
				   "Message-ID: <m1@example.org>\r\n\r\n"),
	    .original_body = STR("Shall we?\r\n"),
	    .is_full_wanted = true,
	    .subject = STR("Lunch")};
}

/* A notice, parsed: exactly three parts. */
struct written {
	struct buf out, human;
	struct arena a;
	struct mime_message m;
	const struct mime_part *parts[3];
	struct dsn_report report;
};

static void
write_notice(struct written *w, const struct dsn *d)
{
	const struct mime_part *p;
	struct buf status;
	struct str text;
	size_t n = 0;

	buf_init(&w->out, 16 << 20);
	buf_init(&w->human, 16 << 20);
	buf_init(&status, 16 << 20);
	arena_init(&w->a, 16 << 20);
	EXPECT(dsn_write(d, &w->out) == ST_OK);
	EXPECT(dsn_lines_are_clean(buf_str(&w->out)));
	EXPECT(mime_parse(buf_str(&w->out), &w->a, NULL, &w->m) == ST_OK);
	EXPECT(w->m.root->defects == 0 && mime_part_is(w->m.root, STR("multipart"), STR("report")));
	for (p = w->m.root->first_child; p != NULL; p = p->next, n++)
		if (n < 3)
			w->parts[n] = p;
	EXPECT(n == 3);
	EXPECT(mime_part_is(w->parts[0], STR("text"), STR("plain")));
	EXPECT(mime_part_text(w->parts[0], &w->human) == ST_OK);
	EXPECT(mime_body_decode(w->parts[1]->encoding, w->parts[1]->body, &status) == ST_OK);
	EXPECT(arena_str(&w->a, buf_str(&status), &text) == ST_OK);
	EXPECT(dsn_parse(text, &w->a, &w->report) == ST_OK);
	EXPECT(w->report.rcpts_n == d->rcpts_n);
	buf_fini(&status);
}

static void
written_fini(struct written *w)
{
	buf_fini(&w->out);
	buf_fini(&w->human);
	arena_fini(&w->a);
}

static bool
has(struct str s, struct str needle)
{
	return str_find(s, needle) < s.n;
}

/* The human part with its line ends as spaces, so that a sentence is found however it is wrapped.
 */
static bool
says(struct written *w, struct str sentence)
{
	struct buf flat;
	bool found;

	buf_init(&flat, 16 << 20);
	dsn_clean_put(&flat, buf_str(&w->human), w->human.n, true);
	found = has(buf_str(&flat), sentence);
	buf_fini(&flat);
	return found;
}

static struct str
field(struct written *w, const char *name)
{
	struct mime_header h;

	return mime_header_find(w->m.root->header, str_of_c(name), &h) ? str_trim(h.value)
								       : STR_NULL;
}

/* ---- writing ---- */

static void
writes_a_failure_whole(void)
{
	struct dsn d = notice_of(&unknown_user, 1);
	struct written w;

	write_notice(&w, &d);
	EXPECT_STR(field(&w, "From"), STR("Mail Delivery System <postmaster@example.org>"));
	EXPECT_STR(field(&w, "To"), STR("<alice@example.org>"));
	EXPECT_STR(field(&w, "Subject"), STR("Not delivered: Lunch"));
	EXPECT_STR(field(&w, "Date"), STR("Mon, 23 Nov 2026 13:58:32 +0000"));
	EXPECT_STR(field(&w, "Message-ID"), STR("<n1@mail.example.org>"));
	EXPECT_STR(field(&w, "In-Reply-To"), STR("<m1@example.org>"));
	EXPECT_STR(field(&w, "References"), STR("<m1@example.org>"));
	EXPECT_STR(field(&w, "Auto-Submitted"), STR("auto-replied"));
	EXPECT_STR(
	    mime_param_find(w.m.root->params, STR("report-type"))->value, STR("delivery-status"));
	EXPECT(mime_part_is(w.parts[1], STR("message"), STR("delivery-status")));
	EXPECT_STR(w.parts[1]->body,
	    STR("Original-Envelope-Id: QQ+314159\r\n"
		"Reporting-MTA: dns; mail.example.org\r\n"
		"Arrival-Date: Mon, 23 Nov 2026 13:57:32 +0000\r\n"
		"\r\n"
		"Original-Recipient: rfc822;bob@example.net\r\n"
		"Final-Recipient: rfc822;bob@example.net\r\n"
		"Action: failed\r\n"
		"Status: 5.1.1\r\n"
		"Remote-MTA: dns; mx.example.net (192.0.2.1)\r\n"
		"Diagnostic-Code: smtp; 550 5.1.1 <bob@example.net>: no such user here\r\n"
		"Last-Attempt-Date: Mon, 23 Nov 2026 13:58:32 +0000\r\n"));
	EXPECT(mime_part_is(w.parts[2], STR("message"), STR("rfc822")));
	EXPECT_STR(w.parts[2]->body, STR("From: alice@example.org\r\nSubject: Lunch\r\n"
					 "Message-ID: <m1@example.org>\r\n\r\nShall we?\r\n"));
	EXPECT(utf8_is_ascii(buf_str(&w.out)));
	written_fini(&w);
}

static void
speaks_to_a_person(void)
{
	struct dsn d = notice_of(&unknown_user, 1);
	struct written w;

	write_notice(&w, &d);
	EXPECT_STR(buf_str(&w.human),
	    STR("This is the mail system at mail.example.org.\r\n"
		"\r\n"
		"Your message could not be delivered to the recipient below.\r\n"
		"\r\n"
		"    Subject: \"Lunch\"\r\n"
		"    Received here: Mon, 23 Nov 2026 13:57:32 +0000\r\n"
		"\r\n"
		"<bob@example.net>\r\n"
		"    Not delivered. There is no mailbox with this address.\r\n"
		"\r\n"
		"    In the words of the other server, mx.example.net [192.0.2.1]:\r\n"
		"\r\n"
		"        550 5.1.1 <bob@example.net>: no such user here\r\n"
		"\r\n"
		"    What you can do: Check the address for a spelling mistake and send the\r\n"
		"    message again. If it is spelled right, ask the recipient in another way\r\n"
		"    for an address that works.\r\n"
		"\r\n"
		"The same follows in a form for programs, and then your message. If you need\r\n"
		"help, write to postmaster@example.org and send this notice along.\r\n"));
	written_fini(&w);
}

/* RFC 3464 appendix E, "Simple DSN" and "Multi-Recipient DSN". */
static void
writes_the_examples_of_rfc3464(void)
{
	static const struct dsn_rcpt rcpts[] = {
	    {.action = DSN_FAILED,
		.path = STR_INIT("arathib@vnet.ibm.com"),
		.orcpt = STR_INIT("rfc822;arathib@vnet.ibm.com"),
		.code = 550,
		.reply_text = STR_INIT("'arathib@vnet.IBM.COM' is not a registered gateway user"),
		.remote_mta = STR_INIT("vnet.ibm.com")},
	    {.action = DSN_DELAYED,
		.path = STR_INIT("johnh@hpnjld.njd.hp.com"),
		.orcpt = STR_INIT("rfc822;johnh@hpnjld.njd.hp.com")},
	    {.action = DSN_FAILED,
		.path = STR_INIT("louisl@larry.slip.umd.edu"),
		.code = 426,
		.enhanced = {4, 0, 0},
		.reply_text = STR_INIT("connection timed out")},
	};
	struct dsn d = notice_of(rcpts, COUNT_OF(rcpts));
	struct written w;

	d.hostname = STR("cs.utk.edu");
	d.envid = STR_NULL;
	d.arrival_s = 0;
	write_notice(&w, &d);
	EXPECT_STR(w.parts[1]->body,
	    STR("Reporting-MTA: dns; cs.utk.edu\r\n"
		"\r\n"
		"Original-Recipient: rfc822;arathib@vnet.ibm.com\r\n"
		"Final-Recipient: rfc822;arathib@vnet.ibm.com\r\n"
		"Action: failed\r\n"
		"Status: 5.0.0\r\n"
		"Remote-MTA: dns; vnet.ibm.com\r\n"
		"Diagnostic-Code: smtp; 550 'arathib@vnet.IBM.COM' is not a registered\r\n"
		" gateway user\r\n"
		"\r\n"
		"Original-Recipient: rfc822;johnh@hpnjld.njd.hp.com\r\n"
		"Final-Recipient: rfc822;johnh@hpnjld.njd.hp.com\r\n"
		"Action: delayed\r\n"
		"Status: 4.0.0\r\n"
		"\r\n"
		"Final-Recipient: rfc822;louisl@larry.slip.umd.edu\r\n"
		"Action: failed\r\n"
		"Status: 4.0.0\r\n"
		"Diagnostic-Code: smtp; 426 4.0.0 connection timed out\r\n"));
	EXPECT(says(&w, STR("This is what became of your message. Where it is still being tried, "
			    "no action is needed.")));
	EXPECT(says(&w, STR("Our own mail system noted: 426 4.0.0 connection timed out")));
	written_fini(&w);
}

static void
says_that_a_delay_needs_nothing(void)
{
	struct dsn_rcpt r = {.action = DSN_DELAYED,
	    .path = STR("bob@example.net"),
	    .code = 451,
	    .enhanced = {4, 4, 1},
	    .reply_text = STR("connect timed out"),
	    .will_retry_until_s = T0 + 5 * 86400};
	struct dsn d = notice_of(&r, 1);
	struct written w;

	write_notice(&w, &d);
	EXPECT_STR(field(&w, "Subject"), STR("Delayed, still trying: Lunch"));
	EXPECT(says(&w, STR("No action is needed: it is still being tried.")));
	EXPECT(says(&w, STR("Not delivered yet. The recipient's mail server did not answer.")));
	EXPECT(says(&w, STR("We keep trying until Sat, 28 Nov 2026 13:58:32 +0000.")));
	EXPECT(!says(&w, STR("What you can do")));
	EXPECT(has(
	    w.parts[1]->body, STR("\r\nWill-Retry-Until: Sat, 28 Nov 2026 13:58:32 +0000\r\n")));
	/* RFC 3461 6.2: no failure, so only the header. */
	EXPECT(mime_part_is(w.parts[2], STR("text"), STR("rfc822-headers")));
	EXPECT(says(&w, STR("then the header of your message.")));
	written_fini(&w);

	/* RFC 3464 2.3.9: not in a failure. */
	r.action = DSN_FAILED;
	write_notice(&w, &d);
	EXPECT(!has(w.parts[1]->body, STR("Will-Retry-Until")));
	written_fini(&w);
}

static void
says_what_success_means(void)
{
	static const struct {
		enum dsn_action action;
		struct str word, subject, sentence;
	} table[] = {
	    {DSN_DELIVERED, STR_INIT("delivered"), STR_INIT("Delivered: Lunch"),
		STR_INIT("Delivered to the mailbox.")},
	    {DSN_RELAYED, STR_INIT("relayed"), STR_INIT("Passed on: Lunch"),
		STR_INIT("Passed on to mx.example.net [192.0.2.1]. That server took the message, "
			 "but it does not confirm delivery")},
	    {DSN_EXPANDED, STR_INIT("expanded"), STR_INIT("Delivered: Lunch"),
		STR_INIT("which stands for several recipients.")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct dsn_rcpt r = {.action = table[i].action,
		    .path = STR("bob@example.net"),
		    .remote_mta = STR("mx.example.net"),
		    .remote_ip = STR("192.0.2.1"),
		    .code = 250,
		    .reply_text = STR("2.1.5 ok")};
		struct dsn d = notice_of(&r, 1);
		struct written w;

		write_notice(&w, &d);
		EXPECT(w.report.rcpts[0].action == table[i].action);
		EXPECT_STR(dsn_action_word(table[i].action), table[i].word);
		EXPECT_STR(field(&w, "Subject"), table[i].subject);
		EXPECT(has(w.parts[1]->body, STR("\r\nStatus: 2.0.0\r\n")));
		EXPECT(says(&w, table[i].sentence));
		EXPECT(says(&w, STR("This is the confirmation that you asked for.")));
		EXPECT(mime_part_is(w.parts[2], STR("text"), STR("rfc822-headers")));
		written_fini(&w);
	}
}

static void
tells_the_address_that_was_written(void)
{
	struct dsn_rcpt r = unknown_user;
	struct dsn d = notice_of(&r, 1);
	struct written w;

	r.orcpt = STR("rfc822;team+2Bnews@example.com");
	write_notice(&w, &d);
	EXPECT(has(buf_str(&w.human),
	    STR("<bob@example.net>\r\n"
		"    (you wrote to <team+news@example.com>, and that leads here)")));
	EXPECT_STR(w.report.rcpts[0].orcpt, STR("rfc822;team+news@example.com"));
	written_fini(&w);
	r.advice_override = STR("Call\r\nthem.");
	write_notice(&w, &d);
	EXPECT(says(&w, STR("What you can do: Call them.")));
	EXPECT(!says(&w, STR("spelling")));
	written_fini(&w);
}

/* ---- what goes back of the original ---- */

static void
returns_what_can_travel(void)
{
	static const struct {
		struct str header, body, type;
		enum mime_encoding encoding;
		bool is_full_wanted, is_smtputf8;
	} table[] = {
	    {STR_INIT("A: b\r\n\r\n"), STR_INIT("x\r\n"), STR_INIT("rfc822"), MIME_7BIT, true,
		false},
	    {STR_INIT("A: b\r\n"), STR_INIT("x\r\n"), STR_INIT("rfc822"), MIME_7BIT, true, false},
	    {STR_INIT("A: b\r\n"), STR_INIT("\xc3\xa9\r\n"), STR_INIT("rfc822"), MIME_8BIT, true,
		false},
	    {STR_INIT("A: b\r\n"), STR_INIT("x\r\n"), STR_INIT("rfc822-headers"), MIME_7BIT, false,
		false},
	    {STR_INIT("A: b\r\n"), STR_INIT(""), STR_INIT("rfc822-headers"), MIME_7BIT, true,
		false},
	    {STR_INIT("A: b\r\n"), STR_INIT("x\ny\r\n"), STR_INIT("rfc822-headers"), MIME_7BIT,
		true, false},
	    {STR_INIT("A: b\r\n"), STR_INIT("x\ry\r\n"), STR_INIT("rfc822-headers"), MIME_7BIT,
		true, false},
	    {STR_INIT("A: b\r\n"), STR_INIT("x\0y\r\n"), STR_INIT("rfc822-headers"), MIME_7BIT,
		true, false},
	    {STR_INIT("A: b\nC: d\r\n"), STR_INIT("x\r\n"), STR_INIT("rfc822-headers"),
		MIME_QUOTED_PRINTABLE, true, false},
	    {STR_INIT("A: \xc3\xa9\r\n"), STR_INIT("x\r\n"), STR_INIT("rfc822-headers"),
		MIME_QUOTED_PRINTABLE, true, false},
	    /* RFC 6533 */
	    {STR_INIT("A: \xc3\xa9\r\n"), STR_INIT("x\r\n"), STR_INIT("global"), MIME_8BIT, true,
		true},
	    {STR_INIT("A: \xc3\xa9\r\n"), STR_INIT("x\r\n"), STR_INIT("global-headers"), MIME_8BIT,
		false, true},
	    {STR_INIT("A: \xff\r\n"), STR_INIT("x\r\n"), STR_INIT("global-headers"),
		MIME_QUOTED_PRINTABLE, true, true},
	    {STR_INIT("A: b\r\n"), STR_INIT("x\r\n"), STR_INIT("rfc822"), MIME_7BIT, true, true},
	    {STR_INIT(""), STR_INIT(""), STR_INIT("rfc822-headers"), MIME_7BIT, true, false},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct dsn d = notice_of(&unknown_user, 1);
		struct written w;
		struct buf text;
		int bad = unit_bad;

		d.original_header = table[i].header;
		d.original_body = table[i].body;
		d.is_full_wanted = table[i].is_full_wanted;
		d.is_smtputf8 = table[i].is_smtputf8;
		write_notice(&w, &d);
		EXPECT_STR(w.parts[2]->subtype, table[i].type);
		EXPECT(w.parts[2]->encoding == table[i].encoding);
		EXPECT((w.m.root->encoding == MIME_8BIT) == (table[i].encoding == MIME_8BIT));
		buf_init(&text, 1000);
		EXPECT(mime_body_decode(w.parts[2]->encoding, w.parts[2]->body, &text) == ST_OK);
		EXPECT(str_has_prefix(buf_str(&text), str_take(table[i].header, 6)));
		buf_fini(&text);
		written_fini(&w);
		if (unit_bad > bad)
			fprintf(stderr, "row %zu\n", i);
	}
}

static void
fill(struct buf *b, struct str line, size_t bytes)
{
	while (b->n + line.n <= bytes)
		(void)buf_put(b, line);
	while (b->n < bytes)
		(void)buf_put_c(b, 'x');
}

static void
returns_up_to_the_limit(void)
{
	for (size_t n = DSN_ORIGINAL_BYTES_MAX; n <= DSN_ORIGINAL_BYTES_MAX + 1; n++) {
		struct dsn d = notice_of(&unknown_user, 1);
		struct written w;
		struct buf b;

		buf_init(&b, n);
		d.original_header = STR("A: b\r\n");
		fill(&b, STR("12345678\r\n"), n - d.original_header.n);
		d.original_body = buf_str(&b);
		write_notice(&w, &d);
		EXPECT(mime_part_is(w.parts[2], STR("message"), STR("rfc822")) ==
		       (n == DSN_ORIGINAL_BYTES_MAX));
		written_fini(&w);

		/* A header of that length loses the fields that do not fit, not half of one. */
		buf_reset(&b);
		fill(&b, STR("Field: 1\r\n\t23\r\n"), n);
		d.original_header = buf_str(&b);
		write_notice(&w, &d);
		EXPECT(w.parts[2]->body.n <= DSN_ORIGINAL_BYTES_MAX + 2);
		EXPECT(n == DSN_ORIGINAL_BYTES_MAX ||
		       str_has_suffix_ci(w.parts[2]->body, STR("\r\n\t23\r\n")));
		written_fini(&w);
		buf_fini(&b);
	}
	for (size_t n = DSN_LINE_BYTES_MAX; n <= DSN_LINE_BYTES_MAX + 1; n++) {
		struct dsn d = notice_of(&unknown_user, 1);
		struct written w;
		struct buf b;

		buf_init(&b, n + 2);
		fill(&b, STR("x"), n);
		(void)buf_put(&b, STR("\r\n"));
		d.original_body = buf_str(&b);
		write_notice(&w, &d);
		EXPECT(mime_part_is(w.parts[2], STR("message"), STR("rfc822")) ==
		       (n == DSN_LINE_BYTES_MAX));
		written_fini(&w);
		buf_fini(&b);
	}
}

/* ---- strangers ---- */

static void
lets_nobody_write_a_line(void)
{
	static const struct str evil[] = {STR_INIT("x\r\nBcc: victim@example.com\r\n\r\nbody"),
	    STR_INIT("x\nBcc: victim@example.com"), STR_INIT("x\rBcc: victim@example.com"),
	    STR_INIT("\r\n\r\nBcc: a"), STR_INIT("a\0b"), STR_INIT("\x1b[2J\x07"),
	    STR_INIT("\xff\xfe\x80"),
	    STR_INIT("\xc2\x85"
		     "Bcc: a"),
	    STR_INIT("\xe2\x80\xa8"
		     "Bcc: a"),
	    STR_INIT("--b0undary--\r\n--b0undary\r\n"), STR_INIT("b0undaryA b0undaryB b0undary"),
	    STR_INIT("=?utf-8?Q?x=0D=0ABcc:=20a?="), STR_INIT(">, <b@example.com"),
	    STR_INIT("a\"b\\"), STR_INIT("; (x) ;"), STR_INIT("")};

	for (size_t i = 0; i < COUNT_OF(evil); i++)
		for (int utf8 = 0; utf8 < 2; utf8++) {
			struct str e = evil[i];
			struct dsn_rcpt r = {.action = DSN_FAILED,
			    .path = e,
			    .orcpt = e,
			    .code = 550,
			    .reply_text = e,
			    .remote_mta = e,
			    .remote_ip = e,
			    .advice_override = e};
			struct dsn d = {.hostname = e,
			    .postmaster = e,
			    .to = e,
			    .envid = e,
			    .message_id = e,
			    .boundary = STR("b0undary"),
			    .now_s = T0,
			    .rcpts = &r,
			    .rcpts_n = 1,
			    .original_header = e,
			    .original_body = e,
			    .subject = e,
			    .is_full_wanted = true,
			    .is_smtputf8 = utf8};
			struct mime_header h;
			struct written w;
			int bad = unit_bad;

			write_notice(&w, &d);
			EXPECT(!mime_header_find(w.m.root->header, STR("Bcc"), &h));
			EXPECT(!mime_header_find(w.parts[1]->body, STR("Bcc"), &h));
			EXPECT(utf8 || utf8_is_ascii(w.m.root->header));
			EXPECT(utf8 || utf8_is_ascii(w.parts[1]->body));
			EXPECT(!has(buf_str(&w.human), STR("\nBcc")));
			EXPECT(!has(buf_str(&w.human), STR("\x1b")));
			written_fini(&w);
			if (unit_bad > bad)
				fprintf(stderr, "string %zu\n", i);
		}
}

static void
makes_the_boundary_unique(void)
{
	struct dsn d = notice_of(&unknown_user, 1);
	struct written w;

	write_notice(&w, &d);
	EXPECT_STR(mime_param_find(w.m.root->params, STR("boundary"))->value, STR("b0undary"));
	written_fini(&w);
	d.original_body = STR("--b0undary\r\nb0undaryAb0undaryB\r\n--b0undary--\r\n");
	write_notice(&w, &d);
	EXPECT_STR(mime_param_find(w.m.root->params, STR("boundary"))->value, STR("b0undaryC"));
	EXPECT(has(w.parts[2]->body, STR("\r\n--b0undary--\r\n")));
	written_fini(&w);
	/* Overlapping itself, and odd bytes dropped. */
	d.boundary = STR("\"a a\r\na\"");
	d.original_body = STR("aaaaaaaaaA\r\n");
	write_notice(&w, &d);
	EXPECT_STR(mime_param_find(w.m.root->params, STR("boundary"))->value, STR("aaaB"));
	written_fini(&w);
	d.boundary = STR("0123456789012345678901234567890123456789012345678901234567890123456789");
	write_notice(&w, &d);
	EXPECT(mime_param_find(w.m.root->params, STR("boundary"))->value.n ==
	       DSN_BOUNDARY_GIVEN_BYTES_MAX);
	written_fini(&w);
}

static void
quotes_every_line_of_a_reply(void)
{
	struct dsn_rcpt r = unknown_user;
	struct dsn d = notice_of(&r, 1);
	struct written w;

	r.reply_text =
	    STR("5.7.26 first line,\r\nhttps://example.net/help?id=1234567890123456789012345"
		"678901234567890123456789\nGr\xc3\xbc\xc3\x9f"
		"e \xe2\x80\xae evil");
	r.enhanced[1] = 7;
	r.enhanced[2] = 26;
	write_notice(&w, &d);
	EXPECT(w.parts[0]->encoding == MIME_QUOTED_PRINTABLE);
	EXPECT(has(buf_str(&w.human),
	    STR("\r\n        550 5.7.26 first line,\r\n"
		"        "
		"https://example.net/help?id=1234567890123456789012345678901234567890123456789"
		"\r\n        Gr\xc3\xbc\xc3\x9f"
		"e ? evil\r\n")));
	EXPECT_STR(w.report.rcpts[0].reply_text,
	    STR("5.7.26 first line, "
		"https://example.net/help?id=1234567890123456789012345678901234567"
		"890123456789 Gr??e ? evil"));
	EXPECT(says(&w, STR("administrator of your mail")));
	written_fini(&w);
	d.is_smtputf8 = true;
	write_notice(&w, &d);
	EXPECT(w.parts[0]->encoding == MIME_8BIT && w.parts[1]->encoding == MIME_8BIT);
	EXPECT(mime_part_is(w.parts[1], STR("message"), STR("global-delivery-status")));
	EXPECT(has(w.report.rcpts[0].reply_text, STR("Gr\xc3\xbc\xc3\x9f"
						     "e ? evil")));
	written_fini(&w);
}

static void
keeps_one_code(void)
{
	static const struct {
		uint16_t code, enhanced[DSN_ENHANCED_PARTS];
		struct str text, line;
	} table[] = {
	    {550, {5, 1, 1}, STR_INIT("no"), STR_INIT("smtp; 550 5.1.1 no")},
	    {550, {5, 1, 1}, STR_INIT("5.1.1 no"), STR_INIT("smtp; 550 5.1.1 no")},
	    {550, {5, 1, 1}, STR_INIT("5.1.1"), STR_INIT("smtp; 550 5.1.1")},
	    {550, {5, 1, 1}, STR_INIT("5.1.1x"), STR_INIT("smtp; 550 5.1.1 5.1.1x")},
	    {550, {5, 1, 1}, STR_INIT("550 5.1.1 no"), STR_INIT("smtp; 550 5.1.1 no")},
	    {550, {0, 0, 0}, STR_INIT("no"), STR_INIT("smtp; 550 no")},
	    {550, {0, 0, 0}, STR_INIT(""), STR_INIT("smtp; 550")},
	    {0, {5, 4, 4}, STR_INIT("no route"), STR_INIT("x-posthorn; no route")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct dsn_rcpt r = {.action = DSN_FAILED,
		    .path = STR("a@b.example"),
		    .code = table[i].code,
		    .reply_text = table[i].text};
		struct dsn d = notice_of(&r, 1);
		struct mime_header h;
		struct written w;
		size_t at;

		memcpy(r.enhanced, table[i].enhanced, sizeof(r.enhanced));
		write_notice(&w, &d);
		at = str_find(w.parts[1]->body, STR("\r\n\r\n")) + 4;
		EXPECT(
		    mime_header_find(str_from(w.parts[1]->body, at), STR("Diagnostic-Code"), &h));
		EXPECT_STR(str_trim(h.value), table[i].line);
		written_fini(&w);
	}
}

static void
writes_subjects(void)
{
	static const struct {
		struct str in, field, field_utf8;
	} table[] = {
	    {STR_INIT(""), STR_INIT("Your message was not delivered"),
		STR_INIT("Your message was not delivered")},
	    {STR_INIT(" \r\n "), STR_INIT("Your message was not delivered"),
		STR_INIT("Your message was not delivered")},
	    {STR_INIT("=?utf-8?Q?Gr=C3=BC=C3=9Fe?="),
		STR_INIT("Not delivered:\r\n =?utf-8?B?R3LDvMOfZQ==?="),
		STR_INIT("Not delivered: Gr\xc3\xbc\xc3\x9f"
			 "e")},
	    {STR_INIT("Gr\xc3\xbc\xc3\x9f"
		      "e"),
		STR_INIT("Not delivered:\r\n =?utf-8?B?R3LDvMOfZQ==?="),
		STR_INIT("Not delivered: Gr\xc3\xbc\xc3\x9f"
			 "e")},
	    {STR_INIT("12345678901234567890 12345678901234567890 12345678901234567890 1234"),
		STR_INIT("Not delivered: 12345678901234567890 12345678901234567890\r\n"
			 " 12345678901234567890 1234"),
		STR_INIT("Not delivered: 12345678901234567890 12345678901234567890\r\n"
			 " 12345678901234567890 1234")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		for (int utf8 = 0; utf8 < 2; utf8++) {
			struct dsn d = notice_of(&unknown_user, 1);
			struct written w;

			d.subject = table[i].in;
			d.is_smtputf8 = utf8;
			write_notice(&w, &d);
			EXPECT_STR(
			    field(&w, "Subject"), utf8 ? table[i].field_utf8 : table[i].field);
			written_fini(&w);
		}
	for (size_t n = DSN_SUBJECT_BYTES_MAX; n <= DSN_SUBJECT_BYTES_MAX + 1; n++) {
		struct dsn d = notice_of(&unknown_user, 1);
		struct written w;
		struct buf b;

		buf_init(&b, n);
		fill(&b, STR("a"), n);
		d.subject = buf_str(&b);
		write_notice(&w, &d);
		EXPECT(str_has_suffix_ci(field(&w, "Subject"), STR("...")) ==
		       (n > DSN_SUBJECT_BYTES_MAX));
		written_fini(&w);
		buf_fini(&b);
	}
}

/* RFC 6533 3 */
static void
writes_utf8_addresses(void)
{
	struct dsn_rcpt r = {.action = DSN_FAILED,
	    .path = STR("j\xc3\xbcrg+x@b\xc3\xbcro.example"),
	    .orcpt = STR("utf-8;j\\x{FC}rg\\x{2B}x@b\\x{FC}ro.example"),
	    .enhanced = {5, 6, 7}};
	struct dsn d = notice_of(&r, 1);
	struct written w;

	d.to = STR("a\xc3\xa9@example.org");
	write_notice(&w, &d);
	EXPECT_STR(field(&w, "To"), STR("undisclosed-recipients:;"));
	EXPECT(mime_part_is(w.parts[1], STR("message"), STR("delivery-status")));
	EXPECT(has(w.parts[1]->body,
	    STR("\r\nFinal-Recipient: utf-8;j\\x{FC}rg\\x{2B}x@b\\x{FC}ro.example\r\n")));
	EXPECT(has(w.parts[1]->body,
	    STR("\r\nOriginal-Recipient: utf-8;j\\x{FC}rg\\x{2B}x@b\\x{FC}ro.example\r\n")));
	EXPECT_STR(w.report.rcpts[0].path, r.path);
	EXPECT(says(&w, STR("<j\xc3\xbcrg+x@b\xc3\xbcro.example>")));
	EXPECT(!says(&w, STR("you wrote to")));
	written_fini(&w);

	d.is_smtputf8 = true;
	write_notice(&w, &d);
	EXPECT_STR(field(&w, "To"), STR("<a\xc3\xa9@example.org>"));
	EXPECT(mime_part_is(w.parts[1], STR("message"), STR("global-delivery-status")));
	EXPECT(w.parts[1]->encoding == MIME_8BIT && w.m.root->encoding == MIME_8BIT);
	EXPECT(has(w.parts[1]->body,
	    STR("\r\nFinal-Recipient: utf-8;j\xc3\xbcrg+x@b\xc3\xbcro.example\r\n")));
	EXPECT(has(w.parts[1]->body,
	    STR("\r\nOriginal-Recipient: utf-8;j\xc3\xbcrg+x@b\xc3\xbcro.example\r\n")));
	EXPECT_STR(w.report.rcpts[0].path, r.path);
	written_fini(&w);

	/* No address inside: copied as it came. */
	r.orcpt = STR("utf-8;\\x{0D}\\x{FC}");
	write_notice(&w, &d);
	EXPECT_STR(w.report.rcpts[0].orcpt, STR("utf-8;\\x{0D}\\x{FC}"));
	written_fini(&w);
}

static void
reads_xtext(void)
{
	static const struct {
		struct str in, out;
		enum status st;
	} xtext[] =
	    {
		{STR_INIT("a+2Bb+3D"), STR_INIT("a+b="), ST_OK},
		{STR_INIT("+0D+0A"), STR_INIT("\r\n"), ST_OK},
		{STR_INIT(""), STR_INIT(""), ST_OK},
		{STR_INIT("a+2b"), STR_INIT(""), ST_SYNTAX}, /* RFC 3461 4: capitals */
		{STR_INIT("a+2"), STR_INIT(""), ST_SYNTAX},
		{STR_INIT("a+"), STR_INIT(""), ST_SYNTAX},
		{STR_INIT("a=b"), STR_INIT(""), ST_SYNTAX},
		{STR_INIT("a b"), STR_INIT(""), ST_SYNTAX},
		{STR_INIT("\xc3\xa9"), STR_INIT(""), ST_SYNTAX},
	    },
	  unitext[] = {
	      {STR_INIT("\\x{2B}\\x{20AC}\\x{10FFFF}"), STR_INIT("+\xe2\x82\xac\xf4\x8f\xbf\xbf"),
		  ST_OK},
	      {STR_INIT("\xc3\xa9@x"), STR_INIT("\xc3\xa9@x"), ST_OK},
	      {STR_INIT("\\x{D800}"), STR_INIT(""), ST_SYNTAX},
	      {STR_INIT("\\x{110000}"), STR_INIT(""), ST_SYNTAX},
	      {STR_INIT("\\x{0000041}"), STR_INIT(""), ST_SYNTAX},
	      {STR_INIT("\\x{1}"), STR_INIT(""), ST_SYNTAX},
	      {STR_INIT("\\x{4"), STR_INIT(""), ST_SYNTAX},
	      {STR_INIT("a\\b"), STR_INIT(""), ST_SYNTAX},
	      {STR_INIT("a\xff"), STR_INIT(""), ST_SYNTAX},
	  };
	struct buf b;

	buf_init(&b, 100);
	for (size_t i = 0; i < COUNT_OF(xtext); i++) {
		buf_reset(&b);
		EXPECT(dsn_xtext_decode(xtext[i].in, &b) == xtext[i].st);
		EXPECT_STR(buf_str(&b), xtext[i].out);
	}
	for (size_t i = 0; i < COUNT_OF(unitext); i++) {
		buf_reset(&b);
		EXPECT(dsn_unitext_decode(unitext[i].in, &b) == unitext[i].st);
		EXPECT_STR(buf_str(&b), unitext[i].out);
	}
	buf_fini(&b);
}

static void
writes_original_recipients(void)
{
	static const struct {
		struct str in, out;
	} table[] = {
	    {STR_INIT("rfc822;Bob+2Bx@Example.NET"), STR_INIT("rfc822;Bob+x@Example.NET")},
	    {STR_INIT("rfc822;+22a+20b+22@example.net"), STR_INIT("rfc822;\"a b\"@example.net")},
	    {STR_INIT("rfc822;a+0D+0ABcc:b"), STR_INIT("rfc822;a+0D+0ABcc:b")},
	    {STR_INIT("rfc822;a+E9"), STR_INIT("rfc822;a+E9")},
	    {STR_INIT("rfc822;a+zz"), STR_INIT("rfc822;a+zz")},
	    {STR_INIT("x400;/c=us"), STR_INIT("x400;/c=us")},
	    {STR_INIT("bob@example.net"), STR_INIT("unknown;bob@example.net")},
	    {STR_INIT(";bob"), STR_INIT("unknown;;bob")},
	};
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_reset(&b);
		dsn_orcpt_put(&b, table[i].in, false);
		EXPECT_STR(buf_str(&b), table[i].out);
	}
	buf_fini(&b);
}

/* ---- limits ---- */

static void
cuts_at_its_limits(void)
{
	static const size_t limits[] = {
	    DSN_PATH_BYTES_MAX, DSN_REPLY_BYTES_MAX, DSN_ADVICE_BYTES_MAX};

	for (size_t k = 0; k < COUNT_OF(limits); k++)
		for (size_t n = limits[k]; n <= limits[k] + 1; n++) {
			struct dsn_rcpt r = {
			    .action = DSN_FAILED, .path = STR("a@b.example"), .code = 550};
			struct dsn d = notice_of(&r, 1);
			struct written w;
			struct buf b;

			buf_init(&b, n);
			fill(&b, STR("y"), n);
			if (k == 0)
				r.path = buf_str(&b);
			else if (k == 1)
				r.reply_text = buf_str(&b);
			else
				r.advice_override = buf_str(&b);
			write_notice(&w, &d);
			EXPECT(has(buf_str(&w.human), STR("y...")) == (n > limits[k]));
			EXPECT(says(&w, str_take(buf_str(&b), limits[k])));
			written_fini(&w);
			buf_fini(&b);
		}
	for (size_t n = DSN_ENVID_BYTES_MAX; n <= DSN_ENVID_BYTES_MAX + 1; n++) {
		struct dsn d = notice_of(&unknown_user, 1);
		struct written w;
		struct buf b;

		buf_init(&b, n);
		fill(&b, STR("+2B"), n);
		d.envid = buf_str(&b);
		write_notice(&w, &d);
		EXPECT(
		    w.report.envid.n == (n == DSN_ENVID_BYTES_MAX ? 34 : DSN_ENVID_BYTES_MAX + 3));
		written_fini(&w);
		buf_fini(&b);
	}
	for (size_t n = DSN_ID_BYTES_MAX; n <= DSN_ID_BYTES_MAX + 1; n++) {
		struct dsn d = notice_of(&unknown_user, 1);
		struct written w;
		struct buf b;

		buf_init(&b, n);
		fill(&b, STR("m"), n);
		d.message_id = buf_str(&b);
		write_notice(&w, &d);
		EXPECT((field(&w, "Message-ID").n > 0) == (n == DSN_ID_BYTES_MAX));
		written_fini(&w);
		buf_fini(&b);
	}
}

static void
holds_many_recipients(void)
{
	static struct dsn_rcpt rcpts[DSN_RCPTS_MAX + 1];
	struct dsn d = notice_of(rcpts, DSN_RCPTS_MAX);
	struct written w;
	struct buf out;

	for (size_t i = 0; i < COUNT_OF(rcpts); i++)
		rcpts[i] = unknown_user;
	write_notice(&w, &d);
	EXPECT(w.report.rcpts_n == DSN_RCPTS_MAX && !w.report.is_cut);
	d.rcpts_n++;
	buf_init(&out, 16 << 20);
	EXPECT(dsn_write(&d, &out) == ST_LIMIT && out.n == 0);
	d.rcpts_n = 1;
	buf_fini(&out);

	/* The reader's count. */
	buf_init(&out, 16 << 20);
	(void)buf_put(&out, w.parts[1]->body);
	(void)buf_put(&out, STR("\r\nAction: failed\r\n"));
	EXPECT(dsn_parse(buf_str(&out), &w.a, &w.report) == ST_LIMIT);
	EXPECT(w.report.rcpts_n == DSN_RCPTS_MAX && w.report.is_cut);
	buf_fini(&out);
	written_fini(&w);

	/* A full output is left as it was. */
	for (size_t max = 1; max < 1890; max += 97) {
		buf_init(&out, max);
		(void)buf_put_c(&out, 'k');
		EXPECT(dsn_write(&d, &out) == ST_LIMIT);
		EXPECT_STR(buf_str(&out), STR("k"));
		EXPECT(!out.full);
		buf_fini(&out);
	}
}

/* ---- reading ---- */

static void
reads_what_it_wrote(void)
{
	struct dsn_rcpt rcpts[] = {unknown_user,
	    {.action = DSN_DELAYED,
		.path = STR("c@d.example"),
		.code = 421,
		.enhanced = {4, 4, 2},
		.reply_text = STR("4.4.2 later (really)"),
		.remote_mta = STR("mx2.d.example"),
		.last_attempt_s = T0 + 1,
		.will_retry_until_s = T0 + 2},
	    {.action = DSN_RELAYED,
		.path = STR("e@f.example"),
		.orcpt = STR("rfc822;e@f.example"),
		.enhanced = {2, 1, 9}}};
	struct dsn d = notice_of(rcpts, COUNT_OF(rcpts));
	struct written w;

	write_notice(&w, &d);
	EXPECT_STR(w.report.reporting_mta, d.hostname);
	EXPECT_STR(w.report.envid, STR("QQ+314159"));
	EXPECT(w.report.arrival_s == d.arrival_s);
	for (size_t i = 0; i < COUNT_OF(rcpts); i++) {
		const struct dsn_rcpt *r = &rcpts[i], *got = &w.report.rcpts[i];

		EXPECT(got->action == r->action && got->code == r->code);
		EXPECT(memcmp(got->enhanced, r->enhanced, sizeof(r->enhanced)) == 0);
		EXPECT(got->last_attempt_s == r->last_attempt_s);
		EXPECT(got->will_retry_until_s == r->will_retry_until_s);
		EXPECT_STR(got->path, r->path);
		EXPECT_STR(got->orcpt, r->orcpt);
		EXPECT_STR(got->reply_text, r->reply_text);
		EXPECT_STR(got->remote_mta, r->remote_mta);
		EXPECT_STR(got->remote_ip, r->remote_ip);
	}
	written_fini(&w);
}

/* RFC 3464 appendix E as others write it. */
static void
reads_others(void)
{
	static const struct str body = STR_INIT("\r\n"
						"junk without a colon\r\n"
						"reporting-mta: mailbus; SYS30\r\n"
						"\r\n"
						"\r\n"
						"Final-Recipient: unknown; nair_s\r\n"
						"Status: 5.0.0 (unknown permanent failure)\r\n"
						"ACTION: Failed\r\n"
						"\r\n"
						"Final-recipient: RFC822; a@b.example\n"
						"Action: delayed (still)\n"
						"Status: 4.x\n"
						"Diagnostic-Code: smtp;  550 'a@b' is not a\n"
						"  registered user\n"
						"X-Other: 1\n"
						"\n"
						"Reporting-MTA: dns; second\n"
						"\n"
						"Final-Recipient: utf-8; a\\x{zz}\n"
						"Action: bounced\n"
						"Diagnostic-Code: X-Unix; 67\n"
						"Remote-MTA: (only)\n"
						"Last-Attempt-Date: never");
	struct dsn_report r;
	struct arena a;

	arena_init(&a, 65536);
	EXPECT(dsn_parse(body, &a, &r) == ST_OK && r.rcpts_n == 3);
	EXPECT_STR(r.reporting_mta, STR("SYS30"));
	EXPECT_STR(r.rcpts[0].path, STR("nair_s"));
	EXPECT(r.rcpts[0].action == DSN_FAILED && r.rcpts[0].enhanced[0] == 5);
	EXPECT_STR(r.rcpts[1].path, STR("a@b.example"));
	EXPECT(r.rcpts[1].action == DSN_DELAYED && r.rcpts[1].enhanced[0] == 0);
	EXPECT(r.rcpts[1].code == 550);
	EXPECT_STR(r.rcpts[1].reply_text, STR("'a@b' is not a  registered user"));
	EXPECT(r.rcpts[2].action == DSN_UNKNOWN && r.rcpts[2].code == 0);
	EXPECT_STR(r.rcpts[2].path, STR("a\\x{zz}"));
	EXPECT_STR(r.rcpts[2].reply_text, STR("67"));
	EXPECT_STR(r.rcpts[2].remote_mta, STR("(only)"));
	EXPECT(r.rcpts[2].last_attempt_s == 0);
	arena_fini(&a);
}

static void
reads_within_limits(void)
{
	struct dsn_report r;
	struct arena a;
	struct buf b;

	for (size_t n = DSN_FIELDS_MAX; n <= DSN_FIELDS_MAX + 1; n++) {
		buf_init(&b, 10000);
		for (size_t i = 0; i < n; i++)
			(void)buf_put(&b, STR("X: y\r\n"));
		arena_init(&a, 65536);
		EXPECT(dsn_parse(buf_str(&b), &a, &r) == (n == DSN_FIELDS_MAX ? ST_OK : ST_LIMIT));
		arena_fini(&a);
		buf_fini(&b);
	}
	for (size_t n = DSN_PARSE_BYTES_MAX; n <= DSN_PARSE_BYTES_MAX + 1; n++) {
		buf_init(&b, n);
		(void)buf_put(&b, STR("Action: failed\r\n\r\n"));
		fill(&b, STR("\r\n"), n);
		arena_init(&a, 65536);
		EXPECT(dsn_parse(buf_str(&b), &a, &r) ==
		       (n == DSN_PARSE_BYTES_MAX ? ST_OK : ST_LIMIT));
		EXPECT(r.rcpts_n == 1);
		arena_fini(&a);
		buf_fini(&b);
	}
	/* An arena without room, and nothing at all. */
	arena_init(&a, 16);
	EXPECT(dsn_parse(STR("Action: failed"), &a, &r) == ST_LIMIT && r.rcpts_n == 0 && r.is_cut);
	EXPECT(dsn_parse(STR_NULL, &a, &r) == ST_OK && r.rcpts_n == 0);
	arena_fini(&a);
}

/* ---- codes and rules ---- */

static void
makes_a_status(void)
{
	static const struct {
		enum dsn_action action;
		uint16_t code, given[DSN_ENHANCED_PARTS], want[DSN_ENHANCED_PARTS];
	} table[] = {
	    {DSN_FAILED, 550, {5, 1, 1}, {5, 1, 1}},
	    {DSN_FAILED, 421, {4, 4, 7}, {4, 4, 7}},
	    {DSN_FAILED, 550, {0, 0, 0}, {5, 0, 0}},
	    {DSN_FAILED, 451, {0, 0, 0}, {4, 0, 0}},
	    {DSN_FAILED, 0, {0, 0, 0}, {5, 0, 0}},
	    {DSN_DELAYED, 0, {0, 0, 0}, {4, 0, 0}},
	    {DSN_DELIVERED, 0, {0, 0, 0}, {2, 0, 0}},
	    {DSN_RELAYED, 250, {0, 0, 0}, {2, 0, 0}},
	    {DSN_EXPANDED, 0, {3, 0, 0}, {2, 0, 0}},
	    {DSN_FAILED, 354, {5, 1000, 0}, {5, 0, 0}},
	    {DSN_FAILED, 550, {5, 999, 999}, {5, 999, 999}},
	    {DSN_FAILED, 550, {5, 1, 1000}, {5, 0, 0}},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		uint16_t got[DSN_ENHANCED_PARTS];

		dsn_status_of(table[i].action, table[i].code, table[i].given, got);
		EXPECT(memcmp(got, table[i].want, sizeof(got)) == 0);
	}
}

static void
knows_what_to_do(void)
{
	static const struct {
		uint16_t status[DSN_ENHANCED_PARTS], code;
		struct str what, todo; /* words of the sentences */
	} table[] = {
	    {{5, 1, 1}, 550, STR_INIT("no mailbox"), STR_INIT("spelling")},
	    {{5, 1, 2}, 550, STR_INIT("does not exist"), STR_INIT("spelling")},
	    {{5, 1, 10}, 556, STR_INIT("takes no mail at all"), STR_INIT("another address")},
	    {{5, 1, 77}, 550, STR_INIT("address"), STR_INIT("spelling")},
	    {{5, 2, 1}, 550, STR_INIT("closed"), STR_INIT("another way")},
	    {{5, 2, 2}, 552, STR_INIT("full"), STR_INIT("make room")},
	    {{5, 2, 3}, 552, STR_INIT("larger"), STR_INIT("link")},
	    {{5, 3, 4}, 552, STR_INIT("too large"), STR_INIT("link")},
	    {{5, 4, 1}, 0, STR_INIT("did not answer"), STR_INIT("later")},
	    {{5, 4, 4}, 0, STR_INIT("No way"), STR_INIT("domain")},
	    {{5, 4, 6}, 0, STR_INIT("circles"), STR_INIT("will not help")},
	    {{5, 4, 7}, 0, STR_INIT("run out"), STR_INIT("later")},
	    {{5, 5, 2}, 500, STR_INIT("understand each other"), STR_INIT("administrator")},
	    {{5, 5, 3}, 452, STR_INIT("too many recipients"), STR_INIT("fewer")},
	    {{5, 6, 1}, 554, STR_INIT("content"), STR_INIT("simpler")},
	    {{5, 6, 7}, 553, STR_INIT("ASCII"), STR_INIT("without accents")},
	    {{5, 7, 1}, 550, STR_INIT("by its rules"), STR_INIT("which rule")},
	    {{5, 7, 9}, 550, STR_INIT("from your domain"), STR_INIT("administrator")},
	    {{5, 7, 25}, 550, STR_INIT("reverse DNS"), STR_INIT("administrator")},
	    {{5, 7, 26}, 550, STR_INIT("DMARC"), STR_INIT("administrator")},
	    {{5, 7, 515}, 550, STR_INIT("DMARC"), STR_INIT("administrator")},
	    {{5, 7, 999}, 550, STR_INIT("security or policy"), STR_INIT("administrator")},
	    {{5, 0, 0}, 552, STR_INIT("full, or"), STR_INIT("link")},
	    {{5, 0, 0}, 550, STR_INIT("does not exist, or"), STR_INIT("spelling")},
	    {{5, 0, 0}, 554, STR_INIT("refuses"), STR_INIT("words of the other server")},
	    {{5, 99, 1}, 554, STR_INIT("refuses"), STR_INIT("words of the other server")},
	    {{4, 2, 2}, 452, STR_INIT("full"), STR_INIT("make room")},
	    {{4, 0, 0}, 451, STR_INIT("for the time being"), STR_INIT("later")},
	    {{2, 1, 1}, 250, STR_INIT("All went well"), STR_INIT("Nothing")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		const struct dsn_advice *a = dsn_advice_find(table[i].status, table[i].code);

		EXPECT(has(a->what, table[i].what));
		EXPECT(has(a->todo, table[i].todo));
	}
}

static void
keeps_the_rules(void)
{
	enum {
		NEVER = DSN_NOTIFY_NEVER,
		SUCCESS = DSN_NOTIFY_SUCCESS,
		FAILURE = DSN_NOTIFY_FAILURE,
		DELAY = DSN_NOTIFY_DELAY,
	};
	/* failed, delayed, delivered, relayed, expanded, unknown */
	static const struct {
		struct str path;
		uint8_t notify;
		bool has_auto, is_bulk, has_list;
		bool want[6];
	} table[] = {
	    {STR_INIT("a@b.example"), 0, 0, 0, 0, {1, 1, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), NEVER, 0, 0, 0, {0, 0, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), NEVER | FAILURE, 0, 0, 0, {0, 0, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), FAILURE, 0, 0, 0, {1, 0, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), DELAY, 0, 0, 0, {0, 1, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), SUCCESS, 0, 0, 0, {0, 0, 1, 1, 1, 0}},
	    {STR_INIT("a@b.example"), SUCCESS | FAILURE | DELAY, 0, 0, 0, {1, 1, 1, 1, 1, 0}},
	    {STR_INIT(""), 0, 0, 0, 0, {0, 0, 0, 0, 0, 0}},
	    {STR_INIT(""), SUCCESS | FAILURE | DELAY, 0, 0, 0, {0, 0, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), 0, 1, 0, 0, {1, 0, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), DELAY, 0, 1, 0, {0, 0, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), 0, 0, 0, 1, {1, 0, 0, 0, 0, 0}},
	    {STR_INIT("a@b.example"), SUCCESS, 1, 1, 1, {0, 0, 1, 1, 1, 0}},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		for (int k = 0; k < 6; k++) {
			struct dsn_policy p = {.reverse_path = table[i].path,
			    .notify = table[i].notify,
			    .has_auto_submitted = table[i].has_auto,
			    .is_bulk = table[i].is_bulk,
			    .has_list_id = table[i].has_list};

			EXPECT(dsn_may_notify((enum dsn_action)k, &p) == table[i].want[k]);
		}
}

int
main(void)
{
	UNIT(writes_a_failure_whole);
	UNIT(speaks_to_a_person);
	UNIT(writes_the_examples_of_rfc3464);
	UNIT(says_that_a_delay_needs_nothing);
	UNIT(says_what_success_means);
	UNIT(tells_the_address_that_was_written);
	UNIT(returns_what_can_travel);
	UNIT(returns_up_to_the_limit);
	UNIT(lets_nobody_write_a_line);
	UNIT(makes_the_boundary_unique);
	UNIT(quotes_every_line_of_a_reply);
	UNIT(keeps_one_code);
	UNIT(writes_subjects);
	UNIT(writes_utf8_addresses);
	UNIT(reads_xtext);
	UNIT(writes_original_recipients);
	UNIT(cuts_at_its_limits);
	UNIT(holds_many_recipients);
	UNIT(reads_what_it_wrote);
	UNIT(reads_others);
	UNIT(reads_within_limits);
	UNIT(makes_a_status);
	UNIT(knows_what_to_do);
	UNIT(keeps_the_rules);
	return unit_end();
}
