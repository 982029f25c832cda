/*
 * Every record that one role may send another, in one table.
 *
 * A row: R(NAME, name, FROM roles, TO roles). NAME_FIELDS lists the fields in their order on the wire.
 * From the table come the struct (rec_NAME), the encoder, the bounded decoder and the check of who may send what to whom:
 * a record that is malformed, longer than its fields, or not allowed between the two roles closes the
 * link it came by, never the receiver.
 *
 * Field types: u8 u16 u32 u64 (little-endian), str (u32 length, bytes; borrowed from the link's input for the call).
 * Frame: u32 length of the payload, u16 type, u16 RECORD_VERSION, payload.
 */
#ifndef POSTHORN_IPC_RECORDS_H
#define POSTHORN_IPC_RECORDS_H

#include "base/buf.h"
#include "base/cur.h"

#define RECORD_VERSION 1
#define RECORD_HEADER_BYTES 8
/* One inline message body plus its envelope (1,000 recipients of 320 bytes) fits. */
#define RECORD_BYTES_MAX (2u << 20)

enum role_kind {
	ROLE_PARENT,
	ROLE_SMTPIN,
	ROLE_ACCESS,
	ROLE_WORKER,
	ROLE_QUEUE,
	ROLE_STORE,
	ROLE_KEYS,
	ROLE_AUTH,
	ROLE_RESOLVER,
	ROLE_RELAY,
	ROLE_COMMAND,	/* the posthorn command at the control socket */
};
#define ROLE_KINDS (ROLE_COMMAND + 1)

const char *role_kind_name(enum role_kind k);

#define BIT(role) (1u << ROLE_##role)
#define ALL_ROLES \
	(BIT(SMTPIN) | BIT(ACCESS) | BIT(WORKER) | BIT(QUEUE) | BIT(STORE) | BIT(KEYS) | BIT(AUTH) | BIT(RESOLVER) | BIT(RELAY))

