"""The clients of an abide server: one without async, one with."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any, Literal, NoReturn, overload
from weakref import WeakSet

from . import _aio, _sync
from ._core import Core, Handle, History, Listing, Retry, Schedule
from ._errors import Garbled, UsageError, told
from ._http import AsyncTransport, Transport, adapt, adapt_async, default, default_async
from ._runtime import running
from ._spans import waiting
from ._types import (
    End,
    Event,
    Features,
    Finished,
    Gap,
    Job,
    Report,
    Span,
    StreamToken,
    Terms,
    Webhook,
    features_of,
    parsed,
    seconds,
)
from ._worker import AsyncLease, Lease, claiming

Strategy = Literal["auto", "long_poll", "stream", "poll"] | Webhook
"""How to learn of a job's end. `auto`, the default, is the best of the others that the server can do."""


def _terms(
    timeout: Span | None,
    strategy: Strategy | None,
    schedule: Schedule | None,
    retry: Retry | None,
    attempt_timeout: Span | None,
    size: float | None = None,
    features: Features | None = None,
) -> Terms:
    terms: Terms = {}
    if timeout is not None:
        terms["deadline"] = seconds(timeout)
    if isinstance(strategy, Webhook):
        terms["inbox"] = strategy.ears()
    elif strategy is not None:
        terms["strategy"] = strategy
    if schedule is not None:
        terms["schedule"] = schedule
    if retry is not None:
        terms["retry"] = retry
    if attempt_timeout is not None:
        terms["attempt_timeout"] = seconds(attempt_timeout, "attempt_timeout")
    if size is not None:
        terms["size"] = size
    if features is not None:
        terms["features"] = features_of(features)
    return terms


def _new_job(
    kind: str | None,
    input: Any,
    metadata: Mapping[str, Any] | None,
    worker: str | None,
    simulate: Mapping[str, Any] | None,
    webhook: Mapping[str, Any] | None,
    deadline: Span | None,
    on_worker_lost: str | None,
    attempts_max: int | None,
) -> str:
    job: dict[str, Any] = {
        "kind": kind,
        "input": input,
        "metadata": metadata,
        "worker": worker,
        "simulate": simulate,
        "webhook": webhook,
        "deadline_s": None if deadline is None else seconds(deadline, "deadline"),
        "on_worker_lost": on_worker_lost,
        "attempts_max": attempts_max,
    }
    try:
        told = {name: value for name, value in job.items() if value is not None}
        return json.dumps(told, default=_plain, allow_nan=False)
    except (RecursionError, TypeError, ValueError) as error:
        raise UsageError(f"the job can't be written as JSON: {error}") from error


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _finished(value: tuple[str, dict[str, Any]]) -> Finished:
    job, report = value
    return Finished(Job.read(job), Report(**report))


@contextmanager
def _about(handle: Handle) -> Iterator[None]:
    """What Python can't read of an answer is about that job, too."""
    try:
        yield
    except Garbled as error:
        error.job_id, error.token = handle.id, error.token or handle.token
        raise


def _end(item: list[Any]) -> End:
    word, value = item
    if word != "end":
        return End(value[0], error=told(value[1]))
    try:
        return End(value[0], finished=_finished(value[1:]))
    except Garbled as error:
        error.job_id = value[0]
        return End(value[0], error=error)


def _change(item: list[Any]) -> Event | Gap:
    word, value = item
    if word == "gap":
        return Gap(value)
    try:
        event = parsed(value[0])
    except Garbled:
        return Gap(value[1])
    return Event(event["type"], Job.read(event["data"]), value[1])


def _readable(jobs: Iterable[str]) -> Iterator[Job]:
    """The jobs of a page. One that can't be read hides no others."""
    for text in jobs:
        try:
            yield Job.read(text)
        except Garbled:
            pass


def _instant(at: datetime | None) -> str | None:
    if at is None:
        return None
    return (at if at.tzinfo else at.astimezone()).isoformat()


_clients: WeakSet[Any] = WeakSet()
"""Every client of the process."""


def _forked() -> None:
    """The child shares no threads, connections or random numbers with its parent: every client begins anew."""
    for client in list(_clients):
        client._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _in_ascii(url: str) -> str:
    """The URL with its host as DNS has it: the extension has no tables of Unicode."""
    if not isinstance(url, str) or url.isascii():
        return url
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, colon, port = parts.netloc.partition(":")
        host = host.encode("idna").decode()
    except ValueError as error:
        raise UsageError(f"{url!r} is no address of a server: {error}") from None
    return parts._replace(netloc=f"{host}{colon}{port}").geturl()


