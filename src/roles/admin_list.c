/* Lists: a page per turn of the loop, in the order of the names. */
#include "base/check.h"
#include "base/enc.h"
#include "mailbox/mailbox.h"
#include "roles/admin_internal.h"

void
admin_list_open(struct admin_job *j, const char *opening, admin_step_fn *step)
{
	(void)buf_put(&j->out, str_of_c(opening));
	j->list.step = step;
}

enum status
admin_row_begin(struct admin_job *j)
{
	struct admin_list *l = &j->list;

	l->is_cut = l->rows_n == ADMIN_ROWS_MAX || j->out.n > ADMIN_LIST_BYTES_MAX;
	if (l->is_cut)
		return ST_EOF;
	if (l->rows_n++ > 0)
		(void)buf_put_c(&j->out, ',');
	return ST_OK;
}

static void
list_close(struct admin_job *j)
{
	(void)buf_put_c(&j->out, ']');
	if (j->list.is_cut)
		(void)buf_putf(&j->out, ",\"message\":\"Only the first %zu are shown%s.\"", j->list.rows_n,
		    j->list.hint != NULL ? j->list.hint : "");
	(void)buf_put_c(&j->out, '}');
	admin_job_answer(j, 0);
}

void
admin_list_turn(void *arg)
{
	struct admin_job *j = arg;
	enum status st;

	j->post = (struct loop_id){0};
	do {
		st = j->list.step(j);
	} while (st == ST_OK && j->admin->loop == NULL);
	if (st == ST_OK)
		j->post = loop_post(j->admin->loop, admin_list_turn, j);
	else if (st == ST_EOF)
		list_close(j);
	else
		admin_job_end(j, st);
}

/* ---- domains ---- */

static void
address_or_null_put(struct buf *out, struct str text)
{
	if (text.n > 0)
		(void)json_put_str(out, text);
	else
		(void)buf_put(out, STR("null"));
}

static enum status
domains_step(struct admin_job *j)
{
	struct admin_list *l = &j->list;
	struct domain *page = j->admin->page.domains;
	struct buf *out = &j->out;
	size_t n;
	enum status st =
	    directory_domain_list(store_snapshot(j->admin->store), TENANT_DEFAULT, directory_domain_text(&l->domain), page, ADMIN_PAGE, &n);

	for (size_t i = 0; st == ST_OK && i < n; i++) {
		st = admin_row_begin(j);
		if (st != ST_OK)
			break;
		(void)buf_put(out, STR("{\"domain\":"));
		(void)json_put_str(out, directory_domain_text(&page[i].name));
		(void)buf_put(out, STR(",\"alias_of\":"));
		address_or_null_put(out, directory_domain_text(&page[i].alias_of));
		(void)buf_put(out, STR(",\"catch_all\":"));
		address_or_null_put(out, directory_address_text(&page[i].catch_all));
		(void)buf_put_c(out, '}');
		l->domain = page[i].name;
	}
	return st == ST_OK && n < ADMIN_PAGE ? ST_EOF : st;
}

void
admin_domain_list(struct admin_job *j)
{
	admin_list_open(j, "{\"columns\":[\"domain\",\"alias_of\",\"catch_all\"],\"rows\":[", domains_step);
	admin_list_turn(j);
}

/* ---- accounts and aliases ---- */

static enum status
account_row(struct admin_job *j, struct txn *t, const struct directory_entry *e)
{
	struct account account;
	struct mailbox_usage usage;
	enum status st = directory_account_get(t, e->account, &account);

	if (st == ST_OK)
		st = mailbox_usage(t, e->account, &usage);
	if (st != ST_OK)
		return st == ST_NOTFOUND ? ST_IO : st;
	(void)buf_put(&j->out, STR("{\"address\":"));
	(void)json_put_str(&j->out, directory_address_text(&e->address));
	(void)buf_putf(&j->out, ",\"messages\":%llu,\"size_bytes\":%llu,\"pop3_delete\":%s}", (unsigned long long)usage.messages,
	    (unsigned long long)usage.bytes, account.settings.is_pop3_delete_retrieved ? "true" : "false");
	return ST_OK;
}

