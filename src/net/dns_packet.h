/*
 * DNS messages and names, as far as a mail server needs them: a name between its two forms, the
 * answers of one response as text. Pure: bytes in, bytes out; knows no resolver.
 *
 * Answers travel everywhere in one shape, the one of the DNS_ANSWER record: for each u16
 * (little-endian) length and the rdata as A, AAAA            the address as text MX "PREFERENCE
 * NAME" ("0 ." is the null MX of RFC 7505) PTR, CNAME, NS     the name TXT                the
 * strings joined, raw bytes TLSA               rdata as on the wire Names are in presentation form
 * without the last dot (the root is "."); a byte that is not printable ASCII, a dot inside a label
 * and a backslash are escaped as \DDD. Answers have them in lower case. They are names, not host
 * names: who needs letters, digits and hyphens checks for that.
 */
#ifndef POSTHORN_NET_DNS_PACKET_H
#define POSTHORN_NET_DNS_PACKET_H

#include "base/buf.h"
#include "base/cur.h"

/* RFC 1035 2.3.4 */
#define DNS_NAME_BYTES_MAX 255
#define DNS_LABEL_BYTES_MAX 63
/* 4 labels hold 250 bytes in a name of 255; each byte escaped is 4, and 3 dots. */
#define DNS_NAME_TEXT_MAX 1003
/* The largest sets met in the field are TXT at busy domains (about 100); more is refused whole,
 * never cut. */
#define DNS_ANSWERS_MAX 256
/* As much as the largest DNS message. */
#define DNS_ANSWERS_BYTES_MAX 65536
/* CNAMEs from the name asked to the data; libunbound itself follows 11. */
#define DNS_CHAIN_MAX 16

enum dns_rrtype {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_TLSA = 52,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};

/* A name as on the wire, uncompressed, with its root label. */
struct dns_name {
	uint8_t wire[DNS_NAME_BYTES_MAX];
	uint8_t n;
};

/* One of enum dns_rrtype: only these can be asked for. */
bool dns_rrtype_is_known(uint16_t rrtype);

/*
 * From presentation form, last dot optional. ST_SYNTAX: empty, an empty label, a broken escape, a
 * byte that is not printable ASCII; ST_LIMIT: a label or the name too long.
 */
enum status dns_name_parse(struct str text, struct dns_name *out) MUST_USE;
/* At most DNS_NAME_TEXT_MAX bytes. */
void dns_name_put(struct buf *out, const struct dns_name *name);
/* ASCII letters in either case are equal. */
bool dns_name_eq(const struct dns_name *a, const struct dns_name *b);

/*
 * Reads one response: its code, and the rdata of all records of rrtype at the end of the chain of
 * CNAMEs that starts at qname (for CNAME itself: at qname). Appends to answers (in the shape above;
 * give it DNS_ANSWERS_BYTES_MAX) and sets *answers_n. No answers and DNS_NOERROR: the name has none
 * of that type. Not ST_OK: nothing was appended; ST_SYNTAX a malformed or truncated message,
 * ST_LIMIT more answers or links than the limits.
 */
enum status dns_packet_read(struct str packet, uint16_t rrtype, const struct dns_name *qname,
    uint16_t *rcode_out, struct buf *answers, size_t *answers_n) MUST_USE;

/* The next answer, borrowed; false at the end and when what is left is malformed (then
 * !cur_at_end). */
bool dns_answer_next(struct cur *c, struct str *rdata_out);

#endif
