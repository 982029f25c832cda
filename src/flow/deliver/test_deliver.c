#include "base/check.h"
#include "base/num.h"
#include "base/unit.h"
#include "directory/directory.h"
#include "flow/deliver/deliver.h"
#include "store/memory/memory.h"

#define NOW 1700000000000u

static struct store *store;
static struct credential credential;

static enum status
directory_fn(struct txn *t, void *arg)
{
	static const struct {
		struct str address;
		struct account_settings settings;
	} rows[] = {
	    {STR_INIT("one@a.example"), {0}},
	    {STR_INIT("two@a.example"), {0}},
	    {STR_INIT("off@a.example"), {.is_disabled = true}},
	    {STR_INIT("small@a.example"), {.quota_bytes = 20}},
	};
	struct account_id id;

	(void)arg;
	EXPECT(directory_init(t) == ST_OK);
	EXPECT(directory_domain_add(t, TENANT_DEFAULT, STR("a.example"), NULL) == ST_OK);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		EXPECT(directory_account_add(
			   t, rows[i].address, &credential, &rows[i].settings, &id, NULL) == ST_OK);
	return ST_OK;
}

static void
store_make(void)
{
	EXPECT(memory_open(&(struct memory_options){.is_strict = true}, &store) == ST_OK);
	EXPECT(store_transact_wait(store, directory_fn, NULL) == ST_OK);
}

struct run {
	struct delivery d;
	struct delivery_rcpt *rcpts;
	size_t n;
	struct blob_id blob;
};

static enum status
deliver_fn(struct txn *t, void *arg)
{
	struct run *r = arg;

	return deliver_message(t, &r->d, r->rcpts, r->n, &r->blob);
}

static enum status
deliver(struct run *r)
{
	r->d.body_bytes = 0;
	r->d.now_ms = NOW;
	for (size_t i = 0; i < r->d.parts_n; i++)
		r->d.body_bytes += r->d.parts[i].n;
	return store_transact_wait(store, deliver_fn, r);
}

/* What an account's INBOX holds at uid, as one text. */
static void
expect_mail(uint64_t account, uint32_t uid, struct str want)
{
	struct mailbox_cap cap = {{account}, MAILBOX_READ, UINT64_MAX};
	struct mailbox m;
	struct mailbox_entry e;
	struct mailbox_message msg;
	struct buf out;

	buf_init(&out, 1000);
	EXPECT(mailbox_open(store_snapshot(store), &cap, MAILBOX_INBOX, MAILBOX_READ, NOW, &m) ==
	       ST_OK);
	EXPECT(mailbox_find(&m, uid, &e) == ST_OK && e.size_bytes == want.n && e.date_ms == NOW);
	EXPECT(mailbox_message_get(&m, e.message, &msg) == ST_OK);
	EXPECT(mailbox_message_read(&m, &msg, 0, 1000, &out) == ST_OK);
	EXPECT_STR(buf_str(&out), want);
	buf_fini(&out);
}

static uint32_t
count(uint64_t account)
{
	struct mailbox_cap cap = {{account}, MAILBOX_READ, UINT64_MAX};
	struct mailbox m;

	EXPECT(mailbox_open(store_snapshot(store), &cap, MAILBOX_INBOX, MAILBOX_READ, NOW, &m) ==
	       ST_OK);
	return m.state.count;
}

