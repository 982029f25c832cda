#include "base/num.h"
#include "base/unit.h"
#include "flow/report/event.h"
#include "store/memory/memory.h"

static struct store *store;
static struct arena arena;

static void
store_make(void)
{
	EXPECT(memory_open(&(struct memory_options){.is_strict = true}, &store) == ST_OK);
	arena_init(&arena, 1 << 20);
}

static void
store_unmake(void)
{
	store_close(&store);
	arena_fini(&arena);
}

struct put {
	struct event e;
	struct str names[80];
	size_t names_n;
};

static enum status
put_fn(struct txn *t, void *arg)
{
	struct put *p = arg;

	return event_put(t, &p->e, p->names, p->names_n);
}

static uint64_t
put(enum event_kind kind, uint64_t trace, uint64_t at_ms)
{
	struct put p = {.e = {.trace = trace, .kind = (uint8_t)kind, .at_ms = at_ms, .code = 250, .enhanced = {2, 1, 5},
	                    .sender = STR("me@a.example"), .rcpts = STR("you@b.example"), .message_id = STR("<1@a.example>"),
	                    .host = STR("mx.b.example"), .ip = STR("192.0.2.1"), .tls = STR("TLSv1.3"), .text = STR("ok")},
	    .names = {STR("me@a.example"), STR("you@b.example"), STR("<1@a.example>"), STR("ME@a.example"), STR("")},
	    .names_n = trace == 0 ? 5 : 0};

	EXPECT(store_transact_wait(store, put_fn, &p) == ST_OK);
	return p.e.id;
}

static void
a_trace_is_found_by_each_name(void)
{
	static const struct str names[] = {STR_INIT("me@a.example"), STR_INIT("YOU@B.example"), STR_INIT("<1@A.example>"), STR_INIT("1@a.example")};
	struct event e[8];
	uint64_t first, ids[4];
	size_t n;

	store_make();
	first = put(EVENT_QUEUED, 0, 1000);
	(void)put(EVENT_QUEUED, 0, 1001);
	(void)put(EVENT_DEFERRED, first, 1002);
	(void)put(EVENT_SENT, first, 1003);
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		EXPECT(event_find(store_snapshot(store), names[i], ids, 4, &n) == ST_OK && n == 2);
		EXPECT(ids[0] == first && ids[1] == first + 1);
	}
	/* The latest when there are more than asked for. */
	EXPECT(event_find(store_snapshot(store), names[0], ids, 1, &n) == ST_OK && n == 1 && ids[0] == first + 1);
	EXPECT(event_find(store_snapshot(store), STR("nobody@a.example"), ids, 4, &n) == ST_OK && n == 0);
	EXPECT(event_trace(store_snapshot(store), first, &arena, e, 8, &n) == ST_OK && n == 3);
	EXPECT(e[0].kind == EVENT_QUEUED && e[1].kind == EVENT_DEFERRED && e[2].kind == EVENT_SENT && e[2].at_ms == 1003);
	EXPECT_STR(e[2].host, STR("mx.b.example"));
	EXPECT_STR(e[0].sender, STR("me@a.example"));
	EXPECT(e[2].code == 250 && e[2].enhanced[2] == 5 && e[2].trace == first);
	EXPECT(event_trace(store_snapshot(store), first, &arena, e, 2, &n) == ST_OK && n == 2);
	EXPECT(event_list(store_snapshot(store), 0, &arena, e, 8, &n) == ST_OK && n == 4);
	EXPECT(event_list(store_snapshot(store), first + 2, &arena, e, 8, &n) == ST_OK && n == 1 && e[0].kind == EVENT_SENT);
	EXPECT(event_last(store_snapshot(store), ids) == ST_OK && ids[0] == first + 3);
	store_unmake();
}

