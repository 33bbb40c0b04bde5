//! Laws that hold for every history. Each test runs over seeded histories, prints the seed of the one that broke the
//! law, and takes it back: `ABIDE_TEST_SEED=123 cargo test -p abide-engine laws`.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use abide_engine::delivery::RetryPolicy;
use abide_engine::jobs::Idempotency;
use abide_engine::jobs::create::IDEMPOTENCY_KEYS_MAX;
use abide_engine::snapshot::PartKey;
use abide_engine::{
    Cancel, ChangeSimulator, Claim, Command, Create, CreateAll, Created, Defaults, Delete, Effect,
    Engine, Entry, Job, JobKey, Json, Owner, PlayNamed, Policy, Refusal, Report, Reset, Rng, State,
    Work,
};
use abide_wire::{
    DurationLaw, NewJob, OnWorkerLost, OutcomePlan, Problem, Progress, Remaining, Simulate, Span,
    Timestamp, WebhookTarget, Worker,
};
use rand::RngExt as _;

/// One step of a history: a command, or time passing.
enum Step {
    Ask(Box<dyn Decide>),
    Pass(u64),
    Resume,
}

/// A command of any type.
trait Decide {
    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal>;
}

impl<C: Command> Decide for C {
    fn decide(
        &self,
        engine: &Engine,
        now: Timestamp,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        Command::decide(self, engine, now, entries).map(|_| ())
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("ABIDE_TEST_SEED") {
        Ok(seed) => vec![seed.parse().expect("ABIDE_TEST_SEED is a number")],
        Err(_) => (0..16).collect(),
    }
}

pub(crate) fn for_each_seed(law: impl Fn(u64)) {
    for seed in seeds() {
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| law(seed)));
        assert!(
            broken.is_ok(),
            "the law broke; run it again with ABIDE_TEST_SEED={seed}"
        );
    }
}

pub(crate) fn policy() -> Policy {
    Policy {
        retention: Duration::from_secs(60).into(),
        jobs_max: 40,
        // Beyond every history, so that no delivery leaves the deadlines for a lane, which no entry says.
        webhooks: RetryPolicy {
            pauses: vec![Span::new(Duration::from_secs(30 * 86_400))],
            ..RetryPolicy::default()
        },
        ..Policy::default()
    }
}

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Plays a history of about a hundred commands and gives the log that came of it, with the index of the entry after
/// which each command was answered.
pub(crate) struct Played {
    engine: Engine,
    pub(crate) log: Vec<Entry>,
    batches: Vec<usize>,
}

pub(crate) fn play(seed: u64) -> Played {
    let mut rng = Rng::new(seed).stream(0, "history", 0);
    let mut engine = Engine::new(policy());
    let mut log = vec![Entry::Seeded { seed }];
    let mut effects = Vec::new();
    engine.apply(&log[0], &mut effects);
    let mut now = START;
    let mut batches = vec![1];
    let mut known: Vec<JobKey> = Vec::new();
    for n in 0..120 {
        match step(n, &known, &engine, &mut rng) {
            Step::Resume => {
                let entry = Entry::Resumed { at: now };
                engine.apply(&entry, &mut effects);
                log.push(entry);
            }
            Step::Pass(millis) => {
                now = now + Duration::from_millis(millis);
                engine.fire(now, usize::MAX, &mut log, &mut effects);
            }
            Step::Ask(command) => {
                let mut entries = Vec::new();
                // A refusal is as good a history as a grant: it must change nothing.
                let before = parts(&engine);
                match command.decide(&engine, now, &mut entries) {
                    Ok(_) => {}
                    Err(_) => {
                        assert!(entries.is_empty(), "a refusal has no entries");
                        assert_eq!(parts(&engine), before);
                    }
                }
                for entry in &entries {
                    engine.apply(entry, &mut effects);
                    if let Entry::Created(created) = entry {
                        known.push(created.job);
                    }
                }
                log.append(&mut entries);
            }
        }
        assert_eq!(engine.stored(), &engine.recount(), "after step {n}");
        batches.push(log.len());
    }
    Played {
        engine,
        log,
        batches,
    }
}

