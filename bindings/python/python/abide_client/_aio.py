"""Turns a core on an event loop."""

from __future__ import annotations

import contextvars
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ._core import Lease
from ._errors import UsageError, told
from ._http import Answer, AsyncTransport, how_broken
from ._sync import aside

if TYPE_CHECKING:
    from ._core import Core
    from ._recognize import Look
    from ._runtime import Box, Cancel, Runtime

Looker = Callable[[], Awaitable["Look | Failed"]]


class Failed:
    """A look that has shown nothing, and why."""

    __slots__ = ("error", "is_final", "retry_after")

    def __init__(self, error: BaseException, is_final: bool, retry_after: float | None) -> None:
        self.error = error
        self.is_final = is_final
        self.retry_after = retry_after


class Operation:
    """One operation: where its news arrive, and what it looks by."""

    __slots__ = ("box", "context", "look")

    def __init__(self, box: Box[Any], look: Looker | None) -> None:
        self.box = box
        self.look = look
        self.context = contextvars.copy_context()


class Engine:
    """One core on one event loop.

    Exchanges and looks run as tasks of their own; the core's one timer is a timer of the loop. Whatever waits for an
    operation reads its box, and gives the operation up when it is cancelled, without awaiting anything.
    """

    def __init__(
        self, runtime: Runtime, core: Callable[[float], Core], transport: Callable[[], AsyncTransport]
    ) -> None:
        self.runtime = runtime
        self._zero = runtime.now()
        self.core = core(time.time())
        self._transport = transport
        self._ops: dict[int, Operation] = {}
        self._tasks: dict[int, Cancel] = {}
        self._timer: Cancel | None = None
        self._timer_at = float("inf")
        self._is_turning = False
        self._again = False
        self._poked = False

    def now(self) -> float:
        return self.runtime.now() - self._zero

    def poke(self) -> None:
        """Turns soon; once for all that is told by then."""
        if not self._poked:
            self._poked = True
            self.runtime.soon(self.turn)

    def turn(self) -> None:
        """Turns the core, and does what it says."""
        self._poked = False
        # A loop that starts tasks eagerly comes back here from within.
        if self._is_turning:
            self._again = True
            return
        self._is_turning = True
        try:
            while True:
                self._again = False
                for effect in self.core.turn(self.now()):
                    self._do(effect)
                if not self._again:
                    break
        finally:
            self._is_turning = False
        at = self.core.deadline
        if at is None:
            if self._timer is not None:
                self._timer()
                self._timer, self._timer_at = None, float("inf")
        elif at < self._timer_at:
            # One that rings too early does no harm; it is the later ones that there would be many of.
            if self._timer is not None:
                self._timer()
            self._timer_at = at
            self._timer = self.runtime.at(self._zero + at, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self.turn()

    def _do(self, effect: tuple[Any, ...]) -> None:
        match effect:
            case ("send", name, method, url, headers, body):
                task = self._exchange(name, method, url, headers, body)
                self._start(name, task, None)
            case ("work", work):
                try:
                    aside(work, self.poke)
                except RuntimeError:
                    work()
                    self.poke()
            case ("look", op, name):
                if (operation := self._ops.get(op)) is not None:
                    self._start(name, self._look(operation, name), operation.context)
            case ("abort" | "look_abort", name):
                if (cancel := self._tasks.pop(name, None)) is not None:
                    cancel()
            case (_, op, *_):
                if (operation := self._ops.get(op)) is not None:
                    operation.box.put(effect)
            case _:
                pass

    def _start(self, name: int, task: Coroutine[Any, Any, None], context: contextvars.Context | None) -> None:
        # Before it is started: an eager task may be over by then.
        self._tasks[name] = lambda: None
        cancel = self.runtime.start(task, context)
        if name in self._tasks:
            self._tasks[name] = cancel

    async def _exchange(self, name: int, method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> None:
        core = self.core

        def head(status: int, headers: Any) -> None:
            core.head(name, status, headers)
            self.poke()

        def chunk(part: bytes) -> None:
            core.chunk(name, part)
            self.poke()

        try:
            await self._transport().exchange(method, url, headers, body, Answer(head, chunk))
            core.end(name)
        except Exception as error:
            core.broken(name, *how_broken(error))
        except BaseException:
            # Where the core hasn't asked for it, the loop is being shut down.
            core.broken(name, "lost", "the exchange was cancelled")
            raise
        finally:
            self._tasks.pop(name, None)
            self.poke()

    async def _look(self, operation: Operation, name: int) -> None:
        assert operation.look is not None
        try:
            shown = await operation.look()
            if isinstance(shown, Failed):
                what = repr(shown.error)
                self.core.look_failed(name, what, is_final=shown.is_final, retry_after=shown.retry_after)
            else:
                self.core.looked(
                    name,
                    shown.done,
                    progress=shown.progress,
                    remaining=shown.remaining,
                    retry_after=shown.retry_after,
                    took=shown.took,
                )
        except Exception as error:
            # The caller's own, as one of `final=`: the wait raises it, and no task of ours does.
            operation.box.put(("raise", 0, error))
        except BaseException as error:
            if name in self._tasks:
                # Not by us: what the look is made of was cancelled, and so is the wait.
                operation.box.put(("raise", 0, error))
            raise
        finally:
            self._tasks.pop(name, None)
            self.poke()

    async def run(self, op: int, look: Looker | None = None, news: Callable[[Any], None] | None = None) -> Any:
        """Waits for the end of an operation."""
        operation = self._ops[op] = Operation(self.runtime.box(), look)
        self.turn()
        try:
            while True:
                match await operation.box.get():
                    case ("ended", _, value):
                        return value
                    case ("failed", _, parts):
                        raise told(parts)
                    case ("raise", _, error):
                        raise error
                    case (_, _, *item):
                        if news is not None:
                            news(item)
                    case _:
                        pass
        finally:
            self._leave(op)

    async def stream(self, op: int) -> AsyncGenerator[Any, None]:
        """The news of an operation, up to its end."""
        operation = self._ops[op] = Operation(self.runtime.box(), None)
        self.turn()
        try:
            while True:
                match await operation.box.get():
                    case ("ended", _, _):
                        return
                    case ("failed", _, parts):
                        raise told(parts)
                    case ("raise", _, error):
                        raise error
                    case (_, _, *item):
                        yield item
                    case _:
                        pass
        finally:
            self._leave(op)

    def _leave(self, op: int) -> None:
        for effect in self._ops.pop(op).box.rest():
            # Nobody takes what it came to: a lease isn't kept for nobody.
            if isinstance(effect[-1], Lease):
                effect[-1].close()
        # Of one that has ended nothing is left to be given up.
        self.core.give_up(op, self.now())
        self.turn()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._ops and not self._tasks and self.core.is_idle

    def close(self) -> None:
        """Ends what is under way."""
        for operation in self._ops.values():
            operation.box.put(("raise", 0, UsageError("the client was closed")))
        for cancel in list(self._tasks.values()):
            cancel()
        if self._timer is not None:
            self._timer()
            self._timer, self._timer_at = None, float("inf")
