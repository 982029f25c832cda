/*
 * Looking at the queue: list, show, why. A message at a time is read, a page per turn of the loop, so that a queue of a million holds up
 * nobody's mail; a filter is asked of each.
 */
#include "base/check.h"
#include "base/enc.h"
#include "base/num.h"
#include "roles/admin_internal.h"

/* ---- which messages ---- */

/* RFC 5321 4.5.5: the null path is written <>. */
static struct str
path_bare(struct str path)
{
	if (path.n >= 2 && path.p[0] == '<' && path.p[path.n - 1] == '>')
		return str_take(str_from(path, 1), path.n - 2);
	return path;
}

static enum status
destination_take(struct admin_job *j, struct str text)
{
	struct buf path, normal;
	enum status st;

	buf_init(&path, ADMIN_OPERAND_BYTES_MAX);
	buf_init(&normal, sizeof(j->queue.destination));
	(void)buf_put(&path, STR("x@"));
	(void)buf_put(&path, text);
	st = path.full ? ST_LIMIT : queue_destination(buf_str(&path), &normal);
	if (st == ST_OK) {
		memcpy(j->queue.destination, normal.p, normal.n);
		j->queue.destination_n = (uint16_t)normal.n;
	}
	buf_fini(&path);
	buf_fini(&normal);
	return st;
}

static struct str
destination_of(const struct admin_job *j)
{
	return str_of(j->queue.destination, j->queue.destination_n);
}

/* NULL: fine. Else why not. */
static const char *
filter_mistake(struct admin_job *j, bool is_needed)
{
	const char *destination = admin_option(j, "destination"), *sender = admin_option(j, "sender");
	bool is_all = admin_option(j, "all") != NULL, is_some = j->operands_n > 0 || destination != NULL || sender != NULL;

	if (j->operands_n > 0 && !admin_queue_id_parse(j->operands[0], &j->queue.id))
		return "this is no id of a message in the queue";
	if (destination != NULL && destination_take(j, str_of_c(destination)) != ST_OK)
		return "this is no destination";
	if (is_needed && is_all == is_some)
		return is_all ? "--all goes with no id and no other choice" : "this needs an id, --destination, --sender or --all";
	j->queue.is_sender_asked = sender != NULL;
	j->queue.sender = path_bare(str_of_c(sender));
	j->queue.is_held_only = admin_option(j, "held") != NULL;
	return NULL;
}

bool
admin_queue_filter_take(struct admin_job *j, bool is_needed)
{
	const char *mistake = filter_mistake(j, is_needed);

	if (mistake != NULL)
		admin_job_refuse(j, mistake, "`posthorn queue list` shows what is in the queue: ids, senders, destinations.");
	return mistake == NULL;
}

static bool
any_rcpt(const struct admin_queued *q, struct str destination, bool is_held_only)
{
	for (size_t i = 0; i < q->rcpts_n; i++)
		if ((destination.n == 0 || str_eq(q->rcpts[i].destination, destination)) &&
		    (!is_held_only || q->rcpts[i].state == QUEUE_HELD))
			return true;
	return false;
}

static bool
is_of_address(const struct admin_queued *q, struct str address)
{
	if (address.n == 0 || str_eq_ci(q->m.reverse_path, address))
		return true;
	for (size_t i = 0; i < q->rcpts_n; i++)
		if (str_eq_ci(q->rcpts[i].path, address))
			return true;
	return false;
}

bool
admin_queue_is_wanted(const struct admin_job *j, const struct admin_queued *q)
{
	return (!j->queue.is_sender_asked || str_eq_ci(q->m.reverse_path, j->queue.sender)) && is_of_address(q, j->queue.address) &&
	       any_rcpt(q, destination_of(j), j->queue.is_held_only);
}

enum status
admin_queued_load(struct txn *t, struct queue_id id, struct arena *a, struct admin_queued *out)
{
	enum status st = queue_get(t, id, a, &out->m);

	return st == ST_OK ? queue_rcpts(t, id, a, &out->rcpts, &out->rcpts_n) : st;
}

