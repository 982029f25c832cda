/*
 * DKIM signatures (RFC 6376, with RFC 8301 and RFC 8463): the signer's half. Pure, and without any
 * private key: it says which 32 bytes are to be signed, somebody else signs them (dkim_key.h, in
 * the one process that has keys), and it makes the header field of the answer.
 *
 *	struct dkim_body b;
 *	dkim_body_init(&b, DKIM_RELAXED);
 *	while (more)
 *		dkim_body_put(&b, bytes);
 *	dkim_body_end(&b, body_hash);
 *	dkim_sign_begin(&s, &conf, header, body_hash, a, digest);
 *	... signature of digest ...
 *	dkim_sign_end(&s, signature, &out);	the field, to be put in front of the header
 *
 * One body hash serves any number of signatures of the same body canonicalisation. The message is
 * what goes over the wire, before dots are stuffed, lines ended by CRLF; a bare CR or LF is hashed
 * as the byte it is.
 */
#ifndef POSTHORN_STANDARDS_DKIM_DKIM_H
#define POSTHORN_STANDARDS_DKIM_DKIM_H

#include "base/arena.h"
#include "base/buf.h"
#include "standards/dkim/limits.h"

/* SHA-1 is not there: RFC 8301 3.1 forbids it. Stored in records: append only. */
enum dkim_algorithm { DKIM_RSA_SHA256 = 1, DKIM_ED25519_SHA256 = 2 };
enum dkim_canon { DKIM_RELAXED, DKIM_SIMPLE };

#define DKIM_HASH_BYTES 32 /* SHA-256 */

/* "rsa-sha256", as in a=. Static. */
struct str dkim_algorithm_name(enum dkim_algorithm algorithm);

/* Fetches SHA-256 from libcrypto, which opens files: once, before a sandbox and before threads. */
void dkim_preload(void);

/* Private: bytes on their way into SHA-256, small pieces joined. */
struct dkim_hash {
	struct evp_md_ctx_st *ctx;
	size_t staged_n;
	char stage[1024];
};

struct dkim_body {
	enum dkim_canon canon;
	struct dkim_hash hash;
	uint64_t crlf_n; /* line ends seen that count only if something follows */
	bool has_wsp;	 /* white space seen that counts only if something follows on the line */
	bool has_cr;	 /* the last byte was CR; LF may follow */
	bool has_text;	 /* something was hashed */
};

/* Holds memory of libcrypto until dkim_body_end or dkim_body_fini. */
void dkim_body_init(struct dkim_body *b, enum dkim_canon canon);
/* The next bytes of the body, cut anywhere. */
void dkim_body_put(struct dkim_body *b, struct str bytes);
/* The body hash, the value of bh=. */
void dkim_body_end(struct dkim_body *b, uint8_t out[DKIM_HASH_BYTES]);
/* Gives up a body whose hash nobody needs; nothing to do after dkim_body_end. */
void dkim_body_fini(struct dkim_body *b);

/* All borrowed for the call of dkim_sign_begin. */
struct dkim_sign_conf {
	struct str domain;   /* d=: two labels or more, in ASCII (A-labels) */
	struct str selector; /* s= */
	enum dkim_algorithm algorithm;
	enum dkim_canon header_canon;
	enum dkim_canon body_canon; /* as the body was hashed */
	uint64_t time_s;	    /* t=, seconds since 1970 */
	uint64_t expires_s;	    /* x= is so long after t=; 0: none */
	struct str identity;	    /* i=, "[local]@domain-or-subdomain"; empty: none */
	/*
	 * h= as it shall be written, e.g. "from : to : from"; with From. Empty, which is the rule:
	 * the fields that matter to a reader (sign.c has the list), each as often as it is there,
	 * and From, To, Subject, Date and Message-ID once more, so that nobody can add another one.
	 */
	struct str headers;
};

struct dkim_sign {
	enum dkim_algorithm algorithm;
	struct str field; /* up to "b=", in the arena */
	size_t column;	  /* of its last line */
};

/*
 * header: all fields of the message, each with its CRLF, without the empty line; borrowed for the
 * call. Lines that belong to no field are passed over. digest_out is what is to be signed, by
 * either algorithm (RFC 8463 3). The arena (DKIM_ARENA_BYTES is enough) must live until
 * dkim_sign_end.
 *
 * ST_NOTFOUND: the message has no From. ST_LIMIT: more than DKIM_FIELDS_MAX fields or
 * DKIM_HEADERS_MAX names, a value too long, the arena. ST_SYNTAX: a value of conf that cannot stand
 * in the field (a domain with UTF-8, an identity of another domain, a list without From).
 */
enum status dkim_sign_begin(struct dkim_sign *s, const struct dkim_sign_conf *conf,
    struct str header, const uint8_t body_hash[DKIM_HASH_BYTES], struct arena *a,
    uint8_t digest_out[DKIM_HASH_BYTES]) MUST_USE;
/*
 * Appends "DKIM-Signature: ...\r\n", folded at 76 columns, for the raw signature of the digest.
 * ST_LIMIT: a signature of a length that the algorithm does not have, or out is full; out is then
 * unchanged.
 */
enum status dkim_sign_end(
    const struct dkim_sign *s, struct str signature, struct buf *out) MUST_USE;

/*
 * Appends the value of the TXT record: "v=DKIM1; k=rsa; p=...". The public key of RSA is a
 * SubjectPublicKeyInfo in DER, that of Ed25519 its 32 bytes. The record of a key of 2,048 bits is
 * longer than the 255 bytes of one character-string; who writes a zone splits it (RFC 6376
 * 3.6.2.2). ST_SYNTAX: no key of that algorithm. ST_LIMIT: out is full. out is then unchanged.
 */
enum status dkim_record_put(
    struct buf *out, enum dkim_algorithm algorithm, struct str public_key) MUST_USE;
/* Appends the name of that record, "s1._domainkey.example.org". ST_SYNTAX and ST_LIMIT: no such
 * names, out unchanged. */
enum status dkim_record_name(struct str selector, struct str domain, struct buf *out) MUST_USE;

#endif
