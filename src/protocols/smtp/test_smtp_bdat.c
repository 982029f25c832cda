#include "base/num.h"
#include "protocols/smtp/test_smtp_talk.h"

static const struct smtp_server_conf mta = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_MTA,
    .is_starttls_offered = true,
    .is_chunking_offered = true,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = UINT32_MAX,
    .errors_max = 4};
static const struct smtp_server_conf lmtp = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_LMTP,
    .is_chunking_offered = true,
    .message_bytes_max = 100,
    .rcpts_max = 3,
    .messages_max = UINT32_MAX,
    .errors_max = 4};
static const struct smtp_server_conf submission = {.hostname = STR_INIT("mx.example"),
    .mode = SMTP_SUBMISSION,
    .is_chunking_offered = true,
    .is_auth_required = true,
    .message_bytes_max = 1000,
    .rcpts_max = 3,
    .messages_max = UINT32_MAX,
    .errors_max = 4};

#define HELLO                                                                              \
	"C: EHLO a.example", "S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 1000", \
	    "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250-STARTTLS", "S: 250-CHUNKING",    \
	    "S: 250-BINARYMIME", "S: 250-LIMITS RCPTMAX=3", "S: 250 ENHANCEDSTATUSCODES"
#define LMTP_HELLO                                                                        \
	"C: LHLO a.example", "S: 250-mx.example", "S: 250-PIPELINING", "S: 250-SIZE 100", \
	    "S: 250-8BITMIME", "S: 250-SMTPUTF8", "S: 250-CHUNKING", "S: 250-BINARYMIME", \
	    "S: 250-LIMITS RCPTMAX=3", "S: 250 ENHANCEDSTATUSCODES"
#define MAIL_OK "C: MAIL FROM:<a@b>", "E: MAIL a@b", "S: 250 2.1.0 ok"
#define BINARY_OK "C: MAIL FROM:<a@b> BODY=BINARYMIME", "E: MAIL a@b binary", "S: 250 2.1.0 ok"
#define RCPT_OK "C: RCPT TO:<u@x>", "E: RCPT u@x [u] [x]", "S: 250 2.1.5 ok"
#define RCPT_WAIT "C: RCPT TO:<w@x>", "E: RCPT w@x [w] [x]", "S: 250 2.1.5 ok"
#define BEGIN HELLO, MAIL_OK, RCPT_OK
#define QUEUED "S: 250 2.0.0 queued"
#define RSET_OK "C: RSET", "S: 250 2.0.0 reset"
#define REFUSED "S: 503 5.5.1 the message was refused, RSET first"
#define BARE "S: 550 5.5.2 bare CR or LF in message", "E: ABORT", "E: CLOSE"

