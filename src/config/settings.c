/*
 * The table of everything that can be set. Parsing, defaults, the file that quickstart writes, the
 * reference page and the comparison of two configurations all read it; a new setting is one entry
 * here and one field in config.h.
 */
#include "config/config_internal.h"

#include "base/num.h"

#define KiB UINT64_C(1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)
#define TiB (1024 * GiB)
#define SECOND_MS UINT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

#define AT(field) offsetof(struct config, field)
#define SETTINGS(array) .settings = (array), .count = COUNT_OF(array)

static const struct setting top_settings[] = {
    {"hostname", KIND_HOSTNAME, AT(hostname), NULL,
	"The name of this server, as other servers see it and as its certificates say."},
    {"data", KIND_PATH, AT(data), "store",
	"The folder that holds all mail and accounts; relative to the folder of this file.",
	.needs_restart = true},
    {"listen", KIND_IPS, AT(listen), "{\"0.0.0.0\", \"::\"}",
	"The addresses of the standard listeners. Not used when a `listener` section is given."},
    {"port_offset", KIND_COUNT, AT(port_offset), "0",
	"Added to every standard port (25, 24, 110, 995, 587, 465), to run without privileges.", 0,
	CONFIG_PORT_OFFSET_MAX},
    {"recipient_delimiter", KIND_DELIMITER, AT(recipient_delimiter), "+",
	"user+anything@ reaches user@; one of + - _ . = or nothing to switch it off."},
};

static const struct setting limits_settings[] = {
    /* RFC 5321 4.5.3.1.7: not below 64 KB */
    {"message_size_max", KIND_SIZE, AT(limits.message_size_max), "50M",
	"The largest message that is accepted.", 64 * KiB, GiB},
    /* RFC 5321 4.5.3.1.8: not below 100 */
    {"recipients_max", KIND_COUNT, AT(limits.recipients_max), "1000", "Recipients of one message.",
	100, 100000},
    {"connections_max", KIND_COUNT, AT(limits.connections_max), "20000",
	"Connections at the same time, all listeners together.", 1, 1000000},
    {"connections_per_address", KIND_COUNT, AT(limits.connections_per_address), "50",
	"Connections at the same time from one address.", 1, 1000000},
    {"connections_per_network", KIND_COUNT, AT(limits.connections_per_network), "200",
	"Connections at the same time from one network.", 1, 1000000},
    {"network_prefix_v4", KIND_COUNT, AT(limits.network_prefix_v4), "24",
	"How many bits of an IPv4 address name its network.", 8, 32},
    {"network_prefix_v6", KIND_COUNT, AT(limits.network_prefix_v6), "48",
	"How many bits of an IPv6 address name its network.", 16, 128},
    {"messages_per_connection", KIND_COUNT, AT(limits.messages_per_connection), "1000",
	"Messages that one connection may send before it has to connect again.", 1, 1000000000},
    {"errors_max", KIND_COUNT, AT(limits.errors_max), "20",
	"Refused commands after which a connection is closed.", 1, 1000},
    /* RFC 5321 4.5.3.2.7: a server waits at least 5 minutes. The minimum is for tests. */
    {"command_timeout", KIND_DURATION, AT(limits.command_timeout_ms), "5min",
	"How long an SMTP client may think before its next command.", SECOND_MS, HOUR_MS},
    {"data_timeout", KIND_DURATION, AT(limits.data_timeout_ms), "5min",
	"How long an SMTP client may pause within a message.", SECOND_MS, HOUR_MS},
    /* RFC 1939 3: at least 10 minutes */
    {"pop3_idle_timeout", KIND_DURATION, AT(limits.pop3_idle_timeout_ms), "10min",
	"How long a POP3 client may be silent; the standard asks for 10min at least.", SECOND_MS,
	DAY_MS},
    {"exempt", KIND_NETWORKS, AT(limits.exempt), "{\"127.0.0.0/8\", \"::1/128\"}",
	"Networks without limits on connections, messages and errors. `exempt += {...}` keeps "
	"these."},
    {"greet_delay", KIND_DURATION, AT(limits.greet_delay_ms), "0s",
	"How long a client that is not exempt waits for the greeting; one that talks before it is "
	"refused. 0s: not at all.",
	0, MINUTE_MS},
    {"tarpit", KIND_DURATION, AT(limits.tarpit_ms), "1s",
	"How long the answer to an error is held back after the first few, for clients that are "
	"not exempt. 0s: not at all.",
	0, MINUTE_MS},
    {"proxy", KIND_NETWORKS, AT(limits.proxy), "{}",
	"Networks of load balancers: their connections begin with a PROXY header, which is "
	"believed."},
    {"xclient", KIND_NETWORKS, AT(limits.xclient), "{}",
	"Networks that may use XCLIENT to say for whom they speak."},
};

