"""The errors of this package. Each carries what is needed to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._types import Job, Problem, Report


class AbideError(Exception):
    """What every error of this package is.

    All of them can be pickled, and carry what was known when they were raised.
    """

    def __init__(
        self,
        message: str,
        *,
        job_id: str | None = None,
        token: str | None = None,
        idempotency_key: str | None = None,
        job: Job | None = None,
        report: Report | None = None,
        problem: Problem | None = None,
        status: int | None = None,
        body: str | None = None,
        retry_after: float | None = None,
        timed_out: bool = False,
        may_have_created: bool = False,
    ) -> None:
        super().__init__(message)
        self.message: str = message
        self.job_id: str | None = job_id
        """The job that it is about."""
        self.token: str | None = token
        """What a later process needs to go on: `client.resume(token)`; of a create, `client.create(…,
        resume=token)`."""
        self.idempotency_key: str | None = idempotency_key
        """The key of the create that it is about."""
        self.job: Job | None = job
        """The job as it was last seen."""
        self.report: Report | None = report
        """What the wait had cost by then."""
        self.problem: Problem | None = problem
        """What the server said is wrong."""
        self.status: int | None = status
        """The HTTP status of the last answer."""
        self.body: str | None = body
        """What the server answered, as it came, up to 64 KiB."""
        self.retry_after: float | None = retry_after
        """How many seconds the server asked to be left alone."""
        self.timed_out: bool = timed_out
        """Whether time ran out."""
        self.may_have_created: bool = may_have_created
        """Whether a create was sent whose answer never came, so that the job may have been made."""

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.__dict__)


def _rebuild(kind: type[AbideError], message: str, state: dict[str, Any]) -> AbideError:
    error = kind(message)
    error.__dict__.update(state)
    return error


class StillRunning(AbideError, TimeoutError):
    """The wait is over by its timeout or its schedule, and the job goes on, unharmed: `client.resume(error.token)`."""


class JobFailed(AbideError):
    """The job failed. Raised by `result` and `raise_for_outcome`, and to its worker; never by a wait."""


class JobCanceled(AbideError):
    """The job was canceled. Raised by `result` and `raise_for_outcome`, and to its worker; never by a wait."""


class LeaseLost(AbideError):
    """The job that a worker has claimed isn't its own any more: stop working on it."""


class Unreachable(AbideError, ConnectionError):
    """The server gave no answer, or none but "not now", for longer than the retry policy is patient."""


class Refused(AbideError):
    """The server said no for good: see `status` and `problem`."""


class NotFound(Refused, LookupError):
    """The server knows no such job, or has deleted its record."""


class Garbled(AbideError):
    """What answered doesn't speak this protocol."""


class UsageError(AbideError, ValueError):
    """The call itself was wrong, and nothing was sent."""


class UnknownStateWarning(UserWarning):
    """A vendor's word for a state that isn't known; the job is taken to run. Say what is done by `done=`."""


_KINDS: dict[str, type[AbideError]] = {
    "still_running": StillRunning,
    "failed": JobFailed,
    "canceled": JobCanceled,
    "unreachable": Unreachable,
    "refused": Refused,
    "not_found": NotFound,
    "garbled": Garbled,
    "lease_lost": LeaseLost,
    "usage": UsageError,
}


def told(parts: dict[str, Any]) -> AbideError:
    """The error that the core tells of."""
    from ._types import Job, Problem, Report

    report, job = parts["report"], parts["job"]
    return _KINDS[parts["kind"]](
        parts["message"],
        job_id=parts["job_id"],
        token=parts["token"],
        idempotency_key=parts["idempotency_key"],
        job=Job.read(job) if job else None,
        report=Report(**report) if report else None,
        problem=Problem.read(parts["problem"]),
        status=parts["status"],
        body=parts["body"],
        retry_after=parts["retry_after"],
        timed_out=parts["timed_out"],
        may_have_created=parts["may_have_created"],
    )
