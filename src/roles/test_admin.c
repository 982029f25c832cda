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
#include "store/memory/memory.h"

static char credential64[4096];

struct test {
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

static void
test_open(struct test *t)
{
	*t = (struct test){.memory = memory_disk_new()};
	buf_init(&t->json, ADMIN_ANSWER_BYTES_MAX);
	CHECK(memory_open(&(struct memory_options){.disk = t->memory, .is_strict = true}, &t->store) == ST_OK);
	CHECK(store_transact_wait(t->store, init_txn, NULL) == ST_OK);
	t->admin = admin_new(t->store, NULL, NULL);
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

/* Everything in its order: a refusal stands where what came before makes it one. */
static void
answers_as_told(void)
{
	static const struct {
		const char *command, *a, *b, *says;	/* "!": begins an error */
	} steps[] = {
	    {"domain add", "Example.org", NULL, "Mail for Example.org is received from now on."},
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
	EXPECT_STR(ask(&t, "domain add", "a.test", NULL, "message"), STR("Mail for a.test is received from now on."));
	memory_inject(t.store, &(struct memory_faults){.io_error_in = 1});
	EXPECT(ask(&t, "domain add", "b.test", NULL, "error").n > 0);
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
	UNIT(backs_up_into_its_folder);
	return unit_end();
}
