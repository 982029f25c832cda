/* Commands on domains, accounts and aliases. */
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "mailbox/mailbox.h"
#include "roles/admin_internal.h"

/* ---- domains ---- */

enum status
admin_domain_add(struct txn *t, void *arg)
{
	struct admin_job *j = arg;

	enum status st = directory_domain_add(t, TENANT_DEFAULT, j->operands[0], &j->why);

	return st == ST_OK ? admin_keys_put(t, j) : st;
}

enum status
admin_domain_remove(struct txn *t, void *arg)
{
	struct admin_job *j = arg;

	return directory_domain_remove(t, j->operands[0], &j->why);
}

/* A domain that is not here yet is made on the way. */
enum status
admin_domain_alias(struct txn *t, void *arg)
{
	struct admin_job *j = arg;
	struct domain d;
	enum status st = directory_domain_get(t, j->operands[0], &d);

	if (st == ST_NOTFOUND)
		st = directory_domain_add(t, TENANT_DEFAULT, j->operands[0], &j->why);
	if (st == ST_OK)
		st = admin_keys_put(t, j);
	return st == ST_OK ? directory_domain_alias(t, j->operands[0], j->operands[1], &j->why) : st;
}

enum status
admin_domain_catch_all(struct txn *t, void *arg)
{
	struct admin_job *j = arg;
	bool is_none = str_eq(j->operands[1], STR("none"));

	if (is_none)
		j->said = "Mail for addresses of {0} that do not exist is refused.";
	return directory_domain_catch_all(t, j->operands[0], is_none ? STR_NULL : j->operands[1], &j->why);
}

/* ---- accounts ---- */

static enum status
credential_needed(struct admin_job *j)
{
	(void)buf_put(&j->why, STR("the request brings no password"));
	return ST_SYNTAX;
}

enum status
admin_account_add(struct txn *t, void *arg)
{
	struct admin_job *j = arg;
	struct account_settings settings = {0};
	const char *pop3_delete = admin_option(j, "pop3-delete");
	struct account_id id;

	if (!j->has_credential)
		return credential_needed(j);
	settings.is_pop3_delete_retrieved = pop3_delete != NULL && strcmp(pop3_delete, "yes") == 0;
	return directory_account_add(t, j->operands[0], &j->credential, &settings, &id, &j->why);
}

enum status
admin_account_password(struct txn *t, void *arg)
{
	struct admin_job *j = arg;
	struct account account;
	enum status st;

	if (!j->has_credential)
		return credential_needed(j);
	st = directory_account_find(t, j->operands[0], &account);
	if (st == ST_NOTFOUND)
		(void)buf_put(&j->why, STR("there is no such account"));
	return st == ST_OK ? directory_account_set_credential(t, account.id, &j->credential) : st;
}

/* ---- removing an account, transaction after transaction ---- */

static void remove_go(void *arg);

static enum status
remove_step_txn(struct txn *t, void *arg)
{
	struct admin_job *j = arg;

	return mailbox_account_remove_step(t, j->account, &j->is_last_step);
}

/* The account is gone already; what is left of its mail waits for room, or for the next start. */
static void
remove_wait(struct admin_job *j)
{
	admin_done_fn *done = j->done;

	if (done != NULL) {
		(void)buf_put(&j->out,
		    STR("{\"message\":\"The account is removed. The store is too full to remove all of its mail now; the rest follows by itself.\"}"));
		done(j->arg, 0, buf_str(&j->out));
		j->done = NULL;
	}
	if (j->admin->loop == NULL)
		admin_job_free(j);
	else
		j->timer = loop_timer_add(j->admin->loop, ADMIN_REMOVE_AGAIN_MS, remove_go, j);
}

static void
remove_end(struct admin_job *j, enum status st)
{
	struct admin *a = j->admin;
	struct account_id id = j->account;

	if (j->done != NULL) {
		admin_job_end(j, st);
		return;
	}
	log_event(st == ST_OK ? LOG_INFO : LOG_ERROR, "account.removal_resumed", LOG_U64("account", id.v),
	    LOG_CSTR("status", status_word(st)));
	admin_job_free(j);
	/* What an earlier run left goes one after the other. */
	admin_removals_resume(a, id);
}

static void
remove_stepped(void *arg, enum status st)
{
	struct admin_job *j = arg;

	if (st == ST_OK && !j->is_last_step)
		remove_go(j);
	else if (st == ST_LIMIT)
		remove_wait(j);
	else
		remove_end(j, st);
}

static void
remove_go(void *arg)
{
	struct admin_job *j = arg;
	enum status st;

	j->timer = (struct loop_id){0};
	st = store_transact(j->admin->store, remove_step_txn, j, remove_stepped, j);
	if (st != ST_OK)
		remove_stepped(j, st);
}

static enum status
remove_begin_txn(struct txn *t, void *arg)
{
	struct admin_job *j = arg;

	buf_reset(&j->why);
	return directory_account_remove_begin(t, j->operands[0], &j->account, &j->why);
}

