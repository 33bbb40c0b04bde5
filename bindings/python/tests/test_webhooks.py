"""Webhooks: verified, received as ASGI and WSGI, heard by waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
import pytest

from abide_client import AsyncClient, Client, Delivery, Inbox, Verifier, WebhookError
from abide_client.testing import AbideServer
from abide_client.webhooks import new_secret, sign

VECTORS = Path(__file__).resolve().parents[3] / "vectors"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LASTING = {"duration": {"fixed": 1.5}, "outcome": {"error_chance": 0}}


@pytest.mark.parametrize(
    "case", json.loads((VECTORS / "webhooks.json").read_text())["cases"], ids=lambda case: case["name"]
)
def test_the_same_deliveries_are_believed_in_every_language(case: dict[str, Any]) -> None:
    verifier = Verifier(case["secrets"])
    headers = {
        "Webhook-Id": case["id"],
        "Webhook-Timestamp": case["timestamp"],
        "Webhook-Signature": case["signature"],
    }
    if case["believed"]:
        assert verifier.verify(headers, case["body"].encode(), now=case["now"]).id == case["id"]
    else:
        with pytest.raises(WebhookError):
            verifier.verify(headers, case["body"].encode(), now=case["now"])


def test_what_is_signed_is_believed_however_headers_are_spelled() -> None:
    body = json.dumps({"type": "job.completed", "data": {}}).encode()
    headers = sign(SECRET, "msg_1", body)
    verifier = Verifier([new_secret(), SECRET])
    for spelled in (
        headers,
        list(headers.items()),
        [(name.encode(), value.encode()) for name, value in headers.items()],
        {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    ):
        delivery = verifier.verify(spelled, body)
        assert (delivery.id, delivery.type, delivery.body, delivery.job) == ("msg_1", "job.completed", body, None)
    with pytest.raises(WebhookError, match="webhook-id"):
        verifier.verify({}, body)
    with pytest.raises(TypeError, match="bytes"):
        verifier.verify(headers, body.decode())  # type: ignore[arg-type]


@contextlib.contextmanager
def asgi(app: Any) -> Iterator[str]:
    uvicorn = pytest.importorskip("uvicorn")
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


class Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def wsgi(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, Threaded, Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join(30)
        server.server_close()


@pytest.fixture(params=["asgi", "wsgi"])
def mounted(request: pytest.FixtureRequest) -> Generator[tuple[Inbox, str, list[Delivery]], None, None]:
    taken: list[Delivery] = []
    inbox = Inbox(SECRET, on_delivery=taken.append)
    serve = asgi(inbox.asgi()) if request.param == "asgi" else wsgi(inbox.wsgi())
    with serve as url:
        yield inbox, url, taken


def test_our_own_attack_finds_no_hole(mounted: tuple[Inbox, str, list[Delivery]]) -> None:
    _, url, _ = mounted
    # What follows costs time alone: a body is dripped for longer than the inbox takes it.
    command = [os.environ["ABIDE"], "attack", url, "--secret", SECRET, "--patience", "14s"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "body",
    [b'{"data": NaN}', '{"data": 1}'.encode("utf-16"), b"\xef\xbb\xbf{}", b'{"data": "\xff"}'],
)
def test_what_is_json_to_python_alone_is_taken_by_nobody(
    mounted: tuple[Inbox, str, list[Delivery]], body: bytes
) -> None:
    inbox, url, taken = mounted
    headers = sign(SECRET, "msg_1", body)
    for _ in range(2):
        answer = httpx.post(url, content=body, headers={**headers, "content-type": "application/json"})
        assert (answer.status_code, taken) == (400, [])
    with pytest.raises(WebhookError, match="no JSON"):
        inbox.receive(headers, body)


def test_a_delivery_that_cant_be_remembered_comes_later() -> None:
    class Full:
        def is_json(self, body: bytes) -> bool:
            return True

        def is_new(self, id: str) -> bool:
            raise RuntimeError("too many")

    inbox = Inbox(SECRET)
    inbox.ears = Full()  # type: ignore[assignment]
    assert inbox._begin(sign(SECRET, "msg_1", b"{}"), b"{}") == (503, "too many")


def test_a_wait_is_woken_by_a_push(live: AbideServer, mounted: tuple[Inbox, str, list[Delivery]]) -> None:
    inbox, url, taken = mounted
    with Client(live.url) as client:
        # The first pushes teach that they come at all; then there are no polls before them.
        for _ in range(3):
            job = client.create("pushed", simulate=LASTING, webhook=inbox.target(url))
            done = job.wait(timeout=30, strategy=inbox.strategy())
            assert done.ok
        assert done.report.channel == "push"
    assert {delivery.type for delivery in taken} == {"job.completed"}
    assert taken[-1].job is not None and taken[-1].job.done
    assert inbox.ears.listeners == 0 and not inbox._pokes


def test_a_wait_on_an_event_loop_is_woken_from_another_thread(live: AbideServer) -> None:
    inbox = Inbox()

    async def main(url: str) -> None:
        async with AsyncClient(live.url) as client:
            for _ in range(3):
                job = await client.create("pushed too", simulate=LASTING, webhook=inbox.target(url))
                done = await job.wait(timeout=30, strategy=inbox.strategy())
            assert done.report.channel == "push"

    with wsgi(inbox.wsgi()) as url:
        asyncio.run(main(url))


def event(revision: int = 2) -> bytes:
    job = {
        "id": "job_1",
        "status": "completed",
        "done": True,
        "outcome": "completed",
        "revision": revision,
        "created_at": "2026-11-22T00:00:00Z",
        "updated_at": "2026-11-22T00:00:00Z",
    }
    return json.dumps({"type": "job.completed", "timestamp": "2026-11-22T00:00:00Z", "data": job}).encode()


def test_a_view_of_ones_own_receives_and_a_duplicate_wakes_nothing() -> None:
    inbox = Inbox(SECRET)
    headers = sign(SECRET, "msg_1", event())
    delivery = inbox.receive(headers, event())
    assert delivery.job is not None and delivery.job.id == "job_1"
    assert inbox.receive(headers, event()).id == "msg_1"
    with pytest.raises(WebhookError):
        inbox.receive(headers, event(3))
    # A push may come before its wait: then the wait sends nothing.
    done = Client("http://fake.invalid", http=Nothing()).job("job_1").wait(timeout=5, strategy=inbox.strategy())
    assert done.ok and done.report.channel == "push" and done.report.requests == 0


class Nothing:
    def exchange(self, method: str, url: str, headers: Any, body: bytes, answer: Any) -> None:
        raise AssertionError("nothing is sent")


def test_what_cant_be_taken_now_is_taken_later() -> None:
    calls: list[str] = []

    async def take(delivery: Delivery) -> None:
        calls.append(delivery.id)
        if len(calls) == 1:
            raise RuntimeError("the database is away")

    inbox = Inbox(SECRET, on_delivery=take)
    app = inbox.asgi()

    async def post() -> int:
        headers = {**sign(SECRET, "msg_1", event()), "content-type": "application/json"}
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": event(), "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await app({"type": "http", "method": "POST", "headers": fields}, receive, send)
        return int(sent[0]["status"])

    async def main() -> list[int]:
        return [await post() for _ in range(3)]

    assert asyncio.run(main()) == [503, 204, 204]
    assert calls == ["msg_1", "msg_1"]


def test_an_inbox_says_what_it_listens_for() -> None:
    inbox = Inbox()
    assert inbox.target("https://me.example/hooks", ["job.completed"])["secret"].startswith("whsec_")
    assert "secret" not in repr(inbox) and "whsec" not in repr(inbox)
