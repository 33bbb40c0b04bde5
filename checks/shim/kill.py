"""Rounds of `kill -9` under load: after each, every job that was ever acknowledged is read back.

usage: kill.py ABIDE [--rounds N]
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import tempfile
import time

from served import Server, Told, history

# From the start of a round's commands to its end, in seconds.
ROUND_S = (0.02, 0.6)
# Jobs that a round makes at most: each round reads back those of all before it.
ROUND_JOBS = 24


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("abide")
    parser.add_argument("--rounds", type=int, default=1_000)
    arguments = parser.parse_args()
    seed = int(os.environ.get("SEED", "0")) or time.time_ns()
    draw, told = random.Random(seed), Told()
    room = pathlib.Path(tempfile.mkdtemp(prefix="abide-kill-"))
    (room / "data").mkdir(mode=0o700)
    try:
        for number in range(arguments.rounds):
            server = Server(arguments.abide, room)
            state = "is still starting" if server.process.poll() is None else f"ended with {server.process.poll()}"
            wrong = f"it {state}" if server.port is None else told.broken(server)
            if wrong:
                server.end(signal.SIGKILL)
                print(f"SEED={seed} round {number}: {wrong}\n{(room / 'log').read_text(errors='replace')[-600:]}")
                raise SystemExit(1)
            acts = history(server, told, 10**9, jobs=ROUND_JOBS, keys=f"round-{number}")
            time.sleep(draw.uniform(*ROUND_S))
            server.end(signal.SIGKILL)
            for act in acts:
                act.join()
            if number % 50 == 49:
                print(f"{number + 1} rounds, {len(told.jobs)} jobs, {told.commands} commands", flush=True)
        server = Server(arguments.abide, room)
        wrong = told.broken(server)
        server.end(signal.SIGTERM)
        print(f"SEED={seed}: {arguments.rounds} rounds, {len(told.jobs)} jobs, {told.commands} commands were answered, {wrong or 'nothing is lost'}")
        raise SystemExit(1 if wrong else 0)
    finally:
        shutil.rmtree(room, ignore_errors=True)


main()
