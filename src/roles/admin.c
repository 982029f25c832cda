#include "roles/admin_internal.h"

#include <poll.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/num.h"
#include "store/embedded/embedded.h"

#define MEND_DOMAIN "`posthorn domain list` shows the domains; `posthorn domain add DOMAIN` makes one."
#define MEND_ACCOUNT "`posthorn account list` shows the accounts."
#define MEND_TRACE "Give a whole address, a Message-ID or an id of `posthorn queue list`; what is older than queue.trace_days is forgotten."
#define MEND_QUEUE "`posthorn queue list` shows what is in the queue."
#define MEND_ALIAS "`posthorn alias list` shows the aliases."

const struct admin_command admin_commands[] = {
    {"domain add", 1, admin_domain_add, admin_domain_add_run,
	"Mail for {0} is received from now on. `posthorn domain dns {0}` shows the records that its DNS needs.", NULL},
    {"domain list", 0, NULL, admin_domain_list, NULL, NULL},
    {"domain remove", 1, admin_domain_remove, NULL, "Mail for {0} is no longer received.", MEND_DOMAIN},
    {"domain alias", 2, admin_domain_alias, admin_domain_alias_run, "Every address of {0} is now the same address of {1}.", MEND_DOMAIN},
    {"domain catch-all", 2, admin_domain_catch_all, NULL, "Mail for addresses of {0} that do not exist goes to {1}.",
	MEND_DOMAIN},
    {"domain keys", 1, admin_domain_keys_txn, admin_domain_keys, "The keys of {0} are made. `posthorn domain dns {0}` shows what its DNS needs.",
	MEND_DOMAIN},
    {"domain dns", 1, NULL, admin_domain_dns, NULL, MEND_DOMAIN},
    {"account add", 1, admin_account_add, NULL, "Account {0} is made.", MEND_DOMAIN},
    {"account list", 0, NULL, admin_account_list, NULL, MEND_DOMAIN},
    {"account remove", 1, NULL, admin_account_remove, "Account {0} and its mail are removed.", MEND_ACCOUNT},
    {"account password", 1, admin_account_password, NULL, "The password of {0} is changed.", MEND_ACCOUNT},
    {"alias add", 2, admin_alias_add, NULL, "Mail for {0} is delivered to {1}.", MEND_DOMAIN},
    {"alias list", 0, NULL, admin_alias_list, NULL, MEND_DOMAIN},
    {"alias remove", 1, admin_alias_remove, NULL, "Alias {0} is removed.", MEND_ALIAS},
    {"queue list", 0, NULL, admin_queue_list, NULL, MEND_QUEUE},
    {"queue show", 1, NULL, admin_queue_show, NULL, MEND_QUEUE},
    {"queue why", 1, NULL, admin_queue_why, NULL, MEND_QUEUE},
    {"queue hold", 0, NULL, admin_queue_hold, NULL, MEND_QUEUE},
    {"queue release", 0, NULL, admin_queue_release, NULL, MEND_QUEUE},
    {"queue retry", 0, NULL, admin_queue_retry, NULL, MEND_QUEUE},
    {"queue remove", 0, NULL, admin_queue_remove, NULL, MEND_QUEUE},
    {"queue expire", 0, NULL, admin_queue_expire, NULL, MEND_QUEUE},
    {"trace", 1, NULL, admin_trace, NULL, MEND_TRACE},
    {"log read", 0, NULL, admin_log_read, NULL, NULL},
    {"store stats", 0, NULL, admin_store_stats, NULL, NULL},
    {"store backup", 1, NULL, admin_store_backup, NULL, NULL},
};
const size_t admin_commands_n = COUNT_OF(admin_commands);

/* ---- jobs ---- */

struct admin_job *
admin_job_new(struct admin *a, admin_done_fn *done, void *arg)
{
	struct admin_job *j;

	if (a->jobs_n == ADMIN_JOBS_MAX)
		return NULL;
	j = calloc(1, sizeof(*j));
	CHECK(j != NULL);
	j->admin = a;
	j->done = done;
	j->arg = arg;
	buf_init(&j->why, DIRECTORY_WHY_BYTES_MAX);
	buf_init(&j->out, ADMIN_ANSWER_BYTES_MAX);
	buf_init(&j->queue.gone, QUEUE_RCPTS_MAX * (8 + 2 + QUEUE_HOST_BYTES_MAX));
	j->next = a->jobs;
	if (j->next != NULL)
		j->next->prev = j;
	a->jobs = j;
	a->jobs_n++;
	return j;
}

