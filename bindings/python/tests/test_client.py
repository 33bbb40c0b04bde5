"""The clients against a real server."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from abide_client import (
    AbideError,
    AsyncClient,
    Broken,
    Client,
    Event,
    Finished,
    Job,
    JobCanceled,
    JobFailed,
    NotFound,
    Refused,
    Report,
    Retry,
    Schedule,
    StillRunning,
    Unreachable,
    UsageError,
    Verifier,
    _poll,
    poll_until,
)
from abide_client.testing import AbideServer
from fake import job as fake_job


def lasting(length: float, **more: Any) -> dict[str, Any]:
    return {"duration": {"fixed": length}, "outcome": {"error_chance": 0}, **more}


def test_a_host_may_have_any_letters() -> None:
    assert Client("http://Bücher.example:81").server == "http://xn--bcher-kva.example:81"
    assert Client("http://127.0.0.1:81/ü").server.startswith("http://127.0.0.1:81/")
    assert Client("http://bücher.example").server == "http://xn--bcher-kva.example"
    with pytest.raises(UsageError):
        Client(f"http://{'ü' * 99}.example")


def test_a_job_is_created_and_awaited(live: AbideServer) -> None:
    with Client(live.url) as client:
        job = client.create("render", input={"a": 1}, metadata={"team": "x"}, simulate=lasting(0.5))
        assert job.snapshot is not None and job.snapshot.input == {"a": 1}
        done = job.wait(timeout=30)
        assert isinstance(done, Finished) and done.ok and done.outcome == "completed"
        assert done.report.requests <= 2
        assert done.report.detection is not None and done.report.detection < 5
        assert done.job.metadata == {"team": "x"}
        assert done.job.finished_at is not None and done.job.finished_at.tzinfo is not None
        assert done.raise_for_outcome() is done
        assert done.result == done.job.result
        assert job.status() == done.job
        job.delete()
        with pytest.raises(NotFound) as caught:
            job.status()
        assert isinstance(caught.value, LookupError)
        assert caught.value.status in (404, 410) and caught.value.job_id == job.id


def test_a_job_that_failed_is_raised_where_its_result_is_asked_for(live: AbideServer) -> None:
    with Client(live.url) as client:
        bad = {"duration": {"fixed": 0.1}, "outcome": {"error_chance": 1}}
        done = client.create("render", simulate=bad).wait(timeout=30)
        assert not done.ok and done.outcome == "failed"
        with pytest.raises(JobFailed) as caught:
            done.result  # noqa: B018
        assert caught.value.problem == done.job.error and caught.value.report == done.report
        job = client.create("render", simulate=lasting(60))
        job.cancel()
        with pytest.raises(JobCanceled):
            job.wait(timeout=30).raise_for_outcome()


def test_a_watch_shows_every_state_up_to_the_last(live: AbideServer) -> None:
    with Client(live.url) as client:
        states = list(client.create("video_translation", simulate=lasting(0.6)).watch(timeout=30))
        assert [state.revision for state in states] == sorted({state.revision for state in states})
        assert states[-1].done and states[-1].progress is not None and states[-1].progress.percent == 100
        updates: list[Job] = []
        client.create("video_translation", simulate=lasting(0.6)).wait(on_update=updates.append)
        assert updates[-1].done and len(updates) > 1


def test_a_timeout_leaves_the_job_running_and_a_token_to_go_on(still: AbideServer) -> None:
    with Client(still.url) as client:
        job = client.create("render", simulate=lasting(2))
        with pytest.raises(StillRunning) as caught:
            job.wait(timeout=0.5)
        token = caught.value.token
        assert token and caught.value.job is not None and not caught.value.job.done
    still.advance(2)
    with Client(still.url) as later:
        assert later.resume(token).wait(timeout=30).ok
    with Client("http://127.0.0.1:1") as other, pytest.raises(UsageError, match="this token is of the server"):
        other.resume(token)


def test_a_wait_may_cancel_its_job_at_its_timeout(live: AbideServer) -> None:
    with Client(live.url) as client:
        job = client.create("render", simulate=lasting(60))
        with pytest.raises(StillRunning):
            job.wait(timeout="300ms", cancel_on_timeout=True)
        assert job.status().outcome == "canceled"


def test_a_set_is_told_in_order_of_completion(live: AbideServer) -> None:
    with Client(live.url) as client:
        jobs = [client.create("render", simulate=lasting(0.3 + 0.2 * (number % 5))) for number in range(20)]
        ends = list(client.as_completed([*jobs, client.job("job_none")], timeout=60))
        assert len(ends) == 21
        lost = next(end for end in ends if not end.ok)
        assert isinstance(lost.error, NotFound)
        with pytest.raises(NotFound):
            lost.result  # noqa: B018
        assert sum(end.finished.report.requests_share for end in ends if end.finished) < 15
        assert [end.id for end in client.wait_all(jobs)] == [job.id for job in jobs]


def test_lists_are_read_page_by_page(live: AbideServer) -> None:
    with Client(live.url) as client:
        for number in range(5):
            client.create("listed", metadata={"n": str(number)}, simulate=lasting(60))
        assert len(list(client.list(kind="listed", page_size=2))) == 5
        assert len(list(client.list(kind="listed", metadata={"n": "3"}))) == 1
        assert not list(client.list(kind="listed", status="completed"))
        assert not list(client.list(kind="listed", created_before=datetime.now(timezone.utc) - timedelta(days=1)))


def test_a_create_is_one_job_however_often_it_is_sent(live: AbideServer) -> None:
    with Client(live.url) as client:
        one = client.create("render", simulate=lasting(60), idempotency_key="key-1")
        two = client.create("render", simulate=lasting(60), idempotency_key="key-1")
        assert one.id == two.id and two.replayed and not one.replayed
        assert one.idempotency_key == "key-1"
        with pytest.raises(Refused) as caught:
            client.create("another", simulate=lasting(60), idempotency_key="key-1")
        assert caught.value.status in (409, 422) and caught.value.problem is not None


def test_a_server_that_is_not_there_is_unreachable_and_the_create_can_be_sent_again() -> None:
    with Client("http://127.0.0.1:1", retry=Retry.never()) as client, pytest.raises(Unreachable) as caught:
        client.create("render")
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.token and caught.value.idempotency_key


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Client("ftp://example.com"),
        lambda: Client("http://user:password@example.com"),
        lambda: Client("http://example.com", http=object()),
        lambda: Client("http://example.com", timeout=-1),
        lambda: Client("http://example.com", remote="no-such-preset"),
        lambda: Client("http://example.com").job("").wait(),
        lambda: Client("http://example.com").job("x").wait(timeout="soon"),
        lambda: Client("http://example.com").job("x").wait(strategy="hope"),  # type: ignore[arg-type]
        lambda: Client("http://example.com").create("x", input=object()),
        lambda: Client("http://example.com").create("x", input=float("nan")),
        lambda: Client("http://example.com").resume("not a token"),
        lambda: list(Client("http://example.com").list(page_size=-1)),
        lambda: Schedule.fixed(-1),
        lambda: Schedule.backoff(1, attempts=-1),
        lambda: Retry(initial=float("nan")),
        lambda: Verifier("whsec_!"),
    ],
)
def test_mistakes_are_told_before_anything_is_sent(wrong: Any) -> None:
    with pytest.raises(UsageError) as caught:
        wrong()
    assert isinstance(caught.value, ValueError)
    assert type(pickle.loads(pickle.dumps(caught.value))) is UsageError


def test_errors_and_values_survive_pickling_and_clients_say_why_they_do_not(live: AbideServer) -> None:
    client = Client(live.url)
    with pytest.raises(NotFound) as caught:
        client.job("job_none").wait()
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is NotFound and error.__dict__ == caught.value.__dict__ and str(error) == str(caught.value)
    for kind in (AbideError, StillRunning, Unreachable, Refused, UsageError, JobFailed):
        error = kind("x", token="t", report=Report(requests=3))
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.token, again.report, again.args) == (kind, "t", error.report, ("x",))
    done = client.create("render", simulate=lasting(0.1)).wait(timeout=30)
    assert pickle.loads(pickle.dumps(done)) == done
    for unpicklable in (client, client.job("x")):
        with pytest.raises(TypeError, match="token"):
            pickle.dumps(unpicklable)
    client.close()


def test_reports_are_told_of_waits_that_end_well_or_not(still: AbideServer) -> None:
    told: list[tuple[str, Report]] = []
    with Client(still.url, on_report=lambda id, report: told.append((id, report))) as client:
        job = client.create("render", simulate=lasting(0.7))
        with pytest.raises(StillRunning):
            job.wait(timeout=0.3)
        still.advance(1)
        job.wait(timeout=30)
        client.wait_all([job, client.job("job_none")])
    assert [id for id, _ in told[:2]] == [job.id] * 2
    assert {id for id, _ in told[2:]} == {job.id, "job_none"}


def test_every_part_of_the_asynchronous_client(live: AbideServer) -> None:
    async def main() -> None:
        async with AsyncClient(live.url) as client:
            job = await client.create("render", simulate=lasting(0.5))
            states = [state async for state in job.watch()]
            assert states[-1].done
            done = await job.wait(timeout=30)
            assert done.ok and done.job == await job.status()
            jobs = [await client.create("render", simulate=lasting(0.3)) for _ in range(3)]
            ends = [end async for end in client.as_completed(jobs, timeout=30)]
            assert sorted(end.id for end in ends) == sorted(job.id for job in jobs)
            assert [end.id for end in await client.wait_all(jobs)] == [job.id for job in jobs]
            assert job.id in [listed.id async for listed in client.list()]
            await job.delete()
            with pytest.raises(NotFound):
                await job.status()
            job = await client.create("render", simulate=lasting(60))
            assert (await job.cancel()).outcome == "canceled"
            assert (await client.resume(job.token).wait()).outcome == "canceled"
            endpoint = await client.webhooks.create("https://example.com/hook")
            assert endpoint["secret"].startswith("whsec_")
            assert (await client.webhooks.update(endpoint["id"], description="mine"))["description"] == "mine"
            assert (await client.webhooks.list())["webhooks"]
            await client.webhooks.delete(endpoint["id"])
            assert client._turning().is_idle

    asyncio.run(main())


def test_the_feed_tells_all_changes_and_goes_on_after_a_place(live: AbideServer) -> None:
    async def main() -> None:
        async with AsyncClient(live.url) as client:
            seen: list[Event] = []

            async def follow(after: str | None, enough: int) -> None:
                feed = client.feed(after=after)
                async for change in feed:
                    if isinstance(change, Event):
                        seen.append(change)
                    if len(seen) >= enough:
                        break
                await feed.aclose()

            following = asyncio.create_task(follow(None, 1))
            while not following.done():
                await client.create("fed", simulate=lasting(0.1))
                await asyncio.sleep(0.1)
            await following
            first = seen[0]
            assert first.place is not None and first.type.startswith("job.")
            job = await client.create("fed", simulate=lasting(0.1))
            await job.wait()
            seen.clear()
            await asyncio.wait_for(follow(first.place, 2), 30)
            assert len(seen) == 2

    asyncio.run(main())


def test_endpoints_are_managed(live: AbideServer) -> None:
    with Client(live.url) as client:
        endpoint = client.webhooks.create("https://example.com/hook", events=["job.completed"])
        id = endpoint["id"]
        assert client.webhooks.read(id)["url"] == "https://example.com/hook"
        assert client.webhooks.rotate(id)["secret"] != endpoint["secret"]
        assert client.webhooks.deliveries(id)["deliveries"] == []
        client.webhooks.delete(id)
        client.webhooks.delete(id)
        with pytest.raises(NotFound):
            client.webhooks.read(id)


def test_remote_apis_are_spoken_by_description(live: AbideServer) -> None:
    description = {
        "name": "classic",
        "status": "/v1/jobs/{id}",
        "state": "/status",
        "running": ["pending", "running"],
        "completed": ["completed"],
        "failed": ["failed"],
        "create": "/v1/jobs",
        "id": "/id",
    }
    with Client(live.url, remote=description, schedule=Schedule.fixed(0.1)) as client:
        job = client.create(input={"simulate": lasting(0.3)})
        assert job.wait(timeout=30).ok


def test_the_callers_http_client_sends(live: AbideServer) -> None:
    sent: list[str] = []
    http = httpx.Client(event_hooks={"request": [lambda request: sent.append(request.url.path)]}, timeout=0.5)
    with http, Client(live.url, http=http, headers={"x-team": "x"}) as client:
        # The caller's timeout of half a second is not that of a request that is held.
        assert (
            client.create("render", simulate=lasting(1.5)).wait(timeout=30, strategy="long_poll").report.requests == 1
        )
    assert sent[0] == "/v1/jobs"


def test_spans_of_time_are_understood() -> None:
    from abide_client._types import seconds

    for span, expected in [(2, 2.0), (0.5, 0.5), ("90s", 90.0), ("15m", 900.0), ("1h30m", 5400.0), ("250ms", 0.25)]:
        assert seconds(span) == expected  # type: ignore[arg-type]
    assert seconds(timedelta(minutes=1)) == 60.0
    for wrong in ("soon", "", "5", "5 parsecs", -1, float("nan"), float("inf"), True, None):
        with pytest.raises(UsageError):
            seconds(wrong)  # type: ignore[arg-type]


def test_a_wait_takes_no_longer_than_its_job(live: AbideServer) -> None:
    with Client(live.url) as client:
        job = client.create("render", simulate=lasting(0.5))
        began = time.monotonic()
        job.wait()
        assert time.monotonic() - began < 20


class Lost:
    """Loses the answers of some requests, and answers the next with a job."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.keys: list[str] = []

    def exchange(self, method: str, url: str, headers: Any, body: bytes, answer: Any) -> None:
        self.keys.append(dict(headers)["idempotency-key"])
        if len(self.keys) <= self.losses:
            raise Broken("lost", "connection reset")
        answer.head(201, [("content-type", "application/json")])
        answer.chunk(json.dumps(fake_job("job_1")).encode())


