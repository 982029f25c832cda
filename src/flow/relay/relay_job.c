#include <stdlib.h>

#include "base/log.h"
#include "flow/relay/relay_internal.h"

/*
 * One message on its way: fetched, given a connection, sent, told. Fetching and connecting go on
 * side by side; sending begins when both are done.
 */

/* The envelope's numbers are the machine's. */
_Static_assert((int)ENVELOPE_NEVER == (int)SMTP_CLIENT_NOTIFY_NEVER &&
		   (int)ENVELOPE_SUCCESS == (int)SMTP_CLIENT_NOTIFY_SUCCESS,
    "notify");
_Static_assert((int)ENVELOPE_FAILURE == (int)SMTP_CLIENT_NOTIFY_FAILURE &&
		   (int)ENVELOPE_DELAY == (int)SMTP_CLIENT_NOTIFY_DELAY,
    "notify");
_Static_assert((int)ENVELOPE_RET_FULL == (int)SMTP_CLIENT_RET_FULL &&
		   (int)ENVELOPE_RET_HDRS == (int)SMTP_CLIENT_RET_HDRS,
    "ret");

/* ---- the end ---- */

void
relay_job_free(struct relay_job **jp)
{
	struct relay_job *j = *jp;
	struct relay *r = j->r;

	*jp = NULL;
	if (j->session != NULL)
		relay_session_release(j->session);
	CHECK(j->session == NULL);
	relay_search_free(j);
	relay_sign_free(j);
	slots_del(&r->jobs, j->id);
	r->orphans_n -= j->is_orphan;
	relay_routes_unref(&j->routes);
	buf_fini(&j->results);
	buf_fini(&j->signatures);
	buf_fini(&j->piece);
	free(j->rcpts);
	free(j->row);
	free(j->row_rcpt);
	free(j->record);
	free(j);
	relay_ended(r);
}

static void
note_session(struct relay_job *j, const struct relay_session *s)
{
	j->host = s->host;
	j->ip = s->target.addr;
	memcpy(j->tls, s->tls, s->tls_n);
	j->tls_n = s->tls_n;
}

static void
result_put(struct relay_job *j, struct relay_rcpt *rcpt, enum queue_verdict verdict,
    const struct relay_reason *r)
{
	struct buf *out = &j->results;

	CHECK(rcpt->state != RELAY_RCPT_DONE);
	rcpt->state = RELAY_RCPT_DONE;
	(void)buf_put_le32(out, rcpt->index);
	(void)buf_put_c(out, (char)verdict);
	(void)buf_put_le16(out, r->code);
	for (int i = 0; i < 3; i++)
		(void)buf_put_le16(out, r->enhanced[i]);
	(void)buf_put_str16(out, relay_reason_text(r));
	CHECK(!out->full);
	j->results_n++;
	if (verdict == QUEUE_DEFERRED) {
		j->r->counters.deferred++;
		return;
	}
	j->has_good = true;
	if (verdict == QUEUE_FAILED)
		j->r->counters.failed++;
	else
		j->r->counters.sent++;
}

static void
tell(struct relay_job *j, enum schedule_outcome outcome)
{
	struct buf ip;
	const struct relay_reason *why = &j->reason;

	CHECK(!j->is_told);
	j->is_told = true;
	if (j->session != NULL)
		note_session(j, j->session);
	if (j->rcpts_n > j->results_n)
		j->r->counters.deferred += j->rcpts_n - j->results_n;
	if (j->is_orphan)
		return;
	buf_init(&ip, 64);
	if (j->ip.port != 0)
		(void)sock_ip_put(&ip, &j->ip);
	relay_done_put(j->r, &(struct rec_relay_done){.job = j->queue_job,
				 .outcome = (uint8_t)outcome,
				 .host = relay_host_str(&j->host),
				 .ip = buf_str(&ip),
				 .tls = str_of(j->tls, j->tls_n),
				 .code = why->code,
				 .class = why->enhanced[0],
				 .subject = why->enhanced[1],
				 .detail = why->enhanced[2],
				 .text = relay_reason_text(why),
				 .results = buf_str(&j->results)});
	buf_fini(&ip);
}

void
relay_job_defer(struct relay_job *j, enum schedule_outcome outcome)
{
	tell(j, outcome);
	relay_job_free(&j);
}

