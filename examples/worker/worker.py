"""Works on jobs of the kind `dub` until Ctrl-C, with nothing but Python's own library.

Usage: python3 worker.py [COUNT]     ends after that many jobs
ABIDE_SERVER and ABIDE_API_KEY name the server, http://127.0.0.1:8080 by default, and a key for it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

SERVER = os.environ.get("ABIDE_SERVER", "http://127.0.0.1:8080")
LEASE = 30.0
HOLD = 25.0
STEPS = 4


class Over(Exception):
    """The job was canceled, ran past its deadline, or is lost: stop working on it."""


def call(method: str, path: str, body: Any, **headers: str) -> Any:
    """One request. `None` for an empty answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if key := os.environ.get("ABIDE_API_KEY"):
        named["authorization"] = f"Bearer {key}"
    named["content-type"] = "application/json"
    request = urllib.request.Request(SERVER + path, json.dumps(body).encode(), named, method=method)
    with urllib.request.urlopen(request, timeout=HOLD + 10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def patiently(*call_of: Any, **headers: str) -> Any:
    """The same, again and again while the server doesn't answer or says "not now"."""
    pause = 0.2
    while True:
        try:
            return call(*call_of, **headers)
        except urllib.error.HTTPError as error:
            if error.code not in (408, 425, 429) and error.code < 500:
                raise
        except OSError:
            pass
        time.sleep(pause)
        pause = min(pause * 2, 10)


class Lease:
    """A worker's hold on a job, renewed by a thread until the `with` block ends."""

    def __init__(self, job: Any) -> None:
        self.job = job
        self.over: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def report(self, **what: Any) -> Any:
        """`progress`, `result`, `error`, or `release=True`."""
        try:
            return patiently("PATCH", self.job["links"]["self"], what, lease_token=self.job["lease"]["token"])
        except urllib.error.HTTPError as error:
            if error.code not in (404, 409, 410):
                raise
            self.over = json.load(error)["detail"]
            raise Over(self.over) from error

    def _renew(self) -> None:
        while not self._ended.wait(LEASE / 3):
            try:
                self.report()
            except (Over, urllib.error.HTTPError):
                # The work hears of it at its next report.
                return


def claim(*kinds: str) -> Lease:
    """Waits for a job. A claim whose answer was lost is sent again under its key and gets the same job."""
    body = {"kinds": kinds, "wait": HOLD, "lease_s": LEASE}
    key = str(uuid.uuid4())
    while (job := patiently("POST", "/v1/jobs/claim", body, idempotency_key=key)) is None:
        pass
    return Lease(job)


def dub(lease: Lease) -> str:
    """The work."""
    for done in range(STEPS):
        lease.report(progress={"percent": 100 * done / STEPS, "stage": f"step {done}"})
        time.sleep(0.5)
    return f"https://example.com/{lease.job['input']['talk']}.mp4"


def main() -> None:
    left = int(sys.argv[1]) if len(sys.argv) > 1 else sys.maxsize
    while left > 0:
        left -= 1
        with claim("dub") as lease:
            print("claimed", lease.job["id"], flush=True)
            try:
                ended = lease.report(result={"video_url": dub(lease)})
            except Over as why:
                print(why)
                continue
            except (KeyError, TypeError) as why:
                problem = {"title": "The input names no talk", "code": "no_talk", "status": 422, "detail": repr(why)}
                ended = lease.report(error=problem)
            except KeyboardInterrupt:
                lease.report(release=True)
                raise
            print(ended["id"], ended["status"], flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
