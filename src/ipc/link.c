#include "ipc/link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"

struct link {
	struct loop *loop;
	const struct link_handler *h;
	void *arg;
	struct loop_id watch;
	int fd;
	enum role_kind self, peer;
	uint16_t peer_index;
	bool is_with_fds, is_closed, is_broken, is_paused, is_dirty, is_waiting_write, was_high;
	bool is_mute;		/* the peer reads no more; what it sent before is still taken, up to its end */
	bool is_held;		/* the record being handled is shown again */
	bool is_handling;	/* inside handler.record: link_free must wait */
	bool is_freed;
	size_t lazy_bytes;	/* 0: not lazy */
	uint64_t lazy_ms;
	struct loop_id lazy_timer;
	struct buf in, out;
	size_t sent;		/* bytes of out already written */
	int fds[LINK_FDS_MAX];
	size_t fds_n;
};

static void link_ready(void *arg, unsigned events);
static void link_before_wait(void *arg);

struct link *
link_new(struct loop *loop, int fd, enum role_kind self, enum role_kind peer, uint16_t peer_index,
    bool is_with_fds, const struct link_handler *h, void *arg)
{
	struct link *l = calloc(1, sizeof(*l));

	CHECK(l != NULL && fd >= 0);
	l->loop = loop;
	l->h = h;
	l->arg = arg;
	l->fd = fd;
	l->self = self;
	l->peer = peer;
	l->peer_index = peer_index;
	l->is_with_fds = is_with_fds;
	buf_init(&l->in, RECORD_BYTES_MAX + RECORD_HEADER_BYTES + LINK_READ_BYTES);
	buf_init(&l->out, LINK_OUT_MAX);
	l->watch = loop_fd_add(loop, fd, LOOP_READ, link_ready, l);
	loop_before_wait_add(loop, link_before_wait, l);
	return l;
}

static void
link_shut(struct link *l)
{
	if (l->fd < 0)
		return;
	loop_fd_del(l->loop, &l->watch);
	loop_before_wait_del(l->loop, link_before_wait, l);
	loop_timer_del(l->loop, &l->lazy_timer);
	close(l->fd);
	l->fd = -1;
	for (size_t i = 0; i < l->fds_n; i++)
		close(l->fds[i]);
	l->fds_n = 0;
}

void
link_free(struct link **lp)
{
	struct link *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	link_shut(l);
	l->is_closed = true;
	l->is_freed = true;
	if (l->is_handling)
		return;	/* link_read frees it when it comes back */
	buf_fini(&l->in);
	buf_fini(&l->out);
	free(l);
}

enum role_kind
link_peer(const struct link *l)
{
	return l->peer;
}

uint16_t
link_peer_index(const struct link *l)
{
	return l->peer_index;
}

bool
link_is_broken(const struct link *l)
{
	return l->is_broken;
}

static size_t
link_waiting(const struct link *l)
{
	return l->out.n - l->sent;
}

struct buf *
link_out(struct link *l)
{
	if (l->is_closed || l->is_mute) {
		/* Nobody reads it any more; keep the buffer from growing. */
		buf_reset(&l->out);
		l->sent = 0;
	}
	l->is_dirty = true;
	return &l->out;
}

bool
link_is_high(const struct link *l)
{
	return link_waiting(l) > LINK_OUT_HIGH;
}

static void
link_end(struct link *l, const char *why)
{
	if (l->is_closed)
		return;
	if (why != NULL)
		log_event(LOG_WARN, "link.closed", LOG_CSTR("peer", role_kind_name(l->peer)),
		    LOG_U64("index", l->peer_index), LOG_CSTR("why", why));
	l->is_broken = why != NULL;
	l->is_closed = true;
	link_shut(l);
	l->h->closed(l->arg, l);
}

