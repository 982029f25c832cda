#include "sys/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"

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

/* ---- namespaces, root, uid ---- */

static bool
file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = str_of_c(text).n;
	bool ok = fd >= 0 && write(fd, text, n) == (ssize_t)n;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* A user namespace in which we are still ourselves: it gives chroot and further namespaces without privilege. */
static bool
user_namespace_enter(void)
{
	unsigned uid = (unsigned)getuid(), gid = (unsigned)getgid();
	char map[64];

	if (unshare(CLONE_NEWUSER) != 0)
		return false;
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	if (!file_put("/proc/self/uid_map", map))
		return false;
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return file_put("/proc/self/setgroups", "deny") && file_put("/proc/self/gid_map", map);
}

static bool
network_leave(void)
{
	/* An empty network namespace: sockets we were given go on working, new ones reach nothing. */
	return unshare(CLONE_NEWNET | CLONE_NEWIPC) == 0;
}

static bool
uid_drop(uint32_t uid)
{
	if (uid == 0 || setgroups(0, NULL) != 0 || setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0)
		return false;
	/* The negative space: the way back must be closed. */
	return setuid(0) != 0 && setgid(0) != 0;
}

static void
capabilities_drop(void)
{
	for (unsigned long cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			break;
	/* struct __user_cap_header and data, version 3, all empty. */
	uint32_t header[2] = {0x20080522, 0};
	uint32_t data[6] = {0};
	(void)syscall(SYS_capset, header, data);
}

/* ---- Landlock: files, and from version 4 on TCP, version 6 signals and abstract sockets ---- */

#define LL_FS_V1 ((1ull << 13) - 1)

static int
landlock_abi(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t
landlock_fs_rights(int abi)
{
	/* version 2 adds REFER (bit 13), 3 TRUNCATE (14), 5 IOCTL_DEV (15). */
	return LL_FS_V1 | (abi >= 2 ? 1ull << 13 : 0) | (abi >= 3 ? 1ull << 14 : 0) | (abi >= 5 ? 1ull << 15 : 0);
}

static bool
landlock_enter(int abi, bool may_connect, const char *beneath)
{
	/* handled_access_fs, handled_access_net, scoped: older kernels take the shorter struct. */
	uint64_t attr[3] = {landlock_fs_rights(abi), may_connect ? 0 : 3, 3};
	size_t attr_n = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
	int rules = (int)syscall(SYS_landlock_create_ruleset, attr, attr_n, 0);
	bool ok = rules >= 0;

	if (ok && beneath != NULL) {
		struct landlock_path_beneath_attr path = {.allowed_access = attr[0]};
		path.parent_fd = open(beneath, O_PATH | O_CLOEXEC);
		ok = path.parent_fd >= 0 &&
		    syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &path, 0) == 0;
		if (path.parent_fd >= 0)
			close(path.parent_fd);
	}
	ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	if (rules >= 0)
		close(rules);
	return ok;
}

static void
limits_set(const struct sandbox_options *o)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	/* A role without files may not make one grow either. Not for sanitizer builds, whose reports may go to a file. */
	if ((o->allow & SANDBOX_FILES) == 0 && !HAS_SANITIZER)
		setrlimit(RLIMIT_MEMLOCK, &none);
}

