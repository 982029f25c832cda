#include "cli/help.h"

#include <stdio.h>

#include "base/num.h"

static int
width_of_words(struct str group)
{
	size_t widest = 0;

	for (size_t i = 0; i < args_command_count; i++)
		if (str_has_prefix(str_of_c(args_commands[i].words), group))
			widest = size_max(widest, strlen(args_commands[i].words));
	return (int)widest;
}

static void
usage_write(struct buf *out, const struct command *c)
{
	buf_putf(out, "posthorn %s", c->words);
	for (size_t i = 0; i < ARGS_OPERANDS_MAX && c->operands[i].name != NULL; i++)
		buf_putf(out, c->operands[i].optional ? " [%s]" : " %s", c->operands[i].name);
	for (size_t i = 0; i < ARGS_OPTIONS_MAX && c->options[i] != OPT_NONE; i++) {
		const struct option *o = &args_options[c->options[i]];

		buf_putf(out, " [%s%s%s]", o->name, o->value ? " " : "", o->value ? o->value : "");
	}
	buf_put(out, STR(" [--dir DIR] [--json]\n"));
}

static void
option_write(struct buf *out, enum option_id id)
{
	const struct option *o = &args_options[id];
	char left[64];

	(void)snprintf(
	    left, sizeof(left), "%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
	buf_putf(out, "  %-22s  %s\n", left, o->help);
}

static const char *
place_sentence(enum command_place place)
{
	switch (place) {
	case COMMAND_LOCAL:
		return "Needs no running server.";
	case COMMAND_EITHER:
		return "Works while the server runs and while it is stopped.";
	case COMMAND_RUNNING:
		return "Needs the running server.";
	case COMMAND_STOPPED:
		return "Needs the server to be stopped.";
	}
	return "";
}

static void
exit_codes_write(struct buf *out)
{
	buf_putf(out,
	    "Exit codes: %d done, %d refused or failed, %d wrong usage, %d the server is not "
	    "reachable.\n",
	    EXIT_CODE_OK, EXIT_CODE_FAILED, EXIT_CODE_USAGE, EXIT_CODE_UNREACHABLE);
}

static void
command_write(struct buf *out, const struct command *c)
{
	usage_write(out, c);
	buf_putf(out, "\n%s\n", c->help);
	if (c->more != NULL)
		buf_putf(out, "%s\n", c->more);
	buf_putf(out, "%s\n\n", place_sentence(c->place));
	for (size_t i = 0; i < ARGS_OPERANDS_MAX && c->operands[i].name != NULL; i++)
		buf_putf(out, "  %-22s  %s\n", c->operands[i].name, c->operands[i].help);
	for (size_t i = 0; i < ARGS_OPTIONS_MAX && c->options[i] != OPT_NONE; i++)
		option_write(out, c->options[i]);
	option_write(out, OPT_DIR);
	option_write(out, OPT_JSON);
	option_write(out, OPT_HELP);
	buf_put_c(out, '\n');
	exit_codes_write(out);
}

static void
commands_write(struct buf *out, struct str group)
{
	int width = width_of_words(group);

	for (size_t i = 0; i < args_command_count; i++)
		if (str_has_prefix(str_of_c(args_commands[i].words), group))
			buf_putf(out, "  %-*s  %s\n", width, args_commands[i].words,
			    args_commands[i].help);
}

enum status
help_write(struct buf *out, const struct args *a)
{
	if (a->command != NULL) {
		command_write(out, a->command);
		return out->full ? ST_LIMIT : ST_OK;
	}
	buf_put(out, STR("posthorn COMMAND ...\n\n"));
	commands_write(out, a->group);
	buf_put(out, STR("\nAll commands take:\n"));
	option_write(out, OPT_DIR);
	option_write(out, OPT_JSON);
	option_write(out, OPT_HELP);
	buf_put_c(out, '\n');
	exit_codes_write(out);
	return out->full ? ST_LIMIT : ST_OK;
}
