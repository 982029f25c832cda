/* One setting: its text into its field, and two fields compared. */
#include "config/config_internal.h"

#include "base/num.h"
#include "base/utf8.h"
#include "config/nearest.h"
#include "config/units.h"

bool
setting_is_list(const struct setting *s)
{
	return s->kind == KIND_IPS || s->kind == KIND_NETWORKS || s->kind == KIND_PATHS;
}

bool
setting_is_quoted(const struct setting *s)
{
	switch (s->kind) {
	case KIND_COUNT:
	case KIND_PROCESSES:
	case KIND_SIZE:
	case KIND_DURATION:
	case KIND_PORT:
	case KIND_WORD:
		return false;
	case KIND_DELIMITER:
	case KIND_HOSTNAME:
	case KIND_USER:
	case KIND_PATH:
	case KIND_LOG_TARGET:
	case KIND_SERVER:
	case KIND_TEXT:
	case KIND_SECRET:
	case KIND_ENDPOINT:
	case KIND_IPS:
	case KIND_NETWORKS:
	case KIND_PATHS:
		return true;
	}
	return true;
}

static bool
is_label(struct str s)
{
	if (s.n == 0 || s.n > CONFIG_LABEL_BYTES_MAX || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!char_is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

/* RFC 1123 2.1: letters, digits and hyphens, a digit may come first. */
bool
config_hostname_is_valid(struct str s)
{
	struct str label, rest = s;
	bool more = true;

	if (s.n > CONFIG_HOSTNAME_BYTES_MAX)
		return false;
	while (more) {
		more = str_split(rest, '.', &label, &rest);
		if (!is_label(label))
			return false;
	}
	/* A last label of digits would be taken for an IPv4 address. */
	return !char_is_digit(label.p[label.n - 1]) || char_is_alpha(label.p[0]);
}

enum status
config_lower_copy(struct arena *a, struct str s, struct str *out)
{
	char *copy = arena_alloc(a, s.n);

	if (copy == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < s.n; i++)
		copy[i] = char_lower(s.p[i]);
	*out = str_of(copy, s.n);
	return ST_OK;
}

static enum status
hostname_read(struct str text, struct arena *a, struct str *out, struct buf *why)
{
	if (!config_hostname_is_valid(text)) {
		buf_put(why, STR("not a host name; write e.g. \"mail.example.org\""));
		return ST_SYNTAX;
	}
	return config_lower_copy(a, text, out);
}

/* "smtp.example.net", "192.0.2.1", "[2001:db8::1]": an address loses its brackets and is spelled
 * one way. */
static enum status
server_read(struct str text, struct arena *a, struct str *out, struct buf *why)
{
	bool bracketed = text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']';
	struct config_ip ip;
	struct buf shown;
	enum status st;

	if (config_ip_parse(bracketed ? str_of(text.p + 1, text.n - 2) : text, &ip) == ST_OK) {
		buf_init(&shown, 64);
		(void)config_ip_put(&shown, &ip);
		st = arena_str(a, buf_str(&shown), out);
		buf_fini(&shown);
		return st;
	}
	if (config_hostname_is_valid(text))
		return config_lower_copy(a, text, out);
	buf_put(why, STR("not a host name or an IP address; write e.g. \"smtp.example.net\" or "
			 "\"192.0.2.1\", the port stands in `port`"));
	return ST_SYNTAX;
}

static enum status
credential_read(struct str text, struct arena *a, struct str *out, struct buf *why)
{
	if (text.n > CONFIG_CREDENTIAL_BYTES_MAX) {
		buf_putf(why, "too long; at most %d bytes", CONFIG_CREDENTIAL_BYTES_MAX);
		return ST_LIMIT;
	}
	return arena_str(a, text, out);
}

/* A system user: what useradd allows, 32 bytes as utmp holds. */
static bool
is_user(struct str s)
{
	if (s.n == 0 || s.n > 32 || s.p[0] == '-' || char_is_digit(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!char_is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return true;
}

static enum status
path_read(struct str text, struct arena *a, struct str folder, struct str *out, struct buf *why)
{
	struct buf joined;
	enum status st;

	if (text.n == 0) {
		*out = STR_NULL;
		return ST_OK;
	}
	buf_init(&joined, CONFIG_PATH_BYTES_MAX);
	if (text.p[0] != '/') {
		buf_put(&joined, folder);
		buf_put_c(&joined, '/');
	}
	buf_put(&joined, text);
	if (joined.full) {
		buf_put(why, STR("the path is too long"));
		st = ST_LIMIT;
	} else {
		st = arena_str(a, buf_str(&joined), out);
	}
	buf_fini(&joined);
	return st;
}

static enum status
number_range(const struct setting *s, uint64_t v, struct buf *why)
{
	const char *unit = s->kind == KIND_SIZE ? " bytes" : s->kind == KIND_DURATION ? "ms" : "";

	if (v < s->min) {
		buf_putf(why, "too small; at least %llu%s", (unsigned long long)s->min, unit);
		return ST_LIMIT;
	}
	if (v > s->max) {
		buf_putf(why, "too large; at most %llu%s", (unsigned long long)s->max, unit);
		return ST_LIMIT;
	}
	return ST_OK;
}

static enum status
number_read(const struct setting *s, struct str text, uint64_t *out, struct buf *why)
{
	enum status st;
	uint64_t v = 0;

	if (s->kind == KIND_SIZE)
		st = size_parse(text, &v);
	else if (s->kind == KIND_DURATION)
		st = duration_parse(text, &v);
	else
		st = str_to_u64(text, &v);
	if (st == ST_SYNTAX) {
		if (s->kind == KIND_SIZE)
			buf_put(why, STR("not a size; write e.g. 64k, 10M or 1G"));
		else if (s->kind == KIND_DURATION)
			buf_put(why, STR("not a time; write e.g. 30s, 5min, 2h or 7d"));
		else
			buf_put(why, STR("not a number"));
		return st;
	}
	if (st != ST_OK)
		v = UINT64_MAX;
	*out = v;
	return number_range(s, v, why);
}

static enum status
word_read(const struct setting *s, struct str text, unsigned *out, struct buf *why)
{
	struct nearest near;

	nearest_init(&near, text);
	for (unsigned i = 0; s->words[i] != NULL; i++) {
		if (str_eq(text, str_of_c(s->words[i]))) {
			*out = i;
			return ST_OK;
		}
		nearest_offer(&near, str_of_c(s->words[i]));
	}
	buf_put(why, STR("must be "));
	for (unsigned i = 0; s->words[i] != NULL; i++)
		buf_putf(why, "%s%s",
		    i == 0		      ? ""
		    : s->words[i + 1] == NULL ? " or "
					      : ", ",
		    s->words[i]);
	if (nearest_result(&near).n > 0)
		buf_putf(why, "; did you mean `%.*s`?", STR_ARG(nearest_result(&near)));
	return ST_SYNTAX;
}

static enum status
delimiter_read(struct str text, char *out, struct buf *why)
{
	if (text.n == 0) {
		*out = 0;
		return ST_OK;
	}
	if (text.n != 1 || text.p[0] == 0 || strchr("+-_.=", text.p[0]) == NULL) {
		buf_put(why, STR("must be one of + - _ . = or \"\""));
		return ST_SYNTAX;
	}
	*out = text.p[0];
	return ST_OK;
}

static enum status
scalar_read(const struct setting *s, struct arena *a, struct str folder, struct str text,
    void *field, struct buf *why)
{
	uint64_t v;
	unsigned word;
	enum status st;

	switch (s->kind) {
	case KIND_PROCESSES:
		if (str_eq(text, STR("auto"))) {
			*(uint64_t *)field = 0;
			return ST_OK;
		}
		return number_read(s, text, field, why);
	case KIND_COUNT:
	case KIND_SIZE:
	case KIND_DURATION:
		return number_read(s, text, field, why);
	case KIND_PORT:
		st = number_read(s, text, &v, why);
		if (st == ST_OK)
			*(uint16_t *)field = (uint16_t)v;
		return st;
	case KIND_WORD:
		st = word_read(s, text, &word, why);
		if (st == ST_OK)
			memcpy(field, &word, sizeof(word));
		return st;
	case KIND_DELIMITER:
		return delimiter_read(text, field, why);
	case KIND_HOSTNAME:
		return hostname_read(text, a, field, why);
	case KIND_USER:
		if (!is_user(text)) {
			buf_put(why, STR("not a user name"));
			return ST_SYNTAX;
		}
		return arena_str(a, text, field);
	case KIND_LOG_TARGET:
		if (str_eq(text, STR("stderr")))
			text = STR_NULL;
		return path_read(text, a, folder, field, why);
	case KIND_PATH:
		return path_read(text, a, folder, field, why);
	case KIND_SERVER:
		return server_read(text, a, field, why);
	case KIND_TEXT:
	case KIND_SECRET:
		return credential_read(text, a, field, why);
	case KIND_ENDPOINT:
		*(struct config_endpoint *)field = (struct config_endpoint){.port = 0};
		if (text.n == 0 || config_endpoint_parse(text, field) == ST_OK)
			return ST_OK;
		buf_put(why,
		    STR("not an address with a port; write e.g. \"127.0.0.1:53\" or \"[::1]:53\""));
		return ST_SYNTAX;
	case KIND_IPS:
	case KIND_NETWORKS:
	case KIND_PATHS:
		break;
	}
	CHECK(!setting_is_list(s));
	return ST_SYNTAX;
}

static enum status
ips_read(
    struct arena *a, const struct str *texts, size_t count, struct config_ips *out, struct buf *why)
{
	if (count == 0 || count > CONFIG_ADDRESSES_MAX) {
		buf_putf(why, "must hold 1 to %d addresses", CONFIG_ADDRESSES_MAX);
		return ST_LIMIT;
	}
	out->v = arena_array(a, count, sizeof(*out->v));
	if (out->v == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < count; i++) {
		if (config_ip_parse(texts[i], &out->v[i]) == ST_OK)
			continue;
		buf_putf(why, "`%.*s` is not an IP address; names are not looked up",
		    STR_ARG(str_take(texts[i], 80)));
		return ST_SYNTAX;
	}
	out->n = count;
	return ST_OK;
}

static enum status
networks_read(struct arena *a, const struct str *texts, size_t count, struct config_networks *out,
    struct buf *why)
{
	*out = (struct config_networks){NULL, 0};
	if (count == 0)
		return ST_OK;
	if (count > CONFIG_NETWORKS_MAX) {
		buf_putf(why, "must hold at most %d networks", CONFIG_NETWORKS_MAX);
		return ST_LIMIT;
	}
	out->v = arena_array(a, count, sizeof(*out->v));
	if (out->v == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < count; i++) {
		if (config_network_parse(texts[i], &out->v[i]) == ST_OK)
			continue;
		buf_putf(why,
		    "`%.*s` is not a network; write e.g. \"192.0.2.0/24\", with zeros behind the "
		    "prefix",
		    STR_ARG(str_take(texts[i], 80)));
		return ST_SYNTAX;
	}
	out->n = count;
	return ST_OK;
}

static enum status
paths_read(struct arena *a, struct str folder, const struct str *texts, size_t count,
    struct config_paths *out, struct buf *why)
{
	enum status st = ST_OK;

	*out = (struct config_paths){NULL, 0};
	if (count == 0)
		return ST_OK;
	if (count > CONFIG_CERTIFICATES_MAX) {
		buf_putf(why, "must hold at most %d files", CONFIG_CERTIFICATES_MAX);
		return ST_LIMIT;
	}
	out->v = arena_array(a, count, sizeof(*out->v));
	if (out->v == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < count && st == ST_OK; i++) {
		if (texts[i].n == 0) {
			buf_put(why, STR("an empty file name"));
			return ST_SYNTAX;
		}
		st = path_read(texts[i], a, folder, &out->v[i], why);
	}
	out->n = count;
	return st;
}

enum status
setting_read(const struct setting *s, struct arena *a, struct str folder, const struct str *texts,
    size_t count, void *base, struct buf *why)
{
	void *field = (char *)base + s->offset;

	switch (s->kind) {
	case KIND_IPS:
		return ips_read(a, texts, count, field, why);
	case KIND_NETWORKS:
		return networks_read(a, texts, count, field, why);
	case KIND_PATHS:
		return paths_read(a, folder, texts, count, field, why);
	default:
		CHECK(count == 1);
		return scalar_read(s, a, folder, texts[0], field, why);
	}
}

void
setting_read_initial(const struct setting *s, struct arena *a, struct str folder, void *base)
{
	struct buf why;
	struct str text = str_of_c(s->initial);
	enum status st;

	/* Defaults of lists come through libconfuse, so that += can add to them. */
	if (s->initial == NULL || setting_is_list(s))
		return;
	buf_init(&why, CONFIG_ERROR_BYTES_MAX);
	st = setting_read(s, a, folder, &text, 1, base, &why);
	/* A default that is refused is our own bug; only the arena's cap may stop one (a path of 4
	 * KB in folder). */
	CHECK(st == ST_OK || st == ST_LIMIT);
	buf_fini(&why);
}

static bool
paths_are_equal(const struct config_paths *a, const struct config_paths *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!str_eq(a->v[i], b->v[i]))
			return false;
	return true;
}

static bool
ips_are_equal(const struct config_ips *a, const struct config_ips *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!config_ip_eq(&a->v[i], &b->v[i]))
			return false;
	return true;
}

static bool
networks_are_equal(const struct config_networks *a, const struct config_networks *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!config_ip_eq(&a->v[i].ip, &b->v[i].ip) ||
		    a->v[i].prefix_bits != b->v[i].prefix_bits)
			return false;
	return true;
}

static bool
endpoints_are_equal(const struct config_endpoint *a, const struct config_endpoint *b)
{
	return a->port == b->port && config_ip_eq(&a->ip, &b->ip);
}

bool
setting_is_equal(const struct setting *s, const void *base_a, const void *base_b)
{
	const void *a = (const char *)base_a + s->offset;
	const void *b = (const char *)base_b + s->offset;

	switch (s->kind) {
	case KIND_COUNT:
	case KIND_PROCESSES:
	case KIND_SIZE:
	case KIND_DURATION:
		return *(const uint64_t *)a == *(const uint64_t *)b;
	case KIND_PORT:
		return *(const uint16_t *)a == *(const uint16_t *)b;
	case KIND_WORD:
		return memcmp(a, b, sizeof(unsigned)) == 0;
	case KIND_DELIMITER:
		return *(const char *)a == *(const char *)b;
	case KIND_HOSTNAME:
	case KIND_USER:
	case KIND_PATH:
	case KIND_LOG_TARGET:
	case KIND_SERVER:
	case KIND_TEXT:
	case KIND_SECRET:
		return str_eq(*(const struct str *)a, *(const struct str *)b);
	case KIND_ENDPOINT:
		return endpoints_are_equal(a, b);
	case KIND_IPS:
		return ips_are_equal(a, b);
	case KIND_NETWORKS:
		return networks_are_equal(a, b);
	case KIND_PATHS:
		return paths_are_equal(a, b);
	}
	return false;
}
