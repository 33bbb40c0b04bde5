//! Connections, over a pipe in memory and on paused time.

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::clock::Clock;

/// Answers `/slow` after 100 s, `/quick` at once, `/later` after 10 s, and everything else the ordinary way.
#[derive(Clone)]
struct Slow(Clock);

impl Answers for Slow {
    fn quick(&self, head: &Head<'_>, _: &[u8], is_last: bool, out: &mut Vec<u8>) -> Quick {
        let last = if is_last { "connection: close\r\n" } else { "" };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n{last}\r\nfine");
        match head.path {
            "/quick" => {
                out.extend_from_slice(answer.as_bytes());
                Quick::Answered
            }
            "/later" => Quick::Later(Box::pin(async {
                tokio::time::sleep(Duration::from_secs(10)).await;
                Later::Bytes(answer.into_bytes())
            })),
            _ => Quick::Ordinary,
        }
    }

    fn ordinary(&self, request: Request<Body>) -> Answering {
        Box::pin(async move {
            if request.uri().path() == "/slow" {
                tokio::time::sleep(Duration::from_secs(100)).await;
            }
            let body = axum::body::to_bytes(request.into_body(), usize::MAX).await;
            match body {
                Ok(body) if !body.is_empty() => {
                    Response::new(Body::from(format!("{} fine", body.len())))
                }
                Ok(_) => Response::new(Body::from("fine")),
                Err(_) => Response::new(Body::from("broken, fine")),
            }
        })
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A connection to such a server.
fn connect(stop: &CancellationToken) -> (DuplexStream, JoinHandle<()>) {
    let (near, far) = duplex(64 * 1024);
    let served = connection(far, Slow(Clock::real()), stop.clone());
    (near, tokio::spawn(served))
}

#[expect(clippy::disallowed_methods, reason = "measures paused time")]
fn now() -> Instant {
    Instant::now()
}

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

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_whole_is_cut() {
    let head = "GET / HTTP/1.1\r\nhost: x\r\nslow";
    for (said, limit) in [
        ("", FIRST_REQUEST),
        ("P", FIRST_REQUEST),
        ("PRI * HTT", FIRST_REQUEST),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", FIRST_REQUEST),
        ("GET / HTTP", FIRST_REQUEST),
        (head, FIRST_REQUEST),
    ] {
        let (mut near, task) = connect(&CancellationToken::new());
        let begun = now();
        near.write_all(said.as_bytes()).await.unwrap();
        task.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), limit.as_secs(), "{said:?}");
    }
}

/// A server with more to do than it can gets to a connection long after its request has come.
#[tokio::test(start_paused = true)]
async fn a_request_that_came_in_time_is_answered_however_late_the_server_is() {
    let plain = "GET /quick HTTP/1.1\r\n\r\n";
    let difficult = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    for request in [plain, difficult].repeat(16) {
        let (mut near, far) = duplex(1024);
        let served = connection(far, Slow(Clock::real()), CancellationToken::new());
        near.write_all(request.as_bytes()).await.unwrap();
        tokio::time::advance(2 * FIRST_REQUEST).await;
        let _task = tokio::spawn(served);
        let answer = read(&mut near).await;
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "{request:?}: {answer:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_head_has_its_time_too_and_an_answer_has_none() {
    let (mut near, task) = connect(&CancellationToken::new());
    let begun = now();
    near.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(read(&mut near).await.starts_with("HTTP/1.1 200"));
    assert_eq!(begun.elapsed().as_secs(), 100);
    near.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
    task.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 100 + NEXT_REQUEST.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_idle_connections_and_lets_requests_finish() {
    let stop = CancellationToken::new();
    let (mut idle, idle_task) = connect(&stop);
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    read(&mut idle).await;
    let (mut busy, busy_task) = connect(&stop);
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let (_silent, silent_task) = connect(&stop);
    tokio::time::sleep(Duration::from_secs(1)).await;

    let stopped = now();
    stop.cancel();
    idle_task.await.unwrap();
    silent_task.await.unwrap();
    assert_eq!(stopped.elapsed(), Duration::ZERO);
    let answer = read(&mut busy).await;
    assert!(answer.contains("connection: close"), "{answer}");
    busy_task.await.unwrap();
    assert_eq!(stopped.elapsed().as_secs(), 99);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_refused() {
    let (mut near, task) = connect(&CancellationToken::new());
    let head = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nbig: {}\r\n\r\n",
        "x".repeat(2 * HEAD_BYTES_MAX)
    );
    near.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut near).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_later_keep_their_order() {
    let (mut near, _task) = connect(&CancellationToken::new());
    let begun = now();
    let both = "GET /later HTTP/1.1\r\n\r\nGET /quick HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc";
    near.write_all(both.as_bytes()).await.unwrap();
    let mut text = String::new();
    while !text.ends_with("3 fine") {
        text += &read(&mut near).await;
    }
    assert_eq!(text.matches("HTTP/1.1 200").count(), 3, "{text}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_is_not_waited_for() {
    for path in ["/later", "/slow"] {
        let (mut near, task) = connect(&CancellationToken::new());
        let begun = now();
        let request = format!("GET {path} HTTP/1.1\r\n\r\n");
        near.write_all(request.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(near);
        task.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 1, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_answer_at_the_stop_is_the_last() {
    let stop = CancellationToken::new();
    let (mut near, task) = connect(&stop);
    let two = b"GET /later HTTP/1.1\r\n\r\nGET /quick HTTP/1.1\r\n\r\n";
    near.write_all(two).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.cancel();
    let mut text = Vec::new();
    near.read_to_end(&mut text).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&text).matches("fine").count(), 1);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_waited_for_by_whoever_can() {
    let (mut near, _task) = connect(&CancellationToken::new());
    let head = b"POST / HTTP/1.1\r\ncontent-length: 6\r\n\r\nabc";
    for pause in [BODY_WAIT / 2, BODY_WAIT * 2] {
        near.write_all(head).await.unwrap();
        tokio::time::sleep(pause).await;
        near.write_all(b"def").await.unwrap();
        let answer = read(&mut near).await;
        assert!(answer.ends_with("6 fine"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_its_time_gets_everything() {
    let (mut near, far) = duplex(64);
    tokio::spawn(connection(
        far,
        Slow(Clock::real()),
        CancellationToken::new(),
    ));
    let asked = 50;
    let writing = "GET /quick HTTP/1.1\r\n\r\n".repeat(asked);
    let (mut reader, mut writer) = tokio::io::split(&mut near);
    let write = async {
        writer.write_all(writing.as_bytes()).await.unwrap();
    };
    let read = async {
        let mut text = Vec::new();
        let mut bytes = [0; 16];
        while String::from_utf8_lossy(&text).matches("fine").count() < asked {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let n = reader.read(&mut bytes).await.unwrap();
            text.extend_from_slice(&bytes[..n]);
        }
    };
    tokio::join!(write, read);
}

#[tokio::test]
async fn a_connection_has_no_room_for_what_it_does_rarely() {
    let (_near, far) = duplex(64);
    let served = connection(far, Slow(Clock::real()), CancellationToken::new());
    let bytes = std::mem::size_of_val(&served);
    assert!(bytes <= 800, "{bytes}");
}