fn step(n: u64, known: &[JobKey], engine: &Engine, rng: &mut impl rand::Rng) -> Step {
    let job = |rng: &mut dyn rand::Rng| match known.len() {
        0 => JobKey::from_u128(n.into()),
        len => known[rng.random_range(0..len)],
    };
    let owner = Owner(rng.random_range(0..2));
    let command: Box<dyn Decide> = match rng.random_range(0..13) {
        0..=3 => Box::new(create(owner, rng)),
        4 => Box::new(Cancel {
            owner,
            job: job(rng),
        }),
        5 => Box::new(Delete {
            owner,
            job: job(rng),
        }),
        6 | 10 => Box::new(report(n, owner, job(rng), engine, rng)),
        11 => Box::new(Claim {
            owner,
            kinds: Vec::new(),
            lease: Duration::from_secs(rng.random_range(1..10)),
            token: None,
        }),
        12 if rng.random_ratio(1, 4) => return Step::Resume,
        7 if rng.random_ratio(1, 4) => Box::new(Reset {
            defaults: Defaults::default(),
            seed: Some(n),
            default_job: rng.random::<bool>().then(|| PlayNamed {
                name: "default".into(),
                simulate: Simulate::default(),
                reset_after: None,
                is_new: true,
            }),
        }),
        7 => Box::new(ChangeSimulator {
            change: Simulate {
                outcome: Some(OutcomePlan {
                    error_chance: Some(rng.random()),
                    error: None,
                }),
                ..Simulate::default()
            },
            ..ChangeSimulator::default()
        }),
        _ => return Step::Pass(rng.random_range(0..8_000)),
    };
    Step::Ask(command)
}

/// What a worker says of that job, with its lease more often than not.
fn report(n: u64, owner: Owner, job: JobKey, engine: &Engine, rng: &mut impl rand::Rng) -> Report {
    let lease = engine.jobs().lease(job).map(|lease| lease.token);
    Report {
        owner,
        job,
        if_match: None,
        lease: lease.filter(|_| rng.random_ratio(3, 4)),
        work: match rng.random_range(0..4) {
            0 => Work::Progress(Progress {
                percent: rng.random_range(-5.0..105.0),
                stage: Some("half".to_owned()),
            }),
            1 => Work::Result(Json::from(&serde_json::json!({"ok": n}))),
            2 => Work::Heartbeat,
            _ => Work::Error(Box::new(Problem::new(
                500,
                abide_wire::Code::JOB_FAILED,
                "broken",
            ))),
        },
    }
}

fn create(owner: Owner, rng: &mut impl rand::Rng) -> Create {
    let mut new = NewJob {
        metadata: Some(Json::from(
            &serde_json::json!({"n": rng.random_range(0..3)}),
        )),
        ..NewJob::default()
    };
    if rng.random_ratio(1, 3) {
        new.input = Some(Json::from(&serde_json::json!(
            "x".repeat(rng.random_range(0..500))
        )));
        new.webhook = Some(WebhookTarget {
            url: "http://receiver.example/".to_owned(),
            events: Some(vec!["*".to_owned()]),
            secret: None,
        });
    }
    match rng.random_range(0..4) {
        0 => {
            new.worker = Some(Worker::External);
            if rng.random() {
                new.on_worker_lost = Some(OnWorkerLost::Retry);
            }
        }
        1 => {
            new.simulate = Some(Simulate {
                duration: Some(DurationLaw::Exponential {
                    mean: Span::new(Duration::from_secs(5)),
                }),
                ..Simulate::default()
            });
            new.deadline_s = Some(Span::new(Duration::from_secs(8)));
        }
        _ => {}
    }
    let key = rng.random_range(0..20);
    Create {
        owner,
        new,
        idempotency_key: (key < 6).then(|| format!("key {key}")),
        rendering: None,
        traceparent: None,
    }
}

