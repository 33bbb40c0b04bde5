//! `abide listen` and `abide attack`: what arrives, what is refused, and with which code each ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use abide::webhook::{Secret, now, seconds_of, sign};
use abide::{Inbox, Receiver};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bench::{Bench, Ran, Served};
use crate::front::Front;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A program that is running, and where it says that it listens.
struct Listening {
    child: Option<Child>,
    url: String,
    said: BufReader<std::process::ChildStderr>,
}

impl Listening {
    fn start(bench: &Bench, args: &[&str]) -> Self {
        let mut command = bench.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut said = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("a line");
        let url = line
            .split([' ', ',', '\n'])
            .find(|word| word.starts_with("http"));
        let Some(url) = url.map(str::to_owned) else {
            let _whatever_it_said = said.read_to_string(&mut line);
            panic!("it doesn't listen: {line}");
        };
        Self {
            child: Some(child),
            url,
            said,
        }
    }

    /// Waits for it to end.
    fn ended(mut self) -> Ran {
        let child = self.child.take().expect("it is taken once");
        let mut ran = Ran::of(&child.wait_with_output().expect("a child"));
        self.said.read_to_string(&mut ran.err).expect("text");
        ran
    }

    /// Presses Ctrl-C, and waits for it to end.
    fn interrupted(self) -> Ran {
        interrupt(self.child.as_ref().expect("it runs"));
        self.ended()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let done = Command::new("kill").args(["-INT", &pid]).status();
    assert!(done.expect("kill").success());
}

fn curl(args: &[&str]) -> Value {
    let done = Command::new("curl").arg("-s").args(args).output();
    let done = done.expect("curl");
    assert!(done.status.success(), "{args:?}: {done:?}");
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn server(bench: &Bench) -> Served {
    bench.serve(&["--ephemeral", "--seed", "7", "--rate-limit", "off"])
}

fn registered(server: &Served) -> usize {
    let list = curl(&[&format!("{}/v1/webhooks", server.url)]);
    list["webhooks"].as_array().unwrap().len()
}

/// Posts to a receiver and returns the status.
fn post(url: &str, secret: &Secret, id: &str, body: &str) -> u16 {
    let at = now();
    let signature = sign([secret], id, at, body.as_bytes());
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut socket = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\nwebhook-id: {id}\r\nwebhook-timestamp: {}\r\nwebhook-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        seconds_of(at),
        body.len()
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer["HTTP/1.1 ".len()..][..3].parse().unwrap()
}

#[test]
fn listening_shows_a_jobs_events_in_order_and_leaves_no_registration_behind() {
    let bench = Bench::new();
    let server = server(&bench);
    let kinds = ["job.created", "job.started", "job.completed"];
    let mut args = vec!["listen", "--count", "3", "--json"];
    args.extend(kinds.iter().flat_map(|kind| ["--events", *kind]));
    let listening = Listening::start(&bench, &server.args(&args));
    assert_eq!(registered(&server), 1);
    let id = server.create(&bench, "10ms", "0");
    let ran = listening.ended();
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.json();
    let shown = lines.iter().filter_map(|line| line["type"].as_str());
    assert_eq!(shown.collect::<Vec<_>>(), kinds);
    for line in &lines {
        assert!(line["id"].as_str().unwrap().starts_with("msg_"));
        assert_eq!(line["body"]["data"]["id"], id);
    }
    assert_eq!(registered(&server), 0);
    // Its last answer left before it ended, so nothing is brought again.
    let told = curl(&[&format!("{}/v1/jobs/{id}/deliveries", server.url)]);
    assert_eq!(told["deliveries"], json!([]), "they went with the endpoint");
}

#[test]
fn a_listener_that_a_restarted_server_has_forgotten_registers_again() {
    let bench = Bench::new();
    let front = Front::new();
    let first = server(&bench);
    front.leads_to(Some(&first));
    let args = [
        "listen",
        "--count",
        "1",
        "--events",
        "job.completed",
        "--server",
        &front.url,
        "--timeout",
        "120s",
    ];
    let mut listening = Listening::start(&bench, &args);
    front.leads_to(None);
    first.kill();
    let second = server(&bench);
    front.leads_to(Some(&second));
    let mut line = String::new();
    while !line.contains("the server had forgotten this listener; registered again as wh_") {
        line.clear();
        let read = listening.said.read_line(&mut line).expect("a line");
        assert_ne!(read, 0, "it ended");
    }
    let id = second.create(&bench, "10ms", "0");
    let ran = listening.ended();
    assert!(ran.code == 0 && ran.out.contains(&id), "{ran:?}");
    assert_eq!(registered(&second), 0);
}

#[test]
fn an_interrupted_listener_ends_well_unless_more_was_wanted() {
    let bench = Bench::new();
    let server = server(&bench);
    let table: [(&[&str], i32); 2] = [(&["listen"], 0), (&["listen", "--count", "5"], 130)];
    for (args, code) in table {
        let listening = Listening::start(&bench, &server.args(args));
        let ran = listening.interrupted();
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert_eq!(registered(&server), 0, "{args:?}");
    }
    let late = ["listen", "--count", "5", "--timeout", "100ms"];
    assert_eq!(server.run(&bench, &late).code, 4);
    let enough = ["listen", "--timeout", "100ms"];
    assert_eq!(server.run(&bench, &enough).code, 0);
    assert_eq!(registered(&server), 0);
}

#[test]
fn a_delivery_is_told_in_a_line_and_its_numbers_keep_their_digits() {
    const NUMBER: &str = "123456789012345678901234567890.12345678901234567890123";
    let bench = Bench::new();
    let args = [
        "listen",
        "--no-register",
        "--secret",
        SECRET,
        "--count",
        "1",
    ];
    let listening = Listening::start(&bench, &[&args[..], &["--json"]].concat());
    let body = format!("{{\"type\": \"an.event\",\n\"n\": {NUMBER}}}");
    let status = post(&listening.url, &SECRET.parse().unwrap(), "msg_1", &body);
    assert_eq!(status, 204);
    let ran = listening.ended();
    assert_eq!((ran.code, ran.json().len()), (0, 1), "{ran:?}");
    assert!(ran.out.contains(NUMBER), "{ran:?}");
}

#[test]
fn what_another_secret_has_signed_is_neither_taken_nor_shown() {
    let bench = Bench::new();
    let args = [
        "listen",
        "--no-register",
        "--secret",
        SECRET,
        "--count",
        "2",
    ];
    let listening = Listening::start(&bench, &args);
    let (ours, other): (Secret, Secret) = (SECRET.parse().unwrap(), Secret::generate([1; 32]));
    let body = r#"{"type":"an.event","n":1}"#;
    let table = [
        (&other, "msg_1", 401),
        (&ours, "msg_1", 204),
        // The same again is acknowledged and not shown again.
        (&ours, "msg_1", 204),
        (&ours, "msg_2", 204),
    ];
    for (secret, id, status) in table {
        assert_eq!(post(&listening.url, secret, id, body), status, "{id}");
    }
    let ran = listening.ended();
    assert_eq!(ran.code, 0, "{ran:?}");
    let expected = format!("an.event       {body}\n");
    assert_eq!(ran.out, expected.repeat(2), "{ran:?}");
}

#[test]
fn what_can_not_be_listened_for_is_said_with_a_code() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--webhook-allow", "none"]);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let table: &[(&[&str], i32, &str)] = &[
        (&["listen", "--secret", "swordfish"], 2, "--secret"),
        (&["listen", "--server", &nobody], 3, "abide serve"),
        (&["listen"], 3, "loopback"),
        (&["listen", "--listen", "soon"], 2, "--listen"),
    ];
    for (args, code, said) in table {
        let ran = server.run(&bench, args);
        assert_eq!(ran.code, *code, "{args:?}: {ran:?}");
        assert!(ran.err.contains(said), "{args:?}: {ran:?}");
    }
    let ran = bench.run(&["listen", "--no-register", "--listen", &taken]);
    assert_eq!(ran.code, 3, "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_is_acknowledged_once_it_was_taken_there() {
    let bench = Bench::new();
    let retry = [
        "--webhook-retry",
        "0s,50ms,100ms,200ms,400ms,1s,1s,1s,1s,1s,1s,1s",
    ];
    let flags = ["--ephemeral", "--seed", "7", "--rate-limit", "off"];
    let server = bench.serve(&[&flags[..], &retry[..]].concat());
    let inbox = Inbox::new();
    let refusals = std::sync::atomic::AtomicUsize::new(0);
    let behind = Receiver::builder()
        .secret(SECRET.parse().unwrap())
        .inbox(&inbox)
        .on_delivery(move |_| {
            // Busy twice.
            let is_taken = refusals.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 2;
            async move { is_taken }
        })
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let to = behind.url();
    let args = [
        "listen",
        "--secret",
        SECRET,
        "--forward-to",
        &to,
        "--count",
        "1",
        "--events",
        "job.completed",
    ];
    let listening = Listening::start(&bench, &server.args(&args));
    let id = server.create(&bench, "10ms", "0");
    let ran = listening.ended();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(&id), "{ran:?}");
    assert_eq!(ran.out.matches("→ 503 in ").count(), 2, "{ran:?}");
    assert_eq!(
        ran.out.matches("→ 200 in ").count() + ran.out.matches("→ 204 in ").count(),
        1,
        "{ran:?}"
    );

