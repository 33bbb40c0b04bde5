//! What the simulator does to answers and streams, and that the same seed and the same clients give the same faults.

use std::time::Duration;

use abide_server::config::Layers;
use abide_server::http::answer::Body;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::running::Running;
use crate::common::{Answer, House};

#[expect(clippy::disallowed_methods, reason = "measures paused time")]
fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// What the simulator did, or nothing.
fn decision(answer: &Answer) -> &str {
    answer.header("sim-decision")
}

impl House {
    /// Creates a job of two seconds with those faults, and returns its path.
    async fn faulty(&self, faults: Value) -> String {
        let answer = self.post("/v1/jobs", two_seconds(&faults)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        format!("/v1/jobs/{}", answer.json()["id"].as_str().unwrap())
    }
}

fn two_seconds(faults: &Value) -> Value {
    json!({"simulate": {
        "duration": {"fixed": "2s"},
        "outcome": {"error_chance": 0},
        "stages": [{"name": "only", "share": 1}],
        "faults": faults,
    }})
}

#[tokio::test(start_paused = true)]
async fn the_first_two_reads_answer_503_and_the_third_is_true() {
    let house = House::with(&[]).await;
    let path = house
        .faulty(json!([{"fault": "error", "first": 2, "status": 503, "retry_after": "Wed, 21 Oct 2026 07:28:00 GMT"}]))
        .await;
    for _ in 0..2 {
        let answer = house.get(&path).await;
        assert_eq!((answer.status, decision(&answer)), (503, "error"));
        assert_eq!(answer.code(), "simulated");
        // Verbatim, whatever a client may make of it.
        assert_eq!(
            answer.header("retry-after"),
            "Wed, 21 Oct 2026 07:28:00 GMT"
        );
    }
    let answer = house.get(&path).await;
    assert_eq!((answer.status, decision(&answer)), (200, ""));
    // Others aren't met.
    let other = house.faulty(json!([])).await;
    assert_eq!(house.get(&other).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_late_or_stalls_by_the_time_of_connections() {
    let house = House::with(&[]).await;
    let path = house
        .faulty(json!([
            {"fault": "latency", "nth": [1]},
            {"fault": "latency", "nth": [2], "delay": "300ms"},
            {"fault": "stall", "nth": [3], "delay": "700ms"},
        ]))
        .await;
    for (wanted, late) in [
        ("latency", 1_000),
        ("latency", 300),
        ("stall", 700),
        ("", 0),
    ] {
        let before = now();
        let answer = house.get(&path).await;
        assert_eq!((answer.status, decision(&answer)), (200, wanted));
        let took = before.elapsed().as_millis();
        assert!(took >= late && took <= late + 2, "{wanted}: {took}");
        assert!(answer.json()["id"].is_string());
    }
}

#[tokio::test(start_paused = true)]
async fn reads_creates_and_other_requests_are_met_apart() {
    let house = House::with(&[]).await;
    let faults = json!([
        {"fault": "error", "on": "create", "status": 500},
        {"fault": "error", "on": "any", "status": 502, "nth": [2]},
    ]);
    let answer = house.post("/v1/jobs", two_seconds(&faults)).await;
    assert_eq!((answer.status, decision(&answer)), (500, "error"));
    // The job was made all the same.
    let jobs = house.get("/v1/jobs").await.json();
    let id = jobs["jobs"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/jobs/{id}");
    let statuses = async |method: &str, path: &str| {
        let mut statuses = Vec::new();
        for _ in 0..3 {
            statuses.push(house.ask(method, path, None).await.status);
        }
        statuses
    };
    assert_eq!(statuses("GET", &path).await, [200, 502, 200]);
    assert_eq!(
        statuses("POST", &format!("{path}/cancel")).await,
        [200, 502, 200]
    );
    assert_eq!(
        statuses("GET", &format!("{path}/watchers")).await,
        [200, 200, 200]
    );
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_tried_again_under_its_key_meets_its_first_fault_once() {
    let house = House::with(&[]).await;
    let house = house.with_header("idempotency-key", "k");
    let body = two_seconds(&json!([{"fault": "error", "on": "create", "first": 1}]));
    let first = house.post("/v1/jobs", body.clone()).await;
    assert_eq!(first.status, 503);
    let second = house.post("/v1/jobs", body).await;
    assert_eq!(
        (second.status, second.header("idempotent-replayed")),
        (202, "true")
    );
    assert_eq!(
        house.get("/v1/jobs").await.json()["jobs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_shows_the_job_before_its_end_for_a_while() {
    let house = House::with(&[]).await;
    let path = house
        .faulty(json!([{"fault": "stale", "delay": "500ms"}]))
        .await;
    house.pass(2_001).await;
    let stale = house.get(&path).await;
    assert_eq!(decision(&stale), "stale");
    let job = stale.json();
    assert_eq!(
        (&job["done"], &job["status"], &job["revision"]),
        (&json!(false), &json!("running"), &json!(2))
    );
    assert_eq!(
        (stale.header("etag"), stale.header("server-timing")),
        ("\"2\"", "")
    );
    assert_ne!(stale.header("retry-after"), "");
    let known = house.with_header("if-none-match", "\"2\"").get(&path).await;
    assert_eq!(
        (known.status, known.header("etag"), decision(&known)),
        (304, "\"2\"", "stale")
    );
    house.pass(500).await;
    let job = house.get(&path).await;
    assert_eq!((&job.json()["done"], decision(&job)), (&json!(true), ""));
}

#[tokio::test(start_paused = true)]
async fn a_status_that_nobody_knows_is_shown_while_the_job_runs() {
    let house = House::with(&[]).await;
    let path = house
        .faulty(json!([{"fault": "unknown_status", "every": 2, "word": "transcoding"}]))
        .await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let job = house.get(&path).await.json();
        assert_eq!(
            (&job["done"], &job["outcome"]),
            (&json!(false), &json!(null))
        );
        statuses.push(job["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        statuses,
        ["running", "transcoding", "running", "transcoding"]
    );
    house.pass(2_001).await;
    for _ in 0..2 {
        assert_eq!(house.get(&path).await.json()["status"], "completed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_may_appear_after_the_end() {
    let house = House::with(&[]).await;
    let path = house
        .faulty(json!([{"fault": "late_result", "delay": "500ms"}]))
        .await;
    house.pass(2_001).await;
    let early = house.get(&path).await;
    assert_eq!(decision(&early), "late_result");
    assert_eq!(
        (&early.json()["outcome"], &early.json()["result"]),
        (&json!("completed"), &json!(null))
    );
    assert_eq!(early.header("etag"), "", "there is more to this revision");
    house.pass(500).await;
    assert!(house.get(&path).await.json()["result"].is_object());
}

#[tokio::test(start_paused = true)]
async fn a_stuck_job_runs_until_somebody_ends_it() {
    let house = House::with(&[]).await;
    let path = house.faulty(json!([{"fault": "stuck"}])).await;
    house.pass(366 * 86_400_000).await;
    let job = house.get(&path).await.json();
    assert_eq!(job["status"], "running");
    let job = house
        .ask("POST", &format!("{path}/cancel"), None)
        .await
        .json();
    assert_eq!(job["outcome"], "canceled");
}

#[tokio::test(start_paused = true)]
async fn a_set_meets_what_meets_any_of_its_jobs() {
    let house = House::with(&[("rate-limit", "off")]).await;
    let good = house.job(10_000).await;
    let bad = house
        .faulty(json!([{"fault": "error", "first": 1}, {"fault": "unknown_status"}]))
        .await;
    let bad = bad.rsplit('/').next().unwrap();
    let wait = json!({"jobs": [{"id": good}, {"id": bad}, {"id": "nope"}], "wait": 0});
    // It is read as the handler reads it.
    let marked = Request::post("/v1/jobs/wait")
        .header("content-type", "application/json")
        .body(Body::from(format!("\u{feff}{wait}")));
    let answer = Answer::read(house.send(marked.unwrap()).await).await;
    assert_eq!((answer.status, decision(&answer)), (503, "error"));
    let answer = house.post("/v1/jobs/wait", wait).await;
    assert_eq!((answer.status, decision(&answer)), (200, "unknown_status"));
    let answer = answer.json();
    let status = |id: &str| {
        let jobs = answer["jobs"].as_array().unwrap();
        jobs.iter().find(|job| job["id"] == id).unwrap()["status"].clone()
    };
    assert_eq!(
        (status(&good), status(bad)),
        (json!("running"), json!("archiving"))
    );
    // Of a fault of every job a set of a hundred has no more than a read of one.
    let change = json!({"faults": [{"fault": "error", "chance": 0.1}]});
    house.ask("PATCH", "/v1/simulator", Some(change)).await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(json!({"id": house.job(10_000).await}));
    }
    let mut failed = 0;
    for _ in 0..200 {
        let wait = json!({"jobs": ids, "wait": 0});
        failed += u32::from(house.post("/v1/jobs/wait", wait).await.status == 503);
    }
    assert!((5..40).contains(&failed), "{failed}");
}

#[tokio::test(start_paused = true)]
async fn classic_answers_are_met_too() {
    let house = House::with(&[("default-job-delay", "2s"), ("error-chance", "0")]).await;
    let change = json!({"faults": [
        {"fault": "error", "nth": [1], "status": 429, "retry_after": "0"},
        {"fault": "unknown_status", "nth": [2]},
        {"fault": "stale", "nth": [4]},
    ]});
    assert_eq!(house.get("/status").await.json()["result"], "pending");
    house.ask("PATCH", "/v1/simulator", Some(change)).await;
    let limited = house.get("/status").await;
    assert_eq!(
        (
            limited.status,
            limited.header("retry-after"),
            decision(&limited)
        ),
        (429, "0", "error")
    );
    assert!(limited.json()["detail"].is_string());
    let odd = house.get("/status").await;
    assert_eq!(
        (&odd.json()["result"], &odd.json()["status"]),
        (&json!("archiving"), &json!("archiving"))
    );
    house.pass(2_001).await;
    let mut words = Vec::new();
    for _ in 0..3 {
        words.push(house.get("/status").await.json()["result"].clone());
    }
    assert_eq!(words, ["completed", "pending", "completed"]);
}

#[tokio::test(start_paused = true)]
async fn a_muted_stream_stays_open_and_says_nothing_until_the_server_ends() {
    let house = House::with(&[]).await;
    let path = house
        .faulty(json!([{"fault": "stream_mute", "first": 1}]))
        .await;
    let request = http::Request::get(format!("{path}/events"))
        .body(abide_server::http::answer::Body::Empty)
        .unwrap();
    let response = house.send(request).await;
    assert_eq!(response.headers()["sim-decision"], "stream_mute");
    let mut body = response.into_body();
    let mut text = Vec::new();
    let silence = async {
        while let Some(frame) = body.frame().await {
            text.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(3_600), silence).await;
    assert!(heard.is_err(), "it ended");
    let text = String::from_utf8(text).unwrap();
    assert!(!text.contains("job.completed"), "{text}");
    assert!(text.is_empty() || text.ends_with("\n\n"), "{text:?}");
    // It doesn't keep the server from ending.
    house.state.end_holds();
    assert!(body.frame().await.is_none());
    // The next one is whole.
    let house = House::with(&[]).await;
    let path = house
        .faulty(json!([{"fault": "stream_mute", "first": 1}]))
        .await;
    let _first = house.events(&format!("{path}/events")).await;
    let names: Vec<_> = house
        .events(&format!("{path}/events"))
        .await
        .rest()
        .await
        .into_iter()
        .map(|event| event.name)
        .collect();
    assert_eq!(names.last().unwrap(), "job.completed");
}

// On real sockets: what a client of HTTP/1.1 gets to see.

impl Running {
    async fn unlimited(flags: &[(&str, &str)]) -> Self {
        Self::ephemeral(Layers::default().flag("rate-limit", "off"), flags).await
    }

    /// Creates a job with those faults and returns its path.
    async fn faulty(&self, key: &str, faults: Value) -> String {
        let mut body = two_seconds(&faults);
        body["simulate"]["key"] = json!(key);
        body["simulate"]["duration"] = json!({"fixed": "30s"});
        let answer = self.ask("POST", "/v1/jobs", &body.to_string()).await;
        let at = answer.find("job_").expect(&answer);
        format!("/v1/jobs/{}", &answer[at..at + 36])
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_and_no_byte_comes_before_it() {
    let server = Running::unlimited(&[("default-job-start", "first-poll")]).await;
    let path = server
        .faulty("a", json!([{"fault": "reset", "first": 1}]))
        .await;
    let error = server.try_ask("GET", &path, "").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(
        server
            .ask("GET", &path, "")
            .await
            .starts_with("HTTP/1.1 200")
    );
    // A create that is reset has made a job.
    let body = two_seconds(&json!([{"fault": "reset", "on": "create"}])).to_string();
    let error = server.try_ask("POST", "/v1/jobs", &body).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let list = server.ask("GET", "/v1/jobs", "").await;
    assert_eq!(list.matches("\"revision\"").count(), 2);
    server.end().await;
}

#[tokio::test]
async fn a_truncated_body_is_half_of_what_its_head_promises() {
    let server = Running::unlimited(&[]).await;
    let path = server
        .faulty("a", json!([{"fault": "truncate", "first": 1}]))
        .await;
    let answer = server.ask("GET", &path, "").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("sim-decision: truncate"), "{head}");
    let promised = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    assert_eq!(body.len(), promised.parse::<usize>().unwrap() / 2);
    assert!(body.starts_with("{\"id\""));
    server.end().await;
}

#[tokio::test]
async fn a_stalled_body_has_a_head_at_once() {
    let server = Running::unlimited(&[]).await;
    let path = server
        .faulty("a", json!([{"fault": "stall", "delay": "1h"}]))
        .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
    }
    let head = String::from_utf8(bytes).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("sim-decision: stall"),
        "{head}"
    );
    // A stop doesn't wait for it.
    server.end().await;
}

#[tokio::test]
async fn a_cut_stream_breaks_off_within_an_event() {
    let server = Running::unlimited(&[]).await;
    let mut places = Vec::new();
    for n in 0..8 {
        let path = server
            .faulty(&n.to_string(), json!([{"fault": "stream_cut"}]))
            .await;
        let id = path.rsplit('/').next().unwrap().to_owned();
        let cancel = format!("{path}/cancel");
        let path = format!("{path}/events");
        // There are three events: it is created, it is started, it is canceled.
        let cut = server.ask("GET", &path, "");
        let end = async {
            loop {
                let watchers = server
                    .ask("GET", &format!("/v1/jobs/{id}/watchers"), "")
                    .await;
                if watchers.contains("stream") || watchers.contains("\"watchers\":[]") {
                    server.ask("POST", &cancel, "").await;
                    return;
                }
            }
        };
        let (answer, ()) = tokio::join!(cut, end);
        assert!(answer.contains("sim-decision: stream_cut"), "{answer}");
        // Neither is the last chunk there, nor the end of the last event.
        assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        let events = answer.matches("event: job.").count();
        let whole = answer.matches("}\n\n").count();
        assert_eq!(events, whole + 1, "{answer}");
        places.push(events);
    }
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > 1, "always cut in the same place: {places:?}");
    server.end().await;
}

/// What one client meets with one job: it creates it, reads it thirty times and cancels it twice.
async fn one_client(server: &Running, n: usize) -> Vec<String> {
    let body = json!({"simulate": {"key": format!("client {n}"), "duration": {"fixed": "1h"}, "faults": [{"fault": "error", "chance": 0.2, "on": "any", "status": 502}]}});
    let mut met = Vec::new();
    let answer = server.try_ask("POST", "/v1/jobs", &body.to_string()).await;
    met.push(what_was_met(&answer));
    let path = match answer {
        Ok(answer) if answer.contains("job_") => format!("/v1/jobs/{}", id_of(&answer)),
        _ => return met,
    };
    for _ in 0..30 {
        met.push(what_was_met(&server.try_ask("GET", &path, "").await));
    }
    for _ in 0..2 {
        met.push(what_was_met(
            &server.try_ask("POST", &format!("{path}/cancel"), "").await,
        ));
    }
    met
}

fn id_of(answer: &str) -> String {
    let at = answer.find("job_").unwrap();
    answer[at..at + 36].to_owned()
}

/// The status and the decision, or that the connection was reset.
fn what_was_met(answer: &Result<String, std::io::Error>) -> String {
    let Ok(answer) = answer else {
        return "reset".to_owned();
    };
    let status = answer.split(' ').nth(1).unwrap_or("cut");
    let decision = answer
        .lines()
        .find_map(|line| line.strip_prefix("sim-decision: "));
    format!("{status} {}", decision.unwrap_or("-"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_seed_and_the_same_clients_meet_the_same_faults_whatever_the_concurrency() {
    const CLIENTS: usize = 48;
    let mut runs = Vec::new();
    for (at_once, seed) in [(1, "7"), (4, "7"), (CLIENTS, "7"), (CLIENTS, "8")] {
        let server = Running::unlimited(&[("seed", seed), ("scenario", "flaky")]).await;
        let change = json!({"faults": [
            {"fault": "reset", "chance": 0.1},
            {"fault": "latency", "chance": 0.1, "delay": "1ms"},
            {"fault": "truncate", "every": 7},
            {"fault": "unknown_status", "chance": 0.3},
        ]});
        server
            .ask("PATCH", "/v1/simulator", &change.to_string())
            .await;
        let server = std::sync::Arc::new(server);
        let room = std::sync::Arc::new(tokio::sync::Semaphore::new(at_once));
        let clients = (0..CLIENTS).map(|n| {
            let (server, room) = (server.clone(), room.clone());
            tokio::spawn(async move {
                let _room = room.acquire().await.unwrap();
                one_client(&server, n).await
            })
        });
        let mut met = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            met.push(client.await.unwrap());
        }
        runs.push(met);
        std::sync::Arc::into_inner(server).unwrap().end().await;
    }
    assert_eq!(runs[0], runs[1]);
    assert_eq!(runs[0], runs[2]);
    assert_ne!(runs[0], runs[3], "another seed gives others");
    let all: Vec<&String> = runs[0].iter().flatten().collect();
    for kind in [
        "reset",
        "502 error",
        "200 latency",
        "truncate",
        "unknown_status",
    ] {
        let count = all.iter().filter(|met| met.contains(kind)).count();
        assert!(count > 10, "{kind}: {count} of {}", all.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_met_however_the_job_is_spelled() {
    let house = House::with(&[]).await;
    let path = house
        .faulty(json!([{"fault": "error", "status": 503}]))
        .await;
    let id = path.rsplit('/').next().unwrap();
    let odd = id.replacen('_', "%5F", 1);
    assert_ne!(id, odd);
    for path in [
        format!("/v1/jobs/{id}"),
        format!("/v1/jobs/{odd}"),
        format!("/status/{odd}"),
        format!("/status?job_id={id}"),
        format!("/status?job_id={odd}"),
        format!("/status?job%5Fid={id}"),
    ] {
        let answer = house.get(&path).await;
        assert_eq!((answer.status, decision(&answer)), (503, "error"), "{path}");
    }
}
