"""The worst client for each limit, against a server that may use 2 GiB of address space. See checks/limits.sh."""

import http.client
import json
import os
import re
import resource
import socket
import subprocess
import sys
import threading
import time

ADDRESS_SPACE = 2 << 30
BIG = "x" * 250_000
# How much longer others may wait than without the worst client, and what is lost in the noise of a shared machine and of this
# program, which works for both.
SLOWER_MAX, NOISE_S = 2, 0.025


class Server:
    def __init__(self, *flags):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))

        command = [os.environ["ABIDE"], "serve", "--listen", "127.0.0.1:0", "--ephemeral", "--rate-limit", "off", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        else:
            raise SystemExit("the server didn't start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def connect(self, address="127.0.0.1", buffer=None):
        connection = socket.socket()
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.bind((address, 0))
        connection.settimeout(60)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def ask(self, method, path, body=None, headers=(), address="127.0.0.1"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(address, 0))
        body = None if body is None else json.dumps(body)
        connection.request(method, path, body, {"Content-Type": "application/json", **dict(headers)})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else text.decode()

    def leave(self, request, count, buffer=4096):
        """Sends a request on so many connections and reads no answer."""
        connections = []
        for _ in range(count):
            connection = self.connect(buffer=buffer)
            connection.sendall(request)
            connections.append(connection)
        return connections

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)", self.ask("GET", "/metrics", address="127.0.0.3")[1], re.M)[1])

    def stop(self):
        self.process.kill()
        self.process.wait()


def head(method, path, *fields):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", ""]).encode()


def post(path, body):
    body = json.dumps(body).encode()
    return head("POST", path, "Content-Type: application/json", f"Content-Length: {len(body)}") + body


def fill(server, count, body=None):
    made = []
    for _ in range(count):
        status, job = server.ask("POST", "/v1/jobs", body or {"worker": "external", "input": BIG})
        if status != 202:
            return made, (status, job.get("detail"))
        made.append(job["id"])
    return made, None


def stored(server):
    _, refused = fill(server, 5_000)
    assert refused and refused[0] == 507 and "--stored-bytes" in refused[1], refused


def pages(server):
    fill(server, 200)
    return server.leave(head("GET", "/v1/jobs?limit=1000"), 200)


def sets(server):
    made, _ = fill(server, 200)
    return server.leave(post("/v1/jobs/wait", {"jobs": [{"id": job} for job in made]}), 200)


def jobs(server):
    made, _ = fill(server, 1)
    return server.leave(head("GET", f"/v1/jobs/{made[0]}"), 1_000)


def feeds(server):
    streams = server.leave(head("GET", "/v1/events"), 500)
    time.sleep(1)
    fill(server, 70)
    return streams


def streams(server):
    made, _ = fill(server, 1)
    for percent in range(40):
        server.ask("PATCH", f"/v1/jobs/{made[0]}", {"progress": {"percent": percent}})
    return server.leave(head("GET", f"/v1/jobs/{made[0]}/events"), 500)


def bodies(server):
    half = head("POST", "/v1/jobs", "Content-Type: application/json", "Content-Length: 262144") + b'{"input":"' + b"x" * 131_072
    return server.leave(half, 1_000, None)


def deliveries(server):
    for n in range(200):
        server.ask("POST", "/v1/webhooks", {"url": f"http://127.0.0.1:9/{n}", "events": ["job.*"]})
    made, _ = fill(server, 1)
    for percent in range(100):
        server.ask("PATCH", f"/v1/jobs/{made[0]}", {"progress": {"percent": percent}})


def keys(server):
    for n in range(5_000):
        server.ask("POST", "/v1/jobs", {"worker": "external"}, {"Idempotency-Key": f"key {n}"})


def holds(server):
    made, _ = fill(server, 1_000, {"worker": "external"})
    body = {"jobs": [{"id": job, "after": 1} for job in made], "wait": 60}
    return server.leave(post("/v1/jobs/wait", body), 1_000, None)


def filters(server):
    fill(server, 2_000, {"worker": "external", "metadata": {"note": "x" * 4_000}})
    return server.leave(head("GET", "/v1/jobs?metadata.nobody=x&limit=1000"), 20)


def latencies(server):
    faults = [{"fault": "latency", "delay": "366d"}]
    _, job = server.ask("POST", "/v1/jobs", {"simulate": {"duration": "300d", "faults": faults}})
    return server.leave(head("GET", f"/v1/jobs/{job['id']}"), 1_000)


SCENES = [stored, pages, sets, jobs, feeds, streams, bodies, deliveries, keys, holds, filters, latencies]


def others(server, seconds):
    """The median time that a client of another address waits for a create and for a read."""
    times, end = [], time.time() + seconds
    while time.time() < end:
        begun = time.time()
        status, job = server.ask("POST", "/v1/jobs", {"worker": "external"}, address="127.0.0.2")
        assert status in (202, 507), (status, job)
        assert server.ask("GET", "/healthz", address="127.0.0.2")[0] == 200
        times.append(time.time() - begun)
        time.sleep(0.02)
    return sorted(times)[len(times) // 2]


def main():
    failed = False
    for scene in SCENES:
        if sys.argv[1:] and scene.__name__ not in sys.argv[1:]:
            continue
        server = Server()
        usual = others(server, 1)
        left, waited = [], [usual]
        working = threading.Thread(target=lambda: left.append(scene(server)))
        working.start()
        while working.is_alive():
            waited.append(others(server, 1))
        waited.append(others(server, 3))
        worst = max(waited)
        is_up = server.process.poll() is None
        peak = int(re.search(r"VmPeak:\s+(\d+)", open(f"/proc/{server.process.pid}/status").read())[1]) >> 10 if is_up else 0
        is_fine = is_up and bool(left) and worst <= SLOWER_MAX * usual + NOISE_S
        failed |= not is_fine
        figures = f"others {usual * 1000:.1f} -> {worst * 1000:.1f} ms, address space {peak} MiB"
        if is_up:
            figures += f", stored {server.metric('abide_stored_bytes') / 2**20:.0f} MiB, in flight {server.metric('abide_inflight_bytes') / 2**20:.0f} MiB"
        print(f"{'ok  ' if is_fine else 'FAIL'} {scene.__name__}: {figures}", flush=True)
        server.stop()
    sys.exit(failed)


main()
