#include "access/pop3.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"

enum {
	POP3_INPUT_MAX = CONN_READ_BYTES + POP3_AUTH_LINE_MAX,
	PAGE_RECORD_BYTES = 16,		/* u64 message, u32 uid, u32 size: BOX_LIST_ANSWER */
	EXPUNGE_BATCH = 1000,
};

enum waits { WAITS_NOTHING, WAITS_AUTH, WAITS_LIST, WAITS_MESSAGE, WAITS_EXPUNGE };

struct session {
	struct pop3_env *e;
	struct conn *conn;
	struct listener *from;
	struct tls_context *tls;
	struct pop3_server *pop3;
	uint64_t id;
	enum waits waits;
	struct login login;
	bool is_implicit_tls, is_paused, is_pop3_delete, is_flushing, is_refused, is_reading_ahead;
	/* after login */
	char cap[CAP_BYTES];
	bool has_cap;
	struct pop3_message *messages;
	uint32_t n, n_cap, uidvalidity;
	/* the message under way */
	uint64_t message, off, total;
	/* the update under way */
	uint32_t expunge_next;
};

struct pop3_env {
	struct loop *loop;
	const struct pop3_env_ops *ops;
	void *arg;
	struct pop3_env_settings settings;
	struct pop3_server_conf conf, conf_tls;
	struct tls_context *tls;
	struct slots sessions;
	struct pop3_counters counters;
	bool is_stopping;
	loop_fn *stopped;
	void *stopped_arg;
};

static struct link *
session_store(const struct session *s)
{
	return s->e->ops->store(s->e->arg);
}

static struct link *
session_auth(const struct session *s)
{
	return s->e->ops->auth(s->e->arg);
}

static struct str
session_cap(const struct session *s)
{
	return str_of(s->cap, CAP_BYTES);
}

static void
session_go_on(struct session *s)
{
	if (s->is_paused) {
		s->is_paused = false;
		conn_resume(s->conn);
	}
}

/* The client is told nothing more; nothing is deleted (RFC 1939 6). */
static void
session_drop(struct session *s, const char *why)
{
	log_event(LOG_INFO, "pop3.dropped", LOG_U64("session", s->id), LOG_CSTR("why", why));
	conn_close(s->conn);
}

static void
login_fail(struct session *s, enum pop3_login_failure why, struct str text)
{
	s->waits = WAITS_NOTHING;
	pop3_server_login_fail(s->pop3, conn_out(s->conn), why, text);
	session_go_on(s);
}

static void
session_login(struct session *s, const struct pop3_event *ev)
{
	struct link *auth = session_auth(s);
	struct login_first first = {
	    .mechanism = ev->user, .has_initial = ev->has_sasl_bytes, .initial = ev->sasl_bytes};
	bool is_asked;

	if (ev->kind == POP3_EV_LOGIN)
		is_asked = login_password(&s->login, auth, s->conn, ev->user, ev->password);
	else if (ev->sasl_step == 0)
		is_asked = login_begin(&s->login, auth, s->conn, &first);
	else
		is_asked = login_step(&s->login, auth, ev->sasl_bytes);
	if (is_asked)
		s->waits = WAITS_AUTH;
	else
		login_fail(s, POP3_FAIL_TEMP, STR("Logging in is not possible at the moment, try again"));
}

static void
list_ask(struct session *s)
{
	struct link *store = session_store(s);

	s->waits = WAITS_LIST;
	if (store == NULL) {
		login_fail(s, POP3_FAIL_TEMP, STR("Your mail is not available at the moment, try again"));
		return;
	}
	(void)rec_box_list_put(link_out(store),
	    &(struct rec_box_list){.session = s->id, .cap = session_cap(s), .from = s->n});
}

