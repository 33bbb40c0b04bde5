"""A soak: a server under constant load, whose memory, descriptors, files and latencies must not grow.

usage: soak.py ABIDE [--seconds N] [--svg FILE]

Clients create, hold, stream, list, cancel and delete jobs, and a receiver takes webhooks. Each second is measured. The first
third warms up; over the rest a line is laid through each figure (the median of all slopes), and its rise is judged.

A server remembers some things up to a number: the last 100,000 names of removed jobs, 65,536 changes for followers,
65,536 bodies of creates, and what has changed since the last checkpoint. It takes hours until clients like these have
filled that, and meanwhile memory rises without growing for good. So a long soak begins by filling it.
"""

import argparse
import concurrent.futures
import http.server
import json
import pathlib
import random
import shutil
import signal
import socket
import statistics
import tempfile
import threading
import time

from served import Client, Server

# A soak of this length and more begins with what fills all that the server remembers up to a number.
FILLED_FROM_S = 600
REMEMBERED_MAX = 100_000
# Connections at a time that fill it.
FILLED_BY = 10
# Records go after this time, so that what is kept stays the same.
RETENTION_S = 10
FLAGS = ["--retention", f"{RETENTION_S}s", "--webhook-allow", "127.0.0.1/32", "--stored-bytes-max", "64MiB"]
# What each figure may rise by over the judged time, as a share of its median and at least by that much.
FIGURES = {
    "memory": ("MiB", 0.15, 4.0),
    "descriptors": ("", 0.10, 6.0),
    # The log grows until a checkpoint lets it be cut, every 50,000 entries.
    "files": ("MiB", 0.25, 100.0),
    "create p50": ("ms", 1.00, 100.0),
    "read p50": ("ms", 1.00, 100.0),
    "late p50": ("ms", 1.00, 100.0),
}


def fill(port):
    """Makes as many jobs as the server remembers at most, each with another body. They end at once, and soon go."""
    share = REMEMBERED_MAX // FILLED_BY
    with concurrent.futures.ThreadPoolExecutor(FILLED_BY) as pool:
        list(pool.map(lambda begin: make(port, begin, begin + share), range(0, REMEMBERED_MAX, share)))


def make(port, first, end):
    """Makes these jobs over one connection."""
    connection, at_once = socket.create_connection(("127.0.0.1", port)), 100
    answers = connection.makefile("rb")
    for begin in range(first, end, at_once):
        requests = b""
        for n in range(begin, begin + at_once):
            simulate = {"duration": "0s", "outcome": {"error_chance": 0}, "stages": []}
            body = json.dumps({"kind": f"kind-{n % 20}", "input": n, "simulate": simulate}).encode()
            head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            requests += b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head.encode() + body
        connection.sendall(requests)
        for _ in range(at_once):
            head = iter(lambda: answers.readline().strip().lower(), b"")
            status, *fields = head
            assert b" 202 " in status, status
            length = next(int(field.split(b":")[1]) for field in fields if field.startswith(b"content-length:"))
            answers.read(length)
    connection.close()


