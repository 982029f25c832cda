/*
 * The lines between the store and queue and relay, with somebody who listens: which message a job
 * is, what queue asks the store to keep, and when the store says that it does.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "sim.h"

enum { STORE_END, OTHER_END, JOBS_MAX = 4096 };

struct job {
	uint64_t id;
	uint64_t message; /* the queue's id */
	/* Of a result: who needs no other try. */
	uint32_t remotes;
	unsigned domain;
	bool is_used;
};

/* By the tap that saw them. A job's number may come again after a restart: the last one counts. */
struct sim_jobs {
	struct job jobs[SIM_TAPS][JOBS_MAX];
};

/* What is found under this number, or a free place for it. */
static struct job *
job_at(struct sim_world *w, size_t tap, uint64_t id)
{
	struct job *unused = NULL;

	for (size_t i = 0; i < JOBS_MAX; i++) {
		struct job *j = &w->jobs->jobs[tap][i];
		if (j->is_used && j->id == id)
			return j;
		if (!j->is_used && unused == NULL)
			unused = j;
	}
	CHECK(unused != NULL);
	*unused = (struct job){.id = id};
	return unused;
}

static struct sim_queued *
queued_at(struct sim_world *w, uint64_t id)
{
	CHECK(id < SIM_QUEUE_IDS_MAX);
	return &w->queued[id];
}

/* ---- relay asks for a message ---- */

static void
on_fetch(struct sim_world *w, struct cur *c)
{
	struct rec_queue_fetch r;
	struct job *j;

	if (!rec_queue_fetch_take(c, &r))
		return;
	j = job_at(w, SIM_TAP_RELAY, r.job);
	j->is_used = true;
	j->message = r.message;
}

static void
rcpts_note(struct sim_world *w, struct sim_queued *q, struct str rcpts)
{
	struct cur c = cur_of(rcpts);
	struct str path, orcpt;
	uint32_t index;
	uint8_t notify;
	unsigned remote;

	while (cur_le32(&c, &index)) {
		if (!cur_u8(&c, &notify) || !cur_str16(&c, &path) || !cur_str16(&c, &orcpt) ||
		    index >= COUNT_OF(q->remote) || !sim_remote_parse(path, &remote)) {
			sim_fail(w, "the store gives out a recipient that is none of ours");
			return;
		}
		q->remote[index] = (uint8_t)(remote + 1);
		sim_outcome_asked(w, q->message - 1, remote);
	}
}

static void
on_message(struct sim_world *w, struct cur *c)
{
	struct rec_queue_message r;
	struct sim_queued *q;
	struct job *j;
	uint32_t message;

	if (!rec_queue_message_take(c, &r))
		return;
	j = job_at(w, SIM_TAP_RELAY, r.job);
	if (!j->is_used)
		return;
	j->is_used = false;
	if (!r.ok)
		return;
	if (!sim_sender_parse(w, r.reverse_path, &message)) {
		sim_fail(w, "the store gives out a message that is none of ours");
		return;
	}
	q = queued_at(w, j->message);
	if (q->message != message + 1)
		*q = (struct sim_queued){.message = message + 1};
	sim_say(w, "relay gets message %u, job %llx", message, (unsigned long long)r.job);
	rcpts_note(w, q, r.rcpts);
}

/* ---- queue has a result ---- */

static uint32_t
results_remotes(struct sim_world *w, const struct sim_queued *q, struct str results)
{
	struct cur c = cur_of(results);
	uint32_t index, remotes = 0;
	uint16_t code, enhanced[3];
	uint8_t verdict;
	struct str text;

	while (cur_le32(&c, &index)) {
		if (!cur_u8(&c, &verdict) || !cur_le16(&c, &code) || !cur_le16(&c, &enhanced[0]) ||
		    !cur_le16(&c, &enhanced[1]) || !cur_le16(&c, &enhanced[2]) ||
		    !cur_str16(&c, &text) || index >= COUNT_OF(q->remote)) {
			sim_fail(w, "the queue tells a result that is none");
			break;
		}
		if ((verdict & (uint8_t)~QUEUE_OWN_WORDS) != QUEUE_DEFERRED && q->remote[index] > 0)
			remotes |= 1u << (q->remote[index] - 1);
	}
	return remotes;
}

