"""Waiting on anything that can be looked at."""

from __future__ import annotations

import atexit
import inspect
import math
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal, TypeVar, overload

from . import _aio, _sync
from ._aio import Failed
from ._core import Core, History, Retry, Schedule
from ._errors import AbideError, UsageError
from ._http import AsyncTransport, Transport
from ._recognize import Look, recognize
from ._runtime import running
from ._spans import waiting
from ._types import Done, Features, Report, Span, expect, features_of, seconds

T = TypeVar("T")

Price = float | Literal["eager", "balanced", "frugal"]
"""How many seconds of delay a request is worth; `eager` is 0.1, `balanced` 0.5, `frugal` 2."""

_PRICES = {"eager": 0.1, "balanced": 0.5, "frugal": 2.0}
_FOREVER = 1e9
_NOT_FOUND_YET = 10.0
"""For how long a 404 may mean that the vendor doesn't know the job yet, in seconds."""
_BUGS = (AttributeError, ImportError, NameError, NotImplementedError, SyntaxError, TypeError, Warning)
"""Exceptions that say that the look itself is wrong; a warning is one where the program has made errors of them."""
_MAY_PASS = frozenset((408, 409, 425, 429))
"""The statuses of 4xx after which asking again may help."""

_DISK_MAX = 1.0
"""For how long the end of a process waits for a save, in seconds."""

_RATE = 50.0
"""The looks a second that all waits on one event loop, or of all threads, take together by default."""


class _Shared:
    """What all waits of the process share that name no history of their own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.history: History | None = None
        self.saved = 0.0
        self.is_kept = False
        self.saving: threading.Thread | None = None
        self.sync: dict[float, _sync.Engine] = {}
        self.loops: dict[object, dict[float, _aio.Engine]] = {}


_shared = _Shared()


def _forked() -> None:
    """The child has its own random numbers and threads; what was learned goes on."""
    global _shared
    history, is_kept = _shared.history, _shared.is_kept
    _shared = _Shared()
    _shared.history, _shared.is_kept = history, is_kept


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _history() -> History:
    with _shared.lock:
        if _shared.history is None:
            directory = os.environ.get("ABIDE_STATE")
            _shared.history = History(directory)
            if directory:
                _shared.is_kept = True
                atexit.register(_save_last)
        return _shared.history


def _save() -> None:
    try:
        if _shared.history is not None:
            _shared.history.save()
    except OSError:
        # What can't be kept is learned anew.
        pass


def _is_saving() -> bool:
    return _shared.saving is not None and _shared.saving.is_alive()


def _learned() -> None:
    """Keeps what was learned, now and then, beside the waits: a disk may hang."""
    if _shared.is_kept and not _is_saving() and time.monotonic() - _shared.saved > 10.0:
        _shared.saved = time.monotonic()
        try:
            _shared.saving = _sync.aside(_save)
        except RuntimeError:
            _save()


def _save_last() -> None:
    if _shared.saving is not None:
        _shared.saving.join(_DISK_MAX)
    if not _is_saving():
        _save()


def _core(budget: float) -> Callable[[float], Core]:
    return lambda wall: Core("http://nowhere.invalid", wall, budget=budget)


def _nowhere() -> Any:
    raise UsageError("there is no server")


def _sync_engine(budget: float) -> _sync.Engine:
    with _shared.lock:
        engine = _shared.sync.get(budget)
        if engine is None:
            transport: Callable[[], Transport] = _nowhere
            engine = _shared.sync[budget] = _sync.Engine(_core(budget), transport)
        return engine


def _async_engine(budget: float) -> _aio.Engine:
    runtime = running()
    with _shared.lock:
        engines = _shared.loops.setdefault(runtime.key, {})
        engine = engines.get(budget)
        if engine is None:
            # An engine keeps its loop alive: those that are closed go.
            for key, others in list(_shared.loops.items()):
                if any(other.runtime.is_over for other in others.values()):
                    del _shared.loops[key]
            transport: Callable[[], AsyncTransport] = _nowhere
            engine = engines[budget] = _aio.Engine(runtime, _core(budget), transport)
        return engine


def schedule_of(kind: str, history: History, price: Price, schedule: Schedule | None) -> Schedule:
    """The caller's schedule, or the learned one."""
    if schedule is not None:
        return schedule
    worth = _PRICES.get(price) if isinstance(price, str) else float(price)
    if worth is None:
        raise UsageError(f"price={price!r} is neither a number of seconds nor one of {', '.join(_PRICES)}")
    return Schedule.learned(kind, history=history, price=worth)


