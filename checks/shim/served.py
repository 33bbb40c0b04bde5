"""A server in a child process, what it is asked, and what it has acknowledged."""

import http.client
import json
import os
import random
import subprocess
import threading
import time


class Server:
    """A server in a child process, which may not start."""

    def __init__(self, abide, room, env=None, limit=None, flags=()):
        self.ready = room / "ready"
        self.ready.unlink(missing_ok=True)
        command = [abide, "serve", "--listen", "127.0.0.1:0", "--data", str(room / "data"), "--ready-file", str(self.ready)]
        command += ["--duration", "50ms", "--drain", "2s", "--log", "warn", "--rate-limit", "off", *flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ABIDE_")}
        with open(room / "log", "wb") as log:
            self.process = subprocess.Popen(command, env={**environment, **(env or {})}, stdout=log, stderr=log, preexec_fn=limit)
        self.port = None
        end = time.monotonic() + 300
        while time.monotonic() < end and self.process.poll() is None:
            text = self.ready.read_text() if self.ready.exists() else ""
            if text.strip():
                self.port = int(text.strip().rstrip("/").rsplit(":", 1)[1])
                return
            time.sleep(0.01)

    def end(self, how):
        """How it ended; what doesn't end within 60 s is killed, and that is told."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "hangs"


class Client:
    """A client that keeps its connection."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, method, path, body=None, headers=None):
        """The status and the answer; 0 without an answer."""
        try:
            self.connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            self.connection.close()
            return 0, None


class Told:
    """What the server has acknowledged: of each job the revision, its end, or that it was deleted. What was asked and not
    acknowledged may have been done."""

    def __init__(self):
        self.jobs, self.deleted, self.asked_to_delete, self.lock = {}, set(), set(), threading.Lock()
        self.commands = 0

    def note(self, status, job):
        with self.lock:
            self.commands += status != 0
            if status in (200, 202):
                self.jobs[job["id"]] = max(self.jobs.get(job["id"], (0, None)), (job["revision"], job["outcome"] if job["done"] else None))

    def broken(self, server):
        """What the server, started again, doesn't have any more."""
        client, found, path = Client(server.port), {}, "/v1/jobs?limit=1000"
        while path:
            status, page = client.ask("GET", path)
            if status != 200:
                return f"a list is answered by {status}"
            found.update({job["id"]: job for job in page["jobs"]})
            path = page["next_page_token"] and f"/v1/jobs?limit=1000&page_token={page['next_page_token']}"
        wrong = [f"{job} is back" for job in self.deleted if job in found]
        for job, (revision, outcome) in self.jobs.items():
            now = found.get(job)
            if now is None and job not in self.asked_to_delete:
                wrong.append(f"{job} is lost")
            elif now and (now["revision"] < revision or outcome and now["outcome"] != outcome):
                wrong.append(f"{job} was told at {revision} as {outcome} and is at {now['revision']} as {now['outcome']}")
        return wrong


def commands(server, told, number, count, jobs, keys):
    """One client that makes up to `jobs` jobs, reports on, cancels and deletes some; `keys` tells its keys from others'."""
    client, draw, mine = Client(server.port), random.Random(f"{keys} {number}"), []
    for n in range(count):
        if server.process.poll() is not None:
            return
        what = draw.random()
        if not mine or what < 0.6 and len(mine) < jobs:
            body = {"input": "x" * (n % 5 * 300), "worker": "external" if n % 3 == 0 else "simulator"}
            status, job = client.ask("POST", "/v1/jobs", body, {"Idempotency-Key": f"{keys}-{number}-{n}"})
            if status in (200, 202):
                mine.append(job["id"])
        else:
            id = draw.choice(mine)
            if what < 0.75:
                status, job = client.ask("POST", f"/v1/jobs/{id}/cancel")
            elif what < 0.9:
                report = {"result": n} if n % 2 else {"progress": {"percent": n % 100}}
                status, job = client.ask("PATCH", f"/v1/jobs/{id}", report)
            else:
                told.asked_to_delete.add(id)
                status, job = client.ask("DELETE", f"/v1/jobs/{id}")
                if status == 204:
                    told.deleted.add(id)
        told.note(status, job)


def history(server, told, count, clients=8, jobs=10**9, keys="key"):
    """`count` commands by `clients` clients at a time, so that the server writes them in batches, as under load. They
    make `jobs` jobs at most."""
    each = count // clients, jobs // clients, keys
    acts = [threading.Thread(target=commands, args=[server, told, number, *each]) for number in range(clients)]
    for act in acts:
        act.start()
    return acts
