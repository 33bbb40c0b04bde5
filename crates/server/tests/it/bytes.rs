//! Limits in bytes: of what is stored, and of what is in flight.

use abide_engine::jobs::REMOVED_MAX;
use abide_engine::jobs::create::BODIES_MAX;
use abide_engine::jobs::learn::FOLLOWED_MAX;
use abide_server::Config;
use abide_server::attendance::{JOBS_MAX, READS_PER_JOB_MAX};
use abide_server::board::FEED_CHANGES_MAX;
use abide_server::http::answer::Body;
use abide_server::http::limits::COUNTED_BYTES_MIN;
use http::Request;
use serde_json::json;

use crate::common::{Answer, House};

fn external(bytes: usize) -> serde_json::Value {
    json!({"worker": "external", "input": "x".repeat(bytes)})
}

fn metric(text: &str, name: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_else(|| panic!("{name} in {text}"))
}

fn detail(answer: &Answer) -> String {
    answer.json()["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_has_limits_that_are_told_by_their_name() {
    let keys = "one:user:a-key-of-twenty-characters,two:user:another-key-of-twenty-characters,\
                three:admin:a-third-key-of-twenty-characters";
    let flags = [
        ("api-key", keys),
        ("stored-bytes-max", "500KiB"),
        ("stored-bytes-per-owner", "300KiB"),
    ];
    let house = House::with(&flags).await;
    let by = |key: &str| house.with_header("authorization", &format!("Bearer {key}"));
    let one = by("a-key-of-twenty-characters");
    let two = by("another-key-of-twenty-characters");
    let admin = by("a-third-key-of-twenty-characters");
    let made = one.post("/v1/jobs", external(200_000)).await;
    assert_eq!(made.status, 202, "{}", made.text);
    let refused = one.post("/v1/jobs", external(200_000)).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (507, "insufficient_storage")
    );
    assert!(detail(&refused).contains("--stored-bytes-per-owner"));
    assert_eq!(refused.header("retry-after"), "30");
    assert_eq!(refused.json()["retryable"], true);
    assert_eq!(two.post("/v1/jobs", external(250_000)).await.status, 202);
    let refused = admin.post("/v1/jobs", external(100_000)).await;
    assert!(
        detail(&refused).contains("--stored-bytes-max"),
        "{}",
        refused.text
    );

    let path = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
    let result = json!({"result": "x".repeat(150_000)});
    assert_eq!(one.ask("PATCH", &path, Some(result)).await.status, 507);
    let text = admin.get("/metrics").await.text;
    assert_eq!(metric(&text, "abide_stored_limit_bytes"), 500 * 1024);
    let stored = metric(&text, "abide_stored_bytes");
    assert!((450_000..460_000).contains(&stored), "{stored}");
    // What is removed makes room.
    assert_eq!(
        one.ask("POST", &format!("{path}/cancel"), None)
            .await
            .status,
        200
    );
    assert_eq!(one.ask("DELETE", &path, None).await.status, 204);
    assert_eq!(one.post("/v1/jobs", external(200_000)).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_not_read_count_until_they_are_gone() {
    let flags = [
        ("inflight-bytes-max", "12MiB"),
        ("inflight-bytes-per-owner", "8MiB"),
    ];
    let house = House::with(&flags).await;
    for _ in 0..20 {
        let made = house.post("/v1/jobs", external(250_000)).await;
        assert_eq!(made.status, 202);
    }
    let page = async |house: &House| {
        let request = Request::get("/v1/jobs?limit=1000").body(Body::Empty);
        house.send(request.unwrap()).await
    };
    let other = house.from("10.0.0.9");
    let unread = [page(&house).await, page(&house).await];
    assert!(unread.iter().all(|answer| answer.status() == 200));
    let refused = Answer::read(page(&house).await).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "overloaded")
    );
    assert!(detail(&refused).contains("--inflight-bytes-per-owner"));
    assert!(!refused.header("retry-after").is_empty());
    let of_other = page(&other).await;
    assert_eq!(of_other.status(), 200);
    let refused = Answer::read(page(&other).await).await;
    assert!(detail(&refused).contains("--inflight-bytes-max"));
    assert_eq!(other.get("/healthz").await.status, 200);
    let text = house.get("/metrics").await.text;
    assert_eq!(metric(&text, "abide_inflight_limit_bytes"), 12 << 20);
    assert!(metric(&text, "abide_inflight_bytes") > 11_000_000);
    drop(of_other);
    let unread = unread.map(Answer::read);
    for answer in unread {
        assert_eq!(answer.await.status, 200);
    }
    assert!(house.state.inflight.is_empty());
    // A job's own answer counts for as long as it is there too.
    let path = house.get("/v1/jobs?limit=1").await.json()["jobs"][0]["id"].clone();
    let path = format!("/v1/jobs/{}", path.as_str().unwrap());
    let answer = house
        .send(Request::get(&path).body(Body::Empty).unwrap())
        .await;
    assert!(house.state.inflight.len() > 250_000);
    drop(answer);
    assert!(house.state.inflight.is_empty());
    assert_eq!(page(&house).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_not_answered_as_refused() {
    let flags = [("inflight-bytes-per-owner", "300KiB")];
    let house = House::with(&flags).await;
    let made = house.post("/v1/jobs", external(200_000)).await;
    let path = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
    let unread = house
        .send(Request::get(&path).body(Body::Empty).unwrap())
        .await;
    assert_eq!(house.get(&path).await.code(), "overloaded");
    let progress = r#"{"progress": {"percent": 5}}"#;
    let change = Request::patch(&path)
        .header("content-type", "application/json")
        .header("content-length", progress.len())
        .body(progress.into());
    let changed = Answer::read(house.send(change.unwrap()).await).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["progress"]["percent"], 5.0);
    drop((unread, changed));
    assert!(house.state.inflight.is_empty());
}

#[tokio::test(start_paused = true)]
async fn bodies_and_sets_that_wait_count() {
    let flags = [("inflight-bytes-per-owner", "300KiB")];
    let house = House::with(&flags).await;
    let endless = || {
        let pieces = futures_util::stream::pending();
        let request = Request::post("/v1/jobs")
            .header("content-type", "application/json")
            .header("content-length", "200000");
        request.body(Body::stream(pieces)).unwrap()
    };
    let coming = house.gate().answer(endless());
    assert_eq!(house.state.inflight.len(), 200_000);
    let refused = Answer::read(house.send(endless()).await).await;
    assert_eq!(refused.code(), "overloaded");
    drop(coming);
    assert!(house.state.inflight.is_empty());

    let mut items = Vec::new();
    for _ in 0..100 {
        let made = house.post("/v1/jobs", json!({"worker": "external"})).await;
        items.push(json!({"id": made.json()["id"]}));
    }
    let after: Vec<_> = items
        .iter()
        .map(|item| json!({"id": item["id"], "after": 1}))
        .collect();
    let set = house.post("/v1/jobs/wait", json!({"jobs": after, "wait": 5}));
    let (answer, during) = tokio::join!(set, async {
        house.pass(1_000).await;
        house.state.inflight.len()
    });
    assert_eq!((answer.status, during), (200, 10_000));
    assert!(house.state.inflight.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_fault_keeps_waiting_is_a_held_request_and_held_no_longer() {
    let flags = [
        ("waits-per-client", "5"),
        ("waits-max", "10"),
        ("hold-max", "2s"),
    ];
    let house = House::with(&flags).await;
    for fault in ["latency", "stall"] {
        let faults = json!([{"fault": fault, "delay": "366d"}]);
        let simulate = json!({"duration": "300d", "faults": faults});
        let made = house.post("/v1/jobs", json!({"simulate": simulate})).await;
        let path = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
        let before = house.clock.now();
        let asked = (0..8).map(|_| house.get(&path));
        let (answers, held) = tokio::join!(futures_util::future::join_all(asked), async {
            house.pass(1_000).await;
            house.state.waits.len()
        });
        assert_eq!(held, 5, "{fault}");
        let took = house.clock.now().since(before);
        assert_eq!(took.as_secs(), 2, "{fault}");
        let count = |status| {
            answers
                .iter()
                .filter(|answer| answer.status == status)
                .count()
        };
        assert_eq!((count(200), count(503)), (5, 3), "{fault}");
        assert!(house.state.waits.is_empty());
    }
}

/// What is counted takes its share of the memory, whatever the machine. What is bounded in number alone is multiplied
/// by its largest size here, with every default, and both fit together.
#[test]
fn all_limits_used_up_at_once_fit_into_8_gib() {
    const MEMORY: usize = 8 << 30;
    const KINDS_MAX: usize = 1_000;
    let config = Config::default();
    let waits = config.waits_max.get();
    let connections = config.connections_max.get();
    let table = [
        ("records", MEMORY / 4, 1),
        ("requests, answers and streams", MEMORY / 16, 1),
        // Measured: docs/performance.md has what a connection takes while hyper has it, and while it is held.
        ("connections that talk", connections, 10_752),
        (
            "answers that aren't counted",
            connections,
            COUNTED_BYTES_MIN,
        ),
        ("held requests", waits, 1_024),
        ("commands that wait, beside their bodies", 8_192, 4_096),
        ("places of the feed", FEED_CHANGES_MAX, 64),
        ("names of removed jobs", REMOVED_MAX, 2 * 96),
        ("bodies that were counted", BODIES_MAX, 64),
        (
            "durations that were learned",
            KINDS_MAX * FOLLOWED_MAX,
            2 * 64,
        ),
        ("reads on timelines", JOBS_MAX * READS_PER_JOB_MAX, 128),
        ("jobs that clients have seen", 16 * 8_192, 256),
        ("texts of jobs that are kept", 64 * 128, 4_096),
        ("clients whose rates are kept", 16 * 8_192, 128),
        ("exchanges with receivers", 512, 600_000 + 16_384),
    ];
    let bytes: usize = table.iter().map(|(_, count, bytes)| count * bytes).sum();
    assert!(bytes <= MEMORY, "{} MiB of {table:#?}", bytes >> 20);
}
