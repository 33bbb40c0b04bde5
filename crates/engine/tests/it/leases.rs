//! Laws of leases, for any history of creates, claims, reports, cancels, silence and restarts, compared with a model
//! that knows nothing but the rules. `ABIDE_TEST_SEED=123` plays the history of that seed alone.

use std::collections::BTreeMap;
use std::time::Duration;

use abide_engine::{
    Cancel, Claim, Command, Create, Engine, Entry, JobKey, Json, Owner, Policy, Refusal, Report,
    Rng, State, Token, Work,
};
use abide_wire::{Code, NewJob, Progress, Timestamp};
use rand::RngExt as _;

use crate::laws::for_each_seed;

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const KINDS: [&str; 2] = ["dub", "subtitle"];

/// What the rules say of one job.
#[derive(Debug)]
struct Model {
    owner: Owner,
    kind: &'static str,
    attempts: u32,
    attempts_max: u32,
    state: State,
    /// The lease in force: its token, its end and its length.
    lease: Option<(Token, Timestamp, Duration)>,
    /// Every token that was ever given for it.
    tokens: Vec<Token>,
}

struct World {
    engine: Engine,
    log: Vec<Entry>,
    now: Timestamp,
    jobs: BTreeMap<JobKey, Model>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            engine: Engine::new(Policy::default()),
            log: Vec::new(),
            now: START,
            jobs: BTreeMap::new(),
        };
        world.apply(Entry::Seeded { seed });
        world
    }

    fn apply(&mut self, entry: Entry) {
        self.engine.apply(&entry, &mut Vec::new());
        self.log.push(entry);
    }

    fn ask<C: Command>(&mut self, command: &C) -> Result<C::Answer, Refusal> {
        let (log, effects) = (&mut self.log, &mut Vec::new());
        self.engine.carry_out(command, self.now, log, effects)
    }

    fn create(&mut self, owner: Owner, kind: &'static str, attempts_max: u32) {
        let new = NewJob::new(kind).external();
        let new = match attempts_max {
            1 => new,
            more => new.retried(more),
        };
        let create = Create {
            owner,
            new,
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        };
        let made = self.ask(&create).unwrap();
        let model = Model {
            owner,
            kind,
            attempts: 0,
            attempts_max,
            state: State::Pending,
            lease: None,
            tokens: Vec::new(),
        };
        self.jobs.insert(made.job.key, model);
    }

    fn claim(&mut self, owner: Owner, kinds: &[&str], lease: Duration, name: Option<Token>) {
        let again = self.jobs.iter().find(|(_, job)| {
            let held = job.lease.map(|(token, ..)| token);
            job.owner == owner && name.is_some() && held == name
        });
        let again = again.map(|(key, _)| *key);
        let oldest = self.jobs.iter().find(|(_, job)| {
            let is_wanted = kinds.is_empty() || kinds.contains(&job.kind);
            job.owner == owner && is_wanted && job.state == State::Pending
        });
        let oldest = oldest.map(|(key, _)| *key);
        let kinds = kinds.iter().map(|&kind| kind.to_owned()).collect();
        let claimed = self
            .ask(&Claim {
                owner,
                kinds,
                lease,
                token: name,
            })
            .unwrap();
        let found = claimed.as_ref().map(|claimed| claimed.job.key);
        assert_eq!(
            found,
            again.or(oldest),
            "its own, or the oldest that is pending"
        );
        let Some(claimed) = claimed else {
            return;
        };
        let (given, now) = (claimed.lease.unwrap(), self.now);
        let job = self.jobs.get_mut(&claimed.job.key).unwrap();
        if again.is_some() {
            let (token, until, length) = job.lease.as_mut().unwrap();
            *until = (now + *length).max(*until + Duration::from_millis(1));
            assert_eq!((given.token, given.until), (*token, *until));
            return;
        }
        match name {
            Some(name) => assert_eq!(given.token, name),
            None => assert!(!job.tokens.contains(&given.token), "each claim has its own"),
        }
        assert_eq!(given.until, now + lease);
        job.attempts += 1;
        job.state = State::Running;
        job.lease = Some((given.token, now + lease, lease));
        job.tokens.push(given.token);
    }

    /// A report under any of the tokens of the job, or under none.
    fn report(&mut self, key: JobKey, rng: &mut impl rand::Rng) {
        let model = &self.jobs[&key];
        let place = rng.random_range(0..=model.tokens.len() + 1);
        let lease = match place {
            0 => None,
            1 => model.lease.map(|(token, ..)| token),
            place => Some(model.tokens[place - 2]),
        };
        let work = match rng.random_range(0..5) {
            4 => Work::Release,
            0 => Work::Result(Json::from(&serde_json::json!(1))),
            1 => Work::Progress(Progress {
                percent: 50.0,
                stage: None,
            }),
            _ => Work::Heartbeat,
        };
        let ends = matches!(work, Work::Result(_));
        let is_alone = lease.is_none() && matches!(work, Work::Heartbeat | Work::Release);
        let report = Report {
            owner: model.owner,
            job: key,
            if_match: None,
            lease,
            work,
        };
        let in_force = model.lease.map(|(token, ..)| token);
        let is_granted = !model.state.is_done() && lease == in_force && !is_alone;
        let (is_done, revision) = (model.state.is_done(), self.revision(key));
        let answer = self.ask(&report);
        match &answer {
            Ok(_) => assert!(is_granted, "{report:?}"),
            Err(refusal) => {
                assert!(!is_granted, "{report:?}: {refusal}");
                assert_eq!(self.revision(key), revision);
                let is_told = match refusal {
                    Refusal::LeaseEnded { state } => is_done && *state == self.jobs[&key].state,
                    Refusal::LeaseLost { is_claimed } => *is_claimed == in_force.is_some(),
                    Refusal::Leased => lease.is_none() && in_force.is_some(),
                    Refusal::Done => lease.is_none() && is_done,
                    Refusal::Invalid(_) => is_alone,
                    _ => false,
                };
                assert!(is_told, "{refusal:?} to {report:?}");
                return;
            }
        }
        let heartbeat = report.work == Work::Heartbeat;
        assert_eq!(
            self.revision(key) == revision,
            heartbeat,
            "a heartbeat is no change"
        );
        let now = self.now;
        let job = self.jobs.get_mut(&key).unwrap();
        if report.work == Work::Release {
            (job.state, job.lease) = (State::Pending, None);
            job.attempts -= 1;
        } else if ends {
            (job.state, job.lease) = (State::Completed, None);
        } else {
            job.state = State::Running;
            if let Some((_, until, length)) = &mut job.lease {
                *until = now + *length;
            }
        }
    }

    fn cancel(&mut self, key: JobKey) {
        let owner = self.jobs[&key].owner;
        self.ask(&Cancel { owner, job: key }).unwrap();
        let job = self.jobs.get_mut(&key).unwrap();
        if !job.state.is_done() {
            (job.state, job.lease) = (State::Canceled, None);
        }
    }

    fn pass(&mut self, length: Duration) {
        self.now = self.now + length;
        let (log, effects) = (&mut self.log, &mut Vec::new());
        self.engine.fire(self.now, usize::MAX, log, effects);
        for job in self.jobs.values_mut() {
            if job.lease.is_some_and(|(_, until, _)| until <= self.now) {
                job.lease = None;
                job.state = match job.attempts < job.attempts_max {
                    true => State::Pending,
                    false => State::Failed,
                };
            }
        }
    }

    /// A restart from the parts of a checkpoint, after which every lease counts anew.
    fn restart(&mut self) {
        let mut engine = Engine::new(Policy::default());
        for (key, part) in self.engine.all_parts() {
            engine.restore(&key.to_string(), &part.encode()).unwrap();
        }
        engine.restored(self.log.len() as u64);
        assert_eq!(engine.next_due(), self.engine.next_due());
        self.engine = engine;
        self.now = self.now + Duration::from_secs(600);
        self.apply(Entry::Resumed { at: self.now });
        for job in self.jobs.values_mut() {
            if let Some((_, until, length)) = &mut job.lease {
                *until = self.now + *length;
            }
        }
    }

    fn revision(&self, key: JobKey) -> u64 {
        self.engine.jobs().get(key).unwrap().revision
    }

    /// The engine says what the model says.
    fn check(&self) {
        for (key, model) in &self.jobs {
            let job = self.engine.jobs().get(*key).unwrap();
            assert_eq!(job.state, model.state, "{model:?}");
            assert_eq!(job.attempts(), model.attempts);
            assert!(job.attempts() <= job.attempts_max());
            let lease = self.engine.jobs().lease(*key);
            let lease = lease.map(|lease| (lease.token, lease.until));
            assert_eq!(lease, model.lease.map(|(token, until, _)| (token, until)));
            let is_lost = job
                .error()
                .is_some_and(|error| error.code == Code::WORKER_LOST);
            assert_eq!(is_lost, model.state == State::Failed);
        }
        assert_eq!(self.engine.stored(), &self.engine.recount());
    }
}

