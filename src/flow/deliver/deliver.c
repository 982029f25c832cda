#include "flow/deliver/deliver.h"

#include "base/check.h"
#include "directory/directory.h"

static const struct deliver_reply replies[] = {
    [DELIVER_OK] = {250, STR_INIT("2.0.0"), STR_INIT("Delivered")},
    [DELIVER_DUPLICATE] = {250, STR_INIT("2.0.0"), STR_INIT("Delivered")},
    [DELIVER_OVER_QUOTA] = {452, STR_INIT("4.2.2"), STR_INIT("Mailbox full, try again later")},
    [DELIVER_GONE] = {550, STR_INIT("5.2.1"), STR_INIT("Mailbox disabled, not accepting messages")},
};

const struct deliver_reply *
deliver_reply(enum deliver_result r)
{
	return &replies[r];
}

static const struct delivery_rcpt *
rcpt_earlier(const struct delivery_rcpt *rcpts, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (rcpts[k].account.v == rcpts[i].account.v)
			return &rcpts[k];
	return NULL;
}

/* May this account have it? Nothing is written yet, so that a body nobody gets is never put. */
static enum status
rcpt_check(struct txn *t, const struct delivery *d, struct delivery_rcpt *r)
{
	struct account a;
	struct mailbox_usage u;
	uint64_t size = d->body_bytes + r->head.n;
	enum status st = directory_account_get(t, r->account, &a);

	r->result = DELIVER_GONE;
	if (st == ST_NOTFOUND || (st == ST_OK && a.settings.is_disabled))
		return ST_OK;
	if (st == ST_OK)
		st = mailbox_usage(t, r->account, &u);
	if (st != ST_OK)
		return st;
	r->result = DELIVER_OK;
	if (a.settings.quota_bytes &&
	    (size > a.settings.quota_bytes || u.bytes > a.settings.quota_bytes - size))
		r->result = DELIVER_OVER_QUOTA;
	return ST_OK;
}

static enum status
rcpts_check(struct txn *t, const struct delivery *d, struct delivery_rcpt *rcpts, size_t n,
    int32_t *takers_out)
{
	*takers_out = 0;
	for (size_t i = 0; i < n; i++) {
		enum status st = ST_OK;

		rcpts[i].message = (struct message_id){0};
		rcpts[i].uid = 0;
		if (rcpt_earlier(rcpts, i))
			continue; /* settled when its first one is */
		st = rcpt_check(t, d, &rcpts[i]);
		if (st != ST_OK)
			return st;
		*takers_out += rcpts[i].result == DELIVER_OK;
	}
	return ST_OK;
}

static enum status
body_put(struct txn *t, const struct delivery *d, int32_t takers, struct blob_id *blob_out)
{
	enum status st = d->stage ? store_blob_put_staged(t, d->stage, blob_out)
				  : store_blob_put(t, d->parts, d->parts_n, blob_out);

	if (st == ST_OK && takers + d->others > 1)
		st = store_blob_ref(t, *blob_out, takers + d->others - 1);
	/* A digest is for readers; what only passes through has none. */
	return st == ST_OK && takers > 0 ? mailbox_digest_want(t, *blob_out) : st;
}

static enum status
rcpt_append(struct txn *t, const struct delivery *d, struct blob_id blob, struct delivery_rcpt *r)
{
	struct mailbox_cap cap = mailbox_cap_for_delivery(r->account);
	struct mailbox_append a = {blob, d->body_bytes, r->head, 0, d->now_ms};
	struct mailbox inbox;
	struct mailbox_entry e;
	enum status st = mailbox_open(t, &cap, MAILBOX_INBOX, MAILBOX_INSERT, d->now_ms, &inbox);

	if (st == ST_OK)
		st = mailbox_append(&inbox, &a, &e);
	if (st != ST_OK)
		return st;
	r->message = e.message;
	r->uid = e.uid;
	return ST_OK;
}

static void
duplicate_settle(struct delivery_rcpt *r, const struct delivery_rcpt *first)
{
	r->result = first->result == DELIVER_OK ? DELIVER_DUPLICATE : first->result;
	r->message = first->message;
	r->uid = first->uid;
}

enum status
deliver_message(struct txn *t, const struct delivery *d, struct delivery_rcpt *rcpts, size_t n,
    struct blob_id *blob_out)
{
	int32_t takers;
	enum status st;

	*blob_out = (struct blob_id){0};
	CHECK(d->others >= 0 && d->others <= 1);
	if (n > DELIVER_RCPTS_MAX)
		return ST_LIMIT;
	st = rcpts_check(t, d, rcpts, n, &takers);
	if (st == ST_OK && takers + d->others > 0)
		st = body_put(t, d, takers, blob_out);
	for (size_t i = 0; i < n && st == ST_OK; i++) {
		const struct delivery_rcpt *first = rcpt_earlier(rcpts, i);

		if (first)
			duplicate_settle(&rcpts[i], first);
		else if (rcpts[i].result == DELIVER_OK)
			st = rcpt_append(t, d, *blob_out, &rcpts[i]);
	}
	return st;
}
