/*
 * The command line as one table: what words a command has, what it takes and where it can run.
 * Parsing, --help, suggestions (and a man page or completion) are made from it. No globals: a
 * result is a struct args, which borrows from argv.
 */
#ifndef POSTHORN_CLI_ARGS_H
#define POSTHORN_CLI_ARGS_H

#include "base/buf.h"

/* Exit codes of the program. */
enum args_exit {
	EXIT_CODE_OK = 0,
	EXIT_CODE_FAILED = 1, /* refused or failed; the reason is on stderr */
	EXIT_CODE_USAGE = 2,
	EXIT_CODE_UNREACHABLE = 3, /* the server does not run or does not answer */
};

#define ARGS_OPERANDS_MAX 2
#define ARGS_OPTIONS_MAX 8
/* Longer arguments are refused: no name, address or path that we take is as long. */
#define ARGS_BYTES_MAX 4096
#define ARGS_DIR_DEFAULT "/var/lib/posthorn"
#define ARGS_DIR_ENV "POSTHORN_DIR"

enum command_id {
	CMD_QUICKSTART,
	CMD_SERVE,
	CMD_STOP,
	CMD_RELOAD,
	CMD_RESTART,
	CMD_STATUS,
	CMD_CONFIG_CHECK,
	CMD_DOMAIN_ADD,
	CMD_DOMAIN_LIST,
	CMD_DOMAIN_REMOVE,
	CMD_DOMAIN_ALIAS,
	CMD_DOMAIN_CATCH_ALL,
	CMD_DOMAIN_DNS,
	CMD_DOMAIN_KEYS,
	CMD_ACCOUNT_ADD,
	CMD_ACCOUNT_LIST,
	CMD_ACCOUNT_REMOVE,
	CMD_ACCOUNT_PASSWORD,
	CMD_ALIAS_ADD,
	CMD_ALIAS_LIST,
	CMD_ALIAS_REMOVE,
	CMD_QUEUE_LIST,
	CMD_QUEUE_SHOW,
	CMD_QUEUE_WHY,
	CMD_QUEUE_HOLD,
	CMD_QUEUE_RELEASE,
	CMD_QUEUE_RETRY,
	CMD_QUEUE_REMOVE,
	CMD_QUEUE_EXPIRE,
	CMD_TRACE,
	CMD_LOG_FOLLOW,
	CMD_STORE_CHECK,
	CMD_STORE_STATS,
	CMD_STORE_BACKUP,
	CMD_STORE_RESTORE,
	CMD_DEMO,
	CMD_VERSION,
};

enum option_id {
	OPT_NONE, /* ends a command's list */
	OPT_DIR,
	OPT_JSON,
	OPT_HELP,
	OPT_HOSTNAME,
	OPT_LISTEN,
	OPT_PORT_OFFSET,
	OPT_RESOLVER,
	OPT_PASSWORD_STDIN,
	OPT_YES,
	OPT_SINGLE,
	OPT_POP3_DELETE,
	OPT_DESTINATION,
	OPT_SENDER,
	OPT_HELD,
	OPT_ALL,
	OPT_LAST,
	OPT_SINCE,
	OPT_MAKE,
	OPT_COUNT,
};

enum option_kind {
	OPTION_FLAG,
	OPTION_TEXT,
	OPTION_HOSTNAME,
	OPTION_IP,
	OPTION_ENDPOINT, /* HOST:PORT, HOST an address */
	OPTION_PORT_OFFSET,
	OPTION_NUMBER,
	OPTION_YES_NO,
};

struct option {
	enum option_id id;
	const char *name;  /* "--dir" */
	const char *value; /* how help calls its value; NULL for flags */
	enum option_kind kind;
	const char *help;
};

/* Where a command can do its work. */
enum command_place {
	COMMAND_LOCAL,	/* touches no server */
	COMMAND_EITHER, /* on a running server through its control socket, on a stopped one directly
			 */
	COMMAND_RUNNING, /* needs the server; EXIT_CODE_UNREACHABLE without */
	COMMAND_STOPPED, /* needs the server stopped */
};

struct operand {
	const char *name; /* "ADDRESS" */
	const char *help;
	bool optional;
};

struct command {
	enum command_id id;
	const char *words; /* "domain add" */
	const char *help;  /* one line */
	const char *more;  /* further sentences for its own --help, or NULL */
	enum command_place place;
	struct operand operands[ARGS_OPERANDS_MAX]; /* name NULL: none */
	enum option_id
	    options[ARGS_OPTIONS_MAX]; /* besides --dir, --json and --help, which all take */
};

extern const struct command args_commands[];
extern const size_t args_command_count;
/* Indexed by id; [OPT_NONE] is empty. */
extern const struct option args_options[OPT_COUNT];

struct args {
	const struct command *command; /* NULL with help: of the whole program */
	bool help;		       /* show it and leave with EXIT_CODE_OK */
	struct str group; /* with help and no command: only the commands of this first word */
	struct str operands[ARGS_OPERANDS_MAX];
	size_t operand_count;
	bool has[OPT_COUNT];
	struct str values[OPT_COUNT]; /* the last one given wins */
};

/*
 * argv[0] is skipped. ST_SYNTAX (EXIT_CODE_USAGE) puts one line into error_out: what is wrong, and
 * the nearest right word or the usage. Without any argument, help is set.
 */
enum status args_parse(
    int argc, const char *const *argv, struct args *out, struct buf *error_out) MUST_USE;

/* The value of an option, or fallback when it was not given. */
struct str args_value(const struct args *a, enum option_id id, struct str fallback);
/* A checked number; fallback when it was not given. */
uint64_t args_number(const struct args *a, enum option_id id, uint64_t fallback);
/* --dir, else env (the value of ARGS_DIR_ENV, may be NULL), else ARGS_DIR_DEFAULT. */
struct str args_dir(const struct args *a, const char *env);
/* Does the command take it, itself or as all do? */
bool command_takes(const struct command *c, enum option_id id);

#endif
