/* The notice as a message: header, three parts, and a boundary that none of them holds. */
#include "base/check.h"
#include "base/num.h"
#include "base/utf8.h"
#include "standards/address/address.h"
#include "standards/dsn/dsn_internal.h"
#include "standards/mime/mime.h"

struct part {
	struct buf body;
	struct str type;
	struct str encoding;
};

enum {
	PART_HUMAN,
	PART_STATUS,
	PART_ORIGINAL,
	PARTS_N,
};

#define ENCODING_7BIT STR("7bit")
#define ENCODING_8BIT STR("8bit")
#define ENCODING_QP STR("quoted-printable")

/* ---- header ---- */

void
dsn_postmaster_put(const struct dsn *d, struct buf *out)
{
	struct buf own;
	struct address a;

	if (address_parse(d->postmaster, d->is_smtputf8, &a) == ST_OK) {
		(void)buf_put(out, d->postmaster);
		return;
	}
	buf_init(&own, ADDRESS_MAX);
	(void)buf_put(&own, STR("postmaster@"));
	(void)buf_put(&own, d->hostname);
	if (!own.full && address_parse(buf_str(&own), false, &a) == ST_OK)
		(void)buf_put(out, buf_str(&own));
	else
		(void)buf_put(out, STR("postmaster@localhost"));
	buf_fini(&own);
}

void
dsn_subject_put(const struct dsn *d, struct buf *out)
{
	struct buf text;

	/* What is more than fits is cut below; encoded words are at most thrice their text. */
	buf_init(&text, 8 * DSN_SUBJECT_BYTES_MAX);
	(void)mime_text_decode(str_take(d->subject, 8 * DSN_SUBJECT_BYTES_MAX), &text);
	dsn_clean_put(out, buf_str(&text), DSN_SUBJECT_BYTES_MAX, true);
	buf_fini(&text);
}

/* With a subject it goes in front of it. */
static struct str
subject_prefix(const struct dsn *d, bool has_subject)
{
	if (dsn_count(d, DSN_FAILED) > 0)
		return has_subject ? STR("Not delivered:") : STR("Your message was not delivered");
	if (dsn_count(d, DSN_DELAYED) > 0)
		return has_subject ? STR("Delayed, still trying:") : STR("Your message is delayed");
	if (dsn_count(d, DSN_RELAYED) > 0)
		return has_subject ? STR("Passed on:") : STR("Your message was passed on");
	return has_subject ? STR("Delivered:") : STR("Your message was delivered");
}

static void
subject_field_put(const struct dsn *d, struct buf *out)
{
	struct buf subject;

	buf_init(&subject, 4 * DSN_SUBJECT_BYTES_MAX);
	dsn_subject_put(d, &subject);
	dsn_text_field_put(out, STR("Subject"), subject_prefix(d, subject.n > 0), buf_str(&subject),
	    d->is_smtputf8);
	buf_fini(&subject);
}

/* RFC 5322 3.6.4 as far as it matters here: one word that ends at its brackets. */
static bool
is_message_id(struct str id)
{
	for (size_t i = 0; i < id.n; i++)
		if (id.p[i] <= ' ' || id.p[i] > '~' || id.p[i] == '<' || id.p[i] == '>')
			return false;
	return id.n > 0 && id.n <= DSN_ID_BYTES_MAX;
}

static void
id_field_put(struct buf *out, struct str name, struct str id)
{
	if (!is_message_id(id))
		return;
	(void)buf_put(out, name);
	(void)buf_put(out, STR(": <"));
	(void)buf_put(out, id);
	(void)buf_put(out, STR(">\r\n"));
}

/* RFC 3834 3.1.6: the notice stands in the original's thread. */
static void
thread_fields_put(const struct dsn *d, struct buf *out)
{
	struct mime_header h;
	struct str id;

	if (!mime_header_find(d->original_header, STR("Message-ID"), &h))
		return;
	id = str_trim(h.value);
	if (id.n < 2 || id.p[0] != '<' || id.p[id.n - 1] != '>')
		return;
	id = str_take(str_from(id, 1), id.n - 2);
	id_field_put(out, STR("In-Reply-To"), id);
	id_field_put(out, STR("References"), id);
}

static void
to_field_put(const struct dsn *d, struct buf *out)
{
	struct address a;

	if (address_parse(d->to, d->is_smtputf8, &a) != ST_OK) {
		(void)buf_put(out, STR("To: undisclosed-recipients:;\r\n"));
		return;
	}
	(void)buf_put(out, STR("To: <"));
	(void)buf_put(out, d->to);
	(void)buf_put(out, STR(">\r\n"));
}

