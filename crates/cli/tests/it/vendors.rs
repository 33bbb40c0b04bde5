//! Other systems' jobs, by a preset or by a file.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use crate::bench::{Bench, Ran};

#[expect(
    clippy::disallowed_methods,
    reason = "a server that ends with the test's process"
)]
/// A server of predictions: each is done at its third read.
fn predictions() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n")
                && reader.read_line(&mut head).is_ok_and(|read| read > 0)
            {}
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let mut body =
                vec![0; length.map_or(0, |length| length.trim().parse().expect("a number"))];
            let _gone = reader.read_exact(&mut body);
            let Some(line) = head.lines().next() else {
                continue;
            };
            let mut seen = noted.lock().expect("a list");
            let reads = seen.iter().filter(|seen| seen.starts_with("GET")).count();
            let key = lower
                .lines()
                .find(|line| line.starts_with("authorization: "));
            seen.push(format!(
                "{line} {} {}",
                key.unwrap_or(""),
                String::from_utf8_lossy(&body)
            ));
            let status = if reads % 3 == 2 {
                "succeeded"
            } else {
                "processing"
            };
            let answer = format!(
                r#"{{"id": "p1", "status": "{status}", "output": {{"n": 12345678901234567890123}}, "state": "ready"}}"#
            );
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
                answer.len()
            );
            let _gone = stream.write_all(answer.as_bytes());
        }
    });
    (url, seen)
}

#[test]
fn a_job_of_another_system_is_created_waited_for_and_shown() {
    let bench = Bench::new();
    let (url, seen) = predictions();
    let mut command = bench.command(&[
        "create",
        "--remote",
        "replicate",
        "--server",
        &url,
        "--input",
        r#"{"n": 12345678901234567890123}"#,
        "--wait",
        "--json",
        "--interval",
        "50ms",
    ]);
    command
        .env("ABIDE_REMOTE_KEY", "r8-key")
        .env("ABIDE_API_KEY", "none-of-theirs");
    let ran = Ran::of(&command.output().expect("the binary"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out
            .contains(r#""result":{"n": 12345678901234567890123}"#),
        "{ran:?}"
    );
    let requests = seen.lock().expect("a list").clone();
    assert!(
        requests[0].starts_with("POST /v1/predictions ")
            && requests[0].ends_with(r#"{"n": 12345678901234567890123}"#),
        "{requests:?}"
    );
    assert!(
        requests
            .iter()
            .all(|request| request.contains("bearer r8-key")),
        "{requests:?}"
    );

    let ran = bench.run(&["status", "p1", "--remote", "replicate", "--server", &url]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("processing"), "{ran:?}");

    let file = bench.join("render.toml");
    let text = "name = \"render\"\nstatus = \"/renders/{id}\"\nstate = \"/state\"\ncompleted = [\"ready\"]\n";
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("text");
    let ran = bench.run(&["wait", "p1", "--remote", path, "--server", &url]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let requests = seen.lock().expect("a list");
    let last = requests.last().expect("requests");
    assert!(
        last.starts_with("GET /renders/p1 ") && !last.contains("bearer"),
        "{last}"
    );
}

#[test]
fn a_vendor_that_the_server_speaks_is_waited_for_as_if_it_were_the_vendor() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--duration", "100ms", "--error-chance", "0"]);
    let address = format!("{}/dialects/replicate", server.url);
    let mut command = bench.command(&[
        "create",
        "--remote",
        "replicate",
        "--server",
        &address,
        "--input",
        r#"{"version": "v", "input": {"prompt": "a cat"}}"#,
        "--wait",
        "--json",
        "--interval",
        "50ms",
    ]);
    command.env("ABIDE_REMOTE_KEY", "r8-key-of-twenty-characters");
    let ran = Ran::of(&command.output().expect("the binary"));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["outcome"], "completed", "{ran:?}");
}

#[test]
fn what_another_system_cannot_do_is_said_before_anything_is_sent() {
    let bench = Bench::new();
    for (args, part) in [
        (&["wait", "x", "--remote", "acme"][..], "replicate"),
        (&["wait", "x", "--remote", "none.toml"], "none.toml"),
        (&["wait", "x", "--remote", "google_lro"], "--server"),
        (
            &["wait", "--kind", "k", "--remote", "replicate"],
            "needs ids",
        ),
        (&["wait", "x", "--kind", "k"], "--kind"),
        (
            &["create", "--remote", "replicate", "--duration", "1s"],
            "--duration",
        ),
        (
            &["create", "--remote", "replicate", "--idempotency-key", "k"],
            "idempotency key",
        ),
    ] {
        let ran = bench.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains(part), "{args:?}: {ran:?}");
    }
}