/* Writes what waits. */
static void
link_write(struct link *l)
{
	while (link_waiting(l) > 0 && !l->is_mute) {
		ssize_t n = send(l->fd, l->out.p + l->sent, link_waiting(l), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		/* Gone; its last answers may still lie in our socket: the end comes when they are read. */
		l->is_mute = n < 0;
		l->sent += n < 0 ? 0 : (size_t)n;
	}
	l->sent = 0;
	buf_reset(&l->out);
	if (l->out.cap > LINK_KEPT_BYTES)
		buf_shrink(&l->out);
}

static void
link_write_turn(struct link *l)
{
	bool wait;

	link_write(l);
	if (l->sent > LINK_OUT_HIGH) {
		buf_consume(&l->out, l->sent);
		l->sent = 0;
	}
	l->was_high |= link_is_high(l);
	wait = link_waiting(l) > 0;
	if (wait != l->is_waiting_write) {
		l->is_waiting_write = wait;
		loop_fd_want(l->loop, l->watch, (l->is_paused ? 0 : LOOP_READ) | (wait ? LOOP_WRITE : 0));
	}
	if (l->was_high && !link_is_high(l)) {
		l->was_high = false;
		if (l->h->drained != NULL)
			l->h->drained(l->arg, l);
	}
}

static void
link_lazy_over(void *arg)
{
	struct link *l = arg;

	l->lazy_timer = (struct loop_id){0};
	l->is_dirty = false;
	link_write_turn(l);
}

void
link_set_lazy(struct link *l, size_t bytes, uint64_t ms)
{
	l->lazy_bytes = bytes;
	l->lazy_ms = ms;
}

static void
link_before_wait(void *arg)
{
	struct link *l = arg;

	if (!l->is_dirty || l->is_closed || l->is_waiting_write)
		return;
	if (link_waiting(l) < l->lazy_bytes) {
		if (l->lazy_timer.v == 0)
			l->lazy_timer = loop_timer_add(l->loop, l->lazy_ms, link_lazy_over, l);
		return;
	}
	loop_timer_del(l->loop, &l->lazy_timer);
	l->is_dirty = false;
	link_write_turn(l);
}

void
link_flush(struct link *l)
{
	if (!l->is_closed)
		link_write(l);
}

static ssize_t
link_recv(struct link *l, char *p, size_t n)
{
	char control[CMSG_SPACE(sizeof(int) * LINK_FDS_MAX)] __attribute__((aligned(16)));
	struct iovec iov = {p, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t got;

	if (!l->is_with_fds)
		return recv(l->fd, p, n, MSG_DONTWAIT);
	got = recvmsg(l->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return got;
	for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h != NULL; h = CMSG_NXTHDR(&m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (h->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
			if (l->fds_n < LINK_FDS_MAX)
				l->fds[l->fds_n++] = fd;
			else
				close(fd);
		}
	}
	return got;
}

int
link_take_fd(struct link *l)
{
	int fd;

	if (l->fds_n == 0)
		return -1;
	fd = l->fds[0];
	l->fds_n--;
	memmove(l->fds, l->fds + 1, l->fds_n * sizeof(l->fds[0]));
	return fd;
}

/* Hands over the whole records in `in`; returns how many bytes they took. */
static size_t
link_dispatch(struct link *l)
{
	size_t off = 0;

	while (!l->is_closed && !l->is_paused && l->in.n - off >= RECORD_HEADER_BYTES) {
		const char *h = l->in.p + off;
		uint32_t n = le32_get(h);
		enum record_type t = (enum record_type)le16_get(h + 4);

		if (n > RECORD_BYTES_MAX || le16_get(h + 6) != RECORD_VERSION ||
		    !record_is_allowed(t, l->peer, l->self)) {
			link_end(l, "record not allowed here");
			break;
		}
		if (l->in.n - off - RECORD_HEADER_BYTES < n)
			break;
		struct cur c = cur_of(str_of(h + RECORD_HEADER_BYTES, n));
		if (!l->h->record(l->arg, l, t, &c) && !l->is_closed) {
			log_event(LOG_WARN, "link.malformed", LOG_CSTR("record", record_type_name(t)));
			link_end(l, "malformed record");
		}
		if (l->is_held)
			break;
		off += RECORD_HEADER_BYTES + n;
	}
	return off;
}

/* Dispatches and drops what was taken. The link may be gone afterwards: false. */
static bool
link_take_records(struct link *l)
{
	size_t off;

	l->is_handling = true;
	l->is_held = false;
	off = link_dispatch(l);
	l->is_handling = false;
	if (l->is_freed) {
		buf_fini(&l->in);
		buf_fini(&l->out);
		free(l);
		return false;
	}
	buf_consume(&l->in, off);
	if (l->in.n == 0 && l->in.cap > LINK_KEPT_BYTES)
		buf_shrink(&l->in);
	return !l->is_closed;
}

static size_t
link_read_size(const struct link *l)
{
	/* Enough for the rest of a large record in few reads, otherwise the ordinary piece. */
	if (l->in.n >= RECORD_HEADER_BYTES) {
		uint32_t n = le32_get(l->in.p);
		if (n <= RECORD_BYTES_MAX && n + RECORD_HEADER_BYTES > l->in.n + LINK_READ_BYTES)
			return n + RECORD_HEADER_BYTES - l->in.n;
	}
	return LINK_READ_BYTES;
}

static void
link_read(struct link *l)
{
	size_t want = link_read_size(l);
	char *p = buf_reserve(&l->in, want);
	ssize_t n;

	CHECK(p != NULL);
	n = link_recv(l, p, want);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		link_end(l, NULL);
		return;
	}
	buf_commit(&l->in, (size_t)n);
	(void)link_take_records(l);
}

static void
link_ready(void *arg, unsigned events)
{
	struct link *l = arg;

	if ((events & LOOP_WRITE) != 0) {
		l->is_dirty = false;
		link_write_turn(l);
	}
	if ((events & LOOP_HUP) != 0 && l->is_paused)
		/* Nobody is left to answer what we have not read; and this would be reported every turn. */
		link_end(l, NULL);
	else if ((events & (LOOP_READ | LOOP_HUP)) != 0 && !l->is_paused)
		link_read(l);
}

void
link_pause(struct link *l)
{
	if (l->is_paused || l->is_closed)
		return;
	l->is_paused = true;
	loop_fd_want(l->loop, l->watch, l->is_waiting_write ? LOOP_WRITE : 0);
}

void
link_hold(struct link *l)
{
	CHECK(l->is_handling);
	l->is_held = true;
	link_pause(l);
}

void
link_resume(struct link *l)
{
	if (!l->is_paused || l->is_closed)
		return;
	l->is_paused = false;
	loop_fd_want(l->loop, l->watch, LOOP_READ | (l->is_waiting_write ? LOOP_WRITE : 0));
	if (!l->is_handling)
		(void)link_take_records(l);
}

/* Waits until all of what is queued is written. */
static enum status
link_drain(struct link *l)
{
	for (link_write(l); link_waiting(l) > 0; link_write(l)) {
		struct pollfd p = {.fd = l->fd, .events = POLLOUT};
		if (poll(&p, 1, 5000) <= 0)
			return ST_TIMEOUT;
	}
	return l->is_mute ? ST_IO : ST_OK;
}

enum status
link_send_fd(struct link *l, struct str frame, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16))) = {0};
	struct iovec iov = {(void *)(uintptr_t)frame.p, frame.n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	enum status st = l->is_closed ? ST_IO : link_drain(l);
	ssize_t n;

	if (st != ST_OK)
		return st;
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	do
		n = sendmsg(l->fd, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return ST_IO;
	/* The descriptor went with the first byte; the rest, if any, follows as ordinary bytes. */
	(void)buf_put(&l->out, str_from(frame, (size_t)n));
	l->is_dirty = true;
	return ST_OK;
}
