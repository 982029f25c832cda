/*
 * Keys that sign a domain's mail: made when the domain is, before the transaction that stores both. Who makes them is the owner's affair
 * (admin_set_keys); the private half comes back sealed.
 */
#include <string.h>

#include "base/check.h"
#include "base/enc.h"
#include "roles/admin_internal.h"
#include "standards/dkim/dkim.h"

static const uint8_t algorithms[ADMIN_KEYS_MAX] = {DKIM_RSA_SHA256, DKIM_ED25519_SHA256};

void
admin_set_keys(struct admin *a, const struct admin_keys_ops *ops, void *arg)
{
	a->keys_ops = ops;
	a->keys_arg = arg;
}

/* ---- which ---- */

static bool
selector_is_taken(const struct dkim_key_record *keys, size_t n, struct str selector)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(keys[i].selector, selector))
			return true;
	return false;
}

static bool
has_active(const struct dkim_key_record *keys, size_t n, uint8_t algorithm)
{
	for (size_t i = 0; i < n; i++)
		if (keys[i].algorithm == algorithm && keys[i].state == DKIM_KEY_ACTIVE)
			return true;
	return false;
}

/* With a name that the domain has not used this month. */
static void
key_plan(struct admin_job *j, uint8_t algorithm, const struct dkim_key_record *there, size_t there_n)
{
	struct admin_key *k = &j->keys.key[j->keys.n++];
	struct buf name;
	unsigned nth = 0;

	*k = (struct admin_key){.ask = ++j->admin->keys_asked_n, .algorithm = algorithm, .state = ADMIN_KEY_ASKED};
	buf_init(&k->sealed, DIRECTORY_DKIM_SEALED_BYTES_MAX);
	buf_init(&k->public, DIRECTORY_DKIM_PUBLIC_BYTES_MAX);
	buf_init(&name, sizeof(k->selector));
	do {
		buf_reset(&name);
		CHECK(directory_dkim_selector(admin_now_ms(j->admin), algorithm, nth++, &name) == ST_OK);
	} while (selector_is_taken(there, there_n, buf_str(&name)));
	memcpy(k->selector, name.p, name.n);
	k->selector_n = (uint8_t)name.n;
	buf_fini(&name);
}

static enum status
keys_plan(struct admin_job *j)
{
	struct dkim_key_record *there;
	size_t n;
	enum status st;

	arena_reset(&j->admin->arena);
	st = directory_dkim_list(store_snapshot(j->admin->store), j->operands[0], &j->admin->arena, &there, &n);
	for (size_t i = 0; st == ST_OK && i < ADMIN_KEYS_MAX; i++)
		if (!has_active(there, n, algorithms[i]))
			key_plan(j, algorithms[i], there, n);
	return st;
}

/* ---- making ---- */

static bool
all_have(const struct admin_job *j, enum admin_key_state state)
{
	for (size_t i = 0; i < j->keys.n; i++)
		if (j->keys.key[i].state != state)
			return false;
	return true;
}

static bool
any_has(const struct admin_job *j, enum admin_key_state state)
{
	for (size_t i = 0; i < j->keys.n; i++)
		if (j->keys.key[i].state == state)
			return true;
	return false;
}

/* When every answer is there. Frees the job or hands it to the store. */
static void
keys_end(struct admin_job *j)
{
	if (j->keys.is_asking || any_has(j, ADMIN_KEY_ASKED))
		return;
	if (all_have(j, ADMIN_KEY_MADE)) {
		admin_job_transact(j);
		return;
	}
	admin_job_refuse(j, "the keys that sign this domain's mail cannot be made now; nothing is changed",
	    j->admin->loop != NULL ? "`posthorn status` shows whether the role keys is up, and the log says what it lacks; then try again."
				   : "Look at keys/master.key of the server's folder: it must be readable, with 32 bytes; then try again.");
}

static void
key_ask(struct admin_job *j, struct admin_key *k)
{
	struct buf context;

	buf_init(&context, SCHEMA_DOMAIN_BYTES_MAX + DIRECTORY_DKIM_SELECTOR_BYTES_MAX + 16);
	if (j->admin->keys_ops == NULL ||
	    directory_dkim_context(j->operands[0], str_of(k->selector, k->selector_n), &context) != ST_OK)
		k->state = ADMIN_KEY_FAILED;
	else
		j->admin->keys_ops->make(j->admin->keys_arg, k->ask, k->algorithm, buf_str(&context));
	buf_fini(&context);
}

static void
keys_make(struct admin_job *j)
{
	j->keys.is_asking = true;
	for (size_t i = 0; i < j->keys.n; i++)
		key_ask(j, &j->keys.key[i]);
	j->keys.is_asking = false;
	keys_end(j);
}

static struct admin_job *
ask_find(struct admin *a, uint64_t ask, struct admin_key **out)
{
	for (struct admin_job *j = a->jobs; j != NULL; j = j->next) {
		for (size_t i = 0; i < j->keys.n; i++) {
			if (j->keys.key[i].ask != ask || j->keys.key[i].state != ADMIN_KEY_ASKED)
				continue;
			*out = &j->keys.key[i];
			return j;
		}
	}
	return NULL;
}

