"""
What the scenario and interop scripts share: a server of their own, clients that notice what real ones forgive, and
a runner that prints one line per test.

    import posthorn
    def test_something():
        with posthorn.Server() as server: ...
    posthorn.main(globals())

A Server is made by `posthorn quickstart` in a new folder, on loopback and free ports, and is gone at the end of its
`with`: first asked to stop, then killed, by its own process id. When a test fails the end of the server's log is printed.
Needs nothing but Python's standard library and $POSTHORN.
"""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import poplib
import pwd
import random
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("POSTHORN", str(ROOT / "build" / "posthorn"))
HOSTNAME = "mail.example.test"
DOMAIN = "example.test"
ADDRESS = "alice@example.test"
PASSWORD = "correct horse battery"
PORTS = {"smtp": 25, "lmtp": 24, "pop3": 110, "pop3s": 995, "submission": 587, "submissions": 465}
READY_SECONDS = 20
STOP_SECONDS = 15
CLIENT_SECONDS = 20
LOG_LINES_SHOWN = 40
# The other user for a server that root starts without privileges.
OTHER_USER = "nobody"


class Skip(Exception):
    """The test cannot run here; the reason must stand in tests/expected-missing.txt."""


class Failed(AssertionError):
    """The server did something else than expected."""


def expect(condition, why):
    if not condition:
        raise Failed(why)


def expect_equal(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}: {shown(got)}, not {shown(wanted)}")


def shown(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]} ... {text[-80:]} ({len(text)} characters)"


