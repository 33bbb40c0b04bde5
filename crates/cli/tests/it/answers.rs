//! Exit codes, lines and JSON: what a script relies on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bench::{Bench, Ran};

#[test]
fn every_end_has_its_exit_code() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--seed", "7", "--rate-limit", "off"]);
    let completed = server.create(&bench, "10ms", "0");
    let failed = server.create(&bench, "10ms", "1");
    let canceled = server.create(&bench, "1h", "0");
    let long = server.create(&bench, "1h", "0");
    let table: &[(&[&str], i32, &str)] = &[
        (&["wait", &completed], 0, ""),
        (&["wait", &failed], 1, ""),
        (&["cancel", &canceled], 0, ""),
        (&["wait", &canceled], 1, ""),
        (&["cancel", &completed], 0, "had ended before, as completed"),
        (&["wait", &long, "--timeout", "300ms"], 4, "the job goes on"),
        (&["wait", &completed, &failed], 1, ""),
        (&["wait", &completed, "job_unknown"], 3, "check the id"),
        (&["watch", &completed], 0, ""),
        (&["watch", &failed], 1, ""),
        (&["status", &completed], 0, ""),
        (&["status", &failed], 0, ""),
        (&["status", &failed, "--exit-status"], 1, ""),
        (&["status", &long, "--exit-status"], 4, ""),
        (
            &["status", "job_unknown"],
            3,
            "job_unknown: there is no such job; check the id",
        ),
        (&["create", "--input", "{"], 2, "--input is not JSON"),
        (&["create", "--duration", "soon"], 2, "is not a"),
        (&["create", "--duration", "-1s"], 2, ""),
        (&["create", "--error-chance", "7"], 3, "error_chance"),
        (&["wait"], 2, "required"),
        (&["wait", &completed, "--nonsense"], 2, "--nonsense"),
        (
            &[
                "wait",
                &completed,
                "--strategy",
                "stream",
                "--interval",
                "1s",
            ],
            2,
            "--strategy poll",
        ),
        (&["wait", "."], 2, "not the id of a job"),
        (&["nonsense"], 2, "nonsense"),
    ];
    for (args, code, said) in table {
        let ran = server.run(&bench, args);
        assert_eq!(ran.code, *code, "{args:?}: {ran:?}");
        assert!(ran.err.contains(said), "{args:?}: {ran:?}");
        assert_eq!(
            ran.err.is_empty(),
            said.is_empty() && *code != 2,
            "{args:?}: {ran:?}"
        );
    }
}

