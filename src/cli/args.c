#include "cli/args.h"

#include "base/check.h"
#include "base/num.h"
#include "config/config.h"
#include "config/nearest.h"

/* One message, or all that fit. */
#define QUEUE_CHOICE \
	{{"ID", "a message of `queue list`; else --destination, --sender or --all", true}}, \
	{ \
		OPT_DESTINATION, OPT_SENDER, OPT_ALL \
	}

/* clang-format off: a line per command */
const struct command args_commands[] = {
    {CMD_QUICKSTART, "quickstart",
	"Make a server for ADDRESS: configuration, keys, store, first account.",
	"Asks before it writes, unless --yes is given. Prints a new password, unless one is given "
	"with "
	"--password-stdin. The folder must not hold another server.",
	COMMAND_LOCAL,
	{{"ADDRESS", "the first account, e.g. me@example.org; its domain is served", false}},
	{OPT_HOSTNAME, OPT_LISTEN, OPT_PORT_OFFSET, OPT_RESOLVER, OPT_PASSWORD_STDIN, OPT_YES}},
    {CMD_SERVE, "serve", "Run the server until `posthorn stop` or Ctrl-C.", NULL, COMMAND_STOPPED,
	{{0}}, {OPT_SINGLE}},
    {CMD_STOP, "stop", "Stop the server: what was accepted is stored, sessions are told.", NULL,
	COMMAND_RUNNING, {{0}}, {0}},
    {CMD_RELOAD, "reload", "Take the changed configuration and certificates into use.",
	"A wrong configuration is refused and the old one stays in use.", COMMAND_RUNNING, {{0}},
	{0}},
    {CMD_RESTART, "restart", "Start the program file anew, after it was replaced by another version.",
	"The ports stay open all the time and clients are waited for; the new program is asked first whether it takes the configuration. "
	"Settings that a reload cannot change are taken into use, too.",
	COMMAND_RUNNING, {{0}}, {0}},
    {CMD_STATUS, "status", "What runs, how it is sandboxed, what it does.", NULL, COMMAND_RUNNING,
	{{0}}, {0}},
    {CMD_CONFIG_CHECK, "config check", "Say whether the configuration file is right.", NULL,
	COMMAND_LOCAL, {{0}}, {0}},

    {CMD_DOMAIN_ADD, "domain add", "Receive mail for a domain.", NULL, COMMAND_EITHER,
	{{"DOMAIN", "e.g. example.org", false}}, {0}},
    {CMD_DOMAIN_LIST, "domain list", "All domains with their aliases and catch-all addresses.",
	NULL, COMMAND_EITHER, {{0}}, {0}},
    {CMD_DOMAIN_REMOVE, "domain remove",
	"No longer receive mail for a domain; it must have no accounts.", NULL, COMMAND_EITHER,
	{{"DOMAIN", "a domain of `domain list`", false}}, {0}},
    {CMD_DOMAIN_ALIAS, "domain alias",
	"Treat every address of ALIAS as the same address of DOMAIN.", NULL, COMMAND_EITHER,
	{{"ALIAS", "the other domain", false}, {"DOMAIN", "a domain of `domain list`", false}},
	{0}},
    {CMD_DOMAIN_CATCH_ALL, "domain catch-all", "Who gets mail for addresses that do not exist.",
	NULL, COMMAND_EITHER,
	{{"DOMAIN", "a domain of `domain list`", false},
	    {"ADDRESS|none", "an account; none refuses such mail", false}},
	{0}},

    {CMD_DOMAIN_DNS, "domain dns", "The DNS records that a domain needs, each with the reason for it.", NULL, COMMAND_EITHER,
	{{"DOMAIN", "a domain of `domain list`", false}}, {0}},
    {CMD_DOMAIN_KEYS, "domain keys", "The keys that sign a domain's mail.", NULL, COMMAND_EITHER,
	{{"DOMAIN", "a domain of `domain list`", false}}, {OPT_MAKE}},

    {CMD_ACCOUNT_ADD, "account add", "Make an account; prints a new password unless one is given.",
	NULL, COMMAND_EITHER,
	{{"ADDRESS", "e.g. me@example.org, in a domain of `domain list`", false}},
	{OPT_PASSWORD_STDIN, OPT_POP3_DELETE}},
    {CMD_ACCOUNT_LIST, "account list", "All accounts, or those of one domain.", NULL,
	COMMAND_EITHER, {{"DOMAIN", "only this domain", true}}, {0}},
    {CMD_ACCOUNT_REMOVE, "account remove", "Remove an account and all its mail.", NULL,
	COMMAND_EITHER, {{"ADDRESS", "an account of `account list`", false}}, {OPT_YES}},
    {CMD_ACCOUNT_PASSWORD, "account password",
	"Give an account another password; prints a new one unless one is given.", NULL,
	COMMAND_EITHER, {{"ADDRESS", "an account of `account list`", false}}, {OPT_PASSWORD_STDIN}},

    {CMD_ALIAS_ADD, "alias add", "Deliver mail for ALIAS to ADDRESS.", NULL, COMMAND_EITHER,
	{{"ALIAS", "e.g. info@example.org", false}, {"ADDRESS", "an account", false}}, {0}},
    {CMD_ALIAS_LIST, "alias list", "All aliases, or those of one domain.", NULL, COMMAND_EITHER,
	{{"DOMAIN", "only this domain", true}}, {0}},
    {CMD_ALIAS_REMOVE, "alias remove", "Remove an alias, or one of its targets.", NULL,
	COMMAND_EITHER,
	{{"ALIAS", "an alias of `alias list`", false}, {"ADDRESS", "only this target", true}}, {0}},

    {CMD_QUEUE_LIST, "queue list", "What still has to go to other servers, and why it waits.", NULL, COMMAND_EITHER, {{0}},
	{OPT_DESTINATION, OPT_SENDER, OPT_HELD}},
    {CMD_QUEUE_SHOW, "queue show", "One message of the queue, recipient by recipient.", NULL, COMMAND_EITHER,
	{{"ID", "of `queue list`", false}}, {0}},
    {CMD_QUEUE_WHY, "queue why", "Why a message, or somebody's mail, is still waiting.", NULL, COMMAND_EITHER,
	{{"ID|ADDRESS", "a message of `queue list`, or a sender or recipient", false}}, {0}},
    {CMD_QUEUE_HOLD, "queue hold", "Keep messages in the queue until they are released.", NULL, COMMAND_EITHER, QUEUE_CHOICE},
    {CMD_QUEUE_RELEASE, "queue release", "Let held messages go.", NULL, COMMAND_EITHER, QUEUE_CHOICE},
    {CMD_QUEUE_RETRY, "queue retry", "Try messages now instead of when their time comes.", NULL, COMMAND_EITHER, QUEUE_CHOICE},
    {CMD_QUEUE_REMOVE, "queue remove", "Forget messages; nobody is told.", "Asks when it is not one message by its id.",
	COMMAND_EITHER, {{"ID", "a message of `queue list`; else --destination, --sender or --all", true}},
	{OPT_DESTINATION, OPT_SENDER, OPT_ALL, OPT_YES}},
    {CMD_QUEUE_EXPIRE, "queue expire", "Try messages one last time; what fails goes back to its sender.", NULL, COMMAND_EITHER,
	QUEUE_CHOICE},
    {CMD_TRACE, "trace", "What happened to a message, in order and in words.", NULL, COMMAND_EITHER,
	{{"MESSAGE-ID|ADDRESS|ID", "a Message-ID, a sender or recipient, or an id of the queue", false}}, {OPT_LAST}},
    {CMD_LOG_FOLLOW, "log follow", "What happens to messages, as it happens; Ctrl-C ends it.", NULL, COMMAND_EITHER, {{0}}, {OPT_SINCE}},

    {CMD_STORE_CHECK, "store check",
	"Read everything that is stored and compare it with its checksums.", NULL, COMMAND_STOPPED,
	{{0}}, {0}},
    {CMD_STORE_STATS, "store stats", "How much is stored, and where.", NULL, COMMAND_EITHER, {{0}},
	{0}},
    {CMD_STORE_BACKUP, "store backup",
	"Write a consistent copy of the store; the server may run.",
	"A running server can write into its data folder only: give a NAME, and the backup stands in "
	"backups/NAME there (the answer says where). On a stopped server an absolute path works "
	"too.",
	COMMAND_EITHER,
	{{"NAME|FOLDER", "a new name, or the absolute path of a new or empty folder", false}},
	{0}},
    {CMD_STORE_RESTORE, "store restore", "Put a backup in the place of the store.",
	"The store that is there is kept beside it, and so are its backups.", COMMAND_STOPPED,
	{{"NAME|FOLDER", "what `store backup` was given", false}}, {OPT_YES}},

    {CMD_DEMO, "demo", "Start a server for trying out on this host and send a message through it.",
	"This is what `make run` does: loopback only, ports plus 10000, Ctrl-C stops it. Without "
	"--dir it lives in ./run.",
	COMMAND_LOCAL, {{0}}, {OPT_PORT_OFFSET}},
    {CMD_VERSION, "version", "The version of this program.", NULL, COMMAND_LOCAL, {{0}}, {0}},
};
/* clang-format on */
const size_t args_command_count = COUNT_OF(args_commands);

