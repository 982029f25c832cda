/*
 * The file that keys.master names: 32 random bytes that seal the keys made at run time (DKIM). Who loses it loses those keys, who has it can
 * read them: made once, mode 0600, never replaced, and read only by the role keys, through a descriptor.
 */
#ifndef POSTHORN_ROLES_MASTER_KEY_H
#define POSTHORN_ROLES_MASTER_KEY_H

#include "base/buf.h"

/* An AES-256 key. */
#define MASTER_KEY_BYTES 32

/* Looks, reads nothing. ST_OK also when there is no such file yet; ST_SYNTAX: it is no master key. why gets a line then. */
enum status master_key_check(struct str path, struct buf *why) MUST_USE;
/*
 * Opens the file; makes it first, and the folder it lies in, when it is missing: whole and on the disk under its name, or not there at all. The
 * descriptor is the caller's. Anything but ST_OK has put what is wrong and how to mend it into why.
 */
enum status master_key_open(struct str path, int *fd_out, struct buf *why) MUST_USE;

#endif