static const char *const no_yes[] = {"no", "yes", NULL};

static const struct setting auth_settings[] = {
    {"guesses_max", KIND_COUNT, AT(auth.guesses_max), "10",
	"Wrong passwords from one address, or for one account, within guess_window.", 1, 10000},
    {"guess_window", KIND_DURATION, AT(auth.guess_window_ms), "15min",
	"How long a wrong password counts.", SECOND_MS, 7 * DAY_MS},
    /* RFC 9106 4: the second recommended option */
    {"argon2_memory", KIND_SIZE, AT(auth.argon2_memory_bytes), "64M",
	"Memory of one password check (argon2id). Stored passwords keep what they were made with.",
	8 * MiB, GiB},
    {"argon2_passes", KIND_COUNT, AT(auth.argon2_passes), "3", "Passes over that memory.", 1, 16},
    {"scram_iterations", KIND_COUNT, AT(auth.scram_iterations), "100000",
	"Iterations of the SCRAM-SHA-256 verifiers that new passwords get.", 100000, 10000000},
    {"scram_sha1", KIND_WORD, AT(auth.scram_sha1), "no",
	"Whether SCRAM-SHA-1 is offered, for old clients, to accounts whose password was set "
	"since: yes or no.",
	.words = no_yes},
};

static const struct setting submission_settings[] = {
    {"trusted", KIND_NETWORKS, AT(submission.trusted), "{}",
	"Networks that may send to other hosts through port 25 without a login."},
    {"messages_per_hour", KIND_COUNT, AT(submission.messages_per_hour), "1000",
	"Messages that one account may send within an hour.", 1, 1000000000},
    {"recipients_per_hour", KIND_COUNT, AT(submission.recipients_per_hour), "5000",
	"Recipients that one account may send to within an hour.", 1, 1000000000},
    /* RFC 4422 appendix A */
    {"client_ca", KIND_PATH, AT(submission.client_ca_path), "",
	"PEM file with the CA certificates that client certificates for AUTH EXTERNAL must be "
	"signed by; empty: no client certificates."},
};

static const struct setting queue_settings[] = {
    /* RFC 5321 4.5.4.1: the give-up time is 4-5 days at least. The minimum is for tests. */
    {"life", KIND_DURATION, AT(queue.life_ms), "5d",
	"How long is tried to send a message before it goes back to its sender.", SECOND_MS,
	365 * DAY_MS},
    {"delay_notice", KIND_DURATION, AT(queue.delay_notice_ms), "4h",
	"After how long the sender is told that a message still waits; 0s: never.", 0,
	365 * DAY_MS},
    {"first_retry", KIND_DURATION, AT(queue.first_retry_ms), "5min",
	"Time from the first try to the second; each one after that takes longer ...", SECOND_MS,
	DAY_MS},
    {"max_retry", KIND_DURATION, AT(queue.max_retry_ms), "2h", "... up to this.", SECOND_MS,
	7 * DAY_MS},
    {"trace_days", KIND_COUNT, AT(queue.trace_days), "14",
	"How many days `posthorn trace` looks back.", 1, 3650},
};

static const struct setting relay_settings[] = {
    {"port", KIND_PORT, AT(relay.port), "25", "The port of other servers.", 1, CONFIG_PORT_MAX},
    {"connections", KIND_COUNT, AT(relay.connections), "500",
	"Connections to other servers at the same time, all together.", 1, 100000},
    {"connections_per_destination", KIND_COUNT, AT(relay.connections_per_destination), "20",
	"Connections at the same time for the mail of one destination.", 1, 10000},
    {"idle", KIND_DURATION, AT(relay.idle_ms), "10s",
	"How long an unused connection is kept for the next message; 0s: not at all.", 0,
	5 * MINUTE_MS},
};

/* In the order of enum config_route_tls. */
static const char *const route_tls_modes[] = {[CONFIG_ROUTE_TLS_MAY] = "may",
    [CONFIG_ROUTE_TLS_MUST] = "must",
    [CONFIG_ROUTE_TLS_IMPLICIT] = "implicit",
    [CONFIG_ROUTE_TLS_NEVER] = "never",
    NULL};

