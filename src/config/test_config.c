#include <stdlib.h>
#include <unistd.h>

#include "base/num.h"
#include "base/unit.h"
#include "config/config.h"
#include "config/nearest.h"
#include "config/units.h"

#define BASE                                                                                       \
	"hostname = \"mail.example.org\"\ntls { certificate \"mail.example.org\" { chain = c.pem " \
	"key = k.pem } }\n"

/* Files of a pretended folder. */
struct fake_file {
	const char *path;
	const char *text;
};

static enum status
fake_read(void *arg, struct str path, struct buf *out)
{
	for (const struct fake_file *f = arg; f != NULL && f->path != NULL; f++)
		if (str_eq(path, str_of_c(f->path)))
			return buf_put(out, str_of_c(f->text));
	return ST_NOTFOUND;
}

static enum status
parse_with(struct str text, struct fake_file *files, struct config **out, struct buf *error)
{
	return config_parse(text, STR("etc/p.conf"), fake_read, files, out, error);
}

/* The configuration or, with a complaint, NULL. */
static struct config *
parse(const char *text)
{
	struct buf error;
	struct config *c;

	buf_init(&error, CONFIG_ERROR_BYTES_MAX);
	if (parse_with(str_of_c(text), NULL, &c, &error) != ST_OK)
		fprintf(stderr, "unexpected: %.*s", STR_ARG(buf_str(&error)));
	EXPECT(c != NULL);
	buf_fini(&error);
	return c;
}

static void
units_are_read(void)
{
	static const struct {
		const char *in;
		bool is_time;
		enum status st;
		uint64_t out;
	} table[] = {
	    {"0", false, ST_OK, 0},
	    {"17", false, ST_OK, 17},
	    {"64k", false, ST_OK, 65536},
	    {"64K", false, ST_OK, 65536},
	    {"10M", false, ST_OK, 10485760},
	    {"1G", false, ST_OK, 1073741824},
	    {"2T", false, ST_OK, UINT64_C(2) << 40},
	    {"18446744073709551615", false, ST_OK, UINT64_MAX},
	    {"18446744073709551616", false, ST_LIMIT, 0},
	    {"16777215T", false, ST_OK, UINT64_C(16777215) << 40},
	    {"16777216T", false, ST_LIMIT, 0},
	    {"", false, ST_SYNTAX, 0},
	    {"k", false, ST_SYNTAX, 0},
	    {"1.5M", false, ST_SYNTAX, 0},
	    {"-1", false, ST_SYNTAX, 0},
	    {"10 M", false, ST_SYNTAX, 0},
	    {"10min", false, ST_SYNTAX, 0},
	    {"7", true, ST_OK, 7000},
	    {"500ms", true, ST_OK, 500},
	    {"30s", true, ST_OK, 30000},
	    {"5min", true, ST_OK, 300000},
	    {"2h", true, ST_OK, 7200000},
	    {"7d", true, ST_OK, 604800000},
	    {"5m", true, ST_SYNTAX, 0},
	    {"18446744073709551", true, ST_OK, UINT64_C(18446744073709551000)},
	    {"18446744073709552", true, ST_LIMIT, 0},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct str in = str_of_c(table[i].in);
		uint64_t v = 0;
		enum status st = table[i].is_time ? duration_parse(in, &v) : size_parse(in, &v);

		EXPECT(st == table[i].st);
		if (st == ST_OK)
			EXPECT(v == table[i].out);
	}
}

static void
nearest_words_are_found(void)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} table[] = {
	    {"", "", 0},
	    {"abc", "", 3},
	    {"hostnam", "hostname", 1},
	    {"hsotname", "hostname", 1},
	    {"HOSTNAME", "hostname", 0},
	    {"kitten", "sitting", 3},
	    {"ca", "abc", 3},
	};
	struct nearest near;
	char word[NEAREST_WORD_BYTES_MAX + 1];

	for (size_t i = 0; i < COUNT_OF(table); i++)
		EXPECT(nearest_distance(str_of_c(table[i].a), str_of_c(table[i].b)) ==
		       table[i].distance);
	memset(word, 'a', sizeof(word));
	EXPECT(nearest_distance(str_of(word, sizeof(word) - 1), STR("")) == NEAREST_WORD_BYTES_MAX);
	EXPECT(nearest_distance(str_of(word, sizeof(word)), STR("")) == SIZE_MAX);
	nearest_init(&near, STR("lisen"));
	nearest_offer(&near, STR("data"));
	EXPECT(nearest_result(&near).n == 0);
	nearest_offer(&near, STR("listen"));
	nearest_offer(&near, STR("listener"));
	EXPECT_STR(nearest_result(&near), STR("listen"));
}

static void
addresses_are_read(void)
{
	static const struct {
		const char *net, *ip;
		bool has;
	} table[] = {
	    {"192.0.2.0/24", "192.0.2.255", true},
	    {"192.0.2.0/24", "192.0.3.0", false},
	    {"192.0.2.1", "192.0.2.1", true},
	    {"0.0.0.0/0", "1.2.3.4", true},
	    {"0.0.0.0/0", "::1", false},
	    {"2001:db8::/32", "2001:db8:1::1", true},
	    {"2001:db8::/32", "2001:db9::", false},
	    {"127.0.0.0/8", "::ffff:127.0.0.1", true},
	};
	static const char *const bad_networks[] = {
	    "", "x", "192.0.2.1/24", "192.0.2.0/33", "::/129", "::1/0", "1.2.3.0/", "1.2.3/8"};
	static const char *const bad_endpoints[] = {"", "127.0.0.1", "127.0.0.1:0",
	    "127.0.0.1:65536", "::1:53", "[127.0.0.1]:53", "dns:53"};
	struct config_endpoint e;

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct config_network net;
		struct config_ip ip;

		EXPECT(config_network_parse(str_of_c(table[i].net), &net) == ST_OK);
		EXPECT(config_ip_parse(str_of_c(table[i].ip), &ip) == ST_OK);
		EXPECT(config_network_has(&net, &ip) == table[i].has);
	}
	for (size_t i = 0; i < COUNT_OF(bad_networks); i++) {
		struct config_network net;

		EXPECT(config_network_parse(str_of_c(bad_networks[i]), &net) == ST_SYNTAX);
	}
	for (size_t i = 0; i < COUNT_OF(bad_endpoints); i++)
		EXPECT(config_endpoint_parse(str_of_c(bad_endpoints[i]), &e) == ST_SYNTAX);
	EXPECT(
	    config_endpoint_parse(STR("[::1]:65535"), &e) == ST_OK && e.port == 65535 && e.ip.v6);
	EXPECT(config_endpoint_parse(STR("10.0.0.1:1"), &e) == ST_OK && e.port == 1 && !e.ip.v6);
}

