"""What every language's client must do, as data: schedules, learned plans, and whole waits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from abide_client import History, Retry, Schedule
from abide_client._core import Core, Handle

VECTORS = Path(__file__).resolve().parents[3] / "vectors"
WAITS = sorted((VECTORS / "waits").glob("*.json"))


def cases(name: str) -> list[Any]:
    told = json.loads((VECTORS / name).read_text())
    assert told["version"] == 1
    return [pytest.param(case, id=case["name"].replace(" ", "_")) for case in told["cases"]]


@pytest.mark.parametrize("case", [case for case in cases("learned.json") if not case.values[0]["past"]])
def test_a_plan_without_a_past_is_the_same(case: dict[str, Any]) -> None:
    terms = case["schedule"]
    schedule = Schedule.learned(
        "kind",
        history=History(),
        price=terms["price"],
        expect=terms["expect"],
        min=terms["min"],
        max=terms["max"],
        jitter=terms["jitter"],
    )
    assert schedule.preview(len(case["polls"]), rtt=case["rtt"]) == pytest.approx(case["polls"], abs=2e-6)


@pytest.mark.parametrize("case", [case for case in cases("schedules.json") if "countdown" in case.values[0]["name"]])
def test_a_countdown_counts_down(case: dict[str, Any]) -> None:
    schedule = Schedule.countdown([(attempts, pause) for attempts, pause in case["schedule"]["countdown"]])
    assert schedule.preview(12, rtt=case["rtt"]) == pytest.approx(case["polls"], abs=2e-6)


class Replay:
    """Plays a trace: tells a core what it was told, and compares what it does."""

    def __init__(self, trace: dict[str, Any]) -> None:
        self.core = Core(trace["url"], trace["wall"], seed=trace["seed"])
        self.handles: dict[int, Handle] = {}

    def tell(self, told: dict[str, Any], now: float) -> None:
        core = self.core
        match told:
            case {"head": name, "status": status, "headers": headers}:
                core.head(name, status, [(key, value) for key, value in headers])
            case {"chunk": name, "text": text}:
                core.chunk(name, text.encode())
            case {"end": name}:
                core.end(name)
            case {"broken": name, "how": how, "why": why}:
                core.broken(name, how, why)
            case {"looked": name, "done": done, "progress": progress}:
                core.looked(name, done, progress=progress)
            case {"look_failed": name, "what": what, "final": final, "retry_after": after}:
                core.look_failed(name, what, is_final=final, retry_after=after)
            case {"give_up": op}:
                core.give_up(op, now)
            case {"op": op}:
                assert self.begin(told) == op
            case _:
                raise AssertionError(told)

    def begin(self, told: dict[str, Any]) -> int:
        core = self.core
        terms: Any = {} if told.get("deadline") is None else {"deadline": told["deadline"]}
        match told:
            case {"create": new}:
                return core.create(json.dumps(new))
            case {"wait": id, "of": of, "strategy": strategy, "updates": updates}:
                terms["strategy"] = strategy
                return core.wait(self.job(of, id), terms, updates=updates)
            case {"watch": id, "of": of}:
                return core.watch(self.job(of, id), terms)
            case {"set": jobs}:
                return core.set([self.handles[of] for of in jobs], terms)
            case {"status": id, "of": of}:
                return core.status(self.job(of, id))
            case {"cancel": id, "of": of}:
                return core.cancel(self.job(of, id))
            case {"poll_until": {"fixed": interval}}:
                return core.poll_until(Schedule.fixed(interval), retry=Retry(), **terms)
            case _:
                raise AssertionError(told)

    def job(self, of: int | None, id: str) -> Handle:
        handle = self.handles.get(of) if of is not None else None
        return handle or self.core.job(id)

    def describe(self, effect: tuple[Any, ...]) -> dict[str, Any]:
        match effect:
            case ("send", name, method, url, headers, body):
                fields = {key: value for key, value in headers if key != "user-agent"}
                return {"send": name, "method": method, "url": url, "headers": fields, "body": body.decode()}
            case ("abort" | "look_abort" as word, name):
                return {word: name}
            case ("look", op, name):
                return {"look": name, "op": op}
            case ("news", op, "job", text):
                job = json.loads(text)
                return {"news": op, "id": job["id"], "revision": job["revision"], "done": job["done"]}
            case ("news", op, "end", (id, job, report)):
                outcome = json.loads(job)["outcome"]
                return {"member": op, "id": id, "outcome": outcome, "report": self.report(report)}
            case ("news", op, "no_end", (id, error)):
                return {"member": op, "id": id, "error": self.error(error)}
            case ("failed", op, error):
                return {"failed": op, "error": self.error(error)}
            case ("ended", op, value):
                return {"ended": op, **self.ended(op, value)}
        raise AssertionError(effect)

    def ended(self, op: int, value: Any) -> dict[str, Any]:
        match value:
            case None:
                return {}
            case Handle():
                self.handles[op] = value
                return {"id": value.id}
            case str():
                job = json.loads(value)
                return {"id": job["id"], "revision": job["revision"], "done": job["done"]}
            case (job, report):
                job = json.loads(job)
                return {"id": job["id"], "outcome": job["outcome"], "report": self.report(report)}
            case report:
                return {"report": self.report(report)}

    @staticmethod
    def report(report: dict[str, Any]) -> dict[str, Any]:
        return {name: report[name] for name in ("requests", "failures", "channel", "strategy", "elapsed")}

    @staticmethod
    def error(error: dict[str, Any]) -> dict[str, Any]:
        return {name: error[name] for name in ("kind", "timed_out", "status", "job_id")}


def exactly(value: Any) -> Any:
    """A form in which times are compared by the millisecond."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: exactly(member) for name, member in value.items()}
    return [exactly(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", WAITS, ids=lambda path: path.stem)
def test_a_whole_wait_is_played_again(path: Path) -> None:
    trace = json.loads(path.read_text())
    replay = Replay(trace)
    for step in trace["steps"]:
        now = step["at"]
        for told in step["in"]:
            replay.tell(told, now)
        effects = [replay.describe(effect) for effect in replay.core.turn(now)]
        assert exactly(effects) == exactly(step["effects"]), now
        deadline = replay.core.deadline
        assert (deadline is None) == (step["deadline"] is None)
        if deadline is not None:
            assert abs(deadline - step["deadline"]) < 0.001, now
