"""The worst client for each limit, against a server that may use 2 GiB of address space. See checks/limits.sh."""

import json
import multiprocessing
import os
import pathlib
import re
import resource
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "common"))
from server import Server  # noqa: E402 -- it is found by the line above

ADDRESS_SPACE = 2 << 30
BIG = "x" * 250_000
# How much longer others may wait than without the worst client, and what is lost in the noise of a shared machine.
SLOWER_MAX, NOISE_S = 2, 0.002


# How long a turn of a process that only keeps a processor busy lasts.
TURN_S = 0.01

# Open files that the server may have in the scene of connections.
FILES_MAX = 1_024


class Crowd(Server):
    """A server that may use 2 GiB of address space, and clients that make it work."""

    def __init__(self, *flags, files_max=None):
        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
            if files_max:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))

        super().__init__(*flags, limit=limit)

    def leave(self, request, count, buffer=4096):
        """Sends a request on each of `count` connections and reads no answer."""
        connections = []
        for n in range(count):
            connection = self.connect(buffer=buffer)
            connection.sendall(request(n) if callable(request) else request)
            connections.append(connection)
        return connections

    def send(self, requests, address="127.0.0.1"):
        """Sends requests on one connection, fifty ahead of their answers, and gives how often each status came."""
        connection, statuses, buffer = self.connect(address), {}, b""
        for begin in range(0, len(requests), 50):
            part = requests[begin : begin + 50]
            connection.sendall(b"".join(part))
            for _ in part:
                while b"\r\n\r\n" not in buffer:
                    buffer += connection.recv(1 << 16)
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                length = re.search(rb"content-length: (\d+)", head, re.I)
                length = int(length[1]) if length else 0
                while len(buffer) < length:
                    buffer += connection.recv(1 << 16)
                buffer = buffer[length:]
                statuses[int(head[9:12])] = statuses.get(int(head[9:12]), 0) + 1
        connection.close()
        return statuses


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
    fields = ["Content-Type: application/json", "Content-Length: 21"]
    create = lambda n: head("POST", "/v1/jobs", f"Idempotency-Key: key {n}", *fields) + b'{"worker":"external"}'
    assert server.send([create(n) for n in range(20_000)]) == {202: 20_000}


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


def kinds(server):
    made = server.send([post("/v1/jobs", {"kind": f"kind {n} {'x' * 80}", "simulate": {"duration": "0s"}}) for n in range(10_000)])
    assert made == {202: 10_000}, made


def plans(server):
    samples = {"empirical": [n / 10_000 for n in range(10_000)]}
    stages = [{"name": f"{n} {'x' * 90}", "share": 1} for n in range(50)]
    faults = [{"fault": "latency", "delay": "1ms", "nth": n + 1} for n in range(50)]
    new = {"simulate": {"duration": samples, "stages": stages, "faults": faults}}
    made = server.send([post("/v1/jobs", new) for _ in range(300)])
    assert set(made) <= {202, 422, 507}, made


def removed(server):
    for _ in range(10):
        made = []
        for _ in range(200):
            made.append(server.ask("POST", "/v1/jobs", {"simulate": {"duration": "0s"}})[1]["id"])
        gone = server.send([head("DELETE", f"/v1/jobs/{job}") for job in made])
        assert set(gone) <= {204, 409}, gone


def claims(server):
    kinds = [f"nobody's {n} {'x' * 85}" for n in range(50)]
    return server.leave(post("/v1/jobs/claim", {"kinds": kinds, "wait": 50}), 2_000, None)


def reads(server):
    made, _ = fill(server, 500, {"worker": "external"})
    for agent in range(40):
        field = f"User-Agent: client-{agent}/1.0"
        read = server.send([head("GET", f"/v1/jobs/{job}", field) for job in made])
        assert read == {200: len(made)}, read


def targets(server):
    asked = server.send([head("GET", f"/v1/jobs?metadata.x={n}{'x' * 7_000}") for n in range(3_000)])
    assert asked == {200: 3_000}, asked


def files(server):
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"x" * 100_000
    form = head("POST", "/dialects/openai/v1/videos", "Content-Type: multipart/form-data; boundary=x", "Content-Length: 500000000",
                "Authorization: Bearer anybody-anybody-anybody")
    return server.leave(form + part, 500, None)


def multiplexed(server):
    """Streams of HTTP/2 whose window stays shut, as many as a connection may have."""
    made, _ = fill(server, 1)
    frame = lambda kind, flags, stream, data=b"": struct.pack(">I", len(data))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + data
    field = lambda name, value: b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
    block = field(b":method", b"GET") + field(b":path", f"/v1/jobs/{made[0]}".encode()) + field(b":scheme", b"http")
    block += field(b":authority", b"127.0.0.1")
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, 0))
    requests = b"".join(frame(1, 5, stream, block) for stream in range(1, 512, 2))
    return server.leave(hello + requests, 40)


def pictures(server):
    """Pages that need no key and whose answers nobody reads."""
    return server.leave(head("GET", "/docs/swagger-ui-bundle.js"), 800)