class _Base:
    """What both clients are made of."""

    def __init__(
        self,
        url: str,
        *,
        servers: Iterable[str],
        api_key: str | None,
        headers: Mapping[str, str] | None,
        remote: str | Mapping[str, Any] | None,
        budget: float | None,
        history: History | None,
        schedule: Schedule | None,
        retry: Retry | None,
        timeout: Span | None,
        call_timeout: Span | None,
        attempt_timeout: Span | None,
        on_report: Callable[[str, Report], None] | None,
        seed: int | None,
    ) -> None:
        self._history = history or History()
        self._on_report = on_report
        described = remote if remote is None or isinstance(remote, str) else json.dumps(dict(remote))
        options: dict[str, Any] = {
            "servers": [_in_ascii(server) for server in servers],
            "api_key": api_key,
            "headers": list(dict(headers or {}).items()),
            "remote": described,
            "budget": budget,
            "history": self._history,
            "schedule": schedule,
            "retry": retry,
            "deadline": None if timeout is None else seconds(timeout),
            "timeout": None if call_timeout is None else seconds(call_timeout, "call_timeout"),
            "attempt_timeout": None if attempt_timeout is None else seconds(attempt_timeout, "attempt_timeout"),
            "seed": seed,
        }

        url = _in_ascii(url)
        self._make: Callable[[float], Core] = lambda wall: Core(url, wall, **options)
        # Mistakes are told here, not by the first call. It makes handles, too: they are of no loop.
        self._desk = self._make(0.0)

    @property
    def server(self) -> str:
        """The server's address."""
        return self._desk.server

    @property
    def history(self) -> History:
        """What was learned of how long jobs take."""
        return self._history

    def _tell(self, id: str, report: Report | None) -> None:
        if self._on_report is not None and report is not None:
            self._on_report(id, report)

    def _told(self, end: End) -> End:
        ended = end.finished or end.error
        self._tell(end.id, ended.report if ended else None)
        return end

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} can't be pickled: pass job.token, and resume it there")


class JobHandle:
    """A job on a server, of a `Client`. Cheap; does nothing by itself."""

    __slots__ = ("_client", "_handle")

    def __init__(self, client: Client, handle: Handle) -> None:
        self._client = client
        self._handle = handle

    @property
    def id(self) -> str:
        return self._handle.id

    @property
    def token(self) -> str:
        """What a later process needs to go on: `client.resume(token)`. No secret is in it."""
        return self._handle.token

    @property
    def snapshot(self) -> Job | None:
        """The job as the create's answer showed it."""
        text = self._handle.snapshot
        return Job.read(text) if text else None

    @property
    def idempotency_key(self) -> str | None:
        """The key under which it was created here."""
        return self._handle.idempotency_key

    @property
    def replayed(self) -> bool:
        """Whether the create found a job that had been created before under the same key."""
        return self._handle.replayed

    def wait(
        self,
        *,
        timeout: Span | None = None,
        on_update: Callable[[Job], None] | None = None,
        strategy: Strategy | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        attempt_timeout: Span | None = None,
        size: float | None = None,
        features: Features | None = None,
        cancel_on_timeout: bool = False,
    ) -> Finished:
        """Waits for the end, well or not. Raises `StillRunning` when the timeout comes first; the job goes on then,
        unless `cancel_on_timeout` is set."""
        client = self._client
        terms = _terms(timeout, strategy, schedule, retry, attempt_timeout, size, features)
        with client._hearing(strategy), waiting(job=self.id) as span, _about(self._handle):
            value = client._run(
                lambda core: core.wait(self._handle, terms, updates=on_update is not None, cancel=cancel_on_timeout),
                news=None if on_update is None else lambda item: on_update(Job.read(item[1])),
                id=self.id,
            )
            finished = _finished(value)
            span.report(finished.outcome, finished.report)
        client._tell(self.id, finished.report)
        return finished

    def watch(
        self,
        *,
        timeout: Span | None = None,
        strategy: Strategy | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        attempt_timeout: Span | None = None,
        size: float | None = None,
        features: Features | None = None,
    ) -> Generator[Job, None, None]:
        """The states of the job, progress included, up to the last. What the create's answer showed isn't repeated."""
        terms = _terms(timeout, strategy, schedule, retry, attempt_timeout, size, features)
        with self._client._hearing(strategy), _about(self._handle):
            for item in self._client._stream(lambda core: core.watch(self._handle, terms)):
                yield Job.read(item[1])

    def status(self) -> Job:
        """How the job stands now."""
        with _about(self._handle):
            return Job.read(self._client._run(lambda core: core.status(self._handle)))

    def cancel(self) -> Job:
        """Cancels the job. One that has ended stays as it ended, and that is no error."""
        with _about(self._handle):
            return Job.read(self._client._run(lambda core: core.cancel(self._handle)))

    def delete(self) -> None:
        """Deletes the record of a job that is done."""
        self._client._run(lambda core: core.delete(self._handle))

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a JobHandle can't be pickled: pass its token, and resume it there")


