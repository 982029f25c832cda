/*
 * Mail addresses as the envelope has them: Path and Mailbox of RFC 5321 4.1.2, with the UTF-8 local
 * parts and U-labels of RFC 6531. Header address lists (RFC 5322) are another grammar and another
 * library.
 *
 * Parsing borrows: nothing is copied, nothing is changed. Local parts keep their quotes and domains
 * their case; the form that two spellings of one mailbox share is made by address_normalise.
 * Everything here returns ST_OK; ST_SYNTAX (not an address); ST_LIMIT (grammatical, but longer than
 * limits.h allows); ST_UNSUPPORTED (an address literal of a kind nobody registered, or UTF-8 where
 * allow_utf8 is false). What fails has no effect on the cursor and leaves the output untouched.
 */
#ifndef POSTHORN_STANDARDS_ADDRESS_ADDRESS_H
#define POSTHORN_STANDARDS_ADDRESS_ADDRESS_H

#include "base/buf.h"
#include "base/cur.h"
#include "standards/address/limits.h"

struct address {
	struct str local;  /* as sent, quotes and backslashes kept; borrowed */
	struct str domain; /* as sent, a literal with its brackets; borrowed. Both empty: the null
			      path <> */
	bool is_literal;   /* domain is [1.2.3.4] or [IPv6:...] */
	bool is_utf8;	   /* a byte over 127 in local or domain: needs SMTPUTF8 */
	bool is_quoted;	   /* local is a quoted-string */
};

/*
 * Takes "<...>" from c. A source route ("<@a,@b:user@c>") is accepted and dropped (RFC 5321 4.1.2,
 * appendix C). The null path "<>" is ST_SYNTAX unless allow_empty. "<postmaster>" without a domain
 * is the caller's business.
 */
enum status address_path_take(
    struct cur *c, bool allow_empty, bool allow_utf8, struct address *out) MUST_USE;
/* s as a whole is one mailbox, without brackets. */
enum status address_parse(struct str s, bool allow_utf8, struct address *out) MUST_USE;
/* s as a whole is a Domain (no literal). Only the grammar: whether U-labels are good IDNA shows in
 * address_normalise. */
enum status address_domain_check(struct str s, bool allow_utf8) MUST_USE;

/*
 * Appends the form used as a key: every spelling of a mailbox gives the same bytes, and the result
 * parses and normalises to itself. Local part unquoted where quoting is needless, else quoted with
 * the fewest backslashes; ASCII letters lower-cased, so local parts are compared without case here
 * (RFC 5321 2.4 leaves that to the host that owns them; never send the normal form on for another
 * host's mailbox). Letters beyond ASCII are compared as sent. Domain lower-cased, U-labels as
 * A-labels, an IPv6 literal as RFC 5952 writes it. The null path gives nothing. ST_SYNTAX when the
 * domain is no IDNA2008 name, ST_LIMIT when the A-labels make it too long or out is full.
 */
enum status address_normalise(const struct address *a, struct buf *out) MUST_USE;
/* Appends only the domain of that form. */
enum status address_domain_normalise(struct str domain, struct buf *out) MUST_USE;

/*
 * "base+detail" at the first delimiter that is not the first character (RFC 5233 calls them :user
 * and :detail). False, with base = local, when there is none. Give the local part of a normal form;
 * a quoted one is never split.
 */
bool address_subaddress_split(
    struct str local, char delimiter, struct str *base_out, struct str *detail_out);

#endif
