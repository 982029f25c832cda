#include "net/dns_packet.h"

#include <arpa/inet.h>

#include "base/num.h"

enum {
	CLASS_IN = 1,
	QUESTIONS_MAX = 1,
	FLAGS_QR = 0x8000,
	FLAGS_TC = 0x0200,
	FLAGS_RCODE = 0x000f,
};

struct packet {
	struct str all;	    /* what compression pointers point into */
	struct cur answers; /* from the first answer on */
	uint16_t answers_n;
};

struct rr {
	struct dns_name owner;
	uint16_t type, class;
	struct str rdata;
};

bool
dns_rrtype_is_known(uint16_t rrtype)
{
	switch ((enum dns_rrtype)rrtype) {
	case DNS_A:
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
	case DNS_MX:
	case DNS_TXT:
	case DNS_AAAA:
	case DNS_TLSA:
		return true;
	}
	return false;
}

/* ---- names as text ---- */

static bool
byte_is_plain(int b)
{
	return b > 0x20 && b < 0x7f && b != '.' && b != '\\';
}

/* One byte of a label: itself, \DDD or \X (RFC 1035 5.1). */
static bool
label_byte_take(struct cur *c, uint8_t *out)
{
	struct cur try = *c;
	unsigned v = 0;

	if (byte_is_plain(cur_peek(c))) {
		*out = (uint8_t)*c->p;
		cur_skip(c, 1);
		return true;
	}
	if (!cur_char(&try, '\\') || cur_peek(&try) <= 0x20 || cur_peek(&try) >= 0x7f)
		return false;
	if (!char_is_digit((char)cur_peek(&try))) {
		v = (unsigned)cur_peek(&try);
		cur_skip(&try, 1);
	} else {
		for (int i = 0; i < 3; i++, cur_skip(&try, 1)) {
			if (cur_at_end(&try) || !char_is_digit(*try.p))
				return false;
			v = v * 10 + (unsigned)(*try.p - '0');
		}
		if (v > UINT8_MAX)
			return false;
	}
	*out = (uint8_t)v;
	*c = try;
	return true;
}

static enum status
label_take(struct cur *c, struct dns_name *name)
{
	size_t at = name->n, n = 0;
	uint8_t byte;

	while (label_byte_take(c, &byte)) {
		/* The length before, the root label behind. */
		if (n == DNS_LABEL_BYTES_MAX || at + 1 + n + 1 >= DNS_NAME_BYTES_MAX)
			return ST_LIMIT;
		name->wire[at + 1 + n++] = byte;
	}
	if (n == 0)
		return ST_SYNTAX;
	name->wire[at] = (uint8_t)n;
	name->n = (uint8_t)(at + 1 + n);
	return ST_OK;
}

enum status
dns_name_parse(struct str text, struct dns_name *out)
{
	struct cur c = cur_of(text);
	enum status st;

	out->n = 0;
	if (str_eq(text, STR(".")))
		cur_skip(&c, 1);
	else
		do {
			if ((st = label_take(&c, out)) != ST_OK)
				return st;
		} while (cur_char(&c, '.') && !cur_at_end(&c));
	if (!cur_at_end(&c))
		return ST_SYNTAX;
	out->wire[out->n++] = 0;
	return ST_OK;
}

void
dns_name_put(struct buf *out, const struct dns_name *name)
{
	size_t at = 0;

	if (name->wire[0] == 0)
		(void)buf_put_c(out, '.');
	for (size_t n; (n = name->wire[at]) != 0; at += 1 + n) {
		if (at > 0)
			(void)buf_put_c(out, '.');
		for (size_t i = 1; i <= n; i++) {
			uint8_t b = name->wire[at + i];
			if (byte_is_plain(b))
				(void)buf_put_c(out, (char)b);
			else
				(void)buf_putf(out, "\\%03u", b);
		}
	}
}

bool
dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
	/* Lengths are below 64 and so never letters. */
	return str_eq_ci(str_of(a->wire, a->n), str_of(b->wire, b->n));
}

/* ---- the message ---- */

