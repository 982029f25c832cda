#include "store/conformance.h"

#include <poll.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"

#define ROUNDS_DEFAULT 300

/* The case that runs. */
static const struct conformance_backend *backend;
static struct store *store;

/* ---- scripts: a transaction as a table of operations with what each must say ---- */

enum op { OP_GET, OP_PUT, OP_DEL, OP_ADD, OP_SPLICE };

struct step {
	enum op op;
	struct str key;
	struct str value; /* put, splice: written; get: expected (p NULL: not found) */
	size_t off;
	int64_t by;
	uint64_t sum; /* add: expected */
	enum status want;
};

struct script {
	const struct step *steps;
	size_t n;
	enum status end; /* what the function returns */
};

#define GET(k, v)                                                      \
	{                                                              \
		.op = OP_GET, .key = STR_INIT(k), .value = STR_INIT(v) \
	}
#define NONE(k)                                                       \
	{                                                             \
		.op = OP_GET, .key = STR_INIT(k), .want = ST_NOTFOUND \
	}
#define PUT(k, v)                                                      \
	{                                                              \
		.op = OP_PUT, .key = STR_INIT(k), .value = STR_INIT(v) \
	}
#define DEL(k)                                   \
	{                                        \
		.op = OP_DEL, .key = STR_INIT(k) \
	}
#define ADD(k, n, total)                                                    \
	{                                                                   \
		.op = OP_ADD, .key = STR_INIT(k), .by = (n), .sum = (total) \
	}
#define SPLICE(k, o, v)                                                               \
	{                                                                             \
		.op = OP_SPLICE, .key = STR_INIT(k), .off = (o), .value = STR_INIT(v) \
	}

static void
step_run(struct txn *t, const struct step *p)
{
	struct str got;
	uint64_t sum = 0;

	switch (p->op) {
	case OP_GET:
		EXPECT(store_get(t, p->key, &got) == p->want);
		EXPECT_STR(got, p->value);
		break;
	case OP_PUT:
		EXPECT(store_put(t, p->key, p->value) == p->want);
		break;
	case OP_DEL:
		EXPECT(store_del(t, p->key) == p->want);
		break;
	case OP_ADD:
		EXPECT(store_add(t, p->key, p->by, &sum) == p->want);
		EXPECT(p->want != ST_OK || sum == p->sum);
		break;
	case OP_SPLICE:
		EXPECT(store_splice(t, p->key, p->off, p->value) == p->want);
		break;
	}
}

static enum status
script_fn(struct txn *t, void *arg)
{
	const struct script *s = arg;

	for (size_t i = 0; i < s->n; i++)
		step_run(t, &s->steps[i]);
	return s->end;
}

static enum status
script_run(const struct step *steps, size_t n, enum status end)
{
	struct script s = {steps, n, end};

	return store_transact_wait(store, script_fn, &s);
}

/* Outside of a transaction, gets only. */
static void
script_look(const struct step *steps, size_t n)
{
	struct txn *t = store_snapshot(store);

	for (size_t i = 0; i < n; i++)
		step_run(t, &steps[i]);
}

#define RUN(...)                                                              \
	do {                                                                  \
		static const struct step steps_[] = {__VA_ARGS__};            \
		EXPECT(script_run(steps_, COUNT_OF(steps_), ST_OK) == ST_OK); \
	} while (0)
#define LOOK(...)                                                  \
	do {                                                       \
		static const struct step steps_[] = {__VA_ARGS__}; \
		script_look(steps_, COUNT_OF(steps_));             \
	} while (0)
#define ABORT(...)                                                                    \
	do {                                                                          \
		static const struct step steps_[] = {__VA_ARGS__};                    \
		EXPECT(script_run(steps_, COUNT_OF(steps_), ST_DENIED) == ST_DENIED); \
	} while (0)

static void
reopen(void)
{
	EXPECT(backend->reopen(backend->arg, &store) == ST_OK);
	CHECK(store);
}

/* ---- keys ---- */

static void
gets_what_was_put(void)
{
	RUN(NONE("a"), PUT("a", "1"), PUT("b", ""), PUT("c\0d", "\0\xff"));
	RUN(GET("a", "1"), GET("b", ""), GET("c\0d", "\0\xff"), NONE("c"), NONE("c\0"));
	LOOK(GET("a", "1"), GET("c\0d", "\0\xff"), NONE("z"));
	RUN(PUT("a", "a longer value than before"), DEL("b"), DEL("b"), DEL("never"));
	LOOK(GET("a", "a longer value than before"), NONE("b"));
}

