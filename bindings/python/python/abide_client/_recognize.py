"""Whether a vendor's answer says that a job has ended, without being told where to look."""

from __future__ import annotations

import enum
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ._errors import UnknownStateWarning, UsageError

RUNNING = frozenset(
    """
    aborting accepted active booting building canceling cancellationrequested cancelling created downloading dreaming
    dubbing finalizing generating indexing initializing inprogress inqueue new notstarted pending preparing
    preprocessing processing provisioning queued queueing rendering running scheduled started starting submitted
    submitting suspended throttled timingout training transcoding transcribing translating uploading validating
    waiting working
    """.split()
)
"""The words for a job that hasn't ended, in small letters and nothing else, as they are compared."""

ENDED = frozenset(
    """
    aborted canceled cancelled complete completed contentmoderated deleted done dubbed ended error errored expired
    fail failed failure finished incomplete moderated partialfailure ready rejected requestmoderated stopped succeeded
    success successful terminated timedout timeout validationfailed
    """.split()
)
"""The words for a job that has ended, well or not."""

_PLACES = ("status", "state", "task_status", "job_status")
_NESTED = ("data", "output", "job", "task", "metadata")
_CLASSES = {"Queued": False, "InProgress": False, "Completed": True}
"""What the status of fal's SDK is: a class without a word."""

_WARNED_MAX = 16
"""The most words that are warned of: an answer may say another each time."""
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%?\s*")

_warned: set[str] = set()


@dataclass(frozen=True, slots=True)
class Look:
    """What a look has shown, where it is more than done or not: `done=` may return one. Spans are in seconds."""

    done: bool
    progress: float | None = None
    """The share of the work that is done, 0 to 1. Schedules learn from it."""
    remaining: float | None = None
    """How long the job will still take, by the server's estimate."""
    retry_after: float | None = None
    """How long the server wants to be left alone."""
    took: float | None = None
    """How long the job took, if the server tells."""


def recognize(value: object) -> Look:
    """What an answer shows. Raises `UsageError` for one without any status."""
    done = _done(value)
    if done is None:
        raise UsageError(
            f"nothing in a {type(value).__name__} says how the job stands: say it by done=, "
            "such as done=lambda answer: answer.phase == 'ready'"
        )
    return Look(
        done=done,
        progress=_progress(value),
        remaining=_remaining(value),
        took=_took(value) if done else None,
    )


def word_of(value: object) -> str | None:
    """The word for a state as it is compared: its letters, in lower case."""
    if isinstance(value, enum.Enum):
        value = value.value if isinstance(value.value, str) else value.name
    if not isinstance(value, str):
        return None
    # `JOB_STATE_RUNNING` is how Google's enumerations have it.
    return re.sub(r"[^a-z]", "", value.lower()).removeprefix("jobstate") or None


def _done(value: object) -> bool | None:
    if isinstance(value, Look):
        return value.done
    flag = _get(value, "done")
    if isinstance(flag, bool):
        return flag
    for place in _parts(value):
        for name in _PLACES:
            word = word_of(_get(place, name))
            if word is not None:
                return _ended(word)
    if (word := word_of(value)) is not None:
        return _ended(word)
    if type(value).__name__ in _CLASSES:
        return _CLASSES[type(value).__name__]
    # Google's operations have `done: None` while they run.
    if flag is None and _has(value, "done"):
        return False
    return None


def _ended(word: str) -> bool:
    if word in ENDED:
        return True
    if word not in RUNNING and word not in _warned and len(_warned) < _WARNED_MAX:
        _warned.add(word)
        warnings.warn(
            f"{word!r} is no known word for a state, so the job is taken to run; say what is done by done=",
            UnknownStateWarning,
            stacklevel=2,
        )
    return False


def _parts(value: object) -> Iterator[object]:
    yield value
    for name in _NESTED:
        part = _get(value, name)
        if part is not None and not isinstance(part, (str, bytes, int, float, list, tuple)):
            yield part


def _get(value: object, name: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(name)
    try:
        got = getattr(value, name, None)
    except Exception:  # a property may do anything
        return None
    # A method is none: `operation.done()` asks the server.
    return None if callable(got) else got


def _has(value: object, name: str) -> bool:
    if isinstance(value, Mapping):
        return name in value
    return hasattr(value, name) and not callable(getattr(value, name, None))


def _number(value: object) -> float | None:
    if isinstance(value, str):
        number = _NUMBER.fullmatch(value)
        return float(number[1]) if number else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def _progress(value: object) -> float | None:
    told = _get(value, "progress")
    if told is not None and not isinstance(told, (str, int, float)):
        told = _get(told, "percent")
        number = _number(told)
        return number / 100 if number is not None and 0 <= number <= 100 else None
    number = _number(told)
    if number is None or not 0 <= number <= 100:
        return None
    if number > 1 or (isinstance(told, str) and "%" in told):
        return number / 100
    # One of a hundred and all of it look the same.
    return number if number < 1 else None


def _remaining(value: object) -> float | None:
    for name in ("eta", "eta_seconds", "estimated_time", "remaining_seconds"):
        number = _number(_get(value, name))
        if number is not None and 0 <= number < 1e6:
            return number
    return None


def _took(value: object) -> float | None:
    created = _time(_get(value, "created_at"))
    ended = next(
        (at for name in ("completed_at", "finished_at", "ended_at") if (at := _time(_get(value, name))) is not None),
        None,
    )
    if created is None or ended is None or not 0 < ended - created < 1e7:
        return None
    return ended - created


def _time(value: object) -> float | None:
    """Seconds since 1970."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    number = _number(value)
    if number is None:
        return None
    return number / 1000 if number > 1e11 else number
