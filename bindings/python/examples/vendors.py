"""Vendors' own waiters beside `poll_until`, over the vendors' own SDKs, against an abide server that speaks their APIs.

Usage: python examples/vendors.py [JOBS] [SECONDS]

Each way waits for the same jobs, all at once, of about that many seconds. What it prints is the server's own account:
requests for each job, the create included, and how long after its end each was seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from abide_client import History, poll_until
from abide_client.testing import AbideServer

Way = Callable[[str, History], Any]


def duration(number: int, jobs: int, mean: float) -> str:
    """The length of a job: from half of the mean to one and a half of it."""
    return f"a heron abide:duration={mean * (0.5 + (number + 0.5) / jobs):.2f}s"


def replicate(url: str) -> dict[str, Way]:
    from replicate.client import Client

    client = Client(api_token="r8_test", base_url=f"{url}/dialects/replicate")

    def create(prompt: str) -> Any:
        return client.predictions.create("owner/name:0123abcd", input={"prompt": prompt})

    def own(prompt: str, _: History) -> str:
        prediction = create(prompt)
        prediction.wait()
        return str(prediction.status)

    def ours(prompt: str, history: History) -> str:
        prediction = create(prompt)
        done = poll_until(lambda: client.predictions.get(prediction.id), kind="replicate", history=history)
        return str(done.value.status)

    return {"prediction.wait()": own, "poll_until": ours}


def runway(url: str) -> dict[str, Way]:
    from runwayml import RunwayML

    client = RunwayML(api_key="key_test", base_url=f"{url}/dialects/runway", max_retries=0)

    def create(prompt: str) -> Any:
        return client.image_to_video.create(
            model="gen4_turbo",
            prompt_image="https://example.com/i.png",
            prompt_text=prompt,
            ratio="1280:720",
            duration=5,
        )

    def own(prompt: str, _: History) -> str:
        return str(create(prompt).wait_for_task_output().status)

    def ours(prompt: str, history: History) -> str:
        task = create(prompt)
        done = poll_until(lambda: client.tasks.retrieve(task.id), kind="runway", history=history)
        return str(done.value.status)

    return {"wait_for_task_output()": own, "poll_until": ours}


VENDORS: dict[str, Callable[[str], dict[str, Way]]] = {"replicate": replicate, "runway": runway}


def is_played(server: AbideServer, vendor: str) -> bool:
    """Whether the server speaks this vendor's API."""
    try:
        server.call("GET", f"/dialects/{vendor}/v1/nothing")
    except RuntimeError as error:
        return "there is nothing at this path" not in str(error)
    return True


def measure(server: AbideServer, way: Way, jobs: int, mean: float, rounds: int = 2) -> tuple[float, float]:
    """Requests for a job, and how late its end was seen, in seconds. The first round is there to learn from."""
    history = History()
    for _ in range(rounds):
        server.reset()
        with ThreadPoolExecutor(jobs) as threads:
            words = list(threads.map(lambda number: way(duration(number, jobs, mean), history), range(jobs)))
        assert all(word.lower() in ("succeeded", "completed") for word in words), words
    cards = server.report()["clients"]
    requests = sum(card["requests"] for card in cards) / jobs
    late = max(card["detection_ms"]["mean"] for card in cards) / 1000
    return requests, late


def table(server: AbideServer, jobs: int, mean: float) -> list[tuple[str, str, float, float]]:
    rows = []
    for vendor, ways in VENDORS.items():
        if not is_played(server, vendor):
            continue
        for name, way in ways(server.url).items():
            rows.append((vendor, name, *measure(server, way, jobs, mean)))
    return rows


def main() -> None:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    mean = float(sys.argv[2]) if len(sys.argv) > 2 else 20.0
    # Neither a proxy nor a key of the reader's is for this server.
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.endswith("_BASE_URL"):
            del os.environ[name]
    with AbideServer(clock="real", seed=7) as server:
        print(f"{'vendor':10} {'way':24} {'requests':>8} {'late, s':>8}")
        for vendor, name, requests, late in table(server, jobs, mean):
            print(f"{vendor:10} {name:24} {requests:8.1f} {late:8.2f}")


if __name__ == "__main__":
    main()
