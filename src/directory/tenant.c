#include "base/check.h"
#include "base/num.h"
#include "base/rnd.h"
#include "directory/directory_internal.h"

static bool
name_is_ok(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!char_is_alnum(name.p[i]) && name.p[i] != '-')
			return false;
	return name.n > 0 && name.n <= SCHEMA_NAME_BYTES_MAX;
}

static enum status
tenant_put(struct txn *t, struct tenant_id id, struct str name)
{
	struct key k;
	char id_bytes[4];
	enum status st = store_put(t, key_tenant(&k, id), name);

	le32_put(id_bytes, id.v);
	return st == ST_OK
		   ? store_put(t, key_tenant_name(&k, name), str_of(id_bytes, sizeof(id_bytes)))
		   : st;
}

enum status
directory_init(struct txn *t)
{
	struct key k;
	struct str version;
	uint64_t n;
	enum status st = store_get(t, key_version(&k), &version);

	if (st == ST_OK)
		return version.n == 8 && le64_get(version.p) == SCHEMA_VERSION ? ST_OK
									       : ST_UNSUPPORTED;
	if (st != ST_NOTFOUND)
		return st;
	st = store_add(t, key_version(&k), SCHEMA_VERSION, &n);
	if (st == ST_OK)
		st = store_add(t, key_counter(&k, SCHEMA_COUNTER_TENANT), TENANT_DEFAULT.v, &n);
	return st == ST_OK ? tenant_put(t, TENANT_DEFAULT, STR("default")) : st;
}

enum status
directory_secret(struct txn *t, uint8_t out[DIRECTORY_SECRET_BYTES])
{
	struct key k;
	struct str kept;
	enum status st = store_get(t, key_secret(&k), &kept);

	if (st == ST_OK && kept.n != DIRECTORY_SECRET_BYTES)
		return ST_IO;
	if (st == ST_OK) {
		memcpy(out, kept.p, DIRECTORY_SECRET_BYTES);
		return ST_OK;
	}
	if (st != ST_NOTFOUND)
		return st;
	rnd_bytes(out, DIRECTORY_SECRET_BYTES);
	return store_put(t, key_secret(&k), str_of(out, DIRECTORY_SECRET_BYTES));
}

enum status
directory_tenant_find(struct txn *t, struct str name, struct tenant_id *id_out)
{
	struct key k;
	struct str got;
	enum status st;

	*id_out = (struct tenant_id){0};
	if (!name_is_ok(name))
		return ST_NOTFOUND;
	st = store_get(t, key_tenant_name(&k, name), &got);
	if (st != ST_OK)
		return st;
	if (got.n != 4)
		return ST_IO;
	id_out->v = le32_get(got.p);
	return ST_OK;
}

enum status
directory_tenant_add(struct txn *t, struct str name, struct tenant_id *id_out, struct buf *why)
{
	struct key k;
	uint64_t id;
	enum status st;

	if (!name_is_ok(name))
		return directory_refuse(why, ST_SYNTAX,
		    "a tenant's name is 1 to %d letters, digits and hyphens",
		    SCHEMA_NAME_BYTES_MAX);
	st = directory_tenant_find(t, name, id_out);
	if (st == ST_OK)
		return directory_refuse(
		    why, ST_EXISTS, "tenant %.*s exists already", STR_ARG(name));
	if (st != ST_NOTFOUND)
		return st;
	st = store_add(t, key_counter(&k, SCHEMA_COUNTER_TENANT), 1, &id);
	if (st != ST_OK)
		return st;
	if (id > UINT32_MAX)
		return ST_LIMIT;
	id_out->v = (uint32_t)id;
	return tenant_put(t, *id_out, name);
}

enum status
directory_tenant_remove(struct txn *t, struct str name, struct buf *why)
{
	struct key k;
	struct tenant_id id;
	struct domain first;
	size_t n;
	enum status st = directory_tenant_find(t, name, &id);

	if (st == ST_NOTFOUND)
		return directory_refuse(why, st, "there is no such tenant");
	if (st != ST_OK)
		return st;
	if (id.v == TENANT_DEFAULT.v)
		return directory_refuse(why, ST_DENIED, "the default tenant stays");
	st = directory_domain_list(t, id, STR_NULL, &first, 1, &n);
	if (st != ST_OK)
		return st;
	if (n)
		return directory_refuse(why, ST_DENIED,
		    "tenant %.*s still has domains, among them %.*s: "
		    "remove them first",
		    STR_ARG(name), STR_ARG(directory_domain_text(&first.name)));
	st = store_del(t, key_tenant(&k, id));
	return st == ST_OK ? store_del(t, key_tenant_name(&k, name)) : st;
}

enum status
directory_tenant_list(
    struct txn *t, struct str after, struct tenant *page, size_t max, size_t *n_out)
{
	struct key k, k_end;
	struct store_iter it;
	struct str to = key_after_prefix(&k_end, key_tenant_name(&k, STR_NULL));
	enum status st;

	*n_out = 0;
	if (after.n > SCHEMA_NAME_BYTES_MAX)
		return ST_LIMIT;
	st = store_range(t, key_tenant_name(&k, after), to, false, &it);
	if (st != ST_OK)
		return st;
	while (*n_out < size_min(max, DIRECTORY_PAGE_MAX) && (st = store_next(&it)) == ST_OK) {
		struct tenant *one = &page[*n_out];
		struct str name = str_from(it.key, 1);

		if (str_eq(name, after))
			continue;
		if (it.value.n != 4 || name.n > sizeof(one->name)) {
			st = ST_IO;
			break;
		}
		one->id.v = le32_get(it.value.p);
		one->name_n = (uint8_t)name.n;
		memcpy(one->name, name.p, name.n);
		++*n_out;
	}
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st;
}
