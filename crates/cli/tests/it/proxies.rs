//! A machine behind a proxy: the environment names one, and nobody listens there.

use std::net::TcpListener;
use std::process::Command;

use crate::bench::{Bench, Ran};

/// Sets every variable that names a proxy, to a port that was just given back.
fn behind_a_dead_proxy(command: &mut Command) -> String {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let proxy = format!("127.0.0.1:{port}");
    for variable in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env(variable, format!("http://{proxy}"));
    }
    proxy
}

fn run(bench: &Bench, args: &[&str]) -> Ran {
    let mut command = bench.command(args);
    behind_a_dead_proxy(&mut command);
    Ran::of(&command.output().expect("the binary"))
}

#[test]
fn no_command_goes_through_a_proxy_to_its_own_machine() {
    let bench = Bench::new();
    let server = bench.serve(&["--ephemeral", "--rate-limit", "off"]);
    let localhost = server.url.replace("127.0.0.1", "localhost");
    for url in [&server.url, &localhost] {
        let run = |args: &[&str]| {
            let ran = run(&bench, &[args, &["--server", url]].concat());
            assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
            ran
        };
        let created = run(&["create", "--duration", "10ms", "--error-chance", "0"]);
        let id = created.out.trim();
        for strategy in ["auto", "poll", "long-poll", "stream", "webhook"] {
            run(&["wait", id, "--strategy", strategy]);
        }
        run(&["status", id]);
        run(&["list"]);
        run(&["watch", id]);
        run(&["cancel", id]);
    }
    let demo = run(&bench, &["demo", "--jobs", "1"]);
    assert_eq!(demo.code, 0, "{demo:?}");
    assert!(!demo.out.contains("NaN"), "{demo:?}");
}

#[test]
fn an_error_of_a_request_through_a_proxy_names_the_proxy() {
    let bench = Bench::new();
    let mut command = bench.command(&["status", "x", "--server", "http://jobs.example.com"]);
    let proxy = behind_a_dead_proxy(&mut command);
    let ran = Ran::of(&command.output().expect("the binary"));
    assert_eq!(ran.code, 3, "{ran:?}");
    let named = format!("through the proxy {proxy}");
    assert!(ran.err.contains(&named), "{ran:?}");
}
