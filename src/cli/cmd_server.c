/* Commands about the processes. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/control.h"
#include "roles/certificates.h"
#include "roles/parent.h"

int
cmd_serve(struct cmd *c)
{
	struct parent_options o = {.config_path = c->config_path, .is_single = c->args->has[OPT_SINGLE]};

	/* Says it better than the parent would when there is no server here. */
	if (!cmd_config(c))
		return EXIT_CODE_FAILED;
	return parent_main(&o);
}

/* What is wrong with a configuration comes as lines; an answer's sentence is one. */
static json_t *
one_line(json_t *doc)
{
	const char *error = json_string_value(json_object_get(doc, "error"));
	struct buf line;

	if (error == NULL)
		return doc;
	buf_init(&line, CMD_ANSWER_BYTES_MAX);
	(void)buf_put(&line, str_trim(str_of_c(error)));
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] == '\n')
			line.p[i] = ' ';
	(void)json_object_set_new(doc, "error", json_stringn(line.n > 0 ? line.p : "", line.n));
	buf_fini(&line);
	return doc;
}

static int
server_ask(struct cmd *c, const char *command)
{
	struct reply r;
	json_t *doc;

	if (cmd_request(c, cmd_request_new(c, command), CONTROL_PATIENCE_MS, &r)) {
		doc = json_loadb(r.json.n > 0 ? r.json.p : "", r.json.n, 0, NULL);
		if (json_is_object(doc)) {
			r.exit_code = cmd_answer_doc(c, r.exit_code, one_line(doc));
		} else {
			json_decref(doc);
			r.exit_code = cmd_answer(c, r.exit_code, buf_str(&r.json));
		}
	}
	reply_fini(&r);
	return r.exit_code;
}

int
cmd_reload(struct cmd *c)
{
	return server_ask(c, "reload");
}

int
cmd_status(struct cmd *c)
{
	return server_ask(c, "status");
}

int
cmd_stop(struct cmd *c)
{
	struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
	json_t *request = cmd_request_new(c, "stop");
	char *text = json_dumps(request, JSON_COMPACT);
	struct buf json;
	int code = EXIT_CODE_OK;
	enum status st;

	buf_init(&json, CMD_ANSWER_BYTES_MAX);
	st = control_ask(c->control_path, str_of_c(text), CONTROL_PATIENCE_MS, &code, &json);
	free(text);
	json_decref(request);
	buf_fini(&json);
	if (st == ST_NOTFOUND)
		return cmd_fail(c, EXIT_CODE_UNREACHABLE, "no server runs here", "--dir names another folder.");
	if (st == ST_DENIED)
		return cmd_fail(c, EXIT_CODE_UNREACHABLE, "the server's control socket is not for this user",
		    "Run it as the user who started the server.");
	/* The line may end before the answer is out: what counts is that the server goes. */
	for (int waited_ms = 0; waited_ms < CMD_STOP_PATIENCE_MS; waited_ms += 50) {
		if (!control_is_up(c->control_path))
			return cmd_answer(c, EXIT_CODE_OK, STR("{\"message\":\"The server has stopped.\"}"));
		(void)nanosleep(&pause, NULL);
	}
	return cmd_fail(c, EXIT_CODE_FAILED, "the server has not stopped yet", "`posthorn status` shows what is up; the log says more.");
}

int
cmd_config_check(struct cmd *c)
{
	struct buf why;
	int code = EXIT_CODE_OK;

	if (!cmd_config(c))
		return EXIT_CODE_FAILED;
	buf_init(&why, CONFIG_ERROR_BYTES_MAX);
	if (!certificates_check(c->config, &why)) {
		(void)buf_put_c(&why, '\0');
		code = cmd_fail(c, EXIT_CODE_FAILED, "certificates or keys do not work", why.p);
	}
	buf_fini(&why);
	if (code != EXIT_CODE_OK)
		return code;
	return cmd_answer_doc(c, EXIT_CODE_OK,
	    json_pack("{s:s, s:{s:s, s:s, s:i}}", "message", "The configuration is right.", "fields", "file", c->config_path, "data",
		c->data_path, "listeners", (int)c->config->listener_count));
}

int
cmd_version(struct cmd *c)
{
	return cmd_answer_doc(
	    c, EXIT_CODE_OK, json_pack("{s:s, s:s}", "message", "posthorn " POSTHORN_VERSION, "version", POSTHORN_VERSION));
}
