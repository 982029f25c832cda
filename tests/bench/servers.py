"""The servers that are measured, each with the folder it lives in and the configuration it ran with."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

import meter

DOMAIN = "bench.test"
USER = f"u@{DOMAIN}"
PASSWORD = "a long enough word for benchmarks"
START_SECONDS = 30


def wait_port(port):
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as s:
                s.recv(100)
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing answers on port {port}")


def expect_free(port):
    """Else we would measure, and load, somebody else's server."""
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"port {port} is taken: is another benchmark running? (--ports N)")


def wait_listening(port):
    """For a server that says nothing first."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


class Posthorn:
    """The program under test with the configuration that quickstart writes, plus `extra` lines."""

    name = "posthorn"

    def __init__(self, program, folder, offset=21000, extra="", users=0):
        self.program, self.folder, self.offset = program, pathlib.Path(folder), offset
        self.extra, self.users, self.group = extra, users, None
        self.smtp_port, self.pop3_port, self.pop3s_port = 25 + offset, 110 + offset, 995 + offset

    def command(self, *words, input_text=None, timeout=60):
        return subprocess.run(
            [self.program, *words, "--dir", str(self.folder)], input=input_text, text=True,
            capture_output=True, check=True, timeout=timeout,
        ).stdout

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.command(
            "quickstart", USER, "--hostname", f"mx.{DOMAIN}", "--listen", "127.0.0.1",
            "--port-offset", str(self.offset), "--resolver", "127.0.0.1:9", "--password-stdin",
            "--yes", input_text=PASSWORD + "\n",
        )
        self.plain = (self.folder / "posthorn.conf").read_text()
        self.set_extra(self.extra)
        self.resume()
        for i in range(self.users):
            self.command("account", "add", f"u{i}@{DOMAIN}", "--password-stdin", input_text=PASSWORD + "\n")

    def set_extra(self, extra):
        self.extra = extra
        (self.folder / "posthorn.conf").write_text(self.plain + (f"\n{extra}\n" if extra else ""))

    def reload(self):
        self.command("reload")

    def resume(self):
        """Start on the folder as it is."""
        expect_free(self.smtp_port)
        self.group = meter.Group("posthorn")
        self.log = open(self.folder / "bench.log", "a", encoding="utf-8")
        self.group.start([self.program, "serve", "--dir", str(self.folder)], stdout=self.log, stderr=self.log)
        wait_port(self.smtp_port)
        wait_port(self.pop3_port)

    def stop(self):
        try:
            self.command("stop")
            self.group.process.wait(20)
        except (subprocess.SubprocessError, OSError):
            pass
        self.group.stop()
        self.log.close()

    def status(self):
        return json.loads(self.command("status", "--json"))

    def detail(self, role):
        """What a role tells of itself, all its processes."""
        return [r.get("detail", {}) for r in self.status()["rows"] if r["role"].split(".")[0] == role]

    def is_delivered(self):
        """Acknowledged mail is in the mailbox; what may be outstanding is its digests."""
        return self.detail("store")[0].get("digests_waiting", 1) == 0

    def is_queue_empty(self):
        return self.detail("queue")[0].get("entries", 1) == 0

    def mailbox_count(self):
        with socket.create_connection(("127.0.0.1", self.pop3_port), 30) as s:
            f = s.makefile("rwb")
            f.readline()
            for line in (f"USER {USER}", f"PASS {PASSWORD}", "STAT"):
                f.write(line.encode() + b"\r\n")
                f.flush()
                reply = f.readline()
                if not reply.startswith(b"+OK"):
                    raise SystemExit(f"POP3 said {reply!r}")
            return int(reply.split()[1])

    def configuration(self):
        lines = (self.folder / "posthorn.conf").read_text().splitlines()
        return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))

    def wait_rest(self, limit_s):
        """Checkpoints come within 5 s; compression begins when nothing came for 30 s."""
        return self.group.wait_idle(33, limit_s)

    def wait_rest_of(self, window_s, limit_s):
        """Without the compression."""
        return self.group.wait_idle(window_s, limit_s)


POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
maillog_file = {folder}/maillog
maillog_file_prefixes = {folder}
myhostname = peer.{domain}
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
message_size_limit = 52428800
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = static:u/
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
virtual_transport = virtual
virtual_mailbox_limit = 0
default_process_limit = 600
in_flow_delay = 0
"""


