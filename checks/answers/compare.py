#!/usr/bin/env python3
"""Compares the answers of two builds of the server, byte for byte.

Usage: checks/answers/compare.py OLD_BINARY NEW_BINARY [--show N]

Both builds get the same requests in the same order, over raw sockets, with the same seed and a clock that stands still:
every route, every method, known and unknown ids, bad bodies, odd encodings, pipelining, HTTP/1.0, holds and streams.
Each difference is printed; the exit code is 0 only without one. What differs on purpose stands in `EXPECTED`, with the reason.
"""
import json
import re
import socket
import subprocess
import sys
import time

# Requests whose answers differ on purpose: a pattern over the request's first lines, and the reason.
EXPECTED = [
    (r"(?is)^\w+ (/metrics|/v1/simulator|/v1/clock)\b.*authorization:", "these need a key of the role admin"),
    (r"(?is)^\w+ (/v1/simulator|/v1/clock|/v1/report)\b", "these aren't limited any more, so their answers don't tell of limits"),
    (r"^\w+ /openapi.json", "it describes what changed"),
    (r"(?is)^(?!.*\r\nhost: localhost\r\n)", "a request says once where it goes"),
]

HOST = "localhost"
ROUTES = [
    "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/", "/", "/assets/app.css", "/favicon.ico",
    "/jobs", "/status", "/status/{job}", "/webhooks/register", "/webhooks/unregister", "/register-webhook",
    "/v1/jobs", "/v1/jobs/wait", "/v1/jobs/{job}", "/v1/jobs/{job}/cancel", "/v1/jobs/{job}/deliveries",
    "/v1/jobs/{job}/looks", "/v1/jobs/{job}/watchers", "/v1/webhooks", "/v1/webhooks/{hook}",
    "/v1/webhooks/{hook}/deliveries", "/v1/webhooks/{hook}/replay", "/v1/webhooks/{hook}/rotate",
    "/v1/webhooks/{hook}/test", "/v1/deliveries/{delivery}", "/v1/deliveries/{delivery}/retry", "/v1/clock",
    "/v1/simulator", "/v1/simulator/scenarios", "/v1/report", "/v2", "/v1", "/v1/", "/v1/jobs/{job}/odd",
    "/v1/jobs/a/b/c/d", "//", "/status/a/b", "/webhooks", "/v1/clock/advance",
]
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"]
IDS = {
    "{job}": ["{job0}", "job_0", "job_00000000000000000000000000", "nope", "%", "%zz", "job%5F1", "ä", "%C3%A4", "%00", "%2F",
              "{job0}%20", "{JOB0}"],
    "{hook}": ["{hook0}", "wh_0", "nope", "%5F"],
    "{delivery}": ["msg_0", "nope", "%5F"],
}
JSON = [("Content-Type", "application/json")]