static void
one_body_for_all(void)
{
	static const struct str parts[] = {STR_INIT("Subject: x\r\n"), STR_INIT("\r\nbody\r\n")};
	struct delivery_rcpt rcpts[] = {{{1}, STR("H1\r\n")}, {{3}, STR("H3\r\n")},
	    {{2}, STR("H2\r\n")}, {{1}, STR("again\r\n")}, {{99}, STR("H\r\n")},
	    {{3}, STR("H3\r\n")}};
	static const enum deliver_result want[] = {
	    DELIVER_OK, DELIVER_GONE, DELIVER_OK, DELIVER_DUPLICATE, DELIVER_GONE, DELIVER_GONE};
	struct run r = {.d = {.parts = parts, .parts_n = 2}, .rcpts = rcpts, .n = COUNT_OF(rcpts)};
	struct blob_id wanted[2];
	size_t n;

	store_make();
	/* A function that met a conflict runs again and gives the same. */
	memory_inject(store, &(struct memory_faults){.conflict_in = 1});
	EXPECT(deliver(&r) == ST_OK);
	for (size_t i = 0; i < COUNT_OF(want); i++)
		EXPECT(rcpts[i].result == want[i]);
	EXPECT(rcpts[0].uid == 1 && rcpts[3].uid == 1 && rcpts[3].message.v == rcpts[0].message.v);
	EXPECT(rcpts[1].uid == 0 && rcpts[2].uid == 1);
	expect_mail(1, 1, STR("H1\r\nSubject: x\r\n\r\nbody\r\n"));
	expect_mail(2, 1, STR("H2\r\nSubject: x\r\n\r\nbody\r\n"));
	EXPECT(count(1) == 1 && count(2) == 1);
	EXPECT(mailbox_digest_pending(store_snapshot(store), (struct blob_id){0}, wanted, 2, &n) ==
	       ST_OK);
	EXPECT(n == 1 && wanted[0].v == r.blob.v);
	EXPECT(deliver(&r) == ST_OK && rcpts[0].uid == 2);
	store_close(&store);
}

static void
quota(void)
{
	static const struct {
		struct str body;
		enum deliver_result want;
	} rows[] = {
	    {STR_INIT("0123456789abcdefghi"), DELIVER_OVER_QUOTA}, /* 19 and a head of 2 */
	    {STR_INIT("12345678"), DELIVER_OK},
	    {STR_INIT("123456789"), DELIVER_OVER_QUOTA},
	    {STR_INIT("12345678"), DELIVER_OK}, /* exactly 20 */
	    {STR_INIT(""), DELIVER_OVER_QUOTA},
	};
	struct buf stats;

	buf_init(&stats, 1000);
	store_make();
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct delivery_rcpt rcpt = {{4}, STR("H:")};
		struct run r = {
		    .d = {.parts = &rows[i].body, .parts_n = 1}, .rcpts = &rcpt, .n = 1};

		EXPECT(deliver(&r) == ST_OK && rcpt.result == rows[i].want);
		EXPECT((r.blob.v != 0) == (rows[i].want == DELIVER_OK));
	}
	EXPECT(deliver_reply(DELIVER_OVER_QUOTA)->code == 452);
	/* Nobody's body is not kept. */
	EXPECT(store_stats(store, &stats) == ST_OK);
	EXPECT(str_find(buf_str(&stats), STR("\"blobs\":2")) < stats.n);
	buf_fini(&stats);
	store_close(&store);
}

static void
staged_bodies(void)
{
	struct delivery_rcpt rcpts[] = {{{1}, STR("H1\r\n")}, {{2}, STR("H2\r\n")}};
	struct store_stage *stage;
	struct run r = {.d = {.stage = &stage}, .rcpts = rcpts, .n = 2};

	store_make();
	EXPECT(store_stage_new(store, &stage) == ST_OK);
	EXPECT(store_stage_put(stage, STR("large ")) == ST_OK);
	EXPECT(store_stage_put(stage, STR("body")) == ST_OK);
	r.d.body_bytes = 10;
	r.d.now_ms = NOW;
	memory_inject(store, &(struct memory_faults){.conflict_in = 1});
	EXPECT(store_transact_wait(store, deliver_fn, &r) == ST_OK);
	store_stage_free(&stage);
	expect_mail(1, 1, STR("H1\r\nlarge body"));
	expect_mail(2, 1, STR("H2\r\nlarge body"));
	store_close(&store);
}

static void
too_many_recipients(void)
{
	static struct delivery_rcpt rcpts[DELIVER_RCPTS_MAX + 1];
	struct str body = STR("b");
	struct run r = {.d = {.parts = &body, .parts_n = 1}, .rcpts = rcpts, .n = COUNT_OF(rcpts)};

	store_make();
	for (size_t i = 0; i < COUNT_OF(rcpts); i++)
		rcpts[i].account.v = 1000 + i;
	EXPECT(deliver(&r) == ST_LIMIT);
	r.n--;
	EXPECT(deliver(&r) == ST_OK && rcpts[0].result == DELIVER_GONE);
	store_close(&store);
}

