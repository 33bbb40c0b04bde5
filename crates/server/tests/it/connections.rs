//! A connection answers as hyper alone does, whatever comes, in whatever pieces, although it leaves hyper whenever a
//! request waits.
//!
//! Each way has a house of its own, with the same seed and the same time, and gets the same connections in the same
//! order.

use std::convert::Infallible;
use std::time::Duration;

use abide_server::http::Gate;
use abide_server::http::answer::{Body, Broken};
use abide_server::net::connection;
use futures_util::StreamExt as _;
use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_util::sync::CancellationToken;

use crate::common::{House, START};

/// How a connection is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As it is.
    Ours,
    /// By hyper alone, from its beginning to its end.
    Hyper,
}

/// Serves a connection by hyper alone.
async fn hyper_alone(io: DuplexStream, gate: Gate) {
    let service = service_fn(move |request: Request<Incoming>| {
        let request = request.map(|body| {
            if body.is_end_stream() {
                return Body::Empty;
            }
            let pieces = body.into_data_stream();
            Body::stream(pieces.map(|piece| piece.map_err(|_| Broken)))
        });
        let outcome = gate.answer(request);
        async { Ok::<_, Infallible>(outcome.answer().await) }
    });
    let _ = http1::Builder::new()
        .half_close(true)
        .max_buf_size(8 * 1024)
        .auto_date_header(false)
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(60))
        .serve_connection(TokioIo::new(io), service)
        .await;
}

/// How a client sends its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Manner<'p> {
    /// In pieces of those lengths, over and over; all at once if there are none.
    pieces: &'p [usize],
    /// It ends its side when it has said all.
    is_half_closed: bool,
}

/// One after the other each of these connections; and what came back on each, until its end.
async fn play(way: Way, connections: &[Vec<u8>], manner: Manner<'_>) -> Vec<String> {
    let flags = [
        ("rate-limit", "40/min"),
        ("api-key", "alpha-alpha-alpha-alpha"),
    ];
    let house = House::with(&flags).await;
    let mut answers = Vec::new();
    for (n, bytes) in (1..).zip(connections) {
        // Whenever one ends, the next begins at the same time in every house.
        house
            .clock
            .sleep_until(START + Duration::from_secs(300 * n))
            .await;
        let (near, far) = duplex(1 << 20);
        let served = match way {
            Way::Ours => tokio::spawn(connection(far, house.gate(), CancellationToken::new())),
            Way::Hyper => tokio::spawn(hyper_alone(far, house.gate())),
        };
        let mut answer = exchange(near, bytes, manner).await;
        if manner.is_half_closed {
            // It is asked so whether it is still there.
            answer = answer.replace("HTTP/1.1 100 Continue\r\n\r\n", "");
        }
        answers.push(answer);
        served.await.unwrap();
    }
    answers
}

/// Writes the bytes in those pieces, over and over, and reads what comes back.
async fn exchange(mut near: DuplexStream, bytes: &[u8], manner: Manner<'_>) -> String {
    let pieces = manner.pieces;
    let mut rest = bytes;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    let mut lengths = pieces.iter().cycle();
    while !rest.is_empty() {
        let length = lengths
            .next()
            .copied()
            .unwrap_or(rest.len())
            .clamp(1, rest.len());
        // An end that was closed early says so when it is read.
        let _ = near.write_all(&rest[..length]).await;
        rest = &rest[length..];
        if !pieces.is_empty() {
            // Time for the other end to look at what is there.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    if manner.is_half_closed {
        let _ = near.shutdown().await;
    }
    let reading = async {
        loop {
            match near.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => answer.extend_from_slice(&buffer[..n]),
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(250), reading).await;
    assert!(ended.is_ok(), "a connection stays open");
    String::from_utf8(answer).unwrap()
}

/// Answers with the lines of each head in one order, chunks put together, and what is said to a head that can't be read
/// left out.
fn normal(answers: &str) -> String {
    let mut text = String::new();
    let mut rest = answers;
    while !rest.is_empty() {
        let Some((head, body)) = rest.split_once("\r\n\r\n") else {
            return text + "UNFINISHED " + rest;
        };
        rest = body;
        let mut lines: Vec<&str> = head.split("\r\n").collect();
        let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name));
        let mut body = String::new();
        if field("transfer-encoding: ").is_some() {
            while let Some((length, chunk)) = rest.split_once("\r\n") {
                let length = usize::from_str_radix(length, 16).unwrap();
                body += &chunk[..length];
                rest = &chunk[length + 2..];
                if length == 0 {
                    break;
                }
            }
        } else if let Some(length) = field("content-length: ") {
            let length: usize = length.parse().unwrap();
            let (whole, after) = rest.split_at(length.min(rest.len()));
            body += whole;
            rest = after;
        }
        if lines[0].starts_with("HTTP/1.1 4") && field("x-request-id: ").is_none() {
            // hyper says it in fewer words, and in the past.
            text += lines[0];
        } else {
            lines[1..].sort_unstable();
            text += &lines.join("\n");
            text += "\n\n";
            text += &body;
        }
        text.push('\n');
    }
    text
}

