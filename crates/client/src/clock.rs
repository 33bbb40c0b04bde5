//! The only file of this crate that reads a clock.
//!
//! Everything is timed by the monotonic clock of the runtime, which a test can pause. The wall clock is read once, when
//! a client is made, and carried on by the monotonic one, so that on a paused clock both stand still together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use abide_wire::Timestamp;

/// A clock of a client: monotonic instants for timing, wall instants for comparing with a server's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
    wall: Timestamp,
}

impl Clock {
    /// Reads both clocks.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the client's twin of the clock"
    )]
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            began: Instant::now(),
            wall: Timestamp::default() + since_epoch,
        }
    }

    /// Now, for timing.
    #[expect(
        clippy::disallowed_methods,
        clippy::unused_self,
        reason = "this is the client's twin of the clock; callers must have been given one"
    )]
    pub(crate) fn now(&self) -> Instant {
        Instant::now()
    }

    /// Now, for comparing with what a server wrote. It may be off by as much as this machine's clock was, and by any
    /// time it was asleep; [`Skew`] corrects for both.
    pub(crate) fn wall(&self) -> Timestamp {
        self.wall + self.now().saturating_duration_since(self.began)
    }

    /// The same as the file system has it.
    pub(crate) fn time_of_day(&self) -> SystemTime {
        let millis = u64::try_from(self.wall().as_millis()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(millis)
    }
}

/// The system's time, read anew: what the timestamp of a webhook is compared with.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the client's twin of the clock"
)]
pub(crate) fn system_time() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::default() + since_epoch.unwrap_or_default()
}

/// The instant so long after `instant`, or one so far away that nobody waits for it.
pub(crate) fn after(instant: Instant, span: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    instant.checked_add(span).unwrap_or_else(|| instant + FAR)
}

/// How far a server's clock is ahead of ours, as an interval in milliseconds that each answer's `Date` narrows.
///
/// `Date` has whole seconds, so one answer leaves a second of doubt and several answers leave little: each says that the
/// server's clock stood somewhere in that second at some instant between our sending and our receiving.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Skew(Option<(i64, i64)>);

impl Skew {
    /// Takes in an answer that was asked for at `sent`, arrived at `received`, and says `date`.
    pub(crate) fn observe(&mut self, sent: Timestamp, received: Timestamp, date: Timestamp) {
        let low = date.as_millis() - received.as_millis();
        let high = date.as_millis() + 999 - sent.as_millis();
        if low > high {
            return;
        }
        self.0 = match self.0 {
            // Where the intervals have nothing in common one of the clocks was set: the newest answer is the truth.
            Some((known_low, known_high)) if low <= known_high && high >= known_low => {
                Some((low.max(known_low), high.min(known_high)))
            }
            _ => Some((low, high)),
        };
    }

    /// How long ago the server's instant was, seen from our instant `now`; nothing before the first answer.
    pub(crate) fn age(&self, server: Timestamp, now: Timestamp) -> Option<Duration> {
        let (low, high) = self.0?;
        // Clocks that are kept by the network agree to milliseconds, far better than `Date` can tell.
        let ahead = match (low..=high).contains(&0) {
            true => 0,
            false => low.midpoint(high),
        };
        let server_now = now.as_millis() + ahead;
        Some(Timestamp::from_millis(server_now).since(server))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn several_answers_narrow_the_skew_to_less_than_a_second() {
        // The server is 10,300 ms ahead; the round trip is nothing.
        let mut skew = Skew::default();
        for ours in [1_000, 1_650, 2_710, 3_705] {
            let theirs = ours + 10_300;
            skew.observe(at(ours), at(ours), at(theirs / 1_000 * 1_000));
        }
        let age = skew.age(at(14_000), at(5_000)).unwrap();
        assert!(
            age.abs_diff(Duration::from_millis(1_300)) < Duration::from_millis(60),
            "{age:?}"
        );
    }

    #[test]
    fn a_clock_that_was_set_is_believed() {
        let mut skew = Skew::default();
        skew.observe(at(1_000), at(1_000), at(1_000));
        skew.observe(at(2_000), at(2_000), at(90_000));
        let age = skew.age(at(90_000), at(3_000)).unwrap();
        assert!(
            age.abs_diff(Duration::from_millis(1_500)) <= Duration::from_millis(500),
            "{age:?}"
        );
    }

    #[test]
    fn clocks_that_may_agree_are_taken_to_agree() {
        let mut skew = Skew::default();
        skew.observe(at(1_400), at(1_401), at(1_000));
        let age = skew.age(at(9_000), at(9_004));
        assert_eq!(age, Some(Duration::from_millis(4)));
    }

    #[test]
    fn nothing_is_claimed_before_the_first_answer() {
        assert_eq!(Skew::default().age(at(1), at(2)), None);
    }
}
