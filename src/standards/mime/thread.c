/* Keys for threading: message ids and the base subject (RFC 5256 2.1, 3). */
#include "base/num.h"
#include "base/siphash.h"
#include "standards/mime/mime_digest.h"
#include "standards/mime/mime_internal.h"

enum {
	ID_BYTES_MAX = 998
}; /* a line (RFC 5322 2.1.1); what is longer shares the key of its beginning */

/* ---- the hash ---- */

/*
 * SipHash with key 0. The keys are kept in records, so they must be the same in every process;
 * that somebody can aim at a collision gives him nothing he could not write into References.
 */
static uint64_t
key_of(struct str s)
{
	uint64_t key = siphash(0, 0, s);

	/* 0 means no key. */
	return key != 0 ? key : 1;
}

/* ---- message ids ---- */

/* Ids are opaque; only quotes, escapes and white space are no part of them (RFC 5256 3). */
static uint64_t
id_key(struct str inside)
{
	char plain[ID_BYTES_MAX];
	size_t n = 0;

	inside = str_take(inside, sizeof(plain));
	for (size_t i = 0; i < inside.n; i++)
		if (!mime_is_space(inside.p[i]) && inside.p[i] != '"' && inside.p[i] != '\\')
			plain[n++] = inside.p[i];
	return key_of(str_of(plain, n));
}

/* The next "<...>" that is not empty. */
static bool
id_take(struct cur *c, uint64_t *key_out)
{
	struct str inside = STR_NULL;

	while (inside.n == 0) {
		if (cur_at_end(c))
			return false;
		cur_skip(c, str_find_char(cur_rest(c), '<'));
		if (!cur_char(c, '<'))
			return false;
		inside = cur_rest(c);
		inside = str_take(inside, str_find_char(inside, '>'));
		cur_skip(c, inside.n + 1);
	}
	*key_out = id_key(inside);
	return true;
}

static void
key_add(struct mime_thread *t, uint64_t key)
{
	for (size_t i = 0; i < t->keys_n; i++)
		if (t->keys[i] == key)
			return;
	if (t->keys_n < MIME_THREAD_KEYS_MAX)
		t->keys[t->keys_n++] = key;
}

/* The last ids of the value, newest first. */
static void
references_add(struct mime_thread *t, struct str value)
{
	uint64_t ring[MIME_THREAD_KEYS_MAX], key;
	struct cur c = cur_of(value);
	size_t n = 0;

	while (id_take(&c, &key))
		ring[n++ % MIME_THREAD_KEYS_MAX] = key;
	for (size_t i = 0; i < size_min(n, MIME_THREAD_KEYS_MAX); i++)
		key_add(t, ring[(n - 1 - i) % MIME_THREAD_KEYS_MAX]);
}

/* ---- base subject ---- */