#[test]
fn the_json_of_a_job_is_that_of_its_value_at_every_revision() {
    const REMAINING: Remaining = Remaining {
        p10: 1,
        p50: 20,
        p90: 300,
    };
    for_each_seed(|seed| {
        let mut effects = Vec::new();
        let mut engine = Engine::new(policy());
        for entry in play(seed).log {
            engine.apply(&entry, &mut effects);
        }
        let jobs = effects.iter().filter_map(Effect::as_change);
        for (n, (job, _)) in jobs.enumerate() {
            let mut job = Job::clone(job);
            if n % 2 == 1 {
                job.kind = "\"caf\u{e9}\"\n\\".into();
            }
            for revision in 0..=job.revision + 1 {
                let remaining = [None, Some(REMAINING)][n / 2 % 2];
                let seen = match revision == job.revision {
                    true => Some(job.to_wire(remaining)),
                    false => job.as_of(revision),
                };
                let remaining = remaining.filter(|_| revision == job.revision);
                let mut json = b"[".to_vec();
                let place = job.write_json(revision, remaining, &mut json);
                let value = seen.map(|seen| serde_json::to_string(&seen).unwrap());
                let text = std::str::from_utf8(&json[1..]).unwrap();
                assert_eq!(text, value.as_deref().unwrap_or_default());
                let shown = place.map(|place| serde_json::from_slice(&json[place]).unwrap());
                let expected = remaining.filter(|_| !job.is_done());
                assert_eq!(shown, value.map(|_| expected));
            }
        }
    });
}

/// The state in its stored form.
pub(crate) fn parts(engine: &Engine) -> Vec<(String, Vec<u8>)> {
    engine
        .all_parts()
        .into_iter()
        .map(|(key, part)| (key.to_string(), part.encode()))
        .collect()
}

fn replay(log: &[Entry]) -> (Engine, Vec<Effect>) {
    let mut engine = Engine::new(policy());
    let mut effects = Vec::new();
    for entry in log {
        let stored = Entry::decode(&entry.encode()).expect("what was written can be read");
        assert_eq!(&stored, entry, "the stored form says the same");
        engine.apply(&stored, &mut effects);
    }
    (engine, effects)
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for_each_seed(|seed| assert_eq!(play(seed).log, play(seed).log));
}

#[test]
fn a_replay_gives_the_same_state_and_the_same_deadlines() {
    for_each_seed(|seed| {
        let played = play(seed);
        let (again, _) = replay(&played.log);
        assert_eq!(parts(&again), parts(&played.engine));
        assert_eq!(again.next_due(), played.engine.next_due());
        assert_eq!(again.stored(), played.engine.stored());
    });
}

#[test]
fn a_checkpoint_and_the_entries_after_it_give_the_same_state() {
    for_each_seed(|seed| {
        let played = play(seed);
        for cut in played.batches.iter().copied().step_by(17) {
            let mut stored: HashMap<String, Vec<u8>> = HashMap::new();
            let (mut engine, _) = replay(&played.log[..cut / 2]);
            let mut effects = Vec::new();
            // Two checkpoints, so that the second writes only what changed since the first.
            for half in [cut / 2..cut, cut..cut] {
                for (key, part) in engine.take_dirty() {
                    if key == PartKey::All {
                        stored.clear();
                    }
                    match part {
                        Some(part) => stored.insert(key.to_string(), part.encode()),
                        None => stored.remove(&key.to_string()),
                    };
                }
                for entry in &played.log[half] {
                    engine.apply(entry, &mut effects);
                }
            }
            let mut restored = Engine::new(policy());
            for (key, bytes) in &stored {
                restored.restore(key, bytes).expect("a part can be read");
            }
            restored.restored(cut as u64);
            for entry in &played.log[cut..] {
                restored.apply(entry, &mut effects);
            }
            let sorted = |mut parts: Vec<(String, Vec<u8>)>| {
                parts.sort();
                parts
            };
            assert_eq!(sorted(parts(&restored)), sorted(parts(&played.engine)));
            assert_eq!(restored.next_due(), played.engine.next_due());
            assert_eq!(restored.stored(), played.engine.stored());
        }
    });
}

#[test]
fn after_a_crash_at_any_entry_every_job_ends_once_as_it_was_drawn() {
    for_each_seed(|seed| {
        let played = play(seed);
        let (mut alive, mut told) = (Engine::new(policy()), Vec::new());
        for cut in 0..=played.log.len() {
            let (mut engine, mut effects) = (alive.clone(), told.clone());
            if let Some(next) = played.log.get(cut) {
                alive.apply(next, &mut told);
            }
            let mut log = played.log[..cut].to_vec();
            let far = START + Duration::from_secs(40 * 86_400);
            engine.fire(far, usize::MAX, &mut log, &mut effects);
            check_ends(&log, &effects);
        }
    });
}

