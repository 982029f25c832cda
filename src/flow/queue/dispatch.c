#include "flow/queue/dispatch.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/enc.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/siphash.h"
#include "base/slots.h"
#include "flow/queue/backoff.h"
#include "flow/queue/words.h"

static struct metric m_sent = METRIC_COUNTER("posthorn_relay_results_total", "Tries whose result is durable");

/* A message and a destination are named by 16 bytes: the id and a keyed hash. Two destinations of one message never share it but by a miracle. */
enum { NAME_BYTES = 16 };

enum job_state { JOB_WITH_RELAY, JOB_WITH_STORE, JOB_WAITS };

/* One entry on its way. */
struct job {
	struct dispatch *d;
	uint64_t id, entry, message;
	uint32_t attempts;
	uint16_t relay_index;
	enum job_state state;
	enum schedule_outcome outcome;
	struct loop_id timer;
	struct buf result;	/* QUEUE_RESULT as a frame, kept until the store has it */
	uint16_t destination_n;
	char destination[SCHEDULE_DESTINATION_BYTES_MAX];
};

struct dispatch {
	struct loop *loop;
	const struct dispatch_ops *ops;
	void *arg;
	struct dispatch_settings settings;
	struct schedule *schedule;
	struct map known;	/* name -> id of its entry, as a pointer's value */
	struct slots jobs;
	struct loop_id wake, post;
	uint64_t hash_key[2], spread;
	uint32_t with_relay[UINT8_MAX + 1];
	bool is_stopping, is_loading;
	uint64_t loaded_n, jobs_n, deferred_n, lost_n;
};

static uint64_t
now_ms(const struct dispatch *d)
{
	return clock_mono_ms(loop_clock(d->loop));
}

/* Due times are the wall clock's in the store and the monotonic clock's in the schedule, so that a jump does not make everything due. */
static uint64_t
mono_of_wall(const struct dispatch *d, uint64_t wall_ms)
{
	uint64_t wall_now = clock_wall_ms(loop_clock(d->loop)), now = now_ms(d);

	if (wall_ms <= wall_now)
		return now;
	return now + (wall_ms - wall_now);
}

static struct str
name_of(const struct dispatch *d, uint64_t message, struct str destination, char out[NAME_BYTES])
{
	le64_put(out, message);
	le64_put(out + 8, siphash(d->hash_key[0], d->hash_key[1], destination));
	return str_of(out, NAME_BYTES);
}

/* ---- running ---- */

static void dispatch_run(struct dispatch *d);

static void
on_post(void *arg)
{
	struct dispatch *d = arg;

	d->post = (struct loop_id){0};
	dispatch_run(d);
}

/* Once per turn, when all records of it have been seen. */
static void
run_soon(struct dispatch *d)
{
	if (d->post.v == 0)
		d->post = loop_post(d->loop, on_post, d);
}

static void
on_wake(void *arg)
{
	struct dispatch *d = arg;

	d->wake = (struct loop_id){0};
	dispatch_run(d);
}

static void
wake_set(struct dispatch *d)
{
	uint64_t at = schedule_wake_ms(d->schedule), now = now_ms(d);

	loop_timer_del(d->loop, &d->wake);
	if (at != UINT64_MAX)
		d->wake = loop_timer_add(d->loop, at > now ? at - now : 1, on_wake, d);
}

static void
job_free(struct job *k)
{
	loop_timer_del(k->d->loop, &k->timer);
	slots_del(&k->d->jobs, k->id);
	buf_fini(&k->result);
	free(k);
}

static void
known_del(struct dispatch *d, uint64_t message, struct str destination)
{
	char name[NAME_BYTES];

	(void)map_del(&d->known, name_of(d, message, destination, name));
}

/* due_ms 0: nothing is left of the entry. */
static void
job_end(struct job *k, uint64_t due_ms)
{
	struct dispatch *d = k->d;

	if (due_ms == 0)
		known_del(d, k->message, str_of(k->destination, k->destination_n));
	(void)schedule_done(d->schedule, k->entry, now_ms(d), k->outcome, due_ms);
	job_free(k);
	run_soon(d);
}