class Postfix:
    """Debian's Postfix: queue and Maildir synced to disk, no chroot, 600 processes allowed."""

    name = "postfix"

    def __init__(self, folder, port=22525, extra="", milter=None):
        self.folder, self.smtp_port, self.extra, self.milter, self.group = pathlib.Path(folder), port, extra, milter, None

    def start(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("etc", "spool", "data", "mail"):
            (self.folder / name).mkdir(parents=True)
        shutil.chown(self.folder / "data", "postfix")
        os.chown(self.folder / "mail", 5000, 5000)
        self.set_extra(self.extra)
        (self.folder / "etc" / "master.cf").write_text(self.master())
        expect_free(self.smtp_port)
        self.group = meter.Group("postfix")
        if self.milter:
            self.milter.start(self.group)
        self.group.start(
            ["postfix", "-c", str(self.folder / "etc"), "start"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ).wait(START_SECONDS)
        wait_port(self.smtp_port)

    def main_cf(self):
        return POSTFIX_MAIN.format(folder=self.folder, domain=DOMAIN) + self.extra + (self.milter.postfix_lines() if self.milter else "")

    def set_extra(self, extra):
        self.extra = extra
        (self.folder / "etc" / "main.cf").write_text(self.main_cf())

    def reload(self):
        subprocess.run(["postfix", "-c", str(self.folder / "etc"), "reload"], capture_output=True, check=True)

    def master(self):
        """Debian's own table with our port, nothing chrooted."""
        out = []
        for line in pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            fields = line.split()
            if len(fields) >= 8 and line[0] not in "# \t":
                if fields[0] == "smtp" and fields[1] == "inet":
                    fields[0] = f"127.0.0.1:{self.smtp_port}"
                fields[4] = "n"
                line = " ".join(fields)
            out.append(line)
        return "\n".join(out) + "\n"

    def stop(self):
        subprocess.run(["postfix", "-c", str(self.folder / "etc"), "stop"], capture_output=True, check=False)
        time.sleep(0.5)
        self.group.stop()
        if self.milter:
            self.milter.clean()

    def wait_rest(self, limit_s):
        return self.group.wait_idle(2, limit_s)

    def is_delivered(self):
        for queue in ("incoming", "active", "deferred", "maildrop"):
            for _, _, files in os.walk(self.folder / "spool" / queue):
                if files:
                    return False
        return True

    # A message that is being sent stands in `active`.
    is_queue_empty = is_delivered

    def mailbox_count(self):
        return len(os.listdir(self.folder / "mail" / "u" / "new"))

    def configuration(self):
        return self.main_cf() + (self.milter.configuration() if self.milter else "")


OPENDKIM = """\
Mode s
Domain {domain}
Selector rsa
KeyFile {folder}/rsa.pem
Canonicalization relaxed/relaxed
Socket inet:{port}@127.0.0.1
InternalHosts 127.0.0.1
UserID opendkim
Syslog no
Background no
RequireSafeKeys no
"""


class OpenDkim:
    """What signs beside Postfix: opendkim as its milter, one RSA key of 2048 bits. It runs in Postfix's group, so its CPU is Postfix's."""

    def __init__(self, folder, domain, port=22891):
        self.folder, self.domain, self.port = pathlib.Path(folder), domain, port

    def start(self, group):
        self.clean()
        expect_free(self.port)
        self.folder.mkdir(parents=True)
        key = self.folder / "rsa.pem"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], capture_output=True, check=True)
        shutil.chown(key, "opendkim")
        (self.folder / "opendkim.conf").write_text(self.text())
        group.start(["opendkim", "-x", str(self.folder / "opendkim.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_listening(self.port)

    def text(self):
        return OPENDKIM.format(domain=self.domain, folder=self.folder, port=self.port)

    def clean(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def postfix_lines(self):
        return f"smtpd_milters = inet:127.0.0.1:{self.port}\nmilter_default_action = tempfail\n"

    def configuration(self):
        return "\nopendkim:\n" + self.text()
