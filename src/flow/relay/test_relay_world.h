/* For tests of relay: a store, a queue, a resolver, keys and servers, all played on one loop with a
 * fake clock. */
#ifndef POSTHORN_FLOW_RELAY_TEST_RELAY_WORLD_H
#define POSTHORN_FLOW_RELAY_TEST_RELAY_WORLD_H

#include "flow/relay/relay_internal.h"

enum {
	WORLD_RULES_MAX = 16,
	WORLD_DNS_MAX = 64,
	WORLD_DONE_MAX = 1100,
	WORLD_PEERS_MAX = 8,
	WORLD_RCPTS_MAX = 1000
};

/* What a server says to a line that begins so. reply: lines with CRLF; "CLOSE" closes, "HANG" says
 * nothing, "RESET" breaks. */
struct world_rule {
	const char *line; /* "" the greeting, "." the end of the content */
	const char *reply;
	int times; /* 0: always */
};

struct world_peer {
	const char *ip;
	bool is_refusing; /* connections */
	bool is_implicit_tls, is_tls_broken, is_not_reading;
	struct world_rule rules[WORLD_RULES_MAX];
	int connections_n, messages_n, quits_n;
	struct buf commands; /* each with LF */
	struct buf content;  /* of the last message, dots still stuffed */
	bool is_tls;	     /* at the last MAIL */
	const char *scram_password;
};

/* name "a.example", type, answers separated by ' ' ("10,mx.example" for MX: ',' stands for the
 * space). */
struct world_dns {
	const char *name;
	uint16_t rrtype, rcode;
	const char *answers;
	uint8_t security;
	bool is_timeout, is_silent;
};

struct world_done {
	uint64_t job;
	uint8_t outcome;
	uint16_t code, enhanced[3];
	char host[256], ip[64], tls[256], text[520];
	size_t results_n;
	struct {
		uint32_t index;
		uint8_t verdict;
		uint16_t code, enhanced[3];
		char text[520];
	} result[8]; /* the first */
};

struct world_message {
	struct str reverse_path, head, body, envid, sign_domain;
	const char *rcpts[8]; /* NULL: the end */
	size_t many;	      /* instead: so many generated */
	uint8_t notify, flags, ret, by_mode, priority, keys_n;
	const char *orcpt;
	uint64_t by_ms;
	bool is_not_ok, is_silent, is_read_failing, is_read_silent;
};

struct world_link {
	struct world *w;
	struct link *relay, *role; /* the two ends */
	bool is_down;
};

struct world {
	struct clock clock;
	struct loop *loop;
	struct relay *relay;
	struct world_link store, queue, resolver, keys;
	struct world_dns dns[WORLD_DNS_MAX];
	struct world_peer peers[WORLD_PEERS_MAX];
	struct world_message m;
	struct buf routes;
	struct world_done *done; /* WORLD_DONE_MAX */
	size_t done_n, asked_n, reads_n, signs_n;
	bool is_keys_silent, is_keys_failing;
	int stopped_n;
	struct tls_context *server_tls, *client_tls; /* freed by world_fini */
	struct server *servers;
};

void world_init(struct world *w);
void world_fini(struct world *w);
void world_route(struct world *w, const char *domain, const char *host, uint16_t port, uint8_t tls,
    const char *user, const char *password);
void world_set(struct world *w, const char *hostname, uint64_t idle_ms);
/* RELAY for message 1. */
void world_send(struct world *w, uint64_t job, const char *destination);
void world_run(struct world *w, uint64_t ms);
/* send, then run until it is answered: at most 30 minutes. The answer. */
const struct world_done *world_relay(struct world *w, const char *destination);
struct world_peer *world_peer(struct world *w, const char *ip);
void world_down(struct world *w, struct world_link *l);

#endif
