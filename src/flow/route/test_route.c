#include "base/num.h"
#include "base/unit.h"
#include "flow/route/route.h"
#include "mailbox/mailbox.h"
#include "store/memory/memory.h"

static struct store *store;
static struct route route;

/* ---- the directory of the table below ---- */

static struct credential credential;

static enum status
account(struct txn *t, const char *address, bool is_disabled, uint64_t quota_bytes)
{
	struct account_settings s = {.is_disabled = is_disabled, .quota_bytes = quota_bytes};
	struct account_id id;

	return directory_account_add(t, str_of_c(address), &credential, &s, &id, NULL);
}

static enum status
alias(struct txn *t, const char *address, const char *a, const char *b)
{
	struct str targets[] = {str_of_c(a), str_of_c(b)};

	return directory_alias_add(t, str_of_c(address), targets, *b ? 2 : 1, NULL);
}

#define ADD(call) EXPECT((call) == ST_OK)

static enum status
domains_fn(struct txn *t, void *arg)
{
	static const char *const names[] = {"a.example", "alias.example", "catch.example",
	    "empty.example", "post.example", "loop.example",
	    ("b\xc3\xbc"
	     "cher.example")};
	struct tenant_id other;

	(void)arg;
	ADD(directory_init(t));
	for (size_t i = 0; i < COUNT_OF(names); i++)
		ADD(directory_domain_add(t, TENANT_DEFAULT, str_of_c(names[i]), NULL));
	ADD(directory_domain_alias(t, STR("alias.example"), STR("a.example"), NULL));
	ADD(directory_domain_catch_all(t, STR("catch.example"), STR("bob@a.example"), NULL));
	ADD(directory_domain_catch_all(t, STR("loop.example"), STR("nobody@loop.example"), NULL));
	ADD(directory_tenant_add(t, STR("other"), &other, NULL));
	ADD(directory_domain_add(t, other, STR("o.example"), NULL));
	return ST_OK;
}

static enum status
accounts_fn(struct txn *t, void *arg)
{
	(void)arg;
	ADD(account(t, "bob@a.example", false, 0));		 /* 1 */
	ADD(account(t, "eve@a.example", false, 0));		 /* 2 */
	ADD(account(t, "off@a.example", true, 0));		 /* 3 */
	ADD(account(t, "full@a.example", false, 10));		 /* 4 */
	ADD(account(t, "b+ob@a.example", false, 0));		 /* 5 */
	ADD(account(t, "carol@catch.example", false, 0));	 /* 6 */
	ADD(account(t, "pat@post.example", false, 0));		 /* 7 */
	ADD(account(t, "hans@xn--bcher-kva.example", false, 0)); /* 8 */
	ADD(account(t, "zed@o.example", true, 0));		 /* 9 */
	ADD(account(t, "zoe@o.example", false, 0));		 /* 10 */
	ADD(alias(t, "team@a.example", "bob@a.example", "eve@a.example"));
	ADD(alias(t, "all@a.example", "team@a.example", "bob@a.example"));
	ADD(alias(t, "round@a.example", "trip@a.example", "bob@a.example"));
	ADD(alias(t, "trip@a.example", "round@a.example", "eve@a.example"));
	ADD(alias(t, "ring@a.example", "ring2@a.example", ""));
	ADD(alias(t, "ring2@a.example", "ring@a.example", ""));
	ADD(alias(t, "dangling@a.example", "gone@a.example", ""));
	ADD(alias(t, "half@a.example", "gone@a.example", "bob@a.example"));
	ADD(alias(t, "someoff@a.example", "off@a.example", "eve@a.example"));
	ADD(alias(t, "alloff@a.example", "off@a.example", ""));
	ADD(alias(t, "somefull@a.example", "full@a.example", "eve@a.example"));
	ADD(alias(t, "detail@a.example", "bob+list@a.example", ""));
	ADD(alias(t, "via@a.example", "eve@alias.example", ""));
	ADD(alias(t, "tocatch@a.example", "anything@catch.example", ""));
	ADD(alias(t, "postmaster@post.example", "pat@post.example", ""));
	return ST_OK;
}

/* Account 4 is over its 10 bytes. */
static enum status
mail_fn(struct txn *t, void *arg)
{
	struct mailbox_cap cap = mailbox_cap_for_delivery((struct account_id){4});
	struct mailbox_append a = {.body_bytes = 10, .head = STR_NULL};
	struct mailbox m;
	struct mailbox_entry e;
	struct str body = STR("0123456789");

	(void)arg;
	ADD(store_blob_put(t, &body, 1, &a.blob));
	ADD(mailbox_open(t, &cap, MAILBOX_INBOX, MAILBOX_INSERT, 1, &m));
	ADD(mailbox_append(&m, &a, &e));
	return ST_OK;
}

