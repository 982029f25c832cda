/* Reading the part for programs. Takes any bytes; leaves out what it does not understand. */
#include "base/check.h"
#include "base/num.h"
#include "standards/date/date.h"
#include "standards/dsn/dsn_internal.h"
#include "standards/mime/mime.h"

/* First room for recipients; doubled as needed, so that a small notice needs a small arena. */
#define RCPTS_FIRST 4

struct reader {
	struct arena *a;
	struct dsn_report *out;
	size_t cap;
	struct dsn_rcpt rcpt; /* of the group that is being read */
	bool is_rcpt;	      /* it has a field of a recipient */
};

/* "type; value" (RFC 3464 2.1.2). */
static void
typed_split(struct str value, struct str *type_out, struct str *rest_out)
{
	if (!str_split(value, ';', type_out, rest_out)) {
		*rest_out = value;
		*type_out = STR_NULL;
	}
	*type_out = str_trim(*type_out);
	*rest_out = str_trim(*rest_out);
}

/* Cuts a comment off the end: "name (comment)" (RFC 3464 2.1.1). */
static void
comment_split(struct str *value, struct str *comment_out)
{
	size_t open = str_find_char(*value, '(');

	*comment_out = STR_NULL;
	if (open == value->n || open == 0 || value->p[value->n - 1] != ')')
		return;
	*comment_out = str_take(str_from(*value, open + 1), value->n - open - 2);
	*value = str_trim(str_take(*value, open));
}

static uint64_t
date_of(struct str value)
{
	int64_t s;
	int offset;

	return date_parse(value, &s, &offset) == ST_OK && s > 0 ? (uint64_t)s : 0;
}

static enum dsn_action
action_of(struct str value)
{
	struct str comment;

	comment_split(&value, &comment);
	for (int i = DSN_FAILED; i < DSN_UNKNOWN; i++)
		if (str_eq_ci(value, dsn_action_word((enum dsn_action)i)))
			return (enum dsn_action)i;
	return DSN_UNKNOWN;
}

/* RFC 3464 2.3.4 */
static void
status_read(struct str value, uint16_t out[DSN_ENHANCED_PARTS])
{
	struct cur c = cur_of(value);
	uint64_t v[DSN_ENHANCED_PARTS];

	for (int i = 0; i < DSN_ENHANCED_PARTS; i++)
		if ((i > 0 && !cur_char(&c, '.')) || !cur_u64(&c, &v[i]) || v[i] > 999)
			return;
	for (int i = 0; i < DSN_ENHANCED_PARTS; i++)
		out[i] = (uint16_t)v[i];
}

static void
diagnostic_read(struct str value, struct dsn_rcpt *r)
{
	struct str type, text;
	struct cur c;
	uint64_t code;

	typed_split(value, &type, &text);
	r->reply_text = text;
	c = cur_of(text);
	/* RFC 3461 9.2 */
	if (!str_eq_ci(type, STR("smtp")) || !cur_u64(&c, &code) || code < 200 || code > 599)
		return;
	if (!cur_at_end(&c) && cur_peek(&c) != ' ' && cur_peek(&c) != '-')
		return;
	cur_skip(&c, 1);
	r->code = (uint16_t)code;
	r->reply_text = str_trim(cur_rest(&c));
}

static void
final_recipient_read(struct reader *rd, struct str value)
{
	struct str type, address;
	struct buf plain;

	typed_split(value, &type, &address);
	rd->rcpt.path = address;
	if (!str_eq_ci(type, STR("utf-8")))
		return;
	/* RFC 6533 3; no character is longer decoded than written. */
	buf_init(&plain, size_max(address.n, 1));
	if (dsn_unitext_decode(address, &plain) == ST_OK &&
	    arena_str(rd->a, buf_str(&plain), &rd->rcpt.path) != ST_OK)
		rd->out->is_cut = true;
	buf_fini(&plain);
}

