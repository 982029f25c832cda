/*
 * The parent: binds ports, reads the configuration, starts the roles, restarts them, reloads, stops.
 * It parses no byte from the network and holds no private key (key files are opened here and read by `keys`).
 */
#ifndef POSTHORN_ROLES_PARENT_H
#define POSTHORN_ROLES_PARENT_H

#include <sys/types.h>

#include "config/config.h"
#include "ipc/records.h"

struct parent_options {
	const char *config_path;
	bool is_single;		/* all roles in this process; loopback listeners only */
	bool is_quiet;		/* no lines for people on stdout */
};

/* Runs until told to stop. Returns the exit code; what went wrong at the start is on stderr. */
int parent_main(const struct parent_options *o);

/* ---- what the command on a stopped server does the same way ---- */

/* The uid a role takes when started as root: its configured user's, else a number of its own. */
uint32_t role_uid(const struct config_roles *r, enum role_kind k);
void settings_store(struct rec_settings *s, const struct config_store *o);
/* As root the store's files belong to the store's uid, whoever made them (a restore by root, an older setting). */
void data_chown(const char *dir, uid_t uid);

#endif