def test_a_create_whose_answer_was_lost_is_sent_again_under_its_key() -> None:
    lost = Lost(4)
    client = Client("http://fake.invalid", http=lost, retry=Retry(initial=0.01))
    with pytest.raises(Unreachable) as caught:
        client.create("render")
    job = client.create("render", resume=caught.value.token)
    assert job.id == "job_1" and job.idempotency_key == caught.value.idempotency_key
    assert len(lost.keys) == 5 and len(set(lost.keys)) == 1


def test_a_client_that_is_closed_ends_its_waits(live: AbideServer) -> None:
    client = Client(live.url)
    job = client.create("render", simulate=lasting(60))
    caught: list[BaseException] = []

    def work() -> None:
        try:
            job.wait()
        except UsageError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while not client._turning()._exchanges:
        time.sleep(0.01)
    client.close()
    thread.join(10)
    assert "closed" in str(caught[0])

    async def main() -> None:
        client = AsyncClient(live.url)
        waiting = asyncio.ensure_future(client.job(job.id).wait())
        await asyncio.sleep(0.2)
        await client.aclose()
        with pytest.raises(UsageError, match="closed"):
            await waiting

    asyncio.run(main())


def test_what_is_kept_for_an_event_loop_goes_with_it(live: AbideServer) -> None:
    client = AsyncClient(live.url)

    async def main() -> None:
        await (await client.create("render", simulate=lasting(0.01))).wait()
        await poll_until(lambda: asyncio.sleep(0, {"status": "completed"}))
        own = client._loops[asyncio.get_running_loop()].own
        assert own is not None
        await own[1]()

    for _ in range(5):
        asyncio.run(main())
    assert len(client._loops) == 1
    assert sum(isinstance(key, asyncio.AbstractEventLoop) for key in _poll._shared.loops) == 1
