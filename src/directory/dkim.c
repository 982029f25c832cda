#include "directory/dkim.h"

#include <stdio.h>

#include "base/check.h"
#include "base/civil.h"
#include "base/num.h"
#include "directory/directory_internal.h"
#include "standards/dkim/dkim.h"

#define RECORD_VERSION 1
#define RECORD_BYTES_MAX (DIRECTORY_DKIM_SEALED_BYTES_MAX + DIRECTORY_DKIM_PUBLIC_BYTES_MAX + 64)

_Static_assert(DIRECTORY_DKIM_ARENA_BYTES >= DIRECTORY_DKIM_KEYS_MAX * (RECORD_BYTES_MAX + 64 + sizeof(struct dkim_key_record)), "all keys fit");

/* ---- the record ---- */

static bool
is_known(uint8_t algorithm, uint8_t state)
{
	return (algorithm == DKIM_RSA_SHA256 || algorithm == DKIM_ED25519_SHA256) &&
	       (state == DKIM_KEY_ACTIVE || state == DKIM_KEY_RETIRED);
}

enum status
directory_dkim_encode(const struct dkim_key_record *k, struct buf *out)
{
	if (!is_known(k->algorithm, k->state))
		return ST_SYNTAX;
	if (k->sealed.n > DIRECTORY_DKIM_SEALED_BYTES_MAX || k->public.n > DIRECTORY_DKIM_PUBLIC_BYTES_MAX)
		return ST_LIMIT;
	(void)buf_put_c(out, RECORD_VERSION);
	(void)buf_put_c(out, (char)k->algorithm);
	(void)buf_put_c(out, (char)k->state);
	(void)buf_put_le64(out, k->created_ms);
	(void)buf_put_str16(out, k->sealed);
	(void)buf_put_str16(out, k->public);
	return out->full ? ST_LIMIT : ST_OK;
}

enum status
directory_dkim_decode(struct str record, struct dkim_key_record *out)
{
	struct cur c = cur_of(record);
	struct dkim_key_record k = {0};
	uint8_t version;

	if (!cur_u8(&c, &version) || version != RECORD_VERSION || !cur_u8(&c, &k.algorithm) || !cur_u8(&c, &k.state) ||
	    !cur_le64(&c, &k.created_ms) || !cur_str16(&c, &k.sealed) || !cur_str16(&c, &k.public) || !cur_at_end(&c) ||
	    !is_known(k.algorithm, k.state) || k.sealed.n > DIRECTORY_DKIM_SEALED_BYTES_MAX ||
	    k.public.n > DIRECTORY_DKIM_PUBLIC_BYTES_MAX)
		return ST_SYNTAX;
	*out = k;
	return ST_OK;
}

static enum status
record_copy(struct str record, struct str selector, struct arena *a, struct dkim_key_record *out)
{
	struct dkim_key_record k;
	enum status st = directory_damaged(directory_dkim_decode(record, &k));

	if (st == ST_OK)
		st = arena_str(a, selector, &k.selector);
	if (st == ST_OK)
		st = arena_str(a, k.sealed, &k.sealed);
	if (st == ST_OK)
		st = arena_str(a, k.public, &k.public);
	if (st == ST_OK)
		*out = k;
	return st;
}

/* ---- names ---- */

static bool
selector_is_valid(struct str s)
{
	if (s.n == 0 || s.n > DIRECTORY_DKIM_SELECTOR_BYTES_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!char_is_digit(s.p[i]) && !(s.p[i] >= 'a' && s.p[i] <= 'z') && s.p[i] != '-')
			return false;
	return true;
}

enum status
directory_dkim_selector(uint64_t now_ms, uint8_t algorithm, unsigned nth, struct buf *out)
{
	struct civil day = civil_from_days((int64_t)(now_ms / (24 * 3600 * 1000)));
	char text[64];
	int n = snprintf(
	    text, sizeof(text), "ph%04u%02u%c", (unsigned)(day.year % 10000), (unsigned)day.month, algorithm == DKIM_RSA_SHA256 ? 'r' : 'e');

	if (nth > 0)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%u", nth + 1);
	return buf_put(out, str_of(text, (size_t)n));
}

enum status
directory_dkim_context(struct str domain, struct str selector, struct buf *out)
{
	struct directory_domain_name normal;
	size_t n = out->n;
	enum status st = directory_domain_parse(domain, &normal, NULL);

	if (st != ST_OK)
		return st;
	st = buf_putf(out, "dkim %.*s %.*s", STR_ARG(directory_domain_text(&normal)), STR_ARG(selector));
	if (st != ST_OK)
		out->n = n;
	return st;
}

/* ---- in the store ---- */

static enum status
keys_range(struct txn *t, const struct directory_domain_name *d, struct store_iter *it)
{
	struct key from, to;
	struct str first = key_dkim(&from, directory_domain_text(d), STR_NULL);

	return store_range(t, first, key_after_prefix(&to, first), false, it);
}