const struct option args_options[OPT_COUNT] = {
    [OPT_DIR] = {OPT_DIR, "--dir", "DIR", OPTION_TEXT,
	"The server's folder; else $" ARGS_DIR_ENV ", else " ARGS_DIR_DEFAULT "."},
    [OPT_JSON] = {OPT_JSON, "--json", NULL, OPTION_FLAG, "Answer as one line of JSON."},
    [OPT_HELP] = {OPT_HELP, "--help", NULL, OPTION_FLAG, "Explain the command and do nothing."},
    [OPT_HOSTNAME] = {OPT_HOSTNAME, "--hostname", "NAME", OPTION_HOSTNAME,
	"What the server calls itself; else this host's full name, else mail. and the domain."},
    [OPT_LISTEN] = {OPT_LISTEN, "--listen", "IP", OPTION_IP,
	"Listen on this address only; else on all."},
    [OPT_PORT_OFFSET] = {OPT_PORT_OFFSET, "--port-offset", "N", OPTION_PORT_OFFSET,
	"Add N to every port, e.g. 10000 to run without privileges."},
    [OPT_RESOLVER] = {OPT_RESOLVER, "--resolver", "HOST:PORT", OPTION_ENDPOINT,
	"Send all DNS questions there, e.g. 127.0.0.1:53 or [::1]:53."},
    [OPT_PASSWORD_STDIN] = {OPT_PASSWORD_STDIN, "--password-stdin", NULL, OPTION_FLAG,
	"The password is the first line of standard input."},
    [OPT_YES] = {OPT_YES, "--yes", NULL, OPTION_FLAG, "Do not ask."},
    [OPT_SINGLE] = {OPT_SINGLE, "--single", NULL, OPTION_FLAG,
	"All in one process, for development; loopback listeners only."},
    [OPT_DESTINATION] = {OPT_DESTINATION, "--destination", "DOMAIN", OPTION_TEXT, "Only what goes to this domain."},
    [OPT_SENDER] = {OPT_SENDER, "--sender", "ADDRESS", OPTION_TEXT, "Only what this address sent."},
    [OPT_HELD] = {OPT_HELD, "--held", NULL, OPTION_FLAG, "Only what is on hold."},
    [OPT_ALL] = {OPT_ALL, "--all", NULL, OPTION_FLAG, "Everything in the queue."},
    [OPT_LAST] = {OPT_LAST, "--last", "N", OPTION_NUMBER, "The last N messages; else 10."},
    [OPT_SINCE] = {OPT_SINCE, "--since", "N", OPTION_NUMBER, "Begin behind event N; else with the last 10."},
    [OPT_MAKE] = {OPT_MAKE, "--make", NULL, OPTION_FLAG, "Make those that are missing."},
    [OPT_POP3_DELETE] = {OPT_POP3_DELETE, "--pop3-delete", "yes|no", OPTION_YES_NO,
	"Whether mail that POP3 retrieved is deleted at the end of the session; else no."},
};

