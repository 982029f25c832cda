/* The sending side: the queue by hand, traces, the log, and what a domain's DNS and keys need. The work is done in roles/admin. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/cmd.h"
#include "cli/control.h"

enum { FOLLOW_MS = 500, FOLLOW_FIRST = 10 };

static void
option_set(json_t *request, const char *name, struct str value)
{
	(void)json_object_set_new(json_object_get(request, "options"), name, json_stringn(value.n > 0 ? value.p : "", value.n));
}

/* Those of the command line that the server shall know, by their names without dashes. */
static void
options_pass(const struct args *a, json_t *request)
{
	static const enum option_id passed[] = {OPT_DESTINATION, OPT_SENDER, OPT_HELD, OPT_ALL, OPT_LAST, OPT_MAKE};

	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		if (a->has[passed[i]])
			option_set(request, args_options[passed[i]].name + 2,
			    args_options[passed[i]].kind == OPTION_FLAG ? STR("yes") : a->values[passed[i]]);
}

static int
request_show(struct cmd *c, json_t *request)
{
	struct reply r;

	/* The queue may be long; every answer comes when all of it is done. */
	if (cmd_request(c, request, 0, &r))
		r.exit_code = cmd_answer(c, r.exit_code, buf_str(&r.json));
	reply_fini(&r);
	return r.exit_code;
}

/* ---- domain dns ---- */

static void
port_set(json_t *request, const struct config *f, enum config_protocol protocol, const char *option)
{
	char text[8];

	for (size_t i = 0; i < f->listener_count; i++) {
		if (f->listeners[i].protocol != protocol)
			continue;
		(void)snprintf(text, sizeof(text), "%u", f->listeners[i].port);
		option_set(request, option, str_of_c(text));
		return;
	}
}

/* Addresses that the configuration names; "all of them" says nothing that a record could. */
static void
addresses_set(json_t *request, const struct config *f)
{
	struct buf list;

	buf_init(&list, 4096);
	for (size_t i = 0; i < f->listen.n; i++) {
		size_t before = list.n;
		if (list.n > 0)
			(void)buf_put_c(&list, ' ');
		(void)config_ip_put(&list, &f->listen.v[i]);
		if (str_has_suffix_ci(buf_str(&list), STR("0.0.0.0")) || str_has_suffix_ci(buf_str(&list), STR("::")))
			list.n = before;
	}
	option_set(request, "addresses", buf_str(&list));
	buf_fini(&list);
}

static int
domain_dns(struct cmd *c, json_t *request)
{
	if (!cmd_config(c)) {
		json_decref(request);
		return EXIT_CODE_FAILED;
	}
	option_set(request, "hostname", c->config->hostname);
	addresses_set(request, c->config);
	port_set(request, c->config, CONFIG_SMTP, "smtp");
	port_set(request, c->config, CONFIG_SUBMISSION, "submission");
	port_set(request, c->config, CONFIG_SUBMISSIONS, "submissions");
	port_set(request, c->config, CONFIG_POP3S, "pop3s");
	return request_show(c, request);
}

/* ---- log follow ---- */

static volatile sig_atomic_t is_over;

static void
on_signal(int number)
{
	(void)number;
	is_over = 1;
}

static json_t *
log_request(uint64_t after, bool is_first, const struct args *a)
{
	json_t *request = json_pack("{s:s, s:[], s:{}}", "command", "log read", "operands", "options");
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)(is_first ? FOLLOW_FIRST : after));
	if (is_first && a->has[OPT_SINCE])
		option_set(request, "after", a->values[OPT_SINCE]);
	else
		option_set(request, is_first ? "last" : "after", str_of_c(text));
	return request;
}

/* Prints what is new. *after moves on; false: there is more already. */
static bool
log_print(const struct cmd *c, json_t *doc, uint64_t *after)
{
	json_t *lines = json_object_get(doc, "lines");
	bool is_all = !json_is_true(json_object_get(doc, "more"));

	*after = (uint64_t)json_integer_value(json_object_get(doc, "last"));
	if (!c->is_json) {
		if (json_array_size(lines) > 0)
			(void)cmd_answer_doc(c, EXIT_CODE_OK, json_incref(doc));
		return is_all;
	}
	/* A line of JSON for each event. */
	for (size_t i = 0; i < json_array_size(lines); i++)
		(void)cmd_answer_doc(c, EXIT_CODE_OK, json_incref(json_array_get(lines, i)));
	return is_all;
}

static int
log_follow(struct cmd *c)
{
	struct sigaction act = {.sa_handler = on_signal};
	uint64_t after = 0;
	bool is_first = true, is_running = control_is_up(c->control_path);

	(void)sigaction(SIGINT, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	while (!is_over) {
		struct reply r;
		json_t *doc = NULL;
		bool is_all = true;
		if (!cmd_request(c, log_request(after, is_first, c->args), CONTROL_PATIENCE_MS, &r)) {
			reply_fini(&r);
			return is_first ? r.exit_code : EXIT_CODE_OK;
		}
		if (r.exit_code == EXIT_CODE_OK)
			doc = json_loadb(r.json.n > 0 ? r.json.p : "", r.json.n, 0, NULL);
		if (doc != NULL)
			is_all = log_print(c, doc, &after);
		json_decref(doc);
		fflush(stdout);
		is_first = false;
		reply_fini(&r);
		/* On a stopped server nothing more comes. */
		if (is_all && !is_running)
			return EXIT_CODE_OK;
		if (is_all)
			(void)poll(NULL, 0, FOLLOW_MS);
	}
	return EXIT_CODE_OK;
}

int
cmd_queue(struct cmd *c)
{
	json_t *request;

	if (c->args->command->id == CMD_LOG_FOLLOW)
		return log_follow(c);
	request = cmd_request_new(c, c->args->command->words);
	options_pass(c->args, request);
	if (c->args->command->id == CMD_DOMAIN_DNS)
		return domain_dns(c, request);
	return request_show(c, request);
}
