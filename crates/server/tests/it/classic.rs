//! The clients of the five classic systems, each in its own dialect, byte for byte over a real socket.
//!
//! The server's clock is manual, and a client that would sleep has it advanced instead: what takes a minute there takes
//! no time here. Whatever a client looks at in an answer is looked at in the same way.

use std::time::Duration;

use abide_server::config::Layers;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::running::Running;

/// An answer, as a client of HTTP/1.1 takes it apart.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Running {
    /// Set up by the environment of the system whose place it takes.
    async fn with(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Self {
        let layers = environment
            .iter()
            .fold(Layers::default(), |layers, (name, value)| {
                layers.variable(*name, *value)
            });
        Self::ephemeral(layers.flag("clock", "manual"), flags).await
    }

    /// Sends those bytes on a connection of their own, `HOST` being where the server is, and reads one answer.
    async fn send(&self, bytes: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let bytes = bytes.replace("HOST", &self.address.to_string());
        stream.write_all(bytes.as_bytes()).await.unwrap();
        Answer::read(&mut stream).await
    }

    /// Lets that number of seconds pass.
    async fn sleep(&self, seconds: f64) {
        let body = json!({ "seconds": seconds }).to_string();
        let answer = self
            .send(&format!(
                "POST /v1/clock/advance HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

impl Answer {
    async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let head_end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "cut off");
        };
        let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Self {
            status,
            head,
            body: String::new(),
        };
        let length: usize = answer
            .header("content-length")
            .map_or(0, |text| text.parse().unwrap());
        while bytes.len() < head_end + 4 + length {
            assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "cut off");
        }
        answer.body = String::from_utf8(bytes[head_end + 4..].to_vec()).unwrap();
        answer
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap().to_owned()
    }
}

// What each client library puts around a request.

fn axios_get(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nAccept: application/json, text/plain, */*\r\nUser-Agent: axios/1.7.7\r\n\
         Accept-Encoding: gzip, compress, deflate, br\r\nHost: HOST\r\nConnection: keep-alive\r\n\r\n"
    )
}

fn axios_post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nAccept: application/json, text/plain, */*\r\nContent-Type: application/json\r\n\
         User-Agent: axios/1.7.7\r\nContent-Length: {}\r\nAccept-Encoding: gzip, compress, deflate, br\r\nHost: HOST\r\n\
         Connection: keep-alive\r\n\r\n{body}",
        body.len()
    )
}

fn node_fetch_get(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: HOST\r\nconnection: keep-alive\r\naccept: */*\r\naccept-language: *\r\n\
         sec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n\r\n"
    )
}

fn requests_get(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: HOST\r\nUser-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\n\
         Accept: */*\r\nConnection: keep-alive\r\n\r\n"
    )
}

