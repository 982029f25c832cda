/*
 * Files behind an interface: the real disk, and a simulated one that forgets what was not synced.
 *
 * Paths are relative to the disk's root folder, '/'-separated, our own (never from strangers). All calls
 * are synchronous and may be made from any one thread per file at a time. Errors are ST_IO (logged with
 * errno by the real disk), ST_NOTFOUND, ST_EXISTS, ST_LIMIT (no space).
 */
#ifndef POSTHORN_SYS_DISK_H
#define POSTHORN_SYS_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct disk;
struct disk_ops;

enum disk_flags {
	DISK_READ = 0,
	DISK_WRITE = 1,		/* read and write */
	DISK_CREATE = 2,
	DISK_EXCLUSIVE = 4,	/* with CREATE: ST_EXISTS when it is there */
	DISK_DIRECT = 8,	/* O_DIRECT when the file system can; offsets, sizes, memory in DISK_ALIGN */
};
#define DISK_ALIGN 4096

/* First members of a backend's own structs. */
struct disk {
	const struct disk_ops *ops;
};
struct disk_file {
	struct disk *disk;
};

struct disk_ops {
	void (*free)(struct disk *d);
	enum status (*open)(struct disk *d, const char *path, unsigned flags, struct disk_file **out);
	void (*close)(struct disk_file *f);
	/* Reads up to n; *got < n only at the end of the file. */
	enum status (*pread)(struct disk_file *f, void *p, size_t n, uint64_t off, size_t *got);
	/* All or an error; after an error any part may have been written. */
	enum status (*pwrite)(struct disk_file *f, const void *p, size_t n, uint64_t off);
	enum status (*sync)(struct disk_file *f);	/* fdatasync: data and size */
	enum status (*size)(struct disk_file *f, uint64_t *out);
	enum status (*truncate)(struct disk_file *f, uint64_t size);
	enum status (*unlink)(struct disk *d, const char *path);
	enum status (*rename)(struct disk *d, const char *from, const char *to);
	enum status (*mkdir)(struct disk *d, const char *path);	/* existing is ST_OK */
	enum status (*sync_dir)(struct disk *d, const char *path);
	/* Names in a folder, sorted, one call each. */
	enum status (*list)(
	    struct disk *d, const char *path, void (*fn)(void *arg, const char *name), void *arg);
	enum status (*free_bytes)(struct disk *d, uint64_t *free_out, uint64_t *total_out);
	const char *(*root)(const struct disk *d);
};

/* The real disk under root_dir (made when missing, mode 0700). */
enum status disk_posix_new(const char *root_dir, struct disk **out);
void disk_free(struct disk **d);
/* The folder's path for libraries that open files themselves (LMDB); NULL on a simulated disk. */
const char *disk_root(const struct disk *d);

/* The operations by name. path "" is the root folder itself. */
static inline enum status MUST_USE
disk_open(struct disk *d, const char *path, unsigned flags, struct disk_file **out)
{
	return d->ops->open(d, path, flags, out);
}

/* NULL is fine. Leaves *f NULL. */
static inline void
disk_close(struct disk_file **f)
{
	if (*f != NULL)
		(*f)->disk->ops->close(*f);
	*f = NULL;
}

static inline enum status MUST_USE
disk_pread(struct disk_file *f, void *p, size_t n, uint64_t off, size_t *got)
{
	return f->disk->ops->pread(f, p, n, off, got);
}

static inline enum status MUST_USE
disk_pwrite(struct disk_file *f, const void *p, size_t n, uint64_t off)
{
	return f->disk->ops->pwrite(f, p, n, off);
}

static inline enum status MUST_USE
disk_sync(struct disk_file *f)
{
	return f->disk->ops->sync(f);
}

static inline enum status MUST_USE
disk_size(struct disk_file *f, uint64_t *out)
{
	return f->disk->ops->size(f, out);
}

static inline enum status MUST_USE
disk_truncate(struct disk_file *f, uint64_t size)
{
	return f->disk->ops->truncate(f, size);
}

static inline enum status MUST_USE
disk_unlink(struct disk *d, const char *path)
{
	return d->ops->unlink(d, path);
}

static inline enum status MUST_USE
disk_rename(struct disk *d, const char *from, const char *to)
{
	return d->ops->rename(d, from, to);
}

static inline enum status MUST_USE
disk_mkdir(struct disk *d, const char *path)
{
	return d->ops->mkdir(d, path);
}

static inline enum status MUST_USE
disk_sync_dir(struct disk *d, const char *path)
{
	return d->ops->sync_dir(d, path);
}

static inline enum status MUST_USE
disk_list(struct disk *d, const char *path, void (*fn)(void *arg, const char *name), void *arg)
{
	return d->ops->list(d, path, fn, arg);
}

static inline enum status MUST_USE
disk_free_bytes(struct disk *d, uint64_t *free_out, uint64_t *total_out)
{
	return d->ops->free_bytes(d, free_out, total_out);
}

#endif
