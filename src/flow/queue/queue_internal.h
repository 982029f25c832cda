/* What the files of the durable queue share. */
#ifndef POSTHORN_FLOW_QUEUE_QUEUE_INTERNAL_H
#define POSTHORN_FLOW_QUEUE_QUEUE_INTERNAL_H

#include "base/cur.h"
#include "flow/queue/queue.h"

/* Path, destination, ORCPT, host, text, and the numbers. */
#define QUEUE_RCPT_BYTES_MAX 2048

/* ST_LIMIT: out is full. */
enum status queue_message_encode(const struct queue_message *m, struct buf *out);
enum status queue_rcpt_encode(const struct queue_rcpt *r, struct buf *out);
/* Strings are copied into a; out->id stays. ST_IO: no such record; ST_LIMIT: the arena. */
enum status queue_message_decode(struct str record, struct arena *a, struct queue_message *out);
enum status queue_rcpt_decode(struct str record, uint32_t index, struct arena *a, struct queue_rcpt *out);

#endif
