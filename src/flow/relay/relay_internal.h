/* What the files of relay/ share. */
#ifndef POSTHORN_FLOW_RELAY_INTERNAL_H
#define POSTHORN_FLOW_RELAY_INTERNAL_H

#include "base/arena.h"
#include "base/check.h"
#include "base/map.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/slots.h"
#include "flow/queue/schedule.h"
#include "flow/relay/relay.h"
#include "net/dns_packet.h"
#include "protocols/smtp/smtp_client.h"
#include "standards/dkim/dkim.h"
#include "standards/sasl/sasl.h"

struct relay_job;
struct relay_session;

/* ---- reasons: a reply, the peer's or ours, that is kept (relay_reason.c) ---- */

struct relay_reason {
	uint16_t code;
	uint16_t enhanced[3];
	uint16_t text_n;
	bool is_own;	/* our words, not the peer's */
	char text[RELAY_TEXT_MAX];
};

/* What is not printable ASCII becomes '?', what is too long is cut. */
void relay_reason_set(struct relay_reason *r, uint16_t code, uint16_t subject, uint16_t detail,
    const char *fmt, ...) PRINTF_LIKE(5, 6);
/* Without an enhanced code it gets the code's class and 0.0. */
void relay_reason_reply(struct relay_reason *r, const struct smtp_reply *reply);
/* What stops a session is not the message's fault: 5xx becomes 4xx, and the text says who said it.
 */
void relay_reason_soften(struct relay_reason *r, const struct relay_session *s);
struct str relay_reason_text(const struct relay_reason *r);

/* ---- routes of the settings (relay_route.c) ---- */

struct relay_route {
	struct str domain, host, user, password; /* in the table's bytes */
	uint16_t port;
	uint8_t tls; /* enum relay_tls */
};

/* Jobs and sessions hold the table they began with. */
struct relay_routes {
	uint32_t refs;
	size_t n;
	struct relay_route *route;
	char *bytes;
	size_t bytes_n;
};

/* ST_SYNTAX; ST_LIMIT: more than RELAY_ROUTES_MAX, or too long. */
enum status relay_routes_new(struct str bytes, struct relay_routes **out) MUST_USE;
struct relay_routes *relay_routes_ref(struct relay_routes *t);
void relay_routes_unref(struct relay_routes **t);
/* Its own, else "*", else NULL: by MX. Borrowed from the table. */
const struct relay_route *relay_routes_find(const struct relay_routes *t, struct str destination);

/* ---- where a destination is (relay_search.c) ---- */

enum relay_ask_kind { RELAY_ASK_MX, RELAY_ASK_A, RELAY_ASK_AAAA, RELAY_ASK_SIGN };

/* A question to another role, found again by its id; part of what asked it. */
struct relay_ask {
	struct relay_job *job;
	uint64_t id; /* in relay.asks; 0: none */
	uint8_t kind, index;
};

struct relay_target {
	struct sock_addr addr;
	uint8_t host; /* of search.hosts */
};

struct relay_host {
	char name[RELAY_HOST_BYTES_MAX];
	uint8_t n;
};

/* Hosts are looked up one after the other, when those before did not answer. */
struct relay_search {
	struct relay_host hosts[RELAY_MX_MAX];
	uint8_t hosts_n, host_next;
	struct relay_ask mx, a, aaaa;
	struct sock_addr v4[RELAY_ADDRESSES_MAX],
	    v6[RELAY_ADDRESSES_MAX]; /* of the host being looked up */
	uint8_t v4_n, v6_n;
	/* Those that lately could not be connected to come after all others. */
	struct relay_target now[RELAY_ADDRESSES_MAX], later[RELAY_ADDRESSES_MAX];
	uint8_t now_n, now_next, later_n, later_next;
	uint16_t port;
	bool is_mx;	   /* a host found by DNS for a domain: may be ourselves */
	bool is_temporary; /* a look-up failed that may succeed later */
	bool is_tried;	   /* somebody was connected to, or tried */
	uint64_t began_ms, dns_due_ms;
};

