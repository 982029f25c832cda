/* The part for programs (RFC 3464 2, RFC 6533 4.1), and the words and numbers in it. */
#include "base/utf8.h"
#include "standards/dsn/dsn_internal.h"

/* One field's value while it is made: the longest is an address in \x{...}, 6 bytes for each. */
#define VALUE_BYTES_MAX 8192

struct str
dsn_action_word(enum dsn_action action)
{
	switch (action) { /* RFC 3464 2.3.3 */
	case DSN_FAILED:
		return STR("failed");
	case DSN_DELAYED:
		return STR("delayed");
	case DSN_DELIVERED:
		return STR("delivered");
	case DSN_RELAYED:
		return STR("relayed");
	case DSN_EXPANDED:
		return STR("expanded");
	case DSN_UNKNOWN:
		break;
	}
	return STR("unknown");
}

static uint16_t
class_of(enum dsn_action action, uint16_t code)
{
	uint16_t by_code = code / 100;

	if (by_code == 2 || by_code == 4 || by_code == 5)
		return by_code;
	if (action == DSN_DELAYED)
		return 4;
	return action == DSN_FAILED || action == DSN_UNKNOWN ? 5 : 2;
}

void
dsn_status_of(enum dsn_action action, uint16_t code, const uint16_t given[DSN_ENHANCED_PARTS],
    uint16_t status_out[DSN_ENHANCED_PARTS])
{
	/* RFC 3463 2: class 2, 4 or 5, the others of at most three digits. */
	bool is_given =
	    (given[0] == 2 || given[0] == 4 || given[0] == 5) && given[1] <= 999 && given[2] <= 999;

	/* RFC 3461 6.3 (g) */
	status_out[0] = is_given ? given[0] : class_of(action, code);
	status_out[1] = is_given ? given[1] : 0;
	status_out[2] = is_given ? given[2] : 0;
}

/* "d.d.d" and a space or the end, as servers write it in front of their text (RFC 2034 4). */
static bool
has_enhanced(struct str text)
{
	struct cur c = cur_of(text);
	uint64_t v;

	return cur_u64(&c, &v) && cur_char(&c, '.') && cur_u64(&c, &v) && cur_char(&c, '.') &&
	       cur_u64(&c, &v) && (cur_at_end(&c) || cur_peek(&c) <= ' ');
}

static bool
has_code(struct str text, uint16_t code)
{
	struct cur c = cur_of(text);
	uint64_t v;

	return cur_u64(&c, &v) && v == code && (cur_peek(&c) == ' ' || cur_peek(&c) == '-');
}

void
dsn_reply_head_put(const struct dsn_rcpt *r, struct buf *out)
{
	if (r->code == 0 || has_code(r->reply_text, r->code))
		return;
	(void)buf_putf(out, "%u ", (unsigned)r->code);
	if (r->enhanced[0] != 0 && !has_enhanced(r->reply_text))
		(void)buf_putf(out, "%u.%u.%u ", (unsigned)r->enhanced[0], (unsigned)r->enhanced[1],
		    (unsigned)r->enhanced[2]);
}

/* RFC 3464 2.3.2; RFC 6533 3 for what is not ASCII. */
static void
final_recipient_put(const struct dsn *d, struct str path, struct buf *value)
{
	struct buf clean;

	buf_init(&clean, 4 * DSN_PATH_BYTES_MAX);
	dsn_clean_put(&clean, path, DSN_PATH_BYTES_MAX, true);
	(void)buf_put(value, utf8_is_ascii(buf_str(&clean)) ? STR("rfc822;") : STR("utf-8;"));
	if (utf8_is_ascii(buf_str(&clean)) || d->is_smtputf8)
		(void)buf_put(value, buf_str(&clean));
	else
		dsn_unitext_encode(buf_str(&clean), value);
	buf_fini(&clean);
}

/* RFC 3464 2.3.5, with the address as RFC 3464 2.2.4 has it beside a name. */
static void
remote_mta_put(const struct dsn_rcpt *r, struct buf *value)
{
	(void)buf_put(value, STR("dns; "));
	dsn_name_put(value, r->remote_mta);
	if (r->remote_ip.n == 0)
		return;
	(void)buf_put(value, STR(" ("));
	dsn_name_put(value, r->remote_ip);
	(void)buf_put_c(value, ')');
}