#define RECORD_TABLE(R) \
	/* the parent's line to each role */ \
	R(SETTINGS, settings, BIT(PARENT), ALL_ROLES) \
	R(LINK, link, BIT(PARENT), ALL_ROLES) \
	R(LISTENER, listener, BIT(PARENT), BIT(SMTPIN) | BIT(ACCESS) | BIT(QUEUE)) \
	R(CERTIFICATE, certificate, BIT(PARENT), BIT(SMTPIN) | BIT(ACCESS)) \
	R(KEY, key, BIT(PARENT), BIT(KEYS)) \
	R(GO, go, BIT(PARENT), ALL_ROLES) \
	R(STOP, stop, BIT(PARENT), ALL_ROLES) \
	R(STATUS_ASK, status_ask, BIT(PARENT), ALL_ROLES) \
	R(READY, ready, ALL_ROLES, BIT(PARENT)) \
	R(FAILED, failed, ALL_ROLES, BIT(PARENT)) \
	R(STATUS, status, ALL_ROLES, BIT(PARENT)) \
	R(BROKEN, broken, BIT(STORE) | BIT(KEYS) | BIT(AUTH) | BIT(RESOLVER), BIT(PARENT)) \
	/* the command, through queue, to parent or store */ \
	R(COMMAND, command, BIT(COMMAND) | BIT(QUEUE), BIT(QUEUE) | BIT(PARENT) | BIT(STORE)) \
	R(COMMAND_ANSWER, command_answer, BIT(QUEUE) | BIT(PARENT) | BIT(STORE), BIT(COMMAND) | BIT(QUEUE)) \
	/* receiving a message */ \
	R(ROUTE, route, BIT(SMTPIN) | BIT(ACCESS), BIT(STORE)) \
	R(ROUTE_ANSWER, route_answer, BIT(STORE), BIT(SMTPIN) | BIT(ACCESS)) \
	R(STAGE, stage, BIT(SMTPIN) | BIT(ACCESS), BIT(STORE)) \
	R(STAGE_ANSWER, stage_answer, BIT(STORE), BIT(SMTPIN) | BIT(ACCESS)) \
	R(STAGE_DROP, stage_drop, BIT(SMTPIN) | BIT(ACCESS), BIT(STORE)) \
	R(DELIVER, deliver, BIT(SMTPIN) | BIT(ACCESS), BIT(STORE)) \
	R(DELIVER_ANSWER, deliver_answer, BIT(STORE), BIT(SMTPIN) | BIT(ACCESS)) \
	R(SENDER, sender, BIT(ACCESS), BIT(STORE)) \
	R(SENDER_ANSWER, sender_answer, BIT(STORE), BIT(ACCESS)) \
	/* the queue: its durable state is the store's, its schedule the queue's */ \
	R(QUEUE_LOAD, queue_load, BIT(QUEUE), BIT(STORE)) \
	R(QUEUE_LOADED, queue_loaded, BIT(STORE), BIT(QUEUE)) \
	R(QUEUE_ENTRY, queue_entry, BIT(STORE), BIT(QUEUE)) \
	R(QUEUE_RESULT, queue_result, BIT(QUEUE), BIT(STORE)) \
	R(QUEUE_RESULT_ANSWER, queue_result_answer, BIT(STORE), BIT(QUEUE)) \
	R(RELAY, relay, BIT(QUEUE), BIT(RELAY)) \
	R(RELAY_DONE, relay_done, BIT(RELAY), BIT(QUEUE)) \
	R(QUEUE_FETCH, queue_fetch, BIT(RELAY), BIT(STORE)) \
	R(QUEUE_MESSAGE, queue_message, BIT(STORE), BIT(RELAY)) \
	R(QUEUE_READ, queue_read, BIT(RELAY), BIT(STORE)) \
	R(QUEUE_PIECE, queue_piece, BIT(STORE), BIT(RELAY)) \
	R(DIGEST, digest, BIT(STORE), BIT(WORKER)) \
	R(DIGEST_ANSWER, digest_answer, BIT(WORKER), BIT(STORE)) \
	R(NOTICE, notice, BIT(STORE), BIT(WORKER)) \
	R(NOTICE_ANSWER, notice_answer, BIT(WORKER), BIT(STORE)) \
	/* private keys */ \
	R(SIGN, sign, BIT(SMTPIN) | BIT(ACCESS), BIT(KEYS)) \
	R(SIGN_ANSWER, sign_answer, BIT(KEYS), BIT(SMTPIN) | BIT(ACCESS)) \
	R(KEY_MAKE, key_make, BIT(STORE), BIT(KEYS)) \
	R(KEY_MADE, key_made, BIT(KEYS), BIT(STORE)) \
	R(DKIM_SIGN, dkim_sign, BIT(RELAY), BIT(KEYS)) \
	R(DKIM_SIGNED, dkim_signed, BIT(KEYS), BIT(RELAY)) \
	/* passwords and capabilities */ \
	R(LOGIN, login, BIT(ACCESS), BIT(AUTH)) \
	R(SASL, sasl, BIT(ACCESS), BIT(AUTH)) \
	R(LOGIN_END, login_end, BIT(ACCESS), BIT(AUTH)) \
	R(LOGIN_ANSWER, login_answer, BIT(AUTH), BIT(ACCESS)) \
	R(CREDENTIAL, credential, BIT(AUTH), BIT(STORE)) \
	R(CREDENTIAL_ANSWER, credential_answer, BIT(STORE), BIT(AUTH)) \
	R(GRANT, grant, BIT(AUTH), BIT(STORE)) \
	R(GRANT_ANSWER, grant_answer, BIT(STORE), BIT(AUTH)) \
	/* reading mail; each needs a capability */ \
	R(BOX_LIST, box_list, BIT(ACCESS), BIT(STORE)) \
	R(BOX_LIST_ANSWER, box_list_answer, BIT(STORE), BIT(ACCESS)) \
	R(MESSAGE_READ, message_read, BIT(ACCESS), BIT(STORE)) \
	R(MESSAGE_READ_ANSWER, message_read_answer, BIT(STORE), BIT(ACCESS)) \
	R(BOX_EXPUNGE, box_expunge, BIT(ACCESS), BIT(STORE)) \
	R(BOX_EXPUNGE_ANSWER, box_expunge_answer, BIT(STORE), BIT(ACCESS)) \
	R(CAP_DROP, cap_drop, BIT(ACCESS), BIT(STORE)) \
	/* DNS */ \
	R(DNS, dns, BIT(SMTPIN) | BIT(ACCESS) | BIT(QUEUE) | BIT(RELAY), BIT(RESOLVER)) \
	R(DNS_ANSWER, dns_answer, BIT(RESOLVER), BIT(SMTPIN) | BIT(ACCESS) | BIT(QUEUE) | BIT(RELAY))

