#include "standards/mime/mime_digest.h"

#include <openssl/evp.h>

#include "base/check.h"
#include "base/num.h"
#include "base/utf8.h"
#include "standards/mime/charset.h"
#include "standards/mime/mime_internal.h"

/*
 * The record, little-endian:
 *
 *	 0  u8   version
 *	 1  u8   thread keys n
 *	 2  u16  flags
 *	 4  u16  envelope bytes
 *	 6  u16  bodystructure bytes
 *	 8  u16  preview bytes
 *	10  i16  date offset in minutes
 *	12  u32  0
 *	16  u64  size
 *	24  i64  date
 *	32  u64  subject key
 *	40  32   SHA-256
 *	72  u64  thread keys [n]
 *	    envelope, bodystructure, preview
 */
enum {
	DIGEST_VERSION = 1,
	DIGEST_HEAD_BYTES = 72,
	DIGEST_FLAGS_ALL = (MIME_DIGEST_HAS_DEFECT << 1) - 1,
};

_Static_assert(DIGEST_HEAD_BYTES + 8 * MIME_THREAD_KEYS_MAX + MIME_DIGEST_ENVELOPE_BYTES_MAX +
		       MIME_DIGEST_BODYSTRUCTURE_BYTES_MAX + MIME_PREVIEW_BYTES_MAX <=
		   MIME_DIGEST_BYTES_MAX,
    "the shares of a digest are more than the whole");

/* Looking an algorithm up takes locks and, the first time, the provider's tables: once per process.
 */
static EVP_MD *sha256_md;

void
mime_digest_preload(void)
{
	if (sha256_md == NULL) {
		sha256_md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
		CHECK(sha256_md != NULL);
	}
	mime_charset_preload();
}

static void
sha256_of(struct str s, uint8_t out[MIME_DIGEST_SHA256_BYTES])
{
	unsigned n = 0;

	if (sha256_md == NULL)
		mime_digest_preload();
	CHECK(EVP_Digest(s.p != NULL ? s.p : "", s.n, out, &n, sha256_md, NULL) == 1 &&
	      n == MIME_DIGEST_SHA256_BYTES);
}

static void
date_set(struct mime_digest *d, struct str header)
{
	struct mime_header h;

	if (mime_header_find(header, STR("date"), &h) &&
	    mime_date_parse(h.value, &d->date_unix_seconds, &d->date_offset_minutes) == ST_OK)
		d->flags |= MIME_DIGEST_HAS_DATE;
}

/* RFC 8621 4.1.4: something a reader would call an attachment. */
static bool
is_attachment(const struct mime_part *p)
{
	bool is_inline = str_eq_ci(p->disposition, STR("inline"));

	if (p->kind == MIME_MULTIPART)
		return false;
	if (str_eq_ci(p->disposition, STR("attachment")))
		return true;
	if (mime_part_is(p, STR("text"), STR_NULL))
		return !is_inline && mime_part_filename(p).n > 0;
	/* A signature is no attachment, nor is what a bounce brings along (RFC 3464, RFC 6533). */
	if (mime_part_is(p, STR("application"), STR("pgp-signature")) ||
	    mime_part_is(p, STR("application"), STR("pkcs7-signature")) ||
	    mime_part_is(p, STR("application"), STR("x-pkcs7-signature")))
		return false;
	if (p->parent != NULL && mime_part_is(p->parent, STR("multipart"), STR("report")))
		return false;
	/* Pictures of the HTML beside them. */
	if (p->id.n > 0 &&
	    (is_inline ||
		(p->parent != NULL && mime_part_is(p->parent, STR("multipart"), STR("related")))))
		return false;
	return !(
	    is_inline && mime_part_is(p, STR("image"), STR_NULL) && mime_part_filename(p).n == 0);
}

static bool
has_attachment(const struct mime_part *root)
{
	for (const struct mime_part *p = root; p != NULL; p = mime_part_next_outside(p, root))
		if (is_attachment(p))
			return true;
	return false;
}

static void
flags_set(struct mime_digest *d, const struct mime_message *m, const struct mime_thread *t)
{
	d->flags |= has_attachment(m->root) ? MIME_DIGEST_HAS_ATTACHMENT : 0;
	d->flags |= t->has_message_id ? MIME_DIGEST_HAS_MESSAGE_ID : 0;
	d->flags |= t->has_subject ? MIME_DIGEST_HAS_SUBJECT : 0;
	d->flags |= t->is_reply ? MIME_DIGEST_IS_REPLY : 0;
	d->flags |= (m->defects & MIME_LIMIT_ANY) != 0 ? MIME_DIGEST_TREE_CUT : 0;
	d->flags |= (m->defects & ~(uint32_t)MIME_LIMIT_ANY) != 0 ? MIME_DIGEST_HAS_DEFECT : 0;
}

