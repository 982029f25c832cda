#include "roles/master_key.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unit.h"

static char base[] = "/tmp/posthorn-test-master-XXXXXX";

static const char *
path_of(const char *name)
{
	static char path[2][256];
	static unsigned next;
	char *p = path[next++ % COUNT_OF(path)];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", base, name);
	return p;
}

static void
file_put(const char *name, size_t n)
{
	FILE *f = fopen(path_of(name), "w");

	EXPECT(f != NULL);
	for (size_t i = 0; f != NULL && i < n; i++)
		fputc('k', f);
	if (f != NULL)
		fclose(f);
}

/* The status of opening it; the key goes to bytes. */
static enum status
key_open(const char *name, char bytes[MASTER_KEY_BYTES + 1], struct buf *why)
{
	int fd = 99;
	enum status st = master_key_open(str_of_c(path_of(name)), &fd, why);

	EXPECT((st == ST_OK) == (fd >= 0));
	if (st == ST_OK) {
		EXPECT(read(fd, bytes, MASTER_KEY_BYTES + 1) == MASTER_KEY_BYTES);
		close(fd);
	}
	return st;
}

static size_t
entries_of(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	if (d != NULL)
		closedir(d);
	return n < 2 ? 0 : n - 2;
}

static void
made_once_and_kept(void)
{
	char first[MASTER_KEY_BYTES + 1] = "", again[MASTER_KEY_BYTES + 1] = "", other[MASTER_KEY_BYTES + 1] = "";
	static const char zeros[MASTER_KEY_BYTES];
	struct stat info;
	struct buf why;

	buf_init(&why, 4096);
	EXPECT(master_key_check(str_of_c(path_of("keys/m")), &why) == ST_OK);
	/* A start that was killed left this. */
	EXPECT(mkdir(path_of("keys"), 0700) == 0);
	file_put("keys/m.new", 7);
	EXPECT(key_open("keys/m", first, &why) == ST_OK);
	EXPECT(stat(path_of("keys/m"), &info) == 0 && (info.st_mode & 07777) == 0600 && info.st_size == MASTER_KEY_BYTES);
	EXPECT(entries_of(path_of("keys")) == 1);
	EXPECT(memcmp(first, zeros, sizeof(zeros)) != 0);
	EXPECT(key_open("keys/m", again, &why) == ST_OK);
	EXPECT(memcmp(first, again, MASTER_KEY_BYTES) == 0);
	EXPECT(master_key_check(str_of_c(path_of("keys/m")), &why) == ST_OK);
	/* Its folder is made too, one level of it. */
	EXPECT(key_open("new/m", other, &why) == ST_OK);
	EXPECT(memcmp(first, other, MASTER_KEY_BYTES) != 0);
	EXPECT(stat(path_of("new"), &info) == 0 && (info.st_mode & 07777) == 0700);
	EXPECT_STR(buf_str(&why), STR(""));
	EXPECT(key_open("a/b/m", other, &why) == ST_IO);
	EXPECT(str_has_prefix(buf_str(&why), STR("cannot make the master key /tmp/posthorn-test-master-")));
	EXPECT(unlink(path_of("keys/m")) == 0 && rmdir(path_of("keys")) == 0);
	EXPECT(unlink(path_of("new/m")) == 0 && rmdir(path_of("new")) == 0);
	buf_fini(&why);
}

static void
refused_unless_32_bytes(void)
{
	char bytes[MASTER_KEY_BYTES + 1];
	static const struct {
		size_t n;
		enum status st;
	} table[] = {{0, ST_SYNTAX}, {MASTER_KEY_BYTES - 1, ST_SYNTAX}, {MASTER_KEY_BYTES, ST_OK}, {MASTER_KEY_BYTES + 1, ST_SYNTAX}};
	struct stat info;
	struct buf why;

	buf_init(&why, 4096);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_reset(&why);
		file_put("m", table[i].n);
		EXPECT(master_key_check(str_of_c(path_of("m")), &why) == table[i].st);
		EXPECT((why.n == 0) == (table[i].st == ST_OK));
		EXPECT(key_open("m", bytes, &why) == table[i].st);
		/* It is left as it was, for who can mend it. */
		EXPECT(stat(path_of("m"), &info) == 0 && (size_t)info.st_size == table[i].n);
	}
	buf_reset(&why);
	EXPECT(unlink(path_of("m")) == 0 && mkfifo(path_of("m"), 0600) == 0);
	EXPECT(key_open("m", bytes, &why) == ST_SYNTAX);
	EXPECT(unlink(path_of("m")) == 0 && mkdir(path_of("m"), 0700) == 0);
	EXPECT(key_open("m", bytes, &why) == ST_SYNTAX);
	EXPECT(master_key_check(str_of_c(path_of("m")), &why) == ST_SYNTAX);
	EXPECT(rmdir(path_of("m")) == 0);
	/* A link to nowhere: nothing is put where it points. */
	EXPECT(symlink(path_of("elsewhere"), path_of("m")) == 0);
	EXPECT(key_open("m", bytes, &why) == ST_IO);
	EXPECT(access(path_of("elsewhere"), F_OK) != 0);
	EXPECT(unlink(path_of("m")) == 0);
	EXPECT(entries_of(base) == 0);
	buf_fini(&why);
}

static void
paths_are_limited(void)
{
	char path[5000];
	struct buf why;
	int fd;

	memset(path, 'a', sizeof(path));
	memcpy(path, "/none/", 6);
	buf_init(&why, 8192);
	/* With the suffix of the new file and its NUL. */
	EXPECT(master_key_check(str_of(path, 4096 - 5), &why) == ST_OK);
	EXPECT(master_key_check(str_of(path, 4096 - 4), &why) == ST_LIMIT);
	EXPECT(master_key_open(str_of(path, 4096 - 4), &fd, &why) == ST_LIMIT);
	EXPECT(master_key_open(STR(""), &fd, &why) == ST_LIMIT);
	EXPECT(master_key_open(str_of("/tmp\0x", 6), &fd, &why) == ST_LIMIT);
	buf_fini(&why);
}

int
main(void)
{
	if (mkdtemp(base) == NULL)
		return 1;
	UNIT(made_once_and_kept);
	UNIT(refused_unless_32_bytes);
	UNIT(paths_are_limited);
	rmdir(base);
	return unit_end();
}
