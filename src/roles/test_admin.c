/* The commands on the store: success, every refusal, paging, removals that go on. Over the memory backend; backup on a disk. */
#include "base/unit.h"

#include <fts.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/enc.h"
#include "base/num.h"
#include "mailbox/mailbox.h"
#include "roles/admin_internal.h"
#include "standards/dkim/dkim.h"
#include "store/memory/memory.h"

static char credential64[4096];

/* Who makes keys: at once, with the ask's number in them; or not at all; or later. */
enum key_maker { KEYS_AT_ONCE, KEYS_REFUSE, KEYS_LATER };

struct test {
	enum key_maker maker;
	uint64_t asked[ADMIN_KEYS_MAX];
	size_t asked_n;
	uint8_t algorithms[8];	/* by the ask's number */
	struct queue_id changed[512];
	size_t changed_n, gone_n;
	struct clock clock;
	struct store *store;
	struct memory_disk *memory;
	struct admin *admin;
	struct buf json;
	int exit_code;
	unsigned answers;
};

static void
credential_prepare(void)
{
	struct credential_options o = {.argon2_kib = 64, .argon2_passes = 1, .argon2_lanes = 1, .scram_iterations = CREDENTIAL_ITERATIONS_MIN};
	struct credential c;
	struct buf record, text;

	buf_init(&record, 4096);
	buf_init(&text, sizeof(credential64) - 1);
	CHECK(credential_make(STR("secret"), &o, &c, NULL) == ST_OK && credential_encode(&c, &record) == ST_OK &&
	      base64_encode(buf_str(&record), &text) == ST_OK);
	memcpy(credential64, text.p, text.n);
	buf_fini(&record);
	buf_fini(&text);
}

static enum status
init_txn(struct txn *t, void *arg)
{
	(void)arg;
	return directory_init(t);
}

#define NOW_MS 1795608000000u	/* 2026-11-25 12:00:00 */

/* The public half of some key of 2,048 bits. */
static const char rsa64[] =
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAiEl76Lyr7ttFsSPQZ7JLyLwIKjwCbqaTugS0IidkOvzfwX5QWjp6OIP9"
    "WptdzE+GmsggkpuXcxudE9wJHxf/OnI3XkMiOCXudcDs9omDEwlSkplwhs8av3qlBfCXuBVQPbW7BTx7ELNNjuA7bZu/J8HTsYa5"
    "93jEHK1Sa1fywcQmfHdO/Y8ZoUvmatxLNANiCZstdzgP8jIwgVMKy4Jic1SxxvDMHqqJBpN8mPHZJwufI3236JJ3TaYZmvILUn6S"
    "yEtmA6oGoVtWEZ2q55jR+ViRMQ1aOjcG1UuFR1vv49hRkmSyQRF4HWblsBpsXUBVS4w1g/KhmCT5xi/7eEAPFwIDAQAB";

static void
key_give(struct test *t, uint64_t ask)
{
	struct buf public;

	buf_init(&public, DIRECTORY_DKIM_PUBLIC_BYTES_MAX);
	/* Any 32 bytes are a public key of Ed25519 as far as a record in the DNS goes. */
	if (t->algorithms[ask % COUNT_OF(t->algorithms)] == DKIM_RSA_SHA256)
		CHECK(base64_decode(str_of_c(rsa64), &public) == ST_OK);
	else
		(void)buf_put(&public, STR("0123456789abcdef0123456789abcdef"));
	admin_key_made(t->admin, ask, true, STR("sealed"), buf_str(&public));
	buf_fini(&public);
}

static void
key_make(void *arg, uint64_t ask, uint8_t algorithm, struct str context)
{
	struct test *t = arg;

	EXPECT(algorithm == DKIM_RSA_SHA256 || algorithm == DKIM_ED25519_SHA256);
	t->algorithms[ask % COUNT_OF(t->algorithms)] = algorithm;
	EXPECT(str_has_prefix(context, STR("dkim ")) && str_find(context, algorithm == DKIM_RSA_SHA256 ? STR(" ph202611r") : STR(" ph202611e")) < context.n);
	if (t->maker == KEYS_LATER) {
		CHECK(t->asked_n < COUNT_OF(t->asked));
		t->asked[t->asked_n++] = ask;
	} else if (t->maker == KEYS_REFUSE) {
		admin_key_made(t->admin, ask, false, STR_NULL, STR_NULL);
	} else {
		key_give(t, ask);
	}
}

static const struct admin_keys_ops keys_ops = {.make = key_make};

static void
queue_changed(void *arg, struct queue_id id, struct str gone)
{
	struct test *t = arg;

	t->gone_n += gone.n > 0;
	CHECK(t->changed_n < COUNT_OF(t->changed));
	t->changed[t->changed_n++] = id;
}

/* With a loop (borrowed) or without. */
static void
admin_start(struct test *t, struct loop *loop)
{
	t->admin = admin_new(t->store, NULL, loop);
	clock_init_fake(&t->clock, NOW_MS);
	admin_set_clock(t->admin, &t->clock);
	admin_set_keys(t->admin, &keys_ops, t);
	admin_set_queue_changed(t->admin, queue_changed, t);
}

static void
test_open(struct test *t)
{
	*t = (struct test){.memory = memory_disk_new()};
	buf_init(&t->json, ADMIN_ANSWER_BYTES_MAX);
	CHECK(memory_open(&(struct memory_options){.disk = t->memory, .is_strict = true}, &t->store) == ST_OK);
	CHECK(store_transact_wait(t->store, init_txn, NULL) == ST_OK);
	admin_start(t, NULL);
}

static void
test_close(struct test *t)
{
	admin_free(&t->admin);
	store_close(&t->store);
	memory_disk_free(&t->memory);
	buf_fini(&t->json);
}

static void
answered(void *arg, int exit_code, struct str json)
{
	struct test *t = arg;

	buf_reset(&t->json);
	(void)buf_put(&t->json, json);
	t->exit_code = exit_code;
	t->answers++;
}

/* A member of the answer; "" when it has none. */
static struct str
ask_raw(struct test *t, struct str request, const char *member)
{
	static char text[4096];
	json_t *doc;
	const char *v;

	t->answers = 0;
	admin_run_wait(t->admin, request, answered, t);
	EXPECT(t->answers == 1);
	doc = json_loadb(t->json.p, t->json.n, JSON_REJECT_DUPLICATES, NULL);
	EXPECT(json_is_object(doc));
	EXPECT((t->exit_code == 0) == (json_object_get(doc, "error") == NULL));
	EXPECT(t->exit_code == 0 || json_string_length(json_object_get(doc, "mend")) > 0);
	v = json_string_value(json_object_get(doc, member));
	(void)snprintf(text, sizeof(text), "%s", v != NULL ? v : "");
	json_decref(doc);
	return str_of_c(text);
}

static struct str
ask(struct test *t, const char *command, const char *a, const char *b, const char *member)
{
	json_t *doc = json_pack("{s:s, s:[], s:s, s:{s:s}}", "command", command, "operands", "credential", credential64, "options",
	    "pop3-delete", "yes");
	json_t *operands = json_object_get(doc, "operands");
	struct str got;
	char *text;

	if (a != NULL)
		(void)json_array_append_new(operands, json_string(a));
	if (b != NULL)
		(void)json_array_append_new(operands, json_string(b));
	text = json_dumps(doc, 0);
	got = ask_raw(t, str_of_c(text), member);
	free(text);
	json_decref(doc);
	return got;
}

