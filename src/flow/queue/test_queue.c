#include "base/num.h"
#include "base/unit.h"
#include "flow/queue/queue.h"
#include "store/memory/memory.h"

#define NOW 1700000000000u
#define DAY (24u * 3600 * 1000)
#define HOUR (3600u * 1000)

static struct store *store;
static struct arena arena;

static void
store_make(void)
{
	EXPECT(memory_open(&(struct memory_options){.is_strict = true}, &store) == ST_OK);
	arena_init(&arena, QUEUE_ARENA_BYTES);
}

static void
store_unmake(void)
{
	store_close(&store);
	arena_fini(&arena);
}

struct put {
	struct queue_message m;
	const struct queue_new_rcpt *rcpts;
	size_t n;
	uint64_t hold_ms;
};

static enum status
put_fn(struct txn *t, void *arg)
{
	struct put *p = arg;
	struct str body = STR("Subject: x\r\n\r\nbody\r\n");
	enum status st = store_blob_put(t, &body, 1, &p->m.blob);

	p->m.body_bytes = body.n;
	return st == ST_OK ? queue_put(t, &p->m, p->rcpts, p->n, &(struct queue_options){.life_ms = 5 * DAY}, p->hold_ms) : st;
}

static const struct queue_new_rcpt three[] = {
    {.path = STR_INIT("One@B.example"), .notify = 0, .orcpt = STR_INIT("")},
    {.path = STR_INIT("two@b.EXAMPLE"), .notify = ENVELOPE_SUCCESS | ENVELOPE_DELAY, .orcpt = STR_INIT("rfc822;2@b.example")},
    {.path = STR_INIT("three@c.example"), .notify = ENVELOPE_NEVER, .orcpt = STR_INIT("")},
};

static struct queue_message
message_of(void)
{
	return (struct queue_message){.arrived_ms = NOW,
	    .account = {7},
	    .flags = ENVELOPE_8BIT,
	    .ret = ENVELOPE_RET_HDRS,
	    .priority = ENVELOPE_PRIORITY_ZERO,
	    .reverse_path = STR("me@a.example"),
	    .head = STR("Received: x\r\n"),
	    .envid = STR("QQ314159"),
	    .message_id = STR("<1@a.example>"),
	    .sign_domain = STR("a.example")};
}

static struct queue_id
put_three(void)
{
	struct put p = {.m = message_of(), .rcpts = three, .n = 3};

	EXPECT(store_transact_wait(store, put_fn, &p) == ST_OK);
	return p.m.id;
}

static void
what_goes_in_comes_out(void)
{
	struct queue_message m = {0};
	struct queue_rcpt *r;
	struct queue_entry *e;
	struct queue_id id, ids[4];
	size_t n;

	store_make();
	id = put_three();
	EXPECT(id.v == 1);
	EXPECT(queue_get(store_snapshot(store), id, &arena, &m) == ST_OK);
	EXPECT(m.id.v == 1 && m.account.v == 7 && m.flags == ENVELOPE_8BIT && m.ret == ENVELOPE_RET_HDRS && m.rcpts_n == 3);
	EXPECT(m.expires_ms == NOW + 5 * DAY && m.arrived_ms == NOW && m.body_bytes == 20);
	EXPECT_STR(m.reverse_path, STR("me@a.example"));
	EXPECT_STR(m.head, STR("Received: x\r\n"));
	EXPECT_STR(m.envid, STR("QQ314159"));
	EXPECT_STR(m.sign_domain, STR("a.example"));
	EXPECT(queue_rcpts(store_snapshot(store), id, &arena, &r, &n) == ST_OK && n == 3);
	EXPECT_STR(r[0].path, STR("One@B.example"));
	EXPECT_STR(r[0].destination, STR("b.example"));
	EXPECT_STR(r[1].orcpt, STR("rfc822;2@b.example"));
	EXPECT(r[2].notify == ENVELOPE_NEVER && r[2].index == 2 && r[2].due_ms == NOW);
	EXPECT(queue_entries(r, n, &arena, &e, &n) == ST_OK && n == 2);
	EXPECT(e[0].rcpts_n == 2 && e[1].rcpts_n == 1 && !e[0].is_held && e[0].due_ms == NOW);
	(void)put_three();
	EXPECT(queue_ids(store_snapshot(store), (struct queue_id){0}, ids, 4, &n) == ST_OK && n == 2 && ids[1].v == 2);
	EXPECT(queue_ids(store_snapshot(store), (struct queue_id){1}, ids, 4, &n) == ST_OK && n == 1 && ids[0].v == 2);
	EXPECT(queue_get(store_snapshot(store), (struct queue_id){9}, &arena, &m) == ST_NOTFOUND);
	store_unmake();
}

