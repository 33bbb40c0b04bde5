//! How much of what receivers answer is kept.
//!
//! Every answer's beginning is journaled, so that the owner of a receiver can see later what it said. A receiver that
//! answers everything with a long body would have the server write that much for each delivery, and keep the disk from
//! everybody else. So long answers draw on an allowance that fills up again with time; when it is used up, only the
//! beginning of an answer is kept and marked as cut.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How much of an answer is kept in any case, in bytes.
pub const ALWAYS_KEPT: usize = 1_024;
/// The most bytes of longer answers that are kept at a stretch, over all receivers.
pub const STRETCH_MAX: usize = 4 * 1_024 * 1_024;
/// How many bytes of longer answers are kept a second in the long run, over all receivers.
pub const PER_SECOND: usize = 128 * 1_024;

/// What may still be kept.
#[derive(Debug)]
pub(super) struct Allowance(Mutex<Level>);

#[derive(Debug)]
struct Level {
    bytes: usize,
    /// When it was filled up last.
    at: Duration,
}

impl Default for Allowance {
    fn default() -> Self {
        Self(Mutex::new(Level {
            bytes: STRETCH_MAX,
            at: Duration::ZERO,
        }))
    }
}

impl Allowance {
    /// How many bytes of an answer of that length are kept, at that time.
    pub(super) fn take(&self, length: usize, now: Duration) -> usize {
        if length <= ALWAYS_KEPT {
            return length;
        }
        let mut level = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = now.saturating_sub(level.at).as_millis();
        let fresh = usize::try_from(millis).map_or(STRETCH_MAX, |millis| {
            millis.saturating_mul(PER_SECOND) / 1_000
        });
        if fresh > 0 {
            level.bytes = STRETCH_MAX.min(level.bytes.saturating_add(fresh));
            level.at = now;
        }
        match level.bytes.checked_sub(length) {
            Some(left) => {
                level.bytes = left;
                length
            }
            None => ALWAYS_KEPT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_are_kept_while_the_allowance_lasts_and_again_with_time() {
        let allowance = Allowance::default();
        let long = 16 * 1_024;
        let at = Duration::from_secs;
        let whole = |now| {
            (0..1_000)
                .filter(|_| allowance.take(long, now) == long)
                .count()
        };
        assert_eq!(whole(at(1)), STRETCH_MAX / long);
        assert_eq!(allowance.take(long, at(1)), ALWAYS_KEPT);
        assert_eq!(allowance.take(700, at(1)), 700, "short ones cost nothing");
        assert_eq!(whole(at(2)), PER_SECOND / long);
        assert_eq!(
            whole(at(1_000)),
            STRETCH_MAX / long,
            "it doesn't grow for ever"
        );
        assert_eq!(
            allowance.take(long, at(999)),
            ALWAYS_KEPT,
            "nor with time gone back"
        );
    }
}