static void
reads_its_own_writes(void)
{
	RUN(PUT("k", "1"), GET("k", "1"), PUT("k", "2"), GET("k", "2"), DEL("k"), NONE("k"),
	    PUT("k", "3"), GET("k", "3"), SPLICE("k", 1, "4"), GET("k", "34"), DEL("k"), NONE("k"),
	    SPLICE("k", 0, "x"), GET("k", "x"), ADD("n", 5, 5), GET("n", "\5\0\0\0\0\0\0\0"));
	LOOK(GET("k", "x"), GET("n", "\5\0\0\0\0\0\0\0"));
}

static void
undoes_what_failed(void)
{
	RUN(PUT("a", "old"), PUT("b", "old"), PUT("s", "0123456789"), ADD("n", 7, 7));
	ABORT(PUT("a", "new"), DEL("b"), PUT("c", "new"), SPLICE("s", 8, "abcdef"),
	    SPLICE("s", 0, "zz"), ADD("n", 1, 8), ADD("m", 1, 1), PUT("a", "newer"),
	    SPLICE("t", 3, "x"), GET("a", "newer"), GET("s", "zz234567abcdef"),
	    GET("t", "\0\0\0x"));
	LOOK(GET("a", "old"), GET("b", "old"), NONE("c"), GET("s", "0123456789"),
	    GET("n", "\7\0\0\0\0\0\0\0"), NONE("m"), NONE("t"));
	RUN(PUT("a", "then"));
	reopen();
	LOOK(GET("a", "then"), GET("b", "old"), NONE("c"), GET("s", "0123456789"), NONE("t"));
}

static void
adds(void)
{
	static const struct step below[] = {
	    {.op = OP_ADD, .key = STR_INIT("n"), .by = -1, .want = ST_LIMIT},
	    {.op = OP_ADD, .key = STR_INIT("m"), .by = -4, .want = ST_LIMIT},
	    {.op = OP_ADD, .key = STR_INIT("odd"), .by = 1, .want = ST_SYNTAX}};

	RUN(ADD("n", 1, 1), ADD("n", 1, 2), ADD("n", -2, 0), ADD("m", 3, 3), PUT("odd", "1234567"));
	EXPECT(script_run(below, COUNT_OF(below), ST_OK) == ST_OK);
	RUN(ADD("m", INT64_MAX, (uint64_t)INT64_MAX + 3));
	reopen();
	RUN(ADD("n", 9, 9), ADD("m", -3, INT64_MAX));
}

static void
splices(void)
{
	RUN(SPLICE("s", 4, "x"), GET("s", "\0\0\0\0x"), SPLICE("s", 0, "ab"), GET("s", "ab\0\0x"),
	    SPLICE("s", 5, "y"), SPLICE("s", 8, "z"), GET("s", "ab\0\0xy\0\0z"), SPLICE("e", 0, ""),
	    GET("e", ""));
	RUN(SPLICE("s", 1, "BB"), SPLICE("s", 2, ""));
	LOOK(GET("s", "aBB\0xy\0\0z"), GET("e", ""));
	RUN(PUT("s", "short"), SPLICE("s", 7, "!"), GET("s", "short\0\0!"));
	/* Zeros again, not what stood there before. */
	RUN(DEL("s"), SPLICE("s", 3, "!"), GET("s", "\0\0\0!"));
	reopen();
	LOOK(GET("s", "\0\0\0!"));
}

static void
keeps_after_reopen(void)
{
	RUN(PUT("a", "1"), PUT("b", "2"));
	RUN(DEL("a"), SPLICE("b", 1, "3"));
	reopen();
	LOOK(NONE("a"), GET("b", "23"));
	reopen();
	LOOK(NONE("a"), GET("b", "23"));
	RUN(PUT("a", "again"));
	reopen();
	LOOK(GET("a", "again"), GET("b", "23"));
}

/* ---- limits ---- */

static enum status
key_and_value_limits_fn(struct txn *t, void *arg)
{
	struct str big = *(const struct str *)arg, got;

	EXPECT(store_put(t, str_take(big, STORE_KEY_BYTES_MAX), STR("k")) == ST_OK);
	EXPECT(store_get(t, str_take(big, STORE_KEY_BYTES_MAX), &got) == ST_OK);
	EXPECT(store_put(t, str_take(big, STORE_KEY_BYTES_MAX + 1), STR("k")) == ST_LIMIT);
	EXPECT(store_get(t, str_take(big, STORE_KEY_BYTES_MAX + 1), &got) == ST_LIMIT);
	EXPECT(store_del(t, str_take(big, STORE_KEY_BYTES_MAX + 1)) == ST_LIMIT);
	EXPECT(store_put(t, STR(""), STR("k")) == ST_LIMIT);
	EXPECT(store_get(t, STR(""), &got) == ST_LIMIT);
	EXPECT(store_put(t, STR("v"), str_take(big, STORE_VALUE_BYTES_MAX)) == ST_OK);
	EXPECT(store_put(t, STR("w"), str_take(big, STORE_VALUE_BYTES_MAX + 1)) == ST_LIMIT);
	EXPECT(store_splice(t, STR("x"), STORE_VALUE_BYTES_MAX - 3, STR("123")) == ST_OK);
	EXPECT(store_splice(t, STR("y"), STORE_VALUE_BYTES_MAX - 2, STR("123")) == ST_LIMIT);
	EXPECT(store_splice(t, STR("y"), SIZE_MAX - 1, STR("123")) == ST_LIMIT);
	return ST_OK;
}

