/*
 * The configuration: one file (and what it includes) into one typed structure.
 *
 * Everything in a struct config is owned by its arena and ends with config_free. Paths are absolute
 * or start with the configuration's folder. Sizes are bytes, times milliseconds. The meaning of
 * each setting stands in the table in settings.c, from which the default file and
 * docs/admin/configuration.md are made.
 *
 * Not for two threads at once: libconfuse's scanner is process-wide.
 */
#ifndef POSTHORN_CONFIG_CONFIG_H
#define POSTHORN_CONFIG_CONFIG_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/log.h"
#include "config/ip.h"
#include "config/limits.h"
#include "config/text.h"

enum config_protocol {
	CONFIG_SMTP,
	CONFIG_LMTP,
	CONFIG_POP3,
	CONFIG_POP3S,
	CONFIG_SUBMISSION,
	CONFIG_SUBMISSIONS,
};
enum config_tls { CONFIG_TLS_OFF, CONFIG_TLS_STARTTLS, CONFIG_TLS_IMPLICIT };
enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

struct config_ips {
	struct config_ip *v;
	size_t n;
};

struct config_networks {
	struct config_network *v;
	size_t n;
};

struct config_paths {
	struct str *v;
	size_t n;
};

struct config_listener {
	struct str name;
	struct config_ips address;
	uint16_t port; /* as it will be bound: the offset is in it */
	enum config_protocol protocol;
	enum config_tls tls;
};

/* One key with its chain. A name may have several, e.g. ECDSA and RSA; in the order of the file. */
struct config_certificate {
	struct str name; /* host name in lower case, or "*.example.org" */
	struct str chain_path;
	struct str key_path;
};

struct config_limits {
	uint64_t message_size_max;
	uint64_t recipients_max;
	uint64_t connections_max;
	uint64_t connections_per_address;
	uint64_t connections_per_network;
	uint64_t network_prefix_v4;
	uint64_t network_prefix_v6;
	uint64_t messages_per_connection;
	uint64_t errors_max;
	uint64_t command_timeout_ms;
	uint64_t data_timeout_ms;
	uint64_t pop3_idle_timeout_ms;
	uint64_t greet_delay_ms; /* 0: none */
	uint64_t tarpit_ms;	 /* 0: none */
	struct config_networks exempt;
	struct config_networks proxy;
	struct config_networks xclient;
};

enum config_answer { CONFIG_NO, CONFIG_YES };

struct config_auth {
	uint64_t guesses_max;
	uint64_t guess_window_ms;
	uint64_t argon2_memory_bytes;
	uint64_t argon2_passes;
	uint64_t scram_iterations;
	enum config_answer scram_sha1;
};

struct config_submission {
	struct config_networks trusted;
	uint64_t messages_per_hour;
	uint64_t recipients_per_hour;
	struct str client_ca_path; /* empty: none */
};

struct config_queue {
	uint64_t life_ms;
	uint64_t delay_notice_ms; /* 0: never */
	uint64_t first_retry_ms;
	uint64_t max_retry_ms;
	uint64_t trace_days;
};

enum config_route_tls {
	CONFIG_ROUTE_TLS_MAY,
	CONFIG_ROUTE_TLS_MUST,
	CONFIG_ROUTE_TLS_IMPLICIT,
	CONFIG_ROUTE_TLS_NEVER,
};

/* Where the mail for a domain goes instead of to its MX. */
struct config_route {
	struct str domain; /* lower case; "*": every other one */
	struct str
	    host; /* name in lower case, or an address without brackets; its MX is not asked */
	uint16_t port;
	enum config_route_tls tls;
	struct str user; /* empty: no login */
	struct str password;
};

struct config_relay {
	uint16_t port; /* of other servers, 25 */
	uint64_t connections;
	uint64_t connections_per_destination;
	uint64_t idle_ms;	     /* 0: no connection is kept */
	struct config_route *routes; /* no two of one domain */
	size_t route_count;
};

