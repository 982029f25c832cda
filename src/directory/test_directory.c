#include "base/num.h"
#include "base/unit.h"
#include "directory/directory_internal.h"
#include "store/memory/memory.h"

static struct store *store;
static struct txn *txn;
static struct buf why;
static struct credential credential;
static const struct account_settings plain = {0};

/* Each test is one transaction of its own store. */
static enum status
test_fn(struct txn *t, void *arg)
{
	void (*test)(void) = *(void (**)(void))arg;

	txn = t;
	EXPECT(directory_init(t) == ST_OK);
	EXPECT(directory_init(t) == ST_OK);
	test();
	return ST_OK;
}

static void
run(void (*test)(void))
{
	buf_init(&why, DIRECTORY_WHY_BYTES_MAX);
	EXPECT(memory_open(&(struct memory_options){.is_strict = true}, &store) == ST_OK);
	EXPECT(store_transact_wait(store, test_fn, &test) == ST_OK);
	store_close(&store);
	buf_fini(&why);
}

#define RUN(fn)                    \
	static void fn##_run(void) \
	{                          \
		run(fn);           \
	}

/* st, and a sentence exactly when it is a refusal. */
static void
expect_why(enum status st, enum status want, const char *word, int line)
{
	if (st != want || (want == ST_OK) != (why.n == 0) ||
	    (*word && str_find(buf_str(&why), str_of_c(word)) == why.n)) {
		unit_bad++;
		fprintf(stderr, "line %d: %s, \"%.*s\"\n", line, status_word(st),
		    STR_ARG(buf_str(&why)));
	}
	buf_reset(&why);
}
#define REFUSED(call, want, word) expect_why((call), (want), (word), __LINE__)
#define OK(call) expect_why((call), ST_OK, "", __LINE__)

static struct account_id
account_add(struct str address)
{
	struct account_id id;

	OK(directory_account_add(txn, address, &credential, &plain, &id, &why));
	return id;
}

static void
tenants(void)
{
	struct tenant page[4];
	struct tenant_id id, again;
	size_t n;
	char long_name[SCHEMA_NAME_BYTES_MAX + 1];

	memset(long_name, 'a', sizeof(long_name));
	OK(directory_tenant_add(txn, STR("school"), &id, &why));
	EXPECT(id.v == 2);
	REFUSED(directory_tenant_add(txn, STR("school"), &again, &why), ST_EXISTS, "school");
	REFUSED(directory_tenant_add(txn, STR(""), &again, &why), ST_SYNTAX, "letters");
	REFUSED(directory_tenant_add(txn, STR("a b"), &again, &why), ST_SYNTAX, "letters");
	REFUSED(directory_tenant_add(txn, str_of(long_name, sizeof(long_name)), &again, &why),
	    ST_SYNTAX, "63");
	OK(directory_tenant_add(txn, str_of(long_name, sizeof(long_name) - 1), &again, &why));
	EXPECT(directory_tenant_list(txn, STR(""), page, 4, &n) == ST_OK && n == 3);
	EXPECT_STR(str_of(page[1].name, page[1].name_n), STR("default"));
	EXPECT(directory_tenant_list(txn, STR("default"), page, 4, &n) == ST_OK && n == 1);
	EXPECT_STR(str_of(page[0].name, page[0].name_n), STR("school"));
	OK(directory_domain_add(txn, id, STR("school.example"), &why));
	REFUSED(directory_tenant_remove(txn, STR("school"), &why), ST_DENIED, "school.example");
	REFUSED(directory_tenant_remove(txn, STR("default"), &why), ST_DENIED, "stays");
	REFUSED(directory_tenant_remove(txn, STR("nobody"), &why), ST_NOTFOUND, "no such");
	OK(directory_domain_remove(txn, STR("school.example"), &why));
	OK(directory_tenant_remove(txn, STR("school"), &why));
	EXPECT(directory_tenant_find(txn, STR("school"), &id) == ST_NOTFOUND);
	REFUSED(directory_domain_add(txn, (struct tenant_id){2}, STR("x.example"), &why),
	    ST_NOTFOUND, "tenant");
}
RUN(tenants)