#[test]
fn a_list_has_the_newest_first_and_only_what_was_asked_for() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--rate-limit", "off"]);
    let create = |kind: &str, user: &str| {
        let user = format!("user={user}");
        let ran = server.run(
            &bench,
            &[
                "create",
                "--duration",
                "1h",
                "--kind",
                kind,
                "--metadata",
                &user,
            ],
        );
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.trim().to_owned()
    };
    let first = create("dub", "1");
    let second = create("dub", "2");
    let third = create("thumbnail", "1");
    assert_eq!(server.run(&bench, &["cancel", &first]).code, 0);
    let table: &[(&[&str], &[&str])] = &[
        (&["--kind", "dub"], &[&second, &first]),
        (&["--metadata", "user=1"], &[&third, &first]),
        (&["--metadata", "user=1", "--kind", "dub"], &[&first]),
        (&["--status", "canceled"], &[&first]),
        (&["--status", "CANCELED"], &[&first]),
        (&["--limit", "1", "--kind", "dub"], &[&second]),
        (&["--limit", "0"], &[]),
        (&["--kind", "nobody's"], &[]),
    ];
    for (flags, ids) in table {
        let ran = server.run(&bench, &[&["list"], *flags].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{flags:?}: {ran:?}");
        let listed: Vec<_> = ran
            .out
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(listed, *ids, "{flags:?}");
        let ran = server.run(&bench, &[&["list", "--json"], *flags].concat());
        let lines = ran.json();
        let listed: Vec<_> = lines.iter().filter_map(|job| job["id"].as_str()).collect();
        assert_eq!(listed, *ids, "{flags:?}");
    }
    let ran = server.run(&bench, &["list", "--status", "odd"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let parts = ["odd", "pending, running, completed, failed, canceled"];
    assert!(parts.iter().all(|part| ran.err.contains(part)), "{ran:?}");
}

#[test]
fn a_server_that_is_not_there_is_named_with_the_command_that_starts_it() {
    let bench = Bench::new();
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let url = format!("http://{address}");
    for args in [
        &["create"][..],
        &["status", "job_1"],
        &["list"],
        &["wait", "job_1"],
        &["watch", "job_1"],
        &["cancel", "job_1"],
    ] {
        let ran = bench.run(&[args, &["--server", &url]].concat());
        assert_eq!(ran.code, 3, "{ran:?}");
        let command = format!("abide serve --listen {address}");
        assert!(ran.err.contains(&command), "{args:?}: {ran:?}");
        assert_eq!(ran.out, "", "{args:?}");
    }
    for url in [
        "nonsense",
        "ftp://127.0.0.1",
        "http://name:swordfish@127.0.0.1",
    ] {
        let ran = bench.run(&["status", "job_1", "--server", url]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(!ran.err.contains("swordfish-swordfish-1"), "{ran:?}");
    }
}

/// Answers every connection the same, until nobody connects any more.
#[expect(
    clippy::disallowed_methods,
    reason = "a server of the standard library's blocks; its thread ends with the test's process"
)]
pub(crate) fn answers_all_the_same(answer: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            // The head comes in one piece; who hung up wants no answer.
            let _asked = connection.read(&mut [0; 4096]);
            let _told = connection.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn a_server_of_another_kind_is_told_from_one_that_is_not_there() {
    let bench = Bench::new();
    let table = [
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<hr>",
            "the answer (text/html) holds no job: it is no object; is ",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{\"id\":1}",
            "the answer (application/json) holds no job: ",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7200\r\ncontent-length: 0\r\n\r\n",
            "503 Service Unavailable; it asks to be left alone for 7200 s",
        ),
        (
            "HTTP/1.1 301 Moved Permanently\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
            "301 Moved Permanently, to /elsewhere; redirects are not followed",
        ),
    ];
    for (answer, said) in table {
        let url = answers_all_the_same(answer);
        for args in [
            &["status", "job_1"][..],
            &["wait", "job_1", "--timeout", "2s"],
        ] {
            let ran = bench.run(&[args, &["--server", &url]].concat());
            assert_eq!(ran.code, 3, "{ran:?}");
            assert!(ran.err.contains(said), "{args:?}: {ran:?}");
            assert_eq!(ran.out, "", "{args:?}");
        }
    }
}

#[test]
fn keys_are_asked_for_and_shown_to_nobody() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--api-key", "swordfish-swordfish-1"]);
    let none = server.run(&bench, &["create"]);
    assert_eq!(none.code, 3);
    assert!(none.err.contains("--api-key"), "{none:?}");
    let wrong = server.run(
        &bench,
        &["create", "--api-key", "tunafish-tunafish-tunafish"],
    );
    assert_eq!(wrong.code, 3);
    assert!(
        !wrong.err.contains("tunafish-tunafish-tunafish"),
        "{wrong:?}"
    );
    let right = server.run(&bench, &["create", "--api-key", "swordfish-swordfish-1"]);
    assert_eq!(right.code, 0, "{right:?}");
    let mut with_variable = bench.command(&server.args(&["create"]));
    let ran = Ran::of(
        &with_variable
            .env("ABIDE_API_KEY", "swordfish-swordfish-1")
            .output()
            .unwrap(),
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// The names of an object's members, in order.
fn members(value: &Value) -> Vec<&str> {
    let object = value.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

#[test]
fn waiting_writes_one_object_per_job_in_order_of_completion() {
    let bench = Bench::new();
    let server = bench.by_hand();
    let slow = server.create(&bench, "200s", "0");
    let quick = server.create(&bench, "100s", "1");
    let endless = server.create(&bench, "1h", "0");
    let args = [
        "wait",
        &endless,
        &slow,
        &quick,
        "job_no",
        "--timeout",
        "10s",
        "--json",
    ];
    let mut wait = bench
        .command(&server.args(&args))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Each line is there before the next job ends, so that the order is no matter of who is quicker.
    let mut written = BufReader::new(wait.stdout.take().unwrap()).lines();
    let mut lines: Vec<Value> = Vec::new();
    for seconds in [0, 100, 100, 0] {
        if seconds > 0 {
            server.advance(seconds);
        }
        let line = written.next().expect("a line for each job").unwrap();
        lines.push(serde_json::from_str(&line).unwrap());
    }
    assert!(written.next().is_none(), "a line for each job, and no more");
    let ended = Ran::of(&wait.wait_with_output().unwrap());
    assert_eq!(ended.code, 4, "the highest of all: {ended:?}");
    assert_eq!(ended.err, "");
    let ids: Vec<_> = lines
        .iter()
        .map(|line| line["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["job_no", &quick, &slow, &endless]);
    for line in &lines {
        let mut names = members(line);
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "detection_ms",
                "elapsed_ms",
                "error",
                "id",
                "job",
                "outcome",
                "requests",
                "transport"
            ]
        );
        assert!(line["requests"].as_u64().unwrap() >= 1, "{line}");
        assert!(line["elapsed_ms"].as_f64().unwrap() >= 0.0, "{line}");
    }
    assert_eq!(lines[0]["outcome"], Value::Null);
    assert_eq!(lines[0]["error"]["code"], "not_found");
    assert_eq!(lines[1]["outcome"], "failed");
    assert_eq!(lines[1]["error"]["code"], "job_failed");
    assert_eq!(lines[2]["outcome"], "completed");
    assert_eq!(lines[2]["error"], Value::Null);
    assert!(lines[2]["detection_ms"].is_number());
    assert!(lines[2]["transport"].is_string());
    assert_eq!(lines[3]["outcome"], Value::Null);
    assert_eq!(lines[3]["error"]["code"], "still_running");
}

#[test]
fn every_strategy_and_schedule_waits() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--rate-limit", "off"]);
    for (flags, transport) in [
        ("", "long_poll"),
        ("--strategy long-poll", "long_poll"),
        ("--strategy stream", "stream"),
        ("--strategy poll", "poll"),
        ("--interval 50ms", "poll"),
        (
            "--strategy poll --schedule backoff --interval 10ms --factor 1.5 --max-interval 1s",
            "poll",
        ),
        ("--schedule countdown --interval 100ms", "poll"),
    ] {
        let id = server.create(&bench, "200ms", "0");
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let ran = server.run(&bench, &[&["wait", &id, "--json"], &flags[..]].concat());
        assert_eq!(ran.code, 0, "{flags:?}: {ran:?}");
        assert_eq!(ran.json()[0]["transport"], transport, "{flags:?}");
    }
}

#[test]
fn ids_come_from_stdin_too() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let ids = [
        server.create(&bench, "10ms", "0"),
        server.create(&bench, "10ms", "0"),
    ];
    let list = bench.join("ids");
    std::fs::write(
        &list,
        format!("{}\n\n{} and talk\n{}\n", ids[0], ids[1], ids[0]),
    )
    .unwrap();
    let stdin = std::fs::File::open(&list).unwrap();
    let mut command = bench.command(&server.args(&["wait", "-", "--json"]));
    let ran = Ran::of(&command.stdin(stdin).output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json().len(), 2, "{ran:?}");
}

#[test]
fn what_is_created_is_what_was_said() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--clock", "manual"]);
    let input = bench.join("input.json");
    // As editors write it that mark the encoding and end lines as in Windows.
    std::fs::write(&input, "\u{feff}{\"language\": \"es\"}\r\n").unwrap();
    let flags = [
        "create",
        "--json",
        "--kind",
        "dub",
        "--input",
        "@input.json",
        "--metadata",
        "user=42",
        "--metadata",
        "note=a=b",
        "--idempotency-key",
        "first",
    ];
    let ran = server.run(&bench, &flags);
    assert_eq!(ran.code, 0, "{ran:?}");
    let job = &ran.json()[0];
    assert_eq!(job["kind"], "dub");
    assert_eq!(job["input"], json!({"language": "es"}));
    assert_eq!(job["metadata"], json!({"user": "42", "note": "a=b"}));
    let again = server.run(&bench, &flags);
    assert_eq!(again.json()[0]["id"], job["id"]);
    assert!(again.err.contains("was there already"), "{again:?}");
    let other = server.run(&bench, &["create", "--idempotency-key", "first"]);
    assert_eq!(other.code, 3, "the same key with another body: {other:?}");
    let external = server.run(&bench, &["create", "--external", "--json"]);
    assert_eq!(external.json()[0]["status"], "pending");
    let both = server.run(&bench, &["create", "--external", "--duration", "1s"]);
    assert_eq!(both.code, 2, "{both:?}");
}

#[test]
fn creating_and_waiting_go_together() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let flags = [
        "create",
        "--wait",
        "--json",
        "--duration",
        "50ms",
        "--error-chance",
    ];
    let good = server.run(&bench, &[&flags[..], &["0"]].concat());
    assert_eq!(
        (good.code, &good.json()[0]["outcome"]),
        (0, &json!("completed"))
    );
    let bad = server.run(&bench, &[&flags[..], &["1"]].concat());
    assert_eq!((bad.code, &bad.json()[0]["outcome"]), (1, &json!("failed")));
}

