#include "sys/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

struct posix_disk {
	struct disk base;
	int fd;
	char *root;
};

struct posix_file {
	struct disk_file base;
	int fd;
	bool is_direct;
	char path[];	/* for log lines only */
};

static struct posix_disk *
posix_of(struct disk *d)
{
	return (struct posix_disk *)d;
}

static struct posix_file *
file_of(struct disk_file *f)
{
	return (struct posix_file *)f;
}

/* The status of errno. What a caller asks about (is it there?) is no event; everything else is. */
static enum status
failed(const char *op, const char *path)
{
	int e = errno;
	char text[128];

	if (e == ENOENT)
		return ST_NOTFOUND;
	if (e == EEXIST)
		return ST_EXISTS;
	log_event(LOG_ERROR, "disk.failed", LOG_CSTR("op", op), LOG_CSTR("path", path), LOG_I64("errno", e),
	    LOG_CSTR("error", strerror_r(e, text, sizeof(text))));
	return e == ENOSPC || e == EDQUOT || e == EFBIG ? ST_LIMIT : ST_IO;
}

static const char *
path_or_dot(const char *path)
{
	return *path ? path : ".";
}

static void
posix_free(struct disk *d)
{
	struct posix_disk *p = posix_of(d);

	close(p->fd);
	free(p->root);
	free(p);
}

static enum status
posix_open(struct disk *d, const char *path, unsigned flags, struct disk_file **out)
{
	struct posix_file *f;
	size_t path_bytes = strlen(path) + 1;
	int how = O_CLOEXEC | O_NOFOLLOW | (flags & DISK_WRITE ? O_RDWR : O_RDONLY);
	int fd;
	bool is_direct = (flags & DISK_DIRECT) != 0;

	if (flags & DISK_CREATE)
		how |= O_CREAT | (flags & DISK_EXCLUSIVE ? O_EXCL : 0);
	fd = openat(posix_of(d)->fd, path, how | (is_direct ? O_DIRECT : 0), 0600);
	/*
	 * A file system that cannot do O_DIRECT says EINVAL, some of them after having made the file,
	 * which O_EXCL would then find.
	 */
	if (fd < 0 && errno == EINVAL && is_direct) {
		is_direct = false;
		fd = openat(posix_of(d)->fd, path, how & ~O_EXCL, 0600);
	}
	if (fd < 0)
		return failed("open", path);
	f = malloc(sizeof(*f) + path_bytes);
	CHECK(f != NULL);
	*f = (struct posix_file){.base = {d}, .fd = fd, .is_direct = is_direct};
	memcpy(f->path, path, path_bytes);
	*out = &f->base;
	return ST_OK;
}

static void
posix_close(struct disk_file *f)
{
	close(file_of(f)->fd);
	free(f);
}

static enum status
posix_pread(struct disk_file *f, void *p, size_t n, uint64_t off, size_t *got)
{
	struct posix_file *pf = file_of(f);
	char *to = p;

	*got = 0;
	while (*got < n) {
		ssize_t k = pread(pf->fd, to + *got, n - *got, (off_t)(off + *got));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return failed("read", pf->path);
		if (k == 0)
			break;
		*got += (size_t)k;
		/* With O_DIRECT an odd count is the end of the file; going on from it would be EINVAL. */
		if (pf->is_direct && (size_t)k % DISK_ALIGN != 0)
			break;
	}
	return ST_OK;
}