/*
 * What a role needs to know. No secret but the named exceptions: ticket_seed, only for smtpin and access, and the smart hosts' passwords in
 * relay_routes, only for relay. Sent first, and again (then followed by GO) on reload. *_nets: networks, a line each. trusted_nets may send to other
 * hosts without a login. relay_routes: each u16 length + domain ("*": all others), u16 length + host, u16 port, u8 tls (enum relay_tls),
 * u16 length + user, u16 length + password.
 */
#define SETTINGS_FIELDS(F) \
	F(u8, role) F(u16, index) F(str, hostname) F(str, data_dir) F(str, empty_dir) F(u32, uid) \
	F(u64, message_bytes_max) F(u32, rcpts_max) F(u32, messages_max) F(u32, errors_max) \
	F(u32, connections_max) F(u32, per_address_max) F(u32, per_network_max) F(u8, v4_prefix) F(u8, v6_prefix) \
	F(str, exempt_nets) F(u64, command_timeout_ms) F(u64, data_timeout_ms) F(u64, pop3_timeout_ms) \
	F(u32, guesses_max) F(u64, guess_window_ms) F(u32, scram_iterations) F(u8, scram_sha1) F(u8, delimiter) \
	F(u64, ring_segment_bytes) F(u32, ring_segments_max) F(u64, free_floor_bytes) F(u8, free_floor_percent) \
	F(u64, checkpoint_ms) F(u64, checkpoint_bytes) F(u8, archive_level) \
	F(str, ticket_seed) F(u64, ticket_seed_ms) F(str, forward) F(str, trust_anchor) F(u8, is_tls_13_only) F(u8, log_level) F(u8, log_json) \
	F(u64, greet_delay_ms) F(u64, tarpit_ms) F(str, proxy_nets) F(str, xclient_nets) F(str, trusted_nets) \
	F(str, client_ca_pem) F(u32, submit_messages_per_hour) F(u32, submit_rcpts_per_hour) \
	F(u64, queue_life_ms) F(u64, queue_notice_ms) F(u64, queue_first_ms) F(u64, queue_max_ms) F(u32, trace_days) \
	F(u32, relay_total_max) F(u32, relay_destination_max) F(u16, relay_port) F(u64, relay_idle_ms) F(str, relay_routes)
/* With a descriptor: one end of the line to that peer. */
#define LINK_FIELDS(F) F(u8, role) F(u16, index)
/* With a descriptor. protocol: enum listener_protocol; tls: 0 off, 1 STARTTLS, 2 implicit. */
#define LISTENER_FIELDS(F) F(u8, protocol) F(u8, tls) F(str, name)
#define CERTIFICATE_FIELDS(F) F(u32, key_id) F(str, chain_pem)
/* With a descriptor: the key file, opened by the parent, read only by keys. key_id KEY_ID_MASTER: what seals the keys that are made at run time. */
#define KEY_FIELDS(F) F(u32, key_id)
#define GO_FIELDS(F) F(u8, is_sandboxed)
#define STOP_FIELDS(F) F(u8, is_graceful)
#define STATUS_ASK_FIELDS(F) F(u32, seq)
#define READY_FIELDS(F) F(str, sandbox)
#define FAILED_FIELDS(F) F(str, why)
/* A peer sent what it may not, or nonsense, and its line is closed. Only from those that hold something, about those that meet strangers. */
#define BROKEN_FIELDS(F) F(u8, role) F(u16, index)
#define STATUS_FIELDS(F) F(u32, seq) F(str, json)
/* argv: JSON array of words. json: the answer document. exit: the command's exit code. */
#define COMMAND_FIELDS(F) F(u32, seq) F(str, request_json)
#define COMMAND_ANSWER_FIELDS(F) F(u32, seq) F(u8, exit_code) F(str, json)

/*
 * May this path have mail from this session? From access with the capability of who logged in, from smtpin with is_trusted when the
 * client is in a listed network: both may send to other hosts. code 250: deliverable, to so many accounts, or (is_remote) to another
 * host; else an SMTP refusal with its text ("5.1.1 ...").
 */
