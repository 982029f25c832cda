/* A slow schedule that is plainly right, and a run of random calls that compares the two. For
 * tests. */
#ifndef POSTHORN_FLOW_QUEUE_SCHEDULE_MODEL_H
#define POSTHORN_FLOW_QUEUE_SCHEDULE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* Where the decisions of a run come from: a number in 0..n-1. */
struct model_source {
	uint64_t (*below)(void *arg, uint64_t n);
	void *arg;
};

/* Makes `calls` calls, then empties the schedule. False, and said on stderr: the two differ. */
bool schedule_model_run(const struct model_source *source, unsigned calls);

#endif
