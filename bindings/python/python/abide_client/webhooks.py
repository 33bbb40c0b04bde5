"""Webhooks: received, verified, and heard by waits.

An `Inbox` is an ASGI or WSGI application that verifies deliveries and wakes the waits that listen to it. A
`Verifier` checks deliveries in an application of your own.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import _core
from ._core import secret as _secret
from ._core import sign as _sign
from ._errors import AbideError
from ._types import Job, Webhook

__all__ = ["Delivery", "Inbox", "Verifier", "Webhook", "WebhookError", "new_secret", "sign"]

TOLERANCE = 300.0
"""How far a delivery's timestamp may lie from now, either way, in seconds."""
BODY_BYTES_MAX = 528 * 1024
"""The largest delivery that is read: the largest event that a server sends."""
BODY_SECONDS_MAX = 10.0
"""How long the body of a delivery may take."""

_ID, _TIMESTAMP, _SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


class WebhookError(AbideError, ValueError):
    """A delivery that is not to be believed. Answer it with 401, and read nothing of it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery whose signature has been checked."""

    id: str
    """The same at every attempt."""
    type: str
    """What happened, such as `job.completed`; empty where the body doesn't say."""
    body: bytes
    """The very bytes that came."""

    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def job(self) -> Job | None:
        """The job that it tells of; none for a test, and for anything that isn't of a job."""
        try:
            data = self.json()["data"]
            return Job.read(data)
        except (KeyError, RecursionError, TypeError, ValueError):
            return None


def new_secret() -> str:
    """A secret of 32 random bytes, `whsec_…`."""
    return _secret(os.urandom(32))


def sign(secrets: str | Sequence[str], id: str, body: bytes, *, timestamp: int | None = None) -> dict[str, str]:
    """The headers of a delivery that is signed with these secrets, now or at that second since 1970."""
    at = int(time.time()) if timestamp is None else timestamp
    secrets = [secrets] if isinstance(secrets, str) else list(secrets)
    return {_ID: id, _TIMESTAMP: str(at), _SIGNATURE: _sign(secrets, id, at, body)}


class Verifier:
    """Checks signatures by any of several secrets, so that one can be replaced without losing a delivery."""

    def __init__(self, secrets: str | Sequence[str], *, tolerance: float = TOLERANCE) -> None:
        secrets = [secrets] if isinstance(secrets, str) else list(secrets)
        self._verifier = _core.Verifier(secrets, tolerance=tolerance)

    def verify(
        self, headers: Mapping[str, str] | Iterable[tuple[Any, Any]], body: bytes, *, now: float | None = None
    ) -> Delivery:
        """The delivery, or `WebhookError`. `body` must be the bytes that came: JSON that was read and written again has
        another signature."""
        if not isinstance(body, (bytes, bytearray, memoryview)):
            raise TypeError(f"the body must be the bytes that came, but is a {type(body).__name__}")
        body = bytes(body)
        found = _headers(headers)
        try:
            id, timestamp, signature = (found[name] for name in (_ID, _TIMESTAMP, _SIGNATURE))
        except KeyError as error:
            raise WebhookError(f"the header {error.args[0]} is missing") from None
        try:
            self._verifier.verify(id, timestamp, signature, body, now=now)
        except ValueError as error:
            raise WebhookError(str(error)) from None
        try:
            told = json.loads(body)
            kind = told.get("type") if isinstance(told, dict) else None
        except (RecursionError, ValueError):
            kind = None
        return Delivery(id, kind if isinstance(kind, str) else "", body)


