/* --help, from the table of commands. */
#ifndef POSTHORN_CLI_HELP_H
#define POSTHORN_CLI_HELP_H

#include "cli/args.h"

/* For what args_parse found: one command, a group ("domain"), or the whole program. ST_LIMIT when
 * out is full. */
enum status help_write(struct buf *out, const struct args *a);

#endif
