/* The real disk and the simulated one keep the same contract; the simulated one also forgets. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/unit.h"
#include "sys/disk_sim.h"

static void
names_put(void *arg, const char *name)
{
	(void)buf_putf(arg, "%s ", name);
}

static void
put_file(struct disk *d, const char *path, struct str bytes)
{
	struct disk_file *f;

	EXPECT(disk_open(d, path, DISK_WRITE | DISK_CREATE, &f) == ST_OK);
	EXPECT(disk_pwrite(f, bytes.p, bytes.n, 0) == ST_OK);
	EXPECT(disk_sync(f) == ST_OK);
	disk_close(&f);
	EXPECT(f == NULL);
}

static void
keeps_the_contract(struct disk *d)
{
	struct disk_file *f, *g;
	struct buf names;
	char p[16];
	size_t got;
	uint64_t size, free_bytes, total;

	buf_init(&names, 1000);
	EXPECT(disk_open(d, "a", DISK_READ, &f) == ST_NOTFOUND);
	EXPECT(disk_open(d, "no/a", DISK_WRITE | DISK_CREATE, &f) == ST_NOTFOUND);
	EXPECT(disk_mkdir(d, "dir") == ST_OK);
	EXPECT(disk_mkdir(d, "dir") == ST_OK);
	put_file(d, "dir/b", STR("hello"));
	put_file(d, "dir/a", STR("world"));
	put_file(d, "top", STR(""));
	EXPECT(disk_open(d, "dir/a", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &f) == ST_EXISTS);
	EXPECT(disk_open(d, "dir/b", DISK_WRITE, &f) == ST_OK);
	EXPECT(disk_pread(f, p, 10, 1, &got) == ST_OK && got == 4 && memcmp(p, "ello", 4) == 0);
	EXPECT(disk_pread(f, p, 10, 99, &got) == ST_OK && got == 0);
	EXPECT(disk_pwrite(f, "J", 1, 8) == ST_OK);
	EXPECT(disk_size(f, &size) == ST_OK && size == 9);
	EXPECT(disk_pread(f, p, 10, 4, &got) == ST_OK && got == 5 && memcmp(p, "o\0\0\0J", 5) == 0);
	EXPECT(disk_truncate(f, 2) == ST_OK);
	EXPECT(disk_size(f, &size) == ST_OK && size == 2);
	EXPECT(disk_rename(d, "dir/b", "dir/a") == ST_OK);
	EXPECT(disk_rename(d, "dir/b", "dir/c") == ST_NOTFOUND);
	EXPECT(disk_sync_dir(d, "dir") == ST_OK);
	EXPECT(disk_sync_dir(d, "") == ST_OK);
	EXPECT(disk_open(d, "dir/a", DISK_READ, &g) == ST_OK);
	EXPECT(disk_pread(g, p, 10, 0, &got) == ST_OK && got == 2 && memcmp(p, "he", 2) == 0);
	put_file(d, "dir/z", STR("z"));
	EXPECT(disk_list(d, "dir", names_put, &names) == ST_OK);
	EXPECT(disk_list(d, "", names_put, &names) == ST_OK);
	EXPECT_STR(buf_str(&names), STR("a z dir top "));
	EXPECT(disk_list(d, "none", names_put, &names) == ST_NOTFOUND);
	EXPECT(disk_unlink(d, "dir/a") == ST_OK);
	EXPECT(disk_unlink(d, "dir/a") == ST_NOTFOUND);
	/* An open file outlives its name. */
	EXPECT(disk_pread(g, p, 10, 0, &got) == ST_OK && got == 2);
	EXPECT(disk_free_bytes(d, &free_bytes, &total) == ST_OK && free_bytes <= total && total > 0);
	disk_close(&f);
	disk_close(&g);
	buf_fini(&names);
}

