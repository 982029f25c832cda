/* The bytes of the directory's records, and the names in them. */
#include <stdarg.h>

#include "base/check.h"
#include "base/num.h"
#include "directory/directory_internal.h"
#include "standards/address/address.h"

#define RECORD_VERSION 1

enum settings_bit {
	BIT_DISABLED = 1,
	BIT_POP3_DELETE_RETRIEVED = 2,
	BIT_REMOVING = 4,
	BITS_ALL = 7
};

enum status
directory_refuse(struct buf *why, enum status st, const char *fmt, ...)
{
	va_list ap;

	if (why) {
		va_start(ap, fmt);
		(void)buf_putv(why, fmt, ap);
		va_end(ap);
	}
	return st;
}

enum status
directory_damaged(enum status st)
{
	return st == ST_SYNTAX ? ST_IO : st;
}

enum status
directory_address_make(struct str local, struct str domain, struct directory_address *out)
{
	*out = (struct directory_address){0};
	if (local.n > SCHEMA_LOCAL_BYTES_MAX || domain.n > SCHEMA_DOMAIN_BYTES_MAX)
		return ST_LIMIT;
	out->at = (uint16_t)local.n;
	out->n = (uint16_t)(local.n + 1 + domain.n);
	if (local.n)
		memcpy(out->text, local.p, local.n);
	out->text[local.n] = '@';
	if (domain.n)
		memcpy(out->text + local.n + 1, domain.p, domain.n);
	return ST_OK;
}

/* text is in normal form already. */
static enum status
address_from_text(struct str text, struct directory_address *out)
{
	size_t at = str_find_char_last(text, '@');

	if (at == text.n || at == 0 || at + 1 == text.n)
		return ST_SYNTAX;
	return directory_address_make(str_take(text, at), str_from(text, at + 1), out) == ST_OK
		   ? ST_OK
		   : ST_SYNTAX;
}

enum status
directory_address_parse(struct str text, struct directory_address *out, struct buf *why)
{
	struct address a;
	struct buf normal;
	enum status st;

	*out = (struct directory_address){0};
	if (address_parse(text, true, &a) != ST_OK || a.is_literal)
		return directory_refuse(
		    why, ST_SYNTAX, "that is not an address of the form name@domain");
	buf_init(&normal, DIRECTORY_ADDRESS_BYTES_MAX);
	st = address_normalise(&a, &normal);
	if (st == ST_OK)
		st = address_from_text(buf_str(&normal), out);
	buf_fini(&normal);
	if (st != ST_OK)
		return directory_refuse(
		    why, ST_SYNTAX, "the domain of that address is not a domain name");
	return ST_OK;
}

enum status
directory_domain_parse(struct str text, struct directory_domain_name *out, struct buf *why)
{
	struct buf normal;
	enum status st = address_domain_check(text, true);

	*out = (struct directory_domain_name){0};
	buf_init(&normal, SCHEMA_DOMAIN_BYTES_MAX);
	if (st == ST_OK)
		st = address_domain_normalise(text, &normal);
	if (st == ST_OK && normal.n) {
		out->n = (uint16_t)normal.n;
		memcpy(out->text, normal.p, normal.n);
	}
	buf_fini(&normal);
	if (!out->n)
		return directory_refuse(why, ST_SYNTAX, "that is not a domain name");
	return ST_OK;
}

static void
put_u32(struct buf *out, uint32_t v)
{
	char bytes[4];

	le32_put(bytes, v);
	(void)buf_put(out, str_of(bytes, sizeof(bytes)));
}

static void
put_u64(struct buf *out, uint64_t v)
{
	char bytes[8];

	le64_put(bytes, v);
	(void)buf_put(out, str_of(bytes, sizeof(bytes)));
}

static void
put_text(struct buf *out, struct str s)
{
	char bytes[2];

	CHECK(s.n <= UINT16_MAX);
	le16_put(bytes, (uint16_t)s.n);
	(void)buf_put(out, str_of(bytes, sizeof(bytes)));
	(void)buf_put(out, s);
}

static bool
take_text(struct cur *c, struct str *out)
{
	uint16_t n;

	return cur_le16(c, &n) && cur_take(c, n, out);
}

static bool
take_version(struct cur *c)
{
	uint8_t version;

	return cur_u8(c, &version) && version == RECORD_VERSION;
}

/* An empty text is no address. */
static bool
take_address(struct cur *c, struct directory_address *out)
{
	struct str text;

	*out = (struct directory_address){0};
	return take_text(c, &text) && (text.n == 0 || address_from_text(text, out) == ST_OK);
}

enum status
directory_domain_encode(const struct domain *d, struct buf *out)
{
	(void)buf_put_c(out, RECORD_VERSION);
	put_u32(out, d->tenant.v);
	put_u32(out, d->aliases_n);
	put_text(out, directory_domain_text(&d->alias_of));
	put_text(out, directory_address_text(&d->catch_all));
	return out->full ? ST_LIMIT : ST_OK;
}