static void
limits_keys_and_values(void)
{
	char *p = calloc(1, STORE_VALUE_BYTES_MAX + 1);
	struct str big = str_of(p, STORE_VALUE_BYTES_MAX + 1), got;

	CHECK(p);
	memset(p, 'k', big.n);
	EXPECT(store_transact_wait(store, key_and_value_limits_fn, &big) == ST_OK);
	reopen();
	EXPECT(store_get(store_snapshot(store), STR("v"), &got) == ST_OK);
	EXPECT(str_eq(got, str_take(big, STORE_VALUE_BYTES_MAX)));
	EXPECT(store_get(store_snapshot(store), STR("w"), &got) == ST_NOTFOUND);
	EXPECT(store_get(store_snapshot(store), STR("x"), &got) == ST_OK &&
	       got.n == STORE_VALUE_BYTES_MAX);
	EXPECT(store_get(store_snapshot(store), STR("y"), &got) == ST_NOTFOUND);
	EXPECT(store_get(store_snapshot(store), str_take(big, STORE_KEY_BYTES_MAX), &got) == ST_OK);
	free(p);
}

static enum status
ops_fn(struct txn *t, void *arg)
{
	uint32_t n = *(const uint32_t *)arg;
	enum status st = ST_OK;

	for (uint32_t i = 0; i < n && st == ST_OK; i++) {
		char key[4];

		be32_put(key, i);
		st = store_put(t, str_of(key, sizeof(key)), STR("v"));
	}
	return st;
}

static void
limits_ops(void)
{
	uint32_t n = STORE_TXN_OPS_MAX + 1;
	struct str got;

	EXPECT(store_transact_wait(store, ops_fn, &n) == ST_LIMIT);
	EXPECT(store_get(store_snapshot(store), STR("\0\0\0\0"), &got) == ST_NOTFOUND);
	n = STORE_TXN_OPS_MAX;
	EXPECT(store_transact_wait(store, ops_fn, &n) == ST_OK);
	EXPECT(store_get(store_snapshot(store), STR("\0\0\0\0"), &got) == ST_OK);
	reopen();
	EXPECT(store_get(store_snapshot(store), STR("\0\0\x27\x0f"), &got) == ST_OK);
}

/* Exactly the maximum of a transaction, and as many bytes more. */
static enum status
bytes_fn(struct txn *t, void *arg)
{
	size_t more = *(const size_t *)arg, left = STORE_TXN_BYTES_MAX;
	char *p = calloc(1, STORE_VALUE_BYTES_MAX);
	enum status st = ST_OK;

	CHECK(p);
	for (uint32_t i = 0; left && st == ST_OK; i++) {
		size_t n = size_min(left, 4 + 100000);
		char key[4];

		be32_put(key, i);
		left -= n;
		CHECK(n >= sizeof(key));
		st = store_put(t, str_of(key, sizeof(key)), str_of(p, n - 4));
	}
	if (st == ST_OK && more)
		st = store_put(t, STR("k"), str_of(p, more - 1));
	free(p);
	return st;
}

static void
limits_txn_bytes(void)
{
	size_t more = 1;
	struct str got;

	EXPECT(store_transact_wait(store, bytes_fn, &more) == ST_LIMIT);
	EXPECT(store_get(store_snapshot(store), STR("\0\0\0\0"), &got) == ST_NOTFOUND);
	more = 0;
	EXPECT(store_transact_wait(store, bytes_fn, &more) == ST_OK);
	reopen();
	EXPECT(store_get(store_snapshot(store), STR("\0\0\0\0"), &got) == ST_OK && got.n == 100000);
}

static void
snapshot_is_read_only(void)
{
	struct txn *t = store_snapshot(store);
	struct blob_id id;
	struct str part = STR("x");

	EXPECT(store_put(t, STR("a"), STR("1")) == ST_DENIED);
	EXPECT(store_del(t, STR("a")) == ST_DENIED);
	EXPECT(store_add(t, STR("a"), 1, NULL) == ST_DENIED);
	EXPECT(store_splice(t, STR("a"), 1, STR("x")) == ST_DENIED);
	EXPECT(store_blob_put(t, &part, 1, &id) == ST_DENIED);
	LOOK(NONE("a"));
}

