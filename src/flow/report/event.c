#include "flow/report/event.h"

#include "base/check.h"
#include "base/cur.h"
#include "base/num.h"
#include "base/siphash.h"

#define RECORD_VERSION 1

static const char *const kind_words[EVENT_KINDS] = {
    [EVENT_DELIVERED] = "delivered",
    [EVENT_QUEUED] = "queued",
    [EVENT_SENT] = "sent",
    [EVENT_DEFERRED] = "deferred",
    [EVENT_FAILED] = "failed",
    [EVENT_NOTICE] = "notice",
    [EVENT_HELD] = "held",
    [EVENT_RELEASED] = "released",
    [EVENT_RETRIED] = "retried",
    [EVENT_REMOVED] = "removed",
};

const char *
event_kind_word(enum event_kind k)
{
	return k < EVENT_KINDS ? kind_words[k] : "unknown";
}

/* ---- the record ---- */

static void
event_encode(const struct event *e, const uint64_t *hashes, size_t hashes_n, struct buf *out)
{
	(void)buf_put_c(out, RECORD_VERSION);
	(void)buf_put_c(out, (char)e->kind);
	(void)buf_put_le64(out, e->trace);
	(void)buf_put_le64(out, e->at_ms);
	(void)buf_put_le64(out, e->due_ms);
	(void)buf_put_le64(out, e->bytes);
	(void)buf_put_le64(out, e->message);
	(void)buf_put_le16(out, e->code);
	for (int i = 0; i < 3; i++)
		(void)buf_put_le16(out, e->enhanced[i]);
	(void)buf_put_str16(out, str_take(e->sender, 320));
	(void)buf_put_str16(out, str_take(e->rcpts, EVENT_RCPTS_BYTES_MAX));
	(void)buf_put_str16(out, str_take(e->message_id, 255));
	(void)buf_put_str16(out, str_take(e->host, 255));
	(void)buf_put_str16(out, str_take(e->ip, 64));
	(void)buf_put_str16(out, str_take(e->tls, 64));
	(void)buf_put_str16(out, str_take(e->text, 512));
	/* So that forgetting the event finds what leads to it. */
	(void)buf_put_le16(out, (uint16_t)hashes_n);
	for (size_t i = 0; i < hashes_n; i++)
		(void)buf_put_le64(out, hashes[i]);
	CHECK(!out->full);
}

/* Strings borrowed from the record; *names: the hashes. */
static enum status
event_decode(struct str record, uint64_t id, struct event *e, struct cur *names)
{
	struct cur c = cur_of(record);
	uint8_t version;
	uint16_t n;
	bool ok;

	*e = (struct event){.id = id};
	ok = cur_u8(&c, &version) && version == RECORD_VERSION && cur_u8(&c, &e->kind) && cur_le64(&c, &e->trace) &&
	    cur_le64(&c, &e->at_ms) && cur_le64(&c, &e->due_ms) && cur_le64(&c, &e->bytes) && cur_le64(&c, &e->message) &&
	    cur_le16(&c, &e->code) && cur_le16(&c, &e->enhanced[0]) && cur_le16(&c, &e->enhanced[1]) &&
	    cur_le16(&c, &e->enhanced[2]) && cur_str16(&c, &e->sender) && cur_str16(&c, &e->rcpts) &&
	    cur_str16(&c, &e->message_id) && cur_str16(&c, &e->host) && cur_str16(&c, &e->ip) && cur_str16(&c, &e->tls) &&
	    cur_str16(&c, &e->text) && cur_le16(&c, &n) && cur_left(&c) == (size_t)n * 8;
	*names = c;
	return ok ? ST_OK : ST_IO;
}

static enum status
event_copy(struct event *e, struct arena *a)
{
	struct str *all[] = {&e->sender, &e->rcpts, &e->message_id, &e->host, &e->ip, &e->tls, &e->text};

	for (size_t i = 0; i < COUNT_OF(all); i++) {
		enum status st = arena_str(a, *all[i], all[i]);
		if (st != ST_OK)
			return st;
	}
	return ST_OK;
}

/* ---- names ---- */

static struct str
name_bare(struct str name)
{
	if (name.n >= 2 && name.p[0] == '<' && name.p[name.n - 1] == '>')
		return str_take(str_from(name, 1), name.n - 2);
	return name;
}

