//! Schedules: *when* to ask whether a job has ended.
//!
//! A [`Schedule`] is a value: it can be named in a configuration, cloned, shared by thousands of waits and replayed by
//! a simulator. For every job it [begins](Schedule::begin) a [`Cursor`], and the loop that waits asks
//! that cursor once per answered poll when the next one shall be sent. Nothing here reads a clock, draws from a hidden
//! generator or performs I/O: the time comes in as [`Seen::elapsed`], luck comes in as [`Start::seed`].
//!
//! | schedule | what it does | when to choose it |
//! |---|---|---|
//! | [`Fixed`] | the same pause every time | memoryless durations, or a server that prescribes an interval |
//! | [`Backoff`] | pauses that grow by a factor up to a cap | an API that demands it; otherwise late by design |
//! | [`Countdown`] | pauses that shrink while attempts run out | a known span with a hard limit of attempts |
//! | [`Learned`] | what earlier jobs of the kind took decides | the default: near the best that polling can do |
//! | [`intervals`] | any iterator of `Duration` | a schedule you already have |
//! | [`from_fn`] | any closure over what was [`Seen`] | a schedule you are about to invent |
//!
//! Three rules hold for every schedule, and the loop of a wait enforces them so that a schedule of your own need not:
//! a server's `Retry-After` is a floor under the next poll, never an appointment; a caller's deadline earns one last
//! poll just before it; and a poll that *failed* (refused, reset, 5xx) is no poll at all: the loop retries it under its
//! retry policy and doesn't ask the cursor again, so failures neither advance nor reset a schedule.
//!
//! ```
//! use std::time::Duration;
//! use abide::schedule::{Backoff, Schedule, Seen, Start};
//!
//! let schedule = Backoff::new(Duration::from_secs(1)).factor(2.0).max(Duration::from_secs(15));
//! let mut cursor = schedule.begin(&Start::new(7));
//! // The first poll leaves a second after the job was accepted.
//! assert_eq!(cursor.next(&Seen::at(Duration::ZERO)), Some(Duration::from_secs(1)));
//! ```

mod backoff;
mod countdown;
mod custom;
mod fixed;
mod jitter;
mod learned;
mod pacer;
mod seen;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::backoff::Backoff;
pub use self::countdown::Countdown;
pub use self::custom::{FromFn, Intervals, from_fn, intervals};
pub use self::fixed::Fixed;
pub use self::jitter::Jitter;
/// For `abide-simulate`: no part of the interface.
#[doc(hidden)]
pub use self::learned::planner;
pub use self::learned::{Dial, History, Learned};
pub(crate) use self::pacer::PAUSE_MIN;
/// For `abide-simulate`: no part of the interface.
#[doc(hidden)]
pub use self::pacer::Pacer;
pub use self::seen::{Ended, Push, Remaining, Seen, Start};

/// When to poll, as a value.
///
/// Implement it for a schedule of your own; [`from_fn`] and [`intervals`] do it for closures and iterators.
///
/// ```
/// use std::time::Duration;
/// use abide::schedule::{Cursor, Schedule, Seen, Start};
///
/// /// Polls at 10 % steps of the job's age.
/// #[derive(Debug, Clone)]
/// struct Proportional;
///
/// impl Schedule for Proportional {
///     fn begin(&self, _: &Start) -> Box<dyn Cursor> {
///         Box::new(Self)
///     }
/// }
///
/// impl Cursor for Proportional {
///     fn next(&mut self, seen: &Seen) -> Option<Duration> {
///         Some(seen.elapsed.mul_f64(1.1).max(Duration::from_secs(1)))
///     }
/// }
/// # assert_eq!(Proportional.begin(&Start::new(1)).next(&Seen::at(Duration::from_secs(10))), Some(Duration::from_secs(11)));
/// ```
pub trait Schedule: fmt::Debug + Send + Sync + 'static {
    /// Begins the schedule for one job.
    fn begin(&self, start: &Start) -> Box<dyn Cursor>;
}

/// One job's walk along its [`Schedule`].
pub trait Cursor: fmt::Debug + Send {
    /// When to send the next poll, as time since the job was accepted.
    ///
    /// Asked once before the first poll and then once per poll that was *answered* with "not yet". An instant that has
    /// passed means "now". `None` means that the schedule's attempts are used up: the wait ends as *still running*.
    fn next(&mut self, seen: &Seen) -> Option<Duration>;

    /// How the wait ended, for schedules that learn. Called at most once; the default forgets it.
    ///
    /// A cursor that is dropped without this call belonged to a wait that was given up.
    fn finish(&mut self, ended: &Ended) {
        let _ = ended;
    }

    /// The instant since acceptance by which the job has ended with the given probability, knowing that it was still
    /// running at [`Seen::elapsed`].
    ///
    /// `None` from schedules that have no opinion. A held request attaches late with it: sleep to the 1 % quantile,
    /// then hold.
    fn quantile(&self, probability: f64, seen: &Seen) -> Option<Duration> {
        let _ = (probability, seen);
        None
    }

    /// The rate at which the job is expected to end, per second, knowing that it was still running at
    /// [`Seen::elapsed`].
    ///
    /// `None` from schedules that have no opinion. A budget of requests that many waits share is best divided by the
    /// square roots of these.
    fn hazard(&self, seen: &Seen) -> Option<f64> {
        let _ = seen;
        None
    }
}

impl Schedule for Arc<dyn Schedule> {
    fn begin(&self, start: &Start) -> Box<dyn Cursor> {
        (**self).begin(start)
    }
}

impl Schedule for Box<dyn Schedule> {
    fn begin(&self, start: &Start) -> Box<dyn Cursor> {
        (**self).begin(start)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Walks a schedule as a wait would: every poll is answered at once with "not yet".

    use super::{Cursor, Schedule, Seen, Start};
    use std::time::Duration;

    /// The first `count` polls in seconds since acceptance, with a round trip of nothing.
    pub(crate) fn polls(schedule: &dyn Schedule, seed: u64, count: usize) -> Vec<f64> {
        let mut cursor = schedule.begin(&Start::new(seed));
        walk(cursor.as_mut(), count)
    }

    /// The next `count` polls of a cursor that has not been asked yet.
    pub(crate) fn walk(cursor: &mut dyn Cursor, count: usize) -> Vec<f64> {
        let mut seen = Seen::at(Duration::ZERO).rtt(Duration::ZERO);
        let mut polls = Vec::new();
        while polls.len() < count {
            let Some(at) = cursor.next(&seen) else { break };
            polls.push(at.as_secs_f64());
            seen.elapsed = at.max(seen.elapsed);
            seen.polls += 1;
        }
        polls
    }
}