/* ---- ranges over random data against a model ---- */

#define MODEL_KEYS 120
#define MODEL_VALUE_MAX 600

struct model_entry {
	bool is_there;
	size_t n;
	char value[MODEL_VALUE_MAX];
};

struct model {
	char keys[MODEL_KEYS][24];
	size_t keys_n[MODEL_KEYS]; /* sorted by the bytes of the keys, no two equal */
	struct model_entry now[MODEL_KEYS];
	struct model_entry before[MODEL_KEYS];
	struct prng rnd;
	bool is_aborting;
};

static struct str
model_key(const struct model *m, size_t i)
{
	return str_of(m->keys[i], m->keys_n[i]);
}

static int
key_order(const void *a, const void *b)
{
	const char *x = a, *y = b;

	/* The last byte holds the length while sorting. */
	return str_cmp(str_of(x, (size_t)x[23]), str_of(y, (size_t)y[23]));
}

/* Short keys of few different bytes, so that many are prefixes of others. */
static void
model_init(struct model *m, uint64_t seed)
{
	static const char letters[] = {0, 1, 'a', 'b', (char)0x80, (char)0xff};
	size_t n = 0;

	memset(m, 0, sizeof(*m));
	prng_init(&m->rnd, seed);
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		m->keys[i][23] = (char)(1 + prng_below(&m->rnd, 20));
		for (size_t k = 0; k < (size_t)m->keys[i][23]; k++)
			m->keys[i][k] = letters[prng_below(&m->rnd, COUNT_OF(letters))];
	}
	qsort(m->keys, MODEL_KEYS, sizeof(m->keys[0]), key_order);
	for (size_t i = 0; i < MODEL_KEYS; i++) {
		if (n && key_order(m->keys[n - 1], m->keys[i]) == 0)
			continue;
		memmove(m->keys[n], m->keys[i], sizeof(m->keys[i]));
		m->keys_n[n] = (size_t)m->keys[n][23];
		n++;
	}
	/* Equal ones were rare; the rest of the table is keys longer than any above. */
	for (; n < MODEL_KEYS; n++) {
		memset(m->keys[n], 0xff, sizeof(m->keys[n]));
		m->keys_n[n] = 23;
		m->keys[n][22] = (char)(n + 100);
	}
}

static void
model_range_check(struct model *m, struct txn *t, bool reverse)
{
	size_t a = prng_below(&m->rnd, MODEL_KEYS), b = prng_below(&m->rnd, MODEL_KEYS);
	struct store_iter it;
	size_t stop_after = prng_below(&m->rnd, 8) ? SIZE_MAX : prng_below(&m->rnd, 5);
	enum status st;

	EXPECT(store_range(t, model_key(m, a), model_key(m, b), reverse, &it) == ST_OK);
	for (size_t k = a; k < b && stop_after; k++) {
		size_t i = reverse ? b - 1 - (k - a) : k;

		if (!m->now[i].is_there)
			continue;
		stop_after--;
		st = store_next(&it);
		EXPECT(st == ST_OK);
		if (st != ST_OK)
			break;
		EXPECT(str_eq(it.key, model_key(m, i)));
		EXPECT(str_eq(it.value, str_of(m->now[i].value, m->now[i].n)));
	}
	if (stop_after) {
		EXPECT(store_next(&it) == ST_EOF);
		EXPECT(store_next(&it) == ST_EOF);
	}
	store_iter_end(&it);
	EXPECT(store_next(&it) == ST_EOF);
}

static void
model_write(struct model *m, struct txn *t)
{
	size_t i = prng_below(&m->rnd, MODEL_KEYS), off = 0, n;
	struct model_entry *e = &m->now[i];
	char bytes[200];

	n = prng_below(&m->rnd, sizeof(bytes));
	memset(bytes, (int)('A' + prng_below(&m->rnd, 26)), sizeof(bytes));
	switch (prng_below(&m->rnd, 4)) {
	case 0:
		EXPECT(store_del(t, model_key(m, i)) == ST_OK);
		e->is_there = false;
		e->n = 0;
		return;
	case 1:
		EXPECT(store_put(t, model_key(m, i), str_of(bytes, n)) == ST_OK);
		e->n = n;
		break;
	default:
		off = prng_below(&m->rnd, MODEL_VALUE_MAX - sizeof(bytes));
		EXPECT(store_splice(t, model_key(m, i), off, str_of(bytes, n)) == ST_OK);
		if (off > e->n)
			memset(e->value + e->n, 0, off - e->n);
		e->n = size_max(e->n, off + n);
	}
	memcpy(e->value + off, bytes, n);
	e->is_there = true;
}

