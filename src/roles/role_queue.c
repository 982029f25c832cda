/*
 * queue: what goes out when (flow/queue/dispatch), and the command's control socket. A command about the processes goes to the parent, any
 * other to the store; the answer goes back as it is. `queue why` gets along what the schedule says.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "base/check.h"
#include "base/log.h"
#include "base/slots.h"
#include "flow/queue/dispatch.h"
#include "roles/role.h"
#include "sys/sandbox.h"

enum { COMMANDS_MAX = 64, CONTROL_CLIENTS_MAX = 64 };

struct control {
	struct link *link;
	struct queue *queue;
	uint64_t id;
};

/* A command under way: whom to answer. */
struct asked {
	uint64_t control;
	uint32_t client_seq, seq;
	bool is_used, is_parent;
};

struct queue {
	struct role *role;
	struct dispatch *dispatch;
	int listen_fd;
	struct loop_id watch;
	struct slots controls;
	struct asked asked[COMMANDS_MAX];
	uint32_t seq;
	uint64_t commands_n;
};

static struct link *
queue_store(void *arg)
{
	struct queue *q = arg;

	return role_link(q->role, ROLE_STORE, 0);
}

static struct link *
queue_relay(void *arg, uint64_t n)
{
	struct queue *q = arg;

	return role_link_any(q->role, ROLE_RELAY, n);
}

static const struct dispatch_ops dispatch_ops = {.store = queue_store, .relay = queue_relay};

static void *
queue_new(struct role *r)
{
	struct queue *q = calloc(1, sizeof(*q));

	CHECK(q != NULL);
	q->role = r;
	q->listen_fd = -1;
	slots_init(&q->controls, CONTROL_CLIENTS_MAX);
	q->dispatch = dispatch_new(role_loop(r), &dispatch_ops, q);
	return q;
}

static enum status
queue_prepare(void *self, struct buf *why)
{
	(void)self;
	(void)why;
	/* jansson seeds its hash tables from /dev/urandom when first used, which must be now. */
	json_object_seed(0);
	return ST_OK;
}

static void
control_free(struct control *k)
{
	slots_del(&k->queue->controls, k->id);
	link_free(&k->link);
	free(k);
}

static void
queue_close(struct queue *q)
{
	struct control *k;
	uint32_t it = 0;

	loop_fd_del(role_loop(q->role), &q->watch);
	if (q->listen_fd >= 0)
		close(q->listen_fd);
	q->listen_fd = -1;
	while ((k = slots_next(&q->controls, &it)) != NULL)
		control_free(k);
}

static void
queue_free(void *self)
{
	struct queue *q = self;

	queue_close(q);
	dispatch_free(&q->dispatch);
	slots_fini(&q->controls);
	free(q);
}

static void
control_answer(struct queue *q, uint64_t control, uint32_t seq, uint8_t code, struct str json)
{
	struct control *k = slots_get(&q->controls, control);

	if (k != NULL)
		(void)rec_command_answer_put(link_out(k->link),
		    &(struct rec_command_answer){.seq = seq, .exit_code = code, .json = json});
}

static bool
is_for_parent(const char *word)
{
	return word && (strcmp(word, "status") == 0 || strcmp(word, "stop") == 0 || strcmp(word, "reload") == 0);
}

/* The first operand of `queue why`, an id in hexadecimal digits; 0: it is something else. */
static uint64_t
why_message(const json_t *doc)
{
	const char *word = json_string_value(json_object_get(doc, "command"));
	const char *id = json_string_value(json_array_get(json_object_get(doc, "operands"), 0));
	char *end;
	uint64_t v;

	if (word == NULL || strcmp(word, "queue why") != 0 || id == NULL || id[0] == '-' || id[0] == '\0')
		return 0;
	v = strtoull(id, &end, 16);
	return *end == '\0' ? v : 0;
}

/* "schedule": destination -> sentence. */
static void
schedule_add_to(struct queue *q, json_t *doc, uint64_t message)
{
	struct buf members;
	json_t *schedule;

	buf_init(&members, 1 << 16);
	(void)buf_put_c(&members, '{');
	dispatch_why(q->dispatch, message, &members);
	(void)buf_put_c(&members, '}');
	schedule = members.full ? NULL : json_loadb(members.p, members.n, 0, NULL);
	if (schedule != NULL)
		(void)json_object_set_new(doc, "schedule", schedule);
	buf_fini(&members);
}

/* The request as the store shall have it: as it is (NULL), or (to be freed) with more in it. */
static char *
request_more(struct queue *q, json_t *doc)
{
	uint64_t message = why_message(doc);

	if (message == 0)
		return NULL;
	schedule_add_to(q, doc, message);
	return json_dumps(doc, JSON_COMPACT);
}

