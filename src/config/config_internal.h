/* What the files of config/ share: the table of settings and what can be done with one of them. */
#ifndef POSTHORN_CONFIG_CONFIG_INTERNAL_H
#define POSTHORN_CONFIG_CONFIG_INTERNAL_H

#include "base/check.h"
#include "config/config.h"

enum setting_kind {
	KIND_COUNT,	 /* uint64_t */
	KIND_PROCESSES,	 /* uint64_t, "auto" is 0 */
	KIND_SIZE,	 /* uint64_t, bytes */
	KIND_DURATION,	 /* uint64_t, milliseconds */
	KIND_PORT,	 /* uint16_t */
	KIND_WORD,	 /* an enum; its values are the indices of words */
	KIND_DELIMITER,	 /* char */
	KIND_HOSTNAME,	 /* struct str */
	KIND_USER,	 /* struct str */
	KIND_PATH,	 /* struct str, joined to the folder */
	KIND_LOG_TARGET, /* struct str, a path; "stderr" is empty */
	KIND_SERVER,	 /* struct str: a host name, or an address without brackets */
	KIND_TEXT,	 /* struct str */
	KIND_SECRET,	 /* struct str that no message shows */
	KIND_ENDPOINT,	 /* struct config_endpoint */
	KIND_IPS,	 /* struct config_ips */
	KIND_NETWORKS,	 /* struct config_networks */
	KIND_PATHS,	 /* struct config_paths */
};

struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset; /* into the structure of its section */
	/* As the file would say it; lists with their braces. NULL: there is no default, it must be
	 * set. */
	const char *initial;
	const char *help;	  /* one line, for a person */
	uint64_t min, max;	  /* of numbers, in their base unit */
	const char *const *words; /* KIND_WORD, ends with NULL */
	bool needs_restart;
};

struct section {
	const char *name; /* "" is the top of the file */
	const char *help;
	const struct setting *settings;
	size_t count;
	const char *title;	     /* what its name says; NULL for sections that exist once */
	const struct section *inner; /* a titled section inside, or NULL */
};

/* All that exist once, the top of the file first; offsets count from struct config. */
extern const struct section config_sections[];
extern const size_t config_section_count;
/* Offsets count from struct config_listener. */
extern const struct section config_listener_section;
/* Offsets count from struct config_route. */
extern const struct section config_route_section;
/* Offsets count from struct certificate_raw. */
extern const struct section config_certificate_section;

struct certificate_raw {
	struct config_paths chain;
	struct config_paths key;
};

bool setting_is_list(const struct setting *s);
/* Is its value written in double quotes? */
bool setting_is_quoted(const struct setting *s);
/*
 * Reads the texts (one, or any number for a list) into the field at base + s->offset. Copies into
 * a. On failure why says what is wrong with them, without the setting's name.
 */
enum status setting_read(const struct setting *s, struct arena *a, struct str folder,
    const struct str *texts, size_t count, void *base, struct buf *why) MUST_USE;
bool setting_is_equal(const struct setting *s, const void *base_a, const void *base_b);
/* The scalar default into the field; for settings without one, the field stays zero. */
void setting_read_initial(const struct setting *s, struct arena *a, struct str folder, void *base);

/* Copies s into a, A-Z as a-z. ST_LIMIT: a is full. */
enum status config_lower_copy(struct arena *a, struct str s, struct str *out) MUST_USE;

struct parse;
/* Collects one finding: "file:line: text\n". line counts in the joined text, 0 is the file as a
 * whole. */
void parse_error(struct parse *p, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* What is wrong between settings; parse_error for each. lines: of each listener, as in c. */
void config_check(struct parse *p, struct config *c, const unsigned *listener_lines);
/* The generated listeners, when the file names none. ST_LIMIT when the arena is full. */
enum status config_listeners_generate(struct config *c) MUST_USE;

#endif
