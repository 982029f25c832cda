/*
 * The commands that work on the store: the same code on a running server (in the store role) and on a stopped
 * one (in the command itself), so that both say the same.
 *
 * A request is a JSON object {"command": "account add", "operands": ["a@b"], "options": {"pop3-delete": "yes"}, "credential":
 * "<base64 of credential_encode>"}; passwords never come here: the command hashes them. An answer is one of the documents of
 * cli/render.h; every refusal is {"error", "mend"} with exit code 1.
 *
 * A request may bring more: "schedule", an object destination -> sentence, from the role queue, is what `queue why` says of the moment.
 *
 * `store backup NAME` writes into backups/NAME of the data folder, which is all that the store role can reach; an absolute path
 * works only without a loop (on a stopped server). The option "data" is the data folder's path as the answer shall show it.
 */
#ifndef POSTHORN_ROLES_ADMIN_H
#define POSTHORN_ROLES_ADMIN_H

#include "ipc/records.h"
#include "store/schema.h"
#include "sys/disk.h"
#include "sys/loop.h"

struct admin;

typedef void admin_done_fn(void *arg, int exit_code, struct str json);

/*
 * store borrowed. disk borrowed: what the store was opened on; NULL: no backups. loop borrowed; NULL: the caller
 * polls the store (admin_run_wait), no server runs. Removals that an earlier run left unfinished go on.
 */
struct admin *admin_new(struct store *store, struct disk *disk, struct loop *loop);
/*
 * Keys that sign mail are made by somebody else: the role keys, or the command itself on a stopped server. make is asked with a number and
 * what the private half is to be sealed for (borrowed for the call); the owner answers with admin_key_made, once, maybe before make returns.
 * Without ops no key can be made, and commands that need one say so.
 */
struct admin_keys_ops {
	void (*make)(void *arg, uint64_t ask, uint8_t algorithm, struct str context);
};
/* ops borrowed. */
void admin_set_keys(struct admin *a, const struct admin_keys_ops *ops, void *arg);
/* sealed and public are borrowed for the call. An ask that is not open any more is passed over. */
void admin_key_made(struct admin *a, uint64_t ask, bool is_ok, struct str sealed, struct str public);
/* Who makes keys is gone: all that was asked has failed. */
void admin_keys_lost(struct admin *a);

/* A message in the queue that a command changed, durable. gone empty: it is as the store has it now; else nothing of it is left for that destination. */
typedef void admin_queue_changed_fn(void *arg, struct queue_id id, struct str gone);
void admin_set_queue_changed(struct admin *a, admin_queue_changed_fn *fn, void *arg);

/* Instead of the loop's clock, or the system's. Borrowed. */
void admin_set_clock(struct admin *a, const struct clock *clock);

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
