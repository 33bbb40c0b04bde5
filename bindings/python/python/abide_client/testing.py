"""A real abide server for tests: its own time, its own seed, empty before every test. Also a plugin of pytest.

The fixture `abide` starts `abide serve` once, on a free port, and empties it before each test::

    def test_a_render_is_awaited(abide):
        with Client(abide.url) as client:
            job = client.create("render", simulate={"duration": {"fixed": 3600}})
            abide.advance("1h")
            assert job.wait(timeout=10).ok
            assert abide.report(requests_per_job=2)["pass"]

The program is found by the environment variable `ABIDE`, by `abide_binary` in pytest's configuration, or as `abide`
on the path. Under `abide test -- pytest` its server is used. `abide_seed`, `abide_scenario` and `abide_clock`
(`manual` or `real`) are read from the configuration, too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ._types import Span, instant, seconds

if TYPE_CHECKING:
    import pytest

_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
_START_SECONDS_MAX = 30.0


class AbideServer:
    """A server of one's own, in memory: `with AbideServer() as server: …`."""

    def __init__(
        self,
        binary: str | os.PathLike[str] | None = None,
        *,
        seed: int | None = 7,
        scenario: str | os.PathLike[str] | None = None,
        clock: Literal["manual", "real"] = "manual",
        arguments: Sequence[str] = (),
    ) -> None:
        found = os.fspath(binary) if binary is not None else os.environ.get("ABIDE") or shutil.which("abide")
        if not found:
            raise FileNotFoundError("there is no program `abide` on the path; name it by the variable ABIDE")
        self._command = [
            found,
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--ephemeral",
            "--rate-limit",
            "off",
            "--drain",
            "0s",
        ]
        # The job of the classic routes is there only for those that ask for it.
        self._command += ["--default-job-start", "first-poll"]
        self._command += ["--clock", clock]
        if seed is not None:
            self._command += ["--seed", str(seed)]
        if scenario is not None:
            self._command += ["--scenario", os.fspath(scenario)]
        self._command += arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._log: Path | None = None
        # A proxy has nothing to do with what listens here.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.url: str = ""
        """Where it listens, once it is started."""

    @classmethod
    def at(cls, url: str) -> AbideServer:
        """One that runs already, such as that of `abide test`, and is not ended here."""
        server = cls(url)
        server.url = url.rstrip("/")
        server._command = []
        return server

    def start(self) -> AbideServer:
        """Starts it, and returns once it listens."""
        if not self._command:
            return self
        # What is set for a server of the user's is none of this one's.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ABIDE_")}
        self._folder = tempfile.TemporaryDirectory(prefix="abide-")
        self._log = Path(self._folder.name, "log")
        with self._log.open("wb") as log_file:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=self._folder.name,
            )
        until = time.monotonic() + _START_SECONDS_MAX
        while time.monotonic() < until:
            address = _ADDRESS.search(self.log())
            if address:
                self.url = address.group()
                return self
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        log = self.log()
        self.stop()
        raise RuntimeError(f"the server didn't start:\n{log}")

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = self._log = None

    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace") if self._log is not None else ""

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """A call of its API: the answer's JSON, or none of an empty answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} if data is not None else {}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            why = error.read().decode(errors="replace")
            error.close()
            raise RuntimeError(f"{method} {path} was answered {error.code}: {why}") from None
        return json.loads(text) if text else None

    def advance(self, by: Span) -> None:
        """Advances the manual clock."""
        self.call("POST", "/v1/clock/advance", {"seconds": seconds(by, "by")})

    def now(self) -> datetime:
        """What its clock shows."""
        now = instant(self.call("GET", "/v1/clock")["now"])
        assert now is not None
        return now

    def report(self, **limits: float) -> dict[str, Any]:
        """The report card: how its clients have waited since the last reset. `pass` says whether all of them kept
        within the limits, such as `requests_per_job=2, detection_p95_ms=100`."""
        query = urllib.parse.urlencode(limits)
        report: dict[str, Any] = self.call("GET", f"/v1/report?{query}")
        return report

    def requests(self, job: str | None = None) -> list[dict[str, Any]]:
        """What was asked and answered since the last reset, of one job or of all."""
        query = urllib.parse.urlencode({"job": job} if job else {})
        asked: list[dict[str, Any]] = self.call("GET", f"/v1/requests?{query}")["requests"]
        return asked

    def simulate(self, **members: Any) -> dict[str, Any]:
        """Changes the simulator until the next reset: `duration={"fixed": 30}`, `scenario="flaky"`, `seed=3`."""
        changed: dict[str, Any] = self.call("PATCH", "/v1/simulator", members)
        return changed

    def reset(self) -> None:
        """Forgets all jobs, endpoints, deliveries, report cards and what was learned. The clock stays where it is."""
        self.call("POST", "/v1/reset")

    def __enter__(self) -> AbideServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"AbideServer({self.url!r})"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("abide_binary", "the program `abide`; default: the variable ABIDE, or `abide` on the path")
    parser.addini("abide_seed", "the seed of the simulator", default="7")
    parser.addini("abide_scenario", "a scenario: a file, or the name of a built-in one")
    parser.addini("abide_clock", "`manual`, which stands still until a test advances it, or `real`", default="manual")


try:
    import pytest as _pytest
except ImportError:
    # Without pytest the server can be used all the same.
    pass
else:

    @_pytest.fixture(scope="session")
    def abide_server(pytestconfig: pytest.Config) -> Generator[AbideServer, None, None]:
        """The server of this session. Take `abide` to have it emptied first."""
        if running := os.environ.get("ABIDE_SERVER"):
            yield AbideServer.at(running)
            return
        scenario = pytestconfig.getini("abide_scenario") or None
        if scenario and (pytestconfig.rootpath / scenario).exists():
            scenario = pytestconfig.rootpath / scenario
        binary = pytestconfig.getini("abide_binary") or None
        if binary and (pytestconfig.rootpath / binary).exists():
            binary = Path(pytestconfig.rootpath / binary)
        server = AbideServer(
            binary,
            seed=int(pytestconfig.getini("abide_seed")),
            scenario=scenario,
            clock=pytestconfig.getini("abide_clock"),
        )
        with server:
            yield server

    @_pytest.fixture
    def abide(abide_server: AbideServer) -> AbideServer:
        """A real abide server, empty, with a clock that the test turns: `abide.url`, `abide.advance("1h")`,
        `abide.report()`."""
        abide_server.reset()
        return abide_server