static bool
be16_take(struct cur *c, uint16_t *out)
{
	uint16_t v;

	if (!cur_le16(c, &v))
		return false;
	*out = (uint16_t)(v >> 8 | v << 8);
	return true;
}

/*
 * A name at c, through its compression pointers (RFC 1035 4.1.4). Each pointer must lead to before
 * where the last piece began, so that there is no loop.
 */
static bool
name_take(struct str packet, struct cur *c, struct dns_name *out)
{
	struct cur at = *c;
	size_t piece = (size_t)(c->p - packet.p);
	bool has_jumped = false;
	struct str label;
	uint8_t n, low;

	out->n = 0;
	for (;;) {
		if (!cur_u8(&at, &n))
			return false;
		if (n >= 0xc0) {
			size_t to;
			if (!cur_u8(&at, &low) || (to = (size_t)(n & 0x3f) << 8 | low) >= piece)
				return false;
			if (!has_jumped)
				*c = at;
			has_jumped = true;
			at = cur_of(str_from(packet, to));
			piece = to;
			continue;
		}
		/* 0x40 and 0x80 are no labels any more. */
		if (n > DNS_LABEL_BYTES_MAX || out->n + 1u + n + (n ? 1 : 0) > DNS_NAME_BYTES_MAX ||
		    !cur_take(&at, n, &label))
			return false;
		out->wire[out->n++] = n;
		if (n == 0)
			break;
		memcpy(out->wire + out->n, label.p, n);
		out->n = (uint8_t)(out->n + n);
	}
	if (!has_jumped)
		*c = at;
	return true;
}

static bool
rr_take(struct str packet, struct cur *c, struct rr *rr)
{
	struct str ttl;
	uint16_t n;

	return name_take(packet, c, &rr->owner) && be16_take(c, &rr->type) &&
	       be16_take(c, &rr->class) && cur_take(c, 4, &ttl) && be16_take(c, &n) &&
	       cur_take(c, n, &rr->rdata);
}

/* Up to the first answer. */
static bool
packet_open(struct str bytes, struct packet *p, uint16_t *rcode_out)
{
	struct cur c = cur_of(bytes);
	uint16_t id, flags, questions, authorities, additionals, type, class;
	struct dns_name name;

	if (!be16_take(&c, &id) || !be16_take(&c, &flags) || !be16_take(&c, &questions) ||
	    !be16_take(&c, &p->answers_n) || !be16_take(&c, &authorities) ||
	    !be16_take(&c, &additionals))
		return false;
	if ((flags & FLAGS_QR) == 0 || (flags & FLAGS_TC) != 0 || questions > QUESTIONS_MAX)
		return false;
	if (questions == 1 &&
	    (!name_take(bytes, &c, &name) || !be16_take(&c, &type) || !be16_take(&c, &class)))
		return false;
	p->all = bytes;
	p->answers = c;
	*rcode_out = flags & FLAGS_RCODE;
	return true;
}

/* ---- rdata as text ---- */

static bool
rdata_address_put(struct buf *out, int family, size_t n, struct str rdata)
{
	char text[INET6_ADDRSTRLEN];

	if (rdata.n != n || inet_ntop(family, rdata.p, text, sizeof(text)) == NULL)
		return false;
	(void)buf_put(out, str_of_c(text));
	return true;
}

static bool
rdata_name_put(struct buf *out, struct str packet, struct str rdata, bool has_preference)
{
	/* A cursor on the rdata, which lies within the packet: pointers may leave it backwards, the
	 * name itself not forwards. */
	struct cur c = cur_of(rdata);
	struct dns_name name;
	uint16_t preference;

	if (has_preference) {
		if (!be16_take(&c, &preference))
			return false;
		(void)buf_putf(out, "%u ", preference);
	}
	if (!name_take(packet, &c, &name) || !cur_at_end(&c))
		return false;
	/* Compression shows the spelling of whoever asked; the same question must give the same
	 * answer. */
	for (size_t i = 0; i < name.n; i++)
		if (char_is_alpha((char)name.wire[i]))
			name.wire[i] = (uint8_t)char_lower((char)name.wire[i]);
	dns_name_put(out, &name);
	return true;
}

