/* Do the certificates and keys that a configuration names exist, belong together, and hold what they should? */
#ifndef POSTHORN_ROLES_CERTIFICATES_H
#define POSTHORN_ROLES_CERTIFICATES_H

#include "config/config.h"

/*
 * Reads every file. False: why gets a line for each that does not work. Asked before a start, before a reload and by `config check`: the roles
 * would find out too late, with the old certificate already given up.
 */
bool certificates_check(const struct config *f, struct buf *why);
/* The same in a process of its own, so that no private key comes into the caller's memory. */
bool certificates_check_apart(const struct config *f, struct buf *why);

#endif
