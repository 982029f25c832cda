/*
 * What the DNS of a domain should say, each record with the reason why. The command brings what the configuration knows: "hostname", "addresses"
 * (with blanks between), and the ports "smtp", "submission", "submissions", "pop3s" of those that are listened on.
 */
#include <stdio.h>

#include "base/enc.h"
#include "roles/admin_internal.h"
#include "standards/dkim/dkim.h"

struct dns {
	struct admin_job *j;
	struct directory_domain_name domain;
	struct str home;	/* where its addresses stand: the domain it is an alias of, or itself */
	struct str hostname;
	size_t n;
};

static void
record_put(struct dns *d, const char *before, struct str name, const char *type, struct str value, const char *why)
{
	struct buf *out = &d->j->out, full;

	buf_init(&full, DKIM_NAME_BYTES_MAX + 64);
	(void)buf_put(&full, str_of_c(before));
	(void)buf_put(&full, name);
	(void)buf_put(out, d->n++ > 0 ? STR(",{") : STR("{"));
	admin_member_put(out, "name", buf_str(&full));
	admin_member_put(out, "type", str_of_c(type));
	admin_member_put(out, "value", value);
	admin_member_put(out, "why", str_of_c(why));
	(void)buf_put_c(out, '}');
	buf_fini(&full);
}

