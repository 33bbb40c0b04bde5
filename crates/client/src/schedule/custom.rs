//! The caller's own schedule: an iterator of pauses, or a closure.

use super::{Cursor, Schedule, Seen, Start};
use std::fmt;
use std::time::Duration;

/// Makes a schedule of any iterator of pauses, counted from each answer to the next poll.
///
/// When the iterator ends the attempts are used up. It is cloned for every job.
///
/// ```
/// use std::time::Duration;
/// use abide::schedule::intervals;
///
/// let fibonacci = intervals([1, 1, 2, 3, 5, 8].map(Duration::from_secs));
/// let for_ever = intervals(std::iter::repeat(Duration::from_millis(700)));
/// ```
pub fn intervals<I>(pauses: I) -> impl Schedule + Clone
where
    I: IntoIterator<Item = Duration>,
    I::IntoIter: Clone + Send + Sync + 'static,
{
    Intervals(pauses.into_iter())
}

/// Makes a schedule of a closure from what was seen to the instant of the next poll, both since the job was accepted.
///
/// ```
/// use std::time::Duration;
/// use abide::schedule::from_fn;
///
/// // Trusts the server's median, but never sleeps past half of it.
/// let halving = from_fn(|seen| {
///     let remaining = seen.remaining.map_or(Duration::from_secs(5), |hint| hint.p50);
///     Some(seen.elapsed + remaining / 2)
/// });
/// ```
pub fn from_fn<F>(next: F) -> impl Schedule + Clone
where
    F: Fn(&Seen) -> Option<Duration> + Clone + Send + Sync + 'static,
{
    FromFn(next)
}

/// A schedule made by [`intervals`].
#[derive(Clone)]
struct Intervals<I>(I);

impl<I> fmt::Debug for Intervals<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Intervals")
    }
}

impl<I> Schedule for Intervals<I>
where
    I: Iterator<Item = Duration> + Clone + Send + Sync + 'static,
{
    fn begin(&self, _: &Start) -> Box<dyn Cursor> {
        Box::new(self.clone())
    }
}

impl<I> Cursor for Intervals<I>
where
    I: Iterator<Item = Duration> + Send,
{
    fn next(&mut self, seen: &Seen) -> Option<Duration> {
        self.0
            .next()
            .map(|pause| seen.elapsed.saturating_add(pause))
    }
}

/// A schedule made by [`from_fn`].
#[derive(Clone)]
struct FromFn<F>(F);

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromFn")
    }
}

impl<F> Schedule for FromFn<F>
where
    F: Fn(&Seen) -> Option<Duration> + Clone + Send + Sync + 'static,
{
    fn begin(&self, _: &Start) -> Box<dyn Cursor> {
        Box::new(self.clone())
    }
}

impl<F> Cursor for FromFn<F>
where
    F: Fn(&Seen) -> Option<Duration> + Send,
{
    fn next(&mut self, seen: &Seen) -> Option<Duration> {
        (self.0)(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::polls;
    use super::*;

    #[test]
    fn an_iterator_is_a_schedule_that_starts_anew_for_every_job() {
        let schedule = intervals([1, 2, 3].map(Duration::from_secs));
        assert_eq!(polls(&schedule, 1, 9), [1.0, 3.0, 6.0]);
        assert_eq!(polls(&schedule, 1, 9), [1.0, 3.0, 6.0]);
    }

    #[test]
    fn a_closure_is_a_schedule() {
        let schedule =
            from_fn(|seen| (seen.polls < 3).then(|| seen.elapsed + Duration::from_secs(1)));
        assert_eq!(polls(&schedule, 1, 9), [1.0, 2.0, 3.0]);
    }
}
