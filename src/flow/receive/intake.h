/*
 * A message on its way from a client into the store: its bytes, gathered and handed on, and what its header says that the way needs to know.
 *
 * Small bodies stay here until their end and travel in one record; larger ones are staged in the store piece by piece, so that no session
 * holds more than RECEIVE_INLINE_MAX and what one read brings.
 */
#ifndef POSTHORN_FLOW_RECEIVE_INTAKE_H
#define POSTHORN_FLOW_RECEIVE_INTAKE_H

#include "ipc/link.h"

#define RECEIVE_INLINE_MAX (256 * 1024)
/* Staged bytes under way to the store, per session, before we stop reading from the client. */
#define RECEIVE_STAGE_WINDOW (1u << 20)
/* What one call of intake_put may bring. */
#define INTAKE_PIECE_MAX (64 * 1024)

/* RFC 5321 6.3 wants at least 100; that many servers in a row are a loop. */
#define HEADER_HOPS_MAX 100
#define HEADER_LINE_KEPT 300
#define HEADER_MESSAGE_ID_MAX 255

/*
 * Reads a header as it comes by, cut anywhere: counts Received, keeps the Message-ID, notes what says that no person sent it. Ends at the
 * first empty line. Any bytes will do.
 */
struct header_scan {
	uint32_t hops;
	uint16_t line_n;	/* of line; more is not kept */
	uint8_t message_id_n;
	bool is_over;		/* the empty line has come */
	bool is_auto;		/* Auto-Submitted other than "no", Precedence, List-Id (RFC 3834 2) */
	bool has_message_id;
	char message_id[HEADER_MESSAGE_ID_MAX];
	char line[HEADER_LINE_KEPT];
};

void header_scan_put(struct header_scan *h, struct str bytes);
/* With its brackets; empty: none, or none that could be one. */
struct str header_scan_message_id(const struct header_scan *h);

struct intake {
	uint64_t session;	/* as the store knows it */
	struct buf body;	/* what is not staged */
	uint64_t bytes;		/* in all */
	uint32_t unanswered;
	bool is_staged, is_failed;
	struct header_scan header;
};

void intake_init(struct intake *i, uint64_t session);
void intake_fini(struct intake *i);
/* At most INTAKE_PIECE_MAX bytes. store NULL: it is down, and the message has failed. */
void intake_put(struct intake *i, struct link *store, struct str bytes);
/* Too much is under way: stop reading from the client until intake_staged. */
bool intake_is_behind(const struct intake *i);
/* STAGE_ANSWER. */
void intake_staged(struct intake *i, uint32_t bytes_n, bool ok);
/* The rest goes after what was staged. What is then in body (nothing, if staged) belongs into DELIVER. */
void intake_end(struct intake *i, struct link *store);
/* No message comes of it: the store drops what it holds. */
void intake_forget(struct intake *i, struct link *store);
/* The store went down, and with it what it held. */
void intake_store_down(struct intake *i);

#endif
