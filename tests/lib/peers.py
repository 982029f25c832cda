"""
The other hosts that a server sends to, all on loopback: 127.0.0.2, 127.0.0.3, ... with one SMTP port.

    with peers.World() as w:
        sink = w.sink(3)                        # 127.0.0.3, which is h3.test, which is the MX of d3.test
        w.a.submit(posthorn.message("x"), ["you@d3.test"])
        sink.wait(1)

World: a real DNS server (nsd) for the zone below, and servers of ours that ask it and know each other by MX: `a` is
mail.example.test on 127.0.0.1, `b` is mail.b.test on 127.0.0.2. Sink: an SMTP server that does what a script says, the
worst included, and remembers everything. Postfix: a real one.
"""

import base64
import collections
import contextlib
import email
import email.policy
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time

import posthorn
from posthorn import ADDRESS, Failed, expect

B_HOSTNAME = "mail.b.test"
B_ADDRESS = "bob@b.test"
HOSTS = range(3, 60)
DEAD = "127.0.0.250"
WAIT_SECONDS = 15
# nsd needs no privileges for this one; 127.0.0.1 is where the server looks.
DNS_ADDRESS = "127.0.0.1"
SINK_EXTENSIONS = ("PIPELINING", "8BITMIME", "SIZE 50000000", "DSN", "SMTPUTF8", "CHUNKING", "BINARYMIME", "ENHANCEDSTATUSCODES")


# ---- DNS ----

ZONE = """
$TTL 1
. SOA ns.test. hostmaster.test. 1 3600 600 86400 1
. NS ns.test.
ns.test. A 127.0.0.1
mail.example.test. A 127.0.0.1
example.test. MX 10 mail.example.test.
mail.b.test. A 127.0.0.2
b.test. MX 10 mail.b.test.
{hosts}
dead.test. A 127.0.0.250
; by preference, the first dead; equal ones; implicit; none wanted; nothing useful
pref.test. MX 10 h4.test.
pref.test. MX 20 h5.test.
pref.test. MX 30 h6.test.
fallback.test. MX 5 dead.test.
fallback.test. MX 10 h3.test.
equal.test. MX 10 h4.test.
equal.test. MX 10 h5.test.
implicit.test. A 127.0.0.3
null.test. MX 0 .
alias.test. CNAME h3.test.
cname.test. MX 10 alias.test.
empty.test. TXT "no address"
noaddress.test. MX 10 empty.test.
nohost.test. MX 10 nothing.test.
textonly.test. TXT "no mail here"
alldead.test. MX 10 dead.test.
twoaddresses.test. MX 10 two.test.
two.test. A 127.0.0.250
two.test. A 127.0.0.3
ipmx.test. MX 10 127.0.0.3.
loop.test. MX 10 mail.example.test.
loop2.test. MX 10 mail.example.test.
loop2.test. MX 20 h3.test.
backup.test. MX 10 h3.test.
backup.test. MX 20 mail.example.test.
*.many.test. MX 10 h3.test.
xn--bcher-kva.test. MX 10 h3.test.
"""


def zone_text(more=""):
    hosts = []
    for n in HOSTS:
        hosts += [f"h{n}.test. A 127.0.0.{n}", f"d{n}.test. MX 10 h{n}.test."]
    return ZONE.format(hosts="\n".join(hosts)) + more + "\n"


def free_port(address=DNS_ADDRESS, kinds=(socket.SOCK_DGRAM, socket.SOCK_STREAM)):
    rng = random.SystemRandom()
    for _ in range(200):
        port = rng.randrange(20000, 32000)
        try:
            for kind in kinds:
                with socket.socket(socket.AF_INET, kind) as s:
                    s.bind((address, port))
        except OSError:
            continue
        return port
    raise Failed("no free port")


