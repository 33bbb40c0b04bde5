//! Logs that each released level has written, and the state that each led to. What a form means never changes: a
//! changed meaning is a new form of a new level.
//!
//! The files of a level that was released stay as they are. Those of a new one are made by `ABIDE_BLESS=1 cargo test -p
//! abide-engine levels`, which writes only what isn't there.

use std::fs;
use std::path::PathBuf;

use abide_engine::entry::LEVEL;
use abide_engine::{Command as _, Configure, Defaults, Engine, Entry, JobKey, Owner, Policy};
use abide_wire::Timestamp;

use super::golden;
use super::laws::{parts, play, policy};

/// The first level that was released.
const RELEASED_FROM: u32 = 3;
/// Histories that a golden log holds, one after the other.
const HISTORIES: u64 = 2;

fn file(name: &str) -> PathBuf {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/levels");
    PathBuf::from(golden).join(name)
}

/// A log that has every kind of entry, and several histories of jobs, workers and webhooks.
fn log() -> Vec<Entry> {
    let configure = Configure {
        policy: policy(),
        defaults: Defaults::default(),
        seed: None,
        level: LEVEL,
    };
    let mut log = Vec::new();
    let configured = configure.decide(
        &Engine::new(Policy::default()),
        Timestamp::default(),
        &mut log,
    );
    assert!(configured.is_ok());
    log.extend(golden::entries());
    for seed in 1..=HISTORIES {
        // A log is of one server, so its histories follow each other in the state too.
        log.extend(play(seed).log);
    }
    log
}

fn lines<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let texts = texts
        .into_iter()
        .map(|text| std::str::from_utf8(text).expect("JSON is UTF-8"));
    texts.flat_map(|text| [text, "\n"]).collect()
}

/// The states that these lines of a log lead to, a part a line: before each reset, and at the end.
fn states(log: &str) -> String {
    let (mut engine, mut effects) = (Engine::new(Policy::default()), Vec::new());
    let mut states = String::new();
    for line in log.lines() {
        let entry = Entry::decode(line.as_bytes()).expect("an entry of a released version");
        if matches!(entry, Entry::Reset) {
            states += &state(&engine);
        }
        engine.apply(&entry, &mut effects);
    }
    states + &state(&engine)
}

fn state(engine: &Engine) -> String {
    let stored = parts(engine);
    let mut restored = Engine::new(Policy::default());
    for (key, part) in &stored {
        restored.restore(key, part).expect("a part can be read");
    }
    restored.restored(0);
    assert_eq!(
        parts(&restored),
        stored,
        "a part says the same when it is read"
    );
    let named = stored
        .iter()
        .map(|(key, part)| [key.as_bytes(), b"\t", part].concat());
    let named: Vec<_> = named.collect();
    lines(named.iter().map(Vec::as_slice))
}

#[test]
fn the_log_of_each_level_leads_to_the_state_that_it_led_to_then() {
    for level in RELEASED_FROM..=LEVEL {
        let (log_file, state_file) = (
            file(&format!("{level}.jsonl")),
            file(&format!("{level}.state")),
        );
        if !log_file.exists() && std::env::var_os("ABIDE_BLESS").is_some_and(|bless| bless == "1") {
            let log: Vec<_> = log().iter().map(Entry::encode).collect();
            let log = lines(log.iter().map(Vec::as_slice));
            fs::write(&state_file, states(&log)).expect("the state is written");
            fs::write(&log_file, log).expect("the log is written");
        }
        let read = |path: &PathBuf| {
            let told = || format!("{} is missing; ABIDE_BLESS=1 makes it", path.display());
            fs::read_to_string(path).unwrap_or_else(|_| panic!("{}", told()))
        };
        let (now, then) = (states(&read(&log_file)), read(&state_file));
        for (now, then) in now.lines().zip(then.lines()) {
            assert_eq!(now, then, "level {level}");
        }
        assert_eq!(now.lines().count(), then.lines().count(), "level {level}");
    }
}

#[test]
fn a_removed_job_of_a_program_that_stored_no_owner_is_no_owners_of_a_key() {
    let mut engine = Engine::new(Policy::default());
    let key = JobKey::from_u128(7);
    let name = format!("removed/{key}");
    engine.restore(&name, b"null").expect("it was a part once");
    assert_eq!(engine.jobs().owner_of_removed(key), Some(Owner::ANYONE));
    engine.restore(&name, b"3").expect("it is a part");
    assert_eq!(engine.jobs().owner_of_removed(key), Some(Owner(3)));
}