static void
domains(void)
{
	struct domain d, page[8];
	size_t n;

	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("Example.ORG"), &why));
	REFUSED(directory_domain_add(txn, TENANT_DEFAULT, STR("example.org"), &why), ST_EXISTS,
	    "example.org");
	REFUSED(directory_domain_add(txn, TENANT_DEFAULT, STR("exa mple.org"), &why), ST_SYNTAX,
	    "domain");
	REFUSED(directory_domain_add(txn, TENANT_DEFAULT, STR(""), &why), ST_SYNTAX, "domain");
	OK(directory_domain_add(txn, TENANT_DEFAULT,
	    STR("b\xc3\xbc"
		"cher.example"),
	    &why));
	EXPECT(directory_domain_get(txn, STR("EXAMPLE.org"), &d) == ST_OK);
	EXPECT_STR(directory_domain_text(&d.name), STR("example.org"));
	EXPECT(directory_domain_get(txn, STR("xn--bcher-kva.example"), &d) == ST_OK);
	EXPECT(directory_domain_get(txn, STR("none.example"), &d) == ST_NOTFOUND);
	EXPECT(directory_domain_list(txn, TENANT_DEFAULT, STR(""), page, 8, &n) == ST_OK && n == 2);
	EXPECT_STR(directory_domain_text(&page[0].name), STR("example.org"));
	EXPECT(
	    directory_domain_list(txn, TENANT_DEFAULT, STR("example.org"), page, 8, &n) == ST_OK &&
	    n == 1);
	OK(directory_domain_remove(txn, STR("example.org"), &why));
	REFUSED(directory_domain_remove(txn, STR("example.org"), &why), ST_NOTFOUND, "example.org");
	EXPECT(directory_domain_list(txn, TENANT_DEFAULT, STR(""), page, 8, &n) == ST_OK && n == 1);
}
RUN(domains)

static void
domain_aliases(void)
{
	struct tenant_id other;
	struct account_id id;
	struct domain d;

	OK(directory_tenant_add(txn, STR("other"), &other, &why));
	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example"), &why));
	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("b.example"), &why));
	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("c.example"), &why));
	OK(directory_domain_add(txn, other, STR("o.example"), &why));
	OK(directory_domain_alias(txn, STR("b.example"), STR("a.example"), &why));
	OK(directory_domain_alias(txn, STR("b.example"), STR("A.example"), &why));
	EXPECT(directory_domain_get(txn, STR("a.example"), &d) == ST_OK && d.aliases_n == 1);
	REFUSED(directory_domain_alias(txn, STR("c.example"), STR("b.example"), &why), ST_DENIED,
	    "alias itself");
	REFUSED(directory_domain_alias(txn, STR("c.example"), STR("c.example"), &why), ST_DENIED,
	    "itself");
	REFUSED(directory_domain_alias(txn, STR("a.example"), STR("c.example"), &why), ST_DENIED,
	    "1 domains");
	REFUSED(directory_domain_alias(txn, STR("c.example"), STR("o.example"), &why), ST_DENIED,
	    "tenant");
	REFUSED(directory_domain_alias(txn, STR("c.example"), STR("z.example"), &why), ST_NOTFOUND,
	    "z.example");
	REFUSED(directory_domain_remove(txn, STR("a.example"), &why), ST_DENIED, "aliases of");
	REFUSED(directory_account_add(txn, STR("x@b.example"), &credential, &plain, &id, &why),
	    ST_DENIED, "alias of a.example");
	(void)account_add(STR("x@c.example"));
	REFUSED(directory_domain_alias(txn, STR("c.example"), STR("a.example"), &why), ST_DENIED,
	    "of its own");
	OK(directory_domain_alias(txn, STR("b.example"), STR(""), &why));
	OK(directory_domain_alias(txn, STR("b.example"), STR("a.example"), &why));
	OK(directory_domain_remove(txn, STR("b.example"), &why));
	EXPECT(directory_domain_get(txn, STR("a.example"), &d) == ST_OK && d.aliases_n == 0);
	OK(directory_domain_remove(txn, STR("a.example"), &why));
}
RUN(domain_aliases)

