#include "base/check.h"
#include "base/num.h"
#include "directory/directory_internal.h"

static enum status
account_put(struct txn *t, const struct account *a)
{
	struct key k;
	struct buf record;
	enum status st;

	buf_init(&record, DIRECTORY_RECORD_BYTES_MAX);
	st = directory_account_encode(a, &record);
	if (st == ST_OK)
		st = store_put(t, key_account(&k, a->id), buf_str(&record));
	buf_fini(&record);
	return st;
}

static enum status
credential_put(struct txn *t, struct account_id id, const struct credential *credential)
{
	struct key k;
	struct buf record;
	enum status st;

	buf_init(&record, DIRECTORY_RECORD_BYTES_MAX);
	st = credential_encode(credential, &record);
	if (st == ST_OK)
		st = store_put(t, key_credential(&k, id), buf_str(&record));
	buf_fini(&record);
	return st;
}

static enum status
address_put(struct txn *t, const struct directory_address *a, struct str record)
{
	struct key k;

	return store_put(
	    t, key_address(&k, directory_address_domain(a), directory_address_local(a)), record);
}

enum status
directory_entry_get(struct txn *t, struct str local, struct str domain, struct directory_entry *out,
    struct cur *targets_out)
{
	struct key k;
	struct str record;
	enum status st;

	*out = (struct directory_entry){0};
	if (targets_out)
		*targets_out = cur_of(STR_NULL);
	if (!local.n || local.n > SCHEMA_LOCAL_BYTES_MAX || domain.n > SCHEMA_DOMAIN_BYTES_MAX)
		return ST_NOTFOUND;
	st = store_get(t, key_address(&k, domain, local), &record);
	if (st == ST_OK)
		st = directory_damaged(directory_entry_decode(record, out, targets_out));
	return st == ST_OK ? directory_address_make(local, domain, &out->address) : st;
}

/* Parses an address for a new account or alias: its domain is local and it is not taken. */
static enum status
address_is_free(struct txn *t, struct str text, struct directory_address *out,
    struct domain *home_out, struct buf *why)
{
	struct directory_entry former;
	enum status st = directory_address_parse(text, out, why);

	if (st == ST_OK)
		st = directory_home_find(t, out, home_out, why);
	if (st != ST_OK)
		return st;
	st = directory_entry_get(
	    t, directory_address_local(out), directory_address_domain(out), &former, NULL);
	if (st == ST_OK)
		return directory_refuse(why, ST_EXISTS, "%.*s exists already, as an %s",
		    STR_ARG(directory_address_text(out)),
		    former.kind == DIRECTORY_ACCOUNT ? "account" : "alias");
	return st == ST_NOTFOUND ? ST_OK : st;
}

enum status
directory_account_add(struct txn *t, struct str address, const struct credential *credential,
    const struct account_settings *settings, struct account_id *id_out, struct buf *why)
{
	struct account a = {.settings = *settings};
	struct domain home;
	struct key k;
	struct buf record;
	enum status st = address_is_free(t, address, &a.address, &home, why);

	*id_out = (struct account_id){0};
	if (st == ST_OK)
		st = store_add(t, key_counter(&k, SCHEMA_COUNTER_ACCOUNT), 1, &a.id.v);
	if (st != ST_OK)
		return st;
	a.tenant = home.tenant;
	buf_init(&record, DIRECTORY_RECORD_BYTES_MAX);
	st = directory_entry_encode_account(a.id, &record);
	if (st == ST_OK)
		st = address_put(t, &a.address, buf_str(&record));
	buf_fini(&record);
	if (st == ST_OK)
		st = account_put(t, &a);
	if (st == ST_OK)
		st = credential_put(t, a.id, credential);
	if (st == ST_OK)
		*id_out = a.id;
	return st;
}

enum status
directory_account_get(struct txn *t, struct account_id id, struct account *out)
{
	struct key k;
	struct str record;
	enum status st = store_get(t, key_account(&k, id), &record);

	*out = (struct account){0};
	return st == ST_OK ? directory_damaged(directory_account_decode(record, out)) : st;
}

enum status
directory_account_find(struct txn *t, struct str address, struct account *out)
{
	struct directory_address a;
	struct directory_entry e;
	enum status st;

	*out = (struct account){0};
	if (directory_address_parse(address, &a, NULL) != ST_OK)
		return ST_NOTFOUND;
	st = directory_entry_get(
	    t, directory_address_local(&a), directory_address_domain(&a), &e, NULL);
	if (st == ST_OK && e.kind != DIRECTORY_ACCOUNT)
		return ST_NOTFOUND;
	return st == ST_OK ? directory_account_get(t, e.account, out) : st;
}

enum status
directory_account_set(struct txn *t, struct account_id id, const struct account_settings *settings)
{
	struct account a;
	enum status st = directory_account_get(t, id, &a);

	if (st != ST_OK)
		return st;
	a.settings = *settings;
	return account_put(t, &a);
}

enum status
directory_account_credential(struct txn *t, struct account_id id, struct credential *out)
{
	struct key k;
	struct str record;
	enum status st = store_get(t, key_credential(&k, id), &record);

	memset(out, 0, sizeof(*out));
	return st == ST_OK ? directory_damaged(credential_decode(record, out)) : st;
}

enum status
directory_account_set_credential(
    struct txn *t, struct account_id id, const struct credential *credential)
{
	struct account a;
	enum status st = directory_account_get(t, id, &a);

	if (st == ST_OK && a.is_removing)
		return ST_NOTFOUND;
	return st == ST_OK ? credential_put(t, id, credential) : st;
}

enum status
directory_account_remove_begin(
    struct txn *t, struct str address, struct account_id *id_out, struct buf *why)
{
	struct account a;
	struct key k;
	enum status st = directory_account_find(t, address, &a);

