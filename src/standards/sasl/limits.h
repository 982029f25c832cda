#ifndef POSTHORN_STANDARDS_SASL_LIMITS_H
#define POSTHORN_STANDARDS_SASL_LIMITS_H

/* One decoded message: a line of AUTH has at most 12,288 base64 octets (RFC 4954 4), 3 bytes
 * from 4. */
#define SASL_MESSAGE_BYTES_MAX 9216
/* A name: RFC 4616 2 asks for 255 octets, which also holds every address (254). */
#define SASL_NAME_BYTES_MAX 255
/* A password; RFC 4616 2 asks for 255 octets, tokens used as passwords are longer. */
#define SASL_PASSWORD_BYTES_MAX 1024
/* A client's nonce: 24 characters are usual. */
#define SCRAM_NONCE_CLIENT_MAX 256
/* Printable characters of ours: base64 of 18 random bytes. */
#define SCRAM_NONCE_RANDOM_BYTES 18
#define SCRAM_NONCE_SERVER_MIN 24
#define SCRAM_NONCE_SERVER_MAX 64
#define SCRAM_SALT_BYTES_MIN 8
#define SCRAM_SALT_BYTES_MAX 64
/* Of verifiers that we make; about 40 ms of a core. RFC 7677 4 asks for 4,096 in 2015. */
#define SCRAM_ITERATIONS_MIN 100000
/* What our client accepts from a server at least (RFC 7677 4) ... */
#define SCRAM_ITERATIONS_CLIENT_MIN 4096
/* ... and anybody at most: 2 s of a core, so that a hostile server cannot stop a client for hours.
 */
#define SCRAM_ITERATIONS_MAX 5000000
/* Channel binding data: a hash of at most 64 bytes (RFC 5929 4.1) or 32 bytes exported (RFC
 * 9266 4.2). */
#define SASL_BINDING_BYTES_MAX 64
/* tls-exporter and tls-server-end-point. */
#define SASL_BINDINGS_MAX 2
/* Names in one certificate that are looked at. */
#define SASL_PROVEN_MAX 16
/* Key of the salts of unknown users. */
#define SASL_SECRET_BYTES_MIN 16
/*
 * What an exchange allocates from its arena at most: two messages, the names and their preparation
 * (UTF-16, and NFKC may make 18 code units of one), the joined text that is signed.
 */
#define SASL_ARENA_BYTES 131072

#endif