class Client(_Base):
    """A client of one server, for any number of threads.

    `servers` are more addresses of it, if it is several nodes on one database: a node that can't be reached is left for
    another one at once, and no read goes back for it. Only host and port of them differ from the first one's.

    `http` is the HTTP client that sends: a `Client` of httpx or httpx2, or anything with
    `exchange(method, url, headers, body, answer)`. Without one, httpx2 or httpx is used, whichever is installed.
    `on_report` is called with the report of every wait that ended or gave up, those of `as_completed` included.
    """

    def __init__(
        self,
        url: str,
        *,
        servers: Iterable[str] = (),
        api_key: str | None = None,
        http: Any = None,
        headers: Mapping[str, str] | None = None,
        remote: str | Mapping[str, Any] | None = None,
        budget: float | None = None,
        history: History | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        timeout: Span | None = None,
        call_timeout: Span | None = None,
        attempt_timeout: Span | None = None,
        on_report: Callable[[str, Report], None] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            url,
            servers=servers,
            api_key=api_key,
            headers=headers,
            remote=remote,
            budget=budget,
            history=history,
            schedule=schedule,
            retry=retry,
            timeout=timeout,
            call_timeout=call_timeout,
            attempt_timeout=attempt_timeout,
            on_report=on_report,
            seed=seed,
        )
        self._given: Transport | None = None if http is None else adapt(http)
        self._forget()
        _clients.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._own: tuple[Transport, Callable[[], Any]] | None = None
        self._engine: _sync.Engine | None = None

    def _transport(self) -> Transport:
        if self._given is not None:
            return self._given
        with self._lock:
            if self._own is None:
                self._own = default()
            return self._own[0]

    def _turning(self) -> _sync.Engine:
        with self._lock:
            if self._engine is None:
                self._engine = _sync.Engine(self._make, self._transport)
            engine = self._engine
        if self._given is None and self._own is None:
            # A missing HTTP client is told to the caller.
            self._transport()
        return engine

    def _run(
        self, begin: Callable[[Core], int], news: Callable[[Any], None] | None = None, id: str | None = None
    ) -> Any:
        from ._errors import AbideError

        try:
            return self._turning().run(begin, news=news)
        except AbideError as error:
            if id is not None:
                self._tell(id, error.report)
            raise

    def _stream(self, begin: Callable[[Core], int]) -> Generator[Any, None, None]:
        return self._turning().stream(begin)

    def _hearing(self, strategy: Strategy | None) -> Any:
        return _hearing(strategy, lambda: self._turning().poke)

    def create(
        self,
        kind: str | None = None,
        *,
        input: Any = None,
        metadata: Mapping[str, Any] | None = None,
        worker: Literal["simulator", "external"] | None = None,
        simulate: Mapping[str, Any] | None = None,
        webhook: Mapping[str, Any] | None = None,
        deadline: Span | None = None,
        on_worker_lost: Literal["fail", "retry"] | None = None,
        attempts_max: int | None = None,
        idempotency_key: str | None = None,
        resume: str | None = None,
    ) -> JobHandle:
        """Creates a job, once however often it is sent.

        It goes out under an idempotency key that is made before the first byte is sent and stays the same for every
        retry. An error carries the key and a token: pass that as `resume` with the same create, and there will be
        one job. A job with `worker="external"` is done by a worker of yours, who may `claim` it; `on_worker_lost` and
        `attempts_max` say what becomes of it if the worker is lost.
        """
        job = _new_job(kind, input, metadata, worker, simulate, webhook, deadline, on_worker_lost, attempts_max)
        return JobHandle(self, self._run(lambda core: core.create(job, key=idempotency_key, resume=resume)))

    def job(self, id: str) -> JobHandle:
        """The job with that id. Nothing is sent."""
        return JobHandle(self, self._desk.job(id))

    def resume(self, token: str) -> JobHandle:
        """The job of a token. Nothing is sent."""
        return JobHandle(self, self._desk.resume(token))

    def as_completed(
        self,
        jobs: Iterable[JobHandle],
        *,
        timeout: Span | None = None,
        strategy: Strategy | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        attempt_timeout: Span | None = None,
    ) -> Generator[End, None, None]:
        """Each job as it ends, or as its wait comes to nothing: one held request for a thousand of them."""
        terms = _terms(timeout, strategy, schedule, retry, attempt_timeout)
        handles = [job._handle for job in jobs]
        with self._hearing(strategy):
            for item in self._stream(lambda core: core.set(handles, terms)):
                yield self._told(_end(item))

    def wait_all(self, jobs: Iterable[JobHandle], **options: Any) -> list[End]:
        """All of them, in the order in which they were given. The options are those of `as_completed`."""
        jobs = list(jobs)
        ends = {end.id: end for end in self.as_completed(jobs, **options)}
        return [ends[job.id] for job in jobs]

    def feed(self, *, after: str | None = None) -> Generator[Event | Gap, None, None]:
        """The changes of all of the caller's jobs, from now on or after a `place`."""
        for item in self._stream(lambda core: core.feed(after)):
            yield _change(item)

    def list(
        self,
        *,
        status: str | Iterable[str] = (),
        kind: str | None = None,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int | None = None,
    ) -> Iterator[Job]:
        """The caller's jobs, page by page."""
        begin = _listing(status, kind, metadata, created_after, created_before, page_size)
        while True:
            listing, jobs = self._run(begin)
            begin = _page(listing)
            if jobs is None:
                return
            yield from _readable(jobs)

    @overload
    def claim(self, *kinds: str, lease: Span | None = None, timeout: None = None, renew: bool = False) -> Lease: ...

    @overload
    def claim(self, *kinds: str, lease: Span | None = None, timeout: Span, renew: bool = False) -> Lease | None: ...

    def claim(
        self, *kinds: str, lease: Span | None = None, timeout: Span | None = None, renew: bool = False
    ) -> Lease | None:
        """Claims a job to work on: the oldest pending one with `worker="external"`, of one of these kinds, of any kind
        by default. It waits until there is one; `None` only where a `timeout` was set and no job came until then.

        `lease` is how long this worker may be silent before it has lost the job, 1 s to 24 hours; the default is 30 s.
        Every report renews it; `renew=True` has a thread renew it every third of its length, whatever your code does.
        A claim whose answer was lost is sent again under its key, and takes no second job.
        """
        held = self._run(claiming(kinds, lease, timeout, by_hand=not renew))
        return None if held is None else Lease(self._turning(), held, renew=renew)

    def stream_token(self, job: str | None = None, *, ttl: Span = 60) -> StreamToken:
        """A token that opens the event stream of a job, or without one all streams of the caller, in place of a key:
        for the `EventSource` of a page. It opens streams for `ttl`, 1 s to 10 min."""
        lasts = seconds(ttl, "ttl")
        return StreamToken(**json.loads(self._run(lambda core: core.stream_token(job, lasts))))

    @property
    def webhooks(self) -> Endpoints:
        """The webhook endpoints of the client's key."""
        return Endpoints(self)

    def save_history(self) -> int:
        """Writes what was learned into the history's directory. Returns how many kinds have changed."""
        return self._history.save()

    def close(self) -> None:
        """Ends the waits that are under way on other threads, and closes the HTTP client, if it is ours."""
        with self._lock:
            own, self._own = self._own, None
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()
        if own is not None:
            own[1]()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.server!r})"


