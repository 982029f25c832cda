/*
 * The control socket of a running server (DIR/control): one command, one answer. Who may open the socket may
 * command the server; it belongs to the user who started it.
 */
#ifndef POSTHORN_CLI_CONTROL_H
#define POSTHORN_CLI_CONTROL_H

#include "base/buf.h"

/* How long a command may take that only looks or changes a few records. */
#define CONTROL_PATIENCE_MS (60 * 1000)

/*
 * timeout_ms 0: as long as the server lives. Appends the answer to json_out, *exit_code_out is the command's.
 * ST_NOTFOUND: no server runs there. ST_DENIED: not for this user. ST_TIMEOUT. ST_IO: the server ended, or broke the line, before it answered.
 */
enum status control_ask(const char *path, struct str request_json, uint64_t timeout_ms, int *exit_code_out,
    struct buf *json_out) MUST_USE;
/* Does somebody listen there? */
bool control_is_up(const char *path);

#endif
