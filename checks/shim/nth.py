"""Every n-th call to the system fails: what was acknowledged is there after a restart, or the server said so and stopped.

usage: nth.py ABIDE SHIM [--sample N] [--only CALL] [--from N] [--all-ways] [--commands N] [--jobs N]

Counts the calls of a history of commands, then plays the history again for each call, which fails in one of its ways by turns
or in all of them, or for a sample of N of all these; --from leaves out the first calls. Then the same with little memory and few
descriptors (--only limits plays these alone). Prints each that breaks the law.
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


def play(arguments, env, limit=None, squeeze=None, kill=signal.SIGKILL):
    """Plays the history with that fault, or with that limit from the start or once it runs: what breaks the law, if anything
    does; how many commands were answered; how many calls of that sort were made."""
    room = pathlib.Path(tempfile.mkdtemp(prefix="abide-nth-"))
    (room / "data").mkdir(mode=0o700)
    told, count = Told(), room / "count"
    env = {**env, "FAIL_DIR": str(room / "data"), "FAIL_COUNT": str(count)} if env else {}
    try:
        server = Server(arguments.abide, room, env, limit)
        if server.port is not None:
            if squeeze:
                squeeze(server.process.pid)
            for act in history(server, told, arguments.commands):
                act.join()
        elif server.process.poll() is None:
            server.end(signal.SIGKILL)
            return "neither serves nor ends", 0, 0
        code = server.end(kill)
        log = (room / "log").read_text(errors="replace")
        calls = int((count.read_text() or "0").split()[0]) if count.exists() else 0
        # Without memory a process can say so and end, and that is all.
        is_said = code == -signal.SIGABRT and "memory allocation of" in log and (limit or squeeze)
        if "panicked" in log or code in (-signal.SIGABRT, -signal.SIGSEGV, "hangs") and not is_said:
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
        for n in range(arguments.first, calls + 1):
            for how in hows if arguments.all_ways or arguments.sample else [hows[n % len(hows)]]:
                all_faults.append({**env, "FAIL_N": str(n), "FAIL_HOW": how, "FAIL_FOR": "4" if n % 3 == 0 else "1"})
    if arguments.sample:
        all_faults = random.Random(arguments.seed).sample(all_faults, min(arguments.sample, len(all_faults)))
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
    """Too little memory and too few descriptors, at every size of a range, from the start and once the server runs: it answers or
    refuses, or says so and ends, and what was acknowledged stays."""
    memory, files, mib = resource.RLIMIT_AS, resource.RLIMIT_NOFILE, 1 << 20
    plays = [("memory", memory, size * mib, False) for size in [*range(48, 352, 16), 640, 2_048]]
    plays += [("descriptors", files, count, False) for count in range(8, 49)]
    plays += [("more memory", memory, size * mib // 4, True) for size in range(0, 48)]
    plays += [("more descriptors", files, count, True) for count in range(0, 25)]
    if arguments.sample:
        plays = random.Random(arguments.seed).sample(plays, min(arguments.sample, len(plays)))

    def one(sort):
        _, what, value, is_late = sort

        def squeeze(process):
            taken = {
                memory: lambda: int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[0]) * resource.getpagesize(),
                files: lambda: 1 + max(int(file.name) for file in pathlib.Path(f"/proc/{process}/fd").iterdir()),
            }
            allowed = taken[what]() + value
            resource.prlimit(process, what, (allowed, allowed))

        begin = None if is_late else lambda: resource.setrlimit(what, (value, value))
        return sort, play(arguments, {}, limit=begin, squeeze=squeeze if is_late else None, kill=signal.SIGTERM)

    broken, answered = 0, 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for (name, _, value, _), (wrong, commands, _) in pool.map(one, plays):
            answered += commands
            if wrong:
                broken += 1
                print(f"{name} {value}: {wrong}", flush=True)
    print(f"{len(plays)} limits of memory and descriptors, {answered} commands were answered, {broken} broke the law", flush=True)
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("abide")
    parser.add_argument("shim")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--only", choices=[*FILES, *SOCKETS, "limits"])
    parser.add_argument("--all-ways", action="store_true")
    parser.add_argument("--commands", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first call that fails")
    arguments = parser.parse_args()
    arguments.seed = int(os.environ.get("SEED", "0")) or time.time_ns()
    if arguments.sample:
        print(f"SEED={arguments.seed}")
    broken = 0 if arguments.only == "limits" else faults(arguments)
    if arguments.only in (None, "limits"):
        broken += limits(arguments)
    raise SystemExit(1 if broken else 0)


main()
