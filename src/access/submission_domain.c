#include "access/submission_domain.h"

#include "base/check.h"
#include "base/num.h"
#include "net/dns_packet.h"

void
domain_check_init(struct domain_check *k)
{
	*k = (struct domain_check){.rrtype = DNS_MX};
}

/* RFC 7505 3: one MX, and its host is the root. With others beside it, it means nothing. */
static bool
is_null_mx(struct str answers)
{
	struct cur c = cur_of(answers);
	struct str one, preference, host;

	return cur_str16(&c, &one) && cur_at_end(&c) && str_split(one, ' ', &preference, &host) && str_eq(host, STR("."));
}

enum domain_verdict
domain_check_answer(struct domain_check *k, const struct rec_dns_answer *a)
{
	/* SERVFAIL, bogus, no answer in time: may be gone in an hour, which is what a queue is for. */
	if (a->is_timeout || (a->rcode != DNS_NOERROR && a->rcode != DNS_NXDOMAIN))
		return DOMAIN_OK;
	k->is_there |= a->rcode == DNS_NOERROR;
	if (a->answers.n > 0)
		return k->rrtype == DNS_MX && is_null_mx(a->answers) ? DOMAIN_NULL_MX : DOMAIN_OK;
	/* RFC 5321 5.1: without MX the domain itself is the host. */
	if (k->rrtype == DNS_MX || k->rrtype == DNS_A) {
		k->rrtype = k->rrtype == DNS_MX ? DNS_A : DNS_AAAA;
		return DOMAIN_ASK;
	}
	return k->is_there ? DOMAIN_NO_HOST : DOMAIN_UNKNOWN;
}

struct str
domain_verdict_text(enum domain_verdict v)
{
	static const struct str texts[] = {
	    [DOMAIN_UNKNOWN] = STR_INIT("5.1.2 There is no such domain; is the address spelled right?"),
	    [DOMAIN_NO_HOST] = STR_INIT("5.1.2 No server takes mail for this domain; is the address spelled right?"),
	    [DOMAIN_NULL_MX] = STR_INIT("5.1.10 This domain takes no mail"),	/* RFC 7505 4.1 */
	};

	CHECK(v < COUNT_OF(texts) && texts[v].n > 0);
	return texts[v];
}