def http_status(error: BaseException) -> int | None:
    """The HTTP status that an exception of some SDK tells of."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        # botocore's
        response = response.get("ResponseMetadata", {})
        return response.get("HTTPStatusCode") if isinstance(response, dict) else None
    for place in (error, response):
        for name in ("status_code", "status", "code"):
            status = getattr(place, name, None)
            if isinstance(status, int) and not isinstance(status, bool) and 100 <= status <= 599:
                return int(status)
    return None


def retry_after(error: BaseException) -> float | None:
    """How long the server asked to be left alone, in seconds: by their number, by milliseconds, or by a date, which is
    compared with that of the same answer."""
    response = getattr(error, "response", None)
    headers: Any
    if isinstance(response, dict):
        # botocore's
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders")
    else:
        headers = getattr(response, "headers", None) or getattr(error, "headers", None)

    def read(name: str) -> str:
        return str(headers.get(name) or "").strip()

    try:
        for name in ("retry-after-ms", "x-ms-retry-after-ms"):
            if (hint := read(name)).isdigit():
                return int(hint) / 1000
        hint = read("retry-after")
        try:
            span = float(hint)
        except ValueError:
            # It takes longer to import than all of this package.
            from email.utils import parsedate_to_datetime

            span = (parsedate_to_datetime(hint) - parsedate_to_datetime(read("date"))).total_seconds()
    except (AttributeError, OverflowError, TypeError, ValueError):
        return None
    return max(span, 0.0) if math.isfinite(span) else None


class _Wait:
    """One wait: judges what its looks return and raise."""

    def __init__(
        self,
        done: Callable[[Any], bool | Look] | None,
        final: Callable[[BaseException], bool] | type[BaseException] | tuple[type[BaseException], ...] | None,
        on_look: Callable[[Look], None] | None,
    ) -> None:
        self.done = done
        self.final = final
        self.on_look = on_look
        self.value: Any = None
        self.error: BaseException | None = None
        self.is_final = False
        self.began = time.monotonic()

    def judge(self, value: Any) -> Look | Failed:
        try:
            shown = recognize(value) if self.done is None else self._asked(value)
            if self.on_look is not None:
                self.on_look(shown)
        except Exception as error:  # the caller's own, so it won't pass
            self.error, self.is_final = error, True
            return Failed(error, True, None)
        if shown.done:
            self.value = value
        return shown

    def _asked(self, value: Any) -> Look:
        assert self.done is not None
        shown = self.done(value)
        if isinstance(shown, Look):
            return shown
        # Hints are taken where they are.
        try:
            known = recognize(value)
        except UsageError:
            return Look(bool(shown))
        return Look(bool(shown), known.progress, known.remaining, known.retry_after, known.took)

    def failed(self, error: Exception) -> Failed:
        self.error = error
        self.is_final = self._is_final(error)
        return Failed(error, self.is_final, retry_after(error))

    def _is_final(self, error: Exception) -> bool:
        if isinstance(self.final, (type, tuple)):
            if isinstance(error, self.final):
                return True
        elif self.final is not None:
            return bool(self.final(error))
        if isinstance(error, (*_BUGS, UsageError)):
            return True
        status = http_status(error)
        if status is None or not 400 <= status < 500 or status in _MAY_PASS:
            return False
        # A vendor may not know yet what was made a moment ago.
        return status != 404 or time.monotonic() - self.began > _NOT_FOUND_YET

    def found(self, report: dict[str, Any]) -> Done[Any]:
        _learned()
        return Done(self.value, Report(**report))

    def lost(self, error: AbideError) -> BaseException:
        """What to raise: the caller's own exception where that was final."""
        _learned()
        if self.is_final and self.error is not None:
            report = error.report
            if report is not None and hasattr(self.error, "add_note"):
                self.error.add_note(f"abide: after {report.requests} looks in {report.elapsed:.1f} s")
            return self.error
        error.__cause__ = self.error
        return error


@overload
def poll_until(  # type: ignore[overload-overlap]
    look: Callable[[], Awaitable[T]],
    *,
    done: Callable[[T], bool | Look] | None = None,
    kind: str | None = None,
    timeout: Span | None = None,
    price: Price = "balanced",
    size: float | None = None,
    features: Features | None = None,
    look_timeout: Span | None = None,
    retry: Retry | None = None,
    final: Callable[[BaseException], bool] | type[BaseException] | tuple[type[BaseException], ...] | None = None,
    history: History | None = None,
    schedule: Schedule | None = None,
    budget: float = _RATE,
    on_look: Callable[[Look], None] | None = None,
) -> Coroutine[Any, Any, Done[T]]: ...


@overload
def poll_until(
    look: Callable[[], T],
    *,
    done: Callable[[T], bool | Look] | None = None,
    kind: str | None = None,
    timeout: Span | None = None,
    price: Price = "balanced",
    size: float | None = None,
    features: Features | None = None,
    look_timeout: Span | None = None,
    retry: Retry | None = None,
    final: Callable[[BaseException], bool] | type[BaseException] | tuple[type[BaseException], ...] | None = None,
    history: History | None = None,
    schedule: Schedule | None = None,
    budget: float = _RATE,
    on_look: Callable[[Look], None] | None = None,
) -> Done[T]: ...


