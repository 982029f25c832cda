/* Why an entry waits, in words for a person. */
#ifndef POSTHORN_FLOW_QUEUE_WORDS_H
#define POSTHORN_FLOW_QUEUE_WORDS_H

#include "base/buf.h"
#include "flow/queue/schedule.h"

/* Appends a sentence without a full stop. now_ms: of the clock that w was made with. */
void queue_why_put(struct buf *out, const struct schedule_why *w, uint64_t now_ms);

#endif