static enum status
walk_one(struct admin_job *j, struct queue_id id, admin_queued_fn *visit)
{
	struct admin_queued q;
	enum status st;

	arena_reset(&j->admin->arena);
	st = admin_queued_load(store_snapshot(j->admin->store), id, &j->admin->arena, &q);
	/* ST_LIMIT is visit's word. */
	if (st != ST_OK)
		return ST_IO;
	return admin_queue_is_wanted(j, &q) ? visit(j, &q) : ST_OK;
}

enum status
admin_queue_walk(struct admin_job *j, admin_queued_fn *visit)
{
	struct queue_id ids[ADMIN_QUEUE_PAGE];
	size_t n;
	enum status st = queue_ids(store_snapshot(j->admin->store), j->queue.after, ids, ADMIN_QUEUE_PAGE, &n);

	for (size_t i = 0; i < n && st == ST_OK; i++) {
		st = walk_one(j, ids[i], visit);
		if (st == ST_LIMIT)
			return ST_OK;
		if (st == ST_OK)
			j->queue.after = ids[i];
	}
	return st == ST_OK && n < ADMIN_QUEUE_PAGE ? ST_EOF : st;
}

/* ---- words ---- */

/* The recipient that says most about why they wait: the last one tried. */
static const struct queue_rcpt *
telling_rcpt(const struct queue_rcpt *rcpts, size_t n, struct str destination)
{
	const struct queue_rcpt *best = NULL;

	for (size_t i = 0; i < n; i++)
		if ((destination.n == 0 || str_eq(rcpts[i].destination, destination)) &&
		    (best == NULL || rcpts[i].tried_ms > best->tried_ms))
			best = &rcpts[i];
	return best;
}

static void
reason_put(struct buf *out, const struct queue_rcpt *r)
{
	if (r == NULL || r->tried_ms == 0)
		(void)buf_put(out, STR("not tried yet"));
	else
		admin_reply_put(out, r->host, r->code, r->enhanced, r->text);
}

static void
reason_member_put(struct buf *out, const struct queue_rcpt *r)
{
	struct buf text;

	buf_init(&text, 1024);
	reason_put(&text, r);
	admin_member_put(out, "reason", buf_str(&text));
	buf_fini(&text);
}

static void
id_member_put(struct buf *out, struct queue_id id)
{
	char text[32];
	struct buf b;

	buf_init(&b, sizeof(text));
	admin_queue_id_put(&b, id);
	admin_member_put(out, "id", buf_str(&b));
	buf_fini(&b);
}

/* Times of the next try lie ahead, or are due: 0. */
static void
next_try_put(struct buf *out, uint64_t due_ms, uint64_t now_ms, bool is_held)
{
	if (is_held)
		(void)buf_put(out, STR(",\"next_try_seconds\":null"));
	else
		(void)buf_putf(out, ",\"next_try_seconds\":%llu", (unsigned long long)(due_ms > now_ms ? (due_ms - now_ms + 999) / 1000 : 0));
}

/* ---- list ---- */

/* Of all its destinations: the soonest, and whether nothing is on its way. */
static void
entries_sum(const struct queue_entry *e, size_t n, struct queue_entry *out)
{
	*out = (struct queue_entry){.is_held = true};
	for (size_t i = 0; i < n; i++) {
		out->rcpts_n += e[i].rcpts_n;
		if (e[i].attempts > out->attempts)
			out->attempts = e[i].attempts;
		if (e[i].is_held)
			continue;
		if (out->is_held || e[i].due_ms < out->due_ms)
			out->due_ms = e[i].due_ms;
		out->is_held = false;
	}
}