void
admin_job_free(struct admin_job *j)
{
	struct admin *a = j->admin;

	if (a->loop != NULL) {
		loop_post_del(a->loop, &j->post);
		loop_timer_del(a->loop, &j->timer);
	}
	if (j->backup != NULL)
		j->backup->job = NULL;
	if (j->prev != NULL)
		j->prev->next = j->next;
	else
		a->jobs = j->next;
	if (j->next != NULL)
		j->next->prev = j->prev;
	a->jobs_n--;
	credential_wipe(&j->credential);
	for (size_t i = 0; i < j->keys.n; i++) {
		buf_fini(&j->keys.key[i].sealed);
		buf_fini(&j->keys.key[i].public);
	}
	free(j->trace.first);
	json_decref(j->request);
	buf_fini(&j->why);
	buf_fini(&j->out);
	buf_fini(&j->queue.gone);
	free(j);
}

struct admin *
admin_new(struct store *store, struct disk *disk, struct loop *loop)
{
	struct admin *a = calloc(1, sizeof(*a));

	CHECK(a != NULL);
	a->store = store;
	a->disk = disk;
	a->loop = loop;
	clock_init_system(&a->clock_system);
	a->clock = loop != NULL ? loop_clock(loop) : &a->clock_system;
	arena_init(&a->arena, ADMIN_ARENA_BYTES);
	admin_removals_resume(a, (struct account_id){0});
	return a;
}

void
admin_free(struct admin **a)
{
	if (*a == NULL)
		return;
	while ((*a)->jobs != NULL)
		admin_job_free((*a)->jobs);
	arena_fini(&(*a)->arena);
	free(*a);
	*a = NULL;
}

void
admin_set_queue_changed(struct admin *a, admin_queue_changed_fn *fn, void *arg)
{
	a->queue_changed = fn;
	a->queue_changed_arg = arg;
}

void
admin_set_clock(struct admin *a, const struct clock *clock)
{
	a->clock = clock;
}

/* ---- answers ---- */

void
admin_say(const struct admin_job *j, const char *sentence, struct buf *out)
{
	for (const char *p = sentence; *p != '\0'; p++) {
		if (p[0] == '{' && (p[1] == '0' || p[1] == '1') && p[2] == '}') {
			(void)buf_put(out, j->operands[p[1] - '0']);
			p += 2;
		} else {
			(void)buf_put_c(out, *p);
		}
	}
}

void
admin_job_answer(struct admin_job *j, int exit_code)
{
	admin_done_fn *done = j->done;

	CHECK(!j->out.full);
	if (done != NULL)
		done(j->arg, exit_code, buf_str(&j->out));
	admin_job_free(j);
}

static void
error_put(struct buf *out, struct str error, const char *mend)
{
	buf_reset(out);
	(void)buf_put(out, STR("{\"error\":"));
	(void)json_put_str(out, error);
	if (mend != NULL) {
		(void)buf_put(out, STR(",\"mend\":"));
		(void)json_put_str(out, str_of_c(mend));
	}
	(void)buf_put_c(out, '}');
}

void
admin_job_refuse(struct admin_job *j, const char *error, const char *mend)
{
	error_put(&j->out, str_of_c(error), mend);
	admin_job_answer(j, 1);
}

