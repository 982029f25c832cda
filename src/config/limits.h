/* What a configuration may hold at most. Far above any sane file, far below what would hurt. */
#ifndef POSTHORN_CONFIG_LIMITS_H
#define POSTHORN_CONFIG_LIMITS_H

/* All files together, after includes. A listed certificate or network costs about 100 bytes: room
 * for 10,000. */
#define CONFIG_TEXT_BYTES_MAX ((size_t)1 << 20)
#define CONFIG_LINES_MAX 50000
/* A file that includes itself stops here. */
#define CONFIG_INCLUDE_DEPTH_MAX 8
#define CONFIG_INCLUDES_MAX 64
/* Braces inside braces; the grammar needs three (tls, certificate, a list). */
#define CONFIG_NESTING_MAX 8
/* What one loaded configuration may take: the text once as strings, and the arrays that point at
 * them. */
#define CONFIG_ARENA_BYTES_MAX ((size_t)16 << 20)
/* The generated set has six listeners; one more per customer address is the largest use known. */
#define CONFIG_LISTENERS_MAX 256
/* Of one listener. With 256 listeners the comparison of all pairs stays under 10 million. */
#define CONFIG_ADDRESSES_MAX 16
/* Chain and key pairs over all names: two (ECDSA, RSA) for 2,000 names. */
#define CONFIG_CERTIFICATES_MAX 4000
#define CONFIG_NETWORKS_MAX 4096
/* Smart hosts; with the longest of everything their record is 1 MB, half of what a record may be.
 */
#define CONFIG_ROUTES_MAX 1000
/* A name or a password for another server. RFC 4616 has no limit; nobody is known to need more. */
#define CONFIG_CREDENTIAL_BYTES_MAX 255
/* A message per wrong setting; more than a screen of them helps nobody. */
#define CONFIG_ERRORS_MAX 20
#define CONFIG_ERROR_BYTES_MAX 8192
/* RFC 1035 2.3.4: 255 octets on the wire are 253 characters of text; a label has at most 63. */
#define CONFIG_HOSTNAME_BYTES_MAX 253
#define CONFIG_LABEL_BYTES_MAX 63
/* PATH_MAX without its NUL. */
#define CONFIG_PATH_BYTES_MAX 4095
/* Longest of our setting names is 24 bytes; nothing longer can be a slip of one of them. */
#define NEAREST_WORD_BYTES_MAX 48

/* A process per CPU is the use; more only costs memory. */
#define CONFIG_PROCESSES_MAX 64
#define CONFIG_PORT_MAX 65535
/* The highest port of the generated set is 995. */
#define CONFIG_PORT_OFFSET_MAX (CONFIG_PORT_MAX - 995)

#endif
