/*
 * Fuzz: one SMTP or LMTP session between a client and a store that answer what they like, in any
 * order. Nothing is delivered that the client did not send, the session ends, nothing of it is
 * left.
 *
 * The first byte chooses mode and limits; then each line is one thing that happens:
 *   C text   the client sends text and CRLF          c text   the same without CRLF
 *   B        the client sends 60,000 bytes of lines  E        the client goes away
 *   r c text the store answers a recipient: 250 when c is '0', else 550
 *   d codes  the store answers a message: one 250 for each '0', one 451 for each other byte
 *   s c      the store answers a staged piece: well when c is '0'
 *   x t...   any record of the three: type by t, after the session's id these bytes
 *   k, K     the store goes down, comes up           n name   the client's name by DNS comes
 *   t        time passes: a minute                   S        the server stops
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "flow/receive/receive.h"
#include "sys/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FLOOD_BYTES = 60000, STEPS_MAX = 400 };

struct talk {
	struct clock clock;
	struct loop *loop;
	struct receive *receive;
	struct link *store; /* smtpin's end */
	struct buf record;
	uint64_t session;
	int client, peer; /* the client's end; the store's end */
	bool is_store_down, is_stopped;
};

static struct link *
store_of(void *arg)
{
	struct talk *t = arg;

	return t->is_store_down ? NULL : t->store;
}

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
	check_failed(__FILE__, __LINE__, "the line to the store stays");
}

static const struct link_handler store_handler = {.record = no_record, .closed = no_end};

/* What the session wrote, to the client and to the store, is read and forgotten. */
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
	for (int tries = 0; t->client >= 0 && s.n > 0 && tries < 50; tries++) {
		ssize_t n = send(t->client, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			s = str_from(s, (size_t)n);
		turn(t);
	}
}

static void
client_flood(struct talk *t)
{
	static char lines[FLOOD_BYTES];

	for (size_t i = 0; i < FLOOD_BYTES; i++)
		lines[i] = i % 60 == 58 ? '\r' : i % 60 == 59 ? '\n' : 'x';
	client_send(t, str_of(lines, FLOOD_BYTES));
}

static void
client_leave(struct talk *t)
{
	if (t->client >= 0)
		close(t->client);
	t->client = -1;
}

/* What receive sees of a record: its payload. A malformed one ends the line. */
static void
record_give(struct talk *t, enum record_type type, struct str payload)
{
	struct cur c = cur_of(payload);

	if (receive_record(t->receive, type, &c))
		return;
	t->is_store_down = true;
	receive_store_down(t->receive);
}

static struct str
payload_of(const struct talk *t)
{
	return str_from(buf_str(&t->record), RECORD_HEADER_BYTES);
}

static void
store_answers_rcpt(struct talk *t, struct str arg)
{
	struct rec_route_answer a = {.session = t->session,
	    .code = arg.n > 0 && arg.p[0] == '0' ? 250 : 550,
	    .accounts = (uint16_t)(arg.n * 100),
	    .text = arg};

	CHECK(rec_route_answer_put(&t->record, &a) == ST_OK);
	record_give(t, REC_ROUTE_ANSWER, payload_of(t));
}

static void
store_answers_message(struct talk *t, struct str arg)
{
	struct buf answers;
	char four[4];

	buf_init(&answers, 1 << 20);
	for (size_t i = 0; i < arg.n; i++) {
		le16_put(four, arg.p[i] == '0' ? 250 : 451);
		le16_put(four + 2, (uint16_t)i);
		(void)buf_put(&answers, str_of(four, 4));
		(void)buf_put(&answers, str_take(arg, i));
	}
	CHECK(rec_deliver_answer_put(&t->record, &(struct rec_deliver_answer){.session = t->session,
						     .answers = buf_str(&answers)}) == ST_OK);
	record_give(t, REC_DELIVER_ANSWER, payload_of(t));
	buf_fini(&answers);
}

static void
store_answers_stage(struct talk *t, struct str arg)
{
	struct rec_stage_answer a = {
	    .session = t->session, .bytes_n = 300000, .ok = arg.n > 0 && arg.p[0] == '0'};

	CHECK(rec_stage_answer_put(&t->record, &a) == ST_OK);
	record_give(t, REC_STAGE_ANSWER, payload_of(t));
}

