/* What the files of dkim/ share: signing has it now, verifying needs the same. */
#ifndef POSTHORN_STANDARDS_DKIM_DKIM_INTERNAL_H
#define POSTHORN_STANDARDS_DKIM_DKIM_INTERNAL_H

#include "base/cur.h"
#include "standards/dkim/dkim.h"

/* ---- hash.c ---- */

void dkim_hash_init(struct dkim_hash *h);
void dkim_hash_put(struct dkim_hash *h, struct str s);
void dkim_hash_put_c(struct dkim_hash *h, char c);
/* Frees what init took. */
void dkim_hash_end(struct dkim_hash *h, uint8_t out[DKIM_HASH_BYTES]);
void dkim_hash_fini(struct dkim_hash *h);

/* ---- header.c ---- */

struct dkim_field {
	struct str name;  /* without white space before the colon */
	struct str value; /* after the colon, with its folds, without the last CRLF */
	struct str whole; /* from the name on, without the last CRLF */
};

struct dkim_fields {
	struct dkim_field *v; /* in the arena, as they stand in the message */
	bool *is_taken;
	size_t n;
};

/* Borrows header. ST_LIMIT: more than DKIM_FIELDS_MAX, or the arena. */
enum status dkim_fields_split(struct str header, struct arena *a, struct dkim_fields *out) MUST_USE;
/* How many of that name, in any case. */
size_t dkim_fields_count(const struct dkim_fields *f, struct str name);
/*
 * The next one of that name from the bottom up that was not taken yet, or NULL (RFC 6376 5.4.2):
 * what each name of h= in turn stands for.
 */
const struct dkim_field *dkim_fields_take(struct dkim_fields *f, struct str name);
/* The canonical form of one field, without its CRLF. */
void dkim_field_hash(struct dkim_hash *h, const struct dkim_field *field, enum dkim_canon canon);
/*
 * Takes the next name from the value of h=; false when there is none, and rest then has p NULL. A
 * name may be empty or anything else: see dkim_name_is_ok.
 */
bool dkim_headers_next(struct str *rest, struct str *name_out);
/* A field's name that can stand in h=. */
bool dkim_name_is_ok(struct str name);
/* Everything that h= names, canonical, each with CRLF. */
void dkim_headers_hash(
    struct dkim_hash *h, struct dkim_fields *f, struct str headers, enum dkim_canon canon);

/* ---- tag.c ---- */

struct dkim_tag {
	struct str name;
	struct str value; /* without white space around it; folds inside it stay */
};

struct dkim_tags {
	struct dkim_tag v[DKIM_TAGS_MAX];
	size_t n;
};

/* A tag-list (RFC 6376 3.2), borrowed. ST_SYNTAX: none, or a name twice. ST_LIMIT: DKIM_TAGS_MAX.
 */
enum status dkim_tags_parse(struct str list, struct dkim_tags *out) MUST_USE;
/* False, and an empty value, when the tag is not there. */
bool dkim_tags_find(const struct dkim_tags *t, struct str name, struct str *value_out);

/* ---- record.c ---- */

/* d=: a domain of two labels or more; s=: one or more. ASCII, letters, digits and hyphens. */
enum status dkim_domain_check(struct str domain) MUST_USE;
enum status dkim_selector_check(struct str selector) MUST_USE;

#endif
