//! Spans of requests, as a collector gets them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Takes one export and gives its body.
fn collect(listener: &TcpListener) -> Vec<u8> {
    let (stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    assert!(first.starts_with("POST /v1/traces "), "{first}");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    reader.get_mut().write_all(answer).unwrap();
    body
}

#[test]
fn a_collector_gets_the_span_of_every_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    let mut server = Command::new(env!("CARGO_BIN_EXE_abide"))
        .args([
            "serve",
            "--ephemeral",
            "--listen",
            "127.0.0.1:0",
            "--drain",
            "1s",
        ])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(server.stderr.take().unwrap()).lines();
    let address = said
        .find_map(|line| {
            let line = line.unwrap();
            let at = line.find("http://127.0.0.1:")?;
            let rest = &line[at + "http://".len()..];
            Some(
                rest.split([' ', '/', '"', '\u{1b}'])
                    .next()
                    .unwrap()
                    .to_owned(),
            )
        })
        .unwrap();

    // One by the ordinary way, one by the quick one, where there is a job; and one that is refused.
    let ask = |request: String| {
        let mut stream = std::net::TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let rest = "host: localhost\r\nconnection: close\r\n";
    let made = ask(format!(
        "POST /v1/jobs HTTP/1.1\r\n{rest}x-request-id: the-create\r\ncontent-length: 0\r\n\r\n"
    ));
    let id = made
        .split("\"id\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    ask(format!(
        "GET /v1/jobs/{id} HTTP/1.1\r\n{rest}x-request-id: the-read\r\n\r\n"
    ));
    ask(format!(
        "GET /v1/jobs/job_nobody HTTP/1.1\r\n{rest}x-request-id: the-refusal\r\n\r\n"
    ));

    // The end sends what hasn't been sent.
    let collected = std::thread::scope(|scope| {
        let collected = scope.spawn(|| collect(&listener));
        let stop = Command::new("kill").arg(server.id().to_string()).status();
        assert!(stop.unwrap().success());
        assert!(server.wait().unwrap().success());
        // Where nothing was sent, this is what the collector gets.
        let _ = std::net::TcpStream::connect(collector.trim_start_matches("http://"));
        collected.join().unwrap()
    });
    let spans = String::from_utf8_lossy(&collected).into_owned();
    for said in [
        "POST /v1/jobs",
        "GET /v1/jobs/{id}",
        "the-create",
        "the-read",
        "the-refusal",
        "http.response.status_code",
        "http.route",
        "abide",
    ] {
        assert!(spans.contains(said), "{said} is not in {spans}");
    }
}
