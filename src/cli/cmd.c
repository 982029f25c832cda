#include "cli/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/demo.h"
#include "cli/quickstart_files.h"
#include "cli/render.h"

bool
cmd_init(struct cmd *c, const struct args *a)
{
	struct str dir = args_dir(a, getenv(ARGS_DIR_ENV));
	char full[PATH_MAX];

	/* The demo never touches a server in earnest by default. */
	if (a->command->id == CMD_DEMO && !a->has[OPT_DIR])
		dir = STR(DEMO_DIR);
	*c = (struct cmd){.args = a, .is_json = a->has[OPT_JSON]};
	if (dir.n >= sizeof(c->dir) || memchr(dir.p, '\0', dir.n) != NULL) {
		(void)cmd_fail(c, EXIT_CODE_USAGE, "the path of --dir is too long", NULL);
		return false;
	}
	(void)snprintf(c->dir, sizeof(c->dir), "%.*s", STR_ARG(dir));
	/* The server names its socket from the real path, so that the same length fits both. */
	if (realpath(c->dir, full) == NULL)
		(void)snprintf(full, sizeof(full), "%s", c->dir);
	(void)snprintf(c->config_path, sizeof(c->config_path), "%s/" QUICKSTART_CONFIG_NAME, c->dir);
	(void)snprintf(c->control_path, sizeof(c->control_path), "%s/control", full);
	return true;
}

void
cmd_fini(struct cmd *c)
{
	config_free(&c->config);
}

int
cmd_answer(const struct cmd *c, int exit_code, struct str json)
{
	struct buf out, err;
	enum status st;

	buf_init(&out, CMD_TEXT_BYTES_MAX);
	buf_init(&err, CMD_TEXT_BYTES_MAX);
	st = c->is_json ? render_json(json, &out, &err) : render_text(json, &out, &err);
	(void)fwrite(out.p, 1, out.n, stdout);
	(void)fflush(stdout);
	(void)fwrite(err.p, 1, err.n, stderr);
	if ((st == ST_SYNTAX || st == ST_LIMIT || ferror(stdout)) && exit_code == EXIT_CODE_OK)
		exit_code = EXIT_CODE_FAILED;
	buf_fini(&out);
	buf_fini(&err);
	return exit_code;
}

int
cmd_answer_doc(const struct cmd *c, int exit_code, json_t *doc)
{
	char *text = json_dumps(doc, JSON_COMPACT);

	CHECK(text != NULL);
	exit_code = cmd_answer(c, exit_code, str_of_c(text));
	explicit_bzero(text, strlen(text));
	free(text);
	json_decref(doc);
	return exit_code;
}

int
cmd_fail(const struct cmd *c, int exit_code, const char *error, const char *mend)
{
	return cmd_answer_doc(c, exit_code, json_pack("{s:s, s:s*}", "error", error, "mend", mend));
}

/* Its lines are for people already, one per mistake. */
static void
config_errors_show(const struct cmd *c, struct str errors)
{
	if (c->is_json)
		(void)cmd_answer_doc(c, EXIT_CODE_FAILED,
		    json_pack("{s:s, s:s%}", "error", "the configuration is not right", "mend", errors.p, errors.n));
	else
		(void)fwrite(errors.p, 1, errors.n, stderr);
}

bool
cmd_config(struct cmd *c)
{
	struct buf errors;
	char mend[PATH_MAX + 128], data[PATH_MAX];
	bool ok;

	if (c->config != NULL)
		return true;
	if (access(c->config_path, F_OK) != 0 && errno == ENOENT) {
		(void)snprintf(mend, sizeof(mend), "`posthorn quickstart ADDRESS --dir %s` makes one; --dir names another folder.", c->dir);
		(void)cmd_fail(c, EXIT_CODE_FAILED, "there is no server in this folder", mend);
		return false;
	}
	buf_init(&errors, CONFIG_ERROR_BYTES_MAX * 2);
	ok = config_load(c->config_path, &c->config, &errors) == ST_OK;
	if (!ok)
		config_errors_show(c, buf_str(&errors));
	buf_fini(&errors);
	if (!ok)
		return false;
	CHECK(c->config != NULL && c->config->data.n < sizeof(data));
	(void)snprintf(data, sizeof(data), "%.*s", STR_ARG(c->config->data));
	if (realpath(data, c->data_path) == NULL)
		(void)snprintf(c->data_path, sizeof(c->data_path), "%s", data);
	return true;
}

bool
cmd_confirm(const struct cmd *c, const char *question)
{
	char line[16];

	if (c->args->has[OPT_YES])
		return true;
	if (!isatty(STDIN_FILENO)) {
		(void)cmd_fail(c, EXIT_CODE_FAILED, "this asks before it goes on, and there is no terminal to ask on", "Add --yes.");
		return false;
	}
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	if (fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y'))
		return true;
	fprintf(stderr, "Nothing was done.\n");
	return false;
}
