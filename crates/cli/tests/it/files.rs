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
