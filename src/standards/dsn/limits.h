/* Lengths and counts of notices. What is longer is cut, never refused: a sender without a notice
 * has lost mail. */
#ifndef POSTHORN_STANDARDS_DSN_LIMITS_H
#define POSTHORN_STANDARDS_DSN_LIMITS_H

/*
 * Recipients in one notice, written or read (dsn_write refuses more, dsn_parse leaves them out). An
 * SMTP transaction must take 100 (RFC 5321 4.5.3.1.8); ten times that makes a notice of about 1 MB.
 */
#define DSN_RCPTS_MAX 1000
/* The original goes back whole up to this, header and body together; above, its header, and of a
 * header that long the fields that fit (RFC 3461 6.2 leaves the length to us). */
#define DSN_ORIGINAL_BYTES_MAX 51200
/* Words of another server: a reply line has 512 octets (RFC 5321 4.5.3.1.5); two full ones. */
#define DSN_REPLY_BYTES_MAX 1024
#define DSN_ADVICE_BYTES_MAX 1024
/* Bytes of the original's subject that are shown, as UTF-8. */
#define DSN_SUBJECT_BYTES_MAX 200
/* Twice what an address may have (RFC 5321 4.5.3.1.3). */
#define DSN_PATH_BYTES_MAX 512
#define DSN_ORCPT_BYTES_MAX 500 /* RFC 3461 5.4 (c) */
#define DSN_ENVID_BYTES_MAX 100 /* RFC 3461 5.4 (a) */
#define DSN_NAME_BYTES_MAX 255	/* a host name (RFC 1035 2.3.4) */
#define DSN_ID_BYTES_MAX 250	/* a Message-ID, ours or the original's; longer ones are left out */

/* RFC 2046 5.1.1. The caller's part of it is cut to leave room for what makes it unique. */
#define DSN_BOUNDARY_BYTES_MAX 70
#define DSN_BOUNDARY_GIVEN_BYTES_MAX 50

/* Lines: RFC 5322 2.1.1, without CRLF. */
#define DSN_LINE_BYTES_MAX 998
#define DSN_LINE_BYTES_WANTED 76

/*
 * Each of the parts that dsn_write makes. A recipient usually takes 500 bytes. At worst, all its
 * strings full, a byte each replaced by three and those in quoted-printable by nine, with line ends
 * and indents: 9 * (512 + 500 + 1024 + 1024) < 32,768.
 */
#define DSN_PART_BYTES_MAX (DSN_RCPTS_MAX * 32768 + 16384)

/* Bytes of a message/delivery-status body that are looked at, and fields in one group. */
#define DSN_PARSE_BYTES_MAX (1024 * 1024)
#define DSN_FIELDS_MAX 100

#endif