void
relay_job_fail(struct relay_job *j)
{
	if (j->record == NULL) {
		/* Who fails is known when the message is here. */
		j->is_failing = true;
		return;
	}
	for (size_t i = 0; i < j->rcpts_n; i++)
		if (j->rcpts[i].state != RELAY_RCPT_DONE)
			result_put(j, &j->rcpts[i], QUEUE_FAILED, &j->reason);
	relay_job_defer(j, j->ip.port != 0 ? SCHEDULE_SENT : SCHEDULE_DEFERRED_MESSAGE);
}

/* ---- the connection ---- */

static void
connection_begin(struct relay_job *j)
{
	struct relay_session *s = j->is_retried ? NULL : relay_pool_take(j->r, j);

	if (s == NULL) {
		relay_search_begin(j);
		return;
	}
	s->job = j;
	j->session = s;
}

static void
connect_to(struct relay_job *j, const struct relay_target *t, const struct relay_host *host,
    bool is_mx, bool is_clear)
{
	/* Those that end linger for a while, and a stranger's DNS says how many addresses there
	 * are. */
	if (j->r->sessions.n >= RELAY_SESSIONS_MAX) {
		relay_reason_set(
		    &j->reason, 451, 3, 2, "too many connections are open at the moment");
		relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
		return;
	}
	j->session = relay_session_new(j, t, host, is_mx, is_clear);
}

void
relay_job_connect(struct relay_job *j, const struct relay_target *t)
{
	uint8_t tls = j->route != NULL ? j->route->tls : RELAY_TLS_MAY;

	CHECK(j->session == NULL);
	if (j->r->tls == NULL && (tls == RELAY_TLS_MUST || tls == RELAY_TLS_IMPLICIT)) {
		relay_reason_set(&j->reason, 454, 7, 4,
		    "TLS is demanded for this route, but not to be had here");
		relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
		return;
	}
	connect_to(j, t, &j->search->hosts[t->host], j->search->is_mx, false);
}

static bool
is_tls_optional(const struct relay_session *s)
{
	return s->tls_mode == RELAY_TLS_MAY;
}

/* There is no connection with this target; the reason is for people, and the last one counts. */
static void
lost_before_ready(struct relay_job *j, const struct relay_session *s, enum relay_lost how)
{
	if (how == RELAY_LOST_TLS && is_tls_optional(s)) {
		/* RFC 7435 3: better in clear than not at all. */
		j->r->counters.tls_failed++;
		connect_to(j, &s->target, &s->host, s->is_mx, true);
		return;
	}
	if (how == RELAY_LOST_CONNECT)
		relay_bad_add(j->r, &s->target.addr);
	if (how == RELAY_LOST)
		relay_reason_soften(&j->reason, s);
	relay_search_next(j);
}

void
relay_job_lost(struct relay_job *j, const struct relay_session *s, enum relay_lost how,
    const struct relay_reason *reason)
{
	bool is_ours = s->is_begun && reason->code >= 500;

	if (j->is_told) {
		relay_job_free(&j);
		return;
	}
	note_session(j, s);
	j->reason = *reason;
	if (how == RELAY_LOST_LOOP || is_ours) {
		relay_job_fail(j);
	} else if (!s->is_ready && j->search != NULL) {
		lost_before_ready(j, s, how);
	} else if ((s->is_reused || !s->is_begun) && !s->is_answered && !j->is_retried) {
		/* The peer had closed it before it knew of this message. */
		j->is_retried = true;
		relay_search_free(j);
		relay_search_begin(j);
	} else {
		relay_job_defer(j, SCHEDULE_FAILED_DESTINATION);
	}
}

/* ---- the message ---- */

static bool
rcpt_take(struct cur *c, struct relay_rcpt *out)
{
	return cur_le32(c, &out->index) && cur_u8(c, &out->notify) && cur_str16(c, &out->path) &&
	       cur_str16(c, &out->orcpt);
}