/* RFC 1035 3.3.14; joined without anything between (RFC 7208 3.3, RFC 6376 3.6.2.2). */
static bool
rdata_txt_put(struct buf *out, struct str rdata)
{
	struct cur c = cur_of(rdata);
	struct str s;
	uint8_t n;

	if (cur_at_end(&c))
		return false;
	while (cur_u8(&c, &n)) {
		if (!cur_take(&c, n, &s))
			return false;
		(void)buf_put(out, s);
	}
	return true;
}

static bool
rdata_put(struct buf *out, struct str packet, const struct rr *rr)
{
	switch ((enum dns_rrtype)rr->type) {
	case DNS_A:
		return rdata_address_put(out, AF_INET, 4, rr->rdata);
	case DNS_AAAA:
		return rdata_address_put(out, AF_INET6, 16, rr->rdata);
	case DNS_MX:
		return rdata_name_put(out, packet, rr->rdata, true);
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		return rdata_name_put(out, packet, rr->rdata, false);
	case DNS_TXT:
		return rdata_txt_put(out, rr->rdata);
	case DNS_TLSA:
		(void)buf_put(out, rr->rdata);
		return true;
	}
	return false;
}

/* With its length before it. */
static enum status
answer_put(struct buf *out, struct str packet, const struct rr *rr)
{
	size_t at = out->n, n;

	(void)buf_put(out, str_of("\0\0", 2));
	if (out->full)
		return ST_LIMIT;
	if (!rdata_put(out, packet, rr))
		return ST_SYNTAX;
	n = out->n - at - 2;
	if (out->full || n > UINT16_MAX)
		return ST_LIMIT;
	le16_put(out->p + at, (uint16_t)n);
	return ST_OK;
}

/* One look over the answers for records at `owner`; *next_out: where its CNAME leads. */
static enum status
answers_collect(const struct packet *p, uint16_t rrtype, const struct dns_name *owner,
    struct buf *answers, size_t *answers_n, bool *has_next_out, struct dns_name *next_out)
{
	struct cur c = p->answers;
	struct rr rr;
	enum status st;

	*has_next_out = false;
	for (uint16_t i = 0; i < p->answers_n; i++) {
		if (!rr_take(p->all, &c, &rr))
			return ST_SYNTAX;
		if (rr.class != CLASS_IN || !dns_name_eq(&rr.owner, owner))
			continue;
		if (rr.type == rrtype) {
			if (*answers_n == DNS_ANSWERS_MAX)
				return ST_LIMIT;
			if ((st = answer_put(answers, p->all, &rr)) != ST_OK)
				return st;
			++*answers_n;
		} else if (rr.type == DNS_CNAME) {
			struct cur target = cur_of(rr.rdata);
			if (!name_take(p->all, &target, next_out) || !cur_at_end(&target))
				return ST_SYNTAX;
			*has_next_out = true;
		}
	}
	return ST_OK;
}

enum status
dns_packet_read(struct str bytes, uint16_t rrtype, const struct dns_name *qname,
    uint16_t *rcode_out, struct buf *answers, size_t *answers_n)
{
	struct dns_name owner = *qname, next;
	struct packet p;
	size_t start = answers->n;
	bool has_next = true;
	enum status st = ST_OK;

	*answers_n = 0;
	if (!packet_open(bytes, &p, rcode_out))
		return ST_SYNTAX;
	for (unsigned links = 0; st == ST_OK && has_next && *answers_n == 0; links++) {
		st = links > DNS_CHAIN_MAX ? ST_LIMIT
					   : answers_collect(&p, rrtype, &owner, answers, answers_n,
						 &has_next, &next);
		if (st == ST_OK && has_next)
			owner = next;
	}
	if (st != ST_OK) {
		answers->n = start;
		*answers_n = 0;
	}
	return st;
}

bool
dns_answer_next(struct cur *c, struct str *rdata_out)
{
	struct cur try = *c;
	uint16_t n;

	if (!cur_le16(&try, &n) || !cur_take(&try, n, rdata_out))
		return false;
	*c = try;
	return true;
}