static enum status
model_fn(struct txn *t, void *arg)
{
	struct model *m = arg;
	size_t writes = prng_below(&m->rnd, 12);

	memcpy(m->before, m->now, sizeof(m->now));
	for (size_t i = 0; i < writes; i++) {
		model_write(m, t);
		model_range_check(m, t, prng_below(&m->rnd, 2));
	}
	m->is_aborting = prng_below(&m->rnd, 4) == 0;
	return m->is_aborting ? ST_DENIED : ST_OK;
}

static void
ranges_agree_with_a_model(void)
{
	uint32_t rounds = backend->rounds ? backend->rounds : ROUNDS_DEFAULT;
	struct model *m = calloc(1, sizeof(*m));

	CHECK(m);
	model_init(m, 42);
	for (uint32_t i = 0; i < rounds && !unit_bad; i++) {
		enum status st = store_transact_wait(store, model_fn, m);

		EXPECT(st == (m->is_aborting ? ST_DENIED : ST_OK));
		if (m->is_aborting)
			memcpy(m->now, m->before, sizeof(m->now));
		if (i % 97 == 96)
			reopen();
		model_range_check(m, store_snapshot(store), false);
		model_range_check(m, store_snapshot(store), true);
	}
	free(m);
}

static void
ranges_have_exact_ends(void)
{
	static const struct {
		struct str from, to;
		const char *want;
	} cases[] = {
	    {STR_INIT("a"), STR_INIT("e"), "abcd"},
	    {STR_INIT("b"), STR_INIT("d"), "bc"},
	    {STR_INIT("b"), STR_INIT("d\0"), "bcd"},
	    {STR_INIT("a\0"), STR_INIT("c"), "b"},
	    {STR_INIT("c"), STR_INIT("c"), ""},
	    {STR_INIT("d"), STR_INIT("a"), ""},
	    {STR_INIT("e"), STR_INIT("\xff"), ""},
	    {STR_INIT("\0"), STR_INIT("a"), ""},
	};
	struct store_iter it;

	RUN(PUT("b", ""), PUT("d", ""), PUT("a", ""), PUT("c", ""));
	for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
		bool reverse = i % 2;
		size_t want_n = strlen(cases[i / 2].want), n = 0;

		EXPECT(store_range(store_snapshot(store), cases[i / 2].from, cases[i / 2].to,
			   reverse, &it) == ST_OK);
		for (; store_next(&it) == ST_OK; n++)
			EXPECT(n < want_n &&
			       it.key.p[0] == cases[i / 2].want[reverse ? want_n - 1 - n : n]);
		EXPECT(n == want_n);
		store_iter_end(&it);
	}
}

/* ---- the order of done ---- */

#define DONE_N 200

struct done_log {
	size_t n;
	size_t order[DONE_N];
	bool is_inside;
};

struct done_one {
	struct done_log *log;
	size_t i;
};

static void
done_note(void *arg, enum status st)
{
	struct done_one *d = arg;

	EXPECT(st == ST_OK);
	EXPECT(!d->log->is_inside);
	if (d->log->n < DONE_N)
		d->log->order[d->log->n++] = d->i;
}

static enum status
done_fn(struct txn *t, void *arg)
{
	const struct done_one *d = arg;
	char key[4];

	if (d->i % 7 == 3)
		return ST_OK; /* an empty transaction is also done in its turn */
	be32_put(key, (uint32_t)d->i);
	return store_put(t, str_of(key, sizeof(key)), STR("v"));
}

static enum status
refuse_fn(struct txn *t, void *arg)
{
	(void)arg;
	return store_put(t, STR("refused"), STR("v")) == ST_OK ? ST_EXISTS : ST_IO;
}

static void
wait_for_done(const struct done_log *log, size_t n)
{
	for (int i = 0; i < 10000 && log->n < n; i++) {
		struct pollfd p = {.fd = store_fd(store), .events = POLLIN};

		store_flush(store);
		EXPECT(store_poll(store) == ST_OK);
		if (log->n < n)
			(void)poll(&p, p.fd >= 0 ? 1 : 0, 1);
	}
}

static void
done_comes_in_order(void)
{
	static struct done_one ones[DONE_N];
	struct done_log log = {0};

	for (size_t i = 0; i < DONE_N; i++) {
		ones[i] = (struct done_one){&log, i};
		log.is_inside = true;
		EXPECT(store_transact(store, done_fn, &ones[i], done_note, &ones[i]) == ST_OK);
		if (i % 10 == 0)
			EXPECT(store_transact(store, refuse_fn, NULL, done_note, &ones[i]) ==
			       ST_EXISTS);
		log.is_inside = false;
		if (i % 13 == 0) {
			store_flush(store);
			EXPECT(store_poll(store) == ST_OK);
		}
	}
	wait_for_done(&log, DONE_N);
	EXPECT(log.n == DONE_N);
	for (size_t i = 0; i < log.n; i++)
		EXPECT(log.order[i] == i);
	EXPECT(store_poll(store) == ST_OK);
	EXPECT(log.n == DONE_N);
	LOOK(NONE("refused"));
}

