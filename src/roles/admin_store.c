/* Commands on the store itself. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/enc.h"
#include "roles/admin_internal.h"
#include "store/embedded/embedded.h"

#define BACKUPS_FOLDER "backups"

void
admin_store_stats(struct admin_job *j)
{
	(void)buf_put(&j->out, STR("{\"fields\":"));
	(void)store_stats(j->admin->store, &j->out);
	(void)buf_put_c(&j->out, '}');
	admin_job_answer(j, 0);
}

static void
backup_answer(struct admin_job *j, uint64_t bytes, enum status st)
{
	if (st != ST_OK) {
		(void)buf_putf(&j->why, "the backup failed (%s); what is in its folder is not whole: remove it", status_word(st));
		admin_job_end(j, st);
		return;
	}
	buf_reset(&j->out);
	(void)buf_put(&j->out, STR("{\"message\":\"The backup is whole.\",\"fields\":{\"folder\":"));
	(void)json_put_str(&j->out, str_of_c(j->backup_shown));
	(void)buf_putf(&j->out, ",\"mail_bytes\":%llu}}", (unsigned long long)bytes);
	admin_job_answer(j, 0);
}

static void
backup_progress(void *arg, uint64_t bytes, uint64_t bytes_all, bool is_done, enum status st)
{
	struct admin_backup *b = arg;

	(void)bytes_all;
	if (!is_done)
		return;
	if (b->job != NULL) {
		b->job->backup = NULL;
		backup_answer(b->job, bytes, st);
	}
	free(b);
}

/* Of a folder below backups/: nothing that leads anywhere else. */
static bool
name_is_ok(struct str name)
{
	if (name.n == 0 || name.n > ADMIN_BACKUP_NAME_BYTES_MAX || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!char_is_alnum(name.p[i]) && name.p[i] != '-' && name.p[i] != '_' && name.p[i] != '.')
			return false;
	return true;
}

/* path as this process sees it, j->backup_shown as the person does. */
static enum status
backup_path(struct admin_job *j, char *path, size_t path_n)
{
	const char *root = disk_root(j->admin->disk), *shown = admin_option(j, "data");
	struct str name = j->operands[0];
	int n;

	if (name.p[0] == '/') {
		n = snprintf(path, path_n, "%.*s", STR_ARG(name));
		(void)snprintf(j->backup_shown, sizeof(j->backup_shown), "%.*s", STR_ARG(name));
		return n > 0 && (size_t)n < path_n ? ST_OK : ST_LIMIT;
	}
	n = snprintf(path, path_n, "%s/" BACKUPS_FOLDER "/%.*s", root, STR_ARG(name));
	if (n < 0 || (size_t)n >= path_n)
		return ST_LIMIT;
	if (shown == NULL || strlen(shown) > ADMIN_OPERAND_BYTES_MAX)
		shown = root;
	(void)snprintf(j->backup_shown, sizeof(j->backup_shown), "%s/" BACKUPS_FOLDER "/%.*s", shown, STR_ARG(name));
	return j->admin->disk->ops->mkdir(j->admin->disk, BACKUPS_FOLDER);
}

static enum status
backup_start(struct admin_job *j)
{
	struct admin_backup *b;
	char path[4096];
	enum status st = backup_path(j, path, sizeof(path));

	if (st != ST_OK)
		return st;
	b = calloc(1, sizeof(*b));
	CHECK(b != NULL);
	b->job = j;
	st = embedded_backup(j->admin->store, path, backup_progress, b);
	if (st == ST_OK)
		j->backup = b;
	else
		free(b);
	return st;
}

void
admin_store_backup(struct admin_job *j)
{
	struct str name = j->operands[0];
	bool is_path = name.p[0] == '/';
	enum status st;

	if (j->admin->disk == NULL || disk_root(j->admin->disk) == NULL) {
		admin_job_refuse(j, "this store cannot be backed up", "Only a store on a disk can.");
		return;
	}
	if (is_path && j->admin->loop != NULL) {
		admin_job_refuse(j, "the running server can write into its data folder only",
		    "Give a name instead of a path: the backup then stands in backups/NAME of the data folder. Or stop the server first.");
		return;
	}
	if (!is_path && !name_is_ok(name)) {
		admin_job_refuse(j, "this is neither a name nor an absolute path",
		    "A name is up to 100 letters, digits, '-', '_' and '.'; the backup then stands in backups/NAME of the data folder.");
		return;
	}
	st = backup_start(j);
	if (st == ST_EXISTS)
		(void)buf_put(&j->why, STR("a backup is being made already, or that folder is not empty"));
	else if (st != ST_OK)
		(void)buf_put(&j->why, STR("the backup cannot be written there"));
	if (st != ST_OK)
		admin_job_end(j, st);
}
