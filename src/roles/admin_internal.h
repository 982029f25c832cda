/* What the files of the commands share. */
#ifndef POSTHORN_ROLES_ADMIN_INTERNAL_H
#define POSTHORN_ROLES_ADMIN_INTERNAL_H

#include <jansson.h>

#include "directory/directory.h"
#include "roles/admin.h"

enum {
	ADMIN_OPERANDS_MAX = 2,
	ADMIN_OPERAND_BYTES_MAX = 4096,
	ADMIN_JOBS_MAX = 64,	/* as many as the control socket lets through */
	/* Of a list, per turn of the loop: about 0.3 ms, so that nobody's mail waits for it. */
	ADMIN_PAGE = 64,
	/* Of a list in all; nobody reads more, and an answer must fit a record (RECORD_BYTES_MAX). */
	ADMIN_ROWS_MAX = 10000,
	ADMIN_LIST_BYTES_MAX = 1 << 20,
	/* One more row of an alias with all its targets, escaped, still fits. */
	ADMIN_ANSWER_BYTES_MAX = ADMIN_LIST_BYTES_MAX + (1 << 18),
	ADMIN_BACKUP_NAME_BYTES_MAX = 100,
	/* A removal that found the store full tries again. */
	ADMIN_REMOVE_AGAIN_MS = 10 * 1000,
};

struct admin_job;

/* Each has a txn, which is the whole command, or a run, which sees to it that admin_job_end is called. */
struct admin_command {
	const char *words;
	unsigned operands_min;
	store_fn *txn;	/* arg: the job */
	void (*run)(struct admin_job *j);
	const char *done;	/* the sentence after success; {0} and {1} are the operands */
	const char *mend_notfound;
};

extern const struct admin_command admin_commands[];
extern const size_t admin_commands_n;

/* What a backup under way calls back to: it may outlive its job. */
struct admin_backup {
	struct admin_job *job;	/* NULL: gone */
};

/* Where a list stands. */
struct admin_list {
	struct directory_domain_name domain;	/* the one under way or, between two, the last */
	struct directory_address last;		/* entry of the domain; n 0: none yet */
	unsigned kinds;
	size_t rows_n;
	bool is_in_domain, is_one_domain, is_cut;
};

/* A command under way. */
struct admin_job {
	struct admin *admin;
	struct admin_job *prev, *next;
	const struct admin_command *command;
	json_t *request;	/* operands borrow from it */
	struct str operands[ADMIN_OPERANDS_MAX];
	size_t operands_n;
	struct credential credential;
	bool has_credential;
	const char *said;	/* instead of command->done */
	struct buf why;		/* a refusal's sentence */
	struct buf out;		/* the answer */
	struct account_id account;	/* that is being removed */
	bool is_last_step;
	struct admin_list list;
	struct admin_backup *backup;
	char backup_shown[ADMIN_OPERAND_BYTES_MAX + 16 + ADMIN_BACKUP_NAME_BYTES_MAX];
	struct loop_id post, timer;
	admin_done_fn *done;	/* NULL: nobody asked, a removal that an earlier run left */
	void *arg;
};

struct admin {
	struct store *store;
	struct disk *disk;	/* NULL: there is none to put backups on */
	struct loop *loop;	/* NULL: admin_run_wait polls */
	struct admin_job *jobs;
	size_t jobs_n;
	union {
		struct domain domains[ADMIN_PAGE];
		struct directory_entry entries[ADMIN_PAGE];
	} page;
};

/* admin.c: how a command ends. Each calls done, once, and frees the job. */
void admin_job_end(struct admin_job *j, enum status st);
/* With the document in j->out. */
void admin_job_answer(struct admin_job *j, int exit_code);
void admin_job_refuse(struct admin_job *j, const char *error, const char *mend);
void admin_job_free(struct admin_job *j);
/* The sentence with its operands. */
void admin_say(const struct admin_job *j, const char *sentence, struct buf *out);
/* An option of the request; NULL: not given. */
const char *admin_option(const struct admin_job *j, const char *name);

/* admin_directory.c */
enum status admin_domain_add(struct txn *t, void *arg);
enum status admin_domain_remove(struct txn *t, void *arg);
enum status admin_domain_alias(struct txn *t, void *arg);
enum status admin_domain_catch_all(struct txn *t, void *arg);
enum status admin_account_add(struct txn *t, void *arg);
enum status admin_account_password(struct txn *t, void *arg);
enum status admin_alias_add(struct txn *t, void *arg);
enum status admin_alias_remove(struct txn *t, void *arg);
void admin_account_remove(struct admin_job *j);
/* Goes on with the first removal behind `after` that was begun and not ended. */
void admin_removals_resume(struct admin *a, struct account_id after);

/* admin_list.c */
void admin_domain_list(struct admin_job *j);
void admin_account_list(struct admin_job *j);
void admin_alias_list(struct admin_job *j);

/* admin_store.c */
void admin_store_stats(struct admin_job *j);
void admin_store_backup(struct admin_job *j);

/* For admin_removals_resume. NULL: too many commands. */
struct admin_job *admin_job_new(struct admin *a, admin_done_fn *done, void *arg);

#endif
