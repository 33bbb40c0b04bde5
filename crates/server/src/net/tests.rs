//! Connections, over a pipe in memory and on paused time.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::{FIRST_WAIT, HEAD_BYTES_MAX, IDLE_WAIT};
use super::turn::{TICK, WRITE_WAIT};
use super::*;
use crate::http::answer::{Answer, Body, Outcome};

/// Answers by path: `/held` after 10 s, `/soon` too but without leaving hyper, `/large` at once and `/held-large` when
/// held, `/stream` with a piece every second, and everything else with the length of its body.
struct Fine;

const LARGE: usize = 1 << 20;

impl Answers for Fine {
    fn answer(&self, request: Request<Body>) -> Outcome {
        let text = |text: &str| Response::new(Body::from(text.to_owned()));
        let large = || Response::new(Body::from(vec![b'x'; LARGE]));
        let after = |answer: Answer| async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            answer
        };
        match request.uri().path() {
            "/held" => Outcome::Held(Box::pin(after(text("held, fine")))),
            "/soon" => {
                let answer = after(text("soon, fine"));
                Outcome::Soon(Box::pin(async { Outcome::Now(answer.await) }))
            }
            "/large" => Outcome::Now(large()),
            "/held-large" => Outcome::Held(Box::pin(std::future::ready(large()))),
            "/stream" => Outcome::Now(Response::new(Body::stream(futures_util::stream::unfold(
                0,
                |n| async move {
                    if n > 0 {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    (n < 100).then(|| (Ok(format!("{n};").into()), n + 1))
                },
            )))),
            _ => Outcome::Soon(Box::pin(async move {
                let answer = match request.into_body().collect(LARGE).await {
                    Ok(body) => format!("{} fine", body.len()),
                    Err(_) => "broken, fine".to_owned(),
                };
                Outcome::Now(Response::new(answer.into()))
            })),
        }
    }
}

/// A connection to such a server.
fn connect_by(room: usize, stop: &CancellationToken) -> (DuplexStream, JoinHandle<()>) {
    let (near, far) = duplex(room);
    (near, tokio::spawn(connection(far, Fine, stop.clone())))
}

fn connect() -> (DuplexStream, JoinHandle<()>) {
    connect_by(64 * 1024, &CancellationToken::new())
}

#[expect(clippy::disallowed_methods, reason = "measures paused time")]
fn now() -> Instant {
    Instant::now()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

async fn ask(near: &mut DuplexStream, request: &str) -> String {
    near.write_all(request.as_bytes()).await.unwrap();
    read(near).await
}

/// Reads until the end of an answer or of the connection.
async fn read(near: &mut DuplexStream) -> String {
    let mut text = Vec::new();
    let mut bytes = [0; 1024];
    while !text.ends_with(b"fine") {
        match near.read(&mut bytes).await.unwrap() {
            0 => break,
            n => text.extend_from_slice(&bytes[..n]),
        }
    }
    String::from_utf8(text).unwrap()
}

async fn read_all(near: &mut DuplexStream) -> String {
    let mut text = String::new();
    near.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_whole_is_cut() {
    for said in [
        "",
        "P",
        "PRI * HTT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP",
        "GET / HTTP/1.1\r\nhost: x\r\nslow",
    ] {
        let (mut near, task) = connect();
        let begun = now();
        near.write_all(said.as_bytes()).await.unwrap();
        task.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), FIRST_WAIT.as_secs(), "{said:?}");
    }
}

/// However slowly it comes: its time begins with its first byte, once.
#[tokio::test(start_paused = true)]
async fn a_head_that_comes_byte_by_byte_has_no_more_time() {
    let (mut near, task) = connect();
    ask(&mut near, &get("/")).await;
    let begun = now();
    while near.write_all(b"G").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    task.await.unwrap();
    let took = begun.elapsed().as_secs();
    assert!((9..=11).contains(&took), "{took}");
}

