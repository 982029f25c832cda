/* What must become of the recipients elsewhere: the server has the message, or its sender has a
 * notice. */
#include "base/check.h"
#include "base/num.h"
#include "flow/queue/queue.h"
#include "sim.h"

enum { ASKED_TURNS = 10 };

/* ---- what the servers will say ---- */

static uint64_t
fate_number(const struct sim_world *w, uint32_t message, unsigned what, uint64_t below)
{
	struct prng r;

	prng_init(&r, (w->plan.seed * 1000003 + message) * 257 + what);
	return prng_below(&r, below);
}

bool
sim_fate_is_content(const struct sim_world *w, uint32_t message, unsigned domain)
{
	return fate_number(w, message, 100 + domain, 20) == 0;
}

enum sim_fate
sim_fate(const struct sim_world *w, uint32_t message, unsigned remote)
{
	uint64_t what = fate_number(w, message, remote, 16);

	if (what == 0)
		return SIM_FATE_LATE;
	if (what < 4 || sim_fate_is_content(w, message, remote % SIM_DOMAINS))
		return SIM_FATE_REFUSED;
	return SIM_FATE_TAKEN;
}

/* ---- addresses ---- */

bool
sim_remote_parse(struct str path, unsigned *remote_out)
{
	unsigned r;

	if (path.n != 13 || path.p[0] != 'r' || !char_is_digit(path.p[1]))
		return false;
	r = (unsigned)(path.p[1] - '0');
	*remote_out = r;
	return r < SIM_REMOTES && str_has_prefix(str_from(path, 2), STR("@d")) &&
	       (unsigned)(path.p[4] - '0') == r % SIM_DOMAINS &&
	       str_eq(str_from(path, 5), STR(".example"));
}

/* Not the account with the small quota, so that there is room for notices. */
void
sim_sender_put(struct buf *out, uint32_t message)
{
	(void)buf_putf(out, "a%u+m%u@sim.example", message % (SIM_ACCOUNTS - 1), message);
}

bool
sim_sender_parse(const struct sim_world *w, struct str path, uint32_t *message_out)
{
	struct str local, rest;
	uint64_t n;

	(void)str_split(path, '@', &local, &rest);
	if (local.n < 5 || !str_eq(rest, STR("sim.example")) ||
	    !str_has_prefix(str_from(local, 2), STR("+m")) ||
	    str_to_u64(str_from(local, 4), &n) != ST_OK || n >= w->messages_n)
		return false;
	*message_out = (uint32_t)n;
	return true;
}

/* ---- what happens ---- */

void
sim_outcome_asked(struct sim_world *w, uint32_t message, unsigned remote)
{
	bool is_sure = w->sending_mishaps == 0 || w->turns > w->sending_mishap_turn + ASKED_TURNS;

	w->sendings[message][remote].asked_mishaps = is_sure ? w->sending_mishaps : UINT32_MAX;
}

void
sim_outcome_taken(
    struct sim_world *w, uint32_t message, unsigned remote, bool is_current, bool is_told)
{
	struct sim_sending *s = &w->sendings[message][remote];

	sim_trace(w, &message, sizeof(message));
	sim_say(w, "message %u is taken for r%u%s%s", message, remote, s->taken > 0 ? " again" : "",
	    !is_current ? " from one who is gone"
	    : is_told	? ""
			: ", which nobody is told");
	if (!w->messages[message].is_complete)
		sim_fail(w, "message %u leaves, and was never sent whole", message);
	/* A sender who is told twice is served twice: only what broke in between is an excuse. */
	if (is_current && s->is_told && s->told_mishaps == w->sending_mishaps)
		sim_fail(
		    w, "message %u went to r%u a second time without a reason", message, remote);
	if (s->taken > 0)
		w->result.repeated++;
	w->result.relayed++;
	s->taken++;
	if (!is_current)
		return;
	s->is_told = is_told && s->asked_mishaps == w->sending_mishaps;
	s->told_mishaps = w->sending_mishaps;
}

void
sim_outcome_recorded(struct sim_world *w, uint32_t message, unsigned remote)
{
	w->sendings[message][remote].is_recorded = true;
}

/* False: that number is another message's now. *left_out: by index. */
static bool
queued_left(struct sim_world *w, struct store *s, uint64_t id, uint32_t *left_out)
{
	struct txn *t = store_snapshot(s);
	struct queue_message m = {0};
	struct queue_rcpt *rcpts;
	uint32_t message;
	struct arena a;
	bool is_same;
	size_t n = 0;

	arena_init(&a, QUEUE_ARENA_BYTES);
	*left_out = 0;
	is_same = queue_get(t, (struct queue_id){id}, &a, &m) == ST_NOTFOUND;
	if (!is_same && sim_sender_parse(w, m.reverse_path, &message) &&
	    message + 1 == w->queued[id].message) {
		is_same = queue_rcpts(t, m.id, &a, &rcpts, &n) == ST_OK;
		for (size_t i = 0; i < n; i++)
			*left_out |= 1u << rcpts[i].index;
	}
	arena_fini(&a);
	return is_same;
}

void
sim_outcome_recovered(struct sim_world *w, struct store *s)
{
	uint32_t left;

	if (!w->plan.is_relay)
		return;
	for (uint64_t id = 0; id < SIM_QUEUE_IDS_MAX; id++) {
		const struct sim_queued *q = &w->queued[id];
		if (q->message == 0 || !queued_left(w, s, id, &left))
			continue;
		for (unsigned i = 0; i < COUNT_OF(q->remote); i++)
			if (q->remote[i] > 0 && (left & 1u << i) == 0)
				sim_outcome_recorded(w, q->message - 1, q->remote[i] - 1u);
	}
}

