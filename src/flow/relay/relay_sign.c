#include <stdlib.h>

#include "base/log.h"
#include "flow/relay/relay_internal.h"

/*
 * DKIM (RFC 6376): the hash of the body is made here, the header's as well; `keys` signs 32 bytes
 * for each key. The fields of the stored message are signed, not the trace lines that we put in
 * front of it.
 */

enum { CONTEXT_BYTES_MAX = 1024 };

static bool
key_take(struct cur *c, struct relay_sign *out)
{
	return cur_u8(c, &out->algorithm) && cur_str16(c, &out->selector) &&
	       cur_str16(c, &out->sealed) &&
	       (out->algorithm == DKIM_RSA_SHA256 || out->algorithm == DKIM_ED25519_SHA256);
}

enum status
relay_sign_new(struct relay_job *j)
{
	struct cur c = cur_of(j->m.keys);
	struct relay_signing *s = calloc(1, sizeof(*s));

	CHECK(s != NULL && j->signing == NULL);
	j->signing = s;
	arena_init(&s->arena, RELAY_KEYS_MAX * DKIM_ARENA_BYTES);
	while (!cur_at_end(&c) && s->n < RELAY_KEYS_MAX) {
		if (!key_take(&c, &s->key[s->n]))
			return ST_SYNTAX;
		s->n++;
	}
	dkim_body_init(&s->body, DKIM_RELAXED);
	s->is_body_begun = true;
	return ST_OK;
}

void
relay_sign_body(struct relay_job *j, struct str bytes)
{
	dkim_body_put(&j->signing->body, bytes);
}

void
relay_sign_free(struct relay_job *j)
{
	struct relay_signing *s = j->signing;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n; i++)
		relay_ask_del(j->r, &s->key[i].ask);
	if (s->is_body_begun)
		dkim_body_fini(&s->body);
	arena_fini(&s->arena);
	free(s);
	j->signing = NULL;
}

static void
sign_ask(struct relay_job *j, struct link *keys, uint8_t i, const uint8_t digest[DKIM_HASH_BYTES])
{
	struct relay_sign *k = &j->signing->key[i];
	struct buf context;

	buf_init(&context, CONTEXT_BYTES_MAX);
	(void)buf_put(&context, STR("dkim "));
	(void)buf_put(&context, j->m.sign_domain);
	(void)buf_put_c(&context, ' ');
	(void)buf_put(&context, k->selector);
	relay_ask_add(j, &k->ask, RELAY_ASK_SIGN, i);
	(void)rec_dkim_sign_put(link_out(keys), &(struct rec_dkim_sign){.ticket = k->ask.id,
						    .algorithm = k->algorithm,
						    .context = buf_str(&context),
						    .sealed = k->sealed,
						    .digest = str_of(digest, DKIM_HASH_BYTES)});
	buf_fini(&context);
	j->signing->due++;
}

static enum status
sign_one(struct relay_job *j, struct link *keys, uint8_t i, struct str header,
    const uint8_t hash[DKIM_HASH_BYTES])
{
	struct relay_sign *k = &j->signing->key[i];
	uint8_t digest[DKIM_HASH_BYTES];
	struct dkim_sign_conf conf = {.domain = j->m.sign_domain,
	    .selector = k->selector,
	    .algorithm = (enum dkim_algorithm)k->algorithm,
	    .header_canon = DKIM_RELAXED,
	    .body_canon = DKIM_RELAXED,
	    .time_s = clock_wall_ms(loop_clock(j->r->loop)) / 1000};
	enum status st = dkim_sign_begin(&k->sign, &conf, header, hash, &j->signing->arena, digest);

	if (st == ST_OK)
		sign_ask(j, keys, i, digest);
	return st;
}

static void
sign_failed(struct relay_job *j, const char *why)
{
	relay_reason_set(&j->reason, 451, 3, 0, "%s", why);
	relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
}

/* All of the body was put. */
void
relay_sign_begin(struct relay_job *j)
{
	struct relay_signing *s = j->signing;
	struct link *keys = j->r->ops->keys(j->r->ops_arg);
	uint8_t hash[DKIM_HASH_BYTES];
	struct str header;
	enum status st = ST_OK;

	dkim_body_end(&s->body, hash);
	s->is_body_begun = false;
	if (keys == NULL) {
		sign_failed(j, "the message cannot be signed at the moment: no keys");
		return;
	}
	if (!relay_content_header(j, &header))
		st = ST_LIMIT;
	for (uint8_t i = 0; i < s->n && st == ST_OK; i++)
		st = sign_one(j, keys, i, header, hash);
	/* What cannot be signed, such as a message without From, is not better kept back. */
	if (st != ST_OK)
		log_event(LOG_WARN, "relay.unsigned", LOG_U64("message", j->message),
		    LOG_STR("domain", j->m.sign_domain), LOG_CSTR("why", status_word(st)));
	s->due_ms = relay_now_ms(j->r) + RELAY_SIGN_MS;
	if (s->due == 0) {
		relay_sign_free(j);
		relay_job_prepared(j);
	}
}

static void
sign_over(struct relay_job *j)
{
	struct relay_signing *s = j->signing;
	size_t signed_n = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct relay_sign *k = &s->key[i];
		if (k->signature_n > 0 &&
		    dkim_sign_end(&k->sign, str_of(k->signature, k->signature_n), &j->signatures) ==
			ST_OK)
			signed_n++;
		else
			log_event(LOG_WARN, "relay.key_failed", LOG_U64("message", j->message),
			    LOG_STR("domain", j->m.sign_domain), LOG_STR("selector", k->selector));
	}
	relay_sign_free(j);
	/* One good signature is as good as two; none, where there should be one, is spam to many.
	 */
	if (signed_n == 0)
		sign_failed(
		    j, "the message cannot be signed at the moment: its keys cannot be used");
	else
		relay_job_prepared(j);
}

void
relay_sign_answer(struct relay_job *j, uint8_t index, struct str signature)
{
	struct relay_sign *k = &j->signing->key[index];

	CHECK(j->signing->due > 0);
	if (signature.n > 0 && signature.n <= sizeof(k->signature)) {
		memcpy(k->signature, signature.p, signature.n);
		k->signature_n = (uint16_t)signature.n;
	}
	if (--j->signing->due == 0)
		sign_over(j);
}
