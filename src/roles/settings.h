/* What of the configuration the roles for mail on its way are told, as the fields of the record SETTINGS (ipc/records.h). */
#ifndef POSTHORN_ROLES_SETTINGS_H
#define POSTHORN_ROLES_SETTINGS_H

#include "config/config.h"
#include "ipc/records.h"

/* The longest is "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" and its line end. */
#define SETTINGS_NETWORKS_BYTES_MAX ((size_t)CONFIG_NETWORKS_MAX * 44)
/* Of each route: three lengths of strings and two more, the domain, the host, user and password at their limits. */
#define SETTINGS_ROUTES_BYTES_MAX \
	((size_t)CONFIG_ROUTES_MAX * (4 * 2 + 3 + 2 * CONFIG_HOSTNAME_BYTES_MAX + 2 * CONFIG_CREDENTIAL_BYTES_MAX))
/* A hundred certificates; a client's are signed by one or two. */
#define SETTINGS_CLIENT_CA_BYTES_MAX ((size_t)256 << 10)
#define SETTINGS_READ_BYTES ((size_t)16 << 10)

/* The texts that a record borrows until it is sent. */
struct settings_texts {
	struct buf exempt, proxy, xclient, trusted, client_ca, routes;
};

void settings_texts_init(struct settings_texts *t);
/* Wipes the passwords. */
void settings_texts_fini(struct settings_texts *t);
/*
 * Fills the fields from greet_delay_ms on, and exempt_nets, from f, except client_ca_pem: texts stand in t, which s borrows. A role that has no
 * use for a text gets an empty one: passwords go to relay alone.
 */
void settings_put(struct rec_settings *s, struct settings_texts *t, const struct config *f, enum role_kind kind);

#endif