class Load:
    """Clients that do the same over and over, and how long it took them since the last look."""

    def __init__(self, server, receiver):
        self.server, self.receiver, self.is_over = server, receiver, False
        self.took = {"create": [], "read": [], "late": []}
        self.failed, self.lock = 0, threading.Lock()
        self.threads = [threading.Thread(target=self.act, args=[number]) for number in range(6)]
        for thread in self.threads:
            thread.start()

    def timed(self, what, client, *asked):
        begun = time.monotonic()
        status, answer = client.ask(*asked)
        with self.lock:
            self.took[what].append((time.monotonic() - begun) * 1_000)
            self.failed += status == 0 or status >= 500
        return answer or {}

    def act(self, number):
        draw = random.Random(number)
        while not self.is_over:
            # Another connection now and then, as clients come and go.
            client = Client(self.server.port)
            for _ in range(draw.randrange(1, 30)):
                if self.is_over:
                    return
                length = draw.uniform(0.05, 0.5)
                body = {"input": "x" * draw.randrange(2_000), "kind": f"kind-{draw.randrange(20)}"}
                body["simulate"] = {"duration": {"fixed": f"{int(length * 1_000)}ms"}, "outcome": {"error_chance": 0}, "stages": []}
                if draw.random() < 0.3:
                    body["webhook"] = {"url": self.receiver}
                id = self.timed("create", client, "POST", "/v1/jobs", body).get("id")
                what = draw.random()
                if what < 0.5:
                    begun = time.monotonic()
                    client.ask("GET", f"/v1/jobs/{id}?wait=5")
                    with self.lock:
                        self.took["late"].append(max(0, time.monotonic() - begun - length) * 1_000)
                elif what < 0.6:
                    client.ask("POST", f"/v1/jobs/{id}/cancel")
                    client.ask("DELETE", f"/v1/jobs/{id}")
                elif what < 0.7:
                    client.ask("GET", "/v1/jobs?limit=20")
                self.timed("read", client, "GET", f"/v1/jobs/{id}")
            client.connection.close()

    def look(self):
        with self.lock:
            took, self.took = self.took, {name: [] for name in self.took}
        return {f"{name} p50": statistics.median(times) if times else None for name, times in took.items()}

    def end(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()


def measure(server, data):
    process = pathlib.Path(f"/proc/{server.process.pid}")
    pages = int((process / "statm").read_text().split()[1])
    files = sum(path.stat().st_size for path in data.iterdir())
    return {"memory": pages / 256, "descriptors": len(list((process / "fd").iterdir())), "files": files / 2**20}


def slope(points):
    """The median of the slopes of all pairs that lie a third of the time apart or more: no outlier moves it."""
    points = points[:: max(1, len(points) // 300)]
    far = (points[-1][0] - points[0][0]) / 3
    return statistics.median((v - u) / (t - s) for n, (s, u) in enumerate(points) for t, v in points[n:] if t - s >= far)


def judge(samples, begin, end):
    """What rises by too much; and a line of each figure."""
    wrong = []
    for name, (unit, share, least) in FIGURES.items():
        points = [(at, figures[name]) for at, figures in samples if at >= begin and figures[name] is not None]
        middle = statistics.median(value for _, value in points)
        rise = slope(points) * (end - begin)
        allowed = max(share * middle, least)
        print(f"{name}: {middle:.1f} {unit}, rises by {rise:+.2f} of {allowed:.2f} allowed")
        if rise > allowed:
            wrong.append(name)
    return wrong


def draw(samples, path):
    """All figures, one below the other."""
    width, height, rows = 900, 120, []
    end = samples[-1][0]
    for row, (name, (unit, *_)) in enumerate(FIGURES.items()):
        points = [(at, figures[name]) for at, figures in samples if figures[name] is not None]
        top, most = 30 + row * (height + 40), max(value for _, value in points) or 1
        line = " ".join(f"{50 + at / end * width:.1f},{top + height - value / most * height:.1f}" for at, value in points)
        rows.append(f'<text x="50" y="{top - 6}">{name}, at most {most:.1f} {unit}</text>')
        rows.append(f'<path d="M50 {top}v{height}h{width}" fill="none" stroke="#999"/>')
        rows.append(f'<polyline points="{line}" fill="none" stroke="#06c"/>')
    size = f'width="{width + 100}" height="{30 + len(FIGURES) * (height + 40)}"'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">{"".join(rows)}</svg>\n')


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes every webhook."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("abide")
    parser.add_argument("--seconds", type=int, default=3_600)
    parser.add_argument("--svg", type=pathlib.Path, default=pathlib.Path("target/soak.svg"))
    arguments = parser.parse_args()
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    room = pathlib.Path(tempfile.mkdtemp(prefix="abide-soak-"))
    (room / "data").mkdir(mode=0o700)
    server = Server(arguments.abide, room, flags=FLAGS)
    try:
        assert server.port, (room / "log").read_text()
        if arguments.seconds >= FILLED_FROM_S:
            fill(server.port)
            time.sleep(2 * RETENTION_S)
        load, samples, begun = Load(server, f"http://127.0.0.1:{receiver.server_port}/"), [], time.monotonic()
        while (at := time.monotonic() - begun) < arguments.seconds and server.process.poll() is None:
            samples.append((at, {**measure(server, room / "data"), **load.look()}))
            time.sleep(1)
        load.end()
        code = server.end(signal.SIGTERM)
        draw(samples, arguments.svg)
        wrong = judge(samples, max(arguments.seconds / 3, 2 * RETENTION_S), arguments.seconds)
        wrong += ["how it ended"] if code != 0 else []
        print(f"{arguments.seconds} s, {load.failed} failed, picture in {arguments.svg}: {' and '.join(wrong) or 'nothing'} grows")
        raise SystemExit(1 if wrong else 0)
    finally:
        server.end(signal.SIGKILL)
        receiver.shutdown()
        shutil.rmtree(room, ignore_errors=True)


main()