static const struct {
	const char *local, *domain;
	enum route_verdict want;
	const char *targets; /* "id address" of each */
} cases[] = {
    {"bob", "a.example", ROUTE_OK, "1 bob@a.example"},
    {"BOB", "A.Example", ROUTE_OK, "1 bob@a.example"},
    {"\"bob\"", "a.example", ROUTE_OK, "1 bob@a.example"},
    {"nobody", "a.example", ROUTE_UNKNOWN_USER, ""},
    {"bob", "elsewhere.example", ROUTE_NOT_LOCAL, ""},
    {"bob", "", ROUTE_UNKNOWN_USER, ""},
    {"bob", "[127.0.0.1]", ROUTE_UNKNOWN_USER, ""},
    {"bo b", "a.example", ROUTE_UNKNOWN_USER, ""},
    {"off", "a.example", ROUTE_DISABLED, ""},
    {"full", "a.example", ROUTE_OVER_QUOTA, "4 full@a.example"},
    {"hans",
	"b\xc3\xbc"
	"cher.example",
	ROUTE_OK, "8 hans@xn--bcher-kva.example"},
    /* subaddresses */
    {"bob+news", "a.example", ROUTE_OK, "1 bob+news@a.example"},
    {"bob+", "a.example", ROUTE_OK, "1 bob+@a.example"},
    {"+bob", "a.example", ROUTE_UNKNOWN_USER, ""},
    {"b+ob", "a.example", ROUTE_OK, "5 b+ob@a.example"},
    {"team+x", "a.example", ROUTE_OK, "1 bob@a.example 2 eve@a.example"},
    {"detail", "a.example", ROUTE_OK, "1 bob@a.example"},
    /* aliases */
    {"team", "a.example", ROUTE_OK, "1 bob@a.example 2 eve@a.example"},
    {"all", "a.example", ROUTE_OK, "1 bob@a.example 2 eve@a.example"},
    {"round", "a.example", ROUTE_OK, "2 eve@a.example 1 bob@a.example"},
    {"ring", "a.example", ROUTE_UNKNOWN_USER, ""},
    {"dangling", "a.example", ROUTE_UNKNOWN_USER, ""},
    {"half", "a.example", ROUTE_OK, "1 bob@a.example"},
    {"someoff", "a.example", ROUTE_OK, "2 eve@a.example"},
    {"alloff", "a.example", ROUTE_DISABLED, ""},
    {"somefull", "a.example", ROUTE_OK, "4 full@a.example 2 eve@a.example"},
    /* domains */
    {"bob", "alias.example", ROUTE_OK, "1 bob@a.example"},
    {"bob+x", "ALIAS.example", ROUTE_OK, "1 bob+x@a.example"},
    {"nobody", "alias.example", ROUTE_UNKNOWN_USER, ""},
    {"via", "a.example", ROUTE_OK, "2 eve@a.example"},
    {"carol", "catch.example", ROUTE_OK, "6 carol@catch.example"},
    {"whoever", "catch.example", ROUTE_OK, "1 bob@a.example"},
    {"tocatch", "a.example", ROUTE_OK, "1 bob@a.example"},
    {"x", "loop.example", ROUTE_UNKNOWN_USER, ""},
    {"x", "empty.example", ROUTE_UNKNOWN_USER, ""},
    /* RFC 5321 4.5.1 */
    {"postmaster", "post.example", ROUTE_OK, "7 pat@post.example"},
    {"PostMaster", "empty.example", ROUTE_OK, "5 b+ob@a.example"},
    {"postmaster", "alias.example", ROUTE_OK, "5 b+ob@a.example"},
    {"postmaster", "catch.example", ROUTE_OK, "1 bob@a.example"},
    {"postmaster", "loop.example", ROUTE_OK, "5 b+ob@a.example"},
    {"postmaster", "o.example", ROUTE_OK, "10 zoe@o.example"},
    {"Postmaster", "", ROUTE_OK, "5 b+ob@a.example"},
    {"postmaster", "elsewhere.example", ROUTE_NOT_LOCAL, ""},
};

static void
route_expect(size_t i)
{
	struct buf got;

	buf_init(&got, 4096);
	for (size_t k = 0; k < route.n; k++)
		(void)buf_putf(&got, "%s%llu %.*s", k ? " " : "",
		    (unsigned long long)route.targets[k].account.v,
		    STR_ARG(directory_address_text(&route.targets[k].address)));
	if (route.verdict != cases[i].want || !str_eq(buf_str(&got), str_of_c(cases[i].targets))) {
		unit_bad++;
		fprintf(stderr, "%s@%s: %u, \"%.*s\"\n", cases[i].local, cases[i].domain,
		    route.verdict, STR_ARG(buf_str(&got)));
	}
	EXPECT(route.code >= 250 && route.enhanced.n == 5 && route.text.n);
	EXPECT(route.enhanced.p[0] == '0' + (char)(route.code / 100));
	buf_fini(&got);
}

