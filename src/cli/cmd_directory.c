/* Domains, accounts, aliases: the work is done in roles/admin; here are passwords and questions. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/control.h"

static int
request_show(struct cmd *c, json_t *request, uint64_t timeout_ms)
{
	struct reply r;

	if (cmd_request(c, request, timeout_ms, &r))
		r.exit_code = cmd_answer(c, r.exit_code, buf_str(&r.json));
	reply_fini(&r);
	return r.exit_code;
}

/* A password that was made up is shown with the answer, once. */
static int
password_show(struct cmd *c, const struct reply *r, const struct password *p)
{
	json_t *doc = json_loadb(r->json.n > 0 ? r->json.p : "", r->json.n, 0, NULL);

	if (r->exit_code != EXIT_CODE_OK || !p->is_generated || !json_is_object(doc)) {
		json_decref(doc);
		return cmd_answer(c, r->exit_code, buf_str(&r->json));
	}
	(void)json_object_set_new(doc, "fields", json_pack("{s:s%}", "password", p->text.p, p->text.n));
	return cmd_answer_doc(c, r->exit_code, doc);
}

static int
request_with_password(struct cmd *c, json_t *request)
{
	char whose[ARGS_BYTES_MAX + 1];
	struct password p;
	struct buf credential;
	struct reply r;
	int code = EXIT_CODE_FAILED;

	(void)snprintf(whose, sizeof(whose), "%.*s", STR_ARG(c->args->operands[0]));
	if (!cmd_config(c) || !cmd_password(c, whose, &p)) {
		json_decref(request);
		return code;
	}
	buf_init(&credential, 8192);
	if (cmd_credential(c, &p, &credential)) {
		(void)json_object_set_new(request, "credential", json_stringn(credential.p, credential.n));
		code = cmd_request(c, request, CONTROL_PATIENCE_MS, &r) ? password_show(c, &r, &p) : r.exit_code;
		reply_fini(&r);
	} else {
		json_decref(request);
	}
	if (credential.p != NULL)
		explicit_bzero(credential.p, credential.cap);
	buf_fini(&credential);
	password_fini(&p);
	return code;
}

int
cmd_directory(struct cmd *c)
{
	const struct args *a = c->args;
	char question[ARGS_BYTES_MAX + 64];
	json_t *request;

	if (a->command->id == CMD_ACCOUNT_REMOVE) {
		(void)snprintf(question, sizeof(question), "Remove %.*s and all its mail?", STR_ARG(a->operands[0]));
		if (!cmd_confirm(c, question))
			return EXIT_CODE_FAILED;
	}
	request = cmd_request_new(c, a->command->words);
	if (a->has[OPT_POP3_DELETE])
		(void)json_object_set_new(json_object_get(request, "options"), "pop3-delete",
		    json_stringn(a->values[OPT_POP3_DELETE].p, a->values[OPT_POP3_DELETE].n));
	if (a->command->id == CMD_ACCOUNT_ADD || a->command->id == CMD_ACCOUNT_PASSWORD)
		return request_with_password(c, request);
	/* A large account goes in many transactions. */
	return request_show(c, request, a->command->id == CMD_ACCOUNT_REMOVE ? 0 : CONTROL_PATIENCE_MS);
}
