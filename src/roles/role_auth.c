/*
 * auth: passwords, SCRAM, throttling, and the capabilities that open mail.
 *
 * A login: throttle -> ask the store for the credential record -> check it -> give the store a capability for the
 * asking process -> answer. A password that was verified is remembered for a while as a keyed hash (with the
 * credential's own record, so that a changed password forgets it), so that reconnects cost no argon2.
 */
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"
#include "base/log.h"
#include "base/map.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/slots.h"
#include "directory/credential.h"
#include "directory/throttle.h"
#include "mailbox/mailbox.h"
#include "roles/role.h"
#include "standards/sasl/sasl.h"

enum {
	ASKS_MAX = 4096,
	MEMORY_ENTRIES_MAX = 20000,
	MEMORY_MS = 10 * 60 * 1000,
	ASK_TIMEOUT_MS = 30 * 1000,
	/* A POP3 or IMAP session may last; the store drops the capability when the session or its process ends. */
	CAP_LIFETIME_MS = 24 * 3600 * 1000,
	NETWORK_BYTES = 48,
};

enum ask_kind { ASK_PASSWORD, ASK_SCRAM };

/* A login under way. */
struct ask {
	struct auth *auth;
	enum ask_kind kind;
	uint64_t id, session, link_generation, account;
	uint16_t access_index;
	bool is_exempt, is_pop3_delete, is_proven;
	bool is_for_another;	/* SCRAM: wants to act as somebody else */
	char network[NETWORK_BYTES];
	size_t network_n;
	char login[SASL_NAME_BYTES_MAX + 1];
	size_t login_n;
	char password[SASL_PASSWORD_BYTES_MAX];
	size_t password_n;
	struct sasl_server sasl;
	struct arena arena;	/* SCRAM only */
	uint8_t cap[CAP_BYTES];
	struct loop_id timer;
};

/* What is remembered of a verified password. */
struct memory {
	uint8_t mac[32];
	uint64_t until_ms;
};

struct auth {
	struct role *role;
	struct throttle *throttle;
	struct slots asks;
	struct map memory;		/* login -> struct memory */
	uint8_t memory_key[32];
	uint64_t ok_n, denied_n, throttled_n, remembered_n;
};

static void *
auth_new(struct role *r)
{
	struct auth *a = calloc(1, sizeof(*a));

	CHECK(a != NULL);
	a->role = r;
	slots_init(&a->asks, ASKS_MAX);
	map_init(&a->memory, MEMORY_ENTRIES_MAX);
	rnd_bytes(a->memory_key, sizeof(a->memory_key));
	return a;
}

static void
ask_free(struct ask *k)
{
	loop_timer_del(role_loop(k->auth->role), &k->timer);
	slots_del(&k->auth->asks, k->id);
	if (k->kind == ASK_SCRAM) {
		sasl_server_fini(&k->sasl);
		arena_fini(&k->arena);
	}
	OPENSSL_cleanse(k, sizeof(*k));
	free(k);
}

static void
memory_clear(struct auth *a)
{
	size_t it = 0;
	void *m;

	while (map_next(&a->memory, &it, NULL, &m))
		free(m);
	map_fini(&a->memory);
}

static void
auth_free(void *self)
{
	struct auth *a = self;
	struct ask *k;
	uint32_t it = 0;

	while ((k = slots_next(&a->asks, &it)) != NULL)
		ask_free(k);
	slots_fini(&a->asks);
	memory_clear(a);
	throttle_free(&a->throttle);
	free(a);
}

static enum status
auth_prepare(void *self, struct buf *why)
{
	struct auth *a = self;
	const struct rec_settings *s = role_settings(a->role);
	struct throttle_options o = THROTTLE_DEFAULTS;
	struct credential c;
	uint8_t mac[32];

	(void)why;
	if (sasl_load() != ST_OK)
		return ST_IO;
	o.free_failures = s->guesses_max;
	o.window_ms = s->guess_window_ms;
	a->throttle = throttle_new(&o);
	/* Argon2, HMAC and PBKDF2 load what they need now, before files are out of reach. */
	if (credential_make(STR("a first use"), &CREDENTIAL_DEFAULTS, &c, NULL) != ST_OK)
		return ST_IO;
	credential_wipe(&c);
	(void)HMAC(EVP_sha256(), a->memory_key, sizeof(a->memory_key), mac, sizeof(mac), mac, NULL);
	return ST_OK;
}

