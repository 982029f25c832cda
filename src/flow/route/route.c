#include "flow/route/route.h"

#include "base/map.h"
#include "mailbox/mailbox.h"
#include "standards/address/address.h"

/* Codes of RFC 5321 4.2.3 and RFC 3463 3.2-3.8. */
static const struct {
	uint16_t code;
	struct str enhanced;
	struct str text;
} replies[] = {
    [ROUTE_OK] = {250, STR_INIT("2.1.5"), STR_INIT("Recipient ok")},
    [ROUTE_UNKNOWN_USER] = {550, STR_INIT("5.1.1"), STR_INIT("No such user here")},
    [ROUTE_NOT_LOCAL] = {550, STR_INIT("5.7.1"),
	STR_INIT("Not a domain of this server, relaying denied")},
    [ROUTE_DISABLED] = {550, STR_INIT("5.2.1"),
	STR_INIT("Mailbox disabled, not accepting messages")},
    [ROUTE_OVER_QUOTA] = {452, STR_INIT("4.2.2"), STR_INIT("Mailbox full, try again later")},
    [ROUTE_TOO_MANY] = {550, STR_INIT("5.2.4"), STR_INIT("List is too large or nested too deeply")},
};

/* One address on its way. */
struct walk {
	struct txn *t;
	struct route *out;
	char delimiter;
	unsigned lookups;
	bool has_disabled;
	struct map visited; /* aliases, and "@domain" for a catch-all */
};

static void
verdict_set(struct route *r, enum route_verdict v)
{
	r->verdict = v;
	r->code = replies[v].code;
	r->enhanced = replies[v].enhanced;
	r->text = replies[v].text;
}

static bool
has_target(const struct route *r, struct account_id account)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->targets[i].account.v == account.v)
			return true;
	return false;
}

/* final: NULL for the account's own address. */
static enum status
account_take(struct walk *w, struct account_id id, const struct directory_address *final)
{
	struct route *r = w->out;
	struct account a;
	enum status st;

	if (has_target(r, id))
		return ST_OK;
	st = directory_account_get(w->t, id, &a);
	if (st != ST_OK)
		return st == ST_NOTFOUND ? ST_OK : st;
	if (a.settings.is_disabled) {
		w->has_disabled = true;
		return ST_OK;
	}
	if (r->n == ROUTE_ACCOUNTS_MAX)
		return ST_LIMIT;
	r->targets[r->n++] = (struct route_target){id, final ? *final : a.address};
	return ST_OK;
}

/* A domain alias becomes its target. ST_NOTFOUND: not local. */
static enum status
domain_follow(struct txn *t, struct str name, struct domain *out)
{
	enum status st = directory_domain_get(t, name, out);

	if (st == ST_OK && out->alias_of.n) {
		struct directory_domain_name target = out->alias_of;

		st = directory_domain_get(t, directory_domain_text(&target), out);
		return st == ST_NOTFOUND ? ST_IO : st;
	}
	return st;
}

/* The address itself, or without its detail. */
static enum status
entry_find(struct walk *w, struct str local, const struct domain *d, struct directory_entry *e,
    struct cur *targets)
{
	struct str name = directory_domain_text(&d->name), base, detail;
	enum status st = directory_entry_get(w->t, local, name, e, targets);

	if (st == ST_NOTFOUND && w->delimiter &&
	    address_subaddress_split(local, w->delimiter, &base, &detail))
		st = directory_entry_get(w->t, base, name, e, targets);
	return st;
}

/* Once is enough: ST_EXISTS the second time. */
static enum status
visit(struct walk *w, struct str address)
{
	void *former;
	enum status st = map_put(&w->visited, address, w, &former);

	return st == ST_OK && former ? ST_EXISTS : st;
}

static enum status walk_address(
    struct walk *w, struct str local, struct str domain, unsigned depth);

static enum status
walk_text(struct walk *w, struct str text, unsigned depth)
{
	size_t at = str_find_char_last(text, '@');

	return walk_address(w, str_take(text, at), str_from(text, at + 1), depth);
}

static enum status
walk_targets(struct walk *w, struct cur targets, unsigned depth)
{
	struct str target;
	enum status st;

	while ((st = directory_target_next(&targets, &target)) == ST_OK) {
		st = walk_text(w, target, depth + 1);
		if (st != ST_OK)
			return st;
	}
	return st == ST_EOF ? ST_OK : ST_IO;
}

static enum status
walk_catch_all(struct walk *w, const struct domain *d, unsigned depth)
{
	struct directory_address key;
	enum status st = directory_address_make(STR_NULL, directory_domain_text(&d->name), &key);

	if (st == ST_OK)
		st = visit(w, directory_address_text(&key));
	if (st == ST_OK)
		st = walk_text(w, directory_address_text(&d->catch_all), depth + 1);
	return st == ST_EXISTS ? ST_OK : st;
}

static enum status
walk_alias(
    struct walk *w, const struct directory_address *alias, struct cur targets, unsigned depth)
{
	enum status st = visit(w, directory_address_text(alias));

	if (st == ST_OK)
		st = walk_targets(w, targets, depth);
	return st == ST_EXISTS ? ST_OK : st;
}

/* In normal form. Finding nothing is ST_OK and adds nothing. */
static enum status
walk_address(struct walk *w, struct str local, struct str domain, unsigned depth)
{
	struct domain d;
	struct directory_entry e;
	struct directory_address final;
	struct cur targets;
	enum status st;

	if (depth > ROUTE_DEPTH_MAX || ++w->lookups > ROUTE_LOOKUPS_MAX)
		return ST_LIMIT;
	st = domain_follow(w->t, domain, &d);
	if (st == ST_NOTFOUND)
		return ST_OK;
	if (st == ST_OK)
		st = entry_find(w, local, &d, &e, &targets);
	if (st == ST_NOTFOUND)
		return d.catch_all.n ? walk_catch_all(w, &d, depth) : ST_OK;
	if (st != ST_OK)
		return st;
	if (e.kind == DIRECTORY_ALIAS)
		return walk_alias(w, &e.address, targets, depth);
	st = directory_address_make(local, directory_domain_text(&d.name), &final);
	return st == ST_OK ? account_take(w, e.account, depth ? NULL : &final) : st;
}