static void
destinations_put(struct buf *out, const struct queue_entry *e, size_t n)
{
	(void)buf_put(out, STR(",\"destinations\":["));
	for (size_t i = 0; i < n; i++) {
		(void)buf_put(out, i > 0 ? STR(",") : STR_NULL);
		(void)json_put_str(out, e[i].destination);
	}
	(void)buf_put_c(out, ']');
}

static enum status
list_row(struct admin_job *j, const struct admin_queued *q)
{
	struct buf *out = &j->out;
	struct queue_entry *entries, sum;
	uint64_t now_ms = admin_now_ms(j->admin);
	size_t n;
	enum status st = queue_entries(q->rcpts, q->rcpts_n, &j->admin->arena, &entries, &n);

	if (st == ST_OK)
		st = admin_row_begin(j);
	if (st != ST_OK)
		return st == ST_LIMIT ? ST_IO : st;
	entries_sum(entries, n, &sum);
	(void)buf_put_c(out, '{');
	id_member_put(out, q->m.id);
	(void)buf_putf(out, ",\"age_seconds\":%llu",
	    (unsigned long long)(now_ms > q->m.arrived_ms ? (now_ms - q->m.arrived_ms) / 1000 : 0));
	admin_member_put(out, "sender", admin_path_shown(q->m.reverse_path));
	(void)buf_putf(out, ",\"recipients\":%u", sum.rcpts_n);
	destinations_put(out, entries, n);
	(void)buf_putf(out, ",\"attempts\":%u", sum.attempts);
	next_try_put(out, sum.due_ms, now_ms, sum.is_held);
	(void)buf_putf(out, ",\"held\":%s", any_rcpt(q, STR_NULL, true) ? "true" : "false");
	reason_member_put(out, telling_rcpt(q->rcpts, q->rcpts_n, STR_NULL));
	(void)buf_put_c(out, '}');
	return ST_OK;
}

static enum status
list_step(struct admin_job *j)
{
	return admin_queue_walk(j, list_row);
}

void
admin_queue_list(struct admin_job *j)
{
	if (!admin_queue_filter_take(j, false))
		return;
	j->list.hint = "; --destination, --sender and --held choose among them";
	admin_list_open(j,
	    "{\"columns\":[\"id\",\"age_seconds\",\"sender\",\"recipients\",\"destinations\",\"attempts\",\"next_try_seconds\",\"held\","
	    "\"reason\"],\"rows\":[",
	    list_step);
	admin_list_turn(j);
}

/* ---- show ---- */

static void
message_fields_put(struct buf *out, const struct admin_queued *q)
{
	(void)buf_put_c(out, '{');
	id_member_put(out, q->m.id);
	admin_member_put(out, "sender", admin_path_shown(q->m.reverse_path));
	admin_member_put(out, "message_id", q->m.message_id);
	admin_member_put(out, "envelope_id", q->m.envid);
	admin_member_put(out, "signed_as", q->m.sign_domain);
	(void)buf_putf(out, ",\"size_bytes\":%llu", (unsigned long long)(q->m.body_bytes + q->m.head.n));
	admin_member_stamp_put(out, "arrived", q->m.arrived_ms);
	admin_member_stamp_put(out, "expires", q->m.expires_ms);
	(void)buf_putf(out, ",\"recipients_at_first\":%u,\"recipients_left\":%zu}", q->m.rcpts_n, q->rcpts_n);
}

static void
rcpt_row_put(struct buf *out, const struct queue_rcpt *r, uint64_t now_ms)
{
	(void)buf_put_c(out, '{');
	admin_member_put(out, "recipient", r->path);
	admin_member_put(out, "destination", r->destination);
	admin_member_put(out, "state", r->state == QUEUE_HELD ? STR("held") : STR("waiting"));
	(void)buf_putf(out, ",\"attempts\":%u", r->attempts);
	admin_member_stamp_put(out, "tried", r->tried_ms);
	next_try_put(out, r->due_ms, now_ms, r->state == QUEUE_HELD);
	reason_member_put(out, r);
	(void)buf_put_c(out, '}');
}