static bool
on_login_answer(struct pop3_env *e, struct cur *c)
{
	struct rec_login_answer a;
	struct session *s;

	if (!rec_login_answer_take(c, &a))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != WAITS_AUTH) {
		login_answer_drop(&a, e->ops->store(e->arg));
		return true;
	}
	if (!login_answer(&s->login, &a))
		return false;
	switch ((enum login_verdict)a.verdict) {
	case LOGIN_CHALLENGE:
		s->waits = WAITS_NOTHING;
		pop3_server_challenge(s->pop3, conn_out(s->conn), a.bytes);
		session_go_on(s);
		return true;
	case LOGIN_OK:
		memcpy(s->cap, a.cap.p, CAP_BYTES);
		s->has_cap = true;
		s->is_pop3_delete = a.is_pop3_delete != 0;
		list_ask(s);
		return true;
	case LOGIN_DENIED:
		login_fail(s, POP3_FAIL_AUTH, a.text);
		return true;
	case LOGIN_TEMPORARY:
		login_fail(s, POP3_FAIL_TEMP, a.text);
		return true;
	}
	return false;
}

static void
messages_add(struct session *s, struct str page)
{
	uint32_t more = (uint32_t)(page.n / PAGE_RECORD_BYTES);

	if (s->n + more > s->n_cap) {
		s->n_cap = s->n + more > s->n_cap * 2 ? s->n + more : s->n_cap * 2;
		s->messages = realloc(s->messages, s->n_cap * sizeof(*s->messages));
		CHECK(s->messages != NULL);
	}
	for (uint32_t i = 0; i < more; i++) {
		const char *p = page.p + (size_t)i * PAGE_RECORD_BYTES;
		s->messages[s->n++] =
		    (struct pop3_message){.id = le64_get(p), .uid = le32_get(p + 8), .size_bytes = le32_get(p + 12)};
	}
}

static bool
on_box_list_answer(struct pop3_env *e, struct cur *c)
{
	struct rec_box_list_answer a;
	struct session *s;

	if (!rec_box_list_answer_take(c, &a) || a.page.n % PAGE_RECORD_BYTES != 0)
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != WAITS_LIST)
		return true;
	if (!a.ok || (a.from != s->n)) {
		login_fail(s, POP3_FAIL_TEMP, STR("Your mail cannot be opened at the moment, try again"));
		return true;
	}
	messages_add(s, a.page);
	s->uidvalidity = a.uidvalidity;
	if (a.page.n > 0 && s->n < a.total && s->n < POP3_MESSAGES_MAX) {
		list_ask(s);
		return true;
	}
	if (s->n >= POP3_MESSAGES_MAX)
		log_event(LOG_WARN, "pop3.cut", LOG_U64("session", s->id), LOG_U64("messages", s->n));
	s->waits = WAITS_NOTHING;
	e->counters.logins++;
	pop3_server_login_ok(s->pop3, conn_out(s->conn), s->messages, s->n, s->uidvalidity, s->is_pop3_delete);
	session_go_on(s);
	return true;
}

/* ---- messages ---- */

static void
message_ask(struct session *s)
{
	struct link *store = session_store(s);

	if (store == NULL) {
		session_drop(s, "the store is down");
		return;
	}
	s->waits = WAITS_MESSAGE;
	(void)rec_message_read_put(link_out(store),
	    &(struct rec_message_read){.session = s->id,
	        .cap = session_cap(s),
	        .message = s->message,
	        .off = s->off,
	        .bytes_max = POP3_READ_BYTES});
}

static void
message_done(struct session *s)
{
	s->waits = WAITS_NOTHING;
	s->is_reading_ahead = false;
	s->e->counters.retrieved++;
	pop3_server_body_end(s->pop3, conn_out(s->conn));
	session_go_on(s);
}

