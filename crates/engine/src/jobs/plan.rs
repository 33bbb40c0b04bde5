//! What the simulator decides about a job, once, when it is created.
//!
//! [`Defaults`] and what the job says of itself give a [`Plan`]: how long it runs, how it ends, what it goes through
//! and what goes wrong. From then on the plan is only carried out.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Exp1, StandardNormal};
use serde::{Deserialize, Serialize};

use abide_wire::law::Draws;
use abide_wire::{
    Code, DurationLaw, Fault, FaultKind, OutcomePlan, Problem, Simulate, Span, Stage,
};

use super::job::problem_bytes;
use crate::Rng;

/// The plan of one simulated job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The seed of its draws, beside the server's.
    pub seed: u64,
    /// How long it runs, in milliseconds.
    pub duration_ms: u64,
    /// How long it waits before it begins, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub queue_ms: u64,
    /// Why it will fail; `None` if it will complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<Problem>>,
    /// What it goes through; `None` stands for the defaults in force when it was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Arc<[Stage]>>,
    /// What goes wrong with it, beside what goes wrong with every job.
    #[serde(default, skip_serializing_if = "no_faults")]
    pub faults: Arc<[Fault]>,
    /// Whether it never ends by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stuck: bool,
    /// Whether it ends as canceled when its time has come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canceled: bool,
}

/// A plan as a job has it, in a third of the room: what few plans have is kept apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Plan", into = "Plan")]
pub struct Planned {
    seed: u64,
    /// The complement of the milliseconds, which is never zero: so `Option` of a plan takes no more room.
    duration: NonZeroU64,
    rest: Option<Arc<Rest>>,
}

/// The rest of a plan, unless all of it is empty.
#[derive(Clone, Debug, Default, PartialEq)]
struct Rest {
    queue_ms: u64,
    error: Option<Box<Problem>>,
    stages: Option<Arc<[Stage]>>,
    faults: Arc<[Fault]>,
    stuck: bool,
    canceled: bool,
}

impl Planned {
    /// The seed of its draws, beside the server's.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// How long it runs, in milliseconds.
    #[must_use]
    pub const fn duration_ms(&self) -> u64 {
        !self.duration.get()
    }

    /// How long it waits before it begins, in milliseconds.
    #[must_use]
    pub fn queue_ms(&self) -> u64 {
        self.rest.as_ref().map_or(0, |rest| rest.queue_ms)
    }

    /// Why it will fail; `None` if it will complete.
    #[must_use]
    pub fn error(&self) -> Option<&Problem> {
        self.rest.as_ref()?.error.as_deref()
    }

    /// What goes wrong with it, beside what goes wrong with every job.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.rest.as_ref().map_or(&[], |rest| &rest.faults)
    }

    /// Whether it never ends by itself.
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.stuck)
    }

    /// Whether it ends as canceled when its time has come.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.canceled)
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Plan>() + self.rest.as_ref().map_or(0, |rest| rest.bytes())
    }
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        let rest = Rest {
            queue_ms: plan.queue_ms,
            error: plan.error,
            stages: plan.stages,
            faults: plan.faults,
            stuck: plan.stuck,
            canceled: plan.canceled,
        };
        Self {
            seed: plan.seed,
            // The one length that can't be told from another is half a billion years.
            duration: NonZeroU64::new(!plan.duration_ms).unwrap_or(NonZeroU64::MIN),
            rest: (rest != Rest::default()).then(|| Arc::new(rest)),
        }
    }
}

impl From<Planned> for Plan {
    fn from(planned: Planned) -> Self {
        let (seed, duration_ms) = (planned.seed(), planned.duration_ms());
        let rest = planned.rest.map(Arc::unwrap_or_clone).unwrap_or_default();
        Self {
            seed,
            duration_ms,
            queue_ms: rest.queue_ms,
            error: rest.error,
            stages: rest.stages,
            faults: rest.faults,
            stuck: rest.stuck,
            canceled: rest.canceled,
        }
    }
}

