//! How a server's clock stands to ours.

use std::time::Duration;

use abide_wire::Timestamp;

/// How far a server's clock is ahead of ours, as an interval in milliseconds that each answer's `Date` narrows.
///
/// `Date` has whole seconds, so one answer leaves a second of doubt and several answers leave little: each says that
/// the server's clock stood somewhere in that second at some instant between our sending and our receiving.
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
