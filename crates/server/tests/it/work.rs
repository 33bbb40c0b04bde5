//! No command and no read does work that grows with what its owner has stored: with every limit used up, each is short.
//!
//! Times are of the thread's own clock, so that a busy machine doesn't count.

use std::future::Future as _;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use abide_engine::delivery::endpoints::ENDPOINTS_PER_OWNER_MAX;
use abide_engine::delivery::{ChangeEndpoint, CreateEndpoint, DeleteEndpoint, ReplayDeliveries};
use abide_engine::jobs::create::IDEMPOTENCY_KEYS_MAX;
use abide_engine::{
    Claim, Command, Create, Defaults, Engine, Job, Json, Owner, Policy, Report, Reset, Work,
};
use abide_server::board::{Board, Feed};
use abide_server::clock::Clock;
use abide_server::config::Layers;
use abide_server::http::answer::{Body, Outcome};
use abide_server::journal::{Journal as _, MemoryJournal};
use abide_wire::{DurationLaw, NewJob, Progress, Simulate, Span, Timestamp, Worker, limits};
use http::Request;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::common::{Answer, House, START};

/// How long a command may keep the loop, and a read a worker. Without optimization all takes many times as long.
const COMMAND_MAX: Duration = Duration::from_millis(50 * SLOWNESS);
const READ_MAX: Duration = Duration::from_millis(10 * SLOWNESS);
const SLOWNESS: u64 = if cfg!(debug_assertions) { 8 } else { 1 };

/// The time that this thread has worked.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}

/// Carries the command out and shows what it did, within its time.
fn carry_out<C: Command>(engine: &mut Engine, board: &Board, command: &C) -> C::Answer {
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let begun = worked();
    let answer = engine.carry_out(command, START, &mut entries, &mut effects);
    engine.dispatch(START, &mut effects);
    board.publish(&effects);
    let took = worked() - begun;
    assert!(took <= COMMAND_MAX, "{took:?} for {command:?}");
    answer.unwrap()
}

fn external_job() -> Create {
    Create {
        owner: Owner::ANYONE,
        new: NewJob {
            worker: Some(Worker::External),
            ..NewJob::default()
        },
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    }
}

#[test]
fn each_change_of_a_job_with_as_many_endpoints_as_there_may_be_is_short() {
    let mut engine = Engine::new(Policy::default());
    let board = Board::new(&engine, Feed::new(1, 0));
    for n in 0..ENDPOINTS_PER_OWNER_MAX {
        let new = CreateEndpoint {
            owner: Owner::ANYONE,
            url: format!("http://receiver.example/{n}"),
            events: Some(vec!["job.*".to_owned()]),
            secret: None,
            description: None,
            ordered: true,
            rendering: None,
            kinds: None,
        };
        carry_out(&mut engine, &board, &new);
    }
    let job = carry_out(&mut engine, &board, &external_job()).job.key;
    for n in 0..40 {
        let progress = Progress {
            percent: f64::from(n),
            stage: None,
        };
        let report = Report {
            owner: Owner::ANYONE,
            job,
            if_match: None,
            lease: None,
            work: Work::Progress(progress),
        };
        carry_out(&mut engine, &board, &report);
    }
    // Its start was told too.
    let expected = 42 * ENDPOINTS_PER_OWNER_MAX;
    assert_eq!(engine.deliveries().iter().len(), expected);
}

#[test]
fn each_claim_among_very_many_jobs_is_short() {
    const JOBS: usize = 20_000;
    let mut engine = Engine::new(Policy::default());
    let board = Arc::new(Board::new(&engine, Feed::new(1, 0)));
    for n in 0..JOBS {
        let mut create = external_job();
        create.new.kind = Some(format!("kind {n}"));
        carry_out(&mut engine, &board, &create);
    }
    let places: Vec<_> = (0..JOBS)
        .map(|n| board.claim_place(Owner::ANYONE, &[format!("other {n}")], None))
        .collect();
    for n in 0..200 {
        let claim = |kinds| Claim {
            owner: Owner::ANYONE,
            kinds,
            lease: limits::LEASE_MIN,
            token: None,
        };
        let kinds = (0..limits::CLAIM_KINDS_MAX).map(|of| format!("kind {}", JOBS - 1 - n - of));
        for kinds in [Vec::new(), kinds.collect()] {
            let claimed = carry_out(&mut engine, &board, &claim(kinds));
            assert!(claimed.is_some());
        }
    }
    drop(places);
    assert_eq!(board.claims(), 0);
}

