/*
 * Fuzz: names and messages of strangers. What is read prints and parses back to itself, stays
 * within its limits, and a message that is refused leaves nothing behind.
 */
#include "base/check.h"
#include "net/dns_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
name_round_trip(struct str text)
{
	struct dns_name name, again;
	struct buf out;

	if (dns_name_parse(text, &name) != ST_OK)
		return;
	CHECK(name.n >= 1 && name.wire[name.n - 1] == 0);
	buf_init(&out, DNS_NAME_TEXT_MAX);
	dns_name_put(&out, &name);
	CHECK(!out.full && dns_name_parse(buf_str(&out), &again) == ST_OK);
	CHECK(again.n == name.n && memcmp(again.wire, name.wire, name.n) == 0);
	buf_fini(&out);
}

static void
answer_check(uint16_t rrtype, struct str rdata)
{
	struct dns_name name;
	struct str pref;

	if (rrtype == DNS_MX)
		CHECK(str_split(rdata, ' ', &pref, &rdata) && pref.n >= 1 && pref.n <= 5);
	if (rrtype == DNS_MX || rrtype == DNS_NS || rrtype == DNS_PTR || rrtype == DNS_CNAME)
		CHECK(dns_name_parse(rdata, &name) == ST_OK);
	if (rrtype == DNS_A || rrtype == DNS_AAAA)
		CHECK(rdata.n >= 2 && rdata.n < 46);
}

static void
message_read(uint16_t rrtype, const struct dns_name *q, struct str packet)
{
	struct buf answers;
	struct str rdata;
	size_t n, seen = 0;
	uint16_t rcode;

	buf_init(&answers, DNS_ANSWERS_BYTES_MAX);
	if (dns_packet_read(packet, rrtype, q, &rcode, &answers, &n) == ST_OK) {
		struct cur c = cur_of(buf_str(&answers));
		CHECK(n <= DNS_ANSWERS_MAX && rcode < 16);
		for (; dns_answer_next(&c, &rdata); seen++)
			answer_check(rrtype, rdata);
		CHECK(cur_at_end(&c) && seen == n);
	} else {
		CHECK(n == 0 && answers.n == 0);
	}
	buf_fini(&answers);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint16_t types[] = {
	    DNS_A, DNS_NS, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA};
	struct str in = str_of(data, n);
	struct dns_name q;

	name_round_trip(in);
	if (n < 1)
		return 0;
	CHECK(dns_name_parse(STR("q.test"), &q) == ST_OK);
	message_read(types[data[0] % 8], &q, str_from(in, 1));
	return 0;
}