#[test]
fn after_any_history_a_job_has_one_lease_at_most_and_its_attempts_are_counted() {
    for_each_seed(|seed| {
        let mut rng = Rng::new(seed).stream(0, "leases", 0);
        let mut world = World::new(seed);
        for _ in 0..200 {
            let keys: Vec<JobKey> = world.jobs.keys().copied().collect();
            let owner = Owner(rng.random_range(0..2));
            let kind = KINDS[rng.random_range(0..2)];
            let job = |rng: &mut dyn rand::Rng| keys[rng.random_range(0..keys.len())];
            match rng.random_range(0..12) {
                0 | 1 => world.create(owner, kind, rng.random_range(1..4)),
                2 | 3 => {
                    let lease = Duration::from_secs(rng.random_range(1..20));
                    let kinds: &[&str] = match rng.random_range(0..3) {
                        0 => &[],
                        1 => &[kind],
                        _ => &KINDS,
                    };
                    let name = rng
                        .random_ratio(1, 3)
                        .then(|| Token(rng.random_range(0..3)));
                    world.claim(owner, kinds, lease, name);
                }
                4 | 5 => world.pass(Duration::from_millis(rng.random_range(0..6_000))),
                6 if rng.random_ratio(1, 4) => world.restart(),
                7 if !keys.is_empty() && rng.random_ratio(1, 3) => world.cancel(job(&mut rng)),
                _ if !keys.is_empty() => world.report(job(&mut rng), &mut rng),
                _ => {}
            }
            world.check();
        }
        let mut again = Engine::new(Policy::default());
        for entry in &world.log {
            let stored = Entry::decode(&entry.encode()).unwrap();
            again.apply(&stored, &mut Vec::new());
        }
        let parts = |engine: &Engine| -> Vec<Vec<u8>> {
            let parts = engine.all_parts().into_iter();
            parts.map(|(_, part)| part.encode()).collect()
        };
        assert_eq!(
            parts(&again),
            parts(&world.engine),
            "a replay gives the same"
        );
        assert_eq!(again.next_due(), world.engine.next_due());
    });
}