static bool
control_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct control *k = arg;
	struct queue *q = k->queue;
	struct rec_command r;
	struct link *to;
	json_t *doc;
	char *more;
	size_t i = 0;

	(void)l;
	if (t != REC_COMMAND || !rec_command_take(c, &r))
		return false;
	while (i < COMMANDS_MAX && q->asked[i].is_used)
		i++;
	doc = json_loadb(r.request_json.p, r.request_json.n, 0, NULL);
	bool is_parent = is_for_parent(json_string_value(json_object_get(doc, "command")));
	to = is_parent ? role_parent(q->role) : role_link(q->role, ROLE_STORE, 0);
	if (i == COMMANDS_MAX || to == NULL) {
		control_answer(q, k->id, r.seq, 1,
		    to == NULL ? STR("{\"error\":\"The store is not running at the moment.\",\"mend\":\"Try again in a few seconds; `posthorn status` shows what is up.\"}")
		               : STR("{\"error\":\"Too many commands at once.\"}"));
		json_decref(doc);
		return true;
	}
	more = request_more(q, doc);
	json_decref(doc);
	q->asked[i] = (struct asked){
	    .control = k->id, .client_seq = r.seq, .seq = ++q->seq, .is_used = true, .is_parent = is_parent};
	q->commands_n++;
	(void)rec_command_put(link_out(to), &(struct rec_command){.seq = q->seq, .request_json = more != NULL ? str_of_c(more) : r.request_json});
	free(more);
	return true;
}

static void
control_closed(void *arg, struct link *l)
{
	struct control *k = arg;

	(void)l;
	control_free(k);
}

static const struct link_handler control_handler = {.record = control_record, .closed = control_closed};

static void
queue_accept(void *arg, unsigned events)
{
	struct queue *q = arg;
	struct control *k;
	int fd = accept4(q->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	k = calloc(1, sizeof(*k));
	CHECK(k != NULL);
	k->queue = q;
	k->id = slots_add(&q->controls, k);
	if (k->id == 0) {
		close(fd);
		free(k);
		return;
	}
	k->link = link_new(role_loop(q->role), fd, ROLE_QUEUE, ROLE_COMMAND, 0, false, &control_handler, k);
}

static void
queue_listener(void *self, const struct rec_listener *rec, int fd)
{
	struct queue *q = self;

	if (rec->protocol != LISTEN_CONTROL || q->listen_fd >= 0) {
		close(fd);
		return;
	}
	q->listen_fd = fd;
	q->watch = loop_fd_add(role_loop(q->role), fd, LOOP_READ, queue_accept, q);
}

static bool
queue_answer(struct queue *q, struct cur *c, bool is_parent)
{
	struct rec_command_answer r;

	if (!rec_command_answer_take(c, &r))
		return false;
	for (size_t i = 0; i < COMMANDS_MAX; i++) {
		struct asked *a = &q->asked[i];
		if (!a->is_used || a->seq != r.seq || a->is_parent != is_parent)
			continue;
		a->is_used = false;
		control_answer(q, a->control, a->client_seq, r.exit_code, r.json);
		break;
	}
	return true;
}

static bool
queue_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	struct queue *q = self;

	if (t == REC_COMMAND_ANSWER)
		return queue_answer(q, c, false);
	return dispatch_record(q->dispatch, l, t, c);
}

static bool
queue_parent_record(void *self, enum record_type t, struct cur *c, struct link *ctl)
{
	(void)ctl;
	return t == REC_COMMAND_ANSWER && queue_answer(self, c, true);
}

static void
queue_link_down(void *self, enum role_kind peer, uint16_t index)
{
	struct queue *q = self;

	if (peer == ROLE_RELAY)
		dispatch_relay_down(q->dispatch, index);
	for (size_t i = 0; peer == ROLE_STORE && i < COMMANDS_MAX; i++) {
		struct asked *a = &q->asked[i];
		if (!a->is_used || a->is_parent)
			continue;
		a->is_used = false;
		control_answer(q, a->control, a->client_seq, 1,
		    STR("{\"error\":\"The store ended while it worked on this command; it may or may not have been carried out.\",\"mend\":\"Look with the matching `list` command before trying again.\"}"));
	}
}

static void
queue_settings(void *self)
{
	struct queue *q = self;
	const struct rec_settings *o = role_settings(q->role);

	dispatch_set(q->dispatch,
	    &(struct dispatch_settings){.first_ms = o->queue_first_ms,
	        .max_ms = o->queue_max_ms,
	        .running_max = o->relay_total_max,
	        .destination_max = o->relay_destination_max});
}

static void
queue_start(void *self)
{
	struct queue *q = self;

	queue_settings(q);
}

static void
queue_link_up(void *self, struct link *l)
{
	struct queue *q = self;

	if (link_peer(l) == ROLE_STORE)
		dispatch_store_up(q->dispatch);
	if (link_peer(l) == ROLE_RELAY)
		dispatch_relay_up(q->dispatch);
}

/* Answers under way leave first. */
static void
queue_stop(void *self)
{
	struct queue *q = self;
	struct control *k;
	uint32_t it = 0;

	dispatch_stop(q->dispatch);
	while ((k = slots_next(&q->controls, &it)) != NULL)
		link_flush(k->link);
	queue_close(q);
	role_stopped(q->role);
}

static void
queue_status(void *self, struct buf *json)
{
	const struct queue *q = self;

	(void)buf_putf(json, "\"commands\":%llu,", (unsigned long long)q->commands_n);
	dispatch_status(q->dispatch, json);
}

const struct role_ops role_queue_ops = {
    .kind = ROLE_QUEUE,
    .sandbox_allow = SANDBOX_ACCEPT,
    .new = queue_new,
    .free = queue_free,
    .prepare = queue_prepare,
    .start = queue_start,
    .link_up = queue_link_up,
    .reload = queue_settings,
    .record = queue_record,
    .parent_record = queue_parent_record,
    .listener = queue_listener,
    .link_down = queue_link_down,
    .stop = queue_stop,
    .status = queue_status,
};