#[test]
fn each_step_of_a_replay_of_very_many_deliveries_is_short() {
    const JOBS: usize = 10_000;
    let mut engine = Engine::new(Policy::default());
    let board = Board::new(&engine, Feed::new(1, 0));
    let owner = Owner::ANYONE;
    let new = CreateEndpoint {
        owner,
        url: "http://receiver.example/".to_owned(),
        events: Some(vec!["job.created".to_owned()]),
        secret: None,
        description: None,
        ordered: false,
        rendering: None,
        kinds: None,
    };
    let endpoint = carry_out(&mut engine, &board, &new).key;
    for _ in 0..JOBS {
        carry_out(&mut engine, &board, &external_job());
    }
    let enable = |enabled| ChangeEndpoint {
        owner,
        endpoint,
        url: None,
        events: None,
        description: None,
        ordered: None,
        enabled: Some(enabled),
    };
    let replay = ReplayDeliveries {
        owner,
        endpoint,
        since: START,
        delivered: false,
    };
    carry_out(&mut engine, &board, &enable(false));
    settle(&mut engine, &board);
    carry_out(&mut engine, &board, &enable(true));
    let replayed = carry_out(&mut engine, &board, &replay);
    assert_eq!(replayed, JOBS);
    settle(&mut engine, &board);
    carry_out(&mut engine, &board, &DeleteEndpoint { owner, endpoint });
    settle(&mut engine, &board);
    assert_eq!(engine.deliveries().iter().len(), 0);
}

#[test]
fn a_reset_leaves_the_end_of_all_records_to_another_thread() {
    // Without a runtime there is no other thread, and they end here.
    let here = time_of_a_reset();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let aside = {
        let _within = runtime.enter();
        time_of_a_reset()
    };
    assert!(4 * aside < here, "{aside:?} of {here:?}");
    assert!(aside <= COMMAND_MAX, "{aside:?}");
}

/// How long a reset of very many jobs keeps the loop.
fn time_of_a_reset() -> Duration {
    let mut engine = Engine::new(Policy {
        stored_bytes_max: usize::MAX,
        stored_bytes_per_owner: usize::MAX,
        ..Policy::default()
    });
    let board = Board::new(&engine, Feed::new(1, 0));
    let jobs = up_to(20_000, engine.policy().jobs_max);
    for n in 0..jobs {
        let mut create = external_job();
        create.idempotency_key = (n < IDEMPOTENCY_KEYS_MAX).then(|| format!("key {n}"));
        carry_out(&mut engine, &board, &create);
    }
    assert_eq!((engine.jobs().len(), board.len()), (jobs, jobs));
    let reset = Reset {
        defaults: Defaults::default(),
        seed: None,
        default_job: None,
    };
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let begun = worked();
    engine
        .carry_out(&reset, START, &mut entries, &mut effects)
        .unwrap();
    board.publish(&effects);
    drop(effects);
    drop(engine.take_dirty_names());
    let took = worked() - begun;
    assert_eq!((engine.jobs().iter().count(), board.len()), (0, 0));
    took
}

/// Does what is due at once, a step at a time, each within its time.
fn settle(engine: &mut Engine, board: &Board) {
    pass(engine, board, START, 1);
}

/// Does what is due by then, at most that many entries at a time, and gives how many times it took. Each is within its
/// time.
fn pass(engine: &mut Engine, board: &Board, now: Timestamp, limit: usize) -> usize {
    let mut passes = 0;
    while engine.next_due().is_some_and(|due| due <= now) {
        let (mut entries, mut effects) = (Vec::new(), Vec::new());
        let begun = worked();
        engine.fire(now, limit, &mut entries, &mut effects);
        engine.dispatch(now, &mut effects);
        board.publish(&effects);
        let took = worked() - begun;
        assert!(
            took <= COMMAND_MAX,
            "{took:?} for {} entries",
            entries.len()
        );
        passes += 1;
    }
    passes
}

/// That many, or with `ABIDE_LIMITS=full` as many as the limit allows.
fn up_to(few: usize, limit: usize) -> usize {
    match std::env::var_os("ABIDE_LIMITS") {
        Some(_) => limit,
        None => few,
    }
}