void
sim_outcome_notices_forget(struct sim_world *w)
{
	for (uint32_t i = 0; i < w->messages_n; i++)
		for (unsigned r = 0; r < SIM_REMOTES; r++)
			w->sendings[i][r].failed = 0;
}

/* The next line behind a start of a line; empty: there is none. *rest is what follows. */
static struct str
field_take(struct str *rest, struct str name)
{
	size_t at = str_find(*rest, name);
	struct str value;

	if (at == rest->n)
		return *rest = STR_NULL;
	*rest = str_from(*rest, at + name.n);
	value = str_take(*rest, str_find(*rest, STR("\r\n")));
	*rest = str_from(*rest, value.n);
	return value;
}

/* RFC 3464 2.3: groups of fields, each a recipient's. */
void
sim_outcome_notice(struct sim_world *w, struct str text)
{
	struct str to = field_take(&text, STR("\r\nTo: <")), path, action;
	uint32_t message;
	unsigned r;

	if (to.n == 0 || !sim_sender_parse(w, str_take(to, to.n - 1), &message)) {
		sim_fail(w, "a notice to nobody");
		return;
	}
	while ((path = field_take(&text, STR("\r\nFinal-Recipient: rfc822;"))).n > 0) {
		if (path.p[0] == ' ')
			path = str_from(path, 1);
		action = field_take(&text, STR("\r\nAction: "));
		if (!sim_remote_parse(path, &r)) {
			sim_fail(w, "a notice about %.*s", STR_ARG(path));
			return;
		}
		if (str_eq(action, STR("failed")))
			w->sendings[message][r].failed++;
		else if (!str_eq(action, STR("delayed")))
			sim_fail(w, "message %u: a notice that r%u is %.*s", message, r,
			    STR_ARG(action));
	}
}

/* ---- what must hold ---- */

static void
sending_verify(struct sim_world *w, uint32_t message, unsigned r)
{
	const struct sim_message *m = &w->messages[message];
	const struct sim_sending *s = &w->sendings[message][r];
	enum sim_fate fate = sim_fate(w, message, r);
	uint32_t bit = 1u << (SIM_REMOTE_BIT + r);

	if (s->failed > 1)
		sim_fail(w, "message %u: %u notices that r%u failed", message, s->failed, r);
	if (s->failed > 0 && fate == SIM_FATE_TAKEN)
		sim_fail(w, "message %u: a notice that r%u failed, which takes it", message, r);
	if (s->taken > 0 && fate != SIM_FATE_TAKEN)
		sim_fail(w, "message %u was taken for r%u, which refuses it", message, r);
	if (s->taken + s->failed > 0 && (m->sent & bit) == 0)
		sim_fail(w, "message %u was never sent to r%u", message, r);
	if (s->taken + s->failed > 0 && (m->refused & bit & ~m->acked) != 0)
		sim_fail(w, "message %u was refused for r%u and is sent", message, r);
}

void
sim_outcome_verify(struct sim_world *w)
{
	for (uint32_t i = 0; i < w->messages_n && !w->is_failed; i++)
		for (unsigned r = 0; r < SIM_REMOTES && !w->is_failed; r++)
			sending_verify(w, i, r);
}

void
sim_outcome_verify_end(struct sim_world *w, struct store *s)
{
	struct queue_id id;
	size_t n = 0;

	if (queue_ids(store_snapshot(s), (struct queue_id){0}, &id, 1, &n) != ST_OK || n > 0)
		sim_fail(w, "the queue is not empty");
	w->result.bounced = 0;
	for (uint32_t i = 0; i < w->messages_n && !w->is_failed; i++)
		for (unsigned r = 0; r < SIM_REMOTES; r++) {
			const struct sim_sending *x = &w->sendings[i][r];
			w->result.bounced += x->failed;
			if ((w->messages[i].acked & 1u << (SIM_REMOTE_BIT + r)) == 0)
				continue;
			if (sim_fate(w, i, r) == SIM_FATE_TAKEN && x->taken == 0)
				sim_fail(
				    w, "message %u was acknowledged and never came to r%u", i, r);
			if (sim_fate(w, i, r) != SIM_FATE_TAKEN && x->failed == 0)
				sim_fail(
				    w, "message %u did not come to r%u, and nobody was told", i, r);
		}
}

bool
sim_outcome_is_done(struct sim_world *w)
{
	struct store *s = sim_machine_store(w);
	const struct sim_child *q = &w->children[SIM_QUEUE];
	struct queue_id id;
	struct buf status;
	bool is_done;
	size_t n = 0;

	if (!w->plan.is_relay)
		return true;
	if (s == NULL || q->role == NULL || !q->is_ready)
		return false;
	if (queue_ids(store_snapshot(s), (struct queue_id){0}, &id, 1, &n) != ST_OK || n > 0)
		return false;
	buf_init(&status, 65536);
	role_queue_ops.status(role_self(q->role), &status);
	is_done = str_find(buf_str(&status), STR("\"entries\":0,")) < status.n &&
		  str_find(buf_str(&status), STR("\"jobs\":0,")) < status.n;
	buf_fini(&status);
	return is_done;
}