static void
hostnames_are_judged(void)
{
	static const char *const good[] = {
	    "mail.example.org", "a", "3com.com", "a-b.c", "xn--bcher-kva.example"};
	static const char *const bad[] = {
	    "", ".", "a.", ".a", "a..b", "-a", "a-", "a_b", "a b", "127.0.0.1", "ü.org"};
	char label[CONFIG_LABEL_BYTES_MAX + 1];
	char name[CONFIG_HOSTNAME_BYTES_MAX + 1];

	for (size_t i = 0; i < COUNT_OF(good); i++)
		EXPECT(config_hostname_is_valid(str_of_c(good[i])));
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		EXPECT(!config_hostname_is_valid(str_of_c(bad[i])));
	memset(label, 'a', sizeof(label));
	EXPECT(config_hostname_is_valid(str_of(label, CONFIG_LABEL_BYTES_MAX)));
	EXPECT(!config_hostname_is_valid(str_of(label, CONFIG_LABEL_BYTES_MAX + 1)));
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 == 0 ? 'a' : '.';
	EXPECT(config_hostname_is_valid(str_of(name, CONFIG_HOSTNAME_BYTES_MAX)));
	name[CONFIG_HOSTNAME_BYTES_MAX - 1] = 'b';
	name[CONFIG_HOSTNAME_BYTES_MAX] = 'b';
	EXPECT(!config_hostname_is_valid(str_of(name, CONFIG_HOSTNAME_BYTES_MAX + 1)));
}

static void
defaults_are_there(void)
{
	struct config *c = parse(BASE);

	if (c == NULL)
		return;
	EXPECT_STR(c->hostname, STR("mail.example.org"));
	EXPECT_STR(c->data, STR("etc/store"));
	EXPECT_STR(c->folder, STR("etc"));
	EXPECT(c->recipient_delimiter == '+');
	EXPECT(c->limits.message_size_max == 50 << 20);
	EXPECT(c->limits.command_timeout_ms == 300000);
	EXPECT(c->limits.exempt.n == 2);
	EXPECT(c->auth.scram_iterations == 100000 && c->auth.scram_sha1 == CONFIG_NO);
	EXPECT(c->limits.greet_delay_ms == 0 && c->limits.tarpit_ms == 1000);
	EXPECT(c->limits.proxy.n == 0 && c->limits.xclient.n == 0 && c->submission.trusted.n == 0);
	EXPECT(
	    c->submission.messages_per_hour == 1000 && c->submission.recipients_per_hour == 5000);
	EXPECT(c->submission.client_ca_path.n == 0);
	EXPECT(c->queue.life_ms == 5 * 86400000 && c->queue.delay_notice_ms == 4 * 3600000);
	EXPECT(c->queue.first_retry_ms == 300000 && c->queue.max_retry_ms == 7200000);
	EXPECT(c->queue.trace_days == 14);
	EXPECT(c->relay.port == 25 && c->relay.connections == 500 && c->relay.idle_ms == 10000);
	EXPECT(c->relay.connections_per_destination == 20 && c->relay.route_count == 0);
	EXPECT_STR(c->master_key_path, STR("etc/keys/master.key"));
	EXPECT(c->store.archive_level == 3);
	EXPECT(c->tls_version_min == CONFIG_TLS_1_2);
	EXPECT(c->log_level == LOG_INFO && c->log_format == LOG_TEXT && c->log_file.n == 0);
	EXPECT(c->roles.smtpin == 0);
	EXPECT_STR(c->roles.user_keys, STR("posthorn-keys"));
	EXPECT(c->resolver_forward.port == 0);
	EXPECT(c->certificate_count == 1);
	EXPECT_STR(c->certificates[0].chain_path, STR("etc/c.pem"));
	EXPECT(c->listener_count == 6);
	EXPECT(c->listeners[0].protocol == CONFIG_SMTP && c->listeners[0].port == 25);
	EXPECT(c->listeners[0].address.n == 2);
	EXPECT(c->listeners[1].protocol == CONFIG_LMTP && c->listeners[1].port == 24);
	EXPECT(config_ip_is_loopback(&c->listeners[1].address.v[0]));
	EXPECT(config_ip_is_loopback(&c->listeners[1].address.v[1]));
	EXPECT(c->listeners[3].tls == CONFIG_TLS_IMPLICIT && c->listeners[3].port == 995);
	config_free(&c);
	EXPECT(c == NULL);
}

static void
settings_are_read(void)
{
	struct config *c = parse(
	    "# a comment\n"
	    "// another, then /* a third\n"
	    "/* over\n  lines # and { braces */ hostname = \"MAIL.Example.org\" // behind\r\n"
	    "data = '/var/lib/p'\n"
	    "listen = \"127.0.0.2\" port_offset = 10000 recipient_delimiter = \"\"\n"
	    "limits { message_size_max = 1M exempt += {\"10.0.0.0/8\"} command_timeout=1min }\n"
	    "limits { recipients_max = 100 }\n"
	    "tls { min_version = 1.3\n certificate \"mail.example.org\" {\n"
	    "  chain = {\"a.pem\", \"b.pem\"}\n  key = {\"/k/a\", \"/k/b\"} }\n"
	    " certificate \"*.Example.net\" { chain = x key = y } }\n"
	    "resolver { forward = \"[::1]:5353\" trust_anchor = \"root.key\" }\n"
	    "log { level = debug format = json target = \"p.log\" }\n"
	    "roles { smtpin = 64 worker = auto user_store = mailstore }\n");

	if (c == NULL)
		return;
	EXPECT_STR(c->hostname, STR("mail.example.org"));
	EXPECT_STR(c->data, STR("/var/lib/p"));
	EXPECT(c->recipient_delimiter == 0);
	EXPECT(c->listeners[0].port == 10025 && c->listeners[0].address.n == 1);
	EXPECT(c->listeners[1].address.n == 1 && c->listeners[1].address.v[0].bytes[3] == 2);
	EXPECT(c->limits.message_size_max == 1 << 20 && c->limits.recipients_max == 100);
	EXPECT(c->limits.exempt.n == 3 && c->limits.exempt.v[2].prefix_bits == 8);
	EXPECT(c->tls_version_min == CONFIG_TLS_1_3);
	EXPECT(c->certificate_count == 3);
	EXPECT_STR(c->certificates[1].chain_path, STR("etc/b.pem"));
	EXPECT_STR(c->certificates[1].key_path, STR("/k/b"));
	EXPECT_STR(c->certificates[2].name, STR("*.example.net"));
	EXPECT(c->resolver_forward.port == 5353 && c->resolver_forward.ip.v6);
	EXPECT_STR(c->resolver_trust_anchor, STR("etc/root.key"));
	EXPECT(c->log_level == LOG_DEBUG && c->log_format == LOG_JSON);
	EXPECT_STR(c->log_file, STR("etc/p.log"));
	EXPECT(c->roles.smtpin == 64 && c->roles.worker == 0);
	EXPECT_STR(c->roles.user_store, STR("mailstore"));
	config_free(&c);
}

