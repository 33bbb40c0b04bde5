"""What calls return, as plain values: frozen, and picklable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypedDict, TypeVar

from ._errors import Garbled, JobCanceled, JobFailed, UsageError

if TYPE_CHECKING:
    from ._core import Inbox as Ears
    from ._core import Retry, Schedule
    from ._errors import AbideError
    from .webhooks import Inbox

T_co = TypeVar("T_co", covariant=True)

Span = float | int | timedelta | str
"""A length of time: seconds, a ``timedelta``, or a text such as ``"90s"``, ``"15m"`` or ``"1h30m"``."""

Features = Mapping[str, str | float | bool]
"""What is known of a job beforehand and may bear on how long it takes: `{"model": "sdxl", "steps": 30}`. The learned
schedule finds out by how much each does, and whether it does at all. Up to four count."""

_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(span: Span, name: str = "timeout") -> float:
    """The span in seconds."""
    if isinstance(span, timedelta):
        value = span.total_seconds()
    elif isinstance(span, str):
        parts = _PARTS.findall(span)
        if not parts or _PARTS.sub("", span).strip():
            raise UsageError(f"{name}: {span!r} is no span of time; write '90s', '15m' or '1h30m'")
        value = sum(float(number) * _UNITS[unit] for number, unit in parts)
    elif isinstance(span, bool) or not isinstance(span, (int, float)):
        raise UsageError(f"{name}: {span!r} is no span of time")
    else:
        value = float(span)
    if not 0.0 <= value < float("inf"):
        raise UsageError(f"{name} must not be negative or infinite, but is {span!r}; None means no limit")
    return min(value, 1e9)


def expect(kind: Any, **given: object) -> None:
    """Refuses what is given and isn't of that kind, or one of those."""
    for name, value in given.items():
        if value is not None and not isinstance(value, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            raise UsageError(f"{name}={value!r} is no {' or '.join(kind.__name__ for kind in kinds)}")


def features_of(features: Features) -> list[tuple[str, str | float]]:
    """The features as the core takes them: true and false are words."""
    expect(Mapping, features=features)
    expect((str, int, float), **{f"features[{name!r}]": value for name, value in features.items()})
    return [(name, str(value).lower() if isinstance(value, bool) else value) for name, value in features.items()]


def parsed(text: str | bytes) -> Any:
    """What a JSON text says. Some depths and numbers that are JSON can't be read by Python."""
    try:
        return json.loads(text)
    except (RecursionError, ValueError) as error:
        raise Garbled(f"the answer holds JSON that Python can't read: {error}") from None


def instant(text: str | None) -> datetime | None:
    """An instant of RFC 3339; none of a text that is none."""
    if text is None:
        return None
    try:
        # Python 3.10 reads no `Z`.
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come."""

    percent: float
    """Percent done, 0 to 100."""
    stage: str | None = None
    """What is being done, in the worker's words."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """How long a job will still take, in seconds, as quantiles that the server has learned."""

    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, slots=True)