static void
job_start(struct dispatch *d, const struct schedule_pick *p, struct link *relay)
{
	struct job *k = calloc(1, sizeof(*k));

	CHECK(k != NULL && p->destination.n <= sizeof(k->destination));
	k->d = d;
	k->entry = p->entry;
	k->message = p->message;
	k->attempts = p->attempts + 1;
	k->relay_index = link_peer_index(relay);
	k->destination_n = (uint16_t)p->destination.n;
	memcpy(k->destination, p->destination.p, p->destination.n);
	buf_init(&k->result, RECORD_BYTES_MAX);
	k->id = slots_add(&d->jobs, k);
	CHECK(k->id != 0);
	d->jobs_n++;
	d->with_relay[k->relay_index & UINT8_MAX]++;
	(void)rec_relay_put(link_out(relay),
	    &(struct rec_relay){.job = k->id, .message = p->message, .destination = p->destination, .attempts = p->attempts});
}

static struct link *
relay_next(struct dispatch *d)
{
	/* The next in turn that has room; there are few of them. */
	for (int i = 0; i < 4; i++) {
		struct link *l = d->ops->relay(d->arg, d->spread++);
		if (l == NULL)
			return NULL;
		if (!link_is_high(l) && d->with_relay[link_peer_index(l) & UINT8_MAX] < DISPATCH_RELAY_JOBS_MAX)
			return l;
	}
	return NULL;
}

static void
dispatch_run(struct dispatch *d)
{
	struct schedule_pick p;
	struct link *relay;

	while (!d->is_stopping && d->jobs.n < DISPATCH_JOBS_MAX && d->ops->store(d->arg) != NULL) {
		relay = relay_next(d);
		if (relay == NULL || !schedule_next(d->schedule, now_ms(d), &p))
			break;
		job_start(d, &p, relay);
	}
	wake_set(d);
}

/* ---- entries ---- */

static uint64_t
known_entry(const struct dispatch *d, uint64_t message, struct str destination)
{
	char name[NAME_BYTES];

	return (uint64_t)(uintptr_t)map_get(&d->known, name_of(d, message, destination, name));
}

static void
entry_change(struct dispatch *d, uint64_t entry, const struct rec_queue_entry *r)
{
	uint64_t now = now_ms(d), due = mono_of_wall(d, r->due_ms);
	enum status st = r->is_held ? schedule_hold(d->schedule, entry) : schedule_release(d->schedule, entry);

	if (st == ST_OK && !r->is_held)
		st = due <= now ? schedule_retry(d->schedule, entry, now) : schedule_reschedule(d->schedule, entry, due);
	/* One that is on its way hears of it when it comes back: the store's answer has the new time. */
	(void)st;
}

static void
entry_gone(struct dispatch *d, uint64_t entry, const struct rec_queue_entry *r)
{
	struct schedule_entry e;

	/* One that is on its way goes when it is back. */
	if (schedule_get(d->schedule, entry, &e) && !e.is_running && schedule_remove(d->schedule, entry) == ST_OK)
		known_del(d, r->message, r->destination);
}

static void
entry_new(struct dispatch *d, const struct rec_queue_entry *r)
{
	char name[NAME_BYTES];
	uint64_t entry = schedule_add(d->schedule,
	    &(struct schedule_entry_in){.message = r->message,
	        .destination = r->destination,
	        .rcpts_n = r->rcpts_n,
	        .bytes = r->bytes,
	        .due_ms = mono_of_wall(d, r->due_ms),
	        .priority = (int8_t)(r->priority - ENVELOPE_PRIORITY_ZERO),
	        .is_held = r->is_held != 0,
	        .attempts = r->attempts});

	/* It stays in the store, and is found at the next start. */
	if (entry == 0 || map_put(&d->known, name_of(d, r->message, r->destination, name), (void *)(uintptr_t)entry, NULL) != ST_OK)
		log_event(LOG_ERROR, "queue.too_many", LOG_U64("message", r->message), LOG_STR("destination", r->destination));
}

static bool
on_entry(struct dispatch *d, struct cur *c)
{
	struct rec_queue_entry r;
	uint64_t entry;

	if (!rec_queue_entry_take(c, &r) || r.destination.n == 0 || r.destination.n > SCHEDULE_DESTINATION_BYTES_MAX)
		return false;
	entry = known_entry(d, r.message, r.destination);
	if (r.rcpts_n == 0)
		entry_gone(d, entry, &r);
	else if (entry != 0)
		entry_change(d, entry, &r);
	else
		entry_new(d, &r);
	d->loaded_n += d->is_loading;
	run_soon(d);
	return true;
}

static bool
on_loaded(struct dispatch *d, struct cur *c)
{
	struct rec_queue_loaded r;
	struct link *store = d->ops->store(d->arg);

	if (!rec_queue_loaded_take(c, &r))
		return false;
	d->is_loading = r.next != 0;
	if (r.next != 0 && store != NULL)
		(void)rec_queue_load_put(link_out(store), &(struct rec_queue_load){.from = r.next});
	else
		log_event(LOG_INFO, "queue.loaded", LOG_U64("entries", d->loaded_n));
	return true;
}

