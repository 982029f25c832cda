/*
 * Fuzz: the store role between a hostile smtpin, a hostile access process, a lying worker and the
 * command, over a memory store. Whatever they say in whatever order: every recipient of a delivery
 * is answered, mail is read only with a capability that auth gave, and no request brings the role
 * down.
 *
 * Each line is one record:
 *   r path     ROUTE                               s bytes    STAGE a piece; S drops what is staged
 *   d f a,b    DELIVER to the paths a and b: f is a digit: 1 each for itself, 2 the staged body, 3
 * both. The session is the number of recipients, what is staged belongs to session 1 g n GRANT:
 * access gets a capability for account n   c n  CAP_DROP l, m n     BOX_LIST, MESSAGE_READ of
 * message n e bytes    BOX_EXPUNGE of these uids           u login    CREDENTIAL w n text
 * DIGEST_ANSWER for blob n            { ...      COMMAND: this line is the JSON request x t... any
 * record the store takes: its type by t, these bytes D f        the store fails: f is a digit, see
 * step_fault
 *   -          smtpin ends and comes back          =          access ends and comes back
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "directory/directory.h"
#include "roles/admin.h"
#include "roles/store_role.h"
#include "store/memory/memory.h"
#include "sys/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 200, BODY_BYTES = 200 };

static const enum role_kind peers[] = {
    ROLE_SMTPIN, ROLE_ACCESS, ROLE_AUTH, ROLE_WORKER, ROLE_QUEUE, ROLE_RELAY};

/* What the role sees of its process: the rest of struct role is played here. */
struct role {
	struct clock clock;
	struct loop *loop;
	struct rec_settings settings;
	struct link *to[COUNT_OF(peers)], *from[COUNT_OF(peers)];
	uint64_t generation[COUNT_OF(peers)];
	struct store_role *store;
	bool is_granted, is_failed;
};

struct loop *
role_loop(struct role *r)
{
	return r->loop;
}

const struct rec_settings *
role_settings(const struct role *r)
{
	return &r->settings;
}

static size_t
peer_index(enum role_kind kind)
{
	size_t i = 0;

	while (i < COUNT_OF(peers) && peers[i] != kind)
		i++;
	return i;
}

struct link *
role_link(struct role *r, enum role_kind kind, uint16_t index)
{
	size_t i = peer_index(kind);

	return index == 0 && i < COUNT_OF(peers) ? r->to[i] : NULL;
}

struct link *
role_link_any(struct role *r, enum role_kind kind, uint64_t spread)
{
	(void)spread;
	return role_link(r, kind, 0);
}

uint64_t
role_link_generation(const struct role *r, enum role_kind kind, uint16_t index)
{
	size_t i = peer_index(kind);

	return index == 0 && i < COUNT_OF(peers) ? r->generation[i] : 0;
}

void *
role_self(struct role *r)
{
	return r->store;
}

void
role_fail(struct role *r, struct str why)
{
	(void)why;
	r->is_failed = true;
}

/* n recipients, n answers. */
static void
deliver_answer_check(struct str answers, uint64_t rcpts_n)
{
	struct cur c = cur_of(answers);
	uint32_t n = 0;
	struct str text;
	uint16_t code, text_n;

	while (!cur_at_end(&c)) {
		CHECK(cur_le16(&c, &code) && cur_le16(&c, &text_n) && cur_take(&c, text_n, &text));
		CHECK(code == 250 || (code >= 400 && code <= 599));
		n++;
	}
	CHECK(n == rcpts_n);
}

static bool
peer_gets(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct role *r = arg;
	struct rec_deliver_answer deliver;
	struct rec_message_read_answer message;

	(void)l;
	if (t == REC_DELIVER_ANSWER) {
		CHECK(rec_deliver_answer_take(c, &deliver));
		deliver_answer_check(deliver.answers, deliver.session);
	} else if (t == REC_MESSAGE_READ_ANSWER) {
		CHECK(rec_message_read_answer_take(c, &message));
		CHECK(!message.ok || r->is_granted);
	}
	return true;
}

static bool
store_gets(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct role *r = arg;

	/* A refusal would close the line; here it stays, the next line of the input is another try.
	 */
	(void)role_store_ops.record(r->store, l, t, c);
	return true;
}

static void
no_end(void *arg, struct link *l)
{
	(void)arg;
	(void)l;
	check_failed(__FILE__, __LINE__, "the lines stay");
}

static const struct link_handler store_handler = {.record = store_gets, .closed = no_end};
static const struct link_handler peer_handler = {.record = peer_gets, .closed = no_end};

