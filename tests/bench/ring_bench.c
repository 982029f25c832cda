/*
 * Durable records per second: the ring beside a bare loop of pwrite + fdatasync on a file written before, in the
 * same run, on the same file system.
 *
 *	ring_bench FOLDER [SECONDS]
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "store/embedded/ring.h"

enum { RECORD_BYTES = 5 * 1024, BARE_BYTES = 8192, BARE_FILE_BYTES = 64 << 20, IN_FLIGHT_MAX = 128 };

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	    (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* What one writer can get from this disk. */
static double
bare(struct disk *d, double seconds)
{
	char *p = aligned_alloc(DISK_ALIGN, 1 << 20);
	struct disk_file *f;
	uint64_t at = 0, n = 0;
	double begin;

	CHECK(p != NULL);
	memset(p, 'x', 1 << 20);
	CHECK(disk_open(d, "bare", DISK_WRITE | DISK_CREATE | DISK_DIRECT, &f) == ST_OK);
	for (uint64_t off = 0; off < BARE_FILE_BYTES; off += 1 << 20)
		CHECK(disk_pwrite(f, p, 1 << 20, off) == ST_OK);
	CHECK(disk_sync(f) == ST_OK && disk_sync_dir(d, "") == ST_OK);
	begin = now_s();
	while (now_s() - begin < seconds) {
		CHECK(disk_pwrite(f, p, BARE_BYTES, at) == ST_OK && disk_sync(f) == ST_OK);
		at = (at + BARE_BYTES) % BARE_FILE_BYTES;
		n++;
	}
	seconds = now_s() - begin;
	disk_close(&f);
	CHECK(disk_unlink(d, "bare") == ST_OK);
	free(p);
	return (double)n / seconds;
}

struct run {
	struct ring *ring;
	uint64_t waiting[IN_FLIGHT_MAX];	/* positions, oldest at first */
	size_t first, n;
	uint64_t done;
};

static void
notice(struct run *r)
{
	struct pollfd p = {.fd = ring_fd(r->ring), .events = POLLIN};
	uint64_t durable;

	CHECK(poll(&p, 1, 10000) == 1);
	CHECK(ring_poll(r->ring, &durable) == ST_OK);
	while (r->n > 0 && r->waiting[r->first] < durable) {
		r->first = (r->first + 1) % IN_FLIGHT_MAX;
		r->n--;
		r->done++;
	}
	ring_release(r->ring, durable);
}

/* So many writers, each of which sends its next record when its last is durable. */
static double
with_ring(struct disk *d, size_t writers, double seconds, struct ring_stats *stats)
{
	struct ring_options o = {.disk = d,
	    .folder = "ring",
	    .segment_bytes = RING_SEGMENT_BYTES_DEFAULT,
	    .segments_first = 4,
	    .segments_max = 8,
	    .group_bytes_max = RING_GROUP_BYTES_DEFAULT,
	    .threaded = true};
	static char record[RECORD_BYTES];
	struct run r = {0};
	double begin;

	memset(record, 'x', sizeof(record));
	CHECK(ring_open(&o, &r.ring, NULL) == ST_OK);
	begin = now_s();
	while (now_s() - begin < seconds) {
		while (r.n < writers) {
			uint64_t *pos = &r.waiting[(r.first + r.n) % IN_FLIGHT_MAX];
			if (ring_append(r.ring, &(struct str){record, sizeof(record)}, 1, pos) != ST_OK)
				break;
			r.n++;
		}
		ring_flush(r.ring);
		notice(&r);
	}
	seconds = now_s() - begin;
	ring_stats(r.ring, stats);
	ring_close(&r.ring);
	return (double)r.done / seconds;
}

int
main(int argc, char **argv)
{
	static const size_t writers[] = {1, 16, IN_FLIGHT_MAX};
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
	struct disk *d;

	if (argc < 2 || disk_posix_new(argv[1], &d) != ST_OK) {
		fprintf(stderr, "usage: ring_bench FOLDER [SECONDS]\n");
		return 2;
	}
	/* One before each, as a shared disk changes its mind within seconds. */
	for (size_t i = 0; i < COUNT_OF(writers); i++) {
		struct ring_stats s;
		double before = bare(d, seconds / 2);
		double cpu = cpu_s();
		double got = with_ring(d, writers[i], seconds, &s);
		cpu = cpu_s() - cpu;
		double base = (before + bare(d, seconds / 2)) / 2;
		printf("%3zu writers: %8.0f records/s, bare loop %6.0f/s, ratio %.2f, %.1f records per group, "
		       "%.3f ms CPU per 100 records, %.2f bytes per byte\n",
		    writers[i], got, base, got / base, (double)s.records / (double)s.groups,
		    cpu * 1e5 / (double)s.records, (double)s.bytes_written / ((double)s.records * RECORD_BYTES));
	}
	disk_free(&d);
	return 0;
}
