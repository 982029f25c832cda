/*
 * The commands that work on the store: the same code on a running server (in the store role) and on a stopped
 * one (in the command itself), so that both say the same.
 *
 * A request is a JSON object {"command": "account add", "operands": ["a@b"], "options": {"pop3-delete": "yes"}, "credential":
 * "<base64 of credential_encode>"}; passwords never come here: the command hashes them. An answer is one of the documents of
 * cli/render.h; every refusal is {"error", "mend"} with exit code 1.
 *
 * `store backup NAME` writes into backups/NAME of the data folder, which is all that the store role can reach; an absolute path
 * works only without a loop (on a stopped server). The option "data" is the data folder's path as the answer shall show it.
 */
#ifndef POSTHORN_ROLES_ADMIN_H
#define POSTHORN_ROLES_ADMIN_H

#include "ipc/records.h"
#include "store/store.h"
#include "sys/disk.h"
#include "sys/loop.h"

struct admin;

typedef void admin_done_fn(void *arg, int exit_code, struct str json);

/*
 * store borrowed. disk borrowed: what the store was opened on; NULL: no backups. loop borrowed; NULL: the caller
 * polls the store (admin_run_wait), no server runs. Removals that an earlier run left unfinished go on.
 */
struct admin *admin_new(struct store *store, struct disk *disk, struct loop *loop);
/* Commands under way end without an answer. The store is not polled any more afterwards. */
void admin_free(struct admin **a);
/* done is called exactly once, when everything is durable; maybe before this returns. json is borrowed for the call. */
void admin_run(struct admin *a, struct str request_json, admin_done_fn *done, void *arg);
/* Runs one command to its end, polling the store. */
void admin_run_wait(struct admin *a, struct str request_json, admin_done_fn *done, void *arg);

/* The store's options as the settings say; for those who check or restore instead of opening. */
struct embedded_options;
void admin_store_options(const struct rec_settings *s, struct disk *disk, const struct clock *clock, struct embedded_options *out);
/* Opens the store in data_root as the settings say; the same for the role and for the command on a stopped server. */
enum status admin_store_open(const struct rec_settings *s, const char *data_root, const struct clock *clock,
    struct disk **disk_out, struct store **store_out, struct buf *why) MUST_USE;

#endif
