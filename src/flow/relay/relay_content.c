#include "flow/relay/relay_internal.h"

/*
 * The content: our signatures, the trace lines, the stored message. Of the stored message the first
 * QUEUE_BODY_BYTES came with QUEUE_MESSAGE and stay; the rest is asked of the store a piece at a
 * time, once for the hash when there are keys, once for sending.
 */

bool
relay_is_ascii(struct str s)
{
	uint64_t any = 0, word;
	size_t i = 0;

	/* Every message is looked at. */
	for (; i + sizeof(word) <= s.n; i += sizeof(word)) {
		memcpy(&word, s.p + i, sizeof(word));
		any |= word;
	}
	for (; i < s.n; i++)
		any |= (uint8_t)s.p[i];
	return (any & UINT64_C(0x8080808080808080)) == 0;
}

bool
relay_content_header(const struct relay_job *j, struct str *out)
{
	struct str body = j->m.body;
	size_t end = str_find(body, STR("\r\n\r\n"));

	if (end < body.n)
		*out = str_take(body, end + 2);
	else if (str_has_prefix(body, STR("\r\n")))
		*out = STR_NULL;
	else if (body.n == j->m.body_bytes)
		*out = body;
	else
		return false;
	return true;
}

/* Where the body of the stored message begins in it, for the hash. */
static size_t
text_at(const struct relay_job *j)
{
	struct str header;

	if (!relay_content_header(j, &header))
		return j->m.body.n;
	return size_min(header.n + 2, j->m.body.n);
}

uint64_t
relay_content_bytes(const struct relay_job *j)
{
	return j->signatures.n + j->m.head.n + j->m.body_bytes;
}

void
relay_content_rewind(struct relay_job *j)
{
	j->at = 0;
}

static void
piece_ask(struct relay_job *j, uint64_t off)
{
	struct link *store = j->r->ops->store(j->r->ops_arg);

	if (j->is_piece_asked)
		return;
	j->is_piece_asked = true;
	j->piece_at = off;
	buf_reset(&j->piece);
	j->store_due_ms = store != NULL ? relay_now_ms(j->r) + RELAY_STORE_MS : 1;
	if (store != NULL)
		(void)rec_queue_read_put(link_out(store), &(struct rec_queue_read){.job = j->id,
							      .message = j->message,
							      .off = off,
							      .bytes_max = RELAY_PIECE_BYTES});
}

/* Bytes of the stored message from off on. */
static enum status
body_at(struct relay_job *j, uint64_t off, struct str *out)
{
	if (off >= j->m.body_bytes)
		return ST_EOF;
	if (off < j->m.body.n) {
		*out = str_from(j->m.body, (size_t)off);
		return ST_OK;
	}
	if (!j->is_piece_asked && off >= j->piece_at && off - j->piece_at < j->piece.n) {
		*out = str_from(buf_str(&j->piece), (size_t)(off - j->piece_at));
		return ST_OK;
	}
	piece_ask(j, off);
	return ST_MORE;
}

enum status
relay_content_next(struct relay_job *j, struct str *out)
{
	uint64_t at = j->at;
	enum status st = ST_OK;

	if (at < j->signatures.n) {
		*out = str_from(buf_str(&j->signatures), (size_t)at);
	} else if ((at -= j->signatures.n) < j->m.head.n) {
		*out = str_from(j->m.head, (size_t)at);
	} else {
		st = body_at(j, at - j->m.head.n, out);
	}
	if (st == ST_OK)
		*out = str_take(*out, RELAY_SLICE_BYTES);
	return st;
}

void
relay_content_took(struct relay_job *j, size_t n)
{
	j->at += n;
}

/* ---- the look at the body before it is sent ---- */

static void
look_at(struct relay_job *j, struct str bytes)
{
	j->has_8bit = j->has_8bit || !relay_is_ascii(bytes);
	if (j->signing != NULL)
		relay_sign_body(j, bytes);
}

static void
look_over(struct relay_job *j)
{
	j->is_scanned = true;
	if (j->signing != NULL)
		relay_sign_begin(j);
	else
		relay_job_prepared(j);
}

/* What lies behind the first piece; at: in the stored message. */
static void
look_on(struct relay_job *j)
{
	struct str bytes;
	enum status st;

	while ((st = body_at(j, j->at, &bytes)) == ST_OK) {
		look_at(j, bytes);
		j->at += bytes.n;
	}
	if (st == ST_EOF)
		look_over(j);
}

void
relay_content_prepare(struct relay_job *j)
{
	size_t text = text_at(j);

	j->has_8bit = !relay_is_ascii(j->m.head) || !relay_is_ascii(str_take(j->m.body, text));
	look_at(j, str_from(j->m.body, text));
	j->at = j->m.body.n;
	/* Without keys a large body is not read twice: what its sender said about it is believed.
	 */
	if (j->signing == NULL && j->m.body_bytes > j->m.body.n)
		relay_job_prepared(j);
	else
		look_on(j);
}

bool
relay_content_piece(struct relay_job *j, const struct rec_queue_piece *p)
{
	if (!j->is_piece_asked || p->off != j->piece_at)
		return true;
	if (p->ok && (p->bytes.n == 0 || p->bytes.n > RELAY_PIECE_BYTES ||
			 p->bytes.n > j->m.body_bytes - p->off))
		return false;
	j->is_piece_asked = false;
	j->store_due_ms = 0;
	if (!p->ok) {
		relay_reason_set(&j->reason, 451, 3, 0,
		    "the message cannot be read from the store at the moment");
		relay_job_defer(j, SCHEDULE_DEFERRED_MESSAGE);
		return true;
	}
	CHECK(buf_put(&j->piece, p->bytes) == ST_OK);
	if (!j->is_prepared)
		look_on(j);
	else if (j->session != NULL)
		relay_session_go_on(j->session);
	return true;
}
