/* Commands on the store as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/civil.h"
#include "cli/cmd.h"
#include "cli/control.h"
#include "roles/parent.h"
#include "store/embedded/embedded.h"

enum { REPORT_BYTES_MAX = 1 << 20, PATH_BYTES = PATH_MAX + 128 };

/* False: said so. */
static bool
server_is_stopped(const struct cmd *c)
{
	if (!control_is_up(c->control_path))
		return true;
	(void)cmd_fail(c, EXIT_CODE_FAILED, "the server is running", "`posthorn stop` stops it.");
	return false;
}

/* ---- stats and backup: where the store is open ---- */

/* The store's user can hardly make a folder where root wants it: root makes it. */
static void
backup_folder_make(struct cmd *c)
{
	struct str folder = c->args->operands[0];
	uid_t uid = role_uid(&c->config->roles, ROLE_STORE);
	char path[PATH_MAX];

	if (geteuid() != 0 || folder.p[0] != '/' || folder.n >= sizeof(path) || control_is_up(c->control_path))
		return;
	(void)snprintf(path, sizeof(path), "%.*s", STR_ARG(folder));
	if (mkdir(path, 0700) == 0 && lchown(path, uid, uid) != 0)
		(void)rmdir(path);
}

static int
store_request(struct cmd *c)
{
	bool is_backup = c->args->command->id == CMD_STORE_BACKUP;
	json_t *request = cmd_request_new(c, c->args->command->words);
	struct reply r;

	if (is_backup && !cmd_config(c)) {
		json_decref(request);
		return EXIT_CODE_FAILED;
	}
	if (is_backup) {
		backup_folder_make(c);
		(void)json_object_set_new(json_object_get(request, "options"), "data", json_string(c->data_path));
	}
	if (cmd_request(c, request, is_backup ? 0 : CONTROL_PATIENCE_MS, &r))
		r.exit_code = cmd_answer(c, r.exit_code, buf_str(&r.json));
	reply_fini(&r);
	return r.exit_code;
}

/* ---- check ---- */

/* Lines of the report as rows; the last one counts. */
static json_t *
report_doc(struct str report, enum status st)
{
	json_t *doc = json_object(), *rows = json_array();
	struct str line = STR_NULL, rest = str_trim(report);

	while (rest.n > 0 && str_split(rest, '\n', &line, &rest))
		(void)json_array_append_new(rows, json_pack("{s:s%}", "details", line.n > 0 ? line.p : "", line.n));
	(void)json_object_set_new(doc, "message", json_stringn(line.n > 0 ? line.p : "", line.n));
	if (json_array_size(rows) > 0)
		(void)json_object_set(doc, "rows", rows);
	json_decref(rows);
	if (st != ST_OK) {
		(void)json_object_set_new(doc, "error", json_string("the store is damaged or cannot be read"));
		(void)json_object_set_new(doc, "mend",
		    json_string("`posthorn store restore FOLDER` puts a backup in its place and keeps what is there; look at the disk first."));
	}
	return doc;
}

static int
store_check(struct cmd *c)
{
	struct embedded_options o;
	struct rec_settings settings;
	struct disk *disk;
	struct clock clock;
	struct buf report;
	const char *root;
	int code = EXIT_CODE_FAILED;
	enum status st;

	if (!server_is_stopped(c) || !cmd_config(c))
		return code;
	if (access(c->data_path, F_OK) != 0 && errno == ENOENT)
		return cmd_fail(c, code, "there is no store here yet", "`posthorn serve` makes it.");
	root = direct_become(c);
	if (root == NULL || disk_posix_new(root, &disk) != ST_OK)
		return root == NULL ? code : cmd_fail(c, code, "the data folder cannot be opened", "Run it as the user who runs the server.");
	clock_init_system(&clock);
	direct_settings(c, &settings);
	admin_store_options(&settings, disk, &clock, &o);
	buf_init(&report, REPORT_BYTES_MAX);
	st = embedded_check(&o, &report);
	code = cmd_answer_doc(c, st == ST_OK ? EXIT_CODE_OK : EXIT_CODE_FAILED, report_doc(buf_str(&report), st));
	buf_fini(&report);
	disk_free(&disk);
	return code;
}

/* ---- restore ---- */

struct restore {
	struct cmd *c;
	char from[PATH_BYTES], fresh[PATH_BYTES], kept[PATH_BYTES];
	int lock_fd;
};

static int
restore_fail(const struct restore *r, const char *what, const char *mend)
{
	char error[PATH_BYTES + 256];

	(void)snprintf(error, sizeof(error), "%s: %s", what, strerror(errno));
	return cmd_fail(r->c, EXIT_CODE_FAILED, error, mend);
}