static void
listeners_are_read(void)
{
	struct config *c = parse(BASE
	    "port_offset = 10\n"
	    "listener smtp { port = 2525 }\n"
	    "listener inside { address = \"127.0.0.1\" port = 65535 protocol = pop3 tls = off }\n"
	    "listener pop3s { port = 1 }\n");

	if (c == NULL)
		return;
	EXPECT(c->listener_count == 3);
	EXPECT(
	    c->listeners[0].protocol == CONFIG_SMTP && c->listeners[0].tls == CONFIG_TLS_STARTTLS);
	EXPECT(c->listeners[0].port == 2525 && c->listeners[0].address.n == 2);
	EXPECT_STR(c->listeners[1].name, STR("inside"));
	EXPECT(c->listeners[1].protocol == CONFIG_POP3 && c->listeners[1].tls == CONFIG_TLS_OFF);
	EXPECT(c->listeners[1].port == 65535);
	EXPECT(c->listeners[2].tls == CONFIG_TLS_IMPLICIT);
	config_free(&c);
}

static void
sending_is_read(void)
{
	struct config *c = parse(BASE
	    "limits { greet_delay = 60s tarpit = 0 proxy = {\"10.1.0.0/16\"} xclient = \"::1\" }\n"
	    "submission { trusted = {\"10.0.0.0/8\", \"2001:db8::/32\"} messages_per_hour = 7\n"
	    "  recipients_per_hour = 8 client_ca = \"ca.pem\" }\n"
	    "queue { life = 2d delay_notice = 0 first_retry = 1min max_retry = 1h trace_days = "
	    "3650 }\n"
	    "relay { port = 2525 connections = 5 connections_per_destination = 2 idle = 1min\n"
	    "  route \"Example.ORG\" { host = \"SMTP.example.net\" port = 2587 tls = may\n"
	    "    user = \"me\" password = \"a \\\"b\\\\ {#\" }\n"
	    "  route \"*\" { host = \"[2001:DB8:0::1]\" }\n"
	    "  route a.example { host = 192.0.2.1 tls = implicit }\n"
	    "  route b.example { host = \"2001:db8::2\" tls = never }\n"
	    "}\n"
	    "keys { master = \"/k/m\" }\n");

	if (c == NULL)
		return;
	EXPECT(c->limits.greet_delay_ms == 60000 && c->limits.tarpit_ms == 0);
	EXPECT(c->limits.proxy.n == 1 && c->limits.proxy.v[0].prefix_bits == 16);
	EXPECT(c->limits.xclient.n == 1 && c->limits.xclient.v[0].ip.v6);
	EXPECT(c->submission.trusted.n == 2 && c->submission.trusted.v[1].prefix_bits == 32);
	EXPECT(c->submission.messages_per_hour == 7 && c->submission.recipients_per_hour == 8);
	EXPECT_STR(c->submission.client_ca_path, STR("etc/ca.pem"));
	EXPECT(c->queue.life_ms == 2 * 86400000 && c->queue.delay_notice_ms == 0);
	EXPECT(c->queue.first_retry_ms == 60000 && c->queue.max_retry_ms == 3600000);
	EXPECT(c->queue.trace_days == 3650);
	EXPECT(c->relay.port == 2525 && c->relay.connections == 5 && c->relay.idle_ms == 60000);
	EXPECT(c->relay.connections_per_destination == 2);
	EXPECT_STR(c->master_key_path, STR("/k/m"));
	EXPECT(c->relay.route_count == 4);
	if (c->relay.route_count == 4) {
		const struct config_route *r = c->relay.routes;

		EXPECT_STR(r[0].domain, STR("example.org"));
		EXPECT_STR(r[0].host, STR("smtp.example.net"));
		EXPECT(r[0].port == 2587 && r[0].tls == CONFIG_ROUTE_TLS_MAY);
		EXPECT_STR(r[0].user, STR("me"));
		EXPECT_STR(r[0].password, STR("a \"b\\ {#"));
		EXPECT_STR(r[1].domain, STR("*"));
		EXPECT_STR(r[1].host, STR("2001:db8::1"));
		EXPECT(r[1].port == 587 && r[1].tls == CONFIG_ROUTE_TLS_MUST);
		EXPECT(r[1].user.n == 0 && r[1].password.n == 0);
		EXPECT_STR(r[2].host, STR("192.0.2.1"));
		EXPECT(r[2].port == 465 && r[2].tls == CONFIG_ROUTE_TLS_IMPLICIT);
		EXPECT_STR(r[3].host, STR("2001:db8::2"));
		EXPECT(r[3].tls == CONFIG_ROUTE_TLS_NEVER);
	}
	config_free(&c);
}