static void
envelope_make(const struct mime_message *m, struct arena *a, struct mime_digest *d, struct buf *out)
{
	mime_imap_envelope(m->root->header, a, MIME_IMAP_WHOLE, out);
	if (!out->full && !a->full)
		return;
	d->flags |= MIME_DIGEST_ENVELOPE_CUT;
	buf_reset(out);
	mime_imap_envelope(m->root->header, a, MIME_IMAP_SHORT, out);
	CHECK(!out->full);
}

static void
bodystructure_make(
    const struct mime_message *m, struct arena *a, struct mime_digest *d, struct buf *out)
{
	mime_imap_structure(m->root, a, true, MIME_IMAP_WHOLE, out);
	if (!out->full && !a->full)
		return;
	d->flags |= MIME_DIGEST_BODYSTRUCTURE_CUT;
	buf_reset(out);
	mime_imap_structure(m->root, a, true, MIME_IMAP_SHORT, out);
	if (!out->full)
		return;
	/* Too many parts even so: one opaque part. */
	buf_reset(out);
	(void)buf_put(out, STR("(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"BINARY\" "));
	(void)buf_put_u64(out, m->root->body.n);
	(void)buf_put(out, STR(" NIL NIL NIL NIL)"));
}

static void
record_head_write(const struct mime_digest *d, char head[DIGEST_HEAD_BYTES])
{
	memset(head, 0, DIGEST_HEAD_BYTES);
	head[0] = DIGEST_VERSION;
	head[1] = (char)d->thread_keys_n;
	le16_put(head + 2, (uint16_t)d->flags);
	le16_put(head + 4, (uint16_t)d->envelope.n);
	le16_put(head + 6, (uint16_t)d->bodystructure.n);
	le16_put(head + 8, (uint16_t)d->preview.n);
	le16_put(head + 10, (uint16_t)d->date_offset_minutes);
	le64_put(head + 16, d->size_bytes);
	le64_put(head + 24, (uint64_t)d->date_unix_seconds);
	le64_put(head + 32, d->subject_key);
	memcpy(head + 40, d->sha256, MIME_DIGEST_SHA256_BYTES);
}

static enum status
record_write(const struct mime_digest *d, struct buf *out)
{
	size_t n = DIGEST_HEAD_BYTES + 8 * d->thread_keys_n + d->envelope.n + d->bodystructure.n +
		   d->preview.n;
	char *w = buf_reserve(out, n);

	if (w == NULL)
		return ST_LIMIT;
	record_head_write(d, w);
	buf_commit(out, DIGEST_HEAD_BYTES);
	for (size_t i = 0; i < d->thread_keys_n; i++) {
		char key[8];
		le64_put(key, d->thread_keys[i]);
		(void)buf_put(out, str_of(key, sizeof(key)));
	}
	(void)buf_put(out, d->envelope);
	(void)buf_put(out, d->bodystructure);
	return buf_put(out, d->preview);
}