def hanging(server):
    """Receivers that take the event and never answer, and others that answer without end."""
    kept = []

    def receive(listener, is_endless):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            if is_endless:
                threading.Thread(target=endless, args=(connection,), daemon=True).start()

    def endless(connection):
        try:
            connection.sendall(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.sendall(b"1000\r\n" + b"x" * 4_096 + b"\r\n")
                time.sleep(0.01)
        except OSError:
            pass

    for is_endless in (False, True):
        listener = socket.create_server(("127.0.0.1", 0), backlog=1_000)
        kept.append(listener)
        threading.Thread(target=receive, args=(listener, is_endless), daemon=True).start()
        for n in range(100):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/{n}"
            assert server.ask("POST", "/v1/webhooks", {"url": url, "events": ["job.*"]})[0] == 201
    fill(server, 50, {"worker": "external", "input": "x" * 50_000})
    time.sleep(5)
    return kept


def connections(server):
    """Connections that say nothing, as many as an address can open."""
    kept = []
    for _ in range(FILES_MAX + 200):
        kept.append(server.connect())
    return kept


def addresses(server):
    """A client that has very many addresses, and spends the allowance of each."""
    create = [post("/v1/jobs", {"worker": "external"})] * 12
    for n in range(1_500):
        address = f"127.{1 + n // 65_000}.{n // 250 % 250}.{1 + n % 250}"
        if not address.startswith("127.0.0."):
            server.send(create, address)


SCENES = [stored, pages, sets, jobs, feeds, streams, bodies, deliveries, keys, holds, filters, latencies, kinds, plans, removed]
SCENES += [claims, reads, targets, files, multiplexed, pictures, hanging, connections, addresses]
# What these clients ask for takes both processors of a small machine, which the client that measures needs too. So their usual time
# is that of an idle server beside processes that take as much: what is more than twice that is the server's doing.
BUSY = [feeds, deliveries, hanging]
# What the server of a scene is started with, if not without a limit of rates.
FLAGS = {addresses: ["--rate-limit", "10/min"], files: ["--rate-limit", "off", "--dialects", "all"]}


def others(server, seconds):
    """The median time that a client of another address waits for a create and for a read."""
    times, end = [], time.time() + seconds
    while time.time() < end:
        begun = time.time()
        status, job = server.ask("POST", "/v1/jobs", {"worker": "external"}, address="127.0.0.2")
        assert status in (202, 429, 507), (status, job)
        assert server.ask("GET", "/healthz", address="127.0.0.2")[0] in (200, 429)
        times.append(time.time() - begun)
        time.sleep(0.02)
    return sorted(times)[len(times) // 2]


def spent(*processes):
    """The processor time of these processes until now, in seconds."""
    stats = [open(f"/proc/{process}/stat").read().rsplit(")", 1)[1].split() for process in processes]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


def keep_busy(share):
    """Takes that share of a processor."""
    while True:
        until = time.thread_time() + share * TURN_S
        while time.thread_time() < until:
            pass
        time.sleep((1 - share) * TURN_S)


def usual_beside(load, processes):
    """How long others wait for an idle server on a machine of which that many processors are busy."""
    server, count = Crowd("--rate-limit", "off"), os.cpu_count()
    busy = [processes.Process(target=keep_busy, args=(min(load / count, 1),), daemon=True) for _ in range(count)]
    for process in busy:
        process.start()
    waited = [others(server, 1) for _ in range(4)]
    for process in busy:
        process.kill()
    server.stop()
    return sorted(waited)[len(waited) // 2]


def work(scene, server, is_over):
    """The worst client, in a process of its own: it mustn't keep the one that measures waiting."""
    left = scene(server)
    is_over.set()
    signal.pause()
    return left


def main():
    processes = multiprocessing.get_context("fork")
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    failed = False
    for scene in SCENES:
        if sys.argv[1:] and scene.__name__ not in sys.argv[1:]:
            continue
        flags = FLAGS.get(scene, ["--rate-limit", "off"])
        server = Crowd(*flags, files_max=FILES_MAX if scene is connections else None)
        usual = others(server, 1)
        waited, loads, is_over = [usual], [0], processes.Event()
        working = processes.Process(target=work, args=(scene, server, is_over), daemon=True)
        working.start()
        is_last = False
        while not is_last:
            is_last = is_over.is_set() or not working.is_alive()
            begun, before = time.time(), spent(server.process.pid, working.pid)
            waited.append(others(server, 3 if is_last else 1))
            loads.append((spent(server.process.pid, working.pid) - before) / (time.time() - begun))
        is_fine = working.is_alive()
        worst = max(waited)
        is_up = server.process.poll() is None
        peak = int(re.search(r"VmPeak:\s+(\d+)", open(f"/proc/{server.process.pid}/status").read())[1]) >> 10 if is_up else 0
        figures = f"others {usual * 1000:.1f} -> {worst * 1000:.1f} ms, address space {peak} MiB"
        if is_up:
            figures += f", stored {server.metric('abide_stored_bytes') / 2**20:.0f} MiB, in flight {server.metric('abide_inflight_bytes') / 2**20:.0f} MiB"
        working.kill()
        server.stop()
        allowed = SLOWER_MAX * usual + NOISE_S
        if scene in BUSY:
            load = loads[waited.index(worst)]
            usual = usual_beside(load, processes)
            allowed = SLOWER_MAX * usual
            figures += f", an idle server beside as much load ({load:.1f} processors) {usual * 1000:.1f} ms"
        is_fine &= is_up and worst <= allowed
        failed |= not is_fine
        print(f"{'ok  ' if is_fine else 'FAIL'} {scene.__name__}: {figures}", flush=True)
    sys.exit(failed)


main()