static void
remove_begun(void *arg, enum status st)
{
	struct admin_job *j = arg;

	if (st == ST_OK)
		remove_go(j);
	else
		admin_job_end(j, st);
}

void
admin_account_remove(struct admin_job *j)
{
	enum status st = store_transact(j->admin->store, remove_begin_txn, j, remove_begun, j);

	if (st != ST_OK)
		admin_job_end(j, st);
}

static bool
is_being_removed(const struct admin *a, struct account_id id)
{
	for (const struct admin_job *j = a->jobs; j != NULL; j = j->next)
		if (j->account.v == id.v)
			return true;
	return false;
}

void
admin_removals_resume(struct admin *a, struct account_id after)
{
	struct account_id id;
	struct admin_job *j;

	do {
		if (directory_removing_next(store_snapshot(a->store), after, &id) != ST_OK)
			return;
		after = id;
	} while (is_being_removed(a, id));
	j = admin_job_new(a, NULL, NULL);
	if (j == NULL)
		return;
	j->account = id;
	remove_go(j);
}

/* ---- aliases ---- */

/* An alias's targets; copied, because they end with the next write. */
struct targets {
	struct directory_address addresses[DIRECTORY_ALIAS_TARGETS_MAX + 1];
	struct str texts[DIRECTORY_ALIAS_TARGETS_MAX + 1];
	size_t n;
};

static bool
targets_have(const struct targets *g, struct str address)
{
	for (size_t i = 0; i < g->n; i++)
		if (str_eq(g->texts[i], address))
			return true;
	return false;
}

static void
targets_put(struct targets *g, struct str address)
{
	struct directory_address *a = &g->addresses[g->n];

	CHECK(g->n <= DIRECTORY_ALIAS_TARGETS_MAX && address.n <= sizeof(a->text));
	memcpy(a->text, address.p, address.n);
	a->n = (uint16_t)address.n;
	g->texts[g->n++] = directory_address_text(a);
}

/* All but `without`. ST_NOTFOUND: there is no such alias. */
static enum status
targets_load(struct txn *t, struct str alias, struct str without, struct targets *out, struct buf *why)
{
	struct directory_address a;
	struct directory_entry e;
	struct cur targets;
	struct str text;
	enum status st = directory_address_parse(alias, &a, why);

	out->n = 0;
	if (st == ST_OK)
		st = directory_entry_get(t, directory_address_local(&a), directory_address_domain(&a), &e, &targets);
	if (st != ST_OK)
		return st;
	if (e.kind != DIRECTORY_ALIAS)
		return ST_NOTFOUND;
	while ((st = directory_target_next(&targets, &text)) == ST_OK) {
		if (out->n == DIRECTORY_ALIAS_TARGETS_MAX)
			return ST_IO;
		if (!str_eq(text, without))
			targets_put(out, text);
	}
	return st == ST_EOF ? ST_OK : st;
}

static enum status
targets_store(struct txn *t, struct str alias, const struct targets *g, struct buf *why)
{
	enum status st = directory_alias_remove(t, alias, why);

	return st == ST_OK && g->n > 0 ? directory_alias_add(t, alias, g->texts, g->n, why) : st;
}

/* A further address for an alias that is there already. */
enum status
admin_alias_add(struct txn *t, void *arg)
{
	struct admin_job *j = arg;
	struct targets g;
	struct directory_address target;
	enum status st = directory_address_parse(j->operands[1], &target, &j->why);

	if (st == ST_OK)
		st = targets_load(t, j->operands[0], STR_NULL, &g, &j->why);
	if (st == ST_NOTFOUND)
		return directory_alias_add(t, j->operands[0], &j->operands[1], 1, &j->why);
	if (st != ST_OK)
		return st;
	if (targets_have(&g, directory_address_text(&target))) {
		(void)buf_put(&j->why, STR("this alias is there already"));
		return ST_EXISTS;
	}
	targets_put(&g, directory_address_text(&target));
	return targets_store(t, j->operands[0], &g, &j->why);
}

enum status
admin_alias_remove(struct txn *t, void *arg)
{
	struct admin_job *j = arg;
	struct targets all, rest;
	struct directory_address target;
	enum status st;

	if (j->operands_n == 1)
		return directory_alias_remove(t, j->operands[0], &j->why);
	st = directory_address_parse(j->operands[1], &target, &j->why);
	if (st == ST_OK)
		st = targets_load(t, j->operands[0], STR_NULL, &all, &j->why);
	if (st == ST_OK)
		st = targets_load(t, j->operands[0], directory_address_text(&target), &rest, &j->why);
	if (st == ST_NOTFOUND || (st == ST_OK && rest.n == all.n)) {
		(void)buf_put(&j->why, st == ST_OK ? STR("the alias does not lead to that address") : STR("there is no such alias"));
		return ST_NOTFOUND;
	}
	j->said = "Mail for {0} is no longer delivered to {1}.";
	return st == ST_OK ? targets_store(t, j->operands[0], &rest, &j->why) : st;
}
