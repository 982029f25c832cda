#include "access/submission_domain.h"
#include "base/num.h"
#include "base/unit.h"
#include "net/dns_packet.h"

/* An answer of the resolver: rcode, data; timeout and bogus by themselves. */
struct said {
	uint16_t rcode;
	const char *data; /* one a line; NULL: none */
	bool is_timeout;
	uint8_t security;
};

static enum domain_verdict
answer(struct domain_check *k, const struct said *said)
{
	struct buf b;
	struct str rest = said->data != NULL ? str_of_c(said->data) : STR_NULL, line;
	enum domain_verdict v;

	buf_init(&b, 1000);
	while (rest.n > 0) {
		(void)str_split(rest, '\n', &line, &rest);
		(void)buf_put_str16(&b, line);
	}
	v = domain_check_answer(k,
	    &(struct rec_dns_answer){
	        .rcode = said->rcode, .is_timeout = said->is_timeout, .security = said->security, .answers = buf_str(&b)});
	buf_fini(&b);
	return v;
}

static void
domains_are_judged(void)
{
	static const struct {
		const char *name;
		struct said mx, a, aaaa;
		uint8_t asked; /* questions until the verdict */
		enum domain_verdict verdict;
	} rows[] = {
	    {"usual", {DNS_NOERROR, "10 mx1.x\n20 mx2.x"}, {0}, {0}, 1, DOMAIN_OK},
	    {"null MX", {DNS_NOERROR, "0 ."}, {0}, {0}, 1, DOMAIN_NULL_MX},
	    {"null MX whatever its preference", {DNS_NOERROR, "10 ."}, {0}, {0}, 1, DOMAIN_NULL_MX},
	    {"a root among others", {DNS_NOERROR, "0 .\n10 mx.x"}, {0}, {0}, 1, DOMAIN_OK},
	    {"address only", {DNS_NOERROR, NULL}, {DNS_NOERROR, "192.0.2.1"}, {0}, 2, DOMAIN_OK},
	    {"v6 only", {DNS_NOERROR, NULL}, {DNS_NOERROR, NULL}, {DNS_NOERROR, "2001:db8::1"}, 3, DOMAIN_OK},
	    {"no such name", {DNS_NXDOMAIN, NULL}, {DNS_NXDOMAIN, NULL}, {DNS_NXDOMAIN, NULL}, 3, DOMAIN_UNKNOWN},
	    {"a name without hosts", {DNS_NOERROR, NULL}, {DNS_NOERROR, NULL}, {DNS_NOERROR, NULL}, 3, DOMAIN_NO_HOST},
	    {"servers at odds", {DNS_NXDOMAIN, NULL}, {DNS_NOERROR, NULL}, {DNS_NXDOMAIN, NULL}, 3, DOMAIN_NO_HOST},
	    {"NXDOMAIN for MX, but a host", {DNS_NXDOMAIN, NULL}, {DNS_NOERROR, "192.0.2.1"}, {0}, 2, DOMAIN_OK},
	    {"SERVFAIL", {DNS_SERVFAIL, NULL}, {0}, {0}, 1, DOMAIN_OK},
	    {"REFUSED", {DNS_REFUSED, NULL}, {0}, {0}, 1, DOMAIN_OK},
	    {"timeout", {DNS_SERVFAIL, NULL, true}, {0}, {0}, 1, DOMAIN_OK},
	    {"bogus", {DNS_SERVFAIL, NULL, false, 2}, {0}, {0}, 1, DOMAIN_OK},
	    {"SERVFAIL later", {DNS_NXDOMAIN, NULL}, {DNS_NXDOMAIN, NULL}, {DNS_SERVFAIL, NULL}, 3, DOMAIN_OK},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		static const uint16_t types[] = {DNS_MX, DNS_A, DNS_AAAA};
		const struct said *said[] = {&rows[i].mx, &rows[i].a, &rows[i].aaaa};
		enum domain_verdict v = DOMAIN_ASK;
		struct domain_check k;
		uint8_t n = 0;

		domain_check_init(&k);
		while (v == DOMAIN_ASK && n < 3) {
			EXPECT(k.rrtype == types[n]);
			v = answer(&k, said[n++]);
		}
		if (v != rows[i].verdict || n != rows[i].asked)
			fprintf(stderr, "%s: %d after %d\n", rows[i].name, (int)v, n);
		EXPECT(v == rows[i].verdict && n == rows[i].asked);
	}
}

static void
refusals_have_their_text(void)
{
	EXPECT(str_has_prefix(domain_verdict_text(DOMAIN_UNKNOWN), STR("5.1.2 ")));
	EXPECT(str_has_prefix(domain_verdict_text(DOMAIN_NO_HOST), STR("5.1.2 ")));
	EXPECT(str_has_prefix(domain_verdict_text(DOMAIN_NULL_MX), STR("5.1.10 ")));
}

int
main(void)
{
	UNIT(domains_are_judged);
	UNIT(refusals_have_their_text);
	return unit_end();
}
