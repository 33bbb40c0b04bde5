//! What the log says of itself: levels, the configuration, and the latest instant.

use std::time::Duration;

use abide_engine::entry::LEVEL;
use abide_engine::{
    ChangeSimulator, Command, Configure, Create, Defaults, Engine, Entry, Owner, Policy,
};
use abide_wire::{NewJob, OutcomePlan, Simulate, Timestamp};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn ask(engine: &mut Engine, command: &impl Command, at: Timestamp) -> Vec<Entry> {
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let answer = engine.carry_out(command, at, &mut entries, &mut effects);
    assert!(answer.is_ok());
    entries
}

fn failing(chance: f64) -> Simulate {
    Simulate {
        outcome: Some(OutcomePlan {
            error_chance: Some(chance),
            error: None,
        }),
        ..Simulate::default()
    }
}

fn configure(chance: f64, seed: Option<u64>) -> Configure {
    Configure {
        policy: Policy::default(),
        defaults: Defaults::default().with(&failing(chance)),
        seed,
        level: LEVEL,
    }
}

#[test]
fn a_configuration_is_written_down_when_it_has_changed_and_never_over_what_was_set_since() {
    let mut engine = Engine::new(Policy::default());
    let first = ask(&mut engine, &configure(0.5, Some(3)), START);
    let names = |entries: &[Entry]| {
        let text = entries.iter().map(Entry::encode);
        let text = text.map(|text| serde_json::from_slice::<serde_json::Value>(&text).unwrap());
        let name = |value: serde_json::Value| value.as_object().unwrap().keys().next().cloned();
        text.filter_map(name).collect::<Vec<_>>()
    };
    let all = ["level", "policy", "settings", "seeded", "configured"];
    assert_eq!(names(&first), all);
    assert!(ask(&mut engine, &configure(0.5, Some(3)), START).is_empty());

    let change = ChangeSimulator {
        change: failing(0.9),
        seed: Some(4),
        scenario: None,
    };
    assert_eq!(
        names(&ask(&mut engine, &change, START)),
        ["settings", "seeded"]
    );
    assert!(ask(&mut engine, &configure(0.5, Some(3)), START).is_empty());
    assert_eq!(engine.jobs().defaults().error_chance, 0.9);
    assert_eq!(engine.jobs().rng().seed(), 4);

    // A setting that can't be changed at run time leaves those alone that can.
    let shorter = Configure {
        policy: Policy {
            retention: Duration::from_secs(60).into(),
            ..Policy::default()
        },
        ..configure(0.5, Some(3))
    };
    assert_eq!(names(&ask(&mut engine, &shorter, START)), ["policy"]);
    assert_eq!(engine.jobs().defaults().error_chance, 0.9);

    let changed = ask(&mut engine, &configure(0.1, None), START);
    assert_eq!(names(&changed), ["policy", "settings", "configured"]);
    assert_eq!(engine.jobs().defaults().error_chance, 0.1);
    assert_eq!(engine.jobs().rng().seed(), 4);
}

#[test]
fn what_is_too_new_says_which_level_it_needs() {
    let newer = LEVEL + 1;
    let entry = format!(r#"{{"level":{{"level":{newer}}}}}"#);
    let error = Entry::decode(entry.as_bytes()).unwrap_err().to_string();
    assert!(error.contains(&format!("level {newer}")), "{error}");
    assert!(Entry::decode(&Entry::Level { level: LEVEL }.encode()).is_ok());

    let mut engine = Engine::new(Policy::default());
    ask(&mut engine, &configure(0.5, None), START);
    let parts = engine.all_parts();
    let named = parts.iter().map(|(key, part)| (key.to_string(), part));
    let (name, meta) = named.min_by(|(a, _), (b, _)| a.cmp(b)).unwrap();
    assert_eq!(name, "_meta", "a journal gives it before any other part");
    let text = String::from_utf8(meta.encode()).unwrap();
    let now = format!(r#""level":{LEVEL}"#);
    assert!(text.contains(&now), "{text}");
    let text = text.replace(&now, &format!(r#""level":{newer}"#));
    let error = engine.restore("_meta", text.as_bytes()).unwrap_err();
    assert!(error.to_string().contains(&format!("level {newer}")));
}

#[test]
fn the_level_of_a_log_rises_to_what_is_allowed_and_never_falls() {
    let mut engine = Engine::new(Policy::default());
    let up_to = |level| Configure {
        level,
        ..configure(0.5, None)
    };
    let mut levels = |level| {
        let entries = ask(&mut engine, &up_to(level), START);
        let of = |entry| match entry {
            Entry::Level { level } => Some(level),
            _ => None,
        };
        entries.into_iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(levels(LEVEL - 1), [LEVEL - 1]);
    assert_eq!(levels(LEVEL - 2), [0; 0]);
    // No further than this program writes.
    assert_eq!(levels(LEVEL + 1), [LEVEL]);
    assert_eq!(levels(LEVEL - 1), [0; 0]);
}

#[test]
fn the_latest_instant_is_that_of_any_entry_and_outlives_a_checkpoint() {
    let mut engine = Engine::new(Policy::default());
    ask(&mut engine, &configure(0.5, None), START);
    assert_eq!(engine.latest(), Timestamp::default(), "none says when");
    let create = Create {
        owner: Owner::ANYONE,
        new: NewJob::default(),
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    };
    ask(&mut engine, &create, START);
    // What was due long ago is dated then, which isn't the latest.
    ask(&mut engine, &create, START - Duration::from_secs(60));
    assert_eq!(engine.latest(), START);

    let mut restored = Engine::new(Policy::default());
    for (key, part) in engine.all_parts() {
        restored.restore(&key.to_string(), &part.encode()).unwrap();
    }
    assert_eq!(restored.latest(), START);
    assert_eq!(restored.last_change(), engine.last_change());

    // Where level 1 noted a manual clock.
    let mut old = Engine::new(Policy::default());
    let shown = serde_json::to_vec(&START).unwrap();
    old.restore("clock", &shown).unwrap();
    assert_eq!(old.latest(), START);
}
