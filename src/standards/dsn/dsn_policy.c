/* Whether a notice may go out at all. */
#include "standards/dsn/dsn_internal.h"

bool
dsn_may_notify(enum dsn_action action, const struct dsn_policy *p)
{
	/* RFC 5321 4.5.5, RFC 3461 5.2: never about a notice, or two servers write to each other
	 * for ever. */
	if (p->reverse_path.n == 0)
		return false;
	/* RFC 3461 4.1: NEVER stands alone; whoever sends it with others gets what is silent. */
	if (p->notify & DSN_NOTIFY_NEVER)
		return false;
	switch (action) {
	case DSN_FAILED:
		/* RFC 3461 5.2.6 (c). Also to lists and robots: who sent it must learn that the
		 * address is dead. */
		return p->notify == 0 || p->notify & DSN_NOTIFY_FAILURE;
	case DSN_DELAYED:
		/* RFC 3461 5.2.5 allows it, RFC 3834 2: nobody reads it there. */
		if (p->has_auto_submitted || p->is_bulk || p->has_list_id)
			return false;
		return p->notify == 0 || p->notify & DSN_NOTIFY_DELAY;
	case DSN_DELIVERED:
	case DSN_RELAYED:
	case DSN_EXPANDED:
		/* RFC 3461 5.2.3: only when asked for. */
		return p->notify & DSN_NOTIFY_SUCCESS;
	case DSN_UNKNOWN:
		break;
	}
	return false;
}