class AsyncJobHandle:
    """A job on a server, of an `AsyncClient`. Cheap; does nothing by itself."""

    __slots__ = ("_client", "_handle")

    def __init__(self, client: AsyncClient, handle: Handle) -> None:
        self._client = client
        self._handle = handle

    @property
    def id(self) -> str:
        return self._handle.id

    @property
    def token(self) -> str:
        """What a later process needs to go on: `client.resume(token)`. No secret is in it."""
        return self._handle.token

    @property
    def snapshot(self) -> Job | None:
        """The job as the create's answer showed it."""
        text = self._handle.snapshot
        return Job.read(text) if text else None

    @property
    def idempotency_key(self) -> str | None:
        """The key under which it was created here."""
        return self._handle.idempotency_key

    @property
    def replayed(self) -> bool:
        """Whether the create found a job that had been created before under the same key."""
        return self._handle.replayed

    async def wait(
        self,
        *,
        timeout: Span | None = None,
        on_update: Callable[[Job], None] | None = None,
        strategy: Strategy | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        attempt_timeout: Span | None = None,
        size: float | None = None,
        features: Features | None = None,
        cancel_on_timeout: bool = False,
    ) -> Finished:
        """Waits for the end, well or not. Raises `StillRunning` when the timeout comes first; the job goes on then,
        unless `cancel_on_timeout` is set. May be cancelled at any time: nothing goes on, and the job is not harmed."""
        client = self._client
        terms = _terms(timeout, strategy, schedule, retry, attempt_timeout, size, features)
        with client._hearing(strategy), waiting(job=self.id) as span, _about(self._handle):
            value = await client._run(
                lambda core: core.wait(self._handle, terms, updates=on_update is not None, cancel=cancel_on_timeout),
                news=None if on_update is None else lambda item: on_update(Job.read(item[1])),
                id=self.id,
            )
            finished = _finished(value)
            span.report(finished.outcome, finished.report)
        client._tell(self.id, finished.report)
        return finished

    async def watch(
        self,
        *,
        timeout: Span | None = None,
        strategy: Strategy | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        attempt_timeout: Span | None = None,
        size: float | None = None,
        features: Features | None = None,
    ) -> AsyncGenerator[Job, None]:
        """The states of the job, progress included, up to the last. What the create's answer showed isn't repeated."""
        terms = _terms(timeout, strategy, schedule, retry, attempt_timeout, size, features)
        with self._client._hearing(strategy), _about(self._handle):
            async with aclosing(self._client._stream(lambda core: core.watch(self._handle, terms))) as items:
                async for item in items:
                    yield Job.read(item[1])

    async def status(self) -> Job:
        """How the job stands now."""
        with _about(self._handle):
            return Job.read(await self._client._run(lambda core: core.status(self._handle)))

    async def cancel(self) -> Job:
        """Cancels the job. One that has ended stays as it ended, and that is no error."""
        with _about(self._handle):
            return Job.read(await self._client._run(lambda core: core.cancel(self._handle)))

    async def delete(self) -> None:
        """Deletes the record of a job that is done."""
        await self._client._run(lambda core: core.delete(self._handle))

    def __repr__(self) -> str:
        return f"AsyncJobHandle({self.id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AsyncJobHandle can't be pickled: pass its token, and resume it there")


