#include "flow/relay/relay_internal.h"

static void
text_set(struct relay_reason *r, struct str text)
{
	r->text_n = (uint16_t)size_min(text.n, RELAY_TEXT_MAX);
	for (size_t i = 0; i < r->text_n; i++)
		r->text[i] = text.p[i] >= 32 && text.p[i] < 127 ? text.p[i] : '?';
}

void
relay_reason_set(
    struct relay_reason *r, uint16_t code, uint16_t subject, uint16_t detail, const char *fmt, ...)
{
	struct buf text;
	va_list ap;

	r->code = code;
	r->enhanced[0] = code / 100;
	r->enhanced[1] = subject;
	r->enhanced[2] = detail;
	buf_init(&text, 4 * RELAY_TEXT_MAX);
	va_start(ap, fmt);
	(void)buf_putv(&text, fmt, ap);
	va_end(ap);
	text_set(r, buf_str(&text));
	buf_fini(&text);
}

void
relay_reason_reply(struct relay_reason *r, const struct smtp_reply *reply)
{
	r->code = reply->code;
	memcpy(r->enhanced, reply->enhanced, sizeof(r->enhanced));
	if (r->enhanced[0] == 0) {
		r->enhanced[0] = reply->code / 100;
		r->enhanced[1] = r->enhanced[2] = 0;
	}
	text_set(r, reply->text);
}

void
relay_reason_soften(struct relay_reason *r, const struct relay_session *s)
{
	struct relay_reason was = *r;
	struct buf who;

	buf_init(&who, 512);
	relay_session_name_put(&who, &s->host, &s->target.addr);
	relay_reason_set(r, was.code >= 500 ? 451 : was.code, was.enhanced[1], was.enhanced[2],
	    "%.*s: %u %.*s", STR_ARG(buf_str(&who)), (unsigned)was.code,
	    STR_ARG(relay_reason_text(&was)));
	buf_fini(&who);
}

struct str
relay_reason_text(const struct relay_reason *r)
{
	return str_of(r->text, r->text_n);
}