#[test]
fn a_lease_that_ran_out_is_lost_before_its_deadline_is_dealt_with() {
    let mut world = World::new(1);
    world.create(Owner::ANYONE, "dub", 2);
    world.claim(Owner::ANYONE, &[], Duration::from_secs(5), None);
    let key = *world.jobs.keys().next().unwrap();
    let lease = world.jobs[&key].lease.map(|(token, ..)| token);
    let mut report = Report {
        owner: Owner::ANYONE,
        job: key,
        if_match: None,
        lease,
        work: Work::Heartbeat,
    };
    world.now = START + Duration::from_secs(5);
    let is_claimed = false;
    assert_eq!(
        world.ask(&report).unwrap_err(),
        Refusal::LeaseLost { is_claimed }
    );
    world.pass(Duration::ZERO);
    world.claim(Owner::ANYONE, &[], Duration::from_secs(5), None);
    let is_claimed = true;
    assert_eq!(
        world.ask(&report).unwrap_err(),
        Refusal::LeaseLost { is_claimed }
    );
    report.lease = None;
    assert_eq!(world.ask(&report).unwrap_err(), Refusal::Leased);
    world.cancel(key);
    report.lease = lease;
    let told = world.ask(&report).unwrap_err().to_string();
    assert_eq!(told, "the job was canceled; stop working on it");
}

