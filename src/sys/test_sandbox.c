/* The sandbox: what a confined process may still do, and what ends it. Each attempt is a process of its own. */
#include "base/unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "sys/sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

enum { TEST_UID = 60799, NOBODY = 65534 };

static char empty_dir[64], data_dir[64];
static int given_fds[2];

enum outcome { DID, REFUSED, KILLED, BROKEN };

typedef bool attempt_fn(const char *root);

/* Runs attempt inside the sandbox in a child. as_root: started as root (when we are). */
static enum outcome
sandboxed(attempt_fn *attempt, unsigned allow, bool as_root)
{
	pid_t pid = fork();
	int wait_status;

	if (pid == 0) {
		const char *root;
		struct buf report;
		struct sandbox_options o = {
		    .allow = allow, .root_dir = allow & SANDBOX_FILES ? data_dir : empty_dir, .uid = TEST_UID};
		buf_init(&report, SANDBOX_REPORT_MAX);
		if (!as_root && geteuid() == 0 && (setresgid(NOBODY, NOBODY, NOBODY) != 0 || setresuid(NOBODY, NOBODY, NOBODY) != 0))
			_exit(BROKEN);
		if (sandbox_confine(&o, &root, &report) != ST_OK || sandbox_lock(&o, &report) != ST_OK)
			_exit(BROKEN);
		_exit(attempt(root) ? DID : REFUSED);
	}
	if (waitpid(pid, &wait_status, 0) != pid)
		return BROKEN;
	if (WIFSIGNALED(wait_status))
		return WTERMSIG(wait_status) == SIGSYS ? KILLED : BROKEN;
	return (enum outcome)WEXITSTATUS(wait_status);
}

static bool
never(attempt_fn *attempt, unsigned allow)
{
	enum outcome a = sandboxed(attempt, allow, true), b = sandboxed(attempt, allow, false);

	return (a == REFUSED || a == KILLED) && (b == REFUSED || b == KILLED);
}

static bool
always(attempt_fn *attempt, unsigned allow)
{
	return sandboxed(attempt, allow, true) == DID && sandboxed(attempt, allow, false) == DID;
}

static bool
reads_passwd(const char *root)
{
	(void)root;
	return open("/etc/passwd", O_RDONLY) >= 0;
}

static bool
writes_data(const char *root)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%u", root, (unsigned)getuid());
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	return fd >= 0 && write(fd, "x", 1) == 1 && fdatasync(fd) == 0;
}

static bool
connects(const char *root)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(25)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)root;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
}

static bool
makes_a_socket(const char *root)
{
	(void)root;
	return socket(AF_INET, SOCK_DGRAM, 0) >= 0;
}

static bool
sends_to_an_address(const char *root)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(25)};

	(void)root;
	return sendto(given_fds[0], "x", 1, 0, (const struct sockaddr *)&a, sizeof(a)) == 1;
}

static bool
uses_what_it_was_given(const char *root)
{
	char c;

	(void)root;
	return send(given_fds[0], "x", 1, MSG_NOSIGNAL) == 1 && recv(given_fds[1], &c, 1, 0) == 1;
}

static bool
traces_its_parent(const char *root)
{
	(void)root;
	return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0;
}

static bool
signals_its_parent(const char *root)
{
	(void)root;
	return kill(getppid(), 0) == 0;
}

static bool
executes(const char *root)
{
	char name[] = "true", *argv[] = {name, NULL};

	(void)root;
	execv("/bin/true", argv);
	return false;
}

static bool
forks(const char *root)
{
	(void)root;
	return fork() >= 0;
}

static bool
maps_executable(const char *root)
{
	(void)root;
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool
becomes_root(const char *root)
{
	(void)root;
	return setuid(0) == 0;
}

static bool
leaves_its_root(const char *root)
{
	(void)root;
	return chroot("/proc/1/root") == 0;
}

static bool
allocates(const char *root)
{
	void *p = malloc(50 << 20);

	(void)root;
	if (p == NULL)
		return false;
	memset(p, 1, 50 << 20);
	free(p);
	return true;
}

static void
files_are_out_of_reach(void)
{
	EXPECT(never(reads_passwd, 0));
	EXPECT(never(reads_passwd, SANDBOX_ACCEPT));
	EXPECT(never(reads_passwd, SANDBOX_FILES));
	EXPECT(never(writes_data, 0));
	EXPECT(always(writes_data, SANDBOX_FILES));
}

static void
the_network_is_out_of_reach(void)
{
	EXPECT(never(connects, 0));
	EXPECT(never(connects, SANDBOX_ACCEPT));
	EXPECT(never(connects, SANDBOX_FILES));
	EXPECT(never(makes_a_socket, SANDBOX_ACCEPT));
	EXPECT(never(sends_to_an_address, SANDBOX_ACCEPT));
	EXPECT(always(makes_a_socket, SANDBOX_CONNECT));
}

static void
other_processes_are_out_of_reach(void)
{
	/* A sanitizer's run-time forks a symbolizer and traces it: its build allows that, and shows nothing here. */
	if (!HAS_SANITIZER) {
		EXPECT(never(traces_its_parent, 0));
		EXPECT(never(signals_its_parent, 0));
		EXPECT(never(executes, SANDBOX_FILES));
		EXPECT(never(forks, 0));
		EXPECT(never(maps_executable, 0));
	}
	EXPECT(never(becomes_root, 0));
	EXPECT(never(leaves_its_root, SANDBOX_FILES));
}

static void
what_it_needs_works(void)
{
	EXPECT(always(uses_what_it_was_given, 0));
	EXPECT(always(allocates, 0));
}

static void
root_is_refused_as_a_uid(void)
{
	const char *root;
	struct buf report;
	struct sandbox_options o = {.root_dir = empty_dir, .uid = 0};
	pid_t pid;
	int wait_status;

	if (geteuid() != 0)
		return;
	pid = fork();
	if (pid == 0) {
		buf_init(&report, SANDBOX_REPORT_MAX);
		_exit(sandbox_confine(&o, &root, &report) == ST_DENIED ? 0 : 1);
	}
	EXPECT(waitpid(pid, &wait_status, 0) == pid && WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0);
}

static void
folders_make(void)
{
	snprintf(empty_dir, sizeof(empty_dir), "/tmp/posthorn-empty-XXXXXX");
	snprintf(data_dir, sizeof(data_dir), "/tmp/posthorn-data-XXXXXX");
	if (mkdtemp(empty_dir) == NULL || mkdtemp(data_dir) == NULL || chmod(empty_dir, 0555) != 0 ||
	    chmod(data_dir, 0777) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, given_fds) != 0) {
		perror("test_sandbox");
		exit(1);
	}
}

int
main(void)
{
	char made[80];

	folders_make();
	UNIT(files_are_out_of_reach);
	UNIT(the_network_is_out_of_reach);
	UNIT(other_processes_are_out_of_reach);
	UNIT(what_it_needs_works);
	UNIT(root_is_refused_as_a_uid);
	const unsigned uids[] = {TEST_UID, NOBODY, (unsigned)getuid()};
	for (size_t i = 0; i < COUNT_OF(uids); i++) {
		snprintf(made, sizeof(made), "%s/%u", data_dir, uids[i]);
		unlink(made);
	}
	rmdir(data_dir);
	rmdir(empty_dir);
	return unit_end();
}