static void
header_put(const struct dsn *d, struct str boundary, struct str encoding, struct buf *out)
{
	(void)buf_put(out, STR("From: Mail Delivery System <"));
	dsn_postmaster_put(d, out);
	(void)buf_put(out, STR(">\r\n"));
	to_field_put(d, out);
	subject_field_put(d, out);
	(void)buf_put(out, STR("Date: "));
	dsn_date_put(out, d->now_s);
	(void)buf_put(out, STR("\r\n"));
	id_field_put(out, STR("Message-ID"), d->message_id);
	thread_fields_put(d, out);
	/* RFC 3834 5: keeps vacation programs and other servers from answering. */
	(void)buf_put(out, STR("Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"));
	/* RFC 6522 3, RFC 3464 2 */
	(void)buf_putf(out,
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"%.*s\"\r\n"
	    "Content-Transfer-Encoding: %.*s\r\n\r\n",
	    STR_ARG(boundary), STR_ARG(encoding));
}

/* ---- parts ---- */

/* Chooses the encoding of a text: as it is when it can travel so, else quoted-printable. */
static void
part_encode(struct part *part, bool is_8bit_ok)
{
	struct str body = buf_str(&part->body);
	struct buf qp;

	if (dsn_lines_are_clean(body) && utf8_is_ascii(body)) {
		part->encoding = ENCODING_7BIT;
		return;
	}
	if (dsn_lines_are_clean(body) && is_8bit_ok && utf8_is_valid(body)) {
		part->encoding = ENCODING_8BIT;
		return;
	}
	buf_init(&qp, part->body.max);
	dsn_qp_put(&qp, body);
	buf_fini(&part->body);
	part->body = qp;
	part->encoding = ENCODING_QP;
}

/* The header without the blank line. */
static struct str
header_of(const struct dsn *d)
{
	struct str h = d->original_header;

	if (str_eq(h, STR("\r\n")))
		return STR_NULL;
	return str_has_suffix_ci(h, STR("\r\n\r\n")) ? str_take(h, h.n - 2) : h;
}

/*
 * RFC 3461 6.2: only when something failed, and up to a length. A message is returned as it is (RFC
 * 2046 5.2.1 forbids to encode it), so it must be able to travel.
 */
static bool
is_whole_returned(const struct dsn *d)
{
	struct str header = header_of(d);
	size_t n;

	if (!d->is_full_wanted || d->original_body.n == 0 || dsn_count(d, DSN_FAILED) == 0)
		return false;
	if (!add_ok(header.n, d->original_body.n, &n) || n > DSN_ORIGINAL_BYTES_MAX)
		return false;
	/* RFC 6533 4.5: UTF-8 in the header cannot go where SMTPUTF8 is not known. */
	if (!utf8_is_ascii(header) && !(d->is_smtputf8 && utf8_is_valid(header)))
		return false;
	return str_has_suffix_ci(header, STR("\r\n")) && dsn_lines_are_clean(header) &&
	       dsn_lines_are_clean(d->original_body);
}

static void
whole_put(const struct dsn *d, struct part *part)
{
	struct str header = header_of(d);

	(void)buf_put(&part->body, header);
	(void)buf_put(&part->body, STR("\r\n"));
	(void)buf_put(&part->body, d->original_body);
	/* RFC 6532 3.7 */
	part->type = utf8_is_ascii(header) ? STR("message/rfc822") : STR("message/global");
	part->encoding = utf8_is_ascii(buf_str(&part->body)) ? ENCODING_7BIT : ENCODING_8BIT;
}

/* RFC 6522 4, RFC 6533 4.3. As many whole fields as fit. */
static void
header_part_put(const struct dsn *d, struct part *part)
{
	struct str header = header_of(d), first = str_take(header, DSN_ORIGINAL_BYTES_MAX);

	if (first.n < header.n) {
		size_t n = first.n;

		/* To a line that starts a field; a header of one endless field is cut anywhere. */
		while (
		    n > 0 && !(first.p[n - 1] == '\n' && header.p[n] != ' ' && header.p[n] != '\t'))
			n--;
		first = str_take(first, n > 0 ? n : first.n);
	}
	(void)buf_put(&part->body, first);
	if (first.n > 0 && !str_has_suffix_ci(first, STR("\r\n")))
		(void)buf_put(&part->body, STR("\r\n"));
	part->type = !utf8_is_ascii(first) && d->is_smtputf8 ? STR("message/global-headers")
							     : STR("text/rfc822-headers");
	part_encode(part, d->is_smtputf8);
}

