"""What the asynchronous client needs of an event loop: asyncio's, or trio's."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
Cancel = Callable[[], object]
"""Cancels what was started."""


class Box(Protocol[T]):
    """A mailbox with one reader."""

    def put(self, item: T) -> None: ...

    async def get(self) -> T: ...

    def rest(self) -> Collection[T]:
        """What was put in and not got."""
        ...


class Runtime(Protocol):
    """An event loop."""

    @property
    def key(self) -> object:
        """What tells it from others."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it will never run again."""
        ...

    def now(self) -> float: ...

    def soon(self, call: Callable[[], None]) -> None:
        """Calls from within the loop, soon. May be asked for on any thread."""
        ...

    def at(self, when: float, call: Callable[[], None]) -> Cancel:
        """Calls at that instant. Returns what cancels it."""
        ...

    def start(self, task: Coroutine[Any, Any, None], context: contextvars.Context | None) -> Cancel:
        """Starts a task in a context. Returns what cancels it."""
        ...

    def box(self) -> Box[Any]: ...

    def stoppable(self) -> tuple[Cancel, Callable[..., bool]]:
        """Makes a block of the caller's task stoppable. Returns what stops it, and what is called at its end with what
        it raised, as by an `__exit__`: it says whether that was the stop."""
        ...


class _AsyncioBox(Generic[T]):
    __slots__ = ("_items", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # A deque has room for 64 from the start, and there may be ten thousand waits.
        self._items: list[T] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: T) -> None:
        self._items.append(item)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def get(self) -> T:
        while not self._items:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._items.pop(0)

    def rest(self) -> Collection[T]:
        return self._items


class Asyncio:
    """The running loop of asyncio."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def key(self) -> object:
        return self._loop

    @property
    def is_over(self) -> bool:
        return self._loop.is_closed()

    def now(self) -> float:
        return self._loop.time()

    def soon(self, call: Callable[[], None]) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._loop.call_soon(call)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def at(self, when: float, call: Callable[[], None]) -> Cancel:
        return self._loop.call_at(when, call).cancel

    def start(self, task: Coroutine[Any, Any, None], context: contextvars.Context | None) -> Cancel:
        context = context or contextvars.Context()
        running: asyncio.Task[None] = context.run(self._loop.create_task, task)
        # The loop itself keeps no task alive.
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return running.cancel

    def box(self) -> Box[Any]:
        return _AsyncioBox(self._loop)

    def stoppable(self) -> tuple[Cancel, Callable[..., bool]]:
        task: Any = asyncio.current_task()
        # Python 3.10 counts no cancellations.
        before = task.cancelling() if hasattr(task, "cancelling") else 0
        stopped = False

        def stop() -> None:
            nonlocal stopped
            stopped = True
            task.cancel()

        def leave(kind: type[BaseException] | None, *_: object) -> bool:
            left = task.uncancel() if stopped and hasattr(task, "uncancel") else before
            # One that others have asked for as well is theirs.
            return stopped and left <= before and kind is asyncio.CancelledError

        return stop, leave


class _TrioBox(Generic[T]):
    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._items: deque[T] = deque()
        self._event: Any = None

    def put(self, item: T) -> None:
        self._items.append(item)
        if self._event is not None:
            self._event.set()

    async def get(self) -> T:
        while not self._items:
            self._event = self._trio.Event()
            await self._event.wait()
        return self._items.popleft()

    def rest(self) -> Collection[T]:
        return self._items


class Trio:
    """The running loop of trio. What outlives a call runs as a system task."""

    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()

    @property
    def key(self) -> object:
        return self._token

    @property
    def is_over(self) -> bool:
        try:
            self._token.run_sync_soon(int)
        except self._trio.RunFinishedError:
            return True
        return False

    def now(self) -> float:
        return float(self._trio.current_time())

    def soon(self, call: Callable[[], None]) -> None:
        try:
            self._token.run_sync_soon(call)
        except self._trio.RunFinishedError:
            pass

    def at(self, when: float, call: Callable[[], None]) -> Cancel:
        async def sleep() -> None:
            await self._trio.sleep_until(when)
            call()

        return self.start(sleep(), None)

    def start(self, task: Coroutine[Any, Any, None], context: contextvars.Context | None) -> Cancel:
        scope = self._trio.CancelScope()

        async def run() -> None:
            with scope:
                await task

        self._trio.lowlevel.spawn_system_task(run, context=context)
        return scope.cancel  # type: ignore[no-any-return]

    def box(self) -> Box[Any]:
        return _TrioBox(self._trio)

    def stoppable(self) -> tuple[Cancel, Callable[..., bool]]:
        scope = self._trio.CancelScope()
        scope.__enter__()

        def leave(*raised: object) -> bool:
            scope.__exit__(*raised)
            return bool(scope.cancelled_caught)

        return scope.cancel, leave


def running() -> Runtime:
    """The event loop that runs here. Raises `RuntimeError` if none does."""
    trio: Any = sys.modules.get("trio")
    if trio is not None:
        try:
            return Trio(trio)
        except RuntimeError:
            pass
    return Asyncio(asyncio.get_running_loop())
