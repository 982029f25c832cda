#include "base/check.h"
#include "base/num.h"
#include "directory/directory_internal.h"
#include "directory/dkim.h"

static enum status
domain_put(struct txn *t, const struct domain *d)
{
	struct key k;
	struct buf record;
	enum status st;

	buf_init(&record, DIRECTORY_RECORD_BYTES_MAX);
	st = directory_domain_encode(d, &record);
	if (st == ST_OK)
		st =
		    store_put(t, key_domain(&k, directory_domain_text(&d->name)), buf_str(&record));
	buf_fini(&record);
	return st;
}

/* name in normal form. */
static enum status
domain_get(struct txn *t, const struct directory_domain_name *name, struct domain *out)
{
	struct key k;
	struct str record;
	enum status st = store_get(t, key_domain(&k, directory_domain_text(name)), &record);

	*out = (struct domain){0};
	if (st != ST_OK)
		return st;
	st = directory_damaged(directory_domain_decode(record, out));
	out->name = *name;
	return st;
}

enum status
directory_domain_get(struct txn *t, struct str name, struct domain *out)
{
	struct directory_domain_name normal;

	*out = (struct domain){0};
	return directory_domain_parse(name, &normal, NULL) == ST_OK ? domain_get(t, &normal, out)
								    : ST_NOTFOUND;
}

/* The same for those who then tell somebody. */
static enum status
domain_find(struct txn *t, struct str name, struct domain *out, struct buf *why)
{
	struct directory_domain_name normal;
	enum status st = directory_domain_parse(name, &normal, why);

	if (st != ST_OK)
		return st;
	st = domain_get(t, &normal, out);
	if (st == ST_NOTFOUND)
		return directory_refuse(
		    why, st, "domain %.*s is not here", STR_ARG(directory_domain_text(&normal)));
	return st;
}

enum status
directory_domain_add(struct txn *t, struct tenant_id tenant, struct str name, struct buf *why)
{
	struct domain d = {.tenant = tenant}, former;
	struct key k;
	struct str got;
	enum status st = directory_domain_parse(name, &d.name, why);

	if (st != ST_OK)
		return st;
	st = domain_get(t, &d.name, &former);
	if (st == ST_OK)
		return directory_refuse(why, ST_EXISTS, "domain %.*s exists already",
		    STR_ARG(directory_domain_text(&d.name)));
	if (st != ST_NOTFOUND)
		return st;
	st = store_get(t, key_tenant(&k, tenant), &got);
	if (st == ST_NOTFOUND)
		return directory_refuse(why, st, "there is no such tenant");
	if (st == ST_OK)
		st = domain_put(t, &d);
	if (st == ST_OK)
		st = store_put(
		    t, key_tenant_domain(&k, tenant, directory_domain_text(&d.name)), STR_NULL);
	return st;
}

static enum status
domain_has_addresses(struct txn *t, const struct domain *d, bool *has_out)
{
	struct directory_entry first;
	size_t n;
	enum status st = directory_entry_list(t, directory_domain_text(&d->name),
	    DIRECTORY_ACCOUNT | DIRECTORY_ALIAS, STR_NULL, &first, 1, &n);

	*has_out = n > 0;
	return st;
}

/* One alias more or fewer points here. */
static enum status
target_count(struct txn *t, const struct directory_domain_name *name, bool is_more)
{
	struct domain target;
	enum status st = domain_get(t, name, &target);

	if (st != ST_OK)
		return st == ST_NOTFOUND ? ST_IO : st;
	if (!is_more && !target.aliases_n)
		return ST_IO;
	target.aliases_n = is_more ? target.aliases_n + 1 : target.aliases_n - 1;
	return domain_put(t, &target);
}

static enum status
alias_check(struct txn *t, const struct domain *d, const struct domain *target, struct buf *why)
{
	bool has_addresses;
	enum status st;

	if (str_eq(directory_domain_text(&d->name), directory_domain_text(&target->name)))
		return directory_refuse(why, ST_DENIED, "a domain cannot be an alias of itself");
	if (target->alias_of.n)
		return directory_refuse(why, ST_DENIED, "domain %.*s is an alias itself, of %.*s",
		    STR_ARG(directory_domain_text(&target->name)),
		    STR_ARG(directory_domain_text(&target->alias_of)));
	if (target->tenant.v != d->tenant.v)
		return directory_refuse(why, ST_DENIED, "domain %.*s belongs to another tenant",
		    STR_ARG(directory_domain_text(&target->name)));
	if (d->aliases_n)
		return directory_refuse(why, ST_DENIED, "%u domains are aliases of %.*s",
		    d->aliases_n, STR_ARG(directory_domain_text(&d->name)));
	st = domain_has_addresses(t, d, &has_addresses);
	if (st == ST_OK && has_addresses)
		return directory_refuse(why, ST_DENIED,
		    "domain %.*s has accounts or aliases of its own: remove them first",
		    STR_ARG(directory_domain_text(&d->name)));
	return st;
}