/* ---- results ---- */

static void
result_send(struct job *k)
{
	struct link *store = k->d->ops->store(k->d->arg);

	k->state = JOB_WITH_STORE;
	if (store != NULL)
		(void)buf_put(link_out(store), buf_str(&k->result));
}

static void
on_again(void *arg)
{
	struct job *k = arg;

	k->timer = (struct loop_id){0};
	result_send(k);
}

static uint64_t
next_due_wall_ms(const struct job *k)
{
	const struct dispatch_settings *o = &k->d->settings;

	return clock_wall_ms(loop_clock(k->d->loop)) + backoff_next_ms(k->attempts, o->first_ms, o->max_ms, rnd_u64());
}

static struct job *
job_with_relay(struct dispatch *d, uint64_t id, const struct link *from)
{
	struct job *k = slots_get(&d->jobs, id);

	if (k == NULL || k->state != JOB_WITH_RELAY || k->relay_index != link_peer_index(from))
		return NULL;
	return k;
}

static bool
on_relay_done(struct dispatch *d, struct link *from, struct cur *c)
{
	struct rec_relay_done r;
	struct job *k;

	if (!rec_relay_done_take(c, &r) || r.outcome > SCHEDULE_DEFERRED_MESSAGE)
		return false;
	k = job_with_relay(d, r.job, from);
	if (k == NULL)
		return true;
	d->with_relay[k->relay_index & UINT8_MAX]--;
	k->outcome = (enum schedule_outcome)r.outcome;
	d->deferred_n += k->outcome != SCHEDULE_SENT;
	(void)rec_queue_result_put(&k->result,
	    &(struct rec_queue_result){.job = k->id,
	        .message = k->message,
	        .destination = str_of(k->destination, k->destination_n),
	        .due_ms = next_due_wall_ms(k),
	        .host = r.host,
	        .ip = r.ip,
	        .tls = r.tls,
	        .code = r.code,
	        .class = r.class,
	        .subject = r.subject,
	        .detail = r.detail,
	        .text = r.text,
	        .results = r.results});
	if (k->result.full)
		return false;
	result_send(k);
	return true;
}

static bool
on_result_answer(struct dispatch *d, struct cur *c)
{
	struct rec_queue_result_answer r;
	struct job *k;

	if (!rec_queue_result_answer_take(c, &r))
		return false;
	k = slots_get(&d->jobs, r.job);
	if (k == NULL || k->state != JOB_WITH_STORE)
		return true;
	if (!r.ok) {
		k->state = JOB_WAITS;
		k->timer = loop_timer_add(d->loop, DISPATCH_AGAIN_MS, on_again, k);
		return true;
	}
	metric_add(&m_sent, 1);
	if (r.rcpts_n > 0 && r.is_held)
		(void)!schedule_hold(d->schedule, k->entry);
	/* A time that has passed must still be a time. */
	job_end(k, r.rcpts_n == 0 ? 0 : mono_of_wall(d, r.due_ms) + 1);
	return true;
}

bool
dispatch_record(struct dispatch *d, struct link *from, enum record_type t, struct cur *c)
{
	if (t == REC_QUEUE_ENTRY)
		return on_entry(d, c);
	if (t == REC_QUEUE_LOADED)
		return on_loaded(d, c);
	if (t == REC_QUEUE_RESULT_ANSWER)
		return on_result_answer(d, c);
	return t == REC_RELAY_DONE && on_relay_done(d, from, c);
}

/* ---- lines ---- */

void
dispatch_store_up(struct dispatch *d)
{
	struct link *store = d->ops->store(d->arg);
	struct job *k;
	uint32_t it = 0;

	if (store == NULL)
		return;
	/* Before it is asked what there is: what has already been said of it. */
	while ((k = slots_next(&d->jobs, &it)) != NULL) {
		if (k->state == JOB_WITH_RELAY)
			continue;
		loop_timer_del(d->loop, &k->timer);
		result_send(k);
	}
	d->is_loading = true;
	d->loaded_n = 0;
	(void)rec_queue_load_put(link_out(store), &(struct rec_queue_load){.from = 0});
	run_soon(d);
}

void
dispatch_relay_up(struct dispatch *d)
{
	run_soon(d);
}