static const struct talk talks[] = {
    /* RFC 3030 4.1 */
    {&mta, false,
	LINES(BEGIN, "R: BDAT 11 LAST\r\nTo: u\r\n\r\n\r\n", "E: DATA bdat", "E: END To: u|||",
	    QUEUED, "C: QUIT", "S: 221 2.0.0 bye", "E: CLOSE")},
    /* RFC 3030 4.2: chunks in a pipeline, the last of nothing, the next message behind it */
    {&mta, false,
	LINES(HELLO, BINARY_OK, RCPT_OK, RCPT_OK, "R: BDAT 6\r\na\r\nb\rcBDAT 2\r\n\n\x80",
	    "R: BDAT 0 LAST\r\n", "C: MAIL FROM:<c@d>", "C: RCPT TO:<u@x>",
	    "R: bdat 3 last\r\nx\r\n", "E: DATA bdat", "S: 250 2.0.0 6 octets received",
	    "S: 250 2.0.0 2 octets received", "E: END a|b\rc\n\x80 (open)", QUEUED, "E: MAIL c@d",
	    "S: 250 2.1.0 ok", "E: RCPT u@x [u] [x]", "S: 250 2.1.5 ok", "E: DATA bdat",
	    "E: END x|", QUEUED)},
    /* dots mean nothing, and neither does what looks like commands; over the borders of chunks */
    {&mta, false,
	LINES(BEGIN, "R: BDAT 13\r\n.\r\nQUIT\r\n..\r\nBDAT 5\r\nBDAT BDAT 7 LAST\r\n1\r\n.x\r\n",
	    "E: DATA bdat", "S: 250 2.0.0 13 octets received", "S: 250 2.0.0 5 octets received",
	    "E: END .|QUIT|..|BDAT 1|.x|", QUEUED)},
    /* a CRLF over the border; commands between the chunks; an empty message */
    {&mta, false,
	LINES(BEGIN, "R: BDAT 2\r\na\r", "E: DATA bdat", "S: 250 2.0.0 2 octets received",
	    "C: NOOP", "S: 250 2.0.0 ok", "C: FOO", "S: 500 5.5.1 command not recognised",
	    "R: BDAT 0\r\n", "S: 250 2.0.0 0 octets received", "R: BDAT 2 LAST\r\n\nb",
	    "E: END a|b (open)", QUEUED, MAIL_OK, RCPT_OK, "C: BDAT 0 LAST", "E: DATA bdat",
	    "E: END ", QUEUED, MAIL_OK, RCPT_OK, "C: BDAT 0", "E: DATA bdat",
	    "S: 250 2.0.0 0 octets received", "C: BDAT 0 LAST", "E: END ", QUEUED)},
    /* lines end as in DATA */
    {&mta, false, LINES(BEGIN, "R: BDAT 4 LAST\r\na\nb\r\n", "E: DATA bdat", BARE)},
    {&mta, false, LINES(BEGIN, "R: BDAT 4 LAST\r\na\rb\r\n", "E: DATA bdat", BARE)},
    {&mta, false, LINES(BEGIN, "R: BDAT 3 LAST\r\nab\r", "E: DATA bdat", BARE)},
    {&mta, false,
	LINES(BEGIN, "R: BDAT 2\r\na\rBDAT 2 LAST\r\nb\n", "E: DATA bdat",
	    "S: 250 2.0.0 2 octets received", BARE)},
    {&mta, false,
	LINES(BEGIN, "R: BDAT 2\r\na\rBDAT 0 LAST\r\n", "E: DATA bdat",
	    "S: 250 2.0.0 2 octets received", BARE)},
    {&mta, false,
	LINES(BEGIN, "R: BDAT 1\r\naBDAT 2 LAST\r\n\nb", "E: DATA bdat",
	    "S: 250 2.0.0 1 octets received", BARE)},
    {&mta, false,
	LINES(BEGIN, "R: BDAT 3\r\na\r\nBDAT 2 LAST\r\n\nb", "E: DATA bdat",
	    "S: 250 2.0.0 3 octets received", BARE)},
    /* a smuggled message in a message ends the session before it is looked at */
    {&mta, false,
	LINES(BEGIN,
	    "R: BDAT 6 LAST\r\na\n.\r\n\nMAIL FROM:<c@d>\r\nRCPT TO:<u@x>\r\nBDAT 1 LAST\r\nx",
	    "E: DATA bdat", BARE)},
    /* DATA and BDAT do not mix (RFC 3030 2) */
    {&mta, false,
	LINES(BEGIN, "R: BDAT 3\r\na\r\n", "E: DATA bdat", "S: 250 2.0.0 3 octets received",
	    "C: DATA", "S: 503 5.5.1 DATA and BDAT in one transaction", "E: ABORT",
	    "R: BDAT 5 LAST\r\nb\r\n\r\n", REFUSED, "C: RCPT TO:<u@x>", "S: 503 5.5.1 MAIL first",
	    RSET_OK, MAIL_OK, RCPT_OK, "R: BDAT 3 LAST\r\nc\r\n", "E: DATA bdat", "E: END c|",
	    QUEUED)},
    {&mta, false,
	LINES(HELLO, MAIL_OK, RCPT_WAIT, "C: DATA", "E: DATA", "S: 452 4.3.1 wait",
	    "R: BDAT 6 LAST\r\nQUIT\r\n", "E: ABORT",
	    "S: 503 5.5.1 DATA and BDAT in one transaction", "C: DATA", "S: 503 5.5.1 MAIL first",
	    MAIL_OK, RCPT_OK, "C: DATA", "E: DATA", "S: 354 go on", "R: BDAT 3 LAST\r\n.\r\n",
	    "E: END BDAT 3 LAST|", QUEUED)},
    /* both in one session */
    {&mta, false,
	LINES(BEGIN, "C: DATA", "E: DATA", "S: 354 go on", "C: x", "C: .", "E: END x|", QUEUED,
	    MAIL_OK, RCPT_OK, "R: BDAT 3 LAST\r\ny\r\n", "E: DATA bdat", "E: END y|", QUEUED,
	    MAIL_OK, RCPT_OK, "C: DATA", "E: DATA", "S: 354 go on", "C: z", "C: .", "E: END z|",
	    QUEUED)},
    /* RFC 3030 3 */
    {&mta, false,
	LINES(HELLO, BINARY_OK, RCPT_OK, "C: DATA", "S: 503 5.5.1 BINARYMIME needs BDAT",
	    "E: ABORT", "R: BDAT 6 LAST\r\nQUIT\r\n", REFUSED)},
    /* the body of one transaction is not that of the next */
    {&mta, false,
	LINES(HELLO, BINARY_OK, RSET_OK, "E: ABORT", MAIL_OK, RCPT_OK, "R: BDAT 2 LAST\r\na\n",
	    "E: DATA bdat", BARE)},
    /* recipients come before the message */
    {&mta, false,
	LINES(BEGIN, "C: BDAT 0", "E: DATA bdat", "S: 250 2.0.0 0 octets received",
	    "C: RCPT TO:<v@x>", "S: 503 5.5.1 the message has begun", "C: MAIL FROM:<c@d>",
	    "S: 503 5.5.1 a transaction is already open", "C: STARTTLS", "S: 503 5.5.1 not now",
	    RSET_OK, "E: ABORT", "C: BDAT 0 LAST", "S: 503 5.5.1 MAIL first", MAIL_OK, RCPT_OK,
	    "C: BDAT 0", "E: DATA bdat", "S: 250 2.0.0 0 octets received", HELLO, "E: ABORT",
	    MAIL_OK, RCPT_OK, "C: BDAT 0", "E: DATA bdat", "S: 250 2.0.0 0 octets received",
	    "C: QUIT", "S: 221 2.0.0 bye", "E: ABORT", "E: CLOSE")},
    /* refused by the owner: what is in the pipeline is dropped and answered, and counts no error */
    {&mta, false,
	LINES(HELLO, MAIL_OK, RCPT_WAIT,
	    "R: BDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT 6\r\nQUIT\r\nBDAT "
	    "6\r\nQUIT\r\nBDAT 6 "
	    "LAST\r\nQUIT\r\n",
	    "C: NOOP", "E: DATA bdat", "E: ABORT", "S: 452 4.3.1 wait", REFUSED, REFUSED, REFUSED,
	    REFUSED, REFUSED, "S: 250 2.0.0 ok", MAIL_OK)},
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<refused@b>", "C: RCPT TO:<u@x>",
	    "R: BDAT 6\r\nQUIT\r\nBDAT 0 LAST\r\n", "C: NOOP", "E: MAIL refused@b",
	    "S: 550 5.7.1 no", "S: 503 5.5.1 MAIL first", "S: 503 5.5.1 MAIL first", REFUSED,
	    "S: 250 2.0.0 ok")},
    {&mta, false,
	LINES(HELLO, "C: MAIL FROM:<a@b>", "C: RCPT TO:<nobody@x>", "R: BDAT 6 LAST\r\nQUIT\r\n",
	    "C: NOOP", "E: MAIL a@b", "S: 250 2.1.0 ok", "E: RCPT nobody@x [nobody] [x]",
	    "S: 550 5.1.1 unknown", "E: ABORT", "S: 554 5.5.1 no valid recipients",
	    "S: 250 2.0.0 ok")},
    /* after LAST nothing belongs to the message */
    {&mta, false,
	LINES(BEGIN, "R: BDAT 3 LAST\r\na\r\nBDAT 6 LAST\r\nQUIT\r\n", "E: DATA bdat", "E: END a|",
	    QUEUED, "S: 503 5.5.1 MAIL first")},
    /* before authentication */
    {&submission, false,
	LINES("C: MAIL FROM:<a@b>", "R: BDAT 6 LAST\r\nQUIT\r\n", "C: NOOP",
	    "S: 530 5.7.0 authentication required", "S: 530 5.7.0 authentication required",
	    "S: 250 2.0.0 ok")},
