"""A worker's side of a job: a lease that is renewed, reported on, and ended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from ._errors import AbideError, JobCanceled, JobFailed, LeaseLost, UsageError
from ._types import Job, Problem, Span, seconds

if TYPE_CHECKING:
    from . import _aio, _core, _sync
    from ._core import Core

_ENDS = (JobCanceled, JobFailed, LeaseLost)
"""What a report raises where there is nothing more to do."""


def claiming(
    kinds: tuple[str, ...], lease: Span | None, timeout: Span | None, by_hand: bool = False
) -> Callable[[Core], int]:
    """Claims a job of one of these kinds."""
    return lambda core: core.claim(
        list(kinds),
        lease=None if lease is None else seconds(lease, "lease"),
        deadline=None if timeout is None else seconds(timeout),
        by_hand=by_hand,
    )


class _Lease:
    """What leases of both clients are made of."""

    def __init__(self, held: _core.Lease) -> None:
        self._held = held
        self._why: AbideError | None = None
        self._has_ended = False
        self.job: Job = Job.read(held.job)
        """The job as the claim showed it."""

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def token(self) -> str:
        """What names the lease: a program that reports by itself sends it as `Lease-Token`. It is a secret."""
        return self._held.token

    @property
    def over(self) -> AbideError | None:
        """Why there is nothing more to do for this worker: `JobCanceled`, `JobFailed` if the job ran past its
        deadline, `LeaseLost`. `None` while the work should go on, and after an end of one's own."""
        return None if self._has_ended else self._why

    def _report(self, word: str, body: Any = None) -> Callable[[Core], int]:
        try:
            text = json.dumps(body, allow_nan=False)
        except (RecursionError, TypeError, ValueError) as error:
            raise UsageError(f"this can't be written as JSON: {error}") from error
        return lambda core: core.report(self._held, word, text)

    def _refused(self, error: AbideError) -> None:
        if isinstance(error, _ENDS):
            self._why = error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} can't be pickled: a worker in another process claims for itself")


