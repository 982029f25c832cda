/* Logins: what is offered, and what is said to auth; here the test is auth. */
#include <unistd.h>

#include "access/login.h"
#include "base/num.h"
#include "base/unit.h"
#include "sys/sock.h"

struct stage {
	struct clock clock;
	struct loop *loop;
	struct link *auth;
	struct conn *conn;
	int far[2]; /* the other ends */
};

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
link_closed(void *arg, struct link *l)
{
	(void)arg;
	(void)l;
}

static void
no_input(void *arg, struct conn *c, struct cur *in)
{
	(void)arg;
	(void)c;
	(void)in;
}

static void
conn_closed(void *arg, struct conn *c, enum conn_end why)
{
	(void)c;
	(void)why;
	((struct stage *)arg)->conn = NULL;
}

static const struct link_handler link_handler = {.record = no_record, .closed = link_closed};
static const struct conn_handler conn_handler = {.input = no_input, .closed = conn_closed};

static void
stage_init(struct stage *t)
{
	int client[2], line[2];
	struct sock_addr peer;

	*t = (struct stage){0};
	clock_init_fake(&t->clock, 1000);
	t->loop = loop_new(&t->clock);
	EXPECT(sock_pair(client) == ST_OK && sock_pair(line) == ST_OK);
	EXPECT(sock_ip_parse(STR("192.0.2.7"), &peer) == ST_OK);
	t->auth = link_new(t->loop, line[0], ROLE_ACCESS, ROLE_AUTH, 0, false, &link_handler, t);
	t->conn = conn_new_fd(t->loop, client[0], &conn_handler, t, 1000);
	conn_set_peer(t->conn, &peer);
	t->far[0] = client[1];
	t->far[1] = line[1];
}

static void
stage_fini(struct stage *t)
{
	conn_abort(t->conn);
	for (int i = 0; t->conn != NULL && i < 100; i++)
		(void)loop_turn(t->loop, 0);
	link_free(&t->auth);
	close(t->far[0]);
	close(t->far[1]);
	loop_free(&t->loop);
}

/* The one record that was written since; its payload is borrowed until the next. */
static enum record_type
sent(struct stage *t, struct cur *payload_out)
{
	static struct buf kept;
	struct buf *out = link_out(t->auth);
	struct cur c;
	uint32_t n;
	uint16_t type = REC_NONE, version;
	struct str payload = STR_NULL;

	buf_fini(&kept);
	buf_init(&kept, RECORD_BYTES_MAX);
	(void)buf_put(&kept, buf_str(out));
	buf_reset(out);
	c = cur_of(buf_str(&kept));
	if (!cur_at_end(&c))
		EXPECT(cur_le32(&c, &n) && cur_le16(&c, &type) && cur_le16(&c, &version) &&
		       cur_take(&c, n, &payload) && cur_at_end(&c));
	*payload_out = cur_of(payload);
	return (enum record_type)type;
}

