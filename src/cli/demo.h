/* The demo of `make run`. */
#ifndef POSTHORN_CLI_DEMO_H
#define POSTHORN_CLI_DEMO_H

#include "cli/cmd.h"

/* Where it lives when --dir does not say. */
#define DEMO_DIR "run"
#define DEMO_PORT_OFFSET 10000

#endif
