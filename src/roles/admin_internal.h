/* What the files of the commands share. */
#ifndef POSTHORN_ROLES_ADMIN_INTERNAL_H
#define POSTHORN_ROLES_ADMIN_INTERNAL_H

#include <jansson.h>

#include "directory/directory.h"
#include "directory/dkim.h"
#include "flow/queue/queue.h"
#include "flow/report/event.h"
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
	/* Of the queue, per turn of the loop and per transaction: messages looked at, and recipients after which no further message is begun. With
	   the 1,000 of one message, at 2 KB each and as many of them again for the events, this is far below what a transaction may hold. */
	ADMIN_QUEUE_PAGE = 64,
	ADMIN_QUEUE_RCPTS = 256,
	/* A store that does not keep up is asked again. */
	ADMIN_BUSY_AGAIN_MS = 20,
	/* Of one trace: a message's first event and what became of its recipients; of `trace` in all, and of one `log read`. */
	ADMIN_TRACE_EVENTS_MAX = 200,
	ADMIN_TRACES_MAX = 1000,
	ADMIN_LOG_EVENTS_MAX = 100,
	ADMIN_ARENA_BYTES = 2 * QUEUE_ARENA_BYTES,	/* an order reads a message twice */
	ADMIN_KEYS_MAX = 2,	/* one for each algorithm */
	/* A removal that found the store full tries again. */
	ADMIN_REMOVE_AGAIN_MS = 10 * 1000,
};

struct admin_job;

/* Each has a txn, which is the whole command, or a run, which sees to it that admin_job_end is called, maybe by admin_job_transact. */
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

/* A page. ST_OK: there is more; ST_EOF: that was all. */
typedef enum status admin_step_fn(struct admin_job *j);

/* Where a list stands. */
struct admin_list {
	admin_step_fn *step;
	const char *hint;			/* what to do when it is cut; NULL: nothing */
	struct directory_domain_name domain;	/* the one under way or, between two, the last */
	struct directory_address last;		/* entry of the domain; n 0: none yet */
	unsigned kinds;
	size_t rows_n;
	bool is_in_domain, is_one_domain, is_cut;
};

/* A key that is being made. */
struct admin_key {
	uint64_t ask;
	uint8_t algorithm;
	enum admin_key_state { ADMIN_KEY_ASKED, ADMIN_KEY_MADE, ADMIN_KEY_FAILED } state;
	uint8_t selector_n;
	char selector[DIRECTORY_DKIM_SELECTOR_BYTES_MAX];
	struct buf sealed, public;
};

struct admin_keys {
	struct admin_key key[ADMIN_KEYS_MAX];
	size_t n;
	bool is_asking;	/* answers that come meanwhile are looked at afterwards */
};

/* Which messages in the queue, and where a walk through them stands. */
struct admin_queue {
	/* the filter; empty: any */
	struct queue_id id;			/* 0: any */
	uint16_t destination_n;
	char destination[QUEUE_HOST_BYTES_MAX];	/* in normal form */
	struct str sender, address;		/* address: of the sender or of a recipient */
	bool is_sender_asked, is_held_only;
	struct queue_id after;
	size_t found_n;
	/* an order */
	enum queue_order order;
	struct queue_id page[ADMIN_QUEUE_PAGE];
	size_t page_changed[ADMIN_QUEUE_PAGE];
	size_t page_n;
	struct buf gone;	/* of the page: le64 id, str16 destination, where nothing is left */
	bool is_last_page;
	uint64_t messages_n, rcpts_n;
};

