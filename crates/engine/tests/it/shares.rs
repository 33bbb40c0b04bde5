//! Who makes room for another's job where there are as many as there may be.

use std::time::Duration;

use abide_engine::{Create, Engine, JobKey, Owner, Policy, Refusal};
use abide_wire::{NewJob, Simulate, Timestamp, Worker};

use super::laws::{parts, policy};

const JOBS_MAX: usize = 1_000;
const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

struct World {
    engine: Engine,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let policy = Policy {
            jobs_max: JOBS_MAX,
            ..policy()
        };
        Self {
            engine: Engine::new(policy),
            now: START,
        }
    }

    /// Makes a job that ends at once, or one that never does.
    fn create(&mut self, owner: Owner, ends: bool) -> Result<JobKey, Refusal> {
        let new = NewJob {
            worker: (!ends).then_some(Worker::External),
            simulate: ends.then(|| Simulate::fixed(Duration::ZERO)),
            ..NewJob::default()
        };
        let create = Create {
            owner,
            new,
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        };
        self.now = self.now + Duration::from_millis(1);
        let (mut entries, mut effects) = (Vec::new(), Vec::new());
        let made = self
            .engine
            .carry_out(&create, self.now, &mut entries, &mut effects)?;
        self.engine
            .fire(self.now, usize::MAX, &mut entries, &mut effects);
        assert!(self.engine.jobs().len() <= JOBS_MAX);
        Ok(made.job.key)
    }

    fn has_all(&self, keys: &[JobKey]) -> bool {
        keys.iter()
            .all(|key| self.engine.jobs().get(*key).is_some())
    }
}

#[test]
fn an_owner_with_very_many_jobs_pushes_out_its_own_and_leaves_room_to_others() {
    let mut world = World::new();
    let [ann, bob, eve] = [1, 2, 3].map(Owner);
    let results: Vec<_> = (0..100).map(|_| world.create(ann, true).unwrap()).collect();
    for _ in 0..3 * JOBS_MAX {
        world.create(bob, true).unwrap();
    }
    assert!(world.has_all(&results), "results of one that has fewer");
    // Those that never end take the places of its own that have, and leave some free.
    let mut open = 0;
    while world.create(bob, false).is_ok() {
        open += 1;
    }
    assert_eq!(open, JOBS_MAX - results.len());
    assert!(
        world.has_all(&results),
        "results beside jobs that never end"
    );

    let mut world = World::new();
    while world.create(bob, false).is_ok() {}
    assert_eq!(world.engine.jobs().len(), JOBS_MAX * 99 / 100);
    let places = (0..JOBS_MAX).filter(|_| world.create(eve, false).is_ok());
    assert!(places.count() > 5, "the next owner finds room");
}

#[test]
fn without_keys_all_places_are_there_for_all() {
    let mut world = World::new();
    for _ in 0..JOBS_MAX {
        world.create(Owner::ANYONE, false).unwrap();
    }
    let refused = world.create(Owner::ANYONE, false);
    assert_eq!(refused, Err(Refusal::TooManyJobs { limit: JOBS_MAX }));
}

#[test]
fn after_a_start_the_same_job_makes_room() {
    let mut world = World::new();
    for n in 0..JOBS_MAX as u64 {
        world.create(Owner(n % 7 % 3 + 1), n % 5 > 0).unwrap();
    }
    let mut restored = World::new();
    for (name, part) in parts(&world.engine) {
        restored.engine.restore(&name, &part).unwrap();
    }
    restored.engine.restored(0);
    restored.now = world.now;
    let gone = |world: &mut World, owner| {
        let keys: Vec<_> = world.engine.jobs().iter().map(|job| job.key).collect();
        world.create(owner, true).unwrap();
        let jobs = world.engine.jobs();
        keys.into_iter().find(|key| jobs.get(*key).is_none())
    };
    for owner in [1, 2, 3, 4, 4, 3, 2, 1].map(Owner) {
        let went = gone(&mut world, owner);
        assert!(went.is_some());
        assert_eq!(gone(&mut restored, owner), went, "{owner:?}");
    }
}
