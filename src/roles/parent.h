/*
 * The parent: binds ports, reads the configuration, starts the roles, restarts them, reloads, stops.
 * It parses no byte from the network and holds no private key (key files are opened here and read by `keys`).
 */
#ifndef POSTHORN_ROLES_PARENT_H
#define POSTHORN_ROLES_PARENT_H

#include "base/buf.h"

struct parent_options {
	const char *config_path;
	bool is_single;		/* all roles in this process; loopback listeners only */
	bool is_quiet;		/* no lines for people on stdout */
};

/* Runs until told to stop. Returns the exit code; what went wrong at the start is on stderr. */
int parent_main(const struct parent_options *o);

#endif
