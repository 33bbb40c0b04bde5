use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abide_wire::limits::EVENT_BYTES_MAX;
use abide_wire::{JobId, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Receiver;
use crate::rt::net::TcpStream;
use crate::rt::system_time;
use crate::webhook::{Secret, seconds_of, sign};

/// One delivery as it goes over the wire, with what a case changes of it.
struct Case<'a> {
    id: &'a str,
    secrets: Vec<&'a Secret>,
    age: i64,
    head: &'a str,
    body: &'a str,
    sent: &'a str,
}

impl<'a> Case<'a> {
    fn good(secret: &'a Secret, id: &'a str) -> Self {
        Self {
            id,
            secrets: vec![secret],
            age: 0,
            head: "POST / HTTP/1.1\r\ncontent-type: application/json",
            body: COMPLETED,
            sent: COMPLETED,
        }
    }

    fn request(&self) -> String {
        let at = Timestamp::from_millis(system_time().as_millis() - self.age * 1_000);
        let signature = sign(
            self.secrets.iter().copied(),
            self.id,
            at,
            self.body.as_bytes(),
        );
        format!(
            "{}\r\nhost: x\r\nwebhook-id: {}\r\nwebhook-timestamp: {}\r\nwebhook-signature: {signature}\r\ncontent-length: {}\r\n\r\n{}",
            self.head,
            self.id,
            seconds_of(at),
            self.sent.len(),
            self.sent
        )
    }
}

const COMPLETED: &str = r#"{"type":"job.completed","timestamp":"2027-01-15T08:00:02.000Z","data":{"id":"job_1",
    "status":"completed","done":true,"outcome":"completed","revision":4,
    "created_at":"2027-01-15T08:00:00.000Z","updated_at":"2027-01-15T08:00:02.000Z"}}"#;

async fn answer(receiver: &Receiver, request: &str) -> u16 {
    let mut socket = TcpStream::connect(receiver.address()).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    text["HTTP/1.1 ".len()..].parse().unwrap()
}

#[tokio::test]
async fn what_is_signed_is_taken_once_and_the_rest_is_refused() {
    let old = Secret::generate([1; 32]);
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let receiver = Receiver::builder()
        .secret(Secret::generate([2; 32]))
        .secret(old.clone())
        .on_delivery(move |delivery| {
            let count = count.clone();
            async move {
                assert_eq!(delivery.kind, "job.completed");
                count.fetch_add(1, Ordering::Relaxed);
                true
            }
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let secret = receiver.secret().clone();
    let stranger = Secret::generate([9; 32]);
    let good = |id| Case::good(&secret, id);
    let large = "x".repeat(EVENT_BYTES_MAX + 1);
    let table = [
        ("it is taken", 204, good("msg_1")),
        ("a duplicate is acknowledged", 204, good("msg_1")),
        (
            "another secret of ours",
            204,
            Case {
                secrets: vec![&old],
                ..good("msg_2")
            },
        ),
        (
            "several signatures",
            204,
            Case {
                secrets: vec![&stranger, &secret],
                ..good("msg_3")
            },
        ),
        (
            "a stranger's secret",
            401,
            Case {
                secrets: vec![&stranger],
                ..good("msg_4")
            },
        ),
        (
            "another body",
            401,
            Case {
                sent: "{}",
                ..good("msg_5")
            },
        ),
        (
            "too old",
            401,
            Case {
                age: 400,
                ..good("msg_6")
            },
        ),
        (
            "too new",
            401,
            Case {
                age: -400,
                ..good("msg_7")
            },
        ),
        (
            "not posted",
            405,
            Case {
                head: "PUT / HTTP/1.1\r\ncontent-type: application/json",
                ..good("msg_8")
            },
        ),
        (
            "not JSON",
            415,
            Case {
                head: "POST / HTTP/1.1\r\ncontent-type: text/plain",
                ..good("msg_9")
            },
        ),
        (
            "too large",
            413,
            Case {
                body: &large,
                sent: &large,
                ..good("msg_10")
            },
        ),
        (
            "any path",
            204,
            Case {
                head: "POST /any/path?x HTTP/1.1\r\ncontent-type: application/json; charset=utf-8",
                ..good("msg_11")
            },
        ),
    ];
    for (name, expected, case) in table {
        assert_eq!(answer(&receiver, &case.request()).await, expected, "{name}");
    }
    assert_eq!(taken.load(Ordering::Relaxed), 4);
    let unsigned = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(answer(&receiver, unsigned).await, 401);
}

#[tokio::test]
async fn a_delivery_wakes_whoever_waits_for_its_job() {
    let receiver = Receiver::bind("127.0.0.1:0").await.unwrap();
    let mut ear = receiver.inbox().subscribe(&JobId::new("job_1"));
    let secret = receiver.secret().clone();
    let request = Case::good(&secret, "msg_1").request();
    assert_eq!(answer(&receiver, &request).await, 204);
    let job = ear.news().await;
    assert!(job.done && job.id.as_str() == "job_1");
    let target = receiver.target();
    assert_eq!(target.url, receiver.url());
    assert_eq!(target.secret.unwrap().parse::<Secret>().unwrap(), secret);
}

#[tokio::test]
async fn what_can_not_be_taken_now_is_taken_when_it_comes_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let receiver = Receiver::builder()
        .on_delivery(move |_| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            async move { !first }
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let secret = receiver.secret().clone();
    let request = Case::good(&secret, "msg_1").request();
    assert_eq!(answer(&receiver, &request).await, 503);
    assert_eq!(answer(&receiver, &request).await, 204);
    assert_eq!(answer(&receiver, &request).await, 204);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn dropping_it_closes_every_connection() {
    let receiver = Receiver::bind("127.0.0.1:0").await.unwrap();
    let mut idle = TcpStream::connect(receiver.address()).await.unwrap();
    let secret = receiver.secret().clone();
    let request = Case::good(&secret, "msg_1").request();
    assert_eq!(answer(&receiver, &request).await, 204);
    drop(receiver);
    // An end or a reset; a connection that is still open would wait here for ever.
    let closed = idle.read(&mut [0; 1]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_strangers_idle_connections_leave_room_for_deliveries() {
    let receiver = Receiver::bind("127.0.0.1:0").await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..260 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
        idle.push(socket.connect(receiver.address()).await.unwrap());
    }
    let secret = receiver.secret().clone();
    let request = Case::good(&secret, "msg_1").request();
    // Before the others are closed for saying nothing.
    let in_time = tokio::time::timeout(
        std::time::Duration::from_secs(4),
        answer(&receiver, &request),
    );
    assert_eq!(in_time.await.unwrap(), 204);
}

#[tokio::test]
async fn closing_answers_what_has_come_and_takes_nothing_more() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let held = gate.clone();
    let receiver = Receiver::builder()
        .on_delivery(move |_| {
            let (held, arrived) = (held.clone(), arrived.clone());
            async move {
                arrived.send(()).unwrap();
                held.acquire().await.is_ok()
            }
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let address = receiver.address();
    let request = Case::good(receiver.secret(), "msg_1").request();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    arrivals.recv().await.unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();

    let closing = tokio::spawn(receiver.close());
    // An idle connection is closed at once, a delivery that is being dealt with is waited for.
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap(), 0);
    assert!(!closing.is_finished());
    gate.add_permits(1);
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    closing.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
