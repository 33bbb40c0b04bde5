"""The vendors' own SDKs, unmodified, over `poll_until`: their objects and their exceptions."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from abide_client import Look, Schedule, StillRunning, poll_until
from abide_client.testing import AbideServer

QUICK = Schedule.fixed(0.1)


def openai_at(url: str, asynchronous: bool = False) -> Any:
    openai = pytest.importorskip("openai")
    make = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    return make(api_key="sk-test", base_url=url, max_retries=0)


@contextlib.contextmanager
def scripted(answers: list[tuple[int, dict[str, str], dict[str, Any]]]) -> Iterator[str]:
    """A server on loopback that gives these answers, one after the other, the last one for good."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
            text = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(text)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def response(status: str) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "model": "gpt-5", "status": status, "created_at": 1.0, "output": []}


def test_openais_responses() -> None:
    answers: list[tuple[int, dict[str, str], dict[str, Any]]] = [
        (200, {}, response("queued")),
        (429, {"retry-after": "0.2"}, {"error": {"message": "slow down"}}),
        (500, {}, {"error": {"message": "oops"}}),
        (200, {}, response("in_progress")),
        (200, {}, response("completed")),
    ]
    with scripted(answers) as url, openai_at(url) as client:
        shown: list[bool] = []
        done = poll_until(
            lambda: client.responses.retrieve("resp_1"), schedule=QUICK, on_look=lambda look: shown.append(look.done)
        )
    assert type(done.value).__name__ == "Response" and done.value.status == "completed"
    assert shown == [False, False, True]
    assert (done.report.requests, done.report.failures) == (5, 2)


def test_openais_batches() -> None:
    batch = {"id": "batch_1", "object": "batch", "endpoint": "/v1/responses", "created_at": 100}
    answers: list[tuple[int, dict[str, str], dict[str, Any]]] = [
        (200, {}, {**batch, "status": status, "completed_at": 160})
        for status in ("validating", "in_progress", "finalizing", "completed")
    ]
    with scripted(answers) as url, openai_at(url) as client:
        looks: list[Look] = []
        done = poll_until(lambda: client.batches.retrieve("batch_1"), schedule=QUICK, on_look=looks.append)
    assert done.value.status == "completed" and done.report.requests == 4
    assert looks[-1].took == 60


def test_openais_errors_are_raised_as_themselves() -> None:
    openai = pytest.importorskip("openai")
    with scripted([(401, {}, {"error": {"message": "no such key"}})]) as url, openai_at(url) as client:
        with pytest.raises(openai.AuthenticationError):
            poll_until(lambda: client.responses.retrieve("resp_1"))


def test_openais_awaited_client() -> None:
    answers: list[tuple[int, dict[str, str], dict[str, Any]]] = [
        (200, {}, response("in_progress")),
        (200, {}, response("incomplete")),
    ]

    async def main(url: str) -> None:
        async with openai_at(url, asynchronous=True) as client:
            done = await poll_until(lambda: client.responses.retrieve("resp_1"), schedule=QUICK)
            assert done.value.status == "incomplete"

    with scripted(answers) as url:
        asyncio.run(main(url))


def prediction_of(live: AbideServer, length: str, error: str = "") -> tuple[Any, Any]:
    replicate = pytest.importorskip("replicate.client")
    client = replicate.Client(api_token="r8_test", base_url=f"{live.url}/dialects/replicate")
    prompt = f"a heron abide:duration={length}{error}"
    return client, client.predictions.create("owner/name:0123abcd", input={"prompt": prompt})


def test_replicates_predictions(live: AbideServer) -> None:
    client, prediction = prediction_of(live, "1s")
    done = poll_until(lambda: client.predictions.get(prediction.id), schedule=QUICK)
    assert done.value.status == "succeeded" and done.value.output
    errors = pytest.importorskip("replicate.exceptions")
    with pytest.raises(errors.ReplicateError):
        poll_until(lambda: client.predictions.get("nothing"), final=errors.ReplicateError)
    client._client.close()
    client, prediction = prediction_of(live, "1h")
    with pytest.raises(StillRunning):
        poll_until(lambda: client.predictions.get(prediction.id), schedule=QUICK, timeout=0.5)
    client._client.close()

    async def main() -> None:
        client, prediction = prediction_of(live, "500ms")
        done = await poll_until(lambda: client.predictions.async_get(prediction.id), schedule=QUICK)
        assert done.value.status == "succeeded"
        client._client.close()
        await client._async_client.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_runways_tasks(live: AbideServer, asynchronous: bool) -> None:
    runwayml = pytest.importorskip("runwayml")
    more: dict[str, Any] = {"api_key": "key_test", "base_url": f"{live.url}/dialects/runway", "max_retries": 0}
    task: dict[str, Any] = {
        "model": "gen4_turbo",
        "prompt_image": "https://example.com/i.png",
        "prompt_text": "a heron abide:duration=1s",
        "ratio": "1280:720",
        "duration": 5,
    }

    async def main() -> None:
        async with runwayml.AsyncRunwayML(**more) as client:
            made = await client.image_to_video.create(**task)
            done = await poll_until(lambda: client.tasks.retrieve(made.id), schedule=QUICK)
            assert done.value.status == "SUCCEEDED" and done.value.output

    if asynchronous:
        asyncio.run(main())
        return
    with runwayml.RunwayML(**more) as client:
        made = client.image_to_video.create(**task)
        done = poll_until(lambda: client.tasks.retrieve(made.id), schedule=QUICK)
        assert done.value.status == "SUCCEEDED" and done.value.output
        with pytest.raises(runwayml.NotFoundError):
            poll_until(lambda: client.tasks.retrieve("nothing"), final=runwayml.NotFoundError)
