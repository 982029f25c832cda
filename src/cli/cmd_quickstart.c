/* quickstart: a server from nothing, with its first account. */
#include <stdio.h>

#include "cli/quickstart.h"

static const char *
security_of(const struct config_listener *l)
{
	switch (l->tls) {
	case CONFIG_TLS_OFF:
		return "none";
	case CONFIG_TLS_STARTTLS:
		return "STARTTLS";
	case CONFIG_TLS_IMPLICIT:
		return "TLS from the start";
	}
	return "";
}

static const char *
purpose_of(const struct config_listener *l)
{
	switch (l->protocol) {
	case CONFIG_SMTP:
		return "mail from other servers";
	case CONFIG_LMTP:
		return "mail from a server on this host";
	case CONFIG_POP3:
	case CONFIG_POP3S:
		return "fetching mail";
	case CONFIG_SUBMISSION:
	case CONFIG_SUBMISSIONS:
		return "sending mail";
	}
	return "";
}

static json_t *
ports_doc(const struct config *f)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < f->listener_count; i++) {
		const struct config_listener *l = &f->listeners[i];
		struct str word = config_protocol_word(l->protocol);

		(void)json_array_append_new(rows,
		    json_pack("{s:i, s:s%, s:s, s:s}", "port", (int)l->port, "protocol", word.p, word.n, "security", security_of(l), "for",
			purpose_of(l)));
	}
	return rows;
}

static void
next_steps_print(const struct cmd *c, const struct directory_address *address)
{
	const struct config *f = c->config;

	printf("\nStart it:          posthorn serve --dir %s\n", c->dir);
	printf("Another account:   posthorn account add NAME@%.*s --dir %s\n", STR_ARG(directory_address_domain(address)), c->dir);
	printf("In a mail client:  user %.*s, server %.*s", STR_ARG(directory_address_text(address)), STR_ARG(f->hostname));
	for (size_t i = 0; i < f->listener_count; i++)
		if (f->listeners[i].protocol == CONFIG_POP3S)
			printf(", POP3 port %u with TLS", f->listeners[i].port);
	printf("\nThe certificate is self-signed (keys/ecdsa.pem, keys/rsa.pem): clients will ask once. Put your own paths into\n"
	       "the certificate sections of %s, then `posthorn reload`.\n", c->config_path);
}

static int
made_show(const struct cmd *c, const struct directory_address *address, const struct password *password)
{
	const struct config *f = c->config;
	json_t *fields = json_pack("{s:s, s:s%, s:s%}", "folder", c->dir, "host_name", f->hostname.p, f->hostname.n, "account", address->text,
	    (size_t)address->n);
	int code;

	if (password->is_generated)
		(void)json_object_set_new(fields, "password", json_stringn(password->text.p, password->text.n));
	code = cmd_answer_doc(c, EXIT_CODE_OK,
	    json_pack("{s:s, s:o, s:[s,s,s,s], s:o}", "message", "The server is made; it is not running yet.", "fields", fields, "columns", "port",
		"protocol", "security", "for", "rows", ports_doc(f)));
	if (!c->is_json)
		next_steps_print(c, address);
	return code;
}

static int
quickstart_run(struct cmd *c, const struct quickstart *q, const struct password *password)
{
	switch (quickstart_make(c, q)) {
	case QUICKSTART_FAILED:
		return EXIT_CODE_FAILED;
	case QUICKSTART_THERE:
		return cmd_answer_doc(c, EXIT_CODE_OK,
		    json_pack("{s:s}", "message", "This server was made before; nothing is changed. `posthorn serve` starts it."));
	case QUICKSTART_MADE:
		break;
	}
	return made_show(c, &q->accounts[0].address, password);
}

int
cmd_quickstart(struct cmd *c)
{
	const struct args *a = c->args;
	struct quickstart_account account = {.password = NULL};
	struct quickstart q = {.accounts = &account, .accounts_n = 1};
	char question[2 * PATH_MAX];
	struct password password;
	struct buf hostname, why;
	int code = EXIT_CODE_FAILED;

	buf_init(&why, DIRECTORY_WHY_BYTES_MAX);
	buf_init(&hostname, CONFIG_HOSTNAME_BYTES_MAX + 1);
	if (directory_address_parse(a->operands[0], &account.address, &why) != ST_OK) {
		(void)buf_put_c(&why, '\0');
		code = cmd_fail(c, EXIT_CODE_FAILED, why.n > 1 ? why.p : "this is no address", "An address looks like me@example.org.");
		goto out;
	}
	quickstart_hostname(a, directory_address_domain(&account.address), &hostname);
	q.files = (struct quickstart_files){.dir = str_of_c(c->dir),
	    .hostname = buf_str(&hostname),
	    .mail_domain = directory_address_domain(&account.address),
	    .listen = args_value(a, OPT_LISTEN, STR_NULL),
	    .port_offset = args_number(a, OPT_PORT_OFFSET, 0),
	    .resolver = args_value(a, OPT_RESOLVER, STR_NULL)};
	(void)snprintf(question, sizeof(question), "Make a server in %s that calls itself %.*s, for mail of %.*s?", c->dir,
	    STR_ARG(buf_str(&hostname)), STR_ARG(q.files.mail_domain));
	if (!cmd_confirm(c, question))
		goto out;
	/* --yes asks nothing: without --password-stdin the password is a new one. */
	if (a->has[OPT_YES] && !a->has[OPT_PASSWORD_STDIN])
		password_generate(&password);
	else if (!cmd_password(c, a->operands[0].p, &password))
		goto out;
	account.password = &password;
	code = quickstart_run(c, &q, &password);
	password_fini(&password);
out:
	buf_fini(&hostname);
	buf_fini(&why);
	return code;
}
