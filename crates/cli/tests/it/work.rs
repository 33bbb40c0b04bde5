//! `abide work`: a command for each job.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::{Bench, Served};

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