static void
limits_hold(void)
{
	static struct queue_new_rcpt many[QUEUE_RCPTS_MAX + 1];
	static char orcpt[QUEUE_ORCPT_BYTES_MAX + 1];
	struct put p = {.m = message_of(), .rcpts = many, .n = QUEUE_RCPTS_MAX};
	struct queue_new_rcpt one = {.path = STR("x@b.example"), .orcpt = str_of(orcpt, QUEUE_ORCPT_BYTES_MAX)};
	struct queue_rcpt *r;
	size_t n;

	store_make();
	memset(orcpt, 'o', sizeof(orcpt));
	for (size_t i = 0; i < COUNT_OF(many); i++)
		many[i] = three[0];
	EXPECT(store_transact_wait(store, put_fn, &p) == ST_OK);
	EXPECT(queue_rcpts(store_snapshot(store), p.m.id, &arena, &r, &n) == ST_OK && n == QUEUE_RCPTS_MAX);
	p.n++;
	EXPECT(store_transact_wait(store, put_fn, &p) == ST_LIMIT);
	p = (struct put){.m = message_of(), .rcpts = &one, .n = 1};
	EXPECT(store_transact_wait(store, put_fn, &p) == ST_OK);
	one.orcpt.n++;
	EXPECT(store_transact_wait(store, put_fn, &p) == ST_LIMIT);
	one = (struct queue_new_rcpt){.path = STR("no-domain")};
	EXPECT(store_transact_wait(store, put_fn, &p) == ST_SYNTAX);
	store_unmake();
}

struct tried {
	struct queue_id id;
	struct queue_try try;
	struct queue_news *news;
	size_t n;
	bool is_gone;
};

static enum status
tried_fn(struct txn *t, void *arg)
{
	struct tried *k = arg;
	struct queue_message m = {0};
	enum status st = queue_get(t, k->id, &arena, &m);

	return st == ST_OK ? queue_tried(t, &m, &k->try, &arena, &k->news, &k->n, &k->is_gone) : st;
}

static void
result_put(struct buf *b, uint32_t index, enum queue_verdict verdict, uint16_t code, struct str text)
{
	char p[17];

	le32_put(p, index);
	p[4] = (char)verdict;
	le16_put(p + 5, code);
	le16_put(p + 7, (uint16_t)(code / 100));
	le16_put(p + 9, 1);
	le16_put(p + 11, 1);
	le16_put(p + 13, (uint16_t)text.n);
	(void)buf_put(b, str_of(p, 15));
	(void)buf_put(b, text);
}

static void
each_recipient_has_its_own_end(void)
{
	struct buf results;
	struct queue_id id;
	struct tried k;
	struct queue_rcpt *r;
	size_t n;

	store_make();
	id = put_three();
	buf_init(&results, 4096);
	result_put(&results, 0, QUEUE_FAILED, 550, STR("no such user"));
	result_put(&results, 1, QUEUE_RELAYED, 250, STR("ok"));
	k = (struct tried){.id = id,
	    .try = {.destination = STR("b.example"), .now_ms = NOW + 5, .due_ms = NOW + HOUR, .host = STR("mx.b.example"), .results = buf_str(&results)}};
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && k.n == 2 && !k.is_gone);
	EXPECT(k.news[0].verdict == QUEUE_FAILED && k.news[0].is_notice_due && !k.news[0].is_expired);
	EXPECT_STR(k.news[0].rcpt.text, STR("no such user"));
	EXPECT_STR(k.news[0].rcpt.host, STR("mx.b.example"));
	EXPECT(k.news[1].verdict == QUEUE_RELAYED && k.news[1].is_notice_due);
	EXPECT(queue_rcpts(store_snapshot(store), id, &arena, &r, &n) == ST_OK && n == 1 && r[0].index == 2);
	/* NOTIFY=NEVER: nothing is told; and with the last recipient the message goes, with its body. */
	buf_reset(&results);
	result_put(&results, 2, QUEUE_FAILED, 550, STR("gone"));
	k.try = (struct queue_try){.destination = STR("c.example"), .now_ms = NOW + 6, .due_ms = NOW + HOUR, .results = buf_str(&results)};
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && k.n == 1 && k.is_gone && !k.news[0].is_notice_due);
	EXPECT(queue_rcpts(store_snapshot(store), id, &arena, &r, &n) == ST_OK && n == 0);
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_NOTFOUND);
	buf_fini(&results);
	store_unmake();
}

static void
time_runs_out(void)
{
	struct tried k = {.try = {.destination = STR("b.example"), .now_ms = NOW + HOUR, .due_ms = NOW + 2 * HOUR, .notice_ms = 4 * HOUR,
	                      .code = 451, .enhanced = {4, 4, 1}, .text = STR("no answer")}};
	struct queue_rcpt *r;
	size_t n;

	store_make();
	k.id = put_three();
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && k.n == 2);
	EXPECT(k.news[0].verdict == QUEUE_DEFERRED && !k.news[0].is_notice_due && k.news[0].rcpt.attempts == 1);
	/* After four hours the sender hears of it, once; the first recipient has no NOTIFY, the second asks for DELAY. */
	k.try.now_ms = NOW + 4 * HOUR;
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && k.news[0].is_notice_due && k.news[1].is_notice_due);
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && !k.news[0].is_notice_due && k.news[0].rcpt.attempts == 3);
	/* The last try is at the end of its life, not after it. */
	k.try.due_ms = NOW + 9 * DAY;
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && k.news[0].rcpt.due_ms == NOW + 5 * DAY);
	k.try.now_ms = NOW + 5 * DAY - 1;
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && k.news[0].verdict == QUEUE_DEFERRED);
	k.try.now_ms = NOW + 5 * DAY;
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && k.news[0].verdict == QUEUE_FAILED && k.news[0].is_expired &&
	    k.news[0].is_notice_due);
	/* The second said NOTIFY=SUCCESS,DELAY: failures it does not want to hear of. */
	EXPECT(k.news[1].verdict == QUEUE_FAILED && !k.news[1].is_notice_due);
	EXPECT(queue_rcpts(store_snapshot(store), k.id, &arena, &r, &n) == ST_OK && n == 1);
	store_unmake();
}

