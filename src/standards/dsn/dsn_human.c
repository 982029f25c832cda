/* The part for people: what happened, in whose words, and what to do. */
#include "base/utf8.h"
#include "standards/dsn/dsn_internal.h"

/* Columns in front of what is said of a recipient, and of another server's words. */
#define SAID_INDENT 4
#define QUOTE_INDENT 8
/* One paragraph while it is made; the longest holds a table's sentence and an override. */
#define PARA_BYTES_MAX 8192

size_t
dsn_count(const struct dsn *d, enum dsn_action action)
{
	size_t n = 0;

	for (size_t i = 0; i < d->rcpts_n; i++)
		n += d->rcpts[i].action == action;
	return n;
}

static void
line_end(struct buf *out)
{
	(void)buf_put(out, STR("\r\n"));
}

static void
para_flush(struct buf *out, size_t indent, struct buf *para)
{
	dsn_wrap_put(out, indent, str_trim(buf_str(para)));
	buf_reset(para);
}

static struct str
intro_of(const struct dsn *d)
{
	size_t failed = dsn_count(d, DSN_FAILED), delayed = dsn_count(d, DSN_DELAYED);

	if (failed == d->rcpts_n)
		return failed == 1
			   ? STR("Your message could not be delivered to the recipient below.")
			   : STR("Your message could not be delivered to the recipients below.");
	if (delayed == d->rcpts_n)
		return STR("Your message has not been delivered yet. No action is needed: it is "
			   "still being tried. You will hear from us again if it cannot be "
			   "delivered at all.");
	if (failed + delayed == 0)
		return STR("This is the confirmation that you asked for.");
	return delayed == 0 ? STR("This is what became of your message.")
			    : STR("This is what became of your message. Where it is still being "
				  "tried, no action is needed.");
}

static void
facts_put(const struct dsn *d, struct buf *para, struct buf *out)
{
	(void)buf_put(para, STR("Subject: \""));
	dsn_subject_put(d, para);
	if (para->n > sizeof("Subject: \"") - 1) {
		(void)buf_put_c(para, '"');
		para_flush(out, SAID_INDENT, para);
	}
	buf_reset(para);
	if (d->arrival_s != 0) {
		(void)buf_put(para, STR("Received here: "));
		dsn_date_put(para, d->arrival_s);
		para_flush(out, SAID_INDENT, para);
	}
	line_end(out);
}

/* ---- one recipient ---- */

static void
server_put(const struct dsn_rcpt *r, struct buf *para)
{
	dsn_name_put(para, r->remote_mta);
	if (r->remote_ip.n > 0) {
		(void)buf_put(para, STR(" ["));
		dsn_name_put(para, r->remote_ip);
		(void)buf_put_c(para, ']');
	}
}

/* What became of it; the sentence of the table goes on where there is one. */
static void
outcome_put(const struct dsn_rcpt *r, const struct dsn_advice *advice, struct buf *para)
{
	switch (r->action) {
	case DSN_FAILED:
	case DSN_UNKNOWN:
		(void)buf_put(para, STR("Not delivered. "));
		(void)buf_put(para, advice->what);
		break;
	case DSN_DELAYED:
		(void)buf_put(para, STR("Not delivered yet. "));
		(void)buf_put(para, advice->what);
		break;
	case DSN_DELIVERED:
		(void)buf_put(para, STR("Delivered to the mailbox. This does not say that anybody "
					"has read it."));
		break;
	case DSN_RELAYED:
		(void)buf_put(para, STR("Passed on to "));
		if (r->remote_mta.n > 0)
			server_put(r, para);
		else
			(void)buf_put(para, STR("the next server"));
		(void)buf_put(
		    para, STR(". That server took the message, but it does not confirm "
			      "delivery: you will not hear when it reaches the mailbox."));
		break;
	case DSN_EXPANDED:
		(void)buf_put(
		    para, STR("Delivered to this address, which stands for several "
			      "recipients. Their own mailboxes are not confirmed; you may "
			      "still hear if one of them cannot be reached."));
		break;
	}
}

/* The reply line by line as it was given, only wrapped and made harmless. */
static void
quote_put(const struct dsn_rcpt *r, struct buf *para, struct buf *out)
{
	struct str rest = utf8_prefix(r->reply_text, DSN_REPLY_BYTES_MAX), line;

	dsn_reply_head_put(r, para);
	while (rest.n > 0) {
		(void)str_split(rest, '\n', &line, &rest);
		dsn_clean_put(para, line, line.n, true);
		if (rest.n == 0 && r->reply_text.n > DSN_REPLY_BYTES_MAX)
			(void)buf_put(para, STR("..."));
		if (str_trim(buf_str(para)).n > 0)
			para_flush(out, QUOTE_INDENT, para);
	}
	if (str_trim(buf_str(para)).n > 0)
		para_flush(out, QUOTE_INDENT, para);
	buf_reset(para);
}