static const char *
mend_of(const struct admin_job *j, enum status st)
{
	switch (st) {
	case ST_NOTFOUND:
		return j->command->mend_notfound;
	case ST_SYNTAX:
		return "An address looks like me@example.org, a domain like example.org.";
	case ST_EXISTS:
		return "Use the one that is there, remove it first, or choose another name.";
	case ST_DENIED:
		return "`posthorn domain list`, `posthorn account list` and `posthorn alias list` show what there is.";
	case ST_LIMIT:
		return store_is_full(j->admin->store) ? "Make room on the disk; `posthorn store stats` shows how much is free."
						      : "Use fewer or shorter ones.";
	case ST_CONFLICT:
	case ST_TIMEOUT:
		return "Try again.";
	case ST_IO:
		return "Look into the server's log; stop the server and run `posthorn store check`.";
	case ST_OK:
	case ST_MORE:
	case ST_EOF:
	case ST_NOMEM:
	case ST_UNSUPPORTED:
		break;
	}
	return "Look into the server's log.";
}

/* When nobody further down has said more. */
static const char *
error_of(const struct admin_job *j, enum status st)
{
	switch (st) {
	case ST_NOTFOUND:
		return "there is no such name";
	case ST_LIMIT:
		return store_is_full(j->admin->store) ? "the disk is too full to take changes" : "this is more than a limit allows";
	case ST_CONFLICT:
		return "something else changed it at the same time";
	case ST_IO:
		return "the store cannot be read or written";
	case ST_SYNTAX:
		return "this is no such name";
	case ST_EXISTS:
		return "it exists already";
	case ST_DENIED:
		return "this is not possible now";
	case ST_OK:
	case ST_MORE:
	case ST_EOF:
	case ST_TIMEOUT:
	case ST_NOMEM:
	case ST_UNSUPPORTED:
		break;
	}
	return "this did not work";
}

void
admin_job_end(struct admin_job *j, enum status st)
{
	struct buf text;

	buf_init(&text, 4 * ADMIN_OPERAND_BYTES_MAX);
	if (st == ST_OK) {
		admin_say(j, j->said != NULL ? j->said : j->command->done, &text);
		buf_reset(&j->out);
		(void)buf_put(&j->out, STR("{\"message\":"));
		(void)json_put_str(&j->out, buf_str(&text));
		(void)buf_put_c(&j->out, '}');
	} else {
		(void)buf_put(&text, j->why.n > 0 ? buf_str(&j->why) : str_of_c(error_of(j, st)));
		error_put(&j->out, buf_str(&text), mend_of(j, st));
	}
	buf_fini(&text);
	admin_job_answer(j, st == ST_OK ? 0 : 1);
}

/* ---- a command that is one transaction ---- */

static enum status
job_txn(struct txn *t, void *arg)
{
	struct admin_job *j = arg;

	/* It may be run again. */
	buf_reset(&j->why);
	j->said = NULL;
	return j->command->txn(t, j);
}

static void
job_done(void *arg, enum status st)
{
	admin_job_end(arg, st);
}

void
admin_job_transact(struct admin_job *j)
{
	enum status st = store_transact(j->admin->store, job_txn, j, job_done, j);

	if (st != ST_OK)
		admin_job_end(j, st);
}

static void
job_start(struct admin_job *j)
{
	if (j->command->run != NULL)
		j->command->run(j);
	else
		admin_job_transact(j);
}

/* ---- requests ---- */

const char *
admin_option(const struct admin_job *j, const char *name)
{
	return json_string_value(json_object_get(json_object_get(j->request, "options"), name));
}

static const struct admin_command *
command_find(const char *words)
{
	for (size_t i = 0; words != NULL && i < admin_commands_n; i++)
		if (strcmp(words, admin_commands[i].words) == 0)
			return &admin_commands[i];
	return NULL;
}

static bool
operands_take(struct admin_job *j)
{
	const json_t *operands = json_object_get(j->request, "operands");

	j->operands_n = json_array_size(operands);
	if (j->operands_n < j->command->operands_min || j->operands_n > ADMIN_OPERANDS_MAX)
		return false;
	for (size_t i = 0; i < j->operands_n; i++) {
		const json_t *v = json_array_get(operands, i);

		j->operands[i] = str_of(json_string_value(v), json_string_length(v));
		if (!json_is_string(v) || j->operands[i].n == 0 || j->operands[i].n > ADMIN_OPERAND_BYTES_MAX)
			return false;
	}
	return true;
}

