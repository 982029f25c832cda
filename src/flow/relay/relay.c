#include "flow/relay/relay.h"

#include <stdlib.h>

#include "base/metrics.h"
#include "flow/relay/relay_internal.h"

enum { SWEEP_MS = 1000, FREE_TURNS_MAX = 1000 };

static struct metric m_sent =
    METRIC_COUNTER("posthorn_relay_sent_total", "Recipients that other servers took");
static struct metric m_deferred =
    METRIC_COUNTER("posthorn_relay_deferred_total", "Recipients that have to wait, for each try");
static struct metric m_failed =
    METRIC_COUNTER("posthorn_relay_failed_total", "Recipients that other servers refused");
static struct metric m_connections =
    METRIC_COUNTER("posthorn_relay_connections_total", "Connections to other servers");

/* ---- what the files share ---- */

uint64_t
relay_now_ms(const struct relay *r)
{
	return clock_mono_ms(loop_clock(r->loop));
}

struct str
relay_hostname(const struct relay *r)
{
	return str_of(r->hostname, r->hostname_n);
}

bool
relay_is_own_name(const struct relay *r, struct str name)
{
	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	return str_eq_ci(name, relay_hostname(r));
}

void
relay_host_set(struct relay_host *h, struct str name)
{
	CHECK(name.n <= RELAY_HOST_BYTES_MAX);
	h->n = (uint8_t)name.n;
	if (name.n > 0)
		memcpy(h->name, name.p, name.n);
}

void
relay_ask_add(struct relay_job *j, struct relay_ask *a, uint8_t kind, uint8_t index)
{
	CHECK(a->id == 0);
	*a = (struct relay_ask){.job = j, .kind = kind, .index = index};
	a->id = slots_add(&j->r->asks, a);
	CHECK(a->id != 0);
}

void
relay_ask_del(struct relay *r, struct relay_ask *a)
{
	slots_del(&r->asks, a->id);
	a->id = 0;
}

void
relay_done_put(struct relay *r, const struct rec_relay_done *d)
{
	struct link *queue = r->ops->queue(r->ops_arg);

	if (queue != NULL)
		(void)rec_relay_done_put(link_out(queue), d);
}

/* ---- the sweep: jobs whose answers from our own roles are overdue ---- */

static void
sweep(void *arg)
{
	struct relay *r = arg;
	struct relay_job *j;
	uint64_t now_ms = relay_now_ms(r);
	uint32_t it = 0;

	r->sweep.v = 0;
	while ((j = slots_next(&r->jobs, &it)) != NULL)
		relay_job_check_time(j, now_ms);
	if (r->jobs.n > 0)
		relay_sweep_start(r);
}

void
relay_sweep_start(struct relay *r)
{
	if (r->sweep.v == 0)
		r->sweep = loop_timer_add(r->loop, SWEEP_MS, sweep, r);
}

void
relay_ended(struct relay *r)
{
	if (r->jobs.n == 0)
		loop_timer_del(r->loop, &r->sweep);
	if (!r->is_stopping || r->is_stopped || r->jobs.n > 0 || r->sessions.n > 0)
		return;
	r->is_stopped = true;
	loop_timer_del(r->loop, &r->stop_timer);
	if (r->stopped != NULL)
		(void)loop_post(r->loop, r->stopped, r->stopped_arg);
}

/* ---- records ---- */

static bool
on_relay(struct relay *r, struct cur *c)
{
	struct rec_relay rec;

	return rec_relay_take(c, &rec) && relay_job_new(r, &rec);
}

static bool
on_message(struct relay *r, struct cur *c)
{
	struct str payload = cur_rest(c);
	struct rec_queue_message m;
	struct relay_job *j;

	if (!rec_queue_message_take(c, &m))
		return false;
	j = slots_get(&r->jobs, m.job);
	return j == NULL || relay_job_message(j, payload);
}

static bool
on_piece(struct relay *r, struct cur *c)
{
	struct rec_queue_piece p;
	struct relay_job *j;

	if (!rec_queue_piece_take(c, &p))
		return false;
	j = slots_get(&r->jobs, p.job);
	return j == NULL || relay_content_piece(j, &p);
}

static bool
on_dns_answer(struct relay *r, struct cur *c)
{
	struct rec_dns_answer a;
	struct relay_ask *ask;
	struct relay_job *j;
	uint8_t kind;

	if (!rec_dns_answer_take(c, &a))
		return false;
	ask = slots_get(&r->asks, a.ask);
	if (ask == NULL || ask->kind == RELAY_ASK_SIGN)
		return true;
	j = ask->job;
	kind = ask->kind;
	relay_ask_del(r, ask);
	relay_search_answer(j, kind, &a);
	return true;
}

static bool
on_signed(struct relay *r, struct cur *c)
{
	struct rec_dkim_signed a;
	struct relay_ask *ask;

	if (!rec_dkim_signed_take(c, &a))
		return false;
	ask = slots_get(&r->asks, a.ticket);
	if (ask == NULL || ask->kind != RELAY_ASK_SIGN)
		return true;
	relay_ask_del(r, ask);
	relay_sign_answer(ask->job, ask->index, a.signature);
	return true;
}

bool
relay_record(struct relay *r, enum record_type t, struct cur *c)
{
	if (t == REC_RELAY)
		return on_relay(r, c);
	if (t == REC_QUEUE_MESSAGE)
		return on_message(r, c);
	if (t == REC_QUEUE_PIECE)
		return on_piece(r, c);
	if (t == REC_DNS_ANSWER)
		return on_dns_answer(r, c);
	if (t == REC_DKIM_SIGNED)
		return on_signed(r, c);
	return false;
}

