/*
 * A disk in memory that forgets what was not synced: for tests and the deterministic simulator.
 *
 * Every file is a durable image and a list of the writes since its last sync; every name made, moved or
 * removed waits for the sync_dir of its folder. disk_sim_crash is the power cut. Stricter than ext4 where
 * that differs (syncing a file does not save its name), so that what holds here holds there.
 * The same calls and seeds give the same bytes. Not thread-safe.
 */
#ifndef POSTHORN_SYS_DISK_SIM_H
#define POSTHORN_SYS_DISK_SIM_H

#include "base/rnd.h"
#include "sys/disk.h"

/* What a power cut may tear apart: smaller than DISK_ALIGN, as real disks are. */
#define DISK_SIM_SECTOR_BYTES 512

enum disk_sim_op {
	DISK_SIM_OPEN,
	DISK_SIM_READ,
	DISK_SIM_WRITE,
	DISK_SIM_SYNC,
	DISK_SIM_TRUNCATE,
	DISK_SIM_NAMES,		/* unlink, rename, mkdir, sync_dir */
	DISK_SIM_OPS
};

enum disk_sim_crash_mode {
	DISK_SIM_DROP,		/* nothing unsynced is left */
	DISK_SIM_TEAR,		/* each unsynced sector is left or not; of the unsynced names the first few are */
	DISK_SIM_KEEP,		/* the process died, the machine did not: all stays, still unsynced */
};

/* Free it with disk_free. */
struct disk *disk_sim_new(void);
/* Every open file is dead afterwards (each call ST_IO; do close it). r is used by DISK_SIM_TEAR only. */
void disk_sim_crash(struct disk *d, enum disk_sim_crash_mode mode, struct prng *r);

/*
 * The nth call (1: the next one) of this kind from now on returns st. A failing write writes the first
 * write_bytes bytes all the same. One fault per kind can be armed; nth = 0 disarms.
 */
void disk_sim_fail(struct disk *d, enum disk_sim_op op, uint64_t nth, enum status st, size_t write_bytes);
/* Files together may have so many bytes; what goes beyond is ST_LIMIT. */
void disk_sim_set_bytes_max(struct disk *d, uint64_t bytes_max);
/*
 * Called before each sync of a file or folder with its number (from 1). It may crash the disk: the sync
 * then fails with ST_IO. NULL: none.
 */
void disk_sim_on_sync(struct disk *d, void (*fn)(void *arg, uint64_t nth), void *arg);
/* How many calls of this kind there were. */
uint64_t disk_sim_count(const struct disk *d, enum disk_sim_op op);

#endif
