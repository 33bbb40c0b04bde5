//! Schedules: *when* to ask whether a job has ended.
//!
//! A [`Schedule`] is a value: it can be named in a configuration, cloned, shared by thousands of waits and replayed by
//! a simulator. For every job it [begins](Schedule::begin) a [`Cursor`], and the loop that waits asks
//! that cursor once per answered poll when the next one shall be sent. Nothing here reads a clock, draws from a hidden
//! generator or performs I/O: the time comes in as [`Seen::elapsed`], chance comes in as [`Start::seed`].
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
mod cursor;
mod custom;
mod feature;
mod fixed;
mod jitter;
mod learned;
mod pacer;
mod seen;
#[cfg(test)]
pub(crate) mod testing;

pub use self::backoff::Backoff;
pub use self::countdown::Countdown;
pub use self::cursor::{Cursor, Schedule};
pub use self::custom::{from_fn, intervals};
pub use self::feature::{Feature, FeatureValue};
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
