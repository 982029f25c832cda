/*
 * Functions that nobody here may call: the compiler refuses the names (tools/check-banned says the
 * same for code this build leaves out). Forced in front of every file by meson.build.
 *
 * The system's headers declare these names themselves, so they come first.
 */
#ifndef POSTHORN_BASE_BANNED_H
#define POSTHORN_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* No length, no bound, or state shared by all callers; alloca has no failure but a crash. */
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat strncpy strtok sprintf vsprintf gets scanf sscanf fscanf atoi atol
#undef alloca
#pragma GCC poison gmtime localtime asctime ctime alloca
/* A shell. */
#pragma GCC poison system popen

#endif
