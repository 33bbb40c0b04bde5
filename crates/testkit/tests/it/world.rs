//! The simulated world: no seed breaks a promise, what is broken on purpose is found, and a seed plays the same twice.

use std::process::{Command, Output};

/// How many seeds are played here; `checks/world.sh` plays as many as one likes.
const SEEDS: &str = "500";
/// Within how many seeds what is broken on purpose must be found.
const HUNT: &str = "100";

fn world(args: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_world"))
        .args(args)
        .output();
    let output = output.expect("the program is built with this test");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

#[test]
fn no_seed_breaks_a_promise() {
    let (output, text) = world(&["--seed", "1", "--count", SEEDS]);
    assert!(output.status.success(), "{text}");
}

#[test]
fn a_seed_plays_the_same_twice() {
    for seed in ["3", "4", "5", "11"] {
        let [first, second] = [(); 2].map(|()| world(&["--seed", seed, "--log"]).1);
        assert!(first.lines().count() > 50, "{first}");
        assert_eq!(first, second);
    }
}

/// What that sabotage breaks is found, as one of these promises.
fn finds(sabotage: &str, promises: &[&str]) {
    let (output, text) = world(&["--count", HUNT, "--sabotage", sabotage]);
    assert!(!output.status.success(), "{sabotage}: {text}");
    let first = text.split(' ').next().unwrap();
    assert!(promises.contains(&first), "{sabotage}: {text}");
}

#[test]
fn a_journal_that_tells_before_it_appends_is_found() {
    finds("tell-before-append", &["Kept", "Delivered", "Frozen"]);
}

#[test]
fn a_lost_sync_is_found() {
    finds("lost-sync", &["Kept", "Delivered", "Frozen"]);
}

#[test]
fn records_without_a_limit_in_bytes_are_found() {
    finds("unbounded", &["Limits"]);
}

#[cfg(feature = "sabotage")]
#[test]
fn a_waiter_that_registers_after_it_has_looked_is_found() {
    finds("register-after-looking", &["Deadlines"]);
}
