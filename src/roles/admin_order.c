/*
 * Orders to the queue: hold, release, retry, remove, expire. A page of messages per transaction, each with its event, so that an order for a
 * million neither outgrows a transaction nor holds up the loop; what is done stays done when a later page fails.
 */
#include "base/check.h"
#include "base/enc.h"
#include "roles/admin_internal.h"

static const struct order {
	uint8_t event;
	const char *text;	/* of the event */
	const char *done;	/* "3 messages ... " */
} orders[] = {
    [QUEUE_HOLD] = {EVENT_HELD, NULL, "held: nothing is tried until they are released"},
    [QUEUE_RELEASE] = {EVENT_RELEASED, NULL, "released and due now"},
    [QUEUE_RETRY] = {EVENT_RETRIED, NULL, "due now"},
    [QUEUE_REMOVE] = {EVENT_REMOVED, NULL, "removed; nobody is told"},
    [QUEUE_EXPIRE] = {EVENT_RETRIED, "for the last time", "due now, for the last time: what is not taken goes back to its sender"},
};

/* ---- one message ---- */

static bool
is_touched(const struct queue_rcpt *r, enum queue_order order)
{
	switch (order) {
	case QUEUE_HOLD:
	case QUEUE_RETRY:
	case QUEUE_EXPIRE:
		return r->state != QUEUE_HELD;
	case QUEUE_RELEASE:
		return r->state == QUEUE_HELD;
	case QUEUE_REMOVE:
		return true;
	}
	return false;
}

static void
rcpts_put(struct buf *out, const struct admin_job *j, const struct admin_queued *m)
{
	struct str destination = str_of(j->queue.destination, j->queue.destination_n);
	size_t unnamed = 0;

	for (size_t i = 0; i < m->rcpts_n; i++) {
		const struct queue_rcpt *r = &m->rcpts[i];

		if (!is_touched(r, j->queue.order) || (destination.n > 0 && !str_eq(r->destination, destination)))
			continue;
		/* Room for the words behind them. */
		if (unnamed > 0 || out->n + r->path.n + 32 > EVENT_RCPTS_BYTES_MAX) {
			unnamed++;
			continue;
		}
		(void)buf_put(out, out->n > 0 ? STR(" ") : STR_NULL);
		(void)buf_put(out, r->path);
	}
	if (unnamed > 0)
		(void)buf_putf(out, " and %zu more", unnamed);
}

static enum status
event_write(struct txn *t, const struct admin_job *j, const struct admin_queued *m, struct str rcpts)
{
	struct event e = {.trace = m->m.trace, .at_ms = admin_now_ms(j->admin), .bytes = m->m.body_bytes, .message = m->m.id.v,
	    .kind = orders[j->queue.order].event, .sender = m->m.reverse_path, .rcpts = rcpts, .message_id = m->m.message_id,
	    .text = str_of_c(orders[j->queue.order].text)};

	return event_put(t, &e, NULL, 0);
}

/* Who removes for a destination removes all that goes there. */
static void
gone_put(struct admin_job *j, const struct admin_queued *m)
{
	struct str wanted = str_of(j->queue.destination, j->queue.destination_n);

	for (size_t i = 0; i < m->rcpts_n; i++) {
		struct str destination = m->rcpts[i].destination;
		size_t before = 0;

		while (before < i && !str_eq(m->rcpts[before].destination, destination))
			before++;
		if (before < i || (wanted.n > 0 && !str_eq(destination, wanted)))
			continue;
		(void)buf_put_le64(&j->queue.gone, m->m.id.v);
		(void)buf_put_str16(&j->queue.gone, destination);
	}
}

static enum status
order_one(struct txn *t, struct admin_job *j, struct queue_id id, size_t *changed_out)
{
	struct arena *a = &j->admin->arena;
	struct admin_queued m;
	struct buf rcpts;
	enum status st;

	*changed_out = 0;
	arena_reset(a);
	st = admin_queued_load(t, id, a, &m);
	if (st != ST_OK)
		return st == ST_NOTFOUND ? ST_OK : st;
	buf_init(&rcpts, EVENT_RCPTS_BYTES_MAX);
	rcpts_put(&rcpts, j, &m);
	st = rcpts.n > 0 ? event_write(t, j, &m, buf_str(&rcpts)) : ST_OK;
	buf_fini(&rcpts);
	if (st == ST_OK && j->queue.order == QUEUE_REMOVE)
		gone_put(j, &m);
	/* It reads them again: half of the arena is free, enough for all of a message. */
	return st == ST_OK ? queue_order(t, id, str_of(j->queue.destination, j->queue.destination_n), j->queue.order, admin_now_ms(j->admin),
				 a, changed_out)
			   : st;
}

/* ---- a page ---- */

static enum status
page_txn(struct txn *t, void *arg)
{
	struct admin_job *j = arg;
	enum status st = ST_OK;

	/* It may have begun before and lost against somebody else. */
	buf_reset(&j->queue.gone);
	for (size_t i = 0; i < j->queue.page_n && st == ST_OK; i++)
		st = order_one(t, j, j->queue.page[i], &j->queue.page_changed[i]);
	return st;
}

static void order_turn(void *job);

static void
count_put(struct buf *out, uint64_t n, const char *what)
{
	(void)buf_putf(out, "%llu %s%s", (unsigned long long)n, what, n == 1 ? "" : "s");
}

