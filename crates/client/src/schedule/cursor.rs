//! What a schedule is, and its walk along one job.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Ended, Seen, Start};
use crate::rt::Work;

/// When to poll, as a value.
///
/// Implement it for a schedule of your own; [`from_fn`](super::from_fn) and [`intervals`](super::intervals) do it for
/// closures and iterators.
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

    /// What is to be read from a disk before the schedule begins; `None` if nothing is. It begins with what is known if
    /// that isn't done.
    #[doc(hidden)]
    fn reading(&self, start: &Start) -> Option<Work> {
        let _ = start;
        None
    }
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

    fn reading(&self, start: &Start) -> Option<Work> {
        (**self).reading(start)
    }
}

impl Schedule for Box<dyn Schedule> {
    fn begin(&self, start: &Start) -> Box<dyn Cursor> {
        (**self).begin(start)
    }

    fn reading(&self, start: &Start) -> Option<Work> {
        (**self).reading(start)
    }
}