def _problem(problem: Problem | Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(problem, str):
        return {"title": problem, "status": 500, "code": "failed"}
    if isinstance(problem, Problem):
        told = {name: value for name, value in asdict(problem).items() if name != "raw" and value is not None}
        return {**problem.raw, **told}
    return dict(problem)


def _progress(percent: float, stage: str | None) -> dict[str, Any]:
    return {"percent": percent} if stage is None else {"percent": percent, "stage": stage}


class Lease(_Lease):
    """A job that this worker has claimed, and works on: made by `Client.claim`, for use in a `with`.

    Every report renews it: `progress`, or `renew` without progress. Send one at least every third of the
    lease's length, or claim with `renew=True`: then a thread renews it until it is ended by `complete` or `fail`, given
    back by `release`, or let go of by the end of the `with` block. Let go of without an end it is silent, and the
    server gives the job up when the lease runs out, as its creator chose. Reports raise `JobCanceled`, `JobFailed` or
    `LeaseLost` where the work should stop; `over` tells what the last report heard, and what the thread hears.

    While the server doesn't answer the lease goes on. If only this worker can't reach it, the job may get another
    worker meanwhile, and this one's result is refused: work that has effects elsewhere should bear being done twice.
    """

    def __init__(self, engine: _sync.Engine, held: _core.Lease, *, renew: bool) -> None:
        super().__init__(held)
        self._engine = engine
        self._stop: Callable[[], object] = lambda: None
        if renew:
            self._keep()

    def _keep(self) -> None:
        """Has a thread turn the core, until there is nothing more to do or the lease is let go of."""
        op, queue = self._engine.start(self._report("over"))

        def turn() -> None:
            try:
                self._engine.finish(op, queue)
            except AbideError as error:
                self._refused(error)

        def stop() -> None:
            queue.put(("ended", op, None))
            thread.join()

        thread = threading.Thread(target=turn, name="abide-lease", daemon=True)
        thread.start()
        self._stop = stop

    def renew(self) -> Job:
        """Renews the lease, as every other report does too."""
        return self._send("renew", None)

    def progress(self, percent: float, stage: str | None = None) -> Job:
        """Tells how far the work has come."""
        return self._send("progress", _progress(percent, stage))

    def complete(self, result: Any = None) -> Job:
        """Ends the job with a result, anything that is JSON. May be called again after an error."""
        return self._end("complete", result)

    def fail(self, problem: Problem | Mapping[str, Any] | str) -> Job:
        """Ends the job as failed, because of that. May be called again after an error."""
        return self._end("fail", _problem(problem))

    def release(self) -> None:
        """Gives the job back: it is pending again, and the attempt doesn't count. That it was canceled or lost is no
        error."""
        self._engine.run(self._report("release"))
        self._has_ended = True
        self.close()

    def _send(self, word: str, body: Any) -> Job:
        try:
            return Job.read(self._engine.run(self._report(word, body)))
        except AbideError as error:
            self._refused(error)
            raise

    def _end(self, word: str, body: Any) -> Job:
        job = self._send(word, body)
        self._has_ended = True
        self.close()
        return job

    def close(self) -> None:
        """Lets go of the job without a word. Renews nothing from now on."""
        self._held.close()
        self._stop()

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncLease(_Lease):
    """A job that this worker has claimed, and works on: made by `AsyncClient.claim`, for use in an `async with`.

    It renews itself as long as the event loop runs, until it is ended by `complete` or `fail`, given back by `release`,
    or let go of by the end of the `async with` block. Let go of without an end it is silent, and the server gives the
    job up when the lease runs out, as its creator chose.

    The block is the work: if there is nothing more to do for this worker, it is cancelled, and raises `JobCanceled`,
    `JobFailed` if the job ran past its deadline, or `LeaseLost`.

    While the server doesn't answer the lease goes on. If only this worker can't reach it, the job may get another
    worker meanwhile, and this one's result is refused: work that has effects elsewhere should bear being done twice.
    """

    def __init__(self, engine: _aio.Engine, held: _core.Lease) -> None:
        super().__init__(held)
        self._engine = engine
        self._stop: Callable[[], object] = lambda: None
        self._leave: Callable[..., bool] | None = None
        self._op = self._report("over")(engine.core)
        self._cancel = engine.runtime.start(self._keep(), None)

    async def _keep(self) -> None:
        try:
            await self._engine.run(self._op)
        except AbideError as error:
            self._refused(error)
            if self.over is not None:
                self._stop()

    async def progress(self, percent: float, stage: str | None = None) -> Job:
        """Tells how far the work has come. Where it is cancelled, it may have been told or not."""
        return await self._send("progress", _progress(percent, stage))

    async def complete(self, result: Any = None) -> Job:
        """Ends the job with a result, anything that is JSON. May be called again after an error, or where it was
        cancelled: an end whose answer was lost is one."""
        return await self._end("complete", result)

    async def fail(self, problem: Problem | Mapping[str, Any] | str) -> Job:
        """Ends the job as failed, because of that. May be called again like `complete`."""
        return await self._end("fail", _problem(problem))

    async def release(self) -> None:
        """Gives the job back: it is pending again, and the attempt doesn't count. That it was canceled or lost is no
        error."""
        self._has_ended = True
        try:
            await self._engine.run(self._report("release")(self._engine.core))
        except BaseException:
            self._has_ended = False
            raise
        self.close()

    async def _send(self, word: str, body: Any) -> Job:
        try:
            return Job.read(await self._engine.run(self._report(word, body)(self._engine.core)))
        except AbideError as error:
            self._refused(error)
            raise

    async def _end(self, word: str, body: Any) -> Job:
        # What is heard of its own end cancels no block.
        self._has_ended = True
        try:
            job = await self._send(word, body)
        except BaseException:
            self._has_ended = False
            raise
        self.close()
        return job

    def close(self) -> None:
        """Lets go of the job without a word. Renews nothing from now on."""
        self._held.close()
        # The task may not have begun.
        self._engine.core.give_up(self._op, self._engine.now())
        self._cancel()
        self._engine.poke()

    async def __aenter__(self) -> AsyncLease:
        if self.over is not None:
            raise self.over
        self._stop, self._leave = self._engine.runtime.stoppable()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        assert self._leave is not None
        self._stop = lambda: None
        if self._leave(kind, error, trace) and self._why is not None:
            raise self._why from None