static void
remote_mta_read(struct str value, struct dsn_rcpt *r)
{
	struct str type;

	typed_split(value, &type, &r->remote_mta);
	comment_split(&r->remote_mta, &r->remote_ip);
}

/* True when the field is one of a recipient. */
static bool
rcpt_field_read(struct reader *rd, struct str name, struct str value)
{
	struct dsn_rcpt *r = &rd->rcpt;

	if (str_eq_ci(name, STR("Original-Recipient")))
		r->orcpt = value;
	else if (str_eq_ci(name, STR("Final-Recipient")))
		final_recipient_read(rd, value);
	else if (str_eq_ci(name, STR("Action")))
		r->action = action_of(value);
	else if (str_eq_ci(name, STR("Status")))
		status_read(value, r->enhanced);
	else if (str_eq_ci(name, STR("Remote-MTA")))
		remote_mta_read(value, r);
	else if (str_eq_ci(name, STR("Diagnostic-Code")))
		diagnostic_read(value, r);
	else if (str_eq_ci(name, STR("Last-Attempt-Date")))
		r->last_attempt_s = date_of(value);
	else if (str_eq_ci(name, STR("Will-Retry-Until")))
		r->will_retry_until_s = date_of(value);
	else
		return false;
	return true;
}

static void
message_field_read(struct dsn_report *out, struct str name, struct str value)
{
	struct str type;

	if (str_eq_ci(name, STR("Reporting-MTA")) && out->reporting_mta.n == 0)
		typed_split(value, &type, &out->reporting_mta);
	else if (str_eq_ci(name, STR("Original-Envelope-Id")) && out->envid.n == 0)
		out->envid = value;
	else if (str_eq_ci(name, STR("Arrival-Date")) && out->arrival_s == 0)
		out->arrival_s = date_of(value);
}

static void
rcpt_keep(struct reader *rd)
{
	struct dsn_report *out = rd->out;

	if (out->rcpts_n == DSN_RCPTS_MAX) {
		out->is_cut = true;
		return;
	}
	if (out->rcpts_n == rd->cap) {
		size_t cap = rd->cap == 0 ? RCPTS_FIRST : size_min(rd->cap * 2, DSN_RCPTS_MAX);
		struct dsn_rcpt *more = arena_array(rd->a, cap, sizeof(*more));

		if (more == NULL) {
			out->is_cut = true;
			return;
		}
		if (out->rcpts_n > 0)
			memcpy(more, out->rcpts, out->rcpts_n * sizeof(*more));
		out->rcpts = more;
		rd->cap = cap;
	}
	out->rcpts[out->rcpts_n++] = rd->rcpt;
}

/* Fields up to a blank line or the end. */
static void
group_read(struct reader *rd, struct cur *c)
{
	struct mime_header h;
	size_t fields = 0;

	rd->rcpt = (struct dsn_rcpt){.action = DSN_UNKNOWN};
	rd->is_rcpt = false;
	while (mime_header_next(c, &h)) {
		struct str value;

		if (++fields > DSN_FIELDS_MAX ||
		    mime_unfold_arena(h.value, rd->a, &value) != ST_OK) {
			rd->out->is_cut = true;
			continue;
		}
		if (rcpt_field_read(rd, h.name, value))
			rd->is_rcpt = true;
		else
			message_field_read(rd->out, h.name, value);
	}
	/* Also in the first group, where per-message fields should stand alone. */
	if (rd->is_rcpt)
		rcpt_keep(rd);
}

enum status
dsn_parse(struct str body, struct arena *a, struct dsn_report *out)
{
	struct reader rd = {.a = a, .out = out};
	struct cur c = cur_of(str_take(body, DSN_PARSE_BYTES_MAX));

	*out = (struct dsn_report){.is_cut = body.n > DSN_PARSE_BYTES_MAX};
	while (!cur_at_end(&c)) {
		const char *before = c.p;

		group_read(&rd, &c);
		CHECK(c.p > before);
	}
	return out->is_cut ? ST_LIMIT : ST_OK;
}