static bool
rcpts_take(struct relay_job *j)
{
	struct cur c = cur_of(j->m.rcpts);
	struct relay_rcpt rcpt = {0};
	uint32_t n = 0;

	while (!cur_at_end(&c)) {
		if (!rcpt_take(&c, &rcpt))
			return false;
		n++;
	}
	if (n == 0)
		return true;
	/* Those beyond have no result: they wait for the next try. */
	if (n > SMTP_CLIENT_RCPTS_MAX)
		n = SMTP_CLIENT_RCPTS_MAX;
	j->rcpts = calloc(n, sizeof(*j->rcpts));
	j->row = calloc(n, sizeof(*j->row));
	j->row_rcpt = calloc(n, sizeof(*j->row_rcpt));
	CHECK(j->rcpts != NULL && j->row != NULL && j->row_rcpt != NULL);
	c = cur_of(j->m.rcpts);
	while (j->rcpts_n < n)
		CHECK(rcpt_take(&c, &j->rcpts[j->rcpts_n++]));
	return true;
}

/* RFC 2852 4.1.4: with mode R, after its time it is not sent any more. */
static bool
is_too_late(const struct relay_job *j)
{
	return j->m.by_ms != 0 && j->m.by_mode == 'R' &&
	       clock_wall_ms(loop_clock(j->r->loop)) >= j->m.by_ms;
}

static void
message_begin(struct relay_job *j)
{
	if (j->is_failing && j->rcpts_n > 0) {
		relay_job_fail(j);
	} else if (j->rcpts_n == 0) {
		relay_reason_set(&j->reason, 250, 0, 0, "nothing is due any more");
		relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
	} else if (is_too_late(j)) {
		relay_reason_set(&j->reason, 550, 4, 7, "the time asked for its delivery is over");
		relay_job_fail(j);
	} else {
		relay_content_prepare(j);
	}
}

bool
relay_job_message(struct relay_job *j, struct str payload)
{
	struct cur c;

	if (j->record != NULL)
		return true;
	j->store_due_ms = 0;
	j->record = malloc(payload.n);
	CHECK(j->record != NULL);
	memcpy(j->record, payload.p, payload.n);
	c = cur_of(str_of(j->record, payload.n));
	CHECK(rec_queue_message_take(&c, &j->m));
	if (!j->m.ok) {
		relay_reason_set(&j->reason, 451, 3, 0,
		    "the message cannot be read from the store at the moment");
		relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
		return true;
	}
	if (!rcpts_take(j) || j->m.body.n > j->m.body_bytes ||
	    (j->m.keys.n > 0 && j->rcpts_n > 0 && relay_sign_new(j) != ST_OK)) {
		relay_reason_set(
		    &j->reason, 451, 3, 0, "the store gave a message that cannot be read");
		relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
		return false;
	}
	message_begin(j);
	return true;
}

void
relay_job_prepared(struct relay_job *j)
{
	j->is_prepared = true;
	relay_job_go(j);
}

void
relay_job_ready(struct relay_job *j)
{
	relay_search_free(j);
	relay_job_go(j);
}

void
relay_job_go(struct relay_job *j)
{
	if (j->is_prepared && j->session != NULL && j->session->is_ready && !j->session->is_begun)
		relay_session_begin(j->session);
}

/* ---- the transaction ---- */

static void
row_make(struct relay_job *j)
{
	size_t n = 0;

	for (uint32_t i = 0; i < j->rcpts_n; i++) {
		struct relay_rcpt *rcpt = &j->rcpts[i];
		if (rcpt->state == RELAY_RCPT_DONE)
			continue;
		rcpt->state = RELAY_RCPT_DUE;
		j->row[n] = (struct smtp_client_rcpt){
		    .path = rcpt->path, .notify = rcpt->notify, .orcpt = rcpt->orcpt};
		j->row_rcpt[n++] = i;
	}
	CHECK(n > 0);
	j->mail.rcpts = j->row;
	j->mail.rcpts_n = n;
}

/* RFC 6531 3: only what is not ASCII needs it, whatever its sender said. */
static bool
needs_utf8(const struct relay_job *j)
{
	struct str header;

	if (!(j->m.flags & ENVELOPE_UTF8))
		return false;
	if (!relay_content_header(j, &header) || !relay_is_ascii(header) ||
	    !relay_is_ascii(j->m.head) || !relay_is_ascii(j->m.reverse_path))
		return true;
	for (size_t i = 0; i < j->mail.rcpts_n; i++)
		if (!relay_is_ascii(j->row[i].path) || !relay_is_ascii(j->row[i].orcpt))
			return true;
	return false;
}