static void
peer_open(struct role *r, size_t i)
{
	int fds[2];

	CHECK(sock_pair(fds) == ST_OK);
	r->to[i] = link_new(r->loop, fds[0], ROLE_STORE, peers[i], 0, false, &store_handler, r);
	r->from[i] = link_new(r->loop, fds[1], peers[i], ROLE_STORE, 0, false, &peer_handler, r);
	r->generation[i]++;
	role_store_ops.link_up(r->store, r->to[i]);
}

static void
peer_again(struct role *r, enum role_kind kind)
{
	size_t i = peer_index(kind);

	link_free(&r->to[i]);
	link_free(&r->from[i]);
	role_store_ops.link_down(r->store, kind, 0);
	peer_open(r, i);
	r->is_granted &= kind != ROLE_ACCESS;
}

static void
turns(struct role *r, int n)
{
	while (n-- > 0) {
		(void)loop_turn(r->loop, 0);
		(void)!store_poll(r->store->store);
	}
}

static struct link *
as(struct role *r, enum role_kind kind)
{
	return r->from[peer_index(kind)];
}

static uint64_t
digit_of(struct str s)
{
	return s.n > 0 ? (uint64_t)(uint8_t)s.p[0] - '0' : 0;
}

static const char cap[CAP_BYTES] = "the capability";

static void
step_deliver(struct role *r, struct str arg)
{
	static const char body[BODY_BYTES] = "Subject: hi\r\n\r\nhi\r\n";
	struct str rest = str_from(arg, 2), path;
	uint64_t flags = digit_of(arg);
	struct buf rcpts;
	uint64_t rcpts_n = 0;

	buf_init(&rcpts, 65536);
	while (rest.n > 0) {
		path = str_take(rest, str_find_char(rest, ','));
		rest = str_from(rest, path.n + 1);
		(void)buf_put_str16(&rcpts, path);
		(void)buf_put_c(&rcpts, (char)(rcpts_n & 15));
		(void)buf_put_str16(&rcpts, rcpts_n & 1 ? STR("rfc822;x@y") : STR_NULL);
		rcpts_n++;
	}
	CHECK(rec_deliver_put(link_out(as(r, ROLE_SMTPIN)),
		  &(struct rec_deliver){.session = rcpts_n,
		      .reverse_path = STR("s@example.org"),
		      .rcpts = buf_str(&rcpts),
		      .head = STR("Received: x\r\n"),
		      .is_trusted = (flags & 4) != 0,
		      .message_id = STR("<1@example.org>"),
		      .is_each = flags & 1,
		      .is_staged = (flags & 2) != 0,
		      .body = flags & 2 ? STR_NULL : str_of(body, sizeof(body))}) == ST_OK);
	buf_fini(&rcpts);
}

static void
step_grant(struct role *r, struct str arg)
{
	CHECK(rec_grant_put(
		  link_out(as(r, ROLE_AUTH)), &(struct rec_grant){.cap = str_of(cap, CAP_BYTES),
						  .account = digit_of(arg),
						  .rights = MAILBOX_READ | MAILBOX_EXPUNGE,
						  .lifetime_ms = 1000000}) == ST_OK);
	r->is_granted = true;
}

/* Any of the records that this role takes, from one who may send it. */
static void
step_raw(struct role *r, struct str arg)
{
	enum record_type t = (enum record_type)(digit_of(arg) % REC_TYPES);
	struct buf *out;
	char head[RECORD_HEADER_BYTES];
	size_t i = 0;

	while (i < COUNT_OF(peers) && !record_is_allowed(t, peers[i], ROLE_STORE))
		i++;
	/* The answers to a DELIVER of this kind could not be counted. */
	if (i == COUNT_OF(peers) || arg.n == 0 || t == REC_DELIVER)
		return;
	r->is_granted |= t == REC_GRANT;
	arg = str_from(arg, 1);
	out = link_out(r->from[i]);
	le32_put(head, (uint32_t)arg.n);
	le16_put(head + 4, (uint16_t)t);
	le16_put(head + 6, RECORD_VERSION);
	(void)buf_put(out, str_of(head, sizeof(head)));
	(void)buf_put(out, arg);
}

static void
step_fault(struct role *r, struct str arg)
{
	uint64_t f = digit_of(arg);

	memory_inject(r->store->store, &(struct memory_faults){.conflict_in = f == 1,
					   .short_read_in = f == 2,
					   .is_full = f == 3,
					   .is_busy = f == 4});
}

static void
step_worker(struct role *r, struct str arg)
{
	CHECK(rec_digest_answer_put(link_out(as(r, ROLE_WORKER)),
		  &(struct rec_digest_answer){
		      .blob = digit_of(arg), .ok = 1, .record = str_from(arg, 1)}) == ST_OK);
}

