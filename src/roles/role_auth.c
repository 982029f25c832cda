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

enum ask_kind { ASK_PASSWORD, ASK_SASL };

/* A login under way. */
struct ask {
	struct auth *auth;
	enum ask_kind kind;
	uint64_t id, session, link_generation, account;
	uint16_t access_index;
	uint8_t protocol;	/* enum login_protocol */
	bool is_exempt, is_pop3_delete, is_proven;
	bool is_for_another;	/* SASL: wants to act as somebody else */
	char network[NETWORK_BYTES];
	size_t network_n;
	char login[SASL_NAME_BYTES_MAX + 1];
	size_t login_n;
	char address[DIRECTORY_ADDRESS_BYTES_MAX];	/* of the account, in normal form */
	size_t address_n;
	char password[SASL_PASSWORD_BYTES_MAX];
	size_t password_n;
	struct sasl_server sasl;
	struct arena arena;	/* ASK_SASL only */
	struct str proven[SASL_PROVEN_MAX];
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
	if (k->kind == ASK_SASL) {
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
	struct credential_options first = CREDENTIAL_DEFAULTS;
	struct credential c;
	uint8_t mac[32];

	(void)why;
	first.scram_sha1 = true;
	if (sasl_load() != ST_OK)
		return ST_IO;
	o.free_failures = s->guesses_max;
	o.window_ms = s->guess_window_ms;
	a->throttle = throttle_new(&o);
	/* Argon2, HMAC and PBKDF2 load what they need now, before files are out of reach. */
	if (credential_make(STR("a first use"), &first, &c, NULL) != ST_OK)
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
	        .protocol = k->protocol,
	        .verdict = (uint8_t)verdict,
	        .bytes = bytes,
	        .cap = ok ? str_of(k->cap, CAP_BYTES) : STR_NULL,
	        .is_pop3_delete = ok && k->is_pop3_delete,
	        .text = text,
	        .account = ok ? k->account : 0,
	        .login = ok ? str_of(k->address, k->address_n) : STR_NULL});
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

