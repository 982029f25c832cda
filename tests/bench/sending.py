"""
The sending side: mail comes in by SMTP from a trusted network, is queued durably and goes on to relay_sink.

Both servers send everything to the one sink (`route "*"`, `relayhost`), without TLS, over at most 20 connections,
which is the default of both for one destination.
"""

import json
import pathlib
import re
import statistics
import subprocess
import threading
import time

import load
import meter
import servers

SINK_PORT = 23600
# Nothing listens here.
CLOSED_PORT = 23601
FAR = "far.test"
STRANGER = "sender@src.test"
# Sessions, bytes, and how many messages each server gets.
POINTS = [
    (1, 5120, {"posthorn": 3000, "postfix": 600}),
    (10, 5120, {"posthorn": 10000, "postfix": 1500}),
    (100, 5120, {"posthorn": 20000, "postfix": 1500}),
    (100, 102400, {"posthorn": 4000, "postfix": 500}),
]
SIGNED_POINTS = [
    (10, 5120, {"posthorn": 6000, "postfix": 1500}),
    (100, 5120, {"posthorn": 10000, "postfix": 1500}),
    (100, 102400, {"posthorn": 3000, "postfix": 500}),
]
WARM_MESSAGES = 200
# Long enough for a checkpoint, too short for the archive to begin.
SETTLE_SECONDS = 7
LATENCY_RATE = 20
LATENCY_SECONDS = 10
RELOADS = 5
RELOAD_EVERY_SECONDS = 0.4
RELOAD_SESSIONS = 100
RELOAD_WAIT_SECONDS = 60
# Messages of one load; another one follows until the reloads are done.
RELOAD_COUNTS = {"posthorn": 5000, "postfix": 500}
QUEUED_DOMAINS = 1000
QUEUED_USERS = 997
QUEUED_WARM = 2000
QUEUED_STOP_SECONDS = 120
QUEUED_LOAD_SECONDS = 600
# Enough for a checkpoint and for what follows from giving up 1,000 destinations.
QUEUED_REST_SECONDS = 60

POSTHORN = """\
submission {{
	trusted = {{"127.0.0.0/8"}}
}}
relay {{
	route "*" {{
		host = "127.0.0.1"
		port = {port}
		tls = never
	}}
}}
"""
POSTHORN_SLOW = "queue {\n\tfirst_retry = 1d\n\tmax_retry = 1d\n}\n"
POSTHORN_CHANGE = "limits {{\n\terrors_max = {value}\n}}\n"
POSTFIX = "relayhost = [127.0.0.1]:{port}\nsmtp_tls_security_level = none\n"