static const struct setting route_settings[] = {
    {"host", KIND_SERVER, offsetof(struct config_route, host), NULL,
	"The server that takes this mail: a host name or an IP address."},
    {"port", KIND_PORT, offsetof(struct config_route, port), NULL,
	"Its port; left out: 587, with tls = implicit 465.", 1, CONFIG_PORT_MAX},
    {"tls", KIND_WORD, offsetof(struct config_route, tls), "must",
	"may: when it offers TLS; must: only with TLS; implicit: TLS from the first byte; never.",
	.words = route_tls_modes},
    {"user", KIND_TEXT, offsetof(struct config_route, user), "",
	"The name to log in with; empty: no login."},
    {"password", KIND_SECRET, offsetof(struct config_route, password), "",
	"The password of that name."},
};

const struct section config_route_section = {"route",
    "Mail for this domain goes to a smart host instead of to the domain's own servers.",
    SETTINGS(route_settings), .title = "a domain, or * for every other one"};

static const struct setting keys_settings[] = {
    {"master", KIND_PATH, AT(master_key_path), "keys/master.key",
	"File with the 32 random bytes that seal the keys made at run time; made when it is "
	"missing. Without it, those keys are lost: keep a copy.",
	.needs_restart = true},
};

static const struct setting store_settings[] = {
    {"ring_segment_bytes", KIND_SIZE, AT(store.ring_segment_bytes), "64M",
	"Size of one segment of the commit ring; must hold the largest message.", MiB, GiB,
	.needs_restart = true},
    {"ring_segments_max", KIND_COUNT, AT(store.ring_segments_max), "16",
	"Segments the ring may grow to.", 4, 1024,
	.needs_restart = true},
    {"free_space_floor", KIND_SIZE, AT(store.free_space_floor_bytes), "1G",
	"New mail is put off while less space than this is free ...", MiB, TiB,
	.needs_restart = true},
    {"free_space_floor_percent", KIND_COUNT, AT(store.free_space_floor_percent), "5",
	"... or less than this part of the file system; the smaller of the two counts.", 1, 50,
	.needs_restart = true},
    {"checkpoint_interval", KIND_DURATION, AT(store.checkpoint_interval_ms), "5s",
	"The index on disk is at most this far behind the ring ...", 100, HOUR_MS,
	.needs_restart = true},
    {"checkpoint_bytes", KIND_SIZE, AT(store.checkpoint_bytes), "256M",
	"... and at most so many bytes of it.", MiB, 64 * GiB,
	.needs_restart = true},
    {"archive_level", KIND_COUNT, AT(store.archive_level), "3",
	"How hard to compress mail that stays (zstd level); 0 stores it as it is.", 0, 19,
	.needs_restart = true},
};

static const char *const tls_versions[] = {
    [CONFIG_TLS_1_2] = "1.2", [CONFIG_TLS_1_3] = "1.3", NULL};

static const struct setting tls_settings[] = {
    {"min_version", KIND_WORD, AT(tls_version_min), "1.2",
	"The oldest version of TLS that is spoken: 1.2 or 1.3.", .words = tls_versions},
};

static const struct setting certificate_settings[] = {
    {"chain", KIND_PATHS, offsetof(struct certificate_raw, chain), NULL,
	"PEM files, each one certificate followed by those that signed it."},
    {"key", KIND_PATHS, offsetof(struct certificate_raw, key), NULL,
	"PEM files, the private key of each chain in the same order (ECDSA and RSA side by side)."},
};

const struct section config_certificate_section = {"certificate",
    "For clients that ask for this name; the first of all is for those that ask for none.",
    SETTINGS(certificate_settings), .title = "a host name or *.domain"};

static const struct setting resolver_settings[] = {
    {"forward", KIND_ENDPOINT, AT(resolver_forward), "",
	"Send all DNS questions to this server (\"192.0.2.53:53\"); empty: find the answers "
	"itself.",
	.needs_restart = true},
    {"trust_anchor", KIND_PATH, AT(resolver_trust_anchor), "",
	"File with the DNSSEC root key to validate with when `forward` is used; empty: do not.",
	.needs_restart = true},
};

static const char *const log_levels[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};
static const char *const log_formats[] = {[LOG_TEXT] = "text", [LOG_JSON] = "json", NULL};