class Dns:
    """
    nsd with a root zone of its own. `broken`: names of zones that it knows of but cannot load, which it answers with
    SERVFAIL until mend() gives them a text.
    """

    def __init__(self, text=None, broken=("broken.test",)):
        self.text = zone_text() if text is None else text
        self.broken = broken

    def __enter__(self):
        # Not in the path of everybody.
        self.program = shutil.which("nsd", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if self.program is None:
            raise Failed("nsd is not installed (tools/install-deps check)")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ph-dns-", dir="/tmp"))
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        self.port = free_port()
        (self.dir / "root.zone").write_text(self.text)
        zones = [(".", "root.zone")] + [(name, f"{name}.zone") for name in self.broken]
        (self.dir / "nsd.conf").write_text(
            "server:\n\tserver-count: 1\n\tverbosity: 1\n\tdatabase: \"\"\n\tusername: \"\"\n\txfrd-reload-timeout: 0\n"
            f"\tip-address: {DNS_ADDRESS}@{self.port}\n\tzonesdir: \"{self.dir}\"\n\trrl-ratelimit: 0\n"
            + "".join(f"\t{key}: \"{self.dir}/{file}\"\n" for key, file in (
                ("pidfile", "pid"), ("xfrdfile", "xfrd"), ("zonelistfile", "zones"), ("xfrdir", ""), ("logfile", "log")))
            + "remote-control:\n\tcontrol-enable: no\n"
            + "".join(f"zone:\n\tname: \"{name}\"\n\tzonefile: \"{file}\"\n" for name, file in zones)
        )
        self.process = subprocess.Popen(
            [self.program, "-d", "-c", str(self.dir / "nsd.conf")], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        posthorn.wait_until(lambda: self.is_up(), 10, lambda: f"nsd answers: {self.log()}")

    def log(self):
        path = self.dir / "log"
        return path.read_text()[-500:] if path.exists() else ""

    def is_up(self):
        if self.process.poll() is not None:
            raise Failed(f"nsd ended: {self.log()}")
        return self.code("ns.test") == 0

    def code(self, name, kind=1):
        """The response code of one question; None without an answer."""
        labels = b"".join(bytes([len(l)]) + l.encode() for l in name.rstrip(".").split(".")) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3)
            try:
                s.connect((DNS_ADDRESS, self.port))
                s.send(struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + labels + struct.pack(">2H", kind, 1))
                return s.recv(4096)[3] & 15
            except OSError:
                return None

    def mend(self, name, text):
        """The zone NAME works from now on."""
        (self.dir / f"{name}.zone").write_text(f"$TTL 1\n{name}. SOA ns.test. h.test. 2 3600 600 86400 1\n{name}. NS ns.test.\n{text}\n")
        self.reload(name)

    def add(self, text):
        """More records in the root zone."""
        self.text = re.sub(r"(hostmaster\.test\. )(\d+)", lambda m: m[1] + str(int(m[2]) + 1), self.text) + text + "\n"
        (self.dir / "root.zone").write_text(self.text)
        self.reload(text.split()[0])

    def reload(self, name):
        self.process.send_signal(signal.SIGHUP)
        posthorn.wait_until(lambda: self.code(name) == 0, 10, lambda: f"nsd knows {name}: {self.log()}")

    def __exit__(self, *_):
        process = getattr(self, "process", None)
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- certificates ----

certificates = {}


def certificate(name="h.test"):
    """Paths of a self-made certificate and its key, made once."""
    if name not in certificates:
        # The files go with the process.
        folder = tempfile.TemporaryDirectory(prefix="ph-cert-", dir="/tmp")
        chain, key = pathlib.Path(folder.name) / "cert.pem", pathlib.Path(folder.name) / "key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", chain],
            check=True, capture_output=True,
        )
        certificates[name] = (folder, chain, key)
    return certificates[name][1:]


def tls_of_server(name="h.test"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(name))
    return context


# ---- the sink ----


