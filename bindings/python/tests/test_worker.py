"""Workers: claims, leases that renew themselves, reports and ends."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from abide_client import (
    AbideError,
    AsyncClient,
    AsyncLease,
    Broken,
    Client,
    JobCanceled,
    JobFailed,
    LeaseLost,
    Problem,
    UsageError,
)
from abide_client._http import Answer, Headers, default
from abide_client.testing import AbideServer

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/worker/worker.py"


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """A kind that no other test has jobs of."""
    return f"{request.node.name}-{time.time_ns()}"


def test_a_worker_claims_reports_and_ends_jobs(live: AbideServer, kind: str) -> None:
    with Client(live.url) as client:
        assert client.claim(kind, timeout=0) is None
        job = client.create(kind, input={"talk": 7}, worker="external")
        lease = client.claim("another kind", kind)
        with lease:
            assert (lease.id, lease.job.status, lease.job.input) == (job.id, "running", {"talk": 7})
            assert lease.progress(40, "voices").progress is not None
            assert lease.over is None
            assert lease.complete({"url": "a.mp4"}).outcome == "completed"
        assert lease.over is None
        assert job.status().result == {"url": "a.mp4"}
        failing = client.create(kind, worker="external")
        problems: list[Problem | dict[str, Any]] = [
            Problem("The input names no talk", 422, "no_talk"),
            {"title": "The input names no talk", "code": "no_talk", "status": 422},
        ]
        for problem in problems:
            with client.claim(kind, timeout="10s") or pytest.fail("no job came") as lease:
                ended = lease.fail(problem)
            assert ended.error is not None and (ended.error.code, ended.error.status) == ("no_talk", 422)
            failing = client.create(kind, worker="external")
        with client.claim(kind) as lease:
            assert lease.id == failing.id
            lease.release()
        assert failing.status().status == "pending"
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(lease)
        with pytest.raises(UsageError, match="JSON"), client.claim(kind) as lease:
            lease.complete(object())
        assert client._turning().is_idle
        assert "abide-lease" not in threads()


def test_a_thread_renews_a_lease_while_its_worker_is_silent(still: AbideServer, kind: str) -> None:
    with Client(still.url) as client:
        job = client.create(kind, worker="external")
        with client.claim(kind, lease=1, renew=True) as lease:
            assert "abide-lease" in threads()
            for times in range(1, 5):
                until(partial(is_renewed, still, job.id, times))
                still.advance(0.9)
            assert lease.over is None
            ended = lease.complete()
            assert (ended.outcome, ended.attempts) == ("completed", 1)
        assert job.status().outcome == "completed"
        assert "abide-lease" not in threads()


def test_a_lease_without_a_thread_lives_by_reports_alone(still: AbideServer, kind: str) -> None:
    # What another test's silent server keeps may be there for a while.
    before = set(threading.enumerate())
    with Client(still.url) as client:
        for _ in range(2):
            client.create(kind, worker="external")
        with client.claim(kind, lease=1) as lease:
            # Nothing runs between two calls: neither a thread nor a held request.
            until(lambda: not threads(before) and client._turning().is_idle)
            for _ in range(5):
                still.advance(0.9)
                assert lease.renew().status == "running"
            assert lease.complete().outcome == "completed"
        with client.claim(kind, lease=1) as silent:
            still.advance(1.1)
            until(lambda: client.job(silent.id).status().done)
            with pytest.raises((JobFailed, LeaseLost)) as caught:
                silent.renew()
            assert silent.over is caught.value


class Gate:
    """A transport that may be shut."""

    def __init__(self) -> None:
        self.is_shut = False
        self._own, self.close = default()

    def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        if self.is_shut:
            raise Broken("connect", "the gate is shut")
        self._own.exchange(method, url, headers, body, answer)


def threads(before: Collection[threading.Thread] = ()) -> list[str]:
    """The names of ours, but for those that were there before."""
    alive = (thread for thread in threading.enumerate() if thread not in before)
    return [thread.name for thread in alive if thread.name.startswith("abide-")]


def is_renewed(server: AbideServer, job: str, times: int) -> bool:
    """Whether the lease of a job was renewed as often."""
    return len([request for request in server.requests(job) if request["method"] == "PATCH"]) >= times


def until(something: Callable[[], object]) -> None:
    for _ in range(400):
        if something():
            return
        time.sleep(0.05)
    pytest.fail("it didn't come")


def test_a_worker_hears_of_a_cancel_and_of_a_lost_lease(live: AbideServer, kind: str) -> None:
    with Client(live.url) as client:
        job = client.create(kind, worker="external")
        with client.claim(kind, renew=True) as lease:
            job.cancel()
            until(lambda: lease.over)
            assert isinstance(lease.over, JobCanceled) and lease.over.job_id == job.id
            with pytest.raises(JobCanceled):
                lease.progress(50)
        job = client.create(kind, worker="external", on_worker_lost="retry")
        gate = Gate()
        with Client(live.url, http=gate) as cut_off, cut_off.claim(kind, lease=1) as lost:
            gate.is_shut = True
            with client.claim(kind, timeout=30) or pytest.fail("no job came") as other:
                assert other.id == job.id
                gate.is_shut = False
                with pytest.raises(LeaseLost):
                    lost.complete("too late")
                assert isinstance(lost.over, LeaseLost)
                assert pickle.loads(pickle.dumps(lost.over)).job_id == job.id
                assert other.complete("in time").result == "in time"
        with pytest.raises(UsageError, match="let go"):
            lost.progress(1)
        gate.close()


Run = Callable[[Callable[[], Awaitable[None]]], None]


def on_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await main()

    asyncio.run(run())


def on_trio(main: Callable[[], Awaitable[None]]) -> None:
    trio = pytest.importorskip("trio")
    trio.run(main)


async def sleep(length: float) -> None:
    trio: Any = sys.modules.get("trio")
    try:
        sleeping = trio.sleep(length) if trio is not None and trio.lowlevel.current_trio_token() else None
    except RuntimeError:
        sleeping = None
    await (sleeping or asyncio.sleep(length))


@pytest.mark.parametrize("run", [on_asyncio, on_trio])
def test_the_block_of_a_lease_is_cancelled_where_its_work_is_in_vain(run: Run, still: AbideServer, kind: str) -> None:
    async def main() -> None:
        async with AsyncClient(still.url) as client:
            job = await client.create(kind, worker="external")
            reached = False
            with pytest.raises(JobCanceled) as caught:
                async with await client.claim(kind) as lease:
                    await job.cancel()
                    await sleep(30)
                    reached = True
            assert not reached and caught.value.job_id == job.id and lease.over is caught.value
            late = await client.create(kind, worker="external", deadline=1)
            with pytest.raises(JobFailed):
                async with await client.claim(kind) as lease:
                    assert lease.id == late.id
                    still.advance(1.1)
                    await sleep(30)
            job = await client.create(kind, worker="external")
            async with await client.claim(kind, lease=1) as lease:
                for times in range(1, 5):
                    while not is_renewed(still, job.id, times):
                        await sleep(0.05)
                    still.advance(0.9)
                await lease.progress(50)
                assert (await lease.complete([1])).result == [1]
                # Its own end is none that cancels.
                await sleep(0.3)
            # What the work raises goes on.
            await client.create(kind, worker="external")
            with pytest.raises(ZeroDivisionError):
                async with await client.claim(kind) as lease:
                    await lease.release()
                    raise ZeroDivisionError
            assert await client.claim("nothing of the kind", timeout=0.1) is None
            await sleep(0.1)
            assert client._turning().is_idle

    run(main)


def test_a_lease_without_a_block_tells_by_its_reports(live: AbideServer, kind: str) -> None:
    async def main() -> None:
        async with AsyncClient(live.url) as client:
            job = await client.create(kind, worker="external")
            lease: AsyncLease = await client.claim(kind)
            await job.cancel()
            with pytest.raises(JobCanceled):
                await lease.complete()
            with pytest.raises(JobCanceled):
                async with lease:
                    pytest.fail("there is nothing to do")
            await lease.release()
            lease.close()
            await asyncio.sleep(0.1)
            assert client._turning().is_idle

    asyncio.run(main())


def test_claims_that_can_be_no_claims_are_mistakes_of_usage(live: AbideServer) -> None:
    with Client(live.url) as client:
        with pytest.raises(UsageError, match="lease_s"):
            client.claim(lease="1ms")
        with pytest.raises(UsageError):
            client.claim(timeout="soon")
    with Client(live.url, remote="replicate") as client, pytest.raises(AbideError, match="only our own API"):
        client.claim()


def test_a_token_opens_streams_alone(live: AbideServer, kind: str) -> None:
    with Client(live.url) as client:
        job = client.create(kind, worker="external")
        token = client.stream_token(job.id, ttl="5s")
        assert token.token not in repr(token) and token.expires_at.endswith("Z")
    from httpx import stream

    with stream("GET", f"{live.url}/v1/jobs/{job.id}/events?token={token.token}") as answer:
        assert answer.status_code == 200

    async def main() -> None:
        async with AsyncClient(live.url) as client:
            assert (await client.stream_token()).token

    asyncio.run(main())


def test_the_example_completes_and_fails_jobs(live: AbideServer) -> None:
    with Client(live.url) as client:
        good, odd = (client.create("dub", input=input, worker="external") for input in ({"talk": 7}, {}))
        environment = {**os.environ, "ABIDE_SERVER": live.url}
        subprocess.run([sys.executable, EXAMPLE, "2"], env=environment, check=True, timeout=60)
        assert good.status().result == {"video_url": "https://example.com/7.mp4"}
        error = odd.status().error
        assert error is not None and error.code == "no_talk"
