"""Waiting on anything that can be looked at."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from abide_client import Done, History, Look, Retry, Schedule, StillRunning, Unreachable, UsageError, _poll, poll_until
from abide_client._poll import retry_after

QUICK = Schedule.fixed(0.02)


def ending(after: int, **more: Any) -> Callable[[], dict[str, Any]]:
    looks = 0

    def look() -> dict[str, Any]:
        nonlocal looks
        looks += 1
        return {"status": "succeeded" if looks >= after else "processing", "looks": looks, **more}

    return look


def is_idle() -> bool:
    loops = [engine.is_idle for loop in _poll._shared.loops.values() for engine in loop.values()]
    return all(loops) and all(engine.is_idle for engine in _poll._shared.sync.values())


def test_a_look_that_blocks_is_waited_for_here() -> None:
    done = poll_until(ending(3), schedule=QUICK)
    assert isinstance(done, Done)
    assert done.value["looks"] == 3
    assert done.report.requests == 3
    assert is_idle()


def test_a_look_that_is_awaited_is_awaited() -> None:
    look = ending(3)

    async def asynchronous() -> dict[str, Any]:
        await asyncio.sleep(0)
        return look()

    async def main() -> None:
        done = await poll_until(asynchronous, schedule=QUICK)
        assert done.value["looks"] == 3
        # A function that returns an awaitable without being `async` is one, too, and its first call counts.
        awaited = await poll_until(lambda: asynchronous(), schedule=QUICK)
        assert awaited.value["looks"] == 4
        assert awaited.report.requests == 1
        assert is_idle()

    asyncio.run(main())


def test_a_coroutine_that_nobody_awaits_makes_no_look() -> None:
    looks = []

    async def look() -> str:
        looks.append(1)
        return "done"

    waiting = poll_until(look)
    assert inspect.iscoroutine(waiting)
    waiting.close()
    assert not looks


def test_done_decides_where_it_is_given() -> None:
    seen: list[Look] = []
    look = ending(99, phase="x", progress=40)
    done = poll_until(look, done=lambda value: value["looks"] == 2, schedule=QUICK, on_look=seen.append)
    assert done.value["looks"] == 2
    assert [shown.progress for shown in seen] == [0.4, 0.4]
    with_hints = poll_until(lambda: 1, done=lambda _: Look(True, took=3.0))
    assert with_hints.value == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": "soon"},
        {"price": "cheap"},
        {"price": -1},
        {"price": float("nan")},
        {"schedule": "2s"},
        {"retry": 3},
        {"features": 5},
        {"features": {"model": []}},
        {"size": "big"},
        {"history": "directory"},
        {"budget": "9"},
        {"done": "ready"},
        {"final": "never"},
        {"on_look": 5},
        {"look_timeout": "x"},
    ],
)
def test_a_mistake_is_told_before_the_first_look(wrong: dict[str, Any]) -> None:
    def look() -> None:
        pytest.fail("it looked")

    with pytest.raises(UsageError):
        poll_until(look, **wrong)


def test_a_value_without_a_status_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="done="):
        poll_until(lambda: 3.5)


def test_the_timeout_bounds_everything_and_the_job_is_looked_at_once_more() -> None:
    began = time.monotonic()
    looks = []

    def look() -> dict[str, Any]:
        looks.append(1)
        return {"status": "running"}

    with pytest.raises(StillRunning) as caught:
        poll_until(look, timeout=0.4, schedule=Schedule.fixed(30))
    assert 0.2 <= time.monotonic() - began < 20
    # The last look leaves as long before the timeout as the first one took; one answered sooner has a successor.
    assert 2 <= len(looks) <= 5
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.report is not None and caught.value.report.requests == len(looks)


def test_a_timeout_ends_an_awaited_look_that_hangs() -> None:
    cancelled = []

    async def hang() -> dict[str, Any]:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(1)
            raise
        return {}

    async def main() -> None:
        began = time.monotonic()
        with pytest.raises((StillRunning, Unreachable)):
            await poll_until(hang, timeout=0.3)
        assert time.monotonic() - began < 20
        await asyncio.sleep(0)
        assert cancelled
        assert is_idle()

    asyncio.run(main())


class VendorError(Exception):
    def __init__(self, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = SimpleNamespace(status_code=status, headers=headers or {})


def failing(*errors: Exception) -> Callable[[], dict[str, Any]]:
    left = list(errors)

    def look() -> dict[str, Any]:
        if left:
            raise left.pop(0)
        return {"status": "completed"}

    return look


@pytest.mark.parametrize("status", [400, 401, 403, 410, 422])
def test_an_error_that_will_not_pass_is_raised_as_itself(status: int) -> None:
    error = VendorError(status)
    with pytest.raises(VendorError) as caught:
        poll_until(failing(error))
    assert caught.value is error
    if sys.version_info >= (3, 11):
        assert any("abide" in note for note in caught.value.__notes__)
    assert is_idle()


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 404])
def test_an_error_that_may_pass_is_met_by_looking_again(status: int) -> None:
    done = poll_until(failing(VendorError(status)), retry=Retry(initial=0.01))
    assert done.report.failures == 1


def test_retry_after_is_heeded() -> None:
    began = time.monotonic()
    poll_until(failing(VendorError(429, {"retry-after": "0.5"})), retry=Retry(initial=0.01))
    assert time.monotonic() - began >= 0.5


@pytest.mark.parametrize(
    ("headers", "span"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"x-ms-retry-after-ms": "20"}, 0.02),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:20 GMT", "date": "Fri, 15 Jan 2027 08:00:10 GMT"}, 10.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:20 GMT"}, None),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:20 GMT", "date": "Fri, 15 Jan 2027 09:00:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, 0.0),
        *(({"retry-after": hint}, None) for hint in ("soon", "inf", "nan", "1e999", "", "9" * 400)),
        ({}, None),
    ],
)
def test_retry_after_is_read_however_it_is_written(headers: dict[str, str], span: float | None) -> None:
    assert retry_after(VendorError(429, headers)) == span
    error = Exception()
    error.response = {"ResponseMetadata": {"HTTPHeaders": headers}}  # type: ignore[attr-defined]
    assert retry_after(error) == span


@pytest.mark.parametrize("hint", ["9" * 30, "1e300"])
def test_a_pause_beyond_all_measure_ends_no_wait(hint: str) -> None:
    retry = Retry(initial=0.01, hint_max=0.05)
    assert poll_until(failing(VendorError(429, {"retry-after": hint})), retry=retry).report.failures == 1


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), 1e300])
def test_what_is_no_span_of_time_is_no_hint(wrong: float) -> None:
    shown = Look(False, progress=wrong, remaining=wrong, retry_after=wrong, took=wrong)
    looks = iter([shown, shown, Look(True, took=wrong)])
    done = poll_until(lambda: next(looks), done=lambda look: look, schedule=QUICK, retry=Retry(hint_max=0.05))
    assert done.report.requests == 3


def test_errors_without_end_are_told_with_their_cause() -> None:
    def look() -> dict[str, Any]:
        raise OSError("no network")

    with pytest.raises(Unreachable) as caught:
        poll_until(look, retry=Retry(initial=0.01, patience=0.1))
    assert isinstance(caught.value, ConnectionError)
    assert isinstance(caught.value.__cause__, OSError)
    assert "no network" in str(caught.value)


def test_mistakes_of_programming_are_raised_at_once() -> None:
    with pytest.raises(AttributeError):
        poll_until(lambda: SimpleNamespace().nothing)


def test_final_says_what_will_not_pass() -> None:
    with pytest.raises(OSError):
        poll_until(failing(OSError("gone")), final=OSError)
    with pytest.raises(KeyError):
        poll_until(failing(KeyError("gone")), final=lambda error: isinstance(error, KeyError))


def broken(error: BaseException) -> bool:
    raise KeyError("of final")


async def unanswered() -> dict[str, Any]:
    raise OSError("no network")


def test_what_final_raises_is_the_waits_and_no_tasks() -> None:
    told: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        with pytest.raises(KeyError, match="of final"):
            await poll_until(unanswered, final=broken)
        gc.collect()
        assert is_idle()

    asyncio.run(main())
    assert not told


def test_what_final_raises_ends_no_program_on_trio() -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with pytest.raises(KeyError, match="of final"):
            await poll_until(unanswered, final=broken)
        await trio.sleep(0.01)
        assert is_idle()

    trio.run(main)


def test_a_look_that_is_cancelled_from_within_cancels_the_wait() -> None:
    async def look() -> dict[str, Any]:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(poll_until(look), 5)
        assert is_idle()

    asyncio.run(main())


def test_context_variables_reach_the_look() -> None:
    import contextvars

    who = contextvars.ContextVar("who", default="nobody")

    async def look() -> dict[str, Any]:
        return {"status": "completed", "who": who.get()}

    async def main() -> None:
        who.set("me")
        assert (await poll_until(look)).value["who"] == "me"

    asyncio.run(main())


def test_what_was_learned_brings_the_looks_to_where_jobs_end() -> None:
    history = History()
    looks = []
    for _ in range(8):
        began = time.monotonic()
        done = poll_until(
            lambda: {"status": "done" if time.monotonic() - began > 1.0 else "running"},  # noqa: B023
            kind="second",
            history=history,
        )
        looks.append(done.report.requests)
    assert history.jobs("second") == 8
    assert sum(looks[-3:]) <= 3 * 5, looks


def test_what_was_learned_is_kept_where_the_environment_says(tmp_path: Path) -> None:
    program = "from abide_client import poll_until, History\npoll_until(lambda: {'status': 'completed'}, kind='kept')\n"
    environment = {**os.environ, "ABIDE_STATE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert History(tmp_path).jobs("kept") == 1


def is_hung(directory: Path) -> Callable[[], None]:
    """Has whatever reads there wait, until what is returned is called: a pipe that nothing writes to."""
    os.mkfifo(directory / "hung.jsonl")
    return lambda: os.close(os.open(directory / "hung.jsonl", os.O_WRONLY | os.O_NONBLOCK))


def test_a_disk_that_hangs_keeps_nothing_else_waiting(tmp_path: Path) -> None:
    let_go = is_hung(tmp_path)
    history = History(tmp_path)

    async def ticking(stop: asyncio.Event) -> int:
        ticks = 0
        while not stop.is_set():
            await asyncio.sleep(0.01)
            ticks += 1
        return ticks

    async def look() -> dict[str, str]:
        return {"status": "done"}

    async def main() -> None:
        stop = asyncio.Event()
        ticks = asyncio.create_task(ticking(stop))
        began = time.monotonic()
        waits = [poll_until(look, kind="hung", history=history, budget=1000.0) for _ in range(50)]
        other = asyncio.create_task(poll_until(look, kind="other", schedule=QUICK))
        await asyncio.gather(*waits, other)
        assert 0.9 < time.monotonic() - began < 30.0
        stop.set()
        # About a hundred on an idle machine; at most two beside a loop that the disk holds.
        assert await ticks > 5

    asyncio.run(main())
    # Without a loop: on this thread, which waits as long.
    poll_until(lambda: {"status": "done"}, kind="hung too", history=history)
    assert sum(thread.name == "abide-disk" for thread in threading.enumerate()) <= 16
    while any(thread.name == "abide-disk" for thread in threading.enumerate()):
        try:
            let_go()
        except OSError:
            # Nothing reads at the moment.
            pass
        time.sleep(0.01)
    assert is_idle()


def test_a_disk_that_hangs_does_not_keep_a_process_from_ending(tmp_path: Path) -> None:
    let_go = is_hung(tmp_path)
    program = (
        "from abide_client import poll_until, History\nhistory = History('{}')\nlook = lambda: {{'status': 'done'}}\n"
    )
    program = program.format(tmp_path) + "poll_until(look, kind='k', history=history)\nprint('over')"
    ran = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True, text=True)
    assert ran.stdout == "over\n"
    with pytest.raises(OSError, match="No such device"):
        let_go()


def test_many_threads_wait_by_one_core() -> None:
    results: list[int] = []

    def work(number: int) -> None:
        done = poll_until(ending(2 + number % 4), schedule=Schedule.fixed(0.01 + number / 1000))
        results.append(done.value["looks"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == sorted(2 + number % 4 for number in range(40))
    assert is_idle()


def test_it_waits_on_trio() -> None:
    trio = pytest.importorskip("trio")
    look = ending(3)

    async def asynchronous() -> dict[str, Any]:
        await trio.sleep(0.001)
        return look()

    async def main() -> None:
        done = await poll_until(asynchronous, schedule=QUICK)
        assert done.value["looks"] == 3
        with trio.move_on_after(0.1) as scope:
            await poll_until(lambda: trio.sleep(30), schedule=QUICK)
        assert scope.cancelled_caught
        await trio.sleep(0.01)
        assert is_idle()

    trio.run(main)


def test_two_event_loops_one_after_the_other() -> None:
    for _ in range(2):
        look = ending(3)

        async def asynchronous() -> dict[str, Any]:
            return look()  # noqa: B023

        assert asyncio.run(poll_until(asynchronous, schedule=QUICK)).value["looks"] == 3


def test_what_else_is_known_of_a_job_is_learned_from() -> None:
    history = History()

    def wait(model: str, length: float) -> int:
        ends = time.monotonic() + length
        done = poll_until(
            lambda: {"status": "done" if time.monotonic() >= ends else "running"},
            kind="render",
            features={"model": model, "steps": 30, "is_draft": True},
            history=history,
        )
        return done.report.requests

    for _ in range(3):
        wait("a", 0.01)
    assert history.jobs("render") == 3
    odd: Any = {"model": object()}
    with pytest.raises(UsageError, match="model"):
        poll_until(lambda: {"status": "done"}, features=odd)


class Texts:
    """A store in memory, that may fail."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.fails = False

    def load(self) -> list[str]:
        return list(self.texts.values())

    def append(self, name: str, lines: str) -> None:
        if self.fails:
            raise KeyError(name)
        self.texts[name] = self.texts.get(name, "") + lines


def test_a_history_is_kept_wherever_texts_can_be() -> None:
    store = Texts()
    history = History(store=store)
    poll_until(lambda: {"status": "done"}, kind="render", history=history)
    poll_until(lambda: {"status": "done"}, kind="Other kind", history=history)
    store.fails = True
    with pytest.raises(KeyError):
        history.save()
    store.fails = False
    assert (history.save(), history.save()) == (2, 0)
    assert set(store.texts) == {"render.jsonl", "%4fther%20kind.jsonl"}
    poll_until(lambda: {"status": "done"}, kind="render", history=history)
    assert history.save() == 1
    again = History(store=store)
    assert (again.jobs("render"), again.jobs("Other kind"), again.jobs("none")) == (2, 1, 0)
    short = History.shortened(store.texts["render.jsonl"])
    assert len(short) < len(store.texts["render.jsonl"])
    store.texts["render.jsonl"] = short
    assert History(store=store).jobs("render") == 2
    assert History.shortened("no kind") == "no kind"
    with pytest.raises(ValueError, match="not in both"):
        History("here", store=store)
    with pytest.raises(AttributeError):
        History(store=object())  # type: ignore[arg-type]
