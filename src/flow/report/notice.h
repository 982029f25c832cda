/*
 * Notices (RFC 3464) on their way between the process that knows what happened and the one that may look at the message: the recipients of a
 * NOTICE record, and from that record the text.
 */
#ifndef POSTHORN_FLOW_REPORT_NOTICE_H
#define POSTHORN_FLOW_REPORT_NOTICE_H

#include "flow/queue/queue.h"
#include "standards/dsn/dsn.h"

/* What of the original goes along: RFC 3464 wants its header, people its beginning. */
#define NOTICE_ORIGINAL_BYTES_MAX (128u * 1024)
#define NOTICE_BYTES_MAX (1u << 20)

/* Appends one recipient. ip may be empty; until_ms: DSN_DELAYED only, else 0. */
enum status notice_rcpt_put(struct buf *out, enum dsn_action action, const struct queue_rcpt *r, struct str ip, uint64_t until_ms) MUST_USE;
/*
 * Worker: appends the whole notice to out; *flags_out as it must be sent. hostname: ours. ST_SYNTAX: a malformed record, ST_LIMIT: out is full or
 * a has no room.
 */
enum status notice_write(const struct rec_notice *r, struct str hostname, struct arena *a, struct buf *out, uint8_t *flags_out) MUST_USE;

#endif