static const struct setting log_settings[] = {
    {"level", KIND_WORD, AT(log_level), "info", "How much is logged: debug, info, warn or error.",
	.words = log_levels},
    {"format", KIND_WORD, AT(log_format), "text",
	"key=value text or one JSON object per line: text or json.", .words = log_formats},
    {"target", KIND_LOG_TARGET, AT(log_file), "stderr",
	"\"stderr\" (the journal, under systemd) or a file.",
	.needs_restart = true},
};

#define USER(role)                                                                      \
	{                                                                               \
		"user_" #role, KIND_USER, AT(roles.user_##role), "posthorn-" #role,     \
		    "The system user of the " #role " processes when started as root.", \
		    .needs_restart = true                                               \
	}

static const struct setting roles_settings[] = {
    {"smtpin", KIND_PROCESSES, AT(roles.smtpin), "auto",
	"Processes that receive mail; auto is one per CPU.", 1, CONFIG_PROCESSES_MAX, .needs_restart = true},
    {"access", KIND_PROCESSES, AT(roles.access), "auto",
	"Processes that serve mail clients; auto is one per CPU.", 1, CONFIG_PROCESSES_MAX, .needs_restart = true},
    {"worker", KIND_PROCESSES, AT(roles.worker), "auto",
	"Processes that take messages apart; auto is one per CPU.", 1, CONFIG_PROCESSES_MAX, .needs_restart = true},
    {"relay", KIND_PROCESSES, AT(roles.relay), "auto",
	"Processes that send mail to other servers; auto is one per CPU.", 1, CONFIG_PROCESSES_MAX, .needs_restart = true},
    USER(smtpin),
    USER(access),
    USER(worker),
    USER(queue),
    USER(store),
    USER(keys),
    USER(auth),
    USER(resolver),
    USER(relay),
};

static const char *const protocols[] = {[CONFIG_SMTP] = "smtp",
    [CONFIG_LMTP] = "lmtp",
    [CONFIG_POP3] = "pop3",
    [CONFIG_POP3S] = "pop3s",
    [CONFIG_SUBMISSION] = "submission",
    [CONFIG_SUBMISSIONS] = "submissions",
    NULL};
static const char *const tls_modes[] = {[CONFIG_TLS_OFF] = "off",
    [CONFIG_TLS_STARTTLS] = "starttls",
    [CONFIG_TLS_IMPLICIT] = "implicit",
    NULL};

static const struct setting listener_settings[] = {
    {"address", KIND_IPS, offsetof(struct config_listener, address), "{\"0.0.0.0\", \"::\"}",
	"Addresses to listen on."},
    {"port", KIND_PORT, offsetof(struct config_listener, port), NULL, "Port, taken as it is.", 1,
	CONFIG_PORT_MAX},
    {"protocol", KIND_WORD, offsetof(struct config_listener, protocol), NULL,
	"smtp, lmtp, pop3, pop3s, submission or submissions; may be left out when it is the "
	"section's name.",
	.words = protocols},
    {"tls", KIND_WORD, offsetof(struct config_listener, tls), NULL,
	"off, starttls or implicit; left out: what the protocol usually has.", .words = tls_modes},
};

const struct section config_listener_section = {"listener",
    "Replaces the standard listeners: all that shall be listened on must then be given.",
    SETTINGS(listener_settings), .title = "any name"};

const struct section config_sections[] = {
    {"", "", SETTINGS(top_settings), .inner = &config_listener_section},
    {"limits", "What one client may use up.", SETTINGS(limits_settings)},
    {"auth", "Passwords, and how often they may be guessed.", SETTINGS(auth_settings)},
    {"submission", "Mail that users of this server send.", SETTINGS(submission_settings)},
    {"queue", "Mail that waits to be sent to other servers.", SETTINGS(queue_settings)},
    {"relay", "How mail is sent to other servers.", SETTINGS(relay_settings),
	.inner = &config_route_section},
    {"keys", "Keys that the server makes itself.", SETTINGS(keys_settings)},
    {"store", "Where mail is kept.", SETTINGS(store_settings)},
    {"tls", "Encryption and the certificates for it.", SETTINGS(tls_settings),
	.inner = &config_certificate_section},
    {"resolver", "Where DNS answers come from.", SETTINGS(resolver_settings)},
    {"log", "What is written down about the server's work.", SETTINGS(log_settings)},
    {"roles", "The processes the server consists of.", SETTINGS(roles_settings)},
};
const size_t config_section_count = COUNT_OF(config_sections);

struct str
config_protocol_word(enum config_protocol p)
{
	CHECK(p <= CONFIG_SUBMISSIONS);
	return str_of_c(protocols[p]);
}