class Message:
    """One that the sink answered or would have answered with 250; what of the answer arrived is another question."""

    def __init__(self, session):
        self.session = session.number
        self.helo = session.helo
        self.tls = session.tls
        self.user = session.user
        self.sender = session.sender
        self.params = session.params
        self.rcpts = list(session.rcpts)
        self.data = bytes(session.data)
        self.by = session.by
        self.when = time.monotonic()

    @property
    def to(self):
        return [address for address, _ in self.rcpts]

    @property
    def name(self):
        return posthorn.test_id(self.data)

    def rcpt(self, address):
        """The parameters of that RCPT."""
        return dict(self.rcpts)[address]

    def has_bare_line_end(self):
        return re.search(rb"\r(?!\n)|(?<!\r)\n", self.data) is not None

    def body(self):
        return self.data.partition(b"\r\n\r\n")[2]

    def head(self):
        return self.data.partition(b"\r\n\r\n")[0].decode("latin-1") + "\r\n"


class Gone(Exception):
    """The connection ended, by us or the other side."""


class Sink:
    """
    An SMTP server on address:port. `script`: what it does at a stage, else it behaves:

        greeting ehlo helo starttls handshake auth mail rcpt data content end bdat rset quit

    content: while the message arrives; end: after its end. What it does is one of
        "550 5.1.1 text"    a reply, several lines with \\n between
        "hang"              says nothing more, keeps the connection
        "close" "reset"     ends it, politely or by RST
        "lines"             a reply of 10,000 lines; "endless": one line that does not end; "garbage": binary
        "drip"              its usual reply, byte by byte
        "crawl"             content: reads one byte a second
        "inject"            starttls: more than its 220 in clear
        a function          called with (session, line); its result is one of these
        a list              one for each connection in turn, the last for all after them; None: behaves
    Recipients have their reply in their name, after the local part's "-" or alone: r550@, r451@, r452@, r552@ ... always;
    defer2@ 451 for the first two tries.
    tls: offers STARTTLS. users: {name: password} for AUTH, under TLS when there is any.
    """

    def __init__(self, address, port, hostname=None, extensions=SINK_EXTENSIONS, tls=False, implicit=False, users=None, limits=None, knows_ehlo=True, auth=("PLAIN", "LOGIN"), **script):
        self.address, self.port, self.script = address, port, script
        self.hostname = hostname or f"h{address.rpartition('.')[2]}.test"
        self.extensions = list(extensions) + ([f"LIMITS {limits}"] if limits else [])
        self.has_tls, self.implicit, self.users, self.auth = tls, implicit, users or {}, auth
        self.knows_ehlo = knows_ehlo
        self.context = tls_of_server(self.hostname) if tls or implicit else None
        self.lock = threading.Lock()
        self.messages, self.commands, self.sessions, self.errors = [], [], [], []
        self.tries = collections.Counter()
        self.connections = 0
        self.most_at_once = 0

    def __enter__(self):
        self.listener = socket.create_server((self.address, self.port), backlog=200)
        self.stopping = False
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        # A thread that waits notices a shutdown, not a close.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for s in list(self.sessions):
            s.end()

    def accept(self):
        while not self.stopping:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            with self.lock:
                session = Session(self, sock, peer, self.connections)
                self.connections += 1
                self.sessions.append(session)
                self.most_at_once = max(self.most_at_once, len(self.sessions))
            threading.Thread(target=self.serve, args=(session,), daemon=True).start()

    def serve(self, session):
        try:
            session.run()
        except (Gone, OSError):
            pass
        except Exception as e:
            self.errors.append(repr(e))
        finally:
            session.end()
            with self.lock:
                if session in self.sessions:
                    self.sessions.remove(session)

    def action(self, stage, number):
        what = self.script.get(stage)
        if isinstance(what, (list, tuple)):
            what = what[min(number, len(what) - 1)]
        return what

    def took(self, message):
        with self.lock:
            self.messages.append(message)

    def said(self, verb):
        """All lines of commands that begin so."""
        return [line for _, line in self.commands if line.upper().startswith(verb)]

    def names(self):
        """How often each message was taken, by its name."""
        return collections.Counter(m.name for m in list(self.messages))

    def wait(self, n=1, seconds=WAIT_SECONDS):
        """The n-th message."""
        posthorn.wait_until(lambda: len(self.messages) >= n, seconds, lambda: f"{n} messages at {self.hostname}; there are {len(self.messages)}, {self.connections} connections, {self.commands[-12:]}")
        return self.messages[n - 1]

    def wait_connections(self, n=1, seconds=WAIT_SECONDS):
        posthorn.wait_until(lambda: self.connections >= n, seconds, lambda: f"{n} connections to {self.hostname}; there were {self.connections}")