/* False: refused, the job is gone. */
static bool
one_load(struct admin_job *j, struct admin_queued *out)
{
	enum status st;

	if (!admin_queue_id_parse(j->operands[0], &j->queue.id)) {
		admin_job_refuse(j, "this is no id of a message in the queue", j->command->mend_notfound);
		return false;
	}
	arena_reset(&j->admin->arena);
	st = admin_queued_load(store_snapshot(j->admin->store), j->queue.id, &j->admin->arena, out);
	if (st == ST_NOTFOUND)
		(void)buf_putf(&j->why, "there is no message %.*s in the queue (any more)", STR_ARG(j->operands[0]));
	if (st != ST_OK)
		admin_job_end(j, st);
	return st == ST_OK;
}

void
admin_queue_show(struct admin_job *j)
{
	struct admin_queued q;

	if (!one_load(j, &q))
		return;
	(void)buf_put(&j->out, STR("{\"fields\":"));
	message_fields_put(&j->out, &q);
	(void)buf_put(&j->out,
	    STR(",\"columns\":[\"recipient\",\"destination\",\"state\",\"attempts\",\"tried\",\"next_try_seconds\",\"reason\"],\"rows\":["));
	/* At most QUEUE_RCPTS_MAX: less than an answer may hold. */
	for (size_t i = 0; i < q.rcpts_n; i++) {
		if (admin_row_begin(j) != ST_OK)
			break;
		rcpt_row_put(&j->out, &q.rcpts[i], admin_now_ms(j->admin));
	}
	(void)buf_put(&j->out, STR("]}"));
	admin_job_answer(j, 0);
}

/* ---- why ---- */

static void
moment_put(struct buf *out, uint64_t ms, uint64_t now_ms)
{
	if (ms / (24 * 3600 * 1000) != now_ms / (24 * 3600 * 1000)) {
		admin_date_put(out, ms);
		(void)buf_put_c(out, ' ');
	}
	admin_time_put(out, ms);
}

static void
next_put(struct buf *out, uint64_t due_ms, uint64_t now_ms)
{
	if (due_ms <= now_ms) {
		(void)buf_put(out, STR("the next try is due"));
		return;
	}
	(void)buf_put(out, STR("next try at "));
	moment_put(out, due_ms, now_ms);
	(void)buf_put(out, STR(", in "));
	admin_age_put(out, due_ms - now_ms);
}

/* What the store knows of one destination. */
static void
facts_put(struct buf *out, const struct admin_queued *q, const struct queue_entry *e, uint64_t now_ms)
{
	const struct queue_rcpt *r = telling_rcpt(q->rcpts, q->rcpts_n, e->destination);

	(void)buf_putf(out, "%.*s (%u recipient%s): ", STR_ARG(e->destination), e->rcpts_n, e->rcpts_n == 1 ? "" : "s");
	if (e->is_held)
		(void)buf_put(out, STR("held by hand until `posthorn queue release` lets it go; "));
	if (r == NULL || r->tried_ms == 0) {
		(void)buf_put(out, STR("not tried yet"));
	} else {
		(void)buf_putf(out, "tried %u time%s, the last time at ", e->attempts, e->attempts == 1 ? "" : "s");
		moment_put(out, r->tried_ms, now_ms);
		(void)buf_put(out, STR(": "));
		reason_put(out, r);
	}
	if (!e->is_held) {
		(void)buf_put(out, STR("; "));
		next_put(out, e->due_ms, now_ms);
	}
}

/* What the schedule says, which knows who is being tried now and who waits for a connection. */
static void
schedule_put(struct admin_job *j, struct buf *out, struct str destination)
{
	json_t *schedule = json_object_get(j->request, "schedule"), *v;
	const char *key;

	if (j->admin->loop == NULL) {
		(void)buf_put(out, STR("; the server is stopped, so nothing is sent"));
		return;
	}
	json_object_foreach(schedule, key, v)
	{
		if (str_eq(str_of_c(key), destination) && json_string_length(v) > 0)
			(void)buf_putf(out, "; now: %.*s", (int)size_min(json_string_length(v), 512), json_string_value(v));
	}
}

