/* Limits of what a client may hand in to be sent. */
#ifndef POSTHORN_STANDARDS_COMPOSE_LIMITS_H
#define POSTHORN_STANDARDS_COMPOSE_LIMITS_H

/* One header with its empty line: what the mime library looks at (MIME_HEADER_BYTES_MAX), so that nothing behind it goes unseen. */
#define COMPOSE_HEADER_MAX (256u * 1024)
/* The same for its fields (MIME_HEADERS_MAX). */
#define COMPOSE_FIELDS_MAX 1000
/* Addresses in From: a statement of a whole committee; each costs the store a look-up. */
#define COMPOSE_AUTHORS_MAX 50
/* Date (38 bytes), Message-ID (a unique part, a domain of 255), Sender (an address of 254), line ends and what ends the header. */
#define COMPOSE_UNIQUE_MAX 64
#define COMPOSE_ADDED_MAX 1024
/* The authors and the sender, each behind its length (ADDRESS_MAX). */
#define COMPOSE_AUTHORS_BYTES_MAX ((COMPOSE_AUTHORS_MAX + 1) * (2 + 254))

#endif
