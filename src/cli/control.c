#include "cli/control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "ipc/link.h"

/* For a place in the socket's queue; the kernel makes us wait only while many commands come at once. */
#define CONNECT_PATIENCE_S 5

struct asking {
	struct loop *loop;
	struct link *link;
	struct loop_id timer;
	struct buf *json;
	int exit_code;
	enum status st;
};

static enum status
control_connect(const char *path, int *fd_out)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = CONNECT_PATIENCE_S};
	size_t n = strlen(path);
	int fd, e;

	/* The server could not have bound it either. */
	if (n >= sizeof(sa.sun_path))
		return ST_NOTFOUND;
	memcpy(sa.sun_path, path, n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ST_IO;
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0) {
		*fd_out = fd;
		return ST_OK;
	}
	e = errno;
	close(fd);
	if (e == EACCES || e == EPERM)
		return ST_DENIED;
	return e == EAGAIN ? ST_TIMEOUT : ST_NOTFOUND;
}

bool
control_is_up(const char *path)
{
	int fd;
	enum status st = control_connect(path, &fd);

	if (st == ST_OK)
		close(fd);
	return st == ST_OK || st == ST_TIMEOUT || st == ST_DENIED;
}

static void
asking_end(struct asking *a, enum status st)
{
	a->st = st;
	loop_stop(a->loop);
}

static bool
asking_record(void *arg, struct link *l, enum record_type t, struct cur *c)
{
	struct asking *a = arg;
	struct rec_command_answer r;

	(void)l;
	if (t != REC_COMMAND_ANSWER || !rec_command_answer_take(c, &r))
		return false;
	a->exit_code = r.exit_code;
	asking_end(a, buf_put(a->json, r.json));
	return true;
}

static void
asking_closed(void *arg, struct link *l)
{
	struct asking *a = arg;

	link_free(&l);
	a->link = NULL;
	/* After the answer this is only the server's end of the line. */
	if (a->st == ST_MORE)
		asking_end(a, ST_IO);
}

static void
asking_timeout(void *arg)
{
	struct asking *a = arg;

	a->timer = (struct loop_id){0};
	asking_end(a, ST_TIMEOUT);
}

static const struct link_handler asking_handler = {.record = asking_record, .closed = asking_closed};

enum status
control_ask(const char *path, struct str request_json, uint64_t timeout_ms, int *exit_code_out, struct buf *json_out)
{
	struct asking a = {.json = json_out, .st = ST_MORE};
	struct clock clock;
	int fd;
	enum status st = control_connect(path, &fd);

	if (st != ST_OK)
		return st;
	clock_init_system(&clock);
	a.loop = loop_new(&clock);
	a.link = link_new(a.loop, fd, ROLE_COMMAND, ROLE_QUEUE, 0, false, &asking_handler, &a);
	(void)rec_command_put(link_out(a.link), &(struct rec_command){.seq = 1, .request_json = request_json});
	if (timeout_ms > 0)
		a.timer = loop_timer_add(a.loop, timeout_ms, asking_timeout, &a);
	loop_run(a.loop);
	loop_timer_del(a.loop, &a.timer);
	link_free(&a.link);
	loop_free(&a.loop);
	*exit_code_out = a.exit_code;
	return a.st;
}
