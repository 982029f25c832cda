/* From libconfuse's tree to struct config. The tree only holds texts and lines; what they mean is
 * decided here. */
#include <confuse.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "config/config_internal.h"
#include "config/nearest.h"

struct parse {
	struct config_text text;
	struct config *c;
	struct buf *error;
	size_t error_count;
	struct arena scratch; /* ends with the parse */
	unsigned *listener_lines;
	size_t certificates_cap;
};

/* libconfuse gives its error function no argument of ours; its scanner is one per process anyway.
 */
static struct parse *parse_current;

/* What libconfuse keeps for each value. */
struct value {
	unsigned line; /* of the joined text; 0: a default */
	char text[];
};

void
parse_error(struct parse *p, unsigned line, const char *fmt, ...)
{
	va_list ap;

	if (p->error_count++ >= CONFIG_ERRORS_MAX)
		return;
	config_text_put_place(&p->text, line, p->error);
	va_start(ap, fmt);
	buf_putv(p->error, fmt, ap);
	va_end(ap);
	buf_put_c(p->error, '\n');
}

static int
value_parse(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	size_t n = strlen(text);
	struct value *v = malloc(sizeof(*v) + n + 1);

	(void)opt;
	CHECK(v != NULL);
	v->line = (unsigned)cfg->line;
	memcpy(v->text, text, n + 1);
	*(void **)result = v;
	return 0;
}

static void
value_free(void *v)
{
	free(v);
}

/* Where else does this name exist, as it is or nearly? */
static void
unknown_setting(struct parse *p, unsigned line, const cfg_t *cfg, struct str name)
{
	struct nearest here, there;
	const char *section = "";

	nearest_init(&here, name);
	for (const cfg_opt_t *o = cfg->opts; o->name != NULL; o++)
		nearest_offer(&here, str_of_c(o->name));
	nearest_init(&there, name);
	for (size_t i = 0; i < config_section_count; i++) {
		for (size_t j = 0; j < config_sections[i].count; j++) {
			size_t before = there.best_distance;

			nearest_offer(&there, str_of_c(config_sections[i].settings[j].name));
			if (there.best_distance < before)
				section = config_sections[i].name;
		}
	}
	name = str_take(name, 64);
	if (nearest_result(&here).n > 0 && here.best_distance <= there.best_distance)
		parse_error(p, line, "unknown setting `%.*s`; did you mean `%.*s`?", STR_ARG(name),
		    STR_ARG(here.best));
	else if (nearest_result(&there).n > 0 && section[0] == 0)
		parse_error(p, line,
		    "unknown setting `%.*s` in this section; did you mean `%.*s`, outside of all "
		    "sections?",
		    STR_ARG(name), STR_ARG(there.best));
	else if (nearest_result(&there).n > 0)
		parse_error(p, line,
		    "unknown setting `%.*s` here; did you mean `%.*s` in the section `%s`?",
		    STR_ARG(name), STR_ARG(there.best), section);
	else
		parse_error(p, line, "unknown setting `%.*s`", STR_ARG(name));
}

/* Does libconfuse stand behind a password there? What it does not understand may then be a part of
 * one. */
static bool
line_may_hold_secret(const struct parse *p, unsigned line)
{
	struct str before, here;

	config_text_cut(&p->text, line, &before, &here);
	here = str_take(here, str_find_char(here, '\n'));
	if (str_find(here, STR("password")) < here.n)
		return true;
	/* `password =`, and the value on a later line. */
	before = str_trim(before);
	if (str_has_suffix_ci(before, STR("=")))
		before = str_trim(str_take(before, before.n - 1));
	return str_has_suffix_ci(before, STR("password"));
}

/* libconfuse's sentences in our words. Without setlocale its formats come untranslated. */
static const struct {
	const char *theirs;
	const char *ours;
} sentences[] = {
    {"unexpected token '%s'", "unexpected `%s`"},
    {"missing equal sign after option '%s'", "`=` is missing after `%s`"},
    {"missing opening brace for section '%s'", "`{` is missing after the section `%s`"},
    {"missing title for section '%s'", "the section `%s` needs a name before its `{`"},
    {"attempt to append to non-list option '%s'", "`+=` is for lists; `%s` holds one value"},
    {"found duplicate title '%s'", "there is already a section named `%s`"},
    {"premature end of file", "the file ends in the middle of a setting"},
};