class _Loop:
    """What a client has of its own on one event loop."""

    def __init__(self, client: AsyncClient) -> None:
        self._given = client._given
        self.own: tuple[AsyncTransport, Callable[[], Any]] | None = None
        self.engine = _aio.Engine(running(), client._make, self.transport)

    def transport(self) -> AsyncTransport:
        if self._given is not None:
            return self._given
        if self.own is None:
            self.own = default_async()
        return self.own[0]


class AsyncClient(_Base):
    """A client of one server, on asyncio or trio; `servers` as for a `Client`.

    `http` is the HTTP client that sends: an `AsyncClient` of httpx or httpx2, a `ClientSession` of aiohttp, or
    anything with `async def exchange(method, url, headers, body, answer)`. Without one, httpx2, httpx or aiohttp is
    used, whichever is installed, with a client of its own for every event loop.
    """

    def __init__(
        self,
        url: str,
        *,
        servers: Iterable[str] = (),
        api_key: str | None = None,
        http: Any = None,
        headers: Mapping[str, str] | None = None,
        remote: str | Mapping[str, Any] | None = None,
        budget: float | None = None,
        history: History | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        timeout: Span | None = None,
        call_timeout: Span | None = None,
        attempt_timeout: Span | None = None,
        on_report: Callable[[str, Report], None] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            url,
            servers=servers,
            api_key=api_key,
            headers=headers,
            remote=remote,
            budget=budget,
            history=history,
            schedule=schedule,
            retry=retry,
            timeout=timeout,
            call_timeout=call_timeout,
            attempt_timeout=attempt_timeout,
            on_report=on_report,
            seed=seed,
        )
        self._given: AsyncTransport | None = None if http is None else adapt_async(http)
        self._forget()
        _clients.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loops: dict[object, _Loop] = {}

    def _turning(self) -> _aio.Engine:
        key = running().key
        with self._lock:
            loop = self._loops.get(key)
            if loop is None:
                # What is kept for a loop keeps it alive: those that are closed go.
                for other, kept in list(self._loops.items()):
                    if kept.engine.runtime.is_over:
                        del self._loops[other]
                loop = self._loops[key] = _Loop(self)
        # A missing HTTP client is told to the caller.
        loop.transport()
        return loop.engine

    async def _run(
        self, begin: Callable[[Core], int], news: Callable[[Any], None] | None = None, id: str | None = None
    ) -> Any:
        from ._errors import AbideError

        engine = self._turning()
        try:
            return await engine.run(begin(engine.core), news=news)
        except AbideError as error:
            if id is not None:
                self._tell(id, error.report)
            raise

    def _stream(self, begin: Callable[[Core], int]) -> AsyncGenerator[Any, None]:
        engine = self._turning()
        return engine.stream(begin(engine.core))

    def _hearing(self, strategy: Strategy | None) -> Any:
        return _hearing(strategy, lambda: self._turning().poke)

    async def create(
        self,
        kind: str | None = None,
        *,
        input: Any = None,
        metadata: Mapping[str, Any] | None = None,
        worker: Literal["simulator", "external"] | None = None,
        simulate: Mapping[str, Any] | None = None,
        webhook: Mapping[str, Any] | None = None,
        deadline: Span | None = None,
        on_worker_lost: Literal["fail", "retry"] | None = None,
        attempts_max: int | None = None,
        idempotency_key: str | None = None,
        resume: str | None = None,
    ) -> AsyncJobHandle:
        """Creates a job, once however often it is sent.

        It goes out under an idempotency key that is made before the first byte is sent and stays the same for every
        retry. An error carries the key and a token: pass that as `resume` with the same create, and there will be
        one job. A job with `worker="external"` is done by a worker of yours, who may `claim` it; `on_worker_lost` and
        `attempts_max` say what becomes of it if the worker is lost.

        Where the call is cancelled, the job may have been created or not.
        """
        job = _new_job(kind, input, metadata, worker, simulate, webhook, deadline, on_worker_lost, attempts_max)
        return AsyncJobHandle(self, await self._run(lambda core: core.create(job, key=idempotency_key, resume=resume)))

    def job(self, id: str) -> AsyncJobHandle:
        """The job with that id. Nothing is sent."""
        return AsyncJobHandle(self, self._desk.job(id))

    def resume(self, token: str) -> AsyncJobHandle:
        """The job of a token. Nothing is sent."""
        return AsyncJobHandle(self, self._desk.resume(token))

    async def as_completed(
        self,
        jobs: Iterable[AsyncJobHandle],
        *,
        timeout: Span | None = None,
        strategy: Strategy | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        attempt_timeout: Span | None = None,
    ) -> AsyncGenerator[End, None]:
        """Each job as it ends, or as its wait comes to nothing: one held request for a thousand of them."""
        terms = _terms(timeout, strategy, schedule, retry, attempt_timeout)
        handles = [job._handle for job in jobs]
        with self._hearing(strategy):
            async with aclosing(self._stream(lambda core: core.set(handles, terms))) as items:
                async for item in items:
                    yield self._told(_end(item))

    async def wait_all(self, jobs: Iterable[AsyncJobHandle], **options: Any) -> list[End]:
        """All of them, in the order in which they were given. The options are those of `as_completed`."""
        jobs = list(jobs)
        ends = {end.id: end async for end in self.as_completed(jobs, **options)}
        return [ends[job.id] for job in jobs]

    async def feed(self, *, after: str | None = None) -> AsyncGenerator[Event | Gap, None]:
        """The changes of all of the caller's jobs, from now on or after a `place`."""
        async with aclosing(self._stream(lambda core: core.feed(after))) as items:
            async for item in items:
                yield _change(item)

    async def list(
        self,
        *,
        status: str | Iterable[str] = (),
        kind: str | None = None,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        page_size: int | None = None,
    ) -> AsyncIterator[Job]:
        """The caller's jobs, page by page."""
        begin = _listing(status, kind, metadata, created_after, created_before, page_size)
        while True:
            listing, jobs = await self._run(begin)
            begin = _page(listing)
            if jobs is None:
                return
            for job in _readable(jobs):
                yield job

    @overload
    async def claim(self, *kinds: str, lease: Span | None = None, timeout: None = None) -> AsyncLease: ...

    @overload
    async def claim(self, *kinds: str, lease: Span | None = None, timeout: Span) -> AsyncLease | None: ...

    async def claim(self, *kinds: str, lease: Span | None = None, timeout: Span | None = None) -> AsyncLease | None:
        """Claims a job to work on: the oldest pending one with `worker="external"`, of one of these kinds, of any kind
        by default. It waits until there is one; `None` only where a `timeout` was set and no job came until then.

        `lease` is how long this worker may be silent before it has lost the job, 1 s to 24 hours; the default is 30 s.
        The lease renews itself every third of it. A claim whose answer was lost is sent again under its key, and takes
        no second job: nor does one that is cancelled, since the server sees its connection end.
        """
        held = await self._run(claiming(kinds, lease, timeout))
        return None if held is None else AsyncLease(self._turning(), held)

    async def stream_token(self, job: str | None = None, *, ttl: Span = 60) -> StreamToken:
        """A token that opens the event stream of a job, or without one all streams of the caller, in place of a key:
        for the `EventSource` of a page. It opens streams for `ttl`, 1 s to 10 min."""
        lasts = seconds(ttl, "ttl")
        return StreamToken(**json.loads(await self._run(lambda core: core.stream_token(job, lasts))))

    @property
    def webhooks(self) -> AsyncEndpoints:
        """The webhook endpoints of the client's key."""
        return AsyncEndpoints(self)

    def save_history(self) -> int:
        """Writes what was learned into the history's directory. Returns how many kinds have changed."""
        return self._history.save()

    async def aclose(self) -> None:
        """Ends the waits that are under way on this event loop, and closes its HTTP client, if that is ours."""
        with self._lock:
            loop = self._loops.pop(running().key, None)
        if loop is not None:
            loop.engine.close()
            if loop.own is not None:
                await loop.own[1]()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self.server!r})"


