/* The relay role's hook for the simulator. */
#ifndef POSTHORN_ROLES_RELAY_ROLE_H
#define POSTHORN_ROLES_RELAY_ROLE_H

#include "net/conn.h"
#include "roles/role.h"

/* As relay_ops.connect (flow/relay/relay.h). */
typedef struct conn *relay_connect_fn(void *arg, const struct sock_addr *to,
    const struct conn_handler *h, void *conn_arg, size_t input_bytes_max);

/* Between role_new and GO: connections are not made by the system but by fn(arg, ...). arg is
 * borrowed. */
void role_relay_simulate(struct role *r, relay_connect_fn *fn, void *arg);

#endif
