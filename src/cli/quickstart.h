/* Making a server: files, then what must be in its store. For quickstart and the demo. */
#ifndef POSTHORN_CLI_QUICKSTART_H
#define POSTHORN_CLI_QUICKSTART_H

#include "cli/cmd.h"
#include "cli/quickstart_files.h"
#include "directory/directory.h"

struct quickstart_account {
	struct directory_address address;
	const struct password *password;
};

/* All accounts in files.mail_domain; postmaster becomes an alias of the first. Borrows everything. */
struct quickstart {
	struct quickstart_files files;
	const struct quickstart_account *accounts;
	size_t accounts_n;
};

enum quickstart_result {
	QUICKSTART_FAILED,	/* said so, and what was made is removed again */
	QUICKSTART_MADE,
	QUICKSTART_THERE,	/* the same server, with the first account, was there already */
};

/* Afterwards the configuration of c is loaded. */
enum quickstart_result quickstart_make(struct cmd *c, const struct quickstart *q);
/* Does nothing but fill: --hostname, else this host's full name, else mail. and the domain. */
void quickstart_hostname(const struct args *a, struct str domain, struct buf *out);

#endif
