"""Every n-th call to the system fails: what was acknowledged is there after a restart, or the server said so and stopped.

usage: nth.py ABIDE SHIM [--sample N] [--only CALL] [--all-ways] [--commands N] [--jobs N]

Counts the calls of a history of commands, then plays the history again for each call, which fails in one of its ways by turns
or in all of them, or for a sample of N of all these. Then the same with little memory and few descriptors. Prints each that
breaks the law.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import resource
import shutil
import signal
import tempfile
import time

from served import Server, Told, history

FILES = {
    "open": ["ENOSPC", "EROFS", "EIO", "EINTR"],
    "write": ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EINTR", "short", "torn"],
    "sync": ["ENOSPC", "EDQUOT", "EIO", "EINTR", "lost"],
    "truncate": ["ENOSPC", "EIO", "EINTR"],
    "unlink": ["EIO"],
    "rename": ["ENOSPC", "EIO"],
}
SOCKETS = {
    "accept": ["EMFILE", "ECONNABORTED", "ENOBUFS", "EINTR"],
    "receive": ["ECONNRESET", "EINTR", "short"],
    "send": ["EPIPE", "ECONNRESET", "EINTR", "short"],
}
# Disks that say that they have written and haven't: the next start may find the damage, and says so.
LIES = ("lost", "torn")


def play(arguments, env, limit=None, kill=signal.SIGKILL):
    """Plays the history with that fault: what breaks the law, if anything does; how many commands were answered; how many
    calls of that sort were made."""
    room = pathlib.Path(tempfile.mkdtemp(prefix="abide-nth-"))
    (room / "data").mkdir(mode=0o700)
    told, count = Told(), room / "count"
    env = {**env, "FAIL_DIR": str(room / "data"), "FAIL_COUNT": str(count)} if env else {}
    try:
        server = Server(arguments.abide, room, env, limit)
        if server.port is not None:
            for act in history(server, told, arguments.commands):
                act.join()
        elif server.process.poll() is None:
            server.end(signal.SIGKILL)
            return "neither serves nor ends", 0, 0
        code = server.end(kill)
        log = (room / "log").read_text(errors="replace")
        calls = int((count.read_text() or "0").split()[0]) if count.exists() else 0
        if "panicked" in log or code in (-signal.SIGABRT, -signal.SIGSEGV, "hangs"):
            return f"ended by {code}: {log[-400:]}", told.commands, calls
        again = Server(arguments.abide, room)
        if again.port is None:
            again.end(signal.SIGKILL)
            text = (room / "log").read_text(errors="replace")[-300:]
            # It says so and doesn't start, which is the law where the disk has lied.
            return None if env.get("FAIL_HOW") in LIES else f"doesn't start again: {text}", told.commands, calls
        wrong = told.broken(again)
        again.end(signal.SIGTERM)
        return (str(wrong) if wrong else None), told.commands, calls
    finally:
        shutil.rmtree(room, ignore_errors=True)


def faults(arguments):
    """Every n-th call fails, in every way."""
    all_faults = []
    for call, hows in {**FILES, **SOCKETS}.items():
        if arguments.only and call != arguments.only:
            continue
        env = {"LD_PRELOAD": arguments.shim, "FAIL_CALL": call}
        wrong, answered, calls = play(arguments, env, kill=signal.SIGTERM)
        assert wrong is None and answered == arguments.commands, (call, wrong, answered)
        print(f"{call}: {calls} calls", flush=True)
        for n in range(1, calls + 1):
            for how in hows if arguments.all_ways or arguments.sample else [hows[n % len(hows)]]:
                all_faults.append({**env, "FAIL_N": str(n), "FAIL_HOW": how, "FAIL_FOR": "4" if n % 3 == 0 else "1"})
    if arguments.sample:
        seed = int(os.environ.get("SEED", "0")) or time.time_ns()
        print(f"SEED={seed}")
        all_faults = random.Random(seed).sample(all_faults, min(arguments.sample, len(all_faults)))
    broken, met, answered = 0, 0, 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:

        def one(fault):
            return fault, play(arguments, fault, kill=signal.SIGTERM if int(fault["FAIL_N"]) % 2 else signal.SIGKILL)

        for fault, (wrong, commands, calls) in pool.map(one, all_faults):
            met += calls >= int(fault["FAIL_N"])
            answered += commands
            if wrong:
                broken += 1
                print(f"{fault['FAIL_CALL']} {fault['FAIL_N']} {fault['FAIL_HOW']} x{fault['FAIL_FOR']}: {wrong}", flush=True)
    print(f"{len(all_faults)} histories, {met} met their fault, {answered} commands were answered, {broken} broke the law", flush=True)
    return broken


def limits(arguments):
    """Too little memory and too few descriptors: it answers or refuses, and what was acknowledged stays."""
    broken = 0
    for what, values in {
        resource.RLIMIT_AS: [160 << 20, 320 << 20, 640 << 20, 2 << 30],
        resource.RLIMIT_NOFILE: [24, 32, 64],
    }.items():
        for value in values:
            wrong, answered, _ = play(arguments, {}, limit=lambda: resource.setrlimit(what, (value, value)), kill=signal.SIGTERM)
            name = "memory" if what == resource.RLIMIT_AS else "descriptors"
            print(f"{name} {value}: {answered} answered, {wrong or 'fine'}", flush=True)
            broken += bool(wrong)
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("abide")
    parser.add_argument("shim")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--only", choices=[*FILES, *SOCKETS])
    parser.add_argument("--all-ways", action="store_true")
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    broken = faults(arguments)
    if not arguments.only:
        broken += limits(arguments)
    raise SystemExit(1 if broken else 0)


main()
