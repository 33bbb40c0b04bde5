"""Servers that answer as no server should: each ends in an error of a type that says what to do, and leaves nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
import pickle
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from abide_client import AbideError, AsyncClient, Client, Garbled, Refused, Retry, Unreachable
from abide_client._http import Answer, Headers
from fake import job

Play = Callable[[socket.socket], None]


class Server:
    """Accepts connections, reads the head of each request, and does with the rest what a test says."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.heads: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                part = connection.recv(65536)
                if not part:
                    return
                head += part
            self.heads.append(head.decode("latin-1"))
            try:
                self.play(connection)
            except OSError:
                # The client has hung up.
                pass

    def close(self) -> None:
        self._listener.close()


@contextmanager
def serving(play: Play) -> Iterator[Server]:
    server = Server(play)
    try:
        yield server
    finally:
        server.close()


def head(status: str = "200 OK", *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "content-type: application/json", *headers, "", ""]).encode()


def answering(body: bytes, status: str = "200 OK", *headers: str) -> Play:
    return lambda to: to.sendall(head(status, f"content-length: {len(body)}", "connection: close", *headers) + body)


def told(value: Any) -> Play:
    return answering(json.dumps(value).encode())


def endless(to: socket.socket) -> None:
    to.sendall(head("200 OK", "transfer-encoding: chunked"))
    while True:
        to.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


def trickle(to: socket.socket) -> None:
    to.sendall(head("200 OK", "content-length: 1000"))
    while True:
        to.sendall(b" ")
        time.sleep(0.02)


def trickled_head(to: socket.socket) -> None:
    to.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    while True:
        to.sendall(b"x")
        time.sleep(0.02)


def silent(to: socket.socket) -> None:
    to.recv(1)


def cut(to: socket.socket) -> None:
    to.sendall(head("200 OK", "content-length: 1000") + b'{"id"')


def bomb(to: socket.socket) -> None:
    body = gzip.compress(b" " * (64 * 1024 * 1024))
    answering(body, "200 OK", "content-encoding: gzip")(to)


def ended(**more: Any) -> dict[str, Any]:
    return job("job_1", 2, True) | more


def in_the_result(text: str) -> bytes:
    return json.dumps(ended(result="here")).replace('"here"', text).encode()


GARBLED: dict[str, Play] = {
    "no end": endless,
    "a page": answering(b"<html>"),
    "nothing": answering(b""),
    "no UTF-8": answering(b"\xff\xfe\x00"),
    "a list": told([]),
    "null": told(None),
    "a number for an id": told(ended(id=7)),
    "another job": told(ended(id="job_2")),
    "done in words": told(ended(done="yes")),
    "done without an outcome": told(ended(outcome=None)),
    "a word for a revision": told(ended(revision="two")),
    "a negative revision": told(ended(revision=-1)),
    "no date": told(ended(created_at="yesterday")),
    "a list of states": told(ended(status=["completed"])),
    "depths that Python can't read": answering(in_the_result("[" * 200_000 + "]" * 200_000)),
    "digits that Python can't read": answering(in_the_result("9" * 6000)),
}

UNREACHABLE: dict[str, Play] = {
    "trickled": trickle,
    "a trickled head": trickled_head,
    "silent": silent,
    "a bomb": bomb,
    "cut": cut,
    "no HTTP": lambda to: to.sendall(b"\x00\x01nonsense\r\n\r\n"),
    "closed": lambda to: None,
    "a long pause": answering(b"{}", "503 Service Unavailable", "retry-after: " + "9" * 30),
}


def asked(url: str, **options: Any) -> AbideError:
    """What a call without async comes to."""
    with Client(url, retry=Retry(initial=0.01, attempts=1), **options) as client:
        with pytest.raises(AbideError) as caught:
            client.job("job_1").status()
        # The thread of a request that was given up ends at its next byte.
        for _ in range(200):
            if client._turning().is_idle:
                break
            time.sleep(0.01)
        assert not client._turning().core.deadline
    return caught.value


def awaited(library: str) -> Callable[..., AbideError]:
    """The same, awaited, by a client of that library."""
    module = pytest.importorskip(library)

    def ask(url: str, **options: Any) -> AbideError:
        async def main() -> AbideError:
            http = module.ClientSession() if library == "aiohttp" else module.AsyncClient()
            retry = Retry(initial=0.01, attempts=1)
            async with http, AsyncClient(url, http=http, retry=retry, **options) as client:
                with pytest.raises(AbideError) as caught:
                    await client.job("job_1").status()
                await asyncio.sleep(0)
                assert client._turning().is_idle
                return caught.value

        return asyncio.run(main())

    return ask


