//! The whole server on real sockets: that it starts, serves, stops and starts again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide_server::clock::Clock;
use abide_server::config::{Config, JobStart, Layers};
use abide_server::journal::MemoryJournal;
use abide_server::{Fresh, Server};
use abide_wire::Span;
use abide_wire::webhook::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::common::journal::Disk;
use crate::common::running::Running;

fn config(data: &std::path::Path) -> Config {
    let layers = Layers::default()
        .flag("listen", ":0")
        .flag("data", data.to_str().unwrap())
        .flag("rate-limit", "off")
        .flag("drain", "5s");
    layers.resolve().unwrap().config
}

impl Running {
    async fn create(&self, seconds: u32) -> String {
        let body = format!(
            r#"{{"simulate":{{"duration":{{"fixed":{seconds}}},"outcome":{{"error_chance":0}},"stages":[]}}}}"#
        );
        let answer = self.ask("POST", "/v1/jobs", &body).await;
        let at = answer.find("job_").expect("an id");
        answer[at..at + 36].to_owned()
    }
}

async fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_stop_answers_a_thousand_held_requests_and_streams() {
    let place = tempfile::tempdir().unwrap();
    let server = Running::start(config(place.path())).await;
    let id = server.create(600).await;
    let mut held = JoinSet::new();
    for n in 0..1_000 {
        let path = match n % 3 {
            0 => format!("/v1/jobs/{id}?wait=60&after=2"),
            1 => format!("/v1/jobs/{id}/events"),
            _ => "/v1/events".to_owned(),
        };
        let stream = server.open("GET", &path, "").await;
        held.spawn(async move { (path, read(stream).await) });
    }
    // Every stream has said its first word, and every wait is on the board.
    loop {
        let metrics = server.ask("GET", "/metrics", "").await;
        if metrics.contains("abide_held_requests 334")
            && metrics.contains("abide_event_streams 666")
        {
            break;
        }
        tokio::task::yield_now().await;
    }
    tokio::time::timeout(Duration::from_secs(5), server.end())
        .await
        .expect("everything ends within the drain time");
    let mut ended = 0;
    while let Some(answer) = held.join_next().await {
        let (path, text) = answer.unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{path}: {text}");
        // A whole body: with its length, or with the chunk that ends it.
        let whole = if path.contains("wait") {
            text.ends_with('}')
        } else {
            text.ends_with("0\r\n\r\n")
        };
        assert!(whole, "{path}: {text}");
        ended += 1;
    }
    assert_eq!(ended, 1_000);
}

/// A network file system that has gone away: a write to it never returns.
#[tokio::test]
async fn a_stop_ends_within_its_time_though_the_disk_hangs() {
    let (release, hang) = std::sync::mpsc::channel::<()>();
    let hang = Mutex::new(hang);
    let hangs = Arc::new(AtomicBool::new(false));
    let journal = Disk {
        inner: MemoryJournal::new(),
        is_blocking: true,
        latency: Duration::ZERO,
        before_append: {
            let hangs = hangs.clone();
            move || {
                if hangs.load(Ordering::SeqCst) {
                    let _released = hang.lock().unwrap().recv();
                }
                Ok(())
            }
        },
    };
    let place = tempfile::tempdir().unwrap();
    let config = Config {
        drain: Span::new(Duration::from_millis(700)),
        ..config(place.path())
    };
    let fresh = Fresh {
        seed: 7,
        secret: Secret::generate([7; 32]),
    };
    let assembly =
        Server::assemble(config, Clock::real(), Box::new(journal), |_| None, fresh).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Running::of(Server::new(address, listener, assembly.unwrap()));
    let kept = server.create(600).await;
    hangs.store(true, Ordering::SeqCst);
    let mut unanswered = server.open("POST", "/v1/jobs", "{}").await;
    // It has reached the disk when a read comes back that was sent after it.
    let read = server.ask("GET", &format!("/v1/jobs/{kept}"), "").await;
    assert!(read.starts_with("HTTP/1.1 200"), "{read}");
    let ended = tokio::time::timeout(Duration::from_secs(4), server.end()).await;
    assert!(ended.is_ok(), "twice the drain time is enough");
    let mut answer = Vec::new();
    let _cut = unanswered.read_to_end(&mut answer).await;
    assert!(
        !answer.starts_with(b"HTTP/1.1 2"),
        "nothing is told that isn't written"
    );
    drop(release);
}

