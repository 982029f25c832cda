/*
 * A line between two roles: records (records.h) over a stream socket, gathered per turn.
 *
 * What is sent during one turn of the loop leaves in one write; a read takes up to LINK_READ_BYTES and hands over every whole
 * record in it. The handler gets the payload as a cursor borrowed for the call and returns false when it is malformed:
 * the link then closes. Records not allowed between the two kinds (records.h) close it too.
 * Flow control: link_is_high says the other side does not keep up (stop producing until handler.drained); link_pause stops
 * reading here. A closed link takes records and drops them until it is freed.
 */
#ifndef POSTHORN_IPC_LINK_H
#define POSTHORN_IPC_LINK_H

#include "ipc/records.h"
#include "sys/loop.h"

#define LINK_READ_BYTES (128u * 1024)
#define LINK_OUT_HIGH (4u << 20)
/* A buffer is kept from one turn to the next up to this: growing it anew each turn cost a copy of all bodies of a turn. */
#define LINK_KEPT_BYTES (1u << 20)
#define LINK_OUT_MAX (256u << 20)
#define LINK_FDS_MAX 16

struct link;

struct link_handler {
	/* False: malformed, close the link. fd belonging to the record by link_take_fd. */
	bool (*record)(void *arg, struct link *l, enum record_type t, struct cur *c);
	/* Below LINK_OUT_HIGH again; may be NULL. Must not free l. */
	void (*drained)(void *arg, struct link *l);
	/* The peer is gone or broke the rules. Free l (now or later); nothing more is called for it. */
	void (*closed)(void *arg, struct link *l);
};

/* Takes fd (a non-blocking stream socket). h static, arg borrowed. is_with_fds: receive descriptors too. */
struct link *link_new(struct loop *loop, int fd, enum role_kind self, enum role_kind peer, uint16_t peer_index,
    bool is_with_fds, const struct link_handler *h, void *arg);
void link_free(struct link **l);
enum role_kind link_peer(const struct link *l);
uint16_t link_peer_index(const struct link *l);
/* Closed because the peer broke the rules, not because it is gone. */
bool link_is_broken(const struct link *l);

/* Where rec_X_put writes; marks the link for sending at the end of the turn. */
struct buf *link_out(struct link *l);
bool link_is_high(const struct link *l);
/* Sends everything so far, then the one record that `frame` holds together with fd (duplicated for the peer). May wait for the peer. */
enum status link_send_fd(struct link *l, struct str frame, int fd) MUST_USE;
/* The oldest descriptor received and not taken; -1: none. The caller owns it. */
int link_take_fd(struct link *l);
/*
 * For work that nobody waits for: what is sent leaves when bytes have gathered or ms after the first of it, so that
 * the peer is woken once for many records.
 */
void link_set_lazy(struct link *l, size_t bytes, uint64_t ms);
void link_pause(struct link *l);
/* From inside handler.record: not now. Pauses, and shows the same record again after link_resume; the handler has done nothing yet. */
void link_hold(struct link *l);
void link_resume(struct link *l);
/* Tries to send what is waiting now (before a process ends). */
void link_flush(struct link *l);

#endif