/* a length that is none */
#define NO_LENGTH "S: 501 5.5.4 expected a number of bytes, and LAST or nothing"
    {&mta, false, LINES(BEGIN, "C: BDAT", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES(BEGIN, "C: BDAT LAST", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES(BEGIN, "C: BDAT -1", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES(BEGIN, "C: BDAT +1", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES(BEGIN, "C: BDAT 0x10", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES(BEGIN, "C: BDAT  1", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES(BEGIN, "C: BDAT 1 FIRST", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES(BEGIN, "C: BDAT 1 LAST LAST", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES(BEGIN, "C: BDAT 18446744073709551616", NO_LENGTH, "E: ABORT", "E: CLOSE")},
    {&mta, false, LINES("C: BDAT 1x", NO_LENGTH, "E: CLOSE")},
    {&mta, false,
	LINES(BEGIN, "C: BDAT\t1", "S: 500 5.5.2 control character in command", "E: ABORT",
	    "E: CLOSE")},
    {&mta, false,
	LINES(BEGIN, "R: BDAT 3 LAST\na\r\n", "S: 500 5.5.2 bare CR or LF in command", "E: ABORT",
	    "E: CLOSE")},
    {&mta, false,
	LINES(BEGIN, "R: BDAT 00000000000000000003 LAST\r\na\r\n", "E: DATA bdat", "E: END a|",
	    QUEUED)},
    /* LMTP: a reply for each recipient, only for LAST (RFC 2033 4.3) */
    {&lmtp, false,
	LINES(LMTP_HELLO, MAIL_OK, RCPT_OK, "C: RCPT TO:<full@x>", "E: RCPT full@x [full] [x]",
	    "S: 250 2.1.5 ok", "R: BDAT 3\r\na\r\nBDAT 0 LAST\r\n", "E: DATA bdat",
	    "S: 250 2.0.0 3 octets received", "E: END a|", "S: 250 2.0.0 kept",
	    "S: 452 4.2.2 full")},
    {&lmtp, false,
	LINES(LMTP_HELLO, MAIL_OK, RCPT_WAIT, RCPT_OK, "R: BDAT 3\r\na\r\nBDAT 3 LAST\r\nb\r\n",
	    "C: NOOP", "E: DATA bdat", "E: ABORT", "S: 452 4.3.1 wait", REFUSED, REFUSED,
	    "S: 250 2.0.0 ok")},
    {&lmtp, false,
	LINES(LMTP_HELLO, MAIL_OK, RCPT_OK, RCPT_OK, "R: BDAT 101 LAST\r\n",
	    "R: "
	    "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
	    "678901234567890",
	    "C: NOOP", "E: ABORT", "S: 552 5.3.4 message size exceeds the limit",
	    "S: 552 5.3.4 message size exceeds the limit", "S: 250 2.0.0 ok")},
    {&lmtp, false,
	LINES(LMTP_HELLO, "C: MAIL FROM:<a@b>", "C: RCPT TO:<nobody@x>",
	    "R: BDAT 2\r\na\rBDAT 3 LAST\r\nb\r\n", "C: NOOP", "E: MAIL a@b", "S: 250 2.1.0 ok",
	    "E: RCPT nobody@x [nobody] [x]", "S: 550 5.1.1 unknown", "E: ABORT",
	    "S: 503 5.5.1 no valid recipients", "S: 250 2.0.0 ok")},
    {&lmtp, false,
	LINES(LMTP_HELLO, MAIL_OK, RCPT_OK, RCPT_OK, "R: BDAT 2 LAST\r\na\n", "E: DATA bdat",
	    "S: 550 5.5.2 bare CR or LF in message", BARE)},
};

static void
talks_go_the_same_however_they_are_cut(void)
{
	for (size_t i = 0; i < COUNT_OF(talks); i++)
		talk_run_all(&talks[i]);
}

static void
session_begin(struct session *s, const char *mail)
{
	session_init(s, &mta, false);
	session_feed(s, STR("EHLO a\r\n"));
	session_feed(s, str_of_c(mail));
	session_feed(s, STR("RCPT TO:<u@x>\r\n"));
	EXPECT(str_has_suffix_ci(buf_str(&s->transcript), STR("S: 250 2.1.5 ok\n")));
	buf_reset(&s->transcript);
}

/* One BDAT per byte of text, or one for all. */
static void
chunks_put(struct buf *b, struct str text, size_t chunk)
{
	for (; text.n > 0; text = str_from(text, chunk)) {
		struct str piece = str_take(text, chunk);
		buf_putf(b, "BDAT %zu\r\n", piece.n);
		buf_put(b, piece);
	}
	buf_put(b, STR("BDAT 0 LAST\r\n"));
}

static const char smuggled[] = "MAIL FROM:<evil@b>\r\nRCPT TO:<v@x>\r\nBDAT 3 LAST\r\nX\r\n";

/*
 * What could be an end of data for somebody else; as text it is refused where it has a bare CR, LF
 * or a NUL, else, and always with BINARYMIME, it is content as any other.
 */
static const struct {
	struct str end;
	bool is_text;
} smuggles[] = {
    {STR_INIT("\n.\n"), false},
    {STR_INIT("\n.\r\n"), false},
    {STR_INIT("\r\n.\n"), false},
    {STR_INIT("\r.\r"), false},
    {STR_INIT("\r\n.\r"), false},
    {STR_INIT("\r.\r\n"), false},
    {STR_INIT("\r\r\n.\r\n"), false},
    {STR_INIT("\r\n.\r\r\n"), false},
    {STR_INIT("\n\n.\n\n"), false},
    {STR_INIT("\n\r.\n\r"), false},
    {STR_INIT("\r\n\n.\r\n"), false},
    {STR_INIT("\r\0\n.\r\n"), false},
    {STR_INIT("\r\n\0.\r\n"), false},
    {STR_INIT("\r\n.\0\r\n"), false},
    {STR_INIT("\0\r\n\0.\0\r\n\0"), false},
    {STR_INIT("\0"), false},
    {STR_INIT("\r\n.\r\n"), true},
    {STR_INIT("\r\n.\r\nDATA\r\n.\r\n"), true},
    {STR_INIT("\r\n..\r\n"), true},
    {STR_INIT(".\r\n"), true},
    {STR_INIT("\r\n.\xc2\x85\r\n"), true},
};

static size_t
count(struct str log, struct str what)
{
	size_t n = 0;

	for (;;) {
		size_t at = str_find(log, what);
		if (at == log.n)
			return n;
		n++;
		log = str_from(log, at + what.n);
	}
}

static void
smuggle_feed(size_t i, bool is_binary, size_t chunk, size_t step)
{
	struct session s;
	struct buf content, bytes;

	buf_init(&content, 4096);
	buf_init(&bytes, 65536);
	buf_put(&content, STR("text"));
	buf_put(&content, smuggles[i].end);
	buf_put(&content, str_of_c(smuggled));
	chunks_put(&bytes, buf_str(&content), chunk);
	session_begin(
	    &s, is_binary ? "MAIL FROM:<a@b> BODY=BINARYMIME\r\n" : "MAIL FROM:<a@b>\r\n");
	session_feed_cut(&s, buf_str(&bytes), step);
	struct str log = buf_str(&s.transcript);
	/* "MAIL FROM:<evil@b>" is in the log of the content. */
	EXPECT(count(log, STR("E: MAIL")) == 0);
	if (is_binary || smuggles[i].is_text) {
		EXPECT(count(log, STR("E: END")) == 1 && !s.is_over);
		EXPECT_STR(buf_str(&s.data), buf_str(&content));
	} else {
		EXPECT(count(log, STR("E: END")) == 0 && s.is_over);
		EXPECT(count(log, STR("S: 550 5.")) == 1);
		EXPECT(str_has_suffix_ci(log, STR("\nE: ABORT\nE: CLOSE\n")));
	}
	session_fini(&s);
	buf_fini(&content);
	buf_fini(&bytes);
}

static void
no_smuggled_end_of_data_passes(void)
{
	static const size_t chunks[] = {SIZE_MAX, 1, 2, 3, 5};
	static const size_t steps[] = {SIZE_MAX, 1, 2, 3, 0};

	for (size_t i = 0; i < COUNT_OF(smuggles); i++)
		for (size_t j = 0; j < COUNT_OF(chunks); j++)
			for (size_t k = 0; k < COUNT_OF(steps); k++) {
				smuggle_feed(i, false, chunks[j], steps[k]);
				smuggle_feed(i, true, chunks[j], steps[k]);
			}
}

/* Behind DATA in one input nothing is looked at, whatever the transaction already had. */
static void
bytes_behind_data_end_the_session(void)
{
	static const char *const in[] = {"BDAT 3\r\na\r\nDATA\r\nx\r\n.\r\nBDAT 0 LAST\r\n",
	    "DATA\r\nBDAT 3 LAST\r\nx\r\n.\r\n", "BDAT 1\r\naDATA\r\n.\r\nMAIL FROM:<c@d>\r\n"};
	struct session s;

	for (size_t i = 0; i < COUNT_OF(in); i++) {
		session_begin(&s, "MAIL FROM:<a@b>\r\n");
		session_feed(&s, str_of_c(in[i]));
		struct str log = buf_str(&s.transcript);
		EXPECT(count(log, STR("E: END")) == 0 && count(log, STR("E: MAIL")) == 0);
		EXPECT(str_has_suffix_ci(
		    log, STR("S: 554 5.5.0 protocol synchronisation error\nE: ABORT\nE: CLOSE\n")));
		session_fini(&s);
	}
}

/* Content, ends of chunks and all, at every two splits. */
static void
chunks_are_the_same_at_every_split(void)
{
	static const struct str text =
	    STR_INIT("BDAT 5\r\na\r\n.\rBDAT 1\r\n\nBDAT 4 LAST\r\nQUITNOOP\r\n");
	static const struct str want = STR_INIT(
	    "E: DATA bdat\nS: 250 2.0.0 5 octets received\nS: 250 2.0.0 1 octets received\n"
	    "E: END a|.|QUIT (open)\nS: 250 2.0.0 queued\nS: 250 2.0.0 ok\n");
	struct session s;

	for (size_t i = 0; i <= text.n; i++)
		for (size_t j = i; j <= text.n; j++) {
			session_begin(&s, "MAIL FROM:<a@b>\r\n");
			session_feed(&s, str_take(text, i));
			session_feed(&s, str_take(str_from(text, i), j - i));
			session_feed(&s, str_from(text, j));
			EXPECT_STR(buf_str(&s.transcript), want);
			session_fini(&s);
		}
}

static void
xs_feed(struct session *s, size_t n)
{
	static char block[1 << 20];

	memset(block, 'x', sizeof(block));
	for (; n > sizeof(block); n -= sizeof(block))
		session_feed(s, str_of(block, sizeof(block)));
	session_feed(s, str_of(block, n));
}

static void
messages_are_limited(void)
{
	struct session s;

	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	session_feed(&s, STR("BDAT 999\r\n"));
	xs_feed(&s, 999);
	session_feed(&s, STR("BDAT 1 LAST\r\nx"));
	EXPECT(s.data.n == 1000 &&
	       str_has_suffix_ci(buf_str(&s.transcript), STR("S: 250 2.0.0 queued\n")));
	session_fini(&s);
	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	session_feed(&s, STR("BDAT 999\r\n"));
	xs_feed(&s, 999);
	session_feed(&s, STR("BDAT 2\r\nxxBDAT 0 LAST\r\nNOOP\r\n"));
	EXPECT_STR(buf_str(&s.transcript),
	    STR("E: DATA bdat\nS: 250 2.0.0 999 octets received\nE: ABORT\n"
		"S: 552 5.3.4 message size exceeds the limit\n"
		"S: 503 5.5.1 the message was refused, RSET first\nS: 250 2.0.0 ok\n"));
	session_fini(&s);
}

/* The reply comes behind the chunk; the limit is for all chunks of a transaction. */
static void
dropping_is_limited(void)
{
	struct session s;

	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	session_feed(&s, STR("BDAT 1001\r\n"));
	xs_feed(&s, 1000);
	EXPECT_STR(buf_str(&s.transcript), STR("E: ABORT\n"));
	session_feed(&s, STR("x"));
	EXPECT_STR(
	    buf_str(&s.transcript), STR("E: ABORT\nS: 552 5.3.4 message size exceeds the limit\n"));
	buf_reset(&s.transcript);
	buf_reset(&s.in);
	session_feed(&s, STR("BDAT 18446744073709551615 LAST\r\n"));
	xs_feed(&s, SMTP_DATA_SKIP_MAX - 1001);
	EXPECT_STR(buf_str(&s.transcript), STR(""));
	session_feed(&s, STR("x"));
	EXPECT_STR(
	    buf_str(&s.transcript), STR("S: 503 5.5.1 the message was refused, RSET first\n"
					"S: 421 4.7.0 too much data after a refusal\nE: CLOSE\n"));
	session_fini(&s);
}

/* An over-long command between chunks leaves the message as it was; as a BDAT it hides its length.
 */
static void
long_lines_between_chunks(void)
{
	struct session s;

	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	session_feed(&s, STR("BDAT 2\r\na\r"));
	xs_feed(&s, SMTP_LINE_MAX);
	session_feed(&s, STR("\r\nBDAT 2 LAST\r\n\nb"));
	EXPECT_STR(buf_str(&s.transcript),
	    STR("E: DATA bdat\nS: 250 2.0.0 2 octets received\n"
		"S: 500 5.5.2 line too long\nE: END a|b (open)\nS: 250 2.0.0 queued\n"));
	session_fini(&s);
	/* Nor does it change what is left of the size. */
	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	session_feed(&s, STR("BDAT 999\r\n"));
	xs_feed(&s, 999 + SMTP_LINE_MAX);
	session_feed(&s, STR("\r\nBDAT 2 LAST\r\nxx"));
	EXPECT(str_has_suffix_ci(
	    buf_str(&s.transcript), STR("\nS: 552 5.3.4 message size exceeds the limit\n")));
	session_fini(&s);
	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	session_feed(&s, STR("BDAT 3 "));
	xs_feed(&s, SMTP_LINE_MAX);
	session_feed(&s, STR("\r\nQUIT\r\n"));
	EXPECT_STR(buf_str(&s.transcript), STR("S: 500 5.5.2 line too long\nE: ABORT\nE: CLOSE\n"));
	session_fini(&s);
}

static enum smtp_event_kind
step(struct session *s, struct cur *c)
{
	return smtp_server_next(&s->s, c, &s->out).kind;
}

/* The owner's refusals: kept until the chunk is read, cut, or the end. */
static void
refusals_wait_for_the_chunk(void)
{
	char text[SMTP_HELD_MAX + 2];
	struct session s;
	struct cur c;

	memset(text, 'a', sizeof(text));
	for (size_t n = SMTP_HELD_MAX; n <= SMTP_HELD_MAX + 1; n++) {
		session_begin(&s, "MAIL FROM:<a@b>\r\n");
		c = cur_of(STR("BDAT 2 LAST\r\n"));
		EXPECT(step(&s, &c) == SMTP_EV_DATA && cur_at_end(&c));
		smtp_server_reply(&s.s, &s.out, 451, str_of(text, n));
		EXPECT(s.out.n == 0 && !smtp_server_is_waiting(&s.s));
		c = cur_of(STR("x"));
		EXPECT(step(&s, &c) == SMTP_EV_ABORT && cur_left(&c) == 1);
		EXPECT(step(&s, &c) == SMTP_EV_MORE && cur_at_end(&c) && s.out.n == 0);
		c = cur_of(STR("x"));
		EXPECT(step(&s, &c) == SMTP_EV_MORE);
		EXPECT(s.out.n == 4 + SMTP_HELD_MAX + 2 && s.out.p[0] == '4');
		session_fini(&s);
	}
	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	c = cur_of(STR("BDAT 2 LAST\r\nxx"));
	EXPECT(step(&s, &c) == SMTP_EV_DATA);
	smtp_server_reply(&s.s, &s.out, 421, STR("4.3.2 bye"));
	EXPECT_STR(buf_str(&s.out), STR("421 4.3.2 bye\r\n"));
	EXPECT(step(&s, &c) == SMTP_EV_ABORT && step(&s, &c) == SMTP_EV_CLOSE);
	session_fini(&s);
	/* An owner that answers as it does to DATA is understood. */
	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	c = cur_of(STR("BDAT 2 LAST\r\nxx"));
	EXPECT(step(&s, &c) == SMTP_EV_DATA);
	smtp_server_reply(&s.s, &s.out, 354, STR("go on"));
	EXPECT(s.out.n == 0 && step(&s, &c) == SMTP_EV_CHUNK && step(&s, &c) == SMTP_EV_END);
	session_fini(&s);
}

/* A chunk is one event as far as the input goes, whatever is in it. */
static void
chunks_are_large(void)
{
	static char block[900];
	struct session s;

	for (size_t i = 0; i + 1 < sizeof(block); i += 2)
		memcpy(block + i, "\r\n", 2);
	session_begin(&s, "MAIL FROM:<a@b>\r\n");
	struct cur c = cur_of(STR("BDAT 901 LAST\r\n"));
	EXPECT(step(&s, &c) == SMTP_EV_DATA);
	smtp_server_reply(&s.s, &s.out, 250, STR("ok"));
	c = cur_of(str_of(block, sizeof(block)));
	struct smtp_event ev = smtp_server_next(&s.s, &c, &s.out);
	EXPECT(ev.kind == SMTP_EV_CHUNK && ev.bytes.n == sizeof(block));
	session_fini(&s);
}

/* Without CHUNKING nothing has changed. */
static void
bdat_may_be_unoffered(void)
{
	struct smtp_server_conf conf = mta;
	struct session s;

	conf.is_chunking_offered = false;
	session_init(&s, &conf, false);
	session_feed(&s, STR("EHLO a\r\n"));
	struct str log = buf_str(&s.transcript);
	EXPECT(count(log, STR("CHUNKING")) == 0 && count(log, STR("BINARYMIME")) == 0);
	buf_reset(&s.transcript);
	session_feed(&s, STR("MAIL FROM:<a@b> BODY=BINARYMIME\r\nBDAT 4 LAST\r\n"));
	EXPECT_STR(buf_str(&s.transcript),
	    STR("S: 501 5.5.4 syntax error in parameters\nS: 502 5.5.1 command not offered\n"));
	session_fini(&s);
}

int
main(void)
{
	srand(1);
	UNIT(talks_go_the_same_however_they_are_cut);
	UNIT(no_smuggled_end_of_data_passes);
	UNIT(bytes_behind_data_end_the_session);
	UNIT(chunks_are_the_same_at_every_split);
	UNIT(messages_are_limited);
	UNIT(dropping_is_limited);
	UNIT(long_lines_between_chunks);
	UNIT(refusals_wait_for_the_chunk);
	UNIT(chunks_are_large);
	UNIT(bdat_may_be_unoffered);
	return unit_end();
}
