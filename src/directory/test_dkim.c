/* Keys that sign, in the store: put, got, listed, gone with their domain; limits at n and n + 1. */
#include "directory/dkim.h"
#include "base/check.h"
#include "base/num.h"
#include "base/unit.h"
#include "directory/directory_internal.h"
#include "standards/dkim/dkim.h"
#include "store/memory/memory.h"

static struct store *store;

static enum status
domains_txn(struct txn *t, void *arg)
{
	enum status st = directory_init(t);

	(void)arg;
	if (st == ST_OK)
		st = directory_domain_add(t, TENANT_DEFAULT, STR("example.org"), NULL);
	if (st == ST_OK)
		st = directory_domain_add(t, TENANT_DEFAULT, STR("example.org.uk"), NULL);
	return st;
}

static void
setup(void)
{
	CHECK(memory_open(&(struct memory_options){.is_strict = true}, &store) == ST_OK);
	CHECK(store_transact_wait(store, domains_txn, NULL) == ST_OK);
}

struct put {
	struct str domain;
	struct dkim_key_record key;
};

static enum status
put_txn(struct txn *t, void *arg)
{
	const struct put *p = arg;

	return directory_dkim_put(t, p->domain, &p->key);
}

static enum status
put(struct str domain, struct str selector, size_t sealed_n, size_t public_n)
{
	static char bytes[DIRECTORY_DKIM_SEALED_BYTES_MAX + 1];
	struct put p = {domain,
	    {.algorithm = DKIM_RSA_SHA256, .state = DKIM_KEY_ACTIVE, .created_ms = 77, .selector = selector, .sealed = str_of(bytes, sealed_n),
		.public = str_of(bytes, public_n)}};

	return store_transact_wait(store, put_txn, &p);
}

static size_t
count(struct str domain)
{
	struct dkim_key_record *keys;
	struct arena a;
	size_t n;

	arena_init(&a, DIRECTORY_DKIM_ARENA_BYTES);
	CHECK(directory_dkim_list(store_snapshot(store), domain, &a, &keys, &n) == ST_OK);
	arena_fini(&a);
	return n;
}

static void
what_is_put_is_there(void)
{
	struct dkim_key_record k, *all;
	struct arena a;
	size_t n;

	setup();
	arena_init(&a, DIRECTORY_DKIM_ARENA_BYTES);
	EXPECT(put(STR("Example.ORG"), STR("ph202611r"), 300, 200) == ST_OK);
	EXPECT(put(STR("example.org"), STR("ph202611e"), 30, 20) == ST_OK);
	EXPECT(put(STR("example.org.uk"), STR("a"), 1, 1) == ST_OK);
	EXPECT(put(STR("nowhere.org"), STR("a"), 1, 1) == ST_NOTFOUND);
	EXPECT(directory_dkim_get(store_snapshot(store), STR("EXAMPLE.org"), STR("ph202611r"), &a, &k) == ST_OK);
	EXPECT(k.algorithm == DKIM_RSA_SHA256 && k.state == DKIM_KEY_ACTIVE && k.created_ms == 77 && k.sealed.n == 300 && k.public.n == 200);
	EXPECT(directory_dkim_get(store_snapshot(store), STR("example.org"), STR("other"), &a, &k) == ST_NOTFOUND);
	EXPECT(directory_dkim_get(store_snapshot(store), STR("not a domain"), STR("other"), &a, &k) == ST_NOTFOUND);
	EXPECT(directory_dkim_list(store_snapshot(store), STR("example.org"), &a, &all, &n) == ST_OK && n == 2);
	EXPECT_STR(all[0].selector, STR("ph202611e"));
	EXPECT_STR(all[1].selector, STR("ph202611r"));
	EXPECT(count(STR("example.org.uk")) == 1 && count(STR("nowhere.org")) == 0 && count(STR("no domain")) == 0);
	/* Replaced, not added. */
	EXPECT(put(STR("example.org"), STR("ph202611e"), 31, 21) == ST_OK);
	EXPECT(count(STR("example.org")) == 2);
	arena_fini(&a);
	store_close(&store);
}

static enum status
remove_txn(struct txn *t, void *arg)
{
	return directory_dkim_remove(t, STR("example.org"), *(struct str *)arg);
}

static enum status
domain_remove_txn(struct txn *t, void *arg)
{
	(void)arg;
	return directory_domain_remove(t, STR("example.org"), NULL);
}

static void
they_go(void)
{
	struct str selector = STR("a");

	setup();
	EXPECT(put(STR("example.org"), STR("a"), 1, 1) == ST_OK && put(STR("example.org"), STR("b"), 1, 1) == ST_OK);
	EXPECT(put(STR("example.org"), STR("c"), 1, 1) == ST_OK && put(STR("example.org.uk"), STR("a"), 1, 1) == ST_OK);
	EXPECT(store_transact_wait(store, remove_txn, &selector) == ST_OK && count(STR("example.org")) == 2);
	EXPECT(store_transact_wait(store, remove_txn, &selector) == ST_NOTFOUND);
	EXPECT(store_transact_wait(store, domain_remove_txn, NULL) == ST_OK);
	EXPECT(count(STR("example.org")) == 0 && count(STR("example.org.uk")) == 1);
	store_close(&store);
}