static enum status
alias_row(struct admin_job *j, struct txn *t, const struct directory_entry *e)
{
	struct directory_entry again;
	struct cur targets;
	struct str target;
	bool is_first = true;
	enum status st = directory_entry_get(
	    t, directory_address_local(&e->address), directory_address_domain(&e->address), &again, &targets);

	if (st != ST_OK)
		return st == ST_NOTFOUND ? ST_IO : st;
	(void)buf_put(&j->out, STR("{\"alias\":"));
	(void)json_put_str(&j->out, directory_address_text(&e->address));
	(void)buf_put(&j->out, STR(",\"targets\":["));
	while ((st = directory_target_next(&targets, &target)) == ST_OK) {
		(void)buf_put(&j->out, is_first ? STR_NULL : STR(","));
		(void)json_put_str(&j->out, target);
		is_first = false;
	}
	(void)buf_put(&j->out, STR("]}"));
	return st == ST_EOF ? ST_OK : st;
}

/* The next domain; ST_EOF: there is none. */
static enum status
domain_enter(struct admin_job *j)
{
	struct admin_list *l = &j->list;
	struct domain *next = j->admin->page.domains;
	size_t n;
	enum status st;

	if (l->is_one_domain && l->domain.n > 0)
		return ST_EOF;
	if (l->is_one_domain) {
		st = directory_domain_parse(j->operands[0], &l->domain, &j->why);
		if (st == ST_OK)
			st = directory_domain_get(store_snapshot(j->admin->store), j->operands[0], next);
		if (st == ST_NOTFOUND)
			(void)buf_putf(&j->why, "domain %.*s is not here", STR_ARG(directory_domain_text(&l->domain)));
	} else {
		st = directory_domain_list(
		    store_snapshot(j->admin->store), TENANT_DEFAULT, directory_domain_text(&l->domain), next, 1, &n);
		if (st == ST_OK && n == 0)
			return ST_EOF;
		l->domain = next->name;
	}
	l->is_in_domain = st == ST_OK;
	l->last.n = l->last.at = 0;
	return st;
}

static enum status
entries_step(struct admin_job *j)
{
	struct admin_list *l = &j->list;
	struct txn *t = store_snapshot(j->admin->store);
	struct directory_entry *page = j->admin->page.entries;
	size_t n;
	enum status st;

	if (!l->is_in_domain && (st = domain_enter(j)) != ST_OK)
		return st;
	st = directory_entry_list(
	    t, directory_domain_text(&l->domain), l->kinds, directory_address_local(&l->last), page, ADMIN_PAGE, &n);
	for (size_t i = 0; st == ST_OK && i < n; i++) {
		st = admin_row_begin(j);
		if (st == ST_OK)
			st = l->kinds == DIRECTORY_ACCOUNT ? account_row(j, t, &page[i]) : alias_row(j, t, &page[i]);
		l->last = page[i].address;
	}
	l->is_in_domain = n == ADMIN_PAGE;
	return st;
}

static void
entries_list(struct admin_job *j, unsigned kinds, const char *opening)
{
	j->list.kinds = kinds;
	j->list.is_one_domain = j->operands_n > 0;
	j->list.hint = j->list.is_one_domain ? NULL : "; name a domain to see what is in it";
	admin_list_open(j, opening, entries_step);
	admin_list_turn(j);
}

void
admin_account_list(struct admin_job *j)
{
	entries_list(j, DIRECTORY_ACCOUNT, "{\"columns\":[\"address\",\"messages\",\"size_bytes\",\"pop3_delete\"],\"rows\":[");
}

void
admin_alias_list(struct admin_job *j)
{
	entries_list(j, DIRECTORY_ALIAS, "{\"columns\":[\"alias\",\"targets\"],\"rows\":[");
}