static void
direct_is_aligned(struct disk *d)
{
	char *p = aligned_alloc(DISK_ALIGN, 2 * DISK_ALIGN);
	struct disk_file *f;
	size_t got;

	EXPECT(p != NULL);
	memset(p, 'x', 2 * DISK_ALIGN);
	EXPECT(disk_open(d, "direct", DISK_WRITE | DISK_CREATE | DISK_DIRECT, &f) == ST_OK);
	EXPECT(disk_pwrite(f, p, 2 * DISK_ALIGN, DISK_ALIGN) == ST_OK);
	EXPECT(disk_pread(f, p, DISK_ALIGN, 0, &got) == ST_OK && got == DISK_ALIGN && p[7] == 0);
	EXPECT(disk_pread(f, p, DISK_ALIGN, 2 * DISK_ALIGN, &got) == ST_OK && p[7] == 'x');
	disk_close(&f);
	free(p);
}

static void
posix_keeps_the_contract(void)
{
	char root[] = "/tmp/posthorn-test-disk-XXXXXX", deeper[64];
	struct disk *d;

	EXPECT(mkdtemp(root) != NULL);
	snprintf(deeper, sizeof(deeper), "%s/new", root);
	EXPECT(disk_posix_new(deeper, &d) == ST_OK);
	EXPECT_STR(str_of_c(disk_root(d)), str_of_c(deeper));
	keeps_the_contract(d);
	direct_is_aligned(d);
	EXPECT(disk_unlink(d, "direct") == ST_OK);
	EXPECT(disk_unlink(d, "dir/z") == ST_OK);
	EXPECT(disk_unlink(d, "top") == ST_OK);
	disk_free(&d);
	EXPECT(d == NULL);
	snprintf(deeper, sizeof(deeper), "%s/new/dir", root);
	EXPECT(rmdir(deeper) == 0);
	snprintf(deeper, sizeof(deeper), "%s/new", root);
	EXPECT(rmdir(deeper) == 0 && rmdir(root) == 0);
}

static void
sim_keeps_the_contract(void)
{
	struct disk *d = disk_sim_new();

	EXPECT(disk_root(d) == NULL);
	keeps_the_contract(d);
	direct_is_aligned(d);
	disk_free(&d);
}

static size_t
read_all(struct disk *d, const char *path, char *p, size_t n)
{
	struct disk_file *f;
	size_t got = 0;

	if (disk_open(d, path, DISK_READ, &f) != ST_OK)
		return SIZE_MAX;
	EXPECT(disk_pread(f, p, n, 0, &got) == ST_OK);
	disk_close(&f);
	return got;
}

static void
sim_crash_drops_what_was_not_synced(void)
{
	struct disk *d = disk_sim_new();
	struct disk_file *f;
	char p[16];
	size_t got;

	put_file(d, "lost", STR("synced, but its name was not"));
	disk_sim_crash(d, DISK_SIM_DROP, NULL);
	EXPECT(read_all(d, "lost", p, 16) == SIZE_MAX);
	put_file(d, "a", STR("one"));
	EXPECT(disk_sync_dir(d, "") == ST_OK);
	EXPECT(disk_open(d, "a", DISK_WRITE, &f) == ST_OK);
	EXPECT(disk_pwrite(f, "twotwo", 6, 0) == ST_OK);
	EXPECT(disk_rename(d, "a", "b") == ST_OK);
	EXPECT(read_all(d, "b", p, 16) == 6);
	disk_sim_crash(d, DISK_SIM_KEEP, NULL);
	EXPECT(disk_pread(f, p, 1, 0, &got) == ST_IO && disk_pwrite(f, p, 1, 0) == ST_IO);
	EXPECT(disk_sync(f) == ST_IO);
	EXPECT(read_all(d, "b", p, 16) == 6);
	disk_sim_crash(d, DISK_SIM_DROP, NULL);
	EXPECT(read_all(d, "b", p, 16) == SIZE_MAX);
	EXPECT(read_all(d, "a", p, 16) == 3 && memcmp(p, "one", 3) == 0);
	EXPECT(disk_unlink(d, "a") == ST_OK);
	disk_sim_crash(d, DISK_SIM_DROP, NULL);
	EXPECT(read_all(d, "a", p, 16) == 3);
	EXPECT(disk_unlink(d, "a") == ST_OK);
	EXPECT(disk_sync_dir(d, "") == ST_OK);
	disk_sim_crash(d, DISK_SIM_DROP, NULL);
	EXPECT(read_all(d, "a", p, 16) == SIZE_MAX);
	disk_close(&f);
	disk_free(&d);
}

