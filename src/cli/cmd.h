/* What the commands share: where they are, how they answer, how they reach the store. */
#ifndef POSTHORN_CLI_CMD_H
#define POSTHORN_CLI_CMD_H

#include <jansson.h>
#include <limits.h>

#include "cli/args.h"
#include "config/config.h"
#include "ipc/records.h"
#include "roles/admin.h"

enum {
	CMD_ANSWER_BYTES_MAX = RECORD_BYTES_MAX,
	/* As text a row is as long as its longest neighbour makes it. */
	CMD_TEXT_BYTES_MAX = 64 << 20,
	CMD_RESTART_PATIENCE_MS = 40 * 1000,
	CMD_STOP_PATIENCE_MS = 15 * 1000,
};

struct cmd {
	const struct args *args;
	char dir[PATH_MAX];	/* as given */
	char config_path[PATH_MAX + 16];
	char control_path[PATH_MAX + 16];
	char data_path[PATH_MAX];	/* absolute; after cmd_config */
	bool is_json;
	struct config *config;	/* NULL until cmd_config */
};

/* False: said so. */
bool cmd_init(struct cmd *c, const struct args *a);
void cmd_fini(struct cmd *c);

/* Prints the document as text or JSON. Returns the exit code: the given one, or EXIT_CODE_FAILED when it cannot be shown. */
int cmd_answer(const struct cmd *c, int exit_code, struct str json);
/* The same; takes doc. */
int cmd_answer_doc(const struct cmd *c, int exit_code, json_t *doc);
/* {"error", "mend"}; mend may be NULL. Returns exit_code. */
int cmd_fail(const struct cmd *c, int exit_code, const char *error, const char *mend);
/* Loads the configuration, once. False: said so. */
bool cmd_config(struct cmd *c);
/* A question with yes or no on the terminal; --yes says yes. False: no, and said so. */
bool cmd_confirm(const struct cmd *c, const char *question);

/* ---- cmd_password.c ---- */

struct password {
	struct buf text;
	bool is_generated;
};
/* --password-stdin, else twice from the terminal, else a new one of 20 random characters. False: said so. */
bool cmd_password(const struct cmd *c, const char *whose, struct password *out);
void password_generate(struct password *out);
/* Wipes. */
void password_fini(struct password *p);
/* Hashes (slowly) as the configuration says: base64 for a request's "credential". False: said so. */
bool cmd_credential(struct cmd *c, const struct password *p, struct buf *base64_out);

/* ---- cmd_request.c: the store, on a running server or directly ---- */

struct reply {
	int exit_code;
	struct buf json;
};

/* Takes request. False: could not be asked, and said so; the exit code is in out. out is initialised, reply_fini it. */
bool cmd_request(struct cmd *c, json_t *request, uint64_t timeout_ms, struct reply *out);
void reply_fini(struct reply *r);
/* {"command", "operands": those of the command line, "options": {}}. */
json_t *cmd_request_new(const struct cmd *c, const char *command);

/* The store of a stopped server. */
struct direct {
	struct clock clock;
	struct disk *disk;
	struct store *store;
	struct admin *admin;
	uint8_t master[32];	/* what seals new keys; see direct_keys.c */
	bool has_master;
};
/*
 * As root it first gives up root for the store's uid, for good; not when is_fresh: a store that is being made has nothing to be afraid of, and
 * the caller then gives its files away with data_chown. False: said so.
 */
bool direct_open(struct cmd *c, bool is_fresh, struct direct *out);
void direct_run(struct direct *d, const json_t *request, struct reply *out);
void direct_close(struct direct *d);
/* The options to check or restore a store with. */
void direct_settings(const struct cmd *c, struct rec_settings *out);
/* As root: becomes the store's uid. Returns the data folder as it can then be opened; NULL: said why not. */
const char *direct_become(struct cmd *c);

/* direct_keys.c: before root is given up; when there is an admin; at the end. */
void direct_keys_open(struct cmd *c, struct direct *d);
void direct_keys_use(struct direct *d);
void direct_keys_close(struct direct *d);

/* ---- the commands; each returns the exit code ---- */

int cmd_quickstart(struct cmd *c);
int cmd_demo(struct cmd *c);
int cmd_directory(struct cmd *c);	/* domain, account, alias */
int cmd_queue(struct cmd *c);	/* queue, trace, log, domain dns and keys */
int cmd_store(struct cmd *c);
int cmd_serve(struct cmd *c);
int cmd_stop(struct cmd *c);
int cmd_reload(struct cmd *c);
int cmd_restart(struct cmd *c);
int cmd_status(struct cmd *c);
int cmd_config_check(struct cmd *c);
int cmd_version(struct cmd *c);

#endif