#define ADDED(domain) "Mail for " domain " is received from now on. `posthorn domain dns " domain "` shows the records that its DNS needs."

/* Everything in its order: a refusal stands where what came before makes it one. */
static void
answers_as_told(void)
{
	static const struct {
		const char *command, *a, *b, *says;	/* "!": begins an error */
	} steps[] = {
	    {"domain add", "Example.org", NULL, ADDED("Example.org")},
	    {"domain add", "example.org", NULL, "!domain example.org exists already"},
	    {"domain add", "ex ample", NULL, "!"},
	    {"account add", "me@example.org", NULL, "Account me@example.org is made."},
	    {"account add", "ME@example.org", NULL, "!"},
	    {"account add", "me@other.org", NULL, "!domain other.org is not here"},
	    {"account add", "me", NULL, "!"},
	    {"account password", "me@example.org", NULL, "The password of me@example.org is changed."},
	    {"account password", "you@example.org", NULL, "!there is no such account"},
	    {"alias add", "info@example.org", "me@example.org", "Mail for info@example.org is delivered to me@example.org."},
	    {"alias add", "info@example.org", "me@example.org", "!this alias is there already"},
	    {"alias add", "info@example.org", "two@example.org", "Mail for info@example.org is delivered to two@example.org."},
	    {"alias add", "info@example.org", "far@far.org", "!far@far.org is not in one of the local domains"},
	    {"alias add", "x@far.org", "me@example.org", "!domain far.org is not here"},
	    {"alias add", "me@example.org", "two@example.org", "!"},
	    {"alias add", "me", "me@example.org", "!"},
	    {"alias add", "self@example.org", "self@example.org", "!an alias cannot be its own only target"},
	    {"alias remove", "info@example.org", "three@example.org", "!the alias does not lead to that address"},
	    {"alias remove", "info@example.org", "two@example.org", "Mail for info@example.org is no longer delivered to two@example.org."},
	    {"alias remove", "info@example.org", "me@example.org", "Mail for info@example.org is no longer delivered to me@example.org."},
	    {"alias remove", "info@example.org", "me@example.org", "!there is no such alias"},
	    {"alias remove", "info@example.org", NULL, "!there is no alias info@example.org"},
	    {"domain alias", "example.net", "example.org", "Every address of example.net is now the same address of example.org."},
	    {"domain alias", "example.net", "nowhere.org", "!domain nowhere.org is not here"},
	    {"domain alias", "example.org", "example.org", "!"},
	    {"domain catch-all", "example.org", "me@example.org", "Mail for addresses of example.org that do not exist goes to me@example.org."},
	    {"domain catch-all", "example.org", "me@far.org", "!me@far.org is not in one of the local domains"},
	    {"domain catch-all", "example.org", "none", "Mail for addresses of example.org that do not exist is refused."},
	    {"domain catch-all", "far.org", "none", "!domain far.org is not here"},
	    {"domain remove", "example.org", NULL, "!1 domains are aliases of example.org"},
	    {"domain remove", "example.net", NULL, "Mail for example.net is no longer received."},
	    {"domain remove", "example.org", NULL, "!domain example.org still has accounts or aliases"},
	    {"account list", "far.org", NULL, "!domain far.org is not here"},
	    {"alias list", "not a domain", NULL, "!"},
	    {"account remove", "you@example.org", NULL, "!there is no such account"},
	    {"account remove", "me@example.org", NULL, "Account me@example.org and its mail are removed."},
	    {"account remove", "me@example.org", NULL, "!there is no such account"},
	    {"domain remove", "example.org", NULL, "Mail for example.org is no longer received."},
	    {"domain remove", "example.org", NULL, "!domain example.org is not here"},
	    {"store backup", "name", NULL, "!this store cannot be backed up"},
	};
	struct test t;

	test_open(&t);
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		bool is_error = steps[i].says[0] == '!';
		struct str want = str_of_c(steps[i].says + is_error);
		struct str got = ask(&t, steps[i].command, steps[i].a, steps[i].b, is_error ? "error" : "message");

		EXPECT_STR(is_error ? str_take(got, want.n) : got, want);
		EXPECT(t.exit_code == is_error);
	}
	(void)ask(&t, "store stats", NULL, NULL, "message");
	EXPECT(t.exit_code == 0);
	test_close(&t);
}

static void
refuses_what_is_no_request(void)
{
	static const char *const requests[] = {"", "{", "[]", "{}", "{\"command\":5}", "{\"command\":\"no such\",\"operands\":[]}",
	    "{\"command\":\"domain add\"}", "{\"command\":\"domain add\",\"operands\":[]}", "{\"command\":\"domain add\",\"operands\":[5]}",
	    "{\"command\":\"domain add\",\"operands\":[\"\"]}", "{\"command\":\"domain add\",\"operands\":[\"a\",\"b\",\"c\"]}",
	    "{\"command\":\"account add\",\"operands\":[\"a@b.c\"],\"credential\":\"!\"}",
	    "{\"command\":\"account add\",\"operands\":[\"a@b.c\"],\"credential\":\"AAAA\"}",
	    "{\"command\":\"account add\",\"operands\":[\"a@b.c\"]}", "{\"command\":\"account password\",\"operands\":[\"a@b.c\"]}"};
	struct test t;
	struct buf request;

	test_open(&t);
	for (size_t i = 0; i < COUNT_OF(requests); i++)
		EXPECT(ask_raw(&t, str_of_c(requests[i]), "error").n > 0);
	for (size_t n = ADMIN_OPERAND_BYTES_MAX; n <= ADMIN_OPERAND_BYTES_MAX + 1; n++) {
		buf_init(&request, 8192);
		(void)buf_put(&request, STR("{\"command\":\"domain add\",\"operands\":[\""));
		for (size_t i = 0; i < n; i++)
			(void)buf_put_c(&request, 'a');
		(void)buf_put(&request, STR("\"]}"));
		/* One is a name that cannot be, the other no request. */
		EXPECT((str_find(ask_raw(&t, buf_str(&request), "error"), STR("does not understand")) == 0) == false);
		EXPECT((str_find(buf_str(&t.json), STR("does not understand")) < t.json.n) == (n > ADMIN_OPERAND_BYTES_MAX));
		buf_fini(&request);
	}
	test_close(&t);
}

/* ---- lists ---- */

struct many {
	unsigned from, to;
	const char *domain;
};

static enum status
many_txn(struct txn *t, void *arg)
{
	const struct many *m = arg;
	struct account_settings settings = {0};
	struct credential c = {0};
	struct account_id id;
	char name[64];
	struct str target = STR("me@a.test");
	enum status st = ST_OK;

	for (unsigned i = m->from; st == ST_OK && i < m->to; i++) {
		int n = snprintf(name, sizeof(name), "u%06u@%s", i, m->domain);

		st = directory_account_add(t, str_of(name, (size_t)n), &c, &settings, &id, NULL);
		name[0] = 'v';
		if (st == ST_OK)
			st = directory_alias_add(t, str_of(name, (size_t)n), &target, 1, NULL);
	}
	return st;
}