class _hearing:
    """Turns a client when its inbox is told something, while a wait listens."""

    __slots__ = ("_inbox", "_poke")

    def __init__(self, strategy: Strategy | None, poke: Callable[[], Callable[[], None]]) -> None:
        self._inbox = strategy.inbox if isinstance(strategy, Webhook) else None
        self._poke = poke() if self._inbox is not None else None

    def __enter__(self) -> None:
        if self._inbox is not None and self._poke is not None:
            self._inbox._hear(self._poke)

    def __exit__(self, *_: object) -> None:
        if self._inbox is not None and self._poke is not None:
            self._inbox._unhear(self._poke)


def _listing(
    status: str | Iterable[str],
    kind: str | None,
    metadata: Mapping[str, str] | None,
    created_after: datetime | None,
    created_before: datetime | None,
    page_size: int | None,
) -> Callable[[Core], int]:
    """Asks for the first page."""
    statuses = [status] if isinstance(status, str) else list(status)

    def begin(core: Core) -> int:
        listing = core.listing(
            statuses=statuses,
            kind=kind,
            metadata=list((metadata or {}).items()),
            created_after=_instant(created_after),
            created_before=_instant(created_before),
            page_size=page_size,
        )
        return core.page(listing)

    return begin


def _page(listing: Listing) -> Callable[[Core], int]:
    """Asks for the next one."""
    return lambda core: core.page(listing)