def request(method, target, fields=(), body=b"", version="1.1", close=True):
    """The bytes of one request."""
    if isinstance(body, str):
        body = body.encode()
    lines = [f"{method} {target} HTTP/{version}", f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in fields]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Server:
    """One build, running."""

    def __init__(self, binary, flags):
        flags = ["serve", "--listen", "127.0.0.1:0", "--ephemeral", "--clock", "manual", "--seed", "7", "--webhook-allow", "127.0.0.0/8", *flags]
        self.process = subprocess.Popen([binary, *flags], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                return
        raise SystemExit(f"{binary} did not start")

    def ask(self, raw, patience=4.0):
        """What comes back on a connection of its own, until the server closes it or is silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=patience) as connection:
            connection.sendall(raw)
            answer = b""
            try:
                while piece := connection.recv(1 << 16):
                    answer += piece
            except (TimeoutError, ConnectionResetError) as end:
                answer += f"<{type(end).__name__}>".encode()
            return answer

    def json(self, raw):
        return json.loads(self.ask(raw).split(b"\r\n\r\n", 1)[1])

    def end(self):
        self.process.terminate()
        self.process.wait(10)


def normal(answer, port):
    """An answer without what may differ between two processes, its headers sorted."""
    text = answer.decode("utf8", "surrogateescape").replace(str(port), "PORT")
    # How long a receiver took is real time; secrets come from the system's source of randomness.
    text = re.sub(r"\"duration_ms\":\d+", "\"duration_ms\":N", text)
    text = re.sub(r"whsec_[A-Za-z0-9+/]{43}=", "whsec_SECRET", text)
    parts = []
    while text.startswith("HTTP/1."):
        head, _, rest = text.partition("\r\n\r\n")
        status, *fields = head.split("\r\n")
        fields = sorted(name.lower() + ":" + value for name, _, value in (field.partition(":") for field in fields))
        again = rest.find("HTTP/1.")
        body = rest if again < 0 else rest[:again]
        if "# TYPE abide_" in body:
            # Figures differ between any two runs, and with them what is shown; the names don't.
            body = "\n".join(sorted(line for line in body.splitlines() if line.startswith("#")))
            fields = [field for field in fields if not field.startswith("content-length")]
        parts.append("\n".join([status, *fields]))
        parts.append(body)
        text = "" if again < 0 else rest[again:]
    return "\n\n".join(parts + [text])


def plan(known):
    """Every request, as bytes."""
    fill = lambda path, ids: [path] if "{" not in path else [
        path.replace(name, value.replace("{JOB0}", known["job0"].upper()).format(**known))
        for name, values in IDS.items() if name in path for value in (values if ids else values[:1])
    ]
    for path in ROUTES:
        for method in METHODS:
            for target in fill(path, False):
                if method in ("POST", "PATCH", "DELETE") and "{" not in path and path in ("/v1/report", "/v1/clock/advance"):
                    continue
                yield request(method, target)
                if method in ("GET", "POST", "HEAD"):
                    yield request(method, target + "/")
                    yield request(method, target + "?odd=1")
                    yield request(method, target + "?%zz")
        for target in fill(path, True):
            yield request("GET", target)
        for body in ("{", "[]", "null", "1", '"x"', '{"odd": 1}', '{"a":' * 130 + "1" + "}" * 130, "\ufeff{}", b"\xff\xfe"):
            for target in fill(path, False):
                yield request("POST", target, JSON, body)
        for target in fill(path, False):
            yield request("POST", target, [("Content-Type", "text/plain")], "{}")
            yield request("POST", target, (), "{}")
            yield request("PATCH", target, JSON, '{"odd": 1}')
            yield request("GET", target, [("Accept", "text/html")])
            yield request("GET", target, [("X-Request-Id", "mine"), ("Origin", "http://evil.example")])
            yield request("GET", target, [("Authorization", "Bearer wrong")])
            yield request("POST", target, [("Sec-Fetch-Site", "cross-site"), *JSON], "{}")
    job = known["job0"]
    for query in ("wait=0", "wait=1ms", "w%61it=0", "wait=-1", "wait=x", "wait=1e309", "after=0", "after=1", "after=99&wait=0",
                  "until=any", "until=done&wait=0", "until=odd", "wait=0&wait=1", "", "&", "=", "wait", "wait=0&odd=1"):
        yield request("GET", f"/v1/jobs/{job}?{query}")
        yield request("GET", f"/v1/jobs/{known['done0']}?{query}")
    for fields in ([("Prefer", "wait=0")], [("Prefer", "wait=1")], [("Prefer", "respond-async, wait=0")], [("Prefer", "wait")],
                   [("If-None-Match", '"1"')], [("If-None-Match", 'W/"1"')], [("If-None-Match", "*")],
                   [("If-None-Match", '"1"'), ("Prefer", "wait=0")], [("If-None-Match", '"0", "1-gzip"')]):
        for path in (f"/v1/jobs/{job}", f"/v1/jobs/{known['done0']}", "/v1/jobs", "/status", f"/status/{job}"):
            yield request("GET", path, fields)
            yield request("HEAD", path, fields)
    for query in ("limit=1", "limit=0", "limit=1001", "limit=x", "status=running", "status=odd", "kind=video_translation",
                  "created_after=2026-01-01T00:00:00Z", "created_before=x", "created_after=2026-01-01T00%3A00%3A00%2B02%3A00",
                  "metadata.a=b", "page=x", "page_token=x", "id=" + job, "ids=" + job, "order=asc", "done=true"):
        yield request("GET", f"/v1/jobs?{query}")
    for query in ("job_id=" + job, "job_id=nope", "job_id=", "mode=short", "mode=long&job_id=" + known["done0"], "mode=odd",
                  "job_id=" + job.replace("_", "%5F")):
        yield request("GET", f"/status?{query}")
    for body in ('{}', '{"kind": "x"}', '{"kind": ""}', '{"kind": 1}', '{"input": {"a": [1, 2.50, 1e400]}}', '{"input": "\\ud800"}',
                 '{"metadata": {"a": "b"}}', '{"metadata": 1}', '{"worker": "external"}', '{"worker": "odd"}', '{"deadline_s": 5}',
                 '{"deadline_s": -1}', '{"simulate": {"duration": {"fixed": "2s"}}}', '{"simulate": {"duration": "2s"}}',
                 '{"simulate": {"duration": {"uniform": {"min": "3s", "max": "1s"}}}}', '{"simulate": {"odd": 1}}',
                 '{"simulate": {"outcome": {"error_chance": 2}}}', '{"simulate": {"stages": []}}',
                 '{"simulate": {"faults": [{"fault": "error", "status": 503, "first": 1}]}}',
                 '{"simulate": {"faults": [{"fault": "odd"}]}}', '{"webhook": {"url": "http://10.0.0.1/"}}', '{"webhook": {"url": "x"}}',
                 '{"webhook": {}}', '{"kind": "a", "kind": "b"}', '{"input": "' + "x" * 300_000 + '"}'):
        yield request("POST", "/v1/jobs", JSON, body)
        yield request("POST", "/jobs", JSON, body)
    for fields in ([("Idempotency-Key", "k1")], [("Idempotency-Key", "k1")], [("Idempotency-Key", '"k1"')], [("Idempotency-Key", "")],
                   [("Idempotency-Key", "x" * 256)], [("Idempotency-Key", "ä")], [("Prefer", "wait=0")], [("Prefer", "respond-async")]):
        yield request("POST", "/v1/jobs", [*JSON, *fields], '{"kind": "once"}')
    yield request("POST", "/v1/jobs", [*JSON, ("Idempotency-Key", "k1")], '{"kind": "other"}')
    for body in ('{"processing_duration": 3, "should_error": true}', '{"processing_duration": -1}', '{"processing_duration": "x"}', "{}"):
        yield request("POST", "/jobs", JSON, body)
    for body in ('{"jobs": []}', '{"jobs": [{"id": "nope"}]}', f'{{"jobs": [{{"id": "{job}"}}], "wait": 0}}',
                 f'{{"jobs": [{{"id": "{job}", "after": 0}}, {{"id": "nope"}}], "wait": 1}}', '{"jobs": 1}',
                 f'{{"jobs": [{{"id": "{job}"}}], "until": "odd"}}'):
        yield request("POST", "/v1/jobs/wait", JSON, body)
    for path in ("/webhooks/register", "/register-webhook", "/v1/webhooks"):
        for body in ("{}", '{"url": 1}', '{"url": "x"}', '{"url": "http://127.0.0.1:1/x"}', '{"url": "http://127.0.0.1:1/x"}',
                     '{"url": "http://10.1.1.1/"}', '{"url": "http://u:p@127.0.0.1:1/"}', "x"):
            yield request("POST", path, JSON, body)
    for body in ('{"url": "http://127.0.0.1:1/x"}', '{"url": "http://127.0.0.1:1/none"}', "x", ""):
        yield request("DELETE", "/webhooks/unregister", JSON, body)
    # Faults, in every spelling of the job.
    for spelling in (known["faulty"], known["faulty"].replace("_", "%5F")):
        for path in (f"/v1/jobs/{spelling}", f"/status/{spelling}", f"/status?job_id={spelling}"):
            yield request("GET", path)
    # The connection: versions, framings, pipelines, half-closes.
    read = request("GET", f"/v1/jobs/{known['done0']}", close=False)
    last = request("GET", "/healthz")
    for raw in (
        read + read + last, request("HEAD", f"/v1/jobs/{known['done0']}", close=False) + last,
        request("GET", "/healthz", version="1.0"), request("GET", "/healthz", [("Connection", "keep-alive")], version="1.0", close=False) + last,
        request("GET", f"/v1/jobs/{job}?wait=1", close=False) + last, request("GET", f"/v1/jobs/{job}?wait=1"),
        request("GET", f"/v1/jobs/{job}?wait=1", version="1.0"),
        request("HEAD", f"/v1/jobs/{job}?wait=1", close=False) + last,
        request("GET", f"/v1/jobs/{known['done0']}/events", close=False) + last,
        request("GET", f"/v1/jobs/{known['done0']}/events"), request("GET", f"/v1/jobs/{known['done0']}/events", version="1.0"),
        request("HEAD", f"/v1/jobs/{known['done0']}/events"),
        request("GET", f"/v1/jobs/{known['done0']}/events?last_event_id=1"), request("GET", "/v1/events?after=x"),
        request("GET", f"/v1/jobs/{known['done0']}/events", [("Last-Event-ID", "x")]),
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{}",
        b"GET /healthz HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", b"nonsense\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000 + b"\r\nConnection: close\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n",
    ):
        yield raw


def prepare(server, fields):
    """Jobs and an endpoint to ask for."""
    make = lambda body: server.json(request("POST", "/v1/jobs", [*JSON, *fields], json.dumps(body)))["id"]
    known = {
        "job0": make({"worker": "external", "kind": "slow", "metadata": {"a": "b"}}),
        "done0": make({"worker": "external"}),
        "faulty": make({"simulate": {"duration": {"fixed": "1h"}, "faults": [{"fault": "error", "status": 503}]}}),
    }
    server.ask(request("PATCH", f"/v1/jobs/{known['done0']}", [*JSON, *fields], '{"result": {"ok": true}}'))
    hook = server.json(request("POST", "/v1/webhooks", [*JSON, *fields], '{"url": "http://127.0.0.1:1/hook", "secret": "whsec_' + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" + '"}'))
    known["hook0"] = hook["id"]
    return known


def main():
    old, new = sys.argv[1:3]
    show = int(sys.argv[sys.argv.index("--show") + 1]) if "--show" in sys.argv else 40
    different = asked = expected = 0
    for flags, fields in (
        (["--rate-limit", "off"], []),
        (["--rate-limit", "off", "--api-key", "an-api-key-of-20-letters"], [("Authorization", "Bearer an-api-key-of-20-letters")]),
        (["--rate-limit", "3/min"], []),
    ):
        limited = "3/min" in flags
        servers = [Server(binary, flags if not limited else ["--rate-limit", "40/min"]) for binary in (old, new)]
        try:
            known = [prepare(server, fields) for server in servers]
            if known[0] != known[1]:
                print("the jobs have different names:", known)
            plans = [list(plan(names)) for names in known]
            for n, (raw, other) in enumerate(zip(*plans)):
                if limited and n % 9:
                    continue
                if fields and n % 5:
                    continue
                asked += 1
                answers = [normal(server.ask(bytes_), server.port) for server, bytes_ in zip(servers, (raw, other))]
                if answers[0] == answers[1]:
                    continue
                head = raw[:300].decode("utf8", "replace")
                reason = next((why for pattern, why in EXPECTED if re.search(pattern, head)), None)
                if reason:
                    expected += 1
                    continue
                different += 1
                if different <= show:
                    print(f"== {' '.join(flags)}\n{head}\n-- old\n{answers[0][:1500]}\n-- new\n{answers[1][:1500]}\n", flush=True)
        finally:
            for server in servers:
                server.end()
    print(f"{asked} requests, {different} different, {expected} different on purpose")
    sys.exit(1 if different else 0)


main()
