/* The file that quickstart writes and the reference table, both from the table of settings. */
#include "config/config_internal.h"

#include "base/num.h"

/* What quickstart wants of a setting, as the file says it; empty: its default. */
static struct str
chosen(const struct setting *s, const struct config_quickstart *q, struct buf *number)
{
	if (s->offset == offsetof(struct config, hostname))
		return q->hostname;
	if (s->offset == offsetof(struct config, listen))
		return q->listen;
	if (s->offset == offsetof(struct config, resolver_forward))
		return q->resolver;
	if (s->offset == offsetof(struct config, port_offset) && q->port_offset > 0) {
		buf_reset(number);
		buf_put_u64(number, q->port_offset);
		return buf_str(number);
	}
	return STR_NULL;
}

static void
string_write(struct buf *out, struct str s)
{
	buf_put_c(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_put_c(out, '\\');
		buf_put_c(out, s.p[i]);
	}
	buf_put_c(out, '"');
}

static void
list_write(struct buf *out, const struct str *v, size_t n)
{
	buf_put_c(out, '{');
	for (size_t i = 0; i < n; i++) {
		buf_put(out, i == 0 ? STR_NULL : STR(", "));
		string_write(out, v[i]);
	}
	buf_put_c(out, '}');
}

static void
initial_write(struct buf *out, const struct setting *s)
{
	if (setting_is_list(s) || !setting_is_quoted(s))
		buf_put(out, str_of_c(s->initial));
	else
		string_write(out, str_of_c(s->initial));
}

static void
setting_write(
    struct buf *out, const char *indent, const struct setting *s, const struct config_quickstart *q)
{
	struct buf number;
	struct str value;

	buf_init(&number, 32);
	value = chosen(s, q, &number);
	buf_putf(
	    out, "%s# %s\n%s%s%s = ", indent, s->help, indent, value.n > 0 ? "" : "#", s->name);
	if (value.n == 0)
		initial_write(out, s);
	else if (setting_is_list(s))
		list_write(out, &value, 1);
	else if (setting_is_quoted(s))
		string_write(out, value);
	else
		buf_put(out, value);
	buf_put_c(out, '\n');
	buf_fini(&number);
}

static void
certificate_write(struct buf *out, const struct config_quickstart *q)
{
	buf_putf(out, "\t# %s\n\tcertificate ", config_certificate_section.help);
	string_write(out, q->hostname);
	buf_put(out, STR(" {\n\t\tchain = "));
	list_write(out, q->chains, q->key_count);
	buf_put(out, STR("\n\t\tkey = "));
	list_write(out, q->keys, q->key_count);
	buf_put(out, STR("\n\t}\n"));
}

static const char head[] =
    "# The configuration of Posthorn. Lines that begin with # are comments; a setting in a\n"
    "# comment shows its default. `posthorn config check` says whether this file is right,\n"
    "# `posthorn reload` takes it into use.\n"
    "#\n"
    "# Sizes: 64k, 10M, 1G. Times: 30s, 5min, 2h, 7d. Texts stand in \"double quotes\", lists in\n"
    "# {\"braces\", \"with commas\"}. include \"other.conf\" on a line of its own takes in another "
    "file.\n"
    "\n";

static const char listener_example[] =
    "\n"
    "# Listeners of your own take the place of the six standard ones, for example:\n"
    "#   listener smtp {\n"
    "#       address = {\"192.0.2.1\", \"2001:db8::1\"}\n"
    "#       port = 25\n"
    "#       protocol = smtp      (smtp, lmtp, pop3, pop3s, submission, submissions)\n"
    "#       tls = starttls       (off, starttls, implicit)\n"
    "#   }\n";

static const char route_example[] =
    "\t# Mail for a domain, or with \"*\" for every other one, through a smart host, for example:\n"
    "\t#   route \"*\" {\n"
    "\t#       host = \"smtp.example.net\"\n"
    "\t#       port = 587\n"
    "\t#       tls = must           (may, must, implicit, never)\n"
    "\t#       user = \"me\"\n"
    "\t#       password = \"secret\"\n"
    "\t#   }\n";

enum status
config_default_write(struct buf *out, const struct config_quickstart *q)
{
	CHECK(q->hostname.n > 0);
	buf_put(out, str_of_c(head));
	for (size_t i = 0; i < config_section_count; i++) {
		const struct section *s = &config_sections[i];
		bool top = i == 0;

		if (!top)
			buf_putf(out, "\n# %s\n%s {\n", s->help, s->name);
		for (size_t j = 0; j < s->count; j++)
			setting_write(out, top ? "" : "\t", &s->settings[j], q);
		if (s->inner == &config_certificate_section && q->key_count > 0)
			certificate_write(out, q);
		if (s->inner == &config_route_section)
			buf_put(out, str_of_c(route_example));
		buf_put(out, top ? str_of_c(listener_example) : STR("}\n"));
	}
	return out->full ? ST_LIMIT : ST_OK;
}

static void
reference_section(struct buf *out, const struct section *s, const char *outer)
{
	if (s->name[0] == 0)
		buf_put(out, STR("### Outside of all sections\n\n"));
	else if (s->title != NULL)
		buf_putf(out, "### %s%s%s`%s \"NAME\" { }`\n\nNAME: %s. %s\n\n",
		    outer[0] == 0 ? "" : "In `", outer, outer[0] == 0 ? "" : "`: ", s->name,
		    s->title, s->help);
	else
		buf_putf(out, "### `%s { }`\n\n%s\n\n", s->name, s->help);
	buf_put(out, STR("| setting | default | what it is for |\n|---|---|---|\n"));
	for (size_t i = 0; i < s->count; i++) {
		const struct setting *t = &s->settings[i];

		buf_putf(out, "| `%s` | ", t->name);
		if (t->initial == NULL) {
			buf_put(out, STR("-"));
		} else {
			buf_put_c(out, '`');
			initial_write(out, t);
			buf_put_c(out, '`');
		}
		buf_putf(out, " | %s%s |\n", t->help,
		    t->needs_restart ? " Changing it needs a restart." : "");
	}
	buf_put_c(out, '\n');
}

enum status
config_reference_write(struct buf *out)
{
	for (size_t i = 0; i < config_section_count; i++) {
		reference_section(out, &config_sections[i], "");
		if (config_sections[i].inner != NULL)
			reference_section(out, config_sections[i].inner, config_sections[i].name);
	}
	return out->full ? ST_LIMIT : ST_OK;
}
