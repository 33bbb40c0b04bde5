"""Fails a PostgreSQL over to its standby under three nodes and a load of creates, round after round.

Usage: checks/cluster/failover.py ROUNDS sync|async
With a synchronous standby nothing that was acknowledged may be lost. With an asynchronous one every loss must be
noticed and named: all nodes end, none starts until `abide cluster accept-loss`, and feeds say `reset` afterwards.
ABIDE names the binary to try, PGBIN the directory of PostgreSQL's programs.
"""

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from load import Load, NotStarted, Server, environment_of, judge, log_of
from pair import NOBODY, Pair

NAMES = ["a", "b", "c"]
# How long something may take on a busy machine.
PATIENCE = 120.0

ROUNDS, KIND = int(sys.argv[1]), sys.argv[2]
ABIDE = os.path.abspath(os.environ.get("ABIDE", "target/debug/abide"))


class Cluster:
    """Three nodes that are started again when they end, as a supervisor does."""

    def __init__(self, work, url):
        self.work, self.environment = work, environment_of(url)
        self.abide("cluster", "init")
        self.nodes = {}
        for name in NAMES:
            self.start(name)
        self.load = Load(*self.addresses())

    def abide(self, *words, code=0):
        run = subprocess.run([ABIDE, *words], env=self.environment, capture_output=True, text=True, timeout=120)
        if run.returncode != code:
            sys.exit(f"WRONG: abide {' '.join(words)} ended with {run.returncode}: {run.stdout}{run.stderr}")
        return run.stdout + run.stderr

    def start(self, name):
        self.nodes[name] = Server(ABIDE, self.environment, self.work, name, "--cluster-listen", "127.0.0.1:0")

    def addresses(self):
        return [node.address for node in self.nodes.values()]

    def supervise(self):
        """Starts what has ended."""
        for name, node in self.nodes.items():
            if node.process.poll() is not None:
                if "panicked" in node.text():
                    sys.exit(f"WRONG: {name} panicked:\n{node.text()}")
                try:
                    self.start(name)
                except NotStarted as refused:
                    # While no primary answers there is nothing to start on: it is tried again, as a supervisor does.
                    if "can't be used at the moment" not in str(refused):
                        raise
                self.load.addresses = self.addresses()

    def lost(self):
        """What the status says that the database has lost."""
        run = subprocess.run([ABIDE, "cluster", "status"], env=self.environment, capture_output=True, text=True)
        found = re.search(r"^lost +(.*)$", run.stdout, re.M)
        return found and found.group(1)

    def go_on(self, creates):
        """Waits for that many acknowledgments while the nodes are supervised."""
        wanted, deadline = len(self.load.acknowledged) + creates, time.monotonic() + PATIENCE
        while len(self.load.acknowledged) < wanted:
            if time.monotonic() > deadline:
                logs = "".join(f"{name}:\n{node.text()[-1500:]}\n" for name, node in self.nodes.items())
                sys.exit(f"WRONG: nothing was acknowledged for {PATIENCE} s\n{logs}")
            self.supervise()
            time.sleep(0.05)

    def stop(self):
        self.load.stopping = True
        for node in self.nodes.values():
            node.kill()