static enum status
step_access(struct role *r, char what, struct str arg)
{
	struct buf *out = link_out(as(r, ROLE_ACCESS));
	struct str key = str_of(cap, CAP_BYTES);

	if (what == 'l')
		return rec_box_list_put(
		    out, &(struct rec_box_list){.cap = key, .from = (uint32_t)digit_of(arg)});
	if (what == 'm')
		return rec_message_read_put(out,
		    &(struct rec_message_read){
			.cap = key, .message = digit_of(arg), .off = arg.n, .bytes_max = 1000});
	if (what == 'e')
		return rec_box_expunge_put(out, &(struct rec_box_expunge){.cap = key, .uids = arg});
	return rec_cap_drop_put(out, &(struct rec_cap_drop){.cap = key});
}

static void
step(struct role *r, struct str line)
{
	struct str arg = str_from(line, 2);
	enum status st = ST_OK;

	switch (line.n > 0 ? line.p[0] : 0) {
	case 'r':
		st = rec_route_put(
		    link_out(as(r, ROLE_SMTPIN)), &(struct rec_route){.session = 1, .path = arg});
		break;
	case 's':
		st = rec_stage_put(
		    link_out(as(r, ROLE_SMTPIN)), &(struct rec_stage){.session = 1, .bytes = arg});
		break;
	case 'S':
		st = rec_stage_drop_put(
		    link_out(as(r, ROLE_SMTPIN)), &(struct rec_stage_drop){.session = 1});
		break;
	case 'd':
		step_deliver(r, arg);
		break;
	case 'g':
		step_grant(r, arg);
		break;
	case 'c':
	case 'l':
	case 'm':
	case 'e':
		st = step_access(r, line.p[0], arg);
		break;
	case 'u':
		st = rec_credential_put(
		    link_out(as(r, ROLE_AUTH)), &(struct rec_credential){.login = arg});
		break;
	case 'w':
		step_worker(r, arg);
		break;
	case '{':
		st = rec_command_put(
		    link_out(as(r, ROLE_QUEUE)), &(struct rec_command){.request_json = line});
		break;
	case 'x':
		step_raw(r, arg);
		break;
	case 'D':
		step_fault(r, arg);
		break;
	case '-':
		peer_again(r, ROLE_SMTPIN);
		break;
	case '=':
		peer_again(r, ROLE_ACCESS);
		break;
	default:
		break;
	}
	CHECK(st == ST_OK);
	turns(r, 4);
}

static enum status
init_txn(struct txn *t, void *arg)
{
	struct role *r = arg;
	struct account_settings settings = {0};
	static const struct credential none;
	struct account_id id;
	struct buf why;
	enum status st;

	buf_init(&why, DIRECTORY_WHY_BYTES_MAX);
	st = directory_init(t);
	if (st == ST_OK)
		st = directory_secret(t, r->store->secret);
	if (st == ST_OK)
		st = directory_domain_add(t, TENANT_DEFAULT, STR("example.org"), &why);
	if (st == ST_OK)
		st = directory_account_add(t, STR("a@example.org"), &none, &settings, &id, &why);
	buf_fini(&why);
	return st;
}

static void
role_setup(struct role *r)
{
	*r = (struct role){.settings = {.message_bytes_max = 100000, .delimiter = '+', .hostname = STR_INIT("mx.example.org"),
	    .trusted_nets = STR_INIT("10.0.0.0/8"), .queue_life_ms = 5 * 24 * 3600 * 1000u, .queue_notice_ms = 1000}};
	clock_init_fake(&r->clock, 1000);
	r->loop = loop_new(&r->clock);
	r->store = role_store_ops.new(r);
	CHECK(memory_open(&(struct memory_options){.is_strict = true}, &r->store->store) == ST_OK);
	CHECK(store_transact_wait(r->store->store, init_txn, r) == ST_OK);
	role_store_ops.start(r->store);
	for (size_t i = 0; i < COUNT_OF(peers); i++)
		peer_open(r, i);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct role r;
	struct str rest = str_of(data, size);

	if (size > 20000)
		return 0;
	log_setup("store", 2, LOG_ERROR + 1, LOG_TEXT, NULL);
	role_setup(&r);
	for (int i = 0; rest.n > 0 && i < STEPS_MAX && !r.is_failed; i++) {
		size_t n = str_find_char(rest, '\n');
		step(&r, str_take(rest, n));
		rest = str_from(rest, n + 1);
	}
	role_store_ops.free(r.store);
	for (size_t i = 0; i < COUNT_OF(peers); i++) {
		link_free(&r.to[i]);
		link_free(&r.from[i]);
	}
	loop_free(&r.loop);
	return 0;
}