static bool
credential_take(struct admin_job *j)
{
	const json_t *v = json_object_get(j->request, "credential");
	struct buf record;

	if (v == NULL)
		return true;
	buf_init(&record, 4096);
	j->has_credential = json_is_string(v) &&
			    base64_decode(str_of(json_string_value(v), json_string_length(v)), &record) == ST_OK &&
			    credential_decode(buf_str(&record), &j->credential) == ST_OK;
	if (record.p != NULL)
		explicit_bzero(record.p, record.cap);
	buf_fini(&record);
	return j->has_credential;
}

static bool
request_take(struct admin_job *j, struct str request_json)
{
	j->request = json_loadb(request_json.n > 0 ? request_json.p : "", request_json.n, JSON_REJECT_DUPLICATES, NULL);
	j->command = command_find(json_string_value(json_object_get(j->request, "command")));
	return j->command != NULL && operands_take(j) && credential_take(j);
}

void
admin_run(struct admin *a, struct str request_json, admin_done_fn *done, void *arg)
{
	struct admin_job *j = admin_job_new(a, done, arg);

	if (j == NULL)
		done(arg, 1, STR("{\"error\":\"too many commands at once\",\"mend\":\"Try again.\"}"));
	else if (request_take(j, request_json))
		job_start(j);
	else
		admin_job_refuse(j, "the server does not understand this command",
		    "The command and the server must be of the same version; `posthorn --help` names the commands.");
}

/* ---- without a loop ---- */

struct waiting {
	admin_done_fn *done;
	void *arg;
	bool is_done;
};

static void
waiting_done(void *arg, int exit_code, struct str json)
{
	struct waiting *w = arg;

	w->is_done = true;
	w->done(w->arg, exit_code, json);
}

void
admin_run_wait(struct admin *a, struct str request_json, admin_done_fn *done, void *arg)
{
	struct waiting w = {.done = done, .arg = arg};

	CHECK(a->loop == NULL);
	admin_run(a, request_json, waiting_done, &w);
	while (!w.is_done) {
		struct pollfd p = {.fd = store_fd(a->store), .events = POLLIN};

		store_flush(a->store);
		if (!w.is_done)
			(void)poll(&p, p.fd >= 0 ? 1 : 0, p.fd >= 0 ? 1000 : 1);
		if (store_poll(a->store) == ST_OK || w.is_done)
			continue;
		/* No done function comes any more: the job must not be found by one. */
		for (struct admin_job *j = a->jobs; j != NULL; j = j->next)
			j->done = NULL;
		done(arg, 1,
		    STR("{\"error\":\"the disk failed\",\"mend\":\"Look at the disk; the change may or may not have been made.\"}"));
		return;
	}
}

/* ---- the store ---- */

enum status
admin_store_open(const struct rec_settings *s, const char *data_root, const struct clock *clock, struct disk **disk_out,
    struct store **store_out, struct buf *why)
{
	struct embedded_options o;
	enum status st = disk_posix_new(data_root, disk_out);

	*store_out = NULL;
	if (st != ST_OK) {
		*disk_out = NULL;
		(void)buf_put(why, STR("the data folder cannot be opened"));
		return st;
	}
	admin_store_options(s, *disk_out, clock, &o);
	st = embedded_open(&o, store_out, why);
	if (st != ST_OK)
		disk_free(disk_out);
	return st;
}

void
admin_store_options(const struct rec_settings *s, struct disk *disk, const struct clock *clock, struct embedded_options *out)
{
	embedded_options_init(out, disk, clock);
	out->ring_segment_bytes = s->ring_segment_bytes / (2 * DISK_ALIGN) * (2 * DISK_ALIGN);
	/* A segment holds at least two groups. */
	out->group_bytes_max = size_min(out->group_bytes_max, (size_t)(out->ring_segment_bytes / 2));
	out->ring_segments_max = s->ring_segments_max;
	if (out->ring_segments_first > s->ring_segments_max)
		out->ring_segments_first = s->ring_segments_max;
	out->free_floor_bytes = s->free_floor_bytes;
	out->free_floor_percent = s->free_floor_percent;
	out->checkpoint_interval_ms = s->checkpoint_ms;
	out->checkpoint_log_bytes = s->checkpoint_bytes;
	out->archive_level = s->archive_level;
	out->threaded = true;
}