static void
errors_name_place_and_remedy(void)
{
	static const struct {
		const char *in;
		const char *error;
	} table[] = {
	    {"# 1\n/* 2\n3 */\n\nhostnam = x\n",
		"etc/p.conf:5: unknown setting `hostnam`; did you mean `hostname`?\n"},
	    {"message_size_max = 1M\n", "etc/p.conf:1: unknown setting `message_size_max` here; "
					"did you mean `message_size_max` in "
					"the section `limits`?\n"},
	    {"limits {\n\trecipient_max = 1\n}\n",
		"etc/p.conf:2: unknown setting `recipient_max`; did you mean `recipients_max`?\n"},
	    {"limits {\n\thostname = x\n}\n", "etc/p.conf:2: unknown setting `hostname` in this "
					      "section; did you mean `hostname`, outside of "
					      "all sections?\n"},
	    {"log { }\nlgo { level = info }\n",
		"etc/p.conf:2: unknown setting `lgo`; did you mean `log`?\n"},
	    {"zzzzzzzz = 1\n", "etc/p.conf:1: unknown setting `zzzzzzzz`\n"},
	    {"limits|recipients_max = 1\n",
		"etc/p.conf:1: unexpected `|`; put the value in double quotes\n"},
	    {"hostname = $HOME\n",
		"etc/p.conf:1: unexpected `$`; put the value in double quotes\n"},
	    {"hostname = \"${HOME}\"\n",
		"etc/p.conf:1: `${` is not replaced by anything here; write the value itself\n"},
	    {"\n\nhostname = \"x\n", "etc/p.conf:3: the string does not end on its line\n"},
	    {"hostname = \"\\777\"\n",
		"etc/p.conf:1: in a string, `\\` may stand only before a quote or another `\\`\n"},
	    {"hostname = \"a\xff\"\n", "etc/p.conf:1: the string is not plain UTF-8 text\n"},
	    {"hostname = \x01\n", "etc/p.conf:1: a byte that is no text outside of a string; put "
				  "the value in double quotes\n"},
	    {"\n/* x\n\n", "etc/p.conf:2: this comment does not end\n"},
	    {"\nlimits {\n\n", "etc/p.conf:2: this `{` is not closed\n"},
	    {"limits { }\n}\n", "etc/p.conf:2: this `}` closes nothing\n"},
	    {"hostname \"x\"\n", "etc/p.conf:1: `=` is missing after `hostname`\n"},
	    {"\nhostname =\n", "etc/p.conf:2: the file ends in the middle of a setting\n"},
	    {"limits = 5\n", "etc/p.conf:1: `{` is missing after the section `limits`\n"},
	    {"listener { }\n",
		"etc/p.conf:1: the section `listener` needs a name before its `{`\n"},
	    {"hostname += \"x\"\n",
		"etc/p.conf:1: `+=` is for lists; `hostname` holds one value\n"},
	    {"listener a { port = 1 protocol = smtp }\nlistener a { port = 2 }\n",
		"etc/p.conf:2: there is already a section named `a`\n"},
	    {"hostname = {\"x\"}\n", "etc/p.conf:1: unexpected `{`\n"},
	    {"hostname = \"a_b\"\n",
		"etc/p.conf:1: hostname = a_b: not a host name; write e.g. \"mail.example.org\"\n"},
	    {"limits { message_size_max = 9x }\n",
		"etc/p.conf:1: message_size_max = 9x: not a size; write e.g. 64k, 10M or 1G\n"},
	    {"limits { command_timeout = 5m }\n",
		"etc/p.conf:1: command_timeout = 5m: not a time; write e.g. 30s, 5min, 2h or 7d\n"},
	    {"limits { recipients_max = 99 }\n",
		"etc/p.conf:1: recipients_max = 99: too small; at least 100\n"},
	    {"limits { recipients_max = many }\n",
		"etc/p.conf:1: recipients_max = many: not a number\n"},
	    {"log { level = inf }\n", "etc/p.conf:1: level = inf: must be debug, info, warn or "
				      "error; did you mean `info`?\n"},
	    {"listen = {\"mail.example.org\"}\n",
		"etc/p.conf:1: listen = mail.example.org: `mail.example.org` is not an IP address; "
		"names are "
		"not looked up\n"},
	    {"listen = {}\n", "etc/p.conf: listen: must hold 1 to 16 addresses\n"},
	    {"limits { exempt = {\"10.0.0.1/8\"} }\n",
		"etc/p.conf:1: exempt = 10.0.0.1/8: `10.0.0.1/8` is not a network; write e.g. "
		"\"192.0.2.0/24\", with zeros behind the prefix\n"},
	    {"recipient_delimiter = \"++\"\n",
		"etc/p.conf:1: recipient_delimiter = ++: must be one of + - _ . = or \"\"\n"},
	    {"recipient_delimiter = +\n",
		"etc/p.conf:1: unexpected `+`; put the value in double quotes\n"},
	    {"resolver { forward = \"::1:53\" }\n",
		"etc/p.conf:1: forward = ::1:53: not an address with a port; write e.g. "
		"\"127.0.0.1:53\" or "
		"\"[::1]:53\"\n"},
	    {"roles { user_auth = \"0x\" }\n", "etc/p.conf:1: user_auth = 0x: not a user name\n"},
	    {"tls {\n certificate \"a_b\" { chain = a key = b } }\n",
		"etc/p.conf:2: certificate `a_b`: not a host name; write e.g. "
		"\"mail.example.org\"\n"},
	    {"tls { certificate \"a.b\" { chain = {a,b} key = b } }\n",
		"etc/p.conf:1: certificate `a.b` needs `chain` and `key`, the same number of files "
		"in each\n"},
	    {BASE "listener x { port = 0 protocol = smtp }\n",
		"etc/p.conf:3: port = 0: too small; at least 1\n"},
	    {BASE "listener x { port = 65536 protocol = smtp }\n",
		"etc/p.conf:3: port = 65536: too large; at most 65535\n"},
	    {BASE "listener x { port = 1 }\n", "etc/p.conf:3: listener `x` needs `protocol`: smtp, "
					       "lmtp, pop3, pop3s, submission or "
					       "submissions\n"},
	    {BASE "listener smtp { }\n", "etc/p.conf:3: listener `smtp` needs a `port`\n"},
	    {BASE "listener pop3s { port = 1 tls = off }\n",
		"etc/p.conf:3: listener `pop3s`: pop3s is TLS from its first byte; write tls = "
		"implicit\n"},
	    {BASE "listener smtp { port = 1 tls = implicit }\n",
		"etc/p.conf:3: listener `smtp`: smtp begins in plain text; write tls = starttls or "
		"off\n"},
	    {BASE "listener smtp { port = 25 }\nlistener b { address = \"127.0.0.1\" port = 25 "
		  "protocol = pop3 }\n",
		"etc/p.conf:4: listeners `smtp` and `b` both want 127.0.0.1 port 25\n"},
	    {BASE "listener smtp { port = 25 address = {\"::1\", \"::\"} }\n",
		"etc/p.conf:3: listener `smtp` names ::1 port 25 twice\n"},
	    {"tls { certificate \"a.b\" { chain = a key = b } }\n",
		"etc/p.conf: `hostname` is missing; add: hostname = \"mail.example.org\"\n"},
	    {"hostname = a\nlistener smtp { port = 25 }\n",
		"etc/p.conf:2: listener `smtp` needs a certificate; add one to the section `tls`: "
		"certificate "
		"\"a\" { chain = \"FILE\" key = \"FILE\" }\n"},
	    {BASE "store { ring_segment_bytes = 51M ring_segments_max = 4 }\n",
		"etc/p.conf: checkpoint_bytes must be at most half of ring_segment_bytes times "
		"ring_segments_max\n"},
	    {BASE "store { ring_segment_bytes = 50M }\n",
		"etc/p.conf: ring_segment_bytes must be at least 1M more than message_size_max\n"},
	    {"life = 5d\n", "etc/p.conf:1: unknown setting `life` here; did you mean `life` in the "
			    "section `queue`?\n"},
	    {"relay {\n rout x { } }\n",
		"etc/p.conf:2: unknown setting `rout`; did you mean `route`?\n"},
	    {"relay {\n route \"x\" { hots = a } }\n",
		"etc/p.conf:2: unknown setting `hots`; did you mean `host`?\n"},
	    {"limits { proxy = {\"lb.example.org\"} }\n",
		"etc/p.conf:1: proxy = lb.example.org: `lb.example.org` is not a network; write "
		"e.g. "
		"\"192.0.2.0/24\", with zeros behind the prefix\n"},
	    {"relay {\n route \"a_b\" { host = x } }\n",
		"etc/p.conf:2: route `a_b`: not a domain; write e.g. \"example.org\", \"*\" for "
		"every other one, and what is not ASCII as \"xn--...\"\n"},
	    {"relay { route \"b\xc3\xbc"
	     "cher.example\" { host = x } }\n",
		"etc/p.conf:1: route `b\xc3\xbc"
		"cher.example`: not a domain; write e.g. "
		"\"example.org\", \"*\" for every other one, and what is not ASCII as "
		"\"xn--...\"\n"},
	    {"relay { route x {\n host = \"x:25\" } }\n",
		"etc/p.conf:2: host = x:25: not a host name or an IP address; write e.g. "
		"\"smtp.example.net\" or \"192.0.2.1\", the port stands in `port`\n"},
	    {"relay { route x { port = 25 } }\n", "etc/p.conf:1: route `x` needs a `host`\n"},
	    {"relay { route x { host = y password = sesame } }\n",
		"etc/p.conf:1: route `x` has a `password` but no `user`; add the name that it "
		"belongs to\n"},
	    {"relay { route x { host = y user = sesame } }\n",
		"etc/p.conf:1: route `x` has a `user` but no `password`; add it, or leave both out "
		"to "
		"send without a login\n"},
	    {"relay { route x { host = y user = u password = sesame tls = never } }\n",
		"etc/p.conf:1: route `x`: a password is not sent without TLS; write tls = must or "
		"implicit, or leave `user` and `password` out\n"},
	    {"relay { route x { host = y tls = starttls } }\n",
		"etc/p.conf:1: tls = starttls: must be may, must, implicit or never\n"},
	    {"relay { route x { host = y }\n route x { host = z } }\n",
		"etc/p.conf:2: there is already a section named `x`\n"},
	    {"relay { route x { host = y }\n route X { host = z } }\n",
		"etc/p.conf:2: there is already a route for `x`\n"},
	    {BASE "queue { first_retry = 3h }\n",
		"etc/p.conf: first_retry must not be longer than max_retry\n"},
	    {BASE "queue { life = 299s }\n",
		"etc/p.conf: life must be at least first_retry, or nothing is tried twice\n"},
	    {BASE "keys { master = \"\" }\n",
		"etc/p.conf: `master` of the section `keys` is empty; name a file\n"},
	    {BASE "limits { recipients_max = 1\n errors_max = 0 }\n",
		"etc/p.conf:3: recipients_max = 1: too small; at least 100\n"
		"etc/p.conf:4: errors_max = 0: too small; at least 1\n"},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct buf error;
		struct config *c;

		buf_init(&error, CONFIG_ERROR_BYTES_MAX);
		EXPECT(parse_with(str_of_c(table[i].in), NULL, &c, &error) != ST_OK);
		EXPECT(c == NULL);
		EXPECT_STR(buf_str(&error), str_of_c(table[i].error));
		buf_fini(&error);
	}
}

