"""From a server's 250 to the whole message at the next server, one message at a time, the queue idle between them."""

import socket
import statistics
import threading
import time

MESSAGE = b"Subject: latency\r\nFrom: <sender@src.test>\r\n\r\n" + b"x" * 70 + b"\r\n"
PAUSE_SECONDS = 0.02
WAIT_SECONDS = 10


class Sink(threading.Thread):
    """Takes everything; the time when each message was whole, before it is answered."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", port))
        self.arrived = []
        self.news = threading.Condition()
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = connection.makefile("rb")
        connection.sendall(b"220 sink ESMTP\r\n")
        for line in lines:
            word = line.split()[0].upper() if line.split() else b""
            if word == b"EHLO":
                connection.sendall(b"250-sink\r\n250 PIPELINING\r\n")
            elif word == b"DATA":
                connection.sendall(b"354 go on\r\n")
                while next(lines, b".\r\n") != b".\r\n":
                    pass
                with self.news:
                    self.arrived.append(time.monotonic())
                    self.news.notify()
                connection.sendall(b"250 taken\r\n")
            elif word == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b"250 ok\r\n")

    def wait(self, n):
        with self.news:
            if not self.news.wait_for(lambda: len(self.arrived) >= n, WAIT_SECONDS):
                raise SystemExit(f"message {n} did not arrive in {WAIT_SECONDS} s")
            return self.arrived[n - 1]

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self.listener.close()


def command(connection, lines, data):
    connection.sendall(data)
    reply = lines.readline()
    while reply[3:4] == b"-":
        reply = lines.readline()
    if reply[:1] not in b"23":
        raise SystemExit(f"{data[:40]!r}: {reply!r}")


def measure(port, sink, count):
    """Milliseconds, sorted; below 0: it had arrived there before the 250 was read here."""
    times = []
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = connection.makefile("rb")
        command(connection, lines, b"")
        command(connection, lines, b"EHLO src.test\r\n")
        for _ in range(count):
            already = len(sink.arrived)
            for data in (b"MAIL FROM:<sender@src.test>\r\n", b"RCPT TO:<you@far.test>\r\n", b"DATA\r\n", MESSAGE + b".\r\n"):
                command(connection, lines, data)
            answered = time.monotonic()
            times.append((sink.wait(already + 1) - answered) * 1000)
            time.sleep(PAUSE_SECONDS)
    return sorted(times)


def summary(times):
    return {"n": len(times), "p50_ms": round(statistics.median(times), 2), "p99_ms": round(times[len(times) * 99 // 100], 2),
            "max_ms": round(times[-1], 2)}
