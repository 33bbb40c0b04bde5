//! Limits in bytes: of what is stored, and of what is in flight.

use std::collections::BTreeSet;
use std::path::Path;

use abide_engine::jobs::REMOVED_MAX;
use abide_engine::jobs::create::BODIES_MAX;
use abide_engine::jobs::learn::FOLLOWED_MAX;
use abide_server::Config;
use abide_server::attendance::{JOBS_MAX, READS_PER_JOB_MAX};
use abide_server::board::{FEED_CHANGES_MAX, NAMES_MAX};
use abide_server::http::answer::{Body, Outcome};
use abide_server::http::limits::COUNTED_BYTES_MIN;
use futures_util::StreamExt as _;
use http::Request;
use serde_json::json;

use crate::common::{Answer, House};
use crate::house::{code, files};

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
async fn what_a_thousand_slow_readers_of_vendors_streams_were_sent_counts() {
    let house = House::with(&[]).await.with_header("authorization", "Key k");
    // The model comes back in each URL of a status.
    let path = format!("/dialects/fal/{}/m", "o".repeat(2_000));
    let body = json!({"prompt": "abide:duration=10s"});
    let made = house.post(&path, body).await.json();
    let id = made["request_id"].as_str().unwrap();
    let path = format!("{path}/requests/{id}/status/stream");
    let mut unread = Vec::new();
    for _ in 0..1_000 {
        let request = Request::get(&path).body(Body::Empty).unwrap();
        let mut pieces = house.send(request).await.into_body().into_pieces();
        unread.push((pieces.next().await.unwrap().unwrap(), pieces));
    }
    let sent: usize = unread.iter().map(|(piece, _)| piece.len()).sum();
    assert!(sent > 6_000_000, "{sent}");
    assert_eq!(house.state.inflight.len(), sent);
    drop(unread);
    assert!(house.state.inflight.is_empty());
    // How late its end was told is measured as that of any stream.
    let told = house.get(&path).await.text;
    assert!(told.contains("COMPLETED"), "{told}");
    let text = house.get("/metrics").await.text;
    assert_eq!(
        metric(
            &text,
            r#"abide_end_to_wake_seconds_count{channel="stream"}"#
        ),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_answer_finds_no_room_is_refused_before_it_is_made() {
    let flags = [("inflight-bytes-per-owner", "300KiB")];
    let house = House::with(&flags).await;
    let made = house.post("/v1/jobs", external(200_000)).await;
    let path = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
    let unread = house
        .send(Request::get(&path).body(Body::Empty).unwrap())
        .await;
    assert_eq!(house.get(&path).await.code(), "overloaded");
    let change = async || {
        let progress = r#"{"progress": {"percent": 5}}"#;
        let change = Request::patch(&path)
            .header("content-type", "application/json")
            .header("content-length", progress.len())
            .body(progress.into());
        Answer::read(house.send(change.unwrap()).await).await
    };
    let refused = change().await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "overloaded")
    );
    let canceled = house.ask("POST", &format!("{path}/cancel"), None).await;
    assert_eq!(canceled.code(), "overloaded");
    drop(unread);
    let read = house.get(&path).await.json();
    assert_eq!(
        (&read["revision"], &read["done"]),
        (&json!(1), &json!(false))
    );
    let changed = change().await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["progress"]["percent"], 5.0);
    assert!(house.state.inflight.is_empty());
}

/// Asks for that several times, one after the other and then all at once, and reads no answer: how many were answered
/// as they should be. All of it counts, and leaves room for others.
async fn unread(house: &House, limit: usize, request: impl Fn() -> Request<Body>) -> usize {
    let mut unread = Vec::new();
    for _ in 0..10 {
        unread.push(house.send(request()).await);
        assert!(house.state.inflight.len() <= limit);
    }
    let after_another = unread
        .iter()
        .filter(|answer| answer.status() == 200)
        .count();
    drop(unread);
    assert!(house.state.inflight.is_empty());
    let asked: Vec<_> = (0..10).map(|_| house.gate().answer(request())).collect();
    let answers = futures_util::future::join_all(asked.into_iter().map(Outcome::answer));
    let unread = answers.await;
    assert!(house.state.inflight.len() <= limit);
    let at_once = unread
        .iter()
        .filter(|answer| answer.status() == 200)
        .count();
    drop(unread);
    assert!(house.state.inflight.is_empty());
    after_another.min(at_once)
}