ASKING: dict[str, Callable[[], Callable[..., AbideError]]] = {
    "sync": lambda: asked,
    "httpx": lambda: awaited("httpx"),
    "httpx2": lambda: awaited("httpx2"),
    "aiohttp": lambda: awaited("aiohttp"),
}


@pytest.mark.parametrize("way", ASKING)
@pytest.mark.parametrize("what", GARBLED)
def test_an_answer_that_is_none_is_garbled(what: str, way: str) -> None:
    with serving(GARBLED[what]) as server:
        error = ASKING[way]()(server.url)
    assert isinstance(error, Garbled), error
    assert type(pickle.loads(pickle.dumps(error))) is Garbled


@pytest.mark.parametrize("way", ASKING)
@pytest.mark.parametrize("what", UNREACHABLE)
def test_a_server_that_gives_no_answer_is_unreachable_in_time(what: str, way: str) -> None:
    began = time.monotonic()
    with serving(UNREACHABLE[what]) as server:
        error = ASKING[way]()(server.url, attempt_timeout=0.5)
    assert isinstance(error, Unreachable), error
    assert time.monotonic() - began < 10
    assert error.token is not None


@pytest.mark.parametrize("way", ASKING)
def test_a_key_goes_to_no_other_host(way: str) -> None:
    with serving(told(ended())) as other:
        moved = answering(b"", "307 Temporary Redirect", f"location: {other.url}/v1/jobs/job_1")
        with serving(moved) as server:
            error = ASKING[way]()(server.url, api_key="a-key-that-is-secret")
        assert isinstance(error, (Garbled, Refused)) and "redirect" in str(error)
        assert "a-key-that-is-secret" in server.heads[0] and not other.heads
        assert "a-key-that-is-secret" not in str(error)


def test_a_netrc_stands_not_before_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    for library in ("httpx2", "httpx"):
        monkeypatch.setitem(sys.modules, library, None)
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password mine\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    async def main() -> None:
        async with AsyncClient("http://abide.example", api_key="a-key", retry=Retry.never()) as client:
            assert (await client.job("job_1").status()).done

    with serving(told(ended())) as server:
        monkeypatch.setenv("http_proxy", server.url)
        asyncio.run(main())
        (head,) = server.heads
    assert head.startswith("GET http://abide.example/v1/jobs/job_1 ")
    assert "authorization: bearer a-key\r\n" in head.lower()


def test_a_pause_beyond_the_deadline_ends_the_wait_at_once() -> None:
    began = time.monotonic()
    with serving(UNREACHABLE["a long pause"]) as server, Client(server.url) as client:
        with pytest.raises(Unreachable) as caught:
            client.job("job_1").wait(timeout=30)
    assert time.monotonic() - began < 20
    assert caught.value.retry_after is not None


class Mixed:
    """A server of three jobs that have ended, of which Python can't read the second."""

    def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        jobs = [ended(id=f"job_{number}", result="here" if number == 2 else None) for number in (1, 2, 3)]
        asked = [job for job in jobs if f"/{job['id']}" in url]
        text = json.dumps(asked[0] if asked else {"jobs": jobs, "errors": []})
        answer.head(200, [("content-type", "application/json")])
        answer.chunk(text.replace('"here"', "9" * 6000).encode())


def test_a_job_that_python_cant_read_hides_no_others() -> None:
    with Client("http://example.com", http=Mixed()) as client:
        assert [job.id for job in client.list()] == ["job_1", "job_3"]
        ends = client.wait_all([client.job(f"job_{number}") for number in (1, 2, 3)], timeout=30)
        assert [end.ok for end in ends] == [True, False, True]
        assert isinstance(ends[1].error, Garbled) and ends[1].error.job_id == "job_2"
        job = client.job("job_2")
        for call in (job.status, job.cancel, job.wait, lambda: list(job.watch())):
            with pytest.raises(Garbled) as caught:
                call()
            assert (caught.value.job_id, client.resume(caught.value.token or "").id) == ("job_2", "job_2")