static void
limits_hold(void)
{
	char long_name[DIRECTORY_DKIM_SELECTOR_BYTES_MAX + 1], name[16];

	setup();
	memset(long_name, 'x', sizeof(long_name));
	EXPECT(put(STR("example.org"), str_of(long_name, sizeof(long_name) - 1), 1, 1) == ST_OK);
	EXPECT(put(STR("example.org"), str_of(long_name, sizeof(long_name)), 1, 1) == ST_SYNTAX);
	EXPECT(put(STR("example.org"), STR(""), 1, 1) == ST_SYNTAX && put(STR("example.org"), STR("-a"), 1, 1) == ST_SYNTAX);
	EXPECT(put(STR("example.org"), STR("a.b"), 1, 1) == ST_SYNTAX && put(STR("example.org"), STR("A"), 1, 1) == ST_SYNTAX);
	EXPECT(put(STR("example.org"), STR("s"), DIRECTORY_DKIM_SEALED_BYTES_MAX + 1, 1) == ST_LIMIT);
	EXPECT(put(STR("example.org"), STR("p"), 1, DIRECTORY_DKIM_PUBLIC_BYTES_MAX + 1) == ST_LIMIT);
	/* One is there; all of the greatest, in the arena that is enough for them. */
	for (int i = 1; i <= DIRECTORY_DKIM_KEYS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "k%02d", i);
		EXPECT(put(STR("example.org"), str_of_c(name), DIRECTORY_DKIM_SEALED_BYTES_MAX, DIRECTORY_DKIM_PUBLIC_BYTES_MAX) ==
		       (i < DIRECTORY_DKIM_KEYS_MAX ? ST_OK : ST_LIMIT));
	}
	EXPECT(put(STR("example.org"), STR("k01"), 1, 1) == ST_OK);
	EXPECT(count(STR("example.org")) == DIRECTORY_DKIM_KEYS_MAX);
	store_close(&store);
}

static void
records_are_read_strictly(void)
{
	struct dkim_key_record k = {.algorithm = DKIM_ED25519_SHA256, .state = DKIM_KEY_RETIRED, .created_ms = 5, .sealed = STR("s"), .public = STR("p")}, got;
	struct buf b;

	buf_init(&b, 4096);
	EXPECT(directory_dkim_encode(&k, &b) == ST_OK);
	EXPECT(directory_dkim_decode(buf_str(&b), &got) == ST_OK && got.state == DKIM_KEY_RETIRED);
	for (size_t n = 0; n < b.n; n++)
		EXPECT(directory_dkim_decode(str_of(b.p, n), &got) == ST_SYNTAX);
	(void)buf_put_c(&b, 0);
	EXPECT(directory_dkim_decode(buf_str(&b), &got) == ST_SYNTAX);
	b.n--;
	for (size_t i = 0; i < 3; i++) {
		char was = b.p[i];
		b.p[i] = 9;
		EXPECT(directory_dkim_decode(buf_str(&b), &got) == ST_SYNTAX);
		b.p[i] = was;
	}
	k.algorithm = 3;
	EXPECT(directory_dkim_encode(&k, &b) == ST_SYNTAX);
	buf_fini(&b);
}

static void
names_are_made(void)
{
	static const struct {
		uint64_t now_ms;
		uint8_t algorithm;
		unsigned nth;
		struct str want;
	} table[] = {
	    {1795608000000, DKIM_RSA_SHA256, 0, STR_INIT("ph202611r")},
	    {1795608000000, DKIM_ED25519_SHA256, 0, STR_INIT("ph202611e")},
	    {1795608000000, DKIM_RSA_SHA256, 1, STR_INIT("ph202611r2")},
	    {0, DKIM_RSA_SHA256, 9, STR_INIT("ph197001r10")},
	};
	struct buf b;

	buf_init(&b, 40);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_reset(&b);
		EXPECT(directory_dkim_selector(table[i].now_ms, table[i].algorithm, table[i].nth, &b) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].want);
	}
	buf_reset(&b);
	EXPECT(directory_dkim_context(STR("EXAMPLE.org"), STR("ph202611r"), &b) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("dkim example.org ph202611r"));
	EXPECT(directory_dkim_context(STR("EXAMPLE.org"), STR("ph202611r"), &b) == ST_LIMIT && b.n == 26);
	EXPECT(directory_dkim_context(STR("no domain"), STR("ph202611r"), &b) == ST_SYNTAX && b.n == 26);
	buf_fini(&b);
}

int
main(void)
{
	UNIT(what_is_put_is_there);
	UNIT(they_go);
	UNIT(limits_hold);
	UNIT(records_are_read_strictly);
	UNIT(names_are_made);
	return unit_end();
}