static void
catch_all(void)
{
	struct tenant_id other;
	struct domain d;

	OK(directory_tenant_add(txn, STR("other"), &other, &why));
	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example"), &why));
	OK(directory_domain_add(txn, other, STR("o.example"), &why));
	OK(directory_domain_catch_all(txn, STR("a.example"), STR("Info@A.example"), &why));
	EXPECT(directory_domain_get(txn, STR("a.example"), &d) == ST_OK);
	EXPECT_STR(directory_address_text(&d.catch_all), STR("info@a.example"));
	REFUSED(directory_domain_catch_all(txn, STR("a.example"), STR("x@else.example"), &why),
	    ST_DENIED, "forwarding");
	REFUSED(directory_domain_catch_all(txn, STR("a.example"), STR("x@o.example"), &why),
	    ST_DENIED, "local");
	REFUSED(directory_domain_catch_all(txn, STR("a.example"), STR("nonsense"), &why), ST_SYNTAX,
	    "form");
	OK(directory_domain_catch_all(txn, STR("a.example"), STR(""), &why));
	EXPECT(directory_domain_get(txn, STR("a.example"), &d) == ST_OK && d.catch_all.n == 0);
}
RUN(catch_all)

static void
accounts(void)
{
	struct account_settings s = {true, true, 12345};
	struct account a;
	struct account_id id, again;
	struct credential c;

	REFUSED(directory_account_add(txn, STR("bob@a.example"), &credential, &plain, &id, &why),
	    ST_NOTFOUND, "a.example");
	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example"), &why));
	id = account_add(STR("Bob@A.Example"));
	EXPECT(id.v == 1);
	REFUSED(
	    directory_account_add(txn, STR("\"bob\"@a.example"), &credential, &plain, &again, &why),
	    ST_EXISTS, "account");
	REFUSED(directory_account_add(txn, STR("@a.example"), &credential, &plain, &again, &why),
	    ST_SYNTAX, "form");
	REFUSED(directory_account_add(txn, STR("b@[127.0.0.1]"), &credential, &plain, &again, &why),
	    ST_SYNTAX, "form");
	EXPECT(directory_account_find(txn, STR("BOB@a.example"), &a) == ST_OK);
	EXPECT(
	    a.id.v == 1 && a.tenant.v == 1 && !a.settings.is_disabled && !a.settings.quota_bytes);
	EXPECT_STR(directory_address_text(&a.address), STR("bob@a.example"));
	EXPECT(directory_account_find(txn, STR("eve@a.example"), &a) == ST_NOTFOUND);
	EXPECT(directory_account_find(txn, STR("not an address"), &a) == ST_NOTFOUND);
	EXPECT(directory_account_set(txn, id, &s) == ST_OK);
	EXPECT(directory_account_get(txn, id, &a) == ST_OK);
	EXPECT(a.settings.is_disabled && a.settings.is_pop3_delete_retrieved &&
	       a.settings.quota_bytes == 12345);
	EXPECT(directory_account_credential(txn, id, &c) == ST_OK);
	EXPECT(credential_check_password(&c, STR("secret")));
	EXPECT(directory_account_set(txn, (struct account_id){99}, &s) == ST_NOTFOUND);
	EXPECT(directory_account_set_credential(txn, (struct account_id){99}, &c) == ST_NOTFOUND);
	EXPECT(directory_account_set_credential(txn, id, &c) == ST_OK);
	REFUSED(directory_domain_remove(txn, STR("a.example"), &why), ST_DENIED, "still has");
}
RUN(accounts)