#[tokio::test]
async fn jobs_are_there_after_a_restart_and_end_in_time() {
    let place = tempfile::tempdir().unwrap();
    let server = Running::start(config(place.path())).await;
    let (short, long) = (server.create(1).await, server.create(600).await);

    let mut other = config(place.path());
    other.listen.main.set_port(0);
    let error = Server::start(other, 7).await.unwrap_err().to_string();
    assert!(error.contains("in use by another server"), "{error}");
    let mut same = config(place.path());
    same.listen.main = server.address;
    let error = Server::start(same, 7).await.unwrap_err().to_string();
    assert!(error.contains("in use by another program"), "{error}");

    server.end().await;
    let server = Running::start(config(place.path())).await;
    let answer = server
        .ask("GET", &format!("/v1/jobs/{short}?wait=30"), "")
        .await;
    assert!(answer.contains(r#""outcome":"completed""#), "{answer}");
    let answer = server.ask("GET", &format!("/v1/jobs/{long}"), "").await;
    assert!(answer.contains(r#""status":"running""#), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn nobody_notices_a_reader_that_doesnt_read() {
    let place = tempfile::tempdir().unwrap();
    let server = Running::start(config(place.path())).await;
    // Every event carries the whole job.
    let input = "x".repeat(100_000);
    let body = format!(r#"{{"worker":"external","input":"{input}"}}"#);
    let made = server.ask("POST", "/v1/jobs", &body).await;
    let at = made.find("job_").unwrap();
    let path = format!("/v1/jobs/{}", &made[at..at + 36]);
    // One that takes little at a time, and then nothing.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stalled = socket.connect(server.address).await.unwrap();
    let head = format!("GET {path}/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stalled.write_all(head.as_bytes()).await.unwrap();
    let reader = server.open("GET", &format!("{path}/events"), "").await;
    let reader = tokio::spawn(read(reader));
    // Together they are far more than the sockets between take.
    let stage = "x".repeat(100);
    for n in 0..40 {
        let body = format!(
            r#"{{"progress":{{"percent":{},"stage":"{stage}"}}}}"#,
            f64::from(n)
        );
        let answer = server.ask("PATCH", &path, &body).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    server.ask("PATCH", &path, r#"{"result":{}}"#).await;
    let text = reader.await.unwrap();
    assert!(text.contains("event: job.completed"), "{text}");
    server.end().await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_a_problem() {
    let place = tempfile::tempdir().unwrap();
    let server = Running::start(config(place.path())).await;
    let large = "x".repeat(9_000);
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let table = [
        (
            format!("GET / HTTP/1.1\r\nhost: localhost\r\nbig: {large}\r\n\r\n"),
            "431",
            "too_large",
        ),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), "431", "too_large"),
        ("nonsense\r\n\r\n".to_owned(), "400", "invalid_request"),
        (
            "GET / HTTP/1.1\r\nhost : x\r\n\r\n".to_owned(),
            "400",
            "invalid_request",
        ),
    ];
    for (request, status, code) in table {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read(stream).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(head.contains("application/problem+json"), "{answer}");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{answer}"
        );
        assert!(body.contains(&format!(r#""code":"{code}""#)), "{answer}");
        assert!(body.contains(&format!(r#""status":{status}"#)), "{answer}");
    }
    server.end().await;
}

/// A file of the journal as it is now, taken while the server writes it.
fn back_up(from: &std::path::Path, to: &std::path::Path, file: &str) {
    let copy = to.join(file).to_str().unwrap().to_owned();
    let source = rusqlite::Connection::open(from.join(file)).unwrap();
    source.execute("VACUUM INTO ?1", [copy]).unwrap();
}

#[tokio::test]
async fn a_backup_with_the_checkpoint_first_is_whole_and_goes_on() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wrong = tempfile::tempdir().unwrap();
    // Without the default job, which would be counted.
    let plain = |place: &std::path::Path| Config {
        default_job_start: JobStart::FirstPoll,
        ..config(place)
    };
    let count = async |server: &Running| {
        let list = server.ask("GET", "/v1/jobs?limit=1000", "").await;
        list.matches(r#""id":"job_"#).count()
    };
    let server = Running::start(plain(from.path())).await;
    for _ in 0..5 {
        server.create(600).await;
    }
    back_up(from.path(), to.path(), "state.db");
    for _ in 0..5 {
        server.create(600).await;
    }
    back_up(from.path(), to.path(), "journal.db");
    back_up(from.path(), wrong.path(), "journal.db");
    server.create(600).await;
    server.end().await;
    // By now there is a checkpoint that goes beyond that log.
    back_up(from.path(), wrong.path(), "state.db");

    let server = Running::start(plain(to.path())).await;
    assert_eq!(count(&server).await, 10);
    server.create(600).await;
    server.end().await;
    let server = Running::start(plain(to.path())).await;
    assert_eq!(count(&server).await, 11, "what is made afterwards is kept");
    server.end().await;

    // Files that don't belong together are refused, and nothing is made up.
    let refused = Server::start(plain(wrong.path()), 7).await.unwrap_err();
    assert!(
        refused.to_string().contains("it ends with entry"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_client_reads_why_it_is_refused_although_its_body_isnt_read() {
    let body = "x".repeat(1_000_000);
    let length = body.len();
    let head =
        format!("POST /v1/jobs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n\r\n");
    let table: [(&[_], u16); 3] = [
        (&[], 413),
        (&[("inflight-bytes-max", "64KiB")], 503),
        (&[("rate-limit", "1/min")], 429),
    ];
    for (flags, status) in table {
        let server = Running::ephemeral(Layers::default(), flags).await;
        server.ask("GET", "/v1/jobs", "").await;
        for _ in 0..10 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            // It may be cut off in the middle, but not before it is told why.
            let _ = stream.write_all(body.as_bytes()).await;
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer:?}"
            );
        }
        server.end().await;
    }
}
