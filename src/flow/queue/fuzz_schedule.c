/* Bytes choose the calls; the schedule must agree with its model. */
#include <stdlib.h>

#include "base/cur.h"
#include "flow/queue/schedule_model.h"

#define CALLS_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *p;
	size_t n, at;
};

/* After the last byte all is 0. */
static uint64_t
bytes_below(void *arg, uint64_t n)
{
	struct bytes *b = arg;
	uint64_t v = b->at < b->n ? b->p[b->at++] : 0;

	if (n > 256 && b->at < b->n)
		v = v << 8 | b->p[b->at++];
	return v % n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = {data, size, 0};
	struct model_source source = {bytes_below, &b};
	unsigned calls = size / 4 < CALLS_MAX ? (unsigned)(size / 4) : CALLS_MAX;

	if (!schedule_model_run(&source, calls))
		abort();
	return 0;
}
