//! How long jobs of a kind take, as the server has seen it.
//!
//! # Running jobs count too
//!
//! Learning from ended jobs alone goes wrong where jobs overlap: when the first hundred jobs of a kind have been
//! started together and fifty of them have ended, those are the fifty shortest. So a [`Cohort`] follows jobs from
//! their creation on, and a job that still runs (or was canceled, or ran into its creator's deadline) says what it
//! can say: that it took longer than its age. This is the product-limit estimate of Kaplan and Meier, with the job
//! that is looked at counted among those at risk, which makes it right on average for few jobs too: of `n` past jobs
//! and this one, each is as likely to be the shortest.
//!
//! Which jobs are followed is decided by their names, never by how long they take; a kind with thousands of jobs at
//! the same time has fewer of them followed, so that the memory reaches back over several of their lifetimes.
//!
//! # Jobs that all take the same time
//!
//! Where many past jobs took the very same time, a quantile falls on that time, and whether the next job takes *less*
//! is all or nothing. There a quantile is moved a millisecond to the one side or the other, as often as its rank
//! demands. So also for a law with atoms, even a constant, the job ends before `p10` in 10 of 100 looks and before
//! `p90` in 90.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use abide_wire::{Remaining, Timestamp};

use super::job::Job;
use crate::effect::{Effect, Touch};
use crate::hash::FastMap;
use crate::intern::KINDS_MAX;
use crate::snapshot::PartKey;
use crate::{JobKey, Owner};

/// The most jobs that are followed per kind. The oldest is forgotten for the next.
pub const FOLLOWED_MAX: usize = 1_024;
/// With fewer than this many past jobs that took longer there is nothing to say.
pub const LONGER_MIN: usize = 5;

/// The number of followed running jobs that halves the share of new jobs that are followed.
const RUNNING_PER_HALVING: usize = 32;
/// At least one in `2^8` is followed, so that jobs that never end don't end the learning.
const HALVINGS_MAX: usize = 8;
/// How many of the last ends say how it goes on beyond the longest.
const TAIL: usize = 8;

/// The cohorts of each owner's kinds, at most [`KINDS_MAX`] of each owner's. No owner learns from another's jobs, nor
/// keeps another from learning.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds(BTreeMap<Owner, BTreeMap<Arc<str>, Arc<Cohort>>>);

impl Kinds {
    pub(super) fn get(&self, owner: Owner, kind: &str) -> Option<&Arc<Cohort>> {
        self.0.get(&owner)?.get(kind)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Owner, &Arc<str>, &Arc<Cohort>)> {
        let owners = self.0.iter();
        owners.flat_map(|(owner, kinds)| kinds.iter().map(|(kind, cohort)| (*owner, kind, cohort)))
    }

    pub(super) fn restore(&mut self, owner: Owner, kind: Arc<str>, cohort: Cohort) {
        let kinds = self.0.entry(owner).or_default();
        kinds.insert(kind, Arc::new(cohort));
    }

    /// Notes what a job's step says about its kind, if the job is followed.
    pub(super) fn note(&mut self, job: &Job, step: Step, touch: &mut Touch<'_>) {
        let owner = job.owner;
        let is_known = self.get(owner, &job.kind).is_some();
        // Only a new job begins a kind again that was forgotten to make room.
        if !is_known && !matches!(step, Step::Began(_)) {
            return;
        }
        let kinds = self.0.entry(owner).or_default();
        if kinds.len() >= KINDS_MAX && !is_known {
            // The kind of which least is known makes room.
            let least = kinds.iter().min_by_key(|(_, cohort)| cohort.followed.len());
            if let Some(least) = least.map(|(kind, _)| kind.clone()) {
                kinds.remove(&least);
                touch.dirty(PartKey::Kind(owner, least.clone()));
                touch.tell(Effect::Unlearned(owner, least));
            }
        }
        let cohort = kinds.entry(job.kind.clone()).or_default();
        let is_followed = match step {
            Step::Began(key) => cohort.wants(key),
            Step::Ended(key, _) | Step::Left(key, _) => cohort.follows(key),
        };
        if is_followed {
            Arc::make_mut(cohort).note(step);
            touch.dirty(PartKey::Kind(owner, job.kind.clone()));
            touch.tell(Effect::Learned(owner, job.kind.clone(), step));
        }
    }
}