#[test]
fn what_takes_no_room_is_let_in_where_there_is_none() {
    let mut world = World::new(1);
    let create = Create {
        owner: Owner::ANYONE,
        new: NewJob::new("dub").external(),
        idempotency_key: Some("key".to_owned()),
        rendering: None,
        traceparent: None,
    };
    let made = world.ask(&create).unwrap();
    let claim = Claim {
        owner: Owner::ANYONE,
        kinds: Vec::new(),
        lease: Duration::from_secs(5),
        token: None,
    };
    let claimed = world.ask(&claim).unwrap().unwrap();
    // A limit that was lowered; deliveries go beyond it, too.
    let stored_bytes_max = 1;
    world.apply(Entry::Policy(Box::new(Policy {
        stored_bytes_max,
        ..Policy::default()
    })));
    let report = |work| Report {
        owner: Owner::ANYONE,
        job: made.job.key,
        if_match: None,
        lease: claimed.lease.map(|lease| lease.token),
        work,
    };
    assert!(world.ask(&report(Work::Heartbeat)).is_ok());
    let progress = Progress {
        percent: 50.0,
        stage: None,
    };
    assert!(world.ask(&report(Work::Progress(progress))).is_ok());
    assert!(
        world.ask(&create).unwrap().replayed,
        "it was made long before"
    );
    let result = world.ask(&report(Work::Result(Json::from(&serde_json::json!(1)))));
    assert!(matches!(result, Err(Refusal::StoredBytes { .. })));
}

#[test]
fn a_token_has_one_spelling() {
    let token = Token(0xfe);
    assert_eq!(token.to_string().parse(), Ok(token));
    for text in [
        "lease_+0000000000000fe",
        "lease_00000000000000FE",
        "lease_fe",
        "fe",
    ] {
        assert!(text.parse::<Token>().is_err(), "{text}");
    }
}

#[test]
fn a_past_revision_of_a_retried_job_shows_when_its_own_attempt_began() {
    let mut world = World::new(3);
    world.create(Owner::ANYONE, "dub", 3);
    let key = *world.jobs.keys().next().unwrap();
    let mut told = Vec::new();
    let shown = |world: &World| {
        let job = world.engine.jobs().get(key).unwrap();
        serde_json::to_value(job.to_wire(None)).unwrap()
    };
    told.push(shown(&world));
    for _ in 0..3 {
        world.claim(Owner::ANYONE, &[], Duration::from_secs(5), None);
        told.push(shown(&world));
        world.pass(Duration::from_secs(7));
        told.push(shown(&world));
    }
    let job = world.engine.jobs().get(key).unwrap();
    for (then, revision) in told.into_iter().zip(1..) {
        let now = serde_json::to_value(job.as_of(revision).unwrap()).unwrap();
        assert_eq!(now["started_at"], then["started_at"], "revision {revision}");
        assert_eq!(now["revision"], then["revision"]);
    }
}

#[test]
fn a_removed_job_isnt_created_again() {
    let mut world = World::new(4);
    world.create(Owner::ANYONE, "dub", 1);
    let created = world.log.last().unwrap().clone();
    let key = *world.jobs.keys().next().unwrap();
    world.cancel(key);
    world.apply(Entry::Removed { job: key });
    world.apply(created);
    assert!(world.engine.jobs().get(key).is_none());
    assert_eq!(world.engine.stored(), &world.engine.recount());
}
