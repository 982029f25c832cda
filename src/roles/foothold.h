/*
 * A deliberate foothold in smtpin, in test builds only (-Dfoothold=true): what somebody who took
 * over this process could try. Every attempt must fail; tests/scenario/foothold proves it. In
 * ordinary builds these do nothing.
 */
#ifndef POSTHORN_ROLES_FOOTHOLD_H
#define POSTHORN_ROLES_FOOTHOLD_H

#include "base/str.h"

struct role;
struct receive;

#ifdef POSTHORN_FOOTHOLD
/* Both borrowed; from now on sessions of rc whose HELO name begins with "foothold-" reach
 * foothold_try at MAIL. */
void foothold_enable(struct role *r, struct receive *rc);
/*
 * "foothold-WHAT.test" or "foothold-WHAT-NUMBER.test": tries it and writes to the log what came of
 * it; the number is a port or a process. False when the name is no command. May not return: that is
 * what the sandbox is for.
 */
bool foothold_try(struct str helo);
#else
static inline void
foothold_enable(struct role *r, struct receive *rc)
{
	(void)r;
	(void)rc;
}
#endif

#endif
