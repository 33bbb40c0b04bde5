//! `abide test`: a test suite beside a server of its own. And what a server says to those who start one.

use std::fs;
use std::process::{Command, Stdio};

use crate::bench::{Bench, Ran};

const CREATE: &str = r#"curl -sf "$ABIDE_SERVER/v1/jobs" -H 'content-type: application/json' -d '{"kind": "x"}' -o answer"#;

#[test]
fn a_command_finds_its_server_and_its_exit_code_is_that_of_the_test() {
    let bench = Bench::new();
    let test = |flags: &[&str], script: &str| {
        bench.run(&[&["test"], flags, &["--", "sh", "-c", script]].concat())
    };
    let ran = test(&["--seed", "7"], &format!("{CREATE}; exit 7"));
    assert_eq!((ran.code, ran.out.as_str()), (7, ""), "{ran:?}");
    assert!(ran.err.contains("report card, seed 7: 1 client"), "{ran:?}");
    assert!(ran.err.contains("curl/"), "{ran:?}");
    // The server is the test's alone, and has no job that the test didn't make.
    let ran = test(&[], "curl -sf $ABIDE_SERVER/v1/jobs | jq -e '.jobs == []'");
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = test(
        &["--clock", "manual"],
        "curl -sf $ABIDE_SERVER/v1/clock | jq -e '.sort == \"manual\"'",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = test(
        &["--scenario", "flaky"],
        "curl -sf $ABIDE_SERVER/v1/simulator | jq -e '.scenario == \"flaky\"'",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = test(&[], "kill -9 $$");
    assert_eq!(ran.code, 128 + 9, "{ran:?}");
    let ran = bench.run(&["test", "--", "no-such-program"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("no-such-program"), "{ran:?}");
}

#[test]
fn a_broken_rule_fails_a_command_that_succeeded() {
    let bench = Bench::new();
    let read = format!(
        "{CREATE}; for n in 1 2 3; do curl -sf \"$ABIDE_SERVER/v1/jobs/$(jq -r .id answer)\" -o again; done"
    );
    let test = |flags: &[&str]| bench.run(&[&["test"], flags, &["--", "sh", "-c", &read]].concat());
    let ran = test(&["--fail-on", "duplicate_creates", "--report", "card.json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let card: serde_json::Value =
        serde_json::from_slice(&fs::read(bench.join("card.json")).unwrap()).unwrap();
    assert_eq!(card["clients"][0]["requests"], 4, "{card}");
    let ran = test(&["--fail-on", "duplicate_creates,requests_per_job=3"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err
            .contains("FAIL requests_per_job: 4.0, and the limit is 3.0"),
        "{ran:?}"
    );
    for odd in ["odd", "requests_per_job"] {
        let ran = test(&["--fail-on", odd]);
        assert_eq!(ran.code, 2, "{ran:?}");
    }
}

#[test]
fn our_own_commands_wait_well() {
    let bench = Bench::new();
    let abide = env!("CARGO_BIN_EXE_abide");
    for strategy in ["auto", "long-poll", "stream", "poll"] {
        let wait = format!(
            "{abide} wait --strategy {strategy} $({abide} create --duration 2s --error-chance 0)"
        );
        let limits = ["--fail-on", "cost_ratio=2,duplicate_creates"];
        let test = [&["test"], &limits[..], &["--", "sh", "-c", &wait]].concat();
        let ran = bench.run(&test);
        assert_eq!(ran.code, 0, "{strategy}: {ran:?}");
        assert!(ran.err.contains("times the bound"), "{strategy}: {ran:?}");
    }
}

#[test]
fn a_start_says_version_address_pages_data_and_keys() {
    let bench = Bench::new();
    let version = env!("CARGO_PKG_VERSION");
    let server = bench.serve(&["--data", "jobs"]);
    let url = server.url.clone();
    for part in [
        format!("abide {version}: listening on {url}\n"),
        format!("dashboard {url}/, reference {url}/docs\n"),
        format!(
            "data in {}, 0 jobs restored\n",
            bench.join("jobs").display()
        ),
        "no API key: every program on this machine has full access\n".to_owned(),
    ] {
        assert!(
            server.started.contains(&part),
            "{part:?} in {:?}",
            server.started
        );
    }
    server.create(&bench, "1h", "0");
    assert_eq!(server.terminate(), (0, String::new()));
    let server = bench.serve(&[
        "--data",
        "jobs",
        "--api-key",
        "ann:admin:a-secret-of-20-chars",
        "--api-key",
        "a-secret-of-21-chars!",
    ]);
    // The default job is the second.
    assert!(
        server.started.contains("2 jobs restored"),
        "{}",
        server.started
    );
    assert!(
        server.started.contains("2 API keys, 1 of the role admin"),
        "{}",
        server.started
    );
}

#[test]
fn where_the_log_is_json_every_line_is() {
    for json in [&["--log-format", "json"][..], &["--json"]] {
        every_line_is_json(json);
    }
}

fn every_line_is_json(json: &[&str]) {
    let bench = Bench::new();
    let flags = [
        "--ephemeral",
        "--listen",
        "127.0.0.1:0",
        "--ready-file",
        "url",
    ];
    let mut server = bench
        .command(&[&["serve"], &flags[..], json].concat())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !bench.join("url").exists() {
        assert!(server.try_wait().unwrap().is_none(), "the server ended");
    }
    let url = fs::read_to_string(bench.join("url")).unwrap();
    let asked = Command::new("curl")
        .arg("-sf")
        .arg(format!("{}/healthz", url.trim()))
        .output();
    assert!(asked.unwrap().status.success(), "{url}");
    let told = Command::new("kill").arg(server.id().to_string()).status();
    assert!(told.unwrap().success());
    let ran = Ran::of(&server.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = ran
        .err
        .lines()
        .map(|line| serde_json::from_str(line).expect(line));
    let messages: Vec<serde_json::Value> = lines.collect();
    let said = |message: &str| {
        messages
            .iter()
            .find(|line| line["fields"]["message"] == message)
    };
    let started = &said("listening").expect("a start")["fields"];
    assert_eq!(started["url"], url.trim());
    assert_eq!(started["keys"], 0);
    assert!(
        said("stopping").is_some() && said("stopped").is_some(),
        "{}",
        ran.err
    );
    // The file is there for as long as the server is.
    assert!(!bench.join("url").exists());
}
