//! Event streams: of one job and of all.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abide_server::clock::Clock;
use abide_server::http::answer::Body;
use abide_server::journal::{Journal as _, MemoryJournal};
use abide_wire::Timestamp;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::common::{Event, House, START};

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

fn ids(events: &[Event]) -> Vec<u64> {
    let ids = events.iter().map(|event| event.id.parse());
    ids.collect::<Result<_, _>>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_a_job_from_its_beginning_to_its_end() {
    let house = House::with(&[("duration", "10s"), ("error-chance", "0")]).await;
    let job = house
        .post("/v1/jobs", json!({"input": "a\nb"}))
        .await
        .json();
    let path = format!("/v1/jobs/{}/events", job["id"].as_str().unwrap());
    let response = house
        .send(
            http::Request::get(&path)
                .body(abide_server::http::answer::Body::Empty)
                .unwrap(),
        )
        .await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("incremental", "?1"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    drop(response);
    let mut stream = house.events(&path).await;
    let greeting = stream.next().await.unwrap().unwrap_err();
    assert!(greeting.starts_with("retry: "), "{greeting}");
    let events = stream.rest().await;
    assert_eq!(
        names(&events),
        [
            "job.created",
            "job.started",
            "job.progress",
            "job.progress",
            "job.progress",
            "job.progress",
            "job.completed"
        ]
    );
    assert_eq!(ids(&events), (1..=7).collect::<Vec<_>>());
    for event in &events {
        assert_eq!(event.data["revision"].to_string(), event.id);
        assert_eq!(event.data["input"], "a\nb");
    }
    assert_eq!(events[0].data["status"], "pending");
    assert_eq!(events[6].data["outcome"], "completed");
    assert_eq!(house.clock.now().since(START).as_millis(), 10_000);

    // The end has been told: a browser that connects again is told to stay away.
    let again = house.with_header("last-event-id", "7").get(&path).await;
    assert_eq!((again.status, again.text.as_str()), (204, ""));
    assert!(house.state.streams.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stream_cut_anywhere_goes_on_where_it_was() {
    let house = House::with(&[("duration", "10s"), ("error-chance", "0")]).await;
    let id = house.ask("POST", "/v1/jobs", None).await.json()["id"].clone();
    let path = format!("/v1/jobs/{}/events", id.as_str().unwrap());
    house.pass(20_000).await;
    for cursor in 0..7_u64 {
        let header = house.with_header("last-event-id", &cursor.to_string());
        let events = header.events(&path).await.rest().await;
        assert_eq!(ids(&events), (cursor + 1..=7).collect::<Vec<_>>());
        let query = house
            .events(&format!("{path}?last_event_id={cursor}"))
            .await
            .rest()
            .await;
        assert_eq!(query, events);
    }
    // The feed or another server may have been further.
    let ahead = house
        .with_header("last-event-id", "99")
        .events(&path)
        .await
        .rest()
        .await;
    assert_eq!((names(&ahead), ids(&ahead)), (vec!["reset"], vec![7]));
    assert_eq!(ahead[0].data["done"], true);
    for wrong in ["x", "-1", "1.5"] {
        let answer = house.with_header("last-event-id", wrong).get(&path).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "invalid_member")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_a_reset_and_no_gap() {
    let house = House::with(&[]).await;
    let id = house
        .post("/v1/jobs", json!({"worker": "external"}))
        .await
        .json()["id"]
        .clone();
    let path = format!("/v1/jobs/{}", id.as_str().unwrap());
    let mut early = house.events(&format!("{path}/events")).await;
    assert_eq!(early.event().await.unwrap().name, "job.created");
    for n in 0..400 {
        let progress = json!({"progress": {"percent": f64::from(n) / 4.0}});
        assert_eq!(house.ask("PATCH", &path, Some(progress)).await.status, 200);
    }
    let reset = early.event().await.unwrap();
    assert_eq!((reset.name.as_str(), reset.id.as_str()), ("reset", "402"));
    assert_eq!(reset.data["revision"], 402);
    house.ask("PATCH", &path, Some(json!({"result": {}}))).await;
    let rest = early.rest().await;
    assert_eq!(
        (names(&rest), ids(&rest)),
        (vec!["job.completed"], vec![403])
    );

    let mut late = house.events(&format!("{path}/events?after=300")).await;
    assert_eq!(ids(&late.rest().await), (301..=403).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_shows_that_it_lives() {
    let house = House::with(&[]).await;
    let id = house.job(40_000).await;
    house.pass(1).await;
    let mut stream = house.events(&format!("/v1/jobs/{id}/events?after=2")).await;
    let begun = house.clock.now();
    let mut at = Vec::new();
    while let Some(said) = stream.next().await {
        let millis = house.clock.now().since(begun).as_millis();
        at.push((said.map_or_else(|said| said, |event| event.name), millis));
    }
    assert!(at[0].0.starts_with("retry: ") && at[0].1 == 0, "{at:?}");
    let rest: Vec<_> = at[1..]
        .iter()
        .map(|(said, at)| (said.as_str(), *at))
        .collect();
    let [first, second, third, end] = rest.as_slice() else {
        panic!("{rest:?}");
    };
    assert_eq!(*first, (":", 0));
    assert!(second.0 == ":" && (15_000..=15_002).contains(&second.1));
    assert!(third.0 == ":" && (30_000..=30_004).contains(&third.1));
    assert_eq!(end.0, "job.completed");
}

#[tokio::test(start_paused = true)]
async fn the_feed_tells_of_all_the_callers_jobs_and_of_no_others() {
    let house = House::with(&[
        ("api-key", "alpha-alpha-alpha-alpha"),
        ("api-key", "beta-beta-beta-beta-beta"),
    ])
    .await;
    let alpha = house.with_header("authorization", "Bearer alpha-alpha-alpha-alpha");
    let beta = house.with_header("authorization", "Bearer beta-beta-beta-beta-beta");
    let mut feed = alpha.events("/v1/events").await;
    let one = alpha.job(2_000).await;
    beta.job(2_000).await;
    let two = alpha.job(3_000).await;
    let mut events = Vec::new();
    while events.len() < 6 {
        events.push(feed.event().await.unwrap());
    }
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.name.as_str(), event.data["id"].as_str().unwrap()))
        .collect();
    assert_eq!(told.iter().filter(|(_, id)| *id == one).count(), 3);
    assert_eq!(told.iter().filter(|(_, id)| *id == two).count(), 3);
    assert_eq!(told[5], ("job.completed", two.as_str()));
    // From each place on, the same rest.
    for (n, event) in events.iter().enumerate() {
        let resumed = alpha.with_header("last-event-id", &event.id);
        let mut feed = resumed.events("/v1/events").await;
        for expected in &events[n + 1..] {
            assert_eq!(feed.event().await.unwrap(), *expected);
        }
    }
}

/// A log's places mean something in that log alone: another one that has come as far is told apart.
#[tokio::test(start_paused = true)]
async fn however_many_streams_have_news_at_once_others_have_their_turn() {
    const STREAMS: usize = 300;
    let house = House::with(&[("rate-limit", "off")]).await;
    let made = house.post("/v1/jobs", json!({"worker": "external"})).await;
    let job = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
    for path in ["/v1/events".to_owned(), format!("{job}/events?after=1")] {
        let told = Arc::<AtomicUsize>::default();
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            let request = http::Request::get(&path).body(Body::Empty).unwrap();
            let mut pieces = house.send(request).await.into_body().into_pieces();
            let told = told.clone();
            streams.spawn(async move {
                // The greeting, and then the news.
                pieces.next().await;
                pieces.next().await;
                told.fetch_add(1, Ordering::Relaxed);
            });
        }
        house.pass(100).await;
        assert_eq!(told.load(Ordering::Relaxed), 0);
        let report = json!({"progress": {"percent": 1}});
        assert_eq!(house.ask("PATCH", &job, Some(report)).await.status, 200);
        let (mut before, mut rounds) = (told.load(Ordering::Relaxed), 0);
        assert!(before < 40, "{before}");
        while before < STREAMS {
            tokio::task::yield_now().await;
            let now = told.load(Ordering::Relaxed);
            assert!(now - before <= 16, "{path}: {before}, then {now}");
            (before, rounds) = (now, rounds + 1);
            assert!(rounds < 10_000, "{path}: {now} of {STREAMS}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_event_goes_out_in_parts_so_that_others_have_their_turn_in_between() {
    let house = House::with(&[]).await;
    let input = "x".repeat(200_000);
    let new = json!({"worker": "external", "input": input});
    let feed = http::Request::get("/v1/events").body(Body::Empty).unwrap();
    let feed = house.send(feed).await;
    let made = house.post("/v1/jobs", new).await.json();
    let job = format!("/v1/jobs/{}/events", made["id"].as_str().unwrap());
    let job = http::Request::get(job).body(Body::Empty).unwrap();
    let job = house.send(job).await;
    for stream in [feed, job] {
        let mut pieces = stream.into_body().into_pieces();
        let mut text = Vec::new();
        while !text.ends_with(b"\n\n") || text.len() < input.len() {
            let piece = pieces.next().await.unwrap().unwrap();
            assert!(piece.len() <= 32 * 1024, "{}", piece.len());
            text.extend_from_slice(&piece);
        }
        let text = String::from_utf8(text).unwrap();
        let event = text.split_once("event: ").unwrap().1;
        let data = event.split_once("data: ").unwrap().1;
        let job: Value = serde_json::from_str(data).unwrap();
        assert_eq!(job["input"], input);
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_not_of_this_log_is_a_reset_and_never_silence() {
    let house = |life| {
        let clock = Clock::running(START, NonZeroU32::MIN);
        House::open(&[], clock, Box::new(MemoryJournal::forgetful(life)))
    };
    let (first, second) = (house(0xaaa).await, house(0xbbb).await);
    let mut feed = first.events("/v1/events").await;
    first.job(60_000).await;
    let old = feed.event().await.unwrap();
    for _ in 0..3 {
        second.job(60_000).await;
    }
    let number = old.id.strip_prefix("aaa-").unwrap();
    let (ahead, earlier) = ("bbb-999999", format!("bbb-{number}"));
    for place in [&old.id, number, ahead] {
        for query in [false, true] {
            let mut feed = if query {
                second.events(&format!("/v1/events?after={place}")).await
            } else {
                let resumed = second.with_header("last-event-id", place);
                resumed.events("/v1/events").await
            };
            let reset = feed.event().await.unwrap();
            assert_eq!(
                (reset.name.as_str(), &reset.data["snapshot"]),
                ("reset", &json!("/v1/jobs")),
                "{place}"
            );
            assert_eq!(reset.data["cursor"], reset.id);
            let next = second.job(60_000).await;
            let event = feed.event().await.unwrap();
            assert_eq!(
                (&event.data["id"], event.name.as_str()),
                (&json!(next), "job.created")
            );
        }
    }
    let resumed = second.with_header("last-event-id", &earlier);
    let mut feed = resumed.events("/v1/events").await;
    assert_ne!(
        feed.event().await.unwrap().name,
        "reset",
        "a place of its own"
    );
    for wrong in ["x", "aaa-", "-5"] {
        let answer = second
            .with_header("last-event-id", wrong)
            .get("/v1/events")
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "invalid_member")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_feed_goes_on_over_a_restart() {
    let disk = MemoryJournal::new();
    let start = |disk: &MemoryJournal| {
        let clock = Clock::running(START, NonZeroU32::MIN);
        House::open(&[("rate-limit", "off")], clock, Box::new(disk.clone()))
    };
    let house = start(&disk).await;
    let mut feed = house.events("/v1/events").await;
    house.job(1_000).await;
    house.job(60_000).await;
    let mut events = Vec::new();
    while events.len() < 5 {
        events.push(feed.event().await.unwrap());
    }
    // Killed: what a checkpoint doesn't have is told from the log.
    let killed = start(&disk.crashed_after(disk.last_seq()).unwrap()).await;
    for (n, event) in events.iter().enumerate() {
        let resumed = killed.with_header("last-event-id", &event.id);
        let mut feed = resumed.events("/v1/events").await;
        for expected in &events[n + 1..] {
            assert_eq!(feed.event().await.unwrap(), *expected);
        }
    }
    // Stopped: a checkpoint has everything, and the client that has everything too has missed nothing.
    let last = events.pop().unwrap();
    drop((feed, house));
    killed.pass(1_000).await;
    assert!(disk.crashed_after(0).is_none(), "there is a checkpoint");
    let stopped = start(&disk).await;
    let mut feed = stopped
        .with_header("last-event-id", &last.id)
        .events("/v1/events")
        .await;
    let next = stopped.job(1_000).await;
    assert_eq!(feed.event().await.unwrap().data["id"], json!(next));
}

#[tokio::test(start_paused = true)]
async fn when_the_server_goes_down_waits_answer_and_streams_end_one_by_one() {
    let house = House::with(&[("drain", "10s")]).await;
    let id = house.job(600_000).await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(house.events(&format!("/v1/jobs/{id}/events")).await);
    }
    let mut feed = house.events("/v1/events").await;
    let wait = format!("/v1/jobs/{id}?wait=60&after=2");
    let (answer, at) = {
        let waiting = async {
            let answer = house.get(&wait).await;
            (answer, house.clock.now())
        };
        let stop = async {
            house.pass(1_000).await;
            house.state.end_holds();
        };
        tokio::join!(waiting, stop).0
    };
    let stopped: Timestamp = house.clock.now();
    assert_eq!((answer.status, at), (200, stopped));
    assert_eq!(house.get("/readyz").await.code(), "shutting_down");
    assert_eq!(house.get("/healthz").await.status, 200);

    let clock = &house.clock;
    let ends = streams.into_iter().map(|mut stream| async move {
        stream.rest().await;
        clock.now().since(stopped).as_millis()
    });
    let mut ends = futures_util::future::join_all(ends).await;
    feed.rest().await;
    ends.sort_unstable();
    assert!(ends[49] <= 8_001, "{ends:?}");
    // Evenly over the time, not together.
    assert!(
        ends.windows(2).all(|pair| pair[1] - pair[0] < 600),
        "{ends:?}"
    );
}

/// Whatever byte the connection breaks at, the client that goes on from its last whole event has each revision once and
/// in order.
#[tokio::test(start_paused = true)]
async fn a_stream_cut_anywhere_in_its_bytes_loses_nothing_and_repeats_nothing() {
    let house = House::with(&[
        ("duration", "10s"),
        ("error-chance", "0"),
        ("rate-limit", "off"),
    ])
    .await;
    let id = house.ask("POST", "/v1/jobs", None).await.json()["id"].clone();
    let path = format!("/v1/jobs/{}/events", id.as_str().unwrap());
    house.pass(20_000).await;
    let whole = house.get(&path).await.text;
    // A prime, so that the cuts come by every place within an event.
    for cut in (0..whole.len()).step_by(17) {
        let text = &whole[..cut];
        // What ends with a blank line has been dispatched; the rest is dropped, as the standard has it.
        let end = text.rfind("\n\n").map_or(0, |at| at + 2);
        let mut events: Vec<Event> = text[..end].split("\n\n").filter_map(Event::parse).collect();
        let resumed = match events.last() {
            Some(last) => house.with_header("last-event-id", &last.id),
            None => house.with_header("x-test", "1"),
        };
        let rest = resumed.get(&path).await;
        events.extend(rest.text.split("\n\n").filter_map(Event::parse));
        assert_eq!(ids(&events), (1..=7).collect::<Vec<_>>(), "cut at {cut}");
    }
}