/* The first account of the domain that can take mail. */
static enum status
domain_first(struct walk *w, struct str domain)
{
	struct directory_entry e;
	char after[SCHEMA_LOCAL_BYTES_MAX];
	size_t after_n = 0, n = 1;
	enum status st = ST_OK;

	while (st == ST_OK && n && !w->out->n && ++w->lookups <= ROUTE_LOOKUPS_MAX) {
		st = directory_entry_list(
		    w->t, domain, DIRECTORY_ACCOUNT, str_of(after, after_n), &e, 1, &n);
		if (st != ST_OK || !n)
			break;
		after_n = directory_address_local(&e.address).n;
		memcpy(after, e.address.text, after_n);
		st = account_take(w, e.account, NULL);
	}
	return st;
}

/* The first account of the tenant. */
static enum status
tenant_first(struct walk *w, struct tenant_id tenant)
{
	struct domain d = {0};
	size_t n = 1;
	enum status st = ST_OK;

	while (st == ST_OK && n && !w->out->n && ++w->lookups <= ROUTE_LOOKUPS_MAX) {
		struct directory_domain_name after = d.name;

		st = directory_domain_list(w->t, tenant, directory_domain_text(&after), &d, 1, &n);
		if (st == ST_OK && n)
			st = domain_first(w, directory_domain_text(&d.name));
	}
	return st;
}

/* RFC 5321 4.1.1.3: <postmaster> alone is this server's; its own domains are those of the default
 * tenant. */
static enum status
walk_bare_postmaster(struct walk *w)
{
	struct domain d;
	size_t n;
	enum status st = directory_domain_list(w->t, TENANT_DEFAULT, STR_NULL, &d, 1, &n);

	if (st == ST_OK && n)
		st = walk_address(w, STR("postmaster"), directory_domain_text(&d.name), 0);
	return st == ST_OK && !w->out->n ? tenant_first(w, TENANT_DEFAULT) : st;
}

static enum status
walk_start(struct walk *w, const struct directory_address *a, bool *is_local_out)
{
	struct domain d;
	enum status st = directory_domain_get(w->t, directory_address_domain(a), &d);

	*is_local_out = st == ST_OK;
	if (st != ST_OK)
		return st == ST_NOTFOUND ? ST_OK : st;
	st = walk_address(w, directory_address_local(a), directory_address_domain(a), 0);
	if (st == ST_OK && !w->out->n && str_eq(directory_address_local(a), STR("postmaster")))
		st = tenant_first(w, d.tenant);
	return st;
}

/* Somebody with room? A single full mailbox is told at once; of several, delivery tells which. */
static enum status
quota_check(struct walk *w, bool *has_room_out)
{
	*has_room_out = false;
	for (size_t i = 0; i < w->out->n && !*has_room_out; i++) {
		struct account a;
		struct mailbox_usage u;
		enum status st = directory_account_get(w->t, w->out->targets[i].account, &a);

		if (st == ST_OK)
			st = mailbox_usage(w->t, a.id, &u);
		if (st != ST_OK)
			return st;
		*has_room_out = !a.settings.quota_bytes || u.bytes < a.settings.quota_bytes;
	}
	return ST_OK;
}

static enum status
verdict_make(struct walk *w)
{
	bool has_room = true;
	enum status st = w->out->n ? quota_check(w, &has_room) : ST_OK;

	if (st != ST_OK)
		return st;
	if (!w->out->n)
		verdict_set(w->out, w->has_disabled ? ROUTE_DISABLED : ROUTE_UNKNOWN_USER);
	else
		verdict_set(w->out, has_room ? ROUTE_OK : ROUTE_OVER_QUOTA);
	return ST_OK;
}

/* Both halves to the form the directory keeps; ST_SYNTAX: no address that could be here. */
static enum status
address_make(struct str local, struct str domain, struct directory_address *out)
{
	char text[ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX];
	size_t n = local.n;

	if (local.n > ADDRESS_LOCAL_MAX || domain.n > ADDRESS_DOMAIN_MAX || !local.n || !domain.n)
		return ST_SYNTAX;
	memcpy(text, local.p, n);
	text[n++] = '@';
	memcpy(text + n, domain.p, domain.n);
	return directory_address_parse(str_of(text, n + domain.n), out, NULL);
}

enum status
route_resolve(struct txn *t, struct str local, struct str domain, char delimiter, struct route *out)
{
	struct walk w = {.t = t, .out = out, .delimiter = delimiter};
	struct directory_address a;
	bool is_local = true;
	enum status st;

	out->n = 0;
	map_init(&w.visited, ROUTE_LOOKUPS_MAX);
	if (!domain.n && str_eq_ci(local, STR("postmaster"))) {
		st = walk_bare_postmaster(&w);
	} else if (address_make(local, domain, &a) != ST_OK) {
		verdict_set(out, ROUTE_UNKNOWN_USER);
		return ST_OK;
	} else {
		st = walk_start(&w, &a, &is_local);
	}
	map_fini(&w.visited);
	if (st == ST_LIMIT || (st == ST_OK && !is_local)) {
		out->n = 0;
		verdict_set(out, is_local ? ROUTE_TOO_MANY : ROUTE_NOT_LOCAL);
		return ST_OK;
	}
	return st == ST_OK ? verdict_make(&w) : st;
}
