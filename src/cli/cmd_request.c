/* A command on the store: through the control socket when a server runs, else by opening the store. */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/cmd.h"
#include "cli/control.h"
#include "directory/directory.h"
#include "roles/parent.h"

void
reply_fini(struct reply *r)
{
	if (r->json.p != NULL)
		explicit_bzero(r->json.p, r->json.cap);
	buf_fini(&r->json);
}

json_t *
cmd_request_new(const struct cmd *c, const char *command)
{
	json_t *operands = json_array();

	for (size_t i = 0; i < c->args->operand_count; i++) {
		/* What is not UTF-8 names nothing we have; the server then says so. */
		json_t *v = json_stringn(c->args->operands[i].p, c->args->operands[i].n);

		(void)json_array_append_new(operands, v != NULL ? v : json_string("?"));
	}
	return json_pack("{s:s, s:o, s:{}}", "command", command, "operands", operands, "options");
}

/* ---- directly ---- */

void
direct_settings(const struct cmd *c, struct rec_settings *out)
{
	*out = (struct rec_settings){.role = ROLE_STORE};
	settings_store(out, &c->config->store);
}

/* The folders above the data may be closed to the store's user: so it is entered first. */
static bool
become(const char *data, uid_t uid)
{
	return chdir(data) == 0 && setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0;
}

const char *
direct_become(struct cmd *c)
{
	uid_t uid = role_uid(&c->config->roles, ROLE_STORE);

	if (geteuid() != 0 || access(c->data_path, F_OK) != 0)
		return c->data_path;
	data_chown(c->data_path, uid);
	if (become(c->data_path, uid))
		return ".";
	(void)cmd_fail(c, EXIT_CODE_FAILED, "cannot become the user of the store", strerror(errno));
	return NULL;
}

static enum status
directory_init_txn(struct txn *t, void *arg)
{
	(void)arg;
	return directory_init(t);
}

static const char *
mend_of(enum status st)
{
	switch (st) {
	case ST_EXISTS:
		return "The server may be starting or stopping, or another command is at work: try again in a few seconds.";
	case ST_UNSUPPORTED:
		return "The data was written by another version of posthorn: run that one.";
	case ST_LIMIT:
		return "Make room on the disk.";
	case ST_IO:
	case ST_DENIED:
	case ST_NOTFOUND:
		return "Run it as the user who runs the server; `posthorn store check` looks for damage.";
	case ST_OK:
	case ST_MORE:
	case ST_EOF:
	case ST_SYNTAX:
	case ST_CONFLICT:
	case ST_TIMEOUT:
	case ST_NOMEM:
		break;
	}
	return NULL;
}

bool
direct_open(struct cmd *c, bool is_fresh, struct direct *out)
{
	struct rec_settings settings;
	struct buf why;
	const char *root;
	enum status st;

	*out = (struct direct){.disk = NULL};
	if (!cmd_config(c))
		return false;
	direct_keys_open(c, out);
	root = is_fresh ? c->data_path : direct_become(c);
	if (root == NULL)
		return false;
	clock_init_system(&out->clock);
	direct_settings(c, &settings);
	buf_init(&why, 16384);
	st = admin_store_open(&settings, root, &out->clock, &out->disk, &out->store, &why);
	if (st == ST_OK)
		st = store_transact_wait(out->store, directory_init_txn, NULL);
	if (st == ST_OK) {
		out->admin = admin_new(out->store, out->disk, NULL);
		direct_keys_use(out);
	} else {
		if (why.n == 0)
			(void)buf_putf(&why, "the store cannot be opened (%s)", status_word(st));
		(void)buf_put_c(&why, '\0');
		(void)cmd_fail(c, EXIT_CODE_FAILED, why.p, mend_of(st));
		direct_close(out);
	}
	buf_fini(&why);
	return st == ST_OK;
}

void
direct_close(struct direct *d)
{
	admin_free(&d->admin);
	direct_keys_close(d);
	if (d->store != NULL)
		store_close(&d->store);
	if (d->disk != NULL)
		disk_free(&d->disk);
}

static void
direct_done(void *arg, int exit_code, struct str json)
{
	struct reply *r = arg;

	r->exit_code = exit_code;
	(void)buf_put(&r->json, json);
}

void
direct_run(struct direct *d, const json_t *request, struct reply *out)
{
	char *text = json_dumps(request, JSON_COMPACT);

	CHECK(text != NULL);
	buf_reset(&out->json);
	admin_run_wait(d->admin, str_of_c(text), direct_done, out);
	explicit_bzero(text, strlen(text));
	free(text);
}

/* ---- either ---- */

static bool
asked_badly(struct cmd *c, enum status st, struct reply *out)
{
	out->exit_code = EXIT_CODE_UNREACHABLE;
	switch (st) {
	case ST_DENIED:
		(void)cmd_fail(c, out->exit_code, "the server's control socket is not for this user",
		    "Run it as the user who started the server.");
		break;
	case ST_TIMEOUT:
		(void)cmd_fail(c, out->exit_code, "the server does not answer", "`posthorn status` shows what is up; the log says more.");
		break;
	default:
		(void)cmd_fail(c, out->exit_code, "the server ended before it answered; the command may or may not have been carried out",
		    "Look with the matching `list` command before trying again.");
		break;
	}
	return false;
}

bool
cmd_request(struct cmd *c, json_t *request, uint64_t timeout_ms, struct reply *out)
{
	struct direct d;
	char *text = json_dumps(request, JSON_COMPACT);
	bool ok = true;
	enum status st;

	CHECK(text != NULL);
	*out = (struct reply){.exit_code = EXIT_CODE_FAILED};
	buf_init(&out->json, CMD_ANSWER_BYTES_MAX);
	st = control_ask(c->control_path, str_of_c(text), timeout_ms, &out->exit_code, &out->json);
	explicit_bzero(text, strlen(text));
	free(text);
	if (st == ST_NOTFOUND && c->args->command->place == COMMAND_RUNNING) {
		out->exit_code = EXIT_CODE_UNREACHABLE;
		ok = cmd_fail(c, out->exit_code, "no server runs here", "`posthorn serve` starts it; --dir names another folder.") == EXIT_CODE_OK;
	} else if (st == ST_NOTFOUND) {
		out->exit_code = EXIT_CODE_FAILED;
		ok = direct_open(c, false, &d);
		if (ok) {
			direct_run(&d, request, out);
			direct_close(&d);
		}
	} else if (st != ST_OK) {
		ok = asked_badly(c, st, out);
	}
	json_decref(request);
	return ok;
}