static void
libconfuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	struct parse *p = parse_current;
	const char *ours = fmt;
	char text[512];

	if (p->error_count > 0)
		return;
	if (line_may_hold_secret(p, (unsigned)cfg->line)) {
		parse_error(p, (unsigned)cfg->line,
		    "something on this line is not understood; a password stands in double quotes, "
		    "with \\ before each \" and \\ in it");
		return;
	}
	if (strcmp(fmt, "no such option '%s'") == 0) {
		unknown_setting(p, (unsigned)cfg->line, cfg, str_of_c(va_arg(ap, const char *)));
		return;
	}
	for (size_t i = 0; i < COUNT_OF(sentences); i++)
		if (strcmp(fmt, sentences[i].theirs) == 0)
			ours = sentences[i].ours;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	/* Both formats take the same one argument. */
	(void)vsnprintf(text, sizeof(text), ours, ap);
#pragma GCC diagnostic pop
	parse_error(p, (unsigned)cfg->line, "%s", text);
}

/* libconfuse's options of a section; in p->scratch, which is sized so that it cannot be full. */
static cfg_opt_t *
options_make(struct parse *p, const struct section *s, size_t more, size_t *count_out)
{
	size_t inner = s->inner != NULL;
	cfg_opt_t *opts = arena_array(&p->scratch, s->count + inner + more + 1, sizeof(*opts));
	size_t n = 0, unused;

	CHECK(opts != NULL);
	for (size_t i = 0; i < s->count; i++) {
		const struct setting *t = &s->settings[i];
		bool list = setting_is_list(t);
		char *initial = list ? arena_cstr(&p->scratch, str_of_c(t->initial)) : NULL;

		opts[n++] = (cfg_opt_t)__CFG_PTR(
		    t->name, initial, list ? CFGF_LIST : CFGF_NONE, 0, value_parse, value_free);
	}
	if (inner)
		opts[n++] =
		    (cfg_opt_t)CFG_SEC(s->inner->name, options_make(p, s->inner, 0, &unused),
			CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	*count_out = n;
	return opts;
}

static cfg_opt_t *
options_make_all(struct parse *p)
{
	size_t n, unused;
	cfg_opt_t *opts = options_make(p, &config_sections[0], config_section_count - 1, &n);

	for (size_t i = 1; i < config_section_count; i++)
		opts[n++] = (cfg_opt_t)CFG_SEC(config_sections[i].name,
		    options_make(p, &config_sections[i], 0, &unused), CFGF_NONE);
	return opts;
}

static const struct value *
value_at(cfg_opt_t *opt, size_t i)
{
	return cfg_opt_getnptr(opt, (unsigned)i);
}

/* The setting's value, if the file has one, else its default. *line_out (may be NULL): of its first
 * value, or 0. */
static void
setting_apply(struct parse *p, cfg_t *cfg, const struct setting *s, void *base)
{
	cfg_opt_t *opt = cfg_getopt(cfg, s->name);
	size_t count = cfg_opt_size(opt);
	struct str *texts;
	unsigned line;
	struct buf why;

	if (count == 0 && !setting_is_list(s)) {
		setting_read_initial(s, &p->c->arena, p->c->folder, base);
		return;
	}
	texts = arena_array(&p->scratch, count + 1, sizeof(*texts));
	if (texts == NULL) {
		parse_error(p, 0, "the configuration is too large");
		return;
	}
	for (size_t i = 0; i < count; i++)
		texts[i] = str_of_c(value_at(opt, i)->text);
	/* An empty list has no value that knows its line. */
	line = count > 0 ? value_at(opt, 0)->line : 0;
	buf_init(&why, CONFIG_ERROR_BYTES_MAX);
	if (setting_read(s, &p->c->arena, p->c->folder, texts, count, base, &why) != ST_OK) {
		if (why.n == 0)
			buf_put(&why, STR("the configuration is too large"));
		if (count == 1 && s->kind != KIND_SECRET)
			parse_error(p, line, "%s = %.*s: %.*s", s->name,
			    STR_ARG(str_take(texts[0], 80)), STR_ARG(buf_str(&why)));
		else
			parse_error(p, line, "%s: %.*s", s->name, STR_ARG(buf_str(&why)));
	}
	buf_fini(&why);
}

static bool
is_set(cfg_t *cfg, const char *name)
{
	return cfg_opt_size(cfg_getopt(cfg, name)) > 0;
}

static enum config_tls
tls_usual(enum config_protocol protocol)
{
	switch (protocol) {
	case CONFIG_LMTP:
		return CONFIG_TLS_OFF;
	case CONFIG_SMTP:
	case CONFIG_POP3:
	case CONFIG_SUBMISSION:
		return CONFIG_TLS_STARTTLS;
	case CONFIG_POP3S:
	case CONFIG_SUBMISSIONS:
		return CONFIG_TLS_IMPLICIT;
	}
	return CONFIG_TLS_OFF;
}

static void
listener_read(struct parse *p, cfg_t *cfg, struct config_listener *l)
{
	const struct section *s = &config_listener_section;
	struct str title = str_of_c(cfg_title(cfg));
	size_t errors_before = p->error_count;
	bool known = is_set(cfg, "protocol");

	for (size_t i = 0; i < s->count; i++)
		setting_apply(p, cfg, &s->settings[i], l);
	if (arena_str(&p->c->arena, title, &l->name) != ST_OK)
		parse_error(p, 0, "the configuration is too large");
	for (int i = 0; !known && i <= CONFIG_SUBMISSIONS; i++) {
		known = str_eq(title, config_protocol_word((enum config_protocol)i));
		if (known)
			l->protocol = (enum config_protocol)i;
	}
	if (p->error_count > errors_before)
		return;
	if (!known)
		parse_error(p, (unsigned)cfg->line,
		    "listener `%.*s` needs `protocol`: smtp, lmtp, pop3, pop3s, submission or "
		    "submissions",
		    STR_ARG(title));
	if (!is_set(cfg, "port"))
		parse_error(
		    p, (unsigned)cfg->line, "listener `%.*s` needs a `port`", STR_ARG(title));
	if (!is_set(cfg, "tls"))
		l->tls = tls_usual(l->protocol);
}

static void
listeners_read(struct parse *p, cfg_t *root)
{
	struct config *c = p->c;
	size_t count = cfg_size(root, config_listener_section.name);

	if (count == 0)
		return;
	if (count > CONFIG_LISTENERS_MAX) {
		parse_error(p, 0, "more than %d listeners", CONFIG_LISTENERS_MAX);
		return;
	}
	c->listeners = arena_array(&c->arena, count, sizeof(*c->listeners));
	p->listener_lines = arena_array(&p->scratch, count, sizeof(*p->listener_lines));
	if (c->listeners == NULL || p->listener_lines == NULL) {
		parse_error(p, 0, "the configuration is too large");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		cfg_t *cfg = cfg_getnsec(root, config_listener_section.name, (unsigned)i);

		p->listener_lines[i] = (unsigned)cfg->line;
		listener_read(p, cfg, &c->listeners[i]);
	}
	c->listener_count = count;
}

static bool
certificate_name_is_valid(struct str name)
{
	return config_hostname_is_valid(str_has_prefix(name, STR("*.")) ? str_from(name, 2) : name);
}

static enum status
certificate_add(struct parse *p, struct str name, struct str chain, struct str key)
{
	struct config *c = p->c;
	struct str lower;

	if (c->certificate_count == CONFIG_CERTIFICATES_MAX)
		return ST_LIMIT;
	if (c->certificate_count == p->certificates_cap) {
		/* Grown by doubling; what is left behind in the arena is at most what is in use. */
		size_t cap = p->certificates_cap == 0 ? 4 : p->certificates_cap * 2;
		struct config_certificate *more = arena_array(&c->arena, cap, sizeof(*more));

		if (more == NULL)
			return ST_LIMIT;
		if (c->certificate_count > 0)
			memcpy(more, c->certificates, c->certificate_count * sizeof(*more));
		c->certificates = more;
		p->certificates_cap = cap;
	}
	if (config_lower_copy(&c->arena, name, &lower) != ST_OK)
		return ST_LIMIT;
	c->certificates[c->certificate_count++] = (struct config_certificate){lower, chain, key};
	return ST_OK;
}

static void
certificate_read(struct parse *p, cfg_t *cfg)
{
	const struct section *s = &config_certificate_section;
	struct str name = str_of_c(cfg_title(cfg));
	struct certificate_raw raw = {.chain = {NULL, 0}};
	size_t errors_before = p->error_count;
	unsigned line = (unsigned)cfg->line;

	for (size_t i = 0; i < s->count; i++)
		setting_apply(p, cfg, &s->settings[i], &raw);
	if (p->error_count > errors_before)
		return;
	if (!certificate_name_is_valid(name))
		parse_error(p, line,
		    "certificate `%.*s`: not a host name; write e.g. \"mail.example.org\"",
		    STR_ARG(str_take(name, 80)));
	else if (raw.chain.n == 0 || raw.chain.n != raw.key.n)
		parse_error(p, line,
		    "certificate `%.*s` needs `chain` and `key`, the same number of files in each",
		    STR_ARG(name));
	else
		for (size_t i = 0; i < raw.chain.n; i++)
			if (certificate_add(p, name, raw.chain.v[i], raw.key.v[i]) != ST_OK) {
				parse_error(
				    p, line, "more than %d certificates", CONFIG_CERTIFICATES_MAX);
				return;
			}
}

static void
route_check(struct parse *p, unsigned line, struct str title, const struct config_route *r)
{
	title = str_take(title, 80);
	if (r->host.n == 0)
		parse_error(p, line, "route `%.*s` needs a `host`", STR_ARG(title));
	else if (r->password.n > 0 && r->user.n == 0)
		parse_error(p, line,
		    "route `%.*s` has a `password` but no `user`; add the name that it belongs to",
		    STR_ARG(title));
	else if (r->user.n > 0 && r->password.n == 0)
		parse_error(p, line,
		    "route `%.*s` has a `user` but no `password`; add it, or leave both out to "
		    "send "
		    "without a login",
		    STR_ARG(title));
	else if (r->user.n > 0 && r->tls == CONFIG_ROUTE_TLS_NEVER)
		parse_error(p, line,
		    "route `%.*s`: a password is not sent without TLS; write tls = must or "
		    "implicit, "
		    "or leave `user` and `password` out",
		    STR_ARG(title));
}

static void
route_read(struct parse *p, cfg_t *cfg, struct config_route *r)
{
	const struct section *s = &config_route_section;
	struct str title = str_of_c(cfg_title(cfg));
	size_t errors_before = p->error_count;
	unsigned line = (unsigned)cfg->line;

	for (size_t i = 0; i < s->count; i++)
		setting_apply(p, cfg, &s->settings[i], r);
	if (r->port == 0)
		r->port = r->tls == CONFIG_ROUTE_TLS_IMPLICIT ? 465 : 587;
	if (!str_eq(title, STR("*")) && !config_hostname_is_valid(title))
		parse_error(p, line,
		    "route `%.*s`: not a domain; write e.g. \"example.org\", \"*\" for every other "
		    "one, and what is not ASCII as \"xn--...\"",
		    STR_ARG(str_take(title, 80)));
	else if (config_lower_copy(&p->c->arena, title, &r->domain) != ST_OK)
		parse_error(p, 0, "the configuration is too large");
	if (p->error_count == errors_before)
		route_check(p, line, title, r);
}

static bool
routes_have(const struct config_relay *relay, struct str domain)
{
	for (size_t i = 0; i < relay->route_count; i++)
		if (str_eq(relay->routes[i].domain, domain))
			return true;
	return false;
}

static void
routes_read(struct parse *p, cfg_t *cfg)
{
	struct config_relay *relay = &p->c->relay;
	size_t count = cfg_size(cfg, config_route_section.name);

	if (count == 0)
		return;
	if (count > CONFIG_ROUTES_MAX) {
		parse_error(p, 0, "more than %d routes", CONFIG_ROUTES_MAX);
		return;
	}
	relay->routes = arena_array(&p->c->arena, count, sizeof(*relay->routes));
	if (relay->routes == NULL) {
		parse_error(p, 0, "the configuration is too large");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		cfg_t *one = cfg_getnsec(cfg, config_route_section.name, (unsigned)i);
		struct config_route *r = &relay->routes[i];

		route_read(p, one, r);
		/* libconfuse finds only those that are spelled alike. */
		if (r->domain.n > 0 && routes_have(relay, r->domain))
			parse_error(p, (unsigned)one->line, "there is already a route for `%.*s`",
			    STR_ARG(r->domain));
		relay->route_count++;
	}
}

static void
tree_read(struct parse *p, cfg_t *root)
{
	cfg_t *tls = cfg_getsec(root, "tls");

	for (size_t i = 0; i < config_section_count; i++) {
		const struct section *s = &config_sections[i];
		cfg_t *cfg = i == 0 ? root : cfg_getsec(root, s->name);

		for (size_t j = 0; j < s->count; j++)
			setting_apply(p, cfg, &s->settings[j], p->c);
	}
	for (unsigned i = 0; i < cfg_size(tls, config_certificate_section.name); i++)
		certificate_read(p, cfg_getnsec(tls, config_certificate_section.name, i));
	routes_read(p, cfg_getsec(root, "relay"));
	listeners_read(p, root);
	if (p->error_count == 0)
		config_check(p, p->c, p->listener_lines);
}

static void
text_parse(struct parse *p)
{
	cfg_t *root;
	FILE *f;

	/* fmemopen refuses zero bytes. */
	buf_put_c(&p->text.joined, '\n');
	f = fmemopen(p->text.joined.p, p->text.joined.n, "r");
	CHECK(f != NULL);
	CHECK(parse_current == NULL);
	parse_current = p;
	root = cfg_init(options_make_all(p), CFGF_NONE);
	CHECK(root != NULL);
	cfg_set_error_function(root, libconfuse_error);
	if (cfg_parse_fp(root, f) == CFG_SUCCESS)
		tree_read(p, root);
	else if (p->error_count == 0)
		parse_error(p, (unsigned)root->line, "not understood");
	cfg_free(root);
	parse_current = NULL;
	fclose(f);
}

static enum status
config_new(struct str path, struct config **out)
{
	struct config *c = calloc(1, sizeof(*c));
	size_t slash = str_find_char_last(path, '/');

	CHECK(c != NULL);
	arena_init(&c->arena, CONFIG_ARENA_BYTES_MAX);
	*out = c;
	if (slash == path.n)
		c->folder = STR(".");
	else if (arena_str(&c->arena, slash == 0 ? STR("/.") : str_take(path, slash), &c->folder) !=
		 ST_OK)
		return ST_LIMIT;
	return arena_str(&c->arena, path, &c->file);
}

enum status
config_parse(struct str text, struct str path, config_read_fn *read, void *read_arg,
    struct config **out, struct buf *error_out)
{
	struct parse p = {.error = error_out};
	enum status st;

	*out = NULL;
	if (path.n > CONFIG_PATH_BYTES_MAX) {
		buf_put(error_out, STR("the path of the configuration is too long\n"));
		return ST_LIMIT;
	}
	/* The texts once more as arrays of str, and libconfuse's tables: twice the result's cap is
	 * never reached. */
	arena_init(&p.scratch, 2 * CONFIG_ARENA_BYTES_MAX);
	config_text_init(&p.text, &p.scratch);
	st = config_new(path, &p.c);
	if (st == ST_OK)
		st = config_text_add(&p.text, path, text, read, read_arg, error_out);
	if (st == ST_OK) {
		text_parse(&p);
		st = p.error_count > 0 ? ST_SYNTAX : ST_OK;
	}
	config_text_fini(&p.text);
	arena_fini(&p.scratch);
	if (st != ST_OK)
		config_free(&p.c);
	*out = p.c;
	return st;
}

void
config_free(struct config **c)
{
	if (*c == NULL)
		return;
	arena_fini(&(*c)->arena);
	free(*c);
	*c = NULL;
}