static void
many_add(struct test *t, const char *domain, unsigned n)
{
	(void)ask(t, "domain add", domain, NULL, "message");
	for (unsigned i = 0; i < n; i += 500) {
		struct many m = {i, i + 500 < n ? i + 500 : n, domain};

		CHECK(store_transact_wait(t->store, many_txn, &m) == ST_OK);
	}
}

/* Rows of the answer, each with a member, in ascending order. */
static size_t
rows_count(const struct test *t, const char *member)
{
	json_t *doc = json_loadb(t->json.p, t->json.n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *rows = json_object_get(doc, "rows");
	size_t n = json_array_size(rows);
	const char *last = "";

	for (size_t i = 0; i < n; i++) {
		const char *v = json_string_value(json_object_get(json_array_get(rows, i), member));

		EXPECT(v != NULL && strcmp(last, v) < 0);
		last = v != NULL ? v : last;
	}
	json_decref(doc);
	return n;
}

static void
lists_page_through_everything(void)
{
	struct test t;

	test_open(&t);
	(void)ask(&t, "account list", NULL, NULL, "message");
	EXPECT(rows_count(&t, "address") == 0);
	(void)ask(&t, "domain add", "a.test", NULL, "message");
	(void)ask(&t, "domain add", "b.test", NULL, "message");
	(void)ask(&t, "account list", "b.test", NULL, "message");
	EXPECT(t.exit_code == 0 && rows_count(&t, "address") == 0);
	many_add(&t, "c.test", ADMIN_PAGE);
	many_add(&t, "d.test", 3 * ADMIN_PAGE + 1);
	EXPECT(ask(&t, "account list", NULL, NULL, "message").n == 0);
	/* By domain, then by name: every domain's own is in order, and all of them are there. */
	EXPECT(str_find(buf_str(&t.json), STR("u000000@c.test")) < str_find(buf_str(&t.json), STR("u000000@d.test")));
	(void)ask(&t, "account list", "d.test", NULL, "message");
	EXPECT(rows_count(&t, "address") == 3 * ADMIN_PAGE + 1);
	(void)ask(&t, "alias list", "c.test", NULL, "message");
	EXPECT(rows_count(&t, "alias") == ADMIN_PAGE);
	(void)ask(&t, "domain list", NULL, NULL, "message");
	EXPECT(rows_count(&t, "domain") == 4);
	test_close(&t);
}

static void
lists_end_at_their_limit(void)
{
	struct test t;

	test_open(&t);
	(void)ask(&t, "domain add", "a.test", NULL, "message");
	many_add(&t, "b.test", ADMIN_ROWS_MAX);
	EXPECT(ask(&t, "account list", "b.test", NULL, "message").n == 0);
	EXPECT(rows_count(&t, "address") == ADMIN_ROWS_MAX);
	many_add(&t, "c.test", 1);
	EXPECT_STR(ask(&t, "account list", NULL, NULL, "message"),
	    STR("Only the first 10000 are shown; name a domain to see what is in it."));
	EXPECT(rows_count(&t, "address") == ADMIN_ROWS_MAX && t.json.n < RECORD_BYTES_MAX);
	test_close(&t);
}

/* With a loop, a list comes a page per turn, and a command may be given up at any time. */
static void
lists_take_turns(void)
{
	struct test t;
	struct clock clock;
	struct loop *loop;
	unsigned turns = 0;

	test_open(&t);
	many_add(&t, "a.test", 4 * ADMIN_PAGE);
	admin_free(&t.admin);
	clock_init_fake(&clock, 0);
	loop = loop_new(&clock);
	t.admin = admin_new(t.store, NULL, loop);
	t.answers = 0;
	admin_run(t.admin, STR("{\"command\":\"account list\",\"operands\":[\"a.test\"]}"), answered, &t);
	while (t.answers == 0 && turns < 100) {
		turns++;
		(void)loop_turn(loop, 0);
	}
	EXPECT(turns >= 4 && turns < 100 && rows_count(&t, "address") == 4 * ADMIN_PAGE);
	t.answers = 0;
	for (unsigned i = 0; i < ADMIN_JOBS_MAX; i++)
		admin_run(t.admin, STR("{\"command\":\"account list\",\"operands\":[\"a.test\"]}"), answered, &t);
	EXPECT(t.answers == 0);
	admin_run(t.admin, STR("{\"command\":\"account list\",\"operands\":[\"a.test\"]}"), answered, &t);
	EXPECT(t.answers == 1 && t.exit_code == 1);
	admin_free(&t.admin);
	(void)loop_turn(loop, 0);
	EXPECT(t.answers == 1);
	loop_free(&loop);
	test_close(&t);
}

/* ---- removals ---- */

struct mail {
	struct account_id account;
	unsigned n;
};

static enum status
mail_txn(struct txn *t, void *arg)
{
	const struct mail *m = arg;
	struct mailbox_cap cap = mailbox_cap_for_delivery(m->account);
	struct str body = STR("body\r\n");
	struct mailbox box;
	struct mailbox_entry entry;
	enum status st = mailbox_open(t, &cap, MAILBOX_INBOX, MAILBOX_INSERT, 1000, &box);

	for (unsigned i = 0; st == ST_OK && i < m->n; i++) {
		struct mailbox_append a = {.body_bytes = body.n, .head = STR("Received: here\r\n"), .date_ms = 1000};

		st = store_blob_put(t, &body, 1, &a.blob);
		if (st == ST_OK)
			st = mailbox_append(&box, &a, &entry);
	}
	return st;
}

static enum status
begin_txn(struct txn *t, void *arg)
{
	struct account_id id;

	(void)arg;
	return directory_account_remove_begin(t, STR("me@a.test"), &id, NULL);
}

static void
account_with_mail(struct test *t, unsigned n)
{
	struct account account;
	struct mail m = {.n = 500};

	(void)ask(t, "domain add", "a.test", NULL, "message");
	(void)ask(t, "account add", "me@a.test", NULL, "message");
	CHECK(directory_account_find(store_snapshot(t->store), STR("me@a.test"), &account) == ST_OK);
	m.account = account.id;
	for (unsigned i = 0; i < n; i += m.n)
		CHECK(store_transact_wait(t->store, mail_txn, &m) == ST_OK);
}

static bool
has_removal(const struct test *t)
{
	struct account_id id;

	return directory_removing_next(store_snapshot(t->store), (struct account_id){0}, &id) == ST_OK;
}

static void
removes_mail_step_by_step(void)
{
	struct test t;

	test_open(&t);
	account_with_mail(&t, 2 * MAILBOX_REMOVE_STEP + 500);
	(void)ask(&t, "account list", NULL, NULL, "message");
	EXPECT(str_find(buf_str(&t.json), STR("\"messages\":2500,")) < t.json.n);
	EXPECT_STR(ask(&t, "account remove", "me@a.test", NULL, "message"), STR("Account me@a.test and its mail are removed."));
	EXPECT(!has_removal(&t));
	test_close(&t);
}

static void
goes_on_with_removals_of_an_earlier_run(void)
{
	struct test t;

	test_open(&t);
	account_with_mail(&t, 2 * MAILBOX_REMOVE_STEP);
	CHECK(store_transact_wait(t.store, begin_txn, NULL) == ST_OK);
	admin_free(&t.admin);
	store_close(&t.store);
	CHECK(memory_open(&(struct memory_options){.disk = t.memory, .is_strict = true}, &t.store) == ST_OK);
	EXPECT(has_removal(&t));
	t.admin = admin_new(t.store, NULL, NULL);
	for (unsigned i = 0; i < 100 && t.admin->jobs_n > 0; i++) {
		store_flush(t.store);
		CHECK(store_poll(t.store) == ST_OK);
	}
	EXPECT(!has_removal(&t) && t.admin->jobs_n == 0);
	test_close(&t);
}

static void
says_when_the_store_is_full_or_fails(void)
{
	struct test t;

	test_open(&t);
	memory_inject(t.store, &(struct memory_faults){.is_full = true});
	EXPECT(str_find(ask(&t, "domain add", "a.test", NULL, "error"), STR("the disk is too full")) == 0);
	memory_inject(t.store, &(struct memory_faults){.conflict_in = 1});
	EXPECT_STR(ask(&t, "domain add", "a.test", NULL, "message"), STR(ADDED("a.test")));
	memory_inject(t.store, &(struct memory_faults){.io_error_in = 1});
	EXPECT(ask(&t, "domain add", "b.test", NULL, "error").n > 0);
	test_close(&t);
}

/* ---- keys and records ---- */

static size_t
times(const struct test *t, struct str what)
{
	struct str rest = buf_str(&t->json);
	size_t n = 0, at;

	while ((at = str_find(rest, what)) < rest.n) {
		rest = str_from(rest, at + what.n);
		n++;
	}
	return n;
}

static bool
says(const struct test *t, const char *what)
{
	return times(t, str_of_c(what)) > 0;
}

/* With options, given as JSON. */
static int
ask_with(struct test *t, const char *command, const char *operand, const char *options)
{
	char request[1024];

	(void)snprintf(request, sizeof(request), "{\"command\":\"%s\",\"operands\":[%s%s%s],\"options\":{%s}}", command,
	    operand != NULL ? "\"" : "", operand != NULL ? operand : "", operand != NULL ? "\"" : "", options);
	(void)ask_raw(t, str_of_c(request), "message");
	return t->exit_code;
}

static void
a_new_domain_has_keys(void)
{
	struct test t;

	test_open(&t);
	EXPECT(ask_with(&t, "domain add", "a.test", "") == 0);
	EXPECT(ask_with(&t, "domain keys", "a.test", "") == 0);
	EXPECT(says(&t, "{\"selector\":\"ph202611e\",\"algorithm\":\"ed25519-sha256\",\"state\":\"active\",\"made\":\"2026-11-25T12:00:00Z\"}"));
	EXPECT(says(&t, "\"ph202611r\"") && rows_count(&t, "selector") == 2);
	EXPECT(ask_with(&t, "domain keys", "a.test", "\"make\":\"yes\"") == 0 && says(&t, "has its keys already"));
	/* An alias signs for itself. */
	EXPECT(ask_with(&t, "domain alias", "b.test\",\"a.test", "") == 0);
	EXPECT(ask_with(&t, "domain keys", "b.test", "") == 0 && rows_count(&t, "selector") == 2);
	EXPECT(ask_with(&t, "domain remove", "b.test", "") == 0);
	EXPECT(ask_with(&t, "domain keys", "b.test", "") == 1 && says(&t, "domain b.test is not here"));
	EXPECT(ask_with(&t, "domain keys", "no domain", "\"make\":\"yes\"") == 1);
	test_close(&t);
}

static enum status
domain_only_txn(struct txn *t, void *arg)
{
	(void)arg;
	return directory_domain_add(t, TENANT_DEFAULT, STR("old.test"), NULL);
}

static enum status
retire_txn(struct txn *t, void *arg)
{
	struct dkim_key_record k = {.algorithm = DKIM_RSA_SHA256, .state = DKIM_KEY_RETIRED, .selector = STR("ph202611r"), .sealed = STR("s"),
	    .public = STR("p")};

	(void)arg;
	return directory_dkim_put(t, STR("old.test"), &k);
}

static void
an_old_domain_gets_them(void)
{
	struct test t;

	test_open(&t);
	CHECK(store_transact_wait(t.store, domain_only_txn, NULL) == ST_OK);
	EXPECT(ask_with(&t, "domain keys", "old.test", "") == 0 && says(&t, "is not signed") && rows_count(&t, "selector") == 0);
	CHECK(store_transact_wait(t.store, retire_txn, NULL) == ST_OK);
	EXPECT(ask_with(&t, "domain keys", "old.test", "\"make\":\"yes\"") == 0 && says(&t, "The keys of old.test are made"));
	EXPECT(ask_with(&t, "domain keys", "old.test", "") == 0 && rows_count(&t, "selector") == 3);
	/* The retired one's name is not given again. */
	EXPECT(says(&t, "\"ph202611r2\"") && times(&t, STR("retired")) == 1);
	test_close(&t);
}

static void
without_keys_no_domain(void)
{
	struct test t;

	test_open(&t);
	t.maker = KEYS_REFUSE;
	EXPECT(ask_with(&t, "domain add", "a.test", "") == 1 && says(&t, "cannot be made now") && says(&t, "master.key"));
	EXPECT(ask_with(&t, "domain list", NULL, "") == 0 && rows_count(&t, "domain") == 0);
	/* What cannot be added is refused for its own reason. */
	EXPECT(ask_with(&t, "domain add", "no domain", "") == 1 && !says(&t, "cannot be made now"));
	admin_set_keys(t.admin, NULL, NULL);
	EXPECT(ask_with(&t, "domain add", "a.test", "") == 1 && says(&t, "cannot be made now"));
	test_close(&t);
}

static void
keys_come_later_or_never(void)
{
	struct test t;
	struct clock clock;
	struct loop *loop;

	test_open(&t);
	admin_free(&t.admin);
	clock_init_fake(&clock, 0);
	loop = loop_new(&clock);
	admin_start(&t, loop);
	t.maker = KEYS_LATER;
	admin_run(t.admin, STR("{\"command\":\"domain add\",\"operands\":[\"a.test\"]}"), answered, &t);
	EXPECT(t.answers == 0 && t.asked_n == 2);
	admin_key_made(t.admin, 77, true, STR("s"), STR("p"));
	key_give(&t, t.asked[0]);
	EXPECT(t.answers == 0);
	key_give(&t, t.asked[1]);
	store_flush(t.store);
	CHECK(store_poll(t.store) == ST_OK);
	EXPECT(t.answers == 1 && t.exit_code == 0);
	key_give(&t, t.asked[1]);
	EXPECT(t.answers == 1);
	/* Half of them, and nobody is there any more. */
	t.asked_n = 0;
	admin_run(t.admin, STR("{\"command\":\"domain add\",\"operands\":[\"b.test\"]}"), answered, &t);
	key_give(&t, t.asked[0]);
	admin_keys_lost(t.admin);
	EXPECT(t.answers == 2 && t.exit_code == 1 && says(&t, "role keys"));
	/* Given up while they are being made. */
	t.asked_n = 0;
	admin_run(t.admin, STR("{\"command\":\"domain add\",\"operands\":[\"c.test\"]}"), answered, &t);
	admin_free(&t.admin);
	EXPECT(t.answers == 2);
	loop_free(&loop);
	test_close(&t);
}

#define DNS_OPTIONS \
	"\"hostname\":\"mail.a.test\",\"addresses\":\"192.0.2.1 2001:db8::1\",\"smtp\":\"10025\",\"submission\":\"587\",\"submissions\":\"465\",\"pop3s\":\"995\""

static void
tells_the_records_of_a_domain(void)
{
	static const char *const want[] = {
	    "{\"name\":\"a.test\",\"type\":\"MX\",\"value\":\"10 mail.a.test.\",",
	    "{\"name\":\"mail.a.test\",\"type\":\"A\",\"value\":\"192.0.2.1\",",
	    "{\"name\":\"mail.a.test\",\"type\":\"AAAA\",\"value\":\"2001:db8::1\",",
	    "{\"name\":\"a.test\",\"type\":\"TXT\",\"value\":\"v=spf1 mx -all\",",
	    "{\"name\":\"ph202611e._domainkey.a.test\",\"type\":\"TXT\",\"value\":\"v=DKIM1; k=ed25519; p=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\",",
	    "{\"name\":\"ph202611r._domainkey.a.test\",\"type\":\"TXT\",\"value\":\"v=DKIM1; k=rsa; p=MII",
	    "{\"name\":\"_dmarc.a.test\",\"type\":\"TXT\",\"value\":\"v=DMARC1; p=none; rua=mailto:postmaster@a.test\",",
	    "{\"name\":\"_submissions._tcp.a.test\",\"type\":\"SRV\",\"value\":\"0 1 465 mail.a.test.\",",
	    "{\"name\":\"_submission._tcp.a.test\",\"type\":\"SRV\",\"value\":\"0 1 587 mail.a.test.\",",
	    "{\"name\":\"_pop3s._tcp.a.test\",\"type\":\"SRV\",\"value\":\"0 1 995 mail.a.test.\",",
	    "The PTR record",
	    "port 10025",
	    "postmaster@a.test: `posthorn alias add",
	    "abuse@a.test: `posthorn alias add",
	};
	struct test t;

	test_open(&t);
	EXPECT(ask_with(&t, "domain add", "a.test", "") == 0);
	EXPECT(ask_with(&t, "domain dns", "A.test", DNS_OPTIONS) == 0);
	for (size_t i = 0; i < COUNT_OF(want); i++)
		if (!says(&t, want[i])) {
			EXPECT(false);
			fprintf(stderr, "without %s\n", want[i]);
		}
	EXPECT(!says(&t, "Point mail.a.test"));
	EXPECT(times(&t, STR("\"why\":\"")) == times(&t, STR("\"type\":\"")));
	/* What is offered and known only. */
	EXPECT(ask_with(&t, "account add", "postmaster@a.test", "") == 1);
	EXPECT(ask(&t, "account add", "postmaster@a.test", NULL, "message").n > 0);
	EXPECT(ask_with(&t, "domain dns", "a.test", "\"hostname\":\"mail.a.test\",\"smtp\":\"25\"") == 0);
	EXPECT(!says(&t, "SRV") && says(&t, "Point mail.a.test") && !says(&t, "read postmaster@") && says(&t, "read abuse@") && !says(&t, "port 25"));
	EXPECT(ask_with(&t, "domain dns", "b.test", DNS_OPTIONS) == 1 && says(&t, "domain b.test is not here"));
	EXPECT(ask_with(&t, "domain dns", "a.test", "") == 1 && says(&t, "no host name"));
	CHECK(store_transact_wait(t.store, domain_only_txn, NULL) == ST_OK);
	EXPECT(ask_with(&t, "domain dns", "old.test", DNS_OPTIONS) == 0 && says(&t, "domain keys old.test --make"));
	test_close(&t);
}

/* ---- the queue ---- */

struct letter {
	const char *sender;
	const char *rcpts[3];
	unsigned n;	/* so many of them */
	struct queue_id id;	/* of the last */
};

static enum status
letter_put(struct txn *t, const struct letter *l, struct queue_id *id_out)
{
	struct queue_new_rcpt rcpts[3] = {{.notify = 0}};
	struct queue_message m = {.arrived_ms = NOW_MS - 7200 * 1000, .body_bytes = 5200, .account = {7}, .reverse_path = str_of_c(l->sender),
	    .message_id = STR("<1@a.test>"), .sign_domain = STR("a.test")};
	struct str body = STR("x"), names[] = {m.reverse_path, str_of_c(l->rcpts[0]), m.message_id};
	struct event e = {.kind = EVENT_QUEUED, .at_ms = m.arrived_ms, .bytes = 5200, .sender = m.reverse_path, .rcpts = str_of_c(l->rcpts[0]),
	    .message_id = m.message_id};
	struct key k;
	size_t n = 0;
	enum status st = store_blob_put(t, &body, 1, &m.blob);

	for (; n < COUNT_OF(rcpts) && l->rcpts[n] != NULL; n++)
		rcpts[n].path = str_of_c(l->rcpts[n]);
	/* As role store does it: the event knows the message, and the message its trace. */
	if (st == ST_OK)
		st = store_add(t, key_counter(&k, SCHEMA_COUNTER_QUEUE), 0, &e.message);
	e.message++;
	if (st == ST_OK)
		st = event_put(t, &e, names, COUNT_OF(names));
	m.trace = e.id;
	if (st == ST_OK)
		st = queue_put(t, &m, rcpts, n, &(struct queue_options){.life_ms = 5u * 24 * 3600 * 1000}, 0);
	*id_out = m.id;
	EXPECT(st != ST_OK || m.id.v == e.message);
	return st;
}

static enum status
letters_txn(struct txn *t, void *arg)
{
	struct letter *l = arg;
	enum status st = ST_OK;

	for (unsigned i = 0; i < l->n && st == ST_OK; i++)
		st = letter_put(t, l, &l->id);
	return st;
}

static struct queue_id
letters_add(struct test *t, unsigned n, const char *sender, const char *one, const char *two, const char *three)
{
	struct letter l = {.sender = sender, .rcpts = {one, two, three}, .n = n};

	CHECK(store_transact_wait(t->store, letters_txn, &l) == ST_OK);
	return l.id;
}

static enum status
try_txn(struct txn *t, void *arg)
{
	struct queue_try r = {.destination = STR("b.test"), .now_ms = NOW_MS - 60000, .due_ms = NOW_MS + 240000, .host = STR("mx.b.test"), .code = 451,
	    .enhanced = {4, 7, 1}, .text = STR("try later")};
	struct queue_message m;
	struct queue_news *news;
	struct arena a;
	size_t n;
	bool is_gone;
	enum status st;

	arena_init(&a, QUEUE_ARENA_BYTES);
	st = queue_get(t, *(struct queue_id *)arg, &a, &m);
	if (st == ST_OK)
		st = queue_tried(t, &m, &r, &a, &news, &n, &is_gone);
	arena_fini(&a);
	return st;
}

static void
queue_fill(struct test *t)
{
	struct queue_id id = letters_add(t, 1, "me@a.test", "you@b.test", "They@C.test", NULL);

	CHECK(store_transact_wait(t->store, try_txn, &id) == ST_OK);
	(void)letters_add(t, 1, "", "you@b.test", NULL, NULL);
	(void)letters_add(t, 1, "two@a.test", "x@d.test", NULL, NULL);
}

static void
lists_the_queue(void)
{
	static const struct {
		const char *options;
		size_t rows;
	} table[] = {{"", 3}, {"\"destination\":\"B.TEST\"", 2}, {"\"destination\":\"c.test\"", 1}, {"\"destination\":\"test\"", 0},
	    {"\"sender\":\"ME@a.test\"", 1}, {"\"sender\":\"<>\"", 1}, {"\"sender\":\"<two@a.test>\"", 1},
	    {"\"sender\":\"me@a.test\",\"destination\":\"d.test\"", 0}, {"\"held\":\"yes\"", 0}};
	struct test t;

	test_open(&t);
	EXPECT(ask_with(&t, "queue list", NULL, "") == 0 && rows_count(&t, "id") == 0);
	queue_fill(&t);
	for (size_t i = 0; i < COUNT_OF(table); i++)
		EXPECT(ask_with(&t, "queue list", NULL, table[i].options) == 0 && rows_count(&t, "id") == table[i].rows);
	EXPECT(ask_with(&t, "queue list", NULL, "\"destination\":\"no destination\"") == 1);
	EXPECT(ask_with(&t, "queue hold", "3", "") == 0);
	EXPECT(ask_with(&t, "queue list", NULL, "\"held\":\"yes\"") == 0 && rows_count(&t, "id") == 1 && says(&t, "\"next_try_seconds\":null,\"held\":true"));
	EXPECT(ask_with(&t, "queue list", NULL, "\"sender\":\"me@a.test\"") == 0);
	EXPECT(says(&t, "{\"id\":\"1\",\"age_seconds\":7200,\"sender\":\"me@a.test\",\"recipients\":2,\"destinations\":[\"b.test\",\"c.test\"],"
			"\"attempts\":1,\"next_try_seconds\":0,\"held\":false,\"reason\":\"mx.b.test: 451 4.7.1 try later\"}"));
	EXPECT(ask_with(&t, "queue list", NULL, "\"sender\":\"<>\"") == 0 && says(&t, "\"sender\":\"<>\"") && says(&t, "not tried yet"));
	test_close(&t);
}

static void
shows_one_message_and_why(void)
{
	struct test t;
	struct clock clock;
	struct loop *loop;

	test_open(&t);
	queue_fill(&t);
	EXPECT(ask_with(&t, "queue show", "1", "") == 0);
	EXPECT(says(&t, "\"message_id\":\"<1@a.test>\"") && says(&t, "\"arrived\":\"2026-11-25T10:00:00Z\",\"expires\":\"2026-11-30T10:00:00Z\""));
	EXPECT(says(&t, "{\"recipient\":\"you@b.test\",\"destination\":\"b.test\",\"state\":\"waiting\",\"attempts\":1,"
			"\"tried\":\"2026-11-25T11:59:00Z\",\"next_try_seconds\":240,\"reason\":\"mx.b.test: 451 4.7.1 try later\"}"));
	EXPECT(says(&t, "\"recipient\":\"They@C.test\"") && says(&t, "\"tried\":null"));
	EXPECT(ask_with(&t, "queue show", "99", "") == 1 && says(&t, "no message 99"));
	EXPECT(ask_with(&t, "queue show", "0", "") == 1 && ask_with(&t, "queue show", "xyz", "") == 1);
	EXPECT(ask_with(&t, "queue show", "11112222333344445", "") == 1);
	EXPECT(ask_with(&t, "queue why", "1", "") == 0);
	EXPECT(says(&t, "b.test (1 recipient): tried 1 time, the last time at 11:59:00: mx.b.test: 451 4.7.1 try later; next try at 12:04:00, in 4 min; the server is stopped"));
	EXPECT(says(&t, "c.test (1 recipient): not tried yet; the next try is due"));
	EXPECT(ask_with(&t, "queue why", "YOU@b.test", "") == 0 && times(&t, STR("\"title\"")) == 2);
	EXPECT(ask_with(&t, "queue why", "<me@a.test>", "") == 0 && times(&t, STR("\"title\"")) == 1);
	EXPECT(ask_with(&t, "queue why", "nobody@a.test", "") == 1 && says(&t, "posthorn trace"));
	EXPECT(ask_with(&t, "queue why", "77", "") == 1);
	/* On a running server the schedule has its say. */
	admin_free(&t.admin);
	clock_init_fake(&clock, 0);
	loop = loop_new(&clock);
	admin_start(&t, loop);
	t.answers = 0;
	admin_run(t.admin, STR("{\"command\":\"queue why\",\"operands\":[\"1\"],\"schedule\":{\"b.test\":\"waits for a connection\",\"x\":5}}"), answered, &t);
	EXPECT(t.answers == 1 && says(&t, "; now: waits for a connection") && !says(&t, "stopped"));
	admin_free(&t.admin);
	loop_free(&loop);
	test_close(&t);
}

static void
orders_are_carried_out(void)
{
	static const struct {
		const char *command, *operand, *options;
		int code;
		const char *says;
		size_t changed;
	} table[] = {
	    {"queue hold", "1", "", 0, "1 message, 2 recipients: held", 1},
	    {"queue hold", "1", "", 0, "Nothing in the queue had to be changed.", 0},
	    {"queue retry", "1", "", 0, "Nothing in the queue had to be changed.", 0},
	    {"queue release", "1", "\"destination\":\"c.test\"", 0, "1 message, 1 recipient: released", 1},
	    {"queue release", NULL, "\"all\":\"yes\"", 0, "1 message, 1 recipient: released", 1},
	    {"queue retry", NULL, "\"destination\":\"b.test\"", 0, "\"messages\":2,\"recipients\":2", 2},
	    {"queue retry", NULL, "\"sender\":\"nobody@a.test\"", 0, "\"messages\":0,\"recipients\":0", 0},
	    {"queue expire", NULL, "\"sender\":\"two@a.test\"", 0, "for the last time", 1},
	    {"queue remove", "1", "\"destination\":\"b.test\"", 0, "1 message, 1 recipient: removed", 1},
	    {"queue remove", "1", "\"sender\":\"other@a.test\"", 1, "message 1 is not from that sender", 0},
	    {"queue remove", "1", "", 0, "1 message, 1 recipient: removed", 1},
	    {"queue remove", "1", "", 1, "no message 1 in the queue", 0},
	    {"queue remove", NULL, "", 1, "this needs an id", 0},
	    {"queue remove", "2", "\"all\":\"yes\"", 1, "--all goes with no id", 0},
	    {"queue remove", "zz", "", 1, "no id", 0},
	    {"queue remove", NULL, "\"all\":\"yes\"", 0, "\"messages\":2,\"recipients\":2", 2},
	    {"queue remove", NULL, "\"all\":\"yes\"", 0, "\"messages\":0,\"recipients\":0", 0},
	};
	struct test t;

	test_open(&t);
	queue_fill(&t);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		t.changed_n = 0;
		EXPECT(ask_with(&t, table[i].command, table[i].operand, table[i].options) == table[i].code);
		EXPECT(t.changed_n == table[i].changed);
		if (!says(&t, table[i].says)) {
			EXPECT(false);
			fprintf(stderr, "step %zu: %.*s\n", i, STR_ARG(buf_str(&t.json)));
		}
	}
	EXPECT(ask_with(&t, "queue list", NULL, "") == 0 && rows_count(&t, "id") == 0);
	test_close(&t);
}

