/*
 * A deliberate foothold in smtpin, in test builds only (-Dfoothold=true): what somebody who took over this process
 * could try. Every attempt must fail; tests/scenario proves it. In ordinary builds these do nothing.
 */
#ifndef POSTHORN_ROLES_FOOTHOLD_H
#define POSTHORN_ROLES_FOOTHOLD_H

#include "base/str.h"

struct role;

#ifdef POSTHORN_FOOTHOLD
void foothold_enable(struct role *r);
/* True when the HELO name is a command to the foothold ("foothold-open.test"): tries it, writes to the log what came of it. */
bool foothold_try(struct str helo);
#else
static inline void
foothold_enable(struct role *r)
{
	(void)r;
}
#endif

#endif