/* ---- the answer ---- */

static void
ask_answer(struct ask *k, enum login_verdict verdict, struct str bytes, struct str text)
{
	struct auth *a = k->auth;
	struct link *l = role_link(a->role, ROLE_ACCESS, k->access_index);
	bool ok = verdict == LOGIN_OK;

	if (l == NULL || role_link_generation(a->role, ROLE_ACCESS, k->access_index) != k->link_generation)
		return;
	(void)rec_login_answer_put(link_out(l),
	    &(struct rec_login_answer){.session = k->session,
	        .verdict = (uint8_t)verdict,
	        .bytes = bytes,
	        .cap = ok ? str_of(k->cap, CAP_BYTES) : STR_NULL,
	        .is_pop3_delete = k->is_pop3_delete,
	        .text = text});
}

static void
ask_deny(struct ask *k)
{
	struct auth *a = k->auth;

	if (!k->is_exempt)
		throttle_failure(a->throttle, clock_mono_ms(loop_clock(role_loop(a->role))),
		    str_of(k->network, k->network_n), str_of(k->login, k->login_n));
	a->denied_n++;
	log_event(LOG_INFO, "auth.denied", LOG_STR("login", str_of(k->login, k->login_n)),
	    LOG_STR("network", str_of(k->network, k->network_n)));
	ask_answer(k, LOGIN_DENIED, STR_NULL, STR("The name or the password is wrong."));
	ask_free(k);
}

static void
ask_temporary(struct ask *k, struct str text)
{
	ask_answer(k, LOGIN_TEMPORARY, STR_NULL, text);
	ask_free(k);
}

static void
ask_timeout(void *arg)
{
	struct ask *k = arg;

	k->timer = (struct loop_id){0};
	ask_temporary(k, STR("Logging in takes too long at the moment; try again later."));
}

/* Proven: the store must know the capability before the client learns of it. */
static void
ask_grant(struct ask *k)
{
	struct auth *a = k->auth;
	struct link *store = role_link(a->role, ROLE_STORE, 0);

	k->is_proven = true;
	if (store == NULL) {
		ask_temporary(k, STR("The store is not running at the moment; try again later."));
		return;
	}
	rnd_bytes(k->cap, CAP_BYTES);
	(void)rec_grant_put(link_out(store),
	    &(struct rec_grant){.ask = k->id,
	        .cap = str_of(k->cap, CAP_BYTES),
	        .account = k->account,
	        .rights = MAILBOX_RIGHTS_ALL,
	        .access_index = k->access_index,
	        .lifetime_ms = CAP_LIFETIME_MS});
}

/* ---- passwords ---- */

static void
memory_mac(const struct auth *a, const struct ask *k, struct str record, uint8_t mac[32])
{
	/* Lengths first, so that no two triples give the same bytes. */
	uint8_t lengths[24];
	struct buf b;

	le64_put(lengths, k->login_n);
	le64_put(lengths + 8, k->password_n);
	le64_put(lengths + 16, record.n);
	buf_init(&b, sizeof(lengths) + k->login_n + k->password_n + record.n);
	(void)buf_put(&b, str_of(lengths, sizeof(lengths)));
	(void)buf_put(&b, str_of(k->login, k->login_n));
	(void)buf_put(&b, str_of(k->password, k->password_n));
	(void)buf_put(&b, record);
	CHECK(!b.full && HMAC(EVP_sha256(), a->memory_key, sizeof(a->memory_key), (const unsigned char *)b.p, b.n, mac, NULL) != NULL);
	OPENSSL_cleanse(b.p, b.n);
	buf_fini(&b);
}

static bool
password_is_right(struct auth *a, struct ask *k, struct str record, const struct credential *c)
{
	uint64_t now = clock_mono_ms(loop_clock(role_loop(a->role)));
	struct str login = str_of(k->login, k->login_n);
	struct memory *m = map_get(&a->memory, login);
	uint8_t mac[32];

	memory_mac(a, k, record, mac);
	if (m != NULL && m->until_ms > now && CRYPTO_memcmp(m->mac, mac, sizeof(mac)) == 0) {
		a->remembered_n++;
		return true;
	}
	if (!credential_check_password(c, str_of(k->password, k->password_n)))
		return false;
	if (m == NULL) {
		m = malloc(sizeof(*m));
		CHECK(m != NULL);
		if (a->memory.n >= MEMORY_ENTRIES_MAX)
			memory_clear(a);
		if (map_put(&a->memory, login, m, NULL) != ST_OK) {
			free(m);
			return true;
		}
	}
	memcpy(m->mac, mac, sizeof(mac));
	m->until_ms = now + MEMORY_MS;
	return true;
}

