#include "base/num.h"
#include "protocols/smtp/smtp_internal.h"
#include "standards/date/date.h"

bool
smtp_is_auth_possible(const struct smtp_server *s)
{
	const struct smtp_server_conf *conf = s->conf;

	return conf->is_auth_offered && s->auth_mechs.n > 0 &&
	       (s->is_tls || !conf->is_auth_over_tls_only);
}

bool
smtp_is_xclient_possible(const struct smtp_server *s)
{
	return s->conf->is_xclient_offered && s->is_xclient_allowed;
}

uint32_t
smtp_hold_s_max(const struct smtp_server *s)
{
	uint64_t max = s->conf->futurerelease_s_max;

	/* RFC 4865 4.2 (2): never in relaying. */
	if (s->conf->mode != SMTP_SUBMISSION || s->now == 0)
		return 0;
	return max < SMTP_HOLD_S_MAX ? (uint32_t)max : SMTP_HOLD_S_MAX;
}

static void
line_put(struct buf *out, struct str text)
{
	smtp_reply_put(out, 250, '-', text);
}

/* RFC 9422: numbers of at most six digits. */
static void
limits_put(const struct smtp_server_conf *conf, struct buf *out)
{
	size_t rcpts = size_min(conf->rcpts_max, SMTP_LIMITS_MAX);
	size_t messages = size_min(conf->messages_max, SMTP_LIMITS_MAX);

	buf_putf(out, "250-LIMITS RCPTMAX=%zu", rcpts);
	if (messages > 0 && conf->messages_max < UINT32_MAX)
		buf_putf(out, " MAILMAX=%zu", messages);
	buf_put(out, STR("\r\n"));
}

/* RFC 4865 3: the longest time, and the date that makes of now. */
static void
futurerelease_put(const struct smtp_server *s, struct buf *out)
{
	uint32_t max = smtp_hold_s_max(s);

	if (max == 0)
		return;
	buf_putf(out, "250-FUTURERELEASE %lu ", (unsigned long)max);
	date_format_3339(out, s->now + max, 0);
	buf_put(out, STR("\r\n"));
}

static void
auth_put(const struct smtp_server *s, struct buf *out)
{
	if (!smtp_is_auth_possible(s))
		return;
	buf_put(out, STR("250-AUTH "));
	buf_put(out, s->auth_mechs);
	buf_put(out, STR("\r\n"));
}

/* RFC 2852 3 */
static void
deliverby_put(const struct smtp_server_conf *conf, struct buf *out)
{
	if (!conf->is_deliverby_offered)
		return;
	buf_put(out, STR("250-DELIVERBY"));
	if (conf->deliverby_min_s > 0)
		buf_putf(out, " %lu", (unsigned long)conf->deliverby_min_s);
	buf_put(out, STR("\r\n"));
}

void
smtp_ehlo_put(const struct smtp_server *s, struct buf *out)
{
	const struct smtp_server_conf *conf = s->conf;

	line_put(out, conf->hostname);
	line_put(out, STR("PIPELINING"));
	buf_putf(out, "250-SIZE %llu\r\n", (unsigned long long)conf->message_bytes_max);
	line_put(out, STR("8BITMIME"));
	line_put(out, STR("SMTPUTF8"));
	/* RFC 3207 4.2: not offered again under TLS. */
	if (conf->is_starttls_offered && !s->is_tls)
		line_put(out, STR("STARTTLS"));
	auth_put(s, out);
	if (conf->is_chunking_offered) {
		line_put(out, STR("CHUNKING"));
		line_put(out, STR("BINARYMIME"));
	}
	if (conf->is_dsn_offered)
		line_put(out, STR("DSN"));
	deliverby_put(conf, out);
	/* RFC 6710 3: without the name of a policy. */
	if (conf->is_mt_priority_offered)
		line_put(out, STR("MT-PRIORITY"));
	futurerelease_put(s, out);
	if (smtp_is_xclient_possible(s))
		line_put(out, STR("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"));
	limits_put(conf, out);
	smtp_reply_put(out, 250, ' ', STR("ENHANCEDSTATUSCODES"));
}
