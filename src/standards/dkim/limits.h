/* Limits of the DKIM library. */
#ifndef POSTHORN_STANDARDS_DKIM_LIMITS_H
#define POSTHORN_STANDARDS_DKIM_LIMITS_H

/* Header fields of a message, signed or not. Mail that came through several lists has about 100. */
#define DKIM_FIELDS_MAX 1000
/* Names in h=, those of absent fields included. Usual mail has about 20. */
#define DKIM_HEADERS_MAX 200
/* The value of h=: the longest name we sign is 25 octets, and 200 of them need 26 each. */
#define DKIM_HEADERS_BYTES_MAX 5200
/* d=, and selector._domainkey.domain: what a DNS name can have in text form (RFC 1035 2.3.4). */
#define DKIM_NAME_BYTES_MAX 253
/* i= before its encoding: 64 octets, "@", 255 octets (RFC 5321 4.5.3.1). */
#define DKIM_IDENTITY_BYTES_MAX 320
/* t= and x= have at most 12 digits (RFC 6376 3.5). */
#define DKIM_TIME_MAX 999999999999u
/* Tags of one list; RFC 6376 names 14 for a signature. */
#define DKIM_TAGS_MAX 32
/* Bytes of a raw signature: RSA of 1,024 (RFC 8301 3.2) to 4,096 bits. */
#define DKIM_RSA_SIGNATURE_BYTES_MIN 128
#define DKIM_RSA_SIGNATURE_BYTES_MAX 512
#define DKIM_ED25519_SIGNATURE_BYTES 64
/* A public key: SubjectPublicKeyInfo of RSA with 4,096 bits is 550 bytes. */
#define DKIM_PUBLIC_BYTES_MAX 600
#define DKIM_ED25519_PUBLIC_BYTES 32
/* The value of a key record: base64 of that and 18 octets in front. */
#define DKIM_RECORD_BYTES_MAX 824
/* A private key as PKCS #8: RSA of 4,096 bits is about 2,380 bytes. */
#define DKIM_PRIVATE_BYTES_MAX 2560
/* The whole field: h= and its folds, d=, s=, i= of which each octet may take three, the signature
 * in base64 and its folds. */
#define DKIM_FIELD_BYTES_MAX 8192
/* What dkim_sign_begin takes from its arena at most: 1,000 fields of 48 bytes and one more, and the
 * field it makes. */
#define DKIM_ARENA_BYTES 65536

#endif