/* However a password is mistyped, what is said about it does not show it. */
static void
passwords_are_not_shown(void)
{
	static const char *const wrong[] = {
	    "password = correct sesame",
	    "password = \"correct\" \"sesame\"",
	    "password =\ncorrect sesame",
	    "password\n= correct\nuser sesame",
	    "password\n sesame",
	    "password\n\n=\n# why\ncorrect sesame",
	    "password = # why\n\n/* \n */ correct sesame",
	    "password = \n = sesame",
	    "password sesame",
	    "password = {sesame}",
	    "password += sesame",
	    "password = sesame = sesame",
	    "password = \"sesame",
	    "password = \"sesame\"sesame\"",
	    "password = \"\\sesame\"",
	    "password = $sesame",
	    "password = \"${sesame}\"",
	    "password = sesame | sesame",
	    "password = sesame user = u tls = never",
	    "pasword = sesame",
	    "user = u password = sesame tls = sometimes",
	};
	char start[CONFIG_CREDENTIAL_BYTES_MAX + 2];

	for (size_t i = 0; i <= COUNT_OF(wrong); i++) {
		struct buf text, error;
		struct config *c;

		buf_init(&text, 4096);
		buf_init(&error, CONFIG_ERROR_BYTES_MAX);
		buf_put(&text, STR(BASE "relay { route x { host = y\n"));
		if (i < COUNT_OF(wrong)) {
			buf_put(&text, str_of_c(wrong[i]));
		} else {
			memset(start, 'a', sizeof(start));
			memcpy(start, "sesame", 6);
			buf_put(&text, STR("user = u password = "));
			buf_put(&text, str_of(start, CONFIG_CREDENTIAL_BYTES_MAX + 1));
		}
		buf_put(&text, STR("\n} }\n"));
		EXPECT(parse_with(buf_str(&text), NULL, &c, &error) != ST_OK);
		EXPECT(str_find_ci(buf_str(&error), STR("sesame")) == error.n);
		EXPECT(str_find(buf_str(&error), STR("correct")) == error.n);
		EXPECT(str_has_prefix(buf_str(&error), STR("etc/p.conf:")));
		if (str_find_ci(buf_str(&error), STR("sesame")) < error.n)
			fprintf(stderr, "shown: %.*s", STR_ARG(buf_str(&error)));
		config_free(&c);
		buf_fini(&text);
		buf_fini(&error);
	}
}

/* After each wrong file the right one is read as if nothing had been: reload depends on it. */
static void
wrong_files_leave_nothing_behind(void)
{
	static const char *const wrong[] = {
	    "a = \"x", "a = \"\\777\"", "/*", "tls {", "}", "data = ", "x = {", "'"};

	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		struct buf error;
		struct config *c;

		buf_init(&error, CONFIG_ERROR_BYTES_MAX);
		EXPECT(parse_with(str_of_c(wrong[i]), NULL, &c, &error) != ST_OK);
		buf_fini(&error);
		c = parse(BASE "data = \"here\"\n");
		if (c != NULL)
			EXPECT_STR(c->data, STR("etc/here"));
		config_free(&c);
	}
}

static void
includes_are_relative_and_counted(void)
{
	static struct fake_file files[] = {
	    {"etc/sub/a.conf", "# first\nlimits { recipients_max = 100 }\ninclude \"b.conf\"\n"},
	    {"etc/sub/b.conf", "log {\n\n level = warn }\n"},
	    {"/abs.conf", "data = \"x\"\n"},
	    {"etc/in.conf", "format = json\n"},
	    {"etc/bad.conf", "\n\nhostnam = x\n"},
	    {"etc/badvalue.conf", "\nlimits { recipients_max = 5 }\n"},
	    {"etc/open.conf", "limits {\n"},
	    {"etc/loop.conf", "include \"loop.conf\"\n"},
	    {NULL, NULL},
	};
	static const struct {
		const char *in;
		const char *error;
	} table[] = {
	    {"\ninclude \"bad.conf\"\n",
		"etc/bad.conf:3: unknown setting `hostnam`; did you mean `hostname`?\n"},
	    {"include \"sub/b.conf\"\nhostnam = x\n",
		"etc/p.conf:2: unknown setting `hostnam`; did you mean `hostname`?\n"},
	    {"include \"badvalue.conf\"",
		"etc/badvalue.conf:2: recipients_max = 5: too small; at least 100\n"},
	    {"include \"open.conf\"\n}\n", "etc/open.conf:1: this `{` is not closed\n"},
	    {"\ninclude \"none.conf\"\n", "etc/p.conf:2: there is no file etc/none.conf\n"},
	    {"include \"loop.conf\"\n", "etc/loop.conf:1: files include one another too deeply; "
					"does one include itself?\n"},
	};
	struct config *c;
	struct buf error;

	buf_init(&error, CONFIG_ERROR_BYTES_MAX);
	EXPECT(parse_with(STR(BASE "include \"sub/a.conf\"\n  include \"/abs.conf\" # why\nlog "
				   "{\ninclude \"in.conf\"\n}\n"),
		   files, &c, &error) == ST_OK);
	EXPECT_STR(buf_str(&error), STR(""));
	if (c != NULL) {
		EXPECT(c->limits.recipients_max == 100);
		EXPECT(c->log_level == LOG_WARN && c->log_format == LOG_JSON);
		EXPECT_STR(c->data, STR("etc/x"));
	}
	config_free(&c);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_reset(&error);
		EXPECT(parse_with(str_of_c(table[i].in), files, &c, &error) != ST_OK);
		EXPECT_STR(buf_str(&error), str_of_c(table[i].error));
	}
	buf_fini(&error);
}

