/*
 * Fuzz: whatever a peer writes into its end of a line, in whatever pieces. The handler does by the
 * first byte of a record what handlers do (refuse, free the line, pause, answer more than the
 * socket takes); it sees the whole records that a second, slow reading finds, is told of the end
 * once, and no descriptor is left open.
 *
 * The first byte chooses the two roles and whether descriptors are received, the second the pieces
 * and how many descriptors come with each; the rest is what the peer writes.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/num.h"
#include "ipc/link.h"
#include "sys/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 2, TURNS = 16, FLOOD_BYTES = 1 << 20 };

struct side {
	struct link *link;
	unsigned records, wanted, closed;
	enum role_kind self, peer;
	bool is_freed, is_flooded, is_paused;
};

/* What the handler does with a record. */
enum act { ACT_REFUSE, ACT_FREE, ACT_PAUSE, ACT_FLOOD, ACT_TAKE_FD };

static enum act
act_of(struct str payload)
{
	return payload.n > 0 ? (enum act)((uint8_t)payload.p[0] - '0') : ACT_TAKE_FD;
}

static bool
on_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct side *s = arg;
	enum act act = act_of(cur_rest(c));

	CHECK(l == s->link && !s->is_freed && s->closed == 0 && !s->is_paused);
	CHECK(record_is_allowed(t, s->peer, s->self));
	s->records++;
	if (act == ACT_PAUSE) {
		s->is_paused = true;
		link_pause(l);
	} else if (act == ACT_FREE) {
		s->is_freed = true;
		link_free(&s->link);
	} else if (act == ACT_FLOOD && !s->is_flooded) {
		s->is_flooded = true;
		CHECK(buf_reserve(link_out(l), FLOOD_BYTES) != NULL);
		memset(link_out(l)->p + link_out(l)->n, 0, FLOOD_BYTES);
		buf_commit(link_out(l), FLOOD_BYTES);
	} else if (act == ACT_TAKE_FD) {
		int fd = link_take_fd(l);
		if (fd >= 0)
			close(fd);
	}
	return act != ACT_REFUSE;
}

static void
on_closed(void *arg, struct link *l)
{
	struct side *s = arg;

	CHECK(l == s->link && !s->is_freed);
	s->closed++;
	link_free(&s->link);
}

static const struct link_handler handler = {.record = on_record, .closed = on_closed};

/* How many records of this the handler must see. */
static unsigned
records_count(const struct side *s, struct str in)
{
	unsigned n = 0;

	while (in.n >= RECORD_HEADER_BYTES) {
		uint32_t size = le32_get(in.p);
		enum record_type t = (enum record_type)le16_get(in.p + 4);
		if (size > RECORD_BYTES_MAX || size > in.n - RECORD_HEADER_BYTES ||
		    le16_get(in.p + 6) != RECORD_VERSION || !record_is_allowed(t, s->peer, s->self))
			break;
		enum act act = act_of(str_of(in.p + RECORD_HEADER_BYTES, size));
		n++;
		if (act == ACT_REFUSE || act == ACT_FREE)
			break;
		in = str_from(in, RECORD_HEADER_BYTES + size);
	}
	return n;
}

/* One piece, with so many copies of extra beside it. False: the other end does not take it (any
 * more). */
static bool
piece_send(int fd, struct str piece, int extra, size_t extra_n)
{
	char control[CMSG_SPACE(sizeof(int) * 32)] __attribute__((aligned(16))) = {0};
	struct iovec iov = {(void *)(uintptr_t)piece.p, piece.n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (extra_n > 0) {
		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * extra_n);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(int) * extra_n);
		for (size_t i = 0; i < extra_n; i++)
			memcpy(CMSG_DATA(h) + i * sizeof(int), &extra, sizeof(extra));
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)piece.n;
}

static void
turns(struct loop *l, struct side *s, int n)
{
	while (n-- > 0) {
		(void)loop_turn(l, 0);
		if (!s->is_paused)
			continue;
		s->is_paused = false;
		if (s->link != NULL)
			link_resume(s->link);
	}
}

static int
fd_lowest(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	close(fd);
	return fd;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct side s = {0};
	struct clock clock;
	struct loop *loop;
	int fds[2], extra, fd_free = fd_lowest();

	if (size < HEAD || size > 100000)
		return 0;
	log_set_level(LOG_ERROR);
	struct str rest = str_of(data + HEAD, size - HEAD);
	size_t piece = data[1] % 32 == 0 ? rest.n : data[1] % 32;
	size_t extra_n = data[0] >= 128 ? data[1] / 32 * 3 : 0;
	s.self = (enum role_kind)(data[0] % 8);
	s.peer = (enum role_kind)(data[0] / 8 % 8);
	clock_init_fake(&clock, 0);
	loop = loop_new(&clock);
	extra = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(extra >= 0 && sock_pair(fds) == ST_OK);
	s.link = link_new(loop, fds[0], s.self, s.peer, 0, data[0] >= 128, &handler, &s);
	unsigned wanted = records_count(&s, rest);
	while (rest.n > 0 && s.link != NULL) {
		struct str one = str_take(rest, piece);
		if (!piece_send(fds[1], one, extra, extra_n))
			break;
		rest = str_from(rest, one.n);
		turns(loop, &s, 1);
	}
	turns(loop, &s, TURNS + (int)wanted);
	close(fds[1]);
	close(extra);
	turns(loop, &s, TURNS);
	CHECK(s.records == wanted && s.link == NULL && s.closed + s.is_freed == 1);
	loop_free(&loop);
	CHECK(fd_lowest() == fd_free);
	return 0;
}
