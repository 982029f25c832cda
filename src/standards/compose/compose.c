#include "standards/compose/compose.h"

#include "base/check.h"
#include "base/num.h"
#include "base/utf8.h"
#include "standards/address/address.h"
#include "standards/compose/compose_internal.h"
#include "standards/date/date.h"
#include "standards/mime/mime.h"

_Static_assert(COMPOSE_HEADER_MAX <= MIME_HEADER_BYTES_MAX && COMPOSE_FIELDS_MAX <= MIME_HEADERS_MAX, "who reads it later sees all of it");

enum field { FIELD_FROM, FIELD_SENDER, FIELD_DATE, FIELD_MESSAGE_ID, FIELD_SUBJECT, FIELDS_ONCE, FIELD_GONE, FIELD_OTHER };

/* RFC 5322 3.6: at most once. Of To and Cc some programs write several, and nobody misreads them. */
static const struct str once_names[FIELDS_ONCE] = {
    STR_INIT("From"), STR_INIT("Sender"), STR_INIT("Date"), STR_INIT("Message-ID"), STR_INIT("Subject")};
static const struct str gone_names[] = {STR_INIT("Bcc"), STR_INIT("Resent-Bcc"), STR_INIT("Return-Path")};

struct work {
	struct str header;
	const struct compose_given *given;
	struct buf *out, *addresses;
	struct compose_facts facts;
	struct str value[FIELDS_ONCE];
	bool has[FIELDS_ONCE];
	uint32_t fields_n;
};

size_t
compose_header_end(struct str bytes, size_t seen)
{
	size_t from = seen > 3 ? seen - 3 : 0, at;

	if (str_has_prefix(bytes, STR("\r\n")))
		return 2;
	at = from + str_find(str_from(bytes, from), STR("\r\n\r\n"));
	return at < bytes.n ? at + 4 : 0;
}

static enum field
field_of(struct str name)
{
	for (size_t i = 0; i < FIELDS_ONCE; i++)
		if (str_eq_ci(name, once_names[i]))
			return (enum field)i;
	for (size_t i = 0; i < COUNT_OF(gone_names); i++)
		if (str_eq_ci(name, gone_names[i]))
			return FIELD_GONE;
	return FIELD_OTHER;
}

/* Every program that reads the message must find the same lines in it. */
static bool
are_lines(struct str header)
{
	for (size_t i = 0; i < header.n; i++) {
		char ch = header.p[i];
		if (ch == '\0' || (ch == '\n' && (i == 0 || header.p[i - 1] != '\r')))
			return false;
		if (ch == '\r' && (i + 1 == header.n || header.p[i + 1] != '\n'))
			return false;
	}
	return true;
}

static bool
has_message_id(struct str value)
{
	struct str id = str_trim(value);
	size_t at = str_find_char(id, '@');

	/* RFC 5322 3.6.4, not more of it than makes it an id that others can refer to. */
	return id.n > 4 && id.p[0] == '<' && id.p[id.n - 1] == '>' && at > 1 && at + 2 < id.n && str_find_char(id, ' ') == id.n &&
	       str_find_char(id, '\n') == id.n;
}

/* ---- reading ---- */

static enum compose_verdict
field_read(struct work *w, const struct mime_header *h)
{
	enum field f = field_of(h->name);

	if (++w->fields_n > COMPOSE_FIELDS_MAX)
		return COMPOSE_TOO_LONG;
	if (f >= FIELDS_ONCE)
		return COMPOSE_OK;
	if (w->has[f])
		return COMPOSE_TWICE; /* RFC 5322 3.6 */
	w->has[f] = true;
	w->value[f] = h->value;
	return COMPOSE_OK;
}

static enum compose_verdict
fields_read(struct work *w)
{
	struct cur c = cur_of(w->header);
	const char *expected = c.p;
	struct mime_header h;

	while (mime_header_next(&c, &h)) {
		enum compose_verdict v;
		/* Lines that are no field were skipped: programs differ in whether the header ends there. */
		if (h.field.p != expected)
			return COMPOSE_LINE;
		expected = c.p;
		if ((v = field_read(w, &h)) != COMPOSE_OK)
			return v;
	}
	/* What is left is the empty line, or nothing. */
	return c.p - expected <= 2 && str_trim(str_of(expected, (size_t)(c.p - expected))).n == 0 ? COMPOSE_OK : COMPOSE_LINE;
}

static enum compose_verdict
sender_read(struct work *w)
{
	uint32_t n = 0;

	if (!w->has[FIELD_SENDER] || str_trim(w->value[FIELD_SENDER]).n == 0)
		return COMPOSE_OK;
	/* RFC 5322 3.6.2: one mailbox. */
	if (compose_authors(w->value[FIELD_SENDER], w->addresses, &n) != COMPOSE_OK || n != 1)
		return COMPOSE_SENDER;
	w->facts.has_sender = true;
	return COMPOSE_OK;
}

