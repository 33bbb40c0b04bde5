//! What the server says of the time that a job will still take is true as often as it says.
//!
//! Another seed: `ABIDE_TEST_SEED=7 cargo test -p abide-engine calibration`.

#![expect(
    clippy::print_stdout,
    reason = "a random test says its seed and its figures"
)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use abide_engine::jobs::plan::Defaults;
use abide_engine::rng::seed_of_occurrence;
use abide_engine::{Create, Effect, Engine, JobKey, Owner, Policy, Rng};
use abide_wire::{DurationLaw, NewJob, OutcomePlan, Simulate, Span, Stage, Timestamp};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const JOBS: u64 = 1_000;
/// The number of ended jobs from which on looks count.
const LEARNED: usize = 50;
const POINTS: f64 = 0.05;

fn seed() -> u64 {
    let seed = std::env::var("ABIDE_TEST_SEED").map_or(2_026, |text| text.parse().unwrap());
    println!("ABIDE_TEST_SEED={seed}");
    seed
}

fn seconds(seconds: f64) -> Span {
    Span::new(Duration::from_secs_f64(seconds))
}

fn laws() -> [(&'static str, DurationLaw); 6] {
    let rng = Rng::new(5);
    // A quick preview or a long film, and neither exactly as long as another.
    let bimodal = (0..400_u64).map(|n| {
        let wide = 0.8 + 0.4 * rng.unit(0, "bimodal", n);
        seconds(if n % 5 < 3 { 4.0 * wide } else { 40.0 * wide })
    });
    [
        ("fixed", DurationLaw::Fixed(seconds(20.0))),
        (
            "uniform",
            DurationLaw::Uniform {
                min: seconds(10.0),
                max: seconds(30.0),
            },
        ),
        (
            "exponential",
            DurationLaw::Exponential {
                mean: seconds(20.0),
            },
        ),
        (
            "lognormal",
            DurationLaw::Lognormal {
                median: seconds(20.0),
                sigma: 0.5,
            },
        ),
        ("bimodal", DurationLaw::Empirical(bimodal.collect())),
        (
            "three lengths",
            DurationLaw::Empirical([3.0, 8.0, 41.0].map(seconds).to_vec()),
        ),
    ]
}

/// A job that is created that long after the job before it.
#[derive(Clone, Copy, Debug)]
enum Arrivals {
    /// One after the other.
    WhenTheLastEnds,
    /// At random, this many per second on average.
    PerSecond(f64),
    /// This many at once, and as many again when all have ended.
    Bursts(u64),
}

/// How often the job ended sooner than p10, p50, p90, and how many looks there were.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sooner: [u32; 3],
    looks: u32,
    /// How many jobs have ended.
    ended: usize,
}

impl Tally {
    fn look(&mut self, engine: &Engine, kind: &str, key: JobKey, now: Timestamp, left: Duration) {
        let (_, _, cohort) = engine
            .jobs()
            .kinds()
            .find(|(_, name, _)| &***name == kind)
            .unwrap();
        let elapsed = now
            .since(engine.jobs().get(key).unwrap().created_at)
            .as_millis() as u64;
        let Some(remaining) = cohort.curve(now).remaining(elapsed) else {
            return;
        };
        self.looks += 1;
        let quantiles = [remaining.p10, remaining.p50, remaining.p90];
        for (sooner, quantile) in self.sooner.iter_mut().zip(quantiles) {
            *sooner += u32::from((left.as_millis() as u64) < quantile);
        }
    }

    fn shares(self) -> [f64; 3] {
        self.sooner
            .map(|sooner| f64::from(sooner) / f64::from(self.looks))
    }
}

