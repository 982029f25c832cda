/* The control socket: an answer, a server that goes, one that says nothing, one that is not there. */
#include "base/unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"
#include "base/num.h"
#include "cli/control.h"
#include "ipc/records.h"

/* A server that reads one command, sends what it was given, and closes or waits. */
struct server {
	char folder[32], path[64];
	int listen_fd;
	pthread_t thread;
	struct str answer;
	bool is_silent;
};

static void *
server_run(void *arg)
{
	struct server *s = arg;
	int fd = accept(s->listen_fd, NULL, NULL);
	char in[512];

	CHECK(fd >= 0 && read(fd, in, sizeof(in)) > RECORD_HEADER_BYTES);
	EXPECT(le16_get(in + 4) == REC_COMMAND);
	if (s->answer.n > 0)
		EXPECT(write(fd, s->answer.p, s->answer.n) == (ssize_t)s->answer.n);
	/* Until the other end has had enough. */
	if (s->is_silent)
		EXPECT(read(fd, in, sizeof(in)) == 0);
	close(fd);
	return NULL;
}

static void
server_open(struct server *s, struct str answer, bool is_silent)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	*s = (struct server){.folder = "/tmp/posthorn-control-XXXXXX", .answer = answer, .is_silent = is_silent};
	CHECK(mkdtemp(s->folder) != NULL);
	(void)snprintf(s->path, sizeof(s->path), "%s/control", s->folder);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", s->path);
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(s->listen_fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(s->listen_fd, 1) == 0);
	CHECK(pthread_create(&s->thread, NULL, server_run, s) == 0);
}

static void
server_close(struct server *s)
{
	CHECK(pthread_join(s->thread, NULL) == 0);
	close(s->listen_fd);
	/* The socket's file stays, as after a kill: nobody listens. */
	EXPECT(!control_is_up(s->path));
	(void)unlink(s->path);
	(void)rmdir(s->folder);
}

static enum status
ask(const struct server *s, uint64_t timeout_ms, int *code, struct buf *json)
{
	buf_reset(json);
	*code = -1;
	return control_ask(s->path, STR("{\"command\":\"status\"}"), timeout_ms, code, json);
}

static void
takes_an_answer(void)
{
	struct server s;
	struct buf frame, json;
	int code;

	buf_init(&frame, 1024);
	buf_init(&json, 1024);
	CHECK(rec_command_answer_put(&frame, &(struct rec_command_answer){.seq = 1, .exit_code = 3, .json = STR("{\"a\":1}")}) == ST_OK);
	server_open(&s, buf_str(&frame), false);
	EXPECT(ask(&s, 10000, &code, &json) == ST_OK && code == 3);
	EXPECT_STR(buf_str(&json), STR("{\"a\":1}"));
	server_close(&s);
	buf_fini(&frame);
	buf_fini(&json);
}

static void
tells_failures_apart(void)
{
	struct server s;
	struct buf json;
	int code;

	buf_init(&json, 1024);
	server_open(&s, STR_NULL, false);
	EXPECT(ask(&s, 10000, &code, &json) == ST_IO);
	server_close(&s);
	server_open(&s, STR_NULL, true);
	EXPECT(ask(&s, 50, &code, &json) == ST_TIMEOUT);
	server_close(&s);
	/* A record no server sends to a command. */
	server_open(&s, STR("\x01\x00\x00\x00\x01\x00\x01\x00\x00"), false);
	EXPECT(ask(&s, 10000, &code, &json) == ST_IO);
	server_close(&s);
	EXPECT(ask(&s, 1000, &code, &json) == ST_NOTFOUND);
	(void)snprintf(s.path, sizeof(s.path), "/tmp/%058d", 1);
	EXPECT(ask(&s, 1000, &code, &json) == ST_NOTFOUND);
	buf_fini(&json);
}

static void
refuses_a_path_that_no_socket_can_have(void)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct buf json;
	int code = 0;

	buf_init(&json, 64);
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	EXPECT(control_ask(path, STR("{}"), 1000, &code, &json) == ST_NOTFOUND && !control_is_up(path));
	buf_fini(&json);
}

int
main(void)
{
	UNIT(takes_an_answer);
	UNIT(tells_failures_apart);
	UNIT(refuses_a_path_that_no_socket_can_have);
	return unit_end();
}
