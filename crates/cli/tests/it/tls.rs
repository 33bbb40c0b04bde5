//! https on the server's own socket, and files that are read again on SIGHUP.

use std::fs;
use std::process::Command;

use crate::bench::{Bench, Ran, Served};

/// Writes a new certificate for `localhost` and its key.
fn certify(bench: &Bench) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(bench.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(bench.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

fn curl(bench: &Bench, server: &Served, path: &str, more: &[&str]) -> Ran {
    let url = format!("{}{path}", server.url.replace("127.0.0.1", "localhost"));
    let mut command = Command::new("curl");
    bench.clean(&mut command);
    command
        .args(["-sS", "--cacert", "trusted.pem", &url])
        .args(more);
    Ran::of(&command.output().expect("curl"))
}

fn hang_up(server: &Served) {
    let told = Command::new("kill")
        .args(["-HUP", &server.process().to_string()])
        .status();
    assert!(told.unwrap().success());
}

#[test]
fn requests_holds_and_streams_go_over_https() {
    let bench = Bench::new();
    certify(&bench);
    fs::copy(bench.join("cert.pem"), bench.join("trusted.pem")).unwrap();
    let server = bench.serve(&[
        "--ephemeral",
        "--tls-cert",
        "cert.pem",
        "--tls-key",
        "key.pem",
    ]);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let ran = curl(&bench, &server, "/healthz", &["-w", "%{http_version}"]);
    assert_eq!(ran.out, "ok\n2", "{ran:?}");
    for version in ["--http1.1", "--http2"] {
        let body = r#"{"simulate": {"duration": "300ms", "outcome": {"error_chance": 0}}}"#;
        let json = [
            "-H",
            "content-type: application/json",
            "-d",
            body,
            "-D",
            "head",
            version,
        ];
        let job = curl(&bench, &server, "/v1/jobs", &json).json().remove(0);
        let head = fs::read_to_string(bench.join("head"))
            .unwrap()
            .to_lowercase();
        assert!(
            head.contains("operation-location: https://localhost:"),
            "{head}"
        );
        let path = format!("/v1/jobs/{}", job["id"].as_str().unwrap());
        let events = curl(&bench, &server, &format!("{path}/events"), &["-N", version]);
        assert!(events.out.contains("event: job.completed"), "{events:?}");
        let held = curl(&bench, &server, &format!("{path}?wait=10"), &[version]);
        assert_eq!(held.json()[0]["done"], true, "{held:?}");
    }
    let plain = server.url.replace("https", "http");
    for (url, advice) in [
        (&plain, "that port may speak https; try https://127.0.0.1:"),
        (
            &server.url,
            "name the certificate of its authority with SSL_CERT_FILE",
        ),
    ] {
        let ran = bench.run(&["list", "--server", url]);
        assert!(ran.code == 3 && ran.err.contains(advice), "{ran:?}");
    }
    let other = bench.serve(&["--ephemeral"]);
    let ran = bench.run(&["list", "--server", &other.url.replace("http", "https")]);
    let advice = format!("that port speaks no https; try {}\n", other.url);
    assert!(ran.code == 3 && ran.err.ends_with(&advice), "{ran:?}");
    let done = Command::new("curl").args(["-sS", &plain]).output().unwrap();
    assert!(!done.status.success());
    assert_eq!(server.terminate(), (0, String::new()));
}

#[test]
fn a_hangup_takes_another_certificate_and_other_keys() {
    let bench = Bench::new();
    certify(&bench);
    let (first, second) = ("a-secret-of-20-chars", "a-secret-of-21-chars!");
    fs::write(bench.join("keys"), format!("ann:admin:{first}\n")).unwrap();
    let flags = [
        "--ephemeral",
        "--log",
        "error",
        "--tls-cert",
        "cert.pem",
        "--tls-key",
        "key.pem",
        "--api-key-file",
        "keys",
    ];
    let server = bench.serve(&flags);
    let status = |key: &str| {
        let key = format!("authorization: Bearer {key}");
        curl(
            &bench,
            &server,
            "/v1/jobs",
            &["-o", "answer", "-w", "%{http_code}", "-H", &key],
        )
        .out
    };
    fs::copy(bench.join("cert.pem"), bench.join("trusted.pem")).unwrap();
    assert_eq!(
        (status(first), status(second)),
        ("200".to_owned(), "401".to_owned())
    );

    // What is wrong is passed over.
    fs::write(bench.join("keys"), "short\n").unwrap();
    hang_up(&server);
    let said = server.line();
    assert!(said.contains("could not be read again"), "{said}");
    assert_eq!(status(first), "200");

    certify(&bench);
    fs::copy(bench.join("cert.pem"), bench.join("trusted.pem")).unwrap();
    fs::write(bench.join("keys"), format!("ann:admin:{second}\n")).unwrap();
    hang_up(&server);
    while status(second) != "200" {}
    assert_eq!(status(first), "401");
    assert_eq!(server.terminate(), (0, String::new()));
}

#[test]
fn a_hangup_that_finds_a_pipe_with_nothing_to_say_keeps_nothing_waiting() {
    let bench = Bench::new();
    let key = "a-secret-of-20-chars";
    fs::write(bench.join("keys"), format!("ann:admin:{key}\n")).unwrap();
    let flags = ["--ephemeral", "--log", "error", "--api-key-file", "keys"];
    let server = bench.serve(&flags);
    fs::remove_file(bench.join("keys")).unwrap();
    let made = Command::new("mkfifo").arg(bench.join("keys")).status();
    assert!(made.unwrap().success());
    hang_up(&server);
    hang_up(&server);
    let jobs = format!("{}/v1/jobs", server.url);
    let asked = Command::new("curl")
        .args(["-sSf", "-H", &format!("authorization: Bearer {key}"), &jobs])
        .output();
    assert!(asked.unwrap().status.success(), "the key before stays");
    let process = server.process().to_string();
    let told = Command::new("kill").arg(&process).status();
    assert!(told.unwrap().success());
    // One that doesn't hear it is ended otherwise.
    let kill = format!("sleep 60; kill -KILL {process}");
    let mut late = Command::new("bash").args(["-c", &kill]).spawn().unwrap();
    let ended = server.ended();
    late.kill().unwrap();
    late.wait().unwrap();
    assert_eq!(ended, (0, String::new()));
}

#[test]
fn a_hangup_ends_a_server_that_has_nothing_to_read_again() {
    let bench = Bench::new();
    let server = bench.serve(&["--data", "jobs"]);
    hang_up(&server);
    assert_eq!(server.ended(), (0, String::new()));
}

#[test]
fn a_certificate_that_can_not_be_used_is_named() {
    let bench = Bench::new();
    certify(&bench);
    for (flags, code, part) in [
        (&["--tls-cert", "cert.pem"][..], 2, "tls-key"),
        (
            &["--tls-cert", "missing.pem", "--tls-key", "key.pem"],
            3,
            "missing.pem",
        ),
        (
            &["--tls-cert", "cert.pem", "--tls-key", "cert.pem"],
            3,
            "cert.pem",
        ),
    ] {
        let ran =
            bench.run(&[&["serve", "--ephemeral", "--listen", "127.0.0.1:0"], flags].concat());
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(part), "{ran:?}");
    }
}

#[test]
fn a_healthcheck_ends_by_how_the_server_is() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral"]);
    for args in [&["healthcheck"][..], &["healthcheck", "--ready"]] {
        assert_eq!(server.run(&bench, args).code, 0);
    }
    let args = ["--server", "http://127.0.0.1:1", "healthcheck"];
    let ran = bench.run(&args);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("http://127.0.0.1:1"), "{ran:?}");
}
