"""Our signatures by the official Standard Webhooks library for Python, and its signatures by us.

Usage: interop.py SERVER RECEIVER SECRET
"""

import http.server
import json
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

server, receiver, receiver_secret = sys.argv[1:]
arrived = queue.Queue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        arrived.put((dict(self.headers.items()), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def ask(method, url, body=None, headers=None):
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def fails(secret, headers, body):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return True
    return False


def run_job(webhook=None):
    new = {
        "metadata": {"title": "Übersetzung – 翻訳 🎬", "quote": '"\\'},
        "simulate": {"duration": {"fixed": "200ms"}, "outcome": {"error_chance": 0}},
    }
    if webhook:
        new["webhook"] = webhook
    status, headers, body = ask("POST", f"{server}/v1/jobs", new)
    assert status == 202, body
    return json.loads(body)["id"], headers


def deliveries(job, until="job.completed"):
    found = []
    while True:
        headers, body = arrived.get(timeout=20)
        event = json.loads(body)
        if event["data"]["id"] == job:
            found.append((headers, body))
            if event["type"] == until:
                return found


listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=listener.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{listener.server_port}/"

status, _, body = ask("POST", f"{server}/v1/webhooks", {"url": url, "events": ["job.*"], "ordered": True})
assert status == 201, body
endpoint = json.loads(body)
checked = 0

job, _ = run_job()
for headers, body in deliveries(job):
    event = Webhook(endpoint["secret"]).verify(body, headers)
    assert event["data"]["id"] == job
    assert fails(endpoint["secret"], headers, body + b" ")
    assert fails("whsec_" + "A" * 32, headers, body)
    checked += 1

status, _, body = ask("POST", f"{server}/v1/webhooks/{endpoint['id']}/rotate")
assert status == 200, body
rotated = json.loads(body)
job, _ = run_job()
for headers, body in deliveries(job):
    for secret in (endpoint["secret"], rotated["secret"]):
        Webhook(secret).verify(body, headers)
        checked += 1
assert ask("DELETE", f"{server}/v1/webhooks/{endpoint['id']}")[0] == 204

job, answer = run_job({"url": url})
for headers, body in deliveries(job):
    Webhook(answer["webhook-secret"]).verify(body, headers)
    checked += 1

for n in range(20):
    body = json.dumps({"type": "job.completed", "n": n, "text": "é" * n}).encode()
    now = datetime.now(tz=timezone.utc)
    identity = f"msg_python_{time.time_ns()}"
    signature = Webhook(receiver_secret).sign(identity, now, body.decode())
    signed = {
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    assert ask("POST", receiver, body, signed)[0] == 204
    assert ask("POST", receiver, body[:-1] + b" }", signed)[0] == 401
    checked += 1

print(f"python: {checked} signatures agree, none that shouldn't")