/* Anew with each message of the client. */
static void
ask_timer(struct ask *k)
{
	loop_timer_del(role_loop(k->auth->role), &k->timer);
	k->timer = loop_timer_add(role_loop(k->auth->role), ASK_TIMEOUT_MS, ask_timeout, k);
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

static void
memory_put(struct auth *a, struct str login, const uint8_t mac[32], uint64_t until_ms)
{
	struct memory *m = map_get(&a->memory, login);

	if (m == NULL) {
		m = malloc(sizeof(*m));
		CHECK(m != NULL);
		if (a->memory.n >= MEMORY_ENTRIES_MAX)
			memory_clear(a);
		if (map_put(&a->memory, login, m, NULL) != ST_OK) {
			free(m);
			return;
		}
	}
	memcpy(m->mac, mac, sizeof(m->mac));
	m->until_ms = until_ms;
}

/*
 * What was sent, byte for byte as it was set; by SASL also its prepared form, with which it may have been set (RFC 4616 2). The
 * second costs only those whose password is not ASCII.
 */
static bool
password_matches(const struct ask *k, const struct credential *c)
{
	struct str sent = str_of(k->password, k->password_n);
	struct str prepared = k->kind == ASK_SASL ? k->sasl.password : sent;

	return credential_check_password(c, sent) || (!str_eq(sent, prepared) && credential_check_password(c, prepared));
}

static bool
password_is_right(struct auth *a, struct ask *k, struct str record, const struct credential *c)
{
	uint64_t now = clock_mono_ms(loop_clock(role_loop(a->role)));
	struct str login = str_of(k->login, k->login_n);
	const struct memory *m = map_get(&a->memory, login);
	uint8_t mac[32];

	memory_mac(a, k, record, mac);
	if (m != NULL && m->until_ms > now && CRYPTO_memcmp(m->mac, mac, sizeof(mac)) == 0) {
		a->remembered_n++;
		return true;
	}
	if (!password_matches(k, c))
		return false;
	memory_put(a, login, mac, now + MEMORY_MS);
	return true;
}

/* As slow as for somebody who exists. */
static void
password_of_nobody(const struct ask *k)
{
	static struct credential nobody;

	if (nobody.argon2id_n == 0 && credential_make(STR("nobody has this one"), &CREDENTIAL_DEFAULTS, &nobody, NULL) != ST_OK)
		nobody.argon2id_n = 0;
	(void)password_matches(k, &nobody);
}

/* Whose account it is, once the store has said. False: an address that cannot be. */
static bool
ask_account(struct ask *k, const struct rec_credential_answer *r)
{
	if (r->login.n == 0 || r->login.n > sizeof(k->address))
		return false;
	k->account = r->account;
	k->is_pop3_delete = r->is_pop3_delete;
	k->address_n = r->login.n;
	memcpy(k->address, r->login.p, r->login.n);
	return true;
}

static bool
password_check(struct ask *k, const struct rec_credential_answer *r)
{
	struct credential c;
	bool ok;

	if (!r->found || credential_decode(r->record, &c) != ST_OK) {
		password_of_nobody(k);
		return false;
	}
	ok = password_is_right(k->auth, k, r->record, &c);
	credential_wipe(&c);
	return ok && !k->is_for_another && ask_account(k, r);
}

static void
password_checked(struct ask *k, const struct rec_credential_answer *r)
{
	if (password_check(k, r))
		ask_grant(k);
	else
		ask_deny(k);
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

/* ---- SASL ---- */

/* The client, or somebody of whom it is proven, is named: what the store has of it decides. */
static void
sasl_ask_store(struct ask *k, const struct sasl_out *out)
{
	struct link *store = role_link(k->auth->role, ROLE_STORE, 0);

	k->login_n = size_min(out->authcid.n, sizeof(k->login) - 1);
	memcpy(k->login, out->authcid.p, k->login_n);
	CHECK(out->password_sent.n <= sizeof(k->password));
	k->password_n = out->password_sent.n;
	if (k->password_n > 0)
		memcpy(k->password, out->password_sent.p, k->password_n);
	/* Acting for somebody else comes with shared rights; until then it fails as for an unknown user. */
	k->is_for_another = out->authzid.n > 0 && !str_eq(out->authzid, out->authcid);
	/* Only now the name is known that guesses are counted by. */
	if (ask_is_throttled(k))
		return;
	if (store == NULL)
		ask_temporary(k, STR("The store is not running at the moment; try again later."));
	else
		(void)rec_credential_put(
		    link_out(store), &(struct rec_credential){.ask = k->id, .login = str_of(k->login, k->login_n)});
}

static void
sasl_go_on(struct ask *k, enum sasl_step step, const struct sasl_out *out)
{
	switch (step) {
	case SASL_CHALLENGE:
		/* The next word is the client's; it has as long as we had. */
		ask_timer(k);
		ask_answer(k, LOGIN_CHALLENGE, out->challenge, STR_NULL);
		return;
	case SASL_NEED_CREDENTIALS:
		sasl_ask_store(k, out);
		return;
	case SASL_OK:
		ask_grant(k);
		return;
	case SASL_FAIL:
		log_event(LOG_DEBUG, "auth.sasl", LOG_STR("mechanism", sasl_mech_name(k->sasl.mech)), LOG_CSTR("why", out->why));
		ask_deny(k);
		return;
	}
}

/* The keys that the mechanism needs; false as for an unknown user. */
static bool
scram_keys(struct ask *k, const struct rec_credential_answer *r, struct scram_verifier *out)
{
	struct credential c;
	const struct scram_verifier *v;

	if (!r->found || k->is_for_another || credential_decode(r->record, &c) != ST_OK)
		return false;
	v = credential_scram(&c, sasl_mech_hash(k->sasl.mech));
	if (v != NULL)
		*out = *v;
	credential_wipe(&c);
	return v != NULL && ask_account(k, r);
}

static void
scram_credential(struct ask *k, const struct rec_credential_answer *r)
{
	struct scram_verifier v;
	struct sasl_out out;
	enum sasl_step step;

	if (r->secret.n < SASL_SECRET_BYTES_MIN || arena_str(&k->arena, r->secret, &k->sasl.scram.secret) != ST_OK) {
		ask_temporary(k, STR("Logging in is not possible at the moment; try again later."));
		return;
	}
	if (scram_keys(k, r, &v))
		step = sasl_server_verifier(&k->sasl, &v, &k->arena, &out);
	else
		step = sasl_server_unknown(&k->sasl, &k->arena, &out);
	OPENSSL_cleanse(&v, sizeof(v));
	sasl_go_on(k, step, &out);
}

static void
sasl_credential(struct ask *k, const struct rec_credential_answer *r)
{
	struct sasl_out out;
	enum sasl_step step;

	if (sasl_mech_is_scram(k->sasl.mech)) {
		scram_credential(k, r);
		return;
	}
	/* EXTERNAL has proven the name before; here it must only be somebody's. */
	if (k->sasl.mech == SASL_EXTERNAL)
		step = sasl_server_verdict(&k->sasl, r->found && ask_account(k, r), &out);
	else
		step = sasl_server_verdict(&k->sasl, password_check(k, r), &out);
	sasl_go_on(k, step, &out);
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
ask_find(struct auth *a, struct link *l, uint64_t session, uint8_t protocol)
{
	struct ask *k;
	uint32_t it = 0;

	while ((k = slots_next(&a->asks, &it)) != NULL)
		if (k->session == session && k->protocol == protocol && k->access_index == link_peer_index(l))
			return k;
	return NULL;
}

static struct ask *
ask_new(struct auth *a, struct link *l, enum ask_kind kind, uint64_t session, uint8_t protocol)
{
	struct ask *k = ask_find(a, l, session, protocol);

	/* One at a time: what is left of an earlier one the client has given up. */
	if (k != NULL)
		ask_free(k);
	k = calloc(1, sizeof(*k));
	CHECK(k != NULL);
	k->auth = a;
	k->kind = kind;
	k->session = session;
	k->protocol = protocol;
	k->access_index = link_peer_index(l);
	k->link_generation = role_link_generation(a->role, ROLE_ACCESS, k->access_index);
	if (kind == ASK_SASL)
		arena_init(&k->arena, SASL_ARENA_BYTES);
	k->id = slots_add(&a->asks, k);
	if (k->id == 0) {
		ask_temporary(k, STR("Too many logins at once; try again in a moment."));
		return NULL;
	}
	ask_timer(k);
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
	k = ask_new(a, l, ASK_PASSWORD, r.session, LOGIN_POP3);
	if (k == NULL)
		return true;
	k->is_exempt = r.is_exempt != 0;
	network_of(r.peer, k);
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

/* What SCRAM needs, all of it in the arena. False: this channel has nothing that -PLUS could be bound to. */
static bool
scram_init(struct ask *k, const struct rec_sasl *r)
{
	static const struct str types[] = {STR_INIT("tls-exporter"), STR_INIT("tls-server-end-point")};
	const struct str data[] = {r->binding_exporter, r->binding_end_point};
	struct auth *a = k->auth;
	uint8_t random[SCRAM_NONCE_RANDOM_BYTES];
	char nonce[SCRAM_NONCE_SERVER_MIN];
	/* The store's secret takes this place with the credential, before it is used. */
	struct sasl_scram scram = {
	    .secret = str_of(a->memory_key, sizeof(a->memory_key)), .iterations = role_settings(a->role)->scram_iterations};
	size_t n = 0;

	for (size_t i = 0; i < COUNT_OF(types); i++) {
		if (data[i].n == 0)
			continue;
		scram.bindings[n].type = types[i];
		CHECK(arena_str(&k->arena, data[i], &scram.bindings[n++].data) == ST_OK);
	}
	if (sasl_mech_has_plus(k->sasl.mech) && n == 0)
		return false;
	rnd_bytes(random, sizeof(random));
	sasl_nonce(random, nonce);
	CHECK(arena_str(&k->arena, str_of(nonce, sizeof(nonce)), &scram.nonce) == ST_OK);
	sasl_server_scram(&k->sasl, &scram);
	return true;
}

/* The names of a certificate; what cannot be an account's and what is too much is left out. False: none. */
static bool
external_init(struct ask *k, struct str names)
{
	struct str name;
	size_t n = 0;

	while (names.n > 0 && n < SASL_PROVEN_MAX) {
		(void)str_split(names, '\n', &name, &names);
		if (name.n > 0 && name.n <= SASL_NAME_BYTES_MAX)
			CHECK(arena_str(&k->arena, name, &k->proven[n++]) == ST_OK);
	}
	if (n > 0)
		sasl_server_external(&k->sasl, k->proven, n);
	return n > 0;
}

static bool
mechanism_init(struct ask *k, const struct rec_sasl *r)
{
	enum sasl_mech mech;

	if (sasl_mech_parse(r->mechanism, &mech) != ST_OK)
		return false;
	sasl_server_init(&k->sasl, mech);
	if (sasl_mech_is_scram(mech))
		return scram_init(k, r);
	return mech != SASL_EXTERNAL || external_init(k, r->external);
}

/* NULL: it was answered. */
static struct ask *
sasl_begin(struct auth *a, struct link *l, const struct rec_sasl *r)
{
	struct ask *k = ask_new(a, l, ASK_SASL, r->session, r->protocol);

	if (k == NULL)
		return NULL;
	k->is_exempt = r->is_exempt != 0;
	network_of(r->peer, k);
	if (!mechanism_init(k, r)) {
		ask_answer(k, LOGIN_DENIED, STR_NULL, STR("This mechanism is not offered."));
		ask_free(k);
		return NULL;
	}
	return ask_is_throttled(k) ? NULL : k;
}

/* The exchange that a later message belongs to. NULL: it was forgotten meanwhile, and the client is told. */
static struct ask *
sasl_continue(struct auth *a, struct link *l, const struct rec_sasl *r)
{
	struct ask *k = ask_find(a, l, r->session, r->protocol);

	if (k == NULL)
		(void)rec_login_answer_put(link_out(l),
		    &(struct rec_login_answer){.session = r->session,
		        .protocol = r->protocol,
		        .verdict = LOGIN_TEMPORARY,
		        .text = STR("Logging in took too long; try again.")});
	return k;
}

static bool
sasl_is_sane(const struct rec_sasl *r)
{
	return r->protocol <= LOGIN_SUBMISSION && r->bytes.n <= SASL_MESSAGE_BYTES_MAX &&
	       r->binding_exporter.n <= SASL_BINDING_BYTES_MAX && r->binding_end_point.n <= SASL_BINDING_BYTES_MAX;
}

static bool
auth_sasl(struct auth *a, struct link *l, struct cur *c)
{
	struct rec_sasl r;
	struct sasl_out out = {0};
	struct ask *k;

	if (!rec_sasl_take(c, &r) || !sasl_is_sane(&r))
		return false;
	k = r.step == 0 ? sasl_begin(a, l, &r) : sasl_continue(a, l, &r);
	if (k == NULL)
		return true;
	/* Only who was sent a challenge answers it. */
	if (k->kind != ASK_SASL || !sasl_server_is_waiting(&k->sasl))
		return false;
	if (r.step == 0 && !r.has_bytes)
		sasl_go_on(k, sasl_server_begin(&k->sasl, &out), &out);
	else
		sasl_go_on(k, sasl_server_step(&k->sasl, r.bytes, &k->arena, &out), &out);
	return true;
}

static bool
auth_login_end(struct auth *a, struct link *l, struct cur *c)
{
	struct rec_login_end r;
	struct ask *k;

	if (!rec_login_end_take(c, &r))
		return false;
	k = ask_find(a, l, r.session, r.protocol);
	/* Once the store was asked, its capability goes to access, which gives it back. */
	if (k != NULL && !k->is_proven)
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
	if (k->kind == ASK_SASL)
		sasl_credential(k, &r);
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
	log_event(LOG_INFO, "auth.ok", LOG_STR("login", str_of(k->login, k->login_n)), LOG_U64("account", k->account),
	    LOG_CSTR("protocol", k->protocol == LOGIN_SUBMISSION ? "submission" : "pop3"),
	    LOG_STR("mechanism", k->kind == ASK_SASL ? sasl_mech_name(k->sasl.mech) : STR("password")));
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