/* subj-blob = "[" *BLOBCHAR "]" *WSP; no brackets inside. */
static bool
blob_take(struct cur *c)
{
	struct cur try = *c;
	struct str inside;

	if (!cur_char(&try, '[') || !cur_take_until(&try, ']', MIME_SUBJECT_BYTES_MAX, &inside))
		return false;
	if (str_find_char(inside, '[') < inside.n)
		return false;
	cur_skip(&try, 1);
	(void)cur_skip_wsp(&try);
	*c = try;
	return true;
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":" */
static bool
refwd_take(struct cur *c)
{
	struct cur try = *c;

	if (!cur_lit_ci(&try, "re") && !cur_lit_ci(&try, "fwd") && !cur_lit_ci(&try, "fw"))
		return false;
	(void)cur_skip_wsp(&try);
	(void)blob_take(&try);
	if (!cur_char(&try, ':'))
		return false;
	*c = try;
	return true;
}

/* subj-leader = (*subj-blob subj-refwd) / WSP */
static bool
leader_take(struct cur *c, bool *is_reply)
{
	struct cur try = *c;

	if (cur_skip_wsp(c) > 0)
		return true;
	while (blob_take(&try))
		;
	if (!refwd_take(&try))
		return false;
	*c = try;
	*is_reply = true;
	return true;
}

/* subj-trailer = "(fwd)" / WSP */
static struct str
trailers_cut(struct str s, bool *is_reply)
{
	for (;;) {
		if (s.n > 0 && mime_is_wsp(s.p[s.n - 1])) {
			s.n--;
		} else if (str_has_suffix_ci(s, STR("(fwd)"))) {
			s.n -= sizeof("(fwd)") - 1;
			*is_reply = true;
		} else {
			return s;
		}
	}
}

static struct str
base_subject(struct str s, bool *is_reply)
{
	struct cur c, try;
	bool has_more = true;

	while (has_more) {
		s = trailers_cut(s, is_reply);
		c = cur_of(s);
		do {
			while (leader_take(&c, is_reply))
				;
			try = c;
			/* (4): a blob goes only when something is left. */
			has_more = blob_take(&try) && !cur_at_end(&try);
			if (has_more)
				c = try;
		} while (has_more);
		s = cur_rest(&c);
		/* (6) */
		has_more = str_has_prefix_ci(s, STR("[fwd:")) && s.n > 5 && s.p[s.n - 1] == ']';
		if (has_more) {
			s = str_from(str_take(s, s.n - 1), sizeof("[fwd:") - 1);
			*is_reply = true;
		}
	}
	return s;
}

/* (1): one space where white space is. Returns the new length. */
static size_t
spaces_fold(char *p, size_t n)
{
	size_t w = 0;

	for (size_t i = 0; i < n; i++) {
		char c = mime_is_space(p[i]) ? ' ' : p[i];

		if (c != ' ' || w == 0 || p[w - 1] != ' ')
			p[w++] = c;
	}
	return w;
}

enum status
mime_base_subject(struct str value, struct buf *out, bool *is_reply_out)
{
	struct buf text;
	enum status st;

	*is_reply_out = false;
	buf_init(&text, MIME_SUBJECT_BYTES_MAX);
	(void)mime_text_decode(value, &text);
	if (text.n > 0)
		text.n = spaces_fold(text.p, text.n);
	st = buf_put(out, base_subject(buf_str(&text), is_reply_out));
	buf_fini(&text);
	return st;
}

static void
subject_key_set(struct mime_thread *t, struct str value)
{
	struct buf base;

	buf_init(&base, MIME_SUBJECT_BYTES_MAX);
	if (mime_base_subject(value, &base, &t->is_reply) == ST_OK && base.n > 0) {
		for (size_t i = 0; i < base.n; i++)
			base.p[i] = char_lower(base.p[i]);
		t->subject_key = key_of(buf_str(&base));
		t->has_subject = true;
	}
	buf_fini(&base);
}

void
mime_thread_keys(struct str header, struct mime_thread *out)
{
	struct str id = STR_NULL, reply = STR_NULL, references = STR_NULL, subject = STR_NULL;
	struct cur c = cur_of(header);
	struct mime_header h;
	uint64_t key;

	*out = (struct mime_thread){0};
	while (mime_header_next(&c, &h)) {
		if (h.name.n == 7 && subject.p == NULL && str_eq_ci(h.name, STR("subject")))
			subject = h.value;
		else if (h.name.n == 10 && id.p == NULL && str_eq_ci(h.name, STR("message-id")))
			id = h.value;
		else if (h.name.n == 10 && references.p == NULL &&
			 str_eq_ci(h.name, STR("references")))
			references = h.value;
		else if (h.name.n == 11 && reply.p == NULL && str_eq_ci(h.name, STR("in-reply-to")))
			reply = h.value;
	}
	c = cur_of(id);
	if (id_take(&c, &key)) {
		key_add(out, key);
		out->has_message_id = true;
	}
	references_add(out, reply);
	references_add(out, references);
	subject_key_set(out, subject);
}