/// The last jobs of one kind: how long each took, or has taken so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Stored>", into = "Vec<Stored>")]
pub struct Cohort {
    /// In order of creation, the newest last.
    followed: VecDeque<Followed>,
    /// The number of the oldest one that is followed.
    first: u64,
    /// The numbers of those that run.
    running: FastMap<JobKey, u64>,
    /// How often anything changed.
    version: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    Running,
    /// It ended, after this many milliseconds.
    Ended(u64),
    /// It was ended from outside or forgotten, after this many milliseconds.
    Left(u64),
}

/// What happened to a job that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was created.
    Began(JobKey),
    /// It ended by itself, after this many milliseconds.
    Ended(JobKey, u64),
    /// It was ended from outside, after this many milliseconds.
    Left(JobKey, u64),
}

/// The stored form: a number for an end, a list of one for a job that left, a name for a job that runs.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Ended(u64),
    Left([u64; 1]),
    Running(JobKey),
}

impl Cohort {
    /// Whether a job of that name, which is being created, is to be followed.
    #[must_use]
    pub fn wants(&self, job: JobKey) -> bool {
        let halvings = (self.running.len() / RUNNING_PER_HALVING).min(HALVINGS_MAX);
        // The last bits of a name are random.
        job.as_u128() & ((1 << halvings) - 1) == 0
    }

    /// Whether that job is followed and runs.
    #[must_use]
    pub fn follows(&self, job: JobKey) -> bool {
        self.running.contains_key(&job)
    }

    /// Notes what happened to a job.
    pub fn note(&mut self, step: Step) {
        self.version += 1;
        match step {
            Step::Began(job) => {
                let number = self.first + self.followed.len() as u64;
                self.followed.push_back(Followed::Running);
                self.running.insert(job, number);
                if self.followed.len() > FOLLOWED_MAX {
                    self.forget_oldest();
                }
            }
            Step::Ended(job, millis) => self.end(job, Followed::Ended(millis)),
            Step::Left(job, millis) => self.end(job, Followed::Left(millis)),
        }
    }

    fn end(&mut self, job: JobKey, end: Followed) {
        if let Some(number) = self.running.remove(&job)
            && let Some(place) = number.checked_sub(self.first)
            && let Some(followed) = self.followed.get_mut(place as usize)
        {
            *followed = end;
        }
    }

    fn forget_oldest(&mut self) {
        if self.followed.pop_front() == Some(Followed::Running) {
            self.running.retain(|_, number| *number != self.first);
        }
        self.first += 1;
    }

    /// What is known by now.
    #[must_use]
    pub fn curve(&self, now: Timestamp) -> Curve {
        let ends = self
            .followed
            .iter()
            .filter(|followed| matches!(followed, Followed::Ended(_)));
        if ends.take(LONGER_MIN).count() < LONGER_MIN {
            // It has nothing to say until there are more, however old those that run grow.
            return Curve {
                version: self.version,
                built_at: now,
                ..Curve::default()
            };
        }
        let age = |key: &JobKey| u64::try_from(now.since(key.made_at()).as_millis()).unwrap_or(0);
        let gone = self.followed.iter().filter_map(|followed| match followed {
            Followed::Running => None,
            Followed::Ended(millis) => Some((*millis, false)),
            Followed::Left(millis) => Some((*millis, true)),
        });
        // An end comes before a job that left at the same age: the latter was at risk of it.
        let mut exits: Vec<(u64, bool)> = gone
            .chain(self.running.keys().map(|key| (age(key), true)))
            .collect();
        exits.sort_unstable();
        let mut curve = Curve {
            ages: Vec::with_capacity(exits.len()),
            survival: Vec::with_capacity(exits.len()),
            late_rate: 0.0,
            version: self.version,
            built_at: now,
            good_for: None,
        };
        let mut survival = 1.0;
        for (place, (millis, has_left)) in exits.iter().enumerate() {
            if !has_left {
                let at_risk = (exits.len() - place) as f64;
                survival *= at_risk / (at_risk + 1.0);
                curve.ages.push(*millis);
                curve.survival.push(survival);
            }
        }
        curve.late_rate = late_rate(&curve.ages, &exits);
        if !self.running.is_empty() {
            let median = curve.ages.get(curve.ages.len() / 2).copied().unwrap_or(0);
            curve.good_for = Some(Duration::from_millis(median / 64));
        }
        curve
    }