void
dispatch_relay_down(struct dispatch *d, uint16_t index)
{
	struct job *k;
	uint32_t it = 0;

	while ((k = slots_next(&d->jobs, &it)) != NULL) {
		if (k->state != JOB_WITH_RELAY || k->relay_index != index)
			continue;
		d->with_relay[index & UINT8_MAX]--;
		d->lost_n++;
		k->outcome = SCHEDULE_DEFERRED_MESSAGE;
		job_end(k, now_ms(d) + DISPATCH_RELAY_LOST_MS);
	}
}

/* ---- the whole ---- */

struct dispatch *
dispatch_new(struct loop *loop, const struct dispatch_ops *ops, void *arg)
{
	struct dispatch *d = calloc(1, sizeof(*d));

	CHECK(d != NULL);
	d->loop = loop;
	d->ops = ops;
	d->arg = arg;
	d->settings = (struct dispatch_settings){.first_ms = BACKOFF_FIRST_MS, .max_ms = BACKOFF_MAX_MS};
	d->hash_key[0] = rnd_u64();
	d->hash_key[1] = rnd_u64();
	map_init(&d->known, SCHEDULE_ENTRIES_MAX);
	slots_init(&d->jobs, DISPATCH_JOBS_MAX);
	d->schedule = schedule_new(&SCHEDULE_DEFAULTS);
	return d;
}

void
dispatch_free(struct dispatch **dp)
{
	struct dispatch *d = *dp;
	struct job *k;
	uint32_t it = 0;

	*dp = NULL;
	if (d == NULL)
		return;
	while ((k = slots_next(&d->jobs, &it)) != NULL)
		job_free(k);
	map_fini(&d->known);
	slots_fini(&d->jobs);
	loop_timer_del(d->loop, &d->wake);
	loop_post_del(d->loop, &d->post);
	schedule_free(&d->schedule);
	free(d);
}

void
dispatch_set(struct dispatch *d, const struct dispatch_settings *o)
{
	bool is_new = d->settings.running_max != o->running_max || d->settings.destination_max != o->destination_max;
	struct schedule_options s = SCHEDULE_DEFAULTS;

	d->settings = *o;
	if (!is_new || d->known.n > 0)
		return;
	s.running_max = o->running_max;
	s.limit_max = o->destination_max;
	if (s.limit_first > s.limit_max)
		s.limit_first = s.limit_max;
	schedule_free(&d->schedule);
	d->schedule = schedule_new(&s);
}

void
dispatch_stop(struct dispatch *d)
{
	d->is_stopping = true;
}

struct why {
	struct dispatch *d;
	uint64_t message;
	struct buf *json;
	struct str destination;
	bool is_first;
};

static bool
why_entry(void *arg, const struct schedule_entry *e)
{
	struct why *w = arg;
	struct schedule_why why;
	struct buf text;

	if (e->message != w->message || !schedule_why(w->d->schedule, e->entry, now_ms(w->d), &why))
		return true;
	buf_init(&text, 512);
	queue_why_put(&text, &why, now_ms(w->d));
	if (!w->is_first)
		(void)buf_put_c(w->json, ',');
	w->is_first = false;
	(void)json_put_str(w->json, e->destination);
	(void)buf_put_c(w->json, ':');
	(void)json_put_str(w->json, buf_str(&text));
	buf_fini(&text);
	return false;
}

static bool
why_destination(void *arg, const struct schedule_destination *s)
{
	struct why *w = arg;

	if (known_entry(w->d, w->message, s->name) != 0)
		schedule_each_of_destination(w->d->schedule, s->name, why_entry, w);
	return true;
}

void
dispatch_why(struct dispatch *d, uint64_t message, struct buf *json)
{
	struct why w = {.d = d, .message = message, .json = json, .is_first = true};

	schedule_each_destination(d->schedule, why_destination, &w);
}

void
dispatch_status(const struct dispatch *d, struct buf *json)
{
	struct schedule_stats s;

	schedule_stats(d->schedule, now_ms(d), &s);
	(void)buf_putf(json,
	    "\"entries\":%u,\"due\":%u,\"held\":%u,\"destinations\":%u,\"destinations_dead\":%u,\"jobs\":%u,\"started\":%llu,\"deferred\":%llu,"
	    "\"lost\":%llu,\"loading\":%s,\"schedule_bytes\":%llu",
	    s.entries_n, s.due_n, s.held_n, s.destinations_n, s.dead_n, d->jobs.n, (unsigned long long)d->jobs_n,
	    (unsigned long long)d->deferred_n, (unsigned long long)d->lost_n, d->is_loading ? "true" : "false",
	    (unsigned long long)s.memory_bytes);
}
