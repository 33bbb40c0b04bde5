"""Vendors' own waiters beside `poll_until`, over the vendors' own SDKs, against an abide server that speaks their APIs.

Usage: python checks/python/vendors.py [JOBS] [SECONDS] [SEEDS] [PRICE…]

Each way waits for the same jobs, side by side, of that many seconds and a third more or less: first for some to learn
from, then for those that count, once for each seed. The table has the medians of the seeds, and in how many of them a
way was better in both columns. Requests are counted at the SDK's HTTP client, the create left out; lateness is from the
job's end to the return of the waiter. It ends with 1 if, at half a second of delay a request, the balanced `poll_until`
costs more than the waiter of an SDK.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from statistics import median
from typing import Any, NamedTuple

import httpx
import httpx2

from abide_client import History, poll_until
from abide_client.testing import AbideServer

PRICES = (0.02, "balanced", "frugal")
JOBS_BEFORE = 30


Wait = Callable[[Any], Any]


class Vendor(NamedTuple):
    """How jobs are made, looked at and waited for by an SDK."""

    create: Callable[[str], Any]
    look: Callable[[str], Any]
    own: str
    wait: Wait


class Cost(NamedTuple):
    requests: float
    late: float

    def __str__(self) -> str:
        return f"{self.requests:.1f} | {self.late:.2f}"

    @classmethod
    def median(cls, costs: list[Cost]) -> Cost:
        return cls(*(median(each) for each in zip(*costs, strict=True)))

    def beats(self, other: Cost) -> bool:
        return self.requests < other.requests and self.late < other.late

    def sum(self) -> float:
        return 0.5 * self.requests + self.late


def openai(url: str) -> Vendor:
    from openai import OpenAI

    videos = OpenAI(api_key="sk-test", base_url=f"{url}/dialects/openai/v1", max_retries=0).videos
    return Vendor(
        lambda prompt: videos.create(prompt=prompt, seconds="4"),
        videos.retrieve,
        "videos.poll()",
        lambda video: videos.poll(video.id),
    )


def replicate(url: str) -> Vendor:
    from replicate.client import Client

    client = Client(api_token="r8_test", base_url=f"{url}/dialects/replicate")

    def wait(prediction: Any) -> Any:
        prediction.wait()
        return prediction

    return Vendor(
        lambda prompt: client.predictions.create("owner/name:0123abcd", input={"prompt": prompt}),
        client.predictions.get,
        "prediction.wait()",
        wait,
    )


def runway(url: str) -> Vendor:
    from runwayml import RunwayML

    client = RunwayML(api_key="key_test", base_url=f"{url}/dialects/runway", max_retries=0)
    return Vendor(
        lambda prompt: client.image_to_video.create(
            model="gen4_turbo",
            prompt_image="https://example.com/i.png",
            prompt_text=prompt,
            ratio="1280:720",
            duration=5,
        ),
        client.tasks.retrieve,
        "wait_for_task_output()",
        lambda task: task.wait_for_task_output(),
    )


VENDORS = {"openai": openai, "replicate": replicate, "runwayml": runway}


class Counter(threading.local):
    """The requests of this thread."""

    requests = 0


counter = Counter()


def count(library: Any) -> None:
    """Counts what a library's clients send."""
    send = library.Client.send

    def counted(*positional: Any, **named: Any) -> Any:
        counter.requests += 1
        return send(*positional, **named)

    library.Client.send = counted


def measure(vendor: Vendor, wait: Wait, jobs: int, mean: float, seed: int = 0) -> Cost:
    """The mean cost of jobs side by side."""

    def one(number: int) -> Cost:
        rng = random.Random(1000 * seed + number)
        # The golden ratio spreads the lengths evenly, in no order.
        length = mean * (2 + 2 * ((number * 0.618 + 0.3 + rng.random() / jobs) % 1)) / 3
        # Creates that wait for each other would be measured, too.
        time.sleep(3 * rng.random())
        begun = time.monotonic()
        made = vendor.create(f"a heron abide:duration={length:.3f}s")
        created = (begun + time.monotonic()) / 2
        before = counter.requests
        status = wait(made).status
        assert status.lower() in ("succeeded", "completed"), status
        return Cost(counter.requests - before, time.monotonic() - created - length)

    with ThreadPoolExecutor(jobs) as threads:
        costs = list(threads.map(one, range(jobs)))
    return Cost(*(sum(each) / jobs for each in zip(*costs, strict=True)))


def called(price: float | str) -> str:
    return f"poll_until(…, price={price!r})".replace("'", '"')


def learned(
    name: str, vendor: Vendor, jobs: int, mean: float, prices: list[Any], threads: ThreadPoolExecutor
) -> dict[str, Future[Wait]]:
    """Each way to wait; ours have waited for jobs to learn from."""

    def ours(price: Any) -> Wait:
        history = History()

        def wait(made: Any) -> Any:
            look = lambda: vendor.look(made.id)  # noqa: E731
            return poll_until(look, kind=name, price=price, history=history, budget=1000).value

        measure(vendor, wait, JOBS_BEFORE, mean)
        return wait

    ways = {called(price): threads.submit(ours, price) for price in prices}
    return {vendor.own: threads.submit(lambda: vendor.wait), **ways}


def main() -> int:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    mean = float(sys.argv[2]) if len(sys.argv) > 2 else 15.0
    seeds = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    prices = [float(price) if price[0].isdigit() else price for price in sys.argv[4:]] or list(PRICES)
    warnings.simplefilter("ignore")
    # Neither a proxy nor a key of the reader's is for this server.
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.endswith("_BASE_URL"):
            del os.environ[name]
    count(httpx)
    count(httpx2)
    lost = []
    with AbideServer(clock="real", seed=7) as server, ThreadPoolExecutor(64) as threads:
        vendors = {name: make(server.url) for name, make in VENDORS.items()}
        ready = {name: learned(name, vendor, jobs, mean, prices, threads) for name, vendor in vendors.items()}
        waits = {name: {way: wait.result() for way, wait in each.items()} for name, each in ready.items()}
        costs: dict[str, dict[str, list[Cost]]] = {name: {way: [] for way in each} for name, each in waits.items()}
        for seed in range(seeds):
            measuring = [
                (costs[name][way], threads.submit(measure, vendors[name], wait, jobs, mean, seed))
                for name, each in waits.items()
                for way, wait in each.items()
            ]
            for told, cost in measuring:
                told.append(cost.result())
        print("| SDK | way | requests for a job | seconds late | better in both |\n|---|---|---|---|---|")
        for vendor, ways in costs.items():
            own = ways[vendors[vendor].own]
            for way, each in ways.items():
                better = sum(cost.beats(theirs) for cost, theirs in zip(each, own, strict=True))
                print(f"| {vendor} | `{way}` | {Cost.median(each)} | {better or ''} |", flush=True)
            balanced = ways.get(called("balanced"))
            if balanced and Cost.median(balanced).sum() > Cost.median(own).sum():
                lost.append(vendor)
    if lost:
        print("poll_until costs more than the waiters of", *lost, file=sys.stderr)
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
