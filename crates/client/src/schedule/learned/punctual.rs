//! Ends that are seen in time.

use std::time::Duration;

use crate::schedule::{Cursor, Ended, PAUSE_MIN, Seen};

/// What one pause may cost at most of the share that is left: later ones are to have some, too.
const SPENT_MAX: f64 = 0.75;

/// How exactly the share that a pause may cost is found: to a 256th.
const HALVINGS: u32 = 8;

/// Another cursor, held to seeing a share of the ends within a time.
///
/// An end that falls into a pause is seen late by what is left of the pause. So most pauses are no longer than the
/// time; a longer one costs the share of ends that the schedule expects in it earlier than that, and there is no more
/// to spend than the share that may be late. It is spent where ends are unlikely, which is mostly before the first
/// poll.
#[derive(Debug)]
pub(super) struct Punctual<C> {
    cursor: C,
    within: Duration,
    /// The share of the ends from now on that may be seen late.
    slack: f64,
}

impl<C: Cursor> Punctual<C> {
    /// `share` is of the ends that are seen within that time; one that is no share counts as all.
    pub(super) fn new(cursor: C, within: Duration, share: f64) -> Self {
        let slack = 1.0 - share;
        Self {
            cursor,
            within: within.max(PAUSE_MIN),
            slack: if (0.0..=1.0).contains(&slack) {
                slack
            } else {
                0.0
            },
        }
    }

    /// The share of ends before that instant, up to the slack.
    fn share_before(&self, at: Duration, seen: &Seen) -> f64 {
        let (mut low, mut high) = (0.0, self.slack);
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            match self.cursor.quantile(middle, seen) {
                Some(quantile) if quantile <= at => low = middle,
                _ => high = middle,
            }
        }
        high
    }
}

impl<C: Cursor> Cursor for Punctual<C> {
    fn next(&mut self, seen: &Seen) -> Option<Duration> {
        let at = self.cursor.next(seen)?;
        // Between the instants at which two polls are answered by the server lies a round trip more than the pause, and
        // the second answer takes half of one to arrive.
        let within = self.within.saturating_sub(seen.rtt * 3 / 2).max(PAUSE_MIN);
        let soon = seen.elapsed.saturating_add(within);
        if at <= soon {
            return Some(at);
        }
        let sure = self.cursor.quantile(SPENT_MAX * self.slack, seen);
        let latest = sure.map_or(soon, |sure| soon.max(sure.saturating_add(within)));
        let at = at.min(latest);
        if at > soon {
            let spent = self.share_before(at.saturating_sub(within), seen);
            self.slack = ((self.slack - spent) / (1.0 - spent)).max(0.0);
        }
        Some(at)
    }

    fn finish(&mut self, ended: &Ended) {
        self.cursor.finish(ended);
    }

    fn quantile(&self, probability: f64, seen: &Seen) -> Option<Duration> {
        self.cursor.quantile(probability, seen)
    }

    fn hazard(&self, seen: &Seen) -> Option<f64> {
        self.cursor.hazard(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Jobs that end evenly between 60 s and 160 s, and a schedule that would rather not ask.
    #[derive(Debug)]
    struct Even;

    impl Cursor for Even {
        fn next(&mut self, seen: &Seen) -> Option<Duration> {
            Some(seen.elapsed + 40 * SECOND)
        }

        fn quantile(&self, probability: f64, seen: &Seen) -> Option<Duration> {
            let now = seen.elapsed.as_secs_f64().max(60.0);
            Some(Duration::from_secs_f64(now + probability * (160.0 - now)))
        }
    }

    /// The share of ends that are seen later than that, and how many polls it takes to see them all.
    fn late(share: f64, within: Duration) -> (f64, usize) {
        let mut cursor = Punctual::new(Even, within, share);
        let (mut seen, mut polls, mut late) = (Seen::at(Duration::ZERO), 0, 0.0);
        while seen.elapsed < 160 * SECOND {
            let at = cursor.next(&seen).unwrap();
            let from = seen.elapsed.as_secs_f64().clamp(60.0, 160.0);
            let to = at.saturating_sub(within).as_secs_f64().clamp(60.0, 160.0);
            late += (to - from).max(0.0) / 100.0;
            seen = Seen::at(at).polls(polls + 1);
            polls += 1;
        }
        (late, polls as usize)
    }

    #[test]
    fn no_more_ends_are_late_than_may_be_and_polls_are_spared_where_none_are() {
        for share in [0.5, 0.9, 0.95, 1.0] {
            let (late, polls) = late(share, 3 * SECOND);
            assert!(late <= 1.0 - share + 1e-9, "{share}: {late}");
            // A pause of 3 s from the beginning would be 54 polls.
            assert!(polls < 40, "{share}: {polls}");
        }
        let (all, some) = (late(1.0, 3 * SECOND).1, late(0.5, 3 * SECOND).1);
        assert!(some < all, "{some} {all}");
    }
}