static void
by_make(struct relay_job *j)
{
	struct smtp_client_mail *m = &j->mail;

	m->has_by = j->m.by_ms != 0;
	m->by_s = ((int64_t)j->m.by_ms - (int64_t)clock_wall_ms(loop_clock(j->r->loop))) / 1000;
	m->by_mode = j->m.by_mode == 'R' ? 'R' : 'N';
}

void
relay_job_mail_make(struct relay_job *j)
{
	struct smtp_client_mail *m = &j->mail;

	row_make(j);
	m->reverse_path = j->m.reverse_path;
	m->size_bytes = relay_content_bytes(j);
	m->is_binary = (j->m.flags & ENVELOPE_BINARY) != 0;
	m->is_8bit = j->has_8bit || (!j->is_scanned && (j->m.flags & ENVELOPE_8BIT));
	m->is_smtputf8 = needs_utf8(j);
	m->ret = j->m.ret <= SMTP_CLIENT_RET_HDRS ? j->m.ret : SMTP_CLIENT_RET_NONE;
	m->envid = j->m.envid;
	m->has_priority =
	    j->m.priority <= 2 * ENVELOPE_PRIORITY_ZERO && j->m.priority != ENVELOPE_PRIORITY_ZERO;
	if (m->has_priority)
		m->priority = (int8_t)(j->m.priority - ENVELOPE_PRIORITY_ZERO);
	by_make(j);
	j->accepted_n = 0;
	j->has_again = false;
	j->rounds_n++;
	relay_content_rewind(j);
}

static enum queue_verdict
verdict_of(const struct relay_reason *r)
{
	return r->code >= 500 ? QUEUE_FAILED : QUEUE_DEFERRED;
}

/* Every recipient of this transaction in that state. */
static void
results_put(struct relay_job *j, enum relay_rcpt_state state, enum queue_verdict verdict)
{
	for (size_t i = 0; i < j->mail.rcpts_n; i++) {
		struct relay_rcpt *rcpt = &j->rcpts[j->row_rcpt[i]];
		if (rcpt->state == state)
			result_put(j, rcpt, verdict, &j->reason);
	}
}

void
relay_job_refused(struct relay_job *j, const struct smtp_reply *reply)
{
	relay_reason_reply(&j->reason, reply);
	results_put(j, RELAY_RCPT_DUE, verdict_of(&j->reason));
}

void
relay_job_rcpt(struct relay_job *j, uint32_t row, const struct smtp_reply *reply)
{
	struct relay_rcpt *rcpt = &j->rcpts[j->row_rcpt[row]];
	struct relay_reason said;

	if (reply->code < 300) {
		rcpt->state = RELAY_RCPT_ACCEPTED;
		j->accepted_n++;
		return;
	}
	relay_reason_reply(&said, reply);
	/* RFC 5321 4.5.3.1.10: too many recipients; 552 means the same, from servers that know no
	 * better. */
	if (reply->code == 552)
		relay_reason_set(&said, 452, 5, 3, "%.*s", STR_ARG(reply->text));
	/* The last reason is told for all that have no result, so one of those that wait stays. */
	if (said.code == 452 || !j->has_again)
		j->reason = said;
	if (said.code == 452) {
		rcpt->state = RELAY_RCPT_AGAIN;
		j->has_again = true;
		return;
	}
	result_put(j, rcpt, verdict_of(&said), &said);
}

static bool
is_again(const struct relay_job *j)
{
	/* A round that got nobody through would only be repeated. */
	return j->accepted_n > 0 && j->rounds_n < RELAY_ROUNDS_MAX &&
	       j->session->messages_n + 1 < RELAY_MESSAGES_MAX && j->has_again &&
	       smtp_client_can_mail(&j->session->smtp);
}

static void
tell_peers_word(struct relay_job *j)
{
	tell(j, j->has_good ? SCHEDULE_SENT : SCHEDULE_DEFERRED_MESSAGE);
}

void
relay_job_sent(struct relay_job *j, const struct smtp_reply *reply, bool is_dsn)
{
	struct relay_reason said;

	relay_reason_reply(&said, reply);
	/* Those who wait do so for their own reason. */
	if (reply->code >= 300 || !j->has_again)
		j->reason = said;
	for (size_t i = 0; i < j->mail.rcpts_n; i++) {
		struct relay_rcpt *rcpt = &j->rcpts[j->row_rcpt[i]];
		if (rcpt->state != RELAY_RCPT_ACCEPTED)
			continue;
		/* RFC 3461 5.2.2, 5.2.3 */
		result_put(j, rcpt,
		    reply->code >= 300 ? verdict_of(&said)
		    : is_dsn	       ? QUEUE_DELIVERED
				       : QUEUE_RELAYED,
		    &said);
	}
	if (reply->code >= 300)
		j->accepted_n = 0;
	if (!is_again(j))
		tell_peers_word(j);
}