def place_in_feed(address):
    """The place of the last change in a node's feed."""
    host, last = http.client.HTTPConnection(address, timeout=10), None
    host.request("GET", "/v1/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "0"})
    answer, until = host.getresponse(), time.monotonic() + 5
    while last is None and time.monotonic() < until:
        line = answer.readline().decode()
        if line.startswith("id:"):
            last = line[3:].strip()
    host.close()
    return last


def is_reset(address, place):
    """Whether the feed from that place on begins with a `reset`."""
    host = http.client.HTTPConnection(address, timeout=10)
    host.request("GET", "/v1/events", headers={"Accept": "text/event-stream", "Last-Event-ID": place})
    answer = host.getresponse()
    while line := answer.readline().decode():
        if line.startswith("event:"):
            host.close()
            return line.split(":", 1)[1].strip() == "reset"
    return False


def jobs_of(pair, cluster):
    """The numbers of the log's entries, and the jobs that were created: what a checkpoint has covered is in its view."""
    sequence, created = log_of(ABIDE, cluster.environment)
    covered = set(pair.primary.sql("SELECT id FROM abide.job").split()) - set(created)
    if sequence[0] != 1 and not covered:
        sys.exit("WRONG: the log begins late, and no checkpoint has what was before")
    return sequence, [*covered, *created]


def lag(pair, seconds):
    """Stops what the standby receives for that long; gives the process."""
    receiver = pair.standby.receiver()
    os.kill(receiver, signal.SIGSTOP)
    time.sleep(seconds)
    return receiver


def let_go(receiver):
    """Has it end without what it has not read yet: sockets hold more than such a load writes."""
    os.kill(receiver, signal.SIGTERM)
    os.kill(receiver, signal.SIGCONT)


def synchronous(pair, cluster, number):
    """A failover of a synchronous pair. Its kind alternates."""
    kind = ["restarted before", "behind", "at once"][number % 3]
    if kind == "at once":
        pair.fail()
    elif kind == "behind":
        receiver = lag(pair, 0.4)
        pair.primary.kill()
        let_go(receiver)
        pair.promote()
    else:
        # What waits for the standby is on the primary's disk: after a restart it is seen there, and still nowhere else.
        receiver = lag(pair, 3)
        pair.primary.kill()
        pair.primary.start(synchronous=pair.standby.name)
        time.sleep(2)
        pair.primary.kill()
        let_go(receiver)
        pair.promote()
    cluster.go_on(20)
    if lost := cluster.lost():
        sys.exit(f"WRONG: a synchronous pair has lost something ({kind}): {lost}")
    return kind


def asynchronous(pair, cluster, number):
    """A failover of an asynchronous pair that is behind; how many acknowledged jobs it lost."""
    place = place_in_feed(cluster.nodes["b"].address)
    receiver = lag(pair, 0.2 + 0.1 * (number % 4))
    pair.primary.kill()
    let_go(receiver)
    # Some of what was acknowledged before is heard of only now.
    wanted = len(cluster.load.acknowledged) + 20
    pair.promote()
    deadline = time.monotonic() + PATIENCE
    said = None
    while not said and len(cluster.load.acknowledged) < wanted:
        if time.monotonic() > deadline:
            sys.exit("WRONG: neither was a loss noticed nor did writes go on")
        time.sleep(0.05)
        said = cluster.lost()
    if not said:
        if cluster.lost():
            sys.exit("WRONG: a loss was noticed after writes had gone on")
        return 0
    # Every node ends, also one that has seen nothing of what is lost.
    while any(node.process.poll() is None for node in cluster.nodes.values()):
        if time.monotonic() > deadline:
            alive = {name: node.text()[-1500:] for name, node in cluster.nodes.items() if node.process.poll() is None}
            sys.exit(f"WRONG: after a loss nodes go on: {alive}")
        time.sleep(0.05)
    acknowledged = list(cluster.load.acknowledged)
    if not re.search(r"batch \d+", said):
        sys.exit(f"WRONG: the loss isn't named: {said}")
    for command in (["serve", "--listen", "127.0.0.1:0", "--node", "a"], ["cluster", "log"]):
        refused = subprocess.run([ABIDE, *command], env=cluster.environment, capture_output=True, text=True, timeout=60)
        if refused.returncode == 0 or "abide cluster accept-loss" not in refused.stderr:
            sys.exit(f"WRONG: {command} wasn't refused: {refused.returncode} {refused.stdout}{refused.stderr}")
    accepted = cluster.abide("cluster", "accept-loss")
    if "continuing without" not in accepted:
        sys.exit(f"WRONG: accept-loss says {accepted}")
    _, created = jobs_of(pair, cluster)
    lost = {job for _, job in acknowledged} - set(created)
    cluster.load.acknowledged[:] = [(key, job) for key, job in cluster.load.acknowledged if job not in lost]
    cluster.supervise()
    cluster.go_on(20)
    for node in cluster.nodes.values():
        if place and not is_reset(node.address, place):
            sys.exit(f"WRONG: the feed of {node.node} goes on from {place}")
    return len(lost)


def main():
    if KIND not in ("sync", "async"):
        sys.exit(__doc__)
    # One like those of `mktemp -d`, which PostgreSQL's user may enter.
    work = tempfile.mkdtemp(prefix="abide-pair-")
    os.chmod(work, 0o755)
    if os.getuid() == 0:
        os.chown(work, NOBODY, NOBODY)
    pair = cluster = None
    try:
        pair = Pair(work, KIND == "sync")
        cluster = Cluster(work, pair.url)
        cluster.go_on(20)
        outcomes, begun = [], time.monotonic()
        for number in range(ROUNDS):
            cluster.go_on(20)
            outcomes.append((synchronous if KIND == "sync" else asynchronous)(pair, cluster, number))
            pair.join()
            print(f"round {number + 1}: {outcomes[-1]}, {len(cluster.load.acknowledged)} acknowledged", flush=True)
        cluster.load.stop()
        wrong = judge(cluster.load.acknowledged, *jobs_of(pair, cluster))
        for line in wrong:
            print(f"WRONG: {line}")
        said = f"{ROUNDS} failovers ({KIND}) in {time.monotonic() - begun:.0f} s, {len(cluster.load.acknowledged)} creates kept"
        if KIND == "async":
            said += f"; {sum(outcomes)} acknowledged ones were lost in {sum(map(bool, outcomes))} rounds, each noticed and named"
        print(f"{said}, {len(wrong)} wrong")
        return bool(wrong)
    finally:
        if cluster:
            cluster.stop()
        if pair:
            pair.stop()
        if not os.environ.get("KEEP"):
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