/* `count` times `piece`, then the base; ST_OK or what it fails with. */
static enum status
parse_repeated(
    const char *before, const char *piece, size_t count, const char *after, struct fake_file *files)
{
	struct buf text, error;
	struct config *c;
	enum status st;

	buf_init(&text, 4 * CONFIG_TEXT_BYTES_MAX);
	buf_init(&error, CONFIG_ERROR_BYTES_MAX);
	buf_put(&text, str_of_c(before));
	for (size_t i = 0; i < count; i++)
		buf_put(&text, str_of_c(piece));
	buf_put(&text, str_of_c(after));
	st = parse_with(buf_str(&text), files, &c, &error);
	EXPECT((st == ST_OK) == (error.n == 0));
	config_free(&c);
	buf_fini(&text);
	buf_fini(&error);
	return st;
}

static void
limits_hold(void)
{
	static struct fake_file files[] = {{"etc/e.conf", "\n"}, {NULL, NULL}};
	static const char list[] = BASE "limits { exempt = {\"::1\"";
	static const char ips[] = BASE "listen = {\"127.0.0.1\"";
	size_t base_lines = 2;
	struct buf ip_list;

	EXPECT(
	    parse_repeated(BASE, "include \"e.conf\"\n", CONFIG_INCLUDES_MAX, "", files) == ST_OK);
	EXPECT(parse_repeated(BASE, "include \"e.conf\"\n", CONFIG_INCLUDES_MAX + 1, "", files) ==
	       ST_LIMIT);
	EXPECT(parse_repeated(BASE, "\n", CONFIG_LINES_MAX - base_lines, "", NULL) == ST_OK);
	EXPECT(parse_repeated(BASE, "\n", CONFIG_LINES_MAX - base_lines + 1, "", NULL) == ST_LIMIT);
	EXPECT(parse_repeated(BASE, "        ", CONFIG_TEXT_BYTES_MAX / 8 - 40, "", NULL) == ST_OK);
	EXPECT(parse_repeated(BASE, "        ", CONFIG_TEXT_BYTES_MAX / 8, "", NULL) == ST_LIMIT);
	EXPECT(parse_repeated(list, ", \"::1\"", CONFIG_NETWORKS_MAX - 1, "} }", NULL) == ST_OK);
	EXPECT(parse_repeated(list, ", \"::1\"", CONFIG_NETWORKS_MAX, "} }", NULL) == ST_SYNTAX);
	EXPECT(parse_repeated("", "{", CONFIG_NESTING_MAX, "", NULL) == ST_SYNTAX);
	EXPECT(parse_repeated("", "{", CONFIG_NESTING_MAX + 1, "", NULL) == ST_LIMIT);
	buf_init(&ip_list, 4096);
	for (int i = 2; i <= CONFIG_ADDRESSES_MAX; i++)
		buf_putf(&ip_list, ", \"127.0.0.%d\"", i);
	buf_put_c(&ip_list, 0);
	EXPECT(parse_repeated(ips, ip_list.p, 1, "}", NULL) == ST_OK);
	EXPECT(parse_repeated(ips, ip_list.p, 1, ",\"127.1.0.1\"}", NULL) == ST_SYNTAX);
	buf_fini(&ip_list);
}

static void
included_depth_is_limited(void)
{
	static char names[CONFIG_INCLUDE_DEPTH_MAX + 1][32],
	    texts[CONFIG_INCLUDE_DEPTH_MAX + 1][32];
	struct fake_file files[CONFIG_INCLUDE_DEPTH_MAX + 2] = {{NULL, NULL}};

	for (int i = 0; i <= CONFIG_INCLUDE_DEPTH_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "etc/%d", i);
		(void)snprintf(texts[i], sizeof(texts[i]), "include \"%d\"\n", i + 1);
		files[i] = (struct fake_file){names[i], texts[i]};
	}
	texts[CONFIG_INCLUDE_DEPTH_MAX - 1][0] = 0;
	EXPECT(parse_repeated(BASE, "include \"0\"\n", 1, "", files) == ST_OK);
	(void)snprintf(texts[CONFIG_INCLUDE_DEPTH_MAX - 1], sizeof(texts[0]), "include \"%d\"\n",
	    CONFIG_INCLUDE_DEPTH_MAX);
	texts[CONFIG_INCLUDE_DEPTH_MAX][0] = 0;
	EXPECT(parse_repeated(BASE, "include \"0\"\n", 1, "", files) == ST_LIMIT);
}

static void
counted_sections_are_limited(void)
{
	for (int more = 0; more < 2; more++) {
		struct buf text;

		buf_init(&text, CONFIG_TEXT_BYTES_MAX);
		for (int i = 0; i < CONFIG_LISTENERS_MAX + more; i++)
			buf_putf(&text, "listener l%d { port = %d protocol = smtp }\n", i, i + 1);
		buf_put_c(&text, 0);
		EXPECT(parse_repeated(BASE, text.p, 1, "", NULL) == (more ? ST_SYNTAX : ST_OK));
		buf_reset(&text);
		buf_put(&text, STR("hostname = a tls {\n"));
		for (int i = 0; i < CONFIG_CERTIFICATES_MAX + more; i++)
			buf_putf(&text, "certificate h%d { chain = c key = k }\n", i);
		buf_put(&text, STR("}\n"));
		buf_put_c(&text, 0);
		EXPECT(parse_repeated("", text.p, 1, "", NULL) == (more ? ST_SYNTAX : ST_OK));
		buf_reset(&text);
		buf_put(&text, STR("relay {\n"));
		for (int i = 0; i < CONFIG_ROUTES_MAX + more; i++)
			buf_putf(&text, "route r%d { host = h }\n", i);
		buf_put(&text, STR("}\n"));
		buf_put_c(&text, 0);
		EXPECT(parse_repeated(BASE, text.p, 1, "", NULL) == (more ? ST_SYNTAX : ST_OK));
		buf_fini(&text);
	}
}

/* A finding per certificate section; more than CONFIG_ERRORS_MAX are not told. */
static void
findings_are_limited(void)
{
	for (size_t count = CONFIG_ERRORS_MAX - 1; count <= CONFIG_ERRORS_MAX + 1; count++) {
		struct buf text, error;
		struct config *c;
		size_t lines = 0;

		buf_init(&text, CONFIG_TEXT_BYTES_MAX);
		buf_init(&error, CONFIG_ERROR_BYTES_MAX);
		buf_put(&text, STR("tls {"));
		for (size_t i = 0; i < count; i++)
			buf_putf(&text, "certificate h%zu { chain = c }\n", i);
		buf_put(&text, STR("}"));
		EXPECT(parse_with(buf_str(&text), NULL, &c, &error) == ST_SYNTAX);
		for (size_t i = 0; i < error.n; i++)
			lines += error.p[i] == '\n';
		EXPECT(lines == size_min(count, CONFIG_ERRORS_MAX));
		buf_fini(&text);
		buf_fini(&error);
	}
}