def _body(**members: Any) -> str:
    return json.dumps({name: value for name, value in members.items() if value is not None})


class Endpoints:
    """The webhook endpoints of a client's key: what is told of jobs, and what became of each delivery. Every answer
    is the JSON of the server's API as a dictionary."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def _call(self, call: str, id: str = "", body: str | None = None) -> Any:
        text = self._client._run(lambda core: core.webhooks(call, id, body))
        return None if text is None else json.loads(text)

    def create(self, url: str, **members: Any) -> dict[str, Any]:
        """Registers an endpoint. The answer alone shows its secret."""
        return self._call("create", body=_body(url=url, **members))  # type: ignore[no-any-return]

    def list(self, page: str | None = None) -> dict[str, Any]:
        """A page of endpoints, the oldest first."""
        return self._call("list", body=page)  # type: ignore[no-any-return]

    def read(self, id: str) -> dict[str, Any]:
        return self._call("read", id)  # type: ignore[no-any-return]

    def update(self, id: str, **members: Any) -> dict[str, Any]:
        """Changes an endpoint; what is left out stays."""
        return self._call("update", id, json.dumps(members))  # type: ignore[no-any-return]

    def delete(self, id: str) -> None:
        self._call("delete", id)

    def rotate(self, id: str, **members: Any) -> dict[str, Any]:
        """Gives an endpoint a new secret, which the answer alone shows."""
        return self._call("rotate", id, _body(**members))  # type: ignore[no-any-return]

    def test(self, id: str) -> dict[str, Any]:
        """Sends an endpoint an event that is of no job."""
        return self._call("test", id)  # type: ignore[no-any-return]

    def replay(self, id: str, since: datetime | None = None, *, delivered: bool = False) -> dict[str, Any]:
        """Sends an endpoint again what was held or failed; what was delivered, too, if that is set."""
        return self._call("replay_delivered" if delivered else "replay", id, _instant(since))  # type: ignore[no-any-return]

    def deliveries(self, id: str, page: str | None = None) -> dict[str, Any]:
        """A page of an endpoint's deliveries, the newest first."""
        return self._call("deliveries", id, page)  # type: ignore[no-any-return]

    def delivery(self, id: str) -> dict[str, Any]:
        """A delivery, with every attempt."""
        return self._call("delivery", id)  # type: ignore[no-any-return]

    def retry(self, id: str) -> dict[str, Any]:
        """Tries a delivery again now."""
        return self._call("retry", id)  # type: ignore[no-any-return]