void
admin_key_made(struct admin *a, uint64_t ask, bool is_ok, struct str sealed, struct str public)
{
	struct admin_key *k;
	struct admin_job *j = ask_find(a, ask, &k);

	if (j == NULL)
		return;
	is_ok = is_ok && sealed.n > 0 && public.n > 0 && buf_put(&k->sealed, sealed) == ST_OK && buf_put(&k->public, public) == ST_OK;
	k->state = is_ok ? ADMIN_KEY_MADE : ADMIN_KEY_FAILED;
	keys_end(j);
}

static struct admin_job *
asked_find(struct admin *a)
{
	for (struct admin_job *j = a->jobs; j != NULL; j = j->next)
		if (any_has(j, ADMIN_KEY_ASKED) && !j->keys.is_asking)
			return j;
	return NULL;
}

void
admin_keys_lost(struct admin *a)
{
	struct admin_job *j;

	while ((j = asked_find(a)) != NULL) {
		for (size_t i = 0; i < j->keys.n; i++)
			if (j->keys.key[i].state == ADMIN_KEY_ASKED)
				j->keys.key[i].state = ADMIN_KEY_FAILED;
		keys_end(j);
	}
}

enum status
admin_keys_put(struct txn *t, struct admin_job *j)
{
	enum status st = ST_OK;

	for (size_t i = 0; i < j->keys.n && st == ST_OK; i++) {
		const struct admin_key *k = &j->keys.key[i];

		st = directory_dkim_put(t, j->operands[0],
		    &(struct dkim_key_record){.algorithm = k->algorithm, .state = DKIM_KEY_ACTIVE, .created_ms = admin_now_ms(j->admin),
			.selector = str_of(k->selector, k->selector_n), .sealed = buf_str(&k->sealed), .public = buf_str(&k->public)});
	}
	return st;
}

/* ---- commands ---- */

/* A domain that is there, or cannot be, needs no keys: its transaction says what is to be said. */
void
admin_domain_add_run(struct admin_job *j)
{
	struct directory_domain_name name;
	struct domain d;
	enum status st = directory_domain_parse(j->operands[0], &name, NULL);

	if (st == ST_OK && directory_domain_get(store_snapshot(j->admin->store), j->operands[0], &d) == ST_NOTFOUND)
		st = keys_plan(j);
	if (st == ST_OK && j->keys.n > 0)
		keys_make(j);
	else
		admin_job_transact(j);
}

void
admin_domain_alias_run(struct admin_job *j)
{
	struct domain target;

	/* Nothing is made for what will be refused. */
	if (directory_domain_get(store_snapshot(j->admin->store), j->operands[1], &target) != ST_OK)
		admin_job_transact(j);
	else
		admin_domain_add_run(j);
}

enum status
admin_domain_keys_txn(struct txn *t, void *arg)
{
	struct admin_job *j = arg;
	enum status st = admin_keys_put(t, j);

	if (st == ST_NOTFOUND)
		(void)buf_put(&j->why, STR("this domain is not here"));
	if (j->keys.n == 0)
		j->said = "{0} has its keys already. `posthorn domain keys {0}` shows them.";
	return st;
}

static void
key_row(struct admin_job *j, const struct dkim_key_record *k)
{
	struct buf *out = &j->out;

	(void)buf_put_c(out, '{');
	admin_member_put(out, "selector", k->selector);
	admin_member_put(out, "algorithm", dkim_algorithm_name(k->algorithm));
	admin_member_put(out, "state", k->state == DKIM_KEY_ACTIVE ? STR("active") : STR("retired"));
	admin_member_stamp_put(out, "made", k->created_ms);
	(void)buf_put_c(out, '}');
}

static void
keys_list(struct admin_job *j)
{
	struct dkim_key_record *keys;
	size_t n;
	enum status st;

	arena_reset(&j->admin->arena);
	st = directory_dkim_list(store_snapshot(j->admin->store), j->operands[0], &j->admin->arena, &keys, &n);
	if (st != ST_OK) {
		admin_job_end(j, st);
		return;
	}
	(void)buf_put(&j->out, STR("{\"columns\":[\"selector\",\"algorithm\",\"state\",\"made\"],\"rows\":["));
	for (size_t i = 0; i < n; i++) {
		(void)buf_put(&j->out, i > 0 ? STR(",") : STR_NULL);
		key_row(j, &keys[i]);
	}
	(void)buf_put_c(&j->out, ']');
	if (n == 0) {
		(void)buf_put(&j->out, STR(",\"message\":"));
		(void)json_put_str(&j->out, STR("Mail of this domain is not signed: `posthorn domain keys DOMAIN --make` makes its keys."));
	}
	(void)buf_put_c(&j->out, '}');
	admin_job_answer(j, 0);
}

void
admin_domain_keys(struct admin_job *j)
{
	struct directory_domain_name name;
	struct domain d;
	enum status st = directory_domain_parse(j->operands[0], &name, &j->why);

	if (st == ST_OK)
		st = directory_domain_get(store_snapshot(j->admin->store), j->operands[0], &d);
	if (st == ST_NOTFOUND)
		(void)buf_putf(&j->why, "domain %.*s is not here", STR_ARG(directory_domain_text(&name)));
	if (st == ST_OK && admin_option(j, "make") != NULL)
		st = keys_plan(j);
	if (st != ST_OK)
		admin_job_end(j, st);
	else if (admin_option(j, "make") != NULL)
		keys_make(j);
	else
		keys_list(j);
}
