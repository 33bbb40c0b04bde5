//! What a schedule is told: at the start of a job, after each poll, and at the end.

use super::{Feature, History};
use std::time::{Duration, SystemTime};

/// What is known when a job's schedule begins.
///
/// ```
/// # use abide::schedule::{Push, Start};
/// let start = Start::new(42).size(183.0).push(Push::Expected);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Start {
    /// The seed of the job's jitter.
    pub seed: u64,
    /// How big the job is, in any unit that the caller keeps to within one kind (seconds of video, bytes); none unless
    /// known. Schedules that learn scale their expectation by it.
    pub size: Option<f64>,
    /// What else is known of the job that may bear on its duration; schedules that learn find out by how much.
    pub features: Vec<Feature>,
    /// Whether a push (webhook) is expected to bring the news first.
    pub push: Push,
    /// Which job it is, as a hash of its id; none unless known. Several waits for one job then count as one observation
    /// of its duration.
    pub job: Option<u64>,
    /// The time of day; none unless known. It puts what several processes learn in order.
    pub began: Option<SystemTime>,
    /// What the caller has learned so far; none leaves a schedule that learns to its own memory.
    pub history: Option<History>,
}

impl Start {
    /// A job without a size and without a push.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            size: None,
            features: Vec::new(),
            push: Push::None,
            job: None,
            began: None,
            history: None,
        }
    }

    /// Tells how big the job is. A size that isn't a positive finite number counts as unknown.
    #[must_use]
    pub fn size(mut self, size: f64) -> Self {
        self.size = (size.is_finite() && size > 0.0).then_some(size);
        self
    }

    /// Tells what else is known of the job, beside what was told before. More than four features count as the first
    /// four.
    #[must_use]
    pub fn features(mut self, features: impl IntoIterator<Item = Feature>) -> Self {
        self.features.extend(features);
        self
    }

    /// Tells that a push is expected, so that polls are only a safety net.
    #[must_use]
    pub fn push(mut self, push: Push) -> Self {
        self.push = push;
        self
    }

    /// Tells the job's id, so that several waits for it count as one.
    #[must_use]
    pub fn job(mut self, id: &str) -> Self {
        self.job = Some(super::learned::hash(id));
        self
    }

    /// Tells the time of day.
    #[must_use]
    pub fn began(mut self, now: SystemTime) -> Self {
        self.began = Some(now);
        self
    }

    /// Hands over what was learned so far, to be added to. A schedule with a history of its own keeps to that.
    #[must_use]
    pub fn history(mut self, history: &History) -> Self {
        self.history = Some(history.clone());
        self
    }
}

/// Whether news of the end is also pushed to us.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Push {
    /// No pushes: polling is the only source.
    #[default]
    None,
    /// A push is expected; schedules that learn plan for the share of lost pushes that they have counted.
    Expected,
    /// A push is expected and this share of them (0 to 1) is lost.
    Loss(f64),
}

/// What has been seen of one job so far; all instants are times since the job was accepted.
///
/// Hints are those of the *latest* answer: a loop fills them in anew each time, and leaves them out when the answer
/// carried none.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Seen {
    /// Now. Acceptance is the arrival of the create's answer less half a round trip.
    pub elapsed: Duration,
    /// The latest estimate of a round trip to the server; 100 ms until one was measured.
    pub rtt: Duration,
    /// How many polls have been answered "not yet".
    pub polls: u32,
    /// The server's `Retry-After`, as the instant before which it doesn't want to be asked.
    pub not_before: Option<Duration>,
    /// The server's own estimate of what remains.
    pub remaining: Option<Remaining>,
    /// The share of the work that is done, 0 to 1.
    pub progress: Option<f64>,
}

impl Seen {
    /// Nothing but the time.
    #[must_use]
    pub fn at(elapsed: Duration) -> Self {
        Self {
            elapsed,
            rtt: Duration::from_millis(100),
            polls: 0,
            not_before: None,
            remaining: None,
            progress: None,
        }
    }

    /// Sets the estimate of a round trip.
    #[must_use]
    pub fn rtt(mut self, rtt: Duration) -> Self {
        self.rtt = rtt;
        self
    }

    /// Sets how many polls have been answered.
    #[must_use]
    pub fn polls(mut self, polls: u32) -> Self {
        self.polls = polls;
        self
    }

    /// Sets the floor under the next poll.
    #[must_use]
    pub fn not_before(mut self, not_before: Option<Duration>) -> Self {
        self.not_before = not_before;
        self
    }

    /// Sets the server's estimate of what remains.
    #[must_use]
    pub fn remaining(mut self, remaining: Option<Remaining>) -> Self {
        self.remaining = remaining;
        self
    }

    /// Sets the share of the work that is done. Anything outside 0 to 1 counts as unknown.
    #[must_use]
    pub fn progress(mut self, progress: Option<f64>) -> Self {
        self.progress = progress.filter(|share| (0.0..=1.0).contains(share));
        self
    }
}

/// A server's estimate of the time that remains, counted from its answer.
///
/// It is a distribution to learn from, never an appointment: schedules that learn keep account of how such estimates
/// turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Remaining {
    /// The median, or the point estimate of a server that gives only one.
    pub p50: Duration,
    /// The 10 % and 90 % quantiles, where the server gives them.
    pub spread: Option<(Duration, Duration)>,
}

impl Remaining {
    /// A point estimate.
    #[must_use]
    pub fn about(p50: Duration) -> Self {
        Self { p50, spread: None }
    }

    /// Three quantiles.
    #[must_use]
    pub fn quantiles(p10: Duration, p50: Duration, p90: Duration) -> Self {
        Self {
            p50,
            spread: Some((p10, p90)),
        }
    }
}

/// How a wait ended, as an observation of the job's duration; all instants are times since the job was accepted.
///
/// Failures and cancelations count like successes: what is learned is how long a job takes to *end*. A wait that was
/// given up is an observation too ("longer than this"), and leaving it out would teach that jobs are shorter than they
/// are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ended {
    /// When the server last said "not yet" (the middle of that exchange); zero if it never did.
    pub after: Duration,
    /// When it first said "done" (the middle of that exchange); none if the wait was given up.
    pub at_most: Option<Duration>,
    /// The job's own account of its duration, from two timestamps of the *server's* clock.
    pub duration: Option<Duration>,
    /// How many polls were spent.
    pub polls: u32,
    /// Whether an expected push came (`Some(true)`), was lost (`Some(false)`), or none was expected.
    pub pushed: Option<bool>,
}

impl Ended {
    /// The end was seen between the last "not yet" and the first "done".
    #[must_use]
    pub fn between(after: Duration, at_most: Duration) -> Self {
        Self {
            after,
            at_most: Some(at_most.max(after)),
            duration: None,
            polls: 0,
            pushed: None,
        }
    }

    /// The wait was given up while the job was still running.
    #[must_use]
    pub fn given_up(after: Duration) -> Self {
        Self {
            after,
            at_most: None,
            duration: None,
            polls: 0,
            pushed: None,
        }
    }

    /// Adds the server's own account of the duration.
    #[must_use]
    pub fn duration(mut self, duration: Option<Duration>) -> Self {
        self.duration = duration;
        self
    }

    /// Adds how many polls were spent.
    #[must_use]
    pub fn polls(mut self, polls: u32) -> Self {
        self.polls = polls;
        self
    }

    /// Adds whether the expected push came.
    #[must_use]
    pub fn pushed(mut self, pushed: Option<bool>) -> Self {
        self.pushed = pushed;
        self
    }
}
