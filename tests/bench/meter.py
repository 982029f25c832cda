"""
What a whole server costs: CPU and memory over all its processes.

A server is started in a control group of its own, so that children which ended and daemons which
left their parent still count. Where no group can be made (not root, no cgroup mounted) the process
tree is summed from /proc instead; `Group.how` says which it was.
"""

import os
import pathlib
import signal
import subprocess
import time

V1 = pathlib.Path("/sys/fs/cgroup/cpuacct")
V2 = pathlib.Path("/sys/fs/cgroup")
TICKS = os.sysconf("SC_CLK_TCK")


def read_stat(pid):
    """(parent, CPU seconds including children that ended), or None when it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), sum(int(x) for x in fields[11:15]) / TICKS


def pss_of(pid):
    """Bytes, what is shared divided by who shares it; 0 when it is gone."""
    try:
        for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class Group:
    """One server's processes."""

    def __init__(self, name):
        self.root = None
        self.process = None
        base = V1 if V1.is_dir() else V2
        folder = base / f"posthorn-bench-{name}-{os.getpid()}"
        try:
            folder.mkdir()
            if not (folder / "cgroup.procs").exists():
                raise OSError("not a control group")
            self.root = folder
            self.how = f"cgroup ({'v1 cpuacct' if base == V1 else 'v2 cpu.stat'})"
        except OSError:
            self.how = "/proc (a tick is 10 ms)"

    def start(self, command, **kwargs):
        def enter():
            if self.root:
                (self.root / "cgroup.procs").write_text(str(os.getpid()))

        self.process = subprocess.Popen(command, preexec_fn=enter, **kwargs)
        return self.process

    def pids(self):
        if self.root:
            return [int(p) for p in (self.root / "cgroup.procs").read_text().split()]
        tree, found = {}, []
        for p in filter(str.isdigit, os.listdir("/proc")):
            stat = read_stat(p)
            if stat:
                tree.setdefault(stat[0], []).append(int(p))
        todo = [self.process.pid] if self.process and self.process.poll() is None else []
        while todo:
            found.append(todo.pop())
            todo += tree.get(found[-1], [])
        return found

    def cpu_seconds(self):
        if self.root is None:
            return sum(stat[1] for stat in map(read_stat, self.pids()) if stat)
        if (self.root / "cpuacct.usage").exists():
            return int((self.root / "cpuacct.usage").read_text()) / 1e9
        for line in (self.root / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
        raise OSError("cpu.stat has no usage_usec")

    def pss_bytes(self):
        return sum(map(pss_of, self.pids()))

    def wait_idle(self, window_s, limit_s, share=0.01):
        """
        Until it used less than `share` of a CPU for window_s: the seconds until that began, or None
        when it did not come to rest.
        """
        began = time.monotonic()
        end = time.monotonic() + limit_s
        quiet_since, last_t, last_cpu = time.monotonic(), time.monotonic(), self.cpu_seconds()
        while time.monotonic() < end:
            time.sleep(0.25)
            now, cpu = time.monotonic(), self.cpu_seconds()
            if cpu - last_cpu > share * (now - last_t):
                quiet_since = now
            if now - quiet_since >= window_s:
                return quiet_since - began
            last_t, last_cpu = now, cpu
        return None

    def stop(self):
        """End what is left, by pid, and remove the group. May be called again."""
        if self.root and not self.root.exists():
            return
        for sig in (signal.SIGTERM, signal.SIGKILL):
            for _ in range(50):
                pids = self.pids()
                for pid in pids:
                    try:
                        os.kill(pid, sig)
                    except ProcessLookupError:
                        pass
                if self.process:
                    self.process.poll()
                if not pids:
                    break
                time.sleep(0.1)
        if self.root:
            try:
                self.root.rmdir()
            except OSError:
                pass


def machine_cpu_seconds():
    """(busy, stolen) seconds of all CPUs since boot: what else ran beside us."""
    fields = [int(x) / TICKS for x in open("/proc/stat").readline().split()[1:]]
    return fields[0] + fields[1] + fields[2] + fields[5] + fields[6], fields[7]
