/*
 * The text of a configuration before libconfuse sees it: all files as one, and clean.
 *
 * libconfuse 3.3 (Debian 12) counts a comment as three lines, keeps the state of its scanner after
 * an unterminated string (so that the next, right file is misread: fatal for reload), accepts a
 * section that is never closed, drops bytes it does not know without a word, and puts environment
 * variables into values. So everything it would stumble over is settled here, with the right file
 * and line:
 *
 *  - `include "file"`, alone on its line, is replaced by that file's lines; relative to the
 * including file;
 *  - comments (# // and slash-star) become blanks; a line stays a line;
 *  - strings end on their line and hold UTF-8 without control characters; braces are balanced
 * within a file;
 *  - outside of strings stand only the bytes that the grammar knows.
 *
 * Each line of the joined text remembers where it came from.
 */
#ifndef POSTHORN_CONFIG_TEXT_H
#define POSTHORN_CONFIG_TEXT_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/limits.h"

struct config_place {
	uint32_t file; /* index into text.files */
	uint32_t line; /* from 1 */
};

struct config_text {
	struct buf joined;
	struct buf places; /* struct config_place per line of joined */
	struct str files[CONFIG_INCLUDES_MAX + 1];
	size_t file_count;
	size_t line_count;
	struct arena *arena; /* borrows; file names live there */
};

/*
 * Appends the content of a file to out. ST_NOTFOUND and ST_DENIED as they are; ST_LIMIT when it is
 * longer than out may hold; everything else is ST_IO. `path` is as it was composed: absolute, or
 * relative to the process.
 */
typedef enum status config_read_fn(void *arg, struct str path, struct buf *out);

/* Everything until config_text_fini lives in arena (names) or in the two buffers. */
void config_text_init(struct config_text *t, struct arena *arena);
void config_text_fini(struct config_text *t);
/*
 * Adds `content` as file `path`, and what it includes by `read` (may be NULL: no includes then).
 * Anything but ST_OK has put "file:line: what" and a newline into error_out.
 */
enum status config_text_add(struct config_text *t, struct str path, struct str content,
    config_read_fn *read, void *read_arg, struct buf *error_out) MUST_USE;
/* The joined text from its line `line` (from 1) on, and what stands before that. Borrows. */
void config_text_cut(
    const struct config_text *t, unsigned line, struct str *before_out, struct str *from_out);
/* Appends "file:line: " for a line (from 1) of the joined text; just "file: " for line 0. */
void config_text_put_place(const struct config_text *t, unsigned line, struct buf *out);

#endif