static bool
on_message_answer(struct pop3_env *e, struct cur *c)
{
	struct rec_message_read_answer a;
	struct session *s;
	bool wants_more = true;

	if (!rec_message_read_answer_take(c, &a))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != WAITS_MESSAGE)
		return true;
	if (!a.ok && s->off == 0) {
		s->waits = WAITS_NOTHING;
		pop3_server_fail(s->pop3, conn_out(s->conn), STR("This message cannot be read any more"));
		session_go_on(s);
		return true;
	}
	if (!a.ok || a.off != s->off) {
		/* Half of it is with the client: the only honest sign left is to end without the final dot. */
		conn_abort(s->conn);
		return true;
	}
	/* conn_out holds a whole piece: dot-stuffing at most doubles it. */
	for (struct str rest = a.bytes; rest.n > 0 && wants_more; rest = str_from(rest, POP3_PIECE_MAX))
		wants_more = pop3_server_body(s->pop3, conn_out(s->conn), str_take(rest, POP3_PIECE_MAX));
	s->off += a.bytes.n;
	s->total = a.total;
	if (!wants_more || s->off >= a.total || a.bytes.n == 0)
		message_done(s);
	else if (conn_out_is_high(s->conn))
		s->is_reading_ahead = true;	/* on_drained asks for the next piece */
	else
		message_ask(s);
	return true;
}

/* ---- update ---- */

static void
expunge_ask(struct session *s)
{
	struct link *store = session_store(s);
	char uids[EXPUNGE_BATCH * 4];
	size_t n = 0;

	while (s->expunge_next < s->n && n < EXPUNGE_BATCH) {
		uint32_t i = s->expunge_next++;
		if (pop3_server_is_deleted(s->pop3, i))
			le32_put(uids + 4 * n++, s->messages[i].uid);
	}
	if (n == 0) {
		s->waits = WAITS_NOTHING;
		pop3_server_update_ok(s->pop3, conn_out(s->conn));
		session_go_on(s);
		return;
	}
	if (store == NULL) {
		s->waits = WAITS_NOTHING;
		pop3_server_fail(s->pop3, conn_out(s->conn), STR("[SYS/TEMP] Some messages were not deleted"));
		session_go_on(s);
		return;
	}
	s->waits = WAITS_EXPUNGE;
	(void)rec_box_expunge_put(link_out(store),
	    &(struct rec_box_expunge){.session = s->id, .cap = session_cap(s), .uids = str_of(uids, n * 4)});
}

static bool
on_expunge_answer(struct pop3_env *e, struct cur *c)
{
	struct rec_box_expunge_answer a;
	struct session *s;

	if (!rec_box_expunge_answer_take(c, &a))
		return false;
	s = slots_get(&e->sessions, a.session);
	if (s == NULL || s->waits != WAITS_EXPUNGE)
		return true;
	if (a.ok) {
		expunge_ask(s);
		return true;
	}
	s->waits = WAITS_NOTHING;
	pop3_server_fail(s->pop3, conn_out(s->conn), STR("[SYS/TEMP] Some messages were not deleted"));
	session_go_on(s);
	return true;
}

/* ---- the connection ---- */

/* False: this input is over for now. */
static bool
session_event(struct session *s, const struct pop3_event *ev)
{
	switch (ev->kind) {
	case POP3_EV_MORE:
		return false;
	case POP3_EV_LOGIN:
	case POP3_EV_SASL:
		session_login(s, ev);
		return true;
	case POP3_EV_SASL_END:
		login_end(&s->login, session_auth(s));
		return true;
	case POP3_EV_RETR:
		s->message = s->messages[ev->index].id;
		s->off = 0;
		message_ask(s);
		return true;
	case POP3_EV_UPDATE:
		s->expunge_next = 0;
		expunge_ask(s);
		return true;
	case POP3_EV_FLUSH:
		/* The listing goes on when the client has taken this much. */
		s->is_flushing = true;
		conn_hold(s->conn);
		return false;
	case POP3_EV_STLS:
		conn_start_tls(s->conn, s->tls);
		return false;
	case POP3_EV_CLOSE:
		conn_close(s->conn);
		return false;
	}
	return false;
}

