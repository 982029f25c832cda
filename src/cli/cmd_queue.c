/* The sending side: the queue by hand, traces, the log, and what a domain's DNS and keys need. The work is done in roles/admin. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cmd.h"
#include "cli/control.h"

enum { FOLLOW_MS = 500, FOLLOW_FIRST = 10 };

static void
option_set(json_t *request, const char *name, struct str value)
{
	json_t *v = json_stringn(value.n > 0 ? value.p : "", value.n);

	/* What is not UTF-8 names nothing we have; left out, it would choose everything. */
	(void)json_object_set_new(json_object_get(request, "options"), name, v != NULL ? v : json_string("?"));
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

/* Private networks (RFC 1918, RFC 4193) and link-local ones (RFC 3927, RFC 4291): behind some other address, which we do not know. */
static bool
is_private(const struct config_ip *ip)
{
	const uint8_t *b = ip->bytes;

	if (ip->v6)
		return (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
	return b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) || (b[0] == 169 && b[1] == 254);
}

/* Addresses that the configuration names and others can reach. */
static void
addresses_set(json_t *request, const struct config *f)
{
	struct buf list;

	buf_init(&list, 4096);
	for (size_t i = 0; i < f->listen.n; i++) {
		const struct config_ip *ip = &f->listen.v[i];

		if (config_ip_is_any(ip) || config_ip_is_loopback(ip) || is_private(ip))
			continue;
		(void)buf_put(&list, list.n > 0 ? STR(" ") : STR_NULL);
		(void)config_ip_put(&list, ip);
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

/* Where `log follow` stands. */
struct follow {
	struct cmd *c;
	struct direct direct;	/* the store of a stopped server, open all the time; else zero */
	uint64_t after;
	bool is_running, is_first;
};

/* Prints what is new, and moves on. False: there is more already. */
static bool
log_print(struct follow *f, json_t *doc)
{
	json_t *lines = json_object_get(doc, "lines");

	f->after = (uint64_t)json_integer_value(json_object_get(doc, "last"));
	if (!f->c->is_json && json_array_size(lines) > 0)
		(void)cmd_answer_doc(f->c, EXIT_CODE_OK, json_incref(doc));
	/* A line of JSON for each event. */
	for (size_t i = 0; f->c->is_json && i < json_array_size(lines); i++)
		(void)cmd_answer_doc(f->c, EXIT_CODE_OK, json_incref(json_array_get(lines, i)));
	return !json_is_true(json_object_get(doc, "more"));
}

/* False: there is no answer, and it was said why. */
static bool
log_ask(struct follow *f, struct reply *r)
{
	json_t *request = log_request(f->after, f->is_first, f->c->args);

	if (f->is_running && !f->is_first && !control_is_up(f->c->control_path)) {
		json_decref(request);
		r->exit_code = cmd_fail(f->c, EXIT_CODE_UNREACHABLE, "the server has ended", "`posthorn serve` starts it.");
		return false;
	}
	if (f->is_running)
		return cmd_request(f->c, request, CONTROL_PATIENCE_MS, r);
	buf_init(&r->json, CMD_ANSWER_BYTES_MAX);
	direct_run(&f->direct, request, r);
	json_decref(request);
	return true;
}

/* True: go on. Else *code is the command's. */
static bool
log_turn(struct follow *f, int *code)
{
	struct reply r = {.exit_code = EXIT_CODE_FAILED};
	bool is_asked = log_ask(f, &r), is_all = true;
	json_t *doc;

	*code = r.exit_code;
	if (is_asked && r.exit_code == EXIT_CODE_OK) {
		doc = json_loadb(r.json.n > 0 ? r.json.p : "", r.json.n, 0, NULL);
		is_all = log_print(f, doc);
		json_decref(doc);
		f->is_first = false;
	} else if (is_asked) {
		*code = cmd_answer(f->c, r.exit_code, buf_str(&r.json));
	}
	reply_fini(&r);
	if (*code != EXIT_CODE_OK)
		return false;
	/* On a stopped server nothing more comes. */
	if (is_all && f->is_running)
		(void)poll(NULL, 0, FOLLOW_MS);
	return !is_all || f->is_running;
}

static int
log_follow(struct cmd *c)
{
	struct sigaction act = {.sa_handler = on_signal};
	struct follow f = {.c = c, .is_first = true, .is_running = control_is_up(c->control_path)};
	int code = EXIT_CODE_OK;

	if (!f.is_running && !direct_open(c, false, &f.direct))
		return EXIT_CODE_FAILED;
	(void)sigaction(SIGINT, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	while (!is_over && log_turn(&f, &code))
		continue;
	if (!f.is_running)
		direct_close(&f.direct);
	return is_over ? EXIT_CODE_OK : code;
}

int
cmd_queue(struct cmd *c)
{
	const struct args *a = c->args;
	json_t *request;

	if (a->command->id == CMD_LOG_FOLLOW)
		return log_follow(c);
	if (a->command->id == CMD_QUEUE_REMOVE && a->operand_count == 0 &&
	    !cmd_confirm(c, "Remove all these messages from the queue, without a word to their senders?"))
		return EXIT_CODE_FAILED;
	request = cmd_request_new(c, a->command->words);
	options_pass(a, request);
	if (a->command->id == CMD_DOMAIN_DNS)
		return domain_dns(c, request);
	return request_show(c, request);
}
