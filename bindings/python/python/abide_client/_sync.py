"""Turns a core without an event loop: the caller's thread decides and sleeps, a short-lived thread sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ._core import Lease
from ._errors import UsageError, told
from ._http import Answer, GaveUp, Transport, how_broken

if TYPE_CHECKING:
    from ._aio import Failed
    from ._core import Core
    from ._recognize import Look

Looker = Callable[[], "Look | Failed"]

_POKE = ("poke",)


def aside(*steps: Callable[[], object]) -> threading.Thread:
    """Does what may wait for a disk on a thread of its own, which keeps no process from ending. Raises
    `RuntimeError` if no thread is to be had: the system has no room for one, or the process is about to end."""

    def run() -> None:
        for step in steps:
            step()

    thread = threading.Thread(target=run, name="abide-disk", daemon=True)
    thread.start()
    return thread


def _let_go(effect: tuple[Any, ...]) -> None:
    """Nobody takes what an operation came to: a lease isn't kept for nobody."""
    if isinstance(effect[-1], Lease):
        effect[-1].close()


class Engine:
    """One core for any number of threads.

    Each thread that waits sleeps in a queue of its own, up to the instant at which the core wants to be turned;
    whichever thread turns it puts what came of it into the others' queues. A look is called on the thread that waits
    for it.
    """

    def __init__(self, core: Callable[[float], Core], transport: Callable[[], Transport]) -> None:
        self._zero = time.monotonic()
        self.core = core(time.time())
        self._transport = transport
        self._lock = threading.Lock()
        self._queues: dict[int, SimpleQueue[tuple[Any, ...]]] = {}
        self._exchanges: set[int] = set()
        # Up to which instant each thread sleeps that waits for an operation.
        self._sleepers: dict[int, float] = {}

    def now(self) -> float:
        return time.monotonic() - self._zero

    def poke(self) -> None:
        """Turns the core, on any thread."""
        with self._lock:
            self._turn()
            self._cover()

    def _turn(self) -> None:
        while self._turned():
            pass

    def _turned(self) -> bool:
        """Turns once. Returns whether the core was told something by that."""
        sends: list[tuple[Any, ...]] = []
        told = False
        for effect in self.core.turn(self.now()):
            match effect:
                case ("send", name, *request):
                    self._exchanges.add(name)
                    sends.append((name, *request))
                case ("abort", name):
                    # Its thread sees that at the next part of the answer, and ends with the server's hold, or after
                    # `SILENCE_MAX` without a byte.
                    self._exchanges.discard(name)
                case ("look_abort", _):
                    pass
                case ("work", work):
                    try:
                        aside(work, self.poke)
                    except RuntimeError:
                        work()
                        told = True
                case (_, op, *_):
                    if (queue := self._queues.get(op)) is not None:
                        queue.put(effect)
                case _:
                    pass
        for send in sends:
            try:
                threading.Thread(target=self._exchange, args=send, name="abide-exchange", daemon=True).start()
            except RuntimeError as error:
                # Told to whoever waits for it, and not to whoever turns.
                self._exchanges.discard(send[0])
                self.core.broken(send[0], "connect", f"no thread can be started: {error}")
                told = True
        return told

    def _cover(self) -> None:
        """Makes sure that a thread wakes up when the core wants to be turned."""
        at = self.core.deadline
        if at is None or not self._sleepers:
            return
        op = min(self._sleepers, key=self._sleepers.__getitem__)
        if at < self._sleepers[op]:
            self._sleepers[op] = at
            self._queues[op].put(_POKE)

    def _exchange(self, name: int, method: str, url: str, headers: list[tuple[str, str]], body: bytes) -> None:
        core = self.core

        def tell(what: Callable[..., None], *parts: Any) -> None:
            with self._lock:
                if name not in self._exchanges:
                    raise GaveUp
                what(name, *parts)
                self._turn()
                self._cover()

        def head(status: int, headers: Any) -> None:
            tell(core.head, status, headers)

        def chunk(part: bytes) -> None:
            tell(core.chunk, part)

        try:
            self._transport().exchange(method, url, headers, body, Answer(head, chunk))
            with self._lock:
                core.end(name)
        except GaveUp:
            pass
        except Exception as error:
            with self._lock:
                core.broken(name, *how_broken(error))
        finally:
            with self._lock:
                self._exchanges.discard(name)
                self._turn()
                self._cover()

    def start(self, begin: Callable[[Core], int]) -> tuple[int, SimpleQueue[tuple[Any, ...]]]:
        """Starts an operation."""
        with self._lock:
            op = begin(self.core)
            queue = self._queues[op] = SimpleQueue()
            self._turn()
            self._cover()
            return op, queue

    def _next(self, op: int, queue: SimpleQueue[tuple[Any, ...]]) -> tuple[Any, ...]:
        """The next effect of an operation; turns the core while it waits."""
        while True:
            with self._lock:
                at = self.core.deadline
                self._sleepers[op] = float("inf") if at is None else at
            try:
                effect = queue.get(timeout=None if at is None else max(at - self.now(), 0.0))
            except Empty:
                effect = None
            with self._lock:
                self._sleepers.pop(op, None)
                if effect is None:
                    # What comes of it for this thread is in its queue; for all else it sleeps again.
                    self._turn()
                elif effect is not _POKE:
                    self._cover()
                    return effect

    def run(
        self,
        begin: Callable[[Core], int],
        look: Looker | None = None,
        news: Callable[[Any], None] | None = None,
    ) -> Any:
        """Carries an operation out to its end."""
        return self.finish(*self.start(begin), look, news)

    def finish(
        self,
        op: int,
        queue: SimpleQueue[tuple[Any, ...]],
        look: Looker | None = None,
        news: Callable[[Any], None] | None = None,
    ) -> Any:
        """Carries an operation out that was started."""
        try:
            while True:
                match self._next(op, queue):
                    case ("ended", _, value):
                        return value
                    case ("failed", _, parts):
                        raise told(parts)
                    case ("raise", _, error):
                        raise error
                    case ("look", _, name):
                        assert look is not None
                        self._look(name, look)
                    case (_, _, *item):
                        if news is not None:
                            news(item)
                    case _:
                        pass
        finally:
            self._leave(op)

    def stream(self, begin: Callable[[Core], int]) -> Generator[Any, None, None]:
        """The news of an operation, up to its end."""
        op, queue = self.start(begin)
        try:
            while True:
                match self._next(op, queue):
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

    def _look(self, name: int, look: Looker) -> None:
        from ._aio import Failed

        shown = look()
        with self._lock:
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
            self._turn()
            self._cover()

    def _leave(self, op: int) -> None:
        with self._lock:
            queue = self._queues.pop(op)
            self._sleepers.pop(op, None)
            while not queue.empty():
                _let_go(queue.get_nowait())
            self.core.give_up(op, self.now())
            self._turn()
            # Another thread may have relied on this one to turn in time.
            self._cover()

    def close(self) -> None:
        """Ends what is under way."""
        with self._lock:
            for queue in self._queues.values():
                queue.put(("raise", 0, UsageError("the client was closed")))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        with self._lock:
            return not self._queues and not self._exchanges and self.core.is_idle