static void
password_checked(struct ask *k, const struct rec_credential_answer *r)
{
	struct credential c;
	bool ok = r->found && credential_decode(r->record, &c) == ST_OK;

	if (!r->found) {
		/* As slow as for somebody who exists. */
		static struct credential nobody;
		if (nobody.argon2id_n == 0 &&
		    credential_make(STR("nobody has this one"), &CREDENTIAL_DEFAULTS, &nobody, NULL) != ST_OK)
			nobody.argon2id_n = 0;
		(void)credential_check_password(&nobody, str_of(k->password, k->password_n));
	}
	ok = ok && password_is_right(k->auth, k, r->record, &c);
	if (r->found)
		credential_wipe(&c);
	if (!ok) {
		ask_deny(k);
		return;
	}
	k->account = r->account;
	k->is_pop3_delete = r->is_pop3_delete;
	ask_grant(k);
}

/* True: this one has to wait; it was answered. */
static bool
ask_is_throttled(struct ask *k)
{
	struct auth *a = k->auth;
	uint64_t wait = k->is_exempt ? 0
	                             : throttle_wait_ms(a->throttle, clock_mono_ms(loop_clock(role_loop(a->role))),
	                                   str_of(k->network, k->network_n), str_of(k->login, k->login_n));

	if (wait == 0)
		return false;
	a->throttled_n++;
	log_event(LOG_INFO, "auth.throttled", LOG_STR("login", str_of(k->login, k->login_n)),
	    LOG_STR("network", str_of(k->network, k->network_n)), LOG_U64("wait_ms", wait));
	ask_temporary(k, STR("Too many wrong passwords from your network; wait a little and try again."));
	return true;
}

/* ---- SCRAM ---- */

static void
scram_go_on(struct ask *k, enum sasl_step step, const struct sasl_out *out)
{
	struct link *store = role_link(k->auth->role, ROLE_STORE, 0);

	switch (step) {
	case SASL_CHALLENGE:
		ask_answer(k, LOGIN_CHALLENGE, out->challenge, STR_NULL);
		return;
	case SASL_NEED_CREDENTIALS:
		k->login_n = size_min(out->authcid.n, sizeof(k->login) - 1);
		memcpy(k->login, out->authcid.p, k->login_n);
		/* Acting for somebody else comes with shared rights; until then it fails as for an unknown user. */
		k->is_for_another = out->authzid.n > 0 && !str_eq(out->authzid, out->authcid);
		/* Only now the name is known that guesses are counted by. */
		if (ask_is_throttled(k))
			return;
		if (store == NULL)
			ask_temporary(k, STR("The store is not running at the moment; try again later."));
		else
			(void)rec_credential_put(link_out(store),
			    &(struct rec_credential){.ask = k->id, .login = str_of(k->login, k->login_n)});
		return;
	case SASL_OK:
		ask_grant(k);
		return;
	case SASL_FAIL:
		ask_deny(k);
		return;
	}
}

static void
scram_credential(struct ask *k, const struct rec_credential_answer *r)
{
	struct credential c;
	struct scram_verifier v = {0};
	struct sasl_out out;
	enum sasl_step step;

	if (r->secret.n < SASL_SECRET_BYTES_MIN || arena_str(&k->arena, r->secret, &k->sasl.scram.secret) != ST_OK) {
		ask_temporary(k, STR("Logging in is not possible at the moment; try again later."));
		return;
	}
	if (!r->found || k->is_for_another || credential_decode(r->record, &c) != ST_OK) {
		step = sasl_server_unknown(&k->sasl, &k->arena, &out);
		scram_go_on(k, step, &out);
		return;
	}
	k->account = r->account;
	k->is_pop3_delete = r->is_pop3_delete;
	CHECK(c.salt_n <= sizeof(v.salt));
	memcpy(v.salt, c.salt, c.salt_n);
	v.salt_n = c.salt_n;
	v.iterations = c.iterations;
	memcpy(v.stored_key, c.stored_key, sizeof(v.stored_key));
	memcpy(v.server_key, c.server_key, sizeof(v.server_key));
	step = sasl_server_verifier(&k->sasl, &v, &k->arena, &out);
	credential_wipe(&c);
	OPENSSL_cleanse(&v, sizeof(v));
	scram_go_on(k, step, &out);
}