/* A message whose tree found no room at all: what can be told without one. */
static void
rootless_make(struct mime_digest *d)
{
	d->flags = MIME_DIGEST_TREE_CUT | MIME_DIGEST_ENVELOPE_CUT | MIME_DIGEST_BODYSTRUCTURE_CUT;
	d->envelope = STR("(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
	d->bodystructure =
	    STR("(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"BINARY\" 0 NIL NIL NIL NIL)");
}

enum status
mime_digest_make_parsed(const struct mime_message *m, struct arena *a, struct buf *out)
{
	struct mime_digest d = {.size_bytes = m->bytes.n};
	struct buf envelope, bodystructure, preview;
	struct mime_thread t = {0};
	enum status st;

	buf_init(&envelope, MIME_DIGEST_ENVELOPE_BYTES_MAX);
	buf_init(&bodystructure, MIME_DIGEST_BODYSTRUCTURE_BYTES_MAX);
	buf_init(&preview, MIME_PREVIEW_BYTES_MAX);
	sha256_of(m->bytes, d.sha256);
	if (m->root != NULL) {
		mime_thread_keys(m->root->header, &t);
		memcpy(d.thread_keys, t.keys, sizeof(t.keys));
		d.thread_keys_n = t.keys_n;
		d.subject_key = t.subject_key;
		date_set(&d, m->root->header);
		flags_set(&d, m, &t);
		envelope_make(m, a, &d, &envelope);
		bodystructure_make(m, a, &d, &bodystructure);
		mime_preview(m->root, &preview);
		d.envelope = buf_str(&envelope);
		d.bodystructure = buf_str(&bodystructure);
		d.preview = buf_str(&preview);
	} else {
		rootless_make(&d);
	}
	st = record_write(&d, out);
	buf_fini(&envelope);
	buf_fini(&bodystructure);
	buf_fini(&preview);
	return st;
}

enum status
mime_digest_make(struct str message, struct arena *a, struct buf *out)
{
	struct mime_message m;

	/* A full arena is told by m.defects. */
	if (mime_parse(message, a, NULL, &m) != ST_OK && m.root == NULL)
		m.defects |= MIME_LIMIT_ARENA;
	return mime_digest_make_parsed(&m, a, out);
}

static bool
head_read(struct cur *c, struct mime_digest *d, uint16_t lengths[3])
{
	uint16_t flags, offset;
	uint32_t zero;
	uint64_t date;
	uint8_t keys_n;
	struct str sha;

	if (!cur_u8(c, &keys_n) || !cur_le16(c, &flags) || !cur_le16(c, &lengths[0]) ||
	    !cur_le16(c, &lengths[1]) || !cur_le16(c, &lengths[2]) || !cur_le16(c, &offset) ||
	    !cur_le32(c, &zero) || !cur_le64(c, &d->size_bytes) || !cur_le64(c, &date) ||
	    !cur_le64(c, &d->subject_key) || !cur_take(c, MIME_DIGEST_SHA256_BYTES, &sha))
		return false;
	memcpy(d->sha256, sha.p, MIME_DIGEST_SHA256_BYTES);
	d->flags = flags;
	d->thread_keys_n = keys_n;
	d->date_unix_seconds = (int64_t)date;
	d->date_offset_minutes = (int16_t)offset;
	return keys_n <= MIME_THREAD_KEYS_MAX && flags <= DIGEST_FLAGS_ALL && zero == 0 &&
	       lengths[0] <= MIME_DIGEST_ENVELOPE_BYTES_MAX &&
	       lengths[1] <= MIME_DIGEST_BODYSTRUCTURE_BYTES_MAX &&
	       lengths[2] <= MIME_PREVIEW_BYTES_MAX;
}

enum status
mime_digest_read(struct str record, struct mime_digest *out)
{
	struct cur c = cur_of(record);
	struct mime_digest d = {0};
	uint16_t lengths[3];
	uint8_t version;

	*out = d;
	if (!cur_u8(&c, &version))
		return ST_SYNTAX;
	if (version != DIGEST_VERSION)
		return ST_UNSUPPORTED;
	if (!head_read(&c, &d, lengths))
		return ST_SYNTAX;
	for (size_t i = 0; i < d.thread_keys_n; i++)
		if (!cur_le64(&c, &d.thread_keys[i]))
			return ST_SYNTAX;
	if (!cur_take(&c, lengths[0], &d.envelope) || !cur_take(&c, lengths[1], &d.bodystructure) ||
	    !cur_take(&c, lengths[2], &d.preview) || !cur_at_end(&c) || !utf8_is_valid(d.preview))
		return ST_SYNTAX;
	if (((d.flags & MIME_DIGEST_HAS_MESSAGE_ID) != 0 && d.thread_keys_n == 0) ||
	    d.envelope.n == 0 || d.bodystructure.n == 0)
		return ST_SYNTAX;
	*out = d;
	return ST_OK;
}

static enum status
put_result(const struct arena *a, const struct buf *out)
{
	return a->full || out->full ? ST_LIMIT : ST_OK;
}

enum status
mime_envelope_put(const struct mime_message *m, struct arena *a, struct buf *out)
{
	if (m->root == NULL)
		return ST_LIMIT;
	mime_imap_envelope(m->root->header, a, MIME_IMAP_WHOLE, out);
	return put_result(a, out);
}

enum status
mime_bodystructure_put(const struct mime_message *m, struct arena *a, struct buf *out)
{
	if (m->root == NULL)
		return ST_LIMIT;
	mime_imap_structure(m->root, a, true, MIME_IMAP_WHOLE, out);
	return put_result(a, out);
}

enum status
mime_body_put(const struct mime_message *m, struct arena *a, struct buf *out)
{
	if (m->root == NULL)
		return ST_LIMIT;
	mime_imap_structure(m->root, a, false, MIME_IMAP_WHOLE, out);
	return put_result(a, out);
}