static void
paths_are_limited(void)
{
	/* The path with the folder before it. */
	size_t longest = CONFIG_PATH_BYTES_MAX - strlen("etc/");

	EXPECT(parse_repeated(BASE "data = \"", "a", longest, "\"\n", NULL) == ST_OK);
	EXPECT(parse_repeated(BASE "data = \"", "a", longest + 1, "\"\n", NULL) == ST_SYNTAX);
	EXPECT(parse_repeated(BASE "relay { route x { host = y password = p user = \"", "a",
		   CONFIG_CREDENTIAL_BYTES_MAX, "\" } }\n", NULL) == ST_OK);
	EXPECT(parse_repeated(BASE "relay { route x { host = y password = p user = \"", "a",
		   CONFIG_CREDENTIAL_BYTES_MAX + 1, "\" } }\n", NULL) == ST_SYNTAX);
	EXPECT(parse_repeated(BASE "include \"", "a", longest, "\"\n", NULL) == ST_NOTFOUND);
	EXPECT(parse_repeated(BASE "include \"", "a", longest + 1, "\"\n", NULL) == ST_LIMIT);
}

static void
numbers_at_their_limits(void)
{
	static const struct {
		const char *in;
		bool ok;
	} table[] = {
	    {"port_offset = 64540", true},
	    {"port_offset = 64541", false},
	    {"limits { message_size_max = 64k }", true},
	    {"limits { message_size_max = 65535 }", false},
	    {"limits { message_size_max = 1023M } store { ring_segment_bytes = 1G }", true},
	    {"limits { message_size_max = 1025M } store { ring_segment_bytes = 1G }", false},
	    {"limits { command_timeout = 1s }", true},
	    {"limits { command_timeout = 999ms }", false},
	    {"limits { command_timeout = 1h }", true},
	    {"limits { command_timeout = 3601s }", false},
	    {"auth { scram_iterations = 100000 }", true},
	    {"auth { scram_iterations = 99999 }", false},
	    {"auth { scram_sha1 = yes }", true},
	    {"auth { scram_sha1 = maybe }", false},
	    {"auth { argon2_memory = 8M }", true},
	    {"auth { argon2_memory = 8388607 }", false},
	    {"roles { worker = 1 }", true},
	    {"roles { worker = 0 }", false},
	    {"roles { worker = 64 }", true},
	    {"roles { worker = 65 }", false},
	    {"store { archive_level = 19 }", true},
	    {"store { archive_level = 20 }", false},
	    {"store { ring_segment_bytes = 99999999999999999999G }", false},
	    {"limits { network_prefix_v4 = 32 }", true},
	    {"limits { network_prefix_v4 = 33 }", false},
	    {"limits { greet_delay = 60s tarpit = 60s }", true},
	    {"limits { greet_delay = 60001ms }", false},
	    {"limits { tarpit = 60001ms }", false},
	    {"submission { messages_per_hour = 1 recipients_per_hour = 1 }", true},
	    {"submission { messages_per_hour = 1000000000 recipients_per_hour = 1000000000 }",
		true},
	    {"submission { messages_per_hour = 0 }", false},
	    {"submission { messages_per_hour = 1000000001 }", false},
	    {"submission { recipients_per_hour = 0 }", false},
	    {"submission { recipients_per_hour = 1000000001 }", false},
	    {"queue { life = 1s first_retry = 1s max_retry = 1s delay_notice = 0 }", true},
	    {"queue { life = 365d delay_notice = 365d first_retry = 1d max_retry = 7d }", true},
	    {"queue { life = 999ms first_retry = 1s }", false},
	    {"queue { life = 31536001s }", false},
	    {"queue { delay_notice = 31536001s }", false},
	    {"queue { first_retry = 999ms }", false},
	    {"queue { first_retry = 86401s max_retry = 7d }", false},
	    {"queue { max_retry = 604801s }", false},
	    {"queue { trace_days = 1 }", true},
	    {"queue { trace_days = 0 }", false},
	    {"queue { trace_days = 3651 }", false},
	    {"relay { port = 1 connections = 1 connections_per_destination = 1 idle = 0 }", true},
	    {"relay { port = 65535 connections = 100000 connections_per_destination = 10000 }",
		true},
	    {"relay { idle = 5min }", true},
	    {"relay { port = 0 }", false},
	    {"relay { port = 65536 }", false},
	    {"relay { connections = 0 }", false},
	    {"relay { connections = 100001 }", false},
	    {"relay { connections_per_destination = 0 }", false},
	    {"relay { connections_per_destination = 10001 }", false},
	    {"relay { idle = 300001ms }", false},
	    {"relay { route x { host = y port = 1 } }", true},
	    {"relay { route x { host = y port = 65535 } }", true},
	    {"relay { route x { host = y port = 0 } }", false},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		enum status st = parse_repeated(BASE, table[i].in, 1, "\n", NULL);

		EXPECT((st == ST_OK) == table[i].ok);
		if ((st == ST_OK) != table[i].ok)
			fprintf(stderr, "at: %s\n", table[i].in);
	}
}

static const struct str quick_chains[] = {STR_INIT("keys/ecdsa.pem"), STR_INIT("keys/rsa.pem")};
static const struct str quick_keys[] = {STR_INIT("keys/ecdsa.key"), STR_INIT("keys/rsa.key")};

static struct config *
parse_buf(const struct buf *b)
{
	struct buf text;
	struct config *c;

	buf_init(&text, CONFIG_TEXT_BYTES_MAX);
	buf_put(&text, buf_str(b));
	buf_put_c(&text, 0);
	c = parse(text.p);
	buf_fini(&text);
	return c;
}

/* Every `#name = value` becomes `name = value`; text has a space behind its #. */
static void
uncomment(const struct buf *in, struct buf *out)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->p[i] != '#' || in->p[i + 1] == ' ' || in->p[i + 1] == '\n')
			buf_put_c(out, in->p[i]);
}

static void
default_file_means_the_defaults(void)
{
	struct config_quickstart q = {.hostname = STR("mail.example.org"),
	    .chains = quick_chains,
	    .keys = quick_keys,
	    .key_count = 2};
	struct buf text, all;
	struct config *plain, *written, *uncommented;

	buf_init(&text, CONFIG_TEXT_BYTES_MAX);
	buf_init(&all, CONFIG_TEXT_BYTES_MAX);
	EXPECT(config_default_write(&text, &q) == ST_OK);
	uncomment(&text, &all);
	EXPECT(str_find(buf_str(&all), STR("\nuser_auth")) == all.n);
	EXPECT(str_find(buf_str(&all), STR("\tuser_auth = \"posthorn-auth\"\n")) < all.n);
	plain = parse("hostname = mail.example.org tls { certificate mail.example.org {"
		      "chain={keys/ecdsa.pem,keys/rsa.pem} key={keys/ecdsa.key,keys/rsa.key} } }");
	written = parse_buf(&text);
	uncommented = parse_buf(&all);
	if (plain != NULL && written != NULL && uncommented != NULL) {
		EXPECT(config_is_equal(plain, written));
		EXPECT(config_is_equal(plain, uncommented));
	}
	config_free(&plain);
	config_free(&written);
	config_free(&uncommented);
	buf_fini(&text);
	buf_fini(&all);
}

