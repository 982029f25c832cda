/*
 * Fuzz: one POP3 session between a client, auth and a store that say what they like, in any order.
 * The session ends when its client is gone, nothing of it is left.
 *
 * Each line is one thing that happens:
 *   C text   the client sends text and CRLF          c text   the same without CRLF
 *   a v text auth answers: verdict v, text; "1" gives a capability
 *   l n      the store lists n messages (the first digit), the last page; L n: more are to come
 *   m text   the store gives a message: all of it;   M text: a piece, more is to come
 *   e c      the store has deleted: well when c is '0'
 *   x t...   any record of the four: type by t, after the session's id these bytes
 *   k, j     the store, auth goes down; K, J: comes up
 *   E        the client goes away                    S        the server stops
 *   t        time passes: a minute
 */
#include <sys/socket.h>
#include <unistd.h>

#include "access/pop3.h"
#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "sys/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 400, ENTRY_BYTES = 16 };

struct talk {
	struct clock clock;
	struct loop *loop;
	struct pop3_env *env;
	struct link *link; /* stands for the lines to both */
	struct buf record;
	uint64_t session, listed, off;
	int client, peer;
	bool is_store_down, is_auth_down, is_stopped;
};

static struct link *
store_of(void *arg)
{
	struct talk *t = arg;

	return t->is_store_down ? NULL : t->link;
}

static struct link *
auth_of(void *arg)
{
	struct talk *t = arg;

	return t->is_auth_down ? NULL : t->link;
}

static const struct pop3_env_ops ops = {.store = store_of, .auth = auth_of};

static bool
no_record(void *arg, struct link *l, enum record_type type, struct cur *c)
{
	(void)arg;
	(void)l;
	(void)type;
	(void)c;
	return false;
}

static void
no_end(void *arg, struct link *l)
{
	(void)arg;
	(void)l;
	check_failed(__FILE__, __LINE__, "the line stays");
}

static const struct link_handler link_handler = {.record = no_record, .closed = no_end};