/* RFC 3464 2.3.6, RFC 3461 9.2: "smtp" only for what was an SMTP reply. */
static void
diagnostic_put(const struct dsn *d, const struct dsn_rcpt *r, struct buf *value)
{
	(void)buf_put(value, r->code != 0 ? STR("smtp; ") : STR("x-posthorn; "));
	dsn_reply_head_put(r, value);
	dsn_clean_put(value, r->reply_text, DSN_REPLY_BYTES_MAX, d->is_smtputf8);
}

static void
value_flush(struct buf *out, struct str name, struct buf *value)
{
	dsn_field_put(out, name, str_trim(buf_str(value)));
	buf_reset(value);
}

/* In the order of RFC 3464 2.3. */
static void
rcpt_put(const struct dsn *d, const struct dsn_rcpt *r, struct buf *value, struct buf *out)
{
	uint16_t status[DSN_ENHANCED_PARTS];

	if (r->orcpt.n > 0) {
		dsn_orcpt_put(value, r->orcpt, d->is_smtputf8);
		value_flush(out, STR("Original-Recipient"), value);
	}
	final_recipient_put(d, r->path, value);
	value_flush(out, STR("Final-Recipient"), value);
	dsn_field_put(out, STR("Action"), dsn_action_word(r->action));
	dsn_status_of(r->action, r->code, r->enhanced, status);
	(void)buf_putf(out, "Status: %u.%u.%u\r\n", (unsigned)status[0], (unsigned)status[1],
	    (unsigned)status[2]);
	if (r->remote_mta.n > 0) {
		remote_mta_put(r, value);
		value_flush(out, STR("Remote-MTA"), value);
	}
	if (r->code != 0 || r->reply_text.n > 0) {
		diagnostic_put(d, r, value);
		value_flush(out, STR("Diagnostic-Code"), value);
	}
	dsn_date_field_put(out, STR("Last-Attempt-Date"), r->last_attempt_s);
	/* RFC 3464 2.3.9: in no other notice. */
	if (r->action == DSN_DELAYED)
		dsn_date_field_put(out, STR("Will-Retry-Until"), r->will_retry_until_s);
}

/* RFC 3464 2.2.1, RFC 3461 6.3 (a): not in xtext; what hides something stays in it. */
static void
envid_put(struct str envid, struct buf *value)
{
	struct buf plain;
	bool is_ok;

	buf_init(&plain, DSN_ENVID_BYTES_MAX);
	is_ok = dsn_xtext_decode(str_take(envid, DSN_ENVID_BYTES_MAX), &plain) == ST_OK;
	for (size_t i = 0; i < plain.n && is_ok; i++)
		is_ok = plain.p[i] >= ' ' && plain.p[i] <= '~';
	dsn_clean_put(value, is_ok && envid.n <= DSN_ENVID_BYTES_MAX ? buf_str(&plain) : envid,
	    DSN_ENVID_BYTES_MAX, false);
	buf_fini(&plain);
}

void
dsn_status_put(const struct dsn *d, struct buf *out)
{
	/* RFC 3461 6.3 (b): "dns" only for a name that is one. */
	bool is_dns = str_find_char(d->hostname, '.') < d->hostname.n;
	struct buf value;

	buf_init(&value, VALUE_BYTES_MAX);
	if (d->envid.n > 0) {
		envid_put(d->envid, &value);
		value_flush(out, STR("Original-Envelope-Id"), &value);
	}
	(void)buf_put(&value, is_dns ? STR("dns; ") : STR("x-local-hostname; "));
	dsn_name_put(&value, d->hostname);
	value_flush(out, STR("Reporting-MTA"), &value);
	dsn_date_field_put(out, STR("Arrival-Date"), d->arrival_s);
	for (size_t i = 0; i < d->rcpts_n; i++) {
		(void)buf_put(out, STR("\r\n"));
		rcpt_put(d, &d->rcpts[i], &value, out);
	}
	buf_fini(&value);
}