/* More than a page, by number and by recipients; and on a loop, where it can be given up. */
static void
orders_page_through_everything(void)
{
	struct test t;
	struct clock clock;
	struct loop *loop;
	unsigned turns = 0;

	test_open(&t);
	(void)letters_add(&t, 2 * ADMIN_QUEUE_PAGE + 1, "me@a.test", "you@b.test", "they@c.test", "she@d.test");
	(void)letters_add(&t, ADMIN_QUEUE_PAGE, "two@a.test", "you@b.test", NULL, NULL);
	EXPECT(ask_with(&t, "queue list", NULL, "") == 0 && times(&t, STR("{\"id\"")) == 3 * ADMIN_QUEUE_PAGE + 1);
	EXPECT(ask_with(&t, "queue hold", NULL, "\"sender\":\"two@a.test\"") == 0 && t.changed_n == ADMIN_QUEUE_PAGE);
	EXPECT(ask_with(&t, "queue list", NULL, "\"held\":\"yes\"") == 0 && times(&t, STR("{\"id\"")) == ADMIN_QUEUE_PAGE);
	admin_free(&t.admin);
	clock_init_fake(&clock, 0);
	loop = loop_new(&clock);
	admin_start(&t, loop);
	t.answers = 0;
	t.changed_n = 0;
	memory_inject(t.store, &(struct memory_faults){.conflict_in = 2});
	admin_run(t.admin, STR("{\"command\":\"queue hold\",\"operands\":[],\"options\":{\"all\":\"yes\"}}"), answered, &t);
	while (t.answers == 0 && turns++ < 100) {
		(void)loop_turn(loop, 0);
		store_flush(t.store);
		CHECK(store_poll(t.store) == ST_OK);
	}
	EXPECT(t.exit_code == 0 && says(&t, "\"messages\":129,\"recipients\":387") && t.changed_n == 2 * ADMIN_QUEUE_PAGE + 1);
	/* The store does not keep up for a while. */
	t.answers = 0;
	memory_inject(t.store, &(struct memory_faults){.is_busy = true});
	admin_run(t.admin, STR("{\"command\":\"queue release\",\"operands\":[],\"options\":{\"all\":\"yes\"}}"), answered, &t);
	(void)loop_turn(loop, 0);
	EXPECT(t.answers == 0);
	memory_inject(t.store, &(struct memory_faults){0});
	clock_advance(&clock, ADMIN_BUSY_AGAIN_MS);
	for (turns = 0; t.answers == 0 && turns < 100; turns++) {
		(void)loop_turn(loop, 0);
		store_flush(t.store);
		CHECK(store_poll(t.store) == ST_OK);
	}
	EXPECT(t.answers == 1 && t.exit_code == 0 && says(&t, "\"messages\":193"));
	t.answers = 0;
	admin_run(t.admin, STR("{\"command\":\"queue remove\",\"operands\":[],\"options\":{\"all\":\"yes\"}}"), answered, &t);
	admin_free(&t.admin);
	(void)loop_turn(loop, 0);
	EXPECT(t.answers == 0);
	loop_free(&loop);
	test_close(&t);
}