/* ---- requests ---- */

/* The client's network as text: what guesses are counted by. */
static void
network_of(struct str peer, struct ask *k)
{
	/* peer is an address as text: for v4 drop the last number (/24), for v6 keep what a /64 spells in full groups. */
	size_t n = 0;

	if (str_find_char(peer, ':') < peer.n) {
		size_t colons = 0;
		for (; n < peer.n && colons < 4; n++)
			colons += peer.p[n] == ':';
	} else {
		n = str_find_char_last(peer, '.');
	}
	k->network_n = size_min(n, sizeof(k->network));
	memcpy(k->network, peer.p, k->network_n);
}

static struct ask *
ask_new(struct auth *a, struct link *l, enum ask_kind kind, uint64_t session, struct str peer, bool is_exempt)
{
	struct ask *k = calloc(1, sizeof(*k));

	CHECK(k != NULL);
	k->auth = a;
	k->kind = kind;
	k->session = session;
	k->access_index = link_peer_index(l);
	k->link_generation = role_link_generation(a->role, ROLE_ACCESS, k->access_index);
	k->is_exempt = is_exempt;
	network_of(peer, k);
	if (kind == ASK_SCRAM)
		arena_init(&k->arena, SASL_ARENA_BYTES);
	k->id = slots_add(&a->asks, k);
	if (k->id == 0) {
		ask_temporary(k, STR("Too many logins at once; try again in a moment."));
		return NULL;
	}
	k->timer = loop_timer_add(role_loop(a->role), ASK_TIMEOUT_MS, ask_timeout, k);
	return k;
}

static bool
auth_login(struct auth *a, struct link *l, struct cur *c)
{
	struct rec_login r;
	struct link *store = role_link(a->role, ROLE_STORE, 0);
	struct ask *k;

	if (!rec_login_take(c, &r) || r.user.n > SASL_NAME_BYTES_MAX || r.password.n > SASL_PASSWORD_BYTES_MAX)
		return false;
	k = ask_new(a, l, ASK_PASSWORD, r.session, r.peer, r.is_exempt != 0);
	if (k == NULL)
		return true;
	k->login_n = r.user.n;
	memcpy(k->login, r.user.p, r.user.n);
	k->password_n = r.password.n;
	memcpy(k->password, r.password.p, r.password.n);
	if (ask_is_throttled(k))
		return true;
	if (store == NULL)
		ask_temporary(k, STR("The store is not running at the moment; try again later."));
	else
		(void)rec_credential_put(link_out(store), &(struct rec_credential){.ask = k->id, .login = r.user});
	return true;
}

static struct ask *
scram_find(struct auth *a, struct link *l, uint64_t session)
{
	struct ask *k;
	uint32_t it = 0;

	while ((k = slots_next(&a->asks, &it)) != NULL)
		if (k->kind == ASK_SCRAM && k->session == session && k->access_index == link_peer_index(l))
			return k;
	return NULL;
}

static struct ask *
scram_begin(struct auth *a, struct link *l, const struct rec_sasl *r)
{
	enum sasl_mech mech;
	uint8_t random[SCRAM_NONCE_RANDOM_BYTES];
	char nonce[SCRAM_NONCE_SERVER_MIN];
	/* The store's secret takes this place with the credential, before it is used. */
	struct sasl_scram scram = {.secret = str_of(a->memory_key, sizeof(a->memory_key)), .iterations = role_settings(a->role)->scram_iterations};
	struct ask *k = ask_new(a, l, ASK_SCRAM, r->session, r->peer, r->is_exempt != 0);

	if (k == NULL)
		return NULL;
	if (sasl_mech_parse(r->mechanism, &mech) != ST_OK || mech != SASL_SCRAM_SHA_256) {
		ask_answer(k, LOGIN_DENIED, STR_NULL, STR("This mechanism is not offered."));
		ask_free(k);
		return NULL;
	}
	rnd_bytes(random, sizeof(random));
	sasl_nonce(random, nonce);
	CHECK(arena_str(&k->arena, str_of(nonce, sizeof(nonce)), &scram.nonce) == ST_OK);
	sasl_server_init(&k->sasl, mech);
	sasl_server_scram(&k->sasl, &scram);
	return k;
}