static void
keys_down(struct relay_job *j)
{
	if (j->signing == NULL || j->signing->due == 0)
		return;
	relay_reason_set(
	    &j->reason, 451, 3, 0, "the message cannot be signed at the moment: keys went away");
	relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
}

static void
queue_down(struct relay_job *j)
{
	if (!j->is_orphan)
		j->r->orphans_n++;
	j->is_orphan = true;
}

void
relay_link_down(struct relay *r, enum role_kind peer)
{
	struct relay_job *j;
	uint32_t it = 0;

	while ((j = slots_next(&r->jobs, &it)) != NULL) {
		if (peer == ROLE_STORE)
			relay_job_store_down(j);
		else if (peer == ROLE_RESOLVER)
			relay_search_down(j);
		else if (peer == ROLE_KEYS)
			keys_down(j);
		else if (peer == ROLE_QUEUE)
			queue_down(j);
	}
}

/* ---- the whole ---- */

struct relay *
relay_new(struct loop *l, const struct relay_ops *ops, void *arg)
{
	struct relay *r = calloc(1, sizeof(*r));

	CHECK(r != NULL);
	r->loop = l;
	r->ops = ops;
	r->ops_arg = arg;
	slots_init(&r->jobs, RELAY_JOBS_MAX);
	slots_init(&r->asks, RELAY_JOBS_MAX * (RELAY_KEYS_MAX + 3));
	slots_init(&r->sessions, RELAY_SESSIONS_MAX);
	map_init(&r->idle, RELAY_POOL_MAX);
	map_init(&r->bad, RELAY_BAD_MAX);
	prng_init(&r->random, rnd_u64());
	CHECK(relay_routes_new(STR_NULL, &r->routes) == ST_OK);
	CHECK(relay_set(r, &(struct relay_settings){.hostname = STR("localhost"), .port = 25}) ==
	      ST_OK);
	return r;
}

void
relay_free(struct relay **rp)
{
	struct relay *r = *rp;
	struct relay_session *s;
	struct relay_job *j;
	uint32_t it = 0;

	*rp = NULL;
	if (r == NULL)
		return;
	r->is_stopping = r->is_stopped = true;
	while ((j = slots_next(&r->jobs, &it)) != NULL)
		relay_job_free(&j);
	it = 0;
	while ((s = slots_next(&r->sessions, &it)) != NULL)
		relay_session_abort(s);
	/* Their last callbacks come from the loop. */
	for (int i = 0; r->sessions.n > 0 && i < FREE_TURNS_MAX; i++)
		(void)loop_turn(r->loop, 0);
	loop_timer_del(r->loop, &r->sweep);
	loop_timer_del(r->loop, &r->stop_timer);
	slots_fini(&r->jobs);
	slots_fini(&r->asks);
	slots_fini(&r->sessions);
	map_fini(&r->idle);
	map_fini(&r->bad);
	relay_routes_unref(&r->routes);
	free(r);
}

static bool
is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 32 || s.p[i] >= 127)
			return false;
	return s.n > 0 && s.n <= SMTP_DOMAIN_MAX;
}

enum status
relay_set(struct relay *r, const struct relay_settings *o)
{
	struct relay_routes *routes;

	if (!is_name(o->hostname) || relay_routes_new(o->routes, &routes) != ST_OK)
		return ST_SYNTAX;
	memcpy(r->hostname, o->hostname.p, o->hostname.n);
	r->hostname_n = o->hostname.n;
	r->port = o->port;
	r->idle_ms = o->idle_ms;
	relay_routes_unref(&r->routes);
	r->routes = routes;
	for (int i = 0; i < 6; i++)
		r->conf[i / 2][i % 2] = (struct smtp_client_conf){.helo = relay_hostname(r),
		    .starttls = (enum smtp_client_starttls)(i / 2),
		    .is_pipelining_allowed = true,
		    .has_auth = i % 2 != 0};
	relay_pool_end(r);
	return ST_OK;
}

void
relay_set_tls(struct relay *r, struct tls_context *tls)
{
	r->tls = tls;
}

static void
stop_now(void *arg)
{
	struct relay *r = arg;
	struct relay_session *s;
	struct relay_job *j;
	uint32_t it = 0;

	r->stop_timer.v = 0;
	while ((j = slots_next(&r->jobs, &it)) != NULL) {
		if (j->is_told) {
			relay_job_free(&j);
			continue;
		}
		relay_reason_set(&j->reason, 451, 3, 2, "the relay is stopping");
		relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
	}
	it = 0;
	while ((s = slots_next(&r->sessions, &it)) != NULL)
		relay_session_abort(s);
}

void
relay_stop(struct relay *r, loop_fn *done, void *arg)
{
	if (r->is_stopping)
		return;
	r->is_stopping = true;
	r->stopped = done;
	r->stopped_arg = arg;
	relay_pool_end(r);
	r->stop_timer = loop_timer_add(r->loop, RELAY_STOP_MS, stop_now, r);
	relay_ended(r);
}

size_t
relay_jobs(const struct relay *r)
{
	return r->jobs.n;
}

size_t
relay_connections(const struct relay *r)
{
	return r->sessions.n;
}

const struct relay_counters *
relay_counters(const struct relay *r)
{
	metric_set(&m_sent, r->counters.sent);
	metric_set(&m_deferred, r->counters.deferred);
	metric_set(&m_failed, r->counters.failed);
	metric_set(&m_connections, r->counters.connections);
	return &r->counters;
}