/* The same over restarts and machines; who floods one name hurts only the finding of that name. */
static uint64_t
name_hash(struct str name)
{
	char lower[512];
	size_t n;

	name = name_bare(name);
	n = size_min(name.n, sizeof(lower));
	for (size_t i = 0; i < n; i++)
		lower[i] = char_lower(name.p[i]);
	return siphash(0x706f7374, 0x686f726e, str_of(lower, n));
}

static size_t
hashes_make(const struct str *names, size_t names_n, uint64_t out[EVENT_NAMES_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < names_n && n < EVENT_NAMES_MAX; i++) {
		uint64_t h = name_hash(names[i]);
		size_t k = 0;
		if (name_bare(names[i]).n == 0)
			continue;
		while (k < n && out[k] != h)
			k++;
		if (k == n)
			out[n++] = h;
	}
	return n;
}

/* ---- writing ---- */

enum status
event_put(struct txn *t, struct event *e, const struct str *names, size_t names_n)
{
	uint64_t hashes[EVENT_NAMES_MAX];
	size_t hashes_n = hashes_make(names, names_n, hashes);
	struct buf record;
	struct key k;
	enum status st = store_add(t, key_counter(&k, SCHEMA_COUNTER_EVENT), 1, &e->id);

	if (st != ST_OK)
		return st;
	buf_init(&record, EVENT_BYTES_MAX);
	event_encode(e, hashes, hashes_n, &record);
	st = store_put(t, key_event(&k, e->id), buf_str(&record));
	buf_fini(&record);
	if (st == ST_OK && e->trace != 0)
		st = store_put(t, key_event_trace(&k, e->trace, e->id), STR_NULL);
	for (size_t i = 0; i < hashes_n && st == ST_OK; i++)
		st = store_put(t, key_event_name(&k, hashes[i], e->id), STR_NULL);
	if (e->trace == 0)
		e->trace = e->id;
	return st;
}

/* ---- reading ---- */

enum status
event_list(struct txn *t, uint64_t after, struct arena *a, struct event *out, size_t max, size_t *n_out)
{
	struct key from, to;
	struct store_iter it;
	struct cur names;
	enum status st;

	*n_out = 0;
	if (after == UINT64_MAX)
		return ST_OK;
	st = store_range(t, key_event(&from, after + 1), key_event(&to, UINT64_MAX), false, &it);
	if (st != ST_OK)
		return st;
	while (*n_out < max && (st = store_next(&it)) == ST_OK) {
		struct event *e = &out[*n_out];
		st = event_decode(it.value, key_last_u64(it.key), e, &names);
		if (st == ST_OK)
			st = event_copy(e, a);
		if (st != ST_OK)
			break;
		++*n_out;
	}
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st;
}

enum status
event_find(struct txn *t, struct str name, uint64_t *out, size_t max, size_t *n_out)
{
	uint64_t hash = name_hash(name);
	struct key from, to;
	struct store_iter it;
	enum status st;

	*n_out = 0;
	st = store_range(t, key_event_name(&from, hash, 0), key_event_name(&to, hash, UINT64_MAX), true, &it);
	if (st != ST_OK)
		return st;
	while (*n_out < max && (st = store_next(&it)) == ST_OK)
		out[(*n_out)++] = key_last_u64(it.key);
	store_iter_end(&it);
	/* Read from the latest on, given oldest first. */
	for (size_t i = 0; i < *n_out / 2; i++) {
		uint64_t v = out[i];
		out[i] = out[*n_out - 1 - i];
		out[*n_out - 1 - i] = v;
	}
	return st == ST_EOF ? ST_OK : st;
}

static enum status
event_get(struct txn *t, uint64_t id, struct arena *a, struct event *out)
{
	struct key k;
	struct str record;
	struct cur names;
	enum status st = store_get(t, key_event(&k, id), &record);

	if (st == ST_OK)
		st = event_decode(record, id, out, &names);
	return st == ST_OK ? event_copy(out, a) : st;
}

