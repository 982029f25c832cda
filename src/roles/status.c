/* What the parent answers to `posthorn status|stop|reload|restart`. */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/enc.h"
#include "base/log.h"
#include "roles/parent_internal.h"

static void
answer(struct parent *p, uint32_t seq, uint8_t code, const struct buf *json)
{
	struct child *queue = child_find(p, ROLE_QUEUE, 0);

	if (queue != NULL && queue->ctl != NULL)
		(void)rec_command_answer_put(link_out(queue->ctl),
		    &(struct rec_command_answer){.seq = seq, .exit_code = code, .json = buf_str(json)});
}

static void
answer_text(struct parent *p, uint32_t seq, uint8_t code, const char *member, struct str text)
{
	struct buf json;

	buf_init(&json, 65536);
	(void)buf_putf(&json, "{\"%s\":", member);
	(void)json_put_str(&json, text);
	(void)buf_put_c(&json, '}');
	answer(p, seq, code, &json);
	buf_fini(&json);
}

static const char *
state_word(enum child_state s)
{
	switch (s) {
	case CHILD_DOWN:
		return "down";
	case CHILD_STARTING:
		return "starting";
	case CHILD_UP:
		return "up";
	case CHILD_STOPPING:
		return "stopping";
	}
	return "unknown";
}

static void
row_put(const struct parent *p, const struct child *c, struct buf *out)
{
	uint64_t now = clock_mono_ms(&p->clock);

	(void)buf_putf(out, "{\"role\":\"%s.%u\",\"pid\":%d,\"state\":\"%s\",\"up_seconds\":%llu,\"restarts\":%u,\"sandbox\":",
	    role_kind_name(c->kind), c->index, (int)c->pid, state_word(c->state),
	    (unsigned long long)(c->up_since_ms ? (now - c->up_since_ms) / 1000 : 0), c->restarts);
	(void)json_put_str(out, str_of_c(c->sandbox));
	(void)buf_put(out, STR(",\"last_end\":"));
	(void)json_put_str(out, str_of_c(c->last_end));
	if (c->detail.n > 0) {
		(void)buf_put(out, STR(",\"detail\":{"));
		(void)buf_put(out, buf_str(&c->detail));
		(void)buf_put_c(out, '}');
	}
	(void)buf_put_c(out, '}');
}

static void
status_finish(struct parent *p)
{
	struct status_round *s = &p->status;
	struct buf json;

	loop_timer_del(p->loop, &s->timer);
	buf_init(&json, 1 << 20);
	(void)buf_putf(&json, "{\"hostname\":");
	(void)json_put_str(&json, p->config->hostname);
	(void)buf_putf(&json, ",\"up_seconds\":%llu,\"single\":%s,\"columns\":[\"role\",\"pid\",\"state\",\"up_seconds\",\"restarts\",\"sandbox\"],\"rows\":[",
	    (unsigned long long)((clock_mono_ms(&p->clock) - p->started_ms) / 1000), p->options.is_single ? "true" : "false");
	for (size_t i = 0; i < p->children_n; i++) {
		(void)buf_put(&json, i > 0 ? STR(",") : STR_NULL);
		row_put(p, &p->children[i], &json);
		buf_fini(&p->children[i].detail);
	}
	(void)buf_put(&json, STR("]}"));
	answer(p, s->command_seq, 0, &json);
	buf_fini(&json);
	s->is_active = false;
}

static void
status_timeout(void *arg)
{
	struct parent *p = arg;

	p->status.timer = (struct loop_id){0};
	/* Those that said nothing are listed without detail: say so by their absence of it. */
	status_finish(p);
}

void
parent_status_add(struct parent *p, struct child *c, const struct rec_status *r)
{
	struct status_round *s = &p->status;

	if (!s->is_active || r->seq != s->seq || s->waiting == 0)
		return;
	buf_reset(&c->detail);
	(void)buf_put(&c->detail, r->json);
	if (--s->waiting == 0)
		status_finish(p);
}

static void
status_begin(struct parent *p, uint32_t command_seq)
{
	struct status_round *s = &p->status;

	if (s->is_active)
		status_finish(p);
	s->seq++;
	s->command_seq = command_seq;
	s->waiting = 0;
	s->is_active = true;
	for (size_t i = 0; i < p->children_n; i++) {
		struct child *c = &p->children[i];
		if (c->state != CHILD_UP || c->ctl == NULL)
			continue;
		(void)rec_status_ask_put(link_out(c->ctl), &(struct rec_status_ask){.seq = s->seq});
		s->waiting++;
	}
	s->timer = loop_timer_add(p->loop, STATUS_PATIENCE_MS, status_timeout, p);
	if (s->waiting == 0)
		status_finish(p);
}

static void
reload_answer(struct parent *p, uint32_t seq)
{
	struct buf why;

	buf_init(&why, 16384);
	if (parent_reload(p, &why))
		answer_text(p, seq, 0, "message", STR("The new configuration is in use."));
	else
		answer_text(p, seq, 1, "error", buf_str(&why));
	buf_fini(&why);
}

static void
restart_answer(struct parent *p, uint32_t seq)
{
	struct buf why;

	buf_init(&why, 16384);
	if (parent_restart_begin(p, &why))
		answer_text(p, seq, 0, "message", STR("The server starts anew."));
	else
		answer_text(p, seq, 1, "error", buf_str(&why));
	buf_fini(&why);
	if (p->is_restarting)
		parent_stop(p);
}

bool
parent_command(struct parent *p, const struct rec_command *c)
{
	json_t *doc = json_loadb(c->request_json.p, c->request_json.n, 0, NULL);
	const char *word = json_string_value(json_object_get(doc, "command"));
	bool ok = word != NULL;

	if (ok && strcmp(word, "status") == 0) {
		status_begin(p, c->seq);
	} else if (ok && strcmp(word, "reload") == 0) {
		reload_answer(p, c->seq);
	} else if (ok && strcmp(word, "restart") == 0) {
		restart_answer(p, c->seq);
	} else if (ok && strcmp(word, "stop") == 0) {
		answer_text(p, c->seq, 0, "message", STR("The server is stopping."));
		parent_stop(p);
	} else if (ok) {
		answer_text(p, c->seq, 1, "error", STR("The server does not know this command."));
	}
	json_decref(doc);
	return ok;
}
