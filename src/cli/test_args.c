#include "base/num.h"
#include "base/unit.h"
#include "cli/args.h"
#include "cli/help.h"

#define LINE_WORDS_MAX 12

/* A line of words, split at blanks, as argv. words_out holds the bytes. */
static int
line_split(const char *line, char *bytes, size_t size, const char **argv)
{
	int argc = 0;

	(void)snprintf(bytes, size, "posthorn %s", line);
	for (char *p = bytes; *p != 0 && argc < LINE_WORDS_MAX;) {
		argv[argc++] = p;
		while (*p != 0 && *p != ' ')
			p++;
		while (*p == ' ')
			*p++ = 0;
	}
	return argc;
}

struct line {
	char bytes[256];
	struct args args;
	struct buf error;
	enum status st;
};

static void
line_parse(struct line *l, const char *text)
{
	const char *argv[LINE_WORDS_MAX];
	int argc = line_split(text, l->bytes, sizeof(l->bytes), argv);

	buf_init(&l->error, 1024);
	l->st = args_parse(argc, argv, &l->args, &l->error);
	EXPECT((l->st == ST_OK) == (l->error.n == 0));
}

static void
lines_are_understood(void)
{
	static const struct {
		const char *in;
		enum command_id id;
		size_t operands;
		const char *last;
	} table[] = {
	    {"serve", CMD_SERVE, 0, NULL},
	    {"quickstart me@example.org", CMD_QUICKSTART, 1, "me@example.org"},
	    {"--dir /x quickstart --yes me@example.org --port-offset 10000", CMD_QUICKSTART, 1,
		"me@example.org"},
	    {"config check", CMD_CONFIG_CHECK, 0, NULL},
	    {"config --json check", CMD_CONFIG_CHECK, 0, NULL},
	    {"domain alias a.org b.org", CMD_DOMAIN_ALIAS, 2, "b.org"},
	    {"domain catch-all b.org none", CMD_DOMAIN_CATCH_ALL, 2, "none"},
	    {"account list", CMD_ACCOUNT_LIST, 0, NULL},
	    {"account list b.org", CMD_ACCOUNT_LIST, 1, "b.org"},
	    {"account add a@b.org --pop3-delete=yes --password-stdin", CMD_ACCOUNT_ADD, 1,
		"a@b.org"},
	    {"account add -- -a@b.org", CMD_ACCOUNT_ADD, 1, "-a@b.org"},
	    {"alias remove a@b c@d", CMD_ALIAS_REMOVE, 2, "c@d"},
	    {"store backup /tmp/x", CMD_STORE_BACKUP, 1, "/tmp/x"},
	    {"version", CMD_VERSION, 0, NULL},
	    {"queue list --held --sender <> --destination b.org", CMD_QUEUE_LIST, 0, NULL},
	    {"queue retry 1A2B", CMD_QUEUE_RETRY, 1, "1A2B"},
	    {"queue remove --all --yes", CMD_QUEUE_REMOVE, 0, NULL},
	    {"trace <1@a.org> --last 3", CMD_TRACE, 1, "<1@a.org>"},
	    {"log follow --since 0 --json", CMD_LOG_FOLLOW, 0, NULL},
	    {"domain keys b.org --make", CMD_DOMAIN_KEYS, 1, "b.org"},
	    {"domain dns b.org", CMD_DOMAIN_DNS, 1, "b.org"},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct line l;

		line_parse(&l, table[i].in);
		EXPECT_STR(buf_str(&l.error), STR(""));
		EXPECT(l.st == ST_OK && !l.args.help);
		EXPECT(l.args.command != NULL && l.args.command->id == table[i].id);
		EXPECT(l.args.operand_count == table[i].operands);
		if (table[i].last != NULL && l.args.operand_count > 0)
			EXPECT_STR(
			    l.args.operands[l.args.operand_count - 1], str_of_c(table[i].last));
		buf_fini(&l.error);
	}
}

static void
mistakes_are_explained(void)
{
	static const struct {
		const char *in;
		const char *error;
	} table[] = {
	    {"statsu", "there is no command `statsu`; did you mean `status`?"},
	    {"acount add x", "there is no command `acount`; did you mean `account`?"},
	    {"xyzzy", "there is no command `xyzzy`; `posthorn --help` names them all"},
	    {"account ad a@b", "there is no command `account ad`; did you mean `account add`?"},
	    {"domain", "`domain` needs one of: add, list, remove, alias, catch-all, dns, keys"},
	    {"domain frobnicate", "`domain` needs one of: add, list, remove, alias, catch-all, dns, keys"},
	    {"quickstart", "`quickstart` needs ADDRESS: the first account, e.g. me@example.org; "
			   "its domain is served"},
	    {"alias add a@b", "`alias add` needs ADDRESS: an account"},
	    {"stop now", "one argument too many: `now`"},
	    {"account list a b", "one argument too many: `b`"},
	    {"account list a b c d", "one argument too many: `d`"},
	    {"stop --jsno", "there is no option `--jsno`; did you mean `--json`?"},
	    {"stop -x", "there is no option `-x`"},
	    {"stop --single",
		"`stop` takes no --single; `posthorn stop --help` says what it takes"},
	    {"stop --json=1", "--json takes no value"},
	    {"stop --dir", "--dir needs a value: --dir DIR"},
	    {"stop --dir=", "--dir needs a value, not ``"},
	    {"quickstart a@b --port-offset 64541",
		"--port-offset needs a number from 0 to 64540, not `64541`"},
	    {"quickstart a@b --port-offset -1",
		"--port-offset needs a number from 0 to 64540, not `-1`"},
	    {"quickstart a@b --listen localhost", "--listen needs an IP address, not `localhost`"},
	    {"quickstart a@b --hostname a_b",
		"--hostname needs a host name such as mail.example.org, not `a_b`"},
	    {"quickstart a@b --resolver 127.0.0.1", "--resolver needs an address and a port, e.g. "
						    "127.0.0.1:53 or [::1]:53, not `127.0.0.1`"},
	    {"trace a@b --last many", "--last needs a number, not `many`"},
	    {"log follow --since -1", "--since needs a number, not `-1`"},
	    {"queue hold --yes", "`queue hold` takes no --yes; `posthorn queue hold --help` says what it takes"},
	    {"account add a@b --pop3-delete maybe", "--pop3-delete needs yes or no, not `maybe`"},
	    {"\033[2Jx", "there is no command `?[2Jx`; `posthorn --help` names them all"},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct line l;

		line_parse(&l, table[i].in);
		EXPECT(l.st == ST_SYNTAX);
		EXPECT_STR(buf_str(&l.error), str_of_c(table[i].error));
		buf_fini(&l.error);
	}
}

