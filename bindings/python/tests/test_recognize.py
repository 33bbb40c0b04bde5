"""The states of vendors, by attribute or by key."""

from __future__ import annotations

import enum
import itertools
import json
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from abide_client import Look, UnknownStateWarning, UsageError
from abide_client._recognize import ENDED, RUNNING, recognize

VECTORS = Path(__file__).resolve().parents[3] / "vectors"


class JobState(enum.Enum):
    JOB_STATE_RUNNING = 3


class Completed:
    """As fal's SDK has it: a class without a word."""


def lro(done: bool | None) -> SimpleNamespace:
    return SimpleNamespace(name="operations/1", done=done, metadata=None)


@pytest.mark.parametrize(
    ("value", "done"),
    [
        # OpenAI: videos, responses, batches.
        (SimpleNamespace(status="queued", progress=0), False),
        (SimpleNamespace(status="in_progress", progress=33), False),
        (SimpleNamespace(status="completed", progress=100), True),
        (SimpleNamespace(status="incomplete"), True),
        (SimpleNamespace(status="finalizing"), False),
        # Replicate.
        ({"status": "starting"}, False),
        ({"status": "succeeded"}, True),
        ({"status": "canceled"}, True),
        # Runway.
        ({"status": "THROTTLED"}, False),
        ({"status": "CANCELLED"}, True),
        ({"status": "SUCCEEDED"}, True),
        # fal.
        ({"status": "IN_QUEUE"}, False),
        ({"status": "COMPLETED"}, True),
        (Completed(), True),
        # HeyGen.
        ({"data": {"status": "waiting"}}, False),
        ({"data": {"status": "success", "url": "x"}}, True),
        # Luma.
        (SimpleNamespace(state="dreaming"), False),
        (SimpleNamespace(state="failed"), True),
        # Google.
        (lro(None), False),
        (lro(False), False),
        (lro(True), True),
        # DashScope, Azure, AssemblyAI, ElevenLabs.
        ({"output": {"task_status": "PENDING"}}, False),
        ({"output": {"task_status": "SUCCEEDED"}}, True),
        ({"status": "NotStarted"}, False),
        ({"status": "Succeeded"}, True),
        ({"status": "processing"}, False),
        ({"status": "error", "error": "no audio"}, True),
        ({"status": "dubbed", "done": True}, True),
        # A bare word, and a word of an enumeration.
        ("running", False),
        ("in progress", False),
        (SimpleNamespace(state=JobState.JOB_STATE_RUNNING), False),
    ],
)
@pytest.mark.filterwarnings("ignore::abide_client.UnknownStateWarning")
def test_a_vendors_state_is_understood(value: object, done: bool) -> None:
    assert recognize(value).done is done


def test_no_word_means_two_things() -> None:
    assert not RUNNING & ENDED


def test_an_unknown_word_means_running_and_is_told_once() -> None:
    with pytest.warns(UnknownStateWarning, match="marinating"):
        assert not recognize({"status": "marinating"}).done
    assert not recognize({"status": "marinating"}).done


def test_of_words_that_never_come_again_few_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abide_client._recognize._warned", set())
    with pytest.warns(UnknownStateWarning) as told:
        for letters in itertools.product("xyz", repeat=3):
            assert not recognize({"status": "".join(letters)}).done
    assert len(told) == 16


def test_a_method_is_never_called() -> None:
    class Operation:
        status = "running"

        def done(self) -> bool:
            raise AssertionError("this asks the server")

    assert not recognize(Operation()).done


@pytest.mark.parametrize("value", [None, 3, [], {}, {"status": 200}, object()])
def test_a_value_without_a_word_is_told_apart(value: object) -> None:
    with pytest.raises(UsageError):
        recognize(value)


@pytest.mark.parametrize(
    ("value", "progress"),
    [
        ({"progress": 33}, 0.33),
        ({"progress": 0.5}, 0.5),
        ({"progress": "45%"}, 0.45),
        ({"progress": {"percent": 20}}, 0.2),
        # All of it, or one of a hundred?
        ({"progress": 1}, None),
        ({"progress": "soon"}, None),
        ({"progress": 170}, None),
        ({}, None),
    ],
)
def test_progress_is_read_where_it_is_clear(value: dict[str, Any], progress: float | None) -> None:
    assert recognize({"status": "running", **value}).progress == progress


def test_what_remains_and_what_it_took_are_read() -> None:
    assert recognize({"status": "queued", "eta": 12.5}).remaining == 12.5
    at = datetime(2026, 11, 22, tzinfo=timezone.utc)
    for created, ended in [
        (1_795_305_600, 1_795_305_660),
        ("2026-11-22T00:00:00Z", "2026-11-22T00:01:00.000Z"),
        (at, at.replace(minute=1)),
    ]:
        shown = recognize(SimpleNamespace(status="completed", created_at=created, completed_at=ended))
        assert shown == Look(True, took=60.0)


def test_the_words_are_those_that_all_languages_share() -> None:
    shared = json.loads((VECTORS / "recognize.json").read_text())
    assert set(shared["running"]) == RUNNING
    assert set(shared["ended"]) == ENDED
    for case in shared["cases"]:
        if case["done"] is None:
            with pytest.raises(UsageError):
                recognize(case["value"])
        else:
            shown = recognize(case["value"])
            assert shown.done is case["done"], case
            for name in ("progress", "remaining", "took"):
                if name in case:
                    assert getattr(shown, name) == case[name], (name, case)
