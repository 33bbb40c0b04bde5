//! `abide work`: a command for each job.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{Bench, Ran, Served};
use crate::front::{Front, beside};

fn external(bench: &Bench, server: &Served, flags: &[&str]) -> String {
    let args = [&["create", "--external"], flags].concat();
    let ran = bench.run(&server.args(&args));
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.out.trim().to_owned()
}

fn status(bench: &Bench, server: &Served, id: &str) -> Value {
    let ran = bench.run(&server.args(&["status", "--json", id]));
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

/// A worker in the background, which runs this script.
fn worker(bench: &Bench, server: &Served, flags: &[&str], script: &str) -> Child {
    let args = [&["work"], flags, &["--", "sh", "-c", script]].concat();
    let mut command = bench.command(&server.args(&args));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the binary runs")
}

#[expect(
    clippy::disallowed_methods,
    reason = "other processes run by the machine's time"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Waits for a file that a command writes.
fn appears(path: &Path) {
    for _ in 0..3_000 {
        if path.exists() {
            return;
        }
        pause();
    }
    panic!("{} never came", path.display());
}

fn terminate(worker: &Child) {
    let id = rustix::process::Pid::from_child(worker);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn a_command_completes_or_fails_its_job() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let kinds = [
        ("sum", r#"{"a": 2, "b": 3}"#),
        ("text", "null"),
        ("fails", "7"),
    ];
    let ids =
        kinds.map(|(kind, input)| external(&bench, &server, &["--kind", kind, "--input", input]));
    let script = r#"case $ABIDE_JOB_KIND in
        sum) jq -c '{sum: (.a + .b)}' ;;
        text) echo "$ABIDE_JOB_ID attempt $ABIDE_JOB_ATTEMPT at $ABIDE_SERVER" ;;
        fails) echo first >&2; echo "no voice for $(cat)" >&2; exit 3 ;;
    esac"#;
    let args = [
        "work",
        "--count",
        "3",
        "--at-once",
        "2",
        "--",
        "sh",
        "-c",
        script,
    ];
    let ran = bench.run(&server.args(&args));
    assert_eq!((ran.code, ran.out.lines().count()), (0, 3), "{ran:?}");
    assert!(ran.err.contains("first\nno voice for 7\n"), "{ran:?}");
    let [sum, text, fails] = ids.map(|id| status(&bench, &server, &id));
    assert_eq!(sum["result"], json!({"sum": 5}));
    let (id, url) = (text["id"].as_str().unwrap(), &server.url);
    assert_eq!(text["result"], format!("{id} attempt 1 at {url}"));
    assert_eq!(fails["error"]["code"], "command_failed");
    assert_eq!(fails["error"]["detail"], "exit status: 3: no voice for 7");
}

#[test]
fn a_result_that_the_server_refuses_fails_its_job_and_not_the_worker() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let ids = ["deep", "double", "half", "large", "escaped", "good"]
        .map(|kind| external(&bench, &server, &["--kind", kind]));
    let script = r#"case $ABIDE_JOB_KIND in
        deep) for n in $(seq 200); do printf '['; done; for n in $(seq 200); do printf ']'; done ;;
        double) echo 1e400 ;;
        half) printf '"\\ud800"' ;;
        large) printf '"'; head -c 262142 /dev/zero | tr '\0' x; printf '"' ;;
        escaped) head -c 100000 /dev/zero | tr '\0' '\1' ;;
        good) echo 1 ;;
    esac"#;
    let args = ["work", "--count", "6", "--", "sh", "-c", script];
    let ran = bench.run(&server.args(&args));
    assert_eq!(ran.code, 0, "{ran:?}");
    let [refused @ .., good] = ids.map(|id| status(&bench, &server, &id));
    assert_eq!(good["result"], json!(1));
    for job in refused {
        assert_eq!(job["error"]["code"], "result_refused", "{job}");
    }
}

#[test]
fn a_command_may_report_under_its_lease_and_outlives_its_length() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let id = external(&bench, &server, &[]);
    let script = r#"curl -sf -X PATCH "$ABIDE_SERVER/v1/jobs/$ABIDE_JOB_ID" -H "Lease-Token: $ABIDE_LEASE_TOKEN" \
        -H 'content-type: application/json' -d '{"progress": {"percent": 40, "stage": "voices"}}' >&2; sleep 3"#;
    let args = [
        "work", "--count", "1", "--lease", "1s", "--", "sh", "-c", script,
    ];
    let ran = bench.run(&server.args(&args));
    assert_eq!(ran.code, 0, "{ran:?}");
    let job = status(&bench, &server, &id);
    assert_eq!(
        (&job["outcome"], &job["attempts"]),
        (&json!("completed"), &json!(1))
    );
    assert_eq!(
        job["revision"], 4,
        "created, claimed, reported, ended: {job}"
    );
}

