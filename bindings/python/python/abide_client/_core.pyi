import os
from collections.abc import Sequence
from typing import Any, Literal, final

from ._types import HistoryStore, Terms

__all__ = [
    "Core",
    "Handle",
    "History",
    "Inbox",
    "Lease",
    "Listing",
    "Retry",
    "Schedule",
    "Verifier",
    "secret",
    "sign",
    "version",
]

@final
class History:
    """How long jobs took, by kind: what learned schedules learn from and add to."""
    def __new__(
        cls, directory: str | os.PathLike[str] | None = None, *, store: HistoryStore | None = None
    ) -> History: ...
    def jobs(self, kind: str) -> int: ...
    def save(self) -> int: ...
    @staticmethod
    def shortened(text: str) -> str: ...

@final
class Schedule:
    """When to ask."""
    @staticmethod
    def learned(
        kind: str,
        *,
        history: History | None = None,
        price: float | None = None,
        budget: float | None = None,
        size: float | None = None,
        expect: float | None = None,
        jitter: float | None = None,
        min: float | None = None,
        max: float | None = None,
    ) -> Schedule: ...
    @staticmethod
    def fixed(interval: float, *, first: float | None = None, attempts: int | None = None) -> Schedule: ...
    @staticmethod
    def backoff(
        initial: float, *, factor: float | None = None, max: float | None = None, attempts: int | None = None
    ) -> Schedule: ...
    @staticmethod
    def countdown(steps: Sequence[tuple[int, float]]) -> Schedule: ...
    def preview(self, count: int, *, seed: int = 0, rtt: float = 0.1) -> list[float]: ...

@final
class Retry:
    """How failures are retried."""
    def __new__(
        cls,
        *,
        initial: float | None = None,
        factor: float | None = None,
        max: float | None = None,
        attempts: int | None = None,
        patience: float | None = None,
        hint_max: float | None = None,
        not_found_for: float | None = None,
    ) -> Retry: ...
    @staticmethod
    def never() -> Retry: ...

@final
class Handle:
    @property
    def id(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def snapshot(self) -> str | None: ...
    @property
    def idempotency_key(self) -> str | None: ...
    @property
    def replayed(self) -> bool: ...

@final
class Listing: ...

@final
class Lease:
    @property
    def job(self) -> str: ...
    @property
    def token(self) -> str: ...
    def close(self) -> None: ...

@final
class Core:
    def __new__(
        cls,
        url: str,
        wall: float,
        *,
        servers: Sequence[str] | None = None,
        api_key: str | None = None,
        headers: Sequence[tuple[str, str]] | None = None,
        remote: str | None = None,
        budget: float | None = None,
        history: History | None = None,
        schedule: Schedule | None = None,
        retry: Retry | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
        attempt_timeout: float | None = None,
        seed: int | None = None,
    ) -> Core: ...
    @property
    def server(self) -> str: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def is_idle(self) -> bool: ...
    def job(self, id: str) -> Handle: ...
    def resume(self, token: str) -> Handle: ...
    def create(self, job: str, *, key: str | None = None, resume: str | None = None) -> int: ...
    def status(self, job: Handle) -> int: ...
    def cancel(self, job: Handle) -> int: ...
    def delete(self, job: Handle) -> int: ...
    def wait(self, job: Handle, terms: Terms, *, updates: bool = False, cancel: bool = False) -> int: ...
    def watch(self, job: Handle, terms: Terms) -> int: ...
    def set(self, jobs: Sequence[Handle], terms: Terms) -> int: ...
    def feed(self, after: str | None = None) -> int: ...
    def listing(
        self,
        *,
        statuses: Sequence[str] | None = None,
        kind: str | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        page_size: int | None = None,
    ) -> Listing: ...
    def page(self, listing: Listing) -> int: ...
    def poll_until(
        self,
        schedule: Schedule,
        *,
        deadline: float | None = None,
        retry: Retry | None = None,
        attempt_timeout: float | None = None,
        size: float | None = None,
        features: Sequence[tuple[str, str | float]] | None = None,
    ) -> int: ...
    def claim(
        self,
        kinds: Sequence[str],
        *,
        lease: float | None = None,
        deadline: float | None = None,
        by_hand: bool = False,
    ) -> int: ...
    def report(self, lease: Lease, report: str, body: str | None = None) -> int: ...
    def stream_token(self, job: str | None = None, ttl: float = 60.0) -> int: ...
    def webhooks(self, call: str, id: str = "", body: str | None = None) -> int: ...
    def give_up(self, op: int, now: float) -> None: ...
    def turn(self, now: float) -> list[tuple[Any, ...]]: ...
    def head(self, exchange: int, status: int, headers: Sequence[tuple[str, str]]) -> None: ...
    def chunk(self, exchange: int, bytes: bytes) -> None: ...
    def end(self, exchange: int) -> None: ...
    def broken(self, exchange: int, how: Literal["connect", "lost", "final"], why: str) -> None: ...
    def looked(
        self,
        look: int,
        done: bool,
        *,
        progress: float | None = None,
        remaining: float | None = None,
        retry_after: float | None = None,
        took: float | None = None,
    ) -> None: ...
    def look_failed(
        self, look: int, what: str, *, is_final: bool = False, retry_after: float | None = None
    ) -> None: ...

@final
class Verifier:
    def __new__(cls, secrets: Sequence[str], *, tolerance: float | None = None) -> Verifier: ...
    def verify(self, id: str, timestamp: str, signature: str, body: bytes, *, now: float | None = None) -> None: ...

@final
class Inbox:
    def __new__(cls, *, tolerance: float | None = None) -> Inbox: ...
    @staticmethod
    def is_json(body: bytes) -> bool: ...
    def is_new(self, id: str) -> bool: ...
    def forget(self, id: str) -> None: ...
    def deliver(self, body: bytes) -> bool: ...
    @property
    def listeners(self) -> int: ...

def secret(random: bytes) -> str: ...
def sign(secrets: Sequence[str], id: str, timestamp: int, body: bytes) -> str: ...
def version() -> str: ...