struct ordered {
	struct queue_id id;
	struct str destination;
	enum queue_order order;
	size_t changed;
};

static enum status
order_fn(struct txn *t, void *arg)
{
	struct ordered *o = arg;

	return queue_order(t, o->id, o->destination, o->order, NOW + 99, &arena, &o->changed);
}

static void
orders_are_carried_out(void)
{
	struct ordered o = {.order = QUEUE_HOLD, .destination = STR("b.example")};
	struct tried k = {.try = {.destination = STR("b.example"), .now_ms = NOW, .due_ms = NOW + HOUR, .code = 451}};
	struct queue_rcpt *r;
	struct queue_entry *e;
	struct queue_message m;
	size_t n;

	store_make();
	o.id = k.id = put_three();
	EXPECT(store_transact_wait(store, order_fn, &o) == ST_OK && o.changed == 2);
	EXPECT(store_transact_wait(store, order_fn, &o) == ST_OK && o.changed == 0);
	EXPECT(queue_rcpts(store_snapshot(store), o.id, &arena, &r, &n) == ST_OK && n == 3);
	EXPECT(queue_entries(r, n, &arena, &e, &n) == ST_OK && n == 2 && e[0].is_held && !e[1].is_held);
	/* A try that knew nothing of held ones leaves them as they are. */
	EXPECT(store_transact_wait(store, tried_fn, &k) == ST_OK && k.n == 0);
	o.order = QUEUE_RETRY;
	EXPECT(store_transact_wait(store, order_fn, &o) == ST_OK && o.changed == 0);
	o.order = QUEUE_RELEASE;
	EXPECT(store_transact_wait(store, order_fn, &o) == ST_OK && o.changed == 2);
	EXPECT(queue_rcpts(store_snapshot(store), o.id, &arena, &r, &n) == ST_OK && r[0].due_ms == NOW + 99);
	o.order = QUEUE_EXPIRE;
	EXPECT(store_transact_wait(store, order_fn, &o) == ST_OK && o.changed == 2);
	EXPECT(queue_get(store_snapshot(store), o.id, &arena, &m) == ST_OK && m.expires_ms == NOW + 99);
	o.order = QUEUE_REMOVE;
	EXPECT(store_transact_wait(store, order_fn, &o) == ST_OK && o.changed == 2);
	o.destination = STR_NULL;
	EXPECT(store_transact_wait(store, order_fn, &o) == ST_OK && o.changed == 1);
	EXPECT(store_transact_wait(store, order_fn, &o) == ST_NOTFOUND);
	store_unmake();
}

static void
a_held_message_lives_from_its_first_try(void)
{
	struct put p = {.m = message_of(), .rcpts = three, .n = 1, .hold_ms = NOW + DAY};
	struct queue_rcpt *r;
	size_t n;

	store_make();
	EXPECT(store_transact_wait(store, put_fn, &p) == ST_OK);
	EXPECT(p.m.expires_ms == NOW + 6 * DAY);
	EXPECT(queue_rcpts(store_snapshot(store), p.m.id, &arena, &r, &n) == ST_OK && n == 1 && r[0].due_ms == NOW + DAY);
	/* RFC 2852: what must be there by a time fails then. */
	p.hold_ms = 0;
	p.m.by_ms = NOW + HOUR;
	p.m.by_mode = 'R';
	EXPECT(store_transact_wait(store, put_fn, &p) == ST_OK && p.m.expires_ms == NOW + HOUR);
	store_unmake();
}

static enum status
garbage_fn(struct txn *t, void *arg)
{
	struct key k;

	(void)arg;
	return store_put(t, key_queue(&k, (struct queue_id){1}), STR("\x01garbage"));
}

static void
damage_is_told(void)
{
	struct queue_message m;

	store_make();
	(void)put_three();
	EXPECT(store_transact_wait(store, garbage_fn, NULL) == ST_OK);
	EXPECT(queue_get(store_snapshot(store), (struct queue_id){1}, &arena, &m) == ST_IO);
	store_unmake();
}

int
main(void)
{
	UNIT(what_goes_in_comes_out);
	UNIT(limits_hold);
	UNIT(each_recipient_has_its_own_end);
	UNIT(time_runs_out);
	UNIT(orders_are_carried_out);
	UNIT(a_held_message_lives_from_its_first_try);
	UNIT(damage_is_told);
	return unit_end();
}