static void
orders_say_when_the_store_fails(void)
{
	struct test t;

	test_open(&t);
	(void)letters_add(&t, 2 * ADMIN_QUEUE_PAGE, "me@a.test", "you@b.test", NULL, NULL);
	memory_inject(t.store, &(struct memory_faults){.is_full = true});
	EXPECT(ask_with(&t, "queue hold", NULL, "\"all\":\"yes\"") == 1 && t.changed_n == 0);
	memory_inject(t.store, &(struct memory_faults){.io_error_in = 2});
	EXPECT(ask_with(&t, "queue hold", NULL, "\"all\":\"yes\"") == 1 && t.changed_n <= ADMIN_QUEUE_PAGE);
	test_close(&t);
}

/* ---- traces ---- */

static enum status
events_txn(struct txn *t, void *arg)
{
	struct event sent = {.kind = EVENT_SENT, .at_ms = NOW_MS, .message = 1, .code = 250, .enhanced = {2, 0, 0}, .sender = STR("me@a.test"),
	    .rcpts = STR("you@b.test"), .host = STR("mx.b.test"), .ip = STR("192.0.2.1"), .tls = STR("TLSv1.3"), .text = STR("Ok queued as X")};
	struct event late = {.kind = EVENT_DEFERRED, .at_ms = NOW_MS - 60000, .due_ms = NOW_MS + 13u * 3600 * 1000, .message = 1,
	    .rcpts = STR("you@b.test"), .host = STR("mx.b.test"), .text = STR("connection refused")};
	struct event failed = {.kind = EVENT_FAILED, .at_ms = NOW_MS + 86400u * 1000, .code = 550, .enhanced = {5, 1, 1}, .rcpts = STR("x@b.test y@b.test and 7 more"),
	    .text = STR("no such user")};
	enum status st;

	sent.trace = late.trace = failed.trace = *(uint64_t *)arg;
	st = event_put(t, &late, NULL, 0);
	if (st == ST_OK)
		st = event_put(t, &sent, NULL, 0);
	return st == ST_OK ? event_put(t, &failed, NULL, 0) : st;
}

