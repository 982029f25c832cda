#include "base/num.h"
#include "protocols/smtp/smtp_client_internal.h"
#include "standards/address/address.h"

/* MAIL and RCPT with their parameters: whether they may be sent, and how they are written. */

/* One mailbox without brackets; ST_UNSUPPORTED: good, but for a message with SMTPUTF8. */
static enum status
path_check(struct str path, bool is_smtputf8)
{
	struct address a;

	if (path.n > SMTP_PATH_MAX || address_parse(path, true, &a) != ST_OK)
		return ST_SYNTAX;
	return a.is_utf8 && !is_smtputf8 ? ST_UNSUPPORTED : ST_OK;
}

/* What cannot end a parameter or a line: xtext and more (RFC 3461 4); UTF-8 in orcpt as RFC 6533 3
 * has it. */
static bool
is_param(struct str s, size_t max, bool is_smtputf8)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];
		if (b <= 32 || b == 127 || (b > 127 && !is_smtputf8))
			return false;
	}
	return s.n <= max;
}

/* RFC 2852 4.1.4.1: with mode R only where it is honoured, and in the time it takes at least. */
static bool
is_by_kept(const struct smtp_client *c)
{
	const struct smtp_client_mail *m = c->mail;

	if (!m->has_by || m->by_mode != 'R')
		return true;
	return smtp_client_has(c, SMTP_EXT_DELIVERBY) && m->by_s > 0 &&
	       (uint64_t)m->by_s >= c->ext.by_min_s;
}

/* What the content needs. */
static struct smtp_reply
content_check(const struct smtp_client *c)
{
	const struct smtp_client_mail *m = c->mail;

	/* RFC 3030 3: BINARYMIME is nothing without BDAT. */
	if (m->is_binary &&
	    (!smtp_client_has(c, SMTP_EXT_BINARYMIME) || !smtp_client_has(c, SMTP_EXT_CHUNKING)))
		return smtp_client_local_reply(
		    554, 6, 1, STR("the server does not take BINARYMIME"));
	/* RFC 6152 3 */
	if (m->is_8bit && !m->is_binary && !smtp_client_has(c, SMTP_EXT_8BITMIME))
		return smtp_client_local_reply(554, 6, 3, STR("the server does not take 8BITMIME"));
	/* RFC 1870 6.1 */
	if (c->ext.size_max != 0 && m->size_bytes > c->ext.size_max)
		return smtp_client_local_reply(
		    552, 3, 4, STR("the message is larger than the server takes"));
	return (struct smtp_reply){0};
}

struct smtp_reply
smtp_client_mail_check(const struct smtp_client *c)
{
	const struct smtp_client_mail *m = c->mail;
	enum status st =
	    m->reverse_path.n > 0 ? path_check(m->reverse_path, m->is_smtputf8) : ST_OK;

	if (!smtp_client_can_mail(c))
		return smtp_client_local_reply(
		    452, 5, 3, STR("the server takes no more messages in this session"));
	if (st == ST_SYNTAX)
		return smtp_client_local_reply(553, 1, 7, STR("the sender is no address"));
	/* RFC 6531 3.1 (item 8): never to a server that does not know it. */
	if (st == ST_UNSUPPORTED || (m->is_smtputf8 && !smtp_client_has(c, SMTP_EXT_SMTPUTF8)))
		return smtp_client_local_reply(550, 6, 7, STR("the server does not take SMTPUTF8"));
	/* RFC 8689 4.2.1 */
	if (m->is_requiretls && !(c->is_tls && smtp_client_has(c, SMTP_EXT_REQUIRETLS)))
		return smtp_client_local_reply(
		    550, 7, 30, STR("the server does not take REQUIRETLS"));
	if (!is_by_kept(c))
		return smtp_client_local_reply(
		    550, 4, 7, STR("the server does not keep the time of delivery asked for"));
	if (!is_param(m->envid, SMTP_CLIENT_ENVID_MAX, false))
		return smtp_client_local_reply(501, 5, 4, STR("ENVID is no xtext"));
	return content_check(c);
}

