/*
 * The embedded store under load: store_bench FOLDER [seconds].
 *
 * A transaction is what receiving one message costs: a body of 5 KB, a record of 120 bytes under a
 * key of its own, 24 bytes spliced into the mailbox's chunk, two counters. Prints throughput and
 * CPU at 1, 16 and 128 outstanding transactions, the latency of reads beside 5,000 transactions a
 * second, and the disk after churn.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/num.h"
#include "base/rnd.h"
#include "store/embedded/embedded.h"

#define BODY_BYTES 5000
#define ACCOUNTS 2000
#define CHUNK_RECORDS 256
#define RECORD_BYTES 24

struct bench {
	struct store *s;
	struct prng r;
	char body[BODY_BYTES];
	uint64_t uid[ACCOUNTS];
	uint64_t outstanding, done;
	/* of the latest messages, for reads and deletions */
	struct blob_id *blobs;
	struct {
		uint64_t account, uid;
	} * keys, last_key;
	size_t blobs_n, blobs_max;
	struct blob_id last;
	size_t drop_at, drop_n;
};

static uint64_t
now_ns(clockid_t id)
{
	struct timespec t;

	(void)clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
must(enum status st, const char *what)
{
	if (st == ST_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, status_word(st));
	exit(1);
}

static struct str
key_of(char room[32], char table, uint64_t account, uint64_t n)
{
	room[0] = table;
	be64_put(room + 1, account);
	be64_put(room + 9, n);
	return str_of(room, 17);
}

/* About as compressible as mail: words, and every fourth line of random base64. */
static void
body_fill(struct bench *b)
{
	static const char *const words[] = {"the ", "message ", "of ", "and ", "please ",
	    "<td class=\"x\">", "meeting ", "=E2=80=99", "https://example.org/", "regards "};
	size_t n = 0;

	while (n < BODY_BYTES) {
		struct str w = str_of_c(words[prng_below(&b->r, COUNT_OF(words))]);
		char random[48];

		if (prng_below(&b->r, 14) == 0) {
			for (size_t i = 0; i < sizeof(random); i++)
				random[i] = (char)('0' + (int)prng_below(&b->r, 64));
			w = str_of(random, sizeof(random));
		}
		w = str_take(w, BODY_BYTES - n);
		memcpy(b->body + n, w.p, w.n);
		n += w.n;
	}
}

static enum status
deliver(struct txn *t, void *arg)
{
	struct bench *b = arg;
	uint64_t account = prng_below(&b->r, ACCOUNTS), uid = b->uid[account], sum;
	char room[32], record[120];
	struct str body = str_of(b->body, BODY_BYTES);
	enum status st;

	/* Bodies differ. */
	le64_put(b->body + 40, prng_u64(&b->r));
	memset(record, 'r', sizeof(record));
	if ((st = store_blob_put(t, &body, 1, &b->last)) != ST_OK)
		return st;
	le64_put(record, b->last.v);
	if ((st = store_put(t, key_of(room, 'm', account, uid), str_of(record, sizeof(record)))) !=
		ST_OK ||
	    (st = store_splice(t, key_of(room, 'c', account, uid / CHUNK_RECORDS),
		 uid % CHUNK_RECORDS * RECORD_BYTES, str_of(record, RECORD_BYTES))) != ST_OK ||
	    (st = store_add(t, key_of(room, 'u', account, 0), 1, &sum)) != ST_OK ||
	    (st = store_add(t, key_of(room, 'q', account, 0), BODY_BYTES, &sum)) != ST_OK)
		return st;
	b->last_key.account = account;
	b->last_key.uid = b->uid[account]++;
	return ST_OK;
}

static void
delivered(void *arg, enum status st)
{
	struct bench *b = arg;

	must(st, "done");
	b->outstanding--;
	b->done++;
}

static bool
submit(struct bench *b)
{
	enum status st = store_transact(b->s, deliver, b, delivered, b);
	size_t at;

	if (st == ST_LIMIT)
		return false;
	must(st, "transact");
	b->outstanding++;
	at = b->blobs_n < b->blobs_max ? b->blobs_n++ : prng_below(&b->r, b->blobs_max);
	b->blobs[at] = b->last;
	b->keys[at].account = b->last_key.account;
	b->keys[at].uid = b->last_key.uid;
	return true;
}

static void
turn(struct bench *b, int timeout_ms)
{
	struct pollfd p = {.fd = store_fd(b->s), .events = POLLIN};

	store_flush(b->s);
	(void)poll(&p, 1, timeout_ms);
	must(store_poll(b->s), "poll");
}

static void
drain(struct bench *b)
{
	while (b->outstanding > 0)
		turn(b, 100);
}

static void
throughput(struct bench *b, uint64_t width, double seconds)
{
	uint64_t start = now_ns(CLOCK_MONOTONIC), end = start + (uint64_t)(seconds * 1e9),
		 refused = 0;
	uint64_t loop = now_ns(CLOCK_THREAD_CPUTIME_ID), all = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t before = b->done, n;
	double took;

	while (now_ns(CLOCK_MONOTONIC) < end) {
		while (b->outstanding < width && !store_is_busy(b->s))
			if (!submit(b)) {
				refused++;
				break;
			}
		turn(b, 100);
	}
	drain(b);
	took = (double)(now_ns(CLOCK_MONOTONIC) - start) / 1e9;
	n = b->done - before;
	printf(
	    "%4" PRIu64
	    " outstanding: %8.0f txn/s, loop thread %5.1f us, all threads %5.1f us each, %" PRIu64
	    " refused\n",
	    width, (double)n / took,
	    (double)(now_ns(CLOCK_THREAD_CPUTIME_ID) - loop) / 1e3 / (double)n,
	    (double)(now_ns(CLOCK_PROCESS_CPUTIME_ID) - all) / 1e3 / (double)n, refused);
}

static int
u64_order(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static void
percentiles(const char *what, uint64_t *v, size_t n)
{
	qsort(v, n, sizeof(v[0]), u64_order);
	printf("%s: p50 %.1f us, p99 %.1f us, p99.9 %.1f us, worst %.1f us (%zu)\n", what,
	    (double)v[n / 2] / 1e3, (double)v[n * 99 / 100] / 1e3, (double)v[n * 999 / 1000] / 1e3,
	    (double)v[n - 1] / 1e3, n);
}

/* One read: a key, a chunk's scan, a body; the time includes what the loop does before it gets to
 * it. */
static void
read_once(struct bench *b, struct buf *out)
{
	struct txn *t = store_snapshot(b->s);
	uint64_t account = prng_below(&b->r, ACCOUNTS);
	char room[32], room2[32];
	struct store_iter it;
	struct str v;
	enum status st = store_get(t, key_of(room, 'u', account, 0), &v);

	must(st == ST_NOTFOUND ? ST_OK : st, "get");
	must(store_range(
		 t, key_of(room, 'c', account, 0), key_of(room2, 'c', account + 1, 0), false, &it),
	    "range");
	while (store_next(&it) == ST_OK)
		;
	store_iter_end(&it);
	buf_reset(out);
	must(store_blob_read(t, b->blobs[prng_below(&b->r, b->blobs_n)], 0, BODY_BYTES, out),
	    "read");
}

#define READS_MAX 200000

static void
reads_beside(struct bench *b, double seconds, uint64_t rate)
{
	uint64_t start = now_ns(CLOCK_MONOTONIC), end = start + (uint64_t)(seconds * 1e9), sent = 0,
		 late = 0;
	uint64_t *took = calloc(READS_MAX, sizeof(took[0])),
		 *turns = calloc(READS_MAX, sizeof(turns[0]));
	uint64_t turn_start = start;
	size_t n = 0, turns_n = 0;
	struct buf out;

	buf_init(&out, 1u << 16);
	while (now_ns(CLOCK_MONOTONIC) < end && n < READS_MAX && took && turns) {
		uint64_t t = now_ns(CLOCK_MONOTONIC), due = (t - start) * rate / 1000000000u;

		if (turns_n < READS_MAX)
			turns[turns_n++] = t - turn_start;
		turn_start = t;
		for (int i = 0; sent < due && i < 200; i++, sent++)
			if (!submit(b)) {
				late++;
				break;
			}
		/* From when a reader's request could have come: the beginning of the turn. */
		for (int i = 0; i < 2; i++) {
			read_once(b, &out);
			took[n++] = now_ns(CLOCK_MONOTONIC) - t;
			t = now_ns(CLOCK_MONOTONIC);
		}
		turn(b, 1);
	}
	drain(b);
	printf("reads beside %" PRIu64 " txn/s (%.0f reached, %" PRIu64 " refused)\n", rate,
	    (double)sent / seconds, late);
	if (n > 0 && turns_n > 0) {
		percentiles("  read", took, n);
		percentiles("  turn of the loop", turns, turns_n);
	}
	buf_fini(&out);
	free(took);
	free(turns);
}

static enum status
drop(struct txn *t, void *arg)
{
	struct bench *b = arg;
	char room[32];
	enum status st = ST_OK;

	for (size_t i = b->drop_at; i < b->drop_at + b->drop_n && st == ST_OK; i++) {
		st = store_blob_ref(t, b->blobs[i], -1);
		if (st == ST_OK)
			st = store_del(t, key_of(room, 'm', b->keys[i].account, b->keys[i].uid));
	}
	return st;
}

struct sum {
	const char *folder;
	uint64_t bytes;
};

static void
add_file(void *arg, const char *name)
{
	struct sum *s = arg;
	char path[512];
	struct stat sb;

	(void)snprintf(path, sizeof(path), "%s/%s", s->folder, name);
	if (stat(path, &sb) == 0)
		s->bytes += (uint64_t)sb.st_blocks * 512;
}

static uint64_t
folder_bytes(struct disk *d, const char *root, const char *name)
{
	char path[512];
	struct sum s = {path, 0};

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	(void)d->ops->list(d, name, add_file, &s);
	return s.bytes;
}

static void
print_stats(struct bench *b)
{
	struct buf json;

	buf_init(&json, 1u << 16);
	must(store_stats(b->s, &json), "stats");
	printf("%.*s\n", STR_ARG(buf_str(&json)));
	buf_fini(&json);
}

/* Rounds of mail coming and nine tenths of it going. */
static void
churn(struct bench *b, struct disk *d, const char *root)
{
	uint64_t live;

	b->blobs_n = 0;
	for (int round = 0; round < 7; round++) {
		size_t first = b->blobs_n;
		uint64_t start = now_ns(CLOCK_MONOTONIC);

		while (b->blobs_n < first + 20000 && b->blobs_n < b->blobs_max) {
			while (b->outstanding < 128 && b->blobs_n < b->blobs_max &&
			       !store_is_busy(b->s) && submit(b))
				;
			turn(b, 100);
		}
		drain(b);
		printf("  round %d: %.0f txn/s\n", round,
		    (double)(b->blobs_n - first) * 1e9 / (double)(now_ns(CLOCK_MONOTONIC) - start));
		embedded_want_checkpoint(b->s);
		embedded_want_archive(b->s);
		must(embedded_settle(b->s), "settle");
		for (size_t i = first; i < b->blobs_n; i += 1000) {
			b->drop_at = i;
			b->drop_n = size_min(900, b->blobs_n - i);
			must(store_transact_wait(b->s, drop, b), "drop");
		}
	}
	embedded_want_checkpoint(b->s);
	must(embedded_settle(b->s), "settle");
	live = (uint64_t)b->blobs_n / 10 * BODY_BYTES;
	printf("churn: %zu messages, a tenth alive: %.1f MB live; archive %.1f MB, index %.1f MB, "
	       "ring %.1f MB\n",
	    b->blobs_n, (double)live / 1e6, (double)folder_bytes(d, root, "archive") / 1e6,
	    (double)folder_bytes(d, root, "index") / 1e6,
	    (double)folder_bytes(d, root, "ring") / 1e6);
}

int
main(int argc, char **argv)
{
	static struct bench b;
	struct embedded_options o;
	struct clock clock;
	struct disk *disk;
	struct buf error;
	char folder[400];
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 5;

	if (argc < 2) {
		fprintf(stderr, "usage: store_bench FOLDER [seconds]\n");
		return 2;
	}
	clock_init_system(&clock);
	buf_init(&error, 4096);
	prng_init(&b.r, 1);
	body_fill(&b);
	b.blobs_max = 200000;
	b.blobs = calloc(b.blobs_max, sizeof(b.blobs[0]));
	b.keys = calloc(b.blobs_max, sizeof(b.keys[0]));
	for (int part = 0; part < 2 && b.blobs && b.keys; part++) {
		(void)snprintf(folder, sizeof(folder), "%s/store-bench-%d", argv[1], part);
		must(disk_posix_new(folder, &disk), folder);
		embedded_options_init(&o, disk, &clock);
		o.free_floor_bytes = 0;
		o.free_floor_percent = 0;
		if (embedded_open(&o, &b.s, &error) != ST_OK) {
			fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&error)));
			return 1;
		}
		memset(b.uid, 0, sizeof(b.uid));
		b.blobs_n = 0;
		if (part == 0) {
			throughput(&b, 1, seconds);
			throughput(&b, 16, seconds);
			throughput(&b, 128, seconds);
			reads_beside(&b, seconds, 5000);
		} else {
			churn(&b, disk, folder);
		}
		print_stats(&b);
		store_close(&b.s);
		disk_free(&disk);
	}
	free(b.blobs);
	free(b.keys);
	buf_fini(&error);
	return 0;
}
