/* Forgetting events that are older than `queue.trace_days`: a few at a time, when a tick finds some. */
#include "base/check.h"
#include "flow/report/event.h"
#include "roles/store_role.h"

#define DAY_MS (24u * 3600 * 1000)

static enum status
forget_txn(struct txn *t, void *arg)
{
	struct store_role *s = arg;
	bool is_done;

	return event_prune(t, store_role_wall_ms(s) - (uint64_t)role_settings(s->role)->trace_days * DAY_MS, &is_done);
}

static void
forget_done(void *arg, enum status st)
{
	struct store_role *s = arg;

	(void)st;
	s->is_forgetting = false;
}

void
store_events_forget(struct store_role *s)
{
	uint64_t now = store_role_wall_ms(s), keep_ms = (uint64_t)role_settings(s->role)->trace_days * DAY_MS, oldest_ms;

	if (s->is_forgetting || keep_ms == 0 || now < keep_ms || store_is_busy(s->store) || store_is_full(s->store))
		return;
	if (event_oldest(store_snapshot(s->store), &oldest_ms) != ST_OK || oldest_ms >= now - keep_ms)
		return;
	s->is_forgetting = store_transact(s->store, forget_txn, s, forget_done, s) == ST_OK;
}