static void
traces_a_message(void)
{
	static const char *const want[] = {
	    "\"title\":\"2026-11-25  me@a.test to you@b.test  <1@a.test>\"",
	    "\"text\":\"10:00:00  accepted from me@a.test for you@b.test, 5.0 KB, queued as 1\"",
	    "\"text\":\"11:59:00  put off: mx.b.test: connection refused; next try at 2026-11-26 01:00:00\"",
	    "\"text\":\"12:00:00  sent to mx.b.test [192.0.2.1] over TLSv1.3 for you@b.test: 250 2.0.0 Ok queued as X\"",
	    "\"text\":\"2026-11-26 12:00:00  failed for x@b.test, y@b.test and 7 more: 550 5.1.1 no such user\"",
	    "\"recipients\":[\"x@b.test\",\"y@b.test\"]",
	    "\"kind\":\"sent\",\"queue_id\":\"1\",\"sender\":\"me@a.test\",\"recipients\":[\"you@b.test\"],\"message_id\":null,\"size_bytes\":0,\"host\":\"mx.b.test\",\"ip\":\"192.0.2.1\",\"tls\":\"TLSv1.3\",\"code\":250,\"enhanced\":\"2.0.0\",\"reply\":\"Ok queued as X\"",
	};
	static const char *const names[] = {"me@A.test", "<1@a.test>", "1@a.test", "you@b.test", "1"};
	struct test t;
	uint64_t first = 1;

	test_open(&t);
	(void)letters_add(&t, 1, "me@a.test", "you@b.test", NULL, NULL);
	CHECK(store_transact_wait(t.store, events_txn, &first) == ST_OK);
	for (size_t k = 0; k < COUNT_OF(names); k++) {
		EXPECT(ask_with(&t, "trace", names[k], "") == 0);
		for (size_t i = 0; i < COUNT_OF(want); i++)
			if (!says(&t, want[i])) {
				EXPECT(false);
				fprintf(stderr, "%s: without %s in %.*s\n", names[k], want[i], STR_ARG(buf_str(&t.json)));
			}
	}
	EXPECT(ask_with(&t, "queue hold", "1", "") == 0 && ask_with(&t, "queue expire", "1", "") == 0 && ask_with(&t, "queue release", "1", "") == 0);
	EXPECT(ask_with(&t, "queue expire", "1", "") == 0);
	EXPECT(ask_with(&t, "trace", "me@a.test", "") == 0);
	EXPECT(says(&t, "held by hand: you@b.test") && says(&t, "released by hand") && says(&t, "by hand: you@b.test (for the last time)"));
	EXPECT(ask_with(&t, "trace", "nobody@a.test", "") == 1 && says(&t, "nothing is known"));
	EXPECT(ask_with(&t, "trace", "99", "") == 1);
	test_close(&t);
}

