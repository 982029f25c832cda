/* What the files of submission share: a session, its transaction, its login. */
#ifndef POSTHORN_ACCESS_SUBMISSION_INTERNAL_H
#define POSTHORN_ACCESS_SUBMISSION_INTERNAL_H

#include "access/submission.h"
#include "access/submission_domain.h"
#include "base/metrics.h"
#include "protocols/smtp/smtp_server.h"

/* Whose answer the client's command waits for. */
enum submission_waits {
	SUBMISSION_WAITS_NOTHING,
	SUBMISSION_WAITS_AUTH,
	SUBMISSION_WAITS_SENDER,
	SUBMISSION_WAITS_ROUTE,
	SUBMISSION_WAITS_DOMAIN,
	SUBMISSION_WAITS_DELIVER,
};

/* A mail transaction: from MAIL to the answer about the message, or to its end without one. */
struct submission_mail {
	struct buf reverse_path, envid;
	struct buf rcpts;	/* as DELIVER wants them */
	struct buf rcpt, orcpt;	/* the one that is being asked about */
	struct buf domain;	/* and its domain, as DNS knows it */
	struct buf domains;	/* those with an answer: each u8 enum domain_verdict, u16 length + name */
	struct domain_check check;
	struct loop_id dns_timer;
	uint64_t dns_ask;	/* 0: none is under way */
	struct buf header;	/* until it is whole */
	size_t header_seen;
	struct buf authors;	/* as DELIVER wants them */
	struct intake intake;
	uint64_t size_bytes, hold_until_ms, by_ms;
	struct str refusal;	/* of the message, told at its end; static; empty: none */
	uint16_t refusal_code, accounts;	/* accounts: of rcpt, as the store counts */
	uint32_t rcpts_n, accounts_n;
	uint8_t notify, flags, ret, by_mode, priority;
	bool has_header;	/* it has gone into the intake */
};

struct submission_session {
	struct submission_env *e;
	struct conn *conn;
	struct listener *from;
	struct tls_context *tls;
	struct smtp_server smtp;
	struct login login;
	struct submission_mail *mail;
	uint64_t id, started_ms;
	uint32_t messages_n;
	enum submission_waits waits;
	struct sock_addr accepted;	/* as the listener counts it */
	struct receive_peer who;
	bool is_implicit_tls, is_paused, is_refused, is_ending, is_greeted, has_cap;
	char cap[CAP_BYTES];
	struct buf address;	/* of who has logged in */
};

struct submission_env {
	struct loop *loop;
	const struct submission_env_ops *ops;
	void *arg;
	struct submission_settings settings;
	struct smtp_server_conf conf[2][2][2];	/* with STARTTLS; both ends on one host; exempt */
	struct tls_context *tls;
	struct slots sessions, asks;	/* asks: a question to the resolver each, borrowed sessions */
	struct submission_counters counters;
	struct loop_id drain;
	bool is_stopping;
	loop_fn *stopped;
	void *stopped_arg;
};

/* submission.c */
struct link *submission_store(const struct submission_session *s);
struct link *submission_auth(const struct submission_session *s);
uint64_t submission_wall_ms(const struct submission_session *s);
/* Answers the client's command; nothing is waited for any more. */
void submission_reply(struct submission_session *s, unsigned code, struct str text);
/* After an answer that came from outside: what the client has sent meanwhile is looked at. */
void submission_go_on(struct submission_session *s);

/* submission_login.c */
/* Sets the mechanisms for this channel. */
void submission_login_offer(struct submission_session *s, bool is_tls);
void submission_login_event(struct submission_session *s, const struct smtp_event *ev);
bool submission_login_answer(struct submission_env *e, struct cur *c);
void submission_login_down(struct submission_session *s);
/* The session ends: what is held for it elsewhere is given back. */
void submission_login_fini(struct submission_session *s);

/* submission_mail.c */
void submission_mail_begin(struct submission_session *s, const struct smtp_event *ev);
void submission_mail_rcpt(struct submission_session *s, const struct smtp_event *ev);
void submission_mail_chunk(struct submission_session *s, struct str bytes);
void submission_mail_end(struct submission_session *s, const struct smtp_event *ev);
/* No message comes of it. Also when there is no transaction. */
void submission_mail_forget(struct submission_session *s);
bool submission_mail_in_data(const struct submission_session *s);
bool submission_mail_record(struct submission_env *e, enum record_type t, struct cur *c);
/* The resolver, if it is asked something, will not answer. */
void submission_mail_no_dns(struct submission_session *s);

#endif