static void
why_title_put(struct buf *out, const struct admin_queued *q, uint64_t now_ms)
{
	admin_queue_id_put(out, q->m.id);
	(void)buf_putf(out, "  from %.*s, ", STR_ARG(admin_path_shown(q->m.reverse_path)));
	admin_size_put(out, q->m.body_bytes + q->m.head.n);
	(void)buf_put(out, STR(", "));
	admin_age_put(out, now_ms > q->m.arrived_ms ? now_ms - q->m.arrived_ms : 0);
	(void)buf_put(out, STR(" old; given up at "));
	moment_put(out, q->m.expires_ms, now_ms);
}

static void
why_line_put(struct admin_job *j, const struct admin_queued *q, const struct queue_entry *e)
{
	struct buf text;

	buf_init(&text, 4096);
	facts_put(&text, q, e, admin_now_ms(j->admin));
	schedule_put(j, &text, e->destination);
	(void)buf_put_c(&j->out, '{');
	admin_member_put(&j->out, "destination", e->destination);
	(void)buf_putf(&j->out, ",\"recipients\":%u,\"held\":%s", e->rcpts_n, e->is_held ? "true" : "false");
	admin_member_put(&j->out, "text", buf_str(&text));
	(void)buf_put_c(&j->out, '}');
	buf_fini(&text);
}

static enum status
why_section(struct admin_job *j, const struct admin_queued *q)
{
	struct queue_entry *entries;
	struct buf title;
	size_t n;
	enum status st = queue_entries(q->rcpts, q->rcpts_n, &j->admin->arena, &entries, &n);

	if (st == ST_OK)
		st = admin_row_begin(j);
	if (st != ST_OK)
		return st == ST_LIMIT ? ST_IO : st;
	j->queue.found_n++;
	buf_init(&title, 1024);
	why_title_put(&title, q, admin_now_ms(j->admin));
	(void)buf_put_c(&j->out, '{');
	id_member_put(&j->out, q->m.id);
	admin_member_put(&j->out, "title", buf_str(&title));
	(void)buf_put(&j->out, STR(",\"lines\":["));
	/* One message has 1,000 destinations at most; a row may overshoot the list's limit by less than the rest of the answer. */
	for (size_t i = 0; i < n && j->out.n < ADMIN_LIST_BYTES_MAX; i++) {
		(void)buf_put(&j->out, i > 0 ? STR(",") : STR_NULL);
		why_line_put(j, q, &entries[i]);
	}
	(void)buf_put(&j->out, STR("]}"));
	buf_fini(&title);
	return ST_OK;
}

static enum status
why_step(struct admin_job *j)
{
	enum status st = admin_queue_walk(j, why_section);

	if (st == ST_EOF && j->queue.found_n == 0) {
		(void)buf_putf(&j->why, "no message from or to %.*s is in the queue; `posthorn trace` tells what became of earlier ones",
		    STR_ARG(j->queue.address));
		return ST_NOTFOUND;
	}
	return st;
}

void
admin_queue_why(struct admin_job *j)
{
	struct str what = path_bare(j->operands[0]);
	struct admin_queued q;

	if (str_find_char(what, '@') < what.n) {
		j->queue.address = what;
		admin_list_open(j, "{\"sections\":[", why_step);
		admin_list_turn(j);
		return;
	}
	if (!one_load(j, &q))
		return;
	(void)buf_put(&j->out, STR("{\"sections\":["));
	if (why_section(j, &q) != ST_OK) {
		admin_job_end(j, ST_IO);
		return;
	}
	(void)buf_put(&j->out, STR("]}"));
	admin_job_answer(j, 0);
}