static void
parts_make(const struct dsn *d, struct part parts[PARTS_N])
{
	bool is_whole = is_whole_returned(d);

	dsn_human_put(d, is_whole, &parts[PART_HUMAN].body);
	parts[PART_HUMAN].type = STR("text/plain; charset=utf-8");
	part_encode(&parts[PART_HUMAN], d->is_smtputf8);
	dsn_status_put(d, &parts[PART_STATUS].body);
	part_encode(&parts[PART_STATUS], d->is_smtputf8);
	/* RFC 6533 4.4: the type that everybody knows, where it loses nothing. */
	parts[PART_STATUS].type = utf8_is_ascii(buf_str(&parts[PART_STATUS].body))
				      ? STR("message/delivery-status")
				      : STR("message/global-delivery-status");
	if (is_whole)
		whole_put(d, &parts[PART_ORIGINAL]);
	else
		header_part_put(d, &parts[PART_ORIGINAL]);
}

/* ---- boundary ---- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
#define LETTERS_N (sizeof(letters) - 1)

/* Counts, for each letter, how often the boundary followed by it stands in s. */
static size_t
followers_count(struct str s, struct str boundary, size_t counts[LETTERS_N])
{
	size_t found = 0;

	for (;;) {
		size_t at = str_find(s, boundary);
		const char *letter;

		if (at == s.n)
			return found;
		found++;
		s = str_from(s, at + boundary.n);
		letter = s.n > 0 ? memchr(letters, s.p[0], LETTERS_N) : NULL;
		if (letter != NULL)
			counts[letter - letters]++;
		/* Occurrences may overlap: go on right behind this one's first byte. */
		s.p -= boundary.n - 1;
		s.n += boundary.n - 1;
	}
}

static char
rarest(const size_t counts[LETTERS_N])
{
	size_t best = 0;

	for (size_t i = 1; i < LETTERS_N; i++)
		if (counts[i] < counts[best])
			best = i;
	return letters[best];
}

/*
 * RFC 2046 5.1.1: it must not stand in the parts. While it does, it gets the letter that follows it
 * most rarely there: each divides the places by 62 or more, so a few make it unique.
 */
static void
boundary_make(struct str given, const struct part parts[PARTS_N], struct buf *out)
{
	given = str_take(given, DSN_BOUNDARY_GIVEN_BYTES_MAX);
	for (size_t i = 0; i < given.n; i++)
		if (char_is_alnum(given.p[i]))
			(void)buf_put_c(out, given.p[i]);
	if (out->n == 0)
		(void)buf_put(out, STR("part"));
	for (;;) {
		size_t counts[LETTERS_N] = {0}, found = 0;

		for (int i = 0; i < PARTS_N; i++)
			found += followers_count(buf_str(&parts[i].body), buf_str(out), counts);
		if (found == 0)
			break;
		(void)buf_put_c(out, rarest(counts));
	}
	CHECK(!out->full);
}

/* ---- all of it ---- */

static void
message_put(const struct dsn *d, const struct part parts[PARTS_N], struct buf *out)
{
	struct str encoding = ENCODING_7BIT;
	struct buf boundary;

	buf_init(&boundary, DSN_BOUNDARY_BYTES_MAX);
	boundary_make(d->boundary, parts, &boundary);
	for (int i = 0; i < PARTS_N; i++)
		if (str_eq(parts[i].encoding, ENCODING_8BIT))
			encoding = ENCODING_8BIT;
	header_put(d, buf_str(&boundary), encoding, out);
	for (int i = 0; i < PARTS_N; i++) {
		(void)buf_putf(out,
		    "--%.*s\r\nContent-Type: %.*s\r\nContent-Transfer-Encoding: %.*s\r\n\r\n",
		    STR_ARG(buf_str(&boundary)), STR_ARG(parts[i].type),
		    STR_ARG(parts[i].encoding));
		(void)buf_put(out, buf_str(&parts[i].body));
		(void)buf_put(out, STR("\r\n"));
	}
	(void)buf_putf(out, "--%.*s--\r\n", STR_ARG(buf_str(&boundary)));
	buf_fini(&boundary);
}

enum status
dsn_write(const struct dsn *d, struct buf *out)
{
	struct part parts[PARTS_N] = {0};
	size_t start = out->n;
	bool was_full = out->full, is_cut = false;

	CHECK(d->rcpts_n > 0);
	if (d->rcpts_n > DSN_RCPTS_MAX)
		return ST_LIMIT;
	for (int i = 0; i < PARTS_N; i++)
		buf_init(&parts[i].body, DSN_PART_BYTES_MAX);
	parts_make(d, parts);
	for (int i = 0; i < PARTS_N; i++)
		is_cut = is_cut || parts[i].body.full;
	if (!is_cut) {
		out->full = false;
		message_put(d, parts, out);
		is_cut = out->full;
		out->full = was_full;
	}
	for (int i = 0; i < PARTS_N; i++)
		buf_fini(&parts[i].body);
	if (!is_cut)
		return ST_OK;
	out->n = start;
	return ST_LIMIT;
}