bool
command_takes(const struct command *c, enum option_id id)
{
	if (id == OPT_DIR || id == OPT_JSON || id == OPT_HELP)
		return true;
	for (size_t i = 0; i < ARGS_OPTIONS_MAX && c->options[i] != OPT_NONE; i++)
		if (c->options[i] == id)
			return true;
	return false;
}

/* What stands on the command line as it may be shown: one line, short, nothing that moves a cursor.
 */
static void
shown_put(struct buf *out, struct str s)
{
	s = str_take(s, 80);
	for (size_t i = 0; i < s.n; i++)
		buf_put_c(out, (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i]);
}

static enum status
fail(struct buf *error, const char *before, struct str shown, const char *after)
{
	buf_put(error, str_of_c(before));
	shown_put(error, shown);
	buf_put(error, str_of_c(after));
	return ST_SYNTAX;
}

static struct str
first_word(const struct command *c)
{
	struct str head, tail;

	str_split(str_of_c(c->words), ' ', &head, &tail);
	return head;
}

static struct str
second_word(const struct command *c)
{
	struct str head, tail;

	str_split(str_of_c(c->words), ' ', &head, &tail);
	return tail;
}

static bool
is_group(struct str word)
{
	for (size_t i = 0; i < args_command_count; i++)
		if (str_eq(first_word(&args_commands[i]), word) &&
		    second_word(&args_commands[i]).n > 0)
			return true;
	return false;
}