/* ST_LIMIT: it has all it may have. */
static enum status
room_check(struct txn *t, const struct directory_domain_name *d)
{
	struct store_iter it;
	size_t n = 0;
	enum status st = keys_range(t, d, &it);

	if (st != ST_OK)
		return st;
	while ((st = store_next(&it)) == ST_OK)
		n++;
	store_iter_end(&it);
	if (st != ST_EOF)
		return st;
	return n < DIRECTORY_DKIM_KEYS_MAX ? ST_OK : ST_LIMIT;
}

enum status
directory_dkim_put(struct txn *t, struct str domain, const struct dkim_key_record *k)
{
	struct domain d;
	struct key key;
	struct str got;
	struct buf record;
	enum status st = directory_domain_get(t, domain, &d);

	if (st != ST_OK)
		return st;
	if (!selector_is_valid(k->selector))
		return ST_SYNTAX;
	st = store_get(t, key_dkim(&key, directory_domain_text(&d.name), k->selector), &got);
	if (st == ST_NOTFOUND)
		st = room_check(t, &d.name);
	buf_init(&record, RECORD_BYTES_MAX);
	if (st == ST_OK)
		st = directory_dkim_encode(k, &record);
	if (st == ST_OK)
		st = store_put(t, key_dkim(&key, directory_domain_text(&d.name), k->selector), buf_str(&record));
	buf_fini(&record);
	return st;
}

/* ST_NOTFOUND: no key can be under such names. */
static enum status
names_check(struct str domain, struct str selector, struct directory_domain_name *out)
{
	return directory_domain_parse(domain, out, NULL) == ST_OK && selector_is_valid(selector) ? ST_OK : ST_NOTFOUND;
}

enum status
directory_dkim_get(struct txn *t, struct str domain, struct str selector, struct arena *a, struct dkim_key_record *out)
{
	struct directory_domain_name d;
	struct key key;
	struct str record;
	enum status st = names_check(domain, selector, &d);

	if (st == ST_OK)
		st = store_get(t, key_dkim(&key, directory_domain_text(&d), selector), &record);
	return st == ST_OK ? record_copy(record, selector, a, out) : st;
}

static enum status
keys_read(struct store_iter *it, const struct directory_domain_name *d, struct arena *a, struct dkim_key_record *out, size_t *n_out)
{
	enum status st;

	while ((st = store_next(it)) == ST_OK) {
		/* Behind the tag, the domain and a NUL. */
		struct str selector = key_last_name(it->key, (size_t)d->n + 2);

		if (*n_out == DIRECTORY_DKIM_KEYS_MAX)
			return ST_IO;
		st = record_copy(it->value, selector, a, &out[*n_out]);
		if (st != ST_OK)
			return st;
		++*n_out;
	}
	return st == ST_EOF ? ST_OK : st;
}

enum status
directory_dkim_list(struct txn *t, struct str domain, struct arena *a, struct dkim_key_record **out, size_t *n_out)
{
	struct directory_domain_name d;
	struct store_iter it;
	enum status st;

	*n_out = 0;
	*out = NULL;
	if (directory_domain_parse(domain, &d, NULL) != ST_OK)
		return ST_OK;
	*out = arena_array(a, DIRECTORY_DKIM_KEYS_MAX, sizeof(**out));
	if (*out == NULL)
		return ST_LIMIT;
	st = keys_range(t, &d, &it);
	if (st != ST_OK)
		return st;
	st = keys_read(&it, &d, a, *out, n_out);
	store_iter_end(&it);
	return st;
}

enum status
directory_dkim_remove(struct txn *t, struct str domain, struct str selector)
{
	struct directory_domain_name d;
	struct key key;
	struct str got;
	enum status st = names_check(domain, selector, &d);

	if (st == ST_OK)
		st = store_get(t, key_dkim(&key, directory_domain_text(&d), selector), &got);
	return st == ST_OK ? store_del(t, key_dkim(&key, directory_domain_text(&d), selector)) : st;
}

/* The first key of a domain, copied: no range is open while it is deleted. ST_EOF: there is none. */
static enum status
first_take(struct txn *t, const struct directory_domain_name *d, struct key *out)
{
	struct store_iter it;
	enum status st = keys_range(t, d, &it);

	if (st != ST_OK)
		return st;
	st = store_next(&it);
	if (st == ST_OK) {
		CHECK(it.key.n <= sizeof(out->p));
		memcpy(out->p, it.key.p, it.key.n);
		out->n = it.key.n;
	}
	store_iter_end(&it);
	return st;
}

enum status
directory_dkim_remove_all(struct txn *t, struct str domain)
{
	struct directory_domain_name d;
	struct key key;
	enum status st = directory_domain_parse(domain, &d, NULL);

	while (st == ST_OK && (st = first_take(t, &d, &key)) == ST_OK)
		st = store_del(t, str_of(key.p, key.n));
	return st == ST_EOF ? ST_OK : st;
}