class Problem:
    """What a server said is wrong, or why a job failed."""

    title: str
    status: int | None = None
    code: str | None = None
    detail: str | None = None
    retryable: bool = False
    raw: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """All of it, as it came."""

    @classmethod
    def read(cls, text: str | dict[str, Any] | None) -> Problem | None:
        """The problem in a JSON text."""
        raw = parsed(text) if isinstance(text, str) else text
        if not isinstance(raw, dict):
            return None
        return cls(
            title=str(raw.get("title") or ""),
            status=raw.get("status"),
            code=raw.get("code"),
            detail=raw.get("detail"),
            retryable=bool(raw.get("retryable")),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Job:
    """The state of a job at some revision."""

    id: str
    status: str
    """Where it stands: `pending`, `running`, `completed`, `failed`, `canceled`, or a word of the server's own."""
    done: bool
    """Whether it has ended. Decide on this, not on the status."""
    outcome: str | None = None
    """How it ended: `completed`, `failed` or `canceled`."""
    kind: str = ""
    revision: int = 0
    progress: Progress | None = None
    input: Any = None
    result: Any = None
    error: Problem | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    created_at: datetime | None = None
    started_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    remaining: Remaining | None = None
    attempts: int | None = None
    """How often workers have claimed it; `None` if none has."""
    raw: dict[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)
    """All of it, as JSON."""

    @classmethod
    def read(cls, text: str | bytes | dict[str, Any]) -> Job:
        """The job in a JSON text."""
        raw: dict[str, Any] = text if isinstance(text, dict) else parsed(text)
        progress, remaining = raw.get("progress"), raw.get("remaining_ms")
        return cls(
            id=raw["id"],
            status=raw["status"],
            done=raw["done"],
            outcome=raw.get("outcome"),
            kind=raw.get("kind") or "",
            revision=raw.get("revision") or 0,
            progress=Progress(progress["percent"], progress.get("stage")) if progress else None,
            input=raw.get("input"),
            result=raw.get("result"),
            error=Problem.read(raw.get("error")),
            metadata=raw.get("metadata") or {},
            created_at=instant(raw.get("created_at")),
            started_at=instant(raw.get("started_at")),
            updated_at=instant(raw.get("updated_at")),
            finished_at=instant(raw.get("finished_at")),
            expires_at=instant(raw.get("expires_at")),
            remaining=Remaining(*(remaining[name] / 1000 for name in ("p10", "p50", "p90"))) if remaining else None,
            attempts=raw.get("attempts"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a wait cost, and how late its news was. Spans are in seconds."""

    requests: int = 0
    """Requests that were sent for this wait, failed ones too."""
    requests_share: float = 0.0
    """This wait's part of them, where a request for `n` waits counts as `1/n`."""
    failures: int = 0
    """How many of them brought no answer, or none but "not now"."""
    bytes_received: int = 0
    channel: str | None = None
    """By which way the end was learned: `poll`, `long_poll`, `shared`, `stream` or `push`."""
    strategy: str = ""
    elapsed: float = 0.0
    detection: float | None = None
    """How old the end was when it was learned; none where the server tells no times."""
    rtt: float | None = None
    """The round trip, where one was measured."""

    @property
    def excess_requests(self) -> int:
        """The requests beyond the first, which is unavoidable."""
        return max(self.requests - 1, 0)


@dataclass(frozen=True, slots=True)
class Done(Generic[T_co]):
    """What `poll_until` found."""

    value: T_co
    """What the last look returned: the vendor's own object, whether the job went well or not."""
    report: Report


@dataclass(frozen=True, slots=True)
class Finished:
    """A job that has ended, well or not, and what it took to learn of it."""

    job: Job
    report: Report

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def outcome(self) -> str:
        """`completed`, `failed` or `canceled`."""
        return self.job.outcome or "failed"

    @property
    def ok(self) -> bool:
        """Whether it completed."""
        return self.outcome == "completed"

    @property
    def result(self) -> Any:
        """What the job made. Raises `JobFailed` or `JobCanceled` for a job that didn't complete."""
        return self.raise_for_outcome().job.result

    def raise_for_outcome(self) -> Finished:
        """Itself, unless the job failed or was canceled, which is raised."""
        job = self.job
        if self.ok:
            return self
        canceled = self.outcome == "canceled"
        why = f": {job.error.detail or job.error.title}" if job.error else ""
        error = JobCanceled if canceled else JobFailed
        raise error(
            f"job {job.id}: the job {'was canceled' if canceled else 'failed'}{why}",
            job_id=job.id,
            job=job,
            problem=job.error,
            report=self.report,
        )


@dataclass(frozen=True, slots=True)
class End:
    """What became of one job of a set."""

    id: str
    finished: Finished | None = None
    error: AbideError | None = None
    """Why the end wasn't learned."""

    @property
    def ok(self) -> bool:
        """Whether the end was learned. Of a job that failed it was, too: see `outcome`."""
        return self.finished is not None

    @property
    def outcome(self) -> str | None:
        return self.finished.outcome if self.finished else None

    @property
    def result(self) -> Any:
        """What the job made. Raises what kept it from being known."""
        if self.finished is None:
            assert self.error is not None
            raise self.error
        return self.finished.result


@dataclass(frozen=True, slots=True)
class StreamToken:
    """What opens event streams in place of a key."""

    token: str = field(repr=False)
    """What goes into `?token=` of `/v1/jobs/{id}/events` or `/v1/events`."""
    expires_at: str
    """When it ceases to open streams. One that is open stays open."""


@dataclass(frozen=True, slots=True)
class Event:
    """A change in the feed."""

    type: str
    """Such as `job.completed`."""
    job: Job
    place: str | None = None
    """Where to go on after it: `feed(after=…)`."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes are missing before the next one. List the jobs to know how they stand."""

    place: str | None = None


@dataclass(frozen=True, slots=True)
class Webhook:
    """The strategy that waits for a push in an inbox, with polls as a safety net."""

    inbox: Inbox

    def ears(self) -> Ears:
        return self.inbox.ears


class HistoryStore(Protocol):
    """A place for texts, one per kind of job, to which lines are added: `History(store=…)`. A text that has grown long
    may be replaced by `History.shortened(text)`, which says the same."""

    def load(self) -> Sequence[str]:
        """All texts."""
        ...

    def append(self, name: str, lines: str, /) -> object:
        """Adds lines to the text of that name, after what others have added."""
        ...


class Terms(TypedDict, total=False):
    """How to wait, as the core is told."""

    deadline: float
    strategy: str
    inbox: Ears
    schedule: Schedule
    retry: Retry
    attempt_timeout: float
    size: float
    features: list[tuple[str, str | float]]