    /// Whether the curve says practically what a new one would.
    #[must_use]
    pub fn is_current(&self, curve: &Curve, now: Timestamp) -> bool {
        let missed = self.version.wrapping_sub(curve.version);
        missed <= self.followed.len() as u64 / 64
            && curve
                .good_for
                .is_none_or(|good_for| now.since(curve.built_at) <= good_for)
    }

    /// How many jobs are followed or were.
    #[must_use]
    pub fn len(&self) -> usize {
        self.followed.len()
    }

    /// Whether no job was ever followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.followed.is_empty()
    }
}

/// A survival curve: the share of jobs still running after a given time, precomputed from a [`Cohort`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// The ages at which jobs ended, in milliseconds, ascending.
    ages: Vec<u64>,
    /// The share that lasts longer than each of these ages.
    survival: Vec<f64>,
    /// How many of the jobs that last longest end per millisecond.
    late_rate: f64,
    version: u64,
    built_at: Timestamp,
    /// How long it holds: running jobs grow older, and then it differs.
    good_for: Option<Duration>,
}

impl Curve {
    /// How long a job that has run for `elapsed_ms` will still take; `None` if fewer than [`LONGER_MIN`] jobs
    /// are known that took longer.
    #[must_use]
    pub fn remaining(&self, elapsed_ms: u64) -> Option<Remaining> {
        let from = self.ages.partition_point(|age| *age <= elapsed_ms);
        if self.ages.len() - from < LONGER_MIN {
            return None;
        }
        let draw = unit(elapsed_ms, self.built_at.as_millis().unsigned_abs());
        let quantile = |p| (self.quantile(p, from, elapsed_ms, draw)).saturating_sub(elapsed_ms);
        Some(Remaining {
            p10: quantile(0.1),
            p50: quantile(0.5),
            p90: quantile(0.9),
        })
    }

    /// The age that a share `p` of the jobs doesn't reach, of those that reached `elapsed`. `from` is the first end
    /// after it.
    fn quantile(&self, p: f64, from: usize, elapsed: u64, draw: f64) -> u64 {
        let before = |place: usize| match place.checked_sub(1) {
            Some(place) if place >= from => (self.ages[place], self.survival[place]),
            Some(place) => (elapsed, self.survival[place]),
            None => (elapsed, 1.0),
        };
        let (_, alive) = before(from);
        let target = alive * (1.0 - p);
        // Shares are products, so the last digit of one that is hit exactly may be wrong.
        let is_above = |share: &f64| *share > target * (1.0 + 1e-9);
        let place = from + self.survival[from..].partition_point(is_above);
        let Some((age, share)) = self.ages.get(place).zip(self.survival.get(place)) else {
            // As if from there on jobs ended at the rate of the last few.
            let (age, share) = before(self.ages.len());
            return age + 1 + ((share / target).ln() / self.late_rate) as u64;
        };
        let (low_age, low_share) = before(place);
        if *age > low_age {
            let part = (low_share - target) / (low_share - share);
            return low_age + (part * (age - low_age) as f64).round() as u64;
        }
        // An atom: beside its own end the quantile has ends of the same age on its left.
        let first = self.ages.partition_point(|other| other < age);
        let last = self.ages.partition_point(|other| other <= age) - 1;
        let (top, bottom) = (self.survival[first], self.survival[last]);
        if draw < (top - target) / (top - bottom) {
            age + 1
        } else {
            age - 1
        }
    }
}

/// How many jobs end per millisecond of one, by the last few ends and by all who have lasted longer than the ends
/// before.
fn late_rate(ages: &[u64], exits: &[(u64, bool)]) -> f64 {
    let since = ages
        .len()
        .checked_sub(TAIL + 1)
        .map_or(0, |place| ages[place]);
    let ends = ages.iter().filter(|age| **age > since).count();
    let lasted = exits
        .iter()
        .map(|(age, _)| age.saturating_sub(since) as f64);
    // None at all is evidence too; half an end stands for it. Where no job has lasted, the rate is infinite.
    (ends as f64).max(0.5) / lasted.sum::<f64>()
}

