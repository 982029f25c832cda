/* The end of an account: its mail, in steps of bounded size. */
#include "base/num.h"
#include "directory/directory.h"
#include "mailbox/mailbox_internal.h"

/*
 * Keys of the account with the tag of `first`, up to max of them; all are as long as it. ST_OK with
 * *n_out 0: none left. Gathered first: nothing may be written while a range is open.
 */
static enum status
keys_remove(struct txn *t, struct str first, size_t prefix_n, size_t max, size_t *n_out)
{
	struct key to;
	struct store_iter it;
	struct buf keys;
	enum status st =
	    store_range(t, first, key_after_prefix(&to, str_take(first, prefix_n)), false, &it);

	buf_init(&keys, max * first.n);
	for (*n_out = 0; st == ST_OK && *n_out < max && (st = store_next(&it)) == ST_OK; ++*n_out)
		if (it.key.n != first.n || buf_put(&keys, it.key) != ST_OK)
			st = ST_IO;
	store_iter_end(&it);
	if (st == ST_EOF)
		st = ST_OK;
	for (size_t i = 0; i < *n_out && st == ST_OK; i++)
		st = store_del(t, str_take(str_from(buf_str(&keys), i * first.n), first.n));
	buf_fini(&keys);
	return st;
}

static enum status
messages_remove(struct txn *t, struct account_id account, size_t *n_out)
{
	struct key from, to;
	struct store_iter it;
	struct message_id ids[MAILBOX_REMOVE_STEP];
	size_t ops = 0;
	enum status st = store_range(t, key_message(&from, account, (struct message_id){0}),
	    key_message(&to, account, (struct message_id){UINT64_MAX}), false, &it);

	for (*n_out = 0; st == ST_OK && *n_out < COUNT_OF(ids) && (st = store_next(&it)) == ST_OK;
	     ++*n_out)
		ids[*n_out].v = key_last_u64(it.key);
	store_iter_end(&it);
	if (st != ST_OK && st != ST_EOF)
		return st;
	st = ST_OK;
	for (size_t i = 0; i < *n_out && st == ST_OK; i++)
		st = mailbox_message_remove(t, account, ids[i], &ops);
	return st;
}

#define PREFIX_BYTES 9 /* tag and account */

enum status
mailbox_account_remove_step(struct txn *t, struct account_id account, bool *is_done_out)
{
	struct key k;
	size_t n;
	enum status st = messages_remove(t, account, &n);

	*is_done_out = false;
	if (st != ST_OK || n)
		return st;
	st = keys_remove(t, key_chunk(&k, account, (struct mailbox_id){0}, 0), PREFIX_BYTES,
	    MAILBOX_REMOVE_STEP, &n);
	if (st != ST_OK || n == MAILBOX_REMOVE_STEP)
		return st;
	st = keys_remove(t, key_mailbox(&k, account, (struct mailbox_id){0}), PREFIX_BYTES,
	    MAILBOX_REMOVE_STEP, &n);
	if (st != ST_OK || n == MAILBOX_REMOVE_STEP)
		return st;
	st = store_del(t, key_account_state(&k, account));
	if (st == ST_OK)
		st = directory_account_remove_end(t, account);
	*is_done_out = st == ST_OK;
	return st;
}
