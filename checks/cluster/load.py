"""Servers on one database, a load of creates at them, and a judge of what was acknowledged.

Each create has an idempotency key and is repeated, at whichever server answers, until one acknowledges it. What was
acknowledged is compared with the log: every job is there, each key made one job, none is there twice.
"""

import http.client
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time

CLIENTS = 2
# Machines that check are busy: the bounds are for what never comes, not for what comes late.
START_MAX = 300.0
ACKNOWLEDGED_MAX = 60.0


def environment_of(database, **more):
    """The environment of servers and commands on that database."""
    environment = {**os.environ, "ABIDE_DATABASE": database, **more}
    for name in ("ABIDE_DATA", "ABIDE_API_KEYS"):
        environment.pop(name, None)
    return environment


class NotStarted(SystemExit):
    """A process of `abide serve` has ended at once, or says no address."""


class Server:
    """A process of `abide serve`."""

    made = itertools.count(1)

    def __init__(self, abide, environment, work, node, *more):
        self.node = node
        self.log = os.path.join(work, f"server-{next(Server.made)}.log")
        # Its output is a file of its own: a pipe that nobody reads would stop it.
        with open(self.log, "wb") as log:
            words = [abide, "serve", "--listen", "127.0.0.1:0", "--node", node, "--rate-limit", "off", "--drain", "0s"]
            self.process = subprocess.Popen([*words, *more], stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + START_MAX
        while not (found := re.search(r"listening on http://(127\.0\.0\.1:\d+)", self.text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NotStarted(f"the server {node} didn't start:\n{self.text()}")
            time.sleep(0.02)
        self.address = found.group(1)

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Load:
    """Creates jobs as fast as they are acknowledged, at the servers that are up."""

    runs = itertools.count(1)

    def __init__(self, *addresses):
        self.addresses, self.acknowledged, self.stopping = list(addresses), [], False
        self.pauses, self.last = [], time.monotonic()
        self.lock, self.run = threading.Lock(), next(Load.runs)
        self.threads = [threading.Thread(target=self.work, args=(client,)) for client in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def work(self, client):
        connection, address, turn = None, None, client
        for number in itertools.count():
            key = f"key-{self.run}-{client}-{number}"
            while not self.stopping:
                if connection is None:
                    turn += 1
                    addresses = self.addresses
                    address = addresses[turn % len(addresses)]
                    connection = http.client.HTTPConnection(address, timeout=1)
                try:
                    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
                    connection.request("POST", "/v1/jobs", "{}", headers)
                    answer = connection.getresponse()
                    body = answer.read()
                    if answer.status in (200, 201, 202):
                        self.note(key, json.loads(body)["id"])
                        break
                    if answer.status != 503:
                        print(f"WRONG: a create was answered {answer.status} {body!r}", flush=True)
                        os._exit(1)
                except (OSError, http.client.HTTPException):
                    pass
                connection.close()
                connection = None
                time.sleep(0.02)
            if self.stopping:
                return

    def note(self, key, job):
        with self.lock:
            now = time.monotonic()
            self.pauses.append(now - self.last)
            self.last = now
            self.acknowledged.append((key, job))

    def wait_for(self, more, limit=ACKNOWLEDGED_MAX):
        """Waits until that many creates more are acknowledged."""
        wanted, deadline = len(self.acknowledged) + more, time.monotonic() + limit
        while len(self.acknowledged) < wanted:
            if time.monotonic() > deadline:
                sys.exit(f"nothing was acknowledged for {limit} s")
            time.sleep(0.01)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def log_of(abide, environment, after=None):
    """The numbers of the log's entries, and the jobs that were created."""
    words = [abide, "cluster", "log"] + ([] if after is None else ["--after", str(after)])
    run = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    sequence, created = [], []
    for line in run.stdout.splitlines():
        line = json.loads(line)
        sequence.append(line["seq"])
        if "created" in line["entry"]:
            created.append(line["entry"]["created"]["job"])
    return sequence, created


def judge(acknowledged, sequence, created):
    """What is wrong with the log, given what was acknowledged."""
    wrong = []
    # The beginning may be covered by a checkpoint.
    if sequence != list(range(sequence[0], sequence[0] + len(sequence))):
        wrong.append("the numbers of the log are not dense")
    if len(created) != len(set(created)):
        wrong.append("a job was created twice")
    lost = {job for _, job in acknowledged} - set(created)
    if lost:
        wrong.append(f"{len(lost)} acknowledged jobs are lost, such as {min(lost)}")
    jobs_of = {}
    for key, job in acknowledged:
        if jobs_of.setdefault(key, job) != job:
            wrong.append(f"{key} made two jobs")
    return wrong
