/* The two bottoms: a descriptor and a simulated stream. */
#include "net/layer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"

struct layer_bottom {
	struct layer y;
	int fd;
	bool is_shut;
	struct sim_end *end;
	struct pushed *pushed;	/* NULL: none */
};

struct pushed {
	size_t at, n;
	char p[];
};

static struct layer_bottom *
bottom_of(struct layer *y)
{
	return (struct layer_bottom *)y;
}

static bool
bottom_has_pending(const struct layer *y)
{
	return ((const struct layer_bottom *)y)->pushed != NULL;
}

void
layer_push(struct layer *bottom, struct str bytes)
{
	struct layer_bottom *b = bottom_of(bottom);

	CHECK(b->pushed == NULL && bytes.n > 0);
	b->pushed = calloc(1, sizeof(*b->pushed) + bytes.n);
	CHECK(b->pushed != NULL);
	memcpy(b->pushed->p, bytes.p, bytes.n);
	b->pushed->n = bytes.n;
	b->y.is_dry = false;
}

static bool
pushed_read(struct layer_bottom *b, void *p, size_t n, size_t *got_out)
{
	struct pushed *u = b->pushed;

	if (u == NULL)
		return false;
	*got_out = size_min(n, u->n - u->at);
	memcpy(p, u->p + u->at, *got_out);
	u->at += *got_out;
	if (u->at == u->n) {
		free(u);
		b->pushed = NULL;
	}
	return true;
}

static enum status
fd_read(struct layer *y, void *p, size_t n, size_t *got_out)
{
	ssize_t got;

	y->wants = LOOP_READ;
	if (pushed_read(bottom_of(y), p, n, got_out))
		return ST_OK;
	if (y->is_dry)
		return ST_MORE;
	do {
		got = recv(bottom_of(y)->fd, p, n, 0);
	} while (got < 0 && errno == EINTR);
	if (got == 0)
		return ST_EOF;
	y->is_dry = got < (ssize_t)n;
	if (got > 0) {
		*got_out = (size_t)got;
		return ST_OK;
	}
	return errno == EAGAIN ? ST_MORE : ST_IO;
}

static enum status
fd_write(struct layer *y, const void *p, size_t n, size_t *done_out)
{
	ssize_t done;

	y->wants = LOOP_WRITE;
	do {
		done = send(bottom_of(y)->fd, p, n, MSG_NOSIGNAL);
	} while (done < 0 && errno == EINTR);
	if (done >= 0) {
		*done_out = (size_t)done;
		return ST_OK;
	}
	return errno == EAGAIN || errno == ENOBUFS ? ST_MORE : ST_IO;
}

static void
fd_shutdown(struct layer *y)
{
	struct layer_bottom *b = bottom_of(y);

	if (!b->is_shut)
		(void)shutdown(b->fd, SHUT_WR);
	b->is_shut = true;
}

static void
fd_free(struct layer *y)
{
	struct layer_bottom *b = bottom_of(y);

	if (b->fd >= 0)
		close(b->fd);
	free(b->pushed);
	free(b);
}

static const struct layer_ops fd_ops = {NULL, fd_read, fd_write, bottom_has_pending, fd_shutdown, fd_free};

struct layer *
layer_fd_new(int fd)
{
	struct layer_bottom *b = calloc(1, sizeof(*b));

	CHECK(b != NULL && fd >= -1);
	/* Dry: the first readiness says when there is something. */
	b->y = (struct layer){.ops = &fd_ops, .is_dry = true};
	b->fd = fd;
	return &b->y;
}

int
layer_fd(const struct layer *bottom)
{
	return bottom->ops == &fd_ops ? ((const struct layer_bottom *)bottom)->fd : -1;
}

static enum status
end_read(struct layer *y, void *p, size_t n, size_t *got_out)
{
	y->wants = LOOP_READ;
	if (pushed_read(bottom_of(y), p, n, got_out))
		return ST_OK;
	return sim_read(bottom_of(y)->end, p, n, got_out);
}

static enum status
end_write(struct layer *y, const void *p, size_t n, size_t *done_out)
{
	y->wants = LOOP_WRITE;
	return sim_write(bottom_of(y)->end, p, n, done_out);
}

static void
end_shutdown(struct layer *y)
{
	struct layer_bottom *b = bottom_of(y);

	if (!b->is_shut)
		sim_shutdown(b->end);
	b->is_shut = true;
}

static void
end_free(struct layer *y)
{
	struct layer_bottom *b = bottom_of(y);

	sim_close(&b->end);
	free(b->pushed);
	free(b);
}

static const struct layer_ops end_ops = {
    NULL, end_read, end_write, bottom_has_pending, end_shutdown, end_free};

struct layer *
layer_sim_new(struct sim_end *end)
{
	struct layer_bottom *b = calloc(1, sizeof(*b));

	CHECK(b != NULL);
	b->y = (struct layer){.ops = &end_ops};
	b->fd = -1;
	b->end = end;
	return &b->y;
}

void
layer_free_all(struct layer **top)
{
	struct layer *y = *top;

	*top = NULL;
	while (y != NULL) {
		struct layer *next = y->next;
		y->ops->free(y);
		y = next;
	}
}