static enum compose_verdict
header_read(struct work *w)
{
	enum compose_verdict v;
	int64_t unused;
	int offset;

	if (w->header.n > COMPOSE_HEADER_MAX)
		return COMPOSE_TOO_LONG;
	if (!are_lines(w->header))
		return COMPOSE_BYTES;
	v = fields_read(w);
	/* Who hands in a text without any header is told what is missing, not that its first line is none. */
	if (v == COMPOSE_LINE && w->fields_n == 0)
		return COMPOSE_NO_FROM;
	if (v != COMPOSE_OK)
		return v;
	if (!w->has[FIELD_FROM])
		return COMPOSE_NO_FROM;
	w->facts.is_8bit = !utf8_is_ascii(w->header);
	w->facts.is_utf8 = w->facts.is_8bit && utf8_is_valid(w->header);
	w->facts.has_date = w->has[FIELD_DATE] && date_parse(w->value[FIELD_DATE], &unused, &offset) == ST_OK;
	w->facts.has_message_id = w->has[FIELD_MESSAGE_ID] && has_message_id(w->value[FIELD_MESSAGE_ID]);
	v = compose_authors(w->value[FIELD_FROM], w->addresses, &w->facts.authors_n);
	return v == COMPOSE_OK ? sender_read(w) : v;
}

/* ---- writing ---- */

/* What is unusable gives way to ours. */
static bool
is_kept(const struct work *w, enum field f)
{
	switch (f) {
	case FIELD_GONE:
		return false;
	case FIELD_DATE:
		return w->facts.has_date;
	case FIELD_MESSAGE_ID:
		return w->facts.has_message_id;
	case FIELD_SENDER:
		return w->facts.has_sender;
	case FIELD_FROM:
	case FIELD_SUBJECT:
	case FIELD_OTHER:
	case FIELDS_ONCE:
		return true;
	}
	return true;
}

static void
message_id_put(struct work *w)
{
	struct cur c = cur_of(buf_str(w->addresses));
	struct str first = STR_NULL;
	struct address a;
	size_t before;

	(void)buf_put(w->out, STR("Message-ID: <"));
	(void)buf_put(w->out, w->given->unique);
	(void)buf_put_c(w->out, '@');
	before = w->out->n;
	/* RFC 5322 3.6.4 wants a domain of whoever makes it: the author's, which says nothing new about the server that was used. */
	if (!cur_str16(&c, &first) || address_parse(first, true, &a) != ST_OK || a.is_literal ||
	    address_domain_normalise(a.domain, w->out) != ST_OK || w->out->n == before)
		(void)buf_put(w->out, w->given->hostname);
	(void)buf_put(w->out, STR(">\r\n"));
}

static void
added_put(struct work *w)
{
	if (!w->facts.has_sender && w->facts.authors_n > 1) {
		(void)buf_put(w->out, STR("Sender: ")); /* RFC 5322 3.6.2 */
		(void)buf_put(w->out, w->given->login);
		(void)buf_put(w->out, STR("\r\n"));
	}
	if (!w->facts.has_date) {
		(void)buf_put(w->out, STR("Date: ")); /* RFC 6409 8.2 */
		(void)date_format_5322(w->out, w->given->now, 0);
		(void)buf_put(w->out, STR("\r\n"));
	}
	if (!w->facts.has_message_id)
		message_id_put(w); /* RFC 6409 8.3 */
}

static void
header_write(struct work *w)
{
	struct cur c = cur_of(w->header);
	struct mime_header h;
	bool is_open = false;

	while (mime_header_next(&c, &h)) {
		if (!is_kept(w, field_of(h.name)))
			continue;
		(void)buf_put(w->out, h.field);
		/* Only the last line of a message by BDAT can be without its end. */
		is_open = h.field.p[h.field.n - 1] != '\n';
	}
	if (is_open)
		(void)buf_put(w->out, STR("\r\n"));
	added_put(w);
	(void)buf_put(w->out, STR("\r\n"));
}

enum compose_verdict
compose_header(struct str header, const struct compose_given *given, struct buf *out, struct buf *addresses, struct compose_facts *facts_out)
{
	struct work w = {.header = header, .given = given, .out = out};
	struct buf found;
	enum compose_verdict v;
	size_t before = out->n;

	CHECK(given->unique.n <= COMPOSE_UNIQUE_MAX);
	buf_init(&found, COMPOSE_AUTHORS_BYTES_MAX);
	w.addresses = &found;
	v = header_read(&w);
	if (v == COMPOSE_OK)
		header_write(&w);
	if (v == COMPOSE_OK && (out->full || buf_put(addresses, buf_str(&found)) != ST_OK))
		v = COMPOSE_TOO_LONG;
	if (v == COMPOSE_OK)
		*facts_out = w.facts;
	else
		out->n = before;
	buf_fini(&found);
	return v;
}

const struct compose_reply *
compose_reply(enum compose_verdict v)
{
	static const struct compose_reply replies[] = {
	    [COMPOSE_TOO_LONG] = {552, STR_INIT("5.3.4 The header of this message is too long")},
	    [COMPOSE_BYTES] = {550, STR_INIT("5.6.0 The header of this message has a NUL, or a CR or LF without the other")},
	    [COMPOSE_LINE] = {550, STR_INIT("5.6.0 A line before the first empty one is no header field (\"Name: text\")")},
	    [COMPOSE_TWICE] = {550, STR_INIT("5.6.0 From, Sender, Date, Message-ID and Subject may stand in a message only once")},
	    [COMPOSE_NO_FROM] = {550, STR_INIT("5.6.0 This message has no From field: it must say who wrote it")},
	    [COMPOSE_FROM] = {550, STR_INIT("5.6.0 The From field of this message does not hold a valid address")},
	    [COMPOSE_AUTHORS] = {550, STR_INIT("5.6.0 The From field of this message has too many addresses")},
	    [COMPOSE_SENDER] = {550, STR_INIT("5.6.0 The Sender field of this message does not hold one valid address")},
	};

	CHECK(v > COMPOSE_OK && v < COUNT_OF(replies));
	return &replies[v];
}
