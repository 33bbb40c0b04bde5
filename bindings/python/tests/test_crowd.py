"""Ten thousand waits at once."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any

from abide_client import AsyncClient, AsyncJobHandle, Schedule, poll_until
from abide_client._http import Answer, Headers
from abide_client.testing import AbideServer
from fake import job

JOBS = 10_000
SPREAD = 12.0


class Crowd:
    """A server whose jobs end over some seconds. It answers by ready texts, so that what is measured is the client."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.requests = 0
        self.ended = asyncio.Condition()
        self.texts = {f"job_{number}": json.dumps(job(f"job_{number}", 2, True)) for number in range(JOBS)}
        self.cpu = 0.0

    def has_ended(self, id: str) -> bool:
        number = int(id.removeprefix("job_"))
        return time.monotonic() - self.began > 1 + SPREAD * number / JOBS

    async def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        self.requests += 1
        begun = time.process_time()
        path = re.sub(r"^http://[^/]+", "", url)
        ids = [item["id"] for item in json.loads(body)["jobs"]] if body else [path.split("/")[3].partition("?")[0]]
        self.cpu += time.process_time() - begun
        # Not every end is told at once: a server gathers, too.
        for _ in range(600):
            begun = time.process_time()
            ended = [id for id in ids if self.has_ended(id)]
            self.cpu += time.process_time() - begun
            if ended:
                break
            await asyncio.sleep(0.1)
        answer.head(200, [("content-type", "application/json"), ("preference-applied", "wait=60")])
        begun = time.process_time()
        texts = [self.texts[id] for id in ended]
        text = (f'{{"jobs":[{",".join(texts)}],"errors":[]}}' if body else texts[0]).encode()
        self.cpu += time.process_time() - begun
        answer.chunk(text)


def test_ten_thousand_waits_cost_little(record_property: Callable[[str, object], None]) -> None:
    async def main() -> tuple[int, float, float]:
        crowd = Crowd()
        client = AsyncClient("http://fake.invalid", http=crowd)
        rss = resident()
        began = time.process_time()
        tasks = [asyncio.ensure_future(client.job(f"job_{number}").wait(timeout=120)) for number in range(JOBS)]
        await asyncio.sleep(0.9)
        held = (resident() - rss) / JOBS
        ends = await asyncio.gather(*tasks)
        cpu = (time.process_time() - began - crowd.cpu) / JOBS
        assert all(end.ok for end in ends)
        assert client._turning().is_idle
        return crowd.requests, cpu, held

    requests, cpu, held = asyncio.run(main())
    record_property("requests", requests)
    print(f"{requests} requests, {cpu * 1e3:.2f} ms of CPU and {held / 1024:.1f} KiB a wait")
    assert requests <= 110
    # The debug build, with a reserve for a busy machine.
    assert cpu < 0.3e-3, f"{cpu * 1e3:.2f} ms a wait"
    # 9.8 KiB of the release build, whose futures are smaller.
    assert held < 11.5 * 1024, f"{held:.0f} bytes a wait"


def test_ten_thousand_waits_for_a_thousand_jobs_of_a_server_are_few_requests(live: AbideServer) -> None:
    jobs = 1_000

    async def main() -> int:
        async with AsyncClient(live.url, call_timeout=120, attempt_timeout=60) as client:

            async def create(number: int) -> AsyncJobHandle:
                duration = {"fixed": 20 + 10 * number / jobs}
                return await client.create("crowd", simulate={"duration": duration, "outcome": {"error_chance": 0}})

            handles = []
            for first in range(0, jobs, 50):
                handles += await asyncio.gather(*(create(number) for number in range(first, first + 50)))
            waits = [handle.wait(timeout=180) for handle in handles for _ in range(JOBS // jobs)]
            ends = await asyncio.gather(*waits)
            assert all(end.ok for end in ends)
            assert client._turning().is_idle
            return round(sum(end.report.requests_share for end in ends))

    requests = asyncio.run(main())
    print(f"{requests} requests")
    assert requests <= 110


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_ten_thousand_polls_until(record_property: Callable[[str, object], None]) -> None:
    async def main() -> tuple[float, int]:
        looks = 0

        async def look() -> dict[str, Any]:
            nonlocal looks
            looks += 1
            await asyncio.sleep(0)
            return {"status": "running" if looks < 3 * JOBS else "completed"}

        schedule = Schedule.fixed(1.0)
        began = time.process_time()
        await asyncio.gather(*(poll_until(look, schedule=schedule, budget=1e6) for _ in range(JOBS)))
        return (time.process_time() - began) / looks, looks

    cpu, looks = asyncio.run(main())
    record_property("cpu", cpu)
    print(f"{looks} looks, {cpu * 1e6:.0f} µs of CPU a look")
    assert cpu < 0.5e-3