static void
mechanisms_in_order(void)
{
	static const struct {
		bool is_tls, has_binding, scram_sha1, has_external;
		struct str want;
	} table[] = {
	    {false, false, false, false, STR_INIT("SCRAM-SHA-256")},
	    {true, false, false, false, STR_INIT("SCRAM-SHA-256 PLAIN LOGIN")},
	    {true, true, false, false, STR_INIT("SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN")},
	    {true, false, true, false, STR_INIT("SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN")},
	    {false, false, true, true, STR_INIT("SCRAM-SHA-256 SCRAM-SHA-1 EXTERNAL")},
	    {true, true, true, false,
		STR_INIT(
		    "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 PLAIN LOGIN")},
	    {true, true, true, true,
		STR_INIT("SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 EXTERNAL "
			 "PLAIN LOGIN")},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		EXPECT_STR(login_mechanisms(table[i].is_tls, table[i].has_binding,
			       table[i].scram_sha1, table[i].has_external),
		    table[i].want);
}

static struct rec_login_answer
answer_of(enum login_verdict verdict)
{
	return (struct rec_login_answer){.session = 7,
	    .protocol = LOGIN_SUBMISSION,
	    .verdict = (uint8_t)verdict,
	    .bytes = STR("challenge"),
	    .cap = verdict == LOGIN_OK ? STR("0123456789abcdef") : STR_NULL};
}

static void
an_exchange(void)
{
	const struct login_first first = {.mechanism = STR("EXTERNAL"),
	    .has_initial = true,
	    .initial = STR("a@b"),
	    .external = STR("a@b\nc@d")};
	struct rec_login_answer challenge = answer_of(LOGIN_CHALLENGE), ok = answer_of(LOGIN_OK);
	struct stage t;
	struct login g;
	struct cur c;
	struct rec_sasl r;
	struct rec_login_end e;

	stage_init(&t);
	EXPECT(!login_can_bind(t.conn));
	login_init(&g, LOGIN_SUBMISSION, 7, true);
	EXPECT(!login_begin(&g, NULL, t.conn, &first));
	EXPECT(!login_step(&g, t.auth, STR("x")));
	EXPECT(login_begin(&g, t.auth, t.conn, &first));
	EXPECT(sent(&t, &c) == REC_SASL && rec_sasl_take(&c, &r));
	EXPECT(r.session == 7 && r.protocol == LOGIN_SUBMISSION && r.step == 0 && r.has_bytes);
	EXPECT(r.is_exempt && r.binding_exporter.n == 0 && r.binding_end_point.n == 0);
	EXPECT_STR(r.mechanism, first.mechanism);
	EXPECT_STR(r.bytes, first.initial);
	EXPECT_STR(r.external, first.external);
	EXPECT_STR(r.peer, STR("192.0.2.7"));
	EXPECT(login_answer(&g, &challenge));
	EXPECT(!login_answer(&g, &challenge));
	EXPECT(!login_step(&g, NULL, STR("x")));
	EXPECT(login_step(&g, t.auth, STR("proof")));
	EXPECT(sent(&t, &c) == REC_SASL && rec_sasl_take(&c, &r));
	EXPECT(r.step == 1 && r.protocol == LOGIN_SUBMISSION && r.mechanism.n == 0);
	EXPECT_STR(r.bytes, STR("proof"));
	EXPECT(login_answer(&g, &ok));
	/* Over: auth has nothing to forget. */
	login_end(&g, t.auth);
	EXPECT(sent(&t, &c) == REC_NONE);
	EXPECT(!login_step(&g, t.auth, STR("x")));
	/* Given up; the next begins anew. */
	EXPECT(login_begin(&g, t.auth, t.conn, &first) && sent(&t, &c) == REC_SASL);
	EXPECT(login_answer(&g, &challenge));
	login_end(&g, t.auth);
	EXPECT(sent(&t, &c) == REC_LOGIN_END && rec_login_end_take(&c, &e));
	EXPECT(e.session == 7 && e.protocol == LOGIN_SUBMISSION);
	EXPECT(login_begin(&g, t.auth, t.conn, &first));
	EXPECT(sent(&t, &c) == REC_SASL && rec_sasl_take(&c, &r) && r.step == 0);
	stage_fini(&t);
}

static void
answers_are_looked_at(void)
{
	struct {
		struct rec_login_answer a;
		bool is_ok;
	} table[] = {
	    {answer_of(LOGIN_CHALLENGE), true},
	    {answer_of(LOGIN_OK), true},
	    {answer_of(LOGIN_DENIED), true},
	    {answer_of(LOGIN_TEMPORARY), true},
	    {answer_of((enum login_verdict)4), false},
	    {answer_of(LOGIN_OK), false},
	    {answer_of(LOGIN_CHALLENGE), false},
	    {answer_of(LOGIN_CHALLENGE), true},
	    {answer_of(LOGIN_CHALLENGE), false},
	};
	static char big[LOGIN_CHALLENGE_MAX + 1];
	const struct login_first first = {.mechanism = STR("LOGIN")};
	struct stage t;
	struct login g;
	struct cur c;
	struct rec_sasl r;
	struct rec_cap_drop d;

	table[5].a.cap = STR("0123456789abcde");
	table[6].a.protocol = LOGIN_POP3;
	table[7].a.bytes = str_of(big, LOGIN_CHALLENGE_MAX);
	table[8].a.bytes = str_of(big, LOGIN_CHALLENGE_MAX + 1);
	stage_init(&t);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		login_init(&g, LOGIN_SUBMISSION, 7, false);
		EXPECT(login_begin(&g, t.auth, t.conn, &first));
		EXPECT(sent(&t, &c) == REC_SASL && rec_sasl_take(&c, &r) && !r.has_bytes);
		EXPECT(login_answer(&g, &table[i].a) == table[i].is_ok);
	}
	/* USER and PASS know no challenge. */
	login_init(&g, LOGIN_POP3, 7, false);
	EXPECT(login_password(&g, t.auth, t.conn, STR("u"), STR("p")));
	EXPECT(sent(&t, &c) == REC_LOGIN);
	table[0].a.protocol = LOGIN_POP3;
	EXPECT(!login_answer(&g, &table[0].a));
	/* An answer that nobody waits for. */
	login_answer_drop(&table[2].a, t.auth);
	EXPECT(sent(&t, &c) == REC_NONE);
	login_answer_drop(&table[1].a, NULL);
	login_answer_drop(&table[1].a, t.auth);
	EXPECT(sent(&t, &c) == REC_CAP_DROP && rec_cap_drop_take(&c, &d));
	EXPECT_STR(d.cap, STR("0123456789abcdef"));
	stage_fini(&t);
}

static void
whose_answer_it_is(void)
{
	struct rec_login_answer a = answer_of(LOGIN_DENIED);
	struct buf b;

	buf_init(&b, 1000);
	EXPECT(rec_login_answer_put(&b, &a) == ST_OK);
	EXPECT(login_answer_protocol(cur_of(str_from(buf_str(&b), RECORD_HEADER_BYTES))) ==
	       LOGIN_SUBMISSION);
	EXPECT(login_answer_protocol(cur_of(STR("?"))) == LOGIN_POP3);
	buf_reset(&b);
	a.protocol = LOGIN_POP3;
	EXPECT(rec_login_answer_put(&b, &a) == ST_OK);
	EXPECT(login_answer_protocol(cur_of(str_from(buf_str(&b), RECORD_HEADER_BYTES))) ==
	       LOGIN_POP3);
	buf_fini(&b);
}

int
main(void)
{
	UNIT(mechanisms_in_order);
	UNIT(an_exchange);
	UNIT(answers_are_looked_at);
	UNIT(whose_answer_it_is);
	return unit_end();
}