static bool
auth_sasl(struct auth *a, struct link *l, struct cur *c)
{
	struct rec_sasl r;
	struct sasl_out out = {0};
	struct ask *k;
	enum sasl_step step;

	if (!rec_sasl_take(c, &r) || r.bytes.n > SASL_MESSAGE_BYTES_MAX)
		return false;
	k = r.step == 0 ? scram_begin(a, l, &r) : scram_find(a, l, r.session);
	if (k == NULL)
		return true;
	if (k->is_proven)
		return false;
	if (r.step == 0 && ask_is_throttled(k))
		return true;
	step = sasl_server_step(&k->sasl, r.bytes, &k->arena, &out);
	scram_go_on(k, step, &out);
	return true;
}

static bool
auth_login_end(struct auth *a, struct link *l, struct cur *c)
{
	struct rec_login_end r;
	struct ask *k;

	if (!rec_login_end_take(c, &r))
		return false;
	k = scram_find(a, l, r.session);
	if (k != NULL)
		ask_free(k);
	return true;
}

static bool
auth_credential_answer(struct auth *a, struct cur *c)
{
	struct rec_credential_answer r;
	struct ask *k;

	if (!rec_credential_answer_take(c, &r))
		return false;
	k = slots_get(&a->asks, r.ask);
	if (k == NULL)
		return true;
	if (k->kind == ASK_SCRAM)
		scram_credential(k, &r);
	else
		password_checked(k, &r);
	return true;
}

static bool
auth_grant_answer(struct auth *a, struct cur *c)
{
	struct rec_grant_answer r;
	struct ask *k;

	if (!rec_grant_answer_take(c, &r))
		return false;
	k = slots_get(&a->asks, r.ask);
	if (k == NULL)
		return true;
	if (!r.ok) {
		ask_temporary(k, STR("The store cannot open mail at the moment; try again later."));
		return true;
	}
	throttle_success(a->throttle, str_of(k->network, k->network_n), str_of(k->login, k->login_n));
	a->ok_n++;
	log_event(LOG_INFO, "auth.ok", LOG_STR("login", str_of(k->login, k->login_n)), LOG_U64("account", k->account));
	ask_answer(k, LOGIN_OK, STR_NULL, STR_NULL);
	ask_free(k);
	return true;
}

static bool
auth_record(void *self, struct link *l, enum record_type t, struct cur *c)
{
	struct auth *a = self;

	if (t == REC_LOGIN)
		return auth_login(a, l, c);
	if (t == REC_SASL)
		return auth_sasl(a, l, c);
	if (t == REC_LOGIN_END)
		return auth_login_end(a, l, c);
	if (t == REC_CREDENTIAL_ANSWER)
		return auth_credential_answer(a, c);
	if (t == REC_GRANT_ANSWER)
		return auth_grant_answer(a, c);
	return false;
}

static void
auth_link_down(void *self, enum role_kind peer, uint16_t index)
{
	struct auth *a = self;
	struct ask *k;
	uint32_t it = 0;

	while ((k = slots_next(&a->asks, &it)) != NULL) {
		if (peer == ROLE_STORE)
			ask_temporary(k, STR("The store was restarted; try again."));
		else if (peer == ROLE_ACCESS && k->access_index == index)
			ask_free(k);
	}
}

static void
auth_status(void *self, struct buf *json)
{
	const struct auth *a = self;

	(void)buf_putf(json, "\"ok\":%llu,\"denied\":%llu,\"throttled\":%llu,\"remembered\":%llu",
	    (unsigned long long)a->ok_n, (unsigned long long)a->denied_n, (unsigned long long)a->throttled_n,
	    (unsigned long long)a->remembered_n);
}

const struct role_ops role_auth_ops = {
    .kind = ROLE_AUTH,
    .new = auth_new,
    .free = auth_free,
    .prepare = auth_prepare,
    .record = auth_record,
    .link_down = auth_link_down,
    .status = auth_status,
};