static void
traces_the_last_ones(void)
{
	struct test t;

	test_open(&t);
	(void)letters_add(&t, 12, "me@a.test", "you@b.test", NULL, NULL);
	EXPECT(ask_with(&t, "trace", "me@a.test", "") == 0 && times(&t, STR("\"title\"")) == 10);
	EXPECT(!says(&t, "queued as 2\"") && says(&t, "queued as C\""));
	EXPECT(ask_with(&t, "trace", "me@a.test", "\"last\":\"1\"") == 0 && times(&t, STR("\"title\"")) == 1 && says(&t, "queued as C\""));
	EXPECT(ask_with(&t, "trace", "me@a.test", "\"last\":\"1000\"") == 0 && times(&t, STR("\"title\"")) == 12);
	EXPECT(ask_with(&t, "trace", "me@a.test", "\"last\":\"1001\"") == 1 && ask_with(&t, "trace", "me@a.test", "\"last\":\"0\"") == 1);
	test_close(&t);
}

static void
reads_the_log(void)
{
	struct test t;

	test_open(&t);
	EXPECT(ask_with(&t, "log read", NULL, "") == 0 && says(&t, "{\"lines\":[],\"last\":0,\"more\":false}"));
	(void)letters_add(&t, ADMIN_LOG_EVENTS_MAX + 1, "me@a.test", "you@b.test", NULL, NULL);
	EXPECT(ask_with(&t, "log read", NULL, "\"last\":\"3\"") == 0 && times(&t, STR("\"text\"")) == 3 && says(&t, "\"last\":101,\"more\":false"));
	EXPECT(says(&t, "\"text\":\"2026-11-25 10:00:00  65  accepted from me@a.test for you@b.test"));
	EXPECT(ask_with(&t, "log read", NULL, "\"after\":\"0\"") == 0 && times(&t, STR("\"text\"")) == 100 && says(&t, "\"last\":100,\"more\":true"));
	EXPECT(ask_with(&t, "log read", NULL, "\"after\":\"100\"") == 0 && times(&t, STR("\"text\"")) == 1);
	EXPECT(ask_with(&t, "log read", NULL, "\"after\":\"101\"") == 0 && says(&t, "{\"lines\":[],\"last\":101,\"more\":false}"));
	test_close(&t);
}