enum status
sandbox_confine(const struct sandbox_options *o, const char **root_out, struct buf *report)
{
	bool is_root = geteuid() == 0;
	bool may_connect = (o->allow & SANDBOX_CONNECT) != 0;
	bool has_ns = is_root || user_namespace_enter();
	bool no_net = has_ns && !may_connect && network_leave();
	bool new_root = has_ns && chroot(o->root_dir) == 0 && chdir("/") == 0;
	int abi;

	*root_out = new_root ? "/" : o->root_dir;
	if (is_root && (!new_root || !uid_drop(o->uid)))
		return ST_DENIED;
	capabilities_drop();
	limits_set(o);
	/* Also hides /proc/PID/mem and ptrace from other processes of the same uid. */
	/* Changing uid forgot that we end with our parent. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return ST_DENIED;
	abi = landlock_abi();
	if (abi > 0 && !landlock_enter(abi, may_connect, o->allow & SANDBOX_FILES ? *root_out : NULL))
		abi = -1;
	(void)buf_putf(report, "uid %u%s, %s, %s", (unsigned)getuid(), is_root ? "" : " (shared)",
	    !new_root                      ? "no own root (no user namespace here)"
	    : (o->allow & SANDBOX_FILES) ? "root is its data folder"
	                                   : "empty root",
	    may_connect ? "network for its peers" : no_net ? "no network" : "network refused by seccomp");
	if (abi > 0)
		(void)buf_putf(report, ", Landlock %d", abi);
	else
		(void)buf_put(report, STR(", no Landlock on this kernel"));
	return ST_OK;
}

/* ---- seccomp ---- */

#define SC(name) SCMP_SYS(name)

static const int calls_all[] = {SC(read), SC(write), SC(readv), SC(writev), SC(close), SC(recvmsg), SC(sendmsg),
    SC(recvfrom), SC(epoll_wait), SC(epoll_pwait), SC(epoll_ctl), SC(poll), SC(ppoll), SC(futex), SC(brk),
    SC(munmap), SC(mremap), SC(madvise), SC(exit), SC(exit_group), SC(rt_sigreturn), SC(rt_sigprocmask),
    SC(rt_sigaction), SC(clock_gettime), SC(clock_nanosleep), SC(nanosleep), SC(gettimeofday), SC(time),
    SC(getrandom), SC(getpid), SC(gettid), SC(tgkill), SC(restart_syscall), SC(sched_yield), SC(fstat),
    SC(newfstatat), SC(lseek), SC(sysinfo), SC(getrusage), SC(rseq), SC(set_robust_list), SC(membarrier),
    SC(sigaltstack), SC(shutdown), SC(getuid), SC(geteuid), SC(getsockopt), SC(fcntl), SC(eventfd2)};
static const int calls_accept[] = {SC(accept4), SC(setsockopt), SC(getsockname), SC(getpeername)};
static const int calls_files[] = {SC(open), SC(openat), SC(pread64), SC(pwrite64), SC(preadv), SC(pwritev),
    SC(fdatasync), SC(fsync), SC(ftruncate), SC(fallocate), SC(unlink), SC(unlinkat), SC(rename), SC(renameat),
    SC(renameat2), SC(mkdir), SC(mkdirat), SC(getdents64), SC(statfs), SC(fstatfs), SC(stat), SC(lstat), SC(statx),
    SC(flock), SC(fchmod), SC(msync), SC(access), SC(faccessat), SC(faccessat2), SC(dup), SC(fadvise64),
    SC(sync_file_range), SC(umask), SC(uname), SC(copy_file_range), SC(sched_getaffinity), SC(sched_setscheduler)};
static const int calls_connect[] = {SC(connect), SC(bind), SC(setsockopt), SC(getsockname), SC(getpeername),
    SC(sendto), SC(sendmmsg), SC(recvmmsg), SC(ioctl)};
/* What a sanitizer's run-time calls, above all when it prints a report. */
static const int calls_sanitizer[] = {SC(open), SC(openat), SC(readlink), SC(readlinkat), SC(stat), SC(getdents64),
    SC(sched_getaffinity), SC(prctl), SC(getppid), SC(clone), SC(clone3), SC(wait4), SC(pipe), SC(pipe2), SC(dup2),
    SC(execve), SC(getcwd), SC(personality), SC(ptrace), SC(process_vm_readv), SC(kill), SC(getrlimit),
    SC(prlimit64), SC(uname), SC(mprotect), SC(mmap), SC(arch_prctl), SC(set_tid_address), SC(pread64), SC(access),
    SC(ioctl), SC(unlink), SC(dup)};

struct filter {
	scmp_filter_ctx ctx;
	unsigned n;
	bool ok;
};

static void
filter_allow(struct filter *f, const int *calls, size_t n)
{
	for (size_t i = 0; i < n && f->ok; i++) {
		/* A call this architecture lacks is no error; one that stands in two lists is counted once. */
		if (calls[i] < 0)
			continue;
		f->ok = seccomp_rule_add(f->ctx, SCMP_ACT_ALLOW, calls[i], 0) == 0;
		f->n++;
	}
}

/* Memory may be mapped and reprotected, but never executable. */
static void
filter_allow_memory(struct filter *f)
{
	struct scmp_arg_cmp no_exec = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);

	f->ok = f->ok && seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, SC(mmap), 1, &no_exec) == 0 &&
	    seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, SC(mprotect), 1, &no_exec) == 0;
	f->n += 2;
}

static void
filter_allow_network(struct filter *f, unsigned allow)
{
	/* send() on a connected socket is sendto without an address. */
	struct scmp_arg_cmp no_addr = SCMP_A4_64(SCMP_CMP_EQ, 0, 0);

	if ((allow & SANDBOX_ACCEPT) != 0)
		filter_allow(f, calls_accept, COUNT_OF(calls_accept));
	if ((allow & SANDBOX_CONNECT) == 0) {
		f->ok = f->ok && seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, SC(sendto), 1, &no_addr) == 0;
		f->n++;
		return;
	}
	filter_allow(f, calls_connect, COUNT_OF(calls_connect));
	for (unsigned long family = AF_INET; f->ok && family <= AF_INET6; family += AF_INET6 - AF_INET) {
		struct scmp_arg_cmp is_family = SCMP_A0_64(SCMP_CMP_EQ, family, 0);
		f->ok = seccomp_rule_add_array(f->ctx, SCMP_ACT_ALLOW, SC(socket), 1, &is_family) == 0;
	}
	/* Looking for a netlink or Unix socket is answered, not punished. */
	struct scmp_arg_cmp is_other = SCMP_A0_64(SCMP_CMP_GT, AF_INET6, 0);
	f->ok = f->ok && seccomp_rule_add_array(f->ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SC(socket), 1, &is_other) == 0;
	f->n++;
}

enum status
sandbox_lock(const struct sandbox_options *o, struct buf *report)
{
	struct filter f = {.ctx = seccomp_init(SCMP_ACT_KILL_PROCESS), .ok = true};

	if (f.ctx == NULL) {
		(void)buf_put(report, STR(", no seccomp on this kernel"));
		return ST_OK;
	}
	f.ok = seccomp_attr_set(f.ctx, SCMP_FLTATR_CTL_TSYNC, 1) == 0;
	filter_allow(&f, calls_all, COUNT_OF(calls_all));
	filter_allow_memory(&f);
	filter_allow_network(&f, o->allow);
	if ((o->allow & SANDBOX_FILES) != 0)
		filter_allow(&f, calls_files, COUNT_OF(calls_files));
	if (HAS_SANITIZER)
		filter_allow(&f, calls_sanitizer, COUNT_OF(calls_sanitizer));
	else if ((o->allow & SANDBOX_CONNECT) == 0)
		/* stdio asks whether stderr is a terminal. */
		f.ok = f.ok && seccomp_rule_add(f.ctx, SCMP_ACT_ERRNO(ENOTTY), SC(ioctl), 0) == 0;
	f.ok = f.ok && seccomp_load(f.ctx) == 0;
	seccomp_release(f.ctx);
	if (!f.ok) {
		(void)buf_put(report, STR(", seccomp failed"));
		return ST_DENIED;
	}
	(void)buf_putf(report, ", seccomp (%u calls)", f.n);
	return ST_OK;
}