static void
remark_put(struct dns *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void
remark_put(struct dns *d, const char *fmt, ...)
{
	struct buf text;
	va_list ap;

	buf_init(&text, 4096);
	va_start(ap, fmt);
	(void)buf_putv(&text, fmt, ap);
	va_end(ap);
	(void)buf_put(&d->j->out, d->n++ > 0 ? STR(",") : STR_NULL);
	(void)json_put_str(&d->j->out, buf_str(&text));
	buf_fini(&text);
}

static struct str
domain_of(const struct dns *d)
{
	return directory_domain_text(&d->domain);
}

/* "10 mail.example.org." */
static void
host_record_put(struct dns *d, const char *before, struct str name, const char *type, const char *numbers, const char *why)
{
	struct buf value;

	buf_init(&value, 512);
	(void)buf_putf(&value, "%s %.*s.", numbers, STR_ARG(d->hostname));
	record_put(d, before, name, type, buf_str(&value), why);
	buf_fini(&value);
}

/* ---- records ---- */

static void
addresses_put(struct dns *d)
{
	struct str rest = str_of_c(admin_option(d->j, "addresses")), one;

	while (rest.n > 0) {
		(void)str_split(rest, ' ', &one, &rest);
		if (one.n > 0)
			record_put(d, "", d->hostname, str_find_char(one, ':') < one.n ? "AAAA" : "A", one, "Where the server itself is found.");
	}
}

/* RFC 6376 3.6.2.1 */
static enum status
dkim_record(struct dns *d, const struct dkim_key_record *k)
{
	struct buf name, value;
	enum status st;

	buf_init(&name, DKIM_NAME_BYTES_MAX);
	buf_init(&value, DKIM_RECORD_BYTES_MAX);
	st = dkim_record_name(k->selector, domain_of(d), &name);
	if (st == ST_OK)
		st = dkim_record_put(&value, (enum dkim_algorithm)k->algorithm, k->public);
	if (st == ST_OK)
		record_put(d, "", buf_str(&name), "TXT", buf_str(&value),
		    k->state != DKIM_KEY_ACTIVE           ? "DKIM: the key of mail that was signed before; remove it after a week."
		    : k->algorithm == DKIM_RSA_SHA256 ? "DKIM: receivers verify this server's signatures with it. RSA, which all of them know."
		                                      : "DKIM: the same with Ed25519, shorter and stronger, for receivers that know it.");
	buf_fini(&name);
	buf_fini(&value);
	return st;
}

static enum status
dkim_records(struct dns *d, size_t *keys_n)
{
	struct arena *a = &d->j->admin->arena;
	struct dkim_key_record *keys;
	enum status st;

	arena_reset(a);
	st = directory_dkim_list(store_snapshot(d->j->admin->store), domain_of(d), a, &keys, keys_n);
	for (size_t i = 0; st == ST_OK && i < *keys_n; i++) {
		st = dkim_record(d, &keys[i]);
		if (st == ST_SYNTAX)
			st = ST_IO;
	}
	return st;
}

/* RFC 7489 6.3 */
static void
dmarc_put(struct dns *d)
{
	struct buf value;

	buf_init(&value, 512);
	(void)buf_putf(&value, "v=DMARC1; p=none; rua=mailto:postmaster@%.*s", STR_ARG(domain_of(d)));
	record_put(d, "_dmarc.", domain_of(d), "TXT", buf_str(&value),
	    "Asks receivers for reports and changes nothing yet. When the reports show that all your mail passes, "
	    "tighten p=none to p=quarantine, and after some weeks to p=reject.");
	buf_fini(&value);
}

/* RFC 6186 3, RFC 8314 5.1: for services that are offered. */
static void
service_put(struct dns *d, const char *option, const char *before, const char *why)
{
	const char *port = admin_option(d->j, option);
	char numbers[64];

	if (port == NULL)
		return;
	(void)snprintf(numbers, sizeof(numbers), "0 1 %.10s", port);
	host_record_put(d, before, domain_of(d), "SRV", numbers, why);
}

static enum status
records_put(struct dns *d, size_t *keys_n)
{
	enum status st;

	host_record_put(d, "", domain_of(d), "MX", "10", "Other servers bring mail for this domain here.");
	addresses_put(d);
	/* RFC 7208 5.4 */
	record_put(d, "", domain_of(d), "TXT", STR("v=spf1 mx -all"), "SPF: only the servers of the MX record send mail of this domain.");
	st = dkim_records(d, keys_n);
	if (st != ST_OK)
		return st;
	dmarc_put(d);
	service_put(d, "submissions", "_submissions._tcp.", "Mail programs find where to send, with TLS from the start.");
	service_put(d, "submission", "_submission._tcp.", "The same with STARTTLS, for older programs.");
	service_put(d, "pop3s", "_pop3s._tcp.", "Mail programs find where to fetch.");
	return ST_OK;
}

/* ---- what is no record of this domain ---- */

static bool
has_address(struct dns *d, const char *local)
{
	struct directory_entry e;

	return directory_entry_get(store_snapshot(d->j->admin->store), str_of_c(local), d->home, &e, NULL) == ST_OK;
}

static void
remarks_put(struct dns *d, size_t keys_n)
{
	static const char *const duties[] = {"postmaster", "abuse"};
	const char *addresses = admin_option(d->j, "addresses"), *smtp = admin_option(d->j, "smtp");

	if (addresses == NULL || addresses[0] == '\0')
		remark_put(d, "Point %.*s at this server: an A record with its IPv4 address, an AAAA record with its IPv6 address if it has one.",
		    STR_ARG(d->hostname));
	remark_put(d, "The PTR record of the server's addresses should be %.*s. Whoever gave you the address sets it; many servers take no mail without.",
	    STR_ARG(d->hostname));
	if (keys_n == 0)
		remark_put(d, "Mail of this domain is not signed: `posthorn domain keys %.*s --make` makes its keys.", STR_ARG(domain_of(d)));
	if (smtp != NULL && strcmp(smtp, "25") != 0)
		remark_put(d, "This server waits for mail on port %.10s; other servers only come to port 25.", smtp);
	/* RFC 2142 4, 5 */
	for (size_t i = 0; i < sizeof(duties) / sizeof(duties[0]); i++)
		if (!has_address(d, duties[i]))
			remark_put(d, "Somebody must read %s@%.*s: `posthorn alias add %s@%.*s ADDRESS`.", duties[i], STR_ARG(domain_of(d)), duties[i], STR_ARG(d->home));
}

void
admin_domain_dns(struct admin_job *j)
{
	struct dns d = {.j = j, .hostname = str_of_c(admin_option(j, "hostname"))};
	struct domain domain = {0};
	size_t keys_n = 0;
	enum status st = directory_domain_parse(j->operands[0], &d.domain, &j->why);

	if (st == ST_OK)
		st = directory_domain_get(store_snapshot(j->admin->store), j->operands[0], &domain);
	if (st == ST_NOTFOUND)
		(void)buf_putf(&j->why, "domain %.*s is not here", STR_ARG(domain_of(&d)));
	if (st == ST_OK && (d.hostname.n == 0 || d.hostname.n > SCHEMA_DOMAIN_BYTES_MAX)) {
		(void)buf_put(&j->why, STR("the request brings no host name"));
		st = ST_SYNTAX;
	}
	d.home = domain.alias_of.n > 0 ? directory_domain_text(&domain.alias_of) : domain_of(&d);
	(void)buf_put(&j->out, STR("{\"records\":["));
	if (st == ST_OK)
		st = records_put(&d, &keys_n);
	if (st != ST_OK) {
		admin_job_end(j, st);
		return;
	}
	(void)buf_put(&j->out, STR("],\"remarks\":["));
	d.n = 0;
	remarks_put(&d, keys_n);
	(void)buf_put(&j->out, STR("]}"));
	admin_job_answer(j, 0);
}