static enum status
unknown_command(struct str word, struct buf *error)
{
	struct nearest near;

	nearest_init(&near, word);
	for (size_t i = 0; i < args_command_count; i++)
		nearest_offer(&near, first_word(&args_commands[i]));
	fail(error, "there is no command `", word, "`");
	if (nearest_result(&near).n > 0)
		buf_putf(error, "; did you mean `%.*s`?", STR_ARG(nearest_result(&near)));
	else
		buf_put(error, STR("; `posthorn --help` names them all"));
	return ST_SYNTAX;
}

/* A group without, or with a wrong, second word. */
static enum status
unknown_in_group(struct str group, struct str word, struct buf *error)
{
	struct nearest near;
	bool first = true;

	nearest_init(&near, word);
	for (size_t i = 0; i < args_command_count; i++)
		if (str_eq(first_word(&args_commands[i]), group))
			nearest_offer(&near, second_word(&args_commands[i]));
	if (word.n > 0 && nearest_result(&near).n > 0) {
		buf_putf(error, "there is no command `%.*s ", STR_ARG(group));
		shown_put(error, word);
		buf_putf(error, "`; did you mean `%.*s %.*s`?", STR_ARG(group), STR_ARG(near.best));
		return ST_SYNTAX;
	}
	buf_putf(error, "`%.*s` needs one of: ", STR_ARG(group));
	for (size_t i = 0; i < args_command_count; i++) {
		if (!str_eq(first_word(&args_commands[i]), group))
			continue;
		buf_putf(
		    error, "%s%.*s", first ? "" : ", ", STR_ARG(second_word(&args_commands[i])));
		first = false;
	}
	return ST_SYNTAX;
}

static const struct command *
command_find(struct str first, struct str second)
{
	for (size_t i = 0; i < args_command_count; i++)
		if (str_eq(first_word(&args_commands[i]), first) &&
		    str_eq(second_word(&args_commands[i]), second))
			return &args_commands[i];
	return NULL;
}

/* What the words and the options are, before the command is known. */
struct scan {
	struct str words[2 + ARGS_OPERANDS_MAX + 1];
	size_t word_count;
};