class Sink:
    """relay_sink, and its answers."""

    def __init__(self, bench, stamps=None):
        options = ["-o", str(stamps)] if stamps else []
        self.process = subprocess.Popen(
            [bench.tools["relay_sink"], *options, str(SINK_PORT + bench.args.ports)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        if self.process.stdout.readline() != "listening\n":
            raise SystemExit("relay_sink does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)

    def ask(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def cpu_seconds(self):
        return meter.read_stat(self.process.pid)[1]

    def expect(self, count):
        """
        From now on `count` messages. The answer says when they are here and the server's queue is empty; that is
        asked only then, because asking costs the server something.
        """
        self.ask("reset")
        asked_ns = 0

        def is_done(server):
            nonlocal asked_ns
            if self.ask("count")["messages"] < count or time.monotonic_ns() < asked_ns + 50_000_000:
                return False
            asked_ns = time.monotonic_ns()
            return server.is_queue_empty()

        return is_done

    def expect_exactly(self, server, count):
        """Nothing is lost, nothing comes twice."""
        got = self.ask("count")
        if got["messages"] != count:
            raise SystemExit(f"{server.name}: {count} messages accepted, {got['messages']} arrived")
        return got


def source(server, sender, sessions, size, count):
    return ["smtp-source", "-d", "-s", str(sessions), "-m", str(count), "-l", str(size), "-f", sender, "-t", f"you@{FAR}",
            f"127.0.0.1:{server.smtp_port}"]


def start(bench, sink, part, server, sender):
    server.start()
    bench.put_configuration(part, server)
    is_done = sink.expect(WARM_MESSAGES)
    load.drive(source(server, sender, 10, 5120, WARM_MESSAGES))
    load.wait_delivered(server, lambda: is_done(server))


def pair(bench, is_signed=False):
    """The two, in turn."""
    milter = servers.OpenDkim(bench.out / "opendkim", servers.DOMAIN, 22891 + bench.args.ports) if is_signed else None
    yield bench.postfix(POSTFIX.format(port=SINK_PORT + bench.args.ports), milter)
    yield bench.posthorn(POSTHORN.format(port=SINK_PORT + bench.args.ports))


def each(bench, sink, part, one, sender=STRANGER, is_signed=False):
    for server in pair(bench, is_signed):
        try:
            start(bench, sink, part, server, sender)
            one(server)
            server.stop()
        finally:
            bench.put_away(server)


# ---- relay ----


def measure_point(server, sink, sender, sessions, size, count):
    is_done = sink.expect(count)
    began = time.monotonic()
    row = load.measure(server, source(server, sender, sessions, size, count), count, lambda: is_done(server), SETTLE_SECONDS, sink.cpu_seconds)
    got = sink.expect_exactly(server, count)
    row["arrived_per_s"] = round(count / (got["arrived_ns"] / 1e9 - began), 1)
    row["connections"], row["signatures"], row["rsa_signatures"] = got["connections"], got["signatures"], got["rsa"]
    return row


def count_of(bench, counts, server):
    return counts[server.name] // (10 if bench.args.quick else 1)


def run_relay(bench, round_no):
    def one(server):
        for sessions, size, counts in POINTS:
            count = count_of(bench, counts, server)
            row = measure_point(server, sink, STRANGER, sessions, size, count)
            bench.put(part="relay", server=server.name, round=round_no, load="smtp-source", sessions=sessions, bytes=size, count=count, **row)

    with Sink(bench) as sink:
        each(bench, sink, "relay", one)


# ---- relay, signed ----


def openssl_rsa_per_second(seconds):
    """RSA-2048 signatures of one process that does nothing else."""
    out = subprocess.run(["openssl", "speed", "-mr", "-seconds", str(seconds), "rsa2048"], capture_output=True, text=True, check=True).stdout
    return float(re.search(r"^\+F2:\d+:2048:([\d.]+):", out, re.MULTILINE)[1])


class Signing:
    """What the processes of the role that signs did since this was made."""

    def __init__(self, server):
        self.server = server
        self.before = self.read()

    def read(self):
        rows = [r for r in self.server.status()["rows"] if r["role"].split(".")[0] == "keys"]
        return {
            "processes": len(rows), "signed": sum(r["detail"]["dkim_signed"] for r in rows),
            "failed": sum(r["detail"]["dkim_failed"] for r in rows), "cpu": sum(meter.read_stat(r["pid"])[1] for r in rows),
        }

    def row(self, count, seconds):
        now = self.read()
        signed, cpu = now["signed"] - self.before["signed"], now["cpu"] - self.before["cpu"]
        return {
            "signing_processes": now["processes"], "signatures_per_message": round(signed / count, 2),
            "signatures_per_s_of_process": round(signed / seconds / now["processes"]),
            "signatures_per_cpu_s": round(signed / cpu) if cpu else 0, "keys_cpu_us_per_message": round(cpu / count * 1e6, 1),
            "signatures_failed": now["failed"] - self.before["failed"],
        }


def run_relay_signed(bench, round_no):
    """Mail from a domain of its own is what Posthorn signs, with each key it made: RSA-2048 and Ed25519."""
    rsa = openssl_rsa_per_second(1 if bench.args.quick else 3)
    bench.put(part="rsa", round=round_no, rsa2048_per_s=round(rsa))

    def one(server):
        for sessions, size, counts in SIGNED_POINTS:
            count = count_of(bench, counts, server)
            signing = Signing(server) if server.name == "posthorn" else None
            row = measure_point(server, sink, servers.USER, sessions, size, count)
            if row["rsa_signatures"] != count:
                raise SystemExit(f"{server.name}: {row['rsa_signatures']} of {count} messages came with an RSA signature")
            if signing:
                bench.put(part="keys", round=round_no, sessions=sessions, bytes=size, **signing.row(count, count / row["arrived_per_s"]))
            row["of_openssl_pct"] = round(100 * row["arrived_per_s"] / rsa, 1)
            bench.put(part="relay-signed", server=server.name, round=round_no, load="smtp-source", sessions=sessions, bytes=size, count=count, **row)

    with Sink(bench) as sink:
        each(bench, sink, "relay-signed", one, servers.USER, is_signed=True)


# ---- latency ----


def read_stamps(path):
    return {int(line.split()[0]): int(line.split()[1]) for line in pathlib.Path(path).read_text().splitlines()}


def at(values, share):
    return round(values[min(len(values) - 1, int(len(values) * share))], 3)


def run_latency(bench, round_no):
    """An idle server, one message at a time. From the 250 that the client read; it can be late, so also from the content's first byte."""
    seconds = 2 if bench.args.quick else LATENCY_SECONDS
    count = LATENCY_RATE * seconds
    out, arrived = bench.out / "accepted.txt", bench.out / "arrived.txt"

    def one(server):
        is_done = sink.expect(count)
        cpu = server.group.cpu_seconds()
        driver = json.loads(load.drive(bench.blast(
            server.smtp_port, count, "-x", "-o", str(out), "-r", str(LATENCY_RATE), "-d", FAR))[2])
        load.wait_delivered(server, lambda: is_done(server))
        cpu = server.group.cpu_seconds() - cpu
        sink.expect_exactly(server, count)
        accepted, came = read_stamps(out), read_stamps(arrived)
        after_250 = sorted((came[n] - accepted[n]) / 1e6 for n in accepted)
        after_sent = sorted((came[n] - n) / 1e6 for n in accepted)
        bench.put(part="latency", server=server.name, round=round_no, bytes=5120, n=len(after_250),
                  from_250_p50_ms=at(after_250, 0.5), from_250_p99_ms=at(after_250, 0.99), from_250_max_ms=at(after_250, 1),
                  from_content_p50_ms=at(after_sent, 0.5), from_content_p99_ms=at(after_sent, 0.99),
                  accept_p50_ms=driver["p50_ms"], accept_p99_ms=driver["p99_ms"], cpu_us=round(cpu / count * 1e6, 1))

    with Sink(bench, arrived) as sink:
        each(bench, sink, "latency", one)


# ---- reload ----


class Stream(threading.Thread):
    """One load after the other until it is told to stop. What was refused is counted; a lost connection ends one load, not this."""

    def __init__(self, command):
        super().__init__(daemon=True)
        self.command, self.accepted, self.refused, self.failed, self.failures = command, 0, 0, 0, []
        self.is_ending = threading.Event()

    def run(self):
        while not self.is_ending.is_set():
            done = subprocess.run(self.command, capture_output=True, text=True, check=False)
            if done.stderr and len(self.failures) < 20:
                self.failures.append(done.stderr[-200:])
            # The driver that lost a connection tells nothing but that.
            self.failed += not done.stdout
            if done.stdout:
                told = json.loads(done.stdout)
                self.accepted += told["messages"] - told["refused"]
                self.refused += told["refused"]

    def __enter__(self):
        self.began = time.monotonic()
        self.start()
        return self

    def __exit__(self, *_):
        self.is_ending.set()
        self.join()
        self.ended = time.monotonic()


def wait_arrived(sink, count, seconds):
    """How many came, at most `seconds` from now."""
    end = time.monotonic() + seconds
    while (got := sink.ask("count"))["messages"] < count and time.monotonic() < end:
        time.sleep(0.02)
    return got


def run_reload(bench, round_no):
    """A configuration that differs each time is taken into use while mail flows: is anything refused, is anything lost?"""

    def change(server, value):
        port = SINK_PORT + bench.args.ports
        if server.name == "posthorn":
            server.set_extra(POSTHORN.format(port=port) + POSTHORN_CHANGE.format(value=value))
        else:
            server.set_extra(POSTFIX.format(port=port) + f"smtpd_hard_error_limit = {value}\n")

    def one(server):
        sink.ask("reset")
        took = []
        command = bench.blast(server.smtp_port, RELOAD_COUNTS[server.name], "-s", str(RELOAD_SESSIONS), "-d", FAR)
        with Stream(command) as stream:
            for i in range(RELOADS):
                time.sleep(RELOAD_EVERY_SECONDS)
                change(server, 30 + i)
                began = time.monotonic()
                server.reload()
                took.append((time.monotonic() - began) * 1000)
            time.sleep(RELOAD_EVERY_SECONDS)
        got = wait_arrived(sink, stream.accepted, RELOAD_WAIT_SECONDS)
        bench.put(part="reload", server=server.name, round=round_no, sessions=RELOAD_SESSIONS, reloads=RELOADS, accepted=stream.accepted,
                  arrived=got["messages"], refused=stream.refused, failed_loads=stream.failed,
                  failures=stream.failures, accepted_per_s=round(stream.accepted / (stream.ended - stream.began), 1),
                  last_arrival_s=round(max(0, got["arrived_ns"] / 1e9 - stream.ended), 2), is_queue_empty=server.is_queue_empty(),
                  reload_ms=round(statistics.median(took), 1), reload_max_ms=round(max(took), 1))

    with Sink(bench) as sink:
        each(bench, sink, "reload", one)


# ---- a long queue ----


def queue_detail(server):
    return server.detail("queue")[0]


def fill(bench, server, count):
    return json.loads(load.drive(bench.blast(
        server.smtp_port, count, "-s", "100", "-l", "100", "-u", str(QUEUED_USERS), "-D", str(QUEUED_DOMAINS), "-d", FAR))[2])


def wait_log(path, offset, word, seconds):
    """Seconds since now until a line with the word stands behind the offset."""
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        with open(path, "rb") as f:
            f.seek(offset)
            if word in f.read():
                return time.monotonic() - began
        time.sleep(0.01)
    raise SystemExit(f"{path} does not say {word!r} after {seconds} s")


def start_again(bench, server, round_no, count):
    began = time.monotonic()
    server.command("stop", timeout=QUEUED_STOP_SECONDS)
    server.group.process.wait(QUEUED_STOP_SECONDS)
    stopped = time.monotonic() - began
    server.group.stop()
    log = server.folder / "bench.log"
    offset = log.stat().st_size
    began = time.monotonic()
    server.resume()
    answers = time.monotonic() - began
    wait_log(log, offset, b"queue.loaded", QUEUED_LOAD_SECONDS)
    loaded = time.monotonic() - began
    load.wait_until(lambda: not queue_detail(server)["loading"], "status says that the queue is loaded")
    entries = queue_detail(server)["entries"]
    if entries != count:
        raise SystemExit(f"{count} messages were queued, {entries} after the start")
    server.wait_rest_of(3, QUEUED_REST_SECONDS)
    memory = Memory(server)
    bench.put(part="queue-start", round=round_no, queued=entries, stop_seconds=round(stopped, 2), answers_seconds=round(answers, 2),
              loaded_seconds=round(loaded, 2), loaded_per_s=round(entries / loaded), **memory.row())


def time_command(bench, server, round_no, count, words, operand=()):
    """A command that this program does not have (exit code 2) is passed over."""
    began = time.monotonic()
    done = subprocess.run([server.program, *words, *operand, "--dir", str(server.folder)], capture_output=True, text=True, check=False, timeout=600)
    took = time.monotonic() - began
    if done.returncode != 2:
        bench.put(part="queue-commands", round=round_no, queued=count, command=" ".join(words), seconds=round(took, 3), code=done.returncode,
                  lines=done.stdout.count("\n"), last=done.stdout[-100:].rpartition("\n")[0].rpartition("\n")[2], said=done.stderr[-200:])
    return done.stdout


def commands(bench, server, round_no, count):
    def run(*words, operand=()):
        return time_command(bench, server, round_no, count, words, operand)

    run("status", "--json")
    listed = run("queue", "list", "--destination", f"d5.{FAR}", "--json")
    run("queue", "list")
    try:
        one = json.loads(listed)["rows"][0]["id"]
    except (ValueError, LookupError):
        return
    for words in (("queue", "show"), ("queue", "why"), ("trace",), ("queue", "hold")):
        run(*words, operand=(one,))
    run("queue", "release", operand=(one,))
    run("queue", "why", f"u5@d5.{FAR}")
    run("queue", "hold", "--destination", f"d7.{FAR}")
    run("queue", "release", "--destination", f"d7.{FAR}")
    run("trace", f"u5@d5.{FAR}")


class Memory:
    """Of the queue's process and of all, when this was made."""

    def __init__(self, server):
        pids = [r["pid"] for r in server.status()["rows"] if r["role"].split(".")[0] == "queue"]
        self.queue, self.all = sum(map(meter.pss_of, pids)), server.group.pss_bytes()

    def row(self, word=""):
        return {f"queue_{word}pss_mb": round(self.queue / 1e6, 1), f"all_{word}pss_mb": round(self.all / 1e6, 1)}


def fill_to(bench, server, round_no, count, warm, before):
    """From what is queued to `count`; before is the memory with the first `warm` of them."""
    more = count - queue_detail(server)["entries"]
    others, cpu = load.Others(), server.group.cpu_seconds()
    driver = fill(bench, server, more)
    cpu = server.group.cpu_seconds() - cpu
    row = others.row(cpu + driver["driver_cpu_seconds"])
    load.wait_until(lambda: queue_detail(server)["entries"] == count, f"{count} entries in the queue", every=0.5)
    peak = Memory(server)
    server.wait_rest_of(3, QUEUED_REST_SECONDS)
    after = Memory(server)
    bench.put(part="queue", round=round_no, queued=count, accepted_per_s=driver["per_second"], accept_p99_ms=driver["p99_ms"],
              accept_max_ms=driver["max_ms"], cpu_us=round(cpu / more * 1e6, 1), **before.row("before_"), **peak.row("peak_"), **after.row(),
              queue_bytes_per_message=round((after.queue - before.queue) / (count - warm)),
              all_bytes_per_message=round((after.all - before.all) / (count - warm)), queue_status=queue_detail(server), **row)


def run_queue(bench, round_no):
    """Posthorn alone, once: messages whose destinations are all down, a thousand of them; first a tenth, to see what grows."""
    if round_no > 1:
        return
    most = bench.args.queued // (10 if bench.args.quick else 1)
    server = bench.posthorn(POSTHORN.format(port=CLOSED_PORT + bench.args.ports) + POSTHORN_SLOW)
    server.start()
    bench.put_configuration("queue", server)
    try:
        # What every server has once mail has come is not the queue's.
        warm = min(QUEUED_WARM, most // 20)
        fill(bench, server, warm)
        server.wait_rest_of(3, QUEUED_REST_SECONDS)
        before = Memory(server)
        for count in (most // 10, most):
            fill_to(bench, server, round_no, count, warm, before)
            start_again(bench, server, round_no, count)
            commands(bench, server, round_no, count)
        server.stop()
    finally:
        bench.put_away(server)


# For the tables: those beside Postfix (a remark, the keys, the columns), and those of one server or none.
RELAY_RATES = ["accepted_per_s", "arrived_per_s", "delivered_per_s", "cpu_us", "cpu_us_until_delivered", "driver_cpu_us"]
BESIDE = {
    "relay": ("unsigned", ("load", "bytes", "sessions"), RELAY_RATES),
    "relay-signed": ("RSA-2048 by opendkim and by Posthorn, which signs with Ed25519 as well", ("load", "bytes", "sessions"),
                     [*RELAY_RATES, "of_openssl_pct"]),
    "latency": ("an idle server, one message each 50 ms", ("bytes",),
                ["from_250_p50_ms", "from_250_p99_ms", "from_250_max_ms", "from_content_p50_ms", "from_content_p99_ms", "accept_p50_ms", "cpu_us"]),
}
ALONE = {
    "reload": ("Reload while mail flows", ["server", "sessions"],
               ["reloads", "accepted", "arrived", "refused", "failed_loads", "accepted_per_s", "last_arrival_s", "reload_ms", "reload_max_ms"]),
    "rsa": ("RSA-2048 by openssl speed, one process", [], ["rsa2048_per_s"]),
    "keys": ("The role that signs", ["sessions", "bytes"],
             ["signing_processes", "signatures_per_message", "signatures_per_s_of_process", "signatures_per_cpu_s", "keys_cpu_us_per_message", "signatures_failed"]),
    "queue": ("A long queue", ["queued"],
                ["accepted_per_s", "accept_p99_ms", "accept_max_ms", "cpu_us", "queue_pss_mb", "all_pss_mb", "queue_bytes_per_message",
                 "all_bytes_per_message", "queue_peak_pss_mb", "all_peak_pss_mb"]),
    "queue-start": ("Start with it", ["queued"], ["stop_seconds", "answers_seconds", "loaded_seconds", "loaded_per_s", "queue_pss_mb", "all_pss_mb"]),
    "queue-commands": ("Commands with it", ["queued", "command"], ["seconds", "code", "lines"]),
}
PARTS = {"relay": run_relay, "relay-signed": run_relay_signed, "latency": run_latency, "queue": run_queue, "reload": run_reload}
