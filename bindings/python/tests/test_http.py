"""The HTTP clients of others as what sends."""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from abide_client import AbideError, AsyncClient, Client, Garbled, NotFound, Retry, Unreachable, UsageError, poll_until
from abide_client.testing import AbideServer
from fake import job

LASTING = {"duration": {"fixed": 0.6}, "outcome": {"error_chance": 0}}
LIBRARIES = ["httpx", "httpx2"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_client_of_httpx(live: AbideServer, library: str) -> None:
    module = pytest.importorskip(library)
    with module.Client() as http, Client(live.url, http=http) as client:
        assert client.create("render", simulate=LASTING).wait(timeout=30).ok


async def by_httpx(library: str) -> Any:
    return importlib.import_module(library).AsyncClient()


async def by_aiohttp(library: str) -> Any:
    return importlib.import_module(library).ClientSession()


@pytest.mark.parametrize(("library", "make"), [("httpx", by_httpx), ("httpx2", by_httpx), ("aiohttp", by_aiohttp)])
def test_an_asynchronous_client(live: AbideServer, library: str, make: Callable[[str], Awaitable[Any]]) -> None:
    pytest.importorskip(library)

    async def main() -> None:
        async with await make(library) as http:
            async with AsyncClient(live.url, http=http) as client:
                job = await client.create("render", simulate=LASTING)
                states = [state async for state in job.watch()]
                assert states[-1].done
                assert (await job.wait()).ok
            async with AsyncClient("http://127.0.0.1:1", http=http, retry=Retry.never()) as nowhere:
                with pytest.raises(Unreachable, match="no connection could be made"):
                    await nowhere.create("render")

    asyncio.run(main())


@pytest.mark.parametrize("library", LIBRARIES)
def test_it_is_mocked_as_the_library_is_mocked(library: str) -> None:
    module = pytest.importorskip(library)
    answers = [503, 201, 200]

    def answer(request: Any) -> Any:
        status = answers.pop(0)
        if status == 503:
            return module.Response(503)
        return module.Response(status, json=job("job_1", 1, status == 200))

    async def main() -> None:
        http = module.AsyncClient(transport=module.MockTransport(answer))
        async with http, AsyncClient("http://example.com", http=http) as client:
            done = await (await client.create("render")).wait()
            assert done.ok
        assert not answers

    asyncio.run(main())


def test_a_redirect_is_not_followed_and_a_page_is_no_answer() -> None:
    httpx = pytest.importorskip("httpx")
    seen: list[str] = []

    def answer(request: Any) -> Any:
        seen.append(request.url.path)
        if len(seen) == 1:
            return httpx.Response(302, headers={"location": "http://login.example.com/"})
        return httpx.Response(200, text="<html>Sign in</html>")

    http = httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True)
    with http, Client("http://example.com", http=http, retry=Retry(initial=0.01, attempts=2)) as client:
        with pytest.raises(Garbled):
            client.job("job_1").status()
    assert seen == ["/v1/jobs/job_1"] * 2


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_node_that_refuses_connections_is_left_in_the_same_exchange(live: AbideServer) -> None:
    with socket.socket() as dead:
        # It is bound and doesn't listen.
        dead.bind(("127.0.0.1", 0))
        with Client(address(dead), servers=[live.url], retry=Retry.never()) as client:
            assert client.create("render", simulate=LASTING).wait(timeout=30).ok
    with pytest.raises(UsageError):
        Client("http://a.example/x", servers=["http://b.example/y"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_compressed_answer_is_not_asked_for_and_not_read(listener: socket.socket, library: str) -> None:
    module = pytest.importorskip(library)
    asked: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            asked.append(connection.recv(65536).lower())
            body = gzip.compress(bytes(1 << 20))
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)

    threading.Thread(target=serve, daemon=True).start()
    with module.Client() as http, Client(address(listener), http=http, retry=Retry.never()) as client:
        with pytest.raises(Unreachable, match="compressed"):
            client.job("job_1").status()
    assert b"accept-encoding: identity\r\n" in asked[0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_thread_of_a_silent_servers_ends(
    listener: socket.socket, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pytest.importorskip(library)
    monkeypatch.setattr("abide_client._http.SILENCE_MAX", 1.0)

    def exchanges() -> int:
        return sum(thread.name == "abide-exchange" for thread in threading.enumerate())

    before = exchanges()
    with module.Client() as http, Client(address(listener), http=http) as client:
        with pytest.raises(AbideError):
            client.job("job_1").wait(timeout=1, attempt_timeout=0.2)
        until = time.monotonic() + 30
        while exchanges() > before and time.monotonic() < until:
            time.sleep(0.05)
        assert exchanges() <= before


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("library", ["httpx2", "httpx", "aiohttp"])
def test_this_machine_is_not_looked_for_behind_a_proxy(
    live: AbideServer, library: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(library)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for other in ["httpx2", "httpx"]:
        if other != library:
            monkeypatch.setitem(sys.modules, other, None)
    if library != "aiohttp":
        with Client(live.url) as client:
            assert client.create("render", simulate=LASTING).wait(timeout=30).ok
        with Client("http://abide.invalid", retry=Retry.never()) as away:
            with pytest.raises(Unreachable, match="the proxy http://127.0.0.1:9"):
                away.job("job_1").status()

    async def main() -> None:
        async with AsyncClient(live.url) as client:
            assert (await (await client.create("render", simulate=LASTING)).wait(timeout=30)).ok

    asyncio.run(main())


def test_the_callers_own_transport_sends() -> None:
    class Own:
        def exchange(self, method: str, url: str, headers: Any, body: bytes, answer: Any) -> None:
            assert dict(headers)["authorization"] == "Bearer secret"
            answer.head(200, [("content-type", "application/json")])
            answer.chunk(json.dumps(job("job_1", 3, True)).encode())

    client = Client("https://example.com", http=Own(), api_key="secret")
    assert client.job("job_1").status().revision == 3


def test_what_cant_send_is_refused() -> None:
    httpx = pytest.importorskip("httpx")
    with pytest.raises(UsageError, match="http="):
        AsyncClient("http://example.com", http=httpx.Client())

    async def main() -> None:
        async with httpx.AsyncClient() as http:
            with pytest.raises(UsageError, match="http="):
                Client("http://example.com", http=http)

    asyncio.run(main())


def test_it_runs_under_uvloop(live: AbideServer) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        async with AsyncClient(live.url) as client:
            assert (await (await client.create("render", simulate=LASTING)).wait()).ok

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_it_runs_on_trio(live: AbideServer) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        async with AsyncClient(live.url) as client:
            job = await client.create("render", simulate=LASTING)
            states = [state async for state in job.watch()]
            assert states[-1].done and (await job.wait()).ok
            with trio.move_on_after(0.2) as scope:
                await (await client.create("render", simulate={"duration": {"fixed": 60}})).wait()
            assert scope.cancelled_caught
            await trio.sleep(0.05)
            assert client._turning().is_idle

    trio.run(main)


def test_a_wait_is_a_span_where_the_program_has_opentelemetry(live: AbideServer) -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    with Client(live.url) as client:
        job = client.create("render", simulate=LASTING)
        job.wait(timeout=30)
        with pytest.raises(NotFound):
            client.job("job_none").wait()
    poll_until(lambda: {"status": "completed"}, kind="spanned")
    ended, lost, found = memory.get_finished_spans()
    assert {span.name for span in (ended, lost, found)} == {"abide.wait"}
    assert ended.attributes["abide.job"] == job.id and ended.attributes["abide.end"] == "completed"
    assert ended.attributes["abide.requests"] == 1
    assert lost.attributes["abide.end"] == "NotFound" and not lost.status.is_ok
    assert found.attributes["abide.kind"] == "spanned"


@pytest.mark.parametrize("proxy", [None, "http://name:secret@127.0.0.1:9", "127.0.0.1:9"])
def test_what_cant_be_reached_is_named_and_so_is_a_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str | None) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    if proxy:
        monkeypatch.setenv("http_proxy", proxy)
    with Client("http://127.0.0.1:9", retry=Retry.never()) as client:
        with pytest.raises(Unreachable, match="http://127.0.0.1:9") as caught:
            client.job("job_1").status()
    assert ("the environment names the proxy http://127.0.0.1:9" in str(caught.value)) == bool(proxy)
    assert "secret" not in str(caught.value)
