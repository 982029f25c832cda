/*
 * A login from a session to `auth`: which mechanisms are offered, the records of one exchange, and
 * what the connection gives to bind to. POP3 and submission share it; base64 and replies are theirs.
 *
 *	login_init(&s->login, LOGIN_POP3, s->id, s->is_exempt);
 *	login_begin / login_password	then wait for REC_LOGIN_ANSWER, and give it to login_answer
 *	LOGIN_CHALLENGE			show it to the client, then login_step with what it says
 *	LOGIN_OK			a.cap opens the mail of a.account, a.login is its address
 *	LOGIN_DENIED, _TEMPORARY	over; another may begin
 *	login_end			the client has cancelled, or is gone
 *
 * auth is the line to auth, NULL while it is down: then nothing is sent and the answer is false.
 */
#ifndef POSTHORN_ACCESS_LOGIN_H
#define POSTHORN_ACCESS_LOGIN_H

#include "ipc/link.h"
#include "net/conn.h"

/* Of decoded bytes from auth: far more than SCRAM's longest. */
#define LOGIN_CHALLENGE_MAX 8192

struct login {
	uint64_t session;	/* names the session in both directions */
	enum login_protocol protocol;
	bool is_exempt;		/* guesses are not counted */
	bool is_sasl;		/* auth may hold an exchange of ours */
	bool is_asked;		/* its answer is due */
	uint32_t step;
};

/*
 * The names for CAPA and EHLO, with a space between, strongest first. Static.
 * is_tls: under TLS, or both ends are the same host: a password may be sent. has_binding:
 * login_can_bind. Whether anything is offered without TLS is for the caller to say.
 */
struct str login_mechanisms(bool is_tls, bool has_binding, bool scram_sha1, bool has_external);
/* Both ends are this machine: nobody is between them who could read a password. */
bool login_is_same_host(struct conn *c);
/* Has the channel something for -PLUS? */
bool login_can_bind(const struct conn *c);

void login_init(struct login *g, enum login_protocol protocol, uint64_t session, bool is_exempt);

/* What AUTH said. All borrowed for the call. */
struct login_first {
	struct str mechanism;	/* one that was offered */
	bool has_initial;	/* false: no initial response; auth answers with the first challenge */
	struct str initial;	/* decoded, may be empty */
	struct str external;	/* names that the client's certificate proved, one a line; empty: none */
};
bool login_begin(struct login *g, struct link *auth, struct conn *c, const struct login_first *first) MUST_USE;
/* USER and PASS. */
bool login_password(struct login *g, struct link *auth, struct conn *c, struct str user, struct str password) MUST_USE;
/* The client's decoded answer to a challenge. */
bool login_step(struct login *g, struct link *auth, struct str bytes) MUST_USE;
/* Auth forgets the exchange, if it holds one. With NULL when the line to auth has ended. */
void login_end(struct login *g, struct link *auth);

/* For whom is this answer? Leaves c where it is; LOGIN_POP3 also for one that is malformed. */
enum login_protocol login_answer_protocol(struct cur c);
/* Takes note of an answer. False: nothing was asked or it is nonsense, the line ends. */
bool login_answer(struct login *g, const struct rec_login_answer *a) MUST_USE;
/* Nobody waits for it any more: the capability that it may bring is given back. store may be NULL. */
void login_answer_drop(const struct rec_login_answer *a, struct link *store);

#endif