#[tokio::test(start_paused = true)]
async fn answers_to_changes_that_are_not_read_stay_within_the_limit() {
    const LIMIT: usize = 600 * 1024;
    let house = House::with(&[("inflight-bytes-per-owner", "600KiB")]).await;
    let create = || {
        let new = r#"{"worker":"external"}"#;
        let request = Request::post("/v1/jobs")
            .header("content-type", "application/json")
            .header("content-length", new.len())
            .header("idempotency-key", "k");
        request.body(Body::from(new)).unwrap()
    };
    let made = Answer::read(house.send(create()).await).await;
    let path = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
    let result = json!({"result": "x".repeat(200_000)});
    let ended = house.ask("PATCH", &path, Some(result)).await;
    assert_eq!(ended.status, 200, "{}", ended.text);
    // One that says what has been done already changes nothing, but is answered with all of the job.
    let cancel = || {
        let request = Request::post(format!("{path}/cancel"));
        request.body(Body::Empty).unwrap()
    };
    assert!((1..4).contains(&unread(&house, LIMIT, cancel).await));
    // So is a repeated create.
    assert!((1..4).contains(&unread(&house, LIMIT, create).await));
    // A set is answered with each name that is none.
    let set = || {
        let names = (0..80).map(|_| json!({"id": "x".repeat(2_000)}));
        let set = json!({"jobs": names.collect::<Vec<_>>(), "wait": 0}).to_string();
        let request = Request::post("/v1/jobs/wait")
            .header("content-type", "application/json")
            .header("content-length", set.len());
        request.body(Body::from(set)).unwrap()
    };
    assert!(unread(&house, LIMIT, set).await > 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_fault_spoils_counts_as_it_would_without() {
    let flags = [("inflight-bytes-per-owner", "300KiB")];
    for (fault, name) in [
        (json!([{"fault": "truncate"}]), "truncate"),
        (json!([{"fault": "stall", "delay": "1s"}]), "stall"),
    ] {
        let house = House::with(&flags).await;
        let new = json!({"input": "x".repeat(200_000), "simulate": {"duration": "300d", "faults": fault}});
        let made = house.post("/v1/jobs", new).await;
        assert_eq!(made.status, 202, "{}", made.text);
        let path = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
        let read = || Request::get(&path).body(Body::Empty).unwrap();
        let unread = house.send(read()).await;
        assert_eq!(unread.headers()["sim-decision"], name);
        assert!(house.state.inflight.len() > 200_000, "{name}");
        let refused = Answer::read(house.send(read()).await).await;
        assert_eq!(refused.code(), "overloaded", "{name}");
        drop(unread);
        assert!(house.state.inflight.is_empty(), "{name}");
    }
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

/// What is kept and bounded by number: what it is, by which limits of the source, and how many bytes it takes with all
/// of them used up, of that much memory.
fn kept(memory: usize) -> Vec<(&'static str, &'static str, usize)> {
    let config = Config::default();
    let connections = config.connections_max.get().min(memory / 4 / (15 * 1024));
    let deliveries = (memory / 16 / 4_096).min(400_000);
    vec![
        // Counted as they come, by what they take.
        (
            "records of jobs, endpoints and idempotency keys",
            "engine/jobs/job CHANGES_MAX, engine/delivery/endpoints ENDPOINTS_PER_OWNER_MAX, \
             engine/delivery/manage DESCRIPTION_CHARS_MAX, engine/jobs/create IDEMPOTENCY_KEYS_MAX, \
             wire/limits STAGES_MAX, wire/limits FAULTS_MAX, wire/limits EMPIRICAL_SAMPLES_MAX, \
             wire/limits MIXTURE_PARTS_MAX, wire/limits METADATA_MEMBERS_MAX, wire/limits METADATA_BYTES_MAX, \
             wire/limits IDEMPOTENCY_KEY_BYTES_MAX, wire/limits WORD_CHARS_MAX, wire/limits URL_BYTES_MAX, \
             wire/webhook SECRET_BYTES_MAX",
            memory / 4,
        ),
        (
            "requests, answers and streams",
            "wire/limits BODY_BYTES_MAX, wire/limits ANSWER_BYTES_MAX, server/config/memory UPLOAD_BYTES_MAX, \
             server/http/faults/body TRUNCATED_BYTES_MAX, server/http/faults/job ANSWER_BYTES_MAX, \
             server/net/park COPIED_BYTES_MAX, server/net/http2 SEND_BYTES_MAX, server/net/http2 PIECE_BYTES_MAX",
            memory / 16,
        ),
        (
            "names of vendors' clients for their jobs, beside records of 1 KiB and more",
            "server/board/names NAMES_MAX",
            memory / 4 / 1_024 * NAMES_MAX * 48,
        ),
        // Bounded in number. docs/performance.md has what a connection takes while hyper has it, and while it is held.
        (
            "connections that talk",
            "server/net/connection HEAD_BYTES_MAX, server/net/connection FIELDS_MAX, server/net/park AHEAD_BYTES_MAX, \
             server/http/head BYTES_MAX",
            // The last head comes with what was found about it.
            connections * (10_752 + 1_536),
        ),
        (
            "answers that aren't counted",
            "server/net/http2 STREAMS_MAX",
            connections * COUNTED_BYTES_MIN,
        ),
        (
            "held requests",
            "wire/limits SET_JOBS_MAX, wire/limits CLAIM_KINDS_MAX",
            config.waits_max.get() * 1_024,
        ),
        (
            "deliveries that wait, with all their attempts",
            "engine/delivery/queue OPEN_PER_ENDPOINT_MAX, engine/delivery/delivery ATTEMPTS_MAX",
            deliveries * 4_096,
        ),
        (
            "deliveries that are settled",
            "engine/delivery/queue SETTLED_MAX, engine/delivery/queue SETTLED_PER_ENDPOINT_MAX",
            50_000 * 4_096,
        ),
        (
            "answers of receivers",
            "engine/delivery/attempt ANSWER_BYTES_MAX, server/courier/answers STRETCH_MAX",
            64 << 20,
        ),
        (
            "commands that wait, beside their bodies",
            "server/driver/commands COMMANDS_MAX",
            8_192 * 4_096,
        ),
        (
            "places of the feed",
            "server/board/feed FEED_CHANGES_MAX",
            FEED_CHANGES_MAX * 64,
        ),
        (
            "names of removed jobs",
            "engine/jobs/table REMOVED_MAX",
            REMOVED_MAX * 2 * 96,
        ),
        (
            "bodies that were counted",
            "engine/jobs/create BODIES_MAX",
            BODIES_MAX * 64,
        ),
        (
            "durations that were learned",
            "engine/intern KINDS_MAX, engine/jobs/learn FOLLOWED_MAX",
            1_000 * FOLLOWED_MAX * 2 * 64,
        ),
        (
            "words and stages that jobs share",
            "engine/intern WORDS_MAX, engine/intern STAGES_MAX",
            1_000 * 400 + 8 * 50 * 400,
        ),
        (
            "lanes of receivers that nobody calls",
            "engine/delivery/lanes IDLE_LANES_MAX",
            10_000 * 1_024,
        ),
        (
            "reads on timelines",
            "server/attendance/timeline JOBS_MAX, server/attendance/timeline READS_PER_JOB_MAX, \
             server/attendance/client AGENT_BYTES_MAX",
            JOBS_MAX * READS_PER_JOB_MAX * 128,
        ),
        (
            "jobs that clients have seen",
            "server/attendance/client_report CLIENTS_MAX, server/attendance/client_report CLIENTS_PER_OWNER_MAX, \
             server/attendance/client_report SEEN_MAX, server/attendance/client_report LATE_MAX, \
             server/attendance/client_report CREATES_MAX",
            64 * (8_192 * 256 + 1_024 * 64 + 64 * 64),
        ),
        (
            "texts of jobs that are kept",
            "server/board/jobs TEXTS_MAX, server/board/text KEPT_BYTES_MAX, server/board/text REVISIONS_MAX",
            64 * 128 * 4_096,
        ),
        (
            "answers in other systems' words that are kept",
            "server/http/kept ANSWERS_MAX, server/http/kept BYTES_MAX",
            16 * 64 * 8_192,
        ),
        (
            "clients whose rates are kept",
            "server/http/limits CLIENTS_MAX",
            2 * 16 * 8_192 * 128,
        ),
        (
            "how often faults met a job",
            "server/http/ordinals JOBS_MAX",
            8_192 * 50 * 64,
        ),
        (
            "requests that are remembered",
            "server/requests TARGETS_BYTES_MAX",
            (4 << 20) + config.requests_kept * 512,
        ),
        (
            "names of receivers, and look-ups",
            "server/guard/names NAMES_MAX, server/guard/names LINGERING_MAX, server/guard/resolve ADDRESSES_MAX",
            4_096 * (16 * 32 + 256) + 320 * (64 << 10),
        ),
        (
            "exchanges with receivers",
            "server/courier/connect KEPT_MAX, server/courier/connect DIALS_MAX, server/courier/send ANSWER_BYTES_MAX, \
             server/courier/send HEAD_BYTES_MAX, server/courier/send HEADERS_MAX, \
             server/courier/send IDLE_PER_RECEIVER_MAX, wire/limits EVENT_BYTES_MAX",
            512 * (600_000 + 16_384),
        ),
        (
            "series of metrics",
            "server/metrics/count KNOWN_MAX",
            64 * 4_096,
        ),
    ]
}

/// Limits of one request, one answer or one step: nothing is kept that they bound.
const PASSING: &str = "server/attendance/grade INSTANTS_MAX, server/board/webhooks LOOKED_AT_MAX, \
    server/config/key SECRET_CHARS_MAX, server/config/key NAME_CHARS_MAX, \
    server/driver/aside READERS_MAX, server/driver/restore LOADS_MAX, server/driver/run BATCH_COMMANDS_MAX, \
    server/driver/run BATCH_DUE_MAX, server/driver/run BATCH_EFFECTS_MAX, server/http/call PARAMS_MAX, \
    server/http/form HEAD_BYTES_MAX, server/net/turn COPIED_BYTES_MAX, \
    server/http/call REQUEST_ID_BYTES_MAX, server/http/jobs/list LOOKED_AT_MAX, \
    server/http/jobs/list METADATA_LOOKED_AT_MAX, server/http/jobs/list METADATA_FILTERS_MAX, \
    server/http/json DEPTH_MAX, server/http/nodes CLIENTS_TOLD_MAX, server/http/paging PAGE_BYTES_MAX, \
    server/http/webhooks/deliveries ANSWER_IN_LISTS_MAX, \
    server/http/webhooks/deliveries OF_JOB_MAX, server/journal/shared_memory/doors READ_MAX, \
    server/journal/sqlite/backup TRIES_MAX, server/journal/sqlite/tidy PASSES_MAX, \
    server/net/http2 PENDING_RESETS_MAX, server/net/http2 ERROR_RESETS_MAX, server/net/park LINGER_BYTES_MAX, \
    server/scenario FILE_BYTES_MAX, engine/delivery/lanes BREAKER_GROWTH_MAX, engine/delivery/sweep SWEEP_MAX, \
    engine/jobs/learn HALVINGS_MAX, wire/limits PAGE_JOBS_MAX, wire/limits ATTEMPTS_MAX, wire/webhook ID_BYTES_MAX, \
    wire/webhook SIGNATURES_MAX, wire/webhook REPLAY_GROWTH_MAX";

/// The numbers in the source that are called a maximum, each with its file. Vendors' dialects have limits of one
/// answer, and the links of a cluster are between servers that trust each other.
fn limits_of_the_source() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for of in ["server", "engine", "wire"] {
        let source = crates.join(of).join("src");
        for path in files(&source) {
            let inside = path.strip_prefix(&source).unwrap().with_extension("");
            let name = format!("{of}/{}", inside.display());
            if ["/dialect/", "/cluster/", "/postgres/"]
                .iter()
                .any(|part| name.contains(part))
            {
                continue;
            }
            for line in code(&path).lines() {
                let Some((_, rest)) = line.split_once("const ") else {
                    continue;
                };
                let Some((limit, kind)) = rest.split_once(": ") else {
                    continue;
                };
                if limit.ends_with("_MAX")
                    && ["usize ", "u32 ", "u64 "]
                        .iter()
                        .any(|is| kind.starts_with(is))
                {
                    found.insert(format!("{name} {limit}"));
                }
            }
        }
    }
    found
}

/// A limit that is new in the source must say here what it takes.
#[test]
fn every_limit_of_the_source_is_counted() {
    let table = kept(8 << 30);
    let named = table.iter().map(|(_, limits, _)| *limits).chain([PASSING]);
    let counted: Vec<_> = named
        .flat_map(|limits| limits.split(", "))
        .map(|limit| limit.trim().to_owned())
        .collect();
    let once: BTreeSet<_> = counted.iter().cloned().collect();
    assert_eq!(once.len(), counted.len(), "one is named twice");
    let limits = limits_of_the_source();
    assert!(limits.len() > 80, "{limits:?}");
    let new: Vec<_> = limits.difference(&once).collect();
    let gone: Vec<_> = once.difference(&limits).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "new {new:?}, gone {gone:?}"
    );
}

/// What is counted takes its share of the memory, whatever the machine. What is bounded in number alone is multiplied
/// by its largest size, with every default, and all of it fits together. On a small machine no two of them reach it.
#[test]
fn all_limits_used_up_at_once_fit_into_8_gib() {
    let bytes = |memory| kept(memory).into_iter().map(|(_, _, bytes)| bytes);
    let all: usize = bytes(8 << 30).sum();
    assert!(all <= 8 << 30, "{} MiB of {:#?}", all >> 20, kept(8 << 30));
    let small = 2 << 30;
    let mut most: Vec<usize> = bytes(small).collect();
    most.sort_unstable();
    let two: usize = most.iter().rev().take(2).sum();
    assert!(
        two <= small * 3 / 4,
        "{} MiB of {:#?}",
        two >> 20,
        kept(small)
    );
}