    let stranger = Receiver::bind("127.0.0.1:0").await.unwrap();
    let to = stranger.url();
    let args = ["listen", "--secret", SECRET, "--forward-to", &to];
    let listening = Listening::start(&bench, &server.args(&args));
    let id = server.create(&bench, "10ms", "0");
    let deliveries = format!("{}/v1/jobs/{id}/deliveries", server.url);
    // The newest waits until those before it are through or given up.
    let attempted = || {
        let sent = curl(&[&deliveries]);
        let mut attempts = sent["deliveries"].as_array()?.iter();
        attempts.find_map(|delivery| delivery["attempts"].get(0).cloned())
    };
    let attempt = loop {
        match attempted() {
            Some(attempt) => break attempt,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(attempt["status"], 503, "it isn't acknowledged");
    let ran = listening.interrupted();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("→ 401 in "), "{ran:?}");
}

#[test]
fn the_secret_is_told_and_can_be_had_before() {
    let bench = Bench::new();
    let server = server(&bench);
    let mut listening = Listening::start(&bench, &server.args(&["listen"]));
    let mut line = String::new();
    listening.said.read_line(&mut line).unwrap();
    assert!(line.starts_with("abide: secret whsec_"), "{line}");
    assert_eq!(listening.interrupted().code, 0);
    let ran = bench.run(&["listen", "--print-secret"]);
    let secret: Secret = ran.out.trim().parse().unwrap();
    let ran = bench.run(&["listen", "--print-secret", "--secret", &secret.expose()]);
    assert_eq!(ran.out.trim(), secret.expose());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_triggered_event_is_believed_with_the_right_secret_alone() {
    let bench = Bench::new();
    let inbox = Inbox::new();
    let receiver = Receiver::builder()
        .secret(SECRET.parse().unwrap())
        .inbox(&inbox)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let to = receiver.url();
    let trigger = |more: &[&str]| {
        let args = ["trigger", "job.failed", "--to", &to, "--job", "job_42"];
        bench.run(&[&args[..], more].concat())
    };
    let ran = trigger(&["--secret", SECRET, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["sent"]["data"]["id"], "job_42");
    let ran = trigger(&[]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let ran = bench.run(&["trigger", "job.failed", "--to", "http://127.0.0.1:1/"]);
    assert_eq!(ran.code, 3, "{ran:?}");
}

#[test]
fn a_delivery_shows_what_was_sent_and_what_came_back_and_is_sent_again() {
    let bench = Bench::new();
    let server = server(&bench);
    let listening = Listening::start(&bench, &["listen", "--no-register", "--secret", SECRET]);
    let args = [
        "create",
        "--duration",
        "10ms",
        "--error-chance",
        "0",
        "--webhook",
        &listening.url,
        "--webhook-secret",
        SECRET,
    ];
    let id = server.run(&bench, &args).out.trim().to_owned();
    let delivered = || {
        let ran = server.run(&bench, &["deliveries", &id]);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.contains("delivered").then_some(ran)
    };
    let ran = loop {
        if let Some(ran) = delivered() {
            break ran;
        }
    };
    assert!(
        ran.out.contains("job.completed") && ran.out.contains(&listening.url),
        "{ran:?}"
    );
    let message = ran.out.split_whitespace().next().unwrap().to_owned();
    let ran = server.run(&bench, &["delivery", &message]);
    assert!(
        ran.out.contains("\"type\":\"job.completed\"") && ran.out.contains("attempt 1"),
        "{ran:?}"
    );

    // As a shell's command it is believed by the receiver.
    let ran = server.run(
        &bench,
        &["delivery", &message, "--curl", "--secret", SECRET],
    );
    let script = format!("{} -sf -o /dev/null", ran.out.trim());
    let done = Command::new("sh").args(["-c", &script]).status();
    assert!(done.unwrap().success(), "{script}");
    let ran = server.run(&bench, &["delivery", &message, "--retry"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // Both are the same delivery again, which a receiver acknowledges and drops.
    let shown = || server.run(&bench, &["delivery", &message]).out;
    while !shown().contains("attempt 2") {}
    let ran = listening.interrupted();
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{ran:?}");
}

#[test]
fn the_deliveries_of_an_endpoint_are_listed_and_replayed() {
    let bench = Bench::new();
    let server = server(&bench);
    let body = json!({"url": "http://127.0.0.1:1/hook", "events": ["job.completed"]}).to_string();
    let new = curl(&[
        &format!("{}/v1/webhooks", server.url),
        "-H",
        "content-type: application/json",
        "-d",
        &body,
    ]);
    let endpoint = new["id"].as_str().unwrap();
    server.create(&bench, "10ms", "0");
    let listed = || {
        server
            .run(&bench, &["deliveries", endpoint, "--json"])
            .json()
    };
    while listed()
        .first()
        .is_none_or(|delivery| delivery["attempts"] == json!([]))
    {}
    let ran = server.run(&bench, &["deliveries", endpoint, "-o", "table"]);
    assert!(ran.out.starts_with("ID "), "{ran:?}");
    let ran = server.run(&bench, &["deliveries", endpoint, "--replay"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "0 on their way again\n"),
        "{ran:?}"
    );
    let ran = server.run(&bench, &["deliveries", "job_x", "--replay"]);
    assert_eq!(ran.code, 2, "{ran:?}");
}

/// A receiver that answers `200` to whatever comes.
async fn believer() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut bytes = vec![0; 64 * 1024];
            let _whatever = socket.read(&mut bytes).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _gone = socket.write_all(answer).await;
        }
    });
    url
}

#[test]
fn our_own_receiver_stands_the_attack_and_a_warning_fails_only_where_that_was_asked_for() {
    let bench = Bench::new();
    let listening = Listening::start(&bench, &["listen", "--no-register", "--secret", SECRET]);
    let attack = |more: &[&str]| {
        let args = [
            "attack",
            &listening.url,
            "--secret",
            SECRET,
            "--patience",
            "1s",
        ];
        bench.run(&[&args[..], more].concat())
    };
    let ran = attack(&["--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran.json();
    let (summary, verdicts) = lines.split_last().unwrap();
    assert_eq!(
        *summary,
        json!({"passed": verdicts.len() - 1, "warned": 1, "failed": 0, "ok": true})
    );
    let names: Vec<&str> = verdicts
        .iter()
        .filter_map(|verdict| verdict["check"].as_str())
        .collect();
    let wanted = [
        "valid",
        "forged_signature",
        "old_timestamp",
        "replayed_id",
        "doubled",
        "reordered",
        "rotated_key",
        "oversize",
        "wrong_type",
        "slow_body",
    ];
    assert!(wanted.iter().all(|name| names.contains(name)), "{names:?}");
    for verdict in verdicts {
        // It gives up on a slow body after more time than this test has.
        let grade = if verdict["check"] == "slow_body" {
            "warn"
        } else {
            "pass"
        };
        assert_eq!(verdict["grade"], grade, "{verdict}");
        assert!(verdict["seen"].is_string() && verdict["took_ms"].is_u64());
    }
    let ran = attack(&["--strict", "--only", "slow_body"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let ran = attack(&["--strict", "--skip", "slow_body"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("pass  valid"), "{ran:?}");
    assert!(
        ran.err.contains("16 passed, 0 with a warning, 0 failed"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_believes_everything_or_another_secret_fails() {
    let bench = Bench::new();
    let url = believer().await;
    let args = ["attack", &url, "--secret", SECRET, "--skip", "slow_body"];
    let ran = bench.run(&args);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("fail  forged_signature"), "{ran:?}");
    assert!(
        ran.out
            .contains("expected: a signature by another secret is refused")
    );

    let listening = Listening::start(&bench, &["listen", "--no-register"]);
    let args = [
        "attack",
        &listening.url,
        "--secret",
        SECRET,
        "--only",
        "valid",
        "--json",
    ];
    let ran = bench.run(&args);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()[0]["seen"], "it answered 401");
}

#[test]
fn what_can_not_be_attacked_is_said_with_a_code_and_ctrl_c_ends_it() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut command = bench.command(&["attack", &url, "--secret", SECRET]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.expect("the binary runs");
    // It has begun: a client has connected, and is kept waiting.
    let _kept = listener.accept().unwrap();
    interrupt(&child);
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, 130, "{ran:?}");
    drop(listener);

    let table: &[(&[&str], i32, &str)] = &[
        (&[&url, "--secret", SECRET], 3, "can't be reached"),
        (&["ftp://a.example/", "--secret", SECRET], 2, "not ftp://"),
        (&[&url, "--secret", "swordfish"], 2, "--secret"),
        (&[&url], 2, "--secret"),
        (
            &[&url, "--secret", SECRET, "--only", "everything"],
            2,
            "everything",
        ),
        (&[&url, "--secret", SECRET, "--payload", "{"], 2, "not JSON"),
        (&[&url, "--secret", SECRET, "--payload", "@none"], 2, "none"),
    ];
    for (args, code, said) in table {
        let ran = bench.run(&[&["attack"], *args].concat());
        assert_eq!(ran.code, *code, "{args:?}: {ran:?}");
        assert!(ran.err.contains(said), "{args:?}: {ran:?}");
    }
}