static void
removal(void)
{
	struct account_id id, next;
	struct account a;
	struct credential c;

	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example"), &why));
	id = account_add(STR("bob@a.example"));
	EXPECT(directory_removing_next(txn, (struct account_id){0}, &next) == ST_NOTFOUND);
	REFUSED(directory_account_remove_begin(txn, STR("eve@a.example"), &next, &why), ST_NOTFOUND,
	    "no such");
	OK(directory_account_remove_begin(txn, STR("bob@a.example"), &next, &why));
	EXPECT(next.v == id.v);
	EXPECT(directory_account_find(txn, STR("bob@a.example"), &a) == ST_NOTFOUND);
	EXPECT(directory_account_credential(txn, id, &c) == ST_NOTFOUND);
	EXPECT(
	    directory_account_get(txn, id, &a) == ST_OK && a.is_removing && a.settings.is_disabled);
	EXPECT(directory_account_set_credential(txn, id, &credential) == ST_NOTFOUND);
	EXPECT(
	    directory_removing_next(txn, (struct account_id){0}, &next) == ST_OK && next.v == id.v);
	EXPECT(directory_removing_next(txn, id, &next) == ST_NOTFOUND);
	/* The address is free at once, the id never again. */
	EXPECT(account_add(STR("bob@a.example")).v == id.v + 1);
	EXPECT(directory_account_remove_end(txn, id) == ST_OK);
	EXPECT(directory_account_get(txn, id, &a) == ST_NOTFOUND);
	EXPECT(directory_removing_next(txn, (struct account_id){0}, &next) == ST_NOTFOUND);
}
RUN(removal)

static void
aliases(void)
{
	static const struct str two[] = {
	    STR_INIT("bob@a.example"), STR_INIT("Eve@A.example"), STR_INIT("BOB@a.example")};
	static const struct str away[] = {STR_INIT("bob@a.example"), STR_INIT("x@else.example")};
	static const struct str self[] = {STR_INIT("self@a.example")};
	struct str many[DIRECTORY_ALIAS_TARGETS_MAX + 1], target;
	char names[DIRECTORY_ALIAS_TARGETS_MAX + 1][32];
	struct directory_entry e;
	struct cur targets;

	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example"), &why));
	(void)account_add(STR("bob@a.example"));
	OK(directory_alias_add(txn, STR("Team@a.example"), two, 3, &why));
	EXPECT(directory_entry_get(txn, STR("team"), STR("a.example"), &e, &targets) == ST_OK);
	EXPECT(e.kind == DIRECTORY_ALIAS && e.targets_n == 2);
	EXPECT(directory_target_next(&targets, &target) == ST_OK);
	EXPECT_STR(target, STR("bob@a.example"));
	EXPECT(directory_target_next(&targets, &target) == ST_OK);
	EXPECT_STR(target, STR("eve@a.example"));
	EXPECT(directory_target_next(&targets, &target) == ST_EOF);
	REFUSED(directory_alias_add(txn, STR("team@a.example"), two, 2, &why), ST_EXISTS,
	    "as an alias");
	REFUSED(directory_alias_add(txn, STR("bob@a.example"), two, 2, &why), ST_EXISTS,
	    "as an account");
	REFUSED(directory_alias_add(txn, STR("t@a.example"), away, 2, &why), ST_DENIED,
	    "x@else.example");
	REFUSED(
	    directory_alias_add(txn, STR("t@a.example"), two, 0, &why), ST_SYNTAX, "at least one");
	REFUSED(directory_alias_add(txn, STR("self@a.example"), self, 1, &why), ST_DENIED, "own");
	for (size_t i = 0; i < COUNT_OF(many); i++) {
		int n = snprintf(names[i], sizeof(names[i]), "u%zu@a.example", i);
		many[i] = str_of(names[i], (size_t)n);
	}
	REFUSED(directory_alias_add(txn, STR("t@a.example"), many, COUNT_OF(many), &why), ST_LIMIT,
	    "100");
	OK(directory_alias_add(txn, STR("t@a.example"), many, COUNT_OF(many) - 1, &why));
	EXPECT(directory_entry_get(txn, STR("t"), STR("a.example"), &e, NULL) == ST_OK &&
	       e.targets_n == 100);
	REFUSED(directory_alias_remove(txn, STR("bob@a.example"), &why), ST_NOTFOUND, "no alias");
	OK(directory_alias_remove(txn, STR("TEAM@a.example"), &why));
	REFUSED(directory_alias_remove(txn, STR("team@a.example"), &why), ST_NOTFOUND, "no alias");
}
RUN(aliases)