/* A name is one of the backups that a running server made. */
static bool
restore_paths(struct restore *r)
{
	struct cmd *c = r->c;
	struct str from = c->args->operands[0];
	char path[PATH_BYTES];
	time_t now = time(NULL);
	struct civil day = civil_from_days(now / 86400);

	if (str_find_char(from, '/') < from.n)
		(void)snprintf(path, sizeof(path), "%.*s", STR_ARG(from));
	else
		(void)snprintf(path, sizeof(path), "%s/backups/%.*s", c->data_path, STR_ARG(from));
	if (realpath(path, r->from) == NULL) {
		(void)restore_fail(r, "no backup there", "`posthorn store backup` makes one and says where it stands.");
		return false;
	}
	(void)snprintf(r->fresh, sizeof(r->fresh), "%s.new", c->data_path);
	(void)snprintf(r->kept, sizeof(r->kept), "%s.before-%lld%02d%02d-%05ld", c->data_path, (long long)day.year, day.month,
	    day.day, (long)(now % 86400));
	if (access(r->fresh, F_OK) == 0) {
		(void)cmd_fail(c, EXIT_CODE_FAILED, "an earlier restore was interrupted", "Remove the folder STORE.new beside the store and try again.");
		return false;
	}
	return true;
}

/* No other command may have the store meanwhile. */
static bool
restore_lock(struct restore *r)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s/lock", r->c->data_path);
	r->lock_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (r->lock_fd < 0 || flock(r->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	(void)cmd_fail(r->c, EXIT_CODE_FAILED, "another process has the store open", "Try again in a few seconds.");
	return false;
}

/* The store beside the present one. False: said so, and nothing is left of it. */
static bool
restore_fresh(struct restore *r)
{
	struct embedded_options o;
	struct rec_settings settings;
	struct disk *disk;
	struct clock clock;
	struct buf why;
	enum status st = disk_posix_new(r->fresh, &disk);

	if (st != ST_OK)
		return restore_fail(r, "cannot make the new store", "Mend the permissions of the folder above it.") == EXIT_CODE_OK;
	clock_init_system(&clock);
	direct_settings(r->c, &settings);
	admin_store_options(&settings, disk, &clock, &o);
	buf_init(&why, 16384);
	st = embedded_restore(r->from, &o, &why);
	disk_free(&disk);
	if (st != ST_OK) {
		if (why.n == 0)
			(void)buf_putf(&why, "the backup cannot be read or the store not be written (%s)", status_word(st));
		(void)buf_put_c(&why, '\0');
		(void)cmd_fail(r->c, EXIT_CODE_FAILED, why.p, "The store is as it was. Remove the folder STORE.new beside it before trying again.");
		/* Empty when it was no backup at all. */
		(void)rmdir(r->fresh);
	}
	buf_fini(&why);
	return st == ST_OK;
}

static int
restore_swap(struct restore *r)
{
	struct cmd *c = r->c;
	char from[PATH_BYTES + 16], to[PATH_BYTES + 16];
	bool is_kept = rename(c->data_path, r->kept) == 0;

	if (!is_kept && errno != ENOENT)
		return restore_fail(r, "cannot move the present store aside", "The restored one stands beside it as STORE.new: put it in its place by hand.");
	if (rename(r->fresh, c->data_path) != 0) {
		int code = restore_fail(r, "cannot put the restored store in its place", "It stands beside the present one as STORE.new.");

		(void)rename(r->kept, c->data_path);
		return code;
	}
	/* Backups stay where they were. */
	(void)snprintf(from, sizeof(from), "%s/backups", r->kept);
	(void)snprintf(to, sizeof(to), "%s/backups", c->data_path);
	(void)rename(from, to);
	return cmd_answer_doc(c, EXIT_CODE_OK,
	    json_pack("{s:s, s:{s:s, s:s*}}", "message", "The store is restored; `posthorn serve` starts the server with it.", "fields", "from",
		r->from, "former_store", is_kept ? r->kept : NULL));
}

static int
store_restore(struct cmd *c)
{
	struct restore r = {.c = c, .lock_fd = -1};
	int code = EXIT_CODE_FAILED;

	if (!server_is_stopped(c) || !cmd_config(c) || !restore_paths(&r))
		return code;
	if (!cmd_confirm(c, "Put the backup in the place of the store? What is there is kept beside it."))
		return code;
	if (restore_lock(&r) && restore_fresh(&r)) {
		if (geteuid() == 0)
			data_chown(r.fresh, role_uid(&c->config->roles, ROLE_STORE));
		code = restore_swap(&r);
	}
	if (r.lock_fd >= 0)
		close(r.lock_fd);
	return code;
}

int
cmd_store(struct cmd *c)
{
	switch (c->args->command->id) {
	case CMD_STORE_CHECK:
		return store_check(c);
	case CMD_STORE_RESTORE:
		return store_restore(c);
	default:
		return store_request(c);
	}
}
