"""Deliveries to good receivers beside bad ones, over real sockets. See checks/webhook-neighbors.sh."""

import http.server
import json
import multiprocessing
import os
import pathlib
import socket
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from server import Server  # noqa: E402 -- it is found by the line above

SECONDS = int(sys.argv[1]) if sys.argv[1:] else 10
# How often both are measured, in turns: a machine that is busy with something else then counts for both alike.
ROUNDS = 5
# Endpoints of the bad owners: names that hang, receivers of four bad sorts, and receivers that are told nothing.
HANGING, BAD, OWNERS, PER_OWNER = 300, 900, 5, 1_000
GOOD = 10
# How much longer a good receiver may wait than alone, and what is lost in the noise of a shared machine.
SLOWER_MAX, NOISE_S = 1.5, 0.001

arrived = {}


class Good(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        arrived.setdefault((body["data"]["id"], self.path), time.time())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Receivers(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 1_024

    def handle_error(self, *_):
        pass  # The server is gone.


def good_receiver():
    receivers = Receivers(("127.0.0.1", 0), Good)
    threading.Thread(target=receivers.serve_forever, daemon=True).start()
    return receivers.server_address[1]


def bad_receiver():
    """A listener on every address of 127.1/16."""
    return socket.create_server(("0.0.0.0", 0), backlog=1_024)


def treat_badly(listener, answer):
    """Answers each connection so, or never."""
    kept = []
    while True:
        connection, _ = listener.accept()
        if answer is None:
            kept.append(connection)
            continue
        try:
            connection.recv(1 << 16)
            connection.sendall(answer)
            # What isn't read makes the end a reset.
            connection.close()
        except OSError:
            pass


def disturb(receivers):
    """Makes jobs of the bad owners, one a second, and is their receivers. In a process of its own that gives way: such
    receivers are other machines, and mustn't keep the one that measures waiting."""
    os.nice(10)
    for listener, answer in receivers:
        threading.Thread(target=treat_badly, args=(listener, answer), daemon=True).start()
    while True:
        for owner in range(1, OWNERS + 1):
            ask(owner, "POST", "/v1/jobs", NEW)
            time.sleep(1)


def silent_name_server():
    """The machine's name server, in this mount namespace: takes questions and never answers."""
    questions = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    questions.bind(("127.0.0.77", 53))
    config = tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False)
    config.write("nameserver 127.0.0.77\noptions timeout:5 attempts:3\n")
    config.close()
    subprocess.run(["mount", "--bind", config.name, "/etc/resolv.conf"], check=True)
    return questions


def secret_of(owner):
    return f"secret-of-owner-{owner}-{'x' * 20}"


def start():
    """A server with a key for each owner, and the endpoints of the good one."""
    keys = [word for n in range(OWNERS + 1) for word in ("--api-key", f"owner-{n}:user:{secret_of(n)}")]
    return Server("--rate-limit", "off", "--webhook-allow", "127.0.0.0/8", *keys)


def ask(owner, method, path, body=None):
    status, answer = server.ask(method, path, body, {"Authorization": f"Bearer {secret_of(owner)}"})
    assert status < 300, (status, answer)
    return answer


def register(owner, url, event="job.completed"):
    ask(owner, "POST", "/v1/webhooks", {"url": url, "events": [event]})


NEW = {"simulate": {"duration": "0s", "outcome": {"error_chance": 0}}}


def deliver(seconds):
    """Makes jobs of the good owner, and gives how long each of their deliveries took, in order of length."""
    asked, end = {}, time.time() + seconds
    while time.time() < end:
        begun = time.time()
        asked[ask(0, "POST", "/v1/jobs", NEW)["id"]] = begun
        time.sleep(max(0, begun + 0.05 - time.time()))
    pairs = [(job, f"/{n}") for job in asked for n in range(GOOD)]
    end = time.time() + 30
    while time.time() < end and any(pair not in arrived for pair in pairs):
        time.sleep(0.05)
    lost = [pair for pair in pairs if pair not in arrived]
    assert not lost, f"{len(lost)} of {len(pairs)} deliveries to good receivers didn't come within 30 s"
    return sorted(arrived[pair] - asked[pair[0]] for pair in pairs)


def of_hundred(times, share):
    return times[min(len(times) - 1, len(times) * share // 100)]


def register_bad_ones(idle_port, bad_ports):
    urls = [f"http://hangs-{n}.example.test/" for n in range(HANGING)]
    urls += [f"http://127.1.{n // 250}.{n % 250 + 1}:{bad_ports[n % 4]}/{n}" for n in range(BAD)]
    for n in range(OWNERS * PER_OWNER):
        owner = 1 + n % OWNERS
        if n < len(urls):
            register(owner, urls[n])
        else:
            register(owner, f"http://127.0.0.1:{idle_port}/idle/{n}", "job.canceled")


def measure(port, receivers, bad_ports):
    """How long deliveries to the good receivers take on a server of their own: beside bad ones, if there are any."""
    global server
    server, bad = start(), None
    try:
        for n in range(GOOD):
            register(0, f"http://127.0.0.1:{port}/{n}")
        if receivers:
            register_bad_ones(port, bad_ports)
            bad = multiprocessing.get_context("fork").Process(target=disturb, args=(receivers,), daemon=True)
            bad.start()
        # Until the receivers are known, and the bad ones are at their worst.
        deliver(5)
        return deliver(SECONDS)
    finally:
        if bad:
            bad.kill()
        server.stop()
        arrived.clear()


def main():
    port = good_receiver()
    refusing = socket.socket()
    refusing.bind(("127.0.0.1", 0))
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    fails = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    receivers = [(bad_receiver(), answer) for answer in (None, fails, endless)]
    bad_ports = [listener.getsockname()[1] for listener in [*(listener for listener, _ in receivers), refusing]]
    worst = {"alone": [], "beside": []}
    for turn in range(ROUNDS):
        for name, their in (("alone", []), ("beside", receivers)):
            times = measure(port, their, bad_ports)
            worst[name].append(of_hundred(times, 99))
            print(f"{turn + 1} {name}: median {of_hundred(times, 50) * 1000:.1f} ms, p99 {worst[name][-1] * 1000:.1f} ms "
                  f"of {len(times)} deliveries", flush=True)
    alone, beside = (statistics.median(worst[name]) for name in ("alone", "beside"))
    print(f"p99 alone {alone * 1000:.1f} ms; beside {HANGING} hanging names, {BAD} bad receivers and {OWNERS * PER_OWNER} endpoints "
          f"{beside * 1000:.1f} ms: {beside / alone:.2f} times as long; medians of {ROUNDS} rounds")
    return beside <= SLOWER_MAX * alone + NOISE_S


server = None
questions = silent_name_server()
sys.exit(not main())