/* Begins; ends with relay_job_connect, relay_job_fail or relay_job_defer, now or later. */
void relay_search_begin(struct relay_job *j);
/* The target that was given did not do: the next one, or the end. */
void relay_search_next(struct relay_job *j);
void relay_search_answer(struct relay_job *j, uint8_t kind, const struct rec_dns_answer *a);
void relay_search_down(struct relay_job *j); /* the resolver is gone or silent */
void relay_search_free(struct relay_job *j);

/* ---- addresses that did not answer (relay_bad.c) ---- */

void relay_bad_add(struct relay *r, const struct sock_addr *a);
void relay_bad_del(struct relay *r, const struct sock_addr *a);
bool relay_bad_has(const struct relay *r, const struct sock_addr *a);
/* One connection more that waits long for a greeting from there; false: there are RELAY_QUIET_MAX. Each add has its del. */
bool relay_quiet_add(struct relay *r, const struct sock_addr *a);
void relay_quiet_del(struct relay *r, const struct sock_addr *a);

/* ---- a message on its way (relay_job.c) ---- */

enum relay_rcpt_state {
	RELAY_RCPT_DUE,
	RELAY_RCPT_ACCEPTED, /* in this transaction */
	RELAY_RCPT_AGAIN,    /* the peer wants it in another transaction */
	RELAY_RCPT_DONE,     /* its result is written */
};

struct relay_rcpt {
	uint32_t index;
	uint8_t notify, state;
	struct str path, orcpt;
};

struct relay_sign {
	struct relay_ask ask;
	struct dkim_sign sign;
	struct str selector, sealed;
	uint8_t algorithm;
	uint16_t signature_n;
	uint8_t signature[DKIM_RSA_SIGNATURE_BYTES_MAX];
};

/* Exists from the body's hash to the last answer. */
struct relay_signing {
	struct dkim_body body;
	bool is_body_begun;
	struct arena arena;
	struct relay_sign key[RELAY_KEYS_MAX];
	uint8_t n, due;
	uint64_t due_ms;
};

struct relay_job {
	struct relay *r;
	uint64_t id;	    /* ours, in QUEUE_FETCH and the like */
	uint64_t queue_job; /* the queue's */
	uint64_t message;
	char destination[RELAY_DESTINATION_BYTES_MAX];
	uint8_t destination_n;
	bool is_orphan; /* the queue that asked is gone */
	bool is_told;
	bool is_failing;  /* for good, with reason; waits for the message to know its recipients */
	bool is_prepared; /* the message is here, hashed and signed */
	bool is_retried;  /* a connection was lost before it did anything for us */
	bool has_good;	  /* the peer took or refused somebody */
	bool has_again;	  /* somebody is in RELAY_RCPT_AGAIN */
	bool is_scanned, has_8bit; /* all of the content was looked at */
	uint8_t rounds_n;
	struct relay_routes *routes;
	const struct relay_route *route; /* NULL: by MX */
	struct relay_search *search;	 /* NULL: not needed, or over */
	struct relay_session *session;
	struct relay_reason reason;
	/* Of the last session, for the queue. */
	struct relay_host host;
	struct sock_addr ip;
	char tls[RELAY_HOST_BYTES_MAX];
	uint8_t tls_n;
	/* The message. */
	char *record; /* the payload of QUEUE_MESSAGE; what follows points into it */
	struct rec_queue_message m;
	struct relay_rcpt *rcpts;
	uint32_t rcpts_n, accepted_n;
	struct smtp_client_mail mail;
	struct smtp_client_rcpt *row; /* of this transaction */
	uint32_t *row_rcpt;	      /* which one of rcpts each is */
	struct buf results;
	uint32_t results_n;
	/* The content: signatures, head, body. */
	struct buf signatures;
	struct relay_signing *signing;
	uint64_t at;	       /* in the content */
	struct buf piece;      /* of the body, behind the first */
	uint64_t piece_at;     /* in the body */
	uint64_t store_due_ms; /* 0: nothing is asked of the store */
	bool is_piece_asked;
};