/// A server with more to do than it can gets to a connection long after its request has come.
#[tokio::test(start_paused = true)]
async fn a_request_that_came_in_time_is_answered_however_late_the_server_is() {
    for request in [
        get("/"),
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
    ] {
        let (mut near, far) = duplex(1024);
        let served = connection(far, Fine, CancellationToken::new());
        near.write_all(request.as_bytes()).await.unwrap();
        tokio::time::advance(2 * FIRST_WAIT).await;
        let _task = tokio::spawn(served);
        let answer = read(&mut near).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_and_an_answer_has_its_time() {
    for path in ["/held", "/soon"] {
        let (mut near, task) = connect();
        let begun = now();
        let answer = ask(&mut near, &get(path)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(begun.elapsed().as_secs(), 10);
        task.await.unwrap();
        let idle = begun.elapsed() - Duration::from_secs(10);
        assert!((IDLE_WAIT..=IDLE_WAIT + TICK).contains(&idle), "{idle:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_comes_back_after_a_pause() {
    let (mut near, _task) = connect();
    for _ in 0..5 {
        let answer = ask(&mut near, &get("/")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        tokio::time::sleep(5 * TICK).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_idle_connections_and_lets_requests_finish() {
    let stop = CancellationToken::new();
    let connect = || connect_by(1024, &stop);
    let (_silent, silent_task) = connect();
    let (mut half, half_task) = connect();
    half.write_all(b"GET / HT").await.unwrap();
    let (mut parked, parked_task) = connect();
    ask(&mut parked, &get("/held")).await;
    let (mut busy, busy_task) = connect();
    let (mut held, held_task) = connect();
    busy.write_all(get("/soon").as_bytes()).await.unwrap();
    let two = get("/held").repeat(2);
    held.write_all(two.as_bytes()).await.unwrap();
    let (mut idle, idle_task) = connect();
    ask(&mut idle, &get("/")).await;

    let stopped = now();
    stop.cancel();
    for task in [idle_task, silent_task, parked_task] {
        task.await.unwrap();
    }
    // It was cut before, for its head.
    half_task.await.unwrap();
    assert_eq!(stopped.elapsed(), Duration::ZERO);
    for (mut near, task) in [(busy, busy_task), (held, held_task)] {
        let answer = read_all(&mut near).await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        task.await.unwrap();
    }
    assert_eq!(stopped.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused_by_a_problem() {
    let large = "x".repeat(2 * HEAD_BYTES_MAX);
    for (request, status, code) in [
        (
            format!("GET / HTTP/1.1\r\nbig: {large}\r\n\r\n"),
            431,
            "too_large",
        ),
        ("nonsense\r\n\r\n".to_owned(), 400, "invalid_request"),
        (get("/held") + "nonsense\r\n\r\n", 400, "invalid_request"),
        (get("/large") + "nonsense\r\n\r\n", 400, "invalid_request"),
    ] {
        let (mut near, task) = connect();
        near.write_all(request.as_bytes()).await.unwrap();
        let answer = read_all(&mut near).await;
        let last = answer.rfind("HTTP/1.1 ").unwrap();
        let (head, body) = answer[last..].split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(head.contains("application/problem+json"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(body.contains(&format!(r#""code":"{code}""#)), "{body}");
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_ahead_keep_their_order() {
    let (mut near, _task) = connect();
    let begun = now();
    let post = "POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
    let all = get("/held") + &get("/") + &get("/soon") + post + &get("/held");
    near.write_all(all.as_bytes()).await.unwrap();
    let mut text = String::new();
    while text.matches("fine").count() < 5 {
        text += &read(&mut near).await;
    }
    let order: Vec<_> = ["held", "0 fine", "soon", "3 fine"]
        .iter()
        .map(|word| text.find(word).unwrap())
        .collect();
    assert!(order.is_sorted(), "{text}");
    assert!(text.rfind("held").unwrap() > order[3], "{text}");
    assert_eq!(begun.elapsed().as_secs(), 30);
}

/// More than is read ahead waits with the peer, and comes in its turn.
#[tokio::test(start_paused = true)]
async fn any_number_of_requests_may_come_ahead() {
    let (mut near, _task) = connect_by(1024, &CancellationToken::new());
    let count = 1_000;
    let all = get("/held") + &get("/").repeat(count);
    let (mut reader, mut writer) = tokio::io::split(&mut near);
    let write = async {
        writer.write_all(all.as_bytes()).await.unwrap();
    };
    let read = async {
        let (mut text, mut bytes) = (Vec::new(), [0; 4096]);
        let mut found = 0;
        while found < count {
            let n = reader.read(&mut bytes).await.unwrap();
            text.extend_from_slice(&bytes[..n]);
            found = String::from_utf8_lossy(&text).matches("0 fine").count();
        }
    };
    tokio::join!(write, read);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_gone_is_not_waited_for() {
    let silent = String::new();
    let ahead = get("/").repeat(2 * HEAD_BYTES_MAX / get("/").len());
    for (path, more, within) in [
        ("/held", &silent, Duration::ZERO),
        ("/stream", &silent, Duration::ZERO),
        // What it has sent hides its end; it is found by asking.
        ("/held", &ahead, Duration::from_secs(5)),
        ("/stream", &ahead, Duration::from_secs(2)),
    ] {
        let (mut near, task) = connect();
        near.write_all((get(path) + more).as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let gone = now();
        drop(near);
        task.await.unwrap();
        let took = gone.elapsed();
        assert!(
            took <= within,
            "{path}, {} bytes ahead: {took:?}",
            more.len()
        );
    }
}

/// A peer that has ended its side may still read.
#[tokio::test(start_paused = true)]
async fn a_peer_that_has_said_all_gets_its_answer() {
    for (request, expected) in [
        (get("/"), "0 fine"),
        (get("/soon"), "soon, fine"),
        (get("/held"), "held, fine"),
        (get("/held") + &get("/"), "0 fine"),
        ("GET /held HTTP/1.0\r\n\r\n".to_owned(), "held, fine"),
        // A stream that has said all of it ends, but in order.
        (get("/stream"), "0;\r\n0\r\n\r\n"),
    ] {
        let (mut near, task) = connect();
        near.write_all(request.as_bytes()).await.unwrap();
        near.shutdown().await.unwrap();
        let answer = read_all(&mut near).await;
        assert!(answer.ends_with(expected), "{answer}");
        task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_cut() {
    for (path, is_cut_after) in [
        ("/large", WRITE_WAIT),
        ("/held-large", WRITE_WAIT),
        ("/stream", WRITE_WAIT + Duration::from_secs(100)),
    ] {
        let (mut near, task) = connect_by(128, &CancellationToken::new());
        near.write_all(get(path).as_bytes()).await.unwrap();
        let begun = now();
        task.await.unwrap();
        let took = begun.elapsed();
        assert!(
            took >= WRITE_WAIT && took <= is_cut_after,
            "{path}: {took:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_its_time_gets_everything() {
    for path in ["/large", "/held-large"] {
        let (mut near, _task) = connect_by(64 * 1024, &CancellationToken::new());
        near.write_all(get(path).as_bytes()).await.unwrap();
        let (mut count, mut bytes) = (0, vec![0; 32 * 1024]);
        while count < LARGE {
            tokio::time::sleep(WRITE_WAIT / 2).await;
            count += near.read(&mut bytes).await.unwrap();
        }
    }
}

/// A frame of HTTP/2.
fn frame(sort: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let stream = stream.to_be_bytes();
    [&length[1..], &[sort, flags], &stream, payload].concat()
}

/// The beginning of a connection with that window for each stream, and a request on its first stream.
fn h2(window: u32, path: &str) -> Vec<u8> {
    let field = |name: &str, value: &str| {
        let length = |text: &str| u8::try_from(text.len()).unwrap();
        let (name, value) = (name.to_owned(), value.to_owned());
        [
            &[0, length(&name)],
            name.as_bytes(),
            &[length(&value)],
            value.as_bytes(),
        ]
        .concat()
    };
    let window = [&[0, 4], &window.to_be_bytes()[..]].concat();
    let head = [
        field(":method", "GET"),
        field(":path", path),
        field(":scheme", "http"),
        field(":authority", "x"),
    ];
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &window),
        frame(1, 5, 1, &head.concat()),
    ]
    .concat()
}

/// Takes what comes and answers pings, until the end.
async fn live(mut near: DuplexStream) {
    let (mut all, mut bytes) = (Vec::new(), [0; 4096]);
    while let Ok(n @ 1..) = near.read(&mut bytes).await {
        all.extend_from_slice(&bytes[..n]);
        while let Some(length) = all
            .get(1..3)
            .map(|l| usize::from(l[0]) << 8 | usize::from(l[1]))
            && all.len() >= 9 + length
        {
            let (sort, flags) = (all[3], all[4]);
            if matches!(sort, 4 | 6) && flags & 1 == 0 {
                let payload = if sort == 6 {
                    all[9..9 + length].to_vec()
                } else {
                    Vec::new()
                };
                let _ = near.write_all(&frame(sort, 1, 0, &payload)).await;
            }
            all.drain(..9 + length);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn http_2_has_an_end_too() {
    for (window, path, least, most) in [
        (65_535, "/", IDLE_WAIT, IDLE_WAIT + WRITE_WAIT),
        // It takes nothing of a large answer, or all of it but its end.
        (0, "/large", WRITE_WAIT, WRITE_WAIT + 2 * TICK),
        (1, "/large", WRITE_WAIT, WRITE_WAIT + 2 * TICK),
        (0, "/", WRITE_WAIT, WRITE_WAIT + 2 * TICK),
        (2, "/", IDLE_WAIT, IDLE_WAIT + WRITE_WAIT + 2 * TICK),
    ] {
        let (mut near, task) = connect();
        near.write_all(&h2(window, path)).await.unwrap();
        let begun = now();
        tokio::spawn(live(near));
        task.await.unwrap();
        let took = begun.elapsed();
        assert!(
            took >= least && took <= most,
            "{path}, window {window}: {took:?}"
        );
    }
}

/// Counts what it is asked.
struct Counting(Arc<AtomicUsize>);

impl Answers for Counting {
    fn answer(&self, _: Request<Body>) -> Outcome {
        self.0.fetch_add(1, Ordering::Relaxed);
        Outcome::Now(Response::new(Body::from("fine".to_owned())))
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_at_once_over_http_2_leave_others_their_turn() {
    const REQUESTS: u32 = 200;
    let asked = Arc::<AtomicUsize>::default();
    let (mut near, far) = duplex(64 * 1024);
    let stop = CancellationToken::new();
    tokio::spawn(connection(far, Counting(asked.clone()), stop));
    let mut bytes = h2(65_535, "/");
    // After the preface, the settings and the head of the first frame.
    let block = bytes[24 + 15 + 9..].to_vec();
    for n in 1..REQUESTS {
        bytes.extend(frame(1, 5, 2 * n + 1, &block));
    }
    near.write_all(&bytes).await.unwrap();
    let (mut before, mut rounds) = (0, 0);
    while before < REQUESTS as usize {
        tokio::task::yield_now().await;
        let now = asked.load(Ordering::Relaxed);
        assert!(now - before <= 8, "{before}, then {now}");
        (before, rounds) = (now, rounds + 1);
        assert!(rounds < 10_000, "{now} of {REQUESTS}");
    }
}

#[tokio::test(start_paused = true)]
async fn http_2_in_pieces_is_served_and_a_hold_lasts() {
    let (mut near, _task) = connect();
    for byte in h2(65_535, "/held") {
        near.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (mut all, mut bytes) = (Vec::new(), [0; 1024]);
    let begun = now();
    while !String::from_utf8_lossy(&all).contains("held, fine") {
        let n = near.read(&mut bytes).await.unwrap();
        assert!(n > 0, "{all:?}");
        all.extend_from_slice(&bytes[..n]);
    }
    assert_eq!(begun.elapsed().as_secs().next_multiple_of(10), 10);
}

#[tokio::test]
async fn a_connection_has_no_room_for_what_it_does_rarely() {
    let (_near, far) = duplex(64);
    let served = connection(far, Fine, CancellationToken::new());
    let bytes = std::mem::size_of_val(&served);
    assert!(bytes <= 448, "{bytes}");
}

/// Answers `/never` never, and says when it is asked; everything else at once.
struct Never(std::sync::Arc<tokio::sync::Notify>);

impl Answers for Never {
    fn answer(&self, request: Request<Body>) -> Outcome {
        if request.uri().path() == "/never" {
            self.0.notify_one();
            return Outcome::Held(Box::pin(std::future::pending()));
        }
        Outcome::Now(Response::new(Body::from("fine")))
    }
}

#[tokio::test]
async fn an_address_in_use_is_told_as_that() {
    let first = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = first.local_addr().unwrap();
    let error = bind(address).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
}

#[tokio::test]
async fn the_accept_loop_answers_drains_and_ends() {
    let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let options = ServeOptions {
        room: Room::new(2, &[]),
        drain: Duration::from_millis(50),
        #[cfg(feature = "tls")]
        tls: None,
    };
    let never = std::sync::Arc::<tokio::sync::Notify>::default();
    let make = {
        let never = never.clone();
        move |peer: Peer| {
            assert!(peer.address.ip().is_loopback());
            Never(never.clone())
        }
    };
    let server = tokio::spawn(serve(listener, make, options, stop.clone()));
    let connect = async || tokio::net::TcpStream::connect(address).await.unwrap();
    // A place is free again when its connection has ended.
    for _ in 0..5 {
        let mut stream = connect().await;
        let request = "GET / HTTP/1.1\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("fine"), "{answer}");
    }
    let mut stream = connect().await;
    stream.write_all(get("/never").as_bytes()).await.unwrap();
    never.notified().await;
    stop.cancel();
    assert_eq!(server.await.unwrap(), 1);
}

#[tokio::test]
async fn an_address_leaves_places_to_others_and_a_trusted_proxy_needn_t() {
    let trusted = ["127.0.0.8/32".parse().unwrap()];
    for (from, expected) in [("127.0.0.1", 99), ("127.0.0.8", 99)] {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions {
            room: Room::new(100, &trusted),
            drain: Duration::ZERO,
            #[cfg(feature = "tls")]
            tls: None,
        };
        let stop = CancellationToken::new();
        let make = |_peer| Never(std::sync::Arc::default());
        let server = tokio::spawn(serve(listener, make, options, stop.clone()));
        let ask = async |from: &str| {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket
                .bind((from.parse::<IpAddr>().unwrap(), 0).into())
                .unwrap();
            let mut stream = socket.connect(address).await.unwrap();
            // A refused connection may be reset before or after this is written.
            let _ = stream.write_all(get("/").as_bytes()).await;
            let mut answer = [0; 12];
            let is_answered = stream.read_exact(&mut answer).await.is_ok();
            (is_answered && answer.ends_with(b"200")).then_some(stream)
        };
        let mut kept = Vec::new();
        for _ in 0..99 {
            kept.extend(ask(from).await);
        }
        assert_eq!(kept.len(), expected, "{from}");
        assert!(ask("127.0.0.2").await.is_some(), "beside {from}");
        kept.truncate(kept.len() - 5);
        stop.cancel();
        server.await.unwrap();
    }
}
