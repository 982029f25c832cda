/*
 * SASL (RFC 4422): PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), EXTERNAL (RFC 4422 A),
 * SCRAM-SHA-256, SCRAM-SHA-1 and their -PLUS (RFC 5802, RFC 7677), both sides. Pure: decoded
 * messages in, decoded messages out. The protocol does the base64, the "*" that cancels, and TLS
 * before PLAIN; the caller knows users and rights.
 *
 *	sasl_server_init(&s, SASL_PLAIN);
 *	step = has_initial ? sasl_server_step(&s, initial, a, &out) : sasl_server_begin(&s, &out);
 *
 *	SASL_CHALLENGE		send out.challenge (it may be empty), give the answer to
 *				sasl_server_step
 *	SASL_NEED_CREDENTIALS	PLAIN, LOGIN: check out.password, then sasl_server_verdict;
 *				EXTERNAL: look up out.authcid, then sasl_server_verdict;
 *				SCRAM: look up out.authcid, then sasl_server_verifier or _unknown
 *	SASL_OK			done: out.authcid is who it is
 *	SASL_FAIL		done: out.why says why, for the log; never tell the stranger
 *
 * The caller decides whether authcid may act as authzid (empty: as itself) and says no by a verdict
 * of false, or by sasl_server_unknown. SCRAM's last message travels as a challenge and is answered
 * by an empty message, because SMTP, IMAP and POP3 have no room for it in their success reply.
 *
 * Names and passwords come prepared (sasl_prep); compare them byte for byte. Everything in out
 * lives in the arena, which must be the same one (SASL_ARENA_BYTES) for the whole exchange.
 * sasl_server_fini wipes password and keys; call it before the arena ends.
 */
#ifndef POSTHORN_STANDARDS_SASL_SASL_H
#define POSTHORN_STANDARDS_SASL_SASL_H

#include "standards/sasl/scram.h"

enum sasl_mech {
	SASL_PLAIN,
	SASL_LOGIN,
	SASL_SCRAM_SHA_256,
	SASL_SCRAM_SHA_256_PLUS,
	SASL_SCRAM_SHA_1,
	SASL_SCRAM_SHA_1_PLUS,
	SASL_EXTERNAL,
};
#define SASL_MECHS (SASL_EXTERNAL + 1)

/* "SCRAM-SHA-256". Static. */
struct str sasl_mech_name(enum sasl_mech mech);
/* Any case; ST_UNSUPPORTED for another name. */
enum status sasl_mech_parse(struct str name, enum sasl_mech *out) MUST_USE;
bool sasl_mech_is_scram(enum sasl_mech mech);
/* One of the two -PLUS: needs a channel that can be bound to. */
bool sasl_mech_has_plus(enum sasl_mech mech);
/* Of the four SCRAM mechanisms. */
enum scram_hash sasl_mech_hash(enum sasl_mech mech);

enum sasl_step { SASL_CHALLENGE, SASL_NEED_CREDENTIALS, SASL_OK, SASL_FAIL };

struct sasl_out {
	struct str challenge;
	struct str authcid;	  /* who proves it */
	struct str authzid;	  /* as whom to act; empty: the same */
	struct str password;	  /* PLAIN and LOGIN; wiped by sasl_server_verdict */
	struct str password_sent; /* the same before its preparation */
	const char *why; /* SASL_FAIL: a word for the log, one of RFC 5802's server-error-values */
};

/* The channel's binding (RFC 5056); type empty when there is none to offer. */
struct sasl_binding {
	struct str type; /* "tls-exporter" (RFC 9266), "tls-server-end-point" (RFC 5929 4) */
	struct str data; /* at most SASL_BINDING_BYTES_MAX */
};

/* What SCRAM needs besides; borrowed for the whole exchange. */
struct sasl_scram {
	struct str nonce;  /* printable without ',', fresh for each exchange: sasl_nonce */
	struct str secret; /* server: salts of unknown users; the same over restarts */
	/*
	 * A server gives all it has, and the client's "p=type" picks; when there is one, -PLUS is
	 * offered and a client's "y" refused. A client gives one, the first.
	 */
	struct sasl_binding bindings[SASL_BINDINGS_MAX];
	uint32_t iterations; /* server: told for unknown users; the usual ones of the others */
};

/* base64 of random bytes, which are printable and have no ','. */
void sasl_nonce(const uint8_t random[SCRAM_NONCE_RANDOM_BYTES], char out[SCRAM_NONCE_SERVER_MIN]);