/* False: malformed. */
bool relay_job_new(struct relay *r, const struct rec_relay *rec);
void relay_job_free(struct relay_job **j);
/* The message is here (or not): false, malformed. */
bool relay_job_message(struct relay_job *j, struct str payload);
/* A new connection to this target. */
void relay_job_connect(struct relay_job *j, const struct relay_target *t);
/* The end, told to the queue. for good: every recipient without a result has failed. The reason is
 * in j->reason. */
void relay_job_fail(struct relay_job *j);
void relay_job_defer(struct relay_job *j, enum schedule_outcome outcome);
/* Message and session may be ready now: then it begins. */
void relay_job_go(struct relay_job *j);
/* The content is hashed and signed. */
void relay_job_prepared(struct relay_job *j);
void relay_job_check_time(struct relay_job *j, uint64_t now_ms);
void relay_job_store_down(struct relay_job *j);

/* From the session. */
void relay_job_ready(struct relay_job *j); /* it can take the message */
void relay_job_mail_make(struct relay_job *j);
void relay_job_refused(
    struct relay_job *j, const struct smtp_reply *reply); /* MAIL, or it cannot be sent */
void relay_job_rcpt(struct relay_job *j, uint32_t row, const struct smtp_reply *reply);
void relay_job_sent(struct relay_job *j, const struct smtp_reply *reply, bool is_dsn);
/* The transaction is over; true: another one is to begin in this session. False: the job is gone.
 */
bool relay_job_round_done(struct relay_job *j);
/* How a session ended that had the job (already detached). */
enum relay_lost {
	RELAY_LOST,	    /* by what the peer said */
	RELAY_LOST_NAMED,   /* in another way; the reason names the host */
	RELAY_LOST_CONNECT, /* there was no connection */
	RELAY_LOST_TLS,	    /* in the handshake, or in its place */
	RELAY_LOST_LOOP,    /* it is ourselves */
};
void relay_job_lost(struct relay_job *j, const struct relay_session *s, enum relay_lost how,
    const struct relay_reason *reason);

/* ---- its content (relay_content.c) ---- */

/* The next bytes, borrowed until relay_content_took. ST_MORE: asked of the store; ST_EOF: that was
 * all. */
enum status relay_content_next(struct relay_job *j, struct str *out) MUST_USE;
void relay_content_took(struct relay_job *j, size_t n);
void relay_content_rewind(struct relay_job *j);
uint64_t relay_content_bytes(const struct relay_job *j);
bool relay_content_piece(struct relay_job *j, const struct rec_queue_piece *p);
/* Looks at the body where that is needed (hash, 8-bit), signs it; ends with relay_job_prepared or
 * the job. */
void relay_content_prepare(struct relay_job *j);
/* The fields at the front of the body's first piece; false: it does not hold them all. */
bool relay_content_header(const struct relay_job *j, struct str *out);
bool relay_is_ascii(struct str s);

/* ---- its signatures (relay_sign.c) ---- */

/* Of the first RELAY_KEYS_MAX keys. ST_SYNTAX: malformed. */
enum status relay_sign_new(struct relay_job *j) MUST_USE;
void relay_sign_body(struct relay_job *j, struct str bytes);
void relay_sign_begin(struct relay_job *j);
void relay_sign_answer(struct relay_job *j, uint8_t index, struct str signature);
void relay_sign_free(struct relay_job *j);

/* ---- connections (relay_session.c) ---- */

struct relay_auth {
	struct arena arena;
	struct sasl_client sasl;
	struct sasl_scram scram;
	char nonce[SCRAM_NONCE_SERVER_MIN];
	struct str initial; /* too long for the first line */
	bool has_initial, is_proved;
};