/// Plays jobs of that law and looks at each at random moments while it runs.
fn play(law: &DurationLaw, arrivals: Arrivals, seed: u64) -> Tally {
    let rng = Rng::new(seed);
    let mut engine = Engine::new(Policy::default());
    let mut tally = Tally::default();
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let simulate = Simulate {
        duration: Some(law.clone()),
        outcome: Some(OutcomePlan {
            error_chance: Some(0.1),
            error: None,
        }),
        stages: Some(Vec::<Stage>::new()),
        ..Simulate::default()
    };
    let mut looks = BinaryHeap::new();
    let mut ends: Vec<Timestamp> = Vec::new();
    let mut now = START;
    for n in 0..JOBS {
        match arrivals {
            Arrivals::WhenTheLastEnds => now = ends.last().copied().unwrap_or(START),
            Arrivals::PerSecond(rate) => {
                let pause = -rng.unit(n, "pause", 0).ln() / rate;
                now = now + Duration::from_secs_f64(pause);
            }
            Arrivals::Bursts(size) if n % size == 0 => {
                now = ends.iter().copied().max().unwrap_or(START);
            }
            Arrivals::Bursts(_) => {}
        }
        run_until(&mut engine, now, &mut looks, &mut tally);
        let command = Create {
            owner: Owner::ANYONE,
            new: NewJob {
                kind: Some("films".to_owned()),
                simulate: Some(Simulate {
                    key: Some(format!("{seed} {n}")),
                    ..simulate.clone()
                }),
                ..NewJob::default()
            },
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        };
        entries.clear();
        engine
            .carry_out(&command, now, &mut entries, &mut effects)
            .unwrap();
        let Some(Effect::Changed(job, _)) = effects
            .iter()
            .find(|effect| matches!(effect, Effect::Changed(..)))
        else {
            panic!("a create makes a job");
        };
        let length = Duration::from_millis(job.plan.as_ref().unwrap().duration_ms());
        let end = job.created_at + length;
        ends.push(end);
        // Looks come at random, whatever the job does: on average one in ten seconds.
        let (mut at, mut nth) = (now, 0);
        loop {
            let pause = -rng.unit(seed_of_occurrence(n, 1), "look", nth).ln() * 10.0;
            (at, nth) = (at + Duration::from_secs_f64(pause), nth + 1);
            if at >= end {
                break;
            }
            looks.push(Reverse((at, job.key, end)));
        }
        effects.clear();
    }
    let last = ends.iter().copied().max().unwrap();
    run_until(&mut engine, last, &mut looks, &mut tally);
    tally
}

/// When a client looks at which job, and when that job will end.
type Looks = BinaryHeap<Reverse<(Timestamp, JobKey, Timestamp)>>;

/// Takes the engine and the lookers to that moment.
fn run_until(engine: &mut Engine, now: Timestamp, looks: &mut Looks, tally: &mut Tally) {
    let fire = |engine: &mut Engine, tally: &mut Tally, at| {
        let mut effects = Vec::new();
        engine.fire(at, usize::MAX, &mut Vec::new(), &mut effects);
        let ends = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Changed(job, _) if job.is_done()));
        tally.ended += ends.count();
    };
    while let Some(Reverse((at, key, end))) = looks.peek().copied() {
        if at > now {
            break;
        }
        looks.pop();
        fire(engine, tally, at);
        if tally.ended >= LEARNED {
            tally.look(engine, "films", key, at, end.since(at));
        }
    }
    fire(engine, tally, now);
}

fn check(name: &str, law: &DurationLaw, arrivals: Arrivals, seed: u64) {
    let tally = play(law, arrivals, seed);
    let shares = tally.shares();
    println!("{name:>13} {arrivals:?}: {shares:.3?} of {}", tally.looks);
    assert!(tally.looks > 1_000, "{name}: {tally:?}");
    for (share, wanted) in shares.iter().zip([0.1, 0.5, 0.9]) {
        assert!(
            (share - wanted).abs() <= POINTS,
            "{name}, {arrivals:?}: {shares:.3?}"
        );
    }
}

#[test]
fn jobs_end_before_each_quantile_as_often_as_it_says() {
    let seed = seed();
    for (name, law) in &laws() {
        check(name, law, Arrivals::WhenTheLastEnds, seed);
        check(name, law, Arrivals::PerSecond(5.0), seed);
    }
}

#[test]
fn the_shortest_of_a_burst_dont_speak_for_all_of_it() {
    let seed = seed();
    for (name, law) in &laws() {
        check(name, law, Arrivals::Bursts(100), seed);
    }
}

#[test]
fn plans_are_those_of_the_law() {
    // So that the test above is about what it says.
    let (_, law) = &laws()[0];
    let own = Simulate {
        duration: Some(law.clone()),
        ..Simulate::default()
    };
    let plan = Defaults::default().plan(Some(&own), 1, Rng::new(1));
    assert_eq!(plan.duration_ms, 20_000);
}