static void
session_drive(struct session *s, struct cur *in)
{
	while (!pop3_server_is_waiting(s->pop3) && s->waits == WAITS_NOTHING && !s->is_flushing) {
		struct pop3_event ev = pop3_server_next(s->pop3, in, conn_out(s->conn));
		if (!session_event(s, &ev))
			break;
	}
}

static void
on_input(void *arg, struct conn *c, struct cur *in)
{
	struct session *s = arg;
	const char *before = in->p;

	if (s->is_refused)
		return;
	session_drive(s, in);
	/* A line that comes byte by byte has the time of one line. */
	if (in->p != before)
		conn_deadline(c, s->e->settings.timeout_ms);
	if (!cur_at_end(in) && (pop3_server_is_waiting(s->pop3) || s->waits != WAITS_NOTHING) && !s->is_paused) {
		s->is_paused = true;
		conn_pause(c);
	}
}

static void
on_drained(void *arg, struct conn *c)
{
	struct session *s = arg;
	struct cur none = cur_of(STR_NULL);

	/* A client that takes what it asked for is not silent. */
	conn_deadline(c, s->e->settings.timeout_ms);
	if (s->is_reading_ahead) {
		s->is_reading_ahead = false;
		message_ask(s);
	}
	if (s->is_flushing) {
		s->is_flushing = false;
		session_drive(s, &none);
	}
}

static void
machine_new(struct session *s, const struct pop3_server_conf *conf, bool is_tls)
{
	bool is_local = login_is_same_host(s->conn);

	pop3_server_free(&s->pop3);
	s->pop3 = pop3_server_new(conf, is_tls, is_tls || is_local);
	pop3_server_mechanisms(s->pop3,
	    login_mechanisms(is_tls || is_local, login_can_bind(s->conn), s->e->settings.is_scram_sha1, false));
}

static void
on_tls_done(void *arg, struct conn *c)
{
	struct session *s = arg;

	machine_new(s, &s->e->conf, true);
	if (s->is_implicit_tls)
		pop3_server_greet(s->pop3, conn_out(c));
	conn_deadline(c, s->e->settings.timeout_ms);
}

static void
on_closed(void *arg, struct conn *c, enum conn_end why)
{
	struct session *s = arg;
	struct pop3_env *e = s->e;
	struct link *store = session_store(s);

	(void)why;
	if (s->has_cap && store != NULL)
		(void)rec_cap_drop_put(link_out(store), &(struct rec_cap_drop){.cap = session_cap(s)});
	login_end(&s->login, session_auth(s));
	if (s->from != NULL)
		listener_release(s->from, conn_peer(c));
	slots_del(&e->sessions, s->id);
	pop3_server_free(&s->pop3);
	free(s->messages);
	free(s);
	if (e->is_stopping && e->sessions.n == 0 && e->stopped != NULL)
		(void)loop_post(e->loop, e->stopped, e->stopped_arg);
}

static const struct conn_handler session_handler = {
    .input = on_input, .drained = on_drained, .tls_done = on_tls_done, .closed = on_closed};

static struct session *
session_new(struct pop3_env *e, int fd)
{
	struct session *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->e = e;
	s->id = slots_add(&e->sessions, s);
	s->conn = conn_new_fd(e->loop, fd, &session_handler, s, POP3_INPUT_MAX);
	return s;
}

void
pop3_accept(struct pop3_env *e, struct listener *from, int fd, const struct sock_addr *peer, unsigned tls, bool is_exempt)
{
	struct session *s = session_new(e, fd);
	bool starttls;

	/* A socket that was reset no longer knows, and the listener counts by it. */
	conn_set_peer(s->conn, peer);
	s->from = from;
	login_init(&s->login, LOGIN_POP3, s->id, is_exempt);
	s->tls = tls != 0 ? e->tls : NULL;
	s->is_implicit_tls = tls == 2 && s->tls != NULL;
	starttls = s->tls != NULL && !s->is_implicit_tls;
	machine_new(s, starttls ? &e->conf_tls : &e->conf, false);
	e->counters.sessions++;
	if (s->is_implicit_tls)
		conn_start_tls(s->conn, s->tls);
	else
		pop3_server_greet(s->pop3, conn_out(s->conn));
	conn_deadline(s->conn, e->settings.timeout_ms);
}

