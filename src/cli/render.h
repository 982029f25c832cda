/*
 * The server's answers, one small JSON document each, as text for a person. Known members, any of
 *them together, shown in this order:
 *
 *	{"message": "..."}			a sentence
 *	{"fields": {"key": value, ...}}		"key: value" lines, aligned
 *	{"rows": [{...}], "columns": ["a"]}	a table; without columns those of the first row
 *	{"sections": [{"title": "...", "lines": [...]}]}	lines under their titles
 *	{"lines": ["...", {"text": "..."}]}	lines; of an object its text
 *	{"records": [{"name", "type", "value", "why"}]}	lines of a zone file, the reason as a comment before
 *	{"remarks": ["..."]}			further comments of a zone file
 *	{"error": "...", "mend": "..."}		"posthorn: ..." and how to mend it, on stderr
 *
 * Numbers whose name ends in _bytes are shown as 1.5k, 20M, 3G, those in _seconds as 45 s, 12 min, 3 h, 2 d. Values may come from strangers
 *(addresses, names): whatever moves a cursor or turns the direction of text is shown as "?".
 */
#ifndef POSTHORN_CLI_RENDER_H
#define POSTHORN_CLI_RENDER_H

#include "base/buf.h"

/*
 * Appends to out (stdout) and err (stderr). ST_OK; ST_DENIED when the document is an error (exit
 * code 1); ST_SYNTAX, with a sentence in err, when it is no such document; ST_LIMIT when out or err
 * is full.
 */
enum status render_text(struct str json, struct buf *out, struct buf *err) MUST_USE;
/* --json: the document on one line, in out also when it is an error. The same results. */
enum status render_json(struct str json, struct buf *out, struct buf *err) MUST_USE;

#endif
