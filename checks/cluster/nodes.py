"""Strikes the leader of three nodes on one PostgreSQL under load, round after round, and judges what was acknowledged.

Usage: checks/cluster/nodes.py ABIDE DATABASE WORK ROUNDS [LEASE]
In turn the leader is killed, stopped for longer than its lease, cut off from everything and cut off from the database
alone, and every other round the lead is moved. The last two need network namespaces; without root they are left out.
The cluster is a schema of its own. Clients create jobs on any node, each under a key that it repeats until it is
answered, and wait for them on any node. Then every job must be on every node, once for its key, and ended.
"""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from network import network

NAMES = ["n1", "n2", "n3"]
CLIENTS = 6
# Machines that check are busy: the bound is for a leader that is never succeeded, not for a late one.
PAUSE_MAX = 30.0
START_MAX = 300.0

abide, database, work, rounds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
# In seconds.
LEASE = float(sys.argv[5]) if len(sys.argv) > 5 else 2.0
environment = {**os.environ, "ABIDE_DATABASE": database, "ABIDE_SCHEMA": "nodes"}
# How long a leader is stopped or cut off.
STRUCK = LEASE * 1.6
net = network(NAMES)
processes, urls = {}, {}
is_over = threading.Event()
lock = threading.Lock()
# Ids by key, and the instants of acknowledgments.
acknowledged, instants, wrong = {}, [], []


def run(*words):
    done = subprocess.run([abide, *words], env=environment, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise SystemExit(f"abide {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def start(name):
    ready = f"{work}/{name}.url"
    if os.path.exists(ready):
        os.remove(ready)
    at, place = f"{net.address(name)}:0", urllib.parse.urlsplit(database)
    there = place._replace(netloc=f"{place.username}@{net.database}:{place.port}").geturl()
    words = [*net.command(name), abide, "serve", "--database", there, "--node", name]
    words += ["--listen", at, "--cluster-listen", at, "--allow-anonymous", "--allow-host", net.address(name)]
    words += ["--rate-limit", "off", "--ready-file", ready, "--lease", f"{LEASE * 1000:.0f}ms"]
    with open(f"{work}/{name}.log", "a") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    deadline = time.monotonic() + START_MAX
    while not os.path.exists(ready) or not open(ready).read().strip():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{name} doesn't start: {open(f'{work}/{name}.log').read()[-2000:]}")
        time.sleep(0.05)
    processes[name], urls[name] = process, open(ready).read().strip()


def ask(path, body=None, key=None, timeout=LEASE / 2):
    """An answer of a node, or nothing."""
    url = urls[random.choice(NAMES)].rstrip("/") + path
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, None
    except (OSError, http.client.HTTPException):
        return None, None


def client(number):
    made = 0
    while not is_over.is_set():
        key = f"{os.getpid()}-{number}-{made}"
        made += 1
        new = {"simulate": {"duration": {"fixed": f"{random.randrange(50, 1500)}ms"}, "outcome": {"error_chance": 0}}}
        while True:
            status, job = ask("/v1/jobs", new, key)
            if status in (200, 202):
                break
            if status not in (None, 503):
                wrong.append(f"a create was answered {status}")
                return
            time.sleep(0.05)
        with lock:
            acknowledged.setdefault(key, set()).add(job["id"])
            instants.append(time.monotonic())
        status, read = ask(f"/v1/jobs/{job['id']}?after={job['revision']}&wait=3s", timeout=4)
        if status == 404:
            wrong.append(f"{job['id']} was unknown after its create was answered")
        if status == 200 and read["revision"] < job["revision"]:
            wrong.append(f"{job['id']} went back from {job['revision']} to {read['revision']}")


def supervise():
    """Starts what has ended: a leader whose append was refused, because another one leads."""
    for name in NAMES:
        if processes[name].poll() is not None:
            start(name)


def leader():
    for _ in range(600):
        name = json.loads(run("cluster", "status", "--json"))["leader"]["node"]
        if name in processes and processes[name].poll() is None:
            return name
        time.sleep(0.1)
    raise SystemExit("no node leads")


def kill(name):
    processes[name].send_signal(signal.SIGKILL)
    processes[name].wait()


def stop(name):
    processes[name].send_signal(signal.SIGSTOP)
    time.sleep(STRUCK)
    processes[name].send_signal(signal.SIGCONT)


def cut(name):
    net.cut(name, True)
    time.sleep(STRUCK)
    net.cut(name, False)


def cut_from_database(name):
    net.cut_from_database(name, True)
    time.sleep(STRUCK)
    net.cut_from_database(name, False)


def judge():
    for key, ids in acknowledged.items():
        if len(ids) != 1:
            wrong.append(f"the key {key} made {ids}")
    for name in NAMES:
        host = http.client.HTTPConnection(urllib.parse.urlsplit(urls[name]).netloc, timeout=30)
        for job in sorted(job for ids in acknowledged.values() for job in ids):
            host.request("GET", f"/v1/jobs/{job}?wait=10s")
            answer = host.getresponse()
            read = json.loads(answer.read())
            if answer.status != 200 or read["status"] != "completed":
                wrong.append(f"{job} on {name} is answered {answer.status} {read.get('status')}")


def main():
    run("cluster", "init")
    for name in NAMES:
        start(name)
    leader()
    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in clients:
        thread.start()
    strikes = {"killed": kill, "stopped": stop}
    if net.can_cut:
        strikes |= {"cut off": cut, "cut off from the database": cut_from_database}
    kinds = list(strikes)
    pauses, moves = {kind: [] for kind in kinds}, 0
    try:
        for number in range(rounds):
            time.sleep(LEASE * 3 / 4)
            supervise()
            name, kind = leader(), kinds[number % len(kinds)]
            struck, seen = time.monotonic(), len(instants)
            strikes[kind](name)
            # From one acknowledgment to the next, over the strike.
            deadline = struck + STRUCK + PAUSE_MAX
            while time.monotonic() < deadline and (not instants or instants[-1] < struck + LEASE / 2):
                time.sleep(0.02)
            if time.monotonic() >= deadline:
                wrong.append(f"round {number}: no create was acknowledged for {PAUSE_MAX} s, the leader was {kind}")
            else:
                with lock:
                    over = [struck, *instants[seen:]]
                pauses[kind].append(max(later - earlier for earlier, later in zip(over, over[1:])))
            supervise()
            if number // len(kinds) % 2 == 1:
                run("cluster", "move")
                moves += 1
    finally:
        is_over.set()
    for thread in clients:
        thread.join()
    supervise()
    judge()
    print(run("cluster", "check").strip())
    for name in NAMES:
        if "panicked" in open(f"{work}/{name}.log").read():
            wrong.append(f"{name} panicked: {work}/{name}.log")
    struck = ", ".join(f"{kind} {len(of)} times" for kind, of in pauses.items())
    print(f"leaders {struck}, the lead moved {moves} times")
    print(f"{len(acknowledged)} creates acknowledged, {len(wrong)} things wrong")
    if not net.can_cut:
        print("SKIPPED: nothing was cut off, because this user can't make network namespaces")
    for kind, of in pauses.items():
        if of:
            of.sort()
            pause = f"writes paused for {of[len(of) // 2]:.2f} s at the median, {of[-1]:.2f} s at most"
            print(f"{kind}: {pause}, with a lease of {LEASE} s")
    for what in wrong[:20]:
        print(what)
    return 1 if wrong else 0


try:
    code = main()
finally:
    for process in processes.values():
        process.kill()
    net.remove()
sys.exit(code)
