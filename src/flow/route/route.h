/*
 * Where mail for an address goes: to accounts of this server, or back with a sentence.
 *
 * In this order: the address itself (account or alias), without its +detail, the domain's
 * catch-all; a domain alias is followed first. Aliases of aliases are followed each once, so that
 * loops end; deeper than ROUTE_DEPTH_MAX is refused rather than cut. Targets that do not exist and
 * accounts that are disabled are left out of an alias as long as one remains. postmaster always
 * leads somewhere where there is an account at all (RFC 5321 4.5.1).
 */
#ifndef POSTHORN_FLOW_ROUTE_ROUTE_H
#define POSTHORN_FLOW_ROUTE_ROUTE_H

#include "directory/directory.h"

/* Of aliases: lists of lists of lists are people's, deeper ones accidents. */
#define ROUTE_DEPTH_MAX 8
/* Of one address: with heads of 4 KB their delivery fits one transaction five times over. */
#define ROUTE_ACCOUNTS_MAX 200
/* Of targets and domains, before it is given up. */
#define ROUTE_LOOKUPS_MAX 2000

enum route_verdict {
	ROUTE_OK,
	ROUTE_UNKNOWN_USER,
	ROUTE_NOT_LOCAL,
	ROUTE_DISABLED,
	ROUTE_OVER_QUOTA,
	ROUTE_TOO_MANY, /* accounts, look-ups, or aliases in each other */
};

struct route_target {
	struct account_id account;
	struct directory_address
	    address; /* final: the account's; with the +detail when it was addressed itself */
};

/* About 70 KB: not for the stack of a callback that nests; one per role will do. */
struct route {
	enum route_verdict verdict;
	/* For verdicts other than ROUTE_OK: the reply, made once, here. Static storage. */
	uint16_t code;
	struct str enhanced;
	struct str text;
	size_t n;
	struct route_target targets[ROUTE_ACCOUNTS_MAX];
};

/*
 * local and domain as the envelope has them, in any spelling; an empty domain with local
 * "postmaster" is <postmaster>. delimiter: of subaddresses, 0 for none. Reads only: a snapshot will
 * do. Other statuses than ST_OK are the store's failures: answer 451.
 */
enum status route_resolve(
    struct txn *t, struct str local, struct str domain, char delimiter, struct route *out) MUST_USE;

#endif
