//! Told to stop while a thousand clients are held.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::bench::Bench;

const HELD: usize = 1_000;
const REST: &str = "host: localhost\r\nconnection: close\r\n";

fn send(address: &str, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.write_all(request.as_bytes()).expect("a socket");
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text to the end");
    text
}

#[test]
fn whoever_is_held_is_answered_and_nothing_is_lost_when_the_server_is_told_to_stop() {
    let bench = Bench::new();
    let flags = ["--data", "jobs", "--rate-limit", "off", "--drain", "5s"];
    let server = bench.serve(&flags);
    let address = server.url.trim_start_matches("http://").to_owned();
    let id = server.create(&bench, "600s", "0");
    let held: Vec<(bool, TcpStream)> = (0..HELD)
        .map(|n| {
            let is_wait = n % 2 == 0;
            let path = if is_wait {
                format!("/v1/jobs/{id}?wait=60")
            } else {
                format!("/v1/jobs/{id}/events")
            };
            (
                is_wait,
                send(&address, &format!("GET {path} HTTP/1.1\r\n{REST}\r\n")),
            )
        })
        .collect();
    // All of them have arrived.
    loop {
        let metrics = read(send(
            &address,
            &format!("GET /metrics HTTP/1.1\r\n{REST}\r\n"),
        ));
        if metrics.contains("abide_held_requests 500")
            && metrics.contains("abide_event_streams 500")
        {
            break;
        }
    }
    let ended = std::thread::scope(|scope| {
        let ended = scope.spawn(|| {
            let watch = Stopwatch::start();
            let (code, said) = server.terminate();
            (code, said, watch.read())
        });
        for (is_wait, stream) in held {
            let text = read(stream);
            assert!(text.starts_with("HTTP/1.1 200"), "{text}");
            let whole = if is_wait {
                text.ends_with('}')
            } else {
                text.ends_with("0\r\n\r\n")
            };
            assert!(whole, "{text}");
        }
        ended.join().expect("no panic")
    });
    let (code, said, took) = ended;
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(took < Duration::from_secs(5), "{took:?}");

    let server = bench.serve(&flags);
    let found = server.run(&bench, &["status", &id]);
    assert!(found.out.contains("running"), "{found:?}");
}

/// Measures the machine's time.
struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "the end of a process is measured"
    )]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn read(&self) -> Duration {
        self.0.elapsed()
    }
}