struct smtp_reply
smtp_client_rcpt_check(const struct smtp_client *c, size_t index)
{
	const struct smtp_client_mail *m = c->mail;
	const struct smtp_client_rcpt *r = &m->rcpts[index];
	enum status st = path_check(r->path, m->is_smtputf8);

	/* RFC 9422 4 */
	if (c->ext.rcpt_max != 0 && index >= c->ext.rcpt_max)
		return smtp_client_local_reply(
		    452, 5, 3, STR("the server takes no more recipients in one message"));
	/* RFC 5321 4.1.1.3: the one name without a domain */
	if (st == ST_SYNTAX && str_eq_ci(r->path, STR("postmaster")))
		st = ST_OK;
	if (st == ST_UNSUPPORTED)
		return smtp_client_local_reply(
		    553, 6, 7, STR("the recipient needs a message with SMTPUTF8"));
	if (st != ST_OK)
		return smtp_client_local_reply(553, 1, 3, STR("the recipient is no address"));
	if (!is_param(r->orcpt, SMTP_CLIENT_ORCPT_MAX, m->is_smtputf8))
		return smtp_client_local_reply(501, 5, 4, STR("ORCPT is no xtext"));
	return (struct smtp_reply){0};
}

static void
body_param_put(const struct smtp_client *c, struct buf *out)
{
	if (c->mail->is_binary)
		buf_put(out, STR(" BODY=BINARYMIME"));
	else if (c->mail->is_8bit)
		buf_put(out, STR(" BODY=8BITMIME"));
}

/* RFC 3461 4.3, 4.4 */
static void
dsn_params_put(const struct smtp_client_mail *m, struct buf *out)
{
	if (m->ret == SMTP_CLIENT_RET_FULL)
		buf_put(out, STR(" RET=FULL"));
	else if (m->ret == SMTP_CLIENT_RET_HDRS)
		buf_put(out, STR(" RET=HDRS"));
	if (m->envid.n > 0)
		buf_putf(out, " ENVID=%.*s", STR_ARG(m->envid));
}

/* RFC 2852 4: nine digits */
static void
by_param_put(const struct smtp_client_mail *m, struct buf *out)
{
	long long s = m->by_s > 999999999 ? 999999999 : m->by_s < -999999999 ? -999999999 : m->by_s;

	buf_putf(out, " BY=%lld;%c%s", s, m->by_mode, m->by_trace ? "T" : "");
}

void
smtp_client_mail_put(const struct smtp_client *c, struct buf *out)
{
	const struct smtp_client_mail *m = c->mail;

	buf_putf(out, "MAIL FROM:<%.*s>", STR_ARG(m->reverse_path));
	if (m->size_bytes > 0 && smtp_client_has(c, SMTP_EXT_SIZE))
		buf_putf(out, " SIZE=%llu", (unsigned long long)m->size_bytes);
	body_param_put(c, out);
	if (m->is_smtputf8)
		buf_put(out, STR(" SMTPUTF8"));
	if (smtp_client_has(c, SMTP_EXT_DSN))
		dsn_params_put(m, out);
	if (m->has_by && smtp_client_has(c, SMTP_EXT_DELIVERBY))
		by_param_put(m, out);
	/* RFC 6710 4 */
	if (m->has_priority && smtp_client_has(c, SMTP_EXT_MT_PRIORITY))
		buf_putf(out, " MT-PRIORITY=%d", m->priority);
	if (m->is_requiretls)
		buf_put(out, STR(" REQUIRETLS"));
	buf_put(out, STR("\r\n"));
}

/* RFC 3461 4.1: NEVER stands alone. */
static void
notify_put(uint8_t notify, struct buf *out)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = {
	    {SMTP_CLIENT_NOTIFY_SUCCESS, "SUCCESS"},
	    {SMTP_CLIENT_NOTIFY_FAILURE, "FAILURE"},
	    {SMTP_CLIENT_NOTIFY_DELAY, "DELAY"},
	};
	const char *separator = " NOTIFY=";

	if (notify & SMTP_CLIENT_NOTIFY_NEVER) {
		buf_put(out, STR(" NOTIFY=NEVER"));
		return;
	}
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!(notify & words[i].bit))
			continue;
		buf_putf(out, "%s%s", separator, words[i].word);
		separator = ",";
	}
}

void
smtp_client_rcpt_put(const struct smtp_client *c, size_t index, struct buf *out)
{
	const struct smtp_client_rcpt *r = &c->mail->rcpts[index];

	buf_putf(out, "RCPT TO:<%.*s>", STR_ARG(r->path));
	if (smtp_client_has(c, SMTP_EXT_DSN)) {
		notify_put(r->notify, out);
		if (r->orcpt.n > 0)
			buf_putf(out, " ORCPT=%.*s", STR_ARG(r->orcpt));
	}
	buf_put(out, STR("\r\n"));
}