def poll_until(
    look: Callable[[], Any],
    *,
    done: Callable[[Any], bool | Look] | None = None,
    kind: str | None = None,
    timeout: Span | None = None,
    price: Price = "balanced",
    size: float | None = None,
    features: Features | None = None,
    look_timeout: Span | None = None,
    retry: Retry | None = None,
    final: Callable[[BaseException], bool] | type[BaseException] | tuple[type[BaseException], ...] | None = None,
    history: History | None = None,
    schedule: Schedule | None = None,
    budget: float = _RATE,
    on_look: Callable[[Look], None] | None = None,
) -> Any:
    """Waits until a look finds something done: any vendor's SDK, any state, anything that can be looked at.

    A `look` that returns an awaitable makes this one, too: `await poll_until(…)`, on asyncio or trio. Any other look is
    called here, and blocks.

    The job is done when `done` says so of what the look returned. Without `done` the answer's own status is
    understood, as OpenAI, Replicate, Runway, fal, HeyGen, Luma, Google and others write it: by attribute or by key.
    A job that failed is done, too; look at the value.

    When to look is learned from earlier jobs of the same `kind`: name what changes the speed, such as the model and the
    length of a video. `price` says how many seconds of delay a look is worth, `size` how big this job is, in any
    unit that is the same for all of the kind, `features` what else is known of it: `{"model": "sdxl", "steps": 30}`.
    `schedule` replaces all that.

    `timeout` bounds everything and ends in `StillRunning`; one last look is taken just before. The default is none.
    `look_timeout` bounds one awaited look; the default is 30 s. A look that blocks can't be interrupted.

    An exception of the look that won't pass is raised as itself: one that `final` names, one with an HTTP status of 4xx
    (but 408, 409, 425, 429, and 404 in the first ten seconds), a mistake of programming. Anything else is met by
    looking again, and raises `Unreachable` after 30 s of nothing else, or as `retry` says. `Retry-After` is heeded.
    Turn the SDK's own retries off (`max_retries=0`), since they multiply with these.

    `history` is where learning is kept: by default in memory, for all waits of the process, or in the directory
    that the environment variable `ABIDE_STATE` names. All waits on one event loop, or of all threads, look at most
    `budget` times a second together. `on_look` is called with what each look has shown.
    """
    # Before the first look: a look may cost something.
    expect(Callable, look=look, done=done, on_look=on_look)
    expect(Schedule, schedule=schedule)
    expect(Retry, retry=retry)
    expect(History, history=history)
    expect((int, float), size=size, budget=budget)
    expect((type, tuple, Callable), final=final)
    if kind is None:
        frame = sys._getframe(1)
        kind = f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_name}"
    terms: dict[str, Any] = {
        "deadline": None if timeout is None else seconds(timeout),
        "retry": retry,
        "size": size,
        "features": None if features is None else features_of(features),
    }
    plan = schedule_of(kind, history or _history(), price, schedule)
    wait = _Wait(done, final, on_look)
    limit = 30.0 if look_timeout is None else seconds(look_timeout, "look_timeout")
    if inspect.iscoroutinefunction(look):
        return _poll_async(look, None, wait, plan, terms, limit, kind, budget)
    # What the first look returns tells whether it is to be awaited.
    try:
        first = look()
    except Exception as error:
        return _poll(look, wait.failed(error), wait, plan, terms, kind, budget)
    if inspect.isawaitable(first):
        return _poll_async(look, first, wait, plan, terms, limit, kind, budget)
    return _poll(look, wait.judge(first), wait, plan, terms, kind, budget)


def _poll(
    look: Callable[[], Any],
    first: Look | Failed,
    wait: _Wait,
    plan: Schedule,
    terms: dict[str, Any],
    kind: str,
    budget: float,
) -> Any:
    taken: list[Look | Failed] = [first]

    def take() -> Look | Failed:
        if taken:
            return taken.pop()
        try:
            value = look()
        except Exception as error:
            return wait.failed(error)
        return wait.judge(value)

    def begin(core: Core) -> int:
        return core.poll_until(plan, attempt_timeout=_FOREVER, **terms)

    try:
        with waiting(kind=kind) as span:
            done = wait.found(_sync_engine(budget).run(begin, look=take))
            span.report("found", done.report)
            return done
    except AbideError as error:
        raise wait.lost(error) from error.__cause__


async def _poll_async(
    look: Callable[[], Awaitable[Any]],
    first: Awaitable[Any] | None,
    wait: _Wait,
    plan: Schedule,
    terms: dict[str, Any],
    limit: float,
    kind: str,
    budget: float,
) -> Any:
    made: list[Awaitable[Any]] = [] if first is None else [first]

    async def take() -> Look | Failed:
        try:
            value = await (made.pop() if made else look())
        except Exception as error:
            return wait.failed(error)
        return wait.judge(value)

    engine = _async_engine(budget)
    op = engine.core.poll_until(plan, attempt_timeout=limit, **terms)
    try:
        with waiting(kind=kind) as span:
            done = wait.found(await engine.run(op, look=take))
            span.report("found", done.report)
            return done
    except AbideError as error:
        raise wait.lost(error) from error.__cause__
    finally:
        for awaitable in made:
            # It was never begun: nothing is to warn of that.
            close = getattr(awaitable, "close", None)
            if close is not None:
                close()