/// Every simulated job ends exactly once; as it was drawn, unless it was canceled or its deadline came first; and
/// an ended job never changes.
fn check_ends(log: &[Entry], effects: &[Effect]) {
    let mut drawn = HashMap::new();
    for entry in log {
        match entry {
            Entry::Created(created) => drop(drawn.insert(created.job, created)),
            // What was forgotten has no end.
            Entry::Reset => drawn.clear(),
            _ => {}
        }
    }
    let mut last: HashMap<JobKey, (u64, State)> = HashMap::new();
    for effect in effects {
        let Effect::Changed(job, _) = effect else {
            continue;
        };
        let before = last.insert(job.key, (job.revision, job.state));
        match before {
            None => assert_eq!(job.revision, 1),
            Some((revision, state)) => {
                assert_eq!(job.revision, revision + 1, "every change adds exactly one");
                assert!(!state.is_done(), "an ended job never changes");
            }
        }
    }
    for (key, created) in drawn {
        let (_, state) = last[&key];
        match (&created.plan, created.deadline_at) {
            (None, _) => {}
            (Some(_), _) if state == State::Canceled => {}
            (Some(plan), deadline) => {
                let ends_at = created.at + Duration::from_millis(plan.duration_ms);
                let in_time = deadline.is_none_or(|deadline| ends_at <= deadline);
                let expected = if in_time && plan.error.is_none() {
                    State::Completed
                } else {
                    State::Failed
                };
                assert_eq!(state, expected, "{key}");
            }
        }
    }
}

#[test]
fn what_nobody_watched_is_dated_when_it_was_due() {
    let mut engine = Engine::new(policy());
    let mut entries = Vec::new();
    let create = Create {
        owner: Owner::ANYONE,
        new: NewJob {
            simulate: Some(Simulate::fixed(Duration::from_secs(5))),
            ..NewJob::default()
        },
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    };
    let (mut effects, mut fired) = (Vec::new(), Vec::new());
    engine
        .carry_out(&create, START, &mut entries, &mut effects)
        .unwrap();
    engine.fire(
        START + Duration::from_secs(30),
        usize::MAX,
        &mut fired,
        &mut effects,
    );
    let job = engine.jobs().iter().next().unwrap();
    assert_eq!(job.finished_at, Some(START + Duration::from_secs(5)));
    assert_eq!(job.state, State::Completed);
}

#[test]
fn an_idempotency_key_gives_the_same_job_and_refuses_another_body() {
    let mut engine = Engine::new(policy());
    let mut effects = Vec::new();
    let mut ask = |kind: &str, at: Timestamp| {
        let create = Create {
            owner: Owner::ANYONE,
            new: NewJob {
                kind: Some(kind.to_owned()),
                ..NewJob::default()
            },
            idempotency_key: Some("k".to_owned()),
            rendering: None,
            traceparent: None,
        };
        let mut entries = Vec::new();
        engine.fire(at, usize::MAX, &mut entries, &mut effects);
        let Created { job, replayed } =
            engine.carry_out(&create, at, &mut entries, &mut effects)?;
        Ok::<_, Refusal>((job.key, replayed))
    };
    let (first, replayed) = ask("a", START).unwrap();
    assert!(!replayed);
    let hour = START + Duration::from_secs(30);
    assert_eq!(ask("a", hour), Ok((first, true)));
    assert!(matches!(
        ask("b", hour),
        Err(Refusal::IdempotencyMismatch { job }) if job == first
    ));
    let next_day = START + Duration::from_secs(24 * 3600);
    assert!(matches!(ask("b", next_day), Ok((_, false))));
}

fn create_all(count: usize, length: usize, key: Option<&str>, repeats_any: bool) -> CreateAll {
    let create = Create {
        owner: Owner::ANYONE,
        new: NewJob {
            input: Some(Json::from(&serde_json::json!("x".repeat(length)))),
            ..NewJob::default()
        },
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    };
    CreateAll {
        jobs: vec![create; count],
        idempotency_key: key.map(str::to_owned),
        repeats_any,
    }
}