static void
on_result(struct sim_world *w, struct cur *c)
{
	struct rec_queue_result r;
	struct job *j;

	if (!rec_queue_result_take(c, &r))
		return;
	j = job_at(w, SIM_TAP_QUEUE, r.job);
	*j = (struct job){.id = r.job, .message = r.message, .is_used = true};
	j->remotes = results_remotes(w, queued_at(w, r.message), r.results);
	sim_say(w, "queue tells the result of job %llx, message %u: %u %.*s, done %03x",
	    (unsigned long long)r.job, queued_at(w, r.message)->message - 1, r.code,
	    STR_ARG(r.text), j->remotes);
	j->domain = r.destination.n > 1 ? (unsigned)(r.destination.p[1] - '0') : SIM_DOMAINS;
}

static void
on_answer(struct sim_world *w, struct cur *c)
{
	struct rec_queue_result_answer r;
	struct sim_queued *q;
	struct job *j;

	if (!rec_queue_result_answer_take(c, &r))
		return;
	j = job_at(w, SIM_TAP_QUEUE, r.job);
	if (!j->is_used) {
		sim_fail(w, "the store answers a result that nobody told");
		return;
	}
	sim_say(w, "store answers job %llx: %s, %u left", (unsigned long long)r.job,
	    r.ok ? "kept" : "again", r.rcpts_n);
	if (!r.ok)
		return;
	j->is_used = false;
	q = queued_at(w, j->message);
	if (q->message == 0)
		return;
	for (unsigned i = 0; i < SIM_REMOTES; i++)
		if ((j->remotes & 1u << i) != 0 || (r.rcpts_n == 0 && i % SIM_DOMAINS == j->domain))
			sim_outcome_recorded(w, q->message - 1, i);
}

/* ---- the lines ---- */

static void
tap_look(struct sim_world *w, enum record_type t, struct str payload)
{
	struct cur c = cur_of(payload);

	sim_trace(w, &t, sizeof(t));
	if (t == REC_QUEUE_FETCH)
		on_fetch(w, &c);
	else if (t == REC_QUEUE_MESSAGE)
		on_message(w, &c);
	else if (t == REC_QUEUE_RESULT)
		on_result(w, &c);
	else if (t == REC_QUEUE_RESULT_ANSWER)
		on_answer(w, &c);
}

static bool
tap_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct sim_tap *tap = arg;
	struct link *to = tap->ends[l == tap->ends[STORE_END] ? OTHER_END : STORE_END];
	struct str payload = cur_rest(c);

	/* As ipc/records.c frames it. */
	(void)buf_put_le32(link_out(to), (uint32_t)payload.n);
	(void)buf_put_le16(link_out(to), (uint16_t)t);
	(void)buf_put_le16(link_out(to), RECORD_VERSION);
	(void)buf_put(link_out(to), payload);
	tap_look(tap->w, t, payload);
	return true;
}

static void
tap_close(struct sim_tap *tap)
{
	for (size_t i = 0; i < COUNT_OF(tap->ends); i++)
		link_free(&tap->ends[i]);
}

/* What has come from the one who is gone still arrives. */
static void
tap_closed(void *arg, struct link *l)
{
	struct sim_tap *tap = arg;

	link_flush(tap->ends[l == tap->ends[STORE_END] ? OTHER_END : STORE_END]);
	tap_close(tap);
}

static const struct link_handler tap_handler = {.record = tap_record, .closed = tap_closed};

void
sim_tap_set(struct sim_world *w, size_t n, int store_fd, int other_fd)
{
	struct sim_tap *tap = &w->taps[n];
	enum role_kind other = n == SIM_TAP_QUEUE ? ROLE_QUEUE : ROLE_RELAY;

	tap_close(tap);
	memset(w->jobs->jobs[n], 0, sizeof(w->jobs->jobs[n]));
	tap->w = w;
	tap->ends[STORE_END] =
	    link_new(w->loop, store_fd, other, ROLE_STORE, 0, false, &tap_handler, tap);
	tap->ends[OTHER_END] =
	    link_new(w->loop, other_fd, ROLE_STORE, other, 0, false, &tap_handler, tap);
}

void
sim_taps_off(struct sim_world *w)
{
	for (size_t i = 0; i < SIM_TAPS; i++)
		tap_close(&w->taps[i]);
	link_free(&w->resolver);
}

void
sim_taps_init(struct sim_world *w)
{
	w->jobs = calloc(1, sizeof(*w->jobs));
	w->sendings = calloc(SIM_MESSAGES_MAX, sizeof(*w->sendings));
	w->queued = calloc(SIM_QUEUE_IDS_MAX, sizeof(*w->queued));
	CHECK(w->jobs != NULL && w->sendings != NULL && w->queued != NULL);
}

void
sim_taps_fini(struct sim_world *w)
{
	free(w->jobs);
	free(w->sendings);
	free(w->queued);
}
