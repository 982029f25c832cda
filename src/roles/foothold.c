/* Built only with -Dfoothold=true; see the header. */
#include "roles/foothold.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "flow/receive/receive.h"
#include "roles/role.h"

#define PREFIX STR("foothold-")
#define SUFFIX STR(".test")

/* The one process-wide variable of the program: an attacker has no better place either. */
static struct role *the_role;

/* ---- at the kernel; each returns the system call's result ---- */

static long
try_open(uint64_t number)
{
	(void)number;
	return open("/etc/passwd", O_RDONLY);
}

static long
try_data(uint64_t number)
{
	char path[4096];
	struct str dir = role_settings(the_role)->data_dir;

	(void)number;
	if (dir.n >= sizeof(path))
		return 0;
	memcpy(path, dir.p, dir.n);
	path[dir.n] = '\0';
	return open(path, O_RDONLY | O_DIRECTORY);
}

/* The root as it is now, which open() could still reach if nothing refused it. */
static long
try_root(uint64_t number)
{
	(void)number;
	return open("/", O_RDONLY | O_DIRECTORY);
}

static long
try_create(uint64_t number)
{
	(void)number;
	return open("/foothold", O_WRONLY | O_CREAT, 0600);
}

static long
try_connect(uint64_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd < 0 ? fd : connect(fd, (const struct sockaddr *)&a, sizeof(a));
}

static long
try_exec(uint64_t number)
{
	char name[] = "true";
	char *const argv[] = {name, NULL}, *const envp[] = {NULL};

	(void)number;
	return execve("/bin/true", argv, envp);
}

static long
try_fork(uint64_t number)
{
	long pid = fork();

	(void)number;
	if (pid == 0)
		_exit(0);
	return pid;
}

static long
try_ptrace(uint64_t pid)
{
	return ptrace(PTRACE_ATTACH, (pid_t)pid, NULL, NULL);
}

static long
try_kill(uint64_t pid)
{
	return kill((pid_t)pid, SIGKILL);
}

static long
try_exec_memory(uint64_t number)
{
	(void)number;
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0) == MAP_FAILED
		   ? -1
		   : 0;
}

/* What a filter of the wrong architecture would let through. */
static long
try_setuid(uint64_t number)
{
	(void)number;
	return setuid(0);
}

/* ---- over the line to the store; what comes back, if anything, the role's own code refuses ----
 */

static struct buf *
store_out(void)
{
	struct link *l = role_link(the_role, ROLE_STORE, 0);

	return l != NULL ? link_out(l) : NULL;
}