static const struct option *
option_find(struct str name)
{
	for (int i = OPT_NONE + 1; i < OPT_COUNT; i++)
		if (str_eq(name, str_of_c(args_options[i].name)))
			return &args_options[i];
	return NULL;
}

static enum status
unknown_option(struct str name, struct buf *error)
{
	struct nearest near;

	nearest_init(&near, name);
	for (int i = OPT_NONE + 1; i < OPT_COUNT; i++)
		nearest_offer(&near, str_of_c(args_options[i].name));
	fail(error, "there is no option `", name, "`");
	if (nearest_result(&near).n > 0)
		buf_putf(error, "; did you mean `%.*s`?", STR_ARG(nearest_result(&near)));
	return ST_SYNTAX;
}

static enum status
value_check(const struct option *o, struct str value, struct buf *error)
{
	struct config_endpoint endpoint;
	struct config_ip ip;
	uint64_t n;
	const char *want = NULL;

	switch (o->kind) {
	case OPTION_FLAG:
		break;
	case OPTION_TEXT:
		want = value.n == 0 ? "a value" : NULL;
		break;
	case OPTION_HOSTNAME:
		want =
		    config_hostname_is_valid(value) ? NULL : "a host name such as mail.example.org";
		break;
	case OPTION_IP:
		want = config_ip_parse(value, &ip) == ST_OK ? NULL : "an IP address";
		break;
	case OPTION_ENDPOINT:
		want = config_endpoint_parse(value, &endpoint) == ST_OK
			   ? NULL
			   : "an address and a port, e.g. 127.0.0.1:53 or [::1]:53";
		break;
	case OPTION_PORT_OFFSET:
		want = str_to_u64(value, &n) == ST_OK && n <= CONFIG_PORT_OFFSET_MAX
			   ? NULL
			   : "a number from 0 to 64540";
		break;
	case OPTION_NUMBER:
		want = str_to_u64(value, &n) == ST_OK ? NULL : "a number";
		break;
	case OPTION_YES_NO:
		want = str_eq(value, STR("yes")) || str_eq(value, STR("no")) ? NULL : "yes or no";
		break;
	}
	if (want == NULL)
		return ST_OK;
	buf_putf(error, "%s needs %s, not `", o->name, want);
	return fail(error, "", value, "`");
}

/* arg begins with "--". next is the argument behind it (p NULL: none); *used_next says whether it
 * was the value. */
static enum status
option_take(struct args *a, struct str arg, struct str next, bool *used_next, struct buf *error)
{
	struct str name, value;
	bool joined = str_split(arg, '=', &name, &value);
	const struct option *o = option_find(name);

	*used_next = false;
	if (o == NULL)
		return unknown_option(name, error);
	if (o->kind == OPTION_FLAG && joined)
		return fail(error, "", name, " takes no value");
	if (o->kind != OPTION_FLAG && !joined) {
		if (next.p == NULL) {
			buf_putf(error, "%s needs a value: %s %s", o->name, o->name, o->value);
			return ST_SYNTAX;
		}
		value = next;
		*used_next = true;
	}
	a->has[o->id] = true;
	a->values[o->id] = value;
	return value_check(o, value, error);
}

static enum status
scan_args(int argc, const char *const *argv, struct scan *s, struct args *a, struct buf *error)
{
	bool options_end = false;

	for (int i = 1; i < argc; i++) {
		struct str arg = str_of_c(argv[i]);
		struct str next = i + 1 < argc ? str_of_c(argv[i + 1]) : STR_NULL;
		bool used_next;

		if (arg.n > ARGS_BYTES_MAX)
			return fail(error, "too long: `", arg, "...`");
		if (!options_end && str_eq(arg, STR("--"))) {
			options_end = true;
		} else if (!options_end && str_eq(arg, STR("-h"))) {
			a->has[OPT_HELP] = true;
		} else if (!options_end && str_has_prefix(arg, STR("-")) && arg.n > 1) {
			enum status st = option_take(a, arg, next, &used_next, error);

			if (st != ST_OK)
				return st;
			i += used_next;
		} else if (s->word_count == COUNT_OF(s->words)) {
			return fail(error, "one argument too many: `", arg, "`");
		} else {
			s->words[s->word_count++] = arg;
		}
	}
	return ST_OK;
}