#[test]
fn several_jobs_are_made_all_or_none() {
    let mut engine = Engine::new(Policy {
        jobs_max: 5,
        stored_bytes_max: 20_000,
        ..policy()
    });
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let mut ask = |engine: &mut Engine, count, length| {
        let before = entries.len();
        let create = create_all(count, length, None, false);
        let made = engine.carry_out(&create, START, &mut entries, &mut effects);
        assert!(made.is_ok() || entries.len() == before);
        made.map(|made| made.iter().map(|made| made.job.key).collect::<Vec<_>>())
    };
    let made = ask(&mut engine, 3, 10).unwrap();
    assert_eq!(engine.jobs().len(), 3);
    assert!(made[0] != made[1] && made[1] != made[2]);
    // The same was said three times, and each has its own draws.
    let plans = made
        .iter()
        .map(|key| engine.jobs().get(*key).unwrap().plan.clone().unwrap());
    let durations: BTreeSet<u64> = plans.map(|plan| plan.duration_ms()).collect();
    assert_eq!(durations.len(), 3);
    let before = parts(&engine);
    assert_eq!(
        ask(&mut engine, 3, 10),
        Err(Refusal::TooManyJobs { limit: 5 })
    );
    // One of that size would have room.
    let refused = ask(&mut engine, 2, 9_000);
    assert!(
        matches!(refused, Err(Refusal::StoredBytes { .. })),
        "{refused:?}"
    );
    assert_eq!(parts(&engine), before);
    assert_eq!(ask(&mut engine, 0, 10), Ok(Vec::new()));
    ask(&mut engine, 2, 10).unwrap();
    // Ended ones make room, each for one.
    let (mut fired, mut told) = (Vec::new(), Vec::new());
    let later = START + Duration::from_secs(45);
    engine.fire(later, usize::MAX, &mut fired, &mut told);
    let create = create_all(4, 10, None, false);
    engine
        .carry_out(&create, later, &mut fired, &mut told)
        .unwrap();
    assert_eq!(engine.jobs().len(), 5);
}

#[test]
fn several_jobs_are_known_again_by_their_key() {
    let mut engine = Engine::new(policy());
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let mut ask = |count, length, key, repeats_any| {
        let create = create_all(count, length, Some(key), repeats_any);
        let made = engine.carry_out(&create, START, &mut entries, &mut effects)?;
        let made = made.iter().map(|made| (made.job.key, made.replayed));
        Ok::<Vec<_>, Refusal>(made.collect())
    };
    let first = ask(2, 10, "k", true).unwrap();
    assert!(first.iter().all(|(_, replayed)| !replayed));
    let again: Vec<_> = first.iter().map(|(job, _)| (*job, true)).collect();
    for (count, length) in [(2, 10), (2, 11), (1, 10), (3, 10)] {
        assert_eq!(
            ask(count, length, "k", true),
            Ok(again.clone()),
            "{count} {length}"
        );
    }
    let mismatch = Err(Refusal::IdempotencyMismatch { job: first[0].0 });
    for (count, length) in [(2, 11), (1, 10), (3, 10)] {
        assert_eq!(ask(count, length, "k", false), mismatch, "{count} {length}");
    }
    assert_eq!(ask(2, 10, "k", false), Ok(again));
    assert_ne!(ask(2, 10, "other", false).unwrap()[0].0, first[0].0);
}