static void
words_put(const struct dsn_rcpt *r, struct buf *para, struct buf *out)
{
	bool is_ours = r->remote_mta.n == 0;

	if ((r->code == 0 && r->reply_text.n == 0) ||
	    (r->action != DSN_FAILED && r->action != DSN_DELAYED))
		return;
	if (is_ours) {
		(void)buf_put(para, STR("Our own mail system noted:"));
	} else {
		(void)buf_put(para, STR("In the words of the other server, "));
		server_put(r, para);
		(void)buf_put_c(para, ':');
	}
	line_end(out);
	para_flush(out, SAID_INDENT, para);
	line_end(out);
	quote_put(r, para, out);
}

static void
todo_put(const struct dsn_rcpt *r, const struct dsn_advice *advice, struct buf *para)
{
	if (r->action == DSN_DELAYED) {
		(void)buf_put(para, STR("We keep trying"));
		if (r->will_retry_until_s != 0) {
			(void)buf_put(para, STR(" until "));
			dsn_date_put(para, r->will_retry_until_s);
		}
		(void)buf_put(para, STR(". "));
	}
	if (r->advice_override.n > 0) {
		(void)buf_put(para, r->action == DSN_FAILED ? STR("What you can do: ") : STR(""));
		dsn_clean_put(para, r->advice_override, DSN_ADVICE_BYTES_MAX, true);
	} else if (r->action == DSN_FAILED) {
		(void)buf_put(para, STR("What you can do: "));
		(void)buf_put(para, advice->todo);
	}
}

/* The address as the sender wrote it, where it is not the one that the notice is about. */
static void
written_as_put(const struct dsn_rcpt *r, struct buf *para, struct buf *out)
{
	struct str type, address;

	if (r->orcpt.n == 0)
		return;
	dsn_orcpt_put(para, r->orcpt, true);
	(void)str_split(buf_str(para), ';', &type, &address);
	if (!str_eq_ci(address, r->path) &&
	    (str_eq_ci(type, STR("rfc822")) || str_eq_ci(type, STR("utf-8")))) {
		struct buf line;

		buf_init(&line, PARA_BYTES_MAX);
		(void)buf_put(&line, STR("(you wrote to <"));
		(void)buf_put(&line, address);
		(void)buf_put(&line, STR(">, and that leads here)"));
		para_flush(out, SAID_INDENT, &line);
		buf_fini(&line);
	}
	buf_reset(para);
}

static void
rcpt_put(const struct dsn_rcpt *r, struct buf *para, struct buf *out)
{
	uint16_t status[DSN_ENHANCED_PARTS];
	const struct dsn_advice *advice;

	dsn_status_of(r->action, r->code, r->enhanced, status);
	advice = dsn_advice_find(status, r->code);
	(void)buf_put_c(para, '<');
	dsn_clean_put(para, r->path, DSN_PATH_BYTES_MAX, true);
	(void)buf_put_c(para, '>');
	para_flush(out, 0, para);
	written_as_put(r, para, out);
	outcome_put(r, advice, para);
	para_flush(out, SAID_INDENT, para);
	words_put(r, para, out);
	todo_put(r, advice, para);
	if (para->n > 0) {
		line_end(out);
		para_flush(out, SAID_INDENT, para);
	}
	line_end(out);
}

void
dsn_human_put(const struct dsn *d, bool is_whole, struct buf *out)
{
	struct buf para;

	buf_init(&para, PARA_BYTES_MAX);
	(void)buf_put(&para, STR("This is the mail system at "));
	dsn_name_put(&para, d->hostname);
	(void)buf_put_c(&para, '.');
	para_flush(out, 0, &para);
	line_end(out);
	dsn_wrap_put(out, 0, intro_of(d));
	line_end(out);
	facts_put(d, &para, out);
	for (size_t i = 0; i < d->rcpts_n; i++)
		rcpt_put(&d->rcpts[i], &para, out);
	(void)buf_put(&para, STR("The same follows in a form for programs, and then "));
	(void)buf_put(
	    &para, is_whole ? STR("your message. ") : STR("the header of your message. "));
	(void)buf_put(&para, STR("If you need help, write to "));
	dsn_postmaster_put(d, &para);
	(void)buf_put(&para, STR(" and send this notice along."));
	para_flush(out, 0, &para);
	buf_fini(&para);
}