enum sasl_server_state {
	SASL_SERVER_FIRST,
	SASL_SERVER_PASSWORD,
	SASL_SERVER_WAIT_VERDICT,
	SASL_SERVER_WAIT_VERIFIER,
	SASL_SERVER_FINAL,
	SASL_SERVER_EMPTY,
	SASL_SERVER_DONE,
};

struct sasl_server {
	enum sasl_mech mech;
	enum sasl_server_state state;
	struct sasl_scram scram;
	struct str authcid, authzid;		  /* in the arena */
	struct str password, password_sent;	  /* in the arena */
	struct str gs2_header, client_first_bare; /* in the arena */
	struct sasl_binding binding;		  /* the one that the client picked; borrowed */
	const struct str *proven;		  /* borrowed */
	size_t proven_n;
	struct str nonce, server_first; /* in the arena */
	struct scram_verifier verifier;
	bool is_known;
};

void sasl_server_init(struct sasl_server *s, enum sasl_mech mech);
void sasl_server_fini(struct sasl_server *s);
/* For the SCRAM mechanisms, between init and the first step. */
void sasl_server_scram(struct sasl_server *s, const struct sasl_scram *scram);
/*
 * For EXTERNAL, between init and the first step: the names that the connection proved, by a
 * client's certificate for instance, the preferred one first; at least one, at most
 * SASL_PROVEN_MAX, each at most SASL_NAME_BYTES_MAX. Borrowed for the whole exchange. out.authcid
 * is one of them.
 */
void sasl_server_external(struct sasl_server *s, const struct str *names, size_t names_n);
/* There was no initial response: the first challenge. */
enum sasl_step sasl_server_begin(struct sasl_server *s, struct sasl_out *out);
enum sasl_step sasl_server_step(
    struct sasl_server *s, struct str client_bytes, struct arena *a, struct sasl_out *out);
/* May begin or step be called now? For who is told by another process what comes next. */
bool sasl_server_is_waiting(const struct sasl_server *s);
/* After SASL_NEED_CREDENTIALS. */
enum sasl_step sasl_server_verdict(struct sasl_server *s, bool ok, struct sasl_out *out);
/* Copies v, which is for the hash of the mechanism. */
enum sasl_step sasl_server_verifier(
    struct sasl_server *s, const struct scram_verifier *v, struct arena *a, struct sasl_out *out);
/*
 * No such user, or none that may: goes on with a salt that is the same each time for the same name,
 * and fails at the end like a wrong password.
 */
enum sasl_step sasl_server_unknown(struct sasl_server *s, struct arena *a, struct sasl_out *out);

struct sasl_client {
	enum sasl_mech mech;
	int step;
	struct sasl_scram scram;
	struct str authcid, authzid, password;	  /* borrowed */
	struct str gs2_header, client_first_bare; /* in the arena */
	uint8_t server_signature[SCRAM_KEY_BYTES];
};

/*
 * Borrows all; authzid may be empty. For SCRAM scram is needed (nonce, bindings[0] for -PLUS), else
 * NULL. EXTERNAL has neither authcid nor password.
 */
void sasl_client_init(struct sasl_client *c, enum sasl_mech mech, struct str authcid,
    struct str authzid, struct str password, const struct sasl_scram *scram);
/*
 * The first call (server_bytes empty) gives the initial response; LOGIN has none and says so by an
 * empty one. SASL_CHALLENGE: send out->challenge. SASL_OK: send it too (it is empty); for SCRAM the
 * server has then proved that it knows the password. SASL_FAIL: cancel.
 */
enum sasl_step sasl_client_step(
    struct sasl_client *c, struct str server_bytes, struct arena *a, struct sasl_out *out);

/*
 * SASLprep (RFC 4013) into a. A query may hold code points unassigned in Unicode 3.2, a stored
 * string may not. ST_SYNTAX: no UTF-8, a prohibited character, mixed directions, or nothing left.
 * ST_LIMIT: the arena. Text in ASCII never needs ICU.
 */
enum sasl_prep_use { SASL_PREP_QUERY, SASL_PREP_STORED };
enum status sasl_prep(
    struct str in, enum sasl_prep_use use, struct arena *a, struct str *out) MUST_USE;
/*
 * Loads ICU's tables and libcrypto's algorithms, which open files at their first use: call it
 * before a sandbox. ST_UNSUPPORTED: ICU has no tables (then only ASCII can be prepared) or
 * libcrypto not the two hashes.
 */
enum status sasl_load(void);

#endif
