#include "roles/master_key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rnd.h"

#define NEW_SUFFIX ".new"

static enum status
fail(struct buf *why, enum status st, const char *what, const char *path, const char *mend)
{
	int e = errno;

	(void)buf_putf(why, "%s %s", what, path);
	if (st == ST_IO)
		(void)buf_putf(why, ": %s", strerror(e));
	(void)buf_putf(why, "; %s\n", mend);
	return st;
}

static enum status
path_copy(struct str path, char *out, size_t out_n, struct buf *why)
{
	if (path.n == 0 || path.n + sizeof(NEW_SUFFIX) > out_n || memchr(path.p, 0, path.n) != NULL) {
		(void)buf_put(why, STR("the path of the master key is too long; name another in the section `keys`\n"));
		return ST_LIMIT;
	}
	memcpy(out, path.p, path.n);
	out[path.n] = '\0';
	return ST_OK;
}

static enum status
info_check(const struct stat *info, const char *path, struct buf *why)
{
	if (S_ISREG(info->st_mode) && info->st_size == MASTER_KEY_BYTES)
		return ST_OK;
	return fail(why, ST_SYNTAX, "not a master key (a file of exactly 32 bytes):", path,
	    "put back the copy of it; only where no key was made yet, remove it: `posthorn serve` makes another");
}

enum status
master_key_check(struct str path, struct buf *why)
{
	char name[4096];
	struct stat info;
	enum status st = path_copy(path, name, sizeof(name), why);

	if (st != ST_OK)
		return st;
	if (stat(name, &info) == 0)
		return info_check(&info, name, why);
	if (errno == ENOENT)
		return ST_OK;
	return fail(why, ST_IO, "cannot look at the master key", name, "mend the rights of its folder");
}

static bool
random_write(int fd)
{
	uint8_t key[MASTER_KEY_BYTES];
	bool ok;

	rnd_bytes(key, sizeof(key));
	ok = write(fd, key, sizeof(key)) == (ssize_t)sizeof(key) && fsync(fd) == 0;
	explicit_bzero(key, sizeof(key));
	return ok;
}

/* A name is on the disk when its folder is. */
static bool
folder_sync(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* The folder of path, made when it is missing. */
static bool
folder_make(const char *path, char *folder, size_t folder_n)
{
	char *slash;

	snprintf(folder, folder_n, "%s", path);
	slash = strrchr(folder, '/');
	if (slash == NULL)
		snprintf(folder, folder_n, ".");
	else if (slash == folder)
		slash[1] = '\0';
	else
		*slash = '\0';
	return mkdir(folder, 0700) == 0 || errno == EEXIST;
}

/* Under another name first: a start that is killed on the way leaves no half key that the next one would have to refuse. */
static bool
key_make(const char *path)
{
	char folder[4096], fresh[4096 + sizeof(NEW_SUFFIX)];
	bool ok;
	int fd, e;

	if (!folder_make(path, folder, sizeof(folder)))
		return false;
	snprintf(fresh, sizeof(fresh), "%s" NEW_SUFFIX, path);
	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	/* link, not rename: it never takes the place of a key that is there. */
	ok = random_write(fd) && link(fresh, path) == 0;
	e = errno;
	close(fd);
	(void)unlink(fresh);
	errno = e;
	return ok && folder_sync(folder);
}

enum status
master_key_open(struct str path, int *fd_out, struct buf *why)
{
	char name[4096];
	struct stat info;
	enum status st = path_copy(path, name, sizeof(name), why);
	int fd;

	*fd_out = -1;
	if (st != ST_OK)
		return st;
	/* Not waiting for a pipe's other end. */
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT) {
		if (!key_make(name))
			return fail(why, ST_IO, "cannot make the master key", name,
			    "mend that, put 32 random bytes there yourself, or name another file in the section `keys`");
		log_event(LOG_INFO, "master_key.made", LOG_CSTR("path", name));
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	}
	if (fd < 0 || fstat(fd, &info) != 0)
		st = fail(why, ST_IO, "cannot open the master key", name, "mend its rights");
	else
		st = info_check(&info, name, why);
	if (st == ST_OK && (info.st_mode & 077) != 0)
		log_event(LOG_WARN, "master_key.rights", LOG_CSTR("path", name), LOG_CSTR("why", "others than its owner may use it"));
	if (st == ST_OK)
		*fd_out = fd;
	else if (fd >= 0)
		close(fd);
	return st;
}