static enum status
posix_pwrite(struct disk_file *f, const void *p, size_t n, uint64_t off)
{
	struct posix_file *pf = file_of(f);
	const char *from = p;
	size_t done = 0;

	CHECK(!pf->is_direct || (n % DISK_ALIGN == 0 && off % DISK_ALIGN == 0));
	while (done < n) {
		ssize_t k = pwrite(pf->fd, from + done, n - done, (off_t)(off + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return failed("write", pf->path);
		/* Write the odd end of a short O_DIRECT write again. No progress at all is a failure. */
		if (pf->is_direct)
			k -= k % DISK_ALIGN;
		if (k == 0) {
			errno = EIO;
			return failed("write", pf->path);
		}
		done += (size_t)k;
	}
	return ST_OK;
}

static enum status
posix_sync(struct disk_file *f)
{
	/* Not tried again after an error: the kernel has dropped the pages, a second call would lie. */
	return fdatasync(file_of(f)->fd) == 0 ? ST_OK : failed("sync", file_of(f)->path);
}

static enum status
posix_size(struct disk_file *f, uint64_t *out)
{
	struct stat st;

	if (fstat(file_of(f)->fd, &st) != 0)
		return failed("stat", file_of(f)->path);
	*out = (uint64_t)st.st_size;
	return ST_OK;
}

static enum status
posix_truncate(struct disk_file *f, uint64_t size)
{
	return ftruncate(file_of(f)->fd, (off_t)size) == 0 ? ST_OK : failed("truncate", file_of(f)->path);
}

static enum status
posix_unlink(struct disk *d, const char *path)
{
	return unlinkat(posix_of(d)->fd, path, 0) == 0 ? ST_OK : failed("unlink", path);
}

static enum status
posix_rename(struct disk *d, const char *from, const char *to)
{
	int fd = posix_of(d)->fd;

	return renameat(fd, from, fd, to) == 0 ? ST_OK : failed("rename", from);
}

static enum status
posix_mkdir(struct disk *d, const char *path)
{
	if (mkdirat(posix_of(d)->fd, path_or_dot(path), 0700) == 0 || errno == EEXIST)
		return ST_OK;
	return failed("mkdir", path);
}

static enum status
posix_sync_dir(struct disk *d, const char *path)
{
	int fd = openat(posix_of(d)->fd, path_or_dot(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	enum status st;

	if (fd < 0)
		return failed("open", path);
	st = fsync(fd) == 0 ? ST_OK : failed("sync", path);
	close(fd);
	return st;
}

static int
name_cmp(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
name_is_ours(const struct dirent *e)
{
	return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static enum status
posix_list(struct disk *d, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	struct dirent **names;
	int n = scandirat(posix_of(d)->fd, path_or_dot(path), &names, name_is_ours, name_cmp);

	if (n < 0)
		return failed("list", path);
	for (int i = 0; i < n; i++) {
		fn(arg, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return ST_OK;
}

static enum status
posix_free_bytes(struct disk *d, uint64_t *free_out, uint64_t *total_out)
{
	struct statvfs v;

	if (fstatvfs(posix_of(d)->fd, &v) != 0)
		return failed("statvfs", posix_of(d)->root);
	*free_out = (uint64_t)v.f_bavail * v.f_frsize;
	*total_out = (uint64_t)v.f_blocks * v.f_frsize;
	return ST_OK;
}

static const char *
posix_root(const struct disk *d)
{
	return ((const struct posix_disk *)d)->root;
}

static const struct disk_ops posix_ops = {
    .free = posix_free,
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .pwrite = posix_pwrite,
    .sync = posix_sync,
    .size = posix_size,
    .truncate = posix_truncate,
    .unlink = posix_unlink,
    .rename = posix_rename,
    .mkdir = posix_mkdir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .free_bytes = posix_free_bytes,
    .root = posix_root,
};

enum status
disk_posix_new(const char *root_dir, struct disk **out)
{
	struct posix_disk *p;
	int fd;

	if (mkdir(root_dir, 0700) != 0 && errno != EEXIST)
		return failed("mkdir", root_dir);
	fd = open(root_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed("open", root_dir);
	p = malloc(sizeof(*p));
	CHECK(p != NULL);
	*p = (struct posix_disk){.base = {&posix_ops}, .fd = fd, .root = strdup(root_dir)};
	CHECK(p->root != NULL);
	*out = &p->base;
	return ST_OK;
}

void
disk_free(struct disk **d)
{
	if (*d != NULL)
		(*d)->ops->free(*d);
	*d = NULL;
}

const char *
disk_root(const struct disk *d)
{
	return d->ops->root(d);
}
