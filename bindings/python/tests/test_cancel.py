"""A wait that is cancelled at any step leaves nothing, and the next one works."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from abide_client import AsyncClient, AsyncJobHandle, Inbox, StillRunning, Unreachable, _poll, poll_until
from fake import Fake, Refusing, Steps

URL = "http://fake.invalid"

Work = Callable[[AsyncClient, AsyncJobHandle], Awaitable[Any]]


async def watch(client: AsyncClient, job: AsyncJobHandle) -> None:
    async for _ in job.watch():
        pass


async def create_and_wait(client: AsyncClient, job: AsyncJobHandle) -> None:
    await (await client.create("render")).wait()


async def set_of_many(client: AsyncClient, job: AsyncJobHandle) -> None:
    jobs = [client.job(f"job_{number}") for number in range(12)]
    async for end in client.as_completed(jobs):
        assert end.ok


async def feed(client: AsyncClient, job: AsyncJobHandle) -> None:
    changes = client.feed()
    async for _ in changes:
        break
    await changes.aclose()


async def listing(client: AsyncClient, job: AsyncJobHandle) -> None:
    async for _ in client.list():
        pass


async def pushed(client: AsyncClient, job: AsyncJobHandle) -> None:
    inbox = Inbox()
    try:
        await job.wait(strategy=inbox.strategy(), schedule=quick())
    finally:
        assert inbox.ears.listeners == 0


async def worker(client: AsyncClient, job: AsyncJobHandle) -> None:
    async with await client.claim("render") as lease:
        await lease.progress(50)
        await lease.complete({"n": 1})


WORK: dict[str, Work] = {
    "create and wait": create_and_wait,
    "wait": lambda client, job: job.wait(),
    "wait by polls": lambda client, job: job.wait(strategy="poll", schedule=quick()),
    "watch": watch,
    "set": set_of_many,
    "status": lambda client, job: job.status(),
    "cancel": lambda client, job: job.cancel(),
    "feed": feed,
    "list": listing,
    "push or poll": pushed,
    "claim, report and end": worker,
    "poll until": lambda client, job: poll_until(job.status, schedule=quick()),
}


TRAILING = {"feed", "claim, report and end"}
"""Works of which an exchange that goes on beside them is given up a step after their end."""


def quick() -> Any:
    from abide_client import Schedule

    return Schedule.fixed(0.001)


@pytest.mark.parametrize("name", WORK)
def test_on_asyncio_at_every_await(name: str) -> None:
    async def main() -> int:
        async def pause() -> None:
            await asyncio.sleep(0)

        for number in itertools.count(1):
            steps = Steps()
            fake = Fake(pause, steps=steps)
            client = AsyncClient(URL, http=fake)
            work = asyncio.ensure_future(WORK[name](client, client.job("job_1")))
            steps.at, steps.then = number, work.cancel
            try:
                await work
            except asyncio.CancelledError:
                pass
            else:
                assert steps.taken < number or name in TRAILING, "it was not cancelled"
                return number
            # Cancelled tasks end in the next rounds of the loop.
            for _ in range(5):
                await asyncio.sleep(0)
            assert fake.open == 0, (name, number)
            assert client._turning().is_idle, (name, number)
            assert all(engine.is_idle for loop in _poll._shared.loops.values() for engine in loop.values())
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert (await client.job("job_1").wait()).ok
        return 0

    assert asyncio.run(main()) > 3


@pytest.mark.parametrize("name", WORK)
def test_on_trio_at_every_await(name: str) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> int:
        async def pause() -> None:
            await trio.sleep(0)

        for number in itertools.count(1):
            steps = Steps()
            fake = Fake(pause, steps=steps)
            client = AsyncClient(URL, http=fake)
            with trio.CancelScope() as scope:
                steps.at, steps.then = number, scope.cancel
                await WORK[name](client, client.job("job_1"))
            if not scope.cancelled_caught:
                # What was cancelled at its very end has ended.
                assert steps.taken <= number or name in TRAILING
                return number
            for _ in range(8):
                await trio.sleep(0)
            assert fake.open == 0, (name, number)
            assert client._turning().is_idle, (name, number)
            assert all(engine.is_idle for loop in _poll._shared.loops.values() for engine in loop.values())
            assert (await client.job("job_1").wait()).ok
        return 0

    assert trio.run(main) > 3


class Suspensions:
    """Awaits another awaitable, and counts a step each time that it suspends."""

    def __init__(self, work: Awaitable[Any], steps: Steps) -> None:
        self.work = work
        self.steps = steps

    def __await__(self) -> Generator[Any, Any, Any]:
        work: Any = self.work.__await__()
        resume: Callable[[], Any] = functools.partial(work.send, None)
        while True:
            try:
                waits_for = resume()
            except StopIteration as end:
                return end.value
            self.steps.step()
            try:
                got = yield waits_for
            except BaseException as error:
                resume = functools.partial(work.throw, error)
            else:
                resume = functools.partial(work.send, got)


@pytest.mark.parametrize("name", WORK)
def test_on_asyncio_at_every_suspension_of_the_waiter(name: str) -> None:
    async def main() -> int:
        async def pause() -> None:
            await asyncio.sleep(0.0005)

        for number in itertools.count(1):
            steps = Steps()
            fake = Fake(pause)
            client = AsyncClient(URL, http=fake)

            async def whole(client: AsyncClient = client, steps: Steps = steps) -> None:
                await Suspensions(WORK[name](client, client.job("job_1")), steps)

            work = asyncio.ensure_future(whole())
            steps.at, steps.then = number, work.cancel
            try:
                await work
            except asyncio.CancelledError:
                pass
            else:
                assert steps.taken < number or name in TRAILING, "it was not cancelled"
                return number
            for _ in range(5):
                await asyncio.sleep(0)
            assert fake.open == 0, (name, number)
            assert client._turning().is_idle, (name, number)
            assert all(engine.is_idle for loop in _poll._shared.loops.values() for engine in loop.values())
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert (await client.job("job_1").wait()).ok
        return 0

    assert asyncio.run(main()) > 1


@pytest.mark.parametrize("name", WORK)
def test_on_trio_at_every_suspension_of_the_waiter(name: str) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> int:
        async def pause() -> None:
            await trio.sleep(0.0005)

        for number in itertools.count(1):
            steps = Steps()
            fake = Fake(pause)
            client = AsyncClient(URL, http=fake)
            with trio.CancelScope() as scope:
                steps.at, steps.then = number, scope.cancel
                await Suspensions(WORK[name](client, client.job("job_1")), steps)
            if not scope.cancelled_caught:
                # What was cancelled at its very end has ended.
                assert steps.taken <= number or name in TRAILING
                return number
            for _ in range(8):
                await trio.sleep(0)
            assert fake.open == 0, (name, number)
            assert client._turning().is_idle, (name, number)
            assert (await client.job("job_1").wait()).ok
        return 0

    assert trio.run(main) > 1


def test_two_thousand_waits_cancelled_at_random_instants_leave_nothing() -> None:
    async def main() -> None:
        async def pause() -> None:
            await asyncio.sleep(0.001)

        fake = Fake(pause)
        client = AsyncClient(URL, http=fake)
        tasks = []
        for number in range(2000):
            task = asyncio.ensure_future(client.job(f"job_{number}").wait())
            tasks.append(task)
            asyncio.get_running_loop().call_later((number * 0.618) % 0.2, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.05)
        assert fake.open == 0 and client._turning().is_idle
        assert (await client.job("job_1").wait()).ok

    asyncio.run(main())


def test_asyncios_own_timeouts_end_a_wait() -> None:
    async def main() -> None:
        async def never() -> None:
            await asyncio.sleep(3600)

        client = AsyncClient(URL, http=Fake(never))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.job("job_1").wait(), 0.05)
        await asyncio.sleep(0.01)
        assert client._turning().is_idle
        # Ours tells more: how long, and by what the next process goes on.
        with pytest.raises((StillRunning, Unreachable)) as caught:
            await client.job("job_1").wait(timeout=0.2)
        assert caught.value.token

    asyncio.run(main())


def test_leaving_a_loop_over_states_gives_its_request_up() -> None:
    async def main() -> None:
        async def pause() -> None:
            await asyncio.sleep(0.001)

        fake = Fake(pause, ends_after=50)
        client = AsyncClient(URL, http=fake)
        states = client.job("job_1").watch()
        async for _ in states:
            break
        await states.aclose()
        await asyncio.sleep(0.01)
        assert fake.open == 0 and client._turning().is_idle

    asyncio.run(main())


def test_a_loop_that_is_closed_under_a_wait_takes_it_along() -> None:
    async def main() -> None:
        client = AsyncClient(URL, http=Refusing())
        asyncio.ensure_future(client.job("job_1").wait())
        await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="Python 3.12 has eager tasks")
def test_tasks_that_start_eagerly_do_no_harm() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]

        async def pause() -> None:
            pass

        client = AsyncClient(URL, http=Fake(pause))
        assert (await client.job("job_1").wait()).ok
        assert client._turning().is_idle

    asyncio.run(main())
