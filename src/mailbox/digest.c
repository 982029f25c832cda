#include "base/num.h"
#include "mailbox/mailbox_internal.h"

enum status
mailbox_digest_want(struct txn *t, struct blob_id blob)
{
	struct key k;

	return store_put(t, key_digest_pending(&k, blob), STR_NULL);
}

enum status
mailbox_digest_pending(
    struct txn *t, struct blob_id after, struct blob_id *blobs, size_t max, size_t *n_out)
{
	struct key from, to;
	struct store_iter it;
	enum status st;

	*n_out = 0;
	if (after.v == UINT64_MAX)
		return ST_OK;
	after.v++;
	st = store_range(t, key_digest_pending(&from, after),
	    key_after_prefix(&to, key_digest_pending(&to, (struct blob_id){UINT64_MAX})), false,
	    &it);
	while (st == ST_OK && *n_out < size_min(max, MAILBOX_PENDING_PAGE_MAX) &&
	       (st = store_next(&it)) == ST_OK)
		blobs[(*n_out)++].v = key_last_u64(it.key);
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st;
}

enum status
mailbox_digest_put(struct txn *t, struct blob_id blob, struct str digest)
{
	struct key k;
	uint64_t size;
	enum status st, found;

	if (digest.n > MAILBOX_DIGEST_BYTES_MAX)
		return ST_LIMIT;
	found = store_blob_size(t, blob, &size);
	if (found != ST_OK && found != ST_NOTFOUND)
		return found;
	st = store_del(t, key_digest_pending(&k, blob));
	if (st == ST_OK && found == ST_OK)
		st = store_put(t, key_digest(&k, blob), digest);
	return st == ST_OK ? found : st;
}