class AsyncEndpoints:
    """The same as `Endpoints`, to be awaited."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def _call(self, call: str, id: str = "", body: str | None = None) -> Any:
        text = await self._client._run(lambda core: core.webhooks(call, id, body))
        return None if text is None else json.loads(text)

    async def create(self, url: str, **members: Any) -> dict[str, Any]:
        """Registers an endpoint. The answer alone shows its secret."""
        return await self._call("create", body=_body(url=url, **members))  # type: ignore[no-any-return]

    async def list(self, page: str | None = None) -> dict[str, Any]:
        """A page of endpoints, the oldest first."""
        return await self._call("list", body=page)  # type: ignore[no-any-return]

    async def read(self, id: str) -> dict[str, Any]:
        return await self._call("read", id)  # type: ignore[no-any-return]

    async def update(self, id: str, **members: Any) -> dict[str, Any]:
        """Changes an endpoint; what is left out stays."""
        return await self._call("update", id, json.dumps(members))  # type: ignore[no-any-return]

    async def delete(self, id: str) -> None:
        await self._call("delete", id)

    async def rotate(self, id: str, **members: Any) -> dict[str, Any]:
        """Gives an endpoint a new secret, which the answer alone shows."""
        return await self._call("rotate", id, _body(**members))  # type: ignore[no-any-return]

    async def test(self, id: str) -> dict[str, Any]:
        """Sends an endpoint an event that is of no job."""
        return await self._call("test", id)  # type: ignore[no-any-return]

    async def replay(self, id: str, since: datetime | None = None, *, delivered: bool = False) -> dict[str, Any]:
        """Sends an endpoint again what was held or failed; what was delivered, too, if that is set."""
        return await self._call("replay_delivered" if delivered else "replay", id, _instant(since))  # type: ignore[no-any-return]

    async def deliveries(self, id: str, page: str | None = None) -> dict[str, Any]:
        """A page of an endpoint's deliveries, the newest first."""
        return await self._call("deliveries", id, page)  # type: ignore[no-any-return]

    async def delivery(self, id: str) -> dict[str, Any]:
        """A delivery, with every attempt."""
        return await self._call("delivery", id)  # type: ignore[no-any-return]

    async def retry(self, id: str) -> dict[str, Any]:
        """Tries a delivery again now."""
        return await self._call("retry", id)  # type: ignore[no-any-return]