static void
store_says(struct talk *t, struct str arg)
{
	static const enum record_type types[] = {
	    REC_ROUTE_ANSWER, REC_DELIVER_ANSWER, REC_STAGE_ANSWER};
	char id[8];

	if (arg.n == 0)
		return;
	le64_put(id, t->session);
	(void)buf_put(&t->record, str_of(id, sizeof(id)));
	(void)buf_put(&t->record, str_from(arg, 1));
	record_give(t, types[(uint8_t)arg.p[0] % COUNT_OF(types)], buf_str(&t->record));
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
	case 'B':
		client_flood(t);
		break;
	case 'E':
		client_leave(t);
		break;
	case 'r':
		store_answers_rcpt(t, arg);
		break;
	case 'd':
		store_answers_message(t, str_take(arg, 1000));
		break;
	case 's':
		store_answers_stage(t, arg);
		break;
	case 'x':
		store_says(t, arg);
		break;
	case 'k':
		t->is_store_down = true;
		receive_store_down(t->receive);
		break;
	case 'K':
		t->is_store_down = false;
		break;
	case 'n':
		receive_set_name(t->receive, t->session, arg);
		break;
	case 't':
		clock_advance(&t->clock, 60000);
		break;
	case 'S':
		if (!t->is_stopped)
			receive_stop(t->receive, on_stopped, NULL);
		t->is_stopped = true;
		break;
	default:
		break;
	}
	turn(t);
}

static struct receive_peer
peer_of(void *arg, const struct sock_addr *peer)
{
	(void)peer;
	return *(const struct receive_peer *)arg;
}

static void
talk_init(struct talk *t, uint8_t how)
{
	static struct receive_peer who;
	struct receive_settings o = {.hostname = STR("mx.example"),
	    .message_bytes_max = how & 2 ? 1000 : 10 << 20,
	    .rcpts_max = how & 4 ? 2 : 1000,
	    .messages_max = 3,
	    .errors_max = 10,
	    .command_timeout_ms = 300000,
	    .data_timeout_ms = 600000,
	    .greet_delay_ms = how & 16 ? 10 : 0,
	    .tarpit_ms = how & 32 ? 100 : 0,
	    .peer_of = peer_of,
	    .peer_arg = &who};
	struct sock_addr nobody = {.is_v4 = true};
	int client[2], store[2];

	who = (struct receive_peer){.is_exempt = (how & 8) != 0, .is_proxy = (how & 64) != 0, .may_xclient = (how & 128) != 0};
	*t = (struct talk){0};
	clock_init_fake(&t->clock, 1000);
	t->loop = loop_new(&t->clock);
	buf_init(&t->record, RECORD_BYTES_MAX);
	CHECK(sock_pair(client) == ST_OK && sock_pair(store) == ST_OK);
	t->client = client[1];
	t->peer = store[1];
	t->store =
	    link_new(t->loop, store[0], ROLE_SMTPIN, ROLE_STORE, 0, false, &store_handler, t);
	t->receive = receive_new(t->loop, store_of, t);
	receive_set(t->receive, &o);
	t->session = receive_accept(t->receive, NULL, client[0], &nobody,
	    how & 1 ? SMTP_LMTP : SMTP_MTA, 0);
}

static void
talk_fini(struct talk *t)
{
	client_leave(t);
	/* A session whose client is gone ends when the store has answered, or is down. */
	t->is_store_down = true;
	receive_store_down(t->receive);
	for (int i = 0; i < 50; i++)
		turn(t);
	CHECK(receive_sessions(t->receive) == 0);
	receive_free(&t->receive);
	link_free(&t->store);
	close(t->peer);
	buf_fini(&t->record);
	loop_free(&t->loop);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk t;

	if (size < 2 || size > 20000)
		return 0;
	log_set_level(LOG_ERROR);
	talk_init(&t, data[0]);
	struct str rest = str_of(data + 1, size - 1);
	for (int i = 0; rest.n > 0 && i < STEPS_MAX; i++) {
		size_t n = str_find_char(rest, '\n');
		step(&t, str_take(rest, n));
		rest = str_from(rest, n + 1);
	}
	talk_fini(&t);
	return 0;
}
