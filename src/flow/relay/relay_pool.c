#include "flow/relay/relay_internal.h"

/* Idle connections by whose mail they take. The one used last is taken first: the others may end.
 */

/* A destination and a route's domain are apart: "*" is no destination, and a route's own domain
 * always goes by it. */
static struct str
key_of(const struct relay_session *s)
{
	return relay_host_str(&s->key);
}

static void
head_set(struct relay *r, struct str key, struct relay_session *head)
{
	if (head == NULL)
		(void)map_del(&r->idle, key);
	else
		CHECK(map_put(&r->idle, key, head, NULL) == ST_OK);
}

bool
relay_pool_put(struct relay_session *s)
{
	struct relay *r = s->r;
	struct relay_session *head = map_get(&r->idle, key_of(s));

	CHECK(!s->is_idle && s->job == NULL);
	if (r->is_stopping || r->idle_ms == 0 || r->idle_n == RELAY_POOL_MAX ||
	    s->routes != r->routes || s->messages_n >= RELAY_MESSAGES_MAX ||
	    !smtp_client_can_mail(&s->smtp))
		return false;
	s->idle_next = head;
	s->idle_prev = NULL;
	if (head != NULL)
		head->idle_prev = s;
	head_set(r, key_of(s), s);
	s->is_idle = true;
	r->idle_n++;
	conn_deadline(s->conn, r->idle_ms);
	return true;
}

void
relay_pool_remove(struct relay_session *s)
{
	struct relay *r = s->r;

	CHECK(s->is_idle && r->idle_n > 0);
	if (s->idle_next != NULL)
		s->idle_next->idle_prev = s->idle_prev;
	if (s->idle_prev != NULL)
		s->idle_prev->idle_next = s->idle_next;
	else
		head_set(r, key_of(s), s->idle_next);
	s->idle_next = s->idle_prev = NULL;
	s->is_idle = false;
	r->idle_n--;
}

struct relay_session *
relay_pool_take(struct relay *r, const struct relay_job *j)
{
	struct str key =
	    j->route != NULL ? j->route->domain : str_of(j->destination, j->destination_n);
	struct relay_session *s = r->idle_n > 0 ? map_get(&r->idle, key) : NULL;

	if (s == NULL)
		return NULL;
	relay_pool_remove(s);
	conn_deadline(s->conn, 0);
	r->counters.reused++;
	return s;
}

void
relay_pool_end(struct relay *r)
{
	struct relay_session *s;
	uint32_t it = 0;

	while ((s = slots_next(&r->sessions, &it)) != NULL) {
		if (!s->is_idle)
			continue;
		relay_pool_remove(s);
		relay_session_quit(s);
	}
}
