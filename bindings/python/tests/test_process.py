"""Forks, signals, threads, several event loops."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from abide_client import AsyncClient, Client, Retry, Unreachable, poll_until
from abide_client.testing import AbideServer

LASTING = {"duration": {"fixed": 0.3}, "outcome": {"error_chance": 0}}


def in_child(work: Callable[[], None]) -> None:
    """Does the work in a forked child, which has to come to an end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(30)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_waits_by_the_parents_client(live: AbideServer) -> None:
    with Client(live.url) as client:
        # Used before, also while it forks, as under gunicorn or celery.
        job = client.create("render", simulate=LASTING)
        assert job.wait(timeout=30).ok
        poll_until(lambda: {"status": "completed"})
        waiting = threading.Thread(target=lambda: client.create("render", simulate=LASTING).wait(timeout=30))
        waiting.start()

        def child() -> None:
            assert client.create("render", simulate=LASTING).wait(timeout=20).ok
            assert client.resume(job.token).wait().ok
            assert job.wait().ok
            assert poll_until(lambda: {"status": "completed"}).report.requests == 1

            async def main() -> None:
                async with AsyncClient(live.url) as client:
                    assert (await (await client.create("render", simulate=LASTING)).wait()).ok

            asyncio.run(main())

        in_child(child)
        waiting.join(30)
        assert not waiting.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parent_and_child_share_no_luck(live: AbideServer) -> None:
    client = Client(live.url)
    client.create("render", simulate=LASTING)
    keys: list[str | None] = []
    read, write = os.pipe()

    def child() -> None:
        key = client.create("render", simulate=LASTING).idempotency_key
        os.write(write, (key or "").encode())

    in_child(child)
    keys.append(os.read(read, 100).decode())
    keys.append(client.create("render", simulate=LASTING).idempotency_key)
    assert len(set(keys)) == 2
    os.close(read)
    os.close(write)
    client.close()


@pytest.mark.parametrize(
    "program",
    [
        "Client(URL).job(ID).wait()",
        "poll_until(lambda: {'status': 'running'})",
        "list(Client(URL).job(ID).watch())",
        "asyncio.run(AsyncClient(URL).job(ID).wait())",
    ],
)
def test_an_interrupt_ends_a_wait_at_once(live: AbideServer, program: str) -> None:
    with Client(live.url) as client:
        job = client.create("render", simulate={"duration": {"fixed": 300}})
    text = (
        "import asyncio, time\nfrom abide_client import *\n"
        f"URL, ID = {live.url!r}, {job.id!r}\nprint('begun', flush=True)\n"
        f"try:\n    {program}\nexcept KeyboardInterrupt:\n    print('interrupted', time.time(), flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "begun"
    time.sleep(1.0)
    sent = time.time()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    word, at = out.split()
    assert word == "interrupted"
    assert float(at) - sent < 20.0
    assert process.returncode == 0


def test_threads_share_a_client(live: AbideServer) -> None:
    ended: list[bool] = []
    with Client(live.url) as client:

        def work() -> None:
            ended.append(client.create("render", simulate=LASTING).wait(timeout=60).ok)

        threads = [threading.Thread(target=work) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert ended == [True] * 24
        for _ in range(100):
            if client._turning().is_idle:
                break
            time.sleep(0.02)
        assert client._turning().is_idle


def test_a_thread_that_is_not_to_be_had_is_told_to_who_waits_for_it(
    live: AbideServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, left = threading.Thread.start, 3

    def refuse(thread: threading.Thread) -> None:
        nonlocal left
        if thread.name == "abide-exchange" and left > 0:
            left -= 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Client(live.url, retry=Retry(initial=0.01)) as client:
        assert client.create("render", simulate={"duration": {"fixed": 0.1}}).wait(timeout=30).report.failures == 0
        assert left == 0
        left = 10**6
        with pytest.raises(Unreachable, match="no thread can be started"):
            client.job("job_1").wait(timeout=0.3)
        assert client._turning().is_idle


def test_a_client_is_used_on_one_event_loop_after_another(live: AbideServer) -> None:
    client = AsyncClient(live.url)

    async def main() -> str:
        job = await client.create("render", simulate=LASTING)
        await job.wait(timeout=30)
        await client.aclose()
        return job.token

    token = asyncio.run(main())

    async def again() -> None:
        assert (await client.resume(token).wait()).ok
        await client.aclose()

    asyncio.run(again())


def test_a_client_is_used_on_two_event_loops_at_once(live: AbideServer) -> None:
    client = AsyncClient(live.url)
    ended: list[bool] = []

    async def main() -> None:
        job = await client.create("render", simulate=LASTING)
        ended.append((await job.wait(timeout=30)).ok)
        await client.aclose()

    def work() -> None:
        asyncio.run(main())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ended == [True] * 4


def test_a_handle_of_one_loop_is_adopted_by_another(live: AbideServer) -> None:
    client = AsyncClient(live.url)
    kept: list[Any] = []

    async def main() -> None:
        kept.append(await client.create("render", simulate=LASTING))
        await client.aclose()

    async def again() -> None:
        assert (await kept[0].wait(timeout=30)).ok
        await client.aclose()

    asyncio.run(main())
    asyncio.run(again())


def test_importing_the_package_loads_no_http_client() -> None:
    names = ("httpx", "httpx2", "aiohttp", "trio", "pytest")
    text = f"import sys, abide_client; print([name for name in {names} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
