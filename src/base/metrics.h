/*
 * Counters and gauges of this process. Names are static; values are plain u64 of one thread
 * (a helper thread hands its numbers to the loop thread). Rendered in Prometheus text format.
 */
#ifndef POSTHORN_BASE_METRICS_H
#define POSTHORN_BASE_METRICS_H

#include "base/buf.h"

struct metric {
	const char *name;	/* posthorn_smtp_messages_total */
	const char *help;
	bool is_gauge;
	uint64_t v;
	struct metric *next;	/* owned by the registry */
	bool is_registered;
};

#define METRIC_COUNTER(n, h) {.name = (n), .help = (h), .is_gauge = false}
#define METRIC_GAUGE(n, h) {.name = (n), .help = (h), .is_gauge = true}

/* Registers on first use; m has static storage. */
void metric_add(struct metric *m, uint64_t by);
void metric_set(struct metric *m, uint64_t v);
enum status metrics_render(struct buf *out, const char *role);

#endif