enum status
event_trace(struct txn *t, uint64_t first, struct arena *a, struct event *out, size_t max, size_t *n_out)
{
	struct key from, to;
	struct store_iter it;
	enum status st;

	*n_out = 0;
	if (max == 0)
		return ST_OK;
	st = event_get(t, first, a, &out[0]);
	/* The first may be forgotten when the last ones are not. */
	*n_out = st == ST_OK;
	if (st != ST_OK && st != ST_NOTFOUND)
		return st;
	st = store_range(t, key_event_trace(&from, first, 0), key_event_trace(&to, first, UINT64_MAX), false, &it);
	if (st != ST_OK)
		return st;
	while (*n_out < max && (st = store_next(&it)) == ST_OK) {
		enum status got = event_get(t, key_last_u64(it.key), a, &out[*n_out]);
		if (got != ST_OK && got != ST_NOTFOUND) {
			st = got;
			break;
		}
		*n_out += got == ST_OK;
	}
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st;
}

enum status
event_last(struct txn *t, uint64_t *out)
{
	struct key k;
	struct str value;
	enum status st = store_get(t, key_counter(&k, SCHEMA_COUNTER_EVENT), &value);

	*out = st == ST_OK && value.n == 8 ? le64_get(value.p) : 0;
	return st == ST_NOTFOUND ? ST_OK : st;
}

/* ---- forgetting ---- */

enum status
event_oldest(struct txn *t, uint64_t *at_ms_out)
{
	struct key from, to;
	struct store_iter it;
	struct event e = {0};
	struct cur names;
	enum status st = store_range(t, key_event(&from, 0), key_event(&to, UINT64_MAX), false, &it);

	if (st != ST_OK)
		return st;
	st = store_next(&it);
	/* One that cannot be read is as old as can be. */
	if (st == ST_OK)
		(void)!event_decode(it.value, key_last_u64(it.key), &e, &names);
	*at_ms_out = e.at_ms;
	store_iter_end(&it);
	return st == ST_EOF ? ST_NOTFOUND : st;
}

static enum status
event_del(struct txn *t, const struct event *e, struct cur names)
{
	struct key k;
	uint64_t hash;
	enum status st = store_del(t, key_event(&k, e->id));

	if (st == ST_OK && e->trace != 0)
		st = store_del(t, key_event_trace(&k, e->trace, e->id));
	while (st == ST_OK && cur_le64(&names, &hash))
		st = store_del(t, key_event_name(&k, hash, e->id));
	return st;
}

/* Copies: what is deleted must not be under an open range. */
static enum status
oldest_take(struct txn *t, uint64_t before_ms, uint64_t *ids, size_t max, size_t *n_out)
{
	struct key from, to;
	struct store_iter it;
	struct event e;
	struct cur names;
	enum status st = store_range(t, key_event(&from, 0), key_event(&to, UINT64_MAX), false, &it);

	*n_out = 0;
	if (st != ST_OK)
		return st;
	while (*n_out < max && (st = store_next(&it)) == ST_OK) {
		st = event_decode(it.value, key_last_u64(it.key), &e, &names);
		/* One that cannot be read is only in the way. */
		if (st == ST_OK && e.at_ms >= before_ms)
			break;
		ids[(*n_out)++] = key_last_u64(it.key);
	}
	store_iter_end(&it);
	return st == ST_EOF || st == ST_IO ? ST_OK : st;
}

enum status
event_prune(struct txn *t, uint64_t before_ms, bool *is_done_out)
{
	uint64_t ids[EVENT_PRUNE_MAX];
	char copy[EVENT_BYTES_MAX];
	struct key k;
	size_t n;
	enum status st = oldest_take(t, before_ms, ids, COUNT_OF(ids), &n);

	*is_done_out = n < COUNT_OF(ids);
	for (size_t i = 0; i < n && st == ST_OK; i++) {
		struct str record;
		struct event e;
		struct cur names = cur_of(STR_NULL);
		st = store_get(t, key_event(&k, ids[i]), &record);
		if (st != ST_OK)
			break;
		/* What the store lends ends with the first deletion. */
		record.n = size_min(record.n, sizeof(copy));
		memcpy(copy, record.p, record.n);
		if (event_decode(str_of(copy, record.n), ids[i], &e, &names) != ST_OK)
			names = cur_of(STR_NULL);
		st = event_del(t, &e, names);
	}
	return st;
}