/* ---- blobs ---- */

struct blob_test {
	struct str parts[3];
	struct blob_id id, other;
	struct store_stage *stage;
	int32_t by;
	enum status want;
	enum status end;
};

static enum status
blob_put_fn(struct txn *t, void *arg)
{
	struct blob_test *b = arg;
	struct buf got;

	buf_init(&got, 2 * STORE_BLOB_INLINE_MAX);
	EXPECT(store_blob_put(t, b->parts, COUNT_OF(b->parts), &b->id) == b->want);
	if (b->want == ST_OK) {
		EXPECT(b->id.v != 0);
		EXPECT(store_blob_read(t, b->id, 0, SIZE_MAX, &got) == ST_OK);
		EXPECT(got.n == b->parts[0].n + b->parts[1].n + b->parts[2].n);
		EXPECT(str_has_prefix(buf_str(&got), b->parts[0]));
	}
	buf_fini(&got);
	return b->end;
}

static void
blob_expect(struct blob_id id, uint64_t off, size_t n, struct str want)
{
	struct buf got;

	buf_init(&got, 2 * STORE_BLOB_INLINE_MAX);
	EXPECT(store_blob_read(store_snapshot(store), id, off, n, &got) == ST_OK);
	EXPECT_STR(buf_str(&got), want);
	buf_fini(&got);
}

static void
blob_expect_none(struct blob_id id)
{
	struct buf got;
	uint64_t size;

	buf_init(&got, 100);
	EXPECT(store_blob_read(store_snapshot(store), id, 0, 1, &got) == ST_NOTFOUND);
	EXPECT(store_blob_size(store_snapshot(store), id, &size) == ST_NOTFOUND);
	EXPECT(got.n == 0);
	buf_fini(&got);
}

static void
blobs_keep_bytes(void)
{
	struct blob_test b = {{STR("head "), STR(""), STR("body")}}, empty = {0};
	uint64_t size;
	uint64_t first;

	EXPECT(store_transact_wait(store, blob_put_fn, &b) == ST_OK);
	first = b.id.v;
	for (int round = 0; round < 2; round++) {
		EXPECT(store_blob_size(store_snapshot(store), b.id, &size) == ST_OK && size == 9);
		blob_expect(b.id, 0, 100, STR("head body"));
		blob_expect(b.id, 0, 4, STR("head"));
		blob_expect(b.id, 3, 4, STR("d bo"));
		blob_expect(b.id, 8, 4, STR("y"));
		blob_expect(b.id, 9, 4, STR(""));
		blob_expect(b.id, 1000, 4, STR(""));
		blob_expect(b.id, UINT64_MAX, SIZE_MAX, STR(""));
		reopen();
	}
	EXPECT(store_transact_wait(store, blob_put_fn, &empty) == ST_OK);
	EXPECT(empty.id.v > first);
	EXPECT(store_blob_size(store_snapshot(store), empty.id, &size) == ST_OK && size == 0);
	blob_expect_none((struct blob_id){0});
	blob_expect_none((struct blob_id){empty.id.v + 1000000007});
	b.end = ST_DENIED;
	EXPECT(store_transact_wait(store, blob_put_fn, &b) == ST_DENIED);
	EXPECT(b.id.v > empty.id.v);
	blob_expect_none(b.id);
}

static void
blobs_have_a_limit(void)
{
	char *p = calloc(1, STORE_BLOB_INLINE_MAX);
	struct blob_test b = {{str_of(p, 10), str_of(p, STORE_BLOB_INLINE_MAX - 11), STR("1")}};
	uint64_t size;

	CHECK(p);
	EXPECT(store_transact_wait(store, blob_put_fn, &b) == ST_OK);
	EXPECT(store_blob_size(store_snapshot(store), b.id, &size) == ST_OK);
	EXPECT(size == STORE_BLOB_INLINE_MAX);
	b.parts[2] = STR("12");
	b.want = ST_LIMIT;
	EXPECT(store_transact_wait(store, blob_put_fn, &b) == ST_OK);
	free(p);
}

static enum status
blob_ref_fn(struct txn *t, void *arg)
{
	struct blob_test *b = arg;

	EXPECT(store_blob_ref(t, b->id, b->by) == b->want);
	return b->end;
}

