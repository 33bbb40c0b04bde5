from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from abide_client.testing import AbideServer

ROOT = Path(__file__).resolve().parents[3]

# The debug build of this tree, unless one is named.
os.environ.setdefault("ABIDE", str(ROOT / "target/debug/abide"))


@pytest.fixture(scope="session")
def live() -> Generator[AbideServer, None, None]:
    """A server on real time."""
    with AbideServer(clock="real") as server:
        yield server


@pytest.fixture(scope="session")
def still() -> Generator[AbideServer, None, None]:
    """A server whose clock stands until a test advances it."""
    with AbideServer(clock="manual") as server:
        yield server
