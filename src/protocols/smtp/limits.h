/* Limits of the SMTP machines. */
#ifndef POSTHORN_PROTOCOLS_SMTP_LIMITS_H
#define POSTHORN_PROTOCOLS_SMTP_LIMITS_H

/* RFC 5321 4.5.3.1.4 says 512 including CRLF; SMTPUTF8, SIZE, DSN and AUTH parameters add to it (RFC 4954 wants 12,288 for AUTH). */
#define SMTP_LINE_MAX 2048
/* RFC 5321 4.5.3.1.6: text lines of 1,000; we accept longer ones, as the world sends them. */
#define SMTP_HELO_KEPT_MAX 128
#define SMTP_LOCAL_MAX 64	/* RFC 5321 4.5.3.1.1 */
#define SMTP_DOMAIN_MAX 255	/* RFC 5321 4.5.3.1.2 */
#define SMTP_PATH_MAX 254	/* RFC 5321 4.5.3.1.3: 256 with the brackets */

#endif