/// A request with the key, these further lines, and that body.
fn request(line: &str, fields: &str, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer alpha-alpha-alpha-alpha\r\n{fields}\r\n{body}"
    )
}

fn get(target: &str) -> String {
    request(&format!("GET {target}"), "", "")
}

fn post(target: &str, body: &str) -> String {
    let fields = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    request(&format!("POST {target}"), &fields, body)
}

/// A create with these further lines.
fn create(fields: &str, body: &str) -> String {
    let fields = format!(
        "content-type: application/json\r\ncontent-length: {}\r\n{fields}",
        body.len()
    );
    request("POST /v1/jobs", &fields, body)
}

/// The connection that makes the jobs which the others ask for, and the names of these.
async fn jobs() -> (Vec<u8>, [String; 2]) {
    let long = r#"{"simulate":{"duration":{"fixed":"20h"},"outcome":{"error_chance":0}}}"#;
    let short = r#"{"kind":"dubbing","input":{"a":[1,2]},"simulate":{"duration":{"fixed":"2s"},"outcome":{"error_chance":0}}}"#;
    let bytes = (post("/v1/jobs", long) + &post("/v1/jobs", short)).into_bytes();
    let made = play(Way::Hyper, std::slice::from_ref(&bytes), Manner::default()).await;
    let mut ids: Vec<String> = made[0]
        .split('"')
        .filter(|word| word.starts_with("job_"))
        .map(str::to_owned)
        .collect();
    ids.dedup();
    let [running, done] = ids.try_into().expect("two jobs were made");
    (bytes, [running, done])
}

