/*
 * charset: bytes in a named charset to UTF-8. ICU is used here and nowhere else in the library.
 *
 * Built in: UTF-8, US-ASCII, ISO-8859-1, windows-1252. ISO-8859-1 is read as windows-1252, because
 * text that says the first and uses the bytes 80-9f means the second (as browsers do). Text that is
 * said to be US-ASCII, or nothing, and holds 8-bit bytes is UTF-8 when it is valid as such, else
 * windows-1252.
 */
#ifndef POSTHORN_STANDARDS_MIME_CHARSET_H
#define POSTHORN_STANDARDS_MIME_CHARSET_H

#include "base/buf.h"

/*
 * Opens the other charsets of mail (about 40) once; call it before a sandbox. No file is opened
 * afterwards: without this call, and for charsets not in the table, 8-bit bytes become U+FFFD. The
 * converters live as long as the process; they are for one thread. Costs about a millisecond.
 * Calling it again does nothing.
 */
void mime_charset_preload(void);
/* True when text in it can be converted now. The name in any case, with or without dashes. */
bool mime_charset_is_known(struct str name);
/* Appends text as UTF-8, always valid. ST_LIMIT when out is full; what fitted is there. */
enum status mime_charset_to_utf8(struct str name, struct str text, struct buf *out);

#endif
