/*
 * What the roles that meet strangers share: listeners with their limits, and TLS whose private keys live in `keys`.
 */
#ifndef POSTHORN_ROLES_FRONT_H
#define POSTHORN_ROLES_FRONT_H

#include "flow/receive/receive.h"
#include "net/listen.h"
#include "net/tls.h"
#include "roles/role.h"

#define FRONT_LISTENERS_MAX 64
#define FRONT_EXEMPT_MAX 256

struct front;

struct front_listener {
	struct front *front;
	struct listener *listener;
	uint8_t protocol, tls;
};

struct front_nets {
	struct sock_net net[FRONT_EXEMPT_MAX];
	size_t n;
};

struct front_ops {
	/* Takes fd. */
	void (*accept)(void *arg, struct front_listener *from, int fd, const struct sock_addr *peer);
	void (*refuse)(void *arg, struct front_listener *from, int fd);
};

struct front {
	struct role *role;
	const struct front_ops *ops;
	void *arg;
	struct tls_context *tls;
	struct front_nets exempt, trusted, proxy, xclient;
	struct front_listener listeners[FRONT_LISTENERS_MAX];
	size_t listeners_n;
};

void front_init(struct front *f, struct role *r, const struct front_ops *ops, void *arg);
void front_fini(struct front *f);
/* role_ops.prepare: library initialisation that opens files. */
enum status front_prepare(struct front *f, struct buf *why);
/* From SETTINGS: exempt networks and limits of every listener. */
void front_settings(struct front *f);
/* For SMTP sessions; the strings live until the next reload, and what it says of peers as long as f. */
struct receive_settings front_receive_settings(struct front *f);
void front_listen(struct front *f, const struct rec_listener *rec, int fd);
/* CERTIFICATE from the parent. */
bool front_certificate(struct front *f, struct cur *c);
/* SIGN_ANSWER from keys. */
bool front_signed(struct cur *c);
/* Stops accepting. */
void front_close(struct front *f);
bool front_is_exempt(const struct front *f, const struct sock_addr *peer);

#endif