/// A number in `0.0..1.0` that looks random, by what it is for.
fn unit(a: u64, b: u64) -> f64 {
    // The finalizer of a well-known generator (splitmix64); it need not be unpredictable.
    let mut mixed = a
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(b.wrapping_mul(0xd1b5_4a32_d192_ed03));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

impl From<Vec<Stored>> for Cohort {
    fn from(stored: Vec<Stored>) -> Self {
        let mut cohort = Self::default();
        for (number, stored) in stored.into_iter().enumerate() {
            cohort.followed.push_back(match stored {
                Stored::Ended(millis) => Followed::Ended(millis),
                Stored::Left([millis]) => Followed::Left(millis),
                Stored::Running(job) => {
                    cohort.running.insert(job, number as u64);
                    Followed::Running
                }
            });
        }
        cohort
    }
}

impl From<Cohort> for Vec<Stored> {
    fn from(cohort: Cohort) -> Self {
        let mut stored: Self = cohort
            .followed
            .iter()
            .map(|followed| match followed {
                Followed::Ended(millis) => Stored::Ended(*millis),
                Followed::Left(millis) => Stored::Left([*millis]),
                Followed::Running => Stored::Left([0]),
            })
            .collect();
        for (job, number) in cohort.running {
            stored[(number - cohort.first) as usize] = Stored::Running(job);
        }
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn key(n: u64) -> JobKey {
        JobKey::from_u128(JobKey::first_at(START).as_u128() + (u128::from(n) << 16))
    }

    fn cohort(ends: &[u64]) -> Cohort {
        let mut cohort = Cohort::default();
        for (n, millis) in ends.iter().enumerate() {
            cohort.note(Step::Began(key(n as u64)));
            cohort.note(Step::Ended(key(n as u64), *millis));
        }
        cohort
    }

    #[test]
    fn of_nine_past_jobs_each_is_a_tenth() {
        let curve = cohort(&[100, 200, 300, 400, 500, 600, 700, 800, 900]).curve(START);
        let of = |elapsed| {
            curve
                .remaining(elapsed)
                .map(|left| (left.p10, left.p50, left.p90))
        };
        assert_eq!(of(0), Some((100, 500, 900)));
        assert_eq!(of(400), Some((60, 300, 730)));
        assert_eq!(of(500), None, "four are too few");
    }

    #[test]
    fn jobs_that_run_say_that_they_take_longer() {
        let mut cohort = cohort(&[100; 10]);
        let of_ended = cohort.curve(START).remaining(0).unwrap();
        assert!(of_ended.p90.abs_diff(100) <= 1, "{of_ended:?}");
        for n in 100..130 {
            cohort.note(Step::Began(key(n)));
        }
        // Three of four are older than 100 ms and haven't ended.
        let curve = cohort.curve(START + Duration::from_millis(5_000));
        let remaining = curve.remaining(0).unwrap();
        assert!(remaining.p10.abs_diff(100) <= 1, "{remaining:?}");
        assert!(remaining.p50 > 5_000, "{remaining:?}");
        // And those that are younger say nothing of it.
        let curve = cohort.curve(START + Duration::from_millis(50));
        assert!(curve.remaining(0).unwrap().p50.abs_diff(100) <= 1);
    }

    #[test]
    fn what_is_stored_is_what_was_known() {
        let mut cohort = cohort(&[7; 1_020]);
        for n in 2_000..2_050 {
            cohort.note(Step::Began(key(n)));
        }
        cohort.note(Step::Left(key(2_001), 55));
        assert_eq!(cohort.len(), FOLLOWED_MAX);
        let text = serde_json::to_string(&cohort).unwrap();
        let again: Cohort = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
        assert_eq!(again.curve(START).ages, cohort.curve(START).ages);
        assert!(again.follows(key(2_000)) && !again.follows(key(2_001)));
    }

    #[test]
    fn a_crowd_is_thinned_and_jobs_that_never_end_dont_end_the_learning() {
        let mut cohort = Cohort::default();
        let mut followed = 0;
        for n in 0..100_000_u128 {
            let random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7;
            let job = JobKey::from_u128(JobKey::first_at(START).as_u128() + (random & 0xffff_ffff));
            if !cohort.wants(job) {
                continue;
            }
            cohort.note(Step::Began(job));
            followed += 1;
        }
        assert!((300..3_000).contains(&followed), "{followed}");
        assert!(cohort.running.len() <= FOLLOWED_MAX);
        for n in 0..20 {
            let job = key(1 << (20 + n));
            cohort.note(Step::Began(job));
            cohort.note(Step::Ended(job, 1_000));
        }
        assert!(cohort.curve(START).remaining(0).is_some());
    }
}