static void
names_and_strings_have_their_limits(void)
{
	static char long_text[70000];
	static char local[COUNT_OF(((struct put *)0)->names)][16];
	struct put p = {.e = {.kind = EVENT_DELIVERED, .rcpts = str_of(long_text, sizeof(long_text)), .sender = str_of(long_text, sizeof(long_text)),
	                    .text = str_of(long_text, sizeof(long_text)), .message_id = str_of(long_text, sizeof(long_text))}};
	uint64_t ids[2];
	struct event e;
	size_t n;

	memset(long_text, 'x', sizeof(long_text));
	store_make();
	for (size_t i = 0; i < COUNT_OF(p.names); i++) {
		memset(local[i], 'a' + (int)(i % 26), 5 + i / 26);
		p.names[i] = str_of(local[i], 5 + i / 26);
	}
	p.names_n = COUNT_OF(p.names);
	EXPECT(store_transact_wait(store, put_fn, &p) == ST_OK);
	EXPECT(event_find(store_snapshot(store), p.names[EVENT_NAMES_MAX - 1], ids, 2, &n) == ST_OK && n == 1);
	EXPECT(event_find(store_snapshot(store), p.names[EVENT_NAMES_MAX], ids, 2, &n) == ST_OK && n == 0);
	EXPECT(event_trace(store_snapshot(store), p.e.id, &arena, &e, 1, &n) == ST_OK && n == 1 && e.rcpts.n == EVENT_RCPTS_BYTES_MAX);
	store_unmake();
}

struct prune {
	uint64_t before_ms;
	bool is_done;
};

static enum status
prune_fn(struct txn *t, void *arg)
{
	struct prune *p = arg;

	return event_prune(t, p->before_ms, &p->is_done);
}

static void
old_ones_are_forgotten_with_all_that_leads_to_them(void)
{
	struct prune p = {.before_ms = 1000 + EVENT_PRUNE_MAX};
	struct event e[4];
	uint64_t first, ids[4];
	size_t n;

	store_make();
	EXPECT(event_oldest(store_snapshot(store), ids) == ST_NOTFOUND);
	first = put(EVENT_QUEUED, 0, 1000);
	EXPECT(event_oldest(store_snapshot(store), ids) == ST_OK && ids[0] == 1000);
	for (uint64_t i = 1; i <= EVENT_PRUNE_MAX; i++)
		(void)put(EVENT_DEFERRED, first, 1000 + i);
	EXPECT(store_transact_wait(store, prune_fn, &p) == ST_OK && !p.is_done);
	EXPECT(event_find(store_snapshot(store), STR("me@a.example"), ids, 4, &n) == ST_OK && n == 0);
	/* What is left of a trace is still shown. */
	EXPECT(event_trace(store_snapshot(store), first, &arena, e, 4, &n) == ST_OK && n == 1 && e[0].at_ms == 1000 + EVENT_PRUNE_MAX);
	EXPECT(store_transact_wait(store, prune_fn, &p) == ST_OK && p.is_done);
	EXPECT(event_list(store_snapshot(store), 0, &arena, e, 4, &n) == ST_OK && n == 1);
	p.before_ms++;
	EXPECT(store_transact_wait(store, prune_fn, &p) == ST_OK && p.is_done);
	EXPECT(event_list(store_snapshot(store), 0, &arena, e, 4, &n) == ST_OK && n == 0);
	EXPECT(event_last(store_snapshot(store), ids) == ST_OK && ids[0] == first + EVENT_PRUNE_MAX);
	store_unmake();
}

static void
kinds_have_words(void)
{
	for (int k = 0; k < EVENT_KINDS; k++)
		EXPECT(event_kind_word((enum event_kind)k)[0] != '\0');
}

int
main(void)
{
	UNIT(a_trace_is_found_by_each_name);
	UNIT(names_and_strings_have_their_limits);
	UNIT(old_ones_are_forgotten_with_all_that_leads_to_them);
	UNIT(kinds_have_words);
	return unit_end();
}