static void
long_arguments_are_refused(void)
{
	static char text[ARGS_BYTES_MAX + 2];
	const char *argv[] = {"posthorn", "store", "backup", text};
	struct args a;
	struct buf error;

	buf_init(&error, 1024);
	memset(text, 'a', ARGS_BYTES_MAX);
	EXPECT(args_parse(4, argv, &a, &error) == ST_OK);
	text[ARGS_BYTES_MAX] = 'a';
	EXPECT(args_parse(4, argv, &a, &error) == ST_SYNTAX);
	EXPECT(error.n < 200);
	buf_fini(&error);
}

static void
values_are_found(void)
{
	struct line l;

	line_parse(&l, "quickstart a@b --port-offset 1 --port-offset 64540 --resolver=[::1]:53");
	EXPECT(args_number(&l.args, OPT_PORT_OFFSET, 7) == 64540);
	EXPECT_STR(args_value(&l.args, OPT_RESOLVER, STR("")), STR("[::1]:53"));
	EXPECT_STR(args_value(&l.args, OPT_LISTEN, STR("all")), STR("all"));
	EXPECT_STR(args_dir(&l.args, NULL), STR(ARGS_DIR_DEFAULT));
	EXPECT_STR(args_dir(&l.args, ""), STR(ARGS_DIR_DEFAULT));
	EXPECT_STR(args_dir(&l.args, "/env"), STR("/env"));
	buf_fini(&l.error);
	line_parse(&l, "demo --dir /d");
	EXPECT(args_number(&l.args, OPT_PORT_OFFSET, 7) == 7);
	EXPECT_STR(args_dir(&l.args, "/env"), STR("/d"));
	buf_fini(&l.error);
}

static struct str
help_of(const char *line, struct buf *out)
{
	struct line l;

	line_parse(&l, line);
	EXPECT(l.st == ST_OK && l.args.help);
	buf_reset(out);
	EXPECT(help_write(out, &l.args) == ST_OK);
	buf_fini(&l.error);
	return buf_str(out);
}

static void
help_is_there_for_everything(void)
{
	struct buf out;
	struct str text;

	buf_init(&out, 64 << 10);
	text = help_of("", &out);
	for (size_t i = 0; i < args_command_count; i++)
		EXPECT(str_find(text, str_of_c(args_commands[i].words)) < text.n);
	EXPECT(str_find(text,
		   STR("Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the server")) <
	       text.n);
	EXPECT_STR(help_of("--help", &out), help_of("help", &out));
	text = help_of("domain --help", &out);
	EXPECT(str_find(text, STR("domain catch-all")) < text.n);
	EXPECT(str_find(text, STR("quickstart")) == text.n);
	text = help_of("quickstart -h", &out);
	EXPECT(str_has_prefix(text,
	    STR("posthorn quickstart ADDRESS [--hostname NAME] [--listen IP] [--port-offset N] "
		"[--resolver HOST:PORT] [--password-stdin] [--yes] [--dir DIR] [--json]\n")));
	for (size_t i = 0; i < args_command_count; i++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "%s --help", args_commands[i].words);
		text = help_of(line, &out);
		EXPECT(str_find(text, str_of_c(args_commands[i].help)) < text.n);
	}
	buf_fini(&out);
}

static void
tables_are_whole(void)
{
	for (int i = OPT_NONE + 1; i < OPT_COUNT; i++) {
		EXPECT(args_options[i].id == (enum option_id)i && args_options[i].name != NULL);
		EXPECT((args_options[i].kind == OPTION_FLAG) == (args_options[i].value == NULL));
	}
	for (size_t i = 0; i < args_command_count; i++)
		EXPECT(args_commands[i].id == (enum command_id)i);
}

int
main(void)
{
	UNIT(lines_are_understood);
	UNIT(mistakes_are_explained);
	UNIT(long_arguments_are_refused);
	UNIT(values_are_found);
	UNIT(help_is_there_for_everything);
	UNIT(tables_are_whole);
	return unit_end();
}