	*id_out = a.id;
	if (st == ST_NOTFOUND)
		return directory_refuse(why, st, "there is no such account");
	if (st != ST_OK)
		return st;
	a.is_removing = a.settings.is_disabled = true;
	st = account_put(t, &a);
	if (st == ST_OK)
		st = store_put(t, key_removing(&k, a.id), STR_NULL);
	if (st == ST_OK)
		st = store_del(t, key_credential(&k, a.id));
	if (st == ST_OK)
		st = store_del(t, key_address(&k, directory_address_domain(&a.address),
				      directory_address_local(&a.address)));
	return st;
}

enum status
directory_account_remove_end(struct txn *t, struct account_id id)
{
	struct key k;
	enum status st = store_del(t, key_removing(&k, id));

	return st == ST_OK ? store_del(t, key_account(&k, id)) : st;
}

enum status
directory_removing_next(struct txn *t, struct account_id after, struct account_id *id_out)
{
	struct key k, k_end;
	struct store_iter it;
	enum status st;

	*id_out = (struct account_id){0};
	if (after.v == UINT64_MAX)
		return ST_NOTFOUND;
	after.v++;
	st = store_range(t, key_removing(&k, after),
	    key_after_prefix(&k_end, key_removing(&k_end, (struct account_id){UINT64_MAX})), false,
	    &it);
	if (st == ST_OK)
		st = store_next(&it);
	if (st == ST_OK)
		id_out->v = key_last_u64(it.key);
	store_iter_end(&it);
	return st == ST_EOF ? ST_NOTFOUND : st;
}

/* All targets, checked and without doubles; ST_LIMIT before the first too many. */
static enum status
targets_parse(struct txn *t, struct tenant_id tenant, const struct str *targets, size_t targets_n,
    struct directory_address *out, size_t *n_out, struct buf *why)
{
	*n_out = 0;
	if (targets_n == 0)
		return directory_refuse(why, ST_SYNTAX, "an alias needs at least one target");
	if (targets_n > DIRECTORY_ALIAS_TARGETS_MAX)
		return directory_refuse(
		    why, ST_LIMIT, "an alias has at most %d targets", DIRECTORY_ALIAS_TARGETS_MAX);
	for (size_t i = 0; i < targets_n; i++) {
		size_t k = 0;
		enum status st = directory_target_parse(t, tenant, targets[i], &out[*n_out], why);

		if (st != ST_OK)
			return st;
		while (k < *n_out && !str_eq(directory_address_text(&out[k]),
					 directory_address_text(&out[*n_out])))
			k++;
		if (k == *n_out)
			++*n_out;
	}
	return ST_OK;
}

enum status
directory_alias_add(
    struct txn *t, struct str address, const struct str *targets, size_t targets_n, struct buf *why)
{
	struct directory_address a, parsed[DIRECTORY_ALIAS_TARGETS_MAX];
	struct domain home;
	struct buf record;
	size_t n;
	enum status st = address_is_free(t, address, &a, &home, why);

	if (st == ST_OK)
		st = targets_parse(t, home.tenant, targets, targets_n, parsed, &n, why);
	if (st != ST_OK)
		return st;
	if (n == 1 && str_eq(directory_address_text(&a), directory_address_text(&parsed[0])))
		return directory_refuse(why, ST_DENIED, "an alias cannot be its own only target");
	buf_init(&record, DIRECTORY_RECORD_BYTES_MAX);
	st = directory_entry_encode_alias(parsed, n, &record);
	if (st == ST_OK)
		st = address_put(t, &a, buf_str(&record));
	buf_fini(&record);
	return st;
}

enum status
directory_alias_remove(struct txn *t, struct str address, struct buf *why)
{
	struct directory_address a;
	struct directory_entry e;
	struct key k;
	enum status st = directory_address_parse(address, &a, why);

	if (st != ST_OK)
		return st;
	st = directory_entry_get(
	    t, directory_address_local(&a), directory_address_domain(&a), &e, NULL);
	if (st == ST_NOTFOUND || (st == ST_OK && e.kind != DIRECTORY_ALIAS))
		return directory_refuse(why, ST_NOTFOUND, "there is no alias %.*s",
		    STR_ARG(directory_address_text(&a)));
	return st == ST_OK ? store_del(t, key_address(&k, directory_address_domain(&a),
					      directory_address_local(&a)))
			   : st;
}

enum status
directory_entry_list(struct txn *t, struct str domain, unsigned kinds, struct str after,
    struct directory_entry *page, size_t max, size_t *n_out)
{
	struct key k, k_end;
	struct store_iter it;
	struct directory_domain_name name;
	enum status st = directory_domain_parse(domain, &name, NULL);

	*n_out = 0;
	if (st != ST_OK || after.n > SCHEMA_LOCAL_BYTES_MAX)
		return st != ST_OK ? ST_NOTFOUND : ST_LIMIT;
	domain = directory_domain_text(&name);
	st = store_range(t, key_address(&k, domain, after),
	    key_after_prefix(&k_end, key_address(&k_end, domain, STR_NULL)), false, &it);
	if (st != ST_OK)
		return st;
	while (*n_out < size_min(max, DIRECTORY_PAGE_MAX) && (st = store_next(&it)) == ST_OK) {
		struct directory_entry *e = &page[*n_out];
		struct str local = str_from(it.key, 1 + domain.n + 1);

		if (str_eq(local, after))
			continue;
		st = directory_damaged(directory_entry_decode(it.value, e, NULL));
		if (st == ST_OK)
			st = directory_address_make(local, domain, &e->address);
		if (st != ST_OK)
			break;
		if ((unsigned)e->kind & kinds)
			++*n_out;
	}
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st;
}