#define ROUTE_FIELDS(F) F(u64, session) F(str, cap) F(u8, is_trusted) F(str, path) F(u64, size_bytes)
#define ROUTE_ANSWER_FIELDS(F) F(u64, session) F(u16, code) F(u16, accounts) F(u8, is_remote) F(str, text)
#define STAGE_FIELDS(F) F(u64, session) F(str, bytes)
#define STAGE_ANSWER_FIELDS(F) F(u64, session) F(u32, bytes_n) F(u8, ok)
#define STAGE_DROP_FIELDS(F) F(u64, session)
/* May the account of cap send with this reverse-path (empty: the null path)? */
#define SENDER_FIELDS(F) F(u64, session) F(str, cap) F(str, path)
#define SENDER_ANSWER_FIELDS(F) F(u64, session) F(u16, code) F(str, text)
/*
 * A whole message: to mailboxes here and, when cap or is_trusted allow it, into the queue, in one transaction.
 * rcpts: each u16 length + path, u8 notify (enum envelope_notify), u16 length + orcpt. head: trace lines without Delivered-To.
 * from: the addresses of From and Sender, each u16 length + address (submission: the account must own them). message_id: with its brackets.
 * flags: enum envelope_flags. hold_until_ms, by_ms: wall clock, 0 none. priority: 9 is RFC 6710's 0.
 * is_staged: the body came by STAGE, body is empty. is_each: recipients succeed or fail each for itself (LMTP); else all or none.
 */
#define DELIVER_FIELDS(F) \
	F(u64, session) F(str, cap) F(u8, is_trusted) F(str, reverse_path) F(str, rcpts) F(str, head) F(str, from) F(str, message_id) \
	F(u8, flags) F(u8, ret) F(str, envid) F(u64, hold_until_ms) F(u64, by_ms) F(u8, by_mode) F(u8, priority) F(u8, is_each) \
	F(u8, is_staged) F(str, body)
/* answers: for each recipient u16 code, u16 length + text. */
#define DELIVER_ANSWER_FIELDS(F) F(u64, session) F(str, answers)

/* Tell me every entry from this message on. */
#define QUEUE_LOAD_FIELDS(F) F(u64, from)
/* The page is over; next: where the next one begins, 0: that was all. */
#define QUEUE_LOADED_FIELDS(F) F(u64, next)
/*
 * One message and one destination: how it stands now. rcpts_n 0: nothing is left of it. due_ms: wall clock. Comes for everything new and
 * everything that a command changed.
 */
#define QUEUE_ENTRY_FIELDS(F) \
	F(u64, message) F(str, destination) F(u32, rcpts_n) F(u32, bytes) F(u64, due_ms) F(u32, attempts) F(u8, priority) F(u8, is_held)
/* Try now. */
#define RELAY_FIELDS(F) F(u64, job) F(u64, message) F(str, destination) F(u32, attempts)
/*
 * outcome: enum schedule_outcome. results: each u32 index, u8 verdict (enum queue_verdict), u16 code, 3 u16 enhanced, u16 length + text;
 * a recipient without one waits for another try because of the reason in code .. text of the record itself.
 */
#define RELAY_DONE_FIELDS(F) \
	F(u64, job) F(u8, outcome) F(str, host) F(str, ip) F(str, tls) F(u16, code) F(u16, class) F(u16, subject) F(u16, detail) F(str, text) F(str, results)
/* The same for the store, to be kept: due_ms is the next try of those who wait. */
#define QUEUE_RESULT_FIELDS(F) \
	F(u64, job) F(u64, message) F(str, destination) F(u64, due_ms) F(str, host) F(str, ip) F(str, tls) F(u16, code) F(u16, class) \
	F(u16, subject) F(u16, detail) F(str, text) F(str, results)
#define QUEUE_RESULT_ANSWER_FIELDS(F) F(u64, job) F(u8, ok) F(u32, rcpts_n) F(u64, due_ms) F(u8, is_held)
/* What of this message is due for this destination. */
#define QUEUE_FETCH_FIELDS(F) F(u64, job) F(u64, message) F(str, destination)
/*
 * rcpts: each u32 index, u8 notify, u16 length + path, u16 length + orcpt; none: nothing is due (any more). keys: to sign with, each u8
 * algorithm, u16 length + selector, u16 length + sealed key; signed as sign_domain. body: the first QUEUE_BODY_BYTES of body_bytes.
 */
