//! A reader that has had enough is no failure, and what isn't a terminal gets plain lines.

use std::process::{Command, Stdio};

use crate::bench::{ABIDE, Bench};

#[test]
fn a_closed_pipe_is_success() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--speed", "100"]);
    let id = server.create(&bench, "1m", "0");
    for args in [
        &["completions", "bash"][..],
        &["config"],
        &["config", "--json"],
        &["status", &id],
        &["list"],
        &["watch", &id],
        &["wait", &id, "--json"],
        &["--help"],
    ] {
        // bash tells the exit code of each part of a pipe; `true` reads nothing and is gone at once.
        let script = "\"$@\" | true; echo \"${PIPESTATUS[0]}\"";
        let mut command = Command::new("bash");
        bench.clean(&mut command);
        command.args(["-c", script, "bash", ABIDE, "--server", &server.url]);
        let output = command.args(args).output().expect("bash");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), "0", "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn nothing_but_text_goes_into_a_pipe() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    let id = server.create(&bench, "100ms", "0");
    for args in [&["wait", &id][..], &["watch", &id], &["status", &id]] {
        let ran = server.run(&bench, args);
        assert!(!ran.out.contains('\x1b'), "{ran:?}");
        assert_eq!(ran.err, "", "{ran:?}");
        assert!(
            ran.out.contains(&id) && ran.out.contains("completed"),
            "{ran:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_log_that_goes_into_a_file_has_no_colors() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--log", "abide_server=debug"]);
    server.create(&bench, "1h", "0");
    let (code, said) = server.terminate();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("path=\"/v1/jobs\""), "{said}");
    assert!(!said.contains('\x1b'), "{said}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_wait_says_how_to_go_on() {
    let bench = Bench::new();
    let server = bench.by_hand();
    let jobs = [
        server.create(&bench, "1h", "0"),
        server.create(&bench, "1h", "0"),
    ];
    let mut command = bench.command(&server.args(&["wait", &jobs[0], &jobs[1]]));
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.expect("the binary runs");
    server.until_watched(&jobs[1]);
    let done = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(done.expect("kill").success());
    let output = child.wait_with_output().expect("a child");
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    let resume = format!("abide wait {} {} --server {}", jobs[0], jobs[1], server.url);
    assert!(said.contains(&resume), "{said}");
}
