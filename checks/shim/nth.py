"""Every n-th call to the file system fails: what was acknowledged is there after a restart, or the server said so and
stopped.

usage: nth.py ABIDE SHIM [--every N] [--first K]

Counts the calls of a history of creates, then plays the history again for each call (or each N-th from the K-th on), and
for each way to fail. Prints each that breaks the law.
"""

import argparse
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import time

CREATES = 24
HOWS = {
    "open": ["ENOSPC", "EROFS", "EIO", "EINTR"],
    "write": ["ENOSPC", "EDQUOT", "EROFS", "EIO", "EINTR", "short"],
    "sync": ["ENOSPC", "EDQUOT", "EIO", "EINTR", "lost"],
    "truncate": ["ENOSPC", "EIO", "EINTR"],
    "unlink": ["EIO"],
    "rename": ["ENOSPC", "EIO"],
}


class Server:
    """A server in a child process, which may not start."""

    def __init__(self, abide, data, env=None, limit=None):
        self.ready = data.parent / "ready"
        self.ready.unlink(missing_ok=True)
        self.log = open(data.parent / "log", "wb")
        command = [abide, "serve", "--listen", "127.0.0.1:0", "--data", str(data), "--ready-file", str(self.ready)]
        command += ["--duration", "50ms", "--drain", "2s", "--log", "warn"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ABIDE_")}
        self.process = subprocess.Popen(
            command, env={**environment, **(env or {})}, stdout=self.log, stderr=self.log, preexec_fn=limit
        )
        self.port = None
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            text = self.ready.read_text() if self.ready.exists() else ""
            if text.strip():
                self.port = int(text.strip().rstrip("/").rsplit(":", 1)[1])
                return
            time.sleep(0.01)

    def ask(self, method, path, body=None, headers=None):
        """The status and the answer; 0 where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None
        finally:
            connection.close()

    def end(self, how):
        """How it ended; what doesn't end within 30 s is killed, and that is told."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "hangs"


def history(server, acknowledged):
    """Creates jobs, and notes those that were acknowledged."""
    for n in range(CREATES):
        if server.process.poll() is not None:
            return
        body = json.dumps({"input": "x" * (n % 5 * 3000), "metadata": {"n": str(n)}})
        status, job = server.ask("POST", "/v1/jobs", body, {"Idempotency-Key": f"key-{n}"})
        if status in (200, 202):
            acknowledged[job["id"]] = n


def missing(server, acknowledged):
    """The acknowledged jobs that a server doesn't have."""
    lost = []
    for job, n in acknowledged.items():
        status, found = server.ask("GET", f"/v1/jobs/{job}")
        if status != 200 or found["metadata"]["n"] != str(n):
            lost.append((job, status))
    return lost


def play(abide, env, limit=None, kill=signal.SIGKILL):
    """Plays the history with that fault. What breaks the law, if anything does, and whether anything was acknowledged."""
    room = pathlib.Path(tempfile.mkdtemp(prefix="abide-nth-"))
    data = room / "data"
    data.mkdir(mode=0o700)
    acknowledged = {}
    try:
        env = {name: str(data) if value is None else value for name, value in env.items()}
        if "FAIL_COUNT" in env:
            env["FAIL_COUNT"] = str(room / "count")
        server = Server(abide, data, env, limit)
        if server.port is not None:
            history(server, acknowledged)
        elif server.process.poll() is None:
            server.end(signal.SIGKILL)
            return "neither serves nor ends", 0, 0
        code = server.end(kill)
        log = (room / "log").read_text(errors="replace")
        if "panicked" in log or code in (-signal.SIGABRT, -signal.SIGSEGV, "hangs"):
            return f"ended by {code}: {log[-400:]}", len(acknowledged), 0
        counted = room / "count"
        count = int(counted.read_text().split()[0]) if counted.exists() else 0
        again = Server(abide, data)
        if again.port is None:
            again.end(signal.SIGKILL)
            text = (room / "log").read_text(errors="replace")[-300:]
            # It says so and doesn't start, which is the law where the disk has lied.
            return None if env.get("FAIL_HOW") == "lost" else f"doesn't start again: {text}", len(acknowledged), count
        lost = missing(again, acknowledged)
        again.end(signal.SIGTERM)
        return (f"lost {lost}" if lost else None), len(acknowledged), count
    finally:
        shutil.rmtree(room, ignore_errors=True)


def disks(arguments):
    """Every n-th call fails."""
    broken, played = 0, 0
    for call, hows in HOWS.items():
        env = {"LD_PRELOAD": arguments.shim, "FAIL_DIR": None, "FAIL_CALL": call}
        wrong, acknowledged, count = play(arguments.abide, {**env, "FAIL_COUNT": None}, kill=signal.SIGTERM)
        assert wrong is None and acknowledged == CREATES, (call, wrong, acknowledged)
        for how in hows:
            for n in range(arguments.first, count + 1, arguments.every):
                for many in ("1", "4"):
                    fault = {**env, "FAIL_N": str(n), "FAIL_HOW": how, "FAIL_FOR": many}
                    wrong, acknowledged, _ = play(arguments.abide, fault, kill=signal.SIGTERM if n % 2 else signal.SIGKILL)
                    played += 1
                    if wrong:
                        broken += 1
                        print(f"{call} {n} of {count} {how} x{many}: {wrong}", flush=True)
        print(f"{call}: {count} calls", flush=True)
    return broken, played


def limits(arguments):
    """Too little memory and too few descriptors: it answers or refuses, and what was acknowledged stays."""
    broken = 0
    for what, values in {
        resource.RLIMIT_AS: [160 << 20, 320 << 20, 640 << 20, 2 << 30],
        resource.RLIMIT_NOFILE: [24, 32, 64],
    }.items():
        for value in values:
            wrong, acknowledged, _ = play(
                arguments.abide, {}, limit=lambda: resource.setrlimit(what, (value, value)), kill=signal.SIGTERM
            )
            name = "memory" if what == resource.RLIMIT_AS else "descriptors"
            print(f"{name} {value}: {acknowledged} acknowledged, {wrong or 'fine'}", flush=True)
            broken += bool(wrong)
    return broken


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("abide")
    parser.add_argument("shim")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    arguments = parser.parse_args()
    broken, played = disks(arguments)
    broken += limits(arguments)
    print(f"{played} histories, {broken} broke the law")
    raise SystemExit(1 if broken else 0)


main()