#define MANY 1500

static void
pages_over_thousands(void)
{
	static struct directory_entry page[DIRECTORY_PAGE_MAX];
	static const struct str bob[] = {STR_INIT("u0000@a.example")};
	char after[64];
	size_t after_n = 0, n, accounts_n = 0, aliases_n = 0;

	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example"), &why));
	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example.net"), &why));
	(void)account_add(STR("other@a.example.net"));
	for (int i = 0; i < MANY; i++) {
		char text[40];
		int text_n = snprintf(text, sizeof(text), "u%04d@a.example", i);

		if (i % 3 == 2)
			OK(directory_alias_add(txn, str_of(text, (size_t)text_n), bob, 1, &why));
		else
			(void)account_add(str_of(text, (size_t)text_n));
	}
	do {
		EXPECT(
		    directory_entry_list(txn, STR("A.example"), DIRECTORY_ACCOUNT | DIRECTORY_ALIAS,
			str_of(after, after_n), page, 100, &n) == ST_OK);
		for (size_t i = 0; i < n; i++) {
			accounts_n += page[i].kind == DIRECTORY_ACCOUNT;
			aliases_n += page[i].kind == DIRECTORY_ALIAS;
		}
		if (n) {
			after_n = directory_address_local(&page[n - 1].address).n;
			memcpy(after, page[n - 1].address.text, after_n);
		}
	} while (n == 100);
	EXPECT(accounts_n == MANY / 3 * 2 && aliases_n == MANY / 3);
	EXPECT(directory_entry_list(
		   txn, STR("a.example"), DIRECTORY_ALIAS, STR(""), page, SIZE_MAX, &n) == ST_OK);
	EXPECT(n == MANY / 3);
	EXPECT(
	    directory_entry_list(txn, STR("a.example"), 3, STR(""), page, SIZE_MAX, &n) == ST_OK);
	EXPECT(n == DIRECTORY_PAGE_MAX);
	EXPECT(
	    directory_entry_list(txn, STR("a.example"), 3, STR("u1499"), page, 10, &n) == ST_OK &&
	    n == 0);
}
RUN(pages_over_thousands)

static void
damage_is_io(void)
{
	struct account_id id;
	struct account a;
	struct directory_entry e;
	struct domain d;
	struct key k;
	struct credential c;

	OK(directory_domain_add(txn, TENANT_DEFAULT, STR("a.example"), &why));
	id = account_add(STR("bob@a.example"));
	EXPECT(store_put(txn, key_account(&k, id), STR("damaged")) == ST_OK);
	EXPECT(directory_account_get(txn, id, &a) == ST_IO);
	EXPECT(store_put(txn, key_credential(&k, id), STR("damaged")) == ST_OK);
	EXPECT(directory_account_credential(txn, id, &c) == ST_IO);
	EXPECT(store_put(txn, key_address(&k, STR("a.example"), STR("bob")), STR("\1\2")) == ST_OK);
	EXPECT(directory_entry_get(txn, STR("bob"), STR("a.example"), &e, NULL) == ST_IO);
	EXPECT(store_put(txn, key_domain(&k, STR("a.example")), STR("\1")) == ST_OK);
	EXPECT(directory_domain_get(txn, STR("a.example"), &d) == ST_IO);
	EXPECT(store_put(txn, key_version(&k), STR("\2\0\0\0\0\0\0\0")) == ST_OK);
	EXPECT(directory_init(txn) == ST_UNSUPPORTED);
}
RUN(damage_is_io)

int
main(void)
{
	static const struct credential_options cheap = {
	    64, 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}};

	if (credential_make(STR("secret"), &cheap, &credential, NULL) != ST_OK)
		return 1;
	UNIT(tenants_run);
	UNIT(domains_run);
	UNIT(domain_aliases_run);
	UNIT(catch_all_run);
	UNIT(accounts_run);
	UNIT(removal_run);
	UNIT(aliases_run);
	UNIT(pages_over_thousands_run);
	UNIT(damage_is_io_run);
	return unit_end();
}