/* One recipient that cannot be served by the store undoes all of it. */
static void
all_or_nothing(void)
{
	static const char big[MAILBOX_HEAD_BYTES_MAX + 1];
	struct str body = STR("body");
	struct delivery_rcpt rcpts[] = {{{1}, STR("H")}, {{2}, str_of(big, sizeof(big))}};
	struct run r = {.d = {.parts = &body, .parts_n = 1}, .rcpts = rcpts, .n = 2};
	struct blob_id wanted;
	size_t n;

	store_make();
	EXPECT(deliver(&r) == ST_LIMIT);
	EXPECT(count(1) == 0);
	EXPECT(mailbox_digest_pending(store_snapshot(store), (struct blob_id){0}, &wanted, 1, &n) ==
	       ST_OK);
	EXPECT(n == 0);
	rcpts[1].head.n--;
	EXPECT(deliver(&r) == ST_OK && count(1) == 1 && count(2) == 1);
	memory_inject(store, &(struct memory_faults){.is_full = true});
	EXPECT(deliver(&r) == ST_LIMIT && count(1) == 1);
	store_close(&store);
}

/* What was acknowledged is there after a crash at any later delivery, whole; the rest is not. */
static void
crashes(void)
{
	struct str body = STR("body");

	for (uint32_t at = 1; at <= 3; at++) {
		struct memory_disk *disk = memory_disk_new();
		struct delivery_rcpt rcpts[] = {{{1}, STR("H1")}, {{2}, STR("H2")}};
		struct run r = {.d = {.parts = &body, .parts_n = 1}, .rcpts = rcpts, .n = 2};

		EXPECT(memory_open(&(struct memory_options){disk, true}, &store) == ST_OK);
		EXPECT(store_transact_wait(store, directory_fn, NULL) == ST_OK);
		memory_inject(store, &(struct memory_faults){.crash_in = at});
		for (uint32_t i = 1; i <= 3; i++)
			EXPECT(deliver(&r) == (i < at ? ST_OK : ST_IO));
		store_close(&store);
		EXPECT(memory_open(&(struct memory_options){disk, true}, &store) == ST_OK);
		EXPECT(count(1) == at - 1 && count(2) == at - 1);
		if (at > 1)
			expect_mail(2, at - 1, STR("H2body"));
		EXPECT(deliver(&r) == ST_OK && rcpts[0].uid == at);
		store_close(&store);
		memory_disk_free(&disk);
	}
}

/* The budget: 4-5 small operations and under 700 bytes of log beyond body and head. */
static void
costs(void)
{
	static const char body_bytes[5000], head_bytes[400];
	struct str body = str_of(body_bytes, sizeof(body_bytes));
	struct delivery_rcpt rcpts[] = {{{1}, str_of(head_bytes, sizeof(head_bytes))},
	    {{2}, str_of(head_bytes, sizeof(head_bytes))}};

	store_make();
	for (size_t n = 1; n <= 2; n++) {
		struct run r = {.d = {.parts = &body, .parts_n = 1}, .rcpts = rcpts, .n = n};
		struct memory_costs before, after;
		uint64_t ops, bytes;

		EXPECT(deliver(&r) == ST_OK); /* the first makes the INBOX */
		EXPECT(deliver(&r) == ST_OK);
		memory_costs(store, &before);
		EXPECT(deliver(&r) == ST_OK);
		memory_costs(store, &after);
		ops = after.ops - before.ops - 1;
		bytes = after.log_bytes - before.log_bytes - body.n - n * sizeof(head_bytes);
		printf("delivery to %zu: %llu small operations, %llu bytes of log beyond body and "
		       "head\n",
		    n, (unsigned long long)ops, (unsigned long long)bytes);
		EXPECT(ops <= 1 + 4 * n + (n > 1));
		EXPECT(bytes < 700);
	}
	store_close(&store);
}

int
main(void)
{
	static const struct credential_options cheap = {
	    64, 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}};

	if (credential_make(STR("secret"), &cheap, &credential, NULL) != ST_OK)
		return 1;
	UNIT(one_body_for_all);
	UNIT(quota);
	UNIT(staged_bodies);
	UNIT(too_many_recipients);
	UNIT(all_or_nothing);
	UNIT(crashes);
	UNIT(costs);
	return unit_end();
}