static void
store_make(void)
{
	EXPECT(memory_open(&(struct memory_options){.is_strict = true}, &store) == ST_OK);
	EXPECT(store_transact_wait(store, domains_fn, NULL) == ST_OK);
}

static void
table(void)
{
	store_make();
	EXPECT(store_transact_wait(store, accounts_fn, NULL) == ST_OK);
	EXPECT(store_transact_wait(store, mail_fn, NULL) == ST_OK);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		EXPECT(route_resolve(store_snapshot(store), str_of_c(cases[i].local),
			   str_of_c(cases[i].domain), '+', &route) == ST_OK);
		route_expect(i);
	}
	/* No delimiter, no subaddresses; another one. */
	EXPECT(route_resolve(store_snapshot(store), STR("bob+x"), STR("a.example"), 0, &route) ==
	       ST_OK);
	EXPECT(route.verdict == ROUTE_UNKNOWN_USER && route.code == 550);
	EXPECT_STR(route.enhanced, STR("5.1.1"));
	EXPECT(route_resolve(store_snapshot(store), STR("bob-x"), STR("a.example"), '-', &route) ==
	       ST_OK);
	EXPECT(route.verdict == ROUTE_OK);
	store_close(&store);
}

static void
postmaster_of_nobody(void)
{
	store_make();
	EXPECT(
	    route_resolve(store_snapshot(store), STR("postmaster"), STR(""), '+', &route) == ST_OK);
	EXPECT(route.verdict == ROUTE_UNKNOWN_USER);
	EXPECT(route_resolve(store_snapshot(store), STR("postmaster"), STR("a.example"), '+',
		   &route) == ST_OK);
	EXPECT(route.verdict == ROUTE_UNKNOWN_USER);
	store_close(&store);
}

/* d0 -> d1 -> ... -> bob, and lists of 99 accounts and a further list. */
static enum status
limits_fn(struct txn *t, void *arg)
{
	char names[DIRECTORY_ALIAS_TARGETS_MAX][40];
	struct str targets[DIRECTORY_ALIAS_TARGETS_MAX];

	(void)arg;
	ADD(account(t, "bob@a.example", false, 0));
	for (int i = 0; i <= ROUTE_DEPTH_MAX; i++) {
		char from[40], to[40];

		snprintf(from, sizeof(from), "d%d@a.example", i);
		snprintf(to, sizeof(to), i == ROUTE_DEPTH_MAX ? "bob@a.example" : "d%d@a.example",
		    i + 1);
		ADD(alias(t, from, to, ""));
	}
	for (int i = 0; i < 201; i++) {
		char name[40];

		snprintf(name, sizeof(name), "u%d@a.example", i);
		ADD(account(t, name, false, 0));
	}
	for (int list = 0; list < 2; list++) {
		char name[40];
		int i;

		for (i = 0; i < 100; i++) {
			int n =
			    snprintf(names[i], sizeof(names[i]), "u%d@a.example", list * 100 + i);
			targets[i] = str_of(names[i], (size_t)n);
		}
		snprintf(name, sizeof(name), "list%d@a.example", list);
		ADD(directory_alias_add(t, str_of_c(name), targets, 100, NULL));
	}
	ADD(alias(t, "exactly@a.example", "list0@a.example", "list1@a.example"));
	ADD(alias(t, "more@a.example", "exactly@a.example", "u200@a.example"));
	return ST_OK;
}

static void
limits(void)
{
	static const struct {
		const char *local;
		enum route_verdict want;
		size_t n;
	} rows[] = {
	    {"d1", ROUTE_OK, 1},
	    {"d0", ROUTE_TOO_MANY, 0},
	    {"exactly", ROUTE_OK, ROUTE_ACCOUNTS_MAX},
	    {"more", ROUTE_TOO_MANY, 0},
	};

	store_make();
	EXPECT(store_transact_wait(store, limits_fn, NULL) == ST_OK);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		EXPECT(route_resolve(store_snapshot(store), str_of_c(rows[i].local),
			   STR("a.example"), '+', &route) == ST_OK);
		EXPECT(route.verdict == rows[i].want && route.n == rows[i].n);
	}
	store_close(&store);
}

static enum status
damage_fn(struct txn *t, void *arg)
{
	struct key k;

	(void)arg;
	return store_put(t, key_address(&k, STR("a.example"), STR("bad")), STR("bad"));
}

static void
damage_is_io(void)
{
	store_make();
	EXPECT(store_transact_wait(store, damage_fn, NULL) == ST_OK);
	EXPECT(route_resolve(store_snapshot(store), STR("bad"), STR("a.example"), '+', &route) ==
	       ST_IO);
	store_close(&store);
}

int
main(void)
{
	static const struct credential_options cheap = {
	    64, 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}};

	if (credential_make(STR("secret"), &cheap, &credential, NULL) != ST_OK)
		return 1;
	UNIT(table);
	UNIT(postmaster_of_nobody);
	UNIT(limits);
	UNIT(damage_is_io);
	return unit_end();
}