impl Rest {
    fn bytes(&self) -> usize {
        let error = self.error.as_deref().map_or(0, problem_bytes);
        let faults = self.faults.iter().map(|fault| {
            let word = fault.word.as_ref().map_or(0, String::len);
            let retry_after = fault.retry_after.as_ref().map_or(0, String::len);
            let nth = fault
                .nth
                .as_ref()
                .map_or(0, |nth| size_of_val(nth.as_slice()));
            size_of::<Fault>() + word + retry_after + nth
        });
        let stages = self.stages.iter().flat_map(|stages| stages.iter());
        let stages = stages.map(|stage| size_of::<Stage>() + stage.name.len());
        error + faults.sum::<usize>() + stages.sum::<usize>()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(millis: &u64) -> bool {
    *millis == 0
}

fn no_faults(faults: &Arc<[Fault]>) -> bool {
    faults.is_empty()
}

/// How likely a simulated job fails.
pub const ERROR_CHANCE: f64 = 0.05;
/// How long a simulated job runs: anything between these two, in seconds.
pub const DURATION_S: (u64, u64) = (10, 30);

/// The server's defaults for simulated jobs, each of which `simulate` on a job overrides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Defaults {
    /// How long jobs run.
    pub duration: DurationLaw,
    /// How long they wait before they begin; not at all if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<DurationLaw>,
    /// How likely they fail.
    pub error_chance: f64,
    /// What their error says where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// What they go through.
    pub stages: Arc<[Stage]>,
    /// What goes wrong, with every job.
    #[serde(default, skip_serializing_if = "no_faults")]
    pub faults: Arc<[Fault]>,
    /// The scenario that they were taken from; whatever was changed since is in the other members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
}

impl Default for Defaults {
    /// Uniform over [`DURATION_S`], [`ERROR_CHANCE`], the stages of a video translation.
    fn default() -> Self {
        let stage = |name: &str, share: f64| Stage {
            name: name.to_owned(),
            share,
        };
        Self {
            duration: DurationLaw::Uniform {
                min: Span::new(Duration::from_secs(DURATION_S.0)),
                max: Span::new(Duration::from_secs(DURATION_S.1)),
            },
            queue: None,
            error_chance: ERROR_CHANCE,
            error: None,
            stages: Arc::new([
                stage("transcribing", 2.0),
                stage("translating", 1.0),
                stage("synthesizing_voice", 3.0),
                stage("syncing_lips", 3.0),
                stage("rendering", 1.0),
            ]),
            faults: Arc::new([]),
            scenario: None,
        }
    }
}

impl Defaults {
    /// These defaults with what `change` says put over them.
    #[must_use]
    pub fn with(&self, change: &Simulate) -> Self {
        let outcome = change.outcome.as_ref();
        Self {
            duration: change.duration.clone().unwrap_or(self.duration.clone()),
            queue: change.queue.clone().or_else(|| self.queue.clone()),
            error_chance: outcome
                .and_then(|plan| plan.error_chance)
                .unwrap_or(self.error_chance),
            error: outcome
                .and_then(|plan| plan.error.clone())
                .or_else(|| self.error.clone()),
            stages: change
                .stages
                .as_deref()
                .map_or_else(|| self.stages.clone(), Arc::from),
            faults: change
                .faults
                .as_deref()
                .map_or_else(|| self.faults.clone(), Arc::from),
            scenario: self.scenario.clone(),
        }
    }

    /// These defaults as `GET /v1/simulator` shows them.
    #[must_use]
    pub fn to_wire(&self) -> Simulate {
        Simulate {
            duration: Some(self.duration.clone()),
            queue: self.queue.clone(),
            outcome: Some(OutcomePlan {
                error_chance: Some(self.error_chance),
                error: self.error.clone(),
            }),
            stages: Some(self.stages.to_vec()),
            faults: Some(self.faults.to_vec()),
            key: None,
        }
    }

    /// Draws the plan of the job with that seed, which says `own` of itself.
    #[must_use]
    pub fn plan(&self, own: Option<&Simulate>, seed: u64, rng: Rng) -> Plan {
        let own_outcome = own.and_then(|simulate| simulate.outcome.as_ref());
        let law = own
            .and_then(|simulate| simulate.duration.as_ref())
            .unwrap_or(&self.duration);
        let queue = own
            .and_then(|simulate| simulate.queue.as_ref())
            .or(self.queue.as_ref());
        let error_chance = own_outcome
            .and_then(|plan| plan.error_chance)
            .unwrap_or(self.error_chance);
        let error = own_outcome
            .and_then(|plan| plan.error.as_ref())
            .or(self.error.as_ref());
        let faults: Arc<[Fault]> = own
            .and_then(|simulate| simulate.faults.as_deref())
            .map(Arc::from)
            .unwrap_or_default();
        let has = |kind: FaultKind| {
            let all = faults.iter().chain(self.faults.iter()).enumerate();
            // There is one occasion for each, so ordinals other than the first never come.
            all.filter(|(_, fault)| fault.fault == kind && fault.may_meet(1))
                .any(|(n, fault)| {
                    rng.unit(seed, kind.as_str(), n as u64) < fault.chance.unwrap_or(1.0)
                })
        };
        let (stuck, canceled) = (has(FaultKind::Stuck), has(FaultKind::CanceledElsewhere));
        let queue_ms = match has(FaultKind::QueueStuck) {
            true => millis_max(),
            false => queue.map_or(0, |law| draw(law, rng, seed, "queue")),
        };
        Plan {
            seed,
            duration_ms: draw(law, rng, seed, "duration"),
            queue_ms,
            error: (error_chance > 0.0 && rng.unit(seed, "outcome", 0) < error_chance)
                .then(|| Box::new(error.cloned().unwrap_or_else(simulated_error))),
            stages: own
                .and_then(|simulate| simulate.stages.as_deref())
                .map(Arc::from),
            faults,
            stuck,
            canceled,
        }
    }
}

fn simulated_error() -> Problem {
    let mut problem = Problem::new(500, Code::JOB_FAILED, "The job failed")
        .detail("the simulator drew a failure for this job");
    problem.retryable = false;
    problem
}

/// Draws a length in milliseconds, at most [`Span::MAX`]. Each purpose has draws of its own.
fn draw(law: &DurationLaw, rng: Rng, seed: u64, purpose: &'static str) -> u64 {
    let mut dice = Dice {
        rng,
        seed,
        purpose,
        stream: None,
    };
    // A float saturates when it is cast, and no law gives a negative number.
    let millis = (law.length(&mut dice) * 1_000.0).round() as u64;
    millis.min(millis_max())
}

fn millis_max() -> u64 {
    u64::try_from(Span::MAX.as_millis()).unwrap_or(u64::MAX)
}

/// The random numbers of one job's duration, from a generator that is made for the first of them.
struct Dice {
    rng: Rng,
    seed: u64,
    purpose: &'static str,
    stream: Option<ChaCha8Rng>,
}

impl Dice {
    fn stream(&mut self) -> &mut ChaCha8Rng {
        self.stream
            .get_or_insert_with(|| self.rng.stream(self.seed, self.purpose, 0))
    }
}

impl Draws for Dice {
    fn unit(&mut self) -> f64 {
        self.stream().random()
    }