/// A start checks them, and so does each change of their file, while the server answers.
#[test]
fn thousands_of_keys_are_checked_in_a_moment() {
    const KEYS: usize = 20_000;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("keys");
    let lines = (0..KEYS).map(|n| format!("owner-{n}:user:secret-of-owner-{n}-0123456789\n"));
    std::fs::write(&path, lines.collect::<String>()).unwrap();
    let layers = Layers::default().flag("api-key-file", path.to_str().unwrap());
    let begun = worked();
    let keys = layers.resolve().unwrap().config.api_keys;
    let took = worked() - begun;
    assert_eq!(keys.len(), KEYS);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_among_thousands_is_found_as_quickly_as_one_alone() {
    let mut took = Vec::new();
    for keys in [1, 20_000] {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys");
        let lines = (0..keys).map(|n| format!("owner-{n}:user:secret-of-owner-{n}-0123456789\n"));
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        let flags = [
            ("api-key-file", path.to_str().unwrap()),
            ("rate-limit", "off"),
        ];
        let house = House::with(&flags).await;
        let key = format!("Bearer secret-of-owner-{}-0123456789", keys - 1);
        let house = house.with_header("authorization", &key);
        let begun = worked();
        for _ in 0..300 {
            assert_eq!(house.get("/v1/jobs").await.status, 200);
        }
        took.push(worked() - begun);
    }
    assert!(took[1] < 3 * took[0], "{took:?}");
}

fn ended_job(key: Option<String>) -> Create {
    Create {
        new: NewJob {
            simulate: Some(Simulate {
                duration: Some(DurationLaw::Fixed(Span::new(Duration::from_secs(60)))),
                ..Simulate::default()
            }),
            ..NewJob::default()
        },
        idempotency_key: key,
        ..external_job()
    }
}

/// Jobs that end at one instant, each told to as many endpoints as there may be, and whose records and idempotency keys
/// go at one instant too.
#[test]
fn each_pass_over_very_many_deadlines_is_short() {
    // Both at once would be a hundred million deliveries, of which the server keeps as many as one of them brings.
    each_pass_is_short(up_to(200, IDEMPOTENCY_KEYS_MAX + 1_000), 5);
    each_pass_is_short(up_to(100, 500), up_to(50, ENDPOINTS_PER_OWNER_MAX));
}

fn each_pass_is_short(jobs: usize, endpoints: usize) {
    let mut engine = Engine::new(Policy::default());
    let board = Board::new(&engine, Feed::new(1, 0));
    for n in 0..jobs {
        carry_out(&mut engine, &board, &ended_job(Some(format!("key {n}"))));
    }
    for n in 0..endpoints {
        let new = CreateEndpoint {
            owner: Owner::ANYONE,
            url: format!("http://receiver.example/{n}"),
            events: Some(vec!["job.*".to_owned()]),
            secret: None,
            description: None,
            ordered: n % 2 == 0,
            rendering: None,
            kinds: None,
        };
        carry_out(&mut engine, &board, &new);
    }
    // As many as the loop takes at a time.
    const ENTRIES: usize = 1_024;
    let ends = pass(
        &mut engine,
        &board,
        START + Duration::from_secs(3_600),
        ENTRIES,
    );
    assert!(ends > jobs * endpoints / (2 * ENTRIES), "{ends}");
    let is_over = |job: &Arc<Job>| job.finished_at.is_some();
    assert_eq!(
        engine.jobs().iter().filter(|job| is_over(job)).count(),
        jobs
    );
    let later = START + Duration::from_secs(3 * 86_400);
    assert!(pass(&mut engine, &board, later, ENTRIES) > 0);
    assert_eq!(engine.jobs().iter().count(), 0);
}

/// A server with that many jobs, each with as much metadata as it may have.
async fn house_with_jobs(count: usize) -> House {
    let mut engine = Engine::new(Policy::default());
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let metadata = json!({"team": "x".repeat(limits::METADATA_BYTES_MAX - 20)});
    let metadata = Json::from(&metadata);
    for _ in 0..count {
        let mut create = external_job();
        create.new.metadata = Some(metadata.clone());
        let made = engine.carry_out(&create, START, &mut entries, &mut effects);
        made.unwrap();
    }
    let mut journal = MemoryJournal::new();
    let bytes: Vec<_> = entries.iter().map(abide_engine::Entry::encode).collect();
    journal.append(&bytes).unwrap();
    let clock = Clock::running(START, NonZeroU32::MIN);
    House::open(&[], clock, Box::new(journal)).await
}

/// Answers the request poll by poll, each within its time, and says how many polls it took.
async fn ask(house: &House, path: &str) -> (Answer, usize) {
    poll_by_poll(house, Request::get(path).body(Body::Empty).unwrap()).await
}

async fn poll_by_poll(house: &House, request: Request<Body>) -> (Answer, usize) {
    let path = request.uri().to_string();
    let mut polls = 1;
    let begun = worked();
    let outcome = house.gate().answer(request);
    let took = worked() - begun;
    assert!(took <= READ_MAX, "{took:?} for {path}");
    let answer = match outcome {
        Outcome::Now(answer) => answer,
        outcome => {
            let mut answer = pin!(outcome.answer());
            std::future::poll_fn(|cx| {
                let begun = worked();
                let polled = answer.as_mut().poll(cx);
                let took = worked() - begun;
                assert!(took <= READ_MAX, "{took:?} for {path}");
                polls += 1;
                polled
            })
            .await
        }
    };
    (Answer::read(answer).await, polls)
}

/// A server whose one owner has used up what is bounded in number: jobs and their deliveries, endpoints, reads and
/// clients that are remembered.
async fn full_house() -> (House, Vec<String>) {
    let mut engine = Engine::new(Policy::default());
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let mut ids = Vec::new();
    let mut make_jobs = |engine: &mut Engine, entries: &mut Vec<_>, count: usize| {
        for _ in 0..count {
            let mut create = external_job();
            create.new.kind = Some(format!("kind {}", ids.len()));
            let made = engine.carry_out(&create, START, entries, &mut Vec::new());
            ids.push(made.unwrap().job.key.to_string());
        }
    };
    make_jobs(&mut engine, &mut entries, up_to(500, 19_500));
    for n in 0..up_to(100, ENDPOINTS_PER_OWNER_MAX) {
        let new = CreateEndpoint {
            owner: Owner::ANYONE,
            url: format!("http://receiver.example/{n}"),
            events: Some(vec!["job.*".to_owned()]),
            secret: None,
            description: Some("x".repeat(400)),
            ordered: false,
            rendering: None,
            kinds: None,
        };
        let made = engine.carry_out(&new, START, &mut entries, &mut effects);
        made.unwrap();
    }
    // As many deliveries as may wait come of fewer jobs than there may be.
    make_jobs(&mut engine, &mut entries, 500);
    ids.reverse();
    let mut journal = MemoryJournal::new();
    let bytes: Vec<_> = entries.iter().map(abide_engine::Entry::encode).collect();
    journal.append(&bytes).unwrap();
    let flags = [("rate-limit", "off"), ("requests-kept", "10000")];
    let clock = Clock::running(START, NonZeroU32::MIN);
    let house = House::open(&flags, clock, Box::new(journal)).await;
    for client in 0..40 {
        let agent = format!("client-{client}/1.0");
        let one = house.with_header("user-agent", &agent);
        for id in ids.iter().take(up_to(60, 5_000)) {
            assert_eq!(one.get(&format!("/v1/jobs/{id}")).await.status, 200);
        }
        for _ in 0..10 {
            one.get(&format!("/v1/jobs/{}", ids[0])).await;
        }
    }
    (house, ids)
}

#[tokio::test(start_paused = true)]
async fn each_poll_of_each_read_is_short_where_every_limit_is_used_up() {
    let (house, ids) = full_house().await;
    let hooks = house.get("/v1/webhooks").await.json();
    let hook = hooks["webhooks"][0]["id"].as_str().unwrap().to_owned();
    let listed = ids.iter().take(180).cloned().collect::<Vec<_>>().join(",");
    let first = &ids[0];
    for path in [
        "/v1/jobs?limit=1000",
        "/v1/jobs?limit=1000&kind=nobody",
        "/v1/jobs?limit=1000&status=completed",
        &format!("/v1/jobs?ids={listed}"),
        &format!("/v1/jobs/{first}/looks"),
        &format!("/v1/jobs/{first}/watchers"),
        &format!("/v1/jobs/{first}/deliveries"),
        "/v1/webhooks",
        &format!("/v1/webhooks/{hook}"),
        &format!("/v1/webhooks/{hook}/deliveries?limit=1000"),
        "/v1/report",
        "/v1/report?cost_ratio=2",
        "/v1/requests?limit=1000",
        "/v1/requests?job=nobody&limit=1000",
        "/metrics",
        "/openapi.json",
        "/v1/simulator/scenarios",
        "/status",
    ] {
        let (answer, _) = ask(&house, path).await;
        let is_known = [200, 422].contains(&answer.status);
        assert!(is_known, "{path}: {} {}", answer.status, answer.text);
        assert!(answer.status == 200 || path.contains('?'), "{path}");
    }
    let jobs = ids.iter().take(limits::SET_JOBS_MAX);
    let jobs: Vec<_> = jobs.map(|id| json!({"id": id, "after": 1})).collect();
    for wait in [0, 5] {
        let body = json!({"jobs": jobs, "wait": wait}).to_string();
        let request = Request::post("/v1/jobs/wait").header("content-type", "application/json");
        let request = request.body(Body::from(body)).unwrap();
        let (answer, _) = poll_by_poll(&house, request).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    for path in [
        "/v1/events?after=1-1".to_owned(),
        format!("/v1/jobs/{first}/events"),
    ] {
        let begun = worked();
        let request = Request::get(&path).body(Body::Empty).unwrap();
        let mut pieces = pin!(house.send(request).await.into_body().into_pieces());
        assert!(worked() - begun <= READ_MAX, "{path}");
        for _ in 0..200 {
            let begun = worked();
            let next = std::future::poll_fn(|cx| {
                Poll::Ready(futures_util::Stream::poll_next(pieces.as_mut(), cx))
            });
            let is_over = next.await.is_pending();
            let took = worked() - begun;
            assert!(took <= READ_MAX, "{took:?} for {path}");
            if is_over {
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_filter_over_many_jobs_gives_others_their_turn_and_ends_short() {
    let house = house_with_jobs(3_000).await;
    let (mut path, mut pages, mut polls) = ("/v1/jobs?metadata.nobody=x".to_owned(), 0, 0);
    loop {
        let (answer, polled) = ask(&house, &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["jobs"], json!([]));
        (pages, polls) = (pages + 1, polls + polled);
        match answer.json()["next_page_token"].as_str() {
            Some(token) => path = format!("/v1/jobs?metadata.nobody=x&page_token={token}"),
            None => break,
        }
    }
    // 12 MiB of metadata, 4 MiB a page, 256 KiB a poll.
    assert_eq!(pages, 3);
    assert!((40..60).contains(&polls), "{polls}");
}

#[tokio::test(start_paused = true)]
async fn a_page_and_a_set_have_4_mib_at_most_and_say_how_to_go_on() {
    let house = Arc::new(House::with(&[]).await);
    let input = "x".repeat(250 * 1024);
    let mut ids = Vec::new();
    for _ in 0..40 {
        let new = json!({"worker": "external", "input": input});
        let made = house.post("/v1/jobs", new).await.json();
        ids.insert(0, made["id"].as_str().unwrap().to_owned());
        house.pass(2).await;
    }
    let listed = ids.join(",");
    for path in ["/v1/jobs?limit=1000", &format!("/v1/jobs?ids={listed}")] {
        let (mut seen, mut next) = (Vec::new(), path.to_owned());
        loop {
            let (answer, _) = ask(&house, &next).await;
            assert!(answer.text.len() <= limits::ANSWER_BYTES_MAX, "{path}");
            let page = answer.json();
            let jobs = page["jobs"].as_array().unwrap();
            assert!(jobs.iter().all(|job| job["input"] == input));
            seen.extend(
                jobs.iter()
                    .map(|job| job["id"].as_str().unwrap().to_owned()),
            );
            let Some(token) = page["next_page_token"].as_str() else {
                break;
            };
            assert!(answer.header("link").contains(token));
            next = format!("{path}&page_token={token}");
        }
        assert_eq!(seen, ids, "{path}");
    }
    let mut left = ids.clone();
    let mut answers = 0;
    while !left.is_empty() {
        let jobs: Vec<_> = left.iter().map(|id| json!({"id": id})).collect();
        let answer = house.post("/v1/jobs/wait", json!({"jobs": jobs})).await;
        assert!(answer.text.len() <= limits::ANSWER_BYTES_MAX);
        let told = answer.json();
        let told: Vec<_> = told["jobs"].as_array().unwrap().iter().collect();
        assert!(!told.is_empty());
        left.retain(|id| told.iter().all(|job| job["id"] != **id));
        answers += 1;
    }
    assert_eq!(answers, 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_sends_a_piece_at_a_time_however_far_behind_it_is() {
    let house = House::with(&[]).await;
    let input = "x".repeat(50 * 1024);
    let new = json!({"worker": "external", "input": input});
    let made = house.post("/v1/jobs", new).await.json();
    let path = format!("/v1/jobs/{}", made["id"].as_str().unwrap());
    for percent in 0..20 {
        let report = json!({"progress": {"percent": percent}});
        assert_eq!(house.ask("PATCH", &path, Some(report)).await.status, 200);
    }
    for stream in [
        format!("{path}/events?after=1"),
        "/v1/events?after=1-1".to_owned(),
    ] {
        let request = Request::get(&stream).body(Body::Empty).unwrap();
        let mut pieces = house.send(request).await.into_body().into_pieces();
        for _ in 0..5 {
            let piece = futures_util::StreamExt::next(&mut pieces).await;
            let length = piece.unwrap().unwrap().len();
            assert!((1..=32 * 1024).contains(&length), "{stream}: {length}");
        }
    }
}