def wait_until(condition, seconds, what):
    """The first true result of condition(). what: a text, or a function that makes it."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise Failed(f"not after {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.02)


# ---- running tests ----

servers = []


def main(namespace):
    """Runs every test_* of a module in its order; prints "ok", "not ok", "skip"; exits."""
    script = pathlib.Path(sys.argv[0]).name
    wanted = sys.argv[1:]
    failed = 0
    for key, function in list(namespace.items()):
        if not key.startswith("test_") or (wanted and key not in wanted):
            continue
        name = f"{script} {key.removeprefix('test_').replace('_', '-')}"
        began = time.monotonic()
        servers.clear()
        try:
            function()
            print(f"ok {name}", flush=True)
        except Skip as e:
            print(f"skip {name}: {e}", flush=True)
        except Exception as e:
            failed += 1
            print(f"not ok {name}: {str(e).splitlines()[0] if str(e) else type(e).__name__}")
            print(indented(traceback.format_exc()))
            for s in servers:
                print(indented(f"log of the server in {s.dir}:\n{s.log_end()}"), flush=True)
        if os.environ.get("POSTHORN_TIMES"):
            print(f"    {time.monotonic() - began:.1f} s", flush=True)
    sys.exit(1 if failed else 0)


def indented(text):
    return "\n".join("    " + line for line in text.rstrip().splitlines())


def is_root():
    return os.geteuid() == 0


def root_only():
    if not is_root():
        raise Skip("needs root")


def as_other_user():
    """The user for Server(user=...) that makes it run unprivileged, whoever we are."""
    return OTHER_USER if is_root() else None


# ---- the server ----

used_offsets = set()


def ports_are_free(offset):
    for port in PORTS.values():
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port + offset))
            except OSError:
                return False
    return True


def free_offset():
    """Below the range from which the kernel takes ports for connections."""
    rng = random.SystemRandom()
    while True:
        offset = rng.randrange(10000, 30000, 1000) + rng.randrange(0, 20)
        if offset not in used_offsets and ports_are_free(offset):
            used_offsets.add(offset)
            return offset


class Server:
    """
    config: settings to change, {"limits.command_timeout": "2s", "hostname": ...}, values as in the file.
    user: as whom (root only). files: RLIMIT_NOFILE of the server. dir: an existing folder to make it in. accounts: more addresses, all with PASSWORD.
    offset: what is added to the ports, else one that is free. resolver: "ADDRESS:PORT" of the DNS server to ask.
    """

    def __init__(self, config=None, user=None, single=False, files=None, dir=None, accounts=(), address=ADDRESS, start=True, listen="127.0.0.1", wrapper=(), binary=None, hostname=HOSTNAME, offset=None, resolver=None):
        self.user = user if is_root() else None
        self.config = config or {}
        self.single = single
        self.files = files
        self.address = address
        self.accounts = accounts
        self.is_started_at_once = start
        self.listen = listen
        self.wrapper = list(wrapper)
        self.binary = binary or BINARY
        self.own_dir = dir
        self.hostname = hostname
        self.offset = offset
        self.resolver = resolver
        # Where clients find it.
        self.host = listen if listen.startswith("127.") else "127.0.0.1"
        self.process = None
        self.base = None
        self.expected_code = 0

    # -- life --

    def __enter__(self):
        servers.append(self)
        try:
            self.make()
            if self.is_started_at_once:
                self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            if self.process is not None:
                code = self.stop(patient=kind is None)
                if kind is None and self.expected_code is not None:
                    expect_equal(code, self.expected_code, "exit code of the server")
        finally:
            self.remove()

    def make(self):
        # Short: the path of the control socket has 108 bytes.
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="ph-", dir="/tmp"))
        self.base.chmod(0o755)
        if self.user:
            # The build folder may be closed to that user.
            copy = self.base / "posthorn"
            shutil.copy(self.binary, copy)
            copy.chmod(0o755)
            self.binary = str(copy)
            home = pathlib.Path(self.own_dir) if self.own_dir else self.base
            os.chown(home, pwd.getpwnam(self.user).pw_uid, -1)
        self.dir = pathlib.Path(self.own_dir or self.base) / "d"
        self.log_path = self.base / "log"
        self.log_path.touch()
        self.offset = free_offset() if self.offset is None else self.offset
        self.port = {name: n + self.offset for name, n in PORTS.items()}
        self.command(
            "quickstart", self.address, "--hostname", self.hostname, "--listen", self.listen, "--port-offset",
            str(self.offset), "--password-stdin", "--yes", *(["--resolver", self.resolver] if self.resolver else []), input=PASSWORD + "\n",
        )
        self.configure(self.config)
        if any(name.startswith("store.ring") for name in self.config):
            self.make_store_again()
        for address in self.accounts:
            self.add_account(address)

    def make_store_again(self):
        """The ring keeps the size it was made with."""
        store = self.dir / "store"
        for path in store.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.command("domain", "add", self.address.partition("@")[2])
        self.add_account(self.address)

    def add_account(self, address, *options, password=PASSWORD):
        self.command("account", "add", address, "--password-stdin", *options, input=password + "\n")

    def argv(self, *words):
        prefix = []
        if self.user:
            prefix = ["setpriv", "--reuid", self.user, "--regid", "nogroup", "--clear-groups"]
        return prefix + [self.binary, *words, "--dir", str(self.dir)]

    def run(self, *words, input=""):
        """The command's result, whatever it is."""
        return subprocess.run(
            self.argv(*words), input=input, capture_output=True, text=True, timeout=60, cwd="/",
        )

    def command(self, *words, input=""):
        """The command's text; it must succeed."""
        r = self.run(*words, input=input)
        if r.returncode != 0:
            raise Failed(f"posthorn {' '.join(words)} ended with {r.returncode}: {r.stdout}{r.stderr}")
        return r.stdout

    def json(self, *words):
        return json.loads(self.command(*words, "--json"))

    def prepare_process(self):
        if self.files:
            import resource

            resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))

    def start(self, ready=True):
        words = ["serve"] + (["--single"] if self.single else [])
        self.log_start = self.log_path.stat().st_size
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.wrapper + self.argv(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                preexec_fn=self.prepare_process,
            )
        if ready:
            self.wait_ready()

    def wait_ready(self):
        def look():
            if "is ready" in self.log(self.log_start):
                return True
            if self.process.poll() is not None:
                raise Failed(f"the server ended with {self.process.returncode}: {self.log_end()}")
            return False

        wait_until(look, READY_SECONDS, "the server is ready")

    def stop(self, patient=True):
        """Asks, then forces. The exit code."""
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS if patient else 3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                if patient:
                    raise Failed(f"the server did not stop in {STOP_SECONDS} s")
        return process.returncode

    def kill(self):
        """Power cut, as far as a process can have one: the roles go with the parent."""
        pids = list(self.pids().values())
        self.process.kill()
        self.process.wait()
        self.process = None
        wait_until(lambda: not any(is_alive(p) for p in pids), 10, "the roles end with their parent")

    def remove(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self.base is not None:
            self.kept_log = self.log()
            if self.own_dir:
                shutil.rmtree(self.dir, ignore_errors=True)
            shutil.rmtree(self.base, ignore_errors=True)
            self.base = None

    # -- what it says --

    def log(self, start=0):
        if self.base is None:
            return self.kept_log[start:]
        with open(self.log_path, "rb") as f:
            f.seek(start)
            return f.read().decode(errors="replace")

    def log_end(self):
        lines = [l for l in self.log().splitlines() if "role.ready" not in l]
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def status(self):
        return self.json("status")

    def rows(self):
        return {row["role"]: row for row in self.status()["rows"]}

    def pids(self):
        return {name: row["pid"] for name, row in self.rows().items()}

    def wait_up(self, seconds=20):
        """Until every role is up and tells its state."""

        def look():
            r = self.run("status", "--json")
            if r.returncode != 0:
                return False
            rows = json.loads(r.stdout)["rows"]
            return rows if rows and all(row["state"] == "up" for row in rows) else False

        return wait_until(look, seconds, "all roles are up")

    def kill_role(self, name, number=signal.SIGKILL):
        os.kill(self.pids()[name], number)

    @contextlib.contextmanager
    def calm(self):
        """Nothing inside may end a role."""
        before = self.pids()
        yield
        expect_equal(self.pids(), before, "processes of the roles")

    # -- its configuration --

    def configure(self, settings):
        """Sets them in the file; a server that runs is not told."""
        path = self.dir / "posthorn.conf"
        text = path.read_text()
        for name, value in settings.items():
            text = config_set(text, name, str(value))
        path.write_text(text)

    # -- clients --

    def smtp(self, port="smtp", **kw):
        kw.setdefault("host", self.host)
        if port == "submissions":
            kw.setdefault("tls", self.tls())
        return Smtp(self.port[port], lmtp=port == "lmtp", **kw)

    def send(self, message, to=None, sender="sender@client.test", port="smtp"):
        """One message; bytes with CRLF."""
        with self.smtp(port) as c:
            c.hello()
            c.message(message, [to or self.address], sender)

    @contextlib.contextmanager
    def submission(self, user=None, password=PASSWORD, port="submissions"):
        """A session of a mail client that is logged in."""
        with self.smtp(port) as c:
            c.hello()
            if port == "submission":
                c.command("STARTTLS", "220")
                c.start_tls(self.tls())
                c.hello()
            c.command(f"AUTH PLAIN {plain(user or self.address, password)}", "235")
            yield c

    def submit(self, message, to, sender=None, mail="", rcpt="", **kw):
        """One message by a mail client; mail and rcpt: parameters of MAIL and of each RCPT."""
        with self.submission(sender, **kw) as c:
            c.envelope(to, self.address if sender is None else sender, mail, rcpt)
            c.command("DATA", "354")
            c.send(stuffed(message))
            return c.expect("250")

    def pop(self, user=None, password=PASSWORD, port="pop3s", host=None):
        host = host or self.host
        if port == "pop3s":
            p = poplib.POP3_SSL(host, self.port["pop3s"], timeout=CLIENT_SECONDS, context=self.tls())
        else:
            p = poplib.POP3(host, self.port["pop3"], timeout=CLIENT_SECONDS)
        poplib._MAXLINE = 1 << 20
        if user is not False:
            try:
                p.user(user or self.address)
                p.pass_(password)
            except BaseException:
                p.close()
                raise
        return Pop(p)

    def tls(self):
        """A context that trusts the server's own certificates, and nobody else."""
        context = ssl.create_default_context(cafile=None)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        for chain in sorted((self.dir / "keys").glob("*.pem")):
            context.load_verify_locations(chain)
        return context

    def mail(self, user=None):
        """All messages of a mailbox as bytes."""
        with self.pop(user) as p:
            return p.all()


def config_set(text, name, value):
    """Changes `section.name` or `name` in the text of a configuration file, commented out or not."""
    section, _, key = name.rpartition(".")
    lines, inside, found = [], "", False
    for line in text.splitlines():
        m = re.match(r"(\w+)\s*\{", line)
        if m:
            inside = m.group(1)
        elif line.startswith("}"):
            inside = ""
        m = re.match(rf"(\s*)#?{re.escape(key)} =", line)
        if m and inside == section and not found:
            line, found = f"{m.group(1)}{key} = {value}", True
        lines.append(line)
    expect(found, f"the configuration file has no setting {name}")
    return "\n".join(lines) + "\n"


def is_alive(pid):
    """Not when it is only a remainder that nobody has waited for."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# ---- clients ----


class Wire:
    """A socket with lines. What is sent goes out as given; what comes must come in time."""

    def __init__(self, port, host="127.0.0.1", source=None, seconds=CLIENT_SECONDS, tls=None):
        self.sock = socket.create_connection((host, port), timeout=seconds, source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept = b""
        if tls is not None:
            self.start_tls(tls)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def send_in_pieces(self, data, rng):
        """Cut at random places, so that the server's reads are, too."""
        at = 0
        while at < len(data):
            n = rng.choice((1, 1, 2, 3, 7, 40, 300, 4000))
            self.sock.sendall(data[at : at + n])
            at += n
            if rng.random() < 0.3:
                time.sleep(0.0005)

    def fill(self):
        """False at the end of the connection, however it ended."""
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return False
        self.kept += data
        return bool(data)

    def line(self):
        """Without its CRLF; None at the end of the connection."""
        while b"\r\n" not in self.kept:
            if not self.fill():
                return None
        line, _, self.kept = self.kept.partition(b"\r\n")
        return line

    def is_closed(self):
        """Waits for the end of the connection; what came before it is dropped."""
        while self.fill():
            self.kept = b""
        return True

    def start_tls(self, context):
        self.sock = context.wrap_socket(self.sock, server_hostname=HOSTNAME)


class Smtp(Wire):
    """An SMTP or LMTP client that can break every rule."""

    def __init__(self, port, lmtp=False, greet=True, **kw):
        super().__init__(port, **kw)
        self.lmtp = lmtp
        if greet:
            self.expect("220")

    def reply(self):
        """(code, all lines without code); (None, []) at the end of the connection."""
        lines = []
        while True:
            line = self.line()
            if line is None:
                return None, lines
            lines.append(line[4:].decode("latin-1"))
            if line[3:4] != b"-":
                return line[:3].decode("latin-1"), lines

    def expect(self, start):
        """A reply that starts so, e.g. "250" or "550 5.1.1"."""
        code, lines = self.reply()
        got = f"{code} {lines[-1] if lines else ''}"
        expect(got.startswith(start), f"the server said {got!r}, not {start}")
        return lines

    def command(self, line, start="2"):
        self.send(line.encode("latin-1") if isinstance(line, str) else line)
        self.send(b"\r\n")
        return self.expect(start)

    def hello(self):
        return self.command("LHLO client.test" if self.lmtp else "EHLO client.test", "250")

    def message(self, data, rcpts, sender="sender@client.test", start="250"):
        """One message in one group of commands; LMTP: a reply each."""
        lines = [f"MAIL FROM:<{sender}>"] + [f"RCPT TO:<{r}>" for r in rcpts] + ["DATA"]
        self.send("".join(l + "\r\n" for l in lines).encode())
        for _ in range(len(rcpts) + 1):
            self.expect("250")
        self.expect("354")
        self.send(stuffed(data))
        for _ in range(len(rcpts) if self.lmtp else 1):
            self.expect(start)

    def envelope(self, rcpts, sender="sender@client.test", mail="", rcpt=""):
        self.command(f"MAIL FROM:<{sender}> {mail}".rstrip().encode(), "250")
        for r in rcpts:
            self.command(f"RCPT TO:<{r}> {rcpt}".rstrip().encode(), "250")

    def quit(self):
        self.command("QUIT", "221")
        expect(self.is_closed(), "open after QUIT")


def stuffed(data):
    """As it goes after DATA: dots doubled, the end of data behind it."""
    if data.startswith(b"."):
        data = b"." + data
    return data.replace(b"\r\n.", b"\r\n..") + b".\r\n"


class Pop:
    """poplib, with bytes as they are."""

    def __init__(self, pop):
        self.pop = pop

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.quit()
        else:
            self.pop.close()

    def __getattr__(self, name):
        return getattr(self.pop, name)

    def quit(self):
        if self.pop is not None:
            self.pop.quit()
            self.pop = None

    def count(self):
        return self.pop.stat()[0]

    def sizes(self):
        return {int(n): int(size) for n, size in (l.split() for l in self.pop.list()[1])}

    def uids(self):
        return {int(n): uid for n, uid in (l.split() for l in self.pop.uidl()[1])}

    def get(self, n):
        """The message's bytes."""
        return b"".join(line + b"\r\n" for line in self.pop.retr(n)[1])

    def all(self):
        return [self.get(n) for n in range(1, self.count() + 1)]


def body_sent(stored):
    """What was sent: without the head lines that the server puts in front."""
    return split_head(stored)[1]


def split_head(stored):
    """(our head lines as one text, what was sent)."""
    m = re.match(rb"(?:(?:Return-Path|Delivered-To|Received):[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)+?(?=Subject:|X-Test:|From:|\r\n)", stored)
    if not m:
        raise Failed(f"a message without our head lines: {shown(stored)}")
    return m.group(0).decode("latin-1"), stored[m.end() :]


def message(subject, size=0, body=None):
    """A small message, CRLF, the first line X-Test: SUBJECT; size: at least so many bytes."""
    head = f"X-Test: {subject}\r\nFrom: Sender <sender@client.test>\r\nTo: {ADDRESS}\r\nSubject: {subject}\r\n\r\n".encode()
    if body is None:
        line = (hashlib.sha256(str(subject).encode()).hexdigest() + "\r\n").encode()
        body = line * max(1, (size - len(head) + len(line) - 1) // len(line))
    return head + body


def test_id(stored):
    """SUBJECT of message()."""
    m = re.search(rb"^X-Test: (\S+)", stored, re.MULTILINE)
    return m.group(1).decode() if m else None


def digest(data):
    return hashlib.sha256(data).hexdigest()


def plain(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


class Load:
    """
    Connections that send message after message and remember what became of each.

    `taken`: name -> digest of those whose 250 arrived; `asked`: name -> digest of all whose end of data was sent.
    A connection that breaks is opened again. name: PREFIX-connection-number.
    """

    def __init__(self, server, connections=4, port="smtp", size=3000, prefix="m", rcpt=None, pause=0.0):
        self.server, self.port, self.size, self.prefix, self.pause = server, port, size, prefix, pause
        self.rcpt = rcpt or server.address
        self.taken, self.asked = {}, {}
        self.refused = self.broken = 0
        self.codes = {}
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(connections)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)

    def work(self, i):
        n = 0
        while not self.stopping.is_set():
            try:
                with self.server.smtp(self.port, seconds=15) as c:
                    c.hello()
                    while not self.stopping.is_set():
                        n += 1
                        self.one(c, f"{self.prefix}-{i}-{n}")
            except (OSError, Failed, ValueError):
                self.broken += 1
                time.sleep(0.02)

    def one(self, c, name):
        data = message(name, self.size)
        c.send(f"MAIL FROM:<s@client.test>\r\nRCPT TO:<{self.rcpt}>\r\nDATA\r\n".encode())
        replies = [c.reply()[0] for _ in range(3)]
        if replies != ["250", "250", "354"]:
            self.count(next((r for r in replies if r not in ("250", "354")), "?"))
            if None in replies or "421" in replies:
                raise Failed("connection lost")
            c.command("RSET", "250")
            time.sleep(0.02)
            return
        self.asked[name] = digest(data)
        c.send(stuffed(data))
        code, _ = c.reply()
        self.count(code)
        if code == "250":
            self.taken[name] = self.asked[name]
        elif code is None or code == "421":
            raise Failed("connection lost")
        time.sleep(self.pause)

    def count(self, code):
        self.codes[code] = self.codes.get(code, 0) + 1

    def compare(self, stored):
        """Nothing acknowledged is lost, doubled or changed; nothing exists that was not sent."""
        found = {}
        for m in stored:
            name = test_id(m)
            found.setdefault(name, []).append(digest(body_sent(m)))
        lost = [n for n in self.taken if n not in found]
        double = [n for n in found if len(found[n]) > 1]
        changed = [n for n in found if n in self.asked and self.asked[n] not in found[n]]
        strange = [n for n in found if n not in self.asked]
        bad = {"lost": lost, "doubled": double, "changed": changed, "never sent": strange}
        if any(bad.values()):
            raise Failed(", ".join(f"{len(v)} {k} ({v[:3]})" for k, v in bad.items() if v) + f" of {len(self.taken)} acknowledged")
        return len(found)


def fill_mailbox(server, n, rcpt=None, connections=8, size=600, prefix="f"):
    """n messages as fast as it goes: over LMTP, the next envelope in the same write as the message before it."""

    def work(i):
        mine = range(i, n, connections)
        per_session = 900
        for start in range(0, len(mine), per_session):
            part = mine[start : start + per_session]
            with server.smtp("lmtp", seconds=60) as c:
                c.hello()
                envelope = f"MAIL FROM:<s@client.test>\r\nRCPT TO:<{rcpt or server.address}>\r\nDATA\r\n".encode()
                c.send(envelope)
                for k, number in enumerate(part):
                    for want in ("250", "250", "354"):
                        c.expect(want)
                    c.send(stuffed(message(f"{prefix}-{number}", size)) + (envelope if k + 1 < len(part) else b""))
                    c.expect("250")

    in_threads(connections, work)


def in_threads(n, work):
    """work(0..n-1) at the same time; the first failure is ours."""
    failures = []

    def one(i):
        try:
            work(i)
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=one, args=(i,), daemon=True) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
