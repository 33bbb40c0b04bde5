//! What is learned of an owner's kinds is that owner's alone, and bounded.

use std::time::Duration;

use abide_engine::intern::KINDS_MAX;
use abide_engine::{Create, Engine, Owner, Policy};
use abide_wire::{DurationLaw, NewJob, OutcomePlan, Simulate, Span, Timestamp};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const ANN: Owner = Owner(1);
const BEN: Owner = Owner(2);

/// Plays jobs of a second each, one after the other.
fn play(engine: &mut Engine, owner: Owner, kinds: impl Iterator<Item = String>) {
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let mut now = engine.latest().max(START);
    for kind in kinds {
        let new = NewJob {
            kind: Some(kind),
            simulate: Some(Simulate {
                duration: Some(DurationLaw::Fixed(Span::new(Duration::from_secs(1)))),
                outcome: Some(OutcomePlan {
                    error_chance: Some(0.0),
                    error: None,
                }),
                ..Simulate::default()
            }),
            ..NewJob::default()
        };
        let create = Create {
            owner,
            new,
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        };
        let made = engine.carry_out(&create, now, &mut entries, &mut effects);
        assert!(made.is_ok());
        now = now + Duration::from_secs(2);
        engine.fire(now, usize::MAX, &mut entries, &mut effects);
    }
}

/// Whether anything can be said of a new job of that kind.
fn knows(engine: &Engine, owner: Owner, kind: &str) -> bool {
    let mut kinds = engine.jobs().kinds();
    let found = kinds.find(|(of, name, _)| *of == owner && &***name == kind);
    found.is_some_and(|(_, _, cohort)| cohort.curve(engine.latest()).remaining(0).is_some())
}

#[test]
fn nobody_learns_from_anothers_jobs_or_keeps_another_from_learning() {
    let mut engine = Engine::new(Policy::default());
    let films = || std::iter::repeat_n("films".to_owned(), 10);
    play(&mut engine, ANN, films());
    assert!(knows(&engine, ANN, "films"));
    assert!(!knows(&engine, BEN, "films"));

    play(
        &mut engine,
        BEN,
        (0..KINDS_MAX + 50).map(|n| format!("junk{n}")),
    );
    let kinds_of = |engine: &Engine, owner| {
        engine
            .jobs()
            .kinds()
            .filter(|(of, ..)| *of == owner)
            .count()
    };
    assert_eq!(kinds_of(&engine, BEN), KINDS_MAX);
    play(
        &mut engine,
        ANN,
        std::iter::repeat_n("songs".to_owned(), 10),
    );
    assert!(knows(&engine, ANN, "songs") && knows(&engine, ANN, "films"));
    // Nor does an owner's own junk end its learning.
    play(&mut engine, BEN, films());
    assert!(knows(&engine, BEN, "films"));

    let mut restored = Engine::new(Policy::default());
    for (key, part) in engine.all_parts() {
        restored.restore(&key.to_string(), &part.encode()).unwrap();
    }
    restored.restored(0);
    assert!(knows(&restored, ANN, "films") && knows(&restored, BEN, "films"));
    assert_eq!(kinds_of(&restored, BEN), KINDS_MAX);
}

#[test]
fn a_kind_that_made_room_takes_none_at_the_end_of_its_jobs() {
    let mut engine = Engine::new(Policy::default());
    let lasts = Simulate::fixed(Duration::from_secs(3_600));
    let create = Create {
        owner: BEN,
        new: NewJob::new("a kind").simulate(lasts),
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    };
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let made = engine.carry_out(&create, START, &mut entries, &mut effects);
    assert!(made.is_ok());
    play(&mut engine, BEN, (0..KINDS_MAX).map(|n| format!("junk{n}")));
    let known = |engine: &Engine| -> Vec<String> {
        let kinds = engine.jobs().kinds();
        kinds.map(|(_, kind, _)| kind.to_string()).collect()
    };
    let before = known(&engine);
    assert_eq!(before.len(), KINDS_MAX);
    assert!(!before.contains(&"a kind".to_owned()));
    let now = START + Duration::from_secs(3_600);
    engine.fire(now, usize::MAX, &mut entries, &mut effects);
    assert!(engine.jobs().iter().all(|job| job.is_done()));
    assert!(known(&engine) == before, "no other made room");
}