class Session:
    """One connection to a sink."""

    def __init__(self, sink, sock, peer, number):
        self.sink, self.sock, self.peer, self.number = sink, sock, peer, number
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(120)
        self.kept = b""
        self.helo = self.tls = self.user = None
        self.forget()

    def forget(self):
        self.sender, self.params, self.rcpts, self.data, self.by = None, [], [], bytearray(), None

    def end(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.sock.close()

    # -- bytes --

    def fill(self, n=65536):
        data = self.sock.recv(n)
        if not data:
            raise Gone()
        self.kept += data

    def line(self):
        while b"\r\n" not in self.kept:
            self.fill()
        line, _, self.kept = self.kept.partition(b"\r\n")
        return line.decode("utf-8", "surrogateescape")

    def reply(self, text):
        self.sock.sendall(self.lines(text))

    def lines(self, text):
        """As it goes over the wire: "250 a\\nb" is two lines."""
        code, rest = text[:3], text[4:].split("\n")
        return "".join(f"{code}{'-' if i + 1 < len(rest) else ' '}{l}\r\n" for i, l in enumerate(rest)).encode()

    # -- what it does --

    def act(self, stage, usual, line=""):
        """The reply that went out, "" when none did."""
        what = self.sink.action(stage, self.number)
        if callable(what):
            what = what(self, line)
        if what is None:
            if usual:
                self.reply(usual)
            return usual
        if what[:3].isdigit():
            self.reply(what)
            return what
        return getattr(self, f"do_{what}")(usual) or ""

    def do_hang(self, _):
        while True:
            if not self.sock.recv(65536):
                raise Gone()

    def do_close(self, _):
        raise Gone()

    def do_reset(self, _):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise Gone()

    def do_lines(self, usual):
        self.sock.sendall(b"".join(b"%s-line %d\r\n" % (usual[:3].encode(), i) for i in range(10000)))
        self.reply(usual)
        return usual

    def do_endless(self, usual):
        self.sock.sendall((usual[:4] or "250 ").encode())
        while True:
            self.sock.sendall(b"x" * 4096)

    def do_garbage(self, _):
        self.sock.sendall(bytes(random.Random(self.number).randbytes(5000)))
        self.do_hang("")

    def do_drip(self, usual):
        for b in self.lines(usual):
            self.sock.sendall(bytes([b]))
            time.sleep(0.01)
        return usual

    def do_crawl(self, _):
        while True:
            if not self.sock.recv(1):
                raise Gone()
            time.sleep(1)

    # -- the dialogue --

    def run(self):
        if self.sink.implicit:
            self.start_tls()
        if not self.act("greeting", f"220 {self.sink.hostname} ESMTP sink").startswith("2"):
            self.after_refusal()
        while True:
            line = self.line()
            self.sink.commands.append((self.number, line))
            verb, _, rest = line.partition(" ")
            method = getattr(self, f"on_{verb.lower()}", None)
            if method is None:
                self.reply("500 5.5.1 what?")
            else:
                method(rest)

    def after_refusal(self):
        """RFC 5321 3.1: after a 554 greeting it waits for QUIT."""
        while True:
            line = self.line()
            self.sink.commands.append((self.number, line))
            self.reply("221 2.0.0 bye" if line.upper() == "QUIT" else "503 5.5.1 no")

    def on_ehlo(self, rest):
        if not self.sink.knows_ehlo:
            self.reply("500 5.5.1 what?")
            return
        self.helo = rest
        self.forget()
        lines = [f"{self.sink.hostname} hello"] + self.sink.extensions
        if self.sink.has_tls and not self.tls:
            lines.append("STARTTLS")
        if self.sink.users and (self.tls or not (self.sink.has_tls or self.sink.implicit)):
            lines.append("AUTH " + " ".join(self.sink.auth))
        self.act("ehlo", "250 " + "\n".join(lines), rest)

    def on_helo(self, rest):
        self.helo = rest
        self.forget()
        self.act("helo", f"250 {self.sink.hostname}", rest)

    def on_starttls(self, rest):
        if self.sink.action("starttls", self.number) == "inject":
            self.sock.sendall(b"220 2.0.0 go\r\n250 injected\r\n250 injected\r\n")
        elif not self.act("starttls", "220 2.0.0 go").startswith("2"):
            return
        self.start_tls()

    def start_tls(self):
        what = self.sink.action("handshake", self.number)
        if what is not None:
            if what[:3].isdigit():
                self.sock.sendall(what.encode() + b"\r\n" * 40)
                self.do_hang("")
            getattr(self, f"do_{what}")("")
        try:
            self.sock = (self.sink.context or tls_of_server()).wrap_socket(self.sock, server_side=True)
        except ssl.SSLError as e:
            raise Gone() from e
        self.tls = self.sock.version()
        self.kept = b""
        self.helo = None

    def on_auth(self, rest):
        mechanism, _, initial = rest.partition(" ")
        what = self.sink.action("auth", self.number)
        if what is not None:
            self.act("auth", "")
            return
        if mechanism.upper() == "PLAIN":
            if not initial:
                self.reply("334 ")
                initial = self.line()
            _, user, password = base64.b64decode(initial).decode().split("\0")
        elif mechanism.upper() == "LOGIN":
            if initial:
                user = base64.b64decode(initial).decode()
            else:
                self.reply("334 VXNlcm5hbWU6")
                user = base64.b64decode(self.line()).decode()
            self.reply("334 UGFzc3dvcmQ6")
            password = base64.b64decode(self.line()).decode()
        else:
            self.reply("504 5.5.4 unknown")
            return
        if self.sink.users.get(user) == password:
            self.user = user
            self.reply("235 2.7.0 welcome")
        else:
            self.reply("535 5.7.8 no")

    def on_mail(self, rest):
        m = re.match(r"FROM:<(.*?)>(?: (.*))?$", rest, re.IGNORECASE)
        if not m:
            self.reply("501 5.5.4 syntax")
            return
        if self.sender is not None:
            self.sink.errors.append(f"nested MAIL {rest}")
            self.reply("503 5.5.1 a transaction is open")
            return
        if self.sink.users and self.user is None:
            self.reply("530 5.7.0 log in")
            return
        if self.act("mail", "250 2.1.0 ok", rest).startswith("2"):
            self.sender, self.params = m[1], (m[2] or "").split()

    def on_rcpt(self, rest):
        m = re.match(r"TO:<(.*)>(?: (.*))?$", rest, re.IGNORECASE)
        if not m or self.sender is None:
            self.reply("503 5.5.1 order")
            return
        if self.act("rcpt", self.verdict(m[1]), rest).startswith("2"):
            self.rcpts.append((m[1], (m[2] or "").split()))

    def verdict(self, address):
        name = address.partition("@")[0].rpartition("-")[2]
        self.sink.tries[address] += 1
        m = re.fullmatch(r"r([45]\d\d)", name)
        if m:
            words = {"550": "5.1.1 no such user", "451": "4.3.0 not now", "452": "4.2.2 mailbox full", "552": "5.2.2 too many"}
            return f"{m[1]} {words.get(m[1], m[1][0] + '.0.0 no')}"
        m = re.fullmatch(r"defer(\d+)", name)
        if m and self.sink.tries[address] <= int(m[1]):
            return "451 4.2.0 later"
        return "250 2.1.5 ok"

    def on_data(self, rest):
        if not self.rcpts:
            self.reply("554 5.5.1 no recipients")
            return
        if not self.act("data", "354 go", rest).startswith("3"):
            return
        self.by = "DATA"
        self.content_comes()
        while not (self.kept.startswith(b".\r\n") or b"\r\n.\r\n" in self.kept):
            self.fill()
        if self.kept.startswith(b".\r\n"):
            data, self.kept = b"", self.kept[3:]
        else:
            data, _, self.kept = self.kept.partition(b"\r\n.\r\n")
            data += b"\r\n"
        if data.startswith(b"."):
            data = data[1:]
        self.data[:] = data.replace(b"\r\n.", b"\r\n")
        self.content_ends()

    def content_comes(self):
        """What happens in the middle of it: after its first bytes."""
        if self.sink.action("content", self.number) is None:
            return
        if not self.kept:
            self.fill(1)
        self.act("content", "")

    def on_bdat(self, rest):
        words = rest.split()
        n = int(words[0])
        if self.by is None:
            self.by = "BDAT"
            self.content_comes()
        while len(self.kept) < n:
            self.fill()
        self.data += self.kept[:n]
        self.kept = self.kept[n:]
        if len(words) > 1 and words[1].upper() == "LAST":
            self.content_ends()
        elif not self.act("bdat", f"250 2.0.0 {n} bytes", rest).startswith("2"):
            self.forget()

    def content_ends(self):
        message = Message(self)
        message.replied = None
        what = self.sink.action("end", self.number)
        if callable(what):
            what = what(self, message)
        if what is None or not what[:3].isdigit() or what[0] == "2":
            # Before the reply: who reads it may look at once.
            self.sink.took(message)
        self.forget()
        if what is None:
            self.reply("250 2.0.0 taken as " + str(len(self.sink.messages)))
        elif what[:3].isdigit():
            self.reply(what)
        else:
            getattr(self, f"do_{what}")("250 2.0.0 taken")

    def on_rset(self, _):
        self.forget()
        self.act("rset", "250 2.0.0 ok")

    def on_noop(self, _):
        self.reply("250 2.0.0 ok")

    def on_quit(self, _):
        self.act("quit", "221 2.0.0 bye")
        raise Gone()


# ---- servers of ours that know each other ----


class World(contextlib.ExitStack):
    """
    config: settings for `a` and `b`, besides those that make the world. with_b: `b` is there. start: they run at once.
    Sinks, Postfix and what else is entered goes with it.
    """

    def __init__(self, config=None, config_b=None, with_b=False, start=True, accounts=(), zone="", **kw):
        super().__init__()
        self.config, self.config_b, self.with_b = config or {}, config_b or {}, with_b
        self.kw = dict(start=start, **kw)
        self.accounts = accounts
        self.zone = zone

    def __enter__(self):
        super().__enter__()
        try:
            self.make()
        except BaseException:
            self.close()
            raise
        return self

    def make(self):
        self.dns = self.enter_context(Dns(zone_text(self.zone)))
        offset = posthorn.free_offset()
        self.port = posthorn.PORTS["smtp"] + offset
        common = {
            "relay.port": self.port, "queue.first_retry": "1s", "queue.max_retry": "1s", "queue.delay_notice": "0s", "auth.argon2_memory": "8M",
        }
        shared = dict(offset=offset, resolver=f"{DNS_ADDRESS}:{self.dns.port}", **self.kw)
        self.a = self.enter_context(posthorn.Server(config={**common, **self.config}, accounts=self.accounts, **shared))
        self.b = None
        if self.with_b:
            self.b = self.enter_context(posthorn.Server(
                config={**common, **self.config_b}, listen="127.0.0.2", hostname=B_HOSTNAME, address=B_ADDRESS, **shared))

    def sink(self, n, **kw):
        """At 127.0.0.n, which is hn.test, the MX of dn.test."""
        return self.enter_context(Sink(f"127.0.0.{n}", self.port, **kw))

    def queue(self):
        return queue_list(self.a)

    def wait_empty(self, seconds=WAIT_SECONDS):
        posthorn.wait_until(lambda: not self.queue(), seconds, lambda: f"an empty queue; it is {self.queue()}")

    def wait_queue(self, condition, what, seconds=WAIT_SECONDS):
        """The queue's list once condition(list) is true."""
        def look():
            q = self.queue()
            return (q,) if condition(q) else None

        return posthorn.wait_until(look, seconds, lambda: f"{what}; the queue is {self.queue()}")[0]


def queue_list(server, *more):
    return server.json("queue", "list", *more)["rows"]


# ---- messages and notices ----


def letter(subject, to="you@elsewhere.test", sender=ADDRESS, body=None, size=0, more=""):
    """What a mail client writes; like posthorn.message(), whose test_id() finds it."""
    head = f"X-Test: {subject}\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{subject}@client.test>\r\nFrom: Alice <{sender}>\r\nTo: {to}\r\nSubject: {subject}\r\n{more}\r\n".encode()
    if body is None:
        line = f"this is a line of the message {subject}, as long as many\r\n".encode()
        body = line * max(1, (size - len(head)) // len(line))
    return head + body


class Notice:
    """A delivery status notification (RFC 3464) as Python's own email package reads it."""

    def __init__(self, data):
        m = self.mail = email.message_from_bytes(data, policy=email.policy.default)
        expect(m.get_content_type() == "multipart/report" and m.get_param("report-type") == "delivery-status", f"a report, not {posthorn.shown(data)}")
        parts = self.parts = list(m.iter_parts())
        expect(len(parts) == 3, f"3 parts, not {len(parts)}")
        expect(parts[0].get_content_type() == "text/plain", f"text first, not {parts[0].get_content_type()}")
        self.text = parts[0].get_content()
        kind = parts[1].get_content_type()
        expect(kind in ("message/delivery-status", "message/global-delivery-status"), f"the status second, not {kind}")
        # email makes a message of each group of fields.
        groups = parts[1].get_payload()
        self.about, *self.rcpts = [{k: " ".join(v.split()) for k, v in g.items()} for g in groups]
        self.returned = parts[2].get_content_type()
        self.original = parts[2].as_bytes()

    def rcpt(self, address):
        for r in self.rcpts:
            if r.get("Final-Recipient", "").partition(";")[2].strip() == address:
                return r
        raise Failed(f"a notice about {address}, not {self.rcpts}")


def notices(server, user=None):
    return [Notice(m) for m in server.mail(user) if b"multipart/report" in m]


def wait_notices(server, n=1, user=None, seconds=WAIT_SECONDS):
    posthorn.wait_until(lambda: len(server.mail(user)) >= n, seconds, lambda: f"{n} notices; the queue is {queue_list(server)}")
    return notices(server, user)


# ---- Postfix ----


class Postfix:
    """
    A real instance on address:port that puts mail for `domain` into a Maildir and sends all other mail to the host
    `relay` ("127.0.0.1"), same port. Both sides of it use TLS when they can.
    """

    def __init__(self, address, port, domain, relay="127.0.0.1", settings=""):
        self.address, self.port, self.domain, self.relay, self.settings = address, port, domain, relay, settings

    def __enter__(self):
        posthorn.root_only()
        if shutil.which("postfix") is None:
            raise Failed("postfix is not installed (tools/install-deps check)")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="ph-postfix-", dir="/tmp"))
        self.dir.chmod(0o755)
        try:
            self.make()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def make(self):
        for name in ("etc", "spool", "data", "mail"):
            (self.dir / name).mkdir()
        shutil.chown(self.dir / "data", "postfix")
        os.chown(self.dir / "mail", 5000, 5000)
        chain, key = certificate(f"postfix.{self.domain}")
        # inet_interfaces knows only addresses that an interface lists; the one we want stands in master.cf.
        main = {
            "compatibility_level": "3.6", "queue_directory": self.dir / "spool", "data_directory": self.dir / "data",
            "maillog_file": self.dir / "maillog", "maillog_file_prefixes": self.dir, "myhostname": f"postfix.{self.domain}",
            "mydestination": "", "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
            "smtp_bind_address": self.address, "alias_maps": "", "local_recipient_maps": "", "message_size_limit": "52428800",
            "virtual_mailbox_domains": self.domain, "virtual_mailbox_base": self.dir / "mail",
            "virtual_mailbox_maps": "static:u/", "virtual_uid_maps": "static:5000", "virtual_gid_maps": "static:5000",
            "virtual_transport": "virtual", "virtual_mailbox_limit": "0", "relayhost": f"[{self.relay}]:{self.port}",
            "smtpd_tls_cert_file": chain, "smtpd_tls_key_file": key, "smtpd_tls_security_level": "may",
            "smtp_tls_security_level": "may", "smtp_tls_loglevel": "1", "smtpd_tls_loglevel": "1", "smtpd_tls_received_header": "yes", "smtputf8_enable": "yes",
            "minimal_backoff_time": "1s", "queue_run_delay": "1s", "disable_dns_lookups": "yes",
        }
        (self.dir / "etc" / "main.cf").write_text("".join(f"{k} = {v}\n" for k, v in main.items()) + self.settings)
        lines = []
        # Debian's own, with the address changed and nothing in a chroot.
        for line in pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines():
            words = line.split()
            if line[:1] not in ("#", " ", "\t", "") and len(words) >= 8:
                if words[:2] == ["smtp", "inet"]:
                    words[0] = f"{self.address}:{self.port}"
                words[4] = "n"
                line = " ".join(words)
            lines.append(line)
        (self.dir / "etc" / "master.cf").write_text("\n".join(lines) + "\n")

    def start(self):
        etc = str(self.dir / "etc")
        self.out = open(self.dir / "out", "wb")
        # Makes the folders of the spool. `postfix start-fg` would leave a master behind when it is ended.
        subprocess.run(["postfix", "-c", etc, "check"], stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out, timeout=30)
        folder = subprocess.run(["postconf", "-c", etc, "-h", "daemon_directory"], capture_output=True, text=True, check=True).stdout.strip()
        # Its environment as the postfix command gives it.
        self.process = subprocess.Popen(
            [f"{folder}/master", "-c", etc, "-s"], stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out,
            env={"PATH": os.environ["PATH"], "MAIL_CONFIG": etc, "daemon_directory": folder},
        )
        posthorn.wait_until(self.is_up, 20, lambda: f"Postfix listens: {self.log()}")

    def is_up(self):
        if self.process.poll() is not None:
            raise Failed(f"Postfix ended with {self.process.returncode}: {self.log()}")
        try:
            socket.create_connection((self.address, self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def log(self):
        return "".join((self.dir / name).read_text()[-3000:] for name in ("out", "maillog") if (self.dir / name).exists())

    def mail(self):
        return [p.read_bytes() for p in sorted((self.dir / "mail" / "u" / "new").glob("*"))]

    def wait(self, n=1, seconds=20):
        posthorn.wait_until(lambda: len(self.mail()) >= n, seconds, f"{n} messages in Postfix's Maildir")
        return self.mail()

    def __exit__(self, *_):
        process = getattr(self, "process", None)
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- signatures ----

DKIM_CHECK = r"""
import dkim, json, sys
keys = json.load(open(sys.argv[1]))
message = sys.stdin.buffer.read()
def find(name, timeout=5):
    text = keys.get(name.decode().rstrip("."))
    return text.encode() if text else None
n = sum(1 for h, _ in dkim.DKIM(message).headers if h.lower() == b"dkim-signature")
for i in range(n):
    try:
        good = dkim.DKIM(message).verify(idx=i, dnsfunc=find)
    except Exception as e:
        good = repr(e)
    print(json.dumps(good))
"""


def dkim_results(data, keys):
    """For each DKIM-Signature of the message whether dkimpy believes it: True, False or why not."""
    import json

    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump(keys, f)
        f.flush()
        # Debian's own Python has Debian's dkimpy.
        r = subprocess.run(["/usr/bin/python3", "-c", DKIM_CHECK, f.name], input=data, capture_output=True, timeout=30)
    expect(r.returncode == 0, f"dkimpy (tools/install-deps check): {r.stderr.decode()[-500:]}")
    return [json.loads(l) for l in r.stdout.splitlines()]
