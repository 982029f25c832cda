#include "cli/quickstart.h"

#include <dirent.h>
#include <fts.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/control.h"
#include "roles/parent.h"

void
quickstart_hostname(const struct args *a, struct str domain, struct buf *out)
{
	char name[256] = "";
	struct str own;

	(void)gethostname(name, sizeof(name) - 1);
	own = str_of_c(name);
	if (a->has[OPT_HOSTNAME])
		(void)buf_put(out, a->values[OPT_HOSTNAME]);
	else if (str_find_char(own, '.') < own.n && config_hostname_is_valid(own))
		(void)buf_put(out, own);
	else
		(void)buf_putf(out, "mail.%.*s", STR_ARG(domain));
}

/* Was there something in the store's folder before? Then it is never ours to remove. */
static bool
store_is_there(const struct cmd *c)
{
	char path[PATH_MAX + 16];
	const struct dirent *e;
	bool is = false;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/store", c->dir);
	d = opendir(path);
	while (d != NULL && !is && (e = readdir(d)) != NULL)
		is = e->d_name[0] != '.';
	if (d != NULL)
		(void)closedir(d);
	return is;
}

static void
store_remove(const struct cmd *c)
{
	char path[PATH_MAX + 16];
	char *paths[] = {path, NULL};
	FTS *walk;

	(void)snprintf(path, sizeof(path), "%s/store", c->dir);
	walk = fts_open(paths, FTS_PHYSICAL | FTS_NOSTAT | FTS_NOCHDIR, NULL);
	for (FTSENT *e; walk != NULL && (e = fts_read(walk)) != NULL;) {
		if (e->fts_info == FTS_DP)
			(void)rmdir(e->fts_accpath);
		else if (e->fts_info != FTS_D)
			(void)unlink(e->fts_accpath);
	}
	if (walk != NULL)
		(void)fts_close(walk);
}

/* ---- what is in the store ---- */

/* Takes request. False: shown why. */
static bool
step(struct cmd *c, struct direct *d, json_t *request)
{
	struct reply r = {.exit_code = EXIT_CODE_FAILED};
	bool ok;

	buf_init(&r.json, CMD_ANSWER_BYTES_MAX);
	direct_run(d, request, &r);
	ok = r.exit_code == EXIT_CODE_OK;
	if (!ok)
		(void)cmd_answer(c, r.exit_code, buf_str(&r.json));
	reply_fini(&r);
	json_decref(request);
	return ok;
}

static bool
account_step(struct cmd *c, struct direct *d, const struct quickstart_account *a)
{
	struct buf credential;
	bool ok;

	buf_init(&credential, 8192);
	ok = cmd_credential(c, a->password, &credential) &&
	     step(c, d,
		 json_pack("{s:s, s:[s%], s:s%}", "command", "account add", "operands", a->address.text, (size_t)a->address.n, "credential",
		     credential.p, credential.n));
	if (credential.p != NULL)
		explicit_bzero(credential.p, credential.cap);
	buf_fini(&credential);
	return ok;
}

static bool
postmaster_step(struct cmd *c, struct direct *d, const struct quickstart *q)
{
	struct str domain = q->files.mail_domain;
	const struct directory_address *first = &q->accounts[0].address;
	char postmaster[DIRECTORY_ADDRESS_BYTES_MAX];
	int n = snprintf(postmaster, sizeof(postmaster), "postmaster@%.*s", STR_ARG(domain));

	if (str_eq(directory_address_text(first), str_of(postmaster, (size_t)n)))
		return true;
	return step(c, d,
	    json_pack("{s:s, s:[s, s%]}", "command", "alias add", "operands", postmaster, first->text, (size_t)first->n));
}

static bool
store_fill(struct cmd *c, struct direct *d, const struct quickstart *q)
{
	struct domain domain;
	bool ok = true;

	/* A run that was killed half-way may have come so far. */
	if (directory_domain_get(store_snapshot(d->store), q->files.mail_domain, &domain) != ST_OK)
		ok = step(c, d,
		    json_pack("{s:s, s:[s%]}", "command", "domain add", "operands", q->files.mail_domain.p, q->files.mail_domain.n));
	for (size_t i = 0; ok && i < q->accounts_n; i++)
		ok = account_step(c, d, &q->accounts[i]);
	return ok && postmaster_step(c, d, q);
}

static enum quickstart_result
store_make(struct cmd *c, const struct quickstart *q)
{
	struct account account;
	struct direct d;
	enum quickstart_result result = QUICKSTART_FAILED;

	if (!direct_open(c, true, &d))
		return QUICKSTART_FAILED;
	if (directory_account_find(store_snapshot(d.store), directory_address_text(&q->accounts[0].address), &account) == ST_OK)
		result = QUICKSTART_THERE;
	else if (store_fill(c, &d, q))
		result = QUICKSTART_MADE;
	direct_close(&d);
	if (geteuid() == 0)
		data_chown(c->data_path, role_uid(&c->config->roles, ROLE_STORE));
	return result;
}

/* Two lines: what is wrong, and how to mend it. */
static void
files_refused(const struct cmd *c, struct buf *why)
{
	struct str error, mend;

	str_split(buf_str(why), '\n', &error, &mend);
	mend = str_trim(mend);
	(void)cmd_answer_doc(
	    c, EXIT_CODE_FAILED, json_pack("{s:s%, s:s%}", "error", error.p, error.n, "mend", mend.n > 0 ? mend.p : "", mend.n));
}

enum quickstart_result
quickstart_make(struct cmd *c, const struct quickstart *q)
{
	bool was_there = store_is_there(c), made = false;
	enum quickstart_result result;
	struct buf why;
	enum status st;

	if (control_is_up(c->control_path)) {
		(void)cmd_fail(c, EXIT_CODE_FAILED, "a server runs in this folder already", "`posthorn status` shows it; `posthorn stop` stops it.");
		return QUICKSTART_FAILED;
	}
	buf_init(&why, 2 * PATH_MAX);
	st = quickstart_files_make(&q->files, &made, &why);
	if (st != ST_OK)
		files_refused(c, &why);
	buf_fini(&why);
	if (st != ST_OK)
		return QUICKSTART_FAILED;
	result = store_make(c, q);
	if (result == QUICKSTART_FAILED && made) {
		if (!was_there)
			store_remove(c);
		quickstart_files_remove(&q->files);
	}
	return result;
}