#[test]
fn watching_shows_every_change_once_and_in_order() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--speed", "100"]);
    let id = server.create(&bench, "1m", "0");
    let ran = server.run(&bench, &["watch", &id, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let revisions: Vec<_> = ran
        .json()
        .iter()
        .map(|job| job["revision"].as_u64().unwrap())
        .collect();
    assert!(revisions.len() > 2, "{revisions:?}");
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    assert_eq!(ran.json().last().unwrap()["done"], true);
}

#[test]
fn watching_without_a_job_follows_all_of_them_until_it_is_interrupted() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--speed", "100", "--rate-limit", "off"]);
    let args = server.args(&["watch", "--json"]);
    let mut watch = bench.command(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    // Until the first line nobody knows whether it follows already; jobs that came before it are none of its business.
    let mut jobs = Vec::new();
    let (first, told) = std::sync::mpsc::channel();
    let ends = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut ends = Vec::new();
            while let Some(Ok(line)) = lines.next() {
                let event: serde_json::Value = serde_json::from_str(&line).unwrap();
                if event["data"]["done"] == true {
                    let id = event["data"]["id"].as_str().unwrap().to_owned();
                    let _enough = first.send(id.clone());
                    ends.push(id);
                }
            }
            ends
        });
        for _ in 0..300 {
            jobs.push(server.create(&bench, "1s", "0"));
            // The one that the server starts by itself says nothing of whether ours are followed.
            if told.try_iter().any(|id| jobs.contains(&id)) {
                break;
            }
        }
        let killed = Command::new("kill").arg(watch.id().to_string()).status();
        assert!(killed.unwrap().success());
        reader.join().unwrap()
    });
    assert_eq!(watch.wait().unwrap().code(), Some(0));
    // Beside ours there is the one that the server starts by itself.
    let others = ends.iter().filter(|id| !jobs.contains(id)).count();
    assert!(others <= 1 && ends.len() > others, "{ends:?} of {jobs:?}");
}