enum status
directory_domain_alias(struct txn *t, struct str name, struct str target, struct buf *why)
{
	struct domain d, to = {0};
	struct directory_domain_name former;
	enum status st = domain_find(t, name, &d, why);

	if (st == ST_OK && target.n)
		st = domain_find(t, target, &to, why);
	if (st == ST_OK && target.n)
		st = alias_check(t, &d, &to, why);
	if (st != ST_OK)
		return st;
	former = d.alias_of;
	d.alias_of = to.name;
	st = domain_put(t, &d);
	if (st == ST_OK && former.n)
		st = target_count(t, &former, false);
	return st == ST_OK && target.n ? target_count(t, &to.name, true) : st;
}

enum status
directory_home_find(
    struct txn *t, const struct directory_address *a, struct domain *out, struct buf *why)
{
	enum status st = domain_find(t, directory_address_domain(a), out, why);

	if (st == ST_OK && out->alias_of.n)
		return directory_refuse(why, ST_DENIED,
		    "domain %.*s is an alias of %.*s: its addresses stand there",
		    STR_ARG(directory_domain_text(&out->name)),
		    STR_ARG(directory_domain_text(&out->alias_of)));
	return st;
}

enum status
directory_target_parse(struct txn *t, struct tenant_id tenant, struct str text,
    struct directory_address *out, struct buf *why)
{
	struct domain d;
	enum status st = directory_address_parse(text, out, why);

	if (st != ST_OK)
		return st;
	st = domain_find(t, directory_address_domain(out), &d, NULL);
	if (st == ST_NOTFOUND || (st == ST_OK && d.tenant.v != tenant.v))
		return directory_refuse(why, ST_DENIED,
		    "%.*s is not in one of the local domains: forwarding to other hosts is not "
		    "supported",
		    STR_ARG(directory_address_text(out)));
	return st;
}

enum status
directory_domain_catch_all(struct txn *t, struct str name, struct str address, struct buf *why)
{
	struct domain d;
	enum status st = domain_find(t, name, &d, why);

	if (st != ST_OK)
		return st;
	d.catch_all = (struct directory_address){0};
	if (address.n)
		st = directory_target_parse(t, d.tenant, address, &d.catch_all, why);
	return st == ST_OK ? domain_put(t, &d) : st;
}

enum status
directory_domain_remove(struct txn *t, struct str name, struct buf *why)
{
	struct domain d;
	struct key k;
	bool has_addresses;
	enum status st = domain_find(t, name, &d, why);

	if (st != ST_OK)
		return st;
	if (d.aliases_n)
		return directory_refuse(why, ST_DENIED, "%u domains are aliases of %.*s",
		    d.aliases_n, STR_ARG(directory_domain_text(&d.name)));
	st = domain_has_addresses(t, &d, &has_addresses);
	if (st == ST_OK && has_addresses)
		return directory_refuse(why, ST_DENIED,
		    "domain %.*s still has accounts or aliases: remove them first",
		    STR_ARG(directory_domain_text(&d.name)));
	if (st == ST_OK && d.alias_of.n)
		st = target_count(t, &d.alias_of, false);
	if (st == ST_OK)
		st = directory_dkim_remove_all(t, directory_domain_text(&d.name));
	if (st == ST_OK)
		st = store_del(t, key_domain(&k, directory_domain_text(&d.name)));
	if (st == ST_OK)
		st = store_del(t, key_tenant_domain(&k, d.tenant, directory_domain_text(&d.name)));
	return st;
}

enum status
directory_domain_list(struct txn *t, struct tenant_id tenant, struct str after, struct domain *page,
    size_t max, size_t *n_out)
{
	struct key k, k_end;
	struct store_iter it;
	struct str to = key_after_prefix(&k_end, key_tenant_domain(&k, tenant, STR_NULL));
	enum status st;

	*n_out = 0;
	if (after.n > SCHEMA_DOMAIN_BYTES_MAX)
		return ST_LIMIT;
	st = store_range(t, key_tenant_domain(&k, tenant, after), to, false, &it);
	if (st != ST_OK)
		return st;
	while (*n_out < size_min(max, DIRECTORY_PAGE_MAX) && (st = store_next(&it)) == ST_OK) {
		struct directory_domain_name found = {0};
		struct str name = str_from(it.key, SCHEMA_TENANT_DOMAIN_SKIP);

		if (str_eq(name, after))
			continue;
		CHECK(name.n <= sizeof(found.text));
		found.n = (uint16_t)name.n;
		memcpy(found.text, name.p, name.n);
		st = domain_get(t, &found, &page[*n_out]);
		if (st != ST_OK)
			break;
		++*n_out;
	}
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st == ST_NOTFOUND ? ST_IO : st;
}
