/*
 * Fuzz: one session of a mail client that sends, with auth, a store and a resolver that say what they like, in any order. Nothing goes
 * into the store that was not logged in, the session ends when its client is gone, and nothing of it is left.
 *
 * The first byte chooses limits; then each line is one thing that happens:
 *   C text   the client sends text and CRLF          c text   the same without CRLF
 *   B        the client sends 60,000 bytes of lines  E        the client goes away
 *   a v text auth answers: verdict v, text; "1" gives a capability
 *   f c      the store answers the sender, r c a recipient here, R c one at another host: 250 when c is '0', else 550
 *   d codes  the store answers a message: one 250 for each '0', one 451 for each other byte
 *   s c      the store answers a staged piece: well when c is '0'
 *   q c text the resolver answers: code by c, one record with that text
 *   x t...   any record of the six: type by t, after the session's id these bytes
 *   k, j, z  the store, auth, the resolver goes down; K, J, Z: comes up
 *   t        time passes: three seconds              T        a minute
 *   S        the server stops
 */
#include <sys/socket.h>
#include <unistd.h>

#include "access/submission.h"
#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "sys/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FLOOD_BYTES = 60000, STEPS_MAX = 400, LINES_BYTES_MAX = 4 << 20 };

struct talk {
	struct clock clock;
	struct loop *loop;
	struct submission_env *env;
	struct link *link; /* stands for the lines to all three */
	struct buf record;
	struct buf lines; /* what was written to them */
	uint64_t session, ask;
	int client, peer;
	bool is_store_down, is_auth_down, is_resolver_down, is_stopped, has_cap;
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

static struct link *
resolver_of(void *arg)
{
	struct talk *t = arg;

	return t->is_resolver_down ? NULL : t->link;
}

static const struct submission_env_ops ops = {.store = store_of, .auth = auth_of, .resolver = resolver_of};

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

/* What the session may say to the others. */
static void
record_look(struct talk *t, enum record_type type, struct cur *c)
{
	struct rec_deliver d;
	struct rec_route r;
	struct rec_dns q;

	if (type == REC_DELIVER) {
		CHECK(rec_deliver_take(c, &d));
		CHECK(t->has_cap && d.cap.n == CAP_BYTES && d.from.n > 0 && d.rcpts.n > 0 && !d.is_trusted);
		CHECK(d.priority <= ENVELOPE_PRIORITY_ZERO + SUBMISSION_PRIORITY_MAX);
	} else if (type == REC_ROUTE) {
		CHECK(rec_route_take(c, &r) && t->has_cap && r.cap.n == CAP_BYTES && r.path.n > 0);
	} else if (type == REC_DNS) {
		CHECK(rec_dns_take(c, &q) && q.name.n > 0);
		t->ask = q.ask;
	}
}

static void
records_look(struct talk *t)
{
	struct cur c = cur_of(buf_str(&t->lines));
	size_t taken = 0;
	uint32_t n;
	uint16_t type, version;
	struct str payload;

	while (cur_le32(&c, &n) && cur_le16(&c, &type) && cur_le16(&c, &version) && cur_take(&c, n, &payload)) {
		struct cur p = cur_of(payload);
		record_look(t, (enum record_type)type, &p);
		taken += RECORD_HEADER_BYTES + n;
	}
	buf_consume(&t->lines, taken);
}

static void
turn(struct talk *t)
{
	static char sink[1 << 18];
	ssize_t n;

	(void)loop_turn(t->loop, 0);
	while (t->client >= 0 && recv(t->client, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		continue;
	while ((n = recv(t->peer, sink, sizeof(sink), MSG_DONTWAIT)) > 0)
		CHECK(buf_put(&t->lines, str_of(sink, (size_t)n)) == ST_OK);
	records_look(t);
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
		lines[i] = i % 60 == 0 ? 'x' : i % 60 == 1 ? ':' : i % 60 == 58 ? '\r' : i % 60 == 59 ? '\n' : 'y';
	client_send(t, str_of(lines, FLOOD_BYTES));
}

static void
client_leave(struct talk *t)
{
	if (t->client >= 0)
		close(t->client);
	t->client = -1;
}

static void
all_down(struct talk *t)
{
	t->is_store_down = t->is_auth_down = t->is_resolver_down = true;
	t->has_cap = false;
	submission_store_down(t->env);
	submission_auth_down(t->env);
	submission_resolver_down(t->env);
}

/* A malformed record ends the lines. */
static void
record_give(struct talk *t, enum record_type type, struct str payload)
{
	struct cur c = cur_of(payload);

	if (!submission_record(t->env, type, &c))
		all_down(t);
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

static uint16_t
code_of(struct str arg)
{
	return digit_of(arg) == 0 ? 250 : 550;
}

static void
auth_answers(struct talk *t, struct str arg)
{
	static const char cap[CAP_BYTES] = "0123456789abcde";
	struct rec_login_answer a = {.session = t->session,
	    .protocol = LOGIN_SUBMISSION,
	    .verdict = digit_of(arg),
	    .bytes = arg,
	    .cap = digit_of(arg) == LOGIN_OK ? str_of(cap, CAP_BYTES) : STR_NULL,
	    .text = str_from(arg, 2),
	    .account = 1,
	    .login = STR("user@example.org")};

	t->has_cap |= digit_of(arg) == LOGIN_OK;
	CHECK(rec_login_answer_put(&t->record, &a) == ST_OK);
	record_give(t, REC_LOGIN_ANSWER, payload_of(t));
}

static void
sender_answers(struct talk *t, struct str arg)
{
	struct rec_sender_answer a = {.session = t->session, .code = code_of(arg), .text = STR("5.7.1 said")};

	CHECK(rec_sender_answer_put(&t->record, &a) == ST_OK);
	record_give(t, REC_SENDER_ANSWER, payload_of(t));
}

static void
route_answers(struct talk *t, struct str arg, bool is_remote)
{
	struct rec_route_answer a = {
	    .session = t->session, .code = code_of(arg), .accounts = 1, .is_remote = is_remote, .text = STR("5.1.1 said")};

	CHECK(rec_route_answer_put(&t->record, &a) == ST_OK);
	record_give(t, REC_ROUTE_ANSWER, payload_of(t));
}

static void
message_answered(struct talk *t, struct str codes)
{
	struct buf answers;

	buf_init(&answers, 100000);
	for (size_t i = 0; i < codes.n; i++) {
		(void)buf_put_le16(&answers, codes.p[i] == '0' ? 250 : 451);
		(void)buf_put_str16(&answers, STR("2.0.0 said"));
	}
	CHECK(rec_deliver_answer_put(&t->record, &(struct rec_deliver_answer){.session = t->session, .answers = buf_str(&answers)}) == ST_OK);
	buf_fini(&answers);
	record_give(t, REC_DELIVER_ANSWER, payload_of(t));
}

static void
stage_answered(struct talk *t, struct str arg)
{
	CHECK(rec_stage_answer_put(&t->record,
		  &(struct rec_stage_answer){.session = t->session, .bytes_n = RECEIVE_INLINE_MAX, .ok = digit_of(arg) == 0}) == ST_OK);
	record_give(t, REC_STAGE_ANSWER, payload_of(t));
}

static void
resolver_answers(struct talk *t, struct str arg)
{
	struct buf answers;

	buf_init(&answers, 100000);
	if (arg.n > 2)
		(void)buf_put_str16(&answers, str_from(arg, 2));
	CHECK(rec_dns_answer_put(&t->record,
		  &(struct rec_dns_answer){.ask = t->ask, .rcode = digit_of(arg), .answers = buf_str(&answers)}) == ST_OK);
	buf_fini(&answers);
	record_give(t, REC_DNS_ANSWER, payload_of(t));
}

static void
peer_says(struct talk *t, struct str arg)
{
	static const enum record_type types[] = {
	    REC_LOGIN_ANSWER, REC_SENDER_ANSWER, REC_ROUTE_ANSWER, REC_STAGE_ANSWER, REC_DELIVER_ANSWER, REC_DNS_ANSWER};
	char id[8];

	/* A login that nobody gave would have to be taken back here, too. */
	if (digit_of(arg) % COUNT_OF(types) == 0)
		t->has_cap = true;
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
step_answer(struct talk *t, char what, struct str arg)
{
	switch (what) {
	case 'a':
		auth_answers(t, arg);
		break;
	case 'f':
		sender_answers(t, arg);
		break;
	case 'r':
	case 'R':
		route_answers(t, arg, what == 'R');
		break;
	case 'd':
		message_answered(t, arg);
		break;
	case 's':
		stage_answered(t, arg);
		break;
	case 'q':
		resolver_answers(t, arg);
		break;
	case 'x':
		peer_says(t, arg);
		break;
	default:
		break;
	}
}

static void
step_world(struct talk *t, char what)
{
	switch (what) {
	case 'k':
		t->is_store_down = true;
		t->has_cap = false;
		submission_store_down(t->env);
		break;
	case 'j':
		t->is_auth_down = true;
		submission_auth_down(t->env);
		break;
	case 'z':
		t->is_resolver_down = true;
		submission_resolver_down(t->env);
		break;
	case 'K':
		t->is_store_down = false;
		break;
	case 'J':
		t->is_auth_down = false;
		break;
	case 'Z':
		t->is_resolver_down = false;
		break;
	case 't':
	case 'T':
		clock_advance(&t->clock, what == 't' ? 3000 : 60000);
		break;
	case 'S':
		if (!t->is_stopped)
			submission_env_stop(t->env, 0, on_stopped, NULL);
		t->is_stopped = true;
		break;
	default:
		break;
	}
}

static void
step(struct talk *t, struct str line)
{
	struct str arg = str_from(line, 2);
	char what = line.n > 0 ? line.p[0] : '\0';

	buf_reset(&t->record);
	if (what == 'C' || what == 'c')
		client_send(t, arg);
	if (what == 'C')
		client_send(t, STR("\r\n"));
	if (what == 'B')
		client_flood(t);
	if (what == 'E')
		client_leave(t);
	step_answer(t, what, arg);
	step_world(t, what);
	turn(t);
}

static void
talk_init(struct talk *t, uint8_t choice)
{
	struct submission_settings o = {.mail = {.hostname = STR_INIT("mail.example"),
	                                    .message_bytes_max = choice & 1 ? 2000 : 10 << 20,
	                                    .rcpts_max = choice & 2 ? 2 : 1000,
	                                    .messages_max = 100,
	                                    .errors_max = 20,
	                                    .command_timeout_ms = 300000,
	                                    .data_timeout_ms = 600000},
	    .is_scram_sha1 = (choice & 4) != 0};
	struct sock_addr here; /* where passwords may go in clear */
	struct slots slots;
	int client[2], line[2];

	*t = (struct talk){0};
	clock_init_fake(&t->clock, 1795600000000);
	t->loop = loop_new(&t->clock);
	buf_init(&t->record, RECORD_BYTES_MAX);
	buf_init(&t->lines, LINES_BYTES_MAX);
	CHECK(sock_pair(client) == ST_OK && sock_pair(line) == ST_OK);
	CHECK(sock_ip_parse(STR("127.0.0.1"), &here) == ST_OK);
	/* The id that the first session of a new environment has. */
	slots_init(&slots, 1);
	t->session = slots_add(&slots, t);
	slots_fini(&slots);
	t->client = client[1];
	t->peer = line[1];
	t->link = link_new(t->loop, line[0], ROLE_ACCESS, ROLE_STORE, 0, false, &link_handler, t);
	t->env = submission_env_new(t->loop, &ops, t);
	submission_env_set(t->env, &o);
	submission_accept(t->env, NULL, client[0], &here, 0);
}

static void
talk_fini(struct talk *t)
{
	client_leave(t);
	all_down(t);
	for (int i = 0; i < 50; i++)
		turn(t);
	CHECK(submission_sessions(t->env) == 0);
	submission_env_free(&t->env);
	link_free(&t->link);
	close(t->peer);
	buf_fini(&t->record);
	buf_fini(&t->lines);
	loop_free(&t->loop);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct talk t;

	if (size < 1 || size > 20000)
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