struct admin_trace {
	uint64_t *first;	/* ids of first events, by malloc */
	size_t n, at;
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
	struct admin_keys keys;
	struct admin_queue queue;
	struct admin_trace trace;
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
	const struct clock *clock;
	struct clock clock_system;
	const struct admin_keys_ops *keys_ops;	/* NULL: nobody makes keys */
	void *keys_arg;
	uint64_t keys_asked_n;
	admin_queue_changed_fn *queue_changed;	/* NULL: nobody wants to know */
	void *queue_changed_arg;
	struct arena arena;	/* for one message, or one trace, at a time */
	struct event events[ADMIN_TRACE_EVENTS_MAX];
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
/* The command's own transaction, then admin_job_end. */
void admin_job_transact(struct admin_job *j);
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

/* admin_list.c: a document with one array, made page after page. opening: up to and with its "[". */
void admin_list_open(struct admin_job *j, const char *opening, admin_step_fn *step);
/* Before an element. ST_EOF: no more fit. */
enum status admin_row_begin(struct admin_job *j) MUST_USE;
void admin_list_turn(void *job);
void admin_domain_list(struct admin_job *j);
void admin_account_list(struct admin_job *j);
void admin_alias_list(struct admin_job *j);

/* admin_store.c */
void admin_store_stats(struct admin_job *j);
void admin_store_backup(struct admin_job *j);

/* admin_keys.c */
void admin_domain_add_run(struct admin_job *j);
void admin_domain_alias_run(struct admin_job *j);
void admin_domain_keys(struct admin_job *j);
/* What was made, into the transaction that needs it. */
enum status admin_keys_put(struct txn *t, struct admin_job *j) MUST_USE;
enum status admin_domain_keys_txn(struct txn *t, void *arg);

/* admin_dns.c */
void admin_domain_dns(struct admin_job *j);

/* admin_queue.c */
void admin_queue_list(struct admin_job *j);
void admin_queue_show(struct admin_job *j);
void admin_queue_why(struct admin_job *j);
/* Takes the filter from operand and options. False: refused, the job is gone. */
bool admin_queue_filter_take(struct admin_job *j, bool is_needed);
/*
 * The next messages of the walk: up to max of those that the filter lets through, each given to visit with what it has left. ST_EOF: that was
 * all. What visit gets is in the admin's arena until it returns. ST_LIMIT from visit: this one not, and no more now.
 */
struct admin_queued {
	struct queue_message m;
	struct queue_rcpt *rcpts;
	size_t rcpts_n;
};
/* Does the filter let it through? */
bool admin_queue_is_wanted(const struct admin_job *j, const struct admin_queued *q);
typedef enum status admin_queued_fn(struct admin_job *j, const struct admin_queued *q);
enum status admin_queue_walk(struct admin_job *j, admin_queued_fn *visit) MUST_USE;
/* ST_NOTFOUND. */
enum status admin_queued_load(struct txn *t, struct queue_id id, struct arena *a, struct admin_queued *out) MUST_USE;

/* admin_order.c */
void admin_queue_hold(struct admin_job *j);
void admin_queue_release(struct admin_job *j);
void admin_queue_retry(struct admin_job *j);
void admin_queue_remove(struct admin_job *j);
void admin_queue_expire(struct admin_job *j);

/* admin_trace.c */
void admin_trace(struct admin_job *j);
void admin_log_read(struct admin_job *j);

/* admin_text.c: appended to out. */
uint64_t admin_now_ms(const struct admin *a);
/* "1A2B"; a number that names a message in the queue. */
void admin_queue_id_put(struct buf *out, struct queue_id id);
/* Either case, 1 to 16 digits, not 0. */
bool admin_queue_id_parse(struct str text, struct queue_id *out) MUST_USE;
/* "2026-11-25", "14:03:22", and both as RFC 3339 has them (with T and Z). UTC. */
void admin_date_put(struct buf *out, uint64_t ms);
void admin_time_put(struct buf *out, uint64_t ms);
void admin_stamp_put(struct buf *out, uint64_t ms);
/* "5.1 KB" */
void admin_size_put(struct buf *out, uint64_t bytes);
/* "45 s", "12 min", "3 h", "2 days" */
void admin_age_put(struct buf *out, uint64_t ms);
/* "mx.b.example: 451 4.7.1 try later", or what of it is known. */
void admin_reply_put(struct buf *out, struct str host, uint16_t code, const uint16_t enhanced[3], struct str text);
/* A member of an object, with its comma when it is not the first: a string, or null when it is empty. */
void admin_member_put(struct buf *out, const char *name, struct str value);
void admin_member_stamp_put(struct buf *out, const char *name, uint64_t ms);
/* The null path is shown as "<>". */
struct str admin_path_shown(struct str path);

/* For admin_removals_resume. NULL: too many commands. */
struct admin_job *admin_job_new(struct admin *a, admin_done_fn *done, void *arg);

#endif