#[test]
fn an_idempotency_key_that_an_older_version_stored_still_gives_its_job() {
    let (mut engine, mut effects) = (Engine::new(policy()), Vec::new());
    let create = Create {
        owner: Owner::ANYONE,
        new: NewJob::default(),
        idempotency_key: Some("k".to_owned()),
        rendering: None,
        traceparent: None,
    };
    let mut entries = Vec::new();
    let made = engine.carry_out(&create, START, &mut entries, &mut effects);
    let entry = String::from_utf8(entries[0].encode()).unwrap();
    let (before, after) = entry.split_once(r#""request":"#).unwrap();
    let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let older = format!(r#"{before}"asked":7{after}"#);

    let mut engine = Engine::new(policy());
    engine.apply(&Entry::decode(older.as_bytes()).unwrap(), &mut effects);
    let again = engine.carry_out(&create, START, &mut entries, &mut effects);
    let (made, again) = (made.unwrap(), again.unwrap());
    assert_eq!((again.job.key, again.replayed), (made.job.key, true));
}

#[test]
fn what_would_go_beyond_a_limit_of_bytes_is_refused_and_removals_make_room() {
    let create = |owner: u64, length: usize| {
        let text = "x".repeat(length);
        Create {
            owner: Owner(owner),
            new: NewJob {
                worker: Some(Worker::External),
                input: Some(Json::from(&serde_json::json!(text))),
                ..NewJob::default()
            },
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        }
    };
    let mut engine = Engine::new(Policy {
        stored_bytes_max: 100_000,
        stored_bytes_per_owner: 60_000,
        ..policy()
    });
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let mut ask = |engine: &mut Engine, owner, length| {
        let made = engine.carry_out(&create(owner, length), START, &mut entries, &mut effects);
        made.map(|made| made.job.key)
            .map_err(|refusal| match refusal {
                Refusal::StoredBytes { name, .. } => name,
                refusal => panic!("{refusal}"),
            })
    };
    let first = ask(&mut engine, 1, 50_000).unwrap();
    let whole = engine.stored().all();
    assert_eq!(
        ask(&mut engine, 1, 9_500),
        Err("stored-bytes-per-owner".into())
    );
    assert_eq!(engine.stored().all(), whole, "a refusal changes nothing");
    ask(&mut engine, 2, 40_000).unwrap();
    assert_eq!(ask(&mut engine, 3, 9_500), Err("stored-bytes-max".into()));
    let mut report = Report {
        owner: Owner(1),
        job: first,
        if_match: None,
        lease: None,
        work: Work::Result(Json::from(&serde_json::json!("x".repeat(10_000)))),
    };
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let refused = engine.carry_out(&report, START, &mut entries, &mut effects);
    assert!(
        matches!(refused, Err(Refusal::StoredBytes { .. })),
        "{refused:?}"
    );
    report.work = Work::Result(Json::from(&serde_json::json!(1)));
    let ended = engine.carry_out(&report, START, &mut entries, &mut effects);
    assert!(ended.unwrap().job.is_done());
    let delete = Delete {
        owner: Owner(1),
        job: first,
    };
    engine
        .carry_out(&delete, START, &mut entries, &mut effects)
        .unwrap();
    assert_eq!(engine.stored().of(Owner(1)), 0);
    assert_eq!(engine.stored(), &engine.recount());
    let made = engine.carry_out(&create(3, 50_000), START, &mut entries, &mut effects);
    assert!(made.is_ok());
}

#[test]
fn of_too_many_idempotency_keys_the_oldest_is_forgotten() {
    let mut engine = Engine::new(policy());
    let mut effects = Vec::new();
    let created = |n: usize, owner: u64| {
        Entry::Created(Box::new(abide_engine::jobs::Created {
            job: JobKey::from_u128(n as u128 + (u128::from(owner) << 64)),
            at: START,
            owner: Owner(owner),
            kind: "k".to_owned(),
            worker: Worker::External,
            input: None,
            metadata: None,
            plan: None,
            deadline_at: None,
            webhook: None,
            rendering: None,
            attempts_max: None,
            traceparent: None,
            idempotency: Some(Idempotency {
                owner: Owner(owner),
                key: n as u64 | (owner << 32),
                request: 0,
                until: START + Duration::from_millis(1_000_000 + n as u64),
            }),
            body_digest: None,
        }))
    };
    engine.apply(&created(0, 2), &mut effects);
    for n in 0..IDEMPOTENCY_KEYS_MAX + 3 {
        engine.apply(&created(n, 1), &mut effects);
        effects.clear();
    }
    let kept = |key: u64| {
        let key = PartKey::Idempotency(key).to_string();
        engine
            .all_parts()
            .iter()
            .any(|(found, _)| found.to_string() == key)
    };
    assert!(!kept(2 | 1 << 32) && kept(3 | 1 << 32));
    assert!(kept(2 << 32), "another owner's stays");
}