def _headers(headers: Mapping[str, str] | Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """The headers of a delivery, by names in lower case. Django's and WSGI's spelling is understood."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        name = name.decode("latin-1") if isinstance(name, bytes) else str(name)
        value = value.decode("latin-1") if isinstance(value, bytes) else value
        name = name.lower().replace("_", "-").removeprefix("http-")
        if isinstance(value, str):
            found[name] = value
    return found


Taker = Callable[[Delivery], Any] | Callable[[Delivery], Awaitable[Any]]


class Inbox:
    """Receives webhooks: verifies them, drops duplicates, and wakes the waits whose `strategy` is `Webhook(inbox)`.

    `asgi()` and `wsgi()` are applications to mount; the path doesn't matter. They answer 204 to what was taken,
    duplicates too, and refuse the rest: 401 what isn't signed or too old, 413 what is too large, 415 what isn't
    JSON, 405 what isn't posted. `on_delivery` is called with each new delivery; where it raises, the answer is 503
    and the sender tries again. In an asynchronous application it may be `async`.
    """

    def __init__(
        self,
        secret: str | Sequence[str] | None = None,
        *,
        tolerance: float = TOLERANCE,
        on_delivery: Taker | None = None,
    ) -> None:
        secrets = [new_secret()] if secret is None else [secret] if isinstance(secret, str) else list(secret)
        self._secret = secrets[0]
        self._verifier = Verifier(secrets, tolerance=tolerance)
        self._on_delivery = on_delivery
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._pokes: dict[Callable[[], None], int] = {}
        self.ears: _core.Inbox = _core.Inbox(tolerance=tolerance)
        """Where waits listen. Private to this package."""

    def target(self, url: str, events: Sequence[str] | None = None) -> dict[str, Any]:
        """What a create takes as `webhook=`: the address at which this inbox is reached, and its secret."""
        target: dict[str, Any] = {"url": url, "secret": self._secret}
        if events is not None:
            target["events"] = list(events)
        return target

    def strategy(self) -> Webhook:
        """The strategy that waits for pushes here, with polls as a safety net."""
        return Webhook(self)

    def deliver(self, job: Job) -> bool:
        """Takes in a job that a verified push told, where something else receives. Returns whether it was news."""
        event = {"type": f"job.{job.status}", "timestamp": job.raw.get("updated_at"), "data": job.raw}
        return self._deliver(json.dumps(event).encode())

    def _deliver(self, body: bytes) -> bool:
        news = self.ears.deliver(body)
        with self._lock:
            pokes = list(self._pokes)
        for poke in pokes:
            poke()
        return news

    def _hear(self, poke: Callable[[], None]) -> None:
        with self._lock:
            self._pokes[poke] = self._pokes.get(poke, 0) + 1

    def _unhear(self, poke: Callable[[], None]) -> None:
        with self._lock:
            self._pokes[poke] -= 1
            if not self._pokes[poke]:
                del self._pokes[poke]

    def receive(self, headers: Mapping[str, str] | Iterable[tuple[Any, Any]], body: bytes) -> Delivery:
        """Takes one delivery in a view of your own: verifies it and wakes the waits. Raises `WebhookError`, to be
        answered with 401. A duplicate is a delivery, too, and wakes nothing."""
        delivery = self._verifier.verify(headers, body)
        if not self.ears.is_json(delivery.body):
            raise WebhookError("the body is no JSON")
        if self.ears.is_new(delivery.id):
            self._deliver(delivery.body)
        return delivery

    def _check(self, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """What is wrong with the head of a request."""
        if method != "POST":
            return 405, "webhooks are posted"
        essence = headers.get("content-type", "").partition(";")[0].strip().lower()
        if essence != "application/json" and not (essence.startswith("application/") and essence.endswith("+json")):
            return 415, "webhooks are JSON"
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > BODY_BYTES_MAX:
            return 413, "the body is too large"
        return None

    def _begin(self, headers: dict[str, str], body: bytes) -> tuple[int, str] | Delivery:
        """The delivery, if it is to be dealt with, or the answer."""
        try:
            delivery = self._verifier.verify(headers, body)
        except WebhookError as error:
            return 401, str(error)
        if not self.ears.is_json(body):
            return 400, "the body is no JSON"
        with self._lock:
            try:
                is_new = self.ears.is_new(delivery.id)
            except RuntimeError as full:
                return 503, str(full)
            if is_new:
                self._under_way.add(delivery.id)
                return delivery
            if delivery.id in self._under_way:
                # To acknowledge it would lose it, should the one that is being dealt with come to nothing.
                return 503, "it is being dealt with"
        return 204, ""

    def _finish(self, delivery: Delivery, taken: bool) -> tuple[int, str]:
        with self._lock:
            self._under_way.discard(delivery.id)
            if not taken:
                self.ears.forget(delivery.id)
        if not taken:
            return 503, "it can't be taken now"
        self._deliver(delivery.body)
        return 204, ""

    def asgi(self) -> Callable[..., Awaitable[None]]:
        """An ASGI application, for FastAPI, Starlette, Litestar, Django, Quart."""

        async def take(headers: dict[str, str], body: bytes) -> tuple[int, str]:
            begun = self._begin(headers, body)
            if not isinstance(begun, Delivery):
                return begun
            taken = False
            try:
                if self._on_delivery is not None:
                    told = self._on_delivery(begun)
                    if inspect.isawaitable(told):
                        await told
                taken = True
            except Exception:
                # The sender comes again; the application's own log has the reason.
                _log(begun)
            finally:
                answer = self._finish(begun, taken)
            return answer

        async def read(receive: Callable[[], Awaitable[Any]]) -> bytes | tuple[int, str]:
            body = bytearray()
            until = time.monotonic() + BODY_SECONDS_MAX
            while True:
                left = until - time.monotonic()
                try:
                    if _is_asyncio():
                        message = await asyncio.wait_for(receive(), max(left, 0.001))
                    else:
                        message = await receive()
                except (TimeoutError, asyncio.TimeoutError):
                    return 408, "the body was too slow"
                if message["type"] == "http.disconnect":
                    return 400, "the body broke off"
                body += message.get("body", b"")
                if len(body) > BODY_BYTES_MAX:
                    return 413, "the body is too large"
                if not message.get("more_body", False):
                    return bytes(body)
                if left < 0:
                    return 408, "the body was too slow"

        async def app(
            scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
        ) -> None:
            if scope["type"] == "lifespan":
                while True:
                    message = await receive()
                    await send({"type": f"{message['type']}.complete"})
                    if message["type"] == "lifespan.shutdown":
                        return
            if scope["type"] != "http":
                raise ValueError(f"webhooks come by http, not by {scope['type']}")
            headers = _headers(scope["headers"])
            answer = self._check(scope["method"], headers)
            if answer is None:
                body = await read(receive)
                answer = await take(headers, body) if isinstance(body, bytes) else body
            status, text = answer
            fields = [(b"content-type", b"text/plain; charset=utf-8")]
            if status == 405:
                fields.append((b"allow", b"POST"))
            if status in (408, 413):
                # What follows of the body is not read.
                fields.append((b"connection", b"close"))
            await send({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": text.encode()})

        return app

    def wsgi(self) -> Callable[..., Iterable[bytes]]:
        """A WSGI application, for Flask, Django, Bottle."""

        def read(environ: dict[str, Any]) -> bytes | tuple[int, str]:
            length = environ.get("CONTENT_LENGTH") or ""
            left = int(length) if length.isdigit() else None
            if left is None and not environ.get("wsgi.input_terminated"):
                return 411, "the length of the body is missing"
            body = bytearray()
            until = time.monotonic() + BODY_SECONDS_MAX
            while left is None or left > 0:
                stream = environ["wsgi.input"]
                # At most what there is: a body that drips is to be seen dripping.
                read = getattr(stream, "read1", stream.read)
                part = read(min(65536, 65536 if left is None else left))
                if not part:
                    return bytes(body) if left is None else (400, "the body broke off")
                body += part
                left = None if left is None else left - len(part)
                if len(body) > BODY_BYTES_MAX:
                    return 413, "the body is too large"
                if time.monotonic() > until:
                    return 408, "the body was too slow"
            return bytes(body)

        def take(headers: dict[str, str], body: bytes) -> tuple[int, str]:
            begun = self._begin(headers, body)
            if not isinstance(begun, Delivery):
                return begun
            taken = False
            try:
                if self._on_delivery is not None and inspect.isawaitable(self._on_delivery(begun)):
                    raise TypeError("an on_delivery that is async needs asgi()")
                taken = True
            except Exception:
                _log(begun)
            finally:
                answer = self._finish(begun, taken)
            return answer

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            headers = _headers(
                (name, value) for name, value in environ.items() if name.startswith(("HTTP_", "CONTENT_"))
            )
            answer = self._check(environ["REQUEST_METHOD"], headers)
            if answer is None:
                body = read(environ)
                answer = take(headers, body) if isinstance(body, bytes) else body
            status, text = answer
            fields = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(text.encode())))]
            if status == 405:
                fields.append(("allow", "POST"))
            start_response(f"{status} {_REASONS[status]}", fields)
            return [text.encode()]

        return app

    def __repr__(self) -> str:
        return f"Inbox(listeners={self.ears.listeners})"


_REASONS = {
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    503: "Service Unavailable",
}


def _is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _log(delivery: Delivery) -> None:
    import logging

    logging.getLogger("abide_client").exception("on_delivery failed for %s", delivery.id)
