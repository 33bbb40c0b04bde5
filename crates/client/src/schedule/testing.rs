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