static void
blob_ref(struct blob_test *b, int32_t by, enum status want, enum status end)
{
	b->by = by;
	b->want = want;
	b->end = end;
	EXPECT(store_transact_wait(store, blob_ref_fn, b) == end);
}

/* Down to 0 and what the same transaction then sees. */
static enum status
blob_last_fn(struct txn *t, void *arg)
{
	const struct blob_test *b = arg;
	struct buf got;
	uint64_t size;

	buf_init(&got, 100);
	EXPECT(store_blob_ref(t, b->id, 1) == ST_OK);
	EXPECT(store_blob_ref(t, b->id, -1) == ST_OK);
	EXPECT(store_blob_size(t, b->id, &size) == ST_OK);
	EXPECT(store_blob_ref(t, b->id, -1) == ST_OK);
	EXPECT(store_blob_size(t, b->id, &size) == ST_NOTFOUND);
	EXPECT(store_blob_read(t, b->id, 0, 10, &got) == ST_NOTFOUND);
	EXPECT(store_blob_ref(t, b->id, 1) == ST_NOTFOUND);
	buf_fini(&got);
	return b->end;
}

static void
blobs_count_references(void)
{
	struct blob_test b = {{STR("abc"), STR_NULL, STR_NULL}};

	EXPECT(store_transact_wait(store, blob_put_fn, &b) == ST_OK);
	blob_ref(&b, 2, ST_OK, ST_OK);
	blob_ref(&b, 5, ST_OK, ST_DENIED);
	blob_ref(&b, -2, ST_OK, ST_OK);
	blob_ref(&b, -2, ST_LIMIT, ST_OK);
	blob_ref(&b, INT32_MAX, ST_LIMIT, ST_OK);
	reopen();
	blob_expect(b.id, 0, 9, STR("abc"));
	b.end = ST_DENIED;
	EXPECT(store_transact_wait(store, blob_last_fn, &b) == ST_DENIED);
	blob_expect(b.id, 0, 9, STR("abc"));
	b.end = ST_OK;
	EXPECT(store_transact_wait(store, blob_last_fn, &b) == ST_OK);
	blob_expect_none(b.id);
	blob_ref(&b, 1, ST_NOTFOUND, ST_OK);
	reopen();
	blob_expect_none(b.id);
	b.want = ST_OK;
	EXPECT(store_transact_wait(store, blob_put_fn, &b) == ST_OK);
	blob_expect(b.id, 0, 9, STR("abc"));
}

static enum status
stage_fn(struct txn *t, void *arg)
{
	struct blob_test *b = arg;
	uint64_t size;

	EXPECT(store_blob_put_staged(t, &b->stage, &b->id) == ST_OK);
	EXPECT(b->stage != NULL);
	EXPECT(store_blob_size(t, b->id, &size) == ST_OK);
	return b->end;
}

#define STAGE_PIECE 65536
#define STAGE_PIECES 50

static void
stage_fill(struct blob_test *b, uint32_t seed)
{
	static char piece[STAGE_PIECE];

	EXPECT(store_stage_new(store, &b->stage) == ST_OK);
	for (uint32_t i = 0; i < STAGE_PIECES; i++) {
		for (uint32_t k = 0; k < STAGE_PIECE; k += 4)
			le32_put(piece + k, seed + i * STAGE_PIECE + k);
		EXPECT(store_stage_put(b->stage, str_of(piece, STAGE_PIECE)) == ST_OK);
	}
	EXPECT(store_stage_put(b->stage, STR("")) == ST_OK);
	EXPECT(store_stage_put(b->stage, STR("end")) == ST_OK);
}

static void
stage_check(struct blob_id id, uint32_t seed)
{
	struct buf got;
	uint64_t size = 0, off = 0;
	uint32_t bad = 0;

	buf_init(&got, 2 * STORE_BLOB_INLINE_MAX);
	EXPECT(store_blob_size(store_snapshot(store), id, &size) == ST_OK);
	EXPECT(size == (uint64_t)STAGE_PIECES * STAGE_PIECE + 3);
	while (off < size && unit_bad == 0) {
		buf_reset(&got);
		EXPECT(store_blob_read(store_snapshot(store), id, off, 100000, &got) == ST_OK &&
		       got.n);
		for (uint32_t k = 0; k + 4 <= got.n && off + k + 4 <= size - 3; k += 4)
			bad += le32_get(got.p + k) != seed + off + k;
		off += got.n;
	}
	EXPECT(bad == 0);
	EXPECT(str_has_suffix_ci(buf_str(&got), STR("end")));
	buf_fini(&got);
}

