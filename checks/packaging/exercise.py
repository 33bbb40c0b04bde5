"""Takes a server through its life: creates, a checkpoint in the background, SIGTERM, and a second start that has every job.

usage: exercise.py DIRECTORY WORD…
DIRECTORY is the server's data, as seen from here; the words start the server, which says on standard output or standard error where it listens.
"""

import http.client
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request

# Entries between checkpoints, by crates/server.
ENTRIES = 50_000
# The most that a job may have, so that each makes as many entries.
STAGES = 50
# Seconds for anything: ten times what a busy machine takes.
PATIENCE = 240
STAGE_LIST = [{"name": f"stage {n}", "share": 1} for n in range(STAGES)]
BODY = json.dumps({"simulate": {"duration": {"fixed": 0}, "outcome": {"error_chance": 0}, "stages": STAGE_LIST}}).encode()

directory, *words = sys.argv[1:]


class Server:
    def __init__(self):
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.log = []
        for line in self.process.stdout:
            self.log.append(line)
            if found := re.search(r"http://([\d.]+):(\d+)", line):
                self.address = found[1], int(found[2])
                return
        self.fail("the server didn't start")

    def fail(self, why):
        self.process.kill()
        rest, _ = self.process.communicate()
        sys.exit(f"{why}; exit status {self.process.returncode}\n{''.join(self.log[-20:])}{rest}")

    def create(self, count):
        """Creates `count` jobs, fifty at a time on one connection."""
        connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        connection.connect()
        lines = f"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        stream = connection.sock.makefile("rb")
        for _ in range(count // 50):
            connection.sock.sendall((lines.encode() + BODY) * 50)
            for _ in range(50):
                status, length = stream.readline(), 0
                while (line := stream.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                stream.read(length)
                if b" 202 " not in status:
                    self.fail(f"a create was answered {status!r}")
        connection.close()

    def jobs(self):
        with urllib.request.urlopen("http://{}:{}/metrics".format(*self.address), timeout=PATIENCE) as answer:
            return int(re.search(rb"^abide_jobs (\d+)", answer.read(), re.MULTILINE)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        self.log.append(rest)
        if self.process.returncode != 0:
            self.fail("the server ended badly")
        for line in "".join(self.log).splitlines():
            if "WARN" in line or "ERROR" in line:
                self.fail(f"the server complained: {line}")


def checkpoint():
    """The entry that the last checkpoint stands for."""
    state = sqlite3.connect(f"file:{directory}/state.db?mode=ro", uri=True)
    try:
        row = state.execute("SELECT seq FROM checkpoint").fetchone()
        return row[0] if row else 0
    finally:
        state.close()


server = Server()
made = 0
until = time.monotonic() + PATIENCE
while checkpoint() < ENTRIES:
    if time.monotonic() > until:
        server.fail(f"no checkpoint after {made} jobs")
    try:
        server.create(100)
    except OSError as error:
        server.fail(f"after {made} jobs: {error}")
    made += 100
server.stop()

server = Server()
if (left := server.jobs()) < made:
    server.fail(f"{left} of {made} jobs are there after the second start")
server.stop()
print(f"  {made} jobs, a checkpoint in the background, two clean stops")
