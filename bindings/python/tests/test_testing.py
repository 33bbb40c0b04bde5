"""The plugin for the tests of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from abide_client import Client
from abide_client.testing import AbideServer

pytest_plugins = ["pytester"]


def test_an_hour_passes_when_the_test_says(abide: AbideServer) -> None:
    with Client(abide.url) as client:
        job = client.create("render", simulate={"duration": {"fixed": 3600}})
        before = abide.now()
        abide.advance("1h")
        assert (abide.now() - before).total_seconds() == 3600
        done = job.wait(timeout=30)
        assert done.ok and done.report.requests == 1
    assert abide.report(requests_per_job=2, detection_p95_ms=100)["pass"]
    assert not abide.report(requests_per_job=1)["pass"]


@pytest.mark.parametrize("number", [1, 2])
def test_every_test_begins_with_an_empty_server(abide: AbideServer, number: int) -> None:
    with Client(abide.url) as client:
        assert not list(client.list())
        client.create(f"render {number}")
        assert len(list(client.list())) == 1


def test_the_simulator_is_told_what_to_do(abide: AbideServer) -> None:
    abide.simulate(duration={"fixed": 30}, outcome={"error_chance": 1.0})
    with Client(abide.url) as client:
        job = client.create("render")
        abide.advance(31)
        assert job.wait(timeout=30).outcome == "failed"


def test_what_was_asked_is_told(abide: AbideServer) -> None:
    faults = [{"fault": "error", "first": 1, "status": 503}]
    with Client(abide.url) as client:
        job = client.create("render", simulate={"duration": {"fixed": 60}, "faults": faults})
        abide.advance("1m")
        assert job.wait(timeout=20).ok
    statuses = [request["status"] for request in abide.requests(job=job.id)]
    assert statuses[:2] in ([201, 503], [202, 503]) and statuses[-1] == 200


def test_a_server_that_runs_already_is_used(abide: AbideServer) -> None:
    with AbideServer.at(abide.url + "/") as same:
        assert same.url == abide.url and same.now() == abide.now()
    assert abide.now()


def test_a_suite_of_ones_own(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(
        """
        from abide_client import Client

        def test_it(abide):
            with Client(abide.url) as client:
                job = client.create("render", simulate={"duration": {"fixed": 60}})
                abide.advance("1m")
                assert job.wait(timeout=10).ok
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_program_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ABIDE")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="ABIDE"):
        AbideServer()
    refusing = tmp_path / "abide"
    refusing.write_text("#!/bin/sh\necho no such option\nexit 2\n")
    refusing.chmod(0o755)
    with pytest.raises(RuntimeError, match="no such option"):
        AbideServer(refusing).start()