enum status
directory_domain_decode(struct str record, struct domain *out)
{
	struct cur c = cur_of(record);
	struct str alias_of;

	*out = (struct domain){0};
	if (!take_version(&c) || !cur_le32(&c, &out->tenant.v) || !cur_le32(&c, &out->aliases_n) ||
	    !take_text(&c, &alias_of) || alias_of.n > sizeof(out->alias_of.text) ||
	    !take_address(&c, &out->catch_all) || !cur_at_end(&c))
		return ST_SYNTAX;
	out->alias_of.n = (uint16_t)alias_of.n;
	if (alias_of.n)
		memcpy(out->alias_of.text, alias_of.p, alias_of.n);
	return ST_OK;
}

enum status
directory_account_encode(const struct account *a, struct buf *out)
{
	unsigned bits = (a->settings.is_disabled ? BIT_DISABLED : 0u) |
			(a->settings.is_pop3_delete_retrieved ? BIT_POP3_DELETE_RETRIEVED : 0u) |
			(a->is_removing ? BIT_REMOVING : 0u);

	(void)buf_put_c(out, RECORD_VERSION);
	put_u64(out, a->id.v);
	put_u32(out, a->tenant.v);
	(void)buf_put_c(out, (char)bits);
	put_u64(out, a->settings.quota_bytes);
	put_text(out, directory_address_text(&a->address));
	return out->full ? ST_LIMIT : ST_OK;
}

enum status
directory_account_decode(struct str record, struct account *out)
{
	struct cur c = cur_of(record);
	uint8_t bits;

	*out = (struct account){0};
	if (!take_version(&c) || !cur_le64(&c, &out->id.v) || !cur_le32(&c, &out->tenant.v) ||
	    !cur_u8(&c, &bits) || bits > BITS_ALL || !cur_le64(&c, &out->settings.quota_bytes) ||
	    !take_address(&c, &out->address) || !out->address.n || !cur_at_end(&c))
		return ST_SYNTAX;
	out->settings.is_disabled = bits & BIT_DISABLED;
	out->settings.is_pop3_delete_retrieved = bits & BIT_POP3_DELETE_RETRIEVED;
	out->is_removing = bits & BIT_REMOVING;
	return ST_OK;
}

enum status
directory_entry_encode_account(struct account_id id, struct buf *out)
{
	(void)buf_put_c(out, RECORD_VERSION);
	(void)buf_put_c(out, DIRECTORY_ACCOUNT);
	put_u64(out, id.v);
	return out->full ? ST_LIMIT : ST_OK;
}

enum status
directory_entry_encode_alias(const struct directory_address *targets, size_t n, struct buf *out)
{
	(void)buf_put_c(out, RECORD_VERSION);
	(void)buf_put_c(out, DIRECTORY_ALIAS);
	for (size_t i = 0; i < n; i++)
		put_text(out, directory_address_text(&targets[i]));
	return out->full ? ST_LIMIT : ST_OK;
}

enum status
directory_target_next(struct cur *targets, struct str *address_out)
{
	struct cur try = *targets;
	struct directory_address a;

	if (cur_at_end(targets))
		return ST_EOF;
	if (!take_text(&try, address_out) || address_from_text(*address_out, &a) != ST_OK)
		return ST_SYNTAX;
	*targets = try;
	return ST_OK;
}

static enum status
targets_count(struct cur targets, uint32_t *n_out)
{
	struct str one;
	enum status st;

	for (*n_out = 0; (st = directory_target_next(&targets, &one)) == ST_OK; ++*n_out)
		if (*n_out == DIRECTORY_ALIAS_TARGETS_MAX)
			return ST_SYNTAX;
	return st == ST_EOF && *n_out ? ST_OK : ST_SYNTAX;
}

enum status
directory_entry_decode(struct str record, struct directory_entry *out, struct cur *targets_out)
{
	struct cur c = cur_of(record);
	uint8_t kind;

	*out = (struct directory_entry){0};
	if (!take_version(&c) || !cur_u8(&c, &kind))
		return ST_SYNTAX;
	if (targets_out)
		*targets_out = (struct cur){c.end, c.end};
	if (kind == DIRECTORY_ACCOUNT) {
		out->kind = DIRECTORY_ACCOUNT;
		return cur_le64(&c, &out->account.v) && out->account.v && cur_at_end(&c)
			   ? ST_OK
			   : ST_SYNTAX;
	}
	if (kind != DIRECTORY_ALIAS)
		return ST_SYNTAX;
	out->kind = DIRECTORY_ALIAS;
	if (targets_out)
		*targets_out = c;
	return targets_count(c, &out->targets_n);
}