/* Four sectors of old bytes, four new ones unsynced: over many seeds every mixture turns up, and only mixtures. */
static void
sim_crash_tears_by_sector(void)
{
	static char old[4 * DISK_SIM_SECTOR_BYTES], new[4 * DISK_SIM_SECTOR_BYTES], p[sizeof(old)];
	unsigned seen = 0;

	memset(old, 'o', sizeof(old));
	memset(new, 'n', sizeof(new));
	for (uint64_t seed = 0; seed < 500; seed++) {
		struct disk *d = disk_sim_new();
		struct disk_file *f;
		struct prng r;
		unsigned mix = 0;

		prng_init(&r, seed);
		put_file(d, "a", str_of(old, sizeof(old)));
		EXPECT(disk_sync_dir(d, "") == ST_OK);
		EXPECT(disk_open(d, "a", DISK_WRITE, &f) == ST_OK);
		EXPECT(disk_pwrite(f, new, sizeof(new), 0) == ST_OK);
		disk_close(&f);
		disk_sim_crash(d, DISK_SIM_TEAR, &r);
		EXPECT(read_all(d, "a", p, sizeof(p)) == sizeof(p));
		for (unsigned i = 0; i < 4; i++) {
			char *sector = p + (size_t)i * DISK_SIM_SECTOR_BYTES;
			EXPECT(memcmp(sector, sector + 1, DISK_SIM_SECTOR_BYTES - 1) == 0);
			mix |= (unsigned)(*sector == 'n') << i;
		}
		seen |= 1u << mix;
		disk_free(&d);
	}
	EXPECT(seen == 0xffff);
}

static void
crash_at_second_sync(void *arg, uint64_t nth)
{
	if (nth == 2)
		disk_sim_crash(arg, DISK_SIM_DROP, NULL);
}

static void
sim_faults(void)
{
	struct disk *d = disk_sim_new();
	struct disk_file *f;
	uint64_t size, free_bytes, total;

	EXPECT(disk_open(d, "a", DISK_WRITE | DISK_CREATE, &f) == ST_OK);
	disk_sim_fail(d, DISK_SIM_WRITE, 2, ST_IO, 3);
	EXPECT(disk_pwrite(f, "12345", 5, 0) == ST_OK);
	EXPECT(disk_pwrite(f, "12345", 5, 5) == ST_IO);
	EXPECT(disk_size(f, &size) == ST_OK && size == 8);
	EXPECT(disk_pwrite(f, "45", 2, 8) == ST_OK);
	disk_sim_fail(d, DISK_SIM_SYNC, 1, ST_IO, 0);
	EXPECT(disk_sync(f) == ST_IO && disk_sync(f) == ST_OK);
	disk_sim_set_bytes_max(d, 12);
	EXPECT(disk_free_bytes(d, &free_bytes, &total) == ST_OK && free_bytes == 2 && total == 12);
	EXPECT(disk_pwrite(f, "abc", 3, 10) == ST_LIMIT);
	EXPECT(disk_pwrite(f, "abc", 3, 9) == ST_OK);
	EXPECT(disk_size(f, &size) == ST_OK && size == 12);
	EXPECT(disk_sim_count(d, DISK_SIM_SYNC) == 2 && disk_sim_count(d, DISK_SIM_WRITE) == 5);
	EXPECT(disk_sync_dir(d, "") == ST_OK);
	disk_close(&f);
	disk_free(&d);

	d = disk_sim_new();
	disk_sim_on_sync(d, crash_at_second_sync, d);
	EXPECT(disk_open(d, "a", DISK_WRITE | DISK_CREATE, &f) == ST_OK);
	EXPECT(disk_sync(f) == ST_OK);
	EXPECT(disk_sync_dir(d, "") == ST_IO);
	EXPECT(disk_sync(f) == ST_IO);
	disk_close(&f);
	disk_free(&d);
}

int
main(void)
{
	UNIT(posix_keeps_the_contract);
	UNIT(sim_keeps_the_contract);
	UNIT(sim_crash_drops_what_was_not_synced);
	UNIT(sim_crash_tears_by_sector);
	UNIT(sim_faults);
	return unit_end();
}
