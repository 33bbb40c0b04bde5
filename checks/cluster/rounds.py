"""Rounds of what can happen to a server on PostgreSQL, under a load of creates; then the judge.

Each create has an idempotency key and is repeated, at whatever server answers, until one acknowledges it. What was
acknowledged is compared with the log at the end: every job is there, each key made one job, none is there twice.
"""

import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

ABIDE, DATABASE, RESTART, WORK, ROUNDS = sys.argv[1:6]
CLIENTS = 2
ENVIRONMENT = {**os.environ, "ABIDE_DATABASE": DATABASE}
for name in ("ABIDE_DATA", "ABIDE_API_KEYS"):
    ENVIRONMENT.pop(name, None)


class Server:
    """A process of `abide serve` that may become a node's successor."""

    made = itertools.count(1)

    def __init__(self, node):
        self.node, number = node, next(Server.made)
        self.log = os.path.join(WORK, f"server-{number}.log")
        # Its output is a file of its own: a pipe that nobody reads would stop it.
        with open(self.log, "wb") as log:
            arguments = [ABIDE, "serve", "--listen", "127.0.0.1:0", "--node", node, "--rate-limit", "off"]
            self.process = subprocess.Popen([*arguments, "--drain", "0s"], stdout=log, stderr=log, env=ENVIRONMENT)
        deadline = time.monotonic() + 60
        while not (found := re.search(r"listening on http://(127\.0\.0\.1:\d+)", self.text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"the server {node} didn't start:\n{self.text()}")
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

    def __init__(self, *addresses):
        self.addresses, self.acknowledged, self.stopping = list(addresses), [], False
        self.pauses, self.last = [], time.monotonic()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(client,)) for client in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def work(self, client):
        connection, address, turn = None, None, client
        for number in itertools.count():
            key = f"key-{client}-{number}"
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

    def wait_for(self, more, limit=60):
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


def judge(acknowledged):
    """What is wrong with the log, given what was acknowledged."""
    run = subprocess.run([ABIDE, "cluster", "log"], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    sequence, created = [], []
    for line in run.stdout.splitlines():
        line = json.loads(line)
        sequence.append(line["seq"])
        if "created" in line["entry"]:
            created.append(line["entry"]["created"]["job"])
    wrong = []
    if sequence != list(range(1, len(sequence) + 1)):
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
    return wrong, len(sequence)


def carry():
    """What is wrong after the log was taken to a directory and brought into another schema."""
    directory, other = os.path.join(WORK, "jobs"), {**ENVIRONMENT, "ABIDE_SCHEMA": "other"}

    def abide(*arguments, environment=ENVIRONMENT):
        run = subprocess.run([ABIDE, *arguments, "--json"], env=environment, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"WRONG: abide {' '.join(arguments)}: {run.stdout}{run.stderr}")
        return json.loads(run.stdout.splitlines()[0])

    states = [abide("cluster", "check"), abide("cluster", "export", "--data", directory)]
    abide("check", directory)
    abide("cluster", "init", environment=other)
    states.append(abide("cluster", "import", "--data", directory, environment=other))
    states.append(abide("cluster", "check", environment=other))
    wrong = [] if all(state == states[0] for state in states) else [f"there and back differ: {states}"]
    ENVIRONMENT["ABIDE_SCHEMA"] = "other"
    server = Server("c")
    load = Load(server.address)
    load.wait_for(5)
    load.stop()
    server.kill()
    again = abide("cluster", "log", "--after", str(states[0]["entry"]))
    if again["seq"] != states[0]["entry"] + 1:
        wrong.append("the numbers don't go on after an import")
    return wrong


if __name__ == "__main__":
    subprocess.run([ABIDE, "cluster", "init"], env=ENVIRONMENT, check=True, capture_output=True)
    names = itertools.cycle("ab")
    leader = Server(next(names))
    load = Load(leader.address)
    kinds = {"kill": 0, "restart": 0, "zombie": 0}
    zombies = {"ended": 0, "follows": 0}
    load.wait_for(10)
    for number, kind in zip(range(int(ROUNDS)), itertools.cycle(kinds)):
        load.wait_for(20)
        kinds[kind] += 1
        if kind == "kill":
            leader.kill()
            leader = Server(leader.node)
            load.addresses = [leader.address]
        elif kind == "restart":
            subprocess.run(["sh", "-c", RESTART], check=True, capture_output=True)
        else:
            # Stopped for longer than another one takes to lead; then it goes on with what it was about to write.
            old, leader = leader, None
            old.send(signal.SIGSTOP)
            leader = Server(next(names) + str(number))
            load.addresses = [leader.address]
            load.wait_for(20)
            load.addresses = [old.address, leader.address]
            old.send(signal.SIGCONT)
            deadline = time.monotonic() + 20
            while old.process.poll() is None and "another node leads now" not in old.text():
                if time.monotonic() > deadline:
                    sys.exit(f"a server that was succeeded goes on:\n{old.text()}")
                time.sleep(0.02)
            zombies["follows" if old.process.poll() is None else "ended"] += 1
            load.wait_for(20)
            load.addresses = [leader.address]
            old.kill()
        load.wait_for(10)
    load.stop()
    leader.kill()
    wrong, entries = judge(load.acknowledged)
    check = subprocess.run([ABIDE, "cluster", "check"], env=ENVIRONMENT, capture_output=True, text=True)
    if check.returncode:
        wrong.append(check.stdout + check.stderr)
    wrong += carry()
    for line in wrong:
        print(f"WRONG: {line}")
    longest = max(load.pauses)
    print(
        f"{ROUNDS} rounds ({kinds}), zombies {zombies}: {len(load.acknowledged)} creates acknowledged, {entries} entries, "
        f"longest pause {longest:.1f} s, {len(wrong)} wrong"
    )
    sys.exit(bool(wrong))
