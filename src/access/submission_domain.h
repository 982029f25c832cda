/*
 * Does this domain take mail? What to ask DNS, and what its answers mean (RFC 5321 5.1, RFC 7505). Pure: the caller asks.
 *
 *	domain_check_init(&k); ask for k.rrtype; v = domain_check_answer(&k, &a);
 *	DOMAIN_ASK: ask for k.rrtype, which has changed
 */
#ifndef POSTHORN_ACCESS_SUBMISSION_DOMAIN_H
#define POSTHORN_ACCESS_SUBMISSION_DOMAIN_H

#include "ipc/records.h"

enum domain_verdict {
	DOMAIN_ASK,
	DOMAIN_OK,		/* or nobody can say at the moment */
	DOMAIN_UNKNOWN,		/* there is no such name */
	DOMAIN_NO_HOST,		/* the name is there, but no host behind it */
	DOMAIN_NULL_MX,		/* it takes no mail */
};

struct domain_check {
	uint16_t rrtype;
	bool is_there;	/* one of the answers was no NXDOMAIN */
};

void domain_check_init(struct domain_check *k);
enum domain_verdict domain_check_answer(struct domain_check *k, const struct rec_dns_answer *a);
/* "5.1.2 ..." for a verdict that refuses, all with 550. Static. */
struct str domain_verdict_text(enum domain_verdict v);

#endif