    fn exponential(&mut self) -> f64 {
        self.stream().sample(Exp1)
    }

    fn normal(&mut self) -> f64 {
        self.stream().sample(StandardNormal)
    }

    fn index(&mut self, length: usize) -> usize {
        self.stream().random_range(0..length)
    }
}

/// The share of the whole at which the `n`-th stage begins, counted from 0; `None` if it has fewer.
pub(super) fn begin_of(stages: &[Stage], n: usize) -> Option<f64> {
    let share = |stages: &[Stage]| stages.iter().map(|stage| stage.share).sum::<f64>();
    let before = stages.get(..n).filter(|_| n < stages.len())?;
    Some(share(before) / share(stages))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_and_median(law: &DurationLaw) -> (f64, f64) {
        let mut drawn: Vec<f64> = (0..20_000)
            .map(|seed| {
                let plan = Defaults {
                    duration: law.clone(),
                    ..Defaults::default()
                }
                .plan(None, seed, Rng::new(1));
                plan.duration_ms as f64 / 1_000.0
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        (drawn.iter().sum::<f64>() / 20_000.0, drawn[10_000])
    }

    #[test]
    fn laws_have_the_mean_and_the_median_they_promise() {
        let table = [
            ("2s", 2.0, 2.0),
            ("uniform:10s:30s", 20.0, 20.0),
            ("exponential:20s", 20.0, 20.0 * 2f64.ln()),
            ("lognormal:20s:0.5", 20.0 * 0.125f64.exp(), 20.0),
            ("weibull:20s:1.5", 18.055, 15.664),
            ("pareto:10s:3", 15.0, 12.599),
            ("empirical:1s:3s:8s", 4.0, 3.0),
            ("shifted:5s:uniform:1s:3s", 7.0, 7.0),
            ("mixture:1:2s+3:shifted:1s:exponential:9s", 8.0, 4.649),
        ];
        for (law, mean, median) in table {
            let (got_mean, got_median) = mean_and_median(&law.parse().unwrap());
            assert!(
                (got_mean / mean - 1.0).abs() < 0.03,
                "{law}: mean {got_mean}"
            );
            assert!(
                (got_median / median - 1.0).abs() < 0.04,
                "{law}: median {got_median}"
            );
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_lengths_as_ever() {
        for (law, expected) in [
            ("uniform:10s:30s", [18_185, 14_128, 20_121]),
            ("exponential:20s", [22_550, 23_391, 65_569]),
            ("lognormal:20s:0.5", [16_599, 8_088, 20_407]),
            ("empirical:1s:3s:8s", [3_000, 3_000, 8_000]),
        ] {
            let law = law.parse().unwrap();
            let drawn = [0, 1, 2].map(|seed| draw(&law, Rng::new(7), seed, "duration"));
            assert_eq!(drawn, expected, "{law}");
        }
    }

    #[test]
    fn failures_come_as_often_as_they_should() {
        let defaults = Defaults {
            error_chance: 0.3,
            ..Defaults::default()
        };
        let failed = (0..20_000)
            .filter(|seed| defaults.plan(None, *seed, Rng::new(3)).error.is_some())
            .count();
        assert!((5_700..6_300).contains(&failed), "{failed}");
    }

    #[test]
    fn stages_begin_where_the_shares_before_them_end() {
        let stages = &Defaults::default().stages;
        let begins = (0..=stages.len()).map_while(|n| begin_of(stages, n));
        let rounded: Vec<i64> = begins.map(|begin| (begin * 100.0).round() as i64).collect();
        assert_eq!(rounded, [0, 20, 30, 60, 90]);
        assert_eq!(begin_of(&[], 0), None);
    }
}
