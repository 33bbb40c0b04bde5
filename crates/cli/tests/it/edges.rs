//! What lies around the commands: variables, addresses, keys, a full disk, signals, foreign text.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::answers::answers_all_the_same;
use crate::bench::{Bench, Ran};

/// The names of a help text's commands.
pub(crate) fn commands(help: &str) -> Vec<String> {
    let (_, listed) = help.split_once("Jobs:\n").expect("commands");
    let lines = listed.lines().take_while(|line| *line != "Examples:");
    let names = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// The environment variables that a help text says are read.
fn variables(help: &str) -> Vec<String> {
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = words.split("[env: ").skip(1);
    let shown = shown.filter_map(|rest| rest.split(']').next());
    let names = shown.flat_map(|list| list.split(", "));
    names
        .filter_map(|name| name.split('=').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_variable_that_a_command_shows_is_read_by_it() {
    const NONSENSE: &str = "\u{1}?";
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--rate-limit", "off"]);
    let id = server.create(&bench, "1ms", "0");
    let mut seen = 0;
    for name in commands(&bench.run(&["--help"]).out) {
        let help = bench.run(&[&name, "--help"]);
        for variable in variables(&help.out) {
            seen += 1;
            let args: Vec<&str> = match name.as_str() {
                // The same function reads the settings of both, and only one of them ends by itself.
                "serve" | "config" => vec!["config"],
                "create" if variable == "ABIDE_REMOTE_KEY" => {
                    vec!["create", "--remote", "replicate"]
                }
                "create" => vec!["create", "--duration", "1ms", "--wait"],
                "attack" => vec!["attack", "http://127.0.0.1:9/"],
                "trigger" => vec!["trigger", "job.failed", "--to", "http://127.0.0.1:9/"],
                "delivery" | "deliveries" => vec![&name, "wh_1"],
                "list" | "listen" | "healthcheck" | "dialects" => vec![&name],
                "status" | "wait" if variable == "ABIDE_REMOTE_KEY" => {
                    vec![&name, "--remote", "replicate", &id]
                }
                "status" | "wait" | "watch" | "cancel" => vec![&name, &id],
                "work" => vec!["work", "--give-up", "1ms", "--", "true"],
                "cluster" => vec!["cluster", "status"],
                other => panic!("{other} shows {variable}: say here how it is run"),
            };
            let mut command = bench.command(&args);
            if variable == "ABIDE_STATE_DIR" {
                let directory = bench.join(&format!("learned-{name}"));
                command.env("ABIDE_SERVER", &server.url);
                command.env("ABIDE_STATE_DIR", &directory);
                let ran = Ran::of(&command.output().expect("the binary"));
                let learned = std::fs::read_dir(&directory).map(Iterator::count);
                assert!(learned.is_ok_and(|files| files > 0), "{name}: {ran:?}");
                continue;
            }
            if name != "serve" && name != "config" {
                command.env("ABIDE_SERVER", &server.url);
            }
            if variable == "ABIDE_SCHEMA" {
                command.env("ABIDE_DATABASE", "postgres://ann@127.0.0.1:9/jobs");
            }
            command.env(&variable, NONSENSE);
            let ran = Ran::of(&command.output().expect("the binary"));
            let named: &[&str] = match variable.as_str() {
                "ABIDE_SERVER" => &["--server"],
                "ABIDE_WEBHOOK_SECRET" => &["--secret"],
                "ABIDE_API_KEY" if args[0] != "config" => &["key"],
                "ABIDE_REMOTE_KEY" => &["API key"],
                "ABIDE_SCHEMA" => &["schema"],
                "ABIDE_SEAL_KEY_FILE" => &["`seal-key-file`"],
                "ABIDE_CONFIG" | "ABIDE_API_KEY_FILE" => &["? can't be read"],
                setting => &[setting],
            };
            let text = format!("{}{}", ran.out, ran.err);
            assert!(
                named.iter().all(|part| text.contains(part)),
                "{name} shows {variable} and doesn't read it: {ran:?}"
            );
        }
    }
    assert!(seen > 60, "{seen}");
}

#[test]
fn flags_of_the_client_are_shown_only_where_they_do_something() {
    let bench = Bench::new();
    for name in [
        "serve",
        "config",
        "demo",
        "simulate",
        "attack",
        "check",
        "backup",
        "completions",
        "man",
    ] {
        let help = bench.run(&[name, "--help"]).out;
        assert!(!help.contains("--server <URL>"), "{name}: {help}");
        let has_key = help.contains("--api-key <");
        assert_eq!(
            has_key,
            matches!(name, "serve" | "config"),
            "{name}: {help}"
        );
    }
    for name in [
        "create", "status", "list", "wait", "watch", "cancel", "listen",
    ] {
        let help = bench.run(&[name, "--help"]).out;
        for flag in ["--server <URL>", "--api-key <KEY>", "--json"] {
            assert!(help.contains(flag), "{name}: {help}");
        }
    }
}

#[test]
fn a_server_takes_its_keys_from_either_variable() {
    let bench = Bench::new();
    let shown = |variable: &str, value: &str| {
        let mut command = bench.command(&["config", "--json"]);
        command.env(variable, value);
        let ran = Ran::of(&command.output().expect("the binary"));
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.json()[0]["api-key"].clone()
    };
    for variable in ["ABIDE_API_KEY", "ABIDE_API_KEYS"] {
        let source = format!("environment {variable}");
        let one = shown(variable, "a-key-of-twenty-characters\n");
        assert_eq!(
            one,
            serde_json::json!({"value": "7511812f78a32fa4:user:[redacted]", "source": source})
        );
        let two = shown(
            variable,
            "a-key-of-twenty-characters, another-of-twenty-chars",
        );
        let two = two["value"].as_str().expect("text");
        assert_eq!(two.matches(":user:[redacted]").count(), 2, "{two}");
        assert_eq!(shown(variable, "")["value"], "");
    }
}

#[test]
fn a_key_may_have_white_space_around_it_and_is_never_shown() {
    let bench = Bench::new();
    let key = "swordfish-swordfish-1";
    let server = bench.serve(&["--ephemeral", "--api-key", key]);
    for (around, code) in [
        (format!("{key}\n"), 0),
        (format!("{key}\r\n"), 0),
        (format!(" {key}\t"), 0),
        (key.replace('-', "\n"), 2),
        (format!("{key}\u{200b}"), 3),
        (format!("\"{key}\""), 3),
        (String::new(), 3),
    ] {
        let mut command = bench.command(&server.args(&["list"]));
        command.env("ABIDE_API_KEY", &around);
        let ran = Ran::of(&command.output().expect("the binary"));
        assert_eq!(ran.code, code, "{around:?}: {ran:?}");
        assert!(!ran.err.contains("swordfish"), "{ran:?}");
        assert_eq!(ran.err.is_empty(), code == 0, "{around:?}: {ran:?}");
    }
}

#[test]
fn every_address_is_read_in_one_way() {
    let bench = Bench::new();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let server = bench.serve(&["--ephemeral"]);
    let url = server.url.clone();
    let table: &[&[&str]] = &[
        &["list", "--server"],
        &["create", "--webhook"],
        &["create", "--wait", "--strategy", "webhook", "--public-url"],
        &["listen", "--public-url"],
        &["listen", "--forward-to"],
        &["attack", "--secret", secret],
    ];
    for args in table {
        for (address, part) in [
            (
                "http://user:hunter2@127.0.0.1:9/x",
                "user name or a password",
            ),
            ("127.0.0.1:9/x", "did you mean http://127.0.0.1:9/x?"),
            ("ftp://127.0.0.1:9/x", "not ftp://"),
            ("http://::1:9/x", "http://[::1]:8080"),
        ] {
            let mut command = bench.command(args);
            command.env("ABIDE_SERVER", &url).arg(address);
            let ran = Ran::of(&command.output().expect("the binary"));
            assert_eq!(ran.code, 2, "{args:?} {address}: {ran:?}");
            assert!(ran.err.contains(part), "{args:?} {address}: {ran:?}");
            assert!(!ran.err.contains("hunter2"), "{args:?}: {ran:?}");
        }
    }
    let ran = bench.run(&["list", "--server", &format!("{url}/")]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_no_success() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    for args in [
        &["create"][..],
        &["list", "--help"],
        &["--help"],
        &["--version"],
        &["completions", "bash"],
        &["config"],
        &["simulate", "--jobs", "2", "--schedule", "fixed"],
    ] {
        let full = std::fs::File::create("/dev/full").expect("a device");
        let mut command = bench.command(&server.args(args));
        let child = command.stdout(full).stderr(Stdio::piped()).output();
        let ran = Ran::of(&child.expect("the binary"));
        assert_eq!(ran.code, 3, "{args:?}: {ran:?}");
        assert!(
            ran.err.contains("failed to write to stdout"),
            "{args:?}: {ran:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_goes_away_ends_a_command_unless_that_is_ignored() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--rate-limit", "off"]);
    let id = server.create(&bench, "1h", "0");
    let kill = |signal: &str, process: u32| {
        let sent = Command::new("kill")
            .args([signal, &process.to_string()])
            .status();
        assert!(sent.expect("kill").success());
    };
    for (args, code) in [
        (&["wait", &id][..], 130),
        (&["wait", &id, "--strategy", "webhook"], 130),
        (&["watch", &id], 130),
        (&["create", "--wait", "--duration", "1h"], 130),
        (&["listen", "--count", "1"], 130),
        (&["listen"], 0),
    ] {
        for is_ignored in [false, true] {
            // `nohup` would turn the output around as well.
            let script = if is_ignored {
                "trap '' HUP; exec \"$@\""
            } else {
                "exec \"$@\""
            };
            let mut command = Command::new("bash");
            bench.clean(&mut command);
            command.args(["-c", script, "bash", crate::bench::ABIDE]);
            command
                .args(server.args(args))
                .stdout(Stdio::null())
                .stderr(Stdio::piped());
            let mut child = command.spawn().expect("bash");
            until_it_listens_for(child.id(), if is_ignored { 15 } else { 1 });
            if is_ignored {
                kill("-HUP", child.id());
                kill("-TERM", child.id());
            } else {
                kill("-HUP", child.id());
            }
            let said = BufReader::new(child.stderr.take().expect("a pipe"));
            let said: Vec<_> = said.lines().map_while(Result::ok).collect();
            let ended = child.wait().expect("a child").code();
            assert_eq!(
                ended,
                Some(code),
                "{args:?}, ignored: {is_ignored}: {said:?}"
            );
        }
    }
    let left = Command::new("curl")
        .args(["-sf", &format!("{}/v1/webhooks", server.url)])
        .output();
    let left: serde_json::Value =
        serde_json::from_slice(&left.expect("curl").stdout).expect("JSON");
    let left = left
        .as_object()
        .and_then(|page| page.values().find_map(|member| member.as_array()));
    assert_eq!(left.map(Vec::len), Some(0), "{left:?}");
}

/// Waits until a process catches that signal, as its kernel tells.
#[cfg(target_os = "linux")]
fn until_it_listens_for(process: u32, signal: u32) {
    for _ in 0..100_000 {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        let is_ours = status.starts_with("Name:\tabide");
        if is_ours && caught.is_some_and(|mask| mask >> (signal - 1) & 1 == 1) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("it doesn't listen for signal {signal}");
}

#[cfg(unix)]
#[test]
fn what_is_no_text_is_a_mistake_of_usage() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    for args in [&["status"][..], &["status", "--nonsense"], &[]] {
        let mut command = bench.command(args);
        let ran = Ran::of(
            &command
                .arg(OsStr::from_bytes(b"job_\xff"))
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(!ran.err.contains("panicked"), "{ran:?}");
    }
    let file = bench.join("no-text");
    std::fs::write(&file, b"job_\xff\n").unwrap();
    for args in [
        &["wait", "-"][..],
        &["create", "--input", "-"],
        &["simulate", "--durations", "-"],
    ] {
        let mut command = bench.command(&server.args(args));
        let stdin = std::fs::File::open(&file).unwrap();
        let ran = Ran::of(&command.stdin(stdin).output().unwrap());
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains("stdin can't be read"), "{ran:?}");
    }
}

#[test]
fn foreign_text_drives_no_terminal() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let kind = "a\u{1b}]0;title\u{7}\u{9b}2J\u{202e}b";
    let input = r#"{"x": "\u001b[2J\u009b31m"}"#;
    let args = [
        "create",
        "--kind",
        kind,
        "--input",
        input,
        "--duration",
        "1ms",
        "--error-chance",
        "0",
        "--wait",
    ];
    let made = server.run(&bench, &args);
    assert_eq!(made.code, 0, "{made:?}");
    let id = made
        .out
        .split_whitespace()
        .next()
        .expect("an id")
        .to_owned();
    for args in [
        &["status", &id][..],
        &["list"],
        &["watch", &id],
        &["status", &id, "--json"],
        &["list", "--json"],
    ] {
        let ran = server.run(&bench, args);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_drives_nothing(&ran);
    }
    let shown = server.run(&bench, &["status", &id, "--json"]).json();
    assert_eq!(shown[0]["kind"], kind);
}

/// Nothing in what was written moves a cursor, sets a title or turns the direction of text.
fn assert_drives_nothing(ran: &Ran) {
    let mut chars = ran.out.chars();
    let driving = chars.find(|char| (char.is_control() && *char != '\n') || *char == '\u{202e}');
    assert_eq!(driving, None, "{ran:?}");
}

#[test]
fn what_answers_in_a_servers_place_drives_no_terminal() {
    const DELIVERIES: &str = concat!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        r#"{"deliveries": [{"id": "msg_\u001b[2J", "endpoint_id": "wh_1", "url": "http://\u009b2J", "#,
        r#""type": "job.\u001b]0;a\u0007", "status": "sent\u202e", "attempts": [], "#,
        r#""created_at": "2026-11-22T00:00:00Z"}], "next_page_token": "the same again"}"#,
    );
    let bench = Bench::new();
    let health = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nok\x1b[2J\x07";
    for (answer, args) in [
        (health, &["healthcheck"][..]),
        (DELIVERIES, &["deliveries", "wh_1"]),
        (DELIVERIES, &["deliveries", "wh_1", "-o", "wide"]),
    ] {
        let url = answers_all_the_same(answer);
        let ran = bench.run(&[args, &["--server", &url]].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_drives_nothing(&ran);
        assert!(
            ran.out.contains("ok") || ran.out.lines().any(|line| line.contains("msg_")),
            "{ran:?}"
        );
    }
}
