#include "base/metrics.h"

static struct metric *metrics_first;

static void
metric_register(struct metric *m)
{
	if (m->is_registered)
		return;
	m->is_registered = true;
	m->next = metrics_first;
	metrics_first = m;
}

void
metric_add(struct metric *m, uint64_t by)
{
	metric_register(m);
	m->v += by;
}

void
metric_set(struct metric *m, uint64_t v)
{
	metric_register(m);
	m->v = v;
}

enum status
metrics_render(struct buf *out, const char *role)
{
	for (const struct metric *m = metrics_first; m != NULL; m = m->next) {
		(void)buf_putf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
		    m->is_gauge ? "gauge" : "counter");
		(void)buf_putf(out, "%s{role=\"%s\"} ", m->name, role);
		(void)buf_put_u64(out, m->v);
		(void)buf_put_c(out, '\n');
	}
	return out->full ? ST_LIMIT : ST_OK;
}