bool
relay_job_round_done(struct relay_job *j)
{
	if (!j->is_told && is_again(j))
		return true;
	if (!j->is_told)
		tell_peers_word(j);
	return false;
}

/* ---- its beginning ---- */

static void
fetch(struct relay_job *j)
{
	struct link *store = j->r->ops->store(j->r->ops_arg);

	j->store_due_ms = store != NULL ? relay_now_ms(j->r) + RELAY_STORE_MS : 1;
	if (store != NULL)
		(void)rec_queue_fetch_put(
		    link_out(store), &(struct rec_queue_fetch){.job = j->id,
					 .message = j->message,
					 .destination = str_of(j->destination, j->destination_n)});
}

/* The queue came back and asks again for what is still on its way: its answer is the answer to
 * both. */
static bool
adopt(struct relay *r, const struct rec_relay *rec)
{
	struct relay_job *j;
	uint32_t it = 0;

	while ((j = slots_next(&r->jobs, &it)) != NULL) {
		if (!j->is_orphan || j->is_told || j->message != rec->message ||
		    !str_eq(str_of(j->destination, j->destination_n), rec->destination))
			continue;
		j->is_orphan = false;
		r->orphans_n--;
		j->queue_job = rec->job;
		return true;
	}
	return false;
}

static void
refuse(struct relay *r, const struct rec_relay *rec, const char *why)
{
	relay_done_put(r, &(struct rec_relay_done){.job = rec->job,
			      .outcome = SCHEDULE_DEFERRED_MESSAGE,
			      .code = 451,
			      .class = 4,
			      .subject = 3,
			      .detail = 2,
			      .text = str_of_c(why)});
}

bool
relay_job_new(struct relay *r, const struct rec_relay *rec)
{
	struct relay_job *j;

	if (rec->destination.n > RELAY_DESTINATION_BYTES_MAX)
		return false;
	if (r->orphans_n > 0 && adopt(r, rec))
		return true;
	if (r->is_stopping || r->jobs.n == RELAY_JOBS_MAX) {
		refuse(r, rec,
		    r->is_stopping ? "the relay is stopping" : "too many messages are under way");
		return true;
	}
	j = calloc(1, sizeof(*j));
	CHECK(j != NULL);
	j->r = r;
	j->queue_job = rec->job;
	j->message = rec->message;
	memcpy(j->destination, rec->destination.p != NULL ? rec->destination.p : "",
	    rec->destination.n);
	j->destination_n = (uint8_t)rec->destination.n;
	buf_init(&j->results, RELAY_RESULTS_BYTES_MAX);
	buf_init(&j->signatures, RELAY_KEYS_MAX * DKIM_FIELD_BYTES_MAX);
	buf_init(&j->piece, RELAY_PIECE_BYTES);
	j->id = slots_add(&r->jobs, j);
	CHECK(j->id != 0);
	j->routes = relay_routes_ref(r->routes);
	j->route = relay_routes_find(j->routes, rec->destination);
	r->counters.jobs++;
	relay_sweep_start(r);
	fetch(j);
	connection_begin(j);
	return true;
}

/* ---- time, and the store ---- */

void
relay_job_store_down(struct relay_job *j)
{
	if (j->store_due_ms == 0)
		return;
	relay_reason_set(&j->reason, 451, 3, 0, "the mail store does not answer at the moment");
	relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
}

void
relay_job_check_time(struct relay_job *j, uint64_t now_ms)
{
	if (j->store_due_ms != 0 && j->store_due_ms <= now_ms) {
		relay_job_store_down(j);
	} else if (j->signing != NULL && j->signing->due > 0 && j->signing->due_ms <= now_ms) {
		relay_reason_set(
		    &j->reason, 451, 3, 0, "the message cannot be signed at the moment: no answer");
		relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
	} else if (j->search != NULL && j->search->dns_due_ms != 0 &&
		   j->search->dns_due_ms <= now_ms) {
		relay_search_down(j);
	}
}
