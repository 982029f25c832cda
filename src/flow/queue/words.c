#include "flow/queue/words.h"

static void
span_put(struct buf *out, uint64_t now_ms, uint64_t then_ms)
{
	uint64_t s = then_ms > now_ms ? (then_ms - now_ms + 999) / 1000 : 0;

	if (s < 120)
		(void)buf_putf(out, "%llu s", (unsigned long long)s);
	else if (s < 7200)
		(void)buf_putf(out, "%llu min", (unsigned long long)((s + 59) / 60));
	else
		(void)buf_putf(out, "%llu h %llu min", (unsigned long long)(s / 3600), (unsigned long long)(s % 3600 / 60));
}

void
queue_why_put(struct buf *out, const struct schedule_why *w, uint64_t now_ms)
{
	switch (w->reason) {
	case SCHEDULE_RUNNING:
		(void)buf_put(out, STR("it is being sent now"));
		return;
	case SCHEDULE_HELD:
		(void)buf_put(out, STR("it is on hold; `posthorn queue release` lets it go"));
		return;
	case SCHEDULE_DUE_LATER:
		(void)buf_put(out, STR("its next try is in "));
		span_put(out, now_ms, w->due_ms);
		return;
	case SCHEDULE_DESTINATION_DEAD:
		(void)buf_putf(out, "the destination did not answer %u times in a row; ", w->failures);
		if (w->is_probing) {
			(void)buf_put(out, STR("another message finds out now whether it does again"));
			return;
		}
		(void)buf_put(out, STR("it is tried again in "));
		span_put(out, now_ms, w->until_ms);
		return;
	case SCHEDULE_DESTINATION_BUSY:
		(void)buf_putf(out, "%u of %u connections that the destination gets at the moment are in use; its turn comes when one is free",
		    w->running, w->limit);
		return;
	case SCHEDULE_GLOBAL_LIMIT:
		(void)buf_putf(out, "%u of %u connections that may be used in all are in use (relay.connections)", w->running, w->limit);
		return;
	case SCHEDULE_DUE_NOW:
		(void)buf_put(out, STR("its turn comes now"));
		return;
	}
}
