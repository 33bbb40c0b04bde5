"""Works on jobs of the kind `dub` until Ctrl-C: `pip install "./bindings/python[http]"`, `abide serve`, and this.

Usage: python3 worker.py [COUNT]     ends after that many jobs
ABIDE_SERVER and ABIDE_API_KEY name the server, http://127.0.0.1:8080 by default, and a key for it.
"""

from __future__ import annotations

import os
import sys
import time

from abide_client import Client, JobCanceled, JobFailed, Lease, LeaseLost

STEPS = 4


def dub(lease: Lease) -> str:
    """The work."""
    for done in range(STEPS):
        lease.progress(100 * done / STEPS, f"step {done}")
        time.sleep(0.5)
    return f"https://example.com/{lease.job.input['talk']}.mp4"


def work(client: Client) -> None:
    """Claims one job and works on it. Reports renew the lease, and raise where the job is canceled or lost."""
    with client.claim("dub") as lease:
        print("claimed", lease.id, flush=True)
        try:
            ended = lease.complete({"video_url": dub(lease)})
        except (JobCanceled, JobFailed, LeaseLost) as over:
            print(over)
            return
        except (KeyError, TypeError) as why:
            problem = {"title": "The input names no talk", "code": "no_talk", "status": 422, "detail": repr(why)}
            ended = lease.fail(problem)
        except KeyboardInterrupt:
            # Another worker may have it at once.
            lease.release()
            raise
        print(ended.id, ended.status, flush=True)


def main() -> None:
    left = int(sys.argv[1]) if len(sys.argv) > 1 else sys.maxsize
    server = os.environ.get("ABIDE_SERVER", "http://127.0.0.1:8080")
    with Client(server, api_key=os.environ.get("ABIDE_API_KEY")) as client:
        for _ in range(left):
            work(client)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