static void
turn(struct talk *t)
{
	static char sink[1 << 18];

	(void)loop_turn(t->loop, 0);
	while (t->client >= 0 && recv(t->client, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		continue;
	while (recv(t->peer, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		continue;
}

static void
client_send(struct talk *t, struct str s)
{
	if (t->client >= 0 && s.n > 0)
		(void)!send(t->client, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	turn(t);
}

static void
client_leave(struct talk *t)
{
	if (t->client >= 0)
		close(t->client);
	t->client = -1;
}

/* A malformed record ends both lines. */
static void
record_give(struct talk *t, enum record_type type, struct str payload)
{
	struct cur c = cur_of(payload);

	if (pop3_record(t->env, type, &c))
		return;
	t->is_store_down = t->is_auth_down = true;
	pop3_store_down(t->env);
	pop3_auth_down(t->env);
}

static struct str
payload_of(const struct talk *t)
{
	return str_from(buf_str(&t->record), RECORD_HEADER_BYTES);
}

static uint8_t
digit_of(struct str arg)
{
	return arg.n > 0 ? (uint8_t)(arg.p[0] - '0') : 0;
}

static void
auth_answers(struct talk *t, struct str arg)
{
	static const char cap[CAP_BYTES] = "0123456789abcde";
	struct rec_login_answer a = {.session = t->session,
	    .verdict = digit_of(arg),
	    .bytes = arg,
	    .cap = digit_of(arg) == LOGIN_OK ? str_of(cap, CAP_BYTES) : STR_NULL,
	    .text = str_from(arg, 2),
	    .account = 1,
	    .login = STR("user@example.org")};

	CHECK(rec_login_answer_put(&t->record, &a) == ST_OK);
	record_give(t, REC_LOGIN_ANSWER, payload_of(t));
}

static void
store_lists(struct talk *t, struct str arg, bool is_more)
{
	char page[9 * ENTRY_BYTES] = {0};
	uint32_t n = digit_of(arg) % 10;
	struct rec_box_list_answer a = {
	    .session = t->session, .ok = 1, .uidvalidity = 1, .from = (uint32_t)t->listed};

	for (uint32_t i = 0; i < n; i++) {
		le64_put(page + i * ENTRY_BYTES, i + 1);
		le32_put(page + i * ENTRY_BYTES + 8, (uint32_t)t->listed + i + 1);
		le32_put(page + i * ENTRY_BYTES + 12, 100);
	}
	t->listed += n;
	a.total = (uint32_t)t->listed + (is_more ? 1 : 0);
	a.page = str_of(page, (size_t)n * ENTRY_BYTES);
	CHECK(rec_box_list_answer_put(&t->record, &a) == ST_OK);
	record_give(t, REC_BOX_LIST_ANSWER, payload_of(t));
}

static void
store_gives(struct talk *t, struct str arg, bool is_more)
{
	struct rec_message_read_answer a = {.session = t->session,
	    .ok = 1,
	    .total = t->off + arg.n + (is_more ? 1 : 0),
	    .off = t->off,
	    .bytes = arg};

	t->off = is_more ? t->off + arg.n : 0;
	CHECK(rec_message_read_answer_put(&t->record, &a) == ST_OK);
	record_give(t, REC_MESSAGE_READ_ANSWER, payload_of(t));
}

static void
store_has_deleted(struct talk *t, struct str arg)
{
	CHECK(rec_box_expunge_answer_put(
		  &t->record, &(struct rec_box_expunge_answer){
				  .session = t->session, .ok = digit_of(arg) == 0}) == ST_OK);
	record_give(t, REC_BOX_EXPUNGE_ANSWER, payload_of(t));
}

static void
peer_says(struct talk *t, struct str arg)
{
	static const enum record_type types[] = {
	    REC_LOGIN_ANSWER, REC_BOX_LIST_ANSWER, REC_MESSAGE_READ_ANSWER, REC_BOX_EXPUNGE_ANSWER};
	char id[8];

	le64_put(id, t->session);
	(void)buf_put(&t->record, str_of(id, sizeof(id)));
	(void)buf_put(&t->record, str_from(arg, 1));
	record_give(t, types[digit_of(arg) % COUNT_OF(types)], buf_str(&t->record));
}

static void
on_stopped(void *arg)
{
	(void)arg;
}

static void
step(struct talk *t, struct str line)
{
	struct str arg = str_from(line, 2);

	buf_reset(&t->record);
	switch (line.n > 0 ? line.p[0] : 0) {
	case 'C':
		client_send(t, arg);
		client_send(t, STR("\r\n"));
		break;
	case 'c':
		client_send(t, arg);
		break;
	case 'E':
		client_leave(t);
		break;
	case 'a':
		auth_answers(t, arg);
		break;
	case 'l':
	case 'L':
		store_lists(t, arg, line.p[0] == 'L');
		break;
	case 'm':
	case 'M':
		store_gives(t, arg, line.p[0] == 'M');
		break;
	case 'e':
		store_has_deleted(t, arg);
		break;
	case 'x':
		peer_says(t, arg);
		break;
	case 'k':
		t->is_store_down = true;
		pop3_store_down(t->env);
		break;
	case 'j':
		t->is_auth_down = true;
		pop3_auth_down(t->env);
		break;
	case 'K':
		t->is_store_down = false;
		break;
	case 'J':
		t->is_auth_down = false;
		break;
	case 't':
		clock_advance(&t->clock, 60000);
		break;
	case 'S':
		if (!t->is_stopped)
			pop3_env_stop(t->env, on_stopped, NULL);
		t->is_stopped = true;
		break;
	default:
		break;
	}
	turn(t);
}

static void
talk_init(struct talk *t)
{
	struct pop3_env_settings o = {.hostname = STR("pop.example"), .timeout_ms = 600000};
	struct sock_addr here; /* where passwords may go in clear */
	struct slots slots;
	int client[2], line[2];

	*t = (struct talk){0};
	clock_init_fake(&t->clock, 1000);
	t->loop = loop_new(&t->clock);
	buf_init(&t->record, RECORD_BYTES_MAX);
	CHECK(sock_pair(client) == ST_OK && sock_pair(line) == ST_OK);
	CHECK(sock_ip_parse(STR("127.0.0.1"), &here) == ST_OK);
	/* The id that the first session of a new environment has. */
	slots_init(&slots, 1);
	t->session = slots_add(&slots, t);
	slots_fini(&slots);
	t->client = client[1];
	t->peer = line[1];
	t->link = link_new(t->loop, line[0], ROLE_ACCESS, ROLE_STORE, 0, false, &link_handler, t);
	t->env = pop3_env_new(t->loop, &ops, t);
	pop3_env_set(t->env, &o);
	pop3_accept(t->env, NULL, client[0], &here, 0, false);
}

static void
talk_fini(struct talk *t)
{
	client_leave(t);
	t->is_store_down = t->is_auth_down = true;
	pop3_store_down(t->env);
	pop3_auth_down(t->env);
	for (int i = 0; i < 50; i++)
		turn(t);
	CHECK(pop3_sessions(t->env) == 0);
	pop3_env_free(&t->env);
	link_free(&t->link);
	close(t->peer);
	buf_fini(&t->record);
	loop_free(&t->loop);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk t;

	if (size > 20000)
		return 0;
	log_set_level(LOG_ERROR);
	talk_init(&t);
	struct str rest = str_of(data, size);
	for (int i = 0; rest.n > 0 && i < STEPS_MAX; i++) {
		size_t n = str_find_char(rest, '\n');
		step(&t, str_take(rest, n));
		rest = str_from(rest, n + 1);
	}
	talk_fini(&t);
	return 0;
}
