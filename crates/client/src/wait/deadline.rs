//! When a wait is over, and when its last look is due.

use std::time::Duration;

use crate::memory::Memory;
use crate::rt::{Instant, after};

/// How far the last look may outrun the deadline: its answer may already be on the way.
pub(super) const GRACE: Duration = Duration::from_millis(50);
/// The last look is sent this many slow round trips before the deadline: one for a connection, one for the look.
const LOOK_ROUND_TRIPS: u32 = 2;
/// How long before the deadline it is sent if no round trip was measured, and the bounds.
const LOOK_MARGIN: Duration = Duration::from_secs(1);
const LOOK_MARGIN_MIN: Duration = Duration::from_millis(10);
const LOOK_MARGIN_MAX: Duration = Duration::from_secs(2);

/// The deadline of a wait, if it has one.
#[derive(Debug)]
pub(super) struct Deadline {
    pub(super) at: Option<Instant>,
    pub(super) begun: Instant,
    /// Whether a cautious last look found the job running, so that a closer one can do no harm.
    pub(super) looked: bool,
}

impl Deadline {
    /// When the last look before it is due.
    pub(super) fn look_at(&self, memory: &Memory) -> Option<Instant> {
        let deadline = self.at?;
        let whole = deadline.saturating_duration_since(self.begun);
        let margin = if self.looked {
            memory.likely_rtt()
        } else {
            memory.slow_rtt().map(|rtt| rtt * LOOK_ROUND_TRIPS)
        };
        let margin = margin
            .unwrap_or(LOOK_MARGIN)
            .clamp(LOOK_MARGIN_MIN, LOOK_MARGIN_MAX)
            .min(whole / 4);
        Some(deadline.checked_sub(margin).unwrap_or(deadline))
    }

    /// The middle of the time between that look and the deadline.
    pub(super) fn between(&self, look_at: Instant) -> Option<Instant> {
        let margin = self.at?.saturating_duration_since(look_at);
        Some(after(look_at, margin / 2))
    }
}