/* ---- a store on a disk ---- */

static void
tree_remove(char *path)
{
	char *paths[] = {path, NULL};
	FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOSTAT | FTS_NOCHDIR, NULL);

	for (FTSENT *e; walk != NULL && (e = fts_read(walk)) != NULL;) {
		if (e->fts_info == FTS_DP)
			(void)rmdir(e->fts_accpath);
		else if (e->fts_info != FTS_D)
			(void)unlink(e->fts_accpath);
	}
	if (walk != NULL)
		(void)fts_close(walk);
}

static void
backs_up_into_its_folder(void)
{
	static const char *const bad[] = {"..", ".hidden", "a/b", "relative/path", "a b"};
	struct rec_settings s = {.ring_segment_bytes = 1 << 20, .ring_segments_max = 4, .checkpoint_ms = 1000, .checkpoint_bytes = 1 << 20,
	    .archive_level = 1};
	char root[] = "/tmp/posthorn-admin-XXXXXX", name[ADMIN_BACKUP_NAME_BYTES_MAX + 2], path[sizeof(root) + 64];
	struct test t = {0};
	struct clock clock;
	struct disk *disk;
	struct loop *loop;
	struct buf why;

	CHECK(mkdtemp(root) != NULL);
	clock_init_system(&clock);
	buf_init(&why, 4096);
	buf_init(&t.json, ADMIN_ANSWER_BYTES_MAX);
	CHECK(admin_store_open(&s, root, &clock, &disk, &t.store, &why) == ST_OK);
	CHECK(store_transact_wait(t.store, init_txn, NULL) == ST_OK);
	t.admin = admin_new(t.store, disk, NULL);
	admin_set_keys(t.admin, &keys_ops, &t);
	account_with_mail(&t, 500);
	EXPECT_STR(ask(&t, "store backup", "monday", NULL, "message"), STR("The backup is whole."));
	(void)snprintf(path, sizeof(path), "%s/backups/monday", root);
	EXPECT(access(path, F_OK) == 0 && str_find(buf_str(&t.json), str_of_c(path)) < t.json.n);
	EXPECT(ask(&t, "store backup", "monday", NULL, "error").n > 0);
	(void)snprintf(path, sizeof(path), "%s/elsewhere", root);
	EXPECT_STR(ask(&t, "store backup", path, NULL, "message"), STR("The backup is whole."));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		EXPECT_STR(ask(&t, "store backup", bad[i], NULL, "error"), STR("this is neither a name nor an absolute path"));
	memset(name, 'n', sizeof(name));
	name[ADMIN_BACKUP_NAME_BYTES_MAX + 1] = '\0';
	EXPECT(ask(&t, "store backup", name, NULL, "error").n > 0);
	name[ADMIN_BACKUP_NAME_BYTES_MAX] = '\0';
	EXPECT(ask(&t, "store backup", name, NULL, "error").n == 0);
	/* On a running server only below its own folder; and one that is given up calls nobody back. */
	admin_free(&t.admin);
	loop = loop_new(&clock);
	t.admin = admin_new(t.store, disk, loop);
	admin_run(t.admin, STR("{\"command\":\"store backup\",\"operands\":[\"/tmp/nowhere\"]}"), answered, &t);
	EXPECT(t.exit_code == 1 && str_find(buf_str(&t.json), STR("data folder only")) < t.json.n);
	t.answers = 0;
	admin_run(t.admin, STR("{\"command\":\"store backup\",\"operands\":[\"tuesday\"]}"), answered, &t);
	admin_free(&t.admin);
	loop_free(&loop);
	store_close(&t.store);
	EXPECT(t.answers == 0);
	disk_free(&disk);
	buf_fini(&t.json);
	buf_fini(&why);
	tree_remove(root);
}

int
main(void)
{
	credential_prepare();
	UNIT(answers_as_told);
	UNIT(refuses_what_is_no_request);
	UNIT(lists_page_through_everything);
	UNIT(lists_end_at_their_limit);
	UNIT(lists_take_turns);
	UNIT(removes_mail_step_by_step);
	UNIT(goes_on_with_removals_of_an_earlier_run);
	UNIT(says_when_the_store_is_full_or_fails);
	UNIT(a_new_domain_has_keys);
	UNIT(an_old_domain_gets_them);
	UNIT(without_keys_no_domain);
	UNIT(keys_come_later_or_never);
	UNIT(tells_the_records_of_a_domain);
	UNIT(lists_the_queue);
	UNIT(shows_one_message_and_why);
	UNIT(orders_are_carried_out);
	UNIT(orders_page_through_everything);
	UNIT(orders_say_when_the_store_fails);
	UNIT(traces_a_message);
	UNIT(traces_the_last_ones);
	UNIT(reads_the_log);
	UNIT(backs_up_into_its_folder);
	return unit_end();
}
