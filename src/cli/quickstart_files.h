/*
 * What quickstart puts on the disk before there is a store: the folder, its configuration, keys
 *with self-signed certificates.
 *
 *	DIR/			0700
 *	DIR/posthorn.conf	0600, written last: where it stands, the rest is whole
 *	DIR/keys/		0700; ecdsa.key ecdsa.pem rsa.key rsa.pem master.key, 0600
 *	DIR/store/		0700, empty
 *
 * Each file is written beside its name, synced and renamed. When anything fails, what this call
 *made is removed again; what was there before is never touched.
 */
#ifndef POSTHORN_CLI_QUICKSTART_FILES_H
#define POSTHORN_CLI_QUICKSTART_FILES_H

#include "base/buf.h"

#define QUICKSTART_CONFIG_NAME "posthorn.conf"
/* What Apple's and the CA/Browser Forum's rules allowed a server certificate last; clients refuse
 * longer ones. */
#define QUICKSTART_CERTIFICATE_DAYS 825

/* Borrows everything. */
struct quickstart_files {
	struct str dir;
	struct str hostname;	/* a valid host name */
	struct str mail_domain; /* the same; of the first account's address */
	struct str listen;	/* one address, or empty: all */
	uint64_t port_offset;
	struct str resolver; /* HOST:PORT, or empty */
};

/*
 * ST_OK, also when the folder already holds exactly this configuration (then nothing is written and
 * *made_out is false). ST_EXISTS: it holds another configuration, or keys without one. ST_SYNTAX: a
 * value is not valid. ST_IO: the disk refused. Anything but ST_OK has put two lines into why: what
 * is wrong, and how to mend it.
 */
enum status quickstart_files_make(
    const struct quickstart_files *q, bool *made_out, struct buf *why) MUST_USE;
/*
 * Removes what quickstart_files_make with *made_out true has made, when a later step of quickstart
 * fails; the folders only if nothing else stands in them. The later step removes its own files
 * first.
 */
void quickstart_files_remove(const struct quickstart_files *q);

#endif