static enum status
options_check(const struct args *a, struct buf *error)
{
	for (int i = OPT_NONE + 1; i < OPT_COUNT; i++) {
		if (!a->has[i] || command_takes(a->command, (enum option_id)i))
			continue;
		buf_putf(error, "`%s` takes no %s; `posthorn %s --help` says what it takes",
		    a->command->words, args_options[i].name, a->command->words);
		return ST_SYNTAX;
	}
	return ST_OK;
}

static enum status
operands_take(struct args *a, const struct str *words, size_t count, struct buf *error)
{
	const struct command *c = a->command;

	for (size_t i = 0; i < ARGS_OPERANDS_MAX && c->operands[i].name != NULL; i++) {
		if (i < count && words[i].n > 0) {
			a->operands[a->operand_count++] = words[i];
			continue;
		}
		if (c->operands[i].optional && i >= count)
			return ST_OK;
		buf_putf(
		    error, "`%s` needs %s: %s", c->words, c->operands[i].name, c->operands[i].help);
		return ST_SYNTAX;
	}
	if (count > a->operand_count)
		return fail(error, "one argument too many: `", words[a->operand_count], "`");
	return ST_OK;
}

/* "help" as a first word is the same as --help behind the rest. */
static void
help_word(struct scan *s, struct args *a)
{
	if (s->word_count == 0 || !str_eq(s->words[0], STR("help")))
		return;
	a->has[OPT_HELP] = true;
	s->word_count--;
	memmove(s->words, s->words + 1, s->word_count * sizeof(s->words[0]));
}

enum status
args_parse(int argc, const char *const *argv, struct args *out, struct buf *error_out)
{
	struct scan s = {.word_count = 0};
	struct str second;
	size_t used = 1;
	enum status st;

	*out = (struct args){.command = NULL};
	st = scan_args(argc, argv, &s, out, error_out);
	if (st != ST_OK)
		return st;
	help_word(&s, out);
	out->help = out->has[OPT_HELP] || s.word_count == 0;
	if (s.word_count == 0)
		return ST_OK;
	second = s.word_count > 1 ? s.words[1] : STR_NULL;
	if (is_group(s.words[0])) {
		out->command = command_find(s.words[0], second);
		used = 2;
		if (out->command == NULL && out->help && second.n == 0) {
			out->group = s.words[0];
			return ST_OK;
		}
		if (out->command == NULL)
			return unknown_in_group(s.words[0], second, error_out);
	} else {
		out->command = command_find(s.words[0], STR_NULL);
		if (out->command == NULL)
			return unknown_command(s.words[0], error_out);
	}
	if (out->help)
		return ST_OK;
	st = options_check(out, error_out);
	if (st != ST_OK)
		return st;
	return operands_take(out, s.words + used, s.word_count - used, error_out);
}

struct str
args_value(const struct args *a, enum option_id id, struct str fallback)
{
	return a->has[id] ? a->values[id] : fallback;
}

uint64_t
args_number(const struct args *a, enum option_id id, uint64_t fallback)
{
	uint64_t v = fallback;

	CHECK(args_options[id].kind == OPTION_PORT_OFFSET || args_options[id].kind == OPTION_NUMBER);
	/* Was checked when it was taken. */
	if (a->has[id])
		CHECK(str_to_u64(a->values[id], &v) == ST_OK);
	return v;
}

struct str
args_dir(const struct args *a, const char *env)
{
	struct str fallback = str_of_c(env);

	return args_value(a, OPT_DIR, fallback.n > 0 ? fallback : STR(ARGS_DIR_DEFAULT));
}
