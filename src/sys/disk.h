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
struct disk_file;

enum disk_flags {
	DISK_READ = 0,
	DISK_WRITE = 1,		/* read and write */
	DISK_CREATE = 2,
	DISK_EXCLUSIVE = 4,	/* with CREATE: ST_EXISTS when it is there */
	DISK_DIRECT = 8,	/* O_DIRECT when the file system can; offsets, sizes, memory in DISK_ALIGN */
};
#define DISK_ALIGN 4096

struct disk_ops;

struct disk {
	const struct disk_ops *ops;
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
	enum status (*list)(struct disk *d, const char *path, void (*fn)(void *arg, const char *name), void *arg);
	enum status (*free_bytes)(struct disk *d, uint64_t *free_out, uint64_t *total_out);
};

/* The real disk under root_dir (made when missing, mode 0700). */
enum status disk_posix_new(const char *root_dir, struct disk **out);
void disk_free(struct disk **d);
/* The folder's path for libraries that open files themselves (LMDB); NULL on a simulated disk. */
const char *disk_root(const struct disk *d);

#endif
