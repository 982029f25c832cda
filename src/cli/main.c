/* posthorn: the command, and (as `posthorn role NAME`, started by serve) every role. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "base/rnd.h"
#include "cli/cmd.h"
#include "cli/help.h"
#include "roles/role.h"

enum { HELP_BYTES_MAX = 65536, ERROR_BYTES_MAX = 4 * ARGS_BYTES_MAX };

static int
role_run(const char *name)
{
	for (int k = ROLE_PARENT + 1; k < ROLE_COMMAND; k++)
		if (strcmp(name, role_kind_name((enum role_kind)k)) == 0)
			return role_main((enum role_kind)k);
	fprintf(stderr, "posthorn: there is no such role\n");
	return EXIT_CODE_USAGE;
}

static int
help_show(const struct args *a)
{
	struct buf out;

	buf_init(&out, HELP_BYTES_MAX);
	(void)help_write(&out, a);
	(void)fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
	return EXIT_CODE_OK;
}

static int
command_run(struct cmd *c)
{
	switch (c->args->command->id) {
	case CMD_QUICKSTART:
		return cmd_quickstart(c);
	case CMD_SERVE:
		return cmd_serve(c);
	case CMD_STOP:
		return cmd_stop(c);
	case CMD_RESTART:
		return cmd_restart(c);
	case CMD_RELOAD:
		return cmd_reload(c);
	case CMD_STATUS:
		return cmd_status(c);
	case CMD_CONFIG_CHECK:
		return cmd_config_check(c);
	case CMD_DOMAIN_ADD:
	case CMD_DOMAIN_LIST:
	case CMD_DOMAIN_REMOVE:
	case CMD_DOMAIN_ALIAS:
	case CMD_DOMAIN_CATCH_ALL:
	case CMD_ACCOUNT_ADD:
	case CMD_ACCOUNT_LIST:
	case CMD_ACCOUNT_REMOVE:
	case CMD_ACCOUNT_PASSWORD:
	case CMD_ALIAS_ADD:
	case CMD_ALIAS_LIST:
	case CMD_ALIAS_REMOVE:
		return cmd_directory(c);
	case CMD_DOMAIN_DNS:
	case CMD_DOMAIN_KEYS:
	case CMD_QUEUE_LIST:
	case CMD_QUEUE_SHOW:
	case CMD_QUEUE_WHY:
	case CMD_QUEUE_HOLD:
	case CMD_QUEUE_RELEASE:
	case CMD_QUEUE_RETRY:
	case CMD_QUEUE_REMOVE:
	case CMD_QUEUE_EXPIRE:
	case CMD_TRACE:
	case CMD_LOG_FOLLOW:
		return cmd_queue(c);
	case CMD_STORE_CHECK:
	case CMD_STORE_STATS:
	case CMD_STORE_BACKUP:
	case CMD_STORE_RESTORE:
		return cmd_store(c);
	case CMD_DEMO:
		return cmd_demo(c);
	case CMD_VERSION:
		return cmd_version(c);
	}
	return EXIT_CODE_USAGE;
}

static int
command_main(int argc, const char *const *argv)
{
	struct clock clock;
	struct args args;
	struct buf error;
	struct cmd c;
	int code;

	buf_init(&error, ERROR_BYTES_MAX);
	if (args_parse(argc, argv, &args, &error) != ST_OK) {
		fprintf(stderr, "posthorn: %.*s\n", STR_ARG(buf_str(&error)));
		buf_fini(&error);
		return EXIT_CODE_USAGE;
	}
	buf_fini(&error);
	if (args.help)
		return help_show(&args);
	map_seed(rnd_u64(), rnd_u64());
	clock_init_system(&clock);
	/* What the libraries report is for the server's log; here only what is wrong matters. */
	log_setup("command", STDERR_FILENO, LOG_WARN, LOG_TEXT, &clock);
	if (!cmd_init(&c, &args))
		return EXIT_CODE_USAGE;
	code = command_run(&c);
	cmd_fini(&c);
	return code;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "role") == 0)
		return role_run(argv[2]);
	return command_main(argc, (const char *const *)argv);
}