#[test]
fn a_canceled_job_ends_its_command_and_all_that_it_started() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    // The first ends when it is asked to, the second has to be killed.
    for (trap, grace) in [("echo asked > asked; exit 0", "60s"), (":", "1s")] {
        let id = external(&bench, &server, &[]);
        let script = format!("trap '{trap}' TERM; echo $$ > started; while :; do sleep 1; done");
        let mut worker = worker(
            &bench,
            &server,
            &["--count", "1", "--grace", grace],
            &script,
        );
        appears(&bench.join("started"));
        let ran = bench.run(&server.args(&["cancel", &id]));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(worker.wait().unwrap().success());
        let process = fs::read_to_string(bench.join("started")).unwrap();
        assert!(!Path::new(&format!("/proc/{}", process.trim())).exists());
        fs::remove_file(bench.join("started")).unwrap();
        assert_eq!(status(&bench, &server, &id)["outcome"], "canceled");
    }
    assert!(bench.join("asked").exists());
}

#[test]
fn a_worker_that_is_told_to_stop_finishes_or_gives_its_jobs_back() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let first = external(&bench, &server, &[]);
    let script = "echo > started; while ! [ -e go ]; do sleep 0.05; done; echo 1";
    let mut worker_1 = worker(&bench, &server, &[], script);
    appears(&bench.join("started"));
    terminate(&worker_1);
    // It takes no other job.
    let second = external(&bench, &server, &[]);
    fs::write(bench.join("go"), "").unwrap();
    assert!(worker_1.wait().unwrap().success());
    assert_eq!(status(&bench, &server, &first)["result"], 1);
    assert_eq!(status(&bench, &server, &second)["status"], "pending");
    for name in ["go", "started"] {
        fs::remove_file(bench.join(name)).unwrap();
    }
    let mut worker_2 = worker(&bench, &server, &[], script);
    appears(&bench.join("started"));
    // Until it has ended: two signals that come at once count as one.
    while worker_2.try_wait().unwrap().is_none() {
        terminate(&worker_2);
        pause();
    }
    let job = status(&bench, &server, &second);
    assert_eq!(
        (&job["status"], &job["attempts"]),
        (&json!("pending"), &json!(null))
    );
}

#[test]
fn a_command_that_cant_be_started_costs_no_attempt() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let id = external(&bench, &server, &["--attempts-max", "2"]);
    let ran = bench.run(&server.args(&["work", "--", "no-such-program"]));
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.err
            .contains("failed to start no-such-program: there is no such program"),
        "{ran:?}"
    );
    let job = status(&bench, &server, &id);
    assert_eq!(
        (&job["status"], &job["attempts"]),
        (&json!("pending"), &json!(null))
    );
}

#[test]
fn a_server_that_is_gone_for_good_lets_the_running_commands_end() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    external(&bench, &server, &[]);
    let script = "echo > started; while ! [ -e go ]; do sleep 0.05; done; echo > finished";
    let args = [
        "work",
        "--at-once",
        "2",
        "--give-up",
        "1s",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut command = bench.command(&server.args(&args));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut worker = command.spawn().expect("the binary runs");
    appears(&bench.join("started"));
    server.kill();
    let mut said = BufReader::new(worker.stderr.take().expect("a pipe")).lines();
    let last = said.find(|line| {
        let line = line.as_ref().expect("text");
        line.contains("no more jobs are claimed, and 1 of its commands still running")
    });
    assert!(last.is_some(), "it says why it claims no more");
    fs::write(bench.join("go"), "").unwrap();
    let rest: Vec<_> = said.map_while(Result::ok).collect();
    assert_eq!(worker.wait().unwrap().code(), Some(3), "{rest:?}");
    assert!(bench.join("finished").exists(), "{rest:?}");
}

/// The lines of a worker's stderr.
fn lines_of(worker: &mut Child) -> impl Iterator<Item = String> + use<> {
    let said: ChildStderr = worker.stderr.take().expect("a pipe");
    BufReader::new(said).lines().map_while(Result::ok)
}

