#include "roles/settings.h"

#include "base/num.h"
#include "base/unit.h"

#define BASE \
	"hostname = \"mail.example.org\"\ntls { certificate \"mail.example.org\" { chain = c.pem key = k.pem } }\n"

static struct config *
parse(struct str text)
{
	struct buf error;
	struct config *c;

	buf_init(&error, CONFIG_ERROR_BYTES_MAX);
	EXPECT(config_parse(text, STR("p.conf"), NULL, NULL, &c, &error) == ST_OK);
	EXPECT_STR(buf_str(&error), STR(""));
	buf_fini(&error);
	return c;
}

static const char sending[] = BASE
    "limits { greet_delay = 2s tarpit = 3s proxy = {\"10.1.0.0/16\", \"::1\"} xclient = \"10.2.0.0/16\" exempt = {} }\n"
    "submission { trusted = \"10.3.0.1\" messages_per_hour = 4 recipients_per_hour = 5 }\n"
    "queue { life = 6d delay_notice = 7h first_retry = 8s max_retry = 9s trace_days = 10 }\n"
    "relay { port = 11 connections = 12 connections_per_destination = 13 idle = 14s\n"
    " route a.example { host = \"[2001:db8::1]\" port = 258 tls = may user = me password = \"p \xc3\xbc\" }\n"
    " route b.example { host = b }\n route c.example { host = c tls = implicit }\n route \"*\" { host = d tls = never } }\n";

static void
each_role_gets_what_it_needs(void)
{
	static const char routes[] = "\x09\0a.example\x0b\0"
				     "2001:db8::1\x02\x01\0\x02\0me\x04\0p \xc3\xbc"
				     "\x09\0b.example\x01\0b\x4b\x02\x01\0\0\0\0"
				     "\x09\0c.example\x01\0c\xd1\x01\x02\0\0\0\0"
				     "\x01\0*\x01\0d\x4b\x02\x03\0\0\0\0";
	struct config *c = parse(str_of_c(sending));

	for (enum role_kind k = ROLE_SMTPIN; c != NULL && k <= ROLE_RELAY; k++) {
		bool meets_clients = k == ROLE_SMTPIN || k == ROLE_ACCESS;
		struct rec_settings s = {.role = (uint8_t)k};
		struct settings_texts t;

		settings_texts_init(&t);
		settings_put(&s, &t, c, k);
		EXPECT(s.greet_delay_ms == 2000 && s.tarpit_ms == 3000);
		EXPECT(s.submit_messages_per_hour == 4 && s.submit_rcpts_per_hour == 5);
		EXPECT(s.queue_life_ms == 6 * 86400000 && s.queue_notice_ms == 7 * 3600000);
		EXPECT(s.queue_first_ms == 8000 && s.queue_max_ms == 9000 && s.trace_days == 10);
		EXPECT(s.relay_port == 11 && s.relay_total_max == 12 && s.relay_destination_max == 13 && s.relay_idle_ms == 14000);
		EXPECT_STR(s.exempt_nets, STR(""));
		EXPECT_STR(s.proxy_nets, meets_clients ? STR("10.1.0.0/16\n::1/128\n") : STR(""));
		EXPECT_STR(s.xclient_nets, meets_clients ? STR("10.2.0.0/16\n") : STR(""));
		EXPECT_STR(s.trusted_nets, meets_clients || k == ROLE_STORE ? STR("10.3.0.1/32\n") : STR(""));
		EXPECT_STR(s.relay_routes, k == ROLE_RELAY ? str_of(routes, sizeof(routes) - 1) : STR(""));
		EXPECT_STR(s.client_ca_pem, STR(""));
		settings_texts_fini(&t);
	}
	config_free(&c);
}

static void
repeat_put(struct buf *out, char c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)buf_put_c(out, c);
}

/* A host name of the greatest length that begins with i. */
static void
name_put(struct buf *out, int i)
{
	(void)buf_putf(out, "\"r%04d", i);
	for (size_t n = 5; n < CONFIG_HOSTNAME_BYTES_MAX; n++)
		(void)buf_put_c(out, n % 50 == 49 ? '.' : 'a');
	(void)buf_put_c(out, '"');
}

/* Everything at its limit, as a record to each role and back. */
static void
the_largest_fits(void)
{
	struct settings_texts t;
	struct buf text, frame;
	struct config *c;

	buf_init(&text, 4 * CONFIG_TEXT_BYTES_MAX);
	buf_init(&frame, RECORD_BYTES_MAX + RECORD_HEADER_BYTES);
	(void)buf_put(&text, STR(BASE "limits { exempt = {"));
	for (int i = 0; i < CONFIG_NETWORKS_MAX; i++)
		(void)buf_putf(&text, "%s\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:%x\"\n", i == 0 ? "" : ",", 0xf000 + i);
	(void)buf_put(&text, STR("} }\nrelay {\n"));
	/* The text of all routes is limited as a whole: as many of the longest as it holds. */
	for (int i = 0; i < 700; i++) {
		(void)buf_put(&text, STR("route "));
		name_put(&text, i);
		(void)buf_put(&text, STR(" { host = "));
		name_put(&text, i);
		(void)buf_put(&text, STR(" user = "));
		repeat_put(&text, 'u', CONFIG_CREDENTIAL_BYTES_MAX);
		(void)buf_put(&text, STR(" password = "));
		repeat_put(&text, 'p', CONFIG_CREDENTIAL_BYTES_MAX);
		(void)buf_put(&text, STR(" }\n"));
	}
	(void)buf_put(&text, STR("}\n"));
	c = parse(buf_str(&text));
	for (enum role_kind k = ROLE_SMTPIN; c != NULL && k <= ROLE_RELAY; k++) {
		struct rec_settings s = {.role = (uint8_t)k}, back;
		struct cur in;

		settings_texts_init(&t);
		settings_put(&s, &t, c, k);
		EXPECT(s.exempt_nets.n == (size_t)CONFIG_NETWORKS_MAX * 44);
		buf_reset(&frame);
		EXPECT(rec_settings_put(&frame, &s) == ST_OK);
		in = cur_of(str_from(buf_str(&frame), RECORD_HEADER_BYTES));
		EXPECT(rec_settings_take(&in, &back));
		EXPECT(str_eq(back.relay_routes, s.relay_routes) && str_eq(back.exempt_nets, s.exempt_nets));
		EXPECT(k != ROLE_RELAY || s.relay_routes.n == 700 * (size_t)(11 + 2 * CONFIG_HOSTNAME_BYTES_MAX + 2 * CONFIG_CREDENTIAL_BYTES_MAX));
		settings_texts_fini(&t);
	}
	config_free(&c);
	buf_fini(&text);
	buf_fini(&frame);
}

int
main(void)
{
	UNIT(each_role_gets_what_it_needs);
	UNIT(the_largest_fits);
	return unit_end();
}