static void
blobs_are_staged(void)
{
	struct blob_test a = {0}, b = {0}, c = {0};

	stage_fill(&a, 1000);
	stage_fill(&b, 2000);
	stage_fill(&c, 3000);
	EXPECT(store_transact_wait(store, stage_fn, &a) == ST_OK);
	store_stage_free(&a.stage);
	EXPECT(a.stage == NULL);
	/* Undone, then put by a second transaction, as a function that meets a conflict does. */
	b.end = ST_DENIED;
	EXPECT(store_transact_wait(store, stage_fn, &b) == ST_DENIED);
	blob_expect_none(b.id);
	b.end = ST_OK;
	EXPECT(store_transact_wait(store, stage_fn, &b) == ST_OK);
	store_stage_free(&b.stage);
	store_stage_free(&c.stage); /* abandoned */
	stage_check(a.id, 1000);
	stage_check(b.id, 2000);
	reopen();
	stage_check(a.id, 1000);
	stage_check(b.id, 2000);
	blob_ref(&a, -1, ST_OK, ST_OK);
	blob_expect_none(a.id);
	stage_check(b.id, 2000);
}

/* Blobs and keys of one transaction are there together or not at all. */
#define MIXED_N 60

static enum status
mixed_fn(struct txn *t, void *arg)
{
	struct blob_test *b = arg;
	char value[8];
	enum status st = store_blob_put(t, b->parts, COUNT_OF(b->parts), &b->id);

	le64_put(value, b->id.v);
	if (st == ST_OK)
		st = store_put(t, b->parts[0], str_of(value, sizeof(value)));
	return st == ST_OK ? b->end : st;
}

static void
blobs_go_with_their_keys(void)
{
	char key[4];

	for (uint32_t i = 0; i < MIXED_N; i++) {
		struct blob_test b = {{str_of(key, sizeof(key)), STR(" "), STR("body")}};

		be32_put(key, i);
		b.end = i % 3 ? ST_OK : ST_DENIED;
		EXPECT(store_transact_wait(store, mixed_fn, &b) == b.end);
	}
	reopen();
	for (uint32_t i = 0; i < MIXED_N; i++) {
		struct str got;
		struct buf body;

		be32_put(key, i);
		EXPECT(store_get(store_snapshot(store), str_of(key, 4), &got) ==
		       (i % 3 ? ST_OK : ST_NOTFOUND));
		if (got.n != 8)
			continue;
		buf_init(&body, 100);
		EXPECT(store_blob_read(store_snapshot(store), (struct blob_id){le64_get(got.p)}, 0,
			   99, &body) == ST_OK);
		EXPECT(str_has_prefix(buf_str(&body), str_of(key, 4)) && body.n == 9);
		buf_fini(&body);
	}
}

static void
tells_about_itself(void)
{
	struct buf out;

	buf_init(&out, 65536);
	RUN(PUT("a", "1"));
	EXPECT(store_stats(store, &out) == ST_OK);
	EXPECT(out.n > 0);
	EXPECT(!store_is_full(store));
	EXPECT(!store_is_busy(store));
	buf_fini(&out);
}

static const struct {
	const char *name;
	void (*fn)(void);
} cases[] = {
    {"gets_what_was_put", gets_what_was_put},
    {"reads_its_own_writes", reads_its_own_writes},
    {"undoes_what_failed", undoes_what_failed},
    {"adds", adds},
    {"splices", splices},
    {"keeps_after_reopen", keeps_after_reopen},
    {"limits_keys_and_values", limits_keys_and_values},
    {"limits_ops", limits_ops},
    {"limits_txn_bytes", limits_txn_bytes},
    {"snapshot_is_read_only", snapshot_is_read_only},
    {"ranges_have_exact_ends", ranges_have_exact_ends},
    {"ranges_agree_with_a_model", ranges_agree_with_a_model},
    {"done_comes_in_order", done_comes_in_order},
    {"blobs_keep_bytes", blobs_keep_bytes},
    {"blobs_have_a_limit", blobs_have_a_limit},
    {"blobs_count_references", blobs_count_references},
    {"blobs_are_staged", blobs_are_staged},
    {"blobs_go_with_their_keys", blobs_go_with_their_keys},
    {"tells_about_itself", tells_about_itself},
};

int
conformance_run(const struct conformance_backend *b)
{
	int failed = 0;

	backend = b;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unit_bad = 0;
		store = NULL;
		EXPECT(b->open(b->arg, &store) == ST_OK);
		if (store)
			cases[i].fn();
		b->close(b->arg, &store);
		if (unit_bad) {
			failed++;
			fprintf(stderr, "FAILED %s over %s\n", cases[i].name, b->name);
		}
	}
	printf("conformance of %s: %zu cases, %d failed\n", b->name, COUNT_OF(cases), failed);
	return failed;
}