/// Everything that a client may send, and some of what no client should.
fn table(running: &str, done: &str) -> Vec<Vec<u8>> {
    let r = format!("/v1/jobs/{running}");
    let d = format!("/v1/jobs/{done}");
    let line = format!("GET {r}");
    let with = |fields: &str| request(&line, fields, "");
    let texts = [
        // Reads as they should be.
        get(&r),
        get(&d),
        get(&format!("/status/{running}")),
        get(&format!("/status/{done}")),
        get(&format!("/status?job_id={done}")),
        get(&format!("/status?mode=short&job_id={running}")),
        get("/status"),
        get("/status"),
        with("if-none-match: \"1\"\r\n"),
        with("if-none-match: \"2\"\r\n"),
        with("if-none-match: W/\"2\", \"7\"\r\n"),
        with("if-none-match: *\r\n"),
        request(
            &format!("GET {d}"),
            "if-none-match: \"1\"\r\nIF-NONE-MATCH: \"3\"\r\n",
            "",
        ),
        with("x-request-id: mine-1\r\n"),
        with("x-request-id: not mine\r\n"),
        with("x-request-id: caf\u{e9}\r\n"),
        with("user-agent: tester/1 (caf\u{e9})\r\n"),
        // Held, until there is news, or there is none.
        get(&format!("{r}?wait=3")),
        get(&format!("{r}?wait=3&after=1")),
        get(&format!("{r}?wait=3&after=2")),
        get(&format!("{r}?wait=1&after=99")),
        get(&format!("{r}?wait=2&until=done&after=0")),
        get(&format!("{d}?wait=3")),
        with("prefer: wait=2\r\n"),
        with("prefer: respond-async, wait=1\r\nprefer: wait=4\r\nif-none-match: \"2\"\r\n"),
        get(&format!("/status?job_id={running}&mode=long")),
        get(&format!("/status/{done}?mode=long")),
        // Several on one connection, of every sort.
        get(&r) + &get(&d) + &get(&format!("/status/{done}")),
        get(&r) + &get("/healthz") + &get(&r) + &post("/v1/jobs", "{}") + &get(&d),
        get(&format!("{r}?wait=1")) + &get(&d),
        get(&d) + &with("connection: close\r\n") + &get(&d),
        with("connection: close\r\n") + "GARBAGE",
        get(&d) + "GARBAGE\r\n\r\n",
        get(&d) + "GET /v1/jobs/unfinished HT",
        format!("\r\n\r\n{}", get(&d)),
        // More than the limit allows, at once.
        get(&r).repeat(45),
        // Reads that fail.
        get("/v1/jobs/job_00000000000070008000000000000000"),
        get("/v1/jobs/nonsense"),
        get(&r.to_uppercase()),
        get(&format!("{r}/")),
        get(&format!("/{r}")),
        get(&format!("{r}%20")),
        get(&format!("{r}#fragment")),
        get(&format!("{r}?wiat=1")),
        get(&format!("{r}?wait=x")),
        get(&format!("{r}?wait=1&wait=2")),
        get(&format!("{r}?")),
        get(&format!("{r}?%zz")),
        get("/status?job_id="),
        get("/status/%2e"),
        get("/status?mode=odd"),
        format!("GET {r} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET {r} HTTP/1.1\r\nauthorization: Bearer beta-beta-beta-beta-beta\r\n\r\n"),
        format!(
            "GET {r} HTTP/1.1\r\nauthorization: Basic alpha\r\nauthorization: Bearer alpha-alpha-alpha-alpha\r\n\r\n"
        ),
        // Other requests.
        request(&format!("HEAD {r}"), "", ""),
        request(&format!("OPTIONS {r}"), "", ""),
        request("OPTIONS *", "", ""),
        request(&format!("PUT {r}"), "", ""),
        request(&format!("BREW {r}"), "", ""),
        request(&format!("DELETE {r}"), "", ""),
        request(&format!("POST {d}/cancel"), "content-length: 0\r\n", ""),
        request("POST /v1/jobs", "", ""),
        post("/v1/jobs", "{"),
        post("/v1/jobs", r#"{"kind":"a"}"#),
        request(
            "POST /v1/jobs",
            "content-type: text/plain\r\ncontent-length: 2\r\n",
            "{}",
        ),
        post("/jobs", r#"{"processing_duration":1,"should_error":true}"#),
        // Creates, as they should be and not.
        post("/v1/jobs", ""),
        post("/v1/jobs", "{}") + &post("/v1/jobs", r#" { "kind" : "a" } "#) + &get(&d),
        create("idempotency-key: k-1\r\n", r#"{"kind":"a"}"#)
            + &create("idempotency-key: \"k-1\"\r\n", r#"{"kind":"a"}"#)
            + &create("Idempotency-Key: k-1\r\n", r#"{"kind":"b"}"#),
        create("idempotency-key: k-1\r\n", r#"{"kind":"a"}"#),
        create("idempotency-key: \r\n", "{}"),
        create(&format!("idempotency-key: {}\r\n", "k".repeat(300)), "{}"),
        create("idempotency-key: caf\u{e9}\r\n", "{}"),
        create("x-request-id: mine-2\r\n", "{}"),
        create("x-forwarded-proto: https\r\n", "{}"),
        create("prefer: respond-async\r\n", "{}"),
        create(
            "prefer: wait=3\r\n",
            r#"{"simulate":{"duration":{"fixed":"1s"}}}"#,
        ),
        create(
            "prefer: wait=1\r\n",
            r#"{"simulate":{"duration":{"fixed":"1h"}}}"#,
        ),
        create(
            "prefer: respond-async, wait=2\r\n",
            r#"{"simulate":{"duration":{"fixed":"1s"}}}"#,
        ),
        create("connection: close\r\n", "{}") + &get(&d),
        create("", "{}") + "GARBAGE\r\n\r\n",
        create("sec-fetch-site: cross-site\r\n", "{}"),
        post(
            "/v1/jobs?wait=2",
            r#"{"simulate":{"duration":{"fixed":"1s"}}}"#,
        ),
        post("/v1/jobs?odd=1", "{}"),
        post("/v1/jobs?\"<>", "{}"),
        post(
            "/v1/jobs",
            r#"{"worker":"external","input":[1,{"b":null}],"metadata":{"c":"\u00e9 \ud83d\ude00"},"deadline_s":30}"#,
        ),
        post(
            "/v1/jobs",
            r#"{"simulate":{"duration":{"fixed":"0s"},"outcome":{"error_chance":1}}}"#,
        ),
        post(
            "/v1/jobs",
            r#"{"simulate":{"key":"k","stages":[{"name":"x","share":1}]}}"#,
        ),
        post(
            "/v1/jobs",
            r#"{"webhook":{"url":"http://127.0.0.1:9/hook"}}"#,
        ),
        post(
            "/v1/jobs",
            r#"{"webhook":{"url":"http://127.0.0.1:9/hook","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}"#,
        ),
        post("/v1/jobs", r#"{"webhook":{"url":"ftp://127.0.0.1/"}}"#),
        post("/v1/jobs", r#"{"webhook":{"url":"http://10.0.0.1/"}}"#),
        post("/v1/jobs", r#"{"kind":""}"#),
        post("/v1/jobs", r#"{"kind":"a","kind":"b"}"#),
        post("/v1/jobs", r#"{"knd":"a"}"#),
        post("/v1/jobs", r#"{"metadata":[]}"#),
        post("/v1/jobs", r#"{"worker":"external","simulate":{}}"#),
        post(
            "/v1/jobs",
            r#"{"simulate":{"duration":{"uniform":{"min":-1,"max":2}}}}"#,
        ),
        post("/v1/jobs", r#"{"simulate":{"outcome":{"error_chance":2}}}"#),
        post("/v1/jobs", r#"{"simulate":[]}"#),
        post("/v1/jobs", "[]"),
        post("/v1/jobs", "null"),
        post("/v1/jobs", "{} x"),
        post("/v1/jobs", "nonsense"),
        post("/v1/jobs", &"[".repeat(200)),
        request("POST /v1/jobs", "content-length: 2\r\n", "{}"),
        request(
            "POST /v1/jobs",
            "content-type: Application/X+JSON; charset=utf-8\r\ncontent-length: 2\r\n",
            "{}",
        ),
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(),
        "POST /v1/jobs HTTP/1.1\r\nauthorization: Bearer alpha-alpha-alpha-alpha\r\ncontent-length: 0\r\n\r\n"
            .to_owned(),
        "POST /v1/jobs HTTP/1.1\r\nauthorization: Bearer beta-beta-beta-beta-beta\r\ncontent-length: 0\r\n\r\n"
            .to_owned(),
        // More of them than the limit allows, at once.
        post("/v1/jobs", r#"{"kind":"many"}"#).repeat(45),
        post("/v1/jobs", r#"{"simulate":{"faults":[]}}"#),
        post(
            "/v1/jobs",
            &format!(r#"{{"input":"{}"}}"#, "x".repeat(40_000)),
        ),
        post(
            "/v1/jobs",
            &format!(r#"{{"input":"{}"}}"#, "x".repeat(300_000)),
        ),
        get("/"),
        get("/nothing"),
        get("/v1/jobs?limit=2"),
        get(&format!("{d}/events")),
        request(&format!("GET {d}/events"), "last-event-id: 4\r\n", ""),
        get(&format!("{d}/watchers")),
        // Other ways to say it.
        format!("GET {d} HTTP/1.0\r\nauthorization: Bearer alpha-alpha-alpha-alpha\r\n\r\n"),
        format!(
            "GET {d} HTTP/1.0\r\nauthorization: Bearer alpha-alpha-alpha-alpha\r\nconnection: keep-alive\r\n\r\n"
        ),
        request(&format!("GET http://x{d}"), "", ""),
        with("connection: Keep-Alive\r\n"),
        with("connection: keep-alive, te\r\n"),
        with("connection: upgrade\r\nupgrade: h2c\r\n"),
        with("content-length: 0\r\n"),
        with("content-length: 4\r\n") + "abcd",
        with("expect: 100-continue\r\n"),
        request(
            "POST /v1/jobs",
            "content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 2\r\n",
            "{}",
        ),
        request(
            "POST /v1/jobs",
            "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        // What a proxy might read in another way.
        request(
            "POST /v1/jobs",
            "content-length: 2\r\ncontent-length: 3\r\n",
            "{} ",
        ),
        request(
            "POST /v1/jobs",
            "content-length: 2\r\ncontent-length: 2\r\n",
            "{}",
        ),
        request("POST /v1/jobs", "content-length: 2, 2\r\n", "{}"),
        request("POST /v1/jobs", "content-length: +2\r\n", "{}"),
        request("POST /v1/jobs", "content-length: 0x2\r\n", "{}"),
        request("POST /v1/jobs", "content-length: -1\r\n", "{}"),
        request(
            "POST /v1/jobs",
            "content-length: 18446744073709551616\r\n",
            "{}",
        ),
        request(
            "POST /v1/jobs",
            "content-length: 2\r\ntransfer-encoding: chunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        request(
            "POST /v1/jobs",
            "transfer-encoding: chunked\r\ncontent-length: 2\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        request(
            "POST /v1/jobs",
            "transfer-encoding: chunked, gzip\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        request(
            "POST /v1/jobs",
            "transfer-encoding: gzip, chunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ) + &get(&r),
        request(
            "POST /v1/jobs",
            "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ) + &get(&r),
        request(
            "POST /v1/jobs",
            "transfer-encoding : chunked\r\n",
            "2\r\n{}\r\n0\r\n\r\n",
        ),
        request("GET /v1/jobs", " x: folded\r\n", ""),
        with("x: a\r\n b\r\n"),
        with("content-length\r\n"),
        with("x: a\nb: c\r\n"),
        with("x: a\rb\r\n"),
        with("x: a\0b\r\n"),
        with("\u{e9}: b\r\n"),
        with(": b\r\n"),
        // Too much of it.
        with(&"a: b\r\n".repeat(70)),
        with(&format!("a: {}\r\n", "x".repeat(7_000))),
        with(&format!("a: {}\r\n", "x".repeat(20_000))),
        get(&format!("{r}?{}", "x".repeat(9_000))),
        // Not it at all.
        String::new(),
        "\r\n".to_owned(),
        "GET".to_owned(),
        "GET / HTTP/1.1\r\nhost".to_owned(),
        "GET / HTTP/3.0\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\n\r\n".to_owned(),
        "get / HTTP/1.1\r\n\r\n".to_owned(),
        "GET /caf\u{e9} HTTP/1.1\r\n\r\n".to_owned(),
        "GET /\"<> HTTP/1.1\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned(),
        // A create that brings a fault along; from here on every request may meet one.
        post(
            "/v1/jobs",
            r#"{"simulate":{"f\u0061ults":[{"fault":"error","on":"create"}]}}"#,
        ) + &post("/v1/jobs", "{}"),
        post(
            "/v1/jobs",
            r#"{"simulate":{"faults":[{"fault":"truncate"}]}}"#,
        ),
    ];
    texts.map(String::into_bytes).to_vec()
}

async fn compare(connections: &[Vec<u8>], manner: Manner<'_>) {
    let expected = play(Way::Hyper, connections, manner).await;
    assert!(normal(&expected[0]).contains("202 Accepted"));
    let answers = play(Way::Ours, connections, manner).await;
    for ((bytes, answer), expected) in connections.iter().zip(&answers).zip(&expected) {
        let bytes = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
        assert_eq!(normal(answer), normal(expected), "{manner:?}: {bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_is_answered_as_by_hyper_alone() {
    let (make, [running, done]) = jobs().await;
    let mut connections = vec![make];
    connections.extend(table(&running, &done));
    for is_half_closed in [false, true] {
        let manner = Manner {
            pieces: &[],
            is_half_closed,
        };
        compare(&connections, manner).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn pieces_make_no_difference(
        pieces in prop::collection::vec(prop_oneof![1_usize..4, 1_usize..400], 1..12),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        is_half_closed in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (make, [running, done]) = jobs().await;
            let table = table(&running, &done);
            // Small ones only, because a piece may be a single byte.
            let small: Vec<_> = table.into_iter().filter(|bytes| bytes.len() < 1_500).collect();
            let mut connections = vec![make];
            connections.extend(chosen.iter().map(|index| index.get(&small).clone()));
            compare(&connections, Manner { pieces: &pieces, is_half_closed }).await;
        });
    }
}