#define QUEUE_MESSAGE_FIELDS(F) \
	F(u64, job) F(u8, ok) F(str, reverse_path) F(str, rcpts) F(str, head) F(u8, flags) F(u8, ret) F(str, envid) F(u64, by_ms) \
	F(u8, by_mode) F(u8, priority) F(str, sign_domain) F(str, keys) F(u64, body_bytes) F(str, body)
#define QUEUE_READ_FIELDS(F) F(u64, job) F(u64, message) F(u64, off) F(u32, bytes_max)
#define QUEUE_PIECE_FIELDS(F) F(u64, job) F(u8, ok) F(u64, off) F(str, bytes)
/* A body in pieces: off + bytes.n == total marks the last. */
#define DIGEST_FIELDS(F) F(u64, blob) F(u64, total) F(u64, off) F(str, bytes)
#define DIGEST_ANSWER_FIELDS(F) F(u64, blob) F(u8, ok) F(str, record)
/*
 * Make the text of a notice (standards/dsn) about this message. rcpts: as flow/report/notice.h encodes them. original: its first bytes, trace lines
 * first; is_whole: all of it.
 */
#define NOTICE_FIELDS(F) \
	F(u64, ask) F(str, from) F(str, to) F(str, envid) F(str, id) F(u64, arrived_ms) F(u64, now_ms) F(u8, flags) F(u8, ret) F(str, rcpts) \
	F(u8, is_whole) F(str, original)
/* flags: enum envelope_flags of the notice itself. */
#define NOTICE_ANSWER_FIELDS(F) F(u64, ask) F(u8, ok) F(u8, flags) F(str, text)

#define SIGN_FIELDS(F) F(u64, ticket) F(u32, key_id) F(u8, kind) F(u8, op) F(str, input)
#define SIGN_ANSWER_FIELDS(F) F(u64, ticket) F(str, result)
/* A key that signs mail. context: what it is for ("dkim example.org s1"), bound to the sealed form. public: SubjectPublicKeyInfo, or 32 bytes. */
#define KEY_MAKE_FIELDS(F) F(u64, ask) F(u8, algorithm) F(str, context)
#define KEY_MADE_FIELDS(F) F(u64, ask) F(u8, ok) F(str, sealed) F(str, public)
/* signature empty: failed. */
#define DKIM_SIGN_FIELDS(F) F(u64, ticket) F(u8, algorithm) F(str, context) F(str, sealed) F(str, digest)
#define DKIM_SIGNED_FIELDS(F) F(u64, ticket) F(str, signature)

#define LOGIN_FIELDS(F) F(u64, session) F(str, user) F(str, password) F(str, peer) F(u8, is_exempt)
/*
 * protocol: enum login_protocol; with session it names the exchange. Step 0 opens one: mechanism, has_bytes 0 when there was no
 * initial response, what the channel can be bound to (empty: nothing), external: names that a client's certificate proved, one a line.
 */
#define SASL_FIELDS(F) \
	F(u64, session) F(u8, protocol) F(u32, step) F(str, mechanism) F(u8, has_bytes) F(str, bytes) F(str, peer) F(u8, is_exempt) \
	F(str, binding_exporter) F(str, binding_end_point) F(str, external)
#define LOGIN_END_FIELDS(F) F(u64, session) F(u8, protocol)
/* verdict: enum login_verdict. cap: the handle that opens mail of account, whose address is login. protocol as asked (LOGIN: POP3). */
#define LOGIN_ANSWER_FIELDS(F) \
	F(u64, session) F(u8, protocol) F(u8, verdict) F(str, bytes) F(str, cap) F(u8, is_pop3_delete) F(str, text) \
	F(u64, account) F(str, login)
#define CREDENTIAL_FIELDS(F) F(u64, ask) F(str, login)
/* login: the account's address in its normal form. secret: the store's own, kept over restarts, from which the salts of unknown users are made. */
#define CREDENTIAL_ANSWER_FIELDS(F) \
	F(u64, ask) F(u8, found) F(u64, account) F(str, login) F(str, record) F(u8, is_pop3_delete) F(str, secret)
/* Only the access process with this index may use cap. */
#define GRANT_FIELDS(F) F(u64, ask) F(str, cap) F(u64, account) F(u32, rights) F(u16, access_index) F(u64, lifetime_ms)
#define GRANT_ANSWER_FIELDS(F) F(u64, ask) F(u8, ok)

