//! What lies in a data directory: checked, backed up, and gone on with from the copy.

use std::fs;
use std::process::Command;

use crate::bench::{Bench, Ran};

fn jobs(ran: &Ran) -> Vec<String> {
    let mut ids: Vec<String> = ran
        .json()
        .iter()
        .map(|job| job["id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    ids
}

#[test]
fn a_backup_of_a_running_server_is_a_directory_to_start_on() {
    let bench = Bench::new();
    let server = bench.serve(&["--data", "jobs"]);
    for _ in 0..5 {
        server.create(&bench, "1h", "0");
    }
    let made = jobs(&server.run(&bench, &["list", "--json"]));
    let ran = bench.run(&["check", "jobs", "--json"]);
    assert_eq!(
        (ran.code, &ran.json()[0]["damage"]),
        (0, &serde_json::json!([]))
    );
    let ran = bench.run(&["backup", "jobs", "copy"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    // What comes after it isn't in it.
    server.create(&bench, "1h", "0");
    let ran = bench.run(&["check", "copy"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("copy is whole"), "{ran:?}");
    let ran = bench.run(&["backup", "jobs", "copy"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("not empty"), "{ran:?}");
    server.kill();

    let restored = bench.serve(&["--data", "copy"]);
    assert_eq!(jobs(&restored.run(&bench, &["list", "--json"])), made);
    let (code, said) = restored.terminate();
    assert_eq!((code, said.as_str()), (0, ""));
}

#[test]
fn damage_is_told_by_a_check_and_refused_by_a_start() {
    let bench = Bench::new();
    let server = bench.serve(&["--data", "jobs"]);
    let id = server.create(&bench, "1h", "0");
    server.kill();
    let path = bench.join("jobs/journal.db-wal");
    let mut bytes = fs::read(&path).unwrap();
    let place = bytes
        .windows(id.len())
        .position(|window| window == id.as_bytes());
    bytes[place.expect("the job's name is in the log")] ^= 1;
    fs::write(&path, bytes).unwrap();

    let ran = bench.run(&["check", "jobs"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("journal.db"), "{ran:?}");
    let start = Command::new(crate::bench::ABIDE)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(bench.join("jobs"))
        .output()
        .expect("the binary runs");
    let ran = Ran::of(&start);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("was acknowledged"), "{ran:?}");
    assert_eq!(bench.run(&["check", "nowhere"]).code, 1);
}

/// Starts a server on a small disk of its own that is full or read-only, and answers with what it was told, a word
/// each. Needs the right to mount in a namespace of its own; without it the answer is `None`.
#[cfg(target_os = "linux")]
fn on_a_small_disk(bench: &Bench, name: &str, spoil: &str, mend: &str) -> Option<String> {
    let script = format!(
        r#"mount -t tmpfs -o size=2m none disk || exit 99
           rm -f {name}.log && cp jobs/* disk/ && {spoil}
           timeout 60 "$0" serve --listen 127.0.0.1:0 --log error --data disk 2>{name}.log &
           until grep -qs listening {name}.log; do kill -0 $! || exit 1; sleep 0.05; done
           url=$(sed -n 's/.*listening on //p' {name}.log)
           list() {{ curl -s $url/v1/jobs | grep -o '"id"' | wc -l; }}
           create() {{ curl -s -o answer -w '%{{http_code}} ' -H 'content-type: application/json' -d '{{"input": "'$(head -c 9000 /dev/zero | tr '\0' x)'"}}' $url/v1/jobs; }}
           list; create; list; curl -s -o answer -w '%{{http_code}} ' $url/readyz
           {mend}
           kill -TERM $!; wait $!; echo "exit $?""#
    );
    let mut command = Command::new("unshare");
    bench.clean(&mut command);
    command.args(["-rm", "sh", "-c", &script, crate::bench::ABIDE]);
    let ran = Ran::of(&command.output().ok()?);
    let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    (ran.code != 99 && !ran.err.contains("unshare")).then_some(words)
}

#[cfg(target_os = "linux")]
#[test]
fn a_start_on_a_full_or_read_only_disk_serves_reads_and_goes_on_when_it_can() {
    let bench = Bench::new();
    fs::create_dir(bench.join("disk")).unwrap();
    let server = bench.serve(&["--data", "jobs"]);
    for _ in 0..3 {
        server.create(&bench, "1h", "0");
    }
    // The default job is the fourth.
    server.kill();
    let fill = "dd if=/dev/zero of=disk/ballast bs=1k 2>dd.log; true";
    let again = "until [ \"$(create)\" = '202 ' ]; do kill -0 $! || exit 1; sleep 0.1; done; list";
    for name in ["killed", "stopped"] {
        if name == "stopped" {
            assert_eq!(bench.serve(&["--data", "jobs"]).terminate().0, 0);
        }
        let full = on_a_small_disk(&bench, name, fill, &format!("rm disk/ballast; {again}"));
        let Some(full) = full else { return };
        // The job that was refused may have been kept and be there as well.
        assert!(
            full.starts_with("4 503 4 503 ") && full.ends_with(" exit 0"),
            "{name}: {full}"
        );
        let stuck = on_a_small_disk(&bench, name, fill, "true");
        assert_eq!(stuck.as_deref(), Some("4 503 4 503 exit 3"), "{name}");
        let read_only = "mount -o remount,ro disk";
        let writable = format!("mount -o remount,rw disk; {again}");
        let held = on_a_small_disk(&bench, name, read_only, &writable).unwrap_or_default();
        assert!(
            held.starts_with("4 503 4 503 ") && held.ends_with(" exit 0"),
            "{name}: {held}"
        );
    }
}

#[test]
fn a_directory_that_is_not_there_is_no_failing_disk() {
    let bench = Bench::new();
    for args in [&["check", "none"][..], &["backup", "none", "copy"]] {
        let ran = bench.run(args);
        let said = format!("{}{}", ran.out, ran.err);
        assert_ne!(ran.code, 0, "{ran:?}");
        assert!(
            said.contains("isn't there; is that the path of a data directory?"),
            "{ran:?}"
        );
    }
}