static const char no_cap[CAP_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void
ask_credential(struct buf *out)
{
	(void)rec_credential_put(
	    out, &(struct rec_credential){.ask = 1, .login = STR("alice@example.test")});
}

static void
ask_grant(struct buf *out)
{
	(void)rec_grant_put(out, &(struct rec_grant){.ask = 1,
				     .cap = str_of(no_cap, CAP_BYTES),
				     .account = 1,
				     .rights = ~0u,
				     .lifetime_ms = 3600000});
}

static void
ask_box_list(struct buf *out)
{
	(void)rec_box_list_put(
	    out, &(struct rec_box_list){.session = 1, .cap = str_of(no_cap, CAP_BYTES)});
}

static void
ask_message_read(struct buf *out)
{
	(void)rec_message_read_put(out,
	    &(struct rec_message_read){
		.session = 1, .cap = str_of(no_cap, CAP_BYTES), .message = 1, .bytes_max = 65536});
}

static void
ask_box_expunge(struct buf *out)
{
	char uid[4];

	le32_put(uid, 1);
	(void)rec_box_expunge_put(out,
	    &(struct rec_box_expunge){
		.session = 1, .cap = str_of(no_cap, CAP_BYTES), .uids = str_of(uid, sizeof(uid))});
}

static void
ask_command(struct buf *out)
{
	(void)rec_command_put(
	    out, &(struct rec_command){.seq = 1,
		     .request_json =
			 STR("{\"command\":\"account list\",\"operands\":[],\"options\":{}}")});
}

static void
frame_header(struct buf *out, uint32_t n, enum record_type t)
{
	char h[RECORD_HEADER_BYTES];

	le32_put(h, n);
	le16_put(h + 4, (uint16_t)t);
	le16_put(h + 6, RECORD_VERSION);
	(void)buf_put(out, str_of(h, sizeof(h)));
}

static void
ask_garbage(struct buf *out)
{
	for (uint32_t i = 0; i < 4096; i++)
		(void)buf_put_c(out, (char)(i * 2654435761u >> 13));
}

static void
ask_too_long(struct buf *out)
{
	frame_header(out, UINT32_MAX, REC_DELIVER);
}

/* A text whose length points behind the record. */
static void
ask_overrun(struct buf *out)
{
	char body[12];

	le64_put(body, 1);
	le32_put(body + 8, 0x7fffffff);
	frame_header(out, sizeof(body), REC_ROUTE);
	(void)buf_put(out, str_of(body, sizeof(body)));
}

/* Recipients whose inner lengths point behind their list. */
static void
ask_bad_rcpts(struct buf *out)
{
	(void)rec_deliver_put(out, &(struct rec_deliver){.session = 1,
				       .rcpts = STR("\xff\xff"
						    "alice@example.test"),
				       .head = STR("X: y\r\n"),
				       .body = STR("\r\n")});
}

/* ---- the table ---- */

static const struct {
	struct str what;
	long (*call)(uint64_t number);
	void (*ask)(struct buf *out);
} attempts[] = {
    {STR_INIT("open"), try_open, NULL},
    {STR_INIT("data"), try_data, NULL},
    {STR_INIT("root"), try_root, NULL},
    {STR_INIT("create"), try_create, NULL},
    {STR_INIT("connect"), try_connect, NULL},
    {STR_INIT("exec"), try_exec, NULL},
    {STR_INIT("fork"), try_fork, NULL},
    {STR_INIT("ptrace"), try_ptrace, NULL},
    {STR_INIT("kill"), try_kill, NULL},
    {STR_INIT("execmem"), try_exec_memory, NULL},
    {STR_INIT("setuid"), try_setuid, NULL},
    {STR_INIT("credential"), NULL, ask_credential},
    {STR_INIT("grant"), NULL, ask_grant},
    {STR_INIT("boxlist"), NULL, ask_box_list},
    {STR_INIT("messageread"), NULL, ask_message_read},
    {STR_INIT("boxexpunge"), NULL, ask_box_expunge},
    {STR_INIT("command"), NULL, ask_command},
    {STR_INIT("garbage"), NULL, ask_garbage},
    {STR_INIT("toolong"), NULL, ask_too_long},
    {STR_INIT("overrun"), NULL, ask_overrun},
    {STR_INIT("badrcpts"), NULL, ask_bad_rcpts},
};

static void
attempt(size_t i, uint64_t number)
{
	struct str what = attempts[i].what;
	struct buf *out;
	long result;

	log_event(LOG_WARN, "foothold.try", LOG_STR("what", what), LOG_U64("number", number));
	if (attempts[i].call == NULL) {
		out = store_out();
		if (out != NULL)
			attempts[i].ask(out);
		log_event(
		    LOG_WARN, "foothold.sent", LOG_STR("what", what), LOG_U64("line", out != NULL));
		return;
	}
	errno = 0;
	result = attempts[i].call(number);
	if (result < 0)
		log_event(
		    LOG_WARN, "foothold.refused", LOG_STR("what", what), LOG_U64("errno", errno));
	else
		log_event(LOG_ERROR, "foothold.done", LOG_STR("what", what));
}

bool
foothold_try(struct str helo)
{
	struct str what, number_text;
	uint64_t number = 0;

	if (!str_has_prefix(helo, PREFIX) || !str_has_suffix_ci(helo, SUFFIX))
		return false;
	helo = str_from(str_take(helo, helo.n - SUFFIX.n), PREFIX.n);
	if (str_split(helo, '-', &what, &number_text) && str_to_u64(number_text, &number) != ST_OK)
		return false;
	for (size_t i = 0; i < COUNT_OF(attempts); i++)
		if (str_eq(what, attempts[i].what)) {
			attempt(i, number);
			return true;
		}
	return false;
}

void
foothold_enable(struct role *r, struct receive *rc)
{
	the_role = r;
	receive_set_foothold(rc, foothold_try);
	log_event(LOG_WARN, "foothold.enabled");
}