#[test]
fn a_claim_that_is_refused_ends_the_worker_with_what_to_do() {
    let bench = Bench::new();
    let keys = "ann:user:of-ann-0123456789012345,bob:read:of-bob-0123456789012345";
    let server = bench.serve(&["--ephemeral", "--api-key", keys]);
    let elsewhere = format!("{}/elsewhere", server.url);
    for (url, key, parts) in [
        (
            &server.url,
            "",
            ["401", "name a key with --api-key or ABIDE_API_KEY"],
        ),
        (
            &server.url,
            "of-nobody-0123456789012345",
            [
                "401",
                "the key of --api-key or ABIDE_API_KEY isn't one of the server's",
            ],
        ),
        (
            &server.url,
            "of-bob-0123456789012345",
            ["403", "This key only reads"],
        ),
        (
            &elsewhere,
            "of-ann-0123456789012345",
            ["404", "there is nothing at this path"],
        ),
    ] {
        let mut command = bench.command(&["work", "--server", url, "--", "cat"]);
        if !key.is_empty() {
            command.env("ABIDE_API_KEY", key);
        }
        let ran = Ran::of(&command.output().expect("the binary runs"));
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.lines().count()),
            (3, "", 1),
            "{ran:?}"
        );
        for part in parts {
            assert!(ran.err.contains(part), "{part}: {ran:?}");
        }
    }
}

#[test]
fn a_worker_that_is_put_off_says_so_and_goes_on() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--rate-limit", "1/m"]);
    // The one hold of this minute.
    let claim = format!("{}/v1/jobs/claim", server.url);
    let json = [
        "-H",
        "content-type: application/json",
        "-d",
        r#"{"wait": 0.1}"#,
    ];
    let mut curl = Command::new("curl");
    let used = curl.args(["-sf", "-X", "POST", &claim]).args(json).status();
    assert!(used.unwrap().success());
    let mut command = bench.command(&server.args(&["work", "--", "cat"]));
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut worker = command.spawn().expect("the binary runs");
    let line = lines_of(&mut worker).next().expect("a line");
    let expected = format!("abide: {} has put requests off since ", server.url);
    assert!(line.starts_with(&expected), "{line}");
    assert!(
        line.ends_with("(429 Too Many Requests); still waiting"),
        "{line}"
    );
    terminate(&worker);
    assert!(worker.wait().unwrap().success());
}

#[test]
fn a_server_that_is_away_for_too_long_ends_the_worker() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    beside(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let head = BufReader::new(&stream).lines().map_while(Result::ok);
            let _read: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
            let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _gone = std::io::Write::write_all(&mut &stream, answer.as_bytes());
        }
    });
    let ran = bench.run(&["work", "--server", &url, "--give-up", "1s", "--", "cat"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
    assert!(
        ran.err
            .contains("503 Service Unavailable; it may be starting"),
        "{ran:?}"
    );
}

#[test]
fn a_server_that_dies_and_comes_back_finds_its_workers_at_work() {
    let bench = Bench::new();
    let front = Front::new();
    let server = bench.serve(&["--data", "data"]);
    front.leads_to(Some(&server));
    let ids = [1, 2].map(|_| external(&bench, &server, &["--attempts-max", "3"]));
    let script = "echo > started-$ABIDE_JOB_ID; while ! [ -e go ]; do sleep 0.05; done; echo 7";
    let args = [
        "work",
        "--at-once",
        "2",
        "--count",
        "2",
        "--lease",
        "1s",
        "--server",
        &front.url,
    ];
    let mut command = bench.command(&[&args[..], &["--", "sh", "-c", script]].concat());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut worker = command.spawn().expect("the binary runs");
    for id in &ids {
        appears(&bench.join(&format!("started-{id}")));
    }
    front.leads_to(None);
    server.kill();
    let mut said = lines_of(&mut worker);
    let line = said.next().expect("a line");
    assert!(
        line.starts_with(&format!("abide: no answer from {} since ", front.url)),
        "{line}"
    );
    let server = bench.serve(&["--data", "data"]);
    front.leads_to(Some(&server));
    let line = said.next().expect("a line");
    assert!(
        line.starts_with(&format!("abide: {} answers again, after ", front.url)),
        "{line}"
    );
    fs::write(bench.join("go"), "").unwrap();
    assert!(worker.wait().unwrap().success());
    for id in ids {
        let job = status(&bench, &server, &id);
        assert_eq!(
            (&job["result"], &job["attempts"]),
            (&json!(7), &json!(1)),
            "{job}"
        );
    }
}