static void
order_answer(struct admin_job *j)
{
	const struct admin_queue *q = &j->queue;
	struct buf text;

	buf_init(&text, 512);
	if (q->rcpts_n == 0) {
		(void)buf_put(&text, STR("Nothing in the queue had to be changed."));
	} else {
		count_put(&text, q->messages_n, "message");
		(void)buf_put(&text, STR(", "));
		count_put(&text, q->rcpts_n, "recipient");
		(void)buf_putf(&text, ": %s.", orders[q->order].done);
	}
	(void)buf_put(&j->out, STR("{\"message\":"));
	(void)json_put_str(&j->out, buf_str(&text));
	(void)buf_putf(&j->out, ",\"messages\":%llu,\"recipients\":%llu}", (unsigned long long)q->messages_n, (unsigned long long)q->rcpts_n);
	buf_fini(&text);
	admin_job_answer(j, 0);
}

static void
order_failed(struct admin_job *j, enum status st)
{
	if (j->queue.messages_n > 0)
		(void)buf_putf(&j->why, "%llu messages are done, then it went wrong (%s)", (unsigned long long)j->queue.messages_n, status_word(st));
	admin_job_end(j, st);
}

static void
page_tell(struct admin_job *j)
{
	struct admin *a = j->admin;
	struct cur c = cur_of(buf_str(&j->queue.gone));
	struct queue_id id;
	struct str destination;

	if (a->queue_changed == NULL)
		return;
	for (size_t i = 0; j->queue.order != QUEUE_REMOVE && i < j->queue.page_n; i++)
		if (j->queue.page_changed[i] > 0)
			a->queue_changed(a->queue_changed_arg, j->queue.page[i], STR_NULL);
	while (cur_le64(&c, &id.v) && cur_str16(&c, &destination))
		a->queue_changed(a->queue_changed_arg, id, destination);
}

static void
page_done(void *arg, enum status st)
{
	struct admin_job *j = arg;

	if (st != ST_OK) {
		order_failed(j, st);
		return;
	}
	for (size_t i = 0; i < j->queue.page_n; i++) {
		if (j->queue.page_changed[i] == 0)
			continue;
		j->queue.messages_n++;
		j->queue.rcpts_n += j->queue.page_changed[i];
	}
	page_tell(j);
	if (j->queue.is_last_page)
		order_answer(j);
	else
		order_turn(j);
}

static void
page_go(void *arg)
{
	struct admin_job *j = arg;
	struct admin *a = j->admin;
	enum status st;

	j->timer = (struct loop_id){0};
	st = store_transact(a->store, page_txn, j, page_done, j);
	if (st == ST_LIMIT && a->loop != NULL && store_is_busy(a->store) && !store_is_full(a->store))
		j->timer = loop_timer_add(a->loop, ADMIN_BUSY_AGAIN_MS, page_go, j);
	else if (st != ST_OK)
		order_failed(j, st);
}

/* ---- all pages ---- */

static enum status
page_add(struct admin_job *j, const struct admin_queued *q)
{
	CHECK(j->queue.page_n < ADMIN_QUEUE_PAGE);
	j->queue.found_n += q->rcpts_n;
	/* The first always fits, however many it has. */
	if (j->queue.page_n > 0 && j->queue.found_n > ADMIN_QUEUE_RCPTS)
		return ST_LIMIT;
	j->queue.page[j->queue.page_n++] = q->m.id;
	return ST_OK;
}

static void
order_turn(void *arg)
{
	struct admin_job *j = arg;
	enum status st;

	j->post = (struct loop_id){0};
	do {
		j->queue.page_n = j->queue.found_n = 0;
		st = admin_queue_walk(j, page_add);
		j->queue.is_last_page = st == ST_EOF;
	} while (st == ST_OK && j->queue.page_n == 0 && j->admin->loop == NULL);
	if (st != ST_OK && st != ST_EOF)
		order_failed(j, st);
	else if (j->queue.page_n > 0)
		page_go(j);
	else if (st == ST_EOF)
		order_answer(j);
	else
		j->post = loop_post(j->admin->loop, order_turn, j);
}

static void
order_one_start(struct admin_job *j)
{
	struct admin_queued q;
	enum status st;

	arena_reset(&j->admin->arena);
	st = admin_queued_load(store_snapshot(j->admin->store), j->queue.id, &j->admin->arena, &q);
	if (st == ST_NOTFOUND)
		(void)buf_putf(&j->why, "there is no message %.*s in the queue (any more)", STR_ARG(j->operands[0]));
	/* A filter beside the id must hold, too: who gave both is not sure of the id. */
	if (st == ST_OK && !admin_queue_is_wanted(j, &q)) {
		(void)buf_putf(&j->why, "message %.*s is not from that sender or goes elsewhere", STR_ARG(j->operands[0]));
		st = ST_NOTFOUND;
	}
	if (st != ST_OK) {
		admin_job_end(j, st);
		return;
	}
	j->queue.page[j->queue.page_n++] = j->queue.id;
	j->queue.is_last_page = true;
	page_go(j);
}

static void
order_start(struct admin_job *j, enum queue_order order)
{
	if (!admin_queue_filter_take(j, true))
		return;
	j->queue.order = order;
	if (j->queue.id.v != 0)
		order_one_start(j);
	else
		order_turn(j);
}

void
admin_queue_hold(struct admin_job *j)
{
	order_start(j, QUEUE_HOLD);
}

void
admin_queue_release(struct admin_job *j)
{
	order_start(j, QUEUE_RELEASE);
}

void
admin_queue_retry(struct admin_job *j)
{
	order_start(j, QUEUE_RETRY);
}

void
admin_queue_remove(struct admin_job *j)
{
	order_start(j, QUEUE_REMOVE);
}

void
admin_queue_expire(struct admin_job *j)
{
	order_start(j, QUEUE_EXPIRE);
}