static void
default_file_keeps_what_was_chosen(void)
{
	struct config_quickstart q = {.hostname = STR("a.b"),
	    .listen = STR("127.0.0.1"),
	    .port_offset = 10000,
	    .resolver = STR("[::1]:53"),
	    .chains = quick_chains,
	    .keys = quick_keys,
	    .key_count = 1};
	struct buf text, small;
	struct config *c;

	buf_init(&text, CONFIG_TEXT_BYTES_MAX);
	EXPECT(config_default_write(&text, &q) == ST_OK);
	c = parse_buf(&text);
	if (c != NULL) {
		EXPECT(c->listen.n == 1 && config_ip_is_loopback(&c->listen.v[0]));
		EXPECT(c->port_offset == 10000 && c->listeners[0].port == 10025);
		EXPECT(c->resolver_forward.port == 53);
		EXPECT(c->certificate_count == 1);
	}
	config_free(&c);
	buf_init(&small, text.n - 1);
	EXPECT(config_default_write(&small, &q) == ST_LIMIT);
	buf_fini(&small);
	buf_fini(&text);
}

static void
reference_page_is_the_table(void)
{
	struct buf want, page;
	FILE *f = fopen(REFERENCE_PAGE, "r");
	char chunk[4096];
	size_t n;

	EXPECT(f != NULL);
	if (f == NULL)
		return;
	buf_init(&want, CONFIG_TEXT_BYTES_MAX);
	buf_init(&page, CONFIG_TEXT_BYTES_MAX);
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_put(&page, str_of(chunk, n));
	fclose(f);
	EXPECT(config_reference_write(&want) == ST_OK);
	if (str_find(buf_str(&page), buf_str(&want)) == page.n) {
		bool page_holds_the_table = false;

		EXPECT(page_holds_the_table);
		fprintf(stderr, "it should hold:\n%.*s", STR_ARG(buf_str(&want)));
	}
	buf_fini(&want);
	buf_fini(&page);
}

static void
restart_is_noticed(void)
{
	struct config *a = parse(BASE);
	struct config *b = parse(BASE "log { level = debug } limits { recipients_max = 100 }");
	struct config *c =
	    parse(BASE "data = \"other\" keys { master = \"other\" } roles { user_keys = k }");
	/* Everything about sending is taken by a reload; each difference counts. */
	static const char *const sending[] = {"limits { greet_delay = 1s }",
	    "limits { tarpit = 0 }", "limits { proxy = \"::1\" }", "limits { xclient = \"::1\" }",
	    "submission { trusted = \"::1\" }", "submission { client_ca = x }",
	    "submission { messages_per_hour = 1 }", "submission { recipients_per_hour = 1 }",
	    "queue { life = 1d }", "queue { delay_notice = 0 }", "queue { first_retry = 1s }",
	    "queue { max_retry = 1d }", "queue { trace_days = 1 }", "relay { port = 26 }",
	    "relay { connections = 1 }", "relay { connections_per_destination = 1 }",
	    "relay { idle = 0 }", "relay { route y { host = h user = u password = p } }",
	    "relay { route x { host = i user = u password = p } }",
	    "relay { route x { host = h user = v password = p } }",
	    "relay { route x { host = h user = u password = q } }",
	    "relay { route x { host = h user = u password = p tls = may } }",
	    "relay { route x { host = h user = u password = p port = 1 } }"};
	struct config *r = parse(BASE "relay { route x { host = h user = u password = p } }");
	struct buf why;

	buf_init(&why, 256);
	if (a != NULL && b != NULL && c != NULL) {
		EXPECT(!config_is_equal(a, b));
		EXPECT(!config_needs_restart(a, b, &why) && why.n == 0);
		EXPECT(config_needs_restart(a, c, &why));
		EXPECT_STR(buf_str(&why), STR("data, keys.master, roles.user_keys"));
	}
	buf_reset(&why);
	for (size_t i = 0; i < COUNT_OF(sending); i++) {
		char text[512];
		struct config *d;

		(void)snprintf(text, sizeof(text), BASE "%s\n", sending[i]);
		d = parse(text);
		if (a != NULL && d != NULL && r != NULL) {
			EXPECT(!config_is_equal(a, d) && !config_is_equal(r, d));
			EXPECT(!config_needs_restart(a, d, &why));
		}
		config_free(&d);
	}
	EXPECT(r == NULL || config_is_equal(r, r));
	config_free(&r);
	buf_fini(&why);
	config_free(&a);
	config_free(&b);
	config_free(&c);
}

static void
derived_numbers(void)
{
	struct config_store s = {.free_space_floor_bytes = 1000, .free_space_floor_percent = 5};

	EXPECT(config_processes(0, 4) == 4);
	EXPECT(config_processes(0, 0) == 1);
	EXPECT(config_processes(0, 65) == 64);
	EXPECT(config_processes(3, 8) == 3);
	EXPECT(config_free_space_floor(&s, 10000) == 500);
	EXPECT(config_free_space_floor(&s, 100000) == 1000);
}

static void
files_are_loaded(void)
{
	char dir[] = "/tmp/posthorn-test-config-XXXXXX";
	char path[64], missing[64];
	struct config *c;
	struct buf error;
	FILE *f;

	EXPECT(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/p.conf", dir);
	(void)snprintf(missing, sizeof(missing), "%s/q.conf", dir);
	f = fopen(path, "w");
	EXPECT(f != NULL);
	if (f == NULL)
		return;
	fputs(BASE, f);
	fclose(f);
	buf_init(&error, CONFIG_ERROR_BYTES_MAX);
	EXPECT(config_load(path, &c, &error) == ST_OK);
	if (c != NULL)
		EXPECT(str_has_prefix(c->data, str_of_c(dir)));
	config_free(&c);
	EXPECT(config_load(missing, &c, &error) == ST_NOTFOUND);
	EXPECT(str_find(buf_str(&error), STR("there is no such file")) < error.n);
	/* A folder, and a device, are no configuration. */
	EXPECT(config_load(dir, &c, &error) == ST_IO && c == NULL);
	EXPECT(config_load("/dev/zero", &c, &error) == ST_IO && c == NULL);
	buf_fini(&error);
	unlink(path);
	rmdir(dir);
}

int
main(void)
{
	UNIT(units_are_read);
	UNIT(nearest_words_are_found);
	UNIT(addresses_are_read);
	UNIT(hostnames_are_judged);
	UNIT(defaults_are_there);
	UNIT(settings_are_read);
	UNIT(listeners_are_read);
	UNIT(sending_is_read);
	UNIT(errors_name_place_and_remedy);
	UNIT(passwords_are_not_shown);
	UNIT(wrong_files_leave_nothing_behind);
	UNIT(includes_are_relative_and_counted);
	UNIT(limits_hold);
	UNIT(included_depth_is_limited);
	UNIT(counted_sections_are_limited);
	UNIT(findings_are_limited);
	UNIT(paths_are_limited);
	UNIT(numbers_at_their_limits);
	UNIT(default_file_means_the_defaults);
	UNIT(default_file_keeps_what_was_chosen);
	UNIT(reference_page_is_the_table);
	UNIT(restart_is_noticed);
	UNIT(derived_numbers);
	UNIT(files_are_loaded);
	return unit_end();
}
