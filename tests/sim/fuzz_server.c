/*
 * Fuzz: a client against the whole receiving server, the real roles smtpin, store (embedded, on a
 * simulated disk) and worker: it answers in the form of RFC 5321 4.2, no role ends, and every
 * connection does. The first byte chooses LMTP
 * ('1') and the pieces, the rest is what the client sends; a0 to a5, team and nobody@sim.example
 * are addresses.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "protocols/smtp/limits.h"
#include "sim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS_MAX = 3000, QUIET_TURNS = 40 };

/* "250-text" or "250 text"; the last line may be cut by the end of the connection. */
static void
answers_check(struct str s)
{
	struct cur c = cur_of(s);
	struct str line;

	while (cur_take_line(&c, &line)) {
		CHECK(line.n >= 4 && line.n + 2 <= SMTP_REPLY_LINE_MAX);
		CHECK(line.p[0] >= '2' && line.p[0] <= '5' && char_is_digit(line.p[1]) &&
		      char_is_digit(line.p[2]));
		CHECK(line.p[3] == ' ' || line.p[3] == '-');
	}
}

static int
client_connect(const struct sim_world *w, bool is_lmtp)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK(
	    connect(fd, (const struct sockaddr *)&w->address[is_lmtp], w->address_n[is_lmtp]) == 0);
	return fd;
}

/* Reads what the server says; false: it has closed. */
static bool
client_hear(int fd, struct buf *in)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		(void)buf_put(in, str_of(bytes, (size_t)n));
	return n < 0;
}

static void
client_talk(struct sim_world *w, int fd, struct str say, size_t piece)
{
	struct buf in;
	int quiet = 0;

	buf_init(&in, 1 << 20);
	for (int i = 0; i < TURNS_MAX && quiet < QUIET_TURNS; i++) {
		ssize_t n = say.n == 0 ? 0
				       : send(fd, say.p, piece < say.n ? piece : say.n,
					     MSG_NOSIGNAL | MSG_DONTWAIT);
		say = str_from(say, n > 0 ? (size_t)n : 0);
		quiet = say.n == 0 ? quiet + 1 : 0;
		sim_world_step(w);
		if (!client_hear(fd, &in))
			break;
	}
	CHECK(!w->is_failed);
	answers_check(buf_str(&in));
	buf_fini(&in);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim_world *w;
	bool is_lmtp;
	int fd;

	if (size < 1 || size > 50000)
		return 0;
	log_setup("sim", 2, LOG_ERROR, LOG_TEXT, NULL);
	w = malloc(sizeof(*w));
	CHECK(w != NULL);
	sim_world_init(w, &(struct sim_plan){.seed = 1, .is_calm = true});
	sim_machine_on(w);
	while (!w->children[SIM_SMTPIN].is_ready || !w->children[SIM_STORE].is_verified)
		sim_world_step(w);
	is_lmtp = data[0] & 1;
	fd = client_connect(w, is_lmtp);
	client_talk(w, fd, str_of(data + 1, size - 1), data[0] < 64 ? size : data[0] % 64 + 1u);
	close(fd);
	for (int i = 0; i < QUIET_TURNS; i++)
		sim_world_step(w);
	for (size_t i = 0; i < w->children_n; i++)
		CHECK(w->children[i].role != NULL && w->children[i].is_ready &&
		      !w->children[i].is_dead);
	sim_machine_off(w);
	sim_world_fini(w);
	free(w);
	return 0;
}