/* A page of INBOX from the from-th message on. page: each u64 message id, u32 uid, u32 size. total: messages in all. */
#define BOX_LIST_FIELDS(F) F(u64, session) F(str, cap) F(u32, from)
#define BOX_LIST_ANSWER_FIELDS(F) \
	F(u64, session) F(u8, ok) F(u32, uidvalidity) F(u32, total) F(u32, from) F(str, page)
#define MESSAGE_READ_FIELDS(F) F(u64, session) F(str, cap) F(u64, message) F(u64, off) F(u32, bytes_max)
#define MESSAGE_READ_ANSWER_FIELDS(F) F(u64, session) F(u8, ok) F(u64, total) F(u64, off) F(str, bytes)
/* uids: u32 each. is_last: the last batch of this session. */
#define BOX_EXPUNGE_FIELDS(F) F(u64, session) F(str, cap) F(str, uids)
#define BOX_EXPUNGE_ANSWER_FIELDS(F) F(u64, session) F(u8, ok) F(u32, removed)
#define CAP_DROP_FIELDS(F) F(str, cap)

/* rrtype as in DNS. answers: u16 length + rdata as text (names in presentation form), each. security: 0 insecure, 1 secure, 2 bogus. */
#define DNS_FIELDS(F) F(u64, ask) F(u16, rrtype) F(str, name)
#define DNS_ANSWER_FIELDS(F) F(u64, ask) F(u16, rcode) F(u8, security) F(u8, is_timeout) F(str, answers)

enum listener_protocol {
	LISTEN_SMTP,
	LISTEN_LMTP,
	LISTEN_SUBMISSION,
	LISTEN_POP3,
	LISTEN_CONTROL,
};

/* Bits of DELIVER's and QUEUE_MESSAGE's flags, and of a recipient's notify (RFC 3461 4.1; 0: not said). */
enum envelope_flags {
	ENVELOPE_8BIT = 1,
	ENVELOPE_BINARY = 2,
	ENVELOPE_UTF8 = 4,
	ENVELOPE_AUTO = 8,	/* from a list or a machine: no delay notices */
	ENVELOPE_NOTICE = 16,	/* is itself a notice */
};
enum envelope_notify { ENVELOPE_NEVER = 1, ENVELOPE_SUCCESS = 2, ENVELOPE_FAILURE = 4, ENVELOPE_DELAY = 8 };
enum envelope_ret { ENVELOPE_RET_FULL = 1, ENVELOPE_RET_HDRS = 2 };
/* What became of one recipient. RELAYED: taken by a server that will not say when it is delivered (RFC 3461 4.5). */
enum queue_verdict { QUEUE_DELIVERED, QUEUE_RELAYED, QUEUE_DEFERRED, QUEUE_FAILED };
#define QUEUE_BODY_BYTES (256u * 1024)
#define ENVELOPE_PRIORITY_ZERO 9
#define KEY_ID_MASTER UINT32_MAX

/* How a route's server is spoken to: TLS when it offers it, always, from the first byte, never. */
enum relay_tls { RELAY_TLS_MAY, RELAY_TLS_MUST, RELAY_TLS_IMPLICIT, RELAY_TLS_NEVER };

enum login_verdict { LOGIN_CHALLENGE, LOGIN_OK, LOGIN_DENIED, LOGIN_TEMPORARY };

enum login_protocol { LOGIN_POP3, LOGIN_SUBMISSION };

#define CAP_BYTES 16

/* ---- generated from the table ---- */

enum record_type {
	REC_NONE,
#define R(NAME, name, from, to) REC_##NAME,
	RECORD_TABLE(R)
#undef R
	    REC_TYPES
};

#define RECORD_C_u8 uint8_t
#define RECORD_C_u16 uint16_t
#define RECORD_C_u32 uint32_t
#define RECORD_C_u64 uint64_t
#define RECORD_C_str struct str
#define RECORD_F(type, name) RECORD_C_##type name;
#define R(NAME, name, from, to) \
	struct rec_##name { \
		NAME##_FIELDS(RECORD_F) \
	}; \
	enum status rec_##name##_put(struct buf *out, const struct rec_##name *r); \
	bool rec_##name##_take(struct cur *c, struct rec_##name *r) MUST_USE;
RECORD_TABLE(R)
#undef R

/* May a role of kind `from` send this type to a role of kind `to`? */
bool record_is_allowed(enum record_type t, enum role_kind from, enum role_kind to);
const char *record_type_name(enum record_type t);

#endif