void
pop3_refuse(struct pop3_env *e, int fd)
{
	struct session *s = session_new(e, fd);

	s->is_refused = true;
	(void)buf_put(conn_out(s->conn), STR("-ERR [SYS/TEMP] Too many connections from you, try again later\r\n"));
	conn_close(s->conn);
}

bool
pop3_record(struct pop3_env *e, enum record_type t, struct cur *c)
{
	if (t == REC_LOGIN_ANSWER)
		return on_login_answer(e, c);
	if (t == REC_BOX_LIST_ANSWER)
		return on_box_list_answer(e, c);
	if (t == REC_MESSAGE_READ_ANSWER)
		return on_message_answer(e, c);
	if (t == REC_BOX_EXPUNGE_ANSWER)
		return on_expunge_answer(e, c);
	return false;
}

void
pop3_store_down(struct pop3_env *e)
{
	struct session *s;
	uint32_t it = 0;

	while ((s = slots_next(&e->sessions, &it)) != NULL) {
		/* Capabilities ended with the store: the client logs in again. */
		if (s->waits == WAITS_LIST)
			login_fail(s, POP3_FAIL_TEMP, STR("Your mail was interrupted, try again"));
		else if (s->has_cap)
			conn_abort(s->conn);
		s->has_cap = false;
	}
}

void
pop3_auth_down(struct pop3_env *e)
{
	struct session *s;
	uint32_t it = 0;

	while ((s = slots_next(&e->sessions, &it)) != NULL) {
		login_end(&s->login, NULL);
		if (s->waits == WAITS_AUTH)
			login_fail(s, POP3_FAIL_TEMP, STR("Logging in was interrupted, try again"));
	}
}

struct pop3_env *
pop3_env_new(struct loop *l, const struct pop3_env_ops *ops, void *arg)
{
	struct pop3_env *e = calloc(1, sizeof(*e));

	CHECK(e != NULL);
	e->loop = l;
	e->ops = ops;
	e->arg = arg;
	slots_init(&e->sessions, POP3_SESSIONS_MAX);
	return e;
}

void
pop3_env_free(struct pop3_env **ep)
{
	struct pop3_env *e = *ep;
	struct session *s;
	uint32_t it = 0;

	*ep = NULL;
	if (e == NULL)
		return;
	e->stopped = NULL;
	while ((s = slots_next(&e->sessions, &it)) != NULL)
		conn_abort(s->conn);
	for (int i = 0; e->sessions.n > 0 && i < 1000; i++)
		(void)loop_turn(e->loop, 0);
	slots_fini(&e->sessions);
	free(e);
}

void
pop3_env_set(struct pop3_env *e, const struct pop3_env_settings *o)
{
	e->settings = *o;
	e->conf = (struct pop3_server_conf){.hostname = o->hostname};
	e->conf_tls = (struct pop3_server_conf){.hostname = o->hostname, .is_stls_offered = true};
}

void
pop3_env_set_tls(struct pop3_env *e, struct tls_context *tls)
{
	e->tls = tls;
}

void
pop3_env_stop(struct pop3_env *e, loop_fn *done, void *arg)
{
	struct session *s;
	uint32_t it = 0;

	e->is_stopping = true;
	e->stopped = done;
	e->stopped_arg = arg;
	/* An update under way is finished; everything else can be repeated by the client. */
	while ((s = slots_next(&e->sessions, &it)) != NULL)
		if (s->waits != WAITS_EXPUNGE)
			conn_close(s->conn);
	if (e->sessions.n == 0)
		(void)loop_post(e->loop, done, arg);
}

size_t
pop3_sessions(const struct pop3_env *e)
{
	return e->sessions.n;
}

const struct pop3_counters *
pop3_counters(const struct pop3_env *e)
{
	return &e->counters;
}