struct config_store {
	uint64_t ring_segment_bytes;
	uint64_t ring_segments_max;
	uint64_t free_space_floor_bytes;
	uint64_t free_space_floor_percent;
	uint64_t checkpoint_interval_ms;
	uint64_t checkpoint_bytes;
	uint64_t archive_level;
};

/* How many processes, 0: one per CPU; see config_processes. */
struct config_roles {
	uint64_t smtpin;
	uint64_t access;
	uint64_t worker;
	uint64_t relay;
	struct str user_smtpin;
	struct str user_access;
	struct str user_worker;
	struct str user_queue;
	struct str user_store;
	struct str user_keys;
	struct str user_auth;
	struct str user_resolver;
	struct str user_relay;
};

struct config {
	struct arena arena;
	struct str file;     /* as given to config_load */
	struct str folder;   /* of the file, without a slash at the end; "." when file has none */
	struct str hostname; /* lower case */
	struct str data;     /* folder */
	struct config_ips listen;
	uint64_t port_offset;
	char recipient_delimiter; /* 0: none */
	struct config_listener *listeners;
	size_t listener_count;
	struct config_limits limits;
	struct config_auth auth;
	struct config_submission submission;
	struct config_queue queue;
	struct config_relay relay;
	struct str master_key_path; /* what seals the keys made at run time */
	struct config_store store;
	enum config_tls_version tls_version_min;
	struct config_certificate *certificates;
	size_t certificate_count;
	struct config_endpoint resolver_forward;
	struct str resolver_trust_anchor; /* path, empty: none */
	enum log_level log_level;
	enum log_format log_format;
	struct str log_file; /* path, empty: stderr */
	struct config_roles roles;
};

/*
 * Reads the file at path. On ST_OK *out is the caller's until config_free. Otherwise *out is NULL
 * and error_out holds one line per thing that is wrong, "file:line: what; how to mend it\n", at
 * most CONFIG_ERRORS_MAX of them.
 */
enum status config_load(const char *path, struct config **out, struct buf *error_out) MUST_USE;
/* The same from memory; `path` names it in messages and is what relative paths start from. read may
 * be NULL. */
enum status config_parse(struct str text, struct str path, config_read_fn *read, void *read_arg,
    struct config **out, struct buf *error_out) MUST_USE;
void config_free(struct config **c);

/* "a.b-c.example": letters, digits, hyphens inside, dots between; at least one dot is not required.
 */
bool config_hostname_is_valid(struct str s);
/* The word of the file, e.g. "pop3s". Static storage. */
struct str config_protocol_word(enum config_protocol p);
/* What roles.smtpin and its like mean on a machine with so many CPUs: 1..CONFIG_PROCESSES_MAX. */
unsigned config_processes(uint64_t setting, unsigned cpus);
/* The lower of the two floors, for a file system of so many bytes. */
uint64_t config_free_space_floor(const struct config_store *store, uint64_t file_system_bytes);

/* Do both say the same (the files they come from aside)? */
bool config_is_equal(const struct config *a, const struct config *b);
/* Has a setting changed that a reload cannot apply? why gets their names, separated by ", ". */
bool config_needs_restart(const struct config *was, const struct config *now, struct buf *why);

/* What quickstart decides; the rest of the file is defaults. Strings are borrowed, all valid by
 * their own checks. */
struct config_quickstart {
	struct str hostname;
	struct str listen; /* one address; empty: all */
	uint64_t port_offset;
	struct str resolver; /* HOST:PORT; empty: ask the root servers */
	/* Of one certificate section named hostname; paths as the file shall hold them. */
	const struct str *chains;
	const struct str *keys;
	size_t key_count;
};

/* The commented file: each setting with its default and a line on what it is for. ST_LIMIT when out
 * is full. */
enum status config_default_write(struct buf *out, const struct config_quickstart *q);
/* The table of docs/admin/configuration.md, from the same source. */
enum status config_reference_write(struct buf *out);

#endif
