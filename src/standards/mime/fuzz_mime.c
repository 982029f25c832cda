/* Fuzz: any bytes give a sound tree and a digest that reads back; decoded text is UTF-8. */
#include "base/check.h"
#include "base/utf8.h"
#include "standards/mime/charset.h"
#include "standards/mime/mime_digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_inside(struct str s, struct str whole)
{
	CHECK(s.p >= whole.p && s.p + s.n <= whole.p + whole.n);
}

static void
check_params(struct mime_params params)
{
	for (size_t i = 0; i < params.n; i++)
		CHECK(utf8_is_valid(params.v[i].value) && params.v[i].name.n > 0);
}

static void
check_part(const struct mime_part *p, struct str message)
{
	size_t lines = 0;

	check_inside(p->header, message);
	check_inside(p->body, message);
	CHECK(p->header.p + p->header.n == p->body.p);
	for (size_t i = 0; i < p->body.n; i++)
		lines += p->body.p[i] == '\n';
	CHECK(lines == p->body_lines);
	CHECK((p->kind != MIME_LEAF) == (p->first_child != NULL));
	CHECK(p->kind != MIME_MESSAGE || p->first_child->next == NULL);
	if (p->parent != NULL) {
		check_inside(p->header, p->parent->body);
		check_inside(p->body, p->parent->body);
	}
	check_params(p->params);
	check_params(p->disposition_params);
}

static void
check_fields(struct str header, struct arena *a)
{
	struct cur c = cur_of(header);
	struct mime_header h;
	struct buf text;

	buf_init(&text, 65536);
	while (mime_header_next(&c, &h)) {
		struct mime_address *list;

		check_inside(h.field, header);
		buf_reset(&text);
		(void)mime_text_decode(h.value, &text);
		CHECK(text.full || utf8_is_valid(buf_str(&text)));
		if (mime_addresses_parse(h.value, a, &list) != ST_OK)
			continue;
		for (; list != NULL; list = list->next)
			CHECK(utf8_is_valid(list->name));
	}
	buf_fini(&text);
}

/* Outside of literals an IMAP line has no CR and LF, and its quotes and parentheses balance. */
static void
check_imap(struct str s)
{
	struct cur c = cur_of(s);
	int depth = 0;
	uint64_t n;

	while (!cur_at_end(&c)) {
		char ch = *c.p++;

		CHECK(ch >= ' ' && ch <= '~');
		depth += ch == '(' ? 1 : ch == ')' ? -1 : 0;
		CHECK(depth > 0 || cur_at_end(&c));
		if (ch == '{') {
			CHECK(cur_u64(&c, &n) && cur_lit(&c, "}\r\n") && n <= cur_left(&c));
			CHECK(memchr(c.p, '\0', n) == NULL);
			cur_skip(&c, n);
		} else if (ch == '"') {
			while (cur_peek(&c) != '"') {
				CHECK(cur_left(&c) > 1 && *c.p != '\r' && *c.p != '\n' &&
				      *c.p != '\0');
				cur_skip(&c, *c.p == '\\' ? 2 : 1);
			}
			cur_skip(&c, 1);
		}
	}
	CHECK(depth == 0);
}

static void
check_digest(const struct mime_message *m, struct arena *a)
{
	struct mime_digest d;
	struct buf record;

	buf_init(&record, MIME_DIGEST_BYTES_MAX);
	CHECK(mime_digest_make_parsed(m, a, &record) == ST_OK);
	CHECK(mime_digest_read(buf_str(&record), &d) == ST_OK);
	CHECK(d.size_bytes == m->bytes.n);
	check_imap(d.envelope);
	check_imap(d.bodystructure);
	buf_fini(&record);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct mime_message m;
	struct mime_digest d;
	struct arena a;
	size_t parts = 0;

	mime_digest_preload();
	(void)!mime_digest_read(in, &d);
	/* Every eighth length gets an arena that may be too small. */
	arena_init(&a, size % 8 == 0 ? size * 2 % 8192 : MIME_DIGEST_ARENA_BYTES);
	(void)!mime_parse(in, &a, NULL, &m);
	for (const struct mime_part *p = m.root; p != NULL; p = mime_part_next(p, m.root)) {
		struct buf text;

		check_part(p, in);
		parts++;
		buf_init(&text, 4096);
		(void)!mime_part_text(p, &text);
		CHECK(text.full || utf8_is_valid(buf_str(&text)));
		buf_fini(&text);
	}
	CHECK(parts == m.parts_n);
	if (m.root != NULL)
		check_fields(m.root->header, &a);
	check_digest(&m, &a);
	arena_fini(&a);
	return 0;
}
