"""A server in memory, as a transport: jobs that end when a test says, holds, sets and streams."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from abide_client import Broken
from abide_client._http import Answer, Headers

WHEN = "2026-11-22T00:00:00.000Z"


def job(id: str, revision: int = 1, done: bool = False, result: Any = None) -> dict[str, Any]:
    return {
        "id": id,
        "kind": "render",
        "status": "completed" if done else "running",
        "done": done,
        "outcome": "completed" if done else None,
        "revision": revision,
        "created_at": WHEN,
        "updated_at": WHEN,
        "result": result,
    }


class Steps:
    """Counts the steps of a transport, and does something at the n-th."""

    def __init__(self, at: int | None = None, then: Callable[[], object] | None = None) -> None:
        self.taken = 0
        self.at = at
        self.then = then

    def step(self) -> None:
        self.taken += 1
        if self.taken == self.at and self.then is not None:
            self.then()


class Fake:
    """Answers as a server does whose jobs end when `end` is called, or after a number of looks."""

    def __init__(
        self, pause: Callable[[], Awaitable[None]], *, ends_after: int = 3, steps: Steps | None = None
    ) -> None:
        self.pause = pause
        self.ends_after = ends_after
        self.steps = steps or Steps()
        self.requests: list[tuple[str, str]] = []
        self.open = 0
        self.looks: dict[str, int] = {}

    async def _step(self) -> None:
        self.steps.step()
        await self.pause()

    async def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        path = re.sub(r"^http://[^/]+", "", url)
        self.requests.append((method, path))
        self.open += 1
        try:
            await self._step()
            path, _, query = path.partition("?")
            if path == "/v1/events" or path.endswith("/events"):
                await self._stream(path, answer)
            else:
                await self._json(method, path, query, body, answer)
        finally:
            self.open -= 1

    async def _json(self, method: str, path: str, query: str, body: bytes, answer: Answer) -> None:
        headers = [("content-type", "application/json")]
        status = 200
        told: dict[str, Any] = {}
        if (method, path) == ("POST", "/v1/jobs"):
            status, told = 201, job(f"job_{len(self.requests)}")
        elif (method, path) == ("GET", "/v1/jobs"):
            told = {"jobs": [job("job_1", 2, True, 1)]} | ({} if "token" in query else {"next_page_token": "2"})
        elif (method, path) == ("POST", "/v1/jobs/claim"):
            await self._step()
            told = job("job_claimed") | {"lease": {"token": "t", "expires_at": WHEN}, "attempts": 1}
        elif method == "PATCH":
            done = b"result" in body
            told = job("job_claimed", 2 + done, done, {"n": 1} if done else None)
        elif "job_claimed" in str(body):
            # Nothing happens to a job that is worked on.
            while True:
                await self._step()
        elif (method, path) == ("POST", "/v1/jobs/wait"):
            headers.append(("preference-applied", "wait=60"))
            await self._step()
            told = {"jobs": [job(item["id"], 2, True, 1) for item in json.loads(body)["jobs"]]}
        else:
            name = path.removeprefix("/v1/jobs/").removesuffix("/cancel")
            self.looks[name] = self.looks.get(name, 0) + 1
            if "wait=" in query:
                headers.append(("preference-applied", "wait=60"))
                await self._step()
            done = self.looks[name] >= self.ends_after
            told = job(name, self.looks[name], done, {"n": self.looks[name]} if done else None)
        answer.head(status, headers)
        await self._step()
        text = json.dumps(told).encode()
        answer.chunk(text[:7])
        await self._step()
        answer.chunk(text[7:])
        await self._step()

    async def _stream(self, path: str, answer: Answer) -> None:
        name = path.removeprefix("/v1/jobs/").removesuffix("/events")
        answer.head(200, [("content-type", "text/event-stream")])
        for revision in range(2, self.ends_after + 2):
            done = revision == self.ends_after + 1
            word = "completed" if done else "progress"
            await self._step()
            data = json.dumps(job(name, revision, done))
            answer.chunk(f"id: {revision}\nevent: job.{word}\ndata: {data}\n\n".encode())
        await self._step()


class Refusing:
    """Nothing listens."""

    async def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        raise Broken("connect", "connection refused")