#[test]
fn a_wait_can_be_told_by_a_webhook() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--speed", "20"]);
    let id = server.create(&bench, "20s", "0");
    let flags = ["wait", &id, "--strategy", "webhook", "--json"];
    let ran = server.run(&bench, &flags);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["transport"], "push", "{ran:?}");
    // The wait that registers cleans up: the second wait makes an endpoint of its own and takes it away too.
    let ran = server.run(&bench, &flags);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn the_configuration_tells_where_each_value_comes_from() {
    let bench = Bench::new();
    let mut command = bench.command(&[
        "config",
        "--json",
        "--speed",
        "60",
        "--api-key",
        "fish-fish-fish-fish-fish",
    ]);
    let ran = Ran::of(&command.env("MIN_DELAY", "1").output().unwrap());
    let config = &ran.json()[0];
    assert_eq!(config["speed"], json!({"value": "60", "source": "flag"}));
    assert_eq!(config["min-delay"]["source"], "environment MIN_DELAY");
    assert_eq!(config["listen"]["source"], "default");
    assert!(!ran.out.contains("fish"), "{ran:?}");
    let text = bench.run(&["config", "--speed", "60"]);
    std::fs::write(bench.join("abide.toml"), &text.out).unwrap();
    let again = bench.run(&["config", "--config", "abide.toml", "--json"]);
    assert_eq!(again.json()[0]["speed"]["value"], "60");
    let wrong = bench.run(&["config", "--speed", "0"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}

#[test]
fn shells_complete_and_the_manual_has_a_page_for_every_command() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = bench.run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains("max-interval"), "{shell}");
        let has_values = !["elvish", "powershell"].contains(&shell);
        for word in ["lost-webhooks", "first-poll", "replicate"] {
            let is_there = ran.out.contains(word);
            assert!(is_there || !has_values, "{shell} doesn't complete {word}");
        }
    }
    let ran = bench.run(&["man", "pages"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let help = bench.run(&["--help"]).out;
    let mut count = 0;
    for command in crate::edges::commands(&help) {
        let page = bench.join(&format!("pages/abide-{command}.1"));
        let text = std::fs::read_to_string(&page).unwrap();
        let synopsis = format!(".SH SYNOPSIS\n.nf\n\\&abide {command} ");
        assert!(text.contains(&synopsis), "{}", page.display());
        assert!(text.contains(".SH EXAMPLES\n"), "{}", page.display());
        let help = bench.run(&[&command, "--help"]).out;
        assert!(help.contains("Examples:"), "{command} shows no example");
        count += 1;
    }
    assert!(count >= 9, "{help}");
}
