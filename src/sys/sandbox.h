/*
 * What a role may still do once it meets strangers' bytes.
 *
 * Two steps, because some roles must open their files as the confined user but before system calls are
 * filtered:
 *   sandbox_confine  new namespaces, empty (or data) root, own uid, no_new_privs, Landlock, resource limits
 *   sandbox_lock     the seccomp allow-list, for all threads; anything else kills the process
 *
 * Started as root both levels of isolation hold: an own uid and root folder, and the kernel's filters. Started
 * unprivileged there is one uid; a user namespace gives the empty root where the kernel allows one. Whatever the kernel lacks
 * is left out and said in the report, never silently.
 *
 * The allow-lists are written for what the code and its libraries really call; a role that does more is killed by SIGSYS, which the
 * parent reports by name.
 */
#ifndef POSTHORN_SYS_SANDBOX_H
#define POSTHORN_SYS_SANDBOX_H

#include "base/buf.h"

enum sandbox_allow {
	SANDBOX_FILES = 1,	/* open, write, sync files beneath the root folder */
	SANDBOX_ACCEPT = 2,	/* accept connections on listeners it was given */
	SANDBOX_CONNECT = 4,	/* make sockets and connect: only the resolver and, later, relay and fetch */
	SANDBOX_RECEIVE_FDS = 8,/* kept for documentation: every role may recvmsg */
};

struct sandbox_options {
	unsigned allow;		/* enum sandbox_allow */
	const char *root_dir;	/* becomes "/": an empty folder, or the data folder for SANDBOX_FILES */
	uint32_t uid;		/* when started as root; 0 is refused */
};

/* What holds, one sentence for people: "uid 60702, empty root, no network, Landlock 7, seccomp (62 calls)". */
#define SANDBOX_REPORT_MAX 512

/*
 * *root_out: where root_dir is now ("/" after a change of root, else root_dir itself; static or borrowed from o).
 * ST_DENIED: started as root but could not give the rights away; the caller must not go on.
 */
enum status sandbox_confine(const struct sandbox_options *o, const char **root_out, struct buf *report) MUST_USE;
enum status sandbox_lock(const struct sandbox_options *o, struct buf *report) MUST_USE;

#endif
