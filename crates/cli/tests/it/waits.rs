//! Waiting as people do it: across a deployment, for a start, by kind, by a part of an id.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bench::{Bench, Ran};

const ID: &str = "job_01a21f0043f47c9b950dc3cbc6b677fa";

/// Lets a deployment end with the test, also with one that fails.
struct Over<'a>(&'a AtomicBool, &'a str);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        let address = self.1.trim_start_matches("http://");
        if let Ok(mut stream) = TcpStream::connect(address) {
            let _gone = stream.write_all(b"GET / HTTP/1.1\r\n\r\n");
        }
    }
}

/// Answers every request as a proxy does whose server is away, from the second on, until `is_back`.
fn deployment(listener: &TcpListener, is_back: &AtomicBool) {
    let job = |status: &str, done: bool| {
        let outcome = if done { "\"completed\"" } else { "null" };
        format!(
            r#"{{"id": "{ID}", "kind": "k", "status": "{status}", "done": {done}, "outcome": {outcome}, "revision": 2,
            "created_at": "2026-11-22T00:00:00Z", "updated_at": "2026-11-22T00:00:01Z"}}"#
        )
    };
    for (n, stream) in listener.incoming().enumerate() {
        let mut stream = stream.expect("a connection");
        let mut head = BufReader::new(&stream).lines().map_while(Result::ok);
        let Some(line) = head.next() else {
            continue;
        };
        let _rest: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
        // Whether the server is well is asked beside the wait.
        let is_last = is_back.load(Ordering::Acquire) && !line.contains("/healthz");
        let (status, body) = match (n, is_last) {
            (_, true) => ("200 OK", job("completed", true)),
            (0, _) => ("200 OK", job("running", false)),
            _ => ("503 Service Unavailable", "{}".to_owned()),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let _gone = stream.write_all(answer.as_bytes());
        if is_last {
            return;
        }
    }
}

#[test]
fn a_wait_outlives_a_deployment_and_says_that_there_is_no_answer() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let is_back = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_back, &url);
        scope.spawn(|| {
            // The first connection only looks whether anything listens.
            drop(listener.accept());
            deployment(&listener, &is_back);
        });
        let args = [
            "wait",
            ID,
            "--server",
            &url,
            "--strategy",
            "poll",
            "--interval",
            "100ms",
        ];
        let mut command = bench.command(&args);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("the binary runs");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("text");
        is_back.store(true, Ordering::Release);
        assert!(
            line.contains(&format!("no answer from {url} since")),
            "{line}"
        );
        assert!(
            line.contains("503") && line.contains("still waiting"),
            "{line}"
        );
        let mut out = String::new();
        let mut pipe = child.stdout.take().expect("a pipe");
        pipe.read_to_string(&mut out).expect("text");
        assert!(out.contains(&format!("{ID}  completed")), "{out}");
        assert_eq!(child.wait().expect("a child").code(), Some(0));
    });
}

#[test]
fn a_wait_that_gives_up_says_how_to_go_on() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let is_back = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_back, &url);
        scope.spawn(|| {
            drop(listener.accept());
            deployment(&listener, &is_back);
        });
        let args = [
            "wait",
            ID,
            "--server",
            &url,
            "--strategy",
            "poll",
            "--interval",
            "100ms",
            "--give-up",
            "1s",
        ];
        let ran = bench.run(&args);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.err.contains("out of reach; the job goes on"), "{ran:?}");
        assert!(
            ran.err.contains(&format!("abide wait {ID} --server {url}")),
            "{ran:?}"
        );
    });
}

#[test]
fn jobs_are_chosen_by_kind_and_metadata_and_waited_for_until_they_run() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--rate-limit", "off"]);
    let create = |kind: &str, user: &str, duration: &str| {
        let user = format!("user={user}");
        let args = [
            "create",
            "--kind",
            kind,
            "--metadata",
            &user,
            "--duration",
            duration,
            "--error-chance",
            "0",
        ];
        let ran = server.run(&bench, &args);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.trim().to_owned()
    };
    let (long, short) = (create("dub", "42", "1h"), create("dub", "43", "3s"));
    let other = create("mix", "42", "1h");
    let ids = |ran: &Ran| {
        assert_eq!(ran.code, 0, "{ran:?}");
        let mut ids: Vec<_> = ran.json().iter().map(|line| line["id"].clone()).collect();
        ids.sort_by_key(ToString::to_string);
        ids
    };
    let run = |args: &[&str]| server.run(&bench, &[&["wait", "--json"], args].concat());
    assert_eq!(
        ids(&run(&["--kind", "dub", "--metadata", "user=43"])),
        [short.as_str()]
    );
    assert_eq!(
        ids(&run(&["--kind", "dub", "--for", "running"])),
        [long.as_str()]
    );
    let running = run(&["--metadata", "user=42", "--for", "running"]);
    assert_eq!(ids(&running), [long.as_str(), other.as_str()]);
    for line in running.json() {
        assert_eq!(
            (&line["job"]["status"], &line["outcome"]),
            (&"running".into(), &serde_json::Value::Null)
        );
    }
    let done = run(&[&short]);
    assert_eq!(done.json()[0]["job"]["id"], short.as_str());
    let none = run(&["--kind", "nothing"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    assert!(none.err.contains("no such job is open"), "{none:?}");
    let both = run(&[&short, "--kind", "dub"]);
    assert_eq!(both.code, 2, "{both:?}");
}

#[test]
fn a_job_that_had_ended_is_not_called_late() {
    let bench = Bench::new();
    let server = bench.by_hand();
    let id = server.create(&bench, "10s", "0");
    server.advance(20);
    let ran = server.run(&bench, &["wait", &id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("had already ended") && !ran.out.contains("late"),
        "{ran:?}"
    );
}

#[test]
fn a_part_of_an_id_is_enough_where_it_is_one_job_s() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--rate-limit", "off"]);
    let id = server.create(&bench, "1ms", "0");
    let other = server.create(&bench, "1h", "0");
    let tail = &id[id.len() - 8..];
    let begins = &id[..id.len() - 1];
    for part in [tail, begins, &begins["job_".len()..]] {
        for command in ["status", "wait", "watch", "cancel"] {
            let ran = server.run(&bench, &[command, part]);
            assert_eq!(ran.code, 0, "{command} {part}: {ran:?}");
            assert!(
                ran.out.contains(&id) && !ran.out.contains(&other),
                "{ran:?}"
            );
        }
    }
    let ran = server.run(&bench, &["cancel", "job_"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("write more of it"), "{ran:?}");
    let ran = server.run(&bench, &["status", "job_unknown"]);
    assert_eq!(ran.code, 3, "{ran:?}");
}
