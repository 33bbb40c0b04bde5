"""Every example in the documentation runs."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from abide_client import Schedule, _poll
from abide_client.testing import AbideServer

ROOT = Path(__file__).resolve().parents[3]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[Any]:
    names = ("README.md", "docs/python.md", "docs/workers.md", "bindings/python/README.md")
    pages = [ROOT / name for name in names]
    return [
        pytest.param(text, id=f"{page.stem}-{number}")
        for page in pages
        for number, text in enumerate(BLOCK.findall(page.read_text()), 1)
    ]


class Vendor:
    """An SDK whose jobs end at the second look."""

    def __init__(self, words: tuple[str, str], **_: Any) -> None:
        self.looks = itertools.count()
        self.words = words

    def create(self, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(id="1", status=self.words[0])

    def retrieve(self, id: str) -> SimpleNamespace:
        return SimpleNamespace(id=id, status=self.words[min(next(self.looks), 1)])

    get = retrieve

    def status(self) -> SimpleNamespace:
        return self.retrieve("1")


class AsyncVendor(Vendor):
    async def create(self, **told: Any) -> SimpleNamespace:  # type: ignore[override]
        return super().create(**told)

    async def retrieve(self, id: str) -> SimpleNamespace:  # type: ignore[override]
        return super().retrieve(id)


def module(name: str, **members: Any) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(members)
    return made


@pytest.fixture
def vendors(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("queued", "completed")
    made = [
        module(
            "openai",
            OpenAI=lambda **_: SimpleNamespace(responses=Vendor(words)),
            AsyncOpenAI=lambda **_: SimpleNamespace(responses=AsyncVendor(words)),
        ),
        module("replicate", predictions=Vendor(("starting", "succeeded"))),
        module("runwayml", RunwayML=lambda **_: SimpleNamespace(tasks=Vendor(("RUNNING", "SUCCEEDED")))),
        module("fal_client", submit=lambda *_, **__: Vendor(("IN_QUEUE", "COMPLETED"))),
    ]
    for vendor in made:
        monkeypatch.setitem(sys.modules, vendor.__name__, vendor)
    # The looks follow each other quickly; what the page shows is how it is called.
    monkeypatch.setattr(_poll, "schedule_of", lambda *_: Schedule.fixed(0.01))


@pytest.mark.usefixtures("vendors")
@pytest.mark.parametrize("text", blocks())
def test_an_example_runs(text: str, live: AbideServer, abide: AbideServer) -> None:
    live.simulate(duration={"fixed": 0.5}, outcome={"error_chance": 0})
    space: dict[str, Any] = {"__name__": "example"}
    exec(compile(text.replace("http://127.0.0.1:8080", live.url), "example", "exec"), space)
    for name, value in space.items():
        if name.startswith("test_"):
            value(abide)
    client = space.get("client")
    if client is not None:
        client.close()