/// No body and no content type.
fn requests_post(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: HOST\r\nUser-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate\r\n\
         Accept: */*\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"
    )
}

fn go_get(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: HOST\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n"
    )
}

// 000: jobs by query, short and long polling.

#[tokio::test]
async fn jobs_by_query_keep_their_contract() {
    let server = Running::with(&[], &[("rate-limit", "25/min")]).await;
    let create = |body: &str| axios_post("/jobs", body);

    let made = server
        .send(&create(
            r#"{"processing_duration":2.5,"should_error":false}"#,
        ))
        .await;
    assert!(matches!(made.status, 200 | 201), "{}", made.status);
    assert_eq!(made.text("status"), "pending");
    let id = made.text("job_id");
    let fails = server
        .send(&create(
            r#"{"processing_duration":2.5,"should_error":true}"#,
        ))
        .await
        .text("job_id");

    let short = axios_get(&format!("/status?job_id={id}&mode=short"));
    let answer = server.send(&short).await;
    assert_eq!(
        (answer.status, answer.text("result")),
        (200, "pending".to_owned())
    );
    for name in [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ] {
        let told: u32 = answer.header(name).unwrap().parse().unwrap();
        assert!(told <= 60, "{name}: {told}");
    }
    server.sleep(2.499).await;
    assert_eq!(server.send(&short).await.text("result"), "pending");
    server.sleep(0.001).await;
    assert_eq!(server.send(&short).await.text("result"), "completed");
    // The mode is short where nothing is said.
    let bare = axios_get(&format!("/status?job_id={fails}"));
    assert_eq!(server.send(&bare).await.text("result"), "error");

    let unknown = server.send(&axios_get("/status?job_id=nope")).await;
    assert_eq!(unknown.status, 404);
    assert!(!unknown.text("detail").is_empty());
    for (body, status) in [
        (r#"{"processing_duration":"long"}"#, 422),
        (r#"{"processing_duration":-1}"#, 422),
        (r#"{"processing_duration":1e300}"#, 422),
        (r#"{"should_error":"no"}"#, 422),
        ("[]", 422),
        ("{", 400),
    ] {
        let refused = server.send(&create(body)).await;
        assert_eq!(refused.status, status, "{body}");
        assert!(!refused.text("detail").is_empty(), "{body}");
    }

    // The limit is one client's and is kept by the machine's time, so what advanced the clock
    // doesn't count. It says when to come again.
    let mut allowed = 13;
    let limited = loop {
        let answer = server.send(&short).await;
        if answer.status != 200 {
            break answer;
        }
        allowed += 1;
    };
    // One comes back every two and a half seconds, which this may take on a busy machine.
    assert_eq!(limited.status, 429);
    assert!((25..=27).contains(&allowed), "{allowed}");
    let seconds: u32 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(limited.header("x-ratelimit-limit"), Some("25"));
    assert_eq!(limited.header("x-ratelimit-remaining"), Some("0"));
    assert!(!limited.text("detail").is_empty());
    server.end().await;
}

#[tokio::test]
async fn a_request_that_says_wrongly_where_it_goes_is_refused() {
    let server = Running::with(&[], &[]).await;
    for (fields, status) in [
        ("Host: HOST\r\n", 200),
        ("", 400),
        ("Host: HOST\r\nHost: HOST\r\n", 400),
        ("Host: a b\r\n", 400),
        ("Host: evil.example\r\n", 421),
    ] {
        let answer = server
            .send(&format!("GET /status HTTP/1.1\r\n{fields}\r\n"))
            .await;
        assert_eq!(answer.status, status, "{fields:?}");
    }
    assert_eq!(
        server.send("GET /status HTTP/1.0\r\n\r\n").await.status,
        200
    );
    server.end().await;
}

#[tokio::test]
async fn a_long_poll_by_query_ends_with_the_job_or_after_five_seconds() {
    let server = Running::with(&[], &[]).await;
    let body = r#"{"processing_duration":7,"should_error":false}"#;
    let id = server.send(&axios_post("/jobs", body)).await.text("job_id");
    let long = axios_get(&format!("/status?job_id={id}&mode=long"));

    let held = server.send(&long);
    let pass = async {
        waiting(&server, &id).await;
        server.sleep(4.0).await;
        waiting(&server, &id).await;
        server.sleep(1.0).await;
    };
    let (answer, ()) = tokio::join!(held, pass);
    assert_eq!(answer.text("result"), "pending", "five seconds are over");

    let held = server.send(&long);
    let pass = async {
        waiting(&server, &id).await;
        server.sleep(2.0).await;
    };
    let (answer, ()) = tokio::join!(held, pass);
    assert_eq!(answer.text("result"), "completed");
    server.end().await;
}

/// Returns once a client waits for that job.
async fn waiting(server: &Running, id: &str) {
    loop {
        let answer = server
            .send(&go_get(&format!("/v1/jobs/{id}/watchers")))
            .await;
        if !answer.json()["watchers"].as_array().unwrap().is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// `awaitCompletion(jobId, {mode: 'short', timeoutMs: 30000, pollIntervalMs: 1000})`, as its README has it.
#[tokio::test]
async fn the_usage_of_jobs_by_query_is_replayed() {
    let server = Running::with(&[], &[]).await;
    for (should_error, expected) in [(false, "completed"), (true, "error")] {
        let body = format!(r#"{{"processing_duration":5.0,"should_error":{should_error}}}"#);
        let id = server
            .send(&axios_post("/jobs", &body))
            .await
            .text("job_id");
        let path = format!("/status?job_id={id}&mode=short");
        let mut waited = 0.0;
        let result = loop {
            assert!(waited <= 30.0, "timed out");
            let answer = server.send(&axios_get(&path)).await;
            assert_eq!(answer.status, 200);
            match answer.text("result").as_str() {
                "pending" => {
                    server.sleep(1.0).await;
                    waited += 1.0;
                }
                other => break other.to_owned(),
            }
        };
        assert_eq!((result.as_str(), waited), (expected, 5.0));
    }
    server.end().await;
}

// 001: one job; `PORT` and `STATUS_DELAY`, also from a `.env` file.

#[tokio::test]
async fn one_job_with_a_delay_in_milliseconds_keeps_its_contract() {
    let layers = Layers::default().dotenv(".env", "PORT=3000\nSTATUS_DELAY=5000\n");
    let config = layers.resolve().unwrap().config;
    assert_eq!(config.listen.main.port(), 3000);
    assert_eq!(
        config.default_job_delay,
        Some(abide_wire::DurationLaw::Fixed(
            Duration::from_secs(5).into()
        ))
    );

    let server = Running::with(&[("STATUS_DELAY", "5000"), ("ERROR_CHANCE", "0")], &[]).await;
    // The job began with the server.
    server.sleep(4.999).await;
    let status = async || server.send(&node_fetch_get("/status")).await.json()["result"].clone();
    assert_eq!(status().await, "pending");
    server.sleep(0.001).await;
    assert_eq!(status().await, "completed");
    server.sleep(3_600.0).await;
    assert_eq!(status().await, "completed", "an end is an end");
    server.end().await;
}

/// `startMonitoring()` with `{pollingInterval: 2000, maxInterval: 30000, maxRetries: 5}`.
#[tokio::test]
async fn the_usage_of_one_job_is_replayed() {
    for (chance, expected) in [("0", "completed"), ("1", "error")] {
        let server =
            Running::with(&[("STATUS_DELAY", "5000"), ("ERROR_CHANCE", chance)], &[]).await;
        let (mut interval, mut updates) = (2.0_f64, Vec::new());
        for _ in 0..5 {
            let status = server.send(&node_fetch_get("/status")).await.text("result");
            updates.push(status.clone());
            if status != "pending" {
                break;
            }
            server.sleep(interval).await;
            interval = (interval * 2.0).min(30.0);
        }
        assert_eq!(updates, ["pending", "pending", expected]);
        server.end().await;
    }
}

// 002: one job that starts again.

#[tokio::test]
async fn one_job_that_resets_itself_keeps_its_contract() {
    let environment = [
        ("TOTAL_DELAY_SECONDS", "30"),
        ("ERROR_CHANCE", "0.1"),
        ("RESET_INTERVAL_SECONDS", "20"),
    ];
    let server = Running::with(&environment, &[("seed", "7")]).await;
    let status = async || server.send(&requests_get("/status")).await.text("result");
    let mut ends = Vec::new();
    for _ in 0..40 {
        assert_eq!(status().await, "pending");
        server.sleep(29.999).await;
        assert_eq!(status().await, "pending");
        server.sleep(0.001).await;
        let end = status().await;
        server.sleep(19.999).await;
        assert_eq!(status().await, end, "it never changes while it lasts");
        ends.push(end);
        server.sleep(0.001).await;
    }
    let errors = ends.iter().filter(|end| *end == "error").count();
    let completed = ends.iter().filter(|end| *end == "completed").count();
    assert_eq!(errors + completed, 40);
    assert!(
        (1..=12).contains(&errors),
        "{errors} of 40 at a chance of 0.1"
    );
    server.end().await;
}

/// `TOTAL_DELAY_SECONDS=20 ERROR_CHANCE=0.2 RESET_INTERVAL_SECONDS=15 python server.py`, then
/// `StatusClient(base_url).get_status(max_wait_time=60)`.
#[tokio::test]
async fn the_usage_of_one_job_that_resets_itself_is_replayed() {
    let environment = [
        ("TOTAL_DELAY_SECONDS", "20"),
        ("ERROR_CHANCE", "0.2"),
        ("RESET_INTERVAL_SECONDS", "15"),
    ];
    let server = Running::with(&environment, &[]).await;
    let (mut backoff, mut waited) = (1.0_f64, 0.0);
    let result = loop {
        assert!(waited < 60.0, "timeout");
        let result = server.send(&requests_get("/status")).await.text("result");
        if result != "pending" {
            break result;
        }
        server.sleep(backoff).await;
        waited += backoff;
        backoff = (backoff * 2.0).min(15.0);
    };
    // 1, 2, 4, 8 and 15 s: the look at 30 s sees the job of the first 20 s, which is gone at 35 s.
    assert_eq!(waited, 30.0);
    assert!(matches!(result.as_str(), "completed" | "error"), "{result}");
    server.end().await;
}

// 003: jobs by path.

#[tokio::test]
async fn jobs_by_path_keep_their_contract() {
    let environment = [("MIN_DELAY", "10"), ("MAX_DELAY", "30")];
    let server = Running::with(&environment, &[("seed", "7"), ("rate-limit", "off")]).await;
    let mut ids = Vec::new();
    for _ in 0..200 {
        let made = server.send(&requests_post("/jobs")).await;
        assert!(made.status < 300, "{}", made.status);
        ids.push(made.text("job_id"));
    }
    let statuses = async || {
        let mut statuses = Vec::new();
        for id in &ids {
            let answer = server.send(&requests_get(&format!("/status/{id}"))).await;
            assert_eq!(answer.status, 200);
            statuses.push(answer.text("result"));
        }
        statuses
    };
    let pending = |statuses: &[String]| statuses.iter().filter(|it| *it == "pending").count();
    server.sleep(9.999).await;
    assert_eq!(pending(&statuses().await), 200);
    server.sleep(10.0).await;
    let half = pending(&statuses().await);
    assert!((60..=140).contains(&half), "{half} after half of the time");
    server.sleep(10.001).await;
    let ends = statuses().await;
    assert_eq!(pending(&ends), 0);
    let errors = ends.iter().filter(|end| *end == "error").count();
    assert!(
        (1..=30).contains(&errors),
        "{errors} of 200 at a chance of 0.05"
    );
    assert_eq!(statuses().await, ends, "an outcome is drawn once");
    let unknown = server
        .send(&requests_get(
            "/status/123e4567-e89b-12d3-a456-426614174000",
        ))
        .await;
    assert_eq!(unknown.status, 404);
    assert!(!unknown.text("detail").is_empty());
    server.end().await;
}

/// `job_id = client.create_job()`, then `client.wait_for_completion(job_id, timeout=60)` with intervals of 1 s, growing
/// by 1.5 up to 30 s.
#[tokio::test]
async fn the_usage_of_jobs_by_path_is_replayed() {
    let server = Running::with(&[("ERROR_CHANCE", "0")], &[]).await;
    let id = server.send(&requests_post("/jobs")).await.text("job_id");
    let (mut interval, mut waited) = (1.0_f64, 0.0);
    let result = loop {
        assert!(waited < 60.0, "timed out");
        let answer = server.send(&requests_get(&format!("/status/{id}"))).await;
        let result = answer.text("result");
        if result != "pending" {
            break result;
        }
        server.sleep(interval).await;
        waited += interval;
        interval = (interval * 1.5).min(30.0);
    };
    assert_eq!(result, "completed");
    assert!((10.0..=45.0).contains(&waited), "{waited}");
    server.end().await;
}

// 004: one job that starts with the first question; the word is under `status`.

#[tokio::test]
async fn one_job_that_starts_when_it_is_asked_for_keeps_its_contract() {
    let environment = [
        ("MIN_DELAY", "5"),
        ("MAX_DELAY", "15"),
        ("ERROR_CHANCE", "0"),
    ];
    let server = Running::with(&environment, &[("default-job-start", "first-poll")]).await;
    // However long nobody asks, nothing begins.
    server.sleep(3_600.0).await;
    let status = async || {
        let answer = server.send(&go_get("/status")).await;
        assert_eq!(answer.status, 200);
        answer.text("status")
    };
    assert_eq!(status().await, "pending");
    server.sleep(4.999).await;
    assert_eq!(status().await, "pending");
    server.sleep(10.001).await;
    assert_eq!(status().await, "completed");
    // Its decoder takes texts only.
    let answer = server.send(&go_get("/status")).await.json();
    assert!(answer.as_object().unwrap().values().all(Value::is_string));
    server.end().await;
}

/// The polling side of `StartClientWithWebhook()`: ten looks, 4 s apart, then 2 s, then 1 s.
#[tokio::test]
async fn the_usage_of_one_job_that_starts_when_it_is_asked_for_is_replayed() {
    let environment = [
        ("MIN_DELAY", "5"),
        ("MAX_DELAY", "15"),
        ("ERROR_CHANCE", "0"),
    ];
    let server = Running::with(&environment, &[("default-job-start", "first-poll")]).await;
    let mut result = String::new();
    for attempt in 0..10 {
        result = server.send(&go_get("/status")).await.text("status");
        if result == "completed" || result == "error" {
            break;
        }
        server
            .sleep(match attempt {
                0..=3 => 4.0,
                4..=6 => 2.0,
                _ => 1.0,
            })
            .await;
    }
    assert_eq!(result, "completed");
    server.end().await;
}

// What holds for all of them.

#[tokio::test]
async fn every_answer_has_what_any_of_the_clients_looks_for() {
    let server = Running::with(&[("ERROR_CHANCE", "1"), ("STATUS_DELAY", "1000")], &[]).await;
    let id = server.send(&requests_post("/jobs")).await.text("job_id");
    for word in ["pending", "error"] {
        for path in [
            "/status".to_owned(),
            format!("/status?job_id={id}"),
            format!("/status/{id}"),
        ] {
            let answer = server.send(&go_get(&path)).await;
            assert_eq!(answer.text("result"), word, "{path}");
            assert_eq!(answer.text("status"), word, "{path}");
            assert!(answer.text("job_id").starts_with("job_"), "{path}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
        server.sleep(31.0).await;
    }
    // The same job by the native route, with what the others can't say.
    let native = server.send(&go_get(&format!("/v1/jobs/{id}"))).await.json();
    assert_eq!(native["status"], "failed");
    server.end().await;
}

#[tokio::test]
async fn a_restart_starts_the_default_job_anew_unless_it_still_runs() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().to_str().unwrap();
    let start = async || {
        let flags = [("ephemeral", "false"), ("data", data)];
        Running::with(&[("STATUS_DELAY", "5000"), ("ERROR_CHANCE", "0")], &flags).await
    };
    let server = start().await;
    let first = server.send(&go_get("/status")).await.text("job_id");
    server.sleep(1.0).await;
    server.end().await;
    let server = start().await;
    let answer = server.send(&go_get("/status")).await;
    assert_eq!(answer.text("job_id"), first);
    server.sleep(4.0).await;
    let answer = server.send(&go_get("/status")).await;
    assert_eq!(answer.text("result"), "completed");
    server.end().await;
    let server = start().await;
    let answer = server.send(&go_get("/status")).await;
    assert_ne!(answer.text("job_id"), first);
    assert_eq!(answer.text("result"), "pending");
    server.end().await;
}
