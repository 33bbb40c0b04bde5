//! Servers that can't start say why, and what to do.

use std::fs;

use crate::bench::{ABIDE, Bench, Ran};

/// A start that must fail: what it says, with the exit code for "refused".
fn refused(bench: &Bench, args: &[&str], parts: &[&str]) {
    let mut command = bench.command(&[&["serve"], args].concat());
    let output = command.env("ABIDE_LISTEN", "127.0.0.1:0").output();
    let ran = Ran::of(&output.expect("the binary runs"));
    assert_eq!(ran.code, 3, "{args:?}: {ran:?}");
    for part in parts {
        assert!(
            ran.err.contains(part),
            "{args:?} doesn't say {part:?}: {ran:?}"
        );
    }
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    assert_eq!(ran.out, "");
}

#[test]
fn a_directory_belongs_to_one_server_at_a_time() {
    let bench = Bench::new();
    let first = bench.serve(&["--data", "jobs"]);
    let process = format!("process {}", first.process());
    refused(
        &bench,
        &["--data", "jobs"],
        &["in use by another server", &process, "--data"],
    );
    let (code, _) = first.terminate();
    assert_eq!(code, 0);
    let (code, _) = bench.serve(&["--data", "jobs"]).terminate();
    assert_eq!(code, 0, "once it has ended, another may");
}

#[test]
fn a_port_belongs_to_one_server_at_a_time() {
    let bench = Bench::new();
    let first = bench.serve(&["--ephemeral"]);
    let address = first.url.trim_start_matches("http://");
    refused(
        &bench,
        &["--ephemeral", "--listen", address],
        &[address, "in use by another program", "--listen"],
    );
}

#[test]
fn a_directory_that_can_not_be_used_is_named() {
    let bench = Bench::new();
    fs::write(bench.join("file"), "").unwrap();
    refused(&bench, &["--data", "file"], &["file"]);
    refused(&bench, &["--data", "file/below"], &["file/below"]);
    refused(&bench, &["--data", "/proc/abide"], &["/proc/abide"]);
}

#[test]
fn files_of_a_newer_version_and_of_others_are_left_alone() {
    let bench = Bench::new();
    bench.serve(&["--data", "jobs"]).terminate();
    let path = bench.join("jobs/journal.db");
    let ours = fs::read(&path).unwrap();
    // The format's version stands at byte 60 of the file, as SQLite's `user_version`.
    let mut newer = ours;
    newer[60..64].copy_from_slice(&999_u32.to_be_bytes());
    fs::write(&path, &newer).unwrap();
    refused(
        &bench,
        &["--data", "jobs"],
        &["version 999", "the program that wrote it"],
    );
    assert_eq!(fs::read(&path).unwrap(), newer);
    fs::write(
        &path,
        "Dear diary, this is no database but as long as one.".repeat(100),
    )
    .unwrap();
    refused(&bench, &["--data", "jobs"], &["journal.db"]);
}

/// As root everything is writable, so the system is asked for a place that is not, and for one that is full. Where it
/// doesn't give us one, as in a container without user namespaces, nothing is tested.
#[cfg(target_os = "linux")]
#[test]
fn a_read_only_or_full_disk_is_named() {
    for (options, parts) in [
        ("size=64k,ro", &["read-only", "--data"][..]),
        ("size=4k", &["no space left", "nothing has been lost"]),
        ("size=24k", &["no space left", "nothing has been lost"]),
    ] {
        let bench = Bench::new();
        fs::create_dir(bench.join("disk")).unwrap();
        let script = format!(
            "mount -t tmpfs -o {options} none disk || exit 99; \
             exec \"$0\" serve --listen 127.0.0.1:0 --data disk"
        );
        let mut command = std::process::Command::new("unshare");
        bench.clean(&mut command);
        command.args(["-rm", "sh", "-c", &script, ABIDE]);
        let Ok(output) = command.output() else { return };
        let ran = Ran::of(&output);
        if ran.code != 3 && !ran.err.contains("abide:") {
            return;
        }
        assert_eq!(ran.code, 3, "{options}: {ran:?}");
        for part in parts {
            assert!(ran.err.contains(part), "{options}: {ran:?}");
        }
    }
}

#[test]
fn wrong_settings_are_a_matter_of_usage() {
    let bench = Bench::new();
    for (args, part) in [
        (&["--speed", "0"][..], "speed"),
        (&["--hold-max", "2h"], "hold-max"),
        (&["--listen", "0.0.0.0:0"], "--allow-anonymous"),
        (&["--config", "missing.toml"], "missing.toml"),
        (&["--log", "a=b=c"], "log"),
    ] {
        let ran = bench.run(&[&["serve"], args].concat());
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.err.contains(part), "{args:?}: {ran:?}");
    }
}