struct relay_session {
	struct relay *r;
	struct conn *conn;
	uint64_t id;
	struct relay_job *job; /* NULL: idle, or ending */
	struct relay_session *idle_next, *idle_prev;
	struct relay_routes *routes;
	const struct relay_route *route;
	struct relay_host key; /* the destination, or the route's domain: whose mail it takes */
	struct relay_host host;
	struct relay_target target;
	struct smtp_client smtp;
	struct relay_auth *auth; /* while it runs */
	char tls[RELAY_HOST_BYTES_MAX];
	uint8_t tls_n;
	uint8_t tls_mode; /* enum relay_tls */
	uint8_t deadline_phase;
	uint32_t messages_n;
	bool is_mx, is_idle, is_ended, is_quitting, is_driving;
	bool is_connected, is_handshaking, is_ready;
	bool is_quiet;	/* counted among those that wait long for their greeting */
	bool is_reused;		    /* it had a message before this one */
	bool is_begun, is_answered; /* this message */
	bool is_in_body;
};

struct relay_session *relay_session_new(struct relay_job *j, const struct relay_target *t,
    const struct relay_host *host, bool is_mx, bool is_clear);
/* Message and session are ready. */
void relay_session_begin(struct relay_session *s);
/* More content has come from the store. */
void relay_session_go_on(struct relay_session *s);
/* The job ends before its transaction has; one that has not begun leaves the connection to others.
 */
void relay_session_release(struct relay_session *s);
void relay_session_abort(struct relay_session *s); /* has no job */
void relay_session_quit(struct relay_session *s);
/* " [192.0.2.1]" behind the name. */
void relay_session_name_put(
    struct buf *out, const struct relay_host *host, const struct sock_addr *a);

/* ---- idle connections (relay_pool.c) ---- */

/* True: kept. False: the caller ends it. */
bool relay_pool_put(struct relay_session *s);
void relay_pool_remove(struct relay_session *s);
/* The one that was used last, removed; NULL: none. */
struct relay_session *relay_pool_take(struct relay *r, const struct relay_job *j);
void relay_pool_end(struct relay *r);

/* ---- the whole ---- */

struct relay {
	struct loop *loop;
	const struct relay_ops *ops;
	void *ops_arg;
	char hostname[SMTP_DOMAIN_MAX];
	size_t hostname_n;
	uint16_t port;
	uint64_t idle_ms;
	struct relay_routes *routes;
	struct tls_context *tls;
	struct smtp_client_conf
	    conf[3][2]; /* by enum smtp_client_starttls, and whether a login is needed */
	struct slots jobs, asks, sessions;
	struct map idle; /* key -> its first idle session */
	size_t idle_n, orphans_n;
	struct map bad; /* 18 bytes of address and port -> until when, ms */
	struct map quiet; /* the same -> how many connections wait long for a greeting */
	struct prng random;
	struct relay_counters counters;
	struct loop_id sweep, stop_timer;
	bool is_stopping, is_stopped;
	loop_fn *stopped;
	void *stopped_arg;
};

uint64_t relay_now_ms(const struct relay *r);
struct str relay_hostname(const struct relay *r);
bool relay_is_own_name(const struct relay *r, struct str name);
void relay_ask_add(struct relay_job *j, struct relay_ask *a, uint8_t kind, uint8_t index);
void relay_ask_del(struct relay *r, struct relay_ask *a);
/* Once per job, at its end. */
void relay_done_put(struct relay *r, const struct rec_relay_done *d);
/* A job or a session has ended. */
void relay_ended(struct relay *r);
void relay_sweep_start(struct relay *r);

static inline struct str
relay_host_str(const struct relay_host *h)
{
	return str_of(h->name, h->n);
}

/* n at most RELAY_HOST_BYTES_MAX. */
void relay_host_set(struct relay_host *h, struct str name);

#endif
