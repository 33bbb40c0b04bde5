"""Rounds of what can happen to a server on PostgreSQL, under a load of creates; then the judge."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

from load import Load, Server, environment_of, judge, log_of

ABIDE, DATABASE, RESTART, WORK, ROUNDS = sys.argv[1:6]
ENVIRONMENT = environment_of(DATABASE)


def start(node):
    return Server(ABIDE, ENVIRONMENT, WORK, node)


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
    server = start("c")
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
    leader = start(next(names))
    load = Load(leader.address)
    kinds = {"kill": 0, "restart": 0, "zombie": 0}
    zombies = {"ended": 0, "follows": 0}
    load.wait_for(10)
    for number, kind in zip(range(int(ROUNDS)), itertools.cycle(kinds)):
        load.wait_for(20)
        kinds[kind] += 1
        if kind == "kill":
            leader.kill()
            leader = start(leader.node)
            load.addresses = [leader.address]
        elif kind == "restart":
            subprocess.run(["sh", "-c", RESTART], check=True, capture_output=True)
        else:
            # Stopped for longer than another one takes to lead; then it goes on with what it was about to write.
            old, leader = leader, None
            old.send(signal.SIGSTOP)
            leader = start(next(names) + str(number))
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
    sequence, created = log_of(ABIDE, ENVIRONMENT)
    wrong = judge(load.acknowledged, sequence, created)
    check = subprocess.run([ABIDE, "cluster", "check"], env=ENVIRONMENT, capture_output=True, text=True)
    if check.returncode:
        wrong.append(check.stdout + check.stderr)
    wrong += carry()
    for line in wrong:
        print(f"WRONG: {line}")
    longest = max(load.pauses)
    print(
        f"{ROUNDS} rounds ({kinds}), zombies {zombies}: {len(load.acknowledged)} creates acknowledged, {len(sequence)} entries, "
        f"longest pause {longest:.1f} s, {len(wrong)} wrong"
    )
    sys.exit(bool(wrong))
