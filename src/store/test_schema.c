#include "base/num.h"
#include "base/unit.h"
#include "store/schema.h"

static struct str
name_of(char *p, size_t n)
{
	memset(p, 'a', n);
	return str_of(p, n);
}

static void
keys_are_short_enough(void)
{
	char a[SCHEMA_DOMAIN_BYTES_MAX], b[SCHEMA_LOCAL_BYTES_MAX];
	struct str domain = name_of(a, sizeof(a)), local = name_of(b, sizeof(b));
	struct key k;

	EXPECT(key_address(&k, domain, local).n == SCHEMA_KEY_BYTES_MAX);
	EXPECT(
	    key_tenant_domain(&k, (struct tenant_id){UINT32_MAX}, domain).n < SCHEMA_KEY_BYTES_MAX);
	EXPECT(SCHEMA_KEY_BYTES_MAX < 400);
}

static void
numbers_sort(void)
{
	static const uint64_t order[] = {0, 1, 255, 256, 65535, 1u << 31, 1ull << 40, UINT64_MAX};
	struct key a, b;

	for (size_t i = 0; i + 1 < COUNT_OF(order); i++) {
		struct account_id x = {order[i]}, y = {order[i + 1]};

		EXPECT(str_cmp(key_account(&a, x), key_account(&b, y)) < 0);
		EXPECT(key_last_u64(key_account(&a, x)) == order[i]);
		EXPECT(str_cmp(key_message(&a, x, (struct message_id){UINT64_MAX}),
			   key_message(&b, y, (struct message_id){0})) < 0);
		EXPECT(str_cmp(key_chunk(&a, x, (struct mailbox_id){1}, UINT32_MAX),
			   key_chunk(&b, x, (struct mailbox_id){2}, 0)) < 0);
	}
	EXPECT(
	    key_last_u32(key_chunk(&a, (struct account_id){1}, (struct mailbox_id){2}, 77)) == 77);
	EXPECT(key_last_u64(STR("short")) == 0);
	EXPECT(key_last_u32(STR("S")) == 0);
}

static void
prefixes_end(void)
{
	struct key k, k2;
	struct account_id last = {UINT64_MAX}, first = {1};

	EXPECT_STR(key_after_prefix(&k, STR("ab")), STR("ac"));
	EXPECT_STR(key_after_prefix(&k, STR("a\xff\xff")), STR("b"));
	EXPECT_STR(key_after_prefix(&k, key_account(&k, last)), STR("B"));
	EXPECT(str_cmp(key_mailbox(&k, first, (struct mailbox_id){UINT64_MAX}),
		   key_after_prefix(
		       &k2, str_take(key_mailbox(&k2, first, (struct mailbox_id){0}), 9))) < 0);
}

static void
names_come_back(void)
{
	struct key k;

	EXPECT_STR(key_last_name(key_address(&k, STR("example.org"), STR("bob")), 1), STR("bob"));
	EXPECT_STR(key_last_name(key_tenant_domain(&k, (struct tenant_id){7}, STR("b.org")),
		       SCHEMA_TENANT_DOMAIN_SKIP),
	    STR("b.org"));
	/* A domain's addresses do not mix with those of one whose name starts with it. */
	EXPECT(!str_has_prefix(key_address(&k, STR("a.org.uk"), STR("x")), STR("aa.org\0")));
	EXPECT(str_has_prefix(key_address(&k, STR("a.org"), STR("x")), STR("aa.org\0")));
}

int
main(void)
{
	UNIT(keys_are_short_enough);
	UNIT(numbers_sort);
	UNIT(prefixes_end);
	UNIT(names_come_back);
	return unit_end();
}
